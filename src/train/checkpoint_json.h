/* Structs as objects of JSON, by tables: a field is one row, which writes it, reads it, bounds it
 * and says what it means that it is missing.  For state.json (checkpoint_fields.c).  Layer train.
 *
 *  1. What a row does not know is not guessed: a field that is in no row, one of another type and
 *     one out of its range are errors that name it.  The first error stays.
 *  2. Fields are written, and read, in the order of the rows: a later one may need one before.
 *
 * Hashes are 16 hex digits, since not every JSON reader has 64-bit integers.  A number that is not
 * finite is null. */
#ifndef SY_TRAIN_CHECKPOINT_JSON_H
#define SY_TRAIN_CHECKPOINT_JSON_H

#include "base/json.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SY__MANY ((int64_t)1 << 52)
#define SY__OPTIONAL INT32_MAX /* of `since`: it may be missing in any format */

struct sy__reader {
    const struct sy_json *object;
    int format; /* of the file */
    struct sy_err *err;
};

struct sy__field {
    const char *name;
    int since; /* formats from this one on have it */
    enum sy__field_kind {
        SY__INTEGER, /* int64_t, uint64_t or int */
        SY__NUMBER,  /* double */
        SY__HASH,    /* uint64_t */
        SY__TEXT,    /* char[]; one that does not fit is refused */
        SY__OWNED,   /* char *, sy_alloc'ed */
        SY__OBJECT,  /* a struct, by its own rows */
        SY__OTHER    /* put and read do it, from and to the whole struct */
    } kind;
    size_t at, size;     /* of the member; SY__OTHER: 0 */
    int64_t least, most, then; /* SY__INTEGER; then: what it was when it is missing */
    const struct sy__fields *rows; /* SY__OBJECT */
    void (*put)(struct sy_str *s, const void *from); /* the value */
    void (*read)(const struct sy__reader *r, const struct sy__field *field, void *to);
    /* NULL: `then`, or as it is */
    void (*missing)(const struct sy__reader *r, const struct sy__field *field, void *to);
    /* it is left out then; NULL: where it is optional and empty */
    bool (*absent)(const void *from);
};

/* Where the member of a struct lies. */
#define SY__IN(type, member)                                                                       \
    .at = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

struct sy__fields { /* of one struct */
    const char *unknown; /* "field": what one is called that is in no row */
    const struct sy__field *list;
    int count;
};
#define SY__FIELDS(unknown, list) {unknown, list, (int)(sizeof(list) / sizeof *(list))}

/* {"name": value, ...} */
void sy__fields_put(struct sy_str *s, const struct sy__fields *rows, const void *from);
/* The first error in r->err. */
void sy__fields_read(const struct sy__reader *r, const struct sy__fields *rows, void *to);

/* For what a row does itself: a field of r->object, of this type, or NULL, 0, "" and an error. */
const struct sy_json *sy__json_field(const struct sy__reader *r, const char *key,
                                     enum sy_json_type type);
const char *sy__json_text(const struct sy__reader *r, const char *key);
double sy__json_number(const struct sy__reader *r, const char *key);
char *sy__json_copy(const char *s, struct sy_err *err); /* owned; NULL: MEMORY */

/* checkpoint_journal.c: of struct sy_image. */
void sy__journal_put(struct sy_str *s, const void *from);
void sy__journal_read(const struct sy__reader *r, const struct sy__field *field, void *to);

#endif
