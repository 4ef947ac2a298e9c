/* Growing arrays: an owned pointer, a count, and the room there is.
 *
 *     if (SY_GROW(p->list, p->room, p->count + 1))
 *         return sy_err_set(err, SY_E_MEMORY, "trace: out of memory");
 *     p->list[p->count++] = x;
 *
 *  1. Room is twice what it was, or what is needed when that is more: adding n elements one by one
 *     copies less than 2 n.
 *  2. Without memory, or when the bytes overflow a size_t, the result is -1 and the array and its
 *     room are what they were.
 *  3. New elements are not initialized. */
#ifndef SY_BASE_GROW_H
#define SY_BASE_GROW_H

#include <stddef.h>

/* `list` is the address of a pointer to elements of `size` bytes, which sy_alloc made or which is
 * NULL with a room of 0.  0, or -1. */
int sy_grow(void *list, size_t *room, size_t need, size_t size);

/* Room for `need` elements of the array `list`, a pointer; `room` is a size_t.  Evaluates `list`
 * and `room` more than once. */
#define SY_GROW(list, room, need) \
    ((size_t)(need) <= (room) ? 0 : sy_grow(&(list), &(room), (size_t)(need), sizeof *(list)))

#endif
