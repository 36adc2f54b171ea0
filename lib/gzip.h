/* gzip.h: unpacking gzip'd bytes without trusting them.  Floor 2.
 *
 * One gzip member (RFC 1952) that is the whole input: a member that ends
 * early, whose checksum or length is wrong, or that is followed by anything is
 * UH_BAD_INPUT.  name is the file's, for messages only.
 *
 * Deflate cannot expand more than UH_GZIP_RATIO to one, so that a size that a
 * file declares can be refused before memory is asked for.
 */
#ifndef UH_GZIP_H
#define UH_GZIP_H

#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UH_GZIP_RATIO = 1032 };

/* Whether the bytes begin as a gzip file does. */
bool uh_gzip_is(size_t size, const uint8_t *bytes);

/* Unpacks the first want bytes, or all where there are fewer; *got says how
 * many.  Looks no further. */
UH_MUST_USE enum uh_status uh_gzip_peek(size_t size, const uint8_t *bytes,
                                        const char *name, size_t want,
                                        uint8_t *out, size_t *got,
                                        struct uh_error *error);

/* The size of the whole, unpacked.  Stops as soon as it is above limit, which
 * is UH_BAD_INPUT. */
UH_MUST_USE enum uh_status uh_gzip_size(size_t size, const uint8_t *bytes,
                                        const char *name, size_t limit,
                                        size_t *unpacked,
                                        struct uh_error *error);

/* Unpacks the whole, which must have exactly want bytes. */
UH_MUST_USE enum uh_status uh_gzip_unpack(size_t size, const uint8_t *bytes,
                                          const char *name, size_t want,
                                          uint8_t *out, struct uh_error *error);

#endif
