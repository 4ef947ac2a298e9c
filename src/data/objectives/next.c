/* Next-token prediction: the text, each token with the one after it for a target. */
#include "data/objectives/objective_int.h"

static int check_next(const struct sy__part *p, int64_t T, int64_t S, struct sy_err *err)
{
    (void)p;
    (void)T;
    return S ? sy_err_set(err, SY_E_UNSUPPORTED,
                          "objective 'next': the model reads the field 'inputs', which it does not "
                          "fill: 'span' and 'prefix' do")
             : 0;
}

static int64_t window_of_next(const struct sy__part *p, int64_t T, int64_t S)
{
    (void)p;
    (void)S;
    return T;
}

static void lay_next(const struct sy__part *p, struct sy__row *r)
{
    (void)p;
    sy__row_documents(r, 0);
    sy__row_text(r, SY__OUTPUT, 0, r->context + 1);
}

const struct sy__objective sy__objective_next = {
    .spec = {.name = "next", .help = "each token from those before it"},
    .even = true,
    .check = check_next,
    .window = window_of_next,
    .lay = lay_next,
};
