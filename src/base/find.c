/* See find.h. */
#include "base/find.h"

#include <string.h>

static const char *name_of(const void *row)
{
    const char *name;
    memcpy(&name, row, sizeof name);
    return name;
}

int sy_by_name(const void *a, const void *b)
{
    return strcmp(name_of(a), name_of(b));
}

int sy_find_name(const void *rows, size_t n, size_t size, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name_of((const char *)rows + i * size), name))
            return (int)i;
    return -1;
}
