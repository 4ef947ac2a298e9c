/* state.json of a checkpoint: what is neither a parameter nor a tensor.
 *
 *     {"format": SY_CHECKPOINT_FORMAT, "exact": SY_EXACT_VERSION, "run": "bold-ferret",
 *      "optimizer": "adamw", "step": 500, ..., "data": "HASH", "tokenizer": "HASH",
 *      "program": "HASH", "fingerprint": 2, "hash": "HASH",
 *      "sampling": 0, "place": {"windows": 8000, "first": 0, "epochs": 0, "token": 0},
 *      "skipped": 0, "window": {"loss": [2.3, ...], "norm": [0.4, ...], "in_a_row": 0, "spikes": 0,
 *                               "quiet_until": 64},
 *      "hyper": {"schedule": "cosine", "rules": 2, "planned": 1000, "from": 0, "share": 0,
 *                "lr": 0.001, ...},
 *      "frozen": [["model.layers.0.mlp.experts.up_proj.weight", 3], ...],
 *      "journal": [{"step": 10, "kind": "set", "key": "lr", "value": 0.01, "expert": -1, "n": 0,
 *                   "text": "lr = 0.01"}]}
 *
 * A field is one row of `fields`, at the end, or of the table of the struct that it is in, and a
 * member of struct sy_image (checkpoint.h); saver.c fills it (take_numbers), resume.c takes it.
 * What a row says: checkpoint_json.h.  Hyper-parameters are rows already (SY_HYPER_MAP).
 *
 *  1. What a missing field means stands in its row: checkpoints of before are read as what held
 *     then.
 *  2. A field that this program does not know is refused by name: a newer one wrote it and goes by
 *     it.
 *
 * The values of a journal's inputs lie in state.safetensors. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/number.h"
#include "train/checkpoint.h"
#include "train/checkpoint_json.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- hyper-parameters ---- */

static void put_schedule(struct sy_str *s, const void *from)
{
    const char *name = sy_schedule_name(((const struct sy_hyper *)from)->schedule);
    sy_json_quote(s, name, strlen(name));
}

static void read_schedule(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    int s = sy_schedule_parse(sy__json_text(r, field->name));
    if (s < 0)
        sy_err_set(r->err, SY_E_UNSUPPORTED,
                   "checkpoint: state.json: unknown schedule '%.40s': a newer program made it",
                   sy__json_text(r, field->name));
    ((struct sy_hyper *)to)->schedule = s < 0 ? SY_COSINE : (enum sy_schedule)s;
}

static void check_rules(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const struct sy_hyper *h = to;
    (void)field;
    if (h->rules > SY_RULES)
        sy_err_set(r->err, SY_E_UNSUPPORTED,
                   "checkpoint: it was made by rules %d, this program knows 1 to %d", h->rules,
                   SY_RULES);
}

/* Who tells the rules tells these as well. */
static void missing_of_rules(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    (void)to;
    if (sy_json_get(r->object, "rules"))
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is missing", field->name);
}

/* The last of them. */
static void check_share(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const struct sy_hyper *h = to;
    (void)field;
    if (!(h->planned >= 0 && h->planned <= 1e12 && h->share >= 0 && h->share <= 1))
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: 'planned' is %g, 'share' is %g",
                   h->planned, h->share);
}

static enum sy_hyper_id id_of(const struct sy__field *field)
{
    return (enum sy_hyper_id)((field->at - offsetof(struct sy_hyper, v)) / sizeof(double));
}

static void check_hyper(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    enum sy_hyper_id id = id_of(field);
    double v = ((const struct sy_hyper *)to)->v[id];
    bool automatic =
        v < 0 && v == sy_hyper_spec(id)->preset; /* min_lr, warmup: computed from others */
    if (!automatic && sy_hyper_check(id, v, r->err))
        sy_err_prefix(r->err, "checkpoint: state.json");
}

/* What a checkpoint without this row was made with. */
static void missing_hyper(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    enum sy_hyper_id id = id_of(field);
    bool first = r->format < 2 && id == SY_HYPER_skip_sigma;
    ((struct sy_hyper *)to)->v[id] = first ? 6 : sy_hyper_spec(id)->preset;
}

static const struct sy__field hyper_list[] = {
    {"schedule", 1, SY__OTHER, .put = put_schedule, .read = read_schedule},
    {"rules", SY__OPTIONAL, SY__INTEGER, SY__IN(sy_hyper, rules), .least = 1, .most = INT32_MAX,
     .read = check_rules, .then = 1},
    {"planned", SY__OPTIONAL, SY__NUMBER, SY__IN(sy_hyper, planned), .missing = missing_of_rules},
    {"from", SY__OPTIONAL, SY__INTEGER, SY__IN(sy_hyper, from), .most = SY__MANY,
     .missing = missing_of_rules},
    {"share", SY__OPTIONAL, SY__NUMBER, SY__IN(sy_hyper, share), .read = check_share,
     .missing = missing_of_rules},
#define X(name, integer, least, most, preset, live, bears, help)                                   \
    {#name, SY__OPTIONAL, SY__NUMBER, SY__IN(sy_hyper, v[SY_HYPER_##name]), .read = check_hyper,   \
     .missing = missing_hyper},
    SY_HYPER_MAP(X)
#undef X
};
static const struct sy__fields hyper_fields = SY__FIELDS("hyper-parameter", hyper_list);

/* ---- the window of the spike rule, and the place in the data ---- */

static void put_numbers(struct sy_str *s, const double *v, int n)
{
    sy_str_puts(s, "[");
    for (int i = 0; i < n; i++) {
        sy_str_puts(s, i ? "," : "");
        sy_json_number(s, v[i]);
    }
    sy_str_puts(s, "]");
}

static void put_losses(struct sy_str *s, const void *from)
{
    const struct sy_window *w = from;
    put_numbers(s, w->loss, w->n);
}

static void put_norms(struct sy_str *s, const void *from)
{
    const struct sy_window *w = from;
    put_numbers(s, w->norm, w->n);
}

/* Numbers of a list, 0..SY_WINDOW of them, all finite. */
static int read_numbers(const struct sy__reader *r, const char *key, double *to)
{
    const struct sy_json *list = sy__json_field(r, key, SY_JSON_ARRAY);
    int n = 0;
    if (list && list->count > SY_WINDOW)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' of the window is too long",
                   key);
    for (const struct sy_json *v = list && list->count <= SY_WINDOW ? list->first : NULL; v;
         v = v->next) {
        bool good = (v->type == SY_JSON_INT || v->type == SY_JSON_REAL) && isfinite(v->real);
        if (!good)
            sy_err_set(r->err, SY_E_FORMAT,
                       "checkpoint: state.json: '%s' of the window holds no numbers", key);
        to[n++] = good ? v->real : 0;
    }
    return n;
}

static void read_losses(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy_window *w = to;
    w->n = read_numbers(r, field->name, w->loss);
}

static void read_norms(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy_window *w = to;
    if (read_numbers(r, field->name, w->norm) != w->n)
        sy_err_set(r->err, SY_E_FORMAT,
                   "checkpoint: state.json: the window's lists differ in length");
}

static const struct sy__field window_list[] = {
    {"loss", 1, SY__OTHER, .put = put_losses, .read = read_losses},
    {"norm", 1, SY__OTHER, .put = put_norms, .read = read_norms},
    {"in_a_row", 1, SY__INTEGER, SY__IN(sy_window, in_a_row), .most = INT32_MAX},
    {"spikes", SY__OPTIONAL, SY__INTEGER, SY__IN(sy_window, spikes), .most = INT32_MAX},
    {"quiet_until", 1, SY__INTEGER, SY__IN(sy_window, quiet_until), .most = (int64_t)1 << 53},
};
static const struct sy__fields window_fields = SY__FIELDS("field of the window", window_list);

static void check_first(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const struct sy_place *p = to;
    if (p->first > p->windows)
        sy_err_set(r->err, SY_E_FORMAT,
                   "checkpoint: state.json: '%s' is %" PRIu64 ", of %" PRIu64 " windows",
                   field->name, p->first, p->windows);
}

static const struct sy__field place_list[] = {
    {"windows", 1, SY__INTEGER, SY__IN(sy_place, windows), .most = (int64_t)1 << 62},
    {"first", 1, SY__INTEGER, SY__IN(sy_place, first), .most = (int64_t)1 << 62,
     .read = check_first},
    {"epochs", 1, SY__INTEGER, SY__IN(sy_place, epochs), .most = (int64_t)1 << 62},
    {"token", 1, SY__INTEGER, SY__IN(sy_place, token), .most = SY__MANY},
};
static const struct sy__fields place_fields = SY__FIELDS("field of the place", place_list);

/* ---- what is frozen ---- */

static void put_frozen(struct sy_str *s, const void *from)
{
    const struct sy_image *image = from;
    sy_str_puts(s, "[");
    for (int i = 0; i < image->nfrozen; i++) {
        const char *name = image->params->list[image->frozen[i].param].name;
        sy_str_puts(s, i ? ",[" : "[");
        sy_json_quote(s, name, strlen(name));
        sy_str_printf(s, ",%d]", image->frozen[i].expert);
    }
    sy_str_puts(s, "]");
}

static bool is_frozen(const struct sy_json *e)
{
    return e->type == SY_JSON_ARRAY && e->count == 2 && e->first->type == SY_JSON_STRING &&
           e->first->next->type == SY_JSON_INT && e->first->next->integer >= -1 &&
           e->first->next->integer <= INT32_MAX;
}

static void read_frozen(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy_image *image = to;
    const struct sy_json *list = sy__json_field(r, field->name, SY_JSON_ARRAY);
    size_t room = list ? (size_t)list->count + 1 : 1;
    image->frozen = sy_calloc(room, sizeof *image->frozen);
    image->frozen_names = sy_calloc(room, sizeof *image->frozen_names);
    if (!image->frozen || !image->frozen_names)
        sy_err_set(r->err, SY_E_MEMORY, "checkpoint: out of memory");
    for (const struct sy_json *e = list ? list->first : NULL; e && r->err->code == SY_E_OK;
         e = e->next) {
        if (!is_frozen(e)) {
            sy_err_set(r->err, SY_E_FORMAT,
                       "checkpoint: state.json: 'frozen' holds no [name, expert]");
            return;
        }
        image->frozen[image->nfrozen].expert = (int)e->first->next->integer;
        image->frozen_names[image->nfrozen++] = sy__json_copy(e->first->string, r->err);
    }
}

/* ---- the fields ---- */

static void missing_optimizer(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    (void)r;
    snprintf((char *)to + field->at, field->size, "%s", sy_optimizer_at(0)->name);
}

static bool absent_place(const void *from) { return ((const struct sy_image *)from)->by_step; }

static void missing_place(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    (void)r;
    (void)field;
    ((struct sy_image *)to)->by_step = true;
}

static void check_skipped(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const struct sy_image *image = to;
    (void)field;
    if (image->status.skipped > image->status.step)
        sy_err_set(r->err, SY_E_FORMAT,
                   "checkpoint: state.json: 'skipped' is %" PRId64 ", 'step' is %" PRId64,
                   image->status.skipped, image->status.step);
}

static const struct sy__field list[] = {
    {"format", 1, SY__INTEGER, SY__IN(sy_image, format), .least = 1, .most = INT32_MAX},
    {"exact", 1, SY__INTEGER, SY__IN(sy_image, exact), .most = INT32_MAX},
    {"run", 1, SY__OWNED, SY__IN(sy_image, run)},
    {"optimizer", SY__OPTIONAL, SY__TEXT, SY__IN(sy_image, optimizer),
     .missing = missing_optimizer},
    {"bf16", SY__OPTIONAL, SY__TEXT, SY__IN(sy_image, bf16)},
    {"config", SY__OPTIONAL, SY__OWNED, SY__IN(sy_image, config)},
    {"step", 1, SY__INTEGER, SY__IN(sy_image, status.step), .most = SY__MANY},
    {"tokens", 1, SY__INTEGER, SY__IN(sy_image, status.tokens), .most = INT64_MAX},
    {"loss", 1, SY__NUMBER, SY__IN(sy_image, status.loss)},
    {"lr", 1, SY__NUMBER, SY__IN(sy_image, status.lr)},
    {"grad_norm", 1, SY__NUMBER, SY__IN(sy_image, status.grad_norm)},
    {"val_loss", 1, SY__NUMBER, SY__IN(sy_image, status.val_loss)},
    {"val_step", 1, SY__INTEGER, SY__IN(sy_image, status.val_step), .most = SY__MANY},
    {"data", 1, SY__HASH, SY__IN(sy_image, data)},
    {"tokenizer", 1, SY__HASH, SY__IN(sy_image, tokenizer)},
    {"program", 1, SY__HASH, SY__IN(sy_image, program)},
    {"fingerprint", SY__OPTIONAL, SY__INTEGER, SY__IN(sy_image, fingerprint), .least = 1,
     .most = SY_FINGERPRINT_VERSION, .then = 1},
    {"hash", SY__OPTIONAL, SY__HASH, SY__IN(sy_image, hash)},
    {"sampling", 1, SY__INTEGER, SY__IN(sy_image, sampling), .most = SY_SAMPLE_COUNT - 1},
    {"place", SY__OPTIONAL, SY__OBJECT, SY__IN(sy_image, place), .rows = &place_fields,
     .missing = missing_place, .absent = absent_place},
    {"skipped", 2, SY__INTEGER, SY__IN(sy_image, status.skipped), .most = SY__MANY,
     .read = check_skipped},
    {"window", 2, SY__OBJECT, SY__IN(sy_image, window), .rows = &window_fields},
    {"hyper", 1, SY__OBJECT, SY__IN(sy_image, hyper), .rows = &hyper_fields},
    {"frozen", 1, SY__OTHER, .put = put_frozen, .read = read_frozen},
    {"journal", 1, SY__OTHER, .put = sy__journal_put, .read = sy__journal_read},
};
static const struct sy__fields fields = SY__FIELDS("field", list);

/* What sy_params_hash gives for the same run. */
static uint64_t image_hash(const struct sy_image *image)
{
    struct sy_hash h;
    const struct sy_params *ps = image->params;
    sy_hash_init(&h);
    sy_hash_update(&h, image->p, ps ? (size_t)ps->floats * sizeof(float) : 0);
    sy_hash_update(&h, image->kept, ps ? (size_t)ps->kept_floats * sizeof(float) : 0);
    for (int i = 0; i < image->nvalues; i++)
        if (image->values[i].part == SY_IMAGE_STATE)
            sy_hash_update(&h, image->values[i].data, image->values[i].bytes);
    return sy_hash_final(&h);
}

void sy__state_print(struct sy_str *s, const struct sy_image *given)
{
    struct sy_image image = *given;
    image.format = SY_CHECKPOINT_FORMAT;
    image.exact = SY_EXACT_VERSION;
    image.hash = image_hash(given);
    sy__fields_put(s, &fields, &image);
    sy_str_puts(s, "\n");
}

/* The format comes first: it says which fields there have to be. */
static void read_all(struct sy__reader *r, struct sy_image *image)
{
    const struct sy_json *format = sy__json_field(r, "format", SY_JSON_INT);
    image->status.tok_s = image->status.mfu = image->status.eta = image->status.load_max_mean =
        (double)NAN;
    if (format && format->integer > SY_CHECKPOINT_FORMAT)
        sy_err_set(r->err, SY_E_UNSUPPORTED,
                   "checkpoint: its format is %" PRId64 ", this program reads up to %d",
                   format->integer, SY_CHECKPOINT_FORMAT);
    r->format = format && r->err->code == SY_E_OK ? (int)format->integer : SY_CHECKPOINT_FORMAT;
    sy__fields_read(r, &fields, image);
    image->status.steps = sy_to_int64(image->hyper.v[SY_HYPER_steps]);
}

struct sy_image *sy__state_parse(const char *json, size_t n, struct sy_err *err)
{
    struct sy_json *root = sy_json_parse(json, n, err);
    struct sy_image *image = root ? sy_calloc(1, sizeof *image) : NULL;
    struct sy__reader r = {root, 0, err};
    if (root && !image)
        sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
    else if (root && root->type != SY_JSON_OBJECT)
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: no object");
    else if (root)
        read_all(&r, image);
    sy_json_free(root);
    if (err->code == SY_E_OK)
        return image;
    sy_image_free(image);
    return NULL;
}

void sy_image_free(struct sy_image *image)
{
    if (!image)
        return;
    for (int i = 0; image->frozen_names && i < image->nfrozen; i++)
        sy_free(image->frozen_names[i]);
    sy_free(image->frozen_names);
    sy_free(image->frozen);
    sy__journal_free(image->journal, image->njournal);
    sy_free(image->values);
    sy_free(image->block);
    sy_free(image->run);
    sy_free(image->config);
    sy_free(image);
}
