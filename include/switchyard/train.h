/* The trainer: one thread that executes a program step after step, and what others may ask of it.
 *
 *                    start                     boundary, pause asked
 *     (new) ------------------------> RUNNING ----------------------> PAUSED
 *                                     |  |  ^ <---------------------- resume
 *                     steps are done  |  |  |
 *                DONE <---------------+  |  | more steps: resume
 *                  |  stop asked         |  |
 *                  |  STOPPED <----------+  |
 *                  +------------------------+
 *                     FAILED: a loss, a gradient or an operation failed; parameters are those of
 *                     the last good step
 *
 *  1. Everything that others ask (a hyper-parameter, pause, hold) takes effect at the border
 *     between two steps, so a run is a function of its journal.
 *  2. A step: batch -> program (once a micro-batch) -> norm and check -> optimizer -> state
 *     updates.  Nothing is allocated in it and nothing of Lua runs, but for the callbacks at its
 *     end.  A step that the spike rule skips (train/spike.h) ends after the check: it counts, and
 *     has changed nothing.  A step that is under way when an end is asked for (stop, free) is given
 *     up between two operations: it is as if it had never begun, and a resume does it anew.  The
 *     evaluation after it has 2 seconds to end, else it is left out: its step has no val_loss, and
 *     an event says so.  Pause and hold wait for both.
 *  3. hold() parks the trainer at a border; the holder alone may then touch parameters, programs'
 *     inputs, and states, until release().
 */
#ifndef SWITCHYARD_TRAIN_H
#define SWITCHYARD_TRAIN_H

#include "switchyard/data.h"
#include "switchyard/graph.h"
#include "switchyard/hyper.h"
#include "switchyard/journal.h"
#include "switchyard/run_state.h"

struct sy_metrics;
struct sy_params; /* train/params.h */
struct sy_trainer;

/* One traced and planned pass over a batch.  All owned by whoever owns the phase. */
struct sy_phase {
    struct sy_graph *graph;
    struct sy_program *program;
    /* inputs of the graph; NULL: it does not ask; shared */
    struct sy_tensor *field[SY_FIELD_COUNT];
    /* inputs of these names, i32 scalars, or NULL: steps count from 1, micro-batches from 0 */
    struct sy_tensor *step, *micro;
    /* inputs named hyper.NAME, f32 scalars, or NULL: hyper-parameters that the graph reads */
    struct sy_tensor *hyper[SY_HYPER_COUNT];
    struct sy_tensor *loss;   /* scalar f32: cross entropy in nats a token; shared */
    struct sy_tensor *losses; /* (B*T) f32: of each target, times its weight; or NULL; shared */
};
/* The fields and numbers that the phase's graph reads are its inputs of their names: find them. */
void sy_phase_find_fields(struct sy_phase *phase);
/* The step that is computed, or in an evaluation the steps done, and the micro-batch of it. */
void sy_phase_number(struct sy_phase *phase, int64_t step, int64_t micro);
/* The values of the hyper-parameters that its graph reads. */
void sy_phase_hyper(struct sy_phase *phase, const struct sy_hyper *h);
/* Where the sampler puts them; the scale is 1. */
struct sy_batch sy_phase_batch(const struct sy_phase *phase);
/* Tokens of a row that its encoder reads (S); 0: it has none. */
int64_t sy_phase_inputs(const struct sy_phase *phase);

/* Programs of one shape (batch, context, K, ...).  A step is one micro-batch of `begin`, which sets
 * the gradients, and accumulate - 1 of `add`, which adds to them (absent when accumulate is 1).
 * `eval` has no auxiliary losses and no dropout.  `count` (absent unless a loss goes by what all
 * micro-batches of a step come to) is run over them before `begin` is: forward alone, with the same
 * draws, as far as what is counted needs; and not where all that goes by it is weighed by
 * coefficients that are 0.  `health` (absent without routers, and where health_every is 0) looks at
 * the first micro-batch of few steps, with the draws that `begin` has, and changes nothing. */
enum sy_phase_kind {
    SY_PHASE_BEGIN, SY_PHASE_ADD, SY_PHASE_EVAL, SY_PHASE_COUNT, SY_PHASE_HEALTH, SY_PHASES
};

struct sy_plan {
    struct sy_phase begin, add, eval, count, health;
    void *arena; /* owned; shared by all phases, which never run at the same time */
    size_t arena_bytes;
    int64_t batch, context, accumulate;
    int64_t inputs; /* tokens that its encoder reads of a row; 0: it has none */
    /* what it was traced with: values of the other rows that are PLAN */
    double traced[SY_HYPER_COUNT];
    int64_t top_k; /* experts a token uses; 0: unknown, or no experts */
    /* coefficients, inputs of `begin`, without which nothing is counted; none: it always is; owned,
     * each shared */
    struct sy_tensor **weights;
    int nweights;
};
/* By its kind; one that is absent has no graph and no program. */
static inline struct sy_phase *sy_plan_phase(struct sy_plan *plan, enum sy_phase_kind kind)
{
    return kind == SY_PHASE_BEGIN   ? &plan->begin
           : kind == SY_PHASE_ADD   ? &plan->add
           : kind == SY_PHASE_EVAL  ? &plan->eval
           : kind == SY_PHASE_COUNT ? &plan->count
                                    : &plan->health;
}
/* Of a row that is PLAN: what the plan was traced with. */
double sy_plan_value(const struct sy_plan *plan, enum sy_hyper_id id);
void sy_phase_drop(struct sy_phase *phase); /* what it owns, and not itself */
void sy_plan_free(struct sy_plan *plan); /* and what it owns; NULL is fine */
/* Take the arena that the phases need.  MEMORY says how many bytes. */
int sy_plan_attach(struct sy_plan *plan, struct sy_err *err);

struct sy_status {
    enum sy_run_state state; /* RUNNING, PAUSED, DONE, STOPPED or FAILED */
    int64_t step, steps;
    double loss, val_loss; /* nats a token; NaN: none yet */
    double lr, grad_norm;
    double tok_s, mfu, eta; /* smoothed over some steps; seconds */
    int64_t tokens;         /* trained on so far */
    double load_max_mean;   /* over all layers at this step; NaN without experts */
    int64_t dead;           /* enabled experts without a token at this step, all layers */
    int64_t disabled;       /* experts that someone disabled, all layers */
    int64_t val_step;       /* step of val_loss */
    int64_t skipped;        /* steps that the spike rule skipped */
    uint32_t alarms;        /* bit i: alarm i is on (enum sy_alarm) */
    struct sy_err error;    /* when FAILED */
};

struct sy_train_config {
    const char *name;
    struct sy_params *params;      /* owned by the trainer from now on */
    struct sy_plan *plan;          /* likewise */
    struct sy_hyper hyper;
    struct sy_corpus *corpus;      /* another count is taken */
    struct sy_objectives *objectives; /* likewise; NULL: next-token prediction */
    enum sy_sample_mode sampling;
    bool by_step;                  /* it began before windows were counted, and keeps its order */
    double flops_per_token;        /* of the model: 6 a weight plus attention; for MFU; 0: not
                                    * known */
    double peak;                   /* FLOP/s measured on this machine (sy_cpu_peak); 0: no
                                    * MFU.  A step that is faster shows that others kept the
                                    * machine busy then: it is measured again */
    bool bf16;                     /* the model computes in bf16, and peak is of that */
    /* Called on the trainer's thread at the border after a step (also after an evaluation:
     * `evaluated`) and when the state changes.  May call into the host and wait for it. */
    void (*on_step)(void *ctx, const struct sy_status *s, bool evaluated);
    /* CHECKPOINT (saved), NOTE, ALARM, SKIP (a step was skipped), or REWIND (max_skips and
     * auto_rewind: the run is paused, sy_trainer_rewind_wanted says for which steps), with a line
     * for people; at a border, on the thread that stands there, but for a note on what takes long,
     * which comes from the midst of a step. */
    void (*on_event)(void *ctx, const struct sy_event *e);
    /* Something that sy_trainer_wait or sy_trainer_held look at has changed.  Called with the
     * trainer locked: it may only wake whoever looks. */
    void (*on_change)(void *ctx);
    /* An entry came to the journal: under the trainer's lock, so neither ask the trainer nor
     * wait. */
    void (*on_journal)(void *ctx, const struct sy_journal_entry *e);
    void *ctx;
};

/* Create; nothing runs yet.  On failure params and plan stay the caller's. */
struct sy_trainer *sy_trainer_new(const struct sy_train_config *config, struct sy_err *err);
/* Start its thread: it trains, or stands if sy_trainer_pause was called before.  Errors: STATE (it
 * was started already), IO (the system gives no thread). */
int sy_trainer_start(struct sy_trainer *t, struct sy_err *err);
/* The name of the layer after those that were named ("dec 1"; "": none), for alarms; before it
 * starts.  Errors: MEMORY. */
int sy_trainer_call_layer(struct sy_trainer *t, const char *name, struct sy_err *err);
void sy_trainer_free(struct sy_trainer *t); /* stops and joins first */

void sy_trainer_status(struct sy_trainer *t, struct sy_status *out); /* a copy; any thread */
struct sy_metrics *sy_trainer_metrics(struct sy_trainer *t); /* borrowed; any thread may read it */
/* The run has no store: its older rows are packed in memory (run/packed_rows.h) until it gets one.
 * Before it starts. */
int sy_trainer_pack_rows(struct sy_trainer *t, struct sy_err *err);
/* Now it has, with all rows in it: what was packed goes.  Held, or before it starts. */
void sy_trainer_rows_stored(struct sy_trainer *t);
/* Borrowed; touch them only while holding, or while it does not run. */
struct sy_params *sy_trainer_params(struct sy_trainer *t);
struct sy_plan *sy_trainer_plan(struct sy_trainer *t); /* likewise */
const char *sy_trainer_name(const struct sy_trainer *t);         /* of the run; borrowed */
struct sy_corpus *sy_trainer_corpus(const struct sy_trainer *t); /* borrowed */

/* From the next border on; written to the journal with the step.  The new value, or schedule, is
 * what sy_trainer_get, or sy_trainer_schedule, returns at once.  Any thread.  Errors: RANGE; STATE
 * for those fixed for the run.  Values with SY_LIVE_PLAN need a new plan as well:
 * sy_trainer_replan. */
int sy_trainer_set(struct sy_trainer *t, enum sy_hyper_id id, double value, struct sy_err *err);
double sy_trainer_get(struct sy_trainer *t, enum sy_hyper_id id);
void sy_trainer_set_schedule(struct sy_trainer *t, enum sy_schedule s); /* likewise */
/* What the learning rate will do with all that was set (sy_hyper_outlook). */
void sy_trainer_outlook(struct sy_trainer *t, char *text, size_t n);
/* What a value of id, or with SY_HYPER_COUNT a schedule, would do to the rate of the steps that are
 * left; RATE where these are fewer than two.  Only lr, min_lr, warmup, decay and the schedule bear
 * on it. */
enum sy_hyper_effect sy_trainer_effect(struct sy_trainer *t, enum sy_hyper_id id, double value);
int sy_trainer_rules(struct sy_trainer *t); /* SY_RULES, or those of an older run */
enum sy_schedule sy_trainer_schedule(struct sy_trainer *t);
/* Value of a named input (nn.input) from the next border on: n numbers, as many as it has; where
 * there is no such input, nothing happens then.  Any thread.  Errors: MEMORY. */
int sy_trainer_set_input(struct sy_trainer *t, const char *name, const float *values, int64_t n,
                         struct sy_err *err);
/* Other states of the model (caller holds), of a plan that comes; what is kept of spikes is of the
 * old ones and goes.  Errors: MEMORY; nothing has changed. */
int sy_trainer_set_states(struct sy_trainer *t, struct sy_tensor *const *states, int n,
                          struct sy_err *err);
/* Exchange the plan (caller holds).  The trainer owns it then; the old one is freed.  On failure
 * (MEMORY) nothing changes and the plan stays the caller's. */
int sy_trainer_replan(struct sy_trainer *t, struct sy_plan *plan, double flops_per_token,
                      struct sy_err *err);

/* Any thread; all return at once.  Pause at the next border; resume what is paused, or done with
 * steps left since; stop for good, which gives up a step that is under way. */
void sy_trainer_pause(struct sy_trainer *t);
void sy_trainer_resume(struct sy_trainer *t);
void sy_trainer_stop(struct sy_trainer *t);
/* What was set takes effect now, as at a border (caller holds). */
void sy_trainer_settle(struct sy_trainer *t);
/* Go on for n steps, then pause. */
void sy_trainer_steps(struct sy_trainer *t, int64_t n);

/* Park at the next border.  `hold` asks; `held` waits up to `seconds` and tells whether it is so
 * (a trainer that does not run counts as parked).  Holds count.  A holder must release. */
void sy_trainer_hold(struct sy_trainer *t);
bool sy_trainer_held(struct sy_trainer *t, double seconds);
void sy_trainer_release(struct sy_trainer *t);
/* Wait until `step` is reached or the run no longer runs, and on_step has been told so (not to be
 * called there); false after `seconds`. */
bool sy_trainer_wait(struct sy_trainer *t, int64_t step, double seconds);

/* Windows of an evaluation of so many batches (sy_eval_windows; caller holds).  -1 and an error
 * when the corpus has no validation text. */
int64_t sy_trainer_eval_windows(struct sy_trainer *t, int64_t batches, struct sy_err *err);
/* Mean loss in nats a token over the first n windows, without auxiliary losses (caller holds).  NaN
 * and an error when there are none. */
double sy_trainer_eval(struct sy_trainer *t, int64_t n, struct sy_err *err);
/* In slices: add to *sum the losses of windows first .. end - 1, from 0, of an evaluation of n,
 * each the mean of its tokens.  Slices that begin at multiples of the plan's batch, in order from a
 * sum of 0, give the bits of sy_trainer_eval times n.  0, or -1 and err. */
int sy_trainer_eval_sum(struct sy_trainer *t, int64_t first, int64_t end, int64_t n, double *sum,
                        struct sy_err *err);

/* ---- the journal: what was done to the run, in order ---- */

/* Kinds, and what an entry holds: switchyard/journal.h. */
int sy_trainer_journal(struct sy_trainer *t, int first, struct sy_journal_entry *out, int n);
/* A line for people: a kind that is SY_REPLAY_NOTED. */
void sy_trainer_note(struct sy_trainer *t, enum sy_entry_kind kind, const char *text);
/* Any entry: written down with the current step, nothing else is done. */
void sy_trainer_record(struct sy_trainer *t, const struct sy_journal_entry *e);
/* Does this program know what the entry says: its hyper-parameter and the range of it, schedule,
 * rules?  UNSUPPORTED, RANGE: a newer one made it.  Nothing is changed; any thread. */
int sy_entry_check(const struct sy_journal_entry *e, struct sy_err *err);
/* Do what the entry says, now, and record it (caller holds).  A set that belongs to the plan
 * (batch, context, accumulate) only changes the number: the caller exchanges the plan.  UNSUPPORTED
 * for what the host must do. */
int sy_trainer_apply(struct sy_trainer *t, const struct sy_journal_entry *e, struct sy_err *err);

/* ---- alarms ---- */

/* Their ids and names: SY_ALARM_MAP in switchyard/events.h. */
struct sy_alarm_state {
    bool on;
    int64_t step;   /* when it came on last; -1: never */
    char text[600]; /* what it said, without its name and step (sy_event_line) */
};
void sy_trainer_alarm(struct sy_trainer *t, enum sy_alarm id,
                      struct sy_alarm_state *out); /* a copy; any thread */
/* On with this text, which the caller tells, or off (NULL).  For RECORD and REWIND, which the host
 * finds out; any thread. */
void sy_trainer_set_alarm(struct sy_trainer *t, enum sy_alarm id, int64_t step, const char *text);

/* ---- why: what is known of a step ---- */

/* A step that stood out, with what was seen of it: the newest 64 are kept in memory. */
struct sy_spike {
    int64_t step;
    double loss, grad_norm; /* may be not finite */
    /* Of the window before (train/spike.h); NaN: too short.  Those of the norm are of logarithms: a
     * deviation is a factor. */
    double loss_mean, loss_deviation, loss_sigma, norm_mean, norm_factor, norm_sigma;
    bool skipped;
    enum sy_skip reason;
    int64_t rows;   /* sequences of the step: all micro-batches */
    int64_t values; /* numbers of the states at that step, all after another */
};
/* The newest `n` at most, by rising step; returns how many. */
int sy_trainer_spikes(struct sy_trainer *t, struct sy_spike *out, int n);
/* Loss of each sequence alone, with the parameters before the step and without auxiliary losses
 * (row = micro-batch * batch + row in it), -1 where it was not measured (of many only the worst
 * is); and the states before the step.  false: that step is not among them. */
bool sy_trainer_spike_detail(struct sy_trainer *t, int64_t step, float *losses, float *states);

struct sy_draw { /* how a step draws its rows: 0 .. rows-1 from the place (data.h) */
    struct sy_sampler sampler; /* its batch is a micro-batch's; it borrows share */
    struct sy_place place;
    int64_t rows;
    double share[SY_MIX_MOST];
};
/* Of a step, past or to come, by the run's journal; out must stay where it is.  -1: the corpus is
 * too short for what the journal says, there is no such step, or no memory.  Any thread. */
int sy_trainer_draw(struct sy_trainer *t, int64_t step, struct sy_draw *out);
/* Shares of the parts of a mix of data, of the steps that come; how many; 0: it is no mix. */
int sy_trainer_mix(struct sy_trainer *t, double shares[SY_MIX_MOST]);
/* Windows that were, or would be, drawn before a step, by the run's journal; -1: its windows are
 * not counted. */
int64_t sy_trainer_windows(struct sy_trainer *t, int64_t step);
/* After event REWIND: the steps that were to be skipped in a row, or the step at which the host
 * wanted it.  false: there were none. */
bool sy_trainer_rewind_wanted(struct sy_trainer *t, int64_t *first, int64_t *last);
/* From a callback: pause, as after max_skips, until the host has rewound it; whoever resumes or
 * stops it before gets that. */
void sy_trainer_want_rewind(struct sy_trainer *t);

/* ---- checkpoints (train/checkpoint.h) ---- */

#define SY_RUN_ID 33 /* 32 hex digits and a NUL: the identity of a run */

struct sy_saved {
    char path[1024];
    char id[SY_RUN_ID]; /* of the run that it belongs to; "": made before runs had one */
    int64_t step; /* -1: none */
    uint64_t bytes;
    double pause;   /* seconds that training stood still */
    double seconds; /* until it was verified */
    bool asynchronous, ok;
};

/* From the next border on a checkpoint every checkpoint_every steps, and one at the end (done,
 * stopped, failed), into dir/step-N.  keep: how many of the newest stay (at least 2); keep_every:
 * steps divisible by it stay too (0: none).  Leftovers of broken saves in dir are removed.  Makes
 * dir. */
int sy_trainer_set_dir(struct sy_trainer *t, const char *dir, int keep, int64_t keep_every,
                       struct sy_err *err);
const char *sy_trainer_dir(const struct sy_trainer *t); /* or NULL */
/* Text that goes into every checkpoint: what the host needs to make model, data and plan again; and
 * the run's id (32 hex digits, or ""), by which its checkpoints are known from others'. */
int sy_trainer_set_config(struct sy_trainer *t, const char *text, const char *id,
                          struct sy_err *err);
/* Bytes that a checkpoint will take. */
uint64_t sy_checkpoint_bytes(struct sy_trainer *t);
/* Save between two steps and wait until it is verified.  path[n] gets the folder's name (NULL: not
 * wanted).  The trainer's own callbacks may call it.  STATE without a directory; IO, MEMORY. */
int sy_trainer_checkpoint(struct sy_trainer *t, char *path, size_t n, struct sy_err *err);
/* The same into another folder (caller holds), which is made; it then has two at most.  The run's
 * own are untouched, and nothing is announced. */
int sy_trainer_checkpoint_to(struct sy_trainer *t, const char *dir, const char *sub,
                             struct sy_saved *out, struct sy_err *err);
/* Steps that were done before are done again: no checkpoint comes of them. */
void sy_trainer_repeating(struct sy_trainer *t, bool on);
/* Did its last save fail, and why (err, or NULL)?  So what came since the newest checkpoint would
 * be lost. */
bool sy_trainer_unsaved(struct sy_trainer *t, struct sy_err *err);
/* Another process writes the run's directory: no checkpoint comes of this one any more, and it ends
 * unsaved for this reason.  Any thread. */
void sy_trainer_give_up_dir(struct sy_trainer *t, const char *why);
/* The newest checkpoint of this trainer; false when there is none. */
bool sy_trainer_saved(struct sy_trainer *t, struct sy_saved *out);

/* The newest checkpoint in dir that verifies, at most of this step (-1: any).  NOTFOUND. */
int sy_checkpoint_find(const char *dir, int64_t step, struct sy_saved *out, struct sy_err *err);
/* All of dir, by rising step, each verified (`ok`) when asked to.  *list is owned (sy_free). */
int sy_checkpoint_list(const char *dir, bool verify, struct sy_saved **list, int *n,
                       struct sy_err *err);
/* Delete those of dir (or of dir/sub, which must be no link) with a greater step (a rewound run's
 * other future), the greatest first. */
int sy_checkpoint_discard(const char *dir, const char *sub, int64_t step, struct sy_err *err);
/* The checkpoint at `path` also in dir/sub (or dir) as one of run `id` (fork): by hard links, or by
 * copies where those are not possible, but for MANIFEST. */
int sy_checkpoint_share(const char *path, const char *dir, const char *sub, const char *id,
                        struct sy_saved *out, struct sy_err *err);

/* Put the trainer (caller holds, or it was not started) into the state of a checkpoint:
 * parameters, optimizer state, states, inputs, hyper-parameters, frozen parameters, journal,
 * metrics up to its step; paused then.  Data, tokenizer, program or kernels that differ are an
 * error (STATE) that names them; with `force` it goes on and journals them.  FORMAT: its tensors
 * are not those that it tells the hash of.  Nothing has changed when it fails. */
int sy_trainer_load(struct sy_trainer *t, const char *path, bool force, struct sy_err *err);
/* What sy_params_hash would give if that were loaded (caller holds): of the tensors, whatever is
 * told of them. */
int sy_trainer_stored_hash(struct sy_trainer *t, const char *path, uint64_t *hash,
                           struct sy_err *err);

#endif
