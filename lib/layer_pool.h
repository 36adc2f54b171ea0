/* layer_pool.h: max- and mean-pooling of layer.h.  Floor 3.
 *
 * Windows begin at output place * stride - pad.  Padding never wins a maximum;
 * of equal entries the first in scan order (row, then column) wins; a NaN wins
 * over all that is none.  A mean divides by the number of places of the window
 * that lie in the padded image: padding counts, what lies beyond it (in ceiling
 * mode) does not.
 */
#ifndef UH_LAYER_POOL_H
#define UH_LAYER_POOL_H

#include "layer.h"

/* choice, (n, out), is written for maxpool unless NULL. */
void uh_layer_pool_forward(const struct uh_layer *layer, size_t n,
                           const float *x, float *y, uint32_t *choice);

/* dx is written; choice is the forward pass's (maxpool only). */
void uh_layer_pool_backward(const struct uh_layer *layer, size_t n,
                            const uint32_t *choice, const float *dy, float *dx);

#endif
