/* What is known of a run's steps, for lua/run/why.lua: sequences, spikes, alarms.  Layer bind/run;
 * methods of a run's handle.
 *
 *   run:rows(step) -> list of {micro=, row=, start=, tokens=, document=, documents=, source=,
 *                     line=, domain=, pairs=}, all counted from 1 but start (a token's place in
 *                     the data, with tokens behind it); of pairs these are the first one's, and
 *                     pairs = list of {start=, tokens=, document=...} of all
 *   run:windows(step) -> windows of the data that were drawn before the step; nil: they are not
 *                     counted
 *   run:rows_until(series, step, n) -> list of the last n rows up to step, {step, value...} each;
 *                     nil: no such series
 *   run:row_ids(start, n) -> list of token ids
 *   run:spikes() -> list of {step=, loss=, ...}, the oldest first
 *   run:spike_detail(step) -> losses of its rows, states (all numbers one after another); nothing:
 *                     unknown
 *   run:against(values, value, logs) -> usual, deviation, deviations above (the spike rule's)
 *   run:alarms() -> list of {name=, condition=, on=, step=, text=}
 *   run:rewind_wanted() -> first, last of the steps to leave out; nothing when none is wanted
 *   engine.clean(text) -> without what a terminal would obey */
#include "bind/core/error.h"
#include "bind/core/args.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/run/open.h"
#include "bind/run/run.h"

#include "base/mem.h"
#include "base/sanitize.h"
#include "run/metrics.h"
#include "switchyard/train.h"
#include "train/spike.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MOST 4096
#define UNTIL_ROWS 256 /* at a time */
#define SPIKES_MOST 64

/* Where a stretch is, into the table at -1. */
static void set_stretch(lua_State *L, const struct sy_corpus *c, const struct sy_stretch *s)
{
    struct sy_document d;
    int64_t first = sy_corpus_document_at(c, s->first),
            last = sy_corpus_document_at(c, s->first + s->tokens - 1);
    lsy_set_integer(L, "start", s->first);
    lsy_set_integer(L, "tokens", s->tokens);
    if (first < 0 || sy_corpus_document(c, first, &d, NULL))
        return;
    lsy_set_integer(L, "document", first + 1);
    lsy_set_integer(L, "documents", last < first ? 1 : last - first + 1);
    if (d.source)
        lsy_set_text(L, "source", d.source);
    if (d.line)
        lsy_set_integer(L, "line", d.line);
    if (d.domain >= 0)
        lsy_set_integer(L, "domain", d.domain + 1);
}

/* The row of stretches s[0 .. n); of pairs, whose stretches are one each, with a list of them. */
static void push_row(lua_State *L, const struct sy_corpus *c, int64_t batch,
                     const struct sy_stretch *s, int64_t n)
{
    lua_createtable(L, 0, 10);
    lsy_set_integer(L, "micro", s->row / batch + 1);
    lsy_set_integer(L, "row", s->row % batch + 1);
    set_stretch(L, c, s);
    if (!s->pair)
        return;
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_createtable(L, 0, 6);
        set_stretch(L, c, &s[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "pairs");
    lsy_set_integer(L, "documents", n);
}

static int run_rows(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    struct sy_draw *d = lua_newuserdatauv(L, sizeof *d, 0);
    const struct sy_corpus *c = sy_trainer_corpus(t);
    lua_newtable(L);
    if (sy_trainer_draw(t, luaL_checkinteger(L, 2), d))
        return 1;
    int64_t rows = d->rows < ROWS_MOST ? d->rows : ROWS_MOST;
    int64_t n = sy_sampler_stretches(&d->sampler, &d->place, 0, rows, NULL, 0);
    struct sy_stretch *s = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *s, 0);
    sy_sampler_stretches(&d->sampler, &d->place, 0, rows, s, n);
    lua_pushvalue(L, -2);
    for (int64_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && s[k].row == s[i].row;)
            k++;
        push_row(L, c, d->sampler.batch, &s[i], k - i);
        lua_rawseti(L, -2, s[i].row + 1);
    }
    return 1;
}

static int run_windows(lua_State *L)
{
    int64_t n = sy_trainer_windows(lsy_check_trainer(L, 1), luaL_checkinteger(L, 2));
    if (n < 0)
        return 0;
    lua_pushinteger(L, n);
    return 1;
}

/* Rows of the steps from + 1 to `upto` on top of the stack as a list; how many. */
static int64_t push_rows(lua_State *L, struct sy_metrics *m, int s, int64_t from, int64_t upto,
                         float *values)
{
    int64_t steps[UNTIL_ROWS], got, n = 0;
    int width = sy_metrics_width(m, s);
    lua_newtable(L);
    while ((got = sy_metrics_rows_after(m, s, from, UNTIL_ROWS, steps, values)) > 0) {
        for (int64_t i = 0; i < got; i++) {
            if (steps[i] > upto)
                return n;
            lua_createtable(L, width + 1, 0);
            lua_pushinteger(L, steps[i]);
            lua_rawseti(L, -2, 1);
            for (int k = 0; k < width; k++) {
                lua_pushnumber(L, (lua_Number)values[i * width + k]);
                lua_rawseti(L, -2, k + 2);
            }
            lua_rawseti(L, -2, ++n);
        }
        from = steps[got - 1];
    }
    return n;
}

/* Steps of a series may be far apart: a longer stretch is looked at until it has as many. */
static int run_until(lua_State *L)
{
    struct sy_metrics *m = sy_trainer_metrics(lsy_check_trainer(L, 1));
    int s = sy_metrics_find(m, luaL_checkstring(L, 2));
    int64_t upto = luaL_checkinteger(L, 3),
            n = lsy_check_int(L, 4, "why", "number of rows", 1, 1 << 20);
    if (s < 0)
        return 0;
    upto = upto < (int64_t)1 << 52 ? upto : (int64_t)1 << 52;
    float *values =
        lua_newuserdatauv(L, UNTIL_ROWS * (size_t)sy_metrics_width(m, s) * sizeof *values, 0);
    int64_t got = 0, span = n;
    for (;; span *= 4) {
        got = push_rows(L, m, s, upto > span ? upto - span : -1, upto, values);
        if (got >= n || upto <= span)
            break;
        lua_pop(L, 1);
    }
    int64_t more = got > n ? got - n : 0; /* the oldest are too many */
    lua_createtable(L, (int)(got - more), 0);
    for (int64_t i = more; i < got; i++) {
        lua_rawgeti(L, -2, i + 1);
        lua_rawseti(L, -2, i - more + 1);
    }
    return 1;
}

static int run_row_ids(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const struct sy_corpus *c = sy_trainer_corpus(lsy_check_trainer(L, 1));
    int64_t start = luaL_checkinteger(L, 2),
            n = lsy_check_int(L, 3, "why", "number of tokens", 1, 65536);
    int32_t *ids = lua_newuserdatauv(L, (size_t)n * sizeof *ids, 0);
    if (sy_corpus_read(c, start, n, ids, &err))
        return lsy_raise(L, &err);
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* run:against(values, value, logs) -> usual, deviation, deviations above: the spike rule's
 * (train/spike.h); values: the newest first.  Nothing: they are too few. */
static int run_against(lua_State *L)
{
    int rules = sy_trainer_rules(lsy_check_trainer(L, 1));
    double value = luaL_checknumber(L, 3);
    bool logs = lua_toboolean(L, 4);
    struct sy_window w = {.n = 0};
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_Integer i = luaL_len(L, 2); i >= 1; i--) {
        lua_geti(L, 2, i);
        double v = luaL_checknumber(L, -1);
        lua_pop(L, 1);
        sy_window_add(&w, v, v);
    }
    struct sy_sigma s = logs ? sy_window_norm(&w, value, rules) : sy_window_loss(&w, value, rules);
    if (isnan(s.mean))
        return 0;
    lua_pushnumber(L, s.mean);
    lua_pushnumber(L, s.deviation);
    lua_pushnumber(L, s.above);
    return 3;
}

static void push_spike(lua_State *L, const struct sy_spike *s)
{
    lua_createtable(L, 0, 10);
    lsy_set_integer(L, "step", s->step);
    lsy_set_number(L, "loss", s->loss);
    lsy_set_number(L, "loss_mean", s->loss_mean);
    lsy_set_number(L, "loss_deviation", s->loss_deviation);
    lsy_set_number(L, "grad_norm", s->grad_norm);
    lsy_set_number(L, "norm_mean", s->norm_mean);
    lsy_set_number(L, "norm_factor", s->norm_factor);
    lsy_set_text(L, "reason", sy_skip_name(s->reason));
    lsy_set_number(L, "loss_sigma", s->loss_sigma);
    lsy_set_number(L, "norm_sigma", s->norm_sigma);
    lsy_set_boolean(L, "skipped", s->skipped);
}

static int run_spikes(lua_State *L)
{
    struct sy_spike list[SPIKES_MOST];
    int n = sy_trainer_spikes(lsy_check_trainer(L, 1), list, SPIKES_MOST);
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        push_spike(L, &list[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void push_floats(lua_State *L, const float *x, int64_t n)
{
    lua_createtable(L, (int)n, 0);
    for (int64_t i = 0; i < n; i++) {
        lua_pushnumber(L, (lua_Number)x[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static int run_spike_detail(lua_State *L)
{
    struct sy_spike list[SPIKES_MOST];
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    int64_t step = luaL_checkinteger(L, 2);
    int n = sy_trainer_spikes(t, list, SPIKES_MOST), i = n - 1;
    while (i >= 0 && list[i].step != step)
        i--;
    if (i < 0)
        return 0;
    float *losses = lua_newuserdatauv(L, ((size_t)list[i].rows + 1) * sizeof *losses, 0);
    float *states = lua_newuserdatauv(L, ((size_t)list[i].values + 1) * sizeof *states, 0);
    memset(losses, 0, (size_t)list[i].rows * sizeof *losses);
    if (!sy_trainer_spike_detail(t, step, losses, states))
        return 0;
    push_floats(L, losses, list[i].rows);
    push_floats(L, states, list[i].values);
    return 2;
}

static void push_alarm(lua_State *L, enum sy_alarm id)
{
    lua_createtable(L, 0, 7);
    lsy_set_text(L, "id", sy_alarm_id(id));
    lsy_set_text(L, "name", sy_alarm_name(id));
    lsy_set_text(L, "condition", sy_alarm_condition(id));
    lsy_set_integer(L, "span", sy_alarm_span(id));
}

/* engine.alarms() -> list of {id=, name=, condition=, span=} */
static int l_alarms(lua_State *L)
{
    lua_createtable(L, SY_ALARM_COUNT, 0);
    for (int i = 0; i < SY_ALARM_COUNT; i++) {
        push_alarm(L, (enum sy_alarm)i);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int run_alarms(lua_State *L)
{
    struct sy_trainer *t = lsy_check_trainer(L, 1);
    lua_createtable(L, SY_ALARM_COUNT, 0);
    for (int i = 0; i < SY_ALARM_COUNT; i++) {
        struct sy_alarm_state s;
        sy_trainer_alarm(t, (enum sy_alarm)i, &s);
        push_alarm(L, (enum sy_alarm)i);
        lsy_set_boolean(L, "on", s.on);
        if (s.step >= 0) {
            lsy_set_integer(L, "step", s.step);
            lsy_set_text(L, "text", s.text);
        }
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int run_rewind_wanted(lua_State *L)
{
    int64_t first, last;
    if (!sy_trainer_rewind_wanted(lsy_check_trainer(L, 1), &first, &last))
        return 0;
    lua_pushinteger(L, first);
    lua_pushinteger(L, last);
    return 2;
}

static int l_clean(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    sy_utf8_sanitize(&s, text, n);
    lua_pushlstring(L, s.data ? s.data : "", s.len);
    sy_str_free(&s);
    return 1;
}

/* engine.skip_name(value of the series "skipped") -> why the step was left out */
static int l_skip_name(lua_State *L)
{
    lua_Number v = luaL_checknumber(L, 1);
    lua_pushstring(L, sy_skip_name(v >= 0 && v < SY_SKIP_COUNT ? (enum sy_skip)v : SY_SKIP_COUNT));
    return 1;
}

static const luaL_Reg methods[] = {
    {"rows", run_rows},     {"windows", run_windows},     {"row_ids", run_row_ids},
    {"rows_until", run_until}, {"spikes", run_spikes}, {"spike_detail", run_spike_detail},
    {"against", run_against},
    {"alarms", run_alarms}, {"rewind_wanted", run_rewind_wanted}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"alarms", l_alarms}, {"clean", l_clean}, {"skip_name", l_skip_name}, {NULL, NULL}};

void lsy_open_why(lua_State *L)
{
    lsy_add_methods(L, META_RUN, methods);
    lsy_add_functions(L, functions);
}
