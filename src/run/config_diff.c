/* See config_diff.h.  A configuration is {train={...}, model={family=, config={...}}, data={...},
 * ...}: of these three tables each field is an option.  Values that are tables are compared as
 * text. */
#include "run/config_diff.h"

#include "base/grow.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values as text ---- */

static void put_value(struct sy_str *out, const struct sy_json *v)
{
    switch (v->type) {
    case SY_JSON_NULL: sy_str_puts(out, "nil"); return;
    case SY_JSON_BOOL: sy_str_puts(out, v->boolean ? "true" : "false"); return;
    case SY_JSON_INT: sy_str_printf(out, "%lld", (long long)v->integer); return;
    case SY_JSON_REAL: sy_str_printf(out, "%g", v->real); return;
    case SY_JSON_STRING: sy_str_add(out, v->string, v->string_len); return;
    default: break;
    }
    sy_str_puts(out, "{");
    for (const struct sy_json *e = v->first; e; e = e->next) {
        if (v->type == SY_JSON_OBJECT)
            sy_str_printf(out, "%.*s=", (int)e->key_len, e->key);
        put_value(out, e);
        sy_str_puts(out, e->next ? ", " : "");
    }
    sy_str_puts(out, "}");
}

/* ---- options ---- */

static struct sy_difference *option_of(struct sy_differences *d, const char *name)
{
    for (int i = 0; i < d->count; i++)
        if (!strcmp(d->list[i].option, name))
            return &d->list[i];
    if (SY_GROW(d->list, d->room, d->count + 1))
        return NULL;
    struct sy_difference *o = &d->list[d->count];
    *o = (struct sy_difference){sy_strdup(name), sy_calloc((size_t)d->runs, sizeof *o->values),
                                NULL};
    d->count += o->option && o->values;
    if (o->option && o->values)
        return o;
    sy_free(o->option);
    sy_free(o->values);
    return NULL;
}

static int add_value(struct sy_differences *d, int run, const char *name, const struct sy_json *v)
{
    struct sy_str text = SY_STR_INIT;
    struct sy_difference *o = option_of(d, name);
    put_value(&text, v);
    if (!o || text.failed || o->values[run]) {
        sy_str_free(&text);
        return o && o->values[run] ? 0 : -1;
    }
    o->values[run] = text.data ? text.data : sy_strdup("");
    return o->values[run] ? 0 : -1;
}

static bool is_among(const struct sy_json *v, const char *const *names)
{
    for (; *names; names++)
        if (strlen(*names) == v->key_len && !memcmp(*names, v->key, v->key_len))
            return true;
    return false;
}

/* Fields of a table, but for some, as options whose names begin with `head`. */
static int add_fields(struct sy_differences *d, int run, const char *head,
                      const struct sy_json *table, const char *const *but)
{
    char name[160];
    for (const struct sy_json *v = table && table->type == SY_JSON_OBJECT ? table->first : NULL; v;
         v = v->next) {
        snprintf(name, sizeof name, "%s%.*s", head, (int)v->key_len, v->key);
        if (!is_among(v, but) && add_value(d, run, name, v))
            return -1;
    }
    return 0;
}

static int add_field(struct sy_differences *d, int run, const char *name, const struct sy_json *v)
{
    return v ? add_value(d, run, name, v) : 0;
}

static const struct sy_json *get_member(const struct sy_json *v, const char *key)
{
    return v && v->type == SY_JSON_OBJECT ? sy_json_get(v, key) : NULL;
}

static int add_config(struct sy_differences *d, int run, const struct sy_json *root)
{
    static const char *const not_train[] = {"steps",      "name",   "save", "keep",
                                            "keep_every", "paused", NULL};
    static const char *const not_data[] = {"cwd", "hash", "options", "tokens", NULL},
                             *const none[] = {NULL};
    const struct sy_json *model = get_member(root, "model"), *data = get_member(root, "data"),
                         *tokenizer = get_member(root, "tokenizer");
    return add_fields(d, run, "", get_member(root, "train"), not_train) ||
           add_field(d, run, "model", get_member(model, "family")) ||
           add_fields(d, run, "model.", get_member(model, "config"), none) ||
           add_fields(d, run, "data.", data, not_data) ||
           add_fields(d, run, "data.", get_member(data, "options"), none) ||
           add_field(d, run, "data", get_member(data, "hash")) ||
           add_field(d, run, "tokenizer", get_member(get_member(tokenizer, "model"), "hash")) ||
           add_field(d, run, "script", get_member(root, "script")) ||
           add_field(d, run, "version", get_member(root, "version"));
}

/* ---- what differs ---- */

static bool same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

static void free_option(struct sy_difference *o, int runs)
{
    for (int i = 0; i < runs; i++)
        sy_free(o->values[i]);
    sy_free(o->values);
    sy_free(o->option);
}

static void drop_equal(struct sy_differences *d)
{
    int kept = 0;
    for (int i = 0; i < d->count; i++) {
        bool equal = true;
        for (int k = 1; k < d->runs; k++)
            equal &= same_text(d->list[i].values[k], d->list[i].values[0]);
        if (equal)
            free_option(&d->list[i], d->runs);
        else
            d->list[kept++] = d->list[i];
    }
    d->count = kept;
}

void sy_differences_free(struct sy_differences *d)
{
    for (int i = 0; i < d->count; i++)
        free_option(&d->list[i], d->runs);
    sy_free(d->list);
    *d = (struct sy_differences){0};
}

static int by_text(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    return x && y ? strcmp(x, y) : (x != NULL) - (y != NULL);
}

/* sorted: room for a value of each run. */
static void find_usual(struct sy_difference *o, int runs, char **sorted)
{
    int most = 0;
    memcpy(sorted, o->values, (size_t)runs * sizeof *sorted);
    qsort(sorted, (size_t)runs, sizeof *sorted, by_text);
    for (int i = 0, n; i < runs; i += n) {
        for (n = 1; i + n < runs && same_text(sorted[i], sorted[i + n]);)
            n++;
        if (n > most)
            o->usual = sorted[i];
        most = n > most ? n : most;
    }
}

static int find_all_usual(struct sy_differences *d)
{
    char **sorted = d->count ? sy_alloc((size_t)d->runs * sizeof *sorted) : NULL;
    if (d->count && !sorted)
        return -1;
    for (int i = 0; i < d->count; i++)
        find_usual(&d->list[i], d->runs, sorted);
    sy_free(sorted);
    return 0;
}

static int no_memory(struct sy_differences *d, struct sy_err *err)
{
    sy_differences_free(d);
    return sy_err_set(err, SY_E_MEMORY, "runs: out of memory");
}

int sy_config_diff(const char *const *configs, int n, struct sy_differences *out,
                   struct sy_err *err)
{
    *out = (struct sy_differences){.runs = n};
    for (int i = 0; i < n; i++) {
        struct sy_json *root =
            configs[i] ? sy_json_parse(configs[i], strlen(configs[i]), NULL) : NULL;
        int rc = add_config(out, i, root);
        sy_json_free(root);
        if (rc)
            return no_memory(out, err);
    }
    drop_equal(out);
    return find_all_usual(out) ? no_memory(out, err) : 0;
}

char *sy_difference_of(const struct sy_differences *d, int i)
{
    struct sy_str text = SY_STR_INIT;
    for (int k = 0; k < d->count; k++) {
        const char *v = d->list[k].values[i];
        if (v && !same_text(v, d->list[k].usual))
            sy_str_printf(&text, "%s%s=%s", text.len ? " " : "", d->list[k].option, v);
    }
    if (!text.failed && text.data)
        return text.data;
    bool failed = text.failed;
    sy_str_free(&text);
    return failed ? NULL : sy_strdup("");
}
