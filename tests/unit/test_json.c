/* JSON: values, refusals, every truncation, every allocation failing, cost in memory, writing. */
#include "unit/tap.h"

#include "base/json.h"
#include "base/mem.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct sy_json *parse(const char *text, struct sy_err *err)
{
    /* An exact copy on the heap, so that a read past the end is seen by AddressSanitizer. */
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    struct sy_json *root = sy_json_parse(copy, n, err);
    free(copy);
    return root;
}

static const char sample[] =
    " {\"a\": [1, -2.5e3, true, false, null, \"x\\u00e9\\ud83d\\ude82\\n\"],\n"
    "  \"nested\": {\"k\": {}, \"e\": []}, \"big\": 9223372036854775808, \"zero\": -0 } ";

static void values(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_json *root = parse(sample, &err);
    const struct sy_json *a = sy_json_get(root, "a"), *v = a ? a->first : NULL;
    tap_ok(root && root->type == SY_JSON_OBJECT && root->count == 4, "object %s", err.msg);
    tap_ok(a && a->type == SY_JSON_ARRAY && a->count == 6, "array");
    tap_ok(v && v->type == SY_JSON_INT && v->integer == 1 && fabs(v->real - 1) < 1e-9, "int");
    v = v->next;
    tap_ok(v->type == SY_JSON_REAL && fabs(v->real + 2500) < 1e-9, "real");
    v = v->next;
    tap_ok(v->type == SY_JSON_BOOL && v->boolean && !v->next->boolean, "booleans");
    v = v->next->next;
    tap_ok(v->type == SY_JSON_NULL, "null");
    tap_is_str(v->next->string, "x\xC3\xA9\xF0\x9F\x9A\x82\n", "string with escapes");
    tap_ok(sy_json_get(root, "big")->type == SY_JSON_REAL, "an integer past int64 is real");
    const struct sy_json *nested = sy_json_get(root, "nested");
    tap_ok(sy_json_get(nested, "k")->count == 0 && !sy_json_get(nested, "absent"), "members");
    sy_json_free(root);
    root = sy_json_parse("\"a\\u0000b\"", 10, &err);
    tap_ok(root && root->string_len == 3 && memcmp(root->string, "a\0b", 4) == 0,
           "NUL in a string");
    sy_json_free(root);
}

static void refusals(void)
{
    static const char *const texts[] = {
        "", " ", "{", "[1,]", "{\"a\":1,}", "{,}", "[,1]", "01", "-", "+1", "1.", ".5", "1e", "1e+",
        "0x1", "NaN", "Infinity", "1e999", "tru", "truex", "nul", "'a'", "\"a", "\"\\x\"",
        "\"\\u12g4\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"a\nb\"", "\"\x80\"",
        "\"\xC0\xAF\"", "{\"a\":1,\"a\":2}", "{\"a\":1 \"b\":2}", "{a:1}", "{\"a\"}", "[1 2]",
        "1 2", "[] []", "\xEF\xBB\xBF[]", "//c\n1", "[1,2", "]", "{\"a\":}",
        "{\"\\u0061\":1,\"a\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct sy_err err = SY_ERR_INIT;
        struct sy_json *root = parse(texts[i], &err);
        tap_ok(!root && err.code == SY_E_FORMAT && !strchr(err.msg, '\n'), "refused: %s", err.msg);
        sy_json_free(root);
    }
}

/* What Python's json.dumps writes, and nothing else that is not JSON. */
static void loose(void)
{
    static const char text[] =
        "{\"a\":NaN,\"b\":[Infinity,-Infinity,1e999],\"a\":2,\"c\":\"NaN\"}";
    static const char *const refused[] = {"nan",   "NAN", "Inf", "-NaN", "+Infinity", "-infinity",
                                          "{\"a\":Na}", "NaNs", "[1,]", "1 2"};
    struct sy_err err = SY_ERR_INIT;
    struct sy_json *root = sy_json_parse_loose(text, strlen(text), &err);
    const struct sy_json *b = sy_json_get(root, "b");
    tap_ok(root && root->count == 4 && isnan(sy_json_get(root, "a")->real) && b &&
               isinf(b->first->real) && b->first->next->real < 0 &&
               isinf(b->first->next->next->real),
           "loose: NaN, Infinity, large numbers, a key twice %s", err.msg);
    sy_json_free(root);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        err = (struct sy_err)SY_ERR_INIT;
        root = sy_json_parse_loose(refused[i], strlen(refused[i]), &err);
        tap_ok(!root && err.code == SY_E_FORMAT, "loose, and still refused: %s", err.msg);
        sy_json_free(root);
    }
}

static void deep(int depth, bool fine)
{
    char text[200];
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    struct sy_json *root = sy_json_parse(text, 2 * (size_t)depth, NULL);
    tap_ok((root != NULL) == fine, "%d deep is %s", depth, fine ? "fine" : "too deep");
    sy_json_free(root);
}

static void many_keys(void)
{
    struct sy_str s = SY_STR_INIT;
    sy_str_puts(&s, "{\"k7\":0");
    for (int i = 0; i < 50000; i++)
        sy_str_printf(&s, ",\"k%d\":%d", i + 100, i);
    size_t without = s.len;
    sy_str_puts(&s, "}");
    struct sy_json *root = sy_json_parse(s.data, s.len, NULL);
    tap_ok(root && root->count == 50001, "fifty thousand keys");
    sy_json_free(root);
    s.len = without;
    sy_str_puts(&s, ",\"k7\":1}");
    struct sy_err err = SY_ERR_INIT;
    tap_ok(!sy_json_parse(s.data, s.len, &err), "a duplicate among them: %s", err.msg);
    sy_str_free(&s);
}

static void truncations(void)
{
    int bad = 0;
    size_t end = strlen(sample);
    while (sample[end - 1] != '}')
        end--;
    for (size_t n = 0; n < end; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, sample, n);
        struct sy_err err = SY_ERR_INIT;
        bad += sy_json_parse(copy, n, &err) != NULL || err.code != SY_E_FORMAT;
        free(copy);
    }
    tap_is_int(bad, 0, "every truncation is refused");
}

/* One changed byte anywhere: must not crash (AddressSanitizer watches), may parse. */
static void mutations(void)
{
    char text[sizeof sample];
    size_t n = strlen(sample), parsed = 0;
    for (size_t i = 0; i < n; i++)
        for (int c = 1; c < 256; c += 3) {
            memcpy(text, sample, sizeof text);
            text[i] = (char)c;
            struct sy_json *root = parse(text, NULL);
            parsed += root != NULL;
            sy_json_free(root);
        }
    tap_ok(parsed > 0, "mutations survive (%zu parse)", parsed);
}

static void out_of_memory(void)
{
    struct sy_str keys = SY_STR_INIT;
    for (int i = 0; i < 20; i++)
        sy_str_printf(&keys, "%s\"k%d\":1", i ? "," : "{", i);
    sy_str_puts(&keys, "}");
    size_t live = sy_mem_live();
    int failed = 0, bad = 0;
    for (uint64_t at = 1;; at++) {
        struct sy_err err = SY_ERR_INIT;
        sy_mem_fail_at(at);
        struct sy_json *root = sy_json_parse(keys.data, keys.len, &err);
        sy_mem_fail_at(0);
        if (root) {
            sy_json_free(root);
            break;
        }
        failed++;
        bad += err.code != SY_E_MEMORY || sy_mem_live() != live;
    }
    tap_ok(failed == 2 && bad == 0, "each of %d allocations may fail", failed);
    sy_str_free(&keys);
}

static void writing(void)
{
    static const double numbers[] = {0, 1, -1, 0.1, 1e-7, 123456789, 3e-4, 1.0 / 3, 1e300, 5e-324};
    static const char *const want[] = {"0",     "1",     "-1",    "0.1", "1e-07", "123456789",
                                       "0.0003", "0.3333333333333333", "1e+300", "5e-324"};
    struct sy_str s = SY_STR_INIT;
    for (int i = 0; i < 10; i++) {
        sy_str_clear(&s);
        sy_json_number(&s, numbers[i]);
        tap_is_str(s.data, want[i], "number %s", want[i]);
    }
    sy_str_clear(&s);
    sy_json_number(&s, (double)NAN);
    sy_json_number(&s, -(double)INFINITY);
    tap_is_str(s.data, "nullnull", "not finite");
    sy_str_clear(&s);
    sy_json_quote(&s, "a\"\\\n\x01\xC3\xA9\xFF", 8);
    tap_is_str(s.data, "\"a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBD\"", "quoting");
    struct sy_json *root = sy_json_parse(s.data, s.len, NULL);
    tap_ok(root != NULL, "what was quoted reads back");
    sy_json_free(root);
    sy_str_free(&s);
}

int main(void)
{
    setlocale(LC_ALL, "");
    values();
    refusals();
    loose();
    deep(64, true);
    deep(65, false);
    many_keys();
    truncations();
    mutations();
    out_of_memory();
    writing();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
