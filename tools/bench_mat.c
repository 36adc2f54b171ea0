/* bench_mat.c: one product of matrices, by uh_sgemm or by OpenBLAS.
 *
 *     bench_mat ours|openblas NN|NT|TN M N K THREADS
 *     bench_mat --versions
 *
 * Prints the line of bench.h.  UH_KERNEL and OPENBLAS_CORETYPE choose the
 * kernels; --versions prints those chosen. */
#include "arena.h"
#include "bench.h"
#include "cells.h"
#include "die.h"
#include "mat.h"
#include "stream.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

struct product {
    enum uh_gemm op;
    size_t m, n, k;
    struct uh_pool *pool;
    const float *a, *b;
    float *c;
};

static void run_ours(const void *context)
{
    const struct product *p = context;
    uh_sgemm(p->pool, p->op, p->m, p->n, p->k, p->a,
             p->op == UH_TN ? p->m : p->k, p->b, p->op == UH_NT ? p->k : p->n,
             UH_FROM_ZERO, p->c, p->n);
}

static void run_peer(const void *context)
{
    const struct product *p = context;
    cblas_sgemm(CblasRowMajor, p->op == UH_TN ? CblasTrans : CblasNoTrans,
                p->op == UH_NT ? CblasTrans : CblasNoTrans, (int)p->m,
                (int)p->n, (int)p->k, 1, p->a,
                (int)(p->op == UH_TN ? p->m : p->k), p->b,
                (int)(p->op == UH_NT ? p->k : p->n), 0, p->c, (int)p->n);
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

static enum uh_gemm op_named(const char *name)
{
    static const char *const names[] = {"NN", "NT", "TN"};
    for (int i = UH_NN; i <= UH_TN; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum uh_gemm)i;
        }
    }
    uh_die_usage("product: expected NN, NT or TN, found %s", name);
}

static size_t number(const char *text)
{
    char *end;
    const long n = strtol(text, &end, 10);
    if (*end || n < 1 || n > 100000) {
        uh_die_usage("number: expected 1 to 100000, found %s", text);
    }
    return (size_t)n;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--versions") == 0) {
        printf("%s\n%s\n%s\n", uh_kernel_name(uh_kernel_choice()),
               openblas_get_config(), openblas_get_corename());
        return 0;
    }
    if (argc != 7) {
        uh_die_usage("operands: expected ours|openblas NN|NT|TN M N K THREADS");
    }
    struct uh_arena *arena = uh_arena_new();
    struct product p = {.op = op_named(argv[2]),
                        .m = number(argv[3]),
                        .n = number(argv[4]),
                        .k = number(argv[5])};
    p.a = filled(arena, "a", p.m * p.k);
    p.b = filled(arena, "b", p.k * p.n);
    p.c = uh_arena_alloc(arena, p.m * p.n, sizeof *p.c);
    if (strcmp(argv[1], "ours") == 0) {
        p.pool = uh_pool_open(number(argv[6]));
        bench_print(run_ours, &p);
        uh_pool_close(&p.pool);
    } else {
        openblas_set_num_threads((int)number(argv[6]));
        bench_print(run_peer, &p);
    }
    uh_arena_free(&arena);
    return 0;
}
