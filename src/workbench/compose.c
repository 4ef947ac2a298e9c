/* Areas of the screen, drawn when they are due.  Layer workbench.
 *
 *     +-------------------------+
 *     | panel (tui/panel.h)     |  at most SY_WORKBENCH_FPS a second, while a run lives or keys act
 *     +-------------------------+
 *     | scrollback      [popup] |  at most SY_WORKBENCH_SCROLL_FPS
 *     +-------------------------+
 *     | yard> line              |  at once
 *     +-------------------------+ */
#include "workbench/workbench_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "repl/highlight.h"
#include "tui/input.h"
#include "tui/screen.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COLOURED 16384 /* bytes; longer lines stay without colours */
#define SPANS 512
#define BUDGET 0.004 /* seconds for reading news in a frame */
#define POPUP_GAP 2
#define BUSY_SECONDS 0.15 /* a chunk that takes longer is seen at the prompt */

/* ---- the line ---- */

/* Roles of the bytes of a line of Lua; NULL: it has no colours. */
static const uint8_t *colour(struct sy_workbench *d, const char *text, size_t n, size_t point)
{
    static const uint8_t roles[] = {
        [SY_SPAN_KEYWORD] = SY_ROLE_EVENT, [SY_SPAN_STRING] = SY_ROLE_GOOD,
        [SY_SPAN_NUMBER] = SY_ROLE_FOCUS,  [SY_SPAN_COMMENT] = SY_ROLE_DIM,
        [SY_SPAN_WRONG] = SY_ROLE_BAD,     [SY_SPAN_COMMAND] = SY_ROLE_PROMPT};
    static uint8_t role[COLOURED];
    struct sy_span span[SPANS];
    size_t from, to;
    if (!n || n > COLOURED || sy_line_asking() || d->client->panes ||
        !d->look.colours || !d->coloured)
        return NULL;
    memset(role, SY_ROLE_TEXT, n);
    for (size_t i = 0, count = sy_highlight(text, n, span, SPANS); i < count; i++)
        memset(role + span[i].at, roles[span[i].kind], span[i].n);
    if (sy_highlight_pair(text, n, point, &from, &to))
        role[from] = role[to] = SY_ROLE_WARN;
    return role;
}

static struct sy_input input_now(struct sy_workbench *d)
{
    static char prompt[256];
    struct sy_line_view v;
    size_t k = 0;
    sy_line_view(&v);
    for (const char *s = v.prompt; *s && k + 1 < sizeof prompt; s++)
        if (*s != '\001' && *s != '\002') /* Readline's marks around what takes no room */
            prompt[k++] = *s;
    prompt[k] = 0;
    return (struct sy_input){.prompt = prompt,
                             .text = v.text,
                             .n = v.n,
                             .point = v.point,
                             .from = v.from,
                             .to = v.to,
                             .role = colour(d, v.text, v.n, v.point)};
}

static bool line_hidden(struct sy_workbench *d)
{
    return d->client->panes && sy_line_panes() && !sy_line_asking();
}

static int rows_wanted(struct sy_workbench *d, const struct sy_input *in, int w, int h)
{
    int rows = sy_input_rows(in, w), most = h / 2 > 1 ? h / 2 : 1;
    if (line_hidden(d))
        return 0;
    return rows < most ? rows : most;
}

static void draw_input(struct sy_workbench *d, const struct sy_input *in)
{
    const struct sy_rect r = sy_panel_areas(d->panel)->input;
    d->busy.dim = d->busy.on && sy_now() >= d->busy.since + BUSY_SECONDS && !sy_line_asking();
    enum sy_role role = d->busy.dim ? SY_ROLE_DIM : SY_ROLE_PROMPT;
    d->cursor_x = -1;
    if (r.h > 0 && !line_hidden(d))
        sy_input_draw(in, &d->grid, r, &d->look, sy_theme_pen(&d->look, role), &d->cursor_x,
                      &d->cursor_y);
    if (sy_line_panes())
        d->cursor_x = -1;
}

/* ---- the popup ---- */

void sy__popup_close(struct sy_workbench *d)
{
    if (!d->popup.count)
        return;
    for (int i = 0; i < d->popup.count; i++)
        sy_free(d->popup.word[i]);
    d->popup.count = d->popup.more = 0;
    d->redraw_scroll = d->redraw_panel = true;
}

int sy__popup_set(struct sy_workbench *d, char *const *words, int n)
{
    sy__popup_close(d);
    for (int i = 0; i < n && d->popup.count < SY_POPUP_MAX; i++) {
        const char *slash = strrchr(words[i], '/'); /* of a path its last part */
        const char *word = slash && slash[1] ? slash + 1 : words[i];
        if ((d->popup.word[d->popup.count] = sy_strdup(word)))
            d->popup.count++;
    }
    d->popup.more = n - d->popup.count;
    d->popup.fresh = d->redraw_scroll = true;
    return 0;
}

/* Columns as in ls: down, then to the right; what has no room is counted. */
static void draw_popup(struct sy_workbench *d)
{
    const struct sy_areas *a = sy_panel_areas(d->panel);
    struct sy_pen pen = sy_theme_pen(&d->look, SY_ROLE_BAR);
    int w = d->grid.w, room = a->input.y - a->header.h, widest = 1;
    for (int i = 0; i < d->popup.count; i++) {
        int k = sy_text_width(d->popup.word[i], strlen(d->popup.word[i]));
        widest = k > widest ? k : widest;
    }
    widest = widest > w - POPUP_GAP ? w - POPUP_GAP : widest;
    int columns = (w - 1) / (widest + POPUP_GAP),
        most = room < d->grid.h / 2 ? room : d->grid.h / 2;
    columns = columns < 1 ? 1 : columns;
    int rows = (d->popup.count + columns - 1) / columns;
    bool cut = rows > most || d->popup.more > 0;
    if (most < 1)
        return;
    if (rows > most - cut)
        rows = most - cut > 0 ? most - cut : 1;
    int y = a->input.y - rows - (cut && most > 1), shown = 0;
    sy_grid_fill(&d->grid, (struct sy_rect){0, y, w, a->input.y - y}, ' ', pen);
    columns = cut ? columns : (d->popup.count + rows - 1) / rows;
    for (int i = 0; i < d->popup.count && i < rows * columns; i++, shown++)
        sy_grid_text(&d->grid, 1 + i / rows * (widest + POPUP_GAP), y + i % rows, widest,
                     d->popup.word[i], pen);
    if (cut && most > 1) {
        char more[64];
        snprintf(more, sizeof more, "and %d more: type on", d->popup.count + d->popup.more - shown);
        sy_grid_text(&d->grid, 1, a->input.y - 1, w - 1, more, pen);
    }
}

/* ---- all of it ---- */

static void draw_scroll(struct sy_workbench *d)
{
    const struct sy_areas *a = sy_panel_areas(d->panel);
    sy_scroll_draw(d->scroll, &d->grid, a->scrollback, &d->look, !a->rule.h);
    sy_panel_set_scrolled(d->panel, (int)fmin(1e9, (double)sy_scroll_below(d->scroll)));
}

static void lay_out(struct sy_workbench *d, const struct sy_input *in)
{
    int w, h;
    sy_screen_size(&w, &h);
    int rows = rows_wanted(d, in, w, h);
    if (!d->relayout && rows == d->input_rows && d->grid.w == w && d->grid.h == h)
        return;
    d->relayout = false;
    d->input_rows = rows;
    if (sy_grid_resize(&d->grid, w, h, NULL))
        return;
    sy_panel_layout(d->panel, w, h, rows);
    d->redraw_panel = d->redraw_scroll = d->redraw_input = true;
}

static bool frame_wanted(struct sy_workbench *d, double now)
{
    if (now < d->next_frame && !d->redraw_panel)
        return false;
    bool news = sy_panel_update(d->panel, now, BUDGET);
    if (now >= d->next_frame) { /* a run that takes its time is looked at less often */
        d->pace = news ? 1.0 / SY_WORKBENCH_FPS : fmin(0.5, d->pace * 1.1);
        d->again -= d->again > 0;
        d->next_frame = now + (sy_panel_loading(d->panel) ? 0 : d->pace);
    }
    return news || d->redraw_panel;
}

/* The panel lays itself out when a key or a run wants so: then what it left is drawn as well. */
static bool scroll_moved(struct sy_workbench *d)
{
    struct sy_rect r = sy_panel_areas(d->panel)->scrollback, was = d->scroll_at;
    d->scroll_at = r;
    return r.x != was.x || r.y != was.y || r.w != was.w || r.h != was.h;
}

/* Whole seconds that a chunk has run; -1: none does, or not for long. */
static int busy_seconds(const struct sy_workbench *d, double now)
{
    return d->busy.on && now >= d->busy.since + BUSY_SECONDS ? (int)(now - d->busy.since) : -1;
}

static void tell_busy(struct sy_workbench *d, double now)
{
    int seconds = busy_seconds(d, now);
    if (seconds == d->busy.told)
        return;
    d->busy.told = seconds;
    sy_panel_set_busy(d->panel, seconds);
    d->redraw_panel = d->redraw_input = true;
}

void sy__compose(struct sy_workbench *d, double now)
{
    tell_busy(d, now);
    struct sy_input in = input_now(d);
    lay_out(d, &in);
    bool panel = frame_wanted(d, now), help = sy_panel_over(d->panel);
    if (sy_scroll_changed(d->scroll))
        d->redraw_scroll = true;
    if (scroll_moved(d))
        d->redraw_scroll = d->redraw_input = panel = true;
    bool scroll = d->redraw_scroll && (now >= d->next_scroll || panel);
    if (!panel && !scroll && !d->redraw_input)
        return;
    if (scroll) {
        draw_scroll(d);
        d->next_scroll = now + 1.0 / SY_WORKBENCH_SCROLL_FPS;
        d->redraw_scroll = false;
    }
    if (d->redraw_input || help)
        draw_input(d, &in);
    if (panel || help)
        sy_panel_draw(d->panel, &d->grid);
    if (d->popup.count && (panel || scroll))
        draw_popup(d);
    d->redraw_panel = d->redraw_input = false;
    sy_screen_show(&d->grid, d->cursor_x, d->cursor_y);
}

double sy__compose_due(struct sy_workbench *d, double now)
{
    if (d->redraw_panel || d->redraw_input || d->relayout || sy_panel_loading(d->panel))
        return 0;
    double due = d->redraw_scroll ? fmax(0, d->next_scroll - now) : -1;
    if (d->busy.on || d->busy.told >= 0) {
        double then = d->busy.told < 0 ? BUSY_SECONDS : d->busy.told + 1;
        double at = d->busy.on ? d->busy.since + then : now;
        double news = fmax(0, at - now);
        due = due < 0 || news < due ? news : due;
    }
    return due;
}
