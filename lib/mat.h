/* mat.h: matrix products and sums in one fixed order.  Floor 1.
 *
 * Matrices are row-major: entry (i, j) of a matrix with the leading dimension
 * lda is a[i * lda + j], lda at least the number of its columns.
 *
 * Special of all: signs of zero, subnormals and infinities come out as fmaf
 * makes them; that a result is NaN is promised, its payload and sign are not.
 */
#ifndef UH_MAT_H
#define UH_MAT_H

#include "cells.h"

#include <stddef.h>

/* op(a) is m x k, op(b) is k x n. */
enum uh_gemm {
    UH_NN, /* a is m x k, b is k x n */
    UH_NT, /* a is m x k, b is n x k, transposed */
    UH_TN  /* a is k x m, transposed, b is k x n */
};

enum uh_start {
    UH_FROM_ZERO, /* what c held is not read */
    UH_FROM_C     /* the sum goes on from what c holds, a bias for example */
};

/* c = op(a) op(b), or c + op(a) op(b).
 *
 * Method   each c[i][j] is one chain of fused multiply-adds over ascending p,
 *              s = +0 or c[i][j];  s = fmaf(op(a)[i][p], op(b)[p][j], s);
 *          kernels differ in which entries they compute side by side, never
 *          in the order within one.  Threads share rows or columns of c, so
 *          rows computed in two calls have the same bits as in one.
 * Lane     exact: the same bits for every kernel, thread count and compiler.
 * Shapes   c is m x n; c overlaps neither a nor b.  m, n, k may be 0: k = 0
 *          gives +0, or leaves c as it is.  Only the m x n entries of c are
 *          written.
 * Memory   scratch of the pool's threads, released before return.
 * Source   after BLAS's sgemm (Dongarra et al., ACM TOMS 16 (1990) 1-17) and
 *          the blocking of Goto and van de Geijn, ACM TOMS 34 (2008) 12.
 */
void uh_sgemm(struct uh_pool *pool, enum uh_gemm op, size_t m, size_t n,
              size_t k, const float *a, size_t lda, const float *b, size_t ldb,
              enum uh_start start, float *c, size_t ldc);

/* The kernels of uh_sgemm.  All give the same bits. */
enum uh_kernel {
    UH_KERNEL_PORTABLE, /* C, without fused instructions: they are emulated */
    UH_KERNEL_AVX2,     /* AVX2 and FMA */
    UH_KERNEL_AVX512    /* AVX-512F */
};

/* Whether this machine, and this build, can run it. */
int uh_kernel_runs(enum uh_kernel kernel);

/* "portable", "avx2", "avx512": what UH_KERNEL calls it. */
const char *uh_kernel_name(enum uh_kernel kernel);

/* The kernel that uh_sgemm takes: the one that UH_KERNEL in the environment
 * names, else the last above that this machine runs.  Another name, or one
 * that this machine lacks, is one line, exit 2. */
enum uh_kernel uh_kernel_choice(void);

/* uh_sgemm with a kernel that runs here; for tests and benchmarks. */
void uh_sgemm_with(enum uh_kernel kernel, struct uh_pool *pool, enum uh_gemm op,
                   size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const float *b, size_t ldb, enum uh_start start, float *c,
                   size_t ldc);

/* x[0] + x[1] + ... + x[n-1], one after the other from +0, in double.
 *
 * Lane     exact.
 * Accuracy the error is at most (n-1) u / (1 - (n-1) u) times the sum of
 *          |x[i]|, u = 2^-53; Higham, Accuracy and Stability of Numerical
 *          Algorithms, 2nd ed., (4.4).
 */
double uh_sum(size_t n, const double *x);

/* The same of floats, which double holds exactly. */
double uh_sumf(size_t n, const float *x);

/* The chain s = fma(x[i], y[i], s) over ascending i from +0, in double.
 * Accuracy: n u / (1 - n u) times the sum of |x[i] y[i]|; Higham, (3.5). */
double uh_dot(size_t n, const double *x, const double *y);

/* The same of floats; a product of two is exact in double, so each step rounds
 * once with or without fma. */
double uh_dotf(size_t n, const float *x, const float *y);

#endif
