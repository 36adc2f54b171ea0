/* opnorm_kernel.c: products in double, in one order for every instruction set.
 */
#include "opnorm_parts.h"

#include "die.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    LANES = 16,
    STEP = UH_OPNORM_STEP,
    SEGMENT = UH_OPNORM_SEGMENT,
    MOST_COLS = 13 /* of any kernel's tile */
};

/* Sixteen sums as vectors that each instruction set cuts as it likes. */
typedef double lanes8 __attribute__((vector_size(64), aligned(8)));
typedef float floats8 __attribute__((vector_size(32), aligned(4)));

#define INLINE static inline __attribute__((always_inline))

INLINE double folded(const double s[LANES])
{
    double t[LANES];
    memcpy(t, s, sizeof t);
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            t[i] += t[i + half];
        }
    }
    return t[0];
}

INLINE double dot(size_t n, const double *x, const double *y)
{
    lanes8 a = {0}, b = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        a += *(const lanes8 *)(x + i) * *(const lanes8 *)(y + i);
        b += *(const lanes8 *)(x + i + 8) * *(const lanes8 *)(y + i + 8);
    }
    double s[LANES];
    memcpy(s, &a, sizeof a);
    memcpy(s + 8, &b, sizeof b);
    for (size_t j = 0; i < n; i++, j++) {
        s[j] += x[i] * y[i];
    }
    return folded(s);
}

INLINE void subtract(size_t n, double c, const double *x, double *y)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        *(lanes8 *)(y + i) -= c * *(const lanes8 *)(x + i);
    }
    for (; i < n; i++) {
        y[i] -= c * x[i];
    }
}

#define WIDE(from) __builtin_convertvector(*(const floats8 *)(from), lanes8)

INLINE void dots_segment(size_t n, const float *w0, const float *w1,
                         const float *w2, const float *w3, const double *x,
                         double sum[UH_OPNORM_ROWS])
{
    lanes8 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
    lanes8 b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const lanes8 u = *(const lanes8 *)(x + i);
        const lanes8 v = *(const lanes8 *)(x + i + 8);
        a0 += u * WIDE(w0 + i);
        b0 += v * WIDE(w0 + i + 8);
        a1 += u * WIDE(w1 + i);
        b1 += v * WIDE(w1 + i + 8);
        a2 += u * WIDE(w2 + i);
        b2 += v * WIDE(w2 + i + 8);
        a3 += u * WIDE(w3 + i);
        b3 += v * WIDE(w3 + i + 8);
    }
    const float *const w[UH_OPNORM_ROWS] = {w0, w1, w2, w3};
    double s[UH_OPNORM_ROWS][LANES];
    memcpy(s[0], &a0, sizeof a0);
    memcpy(s[0] + 8, &b0, sizeof b0);
    memcpy(s[1], &a1, sizeof a1);
    memcpy(s[1] + 8, &b1, sizeof b1);
    memcpy(s[2], &a2, sizeof a2);
    memcpy(s[2] + 8, &b2, sizeof b2);
    memcpy(s[3], &a3, sizeof a3);
    memcpy(s[3] + 8, &b3, sizeof b3);
    for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
        for (size_t p = i, j = 0; p < n; p++, j++) {
            s[r][j] += x[p] * (double)w[r][p];
        }
        sum[r] += folded(s[r]);
    }
}

INLINE void dots(size_t n, const float *const rows[UH_OPNORM_ROWS],
                 const double *x, double sum[UH_OPNORM_ROWS])
{
    for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
        sum[r] = 0;
    }
    for (size_t i = 0; i < n; i += SEGMENT) {
        dots_segment(n - i < SEGMENT ? n - i : SEGMENT, rows[0] + i,
                     rows[1] + i, rows[2] + i, rows[3] + i, x + i, sum);
    }
}

INLINE void spread(size_t n, const float *const rows[UH_OPNORM_ROWS],
                   const double t[UH_OPNORM_ROWS], double *z)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        lanes8 s = *(const lanes8 *)(z + i);
        s += t[0] * WIDE(rows[0] + i);
        s += t[1] * WIDE(rows[1] + i);
        s += t[2] * WIDE(rows[2] + i);
        s += t[3] * WIDE(rows[3] + i);
        *(lanes8 *)(z + i) = s;
    }
    for (; i < n; i++) {
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            z[i] += t[r] * (double)rows[r][i];
        }
    }
}

/* The same four bodies, compiled once for each instruction set. */
#define BODIES(name, TARGET)                                                   \
    TARGET static double dot_##name(size_t n, const double *x,                 \
                                    const double *y)                           \
    {                                                                          \
        return dot(n, x, y);                                                   \
    }                                                                          \
    TARGET static void subtract_##name(size_t n, double c, const double *x,    \
                                       double *y)                              \
    {                                                                          \
        subtract(n, c, x, y);                                                  \
    }                                                                          \
    TARGET static void dots_##name(                                            \
        size_t n, const float *const rows[UH_OPNORM_ROWS], const double *x,    \
        double sum[UH_OPNORM_ROWS])                                            \
    {                                                                          \
        dots(n, rows, x, sum);                                                 \
    }                                                                          \
    TARGET static void spread_##name(                                          \
        size_t n, const float *const rows[UH_OPNORM_ROWS],                     \
        const double t[UH_OPNORM_ROWS], double *z)                             \
    {                                                                          \
        spread(n, rows, t, z);                                                 \
    }

/* -- portable -------------------------------------------------------------- */

enum { PORTABLE_ROWS = 4, PORTABLE_COLS = 4 };

static void tile_portable(size_t k, const double *a, const double *b,
                          size_t cols, double *c, size_t ldc)
{
    for (size_t j = 0; j < cols; j++) {
        double s[PORTABLE_ROWS] = {0};
        for (size_t p = 0; p < k; p++) {
            for (size_t i = 0; i < PORTABLE_ROWS; i++) {
                s[i] = fma(a[p * PORTABLE_ROWS + i], b[j * STEP + p], s[i]);
            }
        }
        for (size_t i = 0; i < PORTABLE_ROWS; i++) {
            c[j * ldc + i] += s[i];
        }
    }
}

BODIES(portable, )

static const struct uh_opnorm_kernel portable = {
    PORTABLE_ROWS,   PORTABLE_COLS, tile_portable,    dots_portable,
    spread_portable, dot_portable,  subtract_portable};

#if defined(__x86_64__)

/* -- AVX-512: 16 x 13, 26 sums in registers ----------------------------------- */

#define AVX512 __attribute__((target("avx512f")))

enum { WIDE_ROWS = 16, WIDE_COLS = MOST_COLS };

#define EACH_COLUMN(DO)                                                        \
    DO(0)                                                                      \
    DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)

/* cols is a constant where this is inlined. */
AVX512 INLINE void run_512(size_t k, const double *a, const double *b,
                           size_t cols, double *c, size_t ldc)
{
    __m512d s[WIDE_COLS][2];
#define CLEAR(j)                                                               \
    if (j < cols) {                                                            \
        s[j][0] = _mm512_setzero_pd();                                         \
        s[j][1] = _mm512_setzero_pd();                                         \
    }
    EACH_COLUMN(CLEAR)
#undef CLEAR
    for (; k > 0; k--) {
        const __m512d x = _mm512_loadu_pd(a), y = _mm512_loadu_pd(a + 8);
#define ADD(j)                                                                 \
    if (j < cols) {                                                            \
        const __m512d t = _mm512_set1_pd(b[j * STEP]);                         \
        s[j][0] = _mm512_fmadd_pd(x, t, s[j][0]);                              \
        s[j][1] = _mm512_fmadd_pd(y, t, s[j][1]);                              \
    }
        EACH_COLUMN(ADD)
#undef ADD
        a += WIDE_ROWS;
        b++;
    }
#define STORE(j)                                                               \
    if (j < cols) {                                                            \
        double *to = c + j * ldc;                                              \
        _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), s[j][0]));     \
        to += 8;                                                               \
        _mm512_storeu_pd(to, _mm512_add_pd(_mm512_loadu_pd(to), s[j][1]));     \
    }
    EACH_COLUMN(STORE)
#undef STORE
}

#define CASE(n)                                                                \
    case n:                                                                    \
        run_512(k, a, b, n, c, ldc);                                           \
        break;

AVX512 static void tile_512(size_t k, const double *a, const double *b,
                            size_t cols, double *c, size_t ldc)
{
    switch (cols) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
    default:
        run_512(k, a, b, WIDE_COLS, c, ldc);
    }
}
#undef CASE

BODIES(512, AVX512)

static const struct uh_opnorm_kernel avx512 = {
    WIDE_ROWS,  WIDE_COLS, tile_512,    dots_512,
    spread_512, dot_512,   subtract_512};

/* -- AVX2: 8 x 6, 12 sums in registers ------------------------------------------ */

#define AVX2 __attribute__((target("avx2,fma")))

enum { AVX2_ROWS = 8, AVX2_COLS = 6 };

AVX2 INLINE void run_256(size_t k, const double *a, const double *b,
                         size_t cols, double *c, size_t ldc)
{
    __m256d s[AVX2_COLS][2];
#define EACH_OF_SIX(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define CLEAR(j)                                                               \
    if (j < cols) {                                                            \
        s[j][0] = _mm256_setzero_pd();                                         \
        s[j][1] = _mm256_setzero_pd();                                         \
    }
    EACH_OF_SIX(CLEAR)
#undef CLEAR
    for (; k > 0; k--) {
        const __m256d x = _mm256_loadu_pd(a), y = _mm256_loadu_pd(a + 4);
#define ADD(j)                                                                 \
    if (j < cols) {                                                            \
        const __m256d t = _mm256_set1_pd(b[j * STEP]);                         \
        s[j][0] = _mm256_fmadd_pd(x, t, s[j][0]);                              \
        s[j][1] = _mm256_fmadd_pd(y, t, s[j][1]);                              \
    }
        EACH_OF_SIX(ADD)
#undef ADD
        a += AVX2_ROWS;
        b++;
    }
#define STORE(j)                                                               \
    if (j < cols) {                                                            \
        double *to = c + j * ldc;                                              \
        _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), s[j][0]));     \
        to += 4;                                                               \
        _mm256_storeu_pd(to, _mm256_add_pd(_mm256_loadu_pd(to), s[j][1]));     \
    }
    EACH_OF_SIX(STORE)
#undef STORE
}

AVX2 static void tile_256(size_t k, const double *a, const double *b,
                          size_t cols, double *c, size_t ldc)
{
    switch (cols) {
    case 1:
        run_256(k, a, b, 1, c, ldc);
        break;
    case 2:
        run_256(k, a, b, 2, c, ldc);
        break;
    case 3:
        run_256(k, a, b, 3, c, ldc);
        break;
    case 4:
        run_256(k, a, b, 4, c, ldc);
        break;
    case 5:
        run_256(k, a, b, 5, c, ldc);
        break;
    default:
        run_256(k, a, b, AVX2_COLS, c, ldc);
    }
}

BODIES(256, AVX2)

static const struct uh_opnorm_kernel avx2 = {AVX2_ROWS,   AVX2_COLS,  tile_256,
                                             dots_256,    spread_256, dot_256,
                                             subtract_256};

#endif

const struct uh_opnorm_kernel *uh_opnorm_kernel_of(enum uh_kernel kernel)
{
#if defined(__x86_64__)
    if (kernel == UH_KERNEL_AVX512) {
        return &avx512;
    }
    if (kernel == UH_KERNEL_AVX2) {
        return &avx2;
    }
#endif
    (void)kernel;
    return &portable;
}

/* -- what is made of them ---------------------------------------------------------- */

void uh_opnorm_multiply(const struct uh_opnorm_kernel *kernel, size_t depth,
                        size_t used, const double *packed, size_t i0, size_t i1,
                        size_t j0, size_t j1, uh_opnorm_fill *fill,
                        const void *context, double *c, size_t ldc)
{
    double panel[MOST_COLS * STEP];
    const size_t rows = kernel->rows;
    for (size_t p = 0; p < used; p += UH_OPNORM_DEPTH) {
        const size_t k =
            used - p < UH_OPNORM_DEPTH ? used - p : UH_OPNORM_DEPTH;
        for (size_t j = j0; j < j1; j += kernel->cols) {
            const size_t cols = j1 - j < kernel->cols ? j1 - j : kernel->cols;
            for (size_t q = 0; q < cols; q++) {
                fill(context, j + q, p, k, panel + q * STEP);
            }
            for (size_t i = i0; i < i1; i++) {
                kernel->tile(k, packed + (i * depth + p) * rows, panel, cols,
                             c + (j - j0) * ldc + (i - i0) * rows, ldc);
            }
        }
    }
}

double uh_opnorm_gamma(double k)
{
    return 1.0001 * k * UH_UNIT / (1 - 1.0001 * k * UH_UNIT);
}

double uh_opnorm_chain(size_t depth)
{
    const size_t block = depth < UH_OPNORM_DEPTH ? depth : UH_OPNORM_DEPTH;
    return uh_opnorm_gamma((double)(block + depth / UH_OPNORM_DEPTH + 2));
}

double uh_opnorm_length(const struct uh_opnorm_kernel *kernel, size_t n,
                        const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += SEGMENT) {
        sum += kernel->dot(n - i < SEGMENT ? n - i : SEGMENT, x + i, x + i);
    }
    return sqrt(sum);
}

double uh_opnorm_length_error(size_t n)
{
    return uh_opnorm_gamma((double)(SEGMENT / LANES + 8 + n / SEGMENT));
}
