/* Figures that are computed of rows (switchyard/derived.h) for Lua.  Layer bind/run.
 *
 *   engine.derived() -> list of {name=, of=, window=, unit=, help=}
 *   engine.derive(name, rows, off or nil) -> tensor f64 (n,2) of step and figure; rows (n,1+E) as
 *                                            run:history gives them, off: those of who is disabled
 */
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/run/open.h"
#include "bind/tensor/tensor.h"

#include "switchyard/derived.h"
#include "tensor/tensor.h"

#define META_DERIVER "switchyard.deriver"

static int l_derived(lua_State *L)
{
    lua_createtable(L, SY_DERIVED_COUNT, 0);
    for (int i = 0; i < SY_DERIVED_COUNT; i++) {
        const struct sy_derived_row *row = sy_derived_row((enum sy_derived)i);
        lua_createtable(L, 0, 5);
        lsy_set_text(L, "name", row->name);
        lsy_set_text(L, "of", sy_series_row(row->of)->name);
        lsy_set_integer(L, "window", row->window);
        lsy_set_text(L, "unit", row->unit);
        lsy_set_text(L, "help", row->help);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

struct rows { /* step and E values each */
    const double *at;
    int64_t n, width; /* width: 1+E */
};

static struct rows check_rows(lua_State *L, int arg)
{
    if (lua_isnoneornil(L, arg))
        return (struct rows){NULL, 0, 0};
    struct sy_tensor *x = lsy_check_tensor(L, arg, "derive", "rows");
    if (x->dtype != SY_F64 || x->ndim != 2 || x->shape[1] < 2 || !sy_tensor_contiguous(x))
        lsy_error(L, "derive: rows must be f64, (n, 1+E)");
    return (struct rows){sy_data(x), x->shape[0], x->shape[1]};
}

static void narrow(const double *row, int width, float *out)
{
    for (int i = 0; i < width; i++)
        out[i] = (float)row[1 + i];
}

/* Rows of `off` belong to those of the same step. */
static void derive_rows(struct sy_deriver *d, struct rows r, struct rows off, float *both,
                        double *out)
{
    int width = (int)r.width - 1;
    for (int64_t i = 0, k = 0; i < r.n; i++) {
        const double *row = r.at + i * r.width;
        while (k < off.n && off.at[k * off.width] < row[0])
            k++;
        bool any = k < off.n && off.at[k * off.width] <= row[0];
        narrow(row, width, both);
        if (any)
            narrow(off.at + k * off.width, width, both + width);
        out[2 * i] = row[0];
        out[2 * i + 1] = sy_deriver_next(d, both, any ? both + width : NULL);
    }
}

static int l_derive(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *name = luaL_checkstring(L, 1);
    int id = sy_derived_find(name);
    struct rows r = check_rows(L, 2), off = check_rows(L, 3);
    if (id < 0 || !r.at)
        return lsy_error(L, "derive: there is no figure '%s'", name);
    if (off.at && off.width != r.width)
        off.n = 0; /* of other experts */
    float *both = lua_newuserdatauv(L, 2 * (size_t)r.width * sizeof *both, 0);
    void **d = lsy_new_handle(L, META_DERIVER);
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*d = sy_deriver_new((enum sy_derived)id, (int)r.width - 1)))
        return lsy_error(L, "derive: out of memory");
    if (!(*slot = sy_tensor_empty(SY_F64, 2, (int64_t[]){r.n, 2}, &err)))
        return lsy_raise(L, &err);
    derive_rows(*d, r, off, both, sy_data(*slot));
    return 1;
}

static int deriver_gc(lua_State *L)
{
    sy_deriver_free(lsy_take_handle(L, 1, META_DERIVER));
    return 0;
}

static const luaL_Reg functions[] = {{"derived", l_derived}, {"derive", l_derive}, {NULL, NULL}};

void lsy_open_derived(lua_State *L)
{
    lsy_handle_meta(L, META_DERIVER, NULL, deriver_gc);
    lsy_add_functions(L, functions);
}
