/* strokes.c: the built-in data set of pen-drawn digits. */
#include "strokes.h"

#include "die.h"
#include "fmath.h"
#include "raster.h"
#include "stream.h"

#define SIDE UH_STROKES_SIDE

enum { VARIANTS = 3, POINTS = 16, STEPS = 6 };

/* A control point.  The pen goes down at DOWN; the curve is smooth at THROUGH,
 * free to turn at CORNER and at the last point of a stroke. */
enum { END, DOWN, THROUGH, CORNER };
struct control {
    double x, y; /* y from -1, top, to 1, bottom */
    int kind;    /* END behind the last */
};

/* clang-format off: one stroke per line reads as the pen goes. */
#define D(x, y)                                                                \
    {                                                                          \
        x, y, DOWN                                                             \
    }
#define T(x, y)                                                                \
    {                                                                          \
        x, y, THROUGH                                                          \
    }
#define C(x, y)                                                                \
    {                                                                          \
        x, y, CORNER                                                           \
    }
static const struct control skeletons[10][VARIANTS][POINTS] = {
    {{D(.10, -.98), T(-.42, -.62), T(-.58, .05), T(-.38, .76), T(.06, 1),
      T(.48, .70), T(.60, 0), T(.45, -.68), T(.02, -1)},
     {D(.36, -.80), T(-.05, -1), T(-.42, -.55), T(-.46, .30), T(-.12, .96),
      T(.28, .84), T(.47, .20), T(.42, -.48), T(.16, -.86), T(-.18, -.90)}},
    {{D(.04, -1), T(0, 0), T(-.02, 1)},
     {D(-.36, -.56), C(.06, -1), C(.06, 1)},
     {D(-.34, -.60), C(.04, -1), C(.04, .97), D(-.40, .98), C(.44, .97)}},
    {{D(-.50, -.58), T(-.20, -.95), T(.28, -.92), T(.46, -.50), T(.22, .06),
      T(-.18, .52), C(-.56, .97), C(.58, .95)},
     {D(-.48, -.66), T(-.12, -1), T(.36, -.84), T(.38, -.32), T(.02, .28),
      T(-.34, .82), T(-.58, .92), T(-.52, .62), T(-.18, .64), T(.16, .92),
      T(.58, .84)}},
    {{D(-.48, -.76), T(-.08, -1), T(.38, -.80), T(.36, -.32), C(-.12, -.06),
      T(.42, .16), T(.48, .68), T(.02, 1), T(-.52, .76)},
     {D(-.48, -.94), C(.44, -.96), C(-.06, -.18), T(.42, .10), T(.48, .64),
      T(.04, 1), T(-.50, .80)}},
    {{D(-.36, -.95), T(-.46, -.40), C(-.52, .18), C(.56, .12), D(.30, -.46),
      C(.22, 1)},
     {D(.24, -1), C(-.58, .32), C(.58, .32), D(.24, -1), C(.24, 1)},
     {D(-.30, -.92), T(-.50, -.20), T(-.30, .10), T(.34, -.02), D(.42, -.96),
      T(.30, 0), T(.26, 1)}},
    {{D(.48, -.96), C(-.34, -.94), C(-.42, -.16), T(.10, -.32), T(.50, .10),
      T(.44, .72), T(-.02, 1), T(-.52, .78)},
     {D(-.34, -.94), C(-.42, -.10), T(.02, -.30), T(.44, .06), T(.42, .66),
      T(.02, .98), T(-.44, .88), D(-.30, -.96), C(.52, -.90)}},
    {{D(.36, -.94), T(-.14, -.66), T(-.48, .02), T(-.46, .68), T(0, 1),
      T(.44, .76), T(.44, .26), T(.08, .02), T(-.32, .20), T(-.46, .52)},
     {D(.06, -1), T(-.26, -.40), T(-.44, .30), T(-.36, .84), T(.04, 1),
      T(.40, .74), T(.30, .36), T(-.06, .32), T(-.40, .60)}},
    {{D(-.50, -.90), C(.50, -.94), T(.12, 0), T(-.12, 1)},
     {D(-.50, -.90), C(.50, -.94), T(.12, 0), T(-.10, 1), D(-.24, .04),
      C(.42, -.04)},
     {D(-.50, -.62), C(-.48, -.94), T(0, -.90), C(.52, -.96), T(.18, -.30),
      T(.04, .30), T(.02, 1)}},
    {{D(.40, -.74), T(0, -1), T(-.40, -.70), T(-.24, -.30), T(.20, .04),
      T(.48, .48), T(.30, .90), T(-.06, 1), T(-.44, .80), T(-.42, .40),
      T(-.08, 0), T(.32, -.36), T(.40, -.76)},
     {D(.02, -.10), T(-.36, -.38), T(-.32, -.84), T(.04, -1), T(.36, -.80),
      T(.36, -.36), T(.02, -.10), T(-.42, .28), T(-.40, .80), T(0, 1),
      T(.42, .78), T(.42, .26), T(.04, -.10)}},
    {{D(.40, -.62), T(.04, -.98), T(-.38, -.74), T(-.40, -.26), T(-.04, -.04),
      T(.32, -.28), C(.42, -.70), T(.36, .20), T(.24, 1)},
     {D(.36, -.76), T(-.04, -1), T(-.42, -.68), T(-.36, -.18), T(.08, -.10),
      T(.40, -.46), C(.42, -.74), T(.44, .24), T(.14, .88), T(-.36, .92)}}};
#undef D
#undef T
#undef C

static const char *const class_names[] = {"0", "1", "2", "3", "4",
                                          "5", "6", "7", "8", "9"};
static const char *const latent_names[] = {
    "variant", "rotation", "slant",    "height",  "aspect",  "shift_x",
    "shift_y", "width",    "pressure", "phase",   "edge",    "ink",
    "noise",   "warp_x0",  "warp_x1",  "warp_x2", "warp_x3", "warp_y0",
    "warp_y1", "warp_y2",  "warp_y3"};
/* clang-format on */
_Static_assert(sizeof latent_names / sizeof *latent_names == UH_STROKES_LATENTS,
               "one name per latent");

size_t uh_strokes_variants(size_t digit)
{
    UH_REQUIRE(digit < 10, "digit is %zu", digit);
    size_t count = 0;
    while (count < VARIANTS && skeletons[digit][count][0].kind == DOWN)
        count++;
    return count;
}

static void choose(struct uh_stream *s, size_t digit, double latent[])
{
    latent[UH_STROKES_VARIANT] =
        (double)uh_stream_below(s, uh_strokes_variants(digit));
    latent[UH_STROKES_ROTATION] = uh_raster_about(s, 0, 0.12);
    latent[UH_STROKES_SLANT] = uh_raster_about(s, 0.12, 0.18);
    latent[UH_STROKES_HEIGHT] = uh_raster_about(s, 18, 1.2);
    latent[UH_STROKES_ASPECT] = uh_raster_about(s, 1.0, 0.13);
    latent[UH_STROKES_SHIFT_X] = uh_raster_about(s, 0, 1);
    latent[UH_STROKES_SHIFT_Y] = uh_raster_about(s, 0, 1);
    latent[UH_STROKES_WIDTH] = uh_raster_between(s, 1.6, 3.6);
    latent[UH_STROKES_PRESSURE] = uh_raster_between(s, 0, 0.3);
    latent[UH_STROKES_PHASE] = uh_stream_uniform(s);
    latent[UH_STROKES_EDGE] = uh_raster_between(s, 1.0, 1.8);
    latent[UH_STROKES_INK] = uh_raster_between(s, 0.8, 1.0);
    latent[UH_STROKES_NOISE] = uh_raster_between(s, 0, 0.05);
    for (size_t k = UH_STROKES_WARP_X0; k <= UH_STROKES_WARP_Y3; k++)
        latent[k] = uh_raster_about(s, 0, 0.06);
}

/* Where a point of the skeleton falls on the paper. */
struct page {
    double warp[8], half_x, half_y, slant, cos, sin, x, y;
};

static struct page lay_out(const float latent[])
{
    struct page page;
    for (size_t k = 0; k < 8; k++)
        page.warp[k] = (double)latent[UH_STROKES_WARP_X0 + k];
    page.half_y = (double)latent[UH_STROKES_HEIGHT] / 2;
    page.half_x = page.half_y * (double)latent[UH_STROKES_ASPECT];
    page.slant = (double)latent[UH_STROKES_SLANT];
    page.sin = uh_sin((double)latent[UH_STROKES_ROTATION]);
    page.cos = uh_cos((double)latent[UH_STROKES_ROTATION]);
    page.x = (SIDE - 1) / 2.0 + (double)latent[UH_STROKES_SHIFT_X];
    page.y = (SIDE - 1) / 2.0 + (double)latent[UH_STROKES_SHIFT_Y];
    return page;
}

static struct uh_point on_page(const struct page *page, double u, double v)
{
    const double pi = 3.14159265358979323846, *w = page->warp;
    double sv = uh_sin(pi * v), cv = uh_cos(pi * v);
    double su = uh_sin(pi * u), cu = uh_cos(pi * u);
    double bu = u + w[0] * sv + w[1] * cv + w[2] * su + w[3] * cu;
    double bv = v + w[4] * sv + w[5] * cv + w[6] * su + w[7] * cu;
    double y = bv * page->half_y;
    double x = bu * page->half_x - page->slant * y;
    return (struct uh_point){page->cos * x - page->sin * y + page->x,
                             page->sin * x + page->cos * y + page->y};
}

static int is_free(int kind, int next)
{
    return kind != THROUGH || next == DOWN || next == END;
}

/* The point of the spline behind control point p[0], at t in [0,1]: Hermite's
 * cubic with Catmull and Rom's slopes; at a free end the curvature is 0. */
static struct uh_point along(const struct control p[], double t)
{
    int free0 = is_free(p[0].kind, p[1].kind);
    int free1 = is_free(p[1].kind, p[2].kind);
    double dx = p[1].x - p[0].x, dy = p[1].y - p[0].y;
    double ax = dx, ay = dy, bx = dx, by = dy;
    if (!free0) {
        ax = (p[1].x - p[-1].x) / 2;
        ay = (p[1].y - p[-1].y) / 2;
    }
    if (!free1) {
        bx = (p[2].x - p[0].x) / 2;
        by = (p[2].y - p[0].y) / 2;
    }
    if (free0 && !free1) {
        ax = 1.5 * dx - 0.5 * bx;
        ay = 1.5 * dy - 0.5 * by;
    }
    if (free1 && !free0) {
        bx = 1.5 * dx - 0.5 * ax;
        by = 1.5 * dy - 0.5 * ay;
    }
    double r = 1 - t, to = t * t * (3 - 2 * t), a = t * r * r, b = t * t * r;
    return (struct uh_point){p[0].x + to * dx + a * ax - b * bx,
                             p[0].y + to * dy + a * ay - b * by};
}

void uh_strokes_draw(size_t digit, const float latent[UH_STROKES_LATENTS],
                     double ink[SIDE * SIDE])
{
    const double turn = 6.28318530717958647692;
    size_t variants = uh_strokes_variants(digit);
    float variant = latent[UH_STROKES_VARIANT];
    UH_REQUIRE(variant >= 0 && variant < (float)variants, "variant is %g",
               (double)variant);
    const struct control *p = skeletons[digit][(size_t)variant];
    double radius = (double)latent[UH_STROKES_WIDTH] / 2;
    double pressure = (double)latent[UH_STROKES_PRESSURE];
    double phase = (double)latent[UH_STROKES_PHASE];
    double edge = (double)latent[UH_STROKES_EDGE];
    double full = (double)latent[UH_STROKES_INK];
    struct page page = lay_out(latent);
    for (size_t k = 0; k < SIDE * SIDE; k++)
        ink[k] = SIDE; /* the field of distances first */
    struct uh_point from = {0, 0};
    double from_radius = 0;
    for (size_t i = 0; p[i].kind != END; i++) {
        /* The spans of one stroke share their ends: each begins at step 1. */
        size_t first = p[i].kind == DOWN ? 0 : 1;
        int last = p[i + 1].kind == END || p[i + 1].kind == DOWN;
        for (size_t step = first; !last && step <= STEPS; step++) {
            double t = (double)step / STEPS;
            struct uh_point at = along(p + i, t);
            struct uh_point to = on_page(&page, at.x, at.y);
            double wave = uh_sin(turn * (((double)i + t) / 6 + phase));
            double to_radius = radius * (1 + pressure * wave);
            if (step > 0)
                uh_raster_stroke(SIDE, ink, from, from_radius, to, to_radius,
                                 edge / 2);
            from = to;
            from_radius = to_radius;
        }
    }
    for (size_t k = 0; k < SIDE * SIDE; k++)
        ink[k] = full * uh_raster_cover(ink[k], edge);
}

void uh_strokes(const char *split, size_t count, struct uh_pool *pool,
                struct uh_arena *arena, struct uh_dataset *set)
{
    static const struct uh_raster_set about = {.name = "strokes",
                                               .shape = {1, SIDE, SIDE},
                                               .classes = 10,
                                               .class_names = class_names,
                                               .latents = UH_STROKES_LATENTS,
                                               .latent_names = latent_names,
                                               .noise = UH_STROKES_NOISE,
                                               .choose = choose,
                                               .draw = uh_strokes_draw};
    uh_raster_make(&about, split, count, pool, arena, set);
}
