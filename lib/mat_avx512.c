/* mat_avx512.c: the kernel for AVX-512F: tiles of up to 14 x 32, 28 sums in
 * registers, 2 registers of b, a broadcast from memory. */
#include "mat_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline)) AVX512

enum { ROWS = 14, LANES = 16, COLS = 2 * LANES };

#define EACH_ROW(DO)                                                           \
    DO(0)                                                                      \
    DO(1)                                                                      \
    DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12)       \
        DO(13)

/* rows, vectors and strided are constants where this is inlined. */
INLINE void run(const struct uh_mat_tile *t, size_t rows, size_t vectors,
                int strided)
{
    __m512 s[ROWS][2];
    const size_t rest = t->cols - (vectors - 1) * LANES;
    const __mmask16 last = (__mmask16)((1u << rest) - 1);
    const __mmask16 first = vectors == 2 ? (__mmask16)0xffff : last;
    const size_t ldc = t->ldc, a_step = t->a_step, b_step = t->b_step;
    float *c = t->c;
    if (t->start == UH_FROM_C) {
#define LOAD(i)                                                                \
    if (i < rows) {                                                            \
        s[i][0] = _mm512_maskz_loadu_ps(first, c + i * ldc);                   \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm512_maskz_loadu_ps(last, c + i * ldc + LANES);        \
        }                                                                      \
    }
        EACH_ROW(LOAD)
    } else {
#define CLEAR(i)                                                               \
    if (i < rows) {                                                            \
        s[i][0] = _mm512_setzero_ps();                                         \
        s[i][1] = _mm512_setzero_ps();                                         \
        _mm_prefetch((const char *)(c + i * ldc), _MM_HINT_T0);                \
        _mm_prefetch((const char *)(c + i * ldc + LANES), _MM_HINT_T0);        \
    }
        EACH_ROW(CLEAR)
    }
    /* Three pointers and a stride reach 14 rows; a pointer for each would not
     * fit into the general registers. */
    const size_t a_row = strided ? t->a_row : 1;
    const float *a0 = t->a;
    const float *a5 = rows > 5 ? a0 + 5 * a_row : a0;
    const float *a10 = rows > 10 ? a0 + 10 * a_row : a0;
    const float *b = t->b;
    for (size_t p = t->k; p > 0; p--) {
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = vectors == 2 ? _mm512_loadu_ps(b + LANES) : b0;
#define OF_A(i)                                                                \
    (strided ? ((i) < 5 ? a0 : (i) < 10 ? a5 : a10)[(i) % 5 * a_row] : a0[i])
#define STEP(i)                                                                \
    if (i < rows) {                                                            \
        const __m512 x = _mm512_set1_ps(OF_A(i));                              \
        s[i][0] = _mm512_fmadd_ps(x, b0, s[i][0]);                             \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm512_fmadd_ps(x, b1, s[i][1]);                         \
        }                                                                      \
    }
        EACH_ROW(STEP)
        a0 += a_step;
        if (strided) {
            a5 += a_step;
            a10 += a_step;
        }
        b += b_step;
    }
#define STORE(i)                                                               \
    if (i < rows) {                                                            \
        _mm512_mask_storeu_ps(c + i * ldc, first, s[i][0]);                    \
        if (vectors == 2) {                                                    \
            _mm512_mask_storeu_ps(c + i * ldc + LANES, last, s[i][1]);         \
        }                                                                      \
    }
    EACH_ROW(STORE)
}

#define VARIANT(rows)                                                          \
    AVX512 static void tile_##rows(const struct uh_mat_tile *t)                \
    {                                                                          \
        if (t->cols > LANES) {                                                 \
            if (t->a_row == 1) {                                               \
                run(t, rows, 2, 0);                                            \
            } else {                                                           \
                run(t, rows, 2, 1);                                            \
            }                                                                  \
        } else if (t->a_row == 1) {                                            \
            run(t, rows, 1, 0);                                                \
        } else {                                                               \
            run(t, rows, 1, 1);                                                \
        }                                                                      \
    }
VARIANT(1)
VARIANT(2)
VARIANT(3)
VARIANT(4)
VARIANT(5)
VARIANT(6)
VARIANT(7)
VARIANT(8)
VARIANT(9)
VARIANT(10)
VARIANT(11)
VARIANT(12)
VARIANT(13)
VARIANT(14)

static void run_tile(const struct uh_mat_tile *t)
{
    static void (*const variants[ROWS + 1])(const struct uh_mat_tile *) = {
        NULL,   tile_1, tile_2,  tile_3,  tile_4,  tile_5,  tile_6, tile_7,
        tile_8, tile_9, tile_10, tile_11, tile_12, tile_13, tile_14};
    variants[t->rows](t);
}

const struct uh_mat_kernel uh_mat_avx512 = {
    .rows = ROWS,
    .cols = COLS,
    .lanes = LANES,
    .k_block = 384,
    .row_block = 24 * ROWS,
    .column_block = 4096,
    .tile = run_tile,
    .transpose = uh_mat_transpose,
};

#endif
