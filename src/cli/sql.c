/* See sql.h.  Rows go out as they come: between tabs, as JSON or CSV; on a terminal in columns as
 * wide as the first rows ask for.
 *
 * Text of the store and names of columns go to a terminal only through the sanitizer. */
#include "cli/sql.h"
#include "cli/output.h"

#include "base/cells.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sanitize.h"
#include "base/str.h"
#include "repl/tell.h"
#include "run/sql.h"
#include "run/store.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNED 200 /* rows by which columns are made */
#define WIDEST 60   /* columns of a terminal for one of them */

/* ---- cells ---- */

static void put_real(struct sy_str *out, double v)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits += digits == 6 ? 3 : 8) {
        snprintf(text, sizeof text, "%.*g", digits, v); /* the shortest that is the same again */
        if (strtod(text, NULL) == v || (digits == 9 && (double)(float)v == v))
            break;
    }
    sy_str_puts(out, text);
}

/* On one line, without what a terminal would obey. */
static void put_cell(struct sy_str *out, struct sy_sql_value v, enum sy_format format)
{
    switch (v.type) {
    case SY_SQL_NULL: sy_str_puts(out, format == SY_FORMAT_TABLE ? "-" : ""); break;
    case SY_SQL_INTEGER: sy_str_printf(out, "%" PRId64, v.integer); break;
    case SY_SQL_REAL: put_real(out, v.real); break;
    case SY_SQL_TEXT: sy_utf8_line(out, v.text, v.n); break;
    }
}

static void print_json_cell(struct sy_sql_value v)
{
    struct sy_str s = SY_STR_INIT;
    if (v.type == SY_SQL_TEXT)
        sy_json_quote(&s, v.text, v.n);
    else if (v.type == SY_SQL_REAL && isfinite(v.real))
        put_real(&s, v.real);
    else if (v.type == SY_SQL_REAL)
        sy_str_puts(&s, v.real > 0 ? "\"inf\"" : "\"-inf\"");
    else if (v.type == SY_SQL_INTEGER)
        sy_str_printf(&s, "%" PRId64, v.integer);
    else
        sy_str_puts(&s, "null");
    fputs(s.data ? s.data : "null", stdout);
    sy_str_free(&s);
}

static void print_json_row(const struct sy_sql *q)
{
    for (int i = 0; i < sy_sql_columns(q); i++) {
        fputs(i ? "," : "{", stdout);
        sy_print_quoted(sy_sql_name(q, i));
        fputs(":", stdout);
        print_json_cell(sy_sql_value(q, i));
    }
    puts("}");
}

static void print_csv_cell(struct sy_sql_value v)
{
    struct sy_str s = SY_STR_INIT;
    if (v.type == SY_SQL_TEXT)
        sy_print_field(v.text, v.n);
    else
        put_cell(&s, v, SY_FORMAT_CSV);
    fputs(s.data ? s.data : "", stdout);
    sy_str_free(&s);
}

static void print_line(const struct sy_sql *q, enum sy_format format)
{
    for (int i = 0; i < sy_sql_columns(q); i++) {
        struct sy_str s = SY_STR_INIT;
        fputs(!i ? "" : format == SY_FORMAT_CSV ? "," : "\t", stdout);
        if (format == SY_FORMAT_CSV)
            print_csv_cell(sy_sql_value(q, i));
        else
            put_cell(&s, sy_sql_value(q, i), format);
        fputs(s.data ? s.data : "", stdout);
        sy_str_free(&s);
    }
    puts("");
}

static void print_names(const struct sy_sql *q, enum sy_format format)
{
    for (int i = 0; i < sy_sql_columns(q); i++) {
        fputs(!i ? "" : format == SY_FORMAT_CSV ? "," : "\t", stdout);
        const char *name = sy_sql_name(q, i);
        if (format == SY_FORMAT_CSV)
            sy_print_field(name, strlen(name));
        else
            sy_tell_text(name);
    }
    puts("");
}

/* ---- columns of a terminal ---- */

struct aligned {
    int columns, *width;  /* owned */
    bool *number;         /* stands at the right; owned */
    struct sy_str *cells; /* [rows][columns], the names first; owned */
    int rows;
};

static void free_aligned(struct aligned *a)
{
    for (int i = 0; a->cells && i < a->rows * a->columns; i++)
        sy_str_free(&a->cells[i]);
    sy_free(a->cells);
    sy_free(a->width);
    sy_free(a->number);
}

static const char *text_of(const struct sy_str *s) { return s->data ? s->data : ""; }

static void print_padded(const struct aligned *a, int i, const char *text)
{
    int w = sy_text_width(text, strlen(text)), pad = a->width[i] > w ? a->width[i] - w : 0;
    bool last = i == a->columns - 1;
    if (i)
        fputs("  ", stdout);
    if (a->number[i])
        printf("%*s%s", pad, "", text);
    else if (w > a->width[i] && !last)
        printf("%.*s…", (int)sy_text_fit(text, strlen(text), a->width[i] - 1), text);
    else
        printf("%s%*s", text, last ? 0 : pad, "");
}

static void print_kept(const struct aligned *a)
{
    for (int r = 0; r < a->rows; r++) {
        for (int i = 0; i < a->columns; i++)
            print_padded(a, i, text_of(&a->cells[r * a->columns + i]));
        puts("");
    }
}

static void keep_cell(struct aligned *a, int i)
{
    const struct sy_str *s = &a->cells[a->rows * a->columns + i];
    int w = sy_text_width(text_of(s), s->len);
    if (w > a->width[i])
        a->width[i] = a->number[i] || w < WIDEST ? w : WIDEST;
}

static bool begin_aligned(const struct sy_sql *q, struct aligned *a)
{
    *a = (struct aligned){.columns = sy_sql_columns(q)};
    size_t n = (size_t)a->columns + 1;
    a->width = sy_calloc(n, sizeof *a->width);
    a->number = sy_calloc(n, sizeof *a->number);
    a->cells = sy_calloc(n * (ALIGNED + 1), sizeof *a->cells);
    if (!a->width || !a->number || !a->cells)
        return false;
    for (int i = 0; i < a->columns; i++) {
        const char *name = sy_sql_name(q, i);
        sy_utf8_line(&a->cells[i], name, strlen(name));
        keep_cell(a, i);
        a->number[i] = true;
    }
    a->rows = 1;
    return true;
}

static void keep_row(const struct sy_sql *q, struct aligned *a)
{
    for (int i = 0; i < a->columns; i++) {
        struct sy_sql_value v = sy_sql_value(q, i);
        put_cell(&a->cells[a->rows * a->columns + i], v, SY_FORMAT_TABLE);
        a->number[i] &= v.type != SY_SQL_TEXT;
        keep_cell(a, i);
    }
    a->rows++;
}

static int print_aligned(struct sy_sql *q, struct sy_err *err)
{
    struct aligned a;
    int more = begin_aligned(q, &a) ? 1 : sy_err_set(err, SY_E_MEMORY, "sql: out of memory");
    while (more > 0 && a.rows <= ALIGNED && (more = sy_sql_next(q, err)) > 0)
        keep_row(q, &a);
    print_kept(&a);
    while (more > 0 && (more = sy_sql_next(q, err)) > 0 && !ferror(stdout)) {
        for (int i = 0; i < a.columns; i++) {
            struct sy_str s = SY_STR_INIT;
            put_cell(&s, sy_sql_value(q, i), SY_FORMAT_TABLE);
            print_padded(&a, i, text_of(&s));
            sy_str_free(&s);
        }
        puts("");
    }
    free_aligned(&a);
    return more;
}

/* ---- the command ---- */

static int print_rows(struct sy_sql *q, enum sy_format format, struct sy_err *err)
{
    int more = 1;
    if (format == SY_FORMAT_TABLE && isatty(STDOUT_FILENO))
        return print_aligned(q, err);
    if (format != SY_FORMAT_JSON)
        print_names(q, format);
    while (!ferror(stdout) && (more = sy_sql_next(q, err)) > 0)
        if (format == SY_FORMAT_JSON)
            print_json_row(q);
        else
            print_line(q, format);
    return more;
}

static void print_view(const struct sy_sql_view *v, enum sy_format format)
{
    if (format == SY_FORMAT_TABLE)
        printf("%s: %s\n", v->name, v->help);
    for (int i = 0; i < v->count; i++) {
        const struct sy_sql_column *c = &v->columns[i];
        if (format == SY_FORMAT_JSON)
            printf("{\"view\":\"%s\",\"column\":\"%s\",\"type\":\"%s\",\"help\":\"%s\"}\n", v->name,
                   c->name, c->type, c->help);
        else if (format == SY_FORMAT_CSV)
            printf("%s,%s,%s,\"%s\"\n", v->name, c->name, c->type, c->help);
        else
            printf("  %-12s %-8s %s\n", c->name, c->type, c->help);
    }
}

static int print_views(enum sy_format format)
{
    if (format == SY_FORMAT_CSV)
        puts("view,column,type,help");
    for (int i = 0; sy_sql_view(i); i++)
        print_view(sy_sql_view(i), format);
    return 0;
}

static void on_interrupt(int number)
{
    (void)number;
    sy_sql_interrupt();
}

static int ask_store(struct sy_store *s, const char *text, enum sy_format format)
{
    struct sy_err err = SY_ERR_INIT;
    struct sigaction action = {.sa_handler = on_interrupt};
    struct sy_sql *q = sy_sql_open(s, &err);
    sigaction(SIGINT, &action, NULL);
    bool good = q && !sy_sql_begin(q, text, &err) && print_rows(q, format, &err) >= 0;
    sy_sql_close(q);
    if (good)
        return 0;
    fflush(stdout);
    sy_tell("%s", err.msg);
    return err.code == SY_E_CANCELLED ? 130 : 1;
}

int sy_command_sql(int argc, char **argv, bool json)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_words w;
    char room[4096];
    const char *folder, *name;
    int status = sy_read_words(argc, argv, json, true,
                               "sql: unknown option '%s'; there are --json, --csv, --runs DIR", &w);
    if (status)
        return status;
    if (!w.count)
        return sy_fail_usage("sql: which run? `switchyard runs` lists those in %s", sy_runs_dir());
    if (w.count > 2)
        return sy_fail_usage("sql: takes a run and one query in quotation marks: what is '%s'?",
                             w.list[2]);
    sy_run_locate(w.list[0], room, &folder, &name);
    struct sy_store *s = sy_store_open_read(folder, name, &err);
    if (!s)
        return sy_fail_error(&err);
    status = w.count == 2 ? ask_store(s, w.list[1], w.format) : print_views(w.format);
    sy_store_close(s, NULL);
    return status;
}
