/* bench_norm.c: the time that a layer's norm takes, for tools/bench.
 *
 *     bench_norm ITEM [THREADS [TOLERANCE]]
 *
 * conv1 to conv5 are AlexNet's convolutions as torchvision has them, at 224 x
 * 224; dense is 9216 to 4096.  Weights are uniform in +-1 / sqrt(fan-in).
 * lower and upper are found, TOLERANCE (1e-6) apart; conv3-lower and the like
 * find lower alone, converged to it.  Prints bench.h's line; what was found
 * goes to stderr. */
#include "bench.h"
#include "die.h"
#include "lane.h"
#include "opnorm.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *arch;
} items[] = {{"conv1", "input 3 224 224; conv 64 11 11 stride=4 pad=2"},
             {"conv2", "input 64 27 27; conv 192 5 5 pad=2"},
             {"conv3", "input 192 13 13; conv 384 3 3 pad=1"},
             {"conv4", "input 384 13 13; conv 256 3 3 pad=1"},
             {"conv5", "input 256 13 13; conv 256 3 3 pad=1"},
             {"dense", "input 9216; dense 4096"}};

static void draw(struct uh_layer *layer, const char *name)
{
    struct uh_stream stream = uh_stream_open("bench/norm/%s", name);
    const double fan =
        (double)layer->weight_count / (double)layer->out.channels;
    for (size_t i = 0; i < layer->weight_count; i++) {
        const double unit = 2 * uh_stream_uniform(&stream) - 1;
        layer->weight[i] = (float)(unit / sqrt(fan));
    }
}

/* One call, its memory taken and given back. */
struct call {
    const struct uh_layer *layer;
    const struct uh_opnorm_options *options;
    struct uh_pool *pool;
    struct uh_arena *arena;
    struct uh_opnorm *norm;
};

static void find(const void *context)
{
    const struct call *call = context;
    const struct uh_mark mark = uh_arena_open(call->arena);
    *call->norm = uh_opnorm_layer(call->layer, NULL, call->options, call->pool,
                                  call->arena);
    uh_arena_release(call->arena, mark);
}

static void measure(const char *arch, const char *name, int bounds,
                    size_t threads, double tolerance)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make(arch, arena);
    draw(&net.layer[0], name);
    const struct uh_opnorm_options options = {
        .stream = "bench", .bounds = bounds, .tolerance = tolerance};
    struct uh_opnorm norm;
    struct call call = {&net.layer[0], &options, uh_pool_open(threads), arena,
                        &norm};
    bench_print(find, &call);
    fprintf(stderr, "%s: lower %.10g, upper %.10g (%.1e)\n", name, norm.lower,
            norm.upper, norm.upper / norm.lower - 1);
    uh_pool_close(&call.pool);
    uh_arena_free(&arena);
}

int main(int argc, char **argv)
{
    uh_lane_check();
    const char *name = argc > 1 ? argv[1] : "";
    const long threads = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
    const double tolerance = argc > 3 ? strtod(argv[3], NULL) : 1e-6;
    const char *end = strchr(name, '-');
    const size_t length = end ? (size_t)(end - name) : strlen(name);
    const int known = !end || strcmp(end, "-lower") == 0;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        if (known && argc < 5 && threads > 0 && threads < 65 && tolerance > 0 &&
            strlen(items[i].name) == length &&
            strncmp(name, items[i].name, length) == 0) {
            measure(items[i].arch, items[i].name,
                    end ? UH_OPNORM_LOWER : UH_OPNORM_LOWER | UH_OPNORM_UPPER,
                    (size_t)threads, tolerance);
            return 0;
        }
    }
    fprintf(stderr, "usage: bench_norm conv1|...|conv5|dense[-lower] "
                    "[THREADS [TOLERANCE]]\n");
    return 2;
}
