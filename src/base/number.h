/* Numbers from outside.  Layer base. */
#ifndef SY_BASE_NUMBER_H
#define SY_BASE_NUMBER_H

#include <stdint.h>

/* The whole number below or at x; what an int64_t cannot hold (NaN too) becomes the nearest that it
 * can (0). */
static inline int64_t sy_to_int64(double x)
{
    if (!(x == x))
        return 0;
    if (x >= 9223372036854775808.0)
        return INT64_MAX;
    return x < -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}

#endif
