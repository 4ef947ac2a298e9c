/* What lua/model/file.lua needs of C: JSON, folders, tensors read into their places.  Layer
 * bind/run.
 *
 *   engine.json(text)                 -> value | nil, message, code.  null is engine.null;
 *                                        integers and reals stay apart
 *   engine.json_scalar(v)             -> text of a string, number or boolean
 *   engine.folder_begin(path)         -> temporary | nil, message, code
 *   engine.folder_commit(temp, path)  -> true | nil, message, code (temp is gone, too)
 *   engine.folder_drop(temp)
 *   engine.file_write(path, text)     -> true | nil, message, code
 *   engine.file_read(path)            -> text | nil, message, code
 *   engine.read_tensors(path, {{name, tensor}, ...}) -> true | nil, message, code
 */
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/run/open.h"
#include "bind/tensor/tensor.h"

#include "base/file.h"
#include "base/find.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/folder.h"
#include "ops/op.h"
#include "switchyard/io.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)64 << 20) /* of a config.json: far more than any has */
#define JSON_META "switchyard.core.json"
#define FILE_META "switchyard.model.file"

static const char *const model_names[] = {"model.safetensors", "config.json", "tokenizer.json",
                                          "tokenizer_config.json", NULL};

/* ---- JSON ---- */

static int json_gc(lua_State *L)
{
    struct sy_json **slot = lua_touserdata(L, 1);
    sy_json_free(*slot);
    *slot = NULL;
    return 0;
}

static void push_json(lua_State *L, const struct sy_json *v)
{
    lua_Integer i = 0;
    luaL_checkstack(L, 4, "json");
    switch (v->type) {
    case SY_JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    case SY_JSON_BOOL:
        lua_pushboolean(L, v->boolean);
        break;
    case SY_JSON_INT:
        lua_pushinteger(L, v->integer);
        break;
    case SY_JSON_REAL:
        lua_pushnumber(L, v->real);
        break;
    case SY_JSON_STRING:
        lua_pushlstring(L, v->string, v->string_len);
        break;
    case SY_JSON_ARRAY:
    case SY_JSON_OBJECT:
        lua_newtable(L);
        for (const struct sy_json *c = v->first; c; c = c->next) {
            if (v->type == SY_JSON_OBJECT)
                lua_pushlstring(L, c->key, c->key_len);
            push_json(L, c);
            if (v->type == SY_JSON_OBJECT)
                lua_rawset(L, -3);
            else
                lua_rawseti(L, -2, ++i);
        }
    }
}

static int json_read(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct sy_json **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, JSON_META);
    if (!(*slot = sy_json_parse(text, n, &err)))
        return lsy_fail_or_raise(L, &err);
    push_json(L, *slot);
    return 1;
}

static void put_scalar(lua_State *L, struct sy_str *s)
{
    size_t n, before = s->len;
    const char *text;
    switch (lua_type(L, 1)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, 1, &n);
        sy_json_quote(s, text, n);
        break;
    case LUA_TBOOLEAN:
        sy_str_puts(s, lua_toboolean(L, 1) ? "true" : "false");
        break;
    default:
        if (lua_isinteger(L, 1)) {
            sy_str_printf(s, "%lld", (long long)lua_tointeger(L, 1));
            break;
        }
        sy_json_number(s, lua_tonumber(L, 1));
        if (s->data && !strpbrk(s->data + before, ".eEn")) /* a real stays one; n: null */
            sy_str_puts(s, ".0");
    }
}

static int json_scalar(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    int type = lua_type(L, 1);
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        return luaL_error(L, "json: a %s has no text", luaL_typename(L, 1));
    void **block = lsy_new_block(L);
    put_scalar(L, &s);
    *block = s.data;
    if (s.failed || !s.data)
        return luaL_error(L, "json: out of memory");
    lua_pushlstring(L, s.data, s.len);
    return 1;
}

/* ---- files and folders ---- */

static int folder_begin(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    char *temp = NULL;
    const char *path = luaL_checkstring(L, 1);
    void **block = lsy_new_block(L);
    int r = sy_folder_begin(path, model_names, &temp, &err);
    *block = temp;
    if (r)
        return lsy_fail_or_raise(L, &err);
    lua_pushstring(L, temp);
    return 1;
}

static int folder_commit(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *temp = luaL_checkstring(L, 1);
    if (sy_folder_commit(temp, luaL_checkstring(L, 2), model_names, &err))
        sy_folder_drop(temp, model_names);
    return lsy_true_or_fail(L, err.code, &err);
}

static int folder_drop(lua_State *L)
{
    sy_folder_drop(luaL_checkstring(L, 1), model_names);
    return 0;
}

static int file_write(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 2, &n);
    sy_file_replace(luaL_checkstring(L, 1), text, n, &err);
    return lsy_true_or_fail(L, err.code, &err);
}

static int file_read(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    const char *path = luaL_checkstring(L, 1);
    void **block = lsy_new_block(L);
    int r = sy_file_read(path, TEXT_MAX, &s, &err);
    *block = s.data;
    if (r)
        return lsy_fail_or_raise(L, &err);
    lua_pushlstring(L, s.data ? s.data : "", s.len);
    return 1;
}

/* ---- tensors into their places ---- */

struct want {
    const char *name; /* the caller's table keeps both */
    struct sy_tensor *tensor;
    const struct sy_array *array;
};

static int st_gc(lua_State *L)
{
    struct sy_st **slot = lua_touserdata(L, 1);
    sy_st_close(*slot);
    *slot = NULL;
    return 0;
}

static struct want *check_wants(lua_State *L, int arg, int64_t *count)
{
    luaL_checktype(L, arg, LUA_TTABLE);
    int64_t n = luaL_len(L, arg);
    struct want *list = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *list, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_geti(L, arg, i + 1);
        lua_geti(L, -1, 1);
        lua_geti(L, -2, 2);
        list[i] = (struct want){luaL_checkstring(L, -2),
                                lsy_check_data(L, -1, "load", "a parameter"), NULL};
        if (!sy_tensor_contiguous(list[i].tensor))
            lsy_error(L, "load: parameter %s is not contiguous", list[i].name);
        lua_pop(L, 3);
    }
    *count = n;
    return list;
}

static void and_more(char out[40], int64_t others)
{
    out[0] = 0;
    if (others > 0)
        snprintf(out, 40, " (and %lld more)", (long long)others);
}

/* Every tensor that is wanted is there, and none else; shapes and dtypes are equal. */
static int match_tensors(const char *path, const struct sy_st *st, struct want *list, int64_t n,
                         struct sy_err *err)
{
    char more[40], ours[128], theirs[128];
    const char *missing = NULL, *unknown = NULL;
    int64_t nmissing = 0, nunknown = 0;
    qsort(list, (size_t)n, sizeof *list, sy_by_name);
    for (int64_t i = n - 1; i >= 0; i--)
        if (!(list[i].array = sy_st_find(st, list[i].name))) {
            missing = list[i].name;
            nmissing++;
        }
    for (int64_t i = sy_st_count(st) - 1; i >= 0; i--) {
        struct want key = {.name = sy_st_at(st, i)->name};
        if (!bsearch(&key, list, (size_t)n, sizeof *list, sy_by_name)) {
            unknown = key.name;
            nunknown++;
        }
    }
    and_more(more, missing ? nmissing - 1 : nunknown - 1);
    if (missing)
        return sy_err_set(err, SY_E_FORMAT, "%s: tensor missing: %s%s", path, missing, more);
    if (unknown)
        return sy_err_set(err, SY_E_FORMAT, "%s: a tensor that the model does not have: %s%s", path,
                          unknown, more);
    for (int64_t i = 0; i < n; i++) {
        const struct sy_array *a = list[i].array;
        struct sy_tensor *t = list[i].tensor;
        if (a->ndim != t->ndim ||
            memcmp(a->shape, t->shape, (size_t)t->ndim * sizeof *t->shape) != 0)
            return sy_err_set(err, SY_E_FORMAT, "%s: %s is %s, the model wants %s", path, a->name,
                              sy_shape_text(a->ndim, a->shape, theirs, sizeof theirs),
                              sy_shape_text(t->ndim, t->shape, ours, sizeof ours));
        if (a->dtype != t->dtype)
            return sy_err_set(err, SY_E_UNSUPPORTED, "%s: %s is %s, the model wants %s", path,
                              a->name, a->type, sy_dtype_name(t->dtype));
    }
    return 0;
}

static int read_tensors(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t n;
    const char *path = luaL_checkstring(L, 1);
    struct want *list = check_wants(L, 2, &n);
    struct sy_st **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, FILE_META);
    lua_toclose(L, -1);
    if ((*slot = sy_st_open(path, &err)) && !match_tensors(path, *slot, list, n, &err))
        for (int64_t i = 0; i < n && !err.code; i++)
            sy_st_read(*slot, list[i].array, sy_data(list[i].tensor), &err);
    return lsy_true_or_fail(L, err.code, &err);
}

static const luaL_Reg functions[] = {{"json", json_read},
                                     {"json_scalar", json_scalar},
                                     {"folder_begin", folder_begin},
                                     {"folder_commit", folder_commit},
                                     {"folder_drop", folder_drop},
                                     {"file_write", file_write},
                                     {"file_read", file_read},
                                     {"read_tensors", read_tensors},
                                     {NULL, NULL}};

static const struct lsy_doc docs[] = {
    {"model:save", "m:save(path, {family=}) -> true",
     "Write the model as a folder: model.safetensors (names as Hugging Face has them, one tensor "
     "an expert), config.json, tokenizer.json, tokenizer_config.json. Transformers loads it as "
     "llama, qwen3, qwen3_moe or glm4_moe where one of these computes the same; where none does, a "
     "second result says which setting differs (model.load reads it all the same). With family= "
     "that one or an error. An older model there is replaced as a whole; a folder that holds "
     "anything else is left alone. Failure: nil, message, code.",
     NULL},
    {"model.load", "model.load(path) -> m",
     "Read a folder that m:save wrote; a model of one's own must be defined (model.define) before. "
     "Failure: nil, message, code.",
     NULL},
};

void lsy_open_model_file(lua_State *L)
{
    lsy_handle_meta(L, JSON_META, NULL, json_gc);
    lsy_handle_meta(L, FILE_META, NULL, st_gc);
    lsy_add_functions(L, functions);
    lsy_push_engine(L);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pop(L, 1);
    LSY_DOCS(L, docs);
}
