/* SIGBUS of mapped files: an access beyond the end of a file that was cut.  Who maps files mends
 * the access; any other SIGBUS goes where it went before. */
#ifndef SY_BASE_BUS_H
#define SY_BASE_BUS_H

#include <stdbool.h>
#include <stdint.h>

/* fn is asked, in a handler, about every address; true: it is readable now.  At most 4 of them. */
void sy_bus_mind(bool (*fn)(uintptr_t at));
/* Another handler was put in place: stand before it again. */
void sy_bus_again(void);

#endif
