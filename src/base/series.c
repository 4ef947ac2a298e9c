/* See switchyard/series.h. */
#include "switchyard/series.h"

#include "base/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sy_series_row rows[] = {
#define X(id, name, unit, least, most, draw, each, rare, help)                                     \
    {name, unit, (double)(least), (double)(most), SY_DRAW_##draw, SY_EACH_##each, rare, help},
    SY_SERIES_MAP(X)
#undef X
};

const struct sy_series_row *sy_series_row(enum sy_series_kind kind) { return &rows[kind]; }

int sy_series_find(const char *name)
{
    return SY_FIND_NAME(rows, name);
}

void sy_series_place(const struct sy_series_what *what, const char *name, char *out, size_t n)
{
    const char *space = *what->mixture ? " " : "";
    if (!what->layer)
        snprintf(out, n, "the mixture");
    else if (name && *name)
        snprintf(out, n, "%s%s%s", name, space, what->mixture);
    else
        snprintf(out, n, "layer %d%s%s", what->layer, space, what->mixture);
}

bool sy_series_same_place(const struct sy_series_what *a, const struct sy_series_what *b)
{
    return a->layer == b->layer && !strcmp(a->mixture, b->mixture);
}

/* ---- names in older stores ---- */

/* All that the trainer and nn.moe wrote.  With a layer the name ends in ".L"; a gradient's outside
 * of layers, in a parameter's name. */
static const struct {
    const char *name;
    enum sy_series_kind kind;
    bool layer;
} before[] = {{"loss", SY_SERIES_LOSS, false},
              {"val_loss", SY_SERIES_VAL_LOSS, false},
              {"lr", SY_SERIES_RATE, false},
              {"tok_s", SY_SERIES_SPEED, false},
              {"time.data", SY_SERIES_SECONDS, false},
              {"time.compute", SY_SERIES_SECONDS, false},
              {"time.optimizer", SY_SERIES_SECONDS, false},
              {"tokens", SY_SERIES_TOKENS, false},
              {"skipped", SY_SERIES_SKIPPED, false},
              {"grad_norm", SY_SERIES_NORM, false},
              {"grad_norm", SY_SERIES_NORM, true},
              {"grad_norm.router", SY_SERIES_ROUTER_NORM, true},
              {"grad_norm.experts", SY_SERIES_EXPERT_NORM, true},
              {"load", SY_SERIES_LOAD, true},
              {"entropy", SY_SERIES_ENTROPY, true},
              {"gate", SY_SERIES_GATE, true},
              {"gate_entropy", SY_SERIES_GATE_ENTROPY, true},
              {"confidence", SY_SERIES_CONFIDENCE, true},
              {"bias", SY_SERIES_BIAS, true},
              {"drop", SY_SERIES_DROP, true},
              {"dropped", SY_SERIES_DROPPED, true},
              {"balance", SY_SERIES_BALANCE, true},
              {"z", SY_SERIES_Z, true}};

/* 12 of "load.12", and the length of "load"; 0: it has no number at its end. */
static int layer_of(const char *name, size_t *base)
{
    const char *dot = strrchr(name, '.');
    size_t digits = dot ? strspn(dot + 1, "0123456789") : 0;
    *base = strlen(name);
    if (!digits || digits > 6 || dot[1 + digits])
        return 0;
    *base = (size_t)(dot - name);
    return atoi(dot + 1);
}

struct sy_series_what sy_series_before(const char *name, int width)
{
    size_t base;
    struct sy_series_what what = {.layer = layer_of(name, &base)};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        if (before[i].layer == (what.layer > 0) && strlen(before[i].name) == base &&
            !memcmp(name, before[i].name, base))
            what.kind = before[i].kind;
    if (!what.layer && !strncmp(name, "grad_norm.", 10))
        what.kind = SY_SERIES_NORM;
    if (width > 1 && !rows[what.kind].each)
        what.kind = SY_SERIES_VALUE;
    return what;
}
