/* Kinds of journal entries, and their bytes.  See switchyard/journal.h. */
#include "switchyard/journal.h"

#include "base/find.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct sy_entry_row rows[] = {
#define X(id, name, replay, disturbs, mark, fields)                                                \
    {name, SY_REPLAY_##replay, disturbs, SY_MARK_##mark, fields},
    SY_ENTRY_MAP(X)
#undef X
};

const struct sy_entry_row *sy_entry_row(enum sy_entry_kind kind) { return &rows[kind]; }

int sy_entry_find(const char *name)
{
    return SY_FIND_NAME(rows, name);
}

bool sy_entry_has_effect(enum sy_entry_kind kind)
{
    return rows[kind].replay == SY_REPLAY_TRAINER || rows[kind].replay == SY_REPLAY_HOST;
}

/* ---- who acts ---- */

static _Thread_local char acting[SY_WHO];

void sy_act_as(const char *who) { snprintf(acting, sizeof acting, "%s", who); }
const char *sy_acting(void) { return acting; }

/* ---- bytes ---- */

static void put_part(struct sy_str *out, const void *bytes, size_t n)
{
    uint32_t length = (uint32_t)n;
    sy_str_add(out, &length, sizeof length);
    if (n)
        sy_str_add(out, bytes, n);
}

void sy_entry_pack(struct sy_str *out, const struct sy_journal_entry *e)
{
    const char *kind = rows[e->kind].name;
    sy_str_add(out, &e->expert, sizeof e->expert);
    sy_str_add(out, &e->value, sizeof e->value);
    put_part(out, kind, strlen(kind));
    put_part(out, e->key, strlen(e->key));
    put_part(out, e->values, (size_t)e->n * sizeof(float));
}

struct bytes { /* what is left of them */
    const char *at;
    size_t n;
};

static bool take_bytes(struct bytes *b, void *to, size_t n)
{
    if (b->n < n)
        return false;
    memcpy(to, b->at, n);
    b->at += n;
    b->n -= n;
    return true;
}

static bool take_part(struct bytes *b, const char **part, size_t *n)
{
    uint32_t length;
    if (!take_bytes(b, &length, sizeof length) || b->n < length)
        return false;
    *part = b->at;
    *n = length;
    b->at += length;
    b->n -= length;
    return true;
}

static int take_values(struct sy_journal_entry *e, const char *bytes, size_t n, struct sy_err *err)
{
    float *values = n ? sy_alloc(n) : NULL;
    if (n && !values)
        return sy_err_set(err, SY_E_MEMORY, "journal: out of memory");
    if (n)
        memcpy(values, bytes, n);
    e->values = values;
    e->n = (int64_t)(n / sizeof(float));
    return 0;
}

static int take_all(struct sy_journal_entry *e, struct bytes b, struct sy_err *err)
{
    const char *kind, *key, *values, *name = rows[e->kind].name;
    size_t nkind, nkey, nvalues;
    if (!take_bytes(&b, &e->expert, sizeof e->expert) ||
        !take_bytes(&b, &e->value, sizeof e->value) ||
        !take_part(&b, &kind, &nkind) || !take_part(&b, &key, &nkey) ||
        !take_part(&b, &values, &nvalues) || b.n || nvalues % sizeof(float) || e->expert < -1 ||
        nkind != strlen(name) || memcmp(kind, name, nkind) != 0 || nkey >= sizeof e->key ||
        memchr(key, 0, nkey))
        return sy_err_set(err, SY_E_FORMAT, "journal: an entry of kind '%s' is damaged", name);
    memcpy(e->key, key, nkey);
    return take_values(e, values, nvalues, err);
}

int sy_entry_unpack(const char *kind, const char *text, const void *data, size_t bytes,
                    struct sy_journal_entry *out, struct sy_err *err)
{
    int id = sy_entry_find(kind);
    *out = (struct sy_journal_entry){.expert = -1};
    if (id < 0)
        return sy_err_set(err, SY_E_UNSUPPORTED,
                          "journal: an entry of kind '%.40s', which this program does not know",
                          kind);
    out->kind = (enum sy_entry_kind)id;
    snprintf(out->text, sizeof out->text, "%s", text);
    if (bytes && take_all(out, (struct bytes){data, bytes}, err))
        return -1;
    sy_entry_renew(out);
    return 0;
}

void sy_entry_free(struct sy_journal_entry *e)
{
    union { const float *shown; float *owned; } u = {e->values};
    sy_free(u.owned);
    e->values = NULL;
    e->n = 0;
}

void sy_entry_renew(struct sy_journal_entry *e)
{
    /* A capacity of nil was 0, which it cannot be. */
    if (e->kind == SY_ENTRY_CONFIG && !strcmp(e->key, "capacity") && !(e->value > 0))
        e->value = (double)NAN;
    /* What was resumed with other data had it in its sentence alone: "the data changed: ...". */
    if (e->kind == SY_ENTRY_RESUME && !*e->key && !strncmp(e->text, "the data", 8) &&
        strstr(e->text, "changed"))
        snprintf(e->key, sizeof e->key, "data");
}
