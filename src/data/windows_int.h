/* Windows of one text, or rows of pairs: how many there are and where they begin (windows.c); and
 * rows of a mix, each of one of its parts (mix_rows.c).  What draws batches of them is sampler.c.
 *
 *  1. Every row ever drawn has a number g, counted over the whole run: place.windows + row.
 *  2. Row g of a mix is of the part that Philox draws at index g by the shares of now.  By EPOCH
 *     and SEQUENTIAL a part counts the rows that were drawn of it and goes its own way
 *     (place.part). */
#ifndef SY_DATA_WINDOWS_INT_H
#define SY_DATA_WINDOWS_INT_H

#include "base/rng.h"
#include "data/corpus_int.h"

/* Streams of SY_RNG_DATA, so that no use can see another's draws. */
enum sy__stream {
    SY__STREAM_TRAIN,
    SY__STREAM_EVAL = 2,
    SY__STREAM_ORDER,
    SY__STREAM_SHIFT,
    SY__STREAM_ROW, /* what is drawn for a row: step is the number of its window */
    SY__STREAM_EVAL_ROW,
    SY__STREAM_MIX /* which part of a mix a row is of */
};

static inline struct sy_rng sy__stream_rng(const struct sy_sampler *s, enum sy__stream which,
                                           uint64_t step)
{
    return (struct sy_rng){s->seed, SY_RNG_DATA + 256 * (uint32_t)which, step};
}

/* ---- windows.c: of a corpus that is no mix ---- */

/* As sy_sampler_check; what follows needs a sampler that has passed it. */
int sy__window_check(const struct sy_sampler *s, struct sy_err *err);
/* Tokens by which one follows another; of pairs 1, for places are numbers of rows there. */
int64_t sy__window_length(const struct sy_sampler *s);
int64_t sy__window_count(const struct sy_sampler *s); /* that do not overlap */
/* Where row `row` from the place begins: a token, or a row of pairs. */
int64_t sy__window_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row);
int64_t sy__window_eval(const struct sy_sampler *s, int64_t number); /* likewise of an evaluation */
int64_t sy__window_epochs(const struct sy_sampler *s, const struct sy_place *p);
void sy__window_turn(const struct sy_sampler *s, struct sy_place *p); /* sy_place_turn */
const struct sy__packing *sy__window_rows(const struct sy_sampler *s); /* of pairs, else NULL */

/* ---- mix_rows.c: of any corpus ---- */

struct sy__drawn { /* a row */
    struct sy_sampler s; /* of its part, which is no mix */
    int64_t start;       /* sy__window_start */
    int part;            /* -1: not of a mix */
    struct sy_rng rng;
};

/* A walk over the rows from a place on. */
struct sy__walk {
    const struct sy_sampler *s;
    const struct sy_place *p;
    int64_t row;                 /* the next, from the place */
    uint64_t drawn[SY_MIX_MOST]; /* rows before it of each part of a mix, from the place */
};
struct sy__walk sy__walk_from(const struct sy_sampler *s, const struct sy_place *p, int64_t row);
struct sy__drawn sy__walk_row(struct sy__walk *w);
struct sy__drawn sy__eval_row(const struct sy_sampler *s, int64_t number);

#endif
