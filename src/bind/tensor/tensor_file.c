/* a:save(path), tensor.save(path, {...}) and tensor.load(path): .npy and .safetensors.  Layer
 * bind/tensor. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/find.h"
#include "tensor/tensor.h"
#include "switchyard/io.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_ending(const char *s, const char *with) /* in either case */
{
    size_t n = strlen(s), k = strlen(with);
    return n >= k && !strcasecmp(s + n - k, with);
}

/* more: what else is to be said of it, or NULL. */
static int unknown_ending(lua_State *L, const char *what, const char *path, const char *more)
{
    return lsy_error(L, "%s: the name must end in .npy or .safetensors: it is '%s'%s%s", what, path,
                     more ? "; " : "", more ? more : "");
}

static int add_array(struct sy_st_writer *w, const char *name, struct sy_tensor *t,
                     struct sy_err *err)
{
    return sy_st_add(w, name, t->dtype, t->ndim, t->shape, sy_data(t), err);
}

static int finish_file(lua_State *L, struct sy_st_writer *w, struct sy_err *err)
{
    if (err->code)
        sy_st_abort(w);
    else if (w)
        sy_st_finish(w, err);
    return lsy_true_or_fail(L, err->code, err);
}

/* a:save(path) */
static int save_one(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_st_writer *w = NULL;
    const char *path = luaL_checkstring(L, 2);
    bool npy = has_ending(path, ".npy");
    if (!npy && !has_ending(path, ".safetensors"))
        return unknown_ending(L, "save", path, NULL);
    struct sy_tensor *t = lsy_dense(L, 1, "save");
    if (npy)
        sy_npy_write(path, t->dtype, t->ndim, t->shape, sy_data(t), &err);
    else if ((w = sy_st_begin(path, NULL, &err)))
        add_array(w, "tensor", t, &err);
    return finish_file(L, w, &err);
}

/* ---- several tensors ---- */

struct named {
    const char *name; /* kept alive by the caller's table */
    struct sy_tensor *tensor;
};

/* One more pair, name at -2 and tensor at -1; keeps what dense made in the table `made`. */
static struct named take_pair(lua_State *L, int made)
{
    struct named pair = {NULL, NULL};
    if (lua_type(L, -2) != LUA_TSTRING)
        lsy_error(L, "save: a tensor's name must be a string: it is a %s", luaL_typename(L, -2));
    pair.name = lua_tostring(L, -2);
    if (strlen(pair.name) != lua_rawlen(L, -2))
        lsy_error(L, "save: a tensor's name holds a zero byte: '%s'", pair.name);
    int top = lua_gettop(L);
    pair.tensor = lsy_dense(L, top, "save");
    if (lua_gettop(L) > top)
        lua_rawseti(L, made, (lua_Integer)lua_rawlen(L, made) + 1);
    return pair;
}

/* Pairs of {name = tensor} in order of names, or of a list of {name, tensor} in its order.
 * [-0, +2, v]: the array, and a table of what had to be made. */
static struct named *take_pairs(lua_State *L, int arg, int64_t *count)
{
    int64_t n = 0, at = 0;
    bool list = lsy_list_length(L, arg, "save") > 0;
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
        n++;
    struct named *pairs = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *pairs, 0);
    lua_newtable(L);
    int made = lua_gettop(L);
    for (int64_t i = 1; list && i <= n; i++, lua_settop(L, made)) {
        if (lua_rawgeti(L, arg, i) != LUA_TTABLE)
            lsy_error(L, "save: element %d of the list must be {name, tensor}: it is a %s", (int)i,
                      luaL_typename(L, -1));
        lua_rawgeti(L, made + 1, 1);
        lua_rawgeti(L, made + 1, 2);
        pairs[at++] = take_pair(L, made);
    }
    for (lua_pushnil(L); !list && lua_next(L, arg); lua_pop(L, 1))
        pairs[at++] = take_pair(L, made);
    if (!list)
        qsort(pairs, (size_t)n, sizeof *pairs, sy_by_name);
    lua_settop(L, made);
    *count = n;
    return pairs;
}

/* {key = string} at arg as sy_st_begin takes it; NULL without a table.  [-0, +1, v] */
static const char *const *take_metadata(lua_State *L, int arg)
{
    size_t n = 0;
    if (lua_isnoneornil(L, arg))
        return NULL;
    luaL_checktype(L, arg, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1), n++)
        if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
            lsy_error(L, "save: metadata are strings by names: there is a %s by a %s",
                      luaL_typename(L, -1), luaL_typename(L, -2));
    const char **meta = lua_newuserdatauv(L, (2 * n + 1) * sizeof *meta, 0);
    n = 0;
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        meta[n++] = lua_tostring(L, -2);
        meta[n++] = lua_tostring(L, -1);
    }
    meta[n] = NULL;
    return meta;
}

/* tensor.save(path, tensors, metadata) */
static int save_many(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t n;
    lua_settop(L, 3);
    if (lua_istable(L, 1) || lsy_test_tensor(L, 1)) { /* the other way round is fine too */
        lua_pushvalue(L, 1);
        lua_remove(L, 1);
        lua_insert(L, 2);
    }
    const char *path = luaL_checkstring(L, 1);
    if (lsy_test_tensor(L, 2)) {
        lua_settop(L, 2);
        lua_insert(L, 1);
        return save_one(L);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!has_ending(path, ".safetensors"))
        return lsy_error(L, "save: several tensors go into a .safetensors file only: it is '%s'",
                         path);
    const char *const *meta = take_metadata(L, 3);
    const struct named *pairs = take_pairs(L, 2, &n);
    struct sy_st_writer *w = sy_st_begin(path, meta, &err);
    for (int64_t i = 0; w && i < n && !err.code; i++)
        add_array(w, pairs[i].name, pairs[i].tensor, &err);
    return finish_file(L, w, &err);
}

/* ---- reading ---- */

/* New tensor of the array's shape, on the stack; NULL: err is set. */
static struct sy_tensor *place_array(lua_State *L, const struct sy_array *a, struct sy_err *err)
{
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (a->dtype == SY_DTYPE_COUNT) {
        sy_err_set(err, SY_E_UNSUPPORTED, "load: '%s' holds %s, which has no dtype here", a->name,
                   a->type);
        return NULL;
    }
    if (lsy_room((size_t)a->bytes, "load", err))
        return NULL;
    return *slot = sy_tensor_empty(a->dtype, a->ndim, a->shape, err);
}

struct file {
    struct sy_npy *npy;
    struct sy_st *st;
    struct sy_storage *mapped; /* shared: all of it, or NULL */
};

static int file_gc(lua_State *L)
{
    struct file *f = luaL_checkudata(L, 1, "switchyard.array_file");
    sy_npy_close(f->npy);
    sy_st_close(f->st);
    sy_storage_unref(f->mapped);
    memset(f, 0, sizeof *f);
    return 0;
}

static int load_npy(lua_State *L, struct file *f, const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = NULL;
    if ((f->npy = sy_npy_open(path, &err)))
        t = place_array(L, sy_npy_info(f->npy), &err);
    if (!t || sy_npy_read(f->npy, sy_data(t), &err))
        return lsy_fail_or_raise(L, &err);
    return 1;
}

/* Whether an array can be seen where it lies: elements of ours, whose values need no look, at
 * addresses of theirs. */
static bool lies_ready(const struct sy_array *a)
{
    return a->as_stored != SY_DTYPE_COUNT && a->as_stored != SY_BOOL &&
           a->offset % sy_dtype_size(a->as_stored) == 0;
}

/* The array in f's mapping, on the stack; NULL: err is set. */
static struct sy_tensor *mapped_array(lua_State *L, const struct file *f, const struct sy_array *a,
                                      struct sy_err *err)
{
    struct sy_tensor **slot = lsy_new_tensor(L);
    return *slot = sy_tensor_within(a->as_stored, a->ndim, a->shape, f->mapped,
                                    (char *)f->mapped->data + a->offset, NULL, NULL, err);
}

static int map_file(struct file *f, struct sy_err *err)
{
    struct sy_mapping *m = sy_st_map(f->st, err);
    f->mapped = m ? sy_storage_of_file(m, err) : NULL;
    return f->mapped ? 0 : -1;
}

/* One array, on the stack: where it lies, or read. */
static bool load_array(lua_State *L, const struct file *f, const struct sy_array *a,
                       struct sy_err *err)
{
    if (f->mapped && lies_ready(a))
        return mapped_array(L, f, a, err) != NULL;
    struct sy_tensor *t = place_array(L, a, err);
    return t && !sy_st_read(f->st, a, sy_data(t), err);
}

static int load_all(lua_State *L, struct file *f)
{
    struct sy_err err = SY_ERR_INIT;
    lua_newtable(L);
    int list = lua_gettop(L);
    for (int64_t i = 0; i < sy_st_count(f->st); i++) {
        const struct sy_array *a = sy_st_at(f->st, i);
        lua_pushstring(L, a->name);
        if (!load_array(L, f, a, &err))
            return lsy_fail_or_raise(L, &err);
        lua_rawset(L, list);
    }
    if (sy_st_count(f->st) == 1 && lua_getfield(L, list, "tensor") != LUA_TNIL)
        return 1; /* written by a:save */
    lua_settop(L, list);
    return 1;
}

/* By its content; where that says nothing, by its name, and the reader says what is wrong with
 * it. */
static enum sy_kind kind_of(lua_State *L, const char *path)
{
    unsigned char head[SY_KIND_HEAD];
    size_t n = 0;
    uint64_t size = 0;
    struct sy_err unread = SY_ERR_INIT;
    const struct sy_file_kind *k = NULL;
    if (!sy_file_head("load", path, head, sizeof head, &n, &size, &unread))
        k = sy_file_kind(head, n, size);
    if (k && (k->kind == SY_KIND_NPY || k->kind == SY_KIND_SAFETENSORS))
        return k->kind;
    if (k && k->sure) {
        lua_pushfstring(L, "load: %s is %s%s%s", path, k->what, *k->advice ? ": " : "", k->advice);
        return SY_KIND_OTHER;
    }
    if (!has_ending(path, ".npy") && !has_ending(path, ".safetensors"))
        unknown_ending(L, "load", path, unread.code ? unread.msg : "nor is it one by its content");
    return has_ending(path, ".npy") ? SY_KIND_NPY : SY_KIND_SAFETENSORS;
}

static int load_file(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    static const struct lsy_option rows[] = {{.name = "mapped", .kind = LSY_BOOL, .at = 0}};
    const char *path = luaL_checkstring(L, 1);
    bool mapped = false;
    lsy_options(L, 2, "load", rows, 1, &mapped);
    struct file *f = lua_newuserdatauv(L, sizeof *f, 0);
    memset(f, 0, sizeof *f);
    luaL_setmetatable(L, "switchyard.array_file");
    lua_toclose(L, -1);
    switch (kind_of(L, path)) {
    case SY_KIND_NPY:
        if (mapped)
            return lsy_error(L, "load: only .safetensors files are mapped: %s is an .npy array",
                             path);
        return load_npy(L, f, path);
    case SY_KIND_SAFETENSORS:
        break;
    default:
        sy_err_set(&err, SY_E_FORMAT, "%s", lua_tostring(L, -1));
        return lsy_fail_or_raise(L, &err);
    }
    if (!(f->st = sy_st_open(path, &err)) || (mapped && map_file(f, &err)))
        return lsy_fail_or_raise(L, &err);
    return load_all(L, f);
}

static const struct lsy_doc docs[] = {
    {"tensor:save", "a:save(path) -> true",
     "Write a .npy or .safetensors file, the whole or nothing. Failure: nil, message, code.", NULL},
    {"tensor.save", "tensor.save(path, {name = tensor, ...}, {key = \"text\"}) -> true",
     "Write several tensors, and metadata, into a .safetensors file, the whole or nothing; a list "
     "of "
     "{name, tensor} keeps its order. Failure: nil, message, code.",
     NULL},
    {"tensor.load", "tensor.load(path, {mapped = false}) -> tensor",
     "Read a .npy or .safetensors file, whichever it is by its content; a table of tensors by name "
     "where there are several. Nothing is rounded: half floats (f16) become f32, i8, i16 and u16 "
     "become i32, u32 and u64 i64. Fortran order is put in order. mapped: the tensors "
     "of a .safetensors file are seen where they lie in it, read-only (t.mapped; f16 stays f16); "
     "what would have to be converted, or lies at odd addresses, is read. When the file changes "
     "meanwhile, whatever uses such a tensor fails. Failure: nil, message, code.",
     NULL},
    {"tensor.mxfp4", "tensor.mxfp4(blocks, scales) -> tensor",
     "u8 blocks (..., n, 16) and scales (..., n), as gpt-oss has them, seen as one mxfp4 tensor "
     "(..., 32 n), without a copy.",
     "tensor.mxfp4(tensor.full({2, 3, 16}, 0x22, {dtype = \"u8\"}), tensor.full({2, 3}, 127, "
     "{dtype = \"u8\"}))"},
};

/* tensor.mxfp4(blocks, scales) */
static int join_mxfp4(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *b = lsy_check_data(L, 1, "mxfp4", "blocks");
    struct sy_tensor *s = lsy_check_data(L, 2, "mxfp4", "scales");
    char shape_b[128], shape_s[128];
    int64_t shape[SY_MAX_DIMS] = {0};
    const int n = s->ndim;
    if (b->dtype != SY_U8 || s->dtype != SY_U8)
        return lsy_error(L, "mxfp4: blocks are %s, scales %s: both must be u8",
                         sy_dtype_name(b->dtype), sy_dtype_name(s->dtype));
    if (n < 1 || b->ndim != n + 1 || b->shape[n] != 16 ||
        memcmp(b->shape, s->shape, (size_t)n * sizeof *s->shape) != 0)
        return lsy_error(L,
                         "mxfp4: blocks must be (..., n, 16), scales (..., n): they are %s and %s",
                         sy_shape_text(b->ndim, b->shape, shape_b, sizeof shape_b),
                         sy_shape_text(n, s->shape, shape_s, sizeof shape_s));
    if (!sy_tensor_contiguous(b) || !sy_tensor_contiguous(s))
        return lsy_error(L, "mxfp4: blocks and scales must lie in order: x:contiguous() does");
    memcpy(shape, s->shape, (size_t)n * sizeof *shape);
    shape[n - 1] *= 32;
    struct sy_tensor **slot = lsy_new_tensor(L);
    *slot = sy_tensor_within(SY_MXFP4, n, shape, b->storage, sy_data(b), s->storage, sy_data(s),
                             &err);
    return *slot ? 1 : lsy_raise(L, &err);
}

void lsy_open_tensor_file(lua_State *L)
{
    lsy_handle_meta(L, "switchyard.array_file", NULL, file_gc);
    lua_getglobal(L, "tensor");
    lsy_set(L, "load", load_file);
    lsy_set(L, "mxfp4", join_mxfp4);
    lsy_set(L, "save", save_many);
    lua_pop(L, 1);
    luaL_getmetatable(L, LSY_TENSOR_META);
    lua_getfield(L, -1, "methods");
    lsy_set(L, "save", save_one);
    lua_pop(L, 2);
    LSY_DOCS(L, docs);
}
