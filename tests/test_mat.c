/* test_mat.c: the product has the bits of a chain of fmaf, whatever the kernel,
 * the blocking and the threads. */
#include "mat.h"
#include "ref_mat.h"
#include "scratch.h"

#include <math.h>
#include <signal.h>

static const enum uh_kernel kernels[] = {UH_KERNEL_PORTABLE, UH_KERNEL_AVX2,
                                         UH_KERNEL_AVX512};
enum { KERNELS = 3, THREADS = 3 };
static const enum uh_gemm ops[] = {UH_NN, UH_NT, UH_TN};

static struct uh_pool *pools[THREADS + 1]; /* of 1, 2, 3 threads; 0 unused */

static int open_pools(void **state)
{
    (void)state;
    for (size_t t = 1; t <= THREADS; t++) {
        pools[t] = uh_pool_open(t);
    }
    return 0;
}

static int close_pools(void **state)
{
    (void)state;
    for (size_t t = 1; t <= THREADS; t++) {
        uh_pool_close(&pools[t]);
    }
    return 0;
}

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the tests' own numbers. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static size_t below(uint64_t *state, size_t n)
{
    return (size_t)(next(state) % n);
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* What the entries of a matrix are like. */
enum manner {
    PLAIN,     /* in (-1, 1), full mantissas */
    SPREAD,    /* exponents from -60 to 60 */
    INTEGERS,  /* -4 to 4, half of them 0, so that sums cancel to zeros */
    HALVES,    /* few bits, so that sums fall on ties between floats */
    TINY,      /* products and sums among the subnormal floats */
    HUGE_ONES, /* sums that overflow, and infinities */
    ANY,       /* any 32 bits at all */
    MANNERS
};

static float draw(uint64_t *state, enum manner manner)
{
    const uint32_t r = (uint32_t)next(state);
    const uint32_t sign = r & 0x80000000u, mantissa = r & 0x007fffffu;
    const float unit = from_bits(0x3f800000u | mantissa);
    const float one = sign ? -1.0f : 1.0f;
    switch (manner) {
    case PLAIN:
        return one * (unit - 1.0f);
    case SPREAD:
        return one * ldexpf(unit, (int)below(state, 121) - 60);
    case INTEGERS:
        return r & 64 ? (float)((int)(r % 9) - 4) : 0.0f * one;
    case HALVES:
        return one * ldexpf((float)(r % 4), (int)below(state, 14) * 2 - 14);
    case TINY:
        return one * ldexpf(unit, -(int)below(state, 30) - 55);
    case HUGE_ONES:
        return r % 301 == 0 ? one * INFINITY : one * ldexpf(unit, 62);
    default:
        return from_bits(r);
    }
}

/* An exact float or any of the NaNs. */
static int same(float x, float y)
{
    return (isnan(x) && isnan(y)) || to_bits(x) == to_bits(y);
}

struct problem {
    enum uh_gemm op;
    enum uh_start start;
    size_t m, n, k, lda, ldb, ldc;
    float *a, *b, *c; /* c as it is before */
    float *want;      /* c as it should be afterwards, guards included */
    size_t c_size;    /* floats of c, with a guard before and behind */
};

enum { GUARD = 40 }; /* floats; more than two vectors */

static float *get_floats(size_t n)
{
    float *x = malloc((n ? n : 1) * sizeof *x);
    assert_non_null(x);
    return x;
}

static float *drawn(uint64_t *state, enum manner manner, size_t n)
{
    float *x = get_floats(n);
    for (size_t i = 0; i < n; i++) {
        x[i] = draw(state, manner);
    }
    return x;
}

/* Exactly the floats that the product may read of rows x cols. */
static size_t extent(size_t rows, size_t cols, size_t ld)
{
    return rows == 0 || cols == 0 ? 0 : (rows - 1) * ld + cols;
}

static struct problem make_problem(uint64_t *state, enum manner manner,
                                   size_t m, size_t n, size_t k)
{
    struct problem q = {.op = ops[below(state, 3)],
                        .start = below(state, 2) ? UH_FROM_C : UH_FROM_ZERO,
                        .m = m,
                        .n = n,
                        .k = k};
    const size_t a_rows = q.op == UH_TN ? k : m, a_cols = q.op == UH_TN ? m : k;
    const size_t b_rows = q.op == UH_NT ? n : k, b_cols = q.op == UH_NT ? k : n;
    q.lda = a_cols + below(state, 2) * below(state, 20);
    q.ldb = b_cols + below(state, 2) * below(state, 20);
    q.ldc = n + below(state, 2) * below(state, 20);
    q.a = drawn(state, manner, extent(a_rows, a_cols, q.lda));
    q.b = drawn(state, manner, extent(b_rows, b_cols, q.ldb));
    q.c_size = m * q.ldc + 2 * GUARD;
    q.c = drawn(state, manner, q.c_size);
    q.want = get_floats(q.c_size);
    memcpy(q.want, q.c, q.c_size * sizeof *q.c);
    ref_sgemm(q.op, m, n, k, q.a, q.lda, q.b, q.ldb, q.start, q.want + GUARD,
              q.ldc);
    return q;
}

static void free_problem(struct problem *q)
{
    free(q->a);
    free(q->b);
    free(q->c);
    free(q->want);
}

/* Fails unless every float of got, guards and gaps too, is the wanted one. */
static void check(const struct problem *q, const float *got, const char *how)
{
    for (size_t i = 0; i < q->c_size; i++) {
        if (!same(got[i], q->want[i])) {
            const size_t at = i - GUARD;
            fail_msg("%s, op %d, start %d, m %zu, n %zu, k %zu: expected %a, "
                     "found %a at (%zu, %zu)",
                     how, (int)q->op, (int)q->start, q->m, q->n, q->k,
                     (double)q->want[i], (double)got[i], at / q->ldc,
                     at % q->ldc);
        }
    }
}

static void solve(const struct problem *q, enum uh_kernel kernel,
                  size_t threads)
{
    float *got = get_floats(q->c_size);
    memcpy(got, q->c, q->c_size * sizeof *got);
    uh_sgemm_with(kernel, pools[threads], q->op, q->m, q->n, q->k, q->a, q->lda,
                  q->b, q->ldb, q->start, got + GUARD, q->ldc);
    check(q, got, uh_kernel_name(kernel));
    free(got);
}

static void solve_every_way(const struct problem *q)
{
    for (size_t i = 0; i < KERNELS; i++) {
        for (size_t t = 1; t <= THREADS && uh_kernel_runs(kernels[i]); t++) {
            solve(q, kernels[i], t);
        }
    }
}

static void sgemm_has_the_bits_of_a_chain_of_fmaf(void **state)
{
    (void)state;
    uint64_t numbers = 1;
    for (size_t i = 0; i < 2500; i++) {
        const size_t m = below(&numbers, 60), n = below(&numbers, 80);
        const size_t k = below(&numbers, 50);
        struct problem q =
            make_problem(&numbers, (enum manner)(i % MANNERS), m, n, k);
        solve_every_way(&q);
        free_problem(&q);
    }
}

static void sgemm_keeps_the_chain_across_its_blocks(void **state)
{
    (void)state;
    uint64_t numbers = 2;
    static const size_t shapes[][3] = {
        {100, 130, 800}, {30, 70, 1700},  {400, 40, 500},  {5, 1100, 390},
        {700, 33, 257},  {17, 4200, 20},  {1, 1, 3000},    {1, 64, 1200},
        {64, 1, 1200},   {10, 10, 1153},  {25, 32, 5760},  {576, 32, 25},
        {32, 5760, 25},  {100, 200, 256}, {13, 31, 385},   {14, 32, 384},
        {350, 160, 390}, {15, 33, 769},   {14, 32, 512},   {13, 31, 513},
        {350, 230, 390}, {340, 4200, 12}, {700, 300, 130}, {350, 130, 520},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t j = 0; j < 2; j++) {
            struct problem q =
                make_problem(&numbers, j ? SPREAD : PLAIN, shapes[i][0],
                             shapes[i][1], shapes[i][2]);
            solve_every_way(&q);
            free_problem(&q);
        }
    }
}

static void every_small_shape_is_right(void **state)
{
    (void)state;
    uint64_t numbers = 3;
    for (size_t m = 1; m <= 15; m++) {
        for (size_t n = 1; n <= 34; n++) {
            struct problem q = make_problem(&numbers, PLAIN, m, n, 3);
            for (size_t i = 0; i < KERNELS; i++) {
                if (uh_kernel_runs(kernels[i])) {
                    solve(&q, kernels[i], 1);
                }
            }
            free_problem(&q);
        }
    }
}

/* Few columns and many rows: 16 or 32 of them side by side, fours of a. */
static void a_product_of_few_columns_is_right(void **state)
{
    (void)state;
    uint64_t numbers = 4;
    static const size_t k[] = {1, 15, 16, 17, 18, 19, 23, 512, 513, 531};
    enum { DEPTHS = sizeof k / sizeof *k };
    const enum uh_kernel kernel = uh_kernel_choice();
    for (size_t n = 1; n <= 11; n++) {
        for (size_t i = 0; i < 20 * DEPTHS; i++) {
            const enum manner manner = (enum manner)(i % MANNERS);
            const size_t m = i < DEPTHS ? 32 : 30 + below(&numbers, 70);
            struct problem q =
                make_problem(&numbers, manner, m, n, k[i % DEPTHS]);
            for (size_t t = 1; t <= 2; t++) {
                solve(&q, kernel, t);
            }
            free_problem(&q);
        }
    }
}

static void k_0_gives_zeros_or_leaves_c(void **state)
{
    (void)state;
    float c[6] = {1, 2, 3, 4, 5, -0.0f};
    const float x = 7;
    for (size_t i = 0; i < KERNELS; i++) {
        if (!uh_kernel_runs(kernels[i])) {
            continue;
        }
        const float before[6] = {1, 2, 3, 4, 5, -0.0f};
        const float after[6] = {0, 0, 3, 0, 0, -0.0f};
        memcpy(c, before, sizeof c);
        uh_sgemm_with(kernels[i], pools[2], UH_NN, 2, 2, 0, &x, 1, &x, 2,
                      UH_FROM_C, c, 3);
        assert_memory_equal(c, before, sizeof c);
        uh_sgemm_with(kernels[i], pools[2], UH_NN, 2, 2, 0, &x, 1, &x, 2,
                      UH_FROM_ZERO, c, 3);
        assert_memory_equal(c, after, sizeof c);
    }
}

/* From +0: (-1)(+0) + (+0) is +0; from -0: stays -0. */
static void signs_of_zero_are_those_of_fmaf(void **state)
{
    (void)state;
    const float minus = -1, zero = 0;
    for (size_t i = 0; i < KERNELS; i++) {
        if (!uh_kernel_runs(kernels[i])) {
            continue;
        }
        float c = -0.0f;
        uh_sgemm_with(kernels[i], pools[1], UH_NN, 1, 1, 1, &minus, 1, &zero, 1,
                      UH_FROM_C, &c, 1);
        assert_int_equal(to_bits(c), 0x80000000u);
        uh_sgemm_with(kernels[i], pools[1], UH_NN, 1, 1, 1, &minus, 1, &zero, 1,
                      UH_FROM_ZERO, &c, 1);
        assert_int_equal(to_bits(c), 0);
    }
}

/* x y + s lies a hair beside the middle of two floats, so that rounding to
 * double and then to float goes wrong; want is worked out by hand. */
static void sums_beside_a_tie_are_rounded_once(void **state)
{
    (void)state;
    const struct {
        float x, y, s, want;
    } cases[] = {
        /* 2^24 + 3 is a tie, as 2^24 + 1 is: 1 - 2^-40 and 1 + 2^-36 */
        {0x1.00001p0f, 0x1.ffffep-1f, 0x1.000002p24f, 0x1.000002p24f},
        {0x1.001p0f, 0x1.ffe002p-1f, 0x1p24f, 0x1.000002p24f},
        /* the same among subnormals, where a unit is 2^-149 */
        {0x1.00001p-75f, 0x1.ffffep-76f, 0x1.000004p-127f, 0x1.000004p-127f},
        {0x1.001p-75f, 0x1.ffe002p-76f, 0x1p-127f, 0x1.000004p-127f},
        /* ties among subnormals: 1.5 units and a hair less, more */
        {0x1.8p-75f, 0x1p-75f, 0x0p0f, 0x1p-149f},
        {0x1.800002p-75f, 0x1p-74f, 0x0p0f, 0x1p-148f},
        {0x1.7ffffep-75f, 0x1p-74f, 0x0p0f, 0x1p-149f},
        {0x1p-75f, 0x1p-75f, 0x0p0f, 0x0p0f},
        {0x1.000002p-75f, 0x1p-75f, 0x0p0f, 0x1p-149f},
        /* overflow: the largest float and half a unit, and a hair less */
        {0x1p63f, 0x1p40f, 0x1.fffffep127f, INFINITY},
        {0x1.fffffep62f, 0x1p40f, 0x1.fffffep127f, 0x1.fffffep127f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t j = 0; j < KERNELS; j++) {
            if (!uh_kernel_runs(kernels[j])) {
                continue;
            }
            for (int sign = 1; sign >= -1; sign -= 2) {
                const float x = (float)sign * cases[i].x;
                float c = (float)sign * cases[i].s;
                uh_sgemm_with(kernels[j], pools[1], UH_NN, 1, 1, 1, &x, 1,
                              &cases[i].y, 1, UH_FROM_C, &c, 1);
                if (!same(c, (float)sign * cases[i].want)) {
                    fail_msg("%s, case %zu: expected %a, found %a",
                             uh_kernel_name(kernels[j]), i,
                             (double)cases[i].want, (double)c);
                }
            }
        }
    }
}

static void infinities_and_nan_come_through(void **state)
{
    (void)state;
    const struct {
        float x, y, s, want;
    } cases[] = {
        {INFINITY, 2, 1, INFINITY},
        {INFINITY, -2, 1, -INFINITY},
        {INFINITY, 0, 1, NAN},
        {INFINITY, 1, -INFINITY, NAN},
        {1, 1, -INFINITY, -INFINITY},
        {NAN, 1, 1, NAN},
        {1, 1, NAN, NAN},
        {0x1p127f, 4, -INFINITY, -INFINITY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t j = 0; j < KERNELS; j++) {
            if (!uh_kernel_runs(kernels[j])) {
                continue;
            }
            float c = cases[i].s;
            uh_sgemm_with(kernels[j], pools[1], UH_NN, 1, 1, 1, &cases[i].x, 1,
                          &cases[i].y, 1, UH_FROM_C, &c, 1);
            assert_true(same(c, cases[i].want));
        }
    }
}

/* Two million single steps of any bits, many near ties by construction. */
static void the_portable_fma_is_fmaf(void **state)
{
    (void)state;
    uint64_t numbers = 5;
    enum { N = 64 };
    float x[N], y[N], got[N * N], c[N * N];
    for (size_t round = 0; round < 400; round++) {
        for (size_t i = 0; i < N; i++) {
            x[i] = draw(&numbers, (enum manner)(round % MANNERS));
            y[i] = draw(&numbers, (enum manner)(round / MANNERS % MANNERS));
        }
        for (size_t i = 0; i < N * N; i++) {
            /* a double product's own middle, a unit beside it, or anything */
            const float product = x[i / N] * y[i % N];
            const uint32_t shift = (uint32_t)below(&numbers, 31) << 23;
            got[i] = below(&numbers, 4) ? from_bits(to_bits(product) + shift)
                                        : draw(&numbers, ANY);
            c[i] = fmaf(x[i / N], y[i % N], got[i]);
        }
        uh_sgemm_with(UH_KERNEL_PORTABLE, pools[1], UH_NN, N, N, 1, x, 1, y, N,
                      UH_FROM_C, got, N);
        for (size_t i = 0; i < N * N; i++) {
            if (!same(got[i], c[i])) {
                fail_msg("expected %a, found %a for %a times %a", (double)c[i],
                         (double)got[i], (double)x[i / N], (double)y[i % N]);
            }
        }
    }
}

static void sgemm_ignores_the_batch_split(void **state)
{
    (void)state;
    uint64_t numbers = 6;
    for (size_t round = 0; round < 60; round++) {
        struct problem q =
            make_problem(&numbers, PLAIN, 2 + below(&numbers, 150),
                         1 + below(&numbers, 150), 1 + below(&numbers, 500));
        const size_t cut = 1 + below(&numbers, q.m - 1);
        const enum uh_kernel kernel = uh_kernel_choice();
        float *got = get_floats(q.c_size);
        memcpy(got, q.c, q.c_size * sizeof *got);
        const float *second = q.a + (q.op == UH_TN ? cut : cut * q.lda);
        uh_sgemm_with(kernel, pools[2], q.op, cut, q.n, q.k, q.a, q.lda, q.b,
                      q.ldb, q.start, got + GUARD, q.ldc);
        uh_sgemm_with(kernel, pools[1], q.op, q.m - cut, q.n, q.k, second,
                      q.lda, q.b, q.ldb, q.start, got + GUARD + cut * q.ldc,
                      q.ldc);
        check(&q, got, "two calls");
        free(got);
        free_problem(&q);
    }
}

/* Splitting k is allowed when the second call goes on from c. */
static void sgemm_goes_on_from_c(void **state)
{
    (void)state;
    uint64_t numbers = 7;
    for (size_t round = 0; round < 60; round++) {
        struct problem q =
            make_problem(&numbers, PLAIN, 1 + below(&numbers, 70),
                         1 + below(&numbers, 70), 2 + below(&numbers, 900));
        const size_t cut = 1 + below(&numbers, q.k - 1);
        const float *a = q.a + (q.op == UH_TN ? cut * q.lda : cut);
        const float *b = q.b + (q.op == UH_NT ? cut : cut * q.ldb);
        float *got = get_floats(q.c_size);
        memcpy(got, q.c, q.c_size * sizeof *got);
        uh_sgemm(pools[1], q.op, q.m, q.n, cut, q.a, q.lda, q.b, q.ldb, q.start,
                 got + GUARD, q.ldc);
        uh_sgemm(pools[2], q.op, q.m, q.n, q.k - cut, a, q.lda, b, q.ldb,
                 UH_FROM_C, got + GUARD, q.ldc);
        check(&q, got, "k in two");
        free(got);
        free_problem(&q);
    }
}

static void a_product_in_a_cell(void *context, size_t index,
                                struct uh_pool *serial)
{
    struct problem *q = (struct problem *)context + index;
    uh_sgemm(serial, q->op, q->m, q->n, q->k, q->a, q->lda, q->b, q->ldb,
             q->start, q->c + GUARD, q->ldc);
}

static void sgemm_runs_in_cells(void **state)
{
    (void)state;
    uint64_t numbers = 8;
    struct problem q[20];
    for (size_t i = 0; i < 20; i++) {
        q[i] = make_problem(&numbers, PLAIN, 40 + i, 50, 400);
    }
    uh_cells(pools[3], 20, a_product_in_a_cell, q);
    for (size_t i = 0; i < 20; i++) {
        check(&q[i], q[i].c, "in a cell");
        free_problem(&q[i]);
    }
}

static void choose(void *context)
{
    setenv("UH_KERNEL", *(const char **)context, 1);
    _exit(100 + (int)uh_kernel_choice());
}

static void UH_KERNEL_names_the_kernel(void **state)
{
    (void)state;
    for (size_t i = 0; i < KERNELS; i++) {
        const char *name = uh_kernel_name(kernels[i]);
        assert_int_equal(run_child(choose, &name).status,
                         uh_kernel_runs(kernels[i]) ? 100 + (int)kernels[i]
                                                    : 2);
    }
    const char *none = "";
    assert_in_range(run_child(choose, &none).status, 100,
                    100 + UH_KERNEL_AVX512);
}

static void an_unknown_UH_KERNEL_is_one_line_and_status_2(void **state)
{
    (void)state;
    static const char *const bad[] = {"sse", "AVX2", "avx2 ", "avx5120"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *name = bad[i];
        struct ending e = run_child(choose, &name);
        assert_int_equal(e.status, 2);
        assert_non_null(strstr(e.said, "UH_KERNEL: expected"));
        /* a leak checker speaks when a forked child exits, too */
        char *checker = strstr(e.said, "\n==");
        if (checker) {
            checker[1] = '\0';
        }
        assert_ptr_equal(strchr(e.said, '\n'), e.said + strlen(e.said) - 1);
    }
}

static void narrow_c(void *context)
{
    (void)context;
    float x[4] = {0}, c[4];
    uh_sgemm(pools[1], UH_NN, 2, 2, 2, x, 2, x, 2, UH_FROM_ZERO, c, 1);
}

static void rows_that_overlap_abort(void **state)
{
    (void)state;
    struct ending e = run_child(narrow_c, NULL);
    assert_int_equal(e.status, 128 + SIGABRT);
    assert_non_null(strstr(e.said, "broken contract: ldc >= n"));
}

/* 1 + 2^-53 + 2^-53 from the left is 1, from the right more. */
static void sums_ascend(void **state)
{
    (void)state;
    const double x[3] = {1, 0x1p-53, 0x1p-53}, one[3] = {1, 1, 1};
    const double back[3] = {0x1p-53, 0x1p-53, 1};
    assert_true(uh_sum(3, x) == 1 && uh_dot(3, x, one) == 1);
    assert_true(uh_sum(3, back) == 1 + 0x1p-52);
    assert_true(uh_dot(3, back, one) == 1 + 0x1p-52);
    assert_true(uh_sum(0, x) == 0 && uh_dot(0, x, one) == 0);
    const float f[3] = {1, 0x1p-53f, 0x1p-53f}, ones[3] = {1, 1, 1};
    const float g[3] = {0x1p-53f, 0x1p-53f, 1};
    assert_true(uh_sumf(3, f) == 1 && uh_dotf(3, f, ones) == 1);
    assert_true(uh_sumf(3, g) == 1 + 0x1p-52);
    assert_true(uh_dotf(3, g, ones) == 1 + 0x1p-52);
}

/* (1 + u)(1 - u) - 1 is -u^2, which a product rounded first would lose. */
static void dot_fuses(void **state)
{
    (void)state;
    const double u = 0x1p-40;
    const double x[2] = {-1, 1 + u}, y[2] = {1, 1 - u};
    assert_true(uh_dot(2, x, y) == -u * u);
    const float v = 0x1p-20f;
    const float p[2] = {-1, 1 + v}, q[2] = {1, 1 - v};
    assert_true(uh_dotf(2, p, q) == -(double)v * (double)v);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_ascend),
        cmocka_unit_test(dot_fuses),
        cmocka_unit_test(k_0_gives_zeros_or_leaves_c),
        cmocka_unit_test(signs_of_zero_are_those_of_fmaf),
        cmocka_unit_test(sums_beside_a_tie_are_rounded_once),
        cmocka_unit_test(infinities_and_nan_come_through),
        cmocka_unit_test(the_portable_fma_is_fmaf),
        cmocka_unit_test(every_small_shape_is_right),
        cmocka_unit_test(a_product_of_few_columns_is_right),
        cmocka_unit_test(sgemm_has_the_bits_of_a_chain_of_fmaf),
        cmocka_unit_test(sgemm_keeps_the_chain_across_its_blocks),
        cmocka_unit_test(sgemm_ignores_the_batch_split),
        cmocka_unit_test(sgemm_goes_on_from_c),
        cmocka_unit_test(sgemm_runs_in_cells),
        cmocka_unit_test(UH_KERNEL_names_the_kernel),
        cmocka_unit_test(an_unknown_UH_KERNEL_is_one_line_and_status_2),
        cmocka_unit_test(rows_that_overlap_abort),
    };
    return cmocka_run_group_tests(tests, open_pools, close_pools) ? 1 : 0;
}
