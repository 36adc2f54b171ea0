/* opnorm_seek.h: what the search for a proof on the torus shares; internal to
 * opnorm.  Floor 4. */
#ifndef UH_OPNORM_SEEK_H
#define UH_OPNORM_SEEK_H

#include "opnorm_parts.h"

#include <stddef.h>

enum {
    UH_SEEK_KEPT = 6,  /* vectors kept of a frequency */
    UH_SEEK_STARTS = 6 /* where Lanczos for A may begin */
};

/* A vector of D*D at a frequency, of about this eigenvalue. */
struct uh_seek_pair {
    double value;
    size_t group, f;
    const double *vector; /* (2, n) */
};

struct uh_seek {
    struct uh_torus *torus;
    struct uh_arena *own;
    const char *stream;
    double tolerance;
    int rough;      /* products may be in float32 */
    size_t n, m;    /* channels of the small side, the large side */
    double *value;  /* (groups, freqs, KEPT), 0: none */
    double *rest;   /* of the same shape: the vectors' residuals */
    double *vector; /* (groups, freqs, KEPT, 2, n) */
    size_t starts;
    double guess[UH_SEEK_STARTS];  /* squares of values, descending, */
    double *start[UH_SEEK_STARTS]; /* and their vectors, (map's in) */
};

/* Values and vectors of all frequencies, roughly. */
void uh_seek_points(struct uh_seek *seek);

/* Better ones where a value is below `square` that may have to be above it; all:
 * wherever one is near it or above it. */
void uh_seek_sharpen(struct uh_seek *seek, double square, int all);

/* The starts: of the fields that the best pairs span. */
void uh_seek_start(struct uh_seek *seek);

/* (count, 2, m): D applied to pairs, which go by group. */
double *uh_seek_images(const struct uh_seek *seek, size_t count,
                       const struct uh_seek_pair pair[],
                       struct uh_arena *arena);

/* Rayleigh and Ritz: h of so many vectors whose inner products are o.  Values
 * descending, the coordinates of each vector in a row of `by`, (n, n); how many:
 * of vectors that depend on others one stands for all. */
size_t uh_seek_rayleigh(size_t n, const double *o, const double *h,
                        double *value, double *by, struct uh_arena *arena);

#endif
