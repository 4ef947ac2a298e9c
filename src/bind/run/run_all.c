/* All runs of the program: which are open, and what becomes of them at its end.  Layer bind/run.
 *
 *     script done    --> wait_all: until none goes on (a hook may start and close runs meanwhile)
 *                    --> its status
 *     end in any way --> stop_all: a last checkpoint each, and how it goes on */
#include "bind/run/run.h"
#include "bind/run/run_int.h"
#include "bind/thread/host.h"
#include "bind/thread/job.h"
#include "bind/thread/progress.h"

#include "run/store.h"

#include <stdio.h>
#include <string.h>

/* All that are open; Lua thread only. */
static struct run *open_runs;
static bool any_failed; /* of those that were closed, or in a hook */

static bool any_unsaved;

void lsy_run_failed(void) { any_failed = true; }

void lsy_unsaved(const char *name, const char *why)
{
    char line[640];
    any_unsaved = true;
    snprintf(line, sizeof line, "not saved: %.600s", why);
    lsy_progress_event(name, SY_EVENT_ALARM, line);
}

void lsy_run_check_saved(struct run *r)
{
    struct sy_err why = SY_ERR_INIT;
    if (r->told_unsaved)
        return;
    if (*r->homeless)
        sy_err_set(&why, SY_E_IO, "nothing of it: %s", r->homeless);
    else if (!sy_trainer_unsaved(r->trainer, &why) && r->store)
        sy_store_flush(r->store, &why);
    r->told_unsaved = why.code != SY_E_OK;
    if (r->told_unsaved)
        lsy_unsaved(sy_trainer_name(r->trainer), why.msg);
}

static bool unsaved(void) { return any_unsaved; }

static enum sy_run_state state_of(const struct run *r)
{
    struct sy_status s;
    sy_trainer_status(r->trainer, &s);
    return s.state;
}

static bool can_stop(const struct run *r)
{
    enum sy_run_state s = state_of(r);
    return s == SY_RUN_RUNNING || s == SY_RUN_PAUSED;
}

void lsy_run_stop(struct run *r)
{
    atomic_store(&r->closing, true);
    do {
        if (can_stop(r))
            sy_trainer_stop(r->trainer);
        sy_host_cancel(r);
    } while (!sy_trainer_wait(r->trainer, INT64_MAX, 0.02));
}

void lsy_runs_add(struct run *r)
{
    r->next = open_runs;
    open_runs = r;
    lsy_rescue_add(r);
}

void lsy_runs_forget(struct run *r)
{
    any_failed |= state_of(r) == SY_RUN_FAILED;
    lsy_rescue_forget(r);
    for (struct run **at = &open_runs; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            return;
        }
}

/* It trains, or will when it has been rewound. */
static bool goes_on(const struct run *r)
{
    int64_t first, last;
    return state_of(r) == SY_RUN_RUNNING || sy_trainer_rewind_wanted(r->trainer, &first, &last);
}

static int live_runs(void)
{
    int n = 0;
    for (struct run *r = open_runs; r; r = r->next)
        n += goes_on(r);
    return n;
}

/* Hooks may start and close runs while we wait: look anew each time. */
static struct run *running_one(void)
{
    struct run *r = open_runs;
    while (r && !goes_on(r))
        r = r->next;
    return r;
}

/* Wait for every run: 0, 1 when one failed, 130 when the user interrupts. */
static int wait_all(lua_State *L)
{
    struct run *r;
    while ((r = running_one()))
        if (!sy_trainer_wait(r->trainer, INT64_MAX, 0.005) && sy_host_wait(L, 0.02) < 0)
            return 130;
    if (sy_host_was_interrupted()) /* in a hook, which paused its run */
        return 130;
    for (r = open_runs; r; r = r->next)
        any_failed |= state_of(r) == SY_RUN_FAILED;
    return any_failed; /* a hook may have failed while we waited */
}

/* The last that is seen of a run that could have gone on: how it does. */
static void tell_how_to_go_on(const struct run *r)
{
    struct sy_saved saved;
    struct sy_status s;
    const char *dir = sy_runs_dir(), *name = sy_trainer_name(r->trainer);
    const char *word = sy_run_word(sy_trainer_dir(r->trainer), name);
    bool usual = word != name || !strcmp(dir, "runs") || !strcmp(dir, "./runs");
    sy_trainer_status(r->trainer, &s);
    bool saves = sy_trainer_saved(r->trainer, &saved) && saved.step == s.step;
    bool repeats = atomic_load(&r->repeating) && sy_trainer_dir(r->trainer);
    if (lsy_progress_get() == LSY_PROGRESS_JSON || s.state != SY_RUN_STOPPED ||
        (!saves && !repeats))
        return;
    lsy_progress_line("[%s] %s at step %lld; switchyard%s%s resume %s goes on", name,
                      saves ? "saved" : "was repeating steps, and is", (long long)s.step,
                      usual ? "" : " --runs ", usual ? "" : dir, word);
}

static void stop_all(lua_State *L)
{
    sy_jobs_end(L); /* they may hold a run */
    for (struct run *r = open_runs; r; r = r->next)
        if (can_stop(r)) {
            r->ending = true;
            sy_trainer_stop(r->trainer); /* all at once, then one after the other */
        }
    for (struct run *r = open_runs; r; r = r->next)
        lsy_run_stop(r);
    for (struct run *r = open_runs; r; r = r->next) {
        if (r->ending)
            tell_how_to_go_on(r);
        lsy_run_check_saved(r);
    }
}

void lsy_runs_open(void)
{
    sy_host_runs = (struct sy_host_runs){live_runs, wait_all, stop_all, unsaved};
}
