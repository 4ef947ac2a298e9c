/* See ticks.h.  Steps of 1, 2 and 5: Heckbert, "Nice numbers for graph labels", Graphics Gems 1990.
 */
#include "tui/ticks.h"

#include "base/str.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

double sy_tick_step(double span, int most)
{
    if (!(span > 0) || !isfinite(span))
        return 1;
    double raw = span / (most > 0 ? most : 1), power = pow(10, floor(log10(raw)));
    double x = raw / power;
    return power * (x <= 1 ? 1 : x <= 2 ? 2 : x <= 5 ? 5 : 10);
}

struct scale {
    double by;
    const char *suffix;
};

static struct scale thousand_scale(double most)
{
    static const struct scale list[] = {{1e18, "E"}, {1e15, "P"}, {1e12, "T"},
                                        {1e9, "G"},  {1e6, "M"},  {1e3, "k"}};
    for (int i = 0; i < 6; i++)
        if (most >= list[i].by * (list[i].by == 1e3 ? 10 : 1))
            return list[i];
    return (struct scale){1, ""};
}

static struct scale scale_of(double most, enum sy_unit unit)
{
    switch (unit) {
    case SY_UNIT_SECONDS:
        return most >= 2 * 86400 ? (struct scale){86400, "d"}
               : most >= 7200    ? (struct scale){3600, "h"}
               : most >= 120     ? (struct scale){60, "m"}
               : most >= 1       ? (struct scale){1, "s"}
                                 : (struct scale){1e-3, "ms"};
    case SY_UNIT_PERCENT:
        return (struct scale){0.01, "%"};
    case SY_UNIT_BYTES:
        return most >= 1e9   ? (struct scale){1e9, "GB"}
               : most >= 1e6 ? (struct scale){1e6, "MB"}
               : most >= 1e3 ? (struct scale){1e3, "kB"}
                             : (struct scale){1, "B"};
    default:
        return thousand_scale(most);
    }
}

/* "3e-4" rather than printf's "3e-04". */
static void scientific(double v, int digits, char *out, size_t size)
{
    char text[32];
    snprintf(text, sizeof text, "%.*e", digits, v);
    char *e = strchr(text, 'e');
    int exponent = 0;
    sscanf(e + 1, "%d", &exponent);
    snprintf(out, size, "%.*se%d", (int)(e - text), text, exponent);
}

static void tick_text(double v, double step, double most, enum sy_unit unit, char out[12])
{
    struct scale s = scale_of(most, unit);
    double d = step / s.by;
    if (v == 0) {
        strcpy(out, "0");
        return;
    }
    if (unit == SY_UNIT_PLAIN && most > 0 && most < 0.01) {
        scientific(v, v != 0 && fabs(v) / step > 9.5 ? 1 : 0, out, 12);
        return;
    }
    int decimals = d >= 1 ? 0 : (int)ceil(-log10(d) - 1e-9);
    snprintf(out, 12, "%.*f%s", decimals > 6 ? 6 : decimals, v / s.by, s.suffix);
}

void sy_ticks_linear(double lo, double hi, int most, enum sy_unit unit, struct sy_ticks *out)
{
    out->n = 0;
    most = most > SY_TICKS_MAX - 1 ? SY_TICKS_MAX - 1 : most;
    double top = fmax(fabs(lo), fabs(hi));
    double by = unit == SY_UNIT_SECONDS ? scale_of(top, unit).by : 1;
    double step = sy_tick_step((hi - lo) / by, most) * by;
    if (!(hi > lo) || most < 1)
        return;
    for (double k = ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step; k++) {
        if (out->n == SY_TICKS_MAX)
            return;
        double v = k * step;
        out->at[out->n] = v == 0 ? 0 : v; /* no -0 */
        tick_text(out->at[out->n], step, top, unit, out->text[out->n]);
        out->n++;
    }
}

static void add_log(struct sy_ticks *out, double v, enum sy_unit unit)
{
    if (out->n == SY_TICKS_MAX)
        return;
    out->at[out->n] = v;
    struct scale s = thousand_scale(v);
    if (unit == SY_UNIT_PLAIN && v < 0.01)
        scientific(v, 0, out->text[out->n], 12);
    else if (unit == SY_UNIT_PLAIN)
        snprintf(out->text[out->n], sizeof out->text[0], "%.5g%s", v / s.by, s.suffix);
    else
        tick_text(v, v, v, unit, out->text[out->n]);
    out->n++;
}

void sy_ticks_log(double lo, double hi, int most, enum sy_unit unit, struct sy_ticks *out)
{
    int first = (int)floor(log10(lo)), last = (int)ceil(log10(hi)), every = 1;
    out->n = 0;
    if (!(lo > 0) || !(hi > lo) || most < 1)
        return;
    double decades = log10(hi) - log10(lo);
    bool fine = decades * 3 <= most;
    while (decades / every > most)
        every++;
    for (int e = first; e <= last; e++) {
        static const int parts[] = {1, 2, 5};
        for (int i = 0; i < (fine ? 3 : 1); i++) {
            double v = parts[i] * pow(10, e);
            if (v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9) && (e - first) % every == 0)
                add_log(out, v, unit);
        }
    }
    if (out->n < 3 && decades < 1)
        sy_ticks_linear(lo, hi, most, unit, out);
}

void sy_value_text(double v, enum sy_unit unit, char out[16])
{
    double a = fabs(v);
    struct scale s = scale_of(a, unit);
    if (isnan(v)) {
        snprintf(out, 16, "nan");
    } else if (isinf(v)) {
        snprintf(out, 16, v > 0 ? "inf" : "-inf");
    } else if (unit == SY_UNIT_PLAIN && a < 0.001 && a > 0) {
        scientific(v, 1, out, 16);
    } else if (unit == SY_UNIT_PLAIN && a < 10000) {
        snprintf(out, 16, a < 10 ? "%.3f" : a < 100 ? "%.2f" : a < 1000 ? "%.1f" : "%.0f", v);
    } else {
        double x = v / s.by;
        snprintf(out, 16,
                 fabs(x) < 9.995   ? "%.2f%s"
                 : fabs(x) < 99.95 ? "%.1f%s"
                                   : "%.0f%s",
                 x, s.suffix);
    }
}

void sy_count_text(long long v, char out[28])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%lld", v), k = 0;
    for (int i = 0; i < n; i++) {
        out[k++] = digits[i];
        if ((n - i - 1) % 3 == 0 && i + 1 < n && digits[i] != '-')
            out[k++] = ',';
    }
    out[k] = 0;
}
