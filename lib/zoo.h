/* zoo.h: networks whose answers are known by proof.  Floor 3.
 *
 * Whatever measures networks is tested on these.  Weights are small dyadic
 * numbers, so float holds them, and most values, exactly.
 */
#ifndef UH_ZOO_H
#define UH_ZOO_H

#include "arena.h"
#include "net.h"

#include <stddef.h>

enum { UH_ZOO_SINGULAR = 16 };

/* What is not known of an entry is NaN or SIZE_MAX. */
struct uh_zoo {
    const char *name;
    const char *theorem; /* the answer and why, in words */
    struct uh_net net;
    double lipschitz; /* exact, Euclidean norms, on the whole input space */
    double product;   /* of the operator norms of its dense and conv layers: an
                         upper bound of lipschitz where the units' slopes are
                         at most 1 and nothing is added */
    size_t knots;     /* input 1: points of the line where it is not
                         differentiable */
    double from, to;  /* they all lie in from <= x <= to */
    size_t singulars; /* linear networks: how many singular values */
    double singular[UH_ZOO_SINGULAR]; /* descending */
    size_t rank;                      /* linear networks */
    size_t dead;        /* units of ReLU layers that are active for no input */
    const float *point; /* (in) of a classifier, or NULL */
    double distance;    /* Euclidean, from point to the nearest input of
                           another class */
};

size_t uh_zoo_count(void);

/* Entry i < uh_zoo_count(). */
struct uh_zoo uh_zoo_entry(size_t i, struct uh_arena *arena);

/* The entry of that name; an unknown name is a broken contract. */
struct uh_zoo uh_zoo_named(const char *name, struct uh_arena *arena);

/* The tent map x -> 2 relu(x) - 4 relu(x - 1/2), composed t times, 1 <= t <=
 * 20: t layers of two units, 2^t pieces of slopes +-2^t on [0, 1], where
 * f(k / 2^t) is k mod 2.  On the whole line 2 knots for t = 1 (the slope -2
 * goes on beyond 1), else 2^t + 1: k / 2^t for k = 0 .. 2^t.
 *
 * Proof    T maps each half of [0, 1] affinely onto [0, 1], so that composing
 *          once more doubles the number of pieces and their slopes.  Left of 0
 *          all is 0; right of 1 the first tent is negative, the next one 0.
 * Source   M. Telgarsky, Benefits of depth in neural networks, COLT 2016. */
struct uh_zoo uh_zoo_sawtooth(size_t t, struct uh_arena *arena);

/* A network on the line with ReLU layers of these widths and the most knots
 * that they allow, prod(width_i + 1) - 1.  layers >= 1; each width but the last
 * at least 3, the last at least 2 (1 if it is the only one).
 *
 * Proof    Layer 1 has units relu(x - k) for k = 1 .. m, but relu(3 - x) for k
 *          = 3.  Its sum g with the coefficients -2, 3/2, -1, 1, -1, 1, ... has
 *          the slopes 1, -1, 1/2, -1/2, 1/2, ...: they alternate, g(1) = -2 and
 *          g(2) = -3, g(3) = -5/2, g(4) = -3, ..., so that each of the m + 1
 *          pieces, the two rays too, runs through all of (-3, -5/2).  The next
 *          layer, of m' units, does the same with the variable 2 (m' + 1) (g +
 *          3), for which that interval is (0, m' + 1): each of its m' knots is
 *          met once on every piece.  Old knots stay, because no slope is zero.
 *          So N' = N + m' (N + 1), and N + 1 is multiplied by m' + 1.  In the
 *          last layer slopes need not alternate, only differ from 0 and from
 *          their neighbors: two units, relu(x - 1) and relu(2 - x) with the
 *          coefficients 2 and -1, have the slopes 1, 3, 2. */
struct uh_zoo uh_zoo_extremal(size_t layers, const size_t width[],
                              struct uh_arena *arena);

#endif
