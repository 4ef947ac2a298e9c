/* A text whose tokens are coloured by the expert that they went to in the selected layer, at the
 * cursor's step or the newest.  See panel_int.h.
 *
 *  1. Without colours, and where there are more experts than colours, the expert's number stands
 *     under each token, its digits one below the other. */
#include "tui/panel_int.h"

#include "base/grow.h"
#include "base/mem.h"
#include "tui/frame.h"

#include <stdio.h>
#include <string.h>

static int layer_of(const struct sy_panel *p, const struct sy__run *r)
{
    return p->layer < r->nlayers ? p->layer : 0;
}

/* The series of the selected layer's tokens; -1: none. */
static int find_series(const struct sy_panel *p, struct sy__run *r)
{
    int n = r->nlayers ? sy_source_count(r->source) : 0;
    for (int i = 0; i < n; i++) {
        struct sy_series_what what = sy_source_what(r->source, i);
        if (what.kind == SY_SERIES_TRACE &&
            sy_series_same_place(&what, &r->layers[layer_of(p, r)].what))
            return i;
    }
    return -1;
}

bool sy__traced_read(struct sy_panel *p)
{
    struct sy__traced *t = &p->traced;
    struct sy__run *r = sy__front(p);
    if (!r || !sy__shows(p, SY__TRACE))
        return false;
    int series = find_series(p, r);
    int64_t step = p->cursor >= 0 && p->cursor < r->status.step ? p->cursor : r->status.step;
    if (t->run == r && t->series == series && t->asked == step)
        return false;
    int n = series < 0 ? 0 : sy_source_width(r->source, series);
    if (SY_GROW(t->v, t->room, n + 1))
        n = 0;
    *t = (struct sy__traced){r, series, n, step, -1, t->v, t->room};
    if (n)
        t->found = sy_source_at(r->source, series, step, t->v);
    return true;
}

void sy__traced_free(struct sy_panel *p)
{
    sy_free(p->traced.v);
    p->traced = (struct sy__traced){0};
}

/* ---- drawing ---- */

static int expert_of(const struct sy__traced *t, int token)
{
    float v = t->v[token];
    return v >= 1 && v < 1e6f ? (int)v : 0;
}

static struct sy_pen pen_of(const struct sy_panel *p, int expert)
{
    return expert ? sy_theme_member(&p->look, expert - 1) : sy_theme_pen(&p->look, SY_ROLE_DIM);
}

/* Rows under a line of text for the numbers of so many experts. */
static int digits_of(const struct sy_panel *p, int experts)
{
    int digits = 1;
    if (p->look.colours && experts <= SY_MEMBERS)
        return 0;
    for (; experts > 9; experts /= 10)
        digits++;
    return digits;
}

static void draw_number(const struct sy_panel *p, struct sy_grid *g, int x, int y, int columns,
                        int digits, int expert)
{
    char number[16];
    snprintf(number, sizeof number, "%*d", digits, expert);
    if (!expert)
        snprintf(number, sizeof number, "%*s", digits, "-");
    for (int d = 0; d < digits; d++)
        for (int k = 0; k < columns; k++)
            sy_grid_put(g, x + k, y + d, (uint32_t)number[d], pen_of(p, expert));
}

/* Token by token, on as many lines as there is room for. */
static void draw_tokens(const struct sy_panel *p, struct sy__run *r, struct sy_grid *g,
                        struct sy_rect in)
{
    const struct sy__traced *t = &p->traced;
    int digits = digits_of(p, r->layers[layer_of(p, r)].width), x = 0, y = 0;
    for (int i = 0; i < t->n; i++) {
        char text[64] = "?", shown[96];
        sy_source_name(r->source, SY_SOURCE_TRACE, i + 1, text, sizeof text);
        sy_theme_text(&p->look, text, shown, sizeof shown);
        int expert = expert_of(t, i), n = sy_text_width(shown, strlen(shown));
        n = n < in.w ? n : in.w;
        if (x + n > in.w) {
            x = 0;
            y += 1 + digits;
        }
        if (y + digits >= in.h)
            return;
        sy_grid_text(g, in.x + x, in.y + y, n, shown, pen_of(p, expert));
        if (digits)
            draw_number(p, g, in.x + x, in.y + y + 1, n, digits, expert);
        x += n;
    }
}

/* How many tokens went to each expert, at its number; owned, or NULL without memory. */
static int *count_tokens(const struct sy__traced *t, int experts)
{
    int *count = sy_calloc((size_t)experts + 1, sizeof *count);
    for (int i = 0; count && i < t->n; i++) {
        int e = expert_of(t, i);
        count[e <= experts ? e : 0]++;
    }
    return count;
}

static int largest(const int *count, int experts)
{
    int best = 0;
    for (int e = 1; e <= experts; e++)
        if (count[e] && (!best || count[e] > count[best]))
            best = e;
    return best;
}

/* "1 23%  2 5%": the shares of the tokens, greatest first, below. */
static void draw_shares(const struct sy_panel *p, struct sy__run *r, const struct sy__slot *slot,
                        struct sy_grid *g, struct sy_rect in)
{
    int experts = r->layers[layer_of(p, r)].width, x = 1, e;
    int *count = count_tokens(&p->traced, experts);
    while (count && (e = largest(count, experts))) {
        char word[32];
        int used = snprintf(word, sizeof word, " %d %.0f%% ", e, 100.0 * count[e] / p->traced.n);
        if (x + used > in.w - 1)
            break;
        x += sy_frame_foot(g, slot->r, x, word, pen_of(p, e));
        count[e] = 0;
    }
    sy_free(count);
}

static void tell_none(const struct sy_panel *p, const struct sy__run *r, struct sy_grid *g,
                      struct sy_rect in)
{
    const char *line = !r                            ? "no run"
                       : !r->nlayers                 ? "this run records no experts"
                       : p->traced.series < 0        ? "train's trace_every = n traces a text"
                                                     : "not traced yet at this step";
    sy_grid_text(g, in.x + 1, in.y + in.h / 2, in.w - 2, line,
                 sy_theme_pen(&p->look, SY_ROLE_DIM));
}

void sy__trace_draw(struct sy_panel *p, const struct sy__slot *slot, struct sy_grid *g)
{
    const struct sy__traced *t = &p->traced;
    struct sy__run *r = sy__front(p);
    bool there = r && t->run == r && t->n && t->found >= 0;
    char title[96];
    if (there)
        snprintf(title, sizeof title, "text by expert · %s · step %lld",
                 r->layers[layer_of(p, r)].called, (long long)t->found);
    else
        snprintf(title, sizeof title, "text by expert");
    struct sy_rect in = sy_frame(g, &p->look, slot->r, title,
                                 p->pane_mode && slot == &p->slots[p->focus]);
    if (in.w < 4 || in.h < 1)
        return;
    if (!there) {
        tell_none(p, r, g, in);
        return;
    }
    struct sy_rect area = {in.x + 1, in.y, in.w - 2, in.h};
    draw_tokens(p, r, g, area);
    draw_shares(p, r, slot, g, in);
}
