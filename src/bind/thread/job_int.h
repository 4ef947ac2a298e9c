/* Jobs as chunk.c makes and ends them.  Layer bind/thread, inside only. */
#ifndef SY_BIND_JOB_INT_H
#define SY_BIND_JOB_INT_H

#include "bind/core/error.h"
#include "bind/core/registry.h"
#include "bind/thread/job.h"

#include "switchyard/journal.h"

struct lsy_job {
    struct lsy_job *next;
    lua_State *co;      /* anchored in the registry under the job's address */
    int number;         /* 0: the prompt still waits for it */
    enum { SY_JOB_READY, SY_JOB_WAITING, SY_JOB_RUNNING, SY_JOB_ENDED } state;
    int nargs;          /* of the first resume */
    int nresults;       /* on top of co, once it has ended */
    enum lsy_outcome {
        LSY_JOB_FINE,
        LSY_JOB_FAILED,     /* the error is on top of co instead of results */
        LSY_JOB_INTERRUPTED /* by Ctrl-C or kill; likewise */
    } outcome;          /* of one that has ended */
    bool killed;        /* it is to end */
    bool hide;          /* its values are not printed */
    bool script;        /* from a file: errors with a traceback */
    char who[SY_WHO];   /* acts in it, for journals; while others run it is kept here */
    unsigned seen;      /* changes that it has looked at */
    double began, resumed, until; /* sy_now(); until: wake by itself; HUGE_VAL: lsy_wake does */
    char what[112];     /* what it waits for */
    bool works;         /* it only lets others go first */
    char text[96];      /* the first line of its code */
    char line[512];     /* what io.write has begun */
    size_t nline;
    void (*ended)(lua_State *L, struct lsy_job *j); /* has a number: tell of its end */
};

/* A new one from the function and nargs arguments on top of the stack.  Freed by lsy_job_free.
 * [-(nargs+1), +0, m] */
struct lsy_job *lsy_job_new(lua_State *L, int nargs, const char *text, size_t n);
void lsy_job_free(lua_State *L, struct lsy_job *j);
/* Give it a number: from now on the scheduler has it, and frees it. */
void lsy_job_enlist(struct lsy_job *j, void (*ended)(lua_State *L, struct lsy_job *j));
/* Run it until it has ended (true), or has waited longer than the grace period and may go on as a
 * job (false). */
bool lsy_job_run(lua_State *L, struct lsy_job *j);

/* Run what is due.  Returns the seconds until something is due by itself (0: now; HUGE_VAL:
 * never). */
double lsy_jobs_serve(lua_State *L);
struct lsy_job *lsy_job_now(void);   /* the one that runs, or NULL */
struct lsy_job *lsy_jobs_list(void); /* those with numbers, by `next`; some may have ended */
/* True when the job that runs is to end; the interrupt is under way then. */
bool lsy_job_killed(void);
/* End the job that runs, if it has a number.  Lua thread, in the handler of sy_host_urge's
 * signal. */
void lsy_job_urged(void);
/* job_output.c: of a job, or of none (NULL). */
const char *lsy_job_tag_of(const struct lsy_job *j);
void lsy_job_print_of(const struct lsy_job *j, const char *text);
void lsy_job_write_of(struct lsy_job *j, const char *s, size_t n);
/* "[job 3] ", or "" when what runs is not a job that the prompt has left. */
const char *lsy_job_tag(void);
/* Print text, each line behind the tag. */
void lsy_job_print(const char *text);
void lsy_job_flush(struct lsy_job *j); /* what it has written of a line */
/* Bytes for standard output, by whole lines behind the tag; false: there is none, write them
 * yourself. */
bool lsy_job_write(const char *s, size_t n);
const char *lsy_job_state(const struct lsy_job *j); /* "waiting" or "working" */

#endif
