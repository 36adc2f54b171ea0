/* plain.h: a network along a line by plain loops, in double.  Floor 4.
 *
 * The oracle of pieces.h: no sum is updated, nothing is unrolled, no code is
 * shared.  At one place t of the line each unit is computed as a value and the
 * derivative of the piece that t lies on, layer by layer, and every sign and
 * every winner is written down.
 *
 * Pattern  as in pieces.h, but at a point: a gate is on (1) if its input is
 *          greater than 0, the winner of a maxpool's window is the first in
 *          scan order of the largest, as its place in the channel.
 * Layers   those of pieces.h, and tanh and sigmoid; batchnorm is at rest, with
 *          the scale and the shift of the forward pass.
 * Numbers  double; the network's are its float32 ones.  Values carry rounding
 *          errors of about 2^-53 times the terms of their sums.
 */
#ifndef UH_PLAIN_H
#define UH_PLAIN_H

#include "arena.h"
#include "net.h"

#include <stddef.h>
#include <stdint.h>

/* A number p and its derivative s along the line. */
struct uh_dual {
    double p, s;
};

/* The network at a + t (b - a), or with a and b NULL at t itself (one input).
 * Infinite t: the limit; p is then the offset of the line that the unit
 * follows there, p + s t.
 *
 * y        (out), written
 * pattern  NULL, or room for every unit; written
 * Returns  the entries of the pattern
 * Memory   scratch, released. */
size_t uh_plain(const struct uh_net *net, const double *a, const double *b,
                double t, struct uh_dual *y, uint32_t *pattern,
                struct uh_arena *scratch);

/* Entries that a pattern has. */
size_t uh_plain_pattern(const struct uh_net *net);

#endif
