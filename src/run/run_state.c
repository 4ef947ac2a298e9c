/* The table of run states (switchyard/run_state.h). */
#include "switchyard/run_state.h"

#include <string.h>

static const struct sy_run_state_row rows[SY_RUN_STATES] = {
#define X(id, name, owned, still) {name, owned, still},
    SY_RUN_STATE_MAP(X)
#undef X
};

const struct sy_run_state_row *sy_run_state_row(enum sy_run_state s) { return &rows[s]; }
const char *sy_run_state_name(enum sy_run_state s) { return rows[s].name; }

enum sy_run_state sy_run_state_find(const char *name)
{
    for (int i = 0; i < SY_RUN_STATES; i++)
        if (!strcmp(rows[i].name, name))
            return (enum sy_run_state)i;
    return SY_RUN_UNKNOWN;
}
