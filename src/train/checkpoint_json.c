/* Structs as objects of JSON, by tables: see checkpoint_json.h. */
#include "train/checkpoint_json.h"

#include "base/hash.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WHERE "checkpoint: state.json: "

/* ---- printing ---- */

static int64_t get_integer(const struct sy__field *field, const void *from)
{
    return field->size == sizeof(int64_t) ? *(const int64_t *)from : *(const int *)from;
}

static void put_hash(struct sy_str *s, uint64_t h)
{
    char hex[17];
    sy_hash_hex(h, hex);
    sy_str_printf(s, "\"%s\"", hex);
}

static const char *words_of(const struct sy__field *field, const void *from)
{
    return field->kind == SY__OWNED ? *(char *const *)from : field->kind == SY__TEXT ? from : NULL;
}

static bool left_out(const struct sy__field *field, const void *from, const char *words)
{
    bool text = field->kind == SY__TEXT || field->kind == SY__OWNED;
    return field->absent ? field->absent(from)
                         : text && field->since == SY__OPTIONAL && !(words && *words);
}

static void put_value(struct sy_str *s, const struct sy__field *field, const void *from)
{
    const void *at = (const char *)from + field->at;
    const char *words = words_of(field, at);
    switch (field->kind) {
    case SY__INTEGER: sy_str_printf(s, "%" PRId64, get_integer(field, at)); break;
    case SY__NUMBER: sy_json_number(s, *(const double *)at); break;
    case SY__HASH: put_hash(s, *(const uint64_t *)at); break;
    case SY__TEXT:
    case SY__OWNED: sy_json_quote(s, words ? words : "", words ? strlen(words) : 0); break;
    case SY__OBJECT: sy__fields_put(s, field->rows, at); break;
    case SY__OTHER: field->put(s, from); break;
    }
}

void sy__fields_put(struct sy_str *s, const struct sy__fields *rows, const void *from)
{
    const char *before = "{";
    for (int i = 0; i < rows->count; i++) {
        const struct sy__field *field = &rows->list[i];
        if (left_out(field, from, words_of(field, (const char *)from + field->at)))
            continue;
        sy_str_printf(s, "%s\"%s\":", before, field->name);
        put_value(s, field, from);
        before = ",";
    }
    sy_str_puts(s, *before == '{' ? "{}" : "}");
}

/* ---- parsing ---- */

const struct sy_json *sy__json_field(const struct sy__reader *r, const char *key,
                                     enum sy_json_type type)
{
    const struct sy_json *v = sy_json_get(r->object, key);
    if (v && v->type == type)
        return v;
    sy_err_set(r->err, SY_E_FORMAT, WHERE "'%s' is %s", key, v ? "of the wrong type" : "missing");
    return NULL;
}

const char *sy__json_text(const struct sy__reader *r, const char *key)
{
    const struct sy_json *v = sy__json_field(r, key, SY_JSON_STRING);
    if (v && memchr(v->string, 0, v->string_len))
        sy_err_set(r->err, SY_E_FORMAT, WHERE "'%s' has a NUL", key);
    return v ? v->string : "";
}

double sy__json_number(const struct sy__reader *r, const char *key)
{
    const struct sy_json *v = sy_json_get(r->object, key);
    if (v && v->type == SY_JSON_NULL)
        return (double)NAN;
    if (v && (v->type == SY_JSON_INT || v->type == SY_JSON_REAL))
        return v->real;
    sy_err_set(r->err, SY_E_FORMAT, WHERE "'%s' is no number", key);
    return 0;
}

char *sy__json_copy(const char *s, struct sy_err *err)
{
    char *copy = sy_strdup(s);
    if (!copy)
        sy_err_set(err, SY_E_MEMORY, "checkpoint: out of memory");
    return copy;
}

static void set_integer(const struct sy__field *field, void *to, int64_t v)
{
    if (field->size == sizeof(int64_t))
        *(int64_t *)to = v;
    else
        *(int *)to = (int)v;
}

static void read_integer(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    const struct sy_json *v = sy__json_field(r, field->name, SY_JSON_INT);
    if (v && (v->integer < field->least || v->integer > field->most))
        sy_err_set(r->err, SY_E_FORMAT,
                   WHERE "'%s' is %" PRId64 ", must be from %" PRId64 " to %" PRId64, field->name,
                   v->integer, field->least, field->most);
    set_integer(field, to, v ? v->integer : 0);
}

static uint64_t read_hash(const struct sy__reader *r, const char *key)
{
    static const char digits[] = "0123456789abcdef";
    const char *s = sy__json_text(r, key);
    uint64_t h = 0;
    bool good = strlen(s) == 16;
    for (int i = 0; good && i < 16; i++) {
        const char *d = strchr(digits, s[i]);
        good = d != NULL;
        h = h << 4 | (uint64_t)(good ? d - digits : 0);
    }
    if (!good)
        sy_err_set(r->err, SY_E_FORMAT, WHERE "'%s' is no hash", key);
    return h;
}

static void read_text(const struct sy__reader *r, const struct sy__field *field, char *to)
{
    const char *s = sy__json_text(r, field->name);
    if (strlen(s) >= field->size)
        sy_err_set(r->err, SY_E_FORMAT, WHERE "'%s' is too long", field->name);
    snprintf(to, field->size, "%s", s);
}

static void read_object(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    struct sy__reader inner = *r;
    inner.object = sy__json_field(r, field->name, SY_JSON_OBJECT);
    if (inner.object)
        sy__fields_read(&inner, field->rows, to);
}

static void read_value(const struct sy__reader *r, const struct sy__field *field, void *to)
{
    void *at = (char *)to + field->at;
    switch (field->kind) {
    case SY__INTEGER: read_integer(r, field, at); break;
    case SY__NUMBER: *(double *)at = sy__json_number(r, field->name); break;
    case SY__HASH: *(uint64_t *)at = read_hash(r, field->name); break;
    case SY__TEXT: read_text(r, field, at); break;
    case SY__OWNED: *(char **)at = sy__json_copy(sy__json_text(r, field->name), r->err); break;
    case SY__OBJECT: read_object(r, field, at); break;
    case SY__OTHER: break;
    }
    if (field->read)
        field->read(r, field, to);
}

static void check_known(const struct sy__reader *r, const struct sy__fields *rows)
{
    for (const struct sy_json *v = r->object->first; v; v = v->next) {
        bool known = false;
        for (int i = 0; i < rows->count && !known; i++)
            known = !strcmp(v->key, rows->list[i].name);
        if (!known)
            sy_err_set(r->err, SY_E_UNSUPPORTED,
                       WHERE "unknown %s '%.60s': a newer program made it", rows->unknown, v->key);
    }
}

void sy__fields_read(const struct sy__reader *r, const struct sy__fields *rows, void *to)
{
    check_known(r, rows);
    for (int i = 0; i < rows->count; i++) {
        const struct sy__field *field = &rows->list[i];
        if (sy_json_get(r->object, field->name) || field->since <= r->format)
            read_value(r, field, to);
        else if (field->missing)
            field->missing(r, field, to);
        else if (field->kind == SY__INTEGER)
            set_integer(field, (char *)to + field->at, field->then);
    }
}
