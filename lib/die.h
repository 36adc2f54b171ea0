/* die.h: how a program of the suite ends early.  Floor 0.
 *
 * Each end is one line on stderr that begins with the program's name.  Exit
 * status: 1 bad input or environment, 2 wrong usage, 130 and 143 after SIGINT
 * and SIGTERM; a broken contract aborts.
 */
#ifndef UH_DIE_H
#define UH_DIE_H

#include "status.h"

#include <stddef.h>

/* "program: what: expected ..., found ... (file)", exit 1.  Unfinished files
 * (file.h) are removed first. */
_Noreturn void uh_die(const char *format, ...) UH_PRINTF(1, 2);

/* The line that a reader left behind, exit 1. */
_Noreturn void uh_die_error(const struct uh_error *error);

/* "program: ...; try program --help", exit 2. */
_Noreturn void uh_die_usage(const char *format, ...) UH_PRINTF(1, 2);

/* A broken contract is a bug of the caller: the function and the condition
 * are printed and the program aborts, in every build.  There is no line
 * number: it would become part of the program, and a sentence above it would
 * make every run stale. */
#define UH_REQUIRE(condition, ...)                                             \
    ((condition) ? (void)0                                                     \
                 : uh_broken_contract(__func__, #condition, __VA_ARGS__))

_Noreturn void uh_broken_contract(const char *function, const char *condition,
                                  const char *format, ...) UH_PRINTF(3, 4);

/* a * b and a + b of sizes; a result that size_t cannot hold is a broken
 * contract.  Readers of foreign sizes test with uh_size_fits_* first. */
size_t uh_size_mul(size_t a, size_t b);
size_t uh_size_add(size_t a, size_t b);
int uh_size_fits_mul(size_t a, size_t b);

#endif
