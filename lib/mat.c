/* mat.c: matrix products and sums in one fixed order. */
#include "mat.h"

#include <math.h>

void uh_sgemm(struct uh_pool *pool, enum uh_gemm op, size_t m, size_t n,
              size_t k, const float *a, size_t lda, const float *b, size_t ldb,
              enum uh_start start, float *c, size_t ldc)
{
    (void)pool;
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float s = start == UH_FROM_C ? c[i * ldc + j] : 0.0f;
            for (size_t p = 0; p < k; p++) {
                float x = op == UH_TN ? a[p * lda + i] : a[i * lda + p];
                float y = op == UH_NT ? b[j * ldb + p] : b[p * ldb + j];
                s = fmaf(x, y, s);
            }
            c[i * ldc + j] = s;
        }
    }
}

double uh_sum(size_t n, const double *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += x[i];
    }
    return s;
}

double uh_sumf(size_t n, const float *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)x[i];
    }
    return s;
}

double uh_dot(size_t n, const double *x, const double *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s = fma(x[i], y[i], s);
    }
    return s;
}

double uh_dotf(size_t n, const float *x, const float *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)x[i] * (double)y[i];
    }
    return s;
}
