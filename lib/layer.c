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
    LANES = 4,
    TAKE_ROWS = 28, /* of a dense layer's weights: two of the largest tiles */
    TAKE_COLUMNS = 1024
};

static const char *const words[] = {
    "dense",   "conv", "maxpool", "meanpool", "relu",      "leakyrelu",
    "elu",     "tanh", "sigmoid", "softplus", "batchnorm", "lrn",
    "flatten", "mark", "from",    "add",      "cat"};

const char *uh_kind_word(enum uh_kind kind)
{
    return words[kind];
}

/* -- entry by entry ------------------------------------------------------ */

/* Entries side by side, in the compilers' own terms: their vectorizers make a
 * branch of the comparison, which random entries mispredict. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lane_bits __attribute__((vector_size(LANES * sizeof(float))));

/* y = x > 0 ? dy : 0 of n <= LANES entries. */
static inline void pass_positive(size_t n, const float *x, const float *dy,
                                 float *y)
{
    lanes a = {0}, b = {0};
    memcpy(&a, x, n * sizeof *x);
    memcpy(&b, dy, n * sizeof *dy);
    lane_bits passed = (lane_bits)b & (a > 0);
    memcpy(y, &passed, n * sizeof *y);
}

static void relu_backward(size_t n, const float *x, const float *dy, float *dx)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        pass_positive(LANES, x + i, dy + i, dx + i);
    }
    pass_positive(n - i, x + i, dy + i, dx + i);
}

/* y = x <= 0 ? 0 : x of n <= LANES entries: a NaN is not made a plain zero. */
static inline void drop_negative(size_t n, const float *x, float *y)
{
    lanes a = {0};
    memcpy(&a, x, n * sizeof *x);
    lane_bits passed = (lane_bits)a & ~(a <= 0);
    memcpy(y, &passed, n * sizeof *y);
}

static void relu(size_t n, const float *x, float *y)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        drop_negative(LANES, x + i, y + i);
    }
    drop_negative(n - i, x + i, y + i);
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

static void add(size_t n, const float *from, float *to)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes a, b;
        memcpy(&a, from + i, sizeof a);
        memcpy(&b, to + i, sizeof b);
        b += a;
        memcpy(to + i, &b, sizeof b);
    }
    for (; i < n; i++) {
        to[i] += from[i];
    }
}

static void dense_backward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, const float *dy,
                           float *dweight, float *dbias, float *dx)
{
    size_t in = layer->in.channels, out = layer->out.channels;
    for (size_t s = 0; dbias && s < n; s++) {
        add(out, dy + s * out, dbias);
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

/* -- gradients that are taken part by part ---------------------------------- */

struct taking {
    const struct uh_layer *layer;
    size_t n;
    const float *x, *dy;
    const struct uh_taker *taker;
    size_t row_blocks, columns; /* blocks of rows; columns of a block */
};

/* A block of the gradient to a dense layer's weights. */
static void take_block(void *context, size_t index, struct uh_pool *serial)
{
    const struct taking *t = context;
    size_t in = t->layer->in.channels, out = t->layer->out.channels;
    size_t row = index % t->row_blocks * TAKE_ROWS;
    size_t column = index / t->row_blocks * t->columns;
    size_t rows = out - row < TAKE_ROWS ? out - row : TAKE_ROWS;
    size_t columns = in - column < t->columns ? in - column : t->columns;
    float *block = uh_arena_alloc_raw(uh_pool_scratch(serial), rows * columns,
                                      sizeof *block);
    uh_sgemm(serial, UH_TN, rows, columns, t->n, t->dy + row, out,
             t->x + column, in, UH_FROM_ZERO, block, columns);
    for (size_t i = 0; i < rows; i++) {
        t->taker->take(t->taker->context,
                       t->layer->weight_at + (row + i) * in + column, columns,
                       block + i * columns);
    }
}

static void take_dense(const struct taking *t, struct uh_pool *pool)
{
    size_t in = t->layer->in.channels, out = t->layer->out.channels;
    struct taking blocks = *t;
    size_t parts = (in + TAKE_COLUMNS - 1) / TAKE_COLUMNS;
    blocks.columns = (in + parts - 1) / parts;
    blocks.row_blocks = (out + TAKE_ROWS - 1) / TAKE_ROWS;
    uh_cells(pool, parts * blocks.row_blocks, take_block, &blocks);
    float *bias = uh_arena_alloc(uh_pool_scratch(pool), out, sizeof *bias);
    dense_backward(t->layer, pool, t->n, t->x, t->dy, NULL, bias, NULL);
    t->taker->take(t->taker->context, t->layer->bias_at, out, bias);
}

void uh_layer_backward_to(const struct uh_layer *layer, struct uh_pool *pool,
                          size_t n, const float *x, const float *y,
                          const struct uh_layer_notes *notes, const float *dy,
                          const struct uh_taker *taker, float *dx)
{
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    if (layer->kind == UH_DENSE) {
        struct taking taking = {layer, n, x, dy, taker, 0, 0};
        if (dx) {
            dense_backward(layer, pool, n, x, dy, NULL, NULL, dx);
        }
        take_dense(&taking, pool);
    } else {
        float *dweight =
            uh_arena_alloc(scratch, layer->weight_count, sizeof *dweight);
        float *dbias =
            uh_arena_alloc(scratch, layer->bias_count, sizeof *dbias);
        uh_layer_backward(layer, pool, n, x, y, notes, dy, dweight, dbias, dx);
        taker->take(taker->context, layer->weight_at, layer->weight_count,
                    dweight);
        taker->take(taker->context, layer->bias_at, layer->bias_count, dbias);
    }
    uh_arena_release(scratch, mark);
}
