/* run.sqlite-shm, the index of SQLite's log, is a mapped file: when somebody cuts it, our next
 * access raises SIGBUS.  The handler here makes the file as long as it was, with zeros, and the
 * access goes on; what was read then cannot be believed, so:
 *
 *     more such cuts than at the last look --> the transaction is rolled back, the index's header
 *                                              cleared, and SQLite makes the index anew
 *
 *  1. The log itself is untouched, so nothing that was committed is lost.
 *  2. Only mappings that SQLite made are looked after (base/bus.h).
 *  3. The handler reads atomics, and calls ftruncate and mmap. */
#include "run/store_int.h"

#include "base/bus.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* bytes: two copies of the header, and what readers have read */
enum { REGIONS = 512, FAULTS_MOST = 1000, HEADER = 136 };

static struct region {
    atomic_uintptr_t at; /* 0: free */
    size_t bytes;
    off_t offset;
    int fd;
    atomic_uint faults;
} regions[REGIONS];

static atomic_uint cuts;

unsigned sy__shm_cuts(void) { return atomic_load(&cuts); }

static struct region *region_of(uintptr_t at)
{
    for (int i = 0; i < REGIONS; i++) {
        uintptr_t begin = atomic_load(&regions[i].at);
        if (begin && at >= begin && at - begin < regions[i].bytes)
            return &regions[i];
    }
    return NULL;
}

static bool lengthen(uintptr_t at)
{
    struct region *r = region_of(at);
    if (!r)
        return false;
    struct stat st;
    off_t end = r->offset + (off_t)r->bytes;
    bool failed = fstat(r->fd, &st) || (st.st_size < end && ftruncate(r->fd, end));
    atomic_fetch_add(&cuts, 1);
    /* Long enough already: another thread was first, unless that goes on (a full disk). */
    if (failed || atomic_fetch_add(&r->faults, 1) > FAULTS_MOST)
        mmap((void *)atomic_load(&r->at), r->bytes, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return true;
}

/* ---- what SQLite maps ---- */

static void *noted_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    void *p = mmap(at, n, protection, flags, fd, offset);
    for (int i = 0; p != MAP_FAILED && i < REGIONS; i++) {
        uintptr_t none = 0;
        if (!atomic_compare_exchange_strong(&regions[i].at, &none, UINTPTR_MAX))
            continue;
        regions[i].bytes = n;
        regions[i].offset = offset;
        regions[i].fd = fd;
        atomic_store(&regions[i].faults, 0);
        atomic_store(&regions[i].at, (uintptr_t)p);
        break;
    }
    return p;
}

static int noted_munmap(void *at, size_t n)
{
    for (int i = 0; i < REGIONS; i++)
        if (atomic_load(&regions[i].at) == (uintptr_t)at)
            atomic_store(&regions[i].at, 0);
    return munmap(at, n);
}

static void set_up(void)
{
    sqlite3_vfs *v = sqlite3_vfs_find(NULL);
    if (!v || v->iVersion < 3 || v->xSetSystemCall(v, "mmap", (sqlite3_syscall_ptr)noted_mmap) ||
        v->xSetSystemCall(v, "munmap", (sqlite3_syscall_ptr)noted_munmap))
        return;
    sy_bus_mind(lengthen);
}

void sy__shm_mind(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
}

/* ---- an index that is not to be believed ---- */

void sy__shm_forget(const struct stat *file)
{
    for (int i = 0; i < REGIONS; i++) {
        struct stat st;
        uintptr_t at = atomic_load(&regions[i].at);
        if (at && at != UINTPTR_MAX && !regions[i].offset && !fstat(regions[i].fd, &st) &&
            st.st_dev == file->st_dev && st.st_ino == file->st_ino)
            memset((void *)at, 0, HEADER);
    }
}
