/* state.json field by field: each comes back as it was written; each that is missing is refused, or
 * means what held when there was none; one that no row knows is refused by name in every object. */
#include "unit/tap.h"

#include "base/json.h"
#include "base/str.h"
#include "train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As sy__state_print writes it: no two values are alike that could be taken for one another. */
static struct sy_str whole(void)
{
    struct sy_str s = SY_STR_INIT;
    sy_str_puts(
        &s,
        "{\"format\":3,\"exact\":1,\"run\":\"r\",\"optimizer\":\"muon\",\"bf16\":\"emulated\","
        "\"config\":\"{}\","
        "\"step\":11,\"tokens\":1200,\"loss\":2.5,\"lr\":0.25,\"grad_norm\":1.5,\"val_loss\":3.5,"
        "\"val_step\":10,"
        "\"data\":\"00000000000000d1\",\"tokenizer\":\"00000000000000d2\",\"program\":"
        "\"00000000000000d3\","
        "\"fingerprint\":2,\"hash\":\"00000000000000d4\",\"sampling\":1,"
        "\"place\":{\"windows\":21,\"first\":20,\"epochs\":3,\"token\":4},\"skipped\":5,"
        "\"window\":{\"loss\":[2.25],\"norm\":[0.75],\"in_a_row\":6,\"spikes\":7,\"quiet_until\":8}"
        ","
        "\"hyper\":{\"schedule\":\"wsd\",\"rules\":2,\"planned\":1234,\"from\":9,\"share\":0.125");
    for (int i = 0; i < SY_HYPER_COUNT; i++) { /* never the preset */
        const struct sy_hyper_spec *spec = sy_hyper_spec((enum sy_hyper_id)i);
        sy_str_printf(&s, ",\"%s\":", spec->name);
        sy_json_number(&s, spec->preset == spec->most ? spec->least : spec->most);
    }
    sy_str_puts(
        &s,
        "},\"frozen\":[],\"journal\":[{\"step\":10,\"kind\":\"set\",\"key\":\"lr\",\"value\":0.25,"
        "\"expert\":-1,\"n\":0,\"text\":\"lr = 0.25\",\"who\":\"a notebook\"}]}\n");
    return s;
}

static const struct {
    const char *name, *begin; /* of its object */
} objects[] = {{"top", "{"},
               {"place", "\"place\":{"},
               {"window", "\"window\":{"},
               {"hyper", "\"hyper\":{"},
               {"journal", "\"journal\":[{"}};
enum { OBJECTS = sizeof objects / sizeof *objects };

static const char *begin_of(const char *json, int object)
{
    return strstr(json, objects[object].begin) + strlen(objects[object].begin);
}

/* Behind the value that begins at s. */
static const char *end_of(const char *s)
{
    int depth = 0;
    for (bool quoted = false; depth || quoted || !strchr(",}]", *s); s++) {
        quoted ^= *s == '"';
        depth += quoted ? 0 : (*s == '{' || *s == '[') - (*s == '}' || *s == ']');
    }
    return s;
}

/* The i-th `"key":value` of an object; false: there are fewer. */
static bool field_at(const char *json, int object, int i, const char **from, const char **to,
                     char key[32])
{
    const char *s = begin_of(json, object);
    for (; i >= 0; i--) {
        const char *colon = strchr(s, ':');
        *from = s;
        *to = end_of(colon + 1);
        snprintf(key, 32, "%.*s", (int)(colon - s - 2), s + 1);
        if (i && **to != ',')
            return false;
        s = *to + 1;
    }
    return true;
}

/* With other bytes from a to b; NULL and err: it is refused. */
static struct sy_image *parse(const char *json, const char *a, const char *b, const char *with,
                              struct sy_err *err)
{
    struct sy_str s = SY_STR_INIT;
    sy_str_printf(&s, "%.*s%s%s", (int)(a - json), json, with, b);
    *err = (struct sy_err)SY_ERR_INIT;
    struct sy_image *image = sy__state_parse(s.data, s.len, err);
    sy_str_free(&s);
    return image;
}

/* Whether what a checkpoint without this field means is what held then; false as well: it must be
 * there. */
static bool means(const struct sy_image *m, int object, const char *key)
{
    int id = object == 3 ? sy_hyper_find(key) : -1;
    if (id >= 0)
        return m->hyper.v[id] == sy_hyper_spec((enum sy_hyper_id)id)->preset;
    return object == 0
               ? (!strcmp(key, "optimizer") && !strcmp(m->optimizer, "adamw")) ||
                     (!strcmp(key, "bf16") && !*m->bf16) ||
                     (!strcmp(key, "config") && !m->config) ||
                     (!strcmp(key, "fingerprint") && m->fingerprint == 1) ||
                     (!strcmp(key, "hash") && m->hash == 0) || (!strcmp(key, "place") && m->by_step)
           : object == 2 ? !strcmp(key, "spikes") && m->window.spikes == 0
           : object == 3 ? !strcmp(key, "rules") && m->hyper.rules == 1
                         : !strcmp(key, "who") && !*m->journal[0].who;
}

/* Of fields that may be missing: so many of each object. */
static void test_missing(const char *json)
{
    const int want[OBJECTS] = {6, 0, 1, SY_HYPER_COUNT + 1, 1};
    for (int o = 0; o < OBJECTS; o++) {
        const char *a, *b;
        char key[32], quoted[40];
        int optional = 0, wrong = 0;
        struct sy_err err;
        for (int i = 0; field_at(json, o, i, &a, &b, key); i++) {
            bool last = *b != ',';
            struct sy_image *m = parse(json, a - (i && last), b + !last, "", &err);
            snprintf(quoted, sizeof quoted, "'%s'", key);
            bool good =
                m ? means(m, o, key) : err.code == SY_E_FORMAT && strstr(err.msg, quoted) != NULL;
            optional += m != NULL;
            wrong += !good;
            if (!good)
                tap_note("%s without %s: %s", objects[o].name, key,
                         m ? "it means something else" : err.msg);
            sy_image_free(m);
        }
        tap_ok(!wrong, "%s: what is missing is refused by name, or means what held then",
               objects[o].name);
        tap_is_int(optional, want[o], "%s: so many may be missing", objects[o].name);
    }
}

static void test_unknown(const char *json)
{
    for (int o = 0; o < OBJECTS; o++) {
        struct sy_err err;
        const char *at = begin_of(json, o);
        struct sy_image *m = parse(json, at, at, "\"newer\":1,", &err);
        tap_ok(!m && err.code == SY_E_UNSUPPORTED &&
                   strstr(err.msg, "'newer': a newer program made it"),
               "%s: %s", objects[o].name, err.msg);
        sy_image_free(m);
    }
}

static void test_types(const char *json)
{
    for (int o = 0; o < OBJECTS; o++) {
        const char *a, *b;
        char key[32];
        int wrong = 0;
        struct sy_err err;
        for (int i = 0; field_at(json, o, i, &a, &b, key); i++) {
            struct sy_image *m = parse(json, strchr(a, ':') + 1, b, "true", &err);
            wrong += m || err.code != SY_E_FORMAT || !strstr(err.msg, key);
            if (m || !strstr(err.msg, key))
                tap_note("%s: %s = true: %s", objects[o].name, key, m ? "taken" : err.msg);
            sy_image_free(m);
        }
        tap_ok(!wrong, "%s: a value of another type is refused by name", objects[o].name);
    }
}

#define ENTRY_11                                                                                   \
    "{\"step\":11,\"kind\":\"note\",\"key\":\"\",\"value\":0,\"expert\":-1,\"n\":0,\"text\":\"\"}"

static void test_ranges(const char *json)
{
    static const struct {
        const char *stands, *with, *says; /* what stands there, what is refused, and by what */
    } bad[] = {
        {"\"format\":3", "\"format\":0", "'format' is 0, must be from 1"},
        {"\"format\":3", "\"format\":4", "its format is 4"},
        {"\"exact\":1", "\"exact\":-1", "'exact' is -1"},
        {"\"step\":11", "\"step\":-1", "'step' is -1"},
        {"\"fingerprint\":2", "\"fingerprint\":99", "'fingerprint' is 99"},
        {"\"sampling\":1", "\"sampling\":3", "'sampling' is 3"},
        {"\"first\":20", "\"first\":22", "'first' is 22, of 21 windows"},
        {"\"token\":4", "\"token\":-4", "'token' is -4"},
        {"\"skipped\":5", "\"skipped\":12", "'skipped' is 12"},
        {"\"norm\":[0.75]", "\"norm\":[]", "lists differ in length"},
        {"\"loss\":[2.25]", "\"loss\":[null]", "'loss' of the window holds no numbers"},
        {"\"in_a_row\":6", "\"in_a_row\":-6", "'in_a_row' is -6"},
        {"\"rules\":2", "\"rules\":3", "made by rules 3"},
        {"\"share\":0.125", "\"share\":1.5", "'share' is 1.5"},
        {"\"wsd\"", "\"wds\"", "unknown schedule 'wds'"},
        {"\"beta1\":0.999999", "\"beta1\":1.5", "beta1 is 1.5"},
        {"\"batch\":1e+06", "\"batch\":2.5", "batch is 2.5"},
        {"\"momentum\":0.999999", "\"momentum\":null", "momentum is nan"},
        {"\"planned\":1234", "\"planned\":-1", "'planned' is -1"},
        {"\"step\":10", "\"step\":12", "'step' of the journal is 12"},
        {"\"journal\":[", "\"journal\":[" ENTRY_11 ",",
         "'step' of the journal is 10 behind an entry of step 11"},
        {"\"kind\":\"set\"", "\"kind\":\"sat\"", "kind 'sat'"},
        {"\"expert\":-1", "\"expert\":-2", "'expert' is -2"},
        {"\"frozen\":[]", "\"frozen\":[[\"w\"]]", "'frozen'"},
        {"\"data\":\"00000000000000d1\"", "\"data\":\"00000000000000D1\"", "'data' is no hash"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct sy_err err;
        const char *at = strstr(json, bad[i].stands);
        struct sy_image *m =
            at ? parse(json, at, at + strlen(bad[i].stands), bad[i].with, &err) : NULL;
        tap_ok(at && !m && err.code != SY_E_OK && strstr(err.msg, bad[i].says), "%s: %s",
               bad[i].with, at ? err.msg : "not found");
        sy_image_free(m);
    }
}

/* But for the hash, which is of parameters. */
static void test_back(const char *json)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_str s = SY_STR_INIT;
    struct sy_image *m = sy__state_parse(json, strlen(json), &err);
    if (!tap_ok(m != NULL, "all fields are read %s", err.msg))
        exit(1);
    sy__state_print(&s, m);
    char *of = strstr(s.data, "\"hash\":");
    memcpy(of, strstr(json, "\"hash\":"), strlen("\"hash\":\"00000000000000d4\""));
    tap_is_str(s.data, json, "and written as they were");
    m->by_step = true;
    m->bf16[0] = 0;
    sy_str_free(&s);
    sy__state_print(&s, m);
    tap_ok(!strstr(s.data, "\"place\""), "a run that counts no windows has no place");
    tap_ok(!strstr(s.data, "\"bf16\""), "one without bf16 products says nothing of them");
    sy_str_free(&s);
    sy_image_free(m);
}

int main(void)
{
    struct sy_str json = whole();
    test_back(json.data);
    test_missing(json.data);
    test_unknown(json.data);
    test_types(json.data);
    test_ranges(json.data);
    sy_str_free(&json);
    return tap_done();
}
