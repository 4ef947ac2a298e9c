/* Docs as data: rows beside the bindings and the op table's own, for ?name, completion and the
 * manual (lua/help/help.lua formats them).  Layer bind/core. */
#include "bind/core/doc.h"
#include "bind/core/embedded.h"
#include "bind/core/open.h"
#include "bind/core/registry.h"

#include "ops/op.h"
#include "ops/ops_int.h"

#include <stdio.h>
#include <string.h>

#define SETS 48

static struct {
    const struct lsy_doc *rows;
    size_t n;
} sets[SETS];
static int nsets;

void lsy_docs(lua_State *L, const struct lsy_doc *rows, size_t n)
{
    for (int i = 0; i < nsets; i++)
        if (sets[i].rows == rows)
            return; /* a second state */
    if (nsets == SETS)
        luaL_error(L, "too many sets of docs: raise SETS");
    sets[nsets].rows = rows;
    sets[nsets++].n = n;
}

static void add_preset(luaL_Buffer *b, const struct sy_attr_spec *spec)
{
    char text[40] = "";
    if (!spec->has_default)
        return;
    if (spec->kind == SY_ATTR_DIM && spec->preset == SY_DIM_ALL)
        snprintf(text, sizeof text, "=all");
    else if (spec->kind == SY_ATTR_BOOL)
        snprintf(text, sizeof text, "=%s", spec->preset != 0 ? "true" : "false");
    else
        snprintf(text, sizeof text, "=%.10g", spec->kind == SY_ATTR_DIM && spec->preset >= 0
                                                  ? spec->preset + 1 : spec->preset);
    luaL_addstring(b, text);
}

void lsy_push_signature(lua_State *L, const struct sy_op *op)
{
    struct sy_attr_spec specs[14];
    char name[24];
    int required, nin = sy_op_inputs(op, &required), n = sy_op_attrs(op, specs), put = 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    if (nin)
        luaL_addstring(&b, sy_op_input_name(op, 0, name));
    luaL_addstring(&b, nin ? ":" : "tensor.");
    luaL_addstring(&b, op->name);
    luaL_addchar(&b, '(');
    for (int i = 1; i < nin; i++) {
        luaL_addstring(&b, put++ ? ", " : "");
        luaL_addstring(&b, sy_op_input_name(op, i, name));
        luaL_addstring(&b, i >= required ? "?" : "");
    }
    for (int i = 0; i < n; i++) {
        luaL_addstring(&b, put++ ? ", " : "");
        luaL_addstring(&b, specs[i].name);
        add_preset(&b, &specs[i]);
    }
    luaL_addstring(&b, ") -> ");
    for (const char *s = op->outputs; *s; s++) {
        if (*s == ' ')
            luaL_addstring(&b, ", ");
        else if (*s != '#' && *s != '+')
            luaL_addchar(&b, *s);
    }
    luaL_pushresult(&b);
}

static void push_row(lua_State *L, const char *name, const char *signature, const char *text,
                     size_t length, const char *example)
{
    lua_createtable(L, 0, 4);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, signature);
    lua_setfield(L, -2, "signature");
    lua_pushlstring(L, text, length);
    lua_setfield(L, -2, "text");
    if (example) {
        lua_pushstring(L, example);
        lua_setfield(L, -2, "example");
    }
}

static void push_op(lua_State *L, const struct sy_op *op)
{
    size_t line = strcspn(op->doc, "\n");
    lsy_push_signature(L, op);
    lua_pushfstring(L, "tensor:%s", op->name);
    push_row(L, lua_tostring(L, -1), lua_tostring(L, -2), op->doc, line,
             op->doc[line] ? op->doc + line + 1 : NULL);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* engine.docs() -> array of {name=, signature=, text=, example=, op=true} */
static int docs(lua_State *L)
{
    lua_Integer n = 0;
    lua_newtable(L);
    for (int i = 0; i < nsets; i++)
        for (size_t j = 0; j < sets[i].n; j++) {
            const struct lsy_doc *d = &sets[i].rows[j];
            push_row(L, d->name, d->signature, d->text, strlen(d->text), d->example);
            lua_rawseti(L, -2, ++n);
        }
    for (int i = 0; i < SY_OP_COUNT; i++) {
        const struct sy_op *op = sy_op_get((enum sy_opcode)i);
        if (op->flags & SY_OP_INTERNAL || !*op->inputs) /* draws: see make.c */
            continue;
        push_op(L, op);
        lua_pushboolean(L, 1);
        lua_setfield(L, -2, "op");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* engine.source(module) -> text of an embedded module, or nil */
static int source(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    for (const struct sy_embedded *e = sy_embedded_lua; e->name; e++)
        if (!strcmp(e->name, name)) {
            lua_pushlstring(L, (const char *)e->data, e->size);
            return 1;
        }
    return 0;
}

/* engine.modules(prefix) -> list of the embedded modules whose names begin with it, in order of
 * lua/local.mk */
static int modules(lua_State *L)
{
    const char *prefix = luaL_checkstring(L, 1);
    lua_Integer n = 0;
    lua_newtable(L);
    for (const struct sy_embedded *e = sy_embedded_lua; e->name; e++)
        if (!strncmp(e->name, prefix, strlen(prefix))) {
            lua_pushstring(L, e->name);
            lua_rawseti(L, -2, ++n);
        }
    return 1;
}

static const luaL_Reg functions[] = {
    {"docs", docs}, {"source", source}, {"modules", modules}, {NULL, NULL}};

void lsy_open_doc(lua_State *L) { lsy_add_functions(L, functions); }
