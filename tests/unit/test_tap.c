/* The smallest test, and a pattern for others: the error codes' names come from one list. */
#include "unit/tap.h"

#include "switchyard/err.h"

int main(void)
{
    tap_ok(SY_E_OK == 0, "SY_E_OK is zero");
    tap_ok(SY_E_CANCELLED > SY_E_STATE, "codes ascend in the order of the list");
    return tap_done();
}
