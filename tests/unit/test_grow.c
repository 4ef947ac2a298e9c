/* Growing arrays: what was there stays, room doubles, sizes that overflow and memory that is out
 * leave the array as it was. */
#include "unit/tap.h"

#include "base/grow.h"
#include "base/mem.h"

#include <stdint.h>

struct wide {
    int64_t number, rest[4];
};

static void test_append(void)
{
    struct wide *list = NULL;
    size_t room = 0;
    int count = 0, moves = 0, wrong = 0;
    while (count < 1000) {
        size_t before = room;
        if (SY_GROW(list, room, count + 1))
            break;
        moves += room != before;
        list[count].number = count;
        count++;
    }
    for (int i = 0; i < count; i++)
        wrong += list[i].number != i;
    tap_ok(count == 1000 && !wrong, "a thousand elements, one by one");
    tap_ok(room == 1024 && moves == 11, "%d times room was made, for %zu at last", moves, room);
    tap_ok(!SY_GROW(list, room, 5000) && room == 5000, "what is needed, when that is more");
    tap_ok(!SY_GROW(list, room, 10) && room == 5000, "never less");
    sy_free(list);
}

static void test_failure(void)
{
    struct wide *list = NULL;
    size_t room = 0;
    tap_ok(!SY_GROW(list, room, 1), "room for one");
    list[0].number = 7;
    struct wide *had = list;
    tap_ok(SY_GROW(list, room, SIZE_MAX / 8) == -1 && list == had && room == 1,
           "more bytes than a size_t has");
    tap_ok(SY_GROW(list, room, -1) == -1 && list == had && room == 1, "a count that was negative");
    for (int failing = 1; failing >= 0; failing--) {
        sy_mem_fail_at((uint64_t)failing);
        int rc = SY_GROW(list, room, 2);
        sy_mem_fail_at(0);
        tap_ok(rc == -failing && room == (failing ? 1 : 2) && list[0].number == 7,
               failing ? "no memory: the array is what it was" : "and then it grows");
    }
    size_t most = SIZE_MAX / 2 + 2;
    tap_ok(sy_grow(&list, &most, SIZE_MAX, 2) == -1 && list[0].number == 7,
           "a room that cannot double");
    sy_free(list);
}

int main(void)
{
    test_append();
    test_failure();
    return tap_done();
}
