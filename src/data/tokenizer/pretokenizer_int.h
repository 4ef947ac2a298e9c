/* Pre-tokenizers of tokenizer.json: a row of stages that cut a text, and the pieces of the stage
 * before, into words.  What each stage does is what the tokenizers library does.
 *
 *  1. Text in is valid UTF-8.  A stage sees each piece as a text of its own.
 *  2. A list is shared by threads, a run belongs to one. */
#ifndef SY_DATA_TOKENIZER_PRETOKENIZER_INT_H
#define SY_DATA_TOKENIZER_PRETOKENIZER_INT_H

#include "base/str.h"
#include "data/tokenizer/regex_split_int.h"

enum sy__stage_kind {
    SY__STAGE_SPLIT,     /* by a pattern */
    SY__STAGE_PREFIX,    /* a space in front of a piece that has none there */
    SY__STAGE_SPELL,     /* every byte becomes the character that GPT-2 writes for it */
    SY__STAGE_METASPACE, /* spaces become a mark, and one is put in front */
    SY__STAGE_CUT        /* ours, for speed: before a mark behind anything else (encode.c) */
};
enum sy__behavior {
    SY__ISOLATED,
    SY__REMOVED,
    SY__MERGED_WITH_PREVIOUS,
    SY__MERGED_WITH_NEXT,
    SY__CONTIGUOUS
};
enum sy__prepend { SY__PREPEND_ALWAYS, SY__PREPEND_FIRST, SY__PREPEND_NEVER };

struct sy__stage {
    enum sy__stage_kind kind;
    struct sy__pattern *pattern; /* SPLIT; owned */
    enum sy__behavior behavior;  /* SPLIT */
    bool invert;                 /* SPLIT: what does not match is what matches */
    enum sy__prepend prepend;    /* METASPACE */
    char mark[5];                /* METASPACE, CUT: UTF-8 */
};

#define SY__STAGES 16
struct sy__pretok {
    struct sy__stage stage[SY__STAGES];
    int n;
};
void sy__pretok_free(struct sy__pretok *list);

/* The characters that GPT-2 writes for bytes, and back: from[c] is c's byte, or -1. */
void sy__byte_alphabet(uint32_t to[256], int16_t from[512]);

struct sy__pretok_run {
    const struct sy__pretok *list; /* borrowed */
    struct sy__poll *poll;         /* borrowed */
    struct sy__splitter split[SY__STAGES];
    struct sy_str text[SY__STAGES]; /* what a stage made of its piece */
    char spelled[256][4];           /* for SPELL */
    uint8_t spelled_n[256];
    const char *begin; /* of the text */
    size_t at;         /* byte of the text where the work stands: for messages */
    int (*word)(void *ctx, const char *word, size_t n, struct sy_err *err);
    void *ctx;
};
int sy__pretok_run_init(struct sy__pretok_run *r, const struct sy__pretok *list,
                        struct sy__poll *poll, struct sy_err *err);
void sy__pretok_run_free(struct sy__pretok_run *r);
/* r->word for every word of at least one byte, in order.  `first`: the text begins where the whole
 * text did.  Errors: MEMORY, CANCELLED, FORMAT (a pattern gave up), those of word. */
int sy__pretokenize(struct sy__pretok_run *r, const char *text, size_t n, bool first,
                    struct sy_err *err);

#endif
