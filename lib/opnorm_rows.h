/* opnorm_rows.h: sums along rows, written once for every instruction set;
 * internal to opnorm.  Floor 4.
 *
 * opnorm_kernel.c includes it once for each, and defines UNDER (the function's
 * name there), TARGET (an attribute) and WIDE (eight floats at an address, as
 * doubles).
 */
#include "opnorm_parts.h"

#if defined(TARGET)

TARGET static double UNDER(dot)(size_t n, const double *x, const double *y)
{
    lanes8 a = {0}, b = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        a += *(const lanes8 *)(x + i) * *(const lanes8 *)(y + i);
        b += *(const lanes8 *)(x + i + 8) * *(const lanes8 *)(y + i + 8);
    }
    double s[LANES];
    memcpy(s, &a, sizeof a);
    memcpy(s + 8, &b, sizeof b);
    for (size_t j = 0; i < n; i++, j++) {
        s[j] += x[i] * y[i];
    }
    return folded(s);
}

TARGET static void UNDER(subtract)(size_t n, double c, const double *x,
                                   double *y)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        *(lanes8 *)(y + i) -= c * *(const lanes8 *)(x + i);
    }
    for (; i < n; i++) {
        y[i] -= c * x[i];
    }
}

TARGET static void UNDER(subtract_both)(size_t n, const double c[4],
                                        const double *u, const double *v,
                                        double *x, double *y)
{
    const double c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const lanes8 a = *(const lanes8 *)(u + i), b = *(const lanes8 *)(v + i);
        lanes8 s = *(const lanes8 *)(x + i), t = *(const lanes8 *)(y + i);
        s -= c0 * a;
        t -= c2 * b;
        s -= c1 * b;
        t -= c3 * a;
        *(lanes8 *)(x + i) = s;
        *(lanes8 *)(y + i) = t;
    }
    for (; i < n; i++) {
        const double a = u[i], b = v[i];
        x[i] -= c0 * a;
        y[i] -= c2 * b;
        x[i] -= c1 * b;
        y[i] -= c3 * a;
    }
}

/* Both of two vectors, so that a weight is read and widened once for both.  The
 * rows come from memory and are fetched ahead. */
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3)
TARGET INLINE void UNDER(dots_segment)(size_t n,
                                       const float *const rows[UH_OPNORM_ROWS],
                                       size_t count, const double *const x[2],
                                       double sum[2][UH_OPNORM_ROWS])
{
    const double *const x0 = x[0], *const x1 = x[count - 1];
#define CLEAR(r)                                                               \
    const float *const w##r = rows[r];                                         \
    lanes8 a##r = {0}, b##r = {0}, c##r = {0}, d##r = {0};
    EACH_ROW(CLEAR)
#undef CLEAR
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const lanes8 u0 = *(const lanes8 *)(x0 + i);
        const lanes8 v0 = *(const lanes8 *)(x0 + i + 8);
        const lanes8 u1 = *(const lanes8 *)(x1 + i);
        const lanes8 v1 = *(const lanes8 *)(x1 + i + 8);
#define ADD(r)                                                                 \
    {                                                                          \
        __builtin_prefetch(w##r + i + AHEAD);                                  \
        const lanes8 s = WIDE(w##r + i), t = WIDE(w##r + i + 8);               \
        a##r += u0 * s;                                                        \
        b##r += v0 * t;                                                        \
        if (count == 2) {                                                      \
            c##r += u1 * s;                                                    \
            d##r += v1 * t;                                                    \
        }                                                                      \
    }
        EACH_ROW(ADD)
#undef ADD
    }
    double s[2][UH_OPNORM_ROWS][LANES];
#define KEEP(r)                                                                \
    memcpy(s[0][r], &a##r, sizeof a##r);                                       \
    memcpy(s[0][r] + 8, &b##r, sizeof b##r);                                   \
    memcpy(s[1][r], &c##r, sizeof c##r);                                       \
    memcpy(s[1][r] + 8, &d##r, sizeof d##r);
    EACH_ROW(KEEP)
#undef KEEP
    for (size_t v = 0; v < count; v++) {
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            for (size_t p = i, j = 0; p < n; p++, j++) {
                s[v][r][j] += x[v][p] * (double)rows[r][p];
            }
            sum[v][r] += folded(s[v][r]);
        }
    }
}

TARGET INLINE void UNDER(dots_of)(size_t n,
                                  const float *const rows[UH_OPNORM_ROWS],
                                  size_t count, const double *const x[2],
                                  double sum[2][UH_OPNORM_ROWS])
{
    memset(sum, 0, count * sizeof sum[0]);
    for (size_t i = 0; i < n; i += SEGMENT) {
        const float *const row[UH_OPNORM_ROWS] = {rows[0] + i, rows[1] + i,
                                                  rows[2] + i, rows[3] + i};
        const double *const at[2] = {x[0] + i, x[count - 1] + i};
        UNDER(dots_segment)
        (n - i < SEGMENT ? n - i : SEGMENT, row, count, at, sum);
    }
}

TARGET static void UNDER(dots)(size_t n,
                               const float *const rows[UH_OPNORM_ROWS],
                               size_t count, const double *const x[2],
                               double sum[2][UH_OPNORM_ROWS])
{
    if (count == 1) {
        UNDER(dots_of)(n, rows, 1, x, sum);
    } else {
        UNDER(dots_of)(n, rows, 2, x, sum);
    }
}

/* Meanwhile the first quarters of the rows behind these, which are read next,
 * come nearer. */
TARGET INLINE void UNDER(spread_of)(size_t n,
                                    const float *const rows[UH_OPNORM_ROWS],
                                    size_t count,
                                    const double t[2][UH_OPNORM_ROWS],
                                    double *const z[2])
{
    double *const z0 = z[0], *const z1 = z[count - 1];
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes8 a = *(const lanes8 *)(z0 + i), b = *(const lanes8 *)(z0 + i + 8);
        lanes8 c = *(const lanes8 *)(z1 + i), d = *(const lanes8 *)(z1 + i + 8);
#define ADD(r)                                                                 \
    {                                                                          \
        __builtin_prefetch(rows[r] + UH_OPNORM_ROWS * n + i / 4, 0, 2);        \
        const lanes8 u = WIDE(rows[r] + i), v = WIDE(rows[r] + i + 8);         \
        a += t[0][r] * u;                                                      \
        b += t[0][r] * v;                                                      \
        if (count == 2) {                                                      \
            c += t[1][r] * u;                                                  \
            d += t[1][r] * v;                                                  \
        }                                                                      \
    }
        EACH_ROW(ADD)
#undef ADD
        *(lanes8 *)(z0 + i) = a;
        *(lanes8 *)(z0 + i + 8) = b;
        if (count == 2) {
            *(lanes8 *)(z1 + i) = c;
            *(lanes8 *)(z1 + i + 8) = d;
        }
    }
    for (; i < n; i++) {
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            for (size_t v = 0; v < count; v++) {
                z[v][i] += t[v][r] * (double)rows[r][i];
            }
        }
    }
}

TARGET static void
UNDER(spread)(size_t n, const float *const rows[UH_OPNORM_ROWS], size_t count,
              const double t[2][UH_OPNORM_ROWS], double *const z[2])
{
    if (count == 1) {
        UNDER(spread_of)(n, rows, 1, t, z);
    } else {
        UNDER(spread_of)(n, rows, 2, t, z);
    }
}
#undef EACH_ROW

#undef UNDER
#undef TARGET
#undef WIDE

#endif
