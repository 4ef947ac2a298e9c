/* The same bits everywhere: every example of the op table, forward and backward in f32,
 *
 *   with each kernel set against ref, and with 1 thread against 3;
 *   with inputs that lie transposed in memory against contiguous ones;
 *   planned into a program (in-place and shared memory included) against eager.
 *
 * Bits of a NaN are not compared (cpu/kern/vec.h). */
#include "grad/example.h"
#include "switchyard/graph.h"
#include "unit/tap.h"

#include "base/pool.h"
#include "cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST (SY_MAX_OUT + SY_MAX_IN)

/* Outputs, then gradients of the float inputs (NULL where none flows). */
struct result {
    struct sy_tensor *t[MOST];
    int n;
};

static void result_free(struct result *r)
{
    example_release(r->t, r->n);
}

static const char *inputs_of(const struct example *e)
{
    return e->big ? e->big : e->in;
}

/* t with its last two dimensions transposed in memory: same values, other strides. */
static struct sy_tensor *strided(struct sy_tensor *t, struct sy_err *err)
{
    int64_t order[SY_MAX_DIMS + 6] = {t->ndim};
    struct sy_tensor *swapped = NULL, *dense = NULL, *back = NULL;
    struct sy_attrs attrs = {0};
    for (int d = 0; d < t->ndim; d++)
        attrs.i[1 + d] = d < t->ndim - 2 ? d : 2 * t->ndim - 3 - d;
    attrs.i[0] = order[0];
    sy_apply(SY_OP_PERMUTE_, &t, 1, &attrs, &swapped, err);
    sy_apply(SY_OP_CONTIGUOUS_, &swapped, 1, NULL, &dense, err);
    sy_apply(SY_OP_PERMUTE_, &dense, 1, &attrs, &back, err);
    sy_tensor_unref(swapped);
    sy_tensor_unref(dense);
    sy_tensor_unref(t);
    return back;
}

static int make_inputs(const struct example *e, bool as_strided, struct sy_tensor **in,
                       struct sy_err *err)
{
    int n = example_inputs(e, inputs_of(e), SY_F32, in, err);
    bool grad = sy_op_get(e->op)->vjp != NULL;
    for (int i = 0; i < n; i++) {
        if (in[i] && as_strided && in[i]->ndim >= 2)
            in[i] = strided(in[i], err);
        if (example_is_float(in[i]) && grad && !(e->frozen & 1u << i))
            sy_tensor_set_requires_grad(in[i], true);
    }
    return n;
}

/* Apply and differentiate, eager or into a trace. */
static int collect(const struct example *e, struct sy_tensor **in, int nin, struct result *r,
                   struct sy_err *err)
{
    struct sy_tensor *wrt[SY_MAX_IN];
    int nwrt = 0;
    r->n = sy_op_outputs(sy_op_get(e->op));
    if (example_apply(e, in, nin, r->t, err))
        return -1;
    for (int i = 0; i < nin; i++)
        if (in[i] && in[i]->requires_grad)
            wrt[nwrt++] = in[i];
    if (!nwrt)
        return 0;
    struct sy_tensor *loss = example_loss(e, r->t, err);
    int rc = loss ? sy_grad(loss, wrt, nwrt, r->t + r->n, err) : -1;
    r->n += nwrt;
    sy_tensor_unref(loss);
    return rc;
}

static int eager(const struct example *e, bool as_strided, struct result *r, struct sy_err *err)
{
    struct sy_tensor *in[SY_MAX_IN] = {0};
    memset(r, 0, sizeof *r);
    int nin = make_inputs(e, as_strided, in, err);
    int rc = nin < 0 ? -1 : collect(e, in, nin, r, err);
    example_release(in, SY_MAX_IN);
    return rc;
}

static bool same_element(double a, double b)
{
    return !memcmp(&a, &b, sizeof a) || (isnan(a) && isnan(b));
}

static bool same(const struct result *a, const struct result *b, const char *what)
{
    for (int k = 0; k < a->n; k++) {
        const struct sy_tensor *x = a->t[k], *y = b->t[k];
        if (!x != !y || (x && (x->dtype != y->dtype || !sy_tensor_same_shape(x, y)))) {
            tap_note("%s: result %d has another shape or dtype", what, k + 1);
            return false;
        }
        for (int64_t i = 0; x && i < sy_tensor_count(x); i++)
            if (!same_element(sy_tensor_get(x, i), sy_tensor_get(y, i))) {
                tap_note("%s: result %d element %lld: %.9g and %.9g", what, k + 1, (long long)i,
                         sy_tensor_get(x, i), sy_tensor_get(y, i));
                return false;
            }
    }
    return true;
}

static void compare(const struct example *e, const struct result *want, const struct result *got,
                    int rc, const struct sy_err *err, const char *what)
{
    char label[160];
    snprintf(label, sizeof label, "%s (%s): %s", sy_op_get(e->op)->name, inputs_of(e), what);
    tap_ok(!rc && same(want, got, what), "%s", label);
    if (rc)
        tap_note("%s", err->msg);
}

static void eager_against(const struct example *e, const struct result *want, const char *what,
                          bool as_strided)
{
    struct result got;
    struct sy_err err = SY_ERR_INIT;
    int rc = eager(e, as_strided, &got, &err);
    compare(e, want, &got, rc, &err, what);
    result_free(&got);
}

/* ---- as a program ---- */

static int run_program(struct sy_graph *g, struct result *r, struct sy_err *err)
{
    struct sy_tensor *outputs[MOST];
    struct sy_program_spec spec = {.outputs = outputs};
    for (int k = 0; k < r->n; k++)
        if (r->t[k])
            outputs[spec.noutputs++] = r->t[k];
    struct sy_program *p = sy_program_new(g, &spec, err);
    int rc = !p || sy_program_attach(p, NULL, err) || sy_program_run(p, 5, 9, err) ? -1 : 0;
    for (int k = 0; k < r->n && !rc; k++) { /* out of the arena */
        struct sy_tensor *dense = NULL;
        if (r->t[k] && !sy_apply(SY_OP_CONTIGUOUS_, &r->t[k], 1, NULL, &dense, err)) {
            sy_tensor_unref(r->t[k]);
            r->t[k] = dense;
        }
    }
    sy_program_free(p);
    return rc;
}

static void program_against(const struct example *e, const struct result *want)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *in[SY_MAX_IN] = {0};
    struct result got = {{0}, 0};
    struct sy_graph *g = sy_graph_new(&err);
    int nin = make_inputs(e, false, in, &err);
    int rc = !g || nin < 0 || sy_graph_begin(g, &err) ? -1 : 0;
    if (!rc)
        rc = collect(e, in, nin, &got, &err);
    sy_graph_end(g);
    sy_context()->no_grad = true;
    if (!rc)
        rc = run_program(g, &got, &err);
    sy_context()->no_grad = false;
    compare(e, want, &got, rc, &err, "program");
    result_free(&got);
    example_release(in, SY_MAX_IN);
    sy_graph_free(g);
}

/* ---- the walk ---- */

static const char *const sets[] = {"avx2", "avx512"};

static void walk(const struct example *e)
{
    struct result want;
    struct sy_err err = SY_ERR_INIT;
    char what[64];
    sy_pool_set_threads(1, NULL);
    sy_cpu_force("ref", NULL);
    if (!tap_ok(!eager(e, false, &want, &err), "%s (%s): ref", sy_op_get(e->op)->name,
                inputs_of(e)))
        tap_note("%s", err.msg);
    for (int i = 0; i < 2 && !err.code; i++) {
        if (sy_cpu_force(sets[i], NULL))
            continue; /* reported once by main */
        snprintf(what, sizeof what, "%s, 1 thread", sets[i]);
        eager_against(e, &want, what, false);
        sy_pool_set_threads(3, NULL);
        snprintf(what, sizeof what, "%s, 3 threads", sets[i]);
        eager_against(e, &want, what, false);
        sy_pool_set_threads(1, NULL);
    }
    if (!err.code) {
        eager_against(e, &want, "strided inputs", true);
        if (!(sy_op_get(e->op)->flags & SY_OP_RANDOM)) /* keyed by its number in the program */
            program_against(e, &want);
    }
    result_free(&want);
}

int main(void)
{
    for (int i = 0; i < 2; i++)
        if (sy_cpu_force(sets[i], NULL))
            tap_skip("this machine has no %s", sets[i]);
    for (int i = 0; i < example_count; i++)
        walk(&examples[i]);
    return tap_done();
}
