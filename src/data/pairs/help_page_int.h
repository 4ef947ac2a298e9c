/* Pages of LibreOffice's help: HTML whose elements have the same ids in all languages. */
#ifndef SY_DATA_PAIRS_HELP_PAGE_INT_H
#define SY_DATA_PAIRS_HELP_PAGE_INT_H

#include "base/str.h"
#include "data/word_map_int.h"
#include "switchyard/err.h"

struct sy__help_element { /* where in the page's texts */
    size_t at, n;
};

struct sy__help_page {
    struct sy_str text;               /* of all elements */
    struct sy__help_element *element; /* owned */
    int64_t n;
    size_t cap;
    struct sy__words ids; /* id -> number of the element + 1 */
};
/* Read html[0..n) into a page, which is begun anew: the text of each paragraph and heading with an
 * id, its tags left out, characters by name put in their place, white space of one space.  What is
 * no page has no elements.  Errors: MEMORY. */
int sy__help_page_read(struct sy__help_page *p, const char *html, size_t n, struct sy_err *err);
void sy__help_page_free(struct sy__help_page *p);

#endif
