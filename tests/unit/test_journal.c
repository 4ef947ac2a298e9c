/* Kinds of journal entries and their bytes: what a store of before has is read as it was written,
 * anything damaged is refused, a kind of a newer program by name. */
#include "unit/tap.h"

#include "base/mem.h"
#include "base/str.h"
#include "switchyard/journal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float values[] = {1, -2.5f};
/* expert 2 (from 0), value 0.5, "input", "mask.1", values */
static const unsigned char golden[] = {
    2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f, 5, 0, 0, 0, 'i', 'n', 'p', 'u', 't',
    6, 0, 0, 0, 'm', 'a', 's', 'k', '.', '1', 8, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0};

static void test_kinds(void)
{
    static const char *const effect[] = {
        "set",  "schedule", "input", "freeze", "unfreeze", "config", "reset", "clone",
        "swap", "merge",    "force", "forbid", "mix",      "skip",   "rules", "router"};
    int with = 0;
    for (int i = 0; i < SY_ENTRY_COUNT; i++) {
        tap_is_int(sy_entry_find(sy_entry_row((enum sy_entry_kind)i)->name), i, "%s is found",
                   sy_entry_row((enum sy_entry_kind)i)->name);
        with += sy_entry_has_effect((enum sy_entry_kind)i);
    }
    for (size_t i = 0; i < sizeof effect / sizeof *effect; i++)
        tap_ok(sy_entry_has_effect((enum sy_entry_kind)sy_entry_find(effect[i])),
               "%s has an effect", effect[i]);
    tap_is_int(with, sizeof effect / sizeof *effect, "and no other has");
    /* What is learned is another from there on: the spike rule looks back no further. */
    static const char *const disturbs[] = {"set",    "schedule", "input",  "freeze", "unfreeze",
                                           "config", "reset",    "clone",  "merge",  "force",
                                           "forbid", "mix",      "resume", "router"};
    with = 0;
    for (int i = 0; i < SY_ENTRY_COUNT; i++)
        with += sy_entry_row((enum sy_entry_kind)i)->disturbs;
    for (size_t i = 0; i < sizeof disturbs / sizeof *disturbs; i++)
        tap_ok(sy_entry_row((enum sy_entry_kind)sy_entry_find(disturbs[i]))->disturbs,
               "%s disturbs", disturbs[i]);
    tap_is_int(with, sizeof disturbs / sizeof *disturbs, "and no other does");
    tap_is_int(sy_entry_find("teleport"), -1, "another kind is not found");
}

static void test_bytes(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    struct sy_journal_entry e = {.kind = SY_ENTRY_INPUT,
                                 .key = "mask.1",
                                 .value = 0.5,
                                 .expert = 2,
                                 .n = 2,
                                 .values = values},
                            back;
    sy_entry_pack(&s, &e);
    tap_ok(s.len == sizeof golden && !memcmp(s.data, golden, s.len),
           "bytes are those of every version");
    tap_ok(!sy_entry_unpack("input", "a text", golden, sizeof golden, &back, &err) &&
               back.kind == SY_ENTRY_INPUT && back.expert == 2 && back.value == 0.5 &&
               !strcmp(back.key, "mask.1") && !strcmp(back.text, "a text") && back.n == 2 &&
               !memcmp(back.values, values, sizeof values),
           "and back %s", err.msg);
    sy_entry_free(&back);
    sy_str_free(&s);
    tap_ok(!sy_entry_unpack("note", "hello", NULL, 0, &back, &err) && back.expert == -1 &&
               !strcmp(back.text, "hello"),
           "a note has no bytes");
}

static void test_damaged(void)
{
    size_t live = sy_mem_live();
    int refused = 0, n = (int)sizeof golden;
    for (int i = 1; i < n; i++) {
        struct sy_err err = SY_ERR_INIT;
        struct sy_journal_entry e;
        refused +=
            sy_entry_unpack("input", "", golden, (size_t)i, &e, &err) && err.code == SY_E_FORMAT;
        sy_entry_free(&e);
    }
    tap_is_int(refused, n - 1, "every cut is refused");
    static const struct {
        const char *what;
        int at, byte, longer; /* at: -1: none is changed */
    } damage[] = {
        {"a byte behind the values", -1, 0, 1},   {"four bytes behind them", -1, 0, 4},
        {"an expert under -1", 7, 0x80, 0},       {"a NUL in the key", 31, 0, 0},
        {"values that are no floats", 35, 7, -1}, {"a key that is too long", 26, 0xff, 0}};
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        unsigned char bytes[sizeof golden + 4] = {0};
        struct sy_err bad = SY_ERR_INIT;
        struct sy_journal_entry got;
        memcpy(bytes, golden, sizeof golden);
        if (damage[i].at >= 0)
            bytes[damage[i].at] = (unsigned char)damage[i].byte;
        int rc = sy_entry_unpack("input", "", bytes, (size_t)(n + damage[i].longer), &got, &bad);
        tap_ok(rc && bad.code == SY_E_FORMAT, "%s: %s", damage[i].what, bad.msg);
        sy_entry_free(&got);
    }
    struct sy_err err = SY_ERR_INIT;
    struct sy_journal_entry e;
    tap_ok(sy_entry_unpack("skip", "", golden, sizeof golden, &e, &err) && err.code == SY_E_FORMAT,
           "another kind's bytes: %s", err.msg);
    err.code = SY_E_OK;
    tap_ok(sy_entry_unpack("teleport", "x", golden, sizeof golden, &e, &err) &&
               err.code == SY_E_UNSUPPORTED && strstr(err.msg, "'teleport'"),
           "%s", err.msg);
    sy_mem_fail_at(1);
    err.code = SY_E_OK;
    tap_ok(sy_entry_unpack("input", "", golden, sizeof golden, &e, &err) && err.code == SY_E_MEMORY,
           "no memory");
    sy_mem_fail_at(0);
    tap_ok(sy_mem_live() == live, "nothing stays behind");
}

/* Entries as earlier programs wrote them. */
static void test_before(void)
{
    struct sy_journal_entry none = {
        .kind = SY_ENTRY_CONFIG, .key = "capacity", .text = "capacity = nil"};
    struct sy_journal_entry some = {.kind = SY_ENTRY_CONFIG, .key = "capacity", .value = 1.25};
    struct sy_journal_entry data = {
        .kind = SY_ENTRY_RESUME,
        .text = "the data (a.txt) changed: hash 1, was 2; the kernels changed"};
    struct sy_journal_entry other = {.kind = SY_ENTRY_RESUME,
                                     .text = "the tokenizer of the data changed: hash 1, was 2"};
    sy_entry_renew(&none);
    sy_entry_renew(&some);
    sy_entry_renew(&data);
    sy_entry_renew(&other);
    tap_ok(isnan(none.value) && some.value > 1, "a capacity of nil was 0");
    tap_ok(!strcmp(data.key, "data") && !*other.key, "what was not as before had no key");
}

int main(void)
{
    test_kinds();
    test_bytes();
    test_damaged();
    test_before();
    return tap_done();
}
