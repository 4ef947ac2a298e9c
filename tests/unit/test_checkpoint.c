/* Checkpoints: what was saved comes back, from every step and with any number of threads; what is
 * damaged is refused; what fails leaves the older ones and the run as they were. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "io/sys.h"
#include "train/checkpoint.h"
#include "train/params.h"
#include "train/trainer_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64];

static void sh(const char *fmt, const char *a, const char *b)
{
    struct sy_str s = SY_STR_INIT;
    sy_str_printf(&s, fmt, a, b); /* NOLINT: ours */
    if (system(s.data))
        tap_note("failed: %s", s.data);
    sy_str_free(&s);
}

static const char *fresh(const char *name)
{
    static char path[4][128];
    static int at;
    char *p = path[at++ % 4];
    snprintf(p, 128, "%s/%s", root, name);
    sh("rm -rf '%s'%s", p, "");
    return p;
}

static struct sy_trainer *make(int64_t steps, int64_t accumulate, int64_t every, const char *dir)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {
        .steps = steps, .accumulate = accumulate, .checkpoint_every = every, .seed = 1};
    struct sy_trainer *t = tiny_trainer(&o, &err);
    if (!t || (dir && sy_trainer_set_dir(t, dir, 2, 0, &err))) {
        tap_ok(0, "a trainer: %s", err.msg);
        exit(1);
    }
    return t;
}

/* Hash after `steps` undisturbed steps. */
static uint64_t undisturbed(int64_t steps, int64_t accumulate)
{
    struct sy_trainer *t = make(steps, accumulate, 0, NULL);
    tiny_run_to(t, steps);
    uint64_t h = tiny_hash(t);
    sy_trainer_free(t);
    return h;
}

static void test_equality(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("equal");
    char path[SY_PATH_MAX];
    struct sy_trainer *a = make(40, 1, 0, dir), *b = make(40, 1, 0, NULL);
    tiny_run_to(a, 7);
    uint64_t promised = sy_checkpoint_bytes(a);
    tap_ok(!sy_trainer_checkpoint(a, path, sizeof path, &err), "saved at step 7: %s", err.msg);
    struct sy_saved s;
    tap_ok(sy_trainer_saved(a, &s) && s.ok && s.step == 7 && !strcmp(s.path, path), "said so: %s",
           path);
    tap_ok(s.bytes <= promised && s.bytes > promised / 2, "%llu bytes, %llu were promised",
           (unsigned long long)s.bytes, (unsigned long long)promised);
    tap_ok(tiny_hash(a) != tiny_hash(b), "another trainer differs");
    b->entries_lost = 1;
    tap_ok(!sy_trainer_load(b, path, false, &err), "loaded: %s", err.msg);
    tap_ok(tiny_hash(a) == tiny_hash(b), "and has its hash");
    tap_is_int(b->entries_lost, 0, "and its journal, which is whole");
    struct sy_status x, y;
    sy_trainer_status(a, &x);
    sy_trainer_status(b, &y);
    tap_ok(y.step == 7 && y.tokens == x.tokens && y.state == SY_RUN_PAUSED && y.loss == x.loss,
           "step %lld, %lld tokens, %s", (long long)y.step, (long long)y.tokens,
           sy_run_state_name(y.state));
    tiny_run_to(b, 40);
    tap_ok(tiny_hash(b) == undisturbed(40, 1), "it ends as a run that was never disturbed");
    sy_trainer_status(b, &y);
    tap_ok(y.state == SY_RUN_DONE, "%s at the end", sy_run_state_name(y.state));
    sy_trainer_free(a);
    sy_trainer_free(b);
}

/* Resume at every step, with another number of threads before and after. */
static void test_every_step(int threads, int64_t accumulate)
{
    enum { STEPS = 50 };
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("every");
    uint64_t want = undisturbed(STEPS, accumulate);
    struct sy_trainer *a = make(STEPS, accumulate, 0, dir);
    int wrong = 0, first = -1;
    for (int step = 0; step <= STEPS; step += tap_fast() ? 7 : 1) {
        char path[SY_PATH_MAX];
        struct sy_trainer *b = make(STEPS, accumulate, 0, NULL);
        sy_pool_set_threads(1, NULL);
        tiny_run_to(a, step);
        int bad = sy_trainer_checkpoint(a, path, sizeof path, &err);
        sy_pool_set_threads(threads, NULL);
        bad = bad || sy_trainer_load(b, path, false, &err);
        tiny_run_to(b, STEPS);
        if (bad || tiny_hash(b) != want) {
            first = first < 0 ? step : first;
            wrong++;
        }
        sy_trainer_free(b);
    }
    tap_ok(!wrong,
           "%d threads, %lld micro-batches: resumed at every step ends the same (%d wrong, first "
           "%d) %s",
           threads, (long long)accumulate, wrong, first, err.msg);
    sy_trainer_free(a);
}

/* ---- what a run depends on ---- */

static struct sy_trainer *other(const struct tiny_options *o)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = tiny_trainer(o, &err);
    if (!t) {
        tap_ok(0, "a trainer: %s", err.msg);
        exit(1);
    }
    return t;
}

static void test_differences(void)
{
    const struct tiny_options same = {.steps = 40, .seed = 1},
                              data = {.steps = 40, .seed = 1, .data_seed = 9},
                              program = {.steps = 40, .seed = 1, .dropout = 0.3},
                              swapped = {.steps = 40, .seed = 1, .swapped = true},
                              shape = {.steps = 40, .seed = 1, .width = 24};
    static const char *const says[] = {"resume: the data changed: hash ",
                                       "resume: the program changed: hash ",
                                       "resume: the program changed: hash "};
    static const char *const keys[] = {"data", "program", "program"};
    const struct tiny_options *changed[] = {&data, &program, &swapped};
    char path[SY_PATH_MAX];
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *a = make(40, 1, 0, fresh("differs"));
    tiny_run_to(a, 4);
    sy_trainer_checkpoint(a, path, sizeof path, &err);
    for (int i = 0; i < 3; i++) {
        struct sy_journal_entry e;
        struct sy_trainer *b = other(changed[i]);
        uint64_t was = tiny_hash(b);
        err.code = SY_E_OK;
        tap_ok(sy_trainer_load(b, path, false, &err) && err.code == SY_E_STATE &&
                   !strncmp(err.msg, says[i], strlen(says[i])) && tiny_hash(b) == was,
               "refused: %s", err.msg);
        tap_ok(!sy_trainer_load(b, path, true, &err) && tiny_hash(b) == tiny_hash(a) &&
                   sy_trainer_journal(b, 0, &e, 1) == 1 && e.kind == SY_ENTRY_RESUME &&
                   !strcmp(e.key, keys[i]) && e.step == 4,
               "forced, and in the journal: %s", e.text);
        sy_trainer_free(b);
    }
    struct sy_trainer *b = other(&shape), *c = other(&same);
    err.code = SY_E_OK;
    tap_ok(sy_trainer_load(b, path, true, &err) && err.code == SY_E_SHAPE, "not even forced: %s",
           err.msg);
    err.code = SY_E_OK;
    tap_ok(!sy_trainer_load(c, path, false, &err), "the same again is no difference %s", err.msg);
    sy_trainer_free(a);
    sy_trainer_free(b);
    sy_trainer_free(c);
}

/* ---- the journal ---- */

static void intervene(struct sy_trainer *t)
{
    struct sy_err err = SY_ERR_INIT;
    float mask[16];
    for (int i = 0; i < 16; i++)
        mask[i] = i % 3 ? 0.0f : 0.25f;
    struct sy_journal_entry freeze = {
        .kind = SY_ENTRY_FREEZE, .key = "layers.1.experts.", .expert = 2, .value = 1};
    tiny_run_to(t, 5);
    sy_trainer_set(t, SY_HYPER_lr, 0.02, &err);
    tiny_run_to(t, 9);
    sy_trainer_set_input(t, "mask", mask, 16, &err);
    tiny_run_to(t, 12);
    sy_trainer_apply(t, &freeze, &err);
    sy_trainer_note(t, SY_ENTRY_NOTE, "a line");
    tiny_run_to(t, 15);
    sy_trainer_set_schedule(t, SY_LINEAR);
    tiny_run_to(t, 30);
    tap_ok(!err.code, "interventions %s", err.msg);
}

static void replay(struct sy_trainer *t, const struct sy_journal_entry *list, int n, int64_t end)
{
    struct sy_err err = SY_ERR_INIT;
    for (int i = 0; i < n; i++) {
        struct sy_status s;
        sy_trainer_status(t, &s);
        if (list[i].step > s.step)
            tiny_run_to(t, list[i].step);
        sy_trainer_apply(t, &list[i], &err);
    }
    tiny_run_to(t, end);
    tap_ok(!err.code, "replayed %s", err.msg);
}

static void test_journal(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry list[16], again[16];
    char path[SY_PATH_MAX];
    struct sy_trainer *a = make(40, 1, 0, fresh("journal")), *b = make(40, 1, 0, NULL),
                      *c = make(40, 1, 0, NULL);
    intervene(a);
    int n = sy_trainer_journal(a, 0, list, 16);
    tap_ok(n == 5 && !strcmp(list[0].key, "lr") && list[0].step == 5 && list[1].n == 16 &&
               list[1].step == 9 && list[4].step == 15,
           "%d entries with their data", n);
    replay(b, list, n, 30);
    tap_ok(tiny_hash(a) == tiny_hash(b), "the replay of a journal has the run's hash");
    sy_trainer_checkpoint(a, path, sizeof path, &err);
    tap_ok(!sy_trainer_load(c, path, false, &err), "loaded %s", err.msg);
    bool same = sy_trainer_journal(c, 0, again, 16) == n;
    for (int i = 0; i < n && same; i++)
        same = again[i].step == list[i].step && again[i].kind == list[i].kind &&
               !strcmp(again[i].key, list[i].key) && !strcmp(again[i].text, list[i].text) &&
               again[i].value == list[i].value && again[i].n == list[i].n &&
               (!list[i].n ||
                !memcmp(again[i].values, list[i].values, (size_t)list[i].n * sizeof(float)));
    tap_ok(same, "the journal comes back, values and all");
    tiny_run_to(a, 40);
    tiny_run_to(c, 40);
    tap_ok(tiny_hash(a) == tiny_hash(c), "and the mask, the frozen expert, the schedule hold on");
    sy_trainer_free(a);
    sy_trainer_free(b);
    sy_trainer_free(c);
}

/* ---- while training goes on ---- */

static int alarms, saves;
static char last_alarm[512];

static void count_events(void *ctx, const struct sy_event *e)
{
    (void)ctx;
    if (e->kind == SY_EVENT_ALARM) {
        alarms++;
        snprintf(last_alarm, sizeof last_alarm, "%.*s", (int)sizeof last_alarm - 1, e->text);
    }
    saves += e->kind == SY_EVENT_CHECKPOINT;
}

static int disk_is_full(void *ctx, const struct sy_sys_call *c)
{
    return *(const int *)ctx && c->kind == SY_SYS_RESERVE ? ENOSPC : 0;
}

static void test_beside(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("beside");
    struct tiny_options o = {
        .steps = 60, .seed = 1, .checkpoint_every = 10, .on_event = count_events};
    struct sy_trainer *t = other(&o);
    struct sy_saved *list, s;
    int n;
    sy_trainer_set_dir(t, dir, 2, 30, &err);
    tiny_run_to(t, 60);
    tap_ok(tiny_hash(t) == undisturbed(60, 1), "checkpoints do not disturb the run");
    sy_checkpoint_list(dir, true, &list, &n, &err);
    tap_ok(n >= 2 && n <= 4 && list[n - 1].step == 60 && list[n - 1].ok,
           "%d stay, the last at the end", n);
    tap_ok(saves >= 2 && !alarms, "%d events, %d alarms", saves, alarms);
    sy_free(list);
    sy_trainer_free(t);
    sy_checkpoint_discard(dir, NULL, 30, &err);
    tap_ok(sy_checkpoint_find(dir, -1, &s, &err) || s.step <= 30, "discarded those after step 30");
}

static int slow_disk(void *ctx, const struct sy_sys_call *c)
{
    (void)ctx;
    if (c->kind == SY_SYS_RESERVE)
        sy_sleep(0.03); /* many steps */
    return 0;
}

/* A save is always under way: multiples of keep_every are there all the same, each with the state
 * of its step. */
static void test_multiples(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("kept");
    struct tiny_options o = {.steps = 100, .seed = 1, .checkpoint_every = 5};
    struct sy_trainer *t = other(&o), *again = make(100, 1, 0, NULL);
    struct sy_saved *list;
    int n, kept = 0, wrong = 0;
    sy_sys_set_hook(slow_disk, NULL);
    sy_trainer_set_dir(t, dir, 2, 20, &err);
    tiny_run_to(t, 100);
    sy_sys_set_hook(NULL, NULL);
    sy_checkpoint_list(dir, true, &list, &n, &err);
    for (int i = 0; i < n; i++) {
        struct sy_image *image = sy_checkpoint_read(list[i].path, &err);
        tiny_run_to(again, list[i].step);
        kept += list[i].step % 20 == 0;
        wrong += !image || image->hash != tiny_hash(again);
        sy_image_free(image);
    }
    tap_ok(kept == 5, "of steps 20, 40 ... 100 there are %d of 5", kept);
    tap_ok(n > 0 && !wrong, "each of %d has the state of its step (%d have not) %s", n, wrong,
           err.msg);
    sy_free(list);
    sy_trainer_free(t);
    sy_trainer_free(again);
}

/* The disk is full for a while: an alarm, the older checkpoint stays, the run goes on. */
static void test_full_disk(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("full");
    int full = 0;
    struct tiny_options o = {.steps = 60, .seed = 1, .on_event = count_events};
    struct sy_trainer *t = other(&o);
    struct sy_saved s;
    sy_trainer_set_dir(t, dir, 2, 0, &err);
    tiny_run_to(t, 10);
    sy_trainer_checkpoint(t, NULL, 0, &err);
    sy_sys_set_hook(disk_is_full, &full);
    full = 1;
    alarms = 0;
    sy_trainer_set(t, SY_HYPER_checkpoint_every, 5, &err);
    tiny_run_to(t, 22);
    sy_trainer_hold(t); /* the writer may still be at it */
    int refused = sy_trainer_checkpoint(t, NULL, 0, &err);
    sy_trainer_release(t);
    tap_ok(alarms == 1 && strstr(last_alarm, "No space left") && refused && err.code == SY_E_IO,
           "several saves failed, %d alarm: %s", alarms, last_alarm);
    tap_ok(!sy_checkpoint_find(dir, -1, &s, NULL) && s.step == 10, "the older one stays");
    full = 0;
    tiny_run_to(t, 60);
    sy_sys_set_hook(NULL, NULL);
    struct sy_status status;
    sy_trainer_status(t, &status);
    tap_ok(status.state == SY_RUN_DONE && !sy_checkpoint_find(dir, -1, &s, NULL) && s.step == 60,
           "the run went on, and saves again");
    tap_ok(!status.alarms, "the alarm is over");
    sy_trainer_free(t);
}

static void test_share(void)
{
    struct sy_err err = SY_ERR_INIT;
    char path[SY_PATH_MAX];
    struct sy_saved s;
    struct sy_trainer *a = make(40, 1, 0, fresh("parent")), *b = make(40, 1, 0, NULL);
    const char *dir = fresh("fork");
    tiny_run_to(a, 6);
    sy_trainer_checkpoint(a, path, sizeof path, &err);
    tap_ok(!sy_checkpoint_share(path, dir, NULL, "", &s, &err) && s.step == 6, "shared: %s %s",
           s.path, err.msg);
    sy_checkpoint_discard(sy_trainer_dir(a), NULL, 0, &err);
    tap_ok(!sy_trainer_load(b, s.path, false, &err) && tiny_hash(a) == tiny_hash(b),
           "it outlives its origin %s", err.msg);
    sy_trainer_free(a);
    sy_trainer_free(b);
}

/* A callback may save; stopped and failed runs are saved. */
static struct sy_trainer *saver;
static int saved_inside;

static void save_inside(void *ctx, const struct sy_status *s, bool evaluated)
{
    (void)ctx, (void)evaluated;
    if (s->step == 3 && s->state == SY_RUN_RUNNING)
        saved_inside = !sy_trainer_checkpoint(saver, NULL, 0, NULL);
    if (s->step == 5 && s->state == SY_RUN_RUNNING)
        sy_trainer_stop(saver);
}

static void test_ends(void)
{
    struct sy_err err = SY_ERR_INIT;
    const char *dir = fresh("ends");
    struct tiny_options o = {.steps = 60, .seed = 1, .on_step = save_inside};
    struct sy_saved s;
    struct sy_status status;
    saver = other(&o);
    sy_trainer_set_dir(saver, dir, 2, 0, &err);
    sy_trainer_start(saver, &err);
    while (!sy_trainer_wait(saver, INT64_MAX, 1))
        ;
    sy_trainer_status(saver, &status);
    tap_ok(saved_inside && !sy_checkpoint_find(dir, 3, &s, &err) && s.step == 3,
           "a callback saves %s", err.msg);
    tap_ok(status.state == SY_RUN_STOPPED && !sy_checkpoint_find(dir, -1, &s, &err) && s.step == 5,
           "stopped: saved before anyone hears of it %s", err.msg);
    sy_trainer_free(saver);
}

/* ---- a save over a save ---- */

/* Fails, once armed: a sync of the folder itself after the exchange, or reading the new one; and
 * the exchange, as where there is no such call. */
static struct trouble {
    bool no_exchange, sync, read, moved;
} trouble;

static int cause(void *ctx, const struct sy_sys_call *call)
{
    struct trouble *x = ctx;
    if (call->kind == SY_SYS_EXCHANGE && x->no_exchange)
        return ENOSYS;
    x->moved |= call->kind == SY_SYS_EXCHANGE ||
                (call->kind == SY_SYS_RENAME && strstr(call->path, ".tmp"));
    if (!x->moved || !((call->kind == SY_SYS_FSYNC_FOLDER && x->sync) ||
                       (call->kind == SY_SYS_READ_OPEN && x->read)))
        return 0;
    x->sync = x->read = false;
    return EIO;
}

/* A save of a step that was saved before fails at its end: the one before is there, and loads. */
static void test_kept(bool no_exchange, bool sync)
{
    struct sy_err err = SY_ERR_INIT, none = SY_ERR_INIT;
    char path[SY_PATH_MAX];
    struct sy_saved s;
    const char *dir = fresh("kept");
    struct sy_trainer *a = make(40, 1, 0, dir), *b = make(40, 1, 0, NULL);
    tiny_run_to(a, 5);
    tap_ok(!sy_trainer_checkpoint(a, path, sizeof path, &err), "saved at step 5: %s", err.msg);
    uint64_t before = tiny_hash(a);
    sy_params_freeze(sy_trainer_params(a), "", -1, true);
    sy_trainer_params(a)->p[0] += 1;
    trouble = (struct trouble){.no_exchange = no_exchange, .sync = sync, .read = !sync};
    sy_sys_set_hook(cause, &trouble);
    tap_ok(sy_trainer_checkpoint(a, NULL, 0, &err), "saved again, %s fails: %s",
           sync ? "the folder's sync" : "reading it", err.msg);
    sy_sys_set_hook(NULL, NULL);
    tap_ok(!sy_checkpoint_find(dir, -1, &s, &none) && s.step == 5, "one of step 5 is there: %s",
           none.msg);
    tap_ok(!sy_trainer_load(b, s.path, false, &none) && tiny_hash(b) == before,
           "it is the one before%s: %s", no_exchange ? ", without an exchange" : "", none.msg);
    sy_trainer_free(a);
    sy_trainer_free(b);
}

int main(void)
{
    /* in memory: most of the time would go into a disk's fsync */
    snprintf(root, sizeof root, "%s/sy-checkpoint-%ld",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (long)getpid());
    sh("mkdir -p '%s'%s", root, "");
    test_equality();
    test_differences();
    test_journal();
    test_beside();
    test_multiples();
    test_full_disk();
    test_share();
    test_ends();
    for (int i = 0; i < 4; i++)
        test_kept(i & 1, i & 2);
    for (int threads = 1; threads <= 4; threads *= 2) {
        test_every_step(threads, 1);
        test_every_step(threads, 2);
    }
    sh("rm -rf '%s'%s", root, "");
    return tap_done();
}
