/* The live runs, when a fault ends the program, or what runs does not end when it is told to: the
 * Lua thread is in what cannot be interrupted, as a pattern of Lua's that takes for ever.  Layer
 * bind/run.
 *
 *     handler of a fault --sy_rescue: a semaphore--> our thread --stop--> trainers: a checkpoint
 *             \-- waits, sleeping ------------------------/ done
 *
 *  1. The thread that failed does nothing but wait: it may hold any lock, and what it was doing
 *     cannot be trusted.  The trainers' threads, which have nothing to do with it, save at their
 *     borders as they do at any end.
 *  2. Nobody waits without a limit: a lock that the failed thread holds, or a fault in a trainer,
 *     would make the wait endless.  What was saved before stays as it is, for a checkpoint is only
 *     ever whole (train/checkpoint.h).
 *  3. The run says in its events what happened, so that whoever resumes it knows; replay proves
 *     that the fault has not touched it. */
#include "bind/run/run_int.h"
#include "bind/thread/host.h"

#include "base/clock.h"
#include "base/thread.h"
#include "base/wait.h"
#include "run/store.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIMIT 60.0      /* seconds, when the prompt or a chunk failed: a step may be long */
#define LIMIT_OTHER 5.0 /* when it may have been a trainer: other runs may still be saved */
#define LIMIT_LOCK 2    /* for the list of runs */
#define SLICE 0.05

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct run *runs; /* by next_rescued */
static sem_t asked;
static pthread_t thread;
static bool open;
static atomic_bool begun, finished, closing;
static atomic_int number;
static double limit;

/* ---- which runs ---- */

void lsy_rescue_add(struct run *r)
{
    pthread_mutex_lock(&lock);
    r->next_rescued = runs;
    runs = r;
    pthread_mutex_unlock(&lock);
}

void lsy_rescue_forget(struct run *r)
{
    pthread_mutex_lock(&lock);
    for (struct run **at = &runs; *at; at = &(*at)->next_rescued)
        if (*at == r) {
            *at = r->next_rescued;
            break;
        }
    pthread_mutex_unlock(&lock);
}

/* ---- saving, on our thread ---- */

/* Not through stdio, whose locks the failed thread may hold. */
__attribute__((format(printf, 1, 2))) static void say_line(const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    n = n < 0 ? 0 : n >= (int)sizeof line ? (int)sizeof line - 1 : n;
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

static bool is_live(struct run *r)
{
    struct sy_status s;
    sy_trainer_status(r->trainer, &s);
    return sy_run_state_row(s.state)->owned;
}

static void save_run(struct run *r, double end)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved saved;
    struct sy_status s;
    char text[128];
    const char *name = sy_trainer_name(r->trainer);
    while (!sy_trainer_wait(r->trainer, INT64_MAX, SLICE) && sy_now() < end)
        sy_host_try_cancel(r);
    sy_trainer_status(r->trainer, &s);
    if (!sy_trainer_saved(r->trainer, &saved) || saved.step != s.step) {
        say_line("[%s] step %lld could not be saved\n", name, (long long)s.step);
        return;
    }
    snprintf(text, sizeof text, "saved while signal %d (%s) ended the program",
             atomic_load(&number), strsignal(atomic_load(&number)));
    pthread_mutex_lock(&r->lock);
    struct sy_store *store = r->store;
    /* the trainer takes it with its own lock, which a flush takes */
    pthread_mutex_unlock(&r->lock);
    if (store) {
        sy_store_post(store, SY_STORE_EVENTS, s.step, sy_event_name(SY_EVENT_NOTE), text, NULL, 0);
        sy_store_flush(store, &err);
    }
    say_line("[%s] saved at step %lld; switchyard resume %s goes on\n", name, (long long)saved.step,
             sy_run_word(sy_trainer_dir(r->trainer), name));
}

static void save_all(void)
{
    struct sy_deadline until = sy_deadline_in(LIMIT_LOCK);
    double end = sy_now() + limit;
    bool any = false;
    if (!sy_lock_wait(&lock, &until))
        return;
    for (struct run *r = runs; r; r = r->next_rescued) {
        r->rescued = is_live(r);
        any |= r->rescued;
    }
    if (any)
        say_line("switchyard: signal %d (%s): saving the runs first (Ctrl-C: not)\n",
                 atomic_load(&number), strsignal(atomic_load(&number)));
    for (struct run *r = runs; r; r = r->next_rescued)
        if (r->rescued) {
            atomic_store(&r->closing, true); /* hooks would wait for the Lua thread */
            sy_trainer_stop(r->trainer);     /* all at once, then one after the other */
        }
    for (struct run *r = runs; r; r = r->next_rescued)
        if (r->rescued)
            save_run(r, end);
    pthread_mutex_unlock(&lock);
}

static void *wait_and_save(void *arg)
{
    (void)arg;
    while (sem_wait(&asked) && errno == EINTR)
        continue;
    if (!atomic_load(&closing))
        save_all();
    atomic_store(&finished, true);
    return NULL;
}

void sy_rescue_open(void)
{
    if (open || sem_init(&asked, 0, 0))
        return;
    open = !sy_thread_start(&thread, wait_and_save, NULL);
}

void sy_rescue_close(void)
{
    if (!open)
        return;
    open = false;
    atomic_store(&closing, true);
    sem_post(&asked);
    pthread_join(thread, NULL);
    sem_destroy(&asked);
}

/* ---- in the handler ---- */

static bool is_main_thread(void)
{
    return getpid() == gettid();
}

void sy_rescue(int signal_number)
{
    if (!open)
        return;
    if (!atomic_exchange(&begun, true)) {
        limit = is_main_thread() || sy_host_is_lua_thread() ? LIMIT : LIMIT_OTHER;
        atomic_store(&number, signal_number);
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        sem_post(&asked);
    }
    /* What the thread itself waits for has limits; this is for one that meets a lock of ours. */
    for (double waited = 0; !atomic_load(&finished) && waited < limit + 2 * LIMIT_LOCK;
         waited += SLICE / 5)
        sy_sleep(SLICE / 5);
}
