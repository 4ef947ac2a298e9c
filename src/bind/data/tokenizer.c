/* tokenizer.*: tokenizers as userdata.  Layer bind/data.  Ids start at 0.
 *
 *   engine.tokenizer_load_bare(path)  as sy_tokenizer_load_bare: for runs that were recorded so
 *   engine.tokenizer_is_bare(tok)     */
#include "bind/core/args.h"
#include "bind/core/doc.h"
#include "bind/core/error.h"
#include "bind/core/handle.h"
#include "bind/core/registry.h"
#include "bind/data/data.h"
#include "bind/data/open.h"
#include "bind/tensor/tensor.h"
#include "bind/thread/progress.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#define META "switchyard.tokenizer"

/* ---- the userdata ---- */

static struct sy_tokenizer **new_slot(lua_State *L)
{
    struct sy_tokenizer **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    luaL_setmetatable(L, META);
    return slot;
}

struct sy_tokenizer *lsy_test_tokenizer(lua_State *L, int arg)
{
    struct sy_tokenizer **slot = luaL_testudata(L, arg, META);
    return slot ? *slot : NULL;
}

struct sy_tokenizer *lsy_check_tokenizer(lua_State *L, int arg)
{
    struct sy_tokenizer *t = lsy_test_tokenizer(L, arg);
    if (!t)
        lsy_error(L, "tokenizer: a tokenizer is wanted here: it is a %s%s", luaL_typename(L, arg),
                  lua_isnil(L, arg) ? lsy_last_failure() : "");
    return t;
}

int lsy_push_tokenizer(lua_State *L, struct sy_tokenizer *t, const struct sy_err *err)
{
    if (!t)
        return lsy_fail_or_raise(L, err);
    *new_slot(L) = t;
    return 1;
}

static int gc(lua_State *L)
{
    struct sy_tokenizer **slot = luaL_checkudata(L, 1, META);
    sy_tokenizer_unref(*slot);
    *slot = NULL;
    return 0;
}

/* ---- making ---- */

/* Options of both makers: special tokens. */
struct specials {
    int64_t sentinels;
    bool pad, fim;
    int special; /* stack index of a list of names; 0: none */
};
#define SPECIAL_ROWS(type)                                                                         \
    {.name = "sentinels", .kind = LSY_INT, .at = offsetof(type, specials.sentinels), .min = 0,     \
     .max = SY_SENTINELS_MAX},                                                                     \
    {.name = "pad", .kind = LSY_BOOL, .at = offsetof(type, specials.pad)},                         \
    {.name = "fim", .kind = LSY_BOOL, .at = offsetof(type, specials.fim)},                         \
    {.name = "special", .kind = LSY_VALUE, .at = offsetof(type, specials.special)}

/* The names are borrowed from the options' list; the stack owns the array. */
static struct sy_special_tokens check_specials(lua_State *L, const struct specials *o,
                                               const char *what)
{
    struct sy_special_tokens out = {.sentinels = (int32_t)o->sentinels, .pad = o->pad,
                                    .fim = o->fim};
    if (!o->special)
        return out;
    if (!lua_istable(L, o->special))
        lsy_error(L, "%s: special must be a list of names: it is a %s", what,
                  luaL_typename(L, o->special));
    int64_t n = lsy_list_length(L, o->special, what);
    if (n > SY_SENTINELS_MAX)
        lsy_error(L, "%s: special holds %lld names, at most %d", what, (long long)n,
                  SY_SENTINELS_MAX);
    const char **names = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *names, 0);
    for (int64_t i = 0; i < n; i++) {
        if (lua_geti(L, o->special, i + 1) != LUA_TSTRING)
            lsy_error(L, "%s: special[%d] must be a name: it is a %s", what, (int)i + 1,
                      luaL_typename(L, -1));
        names[i] = lua_tostring(L, -1);
        if (strlen(names[i]) != lua_rawlen(L, -1))
            lsy_error(L, "%s: special[%d] has a zero byte", what, (int)i + 1);
        lua_pop(L, 1);
    }
    out.names = names;
    out.count = (int32_t)n;
    return out;
}

static int make_bytes(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct options {
        struct specials specials;
    } o = {{0}};
    static const struct lsy_option rows[] = {SPECIAL_ROWS(struct options)};
    LSY_OPTIONS(L, 1, "tokenizer.bytes", rows, &o);
    struct sy_special_tokens special = check_specials(L, &o.specials, "tokenizer.bytes");
    struct sy_tokenizer **slot = new_slot(L);
    return (*slot = sy_tokenizer_bytes_with(&special, &err)) ? 1 : lsy_raise(L, &err);
}

static int make_bpe(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct options {
        int64_t vocab;
        const char *pattern;
        struct specials specials;
        struct lsy_reading reading;
    } o = {.vocab = 4096};
    static const struct lsy_option rows[] = {
        {.name = "vocab", .kind = LSY_INT, .at = offsetof(struct options, vocab), .min = 257,
         .max = 1048576},
        {.name = "pattern", .kind = LSY_STRING, .at = offsetof(struct options, pattern)},
        SPECIAL_ROWS(struct options),
        LSY_READING_ROWS(struct options)};
    struct lsy_watch watch;
    int count;
    LSY_OPTIONS(L, 2, "train_bpe", rows, &o);
    const char *const *paths = lsy_check_paths(L, 1, "train_bpe", &count);
    void **reading = lsy_new_block(L);
    struct sy_bpe_options options = {.vocab = (int32_t)o.vocab,
                                     .pattern = o.pattern,
                                     .special = check_specials(L, &o.specials, "train_bpe"),
                                     .read = lsy_reading(&o.reading),
                                     .reading = (char **)reading,
                                     .progress = &watch.progress};
    struct sy_tokenizer **slot = new_slot(L);
    lsy_watch_begin(&watch, "training a tokenizer");
    *slot = sy_bpe_train(paths, count, &options, &err);
    lsy_watch_end(&watch);
    if (!*slot)
        return lsy_watch_fail(L, &err);
    if (*reading)
        lsy_progress_line("train_bpe: %s", (const char *)*reading);
    if (sy_tokenizer_size(*slot) < options.vocab)
        lsy_progress_line("train_bpe: %d ids, fewer than vocab %d: no other pair of tokens occurs "
                          "twice in the text",
                          (int)sy_tokenizer_size(*slot), (int)options.vocab);
    return 1;
}

static int load_tokenizer(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *path = luaL_checkstring(L, 1);
    struct sy_tokenizer **slot = new_slot(L);
    *slot = sy_tokenizer_load(path, &err);
    return *slot ? 1 : lsy_fail_or_raise(L, &err);
}

static int load_bare(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    const char *path = luaL_checkstring(L, 1);
    struct sy_tokenizer **slot = new_slot(L);
    *slot = sy_tokenizer_load_bare(path, &err);
    return *slot ? 1 : lsy_fail_or_raise(L, &err);
}

static int is_bare(lua_State *L)
{
    lua_pushboolean(L, sy_tokenizer_is_bare(lsy_check_tokenizer(L, 1)));
    return 1;
}

/* ---- methods ---- */

static int encode_text(lua_State *L)
{
    static const struct lsy_option rows[] = {{.name = "special", .kind = LSY_BOOL, .at = 0}};
    struct {
        bool special;
    } o = {false};
    struct sy_err err = SY_ERR_INIT;
    struct lsy_watch watch;
    size_t n;
    int32_t *ids = NULL;
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    LSY_OPTIONS(L, 3, "encode", rows, &o);
    if (lua_type(L, 2) != LUA_TSTRING)
        return lsy_error(L, "encode: takes a text: it is a %s", luaL_typename(L, 2));
    const char *text = lua_tolstring(L, 2, &n);
    void **block = lsy_new_block(L);
    lsy_watch_begin(&watch, "encoding");
    struct sy_encode_options options = {.special = o.special, .progress = &watch.progress};
    int64_t count = sy_tokenizer_encode_with(t, text, n, &options, &ids, &err);
    lsy_watch_end(&watch);
    *block = ids;
    if (count < 0)
        return err.code == SY_E_CANCELLED ? lsy_watch_fail(L, &err) : lsy_raise(L, &err);
    lua_createtable(L, count < INT32_MAX ? (int)count : 0, 0);
    for (int64_t i = 0; i < count; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lsy_list(L);
    return 1;
}

static int32_t check_id(lua_State *L, int64_t place)
{
    char name[32];
    snprintf(name, sizeof name, "id %lld", (long long)place);
    return (int32_t)lsy_check_int(L, -1, "decode", name, 0, INT32_MAX);
}

/* Ids at arg (a list, a tensor, one number) in a block that the stack owns. */
static int32_t *check_ids(lua_State *L, int arg, int64_t *count)
{
    struct sy_tensor *t = lsy_test_tensor(L, arg);
    bool list = lua_istable(L, arg);
    if (!t && !list && lua_type(L, arg) != LUA_TNUMBER)
        lsy_error(L, "decode: takes a list or a tensor of ids: it is a %s", luaL_typename(L, arg));
    int64_t n = t      ? sy_tensor_count(lsy_check_data(L, arg, "decode", "ids"))
                : list ? lsy_list_length(L, arg, "decode")
                       : 1;
    int32_t *ids = lua_newuserdatauv(L, (size_t)(n ? n : 1) * sizeof *ids, 0);
    for (int64_t i = 0; i < n; i++) {
        if (t)
            lua_pushnumber(L, sy_tensor_get(t, i));
        else if (list)
            lua_geti(L, arg, i + 1);
        else
            lua_pushvalue(L, arg);
        ids[i] = check_id(L, i + 1);
        lua_pop(L, 1);
    }
    *count = n;
    return ids;
}

static int decode_ids(lua_State *L)
{
    static const struct lsy_option rows[] = {{.name = "continued", .kind = LSY_BOOL, .at = 0}};
    struct {
        bool continued;
    } o = {false};
    struct sy_err err = SY_ERR_INIT;
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    int64_t n;
    size_t len;
    LSY_OPTIONS(L, 3, "decode", rows, &o);
    int32_t *ids = check_ids(L, 2, &n);
    void **block = lsy_new_block(L);
    if (!(*block = sy_tokenizer_decode_on(t, ids, n, o.continued, &len, &err)))
        return lsy_raise(L, &err);
    lua_pushlstring(L, *block, len);
    return 1;
}

static int save_tokenizer(lua_State *L)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    return lsy_true_or_fail(L, sy_tokenizer_save(t, luaL_checkstring(L, 2), &err), &err);
}

static int token(lua_State *L)
{
    size_t n = 0;
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    int32_t id = (int32_t)lsy_check_int(L, 2, "token", "id", 0, sy_tokenizer_size(t) - 1);
    const char *bytes = sy_tokenizer_token(t, id, &n);
    lua_pushlstring(L, bytes ? bytes : "", n);
    return 1;
}

static int special(lua_State *L)
{
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    int32_t id = sy_tokenizer_special(t, luaL_checkstring(L, 2));
    if (id < 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, id);
    return 1;
}

static int equal(lua_State *L)
{
    struct sy_tokenizer *a = lsy_test_tokenizer(L, 1), *b = lsy_test_tokenizer(L, 2);
    lua_pushboolean(L, a && b && sy_tokenizer_hash(a) == sy_tokenizer_hash(b));
    return 1;
}

static int to_string(lua_State *L)
{
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    lua_pushfstring(L, "tokenizer: %s, %d ids", sy_tokenizer_kind(t), (int)sy_tokenizer_size(t));
    return 1;
}

/* Of a special token; nothing: it has none. */
static int push_id(lua_State *L, int32_t id)
{
    if (id >= 0)
        lua_pushinteger(L, id);
    return id >= 0;
}

/* tok.size and other fields, or a method; upvalue 1: methods. */
static int get_field(lua_State *L)
{
    static const char *const fields[] = {"size", "kind",   "eot",    "bos",  "start", "pattern",
                                         "hash", "encode", "decode", "save", "token", "special",
                                         NULL};
    char hex[17];
    struct sy_tokenizer *t = lsy_check_tokenizer(L, 1);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
    if (!strcmp(name, "size"))
        lua_pushinteger(L, sy_tokenizer_size(t));
    else if (!strcmp(name, "kind"))
        lua_pushstring(L, sy_tokenizer_kind(t));
    else if (!strcmp(name, "pattern"))
        lua_pushstring(L, sy_tokenizer_pattern(t));
    else if (!strcmp(name, "hash")) {
        sy_hash_hex(sy_tokenizer_hash(t), hex);
        lua_pushstring(L, hex);
    } else if (!strcmp(name, "eot"))
        return push_id(L, sy_tokenizer_eot(t));
    else if (!strcmp(name, "bos"))
        return push_id(L, sy_tokenizer_bos(t));
    else if (!strcmp(name, "start"))
        return push_id(L, sy_tokenizer_start(t));
    else if (lua_getfield(L, lua_upvalueindex(1), name) == LUA_TNIL)
        return lsy_unknown(L, "tokenizer", "field", name, fields);
    return 1;
}

static const luaL_Reg metamethods[] = {
    {"__gc", gc}, {"__close", gc}, {"__eq", equal}, {"__tostring", to_string}, {NULL, NULL}};
static const luaL_Reg methods[] = {{"encode", encode_text},
                                   {"decode", decode_ids},
                                   {"save", save_tokenizer},
                                   {"token", token},
                                   {"special", special},
                                   {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"bytes", make_bytes}, {"train_bpe", make_bpe}, {"load", load_tokenizer}, {NULL, NULL}};
static const struct lsy_doc docs[] = {
    {"tokenizer", "tok.size  tok.kind  tok.eot  tok.start  tok.hash",
     "Text to token ids and back. Ids start at 0; decode(encode(s)) is s for any bytes, unless a "
     "file's normalizer changes the text. Tokenizers are equal (==) when they give equal ids. "
     "start: what a decoder begins with that is trained on pairs or spans: <pad>, else the "
     "end-of-text, else 0.",
     "tok = tokenizer.bytes()\ntok:decode(tok:encode(\"To be\"))"},
    {"tokenizer.bytes", "tokenizer.bytes{sentinels=, fim=, pad=, special=} -> tok",
     "One id a byte: 256 ids. Behind them the special tokens that are asked for: sentinels = 100 "
     "gives <extra_id_99> to <extra_id_0>, the last id, for filling in spans; fim = true "
     "<|fim_prefix|>, <|fim_middle|> and <|fim_suffix|>; special = {\"<2en>\"} others by name. "
     "Where any is asked for, <|endoftext|> and <pad> are there, too; pad = true asks for these "
     "alone. A text gives a special token "
     "only where it spells its name; decode shows the name.",
     "tokenizer.bytes{sentinels = 100, fim = true}:special \"<extra_id_0>\""},
    {"tokenizer.train_bpe",
    "tokenizer.train_bpe(path, {vocab=, pattern=, sentinels=, fim=, pad=, special=, field=, "
    "format=, on_error=, unpack_max=}) -> tok",
     "Byte-level BPE with vocab ids (4096 unless given), trained on files, folders, patterns or a "
     "list of them; fewer, which a line says, where no other pair of tokens occurs twice. pattern "
     "is qwen2, gpt-2, llama-bpe or gpt-4o; sentinels, fim, pad and special are as for "
     "tokenizer.bytes and count among vocab; the other options say how files are read, as for "
     "data.text. A file that cannot be read gives nil, message, code.",
     NULL},
    {"tokenizer.load", "tokenizer.load(path) -> tok",
     "Read a tokenizer.json (or a folder with one): BPE, byte-level or SentencePiece's, with the "
     "ids of Hugging Face's tokenizers library; what is not done as there is refused by name. "
     "Failure: nil, message, code.",
     NULL},
    {"tokenizer:encode", "tok:encode(s, {special=}) -> ids",
     "The ids of a text as a list. Added tokens (<|endoftext|>, <think>) are found in the text; "
     "special=true also puts around it what the file's post-processor does (<s>).",
     "tokenizer.bytes():encode(\"abc\")"},
    {"tokenizer:decode", "tok:decode(ids, {continued=}) -> s",
     "The bytes that a list (or tensor) of ids stands for. continued=true: they go on from others, "
     "so that a space that some tokenizers take from the front stays.",
     "tokenizer.bytes():decode{97, 98, 99}"},
    {"tokenizer:save", "tok:save(path) -> true",
     "Write tokenizer.json; one that was read is written as it was. Failure: nil, message, code.",
     NULL},
    {"tokenizer:special", "tok:special(name) -> id",
     "The id of a special token by its name, or nil. <pad>, <|endoftext|> and those of "
     "fill-in-the-middle are found under the names of other families, too (<fim_prefix>, </s>).",
     "tokenizer.bytes{fim = true}:special \"<|fim_prefix|>\""},
    {"tokenizer:token", "tok:token(id) -> s", "The bytes of one id.",
     "tokenizer.bytes():token(65)"},
};

static const luaL_Reg engine_functions[] = {
    {"tokenizer_load_bare", load_bare}, {"tokenizer_is_bare", is_bare}, {NULL, NULL}};

void lsy_open_tokenizer(lua_State *L)
{
    lsy_value_meta(L, META, "tokenizer", metamethods, methods, get_field);
    luaL_newlib(L, functions);
    lua_setglobal(L, "tokenizer");
    lsy_add_functions(L, engine_functions);
    LSY_DOCS(L, docs);
}
