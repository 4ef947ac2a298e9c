/* The views of sql.h: their columns, and what fills them. */
#include "run/sql_int.h"

#include "base/grow.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "switchyard/events.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- cells ---- */

void sy__cells_free(struct sy__cells *c)
{
    for (int64_t i = 0; i < c->count; i++)
        sy_free(c->list[i].text);
    sy_free(c->list);
    *c = (struct sy__cells){0};
}

static void put_cell(struct sy__cells *c, struct sy__cell cell)
{
    if (c->failed || SY_GROW(c->list, c->room, c->count + 1)) {
        sy_free(cell.text);
        c->failed = true;
        return;
    }
    c->list[c->count++] = cell;
}

static void put_integer(struct sy__cells *c, int64_t v)
{
    put_cell(c, (struct sy__cell){.type = SY_SQL_INTEGER, .integer = v});
}

static void put_real(struct sy__cells *c, double v)
{
    put_cell(c, (struct sy__cell){.type = isnan(v) ? SY_SQL_NULL : SY_SQL_REAL, .real = v});
}

static void put_null(struct sy__cells *c) { put_cell(c, (struct sy__cell){.type = SY_SQL_NULL}); }

static void put_text(struct sy__cells *c, const char *text)
{
    char *copy = sy_strdup(text);
    c->failed |= !copy;
    put_cell(c, (struct sy__cell){.type = SY_SQL_TEXT, .text = copy});
}

/* "" is none. */
static void put_text_or_null(struct sy__cells *c, const char *text)
{
    if (text && *text)
        put_text(c, text);
    else
        put_null(c);
}

/* ---- run, config ---- */

static const struct sy_sql_column run_columns[] = {
    {"name", "TEXT", "of the run"},
    {"state", "TEXT", "running, paused, done, stopped, failed, crashed"},
    {"step", "INTEGER", "steps done"},
    {"steps", "INTEGER", "steps wanted"},
    {"loss", "REAL", "newest, nats a token"},
    {"val_loss", "REAL", "newest, nats a token"},
    {"tokens", "INTEGER", "trained on"},
    {"created", "REAL", "seconds since 1970"},
    {"updated", "REAL", "seconds since 1970"},
    {"pid", "INTEGER", "of its last process"},
    {"live", "INTEGER", "1: that process is there"},
    {"bytes", "INTEGER", "on disk, with checkpoints"},
    {"parent", "TEXT", "the run that it was forked from"},
    {"parent_step", "INTEGER", "at which"},
};

static int fill_run(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    struct sy_store_info i;
    if (sy_store_info(s, &i, err))
        return -1;
    put_text(out, i.name);
    put_text(out, sy_run_state_name(i.status.state));
    put_integer(out, i.status.step);
    put_integer(out, i.status.steps);
    put_real(out, i.status.loss);
    put_real(out, i.status.val_loss);
    put_integer(out, i.status.tokens);
    put_real(out, i.created);
    put_real(out, i.updated);
    put_integer(out, i.pid);
    put_integer(out, i.live);
    put_integer(out, i.bytes);
    put_text_or_null(out, i.parent);
    if (*i.parent)
        put_integer(out, i.parent_step);
    else
        put_null(out);
    sy_store_info_free(&i);
    return 0;
}

static const struct sy_sql_column config_columns[] = {
    {"name", "TEXT", "of an option: train.lr, model.layers"},
    {"value", "", "as the run was begun"},
};

static void put_leaf(struct sy__cells *out, const char *path, const struct sy_json *j)
{
    put_text(out, path);
    switch (j->type) {
    case SY_JSON_BOOL: put_integer(out, j->boolean); break;
    case SY_JSON_INT: put_integer(out, j->integer); break;
    case SY_JSON_REAL: put_real(out, j->real); break;
    case SY_JSON_STRING: put_text(out, j->string); break;
    default: put_null(out);
    }
}

/* What stands in lists is numbered from 1. */
static void put_leaves(struct sy__cells *out, const char *path, const struct sy_json *j)
{
    int i = 0;
    for (const struct sy_json *c = j->first; c && !out->failed; c = c->next) {
        struct sy_str name = SY_STR_INIT;
        sy_str_printf(&name, "%s%s", path, *path ? "." : "");
        if (j->type == SY_JSON_OBJECT)
            sy_str_add(&name, c->key, c->key_len);
        else
            sy_str_printf(&name, "%d", ++i);
        out->failed |= name.failed;
        if (!name.failed && (c->type == SY_JSON_OBJECT || c->type == SY_JSON_ARRAY))
            put_leaves(out, name.data, c);
        else if (!name.failed)
            put_leaf(out, name.data, c);
        sy_str_free(&name);
    }
}

static int fill_config(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    struct sy_store_info i;
    if (sy_store_peek(s, &i, err))
        return -1;
    struct sy_json *root = sy_json_parse(i.config, strlen(i.config), err);
    if (root)
        put_leaves(out, "", root);
    sy_json_free(root);
    sy_store_info_free(&i);
    return root ? 0 : -1;
}

/* ---- journal, events, samples ---- */

static const struct sy_sql_column journal_columns[] = {
    {"id", "INTEGER", "ascending"},
    {"step", "INTEGER", "it took effect after this step"},
    {"time", "REAL", "seconds since 1970"},
    {"who", "TEXT", "did it; '': the person at the prompt, a script, the run itself"},
    {"kind", "TEXT", "set, input, freeze, note ..."},
    {"text", "TEXT", "for people"},
    {"gone", "INTEGER", "1: a rewind took it off the timeline"},
};

static const struct sy_sql_column event_columns[] = {
    {"id", "INTEGER", "ascending"},          {"step", "INTEGER", "at which it happened"},
    {"time", "REAL", "seconds since 1970"},  {"kind", "TEXT", "alarm, checkpoint, resume ..."},
    {"text", "TEXT", "for people"},          {"alarm", "TEXT", "id of an alarm"},
};

static const struct sy_sql_column sample_columns[] = {
    {"id", "INTEGER", "ascending"},
    {"step", "INTEGER", "at which it was written"},
    {"time", "REAL", "seconds since 1970"},
    {"text", "TEXT", "that the model wrote"},
    {"gone", "INTEGER", "1: a rewind took it off the timeline"},
};

static void put_entry(struct sy__cells *out, enum sy_store_table table,
                      const struct sy_store_entry *e)
{
    bool journal = table == SY_STORE_JOURNAL, event = table == SY_STORE_EVENTS;
    put_integer(out, e->id);
    put_integer(out, e->step);
    put_real(out, e->time);
    if (journal)
        put_text(out, e->who);
    if (journal || event)
        put_text(out, e->kind);
    put_text(out, e->text);
    if (event) /* others' data are something else */
        put_text_or_null(out, sy_event_find(e->kind) == SY_EVENT_ALARM ? e->data : NULL);
    else
        put_integer(out, e->left != 0);
}

static int fill_entries(struct sy_store *s, enum sy_store_table table, struct sy__cells *out,
                        struct sy_err *err)
{
    struct sy_store_entries e;
    if (sy_store_entries(s, table, 0, true, &e, err))
        return -1;
    for (int64_t i = 0; i < e.count && !out->failed; i++)
        put_entry(out, table, &e.list[i]);
    sy_store_entries_free(&e);
    return 0;
}

static int fill_journal(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    return fill_entries(s, SY_STORE_JOURNAL, out, err);
}

static int fill_events(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    return fill_entries(s, SY_STORE_EVENTS, out, err);
}

static int fill_samples(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    return fill_entries(s, SY_STORE_SAMPLES, out, err);
}

/* ---- checkpoints ---- */

static const struct sy_sql_column checkpoint_columns[] = {
    {"step", "INTEGER", "of the state that it holds"},
    {"path", "TEXT", "the folder"},
    {"time", "REAL", "seconds since 1970, when it was written"},
    {"bytes", "INTEGER", "of its files"},
};

/* step-000400 and nothing behind it; -1: another name. */
static int64_t step_of(const char *name)
{
    char *end;
    if (strncmp(name, "step-", 5) || !isdigit((unsigned char)name[5]))
        return -1;
    long long step = strtoll(name + 5, &end, 10);
    return *end ? -1 : step;
}

static int64_t files_bytes(const char *path)
{
    DIR *dir = opendir(path);
    int64_t sum = 0;
    struct dirent *e;
    struct stat st;
    while (dir && (e = readdir(dir)))
        if (!fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
            sum += st.st_size;
    if (dir)
        closedir(dir);
    return sum;
}

static int fill_checkpoints(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    struct dirent **names;
    int n = scandir(sy_store_path(s), &names, NULL, alphasort);
    if (n < 0)
        return sy_err_sys(err, errno, "checkpoints: %s", sy_store_path(s));
    for (int i = 0; i < n; i++) {
        struct stat st;
        struct sy_str path = SY_STR_INIT;
        int64_t step = step_of(names[i]->d_name);
        sy_str_printf(&path, "%s/%s", sy_store_path(s), names[i]->d_name);
        out->failed |= path.failed;
        if (step >= 0 && !path.failed && !lstat(path.data, &st) && S_ISDIR(st.st_mode)) {
            put_integer(out, step);
            put_text(out, path.data);
            put_real(out, (double)st.st_mtime);
            put_integer(out, files_bytes(path.data));
        }
        sy_str_free(&path);
        free(names[i]);
    }
    free(names);
    return 0;
}

/* ---- series ---- */

static const struct sy_sql_column series_columns[] = {
    {"name", "TEXT", "loss, val_loss, load.2 ..."},
    {"kind", "TEXT", "what it is: loss, rate, load ..."},
    {"unit", "TEXT", "of its values; '': none"},
    {"layer", "INTEGER", "from 1; NULL: of no layer"},
    {"mixture", "TEXT", "of several in a layer; '': the one there"},
    {"width", "INTEGER", "values in a row"},
    {"rows", "INTEGER", "stored"},
    {"last_step", "INTEGER", "of the newest row"},
    {"help", "TEXT", "for people"},
};

static int fill_series(struct sy_store *s, struct sy__cells *out, struct sy_err *err)
{
    int n;
    struct sy_store_series *list = sy_store_series(s, &n, err);
    for (int i = 0; list && i < n && !out->failed; i++) {
        const struct sy_series_row *row = sy_series_row(list[i].what.kind);
        put_text(out, list[i].name);
        put_text(out, row->name);
        put_text(out, row->unit);
        if (list[i].what.layer)
            put_integer(out, list[i].what.layer);
        else
            put_null(out);
        put_text(out, list[i].what.mixture);
        put_integer(out, list[i].width);
        put_integer(out, list[i].rows);
        put_integer(out, list[i].last_step);
        put_text(out, row->help);
    }
    if (list)
        sy_store_series_free(list, n);
    return list ? 0 : -1;
}

static const struct sy_sql_column metric_columns[] = {
    [SY__M_SERIES] = {"series", "TEXT", "name of the series: quickest by series = 'loss'"},
    [SY__M_STEP] = {"step", "INTEGER", "of the row"},
    [SY__M_VALUE] = {"value", "REAL", "in the series' unit; NaN is NULL"},
    [SY__M_COLUMN] = {"column", "INTEGER", "of the row, from 1: the expert, the source"},
    [SY__M_KIND] = {"kind", "TEXT", "as of series"},
    [SY__M_UNIT] = {"unit", "TEXT", "as of series"},
    [SY__M_LAYER] = {"layer", "INTEGER", "as of series"},
    [SY__M_MIXTURE] = {"mixture", "TEXT", "as of series"},
};

static const struct sy_sql_column load_columns[] = {
    [SY__L_LAYER] = {"layer", "INTEGER", "from 1"},
    [SY__L_EXPERT] = {"expert", "INTEGER", "from 1"},
    [SY__L_STEP] = {"step", "INTEGER", "of the row"},
    [SY__L_VALUE] = {"value", "REAL", "tokens it got, of a fair share"},
    [SY__L_MIXTURE] = {"mixture", "TEXT", "of several in a layer; '': the one there"},
    [SY__L_SERIES] = {"series", "TEXT", "name of the series"},
};

#define VIEW(name, help, columns) {name, help, columns, (int)(sizeof columns / sizeof *columns)}
static const struct sy__view views[] = {
    {VIEW("run", "one row: what the run is", run_columns), fill_run},
    {VIEW("config", "options of the run, its model and data", config_columns), fill_config},
    {VIEW("journal", "what was done to the run", journal_columns), fill_journal},
    {VIEW("events", "what happened to it", event_columns), fill_events},
    {VIEW("checkpoints", "that are there now", checkpoint_columns), fill_checkpoints},
    {VIEW("samples", "texts that it wrote", sample_columns), fill_samples},
    {VIEW("series", "what is measured", series_columns), fill_series},
    {VIEW("metrics", "all values of all series", metric_columns), NULL},
    {VIEW("loads", "those of experts' loads", load_columns), NULL},
};

const struct sy__view *sy__view(int i)
{
    return i >= 0 && i < (int)(sizeof views / sizeof *views) ? &views[i] : NULL;
}

const struct sy_sql_view *sy_sql_view(int i)
{
    const struct sy__view *v = sy__view(i);
    return v ? &v->view : NULL;
}
