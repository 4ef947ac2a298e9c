/* Every row of the op table as a Lua function and a method.  Layer bind/tensor.
 *
 *  1. Tensors fill the row's inputs in order.  Numbers fill inputs too while fewer tensors were
 *     given than the row requires (`2 * a`, `a:where(c, 0)`); they become constants of the tensors'
 *     dtype.  A number alone is no operand: `a.sum(1)` was meant to be a:sum(1).  All other
 *     numbers, strings and booleans are attributes in the row's order; tensors and attributes may
 *     stand in any order among each other (`a:gather(dim, index)`).
 *  2. A last argument that is a table with names is options: attributes, and optional inputs, by
 *     name.
 *  3. Dimensions and indices count from 1 for users, from 0 in the engine.  Which inputs and
 *     outputs hold indices the row says; the embedded library has the raw rows instead
 *     (engine.raw), where only dimensions are converted. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/tensor/tensor.h"

#include "base/mem.h"
#include "base/str.h"
#include "ops/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct row {
    const struct sy_op *op;
    int code, nin, required, nout, nattrs;
    struct sy_attr_spec attrs[14];
    struct sy_attrs preset;
    int index_in, index_out; /* 1 + which holds indices from 1 for users; 0: none */
};

static struct row rows[SY_OP_COUNT];

static void fill_row(struct row *r, int code)
{
    const struct sy_op *op = sy_op_get((enum sy_opcode)code);
    r->op = op;
    r->code = code;
    r->nin = sy_op_inputs(op, &r->required);
    r->nout = sy_op_outputs(op);
    r->nattrs = sy_op_attrs(op, r->attrs);
    sy_op_default_attrs(op, &r->preset);
    r->index_in = sy_op_index_input(op);
    r->index_out = sy_op_index_output(op);
}

/* ---- attributes ---- */

static int attr_error(lua_State *L, const struct row *r, const struct sy_attr_spec *spec, int arg,
                      const char *wanted)
{
    if (lua_type(L, arg) == LUA_TNUMBER)
        return lsy_error(L, "%s: %s must be %s: it is %s", r->op->name, spec->name, wanted,
                         lua_tostring(L, arg));
    return lsy_error(L, "%s: %s must be %s: it is a %s", r->op->name, spec->name, wanted,
                     lsy_test_tensor(L, arg) ? "tensor" : luaL_typename(L, arg));
}

/* Dimensions from 1 or from the end, as the engine's from 0 or from the end. */
static int64_t dim_value(lua_State *L, const struct row *r, const struct sy_attr_spec *spec,
                         int arg)
{
    int ok;
    int64_t d = lua_type(L, arg) == LUA_TNUMBER ? lua_tointegerx(L, arg, &ok) : (ok = 0);
    if (!ok)
        attr_error(L, r, spec, arg, "a dimension (1..n or -1..-n)");
    if (d == 0 || d < -SY_MAX_DIMS || d > INT32_MAX)
        lsy_error(L, "%s: no dimension %lld: they count 1..n, or -1..-n from the end", r->op->name,
                  (long long)d);
    return d > 0 ? d - 1 : d;
}

static int64_t int_value(lua_State *L, const struct row *r, const struct sy_attr_spec *spec,
                         int arg)
{
    int ok = 0;
    int64_t v = 0;
    if (lua_type(L, arg) == LUA_TSTRING && !strcmp(spec->name, "dtype")) {
        int d = sy_dtype_parse(lua_tostring(L, arg));
        const char *names[SY_DTYPE_COUNT + 1] = {0};
        for (int i = 0; i < SY_DTYPE_COUNT; i++)
            names[i] = sy_dtype_name((enum sy_dtype)i);
        return d >= 0 ? d : lsy_unknown(L, r->op->name, "dtype", lua_tostring(L, arg), names);
    }
    if (!strcmp(spec->name, "dtype"))
        attr_error(L, r, spec, arg, "the name of a dtype");
    if (lua_type(L, arg) == LUA_TNUMBER)
        v = lua_tointegerx(L, arg, &ok);
    return ok ? v : attr_error(L, r, spec, arg, "a whole number");
}

static void list_value(lua_State *L, const struct row *r, const struct sy_attr_spec *spec, int arg,
                       int64_t *out)
{
    int64_t n = lsy_list_length(L, arg, r->op->name);
    if (n > SY_MAX_DIMS)
        lsy_error(L, "%s: %s has %d elements: at most %d are possible", r->op->name, spec->name,
                  (int)n, SY_MAX_DIMS);
    out[0] = n;
    for (int i = 0; i < n; i++) {
        lua_geti(L, arg, i + 1);
        out[1 + i] = spec->kind == SY_ATTR_DIMS ? dim_value(L, r, spec, lua_gettop(L))
                                                : int_value(L, r, spec, lua_gettop(L));
        lua_pop(L, 1);
    }
}

static bool is_list(const struct sy_attr_spec *spec)
{
    return spec->kind == SY_ATTR_LIST || spec->kind == SY_ATTR_DIMS;
}

static void set_attr(lua_State *L, const struct row *r, const struct sy_attr_spec *spec, int arg,
                     struct sy_attrs *a)
{
    switch (spec->kind) {
    case SY_ATTR_DIM: a->i[spec->slot] = dim_value(L, r, spec, arg); break;
    case SY_ATTR_INT: a->i[spec->slot] = int_value(L, r, spec, arg); break;
    case SY_ATTR_BOOL:
        if (!lua_isboolean(L, arg))
            attr_error(L, r, spec, arg, "true or false");
        a->i[spec->slot] = lua_toboolean(L, arg);
        break;
    case SY_ATTR_REAL:
        if (lua_type(L, arg) != LUA_TNUMBER)
            attr_error(L, r, spec, arg, "a number");
        a->f[spec->slot] = lua_tonumber(L, arg);
        break;
    case SY_ATTR_LIST:
    case SY_ATTR_DIMS:
        if (!lua_istable(L, arg))
            attr_error(L, r, spec, arg, "a list of integers");
        list_value(L, r, spec, arg, &a->i[spec->slot]);
    }
}

/* ---- one call ---- */

struct call {
    lua_State *L;
    const struct row *r;
    struct sy_attrs attrs;
    struct sy_tensor *in[SY_MAX_IN]; /* borrowed from userdata on the stack */
    double number[SY_MAX_IN];
    bool is_number[SY_MAX_IN];
    uint16_t given; /* attributes that have a value */
    int next_in, next_attr, missing;
};

static int too_many(struct call *c, int arg)
{
    char text[24];
    snprintf(text, sizeof text, "%d", arg);
    lsy_push_signature(c->L, c->r->op);
    return lsy_error(c->L, "%s: argument %s is one too many: %s", c->r->op->name, text,
                     lua_tostring(c->L, -1));
}

static void take_tensor(struct call *c, int arg, struct sy_tensor *t)
{
    if (c->next_in >= c->r->nin)
        too_many(c, arg);
    c->in[c->next_in++] = t;
}

/* Attributes from position arg on; a list takes all numbers that follow.  Returns the last used. */
static int take_attr(struct call *c, int arg, int last)
{
    lua_State *L = c->L;
    while (c->next_attr < c->r->nattrs && c->given >> c->next_attr & 1)
        c->next_attr++;
    if (c->next_attr >= c->r->nattrs)
        too_many(c, arg);
    const struct sy_attr_spec *spec = &c->r->attrs[c->next_attr];
    c->given |= (uint16_t)(1u << c->next_attr++);
    if (!is_list(spec) || lua_istable(L, arg)) {
        set_attr(L, c->r, spec, arg, &c->attrs);
        return arg;
    }
    int64_t *out = &c->attrs.i[spec->slot], n = 0;
    for (; arg <= last && lua_type(L, arg) == LUA_TNUMBER; arg++) {
        if (n == SY_MAX_DIMS)
            lsy_error(L, "%s: %s: at most %d dimensions are possible", c->r->op->name, spec->name,
                      SY_MAX_DIMS);
        out[1 + n++] = spec->kind == SY_ATTR_DIMS ? dim_value(L, c->r, spec, arg)
                                                  : int_value(L, c->r, spec, arg);
    }
    if (!n)
        attr_error(L, c->r, spec, arg, "a list of integers");
    out[0] = n;
    return arg - 1;
}

static int find_attr(const struct row *r, const char *name)
{
    for (int i = 0; i < r->nattrs; i++)
        if (!strcmp(r->attrs[i].name, name))
            return i;
    return -1;
}

static int unknown_attr(struct call *c, const char *name)
{
    const char *names[14 + SY_MAX_IN + 1] = {0};
    char inputs[SY_MAX_IN][24];
    int n = 0;
    for (int i = 0; i < c->r->nattrs; i++)
        names[n++] = c->r->attrs[i].name;
    for (int i = c->r->required; i < c->r->nin; i++)
        names[n++] = sy_op_input_name(c->r->op, i, inputs[i]);
    return lsy_unknown(c->L, c->r->op->name, "option", name, names);
}

static void take_option(struct call *c, const char *name, int value)
{
    char input[24];
    int a = find_attr(c->r, name);
    if (a >= 0) {
        set_attr(c->L, c->r, &c->r->attrs[a], value, &c->attrs);
        c->given |= (uint16_t)(1u << a);
        return;
    }
    for (int i = c->r->required; i < c->r->nin; i++)
        if (!strcmp(sy_op_input_name(c->r->op, i, input), name)) {
            c->in[i] = lsy_check_tensor(c->L, value, c->r->op->name, name);
            return;
        }
    unknown_attr(c, name);
}

static void take_options(struct call *c, int arg)
{
    lua_State *L = c->L;
    lua_pushnil(L);
    while (lua_next(L, arg)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            lsy_error(L, "%s: options are name = value: a key here is a %s", c->r->op->name,
                      luaL_typename(L, -2));
        take_option(c, lua_tostring(L, -2), lua_gettop(L));
        lua_pop(L, 1); /* tensors stay anchored in the options table */
    }
}

/* A table with names; an empty one is options too, unless a list may stand there. */
static bool is_options(lua_State *L, const struct row *r, int arg)
{
    if (!lua_istable(L, arg))
        return false;
    bool list = lua_rawgeti(L, arg, 1) != LUA_TNIL;
    lua_settop(L, arg);
    lua_pushnil(L);
    bool empty = !lua_next(L, arg);
    lua_settop(L, arg);
    return !list && !(empty && r->nattrs && is_list(&r->attrs[0]));
}

static void take_number(struct call *c, int arg)
{
    if (c->next_in >= c->r->nin)
        too_many(c, arg);
    c->is_number[c->next_in] = true;
    c->number[c->next_in++] = lua_tonumber(c->L, arg);
    c->missing--;
}

static int number_alone(struct call *c)
{
    char name[24];
    lsy_push_signature(c->L, c->r->op);
    return lsy_error(c->L, "%s: %s must be a tensor: it is %s: %s", c->r->op->name,
                     sy_op_input_name(c->r->op, 0, name), lua_tostring(c->L, 1),
                     lua_tostring(c->L, -1));
}

static void read_arguments(struct call *c, int top)
{
    lua_State *L = c->L;
    int tensors = 0, last = top;
    if (top && is_options(L, c->r, top)) {
        take_options(c, top);
        last--;
    }
    for (int i = 1; i <= last; i++)
        tensors += lsy_test_tensor(L, i) != NULL;
    c->missing = c->r->required - tensors;
    if (!tensors && c->r->required == 1 && last && lua_type(L, 1) == LUA_TNUMBER) /* a.sum(1) */
        number_alone(c);
    for (int i = 1; i <= last; i++) {
        struct sy_tensor *t = lsy_test_tensor(L, i);
        if (t)
            take_tensor(c, i, t);
        else if (lua_type(L, i) == LUA_TNUMBER && c->missing > 0)
            take_number(c, i);
        else if (lua_isnil(L, i)) {
            if (c->next_in >= c->r->required && c->next_in < c->r->nin)
                c->next_in++; /* an optional input left out */
            else
                c->next_attr++; /* its default */
        } else if (c->missing > 0) {
            char name[24];
            sy_op_input_name(c->r->op, c->next_in, name);
            lsy_error(L, "%s: %s must be a tensor or a number: it is a %s", c->r->op->name, name,
                      luaL_typename(L, i));
        } else
            i = take_attr(c, i, last);
    }
}

/* A constant for a number among tensors: of their dtype where it fits, else the next that holds
 * it. */
static struct sy_tensor *constant_of(const struct call *c, double v, struct sy_err *err)
{
    enum sy_dtype d = SY_F32;
    bool whole = v == floor(v) && fabs(v) < 9.0e18;
    for (int i = c->r->nin - 1; i >= 0; i--)
        if (c->in[i] && !c->is_number[i] && c->in[i]->dtype != SY_BOOL)
            d = c->in[i]->dtype;
    if (sy_dtype_stored(d)) /* the operation refuses those with their name */
        d = SY_F32;
    if (d == SY_U8 && whole && (v < 0 || v > 255))
        d = SY_I32;
    if (d == SY_I32 && whole && fabs(v) > 2147483647.0)
        d = SY_I64;
    if ((d == SY_I32 || d == SY_I64 || d == SY_U8) && !whole)
        d = SY_F32;
    struct sy_tensor *t = sy_tensor_scalar(d, v, err);
    if (t)
        t->constant = true;
    return t;
}

/* Put the constants on the stack, owned by userdata. */
static void make_constants(struct call *c)
{
    struct sy_err err = SY_ERR_INIT;
    for (int i = 0; i < c->r->nin; i++) {
        if (!c->is_number[i])
            continue;
        struct sy_tensor **slot = lsy_new_tensor(c->L);
        if (!(*slot = constant_of(c, c->number[i], &err)))
            lsy_raise(c->L, &err);
        c->in[i] = *slot;
    }
}

static int raise_missing(struct call *c, const char *name)
{
    lsy_push_signature(c->L, c->r->op);
    return lsy_error(c->L, "%s: %s is missing: %s", c->r->op->name, name, lua_tostring(c->L, -1));
}

static void check_complete(struct call *c)
{
    char name[24];
    for (int i = 0; i < c->r->required; i++)
        if (!c->in[i])
            raise_missing(c, sy_op_input_name(c->r->op, i, name));
    for (int i = 0; i < c->r->nattrs; i++)
        if (!c->r->attrs[i].has_default && !(c->given >> i & 1))
            raise_missing(c, c->r->attrs[i].name);
}

/* t + delta, on the stack: indices between the user (from 1) and the engine (from 0).  What was
 * just shifted the other way is taken from before the shift, so that in a trace neither costs
 * anything. */
static struct sy_tensor *shifted(struct call *c, struct sy_tensor *t, double delta)
{
    struct sy_err err = SY_ERR_INIT;
    const struct sy_node *n = t->node;
    if (n && n->op == sy_op_get(SY_OP_ADD_) && n->in[1]->constant && !n->in[1]->ndim &&
        sy_tensor_get(n->in[1], 0) == -delta) {
        lsy_push_tensor_ref(c->L, n->in[0]);
        return n->in[0];
    }
    struct sy_tensor **one = lsy_new_tensor(c->L), **sum = lsy_new_tensor(c->L);
    *one = sy_tensor_scalar(t->dtype, delta, &err);
    if (*one)
        (*one)->constant = true;
    struct sy_tensor *in[2] = {t, *one};
    if (*one)
        sy_apply(SY_OP_ADD_, in, 2, NULL, sum, &err);
    if (!*sum)
        lsy_raise(c->L, &err);
    return *sum;
}

static int apply_once(struct call *c, int base, struct sy_err *err)
{
    struct sy_tensor *out[SY_MAX_OUT];
    memset(err, 0, sizeof *err);
    int rc = sy_apply((enum sy_opcode)c->r->code, c->in, c->r->nin, &c->attrs, out, err);
    for (int i = 0; i < c->r->nout && !rc; i++)
        *(struct sy_tensor **)lua_touserdata(c->L, base + 1 + i) = out[i];
    return rc;
}

static int run_call(struct call *c, bool raw)
{
    lua_State *L = c->L;
    struct sy_err err = SY_ERR_INIT;
    make_constants(c);
    check_complete(c);
    int shift_in = raw ? 0 : c->r->index_in, shift_out = raw ? 0 : c->r->index_out;
    if (shift_in && c->in[shift_in - 1])
        c->in[shift_in - 1] = shifted(c, c->in[shift_in - 1], -1);
    int base = lua_gettop(L);
    for (int i = 0; i < c->r->nout; i++)
        lsy_new_tensor(L);
    int rc = apply_once(c, base, &err);
    if (rc && err.code == SY_E_MEMORY) {
        lua_gc(L, LUA_GCCOLLECT);
        rc = apply_once(c, base, &err);
    }
    if (rc)
        return lsy_raise(L, &err);
    if (shift_out) {
        shifted(c, *(struct sy_tensor **)lua_touserdata(L, base + shift_out), 1);
        lua_copy(L, -1, base + shift_out);
        lua_settop(L, base + c->r->nout);
    }
    return c->r->nout;
}

static int call_row(lua_State *L, const struct row *r, bool raw)
{
    struct call c = {.L = L, .r = r, .attrs = r->preset};
    luaL_checkstack(L, SY_MAX_IN + SY_MAX_OUT + 8, r->op->name);
    read_arguments(&c, lua_gettop(L));
    return run_call(&c, raw);
}

/* As a method, where reads a:where(c, b): a where c holds, else b.  The row wants c first, as the
 * function tensor.where(c, a, b) has it. */
static void put_condition_first(lua_State *L)
{
    const struct sy_tensor *a = lsy_test_tensor(L, 1), *c = lsy_test_tensor(L, 2);
    if (!a || !c || a->dtype == SY_BOOL || c->dtype != SY_BOOL)
        return;
    lua_pushvalue(L, 2);
    lua_copy(L, 1, 2);
    lua_replace(L, 1);
}

static int op_function(lua_State *L)
{
    const struct row *r = lua_touserdata(L, lua_upvalueindex(1));
    if (r->code == SY_OP_WHERE_)
        put_condition_first(L);
    return call_row(L, r, false);
}

static int raw_function(lua_State *L)
{
    return call_row(L, lua_touserdata(L, lua_upvalueindex(1)), true);
}

void lsy_ops_fill(lua_State *L, bool raw)
{
    for (int i = 0; i < SY_OP_COUNT; i++) {
        if (!rows[i].op)
            fill_row(&rows[i], i);
        if (!raw && (rows[i].op->flags & SY_OP_INTERNAL || !rows[i].nin)) /* draws: see make.c */
            continue;
        lua_pushlightuserdata(L, &rows[i]);
        lua_pushcclosure(L, raw ? raw_function : op_function, 1);
        lua_setfield(L, -2, rows[i].op->name);
    }
}
