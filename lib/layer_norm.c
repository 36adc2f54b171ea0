/* layer_norm.c: batch normalization of layer.h. */
#include "layer_norm.h"

#include <math.h>

enum { LANES = 8 }; /* partial sums per sample and channel */

static const double MOMENTUM = 0.1; /* of the running statistics; PyTorch's */

struct pair {
    double a, b;
};

static size_t plane_of(const struct uh_layer *layer)
{
    return layer->in.height * layer->in.width;
}

/* Sum over a channel of all samples of (x - shift)^power, power 1 or 2. */
static double channel_sum(const struct uh_layer *layer, size_t n, size_t c,
                          const float *x, double shift, int power)
{
    size_t plane = plane_of(layer), image = uh_shape_size(layer->in);
    double sum = 0;
    for (size_t s = 0; s < n; s++) {
        const float *v = x + s * image + c * plane;
        double lane[LANES] = {0};
        for (size_t i = 0; i < plane; i++) {
            double d = (double)v[i] - shift;
            lane[i % LANES] += power == 1 ? d : d * d;
        }
        for (size_t j = 0; j < LANES; j++) {
            sum += lane[j];
        }
    }
    return sum;
}

/* y = x * scale + shift, on one channel of all samples. */
static void channel_affine(const struct uh_layer *layer, size_t n, size_t c,
                           float scale, float shift, const float *x, float *y)
{
    size_t plane = plane_of(layer), image = uh_shape_size(layer->in);
    for (size_t s = 0; s < n; s++) {
        const float *from = x + s * image + c * plane;
        float *to = y + s * image + c * plane;
        for (size_t i = 0; i < plane; i++) {
            to[i] = from[i] * scale + shift;
        }
    }
}

void uh_layer_norm_affine(const struct uh_layer *layer, size_t c, double *scale,
                          double *shift)
{
    double variance = (double)layer->running_var[c] + (double)layer->value;
    *scale = (double)layer->weight[c] / sqrt(variance);
    *shift = (double)layer->bias[c] - (double)layer->running_mean[c] * *scale;
}

void uh_layer_norm_rest(const struct uh_layer *layer, size_t n, const float *x,
                        float *y)
{
    for (size_t c = 0; c < layer->in.channels; c++) {
        double scale, shift;
        uh_layer_norm_affine(layer, c, &scale, &shift);
        channel_affine(layer, n, c, (float)scale, (float)shift, x, y);
    }
}

void uh_layer_norm_forward(const struct uh_layer *layer, size_t n,
                           const float *x, float *y,
                           struct uh_layer_notes *notes)
{
    double count = (double)n * (double)plane_of(layer);
    for (size_t c = 0; c < layer->in.channels; c++) {
        double mean = channel_sum(layer, n, c, x, 0, 1) / count;
        double variance = channel_sum(layer, n, c, x, mean, 2) / count;
        double inverse = 1 / sqrt(variance + (double)layer->value);
        double scale = (double)layer->weight[c] * inverse;
        notes->mean[c] = (float)mean;
        notes->inverse[c] = (float)inverse;
        notes->variance[c] = (float)variance;
        channel_affine(layer, n, c, (float)scale,
                       (float)((double)layer->bias[c] - mean * scale), x, y);
    }
}

void uh_layer_norm_update(struct uh_layer *layer, size_t n,
                          const struct uh_layer_notes *notes)
{
    double count = (double)n * (double)plane_of(layer);
    double unbiased = count > 1 ? count / (count - 1) : 1;
    for (size_t c = 0; c < layer->in.channels; c++) {
        double mean = (double)layer->running_mean[c];
        double var = (double)layer->running_var[c];
        mean += MOMENTUM * ((double)notes->mean[c] - mean);
        var += MOMENTUM * (unbiased * (double)notes->variance[c] - var);
        layer->running_mean[c] = (float)mean;
        layer->running_var[c] = (float)var;
    }
}

/* Sums of dy and of dy * (x - mean) * inverse over a channel. */
static struct pair channel_gradients(const struct uh_layer *layer, size_t n,
                                     size_t c, const float *x, const float *dy,
                                     double mean, double inverse)
{
    size_t plane = plane_of(layer), image = uh_shape_size(layer->in);
    struct pair sum = {0, 0};
    for (size_t s = 0; s < n; s++) {
        const float *v = x + s * image + c * plane;
        const float *d = dy + s * image + c * plane;
        double a[LANES] = {0}, b[LANES] = {0};
        for (size_t i = 0; i < plane; i++) {
            a[i % LANES] += (double)d[i];
            b[i % LANES] += (double)d[i] * (((double)v[i] - mean) * inverse);
        }
        for (size_t j = 0; j < LANES; j++) {
            sum.a += a[j];
            sum.b += b[j];
        }
    }
    return sum;
}

void uh_layer_norm_backward(const struct uh_layer *layer, size_t n,
                            const float *x, const struct uh_layer_notes *notes,
                            const float *dy, float *dweight, float *dbias,
                            float *dx)
{
    size_t plane = plane_of(layer), image = uh_shape_size(layer->in);
    int batch = notes && notes->mean;
    double count = (double)n * (double)plane;
    for (size_t c = 0; c < layer->in.channels; c++) {
        double mean = (double)(batch ? notes->mean : layer->running_mean)[c];
        double inverse = batch ? (double)notes->inverse[c]
                               : 1 / sqrt((double)layer->running_var[c] +
                                          (double)layer->value);
        struct pair sum = channel_gradients(layer, n, c, x, dy, mean, inverse);
        if (dbias) {
            dbias[c] += (float)sum.a;
        }
        if (dweight) {
            dweight[c] += (float)sum.b;
        }
        if (!dx) {
            continue;
        }
        /* At rest the statistics do not depend on x. */
        double a = batch ? sum.a / count : 0, b = batch ? sum.b / count : 0;
        double scale = (double)layer->weight[c] * inverse;
        for (size_t s = 0; s < n; s++) {
            size_t at = s * image + c * plane;
            for (size_t i = at; i < at + plane; i++) {
                double unit = ((double)x[i] - mean) * inverse;
                dx[i] = (float)(scale * ((double)dy[i] - a - unit * b));
            }
        }
    }
}
