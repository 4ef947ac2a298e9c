/* Finding added tokens (added_tokens_int.h): a sorted list, narrowed byte by byte. */
#include "data/tokenizer/added_tokens_int.h"

#include "base/utf8.h"
#include "data/tokenizer/normalizer_int.h"

#include <stdlib.h>
#include <string.h>

static int compare_longest(const void *a, const void *b)
{
    const struct sy__added *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int c = memcmp(x->text, y->text, n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

void sy__added_index(struct sy__added_set *set, struct sy__added *token, int32_t n)
{
    qsort(token, (size_t)n, sizeof *token, compare_longest);
    set->token = token;
    set->n = n;
    for (int32_t b = 0, i = 0; b <= 256; b++) {
        while (i < n && (unsigned char)token[i].text[0] < b)
            i++;
        set->first[b] = i;
    }
}

/* The first of token[lo..hi), equal up to byte d and longer, whose byte d is at least `byte`. */
static int32_t bound(const struct sy__added *token, int32_t lo, int32_t hi, size_t d, int byte)
{
    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)token[mid].text[d] < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest token at the front of text[0..n); *seen is how far it had to look. */
static const struct sy__added *longest(const struct sy__added_set *set, const char *text, size_t n,
                                       size_t *seen)
{
    const struct sy__added *best = NULL;
    int32_t lo = set->first[(unsigned char)text[0]], hi = set->first[(unsigned char)text[0] + 1];
    size_t d = 1;
    for (; lo < hi; d++) {
        if (set->token[lo].n == d)
            best = &set->token[lo++];
        if (d == n)
            break;
        int byte = (unsigned char)text[d];
        lo = bound(set->token, lo, hi, d, byte);
        hi = bound(set->token, lo, hi, d, byte + 1);
    }
    *seen = d;
    return best;
}

const struct sy__added *sy__added_find(const struct sy__added_set *set, const char *text, size_t n,
                                       size_t *at, struct sy__poll *poll, bool *ended)
{
    for (size_t i = *at; i < n; i++) {
        unsigned char b = (unsigned char)text[i];
        if (set->first[b] == set->first[b + 1])
            continue;
        size_t seen;
        const struct sy__added *t = longest(set, text + i, n - i, &seen);
        if (t) {
            *at = i;
            return t;
        }
        if (sy__poll(poll, seen)) {
            *ended = true;
            return NULL;
        }
    }
    return NULL;
}

bool sy__added_fits(const struct sy__added *t, const char *text, size_t n, size_t taken,
                    size_t *from, size_t *to)
{
    uint32_t c;
    if (t->single_word && ((sy__last_char(text, *from, &c) && sy__is_word(c)) ||
                           (sy_utf8_decode(text + *to, n - *to, &c) && sy__is_word(c))))
        return false;
    if (t->lstrip) {
        size_t start = *from - sy__white_end(text, *from);
        *from = start > taken ? start : taken;
    }
    if (t->rstrip)
        *to += sy__white_front(text + *to, n - *to);
    return true;
}
