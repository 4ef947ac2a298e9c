/* The verbs of an expert, over the panes: which, what each does, and the line of Lua that does it,
 * which goes to the prompt.  See panel_actions.c for the keys.
 *
 *      v: of the selected layer   left, right: which expert   up, down: which verb
 *      Enter: its line to the prompt   v, Esc: closed
 *
 *  1. The menu does nothing itself: its line is entered by the user, and the journal has it. */
#include "tui/panel_int.h"

#include "tui/frame.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *line; /* behind the expert; without an end: the rest is to be typed */
    const char *does;
} verbs[] = {
    {"disable", ":disable()", "no token is sent to it from the next step on"},
    {"enable", ":enable()", "undoes disable"},
    {"freeze", ":freeze()", "its parameters stay as they are"},
    {"unfreeze", ":unfreeze()", "undoes freeze"},
    {"reset", ":reset()", "drawn anew, the optimizer's state cleared"},
    {"clone", ":clone(", "another becomes its copy: type which, noise"},
    {"swap", ":swap(", "changes places with another: type which"},
    {"merge", ":merge(", "mean with another, which is disabled: type it"},
    {"force", ":force{", "tokens that always go to it: type their ids"},
    {"forbid", ":forbid{", "tokens that never go to it: type their ids"},
};
#define VERBS ((int)(sizeof verbs / sizeof *verbs))
#define WIDE 62 /* columns of the frame, if there are so many */

static const struct sy__layer *chosen_layer(const struct sy_panel *p)
{
    const struct sy__run *r = sy__front(p);
    if (!r || !r->nlayers)
        return NULL;
    return &r->layers[p->layer < r->nlayers ? p->layer : 0];
}

static int chosen_expert(const struct sy_panel *p, const struct sy__layer *l)
{
    return p->expert < l->width ? p->expert : l->width - 1;
}

const char *sy__menu_open(struct sy_panel *p)
{
    if (p->only_panes)
        return "who only watches a run does nothing to it";
    if (!chosen_layer(p))
        return "this run has no experts";
    p->menu = true;
    p->verb = 0;
    return NULL;
}

int sy__menu_expert(const struct sy_panel *p)
{
    const struct sy__layer *l = p->menu ? chosen_layer(p) : NULL;
    return l ? chosen_expert(p, l) : -1;
}

void sy__menu_move(struct sy_panel *p, int experts, int lines)
{
    const struct sy__layer *l = chosen_layer(p);
    int n = l && l->width > 0 ? l->width : 1;
    p->expert = l ? (chosen_expert(p, l) + experts + n) % n : 0;
    p->verb = (p->verb + lines + VERBS) % VERBS;
}

bool sy__menu_line(const struct sy_panel *p, char *out, size_t size)
{
    const struct sy__layer *l = chosen_layer(p);
    char mixture[sizeof l->what.mixture + 16] = "";
    if (!l)
        return false;
    if (l->what.mixture[0])
        snprintf(mixture, sizeof mixture, ".mixtures[\"%s\"]", l->what.mixture);
    snprintf(out, size, "runs \"%s\".layers[%d]%s.experts[%d]%s", sy__front(p)->status.name,
             l->what.layer, mixture, chosen_expert(p, l) + 1, verbs[p->verb].line);
    return true;
}

static void draw_verb(const struct sy_panel *p, struct sy_grid *g, struct sy_rect in, int y, int i)
{
    bool now = i == p->verb;
    struct sy_pen pen = sy_theme_pen(&p->look, now ? SY_ROLE_VALUE : SY_ROLE_TEXT);
    if (now)
        sy_grid_text(g, in.x, y, 1, ">", pen);
    sy_grid_text(g, in.x + 2, y, in.w - 2, verbs[i].name, pen);
    sy_grid_text(g, in.x + 11, y, in.w - 11, verbs[i].does,
                 sy_theme_pen(&p->look, now ? SY_ROLE_VALUE : SY_ROLE_DIM));
}

/* At the lower right, so that the heatmap and its cursor are seen. */
void sy__menu_draw(const struct sy_panel *p, struct sy_grid *g)
{
    const struct sy__layer *l = chosen_layer(p);
    int rows = p->h - p->areas.status.h - 2 < VERBS ? p->h - p->areas.status.h - 2 : VERBS;
    char title[96], keys[96];
    if (!l || rows < 1)
        return;
    struct sy_rect r = {0, 0, p->w < WIDE ? p->w : WIDE, rows + 2};
    r.x = p->w - r.w;
    r.y = p->h - p->areas.status.h - r.h;
    snprintf(title, sizeof title, "%s expert %d · of %d", l->called, chosen_expert(p, l) + 1,
             l->width);
    struct sy_rect in = sy_frame(g, &p->look, r, title, true);
    int first = p->verb < rows ? 0 : p->verb - rows + 1;
    for (int i = 0; i < rows; i++)
        draw_verb(p, g, in, in.y + i, first + i);
    sy_theme_text(&p->look, " ← → expert · ↑ ↓ verb · Enter to the prompt · Esc ", keys,
                  sizeof keys);
    sy_frame_foot(g, r, 1, keys, sy_theme_pen(&p->look, SY_ROLE_DIM));
}
