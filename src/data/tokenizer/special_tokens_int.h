/* Special tokens of tokenizers that are made here: their names in the order of their ids.
 *
 *     <|endoftext|>
 *     <pad> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> others... <extra_id_n-1> ... <extra_id_0>
 *
 * <pad> is there where anything else is asked for; sentinels descend from the last id, as T5's. */
#ifndef SY_DATA_TOKENIZER_SPECIAL_TOKENS_INT_H
#define SY_DATA_TOKENIZER_SPECIAL_TOKENS_INT_H

#include "data/tokenizer/tokenizer_int.h"

struct sy__special_list {
    struct sy__token *token; /* owned */
    struct sy__added *added; /* owned; ids from `first` on */
    char *names;             /* owned */
    int32_t n;
};
/* The tokens of s (NULL: none) from id `first` on.  `always`: <|endoftext|> also where nothing is
 * asked for.  what: "train_bpe", begins messages.  Errors: RANGE, FORMAT, MEMORY. */
int sy__special_list(const struct sy_special_tokens *s, bool always, int32_t first,
                     const char *what, struct sy__special_list *out, struct sy_err *err);
void sy__special_list_free(struct sy__special_list *list);
/* Moves the ids to first, first + 1, ... */
void sy__special_list_move(struct sy__special_list *list, int32_t first);

#endif
