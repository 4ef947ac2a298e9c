/* See find.h. */
#include "base/find.h"

#include <string.h>

int sy_find_name(const void *rows, size_t n, size_t size, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        const char *of;
        memcpy(&of, (const char *)rows + i * size, sizeof of);
        if (!strcmp(of, name))
            return (int)i;
    }
    return -1;
}
