/* What the panel costs: the pyramid, frames of a run of 10 million points, steady frames, opening
 * stored runs.  Limits are those of the workbench: 1 us a query, 10 ms a frame, 1% of a core at 10
 * frames a second, 200 ms for 20 stored runs of 100,000 steps.
 *
 *     bench/panel [POINTS [STEPS_OF_STORED]] */
#include "tui/panel.h"
#include "base/clock.h"
#include "base/mem.h"
#include "run/source.h"
#include "run/metrics.h"
#include "run/pyramid.h"
#include "run/store.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) / 9007199254740992.0;
}

/* Of this thread: what others on the machine take is not ours. */
static double used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *ms, int n, double limit)
{
    qsort(ms, (size_t)n, sizeof *ms, by_value);
    printf("%-44s median %8.3f ms   99%% %8.3f ms   limit %g ms\n", what, ms[n / 2],
           ms[n * 99 / 100], limit);
}

static void bench_pyramid(int64_t points)
{
    struct sy_pyramid *p = sy_pyramid_new(0.9, NULL);
    double start = used(), sum = 0;
    for (int64_t i = 0; i < points; i++) {
        float v = (float)uniform();
        sy_pyramid_add(p, &i, &v, 1, 1);
    }
    double made = used() - start;
    int queries = 1000000;
    start = used();
    for (int i = 0; i < queries; i++) {
        int64_t a = (int64_t)(uniform() * (double)points),
                b = (int64_t)(uniform() * (double)points);
        sum += (double)sy_pyramid_query(p, a < b ? a : b, a < b ? b : a).max;
    }
    double asked = used() - start;
    printf(
        "pyramid of %lld points: %.1f ns to append one, %.0f ns a query (limit 1000), %.1f bytes a "
        "point  [%g]\n",
        (long long)points, made / (double)points * 1e9, asked / queries * 1e9,
        (double)sy_pyramid_bytes(p) / (double)points, sum > 0 ? 1.0 : 0.0);
    sy_pyramid_free(p);
}

/* ---- runs ---- */

#define LAYERS 6
#define EXPERTS 16

/* As the trainer and nn.moe declare them. */
static int series_of(struct sy_metrics *m, const char *name, int width)
{
    struct sy_series_what what = sy_series_before(name, width);
    return sy_metrics_declare(m, name, width, &what, NULL);
}

static void add_step(struct sy_metrics *m, int64_t step, bool all)
{
    static const char *const names[] = {"loss",      "lr",           "grad_norm",
                                        "tok_s",     "time.compute", "time.optimizer",
                                        "time.data", "tokens"};
    float load[EXPERTS], v;
    for (int i = 0; i < (all ? 8 : 1); i++) {
        v = (float)(1 + uniform() + 5 / (1 + (double)step / 1000));
        sy_metrics_add(m, series_of(m, names[i], 1), step, &v);
    }
    for (int l = 1; l <= LAYERS && all; l++) {
        char name[16];
        for (int e = 0; e < EXPERTS; e++)
            load[e] = (float)(2 * uniform());
        snprintf(name, sizeof name, "load.%d", l);
        sy_metrics_add(m, series_of(m, name, EXPERTS), step, load);
        snprintf(name, sizeof name, "entropy.%d", l);
        sy_metrics_add(m, series_of(m, name, 1), step, load);
    }
}

static int64_t now_at;

static void status_of(void *ctx, struct sy_source_status *out)
{
    (void)ctx;
    out->state = SY_RUN_RUNNING;
    out->live = true;
    out->step = now_at;
    out->steps = 2 * now_at;
}

static double frame_at(struct sy_panel *p, struct sy_grid *g, enum sy_action a, double now)
{
    struct sy_request req;
    double start = used();
    if (a)
        sy_panel_action(p, a, &req);
    if (sy_panel_update(p, now, 0.005))
        sy_panel_draw(p, g);
    return (used() - start) * 1e3;
}

static double frame(struct sy_panel *p, struct sy_grid *g, enum sy_action a)
{
    return frame_at(p, g, a, sy_now());
}

static void bench_frames(int64_t points, int w, int h)
{
    static const enum sy_action actions[] = {
        SY_ACT_ZOOM_IN,  SY_ACT_ZOOM_IN,   SY_ACT_CURSOR_LEFT,  SY_ACT_PAN_LEFT, SY_ACT_PAN_LEFT,
        SY_ACT_ZOOM_OUT, SY_ACT_PAN_RIGHT, SY_ACT_CURSOR_RIGHT, SY_ACT_LOG};
    struct sy_theme look = {.symbols = SY_SYMBOLS_BRAILLE, .colours = 256};
    struct sy_metrics *m = sy_metrics_new(NULL);
    for (now_at = 0; now_at < points;)
        add_step(m, ++now_at, false);
    struct sy_live_run c = {"long", m, status_of, NULL, NULL};
    struct sy_source *s = sy_source_live(&c, NULL);
    struct sy_panel *p = sy_panel_new(&look, NULL);
    struct sy_grid g = {0};
    double ms[450];
    char what[64];
    sy_grid_resize(&g, w, h, NULL);
    sy_panel_layout(p, w, h, 1);
    sy_panel_set_sources(p, &s, 1, NULL);
    double start = sy_now();
    while (sy_panel_update(p, sy_now(), 0.005) || sy_panel_loading(p))
        sy_panel_draw(p, &g);
    printf("%lld points, %d x %d: read in %.2f s, drawing meanwhile\n", (long long)points, w, h,
           sy_now() - start);
    for (int i = 0; i < 450; i++)
        ms[i] = frame(p, &g, actions[i % 9]);
    snprintf(what, sizeof what, "  zoom, pan, cursor");
    report(what, ms, 450, 10);
    for (int i = 0; i < 200; i++) {
        add_step(m, ++now_at, false);
        ms[i] = frame(p, &g, SY_ACT_NONE);
    }
    report("  one more step", ms, 200, 10);
    sy_panel_free(p);
    sy_grid_free(&g);
    sy_source_close(s);
    sy_source_unref(s);
    sy_metrics_free(m);
}

/* About what the difference of two frames takes on a terminal: a move of the cursor for each
 * stretch, colours for each pen, three bytes a character. */
static double bytes_between(const struct sy_grid *a, const struct sy_grid *b)
{
    double bytes = 0;
    for (int y = 0; y < b->h; y++)
        for (int x0 = 0, x1; sy_grid_changed(a, b, y, &x0, &x1); x0 = x1) {
            bytes += 8;
            for (int x = x0; x < x1; x++) {
                const struct sy_cell *c = &b->cell[y * b->w + x];
                bool pen = x == x0 || memcmp(&c->pen, &c[-1].pen, sizeof c->pen) != 0;
                bytes += (c->ch < 128 ? 1 : 3) + (pen ? 20 : 0);
            }
        }
    return bytes;
}

/* A training that does a step a frame. */
static void bench_steady(int w, int h)
{
    struct sy_theme look = {.symbols = SY_SYMBOLS_BRAILLE, .colours = 256};
    struct sy_metrics *m = sy_metrics_new(NULL);
    for (now_at = 0; now_at < 5000;)
        add_step(m, ++now_at, true);
    struct sy_live_run c = {"steady", m, status_of, NULL, NULL};
    struct sy_source *s = sy_source_live(&c, NULL);
    struct sy_panel *p = sy_panel_new(&look, NULL);
    struct sy_grid g = {0};
    double ms[300];
    char what[64];
    sy_grid_resize(&g, w, h, NULL);
    sy_panel_layout(p, w, h, 1);
    sy_panel_set_sources(p, &s, 1, NULL);
    while (sy_panel_update(p, sy_now(), 1))
        sy_panel_draw(p, &g);
    struct sy_grid before = {0};
    double bytes = 0;
    for (int i = 0; i < 300; i++) {
        add_step(m, ++now_at, true);
        sy_grid_resize(&before, w, h, NULL);
        memcpy(before.cell, g.cell, (size_t)(w * h) * sizeof *g.cell);
        ms[i] = frame_at(p, &g, SY_ACT_NONE, 1e6 + 0.1 * i);
        bytes += bytes_between(&before, &g);
    }
    sy_grid_free(&before);
    printf(
        "to the terminal, %d x %d: about %.1f kB/s at 10 frames a second (limit 30 at 80 x 24)\n",
        w, h, bytes / 300 * 10 / 1e3);
    snprintf(what, sizeof what, "steady, %d x %d, a step a frame", w, h);
    report(what, ms, 300, 1);
    int drawn = 0;
    double start = used();
    for (int i = 0; i < 1000; i++)
        drawn += sy_panel_update(p, sy_now(), 0.005);
    printf("  nothing new: %.1f us a look, %d drawings of 1000\n", (used() - start) * 1e3, drawn);
    sy_panel_free(p);
    sy_grid_free(&g);
    sy_source_close(s);
    sy_source_unref(s);
    sy_metrics_free(m);
}

static void make_store(const char *dir, const char *name, int64_t steps)
{
    struct sy_store_config c = {.dir = dir, .name = name, .steps = steps};
    struct sy_store_status st = {
        .state = SY_RUN_DONE, .step = steps, .steps = steps, .loss = 2, .val_loss = 2};
    struct sy_store *store = sy_store_create(&c, NULL);
    struct sy_metrics *m = sy_metrics_new(NULL);
    sy_store_attach(store, m, NULL, NULL, NULL);
    for (int64_t i = 1; i <= steps; i++)
        add_step(m, i, true);
    sy_store_set_status(store, &st);
    sy_store_close(store, NULL);
    sy_metrics_free(m);
}

static void bench_stored(int64_t steps)
{
    struct sy_theme look = {.symbols = SY_SYMBOLS_BRAILLE, .colours = 256};
    char dir[] = "/tmp/sy-panel-XXXXXX", name[32], command[64];
    struct sy_source *s[20];
    struct sy_grid g = {0};
    if (!mkdtemp(dir))
        return;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "run-%02d", i % 20);
        make_store(dir, name, steps);
    }
    double start = sy_now();
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "run-%02d", i);
        s[i] = sy_source_stored(dir, name, NULL);
    }
    double opened = sy_now();
    struct sy_panel *p = sy_panel_new(&look, NULL);
    sy_grid_resize(&g, 80, 24, NULL);
    sy_panel_set_sources(p, s, 20, NULL);
    sy_panel_update(p, sy_now(), 0.05);
    sy_panel_draw(p, &g);
    double first = sy_now();
    while (sy_panel_loading(p) && sy_panel_update(p, sy_now(), 0.05))
        sy_panel_draw(p, &g);
    double one = sy_now();
    sy_panel_overlay(p, NULL, 0, NULL);
    struct sy_request req;
    sy_panel_action(p, SY_ACT_OVERLAY, &req);
    do
        sy_panel_update(p, sy_now(), 0.05);
    while (sy_panel_loading(p));
    sy_panel_draw(p, &g);
    printf(
        "20 stored runs of %lld steps: opened %.0f ms, first frame %.0f ms, all of the first run "
        "%.0f ms, all 20 overlaid %.0f ms (limit 200)\n",
        (long long)steps, (opened - start) * 1e3, (first - start) * 1e3, (one - start) * 1e3,
        (sy_now() - start) * 1e3);
    sy_panel_free(p);
    for (int i = 0; i < 20; i++)
        sy_source_unref(s[i]);
    sy_grid_free(&g);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    if (system(command))
        printf("cannot remove %s\n", dir);
}

int main(int argc, char **argv)
{
    int64_t points = argc > 1 ? atoll(argv[1]) : 10000000,
            steps = argc > 2 ? atoll(argv[2]) : 100000;
    setlocale(LC_ALL, "C.UTF-8");
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench_pyramid(points);
    bench_frames(points, 80, 24);
    bench_frames(points, 200, 60);
    bench_steady(80, 24);
    bench_steady(200, 60);
    if (steps)
        bench_stored(steps);
    return 0;
}
