/* layer_pool.c: max- and mean-pooling of layer.h. */
#include "layer_pool.h"

#include <string.h>

/* What one window sees of an axis. */
struct span {
    size_t first, last; /* places of the image, first <= i < last */
    size_t places;      /* of the padded image, the mean's divisor */
};

static struct span span_of(size_t o, size_t kernel, size_t stride, size_t pad,
                           size_t size)
{
    size_t begin = o * stride, end = begin + kernel; /* in the padded image */
    if (end > size + 2 * pad) {
        end = size + 2 * pad;
    }
    struct span span = {begin > pad ? begin - pad : 0, 0, end - begin};
    span.last = end > pad ? end - pad : 0;
    if (span.last > size) {
        span.last = size;
    }
    return span;
}

static struct span rows_of(const struct uh_layer *layer, size_t oy)
{
    return span_of(oy, layer->kernel[0], layer->stride[0], layer->pad[0],
                   layer->in.height);
}

static struct span columns_of(const struct uh_layer *layer, size_t ox)
{
    return span_of(ox, layer->kernel[1], layer->stride[1], layer->pad[1],
                   layer->in.width);
}

static float max_of(struct span rows, struct span columns, size_t width,
                    const float *x, uint32_t *choice)
{
    size_t winner = rows.first * width + columns.first;
    float best = x[winner];
    for (size_t i = rows.first; i < rows.last; i++) {
        for (size_t j = columns.first; j < columns.last; j++) {
            size_t at = i * width + j;
            int wins = x[at] > best;
            best = wins ? x[at] : best;
            winner = wins ? at : winner;
        }
    }
    *choice = (uint32_t)winner;
    return best;
}

static float mean_of(struct span rows, struct span columns, size_t width,
                     const float *x)
{
    float sum = 0;
    for (size_t i = rows.first; i < rows.last; i++) {
        for (size_t j = columns.first; j < columns.last; j++) {
            sum += x[i * width + j];
        }
    }
    return sum / (float)(rows.places * columns.places);
}

void uh_layer_pool_forward(const struct uh_layer *layer, size_t n,
                           const float *x, float *y, uint32_t *choice)
{
    size_t width = layer->in.width, plane = layer->in.height * width;
    uint32_t dropped;
    for (size_t c = 0; c < n * layer->in.channels; c++, x += plane) {
        for (size_t oy = 0; oy < layer->out.height; oy++) {
            struct span rows = rows_of(layer, oy);
            for (size_t ox = 0; ox < layer->out.width; ox++) {
                struct span columns = columns_of(layer, ox);
                if (layer->kind == UH_MAXPOOL) {
                    *y++ = max_of(rows, columns, width, x,
                                  choice ? choice++ : &dropped);
                } else {
                    *y++ = mean_of(rows, columns, width, x);
                }
            }
        }
    }
}

static void spread_mean(struct span rows, struct span columns, size_t width,
                        float dy, float *dx)
{
    float share = dy / (float)(rows.places * columns.places);
    for (size_t i = rows.first; i < rows.last; i++) {
        for (size_t j = columns.first; j < columns.last; j++) {
            dx[i * width + j] += share;
        }
    }
}

void uh_layer_pool_backward(const struct uh_layer *layer, size_t n,
                            const uint32_t *choice, const float *dy, float *dx)
{
    size_t width = layer->in.width, plane = layer->in.height * width;
    memset(dx, 0, n * layer->in.channels * plane * sizeof *dx);
    for (size_t c = 0; c < n * layer->in.channels; c++, dx += plane) {
        for (size_t oy = 0; oy < layer->out.height; oy++) {
            struct span rows = rows_of(layer, oy);
            for (size_t ox = 0; ox < layer->out.width; ox++) {
                if (layer->kind == UH_MAXPOOL) {
                    dx[*choice++] += *dy++;
                } else {
                    spread_mean(rows, columns_of(layer, ox), width, *dy++, dx);
                }
            }
        }
    }
}
