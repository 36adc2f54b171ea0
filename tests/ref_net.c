/* ref_net.c: naive twins of the network code. */
#include "ref_net.h"

#include <math.h>
#include <string.h>

struct ref_net ref_net_of(const struct uh_net *net, int training,
                          struct uh_arena *arena)
{
    struct ref_net r = {net, NULL, NULL, training};
    r.parameters = uh_arena_alloc(arena, net->parameter_count, sizeof(double));
    r.state = uh_arena_alloc(arena, net->state_count, sizeof(double));
    for (size_t i = 0; i < net->parameter_count; i++) {
        r.parameters[i] = (double)net->parameters[i];
    }
    for (size_t i = 0; i < net->state_count; i++) {
        r.state[i] = (double)net->state[i];
    }
    return r;
}

static size_t at(struct uh_shape s, size_t n, size_t c, size_t y, size_t x)
{
    return ((n * s.channels + c) * s.height + y) * s.width + x;
}

/* Every product of a conv (or of a dense layer, a conv of one place), one
 * after the other: visit(o, place of x, place of w, place of y). */
struct product {
    size_t x, w, y, o;
    int padding; /* x lies outside */
};

typedef void visitor(void *context, const struct product *p);

static void each_product(const struct uh_layer *l, size_t n, visitor *visit,
                         void *context)
{
    size_t per_in = l->in.channels / l->groups;
    size_t per_out = l->out.channels / l->groups;
    for (size_t s = 0; s < n; s++) {
        for (size_t o = 0; o < l->out.channels; o++) {
            for (size_t oy = 0; oy < l->out.height; oy++) {
                for (size_t ox = 0; ox < l->out.width; ox++) {
                    for (size_t c = 0; c < per_in; c++) {
                        for (size_t i = 0; i < l->kernel[0]; i++) {
                            for (size_t j = 0; j < l->kernel[1]; j++) {
                                long iy = (long)(oy * l->stride[0] +
                                                 i * l->dilation[0]) -
                                          (long)l->pad[0];
                                long ix = (long)(ox * l->stride[1] +
                                                 j * l->dilation[1]) -
                                          (long)l->pad[1];
                                struct product p = {0};
                                p.padding = iy < 0 || ix < 0 ||
                                            iy >= (long)l->in.height ||
                                            ix >= (long)l->in.width;
                                if (!p.padding) {
                                    p.x = at(l->in, s, o / per_out * per_in + c,
                                             (size_t)iy, (size_t)ix);
                                }
                                p.w = ((o * per_in + c) * l->kernel[0] + i) *
                                          l->kernel[1] +
                                      j;
                                p.y = at(l->out, s, o, oy, ox);
                                p.o = o;
                                visit(context, &p);
                            }
                        }
                    }
                }
            }
        }
    }
}

struct doubles {
    const double *x, *w, *dy;
    double *y, *dw, *dx;
};

static void add_forward(void *context, const struct product *p)
{
    const struct doubles *d = context;
    d->y[p->y] += p->padding ? 0 : d->x[p->x] * d->w[p->w];
}

static void add_backward(void *context, const struct product *p)
{
    const struct doubles *d = context;
    if (!p->padding) {
        d->dw[p->w] += d->dy[p->y] * d->x[p->x];
        d->dx[p->x] += d->dy[p->y] * d->w[p->w];
    }
}

/* The window of a pool: calls for each place inside; returns the divisor. */
static double pool_window(const struct uh_layer *l, size_t oy, size_t ox,
                          size_t list[], size_t *places)
{
    double divisor = 0;
    *places = 0;
    for (size_t i = 0; i < l->kernel[0]; i++) {
        for (size_t j = 0; j < l->kernel[1]; j++) {
            size_t py = oy * l->stride[0] + i, px = ox * l->stride[1] + j;
            if (py >= l->in.height + 2 * l->pad[0] ||
                px >= l->in.width + 2 * l->pad[1]) {
                continue; /* beyond the padding, in ceiling mode */
            }
            divisor++;
            if (py >= l->pad[0] && py < l->in.height + l->pad[0] &&
                px >= l->pad[1] && px < l->in.width + l->pad[1]) {
                list[(*places)++] =
                    (py - l->pad[0]) * l->in.width + px - l->pad[1];
            }
        }
    }
    return divisor;
}

static void pool(const struct uh_layer *l, size_t n, const double *x, double *y,
                 const double *dy, double *dx)
{
    size_t list[256], places;
    for (size_t s = 0; s < n; s++) {
        for (size_t c = 0; c < l->in.channels; c++) {
            size_t plane = at(l->in, s, c, 0, 0);
            for (size_t oy = 0; oy < l->out.height; oy++) {
                for (size_t ox = 0; ox < l->out.width; ox++) {
                    size_t to = at(l->out, s, c, oy, ox), best = 0;
                    double sum = 0;
                    double divisor = pool_window(l, oy, ox, list, &places);
                    for (size_t k = 0; k < places; k++) {
                        sum += x[plane + list[k]];
                        if (x[plane + list[k]] > x[plane + list[best]]) {
                            best = k;
                        }
                    }
                    if (y) {
                        y[to] = l->kind == UH_MAXPOOL ? x[plane + list[best]]
                                                      : sum / divisor;
                    } else if (l->kind == UH_MAXPOOL) {
                        dx[plane + list[best]] += dy[to];
                    } else {
                        for (size_t k = 0; k < places; k++) {
                            dx[plane + list[k]] += dy[to] / divisor;
                        }
                    }
                }
            }
        }
    }
}

int ref_pointwise(enum uh_kind kind)
{
    return kind >= UH_RELU && kind <= UH_SOFTPLUS;
}

static double unit(const struct uh_layer *l, double x)
{
    double v = (double)l->value;
    switch (l->kind) {
    case UH_RELU:
        return x > 0 ? x : 0;
    case UH_LEAKYRELU:
        return x > 0 ? x : v * x;
    case UH_ELU:
        return x > 0 ? x : v * expm1(x);
    case UH_TANH:
        return tanh(x);
    case UH_SIGMOID:
        return 1 / (1 + exp(-x));
    default:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    }
}

static double slope(const struct uh_layer *l, double x)
{
    double v = (double)l->value;
    switch (l->kind) {
    case UH_RELU:
        return x > 0;
    case UH_LEAKYRELU:
        return x > 0 ? 1 : v;
    case UH_ELU:
        return x > 0 ? 1 : v * exp(x);
    case UH_TANH:
        return 1 / (cosh(x) * cosh(x));
    case UH_SIGMOID:
        return 1 / ((1 + exp(-x)) * (1 + exp(x)));
    default:
        return 1 / (1 + exp(-x));
    }
}

/* Mean and 1 / sqrt(variance + eps) of a channel. */
static void statistics(const struct ref_net *r, const struct uh_layer *l,
                       size_t n, size_t c, const double *x, const double *state,
                       double *mean, double *inverse)
{
    size_t plane = l->in.height * l->in.width;
    double count = (double)(n * plane), variance = 0;
    *mean = 0;
    for (size_t s = 0; s < n; s++) {
        for (size_t k = 0; k < plane; k++) {
            *mean += x[at(l->in, s, c, 0, 0) + k] / count;
        }
    }
    for (size_t s = 0; s < n; s++) {
        for (size_t k = 0; k < plane; k++) {
            double d = x[at(l->in, s, c, 0, 0) + k] - *mean;
            variance += d * d / count;
        }
    }
    if (!r->training) {
        *mean = state[c];
        variance = state[l->in.channels + c];
    }
    *inverse = 1 / sqrt(variance + (double)l->value);
}

static void norm(const struct ref_net *r, const struct uh_layer *l, size_t n,
                 const double *x, const double *w, const double *state,
                 double *y, const double *dy, double *dw, double *db,
                 double *dx)
{
    size_t plane = l->in.height * l->in.width;
    double count = (double)(n * plane);
    for (size_t c = 0; c < l->in.channels; c++) {
        double mean, inverse, a = 0, b = 0;
        statistics(r, l, n, c, x, state, &mean, &inverse);
        for (size_t s = 0; s < n; s++) {
            for (size_t k = 0; k < plane; k++) {
                size_t i = at(l->in, s, c, 0, 0) + k;
                double u = (x[i] - mean) * inverse;
                if (y) {
                    y[i] = u * w[c] + w[l->in.channels + c];
                } else {
                    a += dy[i];
                    b += dy[i] * u;
                }
            }
        }
        for (size_t s = 0; !y && s < n; s++) {
            for (size_t k = 0; k < plane; k++) {
                size_t i = at(l->in, s, c, 0, 0) + k;
                double u = (x[i] - mean) * inverse;
                double d =
                    r->training ? dy[i] - a / count - u * b / count : dy[i];
                dx[i] += w[c] * inverse * d;
            }
        }
        if (!y) {
            db[c] += a;
            dw[c] += b;
        }
    }
}

/* d[c]^-beta of a place, and d[c], by the definition. */
static double lrn_scale(const struct uh_layer *l, const double *x, size_t c,
                        double *d)
{
    long size = (long)l->kernel[0], channels = (long)l->in.channels;
    size_t plane = l->in.height * l->in.width;
    double sum = 0;
    for (long j = (long)c - size / 2; j < (long)c - size / 2 + size; j++) {
        if (j >= 0 && j < channels) {
            sum += x[(size_t)j * plane] * x[(size_t)j * plane];
        }
    }
    *d = (double)l->value + (double)l->alpha * sum / (double)size;
    return pow(*d, -(double)l->beta);
}

/* Forward if y, else each output's gradient spread over its window. */
static void lrn(const struct uh_layer *l, size_t n, const double *x, double *y,
                const double *dy, double *dx)
{
    long size = (long)l->kernel[0], channels = (long)l->in.channels;
    size_t plane = l->in.height * l->in.width;
    for (size_t s = 0; s < n; s++) {
        for (size_t p = 0; p < plane; p++) {
            size_t origin = at(l->in, s, 0, 0, 0) + p;
            for (size_t c = 0; c < l->in.channels; c++) {
                size_t i = origin + c * plane;
                double d, scale = lrn_scale(l, x + origin, c, &d);
                if (y) {
                    y[i] = x[i] * scale;
                    continue;
                }
                dx[i] += dy[i] * scale;
                long first = (long)c - size / 2;
                for (long j = first; j < first + size; j++) {
                    if (j >= 0 && j < channels) {
                        size_t k = origin + (size_t)j * plane;
                        dx[k] -= dy[i] * x[i] * (double)l->beta * scale / d *
                                 2 * (double)l->alpha * x[k] / (double)size;
                    }
                }
            }
        }
    }
}

/* The entry that entry k of a concatenation of n samples is: of the kept
 * tensor, or (*kept 0) of the current one. */
static size_t cat_entry(const struct uh_layer *l, size_t k, int *kept)
{
    size_t all = uh_shape_size(l->out), now = uh_shape_size(l->in);
    size_t sample = k / all, place = k % all;
    *kept = place < all - now;
    return *kept ? sample * (all - now) + place
                 : sample * now + place - (all - now);
}

/* Where the running statistics of layer i begin. */
static const double *state_of(const struct ref_net *r, size_t i)
{
    size_t before = 0;
    for (size_t j = 0; j < i; j++) {
        if (r->net->layer[j].kind == UH_BATCHNORM) {
            before += 2 * r->net->layer[j].in.channels;
        }
    }
    return r->state + before;
}

static const double *input(const struct ref_net *r, size_t i, const double *x,
                           double **out)
{
    const struct uh_layer *l = &r->net->layer[i];
    return l->kind == UH_FROM ? out[l->source] : i ? out[i - 1] : x;
}

double **ref_net_forward(const struct ref_net *r, size_t n, const double *x,
                         struct uh_arena *arena)
{
    double **out = uh_arena_alloc(arena, r->net->layers, sizeof *out);
    for (size_t i = 0; i < r->net->layers; i++) {
        const struct uh_layer *l = &r->net->layer[i];
        const double *in = input(r, i, x, out);
        const double *w = r->parameters + l->weight_at;
        size_t size = n * uh_shape_size(l->out);
        double *y = out[i] = uh_arena_alloc(arena, size, sizeof(double));
        if (l->kind == UH_CONV || l->kind == UH_DENSE) {
            struct doubles d = {in, w, NULL, y, NULL, NULL};
            size_t places = l->out.height * l->out.width;
            for (size_t k = 0; k < size; k++) {
                y[k] = r->parameters[l->bias_at + k / places % l->out.channels];
            }
            each_product(l, n, add_forward, &d);
        } else if (l->kind == UH_MAXPOOL || l->kind == UH_MEANPOOL) {
            pool(l, n, in, y, NULL, NULL);
        } else if (l->kind == UH_BATCHNORM) {
            norm(r, l, n, in, w, state_of(r, i), y, NULL, NULL, NULL, NULL);
        } else if (l->kind == UH_LRN) {
            lrn(l, n, in, y, NULL, NULL);
        } else if (l->kind == UH_CAT) {
            for (size_t k = 0; k < size; k++) {
                int kept;
                size_t entry = cat_entry(l, k, &kept);
                y[k] = kept ? out[l->source][entry] : in[entry];
            }
        } else {
            for (size_t k = 0; k < size; k++) {
                y[k] = l->kind == UH_ADD        ? in[k] + out[l->source][k]
                       : ref_pointwise(l->kind) ? unit(l, in[k])
                                                : in[k];
            }
        }
    }
    return out;
}

void ref_net_backward(const struct ref_net *r, size_t n, const double *x,
                      double **out, const double *dy, double *dparameters,
                      double *dx, struct uh_arena *arena)
{
    const struct uh_net *net = r->net;
    double **slot = uh_arena_alloc(arena, net->layers + 1, sizeof *slot);
    slot[0] = dx;
    memset(dx, 0, n * uh_shape_size(net->in) * sizeof *dx);
    memset(dparameters, 0, net->parameter_count * sizeof *dparameters);
    for (size_t i = 0; i < net->layers; i++) {
        slot[i + 1] = uh_arena_alloc(
            arena, n * uh_shape_size(net->layer[i].out), sizeof(double));
    }
    memcpy(slot[net->layers], dy, n * uh_shape_size(net->out) * sizeof *dy);
    for (size_t i = net->layers; i-- > 0;) {
        const struct uh_layer *l = &net->layer[i];
        const double *in = input(r, i, x, out);
        double *d = slot[i + 1];
        double *to = slot[l->kind == UH_FROM ? l->source + 1 : i];
        double *dw = dparameters + l->weight_at;
        const double *w = r->parameters + l->weight_at;
        size_t size = n * uh_shape_size(l->out);
        if (l->kind == UH_CONV || l->kind == UH_DENSE) {
            struct doubles p = {in, w, d, NULL, dw, to};
            size_t places = l->out.height * l->out.width;
            for (size_t k = 0; k < size; k++) {
                dparameters[l->bias_at + k / places % l->out.channels] += d[k];
            }
            each_product(l, n, add_backward, &p);
        } else if (l->kind == UH_MAXPOOL || l->kind == UH_MEANPOOL) {
            pool(l, n, in, NULL, d, to);
        } else if (l->kind == UH_BATCHNORM) {
            norm(r, l, n, in, w, state_of(r, i), NULL, d, dw,
                 dparameters + l->bias_at, to);
        } else if (l->kind == UH_LRN) {
            lrn(l, n, in, NULL, d, to);
        } else if (l->kind == UH_CAT) {
            for (size_t k = 0; k < size; k++) {
                int kept;
                size_t entry = cat_entry(l, k, &kept);
                (kept ? slot[l->source + 1] : to)[entry] += d[k];
            }
        } else {
            for (size_t k = 0; k < size; k++) {
                to[k] += ref_pointwise(l->kind) ? d[k] * slope(l, in[k]) : d[k];
                if (l->kind == UH_ADD) {
                    slot[l->source + 1][k] += d[k];
                }
            }
        }
    }
}

/* -- the promised chains, in float ---------------------------------------- */

struct floats {
    const float *x, *w, *dy;
    float *y, *dw, *dcols;
    size_t products;
};

static void chain_y(void *context, const struct product *p)
{
    struct floats *f = context;
    f->y[p->y] = fmaf(f->w[p->w], p->padding ? 0 : f->x[p->x], f->y[p->y]);
}

void ref_chain_forward(const struct uh_layer *layer, size_t n, const float *x,
                       float *y)
{
    struct floats f = {.x = x, .w = layer->weight, .y = y};
    size_t places = layer->out.height * layer->out.width;
    for (size_t k = 0; k < n * uh_shape_size(layer->out); k++) {
        y[k] = layer->bias[k / places % layer->out.channels];
    }
    each_product(layer, n, chain_y, &f);
}

static void chain_dw(void *context, const struct product *p)
{
    struct floats *f = context;
    f->dw[p->w] = fmaf(f->dy[p->y], p->padding ? 0 : f->x[p->x], f->dw[p->w]);
}

/* One sample: the gradient to each (term, place) is a chain over outputs, and
 * what falls on one input place is added by term, then place. */
static void chain_dx(const struct uh_layer *l, const float *dy, float *dx)
{
    size_t per_in = l->in.channels / l->groups;
    size_t per_out = l->out.channels / l->groups;
    for (size_t c = 0; c < l->in.channels; c++) {
        for (size_t i = 0; i < l->kernel[0]; i++) {
            for (size_t j = 0; j < l->kernel[1]; j++) {
                for (size_t oy = 0; oy < l->out.height; oy++) {
                    for (size_t ox = 0; ox < l->out.width; ox++) {
                        size_t py = oy * l->stride[0] + i * l->dilation[0];
                        size_t px = ox * l->stride[1] + j * l->dilation[1];
                        float sum = 0;
                        for (size_t k = 0; k < per_out; k++) {
                            size_t o = c / per_in * per_out + k;
                            size_t w =
                                ((o * per_in + c % per_in) * l->kernel[0] + i) *
                                    l->kernel[1] +
                                j;
                            sum = fmaf(l->weight[w],
                                       dy[at(l->out, 0, o, oy, ox)], sum);
                        }
                        if (py >= l->pad[0] && py < l->pad[0] + l->in.height &&
                            px >= l->pad[1] && px < l->pad[1] + l->in.width) {
                            dx[at(l->in, 0, c, py - l->pad[0],
                                  px - l->pad[1])] += sum;
                        }
                    }
                }
            }
        }
    }
}

void ref_chain_backward(const struct uh_layer *layer, size_t n, const float *x,
                        const float *dy, float *dweight, float *dx)
{
    size_t in = uh_shape_size(layer->in), out = uh_shape_size(layer->out);
    struct floats f = {.x = x, .dy = dy, .dw = dweight};
    each_product(layer, n, chain_dw, &f);
    memset(dx, 0, n * in * sizeof *dx);
    for (size_t s = 0; s < n; s++) {
        chain_dx(layer, dy + s * out, dx + s * in);
    }
}

void ref_chain_bias(const struct uh_layer *layer, size_t n, const float *dy,
                    float *dbias)
{
    size_t places = layer->out.height * layer->out.width;
    for (size_t s = 0; s < n; s++) {
        for (size_t o = 0; o < layer->out.channels; o++, dy += places) {
            float part[16] = {0}, sum = 0;
            for (size_t p = 0; p < places; p++) {
                part[p % 16] += dy[p];
            }
            for (size_t j = 0; j < 16; j++) {
                sum += part[j];
            }
            dbias[o] += sum;
        }
    }
}

void ref_max_forward(const struct uh_layer *layer, size_t n, const float *x,
                     float *y, uint32_t *choice)
{
    size_t list[256], places;
    for (size_t c = 0; c < n * layer->in.channels; c++) {
        for (size_t oy = 0; oy < layer->out.height; oy++) {
            for (size_t ox = 0; ox < layer->out.width; ox++) {
                pool_window(layer, oy, ox, list, &places);
                size_t best = 0;
                for (size_t k = 1; k < places; k++) {
                    best = x[list[k]] > x[list[best]] ? k : best;
                }
                *y++ = x[list[best]];
                *choice++ = (uint32_t)list[best];
            }
        }
        x += layer->in.height * layer->in.width;
    }
}
