/* layer_lrn.c: local response normalization of layer.h. */
#include "layer_lrn.h"
#include "fmath.h"

#include <math.h>

/* The sum of v over the channels from c - before to c + after that exist. */
static double window_sum(size_t channels, size_t c, size_t before, size_t after,
                         const double v[])
{
    size_t first = c > before ? c - before : 0;
    size_t last = channels - 1 - c > after ? c + after : channels - 1;
    double sum = 0;
    for (size_t j = first; j <= last; j++) {
        sum += v[j];
    }
    return sum;
}

/* d[c] of layer_lrn.h, given the squares. */
static double divisor(const struct uh_layer *layer, size_t c,
                      const double square[])
{
    size_t size = layer->kernel[0];
    double sum =
        window_sum(layer->in.channels, c, size / 2, (size - 1) / 2, square);
    return (double)layer->value + (double)layer->alpha / (double)size * sum;
}

void uh_layer_lrn_forward(const struct uh_layer *layer, struct uh_pool *pool,
                          size_t n, const float *x, float *y)
{
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    size_t channels = layer->in.channels;
    size_t plane = layer->in.height * layer->in.width;
    double beta = (double)layer->beta;
    double *square = uh_arena_alloc_raw(scratch, channels, sizeof *square);
    for (size_t p = 0; p < n * plane; p++) {
        size_t at = p / plane * channels * plane + p % plane;
        for (size_t c = 0; c < channels; c++) {
            double v = (double)x[at + c * plane];
            square[c] = v * v;
        }
        for (size_t c = 0; c < channels; c++) {
            double scale = uh_exp(-beta * uh_log(divisor(layer, c, square)));
            y[at + c * plane] = (float)((double)x[at + c * plane] * scale);
        }
    }
    uh_arena_release(scratch, mark);
}

double uh_layer_lrn_constant(const struct uh_layer *layer)
{
    /* Arguments of uh_exp are below 746 where its result is a number, and off
     * by 4 units in the last place: 7e-13. */
    const double up = 1 + 1e-11;
    double beta = (double)layer->beta, size = (double)layer->kernel[0];
    double share = uh_exp((beta + 1) * uh_log1p(-1 / (beta + 1)));
    double scale = uh_exp(-beta * uh_log((double)layer->value));
    return scale * (1 + 2 * sqrt(size) * share) * up;
}

/* dx[i] = dy[i] d[i]^-beta
 *         - 2 alpha beta / size x[i] sum of dy[c] x[c] d[c]^(-beta - 1)
 * over the channels c whose window has i. */
void uh_layer_lrn_backward(const struct uh_layer *layer, struct uh_pool *pool,
                           size_t n, const float *x, const float *dy, float *dx)
{
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    size_t channels = layer->in.channels, size = layer->kernel[0];
    size_t plane = layer->in.height * layer->in.width;
    double beta = (double)layer->beta;
    double factor = 2 * (double)layer->alpha * beta / (double)size;
    double *square = uh_arena_alloc_raw(scratch, channels, sizeof *square);
    double *scale = uh_arena_alloc_raw(scratch, channels, sizeof *scale);
    double *term = uh_arena_alloc_raw(scratch, channels, sizeof *term);
    for (size_t p = 0; p < n * plane; p++) {
        size_t at = p / plane * channels * plane + p % plane;
        for (size_t c = 0; c < channels; c++) {
            double v = (double)x[at + c * plane];
            square[c] = v * v;
        }
        for (size_t c = 0; c < channels; c++) {
            double d = divisor(layer, c, square);
            scale[c] = uh_exp(-beta * uh_log(d));
            term[c] = (double)dy[at + c * plane] * (double)x[at + c * plane] *
                      (scale[c] / d);
        }
        for (size_t c = 0; c < channels; c++) {
            double sum =
                window_sum(channels, c, (size - 1) / 2, size / 2, term);
            dx[at + c * plane] =
                (float)((double)dy[at + c * plane] * scale[c] -
                        factor * (double)x[at + c * plane] * sum);
        }
    }
    uh_arena_release(scratch, mark);
}
