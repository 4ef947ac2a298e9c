/* States of runs: one table, for who trains them and who looks at them.
 *
 *  1. What a state means stands in its row and is asked of the row; the name is for people, for
 *     scripts (r.state) and for stores, so it is never changed.
 *  2. A state that a newer program stored is UNKNOWN. */
#ifndef SWITCHYARD_RUN_STATE_H
#define SWITCHYARD_RUN_STATE_H

#include <stdbool.h>

/* X(ID, name, owned, still)
 * owned: a process keeps it up, and without one it is CRASHED; still: nothing more comes until it
 * is asked for */
#define SY_RUN_STATE_MAP(X)                                                                        \
    X(NEW, "new", false, false) /* nothing was told yet */                                         \
    X(RUNNING, "running", true, false)                                                             \
    X(PAUSED, "paused", true, true)                                                                \
    X(DONE, "done", false, true)                                                                   \
    X(STOPPED, "stopped", false, true)                                                             \
    X(FAILED, "failed", false, true)                                                               \
    /* of stored runs alone */                                                                     \
    X(CRASHED, "crashed", false, false)                                                            \
    X(DAMAGED, "damaged", false, false)                                                            \
    X(UNREADABLE, "unreadable", false, false)                                                      \
    X(UNKNOWN, "unknown", false, false)

enum sy_run_state {
#define X(id, name, owned, still) SY_RUN_##id,
    SY_RUN_STATE_MAP(X)
#undef X
        SY_RUN_STATES
};

struct sy_run_state_row {
    const char *name;
    bool owned, still;
};
const struct sy_run_state_row *sy_run_state_row(enum sy_run_state s); /* borrowed for ever */
const char *sy_run_state_name(enum sy_run_state s); /* "running" ... */
enum sy_run_state sy_run_state_find(const char *name); /* or UNKNOWN */

#endif
