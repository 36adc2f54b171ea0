/* fuzz_cifar.c: any bytes as a CIFAR-10 file. */
#include "fuzz.h"

#include "arena.h"
#include "cifar.h"

/* A record is longer than a fuzzer likes: bytes that are no file are tried
 * again as the beginning of a record, the rest being zero. */
static void parse(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_cifar set;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_cifar_parse(size, copy, "file.bin", arena, &set, &error) == UH_OK) {
        size_t sum = 0;
        fuzz_require(set.count >= 1 && set.count <= UH_CIFAR_LARGEST,
                     "1 to 60000 records");
        for (size_t i = 0; i < set.count; i++) {
            const uint8_t *record = set.records + i * UH_CIFAR_RECORD;
            fuzz_require(record[0] < UH_CIFAR_CLASSES, "labels below 10");
            for (size_t j = 0; j < UH_CIFAR_PIXELS; j++) {
                sum += record[1 + j];
            }
        }
        fuzz_require(sum <= 255 * set.count * UH_CIFAR_PIXELS, "bytes");
    } else {
        fuzz_require_line(&error, "file.bin");
    }
    free(copy);
    uh_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t record[UH_CIFAR_RECORD] = {0};
    parse(bytes, size);
    if (size < sizeof record) {
        if (size) {
            memcpy(record, bytes, size);
        }
        parse(record, sizeof record);
    }
    return 0;
}
