/* The panel's screens, cell by cell, against tests/screens/NAME.txt; what keys do; that nothing is
 * drawn when nothing changed; every size.
 *
 *     SY_SCREENS=write tests/unit/test_panel      write the screens anew (then look at each!)
 *     SY_SCREENS=show tests/unit/test_panel       print them with their colours
 *     SY_SCREENS=svg tests/unit/test_panel        write NAME.svg into the working directory */
#include "unit/fake_run.h"
#include "unit/tap.h"

#include "base/file.h"
#include "base/mem.h"
#include "tui/panel_int.h"

#include <locale.h>
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

static const struct sy_look fine = {SY_SYMBOLS_BRAILLE, 256};

static void act(struct stage *s, enum sy_action a, int times)
{
    struct sy_request req;
    for (int i = 0; i < times; i++) {
        sy_panel_action(s->panel, a, &req);
        sy_panel_update(s->panel, 1, 1);
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

static void open_stage(struct stage *s, int w, int h, struct sy_look look, int runs)
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
    while (sy_panel_update(s->panel, 1, 1))
        continue;
}

static void draw(struct stage *s)
{
    sy_grid_resize(&s->grid, s->panel->w, s->panel->h, NULL);
    const struct sy_areas *a = sy_panel_areas(s->panel);
    sy_grid_text(&s->grid, 0, a->scrollback.y, a->scrollback.w, a->scrollback.h ? "> print(1)" : "",
                 sy_look_pen(&s->panel->look, SY_ROLE_TEXT));
    sy_grid_text(&s->grid, 0, a->input.y, a->input.w, "yard> ",
                 sy_look_pen(&s->panel->look, SY_ROLE_PROMPT));
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

static void at_80x24(void) { open_stage(&stage, 80, 24, fine, 1); }
static void at_120x40(void) { open_stage(&stage, 120, 40, fine, 1); }
static void at_60x15(void) { open_stage(&stage, 60, 15, fine, 1); }
static void at_40x12(void) { open_stage(&stage, 40, 12, fine, 1); }
static void at_20x5(void) { open_stage(&stage, 20, 5, fine, 1); }

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
    open_stage(&stage, 80, 24, (struct sy_look){SY_SYMBOLS_ASCII, 0}, 1);
}

static void with_8_colours(void)
{
    open_stage(&stage, 80, 24, (struct sy_look){SY_SYMBOLS_BLOCKS, 8}, 1);
}

static void without_colours(void)
{
    open_stage(&stage, 120, 40, (struct sy_look){SY_SYMBOLS_BRAILLE, 0}, 1);
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

static void dense(void)
{
    stage.run[0].layers = -1;
    open_stage(&stage, 80, 24, fine, 1);
}

static void nothing(void) { open_stage(&stage, 80, 24, fine, 0); }

static void with_help(void)
{
    open_stage(&stage, 80, 24, fine, 1);
    act(&stage, SY_ACT_PROMPT_HELP, 1);
}

static void filtered(void)
{
    open_stage(&stage, 120, 30, fine, 1);
    sy_panel_filter(stage.panel, "entropy", NULL);
    while (sy_panel_update(stage.panel, 1, 1))
        continue;
}

static void failed(void)
{
    stage.run[0].state = "failed";
    stage.run[0].nan = 1240;
    open_stage(&stage, 80, 24, fine, 1);
}

static const struct scene {
    const char *name;
    void (*set)(void);
} scenes[] = {{"80x24", at_80x24},         {"200x60", at_200x60},
              {"120x40", at_120x40},       {"60x15", at_60x15},
              {"40x12", at_40x12},         {"20x5", at_20x5},
              {"ascii", with_ascii},       {"8-colours", with_8_colours},
              {"no-colours", without_colours}, {"events", with_events},
              {"cursor", with_cursor},     {"change", with_change},
              {"zoomed", zoomed},          {"64x128", many_experts},
              {"20-runs", many_runs},      {"full-screen", full_screen},
              {"dense", dense},            {"empty", nothing},
              {"help", with_help},         {"filter", filtered},
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

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++)
        play(&scenes[i]);
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
