/* data.*: corpora as userdata; d.val is the same corpus seen from its validation part.  Layer
 * bind/data. */
#include "bind/data/data.h"
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/data/open.h"
#include "bind/tensor/tensor.h"
#include "switchyard/pairs.h"

#include "base/hash.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define META LSY_DATA_META

struct lsy_data *lsy_new_data(lua_State *L)
{
    /* the value: how it was made, for another process */
    struct lsy_data *d = lua_newuserdatauv(L, sizeof *d, 1);
    memset(d, 0, sizeof *d);
    luaL_setmetatable(L, META);
    return d;
}

static struct lsy_data *check_data(lua_State *L, int arg)
{
    struct lsy_data *d = luaL_testudata(L, arg, META);
    if (!d || !d->corpus)
        lsy_error(L, "data: a data set is wanted here (see ?data): it is a %s%s",
                  luaL_typename(L, arg), lua_isnil(L, arg) ? lsy_last_failure() : "");
    return d;
}

struct sy_corpus *lsy_check_corpus(lua_State *L, int arg) { return check_data(L, arg)->corpus; }

struct sy_corpus *lsy_check_whole_corpus(lua_State *L, int arg, const char *what)
{
    struct lsy_data *d = check_data(L, arg);
    if (d->part)
        lsy_error(L, "%s: this is the %s part of a data set: give the data set, both parts of it "
                     "are used",
                  what, d->part == 1 ? "training" : "validation");
    return d->corpus;
}

static int gc(lua_State *L)
{
    struct lsy_data *d = luaL_checkudata(L, 1, META);
    sy_corpus_unref(d->corpus);
    d->corpus = NULL;
    return 0;
}

/* ---- fields and methods ---- */

static void bounds(const struct lsy_data *d, int64_t *first, int64_t *n)
{
    int64_t all = sy_corpus_tokens(d->corpus), train = sy_corpus_train(d->corpus);
    *first = d->part == 2 ? train : 0;
    *n = d->part == 0 ? all : d->part == 1 ? train : all - train;
}

/* Tokens of a mix are numbered through its parts, of which each has its own border. */
static void check_whole(lua_State *L, const struct lsy_data *d, const char *what)
{
    if (d->part && sy_corpus_mix_parts(d->corpus))
        lsy_error(L, "%s: a mix has no one %s text: ask its data sets", what,
                  d->part == 1 ? "training" : "validation");
}

static int push_part(lua_State *L, const struct lsy_data *d, int part)
{
    struct lsy_data *p = lsy_new_data(L);
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
    struct options {
        int64_t seed;
    } o = {-1};
    static const struct lsy_option rows[] = {
        {.name = "seed", .kind = LSY_INT, .at = offsetof(struct options, seed), .max = 9.2e18}};
    static uint64_t draws;
    int64_t first, all;
    struct lsy_data *d = check_data(L, 1);
    check_whole(L, d, "sample");
    bounds(d, &first, &all);
    int64_t n = lua_isnoneornil(L, 2) ? (all < 200 ? all : 200)
                                      : lsy_check_int(L, 2, "sample", "n", 1, all);
    LSY_OPTIONS(L, 3, "sample", rows, &o);
    struct sy_rng r = {o.seed >= 0 ? (uint64_t)o.seed : 0, SY_RNG_USER + 256,
                       o.seed >= 0 ? 0 : ++draws};
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
    struct lsy_data *d = check_data(L, 1);
    check_whole(L, d, "ids");
    bounds(d, &begin, &all);
    int64_t first = lua_isnoneornil(L, 2) ? 1 : lsy_check_int(L, 2, "ids", "first", 1, all);
    int64_t n = lua_isnoneornil(L, 3) ? all - first + 1
                                      : lsy_check_int(L, 3, "ids", "n", 0, all - first + 1);
    struct sy_tensor **slot = lsy_new_tensor(L);
    if (!(*slot = sy_tensor_empty(SY_I32, 1, &n, &err)) ||
        sy_corpus_read(d->corpus, begin + first - 1, n, sy_tensor_data(*slot), &err))
        return lsy_raise(L, &err);
    return 1;
}

static int entropy_of(lua_State *L)
{
    struct lsy_data *d = check_data(L, 1);
    int domain =
        (int)lsy_check_int(L, 2, "domain_entropy", "domain", 1, sy_corpus_domains(d->corpus));
    lua_pushnumber(L, sy_corpus_entropy(d->corpus, domain - 1));
    return 1;
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
    lsy_set_integer(L, "first", doc.first + 1);
    lsy_set_integer(L, "tokens", doc.tokens);
    if (doc.line)
        lsy_set_integer(L, "line", doc.line);
    if (doc.domain >= 0)
        lsy_set_integer(L, "domain", doc.domain + 1);
    return 1;
}

/* ---- pairs ---- */

/* The pairs of the part: numbers *first .. *first + *n - 1. */
static void pair_bounds(const struct lsy_data *d, int64_t *first, int64_t *n)
{
    int64_t all = sy_corpus_pair_count(d->corpus), train = sy_corpus_pair_train(d->corpus);
    *first = d->part == 2 ? train : 0;
    *n = d->part == 0 ? all : d->part == 1 ? train : all - train;
}

/* Text of n ids from `first` on into field `name` of the table at -1. */
static void set_decoded(lua_State *L, const struct sy_corpus *c, const char *name, int64_t first,
                        int64_t n)
{
    struct sy_err err = SY_ERR_INIT;
    size_t len = 0;
    int32_t *ids = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *ids, 0);
    void **text = lsy_new_block(L);
    if (sy_corpus_read(c, first, n, ids, &err) ||
        !(*text = sy_tokenizer_decode(sy_corpus_tokenizer(c), ids, n, &len, &err)))
        lsy_raise(L, &err);
    lua_pushlstring(L, *text, len);
    lua_setfield(L, -4, name);
    lua_pop(L, 2);
}

/* d:pair(i) -> {input=, target=, source=}, counted from 1; without their ends of text */
static int pair(lua_State *L)
{
    struct sy_pair p;
    struct lsy_data *d = check_data(L, 1);
    int64_t first, n;
    pair_bounds(d, &first, &n);
    if (!sy_corpus_pair_count(d->corpus))
        return lsy_error(L, "pair: the data is text, not pairs (data.pairs, data.catalogues)");
    int64_t i = lsy_check_int(L, 2, "pair", "number", 1, n);
    sy_corpus_pair(d->corpus, first + i - 1, &p);
    lua_createtable(L, 0, 3);
    set_decoded(L, d->corpus, "input", p.first, p.input - 1);
    set_decoded(L, d->corpus, "target", p.first + p.input, p.target - 1);
    lsy_set_text(L, "source", sy_corpus_source(d->corpus, p.source));
    return 1;
}

static int push_sources(lua_State *L, const struct sy_corpus *c)
{
    int32_t n = sy_corpus_sources(c);
    lua_createtable(L, n, 0);
    for (int32_t i = 0; i < n; i++) {
        lua_pushstring(L, sy_corpus_source(c, i));
        lua_rawseti(L, -2, i + 1);
    }
    lsy_list(L);
    return 1;
}

static int push_number_field(lua_State *L, const struct lsy_data *d, const char *name)
{
    int64_t first, n;
    bounds(d, &first, &n);
    if (!strcmp(name, "tokens"))
        lua_pushinteger(L, n);
    else if (!strcmp(name, "vocab"))
        lua_pushinteger(L, sy_corpus_vocab(d->corpus));
    else if (!strcmp(name, "pairs")) {
        pair_bounds(d, &first, &n);
        lua_pushinteger(L, n);
    } else if (!strcmp(name, "documents"))
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

static int get_field(lua_State *L)
{
    static const char *const fields[] = {
        "tokens", "vocab", "documents", "domains",        "entropy",
        "val",    "train", "tokenizer", "hash",           "reading",
        "pairs",  "pair",  "sources",
        "sample", "ids",   "document",  "domain_entropy", NULL};
    char hex[17];
    struct lsy_data *d = check_data(L, 1);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (push_number_field(L, d, name))
        return 1;
    if (!strcmp(name, "val"))
        return push_part(L, d, 2);
    if (!strcmp(name, "train"))
        return push_part(L, d, 1);
    if (!strcmp(name, "sources"))
        return push_sources(L, d->corpus);
    if (!strcmp(name, "reading")) {
        bool plain;
        lua_pushstring(L, sy_corpus_reading(d->corpus, &plain));
        return 1;
    }
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
    struct lsy_data *d = check_data(L, 1);
    long long all = sy_corpus_tokens(d->corpus), train = sy_corpus_train(d->corpus);
    if (d->part) {
        lua_pushfstring(L, "data: the %s part of %I tokens: %I",
                        d->part == 1 ? "training" : "validation", (lua_Integer)all,
                        (lua_Integer)(d->part == 1 ? train : all - train));
        return 1;
    }
    int at = snprintf(text, sizeof text,
                      "data: %lld tokens, %lld for training, %lld for validation; "
                      "vocabulary %d",
                      all, train, all - train, (int)sy_corpus_vocab(d->corpus));
    if (sy_corpus_pair_count(d->corpus))
        snprintf(text + at, sizeof text - (size_t)at, "; %lld pairs",
                 (long long)sy_corpus_pair_count(d->corpus));
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
    {"sample", sample}, {"ids", read_ids}, {"document", document}, {"pair", pair},
    {"domain_entropy", entropy_of}, {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"data",
     "d.tokens  d.val.tokens  d.train.tokens  d.vocab  d.documents  d.tokenizer  d.hash  d.reading",
     "A data set: token ids, the last part of them for validation (d.val). d.reading says which "
     "files were read as what. Of pairs (data.pairs, data.catalogues) d.pairs is their number, "
     "d.sources their languages. A failure to read gives nil, message, "
     "code.",
     "d = data.synthetic{domains = 4, tokens = 1e5, seed = 1}\nd.val.tokens"},
    {"data:domain_entropy", "d:domain_entropy(i) -> number",
     "Entropy in nats a token of domain i of a synthetic data set, from 1 to d.domains.",
     "data.synthetic{domains = 2, tokens = 1e4, seed = 1}:domain_entropy(1)"},
    {"data:sample", "d:sample(n, {seed=}) -> text",
     "n tokens from a random place, as text (as ids without a tokenizer).",
     "data.string(string.rep(\"to be \", 100)):sample(12)"},
    {"data:document", "d:document(i) -> {source=, line=, first=, tokens=, domain=}",
     "Where document i of d.documents comes from, and which tokens are its; counted from 1.",
     "data.string(\"to be\"):document(1)"},
    {"data:pair", "d:pair(i) -> {input=, target=, source=}",
     "Pair i of d.pairs (of d.val.pairs: d.val:pair(i)), counted from 1: its texts, the input with "
     "its tag, and the source that it is of, one of d.sources.",
     NULL},
    {"data:ids", "d:ids(first, n) -> tensor", "Token ids from the first-th on as an i32 tensor.",
     NULL},
};

void lsy_open_data(lua_State *L)
{
    lsy_value_meta(L, META, "data", metamethods, methods, get_field);
    LSY_DOCS(L, docs);
}
