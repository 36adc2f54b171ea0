/* eigen.c: small symmetric matrices: eigenvalues, Cholesky. */
#include "eigen.h"
#include "die.h"
#include "mat.h"

#include <math.h>
#include <stdlib.h>

/* x, y = c x - s y, s x + c y for n entries a step apart. */
static void turn(size_t n, double *x, double *y, size_t step, double c,
                 double s)
{
    for (size_t k = 0; k < n * step; k += step) {
        double old = x[k];
        x[k] = c * old - s * y[k];
        y[k] = s * old + c * y[k];
    }
}

static void rotate(size_t n, double *a, double *vectors, size_t i, size_t j)
{
    if (a[i * n + j] == 0) {
        return;
    }
    double tau = (a[j * n + j] - a[i * n + i]) / (2 * a[i * n + j]);
    double t = (tau < 0 ? -1 : 1) / (fabs(tau) + sqrt(1 + tau * tau));
    double c = 1 / sqrt(1 + t * t), s = t * c;
    turn(n, a + i * n, a + j * n, 1, c, s);
    turn(n, a + i, a + j, n, c, s);
    a[i * n + j] = a[j * n + i] = 0;
    if (vectors) {
        turn(n, vectors + i, vectors + j, n, c, s);
    }
}

void uh_eigen_symmetric(size_t n, double *a, double *vectors)
{
    enum { SWEEPS = 40 };
    for (size_t i = 0; i < n * n && vectors; i++) {
        vectors[i] = i % (n + 1) == 0;
    }
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, all = 0;
        for (size_t i = 0; i < n * n; i++) {
            all += a[i] * a[i];
            off += i % (n + 1) ? a[i] * a[i] : 0;
        }
        UH_REQUIRE(isfinite(all), "an entry is not finite or too large");
        if (off <= 0x1p-106 * all) {
            return;
        }
        for (size_t i = 0; i + 1 < n; i++) {
            for (size_t j = i + 1; j < n; j++) {
                rotate(n, a, vectors, i, j);
            }
        }
    }
}

double uh_eigen_largest(size_t n, double *a)
{
    uh_eigen_symmetric(n, a, NULL);
    double top = a[0];
    for (size_t i = 1; i < n; i++) {
        top = fmax(top, a[i * n + i]);
    }
    return top;
}

void uh_gram(size_t n, size_t m, const float *w, double *g)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            g[i * n + j] = g[j * n + i] = uh_dotf(m, w + i * m, w + j * m);
        }
    }
}

static int descending(const void *p, const void *q)
{
    double a = *(const double *)p, b = *(const double *)q;
    return (a < b) - (a > b);
}

void uh_singular_values(size_t n, size_t m, const float *w, double *value,
                        struct uh_arena *scratch)
{
    struct uh_mark mark = uh_arena_open(scratch);
    double *g = uh_arena_alloc(scratch, n * n, sizeof *g);
    uh_gram(n, m, w, g);
    uh_eigen_symmetric(n, g, NULL);
    for (size_t i = 0; i < n; i++) {
        value[i] = sqrt(fmax(0, g[i * n + i]));
    }
    qsort(value, n, sizeof *value, descending);
    uh_arena_release(scratch, mark);
}

double uh_matrix_norm(size_t n, size_t m, const float *w,
                      struct uh_arena *scratch)
{
    struct uh_mark mark = uh_arena_open(scratch);
    if (m < n) {
        float *turned = uh_arena_alloc(scratch, n * m, sizeof *turned);
        for (size_t i = 0; i < n * m; i++) {
            turned[i % m * n + i / m] = w[i];
        }
        double norm = uh_matrix_norm(m, n, turned, scratch);
        uh_arena_release(scratch, mark);
        return norm;
    }
    double *g = uh_arena_alloc(scratch, n * n, sizeof *g);
    uh_gram(n, m, w, g);
    double norm = sqrt(fmax(0, uh_eigen_largest(n, g)));
    uh_arena_release(scratch, mark);
    return norm;
}

int uh_cholesky(size_t n, double *a, double least)
{
    for (size_t i = 0; i < n; i++) {
        double whole = a[i * (n + 1)];
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= a[i * n + k] * a[j * n + k];
            }
            if (j == i && !(sum > 0 && sum > least * whole)) {
                return 0;
            }
            a[i * n + j] = j < i ? sum / a[j * (n + 1)] : sqrt(sum);
        }
    }
    return 1;
}

void uh_solve_lower(size_t n, const double *l, double *x)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            x[i] -= l[i * n + k] * x[k];
        }
        x[i] /= l[i * (n + 1)];
    }
}

void uh_solve_lower_transposed(size_t n, const double *l, double *x)
{
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) {
            x[i] -= l[k * n + i] * x[k];
        }
        x[i] /= l[i * (n + 1)];
    }
}
