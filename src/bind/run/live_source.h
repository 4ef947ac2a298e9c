/* A run on the board (run/source.h), where those who draw find it.  Layer bind/run.  Everything but
 * lsy_live_source_event is for the Lua thread. */
#ifndef SY_BIND_LIVE_SOURCE_H
#define SY_BIND_LIVE_SOURCE_H

#include <stdint.h>

struct lsy_live_source;
struct sy_event;
struct sy_trainer;

/* From now on the trainer (borrowed until lsy_live_source_close) is on the board.  NULL without
 * memory: the run trains unseen. */
struct lsy_live_source *lsy_live_source_new(struct sy_trainer *t, double flops_per_token);
/* Off the board; nobody touches the trainer through it from now on.  NULL is fine. */
void lsy_live_source_close(struct lsy_live_source *l);
/* After the trainer's end, whose last events may still come here.  NULL is fine. */
void lsy_live_source_free(struct lsy_live_source *l);
void lsy_live_source_set_flops(struct lsy_live_source *l, double flops_per_token);
/* Something that is not in the journal happened (an alarm, a checkpoint): a mark.  Any thread. */
void lsy_live_source_event(struct lsy_live_source *l, int64_t step, const struct sy_event *e);

#endif
