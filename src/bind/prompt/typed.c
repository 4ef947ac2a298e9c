/* What the prompt does to a line (sy_chunk_eval in chunk.h):
 *
 *     "yard> " prefixes stripped -> ?x ??x !x :x quit -> `return <line>` compiles?  else <line>
 *                                                         ends in <eof>? incomplete
 *
 * It runs as a coroutine (job.h): a line that has to wait for long goes on as a job.  Values are
 * printed by lua/prompt/show.lua.  Errors at the prompt lose the position "yard:1: ", which says
 * nothing, and everything after their first line; those of jobs keep it. */
#include "bind/core/error.h"
#include "bind/core/hint.h"
#include "bind/core/registry.h"
#include "bind/prompt/chunk.h"
#include "bind/prompt/chunk_int.h"
#include "bind/thread/host.h"
#include "bind/thread/job_int.h"
#include "bind/thread/shell.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/sanitize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHUNK_NAME "=yard"

static void (*on_quit)(void);

void sy_chunk_on_quit(void (*f)(void)) { on_quit = f; }

static bool starts_with(const char *s, size_t n, const char *with)
{
    size_t k = strlen(with);
    return n >= k && !memcmp(s, with, k);
}

static void trim_space(const char **s, size_t *n)
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
    lsy_push_function(L, "switchyard.prompt.show", "values");
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
    return lua_pcall(L, n, 0, 0) == LUA_OK ? SY_CHUNK_DONE : lsy_chunk_failed(L, true);
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
    if (j->outcome == LSY_JOB_INTERRUPTED)
        lsy_job_print("interrupted");
    else if (j->outcome == LSY_JOB_FAILED)
        lsy_chunk_tell(L, !j->script);
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
    if (lsy_chunk_quitting()) {
        if (on_quit)
            on_quit();
        return;
    }
    lua_pushcfunction(L, tell_end);
    lua_pushlightuserdata(L, j);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lsy_chunk_tell(L, true);
}

enum sy_chunk_result sy_chunk_job(lua_State *L, const char *path, char *const *argv, int n)
{
    if (luaL_loadfilex(L, path, "t") != LUA_OK)
        return lsy_chunk_failed(L, false);
    luaL_checkstack(L, n + 4, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, argv[i]);
    struct lsy_job *j = lsy_job_new(L, n, path, strlen(path));
    j->script = true;
    lsy_job_enlist(j, job_ended);
    return SY_CHUNK_DONE;
}

static enum sy_chunk_result became_job(struct lsy_job *j)
{
    lsy_job_enlist(j, job_ended);
    printf("[job %d] %s: %s (Ctrl-C twice or :kill %d ends it)\n", j->number, lsy_job_state(j),
           j->what, j->number);
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
    bool silent = j->outcome == LSY_JOB_FINE && !j->nresults; /* a statement */
    enum sy_chunk_result result =
        j->outcome != LSY_JOB_FINE ? lsy_chunk_failed(L, true) : take_values(L, j->nresults, hide);
    lsy_job_free(L, j);
    if (silent && *lsy_last_failure()) /* `d = data.text "x"` made a nil: say why */
        tell_failure();
    lua_settop(L, base);
    if (sy_now() - begin > 1 && result == SY_CHUNK_DONE)
        printf("(%.3g s)\n", sy_now() - begin);
    fflush(stdout);
    return lsy_chunk_quitting() ? SY_CHUNK_QUIT : result;
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

static int hint_unfinished(lua_State *L)
{
    lsy_push_function(L, "switchyard.prompt.hint", "unfinished");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* A text that no further line finishes, `for i in range(3):`: what it is in Lua is pushed. */
static bool never_ends(lua_State *L, const char *text, size_t n)
{
    lua_pushcfunction(L, hint_unfinished);
    lua_pushlstring(L, text, n);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1)) {
        lua_pushfstring(L, "a ':' at the end of a line begins no block; %s", lua_tostring(L, -1));
        lua_remove(L, -2);
        return true;
    }
    lua_pop(L, 1);
    return false;
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
    bool more = wants_more(lua_tostring(L, -1)) || wants_more(lua_tostring(L, -2));
    if (more && !never_ends(L, text, n)) {
        *result = SY_CHUNK_INCOMPLETE;
        return -1;
    }
    if (!more)
        choose_error(L, text, n);
    *result = lsy_chunk_failed(L, true);
    return -1;
}

static enum sy_chunk_result help(lua_State *L, const char *text, size_t n)
{
    const char *function = starts_with(text, n, "??") ? "source" : "print";
    size_t skip = starts_with(text, n, "??") ? 2 : 1;
    text += skip;
    n -= skip;
    trim_space(&text, &n);
    lua_pushcfunction(L, lsy_module_call);
    lua_pushliteral(L, "switchyard.help.help");
    lua_pushstring(L, function);
    lua_pushlstring(L, text, n);
    if (lua_pcall(L, 3, 0, 0) == LUA_OK)
        return SY_CHUNK_DONE;
    return lsy_chunk_failed(L, true);
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
        fprintf(stderr, "!: %s\n",
                rc == -1 ? strerror(errno) : "the command did not end by itself");
    return sy_host_was_interrupted() ? SY_CHUNK_INTERRUPTED : SY_CHUNK_FAILED;
}

/* :name arguments */
static int push_commands(lua_State *L)
{
    lsy_push_function(L, "switchyard.prompt.commands", "run");
    return 1;
}

static enum sy_chunk_result command(lua_State *L, const char *text, size_t n)
{
    lua_pushcfunction(L, push_commands);
    if (lua_pcall(L, 0, 1, 0) != LUA_OK)
        return lsy_chunk_failed(L, true);
    lua_pushlstring(L, text + 1, n - 1);
    return run_line(L, 1, false, text, n);
}

static bool is_word(const char *s, size_t n, const char *word)
{
    return n == strlen(word) && !memcmp(s, word, n);
}

/* The session is stored as a script, and is run as one: an expression becomes a statement; what may
 * return would end it, and becomes the body of a function, as a chunk is one; a line that begins
 * with ( is no call of the one before. */
static void keep_typed(lua_State *L, const char *text, size_t n)
{
    bool statement = luaL_loadbufferx(L, text, n, CHUNK_NAME, "t") == LUA_OK;
    lua_pop(L, 1);
    bool returns = statement && memmem(text, n, "return", 6);
    lua_pushstring(L, returns ? ";(function(...) " : !statement ? "_ = " : *text == '(' ? ";" : "");
    lua_pushlstring(L, text, n);
    lua_pushstring(L, returns ? "\nend)()" : "");
    lua_concat(L, 3);
    const char *line = lua_tolstring(L, -1, &n);
    lsy_chunk_keep(L, line, n);
    lua_pop(L, 1);
}

static enum sy_chunk_result eval_typed(lua_State *L, const char *text, size_t n)
{
    enum sy_chunk_result result = SY_CHUNK_DONE;
    trim_space(&text, &n);
    while (starts_with(text, n, "yard>")) {
        text += 5;
        n -= 5;
        trim_space(&text, &n);
    }
    if (!n)
        return SY_CHUNK_DONE;
    lsy_hint_typed(text, n);
    if (is_word(text, n, "quit") || is_word(text, n, "exit"))
        return SY_CHUNK_QUIT;
    if (*text == '?')
        return help(L, text, n);
    if (*text == '!')
        return shell(L, text, n);
    if (*text == ':' && !starts_with(text, n, "::"))
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
    keep_typed(L, text, code);
    return run_line(L, 0, hide, text, n);
}

enum sy_chunk_result sy_chunk_eval(lua_State *L, const char *text, size_t n)
{
    int top = lua_gettop(L);
    sy_host_chunk(true);
    enum sy_chunk_result result = eval_typed(L, text, n);
    sy_host_chunk(false);
    lua_settop(L, top);
    return result;
}
