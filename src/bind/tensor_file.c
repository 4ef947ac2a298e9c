/* a:save(path) and tensor.load(path): .npy and .safetensors.  Layer bind. */
#include "bind/bind_int.h"

#include "ops/op.h"
#include "switchyard/io.h"

#include <string.h>

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), k = strlen(with);
    return n >= k && !strcmp(s + n - k, with);
}

static int unknown_ending(lua_State *L, const char *what, const char *path)
{
    return lsy_error(L, "%s: the name must end in .npy or .safetensors: it is '%s'", what, path);
}

/* The tensor at arg with its elements in row-major order; what is made stays on the stack. */
static struct sy_tensor *dense(lua_State *L, int arg)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_data(L, arg, "save", "the tensor");
    if (sy_tensor_contiguous(t))
        return t;
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (sy_apply(SY_OP_CONTIGUOUS_, &t, 1, NULL, slot, &err))
        lsy_raise(L, &err);
    return *slot;
}

static int add(struct sy_st_writer *w, const char *name, struct sy_tensor *t, struct sy_err *err)
{
    return sy_st_add(w, name, t->dtype, t->ndim, t->shape, sy_data(t), err);
}

static int save_one(lua_State *L, struct sy_tensor *t, const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    if (ends(path, ".npy")) {
        if (sy_npy_write(path, t->dtype, t->ndim, t->shape, sy_data(t), &err))
            return lsy_fail_or_raise(L, &err);
    } else {
        struct sy_st_writer *w = sy_st_begin(path, NULL, &err);
        if (w && add(w, "tensor", t, &err)) {
            sy_st_abort(w);
            w = NULL;
        }
        if (!w || sy_st_finish(w, &err))
            return lsy_fail_or_raise(L, &err);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/* Named tensors of the table at 1.  Two passes: what can raise comes before the writer exists. */
static int save_table(lua_State *L, const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    int list = (lua_newtable(L), lua_gettop(L));
    lua_pushnil(L);
    while (lua_next(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            return lsy_error(L, "save: keys must be names");
        lua_pushvalue(L, -2);
        if (dense(L, -2) == lsy_test_tensor(L, -2))
            lua_pushvalue(L, -2);
        lua_rawset(L, list);
        lua_settop(L, list + 1);
    }
    struct sy_st_writer *w = sy_st_begin(path, NULL, &err);
    lua_pushnil(L);
    while (w && lua_next(L, list)) {
        if (add(w, lua_tostring(L, -2), lsy_test_tensor(L, -1), &err)) {
            sy_st_abort(w);
            w = NULL;
            break;
        }
        lua_pop(L, 1);
    }
    if (!w || sy_st_finish(w, &err))
        return lsy_fail_or_raise(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* a:save(path), or tensor.save({name = tensor}, path) for .safetensors */
static int save(lua_State *L)
{
    const char *path = luaL_checkstring(L, 2);
    bool table = lua_istable(L, 1);
    if (!ends(path, ".safetensors") && (table || !ends(path, ".npy")))
        return table ? lsy_error(L, "save: several tensors go into a .safetensors file only")
                     : unknown_ending(L, "save", path);
    return table ? save_table(L, path) : save_one(L, dense(L, 1), path);
}

/* ---- reading ---- */

/* New tensor of the array's shape, on the stack; NULL: err is set. */
static struct sy_tensor *place(lua_State *L, const struct sy_array *a, struct sy_err *err)
{
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (a->dtype == SY_DTYPE_COUNT) {
        sy_err_set(err, SY_E_UNSUPPORTED, "load: '%s' holds %s, which has no dtype here", a->name, a->type);
        return NULL;
    }
    if (lsy_room((size_t)a->bytes, "load", err))
        return NULL;
    return *slot = sy_tensor_empty(a->dtype, a->ndim, a->shape, err);
}

struct file {
    struct sy_npy *npy;
    struct sy_st *st;
};

static int file_gc(lua_State *L)
{
    struct file *f = luaL_checkudata(L, 1, "switchyard.array_file");
    sy_npy_close(f->npy);
    sy_st_close(f->st);
    memset(f, 0, sizeof *f);
    return 0;
}

static int load_npy(lua_State *L, struct file *f, const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = NULL;
    if ((f->npy = sy_npy_open(path, &err)))
        t = place(L, sy_npy_info(f->npy), &err);
    if (!t || sy_npy_read(f->npy, sy_data(t), &err))
        return lsy_fail_or_raise(L, &err);
    return 1;
}

static int load_all(lua_State *L, struct file *f)
{
    struct sy_err err = SY_ERR_INIT;
    lua_newtable(L);
    int list = lua_gettop(L);
    for (int64_t i = 0; i < sy_st_count(f->st); i++) {
        const struct sy_array *a = sy_st_at(f->st, i);
        lua_pushstring(L, a->name);
        struct sy_tensor *t = place(L, a, &err);
        if (!t || sy_st_read(f->st, a, sy_data(t), &err))
            return lsy_fail_or_raise(L, &err);
        lua_rawset(L, list);
    }
    if (sy_st_count(f->st) == 1 && lua_getfield(L, list, "tensor") != LUA_TNIL)
        return 1; /* written by a:save */
    lua_settop(L, list);
    return 1;
}

static int load(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *path = luaL_checkstring(L, 1);
    struct file *f = lua_newuserdatauv(L, sizeof *f, 0);
    memset(f, 0, sizeof *f);
    luaL_setmetatable(L, "switchyard.array_file");
    lua_toclose(L, -1);
    if (ends(path, ".npy"))
        return load_npy(L, f, path);
    if (!ends(path, ".safetensors"))
        return unknown_ending(L, "load", path);
    if (!(f->st = sy_st_open(path, &err)))
        return lsy_fail_or_raise(L, &err);
    return load_all(L, f);
}

static const struct lsy_doc docs[] = {
    {"tensor:save", "a:save(path) -> true",
     "Write a .npy or .safetensors file, the whole or nothing. tensor.save({name = a, ...}, path) writes "
     "several into a .safetensors file. Failure: nil, message, code.", NULL},
    {"tensor.load", "tensor.load(path) -> tensor",
     "Read a .npy or .safetensors file; a table of tensors by name where there are several. Failure: nil, "
     "message, code.", NULL},
};

void lsy_open_tensor_file(lua_State *L)
{
    luaL_newmetatable(L, "switchyard.array_file");
    lsy_set(L, "__gc", file_gc);
    lsy_set(L, "__close", file_gc);
    lua_pop(L, 1);
    lua_getglobal(L, "tensor");
    lsy_set(L, "load", load);
    lsy_set(L, "save", save);
    lua_pop(L, 1);
    luaL_getmetatable(L, LSY_TENSOR_META);
    lua_getfield(L, -1, "methods");
    lsy_set(L, "save", save);
    lua_pop(L, 2);
    LSY_DOCS(L, docs);
}
