/* estimate.h: estimates and their intervals, as records of one line.  Floor 5.
 *
 * As in ledger.h: what it is in words and its id, printed as printf does; the
 * ledger's group says the rest.  The kind is sampled, the estimate itself a sum
 * in index order; ends of intervals are those of stats.h.
 */
#ifndef UH_ESTIMATE_H
#define UH_ESTIMATE_H

#include "arena.h"
#include "ledger.h"

#include <stddef.h>

/* The rate hits / n, with its interval of Clopper and Pearson.  n >= 1. */
void uh_ledger_rate(struct uh_ledger *ledger, size_t hits, size_t n,
                    double level, const char *what, const char *id, ...)
    UH_PRINTF(6, 7);

/* The mean of n numbers, with Student's interval.  n >= 2. */
void uh_ledger_student(struct uh_ledger *ledger, size_t n, const double x[n],
                       double level, const char *what, const char *id, ...)
    UH_PRINTF(6, 7);

/* The mean of n numbers, with the percentile bootstrap's interval of 10,000
 * resamples from the stream WHOLE-ID/bootstrap.  n >= 1.
 * Memory   scratch, released. */
void uh_ledger_bootstrap(struct uh_ledger *ledger, size_t n, const double x[n],
                         double level, struct uh_arena *scratch,
                         const char *what, const char *id, ...) UH_PRINTF(7, 8);

/* An estimate whose interval and method were found elsewhere. */
struct uh_estimate {
    double value, lower, upper, level;
    size_t n;
    const char *method;
};
void uh_ledger_estimate(struct uh_ledger *ledger,
                        const struct uh_estimate *estimate, const char *what,
                        const char *id, ...) UH_PRINTF(4, 5);

#endif
