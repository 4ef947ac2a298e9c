/* Tensors as text: a line with shape, dtype and statistics, then the elements, elided past a
 * screenful; a narrow matrix has columns of whole numbers, as a series has its steps.  Lists that
 * print shows as the prompt does.  Layer bind/tensor.
 *
 *     f32 (4, 3)   min -1.2346   mean 0.1   max 2.5
 *        0.1235  -1.2346   2.5000
 *        ...
 *
 *  1. What is not 0 does not print as 0: elements have a scale in common where their magnitudes are
 *     within WIDE of each other; else large or small ones have an exponent each, and among ordinary
 *     ones the few that 4 decimals do not show.
 *  2. Integers print exactly, also those that a double cannot hold.
 */
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"
#include "bind/thread/host.h"

#include "base/mem.h"
#include "base/str.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 20   /* rows before elision, */
#define EDGE_ROWS 4
#define NARROW 8 /* columns that may each have a style */
#define BLOCKS 4 /* matrices of a tensor with more dimensions */
#define WIDE 1e4
#define DECIMALS 4
#define UNSEEN 0.5e-4 /* prints as 0 with so many */

struct stats {
    double min, max, sum, abs_min, abs_max; /* of finite elements; abs_min of those not 0 */
    int64_t finite, nans, infs;
    bool whole;
};

struct style {
    bool integer, exponent, tiny; /* each with an exponent; those that would print as 0 */
    int width, decimals, scale;   /* elements are printed divided by 10^scale */
};

/* Elements first, first + step ... */
static struct stats measure_elements(const struct sy_tensor *t, int64_t first, int64_t step)
{
    struct stats s = {.min = HUGE_VAL, .max = -HUGE_VAL, .abs_min = HUGE_VAL, .whole = true};
    int64_t n = sy_tensor_count(t);
    for (int64_t i = first; i < n; i += step) {
        double v = sy_tensor_get(t, i);
        if (isnan(v))
            s.nans++;
        else if (isinf(v))
            s.infs++;
        else {
            s.finite++;
            s.sum += v;
            s.min = fmin(s.min, v);
            s.max = fmax(s.max, v);
            s.abs_max = fmax(s.abs_max, fabs(v));
            s.abs_min = v != 0 ? fmin(s.abs_min, fabs(v)) : s.abs_min;
            s.whole &= v == floor(v);
        }
    }
    return s;
}

static bool is_integer(const struct sy_tensor *t)
{
    return !sy_dtype_real(t->dtype);
}

/* How elements that are not whole are shown. */
static void choose_notation(struct style *y, const struct stats *s)
{
    int exponent = s->abs_max > 0 ? (int)floor(log10(s->abs_max)) : 0;
    bool wide = s->abs_max >= WIDE * s->abs_min, ordinary = exponent >= -2 && exponent < 5;
    y->decimals = DECIMALS;
    y->exponent = !ordinary && wide;
    y->scale = ordinary || wide ? 0 : exponent;
    y->tiny = ordinary && s->abs_min < UNSEEN;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int width_of(const struct style *y, const struct stats *s)
{
    char probe[400];
    double big = s->finite ? s->abs_max : 0, small = s->abs_min < HUGE_VAL ? s->abs_min : 0;
    if (y->exponent)
        return max_int(snprintf(probe, sizeof probe, "%.*e", y->decimals, big),
                       snprintf(probe, sizeof probe, "%.*e", y->decimals, small));
    int width = snprintf(probe, sizeof probe, "%.*f", y->decimals, big / pow(10, y->scale));
    return y->tiny ? max_int(width, snprintf(probe, sizeof probe, "%.1e", small)) : width;
}

static struct style style_of(const struct sy_tensor *t, const struct stats *s)
{
    struct style y = {.integer = is_integer(t) || (s->whole && s->abs_max < 1e9)};
    if (!y.integer)
        choose_notation(&y, s);
    y.width = width_of(&y, s) + (s->finite && s->min < 0);
    if (s->nans && y.width < 3)
        y.width = 3;
    if (s->infs && y.width < 4)
        y.width = 4;
    if (t->dtype == SY_BOOL)
        y.width = 5;
    return y;
}

static void put_element(struct sy_str *out, const struct sy_tensor *t, int64_t i,
                        const struct style *y)
{
    double v = sy_tensor_get(t, i);
    if (t->dtype == SY_BOOL)
        sy_str_printf(out, "  %5s", v != 0 ? "true" : "false");
    else if (isnan(v) || isinf(v))
        sy_str_printf(out, "  %*s", y->width, isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
    else if (is_integer(t))
        sy_str_printf(out, "  %*lld", y->width, (long long)sy_tensor_get_int(t, i));
    else if (y->exponent || (y->tiny && v != 0 && fabs(v) < UNSEEN))
        sy_str_printf(out, "  %*.*e", y->width, y->exponent ? y->decimals : 1, v);
    else
        /* no -0 */
        sy_str_printf(out, "  %*.*f", y->width, y->decimals, v / pow(10, y->scale) + 0.0);
}

/* One row: elements first..first+n-1. */
static void put_row(struct sy_str *out, const struct sy_tensor *t, int64_t first, int64_t n,
                    const struct style *y)
{
    int64_t room = (sy_host_columns() - 2) / (y->width + 2), edge = room > 3 ? (room - 1) / 2 : 1;
    bool elide = n > room && n > 2 * edge;
    sy_str_puts(out, "\n ");
    for (int64_t i = 0; i < n; i++) {
        if (elide && i == edge) {
            sy_str_puts(out, "  …");
            i = n - edge;
        }
        put_element(out, t, first + i, y);
    }
}

/* A matrix some of whose columns are whole: each as it is. */
static void put_columns(struct sy_str *out, const struct sy_tensor *t, const struct style *y)
{
    int64_t rows = t->shape[0], columns = t->shape[1];
    struct style each[NARROW];
    for (int64_t c = 0; c < columns; c++) {
        struct stats s = measure_elements(t, c, columns);
        struct style own = style_of(t, &s);
        each[c] = own.integer && !s.nans && !s.infs ? own : *y;
    }
    for (int64_t r = 0; r < rows; r++) {
        if (rows > ROWS && r == EDGE_ROWS) {
            sy_str_puts(out, "\n   …");
            r = rows - EDGE_ROWS;
        }
        sy_str_puts(out, "\n ");
        for (int64_t c = 0; c < columns; c++)
            put_element(out, t, r * columns + c, &each[c]);
    }
}

static void put_matrix(struct sy_str *out, const struct sy_tensor *t, int64_t first, int64_t rows,
                       int64_t columns, const struct style *y)
{
    bool elide = rows > ROWS;
    for (int64_t r = 0; r < rows; r++) {
        if (elide && r == EDGE_ROWS) {
            sy_str_puts(out, "\n   …");
            r = rows - EDGE_ROWS;
        }
        put_row(out, t, first + r * columns, columns, y);
    }
}

/* A vector wraps into lines as a matrix would. */
static void put_vector(struct sy_str *out, const struct sy_tensor *t, const struct style *y)
{
    int64_t n = t->ndim ? sy_tensor_dim(t, 0) : 1, line = (sy_host_columns() - 4) / (y->width + 2);
    line = line < 1 ? 1 : line;
    bool elide = n > line * ROWS;
    for (int64_t i = 0; i < n; i += line) {
        if (elide && i == line * EDGE_ROWS) {
            sy_str_puts(out, "\n   …");
            i = (n - line * EDGE_ROWS + line - 1) / line * line;
        }
        put_row(out, t, i, n - i < line ? n - i : line, y);
    }
}

static void put_blocks(struct sy_str *out, const struct sy_tensor *t, const struct style *y)
{
    int64_t rows = sy_tensor_dim(t, -2), columns = sy_tensor_dim(t, -1), blocks = 1;
    for (int i = 0; i + 2 < t->ndim; i++)
        blocks *= t->shape[i];
    for (int64_t b = 0; b < blocks; b++) {
        if (blocks > 2 * BLOCKS && b == BLOCKS) {
            sy_str_puts(out, "\n …");
            b = blocks - BLOCKS;
        }
        int64_t rest = b, index[SY_MAX_DIMS];
        for (int i = t->ndim - 3; i >= 0; rest /= t->shape[i--])
            index[i] = rest % t->shape[i] + 1;
        sy_str_puts(out, "\n ");
        for (int i = 0; i + 2 < t->ndim; i++)
            sy_str_printf(out, "[%lld]", (long long)index[i]);
        put_matrix(out, t, b * rows * columns, rows, columns, y);
    }
}

static void put_head(struct sy_str *out, const struct sy_tensor *t, const struct stats *s,
                     const struct style *y)
{
    char shape[128];
    sy_str_printf(out, "%s %s", sy_dtype_name(t->dtype),
                  sy_shape_text(t->ndim, t->shape, shape, sizeof shape));
    if (sy_dtype_stored(t->dtype))
        sy_str_printf(out, "   %zu bytes", sy_tensor_bytes(t));
    if (sy_tensor_file(t))
        sy_str_puts(out, "   mapped");
    int digits = is_integer(t) ? 19 : 5;
    if (s->finite && t->dtype != SY_BOOL)
        sy_str_printf(out, "   min %.*g   mean %.5g   max %.*g", digits, s->min + 0.0,
                      s->sum / (double)s->finite, digits, s->max);
    if (s->nans)
        sy_str_printf(out, "   NaN %lld", (long long)s->nans);
    if (s->infs)
        sy_str_printf(out, "   inf %lld", (long long)s->infs);
    if (y->scale)
        sy_str_printf(out, "   × 1e%d", y->scale);
    if (t->requires_grad)
        sy_str_puts(out, "   grad");
}

/* As few digits as tell a float from its neighbours. */
static int digits_of(const struct sy_tensor *t, double v)
{
    char text[40];
    int least = t->dtype == SY_F64 ? 15 : 6, most = t->dtype == SY_F64 ? 17 : 9;
    for (int n = least; n < most; n++) {
        snprintf(text, sizeof text, "%.*g", n, v);
        double back = strtod(text, NULL);
        if (t->dtype == SY_F64 ? back == v : (float)back == (float)v)
            return n;
    }
    return most;
}

static void put_tensor(struct sy_str *out, const struct sy_tensor *t)
{
    char shape[128];
    if (!sy_data(t)) {
        sy_str_printf(out, "%s %s   (recorded: no values)", sy_dtype_name(t->dtype),
                      sy_shape_text(t->ndim, t->shape, shape, sizeof shape));
        return;
    }
    if (!t->ndim) {
        double v = sy_tensor_get(t, 0);
        if (t->dtype == SY_BOOL)
            sy_str_puts(out, v != 0 ? "true" : "false");
        else if (is_integer(t))
            sy_str_printf(out, "%lld", (long long)sy_tensor_get_int(t, 0));
        else if (v == floor(v) && fabs(v) < 1e9)
            sy_str_printf(out, "%.0f", v + 0.0);
        else
            sy_str_printf(out, "%.*g", digits_of(t, v), v);
        return;
    }
    struct stats s = measure_elements(t, 0, 1);
    struct style y = style_of(t, &s);
    put_head(out, t, &s, &y);
    if (!sy_tensor_count(t))
        return;
    if (t->ndim == 1)
        put_vector(out, t, &y);
    else if (t->ndim == 2 && !y.integer && t->shape[1] <= NARROW && t->shape[0] > 1 &&
             t->shape[1] * (y.width + 2) < sy_host_columns())
        put_columns(out, t, &y);
    else if (t->ndim == 2)
        put_matrix(out, t, 0, t->shape[0], t->shape[1], &y);
    else
        put_blocks(out, t, &y);
}

void lsy_tensor_text(lua_State *L, struct sy_tensor *t)
{
    struct sy_str out = SY_STR_INIT;
    struct sy_err err = SY_ERR_INIT;
    put_tensor(&out, t);
    if (sy_tensor_check(t, "tensor", &err)) { /* no value of it is shown */
        sy_str_clear(&out);
        sy_str_puts(&out, err.msg);
    }
    if (out.failed || !out.data) {
        sy_str_free(&out);
        lua_pushliteral(L, "tensor (no memory to print it)");
        return;
    }
    lua_pushlstring(L, out.data, out.len); /* leaks out when Lua is out of memory here */
    sy_str_free(&out);
}

/* ---- lists ---- */

/* (list) -> its text at the prompt */
static int list_text(lua_State *L)
{
    lua_pushcfunction(L, lsy_module_call);
    lua_pushliteral(L, "switchyard.prompt.show");
    lua_pushliteral(L, "text");
    lua_pushvalue(L, 1);
    lua_call(L, 3, 1);
    return 1;
}

/* Two lists: of one length, with equal elements. */
static int list_equal(lua_State *L)
{
    lua_Integer n = luaL_len(L, 1);
    bool same = n == luaL_len(L, 2);
    for (lua_Integer i = 1; same && i <= n; i++) {
        lua_geti(L, 1, i);
        lua_geti(L, 2, i);
        same = lua_compare(L, -2, -1, LUA_OPEQ);
        lua_pop(L, 2);
    }
    lua_pushboolean(L, same);
    return 1;
}

/* Whether a line of a user's asks: not C (ipairs, table.unpack), which looks for the end, nor our
 * own modules. */
static bool user_asks(lua_State *L)
{
    lua_Debug at;
    return lua_getstack(L, 1, &at) && lua_getinfo(L, "S", &at) && strcmp(at.what, "C") != 0 &&
           strncmp(at.source, "=switchyard:", 12) != 0;
}

/* __index of a shape: places from -1 count from the end, others that it has not are refused. */
static int shape_index(lua_State *L)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, 1),
                i = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
    if (i < 0 && i >= -n) {
        lua_rawgeti(L, 1, n + 1 + i);
        return 1;
    }
    if (!user_asks(L))
        return 0;
    return lsy_error(L, "shape: no dimension %s: it has %d", luaL_tolstring(L, 2, NULL), (int)n);
}

static void set_list(lua_State *L, const char *meta, lua_CFunction index)
{
    luaL_newmetatable(L, meta);
    bool whole = lua_getfield(L, -1, "__tostring") != LUA_TNIL; /* no: memory was out meanwhile */
    lua_pop(L, 1);
    if (!whole) {
        lua_pushnil(L);
        lua_setfield(L, -2, "__name"); /* an error calls it a table */
        lsy_set(L, "__eq", list_equal);
        if (index)
            lsy_set(L, "__index", index);
        lsy_set(L, "__tostring", list_text);
    }
    lua_setmetatable(L, -2);
}

void lsy_list(lua_State *L) { set_list(L, "switchyard.list", NULL); }

void lsy_shape_list(lua_State *L) { set_list(L, "switchyard.shape", shape_index); }

/* engine.list(t) -> t, which prints as the prompt shows it */
static int engine_list(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lsy_list(L);
    return 1;
}

static const luaL_Reg functions[] = {{"list", engine_list}, {NULL, NULL}};

void lsy_open_print(lua_State *L) { lsy_add_functions(L, functions); }
