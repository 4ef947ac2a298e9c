/* Reading tokenizer.json: what tokenizer_read.c and tokenizer_parts.c share. */
#ifndef SY_DATA_TOKENIZER_TOKENIZER_READ_INT_H
#define SY_DATA_TOKENIZER_TOKENIZER_READ_INT_H

#include "base/json.h"
#include "data/tokenizer/tokenizer_int.h"

#define SY__REPLACES 4

/* What a decoder does to a token before all are joined. */
struct sy__decoder {
    bool bytes;    /* spelled bytes */
    bool fallback; /* <0x0A> is a byte */
    bool fused;    /* while reading: what comes is done to the whole text */
    const struct sy_json *old[SY__REPLACES], *new[SY__REPLACES]; /* strings; old NULL: mark */
    int replaces;
    char mark[5]; /* of Metaspace */
    struct sy__strip each;
};

struct sy__reader {
    const char *name; /* of the file, for messages */
    struct sy_err *err;
    bool bare; /* as before added tokens were looked for: tokens, merges and one pattern only */
    struct sy__recipe r;
    struct sy__decoder decoder;
    struct sy_str beyond; /* what the hash must hold (sy__recipe) */
};

int sy__read_bad(struct sy__reader *p, const char *what);
int sy__read_unsupported(struct sy__reader *p, const char *what, const struct sy_json *value);
int sy__read_no_memory(struct sy__reader *p);
/* A member of that type, or NULL. */
const struct sy_json *sy__read_get(const struct sy_json *object, const char *key,
                                   enum sy_json_type type);
bool sy__read_is(const struct sy_json *object, const char *key, const char *value);
bool sy__read_is_on(const struct sy_json *object, const char *key, bool otherwise);

/* The parts of the file around the model.  The post-processor's ids must be below `size`. */
int sy__read_normalizer(struct sy__reader *p, const struct sy_json *root);
int sy__read_pretok(struct sy__reader *p, const struct sy_json *root);
int sy__read_decoder(struct sy__reader *p, const struct sy_json *root);
int sy__read_post(struct sy__reader *p, const struct sy_json *root, int32_t size);

#endif
