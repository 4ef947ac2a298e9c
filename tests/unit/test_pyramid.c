/* The pyramid against sums over all rows; spikes at every zoom; cuts; averages. */
#include "unit/tap.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "run/pyramid.h"

#include <math.h>
#include <string.h>

#define ROWS 5000

struct rows {
    int64_t n, steps[ROWS];
    float values[ROWS];
};

static uint64_t state;
static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static float draw_value(void)
{
    switch (draw(40)) {
    case 0:
        return NAN;
    case 1:
        return INFINITY;
    case 2:
        return -INFINITY;
    case 3:
        return 1e30f;
    default:
        return (float)draw(100000) / 1000.0f - 50;
    }
}

/* Steps with pieces of several strides. */
static void fill(struct rows *r, int64_t from, int64_t n)
{
    int64_t stride = 1;
    for (int64_t i = from; i < n; i++) {
        if (!draw(50))
            stride = 1 + (int64_t)draw(7);
        r->steps[i] = (i ? r->steps[i - 1] : (int64_t)draw(5)) + stride;
        r->values[i] = draw_value();
    }
    r->n = n;
}

static bool same_extent(const struct rows *r, const struct sy_pyramid *p, int64_t a, int64_t b)
{
    struct sy_extent e = {INFINITY, -INFINITY, 0, 0, 0}, got = sy_pyramid_query(p, a, b);
    double size = 0;
    for (int64_t i = a; i < b; i++) {
        float v = r->values[i];
        if (!isfinite(v)) {
            e.bad++;
            continue;
        }
        e.min = fminf(e.min, v);
        e.max = fmaxf(e.max, v);
        e.sum += (double)v;
        size += fabs((double)v);
        e.count++;
    }
    return e.min == got.min && e.max == got.max && e.count == got.count && e.bad == got.bad &&
           fabs(e.sum - got.sum) <= 1e-9 * size;
}

static int compare_stretches(const struct rows *r, const struct sy_pyramid *p, int tries)
{
    int bad = 0;
    for (int i = 0; i < tries; i++) {
        int64_t a = (int64_t)draw((uint64_t)r->n + 1),
                b = a + (int64_t)draw((uint64_t)(r->n - a) + 1);
        bad += !same_extent(r, p, a, b);
    }
    return bad;
}

static int compare_steps(const struct rows *r, const struct sy_pyramid *p)
{
    int bad = 0;
    for (int64_t i = 0; i < r->n; i++) {
        bad += sy_pyramid_step(p, i) != r->steps[i];
        bad += sy_pyramid_find(p, r->steps[i]) != i;
        bad += sy_pyramid_find(p, r->steps[i] + 1) != i + 1;
        bad += sy_pyramid_find(p, (i ? r->steps[i - 1] : INT64_MIN / 4) + 1) != i;
    }
    return bad;
}

static int compare_averages(const struct rows *r, const struct sy_pyramid *p)
{
    double m = 0, w = 0, b = sy_pyramid_decay(p);
    int bad = 0;
    for (int64_t i = 0; i < r->n; i++) {
        if (isfinite(r->values[i])) {
            m = b * m + (1 - b) * (double)r->values[i];
            w = b * w + (1 - b);
        }
        double got = sy_pyramid_ema(p, i);
        bad += w > 0 ? got != m / w : !isnan(got);
    }
    return bad;
}

static struct rows r;

static void properties(void)
{
    int stretches = 0, steps = 0, averages = 0, rounds = tap_fast() ? 20 : 100;
    for (int k = 0; k < rounds; k++) {
        struct sy_pyramid *p = sy_pyramid_new(0.9, NULL);
        fill(&r, 0, 1 + (int64_t)draw(k % 4 ? 300 : ROWS - 1));
        for (int64_t i = 0; i < r.n;) { /* in pieces */
            int64_t n = 1 + (int64_t)draw((uint64_t)(r.n - i));
            sy_pyramid_add(p, r.steps + i, r.values + i, n, 1);
            i += n;
        }
        stretches += compare_stretches(&r, p, 200);
        steps += compare_steps(&r, p);
        averages += compare_averages(&r, p);
        int64_t keep = (int64_t)draw((uint64_t)r.n + 1); /* a rewind, and another future */
        if (k % 5 == 0)
            keep &= ~(int64_t)15;
        sy_pyramid_cut(p, keep);
        r.n = keep;
        averages += compare_averages(&r, p);
        fill(&r, keep, keep + (int64_t)draw((uint64_t)(ROWS - keep)));
        sy_pyramid_add(p, r.steps + keep, r.values + keep, r.n - keep, 1);
        stretches += compare_stretches(&r, p, 200);
        steps += compare_steps(&r, p);
        averages += compare_averages(&r, p);
        sy_pyramid_set_decay(p, 0.99);
        averages += compare_averages(&r, p);
        sy_pyramid_free(p);
    }
    tap_is_int(stretches, 0, "any stretch: minimum, maximum, sum, counts, as over all rows");
    tap_is_int(steps, 0, "rows and steps there and back");
    tap_is_int(averages, 0, "averages, through cuts and changes of decay");
}

/* One step among a million, seen in whatever stretches the rows are cut into. */
static void spikes(void)
{
    int64_t n = 1000000, hidden = 0;
    struct sy_pyramid *p = sy_pyramid_new(0, NULL);
    for (int64_t i = 0; i < n; i++) {
        float v = i == 777777 ? 99.0f : i == 123456 ? NAN : 1.0f;
        sy_pyramid_add(p, &i, &v, 1, 1);
    }
    for (int64_t columns = 1; columns < n; columns = columns * 3 + 1) {
        int spikes = 0, nans = 0;
        for (int64_t c = 0; c < columns; c++) {
            struct sy_extent e = sy_pyramid_query(p, c * n / columns, (c + 1) * n / columns);
            spikes += e.max == 99.0f;
            nans += e.bad == 1;
        }
        hidden += spikes != 1 || nans != 1;
    }
    tap_is_int(hidden, 0, "a spike and a NaN of one step are in one column at every zoom");
    tap_ok(sy_pyramid_bytes(p) < 10 * (size_t)n, "%zu bytes for %lld rows", sy_pyramid_bytes(p),
           (long long)n);
    sy_pyramid_free(p);
}

static void memory(void)
{
    int bad = 0;
    fill(&r, 0, 2000);
    for (uint64_t k = 1; k < 40; k++) { /* whichever allocation fails, what is there is right */
        struct sy_pyramid *p = sy_pyramid_new(0.9, NULL);
        sy_mem_fail_at(k);
        sy_pyramid_add(p, r.steps, r.values, r.n, 1);
        sy_mem_fail_at(0);
        int64_t had = sy_pyramid_rows(p);
        sy_pyramid_add(p, r.steps, r.values, r.n, 1); /* those with known steps are left out */
        bad += sy_pyramid_rows(p) != r.n || had > r.n;
        bad += compare_stretches(&r, p, 50) + compare_steps(&r, p) + compare_averages(&r, p);
        sy_pyramid_free(p);
    }
    tap_is_int(bad, 0, "out of memory, then again");
    struct sy_pyramid *p = sy_pyramid_new(0.9, NULL);
    struct sy_extent e = sy_pyramid_query(p, 0, 10);
    tap_ok(e.count == 0 && e.bad == 0 && sy_pyramid_find(p, 3) == 0, "empty");
    sy_pyramid_free(p);
}

int main(void)
{
    state = 1;
    properties();
    spikes();
    memory();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
