/* See names.h. */
#include "run/names.h"

#include "base/hash.h"
#include "base/mem.h"

#include <string.h>

/* The slot of a name, or the empty one where it belongs. */
static size_t slot_of(const struct sy_names *n, const char *name)
{
    size_t at = (size_t)sy_hash_bytes(name, strlen(name)) & (n->nslots - 1);
    while (n->slots[at] && strcmp(n->list[n->slots[at] - 1], name))
        at = (at + 1) & (n->nslots - 1);
    return at;
}

int sy_names_find(const struct sy_names *n, const char *name)
{
    return n->nslots ? n->slots[slot_of(n, name)] - 1 : -1;
}

static int grow(struct sy_names *n)
{
    int room = n->room ? 2 * n->room : 32;
    const char **list = sy_realloc(n->list, (size_t)room * sizeof *list);
    if (list)
        n->list = list;
    int *slots = list ? sy_calloc((size_t)room * 2, sizeof *slots) : NULL;
    if (!slots)
        return -1;
    sy_free(n->slots);
    n->slots = slots;
    n->nslots = (size_t)room * 2;
    n->room = room;
    for (int i = 0; i < n->count; i++)
        n->slots[slot_of(n, n->list[i])] = i + 1;
    return 0;
}

int sy_names_add(struct sy_names *n, const char *name)
{
    if (n->count == n->room && grow(n))
        return -1;
    n->list[n->count] = name;
    n->slots[slot_of(n, name)] = n->count + 1;
    return n->count++;
}

void sy_names_free(struct sy_names *n)
{
    sy_free(n->list);
    sy_free(n->slots);
    *n = (struct sy_names)SY_NAMES_INIT;
}
