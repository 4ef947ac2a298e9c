/* The scrollback and the rows of the prompt: bytes in, rows of cells out. */
#include "tui/input.h"
#include "tui/scroll.h"
#include "unit/tap.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sy_theme look = {SY_SYMBOLS_BRAILLE, 256, false};
static struct sy_grid grid;

/* Row y as text, without the spaces at its end. */
static const char *row(int y)
{
    static struct sy_str text;
    struct sy_grid one = {.w = grid.w, .h = 1, .cell = grid.cell + (size_t)y * (size_t)grid.w};
    sy_str_clear(&text);
    sy_grid_write(&one, SY_DUMP_TEXT, &text);
    if (text.data)
        text.data[strcspn(text.data, "\n")] = 0;
    return text.data ? text.data : "";
}

static void is_row(int y, const char *want, const char *what)
{
    bool same = !strcmp(row(y), want);
    tap_ok(same, "%s", what);
    if (!same)
        tap_note("row %d is '%s', not '%s'", y, row(y), want);
}

static void draw(struct sy_scroll *s, int w, int h)
{
    sy_grid_resize(&grid, w, h, NULL);
    sy_scroll_draw(s, &grid, (struct sy_rect){0, 0, w, h}, &look, false);
}

static void put(struct sy_scroll *s, const char *text)
{
    sy_scroll_write(s, text, strlen(text));
}

static void writing(void)
{
    struct sy_scroll *s = sy_scroll_new();
    put(s, "first\nsecond\rSecond line\nprogress 1\rprogress 2");
    draw(s, 20, 4);
    is_row(0, "", "the newest stand at the bottom");
    is_row(1, "first", "a line");
    is_row(2, "Second line", "a carriage return begins it anew");
    is_row(3, "progress 2", "also the open one");
    put(s, "\nabc\b\bX\n1\t2\n\033]0;title\007\033[2Jseen\033(B\n\033[31mred\033[0m "
           "\033[1;38;5;80mb\033[m\n");
    draw(s, 20, 4);
    is_row(0, "aX", "backspace");
    is_row(1, "1       2", "a tab");
    is_row(2, "seen", "other sequences are dropped");
    is_row(3, "red b", "colours leave the text alone");
    struct sy_cell *c = sy_grid_at(&grid, 0, 3), *b = sy_grid_at(&grid, 4, 3),
                   *sp = sy_grid_at(&grid, 3, 3);
    tap_ok(c->pen.fg == 1 && sp->pen.fg == -1 && b->pen.fg == 80 && b->pen.attr == SY_BOLD,
           "and are there");
    put(s, "\033[32mgreen\nstill\033[0m\n");
    draw(s, 20, 2);
    tap_ok(sy_grid_at(&grid, 0, 1)->pen.fg == 2, "a colour goes on in the next line");
    put(s, "\033]never ended\nback\a\n");
    draw(s, 20, 1);
    is_row(0, "back", "a sequence that never ends takes its line at most");
    tap_ok(sy_scroll_bell(s) && !sy_scroll_bell(s), "a bell rings once");
    put(s, "\xE2\x80\xAE\x01\xFF|\xC2\x9B|\n");
    draw(s, 60, 1);
    is_row(0, "\\u{202E}\\x01\\xFF|\\u{9B}|", "what could deceive is made visible");
    sy_scroll_free(s);
}

/* However it is cut into pieces, the same rows come out. */
static void pieces(void)
{
    static const char text[] = "a\xE6\xBC\xA2\xE5\xAD\x97 e\xCC\x81\033[1;31mred\033[0m\r\nnext "
                               "\xF0\x9F\x98\x80\xFF\xE6\xBC|\n";
    char want[2][256];
    int bad = 0;
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        struct sy_scroll *s = sy_scroll_new();
        sy_scroll_write(s, text, cut);
        sy_scroll_write(s, text + cut, sizeof text - 1 - cut);
        draw(s, 40, 2);
        for (int y = 0; y < 2; y++)
            if (!cut)
                snprintf(want[y], sizeof want[y], "%s", row(y));
            else
                bad += strcmp(want[y], row(y)) != 0;
        sy_scroll_free(s);
    }
    struct sy_scroll *s = sy_scroll_new();
    for (size_t i = 0; i < sizeof text - 1; i++)
        sy_scroll_write(s, text + i, 1);
    draw(s, 40, 2);
    bad += strcmp(want[0], row(0)) != 0 || strcmp(want[1], row(1)) != 0;
    tap_is_int(bad, 0, "pieces cut anywhere give the same rows");
    tap_note("%s", want[1]);
    sy_scroll_free(s);
}

static void wrapping(void)
{
    struct sy_scroll *s = sy_scroll_new();
    put(s, "0123456789abc\n\xE6\xBC\xA2\xE5\xAD\x97\xE6\xBC\xA2\n");
    draw(s, 10, 3);
    is_row(0, "0123456789", "a line is wrapped");
    is_row(1, "abc", "to the next row");
    draw(s, 5, 5);
    is_row(3, "\xE6\xBC\xA2\xE5\xAD\x97", "a wide character is not cut");
    is_row(4, "\xE6\xBC\xA2", "but goes to the next row");
    put(s, "one two three\nalpha beta gamma\na 0123456789\n0123456789 \033[0m\n");
    draw(s, 10, 7);
    is_row(0, "one two", "a row ends at a space");
    is_row(1, "three", "and the word goes to the next one");
    is_row(2, "alpha beta", "a space without room is not seen");
    is_row(3, "gamma", "on neither row");
    is_row(4, "a 01234567", "a space further to the left does not count");
    is_row(6, "0123456789", "and a space at the end makes no row");
    sy_scroll_free(s);
}

static void scrolling(void)
{
    struct sy_scroll *s = sy_scroll_new();
    char line[32];
    for (int i = 1; i <= 20; i++) {
        snprintf(line, sizeof line, "row %d\n", i);
        put(s, line);
    }
    draw(s, 20, 5);
    is_row(4, "row 20", "it follows");
    tap_ok(sy_scroll_move(s, -4) && sy_scroll_below(s) == 4, "a page up");
    draw(s, 20, 5);
    is_row(4, "row 16", "shows what is above");
    put(s, "news\n");
    draw(s, 20, 5);
    is_row(4, "row 16", "and stays while others come");
    tap_is_int(sy_scroll_below(s), 5, "which are counted");
    tap_ok(sy_scroll_move(s, -100), "to the top");
    draw(s, 20, 5);
    is_row(0, "row 1", "the first line is at the top, not above");
    tap_ok(!sy_scroll_move(s, -1), "there is no further");
    draw(s, 3, 5);
    is_row(4, "row", "another width");
    sy_scroll_move(s, 1000);
    draw(s, 20, 5);
    is_row(4, "news", "down to the end: it follows again");
    tap_is_int(sy_scroll_below(s), 0, "with nothing below");
    sy_scroll_clear_view(s);
    draw(s, 20, 5);
    is_row(4, "", "an empty view");
    put(s, "after\n");
    draw(s, 20, 5);
    is_row(3, "", "into which the next lines come");
    is_row(4, "after", "one by one");
    for (int i = 0; i < 3 * SY_SCROLL_LINES; i++)
        put(s, "flood\n");
    draw(s, 20, 2);
    is_row(1, "flood", "many lines");
    sy_scroll_move(s, -100000);
    draw(s, 20, 2);
    is_row(0, "flood", "the oldest are gone");
    struct sy_str tail = SY_STR_INIT;
    put(s, "\033[31mred\033[0m\nopen");
    sy_scroll_tail(s, 2, false, &tail);
    tap_ok(!strcmp(tail.data, "red\nopen\n"), "the last lines as text");
    sy_str_free(&tail);
    char *big = malloc(200000);
    memset(big, 'x', 200000);
    sy_scroll_write(s, big, 200000);
    sy_scroll_end(s);
    draw(s, 20, 2);
    is_row(0, "xxxxxxxxxxxxxxxxxxxx", "a line without an end");
    free(big);
    sy_scroll_free(s);
}

static void input(void)
{
    int x, y;
    struct sy_pen pen = {-1, -1, 0};
    struct sy_input in = {.prompt = "yard> ", .text = "abc\ndef\001", .n = 8, .point = 8};
    sy_grid_resize(&grid, 12, 4, NULL);
    tap_is_int(sy_input_rows(&in, 12), 2, "a newline is a row");
    sy_input_draw(&in, &grid, (struct sy_rect){0, 1, 12, 2}, &look, pen, &x, &y);
    is_row(1, "yard> abc", "the prompt and the first line");
    is_row(2, "    . def^A", "the next one below it");
    tap_ok(x == 11 && y == 2, "the cursor behind it (%d,%d)", x, y);
    in = (struct sy_input){.prompt = "> ", .text = "0123456789", .n = 10, .point = 10};
    tap_is_int(sy_input_rows(&in, 12), 2, "a full row leaves the cursor for the next");
    in.point = 3;
    sy_input_draw(&in, &grid, (struct sy_rect){0, 0, 12, 1}, &look, pen, &x, &y);
    tap_ok(x == 5 && y == 0, "a cursor inside");
    in = (struct sy_input){.prompt = "> ",
                           .text = "\xE6\xBC\xA2"
                                   "e\xCC\x81"
                                   "x",
                           .n = 7,
                           .point = 7};
    sy_input_draw(&in, &grid, (struct sy_rect){0, 0, 12, 1}, &look, pen, &x, &y);
    tap_is_int(x, 6, "two columns, one with a mark, one");
    char text[100];
    memset(text, 'a', sizeof text);
    text[99] = 'Z';
    in = (struct sy_input){.prompt = "> ", .text = text, .n = 100, .point = 100};
    sy_input_draw(&in, &grid, (struct sy_rect){0, 0, 12, 3}, &look, pen, &x, &y);
    tap_ok(y >= 0 && y < 3 && x >= 0, "a window of rows holds the cursor");
    is_row(y, "aaaaaZ", "and the end of a long line");
    in.point = 0;
    sy_input_draw(&in, &grid, (struct sy_rect){0, 0, 12, 3}, &look, pen, &x, &y);
    tap_ok(x == 2 && y == 0, "or its beginning");
    for (int w = 1; w < 6; w++)
        for (int h = 1; h < 4; h++) {
            sy_grid_resize(&grid, w, h, NULL);
            sy_input_draw(&in, &grid, (struct sy_rect){0, 0, w, h}, &look, pen, &x, &y);
            if (x < 0 || x >= w || y < 0 || y >= h)
                tap_ok(false, "cursor outside of %d x %d", w, h);
        }
}

int main(void)
{
    setlocale(LC_ALL, "C.UTF-8");
    writing();
    pieces();
    wrapping();
    scrolling();
    input();
    sy_grid_free(&grid);
    return tap_done();
}
