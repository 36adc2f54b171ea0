/* pieces.h: the pieces of a network along a line, without a doubt.  Floor 4.
 *
 * A network of dense, conv, maxpool, meanpool, relu, leakyrelu, batchnorm,
 * flatten, mark, from, add and cat layers is, along a line x(t) = a + t (b - a), a
 * continuous piecewise linear function of t.  Its numbers are taken as the
 * rationals that they are; batchnorm at rest is y = scale x + shift with the
 * scale and the shift that the forward pass uses, rounded to float32 once
 * (layer_norm.h); a mean divides by the number of its places exactly.
 *
 * Pattern  On an open interval where no unit bends, a gate (relu, leakyrelu) is
 *          on if its input is greater than 0 there, else off (an input that is
 *          0 on all of it: off); the winner of a maxpool's window is the first
 *          in scan order of those that are largest on all of it.
 * Knot     a point where the affine map of some output changes.
 * Change   a point where the pattern changes and the map of no output does.
 *          A point with the same pattern on both sides is neither.
 *
 * Method   an event walk.  Each unit is an affine function p + s t until the
 *          pattern changes; p and s are pairs of doubles, each with a bound of
 *          its error that is 0 only if nothing was rounded.  What these cannot
 *          decide (the sign of a number, the order of two events, whether an
 *          output changes, where a position rounds to) is decided in integers
 *          of any length.  The line is cut into parts that are walked at once.
 * Source   sums and products with their errors: D. Knuth, The Art of Computer
 *          Programming, volume 2, section 4.2.2; T. Dekker, A floating-point
 *          technique for extending the available precision, 1971.
 * Lane     exact: counts and positions are facts about the numbers of the
 *          network, whatever the threads, the compiler and the kernels.
 */
#ifndef UH_PIECES_H
#define UH_PIECES_H

#include "arena.h"
#include "cells.h"
#include "net.h"
#include "status.h"

#include <stddef.h>

/* The line; what is not set is the whole axis of a network of one input with
 * its float32 numbers. */
struct uh_line {
    const double *a, *b;  /* (in) each: the open segment 0 < t < 1; NULL: the
                             axis, t is the input */
    const double *wide;   /* the parameter block and behind it the running
                             statistics, where a file holds doubles; NULL: the
                             network's float32 numbers */
    const char *progress; /* its name on stderr if it takes long; NULL: none */
    int only_exact;       /* 1: decide everything in integers; slow */
    int trace;            /* 1: list the changes and the maps, too */
};

struct uh_pieces {
    size_t knots, changes;  /* as above; knots are not among the changes */
    const double *position; /* knots of them, ascending: nearest doubles */
    int exact;              /* 1: nothing was rounded on the way */
    size_t asked;           /* decisions that took integers */
    size_t work; /* products added, gaps predicted, times compared: what the
                    walk costs, whatever the clock says */
    /* With trace, else NULL: both kinds of point, which are knots, and for each
     * of the knots + changes + 1 pieces between them p and s of each output,
     * y = p + s t, rounded from the pairs that the walk carries. */
    const double *event;
    const unsigned char *is_knot;
    const double *map; /* (pieces, out, 2) */
};

/* UH_BAD_INPUT  a layer is not piecewise linear, or the axis is asked for and
 *               there are more inputs than one
 * UH_NOT_FINITE an end of the segment or a weight is not finite, or a knot is
 *               beyond 2^1000
 * Lane          exact; asked and work, too, depend on nothing but the network
 *               and the line (not on threads), but also on how this walk is
 *               written.
 * Memory        positions from arena; about 150 bytes per unit and thread. */
UH_MUST_USE enum uh_status
uh_pieces_walk(const struct uh_net *net, const struct uh_line *line,
               struct uh_pool *pool, struct uh_arena *arena,
               struct uh_pieces *pieces, struct uh_error *error);

/* The same; ends the program with one line if it cannot. */
struct uh_pieces uh_pieces_along(const struct uh_net *net,
                                 const struct uh_line *line,
                                 struct uh_pool *pool, struct uh_arena *arena);

/* Whether the kind is piecewise linear (at rest). */
int uh_kind_piecewise_linear(enum uh_kind kind);

#endif
