/* Prefix language model: the text is split at a place that is drawn, and what comes after it is to
 * be told by what stands before.
 *
 *     one stack        x0 ... x(k-1) xk ... xT       1 <= k <= T; xk .. xT count, prefix is k, and
 *                                                   attention lets all see the first k
 *     encoder          x0 ... x(k-1) EOS             all splits of S - 1 tokens of which both sides
 *     decoder          xk ... EOS                    fit are equally likely
 *
 * Source: Raffel et al. 2020, 3.2.1 and 3.3.1 (one random split, no sentinel). */
#include "data/objectives/objective_int.h"

/* The encoder-decoder's window. */
static int64_t text_of(int64_t S)
{
    return S - 1;
}

static int64_t first_split(int64_t T, int64_t S)
{
    int64_t k = text_of(S) - (T - 1);
    return k > 1 ? k : 1;
}

static void lay_sides(const struct sy__part *p, struct sy__row *r)
{
    int64_t n = text_of(r->inputs), low = first_split(r->context, r->inputs);
    int64_t k = low + (int64_t)sy_rng_below(&r->rng, 0, (uint64_t)(n - low));
    sy__row_text(r, SY__INPUT, 0, k);
    sy__row_id(r, SY__INPUT, p->ids->eot);
    sy__row_id(r, SY__OUTPUT, r->pad); /* what a decoder begins with */
    sy__row_text(r, SY__OUTPUT, k, n - k);
    sy__row_id(r, SY__OUTPUT, p->ids->eot);
}

static void lay_prefix(const struct sy__part *p, struct sy__row *r)
{
    if (r->inputs) {
        lay_sides(p, r);
        return;
    }
    int64_t T = r->context, k = 1 + (int64_t)sy_rng_below(&r->rng, 0, (uint64_t)T);
    sy__row_documents(r, 0);
    r->counts = false;
    sy__row_text(r, SY__OUTPUT, 0, k);
    sy__row_prefix(r, (int32_t)k);
    r->counts = true;
    sy__row_text(r, SY__OUTPUT, k, T + 1 - k);
}

static int check_prefix(const struct sy__part *p, int64_t T, int64_t S, struct sy_err *err)
{
    if (!S)
        return 0;
    if (S < 3 || T < 2)
        return sy_err_set(err, SY_E_RANGE,
                          "objective 'prefix': %lld tokens of input and a context of %lld hold no "
                          "split text: at least 3 and 2 are needed",
                          (long long)S, (long long)T);
    if (p->ids->eot < 0)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "objective 'prefix': the tokenizer has no end-of-text, which ends what "
                          "an encoder reads: tokenizer.bytes{sentinels = 100} and "
                          "tokenizer.train_bpe make it");
    return 0;
}

static int64_t window_of_prefix(const struct sy__part *p, int64_t T, int64_t S)
{
    (void)p;
    return S ? text_of(S) : T;
}

const struct sy__objective sy__objective_prefix = {
    .spec = {.name = "prefix",
             .help = "what follows a first part that is seen whole; it ends at random (prefix LM, "
                     "Raffel et al. 2020)"},
    .check = check_prefix,
    .window = window_of_prefix,
    .lay = lay_prefix,
};
