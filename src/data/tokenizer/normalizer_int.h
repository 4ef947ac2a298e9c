/* Normalizers of tokenizer.json: what happens to a text before it is cut into words.
 *
 *  1. Text in and out is valid UTF-8.
 *  2. A list is shared by threads, a run belongs to one. */
#ifndef SY_DATA_TOKENIZER_NORMALIZER_INT_H
#define SY_DATA_TOKENIZER_NORMALIZER_INT_H

#include "base/str.h"
#include "data/tokenizer/regex_split_int.h"

enum sy__normal_kind {
    SY__NORMAL_NFC,
    SY__NORMAL_NFD,
    SY__NORMAL_NFKC,
    SY__NORMAL_NFKD,
    SY__NORMAL_LOWER,
    SY__NORMAL_STRIP,   /* white space at both ends */
    SY__NORMAL_PREPEND, /* text before a text that is not empty */
    SY__NORMAL_REPLACE, /* text for every match of the pattern, or of the literal */
};

struct sy__normal {
    enum sy__normal_kind kind;
    bool left, right;            /* STRIP */
    struct sy_str text, literal; /* owned */
    struct sy__pattern *pattern; /* owned; NULL: the literal is looked for */
};

#define SY__NORMALS 16
struct sy__normals {
    struct sy__normal step[SY__NORMALS];
    int n;
};
void sy__normals_free(struct sy__normals *list);
bool sy__normal_is_form(enum sy__normal_kind kind); /* NFC and its like */

struct sy__normal_run {
    const struct sy__normals *list; /* borrowed */
    struct sy__poll *poll;          /* borrowed */
    struct sy_str a, b;             /* one step's text and the next one's */
    int32_t *code;                  /* characters, and as many for sorting */
    size_t room;
    struct sy__splitter split[SY__NORMALS];
};
int sy__normal_run_init(struct sy__normal_run *r, const struct sy__normals *list,
                        struct sy__poll *poll, struct sy_err *err);
void sy__normal_run_free(struct sy__normal_run *r);
/* *text, *n become the normalized text: borrowed until the next call.  *front is cleared when
 * characters at the front went away.  Errors: MEMORY, CANCELLED, FORMAT (a pattern gave up). */
int sy__normalize(struct sy__normal_run *r, const char **text, size_t *n, bool *front,
                  struct sy_err *err);

/* Unicode's White_Space; what \w is in Rust's regex crate. */
bool sy__is_white(uint32_t c);
bool sy__is_word(uint32_t c);
/* Bytes of white space at the front, at the end. */
size_t sy__white_front(const char *s, size_t n);
size_t sy__white_end(const char *s, size_t n);
size_t sy__last_char(const char *s, size_t n, uint32_t *c); /* its bytes; 0: none */

#endif
