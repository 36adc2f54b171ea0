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

TARGET INLINE void UNDER(dots_segment)(size_t n, const float *w0,
                                       const float *w1, const float *w2,
                                       const float *w3, const double *x,
                                       double sum[UH_OPNORM_ROWS])
{
    lanes8 a0 = {0}, a1 = {0}, a2 = {0}, a3 = {0};
    lanes8 b0 = {0}, b1 = {0}, b2 = {0}, b3 = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const lanes8 u = *(const lanes8 *)(x + i);
        const lanes8 v = *(const lanes8 *)(x + i + 8);
        a0 += u * WIDE(w0 + i);
        b0 += v * WIDE(w0 + i + 8);
        a1 += u * WIDE(w1 + i);
        b1 += v * WIDE(w1 + i + 8);
        a2 += u * WIDE(w2 + i);
        b2 += v * WIDE(w2 + i + 8);
        a3 += u * WIDE(w3 + i);
        b3 += v * WIDE(w3 + i + 8);
    }
    const float *const w[UH_OPNORM_ROWS] = {w0, w1, w2, w3};
    double s[UH_OPNORM_ROWS][LANES];
    memcpy(s[0], &a0, sizeof a0);
    memcpy(s[0] + 8, &b0, sizeof b0);
    memcpy(s[1], &a1, sizeof a1);
    memcpy(s[1] + 8, &b1, sizeof b1);
    memcpy(s[2], &a2, sizeof a2);
    memcpy(s[2] + 8, &b2, sizeof b2);
    memcpy(s[3], &a3, sizeof a3);
    memcpy(s[3] + 8, &b3, sizeof b3);
    for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
        for (size_t p = i, j = 0; p < n; p++, j++) {
            s[r][j] += x[p] * (double)w[r][p];
        }
        sum[r] += folded(s[r]);
    }
}

TARGET static void UNDER(dots)(size_t n,
                               const float *const rows[UH_OPNORM_ROWS],
                               const double *x, double sum[UH_OPNORM_ROWS])
{
    for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
        sum[r] = 0;
    }
    for (size_t i = 0; i < n; i += SEGMENT) {
        UNDER(dots_segment)
        (n - i < SEGMENT ? n - i : SEGMENT, rows[0] + i, rows[1] + i,
         rows[2] + i, rows[3] + i, x + i, sum);
    }
}

/* Meanwhile the rows behind these come nearer: they are read next. */
TARGET static void UNDER(spread)(size_t n,
                                 const float *const rows[UH_OPNORM_ROWS],
                                 const double t[UH_OPNORM_ROWS], double *z)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes8 s = *(const lanes8 *)(z + i), u = *(const lanes8 *)(z + i + 8);
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            __builtin_prefetch(rows[r] + UH_OPNORM_ROWS * n + i);
            s += t[r] * WIDE(rows[r] + i);
            u += t[r] * WIDE(rows[r] + i + 8);
        }
        *(lanes8 *)(z + i) = s;
        *(lanes8 *)(z + i + 8) = u;
    }
    for (; i < n; i++) {
        for (size_t r = 0; r < UH_OPNORM_ROWS; r++) {
            z[i] += t[r] * (double)rows[r][i];
        }
    }
}

#undef UNDER
#undef TARGET
#undef WIDE

#endif
