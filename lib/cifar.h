/* cifar.h: records of the binary version of CIFAR-10, plain or gzip'd.  Floor 2.
 *
 * A file is any positive number of records of 3073 bytes: the label (0 to 9),
 * then 32 x 32 red, green and blue values, row by row.  So a record's image is
 * already in the order (channel, row, column) of tensor.h.
 *
 * Source: A. Krizhevsky, "The CIFAR-10 dataset", section "Binary version".
 */
#ifndef UH_CIFAR_H
#define UH_CIFAR_H

#include "arena.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    UH_CIFAR_CLASSES = 10,
    UH_CIFAR_SIDE = 32,
    UH_CIFAR_PIXELS = 3 * UH_CIFAR_SIDE * UH_CIFAR_SIDE,
    UH_CIFAR_RECORD = 1 + UH_CIFAR_PIXELS, /* bytes */
    UH_CIFAR_LARGEST = 60000               /* records of a file, at most */
};

struct uh_cifar {
    size_t count;           /* records, at least 1 */
    const uint8_t *records; /* count records of UH_CIFAR_RECORD bytes */
    char digest[65];        /* SHA-256 of the unpacked file */
};

/* name is the file's, for messages only.  Where the bytes are not gzip'd, out
 * points into them. */
UH_MUST_USE enum uh_status uh_cifar_parse(size_t size, const uint8_t *bytes,
                                          const char *name,
                                          struct uh_arena *arena,
                                          struct uh_cifar *out,
                                          struct uh_error *error);

UH_MUST_USE enum uh_status uh_cifar_read(const char *path,
                                         struct uh_arena *arena,
                                         struct uh_cifar *out,
                                         struct uh_error *error);

#endif
