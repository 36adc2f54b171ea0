/* digest.h: SHA-256 of bytes, to name files, data and streams.  Floor 0.
 *
 * Method   FIPS 180-4, sections 5.1.1, 5.3.3 and 6.2, on any byte order.
 * Lane     exact: integers only.
 * Limits   less than 2^61 bytes per digest.
 * Use      start, add as often as you like, end; or uh_digest_of() at once.
 *          However the bytes are split over calls, the digest is the same.
 */
#ifndef UH_DIGEST_H
#define UH_DIGEST_H

#include <stddef.h>
#include <stdint.h>

/* A digest under way; plain, copyable (a copy continues on its own). */
struct uh_digest {
    uint32_t h[8];     /* chaining value, H0 to H7 of FIPS 180-4 */
    uint64_t size;     /* bytes added so far */
    uint8_t block[64]; /* the last size % 64 bytes, not yet hashed */
};

void uh_digest_start(struct uh_digest *d);

/* Appends size bytes; bytes may be NULL when size is 0. */
void uh_digest_add(struct uh_digest *d, const void *bytes, size_t size);

/* Writes 64 lower-case hexadecimal digits and a terminating zero.  Afterwards
 * d must be started anew. */
void uh_digest_end(struct uh_digest *d, char hex[65]);

/* The same as uh_digest_end(), as 32 bytes in the order of FIPS 180-4: the
 * hexadecimal digits are these bytes read from first to last. */
void uh_digest_end_raw(struct uh_digest *d, uint8_t raw[32]);

/* The digest of size bytes in one call. */
void uh_digest_of(const void *bytes, size_t size, char hex[65]);

#endif
