/* The trainer's inside, shared by trainer.c (border, thread), mailbox.c, step.c, eval.c, plan.c,
 * order.c, journal.c, alarm.c, alarm_health.c, raise.c, norms.c, health.c, parts.c, why.c, status.c
 * (what others ask), poll.c, hold.c, saver.c, checkpoint_fields.c and resume.c. */
#ifndef SY_TRAIN_TRAINER_INT_H
#define SY_TRAIN_TRAINER_INT_H

#include "switchyard/train.h"
#include "train/checkpoint.h"
#include "train/spike.h"

#include <pthread.h>
#include <stdatomic.h>

enum sy__series {
    LOSS, VAL_LOSS, LR, GRAD_NORM, TOK_S, TIME_DATA, TIME_COMPUTE, TIME_OPTIMIZER, TOKENS, SKIPPED,
    SY__SERIES
};

struct sy__observed {
    int series, width, first; /* first: place in sums */
    struct sy_series_what what;
    int disabled; /* of a load: the series of which experts are; -1: none were yet */
};

/* Series of a kind that is rare (switchyard/series.h) get a row at the first step, at every 10th,
 * and at those that stand out. */
static inline bool sy__rare_step(int64_t step, bool stands_out)
{
    return stands_out || step == 1 || step % 10 == 0;
}

struct sy__norm { /* a series of norms.c, and its places in sum and norm */
    int series, first, width;
    bool rare;
};

struct sy__look { /* what a phase health observes: one number */
    int series;
    float value;
};

struct sy__part_loss { /* of the rows that an objective made */
    bool on;
    int series, val_series;
    double sum, weight;
};

struct sy__source_losses { /* of data of several sources; now NULL: of one */
    int n, series, val_series;
    double *sum, *weight; /* owned */
    float *now;           /* owned */
};

struct sy__norms {
    struct sy__norm *list;
    int count, slots;
    int *all, *part; /* [nchunks] slot of a chunk's layer; of its expert or router, or -1 */
    double *sum;
    float *norm;
};

struct sy__plateau { /* the loss, slowly smoothed; its best, and the step of that */
    double level, weight, best;
    int64_t since;
};

struct sy__alarms {
    struct sy_alarm_state list[SY_ALARM_COUNT]; /* the lock guards these */
    double *loads; /* [sum_count] of observed loads since load_steps */
    int64_t load_steps, dead;
    int64_t calm[SY_ALARM_COUNT]; /* last step at which the condition held */
    int64_t told[SY_ALARM_COUNT]; /* step of the last event; -1: none */
    double level, level_weight, best; /* the loss, smoothed, and at its best */
    int64_t lost;                     /* steps in a row that it is far over that */
    double usual, usual_weight;       /* seconds a step, slowly smoothed */
    double slow;                      /* seconds that it has been so */
    struct sy__plateau plateau;
    int64_t no_gradient; /* steps in a row that the router of this place has none */
    struct sy_series_what no_gradient_of;
};

/* What is under way between two borders, for those who wait for its end or ask to give it up
 * (poll.c). */
struct sy__going {
    struct sy_trainer *t;
    const char *what, *unit; /* "step", "micro-batch" */
    int64_t step, at, of;    /* at: from 0, of its units */
    double begun, waits;     /* waits: somebody does since then; 0: nobody */
    double patience;         /* seconds that an end waits for it */
    bool told, ended;        /* ended: it is given up, whatever is asked for from then on */
    bool left_out;           /* nobody does it anew once it is given up */
};

enum sy__asked { SY__NOTHING, SY__WAIT, SY__END };

/* What the run is asked to do at the next border (sy__set_wish). */
enum sy__wish {
    SY__GO_ON,
    SY__PAUSE,
    SY__STOP,
    SY__QUIT /* for ever: the trainer is freed */
};

/* What the thread does, for who wants the trainer's own things (hold.c).
 *
 *     NO_THREAD --start--> MOVES <--> PARKED    at a border, where it waits or calls back
 *                            \----> ENDED       to be joined */
enum sy__thread {
    SY__NO_THREAD,
    SY__MOVES,
    SY__PARKED,
    SY__ENDED
};

struct sy__pace { /* of steps, smoothed */
    double seconds, weight; /* weight 0: of none yet */
    bool long_step; /* the newest counts for no speed: was_stopped() */
};

struct sy__spike { /* one that is kept */
    struct sy_spike s;
    float *losses, *states; /* owned; NULL: no memory then */
};

struct sy__input_change {
    struct sy__input_change *next;
    char *name;
    char who[SY_WHO];
    int64_t n;
    float values[];
};

enum sy__writer { /* the thread that writes a checkpoint */
    SY__NO_WRITER,
    SY__COPIES, /* it reads p and kept: nobody may write them */
    SY__WRITES,
    SY__LANDED  /* it has nothing more to do, and is to be joined */
};

/* Checkpoints of a trainer.  Belongs to whoever stands at the border: the trainer's thread, or a
 * holder; `writer` is the one other thread, and touches only what is marked so while there is
 * one. */
struct sy__saver {
    struct sy_dir dir; /* owned; held open; without a descriptor: no checkpoints */
    int keep;  /* newest that stay; at least 2 */
    int64_t keep_every; /* steps divisible by this stay as well; 0: none */
    float *copy; /* second buffer of p and kept; from the first asynchronous save on */
    bool off;    /* sy_trainer_repeating */
    atomic_bool given_up; /* sy_trainer_give_up_dir */
    bool due;    /* one waits for its turn */
    bool told;   /* that saving is synchronous */
    bool ended;  /* the state at the end was saved, or could not be; no step since */
    double pause;
    pthread_t writer;
    pthread_mutex_t lock; /* guards the next; taken last */
    pthread_cond_t done;
    enum sy__writer writing;
    /* the writer's, like the rest; NULL: it only touches the second buffer */
    struct sy_image *image;
    struct sy_saved result;
    struct sy_err err;
};

struct sy_trainer {
    struct sy_train_config c;
    char *name;
    char *config; /* owned text of sy_trainer_set_config, or NULL */
    char id[SY_RUN_ID]; /* goes with it */
    struct sy_metrics *metrics;
    struct sy_packed_rows *attic; /* NULL: a store has the older rows, or all are in memory */
    int series[SY__SERIES];
    struct sy__observed *observed; /* one an observation of the plan */
    float *sums;                   /* of observations over micro-batches, and room for a row */
    int sum_count;
    struct sy_sampler sampler;
    struct sy_place place; /* of the next step; the trainer thread's own, or the holder's */
    double mix[SY_MIX_MOST]; /* shares of a mix of data, which the sampler goes by; likewise */
    uint64_t program;      /* sy__fingerprint of the plan, from before it ran */
    struct sy__saver saver;
    struct sy__norms norms;
    struct {
        struct sy__look *list; /* owned */
        int n;
        int64_t step; /* that the values are of; -1: none */
    } health;
    struct sy__part_loss parts[SY_OBJECTIVE_COUNT];
    struct sy__source_losses sources;
    struct sy__alarms alarms;
    char **layer; /* what people call the layers; "": by the number */
    size_t layer_room;
    int layers;
    /* the trainer thread's own, or the holder's; quiet_until: the lock guards it */
    struct sy_window window;

    pthread_t thread; /* unless NO_THREAD */

    atomic_int asked; /* enum sy__asked, of what the lock guards: for who is not at a border */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    enum sy__thread where;
    enum sy__wish wish;
    int64_t pause_at; /* step, or -1 */
    int holds;
    int64_t shape[3]; /* batch, context, accumulate at the start */
    struct sy_hyper wanted; /* with changes not yet in effect */
    char wanted_by[SY_HYPER_COUNT + 1][SY_WHO]; /* who set each last; the last: the schedule */
    struct sy__input_change *inputs, **inputs_end;
    struct sy_status status;
    bool telling; /* a state that it came to: on_step is on its way */
    struct sy_journal_entry *journal;
    int njournal, entries_lost; /* lost: memory was out */
    size_t journal_room;
    struct sy_saved saved; /* the newest checkpoint */
    struct sy_err unsaved; /* why the last one failed; none: it did not */
    int64_t *skips;        /* steps that the journal leaves out, ascending */
    int nskips;
    size_t skip_room;
    struct sy__spike *spikes; /* ring of SY__SPIKES, made at the first one */
    int nspikes, spike_at;
    struct {
        int64_t first, last; /* steps that are to be left out; 0: none */
    } rewind; /* that is wanted */

    /* the trainer thread's own, or the holder's */
    struct sy_hyper hyper;
    double patience; /* seconds that an end waits for an evaluation */
    struct sy__pace pace;
};

/* status.c; the lock is held. */
/* For waiters here and elsewhere (on_change); the trainer is locked. */
void sy__tell_change(struct sy_trainer *t);
void sy__set_state(struct sy_trainer *t, enum sy_run_state s);
bool sy__has_more(const struct sy_trainer *t); /* steps */
void sy__set_wish(struct sy_trainer *t, enum sy__wish wish);
/* The state that this border asks for, or RUNNING.  FAILED stays, DONE until resume(). */
enum sy_run_state sy__wanted_state(const struct sy_trainer *t);
static inline bool sy__alive(const struct sy_trainer *t) /* the thread is in its loop */
{
    return t->where == SY__MOVES || t->where == SY__PARKED;
}

/* raise.c: an event that is no alarm, if anyone listens. */
void sy__tell(struct sy_trainer *t, enum sy_event_kind kind, const char *text);

/* mailbox.c: what was asked for becomes so.  The lock is held, at a border. */
void sy__mailbox_apply(struct sy_trainer *t);

/* poll.c.  Is what is under way to be given up?  Says, once, who waits for what when that takes
 * long. */
bool sy__poll(void *going);
/* It was: one line where it had taken long, or something is missing now. */
void sy__given_up(const struct sy__going *g);
/* The wish or holds were changed; the lock is held. */
void sy__asked(struct sy_trainer *t);

/* step.c.  One step; 0; 1: the run is to be rewound, and err says why; SY__GIVEN_UP; or -1 and err.
 * But for 0 nothing has changed except the gradients. */
#define SY__GIVEN_UP 2
int sy__step(struct sy_trainer *t, struct sy_err *err);
int sy__step_series(struct sy_trainer *t, struct sy_err *err);  /* make all series, once */
int sy__step_observe(struct sy_trainer *t, struct sy_err *err); /* those of a new plan */
void sy__put(struct sy_trainer *t, enum sy__series s, int64_t step, double v);

/* order.c: where the run is in its data, t->sampler and t->place.  At its beginning; after a step;
 * when the plan was exchanged. */
void sy__order_begin(struct sy_trainer *t);
void sy__order_done(struct sy_trainer *t);
void sy__order_plan(struct sy_trainer *t);
/* When a checkpoint is loaded: out of its journal, which takes long, without the lock (the trainer
 * is held); then it is so, with the lock.  Errors: RANGE, MEMORY. */
struct sy__order {
    struct sy_place place;
    double mix[SY_MIX_MOST];
    bool by_step;
};
int sy__order_derive(const struct sy_trainer *t, const struct sy_image *image,
                     struct sy__order *out, struct sy_err *err);
void sy__order_put(struct sy_trainer *t, const struct sy__order *o);
/* Shares of a mix of data, of an entry of the journal: can they be?  And from now on. */
int sy__mix_check(const struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err);
void sy__mix_apply(struct sy_trainer *t, const struct sy_journal_entry *e);

/* norms.c: gradient norms by layer, router and expert. */
int sy__norms_make(struct sy_trainer *t, struct sy_err *err);
void sy__norms_free(struct sy_trainer *t);

/* health.c */
int sy__health_make(struct sy_trainer *t, struct sy_err *err); /* series of a new plan */
void sy__health_free(struct sy_trainer *t);
bool sy__health_due(const struct sy_trainer *t, int64_t step); /* is a step looked at? */
void sy__health_take(struct sy_trainer *t, int64_t step); /* what the phase has just seen */
void sy__health_put(struct sy_trainer *t, int64_t step);  /* into the series */
void sy__norms_take(struct sy_trainer *t, double scale); /* after sy_params_grad_norm */
void sy__norms_put(struct sy_trainer *t, int64_t step, bool rare); /* into the series */

/* parts.c: losses by objective, of a mixture of them.  Sums begin anew; after each run of a phase
 * whose weights were multiplied by scale; into the series. */
int sy__parts_make(struct sy_trainer *t, struct sy_err *err);
void sy__parts_begin(struct sy_trainer *t);
void sy__parts_add(struct sy_trainer *t, const struct sy_phase *p, double scale);
void sy__parts_put(struct sy_trainer *t, int64_t step, bool evaluated);

/* source_losses.c: losses by source, likewise; parts.c calls them. */
int sy__sources_make(struct sy_trainer *t, struct sy_err *err);
void sy__sources_begin(struct sy_trainer *t);
void sy__sources_add(struct sy_trainer *t, const struct sy_phase *p, double scale);
void sy__sources_put(struct sy_trainer *t, int64_t step, bool evaluated);
void sy__sources_free(struct sy_trainer *t);

/* raise.c.  Tell an alarm unless its episode goes on; the text without its name and step.  At a
 * border, without the lock. */
void sy__alarm(struct sy_trainer *t, enum sy_alarm id, int64_t step, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void sy__alarm_end(struct sy_trainer *t, enum sy_alarm id); /* its episode */
/* alarm.c.  After each step: those of loads (when sums hold them), data and speed, and episodes
 * that end. */
void sy__alarm_step(struct sy_trainer *t, int64_t step, double seconds, bool observed);
void sy__alarms_reset(struct sy_trainer *t); /* another state of the run; the lock is held */
/* Of the i-th load that is observed: one that someone disabled is not dead. */
bool sy__expert_enabled(const struct sy_trainer *t, int i, int expert);
int sy__alarm_loads(struct sy_trainer *t, struct sy_err *err); /* room for those of a new plan */
void sy__alarms_free(struct sy_trainer *t);

/* alarm_health.c: what alarm.c asks at each step, and at the end of a window of loads. */
void sy__judge_overflow(struct sy_trainer *t, int64_t step, int64_t window);
/* The same of the mixture that drops most. */
void sy__dropped(struct sy_trainer *t, int64_t step, double share, const char *place,
                 int64_t window);
void sy__judge_gradient(struct sy_trainer *t, int64_t step);
void sy__judge_plateau(struct sy_trainer *t, int64_t step);
/* Smooth the loss of one more step. */
void sy__plateau_follow(struct sy__plateau *p, int64_t step, double loss);
/* Where the i-th observation is of, for people. */
const char *sy__observed_place(const struct sy_trainer *t, int i, char place[64]);
/* The same of a series. */
const char *sy__series_place(const struct sy_trainer *t, const struct sy_series_what *what,
                             char place[64]);

/* norms.c: the place of a router whose gradient norm is at or under `share` of that of all, though
 * one of its parameters learns; false: there is none. */
bool sy__norms_no_gradient(const struct sy_trainer *t, double share, struct sy_series_what *what);

/* why.c.  What is seen of a step that stands out; before anything is changed by it.  false: the
 * step was given up. */
#define SY__SPIKES 64
bool sy__spike_keep(struct sy_trainer *t, const struct sy_spike *s, struct sy__going *g);
void sy__spikes_free(struct sy_trainer *t);
void sy__spikes_truncate(struct sy_trainer *t, int64_t step); /* a rewound run's other future */

/* journal.c: the skip list, made of the journal.  The lock is held, but for sy__skip_listed. */
void sy__skip_add(struct sy_trainer *t, int64_t step);
void sy__skips_of_journal(struct sy_trainer *t);
bool sy__skip_listed(struct sy_trainer *t, int64_t step);

/* eval.c: whether there was an evaluation. */
bool sy__eval_if_due(struct sy_trainer *t);

/* plan.c: values of inputs of the same name and shape. */
void sy__inputs_copy(const struct sy_plan *from, struct sy_plan *to);
/* What the plan computes, as a hash of this version: sy_program_fingerprint. */
uint64_t sy__fingerprint(const struct sy_trainer *t, int version);

/* Append, with the step of now; e->values are copied.  The lock is held.  Out of memory: the entry
 * is lost, the run goes on. */
void sy__journal_add(struct sy_trainer *t, const struct sy_journal_entry *e);
void sy__journal_free(struct sy_journal_entry *list, int n);

/* Write a value into all phases' input of this name; false: there is none of this size. */
bool sy__input_write(struct sy_trainer *t, const char *name, const float *values, int64_t n);
void sy__inputs_drop(struct sy_trainer *t); /* those not yet in effect */

/* At the border: start a checkpoint when one is due, and report the one that has landed. */
void sy__saver_border(struct sy_trainer *t);
void sy__saver_init(struct sy_trainer *t);
/* Wait until parameters and the optimizer's state may be written: before an update, and before
 * anyone is let to them. */
void sy__saver_copied(struct sy_trainer *t);
/* Whether a run that ends here has something to save. */
bool sy__saver_wants_last(const struct sy_trainer *t);
/* Save now and wait for it.  0, or -1 and err. */
int sy__saver_save(struct sy_trainer *t, struct sy_err *err);
void sy__saver_join(struct sy_trainer *t); /* wait for the one in flight, report it */
void sy__saver_free(struct sy_trainer *t);
float *sy__saver_buffer(struct sy_trainer *t); /* room for p and kept; NULL: no memory */
size_t sy__saver_bytes(const struct sy_params *ps); /* of it */
/* Whether an input of the model's program is saved with its state; bytes of a value in the block of
 * an image. */
bool sy__is_value(const struct sy_tensor *x);
size_t sy__value_room(const struct sy_tensor *x);
/* Its name in state.safetensors; n: of a state its number, of an input its name. */
void sy__value_name(enum sy_image_part part, const char *n, char out[128]);
uint64_t sy__image_bytes(const struct sy_image *image);
void sy__checkpoint_clean(const struct sy_dir *dir);

#endif
