/* Growing strings, nearest names, numbers for people; see base/str.h.  Layer base, on mem. */
#include "base/str.h"

#include "base/grow.h"
#include "base/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Room for n more bytes and the NUL; false (and failed) when memory is out. */
#define SHORTEST 32 /* bytes: most strings are names and lines */

static bool reserve_bytes(struct sy_str *s, size_t n)
{
    size_t need;
    if (sy_add_size(s->len, n, &need) != 0 || sy_add_size(need, 1, &need) != 0) {
        s->failed = true;
        return false;
    }
    if (SY_GROW(s->data, s->cap, need < SHORTEST ? SHORTEST : need)) {
        s->failed = true;
        return false;
    }
    return true;
}

void sy_str_add(struct sy_str *s, const void *bytes, size_t n)
{
    if (!reserve_bytes(s, n))
        return;
    if (n > 0)
        memcpy(s->data + s->len, bytes, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void sy_str_puts(struct sy_str *s, const char *text)
{
    sy_str_add(s, text, strlen(text));
}

void sy_str_vprintf(struct sy_str *s, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t room = s->cap - s->len;
    int n = vsnprintf(room > 0 ? s->data + s->len : NULL, room, fmt, ap);
    if (n < 0) {
        s->failed = true;
    } else if ((size_t)n < room) {
        s->len += (size_t)n;
    } else if (reserve_bytes(s, (size_t)n)) {
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    } else if (s->cap > 0) {
        s->data[s->len] = '\0'; /* what the first attempt left behind is no part of the string */
    }
    va_end(again);
}

void sy_str_printf(struct sy_str *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    sy_str_vprintf(s, fmt, ap);
    va_end(ap);
}

void sy_str_clear(struct sy_str *s)
{
    s->len = 0;
    s->failed = false;
    if (s->data)
        s->data[0] = '\0';
}

void sy_str_free(struct sy_str *s)
{
    sy_free(s->data);
    *s = (struct sy_str)SY_STR_INIT;
}

/* -- nearest name ---------------------------------------------------------------------------- */

#define WORD_MAX 48 /* names are short; longer words have no suggestion */

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment distance (Levenshtein with transposition of neighbours). */
static int edits(const char *a, int la, const char *b, int lb)
{
    int d[3][WORD_MAX + 1];
    for (int j = 0; j <= lb; j++)
        d[0][j] = j;
    for (int i = 1; i <= la; i++) {
        int *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                up2[j - 2] + 1 < row[j])
                row[j] = up2[j - 2] + 1;
        }
    }
    return d[la % 3][lb];
}

static bool same_letters(const char *a, const char *b)
{
    return a[0] == b[1] && a[1] == b[0];
}

const char *sy_nearest(const char *word, const char *const *names)
{
    size_t n = strlen(word);
    if (n > WORD_MAX)
        return NULL;
    const char *best = NULL;
    int limit = n < 5 ? 1 : ((int)n + 1) / 3;
    for (; *names; names++) {
        size_t m = strlen(*names);
        if (m > WORD_MAX)
            continue;
        int d = edits(word, (int)n, *names, (int)m);
        if (n == 2 && m == 2 && d && !same_letters(word, *names))
            continue;
        if (d <= limit && d < (int)(n > m ? n : m)) { /* not a word that shares no letter */
            best = *names;
            limit = d - 1;
        }
    }
    return best;
}

/* -- numbers for people ---------------------------------------------------------------------- */

static const double powers[] = {1, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18};

/* Three significant digits without trailing zeros, of 0 <= v < 1000; returns the length. */
static int three_digits(double v, char *out, size_t size)
{
    int decimals = v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
    int n = v < 0.1 && v > 0 ? snprintf(out, size, "%.2g", v)
                             : snprintf(out, size, "%.*f", decimals, v);
    if (n < 0 || n >= (int)size)
        return 0;
    if (!strpbrk(out, ".,") || strchr(out, 'e'))
        return n;
    while (n > 0 && out[n - 1] == '0')
        n--;
    if (n > 0 && (out[n - 1] == '.' || out[n - 1] == ','))
        n--;
    out[n] = '\0';
    return n;
}

static void scaled(double value, const char *const *units, int count, char out[16])
{
    if (!isfinite(value) || fabs(value) >= 999.5 * powers[count - 1]) {
        snprintf(out, 16, "%.3g", value);
        return;
    }
    double v = fabs(value);
    int i = 0;
    while (i + 1 < count && v >= 999.5 * powers[i])
        i++;
    char digits[12];
    three_digits(v / powers[i], digits, sizeof digits);
    snprintf(out, 16, "%s%s%s", value < 0 ? "-" : "", digits, units[i]);
}

void sy_human(double value, char out[16])
{
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    scaled(value, units, 7, out);
}

void sy_human_bytes(double bytes, char out[16])
{
    static const char *const units[] = {" B", " kB", " MB", " GB", " TB", " PB", " EB"};
    scaled(bytes, units, 7, out);
}

void sy_human_duration(double seconds, char out[16])
{
    if (!(seconds >= 0) || seconds > 1e9) {
        snprintf(out, 16, "-");
        return;
    }
    unsigned s = (unsigned)(seconds + 0.5);
    if (s < 60)
        snprintf(out, 16, "%us", s);
    else if (s < 3600)
        snprintf(out, 16, "%um%02us", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 16, "%uh%02um", s / 3600, s % 3600 / 60);
    else
        snprintf(out, 16, "%ud%uh", s / 86400 % 100000, s % 86400 / 3600);
}
