/* See host.h.  A queue of calls under one lock; the Lua thread sleeps on a condition. */
#include "bind/thread/host.h"
#include "bind/core/error.h"
#include "bind/thread/interrupt.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/sanitize.h"
#include "base/wait.h"
#include "switchyard/journal.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SLICE 0.05 /* seconds: how long an interrupt may go unnoticed while serving */
#define LONG 1e6   /* seconds: for ever */

struct call {
    struct call *next;
    sy_host_fn fn;
    void *ctx;
    void (*done)(void *ctx); /* posted: the call is owned by the queue */
    bool finished, refused;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, finished;
    struct call *first, **last;
    bool stopping, woken;
    pthread_t thread; /* the Lua thread */
    atomic_bool known, started, ending;
    atomic_int chunks; /* nested */
    lua_State *L;
    void (*printer)(const char *);
} host = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &host.first};
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_conditions(void)
{
    sy_cond_init(&host.work);
    sy_cond_init(&host.finished);
}

struct sy_host_jobs sy_host_jobs;
struct sy_host_runs sy_host_runs;
struct sy_host_screen sy_host_screen;

static atomic_int columns = 80;
static atomic_bool screen_open;

bool sy_host_has_screen(void) { return atomic_load(&screen_open); }
void sy_host_set_screen(bool open) { atomic_store(&screen_open, open); }

int sy_host_columns(void) { return atomic_load(&columns); }

void sy_host_set_columns(int n)
{
    if (n > 0)
        atomic_store(&columns, n);
}

static atomic_bool ascii;

bool sy_host_ascii(void) { return atomic_load(&ascii); }
void sy_host_set_ascii(bool only) { atomic_store(&ascii, only); }

static pthread_mutex_t pens_lock = PTHREAD_MUTEX_INITIALIZER;
static char pens[SY_HOST_PENS];

void sy_host_pens(char out[SY_HOST_PENS])
{
    pthread_mutex_lock(&pens_lock);
    memcpy(out, pens, sizeof pens);
    pthread_mutex_unlock(&pens_lock);
}

void sy_host_set_pens(const char *lines)
{
    size_t n = strlen(lines);
    pthread_mutex_lock(&pens_lock);
    snprintf(pens, sizeof pens, "%s", n < sizeof pens ? lines : "");
    pthread_mutex_unlock(&pens_lock);
}

bool sy_host_is_lua_thread(void)
{
    return atomic_load(&host.known) && pthread_equal(pthread_self(), host.thread);
}

/* ---- running calls ---- */

static int guarded(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    lua_settop(L, 0);
    c->fn(L, c->ctx);
    return 0;
}

static void run_call(lua_State *L, struct call *c)
{
    int top = lua_gettop(L);
    bool outermost = !atomic_load(&host.chunks);
    char who[SY_WHO];
    if (!lua_checkstack(L, 8))
        return;
    snprintf(who, sizeof who, "%s", sy_acting());
    sy_act_as(""); /* a hook that is served while another waits is not that one's */
    sy_host_chunk(true);
    lua_pushcfunction(L, guarded);
    lua_pushlightuserdata(L, c);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        const char *text = lua_tostring(L, -1);
        char line[512];
        snprintf(line, sizeof line, "%s", text ? text : "an error without a message");
        line[strcspn(line, "\n")] = 0;
        struct sy_str safe = SY_STR_INIT;
        sy_utf8_line(&safe, line, strlen(line));
        sy_host_print(safe.data ? safe.data : "");
        sy_str_free(&safe);
        if (outermost)
            sy_interrupt_clear();
    }
    lua_settop(L, top);
    sy_act_as(who);
    sy_host_chunk(false);
}

/* Take and run what is pending; the lock is held before and after. */
static int run_pending(lua_State *L)
{
    int count = 0;
    while (host.first && !host.stopping) {
        struct call *c = host.first;
        if (!(host.first = c->next))
            host.last = &host.first;
        pthread_mutex_unlock(&host.lock);
        run_call(L, c);
        count++;
        void (*done)(void *) = c->done;
        if (done) {
            void *ctx = c->ctx;
            sy_free(c);
            done(ctx);
        }
        pthread_mutex_lock(&host.lock);
        if (!done) {
            c->finished = true;
            pthread_cond_broadcast(&host.finished);
        }
    }
    return count;
}

static void sleep_on(pthread_cond_t *cond, double seconds)
{
    struct sy_deadline until = sy_deadline_in(seconds);
    sy_cond_wait(cond, &host.lock, &until);
}

int sy_host_wait(lua_State *L, double seconds)
{
    double until = sy_now() + seconds;
    int count = 0;
    bool interrupted = false;
    pthread_mutex_lock(&host.lock);
    while (!(interrupted = lsy_interrupt_wanted() ||
                           (sy_host_jobs.killed && sy_host_jobs.killed()))) {
        count += run_pending(L);
        double left = until - sy_now();
        if (host.woken || host.stopping || left <= 0)
            break;
        sleep_on(&host.work, left < SLICE ? left : SLICE);
    }
    host.woken = false;
    pthread_mutex_unlock(&host.lock);
    return interrupted ? -1 : count;
}

void sy_host_wake(void)
{
    pthread_mutex_lock(&host.lock);
    host.woken = true;
    pthread_cond_signal(&host.work);
    pthread_mutex_unlock(&host.lock);
}

/* ---- posting ---- */

static bool enqueue_call(struct call *c)
{
    if (host.stopping)
        return false;
    *host.last = c;
    host.last = &c->next;
    pthread_cond_signal(&host.work);
    return true;
}

int sy_host_call(sy_host_fn fn, void *ctx)
{
    struct call c = {.fn = fn, .ctx = ctx};
    if (sy_host_is_lua_thread()) {
        run_call(host.L, &c);
        return 0;
    }
    pthread_mutex_lock(&host.lock);
    if (!enqueue_call(&c))
        c.refused = true;
    while (!c.finished && !c.refused)
        pthread_cond_wait(&host.finished, &host.lock);
    pthread_mutex_unlock(&host.lock);
    return c.refused ? -1 : 0;
}

void sy_host_post(sy_host_fn fn, void *ctx, void (*done)(void *ctx))
{
    struct call *c = sy_calloc(1, sizeof *c);
    bool taken = false;
    if (c) {
        c->fn = fn;
        c->ctx = ctx;
        c->done = done;
        pthread_mutex_lock(&host.lock);
        taken = enqueue_call(c);
        pthread_mutex_unlock(&host.lock);
    }
    if (!taken) {
        sy_free(c);
        done(ctx);
    }
}

/* Take calls out of the queue that match ctx (all when `every`), and let their waiters go. */
static void refuse_calls(const void *ctx, bool every)
{
    struct call **at = &host.first;
    while (*at) {
        struct call *c = *at;
        if ((!every && c->ctx != ctx) || (c->done && !every)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        if (c->done)
            sy_free(c);
        else
            c->refused = true;
    }
    host.last = at;
    pthread_cond_broadcast(&host.finished);
}

void sy_host_cancel(const void *ctx)
{
    pthread_mutex_lock(&host.lock);
    refuse_calls(ctx, false);
    pthread_mutex_unlock(&host.lock);
}

void sy_host_try_cancel(const void *ctx)
{
    if (pthread_mutex_trylock(&host.lock))
        return;
    refuse_calls(ctx, false);
    pthread_mutex_unlock(&host.lock);
}

/* ---- printing ---- */

void sy_host_set_printer(void (*printer)(const char *text)) { host.printer = printer; }

void sy_host_print(const char *text)
{
    if (host.printer) {
        host.printer(text);
        return;
    }
    fprintf(stdout, "%s\n", text);
    fflush(stdout);
}

/* ---- the thread ---- */

void sy_host_adopt(lua_State *L)
{
    pthread_once(&once, init_conditions);
    host.L = L;
    host.thread = pthread_self();
    atomic_store(&host.known, true);
}

static void *lua_thread(void *arg)
{
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT); /* sent here to end a chunk */
    sigaddset(&ours, SIGURG); /* ... or a job */
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    sy_host_adopt(arg);
    pthread_mutex_lock(&host.lock);
    pthread_cond_broadcast(&host.finished);
    while (!host.stopping) {
        run_pending(arg);
        host.woken = false;
        pthread_mutex_unlock(&host.lock);
        double next = sy_host_jobs.serve ? sy_host_jobs.serve(arg) : HUGE_VAL;
        pthread_mutex_lock(&host.lock);
        if (host.first || host.woken || host.stopping)
            continue;
        if (next > LONG)
            pthread_cond_wait(&host.work, &host.lock);
        else if (next > 0)
            sleep_on(&host.work, next);
    }
    pthread_mutex_unlock(&host.lock);
    return NULL;
}

static void on_urgent(int number)
{
    (void)number;
    if (!sy_host_is_lua_thread())
        return;
    if (atomic_load(&host.ending))
        sy_interrupt_for_good();
    else if (sy_host_jobs.urged)
        sy_host_jobs.urged();
}

int sy_host_start(lua_State *L)
{
    struct sigaction urgent = {.sa_handler = on_urgent};
    pthread_once(&once, init_conditions);
    atomic_store(&host.known, false);
    sigaction(SIGURG, &urgent, NULL);
    pthread_t thread;
    int rc = sy_thread_start(&thread, lua_thread, L);
    if (rc)
        return -1;
    pthread_mutex_lock(&host.lock);
    while (!atomic_load(&host.known))
        pthread_cond_wait(&host.finished, &host.lock);
    atomic_store(&host.started, true);
    pthread_mutex_unlock(&host.lock);
    return 0;
}

void sy_host_stop(void)
{
    pthread_once(&once, init_conditions);
    pthread_mutex_lock(&host.lock);
    host.stopping = true;
    refuse_calls(NULL, true);
    pthread_cond_broadcast(&host.work);
    pthread_mutex_unlock(&host.lock);
    bool ours = atomic_exchange(&host.started, false); /* first: no handler signals who is joined */
    if (ours && !sy_host_is_lua_thread())
        pthread_join(host.thread, NULL);
}

/* ---- interrupts ---- */

void sy_host_chunk(bool begins) { atomic_fetch_add(&host.chunks, begins ? 1 : -1); }

bool sy_host_was_interrupted(void) { return lsy_interrupt_wanted(); }
void sy_host_clear_interrupt(void) { sy_interrupt_clear(); }

bool sy_host_urge(void) { return atomic_load(&host.started) && !pthread_kill(host.thread, SIGURG); }

void sy_host_end(void)
{
    atomic_store(&host.ending, true);
    sy_host_urge();
}

bool sy_host_is_ending(void) { return atomic_load(&host.ending); }

bool sy_host_interrupt(void)
{
    if (!atomic_load(&host.known))
        return false;
    if (!pthread_equal(pthread_self(), host.thread)) {
        pthread_kill(host.thread, SIGINT); /* the handler comes here again, there */
        return true;
    }
    if (!atomic_load(&host.started) && !atomic_load(&host.chunks))
        return false;
    sy_interrupt_here();
    return true;
}
