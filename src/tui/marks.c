/* Marks on charts: spikes, alarms, checkpoints, what was done to a run.  Which look each kind has
 * is the table here; which kind an event or an entry of the journal is, events.h and journal.h
 * say. */
#include "tui/plot_int.h"

#include "run/source.h"
#include "tui/frame.h"

#include <string.h>

static const struct mark_look {
    enum sy_role role;
    enum sy_glyph glyph;
    bool at_bottom;
} mark_looks[] = {
    [SY_MARK_SET] = {SY_ROLE_EVENT, SY_GLYPH_EVENT, false},
    [SY_MARK_NOTE] = {SY_ROLE_VALUE, SY_GLYPH_EVENT, false},
    [SY_MARK_SPIKE] = {SY_ROLE_BAD, SY_GLYPH_CLIP, false},
    [SY_MARK_ALARM] = {SY_ROLE_WARN, SY_GLYPH_EVENT, false},
    [SY_MARK_FAILED] = {SY_ROLE_BAD, SY_GLYPH_NAN, false},
    [SY_MARK_RESUME] = {SY_ROLE_GOOD, SY_GLYPH_EVENT, false},
    [SY_MARK_CHECKPOINT] = {SY_ROLE_DIM, SY_GLYPH_SAVED, true},
};

/* The text of a mark beside its column, on the side that has more room. */
static void tell_mark(const struct sy_mark *m, int column, const struct sy_theme *look,
                      struct sy_grid *g, struct sy_rect area)
{
    int n = sy_text_width(m->text, strlen(m->text)), after = area.w - column - 2;
    int x0 = n <= after ? column + 2 : column - 1 - n > 0 ? column - 1 - n : 0;
    sy_grid_text(g, area.x + x0, area.y, n <= after ? after : column - 1 - x0, m->text,
                 sy_theme_pen(look, mark_looks[m->kind].role));
}

void sy__marks(const struct sy_plot *p, const struct sy_theme *look, struct sy_grid *g,
               struct sy_rect area)
{
    if (!p->n)
        return;
    const struct sy_x_axis *x = &p->lines[p->n - 1].x;
    int at_cursor =
        p->cursor < 0 ? -1 : sy__column_of(sy_x_of_step(x, p->cursor), p->x0, p->x1, area.w);
    const struct sy_mark *told = NULL;
    for (int i = 0; i < p->nmarks; i++) {
        const struct sy_mark *m = &p->marks[i];
        int at = sy__column_of(sy_x_of_step(x, m->step), p->x0, p->x1, area.w);
        if (at < 0)
            continue;
        const struct mark_look *l = &mark_looks[m->kind];
        sy_grid_put(g, area.x + at, l->at_bottom ? area.y + area.h - 1 : area.y,
                    sy_glyph(look, l->glyph), sy_theme_pen(look, l->role));
        if (at == at_cursor)
            told = m;
    }
    if (told)
        tell_mark(told, at_cursor, look, g, area);
}
