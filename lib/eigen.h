/* eigen.h: small symmetric matrices: eigenvalues, Cholesky.  Floor 1.
 *
 * Method   Jacobi's cyclic method: rotations make one pair of entries zero at
 *          a time, and the sum of squares beside the diagonal falls; quadratic
 *          convergence.  Golub and Van Loan, Matrix Computations, 4th ed.,
 *          section 8.5.
 * Lane     exact.
 * Accuracy a few n units in the last place of the largest eigenvalue.
 * Time     about 30 n^3 multiplications, twice that with vectors: for n up to
 *          some hundreds.
 */
#ifndef UH_EIGEN_H
#define UH_EIGEN_H

#include "arena.h"

#include <stddef.h>

/* The eigenvalues of a, n x n and symmetric, are left on its diagonal, in no
 * order.  vectors, unless NULL, n x n, gets the orthogonal q whose column k
 * belongs to entry k: a = q diag q'. */
void uh_eigen_symmetric(size_t n, double *a, double *vectors);

/* The largest eigenvalue; a is destroyed. */
double uh_eigen_largest(size_t n, double *a);

/* g = w w', n x n, of w, n x m row-major. */
void uh_gram(size_t n, size_t m, const float *w, double *g);

/* The n singular values of w, n x m, descending; beyond the m-th they are 0 up
 * to rounding.  By the Gram matrix: relative to the largest, s, a value v has
 * an error of about 1e-16 s / v. */
void uh_singular_values(size_t n, size_t m, const float *w, double *value,
                        struct uh_arena *scratch);

/* The norm of w, n x m, through the smaller Gram matrix; n m >= 1. */
double uh_matrix_norm(size_t n, size_t m, const float *w,
                      struct uh_arena *scratch);

/* a = l l' of a symmetric matrix, n x n; l replaces the lower triangle.  0 if
 * a pivot is at most least times its diagonal entry, or NaN: then a is not
 * safely positive definite, and is destroyed. */
int uh_cholesky(size_t n, double *a, double least);

/* x = l^-1 x and x = l'^-1 x, where l is a lower triangle. */
void uh_solve_lower(size_t n, const double *l, double *x);
void uh_solve_lower_transposed(size_t n, const double *l, double *x);

#endif
