/* The program: options, then scripts, chunks or the prompt.  Stands above every layer.
 *
 * Options are one table; --help, the search for the nearest name and completion come from it.
 * Exit status: 0; 1 an error in Lua (of a pipe: in any line), a failed run or one that could not be
 * saved; 2 usage; 130 interrupted. */
#include "config.h"
#include "cli/subcommands.h"
#include "workbench/workbench.h"
#include "workbench/signals.h"
#include "prompt/prompt.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "base/thread.h"
#include "bind/open.h"
#include "bind/prompt/chunk.h"
#include "bind/thread/host.h"
#include "bind/thread/output.h"
#include "bind/thread/progress.h"
#include "cpu/cpu.h"
#include "repl/editor.h"
#include "repl/tell.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option {
    OPT_NONE,
    OPT_EXECUTE,
    OPT_REQUIRE,
    OPT_INTERACTIVE,
    OPT_NO_ENVIRONMENT,
    OPT_PLAIN,
    OPT_JSON,
    OPT_THREADS,
    OPT_RUNS,
    OPT_VERSION,
    OPT_HELP,
    OPT_DUMP_HELP,
    OPT_HAS_WORKBENCH
};

static const struct {
    const char *name;     /* with its dashes */
    enum option option;
    const char *argument; /* name, or NULL */
    const char *help;     /* NULL: hidden */
} table[] = {
    {"-e", OPT_EXECUTE, "CODE", "run CODE (may be repeated)"},
    {"-l", OPT_REQUIRE, "MOD", "require MOD (may be repeated)"},
    {"-i", OPT_INTERACTIVE, NULL, "prompt after CODE and FILE"},
    {"-E", OPT_NO_ENVIRONMENT, NULL, "no init file, no environment"},
    {"--plain", OPT_PLAIN, NULL, "lines without an editor, no panels"},
    {"--json", OPT_JSON, NULL, "progress as one JSON object a line"},
    {"--threads", OPT_THREADS, "N", "use N threads"},
    {"--runs", OPT_RUNS, "DIR", "runs are kept in DIR (default: SWITCHYARD_RUNS, else ./runs)"},
    {"--version", OPT_VERSION, NULL, "print the version"},
    {"--help", OPT_HELP, NULL, "print this text"},
    {"-v", OPT_VERSION, NULL, NULL},
    {"-h", OPT_HELP, NULL, NULL},
    {"--dump-help", OPT_DUMP_HELP, NULL, NULL}, /* the reference as a manual page */
    {"--has-workbench", OPT_HAS_WORKBENCH, NULL, NULL}, /* for tests: was it built in? */
};
#define OPTIONS (sizeof table / sizeof *table)

#define CHUNKS_MAX 256

struct plan {
    struct {
        enum option option;
        const char *text;
    } chunks[CHUNKS_MAX]; /* -e and -l in order */
    int nchunks;
    bool interactive, no_environment, plain, json, version, help, dump_help, has_workbench;
    bool terminal; /* both ends were one at the start */
    const char *threads, *runs;
    int script; /* index in argv; argc: none */
    const struct sy_command *command; /* of Lua, in the script's place; or NULL */
};

/* ---- reading the command line ---- */

/* fmt takes `what`. */
__attribute__((format(printf, 1, 0))) static int usage(const char *fmt, const char *what,
                                                       const char *near)
{
    struct sy_str text = SY_STR_INIT;
    sy_str_printf(&text, fmt, what);
    if (near)
        sy_str_printf(&text, " (did you mean '%s'?)", near);
    sy_tell("%s", text.data ? text.data : "out of memory");
    sy_str_free(&text);
    return 2;
}

static int unknown_option(const char *word)
{
    const char *names[OPTIONS + 1];
    size_t i;
    for (i = 0; i < OPTIONS; i++)
        names[i] = table[i].name;
    names[i] = NULL;
    const char *near = sy_nearest(word, names);
    return usage(near ? "unknown option '%s'" : "unknown option '%s'; --help lists them", word,
                 near);
}

/* The option of argv[*i]; its argument, if it has one, in *value, from `--name=value`, `-eCODE` or
 * the next word. */
static int find_option(int argc, char **argv, int *i, enum option *option, const char **value)
{
    const char *word = argv[*i];
    bool dashes = word[1] == '-';
    size_t n = dashes ? strcspn(word, "=") : 2;
    for (size_t k = 0; k < OPTIONS; k++) {
        if (strlen(table[k].name) != n || strncmp(table[k].name, word, n) != 0)
            continue;
        *option = table[k].option;
        *value = word[n] ? word + n + dashes : NULL;
        if (!table[k].argument)
            return *value ? unknown_option(word) : 0;
        if (!*value && *i + 1 < argc)
            *value = argv[++*i];
        return *value ? 0 : usage("option '%s' needs an argument", word, NULL);
    }
    return unknown_option(word);
}

static int take_option(struct plan *p, enum option option, const char *value)
{
    switch (option) {
    case OPT_EXECUTE:
    case OPT_REQUIRE:
        if (p->nchunks == CHUNKS_MAX)
            return usage("too many -e and -l (%s)", value, NULL);
        p->chunks[p->nchunks].option = option;
        p->chunks[p->nchunks++].text = value;
        break;
    case OPT_INTERACTIVE: p->interactive = true; break;
    case OPT_NO_ENVIRONMENT: p->no_environment = true; break;
    case OPT_PLAIN: p->plain = true; break;
    case OPT_JSON: p->json = true; break;
    case OPT_THREADS: p->threads = value; break;
    case OPT_RUNS: p->runs = value; break;
    case OPT_VERSION: p->version = true; break;
    case OPT_HELP: p->help = true; break;
    case OPT_DUMP_HELP: p->dump_help = true; break;
    case OPT_HAS_WORKBENCH: p->has_workbench = true; break;
    case OPT_NONE: break;
    }
    return 0;
}

static int read_options(int argc, char **argv, struct plan *p)
{
    int i;
    for (i = 1; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
        enum option option = OPT_NONE;
        const char *value = NULL;
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        int status = find_option(argc, argv, &i, &option, &value);
        if (!status)
            status = take_option(p, option, value);
        if (status)
            return status;
    }
    p->script = i;
    return 0;
}

static void print_help(void)
{
    puts("usage: switchyard [OPTIONS] [FILE.lua [ARGS]]\n"
         "       switchyard [OPTIONS] COMMAND\n"
         "\n"
         "Trains mixture-of-experts language models. Without FILE: a prompt on a terminal\n"
         "(?name there gives help), else a script from standard input. FILE may be - for\n"
         "standard input.\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[32];
        if (!table[i].help)
            continue;
        snprintf(left, sizeof left, "%s%s%s", table[i].name, table[i].argument ? " " : "",
                 table[i].argument ? table[i].argument : "");
        printf("  %-14s %s\n", left, table[i].help);
    }
    puts("\nCommands:");
    for (const struct sy_command *c = sy_commands; c->name; c++)
        printf("  %s %s\n%17s%s\n", c->name, c->arguments, "", c->help);
    puts("\n"
         "Environment: SWITCHYARD_CPU (ref, avx2, avx512), SWITCHYARD_THREADS,\n"
         "SWITCHYARD_RUNS.\n"
         "Exit status: 0; 1 an error in Lua, a failed run or one that was not saved;\n"
         "2 usage; 130 interrupted.");
}

/* ---- the machine ---- */

static int check_threads(const char *text, const char *where)
{
    struct sy_err err = SY_ERR_INIT;
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (!*text || *end || errno || n < 1 || n > SY_POOL_MAX) {
        sy_tell("%s must be a number from 1 to %d: it is '%s'", where, SY_POOL_MAX, text);
        return 2;
    }
    if (sy_pool_set_threads((int)n, &err)) {
        sy_tell("%s", err.msg);
        return 2;
    }
    return 0;
}

static void drop_environment(void)
{
    static const char *const names[] = {"SWITCHYARD_CPU", "SWITCHYARD_THREADS", "SWITCHYARD_RUNS",
                                        "SWITCHYARD_SYMBOLS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

static int check_threads_variable(void)
{
    const char *text = getenv("SWITCHYARD_THREADS");
    char *end;
    long n = text ? strtol(text, &end, 10) : 1;
    if (!text || !*text || (!*end && n >= 1 && n <= SY_POOL_MAX))
        return 0; /* the pool reads it at its first use */
    sy_tell("SWITCHYARD_THREADS must be a number from 1 to %d: it is '%s'", SY_POOL_MAX, text);
    return 2;
}

static int set_up_machine(const struct plan *p)
{
    struct sy_err err = SY_ERR_INIT;
    if (p->no_environment)
        drop_environment();
    if (p->runs && setenv("SWITCHYARD_RUNS", p->runs, 1))
        return usage("--runs: cannot use '%s'", p->runs, NULL);
    int status = p->threads ? check_threads(p->threads, "--threads") : check_threads_variable();
    if (!status && sy_cpu_init(&err)) {
        sy_tell("%s", err.msg);
        status = 2;
    }
    return status;
}

/* ---- running ---- */

static int status_of(enum sy_chunk_result r)
{
    switch (r) {
    case SY_CHUNK_DONE: return 0;
    case SY_CHUNK_INTERRUPTED: return 130;
    case SY_CHUNK_QUIT: return sy_chunk_status();
    default: return 1;
    }
}

/* -e and -l in order, then the script.  *ended: quit() was called. */
static int run_chunks(struct lua_State *L, const struct plan *p, int argc, char **argv, bool *ended)
{
    enum sy_chunk_result r = SY_CHUNK_DONE;
    bool scripted = p->script < argc;
    sy_chunk_set_arg(L, argv, argc, scripted ? p->script : 0);
    for (int i = 0; i < p->nchunks && r == SY_CHUNK_DONE; i++)
        r = p->chunks[i].option == OPT_REQUIRE
                ? sy_chunk_require(L, p->chunks[i].text)
                : sy_chunk_text(L, p->chunks[i].text, strlen(p->chunks[i].text), "=(command line)");
    if (p->command) {
        char pens[SY_HOST_PENS];
        int columns;
        sy_command_terminal(pens, sizeof pens, &columns);
        sy_host_set_pens(pens);
        sy_host_set_columns(columns);
        r = sy_chunk_command(L, argv + p->script, argc - p->script);
    } else if (r == SY_CHUNK_DONE && scripted) {
        const char *name = argv[p->script];
        int nargs = argc - p->script - 1;
        if (p->interactive && p->terminal && strcmp(name, "-"))
            r = sy_chunk_job(L, name, argv + p->script + 1, nargs); /* beside the prompt */
        else
            r = sy_chunk_file(L, strcmp(name, "-") ? name : NULL, argv + p->script + 1, nargs);
    } else if (r == SY_CHUNK_DONE && !p->nchunks && !p->interactive)
        r = sy_chunk_file(L, NULL, NULL, 0);
    *ended = r == SY_CHUNK_QUIT;
    return status_of(r);
}

static void run_init_file(struct lua_State *L)
{
    struct sy_str path = SY_STR_INIT;
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (config && *config == '/')
        sy_str_printf(&path, "%s/switchyard/init.lua", config);
    else if (home && *home)
        sy_str_printf(&path, "%s/.config/switchyard/init.lua", home);
    if (path.data && access(path.data, R_OK) == 0)
        sy_chunk_file(L, path.data, NULL, 0);
    sy_str_free(&path);
}

/* Runs that the script started are waited for (not after os.exit), and saved when it is
 * interrupted. */
static int finish_runs(struct lua_State *L, int status, bool ended)
{
    if (!status && !ended && sy_host_runs.wait_all) {
        status = sy_host_runs.wait_all(L);
        if (status == 130)
            sy_tell("interrupted");
    }
    sy_prompt_saves();
    if (sy_host_runs.stop_all)
        sy_host_runs.stop_all(L);
    return !status && sy_host_runs.unsaved && sy_host_runs.unsaved() ? 1 : status;
}

struct scripts {
    const struct plan *p;
    int argc;
    char **argv;
};

static int run_scripts(struct lua_State *L, void *ctx, bool *ended)
{
    const struct scripts *s = ctx;
    bool nothing = !s->p->nchunks && s->p->script >= s->argc;
    if (s->p->interactive && !s->p->no_environment)
        run_init_file(L);
    return nothing && s->p->interactive ? 0 : run_chunks(L, s->p, s->argc, s->argv, ended);
}

/* On a terminal, after the scripts or, in the workbench, with them. */
static int run_prompt(struct lua_State *L, struct scripts *s, bool bench, bool terminal)
{
    char greeting[128];
    struct sy_prompt_start start = {.plain = s->p->plain, .ctx = s};
    snprintf(greeting, sizeof greeting,
             "%s %s, %s kernels. ?help shows the way; quit or Ctrl-D leaves.", PACKAGE_NAME,
             PACKAGE_VERSION, sy_cpu()->name);
    if (terminal)
        start.greeting = greeting;
    start.screen = bench;
    if (bench)
        start.scripts = run_scripts;
    return sy_prompt_run(L, &start);
}

static int run_plan(struct lua_State *L, struct plan *p, int argc, char **argv)
{
    bool terminal = p->terminal = isatty(0) && isatty(1), ended = false;
    struct scripts scripts = {p, argc, argv};
    struct sy_err err = SY_ERR_INIT;
    int status = 0;
    if (!p->nchunks && p->script >= argc && terminal)
        p->interactive = true;
    lsy_progress_mode(p->json          ? LSY_PROGRESS_JSON
                      : p->interactive ? LSY_PROGRESS_NONE
                                       : LSY_PROGRESS_LINES);
    sy_prompt_signals(false);
    sy_host_adopt(L);
    if (p->dump_help)
        return status_of(sy_chunk_call(L, "switchyard.help.manual", "dump", PACKAGE_VERSION));
    if (p->json && !(p->interactive && terminal) && lsy_progress_alone(&err)) {
        sy_tell("%s", err.msg);
        return 1;
    }
    if (p->interactive && sy_prompt_has_screen(p->plain || p->json))
        return run_prompt(L, &scripts, true, terminal);
    sy_host_chunk(true); /* until all is saved: Ctrl-C between two chunks, or after them, counts */
    sy_rescue_open();
    status = run_scripts(L, &scripts, &ended);
    bool finish = !p->interactive || ended || status == 130;
    if (finish)
        status = finish_runs(L, status, ended);
    sy_host_chunk(false);
    if (finish)
        sy_rescue_close();
    return finish ? status : run_prompt(L, &scripts, false, terminal);
}

/* A word that is neither file nor command: the nearest command. */
static int unknown_word(const char *word)
{
    const char *names[16];
    int n = 0;
    for (const struct sy_command *c = sy_commands; c->name && n < 15; c++)
        names[n++] = c->name;
    names[n] = NULL;
    return usage("'%s' is neither a file nor a command", word, sy_nearest(word, names));
}

static int run_command(const struct sy_command *c, const struct plan *p, int argc, char **argv)
{
    if (p->no_environment)
        drop_environment();
    if (p->runs && setenv("SWITCHYARD_RUNS", p->runs, 1))
        return usage("--runs: cannot use '%s'", p->runs, NULL);
    int status = p->threads ? check_threads(p->threads, "--threads") : 0;
    return status ? status : c->run(argc - p->script, argv + p->script, p->json);
}

static bool wants_help(char **words, int n)
{
    for (int i = 1; i < n && strcmp(words[i], "--"); i++)
        if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h"))
            return true;
    return false;
}

/* --json, --runs, --threads stand behind a command as well: take them out of argv. */
static int take_common(struct plan *p, int *argc, char **argv)
{
    int kept = p->script + 1, i = kept;
    for (; i < *argc && strcmp(argv[i], "--"); i++) {
        enum option option = OPT_NONE;
        const char *value = NULL;
        bool common = !strncmp(argv[i], "--runs", 6) || !strncmp(argv[i], "--threads", 9) ||
                      !strcmp(argv[i], "--json");
        int status = common ? find_option(*argc, argv, &i, &option, &value) : 0;
        if (!status && common)
            status = take_option(p, option, value);
        if (status)
            return status;
        if (!common)
            argv[kept++] = argv[i];
    }
    while (i < *argc)
        argv[kept++] = argv[i++];
    *argc = kept;
    return 0;
}

static int start_program(struct plan *p, int argc, char **argv)
{
    const char *why;
    struct sy_state_options options = {.no_environment = p->no_environment};
    const char *word = p->script < argc ? argv[p->script] : NULL;
    const struct sy_command *command = word && !p->nchunks ? sy_command_find(word) : NULL;
    if (command && wants_help(argv + p->script, argc - p->script)) {
        sy_command_help(command);
        return 0;
    }
    if (command && take_common(p, &argc, argv))
        return 2;
    if (command && command->run)
        return run_command(command, p, argc, argv);
    p->command = command;
    if (!command && word && strcmp(word, "-") && access(word, F_OK) != 0)
        return unknown_word(word);
    int status = set_up_machine(p);
    sy_host_set_ascii(sy_command_ascii());
    if (status)
        return status;
    struct lua_State *L = sy_state_new(&options, &why);
    if (!L) {
        sy_tell("cannot start Lua: %s", why);
        return 1;
    }
    status = run_plan(L, p, argc, argv);
    if (status == 130 && sy_prompt_ended_by())
        status = 128 + sy_prompt_ended_by();
    sy_host_stop();
    sy_state_free(L);
    sy_pool_shutdown();
    return status;
}

static void report_bug(const char *cond, const char *file, int line, const char *func)
{
    sy_workbench_restore();
    sy_edit_restore_terminal();
    fprintf(stderr, "\nswitchyard %s: a bug of ours: %s does not hold in %s (%s:%d).\n"
                    "Please send this line with what you typed.\n",
            PACKAGE_VERSION, cond, func, file, line);
}

/* What was printed and got lost is a failure, which is reported once; but not where nobody reads
 * any more (| head), nor at a terminal, where an interrupt cuts off what is being written. */
static int close_output(int status)
{
    FILE *f = lsy_progress_stream();
    if (f != stdout)
        fflush(stdout); /* what a script has begun to write to standard error */
    struct pollfd out = {.fd = fileno(f), .events = POLLOUT};
    int cause = fflush(f) ? errno : lsy_progress_cause();
    if ((!cause && !ferror(f)) || isatty(fileno(f)))
        return status;
    if (cause == EPIPE || (poll(&out, 1, 0) > 0 && out.revents & POLLERR))
        return status;
    if (!status || !sy_output_told())
        sy_tell("standard output cannot be written%s%s", cause ? ": " : "",
                cause ? strerror(cause) : "");
    return status ? status : 1;
}

/* Without the destructors of libraries: OpenBLAS waits for threads of its own, which, where
 * addresses are short (ulimit -v), wait for memory for ever.  Nothing of ours is left to them. */
static int leave_process(int status)
{
#ifndef SY_SANITIZED /* which report at the end */
    _exit(status);
#endif
    return status;
}

static int run_program(int argc, char **argv)
{
    struct plan p = {0};
    int status = read_options(argc, argv, &p);
    if (status)
        return status;
    if (p.help)
        print_help();
    else if (p.has_workbench)
        status = !sy_workbench_built();
    else if (p.version)
        printf("%s %s\n", PACKAGE_NAME, PACKAGE_VERSION);
    else
        status = start_program(&p, argc, argv);
    return status;
}

int main(int argc, char **argv)
{
    sy_thread_main();
    sy_assert_set_handler(report_bug);
    return leave_process(close_output(run_program(argc, argv)));
}
