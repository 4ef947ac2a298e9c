/* Rows of a mix: which part a row is of, and where that part is (windows_int.h); and what is asked
 * of a mix as of one text. */
#include "data/windows_int.h"

#include "base/assert.h"

static struct sy_sampler part_of(const struct sy_sampler *s, int i)
{
    struct sy_sampler part = *s;
    part.corpus = s->corpus->mix.part[i].corpus;
    if (part.corpus->pairs.count)
        part.objectives = NULL;
    return part;
}

static int parts_of(const struct sy_sampler *s)
{
    return s->corpus->mix.n;
}

/* Of row g, counted over the whole run. */
static int draw_part(const struct sy_sampler *s, uint64_t g)
{
    const struct sy_rng r = sy__stream_rng(s, SY__STREAM_MIX, 0);
    double u = sy_rng_uniform(&r, g), upto = 0;
    int last = 0; /* that is drawn at all: sums may end below 1 */
    for (int i = 0; i < parts_of(s); i++) {
        double share = s->share ? s->share[i] : s->corpus->mix.part[i].share;
        last = share > 0 ? i : last;
        upto += share;
        if (u < upto)
            return i;
    }
    return last;
}

static struct sy_place place_of_part(const struct sy_place *p, int i)
{
    const struct sy_place_part *of = &p->part[i];
    return (struct sy_place){.windows = of->windows, .first = of->first, .epochs = of->epochs,
                             .token = of->token};
}

struct sy__walk sy__walk_from(const struct sy_sampler *s, const struct sy_place *p, int64_t row)
{
    struct sy__walk w = {.s = s, .p = p, .row = row};
    for (int64_t r = 0; parts_of(s) && s->mode != SY_SAMPLE_RANDOM && r < row; r++)
        w.drawn[draw_part(s, p->windows + (uint64_t)r)]++;
    return w;
}

struct sy__drawn sy__walk_row(struct sy__walk *w)
{
    uint64_t g = w->p->windows + (uint64_t)w->row;
    struct sy__drawn d = {.s = *w->s, .part = -1, .rng = sy__stream_rng(w->s, SY__STREAM_ROW, g)};
    if (parts_of(w->s)) {
        d.part = draw_part(w->s, g);
        d.s = part_of(w->s, d.part);
    }
    if (d.part < 0 || w->s->mode == SY_SAMPLE_RANDOM) {
        d.start = sy__window_start(&d.s, w->p, w->row);
    } else {
        struct sy_place own = place_of_part(w->p, d.part);
        d.start = sy__window_start(&d.s, &own, (int64_t)w->drawn[d.part]++);
    }
    w->row++;
    return d;
}

void sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows)
{
    for (uint64_t r = 0; parts_of(s) && s->mode != SY_SAMPLE_RANDOM && r < rows; r++)
        p->part[draw_part(s, p->windows + r)].windows++;
    p->windows += rows;
}

void sy_place_turn(const struct sy_sampler *s, struct sy_place *p)
{
    if (!parts_of(s)) {
        sy__window_turn(s, p);
        return;
    }
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_place own = place_of_part(p, i);
        sy__window_turn(&part, &own);
        p->part[i] = (struct sy_place_part){own.windows, own.first, own.epochs, own.token};
    }
    p->first = p->windows;
}

int64_t sy_place_epochs(const struct sy_sampler *s, const struct sy_place *p)
{
    int64_t most = 0;
    if (!parts_of(s))
        return sy__window_epochs(s, p);
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_place own = place_of_part(p, i);
        int64_t epochs = sy__window_epochs(&part, &own);
        most = epochs > most ? epochs : most;
    }
    return most;
}

/* Training needs all parts, an evaluation one. */
static int check_mix(const struct sy_sampler *s, struct sy_err *err)
{
    struct sy_err first = SY_ERR_INIT;
    int fit = 0;
    for (int i = 0; i < parts_of(s); i++) {
        struct sy_sampler part = part_of(s, i);
        struct sy_err why = SY_ERR_INIT;
        if (!sy__window_check(&part, &why))
            fit++;
        else
            sy_err_set(&first, why.code, "data.mix: '%s': %s", s->corpus->mix.part[i].name,
                       why.msg);
    }
    if (fit == parts_of(s) || (fit && s->split == SY_SPLIT_VAL))
        return 0;
    return sy_err_set(err, first.code, "%s", first.msg);
}

int sy_sampler_check(const struct sy_sampler *s, struct sy_err *err)
{
    if (s->batch < 1 || s->context < 1 || s->batch > INT32_MAX || s->context > INT32_MAX)
        return sy_err_set(err, SY_E_RANGE, "data: batch %lld and context %lld must be 1 or more",
                          (long long)s->batch, (long long)s->context);
    return parts_of(s) ? check_mix(s, err) : sy__window_check(s, err);
}

/* Windows of a part; 0: it has none in this split. */
static int64_t windows_of_part(const struct sy_sampler *s, int i)
{
    struct sy_sampler part = part_of(s, i);
    return sy__window_check(&part, NULL) ? 0 : sy__window_count(&part);
}

int64_t sy_sampler_windows(const struct sy_sampler *s)
{
    int64_t sum = 0;
    for (int i = 0; i < parts_of(s); i++)
        sum += windows_of_part(s, i);
    return parts_of(s) ? sum : sy__window_count(s);
}

/* Window `number` of a mix is of its parts in turn, as long as each has one: which, and the number
 * among its own. */
static int part_in_turn(const struct sy_sampler *s, int64_t number, int64_t *own)
{
    int64_t level = 0, windows[SY_MIX_MOST];
    for (int i = 0; i < parts_of(s); i++)
        windows[i] = windows_of_part(s, i);
    for (;;) {
        int left[SY_MIX_MOST], n = 0;
        int64_t next = INT64_MAX;
        for (int i = 0; i < parts_of(s); i++)
            if (windows[i] > level) {
                left[n++] = i;
                next = windows[i] < next ? windows[i] : next;
            }
        SY_ASSERT(n);
        if (number < (next - level) * n) {
            *own = level + number / n;
            return left[number % n];
        }
        number -= (next - level) * n;
        level = next;
    }
}

struct sy__drawn sy__eval_row(const struct sy_sampler *s, int64_t number)
{
    struct sy__drawn d = {.s = *s, .part = -1,
                      .rng = {0, SY_RNG_DATA + 256 * SY__STREAM_EVAL_ROW, (uint64_t)number}};
    if (parts_of(s)) {
        int64_t windows = sy_sampler_windows(s);
        d.part = part_in_turn(s, number % windows, &number);
        d.s = part_of(s, d.part);
    }
    d.start = sy__window_eval(&d.s, number);
    return d;
}
