/* ref_mat.c: the naive twins of mat.h. */
#include "ref_mat.h"

#include <math.h>

void ref_sgemm(enum uh_gemm op, size_t m, size_t n, size_t k, const float *a,
               size_t lda, const float *b, size_t ldb, enum uh_start start,
               float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            float s = start == UH_FROM_C ? c[i * ldc + j] : 0.0f;
            for (size_t p = 0; p < k; p++) {
                const float x = op == UH_TN ? a[p * lda + i] : a[i * lda + p];
                const float y = op == UH_NT ? b[j * ldb + p] : b[p * ldb + j];
                s = fmaf(x, y, s);
            }
            c[i * ldc + j] = s;
        }
    }
}
