/* Constructors of tensors, and what belongs to the machine: threads, kernels, seed.  Layer
 * bind/tensor. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/core/state.h"
#include "bind/tensor/open.h"
#include "bind/tensor/tensor.h"

#include "base/machine.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/str.h"
#include "cpu/cpu.h"
#include "ops/op.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Bytes: smaller ones are not worth asking the system for what is free. */
#define ASK_FROM ((size_t)64 << 20)

struct options {
    int dtype;
    int64_t seed;
    bool grad;
};

static const struct lsy_option plain_options[] = {
    {.name = "dtype", .kind = LSY_DTYPE, .at = offsetof(struct options, dtype)},
    {.name = "grad", .kind = LSY_BOOL, .at = offsetof(struct options, grad)},
};
static const struct lsy_option random_options[] = {
    {.name = "dtype", .kind = LSY_DTYPE, .at = offsetof(struct options, dtype)},
    {.name = "seed",
     .kind = LSY_INT,
     .at = offsetof(struct options, seed),
     .min = 0,
     .max = 9.2e18},
    {.name = "grad", .kind = LSY_BOOL, .at = offsetof(struct options, grad)},
};

int lsy_room(size_t bytes, const char *what, struct sy_err *err)
{
    char want[16], have[16];
    size_t all = sy_machine_memory(), used = sy_mem_live();
    size_t room = all / 10 * 9 > used ? all / 10 * 9 - used : 0;
    if (bytes > ASK_FROM && bytes <= room) { /* others live on this machine, too */
        size_t available = sy_machine_available();
        room = available < room ? available : room;
    }
    if (bytes <= room)
        return 0;
    sy_human_bytes((double)bytes, want);
    sy_human_bytes((double)room, have);
    return sy_err_set(err, SY_E_MEMORY, "%s: out of memory: %zu bytes (%s) wanted, %s are free",
                      what, bytes, want, have);
}

/* A zeroed tensor on the stack; NULL: err says why not. */
static struct sy_tensor *try_zeroed(lua_State *L, const char *what, int dtype, int ndim,
                                    const int64_t *shape, struct sy_err *err)
{
    struct sy_tensor **slot = lsy_new_tensor(L);
    size_t bytes;
    for (int i = 0; i < ndim; i++)
        if (shape[i] < 0)
            lsy_error(L, "%s: size of dimension %d must not be negative: it is %lld", what, i + 1,
                      (long long)shape[i]);
    if (sy_shape_bytes((enum sy_dtype)dtype, ndim, shape, &bytes, err) ||
        lsy_room(bytes, what, err) ||
        !(*slot = sy_tensor_zeros((enum sy_dtype)dtype, ndim, shape, err)))
        lua_gc(L, LUA_GCCOLLECT);
    return *slot;
}

static struct sy_tensor *make_zeroed(lua_State *L, const char *what, int dtype, int ndim,
                                     const int64_t *shape)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = try_zeroed(L, what, dtype, ndim, shape, &err);
    if (!t)
        lsy_raise(L, &err);
    return t;
}

/* Shape from `arg` on, then options: the number of dimensions. */
static int read_shape(lua_State *L, const char *what, int arg, struct options *o, bool random,
                      int64_t *shape)
{
    int next, top = lua_gettop(L);
    int n = lsy_check_shape(L, arg, top, what, shape, &next);
    if (next < top)
        lsy_error(L, "%s: argument %d is one too many", what, next + 1);
    if (next == top && !lua_istable(L, next))
        lsy_error(L, "%s: argument %d must be a size or a table of options: it is a %s", what, next,
                  luaL_typename(L, next));
    if (random)
        LSY_OPTIONS(L, next, what, random_options, o);
    else
        LSY_OPTIONS(L, next, what, plain_options, o);
    return n;
}

static struct sy_tensor *make_with(lua_State *L, const char *what, const struct options *o, int n,
                                   const int64_t *shape)
{
    struct sy_tensor *t = make_zeroed(L, what, o->dtype, n, shape);
    if (o->grad)
        sy_tensor_set_requires_grad(t, true);
    return t;
}

/* The tensor is on the stack. */
static struct sy_tensor *shaped(lua_State *L, const char *what, int arg, struct options *o)
{
    int64_t shape[SY_MAX_DIMS];
    int n = read_shape(L, what, arg, o, false, shape);
    return make_with(L, what, o, n, shape);
}

/* `tensor.zeros{2, 3, dtype = "f64"}` is read as the shape with its options. */
static void split_shape_table(lua_State *L, int arg)
{
    if (lua_gettop(L) != arg || !lua_istable(L, arg))
        return;
    lua_newtable(L);
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, arg)) {
        bool list = lua_type(L, -2) == LUA_TNUMBER;
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, list ? -5 : -4);
    }
    lua_remove(L, arg);
}

/* All elements as the number or boolean on top of the stack. */
static void fill_all(lua_State *L, const char *what, struct sy_tensor *t)
{
    char *p = sy_data(t);
    size_t size = sy_dtype_size(t->dtype), done = size, bytes = sy_tensor_bytes(t);
    if (!bytes)
        return;
    lsy_put(L, what, t, 0, lua_gettop(L));
    for (size_t n; done < bytes; done += n) {
        n = done < bytes - done ? done : bytes - done;
        memcpy(p + done, p, n);
    }
}

static int make_zeros(lua_State *L)
{
    struct options o = {.dtype = SY_F32};
    split_shape_table(L, 1);
    shaped(L, "zeros", 1, &o);
    return 1;
}

static int make_ones(lua_State *L)
{
    struct options o = {.dtype = SY_F32};
    split_shape_table(L, 1);
    struct sy_tensor *t = shaped(L, "ones", 1, &o);
    lua_pushinteger(L, 1);
    fill_all(L, "ones", t);
    lua_pop(L, 1);
    return 1;
}

/* full({2, 3}, v, options) or full(2, 3, v, options) */
static int make_full(lua_State *L)
{
    struct options o = {.dtype = SY_F32};
    int value = lua_istable(L, 1) ? 2 : lua_gettop(L) - (lua_istable(L, -1) ? 1 : 0);
    if (value < 1 || (lua_type(L, value) != LUA_TNUMBER && !lua_isboolean(L, value)))
        return lsy_error(L, "full: takes a shape and a number: tensor.full({2, 3}, 7)");
    lua_pushvalue(L, value); /* below all others, out of the way of the shape */
    lua_insert(L, 1);
    lua_remove(L, value + 1);
    struct sy_tensor *t = shaped(L, "full", 2, &o);
    lua_pushvalue(L, 1);
    fill_all(L, "full", t);
    lua_pop(L, 1);
    return 1;
}

/* Integers get whole numbers only, that a double counts exactly. */
static void check_range(lua_State *L, enum sy_dtype d, double first, double step, int64_t n)
{
    double ends[3] = {first, first + step, first + (double)(n - 1) * step};
    for (int i = 0; i < 3 && n > (i == 1); i++) {
        lsy_check_fits(L, "arange", d, ends[i]);
        if (d == SY_I64 && fabs(ends[i]) > 0x1p53)
            lsy_error(L, "arange: %.17g is beyond 2^53: elements would be rounded", ends[i]);
    }
}

static int make_arange(lua_State *L)
{
    struct options o = {.dtype = SY_F32};
    int n = lua_gettop(L) - (lua_istable(L, -1) ? 1 : 0);
    double v[3] = {0, 0, 1};
    if (n < 1 || n > 3)
        return lsy_error(L, "arange: takes (n), (first, limit) or (first, limit, step)");
    for (int i = 0; i < n; i++) {
        if (lua_type(L, i + 1) != LUA_TNUMBER)
            return lsy_error(L, "arange: argument %d must be a number: it is a %s", i + 1,
                             luaL_typename(L, i + 1));
        v[n == 1 ? 1 : i] = lua_tonumber(L, i + 1);
    }
    LSY_OPTIONS(L, n + 1, "arange", plain_options, &o);
    double count = ceil((v[1] - v[0]) / v[2]);
    if (!(v[2] != 0) || !isfinite(count))
        return lsy_error(L, "arange: step must be a finite number other than 0");
    int64_t size = count > 0 ? count < 9e18 ? (int64_t)count : INT64_MAX : 0;
    check_range(L, (enum sy_dtype)o.dtype, v[0], v[2], size);
    struct sy_tensor *t = make_zeroed(L, "arange", o.dtype, 1, &size);
    for (int64_t i = 0; i < size; i++)
        sy_tensor_set(t, i, v[0] + (double)i * v[2]);
    return 1;
}

static int make_eye(lua_State *L)
{
    struct options o = {.dtype = SY_F32};
    int64_t shape[2];
    shape[0] = lsy_check_int(L, 1, "eye", "n", 0, INT64_MAX);
    bool two = lua_type(L, 2) == LUA_TNUMBER;
    shape[1] = two ? lsy_check_int(L, 2, "eye", "m", 0, INT64_MAX) : shape[0];
    LSY_OPTIONS(L, two ? 3 : 2, "eye", plain_options, &o);
    struct sy_tensor *t = make_zeroed(L, "eye", o.dtype, 2, shape);
    for (int64_t i = 0; i < shape[0] && i < shape[1]; i++)
        sy_tensor_set(t, i * shape[1] + i, 1);
    return 1;
}

/* ---- random ---- */

/* With a seed a pure function of it; without one, of the session's seed and a counter. */
static struct sy_rng rng_of(const struct options *o)
{
    struct sy_context *c = sy_context();
    if (o->seed >= 0)
        return (struct sy_rng){(uint64_t)o->seed, SY_RNG_USER, 0};
    return (struct sy_rng){c->seed, SY_RNG_USER, ++c->step};
}

struct draw {
    const char *what;
    enum sy_opcode op;
    struct options o;
    int ndim;
    int64_t shape[SY_MAX_DIMS], low, high;
};

/* Without a seed, in a function that is being recorded: drawn anew whenever the program runs. */
static bool is_recorded(const struct draw *d)
{
    return d->o.seed < 0 && sy_context()->record;
}

/* What the operations draw; bf16 and bool are made of these, as they are where they are drawn at
 * once. */
static int drawn_as(int dtype)
{
    return dtype == SY_BF16 ? SY_F32 : dtype == SY_BOOL ? SY_U8 : dtype;
}

/* An operation of the program. */
static int record_draw(lua_State *L, const struct draw *d)
{
    struct sy_err err = SY_ERR_INIT;
    int as = drawn_as(d->o.dtype);
    struct sy_attrs attrs = {.i = {d->ndim}}, cast = {.i = {d->o.dtype}};
    memcpy(attrs.i + 1, d->shape, (size_t)d->ndim * sizeof *d->shape);
    attrs.i[9] = as;
    attrs.i[10] = d->low;
    attrs.i[11] = d->high;
    if (d->o.grad)
        return lsy_error(L, "%s: grad: a draw in a model's function is no parameter; see ?nn.param",
                         d->what);
    struct sy_tensor **drawn = lsy_new_tensor(L), **out = drawn;
    int rc = sy_apply(d->op, NULL, 0, &attrs, drawn, &err);
    if (!rc && as != d->o.dtype)
        rc = sy_apply(SY_OP_CAST_, drawn, 1, &cast, out = lsy_new_tensor(L), &err);
    return rc ? lsy_raise(L, &err) : 1;
}

#define CHUNK 1024
static void fill_random(struct sy_tensor *t, const struct sy_rng *r, bool normal)
{
    float part[CHUNK];
    int64_t n = sy_tensor_count(t);
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t m = n - at < CHUNK ? n - at : CHUNK;
        float *to = t->dtype == SY_F32 ? (float *)sy_data(t) + at : part;
        if (normal)
            sy_rng_fill_normal(r, (uint64_t)at, to, m);
        else
            sy_rng_fill_uniform(r, (uint64_t)at, to, m);
        for (int64_t i = 0; to == part && i < m; i++)
            sy_tensor_set(t, at + i, (double)part[i]);
    }
}

static int make_random(lua_State *L, const char *what, enum sy_opcode op)
{
    struct draw d = {.what = what, .op = op, .o = {.dtype = SY_F32, .seed = -1}};
    split_shape_table(L, 1);
    d.ndim = read_shape(L, what, 1, &d.o, true, d.shape);
    if (d.o.dtype != SY_F32 && d.o.dtype != SY_F64 && d.o.dtype != SY_BF16)
        return lsy_error(L, "%s: dtype must be f32, f64 or bf16: it is %s", what,
                         sy_dtype_name((enum sy_dtype)d.o.dtype));
    if (is_recorded(&d))
        return record_draw(L, &d);
    struct sy_tensor *t = make_with(L, what, &d.o, d.ndim, d.shape);
    struct sy_rng r = rng_of(&d.o);
    fill_random(t, &r, op == SY_OP_RANDN_);
    return 1;
}

static int make_rand(lua_State *L) { return make_random(L, "rand", SY_OP_RAND_); }
static int make_randn(lua_State *L) { return make_random(L, "randn", SY_OP_RANDN_); }

static int make_randint(lua_State *L)
{
    struct draw d = {.what = "randint", .op = SY_OP_RANDINT_, .o = {.dtype = SY_I32, .seed = -1}};
    d.low = lsy_check_int(L, 1, "randint", "low", INT64_MIN / 4, INT64_MAX / 4);
    d.high = lsy_check_int(L, 2, "randint", "high", d.low, INT64_MAX / 4);
    d.ndim = read_shape(L, "randint", 3, &d.o, true, d.shape);
    lsy_check_fits(L, "randint", (enum sy_dtype)d.o.dtype, (double)d.low);
    lsy_check_fits(L, "randint", (enum sy_dtype)d.o.dtype, (double)d.high);
    if (is_recorded(&d))
        return record_draw(L, &d);
    struct sy_tensor *t = make_with(L, "randint", &d.o, d.ndim, d.shape);
    struct sy_rng r = rng_of(&d.o);
    int64_t n = sy_tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        sy_tensor_set(t, i,
                      (double)(d.low + (int64_t)sy_rng_below(&r, (uint64_t)i,
                                                             (uint64_t)(d.high - d.low) + 1)));
    return 1;
}

static int make_seed(lua_State *L)
{
    struct sy_context *c = sy_context();
    c->seed = (uint64_t)lsy_check_int(L, 1, "seed", "seed", 0, INT64_MAX);
    c->step = 0;
    return 0;
}

/* ---- nested tables ---- */

struct nest {
    const char *what;
    int ndim;
    int64_t shape[SY_MAX_DIMS];
    bool booleans, numbers;
};

static void measure_nest(lua_State *L, int arg, struct nest *n)
{
    lua_pushvalue(L, arg);
    while (lua_istable(L, -1)) {
        if (n->ndim == SY_MAX_DIMS)
            lsy_error(L, "%s: nested more than %d deep", n->what, SY_MAX_DIMS);
        n->shape[n->ndim++] = lsy_list_length(L, -1, n->what);
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
    }
    lua_pop(L, 1);
}

static int64_t store_nest(lua_State *L, int idx, struct nest *n, int dim, struct sy_tensor *t,
                          int64_t at)
{
    if (dim == n->ndim) {
        if (lua_isboolean(L, idx) || lua_type(L, idx) == LUA_TNUMBER)
            lsy_put(L, n->what, t, at, idx);
        else
            lsy_error(L, "%s: element %lld must be a number: it is a %s", n->what,
                      (long long)at + 1, luaL_typename(L, idx));
        return at + 1;
    }
    if (!lua_istable(L, idx) || lsy_list_length(L, idx, n->what) != n->shape[dim])
        lsy_error(L, "%s: rows differ in length: dimension %d has %lld elements in the first row, "
                     "not everywhere", n->what, dim + 1, (long long)n->shape[dim]);
    luaL_checkstack(L, 4, n->what);
    for (int64_t i = 1; i <= n->shape[dim]; i++) {
        lua_rawgeti(L, idx, i);
        at = store_nest(L, lua_gettop(L), n, dim + 1, t, at);
        lua_pop(L, 1);
    }
    return at;
}

static bool first_is_boolean(lua_State *L, int arg)
{
    lua_pushvalue(L, arg);
    while (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
    }
    bool b = lua_isboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

void lsy_table_tensor(lua_State *L, int arg, const char *what, int dtype)
{
    struct nest n = {.what = what};
    arg = lua_absindex(L, arg);
    if (!lua_istable(L, arg) && lua_type(L, arg) != LUA_TNUMBER && !lua_isboolean(L, arg))
        lsy_error(L, "%s: takes nested tables of numbers: it is a %s", what, luaL_typename(L, arg));
    measure_nest(L, arg, &n);
    if (dtype < 0)
        dtype = first_is_boolean(L, arg) ? SY_BOOL : SY_F32;
    struct sy_tensor *t = make_zeroed(L, what, dtype, n.ndim, n.shape);
    store_nest(L, arg, &n, 0, t, 0);
}

/* tensor{...}, tensor({...}, options), tensor{1, 2, dtype = "i32"} */
static int make_tensor(lua_State *L)
{
    struct options o = {.dtype = -1};
    lua_remove(L, 1); /* the table `tensor` itself */
    if (lsy_test_tensor(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    if (lua_gettop(L) == 1)
        split_shape_table(L, 1);
    LSY_OPTIONS(L, 2, "tensor", plain_options, &o);
    lsy_table_tensor(L, 1, "tensor", o.dtype);
    if (o.grad)
        sy_tensor_set_requires_grad(lsy_test_tensor(L, -1), true);
    return 1;
}

/* ---- the machine ---- */

static int machine_threads(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (!lua_isnoneornil(L, 1)) {
        int n = (int)lsy_check_int(L, 1, "threads", "n", 1, SY_POOL_MAX);
        if (sy_pool_set_threads(n, &err))
            return lsy_raise(L, &err);
    }
    lua_pushinteger(L, sy_pool_threads());
    return 1;
}

static int machine_cpu(lua_State *L)
{
    static double peak[2];
    static int threads;
    if (lua_toboolean(L, 1) || threads != sy_pool_threads()) {
        threads = sy_pool_threads();
        peak[0] = sy_cpu_peak(0);
        peak[1] = sy_cpu_peak(1);
    }
    lua_pushstring(L, sy_cpu()->name);
    lua_pushnumber(L, peak[0]);
    lua_pushnumber(L, peak[1]);
    return 3;
}

static int machine_memory(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)sy_mem_live());
    lua_setfield(L, -2, "live");
    lua_pushinteger(L, (lua_Integer)sy_mem_peak());
    lua_setfield(L, -2, "peak");
    lua_pushinteger(L, (lua_Integer)sy_mem_count());
    lua_setfield(L, -2, "allocations");
    lua_pushinteger(L, (lua_Integer)sy_machine_memory());
    lua_setfield(L, -2, "machine");
    lua_pushinteger(L, (lua_Integer)lsy_state(L)->live);
    lua_setfield(L, -2, "lua");
    return 1;
}

/* engine.zeros(shape) -> tensor; nil, message, "MEMORY": there is no room for it */
static int l_zeros(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t shape[SY_MAX_DIMS];
    int next, n = lsy_check_shape(L, 1, 1, "zeros", shape, &next);
    if (try_zeroed(L, "zeros", SY_F32, n, shape, &err))
        return 1;
    return err.code == SY_E_MEMORY ? lsy_fail(L, &err) : lsy_raise(L, &err);
}

static const luaL_Reg functions[] = {
    {"zeros", make_zeros},     {"ones", make_ones},     {"full", make_full},
    {"arange", make_arange},   {"eye", make_eye},       {"rand", make_rand},
    {"randn", make_randn},     {"randint", make_randint}, {"seed", make_seed},
    {"threads", machine_threads}, {"cpu", machine_cpu}, {"memory", machine_memory},
    {NULL, NULL}};

static const luaL_Reg for_library[] = {{"zeros", l_zeros}, {NULL, NULL}};

static const struct lsy_doc docs[] = {
    {"tensor.zeros", "tensor.zeros(n, ..., {dtype=, grad=})",
     "A tensor of zeros; dtype is f32 unless given.", "tensor.zeros(2, 3, {dtype = \"f64\"})"},
    {"tensor.ones", "tensor.ones(n, ..., {dtype=, grad=})", "A tensor of ones.",
     "tensor.ones(2, 3)"},
    {"tensor.full", "tensor.full({n, ...}, x, {dtype=, grad=})",
     "A tensor whose elements are all x.", "tensor.full({2, 3}, 7)"},
    {"tensor.arange", "tensor.arange(first, limit, step, {dtype=, grad=})",
     "first, first + step, ... below limit. With one number: 0, 1, ... below it.",
     "tensor.arange(6):view(2, 3)"},
    {"tensor.eye", "tensor.eye(n, m, {dtype=, grad=})",
     "Ones on the diagonal; m is n unless given.", "tensor.eye(3)"},
    {"tensor.rand", "tensor.rand(n, ..., {seed=, dtype=, grad=})",
     "Uniform in [0, 1). With a seed a pure function of it; else tensor.seed and the number of "
     "draws decide. In a model's or router's function a draw without a seed is made anew for each "
     "step and micro-batch, a function of the run's seed, the step and the place of the draw: the "
     "same after a resume, in a replay and when recomputed. With a seed it is constant. Evaluation "
     "and decoding draw as well; a function may ask nn.mode().",
     "tensor.rand(3, {seed = 1})"},
    {"tensor.randn", "tensor.randn(n, ..., {seed=, dtype=, grad=})",
     "Standard normal numbers; seed as in tensor.rand.", "tensor.randn(4, 3, {seed = 1})"},
    {"tensor.randint", "tensor.randint(low, high, n, ..., {seed=, dtype=})",
     "Integers from low to high, both included; dtype is i32 unless given.",
     "tensor.randint(1, 6, 10, {seed = 1})"},
    {"tensor.seed", "tensor.seed(n)", "Seed of all draws that follow without a seed of their own.",
     "tensor.seed(1)"},
    {"tensor.threads", "tensor.threads(n) -> n",
     "Number of threads that operations use; with an argument it is set first. Results do not "
     "depend on it.",
     "tensor.threads()"},
    {"tensor.cpu", "tensor.cpu(again) -> name, peak, bf16_peak",
     "The kernel set in use (ref, avx2, avx512, neon) and the FMA peaks in FLOP/s, measured on all "
     "threads.",
     "tensor.cpu()"},
    {"tensor.memory", "tensor.memory() -> {live=, peak=, allocations=, machine=, lua=}",
     "Bytes: of the engine now and at most, of the machine, of Lua's objects; allocations so far.",
     "tensor.memory().live"},
};

void lsy_open_make(lua_State *L)
{
    lua_getglobal(L, "tensor");
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L);
    lsy_set(L, "__call", make_tensor);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
    LSY_DOCS(L, docs);
    lsy_add_functions(L, for_library);
}
