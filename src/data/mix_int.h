/* Corpora that are mixes of others (data.h, sy_corpus_mix). */
#ifndef SY_DATA_MIX_INT_H
#define SY_DATA_MIX_INT_H

#include "switchyard/data.h"

struct sy__mix_part {
    struct sy_corpus *corpus; /* counted */
    char *name;               /* owned */
    double share;             /* of the rows; of all parts together 1 is made */
    int32_t source;           /* number of its first source in the mix */
    int64_t token, document;  /* what of the mix its first one is */
};

struct sy__mix { /* n 0: it is none */
    struct sy__mix_part part[SY_MIX_MOST];
    int n;
};
/* The part that token or document `number` of the mix is of. */
const struct sy__mix_part *sy__mix_token(const struct sy__mix *m, int64_t number);
const struct sy__mix_part *sy__mix_document(const struct sy__mix *m, int64_t number);

#endif
