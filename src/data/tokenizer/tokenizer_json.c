/* Members of a tokenizer.json, and what is said of bad ones.  See tokenizer_read_int.h. */
#include "data/tokenizer/tokenizer_read_int.h"

#include "base/sanitize.h"

#include <string.h>

int sy__read_bad(struct sy__reader *p, const char *what)
{
    return sy_err_set(p->err, SY_E_FORMAT, "tokenizer: %s: %s", p->name, what);
}

int sy__read_no_memory(struct sy__reader *p)
{
    return sy_err_set(p->err, SY_E_MEMORY, "tokenizer: %s: out of memory", p->name);
}

int sy__read_unsupported(struct sy__reader *p, const char *what, const struct sy_json *value)
{
    bool named = value && value->type == SY_JSON_STRING && value->string_len < 64;
    struct sy_str clean = SY_STR_INIT;
    if (named)
        sy_utf8_sanitize(&clean, value->string, value->string_len);
    sy_err_set(p->err, SY_E_UNSUPPORTED, "tokenizer: %s: %s%s%s is not supported", p->name, what,
               clean.len ? " " : "", clean.len ? clean.data : "");
    sy_str_free(&clean);
    return -1;
}

const struct sy_json *sy__read_get(const struct sy_json *object, const char *key,
                                   enum sy_json_type type)
{
    const struct sy_json *v =
        object && object->type == SY_JSON_OBJECT ? sy_json_get(object, key) : NULL;
    return v && v->type == type ? v : NULL;
}

bool sy__read_is(const struct sy_json *object, const char *key, const char *value)
{
    const struct sy_json *v = sy__read_get(object, key, SY_JSON_STRING);
    return v && v->string_len == strlen(value) && !memcmp(v->string, value, v->string_len);
}

bool sy__read_is_on(const struct sy_json *object, const char *key, bool otherwise)
{
    const struct sy_json *v = sy__read_get(object, key, SY_JSON_BOOL);
    return v ? v->boolean : otherwise;
}
