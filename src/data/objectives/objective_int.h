/* What an objective is made of (switchyard/objective.h), for its files and their table. */
#ifndef SY_DATA_OBJECTIVES_OBJECTIVE_INT_H
#define SY_DATA_OBJECTIVES_OBJECTIVE_INT_H

#include "data/row_int.h"
#include "switchyard/objective.h"

#include <stdatomic.h>

/* Token ids that no text gives; -1: the tokenizer has none. */
struct sy__specials {
    int32_t eot, pad, fim_prefix, fim_middle, fim_suffix;
    int32_t *sentinel; /* owned */
    int64_t sentinels;
};

struct sy__part {
    enum sy_objective id;
    const struct sy__objective *of; /* its row */
    const struct sy__specials *ids;
    double share, upto; /* of the rows; with those of the parts before it */
    double option[SY_OBJECTIVE_OPTIONS];
};

struct sy__objective {
    struct sy_objective_spec spec;
    bool pads; /* rows of a model of one stack may end in padding */
    bool even; /* all T targets count */
    /* Special tokens that the tokenizer lacks: how to get them, or NULL; NULL: it needs none. */
    const char *(*lacks)(const struct sy__specials *ids);
    int (*check)(const struct sy__part *p, int64_t T, int64_t S, struct sy_err *err);
    int64_t (*window)(const struct sy__part *p, int64_t T, int64_t S);
    /* Write a row; what it draws is of r->rng, at indices below SY__OWN_DRAWS. */
    void (*lay)(const struct sy__part *p, struct sy__row *r);
};
#define SY__OWN_DRAWS ((uint64_t)1 << 62)

extern const struct sy__objective sy__objective_next, sy__objective_span, sy__objective_prefix,
    sy__objective_fim;

struct sy_objectives {
    atomic_int refs;
    int n;
    struct sy__part part[SY_OBJECTIVE_COUNT]; /* by rising objective */
    struct sy__specials ids;
};

/* The row, by the objective that it draws; o NULL: next. */
void sy__objectives_lay(const struct sy_objectives *o, struct sy__row *r);

#endif
