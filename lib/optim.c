/* optim.c: one step of an optimizer over the parameter block. */
#include "optim.h"
#include "die.h"

#include <math.h>
#include <string.h>

enum {
    CELL = 1 << 15, /* parameters of a cell */
    LANES = 4,      /* parameters at a time */
    LINE = 16,      /* those that come from memory together, mostly */
    AHEAD = 256     /* parameters to ask for before they are needed */
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

/* A step under way, or a part of one that begins at parameter `begin`. */
struct update {
    const struct uh_optim *optim;
    size_t shards;
    const float *const *gradient; /* of parameter begin and those behind */
    float *w;
    size_t begin;
    float rate; /* adam: rate / (1 - beta1^t) */
    float root; /* adam: sqrt(1 - beta2^t) */
};

/* Parameters side by side, in the compilers' own terms: their vectorizers
 * cannot know that the arrays do not overlap. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

#define INLINE static inline __attribute__((always_inline))

/* n = LANES but for the last few parameters. */
INLINE lanes load(size_t n, const float *from)
{
    lanes x = {0};
    memcpy(&x, from, n * sizeof *from);
    return x;
}

INLINE void store(size_t n, float *to, lanes x)
{
    memcpy(to, &x, n * sizeof *to);
}

INLINE lanes roots(lanes x)
{
    lanes y;
    for (size_t i = 0; i < LANES; i++) {
        y[i] = sqrtf(x[i]);
    }
    return y;
}

INLINE void update(const struct update *u, size_t at, size_t n)
{
    const struct uh_optim *o = u->optim;
    lanes w = load(n, u->w + at), g = load(n, u->gradient[0] + (at - u->begin));
    for (size_t s = 1; s < u->shards; s++) {
        g += load(n, u->gradient[s] + (at - u->begin));
    }
    if (o->decay != 0) {
        g += o->decay * w;
    }
    if (o->rule == UH_ADAM) {
        lanes m = load(n, o->first + at), v = load(n, o->second + at);
        m = o->beta1 * m + (1 - o->beta1) * g;
        v = o->beta2 * v + (1 - o->beta2) * g * g;
        w -= u->rate * m / (roots(v) / u->root + o->epsilon);
        store(n, o->first + at, m);
        store(n, o->second + at, v);
    } else if (o->first) {
        lanes v = o->momentum * load(n, o->first + at) + g;
        w -= u->rate * v;
        store(n, o->first + at, v);
    } else {
        w -= u->rate * g;
    }
    store(n, u->w + at, w);
}

static void update_range(const struct update *u, size_t at, size_t end)
{
    const struct update mine = *u; /* nothing else writes it */
    const float *first = u->optim->first ? u->optim->first : u->w;
    for (; at + LANES <= end; at += LANES) {
        if (at % LINE == 0) {
            __builtin_prefetch(mine.w + at + AHEAD, 1);
            __builtin_prefetch(first + at + AHEAD, 1);
        }
        update(&mine, at, LANES);
    }
    if (at < end) {
        update(&mine, at, end - at);
    }
}

static void update_cell(void *context, size_t index, struct uh_pool *serial)
{
    (void)serial;
    const struct update *u = context;
    size_t at = index * CELL, end = at + CELL;
    update_range(u, at, end < u->optim->count ? end : u->optim->count);
}

static struct update update_of(const struct uh_optim *optim, size_t begin,
                               size_t shards, const float *const gradient[],
                               float *parameters)
{
    UH_REQUIRE(shards > 0, "no gradient");
    struct update u = {optim, shards,      gradient, parameters,
                       begin, optim->rate, 1};
    if (optim->rule == UH_ADAM) {
        u.rate = (float)((double)optim->rate / (1 - optim->power1));
        u.root = (float)sqrt(1 - optim->power2);
    }
    return u;
}

void uh_optim_begin(struct uh_optim *optim)
{
    count_step(optim);
}

void uh_optim_part(const struct uh_optim *optim, size_t at, size_t count,
                   size_t shards, const float *const gradient[],
                   float *parameters)
{
    UH_REQUIRE(at <= optim->count && count <= optim->count - at,
               "parameters %zu to %zu of %zu", at, at + count, optim->count);
    struct update u = update_of(optim, at, shards, gradient, parameters);
    update_range(&u, at, at + count);
}

void uh_optim_step(struct uh_optim *optim, struct uh_pool *pool, size_t shards,
                   const float *const gradient[], float *parameters)
{
    count_step(optim);
    struct update u = update_of(optim, 0, shards, gradient, parameters);
    uh_cells(pool, (optim->count + CELL - 1) / CELL, update_cell, &u);
}
