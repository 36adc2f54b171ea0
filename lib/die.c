/* die.c: how a program of the suite ends early. */
#include "die.h"
#include "file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Whoever comes second waits here for the end of the process: one line is
 * said, and exit is called once. */
static void be_the_only_one(void)
{
    flockfile(stderr); /* and never unlock it */
}

UH_PRINTF(1, 0)
static void say(const char *format, va_list arguments, const char *end)
{
    be_the_only_one();
    char line[1024];
    vsnprintf(line, sizeof line, format, arguments);
    for (char *c = line; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127) {
            *c = '?'; /* a file's name must not forge lines */
        }
    }
    fflush(stdout);
    fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, line, end);
}

void uh_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments, "");
    va_end(arguments);
    uh_file_abandon_all();
    exit(1);
}

void uh_die_error(const struct uh_error *error)
{
    uh_die("%s", error->text);
}

void uh_die_usage(const char *format, ...)
{
    char end[256];
    snprintf(end, sizeof end, "; try %s --help", program_invocation_short_name);
    va_list arguments;
    va_start(arguments, format);
    say(format, arguments, end);
    va_end(arguments);
    exit(2);
}

void uh_broken_contract(const char *function, const char *condition,
                        const char *format, ...)
{
    char detail[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    be_the_only_one();
    fprintf(stderr, "%s: broken contract: %s (%s)\n", function, condition,
            detail);
    uh_file_abandon_all();
    abort();
}

size_t uh_size_mul(size_t a, size_t b)
{
    UH_REQUIRE(uh_size_fits_mul(a, b), "%zu times %zu", a, b);
    return a * b;
}

size_t uh_size_add(size_t a, size_t b)
{
    UH_REQUIRE(a <= SIZE_MAX - b, "%zu plus %zu", a, b);
    return a + b;
}

int uh_size_fits_mul(size_t a, size_t b)
{
    return b == 0 || a <= SIZE_MAX / b;
}
