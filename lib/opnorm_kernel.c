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
    AHEAD = 512, /* floats: of a row that is read from memory */
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

#define WIDENED(from) __builtin_convertvector(*(const floats8 *)(from), lanes8)

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

#define UNDER(name) name##_portable
#define TARGET
#define WIDE(from) WIDENED(from)
#include "opnorm_rows.h"

static const struct uh_opnorm_kernel portable = {
    PORTABLE_ROWS,   PORTABLE_COLS, tile_portable,     dots_portable,
    spread_portable, dot_portable,  subtract_portable, subtract_both_portable};

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

/* gcc 12 makes four instructions of the conversion of a vector. */
#define UNDER(name) name##_512
#define TARGET AVX512
#define WIDE(from) (lanes8) _mm512_cvtps_pd(_mm256_loadu_ps(from))
#include "opnorm_rows.h"

static const struct uh_opnorm_kernel avx512 = {
    WIDE_ROWS,  WIDE_COLS, tile_512,     dots_512,
    spread_512, dot_512,   subtract_512, subtract_both_512};

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

#define UNDER(name) name##_256
#define TARGET AVX2
#define WIDE(from) WIDENED(from)
#include "opnorm_rows.h"

static const struct uh_opnorm_kernel avx2 = {
    AVX2_ROWS,  AVX2_COLS, tile_256,     dots_256,
    spread_256, dot_256,   subtract_256, subtract_both_256};

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

double uh_opnorm_dot(const struct uh_opnorm_kernel *kernel, size_t n,
                     const double *x, const double *y)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += SEGMENT) {
        sum += kernel->dot(n - i < SEGMENT ? n - i : SEGMENT, x + i, y + i);
    }
    return sum;
}

double uh_opnorm_length(const struct uh_opnorm_kernel *kernel, size_t n,
                        const double *x)
{
    return sqrt(uh_opnorm_dot(kernel, n, x, x));
}

double uh_opnorm_length_error(size_t n)
{
    return uh_opnorm_gamma((double)(SEGMENT / LANES + 8 + n / SEGMENT));
}
