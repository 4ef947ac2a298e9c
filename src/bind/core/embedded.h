/* The Lua sources of lua/, carried inside the program: lua/embed.sh writes the table at build time.
 * A module's name is its path below lua/ with dots: lua/model/nn.lua is "nn", lua/a/b.lua is
 * "a.b". */
#ifndef SY_BIND_EMBEDDED_H
#define SY_BIND_EMBEDDED_H

#include <stddef.h>

struct sy_embedded {
    const char *name;
    const unsigned char *data; /* `size` bytes of source and a NUL */
    size_t size;
};

/* In the order of lua/local.mk; the last element's name is NULL. */
extern const struct sy_embedded sy_embedded_lua[];

#endif
