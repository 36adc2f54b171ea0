/* opnorm_start.c: where Lanczos for a convolution begins, from the torus.
 *
 * At every frequency a few Lanczos steps for D*D give its top vectors.  The
 * best of all frequencies span fields, which are cut to the layer; on them A is
 * a small matrix, and its top vectors are good to a thousandth.  Nothing here
 * has to be right. */
#include "opnorm_seek.h"

#include "eigen.h"
#include "stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORT = 16, /* steps of Lanczos at a frequency, */
    LONG = 48,  /* where it matters */
    KEPT = UH_SEEK_KEPT,
    FEW = 128,  /* real fields that the start is made of, at least, */
    MANY = 768, /* and at most */
    DEEP = 36,  /* steps of Lanczos for their matrix */
    STRIP = 32  /* columns done together */
};

/* A value so far below is not above; by its residual rho, as long as others are
 * `apart` from it, it may be off by rho^2 / apart (both relative to it). */
static const double margin = 0.04, apart = 0.1;

/* Fields with values so near to the largest are those that matter. */
static const double near_top = 0.1;

/* Where less of a vector is new, it is left out. */
static const double parallel = 1e-4;

/* What a step of Lanczos at a frequency adds is rounding noise if it is so small
 * beside the matrix. */
static const double noise = 0x1p-40;

/* A start while it is made. */
struct start {
    struct uh_seek *s;
    struct uh_arena *own; /* for what only the start needs */
    size_t pairs;
    struct uh_seek_pair *pair;  /* by group and frequency */
    const double *image;        /* (pairs, 2, m): D v */
    size_t dims;                /* real fields */
    size_t *dim;                /* 2 pair + (imaginary part) */
    const float *inner, *outer; /* (dims, dims): of fields, of their images */
    double *coordinate;         /* (starts, dims) */
};

/* -- points -------------------------------------------------------------------- */

struct columns {
    const double *x;
    size_t n;
};

static void vector_column(const void *context, size_t j, size_t p, size_t k,
                          double *to)
{
    const struct columns *c = context;
    memcpy(to, c->x + j * c->n + p, k * sizeof *to);
}

/* y = (re + i im) x, the matrices in panels; room for 4 n and padding. */
static void matvec(const struct uh_seek *q, const double *re, const double *im,
                   const double *x, double *y, double *room)
{
    const struct uh_opnorm_kernel *k = q->torus->kernel;
    const size_t n = q->n, panels = uh_parts_of(n, k->rows),
                 ldc = panels * k->rows;
    const struct columns c = {x, n};
    memset(room, 0, 4 * ldc * sizeof *room);
    uh_opnorm_multiply(k, n, n, re, 0, panels, 0, 2, vector_column, &c, room,
                       ldc);
    uh_opnorm_multiply(k, n, n, im, 0, panels, 0, 2, vector_column, &c,
                       room + 2 * ldc, ldc);
    for (size_t i = 0; i < n; i++) {
        y[i] = room[i] - room[3 * ldc + i];
        y[n + i] = room[ldc + i] + room[2 * ldc + i];
    }
}

/* w -= v (v*w), both (2, n). */
static void clear(const struct uh_seek *q, const double *v, double *w)
{
    const size_t n = q->n;
    const struct uh_opnorm_kernel *k = q->torus->kernel;
    const double c = uh_opnorm_dot(q->torus->kernel, 2 * n, v, w);
    const double s = uh_opnorm_dot(q->torus->kernel, n, v, w + n) -
                     uh_opnorm_dot(q->torus->kernel, n, v + n, w);
    k->subtract_both(n, (const double[]){c, -s, c, s}, v, v + n, w, w + n);
}

static int scaled(const struct uh_seek *q, double *w, double *size)
{
    *size = sqrt(uh_opnorm_dot(q->torus->kernel, 2 * q->n, w, w));
    if (!(*size > 0x1p-400)) {
        return 0;
    }
    for (size_t i = 0; i < 2 * q->n; i++) {
        w[i] /= *size;
    }
    return 1;
}

static void draw(const struct uh_seek *q, size_t index, double *v)
{
    struct uh_stream s = uh_stream_open("%s/torus/%zu", q->stream, index);
    const int real = q->torus->freq[index % q->torus->freqs].weight < 2;
    for (size_t i = 0; i < 2 * q->n; i++) {
        v[i] = real && i >= q->n ? 0 : uh_stream_normal(&s);
    }
}

/* The top Ritz vectors at a point, so many steps. */
static void krylov_at(const struct uh_seek *q, size_t index, size_t steps,
                      const double *re, const double *im,
                      struct uh_arena *scratch)
{
    const size_t n = q->n, most = uh_least(steps, n);
    double *basis =
        uh_arena_alloc_raw(scratch, (most + 1) * 2 * n, sizeof *basis);
    double *room = uh_arena_alloc_raw(scratch, 4 * (n + 16), sizeof *room);
    double alpha[LONG], beta[LONG], s[KEPT * LONG], size;
    double *value = q->value + index * KEPT;
    draw(q, index, basis);
    struct uh_krylov r = {.alpha = alpha, .beta = beta};
    for (int more = scaled(q, basis, &size); more && r.steps < most;) {
        const double *v = basis + r.steps * 2 * n;
        double *w = basis + (r.steps + 1) * 2 * n;
        matvec(q, re, im, v, w, room);
        alpha[r.steps] = uh_opnorm_dot(q->torus->kernel, 2 * n, v, w);
        for (size_t i = 0; i <= r.steps; i++) {
            clear(q, basis + i * 2 * n, w);
        }
        more = scaled(q, w, &beta[r.steps]) && beta[r.steps] > noise * alpha[0];
        r.steps++;
    }
    const size_t count = uh_least(KEPT, r.steps);
    memset(value, 0, KEPT * sizeof *value);
    for (size_t i = 0; i < count; i++) {
        value[i] = uh_krylov_value(&r, i);
    }
    uh_krylov_vectors(&r, count, value, s, scratch);
    for (size_t i = 0; i < count; i++) {
        q->rest[index * KEPT + i] =
            fabs(beta[r.steps - 1] * s[(i + 1) * r.steps - 1]);
        double *to = q->vector + (index * KEPT + i) * 2 * n;
        memset(to, 0, 2 * n * sizeof *to);
        for (size_t j = 0; j < r.steps; j++) {
            q->torus->kernel->subtract(2 * n, -s[i * r.steps + j],
                                       basis + j * 2 * n, to);
        }
    }
}

static void vectors_at(const void *context, size_t group, size_t f,
                       const double *re, const double *im,
                       struct uh_pool *serial)
{
    const struct uh_seek *q = context;
    krylov_at(q, group * q->torus->freqs + f, SHORT, re, im,
              uh_pool_scratch(serial));
}

void uh_seek_points(struct uh_seek *q)
{
    const size_t points = q->torus->conv.groups * q->torus->freqs;
    q->value = uh_arena_alloc(q->own, points * KEPT, sizeof *q->value);
    q->rest = uh_arena_alloc(q->own, points * KEPT, sizeof *q->rest);
    q->vector =
        uh_arena_alloc_raw(q->own, points * KEPT, 2 * q->n * sizeof(double));
    uh_torus_each_point(q->torus, vectors_at, q);
}

struct sharpening {
    const struct uh_seek *s;
    size_t *index;
};

static void sharpen_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct sharpening *c = context;
    const struct uh_torus *t = c->s->torus;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    const size_t size = uh_torus_gram_size(t), at = c->index[index];
    double *re = uh_arena_alloc_raw(scratch, 2 * size, sizeof *re);
    uh_torus_grams_at(t, at / t->freqs, at % t->freqs, 1, re, re + size);
    krylov_at(c->s, at, LONG, re, re + size, scratch);
}

/* Whether one of a point's values below the square may have to be above it. */
static int is_unsure(const struct uh_seek *q, size_t index, double square)
{
    for (size_t i = index * KEPT; i < (index + 1) * KEPT; i++) {
        const double off = q->rest[i] / square * q->rest[i] / apart;
        if (q->value[i] <= square && q->value[i] + off > square) {
            return 1;
        }
    }
    return 0;
}

void uh_seek_sharpen(struct uh_seek *q, double square, int all)
{
    const struct uh_torus *t = q->torus;
    const size_t points = t->conv.groups * t->freqs;
    struct sharpening c = {q, uh_arena_alloc(q->own, points, sizeof *c.index)};
    size_t count = 0;
    for (size_t i = 0; i < points; i++) {
        if (all ? q->value[i * KEPT] > (1 - margin) * square
                : is_unsure(q, i, square)) {
            c.index[count++] = i;
        }
    }
    uh_cells(t->pool, count, sharpen_cell, &c);
}

/* -- fields ---------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const struct uh_seek_pair *x = a, *y = b;
    if (x->value != y->value) {
        return x->value < y->value ? 1 : -1;
    }
    return x->vector < y->vector ? -1 : x->vector > y->vector;
}

static int by_place(const void *a, const void *b)
{
    const struct uh_seek_pair *x = a, *y = b;
    return x->vector < y->vector ? -1 : x->vector > y->vector;
}

static void choose_pairs(struct start *q)
{
    const struct uh_torus *t = q->s->torus;
    const size_t points = t->conv.groups * t->freqs;
    q->pair = uh_arena_alloc(q->own, points * KEPT, sizeof *q->pair);
    size_t count = 0;
    for (size_t i = 0; i < points * KEPT; i++) {
        if (q->s->value[i] > 0) {
            q->pair[count++] = (struct uh_seek_pair){
                q->s->value[i], i / KEPT / t->freqs, i / KEPT % t->freqs,
                q->s->vector + i * 2 * q->s->n};
        }
    }
    qsort(q->pair, count, sizeof *q->pair, by_value);
    while (q->pairs < count) {
        const size_t more = (size_t)t->freq[q->pair[q->pairs].f].weight;
        const double value = q->pair[q->pairs].value;
        if (q->dims + more > MANY ||
            (q->dims >= FEW && value < (1 - near_top) * q->pair[0].value)) {
            break;
        }
        q->dims += more;
        q->pairs++;
    }
    qsort(q->pair, q->pairs, sizeof *q->pair, by_place);
    q->dim = uh_arena_alloc(q->own, q->dims, sizeof *q->dim);
    size_t d = 0;
    for (size_t i = 0; i < q->pairs; i++) {
        q->dim[d++] = 2 * i;
        if (t->freq[q->pair[i].f].weight > 1) {
            q->dim[d++] = 2 * i + 1;
        }
    }
}

struct strip {
    size_t j0, j1; /* pairs of one group */
};

struct imaging {
    const struct uh_seek *q;
    const struct uh_seek_pair *pair;
    const struct strip *strip;
    double *image;
};

/* A column for D: the vector, turned by the phase of each tap. */
static void turned_column(const void *context, size_t j, size_t p, size_t k,
                          double *to)
{
    const struct imaging *c = context;
    const struct uh_torus *t = c->q->torus;
    const size_t n = c->q->n;
    const struct uh_seek_pair *pair = &c->pair[j / 2];
    const double *a = pair->vector, *b = a + n;
    const ptrdiff_t sign = t->to->back ? -1 : 1;
    while (k > 0) {
        const ptrdiff_t *tap = t->conv.tap[p / n];
        const size_t at = p % n, length = uh_least(k, n - at);
        double x, y;
        uh_torus_phase(t, pair->f, sign * tap[0], sign * tap[1], &x, &y);
        for (size_t i = at; i < at + length; i++) {
            *to++ = j % 2 ? a[i] * y + b[i] * x : a[i] * x - b[i] * y;
        }
        p += length;
        k -= length;
    }
}

static void image_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct imaging *c = context;
    const struct uh_torus *t = c->q->torus;
    const size_t m = c->q->m;
    const struct strip s = c->strip[index];
    const size_t high = t->kernel->rows, panels = uh_parts_of(m, high);
    const size_t depth = t->conv.taps * c->q->n, ldc = panels * high;
    double *to = uh_arena_alloc(uh_pool_scratch(serial),
                                ldc * 2 * (s.j1 - s.j0), sizeof *to);
    uh_opnorm_multiply(
        t->kernel, depth, depth,
        t->to->packed + c->pair[s.j0].group * panels * high * depth, 0, panels,
        2 * s.j0, 2 * s.j1, turned_column, c, to, ldc);
    for (size_t j = 2 * s.j0; j < 2 * s.j1; j++) {
        memcpy(c->image + j * m, to + (j - 2 * s.j0) * ldc, m * sizeof *to);
    }
}

double *uh_seek_images(const struct uh_seek *q, size_t count,
                       const struct uh_seek_pair pair[], struct uh_arena *arena)
{
    struct strip *strip = uh_arena_alloc(arena, count, sizeof *strip);
    size_t strips = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t j0 = strips ? strip[strips - 1].j0 : 0;
        if (strips == 0 || i - j0 >= STRIP || pair[j0].group != pair[i].group) {
            strip[strips++].j0 = i;
        }
        strip[strips - 1].j1 = i + 1;
    }
    double *image = uh_arena_alloc_raw(arena, count, 2 * q->m * sizeof *image);
    struct imaging c = {q, pair, strip, image};
    uh_cells(q->torus->pool, strips, image_cell, &c);
    return image;
}

/* All inner products of so many rows of n. */
struct products {
    const struct start *q;
    size_t count, n;
    const double *row;
    const double *const *at; /* (count), or NULL: row + j n */
    double *packed, *gram;
};

static const double *row_of(const struct products *r, size_t j)
{
    return r->at ? r->at[j / 2] + j % 2 * r->n : r->row + j * r->n;
}

static void products_column(const void *context, size_t j, size_t p, size_t k,
                            double *to)
{
    memcpy(to, row_of(context, j) + p, k * sizeof *to);
}

static void products_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct products *r = context;
    const struct uh_opnorm_kernel *k = r->q->s->torus->kernel;
    const size_t panels = uh_parts_of(r->count, k->rows),
                 ldc = panels * k->rows;
    const size_t j0 = index * STRIP, j1 = uh_least(j0 + STRIP, r->count);
    const size_t i0 = j0 / k->rows;
    double *c =
        uh_arena_alloc(uh_pool_scratch(serial), ldc * (j1 - j0), sizeof *c);
    uh_opnorm_multiply(k, r->n, r->n, r->packed, i0, panels, j0, j1,
                       products_column, r, c, ldc);
    for (size_t j = j0; j < j1; j++) {
        for (size_t i = j; i < r->count; i++) {
            r->gram[j * r->count + i] = r->gram[i * r->count + j] =
                c[(j - j0) * ldc + i - i0 * k->rows];
        }
    }
}

static void all_products(struct products *r)
{
    const size_t high = r->q->s->torus->kernel->rows;
    struct uh_arena *own = r->q->own;
    r->packed = uh_arena_alloc(own, uh_parts_of(r->count, high) * high,
                               r->n * sizeof *r->packed);
    r->gram = uh_arena_alloc_raw(own, r->count * r->count, sizeof *r->gram);
    for (size_t i = 0; i < r->count; i++) {
        double *to = r->packed + i / high * high * r->n + i % high;
        const double *from = row_of(r, i);
        for (size_t p = 0; p < r->n; p++) {
            to[p * high] = from[p];
        }
    }
    uh_cells(r->q->s->torus->pool, uh_parts_of(r->count, STRIP), products_cell,
             r);
}

/* Sums of the characters over the layer's own places, all but the edges of a
 * stride. */
static void sum_characters(const struct uh_torus *t,
                           const struct uh_torus_face *face, int d, double *c,
                           double *s)
{
    const size_t n = t->size[d], inside = d ? face->broad : face->tall;
    for (size_t k = 0; k < n; k++) {
        c[k] = s[k] = 0;
        for (size_t y = 0; y < inside; y++) {
            c[k] += t->cos[d][k * y % n];
            s[k] += t->sin[d][k * y % n];
        }
    }
}

/* Fields are sqrt(weight) times real and imaginary part of v e^i.. on places
 * inside. */
struct fields {
    const struct start *q;
    const double *gram, *c0, *s0, *c1, *s1; /* sums of characters */
    float *k;
};

static double field_product(const struct fields *p, size_t i, size_t j)
{
    const struct start *q = p->q;
    const struct uh_torus *t = q->s->torus;
    const size_t h = t->size[0], w = t->size[1], all = 2 * q->pairs;
    const size_t a = q->dim[i] / 2, b = q->dim[j] / 2;
    const struct uh_frequency *fa = &t->freq[q->pair[a].f];
    const struct uh_frequency *fb = &t->freq[q->pair[b].f];
    if (q->pair[a].group != q->pair[b].group) {
        return 0;
    }
    const double *g = p->gram + 2 * a * all + 2 * b;
    const double rr = g[0], ri = g[1], ir = g[all], ii = g[all + 1];
    const size_t dy = uh_torus_wound(fb->at[0], -(ptrdiff_t)fa->at[0], h);
    const size_t dx = uh_torus_wound(fb->at[1], -(ptrdiff_t)fa->at[1], w);
    const size_t ay = uh_torus_wound(fb->at[0], (ptrdiff_t)fa->at[0], h);
    const size_t ax = uh_torus_wound(fb->at[1], (ptrdiff_t)fa->at[1], w);
    const double pr = p->c0[dy] * p->c1[dx] - p->s0[dy] * p->s1[dx];
    const double pi = p->s0[dy] * p->c1[dx] + p->c0[dy] * p->s1[dx];
    const double qr = p->c0[ay] * p->c1[ax] - p->s0[ay] * p->s1[ax];
    const double qi = p->s0[ay] * p->c1[ax] + p->c0[ay] * p->s1[ax];
    /* conj(a) b and a b, summed over places */
    const double hr = (rr + ii) * pr - (ri - ir) * pi;
    const double hi = (rr + ii) * pi + (ri - ir) * pr;
    const double br = (rr - ii) * qr - (ri + ir) * qi;
    const double bi = (rr - ii) * qi + (ri + ir) * qr;
    const double scale =
        sqrt(fa->weight * fb->weight) / (2 * (double)t->places);
    const int ia = q->dim[i] % 2, ib = q->dim[j] % 2;
    return scale * (ia ? ib ? hr - br : bi - hi : ib ? hi + bi : hr + br);
}

static void fields_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct fields *p = context;
    const size_t d = p->q->dims;
    (void)serial;
    for (size_t i = index * 8; i < uh_least(index * 8 + 8, d); i++) {
        for (size_t j = 0; j < d; j++) {
            p->k[i * d + j] = (float)field_product(p, i, j);
        }
    }
}

static const float *field_products(const struct start *q,
                                   const struct uh_torus_face *face,
                                   const double *gram)
{
    const struct uh_torus *t = q->s->torus;
    const size_t h = t->size[0], w = t->size[1];
    double *table = uh_arena_alloc(q->own, 2 * (h + w), sizeof *table);
    double *c0 = table, *s0 = c0 + h, *c1 = s0 + h, *s1 = c1 + w;
    sum_characters(t, face, 0, c0, s0);
    sum_characters(t, face, 1, c1, s1);
    struct fields p = {
        q,
        gram,
        c0,
        s0,
        c1,
        s1,
        uh_arena_alloc_raw(q->own, q->dims * q->dims, sizeof(float))};
    uh_cells(t->pool, uh_parts_of(q->dims, 8), fields_cell, &p);
    return p.k;
}

/* -- the small matrix --------------------------------------------------------------- */

/* Leaves out what depends on vectors before it: a pivot of Cholesky's. */
static size_t independent(size_t n, const double *o, size_t keep[],
                          struct uh_arena *scratch)
{
    const struct uh_mark mark = uh_arena_open(scratch);
    double *l = uh_arena_alloc(scratch, n * n, sizeof *l);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        double *row = l + kept * n, pivot = o[i * n + i];
        for (size_t j = 0; j < kept; j++) {
            row[j] = o[i * n + keep[j]];
        }
        for (size_t j = 0; j < kept; j++) {
            for (size_t k = 0; k < j; k++) {
                row[j] -= l[j * n + k] * row[k];
            }
            row[j] /= l[j * n + j];
        }
        for (size_t j = 0; j < kept; j++) {
            pivot -= row[j] * row[j];
        }
        if (pivot > parallel * o[i * n + i]) {
            row[kept] = sqrt(pivot);
            keep[kept++] = i;
        }
    }
    uh_arena_release(scratch, mark);
    return kept;
}

/* Of the kept ones the rows and columns. */
static double *picked(size_t n, const double *a, size_t kept,
                      const size_t keep[], struct uh_arena *arena)
{
    double *to = uh_arena_alloc_raw(arena, kept * kept, sizeof *to);
    for (size_t i = 0; i < kept; i++) {
        for (size_t j = 0; j < kept; j++) {
            to[i * kept + j] = a[keep[i] * n + keep[j]];
        }
    }
    return to;
}

static void transpose(size_t n, double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            const double swap = a[i * n + j];
            a[i * n + j] = a[j * n + i];
            a[j * n + i] = swap;
        }
    }
}

size_t uh_seek_rayleigh(size_t n, const double *o, const double *h,
                        double *value, double *by, struct uh_arena *arena)
{
    size_t *keep = uh_arena_alloc(arena, n, sizeof *keep);
    const size_t kept = independent(n, o, keep, arena);
    double *l = picked(n, o, kept, keep, arena);
    double *a = picked(n, h, kept, keep, arena);
    double *q = uh_arena_alloc(arena, kept * kept, sizeof *q);
    double *c = uh_arena_alloc(arena, kept, sizeof *c);
    if (!uh_cholesky(kept, l, 0)) {
        return 0;
    }
    for (int pass = 0; pass < 2; pass++) { /* L^-1 a L^-T */
        for (size_t i = 0; i < kept; i++) {
            uh_solve_lower(kept, l, a + i * kept);
        }
        transpose(kept, a);
    }
    uh_eigen_symmetric(kept, a, q);
    memset(by, 0, n * n * sizeof *by);
    for (size_t i = 0; i < kept; i++) {
        size_t top = 0;
        for (size_t j = 0; j < kept; j++) {
            if (a[j * kept + j] > a[top * kept + top]) {
                top = j;
            }
        }
        value[i] = a[top * kept + top];
        a[top * kept + top] = -(double)INFINITY;
        for (size_t j = 0; j < kept; j++) {
            c[j] = q[j * kept + top];
        }
        uh_solve_lower_transposed(kept, l, c);
        for (size_t j = 0; j < kept; j++) {
            by[i * n + keep[j]] = c[j];
        }
    }
    return kept;
}

/* Fields' two matrices, and two Lanczos runs for outer inner at once. */
struct small {
    const struct start *q;
    const float *matrix;
    const double *x[2];
    double *y[2];
};

static void times_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct small *b = context;
    const size_t d = b->q->dims, end = uh_least((index + 1) * STRIP, d);
    (void)serial;
    for (size_t i = index * STRIP; i < end; i += UH_OPNORM_ROWS) {
        const float *rows[UH_OPNORM_ROWS];
        double sum[2][UH_OPNORM_ROWS];
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            rows[r] = b->matrix + (i + r < end ? i + r : i) * d;
        }
        b->q->s->torus->kernel->dots(d, rows, 2, b->x, sum);
        for (size_t r = 0; r < UH_OPNORM_ROWS && i + r < end; r++) {
            b->y[0][i + r] = sum[0][r];
            b->y[1][i + r] = sum[1][r];
        }
    }
}

static void times(const struct start *q, const float *matrix, const double *x0,
                  const double *x1, double *y0, double *y1)
{
    struct small b = {q, matrix, {x0, x1}, {y0, y1}};
    uh_cells(q->s->torus->pool, uh_parts_of(q->dims, STRIP), times_cell, &b);
}

/* Vectors v_j orthonormal for inner: a_j themselves, w = inner a, z = outer w. */
struct small_run {
    double *a, *w, *z; /* (DEEP + 1, dims) */
    double alpha[DEEP], beta[DEEP];
    size_t steps;
};

static void small_step(const struct start *q, struct small_run *r)
{
    const size_t d = q->dims, j = r->steps;
    const struct uh_opnorm_kernel *k = q->s->torus->kernel;
    const double *z = r->z + j * d;
    double *next = r->a + (j + 1) * d;
    memcpy(next, z, d * sizeof *next);
    r->alpha[j] = uh_opnorm_dot(q->s->torus->kernel, d, r->w + j * d, z);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i <= j; i++) {
            k->subtract(
                d, uh_opnorm_dot(q->s->torus->kernel, d, r->w + i * d, next),
                r->a + i * d, next);
        }
    }
    r->steps++;
}

static void small_scale(const struct start *q, struct small_run *r)
{
    const size_t d = q->dims, j = r->steps;
    double *a = r->a + j * d, *w = r->w + j * d;
    const double size =
        sqrt(fmax(0, uh_opnorm_dot(q->s->torus->kernel, d, a, w)));
    for (size_t i = 0; i < d; i++) {
        a[i] = size > 0 ? a[i] / size : 0;
        w[i] = size > 0 ? w[i] / size : 0;
    }
    if (j > 0) {
        r->beta[j - 1] = size;
    }
}

/* The largest eigenvalues of outer inner, and their vectors. */
static void solve_small(struct start *q)
{
    const size_t d = q->dims, deep = uh_least(DEEP, d);
    struct small_run run[2];
    struct uh_stream s = uh_stream_open("%s/torus/start", q->s->stream);
    for (int i = 0; i < 2; i++) {
        run[i].a = uh_arena_alloc(q->own, 3 * (DEEP + 1) * d, sizeof(double));
        run[i].w = run[i].a + (DEEP + 1) * d;
        run[i].z = run[i].w + (DEEP + 1) * d;
        run[i].steps = 0;
        for (size_t k = 0; k < d; k++) {
            run[i].a[k] = uh_stream_normal(&s);
        }
    }
    for (size_t j = 0; j < deep; j++) {
        times(q, q->inner, run[0].a + j * d, run[1].a + j * d, run[0].w + j * d,
              run[1].w + j * d);
        small_scale(q, &run[0]);
        small_scale(q, &run[1]);
        times(q, q->outer, run[0].w + j * d, run[1].w + j * d, run[0].z + j * d,
              run[1].z + j * d);
        small_step(q, &run[0]);
        small_step(q, &run[1]);
    }
    const size_t each = uh_least(UH_SEEK_STARTS, deep), all = 2 * each;
    double *a = uh_arena_alloc(q->own, 3 * all * d, sizeof *a);
    double *w = a + all * d, *z = w + all * d;
    for (size_t i = 0; i < 2; i++) {
        double value[UH_SEEK_STARTS], c[UH_SEEK_STARTS * DEEP];
        struct uh_krylov t = {
            .alpha = run[i].alpha, .beta = run[i].beta, .steps = deep};
        for (size_t k = 0; k < each; k++) {
            value[k] = uh_krylov_value(&t, k);
        }
        uh_krylov_vectors(&t, each, value, c, q->own);
        for (size_t k = 0; k < each * deep; k++) {
            const size_t to = (i * each + k / deep) * d, from = k % deep * d;
            q->s->torus->kernel->subtract(d, -c[k], run[i].a + from, a + to);
            q->s->torus->kernel->subtract(d, -c[k], run[i].w + from, w + to);
            q->s->torus->kernel->subtract(d, -c[k], run[i].z + from, z + to);
        }
    }
    double *o = uh_arena_alloc(q->own, 3 * all * all, sizeof *o);
    double *h = o + all * all, *by = h + all * all, value[2 * UH_SEEK_STARTS];
    for (size_t i = 0; i < all; i++) {
        for (size_t j = 0; j <= i; j++) {
            o[i * all + j] = o[j * all + i] =
                uh_opnorm_dot(q->s->torus->kernel, d, a + i * d, w + j * d);
            h[i * all + j] = h[j * all + i] =
                uh_opnorm_dot(q->s->torus->kernel, d, w + i * d, z + j * d);
        }
    }
    q->s->starts =
        uh_least(each, uh_seek_rayleigh(all, o, h, value, by, q->own));
    q->coordinate = uh_arena_alloc(q->own, each * d, sizeof(double));
    for (size_t i = 0; i < q->s->starts; i++) {
        q->s->guess[i] = value[i];
        for (size_t j = 0; j < all; j++) {
            q->s->torus->kernel->subtract(d, -by[i * all + j], a + j * d,
                                          q->coordinate + i * d);
        }
    }
}

/* From a field to the map's own order. */
static void pick(const struct uh_torus *t, const struct uh_torus_face *face,
                 const double *field, double *x)
{
    for (size_t g = 0; g < t->conv.groups; g++) {
        for (size_t y = 0; y < face->tall; y++) {
            memcpy(x, field + (g * t->places + y * t->size[1]) * face->chans,
                   face->broad * face->chans * sizeof *x);
            x += face->broad * face->chans;
        }
    }
}

/* Start number i, a vector of the layer's input. */
static double *start_of(const struct start *q, size_t i)
{
    const struct uh_torus *t = q->s->torus;
    const struct uh_torus_face *face = t->turned ? &t->large : &t->small;
    const size_t n = face->chans, all = t->conv.groups * t->freqs;
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    double *x = uh_arena_alloc_raw(q->s->own, uh_map_in(t->map), sizeof *x);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *hat = uh_arena_alloc(scratch, all * 2 * n, sizeof *hat);
    double *field = uh_arena_alloc_raw(scratch, t->conv.groups * t->places,
                                       n * sizeof *field);
    for (size_t d = 0; d < q->dims; d++) {
        const size_t a = q->dim[d] / 2;
        const struct uh_seek_pair *pair = &q->pair[a];
        const double *v = t->turned ? q->image + a * 2 * n : pair->vector;
        double *to = hat + (pair->group * t->freqs + pair->f) * 2 * n;
        const double c =
            q->coordinate[i * q->dims + d] / sqrt(t->freq[pair->f].weight);
        if (q->dim[d] % 2) { /* -i v */
            t->kernel->subtract(n, -c, v + n, to);
            t->kernel->subtract(n, c, v, to + n);
        } else {
            t->kernel->subtract(2 * n, -c, v, to);
        }
    }
    uh_torus_back(t, n, hat, field);
    uh_torus_cut(t, face, 1, field);
    pick(t, face, field, x);
    uh_arena_release(scratch, mark);
    return x;
}

void uh_seek_start(struct uh_seek *s)
{
    const struct uh_torus *t = s->torus;
    struct start q = {.s = s, .own = uh_pool_scratch(t->pool)};
    const struct uh_mark mark = uh_arena_open(q.own);
    choose_pairs(&q);
    q.image = uh_seek_images(s, q.pairs, q.pair, q.own);
    const double **at = uh_arena_alloc(q.own, q.pairs, sizeof *at);
    for (size_t i = 0; i < q.pairs; i++) {
        at[i] = q.pair[i].vector;
    }
    struct products r = {&q, 2 * q.pairs, s->n, NULL, at, NULL, NULL};
    all_products(&r);
    q.inner = field_products(&q, &t->small, r.gram);
    r.n = s->m;
    r.at = NULL;
    r.row = q.image;
    all_products(&r);
    q.outer = field_products(&q, &t->large, r.gram);
    solve_small(&q);
    for (size_t i = 0; i < s->starts; i++) {
        s->start[i] = start_of(&q, i);
    }
    uh_arena_release(q.own, mark);
}
