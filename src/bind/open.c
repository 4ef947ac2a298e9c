/* Creation of the Lua state: allocator with a limit, libraries, the embedded modules.  Layer bind.
 *
 *  1. Lua's objects are small and many, so they come from the C library and not from base/mem.h
 *     (64-byte blocks); they are counted here.  At the limit Lua collects, then raises its ordinary
 *     "not enough memory", long before the system would kill the process.
 *  2. Only text is loaded (a forged binary chunk can crash any Lua).
 *  3. `require "switchyard"` gives the table of all globals that this program adds; the embedded
 *     modules are found as "switchyard.NAME" before any file.
 *  4. The embedded modules see the globals as they were made: whoever names a variable `data`,
 *     `model` or `table` has changed his own names only.
 */
#include "bind/open.h"
#include "bind/core/globals.h"
#include "bind/core/loading.h"
#include "bind/core/open.h"
#include "bind/core/state.h"
#include "bind/data/open.h"
#include "bind/prompt/open.h"
#include "bind/run/open.h"
#include "bind/serve/open.h"
#include "bind/tensor/open.h"
#include "bind/thread/open.h"

#include "base/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MOST ((size_t)8 << 30)

/* ---- memory ---- */

static void *allot(void *ud, void *block, size_t old, size_t bytes)
{
    struct lsy_state *s = ud;
    if (!block)
        old = 0; /* it is a type tag then */
    if (!bytes) {
        free(block);
        s->live -= old;
        return NULL;
    }
    if (bytes > old && s->limit && s->live - old + bytes > s->limit)
        return NULL;
    void *p = realloc(block, bytes);
    if (!p)
        return NULL;
    s->live += bytes - old;
    if (s->live > s->peak)
        s->peak = s->live;
    return p;
}

static int panic(lua_State *L)
{
    const char *text = lua_tostring(L, -1);
    fprintf(stderr, "switchyard: error outside of any protected call: %s\n", text ? text : "?");
    return 0;
}

/* ---- everything ---- */

/* In this order: a later one may add to what an earlier one has made. */
static void (*const rooms[])(lua_State *) = {
    lsy_open_doc,        lsy_open_system,                                     /* core */
    lsy_open_job,        lsy_open_output, lsy_open_command,                   /* thread */
    lsy_open_gradient,   lsy_open_print,  lsy_open_tensor,     lsy_open_make, /* tensor */
    lsy_open_write,      lsy_open_bytes,  lsy_open_draw,       lsy_open_tensor_file,
    lsy_open_tokenizer,  lsy_open_data,   lsy_open_data_make,  lsy_open_pairs, /* data */
    lsy_open_mix,        lsy_open_batch,  lsy_open_objective,
    lsy_open_trace,      lsy_open_train,  lsy_open_run,        lsy_open_hyper, /* run */
    lsy_open_series,     lsy_open_enums,  lsy_open_checkpoint, lsy_open_store,
    lsy_open_store_read, lsy_open_journal, lsy_open_runs_table, lsy_open_why,
    lsy_open_model_file, lsy_open_derived,
    lsy_open_serve, /* serve */
    lsy_open_chunk, /* prompt */
};

static int open_all(lua_State *L)
{
    bool no_environment = lua_toboolean(L, 1);
    lua_settop(L, 0);
    if (no_environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    lsy_open_loading(L);
    lsy_open_interrupt(L);
    lsy_note_globals(L);
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        rooms[i](L);
    lsy_make_globals(L);
    lsy_open_frozen(L); /* those are ours already, as they were */
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.prelude");
    lua_call(L, 1, 0);
    lsy_keep_globals(L);
    lsy_publish(L);
    lsy_open_strict(L);
    return 0;
}

/* Half of the machine, but no more than what Lua's objects can be meant to take: bulk data lives in
 * tensors, which are not counted here. */
static size_t default_limit(void)
{
    size_t half = sy_machine_memory() / 2;
    return half < LIMIT_MOST ? half : LIMIT_MOST;
}

lua_State *sy_state_new(const struct sy_state_options *options, const char **why)
{
    static char text[256];
    struct lsy_state *s = calloc(1, sizeof *s);
    *why = "out of memory";
    if (!s)
        return NULL;
    lua_State *L = lua_newstate(allot, s);
    if (!L) {
        free(s);
        return NULL;
    }
    *(struct lsy_state **)lua_getextraspace(L) = s;
    s->limit = options->memory ? options->memory : default_limit();
    lua_atpanic(L, panic);
    lua_gc(L, LUA_GCSTOP); /* nothing of what follows is garbage */
    lua_pushcfunction(L, open_all);
    lua_pushboolean(L, options->no_environment);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        snprintf(text, sizeof text, "%s", lua_tostring(L, -1) ? lua_tostring(L, -1) : "?");
        *why = text;
        sy_state_free(L);
        return NULL;
    }
    lua_gc(L, LUA_GCRESTART);
    return L;
}

void sy_state_free(lua_State *L)
{
    struct lsy_state *s = lsy_state(L);
    s->closing = true;
    lua_close(L);
    free(s);
}
