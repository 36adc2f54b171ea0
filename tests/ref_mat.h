/* ref_mat.h: the naive twins of mat.h, the definition and nothing else. */
#ifndef REF_MAT_H
#define REF_MAT_H

#include "mat.h"

/* uh_sgemm by fmaf of the C library, entry after entry. */
void ref_sgemm(enum uh_gemm op, size_t m, size_t n, size_t k, const float *a,
               size_t lda, const float *b, size_t ldb, enum uh_start start,
               float *c, size_t ldc);

#endif
