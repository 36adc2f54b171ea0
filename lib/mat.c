/* mat.c: matrix products and sums in one fixed order.
 *
 * A product is cut into rectangles of c, one per thread, which are computed
 * alone: both of two threads pack what both need, for that takes less time than
 * to wait for one another and to read what lies in the other's cache.  Each is
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
    PACKING = 7,       /* one entry, in multiply-adds */
    STRETCH = 16,      /* rows of b that are copied from panel to panel */
    NEAR = 6144,       /* floats that stay in the cache nearest by */
    SAME_PLACE = 512,  /* floats, of which multiples share a place there */
    NARROW_DEPTH = 16  /* of chains that are worth it */
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

/* How one block of p is laid out for the tiles. */
struct block {
    size_t p0, k;
    enum uh_start start;
    size_t height; /* rows of a tile; the last may have fewer */
    float *a, *b;  /* where it is packed; NULL: it is not */
};

/* Rows p to p + k of the block, columns j to j + cols, so many that a tile
 * has; to: their panel. */
static void pack_panel(const struct product *q, const struct block *block,
                       size_t p, size_t k, size_t j, size_t cols, float *to)
{
    const size_t width = round_up(cols, q->kernel->lanes);
    p += block->p0;
    to += (p - block->p0) * width;
    if (q->op == UH_NT) {
        const float *from = q->b + j * q->ldb + p;
        q->kernel->transpose(cols, width, k, from, q->ldb, to);
    } else {
        const float *from = q->b + p * q->ldb + j;
        q->kernel->copy(cols, width, k, from, q->ldb, to);
    }
}

/* Columns j0 to j1.  A stretch of b's rows goes to one panel after another, for
 * what is read is contiguous then.  step: from a panel to the next. */
static void pack_panels(const struct product *q, const struct block *block,
                        size_t j0, size_t j1, size_t step)
{
    const size_t stretch = q->op == UH_NT ? block->k : STRETCH;
    for (size_t p = 0; p < block->k; p += stretch) {
        const size_t k = least(stretch, block->k - p);
        float *to = block->b;
        for (size_t j = j0; j < j1; j += q->kernel->cols) {
            const size_t cols = least(q->kernel->cols, j1 - j);
            pack_panel(q, block, p, k, j, cols, to);
            to += step;
        }
    }
}

/* Rows i0 to i1 of a, one tile's behind the other's. */
static void pack_rows(const struct product *q, const struct block *block,
                      size_t i0, size_t i1)
{
    const size_t stretch = q->op == UH_TN ? STRETCH : block->k;
    for (size_t p = 0; p < block->k; p += stretch) {
        const size_t k = least(stretch, block->k - p);
        float *to = block->a;
        for (size_t i = i0; i < i1; i += block->height) {
            const size_t rows = least(block->height, i1 - i);
            if (q->op == UH_TN) {
                const float *from = q->a + (block->p0 + p) * q->lda + i;
                q->kernel->copy(rows, rows, k, from, q->lda, to + p * rows);
            } else {
                const float *from = q->a + i * q->lda + block->p0;
                q->kernel->transpose(rows, rows, k, from, q->lda, to);
            }
            to += rows * block->k;
        }
    }
}

/* What of b is needed after the panel at hand: so many floats of each row,
 * cut either way into one part for each tile. */
struct ahead {
    const float *start;
    size_t rows, floats, step;
    int by_floats;
};

static struct ahead panel_ahead(const struct product *q,
                                const struct block *block, size_t j,
                                size_t cols, const float *packed)
{
    if (packed) {
        return (struct ahead){packed, block->k, cols, cols, 0};
    }
    if (q->op == UH_NT) {
        const float *start = q->b + j * q->ldb + block->p0;
        return (struct ahead){start, cols, block->k, q->ldb, 1};
    }
    const float *start = q->b + block->p0 * q->ldb + j;
    return (struct ahead){start, block->k, cols + UH_MAT_LINE - 1, q->ldb, 0};
}

/* Part i of parts of ahead is fetched behind the arithmetic of the tile. */
static void fetch(struct uh_mat_tile *tile, const struct ahead *ahead,
                  size_t parts, size_t i)
{
    const size_t all = ahead->by_floats ? ahead->floats : ahead->rows;
    const size_t unit = ahead->by_floats ? UH_MAT_LINE : 1;
    const size_t part = round_up(parts_of(all, parts), unit);
    const size_t from = least(i * part, all), size = least(part, all - from);
    tile->ahead = ahead->start + from * (ahead->by_floats ? 1 : ahead->step);
    tile->ahead_rows = ahead->by_floats ? ahead->rows : size;
    tile->ahead_floats = ahead->by_floats ? size : ahead->floats;
    tile->ahead_step = ahead->step;
}

/* The tiles of rows i0 to i1 with one panel of b, from column j. */
static void run_tiles(const struct product *q, const struct block *block,
                      size_t i0, size_t i1, struct uh_mat_tile tile, size_t j,
                      const struct ahead *ahead)
{
    const float *packed = block->a;
    const size_t tiles = ahead->rows ? parts_of(i1 - i0, block->height) : 1;
    size_t index = 0;
    for (size_t i = i0; i < i1; i += tile.rows) {
        tile.rows = least(block->height, i1 - i);
        if (packed) {
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
        if (ahead->rows) {
            fetch(&tile, ahead, tiles, index++);
        }
        q->kernel->tile(&tile);
    }
}

/* Rows i0 to i1 with columns j0 to j1.  step: from a packed panel to the next;
 * 0: each is packed just before its use, to the place of the one before, having
 * been fetched behind that one's arithmetic. */
static void run_rows(const struct product *q, const struct block *block,
                     size_t i0, size_t i1, size_t j0, size_t j1, size_t step)
{
    const struct uh_mat_kernel *kernel = q->kernel;
    struct uh_mat_tile tile = {
        .k = block->k, .ldc = q->ldc, .start = block->start};
    const float *packed = block->b;
    for (size_t j = j0; j < j1; j += tile.cols) {
        struct ahead ahead = {0};
        tile.cols = least(kernel->cols, j1 - j);
        tile.b = q->b + block->p0 * q->ldb + j;
        tile.b_step = q->ldb;
        if (packed) {
            if (step == 0) {
                pack_panel(q, block, 0, block->k, j, tile.cols, block->b);
            }
            tile.b = packed;
            tile.b_step = round_up(tile.cols, kernel->lanes);
            packed += step;
            if (j + tile.cols + kernel->cols <= j1) {
                ahead = panel_ahead(q, block, j + tile.cols, kernel->cols,
                                    step == 0 ? NULL : packed);
            }
        }
        run_tiles(q, block, i0, i1, tile, j, &ahead);
    }
}

/* So many rows in tiles of equal height, as far as the kernel likes it. */
static size_t height_of(const struct uh_mat_kernel *kernel, size_t rows)
{
    if (rows <= kernel->rows) {
        return rows;
    }
    const size_t tiles = parts_of(rows, kernel->rows);
    return round_up(parts_of(rows, tiles), kernel->row_unit);
}

/* Whether b is used from where it is: it comes in rows, and they are few
 * enough to stay in the cache nearest by, or hardly used. */
static int b_lies_well(const struct product *q)
{
    return q->op != UH_NT && (q->m <= (DIRECT_TILES - 1) * q->kernel->rows ||
                              q->k * q->ldb <= NEAR);
}

static int a_lies_well(const struct product *q)
{
    return q->n <= (DIRECT_PANELS - 1) * q->kernel->cols;
}

/* Whether packed rows of a would be read no faster than they are read where
 * they are.  Longer ones are cut, and the caches fetch what is behind a cut. */
static int rows_lie_well(const struct product *q)
{
    return q->kernel->takes_rows && q->op != UH_TN &&
           q->k <= q->kernel->k_block && q->lda % (2 * SAME_PLACE) != 0;
}

/* Rows of a are then read side by side, a few floats of each: they would drive
 * one another out of the cache if they shared a place in it, and a and c cost
 * more than they bring if the chains are short. */
static int is_narrow(const struct product *q)
{
    return q->op != UH_TN && q->n <= q->kernel->narrow_cols &&
           q->m >= q->kernel->narrow_rows && q->k >= NARROW_DEPTH &&
           q->lda % SAME_PLACE != 0;
}

static void run_narrow(const struct product *q)
{
    struct uh_mat_narrow part = {
        .rows = q->m,
        .cols = q->n,
        .lda = q->lda,
        .b_step = q->op == UH_NT ? 1 : q->ldb,
        .b_col = q->op == UH_NT ? q->ldb : 1,
        .c = q->c,
        .ldc = q->ldc,
        .start = q->start,
    };
    for (size_t p = 0; p < q->k; p += part.k) {
        part.k = least(q->kernel->k_block, q->k - p);
        part.a = q->a + p;
        part.b = q->b + p * part.b_step;
        q->kernel->narrow(&part);
        part.start = UH_FROM_C;
    }
}

static void run_serial(const struct product *q, struct uh_arena *scratch)
{
    if (is_narrow(q)) {
        run_narrow(q);
        return;
    }
    const struct uh_mat_kernel *kernel = q->kernel;
    const size_t depth = parts_of(q->k, parts_of(q->k, kernel->k_block));
    struct block block = {.height = height_of(kernel, q->m), .start = q->start};
    size_t row_block = q->m, column_block = q->n, step = 0;
    if (!a_lies_well(q)) {
        const size_t blocks = parts_of(q->m, kernel->row_block);
        row_block = round_up(parts_of(q->m, blocks), block.height);
        if (!rows_lie_well(q)) {
            block.a =
                uh_arena_alloc_raw(scratch, row_block * depth, sizeof(float));
        }
    }
    if (!b_lies_well(q)) {
        size_t width = round_up(least(q->n, kernel->cols), kernel->lanes);
        if (row_block < q->m) {
            /* panels are used again, by the rows behind */
            column_block = least(q->n, kernel->column_block);
            width = round_up(column_block, kernel->lanes);
            step = kernel->cols * depth;
        }
        block.b = uh_arena_alloc_raw(scratch, width * depth, sizeof(float));
    }
    for (; block.p0 < q->k; block.p0 += depth) {
        block.k = least(depth, q->k - block.p0);
        for (size_t j0 = 0; j0 < q->n; j0 += column_block) {
            const size_t j1 = least(j0 + column_block, q->n);
            if (step > 0) {
                pack_panels(q, &block, j0, j1, step);
            }
            for (size_t i0 = 0; i0 < q->m; i0 += row_block) {
                const size_t i1 = least(i0 + row_block, q->m);
                if (block.a) {
                    pack_rows(q, &block, i0, i1);
                }
                run_rows(q, &block, i0, i1, j0, j1, step);
            }
        }
        block.start = UH_FROM_C;
    }
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
    return (double)m * (double)n + PACKING * (double)(m + n);
}

static struct grid cheapest_grid(const struct product *q, size_t threads)
{
    struct grid best = {q, 1, 1};
    double lowest = (double)INFINITY;
    for (size_t rows = 1; rows <= least(threads, q->m); rows++) {
        const size_t cols =
            least(threads / rows, parts_of(q->n, q->kernel->cols));
        const double price = cost(q, rows, cols);
        if (price < lowest) {
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

static void run_product(const struct product *q, struct uh_pool *pool)
{
    const size_t threads = uh_pool_threads(pool);
    const double work = (double)q->m * (double)q->n * (double)q->k;
    if (threads > 1 && work >= (double)SMALL) {
        struct grid grid = cheapest_grid(q, threads);
        uh_cells(pool, grid.rows * grid.cols, run_rectangle, &grid);
        return;
    }
    if (is_narrow(q)) {
        run_narrow(q);
        return;
    }
    if (q->k <= q->kernel->k_block && a_lies_well(q) && b_lies_well(q)) {
        const struct block block = {
            .k = q->k, .start = q->start, .height = height_of(q->kernel, q->m)};
        run_rows(q, &block, 0, q->m, 0, q->n, 0);
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
