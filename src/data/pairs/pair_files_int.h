/* Where pairs come from: files to a list of pairs. */
#ifndef SY_DATA_PAIRS_PAIR_FILES_INT_H
#define SY_DATA_PAIRS_PAIR_FILES_INT_H

#include "data/documents_int.h"
#include "data/pairs/pair_list_int.h"

struct sy__pair_reading {
    struct sy__pair_list *list;
    const struct sy__files *files;
    int64_t unpack_max;
    double share; /* of the whole work, for progress */
};

/* Tables with tabs: input, target; or language, input, target.  All lines of all files have the
 * same columns (0: there are no lines).  source: the language where there is no column of it.
 * Errors: FORMAT names file and line; IO, NOTFOUND, MEMORY, CANCELLED. */
int sy__pairs_read_tables(const struct sy__pair_reading *r, const char *source, int *columns,
                          struct sy_err *err);
/* Two files, whose lines belong together.  FORMAT where they have not as many; else as above. */
int sy__pairs_read_aligned(const struct sy__pair_reading *r, const char *source,
                           struct sy_err *err);

#endif
