/* layer_lrn.h: local response normalization of layer.h.  Floor 3.
 *
 * y[c] = x[c] / d[c]^beta, d[c] = k + alpha / size * (the sum of x[j]^2 over
 * the channels c - size / 2 <= j <= c + (size - 1) / 2 that exist), at each
 * place of the image.
 *
 * Constant  k^-beta (1 + 2 sqrt(size) (beta / (beta + 1))^(beta + 1)) bounds
 *           the Lipschitz constant in the Euclidean norm.  The Jacobian is
 *           diag(d^-beta) - M, row c of M being 2 alpha beta / size x[c]
 *           d[c]^(-beta-1) times x on the window.  With |x[c]| |x on the
 *           window| at most the sum of squares, which is (d[c] - k) size /
 *           alpha, a row of M has at most the norm R = 2 beta max over d of
 *           (d - k) d^(-beta-1), which is attained at d = k (beta + 1) / beta;
 *           and |M v|^2 <= R^2 size |v|^2, as each v[j] is in at most size
 *           windows.
 * Accuracy  in double (uh_log, uh_exp), rounded once: y to 0.5000001 ulp.
 * Memory    from the pool's scratch, three doubles a channel.
 * Source    A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet classification
 *           with deep convolutional neural networks, 2012, section 3.3, with
 *           alpha divided by the size, as in Caffe and PyTorch.
 */
#ifndef UH_LAYER_LRN_H
#define UH_LAYER_LRN_H

#include "layer.h"

void uh_layer_lrn_forward(const struct uh_layer *layer, struct uh_pool *pool,
                          size_t n, const float *x, float *y);

/* The constant above, rounded up. */
double uh_layer_lrn_constant(const struct uh_layer *layer);

/* dx is written. */
void uh_layer_lrn_backward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, const float *dy,
                           float *dx);

#endif
