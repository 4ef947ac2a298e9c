/* Ending the running chunk: for signal handlers on the Lua thread.  Layer bind/thread. */
#ifndef SY_BIND_INTERRUPT_H
#define SY_BIND_INTERRUPT_H

#include <stdbool.h>

void sy_interrupt_here(void); /* async-signal-safe; on the Lua thread */
void sy_interrupt_for_good(void); /* the same, and no clearing ends it: the program is to end */
void sy_interrupt_clear(void);
/* something that must not stay half done is under way; async-signal-safe */
bool sy_interrupt_is_shielded(void);

#endif
