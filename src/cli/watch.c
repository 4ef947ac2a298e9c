/* `switchyard watch [RUN ...]`: the panel on stored runs, live or finished, from any terminal.
 *
 *  1. Read-only: no run is touched, and none waits for us.
 *  2. Keys are the panes'; a colon asks for a command.  Ctrl-C, Ctrl-D and :q leave, q alone never.
 *  3. Without a terminal, a line whenever there is something new, until the runs have ended. */
#include "cli/watch.h"
#include "config.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "workbench/workbench.h"
#include "repl/editor.h"
#include "repl/tell.h"
#include "run/source.h"
#include "run/store.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNS 64
#define LINE_SECONDS 2.0
#define HINT "read only: Ctrl-C or :q leaves"

static struct {
    struct sy_source *source[RUNS];
    int n, status;
} w;

static int say_error(const struct sy_err *err)
{
    sy_tell("%s", err->msg);
    return 1;
}

/* ---- which runs ---- */

static int add_run(const char *name)
{
    struct sy_err err = SY_ERR_INIT;
    char room[4096];
    const char *folder, *last;
    sy_run_locate(name, room, &folder, &last);
    struct sy_source *s = w.n < RUNS ? sy_source_stored(folder, last, &err) : NULL;
    if (!s) {
        if (!err.code)
            sy_err_set(&err, SY_E_RANGE, "watch: at most %d runs", RUNS);
        return say_error(&err);
    }
    w.source[w.n++] = s;
    return 0;
}

/* Without a name: those that are being trained, else the newest. */
static int add_live(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_runs runs;
    int status = 0;
    if (sy_runs_list(sy_runs_dir(), &runs, &err))
        return say_error(&err);
    for (int i = runs.count - 1; i >= 0 && !status && w.n < RUNS; i--)
        if (runs.list[i].live)
            status = add_run(runs.list[i].name);
    for (int i = runs.count - 1; i >= 0 && !status && !w.n; i--)
        if (!runs.list[i].error.code)
            status = add_run(runs.list[i].name);
    sy_runs_free(&runs);
    if (!status && !w.n) {
        sy_err_set(&err, SY_E_NOTFOUND,
                   access(sy_runs_dir(), F_OK) ? "watch: no runs: there is no folder %s"
                                               : "watch: no runs in %s",
                   sy_runs_dir());
        status = say_error(&err);
    }
    return status;
}

/* ---- on a terminal ---- */

static void enter_line(const char *line)
{
    char name[32], reply[512]; /* an answer has one row of 80 columns */
    int used = 0;
    if (sscanf(line, " :%31[a-z]%n", name, &used) != 1)
        return;
    const char *args = line + used + strspn(line + used, " ");
    if (!strcmp(name, "q") || !strcmp(name, "quit"))
        sy_workbench_leave();
    else if (!sy_workbench_knows(name))
        sy_workbench_say(SY_ROLE_TEXT, "there are :q :watch :overlay :filter :losses :heat :dump "
                                       ":theme :split");
    else {
        sy_workbench_command(name, args, reply, sizeof reply);
        if (*reply)
            sy_workbench_say(SY_ROLE_TEXT, reply);
    }
}

static void leave_watch(void)
{
    sy_workbench_leave();
}

static void leave_by_signal(int number)
{
    w.status = 128 + number;
    sy_workbench_leave();
}

static void woken(void)
{
}

static void refuse_request(const struct sy_request *r)
{
    if (r->said) /* a mark is ours as far as the map of changes goes */
        return;
    sy_workbench_message("watch only looks on: do it at the run's prompt");
}

static const struct sy_workbench_client client = {.prompt = "",
                                                  .panes = true,
                                                  .hint = HINT,
                                                  .enter = enter_line,
                                                  .end = leave_watch,
                                                  .interrupted = leave_watch,
                                                  .woken = woken,
                                                  .terminate = leave_by_signal,
                                                  .request = refuse_request,
                                                  .poll_ms = 1000};

/* On the board, so that :watch and :overlay may add others. */
static int to_board(struct sy_err *err)
{
    struct sy_source_status first;
    for (int i = 0; i < w.n; i++)
        if (sy_board_add(w.source[i], err))
            return -1;
    sy_source_status(w.source[0], &first);
    sy_panel_select(sy_workbench_panel(), first.name);
    return 0;
}

static int show_runs(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_edit_options options = {.action = sy_workbench_action};
    options.keys = sy_workbench_keys(&options.nkeys);
    if (sy_edit_open(&options))
        return sy_err_set(&err, SY_E_IO, "watch: no pipe"), say_error(&err);
    if (sy_workbench_open(&client, &err) || to_board(&err)) {
        sy_workbench_free();
        sy_edit_close();
        return say_error(&err);
    }
    sy_panel_set_split(sy_workbench_panel(), 0.85);
    sy_workbench_message(NULL);
    sy_workbench_run();
    sy_workbench_free();
    sy_edit_close();
    return w.status;
}

/* ---- without ---- */

static void print_status(const struct sy_source_status *s)
{
    if (w.n > 1) {
        sy_tell_text(s->name);
        fputs("  ", stdout);
    }
    printf("step %lld/%lld", (long long)s->step, (long long)s->steps);
    if (!isnan(s->loss))
        printf("  loss %.3f", s->loss);
    if (!isnan(s->val_loss))
        printf("  val %.3f", s->val_loss);
    if (!isnan(s->lr))
        printf("  lr %.1e", s->lr);
    if (!isnan(s->tok_s))
        printf("  tok/s %.0f", s->tok_s);
    if (!isnan(s->mfu))
        printf("  mfu %.0f%%", 100 * s->mfu);
    fputs("  ", stdout);
    fputs(sy_run_state_name(s->state), stdout);
    puts("");
}

static void print_field(const char *name, double v)
{
    struct sy_str number = SY_STR_INIT;
    if (isnan(v))
        return;
    sy_json_number(&number, v);
    printf(",\"%s\":%s", name, number.data ? number.data : "null");
    sy_str_free(&number);
}

/* The names are those of --json while training (bind/thread/progress.c). */
static void print_json(const struct sy_source_status *s)
{
    struct sy_str name = SY_STR_INIT;
    sy_json_quote(&name, s->name, strlen(s->name));
    printf("{\"step\":%lld,\"steps\":%lld", (long long)s->step, (long long)s->steps);
    print_field("loss", s->loss);
    print_field("val", s->val_loss);
    print_field("lr", s->lr);
    print_field("tok_s", s->tok_s);
    print_field("mfu", s->mfu);
    printf(",\"state\":\"%s\",\"run\":%s}\n", sy_run_state_name(s->state),
           name.data ? name.data : "\"\"");
    sy_str_free(&name);
}

static int print_lines(bool json)
{
    struct {
        int64_t step;
        enum sy_run_state state;
    } last[RUNS];
    for (int i = 0; i < w.n; i++)
        last[i].step = -1;
    for (bool live = true; live && !ferror(stdout); sy_sleep(live ? LINE_SECONDS : 0)) {
        live = false;
        for (int i = 0; i < w.n; i++) {
            struct sy_source_status s;
            sy_source_poll(w.source[i]);
            sy_source_status(w.source[i], &s);
            live |= s.live;
            if (s.step == last[i].step && s.state == last[i].state)
                continue;
            last[i].step = s.step;
            last[i].state = s.state;
            json ? print_json(&s) : print_status(&s);
        }
        fflush(stdout);
    }
    return 0;
}

/* Options; the names of runs move to the front of argv.  *n of them; a status. */
static int read_options(int argc, char **argv, bool *plain, int *n)
{
    *n = 0;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--plain"))
            *plain = true;
        else if (*a == '-') {
            sy_tell("watch: unknown option '%s'; there are --plain, --json, --runs DIR", a);
            return 2;
        } else
            argv[(*n)++] = argv[i];
    }
    return 0;
}

int sy_command_watch(int argc, char **argv, bool json)
{
    bool plain = false;
    int n, status = read_options(argc, argv, &plain, &n);
    for (int i = 0; i < n && !status; i++)
        status = add_run(argv[i]);
    if (!status && !n)
        status = add_live();
    if (!status)
        status = !plain && !json && sy_workbench_possible() ? show_runs() : print_lines(json);
    for (int i = 0; i < w.n; i++)
        sy_source_unref(w.source[i]);
    return status;
}
