/* Statistics of the spike rule.  See spike.h. */
#include "train/spike.h"

#include <math.h>
#include <string.h>

static double logarithm(double v) { return log(fmax(v, 1e-30)); }

static struct sy_sigma sigma(const double *values, int n, double value)
{
    struct sy_sigma s = {(double)NAN, (double)NAN, (double)NAN};
    double sum = 0, square = 0;
    if (n < SY_WINDOW_LEAST)
        return s;
    for (int i = 0; i < n; i++)
        sum += values[i];
    s.mean = sum / n;
    for (int i = 0; i < n; i++)
        square += (values[i] - s.mean) * (values[i] - s.mean);
    s.deviation = sqrt(square / n);
    s.above = value - s.mean;
    return s;
}

static struct sy_sigma at_least(struct sy_sigma s, double deviation)
{
    s.deviation = fmax(s.deviation, deviation);
    s.above = s.deviation > 0 ? s.above / s.deviation : (double)NAN;
    return s;
}

struct sy_sigma sy_window_loss(const struct sy_window *w, double loss)
{
    struct sy_sigma s = sigma(w->loss, w->n, loss);
    return w->n < SY_WINDOW_LEAST ? s : at_least(s, 0.01 * fabs(s.mean));
}

struct sy_sigma sy_window_norm(const struct sy_window *w, double norm)
{
    double logs[SY_WINDOW];
    for (int i = 0; i < w->n; i++)
        logs[i] = logarithm(w->norm[i]);
    struct sy_sigma s = sigma(logs, w->n, logarithm(norm));
    return w->n < SY_WINDOW_LEAST ? s : at_least(s, log(1.05));
}

static void append(double *values, int n, double v)
{
    if (n == SY_WINDOW)
        memmove(values, values + 1, (SY_WINDOW - 1) * sizeof *values);
    values[n == SY_WINDOW ? n - 1 : n] = v;
}

void sy_window_add(struct sy_window *w, double loss, double norm)
{
    if (!isfinite(loss) || !isfinite(norm))
        return;
    append(w->loss, w->n, loss);
    append(w->norm, w->n, norm);
    w->n += w->n < SY_WINDOW;
}
