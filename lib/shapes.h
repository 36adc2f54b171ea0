/* shapes.h: the built-in data set of textured, colored shapes.  Floor 2.
 *
 * 32 x 32, red, green, blue, ten classes: disc, ring, triangle, square, star,
 * cross, crescent, heart, hourglass, arrow.  One shape of any size, place,
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
 * words behind UH_SHAPES_ in lower case.  Lengths are in pixels, places from
 * the image's center, x to the right, y downwards; angles in radians; colors
 * in [0,1].  U(a,b) is uniform; N(m,s) is normal, held to m +- 2.5 s.  Nothing
 * depends on the class. */
enum uh_shapes_latent {
    UH_SHAPES_X,        /* U(-m,m), m = 17 - radius: of the shape's origin */
    UH_SHAPES_Y,        /* the same */
    UH_SHAPES_RADIUS,   /* U(10,13.5): of the smallest circle around it */
    UH_SHAPES_ROTATION, /* N(0,0.25): clockwise on the page */
    UH_SHAPES_EDGE,     /* U(0.8,1.4): pixels over which an edge fades */
    /* Colors: U(0.1,0.95) each, all six again and again until the sum of
     * (fore - back)^2 is at least 0.3 and the mean of fore - back at least
     * 0.1: the shape is the lighter one. */
    UH_SHAPES_FORE_RED,
    UH_SHAPES_FORE_GREEN,
    UH_SHAPES_FORE_BLUE,
    UH_SHAPES_FORE_TEXTURE,  /* 0 plain 1 stripes 2 checker 3 dots 4 weave */
    UH_SHAPES_FORE_CONTRAST, /* U(0.05,0.3): relative change of the color */
    UH_SHAPES_FORE_PERIOD,   /* U(3.5,8) */
    UH_SHAPES_FORE_ANGLE,    /* U(0,pi): direction in which stripes change */
    UH_SHAPES_FORE_PHASE_U,  /* U(0,1): in periods, in that direction */
    UH_SHAPES_FORE_PHASE_V,  /* U(0,1): and across it */
    UH_SHAPES_BACK_RED,      /* the same for the ground */
    UH_SHAPES_BACK_GREEN,
    UH_SHAPES_BACK_BLUE,
    UH_SHAPES_BACK_TEXTURE,
    UH_SHAPES_BACK_CONTRAST,
    UH_SHAPES_BACK_PERIOD,
    UH_SHAPES_BACK_ANGLE,
    UH_SHAPES_BACK_PHASE_U,
    UH_SHAPES_BACK_PHASE_V,
    UH_SHAPES_BLOB0_X,      /* U(-16,16): of a blob on the ground */
    UH_SHAPES_BLOB0_Y,      /* U(-16,16) */
    UH_SHAPES_BLOB0_RADIUS, /* U(2,5) */
    UH_SHAPES_BLOB0_SHADE,  /* U(0.65,1.35): multiplies the ground */
    UH_SHAPES_BLOB1_X,
    UH_SHAPES_BLOB1_Y,
    UH_SHAPES_BLOB1_RADIUS,
    UH_SHAPES_BLOB1_SHADE,
    UH_SHAPES_BLOB2_X,
    UH_SHAPES_BLOB2_Y,
    UH_SHAPES_BLOB2_RADIUS,
    UH_SHAPES_BLOB2_SHADE,
    UH_SHAPES_LIGHT,       /* U(0,0.3): its relative change over 16 pixels */
    UH_SHAPES_LIGHT_ANGLE, /* U(-pi,pi): direction in which it grows */
    UH_SHAPES_NOISE,       /* U(0.01,0.04): deviation of the pixel noise */
    UH_SHAPES_LATENTS      /* how many */
};

/* A texture multiplies its color by 1 + contrast * p.  With u the coordinate
 * along its angle and v the one across it, both from the image's first pixel,
 * in periods, plus phase; b(t) = 2 - 8 |t - the nearest integer|, held to
 * [-1,1]; and du, dv the distances of u, v from the nearest half:
 *   plain    p = 0
 *   stripes  p = b(u)
 *   checker  p = b(u) b(v)
 *   dots     p = 3 - 20 (du^2 + dv^2), held to [-1,1]
 *   weave    p = (b(u) + b(u/2 + sqrt(3)/2 v) + b(u/2 - sqrt(3)/2 v)) / 3
 */

/* The first count images of a split.
 *
 * Split    any word without '/'; "train" and "test" are those of the report.
 *          The distributions were tuned on "calib" and "calib-test" only.
 * Streams  image i is drawn from "shapes/SPLIT/i" alone, so count images are
 *          the beginning of any larger set.  Its class is place i % 10 of the
 *          permutation of 0..9 from "shapes/SPLIT/order/B", B = i / 10: each
 *          block of ten consecutive images shows every class once.
 * Measured 8000 images of train, 4000 of test, by another program (Adam): a
 *          linear classifier errs on 46 % (on calib-test 46 %, with 20000
 *          images 43 %), the small convolutional network of chapter networks
 *          after 5 epochs on 5.2 %.
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
