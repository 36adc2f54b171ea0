/* layer.c: one layer of a network: the entry-by-entry kinds, dense, and who
 * does the others. */
#include "layer.h"
#include "die.h"
#include "fmath.h"
#include "layer_conv.h"
#include "layer_lrn.h"
#include "layer_norm.h"
#include "layer_pool.h"
#include "mat.h"

#include <string.h>

enum {
    CHUNK = 4096, /* entries that are worth a cell of their own */
    BLOCK = 16
};

static const char *const words[] = {
    "dense",   "conv", "maxpool", "meanpool", "relu",      "leakyrelu",
    "elu",     "tanh", "sigmoid", "softplus", "batchnorm", "lrn",
    "flatten", "mark", "from",    "add",      "cat"};

const char *uh_kind_word(enum uh_kind kind)
{
    return words[kind];
}

int uh_kind_pointwise(enum uh_kind kind)
{
    return kind >= UH_RELU && kind <= UH_SOFTPLUS;
}

/* -- entry by entry ------------------------------------------------------ */

/* In blocks of a constant size, which compilers vectorize. */
static void relu(size_t n, const float *restrict x, float *restrict y)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        for (size_t j = i; j < i + BLOCK; j++) {
            y[j] = x[j] > 0 ? x[j] : 0;
        }
    }
    for (; i < n; i++) {
        y[i] = x[i] > 0 ? x[i] : 0;
    }
}

static void relu_backward(size_t n, const float *restrict x,
                          const float *restrict dy, float *restrict dx)
{
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        for (size_t j = i; j < i + BLOCK; j++) {
            dx[j] = x[j] > 0 ? dy[j] : 0;
        }
    }
    for (; i < n; i++) {
        dx[i] = x[i] > 0 ? dy[i] : 0;
    }
}

static void point_forward(const struct uh_layer *layer, size_t n,
                          const float *x, float *y)
{
    float value = layer->value;
    switch (layer->kind) {
    case UH_RELU:
        relu(n, x, y);
        break;
    case UH_LEAKYRELU:
        for (size_t i = 0; i < n; i++) {
            y[i] = x[i] > 0 ? x[i] : value * x[i];
        }
        break;
    case UH_ELU:
        uh_expm1f_n(n, x, y);
        for (size_t i = 0; i < n; i++) {
            y[i] = x[i] > 0 ? x[i] : value * y[i];
        }
        break;
    case UH_TANH:
        uh_tanhf_n(n, x, y);
        break;
    case UH_SIGMOID:
        uh_sigmoidf_n(n, x, y);
        break;
    case UH_SOFTPLUS:
        uh_softplusf_n(n, x, y);
        break;
    default:
        UH_REQUIRE(0, "%s is not a pointwise layer", words[layer->kind]);
    }
}

static void point_backward(const struct uh_layer *layer, size_t n,
                           const float *x, const float *y, const float *dy,
                           float *dx)
{
    float value = layer->value;
    switch (layer->kind) {
    case UH_RELU:
        relu_backward(n, x, dy, dx);
        break;
    case UH_LEAKYRELU:
        for (size_t i = 0; i < n; i++) {
            dx[i] = x[i] > 0 ? dy[i] : value * dy[i];
        }
        break;
    case UH_ELU:
        uh_expf_n(n, x, dx);
        for (size_t i = 0; i < n; i++) {
            dx[i] = x[i] > 0 ? dy[i] : dy[i] * (value * dx[i]);
        }
        break;
    case UH_TANH: /* (1 - y)(1 + y): no cancellation beside +-1 */
        for (size_t i = 0; i < n; i++) {
            dx[i] = dy[i] * ((1 - y[i]) * (1 + y[i]));
        }
        break;
    case UH_SIGMOID:
        for (size_t i = 0; i < n; i++) {
            dx[i] = dy[i] * (y[i] * (1 - y[i]));
        }
        break;
    case UH_SOFTPLUS:
        uh_sigmoidf_n(n, x, dx);
        for (size_t i = 0; i < n; i++) {
            dx[i] *= dy[i];
        }
        break;
    default:
        UH_REQUIRE(0, "%s is not a pointwise layer", words[layer->kind]);
    }
}

/* -- dense --------------------------------------------------------------- */

static void dense_forward(const struct uh_layer *layer, struct uh_pool *pool,
                          size_t n, const float *x, float *y)
{
    size_t in = layer->in.channels, out = layer->out.channels;
    for (size_t s = 0; s < n; s++) {
        memcpy(y + s * out, layer->bias, out * sizeof *y);
    }
    uh_sgemm(pool, UH_NT, n, out, in, x, in, layer->weight, in, UH_FROM_C, y,
             out);
}

static void dense_backward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, const float *dy,
                           float *dweight, float *dbias, float *dx)
{
    size_t in = layer->in.channels, out = layer->out.channels;
    for (size_t s = 0; dbias && s < n; s++) {
        for (size_t o = 0; o < out; o++) {
            dbias[o] += dy[s * out + o];
        }
    }
    if (dweight) {
        uh_sgemm(pool, UH_TN, out, in, n, dy, out, x, in, UH_FROM_C, dweight,
                 in);
    }
    if (dx) {
        uh_sgemm(pool, UH_NN, n, in, out, dy, out, layer->weight, in,
                 UH_FROM_ZERO, dx, in);
    }
}

/* -- any kind, in the calling thread -------------------------------------- */

static void forward(const struct uh_layer *layer, struct uh_pool *pool,
                    size_t n, const float *x, float *y,
                    struct uh_layer_notes *notes)
{
    switch (layer->kind) {
    case UH_DENSE:
        dense_forward(layer, pool, n, x, y);
        break;
    case UH_CONV:
        uh_layer_conv_forward(layer, pool, n, x, y);
        break;
    case UH_MAXPOOL:
    case UH_MEANPOOL:
        uh_layer_pool_forward(layer, n, x, y, notes ? notes->choice : NULL);
        break;
    case UH_BATCHNORM:
        if (notes && notes->mean) {
            uh_layer_norm_forward(layer, n, x, y, notes);
        } else {
            uh_layer_norm_rest(layer, n, x, y);
        }
        break;
    case UH_LRN:
        uh_layer_lrn_forward(layer, pool, n, x, y);
        break;
    case UH_FLATTEN:
        memcpy(y, x, n * uh_shape_size(layer->in) * sizeof *y);
        break;
    default:
        point_forward(layer, n * uh_shape_size(layer->in), x, y);
    }
}

static void backward(const struct uh_layer *layer, struct uh_pool *pool,
                     size_t n, const float *x, const float *y,
                     const struct uh_layer_notes *notes, const float *dy,
                     float *dweight, float *dbias, float *dx)
{
    switch (layer->kind) {
    case UH_DENSE:
        dense_backward(layer, pool, n, x, dy, dweight, dbias, dx);
        return;
    case UH_CONV:
        uh_layer_conv_backward(layer, pool, n, x, dy, dweight, dbias, dx);
        return;
    case UH_BATCHNORM:
        uh_layer_norm_backward(layer, n, x, notes, dy, dweight, dbias, dx);
        return;
    default:
        break;
    }
    if (!dx) {
        return;
    }
    switch (layer->kind) {
    case UH_MAXPOOL:
    case UH_MEANPOOL:
        uh_layer_pool_backward(layer, n, notes ? notes->choice : NULL, dy, dx);
        break;
    case UH_LRN:
        uh_layer_lrn_backward(layer, pool, n, x, dy, dx);
        break;
    case UH_FLATTEN:
        memcpy(dx, dy, n * uh_shape_size(layer->in) * sizeof *dx);
        break;
    default:
        point_backward(layer, n * uh_shape_size(layer->in), x, y, dy, dx);
    }
}

/* -- samples over threads -------------------------------------------------- */

/* Samples at..at+count-1 of a call, where samples do not meet. */
struct split {
    const struct uh_layer *layer;
    size_t n, per_cell;
    const float *x, *y, *dy;
    float *out; /* y forward, dx backward */
    const struct uh_layer_notes *notes;
    int back;
};

static void split_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct split *t = context;
    size_t at = index * t->per_cell;
    size_t n = t->n - at < t->per_cell ? t->n - at : t->per_cell;
    size_t in = uh_shape_size(t->layer->in), out = uh_shape_size(t->layer->out);
    struct uh_layer_notes notes = {0};
    if (t->notes && t->notes->choice) {
        notes.choice = t->notes->choice + at * out;
    }
    if (t->back) {
        backward(t->layer, serial, n, t->x + at * in,
                 t->y ? t->y + at * out : NULL, &notes, t->dy + at * out, NULL,
                 NULL, t->out + at * in);
    } else {
        forward(t->layer, serial, n, t->x + at * in, t->out + at * out, &notes);
    }
}

/* Runs the split over the pool; 0 if it is not worth it. */
static int split_run(struct split *t, struct uh_pool *pool)
{
    size_t threads = uh_pool_threads(pool);
    size_t work = uh_size_mul(t->n, uh_shape_size(t->layer->in));
    if (threads == 1 || t->n == 1 || work < 2 * CHUNK) {
        return 0;
    }
    size_t cells = t->n < 4 * threads ? t->n : 4 * threads;
    t->per_cell = (t->n + cells - 1) / cells;
    uh_cells(pool, (t->n + t->per_cell - 1) / t->per_cell, split_cell, t);
    return 1;
}

/* Dense layers thread their products; a batch's statistics need all of it. */
static int samples_meet(const struct uh_layer *layer,
                        const struct uh_layer_notes *notes)
{
    return layer->kind == UH_DENSE || (notes && notes->mean);
}

void uh_layer_forward(const struct uh_layer *layer, struct uh_pool *pool,
                      size_t n, const float *x, float *y,
                      struct uh_layer_notes *notes)
{
    struct split t = {layer, n, 0, x, NULL, NULL, y, notes, 0};
    if (samples_meet(layer, notes) || !split_run(&t, pool)) {
        forward(layer, pool, n, x, y, notes);
    }
}

void uh_layer_backward(const struct uh_layer *layer, struct uh_pool *pool,
                       size_t n, const float *x, const float *y,
                       const struct uh_layer_notes *notes, const float *dy,
                       float *dweight, float *dbias, float *dx)
{
    struct split t = {layer, n, 0, x, y, dy, dx, notes, 1};
    if (dx && !samples_meet(layer, notes) && split_run(&t, pool)) {
        dx = NULL;
    }
    if (dx || dweight || dbias) {
        backward(layer, pool, n, x, y, notes, dy, dweight, dbias, dx);
    }
}
