/* fuzz_ppm.c: any bytes as a PPM file. */
#include "fuzz.h"

#include "arena.h"
#include "ppm.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_picture p;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_ppm_parse(size, copy, "file.ppm", arena, &p, &error) == UH_OK) {
        fuzz_require(p.channels == 3 && p.width >= 1 && p.height >= 1 &&
                         p.width <= UH_PICTURE_SIDE &&
                         p.height <= UH_PICTURE_SIDE,
                     "an RGB picture of at least one pixel");
        size_t count = p.width * p.height * p.channels;
        fuzz_require(count < size, "no more than the bytes");
        fuzz_require(memcmp(p.pixels, bytes + size - count, count) == 0,
                     "the bytes behind the header");
    } else {
        fuzz_require_line(&error, "file.ppm");
    }
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
