/* Running a program: no allocation, no graph work, no Lua. */
#include "graph/program_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void detach_buffers(struct sy_program *p)
{
    for (int i = 0; i < p->nbuffers; i++) {
        struct sy__buffer *b = &p->buffers[i];
        if (b->storage && (!b->pinned || b->to) && b->last >= 0)
            b->storage->data = NULL;
    }
    if (p->arena_owned)
        sy_free(p->arena);
    p->arena = NULL;
    p->arena_owned = false;
}

void sy_program_free(struct sy_program *p)
{
    if (!p)
        return;
    detach_buffers(p);
    for (int i = 0; i < p->ninstrs; i++) {
        sy_node_unref(p->instrs[i].node);
        sy_tensor_unref(p->instrs[i].src);
    }
    for (int i = 0; i < p->nobserves; i++)
        sy__observed_drop(&p->observes[i]);
    for (int i = 0; i < p->nupdates; i++) {
        sy_tensor_unref(p->updates[i].state);
        sy_tensor_unref(p->updates[i].value);
    }
    for (int i = 0; i < p->nheld; i++)
        sy_tensor_unref(p->held[i]);
    for (int i = 0; i < p->nbuffers; i++)
        sy_storage_unref(p->buffers[i].storage);
    sy_free(p->instrs);
    sy_free(p->observes);
    sy_free(p->updates);
    sy_free(p->held);
    sy_free(p->buffers);
    sy_free(p);
}

size_t sy_program_bytes(const struct sy_program *p) { return p->arena_bytes; }
double sy_program_flops(const struct sy_program *p) { return p->flops; }
int sy_program_length(const struct sy_program *p) { return p->ninstrs; }
int sy_program_observes(const struct sy_program *p) { return p->nobserves; }
const char *sy_program_observe_name(const struct sy_program *p, int i)
{
    return p->observes[i].x.name;
}

const struct sy_tensor *sy_program_observe_at(const struct sy_program *p, int i)
{
    return p->observes[i].x.tensor;
}

const struct sy_series_what *sy_program_observe_what(const struct sy_program *p, int i)
{
    return &p->observes[i].what;
}

const struct sy_tensor *sy_program_observe_mask(const struct sy_program *p, int i)
{
    return p->observes[i].mask;
}

int sy_program_attach(struct sy_program *p, void *arena, struct sy_err *err)
{
    detach_buffers(p);
    p->arena = arena;
    if (!arena) {
        p->arena = sy_alloc(p->arena_bytes ? p->arena_bytes : 1);
        p->arena_owned = true;
        if (!p->arena)
            return sy_err_set(err, SY_E_MEMORY, "program: out of memory: %zu bytes wanted",
                              p->arena_bytes);
    }
    for (int i = 0; i < p->nbuffers; i++) {
        struct sy__buffer *b = &p->buffers[i];
        if (!b->storage || b->last < 0)
            continue;
        if (b->to)
            b->storage->data = b->to;
        else if (!b->pinned)
            b->storage->data = (char *)p->arena + b->offset;
    }
    for (int i = 0; i < p->ninstrs; i++) {
        struct sy__instr *x = &p->instrs[i];
        x->run.out = x->out;
        x->from_file = false;
        for (int j = 0; x->kind == SY__RUN && j < x->node->nin; j++)
            x->from_file |= x->node->in[j] && sy_tensor_file(x->node->in[j]);
        x->run.scratch = x->scratch < 0 ? NULL : (char *)p->arena + p->buffers[x->scratch].offset;
    }
    return 0;
}

/* ---- copies and sums of gradients ---- */

#define MOVE_GRAIN 65536

static void add_range(void *ctx, int64_t task)
{
    const struct sy__instr *x = ctx;
    const float *from = sy_data(x->src);
    int64_t n = sy_tensor_count(x->src), end = (task + 1) * MOVE_GRAIN;
    end = end < n ? end : n;
    for (int64_t i = task * MOVE_GRAIN; i < end; i++)
        x->to[i] = x->kind == SY__ADD ? x->to[i] + from[i] : from[i];
}

static int run_instr(struct sy__instr *x, uint64_t seed, uint64_t step, struct sy_err *err)
{
    if (x->kind != SY__RUN) {
        sy_pool_run((sy_tensor_count(x->src) + MOVE_GRAIN - 1) / MOVE_GRAIN, add_range, x);
        return 0;
    }
    x->run.seed = seed;
    x->run.step = step;
    x->run.err = err;
    const struct sy_node *n = x->node;
    if (n->op->run(&x->run))
        return -1;
    return x->from_file ? sy_tensors_check(n->in, n->nin, n->op->name, err) : 0;
}

static int update_states(struct sy_program *p, bool carried)
{
    for (int i = 0; i < p->nupdates; i++)
        if (p->updates[i].carried == carried)
            memcpy(sy_data(p->updates[i].state), sy_data(p->updates[i].value),
                   sy_tensor_bytes(p->updates[i].state));
    return 0;
}

int sy_program_update_states(struct sy_program *p) { return update_states(p, false); }

int sy_program_run(struct sy_program *p, uint64_t seed, uint64_t step, struct sy_err *err)
{
    return sy_program_run_until(p, seed, step, NULL, NULL, err);
}

int sy_program_run_until(struct sy_program *p, uint64_t seed, uint64_t step,
                         bool (*ends)(void *ctx), void *ctx, struct sy_err *err)
{
    uint64_t before = sy_now_ns();
    for (int i = 0; i < p->ninstrs; i++) {
        struct sy__instr *x = &p->instrs[i];
        if (ends && ends(ctx))
            return 1;
        if (run_instr(x, seed, step, err))
            return -1;
        uint64_t now = sy_now_ns();
        x->ns += now - before;
        x->calls++;
        before = now;
    }
    update_states(p, true);
    return p->update_at_end ? update_states(p, false) : 0;
}

/* ---- reports ---- */

struct line {
    const char *name;
    uint64_t ns, calls;
};

static int slower_first(const void *a, const void *b)
{
    uint64_t x = ((const struct line *)a)->ns, y = ((const struct line *)b)->ns;
    return x < y ? 1 : x > y ? -1 : 0;
}

char *sy_program_profile(struct sy_program *p)
{
    struct line *lines = sy_calloc((size_t)p->ninstrs + 1, sizeof *lines);
    struct sy_str s = SY_STR_INIT;
    int n = 0;
    for (int i = 0; lines && i < p->ninstrs; i++) {
        struct sy__instr *x = &p->instrs[i];
        const char *name = x->kind == SY__RUN ? x->node->op->name : "gradient sums";
        int j = 0;
        while (j < n && strcmp(lines[j].name, name))
            j++;
        n += j == n;
        lines[j].name = name;
        lines[j].ns += x->ns;
        lines[j].calls += x->calls;
        x->ns = x->calls = 0;
    }
    if (lines)
        qsort(lines, (size_t)n, sizeof *lines, slower_first);
    for (int i = 0; lines && i < n; i++)
        sy_str_printf(&s, "%-24s %10.6f %8llu\n", lines[i].name, (double)lines[i].ns * 1e-9,
                      (unsigned long long)lines[i].calls);
    sy_free(lines);
    return s.data;
}

static bool all_finite(const struct sy_tensor *t)
{
    if (!t || (t->dtype != SY_F32 && t->dtype != SY_F64))
        return true;
    int64_t n = sy_tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t->dtype == SY_F32 ? (double)((float *)sy_data(t))[i]
                                         : ((double *)sy_data(t))[i]))
            return false;
    return true;
}

static void describe(const struct sy__instr *x, const struct sy_tensor *t, sy_leaf_name leaf_name,
                     void *ctx, char *out, size_t n)
{
    char text[128];
    const char *leaf = NULL;
    for (int j = 0; j < x->node->nin && leaf_name && !leaf; j++)
        if (x->node->in[j])
            leaf = leaf_name(ctx, x->node->in[j]);
    snprintf(out, n, "%s -> %s%s%s", x->node->op->name,
             sy_shape_text(t->ndim, t->shape, text, sizeof text), leaf ? " at " : "",
             leaf ? leaf : "");
}

int sy_program_find_nonfinite(struct sy_program *p, uint64_t seed, uint64_t step,
                              sy_leaf_name leaf_name, void *ctx, char *out, size_t n)
{
    for (int i = 0; i < p->ninstrs; i++) {
        struct sy__instr *x = &p->instrs[i];
        if (run_instr(x, seed, step, NULL))
            return 0;
        /* -inf is an ordinary value of masks and log-sum-exps of empty rows: only what is read on
         * as a result counts */
        if (x->node && x->node->nout && !all_finite(x->out[0])) {
            describe(x, x->out[0], leaf_name, ctx, out, n);
            return 1;
        }
    }
    return 0;
}
