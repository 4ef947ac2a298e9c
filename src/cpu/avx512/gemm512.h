/* Inside cpu/avx512: the functions that the two AVX-512 tables are made of. */
#ifndef SY_CPU_GEMM512_H
#define SY_CPU_GEMM512_H

#include "cpu/gemm_int.h"

void sy__pack512_fp32(uint32_t *dst, int width, int step, const struct sy__strip *s);
void sy__pack512_round(uint32_t *dst, int width, int step, const struct sy__strip *s);
void sy__tile512_fp32(int64_t kl, const uint32_t *a, const uint32_t *b, float *c, int64_t ldc,
                      int mr, int nc, bool load, const struct sy__fetch *fetch);
double sy__peak512_fp32(int64_t rounds);

#endif
