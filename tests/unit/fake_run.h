/* Runs that were never trained, for the screens: the same numbers everywhere (no function of the C
 * library is in them). */
#ifndef SY_TESTS_FAKE_RUN_H
#define SY_TESTS_FAKE_RUN_H

#include "run/source.h"
#include "run/metrics.h"

struct fake_run {
    char name[65];
    int64_t steps, total;
    int layers, experts; /* 0: dense */
    int64_t spike, nan;  /* steps, or 0 */
    double capacity;     /* 0: dropless */
    bool early;          /* as before there was dropped.N: a layer's drop.N only */
    bool objectives;     /* two, with losses apart */
    bool taught;         /* by another model */
    bool traced;         /* a text of 60 tokens, every 100 steps */
    int sources;         /* of its data, at most 20; 0: they have one */
    bool stacks;         /* layers are of an encoder and a decoder */
    bool disabled;       /* what dies at step 800 was disabled then */
    bool varies;         /* the number of experts a token; and some are rerouted */
    bool looks;          /* at routers, at few steps */
    uint32_t seed;
    enum sy_run_state state;
    struct sy_mark marks[8];
    int nmarks;
    struct sy_metrics *metrics;
    struct sy_source *source; /* owned */
};

/* Fill in what is 0 (steps 1240 of 5000, 6 layers of 16 experts, "running") and make its rows. */
int fake_run_make(struct fake_run *f);
void fake_run_free(struct fake_run *f);
/* More rows. */
void fake_run_go_on(struct fake_run *f, int64_t steps);

#endif
