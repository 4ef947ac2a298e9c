/* The pairs of a corpus: freeing them, and what they say of themselves (pairs_int.h, pairs.h). */
#include "base/mem.h"
#include "data/corpus_int.h"

void sy__packing_free(struct sy__packing *p)
{
    if (p) {
        sy_free(p->start);
        sy_free(p->pair);
    }
    sy_free(p);
}

void sy__pairs_free(struct sy__pairs *pairs)
{
    struct sy__packing *p = atomic_load_explicit(&pairs->packings, memory_order_acquire);
    for (struct sy__packing *next; p; p = next) {
        next = p->next;
        sy__packing_free(p);
    }
    sy_free(pairs->pair);
    sy_free(pairs->tag);
    sy_free(pairs->other);
}

int64_t sy_corpus_pair_count(const struct sy_corpus *c)
{
    return c->pairs.count;
}

int64_t sy_corpus_pair_train(const struct sy_corpus *c)
{
    return c->pairs.train;
}

void sy_corpus_pair(const struct sy_corpus *c, int64_t number, struct sy_pair *out)
{
    *out = c->pairs.pair[number];
}

struct sy_languages sy_corpus_languages(const struct sy_corpus *c)
{
    const struct sy__pairs *p = &c->pairs;
    return (struct sy_languages){p->tag ? p->tag : "", p->sources_are_targets,
                                 p->other ? p->other : ""};
}

int32_t sy_corpus_sources(const struct sy_corpus *c)
{
    return c->sources;
}

const char *sy_corpus_source(const struct sy_corpus *c, int32_t number)
{
    return number >= 0 && number < c->sources ? c->source[number] : NULL;
}
