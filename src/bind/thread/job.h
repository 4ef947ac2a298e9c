/* Jobs: Lua that waits without holding up the prompt.  Layer bind/thread.
 *
 * What is typed runs as a coroutine.  Where it has to wait (r:wait(), r:eval(), sleep) it yields;
 * when the wait outlasts a grace period and detaching is on, the chunk becomes job N and the
 * prompt has the Lua thread again.
 *
 *     typed --runs--> done within the grace period
 *        \--waits---> job N --wake--> runs, waits ... --> done, failed, or ended (Ctrl-C, kill)
 *
 *  1. Only the Lua thread runs jobs, one at a time: they switch at waits, never in between.
 *  2. A wait that cannot yield (below a C call: table.sort, string.gsub; in a hook) blocks the Lua
 *     thread as in a script, serving the host's queue.
 *  3. Jobs waiting for a run are woken by its trainer, others by their time: nothing polls.
 */
#ifndef SY_BIND_JOB_H
#define SY_BIND_JOB_H

#include <stdbool.h>

struct lua_State;

/* May a chunk that waits become a job?  Off: it is waited for, as in a script (lines of a pipe
 * depend on each other).  Any thread; off at the start. */
void sy_job_detach(bool on);
/* Ctrl-C at the prompt with nothing typed: end the job that holds up the Lua thread; else say which
 * job the next one, within a few seconds, ends: the newest.  False: there is none.  Any thread, not
 * from a signal handler. */
bool sy_job_interrupt(void);
int sy_job_count(void); /* jobs that have not ended; any thread */
void sy_jobs_end(struct lua_State *L); /* all of them: the program is to end; Lua thread */

#endif
