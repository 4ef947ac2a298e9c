/* Checkpoints: what was saved comes back, from every step and with any number of threads; what is
 * damaged is refused; what fails leaves the older ones and the run as they were. */
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "io/sys.h"
#include "train/checkpoint.h"
#include "train/params.h"

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
    struct tiny_options o = {.steps = steps, .accumulate = accumulate, .checkpoint_every = every, .seed = 1};
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
    tap_ok(sy_trainer_saved(a, &s) && s.ok && s.step == 7 && !strcmp(s.path, path), "said so: %s", path);
    tap_ok(s.bytes <= promised && s.bytes > promised / 2, "%llu bytes, %llu were promised",
           (unsigned long long)s.bytes, (unsigned long long)promised);
    tap_ok(tiny_hash(a) != tiny_hash(b), "another trainer differs");
    tap_ok(!sy_trainer_load(b, path, false, &err), "loaded: %s", err.msg);
    tap_ok(tiny_hash(a) == tiny_hash(b), "and has its hash");
    struct sy_status x, y;
    sy_trainer_status(a, &x);
    sy_trainer_status(b, &y);
    tap_ok(y.step == 7 && y.tokens == x.tokens && y.state == SY_RUN_PAUSED && y.loss == x.loss,
           "step %lld, %lld tokens, %s", (long long)y.step, (long long)y.tokens, sy_run_state_name(y.state));
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
    tap_ok(!wrong, "%d threads, %lld micro-batches: resumed at every step ends the same (%d wrong, first %d) %s",
           threads, (long long)accumulate, wrong, first, err.msg);
    sy_trainer_free(a);
}

int main(void)
{
    /* in memory: most of the time would go into a disk's fsync */
    snprintf(root, sizeof root, "%s/sy-checkpoint-%ld", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm",
             (long)getpid());
    sh("mkdir -p '%s'%s", root, "");
    test_equality();
    for (int threads = 1; threads <= 4; threads *= 2) {
        test_every_step(threads, 1);
        test_every_step(threads, 2);
    }
    sh("rm -rf '%s'%s", root, "");
    return tap_done();
}
