/* The panel's screens, cell by cell, against tests/screens/NAME.txt; what keys do; that nothing is
 * drawn when nothing changed; every size.
 *
 *     SY_SCREENS=write tests/unit/test_panel      write the screens anew (then look at each!)
 *     SY_SCREENS=show tests/unit/test_panel       print them with their colours
 *     SY_SCREENS=svg tests/unit/test_panel        write NAME.svg into the working directory */
#include "unit/fake_run.h"
#include "unit/tap.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "tui/panel_int.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 20

struct stage {
    struct sy_panel *panel;
    struct sy_grid grid;
    struct fake_run run[RUNS];
    struct sy_source *source[RUNS];
    int n;
};

static const struct sy_theme fine = {SY_SYMBOLS_BRAILLE, 256, false};

static void act(struct stage *s, enum sy_action a, int times)
{
    struct sy_request req;
    for (int i = 0; i < times; i++) {
        sy_panel_action(s->panel, a, &req);
        sy_panel_update(s->panel, 1, 60);
    }
}

/* Numbers of the memory view that are no process'. */
static void fix_memory(struct sy_panel *p)
{
    p->memory.fixed = true;
    p->memory.used = sy_pyramid_new(0, NULL);
    for (int64_t i = 1; i <= 90; i++) {
        float v = i < 20 ? 200 : 1310;
        sy_pyramid_add(p->memory.used, &i, &v, 1, 1);
    }
    p->memory.n = 90;
    p->memory.live = 1.31e9;
    p->memory.most = 1.4e9;
    p->memory.resident = 1.62e9;
    p->memory.total = 33.3e9;
}

static void open_stage(struct stage *s, int w, int h, struct sy_theme look, int runs)
{
    s->panel = sy_panel_new(&look, NULL);
    fix_memory(s->panel);
    s->n = runs;
    for (int i = 0; i < runs; i++) {
        if (runs > 1) {
            snprintf(s->run[i].name, sizeof s->run[i].name, "run-%02d", i + 1);
            s->run[i].seed = (uint32_t)i;
        }
        fake_run_make(&s->run[i]);
        s->source[i] = s->run[i].source;
    }
    sy_panel_layout(s->panel, w, h, 1);
    sy_panel_set_sources(s->panel, s->source, runs, NULL);
    while (sy_panel_update(s->panel, 1, 60) || sy_panel_loading(s->panel))
        continue; /* a look that is out of time has no news, but more to come */
}

static void draw(struct stage *s)
{
    sy_grid_resize(&s->grid, s->panel->w, s->panel->h, NULL);
    const struct sy_areas *a = sy_panel_areas(s->panel);
    sy_grid_text(&s->grid, 0, a->scrollback.y, a->scrollback.w, a->scrollback.h ? "> print(1)" : "",
                 sy_theme_pen(&s->panel->look, SY_ROLE_TEXT));
    sy_grid_text(&s->grid, 0, a->input.y, a->input.w, "yard> ",
                 sy_theme_pen(&s->panel->look, SY_ROLE_PROMPT));
    sy_panel_draw(s->panel, &s->grid);
}

static void close_stage(struct stage *s)
{
    sy_panel_free(s->panel);
    for (int i = 0; i < s->n; i++)
        fake_run_free(&s->run[i]);
    sy_grid_free(&s->grid);
    memset(s, 0, sizeof *s);
}

/* ---- screens ---- */

static struct stage stage;

static void at_80x24(void)
{
    open_stage(&stage, 80, 24, fine, 1);
}
static void at_120x40(void)
{
    open_stage(&stage, 120, 40, fine, 1);
}
static void at_60x15(void)
{
    open_stage(&stage, 60, 15, fine, 1);
}
static void at_40x12(void)
{
    open_stage(&stage, 40, 12, fine, 1);
}
static void at_20x5(void)
{
    open_stage(&stage, 20, 5, fine, 1);
}

static void add_marks(struct fake_run *f)
{
    f->marks[0] = (struct sy_mark){600, SY_MARK_SET, "lr = 0.001"};
    f->marks[1] = (struct sy_mark){500, SY_MARK_CHECKPOINT, "step-000500"};
    f->marks[2] = (struct sy_mark){900, SY_MARK_NOTE, "expert 6 of layer 1 is gone"};
    f->nmarks = 3;
}

static void at_200x60(void)
{
    add_marks(&stage.run[0]);
    open_stage(&stage, 200, 60, fine, 1);
}

static void with_ascii(void)
{
    add_marks(&stage.run[0]);
    open_stage(&stage, 80, 24, (struct sy_theme){SY_SYMBOLS_ASCII, 0, false}, 1);
}

static void with_light(void)
{
    open_stage(&stage, 80, 24, (struct sy_theme){SY_SYMBOLS_BRAILLE, 256, true}, 1);
}

static void with_8_colours(void)
{
    open_stage(&stage, 80, 24, (struct sy_theme){SY_SYMBOLS_BLOCKS, 8, false}, 1);
}

static void without_colours(void)
{
    open_stage(&stage, 120, 40, (struct sy_theme){SY_SYMBOLS_BRAILLE, 0, false}, 1);
}

static void with_events(void)
{
    stage.run[0].nan = 400;
    stage.run[0].spike = 777;
    add_marks(&stage.run[0]);
    open_stage(&stage, 80, 24, fine, 1);
}

static void with_cursor(void)
{
    add_marks(&stage.run[0]);
    open_stage(&stage, 120, 40, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_CURSOR_LEFT, 12);
}

static void with_change(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_NEXT_PANE, 1);
    act(&stage, SY_ACT_HEAT, 3);
}

static void with_gates(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 1);
}

static void with_drops(void)
{
    stage.run[0].capacity = 1.25;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 2);
}

static void with_choices(void)
{
    stage.run[0].looks = true;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_ROUTER, 2); /* it is not shown at first */
}

static void with_choices_large(void)
{
    stage.run[0].looks = true;
    open_stage(&stage, 200, 60, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_ROUTER, 1);
    act(&stage, SY_ACT_HEAT, 5); /* importance */
}

static void zoomed(void)
{
    stage.run[0].spike = 1200;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_ZOOM_IN, 6);
    act(&stage, SY_ACT_LOG, 1);
}

static void many_experts(void)
{
    stage.run[0].layers = 64;
    stage.run[0].experts = 128;
    stage.run[0].steps = 900;
    open_stage(&stage, 80, 24, fine, 1);
}

static void many_runs(void)
{
    for (int i = 0; i < RUNS; i++)
        stage.run[i].layers = 1;
    open_stage(&stage, 120, 40, fine, RUNS);
    act(&stage, SY_ACT_OVERLAY, 1);
}

static void full_screen(void)
{
    add_marks(&stage.run[0]);
    open_stage(&stage, 100, 30, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_FULL, 1);
    act(&stage, SY_ACT_AXIS, 1);
}

/* The verbs of layer 3's fifth expert. */
static void open_menu(int w, int h, struct sy_theme look)
{
    open_stage(&stage, w, h, look, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_PANEL2, 1);
    act(&stage, SY_ACT_CURSOR_DOWN, 2);
    act(&stage, SY_ACT_VERBS, 1);
    act(&stage, SY_ACT_CURSOR_RIGHT, 4);
    act(&stage, SY_ACT_CURSOR_DOWN, 5);
}

static void with_menu(void) { open_menu(80, 24, fine); }
static void with_menu_large(void) { open_menu(200, 60, fine); }
static void with_menu_ascii(void)
{
    open_menu(60, 10, (struct sy_theme){SY_SYMBOLS_ASCII, 0, false});
}

static void dense(void)
{
    stage.run[0].layers = -1;
    open_stage(&stage, 80, 24, fine, 1);
}

static void nothing(void)
{
    open_stage(&stage, 80, 24, fine, 0);
}

/* A run before its first step, then with one, two, three. */
static void first_steps(void)
{
    stage.run[0].steps = -1;
    open_stage(&stage, 200, 60, fine, 1);
    for (int i = 0; i < 4; i++) {
        sy_panel_update(stage.panel, 1 + i, 60);
        draw(&stage);
        fake_run_go_on(&stage.run[0], 1);
    }
    sy_panel_update(stage.panel, 9, 60);
}

/* The charts say nothing yet: that it is being worked on. */
static void before_the_first(void)
{
    stage.run[0].steps = -1;
    open_stage(&stage, 80, 24, fine, 1);
}

static void with_help(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PROMPT_HELP, 1);
}

static void filtered(void)
{
    open_stage(&stage, 120, 30, fine, 1);
    sy_panel_filter(stage.panel, "entropy", NULL);
    while (sy_panel_update(stage.panel, 1, 60))
        continue;
}

static void with_objectives(void)
{
    stage.run[0].objectives = true;
    open_stage(&stage, 80, 24, fine, 1);
}

static void with_sources(void)
{
    stage.run[0].sources = 5;
    stage.run[0].stacks = true;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 4);
}

/* All there is at once: both kinds of losses, stacks, drops, experts a token. */
static void set_translation(struct fake_run *f)
{
    f->sources = 12;
    f->objectives = f->stacks = f->varies = true;
    f->capacity = 1.25;
}

static void with_translation(void)
{
    set_translation(&stage.run[0]);
    open_stage(&stage, 200, 60, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_APART, 2); /* the second page of sources */
    act(&stage, SY_ACT_HEAT, 4);
    act(&stage, SY_ACT_PANEL2, 1);
    act(&stage, SY_ACT_CURSOR_DOWN, 4);
}

static void with_translation_small(void)
{
    set_translation(&stage.run[0]);
    open_stage(&stage, 60, 15, fine, 1);
}

static void with_translation_plain(void)
{
    set_translation(&stage.run[0]);
    open_stage(&stage, 80, 36, (struct sy_theme){SY_SYMBOLS_ASCII, 0, false}, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_APART, 1);
    act(&stage, SY_ACT_HEAT, 4);
}

static void with_trace(void)
{
    stage.run[0].traced = true;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_NEXT_PANE, 1);
    act(&stage, SY_ACT_PANEL7, 1);
    act(&stage, SY_ACT_CURSOR_DOWN, 1);
}

/* In the past, and the whole of a large screen. */
static void with_trace_large(void)
{
    stage.run[0].traced = true;
    open_stage(&stage, 200, 60, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_CURSOR_LEFT, 20);
    act(&stage, SY_ACT_PANEL4, 1);
    act(&stage, SY_ACT_PANEL7, 1);
}

static void with_trace_plain(void)
{
    stage.run[0].traced = true;
    open_stage(&stage, 80, 24, (struct sy_theme){SY_SYMBOLS_ASCII, 0, false}, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_PANEL7, 1);
}

static void without_trace(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_PANEL7, 1);
}

static void failed(void)
{
    stage.run[0].state = SY_RUN_FAILED;
    stage.run[0].nan = 1240;
    open_stage(&stage, 80, 24, fine, 1);
}

static const struct scene {
    const char *name;
    void (*set)(void);
} scenes[] = {{"80x24", at_80x24},
              {"200x60", at_200x60},
              {"120x40", at_120x40},
              {"60x15", at_60x15},
              {"40x12", at_40x12},
              {"20x5", at_20x5},
              {"ascii", with_ascii},
              {"8-colours", with_8_colours},
              {"light", with_light},
              {"no-colours", without_colours},
              {"events", with_events},
              {"cursor", with_cursor},
              {"change", with_change},
              {"gates", with_gates},
              {"drops", with_drops},
              {"choices", with_choices},
              {"choices-200x60", with_choices_large},
              {"zoomed", zoomed},
              {"64x128", many_experts},
              {"20-runs", many_runs},
              {"full-screen", full_screen},
              {"menu", with_menu},
              {"menu-200x60", with_menu_large},
              {"menu-ascii", with_menu_ascii},
              {"dense", dense},
              {"empty", nothing},
              {"help", with_help},
              {"first-steps", first_steps},
              {"first-step", before_the_first},
              {"filter", filtered},
              {"objectives", with_objectives},
              {"sources", with_sources},
              {"translation", with_translation},
              {"translation-60x15", with_translation_small},
              {"translation-ascii", with_translation_plain},
              {"trace", with_trace},
              {"trace-200x60", with_trace_large},
              {"trace-ascii", with_trace_plain},
              {"trace-none", without_trace},
              {"failed", failed}};

static void write_file(const char *path, const struct sy_str *text)
{
    FILE *f = fopen(path, "w");
    if (f) {
        fwrite(text->data, 1, text->len, f);
        fclose(f);
    }
}

static void compare(const struct scene *scene, const struct sy_str *got, const char *dir)
{
    char path[512];
    struct sy_str want = SY_STR_INIT;
    snprintf(path, sizeof path, "%s/tests/screens/%s.txt", dir, scene->name);
    sy_file_read(path, 1 << 20, &want, NULL);
    bool same = want.len == got->len && !memcmp(want.data, got->data, got->len);
    tap_ok(same, "screen %s", scene->name);
    if (!same) {
        snprintf(path, sizeof path, "%s.got", scene->name);
        write_file(path, got);
        tap_note("what was drawn is in %s", path);
    }
    sy_str_free(&want);
}

static void play(const struct scene *scene)
{
    const char *mode = getenv("SY_SCREENS"), *dir = getenv("srcdir");
    char path[512];
    struct sy_str out = SY_STR_INIT;
    scene->set();
    draw(&stage);
    if (mode && !strcmp(mode, "show")) {
        sy_grid_write(&stage.grid, SY_DUMP_ANSI, &out);
        printf("# %s\n%s", scene->name, out.data);
    } else if (mode && !strcmp(mode, "svg")) {
        sy_grid_write(&stage.grid, SY_DUMP_SVG, &out);
        snprintf(path, sizeof path, "%s.svg", scene->name);
        write_file(path, &out);
    } else {
        sy_grid_write(&stage.grid, SY_DUMP_GOLDEN, &out);
        snprintf(path, sizeof path, "%s/tests/screens/%s.txt", dir ? dir : ".", scene->name);
        if (mode && !strcmp(mode, "write"))
            write_file(path, &out);
        compare(scene, &out, dir ? dir : ".");
    }
    sy_str_free(&out);
    close_stage(&stage);
}

/* ---- behaviour ---- */

static void idle(void)
{
    open_stage(&stage, 200, 60, fine, 1);
    int frames = 0;
    /* what a busy machine did not read within its time */
    while (sy_panel_update(stage.panel, 1, 0.01))
        continue;
    for (int i = 0; i < 50; i++)
        frames += sy_panel_update(stage.panel, 1 + i * 0.1, 0.01);
    tap_is_int(frames, 0, "nothing new: nothing to draw");
    fake_run_go_on(&stage.run[0], 1);
    tap_ok(sy_panel_update(stage.panel, 7, 0.01) && !sy_panel_update(stage.panel, 7.1, 0.01),
           "a step: one drawing");
    sy_panel_message(stage.panel, "said");
    bool first = sy_panel_update(stage.panel, 7.2, 0.01);
    sy_panel_message(stage.panel, "said");
    tap_ok(first && !sy_panel_update(stage.panel, 7.3, 0.01), "a message: one, too");
    close_stage(&stage);
}

/* Every size, with the keys that change the layout. */
static void sizes(void)
{
    int bad = 0, step = tap_fast() ? 7 : 1;
    stage.run[0].steps = 200;
    open_stage(&stage, 80, 24, fine, 1);
    for (int h = 1; h < 70; h += 1)
        for (int w = 1; w < 210; w += step) {
            sy_panel_layout(stage.panel, w, h, 1 + (w + h) % 4);
            act(&stage, w % 3 ? SY_ACT_NEXT_PANE : w % 2 ? SY_ACT_FULL : SY_ACT_ONE_PANE, 1);
            draw(&stage);
            const struct sy_areas *a = sy_panel_areas(stage.panel);
            int rows =
                a->header.h + a->panes.h + a->rule.h + a->scrollback.h + a->input.h + a->status.h;
            bad += rows != h || a->input.h < 1 || (h > 1 && a->header.h != 1);
            for (int i = 0; i < stage.panel->nslots; i++) {
                struct sy_rect r = stage.panel->slots[i].r, in = a->panes;
                bad += r.x < 0 || r.y < in.y || r.x + r.w > w || r.y + r.h > in.y + in.h;
            }
        }
    tap_is_int(bad, 0, "areas fill every size from 1 x 1 to 209 x 69 and do not overlap");
    close_stage(&stage);
}

static void messages(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    struct sy_panel *p = stage.panel;
    while (sy_panel_update(p, 1, 60))
        continue;
    sy_panel_message(p, "saved");
    tap_ok(sy_panel_update(p, 1, 60), "a message is drawn");
    sy_panel_message(p, "saved");
    tap_ok(!sy_panel_update(p, 1, 60), "the same again is not");
    sy_panel_message(p, NULL);
    tap_ok(sy_panel_update(p, 1, 60), "but that it is over");
    close_stage(&stage);
}

/* Half a number would be another one: in a narrow header how many there are goes. */
static void narrow_header(void)
{
    char row[24] = "";
    stage.run[0].total = 1000000000;
    open_stage(&stage, 20, 5, fine, 1);
    draw(&stage);
    for (int x = 0; x < 20; x++)
        row[x] = (char)sy_grid_at(&stage.grid, x, 0)->ch;
    tap_ok(!strncmp(row, " step 1,240   ", 14), "a narrow header: '%s'", row);
    close_stage(&stage);
}

/* A run that shows nothing of how its routers choose says so, and goes on showing their loads. */
static void no_choices(void)
{
    struct sy_str text = SY_STR_INIT;
    open_stage(&stage, 200, 60, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_ROUTER, 1);
    tap_ok(strstr(stage.panel->message, "records loads alone") != NULL, "no choices: it says so");
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "max/mean") && !strstr(text.data, "choices"),
           "... and shows the loads");
    sy_str_free(&text);
    close_stage(&stage);
}

/* Probabilities have a row at each tenth step: where there is none, those before are shown, and
 * said so. */
static void rare_rows(void)
{
    open_stage(&stage, 120, 40, fine, 1);
    struct sy_panel *p = stage.panel;
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 1);
    p->cursor = 807;
    sy_panel_update(p, 1.5, 60);
    struct sy_str text = SY_STR_INIT;
    float want[256];
    struct sy_source *source = sy__front(p)->source;
    int64_t found = sy_source_at(source, sy_source_find(source, "gate.2"), 800, want);
    tap_is_int(p->table.shown, 800, "probabilities at step 807 are those of step 800");
    tap_ok(found == 800 && p->table.v &&
               !memcmp(p->table.v + p->table.cols, want, (size_t)p->table.cols * sizeof *want),
           "of each expert");
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "step 800"), "and the title says so");
    sy_str_free(&text);
    close_stage(&stage);
}

/* Before the first step the experts are known, but nothing of them. */
static void no_row_yet(void)
{
    struct sy_str text = SY_STR_INIT;
    stage.run[0].steps = -1;
    open_stage(&stage, 80, 24, fine, 1);
    for (int layer = 1; layer <= 2; layer++) {
        struct sy_series_what what = {.kind = SY_SERIES_LOAD, .layer = layer};
        sy_metrics_declare(stage.run[0].metrics, layer == 1 ? "load.1" : "load.2", 4, &what, NULL);
    }
    sy_panel_update(stage.panel, 1.5, 60);
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "L1–2 × 1–4") && !strstr(text.data, "dead"),
           "no expert is counted before there is a row of them");
    sy_str_free(&text);
    close_stage(&stage);
}

/* One that someone disabled is not dead, neither in the table nor in the strip. */
static void disabled_expert(void)
{
    struct sy_str text = SY_STR_INIT;
    stage.run[0].disabled = true;
    open_stage(&stage, 200, 60, fine, 1);
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, " dead 0 · disabled 1 · max/mean"),
           "a disabled expert is counted as that");
    const struct sy__run *r = sy__front(stage.panel);
    const struct sy__table *t = &stage.panel->table;
    tap_ok(t->v && t->v[5] < 0 && t->v[4] >= 0, "and is marked in the table");
    const struct sy_pyramid *dead = sy__feed_rows(
        sy__find_feed(r, sy__of_kind(SY_SERIES_LOAD, SY__LOAD)), 1);
    tap_ok(dead && sy_pyramid_query(dead, 0, sy_pyramid_rows(dead)).max <= 0,
           "no step has a dead one");
    sy_str_free(&text);
    close_stage(&stage);
}

/* What is a mean already ends where its last value is. */
static void not_smoothed(void)
{
    struct sy_str text = SY_STR_INIT;
    open_stage(&stage, 80, 24, fine, 1);
    sy_panel_filter(stage.panel, "val_loss", NULL);
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "val_loss ") && !strstr(text.data, "ema"),
           "a validation loss is not smoothed");
    const struct sy__run *r = sy__front(stage.panel);
    const struct sy_pyramid *rows = NULL;
    for (int i = 0; i < r->nfeeds; i++)
        if (!strcmp(r->feeds[i]->name, "val_loss"))
            rows = sy__feed_rows(r->feeds[i], 0);
    tap_ok(rows && sy_pyramid_decay(rows) == 0, "nor are the rows that are drawn");
    sy_str_free(&text);
    close_stage(&stage);
}

/* Runs that know a layer's share of dropped tokens only: it is not called an expert's. */
static void early_drops(void)
{
    struct sy_str text = SY_STR_INIT;
    stage.run[0].early = true;
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 2);
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "max 12.5% of a layer's tokens"),
           "what is known of layers only is said to be a layer's");
    sy_str_free(&text);
    close_stage(&stage);
}

/* A step in which a source has no target is none of it, not one that failed; evaluations belong to
 * the curve of their own name. */
static void losses_apart(void)
{
    struct sy_request req;
    set_translation(&stage.run[0]);
    open_stage(&stage, 120, 40, fine, 1);
    struct sy_panel *p = stage.panel;
    struct sy__run *r = sy__front(p);
    tap_is_int(sy__loss_pages(r), 4, "the whole, objectives, two pages of sources");
    struct sy__loss_page page = sy__loss_page(p);
    tap_ok(page.n == 2 && !strcmp(page.parts[1].called, "span"), "objectives come first");
    tap_is_str(sy_source_series(r->source, page.parts[1].valid), "val_loss.span",
               "with evaluations of their own");
    act(&stage, SY_ACT_APART, 1);
    page = sy__loss_page(p);
    tap_ok(page.n == 7 && page.of == 12 && !strcmp(page.parts[3].called, "pt_BR"), "then sources");
    const struct sy_pyramid *rows =
        sy__feed_rows(sy__find_feed(r, sy__of_column("loss.by_source", 3)), 0);
    struct sy_extent e = sy_pyramid_query(rows, 0, sy_pyramid_rows(rows));
    tap_ok(rows && sy_pyramid_rows(rows) == 1063 && e.bad == 0,
           "steps without a target of a source are no rows of it");
    act(&stage, SY_ACT_APART, 2);
    tap_is_int(sy__loss_page(p).n, 0, "at last the whole alone");
    act(&stage, SY_ACT_APART, 1);
    tap_is_int(sy__loss_page(p).of, 2, "and round again");
    close_stage(&stage);
    open_stage(&stage, 120, 40, fine, 1);
    sy_panel_action(stage.panel, SY_ACT_APART, &req);
    tap_ok(strstr(stage.panel->message, "but one loss") != NULL, "what has but one loss says so");
    close_stage(&stage);
}

/* What a teacher says is no part of the loss: it has a page though it is alone. */
static void teacher_apart(void)
{
    stage.run[0].taught = true;
    open_stage(&stage, 120, 40, fine, 1);
    struct sy__loss_page page = sy__loss_page(stage.panel);
    tap_is_int(sy__loss_pages(sy__front(stage.panel)), 2, "the whole, and a teacher's");
    tap_ok(page.n == 1 && !strcmp(page.parts[0].called, "distill_loss") && page.parts[0].valid < 0,
           "which has no evaluation");
    char title[64];
    sy__loss_title(&page, title, sizeof title);
    tap_is_str(title, "loss and the teacher's", "the title");
    tap_is_int(sy__loss_first_page(sy__front(stage.panel), sy_panel_find_losses("teacher")), 1,
               ":losses teacher");
    close_stage(&stage);
}

/* The largest of the sources that have a target. */
static void largest_of_sources(void)
{
    stage.run[0].sources = 3;
    open_stage(&stage, 80, 24, fine, 1);
    sy_panel_filter(stage.panel, "loss.by_source", NULL);
    while (sy_panel_update(stage.panel, 1, 60))
        continue;
    const struct sy_pyramid *rows = sy__feed_rows(
        sy__find_feed(sy__front(stage.panel), sy__of_name("loss.by_source", SY__TOP)), 0);
    tap_ok(rows && sy_pyramid_query(rows, 0, sy_pyramid_rows(rows)).bad == 0,
           "a chart of a series of sources has no gaps");
    close_stage(&stage);
}

/* The same table from the panel's and from the run's own numbers. */
static void sources_by_experts(void)
{
    set_translation(&stage.run[0]);
    open_stage(&stage, 120, 40, fine, 1);
    struct sy_panel *p = stage.panel;
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 4);
    tap_ok(p->table.rows == 12 && p->table.cols == 16, "12 sources by 16 experts");
    tap_ok(p->table.v[1] == 4 && p->table.v[16 + 6] == 4 && isnan(p->table.v[2 * 16]),
           "each by its own experts; who has no token has nothing");
    act(&stage, SY_ACT_PANEL2, 1);
    act(&stage, SY_ACT_CURSOR_DOWN, 1);
    tap_ok(p->table.layer == 1 && p->table.v[2] == 4, "of the selected layer");
    sy_panel_click(p, 60, 9);
    tap_is_int(p->layer, 1, "a click on a source chooses no layer");
    close_stage(&stage);
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    act(&stage, SY_ACT_HEAT, 4);
    struct sy_str text = SY_STR_INIT;
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &text);
    tap_ok(text.data && strstr(text.data, "one source"), "data of one source say so");
    sy_str_free(&text);
    close_stage(&stage);
}

static void keys(void)
{
    struct sy_request req;
    open_stage(&stage, 120, 40, fine, 1);
    struct sy_panel *p = stage.panel;
    act(&stage, SY_ACT_PANES, 1);
    tap_ok(sy_panel_pane_mode(p), "pane mode");
    act(&stage, SY_ACT_CURSOR_LEFT, 3);
    tap_ok(p->cursor > 0 && p->cursor < 1240, "the cursor is at step %d", (int)p->cursor);
    int64_t at = p->cursor;
    act(&stage, SY_ACT_ZOOM_IN, 3);
    double x0, x1;
    sy__x_window(p, sy__front(p), &x0, &x1);
    tap_ok(p->cursor == at && x0 < (double)at && x1 > (double)at && x1 - x0 < 1240 / 7.0,
           "zooming keeps the cursor in the window");
    tap_ok(p->table.step == at, "the heatmap shows the cursor's step");
    fake_run_go_on(&stage.run[0], 300);
    sy_panel_update(p, 1.5, 60);
    sy__x_window(p, sy__front(p), &x0, &x1);
    tap_ok(x0 < (double)at && x1 > (double)at, "it stays there while the run goes on");
    act(&stage, SY_ACT_CURSOR_LEFT, 200);
    sy__x_window(p, sy__front(p), &x0, &x1);
    tap_ok(x0 <= (double)p->cursor && x1 >= (double)p->cursor, "the window goes with the cursor");
    act(&stage, SY_ACT_CURSOR_LEFT, 2000);
    tap_is_int(p->cursor, 1, "the cursor stops at the first step");
    act(&stage, SY_ACT_FIT, 1);
    tap_ok(p->fit, "the whole run");
    act(&stage, SY_ACT_ZOOM_IN, 60);
    act(&stage, SY_ACT_ZOOM_OUT, 60);
    tap_ok(p->fit, "zoomed out far enough is the whole run");
    sy_panel_action(p, SY_ACT_PAUSE, &req);
    tap_ok(req.kind == SY_REQ_PAUSE && !strcmp(req.run, "bold-ferret"), "p asks for a pause");
    stage.run[0].state = SY_RUN_PAUSED;
    sy_panel_update(p, 2, 60);
    sy_panel_action(p, SY_ACT_PAUSE, &req);
    tap_ok(req.kind == SY_REQ_RESUME, "and for going on");
    stage.run[0].state = SY_RUN_STOPPED;
    sy_panel_update(p, 3, 60);
    sy_panel_action(p, SY_ACT_PAUSE, &req);
    tap_ok(req.kind == SY_REQ_RESUME, "also where it was stopped");
    sy_panel_action(p, SY_ACT_MARK, &req);
    tap_ok(req.kind == SY_REQ_MARK && req.step == 1, "m marks the cursor's step");
    sy_panel_action(p, SY_ACT_FILTER, &req);
    tap_ok(req.kind == SY_REQ_FILTER, "/ asks for a text");
    act(&stage, SY_ACT_PANEL6, 1);
    tap_ok(sy__shows(p, SY__MEMORY), "6 shows memory in the place of the pane that has the focus");
    act(&stage, SY_ACT_ALL_PANES, 1);
    tap_ok(!sy__shows(p, SY__MEMORY), "C-x 2 puts it back");
    act(&stage, SY_ACT_HELP, 1);
    sy_panel_action(p, SY_ACT_LEAVE, &req);
    tap_ok(!sy_panel_help(p) && sy_panel_pane_mode(p), "Esc takes the list of keys away");
    sy_panel_action(p, SY_ACT_LEAVE, &req);
    tap_ok(req.kind == SY_REQ_LEAVE && !sy_panel_pane_mode(p) && p->cursor < 0,
           "and then leaves; the cursor goes");
    bool hit = sy_panel_click(p, 60, 9);
    tap_ok(hit && p->layer > 2 && p->layer < 6, "a click chooses layer %d", p->layer + 1);
    hit = sy_panel_click(p, 30, 8);
    tap_ok(hit && p->cursor > 500 && p->cursor < 1300, "or step %d", (int)p->cursor);
    tap_ok(!sy_panel_click(p, 30, 38), "and nothing outside the panes");
    int n, unbound = 0;
    const struct sy_key *list = sy_keys(&n);
    for (int i = 0; i < n; i++)
        unbound += !sy_panel_action(p, list[i].action, &req) || !*list[i].keys || !*list[i].help ||
                   strlen(list[i].help) > 26;
    tap_is_int(unbound, 0, "every key of the list does something and is described");
    close_stage(&stage);
}

/* The verbs of an expert: what goes to the prompt. */
static void menu_keys(void)
{
    struct sy_request req;
    with_menu();
    struct sy_panel *p = stage.panel;
    sy_panel_action(p, SY_ACT_PAUSE, &req);
    tap_ok(req.kind == SY_REQ_NONE && sy_panel_over(p), "other keys do nothing while it is open");
    sy_panel_action(p, SY_ACT_FULL, &req);
    tap_ok(req.kind == SY_REQ_TYPE && !sy_panel_over(p), "Enter is for the prompt");
    tap_is_str(req.text, "runs \"bold-ferret\".layers[3].experts[5]:clone(", "the line so far");
    act(&stage, SY_ACT_VERBS, 1);
    act(&stage, SY_ACT_CURSOR_LEFT, 5);
    act(&stage, SY_ACT_CURSOR_UP, 1);
    sy_panel_action(p, SY_ACT_FULL, &req);
    tap_ok(!strncmp(req.text, "runs \"bold-ferret\".layers[3].experts[", 37) &&
               strstr(req.text, "]:forbid{"),
           "both go around: %s", req.text);
    act(&stage, SY_ACT_VERBS, 1);
    sy_panel_action(p, SY_ACT_LEAVE, &req);
    tap_ok(!sy_panel_over(p) && sy_panel_pane_mode(p), "Esc closes it, and no more");
    act(&stage, SY_ACT_VERBS, 1);
    sy_panel_set_pane_mode(p, false);
    tap_ok(!sy_panel_over(p), "it goes with pane mode");
    close_stage(&stage);
    dense();
    sy_panel_action(stage.panel, SY_ACT_VERBS, &req);
    tap_ok(!sy_panel_over(stage.panel) && strstr(stage.panel->message, "no experts"),
           "of a dense run there is none");
    close_stage(&stage);
    with_menu();
    act(&stage, SY_ACT_LEAVE, 1);
    sy_panel_set_only_panes(stage.panel);
    sy_panel_action(stage.panel, SY_ACT_VERBS, &req);
    tap_ok(!sy_panel_over(stage.panel), "nor where there is no prompt");
    close_stage(&stage);
}

/* Of two keys that are one function's each does its own part. */
static void directions(void)
{
    static const struct {
        enum sy_action action;
        enum sy__view view;
    } views[] = {{SY_ACT_PANEL1, SY__LOSS},   {SY_ACT_PANEL2, SY__EXPERTS},
                 {SY_ACT_PANEL3, SY__SPEED},  {SY_ACT_PANEL4, SY__ROUTER},
                 {SY_ACT_PANEL5, SY__GRAD},   {SY_ACT_PANEL6, SY__MEMORY}};
    struct sy_request up, down, clear, edit, plain;
    int wrong = 0;
    open_stage(&stage, 200, 60, fine, 1);
    struct sy_panel *p = stage.panel;
    for (int i = 0; i < 6; i++) {
        act(&stage, views[i].action, 1);
        wrong += p->slots[p->focus].view != views[i].view;
    }
    tap_is_int(wrong, 0, "1 to 6 choose the views that their help names");
    act(&stage, SY_ACT_ZOOM_IN, 3);
    double at = p->x0, width = p->x1 - p->x0;
    act(&stage, SY_ACT_PAN_LEFT, 2);
    tap_ok(at - p->x0 > 0.4 * width && at - p->x0 < 0.6 * width, "< shows earlier steps");
    act(&stage, SY_ACT_PAN_RIGHT, 1);
    tap_ok(at - p->x0 > 0.2 * width && at - p->x0 < 0.3 * width, "> later ones");
    act(&stage, SY_ACT_ZOOM_OUT, 1);
    tap_ok(p->x1 - p->x0 > 1.9 * width && p->x1 - p->x0 < 2.1 * width, "- twice as many");
    act(&stage, SY_ACT_PANEL2, 1);
    act(&stage, SY_ACT_CURSOR_DOWN, 2);
    act(&stage, SY_ACT_CURSOR_UP, 1);
    tap_is_int(p->layer, 1, "down and up among the layers");
    sy_panel_action(p, SY_ACT_PAGE_UP, &up);
    sy_panel_action(p, SY_ACT_PAGE_DOWN, &down);
    tap_ok(up.kind == SY_REQ_SCROLL && up.step < 0 && down.kind == SY_REQ_SCROLL && down.step > 0,
           "PgUp scrolls back, PgDn forward");
    sy_panel_action(p, SY_ACT_CLEAR, &clear);
    sy_panel_action(p, SY_ACT_EDITOR, &edit);
    sy_panel_action(p, SY_ACT_PLAIN, &plain);
    tap_ok(clear.kind == SY_REQ_CLEAR && edit.kind == SY_REQ_EDITOR && plain.kind == SY_REQ_PLAIN,
           "what the caller does is asked for by its name");
    close_stage(&stage);
}

static void rewind_run(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    struct sy_extent e;
    const struct sy_pyramid *loss =
        sy__feed_rows(sy__feed(sy__front(stage.panel), sy__of_name("loss", SY__FIRST), 0.9), 0);
    sy_metrics_truncate(stage.run[0].metrics, 500);
    stage.run[0].steps = 500;
    stage.run[0].seed = 5;
    fake_run_go_on(&stage.run[0], 900);
    sy_panel_update(stage.panel, 2, 60);
    float want;
    sy_source_at(stage.source[0], sy_source_find(stage.source[0], "loss"), 501, &want);
    e = sy_pyramid_query(loss, 500, 501);
    tap_ok(sy_pyramid_rows(loss) == 1400 && e.max == want, "after a rewind: the new rows");
    close_stage(&stage);
}

static void hostile(void)
{
    struct sy_str out = SY_STR_INIT;
    snprintf(stage.run[0].name, sizeof stage.run[0].name,
             "\x1b[2J\xE2\x80\xAE"
             "abc\xff\x9b");
    add_marks(&stage.run[0]);
    snprintf(stage.run[0].marks[0].text, sizeof stage.run[0].marks[0].text, "\a\x1b]0;x\x07\n\r");
    open_stage(&stage, 100, 30, fine, 1);
    act(&stage, SY_ACT_PANES, 1);
    stage.panel->cursor = 600;
    sy_panel_message(stage.panel, "\x1b[31mred\x7f\xC2\x85");
    sy_panel_update(stage.panel, 2, 60);
    draw(&stage);
    sy_grid_write(&stage.grid, SY_DUMP_TEXT, &out);
    int bad = 0;
    for (size_t i = 0; i < out.len; i++)
        bad += ((unsigned char)out.data[i] < 32 && out.data[i] != '\n') || out.data[i] == 127;
    tap_ok(!bad && !strstr(out.data, "\xE2\x80\xAE") && !strstr(out.data, "\xC2\x9B"),
           "nothing of a name, a mark or a message gets through as control");
    sy_str_free(&out);
    close_stage(&stage);
}

static void coming_and_going(void)
{
    struct sy_panel *p = sy_panel_new(&fine, NULL);
    struct fake_run a = {.steps = 50}, b = {.steps = 60};
    snprintf(b.name, sizeof b.name, "second");
    fake_run_make(&a);
    fake_run_make(&b);
    sy_panel_update(p, 1, 60);
    tap_is_str(sy_panel_selected(p), "", "no run");
    sy_board_add(a.source, NULL);
    tap_ok(sy_panel_update(p, 2, 60), "a run comes: draw");
    tap_is_str(sy_panel_selected(p), "bold-ferret", "the first");
    sy_board_add(b.source, NULL);
    sy_panel_update(p, 3, 60);
    tap_is_str(sy_panel_selected(p), "second", "the newest comes to the front");
    tap_ok(sy_panel_select(p, "bold-ferret") && !sy_panel_select(p, "nobody"), "chosen by name");
    sy_panel_update(p, 4, 60);
    sy_board_remove(b.source);
    sy_panel_set_pane_mode(p, true);
    p->cursor = 7;
    sy_board_add(b.source, NULL);
    sy_panel_update(p, 4.5, 60);
    tap_ok(!strcmp(sy_panel_selected(p), "bold-ferret") && p->cursor == 7,
           "in pane mode nothing comes before what one looks at");
    sy_panel_set_pane_mode(p, false);
    sy_board_remove(b.source);
    sy_panel_update(p, 5, 60);
    tap_is_str(sy_panel_selected(p), "bold-ferret", "the other one goes, this one stays");
    sy_board_remove(a.source);
    tap_ok(sy_panel_update(p, 6, 60) && !*sy_panel_selected(p), "and none");
    sy_panel_free(p);
    fake_run_free(&a);
    fake_run_free(&b);
}

/* ---- a run that trains meanwhile (for ThreadSanitizer) ---- */

static atomic_llong live_step;
static atomic_bool live_quit;

static void live_status(void *ctx, struct sy_source_status *out)
{
    (void)ctx;
    out->state = SY_RUN_RUNNING;
    out->live = true;
    out->step = atomic_load(&live_step);
    out->steps = 100000;
    out->loss = 2;
}

static void *live_train(void *arg)
{
    float row[8] = {1, 2, 0, 1, 1, 1, 1, 1}, one = 2;
    for (int64_t step = 1; step < 20000 && !atomic_load(&live_quit); step++) {
        sy_metrics_add(arg, sy_metrics_series(arg, "loss", 1, NULL), step, &one);
        sy_metrics_add(arg, sy_metrics_series(arg, "tok_s", 1, NULL), step, &one);
        sy_metrics_add(arg, sy_metrics_series(arg, "load.1", 8, NULL), step, row);
        sy_metrics_add(arg, sy_metrics_series(arg, "load.2", 8, NULL), step, row);
        atomic_store(&live_step, step);
        sy_board_stepped();
        if (step == 5000)
            sy_metrics_truncate(arg, 4990);
    }
    return NULL;
}

static atomic_int woken;
static void wake(void *ctx)
{
    (void)ctx, atomic_fetch_add(&woken, 1);
}

static void live(void)
{
    pthread_t thread;
    struct sy_request req;
    struct sy_grid g = {0};
    struct sy_metrics *m = sy_metrics_new(NULL);
    struct sy_live_run run = {"live", m, live_status, NULL, NULL};
    struct sy_source *s = sy_source_live(&run, NULL);
    struct sy_panel *p = sy_panel_new(&fine, NULL);
    sy_board_notify(wake, NULL);
    sy_board_add(s, NULL);
    sy_panel_layout(p, 200, 60, 1);
    sy_grid_resize(&g, 200, 60, NULL);
    sy_board_arm();
    pthread_create(&thread, NULL, live_train, m);
    for (int i = 0; i < 300; i++) {
        sy_board_arm();
        if (sy_panel_update(p, sy_now(), 0.01))
            sy_panel_draw(p, &g);
        sy_panel_action(p, (enum sy_action)(1 + i % (SY_ACT_COUNT - 1)), &req);
    }
    while (atomic_load(&woken) < 2) /* by coming, and by a step */
        sched_yield();
    sy_source_close(s);
    sy_board_remove(s);
    sy_panel_update(p, sy_now(), 0.01);
    sy_panel_draw(p, &g);
    atomic_store(&live_quit, true);
    pthread_join(thread, NULL);
    sy_board_notify(NULL, NULL);
    tap_ok(atomic_load(&woken) >= 2, "who draws was woken %d times", atomic_load(&woken));
    sy_panel_free(p);
    sy_source_unref(s);
    sy_metrics_free(m);
    sy_grid_free(&g);
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        play(&scenes[i]);
    if (getenv("SY_SCREENS"))
        return tap_done();
    idle();
    sizes();
    narrow_header();
    messages();
    rare_rows();
    no_row_yet();
    disabled_expert();
    not_smoothed();
    early_drops();
    no_choices();
    losses_apart();
    teacher_apart();
    largest_of_sources();
    sources_by_experts();
    keys();
    menu_keys();
    directions();
    rewind_run();
    hostile();
    coming_and_going();
    live();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
