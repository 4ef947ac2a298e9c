/* What a run tells of itself: events, alarms, and the marks that these and the journal's entries
 * have on charts.
 *
 *  1. Names of events and ids of alarms are in stores: they are never changed.  What a sentence
 *     says is for people; nobody looks into it.
 */
#ifndef SWITCHYARD_EVENTS_H
#define SWITCHYARD_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How it stands on a chart (src/tui/marks.c). */
enum sy_mark_kind {
    SY_MARK_SET, /* a hyper-parameter, an input, an expert: someone intervened */
    SY_MARK_NOTE,
    SY_MARK_CHECKPOINT,
    SY_MARK_SPIKE,
    SY_MARK_ALARM,
    SY_MARK_FAILED,
    SY_MARK_RESUME
};

/* X(ID, name, mark, in the journal as well).  Those from RULES to REPLAYING are told and not
 * stored: what a run goes on by, and how far a repetition is.  The last four are states of a run,
 * as it comes to them. */
#define SY_EVENT_MAP(X)                                                                            \
    X(NOTE, "note", NOTE, false)                                                                   \
    X(ALARM, "alarm", ALARM, false) /* its mark: that of the alarm */                              \
    X(CHECKPOINT, "checkpoint", CHECKPOINT, false)                                                 \
    X(SKIP, "skip", SPIKE, true)                                                                   \
    X(HOOK, "hook", ALARM, true)                                                                   \
    X(RESUME, "resume", RESUME, false)                                                             \
    X(REWIND, "rewind", RESUME, false)                                                             \
    X(FORK, "fork", SET, false)                                                                    \
    X(STORE, "store", SET, false)                                                                  \
    X(ALARMS, "alarms", NOTE, false) /* which act on it; data: JSON (lua/lab/alarms.lua) */        \
    X(RULES, "rules", SET, true)                                                                   \
    X(SCHEDULE, "schedule", SET, true)                                                             \
    X(SAMPLE, "sample", SET, false)                                                                \
    X(REPEATING, "repeating", SET, false)                                                          \
    X(REWINDING, "rewinding", SET, false)                                                          \
    X(FORKING, "forking", SET, false)                                                              \
    X(REPLAYING, "replaying", SET, false)                                                          \
    X(PAUSED, "paused", SET, false)                                                                \
    X(DONE, "done", SET, false)                                                                    \
    X(STOPPED, "stopped", SET, false)                                                              \
    X(FAILED, "failed", FAILED, true)

enum sy_event_kind {
#define X(id, name, mark, journal) SY_EVENT_##id,
    SY_EVENT_MAP(X)
#undef X
        SY_EVENT_COUNT
};

/* X(ID, name, span, mark, condition); span: steps that the condition is made of, before which it
 * was not so (what an act rewinds over).  An alarm is announced once an episode: again when its
 * condition held no longer meanwhile, and (but for DISK) 1,000 steps have gone since.  The
 * conditions: src/train/alarm.c. */
#define SY_ALARM_MAP(X)                                                                            \
    X(LOSS, "loss spike", 1, SPIKE,                                                                \
      "the loss is skip_sigma (or 30) deviations, and a 20th of that in nats, over what is usual") \
    X(NORM, "gradient spike", 1, SPIKE,                                                            \
      "the gradient norm is as many deviations over what is usual, and 1,000 times clip")          \
    X(RULE, "spike rule", 4, SPIKE,                                                                \
      "after 3 skipped spikes in a row the next is learned from, and what is usual is measured "   \
      "anew")                                                                                      \
    X(NONFINITE, "not finite", 1, SPIKE,                                                           \
      "a loss or a gradient is NaN or infinite, and the step is skipped")                          \
    X(DIVERGE, "divergence", 32, ALARM,                                                            \
      "for 32 steps the smoothed loss is 1 nat and half of what was learned over its best")        \
    X(DEAD, "dead experts", 128, ALARM,                                                            \
      "enabled experts get less than 1% of a fair share over 128 steps")                           \
    X(COLLAPSE, "router collapse", 128, ALARM,                                                     \
      "as many experts as a token uses get over 90% over 128 steps")                               \
    X(DATA, "data exhausted", 0, ALARM,                                                            \
      "by sampling epoch or sequential all text was seen four times")                              \
    X(SPEED, "throughput", 0, ALARM, "for a minute less than 40% of the usual tokens a second")    \
    X(DISK, "checkpoint", 0, ALARM, "a checkpoint could not be saved")                             \
    X(EVAL, "evaluation", 0, ALARM, "an evaluation failed")                                        \
    X(RECORD, "record", 0, ALARM,                                                                  \
      "the run's directory cannot be made, or run.sqlite not be written")                          \
    X(REWIND, "rewind", 0, ALARM, "auto_rewind could not rewind the run, and is off")              \
    X(OVERFLOW, "overflow", 128, ALARM,                                                            \
      "a mixture's capacity leaves out over 25% of the assignments over 128 steps; ends under 15%")\
    X(PLATEAU, "plateau", 1000, ALARM,                                                             \
      "the loss smoothed over some 100 steps has not fallen by 0.2% in the last quarter of all "   \
      "steps, nor in 1,000")                                                                       \
    X(GRADIENT, "no router gradient", 32, ALARM,                                                   \
      "for 32 steps the gradient norm at a router that is not frozen is under a millionth of that "\
      "of all parameters")

enum sy_alarm {
#define X(id, name, span, mark, condition) SY_ALARM_##id,
    SY_ALARM_MAP(X)
#undef X
        SY_ALARM_COUNT
};
const char *sy_alarm_id(enum sy_alarm alarm); /* "LOSS": what stores have */
/* For people, borrowed for ever: the alarm's name ("loss spike") and its condition as a sentence
 * without a full stop. */
const char *sy_alarm_name(enum sy_alarm alarm);
const char *sy_alarm_condition(enum sy_alarm alarm);
int sy_alarm_span(enum sy_alarm alarm); /* steps that its condition is made of */
int sy_alarm_find(const char *id); /* or -1 */

/* Why a step stood out or was left out: the numbers of series "skipped", which are in stores and
 * never changed.  X(ID, name) */
#define SY_SKIP_MAP(X)                                                                             \
    X(NONE, "")                                                                                    \
    X(LOSS, "loss spike")                                                                          \
    X(NORM, "gradient spike")                                                                      \
    X(NONFINITE, "not finite")                                                                     \
    X(LISTED, "left out") /* the journal said so before */

enum sy_skip {
#define X(id, name) SY_SKIP_##id,
    SY_SKIP_MAP(X)
#undef X
        SY_SKIP_COUNT
};
/* Borrowed for ever; of a number that is none of these, "not known". */
const char *sy_skip_name(enum sy_skip why);

struct sy_event {
    enum sy_event_kind kind;
    enum sy_alarm alarm; /* of kind ALARM, and the step that it is of */
    int64_t step;
    const char *text; /* for people; of an alarm without its name and step */
};
#define SY_EVENT_LINE 1200 /* bytes that any has room in */
/* The line for people, and what stores have: of an alarm "alarm: step N: NAME: TEXT". */
void sy_event_line(const struct sy_event *e, char *out, size_t n);
const char *sy_event_name(enum sy_event_kind kind); /* "note": what stores have */
int sy_event_find(const char *name); /* or -1 */
bool sy_event_in_journal(enum sy_event_kind kind); /* an entry of the journal says the same */
enum sy_mark_kind sy_event_mark(const struct sy_event *e); /* of an alarm, the alarm's own */

/* Marks of what a store has: a journal's entry by its kind; an event by its name and its data, the
 * id of an alarm.  What is not known is drawn as an intervention.  Events of alarms without an id
 * are of programs that wrote none: it is read from their sentence, "alarm: step N: NAME: ...". */
enum sy_mark_kind sy_stored_entry_mark(const char *kind);
enum sy_mark_kind sy_stored_event_mark(const char *kind, const char *alarm, const char *text);
/* Which alarm (enum sy_alarm) an event of kind "alarm" is; -1: none that is known. */
int sy_stored_alarm(const char *id, const char *text);

#endif
