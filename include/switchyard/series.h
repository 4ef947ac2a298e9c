/* What the numbers of a series are: its kind and where in the model it is of.  Who observes a value
 * says so (nn.observe, the trainer), it goes with the series into memory and the store, and charts,
 * alarms and the choice of steps ask it.  A series' name is for people and for r:history.
 *
 *  1. Names of kinds are in stores: they are never changed.  A kind of a newer program is a VALUE
 *     here.
 */
#ifndef SWITCHYARD_SERIES_H
#define SWITCHYARD_SERIES_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

/* How it stands in the panel (src/tui/views.c, experts_view.c). */
enum sy_series_draw {
    SY_DRAW_LINE,   /* smoothed when people want it */
    SY_DRAW_POINTS, /* means already, of steps far apart: never smoothed */
    SY_DRAW_HEAT    /* a row of the table of layers and experts */
};

/* What each of a row's values is of.  Of a source: NaN where it has none.  Of sources and experts:
 * all experts of the first source, and so on. */
enum sy_series_each {
    SY_EACH_NONE,
    SY_EACH_EXPERT,
    SY_EACH_SOURCE,
    SY_EACH_SOURCE_EXPERT,
    SY_EACH_TOKEN /* of the text that is traced */
};

/* X(ID, name, unit, least, most, drawn, each, rare, what it is)
 * each: NONE, a row is one value; else one a what.  rare: nobody follows it from step to step,
 * and of E values it would be most of a store: rows at few steps (sy__rare_step,
 * src/train/trainer_int.h). */
#define SY_SERIES_MAP(X)                                                                           \
    X(VALUE, "value", "", -INFINITY, INFINITY, LINE, NONE, false, "what a model observes")         \
    X(LOSS, "loss", "nats", 0, INFINITY, LINE, NONE, false, "of a training batch")                 \
    X(VAL_LOSS, "val_loss", "nats", 0, INFINITY, POINTS, NONE, false, "of an evaluation")          \
    X(RATE, "rate", "", 0, INFINITY, LINE, NONE, false, "a learning rate")                         \
    X(NORM, "norm", "", 0, INFINITY, LINE, NONE, false,                                            \
      "of a gradient: of all, a layer, a parameter")                                               \
    X(ROUTER_NORM, "router_norm", "", 0, INFINITY, LINE, NONE, false,                              \
      "of the gradient at a router")                                                               \
    X(EXPERT_NORM, "expert_norm", "", 0, INFINITY, LINE, EXPERT, true,                             \
      "of the gradient at each expert")                                                            \
    X(SPEED, "speed", "tokens/s", 0, INFINITY, LINE, NONE, false, "")                              \
    X(SECONDS, "seconds", "s", 0, INFINITY, LINE, NONE, false, "a part of a step's time")          \
    X(TOKENS, "tokens", "tokens", 0, INFINITY, LINE, NONE, false, "trained on so far")             \
    X(SKIPPED, "skipped", "", 0, 4, LINE, NONE, false, "why a step was left out")                  \
    X(LOAD, "load", "of a fair share", 0, INFINITY, HEAT, EXPERT, false,                           \
      "tokens that each expert got")                                                               \
    X(ENTROPY, "entropy", "nats", 0, INFINITY, LINE, NONE, false, "of the loads")                  \
    X(GATE, "gate", "share", 0, 1, HEAT, EXPERT, true, "each expert's mean probability")           \
    X(GATE_ENTROPY, "gate_entropy", "nats", 0, INFINITY, LINE, NONE, false,                        \
      "of a token's probabilities, mean")                                                          \
    X(CONFIDENCE, "confidence", "share", 0, 1, LINE, NONE, false,                                  \
      "largest gate of a token, mean")                                                             \
    X(BIAS, "bias", "", -INFINITY, INFINITY, LINE, NONE, false, "spread of the router's bias")     \
    X(DROP, "drop", "share", 0, 1, LINE, NONE, false, "assignments that capacity left out")        \
    X(DROPPED, "dropped", "share", 0, 1, HEAT, EXPERT, true, "likewise of each expert's own")      \
    X(BALANCE, "balance", "", 0, INFINITY, LINE, NONE, false,                                      \
      "load-balancing loss without its weight")                                                    \
    X(Z, "z", "", 0, INFINITY, LINE, NONE, false, "router z-loss without its weight")              \
    X(PART_LOSS, "part_loss", "nats", 0, INFINITY, LINE, NONE, false,                              \
      "of the part of a training batch that an objective made")                                    \
    X(PART_VAL_LOSS, "part_val_loss", "nats", 0, INFINITY, POINTS, NONE, false,                    \
      "likewise of an evaluation")                                                                 \
    X(SOURCE_LOSS, "source_loss", "nats", 0, INFINITY, LINE, SOURCE, false,                        \
      "of a training batch, one value a source of the data; NaN where it has none")                \
    X(SOURCE_VAL_LOSS, "source_val_loss", "nats", 0, INFINITY, POINTS, SOURCE, false,              \
      "likewise of an evaluation")                                                                 \
    X(SOURCE_LOAD, "source_load", "of a fair share", 0, INFINITY, HEAT, SOURCE_EXPERT, true,       \
      "tokens of each source that each expert got: all experts of the first source, and so on")    \
    X(REROUTED, "rerouted", "share", 0, 1, LINE, NONE, false,                                      \
      "assignments that another expert took, as its own was full")                                 \
    X(EXPERTS_PER_TOKEN, "experts_per_token", "", 0, INFINITY, LINE, NONE, false,                  \
      "that a token got, mean; where it varies")                                                   \
    X(DISTILL_LOSS, "distill_loss", "nats", 0, INFINITY, LINE, NONE, false,                        \
      "cross entropy from a teacher's probabilities to the model's, of a training batch")          \
    X(TRACE, "trace", "expert", 0, 2048, POINTS, TOKEN, false,                                     \
      "that weighs most in each token of a text that is traced; 0: none")                          \
    X(DISABLED, "disabled", "", 0, 1, HEAT, EXPERT, false,                                         \
      "1 of each expert that someone disabled; rows at steps where there is one")                  \
    X(IMPORTANCE, "importance", "of a fair share", 0, INFINITY, HEAT, EXPERT, true,                \
      "sum of the gates that each expert got")                                                     \
    X(BIAS_MEAN, "bias_mean", "", -INFINITY, INFINITY, LINE, NONE, false,                          \
      "mean of the router's bias")                                                                 \
    X(MARGIN, "margin", "", 0, INFINITY, LINE, NONE, false,                                        \
      "K-th of what a router chooses by less the next, mean over tokens")                          \
    X(CLOSE, "close", "share", 0, 1, LINE, NONE, false,                                            \
      "tokens whose margin is under a hundredth of the range of their scores")                     \
    X(BF16_CHANGED, "bf16_changed", "share", 0, 1, LINE, NONE, false,                              \
      "tokens that would get other experts if the router computed in bf16")                        \
    X(LOGSUMEXP, "logsumexp", "", -INFINITY, INFINITY, LINE, NONE, false,                          \
      "of the logits, mean over tokens")                                                           \
    X(ROUTER_NORM_LM, "router_norm_lm", "", 0, INFINITY, LINE, NONE, false,                        \
      "of the gradient at a router without auxiliary losses")                                      \
    X(ROUTER_NORM_BALANCE, "router_norm_balance", "", 0, INFINITY, LINE, NONE, false,              \
      "of the gradient at a router of the auxiliary losses")

enum sy_series_kind {
#define X(id, name, unit, least, most, draw, each, rare, help) SY_SERIES_##id,
    SY_SERIES_MAP(X)
#undef X
        SY_SERIES_COUNT
};

struct sy_series_row {
    const char *name, *unit;
    double least, most;
    enum sy_series_draw draw;
    enum sy_series_each each;
    bool rare;
    const char *help;
};
/* The row of a kind, static; any thread. */
const struct sy_series_row *sy_series_row(enum sy_series_kind kind);
int sy_series_find(const char *name); /* or -1 */

#define SY_MIXTURE_NAME 24
struct sy_series_what {
    enum sy_series_kind kind;
    int layer;                     /* from 1; 0: of no layer */
    char mixture[SY_MIXTURE_NAME]; /* of the layer's mixtures; "": the first, or of none */
};
/* "layer 2", "layer 2 memory", "the mixture" (of no layer); of a layer that has a name (NULL or "":
 * none) "dec 1", "dec 1 memory". */
void sy_series_place(const struct sy_series_what *what, const char *name, char *out, size_t n);
/* Is an expert with this load dead, that is at or under `least`, 0 of a single step?  One that
 * someone disabled is not: it has no token because it was told so.  The trainer, the panel and the
 * alarm all ask here. */
static inline bool sy_expert_dead(double load, double least, bool disabled)
{
    return !disabled && load <= least;
}
/* Of one layer's one mixture? */
bool sy_series_same_place(const struct sy_series_what *a, const struct sy_series_what *b);
/* What a series of this name is where nothing says it: stores before version 4 had names alone. */
struct sy_series_what sy_series_before(const char *name, int width);

#endif
