/* eval.c: underhood eval: the outputs of a network. */
#include "cells.h"
#include "common.h"
#include "die.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

/* How many inputs the array holds: its first axis, if the rest fits. */
static size_t inputs_in(const struct uh_npy *npy, const struct uh_net *net,
                        const char *path, struct uh_arena *arena)
{
    size_t want[3], rank = input_shape(net, want);
    size_t flat = uh_shape_size(net->in);
    int fits = npy->rank == 1 + rank;
    for (size_t i = 0; fits && i < rank; i++) {
        fits = npy->dims[1 + i] == want[i];
    }
    fits |= npy->rank == 2 && npy->dims[1] == flat;
    fits |= npy->rank == 1 && flat == 1;
    if (!fits) {
        uh_die("array: expected shape Nx%s%s, found %s (%s)",
               shape_words(rank, want, arena),
               rank > 1 ? uh_arena_format(arena, " or Nx%zu", flat) : "",
               shape_words(npy->rank, npy->dims, arena), path);
    }
    return npy->dims[0];
}

static const float *floats_of(const struct uh_npy *npy, const char *path,
                              struct uh_arena *arena)
{
    const float *x = uh_npy_floats(npy, arena);
    for (size_t i = 0; npy->f64 && i < npy->count; i++) {
        if (!isfinite(x[i])) {
            uh_die("array: expected numbers that float32 holds, found %.9g at "
                   "entry %zu (%s)",
                   npy->f64[i], i, path);
        }
    }
    return x;
}

static size_t layer_of(const char *text, const struct uh_net *net)
{
    char *end;
    errno = 0;
    unsigned long i = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno) {
        uh_die_usage("eval: --layer: expected an index, found %s", text);
    }
    if (i >= net->layers) {
        uh_die("layer: expected an index from 0 to %zu, found %lu",
               net->layers - 1, i);
    }
    return i;
}

static void run(int argc, char **argv, const struct command *self)
{
    static const struct option options[] = {
        {"layer", required_argument, NULL, 'l'},
        SOURCE_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    const char *layer = NULL;
    struct uh_torchvision_options source = {.until = NULL};
    int option;
    while ((option = next_option(argc, argv, self, options)) != -1) {
        if (!source_option(option, self, &source)) {
            layer = optarg;
        }
    }
    require_operands(argc, self, 3, "NET.safetensors IN.npy OUT.npy");
    const char *in = argv[optind + 1], *out = argv[optind + 2];
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = load_network(argv[optind], &source, arena).net;
    size_t at = layer ? layer_of(layer, &net) : net.layers - 1;
    struct uh_npy npy = load_array(in, arena);
    size_t n = inputs_in(&npy, &net, in, arena);
    const float *x = floats_of(&npy, in, arena);
    size_t dims[4] = {n}, rank = own_shape(&net, at, dims + 1);
    size_t size = uh_shape_size(net.layer[at].out);
    float *y = uh_arena_alloc_raw(arena, uh_size_mul(n, size), sizeof *y);
    if (n > 0) {
        struct uh_pool *pool = uh_pool_open(0);
        uh_net_forward_to(&net, pool, at, n, x, y);
        uh_pool_close(&pool);
    }
    for (size_t i = 0; i < n * size; i++) {
        if (!isfinite(y[i])) {
            uh_die("layer %zu: expected finite outputs, found %s for input "
                   "%zu (%s)",
                   at, isnan(y[i]) ? "NaN" : "infinity", i / size, in);
        }
    }
    uh_npy_write_f32(out, 1 + rank, dims, y);
    uh_arena_free(&arena);
}

const struct command eval_command = {
    "eval", "computes the outputs of a network",
    "NET.safetensors IN.npy OUT.npy [--layer I] [--input CxHxW] "
    "[--until MODULE]",
    "IN.npy is float32 or float64 (rounded to float32), C order, first axis\n"
    "the inputs; the rest has the network's input shape, or is flat with as\n"
    "many entries.\n"
    "\n"
    "OUT.npy is float32, first axis the inputs, then the shape of the layer's\n"
    "output: channels, height, width, or one number behind flatten and dense.\n"
    "The file appears whole or not at all and replaces one of that name.  Its\n"
    "bits do not depend on the machine, the threads or the number of inputs.\n"
    "\n"
    "  --layer I        the output of layer I instead of the last; underhood\n"
    "                   net tells their numbers\n" SOURCE_MANUAL
    "  --help           this\n"
    "\n"
    "example: underhood eval lenet.safetensors images.npy logits.npy\n",
    run};
