/* See example.h. */
#include "grad/example.h"

#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

#define I(...) .ints = true, .i = {__VA_ARGS__}
#define F(...) .reals = true, .f = {__VA_ARGS__}
const struct example examples[] = {
#include "grad/examples.def"
};
#undef I
#undef F
const int example_count = (int)(sizeof examples / sizeof *examples);

bool example_is_float(const struct sy_tensor *t)
{
    return t && (t->dtype == SY_F32 || t->dtype == SY_F64);
}

void example_release(struct sy_tensor **t, int n)
{
    for (int i = 0; i < n; i++) {
        sy_tensor_unref(t[i]);
        t[i] = NULL;
    }
}

static double value_of(char kind, int64_t n, int input, int64_t i, int64_t count)
{
    struct sy_rng key = {77, SY_RNG_USER, (uint64_t)input};
    double u = sy_rng_uniform(&key, (uint64_t)i);
    switch (kind) {
    case 'p':
        return 0.5 + 1.5 * u;
    case 'd': /* a permutation of multiples of 0.05 (count and 7919 coprime), centred */
        return 0.05 * ((double)(i * 7919 % count) - 0.5 * (double)count + 0.3);
    case 'u':
        return u;
    case 'i':
        return (double)sy_rng_below(&key, (uint64_t)i, (uint64_t)n);
    case 'b':
        return u < 0.5;
    case 'c':
        return (double)(i % n);
    case 'z':
        return 0;
    default:
        return u < 0.5 ? -2 + 3.8 * u : 0.1 + 3.8 * (u - 0.5);
    }
}

/* One word of the list -> tensor. */
static struct sy_tensor *parse(const char *word, int input, enum sy_dtype dtype, struct sy_err *err)
{
    int64_t shape[SY_MAX_DIMS];
    int ndim = 0;
    char *end = NULL;
    for (const char *p = word; *p >= '0' && *p <= '9'; p = end + (*end == 'x'))
        shape[ndim++] = strtoll(p, &end, 10);
    const char *colon = strchr(word, ':');
    size_t length = strcspn(word, " ");
    char kind = colon && colon < word + length ? colon[1] : 0;
    int64_t n = kind == 'i' || kind == 'c' ? strtoll(colon + 2, NULL, 10) : 0;
    if (kind == 'b')
        dtype = SY_BOOL;
    if (n)
        dtype = SY_I32;
    struct sy_tensor *t = sy_tensor_empty(dtype, ndim, shape, err);
    int64_t count = t ? sy_tensor_count(t) : 0;
    for (int64_t i = 0; i < count; i++)
        sy_tensor_set(t, i, value_of(kind, n, input, i, count));
    return t;
}

int example_inputs(const struct example *e, const char *text, enum sy_dtype dtype,
                   struct sy_tensor **in, struct sy_err *err)
{
    int n = 0;
    (void)e;
    while (*text) {
        size_t length = strcspn(text, " ");
        in[n] = *text == '-' ? NULL : parse(text, n, dtype, err);
        if (*text != '-' && !in[n]) {
            example_release(in, n);
            return -1;
        }
        n++;
        text += length + (text[length] == ' ');
    }
    return n;
}

int example_apply(const struct example *e, struct sy_tensor *const *in, int nin,
                  struct sy_tensor **out, struct sy_err *err)
{
    struct sy_attrs attrs = {0};
    memcpy(attrs.i, e->i, sizeof attrs.i);
    memcpy(attrs.f, e->f, sizeof attrs.f);
    sy_context()->seed = 5;
    sy_context()->step = 9;
    return sy_apply(e->op, in, nin, e->ints || e->reals ? &attrs : NULL, out, err);
}

struct sy_tensor *example_cotangent(const struct sy_tensor *t, int output, struct sy_err *err)
{
    struct sy_rng key = {78, SY_RNG_USER, (uint64_t)output};
    struct sy_tensor *c = sy_tensor_empty(t->dtype, t->ndim, t->shape, err);
    int64_t n = c ? sy_tensor_count(c) : 0;
    for (int64_t i = 0; i < n; i++)
        sy_tensor_set(c, i, 2 * sy_rng_uniform(&key, (uint64_t)i) - 1);
    return c;
}

static struct sy_tensor *apply2(enum sy_opcode op, struct sy_tensor *a, struct sy_tensor *b,
                                struct sy_err *err)
{
    struct sy_tensor *in[2] = {a, b}, *y = NULL;
    if (a && (b || op == SY_OP_SUM_))
        sy_apply(op, in, b ? 2 : 1, NULL, &y, err);
    sy_tensor_unref(a);
    sy_tensor_unref(b);
    return y;
}

struct sy_tensor *example_loss(const struct example *e, struct sy_tensor *const *out,
                               struct sy_err *err)
{
    struct sy_tensor *loss = NULL;
    for (int k = 0; k < sy_op_outputs(sy_op_get(e->op)); k++) {
        if (!example_is_float(out[k]) || e->skip & 1u << k)
            continue;
        struct sy_tensor *part =
            apply2(SY_OP_MUL_, sy_tensor_ref(out[k]), example_cotangent(out[k], k, err), err);
        part = apply2(SY_OP_SUM_, part, NULL, err);
        loss = loss ? apply2(SY_OP_ADD_, loss, part, err) : part;
    }
    return loss;
}
