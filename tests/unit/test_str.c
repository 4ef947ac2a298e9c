/* Errors, strings, UTF-8, nearest names, numbers for people. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/sanitize.h"
#include "base/utf8.h"
#include "switchyard/err.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static void errors(void)
{
    struct sy_err err = SY_ERR_INIT;
    tap_ok(sy_err_set(NULL, SY_E_RANGE, "x") == -1, "no error value: still -1");
    sy_err_prefix(&err, "nothing");
    tap_is_str(err.msg, "", "a prefix alone is no error");
    sy_err_set(&err, SY_E_SHAPE, "matmul: %d", 3);
    sy_err_set(&err, SY_E_RANGE, "later");
    tap_ok(err.code == SY_E_SHAPE && strcmp(err.msg, "matmul: 3") == 0, "the first error stays");
    sy_err_prefix(&err, "layer %d", 2);
    tap_is_str(err.msg, "layer 2: matmul: 3", "prefix");
    struct sy_err sys = SY_ERR_INIT;
    sy_err_sys(&sys, ENOSPC, "%s: cannot write", "x");
    tap_is_str(sys.msg, "x: cannot write: No space left on device", "cause of a system call");
    tap_is_str(sy_code_name(SY_E_NOTFOUND), "NOTFOUND", "name of a code");
    tap_is_str(sy_code_text(SY_E_SHAPE), "shapes do not fit", "text of a code");
}

/* Messages of every length around the limit, made of 1- to 4-byte characters: always valid
 * UTF-8. */
static void cuts(void)
{
    static const char *const filler[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x9A\x82"};
    int bad = 0;
    for (int f = 0; f < 4; f++)
        for (size_t pad = 0; pad < 5; pad++) {
            struct sy_str s = SY_STR_INIT;
            sy_str_add(&s, "abcd", pad < 4 ? pad : 4);
            while (s.len < 600)
                sy_str_puts(&s, filler[f]);
            struct sy_err err = SY_ERR_INIT;
            sy_err_set(&err, SY_E_NAME, "%s", s.data);
            size_t n = strlen(err.msg);
            bad += sy_utf8_valid(err.msg, n) != n || n < sizeof err.msg - 4;
            sy_err_prefix(&err, "abc");
            n = strlen(err.msg);
            bad += sy_utf8_valid(err.msg, n) != n || n < sizeof err.msg - 4;
            sy_str_free(&s);
        }
    tap_is_int(bad, 0, "a long message is cut between characters");
}

static void strings(void)
{
    struct sy_str s = SY_STR_INIT;
    for (int i = 0; i < 100; i++)
        sy_str_printf(&s, "%d,", i);
    sy_str_add(&s, "a\0b", 3);
    tap_ok(s.len == 293 && !s.failed && memcmp(s.data + 285, "8,99,a\0b", 9) == 0, "adding");
    sy_mem_fail_at(1);
    size_t len = s.len;
    sy_str_printf(&s, "%2000d", 1);
    tap_ok(s.failed && s.len == len && s.data[len] == '\0', "out of memory keeps what there is");
    sy_str_clear(&s);
    tap_ok(s.len == 0 && !s.failed && s.data[0] == '\0', "clear");
    sy_str_free(&s);
    tap_ok(!s.data && s.cap == 0, "free");
}

static void nearest(void)
{
    static const char *const names[] = {"experts", "top_k", "lr", "min_lr", "steps", NULL};
    static const char *const pairs[][2] = {{"expert", "experts"}, {"topk", "top_k"}, {"rl", "lr"},
                                           {"stpes", "steps"},    {"minlr", "min_lr"}};
    for (int i = 0; i < 5; i++)
        tap_is_str(sy_nearest(pairs[i][0], names), pairs[i][1], "nearest to %s", pairs[i][0]);
    tap_ok(!sy_nearest("dropout", names) && !sy_nearest("", names), "nothing near");
    static const char *const short_names[] = {"cos", "lt", "pow", "shape", NULL};
    tap_ok(!sy_nearest("foo", short_names), "two letters of three are not near");
    tap_ok(!sy_nearest("lr", short_names) && !sy_nearest("xyz", short_names), "nor is one of two");
    tap_is_str(sy_nearest("pwo", short_names), "pow", "a swap is");
}

static void people(void)
{
    static const struct {
        double v;
        const char *number, *bytes;
    } cases[] = {
        {0, "0", "0 B"},           {312, "312", "312 B"},       {999.4, "999", "999 B"},
        {999.6, "1k", "1 kB"},     {18432, "18.4k", "18.4 kB"}, {1.2e6, "1.2M", "1.2 MB"},
        {1.31e9, "1.31G", "1.31 GB"}, {-2500, "-2.5k", "-2.5 kB"}, {0.5, "0.5", "0.5 B"},
        {1e30, "1e+30", "1e+30"},
    };
    char out[16];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sy_human(cases[i].v, out);
        tap_is_str(out, cases[i].number, "%g for people", cases[i].v);
        sy_human_bytes(cases[i].v, out);
        tap_is_str(out, cases[i].bytes, "%g bytes for people", cases[i].v);
    }
    static const struct {
        double seconds;
        const char *text;
    } durations[] = {{0, "0s"},          {59.4, "59s"},     {59.6, "1m00s"}, {130, "2m10s"},
                     {11100, "3h05m"},   {352800, "4d2h"},  {-1, "-"},       {(double)NAN, "-"},
                     {2e9, "-"}};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        sy_human_duration(durations[i].seconds, out);
        tap_is_str(out, durations[i].text, "%g s for people", durations[i].seconds);
    }
}

static void utf8(void)
{
    int bad = 0;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char text[4];
        uint32_t back = ~c;
        int n = sy_utf8_encode(c, text);
        bool scalar = c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
        bad += scalar != (n > 0);
        bad += n > 0 && (sy_utf8_decode(text, (size_t)n, &back) != n || back != c);
        bad += n > 0 && sy_utf8_decode(text, (size_t)n - 1, &back) != 0;
    }
    tap_is_int(bad, 0, "every scalar value there and back, no shorter prefix decodes");
    static const char *const invalid[] = {"\x80",         "\xC0\x80",         "\xC1\xBF",
                                          "\xE0\x80\x80", "\xE0\x9F\xBF",     "\xED\xA0\x80",
                                          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                                          "\xF5\x80\x80\x80",
                                          "\xFF",         "\xC3(",            "\xE2\x82("};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        bad += sy_utf8_valid(invalid[i], strlen(invalid[i])) != 0;
    tap_is_int(bad, 0, "overlong forms, surrogates, stray bytes are invalid");

    struct sy_str s = SY_STR_INIT;
    static const char dirty[] = "a\tb\n\x1b[31m\x7f\xC3\xA9\xC2\x85\xE2\x80\xAE\xFFz\0";
    sy_utf8_sanitize(&s, dirty, sizeof dirty - 1);
    tap_is_str(s.data, "a\tb\n\\x1B[31m\\x7F\xC3\xA9\\u{85}\\u{202E}\\xFFz\\x00", "sanitizing");
    sy_str_clear(&s);
    sy_utf8_line(&s, dirty, sizeof dirty - 1);
    tap_is_str(s.data, "a\\x09b\\x0A\\x1B[31m\\x7F\xC3\xA9\\u{85}\\u{202E}\\xFFz\\x00",
               "into one line");
    sy_str_free(&s);
    static const uint32_t unseen[] = {0xA0,   0xAD,   0x200B, 0x200D, 0x202E,
                                      0x2060, 0x3164, 0xFE0F, 0xFEFF, 0xE0041};
    static const uint32_t seen[] = {' ', 'a', 0xE9, 0x2010, 0x4E00, 0x1F600};
    bad = 0;
    for (size_t i = 0; i < sizeof unseen / sizeof *unseen; i++)
        bad += !sy_utf8_is_invisible(unseen[i]);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        bad += sy_utf8_is_invisible(seen[i]);
    tap_is_int(bad, 0, "characters that are not seen");
}

int main(void)
{
    errors();
    cuts();
    strings();
    nearest();
    people();
    utf8();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
