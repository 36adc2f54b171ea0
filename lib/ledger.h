/* ledger.h: the numbers of a step, one record each.  Floor 5.
 *
 * A record is a function of sources, profile and data; clocks, hosts and
 * progress never enter.  The ledger is written as JSON Lines, sorted by id,
 * keys sorted.
 */
#ifndef UH_LEDGER_H
#define UH_LEDGER_H

#include "arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uh_record_kind {
    UH_EXACT,   /* computed in integers or rationals, a digest */
    UH_BITS,    /* a binary float of the exact lane */
    UH_ROUNDED, /* passed through LAPACK, BLAS, GSL or GLPK */
    UH_SAMPLED  /* an estimate, with an interval */
};

/* What is not used stays zero.  Text is copied. */
struct uh_record {
    const char *id; /* chapter/name[/part]: a-z, 0-9, '-', '.' */
    enum uh_record_kind kind;
    const char *what;   /* one line in words, required */
    const char *unit;   /* NULL: a pure number */
    const char *claims; /* "B-29 B-30", NULL: none */
    const char *data;   /* "mnist-test=DIGEST ...", NULL: none */
    const char *oracle; /* what it was checked against, NULL: nothing */
    double residual; /* with an oracle: how far off, absolute or as what says */

    const char *text; /* exact: an integer, a rational in lowest terms p/q, or a
                         digest in hexadecimal; NULL: integer is meant */
    int64_t integer;  /* exact, where text is NULL */
    double value;     /* all other kinds; finite */
    bool single;      /* value is a float32: 9 digits name it */
    int digits;       /* rounded: significant digits that stand (1 to 17);
                         sampled: the same where the estimate is rounded */
    double lower, upper; /* sampled: the interval */
    double level;        /* sampled: its level, 0.95 */
    int64_t n;           /* sampled: how many */
    const char *method;  /* sampled: "clopper-pearson", "student",
                            "bootstrap STREAM" */
};

struct uh_ledger;

/* An empty ledger of one step; source is the digest that make hands to the
 * step, or NULL. */
struct uh_ledger *uh_ledger_new(struct uh_arena *arena, const char *chapter,
                                const char *profile, const char *source);

/* One record more.  A value that is NaN or infinite, an id that is not of this
 * chapter or used twice, a text that is not in its canonical form: a broken
 * contract.  Not for several threads at once. */
void uh_ledger_record(struct uh_ledger *ledger, const struct uh_record *record);

/* -- records of one line -----------------------------------------------------
 *
 * The value, what it is in words, and its id, printed as printf does:
 *
 *     uh_ledger_group(ledger, &(struct uh_group){.path = "tuple", ...});
 *     uh_ledger_count(ledger, knots, "knots of the network", "%s/built", name);
 *
 * records knots/tuple/3-2/built in a ledger of the chapter knots.  estimate.h
 * has those that come with an interval.
 */

/* What the records of one line share, from here to the next group; texts are
 * copied.  uh_ledger_record takes nothing from it. */
struct uh_group {
    const char *path;                 /* ids are chapter/path/id; NULL:
                                          chapter/id */
    const char *unit, *claims, *data; /* as in uh_record */
    const char *oracle;
    double residual;
    int digits; /* of estimates that were rounded */
};

/* NULL: nothing is shared, which is how a ledger begins. */
void uh_ledger_group(struct uh_ledger *ledger, const struct uh_group *group);

/* exact: a number of things, an integer of either sign, or a text (an integer,
 * a rational in lowest terms, a digest). */
void uh_ledger_count(struct uh_ledger *ledger, size_t value, const char *what,
                     const char *id, ...) UH_PRINTF(4, 5);
void uh_ledger_integer(struct uh_ledger *ledger, int64_t value,
                       const char *what, const char *id, ...) UH_PRINTF(4, 5);
void uh_ledger_text(struct uh_ledger *ledger, const char *value,
                    const char *what, const char *id, ...) UH_PRINTF(4, 5);

/* bits: a double. */
void uh_ledger_bits(struct uh_ledger *ledger, double value, const char *what,
                    const char *id, ...) UH_PRINTF(4, 5);

/* rounded: so many significant digits stand. */
void uh_ledger_rounded(struct uh_ledger *ledger, double value, int digits,
                       const char *what, const char *id, ...) UH_PRINTF(5, 6);

/* The same for a record whose kind and value are set: the base of the above. */
void uh_ledger_put(struct uh_ledger *ledger, struct uh_record record,
                   const char *what, const char *id, va_list list)
    UH_PRINTF(4, 0);

/* chapter/path/id, printed; lives as long as the ledger's arena. */
const char *uh_ledger_id(struct uh_ledger *ledger, const char *id, va_list list)
    UH_PRINTF(2, 0);

/* Names the digest of a stage (a data set, a trained network) that every later
 * record of the step rests on. */
void uh_ledger_stage(struct uh_ledger *ledger, const char *stage,
                     const char *digest);

/* Writes the records, sorted by id, whole or not at all. */
void uh_ledger_write(const struct uh_ledger *ledger, const char *path);

/* Frees what is not in the arena. */
void uh_ledger_free(struct uh_ledger *ledger);

#endif
