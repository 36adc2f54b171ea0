/* opnorm_torus.c: a convolution on a torus, and what that proves of it. */
#include "opnorm_parts.h"

#include "die.h"
#include "fmath.h"

#include <math.h>
#include <string.h>

enum {
    STRIP = 256,   /* places done together, */
    TIER = 192,    /* and rows */
    BAND = 96,     /* columns of a lag's matrix */
    BLOCK = 13,    /* columns of a factor found together */
    FRACTION = 400 /* products of the layer that a torus may cost at most */
};

/* -- the torus -------------------------------------------------------------- */

/* i = o + tap + N for a place o made and a place i read would be a neighbor
 * that the layer has not; no multiple of N is a difference i - o - tap. */
static size_t size_of(const struct uh_map_conv *c, int d)
{
    const struct uh_side *s = c->forth;
    const ptrdiff_t made = (ptrdiff_t)(d ? s->wide : s->high);
    const ptrdiff_t read = (ptrdiff_t)(d ? s->broad : s->tall);
    ptrdiff_t most = made > read ? made : read;
    for (size_t t = 0; t < c->taps; t++) {
        const ptrdiff_t tap = c->tap[t][d];
        most = made + tap > most ? made + tap : most;
        most = read - tap > most ? read - tap : most;
    }
    return (size_t)most;
}

static struct uh_torus_face face_of(const struct uh_torus *t, int output,
                                    struct uh_arena *arena)
{
    const struct uh_side *s = t->conv.forth;
    struct uh_torus_face face = {
        output ? s->rows : s->chans, output ? 1 : t->conv.seen, NULL,
        output ? s->high : s->tall, output ? s->wide : s->broad};
    face.inside = uh_arena_alloc(arena, t->places * face.blocks, 1);
    for (size_t y = 0; y < face.tall; y++) {
        for (size_t x = 0; x < face.broad; x++) {
            unsigned char *to =
                face.inside + (y * t->size[1] + x) * face.blocks;
            if (output) {
                *to = 1;
            } else {
                memcpy(to, t->conv.valid + (y * face.broad + x) * face.blocks,
                       face.blocks);
            }
        }
    }
    return face;
}

static void list_frequencies(struct uh_torus *t, struct uh_arena *arena)
{
    const size_t h = t->size[0], w = t->size[1];
    t->freq = uh_arena_alloc(arena, h * (w / 2 + 1), sizeof *t->freq);
    for (size_t x = 0; x <= w / 2; x++) {
        for (size_t y = 0; y < h; y++) {
            const int single = x == 0 || 2 * x == w;
            const size_t mirror = (h - y) % h;
            if (single && mirror < y) {
                continue;
            }
            t->freq[t->freqs++] =
                (struct uh_frequency){{y, x}, single && mirror == y ? 1 : 2};
        }
    }
}

static void list_lags(struct uh_torus *t, struct uh_arena *arena)
{
    const size_t taps = t->conv.taps;
    t->lag = uh_arena_alloc(arena, taps * taps / 2 + 1, sizeof *t->lag);
    t->lags = 1;
    for (size_t i = 0; i < taps; i++) {
        for (size_t j = 0; j < taps; j++) {
            const ptrdiff_t y = t->conv.tap[j][0] - t->conv.tap[i][0];
            const ptrdiff_t x = t->conv.tap[j][1] - t->conv.tap[i][1];
            size_t k = 0;
            while (k < t->lags && (t->lag[k][0] != y || t->lag[k][1] != x)) {
                k++;
            }
            if (k == t->lags && (y > 0 || (y == 0 && x > 0))) {
                t->lag[k][0] = y;
                t->lag[k][1] = x;
                t->lags++;
            }
        }
    }
}

static void tabulate(struct uh_torus *t, struct uh_arena *arena)
{
    for (int d = 0; d < 2; d++) {
        const size_t n = t->size[d];
        t->cos[d] = uh_arena_alloc(arena, n, sizeof(double));
        t->sin[d] = uh_arena_alloc(arena, n, sizeof(double));
        for (size_t k = 0; k < n; k++) {
            const double angle = 0x1.921fb54442d18p+2 * (double)k / (double)n;
            t->cos[d][k] = uh_cos(angle);
            t->sin[d][k] = uh_sin(angle);
        }
    }
}

struct uh_torus *uh_torus_of(const struct uh_map *map, struct uh_arena *arena)
{
    struct uh_torus *t = uh_arena_alloc(arena, 1, sizeof *t);
    t->map = map;
    t->kernel = uh_map_kernel(map);
    t->pool = uh_map_pool(map);
    t->conv = uh_map_conv(map);
    const struct uh_map_conv *c = &t->conv;
    t->turned = c->forth->rows < c->forth->chans;
    t->to = t->turned ? c->back : c->forth;
    t->from = t->turned ? c->forth : c->back;
    for (int d = 0; d < 2; d++) {
        t->size[d] = size_of(c, d);
    }
    t->places = t->size[0] * t->size[1];
    const double n = (double)t->from->rows, m = (double)t->to->rows;
    const double places = (double)t->places, taps = (double)c->taps;
    const double product = (double)uh_map_out(map) * taps *
                           (double)c->forth->chans / (double)c->groups;
    const double cost = places / 2 * n * n * (3 * n + 2 * taps + 64) +
                        taps * taps / 2 * n * n * m;
    if (taps == 1 || taps > 128 || places > 0x1p18 ||
        cost > FRACTION * product ||
        2 * taps * n * n > 0x1p25 / (double)c->groups) {
        return NULL;
    }
    t->small = face_of(t, t->turned, arena);
    t->large = face_of(t, !t->turned, arena);
    list_frequencies(t, arena);
    list_lags(t, arena);
    tabulate(t, arena);
    return t;
}

void uh_torus_cut(const struct uh_torus *t, const struct uh_torus_face *face,
                  int keep, double *x)
{
    const size_t length = face->chans / face->blocks;
    for (size_t g = 0; g < t->conv.groups; g++) {
        for (size_t i = 0; i < t->places * face->blocks; i++, x += length) {
            if (face->inside[i] != keep) {
                memset(x, 0, length * sizeof *x);
            }
        }
    }
}

/* -- D and D' ------------------------------------------------------------------- */

struct winding {
    const struct uh_torus *t;
    const struct uh_side *side;
    const size_t *list;
    size_t count, group, tiers, strips; /* how rows and places are cut */
    const double *x;
    double *y;
};

size_t uh_torus_wound(size_t at, ptrdiff_t by, size_t size)
{
    const ptrdiff_t n = (ptrdiff_t)size, to = (ptrdiff_t)at + by;
    return (size_t)(to < 0 ? to + n : to >= n ? to - n : to);
}

static void gather(const void *context, size_t j, size_t p, size_t k,
                   double *to)
{
    const struct winding *q = context;
    const struct uh_torus *t = q->t;
    const size_t chans = q->side->chans, place = q->list ? q->list[j] : j;
    const double *from = q->x + q->group * t->places * chans;
    while (k > 0) {
        const ptrdiff_t *tap = t->conv.tap[p / chans];
        const size_t c = p % chans, n = uh_least(k, chans - c);
        const int sign = q->side->back ? -1 : 1;
        const size_t y =
            uh_torus_wound(place / t->size[1], sign * tap[0], t->size[0]);
        const size_t x =
            uh_torus_wound(place % t->size[1], sign * tap[1], t->size[1]);
        memcpy(to, from + (y * t->size[1] + x) * chans + c, n * sizeof *to);
        to += n;
        p += n;
        k -= n;
    }
}

static void wind_cell(void *context, size_t index, struct uh_pool *serial)
{
    struct winding q = *(const struct winding *)context;
    const struct uh_torus *t = q.t;
    const struct uh_side *s = q.side;
    const size_t high = t->kernel->rows, panels = uh_parts_of(s->rows, high);
    const size_t depth = t->conv.taps * s->chans;
    const size_t tier = index / q.strips % q.tiers, strip = index % q.strips;
    const size_t i0 = panels * tier / q.tiers;
    const size_t i1 = panels * (tier + 1) / q.tiers, ldc = (i1 - i0) * high;
    const size_t j0 = q.count * strip / q.strips;
    const size_t j1 = q.count * (strip + 1) / q.strips;
    q.group = index / (q.tiers * q.strips);
    double *c =
        uh_arena_alloc(uh_pool_scratch(serial), ldc * (j1 - j0), sizeof *c);
    uh_opnorm_multiply(t->kernel, depth, depth,
                       s->packed + q.group * panels * high * depth, i0, i1, j0,
                       j1, gather, &q, c, ldc);
    const size_t rows = uh_least(s->rows, i1 * high) - i0 * high;
    for (size_t j = j0; j < j1; j++) {
        const size_t place = q.list ? q.list[j] : j;
        memcpy(q.y + (q.group * t->places + place) * s->rows + i0 * high,
               c + (j - j0) * ldc, rows * sizeof *c);
    }
}

void uh_torus_apply(const struct uh_torus *t, const struct uh_side *side,
                    const size_t *list, size_t count, const double *x,
                    double *y)
{
    struct winding q = {.t = t, .side = side, .list = list, .x = x, .y = y};
    const size_t panels = uh_parts_of(side->rows, t->kernel->rows);
    q.count = list ? count : t->places;
    q.strips = uh_parts_of(q.count, STRIP);
    const size_t threads = uh_pool_threads(t->pool);
    q.tiers =
        uh_least(panels, uh_parts_of(side->rows, TIER * threads) * threads);
    uh_cells(t->pool, t->conv.groups * q.tiers * q.strips, wind_cell, &q);
}

/* -- transforms ------------------------------------------------------------------ */

void uh_torus_phase(const struct uh_torus *t, size_t f, ptrdiff_t y,
                    ptrdiff_t x, double *c, double *s)
{
    const ptrdiff_t h = (ptrdiff_t)t->size[0], w = (ptrdiff_t)t->size[1];
    const size_t i = (size_t)((y % h + h) % h) * t->freq[f].at[0] % t->size[0];
    const size_t j = (size_t)((x % w + w) % w) * t->freq[f].at[1] % t->size[1];
    *c = t->cos[0][i] * t->cos[1][j] - t->sin[0][i] * t->sin[1][j];
    *s = t->sin[0][i] * t->cos[1][j] + t->cos[0][i] * t->sin[1][j];
}

struct transform {
    const struct uh_torus *t;
    size_t chans;
    const double *x, *hat;
    double *to;
    double *rows; /* (groups, size[0], w / 2 + 1, 2, chans) */
};

static void add(const struct transform *q, double c, const double *x, double *y)
{
    q->t->kernel->subtract(q->chans, -c, x, y);
}

/* A row of places: sums over x of v e^-i.. */
static void row_forth(void *context, size_t index, struct uh_pool *serial)
{
    const struct transform *q = context;
    const struct uh_torus *t = q->t;
    const size_t w = t->size[1], n = q->chans, half = w / 2 + 1;
    double *to = q->rows + index * half * 2 * n;
    const double *from = q->x + index * w * n;
    (void)serial;
    memset(to, 0, half * 2 * n * sizeof *to);
    for (size_t f = 0; f < half; f++, to += 2 * n) {
        for (size_t x = 0; x < w; x++) {
            add(q, t->cos[1][f * x % w], from + x * n, to);
            add(q, -t->sin[1][f * x % w], from + x * n, to + n);
        }
    }
}

static void frequency_forth(void *context, size_t index, struct uh_pool *serial)
{
    const struct transform *q = context;
    const struct uh_torus *t = q->t;
    const size_t h = t->size[0], n = q->chans, half = t->size[1] / 2 + 1;
    const size_t g = index / t->freqs;
    const struct uh_frequency *f = &t->freq[index % t->freqs];
    double *to = q->to + index * 2 * n;
    (void)serial;
    memset(to, 0, 2 * n * sizeof *to);
    for (size_t y = 0; y < h; y++) {
        const double *from = q->rows + ((g * h + y) * half + f->at[1]) * 2 * n;
        const double c = t->cos[0][f->at[0] * y % h];
        const double s = t->sin[0][f->at[0] * y % h];
        t->kernel->subtract_both(n, (const double[]){-c, -s, -c, s}, from,
                                 from + n, to, to + n);
    }
}

void uh_torus_transform(const struct uh_torus *t, size_t chans, const double *x,
                        double *hat)
{
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const size_t rows = t->conv.groups * t->size[0];
    struct transform q = {t, chans, x, NULL, hat, NULL};
    q.rows = uh_arena_alloc_raw(scratch, rows * (t->size[1] / 2 + 1),
                                2 * chans * sizeof *q.rows);
    uh_cells(t->pool, rows, row_forth, &q);
    uh_cells(t->pool, t->conv.groups * t->freqs, frequency_forth, &q);
    uh_arena_release(scratch, mark);
}

/* For one row y of a group: sums over the frequencies of one column. */
static void row_back(void *context, size_t index, struct uh_pool *serial)
{
    const struct transform *q = context;
    const struct uh_torus *t = q->t;
    const size_t h = t->size[0], w = t->size[1], n = q->chans;
    const size_t half = w / 2 + 1, g = index / h, y = index % h;
    double *rows = q->rows + index * half * 2 * n;
    double *to = q->to + index * w * n;
    (void)serial;
    memset(rows, 0, half * 2 * n * sizeof *rows);
    memset(to, 0, w * n * sizeof *to);
    for (size_t i = 0; i < t->freqs; i++) {
        const struct uh_frequency *f = &t->freq[i];
        const double *from = q->hat + (g * t->freqs + i) * 2 * n;
        const double each = f->weight / (double)t->places;
        const double c = each * t->cos[0][f->at[0] * y % h];
        const double s = each * t->sin[0][f->at[0] * y % h];
        double *sum = rows + f->at[1] * 2 * n;
        t->kernel->subtract_both(n, (const double[]){-c, s, -c, -s}, from,
                                 from + n, sum, sum + n);
    }
    for (size_t x = 0; x < w; x++) {
        for (size_t f = 0; f < half; f++) {
            add(q, t->cos[1][f * x % w], rows + f * 2 * n, to + x * n);
            add(q, -t->sin[1][f * x % w], rows + f * 2 * n + n, to + x * n);
        }
    }
}

void uh_torus_back(const struct uh_torus *t, size_t chans, const double *hat,
                   double *x)
{
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const size_t rows = t->conv.groups * t->size[0];
    struct transform q = {t, chans, NULL, hat, x, NULL};
    q.rows = uh_arena_alloc_raw(scratch, rows * (t->size[1] / 2 + 1),
                                2 * chans * sizeof *q.rows);
    uh_cells(t->pool, rows, row_back, &q);
    uh_arena_release(scratch, mark);
}

/* -- Gram matrices ----------------------------------------------------------------- */

struct lagging {
    const struct uh_torus *t;
    size_t group, tap; /* whose columns are read */
    size_t bands;
    double *sum; /* (groups, lags, n, n) */
};

/* A column of a tap's matrix: rows of D's panels. */
static void lag_column(const void *context, size_t j, size_t p, size_t k,
                       double *to)
{
    const struct lagging *q = context;
    const struct uh_torus *t = q->t;
    const size_t high = t->kernel->rows,
                 panels = uh_parts_of(t->to->rows, high);
    const size_t depth = t->conv.taps * t->to->chans;
    const double *from =
        t->to->packed +
        (q->group * panels * depth + q->tap * t->to->chans + j) * high;
    while (k > 0) {
        const size_t at = p % high, length = uh_least(k, high - at);
        memcpy(to, from + p / high * high * depth + at, length * sizeof *to);
        to += length;
        p += length;
        k -= length;
    }
}

/* Sums K_i'K_j over the pairs of taps that are a lag apart. */
static void lag_cell(void *context, size_t index, struct uh_pool *serial)
{
    struct lagging q = *(const struct lagging *)context;
    const struct uh_torus *t = q.t;
    const size_t high = t->kernel->rows, n = t->from->rows, m = t->from->chans;
    const size_t panels = uh_parts_of(n, high), depth = t->conv.taps * m;
    const size_t ldc = panels * high, lag = index / q.bands % t->lags;
    const size_t j0 = n * (index % q.bands) / q.bands;
    const size_t j1 = n * (index % q.bands + 1) / q.bands;
    double *c =
        uh_arena_alloc(uh_pool_scratch(serial), ldc * (j1 - j0), sizeof *c);
    q.group = index / q.bands / t->lags;
    for (size_t i = 0; i < t->conv.taps; i++) {
        for (q.tap = 0; q.tap < t->conv.taps; q.tap++) {
            if (t->conv.tap[q.tap][0] - t->conv.tap[i][0] == t->lag[lag][0] &&
                t->conv.tap[q.tap][1] - t->conv.tap[i][1] == t->lag[lag][1]) {
                uh_opnorm_multiply(
                    t->kernel, depth, m,
                    t->from->packed + (q.group * panels * depth + i * m) * high,
                    0, panels, j0, j1, lag_column, &q, c, ldc);
            }
        }
    }
    double *to = q.sum + (q.group * t->lags + lag) * n * n;
    for (size_t j = j0; j < j1; j++) {
        memcpy(to + j * n, c + (j - j0) * ldc, n * sizeof *c);
    }
}

/* R + R' and R - R' of a lag, in panels: entry (i, j) of lag l at panel(i, j) +
 * l rows. */
struct spreading {
    struct uh_torus *t;
    const double *sum;
};

static void spread_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct spreading *q = context;
    const struct uh_torus *t = q->t;
    const size_t n = t->from->rows, high = t->kernel->rows;
    const size_t panels = uh_parts_of(n, high), group = index / panels;
    double *even = t->even + index * n * high * t->lags;
    double *odd = t->odd + index * n * high * t->lags;
    (void)serial;
    for (size_t l = 0; l < t->lags; l++) {
        const double *r = q->sum + (group * t->lags + l) * n * n;
        for (size_t j = 0; j < n; j++) {
            const size_t to = (j * t->lags + l) * high;
            for (size_t k = 0; k < high; k++) {
                const size_t i = index % panels * high + k;
                const double a = i < n ? r[j * n + i] : 0;
                const double b = i < n ? r[i * n + j] : 0;
                even[to + k] = l ? a + b : a;
                odd[to + k] = a - b;
            }
        }
    }
}

void uh_torus_grams(struct uh_torus *t, struct uh_arena *arena)
{
    const size_t n = t->from->rows, all = t->conv.groups * t->lags;
    const size_t panels = uh_parts_of(n, t->kernel->rows);
    struct lagging q = {.t = t, .bands = uh_parts_of(n, BAND)};
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const size_t size = panels * t->kernel->rows * n * all;
    t->even = uh_arena_alloc_raw(arena, size, sizeof(double));
    t->odd = uh_arena_alloc_raw(arena, size, sizeof(double));
    q.sum =
        uh_arena_alloc_raw(scratch, uh_size_mul(all, n * n), sizeof(double));
    uh_cells(t->pool, all * q.bands, lag_cell, &q);
    for (size_t g = 0; g < t->conv.groups; g++) { /* R_0 is symmetric */
        double *r = q.sum + g * t->lags * n * n;
        for (size_t j = 0; j < n; j++) {
            for (size_t i = j; i < n; i++) {
                r[i * n + j] = r[j * n + i];
            }
        }
    }
    struct spreading s = {t, q.sum};
    uh_cells(t->pool, t->conv.groups * panels, spread_cell, &s);
    uh_arena_release(scratch, mark);
    const double absolute = uh_map_absolute(t->map);
    const double lags = (double)t->lags;
    /* products and sums; angles, their functions, phases: 36 u; the sum of the
     * absolute values of all lags' matrices is at most |(sum |K|)|^2 */
    t->gram_error = (uh_opnorm_chain(t->conv.taps * t->from->chans) +
                     uh_opnorm_gamma(2 * lags + 40)) *
                    absolute * absolute * (1 + 1e-6);
}

struct phases {
    const struct uh_torus *t;
    size_t f;
    int odd;
};

static void phase_column(const void *context, size_t j, size_t p, size_t k,
                         double *to)
{
    const struct phases *q = context;
    for (size_t l = p; l < p + k; l++) {
        double c, s;
        uh_torus_phase(q->t, q->f + j, q->t->lag[l][0], q->t->lag[l][1], &c,
                       &s);
        *to++ = !q->odd ? c : q->t->to->back ? -s : s;
    }
}

size_t uh_torus_gram_size(const struct uh_torus *t)
{
    const size_t n = t->from->rows, high = t->kernel->rows;
    return uh_parts_of(n, high) * high * n;
}

void uh_torus_grams_at(const struct uh_torus *t, size_t group, size_t f,
                       size_t count, double *re, double *im)
{
    const size_t n = t->from->rows, high = t->kernel->rows;
    const size_t panels = uh_parts_of(n, high) * n, size = panels * high;
    memset(re, 0, count * size * sizeof *re);
    memset(im, 0, count * size * sizeof *im);
    struct phases q = {t, f, 0};
    uh_opnorm_multiply(t->kernel, t->lags, t->lags,
                       t->even + group * size * t->lags, 0, panels, 0, count,
                       phase_column, &q, re, size);
    q.odd = 1;
    uh_opnorm_multiply(t->kernel, t->lags, t->lags,
                       t->odd + group * size * t->lags, 0, panels, 0, count,
                       phase_column, &q, im, size);
}

struct batches {
    const struct uh_torus *t;
    uh_torus_point *at;
    const void *context;
    size_t size, count; /* frequencies of a batch, batches of a group */
};

static void batch_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct batches *b = context;
    const struct uh_torus *t = b->t;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    const size_t group = index / b->count, size = uh_torus_gram_size(t);
    const size_t f0 = index % b->count * b->size;
    const size_t f1 = uh_least(f0 + b->size, t->freqs);
    double *re = uh_arena_alloc_raw(scratch, 2 * b->size * size, sizeof *re);
    double *im = re + b->size * size;
    uh_torus_grams_at(t, group, f0, f1 - f0, re, im);
    for (size_t f = f0; f < f1; f++) {
        const struct uh_mark mark = uh_arena_open(scratch);
        b->at(b->context, group, f, re + (f - f0) * size, im + (f - f0) * size,
              serial);
        uh_arena_release(scratch, mark);
    }
}

void uh_torus_each_point(const struct uh_torus *t, uh_torus_point *at,
                         const void *context)
{
    struct batches b = {t, at, context, 0, 0};
    b.size = uh_least(uh_parts_of(t->freqs, 4 * uh_pool_threads(t->pool)),
                      t->kernel->cols);
    b.count = uh_parts_of(t->freqs, b.size);
    uh_cells(t->pool, t->conv.groups * b.count, batch_cell, &b);
}

/* -- the proof ------------------------------------------------------------------------ */

/* Left-looking, a block of columns at a time; rows beyond n are right hand
 * sides.  Packed for the tiles: of each block its columns' real parts, then
 * their imaginary parts. */
struct factor {
    const struct uh_torus *t;
    size_t n, rows, all;      /* rows, and with those that fill a panel */
    size_t depth, j0, j1;     /* of packed; the block */
    double *packed, *re, *im; /* (all, depth), (all, n) both */
};

static struct factor factor_in(const struct uh_torus *t, size_t right,
                               const double *room)
{
    struct factor f = {.t = t, .n = t->from->rows};
    f.rows = f.n + right;
    f.all = uh_parts_of(f.rows, t->kernel->rows) * t->kernel->rows;
    f.depth = 2 * uh_parts_of(f.n, BLOCK) * BLOCK;
    if (room) {
        f.packed = (double *)(size_t)room;
        f.re = f.packed + f.all * f.depth;
        f.im = f.re + f.all * f.depth / 2;
    }
    return f;
}

size_t uh_torus_factor_room(const struct uh_torus *t, size_t right)
{
    const struct factor f = factor_in(t, right, NULL);
    return 2 * f.all * f.depth;
}

static void known_row(const void *context, size_t j, size_t p, size_t k,
                      double *to)
{
    const struct factor *f = context;
    const size_t wide = f->j1 - f->j0, imaginary = j >= wide;
    const size_t row = f->j0 + (imaginary ? j - wide : j);
    const double *re = f->re + row * f->n, *im = f->im + row * f->n;
    while (k > 0) {
        const size_t block = p / (2 * BLOCK), at = p % (2 * BLOCK);
        const size_t c = at % BLOCK, length = uh_least(k, BLOCK - c);
        const int second = at >= BLOCK;
        const double *from =
            (second != (int)imaginary ? im : re) + block * BLOCK + c;
        const double sign = imaginary && !second ? 1 : -1;
        for (size_t i = 0; i < length; i++) {
            to[i] = sign * from[i];
        }
        to += length;
        p += length;
        k -= length;
    }
}

/* Column j of the block less what the block's columns before it give, from row
 * `at`, that of its diagonal, on. */
static void reduce(const struct factor *f, size_t j, size_t at, size_t ldc,
                   double *c)
{
    const struct uh_opnorm_kernel *k = f->t->kernel;
    const size_t wide = f->j1 - f->j0;
    double *re = c + j * ldc, *im = c + (wide + j) * ldc;
    for (size_t p = 0; p < j; p++) {
        const double *x = c + p * ldc, *y = c + (wide + p) * ldc;
        const double a = x[at], b = y[at];
        k->subtract_both(ldc - at, (const double[]){a, b, a, -b}, x + at,
                         y + at, re + at, im + at);
    }
}

/* One block; 0: a pivot is not positive. */
static int factor_block(struct factor *f, double *c, size_t i0, size_t ldc)
{
    const size_t high = f->t->kernel->rows, wide = f->j1 - f->j0;
    for (size_t j = 0; j < wide; j++) {
        const size_t at = f->j0 + j - i0;
        reduce(f, j, at, ldc, c);
        double *re = c + j * ldc, *im = c + (wide + j) * ldc;
        if (!(re[at] > 0) || !isfinite(re[at])) {
            return 0;
        }
        const double root = sqrt(re[at]), inverse = 1 / root;
        re[at] = root;
        im[at] = 0;
        for (size_t i = at + 1; i < ldc; i++) {
            re[i] *= inverse;
            im[i] *= inverse;
        }
    }
    for (size_t i = f->j0 - i0; i < f->rows - i0; i++) {
        double *re = f->re + (i0 + i) * f->n + f->j0;
        double *im = f->im + (i0 + i) * f->n + f->j0;
        for (size_t j = 0; j < wide; j++) {
            re[j] = c[j * ldc + i];
            im[j] = c[(wide + j) * ldc + i];
        }
    }
    const size_t first = f->j0 / BLOCK * 2 * BLOCK;
    for (size_t p = 0; p < 2 * wide; p++) {
        const size_t to = first + (p < wide ? p : BLOCK + p - wide);
        for (size_t i = 0; i < ldc; i += high) {
            memcpy(f->packed + ((i0 + i) * f->depth + to * high),
                   c + p * ldc + i, high * sizeof *c);
        }
    }
    return 1;
}

/* The block's columns of square - G, from row i0, a panel's first, on; 0 beyond
 * the matrix. */
static void load_block(const struct factor *f, const double *g, size_t i0,
                       size_t ldc, double *c)
{
    const size_t high = f->t->kernel->rows,
                 end = uh_parts_of(f->n, high) * high;
    for (size_t j = f->j0; j < f->j1; j++, c += ldc) {
        const double *from = g + (i0 * f->n + j * high);
        for (size_t i = i0; i < i0 + ldc; i += high, from += f->n * high) {
            for (size_t k = 0; k < high; k++) {
                c[i - i0 + k] = i < end ? -from[k] : 0;
            }
        }
    }
}

int uh_torus_factor(const struct uh_torus *t,
                    const struct uh_torus_proof *proof, size_t group, size_t f,
                    const double *gre, const double *gim, size_t right,
                    double *const x[], struct uh_pool *serial, double *room,
                    double *slack)
{
    struct factor q = factor_in(t, right, room);
    const size_t n = q.n, high = t->kernel->rows, all = q.all;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *c = uh_arena_alloc_raw(scratch, 2 * BLOCK * all, sizeof *c);
    double taken = 0, trace = 0;
    for (size_t j = 0; j < n; j++) {
        trace +=
            fabs(proof->square - gre[(j / high * n + j) * high + j % high]);
    }
    size_t first = 0, ranks = uh_torus_ranks(proof, group, f, &first);
    for (size_t k = first; k < first + ranks; k++) {
        for (size_t i = 0; i < 2 * n; i++) {
            taken += proof->square * proof->rank[k].vector[i] *
                     proof->rank[k].vector[i];
        }
    }
    int done = isfinite(taken + trace);
    for (; done && q.j0 < n; q.j0 = q.j1) {
        q.j1 = uh_least(q.j0 + BLOCK, n);
        const size_t i0 = q.j0 / high * high, ldc = all - i0;
        const size_t wide = q.j1 - q.j0;
        load_block(&q, gre, i0, ldc, c);
        load_block(&q, gim, i0, ldc, c + wide * ldc);
        for (size_t j = q.j0; j < q.j1; j++) {
            double *re = c + (j - q.j0) * ldc, *im = re + wide * ldc;
            re[j - i0] += proof->square;
            for (size_t k = 0; k < right; k++) {
                re[n + k - i0] = x[k][j];
                im[n + k - i0] = -x[k][n + j];
            }
            for (size_t k = first; k < first + ranks; k++) {
                const double *a = proof->rank[k].vector, *b = a + n;
                const double u = proof->square * a[j];
                const double v = proof->square * b[j];
                for (size_t i = j; i < n; i++) {
                    re[i - i0] += u * a[i] + v * b[i];
                    im[i - i0] += u * b[i] - v * a[i];
                }
            }
        }
        uh_opnorm_multiply(t->kernel, q.depth, 2 * q.j0, room, i0 / high,
                           all / high, 0, 2 * wide, known_row, &q, c, ldc);
        done = factor_block(&q, c, i0, ldc);
    }
    uh_arena_release(scratch, mark);
    if (!done) {
        return 0;
    }
    /* Rump's theorem 2.3 for the matrix embedded in the reals: of its factor
     * the rows have the lengths that the trace gives, and each entry is a sum
     * of 2n products at most, those of its own block rounded twice; times
     * 1 / root, not by root. */
    const double gamma = uh_opnorm_gamma(
        (double)(2 * n + 2 * n / UH_OPNORM_DEPTH + 8 * BLOCK + 20));
    *slack = gamma / (1 - gamma) * 2 * (trace + taken) * (1 + 2 * gamma) +
             2 * UH_UNIT * proof->square + t->gram_error +
             (ranks ? 16 * UH_UNIT * (double)n * (trace + taken) : 0) +
             0x1p-960 * (double)n;
    for (size_t k = 0; k < right; k++) {
        const double *re = q.re + (n + k) * n, *im = q.im + (n + k) * n;
        for (size_t j = 0; j < n; j++) {
            x[k][j] = re[j];
            x[k][n + j] = -im[j];
        }
    }
    return 1;
}

void uh_torus_solve_back(const struct uh_torus *t, size_t right,
                         const double *room, size_t count, double *const x[])
{
    const struct factor f = factor_in(t, right, room);
    const size_t n = f.n;
    for (size_t i = n; i-- > 0;) {
        const double *re = f.re + i * n, *im = f.im + i * n;
        for (size_t k = 0; k < count; k++) {
            double *to = x[k];
            const double a = to[i] /= re[i], b = to[n + i] /= re[i];
            t->kernel->subtract_both(i, (const double[]){a, b, -a, b}, re, im,
                                     to, to + n);
        }
    }
}

void uh_torus_solve_forth(const struct uh_torus *t, size_t right,
                          const double *room, double *x)
{
    const struct factor f = factor_in(t, right, room);
    const size_t n = f.n;
    const double *re = f.re, *im = f.im;
    for (size_t i = 0; i < n; i++) {
        const double *r = re + i * n, *m = im + i * n;
        x[i] -= uh_opnorm_dot(t->kernel, i, r, x) -
                uh_opnorm_dot(t->kernel, i, m, x + n);
        x[n + i] -= uh_opnorm_dot(t->kernel, i, r, x + n) +
                    uh_opnorm_dot(t->kernel, i, m, x);
        x[i] /= r[i];
        x[n + i] /= r[i];
    }
}

size_t uh_torus_ranks(const struct uh_torus_proof *proof, size_t group,
                      size_t f, size_t *first)
{
    size_t ranks = 0;
    for (size_t k = 0; k < proof->ranks; k++) {
        if (proof->rank[k].group == group && proof->rank[k].f == f) {
            *first = ranks ? *first : k;
            ranks++;
        }
    }
    return ranks;
}

/* The slack of a point, or INFINITY. */
struct slacks {
    const struct uh_torus *t;
    const struct uh_torus_proof *proof;
    double *slack; /* (groups, freqs) */
};

static void slack_at(const void *context, size_t group, size_t f,
                     const double *re, const double *im, struct uh_pool *serial)
{
    const struct slacks *q = context;
    double *room = uh_arena_alloc_raw(
        uh_pool_scratch(serial), uh_torus_factor_room(q->t, 0), sizeof *room);
    double *slack = &q->slack[group * q->t->freqs + f];
    if (!uh_torus_factor(q->t, q->proof, group, f, re, im, 0, NULL, serial,
                         room, slack)) {
        *slack = (double)INFINITY;
    }
}

double uh_torus_certain(const struct uh_torus *t,
                        const struct uh_torus_proof *proof, const double *slack)
{
    double most = 0;
    for (size_t i = 0; i < t->conv.groups * t->freqs; i++) {
        most = fmax(most, slack[i]);
    }
    return proof->square + most * (1 + 4 * UH_UNIT);
}

static double certain_square(const struct uh_torus *t,
                             const struct uh_torus_proof *proof)
{
    struct uh_arena *own = uh_pool_lend(t->pool);
    const struct slacks q = {
        t, proof,
        uh_arena_alloc(own, t->conv.groups * t->freqs, sizeof *q.slack)};
    uh_torus_each_point(t, slack_at, &q);
    const double certain = uh_torus_certain(t, proof, q.slack);
    uh_pool_take_back(t->pool, &own);
    return certain;
}

static double length(const struct uh_torus *t, size_t n, const double *x)
{
    return uh_opnorm_length(t->kernel, n, x) * (1 + uh_opnorm_length_error(n));
}

/* A pair of the proof, as it is found to be. */
struct claimed {
    const double *v, *p;
    double *d;               /* D v, computed */
    double error;            /* of d */
    double of_v, of_p, of_d; /* lengths, rounded up */
};

/* P_inside (T v + D'(p - D v)), its length rounded up; INFINITY where p is
 * not 0 inside.  e, r: room for fields. */
static double residual(const struct uh_torus *t, double square,
                       struct claimed *c, double *e, double *r)
{
    const size_t ns = t->conv.groups * t->places * t->from->rows;
    const size_t nl = t->conv.groups * t->places * t->to->rows;
    const double absolute = uh_map_absolute(t->map);
    const double forth = uh_opnorm_chain(t->conv.taps * t->to->chans);
    const double back = uh_opnorm_chain(t->conv.taps * t->from->chans);
    memcpy(r, c->p, nl * sizeof *r);
    uh_torus_cut(t, &t->large, 1, r);
    if (uh_opnorm_length(t->kernel, nl, r) > 0) {
        return (double)INFINITY;
    }
    uh_torus_apply(t, t->to, NULL, 0, c->v, c->d);
    for (size_t j = 0; j < nl; j++) {
        r[j] = c->p[j] - c->d[j];
    }
    uh_torus_apply(t, t->from, NULL, 0, r, e);
    for (size_t j = 0; j < ns; j++) {
        e[j] += square * c->v[j];
    }
    uh_torus_cut(t, &t->small, 1, e);
    c->of_v = length(t, ns, c->v);
    c->of_p = length(t, nl, c->p);
    c->error = forth * absolute * c->of_v;
    c->of_d = length(t, nl, c->d) + c->error;
    const double of_r = length(t, nl, r);
    return length(t, ns, e) + absolute * c->error + back * absolute * of_r +
           4 * UH_UNIT * (square * c->of_v + absolute * of_r);
}

/* At most the size of the eigenvalue of Q, the form on the pairs, that is
 * nearest to 0, if all are negative; by Gershgorin's circles. */
static double nearest_of(const struct uh_torus *t, double square, size_t count,
                         const struct claimed *c)
{
    const size_t ns = t->conv.groups * t->places * t->from->rows;
    const size_t nl = t->conv.groups * t->places * t->to->rows;
    const double sums =
        2 * uh_opnorm_length_error(nl > ns ? nl : ns) + 8 * UH_UNIT;
    double nearest = (double)INFINITY;
    for (size_t i = 0; i < count; i++) {
        double row = 0, diagonal = 0;
        for (size_t j = 0; j < count; j++) {
            const struct claimed *a = &c[i], *b = &c[j];
            const double value =
                uh_opnorm_dot(t->kernel, nl, a->p, b->p) +
                square * uh_opnorm_dot(t->kernel, ns, a->v, b->v) -
                uh_opnorm_dot(t->kernel, nl, a->d, b->d);
            row += sums * (a->of_p * b->of_p + square * a->of_v * b->of_v +
                           a->of_d * b->of_d) +
                   a->error * b->of_d + b->error * a->of_d;
            if (i == j) {
                diagonal = value;
            } else {
                row += fabs(value);
            }
        }
        nearest = fmin(nearest, -diagonal - row * (1 + 1e-9));
    }
    return nearest;
}

/* The form on pairs (v, p), v a small field and p a large one outside of the
 * layer,
 *     h = v'(T - D'D) v + p'p
 * has as many negative eigenvalues as T - D'D, at most `count`.  The proof's
 * pairs span as many negative ones: Q.  Of a small field s inside, the pair
 * (s, P_outside D s) has h = s'(T - A'A) s, and with a pair of the proof
 * s'(T v + D'(p - D v)), which is small: e.  If h were below -e'(-Q)^-1 e for
 * an s there would be one negative dimension too many.  So A'A is at most
 * T + |e|^2 / |the eigenvalue of Q that is nearest to 0|. */
double uh_torus_check(const struct uh_torus *t,
                      const struct uh_torus_proof *proof, double certain)
{
    const size_t groups = t->conv.groups, count = proof->count;
    const size_t ns = groups * t->places * t->from->rows;
    const size_t nl = groups * t->places * t->to->rows;
    size_t needed = 0;
    for (size_t k = 0; k < proof->ranks; k++) {
        if (proof->rank[k].group >= groups || proof->rank[k].f >= t->freqs) {
            return (double)INFINITY;
        }
        needed += (size_t)t->freq[proof->rank[k].f].weight;
    }
    const double square = certain > 0 ? certain : certain_square(t, proof);
    if (needed > count || !isfinite(square)) {
        return (double)INFINITY;
    }
    struct uh_arena *own = uh_pool_lend(t->pool);
    struct claimed *c = uh_arena_alloc(own, count, sizeof *c);
    double *d = uh_arena_alloc_raw(own, uh_size_mul(count, nl), sizeof *d);
    double *e = uh_arena_alloc_raw(own, ns, sizeof *e);
    double *r = uh_arena_alloc_raw(own, nl, sizeof *r), apart = 0;
    for (size_t i = 0; i < count && isfinite(apart); i++) {
        c[i] = (struct claimed){
            .v = proof->v[i], .p = proof->p[i], .d = d + i * nl};
        const double at = residual(t, square, &c[i], e, r);
        apart += at * at;
    }
    const double nearest =
        isfinite(apart) ? nearest_of(t, square, count, c) : 0;
    uh_pool_take_back(t->pool, &own);
    /* what underflowed would be missing */
    if (!(nearest > 0x1p-600)) {
        return (double)INFINITY;
    }
    const double bound = square + (count ? apart / nearest * (1 + 1e-9) : 0);
    return sqrt(bound) * (1 + 4 * UH_UNIT);
}
