/* Values in blocks, and a list of nodes a level.  See pyramid.h.
 *
 *     level 4   [0..16) [16..32) [32..48) [48..64) ...    node i of level k is over rows
 *     level 5   [0  ..  32)      [32  ..  64)      ...    i 2^k .. (i+1) 2^k - 1
 *     level 6   [0       ..           64)          ...
 *
 * A query walks up from its first row as a binary counter does and down again to its last: at most
 * two nodes a level, and less than 2^SY_PYRAMID_BASE single rows at each end. */
#include "run/pyramid.h"

#include "base/grow.h"
#include "base/mem.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define BASE_ROWS (1 << SY_PYRAMID_BASE)
#define LEVELS 44 /* more rows than there will ever be */
#define BLOCK_BITS 12
#define BLOCK (1 << BLOCK_BITS) /* elements */

/* Elements of one size in blocks: growing moves nothing. */
struct list {
    char **block; /* owned */
    int blocks;
    size_t room;
};

struct node {
    float min, max;
    double sum;
    int64_t bad;
};

struct average {
    double m, w;
};

/* Rows row.. have the steps step, step + stride, ... until the next progression. */
struct steps {
    int64_t row, step, stride;
};

struct sy_pyramid {
    int64_t rows, last_step;
    double decay;
    struct list values;         /* float */
    struct list levels[LEVELS]; /* struct node; from SY_PYRAMID_BASE on */
    struct list averages;       /* struct average: before row i 2^BASE */
    struct average now;         /* after the last row */
    struct node tail;           /* rows since the last node of the lowest level */
    struct steps *steps;        /* owned */
    int64_t nsteps;
    size_t steps_room;
};

static const struct node nothing = {INFINITY, -INFINITY, 0, 0};

/* ---- lists ---- */

static void *element_at(const struct list *l, int64_t i, size_t size)
{
    return l->block[i >> BLOCK_BITS] + (size_t)(i & (BLOCK - 1)) * size;
}

/* The place of element i, made when it is the first that does not fit; NULL: no memory. */
static void *make_element(struct list *l, int64_t i, size_t size)
{
    int want = (int)(i >> BLOCK_BITS);
    if (SY_GROW(l->block, l->room, want + 1))
        return NULL;
    if (want >= l->blocks) {
        char *block = sy_alloc(BLOCK * size);
        if (!block)
            return NULL;
        l->block[l->blocks++] = block;
    }
    return element_at(l, i, size);
}

static void free_list(struct list *l)
{
    for (int i = 0; i < l->blocks; i++)
        sy_free(l->block[i]);
    sy_free(l->block);
    *l = (struct list){0};
}

static struct node *node_at(const struct sy_pyramid *p, int level, int64_t i)
{
    return element_at(&p->levels[level], i, sizeof(struct node));
}

/* ---- making ---- */

struct sy_pyramid *sy_pyramid_new(double decay, struct sy_err *err)
{
    struct sy_pyramid *p = sy_calloc(1, sizeof *p);
    if (!p) {
        sy_err_set(err, SY_E_MEMORY, "chart: out of memory");
        return NULL;
    }
    p->decay = decay;
    p->tail = nothing;
    p->last_step = INT64_MIN;
    return p;
}

void sy_pyramid_free(struct sy_pyramid *p)
{
    if (!p)
        return;
    free_list(&p->values);
    free_list(&p->averages);
    for (int i = 0; i < LEVELS; i++)
        free_list(&p->levels[i]);
    sy_free(p->steps);
    sy_free(p);
}

/* ---- appending ---- */

static void merge_value(struct node *n, float v)
{
    if (isfinite(v)) {
        n->min = v < n->min ? v : n->min;
        n->max = v > n->max ? v : n->max;
        n->sum += (double)v;
    } else {
        n->bad++;
    }
}

static void merge_node(struct node *n, const struct node *x)
{
    n->min = x->min < n->min ? x->min : n->min;
    n->max = x->max > n->max ? x->max : n->max;
    n->sum += x->sum;
    n->bad += x->bad;
}

static void average_value(struct average *a, double decay, float v)
{
    if (isfinite(v)) {
        a->m = decay * a->m + (1 - decay) * (double)v;
        a->w = decay * a->w + (1 - decay);
    }
}

static int add_step(struct sy_pyramid *p, int64_t step)
{
    struct steps *s = p->nsteps ? &p->steps[p->nsteps - 1] : NULL;
    if (s && p->rows - s->row == 1)
        s->stride = step - s->step; /* the second row of a progression sets its stride */
    if (s && step == s->step + (p->rows - s->row) * s->stride)
        return 0;
    if (SY_GROW(p->steps, p->steps_room, p->nsteps + 1))
        return -1;
    p->steps[p->nsteps++] = (struct steps){p->rows, step, 1};
    return 0;
}

/* The rows of a lowest node are all there: it, and each one above that this completes. */
static int close_nodes(struct sy_pyramid *p)
{
    int64_t i = p->rows >> SY_PYRAMID_BASE; /* of the node that ends here, from 1 */
    struct node n = p->tail;
    for (int level = SY_PYRAMID_BASE;; level++) {
        struct node *to = make_element(&p->levels[level], i - 1, sizeof n);
        if (!to)
            return -1;
        *to = n;
        if (i & 1)
            break;
        struct node both = *node_at(p, level, i - 2);
        merge_node(&both, &n);
        n = both;
        i >>= 1;
    }
    p->tail = nothing;
    return 0;
}

/* A row is there when `rows` says so; what was made for it before may stay. */
static int add_row(struct sy_pyramid *p, int64_t step, float v)
{
    float *to = make_element(&p->values, p->rows, sizeof v);
    if (!to || add_step(p, step))
        return -1;
    if (p->rows % BASE_ROWS == 0) {
        struct average *a = make_element(&p->averages, p->rows >> SY_PYRAMID_BASE, sizeof *a);
        if (!a)
            return -1;
        *a = p->now;
    }
    *to = v;
    struct node before = p->tail;
    merge_value(&p->tail, v);
    p->rows++;
    if (p->rows % BASE_ROWS == 0 && close_nodes(p)) {
        p->rows--;
        p->tail = before;
        return -1;
    }
    average_value(&p->now, p->decay, v);
    p->last_step = step;
    return 0;
}

int sy_pyramid_add(struct sy_pyramid *p, const int64_t *steps, const float *values, int64_t n,
                   int64_t stride)
{
    for (int64_t i = 0; i < n; i++)
        if (steps[i] > p->last_step && add_row(p, steps[i], values[i * stride]))
            return -1;
    return 0;
}

/* ---- cutting ---- */

static void cut_steps(struct sy_pyramid *p)
{
    while (p->nsteps && p->steps[p->nsteps - 1].row >= p->rows)
        p->nsteps--;
    p->last_step = p->rows ? sy_pyramid_step(p, p->rows - 1) : INT64_MIN;
}

static void replay_tail(struct sy_pyramid *p)
{
    int64_t first = p->rows & ~(int64_t)(BASE_ROWS - 1);
    p->tail = nothing;
    if (!p->rows)
        p->now = (struct average){0, 0};
    else if (first < p->rows)
        p->now =
            *(struct average *)element_at(&p->averages, first >> SY_PYRAMID_BASE, sizeof p->now);
    else /* ends with a node: from the state before it */
        p->now = *(struct average *)element_at(&p->averages, (first >> SY_PYRAMID_BASE) - 1,
                                               sizeof p->now);
    for (int64_t i = first < p->rows || !p->rows ? first : first - BASE_ROWS; i < p->rows; i++) {
        if (first < p->rows)
            merge_value(&p->tail, sy_pyramid_value(p, i));
        average_value(&p->now, p->decay, sy_pyramid_value(p, i));
    }
}

void sy_pyramid_cut(struct sy_pyramid *p, int64_t rows)
{
    if (rows >= p->rows)
        return;
    p->rows = rows < 0 ? 0 : rows;
    cut_steps(p);
    replay_tail(p);
}

void sy_pyramid_set_decay(struct sy_pyramid *p, double decay)
{
    struct average a = {0, 0};
    if (decay == p->decay)
        return;
    p->decay = decay;
    for (int64_t i = 0; i < p->rows; i++) {
        if (i % BASE_ROWS == 0)
            *(struct average *)element_at(&p->averages, i >> SY_PYRAMID_BASE, sizeof a) = a;
        average_value(&a, decay, sy_pyramid_value(p, i));
    }
    p->now = a;
}

double sy_pyramid_decay(const struct sy_pyramid *p)
{
    return p->decay;
}

/* ---- asking ---- */

int64_t sy_pyramid_rows(const struct sy_pyramid *p)
{
    return p->rows;
}

float sy_pyramid_value(const struct sy_pyramid *p, int64_t row)
{
    return *(const float *)element_at(&p->values, row, sizeof(float));
}

double sy_pyramid_ema(const struct sy_pyramid *p, int64_t row)
{
    int64_t first = row & ~(int64_t)(BASE_ROWS - 1);
    struct average a =
        *(const struct average *)element_at(&p->averages, first >> SY_PYRAMID_BASE, sizeof a);
    for (int64_t i = first; i <= row; i++)
        average_value(&a, p->decay, sy_pyramid_value(p, i));
    return a.w > 0 ? a.m / a.w : (double)NAN;
}

/* The last progression for which `before` holds: by row, or by step. */
static const struct steps *progression(const struct sy_pyramid *p, int64_t key, bool by_step)
{
    int64_t low = 0, high = p->nsteps - 1;
    while (low < high) {
        int64_t middle = (low + high + 1) / 2;
        int64_t k = by_step ? p->steps[middle].step : p->steps[middle].row;
        if (k <= key)
            low = middle;
        else
            high = middle - 1;
    }
    return &p->steps[low];
}

int64_t sy_pyramid_step(const struct sy_pyramid *p, int64_t row)
{
    const struct steps *s = progression(p, row, false);
    return s->step + (row - s->row) * s->stride;
}

int64_t sy_pyramid_find(const struct sy_pyramid *p, int64_t step)
{
    if (!p->rows || step > p->last_step)
        return p->rows;
    const struct steps *s = progression(p, step, true);
    if (step <= s->step)
        return s->row;
    int64_t end = s + 1 < p->steps + p->nsteps ? s[1].row : p->rows;
    int64_t row = s->row + (step - s->step + s->stride - 1) / s->stride;
    return row < end ? row : end;
}

static void take_rows(const struct sy_pyramid *p, int64_t a, int64_t b, struct node *n)
{
    for (int64_t i = a; i < b; i++)
        merge_value(n, sy_pyramid_value(p, i));
}

struct sy_extent sy_pyramid_query(const struct sy_pyramid *p, int64_t a, int64_t b)
{
    a = a < 0 ? 0 : a;
    b = b > p->rows ? p->rows : b;
    struct node n = nothing;
    int64_t count = b > a ? b - a : 0;
    int64_t first = (a + BASE_ROWS - 1) >> SY_PYRAMID_BASE, last = b >> SY_PYRAMID_BASE;
    if (first > last || !count) {
        take_rows(p, a, b, &n);
    } else {
        take_rows(p, a, first << SY_PYRAMID_BASE, &n);
        take_rows(p, last << SY_PYRAMID_BASE, b, &n);
        for (int level = SY_PYRAMID_BASE; first < last; level++, first >>= 1, last >>= 1) {
            if (first & 1)
                merge_node(&n, node_at(p, level, first++));
            if (last & 1)
                merge_node(&n, node_at(p, level, --last));
        }
    }
    return (struct sy_extent){n.min, n.max, n.sum, count - n.bad, n.bad};
}

size_t sy_pyramid_bytes(const struct sy_pyramid *p)
{
    size_t bytes = sizeof *p + p->steps_room * sizeof *p->steps;
    bytes += (size_t)p->values.blocks * BLOCK * sizeof(float);
    bytes += (size_t)p->averages.blocks * BLOCK * sizeof(struct average);
    for (int i = 0; i < LEVELS; i++)
        bytes += (size_t)p->levels[i].blocks * BLOCK * sizeof(struct node);
    return bytes;
}
