/* See scroll.h.
 *
 *     ring of finished lines, by number:  first ... first + count - 1, then the open one
 *     a line: bytes of UTF-8 and "ESC [ ... m", and the pen at its beginning
 *
 * A view is the line and row at the bottom of the rectangle; rows are found by laying lines out
 * again, from there upwards: a screenful, whatever the number of lines. */
#include "tui/scroll.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ESCAPE_MAX 64
#define TAB 8

static const struct sy_pen plain = {-1, -1, 0};

struct line {
    char *text; /* owned; NULL is empty */
    uint32_t len;
    struct sy_pen pen;
};

enum state { TEXT, ESC, CSI, STRING, STRING_ESC, CHARSET };

struct sy_scroll {
    struct line *ring;  /* [SY_SCROLL_LINES] */
    int64_t first, end; /* numbers of the oldest line and of the open one */
    size_t bytes;
    struct sy_str open;
    struct sy_pen open_pen, pen; /* at the open line's beginning, now */
    bool returned;               /* a carriage return came: text replaces the line */

    enum state state;
    char escape[ESCAPE_MAX];
    int escape_len;
    char cut[4]; /* a character that is not complete yet */
    int cut_len;

    bool follow, changed, bell;
    int64_t line, floor; /* of the view's bottom row; first line shown while following */
    int row, w, h;
};

struct sy_scroll *sy_scroll_new(void)
{
    struct sy_scroll *s = sy_calloc(1, sizeof *s);
    if (!s || !(s->ring = sy_calloc(SY_SCROLL_LINES, sizeof *s->ring))) {
        sy_free(s);
        return NULL;
    }
    s->open_pen = s->pen = plain;
    s->follow = s->changed = true;
    s->w = 80;
    s->h = 1;
    return s;
}

static struct line *at(const struct sy_scroll *s, int64_t number)
{
    return &s->ring[number % SY_SCROLL_LINES];
}

static void drop_first(struct sy_scroll *s)
{
    struct line *l = at(s, s->first);
    s->bytes -= l->len;
    sy_free(l->text);
    *l = (struct line){0};
    s->first++;
}

void sy_scroll_free(struct sy_scroll *s)
{
    if (!s)
        return;
    while (s->first < s->end)
        drop_first(s);
    sy_str_free(&s->open);
    sy_free(s->ring);
    sy_free(s);
}

/* ---- pens ---- */

/* The nearest of the 6x6x6 cube. */
static int cube(int r, int g, int b)
{
    int i = r < 48 ? 0 : r < 115 ? 1 : (r - 35) / 40, j = g < 48 ? 0 : g < 115 ? 1 : (g - 35) / 40;
    int k = b < 48 ? 0 : b < 115 ? 1 : (b - 35) / 40;
    return 16 + 36 * i + 6 * j + k;
}

static int clamp255(int v)
{
    return v < 0 ? 0 : v > 255 ? 255 : v;
}

/* 5;n or 2;r;g;b behind a 38 or 48 at p[0]; returns how many numbers it took. */
static int extended(const int *p, int n, int16_t *colour)
{
    if (n >= 2 && p[0] == 5) {
        *colour = (int16_t)clamp255(p[1]);
        return 2;
    }
    if (n >= 4 && p[0] == 2) {
        *colour = (int16_t)cube(clamp255(p[1]), clamp255(p[2]), clamp255(p[3]));
        return 4;
    }
    return n;
}

static void apply_one(struct sy_pen *pen, int v)
{
    static const uint8_t on[] = {0, SY_BOLD, SY_DIM, 0, SY_UNDERLINE, 0, 0, SY_REVERSE};
    if (v == 0)
        *pen = plain;
    else if (v < 8)
        pen->attr |= on[v];
    else if (v == 22)
        pen->attr &= (uint8_t) ~(SY_BOLD | SY_DIM);
    else if (v == 24)
        pen->attr &= (uint8_t)~SY_UNDERLINE;
    else if (v == 27)
        pen->attr &= (uint8_t)~SY_REVERSE;
    else if (v >= 30 && v <= 37)
        pen->fg = (int16_t)(v - 30);
    else if (v == 39)
        pen->fg = -1;
    else if (v >= 40 && v <= 47)
        pen->bg = (int16_t)(v - 40);
    else if (v == 49)
        pen->bg = -1;
    else if (v >= 90 && v <= 97)
        pen->fg = (int16_t)(v - 90 + 8);
    else if (v >= 100 && v <= 107)
        pen->bg = (int16_t)(v - 100 + 8);
}

/* The numbers of "ESC [ 1 ; 31 m" (n bytes of them, without ESC [ and m) on a pen. */
static void apply_sgr(struct sy_pen *pen, const char *s, size_t n)
{
    int p[16], count = 0, v = 0;
    for (size_t i = 0; i <= n && count < 16; i++)
        if (i == n || s[i] == ';' || s[i] == ':') {
            p[count++] = v;
            v = 0;
        } else if (v < 1000)
            v = v * 10 + (s[i] - '0');
    for (int i = 0; i < count; i++)
        if (p[i] == 38)
            i += extended(p + i + 1, count - i - 1, &pen->fg);
        else if (p[i] == 48)
            i += extended(p + i + 1, count - i - 1, &pen->bg);
        else
            apply_one(pen, p[i]);
}

static void put_pen(struct sy_str *out, struct sy_pen pen)
{
    sy_str_puts(out, "\033[0");
    for (int i = 0; i < 4; i++)
        if (pen.attr & (1 << i))
            sy_str_printf(out, ";%d", (const int[]){1, 2, 7, 4}[i]);
    if (pen.fg >= 0)
        sy_str_printf(out, pen.fg < 8 ? ";3%d" : ";38;5;%d", pen.fg);
    if (pen.bg >= 0)
        sy_str_printf(out, pen.bg < 8 ? ";4%d" : ";48;5;%d", pen.bg);
    sy_str_puts(out, "m");
}

static bool same_pen(struct sy_pen a, struct sy_pen b)
{
    return a.fg == b.fg && a.bg == b.bg && a.attr == b.attr;
}

/* ---- writing ---- */

static void finish_line(struct sy_scroll *s)
{
    if (s->end - s->first >= SY_SCROLL_LINES)
        drop_first(s);
    struct line *l = at(s, s->end);
    *l = (struct line){NULL, 0, s->open_pen};
    if (s->open.len && (l->text = sy_alloc(s->open.len))) {
        memcpy(l->text, s->open.data, s->open.len);
        l->len = (uint32_t)s->open.len;
        s->bytes += l->len;
    }
    s->end++;
    while (s->bytes > SY_SCROLL_BYTES && s->first < s->end)
        drop_first(s);
    sy_str_clear(&s->open);
    s->open.failed = false;
    s->open_pen = s->pen;
    s->returned = false;
}

static void add_text(struct sy_scroll *s, const char *text, size_t n)
{
    if (s->returned) {
        sy_str_clear(&s->open);
        s->open_pen = s->pen;
        s->returned = false;
    }
    while (n) {
        size_t k = n;
        if (s->open.len >= SY_SCROLL_LINE)
            finish_line(s);
        if (k > SY_SCROLL_LINE / 4)
            k = sy_utf8_valid(text, SY_SCROLL_LINE / 4);
        if (!k)
            k = 1;
        sy_utf8_sanitize(&s->open, text, k);
        text += k;
        n -= k;
    }
}

static void rub_out(struct sy_scroll *s)
{
    size_t n = s->open.len;
    if (!n || s->returned || s->open.data[n - 1] == 'm')
        return; /* the end of a colour, perhaps */
    while (n && ((unsigned char)s->open.data[--n] & 0xC0) == 0x80)
        continue;
    s->open.data[s->open.len = n] = 0;
}

static void control(struct sy_scroll *s, unsigned char c)
{
    switch (c) {
    case '\n':
        finish_line(s);
        break;
    case '\r':
        s->returned = s->open.len > 0;
        break;
    case '\b':
        rub_out(s);
        break;
    case '\t':
        add_text(s, "\t", 1);
        break;
    case '\033':
        s->state = ESC;
        break;
    case '\a':
        s->bell = true;
        break;
    case '\016':
    case '\017':
        break;
    default:
        add_text(s, (const char *)&c, 1);
    }
}

static bool is_sgr(const char *s, int n)
{
    return (int)strspn(s, "0123456789;:") == n;
}

static void end_escape(struct sy_scroll *s, char last)
{
    s->state = TEXT;
    s->escape[s->escape_len] = 0;
    if (last != 'm' || !is_sgr(s->escape, s->escape_len))
        return;
    apply_sgr(&s->pen, s->escape, (size_t)s->escape_len);
    if (s->returned || !s->open.len) {
        if (!s->returned)
            s->open_pen = s->pen;
        return;
    }
    if (s->open.len < SY_SCROLL_LINE)
        put_pen(&s->open, s->pen);
}

static void escape(struct sy_scroll *s, unsigned char c)
{
    switch (s->state) {
    case ESC:
        s->escape_len = 0;
        s->state = c == '['               ? CSI
                   : strchr("]PX^_", c)   ? STRING
                   : strchr("()*+#% ", c) ? CHARSET
                                          : TEXT;
        break;
    case CSI:
        if (c >= 0x40 && c <= 0x7E)
            end_escape(s, (char)c);
        else if (c < 0x20 || c > 0x7E) /* no sequence after all */
            s->state = TEXT;
        else if (s->escape_len < ESCAPE_MAX - 1)
            s->escape[s->escape_len++] = (char)c;
        break;
    case STRING:
        s->state = c == '\a' ? TEXT : c == '\033' ? STRING_ESC : STRING;
        if (c == '\n') { /* it was none: nothing more is swallowed */
            s->state = TEXT;
            finish_line(s);
        }
        break;
    case STRING_ESC:
        s->state = c == '\\' ? TEXT : STRING;
        break;
    default:
        s->state = TEXT;
    }
}

/* Bytes at the end of s[0..n) that begin a character which may still be completed. */
static size_t cut_tail(const char *s, size_t n)
{
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        unsigned char c = (unsigned char)s[n - k];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t want = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
        return want > k && c < 0xF5 ? k : 0;
    }
    return 0;
}

static size_t text_run(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (unsigned char)s[i] >= ' ' && s[i] != 0x7F)
        i++;
    return i;
}

static void write_text(struct sy_scroll *s, const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n) {
        if (s->state != TEXT) {
            escape(s, (unsigned char)bytes[i++]);
            continue;
        }
        size_t run = text_run(bytes + i, n - i);
        if (run)
            add_text(s, bytes + i, run);
        i += run;
        if (i < n)
            control(s, (unsigned char)bytes[i++]);
    }
}

void sy_scroll_write(struct sy_scroll *s, const char *bytes, size_t n)
{
    s->changed = true;
    while (s->cut_len && n) { /* complete the character that was cut */
        char c[5];
        memcpy(c, s->cut, (size_t)s->cut_len);
        if (((unsigned char)*bytes & 0xC0) == 0x80) {
            c[s->cut_len++] = *bytes++;
            n--;
        } else {
            int k = s->cut_len;
            s->cut_len = 0;
            write_text(s, c, (size_t)k);
            break;
        }
        memcpy(s->cut, c, (size_t)s->cut_len);
        if (!cut_tail(c, (size_t)s->cut_len) || s->cut_len == 4) {
            int k = s->cut_len;
            s->cut_len = 0;
            write_text(s, c, (size_t)k);
        }
    }
    size_t tail = cut_tail(bytes, n);
    if (tail > n)
        tail = 0;
    write_text(s, bytes, n - tail);
    if (tail) {
        memcpy(s->cut, bytes + n - tail, tail);
        s->cut_len = (int)tail;
    }
}

void sy_scroll_break(struct sy_scroll *s)
{
    if (s->open.len) {
        finish_line(s);
        s->changed = true;
    }
    s->state = TEXT;
    s->cut_len = 0;
}

void sy_scroll_say(struct sy_scroll *s, const char *text, struct sy_pen pen)
{
    sy_scroll_echo(s, text, "", pen);
}

void sy_scroll_echo(struct sy_scroll *s, const char *prompt, const char *text, struct sy_pen pen)
{
    struct sy_pen before = s->pen;
    size_t n = strlen(text);
    sy_scroll_break(s);
    s->pen = s->open_pen = pen;
    sy_scroll_write(s, prompt, strlen(prompt));
    s->pen = plain;
    put_pen(&s->open, plain);
    while (n && text[n - 1] == '\n')
        n--;
    sy_scroll_write(s, text, n);
    finish_line(s);
    s->pen = s->open_pen = before;
}

/* ---- laying out ---- */

static const char *text_of(const struct sy_scroll *s, int64_t number, size_t *n, struct sy_pen *pen)
{
    if (number == s->end) {
        *n = s->open.len;
        *pen = s->open_pen;
        return s->open.data;
    }
    const struct line *l = at(s, number);
    *n = l->len;
    *pen = l->pen;
    return l->text;
}

static struct sy_pen limit(struct sy_pen pen, const struct sy_look *look)
{
    if (!look->colours)
        pen.fg = pen.bg = -1;
    else if (look->colours == 8) {
        pen.fg = pen.fg >= 16 ? -1 : (int16_t)(pen.fg >= 8 ? pen.fg - 8 : pen.fg);
        pen.bg = pen.bg >= 16 ? -1 : (int16_t)(pen.bg >= 8 ? pen.bg - 8 : pen.bg);
    }
    return pen;
}

/* Behind the escape sequence at i. */
static size_t skip_escape(const char *text, size_t n, size_t i)
{
    return i + (i + 2 < n ? strcspn(text + i + 2, "m") : 0) + 3;
}

/* The character at *i, which goes behind it, and its cells at a column. */
static int next_char(const char *text, size_t n, size_t *i, int col, int w, uint32_t *c)
{
    int k = sy_utf8_decode(text + *i, n - *i, c);
    *i += k > 0 ? (size_t)k : 1;
    int cells = *c == '\t' ? TAB - col % TAB : sy_char_width(*c);
    if (*c == '\t' && col + cells > w)
        cells = w > col ? w - col : 0;
    return cells;
}

/* Where the row ends that begins at i: behind the last space of its last third, else where it is
 * full.  A space that has no room any more belongs to it all the same. */
static size_t row_end(const char *text, size_t n, size_t i, int w)
{
    size_t space = 0;
    int col = 0;
    while (i < n) {
        if (text[i] == '\033') {
            i = skip_escape(text, n, i);
            continue;
        }
        uint32_t c;
        size_t at = i;
        int cells = next_char(text, n, &i, col, w, &c);
        if (col + cells > w && col) {
            if (c != ' ')
                return space ? space : at;
            while (i < n && text[i] == '\033')
                i = skip_escape(text, n, i);
            return i;
        }
        col += cells;
        if ((c == ' ' || c == '\t') && 3 * col >= 2 * w)
            space = i;
    }
    return n;
}

/* Rows that a line takes; with a grid they are put there, row 0 at y (which may be above r). */
static int lay(const struct sy_scroll *s, int64_t number, int w, struct sy_grid *g,
               struct sy_rect r, int y, const struct sy_look *look)
{
    size_t n, i = 0;
    int row = 0, col = 0;
    struct sy_pen pen;
    const char *text = text_of(s, number, &n, &pen);
    size_t end = row_end(text, n, 0, w);
    while (i < n) {
        if (i >= end) {
            row++;
            col = 0;
            end = row_end(text, n, i, w);
        }
        if (text[i] == '\033') {
            size_t k = i + 2 < n ? strcspn(text + i + 2, "m") : 0;
            apply_sgr(&pen, text + i + 2, k);
            i += k + 3;
            continue;
        }
        uint32_t c;
        int cells = next_char(text, n, &i, col, w, &c);
        if (g && y + row >= r.y && y + row < r.y + r.h) {
            if (c == '\t')
                sy_grid_fill(g, (struct sy_rect){r.x + col, y + row, cells, 1}, ' ',
                             limit(pen, look));
            else if (col + cells <= r.w)
                sy_grid_put(g, r.x + col, y + row, c, limit(pen, look));
        }
        col += cells;
    }
    return row + 1;
}

static int rows_of(const struct sy_scroll *s, int64_t number)
{
    return lay(s, number, s->w, NULL, (struct sy_rect){0, 0, 0, 0}, 0, NULL);
}

/* The last line there is to see: the open one, if something stands in it. */
static int64_t last_line(const struct sy_scroll *s)
{
    return s->open.len ? s->end : s->end - 1;
}

/* ---- the view ---- */

/* The view's bottom, corrected for lines that are gone or laid out otherwise. */
static void settle(struct sy_scroll *s)
{
    int64_t last = last_line(s);
    if (s->follow || s->line > last) {
        s->follow = true;
        s->line = last;
        s->row = last >= s->first ? rows_of(s, last) - 1 : 0;
        return;
    }
    if (s->line < s->first) {
        s->line = s->first;
        s->row = 0;
    }
    int rows = rows_of(s, s->line);
    if (s->row >= rows)
        s->row = rows - 1;
}

static void draw_below(const struct sy_scroll *s, struct sy_grid *g, struct sy_rect r,
                       const struct sy_look *look)
{
    char text[48];
    int64_t n = sy_scroll_below(s);
    const char *arrow = look->symbols == SY_SYMBOLS_ASCII ? "v" : "\xE2\x96\xBC";
    snprintf(text, sizeof text, " %s %lld more line%s: PgDn ", arrow, (long long)n,
             n == 1 ? "" : "s");
    int w = sy_text_width(text, strlen(text));
    if (r.h > 1 && w <= r.w)
        sy_grid_text(g, r.x + r.w - w, r.y + r.h - 1, w, text, sy_look_pen(look, SY_ROLE_BAR));
}

void sy_scroll_draw(struct sy_scroll *s, struct sy_grid *g, struct sy_rect r,
                    const struct sy_look *look, bool tell)
{
    s->changed = false;
    sy_grid_fill(g, r, ' ', plain);
    if (r.w < 1 || r.h < 1)
        return;
    s->w = r.w;
    s->h = r.h;
    settle(s);
    int64_t from = s->follow && s->floor > s->first ? s->floor : s->first, number = s->line;
    int y = r.y + r.h; /* row below what is drawn next */
    for (; number >= from && y > r.y; number--) {
        int rows = number == s->line ? s->row + 1 : rows_of(s, number);
        y -= rows;
        lay(s, number, r.w, g, r, y, look);
    }
    if (!s->follow && tell)
        draw_below(s, g, r, look);
}

/* The bottom may not go above the row at which the oldest line stands at the top. */
static void stay_below_top(struct sy_scroll *s)
{
    int64_t number = s->first, last = last_line(s);
    int left = s->h;
    for (; number <= last; number++) {
        int rows = rows_of(s, number);
        if (rows >= left)
            break;
        left -= rows;
    }
    if (number > last) { /* all of it fits */
        s->follow = true;
        return;
    }
    if (s->line < number || (s->line == number && s->row < left - 1)) {
        s->line = number;
        s->row = left - 1;
    }
}

static void move_up(struct sy_scroll *s, int rows)
{
    s->row -= rows;
    while (s->row < 0 && s->line > s->first) {
        s->line--;
        s->row += rows_of(s, s->line);
    }
    if (s->row < 0)
        s->row = 0;
    s->follow = false;
    stay_below_top(s);
}

static void move_down(struct sy_scroll *s, int rows)
{
    int64_t last = last_line(s);
    s->row += rows;
    while (s->line <= last) {
        int have = rows_of(s, s->line);
        if (s->row < have)
            break;
        s->row -= have;
        s->line++;
    }
    if (s->line > last || (s->line == last && s->row >= rows_of(s, last) - 1))
        s->follow = true;
}

bool sy_scroll_move(struct sy_scroll *s, int rows)
{
    settle(s);
    int64_t line = s->line;
    int row = s->row;
    bool followed = s->follow;
    if (rows < 0)
        move_up(s, -rows);
    else if (rows > 0 && !s->follow)
        move_down(s, rows);
    settle(s);
    bool moved = line != s->line || row != s->row || followed != s->follow;
    s->changed |= moved;
    return moved;
}

void sy_scroll_end(struct sy_scroll *s)
{
    s->changed |= !s->follow;
    s->follow = true;
}

void sy_scroll_clear_view(struct sy_scroll *s)
{
    sy_scroll_break(s);
    s->floor = s->end;
    s->follow = s->changed = true;
}

int64_t sy_scroll_below(const struct sy_scroll *s)
{
    return s->follow ? 0 : last_line(s) - s->line;
}

bool sy_scroll_changed(struct sy_scroll *s)
{
    bool was = s->changed;
    s->changed = false;
    return was;
}

bool sy_scroll_bell(struct sy_scroll *s)
{
    bool was = s->bell;
    s->bell = false;
    return was;
}

int64_t sy_scroll_count(const struct sy_scroll *s)
{
    return s->end + (s->open.len > 0);
}

void sy_scroll_tail(const struct sy_scroll *s, int lines, bool colours, struct sy_str *out)
{
    int64_t last = last_line(s), number = last - lines + 1;
    for (number = number < s->first ? s->first : number; number <= last; number++) {
        struct sy_pen pen;
        size_t n, i = 0;
        const char *text = text_of(s, number, &n, &pen);
        bool coloured = !same_pen(pen, plain);
        if (colours && coloured)
            put_pen(out, pen);
        while (i < n) {
            size_t k = 0;
            while (i + k < n && text[i + k] != '\033')
                k++;
            sy_str_add(out, text + i, k);
            i += k;
            if (i >= n)
                break;
            for (k = 2; i + k < n && text[i + k] != 'm'; k++)
                continue;
            if (colours)
                sy_str_add(out, text + i, k + 1);
            coloured = true;
            i += k + 1;
        }
        if (colours && coloured)
            sy_str_puts(out, "\033[0m");
        sy_str_puts(out, "\n");
    }
}
