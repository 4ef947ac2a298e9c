/* See names.h. */
#include "run/names.h"

#include "base/grow.h"
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

static int grow_slots(struct sy_names *n)
{
    size_t nslots = n->nslots ? 2 * n->nslots : 64;
    int *slots = SY_GROW(n->list, n->room, nslots / 2) ? NULL : sy_calloc(nslots, sizeof *slots);
    if (!slots)
        return -1;
    sy_free(n->slots);
    n->slots = slots;
    n->nslots = nslots;
    for (int i = 0; i < n->count; i++)
        n->slots[slot_of(n, n->list[i])] = i + 1;
    return 0;
}

int sy_names_add(struct sy_names *n, const char *name)
{
    if (2 * (size_t)n->count == n->nslots && grow_slots(n))
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
