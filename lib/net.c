/* net.c: networks: memory, graph, forward and backward. */
#include "net.h"
#include "die.h"
#include "digest.h"
#include "layer_norm.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum {
    CELL_SAMPLES = 32,     /* samples that a cell of a forward pass takes */
    CELL_ENTRIES = 1 << 23 /* or fewer, so that its outputs stay within */
};

/* -- memory ---------------------------------------------------------------- */

void uh_net_allocate(struct uh_net *net, struct uh_arena *arena)
{
    net->parameters =
        uh_arena_alloc(arena, net->parameter_count, sizeof(float));
    net->state = uh_arena_alloc(arena, net->state_count, sizeof(float));
    float *state = net->state;
    for (size_t i = 0; i < net->layers; i++) {
        struct uh_layer *layer = &net->layer[i];
        if (layer->weight_count == 0) {
            continue;
        }
        layer->weight = net->parameters + layer->weight_at;
        layer->bias = net->parameters + layer->bias_at;
        if (layer->kind == UH_BATCHNORM) {
            size_t c = layer->in.channels;
            layer->running_mean = state;
            layer->running_var = state + c;
            state += 2 * c;
            for (size_t j = 0; j < c; j++) {
                layer->weight[j] = 1;
                layer->running_var[j] = 1;
            }
        }
    }
}

struct uh_net uh_net_copy(const struct uh_net *net, struct uh_arena *arena)
{
    struct uh_net copy = *net;
    copy.arch = uh_arena_text(arena, net->arch);
    copy.layer = uh_arena_alloc(arena, net->layers, sizeof *copy.layer);
    memcpy(copy.layer, net->layer, net->layers * sizeof *copy.layer);
    for (size_t i = 0; i < net->layers; i++) {
        if (copy.layer[i].name) {
            copy.layer[i].name = uh_arena_text(arena, copy.layer[i].name);
        }
    }
    uh_net_allocate(&copy, arena);
    memcpy(copy.parameters, net->parameters,
           net->parameter_count * sizeof *copy.parameters);
    memcpy(copy.state, net->state, net->state_count * sizeof *copy.state);
    return copy;
}

/* -- beginnings and digests -------------------------------------------------- */

/* Whether the unit that layer i feeds is one of the ReLU family. */
static int feeds_relu(const struct uh_net *net, size_t i)
{
    for (i++; i < net->layers; i++) {
        switch (net->layer[i].kind) {
        case UH_RELU:
        case UH_LEAKYRELU:
        case UH_ELU:
        case UH_SOFTPLUS:
            return 1;
        case UH_TANH:
        case UH_SIGMOID:
        case UH_DENSE:
        case UH_CONV:
            return 0;
        default:
            break;
        }
    }
    return 0;
}

static void init_layer(const struct uh_net *net, size_t i, const char *name)
{
    struct uh_layer *layer = &net->layer[i];
    struct uh_stream stream = uh_stream_open("%s/%zu", name, i);
    double places = (double)(layer->kernel[0] * layer->kernel[1]);
    double groups = (double)layer->groups;
    double fan_in = (double)layer->in.channels / groups * places;
    double fan_out = (double)layer->out.channels / groups * places;
    double he = sqrt(2 / fan_in), glorot = sqrt(6 / (fan_in + fan_out));
    int relu = feeds_relu(net, i);
    for (size_t j = 0; j < layer->weight_count; j++) {
        layer->weight[j] =
            (float)(relu ? he * uh_stream_normal(&stream)
                         : glorot * (2 * uh_stream_uniform(&stream) - 1));
    }
}

void uh_net_init(struct uh_net *net, const char *stream)
{
    memset(net->parameters, 0, net->parameter_count * sizeof *net->parameters);
    memset(net->state, 0, net->state_count * sizeof *net->state);
    for (size_t i = 0; i < net->layers; i++) {
        struct uh_layer *layer = &net->layer[i];
        if (layer->kind == UH_BATCHNORM) {
            for (size_t c = 0; c < layer->in.channels; c++) {
                layer->weight[c] = 1;
                layer->running_var[c] = 1;
            }
        } else if (layer->weight_count) {
            init_layer(net, i, stream);
        }
    }
}

static void digest_floats(struct uh_digest *digest, size_t n, const float *v)
{
    uint8_t bytes[4096];
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) {
            bytes[used++] = (uint8_t)(bits >> shift);
        }
        if (used == sizeof bytes || i + 1 == n) {
            uh_digest_add(digest, bytes, used);
            used = 0;
        }
    }
}

void uh_net_digest(const struct uh_net *net, char hex[65])
{
    struct uh_digest digest;
    uh_digest_start(&digest);
    digest_floats(&digest, net->parameter_count, net->parameters);
    digest_floats(&digest, net->state_count, net->state);
    uh_digest_end(&digest, hex);
}

size_t uh_argmax(size_t n, const float v[])
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++) {
        if (v[i] > v[best]) {
            best = i;
        }
    }
    return best;
}

/* -- forward ---------------------------------------------------------------- */

/* Layers that move no entry pass their input's array on. */
static int passes_on(enum uh_kind kind)
{
    return kind == UH_FLATTEN || kind == UH_MARK || kind == UH_FROM;
}

/* The array that layer i reads. */
static const float *input_of(const struct uh_net *net,
                             const struct uh_trace *trace, size_t i)
{
    if (net->layer[i].kind == UH_FROM) {
        return trace->out[net->layer[i].source];
    }
    return i == 0 ? trace->in : trace->out[i - 1];
}

/* The current tensor and the kept one of add or cat, for n samples. */
static void join(const struct uh_layer *layer, size_t n, const float *in,
                 const float *kept, float *out)
{
    size_t now = uh_shape_size(layer->in), all = uh_shape_size(layer->out);
    if (layer->kind == UH_ADD) {
        for (size_t j = 0; j < n * now; j++) {
            out[j] = in[j] + kept[j];
        }
        return;
    }
    size_t before = all - now;
    for (size_t s = 0; s < n; s++) {
        memcpy(out + s * all, kept + s * before, before * sizeof *out);
        memcpy(out + s * all + before, in + s * now, now * sizeof *out);
    }
}

/* Runs layers 0..last; what is kept depends on the arena, which the caller
 * releases.  lean: a convolution and the pool behind it are done in one. */
static struct uh_trace run(const struct uh_net *net, struct uh_pool *pool,
                           size_t last, size_t n, const float *x, int training,
                           int lean, struct uh_arena *arena)
{
    struct uh_trace trace = {.count = n, .in = x, .training = training};
    trace.out = uh_arena_alloc(arena, net->layers, sizeof *trace.out);
    trace.notes = uh_arena_alloc(arena, net->layers, sizeof *trace.notes);
    for (size_t i = 0; i <= last; i++) {
        const struct uh_layer *layer = &net->layer[i];
        const float *in = input_of(net, &trace, i);
        if (passes_on(layer->kind)) {
            trace.out[i] = in;
            continue;
        }
        if (lean && i < last && uh_layer_joins(layer, layer + 1)) {
            continue;
        }
        size_t size = uh_size_mul(n, uh_shape_size(layer->out));
        float *out = uh_arena_alloc_raw(arena, size, sizeof *out);
        struct uh_layer_notes *notes = &trace.notes[i];
        if (layer->kind == UH_ADD || layer->kind == UH_CAT) {
            join(layer, n, in, trace.out[layer->source], out);
        } else {
            if (layer->kind == UH_MAXPOOL) {
                notes->choice =
                    uh_arena_alloc_raw(arena, size, sizeof *notes->choice);
            } else if (layer->kind == UH_BATCHNORM && training) {
                size_t c = layer->in.channels;
                notes->mean = uh_arena_alloc(arena, c, sizeof(float));
                notes->variance = uh_arena_alloc(arena, c, sizeof(float));
                notes->inverse = uh_arena_alloc(arena, c, sizeof(float));
            }
            if (in) {
                uh_layer_forward(layer, pool, n, in, out, notes);
            } else {
                uh_layer_joined_forward(layer - 1, layer, pool, n,
                                        input_of(net, &trace, i - 1), out,
                                        notes->choice);
            }
        }
        trace.out[i] = out;
    }
    return trace;
}

struct uh_trace uh_net_trace(const struct uh_net *net, struct uh_pool *pool,
                             size_t n, const float *x, int training,
                             struct uh_arena *arena)
{
    UH_REQUIRE(n > 0, "a trace of no samples");
    return run(net, pool, net->layers - 1, n, x, training, 0, arena);
}

struct uh_trace uh_net_trace_lean(const struct uh_net *net,
                                  struct uh_pool *pool, size_t n,
                                  const float *x, struct uh_arena *arena)
{
    UH_REQUIRE(n > 0, "a trace of no samples");
    return run(net, pool, net->layers - 1, n, x, 1, 1, arena);
}

struct forward {
    const struct uh_net *net;
    size_t last, n, per_cell;
    const float *x;
    float *y;
};

static void forward_cell(void *context, size_t index, struct uh_pool *pool)
{
    const struct forward *f = context;
    size_t at = index * f->per_cell;
    size_t n = f->n - at < f->per_cell ? f->n - at : f->per_cell;
    size_t in = uh_shape_size(f->net->in);
    size_t out = uh_shape_size(f->net->layer[f->last].out);
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    struct uh_trace trace =
        run(f->net, pool, f->last, n, f->x + at * in, 0, 1, scratch);
    memcpy(f->y + at * out, trace.out[f->last], n * out * sizeof *f->y);
    uh_arena_release(scratch, mark);
}

/* Samples of a cell: what is kept of them stays within CELL_ENTRIES. */
static size_t samples_of_cell(const struct uh_net *net, size_t last)
{
    size_t entries = 1;
    for (size_t i = 0; i <= last; i++) {
        entries += uh_shape_size(net->layer[i].out);
    }
    size_t n = CELL_ENTRIES / entries;
    return n < 1 ? 1 : n > CELL_SAMPLES ? CELL_SAMPLES : n;
}

void uh_net_forward_to(const struct uh_net *net, struct uh_pool *pool,
                       size_t layer, size_t n, const float *x, float *y)
{
    UH_REQUIRE(layer < net->layers, "layer %zu of %zu", layer, net->layers);
    struct forward f = {net, layer, n, samples_of_cell(net, layer), x, y};
    size_t cells = (n + f.per_cell - 1) / f.per_cell;
    if (cells == 1) {
        forward_cell(&f, 0, pool); /* the layers have all threads */
    } else {
        uh_cells(pool, cells, forward_cell, &f);
    }
}

void uh_net_forward(const struct uh_net *net, struct uh_pool *pool, size_t n,
                    const float *x, float *y)
{
    uh_net_forward_to(net, pool, net->layers - 1, n, x, y);
}

/* -- backward --------------------------------------------------------------- */

/* Gradients to tensors on their way back: slot i+1 is the output of layer i,
 * slot 0 the input.  NULL: nothing has arrived yet. */
struct backward {
    const struct uh_net *net;
    const struct uh_trace *trace;
    struct uh_pool *pool;
    size_t count;
    struct uh_arena *arena;
    float **slot;
    float *dparameters;           /* NULL: not wanted, or for the taker */
    const struct uh_taker *taker; /* or NULL */
    int dx_wanted;
};

/* A gradient that arrives: the array becomes the slot's, or is added to what
 * is there.  Arrays that two slots share are copied first. */
static void arrive(struct backward *b, size_t slot, size_t size, float *d)
{
    if (!b->slot[slot]) {
        b->slot[slot] = d;
        return;
    }
    for (size_t j = 0; j < size; j++) {
        b->slot[slot][j] += d[j];
    }
}

static float *fresh(struct backward *b, size_t size)
{
    return uh_arena_alloc_raw(b->arena, size, sizeof(float));
}

static float *copy_of(struct backward *b, size_t size, const float *d)
{
    float *copy = fresh(b, size);
    memcpy(copy, d, size * sizeof *copy);
    return copy;
}

/* Whether any layer that holds parameters comes before slot, or the gradient
 * to the input is wanted anyway. */
static int wanted(const struct backward *b, size_t slot)
{
    int to_parameters = b->dparameters || b->taker;
    for (size_t i = 0; to_parameters && i < slot; i++) {
        if (b->net->layer[i].weight_count) {
            return 1;
        }
    }
    return b->dx_wanted;
}

/* Hands gradients of a layer over; NULL: they are 0. */
static void hand_over(struct backward *b, const struct uh_layer *layer,
                      const float *dweight, const float *dbias)
{
    struct uh_mark mark = uh_arena_open(b->arena);
    if (!dweight) {
        dweight = uh_arena_alloc(b->arena, layer->weight_count, sizeof(float));
        dbias = uh_arena_alloc(b->arena, layer->bias_count, sizeof(float));
    }
    const struct uh_taker *taker = b->taker;
    taker->take(taker->context, layer->weight_at, layer->weight_count, dweight);
    taker->take(taker->context, layer->bias_at, layer->bias_count, dbias);
    uh_arena_release(b->arena, mark);
}

/* Entries first .. first+size-1 of each sample of d, which has `all`. */
static float *part_of(struct backward *b, size_t all, size_t first, size_t size,
                      const float *d)
{
    float *part = fresh(b, uh_size_mul(b->count, size));
    for (size_t s = 0; s < b->count; s++) {
        memcpy(part + s * size, d + s * all + first, size * sizeof *part);
    }
    return part;
}

/* Back through a pool and the convolution before it, layer i, whose outputs
 * the trace does not have. */
static void back_through_both(struct backward *b, size_t i)
{
    const struct uh_layer *conv = &b->net->layer[i];
    size_t in = uh_size_mul(b->count, uh_shape_size(conv->in));
    float *dx = wanted(b, i) ? fresh(b, in) : NULL;
    float *dweight = NULL, *dbias = NULL;
    if (b->dparameters) {
        dweight = b->dparameters + conv->weight_at;
        dbias = b->dparameters + conv->bias_at;
    } else if (b->taker) {
        dweight = uh_arena_alloc(b->arena, conv->weight_count, sizeof(float));
        dbias = uh_arena_alloc(b->arena, conv->bias_count, sizeof(float));
    }
    uh_layer_joined_backward(
        conv, conv + 1, b->pool, b->count, input_of(b->net, b->trace, i),
        b->trace->notes[i + 1].choice, b->slot[i + 2], dweight, dbias, dx);
    if (b->taker) {
        hand_over(b, conv, dweight, dbias);
    }
    if (dx) {
        arrive(b, i, in, dx);
    }
}

/* Back through layer i, which has parameters, or acts entry by entry, or is a
 * pool; returns the gradient to its input, NULL if it is not wanted. */
static float *back_through_one(struct backward *b, size_t i)
{
    const struct uh_layer *layer = &b->net->layer[i];
    const struct uh_trace *trace = b->trace;
    const float *x = input_of(b->net, trace, i), *y = trace->out[i];
    const struct uh_layer_notes *notes = &trace->notes[i];
    const float *dy = b->slot[i + 1];
    size_t in = uh_size_mul(b->count, uh_shape_size(layer->in));
    float *dx = wanted(b, i) ? fresh(b, in) : NULL;
    if (b->taker && layer->weight_count) {
        uh_layer_backward_to(layer, b->pool, b->count, x, y, notes, dy,
                             b->taker, dx);
        return dx;
    }
    int own = b->dparameters && layer->weight_count;
    if (dx || own) {
        uh_layer_backward(layer, b->pool, b->count, x, y, notes, dy,
                          own ? b->dparameters + layer->weight_at : NULL,
                          own ? b->dparameters + layer->bias_at : NULL, dx);
    }
    return dx;
}

static void back_through(struct backward *b, size_t i)
{
    const struct uh_layer *layer = &b->net->layer[i];
    float *dy = b->slot[i + 1];
    size_t in = uh_size_mul(b->count, uh_shape_size(layer->in));
    switch (layer->kind) {
    case UH_FLATTEN:
    case UH_MARK:
        arrive(b, i, in, dy);
        break;
    case UH_FROM:
        arrive(b, layer->source + 1, in, dy);
        break;
    case UH_ADD:
        arrive(b, layer->source + 1, in, copy_of(b, in, dy));
        arrive(b, i, in, dy);
        break;
    case UH_CAT: {
        size_t all = uh_shape_size(layer->out);
        size_t now = uh_shape_size(layer->in), before = all - now;
        arrive(b, layer->source + 1, uh_size_mul(b->count, before),
               part_of(b, all, 0, before, dy));
        arrive(b, i, in, part_of(b, all, before, now, dy));
        break;
    }
    default: {
        float *dx = back_through_one(b, i);
        if (dx) {
            arrive(b, i, in, dx);
        }
    }
    }
}

/* Backward from the output of a layer; the rest of b is what is wanted. */
static void sweep(struct backward *b, size_t layer, const float *dy, float *dx)
{
    const struct uh_net *net = b->net;
    UH_REQUIRE(layer < net->layers, "layer %zu of %zu", layer, net->layers);
    b->arena = uh_pool_scratch(b->pool);
    struct uh_mark mark = uh_arena_open(b->arena);
    b->count = b->trace->count;
    b->dx_wanted = dx != NULL;
    b->slot = uh_arena_alloc(b->arena, net->layers + 1, sizeof *b->slot);
    size_t out = uh_size_mul(b->count, uh_shape_size(net->layer[layer].out));
    b->slot[layer + 1] = copy_of(b, out, dy);
    for (size_t i = layer + 1; i-- > 0;) {
        if (b->slot[i + 1] && i > 0 && !b->trace->out[i - 1]) {
            back_through_both(b, --i);
        } else if (b->slot[i + 1]) {
            back_through(b, i);
        } else if (b->taker && net->layer[i].weight_count) {
            hand_over(b, &net->layer[i], NULL, NULL);
        }
    }
    if (dx) {
        size_t in = uh_size_mul(b->count, uh_shape_size(net->in));
        if (b->slot[0]) {
            memcpy(dx, b->slot[0], in * sizeof *dx);
        } else {
            memset(dx, 0, in * sizeof *dx);
        }
    }
    uh_arena_release(b->arena, mark);
}

void uh_net_backward_from(const struct uh_net *net, struct uh_pool *pool,
                          const struct uh_trace *trace, size_t layer,
                          const float *dy, float *dparameters, float *dx)
{
    struct backward b = {
        .net = net, .trace = trace, .pool = pool, .dparameters = dparameters};
    sweep(&b, layer, dy, dx);
}

void uh_net_backward_to(const struct uh_net *net, struct uh_pool *pool,
                        const struct uh_trace *trace, const float *dy,
                        const struct uh_taker *taker)
{
    struct backward b = {
        .net = net, .trace = trace, .pool = pool, .taker = taker};
    sweep(&b, net->layers - 1, dy, NULL);
}

void uh_net_backward(const struct uh_net *net, struct uh_pool *pool,
                     const struct uh_trace *trace, const float *dy,
                     float *dparameters, float *dx)
{
    uh_net_backward_from(net, pool, trace, net->layers - 1, dy, dparameters,
                         dx);
}

/* -- folding ------------------------------------------------------------------ */

/* Whether layer i is a batchnorm that nothing but layer i-1 feeds and that
 * can be folded into it. */
static int folds(const struct uh_net *net, size_t i)
{
    return i > 0 && net->layer[i].kind == UH_BATCHNORM &&
           (net->layer[i - 1].kind == UH_DENSE ||
            net->layer[i - 1].kind == UH_CONV);
}

static void fold_into(const struct uh_layer *norm, struct uh_layer *layer)
{
    size_t terms = layer->weight_count / layer->out.channels;
    for (size_t o = 0; o < layer->out.channels; o++) {
        double scale, shift;
        uh_layer_norm_affine(norm, o, &scale, &shift);
        for (size_t j = o * terms; j < (o + 1) * terms; j++) {
            layer->weight[j] = (float)((double)layer->weight[j] * scale);
        }
        layer->bias[o] = (float)((double)layer->bias[o] * scale + shift);
    }
}

struct uh_net uh_net_fold(const struct uh_net *net, struct uh_arena *arena)
{
    struct uh_net whole = uh_net_copy(net, arena), folded = *net;
    size_t *moved = uh_arena_alloc(arena, net->layers, sizeof *moved);
    folded.layer = uh_arena_alloc(arena, net->layers, sizeof *folded.layer);
    folded.layers = folded.parameter_count = folded.state_count = 0;
    for (size_t i = 0; i < net->layers; i++) {
        moved[i] = folded.layers;
        if (folds(net, i)) {
            fold_into(&whole.layer[i], &whole.layer[i - 1]);
        } else {
            struct uh_layer *layer = &folded.layer[folded.layers++];
            *layer = whole.layer[i];
            if (layer->source != SIZE_MAX) {
                layer->source = moved[layer->source];
            }
            layer->weight_at = folded.parameter_count;
            layer->bias_at = layer->weight_at + layer->weight_count;
            folded.parameter_count = layer->bias_at + layer->bias_count;
            if (layer->kind == UH_BATCHNORM) {
                folded.state_count += 2 * layer->in.channels;
            }
        }
    }
    folded.arch = uh_net_arch(&folded, arena);
    struct uh_net out = folded;
    uh_net_allocate(&out, arena);
    for (size_t i = 0, j = 0; i < net->layers; i++) {
        if (folds(net, i)) {
            continue;
        }
        const struct uh_layer *from = &whole.layer[i];
        struct uh_layer *to = &out.layer[j++];
        if (from->weight_count) {
            memcpy(to->weight, from->weight,
                   from->weight_count * sizeof *to->weight);
            memcpy(to->bias, from->bias, from->bias_count * sizeof *to->bias);
        }
        if (from->kind == UH_BATCHNORM) {
            size_t bytes = from->in.channels * sizeof *to->running_mean;
            memcpy(to->running_mean, from->running_mean, bytes);
            memcpy(to->running_var, from->running_var, bytes);
        }
    }
    return out;
}
