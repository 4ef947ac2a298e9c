/* What the client does to the open workbench: prompt, messages, looks, a dump of the screen.  See
 * desk.h. */
#include "desk/desk_int.h"

#include "base/clock.h"
#include "tui/screen.h"

#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sy_desk_leave(void)
{
    sy__desk.end = SY_DESK_LEFT;
    sy__desk.ended = true;
}

void sy_desk_go_plain(void)
{
    if (sy__desk.client->panes) {
        sy_screen_bell();
        return;
    }
    sy__desk.end = SY_DESK_PLAIN;
    sy__desk.ended = true;
}

void sy_desk_set_prompt(const char *prompt)
{
    sy_line_set_prompt(prompt);
    sy__desk.redraw_input = true;
}

void sy_desk_set_busy(bool busy)
{
    sy__desk.redraw_input |= !busy && sy__desk.dim;
    if (busy && !sy__desk.busy)
        sy__desk.busy_since = sy_now();
    sy__desk.busy = busy;
}

void sy_desk_echo(const char *prompt, const char *line)
{
    sy_scroll_echo(sy__desk.scroll, prompt, line, sy_look_pen(&sy__desk.look, SY_ROLE_PROMPT));
}

void sy_desk_say(enum sy_role role, const char *text)
{
    sy_scroll_say(sy__desk.scroll, text, sy_look_pen(&sy__desk.look, role));
}

void sy_desk_message(const char *text)
{
    sy_panel_message(sy__desk.panel, text ? text : sy__desk.client->hint);
    sy__desk.redraw_panel = sy__desk.told = true;
}

void sy_desk_repaint(void)
{
    sy_screen_repaint();
    sy__desk.relayout = true;
}

void sy_desk_ask(const char *question, void (*answer)(const char *text))
{
    struct sy_desk *d = &sy__desk;
    if (sy_line_asking())
        return;
    d->answer = answer;
    sy_panel_set_pane_mode(d->panel, false);
    sy_line_ask(question);
    d->redraw_input = true;
}

/* ---- looks ---- */

void sy__choose_look(void)
{
    struct sy_desk *d = &sy__desk;
    d->look = sy_look_choose(nl_langinfo(CODESET), getenv("TERM"), getenv("SWITCHYARD_SYMBOLS"),
                             getenv("NO_COLOR"), getenv("COLORFGBG"), sy_screen_colours());
}

const char *sy_desk_theme_names(void)
{
    return "auto, dark, light, 256, 8, none; braille, blocks, ascii";
}

bool sy_desk_theme(const char *name)
{
    struct sy_desk *d = &sy__desk;
    int most = sy_screen_colours();
    bool utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    if (!strcmp(name, "auto"))
        sy__choose_look();
    else if (!strcmp(name, "dark") || !strcmp(name, "light"))
        d->look.light = *name == 'l';
    else if (!strcmp(name, "256") || !strcmp(name, "8"))
        d->look.colours = atoi(name) < most ? atoi(name) : most;
    else if (!strcmp(name, "none"))
        d->look.colours = 0;
    else if (!strcmp(name, "ascii"))
        d->look.symbols = SY_SYMBOLS_ASCII;
    else if (!strcmp(name, "braille"))
        d->look.symbols = utf8 ? SY_SYMBOLS_BRAILLE : SY_SYMBOLS_ASCII;
    else if (!strcmp(name, "blocks"))
        d->look.symbols = utf8 ? SY_SYMBOLS_BLOCKS : SY_SYMBOLS_ASCII;
    else
        return false;
    sy_panel_set_look(d->panel, &d->look);
    sy_desk_repaint();
    return true;
}

void sy_desk_mouse(bool on)
{
    sy_screen_mouse(on);
}

void sy_desk_highlight(bool on)
{
    sy__desk.coloured = on;
    sy__desk.redraw_input = true;
}

/* ---- dumping ---- */

static enum sy_dump form_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".svg"))
        return SY_DUMP_SVG;
    return dot && (!strcmp(dot, ".ans") || !strcmp(dot, ".ansi")) ? SY_DUMP_ANSI : SY_DUMP_TEXT;
}

int sy_desk_dump(const char *path, struct sy_err *err)
{
    struct sy_str text = SY_STR_INIT;
    sy__desk.relayout = true;
    sy__compose(sy_now());
    sy_grid_write(&sy__desk.grid, form_of(path), &text);
    FILE *f = text.failed ? NULL : fopen(path, "we");
    int rc = 0;
    if (!f || fwrite(text.data ? text.data : "", 1, text.len, f) != text.len)
        rc = sy_err_sys(err, errno, "dump: cannot write '%s'", path);
    if (f && fclose(f) && !rc)
        rc = sy_err_sys(err, errno, "dump: cannot write '%s'", path);
    sy_str_free(&text);
    return rc;
}
