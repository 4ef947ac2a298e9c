/* The trainer's inside, shared by trainer.c (border, thread), mail.c, step.c, eval.c, plan.c, journal.c,
 * snapshot.c and resume.c. */
#ifndef SY_TRAIN_TRAINER_INT_H
#define SY_TRAIN_TRAINER_INT_H

#include "switchyard/train.h"
#include "train/checkpoint.h"

#include <pthread.h>
#include <stdatomic.h>

enum sy__series {
    LOSS, VAL_LOSS, LR, GRAD_NORM, TOK_S, TIME_DATA, TIME_COMPUTE, TIME_OPTIMIZER, TOKENS,
    SY__SERIES
};

struct sy__observed {
    int series, width, first; /* first: place in sums */
    bool load;
};

struct sy__input_change {
    struct sy__input_change *next;
    char *name;
    int64_t n;
    float values[];
};

/* Checkpoints of a trainer.  Belongs to whoever stands at the border: the trainer's thread, or a
 * holder; `writer` is the one other thread, and touches only what is marked so while flying. */
struct sy__saver {
    char *dir; /* owned; NULL: no checkpoints */
    int keep;  /* newest that stay; at least 2 */
    int64_t keep_every; /* steps divisible by this stay as well; 0: none */
    float *copy; /* second buffer of p, m, v; kept from the first asynchronous save on */
    bool off;    /* sy_trainer_repeating */
    bool due;    /* one waits for its turn */
    bool told;   /* that saving is synchronous */
    bool ended;  /* the state at the end was saved, or could not be; no step since */
    bool beside; /* the one at hand is asynchronous */
    double pause;
    pthread_t writer;
    bool flying;         /* the writer is to be joined */
    atomic_bool landed;  /* it has nothing more to do */
    struct sy_image *image;    /* the writer's, like the rest */
    struct sy_saved result;
    struct sy_err err;
};

struct sy_trainer {
    struct sy_train_config c;
    char *name;
    char *config; /* owned text of sy_trainer_set_config, or NULL */
    struct sy_metrics *metrics;
    int series[SY__SERIES];
    struct sy__observed *observed; /* one an observation of the plan */
    float *sums;                   /* of observations over micro-batches */
    int sum_count;
    struct sy_sampler sampler;
    struct sy__saver saver;

    pthread_t thread;
    bool started; /* a thread exists that must be joined */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool alive; /* the thread is in its loop */
    bool pause_asked, stop_asked, quit_asked, parked;
    int holds;
    int64_t pause_at; /* step, or -1 */
    struct sy_hyper wanted; /* with changes not yet in effect */
    struct sy__input_change *inputs, **inputs_end;
    struct sy_status status;
    struct sy_journal_entry *journal;
    int njournal, journal_room;
    struct sy_saved saved; /* the newest checkpoint */

    /* the trainer thread's own, or the holder's */
    struct sy_hyper hyper;
    double smooth_seconds, smooth_weight;
    bool eval_failed; /* the last evaluation; it was told */
};

/* trainer.c; the lock is held. */
/* For waiters here and elsewhere (on_change); the trainer is locked. */
void sy__tell_change(struct sy_trainer *t);
void sy__set_state(struct sy_trainer *t, enum sy_run_state s);
bool sy__has_more(const struct sy_trainer *t); /* steps */
/* The state that this border asks for, or RUNNING.  FAILED stays, DONE until resume(). */
enum sy_run_state sy__wanted_state(const struct sy_trainer *t);

/* mail.c: what was asked for becomes so.  The lock is held, at a border. */
void sy__mail_apply(struct sy_trainer *t);

/* step.c.  One step; 0, or -1 and err: nothing has changed but the gradients. */
int sy__step(struct sy_trainer *t, struct sy_err *err);
int sy__step_series(struct sy_trainer *t, struct sy_err *err);  /* make all series, once */
int sy__step_observe(struct sy_trainer *t, struct sy_err *err); /* those of a new plan */
void sy__step_sampler(struct sy_trainer *t);
void sy__put(struct sy_trainer *t, enum sy__series s, int64_t step, double v);

/* eval.c: whether there was an evaluation. */
bool sy__eval_if_due(struct sy_trainer *t);

/* plan.c: values of inputs of the same name and shape. */
void sy__inputs_copy(const struct sy_plan *from, struct sy_plan *to);

/* Append, with the step of now; e->values are copied.  The lock is held.  Out of memory: the entry
 * is lost, the run goes on. */
void sy__journal_add(struct sy_trainer *t, const struct sy_journal_entry *e);
void sy__journal_free(struct sy_journal_entry *list, int n);

/* Write a value into all phases' input of this name; false: there is none of this size. */
bool sy__input_write(struct sy_trainer *t, const char *name, const float *values, int64_t n);
void sy__inputs_drop(struct sy_trainer *t); /* those not yet in effect */

/* At the border: start a checkpoint when one is due, and report the one that has landed. */
void sy__saver_border(struct sy_trainer *t);
/* Whether a run that ends here has something to save. */
bool sy__saver_wants_last(const struct sy_trainer *t);
/* Save now and wait for it.  0, or -1 and err. */
int sy__saver_save(struct sy_trainer *t, struct sy_err *err);
void sy__saver_join(struct sy_trainer *t); /* wait for the one in flight, report it */
void sy__saver_free(struct sy_trainer *t);
float *sy__saver_buffer(struct sy_trainer *t); /* room for p, m and v; NULL: no memory */
uint64_t sy__image_bytes(const struct sy_image *image);
void sy__checkpoint_clean(const char *dir);

#endif
