/* Runs to look at: one interface over a run that trains in this process and one that is on disk,
 * and the board, the list of all live ones.  Layer run: knows no trainer and no terminal.
 *
 *  1. A source is shared (counted): who holds a reference may read it from any thread, also after
 *     its run was closed; it then says what it said last and has no new rows.
 *  2. A read takes the run's lock for a copy of one row block and nothing else: no trainer waits
 *     for those who look on.
 *  3. Rows of a series never change, they are only appended or, at a rewind, cut off at the end:
 *     sy_source_cut tells at which step.
 *
 *      bind: sy_source_live() -> sy_board_add()     watch: sy_source_stored()
 *                          \                          /
 *                           sy_source_*  ->  tui
 */
#ifndef SY_RUN_SOURCE_H
#define SY_RUN_SOURCE_H

#include "switchyard/err.h"
#include "switchyard/events.h"
#include "switchyard/run_state.h"
#include "switchyard/series.h"

#include <stdbool.h>
#include <stdint.h>

struct sy_metrics;
struct sy_source;

struct sy_source_status {
    char name[65];
    enum sy_run_state state;
    bool live; /* someone trains it now */
    int64_t step, steps, tokens;
    double tok_s, mfu, eta; /* NaN: not known */
    double loss, val_loss, lr;
    int64_t val_step;       /* 0: none */
    double flops_per_token; /* 0: not known */
    int64_t saved;          /* step of the newest checkpoint; -1: none */
    char alarm[160];        /* what is wrong, one line; "": nothing */
};

/* What people call what is otherwise numbered: layers ("enc 1"), the sources of its data, and the
 * tokens of the text that is traced. */
enum sy_source_list { SY_SOURCE_LAYERS, SY_SOURCE_DATA, SY_SOURCE_TRACE, SY_SOURCE_LISTS };

struct sy_mark {
    int64_t step;
    enum sy_mark_kind kind;
    char text[112]; /* from outside: to be sanitized */
};

struct sy_source *sy_source_ref(struct sy_source *s); /* returns s */
void sy_source_unref(struct sy_source *s);            /* NULL is fine */

void sy_source_status(struct sy_source *s, struct sy_source_status *out);
/* Series by number; new ones come at the end. */
int sy_source_count(struct sy_source *s);
int sy_source_find(struct sy_source *s, const char *name);     /* or -1 */
const char *sy_source_series(struct sy_source *s, int series); /* name; valid as long as s */
int sy_source_width(struct sy_source *s, int series);
struct sy_series_what sy_source_what(struct sy_source *s, int series);
/* The next name of a list, before anyone reads: 0, or -1 without memory.  A stored run knows its
 * own. */
int sy_source_call(struct sy_source *s, enum sy_source_list list, const char *name);
/* How many names a list has; that of number 1.. into out: false where none was given. */
int sy_source_called(struct sy_source *s, enum sy_source_list list);
bool sy_source_name(struct sy_source *s, enum sy_source_list list, int number, char *out, size_t n);
/* Rows with a step greater than `after`, oldest first, at most n, all columns: values[n * width].
 * Returns how many; 0: there are no more yet, or they cannot be read. */
int64_t sy_source_after(struct sy_source *s, int series, int64_t after, int64_t n, int64_t *steps,
                        float *values);
/* The newest row with a step of at most `step` into values[width]; its step, or -1: none. */
int64_t sy_source_at(struct sy_source *s, int series, int64_t step, float *values);
/* Rows with a step greater than the result were dropped since the reader last asked, and others may
 * have come in their place; INT64_MAX: none were.  *seen: the reader's, from 0. */
int64_t sy_source_cut(struct sy_source *s, uint64_t *seen);
/* Marks number first.. (from 0), at most n; returns how many.  After a cut: read again from 0. */
int sy_source_marks(struct sy_source *s, int first, struct sy_mark *out, int n);
/* Does it train in this process (and is not closed)? */
bool sy_source_is_live(struct sy_source *s);
/* Look for news on disk: true when there are some.  A run of this process always may have them. */
bool sy_source_poll(struct sy_source *s);

/* ---- a run in this process ---- */

struct sy_live_run {
    const char *name;
    struct sy_metrics *metrics; /* borrowed until sy_source_close */
    /* Called on the reader's thread; must not wait for anything but a lock held for a copy. */
    void (*status)(void *ctx, struct sy_source_status *out); /* everything but name */
    int (*marks)(void *ctx, int first, struct sy_mark *out, int n);
    void *ctx;
};
struct sy_source *sy_source_live(const struct sy_live_run *live,
                                 struct sy_err *err); /* owned: one count */
/* The run ends: its metrics and callbacks are not touched from now on. */
void sy_source_close(struct sy_source *s);

/* ---- a run on disk ---- */

/* NOTFOUND, FORMAT, IO. */
struct sy_source *sy_source_stored(const char *dir, const char *name, struct sy_err *err);

/* ---- the board ---- */

int sy_board_add(struct sy_source *s, struct sy_err *err); /* takes a reference */
void sy_board_remove(struct sy_source *s);                 /* and gives it back */
uint64_t sy_board_version(void); /* changes with every add and remove; from 1 */
/* References to all, oldest first, at most `room`; returns how many there are. */
int sy_board_list(struct sy_source **out, int room);
/* Who draws sleeps while nothing happens: `fn` is called, on any thread, when a run comes or goes
 * or its state changes; and, once after each sy_board_arm, at the next step of any run.  It must
 * only wake somebody (write to a pipe).  fn NULL: nobody is notified any more; none runs after
 * return.
 */
void sy_board_notify(void (*fn)(void *ctx), void *ctx);
void sy_board_arm(void);
/* For runs: a step was done; the state changed. */
void sy_board_stepped(void);
void sy_board_changed(void);

#endif
