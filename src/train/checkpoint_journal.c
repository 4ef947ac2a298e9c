/* The journal in state.json: a table of an entry's fields (checkpoint_json.h).  The values of
 * inputs lie in state.safetensors. */
#include "base/grow.h"
#include "base/mem.h"
#include "train/checkpoint.h"
#include "train/checkpoint_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_kind(struct sy_str *s, const void *from)
{
    const char *name = sy_entry_row(((const struct sy_journal_entry *)from)->kind)->name;
    sy_json_quote(s, name, strlen(name));
}

static void read_kind(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const char *kind = sy__json_text(r, field->name);
    int id = sy_entry_find(kind);
    if (id < 0)
        sy_err_set(r->err, SY_E_UNSUPPORTED,
                   "checkpoint: state.json: the journal has an entry of kind '%.40s', which this "
                   "program does not know",
                   kind);
    ((struct sy_journal_entry *)to)->kind = id < 0 ? SY_ENTRY_NOTE : (enum sy_entry_kind)id;
}

static void put_words(struct sy_str *s, const void *from)
{
    const char *text = ((const struct sy_journal_entry *)from)->text;
    sy_json_quote(s, text, strlen(text));
}

/* Cut, where replacing broken characters made it longer. */
static void read_words(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy_journal_entry *e = to;
    snprintf(e->text, sizeof e->text, "%.*s", (int)sizeof e->text - 1,
             sy__json_text(r, field->name));
}

static const struct sy__field entry_list[] = {
    {"step", 1, SY__INTEGER, SY__IN(sy_journal_entry, step), .most = SY__MANY},
    {"kind", 1, SY__OTHER, .put = put_kind, .read = read_kind},
    {"key", 1, SY__TEXT, SY__IN(sy_journal_entry, key)},
    {"value", 1, SY__NUMBER, SY__IN(sy_journal_entry, value)},
    {"expert", 1, SY__INTEGER, SY__IN(sy_journal_entry, expert), .least = -1, .most = INT32_MAX},
    {"n", 1, SY__INTEGER, SY__IN(sy_journal_entry, n), .most = INT32_MAX},
    {"text", 1, SY__OTHER, .put = put_words, .read = read_words},
    {"who", SY__OPTIONAL, SY__TEXT, SY__IN(sy_journal_entry, who)},
};
static const struct sy__fields entry_fields = SY__FIELDS("field of the journal", entry_list);

void sy__journal_put(struct sy_str *s, const void *from)
{
    const struct sy_image *image = from;
    sy_str_puts(s, "[");
    for (int i = 0; i < image->njournal; i++) {
        sy_str_puts(s, i ? "," : "");
        sy__fields_put(s, &entry_fields, &image->journal[i]);
    }
    sy_str_puts(s, "]");
}

/* Entries are in the order of their steps, up to that of the checkpoint. */
static void check_step(struct sy_err *err, int64_t step, int64_t before, int64_t last)
{
    if (step > last)
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: 'step' of the journal is %" PRId64
                   ", that of the checkpoint %" PRId64, step, last);
    else if (step < before)
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: 'step' of the journal is %" PRId64
                   " behind an entry of step %" PRId64, step, before);
}

/* before: step of the one before it. */
static void read_entry(struct sy__reader r, const struct sy_json *j, int64_t before, int64_t last,
                       struct sy_journal_entry *e)
{
    memset(e, 0, sizeof *e);
    r.object = j;
    if (j->type != SY_JSON_OBJECT) {
        sy_err_set(r.err, SY_E_FORMAT, "checkpoint: state.json: the journal holds no objects");
        return;
    }
    sy__fields_read(&r, &entry_fields, e);
    check_step(r.err, e->step, before, last);
    sy_entry_renew(e);
}

/* Room grows with what was read, not with what a list says of itself: an entry is larger than
 * "0,". */
void sy__journal_read(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy_image *image = to;
    const struct sy_json *list = sy__json_field(r, field->name, SY_JSON_ARRAY);
    size_t room = 0;
    int64_t before = 0;
    for (const struct sy_json *j = list ? list->first : NULL; j && r->err->code == SY_E_OK;
         j = j->next) {
        if (SY_GROW(image->journal, room, image->njournal + 1)) {
            sy_err_set(r->err, SY_E_MEMORY, "checkpoint: out of memory");
            return;
        }
        struct sy_journal_entry *e = &image->journal[image->njournal];
        read_entry(*r, j, before, image->status.step, e);
        before = e->step;
        image->njournal += r->err->code == SY_E_OK;
    }
}
