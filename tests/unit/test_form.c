/* Storage forms: decoding against double, every set against the same bits, runs that begin
 * anywhere, packing by its rounding, and products of packed operands against products of the
 * decoded ones. */
#include "cpu/storage_form.h"
#include "cpu/gemm.h"

#include "base/mem.h"
#include "base/pool.h"
#include "unit/kern_sets.h"

#include <stdio.h>

enum { BLOCK = 32, Q8 = 2 + BLOCK };

static const char *const form_names[SY_FORM_COUNT] = {"f32", "bf16", "f16", "q8_0", "mxfp4"};

/* ---- in double ---- */

static double half(unsigned h)
{
    const int exponent = h >> 10 & 31, fraction = h & 0x3ff;
    const double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction ? (double)NAN : sign * HUGE_VAL;
    return sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24));
}

static double e2m1(unsigned code)
{
    static const double value[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    return code & 8 ? -value[code & 7] : value[code & 7];
}

static int agrees(float got, double want)
{
    return isnan(want) ? isnan(got) : got == (float)want && !signbit(got) == !signbit(want);
}

/* ---- decoding ---- */

static void test_halves(void)
{
    static float f16[65536], bf16[65536];
    static uint16_t all[65536];
    int good = 1, good16 = 1;
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    const unsigned char *data = (const unsigned char *)all;
    sy_form_decode(f16, &(struct sy_packed){SY_FORM_F16, data, NULL}, 0, 65536);
    sy_form_decode(bf16, &(struct sy_packed){SY_FORM_BF16, data, NULL}, 0, 65536);
    for (unsigned i = 0; i < 65536; i++) {
        uint32_t u;
        memcpy(&u, &bf16[i], sizeof u);
        good16 &= u == i << 16;
        memcpy(&u, &f16[i], sizeof u);
        good &= agrees(f16[i], half(i));
        good &= !isnan(f16[i]) || (u & 0x7fe000) == (i & 0x3ff) << 13; /* its payload */
    }
    tap_ok(good, "f16: all 65,536, subnormal ones, infinities and NaN");
    tap_ok(good16, "bf16: all 65,536");
}

static void test_q8_0(void)
{
    int good = 1;
    for (unsigned scale = 0; scale < 65536; scale += 1 + scale % 7) {
        unsigned char block[Q8];
        float x[BLOCK];
        const uint16_t h = (uint16_t)scale;
        memcpy(block, &h, sizeof h);
        for (int i = 0; i < BLOCK; i++)
            block[2 + i] = (unsigned char)(mix(scale) >> (i % 8 * 8));
        sy_form_decode(x, &(struct sy_packed){SY_FORM_Q8_0, block, NULL}, 0, BLOCK);
        for (int i = 0; i < BLOCK; i++)
            good &= agrees(x[i], half(scale) * (signed char)block[2 + i]);
    }
    tap_ok(good, "q8_0: scales of all kinds by values of all kinds");
}

static void test_mxfp4(void)
{
    unsigned char codes[16];
    int good = 1, extreme = 1;
    for (int i = 0; i < 16; i++)
        codes[i] = (unsigned char)(i | (15 - i) << 4);
    for (int e = 0; e < 256; e++) {
        const unsigned char scale = (unsigned char)e;
        float x[BLOCK];
        sy_form_decode(x, &(struct sy_packed){SY_FORM_MXFP4, codes, &scale}, 0, BLOCK);
        for (unsigned i = 0; i < BLOCK; i++) {
            const unsigned code = i % 2 ? 15 - i / 2 : i / 2;
            const int fine = agrees(x[i], e == 255 ? (double)NAN : ldexp(e2m1(code), e - 127));
            good &= e == 0 || e >= 253 || fine;
            extreme &= fine;
        }
    }
    tap_ok(good, "mxfp4: all 16 codes by all scales");
    tap_ok(extreme, "mxfp4: the smallest scale, those beyond f32, and NaN");
}

/* ---- sets, and runs ---- */

/* n values of random bytes in that form. */
static struct sy_packed random_packed(enum sy_form form, int64_t n, unsigned char *room)
{
    const struct sy_form_row *f = &sy_forms[form];
    const int64_t blocks = n / f->values;
    const size_t data = (size_t)blocks * f->bytes, all = data + (size_t)blocks * f->beside;
    for (size_t i = 0; i < all; i++)
        room[i] = (unsigned char)mix(i + 77 * (unsigned)form);
    return (struct sy_packed){form, room, f->beside ? room + data : NULL};
}

static void test_sets(enum sy_form form)
{
    enum { N = 4096 };
    static unsigned char room[4 * N];
    static float want[N], got[N];
    const struct sy_packed p = random_packed(form, N, room);
    for (int s = 0; s < SETS; s++) {
        if (!kern_set(s)) {
            tap_skip("%s: this CPU cannot", form_names[form]);
            continue;
        }
        sy_form_decode(s ? got : want, &p, 0, N);
        tap_ok(!s || !memcmp(want, got, sizeof got), "%s: the bits of ref in set %d",
               form_names[form], s);
    }
    int good = 1;
    for (int i = 0; i < 400; i++) {
        const int64_t first = (int64_t)(mix((unsigned)i) % 3000), n = (int64_t)(mix(first) % 200);
        memset(got, 0x55, sizeof got);
        sy_form_decode(got, &p, first, n);
        good &= !memcmp(got, want + first, (size_t)n * sizeof *got);
        uint32_t after;
        memcpy(&after, got + n, sizeof after);
        good &= after == 0x55555555;
    }
    tap_ok(good, "%s: runs that begin and end within blocks", form_names[form]);
}

/* ---- packing ---- */

static void test_encode_halves(void)
{
    int good = 1;
    for (int i = 0; i < 200000; i++) {
        float x, back, beside[2];
        fill_any(&x, 1, (unsigned)i);
        x = i % 2 ? x * 0x1p-14f : x; /* subnormal ones too */
        uint16_t h;
        sy_form_encode(SY_FORM_F16, &x, 1, (unsigned char *)&h, NULL);
        back = (float)half(h);
        beside[0] = (float)half((unsigned)(h ? h - 1 : 0x8001) & 0xffff);
        beside[1] = (float)half((unsigned)(h + 1) & 0xffff);
        if (isnan(x)) {
            good &= isnan(back);
            continue;
        }
        if (isinf(back)) {
            good &= fabsf(x) >= 65520.0f && !signbit(x) == !signbit(back);
            continue;
        }
        for (int j = 0; j < 2; j++) {
            const double far = fabs((double)beside[j] - (double)x);
            const double near_by = fabs((double)back - (double)x);
            good &= isinf(beside[j]) || isnan(beside[j]) || near_by < far ||
                    (near_by == far && !(h & 1));
        }
    }
    tap_ok(good, "f16: the nearest, halves to even, infinity from 65520 on");
    const uint32_t edge[] = {0x3f808000, 0x3f818000, 0x7f800001, 0x7f7fffff, 0x00000001};
    const uint16_t want[] = {0x3f80, 0x3f82, 0x7fc0, 0x7f80, 0};
    good = 1;
    for (int i = 0; i < 5; i++) {
        float x;
        uint16_t h;
        memcpy(&x, &edge[i], sizeof x);
        sy_form_encode(SY_FORM_BF16, &x, 1, (unsigned char *)&h, NULL);
        good &= h == want[i];
    }
    tap_ok(good, "bf16: halves to even, NaN stays one");
}

static void test_encode_q8_0(void)
{
    float x[BLOCK] = {127, -127, 0.5f, 1.5f, -0.5f, 0.49f, 100.5f};
    unsigned char block[Q8];
    const signed char *q = (const signed char *)block + 2;
    tap_ok(sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == BLOCK && block[0] == 0 &&
               block[1] == 0x3c && q[0] == 127 && q[1] == -127 && q[2] == 1 && q[3] == 2 &&
               q[4] == -1 && q[5] == 0 && q[6] == 101 && q[7] == 0,
           "q8_0: the largest is 127 scales, halves go away from 0");
    memset(x, 0, sizeof x);
    tap_ok(sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == BLOCK && !block[0] && !q[31],
           "q8_0: zeros");
    for (int i = 0; i < BLOCK; i++)
        x[i] = 1e-44f;
    tap_ok(sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == BLOCK && q[0] >= 0,
           "q8_0: values too small for a scale");
    for (int i = 0; i < BLOCK; i++)
        x[i] = i % 2 ? -190 * 0x1p-149f : 190 * 0x1p-149f; /* d: 1.496 of the least float, so 1 */
    int zeros = sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == BLOCK && !block[0];
    for (int i = 0; i < BLOCK; i++)
        zeros &= !q[i];
    tap_ok(zeros, "q8_0: where the scale is 0 nothing is more than it");
    x[5] = INFINITY;
    tap_ok(sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == 5, "q8_0: no infinity");
    x[5] = 1e7f;
    x[9] = -9e7f;
    tap_ok(sy_form_encode(SY_FORM_Q8_0, x, BLOCK, block, NULL) == 9,
           "q8_0: nothing whose scale f16 has not");
}

static void test_encode_mxfp4(void)
{
    static const float x[BLOCK] = {6,    -6,    0.25f, 0.75f, 1.25f, 1.75f, 2.5f,  3.5f,
                                   5,    4.9f,  5.1f,  7.9f,  -0.1f, -0.26f, 0.26f, 3};
    static const unsigned char want[16] = {7, 15, 0, 2, 2, 4, 4, 6, 6, 6, 7, 7, 8, 9, 1, 5};
    unsigned char block[16], scale;
    int good = sy_form_encode(SY_FORM_MXFP4, x, BLOCK, block, &scale) == BLOCK && scale == 127;
    for (int i = 0; i < 16; i++)
        good &= (i % 2 ? block[i / 2] >> 4 : block[i / 2] & 15) == want[i];
    tap_ok(good, "mxfp4: halves to the even code, more than 6 is 6");
    float y[BLOCK] = {0}, back[BLOCK];
    sy_form_encode(SY_FORM_MXFP4, y, BLOCK, block, &scale);
    tap_ok(scale == 0 && block[0] == 0, "mxfp4: zeros");
    y[3] = 0x1p-149f;
    y[4] = -0x1p-128f;
    sy_form_encode(SY_FORM_MXFP4, y, BLOCK, block, &scale);
    sy_form_decode(back, &(struct sy_packed){SY_FORM_MXFP4, block, &scale}, 0, BLOCK);
    tap_ok(scale == 0 && back[3] == 0 && back[4] == -0x1p-128f, "mxfp4: the smallest scale");
    y[3] = 3e38f;
    tap_ok(sy_form_encode(SY_FORM_MXFP4, y, BLOCK, block, &scale) == BLOCK && scale == 252,
           "mxfp4: the largest f32");
    y[7] = NAN;
    tap_ok(sy_form_encode(SY_FORM_MXFP4, y, BLOCK, block, &scale) == 7, "mxfp4: no NaN");
}

/* ---- products ---- */

struct side {
    struct sy_mat packed, plain;
    unsigned char *room;
    float *floats;
};

/* rows x cols elements in that form and decoded, no infinities, each block of another scale than
 * those beside it.  flags as of try_product. */
static struct side side_of(enum sy_form form, int64_t rows, int64_t cols, bool trans,
                           const int32_t *index, unsigned flags)
{
    const int64_t first = flags & 256 ? 0 : form < SY_FORM_Q8_0 ? 3 : 7;
    const int64_t ld = flags & 512 ? (cols + BLOCK - 1) / BLOCK * BLOCK : cols + 5;
    const int64_t n = (first + rows * ld + BLOCK) / BLOCK * BLOCK;
    struct side s = {.room = malloc((size_t)n * 5), .floats = malloc((size_t)n * sizeof(float))};
    const struct sy_form_row *f = &sy_forms[form];
    unsigned char *beside = f->beside ? s.room + (size_t)(n / f->values) * f->bytes : NULL;
    fill_range(s.floats, n, (unsigned)form + 5, -3, 3);
    for (int64_t i = 0; i < n; i++)
        s.floats[i] = ldexpf(s.floats[i], (int)(i / BLOCK % 7) - 3);
    sy_form_encode(form, s.floats, n, s.room, beside);
    s.packed = (struct sy_mat){.packed = {form, s.room, beside}, .first = first, .ld = ld,
                               .trans = trans, .rows = index};
    sy_form_decode(s.floats, &s.packed.packed, 0, n);
    s.plain = (struct sy_mat){.data = s.floats + first, .ld = ld, .trans = trans, .rows = index};
    return s;
}

static void side_free(struct side *s)
{
    free(s->room);
    free(s->floats);
}

static bool no_room; /* for decoded rows, of which this thread has none yet */

/* m x n x k; flags: 1 a transposed, 2 b transposed, 4 a's rows by index, 8 a packed too, 16 a
 * second result, 32 a second term, 64 bf16, 128 added to what is there, 256 from the first element
 * of their storage, 512 rows in whole blocks. */
static int try_product(enum sy_form form, int64_t m, int64_t n, int64_t k, unsigned flags)
{
    static int32_t index[4096];
    const bool ta = flags & 1, tb = flags & 2;
    for (int i = 0; i < 4096; i++)
        index[i] = (int32_t)(mix((unsigned)i) % (uint64_t)(ta ? k : m));
    struct side a = side_of(flags & 8 ? form : SY_FORM_F32, ta ? k : m, ta ? m : k, ta,
                            flags & 4 ? index : NULL, flags);
    struct side b = side_of(form, tb ? n : k, tb ? k : n, tb, NULL, flags);
    float *c[2], *d[2];
    for (int i = 0; i < 2; i++) {
        c[i] = malloc((size_t)(m * n) * sizeof(float));
        d[i] = malloc((size_t)(m * n) * sizeof(float));
        fill_range(c[i], m * n, 9, -1, 1);
        fill_range(d[i], m * n, 9, -1, 1);
    }
    for (int i = 0; i < 2; i++) {
        const struct sy_gemm_opts o = {.precision = flags & 64 ? SY_PREC_BF16 : SY_PREC_FP32};
        struct sy_gemm_problem p = {.m = m, .n = n, .k = k, .a = i ? a.packed : a.plain,
                                    .b = i ? b.packed : b.plain, .c = c[i], .ldc = n};
        if (!(flags & 8))
            p.a = a.plain;
        p.accumulate = flags & 128;
        if (flags & 32)
            p.k2 = k, p.a2 = p.a, p.b2 = p.b;
        else if (flags & 16)
            p.dual_b = p.b, p.dual_c = d[i];
        sy_mem_fail_at(i && no_room ? 1 : 0);
        sy_gemm(&p, &o);
        sy_mem_fail_at(0);
    }
    const size_t bytes = (size_t)(m * n) * sizeof(float);
    const int good = !memcmp(c[0], c[1], bytes) && !memcmp(d[0], d[1], bytes);
    if (!good)
        tap_note("%s m %d n %d k %d flags %u", form_names[form], (int)m, (int)n, (int)k, flags);
    for (int i = 0; i < 2; i++) {
        free(c[i]);
        free(d[i]);
    }
    side_free(&a);
    side_free(&b);
    return good;
}

static void test_products(enum sy_form form, int set)
{
    static const int64_t sizes[] = {1, 2, 5, 14, 17, 32, 33, 70};
    static const int64_t large[][3] = {{1, 600, 1100}, {3, 70, 1300}, {90, 130, 600},
                                       {40, 600, 544},
                                       {300, 33, 96},  {64, 550, 90}};
    int good = 1, many = 1;
    for (unsigned i = 0; i < 300; i++) {
        const uint64_t r = mix(i);
        good &= try_product(form, sizes[r % 8], sizes[r / 8 % 8], sizes[r / 64 % 8],
                            (unsigned)(r >> 20) % 1024);
    }
    tap_ok(good, "%s: products of small shapes, all options, set %d", form_names[form], set);
    for (unsigned i = 0; i < 6; i++)
        for (unsigned flags = 0; flags < 4; flags++) {
            sy_pool_set_threads(flags & 2 ? 1 : 3, NULL);
            many &= try_product(form, large[i][0], large[i][1], large[i][2],
                                flags | (flags & 1 ? 64 : 16) | i % 4 * 256);
        }
    tap_ok(many, "%s: of several tasks and slices, 1 and 3 threads, set %d", form_names[form], set);
}

/* An element at a time, from where it lies. */
static void test_in_place(void)
{
    const int threads = sy_pool_threads();
    int good = 1;
    sy_pool_set_threads(1, NULL);
    no_room = true;
    for (int f = SY_FORM_BF16; f < SY_FORM_COUNT; f++)
        for (unsigned flags = 0; flags < 64; flags++)
            good &= try_product((enum sy_form)f, 5, 7, 33, flags);
    no_room = false;
    sy_pool_set_threads(threads, NULL);
    tap_ok(good, "products without memory to decode in");
}

int main(void)
{
    test_in_place(); /* before any other product */
    test_halves();
    test_q8_0();
    test_mxfp4();
    for (int f = SY_FORM_F32; f < SY_FORM_COUNT; f++)
        test_sets((enum sy_form)f);
    test_encode_halves();
    test_encode_q8_0();
    test_encode_mxfp4();
    for (int s = 0; s < SETS; s++)
        for (int f = SY_FORM_BF16; kern_set(s) && f < SY_FORM_COUNT; f++)
            test_products((enum sy_form)f, s);
    return tap_done();
}
