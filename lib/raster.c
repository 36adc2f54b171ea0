/* raster.c: how the built-in data sets are drawn and put together. */
#include "raster.h"

#include "die.h"
#include "digest.h"

#include <math.h>
#include <string.h>

static double hold(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

double uh_raster_cover(double d, double width)
{
    double t = hold(d / width + 0.5, 0, 1);
    return 1 - t * t * (3 - 2 * t);
}

double uh_raster_polygon(size_t n, const struct uh_point corner[],
                         struct uh_point p)
{
    double nearest = HUGE_VAL;
    int inside = 0;
    for (size_t i = 0, j = n - 1; i < n; j = i++) {
        struct uh_point a = corner[j], b = corner[i];
        double ex = b.x - a.x, ey = b.y - a.y;
        double wx = p.x - a.x, wy = p.y - a.y;
        double t = hold((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1);
        double dx = wx - t * ex, dy = wy - t * ey;
        double square = dx * dx + dy * dy;
        nearest = square < nearest ? square : nearest;
        /* Half-open in y, so that a ray through a corner crosses once. */
        if ((a.y > p.y) != (b.y > p.y)) {
            double cross = ex * wy - ey * wx;
            inside ^= (ey > 0) == (cross < 0);
        }
    }
    return inside ? -sqrt(nearest) : sqrt(nearest);
}

void uh_raster_stroke(size_t side, double field[], struct uh_point a, double ra,
                      struct uh_point b, double rb, double reach)
{
    double far = (ra > rb ? ra : rb) + reach, end = (double)side - 1;
    double left = ceil((a.x < b.x ? a.x : b.x) - far);
    double right = floor((a.x < b.x ? b.x : a.x) + far);
    double top = ceil((a.y < b.y ? a.y : b.y) - far);
    double bottom = floor((a.y < b.y ? b.y : a.y) + far);
    left = left < 0 ? 0 : left;
    top = top < 0 ? 0 : top;
    right = right > end ? end : right;
    bottom = bottom > end ? end : bottom;
    double ex = b.x - a.x, ey = b.y - a.y, length2 = ex * ex + ey * ey;
    double scale = length2 > 0 ? 1 / length2 : 0;
    for (double y = top; y <= bottom; y++) {
        for (double x = left; x <= right; x++) {
            double wx = x - a.x, wy = y - a.y;
            double t = hold((wx * ex + wy * ey) * scale, 0, 1);
            double dx = wx - t * ex, dy = wy - t * ey;
            double d = sqrt(dx * dx + dy * dy) - (ra + t * (rb - ra));
            double *at = &field[(size_t)y * side + (size_t)x];
            if (d < *at && d <= reach)
                *at = d;
        }
    }
}

uint8_t uh_raster_byte(double v)
{
    return (uint8_t)hold(rint(255 * v), 0, 255);
}

double uh_raster_between(struct uh_stream *stream, double a, double b)
{
    return a + (b - a) * uh_stream_uniform(stream);
}

double uh_raster_about(struct uh_stream *stream, double mean, double deviation)
{
    return mean + deviation * hold(uh_stream_normal(stream), -2.5, 2.5);
}

enum { TOGETHER = 50 }; /* images per cell; a multiple of a block */

struct make {
    const struct uh_raster_set *about;
    const char *split;
    size_t count, size; /* size: numbers per image */
    uint8_t *bytes, *y;
    float *x, *latent;
};

static void make_image(const struct make *m, size_t i, double image[])
{
    const struct uh_raster_set *about = m->about;
    float *latent = m->latent + i * about->latents;
    double chosen[64];
    struct uh_stream stream =
        uh_stream_open("%s/%s/%zu", about->name, m->split, i);
    about->choose(&stream, m->y[i], chosen);
    for (size_t k = 0; k < about->latents; k++)
        latent[k] = (float)chosen[k];
    about->draw(m->y[i], latent, image);
    double noise = (double)latent[about->noise] / 147.8;
    uint8_t *bytes = m->bytes + i * m->size;
    float *x = m->x + i * m->size;
    for (size_t k = 0; k < m->size; k++) {
        uint32_t word = uh_stream_u32(&stream);
        uint32_t sum = (word >> 24) + (word >> 16 & 255) + (word >> 8 & 255) +
                       (word & 255);
        bytes[k] = uh_raster_byte(image[k] + noise * ((double)sum - 510));
        x[k] = (float)bytes[k] / 255.0f;
    }
}

static void make_some(void *context, size_t index, struct uh_pool *serial)
{
    const struct make *m = context;
    double *image =
        uh_arena_alloc_raw(uh_pool_scratch(serial), m->size, sizeof *image);
    size_t end = (index + 1) * TOGETHER;
    for (size_t i = index * TOGETHER; i < end && i < m->count; i++) {
        size_t classes = m->about->classes;
        if (i % classes == 0) {
            uint32_t order[TOGETHER];
            struct uh_stream stream = uh_stream_open(
                "%s/%s/order/%zu", m->about->name, m->split, i / classes);
            uh_stream_permutation(&stream, classes, order);
            for (size_t k = 0; k < classes && i + k < m->count; k++)
                m->y[i + k] = (uint8_t)order[k];
        }
        make_image(m, i, image);
    }
}

void uh_raster_make(const struct uh_raster_set *about, const char *split,
                    size_t count, struct uh_pool *pool, struct uh_arena *arena,
                    struct uh_dataset *set)
{
    UH_REQUIRE(count >= 1, "no images");
    UH_REQUIRE(*split && !strchr(split, '/'), "split is \"%s\"", split);
    UH_REQUIRE(TOGETHER % about->classes == 0 && about->latents <= 64,
               "%zu classes, %zu latents", about->classes, about->latents);
    size_t size = uh_shape_size(about->shape);
    size_t numbers = uh_size_mul(count, size);
    struct make m = {.about = about, .split = split};
    m.count = count;
    m.size = size;
    m.x = uh_arena_alloc_raw(arena, numbers, sizeof *m.x);
    m.y = uh_arena_alloc_raw(arena, count, sizeof *m.y);
    m.latent = uh_arena_alloc_raw(arena, uh_size_mul(count, about->latents),
                                  sizeof *m.latent);
    *set = (struct uh_dataset){.name = about->name};
    set->split = uh_arena_text(arena, split);
    struct uh_mark mark = uh_arena_open(arena);
    m.bytes = uh_arena_alloc_raw(arena, numbers, sizeof *m.bytes);
    uh_cells(pool, (count - 1) / TOGETHER + 1, make_some, &m);
    struct uh_digest digest;
    uh_digest_start(&digest);
    uh_digest_add(&digest, m.bytes, numbers);
    uh_digest_add(&digest, m.y, count);
    uh_digest_end(&digest, set->digest);
    uh_arena_release(arena, mark);
    set->shape = about->shape;
    set->count = count;
    set->classes = about->classes;
    set->class_names = about->class_names;
    set->x = m.x;
    set->y = m.y;
    set->latents = about->latents;
    set->latent_names = about->latent_names;
    set->latent = m.latent;
}
