/* A program's fingerprint: the same for the same description made again, another as soon as two
 * leaves of one shape (parameters, states, inputs, constants), two outputs of one operation or two
 * results change places; what is observed aside is none of it.  Of version 1, which runs of before
 * carry, the value stays what it was. */
#include "unit/tap.h"

#include "ops/build.h"
#include "switchyard/graph.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#define SIDE 4
#define LEAVES 6 /* two parameters, two states, two constants; two inputs are the graph's */

enum change {
    NONE, PARAMETERS, STATES, INPUTS, CONSTANTS, A_VALUE, OUTPUTS, UPDATED, RESULT, SEEN, CHANGES,
    ASIDE = CHANGES
};
static const char *const says[CHANGES + 1] = {
    "nothing", "two parameters", "two states", "two inputs", "two constants", "a constant's value",
    "two outputs", "what two states are set to", "which result is the loss", "what is observed",
    "what is observed aside"};

struct leaves {
    struct sy_tensor *list[LEAVES];
};

/* As a trainer does: names of parameters and states. */
static const char *leaf_name(void *ctx, const struct sy_tensor *leaf)
{
    static const char *const names[4] = {"a", "b", "state 1", "state 2"};
    const struct leaves *l = ctx;
    for (int i = 0; i < 4; i++)
        if (l->list[i] == leaf)
            return names[i];
    static char name[64];
    struct sy_graph *g = sy_graph_current();
    for (int i = 0; g && i < sy_graph_inputs(g); i++)
        if (sy_graph_input_at(g, i) == leaf) {
            snprintf(name, sizeof name, "input %s", sy_graph_input_name(g, i));
            return name;
        }
    return NULL;
}

static struct sy_tensor *filled(float value)
{
    int64_t shape[2] = {SIDE, SIDE};
    struct sy_tensor *t = sy_tensor_zeros(SY_F32, 2, shape, NULL);
    for (int i = 0; i < SIDE * SIDE; i++)
        ((float *)sy_tensor_data(t))[i] = value + (float)i;
    return t;
}

/* x, y at places a, b of the other order when it is this change. */
static void pick(bool swapped, struct sy_tensor *x, struct sy_tensor *y, struct sy_tensor **a,
                 struct sy_tensor **b)
{
    *a = swapped ? y : x;
    *b = swapped ? x : y;
}

/* One more sum, in the midst of the program, which nothing else reads. */
static void observe_more(struct sy_graph *g, struct sy_tensor *x, enum change c,
                         struct sy_err *err)
{
    if (c != SEEN && c != ASIDE)
        return;
    struct sy_tensor *sum = sy_b_sum(sy_b_sum(sy_b_neg(x), 1, false), 0, false);
    sy_graph_observe(g, "more", &(struct sy_series_what){.kind = SY_SERIES_VALUE}, sum, NULL, err);
    if (c == ASIDE)
        sy_graph_observe_aside(g);
}

/* x = tanh(in1 w1 + s1 + c1) w2 + s2 + c2 + in2 = q r; the sums of q - r and of x, one of them as
 * the loss. */
static struct sy_tensor *describe(struct sy_graph *g, const struct leaves *l, enum change c,
                                  struct sy_err *err)
{
    int64_t shape[2] = {SIDE, SIDE};
    struct sy_tensor *const *t = l->list;
    struct sy_tensor *w[2], *s[2], *k[2], *in[2], *top[2], *sum[2];
    struct sy_tensor *x = sy_graph_input(g, "one", SY_F32, 2, shape, err);
    struct sy_tensor *y = sy_graph_input(g, "two", SY_F32, 2, shape, err);
    pick(c == PARAMETERS, t[0], t[1], &w[0], &w[1]);
    pick(c == STATES, t[2], t[3], &s[0], &s[1]);
    pick(c == CONSTANTS, t[4], t[5], &k[0], &k[1]);
    pick(c == INPUTS, x, y, &in[0], &in[1]);
    x = sy_b_apply(SY_OP_MATMUL_, NULL, 2, in[0], w[0]);
    x = sy_b_apply(SY_OP_TANH_, NULL, 1, sy_b_add(sy_b_add(x, s[0]), k[0]));
    observe_more(g, x, c, err);
    x = sy_b_apply(SY_OP_MATMUL_, NULL, 2, x, w[1]);
    x = sy_b_add(sy_b_add(sy_b_add(x, s[1]), k[1]), in[1]);
    sy_graph_update(g, t[2], c == UPDATED ? x : sy_b_neg(x), err);
    sy_graph_update(g, t[3], c == UPDATED ? sy_b_neg(x) : x, err);
    struct sy_tensor *both[2] = {NULL, NULL};
    sy_b_apply_all(SY_OP_QR_, NULL, &x, 1, both);
    pick(c == OUTPUTS, both[0], both[1], &top[0], &top[1]);
    sum[0] = sy_b_sum(sy_b_sum(sy_b_sub(top[0], top[1]), 1, false), 0, false);
    sum[1] = sy_b_sum(sy_b_sum(x, 1, false), 0, false);
    sy_graph_observe(g, "sum 1", &(struct sy_series_what){.kind = SY_SERIES_VALUE}, sum[0], NULL,
                     err);
    sy_graph_observe(g, "sum 2", &(struct sy_series_what){.kind = SY_SERIES_VALUE}, sum[1], NULL,
                     err);
    return sum[c == RESULT];
}

static uint64_t fingerprint(struct leaves *l, enum change c, int version)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_scope scope;
    struct sy_graph *g = sy_graph_new(&err);
    sy_scope_begin(&scope, &err);
    sy_graph_begin(g, &err);
    struct sy_tensor *y = describe(g, l, c, &err);
    struct sy_program_spec spec = {.outputs = &y, .noutputs = 1};
    struct sy_program *p = y ? sy_program_new(g, &spec, &err) : NULL;
    uint64_t h = p ? sy_program_fingerprint(p, version, leaf_name, l) : 0;
    tap_ok(p != NULL, "%s changed: version %d %s", says[c], version, err.msg);
    sy_graph_end(g);
    sy_scope_end(&scope);
    sy_program_free(p);
    sy_graph_free(g);
    return h;
}

/* Of x w^T, w (1, 32) in mxfp4, whose scale lies apart from the rest. */
static uint64_t of_scale(unsigned char scale)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_scope scope;
    const int64_t shape[2] = {1, 32}, codes = 16, one = 1;
    struct sy_tensor *data = sy_tensor_zeros(SY_U8, 1, &codes, &err);
    struct sy_tensor *beside = sy_tensor_zeros(SY_U8, 1, &one, &err);
    *(unsigned char *)sy_tensor_data(beside) = scale;
    struct sy_tensor *w =
        sy_tensor_within(SY_MXFP4, 2, shape, data->storage, sy_tensor_data(data), beside->storage,
                         sy_tensor_data(beside), &err);
    struct sy_graph *g = sy_graph_new(&err);
    sy_scope_begin(&scope, &err);
    sy_graph_begin(g, &err);
    struct sy_tensor *x = sy_graph_input(g, "x", SY_F32, 2, shape, &err);
    struct sy_tensor *y = sy_b_apply(SY_OP_LINEAR_, NULL, 3, x, w, NULL);
    struct sy_program_spec spec = {.outputs = &y, .noutputs = 1};
    struct sy_program *p = y ? sy_program_new(g, &spec, &err) : NULL;
    uint64_t h = p ? sy_program_fingerprint(p, SY_FINGERPRINT_VERSION, NULL, NULL) : 0;
    tap_ok(p != NULL, "a constant that is stored in two places %s", err.msg);
    sy_graph_end(g);
    sy_scope_end(&scope);
    sy_program_free(p);
    sy_graph_free(g);
    sy_tensor_unref(w);
    sy_tensor_unref(data);
    sy_tensor_unref(beside);
    return h;
}

int main(void)
{
    struct leaves l;
    for (int i = 0; i < LEAVES; i++)
        l.list[i] = filled((float)i);
    uint64_t want = fingerprint(&l, NONE, SY_FINGERPRINT_VERSION);
    tap_ok(fingerprint(&l, NONE, SY_FINGERPRINT_VERSION) == want, "made again: the same");
    for (int i = 1; i < CHANGES; i++) {
        float *value = sy_tensor_data(l.list[4]);
        *value += i == A_VALUE;
        tap_ok(fingerprint(&l, (enum change)i, SY_FINGERPRINT_VERSION) != want, "another: %s",
               says[i]);
        *value -= i == A_VALUE;
    }
    tap_ok(fingerprint(&l, NONE, SY_FINGERPRINT_VERSION) == want, "and the same again");
    for (int version = 1; version <= SY_FINGERPRINT_VERSION; version++)
        tap_ok(fingerprint(&l, ASIDE, version) == fingerprint(&l, NONE, version),
               "the same: what is observed aside, version %d", version);
    tap_ok(fingerprint(&l, NONE, 1) == UINT64_C(0x312409fcafad1cb6),
           "version 1 is what it was: %llx", (unsigned long long)fingerprint(&l, NONE, 1));
    uint64_t scaled = of_scale(127);
    tap_ok(of_scale(127) == scaled && of_scale(128) != scaled, "another: the scale of a constant");
    for (int i = 0; i < LEAVES; i++)
        sy_tensor_unref(l.list[i]);
    return tap_done();
}
