/* The gradient of every operation that has one, against central finite differences.
 *
 * For each example: L = sum over outputs of <output, random cotangent>.  Analytic gradients of L
 * (sy_grad) against (L(x + h) - L(x - h)) / 2h for every element of every float input, in f64 with
 * h = 1e-6 max(1, |x|): the error must be below 1e-6 max(1, |gradient|).  An operation that refuses
 * f64 is tried in f32 with h = 1e-2 and 2e-2.  A row with a gradient and without an example fails.
 */
#include "grad/example.h"
#include "switchyard/graph.h"
#include "unit/tap.h"

#include <math.h>
#include <stdio.h>

struct setting {
    enum sy_dtype dtype;
    double h, tolerance;
};

/* L, added up in double by the test itself. */
static double loss_at(const struct example *e, struct sy_tensor *const *in, int nin, bool *ok)
{
    struct sy_tensor *out[SY_MAX_OUT] = {0};
    struct sy_err err = SY_ERR_INIT;
    int nout = sy_op_outputs(sy_op_get(e->op));
    double sum = 0;
    sy_context()->no_grad = true;
    *ok = !example_apply(e, in, nin, out, &err);
    sy_context()->no_grad = false;
    for (int k = 0; *ok && k < nout; k++) {
        if (!example_is_float(out[k]) || e->skip & 1u << k)
            continue;
        struct sy_tensor *c = example_cotangent(out[k], k, &err);
        for (int64_t i = 0; i < sy_tensor_count(c); i++)
            sum += sy_tensor_get(c, i) * sy_tensor_get(out[k], i);
        sy_tensor_unref(c);
    }
    example_release(out, nout);
    return sum;
}

static double numeric(const struct example *e, struct sy_tensor *const *in, int nin, int input,
                      int64_t at, double step)
{
    double x = sy_tensor_get(in[input], at), h = step * fmax(1, fabs(x));
    bool ok;
    sy_tensor_set(in[input], at, x + h);
    double above = sy_tensor_get(in[input], at), up = loss_at(e, in, nin, &ok);
    sy_tensor_set(in[input], at, x - h);
    double below = sy_tensor_get(in[input], at), down = loss_at(e, in, nin, &ok);
    sy_tensor_set(in[input], at, x);
    return (up - down) / (above - below);
}

/* Largest error over one input's elements, relative to max(1, |gradient|). */
static double input_error(const struct example *e, struct sy_tensor *const *in, int nin, int input,
                          const struct sy_tensor *grad, double h)
{
    double worst = 0;
    for (int64_t i = 0; i < sy_tensor_count(in[input]); i++) {
        double want = numeric(e, in, nin, input, i, h), got = grad ? sy_tensor_get(grad, i) : 0;
        double error = fabs(got - want) / fmax(1, fabs(want));
        worst = error > worst || error != error ? error : worst;
    }
    return worst;
}

static int gradients(const struct example *e, struct sy_tensor *const *in, int nin,
                     struct sy_tensor **grads, struct sy_err *err)
{
    struct sy_tensor *out[SY_MAX_OUT] = {0}, *wrt[SY_MAX_IN];
    int n = 0, at[SY_MAX_IN], rc = example_apply(e, in, nin, out, err);
    struct sy_tensor *loss = rc ? NULL : example_loss(e, out, err), *g[SY_MAX_IN] = {0};
    for (int i = 0; i < nin; i++)
        if (in[i] && in[i]->requires_grad) {
            at[n] = i;
            wrt[n++] = in[i];
        }
    rc = !loss || sy_grad(loss, wrt, n, g, err) ? -1 : 0;
    for (int i = 0; i < n; i++)
        grads[at[i]] = g[i];
    sy_tensor_unref(loss);
    example_release(out, SY_MAX_OUT);
    return rc;
}

static void check(const struct example *e, struct sy_tensor *const *in, int nin,
                  const struct setting *s)
{
    const char *name = sy_op_get(e->op)->name;
    struct sy_tensor *grads[SY_MAX_IN] = {0};
    struct sy_err err = SY_ERR_INIT;
    if (!tap_ok(!gradients(e, in, nin, grads, &err), "%s (%s): backward", name, e->in))
        tap_note("%s", err.msg);
    for (int i = 0; i < nin && !err.code; i++) {
        if (!in[i] || !in[i]->requires_grad)
            continue;
        bool fits =
            !grads[i] || (sy_tensor_same_shape(grads[i], in[i]) && grads[i]->dtype == s->dtype);
        double error = fits ? input_error(e, in, nin, i, grads[i], s->h) : HUGE_VAL;
        double limit = e->tolerance > 0 ? e->tolerance : s->tolerance;
        if (!tap_ok(error < limit, "%s (%s): input %d, %s", name, e->in, i + 1,
                    sy_dtype_name(s->dtype)))
            tap_note("error %g, limit %g%s", error, limit, grads[i] ? "" : ", no gradient came");
    }
    example_release(grads, SY_MAX_IN);
}

static void want_grads(const struct example *e, struct sy_tensor **in, int nin)
{
    for (int i = 0; i < nin; i++)
        if (example_is_float(in[i]) && !(e->frozen & 1u << i))
            sy_tensor_set_requires_grad(in[i], true);
}

/* f64 where the operation takes it, else f32 */
static void test_example(const struct example *e)
{
    static const struct setting settings[] = {{SY_F64, 1e-6, 1e-6}, {SY_F32, 1e-2, 2e-2}};
    struct sy_tensor *in[SY_MAX_IN] = {0};
    for (int s = 0; s < 2; s++) {
        struct sy_err err = SY_ERR_INIT;
        bool ok;
        int nin = example_inputs(e, e->in, settings[s].dtype, in, &err);
        if (nin >= 0)
            loss_at(e, in, nin, &ok);
        if (nin >= 0 && ok) {
            want_grads(e, in, nin);
            check(e, in, nin, &settings[s]);
            example_release(in, SY_MAX_IN);
            return;
        }
        example_release(in, SY_MAX_IN);
    }
    tap_ok(0, "%s (%s): applies in f64 or f32", sy_op_get(e->op)->name, e->in);
}

static bool has_example(enum sy_opcode op)
{
    for (int i = 0; i < example_count; i++)
        if (examples[i].op == op)
            return true;
    return false;
}

int main(void)
{
    for (int i = 0; i < example_count; i++)
        if (sy_op_get(examples[i].op)->vjp)
            test_example(&examples[i]);
    for (int op = 0; op < SY_OP_COUNT; op++)
        if (sy_op_get((enum sy_opcode)op)->vjp)
            tap_ok(has_example((enum sy_opcode)op), "%s has an example in examples.def",
                   sy_op_get((enum sy_opcode)op)->name);
    return tap_done();
}
