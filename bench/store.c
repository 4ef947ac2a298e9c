/* bench/store: what the store of a run costs: the trainer, the disk, and whoever opens it.
 *
 *     bench/store [steps, 100000] [layers, 6] [experts, 64] [folder, /tmp]
 *
 * A thread adds the rows of a training run (9 scalars, and 5 scalars and the loads of a layer) as
 * fast as it can while the store writes them; "alone" is the same without a store.  "processor"
 * leaves out what a busy machine adds. */
#include "run/store.h"
#include "base/clock.h"
#include "run/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int64_t steps = 100000;
static int layers = 6, experts = 64;
static uint64_t state = 88172645463325252u;

static float noise(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (float)(state >> 40) * 0x1p-24f;
}

static double own_processor(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct cost {
    double wall, processor; /* nanoseconds a row */
    double worst;           /* seconds: slowest step */
};

static struct cost train(struct sy_metrics *m)
{
    static const char *const scalars[9] = {"loss",           "lr",        "grad_norm",
                                           "tok_s",          "time.data", "time.compute",
                                           "time.optimizer", "tokens",    "mfu"};
    static const char *const parts[5] = {"entropy", "balance", "z", "drops", "bias"};
    static float loads[64][4096];
    int number[9], part[64][5], load[64];
    char name[64];
    for (int i = 0; i < 9; i++)
        number[i] = sy_metrics_series(m, scalars[i], 1, NULL);
    for (int l = 0; l < layers; l++) {
        for (int i = 0; i < 5; i++) {
            snprintf(name, sizeof name, "%s.%d", parts[i], l + 1);
            part[l][i] = sy_metrics_series(m, name, 1, NULL);
        }
        snprintf(name, sizeof name, "load.%d", l + 1);
        load[l] = sy_metrics_series(m, name, experts, NULL);
    }
    struct cost c = {0};
    double rows = (double)(steps * (9 + 6 * layers));
    for (int64_t step = 1; step <= steps; step++) {
        float v = 2 + 8 / sqrtf((float)step) + noise() * 0.1f;
        for (int l = 0; l < layers; l++)
            for (int e = 0; e < experts; e++)
                loads[l][e] = 0.5f + noise();
        double start = sy_now(), used = own_processor();
        for (int i = 0; i < 9; i++)
            sy_metrics_add(m, number[i], step, &v);
        for (int l = 0; l < layers; l++) {
            for (int i = 0; i < 5; i++)
                sy_metrics_add(m, part[l][i], step, &v);
            sy_metrics_add(m, load[l], step, loads[l]);
        }
        double t = sy_now() - start;
        c.processor += (own_processor() - used) / rows * 1e9;
        c.wall += t / rows * 1e9;
        c.worst = t > c.worst ? t : c.worst;
    }
    return c;
}

static double processor(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static int fail(const struct sy_err *err)
{
    fprintf(stderr, "%s\n", err->msg);
    return 1;
}

static int open_and_look(const char *dir, struct sy_err *err)
{
    struct sy_store_info info;
    struct sy_history h;
    double best[3] = {1e9, 1e9, 1e9}, bytes = 0;
    int count = 0;
    for (int round = 0; round < 7; round++) {
        double start = sy_now();
        struct sy_store *s = sy_store_open_read(dir, "bench", err);
        if (!s || sy_store_info(s, &info, err))
            return -1;
        struct sy_store_series *list = sy_store_series(s, &count, err);
        best[0] = fmin(best[0], sy_now() - start);
        start = sy_now();
        if (!list || sy_store_history(s, "loss", 0, 0, INT64_MAX, &h, err))
            return -1;
        best[1] = fmin(best[1], sy_now() - start);
        sy_history_free(&h);
        start = sy_now();
        if (sy_store_history(s, "load.1", 3, 0, INT64_MAX, &h, err))
            return -1;
        best[2] = fmin(best[2], sy_now() - start);
        sy_history_free(&h);
        bytes = (double)info.bytes;
        sy_store_series_free(list, count);
        sy_store_info_free(&info);
        sy_store_close(s, NULL);
    }
    printf("on disk         %.1f MB for %d series\n", bytes / 1e6, count);
    printf("open            %.1f ms (status, names, counts, newest values, sparkline)\n",
           best[0] * 1e3);
    printf("history         %.1f ms a scalar, %.1f ms a column of loads\n", best[1] * 1e3,
           best[2] * 1e3);
    return 0;
}

int main(int argc, char **argv)
{
    struct sy_err err = SY_ERR_INIT;
    char dir[256], command[300];
    if (argc > 1)
        steps = atoll(argv[1]);
    if (argc > 2)
        layers = atoi(argv[2]);
    if (argc > 3)
        experts = atoi(argv[3]);
    if (steps < 1 || layers < 0 || layers > 64 || experts < 1 || experts > 4096)
        return 2;
    snprintf(dir, sizeof dir, "%s/sy-bench-XXXXXX", argc > 4 ? argv[4] : "/tmp");
    if (!mkdtemp(dir))
        return 1;
    struct sy_metrics *m = sy_metrics_new(&err);
    struct cost alone = train(m);
    sy_metrics_free(m);
    m = sy_metrics_new(&err);
    struct sy_store_config c = {.dir = dir, .name = "bench", .steps = steps};
    struct sy_store *s = sy_store_create(&c, &err);
    if (!s || sy_store_attach(s, m, NULL, NULL, &err))
        return fail(&err);
    double before = processor(), start = sy_now();
    struct cost row = train(m);
    double took = sy_now() - start;
    printf("a row           %.0f ns (%.0f processor), alone %.0f ns (%.0f processor)\n", row.wall,
           row.processor, alone.wall, alone.processor);
    printf("slowest step    %.2f ms, alone %.2f ms\n", row.worst * 1e3, alone.worst * 1e3);
    if (sy_store_flush(s, &err) || sy_store_close(s, &err))
        return fail(&err);
    printf("all written     %.2f s after the last of %.2f s; %.2f s of processor in all\n",
           sy_now() - start - took, took, processor() - before);
    if (open_and_look(dir, &err))
        return fail(&err);
    s = sy_store_open(dir, "bench", &err);
    if (!s)
        return fail(&err);
    start = sy_now();
    for (int i = 0; i < 20; i++)
        sy_store_add(s, SY_STORE_JOURNAL, 1, "set", "lr = 0.001", NULL, 0, &err);
    printf("journal         %.2f ms an entry, synced\n", (sy_now() - start) / 20 * 1e3);
    start = sy_now();
    before = processor();
    if (sy_store_truncate(s, steps / 2, INT64_MAX, &err))
        return fail(&err);
    printf("rewind by half  %.1f ms (%.1f processor)\n", (sy_now() - start) * 1e3,
           (processor() - before) * 1e3);
    sy_store_close(s, NULL);
    sy_metrics_free(m);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) ? 1 : 0;
}
