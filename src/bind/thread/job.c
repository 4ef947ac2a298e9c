/* See job.h.  A job is a coroutine in a list; the Lua thread (host.c) calls lsy_jobs_serve
 * between two calls and sleeps until a wake-up or the earliest `until`.
 *
 * No wake-up is lost: `changes` counts them, a job notes the count before it looks at what it
 * waits for, and is due when the count has moved; a waker counts first and then looks for
 * sleepers. */
#include "bind/thread/job.h"
#include "bind/core/error.h"
#include "bind/core/state.h"
#include "bind/thread/host.h"
#include "bind/thread/interrupt.h"
#include "bind/thread/job_int.h"
#include "bind/thread/wait.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define GRACE 0.2 /* seconds that a chunk may wait before it becomes a job */
#define ASKED 5   /* seconds in which a second Ctrl-C ends the job that the first one named */
#define HOG 0.1   /* seconds after which Ctrl-C ends the job that runs, not the newest one */

static atomic_bool detaching;
static atomic_uint changes;
static atomic_int sleepers, count;
static atomic_llong running_since; /* milliseconds; 0: no job with a number runs */

/* Lua thread only. */
static struct lsy_job *first, *current;
static int serving;
static bool leaving; /* the program ends: nothing is reported any more */

void sy_job_detach(bool on) { atomic_store(&detaching, on); }
int sy_job_count(void) { return atomic_load(&count); }
struct lsy_job *lsy_job_now(void) { return current; }
struct lsy_job *lsy_jobs_list(void) { return first; }

const char *lsy_job_tag(void) { return lsy_job_tag_of(current); }
void lsy_job_print(const char *text) { lsy_job_print_of(current, text); }

bool lsy_job_write(const char *s, size_t n)
{
    if (!*lsy_job_tag())
        return false;
    lsy_job_write_of(current, s, n);
    return true;
}

void lsy_wake(void)
{
    atomic_fetch_add(&changes, 1);
    if (atomic_load(&sleepers))
        sy_host_wake();
}

/* ---- one job ---- */

static void name_text(struct lsy_job *j, const char *text, size_t n)
{
    size_t k = 0;
    for (; k < n && k < sizeof j->text - 1 && text[k] != '\n'; k++)
        j->text[k] = text[k];
    while (k && k < n && ((unsigned char)text[k] & 0xC0) == 0x80)
        k--; /* not in the middle of a character */
    j->text[k] = 0;
}

struct lsy_job *lsy_job_new(lua_State *L, int nargs, const char *text, size_t n)
{
    lua_State *co = lua_newthread(L);
    struct lsy_job *j = sy_calloc(1, sizeof *j);
    if (!j || !lua_checkstack(co, nargs + 1)) {
        sy_free(j);
        luaL_error(L, "out of memory");
        return NULL;
    }
    lua_rawsetp(L, LUA_REGISTRYINDEX, j);
    lua_xmove(L, co, nargs + 1);
    j->co = co;
    j->nargs = nargs;
    j->began = sy_now();
    j->until = HUGE_VAL;
    snprintf(j->who, sizeof j->who, "%s", sy_acting());
    name_text(j, text, n);
    return j;
}

/* It acts, or rests: whoever ran before it acts as before. */
static void exchange_acting(struct lsy_job *j)
{
    char who[SY_WHO];
    snprintf(who, sizeof who, "%s", sy_acting());
    sy_act_as(j->who);
    memcpy(j->who, who, sizeof who);
}

void lsy_job_free(lua_State *L, struct lsy_job *j)
{
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, j);
    sy_free(j);
}

/* Who waits for a time does not care what happens meanwhile. */
static bool listens(const struct lsy_job *j)
{
    return j->state == SY_JOB_WAITING && j->until == HUGE_VAL;
}

static void enter_state(struct lsy_job *j, int state)
{
    if (listens(j))
        atomic_fetch_sub(&sleepers, 1);
    j->state = state;
    if (listens(j))
        atomic_fetch_add(&sleepers, 1);
}

static bool is_due(const struct lsy_job *j)
{
    if (j->state == SY_JOB_READY)
        return true;
    return j->state == SY_JOB_WAITING &&
           (j->killed || (listens(j) && j->seen != atomic_load(&changes)) || j->until <= sy_now());
}

static void note_end(lua_State *L, struct lsy_job *j, int status, int n)
{
    enter_state(j, SY_JOB_ENDED);
    j->outcome = status == LUA_OK          ? LSY_JOB_FINE
                 : lsy_interrupt_wanted() ? LSY_JOB_INTERRUPTED
                                          : LSY_JOB_FAILED;
    j->nresults = j->outcome == LSY_JOB_FINE ? n : 1;
    if (j->script && j->outcome == LSY_JOB_FAILED) {
        const char *text = lua_tostring(j->co, -1);
        if (text) {
            luaL_traceback(L, j->co, text, 0);
            lua_pop(j->co, 1);
            lua_xmove(L, j->co, 1);
        }
    }
    struct lsy_state *s = lsy_state(L);
    lua_State *before = s->running;
    s->running = j->co;
    s->may_wait = false;
    if (j->outcome != LSY_JOB_FINE)
        lua_resetthread(j->co); /* runs what is to be closed; leaves the error */
    s->running = before;
}

/* Until its next wait or its end. */
static void resume_job(lua_State *L, struct lsy_job *j)
{
    struct lsy_state *s = lsy_state(L);
    struct lsy_job *before = current;
    lua_State *job_before = s->job;
    bool might = s->may_wait;
    sy_host_chunk(true);
    int n = 0;
    if (j->killed)
        sy_interrupt_here();
    j->seen = atomic_load(&changes);
    j->resumed = sy_now();
    enter_state(j, SY_JOB_RUNNING);
    j->until = HUGE_VAL;
    current = j;
    exchange_acting(j);
    s->job = j->co;
    s->waiting = false;
    if (j->number)
        atomic_store(&running_since, (long long)(sy_now() * 1e3));
    int status = lsy_resume(L, j->co, j->nargs, &n, true);
    j->nargs = 0;
    s->job = job_before;
    if (status == LUA_YIELD && s->waiting)
        enter_state(j, SY_JOB_WAITING);
    else
        note_end(L, j, status, n);
    s->waiting = false;
    s->may_wait = might;
    atomic_store(&running_since, 0);
    if (j->number && lsy_interrupt_wanted() && (j->killed || atomic_load(&detaching)))
        sy_interrupt_clear(); /* it was for this one; a script's is for all */
    exchange_acting(j);
    current = before;
    sy_host_chunk(false);
}

bool lsy_job_killed(void)
{
    if (!current || !current->killed)
        return false;
    if (!lsy_interrupt_wanted())
        sy_interrupt_here();
    return lsy_interrupt_wanted(); /* not what is shielded */
}

bool lsy_job_run(lua_State *L, struct lsy_job *j)
{
    double grace = sy_now() + GRACE;
    for (resume_job(L, j); j->state != SY_JOB_ENDED; resume_job(L, j)) {
        bool stop = false; /* interrupted: where it waits, it sees that */
        while (!stop && !is_due(j)) {
            bool may_leave = atomic_load(&detaching);
            if (may_leave && sy_now() >= grace)
                return false;
            double left = fmin(j->until, may_leave ? grace : HUGE_VAL) - sy_now();
            left = fmin(left, lsy_jobs_serve(L));
            stop = sy_host_wait(L, left < 0 ? 0 : fmin(left, 1)) < 0;
        }
        if (atomic_load(&detaching) && sy_now() >= grace && !lsy_interrupt_wanted())
            return false; /* it never rests, but lets others go first */
    }
    return true;
}

const char *lsy_job_state(const struct lsy_job *j)
{
    return j->state == SY_JOB_WAITING && !j->works ? "waiting" : "working";
}

/* ---- all jobs ---- */

void lsy_job_enlist(struct lsy_job *j, void (*ended)(lua_State *L, struct lsy_job *j))
{
    struct lsy_job **at;
    int last = 0; /* as shells number: one more than the last that goes on */
    for (at = &first; *at; at = &(*at)->next)
        if ((*at)->state != SY_JOB_ENDED)
            last = (*at)->number;
    *at = j;
    j->number = last + 1;
    j->ended = ended;
    atomic_fetch_add(&count, 1);
}

static void run_listed(lua_State *L, struct lsy_job *j)
{
    resume_job(L, j);
    if (j->state != SY_JOB_ENDED)
        return;
    struct lsy_job *before = current;
    current = j;
    lsy_job_flush(j);
    atomic_fetch_sub(&count, 1);
    sy_host_chunk(true);
    if (!leaving)
        j->ended(L, j);
    sy_host_chunk(false);
    current = before;
}

static void free_ended(lua_State *L)
{
    for (struct lsy_job **at = &first; *at;) {
        struct lsy_job *j = *at;
        if (j->state == SY_JOB_ENDED) {
            *at = j->next;
            lsy_job_free(L, j);
        } else
            at = &j->next;
    }
}

double lsy_jobs_serve(lua_State *L)
{
    double next = HUGE_VAL;
    serving++; /* a wait below may come here again: only the outermost frees */
    for (struct lsy_job *j = first; j; j = j->next)
        if (is_due(j))
            run_listed(L, j);
    if (--serving == 0)
        free_ended(L);
    for (struct lsy_job *j = first; j; j = j->next)
        next = fmin(next, is_due(j)                    ? 0
                          : j->state == SY_JOB_WAITING ? j->until - sy_now()
                                                       : HUGE_VAL);
    return fmax(next, 0);
}

void sy_jobs_end(lua_State *L)
{
    leaving = true;
    for (struct lsy_job *j = first; j; j = j->next)
        j->killed = true;
    for (int rounds = 0; first && rounds < 100; rounds++)
        lsy_jobs_serve(L);
}

static struct {
    int job; /* that was named */
    double until;
} asked; /* Lua thread only */

static void tell_asked(const struct lsy_job *j)
{
    char text[256];
    snprintf(text, sizeof text, "[job %d] goes on (%s%s%s); Ctrl-C again or :kill %d ends it",
             j->number, lsy_job_state(j), *j->what ? ": " : "", j->what, j->number);
    sy_host_print(text);
}

static void ask_or_end(lua_State *L, void *ctx)
{
    struct lsy_job *newest = NULL;
    (void)L;
    (void)ctx;
    for (struct lsy_job *j = first; j; j = j->next)
        if (j->state != SY_JOB_ENDED)
            newest = j;
    if (!newest)
        return;
    if (asked.job == newest->number && sy_now() < asked.until) {
        newest->killed = true;
        asked.job = 0;
        return;
    }
    asked.job = newest->number;
    asked.until = sy_now() + ASKED;
    tell_asked(newest);
}

/* A signal's handler, on the Lua thread. */
void lsy_job_urged(void)
{
    if (atomic_load(&running_since))
        sy_interrupt_here();
}

static void do_nothing(void *ctx) { (void)ctx; }

bool sy_job_interrupt(void)
{
    if (!sy_job_count())
        return false;
    long long since = atomic_load(&running_since);
    if (since && sy_now() * 1e3 - (double)since > HOG * 1e3)
        return sy_host_urge();
    sy_host_post(ask_or_end, NULL, do_nothing);
    return true;
}

/* ---- for bindings that wait ---- */

bool lsy_may_yield(lua_State *L)
{
    return current && lsy_state(L)->may_wait && lua_isyieldable(L);
}

int lsy_yield(lua_State *L, const char *what, double seconds, lua_KContext ctx, lua_KFunction k)
{
    snprintf(current->what, sizeof current->what, "%s", what);
    current->works = seconds == 0;
    current->until = sy_now() + seconds;
    lsy_state(L)->waiting = true;
    return lua_yieldk(L, 0, ctx, k);
}
