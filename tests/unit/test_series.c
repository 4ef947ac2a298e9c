/* Kinds of series: names are in stores and may not change; what a row says decides what is stored
 * and how it is drawn; series of stores from before kinds are told by their names. */
#include "unit/tap.h"

#include "switchyard/series.h"

#include <stdio.h>
#include <string.h>

#define NO_LIMIT (double)INFINITY

static const struct {
    const char *name, *unit;
    enum sy_series_draw draw;
    enum sy_series_each each;
    bool rare;
    double least, most;
} kinds[] = {{"value", "", SY_DRAW_LINE, SY_EACH_NONE, false, -NO_LIMIT, NO_LIMIT},
             {"loss", "nats", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"val_loss", "nats", SY_DRAW_POINTS, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"rate", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"norm", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"router_norm", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"expert_norm", "", SY_DRAW_LINE, SY_EACH_EXPERT, true, 0, NO_LIMIT},
             {"speed", "tokens/s", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"seconds", "s", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"tokens", "tokens", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"skipped", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 4},
             {"load", "of a fair share", SY_DRAW_HEAT, SY_EACH_EXPERT, false, 0, NO_LIMIT},
             {"entropy", "nats", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"gate", "share", SY_DRAW_HEAT, SY_EACH_EXPERT, true, 0, 1},
             {"gate_entropy", "nats", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"confidence", "share", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 1},
             {"bias", "", SY_DRAW_LINE, SY_EACH_NONE, false, -NO_LIMIT, NO_LIMIT},
             {"drop", "share", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 1},
             {"dropped", "share", SY_DRAW_HEAT, SY_EACH_EXPERT, true, 0, 1},
             {"balance", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"z", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"part_loss", "nats", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"part_val_loss", "nats", SY_DRAW_POINTS, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"source_loss", "nats", SY_DRAW_LINE, SY_EACH_SOURCE, false, 0, NO_LIMIT},
             {"source_val_loss", "nats", SY_DRAW_POINTS, SY_EACH_SOURCE, false, 0, NO_LIMIT},
             {"source_load", "of a fair share", SY_DRAW_HEAT, SY_EACH_SOURCE_EXPERT, true, 0,
              NO_LIMIT},
             {"rerouted", "share", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 1},
             {"experts_per_token", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"distill_loss", "nats", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"trace", "expert", SY_DRAW_POINTS, SY_EACH_TOKEN, false, 0, 2048},
             {"disabled", "", SY_DRAW_HEAT, SY_EACH_EXPERT, false, 0, 1},
             {"importance", "of a fair share", SY_DRAW_HEAT, SY_EACH_EXPERT, true, 0, NO_LIMIT},
             {"bias_mean", "", SY_DRAW_LINE, SY_EACH_NONE, false, -NO_LIMIT, NO_LIMIT},
             {"margin", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"close", "share", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 1},
             {"bf16_changed", "share", SY_DRAW_LINE, SY_EACH_NONE, false, 0, 1},
             {"logsumexp", "", SY_DRAW_LINE, SY_EACH_NONE, false, -NO_LIMIT, NO_LIMIT},
             {"router_norm_lm", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT},
             {"router_norm_balance", "", SY_DRAW_LINE, SY_EACH_NONE, false, 0, NO_LIMIT}};

static void test_kinds(void)
{
    tap_is_int(sizeof kinds / sizeof *kinds, SY_SERIES_COUNT, "every kind is here");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        int id = sy_series_find(kinds[i].name);
        const struct sy_series_row *row =
            sy_series_row(id < 0 ? SY_SERIES_VALUE : (enum sy_series_kind)id);
        tap_ok(id >= 0 && !strcmp(row->name, kinds[i].name), "%s is there", kinds[i].name);
        tap_is_str(row->unit, kinds[i].unit, "... its unit");
        tap_ok(row->draw == kinds[i].draw && row->each == kinds[i].each &&
                   row->rare == kinds[i].rare && row->least == kinds[i].least &&
                   row->most == kinds[i].most,
               "... how it is drawn, of what it is, how often it is stored, its range");
    }
    tap_is_int(sy_series_find("lod"), -1, "another is not");
    /* rare are those of E values that nobody follows from step to step */
    for (int i = 0; i < SY_SERIES_COUNT; i++) {
        const struct sy_series_row *row = sy_series_row((enum sy_series_kind)i);
        tap_ok(!row->rare || row->each, "%s: what is rare is of each expert", row->name);
    }
}

/* By name alone, as stores before version 4 had them. */
static void test_before(void)
{
    static const struct {
        const char *name;
        int width;
        enum sy_series_kind kind;
        int layer;
    } list[] = {{"loss", 1, SY_SERIES_LOSS, 0},
                {"val_loss", 1, SY_SERIES_VAL_LOSS, 0},
                {"lr", 1, SY_SERIES_RATE, 0},
                {"tok_s", 1, SY_SERIES_SPEED, 0},
                {"time.data", 1, SY_SERIES_SECONDS, 0},
                {"time.compute", 1, SY_SERIES_SECONDS, 0},
                {"time.optimizer", 1, SY_SERIES_SECONDS, 0},
                {"tokens", 1, SY_SERIES_TOKENS, 0},
                {"skipped", 1, SY_SERIES_SKIPPED, 0},
                {"grad_norm", 1, SY_SERIES_NORM, 0},
                {"grad_norm.embed_tokens", 1, SY_SERIES_NORM, 0},
                {"grad_norm.3", 1, SY_SERIES_NORM, 3},
                {"grad_norm.router.3", 1, SY_SERIES_ROUTER_NORM, 3},
                {"grad_norm.experts.3", 8, SY_SERIES_EXPERT_NORM, 3},
                {"load.12", 8, SY_SERIES_LOAD, 12},
                {"entropy.1", 1, SY_SERIES_ENTROPY, 1},
                {"gate.1", 8, SY_SERIES_GATE, 1},
                {"gate_entropy.1", 1, SY_SERIES_GATE_ENTROPY, 1},
                {"confidence.1", 1, SY_SERIES_CONFIDENCE, 1},
                {"bias.1", 1, SY_SERIES_BIAS, 1},
                {"drop.1", 1, SY_SERIES_DROP, 1},
                {"dropped.1", 8, SY_SERIES_DROPPED, 1},
                {"balance.1", 1, SY_SERIES_BALANCE, 1},
                {"z.1", 1, SY_SERIES_Z, 1},
                /* not the trainer's */
                {"load", 8, SY_SERIES_VALUE, 0},
                {"loss.1", 1, SY_SERIES_VALUE, 1},
                {"load.x", 1, SY_SERIES_VALUE, 0},
                {"load.1234567", 1, SY_SERIES_VALUE, 0},
                {"loads.1", 8, SY_SERIES_VALUE, 1},
                {"entropy.1", 8, SY_SERIES_VALUE, 1}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct sy_series_what what = sy_series_before(list[i].name, list[i].width);
        tap_ok(what.kind == list[i].kind && what.layer == list[i].layer && !*what.mixture,
               "%s of %d: %s of layer %d", list[i].name, list[i].width,
               sy_series_row(what.kind)->name, what.layer);
    }
}

static void test_places(void)
{
    struct sy_series_what none = {.kind = SY_SERIES_LOAD}, two = {.layer = 2},
                          other = {.layer = 2, .mixture = "memory"}, three = {.layer = 3};
    const struct sy_series_what *const list[] = {&none, &two, &other, &three};
    static const char *const texts[] = {"the mixture", "layer 2", "layer 2 memory", "layer 3"};
    for (int i = 0; i < 4; i++) {
        char text[64];
        sy_series_place(list[i], NULL, text, sizeof text);
        tap_is_str(text, texts[i], "a place as text");
        int same = 0;
        for (int k = 0; k < 4; k++)
            same += sy_series_same_place(list[i], list[k]);
        tap_is_int(same, 1, "one place is another than all others");
    }
}

int main(void)
{
    test_kinds();
    test_before();
    test_places();
    return tap_done();
}
