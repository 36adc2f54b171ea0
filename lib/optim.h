/* optim.h: one step of an optimizer over the parameter block.  Floor 3. */
#ifndef UH_OPTIM_H
#define UH_OPTIM_H

#include "arena.h"
#include "cells.h"

#include <stddef.h>
#include <stdint.h>

enum uh_rule { UH_SGD, UH_ADAM };

struct uh_optim {
    enum uh_rule rule;
    float rate;     /* step size */
    float momentum; /* sgd: 0 is without */
    float decay;    /* weight decay: decay * w is added to the gradient */
    float beta1, beta2, epsilon; /* adam */
    size_t count;                /* parameters */
    uint64_t steps;              /* taken so far */
    double power1, power2;       /* adam: beta^steps, by repeated products */
    float *first;  /* sgd with momentum: velocity; adam: first moment; (count)
                       or NULL */
    float *second; /* adam: second moment; (count) or NULL */
};

/* Fills count, steps, powers and the arrays (zero) after the fields above. */
void uh_optim_start(struct uh_optim *optim, size_t count,
                    struct uh_arena *arena);

/* Sets steps (and the powers), for a resumed training. */
void uh_optim_resume(struct uh_optim *optim, uint64_t steps);

/* g = (((g_0 + g_1) + g_2) + ...) over the shards; then
 *   sgd   g += decay w; v = momentum v + g; w -= rate v
 *   adam  g += decay w; m = beta1 m + (1 - beta1) g;
 *         v = beta2 v + (1 - beta2) g g;
 *         w -= rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 * in float, each operation rounded, none fused; the scalars in front of m and
 * under v are computed in double and rounded.  Elementwise and threaded: no
 * bit depends on threads.  (PyTorch's SGD and Adam.) */
void uh_optim_step(struct uh_optim *optim, struct uh_pool *pool, size_t shards,
                   const float *const gradient[], float *parameters);

/* The same step in parts, for gradients that are never whole in memory: begin
 * counts it, then each part moves the parameters at .. at+count-1, whose
 * gradients begin at gradient[s][0].  Several threads may do parts at once;
 * all together have every parameter once. */
void uh_optim_begin(struct uh_optim *optim);
void uh_optim_part(const struct uh_optim *optim, size_t at, size_t count,
                   size_t shards, const float *const gradient[],
                   float *parameters);

#endif
