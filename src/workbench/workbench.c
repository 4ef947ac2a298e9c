/* The loop.  See workbench.h.
 *
 *     closed --open--> open --stop--> away --continue, in the foreground--> open --close--> closed
 *
 * While away (stopped, or in the background after `bg`) the terminal is neither read nor written;
 * runs train on and what is printed is kept. */
#include "config.h"
#include "workbench/workbench_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "workbench/capture.h"
#include "workbench/signals.h"
#include "run/source.h"
#include "tui/screen.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Between two looks: who sleeps is woken by a key before others run on. */
#define DRAIN_SECONDS 4e-3
#define KEYS_AT_ONCE 256
#define PRINTED_MAX 1000 /* lines that the normal screen gets at most */
#define RUNS_MAX 256
#define AWAY_SECONDS 0.3 /* a shell's fg tells nothing to who is running already: look */
#define AGAIN 3          /* frames after something woke the loop: a run may have stopped */

/* ---- posts from other threads ---- */

struct post {
    struct post *next;
    void (*fn)(void *ctx);
    void *ctx;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct post *first, **last = &first;
static bool taking;

bool sy_workbench_post(void (*fn)(void *ctx), void *ctx)
{
    struct post *p = sy_alloc(sizeof *p);
    if (!p)
        return false;
    *p = (struct post){NULL, fn, ctx};
    pthread_mutex_lock(&lock);
    bool taken = taking;
    if (taken) {
        *last = p;
        last = &p->next;
    }
    pthread_mutex_unlock(&lock);
    if (taken)
        sy_edit_wake(SY_WAKE_POST);
    else
        sy_free(p);
    return taken;
}

static void run_posts(void)
{
    for (;;) {
        pthread_mutex_lock(&lock);
        struct post *p = first;
        if (p && !(first = p->next))
            last = &first;
        pthread_mutex_unlock(&lock);
        if (!p)
            return;
        p->fn(p->ctx);
        sy_free(p);
    }
}

static void take_posts(bool on)
{
    pthread_mutex_lock(&lock);
    taking = on;
    pthread_mutex_unlock(&lock);
}

/* A run came, went or changed its state: on whatever thread. */
static void on_board(void *ctx)
{
    (void)ctx;
    sy_edit_wake(SY_WAKE_POST);
}

/* ---- opening and closing ---- */

static int make_contents(struct sy_workbench *d, struct sy_err *err)
{
    if (!d->scroll && !(d->scroll = sy_scroll_new()))
        return sy_err_set(err, SY_E_MEMORY, "screen: out of memory");
    if (!d->panel && !(d->panel = sy_panel_new(&d->look, err)))
        return -1;
    return 0;
}

static void on_enter(void *ctx, const char *line)
{
    struct sy_workbench *d = ctx;
    if (sy_line_asking()) {
        void (*answer)(const char *) = d->question.answer;
        char *copy = line ? sy_strdup(line) : NULL;
        d->question.answer = NULL;
        d->question.filtering = false;
        sy_line_answered();
        if (answer)
            answer(copy);
        sy_free(copy);
        return;
    }
    sy_scroll_end(d->scroll);
    if (line)
        d->client->enter(line);
    else
        d->client->end();
}

static void on_list(void *ctx, char *const *words, int n)
{
    struct sy_workbench *d = ctx;
    sy__popup_set(d, words, n);
}

static void on_bell(void *ctx)
{
    (void)ctx;
    sy_screen_bell();
}

#define WHEEL_UP 64
#define WHEEL_DOWN 65
#define WHEEL_ROWS 3

static void on_mouse(void *ctx, int button, int x, int y, bool press)
{
    struct sy_workbench *d = ctx;
    if (press && (button == WHEEL_UP || button == WHEEL_DOWN)) {
        sy_scroll_move(d->scroll, button == WHEEL_UP ? -WHEEL_ROWS : WHEEL_ROWS);
        d->redraw_scroll = true;
        d->next_scroll = 0;
    } else if (press && button == 0 && sy_panel_click(d->panel, x, y))
        d->redraw_panel = true;
}

static void on_unknown(void *ctx, int key)
{
    struct sy_workbench *d = ctx;
    char text[80], name[8] = "";
    sy_screen_bell();
    if (key >= ' ' && key < 127)
        snprintf(name, sizeof name, " '%c'", key);
    else if (key < ' ')
        snprintf(name, sizeof name, " C-%c", key + 96);
    /* short: at 80 columns it stands behind a run's name and state */
    snprintf(text, sizeof text, "no%s key%s here; ? lists them%s", *name ? "" : " such", name,
             d->client->panes ? "" : ", Esc leaves them");
    sy_workbench_message(text);
}

static void on_any(void *ctx)
{
    struct sy_workbench *d = ctx;
    sy_panel_show_help(d->panel, false);
    d->redraw_scroll = d->redraw_panel = true;
}

static void on_interrupt(void *ctx)
{
    struct sy_workbench *d = ctx;
    if (d->busy.on && !sy_line_asking()) { /* what was typed meanwhile stays */
        d->client->interrupted();
        return;
    }
    bool nothing = sy_line_cancel();
    sy__popup_close(d);
    sy_panel_show_help(d->panel, false);
    d->redraw_input = true;
    if (sy_line_asking()) {
        on_enter(d, NULL);
        return;
    }
    if (sy_panel_pane_mode(d->panel) && !d->client->panes) {
        sy_panel_set_pane_mode(d->panel, false);
        sy__act_on_panes(d);
    } else if (nothing)
        d->client->interrupted();
}

/* For a while; a terminal that is gone does not come back. */
static void go_away(struct sy_workbench *d)
{
    if (d->terminal == SY__OURS)
        d->terminal = SY__AWAY;
}

static bool goes_on(const struct sy_workbench *d)
{
    return d->terminal == SY__OURS && d->end == SY_WORKBENCH_GOES_ON;
}

static void hang_up(struct sy_workbench *d)
{
    if (d->terminal == SY__GONE)
        return;
    d->terminal = SY__GONE;
    d->client->terminate(SIGHUP);
}

static void on_closed(void *ctx)
{
    struct sy_workbench *d = ctx;
    hang_up(d);
}

static int begin_line(struct sy_workbench *d, struct sy_err *err)
{
    struct sy_line_options o = {.in = sy_capture_in(),
                                .leave = SY_ACT_LEAVE,
                                .only = d->client->panes ? ':' : 0,
                                .enter = on_enter,
                                .list = on_list,
                                .bell = on_bell,
                                .mouse = on_mouse,
                                .unknown = on_unknown,
                                .any = on_any,
                                .interrupt = on_interrupt,
                                .closed = on_closed,
                                .ctx = d};
    if (sy_line_begin(&o, d->client->prompt))
        return sy_err_set(err, SY_E_UNSUPPORTED, "screen: built without GNU Readline");
    return 0;
}

static void resize_screen(struct sy_workbench *d)
{
    int w, h;
    sy_screen_resize();
    sy_screen_size(&w, &h);
    sy_line_set_size(h, w);
    if (d->client->resized)
        d->client->resized(w, h);
    d->relayout = true;
}

int sy_workbench_open(const struct sy_workbench_client *client, struct sy_err *err)
{
    struct sy_workbench *d = &sy__workbench;
    d->client = client;
    if (make_contents(d, err))
        return -1;
    sy_signals_begin(client->on_interrupt);
    if (sy_capture_begin(err))
        goto no_capture;
    if (sy_screen_open(sy_capture_in(), sy_capture_out(), err))
        goto no_screen;
    sy__choose_look(d);
    sy_panel_set_look(d->panel, &d->look);
    d->terminal = SY__OURS;
    if (begin_line(d, err)) {
        sy_workbench_close();
        return -1;
    }
    /* what ran when the plain screen was asked for is over */
    d->end = SY_WORKBENCH_GOES_ON;
    d->busy.on = d->busy.dim = false;
    d->relayout = true;
    d->pace = 1.0 / SY_WORKBENCH_FPS;
    resize_screen(d);
    const char *mouse = getenv("SWITCHYARD_MOUSE");
    if (mouse && !strcmp(mouse, "1"))
        sy_screen_mouse(true);
    take_posts(true);
    sy_board_notify(on_board, NULL);
    if (client->panes)
        sy_panel_set_only_panes(d->panel);
    sy_panel_set_pane_mode(d->panel, client->panes);
    sy__act_on_panes(d);
    sy__compose(d, sy_now());
    return 0;
no_screen:
    sy_capture_end();
no_capture:
    sy_signals_end();
    return -1;
}

/* What came since the normal screen was last seen. */
static void print_tail(struct sy_workbench *d)
{
    struct sy_str text = SY_STR_INIT;
    int64_t count = sy_scroll_count(d->scroll), n = count - d->printed;
    d->printed = count;
    if (n <= 0)
        return;
    sy_scroll_tail(d->scroll, n > PRINTED_MAX ? PRINTED_MAX : (int)n, d->look.colours > 0, &text);
    for (size_t at = 0; at < text.len;) {
        ssize_t k = write(1, text.data + at, text.len - at);
        if (k <= 0 && errno != EINTR)
            break;
        at += k > 0 ? (size_t)k : 0;
    }
    sy_str_free(&text);
}

void sy_workbench_close(void)
{
    struct sy_workbench *d = &sy__workbench;
    if (d->terminal == SY__CLOSED)
        return;
    sy_board_notify(NULL, NULL);
    take_posts(false);
    run_posts();
    fflush(stdout);
    fflush(stderr);
    sy__drain(d);
    sy__popup_close(d);
    if (d->question.answer)
        d->question.answer(NULL);
    d->question.answer = NULL;
    sy_line_end();
    sy__tell_pens(d, false);
    sy_screen_close();
    bool ours = d->terminal == SY__OURS;
    d->terminal = SY__CLOSED;
    sy_capture_end();
    sy_signals_end();
    if (ours)
        print_tail(d);
}

void sy_workbench_free(void)
{
    struct sy_workbench *d = &sy__workbench;
    sy_workbench_close();
    sy_panel_free(d->panel);
    sy_scroll_free(d->scroll);
    sy_grid_free(&d->grid);
    d->panel = NULL;
    d->scroll = NULL;
}

/* ---- what comes in ---- */

static void take_notices(struct sy_workbench *d)
{
    char *text;
    while ((text = sy_notice_take())) {
        sy_scroll_say(d->scroll, text, sy_theme_pen(&d->look, SY_ROLE_DIM));
        sy_free(text);
    }
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* After keys: candidates go with the next key; an asked-for filter shows while it is typed. */
static void after_keys(struct sy_workbench *d)
{
    struct sy_line_view v;
    if (d->popup.count && !d->popup.fresh)
        sy__popup_close(d);
    if (!d->told) /* what was said stands until the next key */
        sy_panel_message(d->panel, d->client->hint);
    d->told = false;
    bool changed = sy_line_view(&v);
    d->redraw_input |= changed;
    if (changed && d->question.filtering && sy_line_asking())
        sy_panel_filter(d->panel, v.text, NULL);
    if (d->client->panes && !sy_line_panes() && !sy_line_asking() && !v.n) {
        sy_panel_set_pane_mode(d->panel, true);
        sy__act_on_panes(d);
        d->relayout = true;
    }
}

static void take_keys(struct sy_workbench *d)
{
    for (int i = 0; i < KEYS_AT_ONCE && goes_on(d); i++) {
        bool over = sy_panel_over(d->panel);
        d->popup.fresh = false;
        sy_line_read();
        if (over && !sy_panel_over(d->panel)) /* it lay over what others draw */
            d->relayout = true;
        after_keys(d);
        if (!readable(sy_capture_in()))
            break;
    }
}

/* ---- signals ---- */

static bool foreground(void)
{
    pid_t owner = tcgetpgrp(sy_capture_in());
    return owner < 0 || owner == getpgrp();
}

static void come_back(struct sy_workbench *d)
{
    if (d->terminal != SY__AWAY || !foreground())
        return;
    d->terminal = SY__OURS;
    sy_screen_suspend(); /* unless it was us who stopped: who knows what it looks like */
    sy_screen_resume();
    d->relayout = true;
}

static void suspend_process(struct sy_workbench *d)
{
    sy_screen_suspend();
    go_away(d);
    raise(SIGSTOP);
    come_back(d); /* unless it was `bg` */
}

static void take_signals(struct sy_workbench *d)
{
    sy_signals_end_now();
    if (sy_signals_take(SY_SIGNAL_END))
        d->client->terminate(sy_signals_ended_by());
    if (sy_signals_take(SY_SIGNAL_INTERRUPT))
        on_interrupt(d);
    if (sy_signals_take(SY_SIGNAL_STOP))
        suspend_process(d);
    if (sy_signals_take(SY_SIGNAL_CONTINUE)) {
        if (d->terminal != SY__OURS)
            come_back(d);
        else if (foreground()) { /* stopped from outside: who knows what it looks like */
            sy_screen_suspend();
            sy_screen_resume();
            d->relayout = true;
        } else /* ... and went on behind a shell, which has the terminal now */
            go_away(d);
    }
    if (sy_signals_take(SY_SIGNAL_SIZE))
        resize_screen(d);
}

/* ---- the loop ---- */

static bool board_live(void)
{
    struct sy_source *list[RUNS_MAX];
    bool live = false;
    int n = sy_board_list(list, RUNS_MAX);
    for (int i = 0; i < n && i < RUNS_MAX; i++) {
        struct sy_source_status s;
        sy_source_status(list[i], &s);
        live |= s.live && s.state == SY_RUN_RUNNING;
        sy_source_unref(list[i]);
    }
    return live;
}

/* If not, the next step of any run tells of itself. */
static bool frames_wanted(struct sy_workbench *d)
{
    if (d->again > 0)
        return true;
    bool live = board_live();
    if (!live)
        sy_board_arm();
    return live;
}

/* Milliseconds that poll may sleep; -1: until something comes. */
static int sleep_time(struct sy_workbench *d, double now)
{
    double due = d->terminal != SY__OURS ? AWAY_SECONDS : sy__compose_due(d, now);
    int escape = sy_line_timeout();
    if (due != 0 && d->terminal == SY__OURS) {
        double frame = -1;
        if (frames_wanted(d))
            frame = fmax(0, d->next_frame - now);
        else if (d->client->poll_ms)
            frame = d->client->poll_ms * 1e-3;
        due = frame >= 0 && (due < 0 || frame < due) ? frame : due;
    }
    if (d->draining.next > now && (due < 0 || d->draining.next - now < due))
        due = d->draining.next - now;
    int ms = due < 0 ? -1 : (int)ceil(fmin(due, 60) * 1e3);
    return escape >= 0 && (ms < 0 || escape < ms) ? escape : ms;
}

static void turn_once(struct sy_workbench *d)
{
    double began = sy_now();
    struct pollfd p[3] = {
        {.fd = d->terminal != SY__OURS ? -1 : sy_capture_in(), .events = POLLIN},
        {.fd = sy_wake_fd(), .events = POLLIN},
        {.fd = d->draining.next > began ? -1 : sy_capture_fd(), .events = POLLIN}};
    int escape = sy_line_timeout(), n = poll(p, 3, sleep_time(d, began));
    take_signals(d); /* before keys: they may be a shell's by now, and reading them stops us */
    if (n == 0 && escape >= 0) {
        sy_line_expire();
        after_keys(d);
    }
    if (n > 0 && p[0].revents & (POLLHUP | POLLERR | POLLNVAL)) /* with POLLIN as well: an end */
        hang_up(d);
    else if (n > 0 && p[0].revents & POLLIN) {
        take_keys(d);
        if (goes_on(d) && !sy_signals_crashed()) /* before anything that takes longer */
            sy__compose(d, sy_now());
    }
    if (n > 0 && p[1].revents)
        while (sy_wake_take())
            continue;
    take_signals(d);
    come_back(d);
    run_posts();
    take_notices(d);
    if (n > 0 && (p[1].revents || p[2].revents)) { /* what woke us may come after its output */
        sy__drain(d);
        d->draining.next = sy_now() + DRAIN_SECONDS;
    }
    if (sy_scroll_bell(d->scroll)) /* an alert's */
        sy_screen_bell();
    if (n > 0 && p[1].revents) {
        d->again = AGAIN;
        d->client->woken();
    }
}

enum sy_workbench_end sy_workbench_run(void)
{
    struct sy_workbench *d = &sy__workbench;
    while (d->end == SY_WORKBENCH_GOES_ON) {
        while (sy_signals_crashed()) /* it ends the program when the runs are saved */
            pause();
        if (d->terminal == SY__OURS)
            sy__compose(d, sy_now());
        turn_once(d);
    }
    enum sy_workbench_end end = d->end;
    d->end = SY_WORKBENCH_GOES_ON;
    return end;
}

bool sy_workbench_wait(bool (*done)(void *ctx), void *ctx, int milliseconds)
{
    struct sy_workbench *d = &sy__workbench;
    double end = sy_now() + milliseconds * 1e-3;
    struct pollfd p[2] = {{.fd = sy_wake_fd(), .events = POLLIN},
                          {.fd = sy_capture_fd(), .events = POLLIN}};
    while (!done(ctx)) {
        double left = end - sy_now();
        if (left <= 0)
            return false;
        poll(p, 2, (int)ceil(left * 1e3));
        while (sy_wake_take())
            continue;
        sy__drain(d);
    }
    return true;
}
