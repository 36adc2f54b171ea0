/* stats.h: intervals and least squares for what was sampled.  Floor 1.
 *
 * Ends of intervals pass through GSL and agree to 9 digits; the estimates
 * themselves are sums in index order, on the exact lane.
 */
#ifndef UH_STATS_H
#define UH_STATS_H

#include "arena.h"
#include "stream.h"

#include <stddef.h>

struct uh_interval {
    double lower, upper; /* lower <= upper, unit of the estimate */
};

/* The mean of n numbers, summed in index order. */
double uh_mean(size_t n, const double x[n]);

/* Puts n numbers, none of them NaN, into ascending order. */
void uh_sort(size_t n, double *x);

/* The sample standard deviation (divisor n - 1), two passes; 0 if n is 1. */
double uh_deviation(size_t n, const double x[n]);

/* Interval of a rate from hits out of n trials: covers the true rate with at
 * least the given probability, whatever it is.
 *
 * Method   quantiles of the beta distribution, by bisection of GSL's
 *          distribution function; Clopper and Pearson,
 *          Biometrika 26 (1934), 404-413.
 * Special  hits = 0 gives lower = 0, hits = n gives upper = 1, both exactly.
 * Contract hits <= n, n >= 1, 0 < level < 1.
 */
struct uh_interval uh_clopper_pearson(size_t hits, size_t n, double level);

/* Interval of a mean: mean -+ t s / sqrt(n), t the quantile of Student's
 * distribution with n - 1 degrees of freedom.  n >= 2. */
struct uh_interval uh_student(size_t n, const double x[n], double level);

/* What is resampled: the statistic of the units pick[0..n-1], each below n. */
struct uh_statistic {
    double (*of)(const void *context, size_t n, const uint32_t pick[n]);
    const void *context;
};

/* Interval of a statistic by the percentile bootstrap: units 0..n-1 (seeds,
 * inputs) are drawn n times with replacement, resamples times over, and the
 * (1 -+ level)/2 quantiles of the statistic are returned.
 *
 * Method   Efron and Tibshirani, An Introduction to the Bootstrap (1993),
 *          section 13.3; quantiles interpolate linearly between order
 *          statistics.
 * Lane     exact, if the statistic is.
 * Memory   n indices and resamples doubles from scratch, released.
 * Contract n >= 1, resamples >= 2; the statistic is finite.
 */
struct uh_interval uh_bootstrap(size_t n, struct uh_statistic statistic,
                                size_t resamples, double level,
                                struct uh_stream *stream,
                                struct uh_arena *scratch);

/* The bootstrap interval of the mean of n numbers, for instance of paired
 * differences. */
struct uh_interval uh_bootstrap_mean(size_t n, const double x[n],
                                     size_t resamples, double level,
                                     struct uh_stream *stream,
                                     struct uh_arena *scratch);

/* The line y = intercept + slope x by least squares. */
struct uh_fit {
    double intercept, slope;
    double residual; /* sum of the squared residuals */
};

/* n >= 2, and x takes at least two values. */
struct uh_fit uh_fit_line(size_t n, const double x[n], const double y[n]);

#endif
