/* ref_opnorm.c: the matrix of a layer by the definition. */
#include "ref_opnorm.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Place o of an output axis and place k of the kernel: the row of the image
 * that is read, or -1. */
static long seen(const struct uh_layer *a, int d, size_t o, size_t k,
                 size_t size)
{
    long at = (long)(o * a->stride[d] + k * a->dilation[d]) - (long)a->pad[d];
    return at >= 0 && at < (long)size ? at : -1;
}

static double share_of_mean(const struct uh_layer *a, size_t oy, size_t ox)
{
    size_t rows = a->in.height + 2 * a->pad[0];
    size_t cols = a->in.width + 2 * a->pad[1];
    size_t high = 0, wide = 0;
    for (size_t k = 0; k < a->kernel[0]; k++)
        high += oy * a->stride[0] + k < rows;
    for (size_t k = 0; k < a->kernel[1]; k++)
        wide += ox * a->stride[1] + k < cols;
    return 1 / (double)(high * wide);
}

double *ref_opnorm_matrix(const struct uh_layer *a, const float *scale)
{
    size_t n = uh_shape_size(a->in), m = uh_shape_size(a->out);
    double *matrix = calloc(m * n, sizeof *matrix);
    size_t ins = a->in.channels / a->groups, outs = a->out.channels / a->groups;
    for (size_t row = 0; row < m; row++) {
        size_t ox = row % a->out.width, oy = row / a->out.width % a->out.height;
        size_t o = row / a->out.width / a->out.height;
        if (a->kind == UH_DENSE) {
            for (size_t i = 0; i < n; i++)
                matrix[row * n + i] = (double)a->weight[row * n + i] *
                                      (scale ? (double)scale[row] : 1);
            continue;
        }
        for (size_t c = 0; c < (a->kind == UH_CONV ? ins : 1); c++)
            for (size_t i = 0; i < a->kernel[0]; i++)
                for (size_t j = 0; j < a->kernel[1]; j++) {
                    long y = seen(a, 0, oy, i, a->in.height);
                    long x = seen(a, 1, ox, j, a->in.width);
                    if (y < 0 || x < 0)
                        continue;
                    size_t from = a->kind == UH_CONV ? o / outs * ins + c : o;
                    size_t at =
                        (from * a->in.height + (size_t)y) * a->in.width +
                        (size_t)x;
                    double w = share_of_mean(a, oy, ox);
                    if (a->kind == UH_CONV)
                        w = (double)
                                a->weight[((o * ins + c) * a->kernel[0] + i) *
                                              a->kernel[1] +
                                          j] *
                            (scale ? (double)scale[o] : 1);
                    matrix[row * n + at] += w;
                }
    }
    return matrix;
}

double *ref_opnorm_singular(size_t m, size_t n, const double *a)
{
    size_t k = m < n ? m : n;
    double *copy = malloc(m * n * sizeof *copy), *s = malloc(k * sizeof *s);
    memcpy(copy, a, m * n * sizeof *copy);
    /* column by column it is the transpose, with the same values */
    int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', (int)n, (int)m, copy,
                              (int)n, s, NULL, 1, NULL, 1);
    free(copy);
    if (info != 0)
        abort();
    return s;
}

double ref_opnorm_gain(size_t m, size_t n, const double *a, const double *v)
{
    long double to = 0, from = 0;
    for (size_t i = 0; i < m; i++) {
        long double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += (long double)a[i * n + j] * (long double)v[j];
        to += sum * sum;
    }
    for (size_t j = 0; j < n; j++)
        from += (long double)v[j] * (long double)v[j];
    return (double)sqrtl(to / from);
}
