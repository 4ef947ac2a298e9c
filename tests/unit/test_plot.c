/* Ticks, numbers, axes, charts and heatmaps: what must be seen is seen. */
#include "unit/tap.h"

#include "base/mem.h"
#include "tui/frame.h"
#include "tui/heatmap.h"
#include "tui/plot.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sy_theme fine = {SY_SYMBOLS_BRAILLE, 256, false},
                             bare = {SY_SYMBOLS_ASCII, 0, false};

static const char *ticks_text(bool log, double lo, double hi, int most, enum sy_unit unit)
{
    static char text[256];
    struct sy_ticks t;
    (log ? sy_ticks_log : sy_ticks_linear)(lo, hi, most, unit, &t);
    text[0] = 0;
    for (int i = 0; i < t.n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", t.text[i]);
    return text;
}

static void ticks(void)
{
    static const struct {
        bool log;
        double lo, hi;
        int most;
        enum sy_unit unit;
        const char *want;
    } cases[] = {
        {false, 0, 1240, 3, SY_UNIT_PLAIN, "0 500 1000"},
        {false, 0, 1240, 7, SY_UNIT_PLAIN, "0 200 400 600 800 1000 1200"},
        {false, 2.2, 3.1, 5, SY_UNIT_PLAIN, "2.2 2.4 2.6 2.8 3.0"},
        {false, -1, 1, 4, SY_UNIT_PLAIN, "-1.0 -0.5 0 0.5 1.0"},
        {false, 0, 25000, 5, SY_UNIT_PLAIN, "0 5k 10k 15k 20k 25k"},
        {false, 0, 3e-4, 3, SY_UNIT_PLAIN, "0 1e-4 2e-4 3e-4"},
        {false, 0, 7200, 4, SY_UNIT_SECONDS, "0 0.5h 1.0h 1.5h 2.0h"},
        {false, 0, 90, 5, SY_UNIT_SECONDS, "0 20s 40s 60s 80s"},
        {false, 0, 1, 4, SY_UNIT_PERCENT, "0 50% 100%"},
        {true, 0.01, 100, 20, SY_UNIT_PLAIN, "0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 20 50 100"},
        {true, 1, 1e6, 6, SY_UNIT_PLAIN, "1 10 100 1000 10k 100k 1M"},
        {true, 2.1, 6.5, 5, SY_UNIT_PLAIN, "3 4 5 6"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        tap_is_str(ticks_text(cases[i].log, cases[i].lo, cases[i].hi, cases[i].most, cases[i].unit),
                   cases[i].want, "ticks of %g..%g%s", cases[i].lo, cases[i].hi,
                   cases[i].log ? ", log" : "");
    char a[16], b[28];
    sy_count_text(-1234567, b);
    tap_is_str(b, "-1,234,567", "a count");
    sy_value_text(3e-4, SY_UNIT_PLAIN, a);
    tap_is_str(a, "3.0e-4", "a small value");
    sy_value_text((double)NAN, SY_UNIT_PLAIN, a);
    tap_is_str(a, "nan", "no number");
    int bad = 0;
    for (int k = -300; k < 300; k++) /* never more than asked for, whatever the range */
        for (int most = 1; most < 23; most++) {
            struct sy_ticks t;
            double lo = 0.7 * pow(10, k);
            sy_ticks_linear(lo, lo * (1 + most * 0.37), most, SY_UNIT_PLAIN, &t);
            bad += t.n > most + 1;
            sy_ticks_log(lo, lo * 1e4, most, SY_UNIT_PLAIN, &t);
            bad += t.n > most + 2 && t.n > 5;
        }
    tap_is_int(bad, 0, "number of ticks");
}

static void axes(void)
{
    struct sy_pyramid *tokens = sy_pyramid_new(0, NULL), *seconds = sy_pyramid_new(0, NULL);
    int bad = 0;
    for (int64_t step = 1; step <= 5000; step++) {
        float t = (float)step * 128, s = 0.25f;
        sy_pyramid_add(tokens, &step, &t, 1, 1);
        sy_pyramid_add(seconds, &step, &s, 1, 1);
    }
    struct sy_x_axis a[3] = {
        {SY_X_TOKENS, tokens, 1}, {SY_X_TIME, seconds, 1}, {SY_X_FLOPS, tokens, 1e6}};
    double each[3] = {128, 0.25, 128e6};
    for (int i = 0; i < 3; i++)
        for (int64_t step = 1; step <= 5000; step += 7) {
            double x = sy_x_of_step(&a[i], step);
            bad += fabs(x - (double)step * each[i]) > 1e-6 * x;
            bad += sy_x_to_step(&a[i], x) != step;
            bad += sy_x_to_step(&a[i], x + each[i] / 2) != step + 1;
        }
    tap_is_int(bad, 0, "steps to tokens, time and FLOPs and back");
    sy_pyramid_free(tokens);
    sy_pyramid_free(seconds);
}

static int count(const struct sy_grid *g, uint32_t ch)
{
    int n = 0;
    for (int i = 0; i < g->w * g->h; i++)
        n += g->cell[i].ch == ch;
    return n;
}

/* One step of a million, whatever the zoom, in any look. */
static void spikes(void)
{
    struct sy_pyramid *p = sy_pyramid_new(0.9, NULL);
    for (int64_t step = 1; step <= 300000; step++) {
        float v = step == 123456 ? 50.0f : step == 200000 ? NAN : 2 + (float)(step % 17) / 40;
        sy_pyramid_add(p, &step, &v, 1, 1);
    }
    struct sy_plot_line line = {p, NULL, {SY_X_STEP, NULL, 1}, 0, true, "run"};
    struct sy_grid g = {0};
    int hidden = 0, nans = 0, looks = 0;
    for (int ascii = 0; ascii < 2; ascii++)
        for (double w = 300000; w > 20; w *= 0.6) {
            const struct sy_theme *look = ascii ? &bare : &fine;
            struct sy_plot plot = {.title = "loss",
                                   .lines = &line,
                                   .n = 1,
                                   .cursor = -1,
                                   .x0 = 123456 - w * 0.4,
                                   .x1 = 123456 + w * 0.6,
                                   .log = ascii};
            sy_grid_resize(&g, 60, 14, NULL);
            sy_plot_draw(&plot, look, &g, (struct sy_rect){0, 0, 60, 14});
            int clips = count(&g, sy_glyph(look, SY_GLYPH_CLIP));
            /* either marked as above the range, or the range was made to hold it */
            int high = 0;
            for (int x = 8; x < 59; x++)
                high += sy_grid_at(&g, x, 1)->ch != ' ' || sy_grid_at(&g, x, 2)->ch != ' ';
            hidden += clips + high < 1;
            bool in = 200000 >= plot.x0 && 200000 < plot.x1;
            nans += in && !count(&g, sy_glyph(look, SY_GLYPH_NAN));
            looks++;
        }
    tap_is_int(hidden, 0, "a spike is seen in all of %d windows", looks);
    tap_is_int(nans, 0, "a NaN is seen in all that hold it");
    sy_grid_free(&g);
    sy_pyramid_free(p);
}

/* No data, one row, equal rows, only NaN, infinite values, negative ones on a log axis. */
static void odd_data(void)
{
    static const float sets[][4] = {{1, 1, 1, 1},
                                    {NAN, NAN, NAN, NAN},
                                    {0, 0, 0, 0},
                                    {-1, -2, -3, -4},
                                    {INFINITY, 1, -INFINITY, 2},
                                    {1e-38f, 1e38f, -1e38f, 0},
                                    {1e-45f, 2e-45f, 0, 3e-45f}};
    struct sy_grid g = {0};
    sy_grid_resize(&g, 50, 12, NULL);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        for (int n = 0; n <= 4; n++)
            for (int flags = 0; flags < 8; flags++) {
                struct sy_pyramid *p = sy_pyramid_new(flags & 1 ? 0.9 : 0, NULL);
                sy_pyramid_add(p, (int64_t[]){1, 2, 3, 4}, sets[i], n, 1);
                struct sy_plot_line line = {p, p, {SY_X_STEP, NULL, 1}, 0, true, NULL};
                struct sy_plot plot = {.title = "odd",
                                       .lines = &line,
                                       .n = 1,
                                       .x0 = 0,
                                       .x1 = 4,
                                       .log = flags & 2,
                                       .zero = flags & 4,
                                       .cursor = 2};
                struct sy_stack stack = {.title = "odd",
                                         .whole = p,
                                         .part = {p, p},
                                         .n = 2,
                                         .names = {"a", "b"},
                                         .x = line.x,
                                         .x1 = 4,
                                         .cursor = 1};
                for (int w = 1; w < 50; w += 6) {
                    sy_plot_draw(&plot, flags & 1 ? &fine : &bare, &g,
                                 (struct sy_rect){0, 0, w, 12});
                    sy_stack_draw(&stack, &fine, &g, (struct sy_rect){0, 0, w, 1 + w / 5});
                    sy_strip_draw(p, &line.x, 0, 4, 0, &fine, &g, (struct sy_rect){0, 0, w, 3});
                }
                sy_pyramid_free(p);
            }
    tap_ok(true, "odd data is drawn somehow");
    sy_grid_free(&g);
}

static void label(const void *ctx, int row, char out[16])
{
    (void)ctx;
    snprintf(out, 16, "L%d", row + 1);
}

/* Few experts in a wide panel: they fill it, and each mark is still there once. */
static void wide_heats(void)
{
    struct sy_grid g = {0};
    float v[4 * 16];
    int hidden = 0, empty = 0;
    for (int i = 0; i < 4 * 16; i++)
        v[i] = 1;
    for (int cols = 2; cols <= 16; cols++)
        for (int w = 3 * cols + 4; w <= 110; w++) {
            struct sy_heat h = {v, 4,     cols, 0,    2,  false, true, true,
                                2, label, NULL, true, -1, -1,    false};
            v[2 * cols + 1] = 0;
            sy_grid_resize(&g, w, 20, NULL);
            sy_grid_fill(&g, (struct sy_rect){0, 0, w, 20}, ' ', (struct sy_pen){-1, -1, 0});
            sy_heat_draw(&h, &fine, &g, (struct sy_rect){0, 0, w, 20});
            v[2 * cols + 1] = 1;
            hidden += count(&g, sy_glyph(&fine, SY_GLYPH_DEAD)) != 1;
            empty += w > 12 && sy_grid_at(&g, w - 1, 5)->ch == ' ';
        }
    tap_is_int(hidden, 0, "one dead expert of few is marked once at every width");
    tap_is_int(empty, 0, "and the last one reaches the right edge");
    sy_grid_free(&g);
}

static void heats(void)
{
    struct sy_grid g = {0};
    float v[64 * 128];
    int hidden = 0, marks = 0;
    sy_grid_resize(&g, 60, 24, NULL);
    for (int i = 0; i < 64 * 128; i++)
        v[i] = 1;
    v[17 * 128 + 100] = 0;
    struct sy_heat h = {v, 64, 128, 0, 2, false, true, true, 2, label, NULL, true, -1, -1, false};
    for (int rows = 18; rows <= 64; rows += 5)
        for (int w = 8; w <= 60; w += 4)
            for (int look = 0; look < 2; look++) {
                const struct sy_theme *l = look ? &bare : &fine;
                h.rows = rows;
                sy_grid_fill(&g, (struct sy_rect){0, 0, 60, 24}, ' ', (struct sy_pen){-1, -1, 0});
                sy_heat_draw(&h, l, &g, (struct sy_rect){0, 0, w, 4 + w / 4});
                hidden += count(&g, sy_glyph(l, SY_GLYPH_DEAD)) != 1;
            }
    tap_is_int(hidden, 0, "one dead expert of 64 layers x 128 is marked once at every size");
    v[17 * 128 + 100] = 1;
    v[3 * 128 + 5] = 7;
    h.rows = 64;
    sy_grid_resize(&g, 60, 24, NULL);
    sy_heat_draw(&h, &fine, &g, (struct sy_rect){0, 0, 60, 24});
    marks = count(&g, '!');
    tap_is_int(marks, 1, "one overloaded expert is marked");
    int bad = 0;
    for (int y = 0; y < 24; y++) {
        int row = sy_heat_row_at(&h, &fine, (struct sy_rect){0, 0, 60, 24}, y);
        bad += row < 0 || row > 63;
    }
    tap_is_int(bad, 0, "which layer is at a row");
    h.rows = h.cols = 1;
    sy_heat_draw(&h, &fine, &g, (struct sy_rect){0, 0, 1, 1});
    sy_heat_draw(&h, &fine, &g, (struct sy_rect){0, 0, 0, 0});
    sy_grid_free(&g);
}

/* Of marks that fall into one column the cursor tells the newest, and a checkpoint's stands below
 * the others. */
static void marks(void)
{
    struct sy_mark list[] = {{.step = 50, .kind = SY_MARK_SET, .text = "lr = 0.1"},
                             {.step = 50, .kind = SY_MARK_CHECKPOINT, .text = "checkpoint"},
                             {.step = 50, .kind = SY_MARK_NOTE, .text = "a note"}};
    struct sy_pyramid *p = sy_pyramid_new(0, NULL);
    for (int64_t step = 1; step <= 100; step++)
        sy_pyramid_add(p, &step, &(float){2}, 1, 1);
    struct sy_plot_line line = {p, NULL, {SY_X_STEP, NULL, 1}, 0, true, "run"};
    struct sy_plot plot = {.title = "loss",
                           .lines = &line,
                           .n = 1,
                           .marks = list,
                           .nmarks = 3,
                           .cursor = 50,
                           .x1 = 100};
    struct sy_grid g = {0};
    struct sy_str text = SY_STR_INIT;
    sy_grid_resize(&g, 60, 14, NULL);
    sy_plot_draw(&plot, &bare, &g, (struct sy_rect){0, 0, 60, 14});
    sy_grid_write(&g, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "a note") && !strstr(text.data, "lr = 0.1"),
           "the newest mark of a column is told");
    int low = 0, saved = 0;
    for (int x = 0; x < 60; x++) {
        low += sy_grid_at(&g, x, 12)->ch == sy_glyph(&bare, SY_GLYPH_SAVED);
        saved += sy_grid_at(&g, x, 1)->ch == sy_glyph(&bare, SY_GLYPH_EVENT);
    }
    tap_ok(low == 1 && saved == 1, "a checkpoint stands below, what was done above");
    sy_str_free(&text);
    sy_grid_free(&g);
    sy_pyramid_free(p);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    ticks();
    axes();
    spikes();
    marks();
    odd_data();
    heats();
    wide_heats();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
