/* optim.c: one step of an optimizer over the parameter block. */
#include "optim.h"
#include "die.h"

#include <math.h>
#include <string.h>

enum {
    CELL = 1 << 15, /* parameters of a cell */
    LANES = 32      /* parameters at a time */
};

void uh_optim_start(struct uh_optim *optim, size_t count,
                    struct uh_arena *arena)
{
    optim->count = count;
    optim->steps = 0;
    optim->power1 = optim->power2 = 1;
    optim->first = optim->second = NULL;
    if (optim->rule == UH_ADAM || optim->momentum != 0) {
        optim->first = uh_arena_alloc(arena, count, sizeof(float));
    }
    if (optim->rule == UH_ADAM) {
        optim->second = uh_arena_alloc(arena, count, sizeof(float));
    }
}

static void count_step(struct uh_optim *optim)
{
    optim->steps++;
    optim->power1 *= (double)optim->beta1;
    optim->power2 *= (double)optim->beta2;
}

void uh_optim_resume(struct uh_optim *optim, uint64_t steps)
{
    optim->steps = 0;
    optim->power1 = optim->power2 = 1;
    while (optim->steps < steps) {
        count_step(optim);
    }
}

/* A step under way. */
struct update {
    const struct uh_optim *optim;
    size_t shards;
    const float *const *gradient;
    float *w;
    float rate; /* adam: rate / (1 - beta1^t) */
    float root; /* adam: sqrt(1 - beta2^t) */
};

/* The functions below are called with n = LANES but for the last few
 * parameters, so that compilers see a constant and vectorize. */

static inline void sum_shards(const struct update *u, size_t at, size_t n,
                              float g[LANES])
{
    memcpy(g, u->gradient[0] + at, n * sizeof *g);
    for (size_t s = 1; s < u->shards; s++) {
        const float *more = u->gradient[s] + at;
        for (size_t i = 0; i < n; i++) {
            g[i] += more[i];
        }
    }
}

static inline void decay(const struct update *u, size_t at, size_t n,
                         float g[LANES])
{
    const float *w = u->w + at;
    for (size_t i = 0; i < n; i++) {
        g[i] += u->optim->decay * w[i];
    }
}

static inline void sgd(const struct update *u, size_t at, size_t n,
                       const float *restrict g)
{
    float *restrict w = u->w + at;
    const float rate = u->rate, momentum = u->optim->momentum;
    if (!u->optim->first) {
        for (size_t i = 0; i < n; i++) {
            w[i] -= rate * g[i];
        }
        return;
    }
    float *restrict v = u->optim->first + at;
    for (size_t i = 0; i < n; i++) {
        v[i] = momentum * v[i] + g[i];
        w[i] -= rate * v[i];
    }
}

static inline void adam(const struct update *u, size_t at, size_t n,
                        const float *restrict g)
{
    float *restrict w = u->w + at;
    float *restrict m = u->optim->first + at;
    float *restrict v = u->optim->second + at;
    const float b1 = u->optim->beta1, b2 = u->optim->beta2;
    const float c1 = 1 - b1, c2 = 1 - b2, epsilon = u->optim->epsilon;
    const float rate = u->rate, root = u->root;
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c1 * g[i];
        v[i] = b2 * v[i] + c2 * g[i] * g[i];
        w[i] -= rate * m[i] / (sqrtf(v[i]) / root + epsilon);
    }
}

static inline void update(const struct update *u, size_t at, size_t n)
{
    float g[LANES];
    sum_shards(u, at, n, g);
    if (u->optim->decay != 0) {
        decay(u, at, n, g);
    }
    if (u->optim->rule == UH_ADAM) {
        adam(u, at, n, g);
    } else {
        sgd(u, at, n, g);
    }
}

static void update_cell(void *context, size_t index, struct uh_pool *serial)
{
    (void)serial;
    const struct update *u = context;
    size_t at = index * CELL, end = at + CELL;
    end = end < u->optim->count ? end : u->optim->count;
    for (; at + LANES <= end; at += LANES) {
        update(u, at, LANES);
    }
    if (at < end) {
        update(u, at, end - at);
    }
}

void uh_optim_step(struct uh_optim *optim, struct uh_pool *pool, size_t shards,
                   const float *const gradient[], float *parameters)
{
    UH_REQUIRE(shards > 0, "no gradient");
    count_step(optim);
    struct update u = {optim, shards, gradient, parameters, optim->rate, 1};
    if (optim->rule == UH_ADAM) {
        u.rate = (float)((double)optim->rate / (1 - optim->power1));
        u.root = (float)sqrt(1 - optim->power2);
    }
    uh_cells(pool, (optim->count + CELL - 1) / CELL, update_cell, &u);
}
