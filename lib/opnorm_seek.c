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
    RUNS = 6,            /* of Lanczos for A, at most */
    EACH = 5,            /* of their vectors that are used */
    LONG = 200,          /* their steps, at most */
    MOST = 40,           /* negative directions, at most */
    NEAR = 1 + 2 * RUNS, /* Ritz vectors that are used, at most */
    HANDS = NEAR + MOST,
    PART = 4096, /* entries done together */
    KEPT = UH_SEEK_KEPT
};

static const double close_by = 1e-3; /* values that are the same, perhaps */

/* How far runs go, in tolerances: the first; those that only make pairs more;
 * all, once, if a bound is not near enough. */
static const double first_goal = 1.2, further_goal = 36, longer_goal = 0.075;

static const double least_rough = 2e-7; /* tolerance for float32 */
static const double rough = 1e-5;       /* what float32 may have moved */

/* A pair that may become one of the proof's: p, (groups, outs, m), and
 * transforms of q - D'p and of what is solved for. */
struct hand {
    double *p, *hat, *v;
};

/* Some places of the torus. */
struct places {
    size_t *at, count;
};

struct seek {
    struct uh_seek *s;
    struct uh_torus *t;
    struct uh_arena *trial; /* for what lasts until the next try */
    size_t runs;
    struct uh_krylov run[RUNS];
    double value[RUNS][LONG]; /* the top value after each step */
    double best;              /* square of the norm, so far */
    int few;                  /* the last try had too few pairs */
    int longer;               /* all runs went on, once */
    size_t found;
    double *near[NEAR]; /* Ritz vectors, from the top, (map's in) */
    size_t hands;
    struct hand hand[HANDS];
    size_t ns, nl;       /* entries of fields, */
    size_t np, nh;       /* of a hand's p, of its transforms */
    struct places outs;  /* large ones with something outside, */
    struct places reach; /* small ones that D' reaches from there; */
    struct places edge;  /* small ones with something outside, */
    struct places wide;  /* large ones that D reaches from there, and outs */
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
    const struct seek *q;
    size_t count;
    double *y[RUNS * EACH], theta[RUNS * EACH], rho[RUNS * EACH];
    const double *last[RUNS * EACH];
    double *o, *h, *by; /* (count, count) */
};

static void collect(struct seek *q, struct joined *all)
{
    struct uh_arena *own = q->trial, *scratch = uh_pool_scratch(q->t->pool);
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

/* A row of the two matrices for Rayleigh and Ritz. */
static void joined_row(void *context, size_t i, struct uh_pool *serial)
{
    const struct joined *all = context;
    const struct uh_opnorm_kernel *k = all->q->t->kernel;
    const size_t n = all->count, dim = uh_map_in(all->q->t->map);
    (void)serial;
    for (size_t j = 0; j <= i; j++) {
        const double both = uh_opnorm_dot(k, dim, all->y[i], all->y[j]);
        const double ij = uh_opnorm_dot(k, dim, all->y[i], all->last[j]);
        const double ji = uh_opnorm_dot(k, dim, all->y[j], all->last[i]);
        all->o[i * n + j] = all->o[j * n + i] = both;
        all->h[i * n + j] = all->h[j * n + i] =
            (all->theta[i] + all->theta[j]) / 2 * both +
            (all->rho[j] * ij + all->rho[i] * ji) / 2;
    }
}

static void joined_vector(void *context, size_t i, struct uh_pool *serial)
{
    const struct joined *all = context;
    const size_t n = all->count, dim = uh_map_in(all->q->t->map);
    (void)serial;
    for (size_t j = 0; j < n; j++) {
        all->q->t->kernel->subtract(dim, -all->by[i * n + j], all->y[j],
                                    all->q->near[i]);
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

/* Rayleigh and Ritz for all runs' vectors; those are made that are used. */
static void join(struct seek *q)
{
    struct uh_arena *own = q->trial;
    struct joined all = {.q = q};
    collect(q, &all);
    const size_t n = all.count;
    all.o = uh_arena_alloc(own, 3 * n * n, sizeof *all.o);
    all.h = all.o + n * n;
    all.by = all.h + n * n;
    uh_cells(q->t->pool, n, joined_row, &all);
    double value[RUNS * EACH];
    q->found = uh_least(uh_seek_rayleigh(n, all.o, all.h, value, all.by, own),
                        1 + 2 * q->runs);
    for (size_t i = 0; i < q->found; i++) {
        q->near[i] = uh_arena_alloc(own, uh_map_in(q->t->map), sizeof(double));
    }
    uh_cells(q->t->pool, q->found, joined_vector, &all);
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
    double **kv = uh_arena_alloc(scratch, k, sizeof *kv);
    double *a = uh_arena_alloc(scratch, 2 * k * k + 2 * k, sizeof *a);
    double *by = a + k * k, *d = by + k * k, *e = d + k;
    for (size_t i = 0; i < k; i++) {
        const double *from = c->proof->rank[first + i / 2].vector;
        for (size_t j = 0; j < q->n; j++) {
            v[i * n + j] = i % 2 ? -from[q->n + j] : from[j];
            v[i * n + q->n + j] = i % 2 ? from[j] : from[q->n + j];
        }
        kv[i] = v + (k + i) * n;
        memcpy(kv[i], v + i * n, n * sizeof *v);
        uh_torus_solve_forth(q->torus, c->count, room, kv[i]);
    }
    uh_torus_solve_back(q->torus, c->count, room, k, kv);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j <= i; j++) {
            a[i * k + j] = a[j * k + i] =
                (i == j ? 1 / c->proof->square : 0) -
                uh_opnorm_dot(q->torus->kernel, n, v + i * n, kv[j]);
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
            q->torus->kernel->subtract(n, -e[i], kv[i], x[r]);
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
    uh_torus_solve_back(t, c->count, room, c->count, x);
    size_t first = 0;
    const size_t ranks = uh_torus_ranks(c->proof, group, f, &first);
    if (ranks) {
        unrank(c, first, ranks, room, x, scratch);
    }
}

/* Marks places with something outside of the face (reach 0), or those that D'
 * (1) or D (-1) reaches from there. */
static void mark_outside(const struct uh_torus *t,
                         const struct uh_torus_face *face, int reach,
                         unsigned char *mark)
{
    const ptrdiff_t sign = t->to->back ? -reach : reach;
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
}

static struct places list_places(const struct uh_torus *t, unsigned char *mark,
                                 struct uh_arena *arena)
{
    struct places list = {uh_arena_alloc(arena, t->places, sizeof *list.at), 0};
    for (size_t i = 0; i < t->places; i++) {
        if (mark[i]) {
            list.at[list.count++] = i;
        }
    }
    memset(mark, 0, t->places);
    return list;
}

static void list_all(struct seek *q)
{
    const struct uh_torus *t = q->t;
    struct uh_arena *own = q->s->own;
    unsigned char *mark = uh_arena_alloc(own, t->places, 1);
    mark_outside(t, &t->large, 0, mark);
    q->outs = list_places(t, mark, own);
    mark_outside(t, &t->large, 1, mark);
    q->reach = list_places(t, mark, own);
    mark_outside(t, &t->small, 0, mark);
    q->edge = list_places(t, mark, own);
    mark_outside(t, &t->small, -1, mark);
    mark_outside(t, &t->large, 0, mark);
    q->wide = list_places(t, mark, own);
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

/* Where entry i of a hand's p is in a field. */
static double *out_at(const struct seek *q, double *field, size_t i)
{
    const size_t m = q->s->m, group = i / m / q->outs.count;
    const size_t place = q->outs.at[i / m % q->outs.count];
    return field + (group * q->t->places + place) * m + i % m;
}

/* Hands while they are made: first those of Ritz vectors, then of a pair's
 * fields one or two. */
struct making {
    const struct seek *q;
    double **small; /* (found) vectors of the small side */
    struct {
        const struct uh_seek_pair *pair;
        const double *image;
        int imaginary;
    } of[MOST];
};

/* p and q of a vector, what is inside not yet cut off; fields, 0 before. */
static void vector_hand(const struct seek *q, const struct uh_torus *t,
                        const double *x, double *p, double *b,
                        struct uh_arena *scratch)
{
    double *in = uh_arena_alloc_raw(scratch, q->nl, sizeof *in);
    double *a = uh_arena_alloc_raw(scratch, q->ns, sizeof *a);
    lay(t, &t->small, x, a);
    uh_torus_apply(t, t->to, q->wide.at, q->wide.count, a, p);
    memcpy(in, p, q->nl * sizeof *in);
    uh_torus_cut(t, &t->large, 1, in);
    uh_torus_apply(t, t->from, q->edge.at, q->edge.count, in, b);
    for (size_t i = 0; i < q->ns; i++) {
        b[i] = -b[i];
    }
}

/* The same of a vector of D at a frequency, as one of two real fields. */
static void rank_hand(const struct seek *q, const struct uh_torus *t,
                      const struct uh_seek_pair *pair, const double *u,
                      int imaginary, double *p, double *b)
{
    const size_t n = q->s->n, m = q->s->m;
    const double *v = pair->vector, each = 1 / sqrt(pair->value);
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
}

static void hand_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct making *make = context;
    const struct seek *q = make->q;
    const struct hand *h = &q->hand[index];
    struct uh_torus t = *q->t;
    struct uh_arena *scratch = uh_pool_scratch(serial);
    double *p = uh_arena_alloc(scratch, q->nl, sizeof *p);
    double *b = uh_arena_alloc(scratch, q->ns, sizeof *b);
    double *a = uh_arena_alloc(scratch, q->ns, sizeof *a);
    t.pool = serial;
    if (index < q->found) {
        vector_hand(q, &t, make->small[index], p, b, scratch);
    } else {
        const size_t i = index - q->found;
        rank_hand(q, &t, make->of[i].pair, make->of[i].image,
                  make->of[i].imaginary, p, b);
    }
    uh_torus_cut(&t, &t.large, 0, p);
    uh_torus_cut(&t, &t.small, 0, b);
    uh_torus_apply(&t, t.from, q->reach.at, q->reach.count, p, a);
    t.kernel->subtract(q->ns, 1, a, b);
    for (size_t i = 0; i < q->np; i += q->s->m) {
        memcpy(h->p + i, out_at(q, p, i), q->s->m * sizeof *p);
    }
    uh_torus_transform(&t, q->s->n, b, h->hat);
}

/* Vectors of the small side: the Ritz vectors, or their images. */
static double **small_vectors(const struct seek *q)
{
    const struct uh_torus *t = q->t;
    double **small = uh_arena_alloc(q->trial, q->found, sizeof *small);
    for (size_t i = 0; i < q->found; i++) {
        small[i] = q->near[i];
        if (t->turned) {
            small[i] = uh_arena_alloc_raw(q->trial, uh_map_out(t->map),
                                          sizeof(double));
            uh_map_apply(t->map, q->near[i], small[i]);
        }
    }
    return small;
}

/* The hands: of the Ritz vectors, and of all pairs above tau. */
static void make_hands(struct seek *q, size_t pairs,
                       const struct uh_seek_pair pair[])
{
    struct making make = {.q = q, .small = small_vectors(q)};
    const double *image = uh_seek_images(q->s, pairs, pair, q->trial);
    q->hands = q->found;
    for (size_t i = 0; i < pairs; i++) {
        const int both = q->t->freq[pair[i].f].weight > 1;
        for (int imaginary = 0; imaginary <= both; imaginary++) {
            const size_t to = q->hands++ - q->found;
            make.of[to].pair = &pair[i];
            make.of[to].image = image + i * 2 * q->s->m;
            make.of[to].imaginary = imaginary;
        }
    }
    for (size_t i = 0; i < q->hands; i++) {
        struct hand *h = &q->hand[i];
        h->p = uh_arena_alloc_raw(q->trial, q->np, sizeof *h->p);
        h->hat = uh_arena_alloc_raw(q->trial, 2 * q->nh, sizeof *h->hat);
        h->v = h->hat + q->nh;
    }
    uh_cells(q->t->pool, q->hands, hand_cell, &make);
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
                                       struct uh_torus_proof *proof,
                                       struct uh_arena *arena)
{
    const struct uh_torus *t = q->torus;
    const size_t all = t->conv.groups * t->freqs * KEPT;
    size_t count = 0;
    for (size_t i = 0; i < all; i++) {
        count += q->value[i] > square;
    }
    struct uh_torus_rank *rank = uh_arena_alloc(arena, count, sizeof *rank);
    struct uh_seek_pair *pair = uh_arena_alloc(arena, count, sizeof *pair);
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
    for (size_t i = 0; i < q->hands; i++) {
        memcpy(q->hand[i].v, q->hand[i].hat, q->nh * sizeof(double));
    }
    const struct solving c = {
        q, proof, q->hands,
        uh_arena_alloc(q->trial, t->conv.groups * t->freqs, sizeof(double))};
    uh_torus_each_point(t, solve_at, &c);
    return uh_torus_certain(t, proof, c.slack);
}

/* The form on the hands, and the vectors that are wanted of it. */
struct forming {
    const struct seek *q;
    double *form, *by; /* (hands, hands) */
    size_t count;      /* pairs, each a column of `by`, */
    size_t column[MOST];
    double scale[MOST]; /* times this */
    double *v, *p;      /* (count, nh), (count, np) */
};

static void form_row(void *context, size_t i, struct uh_pool *serial)
{
    const struct forming *f = context;
    const struct seek *q = f->q;
    const size_t n = q->hands;
    (void)serial;
    for (size_t j = 0; j <= i; j++) {
        const struct hand *a = &q->hand[i], *b = &q->hand[j];
        f->form[i * n + j] = f->form[j * n + i] =
            uh_opnorm_dot(q->t->kernel, q->np, a->p, b->p) +
            (hat_dot(q, a->v, b->hat) + hat_dot(q, b->v, a->hat)) / 2;
    }
}

/* A part of all pairs, from the hands. */
static void combine_cell(void *context, size_t index, struct uh_pool *serial)
{
    const struct forming *f = context;
    const struct seek *q = f->q;
    const size_t at = index * PART;
    const int is_p = at >= q->nh;
    const size_t from = is_p ? at - uh_parts_of(q->nh, PART) * PART : at;
    const size_t size = is_p ? q->np : q->nh;
    const size_t n = uh_least(PART, size - from);
    (void)serial;
    for (size_t i = 0; i < f->count; i++) {
        double *to = (is_p ? f->p + i * q->np : f->v + i * q->nh) + from;
        memset(to, 0, n * sizeof *to);
        for (size_t j = 0; j < q->hands; j++) {
            const struct hand *h = &q->hand[j];
            const double part =
                f->by[j * q->hands + f->column[i]] * f->scale[i];
            q->t->kernel->subtract(n, -part, (is_p ? h->p : h->v) + from, to);
        }
    }
}

static void combine_hands(const struct seek *q, struct forming *f,
                          struct uh_torus_proof *proof)
{
    const struct uh_torus *t = q->t;
    struct uh_arena *scratch = uh_pool_scratch(t->pool);
    const struct uh_mark mark = uh_arena_open(scratch);
    f->v = uh_arena_alloc_raw(scratch, f->count * q->nh, sizeof *f->v);
    f->p = uh_arena_alloc_raw(scratch, f->count * q->np, sizeof *f->p);
    uh_cells(t->pool, uh_parts_of(q->nh, PART) + uh_parts_of(q->np, PART),
             combine_cell, f);
    double **v = uh_arena_alloc(q->trial, 2 * f->count + 1, sizeof *v);
    double **p = v + f->count;
    for (size_t i = 0; i < f->count; i++) {
        v[i] = uh_arena_alloc_raw(q->trial, q->ns, sizeof(double));
        p[i] = uh_arena_alloc(q->trial, q->nl, sizeof(double));
        uh_torus_back(t, q->s->n, f->v + i * q->nh, v[i]);
        for (size_t j = 0; j < q->np; j += q->s->m) {
            memcpy(out_at(q, p[i], j), f->p + i * q->np + j,
                   q->s->m * sizeof *p[i]);
        }
    }
    proof->v = v;
    proof->p = p;
    uh_arena_release(scratch, mark);
}

/* The form's most negative vectors: the proof's pairs.  0: there are fewer. */
static int make_pairs(const struct seek *q, struct uh_torus_proof *proof)
{
    const size_t n = q->hands;
    struct forming f = {.q = q};
    f.form = uh_arena_alloc(q->trial, 2 * n * n + 1, sizeof *f.form);
    f.by = f.form + n * n;
    uh_cells(q->t->pool, n, form_row, &f);
    uh_eigen_symmetric(n, f.form, f.by);
    for (; f.count < proof->count; f.count++) {
        size_t low = 0;
        for (size_t j = 0; j < n; j++) {
            if (f.form[j * n + j] < f.form[low * n + low]) {
                low = j;
            }
        }
        const double value = f.form[low * n + low];
        if (!(value < 0)) {
            return 0;
        }
        f.form[low * n + low] = 1;
        f.column[f.count] = low;
        f.scale[f.count] = 1 / sqrt(-value);
    }
    combine_hands(q, &f, proof);
    return 1;
}

static double prove(struct seek *q)
{
    const double most = 1 + 0.98 * q->s->tolerance;
    const double square = q->best * most * most;
    struct uh_torus_proof proof;
    double certain = (double)INFINITY;
    q->few = 0;
    for (int all = 0; all < 2 && !isfinite(certain); all++) {
        /* the second time a value above tau was not seen */
        uh_seek_sharpen(q->s, square, all);
        const struct uh_seek_pair *pair =
            list_ranks(q->s, square, &proof, q->trial);
        if (proof.count > MOST) {
            return (double)INFINITY;
        }
        q->hands = 0;
        if (proof.count > 0) {
            make_hands(q, proof.ranks, pair);
        }
        certain = solve(q, &proof);
    }
    if (!isfinite(certain)) {
        return (double)INFINITY;
    }
    if (!make_pairs(q, &proof)) {
        q->few = 1;
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

/* As many more starts, two at a time. */
static int run_further(struct seek *q, size_t count, double goal)
{
    for (size_t i = 0; i < count; i += UH_MAP_VECTORS) {
        run_more(q, uh_least(UH_MAP_VECTORS, count - i), goal);
    }
    return count > 0;
}

/* Another try.  Where there were too few pairs, further starts help, and need
 * not go far; else the same runs, longer, once.  0: nothing is left to try. */
static int try_again(struct seek *q)
{
    const double one = q->s->tolerance;
    if (q->runs == 0) {
        return run_further(q, equals(q->s), first_goal * one);
    }
    const size_t more = uh_least(UH_MAP_VECTORS, q->s->starts - q->runs);
    if (more > 0 && (q->few || q->longer)) {
        return run_further(q, more, further_goal * one);
    }
    if (q->longer) {
        return 0;
    }
    q->longer = 1;
    for (size_t i = 0; i < q->runs; i += UH_MAP_VECTORS) {
        go_on(q, i, uh_least(UH_MAP_VECTORS, q->runs - i), longer_goal * one);
    }
    return 1;
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
    list_all(q);
    q->np = t->conv.groups * q->outs.count * q->s->m;
    q->nh = t->conv.groups * t->freqs * 2 * q->s->n;
    const struct uh_mark none = uh_arena_open(q->trial);
    out->vector = uh_arena_alloc_raw(arena, dim, sizeof(double));
    while (!isfinite(out->bound) && try_again(q)) {
        uh_arena_release(q->trial, none);
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
    struct uh_pool *pool = uh_map_pool(map);
    struct uh_seek s = {
        .own = uh_pool_lend(pool), .stream = stream, .tolerance = tolerance};
    s.torus = uh_torus_of(map, s.own);
    s.rough = s.torus && tolerance > least_rough && uh_map_roughen(map, s.own);
    if (s.torus) {
        s.n = s.torus->from->rows;
        s.m = s.torus->to->rows;
        uh_torus_grams(s.torus, s.own);
        uh_seek_points(&s);
        uh_seek_start(&s);
        struct seek q = {.s = &s, .t = s.torus, .trial = uh_pool_lend(pool)};
        if (!too_many(&s)) {
            seek(&q, arena, &out);
        }
        if (proof && isfinite(out.bound)) {
            keep_proof(&q, arena, proof);
        }
        uh_pool_take_back(pool, &q.trial);
    }
    uh_pool_take_back(pool, &s.own);
    return out;
}
