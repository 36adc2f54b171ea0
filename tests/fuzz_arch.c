/* fuzz_arch.c: any bytes as the line of a network, and as a network's file.
 *
 * The line is planned, printed in its shortest form and planned again: both
 * must agree.  Small networks are allocated and run on one input.  Bytes that
 * begin like a .safetensors file go through the loader, and what it takes is
 * saved nowhere but digested. */
#include "fuzz.h"

#include "arena.h"
#include "cells.h"
#include "net.h"
#include "safetensors.h"

#include <math.h>

enum { SMALL = 4096 }; /* entries of what is allocated, places of what is run */

/* Upper bound of the products that running the network takes. */
static double work_of(const struct uh_net *net)
{
    double work = 0;
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *layer = &net->layer[i];
        double places = (double)uh_shape_size(layer->out);
        double window =
            (double)layer->kernel[0] * (double)layer->kernel[1] *
            (double)(layer->kind == UH_CONV ? layer->in.channels : 1);
        window = layer->kind == UH_DENSE ? (double)layer->in.channels : window;
        work += places * window + (double)uh_shape_size(layer->in);
    }
    return work;
}

static void run(const struct uh_net *net, struct uh_arena *arena)
{
    if (net->parameter_count > SMALL || !(work_of(net) < 16 * SMALL)) {
        return;
    }
    struct uh_pool *pool = uh_pool_open(1);
    float *x = uh_arena_alloc(arena, uh_shape_size(net->in), sizeof *x);
    float *y = uh_arena_alloc(arena, uh_shape_size(net->out), sizeof *y);
    for (size_t i = 0; i < uh_shape_size(net->in); i++) {
        x[i] = (float)i - 3.5F;
    }
    uh_net_forward(net, pool, 1, x, y);
    uh_pool_close(&pool);
}

static void as_line(const uint8_t *bytes, size_t size, struct uh_arena *arena)
{
    struct uh_error error = {{0}};
    struct uh_net net, again;
    char *line = malloc(size + 1);
    fuzz_require(line != NULL, "memory");
    if (size) {
        memcpy(line, bytes, size);
    }
    line[size] = '\0';
    if (uh_net_plan(line, arena, &net, &error) != UH_OK) {
        fuzz_require_line(&error, NULL);
        free(line);
        return;
    }
    free(line);
    size_t parameters = 0;
    for (size_t i = 0; i < net.layers; i++) {
        const struct uh_layer *layer = &net.layer[i];
        parameters += layer->weight_count + layer->bias_count;
        fuzz_require(uh_shape_size(layer->out) >= 1 &&
                         uh_shape_size(layer->out) < (size_t)1 << 31,
                     "tensors of 1 to 2^31 - 1 entries");
        fuzz_require(!layer->weight, "no memory for parameters in a plan");
    }
    fuzz_require(parameters == net.parameter_count, "parameters of the layers");
    fuzz_require(uh_net_plan(net.arch, arena, &again, &error) == UH_OK,
                 "to read the shortest form");
    fuzz_require(strcmp(net.arch, again.arch) == 0,
                 "the shortest form to be its own");
    fuzz_require(again.layers == net.layers &&
                     again.parameter_count == net.parameter_count,
                 "the same network");
    if (net.parameter_count <= SMALL && net.state_count <= SMALL) {
        uh_net_allocate(&net, arena);
        run(&net, arena);
    }
}

static void as_file(const uint8_t *bytes, size_t size, struct uh_arena *arena)
{
    struct uh_error error = {{0}};
    struct uh_safetensors stored;
    struct uh_net net;
    char digest[65];
    if (uh_safetensors_parse(size, bytes, "net.st", arena, &stored, &error) !=
        UH_OK) {
        return;
    }
    if (uh_net_of_tensors(&stored, arena, &net, &error) != UH_OK) {
        fuzz_require_line(&error, "net.st");
        return;
    }
    for (size_t i = 0; i < net.parameter_count; i++) {
        fuzz_require(isfinite(net.parameters[i]), "finite parameters");
    }
    uh_net_digest(&net, digest);
    run(&net, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct uh_arena *arena = uh_arena_new();
    if (size > 8 && bytes[8] == '{') {
        uint8_t *copy = fuzz_copy(bytes, size);
        as_file(copy, size, arena);
        free(copy);
    } else {
        as_line(bytes, size, arena);
    }
    uh_arena_free(&arena);
    return 0;
}
