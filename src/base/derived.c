/* See switchyard/derived.h.  Sources: Wang et al. 2024, "Auxiliary-loss-free load balancing"
 * (MaxVio, of a batch and global); Shazeer et al. 2017 (CV); Jain, Chiu and Hawe 1984 (the index of
 * fairness); Hill 1973 (exp of the entropy as a number of kinds).  Layer base. */
#include "switchyard/derived.h"

#include "base/find.h"
#include "base/mem.h"

static const struct sy_derived_row rows[] = {
#define X(id, name, of, window, unit, help) {name, SY_SERIES_##of, window, unit, help},
    SY_DERIVED_MAP(X)
#undef X
};

const struct sy_derived_row *sy_derived_row(enum sy_derived id) { return &rows[id]; }

int sy_derived_find(const char *name) { return SY_FIND_NAME(rows, name); }

struct sums { /* over the enabled experts */
    int n, dead;
    double most, sum, squares, entropy;
};

static struct sums sums_of(const double *row, const float *off, int width)
{
    struct sums s = {.most = (double)-INFINITY};
    for (int i = 0; i < width; i++) {
        if (off && off[i] > 0)
            continue;
        s.n++;
        s.dead += sy_expert_dead(row[i], SY_DEAD_LOAD, false);
        s.most = row[i] > s.most ? row[i] : s.most;
        s.sum += row[i];
        s.squares += row[i] * row[i];
    }
    for (int i = 0; i < width; i++)
        if (!(off && off[i] > 0) && row[i] > 0)
            s.entropy -= row[i] / s.sum * log(row[i] / s.sum);
    return s;
}

/* In two passes: of even loads it is 0, and not what rounding leaves. */
static double deviation(const double *row, const float *off, int width, double mean, int n)
{
    double sum = 0;
    for (int i = 0; i < width; i++)
        if (!(off && off[i] > 0))
            sum += (row[i] - mean) * (row[i] - mean);
    return sqrt(sum / n);
}

double sy_derived_value(enum sy_derived id, const double *row, const float *off, int width)
{
    struct sums s = sums_of(row, off, width);
    double mean = s.sum / s.n;
    if (!(mean > 0))
        return (double)NAN;
    switch (id) {
    case SY_DERIVED_MAX_VIO:
    case SY_DERIVED_MAX_VIO_GLOBAL:
        return s.most / mean - 1;
    case SY_DERIVED_MAX_MEAN:
        return s.most / mean;
    case SY_DERIVED_CV:
        return deviation(row, off, width, mean, s.n) / mean;
    case SY_DERIVED_EFFECTIVE:
        return exp(s.entropy);
    case SY_DERIVED_JAIN:
        return s.sum * s.sum / (s.n * s.squares);
    case SY_DERIVED_DEAD:
        return s.dead;
    case SY_DERIVED_COUNT:
        break;
    }
    return (double)NAN;
}

/* ---- of a row after the other ---- */

struct sy_deriver {
    enum sy_derived id;
    int width, window;
    int64_t seen;
    double *sum, *mean; /* [width] of the window */
    float *kept;        /* [window][width], a ring */
};

struct sy_deriver *sy_deriver_new(enum sy_derived id, int width)
{
    size_t w = (size_t)width, window = (size_t)rows[id].window;
    struct sy_deriver *d = sy_calloc(1, sizeof *d + 2 * w * sizeof(double) +
                                            window * w * sizeof(float));
    if (!d)
        return NULL;
    *d = (struct sy_deriver){.id = id, .width = width, .window = (int)window};
    d->sum = (double *)(void *)(d + 1);
    d->mean = d->sum + w;
    d->kept = (float *)(void *)(d->mean + w);
    return d;
}

void sy_deriver_free(struct sy_deriver *d) { sy_free(d); }

double sy_deriver_next(struct sy_deriver *d, const float *row, const float *off)
{
    float *place = d->kept + d->seen % d->window * d->width;
    double n = (double)(++d->seen < d->window ? d->seen : d->window);
    for (int i = 0; i < d->width; i++) {
        d->sum[i] += (double)row[i] - (double)place[i];
        d->mean[i] = d->sum[i] / n;
        place[i] = row[i];
    }
    return sy_derived_value(d->id, d->mean, off, d->width);
}
