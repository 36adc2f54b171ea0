/* layer_conv.h: the convolution of layer.h.  Floor 3.
 *
 * Method   The windows of a few images are unfolded into a matrix with a row
 *          per (in-channel, kernel row, kernel column) and a column per
 *          (image, output place); three products of mat.h are the forward
 *          pass and the two gradients.  How many images are unfolded at once
 *          changes no bit: every sum goes on from where the images before
 *          left it.
 * Memory   from the pool's scratch, about 2 MB, released before return.
 * Order    see layer.h.
 */
#ifndef UH_LAYER_CONV_H
#define UH_LAYER_CONV_H

#include "layer.h"

/* y is written; x is (n, in), y is (n, out). */
void uh_layer_conv_forward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, float *y);

/* dweight and dbias are added to, dx is written; each may be NULL. */
void uh_layer_conv_backward(const struct uh_layer *layer, struct uh_pool *pool,
                            size_t n, const float *x, const float *dy,
                            float *dweight, float *dbias, float *dx);

#endif
