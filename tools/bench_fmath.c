/* bench_fmath.c: an elementary function of 2,048 floats in the first cache, by
 * lib/fmath.h or by the C library, one thread.
 *
 *     bench_fmath ours|libm exp|log|tanh|sigmoid
 *
 * Prints the line of bench.h, for all of them.  Arguments are uniform in
 * [-10, 10], those of log in (0, 10]; the C library has no sigmoid, and its
 * side is 1 / (1 + expf(-x)). */
#include "bench.h"
#include "die.h"
#include "fmath.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum { COUNT = 2048 };

struct arrays {
    float *x, *y;
};

static float sigmoidf(float x)
{
    return 1 / (1 + expf(-x));
}

/* Direct calls on both sides. */
#define SIDES(name, ours, libm)                                                \
    static void ours_##name(const void *context)                               \
    {                                                                          \
        const struct arrays *a = context;                                      \
        ours(COUNT, a->x, a->y);                                               \
    }                                                                          \
    static void libm_##name(const void *context)                               \
    {                                                                          \
        const struct arrays *a = context;                                      \
        for (size_t i = 0; i < COUNT; i++) {                                   \
            a->y[i] = libm(a->x[i]);                                           \
        }                                                                      \
    }
SIDES(exp, uh_expf_n, expf)
SIDES(log, uh_logf_n, logf)
SIDES(tanh, uh_tanhf_n, tanhf)
SIDES(sigmoid, uh_sigmoidf_n, sigmoidf)

static const struct {
    const char *name;
    void (*ours)(const void *context), (*libm)(const void *context);
} functions[] = {{"exp", ours_exp, libm_exp},
                 {"log", ours_log, libm_log},
                 {"tanh", ours_tanh, libm_tanh},
                 {"sigmoid", ours_sigmoid, libm_sigmoid}};

int main(int argc, char **argv)
{
    static float x[COUNT], y[COUNT];
    const size_t count = sizeof functions / sizeof *functions;
    size_t f = 0;
    while (argc == 3 && f < count && strcmp(argv[2], functions[f].name) != 0) {
        f++;
    }
    if (argc != 3 || f == count) {
        uh_die_usage("operands: expected ours|libm exp|log|tanh|sigmoid");
    }
    struct uh_stream stream = uh_stream_open("bench/fmath");
    for (size_t i = 0; i < COUNT; i++) {
        const float u = uh_stream_uniformf(&stream);
        x[i] = strcmp(argv[2], "log") == 0 ? 10 - 10 * u : 20 * u - 10;
    }
    const struct arrays a = {x, y};
    bench_print(strcmp(argv[1], "ours") == 0 ? functions[f].ours
                                             : functions[f].libm,
                &a);
    return 0;
}
