/* What a run says while no screen shows it: progress lines, or one JSON object a step.  Layer
 * bind/thread.  Thread-safe; each call writes whole lines to standard output.
 *
 *  1. After lsy_progress_alone nothing but these objects comes to what was standard output: what a
 *     script writes itself, a library prints, or a command that inherits it, goes to standard
 *     error. */
#ifndef SY_BIND_PROGRESS_H
#define SY_BIND_PROGRESS_H

#include "switchyard/train.h"

#include <stdio.h>

enum lsy_progress { LSY_PROGRESS_NONE, LSY_PROGRESS_LINES, LSY_PROGRESS_JSON };

void lsy_progress_mode(enum lsy_progress mode); /* before any run starts */
enum lsy_progress lsy_progress_get(void);
/* Before anything is written, and before there are threads.  0, or -1. */
int lsy_progress_alone(struct sy_err *err);
FILE *lsy_progress_stream(void); /* where the objects go */
int lsy_progress_cause(void);    /* why an object could not be written: errno, or 0 */
/* After a step or at a change of state; decides by itself whether a line is due. */
void lsy_progress_step(const char *run, const struct sy_status *s, bool evaluated);
/* What happened to a run: "[run] text", or {"event":kind,"run":...,"text":...}. */
void lsy_progress_event(const char *run, enum sy_event_kind kind, const char *text);
/* n bytes that a script printed or a command wrote, as an event of that kind: with --json. */
void lsy_progress_text(const char *kind, const char *text, size_t n);
/* A JSON object that is made already, on one line: with --json. */
void lsy_progress_object(const char *object, size_t n);
/* From now on f hears, beside what is written, the objects that --json would write, without the
 * newline: of steps, and of events.  NULL: nobody.  f waits for nobody. */
void lsy_progress_tap(void (*f)(bool is_step, const char *line, size_t n));
/* A line of text, or {"event":"note","text":...}. */
void lsy_progress_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
