/* How much memory there is: of the machine, or of the control group that we are in, whichever is
 * less. */
#ifndef SY_BASE_MACHINE_H
#define SY_BASE_MACHINE_H

#include <stddef.h>

size_t sy_machine_memory(void);    /* bytes in all; read once */
size_t sy_machine_available(void); /* bytes that could be taken now without swapping */
size_t sy_machine_resident(void);  /* bytes of this process that lie in memory; 0: not known */

#endif
