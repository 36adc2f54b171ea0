/* ref_net.h: naive twins of the network code.
 *
 * ref_net_*: double, direct loops, every sum written out: forward and backward
 * of any network.  ref_chain_*: float, the one chain of fmaf that the headers
 * promise, bit for bit.
 */
#ifndef REF_NET_H
#define REF_NET_H

#include "net.h"

/* A network's numbers in double. */
struct ref_net {
    const struct uh_net *net; /* for kinds and shapes only */
    double *parameters;       /* (parameter_count), in the net's order */
    double *state;            /* (state_count) */
    int training;             /* batchnorm uses the batch's statistics */
};

struct ref_net ref_net_of(const struct uh_net *net, int training,
                          struct uh_arena *arena);

/* Whether the kind acts entry by entry (relu ... softplus). */
int ref_pointwise(enum uh_kind kind);

/* out[i] is (n, layer[i].out), allocated in arena. */
double **ref_net_forward(const struct ref_net *r, size_t n, const double *x,
                         struct uh_arena *arena);

/* dparameters (parameter_count) and dx (n, in) are written. */
void ref_net_backward(const struct ref_net *r, size_t n, const double *x,
                      double **out, const double *dy, double *dparameters,
                      double *dx, struct uh_arena *arena);

/* A dense or conv layer, float, in the order of layer.h. */
void ref_chain_forward(const struct uh_layer *layer, size_t n, const float *x,
                       float *y);

/* dweight is added to, dx written. */
void ref_chain_backward(const struct uh_layer *layer, size_t n, const float *x,
                        const float *dy, float *dweight, float *dx);

/* dbias is added to. */
void ref_chain_bias(const struct uh_layer *layer, size_t n, const float *dy,
                    float *dbias);

/* A max-pool; choice is the winner's place in its plane of x. */
void ref_max_forward(const struct uh_layer *layer, size_t n, const float *x,
                     float *y, uint32_t *choice);

#endif
