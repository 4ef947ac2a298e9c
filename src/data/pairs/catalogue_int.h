/* Message catalogues of gettext (.mo): pairs of messages and translations. */
#ifndef SY_DATA_PAIRS_CATALOGUE_INT_H
#define SY_DATA_PAIRS_CATALOGUE_INT_H

#include "switchyard/err.h"

#include <stddef.h>
#include <stdint.h>

/* A message and its translation, UTF-8, borrowed for the call.  0, or -1 to end. */
typedef int (*sy__message_fn)(void *ctx, const char *message, size_t n, const char *translation,
                              size_t n2, struct sy_err *err);
/* Give all messages of the catalogue bytes[0..n) to fn, in its order: without their context; of a
 * plural the singular with the first form and the plural with the second where there are two, else
 * the plural with the last, which stands for many in every language.  *bad counts translations that
 * are not in the catalogue's character set; what was not translated is not given.  `name` begins
 * messages.  Errors: FORMAT, MEMORY, UNSUPPORTED (a character set), and fn's. */
int sy__catalogue_read(const char *bytes, size_t n, const char *name, sy__message_fn fn, void *ctx,
                       int64_t *bad, struct sy_err *err);

#endif
