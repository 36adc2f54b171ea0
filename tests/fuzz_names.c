/* fuzz_names.c: any bytes as a .safetensors file whose tensors have names that
 * a caller or torchvision gave them, weights as codebooks among them. */
#include "fuzz.h"

#include "arena.h"
#include "torchvision.h"

#include <math.h>

enum { FILE_BYTES_MOST = 1 << 20 };

/* A dense layer of 3 x 4 weights and a batchnorm. */
static void read_small(const struct uh_safetensors *stored,
                       struct uh_arena *arena)
{
    static const char *const module[] = {"a", "b"};
    static const enum uh_bias bias[] = {UH_BIAS_MAYBE, UH_BIAS_NEEDED};
    static const struct uh_net_names names = {"small", 2, module, bias, true};
    struct uh_error error = {{0}};
    struct uh_net net;
    enum uh_status status = uh_net_of_names(
        stored, "input 4; dense 3; batchnorm", &names, arena, &net, &error);
    if (status != UH_OK) {
        fuzz_require_line(&error, "file.st");
        return;
    }
    fuzz_require(net.parameter_count == 3 * 4 + 3 + 3 + 3, "its numbers");
    for (size_t i = 0; i < net.parameter_count; i++) {
        fuzz_require(isfinite(net.parameters[i]), "finite numbers");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_safetensors file;
    struct uh_torchvision found;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (size <= FILE_BYTES_MOST &&
        uh_safetensors_parse(size, copy, "file.st", arena, &file, &error) ==
            UH_OK) {
        read_small(&file, arena);
        fuzz_require(uh_torchvision_of_tensors(&file, NULL, arena, &found,
                                               &error) != UH_OK,
                     "no published network in so few bytes");
        fuzz_require_line(&error, "file.st");
    }
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
