/* Colours of a typed line: spans as a map of letters under the text, and pairs of brackets. */
#include "unit/tap.h"

#include "repl/highlight.h"

#include <string.h>

/* One letter a byte: k s n c w C, '.' for plain. */
static void check(const char *text, const char *want)
{
    struct sy_span spans[64];
    char map[256];
    size_t n = strlen(text), last = 0, count = sy_highlight(text, n, spans, 64);
    bool order = true;
    memset(map, '.', n);
    map[n] = 0;
    for (size_t i = 0; i < count; i++) {
        order &= spans[i].at >= last && spans[i].n > 0 && spans[i].at + spans[i].n <= n;
        last = spans[i].at + spans[i].n;
        for (size_t k = 0; order && k < spans[i].n; k++)
            map[spans[i].at + k] = "ksncwC"[spans[i].kind];
    }
    tap_ok(order, "spans are in order and inside: %s", text);
    tap_is_str(map, want, "%s", text);
}

static void kinds(void)
{
    check("local x = 1", "kkkkk.....n");
    check("ends = end_", "...........");
    check("not nil", "kkk.kkk");
    check("a.b:c(1.5e-3, 0x1Fp+2)", "......nnnnnn..nnnnnnn.");
    check("1e5+2", "nnn.n");
    check("0xep+1", "nnnnnn");
    check(".5 a.b", "nn....");
    check("'a\\'b' .. \"c", "ssssss....ss");
    check("x = [==[ ]] ]==] y", "....ssssssssssss..");
    check("[[never closed", "ssssssssssssss");
    check("a -- b", "..cccc");
    check("a --[[ b ]] c", "..ccccccccc..");
    check("a[b[1]]", "....n..");
    check("'open\nreturn", "sssss.kkkkkk");
    check("\"tail\\", "ssssss");
    check("", "");
}

static void wrong(void)
{
    check("f(1))", "..n.w");
    check("(]", ".w");
    check("{(})", "..w.");
    check("'(' )", "sss.w");
    check("a @ $", "..w.w");
    check("x = \xc3\xa4", "....ww");
    check("(((", "...");
}

static void commands(void)
{
    check("?tensor.zeros", "CCCCCCCCCCCCC");
    check("  !ls -l 'a", "..CCCCCCCCC");
    check(":kill 2", "CCCCC..");
    check("::top:: x", ".........");
    check(":", "C");
}

static void pairs(void)
{
    const char *s = "f(a[1], '(')";
    size_t n = strlen(s), from = 99, to = 99;
    tap_ok(sy_highlight_pair(s, n, 1, &from, &to) && from == 1 && to == 11,
           "at the opening one: %d %d", (int)from, (int)to);
    tap_ok(sy_highlight_pair(s, n, 11, &from, &to) && from == 11 && to == 1, "at the closing one");
    tap_ok(sy_highlight_pair(s, n, 12, &from, &to) && from == 11 && to == 1,
           "behind the closing one");
    tap_ok(sy_highlight_pair(s, n, 3, &from, &to) && from == 3 && to == 5, "inside");
    tap_ok(!sy_highlight_pair(s, n, 9, &from, &to), "not in a string");
    tap_ok(!sy_highlight_pair("(a", 2, 0, &from, &to), "one that is open has none");
    tap_ok(sy_highlight_pair("()()", 4, 2, &from, &to) && from == 2 && to == 3,
           "the one at the point before the one behind it");
}

/* Every beginning of a text with everything in it, and room for few spans. */
static void truncated(void)
{
    static const char text[] = "local s = \"a\\z\" .. [==[ x ]==] --[[ c ]] f({1.5e+3, "
                               "0xA.8p1}, '\xe2\x82\xac') ]\n?x";
    struct sy_span spans[64];
    bool fine = true;
    for (size_t n = 0; n < sizeof text; n++)
        for (size_t max = 0; max < 8; max++) {
            size_t count = sy_highlight(text, n, spans, max);
            fine &= count <= max;
            for (size_t i = 0; i < count; i++)
                fine &= spans[i].at + spans[i].n <= n;
        }
    tap_ok(fine, "every beginning stays inside its bytes");
    char deep[600];
    memset(deep, '(', 300);
    memset(deep + 300, ')', 300);
    tap_is_int((int64_t)sy_highlight(deep, 600, spans, 64), 0, "300 brackets deep: none is wrong");
}

int main(void)
{
    kinds();
    wrong();
    commands();
    pairs();
    truncated();
    return tap_done();
}
