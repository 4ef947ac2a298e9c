/* Small functions of the module "switchyard.engine" that lua/ needs: filling and copying tensors,
 * drawing tokens, batches, the table of hyper-parameters, output.  Layer bind. */
#include "bind/core/handle.h"
#include "bind/thread/job_int.h"
#include "config.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/utf8.h"
#include "bind/data/data.h"
#include "bind/thread/progress.h"
#include "cpu/cpu.h"
#include "run/store.h"
#include "switchyard/data.h"
#include "switchyard/hyper.h"
#include "tensor/tensor.h"
#include "train/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* engine.fill(tensor, std, seed, index): normal with mean 0, element i a function of (seed, index,
 * i) */
static int l_fill(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "fill", "tensor");
    float std = (float)luaL_checknumber(L, 2);
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 3), .purpose = SY_RNG_INIT,
                       .step = (uint64_t)luaL_checkinteger(L, 4)};
    float *x = sy_data(t);
    int64_t n = sy_tensor_count(t);
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "fill: the tensor must be contiguous f32");
    sy_rng_fill_normal(&r, 0, x, n);
    for (int64_t i = 0; i < n; i++)
        x[i] *= std;
    return 0;
}

/* engine.copy(to, from): bytes of equal dtype and shape; engine for writing inputs */
static int l_copy(lua_State *L)
{
    struct sy_tensor *to = lsy_check_data(L, 1, "copy", "to");
    struct sy_tensor *from = lsy_check_data(L, 2, "copy", "from");
    if (to->dtype != from->dtype || sy_tensor_bytes(to) != sy_tensor_bytes(from) ||
        !sy_tensor_contiguous(to) || !sy_tensor_contiguous(from))
        return lsy_error(L, "copy: dtypes, sizes or layouts differ");
    memcpy(sy_data(to), sy_data(from), sy_tensor_bytes(to));
    return 0;
}

/* engine.has_values(tensor): false for what is only recorded */
static int l_has_values(lua_State *L)
{
    lua_pushboolean(L, sy_tensor_data(lsy_check_tensor(L, 1, "has_values", "tensor")) != NULL);
    return 1;
}

/* engine.length(what, list) -> number of its elements; raises where one is nil */
static int l_length(lua_State *L)
{
    const char *what = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_pushinteger(L, lsy_list_length(L, 2, what));
    return 1;
}

/* engine.put(tensor, {numbers}) from the first element on */
static int l_put(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "put", "tensor");
    int64_t n = luaL_len(L, 2);
    if (n > sy_tensor_count(t))
        return lsy_error(L, "put: %d numbers into a tensor of %d", (int)n, (int)sy_tensor_count(t));
    for (int64_t i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1);
        sy_tensor_set(t, i, lua_tonumber(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

struct choice {
    float logit;
    int32_t id;
};

static int larger_logit(const void *a, const void *b)
{
    const struct choice *x = a, *y = b;
    return x->logit < y->logit ? 1 : x->logit > y->logit ? -1 : x->id - y->id;
}

/* Draw from softmax(logits / temperature) cut to the top_k likeliest and to the smallest set of
 * mass top_p.  Sources: Fan et al. 2018 (top-k); Holtzman et al. 2020 (nucleus). */
static int32_t draw(struct choice *c, int64_t n, double temperature, int64_t top_k, double top_p,
                    double u)
{
    qsort(c, (size_t)n, sizeof *c, larger_logit);
    if (temperature <= 0)
        return c[0].id;
    n = top_k > 0 && top_k < n ? top_k : n;
    double sum = 0, kept = 0, best = (double)c[0].logit;
    for (int64_t i = 0; i < n; i++)
        sum += exp(((double)c[i].logit - best) / temperature);
    int64_t m = 0;
    while (m < n && (m == 0 || kept < top_p * sum))
        kept += exp(((double)c[m++].logit - best) / temperature);
    double at = u * kept;
    for (int64_t i = 0; i < m; i++)
        if ((at -= exp(((double)c[i].logit - best) / temperature)) < 0)
            return c[i].id;
    return c[m - 1].id;
}

/* engine.draw(logits, row, temperature, top_k, top_p, seed, index, ids) -> id, below ids where that
 * is given */
static int l_draw(lua_State *L)
{
    struct sy_tensor *t = lsy_check_data(L, 1, "generate", "logits");
    int64_t row = luaL_checkinteger(L, 2), top_k = luaL_checkinteger(L, 4);
    double temperature = luaL_checknumber(L, 3), top_p = luaL_checknumber(L, 5);
    struct sy_rng r = {.seed = (uint64_t)luaL_checkinteger(L, 6), .purpose = SY_RNG_SAMPLE};
    double u = sy_rng_uniform(&r, (uint64_t)luaL_checkinteger(L, 7));
    int64_t n = t->ndim ? t->shape[t->ndim - 1] : 0, rows = n ? sy_tensor_count(t) / n : 0;
    if (t->dtype != SY_F32 || !sy_tensor_contiguous(t))
        return lsy_error(L, "generate: the logits must be contiguous f32");
    if (row < 1 || row > rows)
        return lsy_error(L, "generate: row %d of the logits is wanted, there are %d", (int)row,
                         (int)rows);
    int64_t ids = luaL_optinteger(L, 8, n), among = ids > 0 && ids < n ? ids : n;
    const float *x = (const float *)sy_data(t) + (row - 1) * n;
    struct choice *c = sy_alloc((size_t)among * sizeof *c); /* nothing raises from here to its end */
    if (!c)
        return lsy_error(L, "generate: out of memory");
    for (int64_t i = 0; i < among; i++)
        c[i] = (struct choice){isnan(x[i]) ? -INFINITY : x[i], (int32_t)i};
    int32_t id = draw(c, among, temperature, top_k, top_p, u);
    sy_free(c);
    lua_pushinteger(L, id);
    return 1;
}

/* engine.hyper() -> list of {name, integer, flag, least, most, default, live, help} in order */
static int l_hyper(lua_State *L)
{
    static const char *const live[] = {"next", "plan", "never"};
    lua_newtable(L);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        const struct sy_hyper_spec *s = sy_hyper_spec((enum sy_hyper_id)i);
        lua_createtable(L, 0, 7);
        lsy_set_text(L, "name", s->name);
        lsy_set_boolean(L, "integer", s->integer);
        lsy_set_boolean(L, "flag", sy_hyper_is_flag((enum sy_hyper_id)i));
        lsy_set_number(L, "least", s->least);
        lsy_set_number(L, "most", s->most);
        lsy_set_number(L, "default", s->preset);
        lsy_set_text(L, "live", live[s->live]);
        lsy_set_text(L, "help", s->help);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* engine.is_data(value) -> whether it is a data set */
static int l_is_data(lua_State *L)
{
    lua_pushboolean(L, luaL_testudata(L, 1, "switchyard.data") != NULL);
    return 1;
}

/* Contiguous (B,T) i32, of the shape of `like` unless that is NULL. */
static struct sy_tensor *check_ids(lua_State *L, int arg, const struct sy_tensor *like)
{
    struct sy_tensor *x = lsy_check_data(L, arg, "batch", "ids");
    if (x->ndim != 2 || x->dtype != SY_I32 || !sy_tensor_contiguous(x) ||
        (like && !sy_tensor_same_shape(x, like)))
        lsy_error(L, "batch: tokens, targets and documents must be contiguous i32 of one shape (B, T)");
    return x;
}

/* engine.batch(corpus, seed, windows, tokens, targets): what training by sampling "random" draws
 * after so many windows, into two i32 tensors (B,T) */
static int l_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *x = check_ids(L, 4, NULL), *y = check_ids(L, 5, x);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = x->shape[0],
                           .context = x->shape[1], .seed = (uint64_t)luaL_checkinteger(L, 2)};
    struct sy_place place = {.windows = (uint64_t)luaL_checkinteger(L, 3)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    sy_sampler_batch(&s, &place, 0, sy_data(x), sy_data(y), NULL);
    return 0;
}

/* engine.eval_windows(corpus, T, batches) -> windows of an evaluation of so many batches */
static int l_eval_windows(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = 1, .split = SY_SPLIT_VAL,
                           .context = luaL_checkinteger(L, 2)};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    lua_pushinteger(L, sy_eval_windows(&s, lsy_check_int(L, 3, "loss", "batches", 1, INT64_MAX)));
    return 1;
}

/* engine.eval_batch(corpus, first, end, tokens, targets, documents or nil): windows first .. end-1,
 * from 0, as far as there are rows; surplus rows have targets -1.  -> how many windows it has
 * filled */
static int l_eval_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *x = check_ids(L, 4, NULL), *y = check_ids(L, 5, x);
    struct sy_tensor *documents = lua_isnoneornil(L, 6) ? NULL : check_ids(L, 6, x);
    int64_t first = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = x->shape[0],
                           .context = x->shape[1], .split = SY_SPLIT_VAL};
    if (first < 0 || end <= first)
        return lsy_error(L, "batch: windows %d to %d: there are none", (int)first, (int)end);
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    sy_eval_batch(&s, first, end, sy_data(x), sy_data(y), documents ? sy_data(documents) : NULL);
    lua_pushinteger(L, end - first < s.batch ? end - first : s.batch);
    return 1;
}

/* engine.check_batch(corpus, B, T): raises when the training text is shorter than a window */
static int l_check_batch(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_sampler s = {.corpus = lsy_check_corpus(L, 1), .batch = luaL_checkinteger(L, 2),
                           .context = luaL_checkinteger(L, 3), .split = SY_SPLIT_TRAIN};
    if (sy_sampler_check(&s, &err))
        return lsy_raise(L, &err);
    return 0;
}

/* engine.nearest(word, {names}) -> name or nil */
static int l_nearest(lua_State *L)
{
    const char *word = luaL_checkstring(L, 1);
    int n = (int)luaL_len(L, 2);
    const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
    luaL_checkstack(L, n, "names");
    for (int i = 0; i < n; i++) {
        lua_geti(L, 2, i + 1); /* stays on the stack, so the text stays */
        names[i] = luaL_checkstring(L, -1);
    }
    names[n] = NULL;
    lua_pushstring(L, sy_nearest(word, names));
    return 1;
}

/* engine.entropy() -> a number that differs from call to call (names of runs only) */
static int l_entropy(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)(sy_now_ns() / 1000 & 0x7fffffff));
    return 1;
}

/* engine.line(text): as progress lines go; engine.write(text): plain, sanitized for a terminal */
static int l_line(lua_State *L)
{
    lsy_progress_line("%s", luaL_checkstring(L, 1));
    return 0;
}

static int l_write(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    if (lsy_progress_get() == LSY_PROGRESS_JSON) {
        lsy_progress_text("text", text, n);
        return 0;
    }
    sy_utf8_sanitize(&s, text, n);
    const char *safe = s.data ? s.data : "";
    if (!lsy_job_write(safe, s.len)) {
        fwrite(safe, 1, s.len, stdout);
        fflush(stdout);
    }
    sy_str_free(&s);
    return 0;
}

/* engine.event(run, kind, text): a line of a run, "[run] text"; with --json an event of that
 * kind */
static int l_event(lua_State *L)
{
    lsy_progress_event(luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checkstring(L, 3));
    return 0;
}

/* engine.bytes(n) -> "1.2 MB" */
static int l_bytes(lua_State *L)
{
    char text[16];
    sy_human_bytes((double)luaL_checknumber(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

/* engine.cwd() -> the working directory, or "." */
static int l_cwd(lua_State *L)
{
    char path[4096];
    lua_pushstring(L, getcwd(path, sizeof path) ? path : ".");
    return 1;
}

/* engine.runs_dir() -> where runs are kept; with a text: from now on there */
static int l_runs_dir(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        setenv("SWITCHYARD_RUNS", luaL_checkstring(L, 1), 1);
    lua_pushstring(L, sy_runs_dir());
    return 1;
}

/* engine.dir_make(path) -> true; or nil, message, code.  With its parents. */
static int l_dir_make(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    if (sy_dir_make(luaL_checkstring(L, 1), &err))
        return lsy_fail_or_raise(L, &err);
    lua_pushboolean(L, 1);
    return 1;
}

/* engine.now() -> seconds of a clock that never goes back */
static int l_now(lua_State *L)
{
    lua_pushnumber(L, sy_now());
    return 1;
}

/* engine.f32(bytes) -> f32 tensor of the bytes, little-endian */
static int l_f32(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    size_t n;
    const char *bytes = luaL_checklstring(L, 1, &n);
    int64_t count = (int64_t)(n / sizeof(float));
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_F32, 1, &count, &err)))
        return lsy_raise(L, &err);
    memcpy(sy_data(*slot), bytes, (size_t)count * sizeof(float));
    return 1;
}

/* engine.clone(t) -> contiguous copy with bytes of its own */
static int l_clone(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = lsy_check_data(L, 1, "clone", "tensor");
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!sy_tensor_contiguous(t))
        return lsy_error(L, "clone: the tensor must be contiguous");
    if (!(*slot = sy_tensor_empty(t->dtype, t->ndim, t->shape, &err)))
        return lsy_raise(L, &err);
    memcpy(sy_data(*slot), sy_data(t), sy_tensor_bytes(t));
    return 1;
}

/* ---- registration ---- */

static const luaL_Reg functions[] = {
    {"fill", l_fill},
    {"copy", l_copy},
    {"has_values", l_has_values},
    {"length", l_length},
    {"put", l_put},
    {"draw", l_draw},
    {"hyper", l_hyper},
    {"batch", l_batch},
    {"eval_batch", l_eval_batch}, {"eval_windows", l_eval_windows}, {"is_data", l_is_data},
    {"check_batch", l_check_batch},
    {"nearest", l_nearest},
    {"entropy", l_entropy},
    {"line", l_line},
    {"write", l_write},
    {"clone", l_clone},
    {"event", l_event},
    {"bytes", l_bytes},
    {"cwd", l_cwd},
    {"runs_dir", l_runs_dir},
    {"dir_make", l_dir_make},
    {"now", l_now},
    {"f32", l_f32},
    {NULL, NULL}};

void lsy_open_tools(lua_State *L)
{
    lsy_push_engine(L);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, PACKAGE_VERSION);
    lua_setfield(L, -2, "version");
    lsy_set_integer(L, "exact", SY_EXACT_VERSION);
    lsy_set_integer(L, "rules", SY_RULES);
    lsy_set_text(L, "bf16", sy_cpu_bf16());
    lua_newtable(L); /* what ran that lies in no file: a list of texts (chunk.c) */
    lua_setfield(L, -2, "chunks");
    lua_pop(L, 1);
}
