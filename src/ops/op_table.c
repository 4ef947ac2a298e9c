/* The table itself, and what is read off its strings. */
#include "ops/op.h"
#include "ops/ops_int.h"

#include "base/assert.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct sy_op table[SY_OP_COUNT] = {
#define SY_OP(id, name, inputs, attrs, outputs, flags, infer, run, vjp, cost, doc)                 \
    {#id,   name,           inputs,       attrs,        outputs,        flags,                     \
     sy__infer_##infer, sy__run_##run, sy__vjp_##vjp, sy__cost_##cost, doc},
#include "ops/ops.def"
#undef SY_OP
};

const struct sy_op *sy_op_get(enum sy_opcode code) { return &table[code]; }

static int count_words(const char *s, int *plain)
{
    int words = 0, optional = 0;
    for (; *s; s++) {
        words += *s != ' ' && (s[1] == ' ' || !s[1]);
        optional += *s == '?';
    }
    if (plain)
        *plain = words - optional;
    return words;
}

/* Applying asks for these every time, so they are read off the strings once. */
struct facts {
    int inputs, required, outputs;
    unsigned stored; /* bit i: input i may be of a stored dtype */
    unsigned later_in, later_out;
    struct sy_attrs presets;
};
static struct facts facts[SY_OP_COUNT];

static void read_presets(const struct sy_op *op, struct sy_attrs *attrs)
{
    struct sy_attr_spec spec[14];
    int n = sy_op_attrs(op, spec);
    for (int i = 0; i < n; i++) {
        if (spec[i].kind == SY_ATTR_REAL)
            attrs->f[spec[i].slot] = spec[i].preset;
        else
            attrs->i[spec[i].slot] = (int64_t)spec[i].preset;
    }
}

/* Bits of the names that have that mark. */
static unsigned marked(const char *names, char mark)
{
    unsigned bits = 0;
    int place = 0;
    for (; *names; names++) {
        place += *names == ' ';
        bits |= *names == mark ? 1u << place : 0;
    }
    return bits;
}

static void read_facts(void)
{
    for (int i = 0; i < SY_OP_COUNT; i++) {
        facts[i].inputs = count_words(table[i].inputs, &facts[i].required);
        facts[i].outputs = count_words(table[i].outputs, NULL);
        facts[i].stored = marked(table[i].inputs, '~');
        facts[i].later_in = marked(table[i].inputs, '+');
        facts[i].later_out = marked(table[i].outputs, '+');
        read_presets(&table[i], &facts[i].presets);
    }
}

static const struct facts *facts_of(const struct sy_op *op)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_facts);
    return &facts[op - table];
}

int sy_op_inputs(const struct sy_op *op, int *required)
{
    const struct facts *f = facts_of(op);
    if (required)
        *required = f->required;
    return f->inputs;
}

bool sy_op_takes_stored(const struct sy_op *op, int i) { return facts_of(op)->stored >> i & 1; }

static int there(unsigned later, struct sy_tensor *const *t, int n)
{
    while (n > 0 && !t[n - 1] && later >> (n - 1) & 1)
        n--;
    return n;
}

int sy_op_inputs_there(const struct sy_op *op, struct sy_tensor *const *in, int n)
{
    return there(facts_of(op)->later_in, in, n);
}

int sy_op_outputs_there(const struct sy_op *op, struct sy_tensor *const *out, int n)
{
    return there(facts_of(op)->later_out, out, n);
}

int sy_op_outputs(const struct sy_op *op) { return facts_of(op)->outputs; }

/* 1 + the place of the name that ends in #; 0: none does. */
static int indexed(const char *names)
{
    const char *mark = strchr(names, '#');
    int place = mark ? 1 : 0;
    for (const char *s = names; mark && s < mark; s++)
        place += *s == ' ';
    return place;
}

int sy_op_index_input(const struct sy_op *op) { return indexed(op->inputs); }
int sy_op_index_output(const struct sy_op *op) { return indexed(op->outputs); }

const char *sy_op_input_name(const struct sy_op *op, int i, char out[24])
{
    const char *s = op->inputs;
    while (i-- > 0 && (s = strchr(s, ' ')))
        s++;
    size_t n = s ? strcspn(s, " ?#~+") : 0;
    n = n < 23 ? n : 23;
    memcpy(out, s ? s : "", n);
    out[n] = 0;
    return out;
}

static enum sy_attr_kind kind_of(const char *word, size_t n)
{
    static const struct {
        const char *name;
        enum sy_attr_kind kind;
    } kinds[] = {{"int", SY_ATTR_INT},   {"dim", SY_ATTR_DIM},   {"bool", SY_ATTR_BOOL},
                 {"real", SY_ATTR_REAL}, {"list", SY_ATTR_LIST}, {"dims", SY_ATTR_DIMS}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strlen(kinds[i].name) == n && !memcmp(kinds[i].name, word, n))
            return kinds[i].kind;
    SY_ASSERT(!"unknown attribute kind in ops.def");
    return SY_ATTR_INT;
}

/* One "name:kind=preset" of a row; returns the rest. */
static const char *parse_spec(const char *s, struct sy_attr_spec *spec)
{
    size_t name = strcspn(s, ":"), word = strcspn(s, " ");
    memset(spec, 0, sizeof *spec);
    memcpy(spec->name, s, name < sizeof spec->name - 1 ? name : sizeof spec->name - 1);
    size_t kind = strcspn(s + name + 1, "= ");
    spec->kind = kind_of(s + name + 1, kind);
    const char *preset = s + name + 1 + kind;
    if (*preset == '=') {
        spec->has_default = true;
        spec->preset = !strncmp(preset + 1, "all", 3) ? SY_DIM_ALL : strtod(preset + 1, NULL);
    }
    return s + word + (s[word] == ' ');
}

int sy_op_attrs(const struct sy_op *op, struct sy_attr_spec out[14])
{
    int count = 0, ints = 0, reals = 0;
    for (const char *s = op->attrs; *s && count < 14; count++) {
        s = parse_spec(s, &out[count]);
        bool real = out[count].kind == SY_ATTR_REAL;
        bool list = out[count].kind == SY_ATTR_LIST || out[count].kind == SY_ATTR_DIMS;
        out[count].slot = real ? reals++ : ints;
        ints += real ? 0 : list ? 1 + SY_MAX_DIMS : 1;
    }
    return count;
}

void sy_op_default_attrs(const struct sy_op *op, struct sy_attrs *attrs)
{
    *attrs = facts_of(op)->presets;
}

void sy_meta_like(struct sy_meta *m, const struct sy_tensor *t)
{
    m->dtype = t->dtype;
    m->ndim = t->ndim;
    memcpy(m->shape, t->shape, sizeof m->shape);
}

int64_t sy_rows(const struct sy_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < t->ndim; i++)
        n *= t->shape[i];
    return n;
}
