/* pieces_graph.c: a network as units that take sums, or choose. */
#include "pieces_graph.h"
#include "die.h"
#include "pieces.h"

#include <math.h>
#include <string.h>

int uh_kind_piecewise_linear(enum uh_kind kind)
{
    return kind != UH_ELU && kind != UH_TANH && kind != UH_SIGMOID &&
           kind != UH_SOFTPLUS && kind != UH_LRN;
}

/* -- windows -------------------------------------------------------------- */

/* A window of a conv or a pool, cut off at the image. */
struct window {
    size_t place[2], end[2]; /* kernel places inside: rows, columns */
};

static size_t extent(const struct uh_layer *layer, int d)
{
    return d == 0 ? layer->in.height : layer->in.width;
}

/* Kernel places k with 0 <= at + k dilation - pad < extent. */
static struct window window_at(const struct uh_layer *layer, size_t row,
                               size_t column)
{
    struct window w;
    size_t at[2] = {row * layer->stride[0], column * layer->stride[1]};
    for (int d = 0; d < 2; d++) {
        size_t pad = layer->pad[d], step = layer->dilation[d];
        size_t over = extent(layer, d) + pad;
        w.place[d] = at[d] < pad ? (pad - at[d] + step - 1) / step : 0;
        w.end[d] = at[d] < over ? (over - at[d] + step - 1) / step : 0;
        w.end[d] = w.end[d] < layer->kernel[d] ? w.end[d] : layer->kernel[d];
    }
    return w;
}

/* Place in the plane of kernel place (y, x) of the window. */
static size_t place_of(const struct uh_layer *layer, size_t row, size_t column,
                       size_t y, size_t x)
{
    size_t r = row * layer->stride[0] + y * layer->dilation[0] - layer->pad[0];
    size_t c =
        column * layer->stride[1] + x * layer->dilation[1] - layer->pad[1];
    return r * layer->in.width + c;
}

static size_t conv_edges(const struct uh_stage *stage, size_t i, size_t unit[],
                         double weight[])
{
    const struct uh_layer *a = stage->layer;
    size_t plane = a->out.height * a->out.width, o = i / plane, n = 0;
    size_t row = i % plane / a->out.width, column = i % a->out.width;
    size_t deep = a->in.channels / a->groups;
    size_t filters = a->out.channels / a->groups;
    size_t area = a->kernel[0] * a->kernel[1];
    struct window w = window_at(a, row, column);
    for (size_t c = 0; c < deep; c++) {
        size_t at =
            stage->in + (o / filters * deep + c) * a->in.height * a->in.width;
        const double *kernel = stage->weight + (o * deep + c) * area;
        for (size_t y = w.place[0]; y < w.end[0]; y++) {
            for (size_t x = w.place[1]; x < w.end[1]; x++) {
                unit[n] = at + place_of(a, row, column, y, x);
                weight[n++] = kernel[y * a->kernel[1] + x];
            }
        }
    }
    return n;
}

static size_t pool_edges(const struct uh_stage *stage, size_t i, size_t unit[],
                         double weight[])
{
    const struct uh_layer *a = stage->layer;
    size_t plane = a->out.height * a->out.width, n = 0;
    size_t row = i % plane / a->out.width, column = i % a->out.width;
    size_t at = stage->in + i / plane * a->in.height * a->in.width;
    struct window w = window_at(a, row, column);
    for (size_t y = w.place[0]; y < w.end[0]; y++) {
        for (size_t x = w.place[1]; x < w.end[1]; x++) {
            unit[n] = at + place_of(a, row, column, y, x);
            weight[n++] = 1;
        }
    }
    return n;
}

size_t uh_stage_places(const struct uh_stage *stage, size_t i)
{
    const struct uh_layer *a = stage->layer;
    size_t plane = a->out.height * a->out.width, places = 1;
    size_t at[2] = {i % plane / a->out.width, i % a->out.width};
    for (int d = 0; d < 2; d++) {
        size_t begin = at[d] * a->stride[d];
        size_t end = begin + a->kernel[d];
        size_t over = extent(a, d) + 2 * a->pad[d];
        places *= (end < over ? end : over) - begin;
    }
    return places;
}

/* How many units of a concatenation are those of the other tensor. */
static size_t kept_units(const struct uh_stage *stage)
{
    return stage->count - uh_shape_size(stage->layer->in);
}

size_t uh_stage_edges(const struct uh_stage *stage, size_t i, size_t unit[],
                      double weight[])
{
    size_t n = stage->fan;
    switch (stage->kind) {
    case UH_STAGE_DENSE:
        for (size_t j = 0; j < n; j++) {
            unit[j] = stage->in + j;
        }
        memcpy(weight, stage->weight + i * n, n * sizeof *weight);
        return n;
    case UH_STAGE_CONV:
        return conv_edges(stage, i, unit, weight);
    case UH_STAGE_MEAN:
    case UH_STAGE_MAX:
        return pool_edges(stage, i, unit, weight);
    case UH_STAGE_SCALE:
        unit[0] = stage->in + i;
        weight[0] = stage->weight[i / (stage->layer->in.height *
                                       stage->layer->in.width)];
        return 1;
    case UH_STAGE_ADD:
        unit[0] = stage->in + i;
        unit[1] = stage->other + i;
        weight[0] = weight[1] = 1;
        return 2;
    case UH_STAGE_CAT: {
        size_t before = kept_units(stage);
        unit[0] = i < before ? stage->other + i : stage->in + i - before;
        weight[0] = 1;
        return 1;
    }
    default:
        unit[0] = stage->in + i;
        weight[0] = 1;
        return 1;
    }
}

double uh_stage_bias(const struct uh_stage *stage, size_t i)
{
    size_t plane = stage->layer->out.height * stage->layer->out.width;
    return stage->bias ? stage->bias[i / plane] : 0;
}

/* -- and backwards --------------------------------------------------------- */

/* The output places along direction d that see input place `at`, and through
 * which kernel place; how many. */
static size_t seen_by(const struct uh_layer *a, int d, size_t at, size_t out[],
                      size_t kernel[])
{
    size_t n = 0, count = d == 0 ? a->out.height : a->out.width;
    for (size_t k = 0; k < a->kernel[d]; k++) {
        size_t back = k * a->dilation[d];
        if (at + a->pad[d] < back || (at + a->pad[d] - back) % a->stride[d]) {
            continue;
        }
        size_t o = (at + a->pad[d] - back) / a->stride[d];
        if (o < count) {
            out[n] = o;
            kernel[n++] = k;
        }
    }
    return n;
}

static size_t window_reach(const struct uh_stage *stage, size_t j,
                           size_t unit[], double weight[])
{
    enum { LARGE = 64 };
    const struct uh_layer *a = stage->layer;
    size_t room[4][LARGE], *rows = room[0], *ky = room[1], *columns = room[2],
                           *kx = room[3], n = 0;
    struct uh_arena *arena = NULL;
    if (a->kernel[0] > LARGE || a->kernel[1] > LARGE) {
        arena = uh_arena_new();
        rows = uh_arena_alloc(arena, a->kernel[0], sizeof *rows);
        ky = uh_arena_alloc(arena, a->kernel[0], sizeof *ky);
        columns = uh_arena_alloc(arena, a->kernel[1], sizeof *columns);
        kx = uh_arena_alloc(arena, a->kernel[1], sizeof *kx);
    }
    size_t area = a->kernel[0] * a->kernel[1];
    size_t plane = a->in.height * a->in.width, channel = j / plane;
    size_t deep = a->in.channels / a->groups;
    size_t filters = a->out.channels / a->groups;
    int conv = stage->kind == UH_STAGE_CONV;
    size_t first = conv ? channel / deep * filters : channel;
    size_t last = conv ? first + filters : channel + 1;
    size_t r = seen_by(a, 0, j % plane / a->in.width, rows, ky);
    size_t c = seen_by(a, 1, j % a->in.width, columns, kx);
    for (size_t o = first; o < last; o++) {
        const double *kernel =
            conv ? stage->weight + (o * deep + channel % deep) * area : NULL;
        for (size_t y = 0; y < r; y++) {
            for (size_t x = 0; x < c; x++) {
                unit[n] =
                    (o * a->out.height + rows[y]) * a->out.width + columns[x];
                weight[n++] = conv ? kernel[ky[y] * a->kernel[1] + kx[x]] : 1;
            }
        }
    }
    if (arena) {
        uh_arena_free(&arena);
    }
    return n;
}

size_t uh_stage_reach(const struct uh_stage *stage, size_t j, size_t unit[],
                      double weight[])
{
    switch (stage->kind) {
    case UH_STAGE_DENSE:
        for (size_t i = 0; i < stage->count; i++) {
            unit[i] = i;
            weight[i] = stage->weight[i * stage->fan + j];
        }
        return stage->count;
    case UH_STAGE_CONV:
    case UH_STAGE_MEAN:
    case UH_STAGE_MAX:
        return window_reach(stage, j, unit, weight);
    case UH_STAGE_SCALE:
        unit[0] = j;
        weight[0] = stage->weight[j / (stage->layer->in.height *
                                       stage->layer->in.width)];
        return 1;
    case UH_STAGE_CAT:
        unit[0] = kept_units(stage) + j;
        weight[0] = 1;
        return 1;
    default:
        unit[0] = j;
        weight[0] = 1;
        return 1;
    }
}

size_t uh_stage_reach_other(const struct uh_stage *stage, size_t j)
{
    UH_REQUIRE(stage->kind == UH_STAGE_ADD || stage->kind == UH_STAGE_CAT,
               "a stage of one tensor");
    return j; /* a concatenation begins with the other tensor */
}

/* -- the graph --------------------------------------------------------------- */

const double *uh_graph_widen(const struct uh_net *net, struct uh_arena *arena)
{
    size_t n = net->parameter_count, m = net->state_count;
    double *wide = uh_arena_alloc_raw(arena, uh_size_add(n, m), sizeof *wide);
    for (size_t i = 0; i < n; i++) {
        wide[i] = (double)net->parameters[i];
    }
    for (size_t i = 0; i < m; i++) {
        wide[n + i] = (double)net->state[i];
    }
    return wide;
}

/* As layer_norm.h has it at rest: from doubles, rounded to float32 once. */
static void scale_and_shift(const struct uh_net *net, struct uh_stage *stage,
                            const double *wide, struct uh_arena *arena)
{
    const struct uh_layer *a = stage->layer;
    size_t n = a->in.channels;
    const double *weight = wide + a->weight_at, *bias = wide + a->bias_at;
    const double *mean =
        wide + net->parameter_count + (size_t)(a->running_mean - net->state);
    const double *var =
        wide + net->parameter_count + (size_t)(a->running_var - net->state);
    double *scale = uh_arena_alloc(arena, n, sizeof *scale);
    double *shift = uh_arena_alloc(arena, n, sizeof *shift);
    for (size_t c = 0; c < n; c++) {
        double s = weight[c] / sqrt(var[c] + (double)a->value);
        scale[c] = (double)(float)s;
        shift[c] = (double)(float)(bias[c] - mean[c] * s);
    }
    stage->weight = scale;
    stage->bias = shift;
}

static void fill_stage(const struct uh_net *net, struct uh_stage *stage,
                       const double *wide, struct uh_arena *arena)
{
    const struct uh_layer *a = stage->layer;
    size_t area = a->kernel[0] * a->kernel[1];
    stage->fan = stage->reach = 1;
    switch (a->kind) {
    case UH_DENSE:
        stage->kind = UH_STAGE_DENSE;
        stage->fan = a->in.channels;
        stage->reach = a->out.channels;
        break;
    case UH_CONV:
        stage->kind = UH_STAGE_CONV;
        stage->fan = a->in.channels / a->groups * area;
        stage->reach = a->out.channels / a->groups * area;
        break;
    case UH_MAXPOOL:
    case UH_MEANPOOL:
        stage->kind = a->kind == UH_MAXPOOL ? UH_STAGE_MAX : UH_STAGE_MEAN;
        stage->fan = stage->reach = area;
        break;
    case UH_BATCHNORM:
        stage->kind = UH_STAGE_SCALE;
        scale_and_shift(net, stage, wide, arena);
        return;
    case UH_ADD:
        stage->kind = UH_STAGE_ADD;
        stage->fan = 2;
        return;
    case UH_CAT:
        stage->kind = UH_STAGE_CAT;
        return;
    default:
        stage->kind = UH_STAGE_GATE;
        stage->slope = a->kind == UH_LEAKYRELU ? (double)a->value : 0;
        return;
    }
    if (stage->kind == UH_STAGE_DENSE || stage->kind == UH_STAGE_CONV) {
        stage->weight = wide + a->weight_at;
        stage->bias = wide + a->bias_at;
    }
}

/* Where a layer's output lies, and which stage makes it. */
struct tensor {
    size_t unit, stage;
};

struct uh_graph uh_graph_of(const struct uh_net *net, const double *wide,
                            struct uh_arena *arena)
{
    struct uh_graph g = {.inputs = uh_shape_size(net->in)};
    struct tensor *at = uh_arena_alloc(arena, net->layers, sizeof *at);
    struct tensor now = {0, UH_NO_STAGE};
    g.stage = uh_arena_alloc(arena, net->layers, sizeof *g.stage);
    g.units = g.inputs;
    g.fan = g.reach = 1;
    for (size_t k = 0; k < net->layers; k++) {
        const struct uh_layer *a = &net->layer[k];
        UH_REQUIRE(uh_kind_piecewise_linear(a->kind), "%s",
                   uh_kind_word(a->kind));
        if (a->kind == UH_FROM) {
            now = at[a->source];
        } else if (a->kind != UH_FLATTEN && a->kind != UH_MARK) {
            int two = a->kind == UH_ADD || a->kind == UH_CAT;
            struct tensor other = two ? at[a->source] : now;
            struct uh_stage *s = &g.stage[g.stages];
            *s = (struct uh_stage){.layer = a,
                                   .in = now.unit,
                                   .other = other.unit,
                                   .from = now.stage,
                                   .from_other = other.stage,
                                   .out = g.units,
                                   .count = uh_shape_size(a->out)};
            fill_stage(net, s, wide, arena);
            g.fan = s->fan > g.fan ? s->fan : g.fan;
            g.reach = s->reach > g.reach ? s->reach : g.reach;
            g.edges += s->count * s->fan;
            now = (struct tensor){g.units, g.stages++};
            g.units = uh_size_add(g.units, s->count);
        }
        at[k] = now;
    }
    g.output = now.unit;
    g.output_stage = now.stage;
    g.outputs = uh_shape_size(net->out);
    return g;
}
