/* A run's userdata, shared by run.c (what Lua asks), events.c (what the trainer tells) and
 * run_all.c (all of them).  Layer bind/run. */
#ifndef SY_BIND_RUN_INT_H
#define SY_BIND_RUN_INT_H

#include "bind/run/run.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAX_HOOKS 32

struct run {
    struct sy_trainer *trainer;
    struct run *next; /* of open_runs */
    struct run *next_rescued; /* rescue.c */
    bool rescued;
    pthread_mutex_t lock;
    int64_t every[MAX_HOOKS]; /* guarded by lock, with the next two */
    int nhooks;
    struct sy_store *store; /* borrowed; entries of the journal and events go there */
    lua_State *L;  /* main state, Lua thread only */
    bool in_hook;  /* Lua thread only */
    bool ending;   /* with the program, while it could have gone on; Lua thread only */
    bool told_unsaved; /* Lua thread only */
    char homeless[240]; /* why it has no directory, though it should; Lua thread only */
    int64_t hook_step;
    atomic_uint watched, seen; /* alarms (bits) that Lua acts on; those on at the last step */
    atomic_bool closing; /* no hook is called any more */
    atomic_bool renewing; /* its directory was deleted, and is to be made anew */
    /* owned; on the board from its start while it is open; NULL: not looked at */
    struct lsy_live_source *look;
    double flops_per_token; /* of the plan in use */
    /* steps are done again: nothing is announced, no hook is called, nothing is written down */
    atomic_bool repeating;
};

/* events.c: the trainer's callbacks (struct sy_train_config); ctx is the run. */
void lsy_event_step(void *ctx, const struct sy_status *s, bool evaluated);
void lsy_event_event(void *ctx, const struct sy_event *e);
void lsy_event_journal(void *ctx, const struct sy_journal_entry *e);
void lsy_event_change(void *ctx);
/* From a hook: rewind when it has returned; Lua's dispatch (run.lua) is called with "rewind". */
void lsy_run_rewind(void *run);

/* run_all.c: all that are open; Lua thread only. */
void lsy_runs_open(void);             /* let the host know them */
void lsy_runs_add(struct run *r);     /* borrowed, until: */
void lsy_runs_forget(struct run *r);
/* Stop it at the next border, with a last checkpoint when it has a directory, and wait for that.
 * The trainer may be waiting for us to call a hook: that call is dropped. */
void lsy_run_stop(struct run *r);
/* rescue.c: those that are saved when a fault ends the program, from its start to its end. */
void lsy_rescue_add(struct run *r);
void lsy_rescue_forget(struct run *r);
/* A script that ends now did not do what it was asked. */
void lsy_run_failed(void);
/* It has ended: what could not be saved of it is reported once, and the program's status is 1. */
void lsy_run_check_saved(struct run *r);

#endif
