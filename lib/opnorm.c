/* opnorm.c: the norm of a layer from below and from above. */
#include "opnorm.h"

#include "die.h"
#include "fmath.h"
#include "layer_lrn.h"
#include "layer_norm.h"
#include "opnorm_parts.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum {
    LOOK = 4,    /* steps between two looks at the bounds */
    ROUNDS = 12, /* start vectors that are drawn at most */
    SMALL = 1024 /* sides of a map that is formed after all */
};

static const double default_tolerance = 1e-6, default_failure = 1e-9;
static const double most_failure = 0.01;
static const size_t default_steps = 2000;

/* Ritz vectors have converged when their residuals together are so small,
 * relatively. */
static const double settled_at = 5e-5;

/* With a relative gap below the top, the next run takes about price / sqrt(gap)
 * steps; vectors are taken out once this one has taken so much of that. */
static const double price = 13, patience = 0.6;

/* A gap that rounding leaves too little of. */
static const double least_gap = 0.002;

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct settings {
    const char *stream;
    int bounds;
    double tolerance, failure;
    size_t steps;
};

static struct settings settings_of(const struct uh_opnorm_options *o)
{
    const struct settings s = {o->stream, o->bounds ? o->bounds : UH_OPNORM_ALL,
                               o->tolerance > 0 ? o->tolerance
                                                : default_tolerance,
                               o->failure > 0 ? o->failure : default_failure,
                               o->steps ? o->steps : default_steps};
    UH_REQUIRE(s.stream, "a norm whose start vector nobody draws");
    UH_REQUIRE(s.failure <= most_failure, "%g", s.failure);
    return s;
}

/* The vector that belongs to a name: a normal variate for each entry of the
 * layer's input, in its order, then divided by the norm. */
static double *drawn(const struct uh_map *map, size_t size, const char *stream,
                     struct uh_arena *arena)
{
    struct uh_arena *scratch = uh_pool_scratch(uh_map_pool(map));
    const struct uh_mark mark = uh_arena_open(scratch);
    double *v = uh_arena_alloc_raw(scratch, size, sizeof *v);
    struct uh_stream s = uh_stream_open("%s", stream);
    for (size_t i = 0; i < size; i++) {
        v[i] = uh_stream_normal(&s);
    }
    const size_t dim = uh_map_in(map);
    double *x = uh_arena_alloc_raw(arena, dim, sizeof *x);
    uh_map_import(map, v, x);
    uh_arena_release(scratch, mark);
    const double norm = uh_opnorm_length(uh_map_kernel(map), dim, x);
    for (size_t i = 0; i < dim; i++) {
        x[i] /= norm;
    }
    return x;
}

/* -- constants of theory -------------------------------------------------------- */

static struct uh_opnorm constant(double value)
{
    return (struct uh_opnorm){
        .lower = value, .upper = value, .upper_proved = value};
}

/* Most windows of a pooling that share a place of the axis. */
static size_t sharing(const struct uh_layer *a, int d, size_t size,
                      size_t windows)
{
    size_t most = 0;
    for (size_t y = 0; y < size; y++) {
        size_t count = 0;
        for (size_t o = 0; o < windows; o++) {
            const size_t from = o * a->stride[d], at = y + a->pad[d];
            count += at >= from && at < from + a->kernel[d];
        }
        most = count > most ? count : most;
    }
    return most;
}

static double largest_scale(const struct uh_layer *layer)
{
    double most = 0;
    for (size_t c = 0; c < layer->in.channels; c++) {
        double scale, shift;
        uh_layer_norm_affine(layer, c, &scale, &shift);
        most = fmax(most, fabs((double)(float)scale));
    }
    return most;
}

/* Above as layer_lrn.h proves; at 0 the Jacobian is k^-beta. */
static struct uh_opnorm lrn_bounds(const struct uh_layer *layer)
{
    const double k = (double)layer->value, beta = (double)layer->beta;
    if (!(k > 0) || !(beta >= 0) || layer->alpha < 0) {
        return (struct uh_opnorm){.upper = (double)INFINITY,
                                  .upper_proved = (double)INFINITY};
    }
    const double least_scale = uh_exp(-beta * uh_log(k));
    const double bound = uh_layer_lrn_constant(layer);
    return (struct uh_opnorm){.lower = least_scale * (1 - 1e-12),
                              .upper = bound,
                              .upper_proved = bound};
}

/* The constants of theory; -1: the layer is a matrix. */
static double constant_of(const struct uh_layer *layer)
{
    switch (layer->kind) {
    case UH_DENSE:
    case UH_CONV:
    case UH_MEANPOOL:
        return -1;
    case UH_RELU:
    case UH_TANH:
    case UH_SOFTPLUS:
    case UH_FLATTEN:
    case UH_MARK:
    case UH_FROM:
        return 1;
    case UH_SIGMOID:
        return 0.25;
    case UH_LEAKYRELU:
    case UH_ELU:
        return fmax(1, fabs((double)layer->value));
    case UH_BATCHNORM:
        return largest_scale(layer);
    case UH_MAXPOOL: {
        const size_t count =
            sharing(layer, 0, layer->in.height, layer->out.height) *
            sharing(layer, 1, layer->in.width, layer->out.width);
        const double root = sqrt((double)count);
        return root;
    }
    default:
        uh_broken_contract(__func__, "the layer has a norm by itself", "%s",
                           uh_kind_word(layer->kind));
    }
}

static double prove(const struct uh_layer *layer, const float *scale,
                    const struct uh_map *map, double lower,
                    struct uh_pool *pool)
{
    double bound = uh_map_simple(map);
    const size_t side = least(uh_map_in(map), uh_map_out(map));
    if (layer->kind == UH_DENSE) {
        if (side <= UH_OPNORM_FACTOR) {
            bound =
                fmin(bound, uh_prove_dense(layer, scale, uh_map_absolute(map),
                                           lower, pool));
        }
    } else {
        if (uh_map_in(map) <= SMALL) {
            bound = fmin(bound, uh_prove_small(map, lower));
        } else if (layer->kind == UH_CONV) {
            bound = fmin(bound, uh_prove_conv(map, lower));
        }
    }
    return bound;
}

static struct uh_opnorm zero_map(size_t dim, struct uh_arena *arena)
{
    double *v = uh_arena_alloc(arena, dim, sizeof *v);
    v[0] = 1;
    return (struct uh_opnorm){.linear = 1, .dim = dim, .vector = v};
}

/* -- runs --------------------------------------------------------------------------- */

/* The work on one layer. */
struct search {
    struct settings s;
    const struct uh_layer *layer;
    const struct uh_map *map;
    struct uh_arena *arena;
    double delta;
    size_t used;          /* steps, of all runs */
    struct uh_krylov run; /* the newest */
    size_t known;
    double *out[UH_KRYLOV_KNOWN];
    double best;    /* largest Ritz value, */
    double *vector; /* and its vector, (map's in) */
};

/* Takes note of the newest run's top. */
static void note_top(struct search *q)
{
    struct uh_krylov *r = &q->run;
    const double value = uh_krylov_value(r, 0);
    if (value > q->best || !q->vector) {
        double *s = uh_arena_alloc(q->arena, r->steps, sizeof *s);
        uh_krylov_vectors(r, 1, &value, s);
        uh_krylov_combine(r, s);
        q->vector = uh_arena_alloc_raw(q->arena, r->dim, sizeof *q->vector);
        memcpy(q->vector, r->w, r->dim * sizeof *q->vector);
        q->best = value;
    }
}

/* The tau of which a refutation gives what is asked; 0: there is none. */
static double target(const struct search *q, double best)
{
    const struct uh_krylov *r = &q->run;
    const double most = 1 + 0.999 * q->s.tolerance, lambda = best * most * most;
    if (lambda <= r->inside) {
        return 0;
    }
    return lambda - r->across / (lambda - r->inside) * r->across * (1 + 1e-9);
}

/* How many of the largest Ritz vectors have converged, and their coordinates;
 * 0 where waiting for more pays. */
static size_t settled(const struct search *q, double top, double **s)
{
    const struct uh_krylov *r = &q->run;
    const size_t room = least(UH_KRYLOV_KNOWN - q->known, r->steps);
    double value[UH_KRYLOV_KNOWN + 1];
    const double last = r->beta[r->steps - 1], limit = settled_at * top;
    size_t count = 0, tried = 0;
    *s = uh_arena_alloc(q->arena, room * r->steps, sizeof **s);
    while (count == tried && tried < room) {
        const size_t before = tried;
        tried = least(room, 2 * tried + 1);
        for (size_t i = before; i < tried; i++) {
            value[i] = uh_krylov_value(r, i);
        }
        uh_krylov_vectors(r, tried, value, *s);
        double sum = 0;
        for (count = 0; count < tried; count++) {
            const double end = last * (*s)[(count + 1) * r->steps - 1];
            sum += end * end;
            if (sum > limit * limit) {
                break;
            }
        }
    }
    const double next = count < r->steps ? uh_krylov_value(r, count) : 0;
    const double gap = 1 - next / top;
    const int pays = (double)r->steps >= patience * price / sqrt(fabs(gap));
    return last == 0 || (gap > least_gap && pays) ? count : 0;
}

static void take_out(struct search *q, size_t count, const double *s)
{
    struct uh_krylov *r = &q->run;
    for (size_t i = 0; i < count; i++) {
        uh_krylov_combine(r, s + i * r->steps);
        double *y = uh_arena_alloc_raw(q->arena, r->dim, sizeof *y);
        memcpy(y, r->w, r->dim * sizeof *y);
        q->out[q->known++] = y;
    }
}

enum end { PROVED, TAKEN, GIVEN_UP };

/* Steps until the bound is proved, or vectors are ready to be taken out. */
static enum end iterate(struct search *q, int round)
{
    struct uh_krylov *r = &q->run;
    const int upper = q->s.bounds & UH_OPNORM_UPPER;
    double before = 0;
    int more = 1;
    while (more) {
        more = uh_krylov_step(r);
        q->used++;
        if (more && r->steps % LOOK) {
            continue;
        }
        const struct uh_mark mark = uh_arena_open(q->arena);
        const double value = uh_krylov_value(r, 0);
        const double top = fmax(value, q->best);
        double *s = NULL;
        if (!upper) {
            if (value - before <= 0.1 * q->s.tolerance * value) {
                return PROVED;
            }
        } else if (uh_krylov_refutes(r, q->delta, target(q, top))) {
            return PROVED;
        } else if (!round || value > target(q, top) * (1 - least_gap)) {
            const size_t count = settled(q, top, &s);
            if (count > 0) {
                note_top(q);
                take_out(q, count, s);
                return TAKEN;
            }
        }
        before = value;
        uh_arena_release(q->arena, mark);
    }
    return GIVEN_UP;
}

/* The name of the stream of a round. */
static const char *round_name(const char *stream, int round,
                              struct uh_arena *arena)
{
    return round ? uh_arena_format(arena, "%s/again/%d", stream, round)
                 : uh_arena_text(arena, stream);
}

static void keep_run(const struct search *q, const char *stream,
                     struct uh_opnorm *out)
{
    const struct uh_krylov *r = &q->run;
    double **known = uh_arena_alloc(q->arena, r->known, sizeof *known);
    memcpy(known, q->out, r->known * sizeof *known);
    out->run = (struct uh_lanczos){.stream = stream,
                                   .dim = r->dim,
                                   .steps = r->steps,
                                   .alpha = r->alpha,
                                   .beta = r->beta,
                                   .basis = (const double *const *)r->basis,
                                   .known = r->known,
                                   .out = (const double *const *)known};
}

/* The bound of the norm that a run proves. */
static double proved_by(const struct uh_krylov *r, double delta)
{
    const double simple = uh_map_simple(r->map);
    const double tau =
        uh_krylov_least(r, delta, uh_krylov_value(r, 0), 4 * simple * simple);
    return sqrt(uh_krylov_whole(r, tau)) * (1 + 2 * UH_UNIT);
}

/* Draws, iterates, takes out, until the bound is proved. */
static void search(struct search *q, const char *stream, struct uh_opnorm *out)
{
    enum end end = TAKEN;
    for (int round = 0; round < ROUNDS && end == TAKEN; round++) {
        const char *name = round_name(stream, round, q->arena);
        const size_t most = least(q->s.steps - q->used, uh_map_in(q->map) + 8);
        if (most == 0) {
            return;
        }
        q->run = uh_krylov_open(q->map, most, q->known, q->out, q->arena);
        if (!uh_krylov_start(&q->run,
                             drawn(q->map, out->dim, name, q->arena))) {
            return;
        }
        end = iterate(q, round);
        note_top(q);
        keep_run(q, name, out);
    }
    if (!(q->s.bounds & UH_OPNORM_UPPER)) {
        return;
    }
    out->upper = proved_by(&q->run, q->delta);
    out->failure = q->s.failure;
}

/* The gain of x, less what rounding may have added. */
static double gain(const struct uh_map *map, const double *x,
                   struct uh_arena *arena)
{
    const size_t n = uh_map_in(map), m = uh_map_out(map);
    const double off = uh_opnorm_length_error(n + m);
    double *y = uh_arena_alloc_raw(arena, m, sizeof *y);
    uh_map_apply(map, x, y);
    const double from = uh_opnorm_length(uh_map_kernel(map), n, x) * (1 + off);
    const double to = uh_opnorm_length(uh_map_kernel(map), m, y) * (1 - off);
    const double error = uh_map_error(map) * uh_map_absolute(map);
    return fmax(0, (to / from - error) * (1 - 8 * UH_UNIT));
}

static struct uh_opnorm unknown(const struct uh_layer *layer)
{
    return (struct uh_opnorm){.linear = 1,
                              .upper = (double)INFINITY,
                              .upper_proved = (double)INFINITY,
                              .dim = uh_shape_size(layer->in)};
}

static void conclude(const struct search *q, struct uh_opnorm *out)
{
    double *v = uh_arena_alloc_raw(q->arena, out->dim, sizeof *v);
    uh_map_export(q->map, q->vector, v);
    out->vector = v;
    out->lower = gain(q->map, q->vector, q->arena);
}

struct uh_opnorm uh_opnorm_named(const struct uh_layer *layer,
                                 const float *scale,
                                 const struct uh_opnorm_options *options,
                                 const char *stream, struct uh_pool *pool,
                                 struct uh_arena *arena)
{
    const struct settings s = settings_of(options);
    if (layer->kind == UH_LRN) {
        return lrn_bounds(layer);
    }
    const double known = constant_of(layer);
    if (known >= 0) {
        return constant(known);
    }
    struct uh_arena *own = uh_arena_new(); /* packed weights */
    const struct uh_map *map = uh_map_of(layer, scale, 0, pool, own);
    struct uh_opnorm out = unknown(layer);
    const double simple = uh_map_simple(map);
    if (!(simple > 0)) {
        uh_arena_free(&own);
        return zero_map(out.dim, arena);
    }
    struct search q = {.s = s,
                       .layer = layer,
                       .map = map,
                       .arena = arena,
                       .delta = uh_krylov_delta(uh_map_in(map), s.failure)};
    search(&q, stream, &out);
    conclude(&q, &out);
    if (s.bounds & UH_OPNORM_PROVED) {
        out.upper_proved = prove(layer, scale, map, out.lower, pool);
    }
    if ((s.bounds & UH_OPNORM_UPPER) &&
        !(out.upper < fmin(out.upper_proved, simple))) {
        out.upper = fmin(out.upper_proved, simple);
        out.failure = 0;
    }
    UH_REQUIRE(out.lower <= out.upper && out.lower <= out.upper_proved,
               "%.17g, %.17g, %.17g", out.lower, out.upper, out.upper_proved);
    if (!(s.bounds & UH_OPNORM_LOWER)) {
        out.lower = 0;
    }
    uh_arena_free(&own);
    return out;
}

struct uh_opnorm uh_opnorm_layer(const struct uh_layer *layer,
                                 const float *scale,
                                 const struct uh_opnorm_options *options,
                                 struct uh_pool *pool, struct uh_arena *arena)
{
    const char *stream = uh_arena_format(arena, "%s/0", options->stream);
    return uh_opnorm_named(layer, scale, options, stream, pool, arena);
}

double uh_opnorm_gain(const struct uh_layer *layer, const float *scale,
                      struct uh_pool *pool, const double *v)
{
    struct uh_arena *own = uh_arena_new();
    const struct uh_map *map = uh_map_of(layer, scale, 1, pool, own);
    const struct uh_opnorm_kernel *kernel = uh_map_kernel(map);
    const size_t size = uh_shape_size(layer->in), dim = uh_map_in(map);
    double *x = uh_arena_alloc_raw(own, dim, sizeof *x);
    uh_map_import(map, v, x);
    /* what the map leaves out counts in the denominator */
    const double whole = uh_opnorm_length(kernel, size, v) *
                         (1 + uh_opnorm_length_error(size)) * (1 + 4 * UH_UNIT);
    const double seen = uh_opnorm_length(kernel, dim, x) *
                        (1 - uh_opnorm_length_error(dim)) * (1 - 4 * UH_UNIT);
    const double found =
        seen > 0 ? gain(map, x, own) * fmin(1, seen / whole) : 0;
    uh_arena_free(&own);
    return found;
}

struct uh_opnorm uh_opnorm_from(const struct uh_layer *layer,
                                const float *scale, const double *start,
                                size_t steps, struct uh_pool *pool,
                                struct uh_arena *arena)
{
    UH_REQUIRE(constant_of(layer) < 0, "%s", uh_kind_word(layer->kind));
    struct uh_arena *own = uh_arena_new();
    const struct uh_map *map = uh_map_of(layer, scale, 1, pool, own);
    struct uh_opnorm out = unknown(layer);
    struct search q = {.layer = layer, .map = map, .arena = arena};
    q.run = uh_krylov_open(map, steps, 0, NULL, arena);
    double *x = uh_arena_alloc_raw(arena, q.run.dim, sizeof *x);
    uh_map_import(map, start, x);
    UH_REQUIRE(uh_krylov_start(&q.run, x), "a start vector of zeros");
    while (uh_krylov_step(&q.run)) {
    }
    note_top(&q);
    conclude(&q, &out);
    keep_run(&q, NULL, &out);
    uh_arena_free(&own);
    return out;
}

/* -- a second look ------------------------------------------------------------------- */

static enum uh_status refuse(struct uh_error *error, const char *what)
{
    return uh_fail(error, UH_BAD_INPUT, "run: expected %s, found none", what);
}

/* The residuals of a run that somebody hands over. */
static enum uh_status measure_again(struct uh_krylov *r,
                                    const struct uh_lanczos *run,
                                    struct uh_error *error)
{
    for (size_t j = 0; j < run->steps; j++) {
        const double a = run->alpha[j], b = run->beta[j];
        if (!isfinite(a) || !isfinite(b) || b < 0) {
            return refuse(error, "finite coefficients, beta at least 0");
        }
        if (!(uh_opnorm_length(r->kernel, r->dim, run->basis[j + 1]) <=
              1 + 1e-10)) {
            return refuse(error, "vectors of norm 1");
        }
        r->alpha[j] = a;
        r->beta[j] = b;
        r->basis[j + 1] = (double *)(size_t)run->basis[j + 1];
        uh_map_gram(r->map, r->basis[j], r->y, r->z);
        uh_krylov_measure(r, j);
        r->steps = j + 1;
    }
    return UH_OK;
}

static enum uh_status check_run(const struct uh_map *map, const double *start,
                                const struct uh_lanczos *run, double upper,
                                double failure, struct uh_arena *own,
                                struct uh_error *error)
{
    double *out[UH_KRYLOV_KNOWN];
    for (size_t i = 0; i < run->known; i++) {
        out[i] = (double *)(size_t)run->out[i];
    }
    struct uh_krylov r = uh_krylov_open(map, run->steps, run->known, out, own);
    if (run->dim != r.dim || !uh_krylov_start(&r, start) ||
        memcmp(r.basis[0], run->basis[0], r.dim * sizeof *start) != 0) {
        return refuse(error, "the first vector that the stream draws");
    }
    const enum uh_status status = measure_again(&r, run, error);
    if (status) {
        return status;
    }
    if (!(proved_by(&r, uh_krylov_delta(r.dim, failure)) <= upper)) {
        return uh_fail(error, UH_BAD_INPUT,
                       "run: expected a proof that the norm is below %.17g, "
                       "found none",
                       upper);
    }
    return UH_OK;
}

enum uh_status uh_opnorm_check(const struct uh_layer *layer, const float *scale,
                               const struct uh_lanczos *run, double upper,
                               double failure, struct uh_pool *pool,
                               struct uh_error *error)
{
    if (!run->stream || run->steps == 0 || run->known > UH_KRYLOV_KNOWN ||
        !(failure <= most_failure)) {
        return refuse(error, "the stream that drew the first vector");
    }
    struct uh_arena *own = uh_arena_new();
    const struct uh_map *map = uh_map_of(layer, scale, 0, pool, own);
    const double *start =
        drawn(map, uh_shape_size(layer->in), run->stream, own);
    const enum uh_status status =
        check_run(map, start, run, upper, failure, own, error);
    uh_arena_free(&own);
    return status;
}
