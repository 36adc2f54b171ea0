/* bench_knots.c: the knots of a deep network of one input, counted without a
 * doubt.
 *
 *     bench_knots sawtooth T THREADS    2^T + 1 knots of 2 T units
 *     bench_knots extremal D THREADS    10^D - 1 knots of 9 D units
 *
 * Prints the line of bench.h.  The count is compared with the zoo's. */
#include "arena.h"
#include "bench.h"
#include "cells.h"
#include "die.h"
#include "pieces.h"
#include "zoo.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    const struct uh_zoo *zoo;
    struct uh_pool *pool;
    struct uh_arena *arena;
};

static void run(const void *context)
{
    const struct walk *w = context;
    const struct uh_mark mark = uh_arena_open(w->arena);
    struct uh_pieces pieces;
    struct uh_error error;
    if (uh_pieces_walk(&w->zoo->net, &(struct uh_line){0}, w->pool, w->arena,
                       &pieces, &error) != UH_OK) {
        uh_die_error(&error);
    }
    if (pieces.knots != w->zoo->knots) {
        uh_die("knots: expected %zu, found %zu", w->zoo->knots, pieces.knots);
    }
    uh_arena_release(w->arena, mark);
}

int main(int argc, char **argv)
{
    const size_t width[] = {9, 9, 9, 9, 9, 9};
    const size_t most = sizeof width / sizeof *width;
    const size_t depth = argc == 4 ? (size_t)atoi(argv[2]) : 0;
    const int teeth = argc == 4 && strcmp(argv[1], "sawtooth") == 0;
    if (argc != 4 || depth < 2 || depth > (teeth ? 20 : most)) {
        uh_die_usage("operands: expected sawtooth 2..20 THREADS or extremal "
                     "2..%zu THREADS",
                     most);
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_zoo zoo = teeth ? uh_zoo_sawtooth(depth, arena)
                              : uh_zoo_extremal(depth, width, arena);
    struct uh_pool *pool = uh_pool_open((size_t)atoi(argv[3]));
    bench_print(run, &(struct walk){&zoo, pool, arena});
    uh_pool_close(&pool);
    uh_arena_free(&arena);
    return 0;
}
