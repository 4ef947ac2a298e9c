/* JSON: a strict reader into a tree, and string escaping for writers.  RFC 8259; depth limit 64;
 * duplicate keys, trailing bytes, invalid UTF-8 and lone surrogates are refused; allocation is
 * bounded by a constant times the input's length. */
#ifndef SY_BASE_JSON_H
#define SY_BASE_JSON_H
#include "base/str.h"
#include "switchyard/err.h"
#include <stdbool.h>
#include <stdint.h>
enum sy_json_type {
    SY_JSON_NULL, SY_JSON_BOOL, SY_JSON_INT, SY_JSON_REAL, SY_JSON_STRING, SY_JSON_ARRAY,
    SY_JSON_OBJECT
};
struct sy_json { /* owned by the root; a node's children are a list */
    enum sy_json_type type;
    bool boolean;
    int64_t integer; /* INT: written without fraction or exponent and within int64 */
    double real;     /* INT and REAL */
    const char *string;
    size_t string_len; /* may contain NUL bytes from \u0000 */
    const char *key;   /* in an object */
    size_t key_len;
    int64_t count; /* children of an array or object */
    struct sy_json *first, *next;
};
struct sy_json *sy_json_parse(const char *text, size_t n, struct sy_err *err); /* owned root */
/* For data that other programs wrote: NaN, Infinity and -Infinity are numbers, as Python's json
 * writes them, a number may be too large for a double (infinite, too), and a key may stand twice:
 * sy_json_get gives the first. */
struct sy_json *sy_json_parse_loose(const char *text, size_t n, struct sy_err *err);
void sy_json_free(struct sy_json *root);
const struct sy_json *sy_json_get(const struct sy_json *object, const char *key); /* or NULL */
/* with quotes; invalid UTF-8 as U+FFFD */
void sy_json_quote(struct sy_str *out, const char *s, size_t n);
/* shortest that reads back; non-finite as null */
void sy_json_number(struct sy_str *out, double v);
#endif
