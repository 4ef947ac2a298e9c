/* Tokenizers and data as seen by other bindings.  Layer bind/data. */
#ifndef SY_BIND_DATA_H
#define SY_BIND_DATA_H

#include "switchyard/data.h"
#include "switchyard/tokenizer.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define LSY_DATA_META "switchyard.data"

struct lsy_data {             /* a data set's userdata */
    struct sy_corpus *corpus; /* counted; NULL while it is made and after __close */
    int part;                 /* 0 all, 1 training, 2 validation */
};
/* A new one, without a corpus.  [-0, +1, m] */
struct lsy_data *lsy_new_data(lua_State *L);

/* Borrowed from the userdata at arg; raise when it is something else (with the failure that made it
 * nil, if there was one). */
struct sy_corpus *lsy_check_corpus(lua_State *L, int arg);
/* The same, but not of a part (d.train, d.val), of which all would be taken. */
struct sy_corpus *lsy_check_whole_corpus(lua_State *L, int arg, const char *what);
struct sy_tokenizer *lsy_check_tokenizer(lua_State *L, int arg);
struct sy_tokenizer *lsy_test_tokenizer(lua_State *L, int arg); /* or NULL */
/* Of engine.objectives, borrowed; NULL for nil: next-token prediction. */
struct sy_objectives *lsy_objectives(lua_State *L, int arg);
/* Push; takes over the caller's count. NULL: err as lsy_fail_or_raise.  Returns results pushed. */
int lsy_push_tokenizer(lua_State *L, struct sy_tokenizer *t, const struct sy_err *err);
/* A path, or a list of them, at arg: an array that the stack owns. */
const char *const *lsy_check_paths(lua_State *L, int arg, const char *what, int *count);

/* The options of reading files, which data.text and train_bpe share: a member `reading` of the
 * options' struct, its rows, and what they say. */
struct lsy_reading {
    const char *field;
    int format, on_error;
    int64_t unpack_max;
};
#define LSY_READING_ROWS(type)                                                                     \
    {.name = "field", .kind = LSY_STRING, .at = offsetof(type, reading.field)},                    \
    {.name = "format", .kind = LSY_CHOICE, .at = offsetof(type, reading.format),                   \
     .choices = lsy_read_formats},                                                                 \
    {.name = "on_error", .kind = LSY_CHOICE, .at = offsetof(type, reading.on_error),               \
     .choices = lsy_on_error},                                                                     \
    {.name = "unpack_max", .kind = LSY_INT, .at = offsetof(type, reading.unpack_max), .min = 1,    \
     .max = 9.2e18}
extern const char *const lsy_read_formats[], *const lsy_on_error[];
struct sy_read_options lsy_reading(const struct lsy_reading *r);

/* A userdata for a block of sy_alloc, freed with it: create it, then allocate into the slot. */
void **lsy_new_block(lua_State *L);

/* Long work of the engine: shows a percentage on stderr when that is a terminal, and ends the work
 * when the user interrupts.  On the C stack; begin and end enclose the call. */
struct lsy_watch {
    struct sy_progress progress; /* its address is for the engine */
    const char *what;
    double began, drawn;
    bool shown;
};
void lsy_watch_begin(struct lsy_watch *w, const char *what);
void lsy_watch_end(struct lsy_watch *w);
/* After the end: lsy_fail_or_raise, but an interruption raises "interrupted". */
int lsy_watch_fail(lua_State *L, const struct sy_err *err);

#endif
