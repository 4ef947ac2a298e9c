/* Errors between the engine and Lua.  Layer bind/core.
 *
 * The position that a message begins with is the user's: library code that is embedded in the
 * program has chunk names that begin with "=switchyard:", and those levels are skipped. */
#include "bind/core/error.h"
#include "bind/core/interrupted.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lsy_where(lua_State *L)
{
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && strncmp(ar.source, "=switchyard:", 12) != 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

/* ---- interruption ---- */

atomic_int lsy_interrupt_flag;

bool lsy_interrupt_wanted(void) { return lsy_interrupt_flag != 0; }

int lsy_raise_interrupted(lua_State *L)
{
    lsy_where(L);
    lua_pushliteral(L, "interrupted");
    lua_concat(L, 2);
    return lua_error(L);
}

/* ---- raising ---- */

static int raise_text(lua_State *L, const char *text)
{
    lsy_where(L);
    lua_pushstring(L, text);
    lua_concat(L, 2);
    return lua_error(L);
}

int lsy_raise(lua_State *L, const struct sy_err *err)
{
    return raise_text(L, err->code ? err->msg : "failed without a message");
}

int lsy_error(lua_State *L, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return raise_text(L, text);
}

static char last_failure[600];

const char *lsy_last_failure(void) { return last_failure; }
void lsy_forget_failure(void) { last_failure[0] = 0; }

int lsy_fail(lua_State *L, const struct sy_err *err)
{
    snprintf(last_failure, sizeof last_failure, " (%s)", err->msg);
    lua_pushnil(L);
    lua_pushstring(L, err->msg);
    lua_pushstring(L, sy_code_name(err->code));
    return 3;
}

int lsy_fail_or_raise(lua_State *L, const struct sy_err *err)
{
    if (err->code == SY_E_CANCELLED && lsy_interrupt_wanted())
        return lsy_raise_interrupted(L);
    switch (err->code) {
    case SY_E_IO:
    case SY_E_NOTFOUND:
    case SY_E_FORMAT:
    case SY_E_UNSUPPORTED:
    case SY_E_CANCELLED: return lsy_fail(L, err);
    default: return lsy_raise(L, err);
    }
}

int lsy_true_or_fail(lua_State *L, int rc, const struct sy_err *err)
{
    if (rc)
        return lsy_fail_or_raise(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

int lsy_traceback(lua_State *L)
{
    const char *text = lua_tostring(L, 1);
    if (!text) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING)
            return 1;
        text = lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, 1));
    }
    luaL_traceback(L, L, text, 1);
    return 1;
}
