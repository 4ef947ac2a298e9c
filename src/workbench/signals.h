/* Signals of a program with a screen.  Layer workbench.
 *
 * Handlers set a flag and wake the loop; those of a crash restore the terminal first and then let
 * the signal take its course. */
#ifndef SY_WORKBENCH_SIGNALS_H
#define SY_WORKBENCH_SIGNALS_H

#include <stdbool.h>

enum sy_signal {
    SY_SIGNAL_INTERRUPT,
    SY_SIGNAL_SIZE,
    SY_SIGNAL_STOP,
    SY_SIGNAL_CONTINUE,
    SY_SIGNAL_END,
    SY_SIGNAL_COUNT
};

/* sigaction with these flags, and no other signal held meanwhile. */
void sy_signal_handle(int number, void (*handler)(int), int flags);
/* Install them.  `interrupt` (or NULL) is asked first at Ctrl-C, in the handler: true: it is done.
 */
void sy_signals_begin(bool (*interrupt)(int number));
/* Called before a fault ends the program, the terminal restored, in the handler; on any thread. */
void sy_signals_rescue(void (*save)(int number));
/* on the loop, holding nothing: such a signal was sent; ends the program */
void sy_signals_end_now(void);
/* another thread waits for that: the terminal is not ours any more */
bool sy_signals_crashed(void);
/* Those that the workbench alone has (size, stop, continue, quit) as they were before. */
void sy_signals_end(void);
/* Another handler for what ends the program on the spot: another screen has the terminal. */
void sy_signals_fatal(void (*handler)(int number));
bool sy_signals_take(enum sy_signal s); /* did it come since the last call? */
int sy_signals_ended_by(void);          /* SIGTERM or SIGHUP, from SY_SIGNAL_END on; else 0 */
/* Everything back as it was: streams, terminal.  Async-signal-safe. */
void sy_workbench_restore(void);

#endif
