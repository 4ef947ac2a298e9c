/* data.*: corpora as userdata; d.val is the same corpus seen from its validation part.  Layer bind. */
#include "bind/data.h"
#include "bind/bind_int.h"
#include "bind/handle.h"
#include "bind/engine.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define META "switchyard.data"

struct data {
    struct sy_corpus *corpus; /* counted; NULL while it is made and after __close */
    int part;                 /* 0 all, 1 training, 2 validation */
};

static struct data *new_data(lua_State *L)
{
    struct data *d = lua_newuserdatauv(L, sizeof *d, 1); /* the value: how it was made, for another process */
    memset(d, 0, sizeof *d);
    luaL_setmetatable(L, META);
    return d;
}

static struct data *check_data(lua_State *L, int arg)
{
    struct data *d = luaL_testudata(L, arg, META);
    if (!d || !d->corpus)
        lsy_error(L, "data: a data set is wanted here (see ?data): it is a %s%s", luaL_typename(L, arg),
                  lua_isnil(L, arg) ? lsy_last_failure() : "");
    return d;
}

struct sy_corpus *lsy_check_corpus(lua_State *L, int arg) { return check_data(L, arg)->corpus; }

int lsy_push_corpus(lua_State *L, struct sy_corpus *c, const struct sy_err *err)
{
    if (!c)
        return lsy_fail_or_raise(L, err);
    new_data(L)->corpus = c;
    return 1;
}

static int gc(lua_State *L)
{
    struct data *d = luaL_checkudata(L, 1, META);
    sy_corpus_unref(d->corpus);
    d->corpus = NULL;
    return 0;
}

/* ---- making ---- */

struct options {
    int tokenizer; /* stack index, 0: none */
    double val;
    const char *field;
    int64_t domains, tokens, states, branch, order, document, seed, vocab;
};

#define OPT(n, k, lo, hi) {.name = #n, .kind = k, .at = offsetof(struct options, n), .min = lo, .max = hi}

static const struct lsy_option text_rows[] = {
    OPT(tokenizer, LSY_VALUE, 0, 0), OPT(val, LSY_REAL, 0, 0.999), OPT(field, LSY_STRING, 0, 0)};
static const struct lsy_option synthetic_rows[] = {
    OPT(domains, LSY_INT, 1, 4096), OPT(tokens, LSY_INT, 1, 1099511627776.0),
    OPT(states, LSY_INT, 2, 4096),  OPT(branch, LSY_INT, 1, 4096),
    OPT(order, LSY_INT, 1, 2),      OPT(document, LSY_INT, 1, 1 << 30),
    OPT(val, LSY_REAL, 0, 0.999),   OPT(seed, LSY_INT, 0, 9.2e18)};
static const struct lsy_option shard_rows[] = {OPT(vocab, LSY_INT, 1, 1 << 30),
                                               OPT(val, LSY_REAL, 0, 0.999)};

static struct sy_text_options text_options(lua_State *L, int arg, const char *what,
                                           const struct lsy_watch *watch)
{
    struct options o = {.val = 0.1};
    LSY_OPTIONS(L, arg, what, text_rows, &o);
    return (struct sy_text_options){.tokenizer = o.tokenizer ? lsy_check_tokenizer(L, o.tokenizer) : NULL,
                                    .val = o.val, .field = o.field, .progress = &watch->progress};
}

/* Put the corpus into the slot d on top of the stack, or report. */
static int deliver(lua_State *L, struct data *d, struct sy_corpus *c, struct lsy_watch *watch,
                   const struct sy_err *err)
{
    lsy_watch_end(watch);
    d->corpus = c;
    return c ? 1 : lsy_watch_fail(L, err);
}

/* Remember how the data set at -1 was made: {kind=, source=, options=}; lists and options are copied, for the
 * caller may change his.  source and options: stack indices, 0: none. */
static void copy_table(lua_State *L, int arg)
{
    lua_newtable(L);
    lua_pushnil(L);
    while (lua_next(L, arg)) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_settable(L, -4);
    }
}

static void remember(lua_State *L, const char *kind, int source, int options)
{
    const int args[2] = {source, options};
    const char *const names[2] = {"source", "options"};
    lua_createtable(L, 0, 3);
    lsy_set_text(L, "kind", kind);
    for (int i = 0; i < 2; i++)
        if (args[i] && !lua_isnoneornil(L, args[i])) {
            if (lua_istable(L, args[i]))
                copy_table(L, args[i]);
            else
                lua_pushvalue(L, args[i]);
            lua_setfield(L, -2, names[i]);
        }
    lua_setiuservalue(L, -2, 1);
}

/* engine.data_spec(d) -> {kind="text", source=path or list, options={...}}, or nil */
static int data_spec(lua_State *L)
{
    check_data(L, 1);
    lua_getiuservalue(L, 1, 1);
    return 1;
}

static int make_text(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    int count;
    lua_settop(L, 2);
    struct sy_text_options o = text_options(L, 2, "text", &watch);
    const char *const *paths = lsy_check_paths(L, 1, "data.text", &count);
    struct data *d = new_data(L);
    remember(L, "text", 1, 2);
    lsy_watch_begin(&watch, "reading text");
    return deliver(L, d, sy_corpus_text(paths, count, &o, &err), &watch, &err);
}

static int make_string(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    size_t n;
    lua_settop(L, 2);
    struct sy_text_options o = text_options(L, 2, "string", &watch);
    const char *text = luaL_checklstring(L, 1, &n);
    struct data *d = new_data(L);
    remember(L, "string", 1, 2);
    lsy_watch_begin(&watch, "reading text");
    return deliver(L, d, sy_corpus_string(text, n, &o, &err), &watch, &err);
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
        .branch = (int)o.branch, .order = (int)o.order, .document = (int)o.document, .val = o.val,
        .seed = (uint64_t)o.seed};
    struct data *d = new_data(L);
    remember(L, "synthetic", 0, 1);
    lsy_watch_begin(&watch, "writing text");
    return deliver(L, d, sy_corpus_synthetic(&s, &err), &watch, &err);
}

static int make_shards(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    int count;
    lua_settop(L, 2);
    LSY_OPTIONS(L, 2, "shards", shard_rows, &o);
    const char *const *paths = lsy_check_paths(L, 1, "data.shards", &count);
    struct sy_shard_options s = {.vocab = (int32_t)o.vocab, .val = o.val,
                                 .progress = &watch.progress};
    struct data *d = new_data(L);
    remember(L, "shards", 1, 2);
    lsy_watch_begin(&watch, "reading shards");
    return deliver(L, d, sy_corpus_shards(paths, count, &s, &err), &watch, &err);
}

/* ---- fields and methods ---- */

static void bounds(const struct data *d, int64_t *first, int64_t *n)
{
    int64_t all = sy_corpus_tokens(d->corpus), train = sy_corpus_train(d->corpus);
    *first = d->part == 2 ? train : 0;
    *n = d->part == 0 ? all : d->part == 1 ? train : all - train;
}

static int push_part(lua_State *L, const struct data *d, int part)
{
    struct data *p = new_data(L);
    p->corpus = sy_corpus_ref(d->corpus);
    p->part = part;
    lua_getiuservalue(L, 1, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* d:sample(n, {seed=}): n tokens from a random place, as text where there is a tokenizer. */
static int sample(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct options o = {.seed = -1};
    static const struct lsy_option rows[] = {OPT(seed, LSY_INT, 0, 9.2e18)};
    static uint64_t draws;
    int64_t first, all;
    struct data *d = check_data(L, 1);
    bounds(d, &first, &all);
    int64_t n = lua_isnoneornil(L, 2) ? (all < 200 ? all : 200) : lsy_check_int(L, 2, "sample", "n", 1, all);
    LSY_OPTIONS(L, 3, "sample", rows, &o);
    struct sy_rng r = {o.seed >= 0 ? (uint64_t)o.seed : 0, SY_RNG_USER + 256, o.seed >= 0 ? 0 : ++draws};
    if (all > n)
        first += (int64_t)sy_rng_below(&r, 0, (uint64_t)(all - n + 1));
    int32_t *ids = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *ids, 0);
    if (sy_corpus_read(d->corpus, first, n, ids, &err))
        return lsy_raise(L, &err);
    struct sy_tokenizer *t = sy_corpus_tokenizer(d->corpus);
    size_t len;
    void **text = lsy_new_block(L);
    if (t && !(*text = sy_tokenizer_decode(t, ids, n, &len, &err)))
        return lsy_raise(L, &err);
    if (t)
        lua_pushlstring(L, *text, len);
    else {
        lua_createtable(L, (int)n, 0);
        for (int64_t i = 0; i < n; i++) {
            lua_pushinteger(L, ids[i]);
            lua_rawseti(L, -2, i + 1);
        }
        lsy_list(L);
    }
    return 1;
}

/* d:ids(first, n) -> ids as an i32 tensor, first counted from 1 */
static int read_ids(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    int64_t begin, all;
    struct data *d = check_data(L, 1);
    bounds(d, &begin, &all);
    int64_t first = lua_isnoneornil(L, 2) ? 1 : lsy_check_int(L, 2, "ids", "first", 1, all);
    int64_t n = lua_isnoneornil(L, 3) ? all - first + 1 : lsy_check_int(L, 3, "ids", "n", 0, all - first + 1);
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_I32, 1, &n, &err)) ||
        sy_corpus_read(d->corpus, begin + first - 1, n, sy_tensor_data(*slot), &err))
        return lsy_raise(L, &err);
    return 1;
}

static int entropy_of(lua_State *L)
{
    struct data *d = check_data(L, 1);
    int domain = (int)lsy_check_int(L, 2, "domain_entropy", "domain", 1, sy_corpus_domains(d->corpus));
    lua_pushnumber(L, sy_corpus_entropy(d->corpus, domain - 1));
    return 1;
}

static void set_integer(lua_State *L, const char *name, int64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

/* d:document(i) -> {source=, line=, first=, tokens=, domain=}, counted from 1 */
static int document(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_document doc;
    struct sy_corpus *c = lsy_check_corpus(L, 1);
    int64_t i = lsy_check_int(L, 2, "document", "number", 1, sy_corpus_documents(c));
    if (sy_corpus_document(c, i - 1, &doc, &err))
        return lsy_raise(L, &err);
    lua_createtable(L, 0, 5);
    lsy_set_text(L, "source", doc.source);
    set_integer(L, "first", doc.first + 1);
    set_integer(L, "tokens", doc.tokens);
    if (doc.line)
        set_integer(L, "line", doc.line);
    if (doc.domain >= 0)
        set_integer(L, "domain", doc.domain + 1);
    return 1;
}

static int push_number_field(lua_State *L, const struct data *d, const char *name)
{
    int64_t first, n;
    bounds(d, &first, &n);
    if (!strcmp(name, "tokens"))
        lua_pushinteger(L, n);
    else if (!strcmp(name, "vocab"))
        lua_pushinteger(L, sy_corpus_vocab(d->corpus));
    else if (!strcmp(name, "documents"))
        lua_pushinteger(L, sy_corpus_documents(d->corpus));
    else if (!strcmp(name, "domains"))
        lua_pushinteger(L, sy_corpus_domains(d->corpus));
    else if (!strcmp(name, "entropy")) {
        double h = sy_corpus_entropy(d->corpus, -1);
        if (isnan(h))
            lua_pushnil(L);
        else
            lua_pushnumber(L, h);
    } else
        return 0;
    return 1;
}

static int field(lua_State *L)
{
    static const char *const fields[] = {"tokens", "vocab", "documents", "domains", "entropy", "val",
                                         "train", "tokenizer", "hash", "sample", "ids",
                                         "document", "domain_entropy", NULL};
    char hex[17];
    struct data *d = check_data(L, 1);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (push_number_field(L, d, name))
        return 1;
    if (!strcmp(name, "val"))
        return push_part(L, d, 2);
    if (!strcmp(name, "train"))
        return push_part(L, d, 1);
    if (!strcmp(name, "hash")) {
        sy_hash_hex(sy_corpus_hash(d->corpus), hex);
        lua_pushstring(L, hex);
        return 1;
    }
    if (!strcmp(name, "tokenizer")) {
        struct sy_tokenizer *t = sy_corpus_tokenizer(d->corpus);
        return t ? lsy_push_tokenizer(L, sy_tokenizer_ref(t), NULL) : 0;
    }
    if (lua_getfield(L, lua_upvalueindex(1), name) == LUA_TNIL)
        return lsy_unknown(L, "data", "field", name, fields);
    return 1;
}

static int to_string(lua_State *L)
{
    char text[160];
    struct data *d = check_data(L, 1);
    long long all = sy_corpus_tokens(d->corpus), train = sy_corpus_train(d->corpus);
    int at = snprintf(text, sizeof text, "data: %lld tokens, %lld for training, %lld for validation; "
                                         "vocabulary %d", all, train, all - train,
                      (int)sy_corpus_vocab(d->corpus));
    double h = sy_corpus_entropy(d->corpus, -1);
    if (!isnan(h))
        snprintf(text + at, sizeof text - (size_t)at, "; %d domains, entropy %.4f nats",
                 sy_corpus_domains(d->corpus), h);
    lua_pushstring(L, text);
    return 1;
}

static const luaL_Reg metamethods[] = {
    {"__gc", gc}, {"__close", gc}, {"__tostring", to_string}, {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"sample", sample}, {"ids", read_ids}, {"document", document},
    {"domain_entropy", entropy_of}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"text", make_text},           {"string", make_string},
                                     {"synthetic", make_synthetic}, {"shards", make_shards},
                                     {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"data", "d.tokens  d.val.tokens  d.train.tokens  d.vocab  d.documents  d.tokenizer  d.hash",
     "A data set: token ids, the last part of them for validation (d.val). A failure to read gives nil, "
     "message, code.", "d = data.synthetic{domains = 4, tokens = 1e5, seed = 1}\nd.val.tokens"},
    {"data.text", "data.text(path, {tokenizer=, val=, field=}) -> d",
     "Text of a file, a folder, a pattern (*.txt), or a list of them; .jsonl (its field), .gz and .zst "
     "too. tokenizer is bytes and val 0.1 unless given.", NULL},
    {"data.string", "data.string(text, {tokenizer=, val=}) -> d", "A text from memory.",
     "data.string(string.rep(\"to be or not \", 100)).tokens"},
    {"data.synthetic",
     "data.synthetic{domains=, tokens=, states=, branch=, order=, document=, val=, seed=} -> d",
     "Text of sparse Markov chains, one a domain, whose entropy is known: d.entropy in nats a token, "
     "d.domains, d:domain_entropy(i).",
     "data.synthetic{domains = 8, tokens = 1e5, seed = 1}.entropy"},
    {"data.shards", "data.shards(path, {vocab=, val=}) -> d",
     "Token files of llm.c (.bin), nanoGPT (.bin; vocab must be given) and Megatron (.idx, .bin).", NULL},
    {"data:domain_entropy", "d:domain_entropy(i) -> number",
     "Entropy in nats a token of domain i of a synthetic data set, from 1 to d.domains.",
     "data.synthetic{domains = 2, tokens = 1e4, seed = 1}:domain_entropy(1)"},
    {"data:sample", "d:sample(n, {seed=}) -> text",
     "n tokens from a random place, as text (as ids without a tokenizer).",
     "data.string(string.rep(\"to be \", 100)):sample(12)"},
    {"data:document", "d:document(i) -> {source=, line=, first=, tokens=, domain=}",
     "Where document i of d.documents comes from, and which tokens are its; counted from 1.",
     "data.string(\"to be\"):document(1)"},
    {"data:ids", "d:ids(first, n) -> tensor", "Token ids from the first-th on as an i32 tensor.", NULL},
};

void lsy_open_data(lua_State *L)
{
    lsy_value_meta(L, META, "data", metamethods, methods, field);
    luaL_newlib(L, functions);
    lua_setglobal(L, "data");
    LSY_DOCS(L, docs);
    lsy_push_engine(L);
    lsy_set(L, "data_spec", data_spec);
    lua_pop(L, 1);
}
