/* Arguments and tables of named options, read by a table of rows.  Layer bind/core. */
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/core/registry.h"

#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 96 /* options of one table */

/* ---- unknown names ---- */

/* (function, name, names...) */
static int ask_foreign(lua_State *L)
{
    lsy_push_function(L, "switchyard.help.foreign", lua_tostring(L, 1));
    lua_replace(L, 1);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

const char *lsy_foreign(lua_State *L, const char *function, const char *name)
{
    lua_pushcfunction(L, ask_foreign);
    lua_pushstring(L, function);
    lua_pushstring(L, name);
    return lua_pcall(L, 2, 1, 0) == LUA_OK ? lua_tostring(L, -1) : NULL;
}

/* Which of our names others call so, on the stack; or NULL. */
static const char *foreign_option(lua_State *L, const char *name, const char *const *names)
{
    lua_pushcfunction(L, ask_foreign);
    lua_pushliteral(L, "option");
    lua_pushstring(L, name);
    lua_newtable(L);
    for (int i = 0; names[i]; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return lua_pcall(L, 3, 1, 0) == LUA_OK ? lua_tostring(L, -1) : NULL;
}

int lsy_unknown(lua_State *L, const char *what, const char *kind, const char *name,
                const char *const *names)
{
    const char *near = foreign_option(L, name, names);
    near = near ? near : sy_nearest(name, names);
    luaL_Buffer b;
    lsy_where(L);
    luaL_buffinit(L, &b);
    lua_pushfstring(L, "%s: unknown %s '%s'", what, kind, name);
    luaL_addvalue(&b);
    if (near) {
        lua_pushfstring(L, " (did you mean '%s'?)", near);
        luaL_addvalue(&b);
    }
    lua_pushfstring(L, names[0] ? "; %ss: " : "; it takes no %ss", kind);
    luaL_addvalue(&b);
    for (int i = 0; names[i]; i++) {
        if (i)
            luaL_addstring(&b, ", ");
        luaL_addstring(&b, names[i]);
    }
    luaL_pushresult(&b);
    lua_concat(L, 2);
    return lua_error(L);
}

static int unknown_option(lua_State *L, const char *what, const char *name,
                          const struct lsy_option *rows, size_t n)
{
    const char *names[NAMES_MAX + 1];
    size_t i;
    for (i = 0; i < n && i < NAMES_MAX; i++)
        names[i] = rows[i].name;
    names[i] = NULL;
    return lsy_unknown(L, what, "option", name, names);
}

/* ---- values ---- */

/* "tensor", "data": what the metatable says; else Lua's name of the type. */
static const char *value_kind(lua_State *L, int idx)
{
    const char *kind = NULL;
    if (luaL_getmetafield(L, idx, "__metatable") != LUA_TNIL) {
        kind = lua_tostring(L, -1); /* lives as long as the metatable */
        lua_pop(L, 1);
    }
    return kind ? kind : luaL_typename(L, idx);
}

/* The value at idx for a message: numbers and strings as they are, else the type. */
static const char *show_value(lua_State *L, int idx, char out[64])
{
    switch (lua_type(L, idx)) {
    case LUA_TNUMBER:
        lua_pushvalue(L, idx);
        snprintf(out, 64, "it is %s", lua_tostring(L, -1));
        lua_pop(L, 1);
        break;
    case LUA_TSTRING: snprintf(out, 64, "it is '%.40s'", lua_tostring(L, idx)); break;
    case LUA_TBOOLEAN:
        snprintf(out, 64, "it is %s", lua_toboolean(L, idx) ? "true" : "false");
        break;
    case LUA_TNIL:
    case LUA_TNONE: snprintf(out, 64, "it is missing"); break;
    default:
        snprintf(out, 64, "it is a %s", value_kind(L, idx));
    }
    return out;
}

static const char *range_text(double min, double max, char out[80])
{
    if (min == 0 && max == 0)
        out[0] = 0;
    else if (max >= 1e15)
        snprintf(out, 80, " of at least %.15g", min);
    else
        snprintf(out, 80, " from %.15g to %.15g", min, max);
    return out;
}

static int raise_wrong(lua_State *L, int idx, const char *what, const char *name,
                       const char *wanted, double min, double max)
{
    char text[64], range[80];
    return lsy_error(L, "%s: %s must be %s%s: %s", what, name, wanted, range_text(min, max, range),
                     show_value(L, idx, text));
}

/* 1 and the integer when the value at idx is a number without a fraction. */
static bool integer_at(lua_State *L, int idx, int64_t *out)
{
    int ok = 0;
    if (lua_type(L, idx) != LUA_TNUMBER)
        return false;
    *out = lua_tointegerx(L, idx, &ok);
    return ok;
}

int64_t lsy_check_int(lua_State *L, int arg, const char *what, const char *name, int64_t min,
                      int64_t max)
{
    int64_t v;
    if (!integer_at(L, arg, &v) || v < min || v > max)
        return raise_wrong(L, arg, what, name, "a whole number", (double)min, (double)max);
    return v;
}

static int choice_at(lua_State *L, int idx, const char *what, const struct lsy_option *row)
{
    const char *s = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;
    if (!s)
        return raise_wrong(L, idx, what, row->name, "a string", 0, 0);
    for (int i = 0; row->choices[i]; i++)
        if (!strcmp(row->choices[i], s))
            return i;
    return lsy_unknown(L, what, row->name, s, row->choices);
}

static int dtype_at(lua_State *L, int idx, const char *what, const char *name)
{
    const char *s = lua_type(L, idx) == LUA_TSTRING ? lua_tostring(L, idx) : NULL;
    if (!s)
        return raise_wrong(L, idx, what, name, "the name of a dtype", 0, 0);
    int d = sy_dtype_parse(s);
    if (d >= 0 && sy_dtype_stored((enum sy_dtype)d))
        lsy_error(L, "%s: %s is for weights that are only read: make them f32, then "
                     ":cast(\"%s\")", what, s, s);
    if (d >= 0)
        return d;
    const char *names[SY_DTYPE_COUNT + 1] = {0};
    for (int i = 0; i < SY_DTYPE_COUNT; i++)
        names[i] = sy_dtype_name((enum sy_dtype)i);
    return lsy_unknown(L, what, "dtype", s, names);
}

/* The value on top of the stack into the field; pops it unless the row keeps it there. */
static void read_option(lua_State *L, const char *what, const struct lsy_option *row, void *out)
{
    void *field = (char *)out + row->at;
    bool any = row->min == 0 && row->max == 0;
    int64_t i = 0;
    double v;
    switch (row->kind) {
    case LSY_INT:
        if (!integer_at(L, -1, &i) || (!any && ((double)i < row->min || (double)i > row->max)))
            raise_wrong(L, -1, what, row->name, "a whole number", row->min, row->max);
        *(int64_t *)field = i;
        break;
    case LSY_REAL:
        v = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : (double)NAN;
        if (isnan(v) || (!any && (v < row->min || v > row->max)))
            raise_wrong(L, -1, what, row->name, "a number", row->min, row->max);
        *(double *)field = v;
        break;
    case LSY_BOOL:
        if (!lua_isboolean(L, -1))
            raise_wrong(L, -1, what, row->name, "true or false", 0, 0);
        *(bool *)field = lua_toboolean(L, -1);
        break;
    case LSY_STRING:
        if (lua_type(L, -1) != LUA_TSTRING)
            raise_wrong(L, -1, what, row->name, "a string", 0, 0);
        *(const char **)field = lua_tostring(L, -1);
        break;
    case LSY_CHOICE: *(int *)field = choice_at(L, -1, what, row); break;
    case LSY_DTYPE: *(int *)field = dtype_at(L, -1, what, row->name); break;
    case LSY_VALUE: *(int *)field = lua_gettop(L); return;
    }
    lua_pop(L, 1);
}

static void refuse_unknown(lua_State *L, int arg, const char *what, const struct lsy_option *rows,
                           size_t n)
{
    lua_pushnil(L);
    while (lua_next(L, arg)) {
        size_t i = 0;
        if (lua_type(L, -2) != LUA_TSTRING) {
            char text[64];
            lua_pop(L, 1);
            lsy_error(L, "%s: options are name = value: the key here is not a name, %s", what,
                      show_value(L, -1, text));
        }
        const char *key = lua_tostring(L, -2);
        while (i < n && strcmp(rows[i].name, key) != 0)
            i++;
        if (i == n)
            unknown_option(L, what, key, rows, n);
        lua_pop(L, 1);
    }
}

void lsy_options(lua_State *L, int arg, const char *what, const struct lsy_option *rows, size_t n,
                 void *out)
{
    arg = lua_absindex(L, arg);
    if (lua_isnoneornil(L, arg))
        return;
    if (!lua_istable(L, arg))
        raise_wrong(L, arg, what, "the last argument", "a table of options", 0, 0);
    luaL_checkstack(L, (int)n + 8, what);
    refuse_unknown(L, arg, what, rows, n);
    for (size_t i = 0; i < n; i++) {
        lua_pushstring(L, rows[i].name);
        if (lua_rawget(L, arg) == LUA_TNIL)
            lua_pop(L, 1);
        else
            read_option(L, what, &rows[i], out);
    }
}

/* ---- lists ---- */

static int64_t elements(lua_State *L, int arg)
{
    int64_t n = 0;
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1))
        n += lua_isinteger(L, -2) && lua_tointeger(L, -2) > 0;
    return n;
}

int64_t lsy_list_length(lua_State *L, int arg, const char *what)
{
    arg = lua_absindex(L, arg);
    luaL_checkstack(L, 3, what);
    int64_t n = elements(L, arg);
    for (int64_t i = 1; i <= n; i++) {
        if (lua_rawgeti(L, arg, i) == LUA_TNIL)
            lsy_error(L, "%s: element %lld of the list is nil", what, (long long)i);
        lua_pop(L, 1);
    }
    return n;
}

/* ---- shapes ---- */

static int shape_table(lua_State *L, int arg, const char *what, int64_t shape[SY_MAX_DIMS])
{
    int64_t n = lsy_list_length(L, arg, what);
    if (n > SY_MAX_DIMS)
        lsy_error(L, "%s: %d dimensions: at most %d are possible", what, (int)n, SY_MAX_DIMS);
    for (int i = 0; i < n; i++) {
        char name[32];
        lua_geti(L, arg, i + 1);
        snprintf(name, sizeof name, "size of dimension %d", i + 1);
        shape[i] = lsy_check_int(L, -1, what, name, -1, INT64_MAX);
        lua_pop(L, 1);
    }
    return (int)n;
}

int lsy_check_shape(lua_State *L, int arg, int last, const char *what, int64_t shape[SY_MAX_DIMS],
                    int *next)
{
    int n = 0;
    if (arg <= last && lua_istable(L, arg)) {
        if (next)
            *next = arg + 1;
        return shape_table(L, arg, what, shape);
    }
    for (; arg <= last && lua_type(L, arg) == LUA_TNUMBER; arg++) {
        char name[32];
        if (n == SY_MAX_DIMS)
            lsy_error(L, "%s: more than %d dimensions", what, SY_MAX_DIMS);
        snprintf(name, sizeof name, "size of dimension %d", n + 1);
        shape[n++] = lsy_check_int(L, arg, what, name, -1, INT64_MAX);
    }
    if (next)
        *next = arg;
    return n;
}

int lsy_check_dim(lua_State *L, int arg, const char *what, const struct sy_tensor *t)
{
    char text[128];
    int n = sy_tensor_ndim(t);
    int64_t d = lsy_check_int(L, arg, what, "dim", INT32_MIN, INT32_MAX);
    if (d == 0 || d > n || d < -n)
        lsy_error(L, "%s: no dimension %lld: the tensor is %s", what, (long long)d,
                  sy_shape_text(n, sy_tensor_shape(t), text, sizeof text));
    return (int)(d < 0 ? d + n : d - 1);
}
