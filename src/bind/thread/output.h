/* What is printed.  Layer bind/thread.  On the Lua thread. */
#ifndef SY_BIND_THREAD_OUTPUT_H
#define SY_BIND_THREAD_OUTPUT_H

#include <stdbool.h>

/* What is printed from now on comes from a hook, beside what the user types: the prompt shows it
 * above its line. */
void lsy_print_aside(bool on);
/* Standard output was closed by its reader (| head): the chunk ends, silently. */
bool lsy_output_closed(void);
/* Has print told already that standard output cannot be written? */
bool sy_output_told(void);

#endif
