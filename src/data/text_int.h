/* A stretch of text, and what in it is white space. */
#ifndef SY_DATA_TEXT_INT_H
#define SY_DATA_TEXT_INT_H

#include <stdbool.h>
#include <stddef.h>

struct sy__text { /* UTF-8 or bytes; borrowed */
    const char *s;
    size_t n;
};

static inline bool sy__is_space(char c) /* of ASCII, in any locale */
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

#endif
