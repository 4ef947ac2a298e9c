/* What reading files takes, for data sets and tokenizers alike.  Layer bind/data. */
#include "bind/core/args.h"
#include "bind/core/error.h"
#include "bind/data/data.h"

const char *const lsy_read_formats[] = {"auto", "text", "json", "bytes", NULL}; /* sy_read_format */
const char *const lsy_on_error[] = {"stop", "skip", NULL};

struct sy_read_options lsy_reading(const struct lsy_reading *r)
{
    return (struct sy_read_options){.field = r->field,
                                    .format = (enum sy_read_format)r->format,
                                    .skip = r->on_error != 0,
                                    .unpack_max = r->unpack_max};
}

const char *const *lsy_check_paths(lua_State *L, int arg, const char *what, int *count)
{
    bool list = lua_istable(L, arg);
    int64_t n = list ? lsy_list_length(L, arg, what) : 1;
    if (!list && lua_type(L, arg) != LUA_TSTRING)
        lsy_error(L, "%s: takes a path, a pattern or a list of them: it is a %s", what,
                  luaL_typename(L, arg));
    if (n < 1 || n > 1000000)
        lsy_error(L, "%s: the list of paths holds %lld", what, (long long)n);
    const char **paths = lua_newuserdatauv(L, (size_t)n * sizeof *paths, 0);
    for (lua_Integer i = 0; i < n; i++) {
        if (list)
            lua_geti(L, arg, i + 1);
        else
            lua_pushvalue(L, arg);
        if (lua_type(L, -1) != LUA_TSTRING)
            lsy_error(L, "%s: path %d is a %s, must be a string", what, (int)i + 1,
                      luaL_typename(L, -1));
        paths[i] = lua_tostring(L, -1); /* the list, or the argument, keeps it alive */
        lua_pop(L, 1);
    }
    *count = (int)n;
    return paths;
}
