/* layer_conv.c: the convolution of layer.h. */
#include "layer_conv.h"
#include "mat.h"

#include <string.h>

enum {
    WIDE_ENOUGH = 192,       /* columns that keep the product's kernel busy */
    UNFOLDED_MOST = 1 << 18, /* entries; 1 MB stays in a second-level cache */
    LANES = 16               /* partial sums of a bias gradient */
};

/* Sizes of the products of one group. */
struct plan {
    size_t ins, outs; /* channels of a group */
    size_t places;    /* output places of an image */
    size_t terms;     /* ins * kernel rows * kernel columns */
    size_t images;    /* unfolded at once */
    int direct;       /* 1x1, stride 1: the image is its own unfolding */
};

static size_t plane(struct uh_shape shape)
{
    return shape.height * shape.width;
}

static struct plan plan_of(const struct uh_layer *layer)
{
    struct plan p;
    p.ins = layer->in.channels / layer->groups;
    p.outs = layer->out.channels / layer->groups;
    p.places = plane(layer->out);
    p.terms = p.ins * layer->kernel[0] * layer->kernel[1];
    p.direct = 1;
    for (int axis = 0; axis < 2; axis++) {
        p.direct &= layer->kernel[axis] == 1 && layer->stride[axis] == 1 &&
                    layer->pad[axis] == 0;
    }
    p.images = (WIDE_ENOUGH + p.places - 1) / p.places;
    while (p.images > 1 && p.images * p.places * p.terms > UNFOLDED_MOST) {
        p.images--;
    }
    return p;
}

/* Output columns first <= ox < last whose input column, ox * stride + shift -
 * pad, lies in 0 .. size-1. */
static void inside(size_t outs, size_t stride, size_t shift, size_t pad,
                   size_t size, size_t *first, size_t *last)
{
    *first = shift >= pad ? 0 : (pad - shift + stride - 1) / stride;
    size_t end = size + pad; /* ox * stride + shift < end */
    *last = shift >= end ? 0 : (end - shift + stride - 1) / stride;
    if (*last > outs) {
        *last = outs;
    }
    if (*first > *last) {
        *first = *last;
    }
}

/* memcpy for the short rows of an image: a call costs more than the copy. */
static inline void copy_row(size_t n, const float *restrict from,
                            float *restrict to)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(to + i, from + i, 8 * sizeof *to);
    }
    for (; i + 4 <= n; i += 4) {
        memcpy(to + i, from + i, 4 * sizeof *to);
    }
    for (; i < n; i++) {
        to[i] = from[i];
    }
}

static inline void add_row(size_t n, const float *restrict from,
                           float *restrict to)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (size_t j = i; j < i + 4; j++) {
            to[j] += from[j];
        }
    }
    for (; i < n; i++) {
        to[i] += from[i];
    }
}

static inline void clear_row(size_t n, float *to)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = 0;
    }
}

/* What of the output a kernel place sees inside the image: rows top <= oy <
 * bottom, columns left <= ox < right; the first of them sees entry `first` of
 * the plane, the next row's `down` behind it. */
struct view {
    size_t top, bottom, left, right, first, down, step;
    size_t height, width; /* of the output */
};

static struct view view_of(const struct uh_layer *layer, size_t i, size_t j)
{
    struct view v = {.step = layer->stride[1],
                     .height = layer->out.height,
                     .width = layer->out.width};
    size_t low = i * layer->dilation[0], along = j * layer->dilation[1];
    inside(v.height, layer->stride[0], low, layer->pad[0], layer->in.height,
           &v.top, &v.bottom);
    inside(v.width, v.step, along, layer->pad[1], layer->in.width, &v.left,
           &v.right);
    if (v.top == v.bottom || v.left == v.right) {
        v.top = v.bottom = v.left = v.right = 0;
        return v;
    }
    v.first =
        (v.top * layer->stride[0] + low - layer->pad[0]) * layer->in.width +
        (v.left * v.step + along - layer->pad[1]);
    v.down = layer->stride[0] * layer->in.width;
    return v;
}

/* A row of the unfolding: the plane x seen through v, padding as zeros. */
static inline void unfold_row(const struct view *v, const float *restrict x,
                              float *restrict row)
{
    const float *from = x + v->first;
    clear_row(v->top * v->width, row);
    row += v->top * v->width;
    for (size_t oy = v->top; oy < v->bottom; oy++, from += v->down) {
        clear_row(v->left, row);
        if (v->step == 1) {
            copy_row(v->right - v->left, from, row + v->left);
        } else {
            for (size_t o = 0; o < v->right - v->left; o++) {
                row[v->left + o] = from[o * v->step];
            }
        }
        clear_row(v->width - v->right, row + v->right);
        row += v->width;
    }
    clear_row((v->height - v->bottom) * v->width, row);
}

/* Adds a row of the gradient to the unfolding back to the plane. */
static inline void fold_row(const struct view *v, const float *restrict row,
                            float *restrict x)
{
    float *to = x + v->first;
    row += v->top * v->width + v->left;
    for (size_t oy = v->top; oy < v->bottom; oy++, to += v->down) {
        if (v->step == 1) {
            add_row(v->right - v->left, row, to);
        } else {
            for (size_t o = 0; o < v->right - v->left; o++) {
                to[o * v->step] += row[o];
            }
        }
        row += v->width;
    }
}

/* Visits the rows of (terms, images * places) that kernel place (i, j) owns,
 * one per in-channel and image; x is the first image's group of channels. */
static void unfold(const struct uh_layer *layer, const struct plan *p,
                   size_t images, const float *x, float *cols)
{
    size_t image = uh_shape_size(layer->in), ld = images * p->places;
    size_t kernel = layer->kernel[0] * layer->kernel[1];
    for (size_t k = 0; k < kernel; k++) {
        struct view v =
            view_of(layer, k / layer->kernel[1], k % layer->kernel[1]);
        for (size_t c = 0; c < p->ins; c++) {
            float *row = cols + (c * kernel + k) * ld;
            for (size_t m = 0; m < images; m++, row += p->places) {
                unfold_row(&v, x + m * image + c * plane(layer->in), row);
            }
        }
    }
}

/* The kernel places stay in order, which is the order of the sums. */
static void fold(const struct uh_layer *layer, const struct plan *p,
                 size_t images, const float *cols, float *x)
{
    size_t image = uh_shape_size(layer->in), ld = images * p->places;
    size_t kernel = layer->kernel[0] * layer->kernel[1];
    for (size_t k = 0; k < kernel; k++) {
        struct view v =
            view_of(layer, k / layer->kernel[1], k % layer->kernel[1]);
        for (size_t c = 0; c < p->ins; c++) {
            const float *row = cols + (c * kernel + k) * ld;
            for (size_t m = 0; m < images; m++, row += p->places) {
                fold_row(&v, row, x + m * image + c * plane(layer->in));
            }
        }
    }
}

/* Moves (images, outs, places) of a batch to (outs, images * places). */
static void gather(const struct plan *p, size_t images, size_t image,
                   const float *y, float *rows)
{
    for (size_t o = 0; o < p->outs; o++) {
        for (size_t m = 0; m < images; m++, rows += p->places) {
            copy_row(p->places, y + m * image + o * p->places, rows);
        }
    }
}

static void scatter(const struct plan *p, size_t images, size_t image,
                    const float *rows, float *y)
{
    for (size_t o = 0; o < p->outs; o++) {
        for (size_t m = 0; m < images; m++, rows += p->places) {
            copy_row(p->places, rows, y + m * image + o * p->places);
        }
    }
}

static void fill_bias(const struct plan *p, size_t columns, const float *bias,
                      float *rows)
{
    for (size_t o = 0; o < p->outs; o++) {
        for (size_t j = 0; j < columns; j++) {
            *rows++ = bias[o];
        }
    }
}

void uh_layer_conv_forward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, float *y)
{
    struct plan p = plan_of(layer);
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    size_t ld = p.images * p.places;
    float *cols = uh_arena_alloc_raw(scratch, p.terms * ld, sizeof *cols);
    float *rows = uh_arena_alloc_raw(scratch, p.outs * ld, sizeof *rows);
    size_t image = uh_shape_size(layer->in), made = uh_shape_size(layer->out);
    for (size_t at = 0; at < n; at += p.images) {
        size_t images = n - at < p.images ? n - at : p.images;
        ld = images * p.places;
        for (size_t g = 0; g < layer->groups; g++) {
            const float *in = x + at * image + g * p.ins * plane(layer->in);
            float *out = y + at * made + g * p.outs * p.places;
            float *c = images == 1 ? out : rows;
            int direct = p.direct && images == 1;
            if (!direct) {
                unfold(layer, &p, images, in, cols);
            }
            fill_bias(&p, ld, layer->bias + g * p.outs, c);
            uh_sgemm(pool, UH_NN, p.outs, ld, p.terms,
                     layer->weight + g * p.outs * p.terms, p.terms,
                     direct ? in : cols, ld, UH_FROM_C, c, ld);
            if (c == rows) {
                scatter(&p, images, made, rows, out);
            }
        }
    }
    uh_arena_release(scratch, mark);
}

/* The sum of n entries in LANES partial sums. */
static float lane_sum(size_t n, const float *v)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            lane[j] += v[i + j];
        }
    }
    for (size_t j = 0; i < n; i++, j++) {
        lane[j] += v[i];
    }
    float sum = lane[0];
    for (size_t j = 1; j < LANES; j++) {
        sum += lane[j];
    }
    return sum;
}

void uh_layer_conv_backward(const struct uh_layer *layer, struct uh_pool *pool,
                            size_t n, const float *x, const float *dy,
                            float *dweight, float *dbias, float *dx)
{
    struct plan p = plan_of(layer);
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    size_t ld = p.images * p.places;
    float *cols = uh_arena_alloc_raw(scratch, p.terms * ld, sizeof *cols);
    float *rows = uh_arena_alloc_raw(scratch, p.outs * ld, sizeof *rows);
    size_t image = uh_shape_size(layer->in), made = uh_shape_size(layer->out);
    if (dx) {
        memset(dx, 0, n * image * sizeof *dx);
    }
    for (size_t s = 0; dbias && s < n; s++) {
        for (size_t o = 0; o < layer->out.channels; o++) {
            dbias[o] += lane_sum(p.places, dy + s * made + o * p.places);
        }
    }
    for (size_t at = 0; at < n; at += p.images) {
        size_t images = n - at < p.images ? n - at : p.images;
        ld = images * p.places;
        for (size_t g = 0; g < layer->groups; g++) {
            size_t in = at * image + g * p.ins * plane(layer->in);
            size_t weights = g * p.outs * p.terms;
            const float *d = dy + at * made + g * p.outs * p.places;
            int direct = p.direct && images == 1;
            if (images > 1) {
                gather(&p, images, made, d, rows);
                d = rows;
            }
            if (dweight) {
                if (!direct) {
                    unfold(layer, &p, images, x + in, cols);
                }
                uh_sgemm(pool, UH_NT, p.outs, p.terms, ld, d, ld,
                         direct ? x + in : cols, ld, UH_FROM_C,
                         dweight + weights, p.terms);
            }
            if (dx) {
                float *to = direct ? dx + in : cols;
                uh_sgemm(pool, UH_TN, p.terms, ld, p.outs,
                         layer->weight + weights, p.terms, d, ld, UH_FROM_ZERO,
                         to, ld);
                if (!direct) {
                    fold(layer, &p, images, cols, dx + in);
                }
            }
        }
    }
    uh_arena_release(scratch, mark);
}
