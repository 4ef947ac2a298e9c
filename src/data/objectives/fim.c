/* Fill in the middle: of a share of the rows a document's text is cut at two places that are drawn,
 * and its middle part comes last.
 *
 *     PSM   before PRE prefix SUF suffix MID middle EOT after
 *     SPM   before PRE SUF suffix MID prefix middle EOT after
 *
 * Of the documents in the window one is cut, drawn by its length; what stands before and after it
 * stays text, and the end-of-text that the document has in the data is the row's.  All tokens
 * count.  Other rows are next-token prediction.  Both cuts are uniform over all places, so that
 * each part may be empty.
 *
 * Source: Bavarian et al. 2022, "Efficient training of language models to fill in the middle", 3
 * and 4.4: the cuts, within documents; SPM joined with PSM's tokens as here; half of the rows
 * each. */
#include "data/objectives/objective_int.h"

enum { RATE, SPM };
enum { DRAW_RATE, DRAW_SPM, DRAW_CUT, DRAW_OTHER, DRAW_DOCUMENT };
#define SPECIALS 4 /* beside the text of a row */

/* Places in the window: the document is first .. end-1, its middle from .. to-1; the text goes on
 * from next, to be n tokens. */
struct cuts {
    int64_t first, from, to, end, next, n;
};

static struct cuts draw_cuts(const struct sy__part *p, const struct sy__row *r)
{
    struct cuts c = {.n = r->context + 1 - SPECIALS};
    int64_t at = (int64_t)sy_rng_below(&r->rng, DRAW_DOCUMENT, (uint64_t)c.n);
    sy__row_document(r, at, c.n, &c.first, &c.end);
    c.next = c.end;
    if (c.end > c.first && sy__row_token(r, c.end - 1) == p->ids->eot) {
        c.end--; /* its end-of-text is one of the specials */
        c.n++;
    }
    uint64_t places = (uint64_t)(c.end - c.first) + 1;
    int64_t a = c.first + (int64_t)sy_rng_below(&r->rng, DRAW_CUT, places),
            b = c.first + (int64_t)sy_rng_below(&r->rng, DRAW_OTHER, places);
    c.from = a < b ? a : b;
    c.to = a < b ? b : a;
    return c;
}

static void lay_middle(const struct sy__part *p, struct sy__row *r)
{
    const struct sy__specials *ids = p->ids;
    struct cuts c = draw_cuts(p, r);
    bool spm = sy_rng_uniform(&r->rng, DRAW_SPM) < p->option[SPM];
    sy__row_documents(r, c.first);
    sy__row_text(r, SY__OUTPUT, 0, c.first);
    sy__row_id(r, SY__OUTPUT, ids->fim_prefix);
    if (!spm)
        sy__row_text(r, SY__OUTPUT, c.first, c.from - c.first);
    sy__row_id(r, SY__OUTPUT, ids->fim_suffix);
    sy__row_text(r, SY__OUTPUT, c.to, c.end - c.to);
    sy__row_id(r, SY__OUTPUT, ids->fim_middle);
    if (spm)
        sy__row_text(r, SY__OUTPUT, c.first, c.from - c.first);
    sy__row_text(r, SY__OUTPUT, c.from, c.to - c.from);
    sy__row_id(r, SY__OUTPUT, ids->eot);
    sy__row_text(r, SY__OUTPUT, c.next, c.n - c.next);
}

static void lay_fim(const struct sy__part *p, struct sy__row *r)
{
    if (sy_rng_uniform(&r->rng, DRAW_RATE) < p->option[RATE])
        lay_middle(p, r);
    else
        sy__objective_next.lay(p, r);
}

static const char *lacks_fim(const struct sy__specials *ids)
{
    return ids->fim_prefix >= 0 && ids->fim_middle >= 0 && ids->fim_suffix >= 0 && ids->eot >= 0
               ? NULL
               : "objective 'fim': the tokenizer has no <|fim_prefix|>, <|fim_middle|>, "
                 "<|fim_suffix|> or no end-of-text: make it with tokenizer.bytes{fim = true} or "
                 "tokenizer.train_bpe(path, {vocab =, fim = true})";
}

static int check_fim(const struct sy__part *p, int64_t T, int64_t S, struct sy_err *err)
{
    (void)p;
    if (S)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "objective 'fim': the model reads the field 'inputs', which it does not "
                          "fill: 'span' and 'prefix' do");
    return T >= SPECIALS ? 0
                         : sy_err_set(err, SY_E_RANGE,
                                      "objective 'fim': context is %lld, must be at least %d",
                                      (long long)T, SPECIALS);
}

static int64_t window_of_fim(const struct sy__part *p, int64_t T, int64_t S)
{
    (void)p;
    (void)S;
    return T;
}

const struct sy__objective sy__objective_fim = {
    .spec = {.name = "fim",
             .help = "the middle of a text behind what stands around it, and next tokens "
                     "(Bavarian et al. 2022)",
             .option = {{"rate", 0, 1, 0.5, "share of the rows that are cut"},
                        {"spm", 0, 1, 0.5, "of these, share with the suffix first"}}},
    .even = true,
    .lacks = lacks_fim,
    .check = check_fim,
    .window = window_of_fim,
    .lay = lay_fim,
};
