/* Readers of hostile files as fuzz targets.  A target takes any bytes and must return: no crash, no
 * leak, no memory beyond the input's size times a constant. */
#ifndef SY_TESTS_FUZZ_H
#define SY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
    const char *name; /* also of its folder in corpus/ */
    void (*run)(const uint8_t *data, size_t n);
};
extern const struct fuzz_target fuzz_targets[]; /* up to one without a name */

/* A file of this name in a folder of this process (removed at its end).  Valid until the next call
 * but three. */
const char *fuzz_path(const char *name);

#endif
