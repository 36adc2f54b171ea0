/* layer.h: one layer of a network, forward and backward.  Floor 3.
 *
 * A batch of n tensors is one array (n, channels, height, width) in C order;
 * a flat tensor of d entries has the shape (d, 1, 1).
 *
 * Lane     exact.  The output of a sample is a function of that sample and of
 *          the parameters alone: batch size, split and threads change no bit.
 *          The one exception is UH_BATCHNORM in training.
 * Order    dense: y[o] starts from bias[o] and goes on with
 *          fmaf(x[i], weight[o][i], y[o]), i ascending.
 *          conv: the same from the bias over (in-channel of the group, kernel
 *          row, kernel column), the last fastest; a place in the padding
 *          counts as the factor +0 and stays in the chain.
 *          meanpool: sum over the window's rows, then columns, from +0, then
 *          one division by the number of places.
 *          lrn: in double, squares summed over channels ascending, then one
 *          rounding; channels c - (size - 1) / 2 ... c + size / 2 backward.
 *          Gradients to weights go over samples, then output places, both
 *          ascending, from the value they are added to; gradients to a bias
 *          add one sum per sample; in it, sixteen partial sums (place p goes
 *          to sum p mod 16) are added in order.  Gradients to the input of
 *          dense and conv go over the outputs ascending, from +0; a place that
 *          several windows share adds them by kernel row, column, then output
 *          place.
 * Source   layer kinds and defaults are those of PyTorch's modules Linear,
 *          Conv2d, MaxPool2d, AvgPool2d (count_include_pad), BatchNorm2d,
 *          LocalResponseNorm.
 */
#ifndef UH_LAYER_H
#define UH_LAYER_H

#include "cells.h"
#include "tensor.h"

#include <stddef.h>
#include <stdint.h>

enum uh_kind {
    UH_DENSE,     /* y = W x + b, on a flat tensor */
    UH_CONV,      /* cross-correlation, as all networks mean it */
    UH_MAXPOOL,   /* of equal values the first in scan order wins; a NaN of a
                     NaN */
    UH_MEANPOOL,  /* padding counts as zeros; beyond it nothing counts */
    UH_RELU,      /* max(x, 0), NaN of NaN; slope 0 at 0 */
    UH_LEAKYRELU, /* x, or value * x where x <= 0 */
    UH_ELU,       /* x, or value * (exp(x) - 1) where x <= 0 */
    UH_TANH,
    UH_SIGMOID,
    UH_SOFTPLUS,  /* log(1 + exp(x)) */
    UH_BATCHNORM, /* per channel; at rest one scale and one shift */
    UH_LRN,       /* x / (k + alpha / size * sum of squares)^beta, the sum over
                     size channels from c - size / 2 on, as far as they are */
    UH_FLATTEN,   /* (c, h, w) becomes (c h w, 1, 1); no entry moves */
    UH_MARK,      /* keeps the current tensor under a name */
    UH_FROM,      /* continues from the tensor of that name */
    UH_ADD,       /* adds the tensor of that name */
    UH_CAT,       /* puts the channels of the tensor of that name before */
    UH_KINDS
};

struct uh_layer {
    enum uh_kind kind;
    struct uh_shape in, out;   /* of one sample */
    size_t kernel[2];          /* conv, pools: rows, columns; lrn: channels in
                                      kernel[0]; others 1 */
    size_t stride[2];          /* rows, columns */
    size_t pad[2];             /* rows above and below, columns beside */
    size_t dilation[2];        /* conv; pools have 1 */
    size_t groups;             /* conv; others 1 */
    int ceil;                  /* pools: 1 in ceiling mode */
    float value;               /* leakyrelu slope, elu alpha, eps, lrn k */
    float alpha, beta;         /* lrn */
    const char *name;          /* mark, from, add, cat; others NULL */
    size_t source;             /* from, add, cat: index of the mark; others
                                      SIZE_MAX */
    size_t weight_count;       /* entries; 0: no parameters */
    size_t bias_count;         /* entries */
    size_t weight_at, bias_at; /* where they begin in the parameter block */
    float *weight;             /* dense (out, in); conv (out, in / groups,
                                      kernel[0], kernel[1]); batchnorm (c) */
    float *bias;               /* (out) or (c) */
    float *running_mean;       /* batchnorm (c), else NULL */
    float *running_var;        /* batchnorm (c), else NULL */
};

/* What the backward pass needs besides input and output. */
struct uh_layer_notes {
    uint32_t *choice; /* maxpool: (n, out), the winner's place in its channel
                         of the input, row * width + column */
    float *mean;      /* batchnorm in training: (c) mean of the batch */
    float *variance;  /* (c) its variance, divided by the count */
    float *inverse;   /* (c) 1 / sqrt(variance + eps) */
};

/* The word of the arch line: "conv". */
const char *uh_kind_word(enum uh_kind kind);

/* y = layer(x) for n samples.  Not for mark, from, add and cat, which are
 * the graph's (net.h).  notes, which may be NULL, get the winners of a maxpool if
 * notes->choice is not NULL; if notes->mean is not NULL, batchnorm uses the
 * statistics of this batch and keeps them there, otherwise the running ones.  Memory: from the pool's scratch, released before return. */
void uh_layer_forward(const struct uh_layer *layer, struct uh_pool *pool,
                      size_t n, const float *x, float *y,
                      struct uh_layer_notes *notes);

/* Backward: given dy = dL/dy, adds dL/dweight and dL/dbias to dweight and
 * dbias (NULL: not wanted) and writes dL/dx to dx (NULL: not wanted).  x and y
 * are the forward pass's; notes those that it filled.  For batchnorm,
 * notes->mean != NULL means that the forward pass used batch statistics. */
void uh_layer_backward(const struct uh_layer *layer, struct uh_pool *pool,
                       size_t n, const float *x, const float *y,
                       const struct uh_layer_notes *notes, const float *dy,
                       float *dweight, float *dbias, float *dx);

/* Who takes gradients to parameters, part by part: take() gets those of the
 * entries at .. at+count-1 of the parameter block once nothing reads the
 * entries any more, so that it may change them.  It is called from several
 * threads at once, for each entry once. */
struct uh_taker {
    void (*take)(void *context, size_t at, size_t count, const float *gradient);
    void *context;
};

/* uh_layer_backward for a layer with parameters; their gradients, from +0, go
 * to the taker.  Those of a dense layer are never whole in memory. */
void uh_layer_backward_to(const struct uh_layer *layer, struct uh_pool *pool,
                          size_t n, const float *x, const float *y,
                          const struct uh_layer_notes *notes, const float *dy,
                          const struct uh_taker *taker, float *dx);

/* Whether a convolution and the max-pool behind it can be done in one: windows
 * side by side, of at most 9 places, all inside; a convolution without groups
 * and dilation. */
int uh_layer_joins(const struct uh_layer *conv, const struct uh_layer *pool);

/* y = pool(conv(x)) and the winners, (n, pool->out); the outputs of conv are
 * nowhere.  choice NULL: not wanted. */
void uh_layer_joined_forward(const struct uh_layer *conv,
                             const struct uh_layer *pool,
                             struct uh_pool *threads, size_t n, const float *x,
                             float *y, uint32_t *choice);

/* Backward through both; dy is (n, pool->out).  Places whose gradient is 0 are
 * left out of the chains: beside the two layers one after the other, a zero may
 * get the other sign, and what is not finite may meet no 0. */
void uh_layer_joined_backward(const struct uh_layer *conv,
                              const struct uh_layer *pool,
                              struct uh_pool *threads, size_t n, const float *x,
                              const uint32_t *choice, const float *dy,
                              float *dweight, float *dbias, float *dx);

#endif
