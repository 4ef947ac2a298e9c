/* Runs and their forks as a tree, as `switchyard runs --tree` and tree() print it.  Layer run. */
#ifndef SY_RUN_RUNS_TREE_H
#define SY_RUN_RUNS_TREE_H

#include "run/store.h"

#include "base/str.h"

/* Append a line for each run of sy_runs_list(dir), in it state, step, validation loss and where it
 * was forked; below it what was done to it (its journal), then its forks.  Every text is safe for a
 * terminal; lines are as long as they are.  MEMORY. */
int sy_runs_tree(struct sy_str *out, const char *dir, const struct sy_runs *runs, bool ascii,
                 struct sy_err *err);

#endif
