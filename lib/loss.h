/* loss.h: softmax cross-entropy and counting.  Floor 3. */
#ifndef UH_LOSS_H
#define UH_LOSS_H

#include <stddef.h>
#include <stdint.h>

/* Sum over n samples of log(sum_j exp(z_j)) - z_label, in nats.
 *
 * Method   z is shifted by its largest entry; exp and log of fmath.h in
 *          double, sums over classes ascending, then over samples.
 * Lane     exact.
 * Shapes   logits (n, classes); labels n, each below classes.
 * Outputs  gradient, (n, classes), NULL if not wanted: (softmax - one-hot)
 *          * scale, rounded once to float.
 */
double uh_loss_softmax(size_t n, size_t classes, const float *logits,
                       const uint8_t *labels, double scale, float *gradient);

/* How many of n rows have their (first) largest entry at the label. */
size_t uh_loss_correct(size_t n, size_t classes, const float *logits,
                       const uint8_t *labels);

#endif
