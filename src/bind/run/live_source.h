/* A run on the board (run/source.h), where those who draw find it.  Layer bind/run.  Everything but
 * lsy_live_source_event is for the Lua thread. */
#ifndef SY_BIND_LIVE_SOURCE_H
#define SY_BIND_LIVE_SOURCE_H

#include "run/source.h"

#include <stdint.h>

struct lsy_live_source;
struct sy_event;
struct sy_trainer;

/* Of the trainer (borrowed until lsy_live_source_close).  Errors: MEMORY, here and in the next. */
struct lsy_live_source *lsy_live_source_new(struct sy_trainer *t, double flops_per_token,
                                            struct sy_err *err);
/* The next name of a list, before it is shown. */
int lsy_live_source_call(struct lsy_live_source *l, enum sy_source_list list, const char *name,
                         struct sy_err *err);
/* From now on it is on the board. */
int lsy_live_source_show(struct lsy_live_source *l, struct sy_err *err);
/* Off the board; nobody touches the trainer through it from now on.  NULL is fine. */
void lsy_live_source_close(struct lsy_live_source *l);
/* After the trainer's end, whose last events may still come here.  NULL is fine. */
void lsy_live_source_free(struct lsy_live_source *l);
/* NULL is fine, here and below. */
void lsy_live_source_set_flops(struct lsy_live_source *l, double flops_per_token);
/* Something that is not in the journal happened (an alarm, a checkpoint): a mark.  Any thread. */
void lsy_live_source_event(struct lsy_live_source *l, int64_t step, const struct sy_event *e);

#endif
