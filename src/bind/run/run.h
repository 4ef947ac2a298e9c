/* Shared by train.c, run.c and checkpoint.c.  Layer bind/run. */
#ifndef SY_BIND_RUN_H
#define SY_BIND_RUN_H

#include "bind/core/handle.h"
#include "switchyard/train.h"

#define META_RUN "switchyard.trainer"
#define META_PARAMS "switchyard.params"
#define META_PLAN "switchyard.plan"

/* Parameters of the run at arg (which the caller holds), borrowed; NULL when it is no run. */
struct sy_params *lsy_run_params(lua_State *L, int arg);

/* The trainer of the run at arg; raises when it was closed. */
struct sy_trainer *lsy_check_trainer(lua_State *L, int arg);
/* Hold it, serving the host meanwhile: parked afterwards (sy_trainer_release ends it). */
void lsy_hold(lua_State *L, int arg);
/* Hold the run at 1, then return then(L), which releases it; a job yields meanwhile. */
int lsy_held(lua_State *L, lua_CFunction then);
/* series.c: [-0, +1, m] what a series is: {kind=, layer= (0: none), mixture=, width=} */
void lsy_push_series(lua_State *L, struct sy_series_what what, int width);
/* [-0, +1, m] an entry as a table */
void lsy_push_entry(lua_State *L, const struct sy_journal_entry *e);
/* Stores that write this trainer's metrics let go of it (store.c): before it is freed. */
void lsy_store_release(const struct sy_trainer *t);
/* Journal and events of the run (its userdata) go to this store from now on; NULL: to none.  The
 * store stays valid until then. */
struct sy_store;
void lsy_store_link(void *run, struct sy_store *store);
/* Something of a run is lost that should have been saved: one line, and the program's status is
 * 1. */
void lsy_run_housed(void *run); /* it has a directory now */
void lsy_unsaved(const char *name, const char *why);
/* Its directory was deleted: lua/run/directory.lua makes it anew, soon; any thread. */
void lsy_run_renew(void *run);
/* A mark on the charts of a run (a userdata); any thread, while a store is attached. */
void lsy_run_mark(void *run, int64_t step, const struct sy_event *e);
/* hyper.c: those of the options at arg, with the schedule and the rules; presets where there is
 * none.  [-0, +0, v] */
void lsy_read_hyper(lua_State *L, int arg, struct sy_hyper *h);
/* A hyper-parameter's value as Lua has it: true or false, a whole number, a number.  [-0, +1, -] */
void lsy_push_hyper(lua_State *L, enum sy_hyper_id id, double value);
/* Names of enum sy_live and enum sy_hyper_effect, as lua/core/enum.lua has them. */
const char *lsy_live_name(int i);
const char *lsy_effect_name(int i);

#endif
