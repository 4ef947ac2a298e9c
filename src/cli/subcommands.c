/* The table of subcommands, and those that only read stores of runs: no Lua, no engine is started.
 * See subcommands.h.
 *
 * Text from a store goes to a terminal only through the sanitizer. */
#include "cli/subcommands.h"
#include "cli/output.h"
#include "cli/sql.h"
#include "cli/watch.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sanitize.h"
#include "repl/tell.h"
#include "run/config_diff.h"
#include "run/runs_table.h"
#include "run/runs_tree.h"
#include "run/store.h"
#include "tui/grid.h"
#include "tui/screen.h"
#include "tui/sgr.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void print_number(double v)
{
    struct sy_str s = SY_STR_INIT;
    char text[32];
    for (int digits = 6; digits <= 9; digits += 3) { /* the shortest that is the float again */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if ((float)strtod(text, NULL) == (float)v)
            break;
    }
    if (isfinite(v))
        fputs(text, stdout);
    else {
        sy_json_number(&s, v);
        fputs(s.data ? s.data : "null", stdout);
    }
    sy_str_free(&s);
}

/* ---- runs ---- */

/* What tells run i from most others, into out. */
static void put_difference(struct sy_str *out, const struct sy_differences *d, int i,
                           const char *before)
{
    char *text = sy_difference_of(d, i);
    if (text && *text) {
        sy_str_puts(out, before);
        sy_utf8_line(out, text, strlen(text));
    }
    sy_free(text);
}

static void print_options(const struct sy_differences *d, int i)
{
    struct sy_str text = SY_STR_INIT;
    put_difference(&text, d, i, "");
    fputs(",\"options\":", stdout);
    sy_print_quoted(text.data ? text.data : "");
    sy_str_free(&text);
}

static void print_runs_json(const struct sy_runs *runs, const struct sy_differences *d)
{
    for (int i = 0; i < runs->count; i++) {
        const struct sy_store_info *r = &runs->list[i];
        fputs("{\"name\":", stdout);
        sy_print_quoted(r->name);
        fputs(",\"state\":", stdout);
        sy_print_quoted(sy_run_state_name(r->status.state));
        printf(",\"step\":%" PRId64 ",\"steps\":%" PRId64 ",\"tokens\":%" PRId64, r->status.step,
               r->status.steps, r->status.tokens);
        fputs(",\"loss\":", stdout);
        print_number(r->error.code ? (double)NAN : r->status.loss);
        fputs(",\"val_loss\":", stdout);
        print_number(r->error.code ? (double)NAN : r->status.val_loss);
        printf(",\"bytes\":%" PRId64 ",\"created\":%.3f,\"updated\":%.3f,\"pid\":%" PRId64
               ",\"live\":%s",
               r->bytes, r->created, r->updated, r->pid, r->live ? "true" : "false");
        if (r->error.code) {
            fputs(",\"error\":", stdout);
            sy_print_quoted(r->error.msg);
        }
        print_options(d, i);
        fputs(",\"spark\":[", stdout);
        for (int k = 0; k < r->sparks; k++) {
            fputs(k ? "," : "", stdout);
            print_number((double)r->spark[k]);
        }
        puts("]}");
    }
}

/* Columns of the terminal that standard output is, by COLUMNS or its own; 0: it is none. */
static int terminal_columns(void)
{
    struct winsize size;
    const char *given = getenv("COLUMNS");
    int columns = given ? atoi(given) : 0;
    if (!isatty(STDOUT_FILENO))
        return 0;
    if (columns > 0)
        return columns;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? 0 : size.ws_col;
}

/* A line, cut to so many columns, the last of them `mark`'s; 0: whole. */
static void print_cut_text(const char *text, size_t n, int columns, const char *mark)
{
    bool whole = columns < 2 || sy_text_width(text, n) <= columns;
    printf("%.*s%s\n", (int)(whole ? n : sy_text_fit(text, n, columns - 1)), text,
           whole ? "" : mark);
}

static void print_cut(const struct sy_str *line, int columns)
{
    const char *text = line->data && !line->failed ? line->data : "";
    print_cut_text(text, strlen(text), columns, "…");
}

static void put_run(struct sy_str *out, const struct sy_store_info *r, const char *name,
                    const struct sy_differences *d, int i)
{
    double values[sizeof r->spark / sizeof *r->spark];
    struct sy_str spark = SY_STR_INIT;
    if (r->error.code) {
        sy_str_printf(out, "%-16s %-8s ", name, sy_run_state_name(r->status.state));
        sy_utf8_line(out, r->error.msg, strlen(r->error.msg));
        return;
    }
    for (int k = 0; k < r->sparks; k++)
        values[k] = (double)r->spark[k];
    sy_sparkline(&spark, values, r->sparks, SY_RUNS_CELLS);
    sy_runs_row(out,
                &(struct sy_runs_row){name, sy_run_state_name(r->status.state), r->status.step,
                                      r->status.steps, r->status.loss, r->status.val_loss,
                                      (double)r->bytes, spark.data ? spark.data : ""});
    put_difference(out, d, i, "  ");
    sy_str_free(&spark);
}

static void print_run(const struct sy_store_info *r, const struct sy_differences *d, int i,
                      int columns)
{
    struct sy_str name = SY_STR_INIT, line = SY_STR_INIT;
    sy_utf8_line(&name, r->name, strlen(r->name));
    put_run(&line, r, name.data ? name.data : "", d, i);
    print_cut(&line, columns);
    sy_str_free(&line);
    sy_str_free(&name);
}

static void print_table(const struct sy_runs *runs, const struct sy_differences *d)
{
    struct sy_str head = SY_STR_INIT;
    int columns = terminal_columns();
    sy_runs_head(&head);
    print_cut(&head, columns);
    sy_str_free(&head);
    for (int i = 0; i < runs->count; i++)
        print_run(&runs->list[i], d, i, columns);
}

static int print_runs(const struct sy_runs *runs, enum sy_format format)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_differences d;
    const char **configs = sy_calloc((size_t)runs->count + 1, sizeof *configs);
    for (int i = 0; i < runs->count && configs; i++)
        configs[i] = runs->list[i].config;
    if (!configs || sy_config_diff(configs, runs->count, &d, &err)) {
        sy_free(configs);
        sy_err_set(&err, SY_E_MEMORY, "runs: out of memory");
        return sy_fail_error(&err);
    }
    if (format == SY_FORMAT_JSON)
        print_runs_json(runs, &d);
    else
        print_table(runs, &d);
    sy_differences_free(&d);
    sy_free(configs);
    return 0;
}

static int print_tree(const struct sy_runs *runs)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str text = SY_STR_INIT;
    bool ascii = sy_command_ascii();
    int columns = terminal_columns();
    int status = sy_runs_tree(&text, sy_runs_dir(), runs, ascii, &err) ? sy_fail_error(&err) : 0;
    const char *line = status || !text.data ? "" : text.data;
    for (size_t n; *line; line += n + (line[n] == '\n')) {
        n = strcspn(line, "\n");
        print_cut_text(line, n, columns, ascii ? ">" : "…");
    }
    sy_str_free(&text);
    return status;
}

/* Is --tree among the arguments?  The others close up. */
static bool take_tree(int *argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < *argc; i++)
        if (strcmp(argv[i], "--tree"))
            argv[kept++] = argv[i];
    bool there = kept < *argc;
    *argc = kept;
    return there;
}

static int command_runs(int argc, char **argv, bool json)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_runs runs;
    struct sy_words w;
    bool tree = argc > 0 && take_tree(&argc, argv);
    int status = sy_read_words(argc, argv, json, false,
                            "runs: unknown option '%s'; there are --tree, --json, --runs DIR", &w);
    if (status)
        return status;
    if (tree && w.format == SY_FORMAT_JSON)
        return sy_fail_usage("runs: %s draws, --json lists: only one of them", "--tree");
    if (w.count)
        return sy_fail_usage("runs: takes no argument: '%s'", w.list[0]);
    if (sy_runs_list(sy_runs_dir(), &runs, &err))
        return sy_fail_error(&err);
    if (!runs.count && w.format == SY_FORMAT_JSON) {
        /* no line */
    } else if (!runs.count) {
        fputs(access(sy_runs_dir(), F_OK) ? "no runs: there is no folder " : "no runs in ", stdout);
        sy_tell_text(sy_runs_dir());
        puts("");
    } else
        status = tree ? print_tree(&runs) : print_runs(&runs, w.format);
    sy_runs_free(&runs);
    return status;
}

/* ---- log ---- */

struct column {
    const char *name; /* borrowed */
    struct sy_history h;
    int64_t at; /* next row */
};

/* A series by name; "load.2.5" is column 5 of "load.2" where there is no such series. */
static int read_column(struct sy_store *s, const char *name, struct column *c, struct sy_err *err)
{
    struct sy_err first = SY_ERR_INIT, second = SY_ERR_INIT;
    c->name = name;
    if (!sy_store_history(s, name, -1, INT64_MIN, INT64_MAX, &c->h, &first))
        return 0;
    const char *dot = strrchr(name, '.');
    char *base = dot ? sy_strndup(name, (size_t)(dot - name)) : NULL;
    int column = dot ? atoi(dot + 1) : 0;
    int rc = first.code != SY_E_NAME || !base || column < 1
                 ? -1
                 : sy_store_history(s, base, column - 1, INT64_MIN, INT64_MAX, &c->h, &second);
    sy_free(base);
    return rc ? sy_err_set(err, first.code, "%s",
                           second.code == SY_E_RANGE ? second.msg : first.msg)
              : 0;
}

static void print_head(const struct column *c, int n, enum sy_format format)
{
    fputs("step", stdout);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c[i].h.width; k++) {
            struct sy_str name = SY_STR_INIT;
            sy_str_puts(&name, c[i].name);
            if (c[i].h.width > 1)
                sy_str_printf(&name, ".%d", k + 1);
            fputs(format == SY_FORMAT_CSV ? "," : "\t", stdout);
            if (format == SY_FORMAT_CSV)
                sy_print_field(name.data ? name.data : "", name.len);
            else
                sy_tell_text(name.data ? name.data : "");
            sy_str_free(&name);
        }
    puts("");
}

static void print_json_values(const struct column *c, const float *row)
{
    fputs(",", stdout);
    sy_print_quoted(c->name);
    fputs(c->h.width > 1 ? ":[" : ":", stdout);
    for (int k = 0; k < c->h.width; k++) {
        fputs(k ? "," : "", stdout);
        print_number((double)row[k]);
    }
    fputs(c->h.width > 1 ? "]" : "", stdout);
}

/* One line a step that any column has; what a column lacks there is empty, or left out. */
static void print_rows(struct column *c, int n, enum sy_format format)
{
    for (;;) {
        int64_t step = INT64_MAX;
        for (int i = 0; i < n; i++)
            if (c[i].at < c[i].h.count && c[i].h.steps[c[i].at] < step)
                step = c[i].h.steps[c[i].at];
        if (step == INT64_MAX)
            return;
        printf(format == SY_FORMAT_JSON ? "{\"step\":%" PRId64 : "%" PRId64, step);
        for (int i = 0; i < n; i++) {
            bool has = c[i].at < c[i].h.count && c[i].h.steps[c[i].at] == step;
            const float *row = c[i].h.values + (has ? c[i].at * c[i].h.width : 0);
            if (has && format == SY_FORMAT_JSON)
                print_json_values(&c[i], row);
            for (int k = 0; k < c[i].h.width && format != SY_FORMAT_JSON; k++) {
                fputs(format == SY_FORMAT_CSV ? "," : "\t", stdout);
                if (has)
                    print_number((double)row[k]);
                else if (format == SY_FORMAT_TABLE)
                    fputs("-", stdout);
            }
            c[i].at += has;
        }
        puts(format == SY_FORMAT_JSON ? "}" : "");
        if (ferror(stdout))
            return;
    }
}

/* Columns of the names, or of all series of one value. */
static struct column *read_columns(struct sy_store *s, char **names, int *n,
                                   const struct sy_store_series *all, int count, struct sy_err *err)
{
    int given = *n, room = given ? given : count, used = 0;
    struct column *c = sy_calloc((size_t)room + 1, sizeof *c);
    int rc = c ? 0 : sy_err_set(err, SY_E_MEMORY, "log: out of memory");
    for (int i = 0; i < room && !rc; i++)
        if (given || all[i].width == 1)
            rc = read_column(s, given ? names[i] : all[i].name, &c[used++], err);
    *n = used;
    if (!rc)
        return c;
    for (int i = 0; i < used; i++)
        sy_history_free(&c[i].h);
    sy_free(c);
    return NULL;
}

static const char *nearest_series(const char *name, const struct sy_store_series *all, int count)
{
    const char **names = sy_calloc((size_t)count + 1, sizeof *names);
    for (int i = 0; i < count && names; i++)
        names[i] = all[i].name;
    const char *near = names ? sy_nearest(name, names) : NULL;
    sy_free(names);
    return near;
}

/* Whole names, as many as two lines have room for. */
static void put_series(struct sy_str *o, const struct sy_store_series *all, int count)
{
    int i = 0;
    sy_str_puts(o, count ? "; there are " : "; there are none");
    for (; i < count && o->len + strlen(all[i].name) < 160; i++)
        sy_str_printf(o, "%s%s", i ? ", " : "", all[i].name);
    if (i < count)
        sy_str_printf(o, " and %d more", count - i);
}

/* The series of this name is not there: which may have been meant. */
static void add_names(const char *name, const struct sy_store_series *all, int count,
                      struct sy_err *err)
{
    struct sy_str more = SY_STR_INIT;
    struct sy_err longer = {.code = err->code};
    const char *near = nearest_series(name, all, count);
    if (near)
        sy_str_printf(&more, " (did you mean '%s'?)", near);
    else
        put_series(&more, all, count);
    snprintf(longer.msg, sizeof longer.msg, "%.200s%.250s", err->msg, more.data ? more.data : "");
    *err = longer;
    sy_str_free(&more);
}

static int print_log(struct sy_store *s, const struct sy_words *w)
{
    struct sy_err err = SY_ERR_INIT;
    int count, n = w->count - 1;
    struct sy_store_series *all = sy_store_series(s, &count, &err);
    struct column *c = all ? read_columns(s, w->list + 1, &n, all, count, &err) : NULL;
    if (c && w->format != SY_FORMAT_JSON)
        print_head(c, n, w->format);
    if (c)
        print_rows(c, n, w->format);
    for (int i = 0; c && i < n; i++)
        sy_history_free(&c[i].h);
    sy_free(c);
    if (!c && err.code == SY_E_NAME)
        add_names(w->list[n], all, count, &err);
    sy_store_series_free(all, count);
    return c ? 0 : sy_fail_error(&err);
}

static int command_log(int argc, char **argv, bool json)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_words w;
    int status = sy_read_words(argc, argv, json, true,
                            "log: unknown option '%s'; there are --json, --csv, --runs DIR", &w);
    if (status)
        return status;
    if (!w.count)
        return sy_fail_usage("log: which run? `switchyard runs` lists those in %s", sy_runs_dir());
    char room[4096];
    const char *folder, *name;
    sy_run_locate(w.list[0], room, &folder, &name);
    struct sy_store *s = sy_store_open_read(folder, name, &err);
    if (!s)
        return sy_fail_error(&err);
    status = print_log(s, &w);
    sy_store_close(s, NULL);
    return status;
}

/* ---- the table ---- */

const struct sy_command sy_commands[] = {
    {"runs", "[--tree] [--json]", "list the runs: state, steps, losses, size",
     "  --tree           as a tree of forks, with what was done to each\n"
     "  --json           one object a line",
     command_runs},
    {"watch", "[RUN ...] [--plain] [--json]", "the panel on live or finished runs, read-only",
     "  --plain          lines instead of the panel, until the runs have ended\n"
     "  --json           likewise, as objects",
     sy_command_watch},
    {"log", "RUN [SERIES...] [--json|--csv]", "print stored series by step", NULL, command_log},
    {"sql", "RUN [\"select ...\"]", "ask what a run's store says; without a query: the views",
     "  --json           one object a row\n"
     "  --csv            comma separated values",
     sy_command_sql},
    {"resume", "RUN [--steps N] [--force]", "go on with a run that ended or was killed",
     "  --steps N        steps of the whole run from now on\n"
     "  --force          go on although data, tokenizer or program changed; the\n"
     "                   journal says so\n"
     "  --code           run the stored script up to its first train(), and what was\n"
     "                   typed behind that and defines something",
     NULL},
    {"replay", "RUN [--step N]", "repeat a run from the start and compare every step",
     "  --step N         the last to compare\n"
     "  --code           as of resume",
     NULL},
    {"serve", "RUN|FILE.lua --socket PATH", "let other programs drive runs by JSON at a socket",
     "RUN is resumed (see resume), FILE.lua is run; then one object a line is answered\n"
     "by one line: switchyard(1) has the verbs. Signals end it as they end a script.\n\n"
     "  --socket PATH    the Unix socket that is made, for this user alone\n"
     "  --steps N        of RUN: steps of the whole run from now on\n"
     "  --paused         of RUN: it waits for the first client\n"
     "  --force, --code  of RUN: as of resume",
     NULL},
    {"generate", "RUN \"PROMPT\" [--tokens N] [--temperature X]",
     "write a text with the model of a run's newest checkpoint",
     "A model without a tokenizer takes and writes token ids.\n\n"
     "  --tokens N       how many (200)\n"
     "  --temperature X  0: the likeliest token (0.8)\n"
     "  --top-k N        from the N likeliest (40; 0: all)\n"
     "  --top-p X        from the smallest set of this probability (1)\n"
     "  --seed N         equal seeds write equal texts (1)\n"
     "  --code           as of resume",
     NULL},
    {"bakeoff", "FILE.lua [--name N] [--seeds N] [--save PATH,...]",
     "compare routers under an equal budget; goes on where it was",
     "FILE.lua returns what bakeoff{...} takes (?bakeoff).\n\n"
     "  --name NAME      of its folder (that of the file)\n"
     "  --seeds N        how often each entrant is trained\n"
     "  --flops X        the budget of each, in place of the file's; also --tokens N,\n"
     "                   --seconds X\n"
     "  --save PATH,...  write the results there as well: .md, .svg, .csv",
     NULL},
    {"trace", "RUN \"TEXT\" [--step N] [--layer L] [--save FILE]",
     "show which experts the tokens of a text go to",
     "The text is coloured by expert on a terminal that has colours; elsewhere the\n"
     "expert's number stands under each token. A text longer than the context is cut\n"
     "into pieces.\n\n"
     "  --step N         with the model of this checkpoint (the newest)\n"
     "  --layer L        these layers alone: 2 or 1,2\n"
     "  --precision P    fp32 or bf16 (fp32)\n"
     "  --save FILE      keep it: trace.load, trace.diff, router = {\"replay\", FILE}\n"
     "  --json           as an object\n"
     "  --code           as of resume",
     NULL},
    {"lint", "RUN", "look for faults of the router at a run's newest checkpoint",
     "Status 1 where there are any.\n\n"
     "  --json           one object a fault, and one of the whole at the end\n"
     "  --code           as of resume",
     NULL},
    {"export", "RUN DIR", "write the model of a run's newest checkpoint as a folder",
     "  --family NAME    as transformers' llama, qwen3, qwen3_moe or glm4_moe, or not\n"
     "                   at all\n"
     "  --code           as of resume",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static struct sy_theme choose_look(const char *codeset, int colours)
{
    return sy_theme_choose(codeset, getenv("TERM"), getenv("SWITCHYARD_SYMBOLS"),
                           getenv("NO_COLOR"), getenv("COLORFGBG"), colours);
}

bool sy_command_ascii(void)
{
    locale_t own = newlocale(LC_CTYPE_MASK, "", (locale_t)0); /* that of the program stays */
    enum sy_symbols symbols = choose_look(own ? nl_langinfo_l(CODESET, own) : "", 0).symbols;
    if (own)
        freelocale(own);
    return symbols == SY_SYMBOLS_ASCII;
}

void sy_command_terminal(char *pens, size_t n, int *columns)
{
    struct sy_str text = SY_STR_INIT;
    int width = terminal_columns();
    *pens = 0;
    *columns = width > 0 ? width : 80;
    if (!isatty(STDOUT_FILENO))
        return;
    setlocale(LC_CTYPE, ""); /* what takes how many columns goes by it */
    struct sy_theme look = choose_look(nl_langinfo(CODESET), sy_screen_colours_of(STDOUT_FILENO));
    sy_sgr_pens(&text, &look);
    if (text.data && !text.failed && text.len < n)
        memcpy(pens, text.data, text.len + 1);
    sy_str_free(&text);
}

void sy_command_help(const struct sy_command *c)
{
    printf("usage: switchyard %s %s\n\n%s.\n\n", c->name, c->arguments, c->help);
    if (c->options)
        puts(c->options);
    puts("  --runs DIR       where runs are kept (default ./runs)");
}

const struct sy_command *sy_command_find(const char *name)
{
    for (const struct sy_command *c = sy_commands; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}
