/* ref_opnorm.h: the matrix of a layer by the definition, and its singular
 * values by LAPACK.  Shares no code with opnorm. */
#ifndef REF_OPNORM_H
#define REF_OPNORM_H

#include "layer.h"

/* (out, in) of a dense, conv or meanpool layer, out channel c times scale[c]
 * (NULL: 1); free it. */
double *ref_opnorm_matrix(const struct uh_layer *layer, const float *scale);

/* All min(m, n) singular values of an m x n matrix, descending, of which the
 * first is the norm; free them. */
double *ref_opnorm_singular(size_t m, size_t n, const double *a);

/* |A v| / |v| by long double sums. */
double ref_opnorm_gain(size_t m, size_t n, const double *a, const double *v);

#endif
