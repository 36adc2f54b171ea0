/* fuzz.h: what the fuzz targets share.
 *
 * A target takes any bytes.  The reader may accept or refuse them; what it
 * accepts must be consistent, what it refuses must leave one line that names
 * the file, and it must ask for no more memory than a fixed multiple of what
 * it was given. */
#ifndef FUZZ_H
#define FUZZ_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static inline void fuzz_require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "fuzz: expected %s, found otherwise\n", what);
        abort();
    }
}

/* The line of a reader that refused: one, not empty, with the file's name. */
static inline void fuzz_require_line(const struct uh_error *error,
                                     const char *file)
{
    size_t length = strnlen(error->text, sizeof error->text);
    fuzz_require(length > 0 && length < sizeof error->text, "a line");
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)error->text[i];
        fuzz_require(c >= ' ' && c != 127, "a line without control characters");
    }
    fuzz_require(strstr(error->text, "expected ") != NULL, "what was expected");
    fuzz_require(!file || strstr(error->text, file) != NULL, "the file's name");
}

/* A copy with nothing behind it, so that a checker of addresses sees a read
 * beyond the end; free it. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    fuzz_require(copy != NULL, "memory");
    if (size) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

#endif
