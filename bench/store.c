/* bench/store: what the store of a run costs: the trainer, the disk, and whoever opens it.
 *
 *     bench/store RUN [steps, 100000] [folder, /tmp]
 *
 * RUN is the folder of a real run (bench/store.lua makes one of 6 layers x 64 experts): its series,
 * with their rows and values, are repeated up to the number of steps, as fast as a thread can add
 * them while the store writes them.  "alone" is the same without a store; "processor" leaves out
 * what a busy machine adds.  The list of series and how often each gets a row are so the trainer's
 * own. */
#include "run/store.h"
#include "base/clock.h"
#include "run/metrics.h"

#include <inttypes.h>
#include <libgen.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SERIES_MOST 4096

static int64_t steps = 100000;

static struct series {
    const char *name;
    int width, number;
    struct sy_history rows;
    int64_t at; /* the row that comes next */
} series[SERIES_MOST];
static int count;
static int64_t period; /* steps of the run that is repeated */

static int read_run(char *path, struct sy_err *err)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    struct sy_store *s = sy_store_open_read(dirname(copy), basename(path), err);
    struct sy_store_series *list = s ? sy_store_series(s, &count, err) : NULL;
    if (!list || count > SERIES_MOST)
        return -1;
    for (int i = 0; i < count; i++) {
        series[i] = (struct series){.name = list[i].name, .width = list[i].width};
        if (sy_store_history(s, list[i].name, -1, 1, INT64_MAX, &series[i].rows, err))
            return -1;
        period = list[i].last_step > period ? list[i].last_step : period;
    }
    return sy_store_close(s, err); /* names and rows stay, to the end */
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
    double rows;
};

/* Add the rows that the run has at the step which stands for this one. */
static int add_step(struct sy_metrics *m, int64_t step)
{
    int64_t like = (step - 1) % period + 1;
    int added = 0;
    for (int i = 0; i < count; i++) {
        struct series *e = &series[i];
        if (like == 1)
            e->at = 0;
        if (e->at < e->rows.count && e->rows.steps[e->at] == like) {
            sy_metrics_add(m, e->number, step, e->rows.values + e->at++ * e->width);
            added++;
        }
    }
    return added;
}

static struct cost train(struct sy_metrics *m)
{
    struct cost c = {0};
    double used = own_processor(), begin = sy_now();
    for (int i = 0; i < count; i++)
        series[i].number = sy_metrics_series(m, series[i].name, series[i].width, NULL);
    for (int64_t step = 1; step <= steps; step++) {
        double start = sy_now();
        c.rows += add_step(m, step);
        c.worst = fmax(c.worst, sy_now() - start);
    }
    c.wall = (sy_now() - begin) / c.rows * 1e9;
    c.processor = (own_processor() - used) / c.rows * 1e9;
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
    int n = 0;
    for (int round = 0; round < 7; round++) {
        double start = sy_now();
        struct sy_store *s = sy_store_open_read(dir, "bench", err);
        if (!s || sy_store_info(s, &info, err))
            return -1;
        struct sy_store_series *list = sy_store_series(s, &n, err);
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
        sy_store_series_free(list, n);
        sy_store_info_free(&info);
        sy_store_close(s, NULL);
    }
    printf("on disk         %.1f MB for %d series: %.0f bytes a step\n", bytes / 1e6, n,
           bytes / (double)steps);
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
    if (argc > 2)
        steps = atoll(argv[2]);
    if (argc < 2 || steps < 1) {
        fprintf(stderr, "usage: bench/store RUN [STEPS] [FOLDER]\n");
        return 2;
    }
    if (read_run(argv[1], &err) || period < 1)
        return fail(&err);
    snprintf(dir, sizeof dir, "%s/sy-bench-XXXXXX", argc > 3 ? argv[3] : "/tmp");
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
    printf("rows            %.1f a step, of %d series\n", row.rows / (double)steps, count);
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
