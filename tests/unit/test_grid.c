/* Cells: wide and combining characters, clipping, sanitizing, comparing, dumping; looks. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "tui/frame.h"
#include "tui/grid.h"

#include <locale.h>
#include <string.h>

static const struct sy_pen plain = {-1, -1, 0};

static const char *row(struct sy_grid *g, int y)
{
    static struct sy_str out;
    struct sy_grid one = {g->w, 1, g->cell + (size_t)y * (size_t)g->w, false};
    sy_str_clear(&out);
    sy_grid_write(&one, SY_DUMP_TEXT, &out);
    if (!g->cell)
        sy_str_free(&out);
    else if (out.len)
        out.data[--out.len] = 0;
    static char text[512];
    strncpy(text, out.data ? out.data : "", sizeof text - 1);
    sy_str_free(&out);
    return text;
}

static void texts(void)
{
    struct sy_grid g = {0};
    sy_grid_resize(&g, 10, 3, NULL);
    tap_is_int(sy_grid_text(&g, 0, 0, 10, "plain", plain), 5, "columns used");
    tap_is_str(row(&g, 0), "plain", "text");
    tap_is_int(sy_grid_text(&g, 0, 0, 3, "abcdef", plain), 3, "cut");
    tap_is_str(row(&g, 0), "abcin", "to its columns");
    sy_grid_resize(&g, 10, 3, NULL);
    tap_is_int(sy_grid_text(&g, 0, 0, 10, "日本語", plain), 6, "wide characters have two columns");
    tap_is_int(sy_grid_text(&g, 0, 1, 5, "日本語", plain), 4, "no half of one at the edge");
    sy_grid_put(&g, 1, 0, 'x', plain);
    tap_is_str(row(&g, 0), " x本語", "overwriting one half takes the other away");
    sy_grid_put(&g, 2, 0, 'y', plain);
    tap_is_str(row(&g, 0), " xy 語", "from the left as well");
    sy_grid_text(&g, 9, 2, 10, "語", plain);
    tap_is_str(row(&g, 2), "", "half a character at the border is a space");
    tap_is_int(sy_grid_text(&g, 0, 2, 10, "e\xCC\x81\xCC\x82z", plain), 2, "marks have no columns");
    tap_ok(sy_grid_at(&g, 0, 2)->mark[0] == 0x301 && sy_grid_at(&g, 0, 2)->mark[1] == 0x302,
           "they are in the cell before them");
    for (int i = 0; i < 20; i++)
        sy_grid_put(&g, 1, 2, 0x301, plain);
    tap_is_int(sy_text_width("e\xCC\x81日x", 7), 4, "width of a text");
    tap_is_int((int64_t)sy_text_fit("日本語", 9, 5), 6, "bytes that fit");
    sy_grid_text(&g, -3, 0, 10, "abc", plain); /* outside */
    sy_grid_text(&g, 0, 99, 10, "abc", plain);
    tap_ok(sy_grid_at(&g, 10, 0) == NULL && sy_grid_at(&g, 0, -1) == NULL, "outside");
    sy_grid_free(&g);
}

/* Every code point, and every byte, put as text: nothing that a terminal acts on is in a cell. */
static void hostile(void)
{
    struct sy_grid g = {0};
    int bad = 0, wide = 0;
    sy_grid_resize(&g, 4, 1, NULL);
    for (uint32_t c = 1; c < 0x110000; c++) {
        char text[5] = {0};
        if (!sy_utf8_encode(c, text))
            continue;
        sy_grid_fill(&g, (struct sy_rect){0, 0, 4, 1}, ' ', plain);
        int n = sy_grid_text(&g, 0, 0, 4, text, plain);
        uint32_t got = sy_grid_at(&g, 0, 0)->ch;
        bad += got < 32 || (got >= 127 && got < 160) || (got >= 0x202A && got <= 0x202E) ||
               (got >= 0x2066 && got <= 0x2069) || n < 0 || n > 2;
        char after[6] = {'a'};
        memcpy(after + 1, text, 5);
        sy_grid_text(&g, 0, 0, 4, after, plain); /* behind a letter, where marks are kept */
        uint32_t mark = sy_grid_at(&g, 0, 0)->mark[0];
        bad += mark && ((mark >= 0x200B && mark <= 0x202E && mark != 0x200D) ||
                        (mark >= 0x2060 && mark <= 0x206F) || mark == 0xFEFF || mark == 0x61C);
        bad += n != sy_text_width(text, strlen(text)) && n != 0;
        wide += n == 2;
    }
    tap_is_int(bad, 0, "no control, C1 or bidi character stays one");
    tap_ok(wide > 50000, "%d wide characters", wide);
    for (int c = 128; c < 256; c++) {
        char text[2] = {(char)c, 0};
        sy_grid_text(&g, 0, 0, 4, text, plain);
        bad += sy_grid_at(&g, 0, 0)->ch != 0xFFFD;
    }
    tap_is_int(bad, 0, "bytes that are no UTF-8 are replaced");
    sy_grid_free(&g);
}

static void comparing(void)
{
    struct sy_grid a = {0}, b = {0};
    int x0 = 0, x1 = 0;
    sy_grid_resize(&a, 20, 2, NULL);
    sy_grid_resize(&b, 20, 2, NULL);
    tap_ok(!sy_grid_changed(&a, &b, 0, &x0, &x1), "equal");
    sy_grid_text(&b, 3, 0, 9, "ab", plain);
    sy_grid_text(&b, 8, 0, 9, "日", plain);
    sy_grid_put(&b, 12, 0, ' ', (struct sy_pen){-1, 5, 0});
    tap_ok(sy_grid_changed(&a, &b, 0, &x0, &x1) && x0 == 3 && x1 == 5, "the first stretch");
    x0 = x1;
    tap_ok(sy_grid_changed(&a, &b, 0, &x0, &x1) && x0 == 8 && x1 == 10, "the second");
    x0 = x1;
    tap_ok(sy_grid_changed(&a, &b, 0, &x0, &x1) && x0 == 12 && x1 == 13, "a colour alone");
    x0 = x1;
    tap_ok(!sy_grid_changed(&a, &b, 0, &x0, &x1), "no more");
    sy_grid_text(&a, 7, 0, 9, "日", plain); /* halves overlap: whole characters are given */
    x0 = 5;
    tap_ok(sy_grid_changed(&a, &b, 0, &x0, &x1) && x0 == 7 && x1 == 10, "no half characters");
    sy_mem_fail_at(1);
    tap_ok(sy_grid_resize(&a, 30, 5, NULL) == -1 && a.w == 20, "no memory: as it was");
    sy_grid_free(&a);
    sy_grid_free(&b);
}

/* Pictures that some terminals make of several characters: none of ours does. */
static void joining(void)
{
    struct sy_grid g = {0};
    sy_grid_resize(&g, 12, 1, NULL);
    const char *text =
        "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd"
        "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa\xe2\x9d\xa4\xef\xb8\x8fx";
    tap_is_int(sy_text_width(text, strlen(text)), 10, "columns of what joins elsewhere");
    sy_grid_text(&g, 0, 0, 12, text, plain);
    tap_is_str(row(&g, 0), "\xf0\x9f\x91\xa9\xf0\x9f\x92\xbb\xf0\x9f\x91\x8d" "DE\xe2\x9d\xa4x",
               "each stands for itself, and what joins is not sent");
    sy_grid_free(&g);
}

static void dumping(void)
{
    struct sy_grid g = {0};
    struct sy_str out = SY_STR_INIT;
    sy_grid_resize(&g, 8, 2, NULL);
    sy_grid_text(&g, 0, 0, 8, "a<&", (struct sy_pen){81, 236, SY_BOLD});
    sy_grid_put(&g, 4, 0, 0x2588, plain);
    sy_grid_put(&g, 5, 0, 0x28FF, plain);
    sy_grid_write(&g, SY_DUMP_ANSI, &out);
    tap_is_str(out.data, "\x1b[0;1;38;5;81;48;5;236ma<&\x1b[0m █⣿\n\n", "ANSI");
    sy_str_clear(&out);
    sy_grid_write(&g, SY_DUMP_GOLDEN, &out);
    tap_is_str(out.data, "8 x 2\n|a<& █⣿  |\n|        |\n0 0+3:81,236,1\n", "golden");
    sy_str_clear(&out);
    sy_grid_write(&g, SY_DUMP_SVG, &out);
    tap_ok(strstr(out.data, "a&lt;&amp;") && strstr(out.data, "</svg>") &&
               sy_utf8_valid(out.data, out.len) == out.len,
           "SVG is escaped");
    tap_ok(strstr(out.data, "rx=\"8\" fill=\"#14171c\"") != NULL, "on dark");
    sy_str_clear(&out);
    g.light = true;
    sy_grid_write(&g, SY_DUMP_SVG, &out);
    tap_ok(strstr(out.data, "rx=\"8\" fill=\"#fbfbf9\"") && !strstr(out.data, "#d4d7dc"),
           "a light theme's on light, in dark letters");
    sy_str_free(&out);
    sy_grid_free(&g);
}

static bool look_is(struct sy_theme l, enum sy_symbols s, int colours)
{
    return l.symbols == s && l.colours == colours;
}

static void theme_names(void)
{
    struct sy_theme look = {SY_SYMBOLS_BRAILLE, 256, false};
    static const char *const all[] = {"auto", "dark", "light", "256", "8", "none",
                                      "braille", "blocks", "ascii"};
    tap_is_str(sy_theme_names(), "auto, dark, light, 256, 8, none; braille, blocks, ascii",
               "the themes that there are, for people");
    int known = 0;
    for (int i = 0; i < 9; i++)
        known += sy_theme_find(all[i]) != NULL;
    tap_ok(known == 9 && !sy_theme_find("auto,") && !sy_theme_find(""), "each is found");
    sy_theme_apply(&look, sy_theme_find("light"), true, 256);
    sy_theme_apply(&look, sy_theme_find("256"), true, 8);
    sy_theme_apply(&look, sy_theme_find("blocks"), true, 8);
    tap_ok(look.light && look_is(look, SY_SYMBOLS_BLOCKS, 8), "what the terminal has is had");
    sy_theme_apply(&look, sy_theme_find("braille"), false, 8);
    sy_theme_apply(&look, sy_theme_find("8"), false, -1);
    tap_ok(look_is(look, SY_SYMBOLS_ASCII, 0), "and not more");
    tap_ok(look_is(sy_theme_choose("UTF-8", "xterm", "none", NULL, NULL, 8), SY_SYMBOLS_BRAILLE, 8),
           "a name of colours are no symbols");
}

static void looks(void)
{
    tap_ok(look_is(sy_theme_choose("UTF-8", "xterm-256color", NULL, NULL, NULL, 256),
                   SY_SYMBOLS_BRAILLE, 256),
           "xterm");
    tap_ok(look_is(sy_theme_choose("ANSI_X3.4-1968", "xterm", NULL, NULL, NULL, 8),
                   SY_SYMBOLS_ASCII, 8),
           "no UTF-8");
    tap_ok(look_is(sy_theme_choose("UTF-8", "linux", NULL, NULL, NULL, 8), SY_SYMBOLS_BLOCKS, 8),
           "console");
    tap_ok(look_is(sy_theme_choose("UTF-8", "vt100", NULL, NULL, NULL, -1), SY_SYMBOLS_ASCII, 0),
           "vt100");
    tap_ok(look_is(sy_theme_choose(NULL, NULL, "braille", NULL, NULL, 16), SY_SYMBOLS_BRAILLE, 8),
           "asked for");
    tap_ok(look_is(sy_theme_choose("UTF-8", "xterm", "ascii", "1", NULL, 256), SY_SYMBOLS_ASCII, 0),
           "NO_COLOR");
    tap_ok(
        look_is(sy_theme_choose("UTF-8", "xterm", "emoji", "", NULL, 256), SY_SYMBOLS_BRAILLE, 256),
        "nonsense, and an empty NO_COLOR");
    static const struct {
        const char *fgbg;
        bool light;
    } grounds[] = {{"15;0", false},        {"0;15", true},  {"0;default;15", true}, {"0;7", true},
                   {"15;default", false},  {"7;8", false},  {"0;9", true},          {"0;16", false},
                   {"15;default;0", false}, {"15", false},  {"", false},
                              {"0;15x", false},
                   {"0;", false},          {"0;-1", false}};
    for (size_t i = 0; i < sizeof grounds / sizeof *grounds; i++)
        tap_ok(sy_theme_choose("UTF-8", "rxvt", NULL, NULL, grounds[i].fgbg, 256).light ==
                   grounds[i].light,
               "COLORFGBG=%s", grounds[i].fgbg);
    struct sy_theme fine = {SY_SYMBOLS_BRAILLE, 256, false}, none = {SY_SYMBOLS_ASCII, 0, false};
    static const double levels[6] = {0, 95, 135, 175, 215, 255};
    double before = -1;
    int bad = 0;
    for (int i = 0; i <= 100; i++) { /* luminance rises: the ramp reads without hue */
        int c = sy_theme_heat(&fine, i / 100.0) - 16;
        double y = 0.2126 * levels[c / 36] * levels[c / 36] +
                   0.7152 * levels[c / 6 % 6] * levels[c / 6 % 6] +
                   0.0722 * levels[c % 6] * levels[c % 6];
        bad += y < before;
        before = y;
    }
    tap_is_int(bad, 0, "the ramp's luminance rises");
    tap_ok(sy_theme_heat(&none, 0.5) == -1 && sy_theme_ramp(0) == ' ' && sy_theme_ramp(1) == '@' &&
               sy_theme_ramp(-3) == ' ' && sy_theme_ramp(7) == '@' &&
               sy_theme_heat(&fine, 9) == 227,
           "without colours, and out of range");
    char out[64];
    sy_theme_text(&none, "L1–6 × 1 · …", out, sizeof out);
    tap_is_str(out, "L1-6 x 1 - ...", "our signs in ASCII");
    int ascii = 0;
    for (int i = 0; i < SY_GLYPH_COUNT; i++)
        ascii += sy_glyph(&none, (enum sy_glyph)i) > 126 ||
                 sy_char_width(sy_glyph(&fine, (enum sy_glyph)i)) != 1;
    tap_is_int(ascii, 0, "every glyph has an ASCII one and a column");
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    texts();
    hostile();
    comparing();
    joining();
    dumping();
    theme_names();
    looks();
    tap_is_int((int64_t)sy_mem_live(), 0, "nothing left");
    return tap_done();
}
