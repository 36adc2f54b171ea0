/* attack.h: inputs that are close and get another label.  Floor 4.
 *
 * Networks are classifiers: the label of x is the first largest of its logits.
 * Lane     exact.
 */
#ifndef UH_ATTACK_H
#define UH_ATTACK_H

#include "cells.h"
#include "net.h"

#include <stddef.h>
#include <stdint.h>

/* y = x + epsilon sign(gradient of the cross-entropy by x), sign(0) = 0, for n
 * inputs with their labels; x and y are (n, in).  Nothing is clipped.
 * Source   I. Goodfellow, J. Shlens, C. Szegedy, ICLR 2015.
 * Memory   the pool's scratch: all layers' outputs of n inputs at once. */
void uh_attack_fgsm(const struct uh_net *net, struct uh_pool *pool, size_t n,
                    const float *x, const uint8_t *labels, float epsilon,
                    float *y);

/* The distance from x to an input found with another label, 0 if x has
 * another label already, INFINITY if none was found: from above, and with a
 * linear classifier within a thousandth of the truth.
 *
 * Method   in the present linear region every logit is affine: step just
 *          across the nearest of the planes on which another class draws
 *          level, at most steps times; then bisect between x and the end.
 * Source   S. Moosavi-Dezfooli, A. Fawzi, P. Frossard, DeepFool, CVPR 2016.
 * Contract at least two classes. */
double uh_attack_nearest(const struct uh_net *net, struct uh_pool *pool,
                         const float *x, size_t label, size_t steps);

/* The Euclidean distance of two vectors, in double. */
double uh_distance(size_t n, const float *x, const float *y);

#endif
