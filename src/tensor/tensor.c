/* Tensors and their counted storage.  See tensor.h for who points to whom. */
#include "tensor/tensor.h"

#include "base/assert.h"
#include "base/float_bits.h"
#include "base/grow.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum contents { NO_BYTES, ANY_BYTES, ZEROS };

/* Large zeroes come from the system and are not touched here. */
static struct sy_storage *storage_new(size_t bytes, enum contents contents, struct sy_err *err)
{
    struct sy_storage *s = sy_calloc(1, sizeof *s);
    if (!s)
        goto fail;
    atomic_init(&s->refs, 1);
    s->bytes = bytes;
    s->plan = -1;
    if (contents != NO_BYTES) {
        const size_t room = bytes ? bytes : 1;
        s->data = contents == ZEROS ? sy_calloc(1, room) : sy_alloc(room);
        s->owner = SY_OWNER_SELF;
        if (!s->data)
            goto fail;
    }
    return s;
fail:
    sy_free(s);
    sy_err_set(err, SY_E_MEMORY, "tensor: out of memory: %zu bytes wanted", bytes);
    return NULL;
}

struct sy_storage *sy_storage_new(size_t bytes, struct sy_err *err)
{
    return storage_new(bytes, ANY_BYTES, err);
}

struct sy_storage *sy_storage_of_file(struct sy_mapping *m, struct sy_err *err)
{
    union { /* it is read-only, which sy_tensor_writable sees to */
        const unsigned char *mapped;
        void *data;
    } u = {sy_mapping_data(m)};
    struct sy_storage *s = storage_new((size_t)sy_mapping_size(m), NO_BYTES, err);
    if (!s) {
        sy_mapping_close(m);
        return NULL;
    }
    s->owner = SY_OWNER_FILE;
    s->file = m;
    s->data = u.data;
    return s;
}

struct sy_storage *sy_storage_ref(struct sy_storage *s)
{
    if (s)
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

static void storage_release_bytes(struct sy_storage *s)
{
    if (s->owner == SY_OWNER_SELF)
        sy_free(s->data);
    sy_mapping_close(s->file);
    s->file = NULL;
    s->data = NULL;
    s->owner = SY_OWNER_NONE;
    sy_storage_unref(s->parent);
    sy_storage_unref(s->beside_parent);
    s->parent = s->beside_parent = NULL;
    s->beside = NULL;
}

void sy_storage_unref(struct sy_storage *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    storage_release_bytes(s);
    sy_free(s);
}

void sy_storage_move(struct sy_storage *s, struct sy_storage *parent, void *data)
{
    sy_storage_ref(parent);
    storage_release_bytes(s);
    s->owner = SY_OWNER_PARENT;
    s->parent = parent;
    s->data = data;
}

int sy_shape_bytes(enum sy_dtype dtype, int ndim, const int64_t *shape, size_t *bytes,
                   struct sy_err *err)
{
    if (ndim < 0 || ndim > SY_MAX_DIMS)
        return sy_err_set(err, SY_E_RANGE, "tensor: %d dimensions: at most %d are possible", ndim,
                          SY_MAX_DIMS);
    const int64_t block = sy_dtype_block(dtype);
    size_t total = sy_dtype_block_bytes(dtype);
    char text[128];
    if (block > 1 && (!ndim || shape[ndim - 1] % block))
        return sy_err_set(err, SY_E_SHAPE,
                          "tensor: %s lies in blocks of %d: the last of %s is no multiple",
                          sy_dtype_name(dtype), (int)block,
                          sy_shape_text(ndim, shape, text, sizeof text));
    for (int i = 0; i < ndim; i++) {
        const int64_t n = i == ndim - 1 && shape[i] > 0 ? shape[i] / block : shape[i];
        if (shape[i] < 0)
            return sy_err_set(err, SY_E_RANGE, "tensor: negative dimension: shape is %s",
                              sy_shape_text(ndim, shape, text, sizeof text));
        if (sy_mul_size(total, (size_t)n, &total) || total > SIZE_MAX / 4)
            return sy_err_set(err, SY_E_RANGE, "tensor: shape %s is too large",
                              sy_shape_text(ndim, shape, text, sizeof text));
    }
    *bytes = total;
    return 0;
}

struct sy_tensor *sy_tensor_over(struct sy_storage *s, enum sy_dtype dtype, int ndim,
                                 const int64_t *shape, const int64_t *stride, int64_t offset,
                                 struct sy_err *err)
{
    struct sy_tensor *t = sy_calloc(1, sizeof *t);
    if (!t) {
        sy_err_set(err, SY_E_MEMORY, "tensor: out of memory: %zu bytes wanted", sizeof *t);
        return NULL;
    }
    atomic_init(&t->refs, 1);
    t->dtype = dtype;
    t->ndim = ndim;
    int64_t dense = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        t->shape[i] = shape[i];
        t->stride[i] = stride ? stride[i] : dense;
        dense *= shape[i];
    }
    t->offset = offset;
    t->storage = sy_storage_ref(s);
    return t;
}

/* Of a storage of its own. */
static struct sy_tensor *tensor_new(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                    enum contents contents, struct sy_err *err)
{
    size_t bytes;
    if (sy_shape_bytes(dtype, ndim, shape, &bytes, err))
        return NULL;
    struct sy_storage *s = storage_new(bytes, contents, err);
    if (!s)
        return NULL;
    struct sy_tensor *t = sy_tensor_over(s, dtype, ndim, shape, NULL, 0, err);
    sy_storage_unref(s);
    return t;
}

struct sy_tensor *sy_tensor_traced(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                   struct sy_err *err)
{
    return tensor_new(dtype, ndim, shape, NO_BYTES, err);
}

struct sy_tensor *sy_tensor_empty(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                  struct sy_err *err)
{
    return tensor_new(dtype, ndim, shape, ANY_BYTES, err);
}

struct sy_tensor *sy_tensor_zeros(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                  struct sy_err *err)
{
    return tensor_new(dtype, ndim, shape, ZEROS, err);
}

struct sy_tensor *sy_tensor_within(enum sy_dtype dtype, int ndim, const int64_t *shape,
                                   struct sy_storage *parent, void *data,
                                   struct sy_storage *beside_parent, const unsigned char *beside,
                                   struct sy_err *err)
{
    struct sy_tensor *t = sy_tensor_traced(dtype, ndim, shape, err);
    if (!t)
        return NULL;
    sy_storage_move(t->storage, parent, data);
    t->storage->beside = beside;
    t->storage->beside_parent = sy_storage_ref(beside_parent);
    return t;
}

struct sy_tensor *sy_tensor_scalar(enum sy_dtype dtype, double v, struct sy_err *err)
{
    struct sy_tensor *t = sy_tensor_empty(dtype, 0, NULL, err);
    if (t)
        sy_tensor_set(t, 0, v);
    return t;
}

struct sy_tensor *sy_tensor_alias(const struct sy_tensor *t, struct sy_err *err)
{
    return sy_tensor_over(t->storage, t->dtype, t->ndim, t->shape, t->stride, t->offset, err);
}

struct sy_tensor *sy_tensor_ref(struct sy_tensor *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

struct sy_node *sy_node_ref(struct sy_node *n)
{
    if (n)
        atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    return n;
}

static void node_free(struct sy_node *n)
{
    for (int i = 0; i < n->nin; i++)
        sy_tensor_unref(n->in[i]);
    for (int i = 0; i < n->nout; i++) {
        sy_tensor_unref(n->out[i]);
        sy_tensor_unref(n->dout[i]);
    }
    sy_free(n);
}

/* A chain of nodes can be very long (an eager loop with gradients), so it is freed by a list and
 * not by recursion: a dead node found while another is being freed waits in the list. */
struct dead_list {
    struct sy_node **nodes;
    int count;
    size_t room;
    bool running;
};
static _Thread_local struct dead_list dead;

static bool dead_push(struct sy_node *n)
{
    if (SY_GROW(dead.nodes, dead.room, dead.count + 1))
        return false; /* recursion instead: still correct */
    dead.nodes[dead.count++] = n;
    return true;
}

void sy_node_unref(struct sy_node *n)
{
    if (!n || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (dead.running && dead_push(n))
        return;
    bool outermost = !dead.running;
    dead.running = true;
    node_free(n);
    while (outermost && dead.count)
        node_free(dead.nodes[--dead.count]);
    if (!outermost)
        return;
    dead.running = false;
    sy_free(dead.nodes);
    dead.nodes = NULL;
    dead.room = 0;
}

void sy_tensor_unref(struct sy_tensor *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct sy_node *node = t->node;
    sy_storage_unref(t->storage);
    sy_tensor_unref(t->grad);
    sy_free(t);
    sy_node_unref(node);
}

enum sy_dtype sy_tensor_dtype(const struct sy_tensor *t) { return t->dtype; }
int sy_tensor_ndim(const struct sy_tensor *t) { return t->ndim; }
const int64_t *sy_tensor_shape(const struct sy_tensor *t) { return t->shape; }
const int64_t *sy_tensor_strides(const struct sy_tensor *t) { return t->stride; }
void *sy_tensor_data(const struct sy_tensor *t) { return sy_data(t); }
bool sy_tensor_requires_grad(const struct sy_tensor *t) { return t->requires_grad; }
void sy_tensor_set_requires_grad(struct sy_tensor *t, bool on) { t->requires_grad = on; }
struct sy_tensor *sy_tensor_grad(const struct sy_tensor *t) { return t->grad; }

int64_t sy_tensor_dim(const struct sy_tensor *t, int dim)
{
    return t->shape[dim < 0 ? dim + t->ndim : dim];
}

int64_t sy_tensor_count(const struct sy_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

size_t sy_tensor_bytes(const struct sy_tensor *t)
{
    return (size_t)(sy_tensor_count(t) / sy_dtype_block(t->dtype)) * sy_dtype_block_bytes(t->dtype);
}

struct sy_packed sy_packed(const struct sy_tensor *t)
{
    const struct sy_storage *s = t->storage;
    struct sy_packed p = {sy_dtype_form(t->dtype), s->data, s->beside};
    const struct sy_form_row *f = &sy_forms[p.form];
    if (f->beside && !s->beside && s->data)
        p.beside = p.data + s->bytes / (f->bytes + f->beside) * f->bytes;
    return p;
}

int sy_tensor_writable(const struct sy_tensor *t, const char *op, struct sy_err *err)
{
    if (sy_dtype_stored(t->dtype))
        return sy_err_set(err, SY_E_STATE,
                          "%s: the tensor is stored as %s, which is only read: :cast(\"f32\") "
                          "makes a copy that can be written", op, sy_dtype_name(t->dtype));
    if (sy_tensor_file(t))
        return sy_err_set(err, SY_E_STATE,
                          "%s: the tensor lies in %s, which is mapped to be read: :clone() makes a "
                          "copy that can be written", op, sy_mapping_path(sy_tensor_file(t)));
    return 0;
}

static const struct sy_mapping *file_of(const struct sy_storage *s)
{
    while (s && !s->file)
        s = s->parent;
    return s ? s->file : NULL;
}

const struct sy_mapping *sy_tensor_file(const struct sy_tensor *t)
{
    const struct sy_mapping *m = file_of(t->storage);
    return m ? m : file_of(t->storage->beside_parent);
}

int sy_tensor_check(const struct sy_tensor *t, const char *op, struct sy_err *err)
{
    const struct sy_mapping *m = file_of(t->storage), *n = file_of(t->storage->beside_parent);
    if (m && sy_mapping_check(m, op, err))
        return -1;
    return n && n != m ? sy_mapping_check(n, op, err) : 0;
}

int sy_tensors_check(struct sy_tensor *const *t, int n, const char *op, struct sy_err *err)
{
    int rc = 0;
    for (int i = 0; i < n && !rc; i++)
        rc = t[i] ? sy_tensor_check(t[i], op, err) : 0;
    return rc;
}

size_t sy_tensor_apart(const struct sy_tensor *t)
{
    if (!t->storage->beside)
        return 0;
    const struct sy_form_row *f = &sy_forms[sy_dtype_form(t->dtype)];
    return t->storage->bytes / (f->bytes + f->beside) * f->beside;
}

bool sy_tensor_contiguous(const struct sy_tensor *t)
{
    int64_t dense = 1;
    for (int i = t->ndim - 1; i >= 0; i--) {
        if (t->shape[i] != 1 && t->stride[i] != dense)
            return false;
        dense *= t->shape[i];
    }
    return true;
}

bool sy_tensor_same_shape(const struct sy_tensor *a, const struct sy_tensor *b)
{
    return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

static int64_t element_offset(const struct sy_tensor *t, int64_t i)
{
    int64_t off = 0;
    for (int d = t->ndim - 1; d >= 0; d--) {
        off += i % t->shape[d] * t->stride[d];
        i /= t->shape[d];
    }
    return off;
}

double sy_tensor_get(const struct sy_tensor *t, int64_t i)
{
    int64_t at = element_offset(t, i);
    const void *p = sy_data(t);
    if (sy_dtype_stored(t->dtype)) {
        const struct sy_packed packed = sy_packed(t);
        float x;
        sy_form_decode(&x, &packed, t->offset + at, 1);
        return (double)x;
    }
    switch (t->dtype) {
    case SY_F32: return (double)((const float *)p)[at];
    case SY_F64: return ((const double *)p)[at];
    case SY_BF16: return (double)sy_float_of_bf16(((const uint16_t *)p)[at]);
    case SY_I32: return ((const int32_t *)p)[at];
    case SY_I64: return (double)((const int64_t *)p)[at];
    default: return ((const uint8_t *)p)[at];
    }
}

int64_t sy_tensor_get_int(const struct sy_tensor *t, int64_t i)
{
    if (t->dtype == SY_I64)
        return ((const int64_t *)sy_data(t))[element_offset(t, i)];
    return (int64_t)sy_tensor_get(t, i);
}

void sy_tensor_set(struct sy_tensor *t, int64_t i, double v)
{
    int64_t at = element_offset(t, i);
    void *p = sy_data(t);
    SY_ASSERT(!sy_dtype_stored(t->dtype));
    switch (t->dtype) {
    case SY_F32: ((float *)p)[at] = (float)v; break;
    case SY_F64: ((double *)p)[at] = v; break;
    case SY_BF16: ((uint16_t *)p)[at] = sy_bf16_of((float)v); break;
    case SY_I32: ((int32_t *)p)[at] = (int32_t)v; break;
    case SY_I64: ((int64_t *)p)[at] = (int64_t)v; break;
    case SY_U8: ((uint8_t *)p)[at] = (uint8_t)v; break;
    default: ((uint8_t *)p)[at] = v != 0; break;
    }
}

char *sy_shape_text(int ndim, const int64_t *shape, char *out, size_t n)
{
    size_t at = (size_t)snprintf(out, n, "(");
    for (int i = 0; i < ndim && at < n; i++)
        at += (size_t)snprintf(out + at, n - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (at < n)
        snprintf(out + at, n - at, ")");
    return out;
}
