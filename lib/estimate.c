/* estimate.c: estimates and their intervals, as records of one line. */
#include "estimate.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>

enum { RESAMPLES = 10000 };

static struct uh_record record_of(const struct uh_estimate *e)
{
    return (struct uh_record){.kind = UH_SAMPLED,
                              .value = e->value,
                              .lower = e->lower,
                              .upper = e->upper,
                              .level = e->level,
                              .n = (int64_t)e->n,
                              .method = e->method};
}

void uh_ledger_estimate(struct uh_ledger *ledger,
                        const struct uh_estimate *estimate, const char *what,
                        const char *id, ...)
{
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, record_of(estimate), what, id, list);
    va_end(list);
}

void uh_ledger_rate(struct uh_ledger *ledger, size_t hits, size_t n,
                    double level, const char *what, const char *id, ...)
{
    struct uh_interval ends = uh_clopper_pearson(hits, n, level);
    struct uh_estimate e = {
        (double)hits / (double)n, ends.lower, ends.upper, level, n,
        "clopper-pearson"};
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, record_of(&e), what, id, list);
    va_end(list);
}

void uh_ledger_student(struct uh_ledger *ledger, size_t n, const double x[n],
                       double level, const char *what, const char *id, ...)
{
    struct uh_interval ends = uh_student(n, x, level);
    struct uh_estimate e = {uh_mean(n, x), ends.lower, ends.upper,
                            level,         n,          "student"};
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, record_of(&e), what, id, list);
    va_end(list);
}

void uh_ledger_bootstrap(struct uh_ledger *ledger, size_t n, const double x[n],
                         double level, struct uh_arena *scratch,
                         const char *what, const char *id, ...)
{
    va_list list, again;
    va_start(list, id);
    va_copy(again, list);
    /* Not in scratch, which may be the ledger's own arena. */
    char method[1024];
    snprintf(method, sizeof method, "bootstrap %s/bootstrap",
             uh_ledger_id(ledger, id, again));
    struct uh_stream stream =
        uh_stream_open("%s", method + strlen("bootstrap "));
    struct uh_interval ends =
        uh_bootstrap_mean(n, x, RESAMPLES, level, &stream, scratch);
    struct uh_estimate e = {uh_mean(n, x), ends.lower, ends.upper,
                            level,         n,          method};
    uh_ledger_put(ledger, record_of(&e), what, id, list);
    va_end(again);
    va_end(list);
}
