/* The Lua thread and how others reach it.  Layer bind/thread.
 *
 * One thread owns the lua_State.  In scripts, -e and pipes it is the main thread; at the prompt it
 * is a thread of its own, so that the terminal is never blocked.
 *
 *     any thread   --sy_host_call-->  queue  --> runs between two chunks, or inside sy_host_wait
 *
 *  1. Whoever waits on the Lua thread for something that another thread does (r:wait(), r:eval(),
 *     any message to a trainer) must wait with sy_host_wait: the trainer may be inside
 *     sy_host_call.
 *  2. A call that is posted is run, cancelled, or refused at shutdown; the waiter always returns.
 *  3. Calls run in the order of posting, each under lua_pcall of its own: an error that escapes is
 *     printed as one line.
 */
#ifndef SY_BIND_HOST_H
#define SY_BIND_HOST_H

#include <stdbool.h>
#include <stddef.h>

struct lua_State;

typedef void (*sy_host_fn)(struct lua_State *L, void *ctx);

/* Run fn(L, ctx) on the Lua thread and wait for its end; at once when this is the Lua thread.
 * Any thread.  0: done; -1: cancelled, or the program is ending. */
int sy_host_call(sy_host_fn fn, void *ctx);
/* Let calls with this ctx that have not begun return -1. */
void sy_host_cancel(const void *ctx);
/* unless the lock is held: for a thread that may not wait */
void sy_host_try_cancel(const void *ctx);
/* On the Lua thread: run the calls that are pending, and wait for more, up to `seconds` or until
 * sy_host_wake; returns how many ran.  -1 when the user interrupts (free what you hold, then raise
 * with lsy_raise_interrupted). */
int sy_host_wait(struct lua_State *L, double seconds);
void sy_host_wake(void); /* any thread: let sy_host_wait return */

/* For messages of runs ("[run] bold-ferret: done"): a whole line or several, from any thread.  At
 * the prompt they appear above the line that is being typed. */
void sy_host_print(const char *text);
void sy_host_set_printer(void (*printer)(const char *text)); /* the prompt's; NULL: stdout */

/* What the scheduler of jobs (job.c) does for the host; set when jobs are opened. */
extern struct sy_host_jobs {
    bool (*killed)(void);               /* is the job that runs to end? */
    void (*urged)(void);                /* end it, if it has a number; in a signal handler */
    double (*serve)(struct lua_State *L); /* run what is due -> seconds until something is */
} sy_host_jobs;

/* What the binding of runs tells the program (all optional, set once, called on the Lua thread). */
struct sy_host_runs {
    int (*live)(void);                     /* how many runs train now */
    int (*wait_all)(struct lua_State *L);  /* at the end of a script: wait; 0, or 1: a run failed */
    void (*stop_all)(struct lua_State *L); /* at the end: save each, stop */
    /* then: what could not be saved was told, and the status is 1 */
    bool (*unsaved)(void);
};
extern struct sy_host_runs sy_host_runs;

/* When a fault is about to end the program, or what is on the Lua thread does not end (rescue.c):
 * between open and close, save the live runs by a thread of its own, wait for that, for a minute at
 * most, and tell of it on standard error.  sy_rescue is async-signal-safe; any thread. */
void sy_rescue_open(void);
void sy_rescue(int signal_number);
void sy_rescue_close(void);

/* What the workbench offers to Lua (NULL: there is no screen).  Set once, before the Lua thread
 * starts. */
struct sy_host_screen {
    /* :overlay :dump :theme :plain :watch, or a name that the screen adds, with the text behind it.
     * On the Lua thread: hand it over to the screen's thread.  0: done, *reply (maybe "") is shown;
     * -1: *reply says why not.  A name that is not known: -1 with an empty reply. */
    int (*command)(const char *name, const char *args, char *reply, size_t n);
};
extern struct sy_host_screen sy_host_screen;
/* Is the screen there now, or the plain one?  Any thread. */
bool sy_host_has_screen(void);
void sy_host_set_screen(bool open);

/* Columns that what is printed may take: 80, or what the prompt has set.  Any thread. */
int sy_host_columns(void);
void sy_host_set_columns(int columns);

/* Are lines drawn of ASCII alone?  No, until the program or the screen says so.  Any thread. */
bool sy_host_ascii(void);
void sy_host_set_ascii(bool ascii);

/* How what is printed may be coloured, as escape sequences, a line each: what dims, then one for
 * each of the colours that tell things apart.  Empty, as before it is set: not at all.  Any
 * thread. */
#define SY_HOST_PENS 1024
void sy_host_pens(char out[SY_HOST_PENS]);
void sy_host_set_pens(const char *lines); /* one that is too long is none */

/* ---- for the program ---- */

struct sy_state_options;
/* The calling thread becomes the Lua thread. */
void sy_host_adopt(struct lua_State *L);
/* Start the Lua thread for L, created here before and not touched here again.  0, or -1. */
int sy_host_start(struct lua_State *L);
/* Post without waiting; done(ctx) is called on the Lua thread afterwards. */
void sy_host_post(sy_host_fn fn, void *ctx, void (*done)(void *ctx));
void sy_host_stop(void); /* refuse what is pending; end and join the thread that was started */
bool sy_host_is_lua_thread(void);

/* Interrupts.  A script's stays until the program ends.  At the prompt one belongs to the chunk
 * that was posted, also when it has not begun yet, and is cleared when that has ended (or by a hook
 * of a run that it ended meanwhile).
 *
 * Async-signal-safe, any thread: end what runs on the Lua thread.  False: nothing runs (of a
 * script), or there is no Lua thread. */
bool sy_host_interrupt(void);
/* End the job that runs on the Lua thread (job.h), not a chunk that the prompt waits for. */
bool sy_host_urge(void);
/* The program is to end: chunks, jobs and hooks are interrupted, those that begin from now on, too.
 * To be posted afterwards: sy_host_runs.stop_all.  Async-signal-safe, any thread, once
 * sy_host_start has returned. */
void sy_host_end(void);
bool sy_host_is_ending(void);
/* Something that can be interrupted begins or ends on the Lua thread; may be nested. */
void sy_host_chunk(bool begins);
bool sy_host_was_interrupted(void);
void sy_host_clear_interrupt(void); /* Lua thread, or before it was started */

#endif
