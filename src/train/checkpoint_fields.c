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
 * A field is one row of `rows`, at the end, and a member of struct sy_image (checkpoint.h); saver.c fills it
 * (take_numbers), resume.c takes it.
 *
 *  1. What a missing field means stands in its row: checkpoints of before are read as what held then.
 *  2. A field, or a hyper-parameter, that this program does not know is refused by name: a newer one wrote it
 *     and goes by it.
 *
 * Hashes are 16 hex digits, since not every JSON reader has 64-bit integers.  A number that is not
 * finite is null.  The values of a journal's inputs lie in state.safetensors. */
#include "base/grow.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"
#include "train/checkpoint.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- printing ---- */

static void put_key(struct sy_str *s, const char *key)
{
    bool first = s->len && s->data[s->len - 1] == '{';
    sy_str_printf(s, "%s\"%s\":", first ? "" : ",", key);
}

static void put_text(struct sy_str *s, const char *key, const char *value)
{
    put_key(s, key);
    sy_json_quote(s, value, strlen(value));
}

static void put_hash(struct sy_str *s, const char *key, uint64_t h)
{
    char hex[17];
    sy_hash_hex(h, hex);
    put_key(s, key);
    sy_str_printf(s, "\"%s\"", hex);
}

static void put_number(struct sy_str *s, const char *key, double v)
{
    put_key(s, key);
    sy_json_number(s, v);
}

static void put_integer(struct sy_str *s, const char *key, int64_t v)
{
    put_key(s, key);
    sy_str_printf(s, "%" PRId64, v);
}

static void put_hyper(struct sy_str *s, const struct sy_image *image)
{
    const struct sy_hyper *h = &image->hyper;
    sy_str_puts(s, "{");
    put_text(s, "schedule", sy_schedule_name(h->schedule));
    put_integer(s, "rules", h->rules);
    put_number(s, "planned", h->planned);
    put_integer(s, "from", h->from);
    put_number(s, "share", h->share);
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        put_number(s, sy_hyper_spec((enum sy_hyper_id)i)->name, h->v[i]);
    sy_str_puts(s, "}");
}

static void put_list(struct sy_str *s, const char *key, const double *v, int n)
{
    put_key(s, key);
    sy_str_puts(s, "[");
    for (int i = 0; i < n; i++) {
        sy_str_puts(s, i ? "," : "");
        sy_json_number(s, v[i]);
    }
    sy_str_puts(s, "]");
}

static void put_window(struct sy_str *s, const struct sy_image *image)
{
    const struct sy_window *w = &image->window;
    sy_str_puts(s, "{");
    put_list(s, "loss", w->loss, w->n);
    put_list(s, "norm", w->norm, w->n);
    put_integer(s, "in_a_row", w->in_a_row);
    put_integer(s, "spikes", w->spikes);
    put_integer(s, "quiet_until", w->quiet_until);
    sy_str_puts(s, "}");
}

static void put_place(struct sy_str *s, const struct sy_image *image)
{
    const struct sy_place *p = &image->place;
    sy_str_printf(s, "{\"windows\":%" PRIu64 ",\"first\":%" PRIu64 ",\"epochs\":%" PRIu64
                     ",\"token\":%" PRId64 "}", p->windows, p->first, p->epochs, p->token);
}

static void put_frozen(struct sy_str *s, const struct sy_image *image)
{
    sy_str_puts(s, "[");
    for (int i = 0; i < image->nfrozen; i++) {
        const char *name = image->params->list[image->frozen[i].param].name;
        sy_str_puts(s, i ? ",[" : "[");
        sy_json_quote(s, name, strlen(name));
        sy_str_printf(s, ",%d]", image->frozen[i].expert);
    }
    sy_str_puts(s, "]");
}

static void put_journal(struct sy_str *s, const struct sy_image *image)
{
    sy_str_puts(s, "[");
    for (int i = 0; i < image->njournal; i++) {
        const struct sy_journal_entry *e = &image->journal[i];
        sy_str_puts(s, i ? ",{" : "{");
        put_integer(s, "step", e->step);
        put_text(s, "kind", sy_entry_row(e->kind)->name);
        put_text(s, "key", e->key);
        put_number(s, "value", e->value);
        put_integer(s, "expert", e->expert);
        put_integer(s, "n", e->n);
        put_text(s, "text", e->text);
        sy_str_puts(s, "}");
    }
    sy_str_puts(s, "]");
}

/* What sy_params_hash gives for the same run. */
static uint64_t image_hash(const struct sy_image *image)
{
    struct sy_hash h;
    const struct sy_params *ps = image->params;
    sy_hash_init(&h);
    sy_hash_update(&h, image->p, ps ? (size_t)ps->floats * sizeof(float) : 0);
    sy_hash_update(&h, image->kept, ps ? (size_t)ps->kept_floats * sizeof(float) : 0);
    for (int i = 0; i < image->nvalues; i++)
        if (!strncmp(image->values[i].name, "state.", 6))
            sy_hash_update(&h, image->values[i].data, image->values[i].bytes);
    return sy_hash_final(&h);
}

/* ---- parsing: the first thing that is wrong stays in err ---- */

struct reader {
    const struct sy_json *object;
    struct sy_err *err;
};

static const struct sy_json *field(const struct reader *r, const char *key, enum sy_json_type type)
{
    const struct sy_json *v = sy_json_get(r->object, key);
    if (v && v->type == type)
        return v;
    sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is %s", key,
               v ? "of the wrong type" : "missing");
    return NULL;
}

static int64_t integer(const struct reader *r, const char *key, int64_t least, int64_t most)
{
    const struct sy_json *v = field(r, key, SY_JSON_INT);
    if (v && (v->integer < least || v->integer > most))
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is %" PRId64
                   ", must be from %" PRId64 " to %" PRId64, key, v->integer, least, most);
    return v ? v->integer : 0;
}

static double number(const struct reader *r, const char *key)
{
    const struct sy_json *v = sy_json_get(r->object, key);
    if (v && v->type == SY_JSON_NULL)
        return (double)NAN;
    if (v && (v->type == SY_JSON_INT || v->type == SY_JSON_REAL))
        return v->real;
    sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is no number", key);
    return 0;
}

static const char *text(const struct reader *r, const char *key)
{
    const struct sy_json *v = field(r, key, SY_JSON_STRING);
    if (v && memchr(v->string, 0, v->string_len))
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' has a NUL", key);
    return v ? v->string : "";
}

static uint64_t hash(const struct reader *r, const char *key)
{
    static const char digits[] = "0123456789abcdef";
    const char *s = text(r, key);
    uint64_t h = 0;
    bool good = strlen(s) == 16;
    for (int i = 0; good && i < 16; i++) {
        const char *d = strchr(digits, s[i]);
        good = d != NULL;
        h = h << 4 | (uint64_t)(good ? d - digits : 0);
    }
    if (!good)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is no hash", key);
    return h;
}

static char *copy_text(const char *s, struct sy_err *err)
{
    char *copy = sy_strdup(s);
    if (!copy)
        sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
    return copy;
}

/* Numbers of a list, 0..SY_WINDOW of them, all finite. */
static int read_list(const struct reader *r, const char *key, double *to)
{
    const struct sy_json *list = field(r, key, SY_JSON_ARRAY);
    int n = 0;
    if (list && list->count > SY_WINDOW)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' of the window is too long",
                   key);
    for (const struct sy_json *v = list && list->count <= SY_WINDOW ? list->first : NULL; v;
         v = v->next) {
        bool good = (v->type == SY_JSON_INT || v->type == SY_JSON_REAL) && isfinite(v->real);
        if (!good)
            sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' of the window holds no numbers", key);
        to[n++] = good ? v->real : 0;
    }
    return n;
}

static void read_place(const struct sy_json *object, struct sy_image *image, struct sy_err *err)
{
    struct reader r = {object, err};
    image->by_step = false;
    image->place.windows = (uint64_t)integer(&r, "windows", 0, (int64_t)1 << 62);
    image->place.first = (uint64_t)integer(&r, "first", 0, (int64_t)image->place.windows);
    image->place.epochs = (uint64_t)integer(&r, "epochs", 0, (int64_t)1 << 62);
    image->place.token = integer(&r, "token", 0, (int64_t)1 << 52);
}

static void read_window(const struct sy_json *object, struct sy_image *image, struct sy_err *err)
{
    struct reader r = {object, err};
    struct sy_window *w = &image->window;
    w->n = read_list(&r, "loss", w->loss);
    if (read_list(&r, "norm", w->norm) != w->n)
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: the window's lists differ in length");
    w->in_a_row = integer(&r, "in_a_row", 0, INT32_MAX);
    w->spikes = sy_json_get(object, "spikes") ? integer(&r, "spikes", 0, INT32_MAX) : 0;
    w->quiet_until = integer(&r, "quiet_until", 0, (int64_t)1 << 53);
}

/* Missing: a run by the first rules. */
static void read_schedule(const struct reader *r, struct sy_hyper *h)
{
    h->rules = 1;
    if (!sy_json_get(r->object, "rules"))
        return;
    h->rules = (int)integer(r, "rules", 1, INT32_MAX);
    if (h->rules > SY_RULES)
        sy_err_set(r->err, SY_E_UNSUPPORTED, "checkpoint: it was made by rules %d, this program knows 1 to %d",
                   h->rules, SY_RULES);
    h->planned = number(r, "planned");
    h->from = integer(r, "from", 0, (int64_t)1 << 52);
    h->share = number(r, "share");
    if (!(h->planned >= 0 && h->planned <= 1e12 && h->share >= 0 && h->share <= 1))
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: 'planned' is %g, 'share' is %g",
                   h->planned, h->share);
}

/* What a checkpoint without this row was made with. */
static double preset_of_then(enum sy_hyper_id id, int format)
{
    return format < 2 && id == SY_HYPER_skip_sigma ? 6 : sy_hyper_spec(id)->preset;
}

static void check_known(const struct sy_json *object, struct sy_err *err)
{
    static const char *const others[] = {"schedule", "rules", "planned", "from", "share"};
    for (const struct sy_json *v = object->first; v; v = v->next) {
        bool known = sy_hyper_find(v->key) >= 0;
        for (size_t i = 0; i < sizeof others / sizeof *others && !known; i++)
            known = !strcmp(v->key, others[i]);
        if (!known)
            sy_err_set(err, SY_E_UNSUPPORTED, "checkpoint: state.json: unknown hyper-parameter '%.60s': a newer "
                                              "program made it", v->key);
    }
}

static void read_hyper(const struct sy_json *object, struct sy_image *image, struct sy_err *err)
{
    struct reader r = {object, err};
    struct sy_hyper *h = &image->hyper;
    int s = sy_schedule_parse(text(&r, "schedule"));
    if (s < 0)
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: unknown schedule");
    h->schedule = s < 0 ? SY_COSINE : (enum sy_schedule)s;
    read_schedule(&r, h);
    check_known(object, err);
    for (int i = 0; i < SY_HYPER_COUNT; i++) {
        const struct sy_hyper_spec *spec = sy_hyper_spec((enum sy_hyper_id)i);
        bool missing = !sy_json_get(object, spec->name);
        double v = missing ? preset_of_then((enum sy_hyper_id)i, image->format) : number(&r, spec->name);
        bool automatic = v < 0 && v == spec->preset; /* min_lr, warmup: computed from others */
        if (!automatic && !missing && sy_hyper_check((enum sy_hyper_id)i, v, err))
            sy_err_prefix(err, "checkpoint: state.json");
        h->v[i] = v;
    }
    image->status.steps = sy_to_int64(h->v[SY_HYPER_steps]);
}

static void read_frozen(const struct sy_json *list, struct sy_image *image, struct sy_err *err)
{
    image->frozen = sy_calloc((size_t)list->count + 1, sizeof *image->frozen);
    image->frozen_names = sy_calloc((size_t)list->count + 1, sizeof *image->frozen_names);
    if (!image->frozen || !image->frozen_names) {
        sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
        return;
    }
    for (const struct sy_json *e = list->first; e; e = e->next) {
        if (e->type != SY_JSON_ARRAY || e->count != 2 || e->first->type != SY_JSON_STRING ||
            e->first->next->type != SY_JSON_INT || e->first->next->integer < -1 ||
            e->first->next->integer > INT32_MAX) {
            sy_err_set(err, SY_E_FORMAT,
                       "checkpoint: state.json: 'frozen' holds no [name, expert]");
            return;
        }
        image->frozen[image->nfrozen].expert = (int)e->first->next->integer;
        image->frozen_names[image->nfrozen++] = copy_text(e->first->string, err);
        if (!image->frozen_names[image->nfrozen - 1])
            return;
    }
}

static void copy_field(char *to, size_t room, const struct reader *r, const char *key)
{
    const char *s = text(r, key);
    if (strlen(s) >= room)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' of the journal is too long",
                   key);
    snprintf(to, room, "%s", s);
}

static void read_entry(const struct sy_json *j, struct sy_journal_entry *e, int64_t last,
                       struct sy_err *err)
{
    struct reader r = {j, err};
    if (j->type != SY_JSON_OBJECT) {
        sy_err_set(err, SY_E_FORMAT, "checkpoint: state.json: the journal holds no objects");
        return;
    }
    e->step = integer(&r, "step", 0, last);
    const char *kind = text(&r, "kind");
    int id = sy_entry_find(kind);
    if (id < 0 && err->code == SY_E_OK)
        sy_err_set(err, SY_E_UNSUPPORTED,
                   "checkpoint: state.json: the journal has an entry of kind '%.40s', which this program does not know", kind);
    e->kind = id < 0 ? SY_ENTRY_NOTE : (enum sy_entry_kind)id;
    copy_field(e->key, sizeof e->key, &r, "key");
    /* cut, where replacing broken characters made it longer */
    snprintf(e->text, sizeof e->text, "%.*s", (int)sizeof e->text - 1, text(&r, "text"));
    e->value = number(&r, "value");
    e->expert = integer(&r, "expert", -1, INT32_MAX);
    e->n = integer(&r, "n", 0, INT32_MAX);
    sy_entry_renew(e);
}

/* Room grows with what was read, not with what a list says of itself: an entry is larger than
 * "0,". */
static void read_journal(const struct sy_json *list, struct sy_image *image, struct sy_err *err)
{
    size_t room = 0;
    for (const struct sy_json *j = list->first; j && err->code == SY_E_OK; j = j->next) {
        if (SY_GROW(image->journal, room, image->njournal + 1)) {
            sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
            return;
        }
        struct sy_journal_entry *e = &image->journal[image->njournal];
        memset(e, 0, sizeof *e);
        read_entry(j, e, image->status.step, err);
        image->njournal += err->code == SY_E_OK;
    }
}

/* ---- the fields ---- */

enum kind { INTEGER, NUMBER, HASH, TEXT, OWNED, OBJECT, LIST };

struct row {
    const char *name;
    int since; /* formats from this one on have it; OPTIONAL: it may be missing in any */
    enum kind kind;
    size_t at, size; /* of the member: int64_t or int; double; uint64_t; char[]; char * */
    int64_t least, most; /* INTEGER */
    void (*put)(struct sy_str *s, const struct sy_image *image); /* OBJECT and LIST */
    void (*read)(const struct sy_json *v, struct sy_image *image, struct sy_err *err);
    void (*missing)(struct sy_image *image); /* what that means; NULL: 0, "", NULL */
};

#define OPTIONAL INT32_MAX
#define IN(member) offsetof(struct sy_image, member), sizeof(((struct sy_image *)0)->member)
#define MANY ((int64_t)1 << 52)

static void missing_optimizer(struct sy_image *image)
{
    snprintf(image->optimizer, sizeof image->optimizer, "%s", sy_optimizer_at(0)->name);
}

static void missing_fingerprint(struct sy_image *image) { image->fingerprint = 1; }
static void missing_place(struct sy_image *image) { image->by_step = true; }

/* As they are written, and read: a later one may need one before. */
static const struct row rows[] = {
    {"format", 1, INTEGER, IN(format), 1, INT32_MAX, NULL, NULL, NULL},
    {"exact", 1, INTEGER, IN(exact), 0, INT32_MAX, NULL, NULL, NULL},
    {"run", 1, OWNED, IN(run), 0, 0, NULL, NULL, NULL},
    {"optimizer", OPTIONAL, TEXT, IN(optimizer), 0, 0, NULL, NULL, missing_optimizer},
    {"bf16", OPTIONAL, TEXT, IN(bf16), 0, 0, NULL, NULL, NULL},
    {"config", OPTIONAL, OWNED, IN(config), 0, 0, NULL, NULL, NULL},
    {"step", 1, INTEGER, IN(status.step), 0, MANY, NULL, NULL, NULL},
    {"tokens", 1, INTEGER, IN(status.tokens), 0, INT64_MAX, NULL, NULL, NULL},
    {"loss", 1, NUMBER, IN(status.loss), 0, 0, NULL, NULL, NULL},
    {"lr", 1, NUMBER, IN(status.lr), 0, 0, NULL, NULL, NULL},
    {"grad_norm", 1, NUMBER, IN(status.grad_norm), 0, 0, NULL, NULL, NULL},
    {"val_loss", 1, NUMBER, IN(status.val_loss), 0, 0, NULL, NULL, NULL},
    {"val_step", 1, INTEGER, IN(status.val_step), 0, MANY, NULL, NULL, NULL},
    {"data", 1, HASH, IN(data), 0, 0, NULL, NULL, NULL},
    {"tokenizer", 1, HASH, IN(tokenizer), 0, 0, NULL, NULL, NULL},
    {"program", 1, HASH, IN(program), 0, 0, NULL, NULL, NULL},
    {"fingerprint", OPTIONAL, INTEGER, IN(fingerprint), 1, SY_FINGERPRINT_VERSION, NULL, NULL,
     missing_fingerprint},
    {"hash", OPTIONAL, HASH, IN(hash), 0, 0, NULL, NULL, NULL},
    {"sampling", 1, INTEGER, IN(sampling), 0, SY_SAMPLE_SEQUENTIAL, NULL, NULL, NULL},
    {"place", OPTIONAL, OBJECT, IN(place), 0, 0, put_place, read_place, missing_place},
    {"skipped", 2, INTEGER, IN(status.skipped), 0, MANY, NULL, NULL, NULL},
    {"window", 2, OBJECT, IN(window), 0, 0, put_window, read_window, NULL},
    {"hyper", 1, OBJECT, IN(hyper), 0, 0, put_hyper, read_hyper, NULL},
    {"frozen", 1, LIST, IN(frozen), 0, 0, put_frozen, read_frozen, NULL},
    {"journal", 1, LIST, IN(journal), 0, 0, put_journal, read_journal, NULL},
};
enum { ROWS = sizeof rows / sizeof *rows };

static int64_t get_integer(const struct row *row, const void *from)
{
    return row->size == sizeof(int64_t) ? *(const int64_t *)from : *(const int *)from;
}

static void set_integer(const struct row *row, void *to, int64_t v)
{
    if (row->size == sizeof(int64_t))
        *(int64_t *)to = v;
    else
        *(int *)to = (int)v;
}

static void put_row(struct sy_str *s, const struct row *row, const struct sy_image *image)
{
    const void *from = (const char *)image + row->at;
    const char *words = row->kind == OWNED ? *(char *const *)from : row->kind == TEXT ? from : "";
    if (row->since == OPTIONAL && (row->kind == OWNED || row->kind == TEXT) && !(words && *words))
        return;
    if (row->kind == INTEGER)
        put_integer(s, row->name, get_integer(row, from));
    else if (row->kind == NUMBER)
        put_number(s, row->name, *(const double *)from);
    else if (row->kind == HASH)
        put_hash(s, row->name, *(const uint64_t *)from);
    else if (!row->put)
        put_text(s, row->name, words);
    else {
        put_key(s, row->name);
        row->put(s, image);
    }
}

void sy__state_print(struct sy_str *s, const struct sy_image *given)
{
    struct sy_image image = *given;
    image.format = SY_CHECKPOINT_FORMAT;
    image.exact = SY_EXACT_VERSION;
    image.hash = image_hash(given);
    sy_str_puts(s, "{");
    for (int i = 0; i < ROWS; i++)
        if (!(image.by_step && rows[i].missing == missing_place))
            put_row(s, &rows[i], &image);
    sy_str_puts(s, "}\n");
}

static void read_text(const struct reader *r, const struct row *row, char *to)
{
    const char *s = text(r, row->name);
    if (strlen(s) >= row->size)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: '%s' is too long", row->name);
    snprintf(to, row->size, "%s", s);
}

static void read_row(const struct reader *r, const struct row *row, struct sy_image *image)
{
    char *to = (char *)image + row->at;
    const struct sy_json *v = NULL;
    if (row->kind == INTEGER)
        set_integer(row, to, integer(r, row->name, row->least, row->most));
    else if (row->kind == NUMBER)
        *(double *)(void *)to = number(r, row->name);
    else if (row->kind == HASH)
        *(uint64_t *)(void *)to = hash(r, row->name);
    else if (row->kind == TEXT)
        read_text(r, row, to);
    else if (row->kind == OWNED)
        *(char **)(void *)to = copy_text(text(r, row->name), r->err);
    else
        v = field(r, row->name, row->kind == LIST ? SY_JSON_ARRAY : SY_JSON_OBJECT);
    if (v)
        row->read(v, image, r->err);
}

static void check_fields(const struct reader *r)
{
    for (const struct sy_json *v = r->object->first; v; v = v->next) {
        bool known = false;
        for (int i = 0; i < ROWS && !known; i++)
            known = !strcmp(v->key, rows[i].name);
        if (!known)
            sy_err_set(r->err, SY_E_UNSUPPORTED,
                       "checkpoint: state.json: unknown field '%.60s': a newer program made it", v->key);
    }
}

static void read_all(const struct reader *r, struct sy_image *image)
{
    image->status.tok_s = image->status.mfu = image->status.eta = image->status.load_max_mean = (double)NAN;
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        if (i == 1 && image->format > SY_CHECKPOINT_FORMAT)
            sy_err_set(r->err, SY_E_UNSUPPORTED, "checkpoint: its format is %d, this program reads up to %d",
                       image->format, SY_CHECKPOINT_FORMAT);
        if (sy_json_get(r->object, row->name) || row->since <= image->format || i == 0)
            read_row(r, row, image);
        else if (row->missing)
            row->missing(image);
    }
    if (image->status.skipped > image->status.step)
        sy_err_set(r->err, SY_E_FORMAT, "checkpoint: state.json: 'skipped' is more than 'step'");
    check_fields(r);
}

struct sy_image *sy__state_parse(const char *json, size_t n, struct sy_err *err)
{
    struct sy_json *root = sy_json_parse(json, n, err);
    struct sy_image *image = root ? sy_calloc(1, sizeof *image) : NULL;
    struct reader r = {root, err};
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
