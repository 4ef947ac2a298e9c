/* Checkpoints of runs for Lua.  Layer bind/run.  Methods of a run:
 *
 *   run:set_dir(path, keep, keep_every)   checkpoints go there from now on
 *   run:dir()                             that folder, or nil
 *   run:set_config(text, id)              goes into each
 *   run:checkpoint() -> path              save now, and wait for it; nil, message, code
 *   run:checkpoint_to(dir, sub) -> path, step
 *                                         of the current state, into another folder (sub in it:
 *                                         start, undo)
 *   run:saved() -> {step=, path=, bytes=, pause=, seconds=, asynchronous=}
 *                                         of the newest; nil: none
 *   run:checkpoint_bytes()                what one will take
 *   run:load(path, force) -> true         (held, or not started) nil, message, code
 *   run:stored_hash(path) -> 16 hex digits
 *                                         of the tensors in a checkpoint of it (held); nil,
 *                                         message, code
 *
 * Functions of the module "switchyard.engine" (entries of a journal: journal.c):
 *
 *   engine.checkpoints(dir, verify) -> list of {step=, path=, bytes=, ok=, id=}
 *   engine.find_checkpoint(dir, step) -> path, step      newest whole one, at most of this step
 *   engine.read_checkpoint(path) -> {run=, id=, config=, hash=, step=, tokens=, hyper=, journal=}
 *   engine.discard_checkpoints(dir, step, sub)           those with a greater step
 *   engine.share_checkpoint(path, dir, sub, id) -> path  the same in dir/sub as one of run id, by
 *                                                        hard links
 */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"
#include "bind/tensor/tensor.h"

#include "base/hash.h"
#include "base/mem.h"
#include "train/checkpoint.h"

#include <string.h>

/* ---- saving and loading ---- */

static int run_set_dir(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *path = luaL_checkstring(L, 2);
    int64_t keep = luaL_optinteger(L, 3, 2), keep_every = luaL_optinteger(L, 4, 0);
    lsy_hold(L, 1);
    int rc = sy_trainer_set_dir(t, path, keep > 1000000 ? 1000000 : (int)keep, keep_every, &err);
    sy_trainer_release(t);
    if (rc)
        return lsy_fail_or_raise(L, &err);
    lsy_run_housed(lua_touserdata(L, 1));
    lua_pushboolean(L, 1);
    return 1;
}

static int run_dir(lua_State *L)
{
    lua_pushstring(L, sy_trainer_dir(lsy_check_trainer(L, 1)));
    return 1;
}

static int run_set_config(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *id = luaL_optstring(L, 3, "");
    luaL_argcheck(L, strlen(id) == 0 || strlen(id) == SY_RUN_ID - 1, 3, "is no run's id");
    if (sy_trainer_set_config(lsy_check_trainer(L, 1), luaL_checkstring(L, 2), id, &err))
        return lsy_raise(L, &err);
    return 0;
}

static int checkpoint_held(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    char path[SY_PATH_MAX];
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    int rc = sy_trainer_checkpoint(t, path, sizeof path, &err);
    sy_trainer_release(t);
    if (rc)
        return lsy_fail_or_raise(L, &err);
    lua_pushstring(L, path);
    return 1;
}

/* Held here and not in C only, so that the host is served while we wait. */
static int run_checkpoint(lua_State *L) { return lsy_held(L, checkpoint_held); }
/* run:checkpoint_to(dir) -> path, step */
static int run_checkpoint_to(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved s;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *dir = luaL_checkstring(L, 2), *sub = luaL_optstring(L, 3, NULL);
    lsy_hold(L, 1);
    int rc = sy_trainer_checkpoint_to(t, dir, sub, &s, &err);
    sy_trainer_release(t);
    if (rc)
        return lsy_fail_or_raise(L, &err);
    lua_pushstring(L, s.path);
    lua_pushinteger(L, s.step);
    return 2;
}

static int run_saved(lua_State *L)
{
    struct sy_saved s;
    if (!sy_trainer_saved(lsy_check_trainer(L, 1), &s))
        return 0;
    lua_createtable(L, 0, 6);
    lsy_set_integer(L, "step", s.step);
    lsy_set_text(L, "path", s.path);
    lsy_set_integer(L, "bytes", (int64_t)s.bytes);
    lsy_set_number(L, "pause", s.pause);
    lsy_set_number(L, "seconds", s.seconds);
    lsy_set_boolean(L, "asynchronous", s.asynchronous);
    return 1;
}

static int run_checkpoint_bytes(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    lsy_hold(L, 1);
    lua_pushinteger(L, (lua_Integer)sy_checkpoint_bytes(t));
    sy_trainer_release(t);
    return 1;
}

static int run_load(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *path = luaL_checkstring(L, 2);
    lsy_hold(L, 1);
    int rc = sy_trainer_load(t, path, lua_toboolean(L, 3), &err);
    sy_trainer_release(t);
    if (rc && err.code == SY_E_STATE)
        return lsy_fail(L, &err); /* other data, another program: the caller may force it */
    return lsy_true_or_fail(L, rc, &err);
}

static int run_stored_hash(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    const char *path = luaL_checkstring(L, 2);
    uint64_t hash;
    char hex[17];
    lsy_hold(L, 1);
    int rc = sy_trainer_stored_hash(t, path, &hash, &err);
    sy_trainer_release(t);
    if (rc && err.code == SY_E_MEMORY)
        return lsy_raise(L, &err);
    if (rc) /* whatever is wrong with it */
        return lsy_fail(L, &err);
    sy_hash_hex(hash, hex);
    lua_pushstring(L, hex);
    return 1;
}

/* ---- folders ---- */

/* Lists are owned by a userdata, so that an error on the way does not lose them. */
static struct sy_saved *owned_list(lua_State *L, struct sy_saved *list, int n)
{
    struct sy_saved *copy = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *copy, 0);
    if (n)
        memcpy(copy, list, (size_t)n * sizeof *copy);
    sy_free(list);
    return copy;
}

static int l_checkpoints(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved *list;
    int n;
    if (sy_checkpoint_list(luaL_checkstring(L, 1), lua_toboolean(L, 2), &list, &n, &err))
        return lsy_fail_or_raise(L, &err);
    list = owned_list(L, list, n);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        lua_createtable(L, 0, 4);
        lsy_set_integer(L, "step", list[i].step);
        lsy_set_integer(L, "bytes", (int64_t)list[i].bytes);
        lsy_set_text(L, "path", list[i].path);
        lsy_set_text(L, "id", list[i].id);
        lsy_set_boolean(L, "ok", list[i].ok);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int l_find_checkpoint(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved s;
    if (sy_checkpoint_find(luaL_checkstring(L, 1), luaL_optinteger(L, 2, -1), &s, &err))
        return lsy_fail_or_raise(L, &err);
    lua_pushstring(L, s.path);
    lua_pushinteger(L, s.step);
    return 2;
}

static void push_image(lua_State *L, const struct sy_image *image)
{
    char hex[17];
    lua_createtable(L, 0, 9);
    lsy_set_text(L, "run", image->run);
    lsy_set_text(L, "id", image->id);
    if (image->config)
        lsy_set_text(L, "config", image->config);
    lsy_set_integer(L, "step", image->status.step);
    lsy_set_integer(L, "tokens", image->status.tokens);
    lsy_set_number(L, "loss", image->status.loss);
    lsy_set_number(L, "val_loss", image->status.val_loss);
    lsy_set_integer(L, "sampling", image->sampling);
    if (!image->by_step)
        lsy_set_integer(L, "windows", (lua_Integer)image->place.windows);
    sy_hash_hex(image->hash, hex);
    lsy_set_text(L, "hash", image->hash ? hex : NULL);
    lua_createtable(L, 0, SY_HYPER_COUNT);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        lsy_push_hyper(L, (enum sy_hyper_id)i, image->hyper.v[i]);
        lua_setfield(L, -2, sy_hyper_spec((enum sy_hyper_id)i)->name);
    }
    lsy_set_text(L, "schedule", sy_schedule_name(image->hyper.schedule));
    lua_setfield(L, -2, "hyper");
    lua_createtable(L, image->njournal, 0);
    for (int i = 0; i < image->njournal; i++) {
        lsy_push_entry(L, &image->journal[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "journal");
}

#define META_IMAGE "switchyard.checkpoint"

static int image_gc(lua_State *L)
{
    sy_image_free(lsy_take_handle(L, 1, META_IMAGE));
    return 0;
}

static int l_read_checkpoint(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *path = luaL_checkstring(L, 1);
    void **slot = lsy_new_handle(L, META_IMAGE);
    if (!(*slot = sy_checkpoint_read(path, &err)))
        return lsy_fail_or_raise(L, &err);
    push_image(L, *slot);
    return 1;
}

static int l_discard_checkpoints(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int rc = sy_checkpoint_discard(luaL_checkstring(L, 1), luaL_optstring(L, 3, NULL),
                                   luaL_checkinteger(L, 2), &err);
    return lsy_true_or_fail(L, rc, &err);
}

static int l_share_checkpoint(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_saved s;
    if (sy_checkpoint_share(luaL_checkstring(L, 1), luaL_checkstring(L, 2),
                            luaL_optstring(L, 3, NULL), luaL_optstring(L, 4, ""), &s, &err))
        return lsy_fail_or_raise(L, &err);
    lua_pushstring(L, s.path);
    return 1;
}

/* ---- registration ---- */

static const luaL_Reg methods[] = {
    {"set_dir", run_set_dir},       {"dir", run_dir},     {"set_config", run_set_config},
    {"checkpoint", run_checkpoint}, {"saved", run_saved},
    {"checkpoint_bytes", run_checkpoint_bytes},
    {"load", run_load},             {"stored_hash", run_stored_hash},
    {"checkpoint_to", run_checkpoint_to}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"checkpoints", l_checkpoints},
                                     {"find_checkpoint", l_find_checkpoint},
                                     {"read_checkpoint", l_read_checkpoint},
                                     {"discard_checkpoints", l_discard_checkpoints},
                                     {"share_checkpoint", l_share_checkpoint},
                                     {NULL, NULL}};

void lsy_open_checkpoint(lua_State *L)
{
    lsy_handle_meta(L, META_IMAGE, NULL, image_gc);
    lsy_add_methods(L, META_RUN, methods);
    lsy_add_functions(L, functions);
}
