/* See runs_tree.h.
 *
 *  1. A fork stands below the run of its parent's name, if that one is older: a younger one only
 *     has the name.  So no run is below itself, whatever the stores say.
 *  2. A fork begins with its parent's journal.  What was done to the fork itself was written after
 *     its event `fork`. */
#include "run/runs_tree.h"

#include "base/mem.h"
#include "base/sanitize.h"
#include "switchyard/events.h"
#include "switchyard/journal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FOLD_OVER 4 /* effects; of more the first two and the last are shown */
#define FIRST 2

struct look {
    const char *fork, *last, *line, *gap, *more;
};
static const struct look looks[] = {{"├─ ", "└─ ", "│  ", "   ", "…"},
                                    {"|- ", "`- ", "|  ", "   ", "..."}};

struct tree {
    struct sy_str *out;
    const char *dir;
    const struct sy_runs *runs;
    const struct look *look;
    int *parent; /* [runs] places of runs; -1: none that is there */
    struct sy_str indent;
};

static void put_text(struct sy_str *out, const char *text)
{
    sy_utf8_line(out, text, strlen(text));
}

/* 1200 as 1,200. */
static void put_count(struct sy_str *out, int64_t n)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    for (int i = 0; i < length; i++) {
        if (i && digits[i - 1] != '-' && (length - i) % 3 == 0)
            sy_str_puts(out, ",");
        sy_str_add(out, &digits[i], 1);
    }
}

/* ---- who is whose fork ---- */

static int find_run(const struct sy_runs *runs, const char *name)
{
    for (int i = 0; i < runs->count; i++)
        if (!strcmp(runs->list[i].name, name))
            return i;
    return -1;
}

static int next_fork(const struct tree *t, int of, int after)
{
    for (int i = after + 1; i < t->runs->count; i++)
        if (t->parent[i] == of)
            return i;
    return -1;
}

static bool is_fork(const struct sy_store_info *r) { return r->parent && *r->parent; }

/* ---- what was done ---- */

/* When the run's own journal begins; -1: with its first entry. */
static int own_time(struct sy_store *s, const struct sy_store_info *r, double *time,
                    struct sy_err *err)
{
    struct sy_store_entries events;
    *time = -1;
    if (!is_fork(r))
        return 0;
    if (sy_store_entries(s, SY_STORE_EVENTS, 0, false, &events, err))
        return -1;
    for (int64_t i = 0; i < events.count && *time < 0; i++)
        if (!strcmp(events.list[i].kind, sy_event_name(SY_EVENT_FORK)))
            *time = events.list[i].time;
    sy_store_entries_free(&events);
    return 0;
}

/* A kind that is not known may have an effect. */
static bool is_effect(const struct sy_store_entry *e, double own)
{
    int kind = sy_entry_find(e->kind);
    return e->time > own && (kind < 0 || sy_entry_has_effect((enum sy_entry_kind)kind));
}

static void begin_effect(const struct tree *t, bool has_forks)
{
    sy_str_puts(t->out, t->indent.data ? t->indent.data : "");
    sy_str_puts(t->out, has_forks ? t->look->line : t->look->gap);
}

static void put_effect(const struct tree *t, const struct sy_store_entry *e, bool has_forks)
{
    begin_effect(t, has_forks);
    put_count(t->out, e->step);
    sy_str_puts(t->out, " ");
    put_text(t->out, *e->text ? e->text : e->kind);
    if (*e->who) {
        sy_str_puts(t->out, " (");
        put_text(t->out, e->who);
        sy_str_puts(t->out, ")");
    }
    sy_str_puts(t->out, "\n");
}

static void put_effects(const struct tree *t, const struct sy_store_entries *journal, double own,
                        bool has_forks)
{
    int64_t count = 0, at = 0;
    for (int64_t i = 0; i < journal->count; i++)
        count += is_effect(&journal->list[i], own);
    for (int64_t i = 0; i < journal->count; i++) {
        if (!is_effect(&journal->list[i], own))
            continue;
        at++;
        if (count <= FOLD_OVER || at <= FIRST || at == count)
            put_effect(t, &journal->list[i], has_forks);
        else if (at == FIRST + 1) {
            begin_effect(t, has_forks);
            sy_str_printf(t->out, "%s %" PRId64 " more\n", t->look->more, count - FIRST - 1);
        }
    }
}

static void put_journal(const struct tree *t, const struct sy_store_info *r, bool has_forks)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_entries journal = {0};
    double own = -1;
    struct sy_store *s = sy_store_open_read(t->dir, r->name, &err);
    if (s && !own_time(s, r, &own, &err) &&
        !sy_store_entries(s, SY_STORE_JOURNAL, 0, false, &journal, &err))
        put_effects(t, &journal, own, has_forks);
    if (err.code) {
        begin_effect(t, has_forks);
        put_text(t->out, err.msg);
        sy_str_puts(t->out, "\n");
    }
    sy_store_entries_free(&journal);
    sy_store_close(s, NULL);
}

/* ---- a run ---- */

static void put_origin(const struct tree *t, int i)
{
    const struct sy_store_info *r = &t->runs->list[i];
    if (!is_fork(r))
        return;
    sy_str_puts(t->out, "  forked at ");
    put_count(t->out, r->parent_step);
    if (t->parent[i] >= 0)
        return;
    sy_str_puts(t->out, " of ");
    put_text(t->out, r->parent);
    sy_str_puts(t->out, find_run(t->runs, r->parent) < 0 ? ", which is gone"
                                                         : ", which another run is called now");
}

static void put_run(const struct tree *t, int i)
{
    const struct sy_store_info *r = &t->runs->list[i];
    put_text(t->out, r->name);
    sy_str_printf(t->out, "  %s  ", sy_run_state_name(r->status.state));
    if (r->error.code)
        put_text(t->out, r->error.msg);
    else {
        sy_str_puts(t->out, "step ");
        put_count(t->out, r->status.step);
        if (isfinite(r->status.val_loss))
            sy_str_printf(t->out, "  val %.3f", r->status.val_loss);
        put_origin(t, i);
    }
    sy_str_puts(t->out, "\n");
}

static void put_branch(struct tree *t, int i)
{
    int fork = next_fork(t, i, -1);
    put_run(t, i);
    if (!t->runs->list[i].error.code)
        put_journal(t, &t->runs->list[i], fork >= 0);
    while (fork >= 0) {
        int next = next_fork(t, i, fork);
        size_t was = t->indent.len;
        sy_str_puts(t->out, t->indent.data ? t->indent.data : "");
        sy_str_puts(t->out, next < 0 ? t->look->last : t->look->fork);
        sy_str_puts(&t->indent, next < 0 ? t->look->gap : t->look->line);
        put_branch(t, fork);
        if (t->indent.data)
            t->indent.data[t->indent.len = was] = 0;
        fork = next;
    }
}

int sy_runs_tree(struct sy_str *out, const char *dir, const struct sy_runs *runs, bool ascii,
                 struct sy_err *err)
{
    struct tree t = {.out = out, .dir = dir, .runs = runs, .look = &looks[ascii],
                     .parent = sy_calloc((size_t)runs->count + 1, sizeof *t.parent)};
    for (int i = 0; i < runs->count && t.parent; i++) {
        const struct sy_store_info *r = &runs->list[i];
        int parent = is_fork(r) ? find_run(runs, r->parent) : -1;
        t.parent[i] = parent < i ? parent : -1; /* they are listed by age */
    }
    for (int i = 0; i < runs->count && t.parent; i++)
        if (t.parent[i] < 0)
            put_branch(&t, i);
    bool failed = !t.parent || t.indent.failed || out->failed;
    sy_str_free(&t.indent);
    sy_free(t.parent);
    return failed ? sy_err_set(err, SY_E_MEMORY, "runs: out of memory") : 0;
}
