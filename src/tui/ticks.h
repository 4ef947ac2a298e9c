/* Ticks and their labels: 1-2-5 steps, decades with 2 and 5, and numbers for people.  Layer tui. */
#ifndef SY_TUI_TICKS_H
#define SY_TUI_TICKS_H

#define SY_TICKS_MAX 24

enum sy_unit {
    SY_UNIT_PLAIN,   /* 0.25, 3, 12k */
    SY_UNIT_SECONDS, /* 30s, 5m, 2h */
    SY_UNIT_PERCENT, /* of a fraction: 0.25 is 25% */
    SY_UNIT_BYTES
};

struct sy_ticks {
    int n;
    double at[SY_TICKS_MAX];
    char text[SY_TICKS_MAX][12];
};

/* At most `most` ticks in lo..hi. */
void sy_ticks_linear(double lo, double hi, int most, enum sy_unit unit, struct sy_ticks *out);
/* Decades with 2 and 5, as many as fit; for less than three of these
 * in less than a decade, 1-2-5 steps.  0 < lo < hi. */
void sy_ticks_log(double lo, double hi, int most, enum sy_unit unit, struct sy_ticks *out);
/* The distance of ticks: 1, 2 or 5 times a power of ten. */
double sy_tick_step(double span, int most);
/* A value to read: about four digits. */
void sy_value_text(double v, enum sy_unit unit, char out[16]);
/* "1,240" */
void sy_count_text(long long v, char out[28]);

#endif
