/* Marks of what a store has: an alarm by its id, and by its sentence where a store has no ids. */
#include "unit/tap.h"

#include "switchyard/events.h"

#include <stdio.h>

/* As they are in stores. */
static const char *const alarms[][2] = {{"LOSS", "loss spike"},
                                        {"NORM", "gradient spike"},
                                        {"RULE", "spike rule"},
                                        {"NONFINITE", "not finite"},
                                        {"DIVERGE", "divergence"},
                                        {"DEAD", "dead experts"},
                                        {"COLLAPSE", "router collapse"},
                                        {"DATA", "data exhausted"},
                                        {"SPEED", "throughput"},
                                        {"DISK", "checkpoint"},
                                        {"EVAL", "evaluation"},
                                        {"RECORD", "record"},
                                        {"REWIND", "rewind"},
                                        {"OVERFLOW", "overflow"},
                                        {"PLATEAU", "plateau"},
                                        {"GRADIENT", "no router gradient"}};

static void test_alarms(void)
{
    tap_is_int(sizeof alarms / sizeof *alarms, SY_ALARM_COUNT, "every alarm is here");
    for (int i = 0; i < SY_ALARM_COUNT; i++) {
        char text[128];
        enum sy_mark_kind want = i <= SY_ALARM_NONFINITE ? SY_MARK_SPIKE : SY_MARK_ALARM;
        snprintf(text, sizeof text, "alarm: step 12345: %s: throughput: a loss spike",
                 alarms[i][1]);
        tap_is_int(sy_stored_alarm("", text), i, "before: %s", text);
        tap_is_int(sy_stored_alarm(alarms[i][0], "x"), i, "now: %s", alarms[i][0]);
        tap_is_int(sy_stored_event_mark("alarm", "", text), want, "its mark");
        tap_is_int(sy_stored_event_mark("alarm", alarms[i][0], "x"), want, "its mark now");
    }
    tap_is_int(sy_stored_alarm("", "alarm: step 7: loss spikes: x"), -1, "another's name");
    tap_is_int(sy_stored_alarm("", "alarm: a loss spike: x"), -1, "no step");
    tap_is_int(sy_stored_alarm("", ""), -1, "nothing");
    tap_is_int(sy_stored_alarm("TIDE", "alarm: step 7: loss spike: x"), -1, "of a newer program");
    tap_is_int(sy_stored_event_mark("alarm", "TIDE", ""), SY_MARK_ALARM, "drawn as an alarm");
    tap_is_int(sy_stored_event_mark("tide", "", ""), SY_MARK_SET,
               "another event is an intervention");
}

int main(void)
{
    test_alarms();
    return tap_done();
}
