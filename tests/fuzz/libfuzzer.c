/* libFuzzer's entry for the target that FUZZ_TARGET names: see `make fuzz` in tests/local.mk. */
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct fuzz_target *t;
    if (!t)
        for (t = fuzz_targets; t->name && strcmp(t->name, FUZZ_TARGET);)
            t++;
    if (!t->name)
        abort();
    /* an exact copy on the heap, so that a read past the end is seen */
    uint8_t *copy = malloc(n ? n : 1);
    if (n)
        memcpy(copy, data, n);
    t->run(copy, n);
    free(copy);
    return 0;
}
