/* What keys do: most of it the panel does itself, the rest is here.  Layer workbench. */
#include "workbench/workbench_int.h"

#include "base/mem.h"
#include "tui/screen.h"

#include <stdio.h>
#include <string.h>

_Static_assert(SY_ACT_COUNT <= SY_EDIT_ACTIONS_MAX, "Readline has a function for each action");

const struct sy_edit_key *sy_workbench_keys(int *n)
{
    static struct sy_edit_key list[SY_ACT_COUNT];
    const struct sy_key *keys = sy_keys(n);
    for (int i = 0; i < *n && i < SY_ACT_COUNT; i++)
        list[i] = (struct sy_edit_key){(int)keys[i].action, keys[i].map == SY_MAP_PANE,
                                       keys[i].name, keys[i].keys};
    return list;
}

void sy__act_on_panes(struct sy_workbench *d)
{
    bool on = sy_panel_pane_mode(d->panel);
    if (on != sy_line_panes()) {
        sy_line_set_panes(on);
        d->redraw_panel = d->redraw_input = true;
    }
    sy_line_set_any(sy_panel_help(d->panel));
}

static void scroll_pages(struct sy_workbench *d, int64_t pages)
{
    int h = sy_panel_areas(d->panel)->scrollback.h;
    if (!sy_scroll_move(d->scroll, (int)pages * (h > 2 ? h - 1 : 1)))
        sy_screen_bell();
    d->redraw_scroll = true;
    d->next_scroll = 0;
}

static void filter_answer(const char *text)
{
    struct sy_workbench *d = &sy__workbench;
    struct sy_err err = SY_ERR_INIT;
    if (sy_panel_filter(d->panel, text ? text : "", &err))
        sy_workbench_message(err.msg);
    sy_panel_set_pane_mode(d->panel, true);
    sy__act_on_panes(d);
}

static void edit_line(struct sy_workbench *d)
{
    struct sy_line_view v;
    sy_line_view(&v);
    char *text = sy__edit_outside(d, v.text);
    if (text)
        sy_line_set_text(text);
    sy_free(text);
}

/* A line that is half typed is not lost for it. */
static void type_line(struct sy_workbench *d, const char *text)
{
    struct sy_line_view v;
    sy_line_view(&v);
    if (v.n) {
        sy_workbench_message("the prompt holds a line: enter it, or clear it (C-u), first");
        return;
    }
    sy_panel_set_pane_mode(d->panel, false);
    sy__act_on_panes(d);
    sy_line_set_text(text);
}

static bool answer_request(struct sy_workbench *d, const struct sy_request *r)
{
    switch (r->kind) {
    case SY_REQ_FILTER:
        sy_workbench_ask("filter: ", filter_answer);
        d->question.filtering = true;
        return true;
    case SY_REQ_PLAIN:
        sy_workbench_go_plain();
        return true;
    case SY_REQ_SCROLL:
        scroll_pages(d, r->step);
        return true;
    case SY_REQ_PAUSE:
    case SY_REQ_RESUME:
    case SY_REQ_MARK:
        if (d->client->request)
            d->client->request(r);
        return true;
    case SY_REQ_CLEAR:
        sy_scroll_clear_view(d->scroll);
        sy_screen_repaint();
        d->relayout = true;
        return true;
    case SY_REQ_EDITOR:
        edit_line(d);
        return true;
    case SY_REQ_TYPE:
        type_line(d, r->text);
        return true;
    default:
        return false;
    }
}

void sy_workbench_action(int action)
{
    struct sy_workbench *d = &sy__workbench;
    struct sy_request r = {0};
    if (d->terminal == SY__CLOSED) { /* the plain screen: the way back, no more */
        if (action == SY_ACT_CLEAR)
            sy_edit_clear();
        else if (action == SY_ACT_PLAIN && sy_workbench_possible())
            sy_edit_leave();
        return;
    }
    if (!sy_panel_action(d->panel, (enum sy_action)action, &r))
        sy_screen_bell();
    d->redraw_panel = true;
    d->told |= r.said;
    answer_request(d, &r);
    sy__act_on_panes(d);
}
