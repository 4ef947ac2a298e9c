/* See chunk.h.  What the prompt does to a line:
 *
 *     "yard> " prefixes stripped -> ?x ??x !x :x quit -> `return <line>` compiles?  else <line>
 *                                                         ends in <eof>? incomplete
 *
 * It runs as a coroutine (job.h): a line that has to wait for long goes on as a job.
 * Values are printed by lua/show.lua.  Errors at the prompt lose the position "yard:1: ", which says
 * nothing, and everything after their first line. */
#include "bind/chunk.h"
#include "bind/bind_int.h"
#include "bind/engine.h"
#include "bind/host.h"
#include "bind/interrupt.h"
#include "bind/job_int.h"
#include "bind/shell.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_NAME "=yard"

static bool quitting, closed;
static int status;
static void (*on_quit)(void);

void sy_chunk_on_quit(void (*f)(void)) { on_quit = f; }
int sy_chunk_status(void) { return status; }

/* ---- calling with errors told ---- */

static struct sy_str typed; /* the line that runs or ran last */

/* Replace the message at -1 by one with the nearest name, where it is about an unknown one. */
static int add_hint(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.hint");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "add");
    lua_pushvalue(L, 1);
    lua_pushstring(L, typed.data ? typed.data : "");
    lua_call(L, 2, 1);
    return 1;
}

static void hint(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    if (!message || !strstr(message, "a nil value ("))
        return;
    lua_pushcfunction(L, add_hint);
    lua_pushvalue(L, -2);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1))
        lua_replace(L, -2);
    else
        lua_pop(L, 1);
}

/* The error at -1 as text, popped, made safe for a terminal. */
static void error_text(lua_State *L, bool one_line, struct sy_str *safe)
{
    int top = lua_gettop(L) - 1;
    size_t n;
    hint(L);
    if (lua_isstring(L, -1) || luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL)
        luaL_tolstring(L, lua_isfunction(L, -1) ? -2 : -1, &n);
    else
        lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, -1));
    const char *s = lua_tolstring(L, -1, &n);
    if (one_line) {
        n = strcspn(s, "\n");
        while (n && (s[n - 1] == ':' || s[n - 1] == ' '))
            n--;
        if (n > 7 && !strncmp(s, "yard:1: ", 8) && !*lsy_job_tag()) {
            s += 8;
            n -= 8;
        }
    }
    sy_utf8_sanitize(safe, s, n);
    lua_settop(L, top);
}

/* It is told on standard error, behind "switchyard: " unless typed; a job's above the line that is typed. */
static void tell(lua_State *L, bool one_line)
{
    struct sy_str safe = SY_STR_INIT;
    error_text(L, one_line, &safe);
    const char *text = safe.data ? safe.data : "";
    fflush(stdout);
    if (*lsy_job_tag())
        lsy_job_print(text);
    else
        fprintf(stderr, one_line ? "%s\n" : "switchyard: %s\n", text);
    sy_str_free(&safe);
}

static enum sy_chunk_result failed(lua_State *L, bool one_line)
{
    if (quitting) {
        lua_pop(L, 1);
        return SY_CHUNK_QUIT;
    }
    if (sy_host_was_interrupted()) {
        lua_pop(L, 1);
        fflush(stdout);
        fputs(one_line ? "interrupted\n" : "switchyard: interrupted\n", stderr);
        return SY_CHUNK_INTERRUPTED;
    }
    if (closed) {
        lua_pop(L, 1);
        return SY_CHUNK_FAILED;
    }
    tell(L, one_line);
    return SY_CHUNK_FAILED;
}

/* ---- scripts ---- */

static void job_ended(lua_State *L, struct lsy_job *j);

/* Function and nargs arguments on the stack. */
static enum sy_chunk_result run_script(lua_State *L, int nargs)
{
    int base = lua_gettop(L) - nargs;
    lua_pushcfunction(L, lsy_traceback);
    lua_insert(L, base);
    sy_host_chunk(true);
    int rc = lua_pcall(L, nargs, 0, base);
    enum sy_chunk_result result = SY_CHUNK_DONE;
    bool late = rc == LUA_OK && sy_host_was_interrupted(); /* at its last instruction */
    if (late)
        lua_pushnil(L);
    if (rc != LUA_OK || late)
        result = failed(L, false);
    sy_host_chunk(false);
    lua_settop(L, base - 1);
    return result;
}

enum sy_chunk_result sy_chunk_file(lua_State *L, const char *path, char *const *argv, int n)
{
    if (path && access(path, R_OK) != 0) {
        fprintf(stderr, "switchyard: cannot open '%s': %s\n", path, strerror(errno));
        return SY_CHUNK_FAILED;
    }
    if (luaL_loadfilex(L, path, "t") != LUA_OK)
        return failed(L, false);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, argv[i]);
    return run_script(L, n);
}

enum sy_chunk_result sy_chunk_job(lua_State *L, const char *path, char *const *argv, int n)
{
    if (luaL_loadfilex(L, path, "t") != LUA_OK)
        return failed(L, false);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, argv[i]);
    struct lsy_job *j = lsy_job_new(L, n, path, strlen(path));
    j->script = true;
    lsy_job_enlist(j, job_ended);
    return SY_CHUNK_DONE;
}

/* Keep what lies in no file, for runs that store the code they come of; the first megabyte. */
static void keep_text(lua_State *L, const char *text, size_t n)
{
    static size_t kept;
    if (kept + n > 1 << 20)
        return;
    kept += n + 1;
    lsy_push_engine(L);
    lua_getfield(L, -1, "chunks");
    lua_pushlstring(L, text, n);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 2);
}

enum sy_chunk_result sy_chunk_text(lua_State *L, const char *text, size_t n, const char *name)
{
    if (luaL_loadbufferx(L, text, n, name, "t") != LUA_OK)
        return failed(L, false);
    keep_text(L, text, n);
    return run_script(L, 0);
}

static int require_global(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_setglobal(L, lua_tostring(L, 1));
    return 0;
}

enum sy_chunk_result sy_chunk_require(lua_State *L, const char *module)
{
    lua_pushcfunction(L, require_global);
    lua_pushstring(L, module);
    return run_script(L, 1);
}

int sy_chunk_set_arg(lua_State *L, char *const *argv, int argc, int script)
{
    lua_createtable(L, argc - script, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
    return 0;
}

static int module_call(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, lua_tostring(L, 2));
    lua_pushvalue(L, 3);
    lua_call(L, 1, 0);
    return 0;
}

static int cli_run(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    lua_replace(L, -2);
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 0);
    return 0;
}

enum sy_chunk_result sy_chunk_command(lua_State *L, char *const *words, int n)
{
    lua_pushcfunction(L, cli_run);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, words[i]);
    return run_script(L, n);
}

enum sy_chunk_result sy_chunk_call(lua_State *L, const char *module, const char *function,
                                   const char *text)
{
    lua_pushcfunction(L, module_call);
    lua_pushstring(L, module);
    lua_pushstring(L, function);
    lua_pushstring(L, text);
    return run_script(L, 3);
}

/* ---- the prompt ---- */

static bool starts(const char *s, size_t n, const char *with)
{
    size_t k = strlen(with);
    return n >= k && !memcmp(s, with, k);
}

static void trim(const char **s, size_t *n)
{
    while (*n && strchr(" \t\r\n", **s)) {
        ++*s;
        --*n;
    }
    while (*n && strchr(" \t\r\n", (*s)[*n - 1]))
        --*n;
}

/* require(module)[function](results...) with the results at base+1.. */
static int show_results(lua_State *L)
{
    int n = lua_gettop(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.show");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "values");
    lua_remove(L, -2);
    lua_insert(L, 1);
    lua_call(L, n, 0);
    return 0;
}

static void tell_failure(void)
{
    struct sy_str safe = SY_STR_INIT;
    const char *s = lsy_last_failure();
    sy_utf8_sanitize(&safe, s + 2, strlen(s) - 3);
    fflush(stdout);
    fprintf(stderr, "%s\n", safe.data ? safe.data : "");
    sy_str_free(&safe);
}

/* Values of a chunk that has ended, n on top of the stack: they become `_` and are printed. */
static enum sy_chunk_result take_values(lua_State *L, int n, bool hide)
{
    int base = lua_gettop(L) - n;
    if (n) {
        lua_pushvalue(L, base + 1);
        lua_setglobal(L, "_");
    }
    if (!n || hide)
        return SY_CHUNK_DONE;
    lua_pushcfunction(L, show_results);
    lua_insert(L, base + 1);
    return lua_pcall(L, n, 0, 0) == LUA_OK ? SY_CHUNK_DONE : failed(L, true);
}

/* What a job that has ended leaves goes to L. */
static void move_results(lua_State *L, struct lsy_job *j)
{
    luaL_checkstack(L, j->nresults + 8, "too many results");
    lua_xmove(j->co, L, j->nresults);
}

static int tell_end(lua_State *L)
{
    struct lsy_job *j = lua_touserdata(L, 1);
    char text[64];
    move_results(L, j);
    if (j->interrupted)
        lsy_job_print("interrupted");
    else if (j->failed)
        tell(L, !j->script);
    else {
        bool silent = !j->nresults || j->hide || (j->nresults == 1 && lua_isnil(L, -1));
        take_values(L, j->nresults, j->hide);
        snprintf(text, sizeof text, "done (%.3g s)", sy_now() - j->began);
        if (silent)
            lsy_job_print(text);
    }
    return 0;
}

/* The end of a job that the prompt has left. */
static void job_ended(lua_State *L, struct lsy_job *j)
{
    if (quitting) {
        if (on_quit)
            on_quit();
        return;
    }
    lua_pushcfunction(L, tell_end);
    lua_pushlightuserdata(L, j);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        tell(L, true);
}

static enum sy_chunk_result became_job(struct lsy_job *j)
{
    lsy_job_enlist(j, job_ended);
    printf("[job %d] %s: %s (Ctrl-C or :kill %d ends it)\n", j->number, lsy_job_state(j), j->what,
           j->number);
    fflush(stdout);
    return SY_CHUNK_JOB;
}

/* The function at -1-nargs, its values printed unless hidden. */
static enum sy_chunk_result run_line(lua_State *L, int nargs, bool hide, const char *text, size_t n)
{
    double begin = sy_now();
    lsy_forget_failure();
    struct lsy_job *j = lsy_job_new(L, nargs, text, n);
    int base = lua_gettop(L);
    j->hide = hide;
    if (!lsy_job_run(L, j))
        return became_job(j);
    move_results(L, j);
    bool silent = !j->failed && !j->nresults; /* a statement */
    enum sy_chunk_result result = j->failed ? failed(L, true) : take_values(L, j->nresults, hide);
    lsy_job_free(L, j);
    if (silent && *lsy_last_failure()) /* `d = data.text "x"` made a nil: say why */
        tell_failure();
    lua_settop(L, base);
    if (sy_now() - begin > 1 && result == SY_CHUNK_DONE)
        printf("(%.3g s)\n", sy_now() - begin);
    fflush(stdout);
    return quitting ? SY_CHUNK_QUIT : result;
}

/* The token that a syntax error is about, `near 'x'`; its length, 0: the end. */
static size_t near_token(const char *message, const char **token)
{
    const char *near = strstr(message, " near '");
    size_t n = near ? strlen(near + 7) : 0;
    *token = near ? near + 7 : "";
    return n ? n - 1 : 0;
}

/* Of the errors as an expression (at -2) and as a statement (at -1) leave the one that got further:
 * a statement that fails at its first word was meant to be an expression. */
static void choose_error(lua_State *L, const char *text, size_t n)
{
    const char *token;
    size_t k = near_token(lua_tostring(L, -1), &token);
    bool at_start = k && n >= k && !memcmp(text, token, k);
    size_t m = near_token(lua_tostring(L, -2), &token);
    bool same = m == k && !memcmp(text, token, m);
    lua_remove(L, at_start && !same ? -1 : -2);
}

static bool wants_more(const char *message)
{
    size_t n = strlen(message);
    return n >= 5 && !strcmp(message + n - 5, "<eof>") && !strstr(message, "unfinished string");
}

/* Compile as an expression, then as statements.  0: the function is pushed; else *result. */
static int compile(lua_State *L, const char *text, size_t n, enum sy_chunk_result *result)
{
    size_t len;
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, text, n);
    lua_concat(L, 2);
    const char *expression = lua_tolstring(L, -1, &len);
    int rc = luaL_loadbufferx(L, expression, len, CHUNK_NAME, "t");
    lua_remove(L, -2);
    if (rc == LUA_OK)
        return 0;
    if (luaL_loadbufferx(L, text, n, CHUNK_NAME, "t") == LUA_OK)
        return 0;
    if (wants_more(lua_tostring(L, -1)) || wants_more(lua_tostring(L, -2))) {
        lua_pop(L, 2);
        *result = SY_CHUNK_INCOMPLETE;
        return -1;
    }
    choose_error(L, text, n);
    *result = failed(L, true);
    return -1;
}

static enum sy_chunk_result help(lua_State *L, const char *text, size_t n)
{
    const char *function = starts(text, n, "??") ? "source" : "print";
    size_t skip = starts(text, n, "??") ? 2 : 1;
    text += skip;
    n -= skip;
    trim(&text, &n);
    lua_pushcfunction(L, module_call);
    lua_pushliteral(L, "switchyard.help");
    lua_pushstring(L, function);
    lua_pushlstring(L, text, n);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK)
        return SY_CHUNK_DONE;
    return failed(L, true);
}

static enum sy_chunk_result shell(lua_State *L, const char *text, size_t n)
{
    lua_pushlstring(L, text + 1, n - 1);
    fflush(stdout);
    int rc = lsy_shell(L, lua_tostring(L, -1));
    lua_pop(L, 1);
    if (rc == 0)
        return SY_CHUNK_DONE;
    if (rc > 0)
        fprintf(stderr, "!: exit status %d\n", rc);
    else
        fprintf(stderr, "!: %s\n", rc == -1 ? strerror(errno) : "the command did not end by itself");
    return sy_host_was_interrupted() ? SY_CHUNK_INTERRUPTED : SY_CHUNK_FAILED;
}

/* :name arguments */
static int push_commands(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.commands");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "run");
    return 1;
}

static enum sy_chunk_result command(lua_State *L, const char *text, size_t n)
{
    lua_pushcfunction(L, push_commands);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK)
        return failed(L, true);
    lua_pushlstring(L, text + 1, n - 1);
    return run_line(L, 1, false, text, n);
}

static bool is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && !memcmp(s, word, n);
}

static enum sy_chunk_result eval(lua_State *L, const char *text, size_t n)
{
    enum sy_chunk_result result = SY_CHUNK_DONE;
    trim(&text, &n);
    while (starts(text, n, "yard>")) {
        text += 5;
        n -= 5;
        trim(&text, &n);
    }
    if (!n)
        return SY_CHUNK_DONE;
    sy_str_clear(&typed);
    sy_str_add(&typed, text, n);
    if (is_word(text, n, "quit") || is_word(text, n, "exit"))
        return SY_CHUNK_QUIT;
    if (*text == '?')
        return help(L, text, n);
    if (*text == '!')
        return shell(L, text, n);
    if (*text == ':' && !starts(text, n, "::"))
        return command(L, text, n);
    if (*text == '=') { /* Lua 5.1's habit */
        text++;
        n--;
    }
    bool hide = n && text[n - 1] == ';';
    size_t code = n;
    while (hide && code && strchr("; \t\r\n", text[code - 1]))
        code--;
    if (compile(L, text, code, &result))
        return result;
    keep_text(L, text, code);
    return run_line(L, 0, hide, text, n);
}

enum sy_chunk_result sy_chunk_eval(lua_State *L, const char *text, size_t n)
{
    int top = lua_gettop(L);
    sy_host_chunk(true);
    enum sy_chunk_result result = eval(L, text, n);
    sy_host_chunk(false);
    lua_settop(L, top);
    return result;
}

/* ---- leaving ---- */

/* quit(status): at the prompt and in scripts alike. */
static int quit(lua_State *L)
{
    if (lua_isboolean(L, 1))
        status = lua_toboolean(L, 1) ? 0 : 1;
    else
        status = (int)luaL_optinteger(L, 1, 0);
    quitting = true;
    sy_interrupt_here(); /* no pcall on the way up can hold it */
    return lsy_raise_interrupted(L);
}

static bool aside;

void sy_chunk_aside(bool on) { aside = on; }

/* The same text as print's as one message of the host's, of a hook or of a job. */
static int print_aside(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    if (aside)
        sy_host_print(lua_tostring(L, -1));
    else
        lsy_job_print(lua_tostring(L, -1));
    return 0;
}

/* print as Lua has it, but a closed pipe (| head) ends the chunk, silently. */
static int print(lua_State *L)
{
    int n = lua_gettop(L);
    if (aside || *lsy_job_tag())
        return print_aside(L);
    for (int i = 1; i <= n; i++) {
        size_t len;
        const char *s = luaL_tolstring(L, i, &len);
        if (i > 1)
            putchar('\t');
        fwrite(s, 1, len, stdout);
        lua_pop(L, 1);
    }
    putchar('\n');
    if (fflush(stdout) && errno == EPIPE)
        closed = true;
    if (ferror(stdout))
        return luaL_error(L, "print: standard output cannot be written");
    return 0;
}

/* ---- completion ---- */

static int complete(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "switchyard.complete");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "lines");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

char *sy_chunk_complete(lua_State *L, const char *line, size_t point, bool *files)
{
    char *text = NULL;
    int top = lua_gettop(L);
    *files = false;
    lua_pushcfunction(L, complete);
    lua_pushlstring(L, line, point);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
        *files = lua_isboolean(L, -1);
        if (lua_isstring(L, -1))
            text = sy_strdup(lua_tostring(L, -1));
    }
    lua_settop(L, top);
    return text;
}

/* ---- what the embedded library asks of the program ---- */

/* engine.screen(name, args) -> done, reply; nil: there is no screen */
static int engine_screen(lua_State *L)
{
    char reply[1024] = "";
    const char *name = luaL_checkstring(L, 1), *args = luaL_optstring(L, 2, "");
    if (!sy_host_screen.command)
        return 0;
    lua_pushboolean(L, sy_host_screen.command(name, args, reply, sizeof reply) == 0);
    lua_pushstring(L, reply);
    return 2;
}

static int engine_columns(lua_State *L)
{
    lua_pushinteger(L, sy_host_columns());
    return 1;
}

void lsy_open_chunk(lua_State *L)
{
    lsy_push_engine(L);
    lsy_set(L, "screen", engine_screen);
    lsy_set(L, "columns", engine_columns);
    lua_pop(L, 1);
    lua_register(L, "quit", quit);
    lua_register(L, "print", print);
    lua_getglobal(L, "os");
    lsy_set(L, "exit", quit);
    lua_pop(L, 1);
}
