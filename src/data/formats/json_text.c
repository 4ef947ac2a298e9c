/* Documents out of JSON (documents_int.h).  Three layouts, told by the first characters:
 *
 *     lines    an object a line                     {"text": "one"}
 *                                                   {"text": "two"}
 *     array    of objects or strings                [{"text": "one"}, {"text": "two"}]
 *     object   one, over several lines              { "text":
 *                                                     "one" }
 *
 *  1. An item is an object whose field is a string, or (without field=) a string.  An empty text is
 *     no document.  What the other fields hold does not matter: NaN as Python writes it is read, a
 *     key may stand twice.  The field itself must not: which of the two was meant?
 *  2. Each item is parsed by itself, so that memory is that of the largest, and a bad item spoils
 *     no other: it is an error with its file and line, or, with skip, counted and passed over.
 *  3. A byte-order mark may stand before any line, for files are joined by cat. */
#include "base/json.h"
#include "base/mem.h"
#include "data/documents_int.h"

#include <string.h>

#define NAMES_MAX 6 /* fields named in a message */

static int no_memory(struct sy_err *err)
{
    return sy_err_set(err, SY_E_MEMORY, "data: out of memory");
}

static bool is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r' && p[i] != '\n')
            return false;
    return true;
}

static size_t skip_mark(const char *p, size_t n)
{
    return n >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3) ? 3 : 0;
}

/* ---- one item ---- */

static int no_field(const struct sy_json *object, const char *field, struct sy_err *err)
{
    struct sy_str names = SY_STR_INIT;
    int k = 0;
    for (const struct sy_json *m = object->first; m && k < NAMES_MAX; m = m->next, k++)
        sy_str_printf(&names, "%s'%.40s'", k ? ", " : "", m->key);
    if (names.failed)
        no_memory(err);
    sy_err_set(err, SY_E_FORMAT, "no field '%s' (it has %s%s)", field,
               names.len ? names.data : "none", object->count > NAMES_MAX ? ", ..." : "");
    sy_str_free(&names);
    return -1;
}

/* The string that is the item's document. */
static const struct sy_json *item_text(const struct sy_json *root, const char *field,
                                       struct sy_err *err)
{
    const struct sy_json *found = NULL;
    int64_t times = 0;
    if (root->type == SY_JSON_STRING && !field)
        return root;
    if (root->type != SY_JSON_OBJECT) {
        sy_err_set(err, SY_E_FORMAT,
                   field ? "not a JSON object" : "neither a JSON object nor a string");
        return NULL;
    }
    field = field ? field : "text";
    for (const struct sy_json *m = root->first; m; m = m->next)
        if (m->key_len == strlen(field) && !memcmp(m->key, field, m->key_len)) {
            found = m;
            times++;
        }
    if (times == 1 && found->type == SY_JSON_STRING)
        return found;
    if (times == 0)
        no_field(root, field, err);
    else
        sy_err_set(err, SY_E_FORMAT,
                   times > 1 ? "field '%s' stands there twice" : "field '%s' is not a string",
                   field);
    return NULL;
}

static int bad_item(struct sy__reader *r, int64_t file, int64_t line, const struct sy_err *why,
                    struct sy_err *err)
{
    const char *path = r->files->file[file].path;
    if (why->code == SY_E_MEMORY)
        return no_memory(err);
    if (!r->options.skip)
        return sy_err_set(err, SY_E_FORMAT, "data: %s: line %lld: %s", path, (long long)line,
                          why->msg);
    sy_err_set(&r->tally->first_bad, SY_E_FORMAT, "%s: line %lld: %s", path, (long long)line,
               why->msg);
    r->tally->bad++;
    return 0;
}

static int add_item(struct sy__reader *r, int64_t file, int64_t line, const char *p, size_t n,
                    struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    struct sy_json *root = sy_json_parse_loose(p, n, &why);
    const struct sy_json *s = root ? item_text(root, r->options.field, &why) : NULL;
    int rc = 0;
    if (!root)
        sy_err_prefix(&why, "not JSON");
    if (!s)
        rc = bad_item(r, file, line, &why, err);
    else if (s->string_len) {
        size_t start = r->batch.text.len;
        sy_str_add(&r->batch.text, s->string, s->string_len);
        rc = sy__reader_add(r, (struct sy__document){start, s->string_len, file, line}, err);
    }
    sy_json_free(root);
    return rc;
}

/* After an item that ends at byte `at` of n. */
static int go_on(struct sy__reader *r, size_t at, size_t n, struct sy_err *err)
{
    r->batch.to = r->from + (r->to - r->from) * (double)at / (double)(n + 1);
    return sy__reader_hand(r, false, err);
}

/* ---- layouts ---- */

static int read_lines(struct sy__reader *r, int64_t file, const char *text, size_t size,
                      struct sy_err *err)
{
    int64_t line = 1;
    for (size_t at = 0; at < size; line++) {
        const char *p = text + at, *nl = memchr(p, '\n', size - at);
        size_t n = nl ? (size_t)(nl - p) : size - at, mark = skip_mark(p, n);
        at += n + 1;
        if (is_blank(p + mark, n - mark))
            continue;
        if (add_item(r, file, line, p + mark, n - mark, err) || go_on(r, at, size, err))
            return -1;
    }
    return 0;
}

/* Length of the array's item at p: up to a comma or bracket outside of strings and brackets. */
static size_t item_length(const char *p, size_t n)
{
    bool quoted = false;
    int64_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (quoted)
            continue;
        else if (c == '[' || c == '{')
            depth++;
        else if (depth == 0 && (c == ',' || c == ']' || c == '}'))
            return i;
        else if (c == ']' || c == '}')
            depth--;
    }
    return n;
}

static int64_t count_lines(const char *p, size_t n)
{
    int64_t lines = 0;
    for (const char *end = p + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
        lines++;
    return lines;
}

static int after_array(struct sy__reader *r, int64_t file, int64_t line, const char *p, size_t n,
                       struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    if (is_blank(p, n))
        return 0;
    sy_err_set(&why, SY_E_FORMAT, "not JSON: text after the array");
    return bad_item(r, file, line, &why, err);
}

static int read_array(struct sy__reader *r, int64_t file, const char *text, size_t size,
                      struct sy_err *err)
{
    size_t at = (size_t)((const char *)memchr(text, '[', size) - text) + 1;
    int64_t line = 1 + count_lines(text, at);
    struct sy_err broken = SY_ERR_INIT;
    for (bool first = true;; first = false) {
        size_t n = item_length(text + at, size - at), lead = 0;
        bool last = at + n < size && text[at + n] == ']';
        while (lead < n && is_blank(text + at + lead, 1))
            lead++;
        line += count_lines(text + at, lead);
        if (first && last && lead == n)
            return after_array(r, file, line, text + at + n + 1, size - at - n - 1, err);
        if (at + n == size || text[at + n] == '}') {
            sy_err_set(&broken, SY_E_FORMAT, "not JSON: %s",
                       at + n == size ? "the array does not end" : "'}' where none begins");
            return bad_item(r, file, line, &broken, err);
        }
        if (add_item(r, file, line, text + at + lead, n - lead, err))
            return -1;
        line += count_lines(text + at + lead, n - lead);
        at += n + 1;
        if (go_on(r, at, size, err))
            return -1;
        if (last)
            return after_array(r, file, line, text + at, size - at, err);
    }
}

/* The first line that is not blank, without blanks at its ends. */
static size_t first_line(const char *text, size_t n, const char **line)
{
    while (n && is_blank(text, 1))
        text++, n--;
    const char *nl = memchr(text, '\n', n);
    *line = text;
    n = nl ? (size_t)(nl - text) : n;
    while (n && is_blank(text + n - 1, 1))
        n--;
    return n;
}

/* An object over several lines: its first line ends none, and the whole is one.  1, 0 or -1. */
static int is_one_object(const char *path, const char *line, size_t n, const char *text,
                         size_t size, struct sy_err *err)
{
    struct sy_err why = SY_ERR_INIT;
    if (sy__named(path, ".jsonl") || sy__named(path, ".ndjson") || n == 0 || *line != '{' ||
        line[n - 1] == '}')
        return 0;
    struct sy_json *root = sy_json_parse_loose(text, size, &why);
    sy_json_free(root);
    return root ? 1 : why.code == SY_E_MEMORY ? no_memory(err) : 0;
}

static int read_one(struct sy__reader *r, int64_t file, const char *text, size_t n,
                    struct sy_err *err)
{
    return add_item(r, file, 1, text, n, err) || go_on(r, n, n, err) ? -1 : 0;
}

int sy__json_documents(struct sy__reader *r, int64_t file, const char *text, size_t n,
                       struct sy_err *err)
{
    const char *line;
    size_t mark = skip_mark(text, n);
    text += mark;
    n -= mark;
    size_t k = first_line(text, n, &line);
    bool array = k && *line == '[';
    int object = is_one_object(r->files->file[file].path, line, k, text, n, err);
    if (object < 0)
        return -1;
    r->tally->files[array || object ? SY__JSON : SY__LINES]++;
    return array    ? read_array(r, file, text, n, err)
           : object ? read_one(r, file, text, n, err)
                    : read_lines(r, file, text, n, err);
}

bool sy__json_looks(const char *text, size_t n)
{
    const char *line;
    size_t k = first_line(text, n, &line);
    if (k < 2 || *line != '{' || line[k - 1] != '}')
        return false;
    struct sy_json *root = sy_json_parse_loose(line, k, NULL);
    bool looks = root && root->count > 0;
    sy_json_free(root);
    return looks;
}
