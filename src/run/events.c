/* See switchyard/events.h. */
#include "switchyard/events.h"

#include "base/find.h"

#include "switchyard/journal.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum sy_mark_kind mark;
    bool journal;
} events[] = {
#define X(id, name, mark, journal) {name, SY_MARK_##mark, journal},
    SY_EVENT_MAP(X)
#undef X
};

static const struct {
    const char *id, *name, *condition;
    enum sy_mark_kind mark;
    int span;
} alarms[] = {
#define X(id, name, span, mark, condition) {#id, name, condition, SY_MARK_##mark, span},
    SY_ALARM_MAP(X)
#undef X
};

static const char *const skips[] = {
#define X(id, name) name,
    SY_SKIP_MAP(X)
#undef X
};

const char *sy_skip_name(enum sy_skip why)
{
    return (unsigned)why < SY_SKIP_COUNT ? skips[why] : "not known";
}

const char *sy_alarm_id(enum sy_alarm alarm) { return alarms[alarm].id; }
const char *sy_alarm_name(enum sy_alarm alarm) { return alarms[alarm].name; }
const char *sy_alarm_condition(enum sy_alarm alarm) { return alarms[alarm].condition; }
int sy_alarm_span(enum sy_alarm alarm) { return alarms[alarm].span; }

const char *sy_event_name(enum sy_event_kind kind) { return events[kind].name; }
bool sy_event_in_journal(enum sy_event_kind kind) { return events[kind].journal; }

void sy_event_line(const struct sy_event *e, char *out, size_t n)
{
    if (e->kind == SY_EVENT_ALARM)
        snprintf(out, n, "alarm: step %lld: %s: %s", (long long)e->step, sy_alarm_name(e->alarm),
                 e->text);
    else
        snprintf(out, n, "%s", e->text);
}

int sy_alarm_find(const char *id)
{
    return SY_FIND_NAME(alarms, id);
}

int sy_event_find(const char *name)
{
    return SY_FIND_NAME(events, name);
}

enum sy_mark_kind sy_event_mark(const struct sy_event *e)
{
    return e->kind == SY_EVENT_ALARM ? alarms[e->alarm].mark : events[e->kind].mark;
}

enum sy_mark_kind sy_stored_entry_mark(const char *kind)
{
    int i = sy_entry_find(kind);
    return i < 0 ? SY_MARK_SET : sy_entry_row((enum sy_entry_kind)i)->mark;
}

/* The alarm that the sentence of an older program names; -1: none. */
static int alarm_told(const char *text)
{
    int step = 0;
    if (sscanf(text, "alarm: step %*d: %n", &step) < 0 || !step)
        return -1;
    int i = SY_ALARM_COUNT;
    while (--i >= 0) {
        size_t n = strlen(alarms[i].name);
        if (!strncmp(text + step, alarms[i].name, n) && text[step + (int)n] == ':')
            break;
    }
    return i;
}

int sy_stored_alarm(const char *id, const char *text)
{
    return *id ? sy_alarm_find(id) : alarm_told(text);
}

enum sy_mark_kind sy_stored_event_mark(const char *kind, const char *alarm, const char *text)
{
    int i = sy_event_find(kind);
    if (i < 0)
        return SY_MARK_SET;
    int which = i == SY_EVENT_ALARM ? sy_stored_alarm(alarm, text) : -1;
    return which < 0 ? events[i].mark : alarms[which].mark;
}
