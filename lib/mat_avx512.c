/* mat_avx512.c: the kernel for AVX-512F: tiles of up to 14 x 32, 28 sums in
 * registers, 2 registers of b, a broadcast from memory; for few columns, strips
 * of 32 x up to 10, 20 sums, 2 registers of a, b broadcast. */
#include "mat_kernel.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

/* (gcc, when not told to tune, loads a mask anew in each step) */
#define AVX512 __attribute__((target("avx512f,tune=skylake-avx512")))
#define INLINE static inline __attribute__((always_inline)) AVX512

enum {
    ROWS = 14,
    LANES = 16,
    COLS = 2 * LANES,
    STEPS = 16, /* of p, from one fetch to the next */
    UNROLLED = 4
};

#define EACH_ROW(DO)                                                           \
    DO(0)                                                                      \
    DO(1)                                                                      \
    DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)

/* rows, vectors, packed and whole are constants where this is inlined. */
INLINE void run(const struct uh_mat_tile *t, size_t rows, size_t vectors,
                int packed, int whole)
{
    __m512 s[ROWS][2];
    const size_t rest = t->cols - (vectors - 1) * LANES;
    const __mmask16 last = (__mmask16)((1u << rest) - 1);
    const __mmask16 first = vectors == 2 ? (__mmask16)0xffff : last;
    const size_t ldc = t->ldc, b_step = t->b_step;
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
    }
        EACH_ROW(CLEAR)
    }
    /* Three pointers and a stride reach 14 rows; a pointer for each would not
     * fit into the general registers. */
    const size_t a_row = packed ? 1 : t->a_row;
    const size_t a_step = packed ? rows : t->a_step;
    const float *a0 = t->a;
    const float *a5 = rows > 5 ? a0 + 5 * a_row : a0;
    const float *a10 = rows > 10 ? a0 + 10 * a_row : a0;
    const float *b = t->b;
    const float *next = t->next, *ahead = t->ahead;
    size_t next_rows = t->next_rows, ahead_rows = t->ahead_rows;
#define OF_A(i)                                                                \
    (packed ? a0[i] : ((i) < 5 ? a0 : (i) < 10 ? a5 : a10)[(i) % 5 * a_row])
#define STEP(i)                                                                \
    if (i < rows) {                                                            \
        const __m512 x = _mm512_set1_ps(OF_A(i));                              \
        s[i][0] = _mm512_fmadd_ps(x, b0, s[i][0]);                             \
        if (vectors == 2) {                                                    \
            s[i][1] = _mm512_fmadd_ps(x, b1, s[i][1]);                         \
        }                                                                      \
    }
#define EACH_STEP(count)                                                       \
    for (size_t u = 0; u < (count); u++) {                                     \
        const __m512 b0 =                                                      \
            whole ? _mm512_loadu_ps(b) : _mm512_maskz_loadu_ps(first, b);      \
        const __m512 b1 = vectors == 1 ? b0                                    \
                          : whole      ? _mm512_loadu_ps(b + LANES)            \
                                       : _mm512_maskz_loadu_ps(last, b + LANES);    \
        EACH_ROW(STEP)                                                         \
        a0 += a_step;                                                          \
        if (!packed) {                                                         \
            a5 += a_step;                                                      \
            a10 += a_step;                                                     \
        }                                                                      \
        b += b_step;                                                           \
        if (!packed) {                                                         \
            /* or copies would be counted up, and these behind the loop */     \
            __asm__("" : "+r"(a0), "+r"(a5), "+r"(a10), "+r"(b));              \
        }                                                                      \
    }
    for (size_t left = t->k; left > 0;) {
        const size_t steps = left < STEPS ? left : STEPS;
        left -= steps;
        if (next_rows > 0) {
            _mm_prefetch((const char *)next, _MM_HINT_T0);
            _mm_prefetch((const char *)(next + LANES), _MM_HINT_T0);
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
                _Pragma("GCC unroll 4") EACH_STEP(UNROLLED)
            }
        } else {
            EACH_STEP(steps)
        }
    }
    /* The rows' addresses are had anew: kept, they would need the stack. */
    __asm__("" : "+r"(c));
#define STORE(i)                                                               \
    if (i < rows) {                                                            \
        _mm512_mask_storeu_ps(c, first, s[i][0]);                              \
        if (vectors == 2) {                                                    \
            _mm512_mask_storeu_ps(c + LANES, last, s[i][1]);                   \
        }                                                                      \
        c += ldc;                                                              \
    }
    EACH_ROW(STORE)
}

#define VARIANT(rows)                                                          \
    AVX512 static void tile_##rows(const struct uh_mat_tile *t)                \
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

/* A mask of the first n lanes, all of them for n >= LANES. */
INLINE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n < LANES ? (1u << n) - 1 : 0xffffu);
}

AVX512 static void copy(size_t cols, size_t width, size_t k, const float *from,
                        size_t ld, float *to)
{
    const size_t over = cols > LANES ? cols - LANES : 0;
    const __mmask16 in0 = first_lanes(cols), in1 = first_lanes(over);
    const __mmask16 out0 = first_lanes(width);
    const __mmask16 out1 = first_lanes(width > LANES ? width - LANES : 0);
    for (size_t p = 0; p < k; p++) {
        const __m512 x = _mm512_maskz_loadu_ps(in0, from + p * ld);
        _mm512_mask_storeu_ps(to + p * width, out0, x);
        if (out1) {
            const __m512 y = _mm512_maskz_loadu_ps(in1, from + p * ld + LANES);
            _mm512_mask_storeu_ps(to + p * width + LANES, out1, y);
        }
    }
}

#define UNROLL _Pragma("GCC unroll 16")

/* x as 16 x 16 becomes its transpose: pairs, fours, then quarters change
 * places. */
INLINE void transpose_square(__m512 x[LANES])
{
    __m512 y[LANES];
    UNROLL
    for (size_t i = 0; i < LANES; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    UNROLL
    for (size_t i = 0; i < LANES; i += 4) {
        const __m512d a = _mm512_castps_pd(y[i]);
        const __m512d b = _mm512_castps_pd(y[i + 1]);
        const __m512d c = _mm512_castps_pd(y[i + 2]);
        const __m512d d = _mm512_castps_pd(y[i + 3]);
        x[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        x[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        x[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        x[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    UNROLL
    for (size_t i = 0; i < 4; i++) {
        y[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xdd);
    }
    UNROLL
    for (size_t i = 0; i < 8; i++) {
        x[i] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0xdd);
    }
}

AVX512 static void transpose(size_t cols, size_t width, size_t k,
                             const float *from, size_t ld, float *to)
{
    for (size_t i0 = 0; i0 < width; i0 += LANES) {
        const size_t rows = cols > i0 ? cols - i0 : 0;
        const __mmask16 out = first_lanes(width - i0);
        for (size_t p0 = 0; p0 < k; p0 += LANES) {
            const __mmask16 in = first_lanes(k - p0);
            __m512 x[LANES];
            UNROLL
            for (size_t i = 0; i < LANES; i++) {
                x[i] = _mm512_maskz_loadu_ps(
                    i < rows ? in : 0,
                    from + (i0 + (i < rows ? i : 0)) * ld + p0);
            }
            transpose_square(x);
            float *row = to + p0 * width + i0;
            UNROLL
            for (size_t p = 0; p < LANES; p++) {
                _mm512_mask_storeu_ps(row + p * width, p < k - p0 ? out : 0,
                                      x[p]);
            }
        }
    }
}

/* --- products of few columns ------------------------------------------------ */

enum { NARROW = 10, TALL = 2 * LANES, FOUR = 4 };

#define EACH_COLUMN(DO)                                                        \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9)

/* TALL rows of c, column by column. */
struct strip {
    float s[LANES][TALL];
};

/* x[u] is column u of 16 rows and 4 columns of a.  Fours are loaded, those of
 * rows 4 apart side by side, and only within fours do entries change places.
 * (A broadcast under a mask is had from a load; an insertion takes turns with
 * the shuffles, and with them the product ran a sixteenth slower.) */
INLINE void load_fours(const float *a, size_t lda, __m512 x[FOUR])
{
    __m512 y[FOUR];
#define BESIDE(i, part)                                                        \
    y[i] = _mm512_mask_broadcast_f32x4(                                        \
        y[i], (__mmask16)(0xf << 4 * (part)),                                  \
        _mm_loadu_ps(a + (4 * (part) + (i)) * lda))
#define LOAD_FOURS(i)                                                          \
    y[i] = _mm512_castps128_ps512(_mm_loadu_ps(a + (i)*lda));                  \
    BESIDE(i, 1);                                                              \
    BESIDE(i, 2);                                                              \
    BESIDE(i, 3)
    LOAD_FOURS(0);
    LOAD_FOURS(1);
    LOAD_FOURS(2);
    LOAD_FOURS(3);
    x[0] = _mm512_unpacklo_ps(y[0], y[1]);
    x[1] = _mm512_unpackhi_ps(y[0], y[1]);
    x[2] = _mm512_unpacklo_ps(y[2], y[3]);
    x[3] = _mm512_unpackhi_ps(y[2], y[3]);
    y[0] = _mm512_shuffle_ps(x[0], x[2], 0x44);
    y[1] = _mm512_shuffle_ps(x[0], x[2], 0xee);
    y[2] = _mm512_shuffle_ps(x[1], x[3], 0x44);
    y[3] = _mm512_shuffle_ps(x[1], x[3], 0xee);
    memcpy(x, y, sizeof y);
}

/* cols and vectors are constants where this is inlined. */
INLINE void add_to_strip(const struct uh_mat_narrow *t, const float *a,
                         size_t cols, size_t vectors, struct strip *strip)
{
    __m512 s[NARROW][2];
    const size_t lda = t->lda, b_col = t->b_col, b_step = t->b_step;
    const float *b = t->b, *b5 = cols > 5 ? b + 5 * b_col : b;
#define LOAD_SUMS(j)                                                           \
    if (j < cols) {                                                            \
        s[j][0] = _mm512_loadu_ps(strip->s[j]);                                \
        if (vectors == 2) {                                                    \
            s[j][1] = _mm512_loadu_ps(strip->s[j] + LANES);                    \
        }                                                                      \
    }
#define ADD(j)                                                                 \
    if (j < cols) {                                                            \
        const __m512 y = _mm512_set1_ps(((j) < 5 ? b : b5)[(j) % 5 * b_col]);  \
        s[j][0] = _mm512_fmadd_ps(a0, y, s[j][0]);                             \
        if (vectors == 2) {                                                    \
            s[j][1] = _mm512_fmadd_ps(a1, y, s[j][1]);                         \
        }                                                                      \
    }
#define STORE_SUMS(j)                                                          \
    if (j < cols) {                                                            \
        _mm512_storeu_ps(strip->s[j], s[j][0]);                                \
        if (vectors == 2) {                                                    \
            _mm512_storeu_ps(strip->s[j] + LANES, s[j][1]);                    \
        }                                                                      \
    }
    EACH_COLUMN(LOAD_SUMS)
    size_t left = t->k;
    for (; left >= FOUR; left -= FOUR) {
        __m512 x[2][FOUR];
        load_fours(a, lda, x[0]);
        if (vectors == 2) {
            load_fours(a + LANES * lda, lda, x[1]);
        }
        _Pragma("GCC unroll 4") for (size_t u = 0; u < FOUR; u++)
        {
            const __m512 a0 = x[0][u], a1 = x[vectors - 1][u];
            EACH_COLUMN(ADD)
            b += b_step;
            b5 += b_step;
            __asm__("" : "+r"(b), "+r"(b5));
        }
        a += FOUR;
    }
    for (; left > 0; left--) {
        float x[TALL] = {0};
        for (size_t i = 0; i < vectors * LANES; i++) {
            x[i] = a[i * lda];
        }
        const __m512 a0 = _mm512_loadu_ps(x), a1 = _mm512_loadu_ps(x + LANES);
        EACH_COLUMN(ADD)
        b += b_step;
        b5 += b_step;
        a++;
    }
    EACH_COLUMN(STORE_SUMS)
}

#define NARROW_VARIANT(cols)                                                   \
    AVX512 static void narrow_##cols(const struct uh_mat_narrow *t,            \
                                     const float *a, size_t rows,              \
                                     struct strip *strip)                      \
    {                                                                          \
        if (rows == TALL) {                                                    \
            add_to_strip(t, a, cols, 2, strip);                                \
        } else {                                                               \
            add_to_strip(t, a, cols, 1, strip);                                \
        }                                                                      \
    }
NARROW_VARIANT(1)
NARROW_VARIANT(2)
NARROW_VARIANT(3)
NARROW_VARIANT(4)
NARROW_VARIANT(5)
NARROW_VARIANT(6)
NARROW_VARIANT(7)
NARROW_VARIANT(8)
NARROW_VARIANT(9)
NARROW_VARIANT(10)

/* Rows first to end. */
AVX512 static void store_strip(const struct strip *strip, size_t cols,
                               size_t first, size_t end, float *c, size_t ldc)
{
    const __mmask16 out = first_lanes(cols);
    for (size_t i0 = 0; i0 < end; i0 += LANES) {
        __m512 x[LANES];
        UNROLL
        for (size_t j = 0; j < LANES; j++) {
            x[j] = _mm512_loadu_ps(strip->s[j] + i0);
        }
        transpose_square(x);
        UNROLL
        for (size_t i = 0; i < LANES; i++) {
            if (i0 + i >= first) {
                _mm512_mask_storeu_ps(c + (i0 + i) * ldc, out, x[i]);
            }
        }
    }
}

/* The last rows are done along with some before them, which are not stored. */
AVX512 static void run_narrow(const struct uh_mat_narrow *t)
{
    static void (*const variants[NARROW + 1])(
        const struct uh_mat_narrow *, const float *, size_t, struct strip *) = {
        NULL,     narrow_1, narrow_2, narrow_3, narrow_4, narrow_5,
        narrow_6, narrow_7, narrow_8, narrow_9, narrow_10};
    struct strip strip;
    for (size_t done = 0; done < t->rows;) {
        const size_t left = t->rows - done;
        const size_t rows = left <= LANES ? LANES : TALL;
        const size_t i = left < rows ? t->rows - rows : done;
        float *c = t->c + i * t->ldc;
        memset(&strip, 0, sizeof strip);
        if (t->start == UH_FROM_C) {
            transpose(rows, TALL, t->cols, c, t->ldc, strip.s[0]);
        }
        variants[t->cols](t, t->a + i * t->lda, rows, &strip);
        store_strip(&strip, t->cols, done - i, rows, c, t->ldc);
        done = i + rows;
    }
}

const struct uh_mat_kernel uh_mat_avx512 = {
    .rows = ROWS,
    .row_unit = 1,
    .cols = COLS,
    .lanes = LANES,
    .k_block = 512,
    .row_block = 24 * ROWS,
    .column_block = 4096,
    .takes_rows = 1,
    .tile = run_tile,
    .copy = copy,
    .transpose = transpose,
    .narrow_rows = TALL,
    .narrow_cols = NARROW,
    .narrow = run_narrow,
};

#endif
