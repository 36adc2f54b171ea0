/* opnorm_seek.c: a proof on the torus (opnorm_parts.h), looked for.
 *
 * Lanczos for A begins at what opnorm_start.c found: a dozen steps do what a
 * hundred do from a random vector.  With tau a little above what that gives, a
 * an eigenvector of A'A nearly, p = P_outside D a and
 *     v = (tau^2 - D*D)^-1 (q - D'p),  q = -P_outside D'P_inside D a,
 * P_inside (tau^2 v - D'D v + D'p) is 0: a pair of the proof, v nearly a.  So
 * does any p and q outside; those of the vectors of D that are above tau make
 * the form most negative.  Nothing here has to be right: uh_torus_check
 * decides. */
#include "opnorm_seek.h"

#include "eigen.h"

#include <math.h>
#include <string.h>

enum {
    RUNS = 6,   /* of Lanczos for A, at most */
    EACH = 5,   /* of their vectors that are used */
    LONG = 200, /* their steps, at most */
    MOST = 40,  /* negative directions, at most */
    HANDS = RUNS * EACH + MOST,
    KEPT = UH_SEEK_KEPT
};

static const double close_by = 1e-3;    /* values that are the same, perhaps */
static const double least_rough = 2e-7; /* tolerance for float32 */
static const double rough = 1e-5;       /* what float32 may have moved */

/* A pair that may become one of the proof's: p and q - D'p, and what is solved
 * for; transforms. */
struct hand {
    double *p, *hat, *v;
};

struct seek {
    struct uh_seek *s;
    struct uh_torus *t;
    size_t runs;
    struct uh_krylov run[RUNS];
    double value[RUNS][LONG]; /* the top value after each step */
    double best;              /* square of the norm, so far */
    size_t found;
    double *near[RUNS * EACH]; /* Ritz vectors, from the top, (map's in) */
    size_t hands;
    struct hand hand[HANDS];
    size_t ns, nl; /* entries of fields */
    size_t *edge, edges, *reach, reached;
    struct uh_torus_proof proof;
};

/* -- runs ---------------------------------------------------------------------- */

/* What is still to come of the top value, as a part of it, by its residual: the
 * usual bound. */
static double by_residual(const struct uh_krylov *r, struct uh_arena *scratch)
{
    if (r->steps < 3) {
        return 1;
    }
    const struct uh_mark mark = uh_arena_open(scratch);
    double *s = uh_arena_alloc(scratch, r->steps, sizeof *s);
    const double value = uh_krylov_value(r, 0), next = uh_krylov_value(r, 1);
    uh_krylov_vectors(r, 1, &value, s, scratch);
    const double rho = r->beta[r->steps - 1] * s[r->steps - 1] / value;
    uh_arena_release(scratch, mark);
    return rho * rho / fmax(1 - next / value, 0x1p-40) / 2;
}

/* The same by its gains, which fall geometrically, about: where the next value
 * is near, that bound says little. */
static double by_gains(const double value[], size_t steps)
{
    if (steps < 4) {
        return 1;
    }
    const double last = value[steps - 1] - value[steps - 2];
    const double before = value[steps - 3] - value[steps - 4];
    const double rate = sqrt(fmax(0, last) / fmax(before, 0x1p-1000));
    return rate < 1 ? last * rate / (1 - rate) / value[steps - 1] : 1;
}

/* Steps of some runs, until little is to come. */
static void go_on(struct seek *q, size_t first, size_t count, double goal)
{
    struct uh_arena *scratch = uh_pool_scratch(q->t->pool);
    int more = 1;
    while (more) {
        more = uh_krylov_step(q->run + first, count);
        double worst = 0;
        for (size_t i = first; i < first + count; i++) {
            const size_t k = q->run[i].steps;
            if (k > 0) {
                q->value[i][k - 1] = uh_krylov_value(&q->run[i], 0);
            }
            worst = fmax(worst, fmin(by_residual(&q->run[i], scratch),
                                     4 * by_gains(q->value[i], k)));
        }
        more = more && worst > goal;
    }
}

/* As many more runs, each from its start. */
static void run_more(struct seek *q, size_t count, double goal)
{
    for (size_t i = q->runs; i < q->runs + count; i++) {
        q->run[i] = i == 0 ? uh_krylov_open(q->t->map, LONG, 0, NULL, q->s->own)
                           : uh_krylov_twin(&q->run[0], 1);
        q->run[i].steps = 0;
        q->run[i].rough = q->s->rough;
        q->run[i].ended = !uh_krylov_start(&q->run[i], q->s->start[i]);
    }
    go_on(q, q->runs, count, goal);
    q->runs += count;
}

/* All runs' top vectors together. */
struct joined {
    size_t count;
    double *y[RUNS * EACH], theta[RUNS * EACH], rho[RUNS * EACH];
    const double *last[RUNS * EACH];
};

static void collect(struct seek *q, struct joined *all)
{
    struct uh_arena *own = q->s->own, *scratch = uh_pool_scratch(q->t->pool);
    const size_t dim = uh_map_in(q->t->map);
    for (size_t r = 0; r < q->runs; r++) {
        struct uh_krylov *run = &q->run[r];
        const size_t count = uh_least(EACH, run->steps);
        double value[EACH];
        double *s = uh_arena_alloc(own, count * run->steps, sizeof *s);
        for (size_t i = 0; i < count; i++) {
            value[i] = uh_krylov_value(run, i);
        }
        uh_krylov_vectors(run, count, value, s, scratch);
        for (size_t i = 0; i < count; i++) {
            const double *at = s + i * run->steps;
            const size_t to = all->count++;
            uh_krylov_combine(run, at);
            all->y[to] = uh_arena_alloc_raw(own, dim, sizeof(double));
            memcpy(all->y[to], run->w, dim * sizeof(double));
            all->theta[to] = value[i];
            all->rho[to] = run->beta[run->steps - 1] * at[run->steps - 1];
            all->last[to] = run->basis[run->steps];
        }
    }
}

/* The products may have been rough: which of the first is the best is
 * measured. */
static void take_best(struct seek *q, const double value[])
{
    const struct uh_map *map = q->t->map;
    struct uh_arena *scratch = uh_pool_scratch(q->t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *y = uh_arena_alloc_raw(scratch, uh_map_out(map), sizeof *y);
    size_t best = 0;
    q->best = 0;
    for (size_t i = 0; i < q->found && value[i] > value[0] * (1 - rough); i++) {
        const double at = uh_map_gain_square(map, q->near[i], y);
        if (at > q->best) {
            q->best = at;
            best = i;
        }
    }
    uh_arena_release(scratch, mark);
    double *top = q->near[best];
    q->near[best] = q->near[0];
    q->near[0] = top;
}

/* Rayleigh and Ritz for all runs' vectors. */
static void join(struct seek *q)
{
    struct uh_arena *own = q->s->own;
    const size_t dim = uh_map_in(q->t->map);
    struct joined all = {.count = 0};
    collect(q, &all);
    const size_t n = all.count;
    double *o = uh_arena_alloc(own, 2 * n * n, sizeof *o), *h = o + n * n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            const double both =
                uh_opnorm_dot(q->t->kernel, dim, all.y[i], all.y[j]);
            const double ij =
                uh_opnorm_dot(q->t->kernel, dim, all.y[i], all.last[j]);
            const double ji =
                uh_opnorm_dot(q->t->kernel, dim, all.y[j], all.last[i]);
            o[i * n + j] = o[j * n + i] = both;
            h[i * n + j] = h[j * n + i] =
                (all.theta[i] + all.theta[j]) / 2 * both +
                (all.rho[j] * ij + all.rho[i] * ji) / 2;
        }
    }
    double *by = uh_arena_alloc(own, n * n, sizeof *by), value[RUNS * EACH];
    q->found = uh_seek_rayleigh(n, o, h, value, by, own);
    for (size_t i = 0; i < q->found; i++) {
        q->near[i] = uh_arena_alloc(own, dim, sizeof(double));
        for (size_t j = 0; j < n; j++) {
            q->t->kernel->subtract(dim, -by[i * n + j], all.y[j], q->near[i]);
        }
    }
    take_best(q, value);
}

/* -- hands ------------------------------------------------------------------------ */

struct solving {
    const struct seek *q;
    const struct uh_torus_proof *proof;
    size_t count;  /* right hand sides */
    double *slack; /* (groups, freqs) */
};

/* What a rank-k change of the matrix does to its solutions: with K = H + c V
 * V', H^-1 b = K^-1 b + K^-1 V (1 / c - V'K^-1 V)^-1 V'K^-1 b. */
static void unrank(const struct solving *c, size_t first, size_t ranks,
                   const double *room, double *const x[],
                   struct uh_arena *scratch)
{
    const struct uh_seek *q = c->q->s;
    const size_t n = 2 * q->n, k = 2 * ranks;
    double *v = uh_arena_alloc_raw(scratch, 2 * k * n, sizeof *v);
    double *kv = v + k * n;
    double *a = uh_arena_alloc(scratch, 2 * k * k + 2 * k, sizeof *a);
    double *by = a + k * k, *d = by + k * k, *e = d + k;
    for (size_t i = 0; i < k; i++) {
        const double *from = c->proof->rank[first + i / 2].vector;
        for (size_t j = 0; j < q->n; j++) {
            v[i * n + j] = i % 2 ? -from[q->n + j] : from[j];
            v[i * n + q->n + j] = i % 2 ? from[j] : from[q->n + j];
        }
        memcpy(kv + i * n, v + i * n, n * sizeof *v);
        uh_torus_solve_forth(q->torus, c->count, room, kv + i * n);
        uh_torus_solve_back(q->torus, c->count, room, kv + i * n);
    }
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            a[i * k + j] = a[j * k + i] =
                (i == j ? 1 / c->proof->square : 0) -
                uh_opnorm_dot(q->torus->kernel, n, v + i * n, kv + j * n);
        }
    }
    uh_eigen_symmetric(k, a, by);
    for (size_t r = 0; r < c->count; r++) {
        memset(e, 0, k * sizeof *e);
        for (size_t i = 0; i < k; i++) {
            d[i] = uh_opnorm_dot(q->torus->kernel, n, v + i * n, x[r]);
        }
        for (size_t l = 0; l < k; l++) {
            double part = 0;
            for (size_t i = 0; i < k; i++) {
                part += by[i * k + l] * d[i];
            }
            for (size_t i = 0; i < k; i++) {
                e[i] += by[i * k + l] * part / a[l * k + l];
            }
        }
        for (size_t i = 0; i < k; i++) {
            q->torus->kernel->subtract(n, -e[i], kv + i * n, x[r]);
        }
    }
}

static void solve_at(const void *context, size_t group, size_t f,
                     const double *re, const double *im, struct uh_pool *serial)
{
    const struct solving *c = context;
    const struct uh_torus *t = c->q->t;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    const size_t at = group * t->freqs + f;
    double *x[HANDS];
    double *room = uh_arena_alloc_raw(
        scratch, uh_torus_factor_room(t, c->count), sizeof *room);
    for (size_t r = 0; r < c->count; r++) {
        x[r] = c->q->hand[r].v + at * 2 * c->q->s->n;
    }
    if (!uh_torus_factor(t, c->proof, group, f, re, im, c->count, x, serial,
                         room, &c->slack[at])) {
        c->slack[at] = (double)INFINITY;
        return;
    }
    for (size_t r = 0; r < c->count; r++) {
        uh_torus_solve_back(t, c->count, room, x[r]);
    }
    size_t first = 0;
    const size_t ranks = uh_torus_ranks(c->proof, group, f, &first);
    if (ranks) {
        unrank(c, first, ranks, room, x, scratch);
    }
}

/* Places with something outside of the face; or those that the other side's
 * outside reaches. */
static size_t *outside_list(const struct uh_torus *t,
                            const struct uh_torus_face *face, int reach,
                            size_t *count, struct uh_arena *arena)
{
    unsigned char *mark = uh_arena_alloc(arena, t->places, 1);
    size_t *list = uh_arena_alloc(arena, t->places, sizeof *list);
    const ptrdiff_t sign = t->to->back ? -1 : 1;
    for (size_t i = 0; i < t->places; i++) {
        if (!memchr(face->inside + i * face->blocks, 0, face->blocks)) {
            continue;
        }
        mark[i] |= !reach;
        for (size_t tap = 0; reach && tap < t->conv.taps; tap++) {
            const size_t y = uh_torus_wound(
                i / t->size[1], sign * t->conv.tap[tap][0], t->size[0]);
            const size_t x = uh_torus_wound(
                i % t->size[1], sign * t->conv.tap[tap][1], t->size[1]);
            mark[y * t->size[1] + x] = 1;
        }
    }
    *count = 0;
    for (size_t i = 0; i < t->places; i++) {
        if (mark[i]) {
            list[(*count)++] = i;
        }
    }
    return list;
}

/* From the map's own order to a field. */
static void lay(const struct uh_torus *t, const struct uh_torus_face *face,
                const double *x, double *field)
{
    memset(field, 0, t->conv.groups * t->places * face->chans * sizeof *field);
    for (size_t g = 0; g < t->conv.groups; g++) {
        for (size_t y = 0; y < face->tall; y++) {
            memcpy(field + (g * t->places + y * t->size[1]) * face->chans, x,
                   face->broad * face->chans * sizeof *x);
            x += face->broad * face->chans;
        }
    }
}

/* p and q - D'p of a vector. */
static void vector_hand(const struct seek *q, const double *x, double *p,
                        double *b)
{
    const struct uh_torus *t = q->t;
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *in = uh_arena_alloc_raw(scratch, q->nl, sizeof *in);
    double *a = uh_arena_alloc_raw(scratch, q->ns, sizeof *a);
    double *y = uh_arena_alloc_raw(scratch, uh_map_out(t->map), sizeof *y);
    if (t->turned) {
        uh_map_apply(t->map, x, y);
    }
    lay(t, &t->small, t->turned ? y : x, a);
    uh_torus_apply(t, t->to, NULL, 0, a, p);
    memcpy(in, p, q->nl * sizeof *in);
    uh_torus_cut(t, &t->large, 0, p);
    uh_torus_cut(t, &t->large, 1, in);
    memset(b, 0, q->ns * sizeof *b);
    uh_torus_apply(t, t->from, q->edge, q->edges, in, b);
    uh_torus_cut(t, &t->small, 0, b);
    memset(a, 0, q->ns * sizeof *a);
    uh_torus_apply(t, t->from, q->reach, q->reached, p, a);
    for (size_t i = 0; i < q->ns; i++) {
        b[i] = -b[i] - a[i];
    }
    uh_arena_release(scratch, mark);
}

/* Of a vector of D at a frequency, as one of two real fields on the torus: what
 * is outside. */
static void rank_hand(const struct seek *q, const struct uh_seek_pair *pair,
                      const double *u, int imaginary, double *p, double *b)
{
    const struct uh_torus *t = q->t;
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    const size_t n = q->s->n, m = q->s->m;
    const double *v = pair->vector, each = 1 / sqrt(pair->value);
    double *a = uh_arena_alloc(scratch, q->ns, sizeof *a);
    memset(b, 0, q->ns * sizeof *b);
    memset(p, 0, q->nl * sizeof *p);
    for (size_t i = 0; i < t->places; i++) {
        double c, s;
        uh_torus_phase(t, pair->f, (ptrdiff_t)(i / t->size[1]),
                       (ptrdiff_t)(i % t->size[1]), &c, &s);
        const double x = imaginary ? s : c, y = imaginary ? c : -s;
        if (memchr(t->small.inside + i * t->small.blocks, 0, t->small.blocks)) {
            double *to = b + (pair->group * t->places + i) * n;
            t->kernel->subtract(n, x, v, to);
            t->kernel->subtract(n, y, v + n, to);
        }
        if (memchr(t->large.inside + i * t->large.blocks, 0, t->large.blocks)) {
            double *to = p + (pair->group * t->places + i) * m;
            t->kernel->subtract(m, -(x * each), u, to);
            t->kernel->subtract(m, -(y * each), u + m, to);
        }
    }
    uh_torus_cut(t, &t->large, 0, p);
    uh_torus_cut(t, &t->small, 0, b);
    uh_torus_apply(t, t->from, q->reach, q->reached, p, a);
    t->kernel->subtract(q->ns, 1, a, b);
    uh_arena_release(scratch, mark);
}

static struct hand *new_hand(struct seek *q)
{
    const size_t size = q->t->conv.groups * q->t->freqs * 2 * q->s->n;
    struct hand *h = &q->hand[q->hands++];
    h->p = uh_arena_alloc_raw(q->s->own, q->nl, sizeof *h->p);
    h->hat = uh_arena_alloc_raw(q->s->own, size, sizeof *h->hat);
    h->v = uh_arena_alloc_raw(q->s->own, size, sizeof *h->v);
    return h;
}

/* The hands: of the Ritz vectors, few of the first runs, and of all pairs above
 * tau. */
static void make_hands(struct seek *q, size_t near, size_t pairs,
                       const struct uh_seek_pair pair[])
{
    struct uh_arena *scratch = uh_pool_scratch(q->t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *b = uh_arena_alloc_raw(scratch, q->ns, sizeof *b);
    for (size_t i = 0; i < near; i++) {
        struct hand *h = new_hand(q);
        vector_hand(q, q->near[i], h->p, b);
        uh_torus_transform(q->t, q->s->n, b, h->hat);
    }
    const double *image = uh_seek_images(q->s, pairs, pair);
    for (size_t i = 0; i < pairs; i++) {
        const int both = q->t->freq[pair[i].f].weight > 1;
        for (int imaginary = 0; imaginary <= both; imaginary++) {
            struct hand *h = new_hand(q);
            rank_hand(q, &pair[i], image + i * 2 * q->s->m, imaginary, h->p, b);
            uh_torus_transform(q->t, q->s->n, b, h->hat);
        }
    }
    uh_arena_release(scratch, mark);
}

/* -- the proof ----------------------------------------------------------------------- */

static double hat_dot(const struct seek *q, const double *x, const double *y)
{
    const struct uh_torus *t = q->t;
    double sum = 0;
    for (size_t i = 0; i < t->conv.groups * t->freqs; i++) {
        sum += t->freq[i % t->freqs].weight *
               uh_opnorm_dot(q->t->kernel, 2 * q->s->n, x + i * 2 * q->s->n,
                             y + i * 2 * q->s->n);
    }
    return sum / (double)t->places;
}

/* The values above the square, as pairs and as ranks of the proof. */
static struct uh_seek_pair *list_ranks(const struct uh_seek *q, double square,
                                       struct uh_torus_proof *proof)
{
    const struct uh_torus *t = q->torus;
    const size_t all = t->conv.groups * t->freqs * KEPT;
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        count += q->value[i] > square;
    }
    struct uh_torus_rank *rank = uh_arena_alloc(q->own, count, sizeof *rank);
    struct uh_seek_pair *pair = uh_arena_alloc(q->own, count, sizeof *pair);
    *proof = (struct uh_torus_proof){.square = square, .rank = rank};
    for (size_t i = 0; i < all; i++) {
        if (q->value[i] > square) {
            const size_t group = i / KEPT / t->freqs, f = i / KEPT % t->freqs;
            const double *v = q->vector + i * 2 * q->n;
            pair[proof->ranks] =
                (struct uh_seek_pair){q->value[i], group, f, v};
            rank[proof->ranks++] = (struct uh_torus_rank){group, f, v};
            proof->count += (size_t)t->freq[f].weight;
        }
    }
    return pair;
}

/* Solves for all hands; the square that is certain, or INFINITY. */
static double solve(const struct seek *q, const struct uh_torus_proof *proof)
{
    const struct uh_torus *t = q->t;
    const size_t cells = t->conv.groups * t->freqs;
    for (size_t i = 0; i < q->hands; i++) {
        memcpy(q->hand[i].v, q->hand[i].hat,
               cells * 2 * q->s->n * sizeof(double));
    }
    const struct solving c = {q, proof, q->hands,
                              uh_arena_alloc(q->s->own, cells, sizeof(double))};
    uh_torus_each_point(t, solve_at, &c);
    return uh_torus_certain(t, proof, c.slack);
}

/* Pair number i of the proof, from the hands. */
static void combine_hands(const struct seek *q, const double *by, size_t column,
                          double value, double **v, double **p)
{
    const struct uh_torus *t = q->t;
    const size_t size = t->conv.groups * t->freqs * 2 * q->s->n;
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    double *sum = uh_arena_alloc(scratch, size, sizeof *sum);
    *v = uh_arena_alloc_raw(q->s->own, q->ns, sizeof(double));
    *p = uh_arena_alloc(q->s->own, q->nl, sizeof(double));
    for (size_t j = 0; j < q->hands; j++) {
        const double part = by[j * q->hands + column] / sqrt(-value);
        t->kernel->subtract(size, -part, q->hand[j].v, sum);
        t->kernel->subtract(q->nl, -part, q->hand[j].p, *p);
    }
    uh_torus_back(t, q->s->n, sum, *v);
    uh_arena_release(scratch, mark);
}

/* The form on the hands, its negative vectors: the pairs.  How many of those
 * that are needed there are. */
static size_t make_pairs(const struct seek *q, struct uh_torus_proof *proof)
{
    const size_t n = q->hands;
    double *form = uh_arena_alloc(q->s->own, 2 * n * n + 1, sizeof *form);
    double *by = form + n * n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            const struct hand *a = &q->hand[i], *b = &q->hand[j];
            form[i * n + j] = form[j * n + i] =
                uh_opnorm_dot(q->t->kernel, q->nl, a->p, b->p) +
                (hat_dot(q, a->v, b->hat) + hat_dot(q, b->v, a->hat)) / 2;
        }
    }
    uh_eigen_symmetric(n, form, by);
    double **v = uh_arena_alloc(q->s->own, 2 * proof->count + 1, sizeof *v);
    double **p = v + proof->count;
    proof->v = v;
    proof->p = p;
    for (size_t i = 0; i < proof->count; i++) {
        size_t low = 0;
        for (size_t j = 0; j < n; j++) {
            if (form[j * n + j] < form[low * n + low]) {
                low = j;
            }
        }
        const double value = form[low * n + low];
        if (!(value < 0)) {
            return i;
        }
        form[low * n + low] = 1;
        combine_hands(q, by, low, value, &v[i], &p[i]);
    }
    return proof->count;
}

static double prove(struct seek *q)
{
    const double most = 1 + 0.98 * q->s->tolerance;
    const double square = q->best * most * most;
    struct uh_torus_proof proof;
    double certain = (double)INFINITY;
    for (int sharp = 0; sharp < 2 && !isfinite(certain); sharp++) {
        if (sharp) { /* a value above tau was not seen */
            uh_seek_sharpen(q->s, square);
        }
        const struct uh_seek_pair *pair = list_ranks(q->s, square, &proof);
        if (proof.count > MOST) {
            return (double)INFINITY;
        }
        q->hands = 0;
        if (proof.count > 0) {
            make_hands(q, uh_least(q->found, 1 + 2 * q->runs), proof.ranks,
                       pair);
        }
        certain = solve(q, &proof);
    }
    if (!isfinite(certain) || make_pairs(q, &proof) < proof.count) {
        return (double)INFINITY;
    }
    q->proof = proof;
    return uh_torus_check(q->t, &proof, certain);
}

static double *copied(const double *x, size_t n, struct uh_arena *arena)
{
    double *to = uh_arena_alloc_raw(arena, n, sizeof *to);
    memcpy(to, x, n * sizeof *to);
    return to;
}

static void keep_proof(const struct seek *q, struct uh_arena *arena,
                       struct uh_torus_proof *proof)
{
    *proof = q->proof;
    struct uh_torus_rank *rank =
        uh_arena_alloc(arena, proof->ranks, sizeof *rank);
    double **v = uh_arena_alloc(arena, 2 * proof->count + 1, sizeof *v);
    for (size_t i = 0; i < proof->ranks; i++) {
        rank[i] = q->proof.rank[i];
        rank[i].vector = copied(rank[i].vector, 2 * q->s->n, arena);
    }
    for (size_t i = 0; i < proof->count; i++) {
        v[i] = copied(q->proof.v[i], q->ns, arena);
        v[proof->count + i] = copied(q->proof.p[i], q->nl, arena);
    }
    proof->rank = rank;
    proof->v = v;
    proof->p = v + proof->count;
}

/* Starts whose values may be the same are run together, so that of nearly
 * equal values none is missed. */
static size_t equals(const struct uh_seek *s)
{
    size_t count = 0;
    while (count < s->starts &&
           s->guess[count] >= s->guess[0] * (1 - close_by)) {
        count++;
    }
    return count;
}

/* Another try: the runs longer once, then from further starts, two at a time.
 * 0: there are none. */
static int try_again(struct seek *q, int try)
{
    const double goal = 1.2 * q->s->tolerance;
    if (try == 1) {
        for (size_t i = 0; i < q->runs; i += UH_MAP_VECTORS) {
            go_on(q, i, uh_least(UH_MAP_VECTORS, q->runs - i), goal / 16);
        }
        return 1;
    }
    const size_t count =
        try ? uh_least(UH_MAP_VECTORS, q->s->starts - q->runs) : equals(q->s);
    for (size_t i = 0; i < count; i += UH_MAP_VECTORS) {
        run_more(q, uh_least(UH_MAP_VECTORS, count - i), goal);
    }
    return count > 0;
}

/* Whether more values are above tau than can be dealt with; the start's value
 * is a per cent too low at most, usually. */
static int too_many(const struct uh_seek *s)
{
    const struct uh_torus *t = s->torus;
    double count = 0;
    for (size_t i = 0; i < t->conv.groups * t->freqs * KEPT; i++) {
        if (s->value[i] > s->guess[0] * 1.01) {
            count += t->freq[i / KEPT % t->freqs].weight;
        }
    }
    return count > MOST;
}

static void seek(struct seek *q, struct uh_arena *arena, struct uh_sought *out)
{
    const struct uh_torus *t = q->t;
    const size_t dim = uh_map_in(t->map);
    q->ns = t->conv.groups * t->places * q->s->n;
    q->nl = t->conv.groups * t->places * q->s->m;
    q->edge = outside_list(t, &t->small, 0, &q->edges, q->s->own);
    q->reach = outside_list(t, &t->large, 1, &q->reached, q->s->own);
    out->vector = uh_arena_alloc_raw(arena, dim, sizeof(double));
    for (int try = 0; !isfinite(out->bound) && try_again(q, try); try++) {
        join(q);
        if (q->found == 0) {
            break;
        }
        memcpy(out->vector, q->near[0], dim * sizeof(double));
        out->square = q->best;
        out->bound = prove(q);
    }
    if (q->found == 0) {
        out->vector = NULL;
    }
}

struct uh_sought uh_torus_seek(struct uh_map *map, const char *stream,
                               double tolerance, struct uh_arena *arena,
                               struct uh_torus_proof *proof)
{
    struct uh_sought out = {.bound = (double)INFINITY};
    struct uh_seek s = {
        .own = uh_arena_new(), .stream = stream, .tolerance = tolerance};
    s.torus = uh_torus_of(map, s.own);
    s.rough = s.torus && tolerance > least_rough && uh_map_roughen(map, s.own);
    if (s.torus) {
        s.n = s.torus->from->rows;
        s.m = s.torus->to->rows;
        uh_torus_grams(s.torus, s.own);
        uh_seek_points(&s);
        uh_seek_start(&s);
        struct seek q = {.s = &s, .t = s.torus};
        if (!too_many(&s)) {
            seek(&q, arena, &out);
        }
        if (proof && isfinite(out.bound)) {
            keep_proof(&q, arena, proof);
        }
    }
    uh_arena_free(&s.own);
    return out;
}
