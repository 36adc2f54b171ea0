/* ratio.h: rational numbers as values.  Floor 1.
 *
 * A ratio is a fraction of integers of any length in lowest terms.  It is never
 * changed: operations make new ones, assignment copies them, nothing is
 * cleared.  Its digits live in the arena that the operation was given and go
 * when that arena is released; a ratio may be read by any thread.
 *
 *     y = uh_ratio_add(a, uh_ratio_mul(a, slope, x), offset);
 *
 * Zeroed memory is the number 0.  Results are exact; GMP does the arithmetic.
 */
#ifndef UH_RATIO_H
#define UH_RATIO_H

#include "arena.h"

#include <gmp.h>

struct uh_ratio {
    const mp_limb_t *digits; /* those of the numerator, then the denominator */
    int above, below;        /* limbs of each; above has the sign; below 0: 1 */
};

/* above / below; below >= 1. */
struct uh_ratio uh_ratio(struct uh_arena *arena, long above,
                         unsigned long below);

/* A finite double as it is: each is a rational. */
struct uh_ratio uh_ratio_of(struct uh_arena *arena, double x);

struct uh_ratio uh_ratio_add(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b);
struct uh_ratio uh_ratio_sub(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b);
struct uh_ratio uh_ratio_mul(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b);

/* b is not 0. */
struct uh_ratio uh_ratio_div(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b);

/* -1, 0 or 1: the sign of a, and that of a - b. */
int uh_ratio_sign(struct uh_ratio a);
int uh_ratio_cmp(struct uh_ratio a, struct uh_ratio b);

/* The double nearest to it, of two the even one; infinite where that is beyond
 * DBL_MAX as IEEE 754 rounds. */
double uh_ratio_double(struct uh_ratio a);

/* "-77/50", or "3" for an integer; in the arena. */
const char *uh_ratio_text(struct uh_arena *arena, struct uh_ratio a);

/* A copy whose digits live in that arena: for what must outlast a mark. */
struct uh_ratio uh_ratio_keep(struct uh_arena *arena, struct uh_ratio a);

#endif
