/* From pairs as text to a corpus of pairs. */
#ifndef SY_DATA_PAIRS_PAIR_CORPUS_INT_H
#define SY_DATA_PAIRS_PAIR_CORPUS_INT_H

#include "data/corpus_int.h"
#include "data/pairs/pair_list_int.h"

/* What is read, and of what. */
struct sy__pair_making {
    struct sy__pair_list list;  /* taken, also on failure */
    struct sy__files files;     /* likewise */
    bool sources_are_targets;
    const char *other; /* the language of the other side */
    double done;       /* share of the work that is done */
};
struct sy_corpus *sy__pair_corpus(struct sy__pair_making *m, const struct sy_pair_options *options,
                                  struct sy_err *err);

#endif
