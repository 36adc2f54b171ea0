/* lane.h: the guard at start-up of the exact lane.  Floor 1.
 *
 * The exact lane promises the same bits everywhere.  That holds only on
 * arithmetic as IEEE 754 defines it, which a compiler's option, a library's
 * constructor or a caller can take away.
 */
#ifndef UH_LANE_H
#define UH_LANE_H

/* Returns when, in the calling thread,
 *   - a * b + c is rounded twice (no contraction; the library was compiled
 *     with -ffp-contract=off or its like), and fma and fmaf round once,
 *   - sums round to nearest, by fegetround and by a computed example,
 *   - denormal floats and doubles survive as operands and as results,
 *   - double and float expressions carry no excess precision (no x87);
 * otherwise uh_die with one line that names the first of these that fails.
 *
 * Every program calls it first; the frame of a step does (step.h).  A thread
 * inherits the mode of the thread that starts it.  The guard cannot see how
 * other translation units were compiled; the test of the build does. */
void uh_lane_check(void);

#endif
