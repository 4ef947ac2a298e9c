/* The flag behind lsy_interrupt_wanted (error.h).  Layer bind/core. */
#ifndef SY_BIND_CORE_INTERRUPTED_H
#define SY_BIND_CORE_INTERRUPTED_H

#include <stdatomic.h>

extern atomic_int lsy_interrupt_flag; /* not 0: the running chunk is to end; read from any thread */

#endif
