/* net.h: networks, described in one line.  Floor 3.
 *
 * A network is a list of layers over one block of parameters.  The line:
 *
 *   input C H W | input D         first; the shape of one sample
 *   dense N                       on a flat tensor
 *   conv N K L [stride= pad= dilation= groups=]   N filters of K x L
 *   maxpool K [L] [stride= pad= ceil=1]           stride is the window
 *   meanpool K [L] [stride= pad= ceil=1]          where not given
 *   relu | leakyrelu SLOPE | elu ALPHA | tanh | sigmoid | softplus
 *   batchnorm [eps=1e-05]
 *   lrn SIZE [alpha=0.0001 beta=0.75 k=1]         over SIZE channels
 *   flatten
 *   mark NAME | from NAME | add NAME | cat NAME
 *
 * separated by semicolons.  The index of a layer is its position after
 * `input`, from 0; every word counts, with or without parameters.  `mark NAME`
 * keeps the current tensor, `from NAME` continues from it, `add NAME` adds it
 * to the current one (equal shapes), `cat NAME` puts its channels before those
 * of the current one (equal rows and columns; `cat b; cat a` gives a, b, then
 * what was there); a name that is marked again means the latest mark before.
 * A residual block:
 *
 *   mark a; conv 16 3 3 pad=1; relu; conv 16 3 3 pad=1; add a; relu
 *
 * and one whose short way is projected:
 *
 *   mark a; conv 32 3 3 stride=2 pad=1; relu; conv 32 3 3 pad=1; mark b;
 *   from a; conv 32 1 1 stride=2; add b; relu
 *
 * and two ways side by side, the one of 1 x 1 filters first:
 *
 *   mark s; conv 64 1 1; relu; mark a; from s; conv 64 3 3 pad=1; relu; cat a
 *
 * Limits: 4,096 layers; numbers of at most 2^24; tensors of at most 2^31 - 1
 * entries; names of 1 to 31 letters, digits, '-' and '_'.
 */
#ifndef UH_NET_H
#define UH_NET_H

#include "arena.h"
#include "cells.h"
#include "layer.h"
#include "status.h"
#include "tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uh_net {
    const char *arch;        /* the line in its shortest form */
    struct uh_shape in, out; /* of one sample */
    size_t layers;           /* at least 1 */
    struct uh_layer *layer;  /* layers of them */
    size_t parameter_count;  /* entries of the block */
    float *parameters;       /* weight then bias of each layer, in order */
    size_t state_count;      /* entries of the running statistics */
    float *state;            /* running_mean then running_var per batchnorm */
};

/* Reads the line and allocates; parameters are zero, batchnorm is the identity
 * up to eps (weight and variance 1).  UH_BAD_INPUT with one line if the words
 * do not fit each other or the limits; net is written only on UH_OK. */
UH_MUST_USE enum uh_status uh_net_parse(const char *arch,
                                        struct uh_arena *arena,
                                        struct uh_net *net,
                                        struct uh_error *error);

/* The same for a line that a program wrote itself; ends it if wrong. */
struct uh_net uh_net_make(const char *arch, struct uh_arena *arena);

/* Reads the line without memory for parameters (their pointers are NULL, the
 * counts are set); uh_net_allocate completes it. */
UH_MUST_USE enum uh_status uh_net_plan(const char *arch, struct uh_arena *arena,
                                       struct uh_net *net,
                                       struct uh_error *error);
void uh_net_allocate(struct uh_net *net, struct uh_arena *arena);

/* The line of a network in its shortest form, as net->arch has it. */
const char *uh_net_arch(const struct uh_net *net, struct uh_arena *arena);

/* Copy with a parameter block of its own. */
struct uh_net uh_net_copy(const struct uh_net *net, struct uh_arena *arena);

/* Random weights and zero biases.  Layer i draws its weights in C order from
 * the stream "NAME/i".  He: normal of variance 2 / fan-in, where the next
 * layer that is not a pool, batchnorm, lrn, flatten, mark, from, add or cat is
 * relu, leakyrelu, elu or softplus; else Glorot: uniform in +-sqrt(6 / (fan-in +
 * fan-out)).  Fans count kernel places.  Batchnorm becomes the identity. */
void uh_net_init(struct uh_net *net, const char *stream);

/* SHA-256 of the parameters and the running statistics, as little-endian
 * binary32, in the order of the blocks. */
void uh_net_digest(const struct uh_net *net, char hex[65]);

/* y = net(x) for n samples; x is (n, in), y is (n, out).  Any n; memory for
 * at most 32 samples per thread (fewer of a large net) from the pool. */
void uh_net_forward(const struct uh_net *net, struct uh_pool *pool, size_t n,
                    const float *x, float *y);

/* The same for the output of layer i: y is (n, layer[i].out). */
void uh_net_forward_to(const struct uh_net *net, struct uh_pool *pool,
                       size_t layer, size_t n, const float *x, float *y);

/* Every layer's output for a batch. */
struct uh_trace {
    size_t count;                 /* samples */
    const float *in;              /* (count, net.in), the caller's */
    const float **out;            /* out[i]: (count, layer[i].out); arrays of
                                     flatten, mark and from are those that they
                                     pass on */
    struct uh_layer_notes *notes; /* one per layer, for the backward pass */
    int training;                 /* batchnorm used the batch's statistics */
};

/* Forward with everything kept, in arena: all layers' outputs of n samples at
 * once, so call it with batches that fit into memory.  training: 0 at rest, 1
 * with batch statistics (running ones do not move). */
struct uh_trace uh_net_trace(const struct uh_net *net, struct uh_pool *pool,
                             size_t n, const float *x, int training,
                             struct uh_arena *arena);

/* The same with batch statistics and without what the backward pass from the
 * last layer can do without: out[i] is NULL where a convolution was done in
 * one with its pool (layer.h says what that means for gradients). */
struct uh_trace uh_net_trace_lean(const struct uh_net *net,
                                  struct uh_pool *pool, size_t n,
                                  const float *x, struct uh_arena *arena);

/* Backward from dy, the gradient to the last layer's output, (count, out).
 * Adds the gradient to the parameters to dparameters (parameter_count entries,
 * NULL: not wanted) and writes the gradient to the input, (count, in), to dx
 * (NULL: not wanted).  For one row of the Jacobian let dy be a unit vector. */
void uh_net_backward(const struct uh_net *net, struct uh_pool *pool,
                     const struct uh_trace *trace, const float *dy,
                     float *dparameters, float *dx);

/* The same from the output of any layer: dy is (count, layer[i].out). */
void uh_net_backward_from(const struct uh_net *net, struct uh_pool *pool,
                          const struct uh_trace *trace, size_t layer,
                          const float *dy, float *dparameters, float *dx);

/* Backward from the last layer; the gradient to the parameters, from +0, goes
 * to the taker (layer.h) part by part, each when the sweep needs the parameters
 * no more, so that an optimizer may change them at once: the parameters' memory
 * is passed through once instead of three times. */
void uh_net_backward_to(const struct uh_net *net, struct uh_pool *pool,
                        const struct uh_trace *trace, const float *dy,
                        const struct uh_taker *taker);

/* A copy of the net in which every batchnorm that directly follows a dense or
 * conv layer is folded into its weights (in double, rounded once), so that it
 * computes the same function at rest up to rounding with fewer layers. */
struct uh_net uh_net_fold(const struct uh_net *net, struct uh_arena *arena);

/* Index of the largest of n values; of equal ones the lowest. */
size_t uh_argmax(size_t n, const float v[]);

/* net_file.c: a network as a .safetensors file, metadata "arch", tensors
 * "INDEX.weight", "INDEX.bias", "INDEX.running_mean", "INDEX.running_var".
 *
 * Load takes float32, float64 and float16 (rounded to float32) and a missing
 * bias as zero; a tensor that is unknown, missing, of another shape or not
 * finite is UH_BAD_INPUT or UH_NOT_FINITE with one line that names it (only
 * PyTorch's INDEX.num_batches_tracked of a batchnorm is passed over).  No
 * memory is asked for before the shapes agree with the bytes of the file. */
UH_MUST_USE enum uh_status uh_net_load(const char *path, struct uh_arena *arena,
                                       struct uh_net *net,
                                       struct uh_error *error);

/* The same from a file that is already read; net shares nothing with it. */
struct uh_safetensors;
UH_MUST_USE enum uh_status
uh_net_of_tensors(const struct uh_safetensors *stored, struct uh_arena *arena,
                  struct uh_net *net, struct uh_error *error);

/* Whether a dense or conv layer's bias is in the file. */
enum uh_bias { UH_BIAS_MAYBE, UH_BIAS_NEEDED, UH_BIAS_NONE };

/* Other names for the tensors of a network: MODULE.weight and so on. */
struct uh_net_names {
    const char *model;         /* for messages */
    size_t count;              /* at least the network's layers; tensors of
                                  modules behind its last are passed over */
    const char *const *module; /* (count), in place of INDEX */
    const enum uh_bias *bias;  /* (count) */
    bool resting;              /* running statistics may be missing: 0 and 1 */
};

/* The network of that line with the tensors of these names, as above; a weight
 * of a dense or conv layer may be a codebook (codebook.h).  names NULL: those
 * of above. */
UH_MUST_USE enum uh_status
uh_net_of_names(const struct uh_safetensors *stored, const char *arch,
                const struct uh_net_names *names, struct uh_arena *arena,
                struct uh_net *net, struct uh_error *error);

/* Ends the program with one line if the file cannot be written. */
void uh_net_save(const struct uh_net *net, const char *path);

#endif
