/* What a run says while no screen shows it: progress lines, or one JSON object a step.  Layer bind.
 * Thread-safe; each call writes whole lines to standard output. */
#ifndef SY_BIND_PROGRESS_H
#define SY_BIND_PROGRESS_H

#include "switchyard/train.h"

enum lsy_progress { LSY_PROGRESS_NONE, LSY_PROGRESS_LINES, LSY_PROGRESS_JSON };

void lsy_progress_mode(enum lsy_progress mode); /* before any run starts */
enum lsy_progress lsy_progress_get(void);
/* After a step or at a change of state; decides by itself whether a line is due. */
void lsy_progress_step(const char *run, const struct sy_status *s, bool evaluated);
/* What happened to a run: "[run] text", or {"event":kind,"run":...,"text":...}. */
void lsy_progress_event(const char *run, const char *kind, const char *text);
/* A line of text, or {"event":"note","text":...}. */
/* n bytes that a script printed or a command wrote, as an event of that kind: with --json. */
void lsy_progress_text(const char *kind, const char *text, size_t n);
void lsy_progress_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
