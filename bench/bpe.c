/* BPE: MB/s of training and encoding.
 *
 *     bench/bpe [FILE] [VOCAB]
 *
 * FILE may be compressed; without one, Debian's dict-gcide (40 MB of English) is used, else what
 * stands in /usr/share/common-licenses.  Encoding is measured on one thread and on all. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "data/documents_int.h"
#include "switchyard/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DICTIONARY "/usr/share/dictd/gcide.dict.dz"
#define LICENSES "/usr/share/common-licenses"
#define REPEATS 5

static int collect(void *ctx, const struct sy__batch *batch, struct sy_err *err)
{
    (void)err;
    sy_str_add(ctx, batch->text.data, batch->text.len);
    return 0;
}

static int read_text(const char *path, struct sy_str *text, struct sy_err *err)
{
    struct sy__files files = {0};
    struct sy__tally tally = {.bad = 0};
    int rc =
        sy__files_find(&files, &path, 1, err) ||
        sy__sources_read(&files, &(struct sy_read_options){0}, NULL, 1, collect, text, &tally, err);
    sy__files_free(&files);
    return rc ? -1 : 0;
}

/* Wall time, and processor time of all threads, which a busy machine blurs less. */
struct lap {
    double wall, cpu;
};

static struct lap now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (struct lap){sy_now(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

static struct lap since(struct lap start)
{
    struct lap end = now();
    return (struct lap){end.wall - start.wall, end.cpu - start.cpu};
}

static int by_value(const void *a, const void *b)
{
    double x = ((const struct lap *)a)->wall, y = ((const struct lap *)b)->wall;
    return (x > y) - (x < y);
}

/* Median seconds of encoding all of the text; the number of ids in *ids. */
static struct lap encode(const struct sy_tokenizer *tok, const struct sy_str *text, int64_t *ids,
                         struct sy_err *err)
{
    struct lap seconds[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        int32_t *out = NULL;
        struct lap start = now();
        *ids = sy_tokenizer_encode(tok, text->data, text->len, &out, err);
        seconds[i] = since(start);
        sy_free(out);
    }
    qsort(seconds, REPEATS, sizeof *seconds, by_value);
    return seconds[REPEATS / 2];
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : access(DICTIONARY, R_OK) ? LICENSES : DICTIONARY;
    struct sy_bpe_options options = {.vocab = argc > 2 ? atoi(argv[2]) : 4096};
    struct sy_err err = SY_ERR_INIT;
    struct sy_str text = SY_STR_INIT;
    struct sy_tokenizer *tok = NULL;
    int64_t ids = 0;
    if (read_text(path, &text, &err))
        goto out;
    double mb = (double)text.len / 1e6;
    int threads = sy_pool_threads();
    printf("%s: %.1f MB\n", path, mb);
    for (int n = threads;; n = 1) {
        sy_pool_set_threads(n, &err);
        sy_tokenizer_unref(tok);
        struct lap start = now();
        tok = sy_bpe_train_text(text.data, text.len, &options, &err);
        if (!tok)
            goto out;
        struct lap lap = since(start);
        printf("train   vocab %d  threads %d  %6.2f s  %7.1f MB/s  (%.1f MB per CPU second)\n",
               sy_tokenizer_size(tok), n, lap.wall, mb / lap.wall, mb / lap.cpu);
        lap = encode(tok, &text, &ids, &err);
        printf("encode  vocab %d  threads %d  %6.2f s  %7.1f MB/s  (%.1f MB per CPU second)"
               "  %.2f bytes/token\n",
               sy_tokenizer_size(tok), n, lap.wall, mb / lap.wall, mb / lap.cpu,
               (double)text.len / (double)ids);
        if (n == 1)
            break;
    }
out:
    if (err.code != SY_E_OK)
        fprintf(stderr, "bpe: %s\n", err.msg);
    sy_tokenizer_unref(tok);
    sy_str_free(&text);
    return err.code != SY_E_OK;
}
