/* Statistics of the spike rule.  See spike.h. */
#include "train/spike.h"

#include "base/reals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double logarithm(double v) { return log(fmax(v, 1e-30)); }

static void usual(struct sy_sigma *s, const double *values, int n)
{
    double lately[SY_LATELY], changes[SY_WINDOW];
    memcpy(lately, values + n - SY_LATELY, sizeof lately);
    for (int i = 1; i < n; i++)
        changes[i - 1] = fabs(values[i] - values[i - 1]);
    s->mean = sy_median(lately, SY_LATELY);
    s->deviation = sy_median(changes, n - 1) / 0.954;
}

static void mean(struct sy_sigma *s, const double *values, int n)
{
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++)
        sum += values[i];
    s->mean = sum / n;
    for (int i = 0; i < n; i++)
        square += (values[i] - s->mean) * (values[i] - s->mean);
    s->deviation = sqrt(square / n);
}

static struct sy_sigma sigma(const double *values, int n, double value, int rules)
{
    struct sy_sigma s = {(double)NAN, (double)NAN, (double)NAN};
    if (n < SY_WINDOW_LEAST)
        return s;
    (rules < 2 ? mean : usual)(&s, values, n);
    s.above = value - s.mean;
    return s;
}

static struct sy_sigma at_least(struct sy_sigma s, double deviation)
{
    s.deviation = fmax(s.deviation, deviation);
    s.above = s.deviation > 0 ? s.above / s.deviation : (double)NAN;
    return s;
}

struct sy_sigma sy_window_loss(const struct sy_window *w, double loss, int rules)
{
    struct sy_sigma s = sigma(w->loss, w->n, loss, rules);
    return w->n < SY_WINDOW_LEAST ? s : at_least(s, 0.01 * fabs(s.mean));
}

struct sy_sigma sy_window_norm(const struct sy_window *w, double norm, int rules)
{
    double logs[SY_WINDOW];
    for (int i = 0; i < w->n; i++)
        logs[i] = logarithm(w->norm[i]);
    struct sy_sigma s = sigma(logs, w->n, logarithm(norm), rules);
    return w->n < SY_WINDOW_LEAST ? s : at_least(s, log(1.05));
}

struct sy_spike_floor sy_spike_floor(int rules, double sigma, double clip)
{
    if (rules < 2)
        return (struct sy_spike_floor){-(double)INFINITY, 0};
    return (struct sy_spike_floor){sigma / 20, 1000 * (clip > 0 ? clip : 1)};
}

bool sy_window_suspects(const struct sy_window *w, double loss, double norm,
                        struct sy_spike_floor floor)
{
    if (w->n < SY_WINDOW_LEAST)
        return false;
    double least = w->loss[w->n - 1]; /* no median is smaller */
    for (int i = w->n - SY_LATELY; i < w->n; i++)
        least = fmin(least, w->loss[i]);
    return loss > least + floor.nats || norm > floor.norm;
}

static void append_value(double *values, int n, double v)
{
    if (n == SY_WINDOW)
        memmove(values, values + 1, (SY_WINDOW - 1) * sizeof *values);
    values[n == SY_WINDOW ? n - 1 : n] = v;
}

void sy_window_add(struct sy_window *w, double loss, double norm)
{
    if (!isfinite(loss) || !isfinite(norm))
        return;
    append_value(w->loss, w->n, loss);
    append_value(w->norm, w->n, norm);
    w->n += w->n < SY_WINDOW;
}
