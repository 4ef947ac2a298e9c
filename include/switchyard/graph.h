/* Graphs and programs: a description traced once, planned into one arena, run step after step.
 *
 *   sy_graph_begin .. operations are applied .. sy_graph_end     records nodes, computes nothing
 *   sy_grad                                                      appends the backward pass
 *   sy_program_new                                               prunes, places every buffer
 *   sy_program_attach, sy_program_run ...                        no allocation, no graph work
 *
 * Leaves (parameters, states, constants, inputs) are tensors with bytes; a program reads them at
 * every run, so writing into an input's bytes before a run is how values get in.
 */
#ifndef SWITCHYARD_GRAPH_H
#define SWITCHYARD_GRAPH_H

#include "switchyard/series.h"
#include "switchyard/tensor.h"

struct sy_graph;
struct sy_program;

struct sy_graph *sy_graph_new(struct sy_err *err); /* owned */
/* Ends its recording and frees it; NULL is fine.  Programs of it keep the nodes that they need. */
void sy_graph_free(struct sy_graph *g);
/* Record what this thread applies from now on into g, until sy_graph_end.  One trace of a thread at
 * a time: STATE otherwise. */
int sy_graph_begin(struct sy_graph *g, struct sy_err *err);
void sy_graph_end(struct sy_graph *g); /* on the thread that began; without a beginning nothing */
struct sy_graph *sy_graph_current(void); /* of this thread, or NULL */

/* A named leaf with zeroed bytes, borrowed from the graph.  The same name again gives the same
 * tensor; another dtype or shape is an error (SHAPE). */
struct sy_tensor *sy_graph_input(struct sy_graph *g, const char *name, enum sy_dtype dtype,
                                 int ndim, const int64_t *shape, struct sy_err *err);
struct sy_tensor *sy_graph_find_input(const struct sy_graph *g, const char *name); /* or NULL */
/* Put out x (f32, small) at every run under this name.  mask: the input (f32, 0 or -inf a value) by
 * which experts that x counts are disabled; NULL: none is.  Errors: NAME (observed twice), SHAPE
 * (not contiguous f32, over 4096 numbers, or several of a kind that has one). */
int sy_graph_observe(struct sy_graph *g, const char *name, const struct sy_series_what *what,
                     struct sy_tensor *x, struct sy_tensor *mask, struct sy_err *err);
/* What is computed for the newest of these alone is not of the program's identity
 * (sy_program_fingerprint). */
void sy_graph_observe_aside(struct sy_graph *g);
/* At the end of every step (sy_program_update_states): state's bytes = value's (same dtype and
 * shape). */
int sy_graph_update(struct sy_graph *g, struct sy_tensor *state, struct sy_tensor *value,
                    struct sy_err *err);
/* The same at the end of every run, whether it is the last of a step or not: for what gathers over
 * the micro-batches of a step.  Such a tensor is no state: nobody saves it. */
int sy_graph_carry(struct sy_graph *g, struct sy_tensor *state, struct sy_tensor *value,
                   struct sy_err *err);

int sy_graph_inputs(const struct sy_graph *g); /* how many, in the order of their making */
const char *sy_graph_input_name(const struct sy_graph *g, int i); /* borrowed; 0 <= i < inputs */
struct sy_tensor *sy_graph_input_at(const struct sy_graph *g, int i); /* borrowed */

/* Gradients of scalar y with respect to leaves wrt[0..n): grads[i] owned, or NULL where none flows.
 * In a trace this appends nodes, else it computes.  Errors: SHAPE (y not a scalar), those of
 * vjps. */
int sy_grad(struct sy_tensor *y, struct sy_tensor *const *wrt, int n, struct sy_tensor **grads,
            struct sy_err *err);
/* Eager: add dy/dx to x.grad for every leaf x that asks for it. */
int sy_tensor_backward(struct sy_tensor *y, struct sy_err *err);

/* Segments are stretches of the forward pass (a model's layers) that may be computed again in the
 * backward pass instead of being kept: nodes recorded from now on belong to this one; 0: to
 * none. */
void sy_graph_segment(struct sy_graph *g, int32_t segment);
int sy_graph_length(const struct sy_graph *g); /* nodes so far */
/* Random operations so far, whose numbers key what they draw; what is recorded again after it was
 * set back draws the same. */
int32_t sy_graph_draws(const struct sy_graph *g);
void sy_graph_set_draws(struct sy_graph *g, int32_t draws);
/* After sy_grad, which appended the nodes from `first` on: whatever these read of a segment's
 * inside is computed again just before its first use.  Kept are what leaves a segment, leaves, and
 * results of operations marked SY_OP_KEEP.  Same bits, less memory, about a third more time.
 * Source: Chen et al. 2016, "Training deep nets with sublinear memory cost". */
int sy_graph_recompute(struct sy_graph *g, int first, struct sy_err *err);

/* What a program must deliver. */
struct sy_program_spec {
    struct sy_tensor *const *outputs; /* readable after each run; borrowed tensors of the graph */
    int noutputs;
    struct sy_tensor *const *grads; /* NULL entries: nothing flows, zeros are written once */
    float *const *grad_to;          /* f32 memory of grads[i]'s count each (flat gradient buffer) */
    int ngrads;
    bool add_grads; /* add to grad_to, do not overwrite (second micro-batch on) */
    bool updates;   /* perform the graph's state updates after a run */
};

/* Plan; no memory but bookkeeping is taken.  The program keeps the graph's nodes alive itself. */
struct sy_program *sy_program_new(struct sy_graph *g, const struct sy_program_spec *spec,
                                  struct sy_err *err);
/* Frees it with an arena of its own; NULL is fine.  Outputs and observations have no bytes then. */
void sy_program_free(struct sy_program *p);
size_t sy_program_bytes(const struct sy_program *p); /* arena it wants */
/* Use this memory (64-byte aligned, at least sy_program_bytes; programs that never run at the same
 * time may share it), or NULL: its own. */
int sy_program_attach(struct sy_program *p, void *arena, struct sy_err *err);
/* One pass, then what is carried.  seed and step key the random operations.  Errors: those of
 * operations at run time. */
int sy_program_run(struct sy_program *p, uint64_t seed, uint64_t step, struct sy_err *err);
/* The same, but `ends` is asked before each operation, and true gives the pass up: 1; nothing is
 * carried or updated, and outputs and gradients are worth nothing, as after an error. */
int sy_program_run_until(struct sy_program *p, uint64_t seed, uint64_t step,
                         bool (*ends)(void *ctx), void *ctx, struct sy_err *err);
/* Only the state updates (after the last micro-batch), when spec.updates was false. */
int sy_program_update_states(struct sy_program *p);

/* What sy_graph_observe asked for, in that order: how many, and of the one at i its name, what it
 * is (sy_program_observe_what), its tensor and mask (all borrowed), whose bytes are those of the
 * newest run. */
int sy_program_observes(const struct sy_program *p);
const char *sy_program_observe_name(const struct sy_program *p, int i);
const struct sy_tensor *sy_program_observe_at(const struct sy_program *p, int i); /* borrowed */
const struct sy_series_what *sy_program_observe_what(const struct sy_program *p, int i);
/* borrowed, or NULL */
const struct sy_tensor *sy_program_observe_mask(const struct sy_program *p, int i);

double sy_program_flops(const struct sy_program *p); /* of one run, by the operations' cost rows */
int sy_program_length(const struct sy_program *p);   /* instructions */
#define SY_FINGERPRINT_VERSION 2
/* What a leaf (a parameter, a state, an input) is called, borrowed, or NULL: a constant. */
typedef const char *(*sy_leaf_name)(void *ctx, const struct sy_tensor *leaf);
/* Hash of operations, attributes, dtypes, shapes and who feeds whom: equal for the same description
 * on every machine, with any number of threads.  Of leaves their names are in it, and of those
 * without a name the bytes as they stand: so it is taken before the program runs.  Version 1, of
 * checkpoints made before there was another, takes all leaves for one (fingerprint.c). */
uint64_t sy_program_fingerprint(const struct sy_program *p, int version, sy_leaf_name leaf_name,
                                void *ctx);
/* Place of a leaf among what is updated by the program, at its end or at that of a step; -1: it is
 * not, or there is no program (NULL). */
int sy_program_carried(const struct sy_program *p, const struct sy_tensor *leaf);
/* Profile: seconds spent in each kind of operation since the last call, as "name seconds calls\n"
 * lines, slowest first.  Owned string (sy_free), or NULL. */
char *sy_program_profile(struct sy_program *p);
/* Run once more with the inputs as they stand, looking at the first output (f32 or f64) of each
 * operation: describes the first that is not finite ("softmax -> (4096, 8)", with the leaf it used
 * when leaf_name knows one) and returns 1; 0 when there is none, or an operation failed.  Further
 * outputs hold log-sum-exps of empty rows and the like, where -inf is right.  A program is a pure
 * function of its leaves, so this finds what the failed run met.  State is not updated. */
int sy_program_find_nonfinite(struct sy_program *p, uint64_t seed, uint64_t step,
                              sy_leaf_name leaf_name, void *ctx, char *out, size_t n);

#endif
