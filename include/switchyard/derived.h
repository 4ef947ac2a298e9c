/* Figures of router health that are functions of rows that are kept anyway: nobody stores them, and
 * who asks gets them exactly, of any run that has the rows.  With n enabled experts, x their loads,
 * p = x / sum of x.
 *
 *  1. A disabled expert is in none of them.
 *  2. Where all loads are 0 there is no figure: NaN. */
#ifndef SWITCHYARD_DERIVED_H
#define SWITCHYARD_DERIVED_H

#include "switchyard/series.h"

#define SY_LOAD_WINDOW 128 /* steps over which loads are looked at */
#define SY_DEAD_LOAD 0.01  /* of a fair share: an expert with less is dead */

/* X(ID, name, of which kind of rows, how many of them (the newest; their mean), unit, help) */
#define SY_DERIVED_MAP(X)                                                                          \
    X(MAX_VIO, "max_vio", LOAD, 1, "", "max(x) / mean(x) - 1")                                     \
    X(MAX_VIO_GLOBAL, "max_vio_global", LOAD, SY_LOAD_WINDOW, "",                                  \
      "the same of the mean loads of the newest 128 steps")                                        \
    X(MAX_MEAN, "max_mean", LOAD, 1, "", "max(x) / mean(x)")                                       \
    X(CV, "cv", LOAD, 1, "", "standard deviation of x / mean(x)")                                  \
    X(EFFECTIVE, "effective", LOAD, 1, "experts", "exp of the entropy -sum p ln p")                \
    X(JAIN, "jain", LOAD, 1, "", "1 / (n sum p^2)")                                                \
    X(DEAD, "dead", LOAD, SY_LOAD_WINDOW, "experts",                                               \
      "experts whose mean load over the newest 128 steps is at most 0.01")

enum sy_derived {
#define X(id, name, of, window, unit, help) SY_DERIVED_##id,
    SY_DERIVED_MAP(X)
#undef X
        SY_DERIVED_COUNT
};

struct sy_derived_row {
    const char *name;
    enum sy_series_kind of;
    int window;
    const char *unit, *help;
};
const struct sy_derived_row *sy_derived_row(enum sy_derived id); /* static; any thread */
int sy_derived_find(const char *name);                           /* or -1 */
/* Of one row, or of the mean of several; off: who is disabled (over 0), or NULL: nobody. */
double sy_derived_value(enum sy_derived id, const double *row, const float *off, int width);

/* Of a row after the other, by the figure's window. */
struct sy_deriver; /* owned by who made it */
struct sy_deriver *sy_deriver_new(enum sy_derived id, int width); /* NULL: no memory */
void sy_deriver_free(struct sy_deriver *d);                       /* NULL is fine */
/* The figure at this row, which comes after all that were given before; nothing is allocated. */
double sy_deriver_next(struct sy_deriver *d, const float *row, const float *off);

#endif
