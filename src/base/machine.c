/* See machine.h.  Layer base.
 *
 *  1. Control groups, version 2: /sys/fs/cgroup/memory.max is our own group's in a container;
 *     outside of one the group's path stands in /proc/self/cgroup.  The smallest limit of the two
 *     counts.
 *  2. Of what a group uses, inactive pages of files are given back on demand. */
#include "base/machine.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define GROUPS "/sys/fs/cgroup"

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* The first number of a file; 0: there is none ("max"). */
static size_t number_in(const char *folder, const char *name)
{
    unsigned long long value = 0;
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    if (fscanf(f, "%llu", &value) != 1)
        value = 0;
    fclose(f);
    return (size_t)value;
}

/* The number behind a name at the beginning of a line. */
static size_t named_number(const char *path, const char *name)
{
    unsigned long long value = 0;
    char line[256];
    size_t n = strlen(name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, n) && sscanf(line + n, "%llu", &value) == 1)
            break;
    if (f)
        fclose(f);
    return (size_t)value;
}

/* The folder of our group, or "". */
static const char *own_group(char *folder, size_t room)
{
    char line[400];
    FILE *f = fopen("/proc/self/cgroup", "r");
    *folder = 0;
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, "0::/", 4) && line[4])
            snprintf(folder, room, "%s%s", GROUPS, line + 3);
    }
    if (f)
        fclose(f);
    return folder;
}

/* Bytes that a group leaves, or SIZE_MAX. */
static size_t left_in(const char *folder)
{
    char path[512];
    size_t limit = *folder ? number_in(folder, "memory.max") : 0;
    if (!limit)
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    size_t used = number_in(folder, "memory.current"), files = named_number(path, "inactive_file");
    used -= least(files, used);
    return limit - least(used, limit);
}

static size_t pages_of(long n)
{
    long page = sysconf(_SC_PAGESIZE);
    return n > 0 && page > 0 ? (size_t)n * (size_t)page : 0;
}

static size_t pages(int which)
{
    return pages_of(sysconf(which));
}

/* Bytes of addresses that the process may have (ulimit -v), or SIZE_MAX. */
static size_t addresses(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return (size_t)limit.rlim_cur;
}

static size_t addresses_left(void)
{
    size_t all = addresses();
    return all == SIZE_MAX ? all : all - least(all, number_in("/proc/self", "statm") * pages_of(1));
}

size_t sy_machine_memory(void)
{
    static _Atomic size_t known;
    char folder[512];
    if (known)
        return known;
    size_t all = pages(_SC_PHYS_PAGES);
    size_t group = number_in(GROUPS, "memory.max"),
           own = number_in(own_group(folder, sizeof folder), "memory.max");
    all = all ? all : (size_t)4 << 30;
    all = group ? least(all, group) : all;
    all = own ? least(all, own) : all;
    all = least(all, addresses());
    known = all;
    return all;
}

size_t sy_machine_available(void)
{
    char folder[512];
    size_t kilobytes = named_number("/proc/meminfo", "MemAvailable:");
    size_t all = kilobytes ? kilobytes << 10 : pages(_SC_AVPHYS_PAGES);
    all = least(least(all, left_in(GROUPS)), left_in(own_group(folder, sizeof folder)));
    return least(all, addresses_left());
}

size_t sy_machine_resident(void)
{
    unsigned long long pages_in = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%*u %llu", &pages_in) != 1)
        pages_in = 0;
    if (f)
        fclose(f);
    return (size_t)pages_in * pages_of(1);
}
