/* The list of optimizers.  See optimizer.h. */
#include "train/optimizers/optimizer.h"

#include <string.h>

static const struct sy_optimizer *const list[] = {
#define X(name) &sy__optimizer_##name,
    SY_OPTIMIZER_MAP(X)
#undef X
        NULL};

const struct sy_optimizer *sy_optimizer_at(int i) { return list[i]; }

const struct sy_optimizer *sy_optimizer_find(const char *name)
{
    int i = 0;
    while (list[i] && strcmp(list[i]->name, name) != 0)
        i++;
    return list[i];
}

static bool reads(const struct sy_optimizer *o, const char *hyper)
{
    for (int i = 0; i < SY_OPTIMIZER_READS && o->reads[i]; i++)
        if (!strcmp(o->reads[i], hyper))
            return true;
    return false;
}

bool sy_optimizer_ignores(const struct sy_optimizer *o, const char *hyper)
{
    bool known = false;
    for (int i = 0; list[i]; i++)
        known |= reads(list[i], hyper);
    return known && !reads(o, hyper);
}
