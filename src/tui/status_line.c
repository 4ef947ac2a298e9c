/* Header, rule, status line, the list of keys, and what stands where no run is yet. */
#include "tui/panel_int.h"

#include "base/str.h"
#include "tui/frame.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- header ---- */

struct field {
    const char *label;
    char value[64];
    int rank; /* which goes first when it is narrow: the highest */
    bool show;
};

#define FIELDS 7

static int field_width(const struct field *f)
{
    return (int)(strlen(f->label) + 1 + strlen(f->value) + 2);
}

/* Rates are those of a run that trains, not what they were when it paused or ended. */
static void fill_fields(const struct sy_source_status *s, struct field f[FIELDS])
{
    char a[28], b[28], v[16];
    bool runs = s->live && s->state == SY_RUN_RUNNING;
    sy_count_text((long long)s->step, a);
    sy_count_text((long long)s->steps, b);
    f[0] = (struct field){"step", {0}, 0, true};
    snprintf(f[0].value, sizeof f[0].value, s->steps > 0 ? "%s/%s" : "%s", a, b);
    sy_value_text(s->tok_s, SY_UNIT_PLAIN, v);
    f[1] = (struct field){"tok/s", {0}, 2, runs && s->tok_s > 0};
    snprintf(f[1].value, sizeof f[1].value, "%s", v);
    f[2] = (struct field){"MFU", {0}, 4, runs && s->mfu > 0};
    snprintf(f[2].value, sizeof f[2].value, "%.0f%%", 100 * s->mfu);
    sy_value_text(s->loss, SY_UNIT_PLAIN, v);
    f[3] = (struct field){"loss", {0}, 1, !isnan(s->loss)};
    snprintf(f[3].value, sizeof f[3].value, "%s", v);
    sy_value_text(s->val_loss, SY_UNIT_PLAIN, v);
    f[4] = (struct field){"val", {0}, 6, !isnan(s->val_loss)};
    snprintf(f[4].value, sizeof f[4].value, "%s", v);
    f[5] = (struct field){"lr", {0}, 5, s->lr > 0};
    sy_value_text(s->lr, SY_UNIT_PLAIN, f[5].value);
    f[6] = (struct field){"ETA", {0}, 3, runs && s->eta > 0 && s->step < s->steps};
    sy_human_duration(s->eta, f[6].value);
}

/* Of those of a lower rank. */
static int fields_width(const struct sy_source_status *s, int rank)
{
    struct field f[FIELDS];
    int total = 0;
    fill_fields(s, f);
    for (int i = 0; i < FIELDS; i++)
        total += f[i].show && f[i].rank < rank ? field_width(&f[i]) : 0;
    return total;
}

static enum sy_role state_role(const struct sy_source_status *s)
{
    switch (s->state) {
    case SY_RUN_RUNNING: return SY_ROLE_GOOD;
    case SY_RUN_PAUSED:
    case SY_RUN_STOPPED: return SY_ROLE_WARN;
    case SY_RUN_FAILED:
    case SY_RUN_CRASHED:
    case SY_RUN_DAMAGED:
    case SY_RUN_UNREADABLE: return SY_ROLE_BAD;
    default: return SY_ROLE_VALUE;
    }
}

static void draw_fields(const struct sy_panel *p, const struct sy_source_status *s,
                        struct sy_grid *g, int y, int room)
{
    struct field f[FIELDS];
    int total = 0, x = 1;
    fill_fields(s, f);
    for (int i = 0; i < FIELDS; i++)
        total += f[i].show ? field_width(&f[i]) : 0;
    for (int rank = 6; rank > 0 && total > room; rank--)
        for (int i = 0; i < FIELDS; i++)
            if (f[i].rank == rank && f[i].show) {
                f[i].show = false;
                total -= field_width(&f[i]);
            }
    if (total > room + 2) /* half a number would be another one */
        *strchrnul(f[0].value, '/') = 0;
    for (int i = 0; i < FIELDS; i++) {
        if (!f[i].show)
            continue;
        x += sy_grid_text(g, x, y, p->w - x, f[i].label, sy_theme_pen(&p->look, SY_ROLE_DIM)) + 1;
        x += sy_grid_text(g, x, y, p->w - x, f[i].value, sy_theme_pen(&p->look, SY_ROLE_VALUE)) + 2;
    }
}

static void draw_header(const struct sy_panel *p, struct sy_grid *g)
{
    struct sy_rect r = p->areas.header;
    const struct sy__run *run = sy__front(p);
    sy_grid_fill(g, r, ' ', sy_theme_pen(&p->look, SY_ROLE_TEXT));
    if (r.h < 1)
        return;
    if (!run) {
        sy_grid_text(g, 1, r.y, r.w - 1, "switchyard", sy_theme_pen(&p->look, SY_ROLE_TITLE));
        return;
    }
    const char *name = run->status.name;
    int n = sy_text_width(name, strlen(name)), room = r.w - 2;
    if (n > r.w / 3)
        n = r.w >= 40 ? r.w / 3 : 0;
    if (p->areas.status.h && n + fields_width(&run->status, 6) + 2 > r.w)
        n = 0; /* it stands in the status line as well */
    if (n) {
        sy_grid_text(g, r.w - 1 - n, r.y, n, name,
                     sy_theme_pen(&p->look, state_role(&run->status)));
        room -= n + 1;
    }
    draw_fields(p, &run->status, g, r.y, room);
}

/* ---- rule ---- */

static void draw_rule(const struct sy_panel *p, struct sy_grid *g)
{
    struct sy_rect r = p->areas.rule;
    char text[80] = " scrollback ";
    if (r.h < 1)
        return;
    sy_grid_fill(g, r, sy_glyph(&p->look, SY_GLYPH_H), sy_theme_pen(&p->look, SY_ROLE_FRAME));
    if (p->filter[0])
        snprintf(text, sizeof text, " /%.20s: %d of %d series%s ", p->filter, p->nslots, p->found,
                 r.w < 60 ? "" : "; / again or 0: all");
    if (p->scrolled > 0)
        snprintf(text, sizeof text, " scrollback: %d rows below ", p->scrolled);
    int n = (int)strlen(text);
    if (n + 6 < r.w)
        sy_grid_text(
            g, r.w - n - 4, r.y, n, text,
            sy_theme_pen(&p->look, p->scrolled > 0 || p->filter[0] ? SY_ROLE_WARN : SY_ROLE_DIM));
}

/* ---- status line ---- */

static const char *state_word(const struct sy_source_status *s)
{
    static const char *const words[SY_RUN_STATES] = {
        [SY_RUN_NEW] = "NEW",         [SY_RUN_RUNNING] = "RUN",
        [SY_RUN_PAUSED] = "PAUSED",   [SY_RUN_DONE] = "DONE",
        [SY_RUN_STOPPED] = "STOPPED", [SY_RUN_FAILED] = "FAILED",
        [SY_RUN_CRASHED] = "CRASHED"};
    return words[s->state] ? words[s->state] : sy_run_state_name(s->state);
}

static int bar_text(const struct sy_panel *p, struct sy_grid *g, int x, const char *text,
                    enum sy_role role)
{
    struct sy_pen pen = sy_theme_pen(&p->look, role), bar = sy_theme_pen(&p->look, SY_ROLE_BAR);
    char fine[320];
    if (bar.bg >= 0) {
        pen.bg = bar.bg;
        pen.fg = pen.fg < 0 ? bar.fg : pen.fg; /* the terminal's own may be as dark as the bar */
    } else
        pen = bar;
    sy_theme_text(&p->look, text, fine, sizeof fine);
    return x + sy_grid_text(g, x, p->areas.status.y, p->w - x, fine, pen);
}

#define PANE_HINTS(LEAVE)                                                                          \
    {"←→ cursor  + - zoom  < > pan  0 fit  f follow  y log  s smooth  a losses  e experts  "       \
     "Tab next  ? keys  " LEAVE,                                                                   \
     "←→ cursor  + - zoom  0 fit  f follow  y log  Tab next  ? keys  " LEAVE,                      \
     "←→ cursor  + - zoom  Tab next  ? keys  " LEAVE, "? keys  " LEAVE, ""}

/* The longest that fits. */
static const char *hints(const struct sy_panel *p, int room)
{
    static const char *const panes[2][5] = {PANE_HINTS("Esc prompt"), PANE_HINTS(":q leaves")};
    static const char *const prompt[] = {"F1 help  F6 panes  C-x a plain", "F1 help  F6 panes",
                                         "F1 help", ""};
    const char *const *list = p->pane_mode ? panes[p->only_panes] : prompt;
    if (p->help)
        return "any key takes the list away";
    while (**list && sy_text_width(*list, strlen(*list)) > room)
        list++;
    return *list;
}

/* At the right: a message, what is wrong, or that rows are still coming. */
static void draw_notice(const struct sy_panel *p, struct sy_grid *g, int x)
{
    const struct sy__run *r = sy__front(p);
    bool alarm = r && r->status.alarm[0] && !p->message[0];
    const char *text = p->message[0] ? p->message
                       : alarm       ? r->status.alarm
                       : p->loading  ? "reading ..."
                                     : "";
    int room = p->w - x - 3, n = sy_text_width(text, strlen(text));
    char cut[300];
    if (room < 8 || !n)
        return;
    size_t bytes = sy_text_fit(text, strlen(text), n > room ? room - 1 : room);
    snprintf(cut, sizeof cut, "%.*s%s", (int)bytes, text, n > room ? "…" : "");
    bar_text(p, g, p->w - 1 - (n > room ? room : n), cut, alarm ? SY_ROLE_BAD : SY_ROLE_VALUE);
}

static void draw_status(const struct sy_panel *p, struct sy_grid *g)
{
    struct sy_rect r = p->areas.status;
    const struct sy__run *run = sy__front(p);
    char more[48];
    if (r.h < 1)
        return;
    sy_grid_fill(g, r, ' ', sy_theme_pen(&p->look, SY_ROLE_BAR));
    int x = 1;
    if (p->pane_mode)
        x = bar_text(p, g, x, "PANES  ", SY_ROLE_FOCUS);
    if (run) {
        x = bar_text(p, g, x, run->status.name, SY_ROLE_TEXT) + 1;
        x = bar_text(p, g, x, state_word(&run->status), state_role(&run->status)) + 1;
    }
    if (p->nruns > 1) {
        snprintf(more, sizeof more, "%d of %d", p->front + 1, p->nruns);
        x = bar_text(p, g, x, more, SY_ROLE_DIM) + 1;
    }
    if (p->busy > 0) {
        snprintf(more, sizeof more, "running for %d s, C-c interrupts", p->busy - 1);
        x = bar_text(p, g, x + 2 * (x > 1), more, SY_ROLE_WARN);
        draw_notice(p, g, x);
        return;
    }
    int notice = p->message[0] ? sy_text_width(p->message, strlen(p->message)) + 3 : 0;
    x = bar_text(p, g, x + 2 * (x > 1), hints(p, p->w - x - 3 - notice), SY_ROLE_DIM);
    draw_notice(p, g, x);
}

void sy__bars_draw(struct sy_panel *p, struct sy_grid *g)
{
    draw_header(p, g);
    draw_rule(p, g);
    draw_status(p, g);
}

/* ---- where no run is yet ---- */

void sy__welcome_draw(struct sy_panel *p, struct sy_grid *g)
{
    static const char *const lines[] = {
        "no run yet: type at the prompt",
        "d = data.synthetic{}",
        "m = model.moe{layers = 4, dim = 128, heads = 4, experts = 8, top_k = 2}",
        "r = train(m, d, {steps = 1000})",
    };
    struct sy_rect r = p->areas.panes;
    int n = sizeof lines / sizeof *lines, widest = 0;
    for (int i = 0; i < n; i++)
        widest = (int)strlen(lines[i]) > widest ? (int)strlen(lines[i]) : widest;
    int x = r.w > widest + 4 ? (r.w - widest) / 2 : 2, y = r.y + (r.h > 6 ? (r.h - 6) / 2 : 0);
    for (int i = 0; i < n && y < r.y + r.h; i++, y += i == 1 ? 2 : 1)
        sy_grid_text(g, r.x + x, y, r.w - x, lines[i],
                     sy_theme_pen(&p->look, i ? SY_ROLE_PROMPT : SY_ROLE_DIM));
}

/* ---- the list of keys ---- */

#define HELP_ROWS (SY_ACT_COUNT + 1)

struct help_row {
    enum sy_action action;
    char shown[32];
    const char *help;
};

/* Neighbours that say the same are one row: "<- h  -> l". */
static int add_help(struct help_row *out, int n, const struct sy_key *k)
{
    if (n && out[n - 1].action != SY_ACT_NONE && !strcmp(out[n - 1].help, k->help)) {
        size_t used = strlen(out[n - 1].shown);
        snprintf(out[n - 1].shown + used, sizeof out->shown - used, " %s", k->shown);
        return n;
    }
    out[n] = (struct help_row){.action = k->action, .help = k->help};
    snprintf(out[n].shown, sizeof out->shown, "%s", k->shown);
    return n + 1;
}

/* Keys that do something here; before those of the prompt a heading, which has no action. */
static int help_rows(const struct sy_panel *p, struct help_row out[HELP_ROWS])
{
    int count, n = 0;
    const struct sy_key *keys = sy_keys(&count);
    for (int i = 0; i < count; i++) {
        const struct sy_key *k = &keys[i];
        if (i && k->map != k[-1].map)
            out[n++] = (struct help_row){.action = SY_ACT_NONE,
                                         .help = "at the prompt, and on panels"};
        if (!p->only_panes || (k->action != SY_ACT_PAUSE && k->action != SY_ACT_MARK))
            n = add_help(out, n, k);
    }
    return n;
}

static void help_column(const struct sy_panel *p, struct sy_grid *g, struct sy_rect r,
                        const struct help_row *k, int n)
{
    char text[160];
    for (int i = 0; i < n; i++, k++) {
        if (k->action == SY_ACT_NONE) {
            sy_grid_text(g, r.x, r.y + i, r.w, k->help, sy_theme_pen(&p->look, SY_ROLE_TITLE));
            continue;
        }
        sy_theme_text(&p->look, k->shown, text, sizeof text);
        sy_grid_text(g, r.x, r.y + i, 10, text, sy_theme_pen(&p->look, SY_ROLE_VALUE));
        sy_grid_text(g, r.x + 11, r.y + i, r.w - 11, k->help, sy_theme_pen(&p->look, SY_ROLE_TEXT));
    }
}

/* Over all but the status line; in as many columns as it takes, or what there is room for. */
void sy__help_draw(struct sy_panel *p, struct sy_grid *g)
{
    struct help_row keys[HELP_ROWS];
    int count = help_rows(p, keys), rows = p->h - 2 - p->areas.status.h;
    int columns = (count + (rows > 0 ? rows : 1) - 1) / (rows > 0 ? rows : 1);
    int most = p->w / 38 > 0 ? p->w / 38 : 1;
    columns = columns > most ? most : columns;
    int each = (count + columns - 1) / columns;
    each = each > rows ? rows : each;
    int wide = (p->w - 3) / columns < 40 ? (p->w - 3) / columns : 40;
    struct sy_rect r = {0, 0, wide * columns + 3, each + 2};
    r.x = (p->w - r.w) / 2;
    r.y = (p->h - p->areas.status.h - r.h) / 2;
    r.y = r.y < 0 ? 0 : r.y;
    if (each < 1)
        return;
    struct sy_rect in = sy_frame(
        g, &p->look, r, p->only_panes ? "keys" : "keys on panels, after F6", true);
    for (int c = 0; c < columns && c * each < count; c++)
        help_column(p, g, (struct sy_rect){in.x + 1 + c * wide, in.y, wide - 1, each},
                    keys + c * each, count - c * each < each ? count - c * each : each);
}
