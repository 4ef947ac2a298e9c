/* Docs as data: rows beside the bindings, and the op table's own.  Layer bind/core. */
#ifndef SY_BIND_CORE_DOC_H
#define SY_BIND_CORE_DOC_H

#include <lua.h>
#include <stddef.h>

struct lsy_doc {
    const char *name;      /* "tensor.zeros", "tensor:item", "train" */
    const char *signature; /* "tensor.zeros(n, ..., {dtype=, seed=})" */
    const char *text;      /* what it does, shapes, errors; sentences */
    const char *example;   /* lines of Lua, or NULL */
};
/* Make docs known to ?name, completion and the manual.  rows is static, n entries. */
void lsy_docs(lua_State *L, const struct lsy_doc *rows, size_t n);
#define LSY_DOCS(L, rows) lsy_docs(L, rows, sizeof(rows) / sizeof *(rows))

struct sy_op;
/* [-0, +1, m]  "x:sum(dim=all) -> y" */
void lsy_push_signature(lua_State *L, const struct sy_op *op);

#endif
