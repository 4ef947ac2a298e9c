/* See mapping.h.  A SIGBUS within a mapping lays zeros over it from that page on and marks it as
 * broken for ever; the handler reads atomics and calls mmap. */
#include "base/mapping.h"

#include "base/bus.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAPPINGS = 1024 };

/* What the handler looks at.  A place is free before its bytes are unmapped, so no address of
 * another mapping is ever within one that is taken. */
static struct place {
    atomic_uintptr_t at; /* 0: free; UINTPTR_MAX: being made */
    atomic_size_t bytes;
    atomic_bool broken;
} places[MAPPINGS];

struct sy_mapping {
    struct place *place;
    unsigned char *data;
    char *path;
    int fd;
    uint64_t size;
    struct timespec modified;
};

static bool lay_zeros(uintptr_t at)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = at / page * page;
    for (int i = 0; i < MAPPINGS; i++) {
        const uintptr_t begin = atomic_load(&places[i].at);
        const size_t bytes = atomic_load(&places[i].bytes);
        if (!begin || begin == UINTPTR_MAX || at < begin || at - begin >= bytes ||
            atomic_load(&places[i].at) != begin) /* taken anew meanwhile: not its bytes */
            continue;
        atomic_store(&places[i].broken, true);
        return mmap((void *)from, bytes - (from - begin), PROT_READ,
                    MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    }
    return false;
}

static struct place *take_place(void)
{
    for (int i = 0; i < MAPPINGS; i++) {
        uintptr_t none = 0;
        if (atomic_compare_exchange_strong(&places[i].at, &none, UINTPTR_MAX))
            return &places[i];
    }
    return NULL;
}

/* Everything but the bytes. */
static struct sy_mapping *open_mapping(int fd, const char *op, const char *path, struct sy_err *err)
{
    struct stat st;
    struct sy_mapping *m = sy_calloc(1, sizeof *m);
    if (!m || !(m->path = sy_strdup(path))) {
        sy_free(m);
        sy_err_set(err, SY_E_MEMORY, "%s: out of memory mapping %s", op, path);
        return NULL;
    }
    m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (m->fd < 0 || fstat(m->fd, &st))
        sy_err_sys(err, errno, "%s: cannot map %s", op, path);
    else if (st.st_size <= 0)
        sy_err_set(err, SY_E_IO, "%s: cannot map %s: it is empty", op, path);
    else if (!(m->place = take_place()))
        sy_err_set(err, SY_E_IO, "%s: cannot map %s: %d files are mapped", op, path, MAPPINGS);
    else {
        m->size = (uint64_t)st.st_size;
        m->modified = st.st_mtim;
        return m;
    }
    sy_mapping_close(m);
    return NULL;
}

struct sy_mapping *sy_mapping_open(int fd, const char *op, const char *path, struct sy_err *err)
{
    struct sy_mapping *m = open_mapping(fd, op, path, err);
    if (!m)
        return NULL;
    void *data = mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, m->fd, 0);
    if (data == MAP_FAILED) {
        sy_err_sys(err, errno, "%s: cannot map %s", op, path);
        sy_mapping_close(m);
        return NULL;
    }
    m->data = data;
    atomic_store(&m->place->bytes, (size_t)m->size);
    atomic_store(&m->place->broken, false);
    atomic_store(&m->place->at, (uintptr_t)data);
    sy_bus_mind(lay_zeros);
    return m;
}

void sy_mapping_close(struct sy_mapping *m)
{
    if (!m)
        return;
    if (m->place)
        atomic_store(&m->place->at, 0);
    if (m->data)
        munmap(m->data, m->size);
    if (m->fd >= 0)
        close(m->fd);
    sy_free(m->path);
    sy_free(m);
}

const unsigned char *sy_mapping_data(const struct sy_mapping *m) { return m->data; }
uint64_t sy_mapping_size(const struct sy_mapping *m) { return m->size; }
const char *sy_mapping_path(const struct sy_mapping *m) { return m->path; }

int sy_mapping_check(const struct sy_mapping *m, const char *op, struct sy_err *err)
{
    struct stat st;
    if (fstat(m->fd, &st))
        return sy_err_sys(err, errno, "%s: cannot look at %s, which is mapped", op, m->path);
    if ((uint64_t)st.st_size != m->size)
        return sy_err_set(err, SY_E_IO,
                          "%s: %s changed while it was mapped: it has %" PRIu64
                          " bytes, had %" PRIu64, op, m->path, (uint64_t)st.st_size, m->size);
    if (atomic_load(&m->place->broken) || st.st_mtim.tv_sec != m->modified.tv_sec ||
        st.st_mtim.tv_nsec != m->modified.tv_nsec)
        return sy_err_set(err, SY_E_IO, "%s: %s changed while it was mapped: it was written to", op,
                          m->path);
    return 0;
}
