/* opnorm_lanczos.c: Lanczos for A'A, and what a run of it proves. */
#include "opnorm_parts.h"

#include "die.h"
#include "fmath.h"

#include <math.h>
#include <string.h>

enum {
    PART = UH_OPNORM_SEGMENT, /* entries of a vector that a cell takes */
    PERIOD = 8,   /* steps, the last two of which are cleared of the basis: then
                      the vectors stay orthogonal to about 1e-10 (J. F. Grcar,
                      1981; H. D. Simon, Math. Comp. 42 (1984) 115-142), */
    CLEARED = 32, /* behind the first steps, all of which are unless the run is
                      rough, */
    CHEAP = 1024  /* as are all with vectors of so few entries */
};

/* |v_j| is at most this: a vector divided by its norm, and rounded. */
static const double unit = 1 + 1e-9;

/* What is left of a vector, relative to what was there: to be cleared of the
 * basis again; to be taken for rounding. */
static const double again_below = 0.01, noise_level = 1e-14;

/* The variates of the stream are those of exact arithmetic up to 2^-48 of
 * their length, and v_1 is rounded once more. */
static const double start_error = 4e-15;

static size_t parts_of(size_t n)
{
    return (n + PART - 1) / PART;
}

/* -- the proof ------------------------------------------------------------- */

double uh_krylov_delta(size_t dim, double failure)
{
    const double root = sqrt(2 * (double)dim / 3.1415926535897931);
    return failure / fmax(1, root) * (1 - 1e-9) - start_error;
}

/* The tau of which lambda is the largest eigenvalue of the arrow with a_i,
 * tau on its diagonal and rho_i beside tau; rounded down.  0: there is none. */
double uh_krylov_beside(const struct uh_krylov *r, double lambda)
{
    double tau = lambda;
    for (size_t i = 0; i < r->known; i++) {
        const double apart = (lambda - r->top[i]) * (1 - 4 * UH_UNIT);
        if (!(apart > 0)) {
            return 0;
        }
        const double less = r->rho[i] / apart * r->rho[i];
        tau -= less * (1 + 4 * UH_UNIT);
        tau -= UH_UNIT * lambda;
    }
    return fmax(0, tau);
}

/* That lambda, rounded up: it increases with tau. */
double uh_krylov_whole(const struct uh_krylov *r, double tau)
{
    if (!isfinite(tau)) {
        return (double)INFINITY;
    }
    double low = fmax(tau, r->inside), high = low + r->across;
    while (uh_krylov_beside(r, high) < tau) {
        high += (r->across + UH_UNIT * high) * 2;
    }
    for (;;) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) {
            return high;
        }
        if (uh_krylov_beside(r, middle) < tau) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/* g holds lower bounds of |y'v_j|, back upper bounds of b_{j-1} g_{j-1} / g_j.
 * What is rounded is rounded to the safe side. */
int uh_krylov_refutes(const struct uh_krylov *r, double delta, double tau)
{
    const double less = 1 - 4 * UH_UNIT, more = 1 + 4 * UH_UNIT;
    double g = delta, back = 0;
    if (!(g > 0) || !(tau > 0)) {
        return 0;
    }
    const double noise = uh_map_gram_error(r->map) * uh_map_absolute(r->map) *
                         sqrt(uh_krylov_whole(r, tau)) * unit *
                         (1 + 16 * UH_UNIT);
    for (size_t j = 0; j < r->steps; j++) {
        const double f =
            (r->residual[j] + r->across * r->leak[j] + noise) / g * more * more;
        double left = tau - r->alpha[j] - back - f;
        left -= 8 * UH_UNIT * (tau + fabs(r->alpha[j]) + back + f);
        if (!(left > 0)) {
            return 0;
        }
        if (left * g * less > r->beta[j] * unit * more) {
            return 1;
        }
        back = r->beta[j] / left * r->beta[j] * more * more;
        g = left / r->beta[j] * g * less * less;
    }
    return 0;
}

double uh_krylov_growth(const struct uh_krylov *r, double tau, size_t steps)
{
    double back = 0, sum = 0;
    for (size_t j = 0; j < steps; j++) {
        const double left = tau - r->alpha[j] - back;
        if (!(left > 0) || !(r->beta[j] > 0)) {
            return left > 0 ? (double)INFINITY : -(double)INFINITY;
        }
        back = r->beta[j] / left * r->beta[j];
        sum += uh_log(left / r->beta[j]);
    }
    return sum;
}

double uh_krylov_least(const struct uh_krylov *r, double delta, double low,
                       double high)
{
    if (!uh_krylov_refutes(r, delta, high)) {
        return (double)INFINITY;
    }
    double no = 0x1p-56, yes = high / low - 1;
    while (yes > (1 + 1e-7) * no) {
        const double middle = sqrt(no) * sqrt(yes);
        if (uh_krylov_refutes(r, delta, low * (1 + middle))) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    return low * (1 + fmax(yes, no)) * (1 + 4 * UH_UNIT);
}

/* -- the tridiagonal matrix -------------------------------------------------- */

/* How many eigenvalues are above x. */
static size_t count_above(const struct uh_krylov *r, double x)
{
    size_t count = 0;
    double d = 1;
    for (size_t j = 0; j < r->steps; j++) {
        const double off = j ? r->beta[j - 1] : 0;
        d = x - r->alpha[j] - off / d * off;
        if (d == 0) {
            d = -0x1p-1000;
        }
        count += d < 0;
    }
    return count;
}

double uh_krylov_value(const struct uh_krylov *r, size_t i)
{
    double high = 0;
    for (size_t j = 0; j < r->steps; j++) {
        high = fmax(high, fabs(r->alpha[j]) + (j ? r->beta[j - 1] : 0) +
                              (j + 1 < r->steps ? r->beta[j] : 0));
    }
    double low = -high;
    high *= 1 + 8 * UH_UNIT;
    for (;;) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high) {
            return high;
        }
        if (count_above(r, middle) <= i) {
            high = middle;
        } else {
            low = middle;
        }
    }
}

/* A factorization of T - x by rows, exchanged where the pivot is smaller. */
struct eliminated {
    double *d, *e, *f, *lower; /* diagonals of U, and what L has */
    unsigned char *swapped;
};

static void eliminate(const struct uh_krylov *r, double x, struct eliminated *q)
{
    const size_t k = r->steps;
    for (size_t j = 0; j < k; j++) {
        q->d[j] = r->alpha[j] - x;
        q->e[j] = j + 1 < k ? r->beta[j] : 0;
        q->f[j] = 0;
    }
    for (size_t j = 0; j + 1 < k; j++) {
        const double below = r->beta[j];
        q->swapped[j] = fabs(below) > fabs(q->d[j]);
        if (q->swapped[j]) {
            const double by = q->d[j] / below, next = q->d[j + 1];
            q->lower[j] = by;
            q->d[j] = below;
            q->d[j + 1] = q->e[j] - by * next;
            q->e[j] = next;
            q->f[j] = q->e[j + 1];
            q->e[j + 1] = -by * q->e[j + 1];
        } else {
            if (q->d[j] == 0) {
                q->d[j] = 0x1p-1000;
            }
            q->lower[j] = below / q->d[j];
            q->d[j + 1] -= q->lower[j] * q->e[j];
        }
    }
}

static void solve(const struct eliminated *q, size_t k, double tiny, double *s)
{
    for (size_t j = 0; j + 1 < k; j++) {
        if (q->swapped[j]) {
            const double top = s[j];
            s[j] = s[j + 1];
            s[j + 1] = top;
        }
        s[j + 1] -= q->lower[j] * s[j];
    }
    for (size_t j = k; j-- > 0;) {
        double rest = s[j];
        rest -= j + 1 < k ? q->e[j] * s[j + 1] : 0;
        rest -= j + 2 < k ? q->f[j] * s[j + 2] : 0;
        s[j] = rest / (fabs(q->d[j]) > tiny ? q->d[j] : tiny);
    }
}

/* Makes s of length 1 and orthogonal to those before it. */
static void straighten(size_t k, size_t before, const double *all, double *s)
{
    double most = 0;
    for (size_t j = 0; j < k; j++) {
        most = fmax(most, fabs(s[j]));
    }
    for (size_t j = 0; j < k; j++) {
        s[j] /= most;
    }
    for (size_t i = 0; i < before; i++) {
        const double part = uh_dot(k, all + i * k, s);
        for (size_t j = 0; j < k; j++) {
            s[j] -= part * all[i * k + j];
        }
    }
    const double length = sqrt(uh_dot(k, s, s));
    for (size_t j = 0; j < k; j++) {
        s[j] /= length;
    }
}

/* Inverse iteration; those of a cluster are kept apart (as LAPACK's dstein). */
void uh_krylov_vectors(const struct uh_krylov *r, size_t count,
                       const double *value, double *s, struct uh_arena *scratch)
{
    const size_t k = r->steps;
    const struct uh_mark mark = uh_arena_open(scratch);
    struct eliminated q = {uh_arena_alloc(scratch, k, sizeof(double)),
                           uh_arena_alloc(scratch, k, sizeof(double)),
                           uh_arena_alloc(scratch, k, sizeof(double)),
                           uh_arena_alloc(scratch, k, sizeof(double)),
                           uh_arena_alloc(scratch, k, 1)};
    for (size_t i = 0; i < count; i++) {
        double *to = s + i * k;
        for (size_t j = 0; j < k; j++) {
            to[j] = 1 + (double)(j * (i + 3) % 7) / 8;
        }
        eliminate(r, value[i], &q);
        for (int pass = 0; pass < 4; pass++) {
            solve(&q, k, UH_UNIT * fmax(fabs(value[0]), 0x1p-900), to);
            straighten(k, i, s, to);
        }
    }
    uh_arena_release(scratch, mark);
}

/* -- steps ------------------------------------------------------------------- */

/* Columns of sum: for a dot with each of the vectors that are at hand. */
static size_t part_at(const struct uh_krylov *r, size_t index, size_t *n)
{
    *n = uh_least(PART, r->dim - index * PART);
    return index * PART;
}

static double summed(const struct uh_krylov *r, size_t which)
{
    double s = 0;
    for (size_t i = 0; i < parts_of(r->dim); i++) {
        s += r->sum[i * r->columns + which];
    }
    return s;
}

static void each_part(struct uh_krylov *r,
                      void (*cell)(void *, size_t, struct uh_pool *))
{
    uh_cells(uh_map_pool(r->map), parts_of(r->dim), cell, r);
}

/* What the product has of the newest vector. */
static void measure_newest(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    (void)serial;
    r->sum[index * r->columns] =
        r->kernel->dot(n, r->basis[r->steps] + at, r->z + at);
}

/* w = z less the two terms of the recurrence.  Only then the rest is small, and
 * one pass over the basis clears it. */
static void subtract_newest(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    const size_t j = r->steps;
    size_t n, at = part_at(r, index, &n);
    (void)serial;
    memcpy(r->w + at, r->z + at, n * sizeof *r->w);
    r->kernel->subtract(n, r->alpha[j], r->basis[j] + at, r->w + at);
    if (j > 0) {
        r->kernel->subtract(n, r->beta[j - 1], r->basis[j - 1] + at, r->w + at);
    }
}

/* Dots of w with what was taken out, then with the basis. */
static void project(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    double *sum = r->sum + index * r->columns;
    (void)serial;
    for (size_t i = 0; i < r->known; i++) {
        sum[i] = r->kernel->dot(n, r->out[i] + at, r->w + at);
    }
    for (size_t i = 0; i < r->cleared; i++) {
        sum[r->known + i] = r->kernel->dot(n, r->basis[i] + at, r->w + at);
    }
}

static void reduce(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    (void)serial;
    for (size_t i = 0; i < r->known; i++) {
        r->kernel->subtract(n, r->mix[i], r->out[i] + at, r->w + at);
    }
    for (size_t i = 0; i < r->cleared; i++) {
        r->kernel->subtract(n, r->mix[r->known + i], r->basis[i] + at,
                            r->w + at);
    }
    r->sum[index * r->columns] = r->kernel->dot(n, r->w + at, r->w + at);
}

/* v = w / scale */
static void divide(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    double *v = r->basis[r->steps] + at;
    (void)serial;
    for (size_t i = 0; i < n; i++) {
        v[i] = r->scale > 0 ? r->w[at + i] / r->scale : 0;
    }
}

/* Y'z, in order. */
static void project_product(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    (void)serial;
    for (size_t i = 0; i < r->known; i++) {
        r->sum[index * r->columns + i] =
            r->kernel->dot(n, r->out[i] + at, r->z + at);
    }
}

/* What is left of the relation of step `steps`, and Y's part of v_{j+1}. */
static void left_over(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    const size_t j = r->steps;
    size_t n, at = part_at(r, index, &n);
    double f[PART], *sum = r->sum + index * r->columns;
    const double *v = r->basis[j + 1] + at;
    (void)serial;
    memcpy(f, r->z + at, n * sizeof *f);
    for (size_t i = 0; i < r->known; i++) {
        r->kernel->subtract(n, r->mix[i], r->out[i] + at, f);
    }
    r->kernel->subtract(n, r->alpha[j], r->basis[j] + at, f);
    if (j > 0) {
        r->kernel->subtract(n, r->beta[j - 1], r->basis[j - 1] + at, f);
    }
    r->kernel->subtract(n, r->beta[j], v, f);
    sum[0] = r->kernel->dot(n, f, f);
    sum[1] = r->kernel->dot(n, r->z + at, r->z + at);
    for (size_t i = 0; i < r->known; i++) {
        sum[2 + i] = r->kernel->dot(n, r->out[i] + at, v);
    }
}

/* A bound of |Y'v| from dots in the columns from `first`. */
static double leak_of(const struct uh_krylov *r, size_t first)
{
    double square = 0;
    for (size_t i = 0; i < r->known; i++) {
        const double part = summed(r, first + i);
        square += part * part;
    }
    return (sqrt(square) +
            sqrt((double)r->known) * uh_opnorm_length_error(r->dim)) *
           (1 + 1e-6);
}

/* z holds the product.  What lies along Y does not count, so any multiple of Y
 * may be taken off. */
void uh_krylov_measure(struct uh_krylov *r, size_t j)
{
    double along = 0;
    const size_t steps = r->steps;
    r->steps = j;
    each_part(r, project_product);
    for (size_t i = 0; i < r->known; i++) {
        r->mix[i] = summed(r, i);
        along += fabs(r->mix[i]);
    }
    each_part(r, left_over);
    const double more = 1 + uh_opnorm_length_error(r->dim);
    const double terms = sqrt(summed(r, 1)) + fabs(r->alpha[j]) + along +
                         (j ? r->beta[j - 1] : 0) + r->beta[j];
    const double rounded = (double)(r->known + 6) * UH_UNIT * terms;
    r->residual[j] = (sqrt(summed(r, 0)) + rounded) * more * more +
                     0x1p-960 * (double)r->dim;
    r->leak[j + 1] = leak_of(r, 2);
    r->steps = steps;
}

/* Takes the part in the span of Y, and of so many vectors of the basis, out of
 * w; what is left. */
static double orthogonalize(struct uh_krylov *r, size_t cleared)
{
    r->cleared = cleared;
    each_part(r, project);
    for (size_t i = 0; i < r->known + cleared; i++) {
        r->mix[i] = summed(r, i);
    }
    each_part(r, reduce);
    return sqrt(summed(r, 0));
}

int uh_krylov_start(struct uh_krylov *r, const double *vector)
{
    r->steps = 0;
    r->basis[0] = NULL;
    memcpy(r->w, vector, r->dim * sizeof *r->w);
    const double whole = uh_opnorm_length(r->kernel, r->dim, vector);
    double left = whole;
    for (int pass = 0; pass < 2 && r->known > 0; pass++) {
        left = orthogonalize(r, 0);
    }
    if (!(left > noise_level * whole)) {
        return 0;
    }
    r->basis[0] = uh_arena_alloc_raw(r->arena, r->dim, sizeof(double));
    r->scale = left;
    each_part(r, divide);
    memcpy(r->z, r->basis[0], r->dim * sizeof *r->z);
    each_part(r, project_product);
    r->leak[0] = leak_of(r, 0);
    return 1;
}

/* z holds the product with the newest vector. */
static void advance(struct uh_krylov *r)
{
    const size_t j = r->steps;
    each_part(r, measure_newest);
    r->alpha[j] = summed(r, 0);
    each_part(r, subtract_newest);
    const int due = (j < CLEARED && !r->rough) || r->dim <= CHEAP ||
                    j % PERIOD >= PERIOD - 2;
    const int clears = r->clears && due;
    double left = orthogonalize(r, clears ? j + 1 : 0);
    const double size =
        fabs(r->alpha[j]) + (j ? r->beta[j - 1] : 0) + r->alpha[0] + r->inside;
    if (left < again_below * size) {
        left = orthogonalize(r, j + 1);
        left = orthogonalize(r, j + 1); /* twice is enough */
    }
    r->ended = !(left > noise_level * size);
    r->beta[j] = r->ended ? 0 : left;
    r->scale = r->beta[j];
    r->basis[j + 1] = uh_arena_alloc_raw(r->arena, r->dim, sizeof(double));
    r->steps = j + 1;
    each_part(r, divide);
    if (!r->rough) {
        uh_krylov_measure(r, j);
    }
    r->ended = r->ended || r->steps >= r->most;
}

int uh_krylov_step(struct uh_krylov run[], size_t count)
{
    const double *x[UH_MAP_VECTORS] = {NULL};
    double *y[UH_MAP_VECTORS] = {NULL}, *z[UH_MAP_VECTORS] = {NULL};
    size_t at[UH_MAP_VECTORS], going = 0;
    for (size_t i = 0; i < count; i++) {
        if (!run[i].ended) {
            x[going] = run[i].basis[run[i].steps];
            y[going] = run[i].y;
            z[going] = run[i].z;
            at[going++] = i;
        }
    }
    if (run[0].rough) {
        uh_map_grams_rough(run[0].map, going, x, z);
    } else {
        uh_map_grams(run[0].map, going, x, y, z);
    }
    int more = 0;
    for (size_t i = 0; i < going; i++) {
        advance(&run[at[i]]);
        more = more || !run[at[i]].ended;
    }
    return more;
}

static void combine(void *context, size_t index, struct uh_pool *serial)
{
    const struct uh_krylov *r = context;
    size_t n, at = part_at(r, index, &n);
    (void)serial;
    memset(r->w + at, 0, n * sizeof *r->w);
    for (size_t i = 0; i < r->steps; i++) {
        r->kernel->subtract(n, -r->mix[i], r->basis[i] + at, r->w + at);
    }
}

void uh_krylov_combine(struct uh_krylov *r, const double *s)
{
    memcpy(r->mix, s, r->steps * sizeof *s);
    each_part(r, combine);
}

/* -- what is taken out -------------------------------------------------------- */

/* z = S y_i, and all of Y's dots with it; how long it was. */
static double product_of_known(struct uh_krylov *r, size_t i)
{
    uh_map_gram(r->map, r->out[i], r->y, r->z);
    each_part(r, project_product);
    return uh_opnorm_length(r->kernel, r->dim, r->z);
}

/* With S Y = Y T + R, T diagonal, Y'Y = I + E and x = Y z + u, u beside Y,
 *     x'Sx <= z'(Y'SY)z + 2 sum |z_i| |R_i| |u| + tau |u|^2,
 *     x'x  >= (1 - |E|) |z|^2 + |u|^2,
 * so the arrow of a_i = (T_i + |Y'SY - T|) / (1 - |E|) and |R_i| / (1 - |E|),
 * which is more than its root, is above. */
static void measure_known(struct uh_krylov *r)
{
    const double error = uh_opnorm_length_error(r->dim);
    const double count = (double)r->known;
    const double product = uh_map_gram_error(r->map) * uh_map_absolute(r->map) *
                           uh_map_simple(r->map) * unit;
    double apart = 0, beside = 0, longest = 0;
    for (size_t i = 0; i < r->known; i++) {
        memcpy(r->z, r->out[i], r->dim * sizeof *r->z);
        each_part(r, project_product);
        for (size_t k = 0; k < r->known; k++) {
            const double e = summed(r, k) - (i == k);
            apart += e * e;
        }
        const double length = product_of_known(r, i);
        longest = fmax(longest, length);
        r->top[i] = summed(r, i);
        for (size_t k = 0; k < r->known; k++) {
            beside += k == i ? 0 : summed(r, k) * summed(r, k);
        }
        for (size_t at = 0; at < r->dim; at += PART) {
            r->kernel->subtract(uh_least(PART, r->dim - at), r->top[i],
                                r->out[i] + at, r->z + at);
        }
        r->rho[i] = uh_opnorm_length(r->kernel, r->dim, r->z) * (1 + error) +
                    product + 4 * UH_UNIT * length;
    }
    const double e = (sqrt(apart) + count * error) * (1 + 1e-6);
    UH_REQUIRE(e < 0.5, "vectors that are not orthonormal: %g", e);
    const double off =
        (sqrt(beside) + count * (error * longest * 1.01 + product)) *
        (1 + 1e-6);
    double square = 0;
    for (size_t i = 0; i < r->known; i++) {
        r->top[i] = (r->top[i] + off) / (1 - e) * (1 + 8 * UH_UNIT);
        r->rho[i] *= (1 + 1e-9) / (1 - e);
        r->inside = fmax(r->inside, r->top[i]);
        square += r->rho[i] * r->rho[i];
    }
    r->across = sqrt(square) * (1 + 1e-9);
}

static void make_room(struct uh_krylov *r)
{
    struct uh_arena *arena = r->arena;
    r->alpha = uh_arena_alloc(arena, r->most, sizeof *r->alpha);
    r->beta = uh_arena_alloc(arena, r->most, sizeof *r->beta);
    r->residual = uh_arena_alloc(arena, r->most, sizeof *r->residual);
    r->leak = uh_arena_alloc(arena, r->most + 1, sizeof *r->leak);
    r->basis = uh_arena_alloc(arena, r->most + 1, sizeof *r->basis);
    r->mix = uh_arena_alloc(arena, r->known + r->most + 1, sizeof *r->mix);
    r->y = uh_arena_alloc_raw(arena, uh_map_out(r->map), sizeof *r->y);
    r->z = uh_arena_alloc_raw(arena, r->dim, sizeof *r->z);
    r->w = uh_arena_alloc_raw(arena, r->dim, sizeof *r->w);
    r->sum = uh_arena_alloc_raw(
        arena, uh_size_mul(parts_of(r->dim), r->columns), sizeof *r->sum);
}

struct uh_krylov uh_krylov_open(const struct uh_map *map, size_t most,
                                size_t known, double **out,
                                struct uh_arena *arena)
{
    struct uh_krylov r = {.map = map,
                          .kernel = uh_map_kernel(map),
                          .arena = arena,
                          .dim = uh_map_in(map),
                          .most = most,
                          .known = known,
                          .out = out,
                          .clears = 1,
                          .columns = known + most + 4};
    r.top = uh_arena_alloc(arena, known + 1, sizeof *r.top);
    r.rho = uh_arena_alloc(arena, known + 1, sizeof *r.rho);
    make_room(&r);
    measure_known(&r);
    return r;
}

struct uh_krylov uh_krylov_twin(const struct uh_krylov *of, int clears)
{
    struct uh_krylov r = *of;
    r.clears = clears;
    make_room(&r);
    return r;
}
