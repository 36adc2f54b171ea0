/* mat_portable.c: the kernel without fused instructions: tiles of up to 4 x 4.
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
 */
#include "mat_kernel.h"

#include <stdint.h>
#include <string.h>

enum { ROWS = 4, LANES = 2, COLS = 2 * LANES };

typedef float floats __attribute__((vector_size(LANES * sizeof(float))));
typedef double doubles __attribute__((vector_size(LANES * sizeof(double))));
typedef int64_t words __attribute__((vector_size(LANES * sizeof(int64_t))));

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
    const words inexact = (e > 0) | (e < 0);
    const words bits = (words)t;
    const words cut = ((words)e ^ bits) >> 63;
    const words odd = (((bits + cut) | 1) & inexact) | (bits & ~inexact);
    return __builtin_convertvector(
        __builtin_convertvector((doubles)odd, floats), doubles);
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)

/* rows is a constant where this is inlined; c is COLS wide. */
INLINE void run(const struct uh_mat_tile *t, size_t rows, float *c, size_t ldc)
{
    doubles s[ROWS][2];
#define LOAD(i)                                                                \
    if (i < rows) {                                                            \
        s[i][0] = widen(c + i * ldc);                                          \
        s[i][1] = widen(c + i * ldc + LANES);                                  \
    }
    EACH_ROW(LOAD)
    const size_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step;
    const float *a = t->a, *b = t->b;
    for (size_t p = t->k; p > 0; p--) {
        const doubles b0 = widen(b), b1 = widen(b + LANES);
#define STEP(i)                                                                \
    if (i < rows) {                                                            \
        const double x = (double)a[i * a_row];                                 \
        s[i][0] = fused(x, b0, s[i][0]);                                       \
        s[i][1] = fused(x, b1, s[i][1]);                                       \
    }
        EACH_ROW(STEP)
        a += a_step;
        b += b_step;
    }
#define STORE(i)                                                               \
    if (i < rows) {                                                            \
        for (size_t j = 0; j < LANES; j++) {                                   \
            c[i * ldc + j] = (float)s[i][0][j];                                \
            c[i * ldc + LANES + j] = (float)s[i][1][j];                        \
        }                                                                      \
    }
    EACH_ROW(STORE)
}

static void run_rows(const struct uh_mat_tile *t, float *c, size_t ldc)
{
    switch (t->rows) {
    case 1:
        run(t, 1, c, ldc);
        break;
    case 2:
        run(t, 2, c, ldc);
        break;
    case 3:
        run(t, 3, c, ldc);
        break;
    default:
        run(t, 4, c, ldc);
    }
}

static void run_tile(const struct uh_mat_tile *t)
{
    float copy[ROWS * COLS] = {0};
    if (t->start == UH_FROM_C) {
        for (size_t i = 0; i < t->rows; i++) {
            memcpy(copy + i * COLS, t->c + i * t->ldc, t->cols * sizeof *copy);
        }
    }
    run_rows(t, copy, COLS);
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
