/* opnorm.c: the norm of a layer from below and from above. */
#include "opnorm.h"

#include "die.h"
#include "eigen.h"
#include "fmath.h"
#include "layer_lrn.h"
#include "layer_norm.h"
#include "opnorm_parts.h"
#include "stream.h"

#include <math.h>
#include <string.h>

enum {
    LOOK = 2,        /* steps between two looks at the bounds, */
    PLAN = 8,        /* and at what taking vectors out would gain */
    ROUNDS = 40,     /* draws at most */
    HEAVY = 1 << 21, /* weights of a dense layer that caches do not hold */
    SMALL = 1024,    /* sides of a map that needs no method, */
    FORMED = 2048    /* and of one that is formed, if nothing else proves it */
};

static const double default_tolerance = 1e-6, default_failure = 1e-9;
static const double most_failure = 0.01;
static const size_t default_steps = 2000;

/* Of the steps done, so many may have brought the end no nearer. */
static const double patience = 0.1;

/* Of two vectors that are taken out, |y'z|: of as many as there may be,
 * sqrt(2) KNOWN times this is less than 1/2. */
static const double most_parallel = 0x1p-9;

/* Less of an eigenvector than 1 / hidden of the usual is rare. */
static const double hidden = 10;

struct settings {
    const char *stream;
    int bounds;
    double tolerance, failure;
    size_t steps;
    int drawn;
};

static struct settings settings_of(const struct uh_opnorm_options *o)
{
    const struct settings s = {o->stream,
                               o->bounds ? o->bounds : UH_OPNORM_ALL,
                               o->tolerance > 0 ? o->tolerance
                                                : default_tolerance,
                               o->failure > 0 ? o->failure : default_failure,
                               o->steps ? o->steps : default_steps,
                               o->drawn};
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
    const size_t side = uh_least(uh_map_in(map), uh_map_out(map));
    if (layer->kind == UH_DENSE) {
        if (side <= UH_OPNORM_FACTOR) {
            bound =
                fmin(bound, uh_prove_dense(layer, scale, uh_map_absolute(map),
                                           lower, pool));
        }
    } else {
        if (uh_map_in(map) <= FORMED) {
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
    const struct uh_map *map;
    struct uh_arena *arena;
    size_t used;        /* steps, of all rounds */
    size_t first, runs; /* of the first round, the newest */
    struct uh_krylov run[UH_OPNORM_RUNS];
    double delta;
    size_t known;
    double *out[UH_KRYLOV_KNOWN];
    double best;    /* largest Ritz value, */
    double *vector; /* and its vector, (map's in) */
};

/* Any round may be the one that ends the search; all together may fail with
 * the probability that was asked for. */
static double share_of(double failure, int round)
{
    return ldexp(failure, -1 - round);
}

/* What each of so many independent vectors may fail with, where it takes all
 * of them to fail. */
static double each_of(double failure, size_t runs)
{
    return runs == 2 ? sqrt(failure) * (1 - 4 * UH_UNIT) : failure;
}

/* Takes note of the newest round's top.  What a vector gains is measured: the
 * Ritz value of a run whose vectors are orthogonal no longer may be anything. */
static void note_top(struct search *q)
{
    for (size_t i = 0; i < q->runs; i++) {
        struct uh_krylov *r = &q->run[i];
        const double value = uh_krylov_value(r, 0);
        if (value > q->best || !q->vector) {
            double *s = uh_arena_alloc(q->arena, r->steps, sizeof *s);
            uh_krylov_vectors(r, 1, &value, s,
                              uh_pool_scratch(uh_map_pool(r->map)));
            uh_krylov_combine(r, s);
            const double found = uh_map_gain_square(r->map, r->w, r->y);
            if (found > q->best || !q->vector) {
                q->vector =
                    uh_arena_alloc_raw(q->arena, r->dim, sizeof *q->vector);
                memcpy(q->vector, r->w, r->dim * sizeof *q->vector);
                q->best = found;
            }
        }
    }
}

/* The largest eigenvalue that what is asked for allows, best the norm's square
 * as far as it is known. */
static double allowed(const struct search *q, double best)
{
    const double most = 1 + 0.999 * q->s.tolerance;
    return best * most * most;
}

/* The same, with the newest runs' Ritz values taken for what they should be. */
static double goal(const struct search *q)
{
    double best = q->best;
    for (size_t i = 0; i < q->runs; i++) {
        best = fmax(best, uh_krylov_value(&q->run[i], 0));
    }
    return allowed(q, best);
}

static int all_refute(const struct search *q, double lambda)
{
    for (size_t i = 0; i < q->runs; i++) {
        const double tau = uh_krylov_beside(&q->run[i], lambda);
        if (!uh_krylov_refutes(&q->run[i], q->delta, tau)) {
            return 0;
        }
    }
    return 1;
}

/* Steps until tau is refuted where the spectrum goes up to top: the Lanczos
 * polynomial is about that of Chebyshev, cosh(2 k arsinh(sqrt(x))). */
static double steps_until(double delta, double tau, double top)
{
    if (!(tau > top)) {
        return (double)INFINITY;
    }
    const double x = tau / top - 1;
    return uh_log(4 / delta) / (2 * uh_log(sqrt(x) + sqrt(1 + x)));
}

/* What the end would cost, in steps of one vector, if so many Ritz vectors of
 * the first run, count of coordinates s, were taken out now.  An eigenvalue that
 * the run has hardly seen may lie above a Ritz value by `hidden` residuals:
 * further away the Lanczos polynomial would have shown it. */
struct plan {
    double cost;
    size_t count;
    double *s;
};

/* The largest Ritz values, their coordinates and residuals: as many as have
 * converged, and as many again.  How many. */
static size_t converged(const struct uh_krylov *r, size_t room, double lambda,
                        double *value, double *rho, double *s)
{
    const double last = r->beta[r->steps - 1];
    for (size_t done = 0, count = uh_least(room, 4);;
         count = uh_least(room, 2 * count)) {
        for (; done < count; done++) {
            value[done] = uh_krylov_value(r, done);
        }
        uh_krylov_vectors(r, count, value, s,
                          uh_pool_scratch(uh_map_pool(r->map)));
        for (size_t i = 0; i < count; i++) {
            rho[i] = fabs(last * s[(i + 1) * r->steps - 1]);
        }
        const size_t half = count / 2;
        if (count == room || hidden * rho[half] > lambda - value[half]) {
            return count;
        }
    }
}

static struct plan plan_of(const struct search *q, int round)
{
    const struct uh_krylov *r = &q->run[0];
    const size_t room = uh_least(UH_KRYLOV_KNOWN - q->known, r->steps);
    const double lambda = goal(q), share = share_of(q->s.failure, round + 1);
    const double delta =
        uh_krylov_delta(r->dim, each_of(share, UH_OPNORM_RUNS));
    double value[UH_KRYLOV_KNOWN], rho[UH_KRYLOV_KNOWN];
    double tau = uh_krylov_beside(r, lambda), far = 0;
    struct plan best = {.cost = (double)INFINITY};
    if (room == 0) {
        return best;
    }
    best.s = uh_arena_alloc(q->arena, room * r->steps, sizeof *best.s);
    const size_t count = converged(r, room, lambda, value, rho, best.s);
    for (size_t i = 0; i + 1 < count && lambda > value[i]; i++) {
        tau -= rho[i] / (lambda - value[i]) * rho[i] * (1 + 1e-3);
        far = fmax(far, rho[i]);
        const double next = value[i + 1] + hidden * rho[i + 1];
        const double top = fmax(fmin(next, value[i]), 0x1p-40 * lambda);
        if (hidden * far > value[i] - value[i + 1] ||
            lambda - tau > (lambda - top) / 4) {
            continue;
        }
        const double cost =
            UH_OPNORM_RUNS * steps_until(delta, tau, top) + (double)(i + 1);
        if (cost < best.cost) {
            best.cost = cost;
            best.count = i + 1;
        }
    }
    return best;
}

/* Turns Y so that Y'SY is diagonal. */
static void turn(struct search *q)
{
    const size_t m = q->known, n = uh_map_in(q->map);
    struct uh_arena *own = uh_arena_new();
    double *h = uh_arena_alloc(own, m * m, sizeof *h);
    double *by = uh_arena_alloc(own, m * m, sizeof *by);
    double *z = uh_arena_alloc_raw(own, n, sizeof *z);
    double *y = uh_arena_alloc_raw(own, uh_map_out(q->map), sizeof *y);
    double *turned = uh_arena_alloc(own, uh_size_mul(m, n), sizeof *turned);
    for (size_t i = 0; i < m; i++) {
        uh_map_gram(q->map, q->out[i], y, z);
        for (size_t k = 0; k <= i; k++) {
            h[i * m + k] = h[k * m + i] = uh_dot(n, q->out[k], z);
        }
    }
    uh_eigen_symmetric(m, h, by);
    for (size_t i = 0; i < m; i++) {
        for (size_t k = 0; k < m; k++) {
            for (size_t j = 0; j < n; j++) {
                turned[i * n + j] += by[k * m + i] * q->out[k][j];
            }
        }
    }
    for (size_t i = 0; i < m; i++) {
        memcpy(q->out[i], turned + i * n, n * sizeof *turned);
    }
    uh_arena_free(&own);
}

/* Whether y is a unit vector and, nearly, beside all that was taken out.  Ritz
 * vectors of a space that rounding has filled up may be one and the same. */
static int stands_alone(const struct search *q, const double *y)
{
    const size_t n = uh_map_in(q->map);
    double parallel = fabs(uh_dot(n, y, y) - 1);
    for (size_t i = 0; i < q->known; i++) {
        parallel = fmax(parallel, fabs(uh_dot(n, y, q->out[i])));
    }
    return parallel <= most_parallel;
}

static void take_out(struct search *q, const struct plan *plan)
{
    struct uh_krylov *r = &q->run[0];
    const int first = q->known == 0;
    for (size_t i = 0; i < plan->count; i++) {
        uh_krylov_combine(r, plan->s + i * r->steps);
        if (stands_alone(q, r->w)) {
            double *y = uh_arena_alloc_raw(q->arena, r->dim, sizeof *y);
            memcpy(y, r->w, r->dim * sizeof *y);
            q->out[q->known++] = y;
        }
    }
    if (!first) {
        turn(q);
    }
}

enum end { PROVED, TAKEN, GIVEN_UP }; /* TAKEN: another round may do better */

/* Steps until the goal is refuted by a run, if it goes on growing as it did in
 * the last ones. */
static double steps_to_go(const struct search *q)
{
    const double lambda = goal(q);
    double least_steps = (double)INFINITY;
    for (size_t i = 0; i < q->runs; i++) {
        const size_t k = q->run[i].steps;
        if (k > PLAN) {
            const double growth = uh_krylov_growth(&q->run[i], lambda, k);
            const double before =
                uh_krylov_growth(&q->run[i], lambda, k - PLAN);
            const double missing = -uh_log(q->delta) - growth;
            if (growth > before) {
                least_steps =
                    fmin(least_steps, PLAN * missing / (growth - before));
            }
        }
    }
    return least_steps;
}

/* Whether the plan is better than going on.  Several vectors with nothing taken
 * out go on, in the first round unless the plan costs less than half of what is
 * left; a first vector alone, which rounding keeps from the end, as long as the
 * plans get better by more than the steps cost. */
static int takes(const struct search *q, int round, int more,
                 const struct plan *plan, double *least_total)
{
    const struct uh_krylov *r = &q->run[0];
    if (plan->cost == (double)INFINITY) {
        return 0;
    }
    if (!more) {
        return q->used < q->s.steps;
    }
    const double done = (double)r->steps;
    if (q->known == 0 && q->runs > 1) {
        return round == 0 && UH_OPNORM_RUNS * steps_to_go(q) > 2 * plan->cost;
    }
    if (round) {
        const double tau = uh_krylov_beside(r, goal(q));
        const double all = steps_until(q->delta, tau, uh_krylov_value(r, 0));
        return UH_OPNORM_RUNS * fmax(0, all - done) > 1.25 * plan->cost;
    }
    *least_total = fmin(*least_total, done + plan->cost);
    return done + plan->cost > *least_total + patience * done ||
           plan->cost < patience * done;
}

/* Steps until the bound is proved, or vectors are taken out. */
static enum end iterate(struct search *q, int round)
{
    const int upper = q->s.bounds & UH_OPNORM_UPPER;
    double before = 0, least_total = (double)INFINITY;
    int more = 1;
    for (size_t step = 1; more; step++) {
        more = uh_krylov_step(q->run, q->runs);
        q->used++;
        if (more && step % LOOK) {
            continue;
        }
        if (!upper) {
            const double value = uh_krylov_value(&q->run[0], 0);
            if (step % (2 * LOOK) == 0) {
                if (value - before <= 0.1 * q->s.tolerance * value) {
                    note_top(q);
                    return PROVED;
                }
                before = value;
            }
            continue;
        }
        if (all_refute(q, goal(q))) {
            note_top(q);
            return all_refute(q, allowed(q, q->best)) ? PROVED : TAKEN;
        }
        if (more && step % PLAN) {
            continue;
        }
        const struct uh_mark mark = uh_arena_open(q->arena);
        const struct plan plan = plan_of(q, round);
        if (takes(q, round, more, &plan, &least_total)) {
            note_top(q);
            take_out(q, &plan);
            return TAKEN;
        }
        uh_arena_release(q->arena, mark);
    }
    note_top(q);
    return GIVEN_UP;
}

/* The name of the stream of a round's run. */
static const char *run_name(const char *stream, int round, size_t run,
                            struct uh_arena *arena)
{
    return round || run
               ? uh_arena_format(arena, "%s/again/%d/%zu", stream, round, run)
               : uh_arena_text(arena, stream);
}

static void keep_run(const struct search *q, size_t i, const char *stream,
                     struct uh_opnorm *out)
{
    const struct uh_krylov *r = &q->run[i];
    double **known = uh_arena_alloc(q->arena, r->known, sizeof *known);
    for (size_t k = 0; k < r->known; k++) {
        known[k] = r->out[k];
    }
    out->run[i] = (struct uh_lanczos){.stream = stream,
                                      .dim = r->dim,
                                      .steps = r->steps,
                                      .alpha = r->alpha,
                                      .beta = r->beta,
                                      .basis = (const double *const *)r->basis,
                                      .known = r->known,
                                      .out = (const double *const *)known};
}

/* The bound of the norm that the runs prove, if one vector at least is not as
 * rare as delta. */
static double proved_by(const struct uh_krylov run[], size_t count,
                        double delta)
{
    const double simple = uh_map_simple(run[0].map), high = 4 * simple * simple;
    double bound = 0;
    for (size_t i = 0; i < count; i++) {
        /* of a map that is zero beside Y the values are noise */
        const double low = fmax(uh_krylov_value(&run[i], 0), 0x1p-40 * high);
        const double tau = uh_krylov_least(&run[i], delta, low, high);
        bound = fmax(bound, uh_krylov_whole(&run[i], tau));
    }
    return sqrt(bound) * (1 + 2 * UH_UNIT);
}

/* How many vectors the first round draws.  Where the weights come from memory
 * for every product, a second vector costs little. */
static size_t first_runs(const struct search *q, const struct uh_layer *layer)
{
    const int heavy = layer->kind == UH_DENSE && layer->weight_count >= HEAVY;
    return heavy && (q->s.bounds & UH_OPNORM_UPPER) ? UH_OPNORM_RUNS : 1;
}

/* Draws and begins a round.  0: nothing is left. */
static int begin(struct search *q, int round, const char *stream, size_t most,
                 const char *name[], size_t size)
{
    q->runs = round ? UH_OPNORM_RUNS : q->first;
    q->delta = uh_krylov_delta(uh_map_in(q->map),
                               each_of(share_of(q->s.failure, round), q->runs));
    for (size_t i = 0; i < q->runs; i++) {
        name[i] = run_name(stream, round, i, q->arena);
        q->run[i] =
            i == 0 ? uh_krylov_open(q->map, most, q->known, q->out, q->arena)
                   : uh_krylov_twin(&q->run[0], q->known == 0 ||
                                                    uh_map_in(q->map) <= SMALL);
        if (!uh_krylov_start(&q->run[i],
                             drawn(q->map, size, name[i], q->arena))) {
            return 0;
        }
    }
    return 1;
}

/* Draws, iterates, takes out, until the bound is proved.  Singular values that
 * are all alike may be more than can be taken out; two vectors that go on until
 * their space is used up do not mind, and of a small map that costs nothing. */
static void search(struct search *q, const char *stream, struct uh_opnorm *out)
{
    enum end end = TAKEN;
    int plain = uh_map_in(q->map) > SMALL || !(q->s.bounds & UH_OPNORM_UPPER);
    for (int round = 0; round < ROUNDS && end != PROVED; round++) {
        if (end == GIVEN_UP && plain) {
            break;
        }
        if (end == GIVEN_UP) {
            plain = 1;
            q->known = 0;
        }
        const size_t most =
            uh_least(q->s.steps - q->used, uh_map_in(q->map) + 8);
        const char *name[UH_OPNORM_RUNS];
        if (most == 0 || !begin(q, round, stream, most, name, out->dim)) {
            return;
        }
        end = iterate(q, round);
        out->runs = q->runs;
        out->share = share_of(q->s.failure, round);
        for (size_t i = 0; i < q->runs; i++) {
            keep_run(q, i, name[i], out);
        }
    }
    if (!(q->s.bounds & UH_OPNORM_UPPER)) {
        return;
    }
    out->upper = proved_by(q->run, q->runs, q->delta);
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

/* A proof on the torus, and the vector that was found with it. */
static double seek(struct search *q, struct uh_map *map, const char *stream)
{
    const struct uh_sought found =
        uh_torus_seek(map, stream, q->s.tolerance, q->arena, NULL);
    if (found.vector && (!q->vector || found.square > q->best)) {
        q->vector = found.vector;
        q->best = found.square;
    }
    return found.bound;
}

static int tight(const struct search *q, double bound)
{
    return bound * bound <= allowed(q, q->best);
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
    struct uh_arena *own = uh_pool_lend(pool); /* packed weights */
    struct uh_map *map = uh_map_of(layer, scale, 0, pool, own);
    struct uh_opnorm out = unknown(layer);
    const double simple = uh_map_simple(map);
    if (!(simple > 0)) {
        uh_pool_take_back(pool, &own);
        return zero_map(out.dim, arena);
    }
    struct search q = {.s = s, .map = map, .arena = arena};
    q.first = first_runs(&q, layer);
    const int torus =
        layer->kind == UH_CONV && uh_map_in(map) > SMALL &&
        (s.drawn ? s.bounds & UH_OPNORM_PROVED : s.bounds != UH_OPNORM_LOWER);
    double proved = (double)INFINITY;
    if (torus && !s.drawn) {
        proved = seek(&q, map, stream);
    }
    if (!tight(&q, proved)) {
        search(&q, stream, &out);
    }
    if (torus && s.drawn) {
        proved = seek(&q, map, stream);
    }
    conclude(&q, &out);
    if (s.bounds & UH_OPNORM_PROVED) {
        out.upper_proved =
            tight(&q, proved)
                ? proved
                : fmin(proved, prove(layer, scale, map, out.lower, pool));
    }
    if (proved < out.upper && (s.bounds & UH_OPNORM_UPPER)) {
        out.upper = proved;
        out.failure = 0;
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
    uh_pool_take_back(pool, &own);
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

double uh_opnorm_symbol(const struct uh_layer *layer, const float *scale,
                        struct uh_pool *pool)
{
    UH_REQUIRE(layer->kind == UH_CONV, "%s", uh_kind_word(layer->kind));
    struct uh_arena *own = uh_arena_new();
    const struct uh_map *map = uh_map_of(layer, scale, 0, pool, own);
    const double simple = uh_map_simple(map);
    /* from far below: every point's own estimate is larger */
    const double bound =
        simple > 0 ? uh_prove_conv(map, simple * 0x1p-20) : simple;
    uh_arena_free(&own);
    return fmin(bound, simple);
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
    struct search q = {.map = map, .arena = arena, .runs = 1};
    q.run[0] = uh_krylov_open(map, steps, 0, NULL, arena);
    double *x = uh_arena_alloc_raw(arena, q.run[0].dim, sizeof *x);
    uh_map_import(map, start, x);
    UH_REQUIRE(uh_krylov_start(&q.run[0], x), "a start vector of zeros");
    while (uh_krylov_step(q.run, 1)) {
    }
    note_top(&q);
    conclude(&q, &out);
    out.runs = 1;
    keep_run(&q, 0, NULL, &out);
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

static enum uh_status repeat(const struct uh_map *map, size_t size,
                             const struct uh_lanczos *run, struct uh_krylov *r,
                             struct uh_arena *own, struct uh_error *error)
{
    double **out = uh_arena_alloc(own, run->known, sizeof *out);
    for (size_t i = 0; i < run->known; i++) {
        out[i] = (double *)(size_t)run->out[i];
    }
    const double *start = drawn(map, size, run->stream, own);
    *r = uh_krylov_open(map, run->steps, run->known, out, own);
    if (run->dim != r->dim || !uh_krylov_start(r, start) ||
        memcmp(r->basis[0], run->basis[0], r->dim * sizeof *start) != 0) {
        return refuse(error, "the first vector that the stream draws");
    }
    return measure_again(r, run, error);
}

static enum uh_status check_runs(const struct uh_layer *layer,
                                 const struct uh_map *map, size_t count,
                                 const struct uh_lanczos run[], double upper,
                                 double failure, struct uh_arena *own,
                                 struct uh_error *error)
{
    struct uh_krylov r[UH_OPNORM_RUNS];
    for (size_t i = 0; i < count; i++) {
        const enum uh_status status =
            repeat(map, uh_shape_size(layer->in), &run[i], &r[i], own, error);
        if (status) {
            return status;
        }
    }
    const double delta =
        uh_krylov_delta(uh_map_in(map), each_of(failure, count));
    if (!(proved_by(r, count, delta) <= upper)) {
        return uh_fail(error, UH_BAD_INPUT,
                       "run: expected a proof that the norm is below %.17g, "
                       "found none",
                       upper);
    }
    return UH_OK;
}

enum uh_status uh_opnorm_check(const struct uh_layer *layer, const float *scale,
                               size_t count, const struct uh_lanczos run[],
                               double upper, double failure,
                               struct uh_pool *pool, struct uh_error *error)
{
    if (count < 1 || count > UH_OPNORM_RUNS || !(failure <= most_failure)) {
        return refuse(error, "one run or two, and a small probability");
    }
    for (size_t i = 0; i < count; i++) {
        if (!run[i].stream || run[i].steps == 0 ||
            run[i].known > UH_KRYLOV_KNOWN ||
            (i > 0 && strcmp(run[i].stream, run[0].stream) == 0)) {
            return refuse(error,
                          "a stream of its own that drew the first vector");
        }
    }
    struct uh_arena *own = uh_arena_new();
    const struct uh_map *map = uh_map_of(layer, scale, 0, pool, own);
    const enum uh_status status =
        check_runs(layer, map, count, run, upper, failure, own, error);
    uh_arena_free(&own);
    return status;
}
