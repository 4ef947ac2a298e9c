/* CPU detection, the kernel tables and the measured peak (cpu/cpu.h).
 *
 * The feature bits are read by cpuid, and by xgetbv whether the system saves the registers
 * (Intel SDM vol. 1, 13.3 and 15.2).  The choice is one pointer, set once; two threads that race
 * for the first sy_cpu() store the same value.
 */
#include "config.h"

#include "cpu/cpu.h"

#include "base/clock.h"
#include "base/pool.h"
#include "cpu/storage_form.h"
#include "cpu/gemm_int.h"
#include "cpu/kern_attn.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

extern const struct sy_map_kernels sy__map_ref, sy__map_avx2, sy__map_avx512;
extern const struct sy_row_kernels sy__row_ref, sy__row_avx2, sy__row_avx512;
extern const struct sy_optim_kernels sy__optim_ref, sy__optim_avx2, sy__optim_avx512;

enum feature { HAS_AVX2 = 1, HAS_AVX512 = 2, HAS_BF16 = 4 };

#if defined(__x86_64__)
/* Which register files the system saves: XCR0. */
static uint64_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return ((uint64_t)hi << 32) | lo;
}

static unsigned detect_features(void)
{
    enum { YMM = 0x6, ZMM = 0xe6 };
    const uint32_t want512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    uint32_t a, b, c, d, b7;
    unsigned has = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA))
        return 0;
    const uint64_t state = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b7, &c, &d) || (state & YMM) != YMM || !(b7 & bit_AVX2))
        return 0;
    has = HAS_AVX2;
    if ((state & ZMM) != ZMM || (b7 & want512) != want512)
        return has;
    has |= HAS_AVX512;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5)))
        has |= HAS_BF16;
    return has;
}
#else
static unsigned detect_features(void)
{
    return 0;
}
#endif

/* A set's families, all but the matrix product. */
#define FAMILIES(isa)                                                                              \
    &sy__map_##isa, &sy__row_##isa, &sy__optim_##isa, &sy__attn_##isa, &sy__form_##isa

/* Best first; of two sets with one name the first that the CPU can run is meant. */
static const struct {
    struct sy_kernels set;
    unsigned needs;
} tables[] = {
#ifdef SY_HAVE_AVX512BF16
    {{"avx512", &sy__gemm_avx512bf16, FAMILIES(avx512)}, HAS_AVX512 | HAS_BF16},
#endif
#ifdef SY_HAVE_AVX512
    {{"avx512", &sy__gemm_avx512, FAMILIES(avx512)}, HAS_AVX512},
#endif
#ifdef SY_HAVE_AVX2
    {{"avx2", &sy__gemm_avx2, FAMILIES(avx2)}, HAS_AVX2},
#endif
    {{"ref", &sy__gemm_ref, FAMILIES(ref)}, 0},
};

enum { TABLES = sizeof tables / sizeof tables[0] };

static _Atomic(const struct sy_kernels *) chosen;

/* The best set, or the one of that name; NULL where there is none. */
static const struct sy_kernels *find_set(const char *name)
{
    const unsigned has = detect_features();
    for (int i = 0; i < TABLES; i++)
        if ((tables[i].needs & ~has) == 0 && (!name || !strcmp(name, tables[i].set.name)))
            return &tables[i].set;
    return NULL;
}

static bool known(const char *name)
{
    return !strcmp(name, "ref") || !strcmp(name, "avx2") || !strcmp(name, "avx512");
}

int sy_cpu_force(const char *name, struct sy_err *err)
{
    const struct sy_kernels *k = find_set(name);
    if (!k && !known(name))
        return sy_err_set(err, SY_E_NAME, "cpu: unknown kernel set '%s': ref, avx2 or avx512",
                          name);
    if (!k)
        return sy_err_set(err, SY_E_UNSUPPORTED, "cpu: this machine cannot run kernel set '%s'",
                          name);
    atomic_store(&chosen, k);
    return 0;
}

int sy_cpu_init(struct sy_err *err)
{
    const char *name = getenv("SWITCHYARD_CPU");
    if (!name || !*name) {
        atomic_store(&chosen, find_set(NULL));
        return 0;
    }
    if (sy_cpu_force(name, err))
        return sy_err_prefix(err, "SWITCHYARD_CPU");
    return 0;
}

const struct sy_kernels *sy_cpu(void)
{
    const struct sy_kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);
    if (k)
        return k;
    if (sy_cpu_init(NULL))
        atomic_store(&chosen, find_set(NULL));
    return atomic_load(&chosen);
}

/* -- peak ----------------------------------------------------------------------------------------
 */

struct peak {
    double (*run)(int64_t rounds);
    double flops[SY_POOL_MAX];
    int64_t rounds;
};

static void peak_task(void *ctx, int64_t task)
{
    struct peak *p = ctx;
    p->flops[task] = p->run(p->rounds);
}

static double peak_once(struct peak *p, int64_t tasks)
{
    const double start = sy_now();
    sy_pool_run(tasks, peak_task, p);
    const double seconds = sy_now() - start;
    double flops = 0;
    for (int64_t i = 0; i < tasks; i++)
        flops += p->flops[i];
    return flops / seconds;
}

const char *sy_cpu_bf16(void) { return sy_cpu()->gemm->pairs ? "vdpbf16ps" : "fp32"; }

double sy_cpu_peak(int bf16)
{
    static const double SLICE = 0.005;
    const int threads = sy_pool_threads();
    struct peak p = {.run = sy_cpu()->gemm->peak[bf16 != 0], .rounds = 20000};
    double best = 0;
    /* rounds that take a slice on one thread */
    peak_once(&p, threads);
    const double start = sy_now();
    p.run(p.rounds);
    const double seconds = sy_now() - start;
    p.rounds = (int64_t)((double)p.rounds * SLICE / (seconds > 1e-7 ? seconds : 1e-7)) + 1;
    for (int i = 0; i < 4; i++) {
        double f = peak_once(&p, threads);
        best = f > best ? f : best;
    }
    /* Other work on the machine makes a measurement low, nothing makes it high: the best one of
     * this process with as many threads stands. */
    static _Atomic double most[2][SY_POOL_MAX + 1];
    _Atomic double *seen = &most[bf16 != 0][threads];
    if (best > *seen)
        *seen = best;
    return *seen;
}
