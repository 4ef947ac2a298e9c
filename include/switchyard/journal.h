/* The journal of a run: what was done to it, in order.  A run is a function of its first options
 * and this list.  Kinds of entries, an entry, and its bytes in a store.
 *
 *  1. What a kind means stands in its row of SY_ENTRY_MAP and nowhere else: whoever repeats,
 *     compares or draws entries asks the row.
 *  2. Names of kinds are in stores and checkpoints: a row's name is never changed.  A kind without
 *     a row here is a newer program's.  Nobody can tell whether it changes what follows, so a run
 *     that has one is looked at as ever, but not made again: resume, rewind, fork and replay refuse
 *     it by name.
 */
#ifndef SWITCHYARD_JOURNAL_H
#define SWITCHYARD_JOURNAL_H

#include "switchyard/err.h"
#include "switchyard/events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sy_str;

/* Who does an entry again where steps are repeated. */
enum sy_entry_replay {
    SY_REPLAY_NOTED,   /* nobody: it is for people, and written down once more */
    SY_REPLAY_TRAINER, /* sy_trainer_apply */
    SY_REPLAY_HOST,    /* who has the model (lua/run/reconstruct.lua); then sy_trainer_record */
    SY_REPLAY_RULE     /* nobody: the rule that made it makes it again */
};

/* X(ID, name, who does it again, disturbs, mark, what its fields are)
 * disturbs: what is learned changes, so the steps before say nothing about those after it (a set:
 * by which). */
#define SY_ENTRY_MAP(X)                                                                            \
    X(SET, "set", TRAINER, true, SET, "key: hyper-parameter; value")                               \
    X(SCHEDULE, "schedule", TRAINER, true, SET, "key: the schedule's name")                        \
    X(INPUT, "input", TRAINER, true, SET, "key: the input's name; values[n]")                      \
    X(FREEZE, "freeze", TRAINER, true, SET, "key: parameters' prefix; expert (-1: all); value 1")  \
    X(UNFREEZE, "unfreeze", TRAINER, true, SET, "as freeze, value 0")                              \
    X(CONFIG, "config", HOST, true, SET,                                                           \
      "key: option of the model, which needs a new plan; value, NaN: nil")                         \
    X(ROUTER, "router", HOST, true, SET, "key: the router, as JSON where it has options")          \
    X(RESET, "reset", HOST, true, SET,                                                             \
      "key: parameters' prefix; expert; value: seed; values: by each one's init, else normal")     \
    X(CLONE, "clone", HOST, true, SET,                                                             \
      "key: mixture's path; expert; value: seed; values: {to, noise, the router's row as well}")   \
    X(SWAP, "swap", HOST, false, SET, "key: mixture's path; expert; values: {the other}")          \
    X(MERGE, "merge", HOST, true, SET,                                                             \
      "key: mixture's path; expert; values: {the other, share, the router's row as well}")         \
    X(FORCE, "force", HOST, true, SET,                                                             \
      "key: mixture's path; expert; values: token ids that it gets, none: of its own choice")      \
    X(FORBID, "forbid", HOST, true, SET,                                                           \
      "key: mixture's path; expert; values: token ids that it does not get")                       \
    X(MIX, "mix", TRAINER, true, SET, "values[n]: shares of the data sets of a mix")               \
    X(SKIP, "skip", TRAINER, false, SPIKE, "value: a step that is left out")                       \
    X(RULES, "rules", TRAINER, false, SET, "value: SY_RULES of what follows")                      \
    X(SKIPPED, "skipped", RULE, false, SPIKE, "value: a step that the spike rule left out")        \
    X(NOTE, "note", NOTED, false, NOTE, "")                                                        \
    X(HOOK, "hook", NOTED, false, ALARM, "a hook failed")                                          \
    X(ALARM, "alarm", NOTED, false, ALARM, "an alarm acted")                                       \
    X(FAILED, "failed", NOTED, false, FAILED, "why the run ended")                                 \
    X(RESUME, "resume", NOTED, true, RESUME,                                                       \
      "key: what is not as it was (data, tokenizer, program, kernels, sampling)")                  \
    X(REWIND, "rewind", NOTED, false, RESUME, "the run went back by itself")

enum sy_entry_kind {
#define X(id, name, replay, disturbs, mark, fields) SY_ENTRY_##id,
    SY_ENTRY_MAP(X)
#undef X
        SY_ENTRY_COUNT
};

struct sy_entry_row {
    const char *name;
    enum sy_entry_replay replay;
    bool disturbs;
    enum sy_mark_kind mark;
    const char *fields;
};
const struct sy_entry_row *sy_entry_row(enum sy_entry_kind kind); /* borrowed for ever */
int sy_entry_find(const char *name); /* the kind, or -1 */
/* Does it change what follows?  All others are for people. */
bool sy_entry_has_effect(enum sy_entry_kind kind);

#define SY_WHO 48 /* bytes of a name of who acts, with the NUL */

struct sy_journal_entry {
    int64_t step; /* takes effect after this step */
    enum sy_entry_kind kind;
    char key[96];
    char text[512]; /* for people */
    char who[SY_WHO]; /* did it; "": the person at the prompt, the script, or the run itself */
    double value;
    int64_t expert; /* from 0; -1: none */
    int64_t n;
    const float *values; /* borrowed, unless sy_entry_unpack gave it */
};

/* Who acts on this thread from now on, cut to its room: what is written into a journal, or asked
 * of a run for its next border, bears this name.  "" at the beginning, and for a trainer's own
 * thread. */
void sy_act_as(const char *who);
const char *sy_acting(void); /* borrowed until the next sy_act_as */

/* Bytes of an entry in a store, little-endian: expert (i64), value (f64), then kind, key and values
 * (f32), each behind its length (u32).  What is not in them (step, text, who) the store has beside
 * them. */
void sy_entry_pack(struct sy_str *out, const struct sy_journal_entry *e);
/* Likewise back; kind and text as the store has them.  No bytes: only kind and text.  values[n] is
 * owned (sy_entry_free).  UNSUPPORTED: a kind that is not known; FORMAT, MEMORY. */
int sy_entry_unpack(const char *kind, const char *text, const void *data, size_t bytes,
                    struct sy_journal_entry *out, struct sy_err *err);
void sy_entry_free(struct sy_journal_entry *e); /* its values */
/* What earlier programs wrote otherwise, as it is written now.  For who reads entries by another
 * way. */
void sy_entry_renew(struct sy_journal_entry *e);

#endif
