/* data.pairs and data.catalogues: corpora of translations (pairs.h).  Layer bind/data. */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/make_int.h"
#include "bind/data/open.h"
#include "bind/thread/progress.h"
#include "switchyard/pairs.h"

#include <string.h>

/* ---- options ---- */

struct options {
    int tokenizer, from, to; /* stack indices, 0: not given */
    const char *tag, *path;
    int help; /* stack index */
    double val;
    bool truncate;
    int64_t min_words, unpack_max;
};

#define OPT(n, k, lo, hi)                                                                          \
    {.name = #n, .kind = k, .at = offsetof(struct options, n), .min = lo, .max = hi}
#define COMMON                                                                                     \
    OPT(tokenizer, LSY_VALUE, 0, 0), OPT(from, LSY_VALUE, 0, 0), OPT(to, LSY_VALUE, 0, 0),         \
        OPT(tag, LSY_STRING, 0, 0), OPT(val, LSY_REAL, 0, 0.999),                                  \
        OPT(min_words, LSY_INT, 0, 1000), OPT(truncate, LSY_BOOL, 0, 0)

static const struct lsy_option pair_rows[] = {COMMON, OPT(unpack_max, LSY_INT, 1, 9.2e18)};
static const struct lsy_option catalogue_rows[] = {COMMON, OPT(path, LSY_STRING, 0, 0),
                                                   OPT(help, LSY_VALUE, 0, 0)};

/* tokenizer = a tokenizer, or {vocab = N}: one is trained. */
static void check_tokenizer(lua_State *L, int arg, const char *what, struct sy_pair_options *out)
{
    static const struct lsy_option rows[] = {
        {.name = "vocab", .kind = LSY_INT, .at = 0, .min = 257, .max = 1048576}};
    struct {
        int64_t vocab;
    } o = {4096};
    if (arg && lua_istable(L, arg)) {
        LSY_OPTIONS(L, arg, what, rows, &o);
        out->vocab = (int32_t)o.vocab;
    } else if (arg)
        out->tokenizer = lsy_check_tokenizer(L, arg);
}

static struct sy_pair_options pair_options(lua_State *L, const struct options *o, const char *what,
                                           struct lsy_watch *watch)
{
    struct sy_pair_options p = {.val = o->val, .tag = o->tag, .cut = o->truncate,
                                .words = (int)o->min_words, .unpack_max = o->unpack_max,
                                .progress = &watch->progress};
    check_tokenizer(L, o->tokenizer, what, &p);
    return p;
}

/* ---- pairs ---- */

/* A language's name at index `at`; NULL: none was given. */
static const char *check_name(lua_State *L, int at, const char *what, const char *option)
{
    if (!at)
        return NULL;
    if (lua_type(L, at) != LUA_TSTRING || !lua_rawlen(L, at))
        lsy_error(L, "%s: %s must be the name of a language: it is a %s", what, option,
                  luaL_typename(L, at));
    return lua_tostring(L, at);
}

static int make_pairs(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    int count;
    lua_settop(L, 2);
    LSY_OPTIONS(L, 2, "data.pairs", pair_rows, &o);
    const char *const *paths = lsy_check_paths(L, 1, "data.pairs", &count);
    const char *from = check_name(L, o.from, "data.pairs", "from");
    const char *to = check_name(L, o.to, "data.pairs", "to");
    struct sy_pair_options p = pair_options(L, &o, "data.pairs: tokenizer", &watch);
    struct lsy_data *d = lsy_begin_corpus(L, "pairs", 1, 0, 2, &watch, "reading pairs");
    return lsy_deliver_corpus(L, d, sy_corpus_pairs(paths, count, from, to, &p, &err),
                              "data.pairs", &watch, &err);
}

/* ---- catalogues ---- */

/* A language or a list of them at `at`: an array that the stack owns. */
static const char *const *check_languages(lua_State *L, int at, const char *option, int *count)
{
    if (!at)
        lsy_error(L, "data.catalogues: %s names no language: %s = \"en\", or a list", option,
                  option);
    bool list = lua_istable(L, at);
    int64_t n = list ? lsy_list_length(L, at, "data.catalogues") : 1;
    if (n < 1 || n > 4096)
        lsy_error(L, "data.catalogues: %s holds %d languages", option, (int)n);
    const char **names = lua_newuserdatauv(L, (size_t)n * sizeof *names, 0);
    for (lua_Integer i = 0; i < n; i++) {
        if (list)
            lua_geti(L, at, i + 1);
        else
            lua_pushvalue(L, at);
        names[i] = check_name(L, lua_gettop(L), "data.catalogues", option);
        lua_pop(L, 1); /* the list, or the options, keep it alive */
    }
    *count = (int)n;
    return names;
}

/* help = true, or a folder; NULL: none. */
static const char *check_help(lua_State *L, int at)
{
    if (!at || (lua_isboolean(L, at) && !lua_toboolean(L, at)))
        return NULL;
    if (lua_isboolean(L, at))
        return "/usr/share/libreoffice/help";
    if (lua_type(L, at) != LUA_TSTRING)
        lsy_error(L, "data.catalogues: help must be true or a folder: it is a %s",
                  luaL_typename(L, at));
    return lua_tostring(L, at);
}

static int make_catalogues(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    struct options o = {.val = 0.1};
    int from_count, to_count;
    lua_settop(L, 1);
    LSY_OPTIONS(L, 1, "data.catalogues", catalogue_rows, &o);
    const char *const *from = check_languages(L, o.from, "from", &from_count);
    const char *const *to = check_languages(L, o.to, "to", &to_count);
    struct sy_pair_options p = pair_options(L, &o, "data.catalogues: tokenizer", &watch);
    p.help = check_help(L, o.help);
    struct lsy_data *d = lsy_begin_corpus(L, "catalogues", 0, 0, 1, &watch, "reading catalogues");
    return lsy_deliver_corpus(
        L, d, sy_corpus_catalogues(o.path, from, from_count, to, to_count, &p, &err),
        "data.catalogues", &watch, &err);
}

/* ---- for the embedded library ---- */

/* The sources of c, which count from `first` on: appended to the lists at -2 (names) and -1
 * (numbers). */
static void add_languages(lua_State *L, const struct sy_corpus *c, int32_t first)
{
    for (int32_t i = 0; i < sy_corpus_sources(c); i++) {
        lua_Integer at = (lua_Integer)lua_rawlen(L, -1) + 1;
        lua_pushstring(L, sy_corpus_source(c, i));
        lua_rawseti(L, -3, at);
        lua_pushinteger(L, first + i);
        lua_rawseti(L, -2, at);
    }
}

static bool translate_alike(const struct sy_languages *a, const struct sy_languages *b)
{
    return a->sources_are_targets == b->sources_are_targets && !strcmp(a->tag, b->tag) &&
           !strcmp(a->other, b->other);
}

/* Those of a data set of pairs; of a mix those of its first pairs and of the others that are put
 * before a model in the same way.  false: there are none. */
static bool gather_languages(lua_State *L, const struct sy_corpus *in, struct sy_languages *out)
{
    int parts = sy_corpus_mix_parts(in);
    bool found = false;
    for (int i = 0; i < (parts ? parts : 1); i++) {
        const struct sy_corpus *c = parts ? sy_corpus_mix_part(in, i) : in;
        if (!sy_corpus_pair_count(c))
            continue;
        struct sy_languages l = sy_corpus_languages(c);
        *out = found ? *out : l;
        found = true;
        if (translate_alike(out, &l))
            add_languages(L, c, parts ? sy_corpus_mix_source(in, i) : 0);
    }
    return found;
}

/* engine.languages(d) -> {tag=, targets=, other=, sources={name, ...}, numbers={of the
 * sources among all of the data's, from 0}}, or nil: there are no pairs in it */
static int l_languages(lua_State *L)
{
    struct sy_languages l;
    const struct sy_corpus *c = lsy_check_corpus(L, 1);
    lua_createtable(L, 0, 6);
    lua_createtable(L, sy_corpus_sources(c), 0);
    lua_createtable(L, sy_corpus_sources(c), 0);
    if (!gather_languages(L, c, &l))
        return 0;
    lua_setfield(L, -3, "numbers");
    lua_setfield(L, -2, "sources");
    lsy_set_text(L, "tag", l.tag);
    lsy_set_boolean(L, "targets", l.sources_are_targets);
    lsy_set_text(L, "other", l.other);
    return 1;
}

/* engine.packing(d, val, S, T) -> {rows=, pairs=, left=, cut=, input_tokens=, target_tokens=}, or
 * nil for a corpus of text; raises when no pair fits */
static int l_packing(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_packing p;
    struct sy_corpus *c = lsy_check_corpus(L, 1);
    if (!sy_corpus_pair_count(c))
        return 0;
    if (sy_corpus_packing(c, lua_toboolean(L, 2) ? SY_SPLIT_VAL : SY_SPLIT_TRAIN,
                          luaL_checkinteger(L, 3), luaL_checkinteger(L, 4), &p, &err))
        return lsy_raise(L, &err);
    lua_createtable(L, 0, 6);
    lsy_set_integer(L, "rows", p.rows);
    lsy_set_integer(L, "pairs", p.pairs);
    lsy_set_integer(L, "left", p.left);
    lsy_set_integer(L, "cut", p.cut);
    lsy_set_integer(L, "input_tokens", p.input_tokens);
    lsy_set_integer(L, "target_tokens", p.target_tokens);
    return 1;
}

static const luaL_Reg functions[] = {
    {"pairs", make_pairs}, {"catalogues", make_catalogues}, {NULL, NULL}};
static const luaL_Reg engine_functions[] = {
    {"languages", l_languages}, {"packing", l_packing}, {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"data.pairs",
     "data.pairs(path, {from=, to=, tokenizer=, val=, tag=, truncate=, min_words=, "
     "unpack_max=}) -> d",
     "Pairs of texts to be translated: tables with tabs (input, target; or language, input, "
     "target: the input's language, or with from= alone the target's), or two files whose lines "
     "belong together, {\"a.de\", \"a.en\"}. from and to name the languages. tokenizer is one "
     "with an end-of-text, {vocab = 8192} to train one on the pairs, or bytes. val is the share "
     "that is held out, 0.1 unless given, by the texts of the side that has one language (of two "
     "the targets): equal ones, and those that differ in digits, case, spaces and punctuation "
     "alone, are on the same side. Texts that spell a special token of the tokenizer are left "
     "out. tag stands before each input, {from} and {to} being languages: a text, or one id "
     "where it is a special token. Several whole pairs stand in a row of a batch; what is longer "
     "than a row is left out, or cut with truncate = true. min_words: fewest words of a text that "
     "is held out by. unpack_max is as for data.text. d.pairs, d.sources, d:pair(i).",
     NULL},
    {"data.catalogues",
     "data.catalogues{from=, to=, path=, help=, tokenizer=, val=, tag=, truncate=, "
     "min_words=} -> d",
     "Pairs from the message catalogues (.mo) that programs are translated with: from = {\"de\", "
     "\"fr\"}, to = \"en\", or from \"en\" to others, whose tag is then \"<2{to}> \" unless given. "
     "path is /usr/share/locale unless given, a folder of LANGUAGE/LC_MESSAGES. "
     "help = true reads the pages of LibreOffice's help, too (packages libreoffice-help-LANGUAGE "
     "and -en-us; or a folder like /usr/share/libreoffice/help): whole sentences. val is the share "
     "of the English texts that is held out, over all languages; min_words the fewest words of the "
     "English text. The rest is as for data.pairs.",
     NULL},
};

void lsy_open_pairs(lua_State *L)
{
    lua_getglobal(L, "data");
    luaL_setfuncs(L, functions, 0);
    lua_pop(L, 1);
    LSY_DOCS(L, docs);
    lsy_add_functions(L, engine_functions);
    lsy_push_engine(L);
    lsy_set_quiet(L, "data_pairs", make_pairs);
    lsy_set_quiet(L, "data_catalogues", make_catalogues);
    lua_pop(L, 1);
}
