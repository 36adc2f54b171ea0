/* opnorm_parts.h: what opnorm's files share; internal to opnorm.  Floor 4.
 *
 * A map is a linear layer made ready for many products in double.  Its vectors
 * have an order of their own: of a convolution, group by group, places, and
 * at each place the channels; with stride s a place of the input is a block of
 * s x s pixels, their channels one after the other (polyphase).  Pixels that
 * no window sees are left out, and the norm is the same.
 */
#ifndef UH_OPNORM_PARTS_H
#define UH_OPNORM_PARTS_H

#include "arena.h"
#include "cells.h"
#include "layer.h"
#include "mat.h"
#include "opnorm.h"

#include <stddef.h>

#define UH_UNIT 0x1p-53 /* of rounding, double */

static inline size_t uh_least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Of how many parts of at most that size the whole consists. */
static inline size_t uh_parts_of(size_t whole, size_t part)
{
    return (whole + part - 1) / part;
}

/* -- kernels ------------------------------------------------------------- */

enum {
    UH_OPNORM_DEPTH = 64,                 /* of a block of a sum */
    UH_OPNORM_STEP = UH_OPNORM_DEPTH + 8, /* between columns of a panel of b */
    UH_OPNORM_SEGMENT = 2048, /* entries of a vector that are summed at once */
    UH_OPNORM_ROWS = 4        /* rows of a dense map done together */
};

struct uh_opnorm_kernel {
    size_t rows, cols; /* of the largest tile; rows a multiple of 4 */
    /* c[j * ldc + i] += the chain s = fma(a[p * rows + i], b[j * STEP + p], s)
     * over p < k <= DEPTH from +0, for i < rows, j < cols. */
    void (*tile)(size_t k, const double *a, const double *b, size_t cols,
                 double *c, size_t ldc);
    /* sum[v][r] = rows[r] . x[v] for r < ROWS, v < count, count 1 or 2.  A
     * segment at a time: 16 partial sums (entry i goes to sum i mod 16), each
     * product and each sum rounded, folded in halves 8, 4, 2, 1; the segments
     * one after the other. */
    void (*dots)(size_t n, const float *const rows[UH_OPNORM_ROWS],
                 size_t count, const double *const x[2],
                 double sum[2][UH_OPNORM_ROWS]);
    /* z[v] += t[v][r] rows[r], r ascending, each product and each sum
     * rounded. */
    void (*spread)(size_t n, const float *const rows[UH_OPNORM_ROWS],
                   size_t count, const double t[2][UH_OPNORM_ROWS],
                   double *const z[2]);
    /* x . y of at most SEGMENT doubles, in the same 16 sums. */
    double (*dot)(size_t n, const double *x, const double *y);
    /* y -= c x */
    void (*subtract)(size_t n, double c, const double *x, double *y);
    /* x -= c[0] u, then c[1] v; y -= c[2] v, then c[3] u: for complex numbers */
    void (*subtract_both)(size_t n, const double c[4], const double *u,
                          const double *v, double *x, double *y);
};

const struct uh_opnorm_kernel *uh_opnorm_kernel_of(enum uh_kernel kernel);

/* c (columns of height ldc) += a b, a packed in panels of rows, b handed over
 * in columns: fill(context, j, p, k, to) writes b[p .. p + k)[j] to to[0 .. k).
 * Rows of a: from panel i0 to i1; columns j0 to j1 of b, column j at c + (j -
 * j0) ldc, whose entries are the rows from panel i0 on and need
 * (i1 - i0) kernel->rows places.  Only the first `used` of the depth terms are
 * summed. */
typedef void uh_opnorm_fill(const void *context, size_t j, size_t p, size_t k,
                            double *to);
void uh_opnorm_multiply(const struct uh_opnorm_kernel *kernel, size_t depth,
                        size_t used, const double *packed, size_t i0, size_t i1,
                        size_t j0, size_t j1, uh_opnorm_fill *fill,
                        const void *context, double *c, size_t ldc);

/* Relative error of a sum of products of so many terms, in units of |a| |b|:
 * blocks of DEPTH by fma, one after the other (Higham, 2nd ed., 3.1). */
double uh_opnorm_chain(size_t depth);

/* gamma_k = k u / (1 - k u), with room for its own rounding. */
double uh_opnorm_gamma(double k);

/* -- vectors ----------------------------------------------------------------- */

/* x . y of any length, segment by segment. */
double uh_opnorm_dot(const struct uh_opnorm_kernel *kernel, size_t n,
                     const double *x, const double *y);

/* Root of the sum of squares; the sum's relative error, and the root's, is
 * at most uh_opnorm_length_error(n). */
double uh_opnorm_length(const struct uh_opnorm_kernel *kernel, size_t n,
                        const double *x);
double uh_opnorm_length_error(size_t n);

/* -- maps --------------------------------------------------------------------- */

enum { UH_MAP_VECTORS = UH_OPNORM_RUNS /* that a product takes at most */ };

struct uh_map;

/* whole 0: where windows along an axis do not overlap, all are alike, and one
 * that lies in the image stands for them; the norm is the same, and equal
 * singular values are fewer.  Whole 1: all places. */
struct uh_map *uh_map_of(const struct uh_layer *layer, const float *scale,
                         int whole, struct uh_pool *pool,
                         struct uh_arena *arena);

/* Entries of the map's own input and output. */
size_t uh_map_in(const struct uh_map *map);
size_t uh_map_out(const struct uh_map *map);

/* An upper bound of the norm of |A|, entry by entry; and of A by Frobenius and
 * by the sums of rows and columns.  0: the map is zero. */
double uh_map_absolute(const struct uh_map *map);
double uh_map_simple(const struct uh_map *map);

/* y = A x; |error| <= uh_map_error * absolute * |x|. */
void uh_map_apply(const struct uh_map *map, const double *x, double *y);

/* |A x|^2 / |x|^2, rounded anyhow; y is room for A x. */
double uh_map_gain_square(const struct uh_map *map, const double *x, double *y);

/* z = A'A x; |error| <= uh_map_gram_error * absolute * |A| * |x|; y is room
 * for A x.  Of several vectors at once: the same bits. */
void uh_map_gram(const struct uh_map *map, const double *x, double *y,
                 double *z);
void uh_map_grams(const struct uh_map *map, size_t count,
                  const double *const x[], double *const y[],
                  double *const z[]);
/* The same in float32, for a search: twice as fast.  First roughen, which keeps
 * float weights in the arena; 0: the map has none. */
int uh_map_roughen(struct uh_map *map, struct uh_arena *arena);
void uh_map_grams_rough(const struct uh_map *map, size_t count,
                        const double *const x[], double *const z[]);
double uh_map_error(const struct uh_map *map);
double uh_map_gram_error(const struct uh_map *map);

/* One direction of a convolution: so many rows at each place of a grid. */
struct uh_side {
    size_t rows, chans; /* of a group: made, read */
    size_t high, wide;  /* the grid of places made */
    size_t tall, broad; /* the grid of places read */
    double *packed;     /* by group and panel of rows: (taps chans, rows) */
    int back;           /* 1: the place read is the place less the tap */
};

/* A convolution's parts. */
struct uh_map_conv {
    size_t groups, taps;
    const ptrdiff_t (*tap)[2]; /* from the place made to the place read */
    const struct uh_side *forth, *back; /* A, A' */
    size_t seen;                        /* pixels of a place of the input */
    const unsigned char *valid; /* (places of it, seen): a pixel of the image */
};
struct uh_map_conv uh_map_conv(const struct uh_map *map);

/* From the layer's order of its input to the map's and back (pixels that no
 * window sees become 0). */
void uh_map_import(const struct uh_map *map, const double *v, double *x);
void uh_map_export(const struct uh_map *map, const double *x, double *v);

const struct uh_opnorm_kernel *uh_map_kernel(const struct uh_map *map);
struct uh_pool *uh_map_pool(const struct uh_map *map);

/* -- proofs ---------------------------------------------------------------------- */

/* Room for uh_below: entries of packed. */
size_t uh_below_room(size_t n);

/* Whether the factorization of tau - g ran to its end; then the largest
 * eigenvalue of g is at most tau + *slack.  g is n x n, its columns one after
 * the other; the lower triangle is read, what is above it is overwritten. */
int uh_below(const struct uh_opnorm_kernel *kernel, struct uh_pool *pool,
             size_t n, double *g, double tau, double *packed, double *slack);

/* Upper bounds of the norm, or INFINITY.  guess is a little below it: where
 * the search begins.  uh_prove_small takes any map. */
double uh_prove_small(const struct uh_map *map, double guess);
double uh_prove_dense(const struct uh_layer *layer, const float *scale,
                      double absolute, double guess, struct uh_pool *pool);
double uh_prove_conv(const struct uh_map *map, double guess);

/* What uh_prove_conv needs: the taps of one group as matrices, weight[(o taps
 * + t) chans + c] for outputs o of group g, in scratch. */
struct uh_symbol {
    size_t groups, outs, chans, taps[2]; /* taps: rows, columns */
    const size_t *offset[2];             /* of each tap row, tap column */
    const double *weight;                /* (groups outs, taps, chans) */
};
struct uh_symbol uh_map_symbol(const struct uh_map *map,
                               struct uh_arena *arena);

/* -- the torus ------------------------------------------------------------- */

/* A convolution laid on a torus so large that no window meets another's pixels
 * by going around: A = P_L D P_S or its transpose, D the torus's convolution
 * from the small side (fewer channels, n) to the large one (m), P the
 * projections to the places that the layer has.  Fields: (groups, places,
 * channels); a field's transform: (groups, freqs, 2, channels), real parts,
 * imaginary parts, of half of the frequencies: those left out are conjugate. */
struct uh_torus_face {
    size_t chans, blocks;  /* chans a multiple of blocks */
    unsigned char *inside; /* (places, blocks): the layer has it */
    size_t tall, broad;    /* the layer's own places */
};

struct uh_frequency {
    size_t at[2];
    double weight; /* 1, or 2 with its conjugate */
};

struct uh_torus {
    const struct uh_map *map;
    const struct uh_opnorm_kernel *kernel;
    struct uh_pool *pool;
    struct uh_map_conv conv;
    const struct uh_side *to, *from; /* D, D' */
    struct uh_torus_face small, large;
    int turned; /* 1: the small side is the layer's output */
    size_t size[2], places, freqs;
    struct uh_frequency *freq;
    double *cos[2], *sin[2]; /* (size) */
    size_t lags;             /* differences of taps, half of them; 0 first */
    ptrdiff_t (*lag)[2];
    double *even, *odd; /* R + R', R - R' of each lag, in panels */
    double gram_error;  /* of a point's Gram matrix */
};

/* NULL: the torus would cost more than it is worth.  Without even and odd. */
struct uh_torus *uh_torus_of(const struct uh_map *map, struct uh_arena *arena);

/* even and odd, once. */
void uh_torus_grams(struct uh_torus *torus, struct uh_arena *arena);

/* D*D at count frequencies of a group from f on: of each real and imaginary
 * parts in panels, entry (i, j) at (i / rows n + j) rows + i % rows, rows the
 * kernel's; so many places. */
size_t uh_torus_gram_size(const struct uh_torus *torus);
void uh_torus_grams_at(const struct uh_torus *torus, size_t group, size_t f,
                       size_t count, double *re, double *im);

/* Calls at(context, ...) for each frequency of each group, with its matrix.
 * Frequencies are done side by side. */
typedef void uh_torus_point(const void *context, size_t group, size_t f,
                            const double *re, const double *im,
                            struct uh_pool *serial);
void uh_torus_each_point(const struct uh_torus *torus, uh_torus_point *at,
                         const void *context);

/* y = D x (side to) or D'x (side from) at the places of the list, everywhere
 * where it is NULL; other places are left alone. */
void uh_torus_apply(const struct uh_torus *torus, const struct uh_side *side,
                    const size_t *list, size_t count, const double *x,
                    double *y);

/* The phase of an offset at a frequency. */
void uh_torus_phase(const struct uh_torus *torus, size_t f, ptrdiff_t y,
                    ptrdiff_t x, double *c, double *s);

/* Both ways, of a field with so many channels; back is divided by places. */
void uh_torus_transform(const struct uh_torus *torus, size_t chans,
                        const double *x, double *hat);
void uh_torus_back(const struct uh_torus *torus, size_t chans,
                   const double *hat, double *x);

/* A place of an axis, and another one that far from it, at most once around. */
size_t uh_torus_wound(size_t at, ptrdiff_t by, size_t size);

/* Keeps of a field what is inside the layer (keep 1), or outside (0). */
void uh_torus_cut(const struct uh_torus *torus,
                  const struct uh_torus_face *face, int keep, double *x);

/* tau^2 - D*D has at most so many negative eigenvalues, for with one rank each
 * it has none: a vector (2, n) at a frequency of a group; by group, then
 * frequency. */
struct uh_torus_rank {
    size_t group, f;
    const double *vector;
};

/* A proof that A's norm is at most about tau (opnorm.h). */
struct uh_torus_proof {
    double square; /* tau^2 */
    size_t ranks;
    const struct uh_torus_rank *rank;
    size_t count;     /* ranks, those of weight 2 twice */
    double *const *v; /* (count) small fields */
    double *const *p; /* (count) large fields, 0 inside */
};

/* How many of the proof's ranks are at a frequency, and the first of them. */
size_t uh_torus_ranks(const struct uh_torus_proof *proof, size_t group,
                      size_t f, size_t *first);

/* A point's K = tau^2 - D*D + tau^2 times the ranks', D*D from grams_at, as L
 * L*, or 0.  *slack: the square that is certain is tau^2 + *slack.  Each x,
 * (2, n), becomes L^-1 x.  room, of so many entries, keeps L for the solves,
 * which take the same number of right hand sides. */
size_t uh_torus_factor_room(const struct uh_torus *torus, size_t right);
int uh_torus_factor(const struct uh_torus *torus,
                    const struct uh_torus_proof *proof, size_t group, size_t f,
                    const double *re, const double *im, size_t right,
                    double *const x[], struct uh_pool *serial, double *room,
                    double *slack);

/* x = L^-1 x; each x = L*^-1 x. */
void uh_torus_solve_forth(const struct uh_torus *torus, size_t right,
                          const double *room, double *x);
void uh_torus_solve_back(const struct uh_torus *torus, size_t right,
                         const double *room, size_t count, double *const x[]);

/* The square that is certain, tau^2 and the largest of the points' slacks. */
double uh_torus_certain(const struct uh_torus *torus,
                        const struct uh_torus_proof *proof,
                        const double *slack);

/* The bound of the norm that the proof proves, or INFINITY.  certain: the
 * square that all points' factors give, if the caller has it; else 0. */
double uh_torus_check(const struct uh_torus *torus,
                      const struct uh_torus_proof *proof, double certain);

/* -- Lanczos --------------------------------------------------------------- */

enum { UH_KRYLOV_KNOWN = 96 }; /* vectors taken out at most */

/* A run of Lanczos for PSP, S = A'A, P the projection beside the vectors that
 * were taken out. */
struct uh_krylov {
    const struct uh_map *map;
    const struct uh_opnorm_kernel *kernel;
    struct uh_arena *arena;
    size_t dim, steps, most;
    double *alpha, *beta;
    double *residual;  /* bounds of |P f_j|, product and projection apart */
    double *leak;      /* of |Y'v_j| */
    double **basis;    /* steps + 1 */
    size_t known;      /* taken out */
    double **out;      /* (known) Y, orthonormal nearly */
    double *top, *rho; /* (known) a_i, rho_i: S is below the arrow of these */
    double inside;     /* the largest a_i; 0 */
    double across;     /* root of the sum of rho_i^2: at least |PSY|; 0 */
    int clears;        /* w of the basis, two steps in eight */
    int rough;         /* float32 products, not measured: for a search */
    int ended;         /* the space, or the number of steps, is used up */
    double *y, *z, *w; /* A v, A'A v, what is left of it */
    double *sum;       /* (parts, columns) */
    size_t columns;
    size_t cleared; /* vectors of the basis that w is cleared of */
    double scale;   /* of w when it becomes v */
    double *mix;    /* of out, then of the basis: (known + most) */
};

/* A run of at most so many steps, with the vectors of out taken out. */
struct uh_krylov uh_krylov_open(const struct uh_map *map, size_t most,
                                size_t known, double **out,
                                struct uh_arena *arena);

/* Another run beside the same vectors; not cleared of its own (clears 0) it is
 * good for a proof, and for its largest Ritz value. */
struct uh_krylov uh_krylov_twin(const struct uh_krylov *run, int clears);

/* v_1 from any vector: its part beside Y, divided by its norm.  0: there is
 * none. */
int uh_krylov_start(struct uh_krylov *run, const double *vector);

/* One step of each run that has not ended; 0: all have now.  At most
 * UH_MAP_VECTORS runs, of one map. */
int uh_krylov_step(struct uh_krylov run[], size_t count);

/* The relation of step j, for given alpha, beta and basis, measured. */
void uh_krylov_measure(struct uh_krylov *run, size_t j);

/* At most P(|y'v_1| >= delta) fails: delta, with the rounding of v_1. */
double uh_krylov_delta(size_t dim, double failure);

/* Whether tau, and all above, is refuted as eigenvalue of PSP. */
int uh_krylov_refutes(const struct uh_krylov *run, double delta, double tau);

/* ln of |y'v_{k+1}| / |y'v_1| after k steps, rounding left out, for y of the
 * eigenvalue tau.  An estimate. */
double uh_krylov_growth(const struct uh_krylov *run, double tau, size_t k);

/* Nearly the least tau >= low that is refuted; INFINITY: not even high is. */
double uh_krylov_least(const struct uh_krylov *run, double delta, double low,
                       double high);

/* A bound of S's largest eigenvalue from one of PSP's; and the bound tau of
 * PSP's of which lambda follows for S's (0: none does). */
double uh_krylov_whole(const struct uh_krylov *run, double tau);
double uh_krylov_beside(const struct uh_krylov *run, double lambda);

/* Ritz value number i from the top, 0 the largest; i < steps. */
double uh_krylov_value(const struct uh_krylov *run, size_t i);

/* The coordinates (count, steps) of the Ritz vectors of the largest values. */
void uh_krylov_vectors(const struct uh_krylov *run, size_t count,
                       const double *value, double *s,
                       struct uh_arena *scratch);

/* w = sum of s_j v_j */
void uh_krylov_combine(struct uh_krylov *run, const double *s);

/* A vector of the layer's input whose gain is near the norm (NULL: none), that
 * gain's square, and a bound that is proved: INFINITY where none was found.  The
 * proof, unless NULL, is kept in the arena. */
struct uh_sought {
    double bound, square, *vector;
};
struct uh_sought uh_torus_seek(struct uh_map *map, const char *stream,
                               double tolerance, struct uh_arena *arena,
                               struct uh_torus_proof *proof);

/* -- layers ---------------------------------------------------------------- */

/* uh_opnorm_layer with the start vector's stream by its full name. */
struct uh_opnorm uh_opnorm_named(const struct uh_layer *layer,
                                 const float *scale,
                                 const struct uh_opnorm_options *options,
                                 const char *stream, struct uh_pool *pool,
                                 struct uh_arena *arena);

#endif
