/* layer_pool.c: max- and mean-pooling of layer.h. */
#include "layer_pool.h"

#include <string.h>

enum { WIDEST = 1024 }; /* columns of an image that max_row takes */

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

/* Nothing is greater than a NaN, and a NaN wins: it must not be lost. */
static inline int beats(float a, float b)
{
    return (a > b) | (a != a);
}

static float max_of(struct span rows, struct span columns, size_t width,
                    const float *x, uint32_t *choice)
{
    size_t winner = rows.first * width + columns.first;
    float best = x[winner];
    for (size_t i = rows.first; i < rows.last; i++) {
        for (size_t j = columns.first; j < columns.last; j++) {
            size_t at = i * width + j;
            int wins = beats(x[at], best);
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

/* Four entries at a time, in the compilers' own terms: their vectorizers make
 * a branch of the comparison, which random images mispredict. */
typedef float quad __attribute__((vector_size(16)));
typedef int32_t quad_bits __attribute__((vector_size(16)));

/* best[j] = max(best[j], x[j]) and the winner's place, row + j, for a row. */
static void max_down(size_t width, uint32_t row, const float *restrict x,
                     float *restrict best, uint32_t *restrict place)
{
    size_t j = 0;
    for (; j + 4 <= width; j += 4) {
        quad a, b;
        quad_bits at, now = {0, 1, 2, 3};
        memcpy(&a, x + j, sizeof a);
        memcpy(&b, best + j, sizeof b);
        memcpy(&at, place + j, sizeof at);
        now += (int32_t)(row + (uint32_t)j);
        quad_bits wins = (a > b) | (a != a);
        b = (quad)((wins & (quad_bits)a) | (~wins & (quad_bits)b));
        at = (wins & now) | (~wins & at);
        memcpy(best + j, &b, sizeof b);
        memcpy(place + j, &at, sizeof at);
    }
    for (; j < width; j++) {
        if (beats(x[j], best[j])) {
            best[j] = x[j];
            place[j] = row + (uint32_t)j;
        }
    }
}

/* The first column of a window whose maximum is the window's.  Of equal
 * entries the one with the lowest place is the first in scan order. */
static inline size_t max_along(size_t columns, const float *best,
                               const uint32_t *place)
{
    size_t winner = 0;
    for (size_t j = 1; j < columns; j++) {
        size_t wins =
            (size_t)(beats(best[j], best[winner]) |
                     ((best[j] >= best[winner]) & (place[j] < place[winner])));
        winner += (j - winner) & (0 - wins);
    }
    return winner;
}

/* Maxima where all windows lie inside: down the columns first, which are
 * independent of each other, then along the row. */
static void max_row(const struct uh_layer *layer, size_t oy, const float *x,
                    float *y, uint32_t *choice)
{
    float best[WIDEST];
    uint32_t place[WIDEST];
    size_t width = layer->in.width, columns = layer->kernel[1];
    uint32_t row = (uint32_t)(oy * layer->stride[0] * width);
    for (size_t j = 0; j < width; j++) {
        best[j] = x[row + j];
        place[j] = row + (uint32_t)j;
    }
    for (size_t i = 1; i < layer->kernel[0]; i++) {
        row += (uint32_t)width;
        max_down(width, row, x + row, best, place);
    }
    for (size_t ox = 0; ox < layer->out.width; ox++) {
        size_t first = ox * layer->stride[1];
        size_t winner = first + max_along(columns, best + first, place + first);
        y[ox] = best[winner];
        choice[ox] = place[winner];
    }
}

static int all_inside(const struct uh_layer *layer)
{
    int inside = layer->in.width <= WIDEST;
    for (int axis = 0; axis < 2; axis++) {
        size_t in = axis ? layer->in.width : layer->in.height;
        size_t out = axis ? layer->out.width : layer->out.height;
        inside &= layer->pad[axis] == 0 &&
                  (out - 1) * layer->stride[axis] + layer->kernel[axis] <= in;
    }
    return inside;
}

static void max_forward(const struct uh_layer *layer, size_t n, const float *x,
                        float *y, uint32_t *choice)
{
    size_t plane = layer->in.height * layer->in.width;
    uint32_t dropped[WIDEST];
    for (size_t c = 0; c < n * layer->in.channels; c++, x += plane) {
        for (size_t oy = 0; oy < layer->out.height; oy++) {
            max_row(layer, oy, x, y, choice ? choice : dropped);
            y += layer->out.width;
            choice = choice ? choice + layer->out.width : NULL;
        }
    }
}

void uh_layer_pool_forward(const struct uh_layer *layer, size_t n,
                           const float *x, float *y, uint32_t *choice)
{
    size_t width = layer->in.width, plane = layer->in.height * width;
    uint32_t dropped;
    if (layer->kind == UH_MAXPOOL && all_inside(layer)) {
        max_forward(layer, n, x, y, choice);
        return;
    }
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

static void max_backward(const struct uh_layer *layer, size_t n,
                         const uint32_t *choice, const float *dy, float *dx)
{
    size_t in = layer->in.height * layer->in.width;
    size_t out = layer->out.height * layer->out.width;
    for (size_t c = 0; c < n * layer->in.channels; c++, dx += in) {
        for (size_t o = 0; o < out; o++) {
            dx[*choice++] += *dy++;
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
    if (layer->kind == UH_MAXPOOL) {
        max_backward(layer, n, choice, dy, dx);
        return;
    }
    for (size_t c = 0; c < n * layer->in.channels; c++, dx += plane) {
        for (size_t oy = 0; oy < layer->out.height; oy++) {
            struct span rows = rows_of(layer, oy);
            for (size_t ox = 0; ox < layer->out.width; ox++) {
                spread_mean(rows, columns_of(layer, ox), width, *dy++, dx);
            }
        }
    }
}
