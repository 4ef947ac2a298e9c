/* data.text, data.string, data.synthetic and data.shards: making data sets.  Layer bind/data.
 *
 *  1. A line says what the files were read as, unless it was one plain text.
 *  2. A data set remembers how it was made, so that another process can make it again: {kind=,
 *     source=, options=}; lists and options are copied, for the caller may change the originals. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/make_int.h"
#include "bind/data/open.h"
#include "bind/tensor/tensor.h"
#include "bind/thread/progress.h"

#include <string.h>

static const char *const shard_formats[] = {"auto", "u16", "u32", "i32", "i64", NULL};

/* ---- options ---- */

struct options {
    int tokenizer; /* stack index, 0: none */
    double val;
    struct lsy_reading reading;
    int format; /* of shards */
    const char *weights;
    int64_t domains, tokens, states, branch, order, document, seed, vocab;
    bool shared;
};

#define OPT(n, k, lo, hi)                                                                          \
    {.name = #n, .kind = k, .at = offsetof(struct options, n), .min = lo, .max = hi}

static const struct lsy_option text_rows[] = {OPT(tokenizer, LSY_VALUE, 0, 0),
                                              OPT(val, LSY_REAL, 0, 0.999),
                                              LSY_READING_ROWS(struct options)};
static const struct lsy_option string_rows[] = {OPT(tokenizer, LSY_VALUE, 0, 0),
                                                OPT(val, LSY_REAL, 0, 0.999)};
static const struct lsy_option synthetic_rows[] = {
    OPT(domains, LSY_INT, 1, 4096), OPT(tokens, LSY_INT, 1, 1099511627776.0),
    OPT(states, LSY_INT, 2, 4096),  OPT(branch, LSY_INT, 1, 4096),
    OPT(order, LSY_INT, 1, 2),      OPT(document, LSY_INT, 1, 1 << 30),
    OPT(shared, LSY_BOOL, 0, 0),
    OPT(val, LSY_REAL, 0, 0.999),   OPT(seed, LSY_INT, 0, 9.2e18)};
static const struct lsy_option shard_rows[] = {
    {.name = "weights", .kind = LSY_STRING, .at = offsetof(struct options, weights)},
    OPT(vocab, LSY_INT, 1, 1 << 30), OPT(val, LSY_REAL, 0, 0.999),
    {.name = "format", .kind = LSY_CHOICE, .at = offsetof(struct options, format),
     .choices = shard_formats}};

/* ---- how it was made ---- */

/* The value at arg; a table anew, with the tables in it down to `depth`. */
static void copy_value(lua_State *L, int arg, int depth)
{
    arg = lua_absindex(L, arg);
    if (!lua_istable(L, arg) || !depth) {
        lua_pushvalue(L, arg);
        return;
    }
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        copy_value(L, -2, depth - 1);
        lua_settable(L, -5);
    }
}

void lsy_copy_value(lua_State *L, int arg)
{
    copy_value(L, arg, 2);
}

void lsy_remember_source(lua_State *L, const char *kind, int source, int val, int options)
{
    lua_createtable(L, 0, 3);
    lsy_set_text(L, "kind", kind);
    if (val) {
        lua_createtable(L, 0, 2);
        lsy_copy_value(L, source);
        lua_setfield(L, -2, "train");
        lsy_copy_value(L, val);
        lua_setfield(L, -2, "val");
        lua_setfield(L, -2, "source");
    } else if (source) {
        lsy_copy_value(L, source);
        lua_setfield(L, -2, "source");
    }
    if (options && !lua_isnoneornil(L, options)) {
        lsy_copy_value(L, options);
        lua_setfield(L, -2, "options");
    }
    lua_setiuservalue(L, -2, 1);
}

/* engine.data_spec(d) -> {kind="text", source=path, list or {train=, val=}, options={...}}, or
 * nil */
static int data_spec(lua_State *L)
{
    lsy_check_corpus(L, 1);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

/* ---- files ---- */

/* Moves field `name` of the table at `from` to the top of the stack.  [-0, +1, m] */
static void take_field(lua_State *L, int from, const char *name)
{
    lua_getfield(L, from, name);
    lua_pushnil(L);
    lua_setfield(L, from, name);
}

/* {train=, val=, option=...} at 1 becomes: source at 1, options at 2, validation's source at 3
 * (nil: none, val is a share).  (source, options) stay as they are, with a nil at 3. */
static void split_source(lua_State *L, const char *what)
{
    lua_settop(L, 2);
    bool named = lua_istable(L, 1) && (lua_getfield(L, 1, "train") != LUA_TNIL ||
                                       lua_getfield(L, 1, "val") != LUA_TNIL);
    lua_settop(L, 2);
    if (named && !lua_isnil(L, 2))
        lsy_error(L, "%s: with train = and val = the options stand in the same table", what);
    if (named) {
        lsy_copy_value(L, 1);
        lua_replace(L, 2);
        take_field(L, 2, "train");
        lua_replace(L, 1);
        if (lua_isnil(L, 1))
            lsy_error(L, "%s: val = is given without train =", what);
        if (lua_getfield(L, 2, "val") == LUA_TSTRING || lua_istable(L, -1)) {
            lua_pushnil(L);
            lua_setfield(L, 2, "val");
            return; /* it stays at 3 */
        }
        lua_pop(L, 1);
    } else if (lua_istable(L, 2)) {
        int type = lua_getfield(L, 2, "val");
        lua_pop(L, 1);
        if (type == LUA_TSTRING || type == LUA_TTABLE)
            lsy_error(L,
                      "%s: val is a share, from 0 to 0.999; files of its own are named so: "
                      "%s{train = ..., val = ...}",
                      what, what);
    }
    lua_pushnil(L);
}

/* The paths at 3, if there are any.  [-0, +0 or 1, v] */
static const char *const *val_paths(lua_State *L, const char *what, int *count)
{
    *count = 0;
    return lua_isnil(L, 3) ? NULL : lsy_check_paths(L, 3, what, count);
}

struct lsy_data *lsy_begin_corpus(lua_State *L, const char *kind, int source, int val, int options,
                                  struct lsy_watch *watch, const char *doing)
{
    struct lsy_data *d = lsy_new_data(L);
    lsy_remember_source(L, kind, source, val, options);
    lsy_watch_begin(watch, doing);
    return d;
}

int lsy_deliver_corpus(lua_State *L, struct lsy_data *d, struct sy_corpus *c, const char *what,
                       struct lsy_watch *watch, const struct sy_err *err)
{
    lsy_watch_end(watch);
    d->corpus = c;
    if (!c)
        return lsy_watch_fail(L, err);
    bool plain, quiet = lua_toboolean(L, lua_upvalueindex(1));
    const char *reading = sy_corpus_reading(c, &plain);
    if (reading && !plain && !quiet)
        lsy_progress_line("%s: %s", what, reading);
    return 1;
}

static int make_text(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    int count, val_count;
    split_source(L, "data.text");
    LSY_OPTIONS(L, 2, "text", text_rows, &o);
    const char *const *paths = lsy_check_paths(L, 1, "data.text", &count);
    const char *const *val = val_paths(L, "data.text: val", &val_count);
    struct sy_text_options t = {.tokenizer =
                                    o.tokenizer ? lsy_check_tokenizer(L, o.tokenizer) : NULL,
                                .val = o.val,
                                .val_paths = val,
                                .val_count = val_count,
                                .read = lsy_reading(&o.reading),
                                .progress = &watch.progress};
    struct lsy_data *d = lsy_begin_corpus(L, "text", 1, val ? 3 : 0, 2, &watch, "reading text");
    return lsy_deliver_corpus(L, d, sy_corpus_text(paths, count, &t, &err), "data.text", &watch,
                              &err);
}

static int make_shards(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    int count, val_count;
    split_source(L, "data.shards");
    LSY_OPTIONS(L, 2, "shards", shard_rows, &o);
    const char *const *paths = lsy_check_paths(L, 1, "data.shards", &count);
    const char *const *val = val_paths(L, "data.shards: val", &val_count);
    struct sy_shard_options s = {.vocab = (int32_t)o.vocab, .val = o.val, .val_paths = val,
                                 .val_count = val_count, .weights = o.weights,
                                 .format = (enum sy_shard_format)o.format,
                                 .progress = &watch.progress};
    struct lsy_data *d = lsy_begin_corpus(L, "shards", 1, val ? 3 : 0, 2, &watch, "reading shards");
    return lsy_deliver_corpus(L, d, sy_corpus_shards(paths, count, &s, &err), "data.shards", &watch,
                              &err);
}

/* ---- other sources ---- */

static int make_string(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    size_t n;
    lua_settop(L, 2);
    LSY_OPTIONS(L, 2, "string", string_rows, &o);
    struct sy_text_options t = {.tokenizer =
                                    o.tokenizer ? lsy_check_tokenizer(L, o.tokenizer) : NULL,
                                .val = o.val,
                                .progress = &watch.progress};
    const char *text = luaL_checklstring(L, 1, &n);
    struct lsy_data *d = lsy_begin_corpus(L, "string", 1, 0, 2, &watch, "reading text");
    return lsy_deliver_corpus(L, d, sy_corpus_string(text, n, &t, &err), "data.string", &watch,
                              &err);
}

static int make_synthetic(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.domains = 8, .tokens = 1000000, .val = 0.1, .seed = 1};
    LSY_OPTIONS(L, 1, "synthetic", synthetic_rows, &o);
    if (lsy_room((size_t)o.tokens * 4, "synthetic", &err))
        return lsy_raise(L, &err);
    struct sy_synthetic_options s = {
        .domains = (int)o.domains, .tokens = o.tokens, .states = (int)o.states,
        .branch = (int)o.branch, .order = (int)o.order, .document = (int)o.document,
        .shared = o.shared, .val = o.val, .seed = (uint64_t)o.seed};
    struct lsy_data *d = lsy_begin_corpus(L, "synthetic", 0, 0, 1, &watch, "writing text");
    return lsy_deliver_corpus(L, d, sy_corpus_synthetic(&s, &err), "data.synthetic", &watch, &err);
}

static const luaL_Reg functions[] = {{"text", make_text},           {"string", make_string},
                                     {"synthetic", make_synthetic}, {"shards", make_shards},
                                     {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"data.text",
    "data.text(path, {tokenizer=, val=, field=, format=, on_error=, unpack_max=}) -> d",
     "Text of a file, a folder, a pattern (*.txt), or a list of them. .jsonl, .ndjson and .json "
     "(lines, an array, or one object; field names the text, \"text\" unless given) give a "
     "document each, any other file is one; .gz and .zst are unpacked; case does not matter. "
     "tokenizer is bytes and val, the share for validation, 0.1 unless given. With other files for "
     "validation: data.text{train = path, val = path, tokenizer=, ...}. What was read as what is "
     "said in a line. What is no text is refused when it was named, and left out of folders, with "
     "a word. format = \"text\", \"json\" or \"bytes\" reads all files as that. on_error = "
     "\"stop\" (names file and line) or \"skip\" (counts bad lines of JSON). A packed file may "
     "unpack to 100 times its size, or 256 MB, or unpack_max bytes. A byte-order mark at the start "
     "is no text. Pipes and devices are refused: a run that goes on reads its data again.",
     NULL},
    {"data.string", "data.string(text, {tokenizer=, val=}) -> d", "A text from memory.",
     "data.string(string.rep(\"to be or not \", 100)).tokens"},
    {"data.synthetic",
     "data.synthetic{domains=, tokens=, states=, branch=, order=, document=, shared=, val=, "
     "seed=} -> d",
     "Text of sparse Markov chains, one a domain, whose entropy is known. Each document is of one "
     "domain, drawn uniformly. d:domain_entropy(i) is the entropy rate of chain i, in nats a "
     "token: the sum over its contexts s of pi(s) H(next | s), pi being its stationary "
     "distribution; d.entropy is their mean. That is the least loss of whoever knows the chains "
     "and the domain. With shared = true all domains write with the same states ids, so that no "
     "token tells its domain: a model must find it out from what stands before, and the best one "
     "that can needs up to ln(domains) nats a window more, ln(domains) / context a token, and at "
     "each border of documents in a window as much again with what the first token holds. "
     "Without it each domain has ids of its own, and a table of tokens tells the domain: "
     "specialization by domain proves nothing there.",
     "data.synthetic{domains = 8, tokens = 1e5, seed = 1}.entropy"},
    {"data.shards", "data.shards(path, {vocab=, val=, format=, weights=}) -> d",
     "Token ids in files: .npy of whole numbers (a row is a document), llm.c (.bin) and Megatron "
     "(.idx, .bin), told by their content; nanoGPT's .bin by its name (vocab must be given). Ids "
     "are checked against vocab, the largest + 1 unless given. format = \"u16\", \"u32\", \"i32\" "
     "or \"i64\" reads any file as bare ids. With other files for validation: data.shards{train = "
     "\"train.bin\", val = \"val.bin\", vocab = 50257}. weights = \"weights.npy\" (f32, one a "
     "token of all files in their order, from 0) says what each token's loss weighs where it is a "
     "target: 0 leaves it out. The loss is then the weighted mean over all targets of a step or an "
     "evaluation, however many micro-batches these are.",
     NULL},
};

void lsy_set_quiet(lua_State *L, const char *name, lua_CFunction f)
{
    lua_pushboolean(L, 1);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

void lsy_open_data_make(lua_State *L)
{
    luaL_newlib(L, functions);
    lua_setglobal(L, "data");
    LSY_DOCS(L, docs);
    lsy_push_engine(L);
    lsy_set(L, "data_spec", data_spec);
    lsy_set_quiet(L, "data_text", make_text);
    lsy_set_quiet(L, "data_shards", make_shards);
    lua_pop(L, 1);
}
