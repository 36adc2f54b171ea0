/* raster.h: how the built-in data sets are drawn and put together.  Floor 2.
 *
 * A figure is drawn from its signed distance: for each pixel's center the
 * distance to the figure's edge, negative inside, is turned into the share of
 * the pixel that is covered.  Distances are in pixels, x grows to the right,
 * y downwards; pixel (row, column) has its center at (column, row).
 *
 * Lane     exact: + - * / sqrt and comparisons in double.
 */
#ifndef UH_RASTER_H
#define UH_RASTER_H

#include "arena.h"
#include "cells.h"
#include "dataset.h"
#include "stream.h"
#include "tensor.h"

#include <stddef.h>
#include <stdint.h>

struct uh_point {
    double x, y;
};

/* The share covered, 1 inside to 0 outside, at the signed distance d from an
 * edge that fades over width pixels: 1 - (3 t^2 - 2 t^3) with
 * t = d / width + 1/2 held to [0,1]; 1/2 at d = 0.  width > 0. */
double uh_raster_cover(double d, double width);

/* The signed distance from p to the closed polygon with n corners, in the
 * length unit of its corners; edges may not cross.
 *
 * Method   nearest point of every edge; inside by the parity of the crossings
 *          of a horizontal ray.
 * Shapes   n >= 3 corners, in either sense of rotation. */
double uh_raster_polygon(size_t n, const struct uh_point corner[],
                         struct uh_point p);

/* min(field, signed distance to a tapered stroke) at each of the side x side
 * pixels that lie at most reach outside it; the others stay.  The stroke runs
 * straight from a, where its half-width is ra, to b with rb; at p its edge is
 * at the half-width of the nearest point of the line from a to b. */
void uh_raster_stroke(size_t side, double field[], struct uh_point a, double ra,
                      struct uh_point b, double rb, double reach);

/* 255 v, to the nearest whole number (ties to even), held to 0..255; v is not
 * a NaN. */
uint8_t uh_raster_byte(double v);

/* a + (b - a) u, u uniform. */
double uh_raster_between(struct uh_stream *stream, double a, double b);

/* A normal variate of mean and deviation, held to mean +- 2.5 deviation. */
double uh_raster_about(struct uh_stream *stream, double mean, double deviation);

/* How a set is drawn.  Class and latents decide the image up to noise. */
struct uh_raster_set {
    const char *name;
    struct uh_shape shape;
    size_t classes;
    const char *const *class_names;
    size_t latents;
    const char *const *latent_names;
    size_t noise; /* the latent that is the noise's standard deviation */
    void (*choose)(struct uh_stream *stream, size_t label, double latent[]);
    void (*draw)(size_t label, const float latent[], double image[]);
};

/* The first count images of a split of the set, as strokes.h and shapes.h
 * promise.
 *
 * Method   image i: its latents are chosen and rounded to float, the image is
 *          drawn from those, noise * (s - 510) / 147.8 is added to each pixel,
 *          with s the sum of the four bytes of one word of the stream (mean
 *          510, deviation 147.8: nearly normal), and uh_raster_byte() rounds.
 * Memory   x, y and latent from arena, 1 / 4 of x again while it works. */
void uh_raster_make(const struct uh_raster_set *about, const char *split,
                    size_t count, struct uh_pool *pool, struct uh_arena *arena,
                    struct uh_dataset *set);

#endif
