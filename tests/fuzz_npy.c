/* fuzz_npy.c: any bytes as a .npy file. */
#include "fuzz.h"

#include "arena.h"
#include "npy.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error = {{0}};
    struct uh_npy npy;
    uint8_t *copy = fuzz_copy(bytes, size);
    if (uh_npy_parse(size, copy, "file.npy", arena, &npy, &error) != UH_OK) {
        fuzz_require_line(&error, "file.npy");
    } else {
        size_t count = 1;
        for (size_t i = 0; i < UH_NPY_RANK; i++) {
            count *= npy.dims[i];
        }
        fuzz_require(npy.rank <= UH_NPY_RANK && count == npy.count,
                     "the product of the axes");
        fuzz_require(!npy.f32 != !npy.f64, "float32 or float64, not both");
        fuzz_require(count <= size / sizeof(float), "no more than the bytes");
        int finite = uh_npy_require_finite(&npy, "file.npy", &error) == UH_OK;
        const float *x = uh_npy_floats(&npy, arena);
        for (size_t i = 0; i < count; i++) {
            double entry = npy.f32 ? (double)npy.f32[i] : npy.f64[i];
            fuzz_require(!finite || isfinite(entry), "finite entries");
            fuzz_require(isnan(x[i]) ? isnan(entry) : x[i] == (float)entry,
                         "entries rounded once");
        }
        if (!finite) {
            fuzz_require_line(&error, "file.npy");
        }
    }
    free(copy);
    uh_arena_free(&arena);
    return 0;
}
