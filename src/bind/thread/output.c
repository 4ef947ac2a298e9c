/* What is printed: above the line that is being typed, behind the number of a job, as JSON, or
 * plainly.  Layer bind/thread. */
#include "bind/thread/output.h"
#include "bind/core/registry.h"
#include "bind/thread/host.h"
#include "bind/thread/job_int.h"
#include "bind/thread/open.h"
#include "bind/thread/progress.h"

#include "base/str.h"
#include "base/sanitize.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool aside, told_output, closed;

bool lsy_output_closed(void) { return closed; }

void lsy_print_aside(bool on) { aside = on; }

/* The same text as print's as one message: an object with --json; of a hook or of a job. */
static int print_aside(lua_State *L)
{
    size_t len;
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
    const char *text = lua_tolstring(L, -1, &len);
    if (lsy_progress_get() == LSY_PROGRESS_JSON)
        lsy_progress_text("print", text, len);
    else if (aside)
        sy_host_print(text);
    else
        lsy_job_print(text);
    return 0;
}

bool sy_output_told(void) { return told_output; }

static int check_output(lua_State *L, int cause)
{
    closed |= cause == EPIPE;
    if (!ferror(lsy_progress_stream()))
        return 0;
    told_output = true;
    return luaL_error(L, "print: standard output cannot be written: %s",
                      strerror(cause ? cause : EIO));
}

/* The n values as one text, so that lines of other threads stand before or behind it.  On the
 * stack. */
static const char *line_of_values(lua_State *L, int n, size_t *len)
{
    luaL_checkstack(L, 2 * n + 2, "print: too many values");
    for (int i = 1; i <= n; i++) {
        luaL_tolstring(L, i, NULL);
        lua_pushstring(L, i < n ? "\t" : "\n");
    }
    if (n)
        lua_concat(L, 2 * n);
    else
        lua_pushliteral(L, "\n");
    return lua_tolstring(L, -1, len);
}

/* print as Lua has it, but a closed pipe (| head) ends the chunk, silently. */
static int print(lua_State *L)
{
    int n = lua_gettop(L);
    if (aside || *lsy_job_tag())
        return print_aside(L);
    if (lsy_progress_get() == LSY_PROGRESS_JSON) {
        print_aside(L);
        return check_output(L, lsy_progress_cause());
    }
    size_t len;
    const char *line = line_of_values(L, n, &len);
    fwrite(line, 1, len, stdout);
    return check_output(L, fflush(stdout) ? errno : 0);
}

/* Of what is printed: behind the tag of a job there are fewer. */
static int engine_columns(lua_State *L)
{
    int tag = (int)strlen(lsy_job_tag());
    lua_pushinteger(L, sy_host_columns() - tag);
    return 1;
}

/* engine.pens() -> {[0] = what dims, colours...}: escape sequences for what is printed now; nil:
 * there are no colours, or it goes where nobody reads them. */
static int l_pens(lua_State *L)
{
    char lines[SY_HOST_PENS], *rest = lines;
    sy_host_pens(lines);
    if (!*lines || aside || *lsy_job_tag() || lsy_progress_get() == LSY_PROGRESS_JSON)
        return 0;
    lua_newtable(L);
    for (int i = 0; *rest; i++) {
        size_t n = strcspn(rest, "\n");
        lua_pushlstring(L, rest, n);
        lua_rawseti(L, -2, i);
        rest += n + (rest[n] == '\n');
    }
    return 1;
}

/* engine.line(text): as progress lines go; engine.write(text): plain, sanitized for a terminal */
static int l_line(lua_State *L)
{
    lsy_progress_line("%s", luaL_checkstring(L, 1));
    return 0;
}

static int l_write(lua_State *L)
{
    struct sy_str s = SY_STR_INIT;
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    if (lsy_progress_get() == LSY_PROGRESS_JSON) {
        lsy_progress_text("text", text, n);
        return 0;
    }
    sy_utf8_sanitize(&s, text, n);
    const char *safe = s.data ? s.data : "";
    if (!lsy_job_write(safe, s.len)) {
        fwrite(safe, 1, s.len, stdout);
        fflush(stdout);
    }
    sy_str_free(&s);
    return 0;
}

/* engine.object(json or nil) -> whether --json asks for objects: then it is printed */
static int l_object(lua_State *L)
{
    size_t n;
    const char *object = luaL_optlstring(L, 1, NULL, &n);
    bool asked = lsy_progress_get() == LSY_PROGRESS_JSON;
    if (asked && object)
        lsy_progress_object(object, n);
    lua_pushboolean(L, asked);
    return 1;
}

/* engine.event(run, kind, text): a line of a run, "[run] text"; with --json an event of that
 * kind, one of SY_EVENT_MAP */
static int l_event(lua_State *L)
{
    int kind = sy_event_find(luaL_checkstring(L, 2));
    if (kind < 0)
        return lsy_error(L, "event: there is no kind '%s'", lua_tostring(L, 2));
    lsy_progress_event(luaL_checkstring(L, 1), (enum sy_event_kind)kind, luaL_checkstring(L, 3));
    return 0;
}

/* engine.rings() -> is there someone who hears "\a"? */
static int l_rings(lua_State *L)
{
    bool there = sy_host_has_screen() || isatty(STDOUT_FILENO);
    lua_pushboolean(L, there && lsy_progress_get() != LSY_PROGRESS_JSON);
    return 1;
}

static const luaL_Reg functions[] = {
    {"rings", l_rings},
    {"line", l_line}, {"write", l_write}, {"event", l_event}, {"columns", engine_columns},
    {"pens", l_pens}, {"object", l_object},
    {NULL, NULL}};

void lsy_open_output(lua_State *L)
{
    lsy_add_functions(L, functions);
    lua_register(L, "print", print);
}
