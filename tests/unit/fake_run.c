#include "unit/fake_run.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FAKE_TOKENS 60

/* -0.5 to 0.5 by step and place: no state, so that rows do not depend on how they were asked for.
 */
static double noise(const struct fake_run *f, int64_t step, uint32_t place)
{
    uint32_t x = f->seed * 2654435761u + (uint32_t)step * 2246822519u + place * 3266489917u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    x *= 3266489917u;
    x ^= x >> 16;
    return x / 4294967296.0 - 0.5;
}

static double loss_at(const struct fake_run *f, int64_t step)
{
    double fall = 70.0 + f->seed * 9.0, x = (double)step / fall;
    return 2.2 + 0.02 * f->seed + 4.0 / (1 + x * (1 + 0.1 * x)) +
           noise(f, step, 0) * (0.15 + 1.0 / (4 + x));
}

/* As the trainer and nn.moe declare them. */
static int series_of(struct fake_run *f, const char *name, int width)
{
    struct sy_series_what what = sy_series_before(name, width);
    return sy_metrics_declare(f->metrics, name, width, &what, NULL);
}

static void put(struct fake_run *f, const char *name, int width, int64_t step, const float *v)
{
    sy_metrics_add(f->metrics, series_of(f, name, width), step, v);
}

static void put_one(struct fake_run *f, const char *name, int64_t step, double v)
{
    float x = (float)v;
    put(f, name, 1, step, &x);
}

static void put_kind(struct fake_run *f, const char *name, enum sy_series_kind kind, int layer,
                     int width, int64_t step, const float *v)
{
    struct sy_series_what what = {.kind = kind, .layer = layer};
    sy_metrics_add(f->metrics, sy_metrics_declare(f->metrics, name, width, &what, NULL), step, v);
}

/* Sources begin alike and grow apart; in some steps one has no target.  The second objective begins
 * at step 200 and is in every third step. */
static void put_parts(struct fake_run *f, int64_t step, double loss)
{
    float v[20], next = (float)(loss - 0.2), span = (float)(loss * 0.6);
    for (int i = 0; i < f->sources; i++)
        v[i] = (step + i) % 7 == 3 ? NAN : (float)(loss * (1 + 0.08 * (i - f->sources / 2)));
    if (f->sources)
        put_kind(f, "loss.by_source", SY_SERIES_SOURCE_LOSS, 0, f->sources, step, v);
    if (f->sources && step % 100 == 0)
        put_kind(f, "val_loss.by_source", SY_SERIES_SOURCE_VAL_LOSS, 0, f->sources, step, v);
    if (f->taught)
        put_kind(f, "distill_loss", SY_SERIES_DISTILL_LOSS, 0, 1, step, &span);
    if (f->objectives)
        put_kind(f, "loss.next", SY_SERIES_PART_LOSS, 0, 1, step, &next);
    if (f->objectives && step >= 200 && step % 3 == 0)
        put_kind(f, "loss.span", SY_SERIES_PART_LOSS, 0, 1, step, &span);
    if (f->objectives && step >= 200 && step % 100 == 0) { /* not in the order of the others */
        put_kind(f, "val_loss.span", SY_SERIES_PART_VAL_LOSS, 0, 1, step, &span);
        put_kind(f, "val_loss.next", SY_SERIES_PART_VAL_LOSS, 0, 1, step, &next);
    }
}

/* Each source has an expert that it prefers; the third has no token. */
static void put_source_load(struct fake_run *f, int layer, int64_t step)
{
    float v[20 * 64];
    char name[32];
    int e_count = f->experts;
    for (int i = 0; i < f->sources * e_count; i++) {
        int s = i / e_count, e = i % e_count;
        bool own = e == (s * 5 + layer) % e_count;
        v[i] = s == 2 ? 0 : own ? 4 : (float)(e_count - 4) / (float)(e_count - 1);
    }
    snprintf(name, sizeof name, "source_load.%d", layer);
    put_kind(f, name, SY_SERIES_SOURCE_LOAD, layer, f->sources * e_count, step, v);
}

/* Loads that start even and grow apart; expert 6 of layer 1 dies at step 800. */
static void put_layer(struct fake_run *f, int layer, int64_t step)
{
    float load[256], gate[256];
    char name[32];
    double apart = step < 600 ? (double)step / 600 : 1, sum = 0, gates = 0;
    for (int e = 0; e < f->experts; e++) {
        double own = noise(f, 0, (uint32_t)(layer * 1000 + e)) * 1.1 * apart;
        double v = 1 + own + 0.3 * noise(f, step, (uint32_t)(layer * 1000 + e));
        if (e == 5 && layer == 1 && step >= 800)
            v = 0;
        if (e == 2 && layer == 4)
            v += 1.1 * apart;
        load[e] = (float)(v < 0 ? 0 : v);
        sum += (double)load[e];
        gate[e] = (float)(1 + 0.8 * own);
        gates += (double)gate[e];
    }
    for (int e = 0; e < f->experts; e++)
        load[e] = (float)((double)load[e] * f->experts / sum);
    for (int e = 0; e < f->experts; e++)
        gate[e] = (float)((double)gate[e] / gates);
    if (f->disabled && layer == 1 && step >= 800) {
        float off[256] = {0};
        off[5] = 1;
        put_kind(f, "disabled.1", SY_SERIES_DISABLED, 1, f->experts, step, off);
    }
    snprintf(name, sizeof name, "load.%d", layer);
    put(f, name, f->experts, step, load);
    snprintf(name, sizeof name, "gate.%d", layer);
    bool rare = step == 1 || step % 10 == 0; /* as the trainer does */
    if (rare)
        put(f, name, f->experts, step, gate);
    snprintf(name, sizeof name, "drop.%d", layer);
    if (f->early)
        put_one(f, name, step, 0.125);
    else if (f->capacity > 0 && rare) {
        float dropped[256];
        for (int e = 0; e < f->experts; e++)
            dropped[e] = (double)load[e] > f->capacity ? 1 - (float)f->capacity / load[e] : 0;
        snprintf(name, sizeof name, "dropped.%d", layer);
        put(f, name, f->experts, step, dropped);
    }
    if (f->sources && rare)
        put_source_load(f, layer, step);
    if (f->varies) {
        float each = (float)(2.5 + 0.5 * noise(f, step, (uint32_t)(8000 + layer)));
        float moved = (float)(0.04 + 0.02 * noise(f, step, (uint32_t)(9000 + layer)));
        snprintf(name, sizeof name, "experts_per_token.%d", layer);
        put_kind(f, name, SY_SERIES_EXPERTS_PER_TOKEN, layer, 1, step, &each);
        snprintf(name, sizeof name, "rerouted.%d", layer);
        put_kind(f, name, SY_SERIES_REROUTED, layer, 1, step, &moved);
    }
    snprintf(name, sizeof name, "entropy.%d", layer);
    put_one(f, name, step, 2.7 - 0.6 * apart + 0.05 * noise(f, step, (uint32_t)(7000 + layer)));
}

/* How a layer's router chooses, at few steps; margins grow as loads go apart. */
static void put_choices(struct fake_run *f, int layer, int64_t step)
{
    static const struct {
        enum sy_series_kind kind;
        double from, by;
    } seen[] = {{SY_SERIES_MARGIN, 0.002, 0.05},
                {SY_SERIES_CLOSE, 0.4, -0.3},
                {SY_SERIES_BF16_CHANGED, 0.02, -0.015},
                {SY_SERIES_LOGSUMEXP, 2.1, 0.4},
                {SY_SERIES_ROUTER_NORM_LM, 0.01, 0.03},
                {SY_SERIES_ROUTER_NORM_BALANCE, 0.05, -0.04}};
    double apart = step < 600 ? (double)step / 600 : 1;
    char name[48];
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++) {
        double own = 1 + 0.2 * noise(f, step, (uint32_t)(9500 + layer));
        float v = (float)((seen[i].from + seen[i].by * apart) * own);
        snprintf(name, sizeof name, "%s.%d", sy_series_row(seen[i].kind)->name, layer);
        put_kind(f, name, seen[i].kind, layer, 1, step, &v);
    }
    float sums[256];
    for (int e = 0; e < f->experts; e++)
        sums[e] = (float)(1 + apart * noise(f, 0, (uint32_t)(layer * 1000 + e)));
    snprintf(name, sizeof name, "importance.%d", layer);
    put_kind(f, name, SY_SERIES_IMPORTANCE, layer, f->experts, step, sums);
}

/* Which expert the tokens of a text went to: more and more the one of their word. */
static void put_trace(struct fake_run *f, int64_t step)
{
    float v[FAKE_TOKENS];
    char name[32];
    for (int l = 1; l <= f->layers; l++) {
        for (int i = 0; i < FAKE_TOKENS; i++) {
            double own = noise(f, 0, (uint32_t)(l * 100 + i % 11)) + 0.5;
            double any = noise(f, step, (uint32_t)(l * 1000 + i)) + 0.5;
            bool settled = noise(f, step, (uint32_t)(l * 5000 + i)) + 0.5 < (double)step / 1000;
            v[i] = (float)(1 + (int)((settled ? own : any) * f->experts));
        }
        snprintf(name, sizeof name, "trace.%d", l);
        put_kind(f, name, SY_SERIES_TRACE, l, FAKE_TOKENS, step, v);
    }
}

static void put_step(struct fake_run *f, int64_t step)
{
    double loss = loss_at(f, step), compute = 0.82 + 0.08 * noise(f, step, 2);
    double optimizer = 0.11 + 0.01 * noise(f, step, 3), data = 0.02;
    if (step > 700 && step < 760)
        data = 0.4;
    if (step == f->spike)
        loss += 7;
    if (step == f->nan)
        loss = (double)NAN;
    put_one(f, "loss", step, loss);
    put_parts(f, step, loss_at(f, step));
    put_one(f, "lr", step, step < 100 ? 3e-6 * (double)step : 3e-4);
    put_one(f, "grad_norm", step, 0.4 + 3.0 / (1 + (double)step / 40.0) + 0.3 * noise(f, step, 4));
    put_one(f, "time.compute", step, compute);
    put_one(f, "time.optimizer", step, optimizer);
    put_one(f, "time.data", step, data);
    put_one(f, "tok_s", step, 16384 / (compute + optimizer + data));
    put_one(f, "tokens", step, 16384.0 * (double)step);
    for (int l = 1; l <= f->layers; l++)
        put_layer(f, l, step);
    for (int l = 1; l <= f->layers && f->looks && (step == 1 || step % 100 == 0); l++)
        put_choices(f, l, step);
    if (f->traced && step % 100 == 0)
        put_trace(f, step);
    if (step % 100 == 0)
        put_one(f, "val_loss", step, loss_at(f, step) + 0.1 - noise(f, step, 0) * 0.2);
}

void fake_run_go_on(struct fake_run *f, int64_t steps)
{
    for (int64_t i = 0; i < steps; i++)
        put_step(f, ++f->steps);
}

static void status_of(void *ctx, struct sy_source_status *out)
{
    const struct fake_run *f = ctx;
    out->state = f->state;
    out->live = sy_run_state_row(f->state)->owned;
    out->step = f->steps;
    out->steps = f->total;
    out->tokens = f->steps * 16384;
    if (!f->steps)
        return;
    out->tok_s = 18400;
    out->mfu = 0.71;
    out->eta = 130;
    out->lr = 3e-4;
    out->loss = loss_at(f, f->steps);
    out->val_loss = 2.981;
    out->val_step = f->steps / 100 * 100;
    out->flops_per_token = 6e6;
    out->saved = -1;
    if (f->state == SY_RUN_FAILED)
        snprintf(out->alarm, sizeof out->alarm, "step %lld: loss is nan", (long long)f->steps);
}

static int marks_of(void *ctx, int first, struct sy_mark *out, int n)
{
    const struct fake_run *f = ctx;
    int there = f->nmarks - first;
    n = there < 0 ? 0 : n < there ? n : there;
    memcpy(out, f->marks + first, (size_t)n * sizeof *out);
    return n;
}

static void call_all(struct fake_run *f)
{
    static const char *const languages[] = {"de", "fr", "es", "pt_BR", "zh_Hans_CN", "en"};
    char name[32];
    for (int l = 1; f->stacks && l <= f->layers; l++) {
        int encoder = f->layers / 2;
        bool first = l <= encoder;
        snprintf(name, sizeof name, "%s %d", first ? "enc" : "dec", first ? l : l - encoder);
        sy_source_call(f->source, SY_SOURCE_LAYERS, name);
    }
    static const char *const words[] = {"The",   " quick", " brown", " fox", " jumps", " over",
                                        " the",  " la",    "zy",     " dog", ".\\n",   " 犬"};
    for (int i = 0; f->traced && i < FAKE_TOKENS; i++)
        sy_source_call(f->source, SY_SOURCE_TRACE, words[i % 12]);
    for (int i = 0; i < f->sources; i++) {
        snprintf(name, sizeof name, "source %d", i + 1);
        sy_source_call(f->source, SY_SOURCE_DATA, i < 6 ? languages[i] : name);
    }
}

int fake_run_make(struct fake_run *f)
{
    int64_t steps = f->steps < 0 ? 0 : f->steps ? f->steps : 1240;
    if (!f->name[0])
        snprintf(f->name, sizeof f->name, "bold-ferret");
    f->total = f->total ? f->total : 5000;
    f->state = f->state ? f->state : SY_RUN_RUNNING;
    f->layers = f->layers < 0 ? 0 : f->layers ? f->layers : 6;
    f->experts = f->experts ? f->experts : 16;
    f->metrics = sy_metrics_new(NULL);
    struct sy_live_run live = {f->name, f->metrics, status_of, marks_of, f};
    f->source = f->metrics ? sy_source_live(&live, NULL) : NULL;
    call_all(f);
    f->steps = 0;
    fake_run_go_on(f, steps);
    return f->source ? 0 : -1;
}

void fake_run_free(struct fake_run *f)
{
    if (f->source)
        sy_source_close(f->source);
    sy_source_unref(f->source);
    sy_metrics_free(f->metrics);
    f->source = NULL;
    f->metrics = NULL;
}
