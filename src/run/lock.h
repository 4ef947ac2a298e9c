/* One writer of a run: a lock file that holds the owner's process, for the message to others.
 *
 *  1. The lock is the kernel's (an open file description lock), so it ends with its owner, however
 *     that dies; a file left behind means nothing.  Only its owner may remove the file, with the
 *     run's directory: who has opened it before finds that it has no name and opens another.
 *  2. On a file system without locks the file's word counts: process, its start time and the
 *     machine's boot must all be as written for the owner to be alive.
 *  3. Asking (sy_lock_held) takes no lock, so it cannot make a writer's start fail.
 *  4. The file is a regular one in its folder: a link is not followed, a named pipe not waited for.
 */
#ifndef SY_RUN_LOCK_H
#define SY_RUN_LOCK_H

#include "switchyard/err.h"

#include <stdbool.h>
#include <stdint.h>

struct sy_dir;
struct sy_lock;

/* Owned; release it.  `in`: the folder of path (base/dir.h), or NULL.  STATE: "`what` is being
 * written by process 4711". */
struct sy_lock *sy_lock_take(const struct sy_dir *in, const char *path, const char *what,
                             struct sy_err *err);
/* Whose lock it is, for people who look into the file: the run's id, behind what names the
 * process. */
void sy_lock_sign(struct sy_lock *lock, const char *id);
/* Is it still the file of that name?  Not when somebody deleted it: then another may be locked. */
bool sy_lock_named(const struct sy_lock *lock, const struct sy_dir *in, const char *path);
void sy_lock_release(struct sy_lock *lock); /* NULL is fine */
/* Is the owner alive?  *pid: of the owner or the last one; 0 when unknown. */
bool sy_lock_held(const char *path, int64_t *pid);

#endif
