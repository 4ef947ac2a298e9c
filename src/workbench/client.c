/* What the client does to the open workbench: prompt, messages, looks, a dump of the screen.  See
 * workbench.h. */
#include "workbench/workbench_int.h"

#include "base/clock.h"
#include "tui/screen.h"
#include "tui/sgr.h"

#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sy_workbench_leave(void)
{
    sy__workbench.end = SY_WORKBENCH_LEFT;
}

void sy_workbench_go_plain(void)
{
    if (sy__workbench.client->panes) {
        sy_screen_bell();
        return;
    }
    sy__workbench.end = SY_WORKBENCH_PLAIN;
}

void sy_workbench_set_prompt(const char *prompt)
{
    sy_line_set_prompt(prompt);
    sy__workbench.redraw_input = true;
}

void sy_workbench_set_busy(bool busy)
{
    sy__workbench.redraw_input |= !busy && sy__workbench.busy.dim;
    if (busy && !sy__workbench.busy.on)
        sy__workbench.busy.since = sy_now();
    sy__workbench.busy.on = busy;
}

void sy_workbench_echo(const char *prompt, const char *line)
{
    sy_scroll_echo(sy__workbench.scroll, prompt, line,
                   sy_theme_pen(&sy__workbench.look, SY_ROLE_PROMPT));
}

void sy_workbench_say(enum sy_role role, const char *text)
{
    sy_scroll_say(sy__workbench.scroll, text, sy_theme_pen(&sy__workbench.look, role));
}

void sy_workbench_message(const char *text)
{
    sy_panel_message(sy__workbench.panel, text ? text : sy__workbench.client->hint);
    sy__workbench.redraw_panel = sy__workbench.told = true;
}

void sy_workbench_repaint(void)
{
    sy_screen_repaint();
    sy__workbench.relayout = true;
}

void sy_workbench_ask(const char *question, void (*answer)(const char *text))
{
    struct sy_workbench *d = &sy__workbench;
    if (sy_line_asking())
        return;
    d->question.answer = answer;
    sy_panel_set_pane_mode(d->panel, false);
    sy_line_ask(question);
    d->redraw_input = true;
}

/* ---- looks ---- */

void sy__tell_pens(const struct sy_workbench *d, bool any)
{
    struct sy_str pens = SY_STR_INIT;
    if (!d->client->looks)
        return;
    if (any)
        sy_sgr_pens(&pens, &d->look);
    d->client->looks(pens.data && !pens.failed ? pens.data : "",
                     d->look.symbols == SY_SYMBOLS_ASCII);
    sy_str_free(&pens);
}

void sy__choose_look(struct sy_workbench *d)
{
    d->look = sy_theme_choose(nl_langinfo(CODESET), getenv("TERM"), getenv("SWITCHYARD_SYMBOLS"),
                             getenv("NO_COLOR"), getenv("COLORFGBG"), sy_screen_colours());
    sy__tell_pens(d, true);
}

bool sy_workbench_theme(const char *name)
{
    struct sy_workbench *d = &sy__workbench;
    const struct sy_theme_row *row = sy_theme_find(name);
    if (!row)
        return false;
    if (row->part == SY_THEME_AUTO)
        sy__choose_look(d);
    sy_theme_apply(&d->look, row, !strcmp(nl_langinfo(CODESET), "UTF-8"), sy_screen_colours());
    sy__tell_pens(d, true);
    sy_panel_set_look(d->panel, &d->look);
    sy_workbench_repaint();
    return true;
}

void sy_workbench_mouse(bool on)
{
    sy_screen_mouse(on);
}

void sy_workbench_highlight(bool on)
{
    sy__workbench.coloured = on;
    sy__workbench.redraw_input = true;
}

/* ---- dumping ---- */

static enum sy_dump form_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".svg"))
        return SY_DUMP_SVG;
    return dot && (!strcmp(dot, ".ans") || !strcmp(dot, ".ansi")) ? SY_DUMP_ANSI : SY_DUMP_TEXT;
}

int sy_workbench_dump(const char *path, struct sy_err *err)
{
    struct sy_workbench *d = &sy__workbench;
    struct sy_str text = SY_STR_INIT;
    d->relayout = true;
    sy__compose(d, sy_now());
    sy_grid_write(&d->grid, form_of(path), &text);
    FILE *f = text.failed ? NULL : fopen(path, "we");
    int rc = 0;
    if (!f || fwrite(text.data ? text.data : "", 1, text.len, f) != text.len)
        rc = sy_err_sys(err, errno, "dump: cannot write '%s'", path);
    if (f && fclose(f) && !rc)
        rc = sy_err_sys(err, errno, "dump: cannot write '%s'", path);
    sy_str_free(&text);
    return rc;
}
