/* What training keeps: flat buffers, chunks, freezing, norm, AdamW, hashes; the table of
 * hyper-parameters and the schedules; series of metrics.  All against plain loops in double. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/rng.h"
#include "run/metrics.h"
#include "switchyard/graph.h"
#include "switchyard/hyper.h"
#include "switchyard/io.h"
#include "tensor/tensor.h"
#include "train/optimizers/optimizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT 4

static const struct sy_param_spec specs[COUNT] = {
    {"a.weight", 0, SY_ROLE_ROUTER, 1, NULL, false},
    {"a.bias", 0, SY_ROLE_WEIGHT, 1, NULL, false},
    {"moe.experts.up", 3, SY_ROLE_EXPERT, 1, NULL, false},
    {"b.weight", 0, SY_ROLE_HEAD, 0, NULL, false}};
static const int64_t shapes[COUNT][3] = {{300, 300, 0}, {7, 0, 0}, {3, 5, 11}, {2, 3, 0}};
static const int dims[COUNT] = {2, 1, 3, 2};

static void fill(float *x, int64_t n, uint64_t step)
{
    struct sy_rng rng = {.seed = 11, .purpose = SY_RNG_USER, .step = step};
    sy_rng_fill_normal(&rng, 0, x, n);
}

static struct sy_params *make(struct sy_tensor **tensors, struct sy_tensor *state)
{
    struct sy_err err = SY_ERR_INIT;
    for (int i = 0; i < COUNT; i++) {
        tensors[i] = sy_tensor_empty(SY_F32, dims[i], shapes[i], &err);
        fill(sy_tensor_data(tensors[i]), sy_tensor_count(tensors[i]), (uint64_t)i);
    }
    struct sy_params *ps =
        sy_params_new(tensors, specs, COUNT, &state, 1, sy_optimizer_at(0), &err);
    tap_ok(ps != NULL, "params: made %s", err.msg);
    return ps;
}

static void test_layout(struct sy_params *ps, struct sy_tensor **tensors)
{
    int64_t end = 0, covered = 0;
    bool aligned = true, apart = true, moved = true, declared = true, whole = true, small = true,
         ordered = true;
    for (int i = 0; i < COUNT; i++) {
        const struct sy_param *p = &ps->list[i];
        aligned &= p->offset % 16 == 0;
        apart &= p->offset >= end;
        declared &= p->role == specs[i].role && p->layer == specs[i].layer &&
                    p->experts == specs[i].experts;
        moved &= sy_tensor_data(tensors[i]) == (void *)(ps->p + p->offset);
        end = p->offset + p->count;
    }
    for (int i = 0; i < ps->nchunks; i++) {
        const struct sy_chunk *c = &ps->chunks[i];
        const struct sy_param *p = &ps->list[c->param];
        int64_t each = p->experts ? p->count / p->experts : p->count;
        int64_t first = p->offset + (p->experts ? c->expert * each : 0);
        whole &= c->offset >= first && c->offset + c->count <= first + each;
        small &= c->count <= 65536;
        ordered &= !i || c->offset >= ps->chunks[i - 1].offset + ps->chunks[i - 1].count;
        covered += c->count;
    }
    tap_ok(aligned && apart && end <= ps->floats, "params: each at a multiple of 16, apart");
    tap_ok(moved, "params: tensors moved into the flat buffer");
    tap_ok(declared, "params: experts, role and layer are as declared");
    tap_ok(whole && small && ordered, "chunks: within a parameter and an expert, small, ordered");
    tap_is_int(covered, 300 * 300 + 7 + 3 * 5 * 11 + 6, "chunks: cover every number once");
    tap_ok(ps->list[0].decay && !ps->list[1].decay && ps->list[2].decay,
           "decay: from two dimensions on");
    tap_is_int((int64_t)sy_params_bytes(ps), ps->floats * 16, "params: bytes wanted");
}

static double plain_norm(const struct sy_params *ps, int skip_param, int skip_expert)
{
    double sum = 0;
    for (int i = 0; i < COUNT; i++) {
        const struct sy_param *p = &ps->list[i];
        int64_t each = p->experts ? p->count / p->experts : p->count;
        for (int64_t j = 0; j < p->count; j++)
            if (i != skip_param || j / each != skip_expert)
                sum += (double)ps->g[p->offset + j] * (double)ps->g[p->offset + j];
    }
    return sqrt(sum);
}

static bool near(double a, double b, double rel) { return fabs(a - b) <= rel * fabs(b); }

static void test_norm(struct sy_params *ps)
{
    int bad;
    for (int i = 0; i < COUNT; i++)
        fill(ps->g + ps->list[i].offset, ps->list[i].count, 100 + (uint64_t)i);
    tap_ok(near(sy_params_grad_norm(ps, 0.5, &bad), 0.5 * plain_norm(ps, -1, 0), 1e-12) && bad < 0,
           "norm: as in double, scaled");
    sy_params_freeze(ps, "moe.experts.", 1, true);
    tap_ok(near(sy_params_grad_norm(ps, 1, &bad), plain_norm(ps, 2, 1), 1e-12),
           "norm: without the frozen expert");
    float kept = ps->g[ps->list[3].offset + 1];
    ps->g[ps->list[3].offset + 1] = INFINITY;
    sy_params_grad_norm(ps, 1, &bad);
    tap_is_int(bad, 3, "norm: names the gradient that is not finite");
    ps->g[ps->list[3].offset + 1] = kept;
    sy_params_freeze(ps, "", -1, true);
    tap_ok(sy_params_grad_norm(ps, 1, &bad) <= 0, "norm: expert -1 freezes all, experts as well");
    sy_params_freeze(ps, "", -1, false);
    tap_ok(near(sy_params_grad_norm(ps, 1, &bad), plain_norm(ps, -1, 0), 1e-12), "norm: and back");
    sy_params_freeze(ps, "moe.experts.", 1, true);
}

/* Expert 1 of parameter 2 is frozen. */
static void test_update(struct sy_params *ps)
{
    struct sy_hyper h;
    sy_hyper_defaults(&h);
    struct sy_update u = {.hyper = &h, .lr = 0.01, .grad_scale = 0.5, .t = 1};
    size_t bytes = (size_t)ps->floats * sizeof(float);
    float *before = sy_alloc(bytes);
    double worst = 0, frozen = 0;
    memcpy(before, ps->p, bytes);
    ps->optimizer->step(ps, &u);
    for (int i = 0; i < COUNT; i++)
        for (int64_t j = 0; j < ps->list[i].count; j++) {
            int64_t at = ps->list[i].offset + j;
            double old = (double)before[at], g = 0.5 * (double)ps->g[at];
            /* at the first step mean = g and root of variance = |g| after correction */
            double keep = ps->list[i].decay ? 1 - 0.01 * 0.1 : 1;
            double want = old * keep - 0.01 * g / (fabs(g) + 1e-8);
            if (i == 2 && j / 55 == 1)
                frozen = fmax(frozen, fabs((double)ps->p[at] - old));
            else
                worst = fmax(worst, fabs((double)ps->p[at] - want));
        }
    tap_ok(worst < 1e-6, "adamw: first step (%.1e)", worst);
    tap_ok(frozen == 0, "adamw: a frozen expert keeps its bits");
    sy_free(before);
}

static void test_hash(struct sy_params *ps, struct sy_tensor *state)
{
    float *places[4] = {ps->p + ps->list[3].offset + 5, ps->kept + ps->list[1].offset,
                        ps->kept + ps->floats,
                        sy_tensor_data(state)};
    uint64_t was = sy_params_hash(ps);
    for (int i = 0; i < 4; i++) {
        float kept = *places[i];
        *places[i] += 1;
        tap_ok(sy_params_hash(ps) != was, "hash: sees buffer %d", i);
        *places[i] = kept;
    }
    ps->g[0] += 1;
    tap_ok(sy_params_hash(ps) == was, "hash: gradients do not count");
}

static void test_params(void)
{
    struct sy_tensor *tensors[COUNT];
    int64_t three = 3;
    size_t live = sy_mem_live();
    struct sy_tensor *state = sy_tensor_zeros(SY_F32, 1, &three, NULL);
    struct sy_params *ps = make(tensors, state);
    test_layout(ps, tensors);
    test_norm(ps);
    test_update(ps);
    test_hash(ps, state);
    sy_params_free(ps);
    tap_ok(isfinite(sy_tensor_get(tensors[0], 5)), "params: the tensors outlive them");
    for (int i = 0; i < COUNT; i++)
        sy_tensor_unref(tensors[i]);
    sy_tensor_unref(state);
    tap_ok(sy_mem_live() == live, "params: all bytes come back");
}

static void test_out_of_memory(void)
{
    struct sy_err err;
    int64_t shape[2] = {4, 4};
    struct sy_tensor *t = sy_tensor_zeros(SY_F32, 2, shape, NULL);
    const struct sy_param_spec spec = {.name = "w"};
    size_t live = sy_mem_live();
    struct sy_params *ps = NULL;
    int n = 0;
    bool told = true;
    while (!ps && n < 100) {
        err = (struct sy_err)SY_ERR_INIT;
        sy_mem_fail_at((uint64_t)++n);
        ps = sy_params_new(&t, &spec, 1, NULL, 0, sy_optimizer_at(0), &err);
        sy_mem_fail_at(0);
        told &= ps || (err.code == SY_E_MEMORY && sy_mem_live() == live);
    }
    tap_ok(ps && told && n > 5, "params: every allocation may fail (%d)", n - 1);
    sy_params_free(ps);
    sy_tensor_unref(t);
}

/* The file's tensor where it lies; owned. */
static struct sy_tensor *map_tensor(const char *path, struct sy_err *err)
{
    struct sy_st *st = sy_st_open(path, err);
    const struct sy_array *a = st ? sy_st_at(st, 0) : NULL;
    struct sy_mapping *m = st ? sy_st_map(st, err) : NULL;
    struct sy_storage *file = m ? sy_storage_of_file(m, err) : NULL;
    struct sy_tensor *t = file ? sy_tensor_within(SY_F32, a->ndim, a->shape, file,
                                                  (char *)file->data + a->offset, NULL, NULL, err)
                               : NULL;
    sy_storage_unref(file);
    sy_st_close(st);
    return t;
}

/* Parameters that begin with what lies in a mapped file: it is asked once they are copied. */
static struct sy_params *params_of(const char *path, off_t cut, struct sy_err *err)
{
    const struct sy_param_spec spec = {.name = "w"};
    struct sy_tensor *t = map_tensor(path, err);
    bool ready = t && (!cut || !truncate(path, cut));
    struct sy_params *ps =
        ready ? sy_params_new(&t, &spec, 1, NULL, 0, sy_optimizer_at(0), err) : NULL;
    sy_tensor_unref(t);
    return ps;
}

static void refuse_state(const char *path)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tensor *t = map_tensor(path, &err);
    struct sy_graph *g = sy_graph_new(&err);
    tap_ok(t && g && sy_graph_update(g, t, t, &err) && strstr(err.msg, "mapped to be read"),
           "update: no state lies in a mapped file: %s", err.msg);
    sy_graph_free(g);
    sy_tensor_unref(t);
}

static void test_mapped(void)
{
    struct sy_err err = SY_ERR_INIT;
    const int64_t shape[1] = {64};
    float x[64];
    char path[64], folder[] = "/tmp/sy-test-train-XXXXXX";
    if (!tap_ok(mkdtemp(folder) != NULL, "params: a folder"))
        return;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    fill(x, 64, 1);
    struct sy_st_writer *w = sy_st_begin(path, NULL, &err);
    if (w && !sy_st_add(w, "w", SY_F32, 1, shape, x, &err))
        sy_st_finish(w, &err);
    struct sy_params *ps = params_of(path, 0, &err);
    tap_ok(ps && !memcmp(ps->p, x, sizeof x), "params: from a mapped file %s", err.msg);
    sy_params_free(ps);
    refuse_state(path);
    ps = params_of(path, 200, &err);
    tap_ok(!ps && err.code == SY_E_IO && strstr(err.msg, "changed while it was mapped"),
           "params: one that was cut is refused: %s", err.msg);
    sy_params_free(ps);
    unlink(path);
    rmdir(folder);
}

/* ---- hyper-parameters ---- */

static void test_hyper(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_hyper h;
    sy_hyper_defaults(&h);
    tap_is_int(sy_hyper_find("lr"), SY_HYPER_lr, "hyper: found by name");
    tap_is_int(sy_hyper_find("lrr"), -1, "hyper: unknown");
    tap_ok(sy_hyper_check(SY_HYPER_lr, -1, &err) && strstr(err.msg, "lr is -1"), "hyper: %s",
           err.msg);
    err.code = SY_E_OK;
    tap_ok(sy_hyper_check(SY_HYPER_batch, 1.5, &err) != 0, "hyper: %s", err.msg);
    err.code = SY_E_OK;
    tap_ok(sy_hyper_check(SY_HYPER_lr, (double)NAN, &err) != 0, "hyper: %s", err.msg);
    h.v[SY_HYPER_steps] = 1000;
    tap_ok(near(sy_hyper_lr(&h, 50), 0.5e-3, 1e-12) && near(sy_hyper_lr(&h, 100), 1e-3, 1e-12),
           "schedule: warm-up is a tenth of the steps, at most 100");
    tap_ok(near(sy_hyper_lr(&h, 1000), 1e-4, 1e-9) && near(sy_hyper_lr(&h, 2000), 1e-4, 1e-9),
           "schedule: ends at a tenth and stays there");
    bool falls = true;
    for (int s = 0; s < SY_SCHEDULE_COUNT; s++) {
        h.schedule = (enum sy_schedule)s;
        for (int64_t i = 101; i <= 1000; i++)
            falls &=
                sy_hyper_lr(&h, i) <= sy_hyper_lr(&h, i - 1) && sy_hyper_lr(&h, i) >= 1e-4 - 1e-15;
        tap_is_int(sy_schedule_parse(sy_schedule_name((enum sy_schedule)s)), s, "schedule: %s",
                   sy_schedule_name((enum sy_schedule)s));
    }
    tap_ok(falls, "schedules: never rise after the warm-up, never under min_lr");
    h.v[SY_HYPER_steps] = 0;
    h.v[SY_HYPER_warmup] = 0;
    tap_ok(isfinite(sy_hyper_lr(&h, 1)), "schedule: no steps, no warm-up");
}

/* The largest rise from one step to the next, and the rate at the last one. */
static double largest_rise(const struct sy_hyper *h, int64_t first, int64_t last)
{
    double rise = -1;
    for (int64_t i = first; i < last; i++)
        rise = fmax(rise, sy_hyper_lr(h, i + 1) - sy_hyper_lr(h, i));
    return rise;
}

/* What a schedule declares that it reads, against its curve. */
static void test_schedule_reads(void)
{
    for (int s = 0; s < SY_SCHEDULE_COUNT; s++)
        for (int k = 0; k < SY_HYPER_COUNT; k++) {
            struct sy_hyper a, b;
            const struct sy_hyper_spec *spec = sy_hyper_spec((enum sy_hyper_id)k);
            sy_hyper_defaults(&a);
            a.schedule = (enum sy_schedule)s;
            b = a;
            b.v[k] = spec->bears == SY_BEARS_RATE ? 0.5 * spec->most : a.v[k];
            if (k == SY_HYPER_decay)
                b.v[k] = 0.5;
            bool moves = sy_hyper_effect(&a, &b, 0) != SY_EFFECT_NONE;
            if (spec->bears == SY_BEARS_RATE)
                tap_ok(moves != sy_schedule_ignores(a.schedule, spec->name), "%s %s %s",
                       sy_schedule_name(a.schedule), moves ? "goes by" : "ignores", spec->name);
            else if (sy_schedule_ignores(a.schedule, spec->name))
                tap_ok(false, "%s reads %s", sy_schedule_name(a.schedule), spec->name);
        }
}

static void test_more_steps(void)
{
    char text[200];
    for (int s = 0; s < SY_SCHEDULE_COUNT; s++) {
        struct sy_hyper h;
        sy_hyper_defaults(&h);
        h.schedule = (enum sy_schedule)s;
        h.planned = 1000;
        /* changed in the warm-up, half way, while wsd decays, at the end */
        for (int k = 0; k < 4; k++) {
            int64_t at = (const int64_t[]){50, 500, 900, 1000}[k];
            for (int to = 0; to < 3; to++) {
                double steps = (const double[]){2000, 1100, 930}[to], was = sy_hyper_lr(&h, at);
                struct sy_hyper m = h;
                sy_hyper_put(&m, SY_HYPER_steps, steps, at);
                int64_t last = (int64_t)steps;
                bool same = true;
                for (int64_t i = 1; i <= (at < 100 ? 100 : at); i++)
                    same &= sy_hyper_lr(&m, i) == sy_hyper_lr(&h, i) || i < at;
                tap_ok(near(sy_hyper_lr(&m, at), was, 1e-18) && same && m.planned == 1000 &&
                           (last <= at || largest_rise(&m, at < 100 ? 100 : at, last) <= 1e-18) &&
                           (s == SY_CONSTANT || last <= at ||
                            near(sy_hyper_lr(&m, last), 1e-4, 1e-15)),
                       "%s, %.0f steps from step %lld on: from where it stands to min_lr, no jump",
                       sy_schedule_name(h.schedule), steps, (long long)at);
            }
        }
    }
    struct sy_hyper h;
    sy_hyper_defaults(&h);
    h.schedule = SY_WSD;
    sy_hyper_put(&h, SY_HYPER_steps, 2000, 500);
    tap_ok(sy_hyper_lr(&h, 1600) == 1e-3 && sy_hyper_lr(&h, 1601) < 1e-3,
           "wsd: the stable phase goes on, the last fifth decays");
    sy_hyper_outlook(&h, 500, text, sizeof text);
    tap_is_str(text, "lr stays at 0.001 up to step 1600, then falls to 0.0001 at step 2000 (wsd)",
               "as it says");
    sy_hyper_put(&h, SY_HYPER_steps, 3000, 1800);
    tap_ok(near(sy_hyper_lr(&h, 2400), 0.55e-3, 1e-12) && sy_hyper_lr(&h, 2401) < 0.55e-3,
           "wsd: in its decay it holds the rate that stands");
    sy_hyper_put(&h, SY_HYPER_steps, 100, 1800);
    sy_hyper_put(&h, SY_HYPER_steps, 3000, 1800);
    tap_ok(near(sy_hyper_lr(&h, 2400), 0.55e-3, 1e-12),
           "a change that is taken back at once has lost nothing");
    sy_hyper_defaults(&h);
    h.schedule = SY_WSD;
    h.v[SY_HYPER_decay] = 0;
    tap_ok(sy_hyper_lr(&h, 101) == 1e-3 && sy_hyper_lr(&h, 1000) == 1e-3,
           "wsd, decay 0: stable to the end");
    h.rules = 1;
    tap_ok(near(sy_hyper_lr(&h, 101), 1e-4, 1e-12), "... but not by the rules of before");
    sy_hyper_defaults(&h);
    sy_hyper_put(&h, SY_HYPER_steps, 2000, 1000);
    sy_hyper_outlook(&h, 1000, text, sizeof text);
    tap_is_str(text, "lr stays at 0.0001 up to step 2000 (cosine)",
               "what was done stays at min_lr");
    sy_hyper_outlook(&h, 20, text, sizeof text);
    sy_hyper_defaults(&h);
    sy_hyper_outlook(&h, 20, text, sizeof text);
    tap_is_str(text, "lr rises to 0.001 at step 100, then cosine to 0.0001 at step 1000",
               "in the warm-up");
}

/* Every value of what bears on the rate, set at many steps: NONE where no step that is left has
 * another rate. */
static void test_effect(void)
{
    static const struct {
        enum sy_hyper_id id;
        double values[4];
    } sets[] = {{SY_HYPER_lr, {0, 1e-3, 1e-2, 1e-4}},
                {SY_HYPER_min_lr, {-1, 0, 1e-4, 1e-3}},
                {SY_HYPER_warmup, {-1, 0, 400, 5000}},
                {SY_HYPER_decay, {0, 0.2, 0.001, 1}}};
    int wrong = 0, none = 0;
    for (int k = 0; k < SY_SCHEDULE_COUNT * 2 * 16 * 9; k++) {
        struct sy_hyper a;
        sy_hyper_defaults(&a);
        a.schedule = (enum sy_schedule)(k % SY_SCHEDULE_COUNT);
        int64_t step = (k / SY_SCHEDULE_COUNT / 32) * 250;
        if (k / SY_SCHEDULE_COUNT % 2) /* more steps than it was begun with */
            sy_hyper_put(&a, SY_HYPER_steps, 2001, 1000);
        struct sy_hyper b = a;
        int set = k / SY_SCHEDULE_COUNT / 2 % 16;
        b.v[sets[set / 4].id] = sets[set / 4].values[set % 4];
        bool same = true;
        for (int64_t i = step + 1; i <= (int64_t)a.v[SY_HYPER_steps]; i++)
            same &= sy_hyper_lr(&a, i) == sy_hyper_lr(&b, i);
        wrong += same != (sy_hyper_effect(&a, &b, step) == SY_EFFECT_NONE);
        none += same;
    }
    tap_ok(wrong == 0 && none > 100,
           "what a change does to the rate is found: %d of them do nothing", none);
    struct sy_hyper a, b;
    sy_hyper_defaults(&a);
    sy_hyper_put(&a, SY_HYPER_steps, 2000, 1000);
    b = a;
    b.v[SY_HYPER_lr] = 1e-2;
    tap_is_int(sy_hyper_effect(&a, &b, 1000), SY_EFFECT_LEAST,
               "lr of what has come to a tenth of it");
    tap_is_int(sy_hyper_effect(&a, &b, 50), SY_EFFECT_RATE, "... and of what has not");
}

/* ---- metrics ---- */

static void test_metrics(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_metrics *m = sy_metrics_new(&err);
    int a = sy_metrics_series(m, "loss", 1, &err), b = sy_metrics_series(m, "load.1", 3, &err);
    tap_is_int(sy_metrics_series(m, "loss", 1, &err), a, "metrics: the same name, the same series");
    tap_ok(sy_metrics_series(m, "loss", 2, &err) < 0 && err.code == SY_E_SHAPE, "metrics: %s",
           err.msg);
    for (int64_t i = 1; i <= 3000; i++) {
        float row[3] = {(float)i, (float)(2 * i), (float)(3 * i)};
        sy_metrics_add(m, a, i, row);
        sy_metrics_add(m, b, i, row);
    }
    int64_t steps[4];
    float values[4];
    int wrong = 0, had = sy_metrics_count(m);
    for (int round = 0; round < 2; round++) /* made, then found */
        for (int k = 0; k < 5000; k++) {
            char name[24];
            snprintf(name, sizeof name, "many.%d", k);
            wrong += sy_metrics_series(m, name, 1, NULL) != had + k ||
                     sy_metrics_find(m, name) != had + k;
        }
    tap_ok(!wrong && sy_metrics_count(m) == had + 5000 && sy_metrics_find(m, "many.5000") < 0,
           "metrics: 5000 series by their names");
    tap_ok(sy_metrics_read(m, b, 2, 1022, 4, steps, values) == 4 && steps[0] == 1023 &&
               values[0] == 3069.0f && steps[3] == 1026 && values[3] == 3078.0f,
           "metrics: read across two chunks");
    tap_is_int(sy_metrics_read(m, a, 0, 2998, 4, steps, values), 2, "metrics: read past the end");
    tap_is_int(sy_metrics_read(m, a, 0, 5000, 4, steps, values), 0, "metrics: read behind the end");
    tap_ok(sy_metrics_last(m, b, values) == 3000 && values[1] == 6000.0f, "metrics: last");
    sy_metrics_truncate(m, 1024);
    tap_is_int(sy_metrics_rows(m, a), 1024, "metrics: truncate");
    float v = 7;
    sy_metrics_add(m, a, 1025, &v);
    tap_ok(sy_metrics_last(m, a, values) == 1025 && values[0] == 7.0f, "metrics: go on after it");
    sy_metrics_free(m);
}

int main(void)
{
    test_params();
    test_out_of_memory();
    test_mapped();
    test_hyper();
    test_schedule_reads();
    test_more_steps();
    test_effect();
    test_metrics();
    return tap_done();
}
