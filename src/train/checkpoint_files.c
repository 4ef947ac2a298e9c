/* The files of one checkpoint: written, verified, read.  See checkpoint.h.
 *
 * MANIFEST is one line of JSON, the last member of which is the hash of all that stands before it:
 *
 *     {"format":2,"step":500,"config":"HASH","id":"RUN",
 *      "files":{"model.safetensors":{"bytes":N,"hash":"HASH"},...},"sum":"HASH"}
 */
#include "train/checkpoint_int.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sys.h"
#include "switchyard/io.h"
#include "train/optimizers/optimizer.h"
#include "train/trainer_int.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANIFEST_MOST ((uint64_t)64 << 10)
#define STATE_MOST ((uint64_t)1 << 30)

const char *const sy__file_names[SY__FILES] = {"model.safetensors", "optimizer.safetensors",
                                              "state.safetensors", "state.json"};

int sy__path_join(char out[SY_PATH_MAX], const char *dir, const char *name, struct sy_err *err)
{
    int n = snprintf(out, SY_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= SY_PATH_MAX)
        return sy_err_set(err, SY_E_RANGE, OP ": the path is too long: %s", dir);
    return 0;
}

int sy__failed(const char *what, const char *path, struct sy_err *err)
{
    return sy_err_sys(err, errno, OP ": cannot %s %s", what, path);
}

/* ---- writing the files ---- */

static int finish_file(struct sy_st_writer *w, const struct sy_dir *in, struct sy_file_sum *sum,
                       struct sy_err *err)
{
    if (!w)
        return -1;
    sy_st_direct(w, in);
    return sy_st_finish_sum(w, sum, err);
}

static int write_model(const struct sy_image *image, const struct sy_dir *in, const char *path,
                       struct sy_file_sum *sum, struct sy_err *err)
{
    static const char *const meta[] = {"format", "pt", NULL};
    struct sy_st_writer *w = sy_st_begin(path, meta, err);
    for (int i = 0; w && i < image->params->count; i++) {
        const struct sy_param *p = &image->params->list[i];
        if (sy_st_add(w, p->name, SY_F32, p->tensor->ndim, p->tensor->shape, image->p + p->offset,
                      err)) {
            sy_st_abort(w);
            w = NULL;
        }
    }
    return finish_file(w, in, sum, err);
}

static int add_slot(struct sy_st_writer *w, const struct sy_image *image, int param, int state,
                    struct sy_err *err)
{
    const struct sy_params *ps = image->params;
    const struct sy_slot *slot = sy_params_slot(ps, param, state);
    struct sy_str name = SY_STR_INIT;
    if (!slot->count)
        return 0;
    sy_str_printf(&name, "%s.%s", ps->list[param].name, ps->optimizer->states[state]);
    int rc = name.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory")
                         : sy_st_add(w, name.data, SY_F32, slot->ndim, slot->shape,
                                     image->kept + slot->offset, err);
    sy_str_free(&name);
    return rc;
}

static int write_optimizer(const struct sy_image *image, const struct sy_dir *in, const char *path,
                           struct sy_file_sum *sum, struct sy_err *err)
{
    const struct sy_params *ps = image->params;
    struct sy_st_writer *w = sy_st_begin(path, NULL, err);
    int rc = w ? 0 : -1;
    for (int i = 0; i < ps->count; i++)
        for (int s = 0; s < ps->nslots && !rc; s++)
            rc = add_slot(w, image, i, s, err);
    if (!rc)
        return finish_file(w, in, sum, err);
    sy_st_abort(w);
    return -1;
}

static int write_values(const struct sy_image *image, const struct sy_dir *in, const char *path,
                        struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy_st_writer *w = sy_st_begin(path, NULL, err);
    int rc = w ? 0 : -1;
    for (int i = 0; i < image->nvalues && !rc; i++) {
        const struct sy_image_value *v = &image->values[i];
        rc = sy_st_add(w, v->name, v->dtype, v->ndim, v->shape, v->data, err);
    }
    for (int i = 0; i < image->njournal && !rc; i++) {
        const struct sy_journal_entry *e = &image->journal[i];
        char name[32];
        snprintf(name, sizeof name, "journal.%d", i + 1);
        if (e->n)
            rc = sy_st_add(w, name, SY_F32, 1, &e->n, e->values, err);
    }
    if (!rc)
        return finish_file(w, in, sum, err);
    sy_st_abort(w);
    return -1;
}

static int write_state(const struct sy_image *image, const struct sy_dir *in, const char *path,
                       struct sy_file_sum *sum, struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    sy__state_print(&s, image);
    int rc = s.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory writing %s", path)
                      : sy_file_write(OP, in, path, s.data, s.len, true, sum, err);
    sy_str_free(&s);
    return rc;
}

static uint64_t config_hash(const struct sy_image *image)
{
    struct sy_hash h;
    sy_hash_init(&h);
    for (int i = 0; i < SY_HYPER_COUNT; i++)
        sy_hash_update(&h, &image->hyper.v[i], sizeof image->hyper.v[i]);
    sy_hash_update(&h, &image->hyper.schedule, sizeof image->hyper.schedule);
    if (image->config)
        sy_hash_update(&h, image->config, strlen(image->config));
    return sy_hash_final(&h);
}

struct manifest {
    int64_t format, step;
    char config[17]; /* hash of the configuration */
    char id[SY_RUN_ID];
    struct sy_file_sum sums[SY__FILES];
};

static void print_manifest(struct sy_str *s, const struct manifest *m)
{
    char hex[17];
    sy_str_printf(s, "{\"format\":%" PRId64 ",\"step\":%" PRId64 ",\"config\":\"%s\"", m->format,
                  m->step, m->config);
    if (*m->id)
        sy_str_printf(s, ",\"id\":\"%s\"", m->id);
    for (int i = 0; i < SY__FILES; i++) {
        sy_hash_hex(m->sums[i].hash, hex);
        sy_str_printf(s, "%s\"%s\":{\"bytes\":%" PRIu64 ",\"hash\":\"%s\"}",
                      i ? "," : ",\"files\":{", sy__file_names[i], m->sums[i].bytes, hex);
    }
    sy_str_puts(s, "}");
    sy_hash_hex(s->failed ? 0 : sy_hash_bytes(s->data, s->len), hex);
    sy_str_printf(s, ",\"sum\":\"%s\"}\n", hex);
}

static int write_manifest(const struct sy_dir *in, const char *dir, const struct manifest *m,
                          struct sy_err *err)
{
    char path[SY_PATH_MAX];
    struct sy_str s = SY_STR_INIT;
    if (sy__path_join(path, dir, "MANIFEST", err))
        return -1;
    print_manifest(&s, m);
    int rc = s.failed ? sy_err_set(err, SY_E_MEMORY, OP ": out of memory writing %s", path)
                      : sy_file_write(OP, in, path, s.data, s.len, true, NULL, err);
    sy_str_free(&s);
    return rc;
}

int sy__files_write(const struct sy_dir *in, const char *dir, const struct sy_image *image,
                    struct sy_err *err)
{
    static int (*const writers[SY__FILES])(const struct sy_image *, const struct sy_dir *,
                                           const char *, struct sy_file_sum *, struct sy_err *) = {
        write_model, write_optimizer, write_values, write_state};
    struct manifest m = {.format = SY_CHECKPOINT_FORMAT, .step = image->status.step};
    char path[SY_PATH_MAX];
    for (int i = 0; i < SY__FILES; i++)
        if (sy__path_join(path, dir, sy__file_names[i], err) ||
            writers[i](image, in, path, &m.sums[i], err))
            return -1;
    sy_hash_hex(config_hash(image), m.config);
    snprintf(m.id, sizeof m.id, "%s", image->id);
    if (write_manifest(in, dir, &m, err))
        return -1;
    return sy_sys_sync_folder(in, dir) ? sy__failed("sync", dir, err) : 0;
}

uint64_t sy__image_bytes(const struct sy_image *image)
{
    const struct sy_params *ps = image->params;
    uint64_t bytes = 4096;
    for (int i = 0; i < ps->count; i++) {
        uint64_t head = 2 * strlen(ps->list[i].name) + 128;
        bytes += (uint64_t)ps->list[i].count * sizeof(float) + head;
        for (int s = 0; s < ps->nslots; s++) {
            uint64_t n = (uint64_t)sy_params_slot(ps, i, s)->count;
            bytes += n ? n * sizeof(float) + head : 0;
        }
    }
    for (int i = 0; i < image->nvalues; i++)
        bytes += image->values[i].bytes + 256;
    for (int i = 0; i < image->njournal; i++)
        bytes += (uint64_t)image->journal[i].n * sizeof(float) + 1024;
    return bytes + (image->config ? 2 * strlen(image->config) : 0);
}

/* ---- verifying ---- */

#define SUM_LENGTH 28 /* ,"sum":"0123456789abcdef"}\n */

/* The text up to its own hash is right. */
static bool manifest_sum_holds(const char *text, uint64_t n)
{
    char hex[17], want[SUM_LENGTH + 1];
    if (n < SUM_LENGTH)
        return false;
    sy_hash_hex(sy_hash_bytes(text, n - SUM_LENGTH + 1), hex);
    snprintf(want, sizeof want, ",\"sum\":\"%s\"}\n", hex);
    return !memcmp(text + n - SUM_LENGTH + 1, want, SUM_LENGTH - 1);
}

static const char *string_of(const struct sy_json *object, const char *name)
{
    const struct sy_json *v = sy_json_get(object, name);
    return v && v->type == SY_JSON_STRING ? v->string : "";
}

static bool is_hex(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

/* What MANIFEST says of one file. */
static int take_file(const struct sy_json *files, const char *name, const char *dir,
                     struct sy_file_sum *sum, struct sy_err *err)
{
    const struct sy_json *f = sy_json_get(files, name);
    const struct sy_json *size = f && f->type == SY_JSON_OBJECT ? sy_json_get(f, "bytes") : NULL;
    const char *hash = size ? string_of(f, "hash") : "";
    if (!size || size->type != SY_JSON_INT || size->integer < 0 || !is_hex(hash, 16))
        return sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST has no %s", dir, name);
    *sum = (struct sy_file_sum){(uint64_t)size->integer, strtoull(hash, NULL, 16)};
    return 0;
}

static int parse_manifest(const char *dir, const struct sy_json *root, struct manifest *m,
                          struct sy_err *err)
{
    bool object = root->type == SY_JSON_OBJECT;
    const struct sy_json *format = object ? sy_json_get(root, "format") : NULL;
    const struct sy_json *step = object ? sy_json_get(root, "step") : NULL;
    const struct sy_json *files = object ? sy_json_get(root, "files") : NULL;
    if (!format || format->type != SY_JSON_INT || !step || step->type != SY_JSON_INT || !files ||
        files->type != SY_JSON_OBJECT)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST lacks format, step or files", dir);
    if (format->integer < 1 || format->integer > SY_CHECKPOINT_FORMAT)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          OP ": %s: its format is %" PRId64 ", this program reads up to %d", dir,
                          format->integer, SY_CHECKPOINT_FORMAT);
    const char *config = string_of(root, "config"), *id = string_of(root, "id");
    if (*id && !is_hex(id, SY_RUN_ID - 1))
        return sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST has a strange id", dir);
    *m = (struct manifest){.format = format->integer, .step = step->integer};
    snprintf(m->config, sizeof m->config, "%s", is_hex(config, 16) ? config : "");
    snprintf(m->id, sizeof m->id, "%s", id);
    for (int i = 0; i < SY__FILES; i++)
        if (take_file(files, sy__file_names[i], dir, &m->sums[i], err))
            return -1;
    return 0;
}

static int read_manifest(const struct sy_dir *in, const char *dir, struct manifest *m,
                         struct sy_err *err)
{
    char name[SY_PATH_MAX];
    uint64_t n;
    if (sy__path_join(name, dir, "MANIFEST", err))
        return -1;
    char *text = sy_file_load(OP, in, name, MANIFEST_MOST, &n, err);
    if (!text)
        return -1;
    struct sy_json *root = NULL;
    if (!manifest_sum_holds(text, n))
        sy_err_set(err, SY_E_FORMAT, OP ": %s is damaged", name);
    else
        root = sy_json_parse(text, n, err);
    int rc = root ? parse_manifest(dir, root, m, err) : -1;
    sy_json_free(root);
    sy_free(text);
    return rc;
}

static int verify_file(const struct sy_dir *in, const char *dir, const char *name,
                       const struct sy_file_sum *want, struct sy_err *err)
{
    char path[SY_PATH_MAX], hex[17], was[17];
    struct sy_file_sum sum = {0, 0};
    if (sy__path_join(path, dir, name, err) || sy_file_sum(OP, in, path, &sum, err))
        return -1;
    if (sum.bytes != want->bytes)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s has %" PRIu64 " bytes, MANIFEST says %" PRIu64,
                          path, sum.bytes, want->bytes);
    sy_hash_hex(sum.hash, hex);
    sy_hash_hex(want->hash, was);
    if (sum.hash != want->hash)
        return sy_err_set(err, SY_E_FORMAT, OP ": %s is damaged: its hash is %s, MANIFEST says %s",
                          path, hex, was);
    return 0;
}

int sy__files_look(const struct sy_dir *in, const char *path, bool contents, struct sy_saved *out,
                   struct sy_err *err)
{
    struct manifest m;
    *out = (struct sy_saved){.step = -1};
    snprintf(out->path, sizeof out->path, "%s", path);
    if (read_manifest(in, path, &m, err))
        return -1;
    out->step = m.step;
    snprintf(out->id, sizeof out->id, "%s", m.id);
    for (int i = 0; i < SY__FILES; i++) {
        out->bytes += m.sums[i].bytes;
        if (contents && verify_file(in, path, sy__file_names[i], &m.sums[i], err))
            return -1;
    }
    out->ok = true;
    return 0;
}

int sy__manifest_for(const struct sy_dir *in, const char *from, const char *dir, const char *id,
                     struct sy_err *err)
{
    struct manifest m;
    if (read_manifest(NULL, from, &m, err))
        return -1;
    snprintf(m.id, sizeof m.id, "%s", id);
    return write_manifest(in, dir, &m, err);
}

int sy__check_id(const struct sy_saved *s, const char *id, struct sy_err *err)
{
    if (!strcmp(s->id, id))
        return 0;
    return sy_err_set(err, SY_E_IO, OP ": %s belongs to another run (%.8s, not %.8s)", s->path,
                      *s->id ? s->id : "without an id", *id ? id : "without an id");
}

int sy_checkpoint_verify(const char *path, struct sy_saved *out, struct sy_err *err)
{
    return sy__files_look(NULL, path, true, out, err);
}

static struct sy_image *read_state(const char *path, struct sy_err *err)
{
    struct sy_saved saved;
    char name[SY_PATH_MAX];
    uint64_t n;
    struct sy_image *image = NULL;
    if (sy_checkpoint_verify(path, &saved, err) || sy__path_join(name, path, "state.json", err))
        return NULL;
    char *text = sy_file_load(OP, NULL, name, STATE_MOST, &n, err);
    if (text)
        image = sy__state_parse(text, n, err);
    sy_free(text);
    if (image && image->status.step != saved.step) {
        sy_err_set(err, SY_E_FORMAT, OP ": %s: MANIFEST and state.json are of different steps",
                   path);
        sy_image_free(image);
        image = NULL;
    }
    if (image)
        snprintf(image->id, sizeof image->id, "%s", saved.id);
    return image;
}

struct sy_image *sy_checkpoint_read(const char *path, struct sy_err *err)
{
    struct sy_err own = SY_ERR_INIT; /* the parser asks it whether all went well so far */
    struct sy_image *image = read_state(path, &own);
    if (!image)
        sy_err_set(err, own.code, "%s", own.msg);
    return image;
}
