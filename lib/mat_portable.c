/* mat_portable.c: the kernel without fused instructions: tiles of up to
 * 32 x 64, done in squares of 4 x 4.
 *
 * Carefully:
 *
 * s = fmaf(x, y, s) is had from double.  x y is exact there: 48 bits, and the
 * exponents lie well inside.  t + e = x y + s exactly by Knuth's two-sum (The
 * Art of Computer Programming, vol. 2, 4.2.2, Theorem B; nothing overflows or
 * underflows).  t is rounded to odd: if e is not 0, t is cut towards 0 and its
 * last bit set.  Rounding that to float gives what rounding x y + s once
 * gives, since 53 >= 24 + 2, for subnormal results all the more (Boldo and
 * Melquiond, Emulation of FMA and correctly rounded sums, IEEE Transactions on
 * Computers 57 (2008) 462-471, Theorem 2).  With infinities and NaN e is NaN,
 * neither above nor below 0, and t stays.
 *
 * Quickly: t is rounded at once to 24 bits, by adding half of the last to its
 * bits and cutting off the rest.  s remains a double.  That gives fmaf if
 *
 * - t is not the middle between two of 24 bits.  Elsewhere rounding twice is
 *   rounding once, for it preserves order.  A middle is seen by the bits cut
 *   off, which are then 0, and some steps are done again with care;
 * - no sum exceeds the largest float: the sum of the bounds is below 2^126;
 * - no sum is a float with fewer bits, except an exact one: no product other
 *   than 0 is below 2^-101 in absolute value, so that all are multiples of
 *   2^-149, as s is.  A sum below 2^-126 then has 24 bits or fewer.
 *
 * A square that may break the last two is done with care.
 */
#include "mat_kernel.h"

#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    LANES = 2,
    SIDE = 4, /* of a square */
    ROWS = 32,
    COLS = 64,
    DEPTH = 256, /* of p */
    STEPS = 4    /* of p, from one look for middles to the next */
};

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef double doubles __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t signs __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef uint64_t words __attribute__((vector_size(LANES * sizeof(uint64_t))));
typedef int32_t halves __attribute__((vector_size(SIDE * sizeof(int32_t))));

#define INLINE static inline __attribute__((always_inline))

/* SIDE rows of a, or columns of b, in double. */
struct strip {
    double *x;     /* of a each twice, to be multiplied by two of b at once */
    float low;     /* the least |x| other than 0; large if there is none */
    uint32_t high; /* bits of the largest |x|; NaN lie above infinity */
};

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE halves larger(halves x, halves y)
{
    const halves above = x > y;
    return (x & above) | (y & ~above);
}

/* step is from one p to the next, apart from one of the strip's to the next;
 * lanes behind count are 0.  twice and count are constants where this is
 * inlined, the latter where it is SIDE. */
INLINE struct strip widen(size_t k, size_t count, const float *from,
                          size_t apart, size_t step, int twice, double *to)
{
    double *const start = to;
    const halves magnitude = {INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX};
    halves high = {0}, high_gap = {0}; /* a gap: INT32_MAX - (|x| - 1) */
    for (size_t p = 0; p < k; p++) {
        float x[SIDE] = {0};
        for (size_t i = 0; i < count; i++) {
            x[i] = from[i * apart + p * step];
        }
        halves bits;
        memcpy(&bits, x, sizeof bits);
        bits &= magnitude;
        high = larger(bits, high);
        high_gap = larger(magnitude - ((bits - 1) & magnitude), high_gap);
        for (size_t i = 0; i < SIDE; i++) {
            const double wide = (double)x[i];
            for (size_t lane = 0; lane < (twice ? LANES : 1); lane++) {
                *to++ = wide;
            }
        }
    }
    int32_t most = 0, gap = 0;
    for (size_t i = 0; i < SIDE; i++) {
        most = high[i] > most ? high[i] : most;
        gap = high_gap[i] > gap ? high_gap[i] : gap;
    }
    /* of zeros alone the gap is 0, and the largest float is as good as any */
    const int32_t low = gap ? INT32_MAX - gap + 1 : 0x7f7fffff;
    return (struct strip){start, float_of((uint32_t)low), (uint32_t)most};
}

static struct strip widen_a(const struct uh_mat_tile *t, size_t i, double *to)
{
    const size_t count = t->rows - i < SIDE ? t->rows - i : SIDE;
    const float *from = t->a + i * t->a_row;
    return count == SIDE && t->a_row == 1
               ? widen(t->k, SIDE, from, 1, t->a_step, 1, to)
               : widen(t->k, count, from, t->a_row, t->a_step, 1, to);
}

static struct strip widen_b(const struct uh_mat_tile *t, size_t j, double *to)
{
    const size_t count = t->cols - j < SIDE ? t->cols - j : SIDE;
    return count == SIDE ? widen(t->k, SIDE, t->b + j, 1, t->b_step, 0, to)
                         : widen(t->k, count, t->b + j, 1, t->b_step, 0, to);
}

INLINE doubles load(const double *from)
{
    doubles x;
    memcpy(&x, from, sizeof x);
    return x;
}

INLINE doubles rounded(doubles x)
{
    return __builtin_convertvector(__builtin_convertvector(x, floats), doubles);
}

/* fmaf of each lane; all hold floats, and so does the result. */
INLINE doubles fused(doubles x, doubles y, doubles s)
{
    const doubles product = x * y;
    const doubles t = product + s;
    const doubles q = t - product;
    const doubles e = (product - (t - q)) + (s - q);
    const words inexact = (words)((e > 0) | (e < 0));
    const words bits = (words)t;
    const words cut = (words)((signs)((words)e ^ bits) >> 63);
    const words odd = (((bits + cut) | 1) & inexact) | (bits & ~inexact);
    return rounded((doubles)odd);
}

/* s = fused(x, y, s) if the operands are in range and the lower halves of words
 * in *middle stay 0. */
INLINE void fuse_quickly(doubles x, doubles y, doubles *s, halves *middle)
{
    const words half = {0x10000000, 0x10000000};
    const words kept = {~(uint64_t)0x1fffffff, ~(uint64_t)0x1fffffff};
#if defined(__SSE2__)
    /* (left to itself, gcc keeps some of the sums in memory) */
    __asm__("mulpd %[y], %[x]\n\t"
            "addpd %[s], %[x]\n\t"
            "paddq %[half], %[x]\n\t"
            "movdqa %[x], %[s]\n\t"
            "pand %[kept], %[s]\n\t"
            "pcmpeqd %[s], %[x]\n\t"
            "por %[x], %[middle]"
            : [x] "+x"(x), [s] "+x"(*s), [middle] "+x"(*middle)
            : [y] "x"(y), [half] "x"(half), [kept] "x"(kept));
#else
    const words sum = (words)(x * y + *s) + half;
    const words cut = sum & kept;
    *middle |= (halves)sum == (halves)cut;
    *s = (doubles)cut;
#endif
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

struct square {
    double s[SIDE][SIDE];
};

INLINE int any_low_half(halves middle)
{
#if defined(__SSE2__)
    return _mm_movemask_ps((__m128)middle) & 5;
#else
    const words low = (words)middle & 0xffffffffu;
    return (low[0] | low[1]) != 0;
#endif
}

INLINE void load_square(const struct square *square, doubles s[SIDE][2])
{
#define LOAD(i)                                                                \
    s[i][0] = load(square->s[i]);                                              \
    s[i][1] = load(square->s[i] + LANES);
    EACH_ROW(LOAD)
}

INLINE void store_square(struct square *square, doubles s[SIDE][2])
{
#define STORE(i)                                                               \
    memcpy(square->s[i], &s[i][0], sizeof s[i][0]);                            \
    memcpy(square->s[i] + LANES, &s[i][1], sizeof s[i][1]);
    EACH_ROW(STORE)
}

__attribute__((noinline)) static void
run_carefully(size_t k, const double *a, const double *b, struct square *square)
{
    doubles s[SIDE][2];
    load_square(square, s);
    for (; k > 0; k--) {
        const doubles b0 = load(b), b1 = load(b + LANES);
        for (size_t i = 0; i < SIDE; i++) {
            const doubles x = load(a + i * LANES);
            s[i][0] = fused(x, b0, s[i][0]);
            s[i][1] = fused(x, b1, s[i][1]);
        }
        a += SIDE * LANES;
        b += SIDE;
    }
    store_square(square, s);
}

/* Where a middle is met, so many steps are done again with care. */
__attribute__((noinline)) static void
run_quickly(size_t k, const double *a, const double *b, struct square *square)
{
    doubles s[SIDE][2];
    load_square(square, s);
    while (k > 0) {
        const size_t steps = k < STEPS ? k : STEPS;
        const double *const a0 = a, *const b0 = b;
        halves left = {0}, right = {0}; /* two, for they are chains */
        k -= steps;
        for (size_t p = steps; p > 0; p--) {
            const doubles y0 = load(b), y1 = load(b + LANES);
#define STEP(i)                                                                \
    {                                                                          \
        const doubles x = load(a + (i)*LANES);                                 \
        fuse_quickly(x, y0, &s[i][0], &left);                                  \
        fuse_quickly(x, y1, &s[i][1], &right);                                 \
    }
            EACH_ROW(STEP)
            a += SIDE * LANES;
            b += SIDE;
        }
        if (__builtin_expect(any_low_half(left | right), 0)) {
            run_carefully(steps, a0, b0, square);
            load_square(square, s);
        } else {
            store_square(square, s);
        }
    }
}

static const double least_product = 0x1p-101, largest_sum = 0x1p126;

static int in_range(size_t k, const struct strip *a, const struct strip *b,
                    uint32_t high_c)
{
    const double product =
        (double)float_of(a->high) * (double)float_of(b->high);
    return (double)a->low * (double)b->low >= least_product &&
           (double)k * product + (double)float_of(high_c) <= largest_sum;
}

/* A square of c, 0 where c has no entry; the result is the bits of the largest
 * absolute value. */
static uint32_t load_c(const struct uh_mat_tile *t, size_t i0, size_t j0,
                       struct square *square)
{
    uint32_t high = 0;
    memset(square, 0, sizeof *square);
    if (t->start == UH_FROM_ZERO) {
        return high;
    }
    for (size_t i = 0; i < SIDE && i0 + i < t->rows; i++) {
        for (size_t j = 0; j < SIDE && j0 + j < t->cols; j++) {
            const float x = t->c[(i0 + i) * t->ldc + j0 + j];
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            bits &= INT32_MAX;
            high = bits > high ? bits : high;
            square->s[i][j] = (double)x;
        }
    }
    return high;
}

static void run_square(const struct uh_mat_tile *t, size_t i0, size_t j0,
                       const struct strip *a, const struct strip *b)
{
    struct square square;
    const uint32_t high = load_c(t, i0, j0, &square);
    if (in_range(t->k, a, b, high)) {
        run_quickly(t->k, a->x, b->x, &square);
    } else {
        run_carefully(t->k, a->x, b->x, &square);
    }
    for (size_t i = 0; i < SIDE && i0 + i < t->rows; i++) {
        for (size_t j = 0; j < SIDE && j0 + j < t->cols; j++) {
            t->c[(i0 + i) * t->ldc + j0 + j] = (float)square.s[i][j];
        }
    }
}

static void run_tile(const struct uh_mat_tile *t)
{
    double wide_a[DEPTH * SIDE * LANES], wide_b[COLS / SIDE][DEPTH * SIDE];
    struct strip b[COLS / SIDE];
    for (size_t j = 0; j < t->cols; j += SIDE) {
        b[j / SIDE] = widen_b(t, j, wide_b[j / SIDE]);
    }
    for (size_t i = 0; i < t->rows; i += SIDE) {
        const struct strip a = widen_a(t, i, wide_a);
        for (size_t j = 0; j < t->cols; j += SIDE) {
            run_square(t, i, j, &a, &b[j / SIDE]);
        }
    }
}

static void copy(size_t cols, size_t width, size_t k, const float *from,
                 size_t ld, float *to)
{
    for (size_t p = 0; p < k; p++) {
        for (size_t i = 0; i < width; i++) {
            to[p * width + i] = i < cols ? from[p * ld + i] : 0;
        }
    }
}

static void transpose(size_t cols, size_t width, size_t k, const float *from,
                      size_t ld, float *to)
{
    for (size_t p = 0; p < k; p++) {
        for (size_t i = 0; i < width; i++) {
            to[p * width + i] = i < cols ? from[i * ld + p] : 0;
        }
    }
}

const struct uh_mat_kernel uh_mat_portable = {
    .rows = ROWS,
    .row_unit = SIDE,
    .cols = COLS,
    .lanes = SIDE,
    .k_block = DEPTH,
    .row_block = 4 * ROWS,
    .column_block = 1024,
    .tile = run_tile,
    .copy = copy,
    .transpose = transpose,
};
