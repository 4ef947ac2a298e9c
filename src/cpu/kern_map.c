/* Names of the elementwise functions, from the list in cpu/kern_map.h. */
#include "cpu/kern_map.h"

#define NAME_OF(NAME, name, needs) #name,
#define NEEDS_OF(NAME, name, needs) #needs[0],
const char *const sy_unary_names[SY_UNARY_COUNT] = {SY_UNARY_MAP(NAME_OF)};
const char sy_unary_needs[SY_UNARY_COUNT] = {SY_UNARY_MAP(NEEDS_OF)};
