/* fuzz_safetensors.c: any bytes as a .safetensors file. */
#include "fuzz.h"

#include "arena.h"
#include "safetensors.h"

static void read_entries(const struct uh_stored_tensor *t,
                         struct uh_arena *arena)
{
    struct uh_error error = {{0}};
    float *x = uh_arena_alloc_raw(arena, t->count, sizeof *x);
    double *y = uh_arena_alloc_raw(arena, t->count, sizeof *y);
    for (int exact = 0; exact < 2; exact++) {
        if (uh_stored_tensor_floats(t, exact, "file.st", x, &error) != UH_OK) {
            fuzz_require_line(&error, "file.st");
        }
        if (uh_stored_tensor_doubles(t, exact, "file.st", y, &error) != UH_OK) {
            fuzz_require_line(&error, "file.st");
        }
    }
}

static void check(const struct uh_safetensors *file, size_t size,
                  struct uh_arena *arena)
{
    struct uh_error error = {{0}};
    size_t bytes = 0;
    for (size_t i = 0; i < file->tensors; i++) {
        const struct uh_stored_tensor *t = &file->tensor[i];
        size_t count = 1;
        for (size_t d = 0; d < UH_SAFETENSORS_RANK; d++) {
            count *= t->dims[d];
        }
        fuzz_require(count == t->count, "the product of the axes");
        bytes += count * uh_dtype_size(t->dtype);
        fuzz_require(bytes <= size, "no more than the bytes");
        fuzz_require(uh_safetensors_find(file, t->name) == t,
                     "to find each tensor by its name");
        read_entries(t, arena);
    }
    for (size_t i = 0; i < file->entries; i++) {
        const char *key = file->metadata[i].key;
        fuzz_require(uh_safetensors_metadata(file, key) ==
                         file->metadata[i].value,
                     "to find each entry by its key");
    }
    if (uh_safetensors_require_finite(file, &error) != UH_OK) {
        fuzz_require_line(&error, "file.st");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_safetensors file;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_safetensors_parse(size, copy, "file.st", arena, &file, &error) ==
        UH_OK) {
        check(&file, size, arena);
    } else {
        fuzz_require_line(&error, "file.st");
    }
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
