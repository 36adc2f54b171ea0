/* mat_portable.c: the kernel without fused instructions: tiles of up to 4 x 4.
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
 * Quickly: t is rounded to float at once.  That is wrong only if t is inexact
 * and the middle of two floats, which its last 29 bits tell among the normal
 * ones.  Among the subnormal ones conversion raises underflow if it is inexact.
 * So a tile is done quickly first, and again with care if it met either.
 */
#include "mat_kernel.h"

#include <fenv.h>
#include <stdint.h>
#include <string.h>

enum { ROWS = 4, LANES = 2, COLS = 2 * LANES };

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef double doubles __attribute__((vector_size(LANES * sizeof(double))));
typedef int32_t halves __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef int64_t signs __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef uint64_t words __attribute__((vector_size(LANES * sizeof(uint64_t))));

#define INLINE static inline __attribute__((always_inline))

INLINE doubles widen(const float *from)
{
    floats narrow;
    memcpy(&narrow, from, sizeof narrow);
    return __builtin_convertvector(narrow, doubles);
}

/* fmaf of each lane; y and s hold floats, and so does the result. */
INLINE doubles fused(double x, doubles y, doubles s)
{
    const doubles product = x * y;
    const doubles t = product + s;
    const doubles q = t - product;
    const doubles e = (product - (t - q)) + (s - q);
    const words inexact = (words)((e > 0) | (e < 0));
    const words bits = (words)t;
    const words cut = (words)((signs)((words)e ^ bits) >> 63);
    const words odd = (((bits + cut) | 1) & inexact) | (bits & ~inexact);
    return __builtin_convertvector(
        __builtin_convertvector((doubles)odd, floats), doubles);
}

/* The low half of a double's bits that lies in the middle of two floats; the
 * high half of tie is never what the mask leaves. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
static const halves below_float = {0x1fffffff, 0, 0x1fffffff, 0};
static const halves tie = {0x10000000, 1, 0x10000000, 1};
#else
static const halves below_float = {0, 0x1fffffff, 0, 0x1fffffff};
static const halves tie = {1, 0x10000000, 1, 0x10000000};
#endif

/* The same if *doubt stays 0 and nothing underflows. */
INLINE doubles fused_quickly(double x, doubles y, doubles s, halves *doubt)
{
    const doubles t = x * y + s;
    *doubt |= ((halves)t & below_float) == tie;
    return __builtin_convertvector(__builtin_convertvector(t, floats), doubles);
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

/* rows and careful are constants where this is inlined; c is COLS wide.
 * Returns whether it is to be done again. */
INLINE int run(const struct uh_mat_tile *t, size_t rows, int careful, float *c)
{
    doubles s[ROWS][2];
#define LOAD(i)                                                                \
    if (i < rows) {                                                            \
        s[i][0] = widen(c + i * COLS);                                         \
        s[i][1] = widen(c + i * COLS + LANES);                                 \
    }
    EACH_ROW(LOAD)
    const size_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    const float *a = t->a, *b = t->b;
    halves doubt = {0};
    for (size_t p = t->k; p > 0; p--) {
        const doubles b0 = widen(b), b1 = widen(b + LANES);
#define STEP(i)                                                                \
    if (i < rows && careful) {                                                 \
        const double x = (double)a[i * a_row];                                 \
        s[i][0] = fused(x, b0, s[i][0]);                                       \
        s[i][1] = fused(x, b1, s[i][1]);                                       \
    } else if (i < rows) {                                                     \
        const double x = (double)a[i * a_row];                                 \
        s[i][0] = fused_quickly(x, b0, s[i][0], &doubt);                       \
        s[i][1] = fused_quickly(x, b1, s[i][1], &doubt);                       \
    }
        EACH_ROW(STEP)
        a += a_step;
        b += b_step;
    }
#define STORE(i)                                                               \
    if (i < rows) {                                                            \
        for (size_t j = 0; j < LANES; j++) {                                   \
            c[i * COLS + j] = (float)s[i][0][j];                               \
            c[i * COLS + LANES + j] = (float)s[i][1][j];                       \
        }                                                                      \
    }
    EACH_ROW(STORE)
    return (doubt[0] | doubt[1] | doubt[2] | doubt[3]) != 0;
}

#if defined(FE_UNDERFLOW)
/* Not inlined, so that the flag is that of what runs between the looks at
 * it. */
__attribute__((noinline)) static int run_quickly(const struct uh_mat_tile *t,
                                                 float *c)
{
    return t->rows == 1   ? run(t, 1, 0, c)
           : t->rows == 2 ? run(t, 2, 0, c)
           : t->rows == 3 ? run(t, 3, 0, c)
                          : run(t, 4, 0, c);
}
#endif

static void run_carefully(const struct uh_mat_tile *t, float *c)
{
    if (t->rows == 1) {
        run(t, 1, 1, c);
    } else if (t->rows == 2) {
        run(t, 2, 1, c);
    } else if (t->rows == 3) {
        run(t, 3, 1, c);
    } else {
        run(t, 4, 1, c);
    }
}

static void load_c(const struct uh_mat_tile *t, float *copy)
{
    for (size_t i = 0; i < t->rows && t->start == UH_FROM_C; i++) {
        memcpy(copy + i * COLS, t->c + i * t->ldc, t->cols * sizeof *copy);
    }
}

/* Without the flag (WebAssembly has none) everything is done carefully. */
static int try_quickly(const struct uh_mat_tile *t, float *copy)
{
#if defined(FE_UNDERFLOW)
    if (fetestexcept(FE_UNDERFLOW)) {
        feclearexcept(FE_UNDERFLOW);
    }
    __asm__ volatile("" : : "r"(copy) : "memory");
    const int doubt = run_quickly(t, copy);
    __asm__ volatile("" : : "r"(copy) : "memory");
    return !doubt && !fetestexcept(FE_UNDERFLOW);
#else
    (void)t;
    (void)copy;
    return 0;
#endif
}

static void run_tile(const struct uh_mat_tile *t)
{
    float copy[ROWS * COLS] = {0};
    load_c(t, copy);
    if (!try_quickly(t, copy)) {
        memset(copy, 0, sizeof copy);
        load_c(t, copy);
        run_carefully(t, copy);
    }
    for (size_t i = 0; i < t->rows; i++) {
        memcpy(t->c + i * t->ldc, copy + i * COLS, t->cols * sizeof *copy);
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
    .cols = COLS,
    .lanes = COLS,
    .k_block = 256,
    .row_block = 32 * ROWS,
    .column_block = 1024,
    .tile = run_tile,
    .copy = copy,
    .transpose = transpose,
};
