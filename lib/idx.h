/* idx.h: arrays of bytes in the IDX format of MNIST, plain or gzip'd.  Floor 2.
 *
 * Big-endian: two zero bytes, the type (8: unsigned byte, the only one read
 * here), the rank, one 32-bit size per axis, then the entries in C order and
 * nothing behind them.  The file's own size is compared with what its header
 * declares before memory is asked for.
 *
 * Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database", section
 * "The IDX file format".
 */
#ifndef UH_IDX_H
#define UH_IDX_H

#include "arena.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { UH_IDX_RANK = 4 }; /* largest rank that is read */

struct uh_idx {
    size_t rank;              /* 1 to UH_IDX_RANK */
    size_t dims[UH_IDX_RANK]; /* each at least 1; the unused ones are 1 */
    size_t count;             /* their product */
    const uint8_t *data;      /* count entries in C order */
    const uint8_t *content;   /* the unpacked file, header and data */
    size_t content_size;      /* its bytes */
    char digest[65];          /* SHA-256 of the unpacked file */
};

/* name is the file's, for messages only.  Where the bytes are not gzip'd, out
 * points into them. */
UH_MUST_USE enum uh_status uh_idx_parse(size_t size, const uint8_t *bytes,
                                        const char *name,
                                        struct uh_arena *arena,
                                        struct uh_idx *out,
                                        struct uh_error *error);

UH_MUST_USE enum uh_status uh_idx_read(const char *path, struct uh_arena *arena,
                                       struct uh_idx *out,
                                       struct uh_error *error);

#endif
