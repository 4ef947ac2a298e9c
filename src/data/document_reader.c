/* Documents on their way from files to whoever reads them, a batch at a time.  See
 * documents_int.h. */
#include "data/documents_int.h"

#include "base/grow.h"

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory");
}

int sy__reader_add(struct sy__reader *r, struct sy__document doc, struct sy_err *err)
{
    struct sy__batch *b = &r->batch;
    if (SY_GROW(b->doc, b->cap, b->docs + 1))
        return no_memory(err);
    b->doc[b->docs++] = doc;
    return 0;
}

int sy__reader_hand(struct sy__reader *r, bool all, struct sy_err *err)
{
    if (r->batch.text.failed)
        return no_memory(err);
    if (r->batch.docs == 0 || (!all && r->batch.text.len < SY__BATCH))
        return 0;
    int rc = r->fn(r->ctx, &r->batch, err);
    r->handed += r->batch.docs;
    r->batch.docs = 0;
    r->batch.from = r->batch.to;
    if (r->batch.text.cap > 4 * SY__BATCH)
        sy_str_free(&r->batch.text);
    else
        sy_str_clear(&r->batch.text);
    return rc;
}
