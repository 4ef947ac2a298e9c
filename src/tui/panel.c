/* The panel's outside.  See panel.h. */
#include "tui/panel.h"

#include "base/mem.h"
#include "run/board.h"

#include <stdio.h>
#include <string.h>

struct sy_panel {
    struct sy_look look;
    struct sy_areas areas;
    int w, h;
    bool dirty, pane_mode, help;
    char message[256];
};

struct sy_panel *sy_panel_new(const struct sy_look *look, struct sy_err *err)
{
    struct sy_panel *p = sy_calloc(1, sizeof *p);
    if (!p) {
        sy_err_set(err, SY_E_MEMORY, "panel: out of memory");
        return NULL;
    }
    p->look = *look;
    p->dirty = true;
    sy_panel_layout(p, 80, 24, 1);
    return p;
}
void sy_panel_free(struct sy_panel *p) { sy_free(p); }
void sy_panel_set_look(struct sy_panel *p, const struct sy_look *look) { p->look = *look; p->dirty = true; }
int sy_panel_set_sources(struct sy_panel *p, struct sy_source *const *list, int n, struct sy_err *err)
{
    (void)p; (void)list; (void)n; (void)err;
    return 0;
}
void sy_panel_use_board(struct sy_panel *p) { (void)p; }
bool sy_panel_select(struct sy_panel *p, const char *run) { (void)p; (void)run; return false; }
const char *sy_panel_selected(const struct sy_panel *p) { (void)p; return ""; }
int sy_panel_overlay(struct sy_panel *p, const char *const *runs, int n, struct sy_err *err)
{
    (void)p; (void)runs; (void)n; (void)err;
    return 0;
}
void sy_panel_layout(struct sy_panel *p, int w, int h, int input_rows)
{
    p->w = w; p->h = h;
    int panes = h >= 10 ? h * 45 / 100 : 0, status = h >= 6, rule = panes > 0;
    int y = 0;
    p->areas.header = (struct sy_rect){0, y, w, h > 1}; y += h > 1;
    p->areas.panes = (struct sy_rect){0, y, w, panes}; y += panes;
    p->areas.rule = (struct sy_rect){0, y, w, rule}; y += rule;
    int left = h - y - status - input_rows;
    if (left < 0) { input_rows += left; left = 0; }
    p->areas.scrollback = (struct sy_rect){0, y, w, left}; y += left;
    p->areas.input = (struct sy_rect){0, y, w, input_rows}; y += input_rows;
    p->areas.status = (struct sy_rect){0, y, w, status};
    p->dirty = true;
}
const struct sy_areas *sy_panel_areas(const struct sy_panel *p) { return &p->areas; }
void sy_panel_set_split(struct sy_panel *p, double share) { (void)p; (void)share; }
bool sy_panel_update(struct sy_panel *p, double now, double budget)
{
    (void)now; (void)budget;
    bool d = p->dirty;
    p->dirty = false;
    return d;
}
void sy_panel_draw(struct sy_panel *p, struct sy_grid *g)
{
    struct sy_pen text = sy_look_pen(&p->look, SY_ROLE_TEXT), bar = sy_look_pen(&p->look, SY_ROLE_BAR);
    sy_grid_fill(g, p->areas.header, ' ', text);
    sy_grid_text(g, 1, 0, p->w - 1, "no run yet", text);
    sy_grid_fill(g, p->areas.panes, ' ', text);
    sy_grid_fill(g, p->areas.rule, p->look.symbols ? 0x2500 : '-', sy_look_pen(&p->look, SY_ROLE_FRAME));
    sy_grid_fill(g, p->areas.status, ' ', bar);
    sy_grid_text(g, 1, p->areas.status.y, p->w - 1, p->pane_mode ? "PANES" : "F1 help  F6 panes  C-x a plain", bar);
}
bool sy_panel_loading(const struct sy_panel *p) { (void)p; return false; }
void sy_panel_message(struct sy_panel *p, const char *text)
{
    snprintf(p->message, sizeof p->message, "%s", text ? text : "");
    p->dirty = true;
}
void sy_panel_set_pane_mode(struct sy_panel *p, bool on) { p->pane_mode = on; p->dirty = true; }
bool sy_panel_pane_mode(const struct sy_panel *p) { return p->pane_mode; }
void sy_panel_set_scrolled(struct sy_panel *p, int rows) { (void)p; (void)rows; }
bool sy_panel_action(struct sy_panel *p, enum sy_action a, struct sy_request *req)
{
    *req = (struct sy_request){0};
    p->dirty = true;
    switch (a) {
    case SY_ACT_LEAVE: p->pane_mode = false; req->kind = SY_REQ_LEAVE; return true;
    case SY_ACT_FILTER: req->kind = SY_REQ_FILTER; return true;
    case SY_ACT_PLAIN: req->kind = SY_REQ_PLAIN; return true;
    case SY_ACT_PANES: p->pane_mode = true; return true;
    case SY_ACT_PAGE_UP: req->kind = SY_REQ_SCROLL; req->step = -1; return true;
    case SY_ACT_PAGE_DOWN: req->kind = SY_REQ_SCROLL; req->step = 1; return true;
    case SY_ACT_HELP: case SY_ACT_PROMPT_HELP: p->help = !p->help; return true;
    default: return a > SY_ACT_NONE && a < SY_ACT_COUNT;
    }
}
int sy_panel_filter(struct sy_panel *p, const char *text, struct sy_err *err)
{
    (void)p; (void)text; (void)err;
    return 0;
}
void sy_panel_show_help(struct sy_panel *p, bool on) { p->help = on; p->dirty = true; }
bool sy_panel_help(const struct sy_panel *p) { return p->help; }
bool sy_panel_click(struct sy_panel *p, int x, int y) { (void)p; (void)x; (void)y; return false; }
