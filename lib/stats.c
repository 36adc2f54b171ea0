/* stats.c: intervals and least squares for what was sampled. */
#include "stats.h"

#include "die.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>

double uh_mean(size_t n, const double x[n])
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum / (double)n;
}

double uh_deviation(size_t n, const double x[n])
{
    double mean = uh_mean(n, x), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (x[i] - mean) * (x[i] - mean);
    }
    return n < 2 ? 0 : sqrt(sum / (double)(n - 1));
}

/* The p-quantile of the beta distribution: the double at which its
 * distribution function (GSL) passes p, by bisection.  GSL's own quantile,
 * a Newton iteration, does not converge for some counts and returns NaN. */
static double beta_quantile(double p, double a, double b)
{
    double low = 0, high = 1;
    for (;;) {
        double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) {
            return high;
        }
        if (gsl_cdf_beta_P(middle, a, b) < p) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

struct uh_interval uh_clopper_pearson(size_t hits, size_t n, double level)
{
    UH_REQUIRE(n >= 1 && hits <= n, "%zu of %zu", hits, n);
    UH_REQUIRE(level > 0 && level < 1, "%g", level);
    double tail = (1 - level) / 2, k = (double)hits, m = (double)(n - hits);
    return (struct uh_interval){
        hits == 0 ? 0 : beta_quantile(tail, k, m + 1),
        /* the upper end mirrors the lower one of the misses */
        hits == n ? 1 : 1 - beta_quantile(tail, m, k + 1)};
}

struct uh_interval uh_student(size_t n, const double x[n], double level)
{
    UH_REQUIRE(n >= 2, "%zu", n);
    UH_REQUIRE(level > 0 && level < 1, "%g", level);
    double half = gsl_cdf_tdist_Qinv((1 - level) / 2, (double)(n - 1)) *
                  uh_deviation(n, x) / sqrt((double)n);
    double mean = uh_mean(n, x);
    return (struct uh_interval){mean - half, mean + half};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void uh_sort(size_t n, double *x)
{
    qsort(x, n, sizeof *x, ascending);
}

/* The p-quantile of n sorted numbers, linear between order statistics. */
static double quantile(size_t n, const double sorted[n], double p)
{
    double place = p * (double)(n - 1);
    size_t below = (size_t)floor(place);
    if (below + 1 >= n) {
        return sorted[n - 1];
    }
    double part = place - (double)below;
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

struct uh_interval uh_bootstrap(size_t n, struct uh_statistic statistic,
                                size_t resamples, double level,
                                struct uh_stream *stream,
                                struct uh_arena *scratch)
{
    UH_REQUIRE(n >= 1 && resamples >= 2, "%zu, %zu", n, resamples);
    UH_REQUIRE(level > 0 && level < 1, "%g", level);
    struct uh_mark mark = uh_arena_open(scratch);
    uint32_t *pick = uh_arena_alloc(scratch, n, sizeof *pick);
    double *found = uh_arena_alloc(scratch, resamples, sizeof *found);
    for (size_t r = 0; r < resamples; r++) {
        for (size_t i = 0; i < n; i++) {
            pick[i] = (uint32_t)uh_stream_below(stream, n);
        }
        found[r] = statistic.of(statistic.context, n, pick);
        UH_REQUIRE(isfinite(found[r]), "resample %zu gave %g", r, found[r]);
    }
    uh_sort(resamples, found);
    struct uh_interval interval = {
        quantile(resamples, found, (1 - level) / 2),
        quantile(resamples, found, 1 - (1 - level) / 2)};
    uh_arena_release(scratch, mark);
    return interval;
}

static double mean_of_picked(const void *context, size_t n,
                             const uint32_t pick[n])
{
    const double *x = context;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[pick[i]];
    }
    return sum / (double)n;
}

struct uh_interval uh_bootstrap_mean(size_t n, const double x[n],
                                     size_t resamples, double level,
                                     struct uh_stream *stream,
                                     struct uh_arena *scratch)
{
    return uh_bootstrap(n, (struct uh_statistic){mean_of_picked, x}, resamples,
                        level, stream, scratch);
}

struct uh_fit uh_fit_line(size_t n, const double x[n], const double y[n])
{
    UH_REQUIRE(n >= 2, "%zu", n);
    double mx = uh_mean(n, x), my = uh_mean(n, y), xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mx) * (x[i] - mx);
        xy += (x[i] - mx) * (y[i] - my);
    }
    UH_REQUIRE(xx > 0, "all %zu abscissas are the same", n);
    struct uh_fit line = {0, xy / xx, 0};
    line.intercept = my - line.slope * mx;
    for (size_t i = 0; i < n; i++) {
        double miss = y[i] - (line.intercept + line.slope * x[i]);
        line.residual += miss * miss;
    }
    return line;
}
