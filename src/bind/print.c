/* Tensors as text: a line with shape, dtype and statistics, then the elements with one scale in
 * common, elided past a screenful; a narrow matrix has columns of whole numbers, as a series has its
 * steps.  Lists that print shows as the prompt does.  Layer bind.
 *
 *     f32 (4, 3)   min -1.2346   mean 0.1   max 2.5
 *        0.1235  -1.2346   2.5000
 *        ...
 */
#include "bind/bind_int.h"
#include "bind/chunk_int.h"
#include "bind/engine.h"
#include "bind/host.h"

#include "base/mem.h"
#include "base/str.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS 20   /* rows before elision, */
#define EDGE_ROWS 4
#define NARROW 8 /* columns that may each have a style */
#define BLOCKS 4 /* matrices of a tensor with more dimensions */

struct stats {
    double min, max, sum, abs_min, abs_max; /* of finite elements; abs_min of those not 0 */
    int64_t finite, nans, infs;
    bool whole;
};

struct style {
    bool integer;
    int width, decimals, scale; /* elements are printed divided by 10^scale */
};

/* Elements first, first + step ... */
static struct stats measure(const struct sy_tensor *t, int64_t first, int64_t step)
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

static struct style style_of(const struct sy_tensor *t, const struct stats *s)
{
    struct style y = {0};
    char probe[64];
    bool integer = t->dtype != SY_F32 && t->dtype != SY_F64 && t->dtype != SY_BF16;
    int exponent = s->abs_max > 0 ? (int)floor(log10(s->abs_max)) : 0;
    y.integer = integer || (s->whole && s->abs_max < 1e6);
    y.decimals = y.integer ? 0 : 4;
    if (!y.integer && (exponent >= 5 || exponent < -2))
        y.scale = exponent;
    double big = s->finite ? s->abs_max / pow(10, y.scale) : 0;
    y.width = snprintf(probe, sizeof probe, "%.*f", y.decimals, big) + (s->finite && s->min < 0);
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
    else
        sy_str_printf(out, "  %*.*f", y->width, y->decimals, v / pow(10, y->scale) + 0.0); /* no -0 */
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
        struct stats s = measure(t, c, columns);
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
    if (s->finite && t->dtype != SY_BOOL)
        sy_str_printf(out, "   min %.5g   mean %.5g   max %.5g", s->min,
                      s->sum / (double)s->finite, s->max);
    if (s->nans)
        sy_str_printf(out, "   NaN %lld", (long long)s->nans);
    if (s->infs)
        sy_str_printf(out, "   inf %lld", (long long)s->infs);
    if (y->scale)
        sy_str_printf(out, "   × 1e%d", y->scale);
    if (t->requires_grad)
        sy_str_puts(out, "   grad");
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
        else
            sy_str_printf(out, "%.*g", t->dtype == SY_F64 ? 15 : t->dtype == SY_F32 ? 7 : 14, v);
        return;
    }
    struct stats s = measure(t, 0, 1);
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
    put_tensor(&out, t);
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
    lua_pushliteral(L, "switchyard.show");
    lua_pushliteral(L, "text");
    lua_pushvalue(L, 1);
    lua_call(L, 3, 1);
    return 1;
}

void lsy_list(lua_State *L)
{
    luaL_newmetatable(L, "switchyard.list");
    bool whole = lua_getfield(L, -1, "__tostring") != LUA_TNIL; /* no: memory was out meanwhile */
    lua_pop(L, 1);
    if (!whole) {
        lua_pushnil(L);
        lua_setfield(L, -2, "__name"); /* an error calls it a table */
        lsy_set(L, "__tostring", list_text);
    }
    lua_setmetatable(L, -2);
}

/* engine.list(t) -> t, which prints as the prompt shows it */
static int engine_list(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lsy_list(L);
    return 1;
}

void lsy_open_print(lua_State *L)
{
    lsy_push_engine(L);
    lsy_set(L, "list", engine_list);
    lua_pop(L, 1);
}
