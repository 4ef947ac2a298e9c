/* How many columns of a terminal characters and texts take.  Layer base. */
#ifndef SY_BASE_CELLS_H
#define SY_BASE_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Columns of a character: 0 for combining marks, 2 for wide ones, else 1; never -1. */
int sy_char_width(uint32_t ch);
/* Columns of text, with what is no character as U+FFFD. */
int sy_text_width(const char *text, size_t n);
/* The longest prefix of text, in bytes, that fits into so many columns. */
size_t sy_text_fit(const char *text, size_t n, int columns);

/* What stands for a character in a cell: itself, U+FFFD for what no cell can show, a letter for
 * half a flag. */
uint32_t sy_cell_shown(uint32_t ch);
/* Does it make one picture of two, or widen one?  It takes no room, and is never sent. */
bool sy_cell_joins(uint32_t ch);
/* The next character of text, as a cell shows it.  Returns its bytes. */
size_t sy_cell_next(const char *s, size_t n, uint32_t *ch);

#endif
