/* opnorm.h: the operator norm of a layer and of a network, from below and from
 * above.  Floor 4.
 *
 * Norms are Euclidean: the norm of a layer is the smallest L with
 * |f(x) - f(x')| <= L |x - x'| for all x, x'.  Convolutions have true zero
 * padding, stride, dilation and groups; no matrix of one is ever formed.
 *
 * Three numbers   lower         the gain |A v| / |v| of a vector that is
 *                               returned
 *                 upper_proved  a theorem's bound, every rounding included
 *                 upper         fails with a probability of at most `failure`
 *                               over the start vector that the named stream
 *                               draws, every rounding included; never above
 *                               upper_proved where both are asked for
 * Lower     Lanczos for S = A'A (that is Golub and Kahan's bidiagonalization
 *           on one side), fully reorthogonalized for 32 steps, then, unless
 *           the vectors are short, two steps in eight, which keeps them
 *           orthogonal enough (Simon, Math. Comp. 42 (1984) 115-142; the
 *           bounds do not rest on it); v is the Ritz vector.
 *           The gain is evaluated anew; a bound of its rounding is taken off.
 * Upper     Let y be the unit top singular vector, |y'v_1| >= delta (which
 *           fails with the stated probability), and suppose lambda = sigma^2
 *           is the largest eigenvalue.  The computed Lanczos relation
 *               S v_j = b_{j-1} v_{j-1} + a_j v_j + b_j v_{j+1} + f_j
 *           makes g_j = y'v_j satisfy, with |phi_j| <= |f_j|,
 *               g_{j+1} = ((lambda - a_j) g_j - b_{j-1} g_{j-1} - phi_j) / b_j.
 *           Where lambda lies above the Ritz values g grows like the Lanczos
 *           polynomial; once it must exceed |v_{j+1}|, lambda is refuted, and
 *           with it all that is larger, since the ratios g_{j+1} / g_j grow
 *           with lambda.  |f_j| is measured (vector by vector, with a bound of
 *           the rounding of the product), so nothing is assumed of the
 *           orthogonality of the v_j or of the floating-point Lanczos method.
 *           A small residual alone proves nothing: without delta, g_1 may be 0.
 * Rounding  a bound of the noise of a product, 1e-12, is as large as delta is
 *           for one vector at 1e-9.  So two are drawn: unless both are as rare
 *           as the root of the probability allows, 1e-7, one of them refutes
 *           rightly; the bound is the larger of theirs.  A large dense
 *           layer's first round draws two at once: a product waits for the
 *           weights, and each vector has to grow half as far.
 * Deflation  near the Ritz values the argument has no force: g first falls
 *           there by as much as lambda lies close to them.  So Ritz vectors Y
 *           near the top, once they have converged, are taken out, and new
 *           vectors are drawn for PSP, P = I - YY', of which less is asked: a
 *           bound tau well below.  With S Y = Y T + R, T diagonal, lambda is at
 *           most the largest eigenvalue of the arrow that has T and tau on its
 *           diagonal and |R_i| beside tau; all measured.  Y may be anything:
 *           only the vectors must be drawn, and independently of Y, which
 *           streams of their own are.
 * Delta     the density of one coordinate of a uniform unit vector of R^n is
 *           at most sqrt((n-1) / 2 pi), so P(|y'v_1| < delta) <= delta
 *           sqrt(2 n / pi) (n = 2: delta).  A round of draws that is followed
 *           by another one might have ended the search, wrongly: round i has
 *           2^-(i+1) of the failure (i = 0, 1, ...).
 * Proved    convolution: laid on a torus so large that no window reaches a
 *           pixel of the layer by going around, the layer is P D P', D a
 *           circular convolution, P and P' what they keep of fields.  T - D*D
 *           falls apart into a small matrix for each frequency; with one rank
 *           added for each negative eigenvalue (r in all) each has a Cholesky
 *           factorization that ran to its end.  On pairs of a field v and of a
 *           field p that the layer does not see the form
 *               h = v'(T - D'D) v + p'p
 *           then has at most r negative eigenvalues too.  r pairs are found on
 *           whose span h is negative and whose T v + D'(p - D v) vanishes on
 *           the layer's places.  They are orthogonal, for h, to (s, p = D s
 *           where the layer does not see it), s any input of the layer, whose
 *           h is T |s|^2 - |A s|^2; so that is not negative: |A|^2 <= T.  What
 *           is left of T v + D'(p - D v) and all rounding is added.  Stride by
 *           polyphase, dilation by its taps, groups one by one.
 *           Where that does not succeed, and for every size of input at once
 *           (uh_opnorm_symbol): the supremum of the symbol of the convolution
 *           on the unbounded grid, whose compression the layer is.  The Gram
 *           form x*M*Mx is a trigonometric polynomial of degree d, so its
 *           maximum is at most the one over N points divided by cos(pi d / N),
 *           in each of the two dimensions (Ehlich and Zeller, Math. Z. 86
 *           (1964) 41-44); each point by a floating-point Cholesky
 *           factorization of tau - M*M that ran to its end.
 *           dense: the same of tau - W'W where the smaller side has at most
 *           UH_OPNORM_FACTOR entries.  Every map: Frobenius' norm, and the
 *           root of the largest row sum times the largest column sum.
 *           A proof at least as tight as asked for takes the place of drawn
 *           vectors: upper is upper_proved, its failure 0, unless `drawn`.
 * Source    R. A. Horn, C. R. Johnson, Matrix Analysis, 2nd ed., theorems 4.2.6
 *           (Courant and Fischer), 4.5.8 (Sylvester).
 *           G. H. Golub, W. Kahan, SIAM J. Numer. Anal. 2 (1965) 205-224.
 *           J. L. M. van Dorsselaer, M. E. Hochstenbach, H. A. van der Vorst,
 *           SIAM J. Matrix Anal. Appl. 22 (2000) 837-852, section 3.
 *           S. M. Rump, Verification of positive definiteness, BIT 46 (2006)
 *           433-452, theorem 2.3.  N. J. Higham, Accuracy and Stability of
 *           Numerical Algorithms, 2nd ed., sections 3.1 and 10.1.
 * Lane      exact, in double: the same bits for every kernel, thread count and
 *           compiler.  Sums over rows go by fixed shards.
 * Weights   count as the real numbers that the floats are; sigma is that of
 *           the weights, not of the float32 forward pass.
 */
#ifndef UH_OPNORM_H
#define UH_OPNORM_H

#include "arena.h"
#include "cells.h"
#include "layer.h"
#include "net.h"
#include "status.h"

#include <stddef.h>

enum {
    UH_OPNORM_LOWER = 1,
    UH_OPNORM_UPPER = 2,
    UH_OPNORM_PROVED = 4,
    UH_OPNORM_ALL = 7,
    UH_OPNORM_FACTOR = 4096, /* largest dense side that is factored */
    UH_OPNORM_RUNS = 2       /* that may prove a bound together */
};

struct uh_opnorm_options {
    const char *stream; /* "NAME": layer i of a network, and layer 0 where
                           there is none, draws from "NAME/i" */
    int bounds;         /* or of UH_OPNORM_LOWER ... PROVED; 0: all */
    double tolerance;   /* upper / lower - 1 at which to stop; 0: 1e-6.  With
                           LOWER alone it is asked of the last steps' change */
    double failure;     /* probability, at most 0.01; 0: 1e-9 */
    size_t steps;       /* of Lanczos at most; 0: 2000 */
    int drawn;          /* 1: upper from drawn vectors even where a proof is as
                           tight */
};

/* What a Lanczos run leaves behind: enough to prove its upper bound again. */
struct uh_lanczos {
    const char *stream;  /* that drew the first vector; NULL: none did, and no
                            upper bound follows */
    size_t dim, steps;   /* entries of a vector; how many a_j */
    const double *alpha; /* (steps) a_1 ... */
    const double *beta;  /* (steps) b_1 ...; b_j couples v_j and v_{j+1} */
    const double *const *basis; /* steps + 1 vectors of dim entries, of norm
                                   about 1; the last is zero where the last
                                   beta is.  In the map's own order of pixels
                                   (opnorm_parts.h) */
    size_t known;               /* vectors that were taken out */
    const double *const *out;   /* (known), each of dim entries */
};

struct uh_opnorm {
    int linear;           /* 0: a constant of theory; no vector, no steps */
    int folded;           /* a batchnorm that its neighbor has taken in: 1 */
    double lower;         /* 0 where it was not asked for */
    double upper;         /* INFINITY where it was not asked for */
    double upper_proved;  /* the same */
    double failure;       /* of upper; 0 where upper is upper_proved */
    size_t dim;           /* entries of vector: the layer's input */
    const double *vector; /* (dim), or NULL; gain at least lower */
    size_t runs;          /* that prove upper; 0: there was none */
    double share;         /* of the failure that is theirs */
    struct uh_lanczos run[UH_OPNORM_RUNS];
};

/* The norm of one layer (of a batchnorm: at rest).  relu, tanh, softplus 1,
 * sigmoid 1/4, leakyrelu max(1, |slope|), elu max(1, |alpha|); maxpool: the
 * root of the largest number of windows that share a pixel, which a picture
 * with that one pixel attains; flatten, mark, from 1; lrn from k^-beta (lower)
 * to that times 1 + 2 (beta / (beta + 1))^(beta+1) sqrt(size).  add and cat are the
 * graph's (uh_opnorm_net): here a broken contract.
 * scale, unless NULL, multiplies output channel c of a dense or conv layer by
 * scale[c], as a batchnorm behind it does. */
struct uh_opnorm uh_opnorm_layer(const struct uh_layer *layer,
                                 const float *scale,
                                 const struct uh_opnorm_options *options,
                                 struct uh_pool *pool, struct uh_arena *arena);

/* A bound of a conv layer's norm for inputs of every size, if each weight meets a
 * pixel of this one: the supremum of its symbol, rounded up. */
double uh_opnorm_symbol(const struct uh_layer *layer, const float *scale,
                        struct uh_pool *pool);

/* A number that is at most |A v| / |v|, rounding included; v is (in). */
double uh_opnorm_gain(const struct uh_layer *layer, const float *scale,
                      struct uh_pool *pool, const double *v);

/* Lanczos from a start vector of the caller's: for seeing what a bad start
 * does.  It gives a lower bound; upper is INFINITY, because no probability
 * belongs to a vector that nobody drew, and upper_proved is not computed. */
struct uh_opnorm uh_opnorm_from(const struct uh_layer *layer,
                                const float *scale, const double *start,
                                size_t steps, struct uh_pool *pool,
                                struct uh_arena *arena);

/* Whether the runs prove that the norm is less than upper, except with that
 * probability over their streams: the first vectors are drawn again, every
 * coefficient finite, every residual measured again.  UH_OK or UH_BAD_INPUT
 * with one line. */
UH_MUST_USE enum uh_status
uh_opnorm_check(const struct uh_layer *layer, const float *scale, size_t runs,
                const struct uh_lanczos run[], double upper, double failure,
                struct uh_pool *pool, struct uh_error *error);

/* All layers and the whole.  A batchnorm behind a dense or conv layer is
 * folded into that layer's norms, and its own are 1. */
struct uh_opnorm_net {
    size_t layers;
    struct uh_opnorm *
        layer; /* without their runs; of add (and cat): the block that it closes, from
                                the tensor where its ways part: sum (root of the
                                sum of squares) of the ways' bounds; lower 0 */
    double product_upper; /* layers' upper along the graph; fails with at
                                most the sum of their failures */
    double network_lower; /* largest gain |J'u| of a gradient found, u a unit
                                vector, by ascent from seeded points; computed
                                in float32, less 2^-16 of it: measured */
    double network_upper; /* layers' upper_proved along the graph */
    double failure;       /* of product_upper */
};

struct uh_opnorm_net uh_opnorm_net(const struct uh_net *net,
                                   const struct uh_opnorm_options *options,
                                   struct uh_pool *pool,
                                   struct uh_arena *arena);

/* The ascent alone: from `points` normal variates of the stream and, unless
 * NULL, from the n samples of x, (n, in). */
double uh_opnorm_ascent(const struct uh_net *net, const char *stream,
                        size_t points, size_t n, const float *x,
                        struct uh_pool *pool);

#endif
