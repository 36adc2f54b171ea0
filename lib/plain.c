/* plain.c: a network along a line by plain loops, in double. */
#include "plain.h"
#include "die.h"
#include "fmath.h"

#include <math.h>
#include <string.h>

/* The sign of x at t, also where t is infinite. */
static int is_positive(struct uh_dual x, double t)
{
    return isinf(t) && x.s != 0 ? x.s * t > 0 : x.p > 0;
}

static int is_greater(struct uh_dual x, struct uh_dual y, double t)
{
    return is_positive((struct uh_dual){x.p - y.p, x.s - y.s}, t);
}

static void add(struct uh_dual *sum, double w, struct uh_dual x)
{
    sum->p += w * x.p;
    sum->s += w * x.s;
}

static void dense(const struct uh_layer *a, const struct uh_dual *x,
                  struct uh_dual *y)
{
    for (size_t o = 0; o < a->out.channels; o++) {
        y[o] = (struct uh_dual){(double)a->bias[o], 0};
        for (size_t i = 0; i < a->in.channels; i++) {
            add(&y[o], (double)a->weight[o * a->in.channels + i], x[i]);
        }
    }
}

/* A plane, shifted by kernel place (down, right), times w. */
static void add_shifted(const struct uh_layer *a, const struct uh_dual *x,
                        size_t down, size_t right, double w, struct uh_dual *y)
{
    for (size_t r = 0; r < a->out.height; r++) {
        size_t i = r * a->stride[0] + down;
        if (i < a->pad[0] || i >= a->in.height + a->pad[0]) {
            continue;
        }
        const struct uh_dual *row = x + (i - a->pad[0]) * a->in.width;
        for (size_t c = 0; c < a->out.width; c++) {
            size_t j = c * a->stride[1] + right;
            if (j >= a->pad[1] && j < a->in.width + a->pad[1]) {
                add(&y[r * a->out.width + c], w, row[j - a->pad[1]]);
            }
        }
    }
}

/* A convolution is a sum of shifted planes. */
static void conv(const struct uh_layer *a, const struct uh_dual *x,
                 struct uh_dual *y)
{
    size_t area = a->out.height * a->out.width;
    size_t plane = a->in.height * a->in.width;
    size_t share = a->out.channels / a->groups;
    size_t deep = a->in.channels / a->groups;
    const float *w = a->weight;
    for (size_t o = 0; o < a->out.channels; o++) {
        for (size_t i = 0; i < area; i++) {
            y[o * area + i] = (struct uh_dual){(double)a->bias[o], 0};
        }
        for (size_t c = 0; c < deep; c++) {
            for (size_t k = 0; k < a->kernel[0]; k++) {
                for (size_t m = 0; m < a->kernel[1]; m++) {
                    add_shifted(a, x + (o / share * deep + c) * plane,
                                k * a->dilation[0], m * a->dilation[1],
                                (double)*w++, y + o * area);
                }
            }
        }
    }
}

static uint32_t *pool(const struct uh_layer *a, const struct uh_dual *x,
                      double t, struct uh_dual *y, uint32_t *pattern)
{
    long rows = (long)a->in.height, cols = (long)a->in.width;
    size_t area = a->out.height * a->out.width;
    for (size_t o = 0; o < uh_shape_size(a->out); o++) {
        long top = (long)(o % area / a->out.width * a->stride[0]);
        long left = (long)(o % a->out.width * a->stride[1]);
        const struct uh_dual *plane = x + o / area * (size_t)(rows * cols);
        struct uh_dual sum = {0, 0};
        long places = 0, winner = -1;
        for (long r = top; r < top + (long)a->kernel[0]; r++) {
            for (long c = left; c < left + (long)a->kernel[1]; c++) {
                long i = r - (long)a->pad[0], j = c - (long)a->pad[1];
                if (i >= rows + (long)a->pad[0] ||
                    j >= cols + (long)a->pad[1]) {
                    continue; /* beyond the padding */
                }
                places++;
                if (i < 0 || j < 0 || i >= rows || j >= cols) {
                    continue;
                }
                add(&sum, 1, plane[i * cols + j]);
                if (winner < 0 ||
                    is_greater(plane[i * cols + j], plane[winner], t)) {
                    winner = i * cols + j;
                }
            }
        }
        if (a->kind == UH_MAXPOOL) {
            y[o] = plane[winner];
            *pattern++ = (uint32_t)winner;
        } else {
            y[o] = (struct uh_dual){sum.p / (double)places,
                                    sum.s / (double)places};
        }
    }
    return pattern;
}

static struct uh_dual at_rest(const struct uh_layer *a, size_t c,
                              struct uh_dual x)
{
    double root = sqrt((double)a->running_var[c] + (double)a->value);
    double scale = (double)a->weight[c] / root;
    double shift = (double)a->bias[c] - (double)a->running_mean[c] * scale;
    struct uh_dual y = {(double)(float)shift, 0};
    add(&y, (double)(float)scale, x);
    return y;
}

static uint32_t *entries(const struct uh_layer *a, const struct uh_dual *x,
                         double t, struct uh_dual *y, uint32_t *pattern)
{
    size_t area = a->out.height * a->out.width;
    for (size_t i = 0; i < uh_shape_size(a->out); i++) {
        y[i] = x[i];
        if (a->kind == UH_TANH) {
            double h = uh_tanh(x[i].p);
            y[i] = (struct uh_dual){h, (1 - h * h) * x[i].s};
        } else if (a->kind == UH_SIGMOID) {
            double h = uh_sigmoid(x[i].p);
            y[i] = (struct uh_dual){h, h * (1 - h) * x[i].s};
        } else if (a->kind == UH_BATCHNORM) {
            y[i] = at_rest(a, i / area, x[i]);
        } else if (a->kind == UH_RELU || a->kind == UH_LEAKYRELU) {
            double slope = a->kind == UH_RELU ? 0 : (double)a->value;
            int on = is_positive(x[i], t);
            *pattern++ = (uint32_t)on;
            if (!on) {
                y[i] = (struct uh_dual){slope * x[i].p, slope * x[i].s};
            }
        } else {
            UH_REQUIRE(a->kind == UH_FLATTEN || a->kind == UH_MARK,
                       "layer %s by plain loops", uh_kind_word(a->kind));
        }
    }
    return pattern;
}

/* add and cat: with the tensor that was marked. */
static void join(const struct uh_layer *a, const struct uh_dual *marked,
                 const struct uh_dual *x, struct uh_dual *y)
{
    size_t n = uh_shape_size(a->out), m = uh_shape_size(a->in);
    if (a->kind == UH_CAT) {
        memcpy(y, marked, (n - m) * sizeof *y);
        memcpy(y + n - m, x, m * sizeof *y);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i];
        add(&y[i], 1, marked[i]);
    }
}

static struct uh_dual *input(const struct uh_net *net, const double *a,
                             const double *b, double t,
                             struct uh_arena *scratch)
{
    size_t n = uh_shape_size(net->in);
    struct uh_dual *x = uh_arena_alloc(scratch, n, sizeof *x);
    UH_REQUIRE(a || n == 1, "%zu inputs and no line", n);
    for (size_t i = 0; i < n; i++) {
        double from = a ? a[i] : 0, way = a ? b[i] - a[i] : 1;
        x[i] = (struct uh_dual){isinf(t) ? from : from + t * way, way};
    }
    return x;
}

size_t uh_plain(const struct uh_net *net, const double *a, const double *b,
                double t, struct uh_dual *y, uint32_t *pattern,
                struct uh_arena *scratch)
{
    struct uh_mark mark = uh_arena_open(scratch);
    const struct uh_dual **at =
        uh_arena_alloc(scratch, net->layers, sizeof *at);
    const struct uh_dual *x = input(net, a, b, t, scratch);
    uint32_t *all =
        pattern ? pattern
                : uh_arena_alloc(scratch, uh_plain_pattern(net), sizeof *all);
    uint32_t *next = all;
    for (size_t k = 0; k < net->layers; k++) {
        const struct uh_layer *l = &net->layer[k];
        struct uh_dual *out =
            uh_arena_alloc(scratch, uh_shape_size(l->out), sizeof *out);
        if (l->kind == UH_DENSE) {
            dense(l, x, out);
        } else if (l->kind == UH_CONV) {
            conv(l, x, out);
        } else if (l->kind == UH_MAXPOOL || l->kind == UH_MEANPOOL) {
            next = pool(l, x, t, out, next);
        } else if (l->kind == UH_ADD || l->kind == UH_CAT) {
            join(l, at[l->source], x, out);
        } else if (l->kind != UH_FROM) {
            next = entries(l, x, t, out, next);
        }
        x = at[k] = l->kind == UH_FROM ? at[l->source] : out;
    }
    memcpy(y, x, uh_shape_size(net->out) * sizeof *y);
    uh_arena_release(scratch, mark);
    return (size_t)(next - all);
}

size_t uh_plain_pattern(const struct uh_net *net)
{
    size_t n = 0;
    for (size_t k = 0; k < net->layers; k++) {
        const struct uh_layer *l = &net->layer[k];
        if (l->kind == UH_RELU || l->kind == UH_LEAKYRELU ||
            l->kind == UH_MAXPOOL) {
            n += uh_shape_size(l->out);
        }
    }
    return n;
}
