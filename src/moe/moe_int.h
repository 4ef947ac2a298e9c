/* Shared inside moe/: how a routing lies in memory.
 *
 *     expert (N, K)    the choice of each token, -1: none
 *     rows   (N*K)     token of each slot; slots are sorted by expert; -1: slot unused
 *     pos    (N, K)    slot of each choice, -1: dropped
 *     offsets (E+1)    slots of expert e are offsets[e] .. offsets[e+1]; offsets[E] are in use
 *
 *  1. Within an expert, slots are in the order of tokens (and of choices inside a token), so every
 *     sum over slots has one order.
 *  2. rows and pos are each other's inverse on the slots in use.
 */
#ifndef SY_MOE_MOE_INT_H
#define SY_MOE_MOE_INT_H

#include "ops/op.h"
#include "ops/ops_int.h"

/* Rows that one task of a row loop takes: some 64 KiB of n floats. */
static inline int64_t sy__row_grain(int64_t n)
{
    int64_t rows = 16384 / (n > 0 ? n : 1);
    return rows < 8 ? 8 : rows;
}

/* Attribute 0 is a number of experts.  Every entry of expert (N,K) lies below it. */
int sy__want_experts(struct sy_infer *x);
int sy__check_experts(const struct sy_run *x, const char *op, const struct sy_tensor *expert,
                      int64_t experts);
/* in[i] must be i32 of ndim dimensions. */
int sy__want_index(struct sy_infer *x, int i, int ndim);
/* offsets ascend from 0 to at most `slots`; rows (NULL) in use lie in 0..n-1; pos (NULL, nk of
 * them) below the slots in use.  Bad ones come from a user's own dispatch: RANGE, with the place.
 */
struct sy__routing {
    const int32_t *rows, *pos, *offsets;
    int64_t slots, experts, n, nk;
};
int sy__check_routing(const struct sy_run *x, const char *op, const struct sy__routing *r);

/* owner[slot] = index n*K+k into gates of the choice in that slot, -1 for an unused slot. */
void sy__slot_owners(int32_t *owner, int64_t slots, const int32_t *pos, int64_t nk);

#endif
