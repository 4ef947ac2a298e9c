/* Experts in double by plain loops, slot after slot: says in the fewest lines what experts.c
 * computes. */
#include "moe/experts_int.h"

#include "ops/activation.h"
#include "ops/vector_f64.h"

#include <string.h>

static void forward_slot(const struct sy__experts *m, int64_t e, int64_t s)
{
    const int64_t c = m->c, f = m->f;
    const double *x = (const double *)m->x + m->rows[s] * c;
    double *g = (double *)m->g + s * f, *u = (double *)m->u + s * f;
    double *h = (double *)m->h + s * f, *y = (double *)m->y + s * c;
    for (int64_t j = 0; j < f; j++) {
        double slope;
        g[j] = sy__dot_f64((const double *)m->w_act + (e * f + j) * c, x, c);
        h[j] = sy__act_f64(m->act, g[j], &slope);
        if (m->w_mul) {
            u[j] = sy__dot_f64((const double *)m->w_mul + (e * f + j) * c, x, c);
            h[j] *= u[j];
        }
    }
    for (int64_t i = 0; i < c; i++)
        y[i] = sy__dot_f64((const double *)m->w_down + (e * c + i) * f, h, f);
}

void sy__experts_f64(const struct sy__experts *m)
{
    const double *gates = m->gates, *y = m->y;
    double *out = m->out;
    for (int64_t e = 0; e < m->e; e++)
        for (int64_t s = m->offsets[e]; s < m->offsets[e + 1]; s++)
            forward_slot(m, e, s);
    memset(out, 0, (size_t)(m->n * m->c) * sizeof *out);
    for (int64_t i = 0; i < m->n * m->k; i++)
        if (m->pos[i] >= 0)
            sy__axpy_f64(out + i / m->k * m->c, gates[i], y + m->pos[i] * m->c, m->c);
}

static void add_outer(void *w, const double *a, int64_t rows, const double *b, int64_t cols,
                      int64_t e)
{
    double *to = w;
    for (int64_t i = 0; to && i < rows; i++)
        sy__axpy_f64(to + (e * rows + i) * cols, a[i], b, cols);
}

/* One slot of expert e: gate s, its gradient returned. */
static double backward_slot(const struct sy__experts *m, int64_t e, int64_t slot, double s)
{
    const int64_t c = m->c, f = m->f, weight = e * f * c;
    const double *x = (const double *)m->x + m->rows[slot] * c;
    const double *d = (const double *)m->dout + m->rows[slot] * c;
    double *g = (double *)m->g + slot * f, *u = (double *)m->u + slot * f;
    double *hs = (double *)m->h, *dx = (double *)m->dx + m->rows[slot] * c, dgate = 0;
    for (int64_t j = 0; j < f; j++) {
        double t = 0, slope, a = sy__act_f64(m->act, g[j], &slope), mul = m->w_mul ? u[j] : 1;
        for (int64_t i = 0; i < c; i++)
            t += ((const double *)m->w_down)[weight + i * f + j] * d[i];
        dgate += t * a * mul;
        hs[j] = s * a * mul;
        g[j] = s * t * mul * slope;
        if (m->w_mul)
            u[j] = s * t * a;
    }
    add_outer(m->dw_down, d, c, hs, f, e);
    add_outer(m->dw_act, g, f, x, c, e);
    add_outer(m->dw_mul, u, f, x, c, e);
    for (int64_t j = 0; m->dx && j < f; j++) {
        sy__axpy_f64(dx, g[j], (const double *)m->w_act + weight + j * c, c);
        if (m->w_mul)
            sy__axpy_f64(dx, u[j], (const double *)m->w_mul + weight + j * c, c);
    }
    return dgate;
}

static void zero(void *p, int64_t n)
{
    if (p)
        memset(p, 0, (size_t)n * sizeof(double));
}

void sy__experts_backward_f64(const struct sy__experts *m)
{
    const int64_t weight = m->e * m->f * m->c;
    const double *gates = m->gates;
    double *gate = m->gate_slot, *dgate = m->dgate_slot, *dgates = m->dgates;
    zero(m->dx, m->n * m->c);
    zero(m->dw_down, weight);
    zero(m->dw_act, weight);
    zero(m->dw_mul, weight);
    zero(gate, m->r);
    for (int64_t i = 0; i < m->n * m->k; i++)
        if (m->pos[i] >= 0)
            gate[m->pos[i]] = gates[i];
    for (int64_t e = 0; e < m->e; e++)
        for (int64_t s = m->offsets[e]; s < m->offsets[e + 1]; s++)
            dgate[s] = backward_slot(m, e, s, gate[s]);
    for (int64_t i = 0; dgates && i < m->n * m->k; i++)
        dgates[i] = m->pos[i] >= 0 ? dgate[m->pos[i]] : 0;
}
