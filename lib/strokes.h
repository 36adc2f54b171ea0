/* strokes.h: the built-in data set of pen-drawn digits.  Floor 2.
 *
 * 28 x 28, gray, ink 1 on paper 0, ten classes "0".."9".  Each class has two
 * to three ways of writing it (a 7 with and without bar, a 4 open and closed),
 * each a skeleton of pen strokes.  A stroke passes through its control points
 * as a Catmull-Rom spline, broken at corners.  The skeleton is bent, slanted,
 * scaled, rotated and shifted, drawn with a pen whose width varies along the
 * way, and noise is added.  All of that is decided by the latents below, which
 * are returned with the image, and by one noise number per pixel.
 *
 * Lane     exact: the same bytes on every machine and for every thread count.
 */
#ifndef UH_STROKES_H
#define UH_STROKES_H

#include "arena.h"
#include "cells.h"
#include "dataset.h"

#include <stddef.h>

#define UH_STROKES_SIDE 28

/* The latents, in their order in uh_dataset.latent; their names there are the
 * words behind UH_STROKES_ in lower case.  Lengths are in pixels, x to the
 * right, y downwards; angles in radians.  N(m,s) is normal, held to
 * m +- 2.5 s; U(a,b) is uniform.  Only the variant depends on the class. */
enum uh_strokes_latent {
    UH_STROKES_VARIANT,  /* way of writing, 0..uh_strokes_variants() - 1 */
    UH_STROKES_ROTATION, /* N(0,0.12): clockwise on the page */
    UH_STROKES_SLANT,    /* N(0.12,0.18): shift to the right by the height */
    UH_STROKES_HEIGHT,   /* N(18,1.2): of the unbent, unrotated skeleton */
    UH_STROKES_ASPECT,   /* N(1,0.13): horizontal by vertical stretch */
    UH_STROKES_SHIFT_X,  /* N(0,1): of the skeleton's origin from the center */
    UH_STROKES_SHIFT_Y,  /* N(0,1) */
    UH_STROKES_WIDTH,    /* U(1.6,3.6): of the pen */
    UH_STROKES_PRESSURE, /* U(0,0.3): relative amplitude of the width, a wave
                          * with the period of six spans of control points */
    UH_STROKES_PHASE,    /* U(0,1): of that wave, in periods */
    UH_STROKES_EDGE,     /* U(1,1.8): pixels over which an edge fades */
    UH_STROKES_INK,      /* U(0.8,1): gray value of full ink */
    UH_STROKES_NOISE,    /* U(0,0.05): deviation of the pixel noise */
    /* Bending: N(0,0.06) each.  Point (u,v) of the skeleton, v from -1 at the
     * top to 1, is shifted in u by X0 sin(pi v) + X1 cos(pi v) +
     * X2 sin(pi u) + X3 cos(pi u), and in v by the same sum with Y0 to Y3. */
    UH_STROKES_WARP_X0,
    UH_STROKES_WARP_X1,
    UH_STROKES_WARP_X2,
    UH_STROKES_WARP_X3,
    UH_STROKES_WARP_Y0,
    UH_STROKES_WARP_Y1,
    UH_STROKES_WARP_Y2,
    UH_STROKES_WARP_Y3,
    UH_STROKES_LATENTS /* how many */
};

/* The first count images of a split.
 *
 * Split    any word without '/'; "train" and "test" are those of the report.
 *          The distributions above were tuned on "calib" and "calib-test"
 *          only.
 * Streams  image i is drawn from "strokes/SPLIT/i" alone, so count images are
 *          the beginning of any larger set.  Its class is place i % 10 of the
 *          permutation of 0..9 from "strokes/SPLIT/order/B", B = i / 10: each
 *          block of ten consecutive images shows every class once.
 * Measured 8000 images of train, 4000 of test, by another program (Adam): a
 *          linear classifier errs on 8.3 % (on calib-test 8.7 %, with 20000
 *          images 7.9 %), LeNet after 4 epochs on 1.2 %.
 * Pixels   k/255 with k = 0..255, so that the set can be kept as bytes.
 * Digest   SHA-256 over the count * 784 bytes k, then the count labels.
 * Memory   the set lives in arena; count >= 1. */
void uh_strokes(const char *split, size_t count, struct uh_pool *pool,
                struct uh_arena *arena, struct uh_dataset *set);

/* How many ways of writing the digit there are. */
size_t uh_strokes_variants(size_t digit);

/* The image of a digit and its latents, before noise and rounding to k/255:
 * for pictures between two sets of latents and along one of them.  The noise
 * latent is not used. */
void uh_strokes_draw(size_t digit, const float latent[UH_STROKES_LATENTS],
                     double ink[UH_STROKES_SIDE * UH_STROKES_SIDE]);

#endif
