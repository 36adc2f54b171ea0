/* fuzz_picture.c: any bytes as a PNG file. */
#include "fuzz.h"

#include "arena.h"
#include "picture.h"

enum { RATIO_MOST = 1100 }; /* deflate packs no more */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_picture p;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_picture_parse(size, copy, "file.png", arena, &p, &error) == UH_OK) {
        fuzz_require((p.channels == 1 || p.channels == 3) && p.width >= 1 &&
                         p.height >= 1 && p.width <= UH_PICTURE_SIDE &&
                         p.height <= UH_PICTURE_SIDE,
                     "a gray or RGB picture of at least one pixel");
        size_t count = p.width * p.height * p.channels, sum = 0;
        fuzz_require(count <= size * RATIO_MOST, "no more than is packed");
        for (size_t i = 0; i < count; i++) {
            sum += p.pixels[i];
        }
        fuzz_require(sum <= 255 * count, "every pixel");
    } else {
        fuzz_require_line(&error, "file.png");
    }
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
