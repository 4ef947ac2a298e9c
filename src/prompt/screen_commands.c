/* What Lua may ask of the screen: :dump, :overlay and their like.  Layer prompt.
 *
 *     Lua thread: command --post--> the workbench's thread does it --> reply --> Lua thread goes on
 *
 * The workbench never waits for Lua but inside a completion, when no chunk runs; so the wait here
 * is short, and limited. */
#include "prompt/prompt_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "bind/thread/host.h"
#include "workbench/workbench.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define WAIT_SECONDS 5.0
#define LOOK 0.002

struct request {
    atomic_int owners; /* Lua's thread and the workbench's */
    atomic_bool done;
    char *name, *args;
    char reply[512];
    int status;
};

static atomic_bool bench_wanted;

bool sy__bench_wanted(void)
{
    return atomic_exchange(&bench_wanted, false);
}

static void unref_request(struct request *r)
{
    if (atomic_fetch_sub(&r->owners, 1) != 1)
        return;
    sy_free(r->name);
    sy_free(r->args);
    sy_free(r);
}

static void run_request(void *ctx)
{
    struct request *r = ctx;
    r->status = sy_workbench_command(r->name, r->args, r->reply, sizeof r->reply);
    atomic_store(&r->done, true);
    unref_request(r);
}

/* ---- on the Lua thread ---- */

/* Without the workbench only the way back is there. */
static int on_plain_screen(const char *name, const char *args, char *reply, size_t n)
{
    if (!strcmp(name, "plain")) {
        atomic_store(&bench_wanted, true);
        return 0;
    }
    if (sy_workbench_check(name, args, reply, n))
        return -1;
    snprintf(reply, n, "%s: not on the plain screen; C-x a or :plain goes back to the panel", name);
    return -1;
}

int sy__screen_command(const char *name, const char *args, char *reply, size_t n)
{
    struct request *r = sy_workbench_knows(name) ? sy_calloc(1, sizeof *r) : NULL;
    *reply = 0;
    if (!r)
        return -1;
    r->name = sy_strdup(name);
    r->args = sy_strdup(args);
    atomic_init(&r->owners, 2);
    if (!r->name || !r->args || !sy_workbench_post(run_request, r)) {
        atomic_store(&r->owners, 1);
        unref_request(r);
        return on_plain_screen(name, args, reply, n);
    }
    double end = sy_now() + WAIT_SECONDS;
    while (!atomic_load(&r->done) && sy_now() < end)
        sy_sleep(LOOK);
    int status = -1;
    if (atomic_load(&r->done)) {
        status = r->status;
        snprintf(reply, n, "%s", r->reply);
    } else
        snprintf(reply, n, "%s: the screen does not answer", name);
    unref_request(r);
    return status;
}
