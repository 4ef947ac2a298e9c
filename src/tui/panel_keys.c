/* The list of keys as a table.  See panel_keys.def. */
#include "tui/panel.h"

#define SY_KEY(action, map, name, keys, shown, help)                                               \
    {SY_ACT_##action, SY_MAP_##map, name, keys, shown, help},
static const struct sy_key list[] = {
#include "tui/panel_keys.def"
};
#undef SY_KEY

const struct sy_key *sy_keys(int *n)
{
    *n = (int)(sizeof list / sizeof *list);
    return list;
}
