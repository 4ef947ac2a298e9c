/* Where a run on a mix is in its data, out of a checkpoint's journal: it is derived before anything
 * of the trainer is changed, and while its lock is free; what cannot be derived is refused. */
#include "unit/data_folder.h"
#include "unit/tap.h"
#include "unit/tiny_run.h"

#include "base/mem.h"
#include "switchyard/pairs.h"
#include "train/trainer_int.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what takes long, and whether the lock is held meanwhile ---- */

static struct {
    struct sy_trainer *t; /* NULL: nobody looks */
    int calls, held;
} watch;

static void look_at_lock(void)
{
    if (!watch.t)
        return;
    bool held = pthread_mutex_trylock(&watch.t->lock) != 0;
    if (!held)
        pthread_mutex_unlock(&watch.t->lock);
    watch.calls++;
    watch.held += held;
}

int __real_sy_sampler_check(const struct sy_sampler *s, struct sy_err *err);
int __wrap_sy_sampler_check(const struct sy_sampler *s, struct sy_err *err);
void __real_sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows);
void __wrap_sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows);

int __wrap_sy_sampler_check(const struct sy_sampler *s, struct sy_err *err)
{
    look_at_lock();
    return __real_sy_sampler_check(s, err);
}

void __wrap_sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows)
{
    look_at_lock();
    __real_sy_place_advance(s, p, rows);
}

/* ---- runs ---- */

enum { STEPS = 3, ROWS = 4 };

/* Pairs whose rows are packed anew for each context, and a text. */
static struct sy_corpus *make_mix(struct sy_err *err)
{
    static const char text[] = "a text of more than one window";
    const char *path = in_folder("x.tsv");
    const struct sy_pair_options pairs = {.val = 0.2};
    struct sy_text_options o = {.val = 0};
    struct sy_corpus *p = sy_corpus_pairs(&path, 1, NULL, NULL, &pairs, err);
    struct sy_corpus *t = NULL, *mix = NULL;
    if (p) {
        o.tokenizer = sy_corpus_tokenizer(p);
        t = sy_corpus_string(text, sizeof text - 1, &o, err);
    }
    const struct sy_mix_part parts[] = {{t, 7, "text"}, {p, 3, "pairs"}};
    if (t)
        mix = sy_corpus_mix(parts, 2, err);
    sy_corpus_unref(p);
    sy_corpus_unref(t);
    return mix;
}

static struct sy_trainer *make_run(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct tiny_options o = {.steps = 40, .seed = 1, .sampling = SY_SAMPLE_EPOCH,
                             .corpus = make_mix(&err)};
    struct sy_trainer *t = o.corpus ? tiny_trainer(&o, &err) : NULL;
    sy_corpus_unref(o.corpus);
    if (!t) {
        tap_ok(0, "a run: %s", err.msg);
        exit(1);
    }
    return t;
}

/* A checkpoint of a step behind which the context and the shares were changed. */
static void save(char path[SY_PATH_MAX])
{
    static const float even[] = {1, 1};
    const struct sy_journal_entry
        context = {.kind = SY_ENTRY_SET, .key = "context", .value = 6, .expert = -1},
        mix = {.kind = SY_ENTRY_MIX, .key = "mix", .expert = -1, .n = 2, .values = even};
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = make_run();
    t->status.step = STEPS;
    sy_trainer_record(t, &context);
    sy_trainer_record(t, &mix);
    if (sy_trainer_set_dir(t, in_folder("run"), 2, 0, &err) ||
        sy_trainer_checkpoint(t, path, SY_PATH_MAX, &err)) {
        tap_ok(0, "a checkpoint: %s", err.msg);
        exit(1);
    }
    sy_trainer_free(t);
}

/* It is as the checkpoint says. */
static bool is_loaded(const struct sy_trainer *t)
{
    return t->status.step == STEPS && t->njournal == 2 && t->mix[0] == 0.5 && t->mix[1] == 0.5 &&
           t->place.part[0].windows + t->place.part[1].windows == STEPS * ROWS &&
           t->place.part[0].first == t->place.part[0].windows;
}

static bool is_new(const struct sy_trainer *t)
{
    return t->status.step == 0 && t->njournal == 0 && t->mix[0] == 0.7 &&
           !t->place.part[0].windows && !t->place.part[1].windows;
}

static void test_lock(const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_trainer *t = make_run();
    watch.t = t;
    int rc = sy_trainer_load(t, path, false, &err);
    watch.t = NULL;
    tap_ok(!rc && is_loaded(t), "shares and places of a step: %s", err.msg);
    tap_ok(watch.calls > 3 && !watch.held, "derived with the lock free: %d of %d calls held it",
           watch.held, watch.calls);
    sy_trainer_free(t);
}

/* Rows of a context are packed when they are first asked for: each run has its own. */
static void test_memory(const char *path)
{
    int failed = 0, wrong = 0;
    uint64_t n = 1;
    for (uint64_t i = 0; i <= n; i++) {
        struct sy_err err = SY_ERR_INIT;
        struct sy_trainer *t = make_run();
        uint64_t before = sy_mem_count();
        sy_mem_fail_at(i);
        int rc = sy_trainer_load(t, path, false, &err);
        sy_mem_fail_at(0);
        n = i ? n : sy_mem_count() - before;
        failed += rc != 0;
        bool good = rc ? err.code == SY_E_MEMORY && is_new(t) : is_loaded(t);
        wrong += !good;
        if (!good)
            tap_note("allocation %d: %s", (int)i, rc ? err.msg : "loaded, and is somewhere else");
        sy_trainer_free(t);
    }
    tap_ok(!wrong && failed > 20, "each of %d allocations failing: %d refused, %d wrong", (int)n,
           failed, wrong);
}

int main(void)
{
    char path[SY_PATH_MAX];
    if (!make_folder())
        return 1;
    put_text("x.tsv", "a\tA\nb\tB\nc\tC\nd\tD\ne\tE\nf\tF\ng\tG\nh\tH\nlong\tLONG\n");
    save(path);
    test_lock(path);
    test_memory(path);
    remove_folder();
    return tap_done();
}
