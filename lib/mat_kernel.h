/* mat_kernel.h: what mat.c asks of a kernel; internal to mat.  Floor 1.
 *
 * A tile is a small rectangle of c that stays in registers while p runs:
 *
 *     c[i * ldc + j] = chain over p = 0..k-1 of
 *                      fmaf(a[i * a_row + p * a_step], b[p * b_step + j], s)
 *
 * for i < rows, j < cols, from +0 or from c.  Of b and c only cols columns are
 * touched.
 */
#ifndef UH_MAT_KERNEL_H
#define UH_MAT_KERNEL_H

#include "mat.h"

enum { UH_MAT_LINE = 16 /* floats of a cache line */ };

struct uh_mat_tile {
    size_t rows, cols; /* 1 to the kernel's rows and cols */
    size_t k;          /* at least 1 */
    const float *a;
    size_t a_row, a_step;
    const float *b;
    size_t b_step;
    float *c;
    size_t ldc;
    enum uh_start start;
    /* What is needed after this tile, to be fetched behind its arithmetic: the
     * next tile of c, and rows of b, so many floats of each; none: rows 0. */
    const float *next, *ahead;
    size_t next_rows, ahead_rows, ahead_floats, ahead_step;
};

/* A product of so few columns that entries of a row do not fill a vector; those
 * of a column do:
 *
 *     c[i * ldc + j] = chain over p = 0..k-1 of
 *                      fmaf(a[i * lda + p], b[p * b_step + j * b_col], s)
 */
struct uh_mat_narrow {
    size_t rows, cols; /* at least narrow_rows, at most narrow_cols */
    size_t k;          /* at least 1 */
    const float *a;
    size_t lda;
    const float *b;
    size_t b_step, b_col;
    float *c;
    size_t ldc;
    enum uh_start start;
};

struct uh_mat_kernel {
    size_t rows, cols;              /* of its largest tile */
    size_t row_unit;                /* a tile's rows had better divide by it */
    size_t lanes;                   /* a packed panel's columns divide by it */
    size_t k_block;                 /* length of a packed panel */
    size_t row_block, column_block; /* of packed a, of packed b */
    int takes_rows; /* a tile is as fast with a in rows as with a packed */
    void (*tile)(const struct uh_mat_tile *tile);
    /* to[p * width + i] = from[p * ld + i] for p < k, i < cols, and 0 for
     * cols <= i < width; width is at most the larger side of a tile. */
    void (*copy)(size_t cols, size_t width, size_t k, const float *from,
                 size_t ld, float *to);
    /* The same from[i * ld + p], transposed. */
    void (*transpose)(size_t cols, size_t width, size_t k, const float *from,
                      size_t ld, float *to);
    /* For few columns; NULL, and narrow_cols 0: there is none. */
    size_t narrow_rows, narrow_cols;
    void (*narrow)(const struct uh_mat_narrow *product);
};

extern const struct uh_mat_kernel uh_mat_portable;
#if defined(__x86_64__)
extern const struct uh_mat_kernel uh_mat_avx2;
extern const struct uh_mat_kernel uh_mat_avx512;
#endif

#endif
