/* layer_direct.h: a convolution and the max-pool behind it in one; internal to
 * layer.  Floor 3.
 *
 * Method   Channels go last and padding is put around: then the windows of a
 *          pool are tiles of sums in registers, a column per out-channel, and
 *          nothing is unfolded (Dukhan, "The indirect convolution algorithm",
 *          2019).  Of what was convolved only the winners are kept.
 *          Backward, only they have a gradient: the gradient to the weights is
 *          a chain over winners of stretches of the image, that to the image
 *          one of stretches of the weights.
 * Order    that of layer.h, where places that won nothing, or whose gradient
 *          is 0, are left out.
 * Memory   from the pool's scratch, released before return: the weights twice,
 *          the images with padding, two words per window.
 */
#ifndef UH_LAYER_DIRECT_H
#define UH_LAYER_DIRECT_H

#include "layer.h"

enum {
    UH_DIRECT_ROWS = 9,   /* places of a tile */
    UH_DIRECT_STRIPS = 10 /* vectors that a chain has in registers */
};

/* to[i][e] = chain over k of fmaf(value[k], from[at[k] + i from_step + e], s)
 * for i < rows, e < length, from what to[i][e] is; to[i][e] is at to[i to_step
 * + e]. */
struct uh_direct_chain {
    size_t count; /* of value and at */
    const float *value;
    const uint32_t *at;
    size_t rows, length;
    const float *from;
    size_t from_step;
    float *to;
    size_t to_step;
};

/* Some windows of a pool, place by place in scan order.  The sum of a place is
 * the chain over t < terms of fmaf(at[place][offset[t]], panel[t][o], s) from
 * bias[o], for o < width; best[window][o] is the first of the largest and
 * choice[window][o] its number[place]. */
struct uh_direct_tile {
    size_t windows, area; /* their product is at most UH_DIRECT_ROWS */
    const float *const *at;
    const uint32_t *number;
    size_t terms;
    const uint32_t *offset;
    const float *panel, *bias;
    float *best;
    uint32_t *choice;
};

struct uh_direct_kernel {
    size_t width; /* out-channels of a panel */
    void (*tile)(const struct uh_direct_tile *tile);
    void (*chain)(const struct uh_direct_chain *chain);
};

#if defined(__x86_64__)
extern const struct uh_direct_kernel uh_direct_avx2;
extern const struct uh_direct_kernel uh_direct_avx512;
#endif

#endif
