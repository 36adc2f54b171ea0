/* layer_norm.h: batch normalization of layer.h.  Floor 3.
 *
 * y = (x - mean) / sqrt(variance + eps) * weight + bias, per channel; one
 * scale and one shift per channel, computed in double and rounded once, then
 * one product and one sum in float.  Sums go in double over samples; in a
 * sample, eight partial sums (place p goes to sum p mod 8) are added in order.
 * The variance divides by the count, the running one by the count less one.
 */
#ifndef UH_LAYER_NORM_H
#define UH_LAYER_NORM_H

#include "layer.h"

/* The scale and the shift of channel c at rest. */
void uh_layer_norm_affine(const struct uh_layer *layer, size_t c, double *scale,
                          double *shift);

/* At rest. */
void uh_layer_norm_rest(const struct uh_layer *layer, size_t n, const float *x,
                        float *y);

/* With the statistics of this batch, which are kept in notes.  The running
 * ones do not move. */
void uh_layer_norm_forward(const struct uh_layer *layer, size_t n,
                           const float *x, float *y,
                           struct uh_layer_notes *notes);

/* running = 0.9 running + 0.1 batch, from the notes of a batch of n. */
void uh_layer_norm_update(struct uh_layer *layer, size_t n,
                          const struct uh_layer_notes *notes);

/* dweight and dbias are added to, dx is written; each may be NULL.  Batch
 * statistics where notes hold them, else running ones. */
void uh_layer_norm_backward(const struct uh_layer *layer, size_t n,
                            const float *x, const struct uh_layer_notes *notes,
                            const float *dy, float *dweight, float *dbias,
                            float *dx);

#endif
