/* bench_train.c: the time of an epoch of training.
 *
 *     bench_train [lenet|dense] [THREADS [STEPS]]
 *
 * Prints one line of three numbers: seconds per epoch of 600 steps, and the
 * seconds of processor and of wall that the timed steps took.  A step is a
 * mini-batch of 100 random images of 28 x 28 pixels, SGD with momentum; the
 * first ten steps are not timed.  lenet, 2 threads, 100 steps unless given.
 * tools/bench_train.py is the same in PyTorch.  Nothing here is a record. */
#include "arena.h"
#include "cells.h"
#include "dataset.h"
#include "die.h"
#include "lane.h"
#include "net.h"
#include "stream.h"
#include "train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 10, BATCH = 100, STEPS_OF_EPOCH = 600, CLASSES = 10 };

struct recipe {
    const char *name, *arch;
    size_t shards;
};

/* As in the chapter networks. */
static const struct recipe recipes[] = {
    {"lenet",
     "input 1 28 28; conv 32 5 5; maxpool 3; relu; conv 64 5 5; maxpool 2; "
     "relu; flatten; dense 200; relu; dense 10",
     4},
    {"dense",
     "input 1 28 28; flatten; dense 3500; relu; dense 784; relu; dense 10", 1},
};

static double clock_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct times {
    double wall, cpu;
};

static struct times now(void)
{
    return (struct times){clock_of(CLOCK_MONOTONIC),
                          clock_of(CLOCK_PROCESS_CPUTIME_ID)};
}

static void start_clock(void *context, const struct uh_net *net,
                        const struct uh_train_step *step)
{
    (void)net;
    if (step->step == WARM_UP) {
        *(struct times *)context = now();
    }
}

static struct uh_dataset images(struct uh_net *net, size_t count,
                                struct uh_arena *arena)
{
    struct uh_stream stream = uh_stream_open("bench/train");
    struct uh_dataset set = {.name = "random",
                             .split = "train",
                             .shape = net->in,
                             .count = count,
                             .classes = CLASSES};
    size_t entries = count * uh_shape_size(net->in);
    float *x = uh_arena_alloc_raw(arena, entries, sizeof *x);
    uint8_t *y = uh_arena_alloc_raw(arena, count, sizeof *y);
    for (size_t i = 0; i < entries; i++) {
        x[i] = uh_stream_uniformf(&stream);
    }
    for (size_t i = 0; i < count; i++) {
        y[i] = (uint8_t)uh_stream_below(&stream, CLASSES);
    }
    set.x = x;
    set.y = y;
    return set;
}

static void run(const struct recipe *recipe, size_t threads, size_t steps)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(threads);
    struct uh_net net = uh_net_make(recipe->arch, arena);
    struct uh_dataset set = images(&net, (WARM_UP + steps) * BATCH, arena);
    struct uh_train how = uh_train_defaults();
    struct uh_error error;
    struct times begin = {0, 0};
    uh_net_init(&net, "bench/train");
    how.batch = BATCH;
    how.shards = recipe->shards;
    how.after_step = start_clock;
    how.context = &begin;
    if (uh_train(&net, pool, &set, &how, arena, &error) != UH_OK) {
        uh_die_error(&error);
    }
    struct times end = now();
    double wall = end.wall - begin.wall;
    printf("%.4f %.4f %.4f\n", wall / (double)steps * STEPS_OF_EPOCH,
           end.cpu - begin.cpu, wall);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static size_t number(const char *text, size_t most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || value < 1 || value > (long)most) {
        uh_die_usage("expected a number from 1 to %zu, found \"%s\"", most,
                     text);
    }
    return (size_t)value;
}

int main(int argc, char **argv)
{
    uh_lane_check();
    const char *name = argc > 1 ? argv[1] : "lenet";
    size_t threads = argc > 2 ? number(argv[2], 64) : 2;
    size_t steps = argc > 3 ? number(argv[3], STEPS_OF_EPOCH) : 100;
    for (size_t i = 0; argc < 5 && i < sizeof recipes / sizeof *recipes; i++) {
        if (strcmp(name, recipes[i].name) == 0) {
            run(&recipes[i], threads, steps);
            return 0;
        }
    }
    fprintf(stderr, "usage: bench_train [lenet|dense] [THREADS [STEPS]]\n");
    return 2;
}
