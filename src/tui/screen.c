/* See screen.h.
 *
 *     grid -- sy_grid_changed against what was shown --> add_wchnstr --> curses' own diff --> bytes
 *
 * Two diffs: ours costs a comparison of cells and touches curses only where something changed;
 * curses' finds the cheapest way to move, erase and scroll.
 *
 *  1. newterm, not initscr, which exits on a bad TERM.  wgetch is never called: curses would buffer
 *     keys and hide them from poll.
 *  2. A colour pair is made when a pen first asks for it; when there are no more, the foreground
 *     goes first, then both.
 *  3. A character of whose width curses thinks otherwise than the grid becomes '?' (a block one of
 *     " .:-=+*#%@"): columns hold.
 *  4. What restore writes is put together while all is well, so that it only writes.
 *  5. Nothing is written beside curses before it has entered the alternate screen, which keeps the
 *     cursor for the return: setting the region moves it.
 *  6. The region that scrolls is the whole screen after every repaint and after we left: curses
 *     narrows and widens it as it scrolls, and a size that changes between leaves one of the old
 *     size behind. */
#include "tui/screen.h"
#include "config.h"

#ifdef HAVE_NCURSES
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <term.h>
#undef lines /* of term.h */
#undef columns

#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"
#define MOUSE_ON "\033[?1000h\033[?1006h"
#define MOUSE_OFF "\033[?1006l\033[?1000l"
#define RUN 256 /* cells handed over at once */
#define PALETTE 257

static struct {
    SCREEN *curses;
    FILE *in, *out;
    int in_fd, out_fd;
    bool active; /* the terminal is ours now */
    bool utf8, mouse;
    int colours, pairs, used; /* pairs there are, in use */
    struct sy_grid shown;
    bool stale;                             /* shown is not what stands there */
    int cursor;                             /* curs_set's argument now */
    unsigned short pair[PALETTE * PALETTE]; /* by (fg + 1, bg + 1); 0: not made yet */
} sc;

/* For sy_screen_restore alone. */
static struct {
    volatile int armed;
    char text[512];
    size_t n;
    int in_fd, out_fd;
    struct termios found;
    bool found_valid;
} rest;

static void put_text(const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t k = write(sc.out_fd, text, n);
        if (k < 0 && errno != EINTR)
            return;
        if (k > 0) {
            text += k;
            n -= (size_t)k;
        }
    }
}

/* ---- is there a terminal ---- */

static bool has_capability(const char *name)
{
    const char *s = tigetstr(name);
    return s && s != (const char *)-1 && *s;
}

bool sy_screen_usable(int in, int out)
{
    const char *term = getenv("TERM");
    int status;
    if (!isatty(in) || !isatty(out) || !term || !*term || !strcmp(term, "dumb") ||
        !strcmp(term, "unknown"))
        return false;
    if (setupterm(NULL, out, &status) != OK)
        return false;
    bool usable =
        has_capability("cup") && has_capability("clear") && !tigetflag("hc") && !tigetflag("gn");
    del_curterm(cur_term);
    return usable;
}

/* ---- restoring by hand ---- */

/* Append a capability without its padding. */
static void append_plain(const char *s)
{
    while (s && s != (const char *)-1 && *s && rest.n + 1 < sizeof rest.text) {
        if (s[0] == '$' && s[1] == '<') {
            s += strcspn(s, ">");
            s += *s == '>';
        } else
            rest.text[rest.n++] = *s++;
    }
}

static void append_capability(const char *name)
{
    append_plain(tigetstr(name));
}

/* Moves the cursor, too. */
static const char *whole_region(int height)
{
    const char *csr = tigetstr("csr");
    if (!csr || csr == (const char *)-1)
        return "";
    return tparm(csr, 0L, (long)height - 1, 0L, 0L, 0L, 0L, 0L, 0L, 0L);
}

static void prepare_restore(void)
{
    const char *cup = tigetstr("cup");
    rest.armed = 0;
    rest.n = 0;
    rest.in_fd = sc.in_fd;
    rest.out_fd = sc.out_fd;
    append_plain(MOUSE_OFF PASTE_OFF);
    append_capability("sgr0");
    append_capability("op");
    append_plain(whole_region(LINES));
    if (cup && cup != (const char *)-1)
        append_plain(tparm(cup, (long)LINES - 1, 0L, 0L, 0L, 0L, 0L, 0L, 0L, 0L));
    append_capability("el");
    append_capability("rmcup");
    append_capability("cnorm");
    append_plain("\r\n");
    rest.armed = 1;
}

void sy_screen_restore(void)
{
    if (!rest.armed)
        return;
    rest.armed = 0;
    if (write(rest.out_fd, rest.text, rest.n) < 0) {
        /* the terminal is gone */
    }
    if (rest.found_valid)
        tcsetattr(rest.in_fd, TCSANOW, &rest.found);
}

/* ---- opening ---- */

/* Keys come at once, as they are: Readline binds Ctrl-S, Ctrl-V and Return.  Ctrl-Z and Ctrl-\ are
 * signals; Ctrl-C is a key, so that it keeps its place among the others. */
static void set_keys(void)
{
    struct termios t;
    cbreak();
    noecho();
    nonl();
    if (tcgetattr(sc.in_fd, &t) == 0) {
        t.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR);
        t.c_lflag &= ~(tcflag_t)IEXTEN;
        t.c_cc[VINTR] = _POSIX_VDISABLE;
        tcsetattr(sc.in_fd, TCSADRAIN, &t);
    }
    def_prog_mode();
}

static void set_colours(void)
{
    memset(sc.pair, 0, sizeof sc.pair);
    sc.used = 0;
    sc.colours = sc.pairs = 0;
    if (!has_colors() || start_color() != OK)
        return;
    if (use_default_colors() != OK)
        return; /* white on black is not what a user chose */
    sc.colours = COLORS >= 256 ? 256 : COLORS >= 8 ? 8 : 0;
    sc.pairs = COLOR_PAIRS > 65535 ? 65535 : COLOR_PAIRS;
}

static bool find_size(int *w, int *h)
{
    struct winsize size;
    if (ioctl(sc.out_fd, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
        return false;
    *w = size.ws_col;
    *h = size.ws_row;
    return true;
}

static void take_size(void)
{
    int w, h;
    if (find_size(&w, &h) && (h != LINES || w != COLS))
        resize_term(h, w);
}

static int fail_open(struct sy_err *err, const char *why)
{
    if (sc.in)
        fclose(sc.in);
    if (sc.out)
        fclose(sc.out);
    sc.in = sc.out = NULL;
    return sy_err_set(err, SY_E_UNSUPPORTED, "screen: %s", why);
}

int sy_screen_open(int in, int out, struct sy_err *err)
{
    setlocale(LC_CTYPE, "");
    sc.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
    sc.in_fd = in;
    sc.out_fd = out;
    rest.found_valid = tcgetattr(in, &rest.found) == 0;
    int own_in = dup(in), own_out = dup(out);
    sc.in = own_in >= 0 ? fdopen(own_in, "r") : NULL;
    sc.out = own_out >= 0 ? fdopen(own_out, "w") : NULL;
    if (!sc.in || !sc.out)
        return fail_open(err, strerror(errno));
    sc.curses = newterm(NULL, sc.out, sc.in);
    if (!sc.curses)
        return fail_open(err, "this terminal is not known");
    set_keys();
    set_colours();
    intrflush(stdscr, FALSE);
    idlok(stdscr, TRUE);
    take_size();
    prepare_restore();
    sc.active = sc.stale = true;
    sc.cursor = -1;
    refresh(); /* enters the alternate screen */
    put_text(PASTE_ON);
    if (sc.mouse) /* as before the plain screen */
        put_text(MOUSE_ON);
    return 0;
}

int sy_screen_colours(void)
{
    return sc.colours;
}

int sy_screen_colours_of(int fd)
{
    int why, n = setupterm(NULL, fd, &why) == OK ? tigetnum("colors") : 0;
    return n >= 256 ? 256 : n >= 8 ? 8 : 0;
}

void sy_screen_size(int *w, int *h)
{
    *w = sc.curses ? COLS : 80;
    *h = sc.curses ? LINES : 24;
}

void sy_screen_resize(void)
{
    if (!sc.active)
        return;
    take_size();
    prepare_restore();
    sy_screen_repaint();
}

void sy_screen_suspend(void)
{
    if (!sc.active)
        return;
    sc.active = false;
    if (sc.mouse)
        put_text(MOUSE_OFF);
    put_text(PASTE_OFF);
    int w, h = LINES;
    find_size(&w, &h); /* it may have changed unseen */
    put_text(whole_region(h));
    curs_set(1);
    endwin();
    rest.armed = 0;
    if (rest.found_valid) /* whatever curses remembers */
        tcsetattr(sc.in_fd, TCSADRAIN, &rest.found);
}

void sy_screen_resume(void)
{
    if (!sc.curses || sc.active)
        return;
    rest.found_valid = tcgetattr(sc.in_fd, &rest.found) == 0;
    reset_prog_mode();
    sc.active = true;
    sc.cursor = -1;
    refresh(); /* enters the alternate screen again */
    take_size();
    prepare_restore();
    put_text(PASTE_ON);
    if (sc.mouse)
        put_text(MOUSE_ON);
    sy_screen_repaint();
}

void sy_screen_close(void)
{
    if (!sc.curses)
        return;
    sy_screen_suspend();
    delscreen(sc.curses);
    fclose(sc.in);
    fclose(sc.out);
    sy_grid_free(&sc.shown);
    sc.curses = NULL;
    sc.in = sc.out = NULL;
}

void sy_screen_repaint(void)
{
    sc.stale = true;
}

void sy_screen_bell(void)
{
    if (sc.active)
        put_text("\a");
}

void sy_screen_mouse(bool on)
{
    if (sc.active && sc.mouse != on)
        put_text(on ? MOUSE_ON : MOUSE_OFF);
    sc.mouse = on;
}

/* ---- showing ---- */

static int new_pair(int fg, int bg)
{
    if (sc.used + 1 >= sc.pairs || init_extended_pair(sc.used + 1, fg, bg) == ERR)
        return 0;
    return ++sc.used;
}

static int pair_of(struct sy_pen pen)
{
    int fg = pen.fg, bg = pen.bg;
    if (!sc.pairs || (fg < 0 && bg < 0))
        return 0;
    fg = fg >= sc.colours ? -1 : fg;
    bg = bg >= sc.colours ? -1 : bg;
    unsigned short *at = &sc.pair[(fg + 1) * PALETTE + bg + 1];
    if (!*at)
        *at = (unsigned short)new_pair(fg, bg);
    if (!*at && fg >= 0 && bg >= 0)
        return sc.pair[(fg + 1) * PALETTE];
    return *at;
}

static attr_t attributes(struct sy_pen pen)
{
    return (pen.attr & SY_BOLD ? A_BOLD : 0) | (pen.attr & SY_DIM ? A_DIM : 0) |
           (pen.attr & SY_REVERSE ? A_REVERSE : 0) | (pen.attr & SY_UNDERLINE ? A_UNDERLINE : 0);
}

/* For a character that cannot be shown: a sparkline's blocks keep their heights. */
static wchar_t stand_in(uint32_t ch)
{
    return ch >= 0x2581 && ch <= 0x2588 ? (wchar_t)sy_theme_ramp((ch - 0x2580) / 8.0) : L'?';
}

/* What curses may put for a cell whose right neighbour is `next`. */
static void set_cell(cchar_t *out, const struct sy_cell *c, const struct sy_cell *next)
{
    wchar_t text[SY_MARKS + 2] = {(wchar_t)c->ch};
    int wide = next && next->ch == 0 ? 2 : 1, n = 1, pair = pair_of(c->pen);
    bool shown = c->ch >= ' ' && (c->ch <= '~' || (sc.utf8 && wcwidth((wchar_t)c->ch) == wide));
    if (!shown)
        text[0] = stand_in(c->ch);
    for (int i = 0; shown && i < SY_MARKS && c->mark[i]; i++)
        if (wcwidth((wchar_t)c->mark[i]) == 0)
            text[n++] = (wchar_t)c->mark[i];
    setcchar(out, text, attributes(c->pen), 0, &pair);
}

static void show_run(const struct sy_grid *g, int y, int x0, int x1)
{
    const struct sy_cell *row = &g->cell[(size_t)y * (size_t)g->w];
    cchar_t out[RUN];
    while (x0 < x1) {
        int n = 0, x = x0;
        for (; x < x1 && n < RUN; x++) {
            bool wide = x + 1 < g->w && row[x + 1].ch == 0;
            if (row[x].ch == 0 && n) /* the right half came with the left one */
                continue;
            set_cell(&out[n++], &row[x], x + 1 < g->w ? &row[x + 1] : NULL);
            if (wide && wcwidth((wchar_t)row[x].ch) != 2 && n < RUN) /* "?" takes one column */
                set_cell(&out[n++], &(struct sy_cell){' ', {0}, row[x].pen}, NULL);
        }
        mvadd_wchnstr(y, x0, out, n);
        x0 = x;
    }
}

static void place_cursor(const struct sy_grid *g, int x, int y)
{
    int wanted = x >= 0 && y >= 0 && x < g->w && y < g->h;
    if (wanted != sc.cursor) {
        sc.cursor = wanted;
        curs_set(wanted);
    }
    if (wanted)
        move(y, x);
}

void sy_screen_show(const struct sy_grid *g, int x, int y)
{
    if (!sc.active)
        return;
    bool anew = sc.stale || sc.shown.w != g->w || sc.shown.h != g->h;
    if (anew) {
        put_text(whole_region(LINES));
        erase();
        clearok(curscr, TRUE);
        if (sy_grid_resize(&sc.shown, g->w, g->h, NULL))
            return;
    }
    sc.stale = false;
    for (int row = 0; row < g->h && row < LINES; row++)
        for (int x0 = 0, x1; sy_grid_changed(&sc.shown, g, row, &x0, &x1); x0 = x1)
            show_run(g, row, x0, x1);
    memcpy(sc.shown.cell, g->cell, (size_t)g->w * (size_t)g->h * sizeof *g->cell);
    place_cursor(g, x, y);
    refresh();
}

#else
bool sy_screen_usable(int in, int out)
{
    return (void)in, (void)out, false;
}
int sy_screen_open(int in, int out, struct sy_err *err)
{
    (void)in;
    (void)out;
    return sy_err_set(err, SY_E_UNSUPPORTED, "screen: built without ncurses");
}
void sy_screen_close(void)
{
}
int sy_screen_colours(void)
{
    return 0;
}
int sy_screen_colours_of(int fd)
{
    (void)fd;
    return 0;
}
void sy_screen_size(int *w, int *h)
{
    *w = 80, *h = 24;
}
void sy_screen_resize(void)
{
}
void sy_screen_show(const struct sy_grid *g, int x, int y)
{
    (void)g, (void)x, (void)y;
}
void sy_screen_repaint(void)
{
}
void sy_screen_bell(void)
{
}
void sy_screen_mouse(bool on)
{
    (void)on;
}
void sy_screen_suspend(void)
{
}
void sy_screen_resume(void)
{
}
void sy_screen_restore(void)
{
}
#endif
