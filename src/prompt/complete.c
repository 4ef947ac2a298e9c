/* Tab: the question goes to the Lua thread, and the answer is waited for a little.  Layer prompt.
 * A chunk or a hook may keep the Lua thread busy: then there is no completion, never a long wait.
 */
#include "prompt/prompt_int.h"

#include "base/mem.h"
#include "bind/thread/host.h"
#include "workbench/workbench.h"
#include "repl/editor.h"

#include <stdatomic.h>

#define WAIT_MS 400

struct completion {
    atomic_int owners; /* the Lua thread and this one: whoever leaves last frees it */
    atomic_bool done;
    char *line, *found;
    size_t point;
    bool files;
};

static void unref_completion(struct completion *c)
{
    if (atomic_fetch_sub(&c->owners, 1) != 1)
        return;
    sy_free(c->line);
    sy_free(c->found);
    sy_free(c);
}

static void look_up(struct lua_State *L, void *ctx)
{
    struct completion *c = ctx;
    c->found = sy_chunk_complete(L, c->line, c->point, &c->files);
}

static void on_done(void *ctx)
{
    struct completion *c = ctx;
    atomic_store(&c->done, true);
    unref_completion(c);
    sy_edit_wake(SY_WAKE_DONE);
}

static bool is_done(void *ctx)
{
    struct completion *c = ctx;
    return atomic_load(&c->done);
}

static bool wait_for(struct completion *c)
{
    if (sy_workbench_is_open())
        return sy_workbench_wait(is_done, c, WAIT_MS);
    while (!is_done(c)) /* what wakes us may be the answer to one before, which came too late */
        if (!sy_edit_wait(WAIT_MS))
            return false;
    return true;
}

char *sy__complete(const char *line, size_t point, bool *files)
{
    struct completion *c = sy__running ? NULL : sy_calloc(1, sizeof *c);
    char *found = NULL;
    if (!c || !(c->line = sy_strdup(line))) {
        sy_free(c);
        return NULL;
    }
    c->point = point;
    atomic_init(&c->owners, 2);
    sy_host_post(look_up, c, on_done);
    if (wait_for(c)) {
        found = c->found;
        c->found = NULL;
        *files = c->files;
    }
    unref_completion(c);
    return found;
}
