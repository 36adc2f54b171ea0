/* bench.h: what the programs of make bench share.
 *
 * Each does one thing for a while and prints one line for tools/bench:
 *
 *     SECONDS CPU WALL
 *
 * the seconds of one time, and the processor's and the clock's seconds of all
 * that was measured.  Nothing here is a record. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <time.h>

static inline double bench_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs for 30 ms unmeasured (clocks rise, threads wake, pages arrive), then for
 * 100 ms measured, or once. */
static inline void bench_print(void (*run)(const void *), const void *context)
{
    const double warm = 0.03, measured = 0.1;
    const double begun = bench_clock(CLOCK_MONOTONIC);
    size_t times = 0;
    double passed;
    do {
        run(context);
        times++;
        passed = bench_clock(CLOCK_MONOTONIC) - begun;
    } while (passed < warm);
    times = 1 + (size_t)(measured * (double)times / passed);
    const double wall = bench_clock(CLOCK_MONOTONIC);
    const double cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < times; i++) {
        run(context);
    }
    const double busy = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    passed = bench_clock(CLOCK_MONOTONIC) - wall;
    printf("%.9g %.9g %.9g\n", passed / (double)times, busy, passed);
}

#endif
