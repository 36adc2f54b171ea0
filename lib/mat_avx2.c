/* mat_avx2.c: the kernel for AVX2 and FMA: tiles of up to 6 x 16, 12 sums in
 * registers, 2 registers of b, a broadcast from memory. */
#include "mat_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) AVX2

enum {
    ROWS = 6,
    LANES = 8,
    COLS = 2 * LANES,
    STEPS = 16, /* of p, from one fetch to the next */
    UNROLLED = 8
};

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

/* A mask of the first n lanes, all of them for n >= LANES. */
INLINE __m256i first_lanes(size_t n)
{
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int limit = n < LANES ? (int)n : LANES;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), index);
}

/* rows, vectors, packed and whole are constants where this is inlined. */
INLINE void run(const struct uh_mat_tile *t, size_t rows, size_t vectors,
                int packed, int whole)
{
    __m256 s[ROWS][2];
    const __m256i last = first_lanes(t->cols - (vectors - 1) * LANES);
    const __m256i first = vectors == 2 ? first_lanes(LANES) : last;
    const size_t ldc = t->ldc, b_step = t->b_step;
    float *c = t->c;
    if (t->start == UH_FROM_C) {
#define LOAD(i)                                                                \
    if (i < rows && whole) {                                                   \
        s[i][0] = _mm256_loadu_ps(c + i * ldc);                                \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm256_loadu_ps(c + i * ldc + LANES);                    \
        }                                                                      \
    } else if (i < rows) {                                                     \
        s[i][0] = _mm256_maskload_ps(c + i * ldc, first);                      \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm256_maskload_ps(c + i * ldc + LANES, last);           \
        }                                                                      \
    }
        EACH_ROW(LOAD)
    } else {
#define CLEAR(i)                                                               \
    if (i < rows) {                                                            \
        s[i][0] = _mm256_setzero_ps();                                         \
        s[i][1] = _mm256_setzero_ps();                                         \
    }
        EACH_ROW(CLEAR)
    }
    /* Two pointers and a stride reach 6 rows. */
    const size_t a_row = packed ? 1 : t->a_row;
    const size_t a_step = packed ? rows : t->a_step;
    const float *a0 = t->a, *a3 = rows > 3 ? a0 + 3 * a_row : a0;
    const float *b = t->b;
    const float *next = t->next, *ahead = t->ahead;
    size_t next_rows = t->next_rows, ahead_rows = t->ahead_rows;
#define OF_A(i) (packed ? a0 + (i) : ((i) < 3 ? a0 : a3) + (i) % 3 * a_row)
#define STEP(i)                                                                \
    if (i < rows) {                                                            \
        const __m256 x = _mm256_broadcast_ss(OF_A(i));                         \
        s[i][0] = _mm256_fmadd_ps(x, b0, s[i][0]);                             \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm256_fmadd_ps(x, b1, s[i][1]);                         \
        }                                                                      \
    }
#define EACH_STEP(count)                                                       \
    for (size_t u = 0; u < (count); u++) {                                     \
        const __m256 b0 =                                                      \
            whole ? _mm256_loadu_ps(b) : _mm256_maskload_ps(b, first);         \
        const __m256 b1 = vectors == 1 ? b0                                    \
                          : whole      ? _mm256_loadu_ps(b + LANES)            \
                                       : _mm256_maskload_ps(b + LANES, last);       \
        EACH_ROW(STEP)                                                         \
        a0 += a_step;                                                          \
        if (!packed) {                                                         \
            a3 += a_step;                                                      \
        }                                                                      \
        b += b_step;                                                           \
        if (!packed) {                                                         \
            /* or copies would be counted up, and these behind the loop */     \
            __asm__("" : "+r"(a0), "+r"(a3), "+r"(b));                         \
        }                                                                      \
    }
    for (size_t left = t->k; left > 0;) {
        const size_t steps = left < STEPS ? left : STEPS;
        left -= steps;
        if (next_rows > 0) {
            _mm_prefetch((const char *)next, _MM_HINT_T0);
            _mm_prefetch((const char *)(next + COLS - 1), _MM_HINT_T0);
            next += ldc;
            next_rows--;
        }
        if (ahead_rows > 0) {
            for (size_t i = 0; i < t->ahead_floats; i += UH_MAT_LINE) {
                _mm_prefetch((const char *)(ahead + i), _MM_HINT_T1);
            }
            ahead += t->ahead_step;
            ahead_rows--;
        }
        if (packed && steps == STEPS) {
            for (size_t i = 0; i < STEPS; i += UNROLLED) {
                _Pragma("GCC unroll 8") EACH_STEP(UNROLLED)
            }
        } else {
            EACH_STEP(steps)
        }
    }
    /* The rows' addresses are had anew: kept, they would need the stack. */
    __asm__("" : "+r"(c));
#define STORE(i)                                                               \
    if (i < rows && whole) {                                                   \
        _mm256_storeu_ps(c, s[i][0]);                                          \
        if (vectors == 2) {                                                    \
            _mm256_storeu_ps(c + LANES, s[i][1]);                              \
        }                                                                      \
        c += ldc;                                                              \
    } else if (i < rows) {                                                     \
        _mm256_maskstore_ps(c, first, s[i][0]);                                \
        if (vectors == 2) {                                                    \
            _mm256_maskstore_ps(c + LANES, last, s[i][1]);                     \
        }                                                                      \
        c += ldc;                                                              \
    }
    EACH_ROW(STORE)
}

#define VARIANT(rows)                                                          \
    AVX2 static void tile_##rows(const struct uh_mat_tile *t)                  \
    {                                                                          \
        const int packed = t->a_row == 1 && t->a_step == (rows);               \
        if (t->cols == COLS && packed) {                                       \
            run(t, rows, 2, 1, 1);                                             \
        } else if (t->cols == COLS) {                                          \
            run(t, rows, 2, 0, 1);                                             \
        } else if (t->cols > LANES) {                                          \
            run(t, rows, 2, 0, 0);                                             \
        } else {                                                               \
            run(t, rows, 1, 0, 0);                                             \
        }                                                                      \
    }
VARIANT(1)
VARIANT(2)
VARIANT(3)
VARIANT(4)
VARIANT(5)
VARIANT(6)

static void run_tile(const struct uh_mat_tile *t)
{
    static void (*const variants[ROWS + 1])(const struct uh_mat_tile *) = {
        NULL, tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};
    variants[t->rows](t);
}

AVX2 static void copy(size_t cols, size_t width, size_t k, const float *from,
                      size_t ld, float *to)
{
    for (size_t i = 0; i < width; i += LANES) {
        const __m256i in = first_lanes(cols > i ? cols - i : 0);
        const __m256i out = first_lanes(width - i);
        if (i + LANES <= cols) {
            for (size_t p = 0; p < k; p++) {
                _mm256_storeu_ps(to + p * width + i,
                                 _mm256_loadu_ps(from + p * ld + i));
            }
        } else {
            for (size_t p = 0; p < k; p++) {
                _mm256_maskstore_ps(to + p * width + i, out,
                                    _mm256_maskload_ps(from + p * ld + i, in));
            }
        }
    }
}

#define UNROLL _Pragma("GCC unroll 8")

/* x as 8 x 8 becomes its transpose: pairs, fours, then halves change places. */
INLINE void transpose_square(__m256 x[LANES])
{
    __m256 y[LANES];
    UNROLL
    for (size_t i = 0; i < LANES; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    UNROLL
    for (size_t i = 0; i < LANES; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        y[i] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
        y[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
    }
    UNROLL
    for (size_t i = 0; i < LANES; i++) {
        x[i] = y[i];
    }
}

AVX2 static void transpose(size_t cols, size_t width, size_t k,
                           const float *from, size_t ld, float *to)
{
    for (size_t i0 = 0; i0 < width; i0 += LANES) {
        const size_t rows = cols > i0 ? cols - i0 : 0;
        const __m256i out = first_lanes(width - i0);
        for (size_t p0 = 0; p0 < k; p0 += LANES) {
            const __m256i in = first_lanes(k - p0);
            __m256 x[LANES];
            UNROLL
            for (size_t i = 0; i < LANES; i++) {
                x[i] = i < rows
                           ? _mm256_maskload_ps(from + (i0 + i) * ld + p0, in)
                           : _mm256_setzero_ps();
            }
            transpose_square(x);
            float *row = to + p0 * width + i0;
            UNROLL
            for (size_t p = 0; p < LANES; p++) {
                if (p < k - p0) {
                    _mm256_maskstore_ps(row + p * width, out, x[p]);
                }
            }
        }
    }
}

const struct uh_mat_kernel uh_mat_avx2 = {
    .rows = ROWS,
    .row_unit = 1,
    .cols = COLS,
    .lanes = LANES,
    .k_block = 512,
    .row_block = 40 * ROWS,
    .column_block = 4096,
    .takes_rows = 1,
    .tile = run_tile,
    .copy = copy,
    .transpose = transpose,
};

#endif
