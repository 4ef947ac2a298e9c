/* What the machine's memory is said to be. */
#include "unit/tap.h"

#include "base/machine.h"

int main(void)
{
    size_t all = sy_machine_memory(), now = sy_machine_available();
    tap_ok(all >= (size_t)1 << 20, "all of it: %zu bytes", all);
    tap_ok(sy_machine_memory() == all, "the same when asked again");
    tap_ok(now > 0 && now <= all, "%zu of them are available", now);
    size_t here = sy_machine_resident();
    tap_ok(here > 0 && here < all, "%zu bytes of this process lie in it", here);
    return tap_done();
}
