/* Sources: live and stored ones, rewinds, what is left after closing; the board. */
#include "unit/tap.h"

#include "base/file.h"
#include "base/mem.h"
#include "run/source.h"
#include "run/metrics.h"
#include "run/store.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sy_metrics *m;
static int loss, load;

static void add(int64_t step, float v)
{
    float row[4] = {v, v + 1, v + 2, v + 3};
    sy_metrics_add(m, loss, step, row);
    sy_metrics_add(m, load, step, row);
}

static void give_status(void *ctx, struct sy_source_status *out)
{
    out->state = SY_RUN_RUNNING;
    out->step = *(int64_t *)ctx;
    out->live = true;
}

static int give_marks(void *ctx, int first, struct sy_mark *out, int n)
{
    (void)ctx;
    if (first > 0 || n < 1)
        return 0;
    out[0] = (struct sy_mark){.step = 7, .kind = SY_MARK_SET};
    return 1;
}

/* Sum of all that a reader gets after `after`, in pieces of 100 rows. */
static int64_t drain(struct sy_source *s, int series, int64_t after, double *sum)
{
    int64_t steps[100], n, rows = 0;
    float values[400];
    int width = sy_source_width(s, series);
    while ((n = sy_source_after(s, series, after, 100, steps, values)) > 0) {
        for (int64_t i = 0; i < n * width; i++)
            *sum += (double)values[i];
        after = steps[n - 1];
        rows += n;
    }
    return rows;
}

static void test_source(struct sy_source *s, int64_t rows, const char *what)
{
    double sum = 0, sums = 0, want = 0;
    float row[4] = {0};
    for (int64_t i = 1; i <= rows; i++)
        want += (double)(i % 8);
    int a = sy_source_find(s, "loss"), b = sy_source_find(s, "load.1");
    if (!tap_ok(a >= 0 && b >= 0 && sy_source_find(s, "nothing") < 0, "%s: series by name", what))
        return;
    tap_is_int(sy_source_width(s, b), 4, "%s: width", what);
    tap_is_int(drain(s, a, -1, &sum), rows, "%s: rows", what);
    tap_ok(sum == want, "%s: values", what);
    tap_is_int(drain(s, b, -1, &sums), rows, "%s: rows of a vector", what);
    tap_ok(sums == 4 * want + 6 * (double)rows, "%s: its values", what);
    int bad = 0;
    for (int64_t step = 1; step <= rows; step += 1 + step / 7) {
        bad += sy_source_at(s, b, 2 * step + 1, row) != 2 * step || row[3] != (float)(step % 8) + 3;
        bad += sy_source_after(s, a, 2 * step - 1, 1, &(int64_t){0}, row) != 1 ||
               row[0] != (float)(step % 8);
    }
    tap_is_int(bad, 0, "%s: any row by its step", what);
    tap_ok(sy_source_at(s, a, 1, row) == -1, "%s: no row before the first", what);
    tap_ok(sy_source_at(s, a, INT64_MAX, row) == 2 * rows, "%s: the newest row", what);
    tap_ok(sy_source_after(s, a, 2 * rows, 1, &(int64_t){0}, row) == 0, "%s: none after it", what);
}

/* Names of layers 1 and 3 and of two sources of data. */
static void test_called(struct sy_source *s, const char *what)
{
    char name[16] = "";
    tap_ok(sy_source_called(s, SY_SOURCE_LAYERS) == 3 && sy_source_called(s, SY_SOURCE_DATA) == 2,
           "%s: how many names it has", what);
    tap_ok(sy_source_name(s, SY_SOURCE_LAYERS, 3, name, sizeof name) && !strcmp(name, "dec 1"),
           "%s: a layer's", what);
    tap_ok(sy_source_name(s, SY_SOURCE_DATA, 2, name, sizeof name) && !strcmp(name, "fr"),
           "%s: a source's", what);
    tap_ok(!sy_source_name(s, SY_SOURCE_LAYERS, 2, name, sizeof name) &&
               !sy_source_name(s, SY_SOURCE_LAYERS, 0, name, sizeof name) &&
               !sy_source_name(s, SY_SOURCE_DATA, 3, name, sizeof name),
           "%s: none where none was given", what);
}

static void call_names(struct sy_source *s)
{
    static const char *const layers[] = {"enc 1", "", "dec 1"};
    for (int i = 0; i < 3; i++)
        sy_source_call(s, SY_SOURCE_LAYERS, layers[i]);
    sy_source_call(s, SY_SOURCE_DATA, "de");
    sy_source_call(s, SY_SOURCE_DATA, "fr");
}

static void live(void)
{
    uint64_t seen = 0;
    int64_t step = 3000;
    struct sy_mark mark[2];
    struct sy_source_status st;
    m = sy_metrics_new(NULL);
    loss = sy_metrics_series(m, "loss", 1, NULL);
    load = sy_metrics_series(m, "load.1", 4, NULL);
    struct sy_live_run c = {"first", m, give_status, give_marks, &step};
    struct sy_source *s = sy_source_live(&c, NULL), *list[2];
    uint64_t version = sy_board_version();
    sy_board_add(s, NULL);
    tap_ok(sy_board_list(list, 2) == 1 && list[0] == s && sy_board_version() != version, "board");
    sy_source_unref(list[0]);
    for (int64_t i = 1; i <= 3000; i++)
        add(2 * i, (float)(i % 8));
    test_source(s, 3000, "live");
    call_names(s);
    test_called(s, "live");
    tap_ok(sy_source_cut(s, &seen) == INT64_MAX, "nothing was cut");
    sy_metrics_truncate(m, 400);
    sy_metrics_truncate(m, 300);
    sy_metrics_truncate(m, 350);
    tap_ok(sy_source_cut(s, &seen) == 300 && sy_source_cut(s, &seen) == INT64_MAX,
           "the deepest of three cuts, once");
    sy_source_status(s, &st);
    tap_ok(!strcmp(st.name, "first") && st.state == SY_RUN_RUNNING && st.step == 3000, "status");
    tap_is_int(sy_source_marks(s, 0, mark, 2), 1, "marks");
    sy_source_close(s);
    sy_board_remove(s);
    sy_metrics_free(m);
    step = 0;
    sy_source_status(s, &st);
    tap_ok(st.step == 3000, "after the end: the last status");
    tap_ok(sy_source_find(s, "load.1") == 1 && !strcmp(sy_source_series(s, 1), "load.1"),
           "names stay");
    tap_ok(sy_source_after(s, 0, -1, 2, (int64_t[2]){0}, (float[2]){0}) == 0, "no rows");
    sy_source_unref(s);
}

/* What an alarm is it says by its id; of before by its name, and never by a word somewhere in its
 * sentence. */
static void test_alarm_marks(const char *dir)
{
    static const struct {
        const char *id, *text;
        enum sy_mark_kind kind;
    } alarms[] = {
        {"DISK", "alarm: step 7: checkpoint: runs/loss spike/step-7 is not finite", SY_MARK_ALARM},
        {"", "alarm: step 7: checkpoint: runs/loss spike/step-7 is not finite", SY_MARK_ALARM},
        {"NORM", "a sentence", SY_MARK_SPIKE},
        {"", "alarm: step 7: gradient spike: 8 is 40 deviations over 1", SY_MARK_SPIKE},
        {"", "alarm: step 7: not finite: the loss is nan", SY_MARK_SPIKE},
        {"LATER", "alarm: step 7: loss spike of a newer program", SY_MARK_ALARM},
        {"", "gradient spike", SY_MARK_ALARM}};
    struct sy_store *store =
        sy_store_create(&(struct sy_store_config){.dir = dir, .name = "alarms"}, NULL);
    int n = (int)(sizeof alarms / sizeof *alarms);
    for (int i = 0; i < n; i++)
        sy_store_add(store, SY_STORE_EVENTS, 7, "alarm", alarms[i].text, alarms[i].id,
                     strlen(alarms[i].id), NULL);
    sy_store_close(store, NULL);
    struct sy_source *s = sy_source_stored(dir, "alarms", NULL);
    struct sy_mark marks[8];
    sy_source_poll(s);
    int got = sy_source_marks(s, 0, marks, 8);
    tap_is_int(got, n, "alarms are marks");
    for (int i = 0; i < got; i++)
        tap_is_int(marks[i].kind, (int)alarms[i].kind, "the mark of '%s' %s", alarms[i].id,
                   alarms[i].text);
    sy_source_unref(s);
}

static void stored(const char *dir)
{
    struct sy_store_config c = {
        .dir = dir, .name = "kept", .steps = 5000,
        .config = "{\"flops_per_token\":1000,\"layers\":[\"enc 1\",null,\"dec 1\"],"
                  "\"sources\":[\"de\",\"fr\"]}"};
    struct sy_store *store = sy_store_create(&c, NULL);
    m = sy_metrics_new(NULL);
    loss = sy_metrics_series(m, "loss", 1, NULL);
    load = sy_metrics_series(m, "load.1", 4, NULL);
    sy_store_attach(store, m, NULL, NULL, NULL);
    for (int64_t i = 1; i <= 700; i++)
        add(2 * i, (float)(i % 8));
    sy_store_flush(store, NULL);
    struct sy_source *s = sy_source_stored(dir, "kept", NULL);
    if (!tap_ok(s != NULL, "a store as a source"))
        return;
    test_source(s, 700, "stored");
    test_called(s, "stored");
    tap_ok(!sy_source_poll(s), "no news");
    sy_store_add(store, SY_STORE_JOURNAL, 200, "note", "hello", NULL, 0, NULL);
    test_alarm_marks(dir);
    for (int64_t i = 701; i <= 1500; i++)
        add(2 * i, (float)(i % 8));
    sy_store_flush(store, NULL);
    tap_ok(sy_source_poll(s) && !sy_source_poll(s), "news once");
    test_source(s, 1500, "stored, grown");
    struct sy_mark mark[4];
    tap_ok(sy_source_marks(s, 0, mark, 4) == 1 && mark[0].step == 200 &&
               mark[0].kind == SY_MARK_NOTE && !strcmp(mark[0].text, "hello"),
           "its marks");
    uint64_t seen = 0;
    tap_ok(sy_source_cut(s, &seen) == INT64_MAX, "growing is no cut");
    sy_store_truncate(store, 100, INT64_MAX, NULL);
    for (int64_t i = 51; i <= 1600; i++) /* past the old end before anyone looks */
        add(2 * i, (float)(i % 8) + 1);
    sy_store_flush(store, NULL);
    sy_source_poll(s);
    tap_ok(sy_source_cut(s, &seen) == -1, "a rewind is seen by what the rows say");
    tap_is_int(sy_source_marks(s, 0, mark, 4), 0, "marks that left the timeline are gone");
    struct sy_source_status st;
    sy_source_status(s, &st);
    tap_ok(st.live && st.steps == 5000 && st.flops_per_token == 1000, "status of a live store");
    sy_store_close(store, NULL);
    sy_source_poll(s);
    sy_source_status(s, &st);
    tap_ok(!st.live, "and when its owner is gone");
    sy_metrics_free(m);
    sy_source_unref(s);
}

static atomic_bool quit;

static void *look_on(void *arg)
{
    struct sy_source_status st;
    double sum = 0;
    while (!atomic_load(&quit)) {
        sy_source_status(arg, &st);
        for (int i = 0; i < sy_source_count(arg); i++)
            drain(arg, i, -1, &sum);
    }
    return NULL;
}

/* Two look on while one trains, and the run goes away under them (for ThreadSanitizer). */
static void threads(void)
{
    pthread_t who[2];
    int64_t step = 0;
    m = sy_metrics_new(NULL);
    loss = sy_metrics_series(m, "loss", 1, NULL);
    load = sy_metrics_series(m, "load.1", 4, NULL);
    struct sy_live_run c = {"busy", m, give_status, give_marks, &step};
    struct sy_source *s = sy_source_live(&c, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&who[i], NULL, look_on, s);
    for (int64_t i = 1; i <= 20000; i++)
        add(i, 1);
    sy_metrics_truncate(m, 50);
    sy_source_close(s);
    sy_metrics_free(m);
    atomic_store(&quit, true);
    for (int i = 0; i < 2; i++)
        pthread_join(who[i], NULL);
    sy_source_unref(s);
    tap_ok(true, "a run closed under those who look on");
}

int main(void)
{
    char dir[] = "/tmp/sy-board-XXXXXX", command[64];
    if (!mkdtemp(dir))
        return 99;
    live();
    stored(dir);
    threads();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) | tap_done();
}
