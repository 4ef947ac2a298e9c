/* What the keys of pane mode do.  See panel_keys.def.
 *
 *      fit, follow --zoom, pan to earlier--> window --f--> window that follows the newest step
 *           ^------------- 0, zoom out far enough -----------------'
 *
 * The cursor is a step, shared by all charts and by the heatmap, which shows that step; without one
 * they show the newest.  It goes with pane mode. */
#include "tui/panel_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What to do, and by how much or to what: the numbers of `actions` below. */
typedef void (*action)(struct sy_panel *p, int by);

static void say_in_panel(struct sy_panel *p, const char *text)
{
    sy_panel_message(p, text);
    p->asked->said = true;
}

/* ---- the window and the cursor ---- */

static int columns_of(const struct sy_panel *p)
{
    int w = p->nslots ? sy_plot_inside(p->slots[p->focus].r).w : 1;
    return w > 0 ? w : 1;
}

static void set_window(struct sy_panel *p, double x0, double x1)
{
    p->fit = false;
    p->x0 = x0;
    p->x1 = x1;
}

/* The whole run, as if it stood still. */
static void whole_window(struct sy_panel *p, double *x0, double *x1)
{
    struct sy_panel all = *p;
    all.fit = true;
    sy__x_window(&all, sy__front(p), x0, x1);
}

/* Who looks at a step does not want it to move away. */
static void stand_still(struct sy_panel *p)
{
    double x0, x1;
    if (p->fit || !p->follow)
        return;
    sy__x_window(p, sy__front(p), &x0, &x1);
    p->follow = false;
    set_window(p, x0, x1);
}

static void move_cursor(struct sy_panel *p, int by)
{
    struct sy__run *r = sy__front(p);
    double x0, x1;
    if (!r || r->status.step < 1)
        return;
    stand_still(p);
    struct sy_x_axis axis = sy__x_axis(p, r);
    sy__x_window(p, r, &x0, &x1);
    int64_t last = r->status.step, from = p->cursor < 0 ? last : p->cursor;
    double x = sy_x_of_step(&axis, from) + by * (x1 - x0) / columns_of(p);
    int64_t step = sy_x_to_step(&axis, x);
    if (by > 0 && step <= from)
        step = from + 1;
    if (by < 0 && step >= from)
        step = from - 1;
    p->cursor = step < 1 ? 1 : step > last ? last : step;
    double at = sy_x_of_step(&axis, p->cursor);
    if (!p->fit && (at < x0 || at > x1)) { /* the window goes with it */
        double shift = at < x0 ? at - x0 : at - x1;
        set_window(p, x0 + shift, x1 + shift);
    }
}

/* In (by > 0) or out. */
static void zoom(struct sy_panel *p, int by)
{
    struct sy__run *r = sy__front(p);
    double x0, x1, a, b;
    if (!r)
        return;
    struct sy_x_axis axis = sy__x_axis(p, r);
    sy__x_window(p, r, &x0, &x1);
    whole_window(p, &a, &b);
    double centre = p->cursor >= 0 ? sy_x_of_step(&axis, p->cursor)
                    : p->follow    ? x1
                                   : (x0 + x1) / 2;
    double least = axis.kind == SY_X_STEP ? 8 : (b - a) / 1e7;
    double w = (x1 - x0) * (by > 0 ? 0.5 : 2), left = (centre - x0) / (x1 - x0);
    if (w < least)
        return;
    double to = centre - left * w;
    if (w >= b - a) {
        p->fit = p->follow = true;
        return;
    }
    to = to < a ? a : to + w > b ? b - w : to;
    p->follow &= p->cursor < 0;
    set_window(p, to, to + w);
}

static void pan(struct sy_panel *p, int by)
{
    double x0, x1, a, b;
    sy__x_window(p, sy__front(p), &x0, &x1);
    whole_window(p, &a, &b);
    double w = x1 - x0, to = x0 + by * 0.25 * w;
    to = to < a ? a : to + w > b ? b - w : to;
    if (p->fit)
        return;
    p->follow = false;
    set_window(p, to, to + w);
}

/* false: there is none. */
static bool drop_filter(struct sy_panel *p)
{
    bool had = p->filter[0];
    if (had)
        sy_panel_filter(p, NULL, NULL);
    return had;
}

static void fit_window(struct sy_panel *p, int by)
{
    (void)by;
    if (drop_filter(p))
        return;
    p->fit = p->follow = true;
}

static void follow_newest(struct sy_panel *p, int by)
{
    double x0, x1;
    (void)by;
    sy__x_window(p, sy__front(p), &x0, &x1);
    p->follow = !p->follow || p->cursor >= 0;
    p->cursor = p->follow ? -1 : p->cursor;
    if (!p->fit)
        set_window(p, x0, x1);
    say_in_panel(p, p->follow ? "following the newest step" : "not following");
}

/* ---- which panel ---- */

static enum sy__view focused(const struct sy_panel *p)
{
    return p->nslots ? p->slots[p->focus].view : SY__LOSS;
}

static void next_pane(struct sy_panel *p, int by)
{
    (void)by;
    if (p->one || p->full) { /* the next view in its place */
        p->only = (enum sy__view)((p->only + 1) % SY__VIEWS);
        sy__layout(p);
    } else if (p->nslots) {
        p->focus = (p->focus + 1) % p->nslots;
    }
}

static void alone(struct sy_panel *p, bool one, bool full)
{
    p->only = focused(p);
    p->one = one;
    p->full = full;
    sy__layout(p);
    for (int i = 0; i < p->nslots && !one && !full; i++)
        if (p->slots[i].view == p->only)
            p->focus = i;
}

static void full_screen(struct sy_panel *p, int by)
{
    (void)by;
    alone(p, p->one, !p->full);
}

static void one_pane(struct sy_panel *p, int by)
{
    (void)by;
    alone(p, true, false);
}
static void all_panes(struct sy_panel *p, int by)
{
    (void)by;
    for (int i = 0; i < SY__VIEWS; i++)
        p->swapped[i] = (enum sy__view)i;
    alone(p, false, false);
}

static void choose_view(struct sy_panel *p, int wanted)
{
    enum sy__view view = (enum sy__view)wanted;
    bool filtered = drop_filter(p);
    if (p->one || p->full) {
        p->only = view;
        sy__layout(p);
        return;
    }
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].view == view) {
            bool again = p->focus == i && p->pane_mode && !filtered;
            p->focus = i;
            if (again)
                alone(p, false, true);
            return;
        }
    for (int i = 0; i < SY__VIEWS && p->nslots; i++) /* in the place of what has the focus */
        if (p->swapped[i] == focused(p)) {
            p->swapped[i] = view;
            break;
        }
    sy__layout(p);
}

/* ---- which run, which layer ---- */

static void up_down(struct sy_panel *p, int by)
{
    const struct sy__run *r = sy__front(p);
    enum sy__view v = focused(p);
    bool experts = v == SY__EXPERTS || v == SY__OVER_TIME || v == SY__ROUTER || v == SY__TRACE ||
                   p->nruns < 2;
    if (experts && r && r->nlayers) {
        int layer = p->layer + by;
        p->layer = layer < 0 ? 0 : layer >= r->nlayers ? r->nlayers - 1 : layer;
    } else if (p->nruns > 1) {
        p->front = (p->front + by + p->nruns) % p->nruns;
        sy__layout(p);
    }
}

static void overlay_runs(struct sy_panel *p, int by)
{
    (void)by;
    p->overlay = !p->overlay;
    p->nover = 0;
    if (p->nruns < 2)
        say_in_panel(p, "there is but one run to show");
}

/* ---- how it is drawn ---- */

static void log_axis(struct sy_panel *p, int by)
{
    (void)by;
    p->log[focused(p)] = !p->log[focused(p)];
}

static void x_axis(struct sy_panel *p, int by)
{
    (void)by;
    do
        p->x_kind = (enum sy_x_kind)((p->x_kind + 1) % SY_X_COUNT);
    while (!sy__x_known(p, p->x_kind));
    p->fit = p->follow = true;
}

static void smooth(struct sy_panel *p, int by)
{
    (void)by;
    p->smooth = (p->smooth + 1) % 4;
}
static void envelope(struct sy_panel *p, int by)
{
    (void)by;
    p->cloud = !p->cloud;
}

/* In place of another view, where it is not shown. */
static void show_view(struct sy_panel *p, enum sy__view view)
{
    if (!sy__shows(p, view))
        choose_view(p, (int)view);
    p->dirty = true;
}

void sy_panel_heat(struct sy_panel *p, int heat)
{
    p->heat = (enum sy__heat)heat;
    show_view(p, SY__EXPERTS);
}

int sy_panel_losses(struct sy_panel *p, int losses, struct sy_err *err)
{
    const struct sy__run *r = sy__front(p);
    int page = r ? sy__loss_first_page(r, losses) : -1;
    if (!r)
        return sy_err_set(err, SY_E_STATE, "losses: there is no run");
    if (page < 0)
        return sy_err_set(err, SY_E_STATE, "losses: '%s' has no %s apart", r->status.name,
                          sy__losses_name(losses));
    p->losses = page;
    show_view(p, SY__LOSS);
    return 0;
}

static void heat_mode(struct sy_panel *p, int by)
{
    (void)by;
    if (!sy__shows(p, SY__EXPERTS)) {
        choose_view(p, SY__EXPERTS);
        return;
    }
    p->heat = (enum sy__heat)((p->heat + 1) % SY__HEATS);
}

static void router_page(struct sy_panel *p, int by)
{
    (void)by;
    if (!sy__shows(p, SY__ROUTER))
        choose_view(p, SY__ROUTER);
    else if (!sy__has_choices(sy__front(p)))
        say_in_panel(p, "this run records loads alone of its routers");
    else
        p->choices = !p->choices;
}

static void losses_apart(struct sy_panel *p, int by)
{
    (void)by;
    int pages = p->nruns ? sy__loss_pages(sy__front(p)) : 1;
    if (!sy__shows(p, SY__LOSS)) {
        choose_view(p, SY__LOSS);
        return;
    }
    p->losses = (sy__loss_page_number(p) + 1) % pages;
    if (pages < 2)
        say_in_panel(p, "one objective and one source: there is but one loss");
}

/* ---- what the caller does ---- */

static void name_run(struct sy_panel *p)
{
    const struct sy__run *r = sy__front(p);
    struct sy_request *req = p->asked;
    snprintf(req->run, sizeof req->run, "%s", r ? r->status.name : "");
    req->step = !r ? 0 : p->cursor >= 0 ? p->cursor : r->status.step;
}

static void mark_step(struct sy_panel *p, int by)
{
    (void)by;
    if (!sy__front(p))
        return;
    char text[64];
    p->asked->kind = SY_REQ_MARK;
    name_run(p);
    p->base = p->asked->step;
    snprintf(text, sizeof text, "changes of loads count from step %lld",
             (long long)(p->base > 0 ? p->base : 1));
    say_in_panel(p, text);
}

static void pause_run(struct sy_panel *p, int by)
{
    (void)by;
    const struct sy__run *r = sy__front(p);
    if (!r)
        return;
    p->asked->kind = r->status.state != SY_RUN_RUNNING ? SY_REQ_RESUME : SY_REQ_PAUSE;
    name_run(p);
}

static void filter(struct sy_panel *p, int by)
{
    (void)by;
    if (!drop_filter(p))
        p->asked->kind = SY_REQ_FILTER;
}

static void leave_panes(struct sy_panel *p, int by)
{
    (void)by;
    if (drop_filter(p))
        return;
    sy_panel_set_pane_mode(p, false);
    p->asked->kind = SY_REQ_LEAVE;
}

static void help(struct sy_panel *p, int by)
{
    (void)by;
    p->help = !p->help;
}
static void panes(struct sy_panel *p, int by)
{
    (void)by;
    sy_panel_set_pane_mode(p, true);
}

static void other_pane(struct sy_panel *p, int by)
{
    if (p->pane_mode)
        next_pane(p, by);
    sy_panel_set_pane_mode(p, true);
}

/* A request that has no more to say. */
static void ask_caller(struct sy_panel *p, int kind)
{
    p->asked->kind = (enum sy_request_kind)kind;
}

static void scroll_pages(struct sy_panel *p, int by)
{
    p->asked->kind = SY_REQ_SCROLL;
    p->asked->step = by;
}

static void open_menu(struct sy_panel *p, int by)
{
    (void)by;
    const char *why = sy__menu_open(p);
    if (why)
        say_in_panel(p, why);
    else if (!sy__shows(p, SY__EXPERTS))
        choose_view(p, SY__EXPERTS);
}

/* Keys while the menu is open; all others do nothing. */
static void act_on_menu(struct sy_panel *p, enum sy_action a, struct sy_request *req)
{
    int experts = (a == SY_ACT_CURSOR_RIGHT) - (a == SY_ACT_CURSOR_LEFT);
    int lines = (a == SY_ACT_CURSOR_DOWN) - (a == SY_ACT_CURSOR_UP);
    sy__menu_move(p, experts, lines);
    if (a == SY_ACT_FULL && sy__menu_line(p, req->text, sizeof req->text))
        req->kind = SY_REQ_TYPE;
    if (a == SY_ACT_FULL || a == SY_ACT_LEAVE || a == SY_ACT_VERBS)
        p->menu = false;
}

static const struct {
    action f;
    int by;
} actions[SY_ACT_COUNT] = {
    [SY_ACT_CLEAR] = {ask_caller, SY_REQ_CLEAR},
    [SY_ACT_EDITOR] = {ask_caller, SY_REQ_EDITOR},
    [SY_ACT_CURSOR_LEFT] = {move_cursor, -1},
    [SY_ACT_CURSOR_RIGHT] = {move_cursor, 1},
    [SY_ACT_CURSOR_UP] = {up_down, -1},
    [SY_ACT_CURSOR_DOWN] = {up_down, 1},
    [SY_ACT_NEXT_PANE] = {next_pane, 0},
    [SY_ACT_FULL] = {full_screen, 0},
    [SY_ACT_ZOOM_IN] = {zoom, 1},
    [SY_ACT_ZOOM_OUT] = {zoom, -1},
    [SY_ACT_PAN_LEFT] = {pan, -1},
    [SY_ACT_PAN_RIGHT] = {pan, 1},
    [SY_ACT_FIT] = {fit_window, 0},
    [SY_ACT_FOLLOW] = {follow_newest, 0},
    [SY_ACT_LOG] = {log_axis, 0},
    [SY_ACT_AXIS] = {x_axis, 0},
    [SY_ACT_SMOOTH] = {smooth, 0},
    [SY_ACT_ENVELOPE] = {envelope, 0},
    [SY_ACT_FILTER] = {filter, 0},
    [SY_ACT_PANEL1] = {choose_view, SY__LOSS},
    [SY_ACT_PANEL2] = {choose_view, SY__EXPERTS},
    [SY_ACT_PANEL3] = {choose_view, SY__SPEED},
    [SY_ACT_PANEL4] = {choose_view, SY__ROUTER},
    [SY_ACT_PANEL5] = {choose_view, SY__GRAD},
    [SY_ACT_PANEL6] = {choose_view, SY__MEMORY},
    [SY_ACT_PANEL7] = {choose_view, SY__TRACE},
    [SY_ACT_HEAT] = {heat_mode, 0},
    [SY_ACT_APART] = {losses_apart, 0},
    [SY_ACT_ROUTER] = {router_page, 0},
    [SY_ACT_VERBS] = {open_menu, 0},
    [SY_ACT_MARK] = {mark_step, 0},
    [SY_ACT_PAUSE] = {pause_run, 0},
    [SY_ACT_OVERLAY] = {overlay_runs, 0},
    [SY_ACT_HELP] = {help, 0},
    [SY_ACT_LEAVE] = {leave_panes, 0},
    [SY_ACT_PANES] = {panes, 0},
    [SY_ACT_OTHER_PANE] = {other_pane, 0},
    [SY_ACT_ONE_PANE] = {one_pane, 0},
    [SY_ACT_ALL_PANES] = {all_panes, 0},
    [SY_ACT_PLAIN] = {ask_caller, SY_REQ_PLAIN},
    [SY_ACT_PROMPT_HELP] = {help, 0},
    [SY_ACT_PAGE_UP] = {scroll_pages, -1},
    [SY_ACT_PAGE_DOWN] = {scroll_pages, 1},
};

bool sy_panel_action(struct sy_panel *p, enum sy_action a, struct sy_request *req)
{
    *req = (struct sy_request){0};
    if (a <= SY_ACT_NONE || a >= SY_ACT_COUNT || !actions[a].f)
        return false;
    if (p->help) { /* any key takes it away, and no more */
        p->help = false;
        p->dirty = true;
        return true;
    }
    p->dirty = true;
    if (p->menu) {
        act_on_menu(p, a, req);
        return true;
    }
    p->asked = req;
    actions[a].f(p, actions[a].by);
    p->asked = NULL;
    return true;
}
