/* fuzz_idx.c: any bytes as an IDX file, and as images with their labels. */
#include "fuzz.h"

#include "arena.h"
#include "dataset.h"
#include "idx.h"

/* The first two bytes say how many of the others are the label file. */
static void as_data_set(const uint8_t *bytes, size_t size,
                        struct uh_arena *arena)
{
    if (size < 2) {
        return;
    }
    size_t cut = (size_t)bytes[0] << 8 | bytes[1];
    cut = cut < size - 2 ? cut : size - 2;
    uint8_t *labels = fuzz_copy(bytes + 2, cut);
    uint8_t *images = fuzz_copy(bytes + 2 + cut, size - 2 - cut);
    struct uh_idx x, y;
    struct uh_dataset set;
    struct uh_error error = {{0}};
    if (uh_idx_parse(size - 2 - cut, images, "x", arena, &x, &error) == UH_OK &&
        uh_idx_parse(cut, labels, "y", arena, &y, &error) == UH_OK) {
        if (uh_dataset_of_idx(&x, &y, 10, "xfile", "yfile", arena, &set,
                              &error) == UH_OK) {
            fuzz_require(set.count == y.count, "as many labels as images");
            for (size_t i = 0; i < set.count; i++) {
                fuzz_require(set.y[i] < set.classes, "labels below classes");
            }
            for (size_t i = 0; i < x.count; i++) {
                fuzz_require(set.x[i] >= 0 && set.x[i] <= 1, "pixels in [0,1]");
            }
        } else {
            fuzz_require_line(&error, "file");
        }
    }
    free(labels);
    free(images);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_idx idx;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_idx_parse(size, copy, "file.idx", arena, &idx, &error) == UH_OK) {
        size_t count = 1, sum = 0;
        for (size_t i = 0; i < UH_IDX_RANK; i++) {
            fuzz_require(idx.dims[i] > 0, "axes of at least 1");
            count *= idx.dims[i];
        }
        fuzz_require(count == idx.count, "the product of the axes");
        fuzz_require(idx.content_size == 4 + 4 * idx.rank + count,
                     "header and entries, nothing else");
        for (size_t i = 0; i < idx.count; i++) {
            sum += idx.data[i];
        }
        fuzz_require(sum <= 255 * count, "bytes");
    } else {
        fuzz_require_line(&error, "file.idx");
    }
    as_data_set(bytes, size, arena);
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
