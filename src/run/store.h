/* The store of a run: runs/NAME/run.sqlite, all that a run says about itself but its tensors (those
 * are in checkpoints beside it).  Layer run: knows metrics, no trainer.
 *
 *  1. One writer, held by a lock file (run/lock.h) that the kernel releases when its owner dies;
 *     any number of readers, in this process and others, which never make the writer wait: WAL
 *     mode.
 *  2. Every write is a transaction: a process killed anywhere leaves the state after the last one.
 *     Metrics may lag by a second (they are computed again by a resume); the journal may not: an
 *     entry is on the disk, synced, before sy_store_add returns.
 *  3. A failing disk never fails a run.  What could not be written waits in memory in order and is
 *     tried again each second; meanwhile sy_store_alarm has the reason.
 *  4. Nothing in the file is believed: application id, schema version, the text of every table's
 *     definition and sums over what a replay would use are checked; sizes are limited before
 *     memory is taken.  A damaged file gives FORMAT, or a state that was true once.
 *     Stores of older versions are read as they are, and brought to ours by whoever writes on.
 *  5. Columns of a series on disk ascend strictly in step; steps up to the last stored one are
 *     ignored when they come again, as they do in a resume or a replay.
 *
 *     trainer --row--> sy_metrics (memory) <--new rows, once a second-- flusher's thread
 *     anyone --entry, status--> queue ------------------------------------^  \--> run.sqlite
 *
 *  6. A run is made whole under another name (.NAME.new) and renamed: what a death leaves is no
 *     run.  It has an identity, `id` of its configuration: 128 random bits in store, lock and
 *     checkpoints (train/checkpoint.h).
 *  7. Its folder is held open.  A folder that got another name is written on there, and what was
 *     deleted is written anew, under an alarm; what took its name is not touched.  No link is
 *     followed (run_directory.c).
 *
 * All functions are safe to call from any thread, but for open and close. */
#ifndef SY_RUN_STORE_H
#define SY_RUN_STORE_H

#include "switchyard/err.h"
#include "switchyard/run_state.h"
#include "switchyard/series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY_RUN_NAME_MAX 64
#define SY_SPARK_POINTS 60

struct sy_metrics;
struct sy_store;

/* Where runs are kept: SWITCHYARD_RUNS, or "runs".  Borrowed. */
const char *sy_runs_dir(void);
/* The folder and the name of the run of which `word` is the name, or the path of its directory.
 * Both are borrowed: from room, word or sy_runs_dir. */
void sy_run_locate(const char *word, char room[4096], const char **folder, const char **name);
/* What a run is called by in a command: its name, or the path of its directory (may be NULL) where
 * that is not where runs are kept.  Borrowed: the one or the other. */
const char *sy_run_word(const char *path, const char *name);
/* May a run be called so?  1 to 64 bytes of UTF-8, no '/' or '\', no control characters, no '.' or
 * '-' in front.  err (or NULL) has the reason. */
bool sy_store_name_ok(const char *name, struct sy_err *err);
/* Also without characters that are not seen or reorder others: what a new run may be called. */
bool sy_store_name_new(const char *name, struct sy_err *err);

/* ---- opening ---- */

struct sy_store_config {
    const char *dir, *name;        /* dir/name is made */
    const char *config;            /* JSON: options of the run and its model; NULL: {} */
    const char *environment;       /* JSON; NULL: version, kernels, threads, processors, host */
    const char *tokenizer, *data;  /* hashes of what it learns from, or NULL */
    const char *parent;            /* run this one was forked from, or NULL */
    int64_t parent_step, steps;
};
/* A new run, opened for writing.  STATE when the name is taken; IO. */
struct sy_store *sy_store_create(const struct sy_store_config *config, struct sy_err *err);
/* The same in two: a directory and its lock, so that only one prepares the run's files in
 * sy_store_path; then (name and dir of the configuration are not read) the run itself, under its
 * name: sy_store_path is another now.  Between them there is no run, only close is allowed, and
 * sy_store_id is one for the configuration. */
struct sy_store *sy_store_claim(const char *dir, const char *name, struct sy_err *err);
int sy_store_fill(struct sy_store *s, const struct sy_store_config *config, struct sy_err *err);
/* Fill a claimed one with all that another has, whose folder was deleted: that one is of no use
 * then. */
int sy_store_inherit(struct sy_store *s, struct sy_store *from, struct sy_err *err);
/* Delete the run that did not come to be, folder and all; close is still to be called. */
int sy_store_remove(struct sy_store *s, struct sy_err *err);
/* Open for writing.  STATE: "run 'first' is being written by process 4711"; NOTFOUND; FORMAT. */
struct sy_store *sy_store_open(const char *dir, const char *name, struct sy_err *err);
/* Open for reading, whether its owner is alive or dead.  NOTFOUND, FORMAT, IO. */
struct sy_store *sy_store_open_read(const char *dir, const char *name, struct sy_err *err);
/* Writes what is left and closes; -1 and an error when that failed.  NULL is fine. */
int sy_store_close(struct sy_store *s, struct sy_err *err);

const char *sy_store_path(const struct sy_store *s); /* dir/name: checkpoints go there */
const char *sy_store_id(const struct sy_store *s); /* 32 hex digits; "": made before runs had one */
/* The path by which its folder can be reached now into out[n]; false: it has none. */
bool sy_store_where(struct sy_store *s, char *out, size_t n);
/* Was its folder deleted, as of the last flush? */
bool sy_store_lost(struct sy_store *s);

/* ---- writing (STATE on a store opened for reading) ---- */

struct sy_store_status {
    enum sy_run_state state;
    int64_t step, steps, tokens;
    double loss, val_loss; /* nats a token; NaN: none */
};

/* From now on a thread of the store writes the rows that come to `metrics` (borrowed until
 * sy_store_detach or close) each second, with the status that `status` gives (or NULL; called on
 * that thread); while that is paused or ended, after sy_store_wake, an entry, or a minute.  Costs
 * the trainer nothing but the lock of metrics, for a copy of 256 rows.
 *
 * Metrics whose older rows are in another archive (run/packed_rows.h): these are written at once,
 * while nobody adds any, and then it is not needed any more.  -1: they could not be, and it still
 * is. */
int sy_store_attach(struct sy_store *s, struct sy_metrics *metrics,
                    void (*status)(void *ctx, struct sy_store_status *out), void *ctx,
                    struct sy_err *err);
/* The status has changed.  Takes no lock that is held while `status` is called. */
void sy_store_wake(struct sy_store *s);
/* Write what is left and forget the metrics; the thread ends. */
void sy_store_detach(struct sy_store *s);
void sy_store_set_status(struct sy_store *s, const struct sy_store_status *status);

enum sy_store_table {
    SY_STORE_JOURNAL, /* kind, text for people, data: all that a replay needs; who */
    SY_STORE_SAMPLES, /* text */
    SY_STORE_EVENTS,  /* kind, text: alarms, checkpoints, resumes; never leave the timeline */
    SY_STORE_CODE     /* kind: path; text: the source */
};
/* Add an entry (everything is copied).  A journal entry is durable at return, unless the disk fails
 * (3.); the others wait for the next flush.  Returns the entry's id in the journal, 0 for the
 * other tables, -1 when memory is out or the store is for reading. */
int64_t sy_store_add(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                     const char *text, const void *data, size_t n, struct sy_err *err);
/* The same without waiting, for the trainer's thread: the store's thread writes it at once, synced
 * if it is of the journal. */
int64_t sy_store_post(struct sy_store *s, enum sy_store_table table, int64_t step, const char *kind,
                      const char *text, const void *data, size_t n);

/* The same two of an entry of the journal, with all that it has. */
struct sy_journal_entry;
int64_t sy_store_add_entry(struct sy_store *s, const struct sy_journal_entry *e,
                           struct sy_err *err);
int64_t sy_store_post_entry(struct sy_store *s, const struct sy_journal_entry *e);

/* Write everything now.  -1: the reason, which is the alarm's as well; nothing is lost. */
int sy_store_flush(struct sy_store *s, struct sy_err *err);
/* Rewind: rows of metrics (attached ones in memory, too) after `step` go; journal entries and
 * samples after it, and journal entries newer than id `journal_last` (INT64_MAX: by the step
 * alone), are marked as having left the timeline.  The trainer must be held.  -1 and an error when
 * the disk fails: it is then done at the next flush. */
int sy_store_truncate(struct sy_store *s, int64_t step, int64_t journal_last, struct sy_err *err);
/* The same but for the journal, which stays: a resume comes to these steps again. */
int sy_store_truncate_rows(struct sy_store *s, int64_t step, struct sy_err *err);
/* What is wrong at present, and why: MOVED: the folder has another name, and is written there;
 * WAITS: what is to be written waits; TAKEN: another process writes the run, and this one never
 * does again. */
enum sy_store_alarm { SY_STORE_FINE, SY_STORE_MOVED, SY_STORE_WAITS, SY_STORE_TAKEN };
enum sy_store_alarm sy_store_alarm(struct sy_store *s, char text[496]);

/* ---- reading ---- */

struct sy_store_info {
    char name[SY_RUN_NAME_MAX + 1];
    struct sy_store_status status; /* state "crashed": says running, but its owner is gone */
    int64_t pid;                   /* of the last owner */
    bool live;                     /* the owner is alive */
    double created, updated;       /* seconds since the epoch */
    int64_t bytes;                 /* on disk, checkpoints and all */
    char *config, *environment, *tokenizer, *data, *parent; /* owned, "" when absent */
    int64_t parent_step;
    int sparks;
    /* loss; the largest of each stretch, so that no spike is hidden */
    float spark[SY_SPARK_POINTS];
    struct sy_err error;          /* sy_runs_list: what is wrong with this one */
};
int sy_store_info(struct sy_store *s, struct sy_store_info *out, struct sy_err *err);
/* The same without bytes and spark: for asking often. */
int sy_store_peek(struct sy_store *s, struct sy_store_info *out, struct sy_err *err);
/* Did anyone commit since this was last asked (the first time: yes)? */
bool sy_store_news(struct sy_store *s);
void sy_store_info_free(struct sy_store_info *info);

struct sy_store_series {
    char *name; /* owned by the list */
    int width;
    struct sy_series_what what; /* of stores before version 4: by its name */
    int64_t rows, last_step;
    float *last; /* [width] values of the newest row; owned by the list */
};
/* List of all series, by name; *count of them. */
struct sy_store_series *sy_store_series(struct sy_store *s, int *count, struct sy_err *err);
void sy_store_series_free(struct sy_store_series *list, int count);

struct sy_history {
    int64_t count;
    int64_t *steps;
    float *values; /* one column, or all: [count][width] */
    int width;
    size_t step_room, value_room; /* of the two lists */
};
/* Rows with first <= step <= last of one column (from 0), or of all (-1).  Vectors are stored as
 * halves: relative error 2^-11 (5e-4), absolute 3e-8 below 6e-5.  NAME, RANGE, FORMAT. */
int sy_store_history(struct sy_store *s, const char *name, int column, int64_t first, int64_t last,
                     struct sy_history *out, struct sy_err *err);
void sy_history_free(struct sy_history *h);
/* Rows with a step greater than `after`, oldest first, at most `most` of them, all columns, into
 * steps[most] and values[most * width]; returns how many, -1: NAME, FORMAT, IO.  `width` is what
 * the caller took memory for: SHAPE when the series has another. */
int64_t sy_store_after(struct sy_store *s, const char *name, int width, int64_t after, int64_t most,
                       int64_t *steps, float *values, struct sy_err *err);
/* The newest row with a step of at most `step` into values[width]: 1 and its step in *found; 0:
 * there is none; -1. */
int sy_store_at(struct sy_store *s, const char *name, int width, int64_t step, int64_t *found,
                float *values, struct sy_err *err);

struct sy_store_entry {
    int64_t id, step;
    double time;        /* seconds since the epoch */
    int64_t left;       /* 0: on the timeline; else the journal id at which a rewind took it off */
    char *kind, *text;  /* owned by the list; NUL-terminated */
    char *who;          /* did it, of the journal; "": the person at the prompt, or a script */
    void *data;
    size_t text_len, data_len;
};
struct sy_store_entries {
    int64_t count;
    struct sy_store_entry *list;
    size_t room;
};
/* Entries with an id over `after`, by id: what is on the timeline, or `all`. */
int sy_store_entries(struct sy_store *s, enum sy_store_table table, int64_t after, bool all,
                     struct sy_store_entries *out, struct sy_err *err);
void sy_store_entries_free(struct sy_store_entries *e);

/* ---- all runs ---- */

struct sy_runs {
    int count;
    struct sy_store_info *list; /* by time of creation, oldest first */
};
/* Runs in dir, each with its spark and, when it cannot be read, its error.  No such dir: none. */
int sy_runs_list(const char *dir, struct sy_runs *out, struct sy_err *err);
void sy_runs_free(struct sy_runs *runs);

#endif
