/* cifar.c: records of the binary version of CIFAR-10. */
#include "cifar.h"
#include "digest.h"
#include "file.h"
#include "gzip.h"

static enum uh_status check(size_t size, const uint8_t *records,
                            const char *name, struct uh_error *error)
{
    if (size == 0 || size % UH_CIFAR_RECORD != 0 ||
        size / UH_CIFAR_RECORD > UH_CIFAR_LARGEST) {
        return uh_fail(error, UH_BAD_INPUT,
                       "CIFAR file: expected 1 to %d records of %d bytes, "
                       "found %zu bytes (%s)",
                       UH_CIFAR_LARGEST, UH_CIFAR_RECORD, size, name);
    }
    for (size_t i = 0; i < size / UH_CIFAR_RECORD; i++) {
        if (records[i * UH_CIFAR_RECORD] >= UH_CIFAR_CLASSES) {
            return uh_fail(error, UH_BAD_INPUT,
                           "CIFAR label of record %zu: expected 0 to %d, found "
                           "%d (%s)",
                           i, UH_CIFAR_CLASSES - 1,
                           records[i * UH_CIFAR_RECORD], name);
        }
    }
    return UH_OK;
}

static enum uh_status unpack(size_t size, const uint8_t *bytes,
                             const char *name, struct uh_arena *arena,
                             size_t *unpacked, const uint8_t **records,
                             struct uh_error *error)
{
    const size_t limit = (size_t)UH_CIFAR_LARGEST * UH_CIFAR_RECORD;
    enum uh_status status =
        uh_gzip_size(size, bytes, name, limit, unpacked, error);
    if (status != UH_OK) {
        return status;
    }
    uint8_t *room = uh_arena_alloc_raw(arena, *unpacked, 1);
    *records = room;
    return uh_gzip_unpack(size, bytes, name, *unpacked, room, error);
}

enum uh_status uh_cifar_parse(size_t size, const uint8_t *bytes,
                              const char *name, struct uh_arena *arena,
                              struct uh_cifar *out, struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    const uint8_t *records = bytes;
    enum uh_status status = UH_OK;
    if (uh_gzip_is(size, bytes)) {
        status = unpack(size, bytes, name, arena, &size, &records, error);
    }
    if (status == UH_OK) {
        status = check(size, records, name, error);
    }
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
        return status;
    }
    out->count = size / UH_CIFAR_RECORD;
    out->records = records;
    uh_digest_of(records, size, out->digest);
    return UH_OK;
}

enum uh_status uh_cifar_read(const char *path, struct uh_arena *arena,
                             struct uh_cifar *out, struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    uint8_t *bytes;
    size_t size;
    enum uh_status status = uh_file_read(path, 0, arena, &bytes, &size, error);
    if (status == UH_OK) {
        status = uh_cifar_parse(size, bytes, path, arena, out, error);
        if (status != UH_OK) {
            uh_arena_release(arena, mark);
        }
    }
    return status;
}
