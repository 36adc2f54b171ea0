/* shapes.c: the built-in data set of textured, colored shapes. */
#include "shapes.h"

#include "die.h"
#include "fmath.h"
#include "raster.h"
#include "stream.h"

#include <math.h>

#define SIDE UH_SHAPES_SIDE
#define PIXELS (SIDE * SIDE)

enum { PLAIN, STRIPES, CHECKER, DOTS, WEAVE, TEXTURES };

enum {
    DISC,
    RING,
    TRIANGLE,
    SQUARE,
    STAR,
    CROSS,
    CRESCENT,
    HEART,
    HOURGLASS,
    ARROW,
    CLASSES
};

static const char *const class_names[] = {
    "disc",  "ring",     "triangle", "square",    "star",
    "cross", "crescent", "heart",    "hourglass", "arrow"};

static const char *const latent_names[] = {"x",
                                           "y",
                                           "radius",
                                           "rotation",
                                           "edge",
                                           "fore_red",
                                           "fore_green",
                                           "fore_blue",
                                           "fore_texture",
                                           "fore_contrast",
                                           "fore_period",
                                           "fore_angle",
                                           "fore_phase_u",
                                           "fore_phase_v",
                                           "back_red",
                                           "back_green",
                                           "back_blue",
                                           "back_texture",
                                           "back_contrast",
                                           "back_period",
                                           "back_angle",
                                           "back_phase_u",
                                           "back_phase_v",
                                           "blob0_x",
                                           "blob0_y",
                                           "blob0_radius",
                                           "blob0_shade",
                                           "blob1_x",
                                           "blob1_y",
                                           "blob1_radius",
                                           "blob1_shade",
                                           "blob2_x",
                                           "blob2_y",
                                           "blob2_radius",
                                           "blob2_shade",
                                           "light",
                                           "light_angle",
                                           "noise"};
_Static_assert(sizeof latent_names / sizeof *latent_names == UH_SHAPES_LATENTS,
               "one name per latent");

/* Corners in the circle of radius 1, y downwards; the rest is round. */
static const struct {
    size_t corners;
    struct uh_point corner[12];
} polygons[CLASSES] = {
    [TRIANGLE] =
        {3, {{0, -1}, {0.86602540378443865, 0.5}, {-0.86602540378443865, 0.5}}},
    [SQUARE] = {4,
                {{0.70710678118654752, -0.70710678118654752},
                 {0.70710678118654752, 0.70710678118654752},
                 {-0.70710678118654752, 0.70710678118654752},
                 {-0.70710678118654752, -0.70710678118654752}}},
    /* cos and sin of multiples of 36 degrees; the inner ones times 0.42. */
    [STAR] = {10,
              {{0, -1},
               {0.24686980596282258, -0.33978713763747795},
               {0.95105651629515357, -0.30901699437494742},
               {0.39944373765400645, 0.12978713763747795},
               {0.58778525229247313, 0.80901699437494742},
               {0, 0.42},
               {-0.58778525229247313, 0.80901699437494742},
               {-0.39944373765400645, 0.12978713763747795},
               {-0.95105651629515357, -0.30901699437494742},
               {-0.24686980596282258, -0.33978713763747795}}},
    [CROSS] = {12,
               {{-0.32, -0.94},
                {0.32, -0.94},
                {0.32, -0.32},
                {0.94, -0.32},
                {0.94, 0.32},
                {0.32, 0.32},
                {0.32, 0.94},
                {-0.32, 0.94},
                {-0.32, 0.32},
                {-0.94, 0.32},
                {-0.94, -0.32},
                {-0.32, -0.32}}},
    [HOURGLASS] = {6,
                   {{-0.64, -0.76},
                    {0.64, -0.76},
                    {0.16, 0},
                    {0.64, 0.76},
                    {-0.64, 0.76},
                    {-0.16, 0}}},
    [ARROW] = {7,
               {{0, -1},
                {0.86, 0},
                {0.3, 0},
                {0.3, 0.95},
                {-0.3, 0.95},
                {-0.3, 0},
                {-0.86, 0}}}};

/* Two quarters of circles on a square that stands on its corner: the square's
 * lower corner is the origin, y upwards, the upper ones are (-1/2, 1/2),
 * (1/2, 1/2) and (0, 1). */
static double heart(double x, double y)
{
    x = x < 0 ? -x : x;
    if (x + y > 1) {
        double dx = x - 0.25, dy = y - 0.75;
        return sqrt(dx * dx + dy * dy) - 0.35355339059327376;
    }
    double m = x + y > 0 ? (x + y) / 2 : 0;
    double notch = x * x + (y - 1) * (y - 1);
    double side = (x - m) * (x - m) + (y - m) * (y - m);
    double d = sqrt(notch < side ? notch : side);
    return x > y ? d : -d;
}

/* The signed distance to the shape of radius 1 around the origin. */
static double distance(size_t label, struct uh_point q)
{
    double r = sqrt(q.x * q.x + q.y * q.y);
    switch (label) {
    case DISC:
        return r - 1;
    case RING:
        return (r > 0.76 ? r - 0.76 : 0.76 - r) - 0.24;
    case CRESCENT: {
        double dx = q.x - 0.5;
        double bite = 0.78 - sqrt(dx * dx + q.y * q.y);
        return r - 1 > bite ? r - 1 : bite;
    }
    case HEART: /* the smallest circle around it: center (0, 0.63) */
        return heart(0.631 * q.x, 0.63 - 0.631 * q.y) / 0.631;
    default:
        return uh_raster_polygon(polygons[label].corners,
                                 polygons[label].corner, q);
    }
}

void uh_shapes_mask(size_t label, const float latent[UH_SHAPES_LATENTS],
                    double mask[PIXELS])
{
    UH_REQUIRE(label < CLASSES, "label is %zu", label);
    double x0 = (SIDE - 1) / 2.0 + (double)latent[UH_SHAPES_X];
    double y0 = (SIDE - 1) / 2.0 + (double)latent[UH_SHAPES_Y];
    double radius = (double)latent[UH_SHAPES_RADIUS];
    double edge = (double)latent[UH_SHAPES_EDGE];
    double s = uh_sin((double)latent[UH_SHAPES_ROTATION]) / radius;
    double c = uh_cos((double)latent[UH_SHAPES_ROTATION]) / radius;
    double far = (1 + edge / radius) * (1 + edge / radius);
    for (size_t k = 0; k < PIXELS; k++) {
        double x = (double)(k % SIDE) - x0, y = (double)(k / SIDE) - y0;
        struct uh_point q = {c * x + s * y, c * y - s * x};
        mask[k] = 0;
        if (q.x * q.x + q.y * q.y < far)
            mask[k] = uh_raster_cover(radius * distance(label, q), edge);
    }
}

/* A triangle wave of period 1, cut off at -1 and 1 so that bands have a
 * plateau and an edge. */
static double wave(double t)
{
    double d = t - floor(t) - 0.5;
    double v = 8 * (d < 0 ? -d : d) - 2;
    return v > 1 ? 1 : v < -1 ? -1 : v;
}

struct texture {
    int kind;
    double red, green, blue, contrast, ux, uy, vx, vy, u0, v0;
};

/* The texture whose latents begin with the red of its color. */
static struct texture read_texture(const float latent[])
{
    const size_t first = UH_SHAPES_FORE_RED;
    struct texture x = {.kind = (int)latent[UH_SHAPES_FORE_TEXTURE - first]};
    UH_REQUIRE(x.kind >= 0 && x.kind < TEXTURES, "texture is %d", x.kind);
    x.red = (double)latent[UH_SHAPES_FORE_RED - first];
    x.green = (double)latent[UH_SHAPES_FORE_GREEN - first];
    x.blue = (double)latent[UH_SHAPES_FORE_BLUE - first];
    x.contrast = (double)latent[UH_SHAPES_FORE_CONTRAST - first];
    double period = (double)latent[UH_SHAPES_FORE_PERIOD - first];
    double angle = (double)latent[UH_SHAPES_FORE_ANGLE - first];
    x.ux = uh_cos(angle) / period;
    x.uy = uh_sin(angle) / period;
    x.vx = -x.uy;
    x.vy = x.ux;
    x.u0 = (double)latent[UH_SHAPES_FORE_PHASE_U - first];
    x.v0 = (double)latent[UH_SHAPES_FORE_PHASE_V - first];
    return x;
}

/* What the color is multiplied by at a pixel. */
static double weave_in(const struct texture *x, double column, double row)
{
    double u = x->ux * column + x->uy * row + x->u0;
    double v = x->vx * column + x->vy * row + x->v0;
    double pattern = 0;
    if (x->kind == STRIPES)
        pattern = wave(u);
    else if (x->kind == CHECKER)
        pattern = wave(u) * wave(v);
    else if (x->kind == DOTS) {
        double du = u - floor(u) - 0.5, dv = v - floor(v) - 0.5;
        double t = 3 - 20 * (du * du + dv * dv);
        pattern = t > 1 ? 1 : t < -1 ? -1 : t;
    } else if (x->kind == WEAVE) /* threads 60 degrees apart */
        pattern = (wave(u) + wave(0.5 * u + 0.86602540378443865 * v) +
                   wave(0.5 * u - 0.86602540378443865 * v)) /
                  3;
    return 1 + x->contrast * pattern;
}

static double blobs(const float latent[], double column, double row,
                    double edge)
{
    double shade = 1;
    for (size_t k = UH_SHAPES_BLOB0_X; k <= UH_SHAPES_BLOB2_X; k += 4) {
        double dx = column - (SIDE - 1) / 2.0 - (double)latent[k];
        double dy = row - (SIDE - 1) / 2.0 - (double)latent[k + 1];
        double radius = (double)latent[k + 2], square = dx * dx + dy * dy;
        if (square >= (radius + edge) * (radius + edge))
            continue; /* not covered at all */
        double cover = uh_raster_cover(sqrt(square) - radius, edge);
        shade *= 1 + ((double)latent[k + 3] - 1) * cover;
    }
    return shade;
}

void uh_shapes_draw(size_t label, const float latent[UH_SHAPES_LATENTS],
                    double rgb[3 * PIXELS])
{
    struct texture fore = read_texture(latent + UH_SHAPES_FORE_RED);
    struct texture back = read_texture(latent + UH_SHAPES_BACK_RED);
    double edge = (double)latent[UH_SHAPES_EDGE];
    double angle = (double)latent[UH_SHAPES_LIGHT_ANGLE];
    double light = (double)latent[UH_SHAPES_LIGHT];
    double lx = light * uh_cos(angle) / (SIDE / 2);
    double ly = light * uh_sin(angle) / (SIDE / 2);
    uh_shapes_mask(label, latent, rgb); /* overwritten pixel by pixel */
    for (size_t k = 0; k < PIXELS; k++) {
        double column = (double)(k % SIDE), row = (double)(k / SIDE);
        double m = rgb[k], n = 1 - m;
        double lit = 1 + lx * (column - (SIDE - 1) / 2.0) +
                     ly * (row - (SIDE - 1) / 2.0);
        m = m > 0 ? m * lit * weave_in(&fore, column, row) : 0;
        if (n > 0)
            n *= lit * weave_in(&back, column, row) *
                 blobs(latent, column, row, edge);
        rgb[k] = m * fore.red + n * back.red;
        rgb[k + PIXELS] = m * fore.green + n * back.green;
        rgb[k + 2 * PIXELS] = m * fore.blue + n * back.blue;
    }
}

static void choose_texture(struct uh_stream *s, double latent[])
{
    const size_t first = UH_SHAPES_FORE_RED;
    latent[UH_SHAPES_FORE_TEXTURE - first] =
        (double)uh_stream_below(s, TEXTURES);
    latent[UH_SHAPES_FORE_CONTRAST - first] = uh_raster_between(s, 0.05, 0.3);
    latent[UH_SHAPES_FORE_PERIOD - first] = uh_raster_between(s, 3.5, 8);
    latent[UH_SHAPES_FORE_ANGLE - first] =
        uh_raster_between(s, 0, 3.14159265358979323846);
    latent[UH_SHAPES_FORE_PHASE_U - first] = uh_stream_uniform(s);
    latent[UH_SHAPES_FORE_PHASE_V - first] = uh_stream_uniform(s);
}

/* The two colors again and again, until they can be told apart and the shape's
 * is the lighter one; otherwise a linear classifier would see nothing. */
static void choose_colors(struct uh_stream *s, double latent[])
{
    double *fore = latent + UH_SHAPES_FORE_RED;
    double *back = latent + UH_SHAPES_BACK_RED;
    double apart, lighter;
    do {
        apart = lighter = 0;
        for (size_t k = 0; k < 3; k++) {
            fore[k] = uh_raster_between(s, 0.1, 0.95);
            back[k] = uh_raster_between(s, 0.1, 0.95);
            double d = fore[k] - back[k];
            apart += d * d;
            lighter += d / 3;
        }
    } while (apart < 0.3 || lighter < 0.1);
}

static void choose(struct uh_stream *s, size_t label, double latent[])
{
    (void)label; /* nothing but the outline depends on it */
    const double pi = 3.14159265358979323846;
    double radius = uh_raster_between(s, 10, 13.5);
    latent[UH_SHAPES_RADIUS] = radius;
    double room = 17 - radius;
    latent[UH_SHAPES_X] = uh_raster_between(s, -room, room);
    latent[UH_SHAPES_Y] = uh_raster_between(s, -room, room);
    latent[UH_SHAPES_ROTATION] = uh_raster_about(s, 0, 0.25);
    latent[UH_SHAPES_EDGE] = uh_raster_between(s, 0.8, 1.4);
    choose_colors(s, latent);
    choose_texture(s, latent + UH_SHAPES_FORE_RED);
    choose_texture(s, latent + UH_SHAPES_BACK_RED);
    for (size_t k = UH_SHAPES_BLOB0_X; k <= UH_SHAPES_BLOB2_X; k += 4) {
        latent[k] = uh_raster_between(s, -16, 16);
        latent[k + 1] = uh_raster_between(s, -16, 16);
        latent[k + 2] = uh_raster_between(s, 2, 5);
        latent[k + 3] = uh_raster_between(s, 0.65, 1.35);
    }
    latent[UH_SHAPES_LIGHT] = uh_raster_between(s, 0, 0.3);
    latent[UH_SHAPES_LIGHT_ANGLE] = uh_raster_between(s, -pi, pi);
    latent[UH_SHAPES_NOISE] = uh_raster_between(s, 0.01, 0.04);
}

void uh_shapes(const char *split, size_t count, struct uh_pool *pool,
               struct uh_arena *arena, struct uh_dataset *set)
{
    static const struct uh_raster_set about = {.name = "shapes",
                                               .shape = {3, SIDE, SIDE},
                                               .classes = CLASSES,
                                               .class_names = class_names,
                                               .latents = UH_SHAPES_LATENTS,
                                               .latent_names = latent_names,
                                               .noise = UH_SHAPES_NOISE,
                                               .choose = choose,
                                               .draw = uh_shapes_draw};
    uh_raster_make(&about, split, count, pool, arena, set);
}
