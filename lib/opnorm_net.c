/* opnorm_net.c: the norms of all layers of a network, and of the whole. */
#include "opnorm.h"

#include "die.h"
#include "layer_norm.h"
#include "mat.h"
#include "opnorm_parts.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum {
    MOST_POINTS = 16, /* of an ascent, of a small network */
    LEAST_POINTS = 2, /* of a large one */
    LEAPS = 6,        /* of a point */
    TURNS = 3,        /* of the output's direction, at each place */
    SIZES = 3,        /* of a leap, each a quarter of the one before */
    SCALE = 40        /* powers of two that a true gradient scales by */
};

static const double ascent_work = 4e9; /* products of one pass, all points */
static const double float_slack = 0x1p-16;

/* -- layers ------------------------------------------------------------------ */

static int has_weights(enum uh_kind kind)
{
    return kind == UH_DENSE || kind == UH_CONV;
}

/* The batchnorm that directly follows layer i, which takes it in; or NULL. */
static const struct uh_layer *norm_behind(const struct uh_net *net, size_t i)
{
    const int folds = has_weights(net->layer[i].kind) && i + 1 < net->layers &&
                      net->layer[i + 1].kind == UH_BATCHNORM;
    return folds ? &net->layer[i + 1] : NULL;
}

static const float *scales_of(const struct uh_layer *norm,
                              struct uh_arena *arena)
{
    if (!norm) {
        return NULL;
    }
    float *scale = uh_arena_alloc(arena, norm->in.channels, sizeof *scale);
    for (size_t c = 0; c < norm->in.channels; c++) {
        double exact, shift;
        uh_layer_norm_affine(norm, c, &exact, &shift);
        scale[c] = (float)exact;
    }
    return scale;
}

/* -- the graph: slot i + 1 belongs to the output of layer i, slot 0 to the
 * input -------------------------------------------------------------------- */

static int joins(enum uh_kind kind)
{
    return kind == UH_ADD || kind == UH_CAT;
}

/* Where the two ways that layer i joins parted. */
static size_t parting(const struct uh_net *net, size_t i)
{
    const size_t source = net->layer[i].source;
    for (size_t j = i; j-- > source;) {
        if (net->layer[j].kind == UH_FROM) {
            return net->layer[j].source + 1;
        }
    }
    return source + 1;
}

static double joined(const struct uh_net *net, size_t i, const double *slot)
{
    const double here = slot[i], there = slot[net->layer[i].source + 1];
    if (net->layer[i].kind == UH_ADD || !(fmax(here, there) > 0x1p-500)) {
        return here + there; /* squares might be 0 */
    }
    return sqrt(here * here + there * there);
}

/* A product of bounds, rounded up, by the least double at least; 0 times what
 * is unbounded is 0. */
static double times(double a, double b)
{
    return a == 0 || b == 0 ? 0 : a * b * (1 + 4 * UH_UNIT) + 0x1p-1074;
}

/* The bound of the whole; slots get those of the outputs; blocks are set. */
static double along(const struct uh_net *net, struct uh_opnorm *layer,
                    double (*norm)(const struct uh_opnorm *),
                    void (*set)(struct uh_opnorm *, double), double *slot)
{
    slot[0] = 1;
    for (size_t i = 0; i < net->layers; i++) {
        const enum uh_kind kind = net->layer[i].kind;
        if (kind == UH_FROM) {
            slot[i + 1] = slot[net->layer[i].source + 1];
        } else if (joins(kind)) {
            slot[i + 1] = joined(net, i, slot) * (1 + 4 * UH_UNIT);
            const double before = slot[parting(net, i)];
            set(&layer[i], before > 0 ? times(slot[i + 1], 1 / before) : 0);
        } else {
            slot[i + 1] = times(slot[i], norm(&layer[i]));
        }
    }
    return slot[net->layers];
}

static double upper_of(const struct uh_opnorm *n)
{
    return n->upper;
}

static double proved_of(const struct uh_opnorm *n)
{
    return n->upper_proved;
}

static void set_upper(struct uh_opnorm *n, double value)
{
    n->upper = value;
}

static void set_proved(struct uh_opnorm *n, double value)
{
    n->upper_proved = value;
}

/* -- ascent ------------------------------------------------------------------ */

struct climb {
    const struct uh_net *net;
    struct uh_pool *pool;
    struct uh_arena *arena;
    size_t in, out;
    float *x, *u, *gradient; /* (in), (out), (in) */
    double best;             /* of the gradients found from one point, */
    float *best_x, *best_u;  /* and where */
};

static double length_of(size_t n, const float *v)
{
    return sqrt(uh_dotf(n, v, v));
}

/* |J'u| at x; the gradient stays. */
static double slope(const struct climb *c, const float *x, float *gradient)
{
    const struct uh_mark mark = uh_arena_open(c->arena);
    const struct uh_trace trace =
        uh_net_trace(c->net, c->pool, 1, x, 0, c->arena);
    uh_net_backward(c->net, c->pool, &trace, c->u, NULL, gradient);
    uh_arena_release(c->arena, mark);
    return length_of(c->in, gradient) / length_of(c->out, c->u);
}

/* u turns to where the outputs go along the gradient; 0: they do not move. */
static int turn(const struct climb *c, double length)
{
    const struct uh_mark mark = uh_arena_open(c->arena);
    float *beside = uh_arena_alloc_raw(c->arena, c->in, sizeof *beside);
    float *y = uh_arena_alloc_raw(c->arena, c->out, sizeof *y);
    float *z = uh_arena_alloc_raw(c->arena, c->out, sizeof *z);
    const double size = 0x1p-10 * (1 + length_of(c->in, c->x)) / length;
    for (size_t i = 0; i < c->in; i++) {
        beside[i] = (float)((double)c->x[i] + size * (double)c->gradient[i]);
    }
    uh_net_forward(c->net, c->pool, 1, c->x, y);
    uh_net_forward(c->net, c->pool, 1, beside, z);
    for (size_t i = 0; i < c->out; i++) {
        z[i] -= y[i];
    }
    const double moved = length_of(c->out, z);
    const int moves = moved > 0 && isfinite(moved);
    for (size_t i = 0; i < c->out && moves; i++) {
        c->u[i] = (float)((double)z[i] / moved);
    }
    uh_arena_release(c->arena, mark);
    return moves;
}

/* The larger of value and what the gradient has further on. */
static double leap(const struct climb *c, double value)
{
    const struct uh_mark mark = uh_arena_open(c->arena);
    float *there = uh_arena_alloc_raw(c->arena, c->in, sizeof *there);
    float *gradient = uh_arena_alloc_raw(c->arena, c->in, sizeof *gradient);
    const double length = length_of(c->in, c->gradient);
    double size = (1 + length_of(c->in, c->x)) / length;
    for (int k = 0; k < 2 * SIZES; k++) {
        for (size_t i = 0; i < c->in; i++) {
            there[i] = (float)((double)c->x[i] + size * (double)c->gradient[i]);
        }
        const double found = slope(c, there, gradient);
        if (found > value && isfinite(found)) {
            memcpy(c->x, there, c->in * sizeof *there);
            memcpy(c->gradient, gradient, c->in * sizeof *gradient);
            value = found;
            break;
        }
        size = k % 2 ? size / -4 : -size;
    }
    uh_arena_release(c->arena, mark);
    return value;
}

static void note(struct climb *c, double value)
{
    if (value > c->best && isfinite(value)) {
        c->best = value;
        memcpy(c->best_x, c->x, c->in * sizeof *c->x);
        memcpy(c->best_u, c->u, c->out * sizeof *c->u);
    }
}

/* Whether J'(2^k u) is 2^k J'u to the bit: the way back is linear, but for what
 * is too small or too large for a float. */
static int scales(const struct climb *c, int k)
{
    for (size_t i = 0; i < c->out; i++) {
        c->u[i] = ldexpf(c->best_u[i], k);
    }
    return slope(c, c->best_x, c->gradient) == c->best;
}

/* From x, with u drawn. */
static double climb_from(struct climb *c, struct uh_stream *stream)
{
    c->best = 0;
    for (size_t i = 0; i < c->out; i++) {
        c->u[i] = (float)uh_stream_normal(stream);
    }
    for (int k = 0; k < LEAPS; k++) {
        double value = slope(c, c->x, c->gradient);
        note(c, value);
        for (int i = 0; i < TURNS && value > 0 && turn(c, value); i++) {
            value = slope(c, c->x, c->gradient);
            note(c, value);
        }
        if (!(value > 0) || !isfinite(value)) {
            break;
        }
        value = leap(c, value);
        note(c, value);
    }
    return c->best > 0 && (scales(c, SCALE) || scales(c, -SCALE)) ? c->best : 0;
}

double uh_opnorm_ascent(const struct uh_net *net, const char *name,
                        size_t points, size_t n, const float *x,
                        struct uh_pool *pool)
{
    struct uh_arena *own = uh_arena_new();
    struct climb c = {.net = net,
                      .pool = pool,
                      .arena = own,
                      .in = uh_shape_size(net->in),
                      .out = uh_shape_size(net->out)};
    c.x = uh_arena_alloc(own, c.in, sizeof *c.x);
    c.u = uh_arena_alloc(own, c.out, sizeof *c.u);
    c.gradient = uh_arena_alloc(own, c.in, sizeof *c.gradient);
    c.best_x = uh_arena_alloc(own, c.in, sizeof *c.best_x);
    c.best_u = uh_arena_alloc(own, c.out, sizeof *c.best_u);
    double best = 0;
    for (size_t p = 0; p < points + (x ? n : 0); p++) {
        struct uh_stream stream = uh_stream_open("%s/ascent/%zu", name, p);
        if (p < points) {
            for (size_t i = 0; i < c.in; i++) {
                c.x[i] = (float)uh_stream_normal(&stream);
            }
        } else {
            memcpy(c.x, x + (p - points) * c.in, c.in * sizeof *c.x);
        }
        best = fmax(best, climb_from(&c, &stream));
    }
    uh_arena_free(&own);
    return best * (1 - float_slack);
}

/* Products of one forward pass. */
static double work_of(const struct uh_net *net)
{
    double work = 1;
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *a = &net->layer[i];
        if (has_weights(a->kind)) {
            work += (double)a->weight_count *
                    (double)(a->out.height * a->out.width);
        }
    }
    return work;
}

/* Runs are large: of a network's layers only the vectors stay. */
static void keep_vector(struct uh_opnorm *out, struct uh_arena *arena)
{
    if (out->vector) {
        double *v = uh_arena_alloc_raw(arena, out->dim, sizeof *v);
        memcpy(v, out->vector, out->dim * sizeof *v);
        out->vector = v;
    }
    for (size_t i = 0; i < out->runs; i++) {
        out->run[i] = (struct uh_lanczos){.steps = out->run[i].steps};
    }
}

/* -- the whole --------------------------------------------------------------- */

struct uh_opnorm_net uh_opnorm_net(const struct uh_net *net,
                                   const struct uh_opnorm_options *options,
                                   struct uh_pool *pool, struct uh_arena *arena)
{
    struct uh_opnorm_net whole = {.layers = net->layers};
    whole.layer = uh_arena_alloc(arena, net->layers, sizeof *whole.layer);
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *layer = &net->layer[i];
        struct uh_opnorm *out = &whole.layer[i];
        if (joins(layer->kind)) {
            continue;
        }
        if (i > 0 && norm_behind(net, i - 1)) {
            *out = (struct uh_opnorm){
                .folded = 1, .lower = 1, .upper = 1, .upper_proved = 1};
            continue;
        }
        const float *scale = scales_of(norm_behind(net, i), arena);
        const char *stream =
            uh_arena_format(arena, "%s/%zu", options->stream, i);
        struct uh_arena *own = uh_arena_new();
        *out = uh_opnorm_named(layer, scale, options, stream, pool, own);
        whole.failure += out->failure;
        keep_vector(out, arena);
        uh_arena_free(&own);
    }
    double *slot = uh_arena_alloc(arena, net->layers + 1, sizeof *slot);
    whole.product_upper = along(net, whole.layer, upper_of, set_upper, slot);
    whole.network_upper = along(net, whole.layer, proved_of, set_proved, slot);
    const double points = ascent_work / work_of(net);
    if (!options->bounds || (options->bounds & UH_OPNORM_LOWER)) {
        whole.network_lower =
            uh_opnorm_ascent(net, options->stream,
                             points > MOST_POINTS    ? MOST_POINTS
                             : points < LEAST_POINTS ? LEAST_POINTS
                                                     : (size_t)points,
                             0, NULL, pool);
    }
    return whole;
}
