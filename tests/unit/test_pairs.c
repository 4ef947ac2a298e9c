/* Pairs of texts with each allocation failing in turn: reading tables, aligned files and
 * catalogues, training a tokenizer on them, packing them into rows.  Evaluations allocate nothing.
 * What they are like otherwise: tests/lua/pairs.lua. */
#include "base/mem.h"
#include "base/str.h"
#include "switchyard/pairs.h"
#include "unit/data_folder.h"
#include "unit/tap.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* A catalogue of one message beside its head. */
static void put_catalogue(void)
{
    static const char head[] = "Content-Type: text/plain; charset=ISO-8859-1\n";
    static const char message[] = "open the file", translation[] = "Datei \xf6" "ffnen";
    const uint32_t word[] = {0x950412de, 0, 2, 28, 44, 0, 60,
                             0, 60, sizeof message - 1, 61,
                             sizeof head - 1, 61 + sizeof message,
                             sizeof translation - 1, 61 + sizeof message + sizeof head};
    struct sy_str s = SY_STR_INIT;
    sy_str_add(&s, word, sizeof word);
    sy_str_add(&s, "", 1);
    sy_str_add(&s, message, sizeof message);
    sy_str_add(&s, head, sizeof head);
    sy_str_add(&s, translation, sizeof translation);
    mkdir(in_folder("de"), 0700);
    mkdir(in_folder("de/LC_MESSAGES"), 0700);
    put("de/LC_MESSAGES/x.mo", s.data, s.len);
    sy_str_free(&s);
}

static void put_help(void)
{
    mkdir(in_folder("help"), 0700);
    mkdir(in_folder("help/de"), 0700);
    mkdir(in_folder("help/de/text"), 0700);
    mkdir(in_folder("help/en-US"), 0700);
    mkdir(in_folder("help/en-US/text"), 0700);
    put_text("help/de/text/a.html", "<p id=\"par_id1\">Die Datei</p><h1 id=\"hd_id2\">Hilfe</h1>");
    put_text("help/en-US/text/a.html", "<h1 id=\"hd_id2\">Help</h1><p id=\"par_id1\">The file</p>");
}

enum source { TABLE, ALIGNED, CATALOGUE, SOURCES };
static const char *const names[] = {"a table", "aligned files", "a catalogue and help"};

static struct sy_corpus *read_pairs(enum source source, struct sy_err *err)
{
    static const char *const de = "de", *const en = "en";
    struct sy_pair_options o = {.val = source == CATALOGUE ? 0 : .3,
                                .vocab = source == TABLE ? 262 : 0, .tag = "<{from}>", .cut = true};
    char first[256], second[256];
    const char *const paths[] = {first, second};
    if (source == CATALOGUE)
        o.help = in_folder("help");
    snprintf(first, sizeof first, "%s",
             in_folder(source == TABLE ? "x.tsv" : source == ALIGNED ? "x.de" : ""));
    snprintf(second, sizeof second, "%s", in_folder("x.en"));
    if (source == CATALOGUE)
        return sy_corpus_catalogues(first, &de, 1, &en, 1, &o, err);
    return sy_corpus_pairs(paths, source == TABLE ? 1 : 2, NULL, NULL, &o, err);
}

/* Everything; 0, or the code of what failed.  hash: of what was read, with its languages' names. */
static enum sy_code work(enum source source, uint64_t *hash)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_packing packing;
    struct sy_corpus *c = read_pairs(source, &err);
    *hash = c ? sy_corpus_hash(c) : 0;
    if (c)
        sy_corpus_packing(c, SY_SPLIT_TRAIN, 16, 16, &packing, &err);
    sy_corpus_unref(c);
    return err.code;
}

static void fail_each(enum source source)
{
    size_t live = sy_mem_live();
    uint64_t before = sy_mem_count(), want, hash;
    enum sy_code code = work(source, &want);
    uint64_t n = sy_mem_count() - before;
    int failed = 0, wrong = code != SY_E_OK;
    for (uint64_t i = 1; i <= n; i++) {
        sy_mem_fail_at(i);
        code = work(source, &hash);
        sy_mem_fail_at(0);
        failed += code == SY_E_MEMORY;
        wrong += code != SY_E_MEMORY && (code != SY_E_OK || hash != want);
    }
    tap_ok(!wrong && failed > 15 && sy_mem_live() == live,
           "%s, with each of %d allocations failing: %d errors, %d wrong, nothing left",
           names[source], (int)n, failed, wrong);
}

static void evaluate(const struct sy_corpus *mix)
{
    const struct sy_sampler s = {.corpus = mix, .split = SY_SPLIT_VAL, .batch = 2, .context = 4};
    int32_t tokens[8];
    struct sy_batch b = {.at = {[SY_FIELD_TOKENS] = tokens}, .scale = 1};
    if (!tap_ok(!sy_sampler_check(&s, NULL), "it has validation rows"))
        return;
    uint64_t before = sy_mem_count();
    int64_t n = sy_eval_windows(&s, 1);
    sy_eval_tally(&s, 0, n);
    for (int64_t i = 0; i < n; i += 2)
        sy_eval_batch(&s, i, n, &b);
    tap_ok(n > 4 && sy_mem_count() == before,
           "an evaluation of %d windows without any of the pairs': %d allocations", (int)n,
           (int)(sy_mem_count() - before));
}

/* A mix whose pairs have no validation row: nothing is made for its evaluations, row by row. */
static void test_evaluation(void)
{
    static const char text[] = "some text that is long enough for more than one window of it";
    struct sy_err err = SY_ERR_INIT;
    struct sy_corpus *pairs = read_pairs(ALIGNED, &err), *one = NULL, *mix = NULL;
    struct sy_text_options o = {.val = .5};
    if (pairs) {
        o.tokenizer = sy_corpus_tokenizer(pairs);
        one = sy_corpus_string(text, sizeof text - 1, &o, &err);
    }
    const struct sy_mix_part parts[] = {{one, 1, "text"}, {pairs, 1, "pairs"}};
    if (one)
        mix = sy_corpus_mix(parts, 2, &err);
    if (tap_ok(mix != NULL, "a mix %s", err.msg))
        evaluate(mix);
    sy_corpus_unref(mix);
    sy_corpus_unref(one);
    sy_corpus_unref(pairs);
}

int main(void)
{
    if (!make_folder())
        return 1;
    put_text("x.tsv", "de\tDatei\tfile\nfr\tfichier\tfile\nde\tHaus und Hof\thouse and yard\n");
    put_text("x.de", "Datei\nHaus und Hof\nnoch eine Zeile, die zu lang ist\n");
    put_text("x.en", "file\nhouse and yard\none more line that is too long\n");
    put_catalogue();
    put_help();
    for (int s = 0; s < SOURCES; s++)
        fail_each((enum source)s);
    test_evaluation();
    remove_folder();
    return tap_done();
}
