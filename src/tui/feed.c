/* See feed.h. */
#include "tui/feed.h"

#include "base/clock.h"
#include "base/grow.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUES 65536 /* of one read, at most */
#define POLL 0.5     /* seconds between two looks at a stored run */

/* ---- runs ---- */

struct sy__run *sy__run_new(struct sy_source *source, struct sy_err *err)
{
    struct sy__run *r = sy_calloc(1, sizeof *r);
    if (!r) {
        sy_err_set(err, SY_E_MEMORY, "panel: out of memory");
        return NULL;
    }
    r->source = sy_source_ref(source);
    r->polled = -1;
    sy_source_status(source, &r->status);
    return r;
}

static void free_feed(struct sy__feed *f)
{
    sy_pyramid_free(f->p[0]);
    sy_pyramid_free(f->p[1]);
    sy_free(f->members);
    sy_free(f);
}

void sy__run_free(struct sy__run *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->nfeeds; i++)
        free_feed(r->feeds[i]);
    sy_free(r->feeds);
    sy_free(r->marks);
    sy_free(r->layers);
    sy_free(r->parts);
    sy_source_unref(r->source);
    sy_free(r);
}

static void cut_feeds(struct sy__run *r, int64_t step)
{
    for (int i = 0; i < r->nfeeds; i++) {
        struct sy__feed *f = r->feeds[i];
        for (int k = 0; k < 2; k++)
            if (f->p[k])
                sy_pyramid_cut(f->p[k], sy_pyramid_find(f->p[k], step + 1));
        f->last = f->last > step ? step : f->last;
    }
    r->nmarks = 0;
}

static bool take_marks(struct sy__run *r)
{
    struct sy_mark some[16];
    int n, before = r->nmarks;
    while ((n = sy_source_marks(r->source, r->nmarks, some, 16)) > 0) {
        if (SY_GROW(r->marks, r->marks_room, r->nmarks + n))
            break;
        memcpy(r->marks + r->nmarks, some, (size_t)n * sizeof *some);
        r->nmarks += n;
    }
    return r->nmarks != before;
}

static bool same_number(double a, double b)
{
    return (a <= b && a >= b) || (isnan(a) && isnan(b));
}

static bool same_status(const struct sy_source_status *a, const struct sy_source_status *b)
{
    return a->step == b->step && a->steps == b->steps && a->tokens == b->tokens &&
           a->live == b->live && a->val_step == b->val_step && a->saved == b->saved &&
           same_number(a->tok_s, b->tok_s) && same_number(a->loss, b->loss) &&
           same_number(a->val_loss, b->val_loss) && same_number(a->lr, b->lr) &&
           same_number(a->eta, b->eta) && a->state == b->state &&
           !strcmp(a->alarm, b->alarm);
}

bool sy__run_look(struct sy__run *r, double now)
{
    struct sy_source_status before = r->status;
    if (r->polled < 0 || now - r->polled >= POLL || now < r->polled) {
        sy_source_poll(r->source);
        r->polled = now;
    }
    sy_source_status(r->source, &r->status);
    bool news = !same_status(&before, &r->status);
    int64_t cut = sy_source_cut(r->source, &r->cuts);
    if (cut != INT64_MAX) {
        cut_feeds(r, cut);
        news = true;
    }
    news |= sy__run_series(r);
    return take_marks(r) || news;
}

/* ---- feeds ---- */

struct sy__feed *sy__find_feed(const struct sy__run *r, struct sy__of of)
{
    for (int i = 0; i < r->nfeeds; i++)
        if (r->feeds[i]->reduce == of.reduce && r->feeds[i]->kind == of.kind &&
            r->feeds[i]->column == of.column &&
            !strcmp(r->feeds[i]->name, of.name ? of.name : ""))
            return r->feeds[i];
    return NULL;
}

static struct sy__feed *new_feed(struct sy__run *r, struct sy__of of, double decay)
{
    if (SY_GROW(r->feeds, r->feeds_room, r->nfeeds + 1))
        return NULL;
    struct sy__feed *f = sy_calloc(1, sizeof *f);
    if (!f)
        return NULL;
    snprintf(f->name, sizeof f->name, "%s", of.name ? of.name : "");
    f->kind = of.kind;
    f->reduce = of.reduce;
    f->column = of.column;
    f->last = -1;
    f->looked = -1;
    f->p[0] = sy_pyramid_new(decay, NULL);
    f->p[1] = of.reduce == SY__LOAD ? sy_pyramid_new(decay, NULL) : NULL;
    if (!f->p[0] || (of.reduce == SY__LOAD && !f->p[1])) {
        free_feed(f);
        return NULL;
    }
    return r->feeds[r->nfeeds++] = f;
}

struct sy__feed *sy__feed(struct sy__run *r, struct sy__of of, double decay)
{
    struct sy__feed *f = sy__find_feed(r, of);
    if (!f)
        f = new_feed(r, of, decay);
    if (!f)
        return NULL;
    f->wanted = true;
    for (int k = 0; k < 2; k++)
        if (f->p[k])
            sy_pyramid_set_decay(f->p[k], decay);
    return f;
}

const struct sy_pyramid *sy__feed_rows(const struct sy__feed *f, int which)
{
    return f && f->p[which] && sy_pyramid_rows(f->p[which]) ? f->p[which] : NULL;
}

void sy__run_unwant(struct sy__run *r)
{
    for (int i = 0; i < r->nfeeds; i++)
        r->feeds[i]->wanted = false;
}

bool sy__run_more(const struct sy__run *r)
{
    for (int i = 0; i < r->nfeeds; i++)
        if (r->feeds[i]->wanted && r->feeds[i]->more)
            return true;
    return false;
}

static bool is_member(struct sy__run *r, const struct sy__feed *f, int series)
{
    return *f->name ? !strcmp(sy_source_series(r->source, series), f->name)
                    : sy_source_what(r->source, series).kind == f->kind;
}

static void look_for_members(struct sy__run *r, struct sy__feed *f)
{
    int count = sy_source_count(r->source);
    if (f->looked == count)
        return;
    if (SY_GROW(f->members, f->members_room, count + 1))
        return;
    int *list = f->members;
    f->nmembers = f->nmost = 0;
    for (int i = 0; i < count; i++)
        if (is_member(r, f, i)) {
            int width = sy_source_width(r->source, i);
            f->nmost = width > f->nmost ? width : f->nmost;
            list[f->nmembers++] = i;
        }
    f->looked = count;
}

/* One row of all members at a time: sums, counts, extremes. */
struct sums {
    int64_t *steps, *other;
    float *values; /* of one member: [n][width] */
    float *first;  /* [n] out: sum, mean, largest, or the first column */
    float *second; /* [n] out: zeros */
    double *sum;   /* [n] */
};

static struct sums *new_sums(int64_t n, int width)
{
    size_t k = (size_t)n;
    struct sums *s = sy_alloc(sizeof *s + k * (2 * sizeof(int64_t) + sizeof(double)) +
                              k * (2 + (size_t)width) * sizeof(float));
    if (!s)
        return NULL;
    s->steps = (int64_t *)(void *)(s + 1);
    s->other = s->steps + n;
    s->sum = (double *)(void *)(s->other + n);
    s->first = (float *)(void *)(s->sum + n);
    s->second = s->first + n;
    s->values = s->second + n;
    return s;
}

/* What of a row has numbers alone: a column, or the largest; NaN: it has none. */
static float number_of(const struct sy__feed *f, const float *row, int width)
{
    float most = NAN;
    if (f->reduce == SY__COLUMN)
        return f->column < width ? row[f->column] : NAN;
    for (int k = 0; k < width; k++)
        most = isnan(most) || row[k] > most ? row[k] : most;
    return most;
}

static bool has_gaps(const struct sy__feed *f)
{
    return f->reduce == SY__COLUMN || f->reduce == SY__TOP;
}

static void add_member(struct sums *s, const struct sy__feed *f, int64_t n, int width, bool first)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = s->values + i * width;
        if (has_gaps(f)) { /* of one series */
            s->first[i] = number_of(f, row, width);
            continue;
        }
        double sum = first ? 0 : s->sum[i];
        float most = first ? -INFINITY : s->first[i], zeros = first ? 0 : s->second[i];
        for (int k = 0; k < width; k++) {
            sum += (double)row[k];
            most = row[k] > most || isnan(row[k]) ? row[k] : most;
            zeros += sy_expert_dead((double)row[k], 0, false) ? 1.0f : 0.0f;
        }
        s->sum[i] = sum;
        s->first[i] = f->reduce == SY__FIRST ? row[0] : most;
        s->second[i] = zeros;
    }
}

/* The series of which experts of a member's layer were disabled; or -1. */
static int disabled_of(const struct sy__run *r, int series)
{
    for (int i = 0; i < r->nlayers; i++)
        if (r->layers[i].series == series)
            return r->layers[i].disabled;
    return -1;
}

/* Those are not dead, at whose steps its rows are some of a member's; `other` and `values` are used
 * up. */
static void leave_out_disabled(struct sy__run *r, const struct sy__feed *f, struct sums *s,
                               int64_t n, int member)
{
    int id = f->reduce == SY__LOAD ? disabled_of(r, member) : -1, width = -1;
    if (id < 0 || (width = sy_source_width(r->source, id)) != sy_source_width(r->source, member))
        return;
    int64_t got = sy_source_after(r->source, id, f->last, n, s->other, s->values), i = 0;
    for (int64_t k = 0; k < got; k++) {
        while (i < n && s->steps[i] < s->other[k])
            i++;
        for (int e = 0; e < width && i < n && s->steps[i] == s->other[k]; e++)
            s->second[i] -= s->values[k * width + e] > 0 ? 1.0f : 0.0f;
    }
}

/* Read up to n rows of all members with the same steps; how many, or -1: try again from *last. */
static int64_t read_rows(struct sy__run *r, struct sy__feed *f, struct sums *s, int64_t n)
{
    int64_t total = 0;
    for (int m = 0; m < f->nmembers; m++) {
        int width = sy_source_width(r->source, f->members[m]);
        int64_t *steps = m ? s->other : s->steps;
        int64_t got = sy_source_after(r->source, f->members[m], f->last, n, steps, s->values);
        for (int64_t i = 0; m && i < got; i++)
            if (s->other[i] != s->steps[i]) {
                if (!i) { /* a series that began later: from its first row on */
                    f->last = (s->other[0] > s->steps[0] ? s->other[0] : s->steps[0]) - 1;
                    return -1;
                }
                got = i;
            }
        n = got < n ? got : n;
        if (!n)
            return 0;
        add_member(s, f, n, width, m == 0);
        leave_out_disabled(r, f, s, n, f->members[m]);
        total += width;
    }
    for (int64_t i = 0; i < n && f->reduce == SY__SUM; i++)
        s->first[i] = (float)s->sum[i];
    for (int64_t i = 0; i < n && f->reduce == SY__MEAN; i++)
        s->first[i] = (float)(s->sum[i] / (double)total);
    return n;
}

/* Rows without a number are left out; how many are left. */
static int64_t close_gaps(struct sums *s, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(s->first[i])) {
            s->first[kept] = s->first[i];
            s->steps[kept++] = s->steps[i];
        }
    return kept;
}

/* One helping.  true: there were rows. */
static bool read_feed(struct sy__run *r, struct sy__feed *f, struct sums *s, int64_t n)
{
    int64_t got = -1;
    for (int tries = 0; got < 0 && tries < 4; tries++)
        got = read_rows(r, f, s, n);
    f->more = got == n;
    if (got <= 0)
        return false;
    f->last = s->steps[got - 1];
    if (has_gaps(f))
        got = close_gaps(s, got);
    if (sy_pyramid_add(f->p[0], s->steps, s->first, got, 1) ||
        (f->p[1] && sy_pyramid_add(f->p[1], s->steps, s->second, got, 1)))
        f->more = false; /* no memory: what there is stays */
    return true;
}

static bool read_helpings(struct sy__run *r, struct sy__feed *f, double deadline)
{
    bool any = false;
    look_for_members(r, f);
    f->more = false;
    if (!f->nmembers)
        return false;
    /* Most frames have a row or two to read: what is taken for them is small. */
    float probe[64];
    int64_t step, n = VALUES / f->nmost;
    if (f->nmost <= 64 && sy_source_after(r->source, f->members[0], f->last, 1, &step, probe) < 1)
        return false;
    n = n < 1 ? 1 : n > 8192 ? 8192 : n;
    struct sums *s = new_sums(n, f->nmost);
    f->more = s != NULL;
    while (f->more && (!any || sy_now() < deadline))
        any |= read_feed(r, f, s, n);
    sy_free(s);
    return any;
}

bool sy__run_read(struct sy__run *r, double deadline)
{
    bool any = false;
    for (int i = 0; i < r->nfeeds; i++) {
        struct sy__feed *f = r->feeds[i];
        if (f->wanted && sy_now() >= deadline)
            f->more = true;
        else if (f->wanted)
            any |= read_helpings(r, f, deadline);
    }
    return any;
}
