/* The fields of a batch (batch.h): what they are, who cannot give them, and how their weights are
 * scaled.  How a row of them is made: row_int.h. */
#include "data/objectives/objective_int.h"

#include "base/find.h"

static const struct sy_field_spec specs[SY_FIELD_COUNT] = {
#define SPEC(id, name, dtype, length, alone, help) {name, dtype, SY_LENGTH_##length, alone, help},
    SY_FIELD_MAP(SPEC)
#undef SPEC
};

const struct sy_field_spec *sy_field_spec(enum sy_field f)
{
    return &specs[f];
}

int sy_field_find(const char *name)
{
    return SY_FIND_NAME(specs, name);
}

int64_t sy_field_values(enum sy_field f, int64_t context, int64_t inputs)
{
    enum sy_length by = specs[f].length;
    return by == SY_LENGTH_CONTEXT ? context : by == SY_LENGTH_INPUT ? inputs : 1;
}

/* Weights are also how the targets of a step count alike, where not all count or their losses are
 * wanted apart. */
static bool has_weights(const struct sy_sampler *s)
{
    return s->corpus->weights || !sy_objectives_even(s->objectives) ||
           sy_objectives_count(s->objectives) > 1;
}

/* What one part lacks the mix lacks, but for weights: those of the others are 1. */
static const char *missing_of_mix(enum sy_field f, const struct sy_sampler *s)
{
    const char *missing = NULL, *last = NULL;
    int lack = 0;
    for (int i = 0; i < s->corpus->mix.n; i++) {
        struct sy_sampler part = *s;
        part.corpus = s->corpus->mix.part[i].corpus;
        last = sy_field_missing(f, &part);
        missing = missing ? missing : last;
        lack += last != NULL;
    }
    return f == SY_FIELD_WEIGHTS && lack < s->corpus->mix.n ? NULL : missing;
}

const char *sy_field_missing(enum sy_field f, const struct sy_sampler *s)
{
    if (s->corpus->pairs.count)
        return NULL;
    if (s->corpus->mix.n)
        return f == SY_FIELD_WEIGHTS && s->corpus->sources > 1 ? NULL : missing_of_mix(f, s);
    if (f == SY_FIELD_WEIGHTS && !has_weights(s))
        return "the data has no loss weights (data.shards takes them from a file: weights =)";
    if (specs[f].length == SY_LENGTH_INPUT && sy_objectives_even(s->objectives))
        return "next-token prediction gives an encoder nothing to read: objective = \"span\" or "
               "\"prefix\" does";
    return NULL;
}

/* ---- weights ---- */

double sy_tally_scale(const struct sy_tally *part, const struct sy_tally *whole, int64_t parts)
{
    return whole->weight > 0 ? (double)(part->targets * parts) / whole->weight : 0;
}

void sy_weights_average(float *w, const int32_t *targets, int64_t n)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        bool counts = !targets || targets[i] >= 0;
        sum += counts ? (double)w[i] : 0;
        count += counts;
    }
    for (int64_t i = 0; sum > 0 && i < n; i++)
        w[i] = (float)((double)w[i] * ((double)count / sum));
}
