/* mat.c: matrix products and sums in one fixed order.
 *
 * A small product is cut into rectangles of c, one per thread.  In a large one
 * threads pack blocks of b together, then take turns at rows of c.  Either is
 * done in blocks of p, ascending: c is stored behind a block and loaded before
 * the next, which is exact, so the chains are those of the definition.
 */
#include "mat.h"
#include "die.h"
#include "mat_kernel.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 1 << 15,   /* multiply-adds that are not worth a second thread */
    DIRECT_PANELS = 4, /* of c's columns: below, a is not worth packing */
    DIRECT_TILES = 4,  /* of c's rows: below, b is not worth packing */
    COST_OF_A = 8,     /* to pack one entry, in multiply-adds */
    COST_OF_B = 6,
    STRETCH = 16,    /* rows of b that are copied from panel to panel */
    LARGE = 1 << 22, /* multiply-adds per thread that are worth a wait */
    TURN_ROWS = 56,  /* of c, at the least, in one turn */
    TURNS = 8        /* per thread, so that none waits long for the last */
};

struct product {
    const struct uh_mat_kernel *kernel;
    enum uh_gemm op;
    size_t m, n, k;
    const float *a, *b;
    size_t lda, ldb;
    enum uh_start start;
    float *c;
    size_t ldc;
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t parts_of(size_t whole, size_t part)
{
    return (whole + part - 1) / part;
}

static size_t round_up(size_t value, size_t unit)
{
    return parts_of(value, unit) * unit;
}

/* The first of n things that belongs to part i of parts. */
static size_t share(size_t n, size_t parts, size_t i)
{
    return n / parts * i + least(i, n % parts);
}

/* Rows p0 to p0 + k of a packed panel of b, of width columns; those behind cols
 * are zero. */
static void pack_b(const struct product *q, size_t p0, size_t k, size_t j,
                   size_t cols, size_t width, float *to)
{
    if (q->op == UH_NT) {
        const float *from = q->b + j * q->ldb + p0;
        q->kernel->transpose(cols, width, k, from, q->ldb, to);
    } else {
        const float *from = q->b + p0 * q->ldb + j;
        q->kernel->copy(cols, width, k, from, q->ldb, to);
    }
}

/* A packed panel of a: k columns of so many rows. */
static void pack_a(const struct product *q, size_t p0, size_t k, size_t i,
                   size_t rows, float *to)
{
    if (q->op == UH_TN) {
        const float *from = q->a + p0 * q->lda + i;
        q->kernel->copy(rows, rows, k, from, q->lda, to);
    } else {
        const float *from = q->a + i * q->lda + p0;
        q->kernel->transpose(rows, rows, k, from, q->lda, to);
    }
}

/* How one block of p is laid out for the tiles. */
struct block {
    size_t p0, k;
    enum uh_start start;
    size_t height; /* rows of a tile; the last may have fewer */
    int a_packed, b_packed;
    int low;      /* b is packed a panel at a time and not transposed */
    float *a, *b; /* where it is packed */
};

/* What of b is needed after the panel at hand, as wide as it; rows 0: nothing. */
struct ahead {
    const float *start;
    size_t rows, step;
};

/* The tiles of rows i0 to i1 with one panel of b, from column j. */
static void run_tiles(const struct product *q, const struct block *block,
                      size_t i0, size_t i1, struct uh_mat_tile tile, size_t j,
                      const struct ahead *ahead)
{
    const float *packed = block->a;
    const size_t parts = ahead->rows ? parts_of(i1 - i0, block->height) : 1;
    const size_t slice = parts_of(ahead->rows, parts);
    size_t fetched = 0;
    tile.ahead_step = ahead->step;
    for (size_t i = i0; i < i1; i += tile.rows) {
        tile.ahead = ahead->start + fetched * ahead->step;
        tile.ahead_rows = least(slice, ahead->rows - fetched);
        fetched += tile.ahead_rows;
        tile.rows = least(block->height, i1 - i);
        if (block->a_packed) {
            tile.a = packed;
            tile.a_row = 1;
            tile.a_step = tile.rows;
            packed += tile.rows * block->k;
        } else if (q->op == UH_TN) {
            tile.a = q->a + block->p0 * q->lda + i;
            tile.a_row = 1;
            tile.a_step = q->lda;
        } else {
            tile.a = q->a + i * q->lda + block->p0;
            tile.a_row = q->lda;
            tile.a_step = 1;
        }
        tile.c = q->c + i * q->ldc + j;
        tile.next = tile.c + tile.rows * q->ldc;
        tile.next_rows = least(block->height, i1 - i - tile.rows);
        q->kernel->tile(&tile);
    }
}

static void run_panels(const struct product *q, const struct block *block,
                       size_t i0, size_t i1, size_t j0, size_t j1)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    const float *packed = block->b;
    struct uh_mat_tile tile = {
        .k = block->k, .ldc = q->ldc, .start = block->start};
    for (size_t j = j0; j < j1; j += tile.cols) {
        tile.cols = least(kernel->cols, j1 - j);
        const size_t later = j + tile.cols;
        struct ahead ahead = {q->b, 0, 0};
        if (block->b_packed) {
            tile.b = packed;
            tile.b_step = round_up(tile.cols, kernel->lanes);
            packed += block->k * tile.b_step;
        } else {
            tile.b = q->b + block->p0 * q->ldb + j;
            tile.b_step = q->ldb;
        }
        if (block->low && later + kernel->cols <= q->n) {
            const float *start = q->b + block->p0 * q->ldb + later;
            ahead = (struct ahead){start, block->k, q->ldb};
        } else if (block->b_packed && later + kernel->cols <= j1) {
            ahead = (struct ahead){packed, block->k, tile.b_step};
        }
        run_tiles(q, block, i0, i1, tile, j, &ahead);
    }
}

/* Columns j0 to j1, to block->b.  A stretch of b's rows goes to one panel after
 * another, for what is read is contiguous then. */
static void pack_panels(const struct product *q, const struct block *block,
                        size_t j0, size_t j1)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    const size_t stretch = q->op == UH_NT ? block->k : STRETCH;
    for (size_t p = 0; block->b_packed && p < block->k; p += stretch) {
        const size_t k = least(stretch, block->k - p);
        for (size_t j = j0; j < j1; j += kernel->cols) {
            const size_t cols = least(kernel->cols, j1 - j);
            const size_t width = round_up(cols, kernel->lanes);
            pack_b(q, block->p0 + p, k, j, cols, width,
                   block->b + (j - j0) * block->k + p * width);
        }
    }
}

static void pack_tiles(const struct product *q, const struct block *block,
                       size_t i0, size_t i1)
{
    if (!block->a_packed) {
        return;
    }
    float *packed = block->a;
    size_t rows;
    for (size_t i = i0; i < i1; i += rows) {
        rows = least(block->height, i1 - i);
        pack_a(q, block->p0, block->k, i, rows, packed);
        packed += rows * block->k;
    }
}

/* Few rows: each panel of b is packed and used up while it is in the cache
 * nearest by. */
static void run_low_block(const struct product *q, const struct block *block)
{
    const size_t cols = q->kernel->cols;
    pack_tiles(q, block, 0, q->m);
    for (size_t j = 0; j < q->n; j += cols) {
        const size_t end = least(j + cols, q->n);
        pack_panels(q, block, j, end);
        run_panels(q, block, 0, q->m, j, end);
    }
}

/* Rows that are not low, panels that are not packed at once. */
static void run_high_block(const struct product *q, const struct block *block,
                           size_t row_block, size_t column_block)
{
    for (size_t j0 = 0; j0 < q->n; j0 += column_block) {
        const size_t j1 = least(j0 + column_block, q->n);
        pack_panels(q, block, j0, j1);
        for (size_t i0 = 0; i0 < q->m; i0 += row_block) {
            const size_t i1 = least(i0 + row_block, q->m);
            pack_tiles(q, block, i0, i1);
            run_panels(q, block, i0, i1, j0, j1);
        }
    }
}

/* So many rows in tiles of equal height, as far as the kernel likes it. */
static size_t height_of(const struct uh_mat_kernel *kernel, size_t rows)
{
    const size_t tiles = parts_of(rows, kernel->rows);
    return round_up(parts_of(rows, tiles), kernel->row_unit);
}

static void run_serial(const struct product *q, struct uh_arena *scratch)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    const size_t tiles = parts_of(q->m, kernel->rows);
    const size_t panels = parts_of(q->n, kernel->cols);
    const size_t depth = parts_of(q->k, parts_of(q->k, kernel->k_block));
    struct block block = {.height = height_of(kernel, q->m),
                          .a_packed = panels >= DIRECT_PANELS,
                          .b_packed = q->op == UH_NT || tiles >= DIRECT_TILES};
    const size_t tall = kernel->row_block / kernel->rows * block.height;
    const size_t row_block = block.a_packed ? least(q->m, tall) : q->m;
    const int low = q->m <= row_block && block.a_packed;
    const size_t column_block = low ? kernel->cols : kernel->column_block;
    const size_t width = round_up(least(q->n, column_block), kernel->lanes);
    block.a = uh_arena_alloc_raw(
        scratch, block.a_packed ? row_block * depth : 0, sizeof(float));
    block.b = uh_arena_alloc_raw(scratch, block.b_packed ? width * depth : 0,
                                 sizeof(float));
    block.low = low && q->op != UH_NT;
    block.start = q->start;
    for (size_t p0 = 0; p0 < q->k; p0 += depth) {
        block.p0 = p0;
        block.k = least(depth, q->k - p0);
        if (low) {
            run_low_block(q, &block);
        } else {
            run_high_block(q, &block, row_block, column_block);
        }
        block.start = UH_FROM_C;
    }
}

/* A block of b that threads pack and use together: columns j0 to j1. */
struct shared {
    const struct product *product;
    struct block block;
    size_t j0, j1, packs; /* parts that are packed */
    size_t turns;         /* parts of c's rows */
};

static void pack_share(void *context, size_t index, struct uh_pool *serial)
{
    (void)serial;
    const struct shared *shared = context;
    const size_t unit = shared->product->kernel->cols;
    const size_t panels = parts_of(shared->j1 - shared->j0, unit);
    const size_t from = share(panels, shared->packs, index) * unit;
    const size_t to = share(panels, shared->packs, index + 1) * unit;
    struct block part = shared->block;
    part.b += from * part.k;
    pack_panels(shared->product, &part, shared->j0 + from,
                least(shared->j0 + to, shared->j1));
}

static void run_turn(void *context, size_t index, struct uh_pool *serial)
{
    const struct shared *shared = context;
    const struct product *q = shared->product;
    struct block block = shared->block;
    const size_t i0 = share(q->m, shared->turns, index);
    const size_t i1 = share(q->m, shared->turns, index + 1);
    block.height = height_of(q->kernel, i1 - i0);
    block.a = uh_arena_alloc_raw(uh_pool_scratch(serial), (i1 - i0) * block.k,
                                 sizeof(float));
    pack_tiles(q, &block, i0, i1);
    run_panels(q, &block, i0, i1, shared->j0, shared->j1);
}

/* Turns: a multiple of the threads, neither too long nor too short. */
static size_t turns_of(const struct product *q, size_t threads)
{
    const size_t least_turns =
        round_up(parts_of(q->m, q->kernel->row_block), threads);
    if (threads == 1) {
        return least_turns;
    }
    const size_t turns = least(threads * TURNS, q->m / TURN_ROWS);
    return turns > least_turns ? round_up(turns, threads) : least_turns;
}

static void run_shared(const struct product *q, struct uh_pool *pool)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    struct uh_arena *scratch = uh_pool_scratch(pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const size_t threads = uh_pool_threads(pool);
    const size_t depth = parts_of(q->k, parts_of(q->k, kernel->k_block));
    const size_t widest = least(kernel->column_block, q->n);
    const size_t width = round_up(widest, kernel->lanes);
    struct shared shared = {
        .product = q, .packs = threads, .turns = turns_of(q, threads)};
    shared.block = (struct block){
        .a_packed = 1,
        .b_packed = 1,
        .start = q->start,
        .b = uh_arena_alloc_raw(scratch, width * depth, sizeof(float))};
    for (size_t p0 = 0; p0 < q->k; p0 += depth) {
        shared.block.p0 = p0;
        shared.block.k = least(depth, q->k - p0);
        for (size_t j0 = 0; j0 < q->n; j0 += widest) {
            shared.j0 = j0;
            shared.j1 = least(j0 + widest, q->n);
            uh_cells(pool, shared.packs, pack_share, &shared);
            uh_cells(pool, shared.turns, run_turn, &shared);
        }
        shared.block.start = UH_FROM_C;
    }
    uh_arena_release(scratch, mark);
}

/* c as a grid of rectangles: rows and columns of them. */
struct grid {
    const struct product *product;
    size_t rows, cols;
};

static void run_rectangle(void *context, size_t index, struct uh_pool *serial)
{
    const struct grid *grid = context;
    struct product q = *grid->product;
    const size_t unit = q.kernel->cols, panels = parts_of(q.n, unit);
    const size_t row = index / grid->cols, col = index % grid->cols;
    const size_t i0 = share(q.m, grid->rows, row);
    const size_t i1 = share(q.m, grid->rows, row + 1);
    const size_t j0 = share(panels, grid->cols, col) * unit;
    const size_t j1 = least(share(panels, grid->cols, col + 1) * unit, q.n);
    q.m = i1 - i0;
    q.n = j1 - j0;
    q.a += q.op == UH_TN ? i0 : i0 * q.lda;
    q.b += q.op == UH_NT ? j0 * q.ldb : j0;
    q.c += i0 * q.ldc + j0;
    run_serial(&q, uh_pool_scratch(serial));
}

/* What the largest rectangle costs, in multiply-adds per unit of k. */
static double cost(const struct product *q, size_t rows, size_t cols)
{
    const size_t m = parts_of(q->m, rows);
    const size_t panels = parts_of(parts_of(q->n, q->kernel->cols), cols);
    const size_t n =
        least(panels * q->kernel->cols, round_up(q->n, q->kernel->lanes));
    return (double)m * (double)n + COST_OF_A * (double)m +
           COST_OF_B * (double)n;
}

static struct grid cheapest_grid(const struct product *q, size_t threads)
{
    struct grid best = {q, 1, 1};
    double lowest = (double)INFINITY;
    for (size_t rows = 1; rows <= least(threads, q->m); rows++) {
        const size_t cols =
            least(threads / rows, parts_of(q->n, q->kernel->cols));
        const double price = cost(q, rows, cols);
        if (price <= lowest) {
            lowest = price;
            best = (struct grid){q, rows, cols};
        }
    }
    return best;
}

static void clear(const struct product *q)
{
    for (size_t i = 0; i < q->m; i++) {
        memset(q->c + i * q->ldc, 0, q->n * sizeof *q->c);
    }
}

/* Nothing is packed, nothing is shared. */
static void run_directly(const struct product *q)
{
    const struct block block = {
        .k = q->k, .start = q->start, .height = height_of(q->kernel, q->m)};
    run_panels(q, &block, 0, q->m, 0, q->n);
}

static void run_product(const struct product *q, struct uh_pool *pool)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    const size_t threads = uh_pool_threads(pool);
    const double work = (double)q->m * (double)q->n * (double)q->k;
    if (q->op != UH_NT && q->k <= kernel->k_block &&
        q->m <= (DIRECT_TILES - 1) * kernel->rows &&
        q->n <= (DIRECT_PANELS - 1) * kernel->cols &&
        (threads == 1 || work < (double)SMALL)) {
        run_directly(q);
        return;
    }
    if (q->m > kernel->row_block && q->n > (DIRECT_PANELS - 1) * kernel->cols &&
        (threads == 1 || work >= (double)LARGE * (double)threads)) {
        run_shared(q, pool);
        return;
    }
    if (threads > 1 && work >= (double)SMALL) {
        struct grid grid = cheapest_grid(q, threads);
        uh_cells(pool, grid.rows * grid.cols, run_rectangle, &grid);
        return;
    }
    struct uh_arena *scratch = uh_pool_scratch(pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    run_serial(q, scratch);
    uh_arena_release(scratch, mark);
}

int uh_kernel_runs(enum uh_kernel kernel)
{
#if defined(__x86_64__)
    if (kernel == UH_KERNEL_AVX512) {
        return __builtin_cpu_supports("avx512f");
    }
    if (kernel == UH_KERNEL_AVX2) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#endif
    return kernel == UH_KERNEL_PORTABLE;
}

const char *uh_kernel_name(enum uh_kernel kernel)
{
    return kernel == UH_KERNEL_AVX512 ? "avx512"
           : kernel == UH_KERNEL_AVX2 ? "avx2"
                                      : "portable";
}

enum uh_kernel uh_kernel_choice(void)
{
    const char *name = getenv("UH_KERNEL");
    const int given = name && *name;
    for (int i = UH_KERNEL_AVX512; i >= UH_KERNEL_PORTABLE; i--) {
        const enum uh_kernel kernel = (enum uh_kernel)i;
        const int named = given && strcmp(name, uh_kernel_name(kernel)) == 0;
        if (!given ? uh_kernel_runs(kernel) : named) {
            if (!uh_kernel_runs(kernel)) {
                uh_die_usage("UH_KERNEL: expected a kernel that this machine "
                             "runs, found %s",
                             name);
            }
            return kernel;
        }
    }
    uh_die_usage("UH_KERNEL: expected avx512, avx2 or portable, found \"%s\"",
                 name);
}

static const struct uh_mat_kernel *kernel_of(enum uh_kernel kernel)
{
#if defined(__x86_64__)
    if (kernel == UH_KERNEL_AVX512) {
        return &uh_mat_avx512;
    }
    if (kernel == UH_KERNEL_AVX2) {
        return &uh_mat_avx2;
    }
#endif
    return &uh_mat_portable;
}

void uh_sgemm_with(enum uh_kernel kernel, struct uh_pool *pool, enum uh_gemm op,
                   size_t m, size_t n, size_t k, const float *a, size_t lda,
                   const float *b, size_t ldb, enum uh_start start, float *c,
                   size_t ldc)
{
    UH_REQUIRE(uh_kernel_runs(kernel), "%s", uh_kernel_name(kernel));
    UH_REQUIRE(lda >= (op == UH_TN ? m : k), "lda is %zu", lda);
    UH_REQUIRE(ldb >= (op == UH_NT ? k : n), "ldb is %zu", ldb);
    UH_REQUIRE(ldc >= n, "ldc is %zu", ldc);
    const struct product q = {
        kernel_of(kernel), op, m, n, k, a, b, lda, ldb, start, c, ldc};
    if (m == 0 || n == 0) {
        return;
    }
    if (k > 0) {
        run_product(&q, pool);
    } else if (start == UH_FROM_ZERO) {
        clear(&q);
    }
}

/* uh_kernel_choice, asked once: a look into the environment takes as long as a
 * small product.  Threads that ask at the same time get the same answer. */
static enum uh_kernel first_choice(void)
{
    static atomic_int known; /* 1 + the kernel; 0: not yet */
    int kernel = atomic_load_explicit(&known, memory_order_relaxed);
    if (kernel == 0) {
        kernel = 1 + (int)uh_kernel_choice();
        atomic_store_explicit(&known, kernel, memory_order_relaxed);
    }
    return (enum uh_kernel)(kernel - 1);
}

void uh_sgemm(struct uh_pool *pool, enum uh_gemm op, size_t m, size_t n,
              size_t k, const float *a, size_t lda, const float *b, size_t ldb,
              enum uh_start start, float *c, size_t ldc)
{
    uh_sgemm_with(first_choice(), pool, op, m, n, k, a, lda, b, ldb, start, c,
                  ldc);
}

double uh_sum(size_t n, const double *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += x[i];
    }
    return s;
}

double uh_sumf(size_t n, const float *x)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)x[i];
    }
    return s;
}

double uh_dot(size_t n, const double *x, const double *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s = fma(x[i], y[i], s);
    }
    return s;
}

double uh_dotf(size_t n, const float *x, const float *y)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        s += (double)x[i] * (double)y[i];
    }
    return s;
}
