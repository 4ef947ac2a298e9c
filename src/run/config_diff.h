/* What tells runs apart: the options whose values differ between their configurations.  Layer run.
 *
 * Options have the names by which they are set: `lr` of train, `model.experts`, `data.path`; hashes
 * of text and tokenizer stand as `data` and `tokenizer`.  What always differs (where a run was
 * started, how many steps it has, which the table of runs shows) is not among them. */
#ifndef SY_RUN_CONFIG_DIFF_H
#define SY_RUN_CONFIG_DIFF_H

#include "switchyard/err.h"

#include <stddef.h>

struct sy_difference {
    char *option;  /* owned */
    /* [n] owned: "0.001", "adamw", "{aux=0.01, z=0.001}"; NULL: this run has no such option */
    char **values;
    const char *usual; /* the value that most runs have; one of values */
};

struct sy_differences {
    int count, runs;
    struct sy_difference *list;
    size_t room;
};

/* configs[n]: JSON, as stores have them; one that cannot be read has no options.  By the order in
 * which the options stand in the configurations.  MEMORY. */
int sy_config_diff(const char *const *configs, int n, struct sy_differences *out,
                   struct sy_err *err);
void sy_differences_free(struct sy_differences *d);
/* Of run i, the options that are not as in most: "lr=0.003 model.experts=16", owned; "" when all
 * are.  NULL without memory. */
char *sy_difference_of(const struct sy_differences *d, int i);

#endif
