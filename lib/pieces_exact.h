/* pieces_exact.h: units along a line in integers of any length.  Floor 4.
 *
 * Every unit is p + s t with numbers m 2^e / d: m an integer, e an exponent, d
 * a positive integer that all units of a stage share (1 but behind means).  A
 * unit is computed when asked for and kept until it is forgotten.
 */
#ifndef UH_PIECES_EXACT_H
#define UH_PIECES_EXACT_H

#include "pieces.h"
#include "pieces_graph.h"

struct uh_exact;

/* A moment t: where unit plus meets unit minus (UH_NO_UNIT: zero), given by
 * their present functions; where both are UH_NO_UNIT, t itself. */
struct uh_meeting {
    size_t plus, minus;
    double t;
};

/* choice[i] of a gate: 1 is on; of a maximum: the number of its winner's edge.
 * It is read when a unit is computed. */
struct uh_exact *uh_exact_new(const struct uh_graph *graph,
                              const struct uh_line *line,
                              const uint32_t *choice);
void uh_exact_free(struct uh_exact **exact);

/* The function of the unit may have changed. */
void uh_exact_forget(struct uh_exact *exact, size_t unit);

/* Sign of the slope of plus - minus. */
int uh_exact_slope(struct uh_exact *exact, size_t plus, size_t minus);

/* Sign of the value of plus - minus at t. */
int uh_exact_value(struct uh_exact *exact, size_t plus, size_t minus,
                   const struct uh_meeting *t);

/* Sign of the offset of plus - minus. */
int uh_exact_offset(struct uh_exact *exact, size_t plus, size_t minus);

/* The double nearest to t, of two the even one; infinite beyond DBL_MAX. */
double uh_exact_round(struct uh_exact *exact, const struct uh_meeting *t);

/* Keeps the slopes of n units; then, whether one of them is another now. */
void uh_exact_keep(struct uh_exact *exact, size_t n, const uint32_t unit[]);
int uh_exact_differ(struct uh_exact *exact, size_t n, const uint32_t unit[]);

#endif
