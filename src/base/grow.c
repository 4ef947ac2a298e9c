/* Growing arrays; see base/grow.h. */
#include "base/grow.h"

#include "base/mem.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

int sy_grow(void *list, size_t *room, size_t need, size_t size)
{
    size_t want = *room <= SIZE_MAX / 2 && 2 * *room > need ? 2 * *room : need, bytes;
    void *had, *grown;
    if (need <= *room)
        return 0;
    memcpy(&had, list, sizeof had); /* a pointer of any type */
    if (sy_mul_size(want, size, &bytes)) {
        errno = ENOMEM;
        return -1;
    }
    if (!(grown = sy_realloc(had, bytes)))
        return -1;
    memcpy(list, &grown, sizeof grown);
    *room = want;
    return 0;
}
