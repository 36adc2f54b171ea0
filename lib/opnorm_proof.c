/* opnorm_proof.c: upper bounds that nothing random enters. */
#include "opnorm_parts.h"

#include "die.h"
#include "fmath.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 96,   /* columns of a factor found together */
    STRIP = 1024, /* of a dense map's inner side, packed together */
    TRIES = 40,   /* of tau, from near to far */
    GUESS = 20    /* power steps at a point of the torus */
};

/* -- Cholesky ---------------------------------------------------------------- */

/* Left-looking, a block of columns at a time.  The factor goes, row by row,
 * above the diagonal of g, and packed for the tiles; what is below stays. */
struct factor {
    const struct uh_opnorm_kernel *kernel;
    size_t n, j0, j1; /* the block */
    double *g, tau;
    double *packed;
    double *diagonal; /* (n) of the factor */
    int failed;
};

size_t uh_below_room(size_t n)
{
    return uh_size_mul(uh_parts_of(n, 16) * 16, n) + n;
}

/* Row j of the factor, negated, where it is known. */
static void known_row(const void *context, size_t j, size_t p, size_t k,
                      double *to)
{
    const struct factor *f = context;
    const double *row = f->g + j * f->n + p;
    for (size_t i = 0; i < k; i++) {
        to[i] = -row[i];
    }
}

/* tau - g less what the columns before the block give, for the rows of panels
 * i0 to i1. */
static void remainder_of(const struct factor *f, size_t i0, size_t i1,
                         double *c, size_t ldc)
{
    const size_t high = f->kernel->rows;
    for (size_t j = f->j0; j < f->j1; j++) {
        for (size_t i = i0 * high; i < i1 * high; i++) {
            double at = 0;
            if (i < f->n && i >= j) {
                at = -f->g[j * f->n + i] + (i == j ? f->tau : 0);
            }
            c[(j - f->j0) * ldc + i - i0 * high] = at;
        }
    }
    uh_opnorm_multiply(f->kernel, f->n, f->j0, f->packed, i0, i1, f->j0, f->j1,
                       known_row, f, c, ldc);
}

/* The corner of the block: its rows of the factor, or failed. */
static void factor_corner(struct factor *f, struct uh_arena *scratch)
{
    const size_t high = f->kernel->rows, i0 = f->j0 / high;
    const size_t i1 = uh_parts_of(f->j1, high), ldc = (i1 - i0) * high;
    double *c = uh_arena_alloc_raw(scratch, ldc * (f->j1 - f->j0), sizeof *c);
    remainder_of(f, i0, i1, c, ldc);
    const size_t off = f->j0 - i0 * high, rows = f->j1 - f->j0;
    for (size_t j = 0; j < rows; j++) {
        double *column = c + j * ldc + off;
        for (size_t p = 0; p < j; p++) {
            f->kernel->subtract(rows - j, c[p * ldc + off + j],
                                c + p * ldc + off + j, column + j);
        }
        if (!(column[j] > 0) || !isfinite(column[j])) {
            f->failed = 1;
            return;
        }
        const double root = sqrt(column[j]);
        f->diagonal[f->j0 + j] = root;
        for (size_t i = j + 1; i < rows; i++) {
            column[i] /= root;
            f->g[(f->j0 + i) * f->n + f->j0 + j] = column[i];
        }
    }
}

/* The rows of a panel group: solved with the corner, stored, packed. */
struct below {
    const struct factor *f;
    size_t first, per_cell; /* panels */
};

static void factor_rows(void *context, size_t index, struct uh_pool *serial)
{
    const struct below *b = context;
    const struct factor *f = b->f;
    const size_t high = f->kernel->rows, panels = uh_parts_of(f->n, high);
    const size_t i0 = b->first + index * b->per_cell;
    const size_t i1 = uh_least(i0 + b->per_cell, panels);
    const size_t ldc = (i1 - i0) * high, cols = f->j1 - f->j0;
    double *c =
        uh_arena_alloc_raw(uh_pool_scratch(serial), ldc * cols, sizeof *c);
    remainder_of(f, i0, i1, c, ldc);
    for (size_t j = 0; j < cols; j++) {
        double *column = c + j * ldc;
        const double *row = f->g + (f->j0 + j) * f->n + f->j0;
        for (size_t p = 0; p < j; p++) {
            f->kernel->subtract(ldc, row[p], c + p * ldc, column);
        }
        for (size_t i = 0; i < ldc; i++) {
            column[i] /= f->diagonal[f->j0 + j];
        }
    }
    for (size_t i = i0 * high; i < uh_least(i1 * high, f->n); i++) {
        double *to = f->packed + i / high * high * f->n + i % high;
        for (size_t j = 0; j < cols; j++) {
            const double value = i >= f->j1      ? c[j * ldc + i - i0 * high]
                                 : i > f->j0 + j ? f->g[i * f->n + f->j0 + j]
                                                 : 0;
            to[(f->j0 + j) * high] = value;
            if (i >= f->j1) {
                f->g[i * f->n + f->j0 + j] = value;
            }
        }
    }
}

int uh_below(const struct uh_opnorm_kernel *kernel, struct uh_pool *pool,
             size_t n, double *g, double tau, double *packed, double *slack)
{
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct factor f = {.kernel = kernel, .n = n, .g = g, .tau = tau};
    const size_t room = uh_below_room(n), panels = uh_parts_of(n, kernel->rows);
    f.packed = packed;
    f.diagonal = packed + room - n;
    double trace = 0;
    for (size_t j = 0; j < n; j++) {
        trace += fabs(tau - g[j * n + j]);
        if (!(tau - g[j * n + j] > 0)) {
            return 0;
        }
    }
    for (; f.j0 < n; f.j0 = f.j1) {
        f.j1 = uh_least(f.j0 + BLOCK, n);
        const struct uh_mark mark = uh_arena_open(scratch);
        factor_corner(&f, scratch);
        uh_arena_release(scratch, mark);
        if (f.failed) {
            return 0;
        }
        struct below b = {&f, f.j0 / kernel->rows, 0};
        const size_t left = panels - b.first;
        b.per_cell = left / (4 * uh_pool_threads(pool)) + 1;
        uh_cells(pool, uh_parts_of(left, b.per_cell), factor_rows, &b);
    }
    /* R'R is the matrix up to gamma_{n+1} / (1 - gamma_{n+1}) of the root of
     * the products of its diagonal, so up to that of its trace (Rump, theorem
     * 2.3); blocks cost a few more roundings, the diagonal's own is u tau. */
    const double gamma =
        uh_opnorm_gamma((double)(n + n / UH_OPNORM_DEPTH + n / BLOCK + 8));
    *slack = gamma / (1 - gamma) * trace * (1 + 2 * gamma) + 2 * UH_UNIT * tau +
             0x1p-960 * (double)n;
    return 1;
}

/* tau climbs from base (1 + first), the excess doubled each time, until
 * tau - g passes; the bound of g's largest eigenvalue. */
static double climb(const struct uh_opnorm_kernel *kernel, struct uh_pool *pool,
                    size_t n, double *g, double base, double first,
                    double *packed)
{
    double slack = 0;
    for (int i = 0; i < TRIES; i++, first *= 2) {
        const double tau = base * (1 + first);
        if (uh_below(kernel, pool, n, g, tau, packed, &slack)) {
            return tau + slack;
        }
    }
    return (double)INFINITY;
}

static double rooted(double square)
{
    return sqrt(square) * (1 + 4 * UH_UNIT);
}

/* -- dense -------------------------------------------------------------------- */

/* The smaller side's products of rows (or columns), the inner side in strips,
 * so that what is packed stays small. */
struct gram {
    const struct uh_opnorm_kernel *kernel;
    const float *weight, *scale;
    size_t n, inner;       /* sides: of the product, summed over */
    size_t row_step, step; /* weight at (i, p): i row_step + p step */
    int scaled_inner;      /* scale belongs to p, not to i */
    size_t from, length;   /* the strip */
    double *packed, *g;
    size_t per_cell;
};

static double gram_entry(const struct gram *q, size_t i, size_t p)
{
    const double w = (double)q->weight[i * q->row_step + p * q->step];
    return q->scale ? w * (double)q->scale[q->scaled_inner ? p : i] : w;
}

static void gram_column(const void *context, size_t j, size_t p, size_t k,
                        double *to)
{
    const struct gram *q = context;
    for (size_t i = 0; i < k; i++) {
        to[i] = gram_entry(q, j, q->from + p + i);
    }
}

static void pack_rows(void *context, size_t index, struct uh_pool *serial)
{
    const struct gram *q = context;
    const size_t high = q->kernel->rows;
    double *to = q->packed + index * high * q->length;
    (void)serial;
    for (size_t r = 0; r < high; r++) {
        const size_t i = index * high + r;
        for (size_t p = 0; p < q->length; p++) {
            to[p * high + r] = i < q->n ? gram_entry(q, i, q->from + p) : 0;
        }
    }
}

/* A band of columns, from the diagonal down. */
static void gram_band(void *context, size_t index, struct uh_pool *serial)
{
    const struct gram *q = context;
    const size_t high = q->kernel->rows, panels = uh_parts_of(q->n, high);
    const size_t j0 = index * q->per_cell;
    const size_t j1 = uh_least(j0 + q->per_cell, q->n);
    const size_t i0 = j0 / high, ldc = (panels - i0) * high;
    double *c = uh_arena_alloc(uh_pool_scratch(serial),
                               uh_size_mul(ldc, j1 - j0), sizeof *c);
    uh_opnorm_multiply(q->kernel, q->length, q->length, q->packed, i0, panels,
                       j0, j1, gram_column, q, c, ldc);
    for (size_t j = j0; j < j1; j++) {
        for (size_t i = j; i < q->n; i++) {
            q->g[j * q->n + i] += c[(j - j0) * ldc + i - i0 * high];
        }
    }
}

double uh_prove_dense(const struct uh_layer *layer, const float *scale,
                      double absolute, double guess, struct uh_pool *pool)
{
    const size_t ins = layer->in.channels, outs = layer->out.channels;
    const int wide = outs <= ins;
    struct uh_arena *own = uh_arena_new();
    struct gram q = {.kernel = uh_opnorm_kernel_of(uh_kernel_choice()),
                     .weight = layer->weight,
                     .scale = scale,
                     .n = wide ? outs : ins,
                     .inner = wide ? ins : outs,
                     .row_step = wide ? ins : 1,
                     .step = wide ? 1 : ins,
                     .scaled_inner = !wide};
    const size_t panels = uh_parts_of(q.n, q.kernel->rows);
    const size_t strip = uh_least(STRIP, q.inner);
    q.g = uh_arena_alloc(own, uh_size_mul(q.n, q.n), sizeof *q.g);
    double *room = uh_arena_alloc(
        own, uh_size_add(uh_below_room(q.n), uh_size_mul(q.n + 16, strip)),
        sizeof *room);
    q.packed = room;
    q.per_cell = 8 * q.kernel->cols;
    for (; q.from < q.inner; q.from += q.length) {
        q.length = uh_least(strip, q.inner - q.from);
        uh_cells(pool, panels, pack_rows, &q);
        uh_cells(pool, uh_parts_of(q.n, q.per_cell), gram_band, &q);
    }
    const double sum =
        uh_opnorm_gamma((double)(UH_OPNORM_DEPTH + 4 + STRIP / UH_OPNORM_DEPTH +
                                 q.inner / STRIP));
    const double error = sum * absolute * absolute;
    memset(room, 0, uh_below_room(q.n) * sizeof *room);
    const double bound =
        climb(q.kernel, pool, q.n, q.g, guess * guess, 1e-10, room);
    uh_arena_free(&own);
    return rooted(bound + error);
}

/* -- any map of few inputs -------------------------------------------------------- */

double uh_prove_small(const struct uh_map *map, double guess)
{
    const size_t n = uh_map_in(map);
    struct uh_arena *own = uh_arena_new();
    double *g = uh_arena_alloc(own, uh_size_mul(n, n), sizeof *g);
    double *x = uh_arena_alloc(own, n, sizeof *x);
    double *y = uh_arena_alloc(own, uh_map_out(map), sizeof *y);
    double *room = uh_arena_alloc(own, uh_below_room(n), sizeof *room);
    for (size_t j = 0; j < n; j++) {
        x[j] = 1;
        uh_map_gram(map, x, y, g + j * n);
        x[j] = 0;
        if (!(g[j * n + j] > 0)) { /* padding of a block, or nothing sees it */
            memset(g + j * n, 0, n * sizeof *g);
        }
    }
    /* The lower triangle, mirrored, is S up to the norm of all errors. */
    const double error = 1.5 * uh_map_gram_error(map) * uh_map_absolute(map) *
                         uh_map_absolute(map) * sqrt((double)n);
    const double bound = climb(uh_map_kernel(map), uh_map_pool(map), n, g,
                               guess * guess, 1e-10, room);
    uh_arena_free(&own);
    return rooted(bound + error);
}

/* -- convolutions: the symbol over the torus ----------------------------------------- */

struct torus {
    const struct uh_opnorm_kernel *kernel;
    struct uh_symbol s;
    size_t points[2], unit[2]; /* of the grid; what offsets are multiples of */
    size_t small, large;       /* sides of the symbol */
    double *estimate;          /* (cells) */
    double *bound;             /* (cells), of the Gram's largest eigenvalue */
    double base, first, absolute;
};

static size_t divisor(size_t a, size_t b)
{
    return b ? divisor(b, a % b) : a;
}

/* 2 pi times a fraction of the circle. */
static void turn(size_t part, size_t whole, double *c, double *s)
{
    const double angle = 0x1.921fb54442d18p+2 * (double)part / (double)whole;
    *c = uh_cos(angle);
    *s = uh_sin(angle);
}

/* The symbol of a group at a point as a real matrix of 2 small rows of 2 large
 * entries, [B, -C; C, B], its conjugate transposed where outs > chans. */
static void symbol_at(const struct torus *t, size_t g, size_t point, double *r)
{
    const struct uh_symbol *s = &t->s;
    const size_t a = point / t->points[1], b = point % t->points[1];
    const size_t taps = s->taps[0] * s->taps[1], n = t->small, q = t->large;
    memset(r, 0, 4 * n * q * sizeof *r);
    for (size_t tap = 0; tap < taps; tap++) {
        const size_t y = s->offset[0][tap / s->taps[1]] / t->unit[0];
        const size_t x = s->offset[1][tap % s->taps[1]] / t->unit[1];
        const size_t whole = t->points[0] * t->points[1];
        double c, i;
        turn((a * y % t->points[0] * t->points[1] +
              b * x % t->points[1] * t->points[0]) %
                 whole,
             whole, &c, &i);
        for (size_t o = 0; o < s->outs; o++) {
            const double *w =
                s->weight + ((g * s->outs + o) * taps + tap) * s->chans;
            for (size_t k = 0; k < s->chans; k++) {
                const int flat = s->outs <= s->chans;
                const size_t row = flat ? o : k, col = flat ? k : o;
                r[row * 2 * q + col] += w[k] * c;
                r[(n + row) * 2 * q + col] += flat ? w[k] * i : -(w[k] * i);
            }
        }
    }
    for (size_t row = 0; row < n; row++) {
        for (size_t col = 0; col < q; col++) {
            r[row * 2 * q + q + col] = -r[(n + row) * 2 * q + col];
            r[(n + row) * 2 * q + q + col] = r[row * 2 * q + col];
        }
    }
}

/* A few power steps: the size of the largest eigenvalue of r r'. */
static double estimate(const struct torus *t, const double *r,
                       struct uh_arena *scratch)
{
    const size_t n = 2 * t->small, q = 2 * t->large;
    double *u = uh_arena_alloc_raw(scratch, n, sizeof *u), value = 0;
    double *v = uh_arena_alloc_raw(scratch, q, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        u[i] = 1 + (double)(i * 7 % 11) / 8;
    }
    for (int step = 0; step < GUESS; step++) {
        const double size = uh_opnorm_length(t->kernel, n, u);
        memset(v, 0, q * sizeof *v);
        for (size_t i = 0; i < n && size > 0; i++) {
            t->kernel->subtract(q, -u[i] / size, r + i * q, v);
        }
        for (size_t i = 0; i < n; i++) {
            u[i] = uh_opnorm_dot(t->kernel, q, r + i * q, v);
        }
        const double power = uh_opnorm_length(t->kernel, q, v);
        value = fmax(value, power * power);
    }
    return value;
}

/* Cell: a group and a point; conjugate points are done once. */
static int mirrored(const struct torus *t, size_t point)
{
    const size_t a = point / t->points[1], b = point % t->points[1];
    const size_t c = (t->points[0] - a) % t->points[0];
    const size_t d = (t->points[1] - b) % t->points[1];
    return c * t->points[1] + d < point;
}

static void estimate_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct torus *t = context;
    const size_t whole = t->points[0] * t->points[1];
    if (mirrored(t, index % whole)) {
        t->estimate[index] = 0;
        return;
    }
    struct uh_arena *scratch = uh_pool_scratch(serial);
    double *r = uh_arena_alloc_raw(scratch, 4 * t->small * t->large, sizeof *r);
    symbol_at(t, index / whole, index % whole, r);
    t->estimate[index] = estimate(t, r, scratch);
}

static void symbol_row(const void *context, size_t j, size_t p, size_t k,
                       double *to)
{
    const double *const *r = context; /* the rows, and their length */
    memcpy(to, r[0] + j * (size_t)(r[1] - r[0]) + p, k * sizeof *to);
}

/* The lower triangle of r r', whose four blocks are X, Y, -Y, X. */
static void gram_of(const struct torus *t, const double *r, double *packed,
                    double *g, struct uh_arena *scratch)
{
    const size_t high = t->kernel->rows, n = t->small, q = 2 * t->large;
    const size_t panels = uh_parts_of(2 * n, high), ldc = panels * high;
    for (size_t i = 0; i < ldc; i++) {
        double *to = packed + i / high * high * q + i % high;
        for (size_t p = 0; p < q; p++) {
            to[p * high] = i < 2 * n ? r[i * q + p] : 0;
        }
    }
    double *c = uh_arena_alloc(scratch, ldc * n, sizeof *c);
    const double *const rows[2] = {r, r + q};
    uh_opnorm_multiply(t->kernel, q, q, packed, 0, panels, 0, n, symbol_row,
                       rows, c, ldc);
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j; i < 2 * n; i++) {
            g[j * 2 * n + i] = c[j * ldc + i];
            if (i < n) {
                g[(n + j) * 2 * n + n + i] = c[j * ldc + i];
            }
        }
    }
}

static void bound_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct torus *t = context;
    const size_t whole = t->points[0] * t->points[1], n = 2 * t->small;
    if (mirrored(t, index % whole)) {
        t->bound[index] = 0;
        return;
    }
    struct uh_arena *scratch = uh_pool_scratch(serial);
    const size_t room = uh_below_room(n), rows = (n + 16) * 2 * t->large;
    double *r = uh_arena_alloc_raw(scratch, 4 * t->small * t->large, sizeof *r);
    double *g = uh_arena_alloc(scratch, n * n, sizeof *g);
    double *packed =
        uh_arena_alloc(scratch, room > rows ? room : rows, sizeof *packed);
    symbol_at(t, index / whole, index % whole, r);
    gram_of(t, r, packed, g, scratch);
    memset(packed, 0, room * sizeof *packed);
    double trace = 0;
    for (size_t i = 0; i < n; i++) {
        trace += g[i * n + i];
    }
    t->bound[index] =
        climb(t->kernel, serial, n, g, t->base, t->first, packed) +
        uh_opnorm_chain(2 * t->large) * trace * (1 + 1e-6);
}

/* Points of the grid per dimension: a multiple of the degree. */
static void choose_points(struct torus *t, const size_t degree[2])
{
    const double n = (double)t->small, q = (double)t->large;
    const double each = (double)t->s.groups * (3 * n * n * q + 4 * n * n * n);
    for (size_t times = 16; times >= 4; times /= 2) {
        for (int d = 0; d < 2; d++) {
            t->points[d] = degree[d] ? times * degree[d] : 1;
        }
        if (each * (double)(t->points[0] * t->points[1]) <= 2e11) {
            return;
        }
    }
}

double uh_prove_conv(const struct uh_map *map, double guess)
{
    struct uh_arena *own = uh_arena_new();
    struct uh_pool *pool = uh_map_pool(map);
    struct torus t = {.kernel = uh_map_kernel(map),
                      .s = uh_map_symbol(map, own),
                      .absolute = uh_map_absolute(map)};
    size_t degree[2];
    for (int d = 0; d < 2; d++) {
        size_t common = 0;
        for (size_t i = 0; i < t.s.taps[d]; i++) {
            common = divisor(common, t.s.offset[d][i]);
        }
        t.unit[d] = common ? common : 1;
        degree[d] = t.s.offset[d][t.s.taps[d] - 1] / t.unit[d];
    }
    t.small = uh_least(t.s.outs, t.s.chans);
    t.large = t.s.outs + t.s.chans - t.small;
    choose_points(&t, degree);
    const size_t cells = t.s.groups * t.points[0] * t.points[1];
    const int single = t.points[0] * t.points[1] == 1;
    t.estimate = uh_arena_alloc(own, cells, sizeof *t.estimate);
    t.bound = uh_arena_alloc(own, cells, sizeof *t.bound);
    t.base = guess * guess;
    t.first = single ? 1e-10 : 0.002;
    if (!single) {
        uh_cells(pool, cells, estimate_cell, &t);
    }
    for (size_t i = 0; i < cells; i++) {
        t.base = fmax(t.base, t.estimate[i]);
    }
    uh_cells(pool, cells, bound_cell, &t);
    double most = 0;
    for (size_t i = 0; i < cells; i++) {
        most = fmax(most, t.bound[i]);
    }
    /* the symbol's own rounding: of each factor's angle, value and sum */
    const size_t taps = t.s.taps[0] * t.s.taps[1];
    double bound =
        rooted(most) + 2 * uh_opnorm_gamma((double)(taps + 32)) * t.absolute;
    for (int d = 0; d < 2; d++) {
        if (degree[d]) {
            double c, s;
            turn(degree[d], 2 * t.points[d], &c, &s);
            bound /= sqrt(c * (1 - 1e-14)) * (1 - 4 * UH_UNIT);
        }
    }
    uh_arena_free(&own);
    return bound * (1 + 8 * UH_UNIT);
}
