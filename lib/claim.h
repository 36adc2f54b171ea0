/* claim.h: verdicts by rule.  Floor 5.
 *
 * A chapter's rules are lines (a line that begins with a blank continues the
 * one before; # begins a comment line):
 *
 *     B-29 holds:     knots/bound/excess == 0
 *     B-31 refuted:   knots/growth/slope > 2
 *     B-31 holds if "the maximal number is meant": knots/saw/misses == 0
 *
 * tried from top to bottom; the first that is true gives the verdict; none
 * true is "undecided"; a record that is absent is "untested".  A line
 *
 *     in knots:
 *
 * puts knots/ before every id of the lines below it, up to the next such line.
 *
 *     expression   or, and, not, comparisons (== != < <= > >=), + - * /, ( )
 *     number       3, 0.05, 1e-12: exact decimals
 *     id           the value of a record
 *     lower(id) upper(id)   the ends of its interval, or of the last digit
 *                  that stands; the value itself where it is exact or bits
 *     all(P)       where P ends in a star: the values of every record whose
 *                  id begins with what is before the star, in the order of
 *                  their ids; also lower(P), upper(P).  A comparison with them
 *                  holds if it holds for each.
 *     (x, y, ...)  several values at once; against all(P) each meets its own,
 *                  and the rule cannot be read if there are more or fewer.
 *
 * Between an id and a minus sign there is a blank: a-b is one id.
 *
 * Arithmetic is rational and exact.  A comparison of texts (digests) is == or
 * !=.  A `rounded` record is read by lower() or upper() alone, so that no rule
 * compares closer than the digits that stand.
 */
#ifndef UH_CLAIM_H
#define UH_CLAIM_H

#include "arena.h"
#include "book.h"
#include "status.h"

#include <stddef.h>

struct uh_verdict {
    const char *claim;     /* "B-29" */
    const char *word;      /* holds, holds if, refuted, undecided, untested */
    const char *condition; /* what follows if; "" */
    const char *rule;      /* the expression that was true, or all tried */
    const char **from;     /* the ids that were read */
    size_t from_count;
};

/* Every claim that the rules name, in their order.  UH_BAD_INPUT for a line
 * that cannot be read, or a rule that breaks the rule on rounded records; the
 * error names the claim. */
UH_MUST_USE enum uh_status
uh_claims_decide(const char *rules, const struct uh_book *book,
                 struct uh_arena *arena, struct uh_verdict **verdicts,
                 size_t *count, struct uh_error *error);

#endif
