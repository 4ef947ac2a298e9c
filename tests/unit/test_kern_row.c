/* Row and optimizer kernels: values against plain double-precision loops, gradients against
 * differences of those, and equal bits in all kernel sets. */
#include "unit/kern_sets.h"

enum { R = 5, NMAX = 1030, LD = 1037, SIZE = R * LD + 64 };

static float X[SIZE], Y[SIZE], Z[SIZE], W[LD], B[LD], S[64];
static double want[SIZE];

static const struct sy_row_kernels *row(void)
{
    return sy_cpu()->row;
}

static double act(int a, double x)
{
    switch (a) {
    case SY_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case SY_ACTIVATION_GELU:
        return 0.5 * x * erfc(-x * 0.70710678118654752);
    case SY_ACTIVATION_GELU_TANH:
        return x / (1 + exp(-2 * 0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case SY_ACTIVATION_RELU:
        return x > 0 ? x : 0;
    default:
        return x > 0 ? x * x : 0;
    }
}

static double act_slope(int a, double x)
{
    const double h = 1e-6;
    return (act(a, x + h) - act(a, x - h)) / (2 * h);
}

/* Double-precision rows, y from x; `aux` carries what a function needs beside it. */
typedef void row_fn(double *y, const double *x, int64_t n);

static void softmax_d(double *y, const double *x, int64_t n)
{
    double top = -HUGE_VAL, s = 0;
    for (int64_t i = 0; i < n; i++)
        top = fmax(top, x[i]);
    for (int64_t i = 0; i < n; i++)
        s += exp(x[i] - top);
    for (int64_t i = 0; i < n; i++)
        y[i] = exp(x[i] - top) / s;
}

static void log_softmax_d(double *y, const double *x, int64_t n)
{
    softmax_d(y, x, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = log(y[i]);
}

static void rms_d(double *y, const double *x, int64_t n)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += x[i] * x[i];
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / sqrt(s / (double)n + 1e-5) * (double)W[i];
}

static void layer_d(double *y, const double *x, int64_t n)
{
    double s = 0, q = 0;
    for (int64_t i = 0; i < n; i++)
        s += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        q += (x[i] - s) * (x[i] - s) / (double)n;
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - s) / sqrt(q + 1e-5) * (double)W[i] + (double)B[i];
}

/* Forward values and, at a few coordinates of each row, d<dy, f(x)>/dx[c] by central differences.
 */
static int rows_match(row_fn *f, const float *y, int64_t n)
{
    static double x[NMAX];
    int ok = 1;
    for (int r = 0; r < R; r++) {
        for (int64_t i = 0; i < n; i++)
            x[i] = (double)X[r * LD + i];
        f(want, x, n);
        ok &= near(y + r * LD, want, n, 3e-6);
    }
    return ok;
}

static int slopes_match(row_fn *f, const float *dx, const float *dy, const float *base, int64_t n)
{
    static double x[NMAX], lo[NMAX], hi[NMAX];
    const double h = 1e-5;
    for (int r = 0; r < R; r++)
        for (int64_t c = 0; c < n; c += n / 3 + 1) {
            for (int64_t i = 0; i < n; i++)
                x[i] = (double)X[r * LD + i];
            x[c] += h;
            f(hi, x, n);
            x[c] -= 2 * h;
            f(lo, x, n);
            double g = base ? (double)base[r * LD + c] : 0;
            for (int64_t i = 0; i < n; i++)
                g += (double)dy[r * LD + i] * (hi[i] - lo[i]) / (2 * h);
            if (!near(dx + r * LD + c, &g, 1, 2e-5))
                return 0;
        }
    return 1;
}

static const int64_t sizes[] = {1, 2, 15, 16, 17, 33, 64, 67, NMAX};
enum { NSIZES = sizeof sizes / sizeof *sizes };

static void inputs(void)
{
    fill_range(X, SIZE, 1, -4, 4);
    fill_range(Y, SIZE, 2, -2, 2);
    fill_range(Z, SIZE, 3, -2, 2);
    fill_range(W, LD, 4, 0.5, 1.5);
    fill_range(B, LD, 5, -1, 1);
    fill_range(S, 64, 6, 0.1, 1);
}

static void reductions(void)
{
    float s[R], q[R], d[R], mx[R], mn[R], col[NMAX];
    int32_t am[R];
    int ok = 1;
    inputs();
    for (int k = 0; k < NSIZES; k++) {
        const int64_t n = sizes[k];
        for (int64_t i = 0; i < n; i++)
            col[i] = B[i];
        row()->sum(s, X, LD, R, n);
        row()->sumsq(q, X, LD, R, n);
        row()->dot(d, X, LD, Y, LD, R, n);
        row()->max(mx, X, LD, R, n);
        row()->min(mn, X, LD, R, n);
        row()->argmax(am, X, LD, R, n);
        row()->col_sum(col, X, LD, S, R, n);
        for (int r = 0; r < R; r++) {
            double e[3] = {0, 0, 0};
            float hi = -HUGE_VALF, lo = HUGE_VALF;
            int32_t at = 0;
            for (int64_t i = 0; i < n; i++) {
                float v = X[r * LD + i];
                e[0] += (double)v;
                e[1] += (double)v * (double)v;
                e[2] += (double)v * (double)Y[r * LD + i];
                if (v > hi)
                    at = (int32_t)i;
                hi = fmaxf(hi, v);
                lo = fminf(lo, v);
            }
            ok &=
                near(s + r, e, 1, 2e-5) & near(q + r, e + 1, 1, 2e-5) & near(d + r, e + 2, 1, 2e-5);
            ok &= hi == mx[r] && lo == mn[r] && at == am[r];
        }
        for (int64_t i = 0; i < n; i++) {
            want[i] = (double)B[i];
            for (int r = 0; r < R; r++)
                want[i] += (double)S[r] * (double)X[r * LD + i];
        }
        ok &= near(col, want, n, 1e-5);
    }
    tap_ok(ok, "sum, sumsq, dot, max, min, argmax, col_sum");

    float v[40];
    for (int i = 0; i < 40; i++)
        v[i] = i == 21 || i == 36 ? 5.0f : 1.0f;
    row()->argmax(am, v, 40, 1, 40);
    tap_is_int(am[0], 21, "argmax: the lowest of equals");
    v[33] = NAN;
    row()->argmax(am, v, 40, 1, 40);
    row()->max(mx, v, 40, 1, 40);
    row()->min(mn, v, 40, 1, 40);
    tap_ok(am[0] == 33 && mx[0] != mx[0] && mn[0] != mn[0],
           "NaN: max and min pass it on, argmax finds it");
}

static void softmaxes(void)
{
    static float y[SIZE], dx[SIZE];
    int ok[5] = {1, 1, 1, 1, 1};
    inputs();
    for (int k = 0; k < NSIZES; k++) {
        const int64_t n = sizes[k];
        float lse[R];
        row()->softmax(y, LD, X, LD, R, n);
        ok[0] &= rows_match(softmax_d, y, n);
        memcpy(dx, Z, sizeof dx);
        row()->softmax_back(dx, LD, Y, LD, y, LD, R, n, true);
        ok[1] &= slopes_match(softmax_d, dx, Y, Z, n);
        row()->log_softmax(y, LD, X, LD, R, n);
        ok[2] &= rows_match(log_softmax_d, y, n);
        row()->log_softmax_back(dx, LD, Y, LD, y, LD, R, n, false);
        ok[3] &= slopes_match(log_softmax_d, dx, Y, NULL, n);
        row()->logsumexp(lse, X, LD, R, n);
        for (int r = 0; r < R; r++)
            ok[4] &= fabsf(lse[r] - (X[r * LD] - y[r * LD])) < 1e-5f;
    }
    tap_ok(ok[0], "softmax");
    tap_ok(ok[1], "softmax, backward");
    tap_ok(ok[2], "log_softmax");
    tap_ok(ok[3], "log_softmax, backward");
    tap_ok(ok[4], "logsumexp");
    float v[20], l;
    for (int i = 0; i < 20; i++)
        v[i] = i == 3 ? 1000.0f : -INFINITY;
    row()->softmax(y, 20, v, 20, 1, 20);
    row()->logsumexp(&l, v, 20, 1, 20);
    tap_ok(y[3] == 1.0f && y[0] == 0.0f && l == 1000.0f, "softmax of large values and -inf");
    v[3] = -INFINITY;
    row()->logsumexp(&l, v, 20, 1, 20);
    tap_ok(l == -INFINITY, "logsumexp of nothing but -inf");
}

static void norms(void)
{
    static float y[SIZE], dx[SIZE], dw[LD], db[LD];
    int ok[6] = {1, 1, 1, 1, 1, 1};
    inputs();
    for (int k = 1; k < NSIZES; k++) {
        const int64_t n = sizes[k];
        float mean[R], rstd[R];
        row()->rms_norm(y, LD, rstd, X, LD, W, 1e-5f, R, n);
        ok[0] &= rows_match(rms_d, y, n);
        memcpy(dx, Z, sizeof dx);
        memcpy(dw, B, sizeof dw);
        row()->rms_norm_back(dx, LD, dw, Y, LD, X, LD, W, rstd, R, n, true);
        ok[1] &= slopes_match(rms_d, dx, Y, Z, n);
        for (int64_t i = 0; i < n; i++) {
            want[i] = (double)B[i];
            for (int r = 0; r < R; r++)
                want[i] += (double)Y[r * LD + i] * (double)y[r * LD + i] / (double)W[i];
        }
        ok[2] &= near(dw, want, n, 1e-5);

        row()->layer_norm(y, LD, mean, rstd, X, LD, W, B, 1e-5f, R, n);
        ok[3] &= rows_match(layer_d, y, n);
        memset(dw, 0, sizeof dw);
        memset(db, 0, sizeof db);
        row()->layer_norm_back(dx, LD, dw, db, Y, LD, X, LD, W, mean, rstd, R, n, false);
        if (n > 2) /* two values: the slope is a difference of nearly equal terms */
            ok[4] &= slopes_match(layer_d, dx, Y, NULL, n);
        for (int64_t i = 0; i < n; i++) {
            want[i] = want[NMAX + i] = 0;
            for (int r = 0; r < R; r++) {
                want[i] += (double)Y[r * LD + i] * (double)(y[r * LD + i] - B[i]) / (double)W[i];
                want[NMAX + i] += (double)Y[r * LD + i];
            }
        }
        ok[5] &= near(dw, want, n, 1e-5) & near(db, want + NMAX, n, 1e-5);
    }
    tap_ok(ok[0], "rms_norm");
    tap_ok(ok[1], "rms_norm, backward");
    tap_ok(ok[2], "rms_norm, weight");
    tap_ok(ok[3], "layer_norm");
    tap_ok(ok[4], "layer_norm, backward");
    tap_ok(ok[5], "layer_norm, weight and bias");
}

static void cross_entropy(void)
{
    static float x[SIZE];
    int ok = 1, grad = 1;
    for (int k = 0; k < NSIZES; k++) {
        const int64_t n = sizes[k];
        const int32_t target[R] = {0, (int32_t)n - 1, -1, (int32_t)n / 2, 0};
        float loss[R], lse[R], loss2[R];
        inputs();
        memcpy(x, X, sizeof x);
        row()->cross_entropy(loss2, NULL, x, LD, target, 0.25f, false, R, n);
        ok &= !memcmp(x, X, sizeof x);
        row()->cross_entropy(loss, lse, x, LD, target, 0.25f, true, R, n);
        ok &= same(loss, loss2, R);
        for (int r = 0; r < R; r++) {
            double xd[NMAX], p[NMAX], l = 0;
            for (int64_t i = 0; i < n; i++)
                xd[i] = (double)X[r * LD + i];
            softmax_d(p, xd, n);
            if (target[r] >= 0)
                l = -log(p[target[r]]);
            ok &= near(loss + r, &l, 1, 2e-6);
            for (int64_t i = 0; i < n; i++)
                p[i] = target[r] < 0 ? 0 : 0.25 * (p[i] - (i == target[r]));
            grad &= near(x + r * LD, p, n, 1e-6);
        }
    }
    tap_ok(ok, "cross_entropy, ignored rows");
    tap_ok(grad, "cross_entropy, gradient in place");
}

static void activations(void)
{
    static float h[SIZE], dg[SIZE], du[SIZE], dh[SIZE];
    static double w1[NMAX], w2[NMAX], w3[NMAX];
    for (int a = 0; a < SY_ACTIVATION_COUNT; a++)
        for (int gated = 0; gated < 2; gated++) {
            int ok = 1, back = 1, expert = 1;
            for (int k = 0; k < NSIZES; k++) {
                const int64_t n = sizes[k];
                float dgate[R];
                inputs();
                row()->glu[a](h, LD, X, LD, gated ? Y : NULL, LD, R, n);
                row()->glu_back[a](dg, LD, gated ? du : NULL, LD, Z, LD, X, LD, gated ? Y : NULL,
                                   LD, R, n);
                for (int r = 0; r < R; r++) {
                    for (int64_t i = 0; i < n; i++) {
                        double g = (double)X[r * LD + i], e = (double)Z[r * LD + i];
                        double u = gated ? (double)Y[r * LD + i] : 1;
                        w1[i] = act(a, g) * u;
                        w2[i] = e * u * act_slope(a, g);
                        w3[i] = e * act(a, g);
                    }
                    ok &= near(h + r * LD, w1, n, 1e-6);
                    back &=
                        near(dg + r * LD, w2, n, 1e-5) & (!gated || near(du + r * LD, w3, n, 1e-6));
                }
                memcpy(dh, Z, sizeof dh);
                memcpy(dg, X, sizeof dg);
                memcpy(du, Y, sizeof du);
                row()->expert_back[a](dgate, dh, LD, dg, LD, gated ? du : NULL, LD, S, R, n);
                for (int r = 0; r < R; r++) {
                    double d = 0, s = (double)S[r];
                    for (int64_t i = 0; i < n; i++) {
                        double g = (double)X[r * LD + i], e = (double)Z[r * LD + i];
                        double u = gated ? (double)Y[r * LD + i] : 1;
                        d += e * act(a, g) * u;
                        w1[i] = s * act(a, g) * u;
                        w2[i] = s * e * u * act_slope(a, g);
                        w3[i] = s * e * act(a, g);
                    }
                    expert &= near(dgate + r, &d, 1, 2e-5) & near(dh + r * LD, w1, n, 1e-6) &
                              near(dg + r * LD, w2, n, 1e-5) &
                              (!gated || near(du + r * LD, w3, n, 1e-6));
                }
            }
            tap_ok(ok && back && expert,
                   "activation %d, gated %d: forward %d, backward %d, expert %d", a, gated, ok,
                   back, expert);
        }
}

static void rope(void)
{
    enum { H = 3, D = 40, HALF = 17, T = 9 };
    static float c[T * HALF], s[T * HALF], x[4 * H * D], y[4 * H * D], z[4 * H * D];
    static const int32_t pos[4] = {8, 0, 3, 5};
    for (int i = 0; i < T * HALF; i++) {
        c[i] = cosf((float)i);
        s[i] = sinf((float)i);
    }
    fill_range(x, 4 * H * D, 1, -2, 2);
    for (int inter = 0; inter < 2; inter++) {
        struct sy_rope p = {c, s, pos, 0, H, D, HALF, inter, false};
        int ok = 1;
        row()->rope(y, H * D, x, H * D, &p, 4);
        for (int r = 0; r < 4; r++)
            for (int h = 0; h < H; h++)
                for (int i = 0; i < D; i++) {
                    const float *xh = x + (r * H + h) * D;
                    double w = (double)xh[i];
                    int k = inter ? i / 2 : i % HALF, second = inter ? i & 1 : i >= HALF;
                    if (i < 2 * HALF) {
                        double a = (double)xh[inter ? 2 * k : k],
                               b = (double)xh[inter ? 2 * k + 1 : k + HALF];
                        double co = (double)c[pos[r] * HALF + k], si = (double)s[pos[r] * HALF + k];
                        w = second ? b * co + a * si : a * co - b * si;
                    }
                    ok &= near(y + (r * H + h) * D + i, &w, 1, 1e-6);
                }
        p.inverse = true;
        memcpy(z, y, sizeof z);
        row()->rope(z, H * D, z, H * D, &p, 4);
        for (int i = 0; i < 4 * H * D; i++)
            ok &= fabsf(z[i] - x[i]) < 1e-5f;
        tap_ok(ok, "rope, %s, and its inverse in place", inter ? "interleaved" : "half-split");
    }
}

static void routing(void)
{
    static float x[R * 512], out[R * 100], val[R * 16];
    static int32_t idx[R * 16];
    int ok = 1;
    for (int64_t n = 1; n <= 512; n = n < 40 ? n + 1 : n * 2)
        for (int64_t k = 1; k <= 8 && k <= n; k++) {
            fill_range(x, R * 512, (uint64_t)(n * 100 + k), 0, 20);
            for (int i = 0; i < R * 512; i++)
                x[i] = floorf(x[i]); /* many equals */
            row()->topk(val, idx, x, 512, R, n, k);
            for (int r = 0; r < R; r++) {
                const float *xr = x + r * 512;
                for (int j = 0; j < k; j++) {
                    int32_t at = idx[r * k + j];
                    int64_t ahead = 0; /* how many come before it in the full order */
                    for (int64_t i = 0; i < n; i++)
                        ahead += xr[i] > xr[at] || (xr[i] == xr[at] && i < at);
                    ok &= ahead == j && val[r * k + j] == xr[at];
                }
            }
        }
    tap_ok(ok, "topk, ties to the lower index");
    x[0] = NAN, x[1] = -INFINITY, x[2] = 1, x[3] = NAN;
    row()->topk(NULL, idx, x, 4, 1, 4, 3);
    tap_ok(idx[0] == 0 && idx[1] == 3 && idx[2] == 2, "topk: NaN is the largest");
    for (int i = 0; i < 40; i++)
        x[i] = i == 19 || i == 30 ? NAN : (float)(i % 7);
    row()->topk(val, idx, x, 40, 1, 40, 3);
    tap_ok(idx[0] == 19 && idx[1] == 30 && idx[2] == 6 && val[0] != val[0] && val[2] == 6.0f,
           "behind the first k as well");

    static const int32_t pos[R * 2] = {3, 1, 0, -1, -1, -1, 4, 4, 2, 0};
    ok = 1;
    inputs();
    memcpy(out, B, sizeof(float) * 100);
    row()->gather_sum(out, 100, X, LD, pos, S, 2, R, 99, false);
    for (int r = 0; r < R; r++)
        for (int i = 0; i < 99; i++) {
            double w = 0;
            for (int j = 0; j < 2; j++)
                w += pos[2 * r + j] < 0 ? 0
                                        : (double)S[2 * r + j] * (double)X[pos[2 * r + j] * LD + i];
            ok &= near(out + r * 100 + i, &w, 1, 1e-6);
        }
    tap_ok(ok, "gather_sum");
    row()->gather(out, 100, X, LD, pos, R, 99);
    ok = 1;
    for (int r = 0; r < R; r++)
        for (int i = 0; i < 99; i++)
            ok &= out[r * 100 + i] == (pos[r] < 0 ? 0 : X[pos[r] * LD + i]);
    tap_ok(ok, "gather");
}

static void optimizers(void)
{
    static float p[1000], g[1000], m[1000], v[1000];
    static double dp[1000], dm[1000], dv[1000];
    const struct sy_optim_kernels *k = sy_cpu()->optim;
    fill_range(p, 1000, 1, -1, 1);
    for (int i = 0; i < 1000; i++) {
        dp[i] = (double)p[i];
        m[i] = v[i] = 0.0f;
        dm[i] = dv[i] = 0.0;
    }
    for (int t = 1; t <= 5; t++) {
        fill_range(g, 1000, (uint64_t)t + 10, -1, 1);
        struct sy_adamw a = {1e-2f,
                             0.9f,
                             0.95f,
                             1e-8f,
                             0.1f,
                             0.5f,
                             1 - pow((double)0.9f, t),
                             1 - pow((double)0.95f, t)};
        k->adamw(p, g, m, v, 1000, &a);
        for (int i = 0; i < 1000; i++) {
            double gi = 0.5 * (double)g[i];
            dm[i] = 0.9 * dm[i] + 0.1 * gi;
            dv[i] = 0.95 * dv[i] + 0.05 * gi * gi;
            dp[i] -= 1e-2 * 0.1 * dp[i];
            dp[i] -= 1e-2 * (dm[i] / a.correct1) / (sqrt(dv[i] / a.correct2) + 1e-8);
        }
    }
    tap_ok(near(p, dp, 1000, 1e-6) && near(m, dm, 1000, 1e-6) && near(v, dv, 1000, 1e-6),
           "adamw, five steps");

    for (int nesterov = 0; nesterov < 2; nesterov++) {
        struct sy_sgd a = {0.1f, 0.9f, 0.01f, 2.0f, nesterov};
        for (int i = 0; i < 1000; i++) {
            double d = 2 * (double)g[i];
            dm[i] = 0.9 * (double)m[i] + d;
            dp[i] = (double)p[i] * (1 - 0.1 * 0.01) - 0.1 * (nesterov ? d + 0.9 * dm[i] : dm[i]);
        }
        k->sgd(p, g, m, 1000, &a);
        tap_ok(near(p, dp, 1000, 1e-6) && near(m, dm, 1000, 1e-6), "sgd, nesterov %d", nesterov);
    }

    double s = 0;
    int64_t bad = 5;
    for (int i = 0; i < 997; i++)
        s += (double)g[i] * (double)g[i];
    double got = k->sumsq(g, 997, &bad);
    tap_ok(fabs(got / s - 1) < 1e-13 && bad == -1, "sumsq");
    g[3] = 3e38f;
    g[4] = -3e38f;
    tap_ok(isfinite(k->sumsq(g, 997, &bad)) && bad == -1, "sumsq: large but finite");
    g[996] = NAN;
    g[501] = -INFINITY;
    k->sumsq(g, 997, &bad);
    tap_is_int(bad, 501, "sumsq: first element that is not finite");
}

/* Every kernel once on n columns; all outputs side by side in `o`. */
static void everything(const struct sy_kernels *k, float *o, int64_t n)
{
    static float a[SIZE], b[SIZE], c[SIZE];
    const struct sy_row_kernels *q = k->row;
    int32_t target[R] = {0, (int32_t)n / 2, -1, (int32_t)n - 1, 0}, at[R * 2];
    const int64_t K = n < 2 ? 1 : 2;
    inputs();
    q->sum(o, X, LD, R, n), o += R;
    q->sumsq(o, X, LD, R, n), o += R;
    q->max(o, X, LD, R, n), o += R;
    q->min(o, X, LD, R, n), o += R;
    q->dot(o, X, LD, Y, LD, R, n), o += R;
    q->logsumexp(o, X, LD, R, n), o += R;
    q->argmax(at, X, LD, R, n);
    for (int r = 0; r < R; r++)
        *o++ = (float)at[r];
    q->topk(o, at, X, LD, R, n, K), o += R * K;
    for (int r = 0; r < R * K; r++)
        *o++ = (float)at[r];
    q->col_sum(o, X, LD, NULL, R, n), o += LD;
    q->col_sum(o, X, LD, S, R, n), o += LD;
    q->softmax(o, LD, X, LD, R, n);
    q->softmax_back(o + SIZE, LD, Y, LD, o, LD, R, n, true), o += 2 * SIZE;
    q->log_softmax(o, LD, X, LD, R, n);
    q->log_softmax_back(o + SIZE, LD, Y, LD, o, LD, R, n, false), o += 2 * SIZE;
    float *mean = o, *rstd = o + R;
    o += 2 * R;
    q->rms_norm(o, LD, rstd, X, LD, W, 1e-5f, R, n), o += SIZE;
    q->rms_norm_back(o, LD, o + SIZE, Y, LD, X, LD, NULL, rstd, R, n, true), o += SIZE + LD;
    q->layer_norm(o, LD, mean, rstd, X, LD, W, B, 1e-5f, R, n), o += SIZE;
    q->layer_norm_back(o, LD, o + SIZE, o + SIZE + LD, Y, LD, X, LD, W, mean, rstd, R, n, false);
    o += SIZE + 2 * LD;
    memcpy(a, X, sizeof a);
    q->cross_entropy(o, o + R, a, LD, target, 0.3f, true, R, n), o += 2 * R;
    memcpy(o, a, sizeof a), o += SIZE;
    for (int i = 0; i < SY_ACTIVATION_COUNT; i++) {
        q->glu[i](o, LD, X, LD, Y, LD, R, n), o += SIZE;
        q->glu_back[i](o, LD, o + SIZE, LD, Z, LD, X, LD, Y, LD, R, n), o += 2 * SIZE;
        memcpy(a, X, sizeof a), memcpy(b, Y, sizeof b), memcpy(c, Z, sizeof c);
        q->expert_back[i](o, c, LD, a, LD, b, LD, S, R, n), o += R;
        memcpy(o, a, sizeof a), memcpy(o + SIZE, b, sizeof b), memcpy(o + 2 * SIZE, c, sizeof c);
        o += 3 * SIZE;
    }
    for (int inter = 0; inter < 2 && n > 1; inter++) {
        struct sy_rope p = {Y, Z, NULL, 1, 1, n, n / 2, inter, false};
        q->rope(o, LD, X, LD, &p, 1), o += SIZE;
    }
    static const int32_t pos[R * 2] = {3, 1, 0, -1, -1, -1, 4, 4, 2, 0};
    q->gather_sum(o, LD, X, LD, pos, S, 2, R, n, false), o += SIZE;
    struct sy_adamw adam = {1e-2f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.5f, 0.19, 0.0975};
    struct sy_sgd sgd = {0.1f, 0.9f, 0.01f, 2.0f, 1};
    memcpy(a, X, sizeof a), memcpy(b, Y, sizeof b), memcpy(c, Z, sizeof c);
    for (int i = 0; i < SIZE; i++)
        c[i] = fabsf(c[i]);
    k->optim->adamw(a, Y, b, c, n * R, &adam);
    k->optim->sgd(a, Y, b, n * R, &sgd);
    memcpy(o, a, sizeof a), memcpy(o + SIZE, b, sizeof b), memcpy(o + 2 * SIZE, c, sizeof c);
    o += 3 * SIZE;
    double s = k->optim->sumsq(X, n * R, NULL);
    memcpy(o, &s, sizeof s), o += 2;
    memcpy(a, X, sizeof a), memcpy(b, Y, sizeof b);
    k->optim->momentum(a, b, n * R, &sgd);
    k->optim->second(a, c, n * R, 0.9f, 0.5f, 1e-30f);
    k->optim->mix(b, 0.3f, a, -1.7f, n * R);
    k->optim->outer(b, c, 0.7f, n * R);
    memcpy(o, a, sizeof a), memcpy(o + SIZE, b, sizeof b), memcpy(o + 2 * SIZE, c, sizeof c);
    o += 3 * SIZE;
    double sums[64] = {0};
    for (int i = 0; i < R; i++)
        k->optim->add_squares(sums, X + i * n, n < 64 ? n : 64);
    memcpy(o, sums, sizeof sums);
}

static void parity(int set)
{
    enum { TOTAL = 64 * SIZE };
    static float ref[TOTAL], got[TOTAL];
    int ok = 1;
    const struct sy_kernels *r = kern_set(0), *k = kern_set(set);
    if (!k) {
        tap_skip("kernel set %d", set);
        return;
    }
    for (int64_t n = 1; ok && n <= NMAX; n += n < 67 ? 1 : NMAX - 67) {
        memset(ref, 0, sizeof ref);
        memset(got, 0, sizeof got);
        everything(r, ref, n);
        everything(k, got, n);
        ok = same(ref, got, TOTAL);
        if (!ok)
            tap_note("n = %d", (int)n);
    }
    tap_ok(ok, "%s: the same bits as ref", k->name);
}

int main(void)
{
    reductions();
    softmaxes();
    norms();
    cross_entropy();
    activations();
    rope();
    routing();
    optimizers();
    for (int s = 1; s < SETS; s++)
        parity(s);
    return tap_done();
}
