/* Monotonic time in seconds and nanoseconds, wall time for file names. */
#ifndef SY_BASE_CLOCK_H
#define SY_BASE_CLOCK_H
#include <stdint.h>
double sy_now(void);        /* seconds, monotonic */
uint64_t sy_now_ns(void);   /* nanoseconds, monotonic */
double sy_wall(void);       /* seconds since the epoch */
void sy_sleep(double seconds);
#endif
