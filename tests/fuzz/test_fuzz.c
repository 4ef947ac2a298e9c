/* The corpus of every fuzz target: each file of corpus/NAME/ as it is, cut at every place (see
 * WHOLE), and with 1,000 bits flipped one at a time; those of corpus/NAME/found/, which libFuzzer
 * found to reach what the others do not, as they are and with a few bits flipped.  SY_TEST_FAST:
 * fewer cuts and flips.  Deterministic; meant for AddressSanitizer, anywhere it must come
 * through, give all memory back and never take much.  `test_fuzz --seeds DIR` writes what is made
 * here into DIR/NAME/. */
#include "fuzz/fuzz.h"
#include "unit/tap.h"

#include "base/mem.h"
#include "run/series_codec.h"
#include "run/metrics.h"
#include "run/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FLIPS 1000
#define FLIPS_FOUND 20
#define WHOLE (16 << 10) /* a longer file is cut at CUTS places, evenly; fast, one over CUTS is */
#define CUTS 512
#define SIZE_MOST (1 << 20)
#define MEMORY_MOST ((size_t)64 << 20)

static uint8_t buffer[SIZE_MOST];

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

static void run(const struct fuzz_target *t, const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    t->run(copy, n);
    free(copy);
}

/* How many inputs were run. */
static int64_t torment(const struct fuzz_target *t, uint8_t *data, size_t n, int flips, int cuts)
{
    uint64_t seed = 0x9e3779b97f4a7c15u ^ n;
    int64_t runs = 1 + flips;
    bool each = n <= (tap_fast() ? CUTS : WHOLE);
    size_t by = cuts && !each ? n / (size_t)cuts : 1;
    run(t, data, n);
    for (size_t cut = 0; cuts && cut < n; cut += by, runs++)
        run(t, data, cut);
    for (int i = 0; i < flips && n; i++) {
        size_t bit = draw(&seed) % (8 * n);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        run(t, data, n);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    return runs;
}

static size_t load(const char *path)
{
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(buffer, 1, sizeof buffer, f) : 0;
    if (f)
        fclose(f);
    return n;
}

/* A run with some of everything, of three chunks a series. */
static const char *make_store(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_store_config c = {
        .dir = fuzz_path("seed"), .name = "seed", .config = "{\"lr\":0.1}", .steps = 600};
    struct sy_metrics *m = sy_metrics_new(&err);
    mkdir(c.dir, 0700);
    struct sy_store *s = sy_store_create(&c, &err);
    int loss = sy_metrics_series(m, "loss", 1, &err),
        load_ = sy_metrics_series(m, "load.1", 4, &err);
    for (int step = 1; step <= 600; step++) {
        float values[4] = {(float)(step % 7), 1, 2.5f, 0};
        sy_metrics_add(m, loss, step, values + 1);
        sy_metrics_add(m, load_, step, values);
    }
    if (!s || sy_store_attach(s, m, NULL, NULL, &err) || sy_store_flush(s, &err))
        tap_note("store: %s", err.msg);
    for (int t = SY_STORE_JOURNAL; s && t <= SY_STORE_CODE; t++)
        sy_store_add(s, (enum sy_store_table)t, 3, "note", "a text", "data", 4, &err);
    sy_store_close(s, &err);
    sy_metrics_free(m);
    return fuzz_path("seed/seed/run.sqlite");
}

struct tally {
    int64_t runs;
    int files;
    size_t live; /* after the first file, which takes what is taken once */
};

static void torment_folder(const struct fuzz_target *t, const char *folder, int flips, int cuts,
                           struct tally *sum)
{
    char path[1024];
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "found"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        sum->runs += torment(t, buffer, load(path), flips, cuts);
        sum->live = sum->files++ ? sum->live : sy_mem_live();
    }
    if (d)
        closedir(d);
}

static void test_target(const struct fuzz_target *t, const char *folder)
{
    char path[1024];
    int flips = tap_fast() ? FLIPS / 10 : FLIPS;
    struct tally sum = {0};
    snprintf(path, sizeof path, "%s/%s", folder, t->name);
    torment_folder(t, path, flips, CUTS, &sum);
    int named = sum.files;
    snprintf(path, sizeof path, "%s/%s/found", folder, t->name);
    torment_folder(t, path, FLIPS_FOUND, 0, &sum);
    if (!strcmp(t->name, "store")) {
        sum.runs += torment(t, buffer, load(make_store()), flips, CUTS);
        sum.live = sy_mem_live();
        sum.runs += torment(t, buffer, load(fuzz_path("seed/seed/run.sqlite")), 10, 0);
    }
    tap_ok(named > 0 && sum.files > named && sum.runs > 100 && sy_mem_live() <= sum.live,
           "%s: %d files, %lld inputs, %lld bytes stay", t->name, sum.files, (long long)sum.runs,
           (long long)sy_mem_live() - (long long)sum.live);
}

/* A chunk as the target of that name takes it: packed or not, of a scalar or of loads; or packed so
 * well that it is filled up. */
static void write_chunk(const char *dir, const char *kind, int width)
{
    static float values[SY_CHUNK_ROWS * 4];
    int64_t steps[SY_CHUNK_ROWS];
    struct sy_str s = SY_STR_INIT;
    char path[700];
    bool packed = strcmp(kind, "plain") != 0, filled = !strcmp(kind, "filled");
    int rows = packed ? SY_CHUNK_ROWS : 3;
    sy_str_add(&s, (unsigned char[]){(unsigned char)width, 0}, 2);
    for (int i = 0; i < rows * width; i++)
        values[i] = filled ? 0 : (float)(i % 7);
    for (int i = 0; i < rows; i++)
        steps[i] = packed ? 10 * i : i * i;
    sy__chunk_encode(&s, steps, values, rows, width);
    snprintf(path, sizeof path, "%s/chunk/%s%d", dir, kind, width);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(s.data, 1, s.len, f) != s.len || fclose(f))
        tap_note("cannot write %s", path);
    sy_str_free(&s);
}

static int write_seeds(const char *dir)
{
    char command[700];
    snprintf(command, sizeof command, "mkdir -p '%s/chunk'", dir);
    if (system(command))
        return 1;
    static const char *const kinds[] = {"plain", "packed", "filled"};
    for (int i = 0; i < 6; i++)
        write_chunk(dir, kinds[i / 2], i % 2 ? 4 : 1);
    snprintf(command, sizeof command, "mkdir -p '%s/store' && cp '%s' '%s/store/run.sqlite'", dir,
             make_store(), dir);
    return system(command) != 0;
}

int main(int argc, char **argv)
{
    char folder[400];
    const char *source = getenv("srcdir");
    if (argc == 3 && !strcmp(argv[1], "--seeds"))
        return write_seeds(argv[2]);
    snprintf(folder, sizeof folder, "%s/tests/fuzz/corpus", source ? source : ".");
    for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
        test_target(t, folder);
    tap_ok(sy_mem_peak() < MEMORY_MOST, "at most %zu bytes at a time", sy_mem_peak());
    return tap_done();
}
