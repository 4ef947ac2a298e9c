/* What the bindings of data share: blocks that a userdata owns, and long work that shows how far it
 * is and can be interrupted.  Layer bind/data. */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"

#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_META "switchyard.block"
#define FIRST_SHOWN 0.5 /* seconds: what is faster shows nothing */
#define BETWEEN 0.1

/* ---- blocks ---- */

static int block_gc(lua_State *L)
{
    void **slot = lua_touserdata(L, 1);
    sy_free(*slot);
    *slot = NULL;
    return 0;
}

void **lsy_new_block(lua_State *L)
{
    void **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    if (luaL_newmetatable(L, BLOCK_META))
        lsy_set(L, "__gc", block_gc);
    lua_setmetatable(L, -2);
    return slot;
}

/* ---- progress ---- */

static int watch_progress(void *ctx, double fraction)
{
    struct lsy_watch *w = ctx;
    double now = sy_now();
    if (now - w->began > FIRST_SHOWN && now - w->drawn > BETWEEN && isatty(STDERR_FILENO)) {
        w->drawn = now;
        w->shown = true;
        fprintf(stderr, "\r%s %3.0f%%", w->what, floor(100 * fraction));
        fflush(stderr);
    }
    return lsy_interrupt_wanted();
}

/* From any thread of the pool. */
static int watch_stop(void)
{
    return lsy_interrupt_wanted();
}

void lsy_watch_begin(struct lsy_watch *w, const char *what)
{
    *w = (struct lsy_watch){.what = what, .began = sy_now()};
    w->progress = (struct sy_progress){watch_progress, w, watch_stop};
}

void lsy_watch_end(struct lsy_watch *w)
{
    if (w->shown)
        fprintf(stderr, "\r%*s\r", (int)strlen(w->what) + 5, "");
    w->shown = false;
}

int lsy_watch_fail(lua_State *L, const struct sy_err *err)
{
    if (err->code == SY_E_CANCELLED && lsy_interrupt_wanted())
        return lsy_raise_interrupted(L);
    return lsy_fail_or_raise(L, err);
}
