/* shapes.h: the built-in data set of textured, colored shapes.  Floor 2.
 *
 * 32 x 32, red, green, blue, ten classes: disc, ring, triangle, square, star,
 * cross, crescent, heart, hexagon, arrow.  One shape of any size, place,
 * rotation, color and texture before a background of any other color and
 * texture with three blobs on it, under uneven light, with noise: only the
 * outline tells the class.  All of that is decided by the latents below, which
 * are returned with the image, and by one noise number per pixel and channel.
 *
 * Lane     exact: the same bytes on every machine and for every thread count.
 */
#ifndef UH_SHAPES_H
#define UH_SHAPES_H

#include "arena.h"
#include "cells.h"
#include "dataset.h"

#include <stddef.h>

#define UH_SHAPES_SIDE 32

/* The latents, in their order in uh_dataset.latent; their names there are the
 * words behind UH_SHAPES_ in lower case.  Lengths are in pixels, x to the
 * right, y downwards; angles in radians; colors and shades in [0,1]. */
enum uh_shapes_latent {
    UH_SHAPES_X,        /* of the shape's origin from the center */
    UH_SHAPES_Y,        /* downwards */
    UH_SHAPES_RADIUS,   /* of the circle around the shape */
    UH_SHAPES_ROTATION, /* clockwise on the page */
    UH_SHAPES_EDGE,     /* pixels over which an edge fades */
    UH_SHAPES_FORE_RED,
    UH_SHAPES_FORE_GREEN,
    UH_SHAPES_FORE_BLUE,
    UH_SHAPES_FORE_TEXTURE,  /* 0 plain, 1 stripes, 2 checker, 3 dots, 4 weave*/
    UH_SHAPES_FORE_CONTRAST, /* relative change of the color by the texture */
    UH_SHAPES_FORE_PERIOD,   /* of the texture */
    UH_SHAPES_FORE_ANGLE,    /* of the texture */
    UH_SHAPES_FORE_PHASE_U,  /* of the texture, in periods, [0,1) */
    UH_SHAPES_FORE_PHASE_V,
    UH_SHAPES_BACK_RED,
    UH_SHAPES_BACK_GREEN,
    UH_SHAPES_BACK_BLUE,
    UH_SHAPES_BACK_TEXTURE,
    UH_SHAPES_BACK_CONTRAST,
    UH_SHAPES_BACK_PERIOD,
    UH_SHAPES_BACK_ANGLE,
    UH_SHAPES_BACK_PHASE_U,
    UH_SHAPES_BACK_PHASE_V,
    UH_SHAPES_BLOB0_X, /* blobs of the background: center, from the image's */
    UH_SHAPES_BLOB0_Y,
    UH_SHAPES_BLOB0_RADIUS,
    UH_SHAPES_BLOB0_SHADE, /* the color under the blob is multiplied by it */
    UH_SHAPES_BLOB1_X,
    UH_SHAPES_BLOB1_Y,
    UH_SHAPES_BLOB1_RADIUS,
    UH_SHAPES_BLOB1_SHADE,
    UH_SHAPES_BLOB2_X,
    UH_SHAPES_BLOB2_Y,
    UH_SHAPES_BLOB2_RADIUS,
    UH_SHAPES_BLOB2_SHADE,
    UH_SHAPES_LIGHT,       /* relative change of the light across the image */
    UH_SHAPES_LIGHT_ANGLE, /* direction in which it grows */
    UH_SHAPES_NOISE,       /* standard deviation of the pixel noise */
    UH_SHAPES_LATENTS      /* how many */
};

/* The first count images of a split.
 *
 * Split    any word without '/'; "train" and "test" are those of the report.
 *          The distributions were tuned on "calib" and "calib-test" only.
 * Streams  image i is drawn from "shapes/SPLIT/i" alone, so count images are
 *          the beginning of any larger set.  Its class is place i % 10 of the
 *          permutation of 0..9 from "shapes/SPLIT/order/B", B = i / 10: each
 *          block of ten consecutive images shows every class once.
 * Pixels   k/255 with k = 0..255; channels red, green, blue.
 * Digest   SHA-256 over the count * 3072 bytes k, then the count labels.
 * Memory   the set lives in arena; count >= 1. */
void uh_shapes(const char *split, size_t count, struct uh_pool *pool,
               struct uh_arena *arena, struct uh_dataset *set);

/* The image of a class and its latents, before noise and rounding to k/255.
 * The noise latent is not used. */
void uh_shapes_draw(size_t label, const float latent[UH_SHAPES_LATENTS],
                    double rgb[3 * UH_SHAPES_SIDE * UH_SHAPES_SIDE]);

/* The share of each pixel that the shape covers, in [0,1]: the true answer of
 * a saliency map. */
void uh_shapes_mask(size_t label, const float latent[UH_SHAPES_LATENTS],
                    double mask[UH_SHAPES_SIDE * UH_SHAPES_SIDE]);

#endif
