/* How files become documents, for corpora (data.h) and for training tokenizers (tokenizer.h). */
#ifndef SWITCHYARD_READING_H
#define SWITCHYARD_READING_H

#include <stdbool.h>
#include <stdint.h>

enum sy_read_format {
    SY_READ_AUTO, /* by name: .jsonl, .ndjson and .json are JSON, all else is text */
    SY_READ_TEXT, /* all is text */
    SY_READ_JSON, /* all is JSON */
    SY_READ_BYTES /* the bytes as they are, whatever they are */
};

struct sy_read_options { /* sy_corpus_text says what they mean; all zero is the default */
    const char *field;   /* of JSON; NULL: "text" */
    enum sy_read_format format;
    bool skip;          /* a bad item of JSON is counted and passed over; else an error */
    int64_t unpack_max; /* bytes; 0: 100 times the packed file's, at least 256 MiB */
};

#endif
