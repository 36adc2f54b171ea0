/* opnorm_map.c: the linear layers as maps, and their products in double.
 *
 * A convolution with stride s becomes one with stride 1 on blocks of s x s
 * pixels; dilation only moves its taps.  So does its transpose, with the taps
 * on the other side, and both are one matrix product over gathered columns.
 */
#include "opnorm_parts.h"

#include "die.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARD = 128,       /* rows of a dense map that are summed into one vector */
    PLACES = 416,      /* columns of a convolution done together */
    HIGH = 192,        /* rows of it */
    ROUGH = 16,        /* columns gathered by one thread */
    SMALL_WORK = 40000 /* products that are not worth a second thread */
};

struct uh_map {
    enum uh_kind kind;
    const struct uh_layer *layer; /* cut down to one window, it may be */
    struct uh_shape image;        /* the whole input, */
    size_t origin[2];             /* and where the cut begins in it */
    const float *scale;
    const struct uh_opnorm_kernel *kernel;
    struct uh_pool *pool;
    size_t in, out;
    double absolute, simple;
    double error, back_error; /* of A x and of A'y, in units of absolute */
    /* convolution */
    size_t groups, taps;
    ptrdiff_t (*tap)[2];  /* from the place made to the place read */
    size_t residues[2];   /* how many of a block's rows, columns are seen */
    size_t *residue[2];   /* which */
    size_t first[2];      /* block of the first pixel */
    unsigned char *valid; /* (grid read, residues): a pixel of the image */
    struct uh_side forth, back; /* A, A' */
    float *rough[2];            /* their weights, (groups, rows, taps chans) */
    /* dense */
    const float *zeros; /* a row */
    double *shard;      /* (UH_MAP_VECTORS, shards, in) */
};

/* -- convolutions --------------------------------------------------------- */

static int compare_sizes(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* The different values of n sizes, ascending; how many. */
static size_t different(size_t n, size_t x[])
{
    size_t kept = 0;
    qsort(x, n, sizeof *x, compare_sizes);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || x[kept - 1] != x[i]) {
            x[kept++] = x[i];
        }
    }
    return kept;
}

static size_t index_of(size_t value, const size_t x[])
{
    size_t i = 0;
    while (x[i] != value) {
        i++;
    }
    return i;
}

/* One axis: kernel place i reads block o + offset[i], row residue[i] of it. */
struct axis {
    size_t offsets, *offset, residues, *residue;
    size_t first, blocks; /* of the image, padding left out */
};

static struct axis axis_of(const struct uh_layer *a, int d, size_t size,
                           struct uh_arena *arena)
{
    const size_t k = a->kernel[d], s = a->stride[d];
    struct axis x = {.offset = uh_arena_alloc(arena, k, sizeof(size_t)),
                     .residue = uh_arena_alloc(arena, k, sizeof(size_t))};
    for (size_t i = 0; i < k; i++) {
        x.offset[i] = i * a->dilation[d] / s;
        x.residue[i] = i * a->dilation[d] % s;
    }
    x.offsets = different(k, x.offset);
    x.residues = different(k, x.residue);
    x.first = a->pad[d] / s;
    x.blocks = (a->pad[d] + size - 1) / s - x.first + 1;
    return x;
}

/* Whether place i of the kernel's axis ever meets a pixel. */
static int meets(const struct uh_layer *a, int d, size_t i)
{
    const size_t size = d ? a->in.width : a->in.height;
    const size_t windows = d ? a->out.width : a->out.height;
    for (size_t o = 0; o < windows; o++) {
        const size_t at = o * a->stride[d] + i * a->dilation[d];
        if (at >= a->pad[d] && at < a->pad[d] + size) {
            return 1;
        }
    }
    return 0;
}

/* The weights by (output, tap, channel of a block), scaled: a product of two
 * floats is exact.  Those that meet no pixel are 0. */
struct spread {
    const struct uh_layer *layer;
    const float *scale;
    size_t size; /* of an output: taps, channels of a block */
    size_t *at;  /* where each weight of the kernel goes; SIZE_MAX: nowhere */
    double *w;
};

static void spread_output(void *context, size_t o, struct uh_pool *serial)
{
    const struct spread *q = context;
    const struct uh_layer *a = q->layer;
    const size_t ins = a->in.channels / a->groups;
    const size_t kernel = a->kernel[0] * a->kernel[1];
    const float *from = a->weight + o * ins * kernel;
    const double scale = q->scale ? (double)q->scale[o] : 1;
    (void)serial;
    for (size_t i = 0; i < kernel; i++) {
        if (q->at[i] != SIZE_MAX) {
            double *to = q->w + o * q->size + q->at[i];
            for (size_t c = 0; c < ins; c++) {
                to[c] = (double)from[c * kernel + i] * scale;
            }
        }
    }
}

static double *spread_weights(const struct uh_map *m, const struct axis axis[2],
                              size_t chans, struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    const size_t ins = a->in.channels / a->groups;
    const size_t kernel = a->kernel[0] * a->kernel[1];
    struct spread q = {a, m->scale, uh_size_mul(m->taps, chans),
                       uh_arena_alloc(arena, kernel, sizeof *q.at), NULL};
    q.w = uh_arena_alloc(arena, uh_size_mul(a->out.channels, q.size),
                         sizeof *q.w);
    for (size_t i = 0; i < kernel; i++) {
        const size_t row = i / a->kernel[1], column = i % a->kernel[1];
        const size_t y = row * a->dilation[0], x = column * a->dilation[1];
        const size_t tap =
            index_of(y / a->stride[0], axis[0].offset) * axis[1].offsets +
            index_of(x / a->stride[1], axis[1].offset);
        const size_t r =
            index_of(y % a->stride[0], axis[0].residue) * axis[1].residues +
            index_of(x % a->stride[1], axis[1].residue);
        q.at[i] = meets(a, 0, row) && meets(a, 1, column)
                      ? tap * chans + r * ins
                      : SIZE_MAX;
    }
    uh_cells(m->pool, a->out.channels, spread_output, &q);
    return q.w;
}

/* Panels of rows for the tiles: entry (row, tap, channel read). */
struct packing {
    const struct uh_side *side;
    size_t taps, high, panels;
    const double *w;
};

static void pack_panel(void *context, size_t index, struct uh_pool *serial)
{
    const struct packing *q = context;
    const struct uh_side *s = q->side;
    const size_t g = index / q->panels, i0 = index % q->panels * q->high;
    const size_t count = uh_least(q->high, s->rows - i0);
    double *to = s->packed + index * q->high * q->taps * s->chans;
    const size_t step = s->back ? 1 : q->taps * s->chans; /* between rows */
    (void)serial;
    for (size_t tap = 0; tap < q->taps; tap++) {
        for (size_t c = 0; c < s->chans; c++, to += q->high) {
            const double *from =
                q->w +
                (s->back ? ((g * s->chans + c) * q->taps + tap) * s->rows + i0
                         : ((g * s->rows + i0) * q->taps + tap) * s->chans + c);
            for (size_t k = 0; k < count; k++) {
                to[k] = from[k * step];
            }
        }
    }
}

static void pack_side(const struct uh_map *m, struct uh_side *s,
                      const double *w, struct uh_arena *arena)
{
    const size_t high = m->kernel->rows, panels = uh_parts_of(s->rows, high);
    s->packed = uh_arena_alloc(
        arena, uh_size_mul(m->groups * panels * high, m->taps * s->chans),
        sizeof *s->packed);
    struct packing q = {s, m->taps, high, panels, w};
    uh_cells(m->pool, m->groups * panels, pack_panel, &q);
}

/* Sums of absolute values and of squares, rounded up. */
static void measure(struct uh_map *m, size_t outs, size_t taps, size_t chans,
                    const double *w, struct uh_arena *arena)
{
    double row = 0, column = 0, square = 0;
    const struct uh_mark mark = uh_arena_open(arena);
    double *sums = uh_arena_alloc(arena, chans, sizeof *sums);
    for (size_t g = 0; g < m->groups; g++) {
        double squares = 0;
        memset(sums, 0, chans * sizeof *sums);
        for (size_t o = 0; o < outs; o++) {
            double sum = 0;
            const double *from = w + (g * outs + o) * taps * chans;
            for (size_t tap = 0; tap < taps; tap++, from += chans) {
                for (size_t c = 0; c < chans; c++) {
                    sum += fabs(from[c]);
                    sums[c] += fabs(from[c]);
                    squares += from[c] * from[c];
                }
            }
            row = fmax(row, sum);
        }
        for (size_t c = 0; c < chans; c++) {
            column = fmax(column, sums[c]);
        }
        square = fmax(square, squares);
    }
    uh_arena_release(arena, mark);
    const double up = 1 + uh_opnorm_gamma((double)(outs * taps * chans + 8));
    m->absolute = sqrt(row * up) * sqrt(column * up) * up;
    m->simple = fmin(m->absolute, sqrt((double)taps * square * up) * up);
}

struct uh_map_conv uh_map_conv(const struct uh_map *m)
{
    return (struct uh_map_conv){.groups = m->groups,
                                .taps = m->taps,
                                .tap = (const ptrdiff_t(*)[2])m->tap,
                                .forth = &m->forth,
                                .back = &m->back,
                                .seen = m->residues[0] * m->residues[1],
                                .valid = m->valid};
}

struct uh_symbol uh_map_symbol(const struct uh_map *m, struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    const struct axis axis[2] = {axis_of(a, 0, a->in.height, arena),
                                 axis_of(a, 1, a->in.width, arena)};
    return (struct uh_symbol){
        .groups = m->groups,
        .outs = m->forth.rows,
        .chans = m->forth.chans,
        .taps = {axis[0].offsets, axis[1].offsets},
        .offset = {axis[0].offset, axis[1].offset},
        .weight = spread_weights(m, axis, m->forth.chans, arena)};
}

static void mark_pixels(struct uh_map *m, const struct axis axis[2],
                        struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    const size_t r0 = axis[0].residues, r1 = axis[1].residues;
    m->valid =
        uh_arena_alloc(arena, axis[0].blocks * axis[1].blocks * r0 * r1, 1);
    for (size_t i = 0; i < axis[0].blocks * axis[1].blocks; i++) {
        const size_t t = i / axis[1].blocks + axis[0].first;
        const size_t u = i % axis[1].blocks + axis[1].first;
        for (size_t r = 0; r < r0 * r1; r++) {
            const size_t y = t * a->stride[0] + axis[0].residue[r / r1];
            const size_t x = u * a->stride[1] + axis[1].residue[r % r1];
            m->valid[i * r0 * r1 + r] =
                y >= a->pad[0] && y < a->pad[0] + a->in.height &&
                x >= a->pad[1] && x < a->pad[1] + a->in.width;
        }
    }
}

static void make_conv(struct uh_map *m, struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    const struct axis axis[2] = {axis_of(a, 0, a->in.height, arena),
                                 axis_of(a, 1, a->in.width, arena)};
    const size_t outs = a->out.channels / a->groups;
    const size_t seen = axis[0].residues * axis[1].residues;
    const size_t chans = seen * (a->in.channels / a->groups);
    m->groups = a->groups;
    m->taps = axis[0].offsets * axis[1].offsets;
    m->tap = uh_arena_alloc(arena, m->taps, sizeof *m->tap);
    for (size_t t = 0; t < m->taps; t++) {
        m->tap[t][0] = (ptrdiff_t)axis[0].offset[t / axis[1].offsets] -
                       (ptrdiff_t)axis[0].first;
        m->tap[t][1] = (ptrdiff_t)axis[1].offset[t % axis[1].offsets] -
                       (ptrdiff_t)axis[1].first;
    }
    for (int d = 0; d < 2; d++) {
        m->residues[d] = axis[d].residues;
        m->residue[d] = axis[d].residue;
        m->first[d] = axis[d].first;
    }
    mark_pixels(m, axis, arena);
    m->forth = (struct uh_side){.rows = outs,
                                .chans = chans,
                                .high = a->out.height,
                                .wide = a->out.width,
                                .tall = axis[0].blocks,
                                .broad = axis[1].blocks};
    m->back = (struct uh_side){.rows = chans,
                               .chans = outs,
                               .high = axis[0].blocks,
                               .wide = axis[1].blocks,
                               .tall = a->out.height,
                               .broad = a->out.width,
                               .back = 1};
    struct uh_arena *scratch = uh_pool_scratch(m->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const double *w = spread_weights(m, axis, chans, scratch);
    pack_side(m, &m->forth, w, arena);
    pack_side(m, &m->back, w, arena);
    measure(m, outs, m->taps, chans, w, scratch);
    uh_arena_release(scratch, mark);
    m->in = m->groups * chans * axis[0].blocks * axis[1].blocks;
    m->out = uh_shape_size(a->out);
    m->error = uh_opnorm_chain(m->taps * chans);
    m->back_error = uh_opnorm_chain(m->taps * outs);
}

/* -- their products -------------------------------------------------------- */

struct product {
    const struct uh_map *map;
    const struct uh_side *side;
    const double *const *x; /* of each vector */
    double *const *y;
    size_t group, count;  /* now; vectors */
    size_t tiers, strips; /* how rows, and all vectors' places, are cut */
};

/* Where the place that a tap of place number j reads begins among the places
 * read; 0: in the padding. */
static int reads(const struct uh_map *m, const struct uh_side *s, size_t j,
                 size_t tap, size_t *at)
{
    const ptrdiff_t *by = m->tap[tap];
    /* below 0 is far above, too */
    const size_t y = j / s->wide + (s->back ? -(size_t)by[0] : (size_t)by[0]);
    const size_t x = j % s->wide + (s->back ? -(size_t)by[1] : (size_t)by[1]);
    *at = (y * s->broad + x) * s->chans;
    return y < s->tall && x < s->broad;
}

static void gather(const void *context, size_t j, size_t p, size_t k,
                   double *to)
{
    const struct product *q = context;
    const struct uh_side *s = q->side;
    const size_t places = s->high * s->wide;
    const double *from =
        q->x[j / places] + q->group * s->tall * s->broad * s->chans;
    while (k > 0) {
        const size_t c = p % s->chans, n = uh_least(k, s->chans - c);
        size_t at;
        if (reads(q->map, s, j % places, p / s->chans, &at)) {
            memcpy(to, from + at + c, n * sizeof *to);
        } else {
            memset(to, 0, n * sizeof *to);
        }
        to += n;
        p += n;
        k -= n;
    }
}

/* One group's rows of a tier at the places of a strip. */
static void product_cell(void *context, size_t index, struct uh_pool *serial)
{
    struct product q = *(const struct product *)context;
    const struct uh_map *m = q.map;
    const struct uh_side *s = q.side;
    const size_t high = m->kernel->rows, panels = uh_parts_of(s->rows, high);
    const size_t depth = m->taps * s->chans, image = s->high * s->wide;
    const size_t places = image * q.count, g = index / (q.tiers * q.strips);
    const size_t tier = index / q.strips % q.tiers, strip = index % q.strips;
    const size_t i0 = panels * tier / q.tiers;
    const size_t i1 = panels * (tier + 1) / q.tiers;
    const size_t j0 = places * strip / q.strips;
    const size_t j1 = places * (strip + 1) / q.strips;
    if (i0 == i1 || j0 == j1) {
        return;
    }
    const size_t ldc = (i1 - i0) * high;
    double *c =
        uh_arena_alloc(uh_pool_scratch(serial), ldc * (j1 - j0), sizeof *c);
    q.group = g;
    uh_opnorm_multiply(m->kernel, depth, depth,
                       s->packed + g * panels * high * depth, i0, i1, j0, j1,
                       gather, &q, c, ldc);
    const size_t rows = uh_least(s->rows, i1 * high) - i0 * high;
    for (size_t j = j0; j < j1; j++) {
        memcpy(q.y[j / image] + (g * image + j % image) * s->rows + i0 * high,
               c + (j - j0) * ldc, rows * sizeof *c);
    }
}

static void convolve(const struct uh_map *m, const struct uh_side *s,
                     size_t count, const double *const x[], double *const y[])
{
    const size_t places = count * s->high * s->wide;
    const size_t threads = uh_pool_threads(m->pool);
    const size_t panels = uh_parts_of(s->rows, m->kernel->rows);
    struct product q = {m,
                        s,
                        x,
                        y,
                        0,
                        count,
                        uh_parts_of(s->rows, HIGH),
                        uh_parts_of(places, PLACES)};
    const double work = (double)m->groups * (double)places * (double)s->rows *
                        (double)(m->taps * s->chans);
    if (work < (double)SMALL_WORK) {
        const size_t cells = m->groups * q.tiers * q.strips;
        struct uh_arena *scratch = uh_pool_scratch(m->pool);
        for (size_t i = 0; i < cells; i++) {
            const struct uh_mark mark = uh_arena_open(scratch);
            product_cell(&q, i, m->pool);
            uh_arena_release(scratch, mark);
        }
        return;
    }
    if (m->groups * q.tiers * q.strips < 4 * threads) {
        q.tiers = uh_least(panels, uh_parts_of(q.tiers, threads) * threads);
    }
    uh_cells(m->pool, m->groups * q.tiers * q.strips, product_cell, &q);
}

static void hide_padding(const struct uh_map *m, double *x)
{
    const size_t seen = m->residues[0] * m->residues[1];
    const size_t ins = m->forth.chans / seen;
    const size_t places = m->forth.tall * m->forth.broad;
    if (seen == 1 && m->layer->stride[0] == 1 && m->layer->stride[1] == 1) {
        return;
    }
    for (size_t g = 0; g < m->groups; g++) {
        for (size_t i = 0; i < places * seen; i++, x += ins) {
            if (!m->valid[i]) {
                memset(x, 0, ins * sizeof *x);
            }
        }
    }
}

/* -- dense ------------------------------------------------------------------- */

/* Sums of the absolute values of a dense map's weights, by shards of rows: of
 * each column, and the largest of a row; and of their squares. */
struct weighed {
    struct uh_map *map; /* columns go to the shards, free until a product */
    double *row, *square;
};

static void weigh_shard(void *context, size_t index, struct uh_pool *serial)
{
    const struct weighed *q = context;
    const struct uh_map *m = q->map;
    double *column = m->shard + index * m->in;
    double ones[UH_OPNORM_SEGMENT], w[UH_OPNORM_SEGMENT];
    (void)serial;
    for (size_t i = 0; i < UH_OPNORM_SEGMENT; i++) {
        ones[i] = 1;
    }
    for (size_t o = index * SHARD; o < uh_least((index + 1) * SHARD, m->out);
         o++) {
        const float *row = m->layer->weight + o * m->in;
        const double scale = m->scale ? fabs((double)m->scale[o]) : 1;
        double sum = 0;
        for (size_t at = 0; at < m->in; at += UH_OPNORM_SEGMENT) {
            const size_t n = uh_least(UH_OPNORM_SEGMENT, m->in - at);
            for (size_t i = 0; i < n; i++) {
                w[i] = fabs((double)row[at + i]) * scale;
            }
            sum += m->kernel->dot(n, ones, w);
            q->square[index] += m->kernel->dot(n, w, w);
            m->kernel->subtract(n, -1, w, column + at);
        }
        q->row[index] = fmax(q->row[index], sum);
    }
}

static void make_dense(struct uh_map *m, struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    m->in = a->in.channels;
    m->out = a->out.channels;
    m->groups = 1;
    m->zeros = uh_arena_alloc(arena, m->in, sizeof(float));
    const size_t shards = uh_parts_of(m->out, SHARD);
    m->shard = uh_arena_alloc(
        arena, uh_size_mul(UH_MAP_VECTORS * shards, m->in), sizeof *m->shard);
    struct weighed q = {m, uh_arena_alloc(arena, shards, sizeof *q.row),
                        uh_arena_alloc(arena, shards, sizeof *q.square)};
    uh_cells(m->pool, shards, weigh_shard, &q);
    double row = 0, column = 0, square = 0;
    for (size_t s = 0; s < shards; s++) {
        row = fmax(row, q.row[s]);
        square += q.square[s];
    }
    for (size_t i = 0; i < m->in; i++) {
        double sum = 0;
        for (size_t s = 0; s < shards; s++) {
            sum += m->shard[s * m->in + i];
        }
        column = fmax(column, sum);
    }
    const double up = 1 + uh_opnorm_gamma((double)m->in * (double)m->out + 8);
    m->absolute =
        fmin(sqrt(row * up) * sqrt(column * up), sqrt(square * up)) * up;
    m->simple = m->absolute;
    const size_t terms = UH_OPNORM_SEGMENT / 16 + 8 + m->in / UH_OPNORM_SEGMENT;
    m->error = uh_opnorm_gamma((double)terms);
    m->back_error = uh_opnorm_gamma((double)(SHARD + 4 + shards));
}

struct dense {
    const struct uh_map *map;
    size_t count; /* vectors */
    const double *const *x;
    double *const *y, *const *z; /* z NULL: A x alone */
};

static void rows_of(const struct uh_map *m, size_t o,
                    const float *rows[UH_OPNORM_ROWS])
{
    for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
        rows[r] =
            o + r < m->out ? m->layer->weight + (o + r) * m->in : m->zeros;
    }
}

static double scale_of(const struct uh_map *m, size_t o)
{
    return m->scale ? (double)m->scale[o] : 1;
}

static double *shard_of(const struct uh_map *m, size_t v, size_t index)
{
    return m->shard + (v * uh_parts_of(m->out, SHARD) + index) * m->in;
}

/* A few rows at a time: what they give with two vectors, and at once, while they
 * are in the cache, what they give back. */
static void dense_rows(const struct dense *d, size_t v, size_t index, size_t o,
                       size_t end, const float *const rows[UH_OPNORM_ROWS])
{
    const struct uh_map *m = d->map;
    const size_t count = uh_least(2, d->count - v);
    double t[2][UH_OPNORM_ROWS];
    m->kernel->dots(m->in, rows, count, d->x + v, t);
    for (size_t i = 0; i < count; i++) {
        for (size_t r = 0; r < UH_OPNORM_ROWS && o + r < end; r++) {
            const double y = t[i][r] * scale_of(m, o + r);
            d->y[v + i][o + r] = y;
            t[i][r] = y * scale_of(m, o + r);
        }
    }
    if (d->z) {
        double *const z[2] = {shard_of(m, v, index),
                              shard_of(m, v + count - 1, index)};
        m->kernel->spread(m->in, rows, count,
                          (const double(*)[UH_OPNORM_ROWS])t, z);
    }
}

static void dense_shard(void *context, size_t index, struct uh_pool *serial)
{
    const struct dense *d = context;
    const struct uh_map *m = d->map;
    const size_t end = uh_least((index + 1) * SHARD, m->out);
    (void)serial;
    for (size_t v = 0; d->z && v < d->count; v++) {
        memset(shard_of(m, v, index), 0, m->in * sizeof(double));
    }
    for (size_t o = index * SHARD; o < end; o += UH_OPNORM_ROWS) {
        const float *rows[UH_OPNORM_ROWS];
        rows_of(m, o, rows);
        for (size_t v = 0; v < d->count; v += 2) {
            dense_rows(d, v, index, o, end, rows);
        }
    }
}

static void dense_sum(void *context, size_t index, struct uh_pool *serial)
{
    const struct dense *d = context;
    const struct uh_map *m = d->map;
    const size_t at = index * UH_OPNORM_SEGMENT;
    const size_t n = uh_least(UH_OPNORM_SEGMENT, m->in - at);
    (void)serial;
    for (size_t v = 0; v < d->count; v++) {
        double *z = d->z[v] + at;
        memcpy(z, shard_of(m, v, 0) + at, n * sizeof *z);
        for (size_t s = 1; s < uh_parts_of(m->out, SHARD); s++) {
            m->kernel->subtract(n, -1, shard_of(m, v, s) + at, z);
        }
    }
}

static void dense_product(const struct uh_map *m, size_t count,
                          const double *const x[], double *const y[],
                          double *const z[])
{
    struct dense d = {m, count, x, y, z};
    uh_cells(m->pool, uh_parts_of(m->out, SHARD), dense_shard, &d);
    if (z) {
        uh_cells(m->pool, uh_parts_of(m->in, UH_OPNORM_SEGMENT), dense_sum, &d);
    }
}

/* -- mean pooling: one channel, all are alike -------------------------------------- */

/* Where a window of the axis begins and ends in the image, and its length in
 * the padded one, as layer_pool.h divides. */
struct window {
    size_t from, to, length;
};

static struct window window_of(const struct uh_layer *a, int d, size_t o,
                               size_t size)
{
    const size_t low = o * a->stride[d], pad = a->pad[d];
    const size_t high = uh_least(low + a->kernel[d], size + 2 * pad);
    return (struct window){low > pad ? low - pad : 0,
                           high > pad ? uh_least(high - pad, size) : 0,
                           high - low};
}

static void mean_product(const struct uh_map *m, int back, const double *x,
                         double *y)
{
    const struct uh_layer *a = m->layer;
    const size_t wide = a->in.width;
    memset(y, 0, (back ? m->in : m->out) * sizeof *y);
    for (size_t o = 0; o < m->out; o++) {
        const struct window h = window_of(a, 0, o / a->out.width, a->in.height);
        const struct window v = window_of(a, 1, o % a->out.width, wide);
        const double count = (double)(h.length * v.length);
        const double given = back ? x[o] / count : 0;
        double sum = 0;
        for (size_t i = h.from; i < h.to; i++) {
            for (size_t j = v.from; j < v.to; j++) {
                if (back) {
                    y[i * wide + j] += given;
                } else {
                    sum += x[i * wide + j];
                }
            }
        }
        if (!back) {
            y[o] = sum / count;
        }
    }
}

static void make_mean(struct uh_map *m, struct uh_arena *arena)
{
    const struct uh_layer *a = m->layer;
    m->in = a->in.height * a->in.width;
    m->out = a->out.height * a->out.width;
    m->groups = 1;
    struct uh_mark mark = uh_arena_open(arena);
    double *x = uh_arena_alloc(arena, m->in + m->out, sizeof *x), most = 0;
    double *y = x + m->in;
    for (size_t i = 0; i < m->out; i++) {
        y[i] = 1;
    }
    mean_product(m, 1, y, x); /* sums of columns; those of rows are at most 1 */
    for (size_t i = 0; i < m->in; i++) {
        most = fmax(most, x[i]);
    }
    uh_arena_release(arena, mark);
    const size_t terms = a->kernel[0] * a->kernel[1] + 4;
    m->error = m->back_error = uh_opnorm_gamma((double)terms);
    m->simple = m->absolute = sqrt(most) * (1 + uh_opnorm_gamma((double)terms));
}

/* -- maps ----------------------------------------------------------------------------- */

/* A convolution whose windows do not overlap along an axis, cut down to the
 * first window there that has no padding. */
static const struct uh_layer *cut(const struct uh_layer *whole,
                                  size_t origin[2], struct uh_arena *arena)
{
    struct uh_layer *a = uh_arena_alloc(arena, 1, sizeof *a);
    *a = *whole;
    for (int d = 0; d < 2; d++) {
        size_t *in = d ? &a->in.width : &a->in.height;
        size_t *out = d ? &a->out.width : &a->out.height;
        const size_t length = (a->kernel[d] - 1) * a->dilation[d] + 1;
        const size_t first = uh_parts_of(a->pad[d], a->stride[d]);
        const size_t from = first * a->stride[d] - a->pad[d];
        if (length > a->stride[d] || first >= *out || from + length > *in) {
            continue;
        }
        origin[d] = from;
        *in = length;
        *out = 1;
        a->pad[d] = 0;
    }
    return a;
}

struct uh_map *uh_map_of(const struct uh_layer *layer, const float *scale,
                         int whole, struct uh_pool *pool,
                         struct uh_arena *arena)
{
    struct uh_map *m = uh_arena_alloc(arena, 1, sizeof *m);
    m->kind = layer->kind;
    m->image = layer->in;
    if (layer->kind == UH_CONV && !whole) {
        layer = cut(layer, m->origin, arena);
    }
    m->layer = layer;
    m->scale = scale;
    m->pool = pool;
    m->kernel = uh_opnorm_kernel_of(uh_kernel_choice());
    switch (layer->kind) {
    case UH_DENSE:
        make_dense(m, arena);
        break;
    case UH_CONV:
        make_conv(m, arena);
        break;
    case UH_MEANPOOL:
        make_mean(m, arena);
        break;
    default:
        uh_broken_contract(__func__, "the layer is a matrix", "%s",
                           uh_kind_word(layer->kind));
    }
    return m;
}

static void apply(const struct uh_map *m, size_t count, const double *const x[],
                  double *const y[])
{
    if (m->kind == UH_CONV) {
        convolve(m, &m->forth, count, x, y);
        return;
    }
    if (m->kind == UH_DENSE) {
        dense_product(m, count, x, y, NULL);
        return;
    }
    for (size_t v = 0; v < count; v++) {
        mean_product(m, 0, x[v], y[v]);
    }
}

void uh_map_apply(const struct uh_map *m, const double *x, double *y)
{
    apply(m, 1, &x, &y);
}

void uh_map_grams(const struct uh_map *m, size_t count, const double *const x[],
                  double *const y[], double *const z[])
{
    UH_REQUIRE(count <= UH_MAP_VECTORS, "%zu", count);
    if (m->kind == UH_DENSE) {
        dense_product(m, count, x, y, z);
        return;
    }
    apply(m, count, x, y);
    if (m->kind == UH_CONV) {
        convolve(m, &m->back, count, (const double *const *)y, z);
    }
    for (size_t v = 0; v < count; v++) {
        if (m->kind == UH_CONV) {
            hide_padding(m, z[v]);
        } else {
            mean_product(m, 1, y[v], z[v]);
        }
    }
}

double uh_map_gain_square(const struct uh_map *m, const double *x, double *y)
{
    uh_map_apply(m, x, y);
    const double from = uh_opnorm_length(m->kernel, m->in, x);
    const double to = uh_opnorm_length(m->kernel, m->out, y);
    return from > 0 ? to / from * (to / from) : 0;
}

void uh_map_gram(const struct uh_map *m, const double *x, double *y, double *z)
{
    uh_map_grams(m, 1, &x, &y, &z);
}

/* -- rough products --------------------------------------------------------------- */

static float *rough_weights(const struct uh_map *m, const struct uh_side *s,
                            struct uh_arena *arena)
{
    const size_t depth = m->taps * s->chans, high = m->kernel->rows;
    const size_t panels = uh_parts_of(s->rows, high);
    float *w = uh_arena_alloc_raw(
        arena, uh_size_mul(m->groups * s->rows, depth), sizeof *w);
    for (size_t i = 0; i < m->groups * s->rows; i++) {
        const size_t g = i / s->rows, row = i % s->rows;
        const double *from =
            s->packed + (g * panels + row / high) * high * depth + row % high;
        for (size_t p = 0; p < depth; p++) {
            w[i * depth + p] = (float)from[p * high];
        }
    }
    return w;
}

int uh_map_roughen(struct uh_map *m, struct uh_arena *arena)
{
    if (m->kind != UH_CONV || !(m->absolute > 0x1p-40) ||
        !(m->absolute < 0x1p40)) {
        return 0;
    }
    m->rough[0] = rough_weights(m, &m->forth, arena);
    m->rough[1] = rough_weights(m, &m->back, arena);
    return 1;
}

/* Vectors lie (groups, vectors, places, channels). */
struct rough {
    const struct uh_map *map;
    const struct uh_side *side;
    size_t group, count;
    const float *x;
    float *column; /* (vectors, places, taps chans) */
};

static void rough_gather(void *context, size_t index, struct uh_pool *serial)
{
    const struct rough *r = context;
    const struct uh_side *s = r->side;
    const size_t depth = r->map->taps * s->chans, places = s->high * s->wide;
    const size_t end = uh_least((index + 1) * ROUGH, r->count * places);
    (void)serial;
    for (size_t j = index * ROUGH; j < end; j++) {
        const float *from = r->x + (r->group * r->count + j / places) *
                                       s->tall * s->broad * s->chans;
        float *to = r->column + j * depth;
        for (size_t t = 0; t < r->map->taps; t++, to += s->chans) {
            size_t at;
            if (reads(r->map, s, j % places, t, &at)) {
                memcpy(to, from + at, s->chans * sizeof *to);
            } else {
                memset(to, 0, s->chans * sizeof *to);
            }
        }
    }
}

static void rough_product(const struct uh_map *m, int back, size_t count,
                          const float *x, float *y)
{
    struct uh_arena *scratch = uh_pool_scratch(m->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const struct uh_side *s = back ? &m->back : &m->forth;
    const size_t depth = m->taps * s->chans;
    const size_t places = count * s->high * s->wide;
    struct rough r = {m, s, 0, count, x, NULL};
    r.column = uh_arena_alloc_raw(scratch, places, depth * sizeof(float));
    for (; r.group < m->groups; r.group++) {
        uh_cells(m->pool, uh_parts_of(places, ROUGH), rough_gather, &r);
        uh_sgemm(m->pool, UH_NT, places, s->rows, depth, r.column, depth,
                 m->rough[back] + r.group * s->rows * depth, depth,
                 UH_FROM_ZERO, y + r.group * places * s->rows, s->rows);
    }
    uh_arena_release(scratch, mark);
}

void uh_map_grams_rough(const struct uh_map *m, size_t count,
                        const double *const x[], double *const z[])
{
    struct uh_arena *scratch = uh_pool_scratch(m->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    float *from = uh_arena_alloc_raw(scratch, count, m->in * sizeof *from);
    float *y = uh_arena_alloc_raw(scratch, count, m->out * sizeof *y);
    const size_t each = m->in / m->groups;
    for (size_t k = 0; k < count * m->groups; k++) {
        const double *at = x[k % count] + k / count * each;
        for (size_t i = 0; i < each; i++) {
            from[k * each + i] = (float)at[i];
        }
    }
    rough_product(m, 0, count, from, y);
    rough_product(m, 1, count, y, from);
    for (size_t k = 0; k < count * m->groups; k++) {
        double *to = z[k % count] + k / count * each;
        for (size_t i = 0; i < each; i++) {
            to[i] = (double)from[k * each + i];
        }
    }
    uh_arena_release(scratch, mark);
    for (size_t v = 0; v < count; v++) {
        hide_padding(m, z[v]);
    }
}

/* Visits the pixels of the layer's input that the map has. */
static void exchange(const struct uh_map *m, double *own, double *layers,
                     int inwards)
{
    const struct uh_layer *a = m->layer;
    if (m->kind != UH_CONV) {
        memcpy(inwards ? own : layers, inwards ? layers : own,
               m->in * sizeof *own);
        return;
    }
    const size_t r1 = m->residues[1], seen = m->residues[0] * r1;
    const size_t ins = m->forth.chans / seen, wide = m->forth.broad;
    const size_t plane = m->image.height * m->image.width;
    const size_t places = m->forth.tall * wide;
    for (size_t at = 0; at < m->groups * places * seen; at++) {
        const size_t g = at / (places * seen), i = at / seen % places;
        const size_t r = at % seen;
        if (!m->valid[i * seen + r]) {
            continue;
        }
        const size_t y = (i / wide + m->first[0]) * a->stride[0] +
                         m->residue[0][r / r1] - a->pad[0] + m->origin[0];
        const size_t x = (i % wide + m->first[1]) * a->stride[1] +
                         m->residue[1][r % r1] - a->pad[1] + m->origin[1];
        for (size_t c = 0; c < ins; c++) {
            double *there =
                layers + (g * ins + c) * plane + y * m->image.width + x;
            double *here = own + at * ins + c;
            *(inwards ? here : there) = inwards ? *there : *here;
        }
    }
}

void uh_map_import(const struct uh_map *m, const double *v, double *x)
{
    memset(x, 0, m->in * sizeof *x);
    exchange(m, x, (double *)(size_t)v, 1);
}

void uh_map_export(const struct uh_map *m, const double *x, double *v)
{
    memset(v, 0, uh_shape_size(m->image) * sizeof *v);
    exchange(m, (double *)(size_t)x, v, 0);
}

size_t uh_map_in(const struct uh_map *m)
{
    return m->in;
}

size_t uh_map_out(const struct uh_map *m)
{
    return m->out;
}

double uh_map_absolute(const struct uh_map *m)
{
    return m->absolute;
}

double uh_map_simple(const struct uh_map *m)
{
    return m->simple;
}

double uh_map_error(const struct uh_map *m)
{
    return m->error;
}

/* A'(A x + e) + e': |A'e| and |e'| each, and a little for their product. */
double uh_map_gram_error(const struct uh_map *m)
{
    return (m->error + m->back_error) * (1 + 1e-6);
}

const struct uh_opnorm_kernel *uh_map_kernel(const struct uh_map *m)
{
    return m->kernel;
}

struct uh_pool *uh_map_pool(const struct uh_map *m)
{
    return m->pool;
}
