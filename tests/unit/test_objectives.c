/* Objectives (switchyard/objective.h): T5's lengths; what was taken apart gives the text back, for
 * 1,000 texts, in both layouts; shares and means; rows are pure functions of the number of their
 * window; what cannot be done is refused with its values. */
#include "unit/tap.h"

#include "base/rng.h"
#include "switchyard/data.h"

#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EOT = 256, PAD, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, V = 361, S0 = V - 1 };
enum { TEXT = 40000, MOST = 1200, TEXTS = 1000 };

static struct sy_tokenizer *tok;
static struct sy_corpus *corpus;

/* Ids 0..255 from all bytes: no text spells a special token's name. */
static int make_corpus(struct sy_err *err)
{
    static char text[TEXT];
    const struct sy_rng rng = {7, SY_RNG_USER, 0};
    for (int i = 0; i < TEXT; i++)
        text[i] = (char)sy_rng_below(&rng, (uint64_t)i, 256);
    tok = sy_tokenizer_bytes_with(&(struct sy_special_tokens){.sentinels = 100, .fim = true}, err);
    corpus = tok ? sy_corpus_string(text, TEXT, &(struct sy_text_options){.tokenizer = tok}, err)
                 : NULL;
    return corpus ? 0 : -1;
}

static struct sy_objectives *make(const struct sy_objective_part *parts, int n)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_objectives *o = sy_objectives_new(parts, n, tok, &err);
    if (!o)
        tap_note("%s", err.msg);
    return o;
}

static struct sy_objective_part part(enum sy_objective id, double share)
{
    struct sy_objective_part p = {.objective = id, .share = share};
    for (int i = 0; i < SY_OBJECTIVE_OPTIONS; i++)
        p.option[i] = sy_objective_spec(id)->option[i].preset;
    return p;
}

/* ---- T5's lengths ---- */

static void lengths(void)
{
    static const int64_t want[][3] = {
        {34, 32, 8}, {70, 64, 14}, {141, 128, 29}, {284, 256, 58}, {568, 512, 114}};
    for (int i = 0; i < 5; i++) {
        struct sy_span_lengths n = sy_span_lengths(0.15, 3, want[i][1]);
        tap_ok(n.raw == want[i][0] && n.inputs == want[i][1] && n.targets == want[i][2],
               "%lld tokens of input: %lld, %lld, %lld", (long long)want[i][1], (long long)n.raw,
               (long long)n.inputs, (long long)n.targets);
    }
    tap_is_int(sy_span_lengths(0.9, 1000, 64).inputs, 64, "much noise: inputs are used up");
    tap_is_int(sy_span_lengths(0.15, 3, 1).raw, 0, "no window fits one token");
}

/* ---- rows ---- */

struct row {
    int64_t T, S;
    int32_t tokens[MOST], targets[MOST], documents[MOST], inputs[MOST], input_documents[MOST];
    float weights[MOST];
    int32_t prefix, objective;
    int32_t text[MOST]; /* of its window */
};

static struct sy_sampler sampler_of(const struct sy_objectives *o, int64_t T, int64_t S)
{
    return (struct sy_sampler){.corpus = corpus, .batch = 1, .context = T, .inputs = S, .seed = 5,
                               .objectives = o};
}

static int64_t window_of(const struct sy_sampler *s)
{
    return sy_objectives_window(s->objectives, s->context, s->inputs);
}

static void draw(const struct sy_sampler *s, uint64_t number, struct row *r)
{
    struct sy_place p = {.windows = number};
    memset(r, 0x55, sizeof *r);
    r->T = s->context;
    r->S = s->inputs;
    struct sy_batch b = {.at = {[SY_FIELD_TOKENS] = r->tokens,
                                [SY_FIELD_TARGETS] = r->targets,
                                [SY_FIELD_WEIGHTS] = r->weights,
                                [SY_FIELD_DOCUMENTS] = r->documents,
                                [SY_FIELD_INPUTS] = r->inputs,
                                [SY_FIELD_INPUT_DOCUMENTS] = r->input_documents,
                                [SY_FIELD_PREFIX] = &r->prefix,
                                [SY_FIELD_OBJECTIVES] = &r->objective},
                         .scale = 1};
    sy_sampler_batch(s, &p, 0, &b);
    sy_corpus_read(s->corpus, sy_sampler_start(s, &p, 0), window_of(s) + 1, r->text, NULL);
}

/* Tokens x0 .. xn of the output: those read, and the last one's target. */
static int64_t output_of(const struct row *r, int32_t *x)
{
    int64_t n = 0;
    while (n < r->T && r->documents[n] >= 0) {
        x[n] = r->tokens[n];
        n++;
    }
    if (n > 0 && r->targets[n - 1] >= 0)
        x[n] = r->targets[n - 1];
    return n + (n > 0 && r->targets[n - 1] >= 0);
}

static int64_t input_of(const struct row *r, int32_t *y)
{
    int64_t n = 0;
    for (; n < r->S && r->input_documents[n] >= 0; n++)
        y[n] = r->inputs[n];
    return n;
}

/* ---- spans ---- */

struct spans {
    int64_t raw, noise, spans, bad;
};

/* Kept parts from inputs, noise from targets, at the sentinels in their order; both end with
 * EOS. */
static void join(const int32_t *in, int64_t n, const int32_t *out, int64_t m, const int32_t *text,
                 struct spans *sum)
{
    int64_t i = 0, k = 0, at = 0;
    int32_t next = S0;
    sum->bad += n < 3 || in[0] >= 256; /* begins with what is kept */
    while (i < n && in[i] != EOT) {
        int64_t from = i;
        for (; i < n && in[i] < 256; i++)
            sum->bad += in[i] != text[at++];
        sum->bad += i == from || in[i] != next || k >= m || out[k] != next;
        i++;
        from = ++k;
        for (; k < m && out[k] < 256; k++)
            sum->bad += out[k] != text[at++];
        sum->bad += k == from;
        sum->noise += k - from;
        sum->spans++;
        next--;
    }
    sum->bad += i != n - 1 || k != m - 1 || out[k] != EOT;
    sum->raw += at;
}

static void spans_of_encoder(int64_t S)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_SPAN, 1)}, 1);
    struct sy_span_lengths n = sy_span_lengths(0.15, 3, S);
    struct sy_sampler s = sampler_of(o, n.targets, S);
    struct spans sum = {0};
    static struct row r;
    int32_t in[MOST], out[MOST];
    tap_is_int(window_of(&s), n.raw, "the window is T5's");
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        int64_t a = input_of(&r, in), b = 0;
        for (; b < r.T && r.targets[b] >= 0; b++)
            out[b] = r.targets[b];
        sum.bad += a != S || b != n.targets || r.tokens[0] != PAD ||
                   memcmp(r.tokens + 1, out, (size_t)(b - 1) * 4) != 0 || r.prefix != 0;
        join(in, a, out, b, r.text, &sum);
    }
    tap_is_int(sum.bad, 0, "%d texts: inputs of %lld and targets of %lld give the text back", TEXTS,
               (long long)S, (long long)n.targets);
    tap_is_int(sum.raw, TEXTS * n.raw, "all of it");
    double share = (double)sum.noise / (double)sum.raw;
    double mean = (double)sum.noise / (double)sum.spans;
    if (S >= 512) /* of short ones rounding makes another */
        tap_ok(fabs(share - 0.15) <= 0.002 && fabs(mean - 3) <= 0.05,
               "noise is %.4f, a span %.3f tokens", share, mean);
    sy_objectives_unref(o);
}

static void spans_of_one_stack(int64_t T, double density, double mean)
{
    struct sy_objective_part p = part(SY_OBJECTIVE_SPAN, 1);
    p.option[0] = density;
    p.option[1] = mean;
    struct sy_objectives *o = make(&p, 1);
    struct sy_sampler s = sampler_of(o, T, 0);
    struct spans sum = {0};
    static struct row r;
    int32_t x[MOST + 1];
    int64_t short_by = 0, wrong = 0;
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        int64_t n = output_of(&r, x);
        short_by = T + 1 - n > short_by ? T + 1 - n : short_by;
        for (int64_t k = 0; k < T; k++) {
            bool counts = k + 1 >= r.prefix && k + 1 < n;
            wrong += r.targets[k] != (counts ? x[k + 1] : -1) ||
                     r.weights[k] != (float)counts || r.documents[k] != (k < n ? 0 : -1);
        }
        join(x, r.prefix, x + r.prefix, n - r.prefix, r.text, &sum);
    }
    tap_is_int(sum.bad + wrong, 0,
               "%d texts in one row of %lld (%g, %g): the text, and targets alone count", TEXTS,
               (long long)T, density, mean);
    tap_ok(short_by <= 2, "a row is full but for %lld", (long long)short_by);
    sy_objectives_unref(o);
}

/* Compositions are uniform: of 4 kept tokens in 2 parts 1, 2 or 3 come first, each a third. */
static void compositions(void)
{
    struct sy_objective_part p = part(SY_OBJECTIVE_SPAN, 1);
    p.option[0] = 0.34;
    p.option[1] = 1;
    struct sy_objectives *o = make(&p, 1);
    struct sy_sampler s = sampler_of(o, 5, 7); /* 6 tokens: 2 noise in 2 spans, 4 kept */
    static struct row r;
    int64_t first[5] = {0};
    for (uint64_t i = 0; i < 30000; i++) {
        int64_t n = 0;
        draw(&s, i, &r);
        while (r.inputs[n] < 256)
            n++;
        first[n < 5 ? n : 4]++;
    }
    bool even = !first[0] && !first[4];
    for (int i = 1; i < 4; i++)
        even = even && llabs(first[i] - 10000) < 350;
    tap_ok(even, "compositions are equally likely: %d %d %d", (int)first[1], (int)first[2],
           (int)first[3]);
    sy_objectives_unref(o);
}

/* ---- prefix ---- */

static void prefixes(void)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_PREFIX, 1)}, 1);
    struct sy_sampler s = sampler_of(o, 40, 0);
    static struct row r;
    int32_t x[MOST + 1], y[MOST];
    int64_t bad = 0, seen[41] = {0}, places = 0;
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        bad += output_of(&r, x) != 41 || memcmp(x, r.text, 41 * 4) || r.prefix < 1 || r.prefix > 40;
        for (int k = 0; k < 40; k++)
            bad += r.targets[k] != (k + 1 >= r.prefix ? r.text[k + 1] : -1);
        places += !seen[r.prefix < 41 ? r.prefix : 0]++;
    }
    tap_is_int(bad, 0, "prefix: the text, of which what is behind the prefix counts");
    tap_is_int(places, 40, "every split comes");
    s = sampler_of(o, 30, 24);
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        int64_t n = input_of(&r, y), m = output_of(&r, x);
        bad += n + m - 3 != 23 || y[n - 1] != EOT || x[0] != PAD || x[m - 1] != EOT ||
               memcmp(y, r.text, (size_t)(n - 1) * 4) ||
               memcmp(x + 1, r.text + n - 1, (size_t)(m - 2) * 4);
    }
    tap_is_int(bad, 0, "prefix: an encoder reads the first part, the decoder writes the rest");
    sy_objectives_unref(o);
}

/* ---- fill in the middle ---- */

static int64_t find(const int32_t *x, int64_t n, int32_t id)
{
    int64_t i = 0;
    while (i < n && x[i] != id)
        i++;
    return i;
}

/* prefix, suffix and what is behind MID; -1: neither order, 0 PSM, 1 SPM. */
static int order_of(const int32_t *x, int64_t n, const int32_t *text)
{
    int64_t suf = find(x, n, FIM_SUFFIX), mid = find(x, n, FIM_MIDDLE), raw = n - 4;
    int64_t head = suf - 1, tail = mid - suf - 1, rest = n - 1 - mid - 1;
    bool fits = x[0] == FIM_PREFIX && mid < n && x[n - 1] == EOT && head >= 0 && tail >= 0 &&
                head + tail + rest == raw &&
                !memcmp(x + suf + 1, text + raw - tail, (size_t)tail * 4) &&
                !memcmp(x + 1, text, (size_t)head * 4) &&
                !memcmp(x + mid + 1, text + head, (size_t)rest * 4);
    return !fits ? -1 : head > 0 ? 0 : 1;
}

static void middles(double rate, double spm)
{
    struct sy_objective_part p = part(SY_OBJECTIVE_FIM, 1);
    p.option[0] = rate;
    p.option[1] = spm;
    struct sy_objectives *o = make(&p, 1);
    struct sy_sampler s = sampler_of(o, 50, 0);
    static struct row r;
    int32_t x[MOST + 1];
    int64_t bad = 0, cut = 0, first = 0, n = 4 * TEXTS;
    for (int64_t i = 0; i < n; i++) {
        draw(&s, (uint64_t)i, &r);
        bad += output_of(&r, x) != 51;
        for (int k = 0; k < 50; k++)
            bad += r.targets[k] != x[k + 1];
        if (x[0] != FIM_PREFIX) {
            bad += memcmp(x, r.text, 51 * 4) != 0;
            continue;
        }
        int order = order_of(x, 51, r.text);
        bad += order < 0;
        cut++;
        first += order == 1;
    }
    tap_is_int(bad, 0, "fim: parts in either order give the text back, and all counts");
    tap_ok(fabs((double)cut / (double)n - rate) < 0.02, "rate %g: %.3f", rate,
           (double)cut / (double)n);
    /* an empty prefix looks like SPM: one in 24 */
    if (cut)
        tap_ok(fabs((double)first / (double)cut - spm) < 0.05, "spm %g: %.3f", spm,
               (double)first / (double)cut);
    sy_objectives_unref(o);
}

/* ---- documents ---- */

/* 2,000 documents of 3 to 60 letters, each with an end-of-text. */
static struct sy_corpus *many_documents(void)
{
    struct sy_err err = SY_ERR_INIT;
    const struct sy_rng rng = {9, SY_RNG_USER, 0};
    char path[] = "objectives-XXXXXX.jsonl";
    int fd = mkstemps(path, 6);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    for (uint64_t i = 0; f && i < 2000; i++) {
        fputs("{\"text\": \"", f);
        for (uint64_t k = 3 + sy_rng_below(&rng, i, 58); k > 0; k--)
            fputc('a' + (int)sy_rng_below(&rng, i << 8 | k, 26), f);
        fputs("\"}\n", f);
    }
    const char *paths[] = {path};
    struct sy_corpus *c = NULL;
    if (f && !fclose(f))
        c = sy_corpus_text(paths, 1, &(struct sy_text_options){.tokenizer = tok}, &err);
    if (!c)
        tap_note("%s", err.msg);
    unlink(path);
    return c;
}

static struct sy_sampler sampler_of_many(struct sy_corpus *c, const struct sy_objectives *o)
{
    struct sy_sampler s = sampler_of(o, 60, 0);
    s.corpus = c;
    return s;
}

static int32_t document_at(const struct sy_sampler *s, uint64_t number, int64_t at)
{
    struct sy_place p = {.windows = number};
    return (int32_t)sy_corpus_document_at(s->corpus, sy_sampler_start(s, &p, 0) + at);
}

/* Tokens of a row that is cut, in the order of the text, with their places in x: n of them. */
static int64_t in_order(const int32_t *x, int64_t n, int64_t *place)
{
    int64_t pre = find(x, n, FIM_PREFIX), suf = find(x, n, FIM_SUFFIX), m = 0;
    int64_t mid = find(x, n, FIM_MIDDLE), end = mid + find(x + mid, n - mid, EOT);
    for (int64_t i = 0; i < pre; i++)
        place[m++] = i;
    for (int64_t i = pre + 1; i < suf; i++)
        place[m++] = i;
    for (int64_t i = mid + 1; i < end; i++)
        place[m++] = i;
    for (int64_t i = suf + 1; i < mid; i++)
        place[m++] = i;
    for (int64_t i = end; i < n; i++) /* the end-of-text is the document's own */
        place[m++] = i;
    return m;
}

/* PSM: one document is cut, the others stay; all tokens have the numbers of their documents. */
static void cut_documents(struct sy_corpus *c)
{
    struct sy_objective_part p = part(SY_OBJECTIVE_FIM, 1);
    p.option[0] = 1;
    p.option[1] = 0;
    struct sy_objectives *o = make(&p, 1);
    struct sy_sampler s = sampler_of_many(c, o);
    static struct row r;
    int64_t bad = 0, wrong = 0, several = 0, place[MOST];
    int32_t x[MOST + 1];
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        int64_t n = output_of(&r, x), m = in_order(x, n, place), at = 0;
        bad += n != 61;
        for (int64_t k = 0; k < m && place[k] < 60; k++) {
            bool added = x[place[k]] == EOT && r.text[at] != EOT; /* of a document that goes on */
            bad += !added && x[place[k]] != r.text[at];
            wrong += r.documents[place[k]] != document_at(&s, i, added ? at - 1 : at);
            at += !added;
        }
        for (int64_t k = 0; k < 60; k++)
            wrong += x[k] >= FIM_PREFIX && k > 0 && x[k - 1] < 256 && x[k] != FIM_PREFIX &&
                     r.documents[k] != r.documents[k - 1];
        several += r.documents[0] != r.documents[59];
    }
    tap_is_int(bad, 0, "fim: one document is cut, the text is as it was");
    tap_is_int(wrong, 0, "fim: numbers of documents");
    tap_ok(several > TEXTS / 2, "%d rows hold several documents", (int)several);
    sy_objectives_unref(o);
}

/* Kept tokens and noise, in the order of the text, have the numbers of their documents, a sentinel
 * that of its first token. */
static void spans_of_documents(struct sy_corpus *c)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_SPAN, 1)}, 1);
    struct sy_sampler s = sampler_of_many(c, o);
    static struct row r;
    int32_t x[MOST + 1];
    int64_t wrong = 0;
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        int64_t n = output_of(&r, x), k = r.prefix, at = 0;
        for (int64_t j = 0; j < r.prefix - 1; j++) {
            wrong += r.documents[j] != document_at(&s, i, at);
            if (x[j] <= EOT) {
                at++;
                continue;
            }
            wrong += k >= n || x[k] != x[j] || r.documents[k] != r.documents[j];
            for (k++; k < n - 1 && x[k] <= EOT; k++)
                wrong += r.documents[k] != document_at(&s, i, at++);
        }
    }
    tap_is_int(wrong, 0, "span: numbers of documents");
    sy_objectives_unref(o);
}

static void prefixes_of_documents(struct sy_corpus *c)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_PREFIX, 1)}, 1);
    struct sy_sampler s = sampler_of_many(c, o);
    static struct row r;
    int64_t wrong = 0;
    for (uint64_t i = 0; i < TEXTS; i++) {
        draw(&s, i, &r);
        for (int64_t k = 0; k < 60; k++)
            wrong += r.documents[k] != document_at(&s, i, k);
    }
    tap_is_int(wrong, 0, "prefix: numbers of documents");
    sy_objectives_unref(o);
}

static void documents(void)
{
    struct sy_corpus *c = many_documents();
    tap_ok(c != NULL, "a corpus of many documents");
    if (!c)
        return;
    cut_documents(c);
    spans_of_documents(c);
    prefixes_of_documents(c);
    sy_corpus_unref(c);
}

/* ---- mixtures ---- */

static void mixtures(void)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_FIM, 1),
                                                                part(SY_OBJECTIVE_NEXT, 2),
                                                                part(SY_OBJECTIVE_SPAN, 1)}, 3);
    struct sy_sampler s = sampler_of(o, 60, 0);
    static struct row r, again;
    int64_t n = 20000, count[SY_OBJECTIVE_COUNT] = {0}, bad = 0;
    tap_ok(sy_objectives_count(o) == 3 &&
               sy_objectives_part(o, 0).objective == SY_OBJECTIVE_NEXT &&
               sy_objectives_part(o, 0).share == 0.5,
           "parts by rising objective, their shares 1 together");
    tap_is_int(window_of(&s), 60, "windows are as long as the longest needs them");
    for (int64_t i = 0; i < n; i++) {
        draw(&s, (uint64_t)i, &r);
        count[r.objective & 3]++;
    }
    tap_ok(fabs((double)count[SY_OBJECTIVE_NEXT] / (double)n - 0.5) < 0.01 &&
               fabs((double)count[SY_OBJECTIVE_SPAN] / (double)n - 0.25) < 0.01 &&
               fabs((double)count[SY_OBJECTIVE_FIM] / (double)n - 0.25) < 0.01,
           "shares: %d %d %d of %d", (int)count[0], (int)count[1], (int)count[3], (int)n);
    for (uint64_t i = 0; i < 200; i++) { /* whatever was drawn before, and in what batch */
        struct sy_sampler wide = s;
        int32_t tokens[4 * 60], targets[4 * 60];
        struct sy_batch b = {.at = {[SY_FIELD_TOKENS] = tokens, [SY_FIELD_TARGETS] = targets}};
        wide.batch = 4;
        sy_sampler_batch(&wide, &(struct sy_place){.windows = i}, 2, &b);
        for (uint64_t k = 0; k < 4; k++) {
            draw(&s, i + 2 + k, &again);
            bad += memcmp(tokens + 60 * k, again.tokens, 240) ||
                   memcmp(targets + 60 * k, again.targets, 240);
        }
    }
    tap_is_int(bad, 0, "a row is a function of the number of its window");
    s.seed = 6;
    draw(&s, 7, &r);
    s.seed = 5;
    draw(&s, 7, &again);
    tap_ok(memcmp(r.tokens, again.tokens, 240) != 0, "and of the seed");
    sy_objectives_unref(o);
}

/* What is counted is what is filled; an evaluation draws the same windows whatever the seed. */
static void tallies(void)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_PREFIX, 1),
                                                                part(SY_OBJECTIVE_SPAN, 1)}, 2);
    int64_t bad = 0;
    static struct row r;
    for (int64_t S = 0; S <= 32; S += 32) {
        struct sy_sampler s = sampler_of(o, 25, S);
        for (uint64_t i = 0; i < 300; i++) {
            struct sy_tally t = sy_sampler_tally(&s, &(struct sy_place){.windows = i}, 0, 1);
            int64_t targets = 0, tokens = 0;
            draw(&s, i, &r);
            for (int k = 0; k < 25; k++) {
                targets += r.targets[k] >= 0;
                tokens += r.documents[k] >= 0;
            }
            for (int k = 0; k < S; k++)
                tokens += r.input_documents[k] >= 0;
            bad += t.targets != targets || t.tokens != tokens || t.weight != (double)targets;
        }
    }
    tap_is_int(bad, 0, "a row holds what its tally says");
    sy_objectives_unref(o);
}

/* ---- what is refused ---- */

static void refuse(const struct sy_objective_part *parts, int n, const struct sy_tokenizer *with,
                   const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_objectives *o = sy_objectives_new(parts, n, with, &err);
    tap_ok(!o && strstr(err.msg, what), "%s", err.msg);
    sy_objectives_unref(o);
}

static void refuse_lengths(const struct sy_objectives *o, int64_t T, int64_t S, const char *what)
{
    struct sy_err err = SY_ERR_INIT;
    int rc = sy_objectives_check(o, T, S, &err);
    tap_ok(rc && strstr(err.msg, what), "%s", err.msg);
}

static void refused(void)
{
    struct sy_err err = SY_ERR_INIT;
    struct sy_tokenizer *bare = sy_tokenizer_bytes(&err);
    struct sy_objective_part span = part(SY_OBJECTIVE_SPAN, 1), fim = part(SY_OBJECTIVE_FIM, 1),
                             next = part(SY_OBJECTIVE_NEXT, 1);
    refuse(&span, 1, bare, "no sentinels <extra_id_0>");
    refuse(&span, 1, NULL, "tokenizer.bytes{sentinels = 100}");
    refuse(&fim, 1, bare, "tokenizer.bytes{fim = true}");
    refuse((struct sy_objective_part[]){span, span}, 2, tok, "'span': it is named twice");
    struct sy_objectives *o = make(&span, 1), *f = make(&fim, 1);
    refuse_lengths(o, 3, 0, "no window of text fits a row of 3 tokens");
    refuse_lengths(o, 8, 2, "no window of text fits 2 tokens of input and a context of 8");
    refuse_lengths(o, 4096, 4096, "the tokenizer has 100 sentinels");
    refuse_lengths(f, 3, 0, "context is 3, must be at least 4");
    refuse_lengths(f, 64, 64, "'fim': the model reads the field 'inputs', which");
    refuse_lengths(NULL, 64, 64, "'next': the model reads the field 'inputs', which");
    sy_objectives_unref(o);
    sy_objectives_unref(f);
    span.option[0] = 0.95;
    refuse(&span, 1, tok, "'span': density is 0.95, must be from 0.01 to 0.9");
    next.share = 0;
    refuse(&next, 1, tok, "'next': its share is 0");
    sy_tokenizer_unref(bare);
}

/* ---- where texts are parted ---- */

/* Counts of places that are drawn evenly: none is five deviations off. */
static void even(const int64_t *count, int places, const char *what)
{
    int64_t all = 0, worst = 0;
    for (int i = 0; i < places; i++)
        all += count[i];
    const double fair = (double)all / places;
    for (int i = 0; i < places; i++)
        worst = llabs(count[i] - (int64_t)fair) > llabs(count[worst] - (int64_t)fair) ? i : worst;
    tap_ok(fabs((double)count[worst] - fair) < 5 * sqrt(fair), "%s: %d places of %.0f, %d is %d",
           what, places, fair, (int)worst, (int)count[worst]);
}

static void spread_of_splits(void)
{
    struct sy_objectives *o = make((struct sy_objective_part[]){part(SY_OBJECTIVE_PREFIX, 1)}, 1);
    static struct row r;
    int32_t y[MOST];
    int64_t one[40] = {0}, two[22] = {0};
    struct sy_sampler s = sampler_of(o, 40, 0), sides = sampler_of(o, 30, 24);
    for (uint64_t i = 0; i < 20 * TEXTS; i++) {
        draw(&s, i, &r);
        one[r.prefix - 1]++;
        draw(&sides, i, &r);
        two[input_of(&r, y) - 2]++; /* and the end-of-text; at least one token */
    }
    even(one, 40, "prefix: splits");
    even(two, 22, "prefix: splits between an encoder and a decoder");
    sy_objectives_unref(o);
}

/* Both cuts are uniform: of raw tokens a part of the three is s long with the chance
 * 2 (raw + 1 - s) / (raw + 1)^2, but for s = 0 and ties. */
static void spread_of_cuts(void)
{
    struct sy_objective_part p = part(SY_OBJECTIVE_FIM, 1);
    p.option[0] = 1;
    p.option[1] = 0;
    struct sy_objectives *o = make(&p, 1);
    struct sy_sampler s = sampler_of(o, 50, 0);
    static struct row r;
    int32_t x[MOST + 1];
    enum { RAW = 47, N = 20 * TEXTS };
    int64_t ends[2][RAW + 1] = {{0}}, both[RAW + 1] = {0};
    for (uint64_t i = 0; i < N; i++) {
        draw(&s, i, &r);
        int64_t n = output_of(&r, x), suf = find(x, n, FIM_SUFFIX), mid = find(x, n, FIM_MIDDLE);
        int64_t from = suf - 1, to = RAW - (mid - suf - 1);
        ends[0][from]++;
        ends[1][to]++;
    }
    for (int i = 0; i <= RAW; i++)
        both[i] = ends[0][i] + ends[1][i];
    even(both, RAW + 1, "fim: cuts");
    /* the first of two cuts is before the middle in three of four rows */
    int64_t before = 0;
    for (int i = 0; i <= RAW / 2; i++)
        before += ends[0][i];
    tap_ok(llabs(before - N * 3 / 4) < 5 * sqrt(N * 3.0 / 16), "fim: cuts know nothing of each "
           "other: %d of %d", (int)before, (int)N);
    sy_objectives_unref(o);
}

int main(void)
{
    struct sy_err err = SY_ERR_INIT;
    if (make_corpus(&err)) {
        tap_note("%s", err.msg);
        return 99;
    }
    lengths();
    spans_of_encoder(512);
    spans_of_encoder(64);
    spans_of_one_stack(256, 0.15, 3);
    spans_of_one_stack(100, 0.5, 8);
    compositions();
    prefixes();
    middles(0.5, 0.5);
    middles(1, 0);
    middles(1, 1);
    middles(0, 0.5);
    documents();
    mixtures();
    tallies();
    refused();
    spread_of_splits();
    spread_of_cuts();
    sy_corpus_unref(corpus);
    sy_tokenizer_unref(tok);
    return tap_done();
}
