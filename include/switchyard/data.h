/* Corpora (token ids with their documents) and the sampler that cuts batches out of them.
 *
 *  1. A corpus never changes after it was made, and is counted: any number of runs share one.
 *  2. A batch is a pure function of (corpus, seed, place, row): the place, how many windows were
 *     drawn before, is all the state there is, and any number of threads draws the same windows.
 *  3. Every token belongs to one document; document numbers count from 0 in file order.
 *  4. Tokens 0..train-1 are for training, the rest for validation. */
#ifndef SWITCHYARD_DATA_H
#define SWITCHYARD_DATA_H

#include "switchyard/batch.h"
#include "switchyard/err.h"
#include "switchyard/objective.h"
#include "switchyard/progress.h"
#include "switchyard/reading.h"
#include "switchyard/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>

struct sy_corpus;

struct sy_text_options {
    struct sy_tokenizer *tokenizer; /* another count is taken; NULL: bytes */
    double val;                     /* share for validation, 0 <= val < 1 */
    const char *const *val_paths;   /* validation is of these instead, when there are any */
    int val_count;
    struct sy_read_options read;
    const struct sy_progress *progress;
};

/* Read text.  A path is a regular file, a folder (recursive, names in byte order, hidden files left
 * out) or a glob pattern.  Names do not care about case, and may end in .gz or .zst; what is packed
 * so is recognised by its content, too.  A file that is reached twice is read once.
 *
 * JSON (.jsonl, .ndjson, .json) gives the string `field` of each line, of each element of an array,
 * or of one object; a line or element that is a string is a document itself, unless a field was
 * asked for.  NaN and Infinity are read; a field that stands twice, is missing or is no string is a
 * bad item.  All else is text, one document a file, a byte-order mark at its start left out.  A
 * file with a zero byte, with more than one control character in 32 bytes, or of a known binary
 * format is no text: refused when it was named, left out and counted when a folder or glob has it.
 * The folder of a model is refused.
 * Between two documents stands the tokenizer's end-of-text, or a newline where it has none and the
 * document does not end in one; it belongs to the document before it.
 *
 * Validation: the last `val` of the tokens, as nanoGPT takes them: train = floor(n * (1 - val)).
 * If a document starts near that place (validation stays within half and one and a half of what
 * was asked for), the border moves to the nearest such start, so that documents stay whole.  With
 * val_paths the border is where the first of their documents begins; no file may be on both sides.
 *
 * Shared: count 1.  Errors: NOTFOUND, IO, FORMAT (empty, corrupt, binary, or truncated file; a bad
 * item of JSON; a file that unpacks to too much), RANGE (val, a field without JSON, a file on both
 * sides), MEMORY, CANCELLED; each names the file, and the line of JSON. */
struct sy_corpus *sy_corpus_text(const char *const *paths, int count,
                                 const struct sy_text_options *options, struct sy_err *err);
/* One document from memory, for texts typed at the prompt. */
struct sy_corpus *sy_corpus_string(const char *text, size_t n,
                                   const struct sy_text_options *options, struct sy_err *err);

struct sy_synthetic_options {
    int domains;    /* 1..4096 */
    int64_t tokens; /* in all, 1..2^40 */
    int states;     /* symbols of each domain, 2..4096 (order 2: 2..256); 0: 32 */
    int branch;     /* successors of each context, 1..states; 0: 4 */
    int order;      /* 1 or 2: how many tokens the next one depends on; 0: 1 */
    int document;   /* tokens of a document; 0: 1024 */
    bool shared;    /* all domains write with the same ids */
    double val;
    uint64_t seed;
};

/* A language of `domains` sparse Markov chains.  Domain d writes with the `states` ids from
 * d*states on, V = domains*states, or shared: with those from 0 on, V = states; each document is of
 * one domain drawn uniformly.  Whoever knows the chains and the domain needs sy_corpus_entropy nats
 * a token, and none can do better.  Errors: RANGE,
 * MEMORY. */
struct sy_corpus *sy_corpus_synthetic(const struct sy_synthetic_options *options,
                                      struct sy_err *err);

enum sy_shard_format { SY_SHARD_AUTO, SY_SHARD_U16, SY_SHARD_U32, SY_SHARD_I32, SY_SHARD_I64 };

struct sy_shard_options {
    int32_t vocab; /* every id is checked against it; required for bare ids, which do not say; 0
                      elsewhere: the largest id + 1 */
    double val;
    const char *const *val_paths; /* as in sy_text_options */
    int val_count;
    const char *weights; /* an .npy file of f32, one a token of all files in their order (those for
                          * validation last): what the token's loss weighs; NULL: all alike */
    enum sy_shard_format format; /* not AUTO: every file is bare ids of this width */
    const struct sy_progress *progress;
};

/* Token files of other programs: .npy arrays of whole numbers (one dimension; or two, a document a
 * row), llm.c (.bin with header), Megatron (.idx beside .bin), each told by its content; nanoGPT
 * (bare u16 ids) by the name .bin, when nothing says that it is something else.  Other files are
 * refused when they were named, and left out and counted when a folder or glob has them.  Paths as
 * in sy_corpus_text; one document a file, but Megatron's documents are kept.  Errors: as above;
 * FORMAT for any size, offset or id that does not fit. */
struct sy_corpus *sy_corpus_shards(const char *const *paths, int count,
                                   const struct sy_shard_options *options, struct sy_err *err);

/* One count more (returns c), and with unref one less; the last one frees it.  NULL is fine.  Any
 * thread. */
struct sy_corpus *sy_corpus_ref(struct sy_corpus *c);
void sy_corpus_unref(struct sy_corpus *c);

int64_t sy_corpus_tokens(const struct sy_corpus *c); /* training and validation together */
int64_t sy_corpus_train(const struct sy_corpus *c);  /* the first so many are for training */
int32_t sy_corpus_vocab(const struct sy_corpus *c);  /* V: ids are below it */
/* Hash of the text's bytes (uncompressed, in order) or, for shards and synthetic text, of the ids:
 * equal hashes are equal data, wherever the files lie.  With val_paths the border counts, too. */
uint64_t sy_corpus_hash(const struct sy_corpus *c);
/* What was read as what, borrowed: "6 files as JSON lines, field 'text'; 2 as text"; NULL for text
 * that is of no file.  *plain: one text file, nothing worth saying. */
const char *sy_corpus_reading(const struct sy_corpus *c, bool *plain);
/* Borrowed, NULL for synthetic text and shards. */
struct sy_tokenizer *sy_corpus_tokenizer(const struct sy_corpus *c);
/* Copy ids first..first+n-1.  Errors: RANGE. */
int sy_corpus_read(const struct sy_corpus *c, int64_t first, int64_t n, int32_t *ids,
                   struct sy_err *err);

/* A mix: each row of a batch is drawn from one of its parts, by their shares and the number of the
 * row, and each part keeps its own place.  Parts have one tokenizer and no mix among them.  Tokens
 * and documents are numbered through all parts.  An evaluation takes windows of all parts in turn,
 * whatever their shares.  Shared: count 1; another count of each part is taken.  Errors: RANGE (the
 * tokenizers differ, shares, how many), NAME (two of one name), UNSUPPORTED, MEMORY. */
#define SY_MIX_MOST 32
struct sy_mix_part {
    struct sy_corpus *corpus;
    double share; /* 0 or more, of whatever sum */
    const char *name;
};
/* Of n parts. */
struct sy_corpus *sy_corpus_mix(const struct sy_mix_part *parts, int n, struct sy_err *err);
int sy_corpus_mix_parts(const struct sy_corpus *c);           /* how many; 0: it is no mix */
double sy_corpus_mix_share(const struct sy_corpus *c, int i); /* of part i, from 0, of 1 */
const struct sy_corpus *sy_corpus_mix_part(const struct sy_corpus *c, int i); /* borrowed */
int32_t sy_corpus_mix_source(const struct sy_corpus *c, int i); /* its first source in the mix */
/* Shares of sum 1.  Errors: RANGE. */
int sy_mix_shares(const double *given, int n, double *shares, struct sy_err *err);

/* Names of the sources that tokens are of (languages of pairs), 0 for a corpus of one; and the name
 * of one, from 0: borrowed, NULL outside. */
int32_t sy_corpus_sources(const struct sy_corpus *c);
const char *sy_corpus_source(const struct sy_corpus *c, int32_t number);

struct sy_document {
    const char *source; /* file, borrowed; "synthetic" */
    int64_t line;       /* of a .jsonl file, from 1; 0 elsewhere */
    int64_t first, tokens;
    int32_t domain; /* of synthetic text, from 0; else -1 */
};
int64_t sy_corpus_documents(const struct sy_corpus *c); /* how many there are */
/* Document `number`, from 0: where it is from, its tokens first .. first + tokens - 1.  Errors:
 * RANGE. */
int sy_corpus_document(const struct sy_corpus *c, int64_t number, struct sy_document *out,
                       struct sy_err *err);
int64_t sy_corpus_document_at(const struct sy_corpus *c, int64_t token); /* number, or -1 */

/* Synthetic text: domains (0 elsewhere) and entropy rate in nats a token, exact from the chains'
 * stationary distributions (NaN elsewhere); of one domain, or of all for domain -1. */
int sy_corpus_domains(const struct sy_corpus *c);
double sy_corpus_entropy(const struct sy_corpus *c, int domain);

enum sy_split { SY_SPLIT_TRAIN, SY_SPLIT_VAL };

/* How windows of T tokens are drawn; random as nanoGPT draws them.  X(ID, name, where they are):
 * numbers and names are in checkpoints and stored runs. */
#define SY_SAMPLE_MAP(X)                                                                           \
    X(RANDOM, "random", "anywhere")                                                                \
    X(EPOCH, "epoch",                                                                              \
      "each once a pass, shuffled; up to a window's tokens are left out of a pass")                \
    X(SEQUENTIAL, "sequential", "in order")

enum sy_sample_mode {
#define X(id, name, help) SY_SAMPLE_##id,
    SY_SAMPLE_MAP(X)
#undef X
        SY_SAMPLE_COUNT
};

/* How batches are cut.  All may change between steps; see sy_place_turn for T. */
struct sy_sampler {
    const struct sy_corpus *corpus; /* borrowed */
    enum sy_split split;
    enum sy_sample_mode mode;
    int64_t batch, context; /* B, T >= 1 */
    const double *share;    /* of a mix: of its parts, sum 1; borrowed; NULL: as it was made */
    int64_t inputs;         /* S, of a model that has an encoder; else 0 */
    const struct sy_objectives *objectives; /* borrowed; NULL: next-token prediction */
    uint64_t seed;
};

/* Where a run is in its data.  Begins as zeros; sy_place_advance adds what a step has drawn. */
struct sy_place {
    uint64_t windows; /* drawn so far: the number of the next row */
    uint64_t first;   /* number of the row from which on the context is as now */
    uint64_t epochs;  /* passes over the text that had begun before that row, but for this one */
    int64_t token;    /* SEQUENTIAL: how far that one was; 0: nowhere yet */
    int64_t step;     /* 0; or the step whose rows are drawn, in runs from before windows were
                       * counted: RANDOM then draws by step, micro-batch and row */
    struct sy_place_part { /* likewise, of each part of a mix; not of RANDOM */
        uint64_t windows, first, epochs;
        int64_t token;
    } part[SY_MIX_MOST];
};

/* Fails unless the split holds a window: `data: 212 tokens are fewer than batch context 256 + 1`.
 * Errors: RANGE. */
int sy_sampler_check(const struct sy_sampler *s, struct sy_err *err);
/* What follows needs a sampler that has passed it, and allocates nothing. */

/* Windows that do not overlap; one epoch of SY_SAMPLE_EPOCH and SY_SAMPLE_SEQUENTIAL. */
int64_t sy_sampler_windows(const struct sy_sampler *s);
/* First token of the window of row `row`, counted from the place over all micro-batches of a
 * step. */
int64_t sy_sampler_start(const struct sy_sampler *s, const struct sy_place *p, int64_t row);
struct sy_stretch { /* tokens of the corpus that a row shows: its window, or one of its pairs */
    int64_t row, first, tokens;
    bool pair;
};
/* Those of rows first .. first + rows - 1 from the place, row by row: how many there are, of which
 * the first `most` are put into out. */
int64_t sy_sampler_stretches(const struct sy_sampler *s, const struct sy_place *p, int64_t first,
                             int64_t rows, struct sy_stretch *out, int64_t most);
/* Rows first .. first + B - 1 from the place, into the fields that the batch has (batch.h); the
 * corpus must have them (sy_field_missing). */
void sy_sampler_batch(const struct sy_sampler *s, const struct sy_place *p, int64_t first,
                      const struct sy_batch *b);
/* What rows first .. first + rows - 1 from the place hold. */
struct sy_tally sy_sampler_tally(const struct sy_sampler *s, const struct sy_place *p,
                                 int64_t first, int64_t rows);
/* So many rows were drawn. */
void sy_place_advance(const struct sy_sampler *s, struct sy_place *p, uint64_t rows);
/* The context of s changes now.  SEQUENTIAL goes on at the token that it had come to, so that
 * nothing is seen twice or left out; EPOCH begins a new epoch, for the windows that were left are
 * of the old length. */
void sy_place_turn(const struct sy_sampler *s, struct sy_place *p);
/* Passes over the text that have begun, by EPOCH and SEQUENTIAL. */
int64_t sy_place_epochs(const struct sy_sampler *s, const struct sy_place *p);

/* ---- evaluation ---- */

/* The windows of an evaluation depend on the corpus, the split and T alone, neither on seed, mode
 * nor batch: all W windows of the split once, in a shuffled order, of which an evaluation takes the
 * first so many. */
#define SY_EVAL_ROWS 16 /* windows that count as one batch of an evaluation, whatever B is */
/* Windows of this many batches: batches * SY_EVAL_ROWS, or W where there are fewer. */
int64_t sy_eval_windows(const struct sy_sampler *s, int64_t batches);
/* First token of window `number`, from 0. */
int64_t sy_eval_start(const struct sy_sampler *s, int64_t number);
/* Windows first .. first + B - 1 as sy_sampler_batch; from `end` on rows have targets -1, which
 * count nothing. */
void sy_eval_batch(const struct sy_sampler *s, int64_t first, int64_t end,
                   const struct sy_batch *b);
/* What windows first .. end-1 of an evaluation hold. */
struct sy_tally sy_eval_tally(const struct sy_sampler *s, int64_t first, int64_t end);
/* How many of the evaluation's windows the loss of a part of them stands for: its share of the
 * targets. */
double sy_tally_windows(const struct sy_tally *part, const struct sy_tally *whole, int64_t windows);

#endif
