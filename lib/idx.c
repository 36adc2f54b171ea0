/* idx.c: arrays of bytes in the IDX format of MNIST. */
#include "idx.h"
#include "die.h"
#include "digest.h"
#include "file.h"
#include "gzip.h"

#include <string.h>

enum { LARGEST_HEADER = 4 + 4 * UH_IDX_RANK, UNSIGNED_BYTE = 8 };

/* Reads the header out of the first `got` bytes of the unpacked file and says
 * how many bytes the whole must have. */
static enum uh_status read_header(size_t got, const uint8_t *head,
                                  const char *name, struct uh_idx *idx,
                                  struct uh_error *error)
{
    if (got < 4) {
        return uh_fail(error, UH_BAD_INPUT,
                       "IDX header: expected at least 4 bytes, found %zu (%s)",
                       got, name);
    }
    if (head[0] != 0 || head[1] != 0 || head[2] != UNSIGNED_BYTE) {
        return uh_fail(error, UH_BAD_INPUT,
                       "IDX magic: expected 0 0 8 (unsigned bytes), found %d "
                       "%d %d (%s)",
                       head[0], head[1], head[2], name);
    }
    size_t rank = head[3];
    if (rank < 1 || rank > UH_IDX_RANK) {
        return uh_fail(error, UH_BAD_INPUT,
                       "IDX rank: expected 1 to %d, found %zu (%s)",
                       UH_IDX_RANK, rank, name);
    }
    size_t header = 4 + 4 * rank;
    if (got < header) {
        return uh_fail(error, UH_BAD_INPUT,
                       "IDX header: expected %zu bytes, found %zu (%s)", header,
                       got, name);
    }
    idx->rank = rank;
    idx->count = 1;
    for (size_t i = 0; i < UH_IDX_RANK; i++) {
        idx->dims[i] = 1;
    }
    for (size_t i = 0; i < rank; i++) {
        const uint8_t *b = head + 4 + 4 * i;
        size_t dim = (size_t)b[0] << 24 | (size_t)b[1] << 16 |
                     (size_t)b[2] << 8 | (size_t)b[3];
        if (dim == 0) {
            return uh_fail(error, UH_BAD_INPUT,
                           "IDX axis %zu: expected at least 1, found 0 (%s)", i,
                           name);
        }
        if (!uh_size_fits_mul(idx->count, dim) ||
            idx->count * dim > SIZE_MAX / 2) {
            return uh_fail(error, UH_BAD_INPUT,
                           "IDX axes: expected a product of at most %zu, found "
                           "%zu times %zu (%s)",
                           SIZE_MAX / 2, idx->count, dim, name);
        }
        idx->dims[i] = dim;
        idx->count *= dim;
    }
    idx->content_size = header + idx->count;
    return UH_OK;
}

static enum uh_status wrong_size(const struct uh_idx *idx, size_t found,
                                 const char *name, struct uh_error *error)
{
    return uh_fail(error, UH_BAD_INPUT,
                   "IDX file: expected %zu bytes as its header says, found "
                   "%zu (%s)",
                   idx->content_size, found, name);
}

static enum uh_status unpack(size_t size, const uint8_t *bytes,
                             const char *name, struct uh_arena *arena,
                             struct uh_idx *idx, struct uh_error *error)
{
    uint8_t head[LARGEST_HEADER];
    size_t got;
    enum uh_status status =
        uh_gzip_peek(size, bytes, name, sizeof head, head, &got, error);
    if (status == UH_OK) {
        status = read_header(got, head, name, idx, error);
    }
    if (status != UH_OK) {
        return status;
    }
    if (idx->content_size / UH_GZIP_RATIO > size) {
        return uh_fail(error, UH_BAD_INPUT,
                       "IDX file: expected %zu bytes as its header says, found "
                       "%zu packed, which hold at most %d times as many (%s)",
                       idx->content_size, size, UH_GZIP_RATIO, name);
    }
    uint8_t *content = uh_arena_alloc_raw(arena, idx->content_size, 1);
    idx->content = content;
    return uh_gzip_unpack(size, bytes, name, idx->content_size, content, error);
}

enum uh_status uh_idx_parse(size_t size, const uint8_t *bytes, const char *name,
                            struct uh_arena *arena, struct uh_idx *out,
                            struct uh_error *error)
{
    struct uh_idx idx = {0};
    struct uh_mark mark = uh_arena_open(arena);
    enum uh_status status;
    if (uh_gzip_is(size, bytes)) {
        status = unpack(size, bytes, name, arena, &idx, error);
    } else {
        status = read_header(size, bytes, name, &idx, error);
        if (status == UH_OK && idx.content_size != size) {
            status = wrong_size(&idx, size, name, error);
        }
        idx.content = bytes;
    }
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
        return status;
    }
    idx.data = idx.content + 4 + 4 * idx.rank;
    uh_digest_of(idx.content, idx.content_size, idx.digest);
    *out = idx;
    return UH_OK;
}

enum uh_status uh_idx_read(const char *path, struct uh_arena *arena,
                           struct uh_idx *out, struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    uint8_t *bytes;
    size_t size;
    enum uh_status status = uh_file_read(path, 0, arena, &bytes, &size, error);
    if (status == UH_OK) {
        status = uh_idx_parse(size, bytes, path, arena, out, error);
        if (status != UH_OK) {
            uh_arena_release(arena, mark);
        }
    }
    return status;
}
