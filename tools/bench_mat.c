/* bench_mat.c: uh_sgemm beside OpenBLAS's sgemm, in one run, alternating.
 *
 *     bench_mat [ROUNDS]
 *
 * Prints one table: best and median GFLOP/s of both, and the median of the
 * ratios of neighbouring runs, with one thread and with two.  A pair in which
 * either program got less than 0.9 of its processors is thrown away.  Set
 * OPENBLAS_NUM_THREADS to 2 or more, or OpenBLAS has no second thread.
 * Nothing here is a record. */
#include "arena.h"
#include "cells.h"
#include "die.h"
#include "mat.h"
#include "stream.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MOST_ROUNDS = 100, MOST_THREADS = 2 };

static const double share_of_cores = 0.9;
static const double seconds_per_run = 0.05;

struct shape {
    enum uh_gemm op;
    size_t m, n, k;
};

static const struct shape shapes[] = {
    {UH_NN, 256, 256, 256},    {UH_NN, 512, 512, 512},
    {UH_NN, 1024, 1024, 1024}, {UH_NN, 2048, 2048, 2048},
    {UH_NN, 10, 10, 10},       {UH_NN, 32, 32, 25},
    {UH_NN, 57600, 32, 25},    {UH_NN, 32, 57600, 25},
    {UH_NN, 25, 32, 57600},    {UH_NN, 1600, 64, 800},
    {UH_NN, 800, 64, 1600},    {UH_NN, 1600, 800, 64},
    {UH_NT, 100, 200, 256},    {UH_TN, 200, 256, 100},
    {UH_NT, 100, 3500, 784},   {UH_NN, 100, 784, 3500},
    {UH_TN, 3500, 784, 100},
};

static const char *const op_names[] = {"NN", "NT", "TN"};

struct bench {
    struct shape shape;
    struct uh_pool *pool;
    size_t threads;
    const float *a, *b;
    float *c;
};

static double clock_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_ours(const struct bench *x)
{
    const struct shape s = x->shape;
    uh_sgemm(x->pool, s.op, s.m, s.n, s.k, x->a, s.op == UH_TN ? s.m : s.k,
             x->b, s.op == UH_NT ? s.k : s.n, UH_FROM_ZERO, x->c, s.n);
}

static void run_peer(const struct bench *x)
{
    const struct shape s = x->shape;
    cblas_sgemm(CblasRowMajor, s.op == UH_TN ? CblasTrans : CblasNoTrans,
                s.op == UH_NT ? CblasTrans : CblasNoTrans, (int)s.m, (int)s.n,
                (int)s.k, 1, x->a, (int)(s.op == UH_TN ? s.m : s.k), x->b,
                (int)(s.op == UH_NT ? s.k : s.n), 0, x->c, (int)s.n);
}

struct timing {
    double seconds; /* of one product */
    int disturbed;  /* it got too little of its processors */
};

/* Products too small to be shared out keep one processor busy, not all. */
static struct timing measure(void (*run)(const struct bench *),
                             const struct bench *x, size_t times)
{
    run(x);
    const double wall = clock_of(CLOCK_MONOTONIC);
    const double cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < times; i++) {
        run(x);
    }
    const double busy = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double passed = clock_of(CLOCK_MONOTONIC) - wall;
    const double work =
        (double)x->shape.m * (double)x->shape.n * (double)x->shape.k;
    const double cores = work < 1e6 ? 1 : (double)x->threads;
    return (struct timing){passed / (double)times,
                           busy < share_of_cores * cores * passed};
}

/* A worker of either side that still spins would take the other's core. */
static void let_spinners_sleep(void)
{
    nanosleep(&(struct timespec){0, 70000000}, NULL);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct rates {
    double best, median;
};

static struct rates summarize(size_t n, double x[])
{
    qsort(x, n, sizeof *x, ascending);
    return (struct rates){x[n - 1], x[n / 2]};
}

static void compare(const struct bench *x, size_t rounds)
{
    const struct shape s = x->shape;
    const double work = 2e-9 * (double)s.m * (double)s.n * (double)s.k;
    double ours[MOST_ROUNDS], peer[MOST_ROUNDS], ratio[MOST_ROUNDS];
    const struct timing first = measure(run_ours, x, 1);
    const size_t times = 1 + (size_t)(seconds_per_run / first.seconds);
    size_t kept = 0;
    for (size_t i = 0; i < rounds; i++) {
        const struct timing us = measure(run_ours, x, times);
        let_spinners_sleep();
        const struct timing them = measure(run_peer, x, times);
        let_spinners_sleep();
        if (us.disturbed || them.disturbed) {
            continue;
        }
        ours[kept] = work / us.seconds;
        peer[kept] = work / them.seconds;
        ratio[kept] = them.seconds / us.seconds;
        kept++;
    }
    printf("%s %5zu x %5zu x %5zu  %zu", op_names[s.op], s.m, s.n, s.k,
           x->threads);
    if (kept == 0) {
        printf("  every pair disturbed\n");
        return;
    }
    const struct rates us = summarize(kept, ours), them = summarize(kept, peer);
    printf("  %6.1f %6.1f  %6.1f %6.1f  %5.2f  %zu\n", us.best, us.median,
           them.best, them.median, summarize(kept, ratio).median,
           rounds - kept);
    fflush(stdout);
}

static float *filled(struct uh_arena *arena, const char *name, size_t n)
{
    struct uh_stream stream = uh_stream_open("bench/mat/%s", name);
    float *x = uh_arena_alloc_raw(arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = 2 * uh_stream_uniformf(&stream) - 1;
    }
    return x;
}

static void compare_shape(struct uh_arena *arena, struct uh_pool *pool,
                          struct shape s, size_t rounds)
{
    const struct uh_mark mark = uh_arena_open(arena);
    const struct bench x = {s,
                            pool,
                            uh_pool_threads(pool),
                            filled(arena, "a", s.m * s.k),
                            filled(arena, "b", s.k * s.n),
                            uh_arena_alloc(arena, s.m * s.n, sizeof(float))};
    compare(&x, rounds);
    uh_arena_release(arena, mark);
}

int main(int argc, char **argv)
{
    char *end = NULL;
    const long rounds = argc > 1 ? strtol(argv[1], &end, 10) : 7;
    if (argc > 2 || (end && *end) || rounds < 1 || rounds > MOST_ROUNDS) {
        fprintf(stderr, "usage: bench_mat [ROUNDS], 1 to %d\n", MOST_ROUNDS);
        return 2;
    }
    printf("sgemm: ours (%s) beside %s, %s\n",
           uh_kernel_name(uh_kernel_choice()), openblas_get_config(),
           openblas_get_corename());
    printf("      m       n       k  t    ours median    peer median  ratio  "
           "dropped of %ld\n",
           rounds);
    struct uh_arena *arena = uh_arena_new();
    for (size_t threads = 1; threads <= MOST_THREADS; threads++) {
        struct uh_pool *pool = uh_pool_open(threads);
        openblas_set_num_threads((int)threads);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            compare_shape(arena, pool, shapes[i], (size_t)rounds);
        }
        uh_pool_close(&pool);
    }
    uh_arena_free(&arena);
    return 0;
}
