/* A run on the board (run/board.h), where those who draw find it.  Layer bind/run.  Everything but
 * lsy_look_event is for the Lua thread. */
#ifndef SY_BIND_LOOK_H
#define SY_BIND_LOOK_H

#include <stdint.h>

struct lsy_look;
struct sy_event;
struct sy_trainer;

/* From now on the trainer (borrowed until lsy_look_close) is on the board.  NULL without memory:
 * the run trains unseen. */
struct lsy_look *lsy_look_new(struct sy_trainer *t, double flops_per_token);
/* Off the board; nobody touches the trainer through it from now on.  NULL is fine. */
void lsy_look_close(struct lsy_look *l);
/* After the trainer's end, whose last events may still come here.  NULL is fine. */
void lsy_look_free(struct lsy_look *l);
void lsy_look_set_flops(struct lsy_look *l, double flops_per_token);
/* Something that is not in the journal happened (an alarm, a checkpoint): a mark.  Any thread. */
void lsy_look_event(struct lsy_look *l, int64_t step, const struct sy_event *e);

#endif
