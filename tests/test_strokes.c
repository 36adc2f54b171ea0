/* test_strokes.c: tests of lib/strokes.[ch] and of lib/raster.[ch]. */
#include "drawn.h"
#include "raster.h"
#include "ref_linear.h"
#include "strokes.h"

#define SIDE UH_STROKES_SIDE

enum { PIXELS = SIDE * SIDE, COUNT = 2000 };

static int set_up(void **state)
{
    return open_drawn(state, uh_strokes, COUNT);
}

/* An upright digit in the middle, drawn by an even pen. */
static void plain(float latent[UH_STROKES_LATENTS])
{
    memset(latent, 0, UH_STROKES_LATENTS * sizeof *latent);
    latent[UH_STROKES_HEIGHT] = 18;
    latent[UH_STROKES_ASPECT] = 1;
    latent[UH_STROKES_WIDTH] = 2;
    latent[UH_STROKES_EDGE] = 1;
    latent[UH_STROKES_INK] = 1;
}

struct moments {
    double mass, x, y, xy, yy; /* the last two about the mean */
};

static struct moments moments(const double ink[])
{
    struct moments m = {0, 0, 0, 0, 0};
    for (size_t k = 0; k < PIXELS; k++) {
        m.mass += ink[k];
        m.x += ink[k] * (double)(k % SIDE);
        m.y += ink[k] * (double)(k / SIDE);
    }
    m.x /= m.mass;
    m.y /= m.mass;
    for (size_t k = 0; k < PIXELS; k++) {
        double dx = (double)(k % SIDE) - m.x, dy = (double)(k / SIDE) - m.y;
        m.xy += ink[k] * dx * dy / m.mass;
        m.yy += ink[k] * dy * dy / m.mass;
    }
    return m;
}

static void images_are_their_latents_and_noise(void **state)
{
    struct fixture *f = *state;
    double sum = 0, square = 0, inner = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const float *latent = f->set.latent + i * UH_STROKES_LATENTS;
        double ink[PIXELS], noise = (double)latent[UH_STROKES_NOISE];
        uh_strokes_draw(f->set.y[i], latent, ink);
        for (size_t k = 0; k < PIXELS; k++) {
            double d = (double)f->set.x[i * PIXELS + k] - ink[k];
            /* 510 / 147.8 is the largest value of the noise in deviations. */
            assert_true(fabs(d) <= 3.46 * noise + 0.5001 / 255);
            if (noise > 0.02 && ink[k] > 0.25 && ink[k] < 0.75) {
                inner++;
                sum += d / noise;
                square += d * d / (noise * noise);
            }
        }
    }
    assert_true(inner > 10000);
    assert_near(sum / inner, 0, 5 / sqrt(inner));
    /* Rounding to 1/255 adds at most (1 / 255)^2 / 12 / 0.02^2 = 0.003. */
    assert_near(square / inner, 1, 0.004 + 7 / sqrt(inner));
}

/* The slope of the regression of x on y over the ink of the 1 without serif,
 * on the mean over its place on the grid. */
static double lean(float slant)
{
    float latent[UH_STROKES_LATENTS];
    double ink[PIXELS], slope = 0;
    plain(latent);
    latent[UH_STROKES_SLANT] = slant;
    for (int place = 0; place < 8; place++) {
        latent[UH_STROKES_SHIFT_X] = (float)place / 8;
        uh_strokes_draw(1, latent, ink);
        struct moments m = moments(ink);
        slope += m.xy / m.yy / 8;
    }
    return slope;
}

/* The one without serif is a line: its ink is the area of a capsule, with and
 * without blur, on the mean over its place on the grid. */
static void ink_of_a_line_is_the_area_of_a_capsule(void **state)
{
    (void)state;
    const double pi = acos(-1);
    float latent[UH_STROKES_LATENTS];
    plain(latent);
    for (double width = 2; width < 5; width += 0.5) {
        for (double edge = 1; edge < 2; edge += 0.4) {
            double ink[PIXELS], mass = 0;
            latent[UH_STROKES_WIDTH] = (float)width;
            latent[UH_STROKES_EDGE] = (float)edge;
            for (int place = 0; place < 8; place++) {
                latent[UH_STROKES_SHIFT_X] = (float)place / 8;
                uh_strokes_draw(1, latent, ink);
                mass += moments(ink).mass / 8;
            }
            assert_near(mass, 18 * width + pi / 4 * width * width,
                        0.02 * 18 * width);
        }
    }
}

static void ink_grows_with_the_width_of_the_pen(void **state)
{
    (void)state;
    for (size_t digit = 0; digit < 10; digit++)
        for (size_t v = 0; v < uh_strokes_variants(digit); v++) {
            double before = 0;
            for (double width = 1; width < 5; width += 0.25) {
                float latent[UH_STROKES_LATENTS];
                double ink[PIXELS];
                plain(latent);
                latent[UH_STROKES_VARIANT] = (float)v;
                latent[UH_STROKES_WIDTH] = (float)width;
                uh_strokes_draw(digit, latent, ink);
                double mass = moments(ink).mass;
                assert_true(mass > before + 1);
                before = mass;
            }
        }
}

static void full_ink_scales_the_image(void **state)
{
    (void)state;
    float latent[UH_STROKES_LATENTS];
    double full[PIXELS], half[PIXELS];
    plain(latent);
    uh_strokes_draw(8, latent, full);
    latent[UH_STROKES_INK] = 0.5f;
    uh_strokes_draw(8, latent, half);
    for (size_t k = 0; k < PIXELS; k++)
        assert_true(half[k] == full[k] / 2);
}

static void shift_moves_the_image(void **state)
{
    (void)state;
    for (size_t digit = 0; digit < 10; digit++) {
        float latent[UH_STROKES_LATENTS];
        double here[PIXELS], there[PIXELS];
        plain(latent);
        uh_strokes_draw(digit, latent, here);
        latent[UH_STROKES_SHIFT_X] = 3;
        latent[UH_STROKES_SHIFT_Y] = -2;
        uh_strokes_draw(digit, latent, there);
        for (size_t row = 2; row < SIDE; row++)
            for (size_t column = 0; column < SIDE - 3; column++)
                assert_near(there[(row - 2) * SIDE + column + 3],
                            here[row * SIDE + column], 1e-12);
    }
}

static void a_quarter_turn_turns_the_image_clockwise(void **state)
{
    (void)state;
    for (size_t digit = 0; digit < 10; digit++) {
        float latent[UH_STROKES_LATENTS];
        double before[PIXELS], after[PIXELS];
        plain(latent);
        uh_strokes_draw(digit, latent, before);
        latent[UH_STROKES_ROTATION] = (float)(acos(-1) / 2);
        uh_strokes_draw(digit, latent, after);
        /* The latent is a float: off by 4.4e-8, and 13 pixels out. */
        for (size_t row = 0; row < SIDE; row++)
            for (size_t column = 0; column < SIDE; column++)
                assert_near(after[column * SIDE + SIDE - 1 - row],
                            before[row * SIDE + column], 2e-6);
    }
}

/* A shear takes the slope of x on y down by itself; the round ends of the pen
 * do not lean. */
static void slant_leans_a_line_to_the_right(void **state)
{
    (void)state;
    double upright = lean(0);
    for (float slant = -0.5f; slant <= 0.5f; slant += 0.125f)
        assert_near(lean(slant) - upright, -(double)slant,
                    0.03 * fabs((double)slant));
}

static void height_and_aspect_scale_the_digit(void **state)
{
    (void)state;
    for (size_t digit = 0; digit < 10; digit++) {
        double low[2] = {SIDE, SIDE}, high[2] = {0, 0};
        float latent[UH_STROKES_LATENTS];
        double ink[PIXELS];
        plain(latent);
        latent[UH_STROKES_HEIGHT] = 20;
        latent[UH_STROKES_ASPECT] = 0.5f;
        uh_strokes_draw(digit, latent, ink);
        for (size_t k = 0; k < PIXELS; k++)
            if (ink[k] > 0.5) {
                low[0] = fmin(low[0], (double)(k % SIDE));
                high[0] = fmax(high[0], (double)(k % SIDE));
                low[1] = fmin(low[1], (double)(k / SIDE));
                high[1] = fmax(high[1], (double)(k / SIDE));
            }
        /* The skeleton spans 20; the pen adds 2, the grid takes up to 1. */
        assert_near(high[1] - low[1] + 1, 22, 1.5);
        assert_true(high[0] - low[0] + 1 <= 0.5 * 24 / 2 + 3);
    }
}

/* Ink of the row, and its mean column, at height v of the upright skeleton. */
static double row_of(const double ink[], double v, double *column)
{
    double sum = 0, at = 0;
    size_t row = (size_t)(13.5 + 9 * v);
    for (size_t k = 0; k < SIDE; k++) {
        sum += ink[row * SIDE + k];
        at += ink[row * SIDE + k] * (double)k;
    }
    *column = at / sum;
    return sum;
}

/* The 1 without serif is two spans down, so the wave's argument at height v
 * is (v + 1) / 6 + phase. */
static void pressure_changes_the_width_along_the_way(void **state)
{
    (void)state;
    for (float phase = 0; phase < 1; phase += 0.125f)
        for (int row = 6; row < 22; row++) {
            double v = (row - 13.5) / 9, sum = 0, column;
            for (int place = 0; place < 8; place++) {
                float latent[UH_STROKES_LATENTS];
                double ink[PIXELS];
                plain(latent);
                latent[UH_STROKES_WIDTH] = 3;
                latent[UH_STROKES_PRESSURE] = 0.3f;
                latent[UH_STROKES_PHASE] = phase;
                latent[UH_STROKES_SHIFT_X] = (float)place / 8;
                uh_strokes_draw(1, latent, ink);
                sum += row_of(ink, v, &column) / 8;
            }
            double turn = (v + 1) / 6 + (double)phase;
            assert_near(sum, 3 * (1 + 0.3 * sin(2 * acos(-1) * turn)), 0.06);
        }
}

static void pen_bends_as_the_header_says(void **state)
{
    (void)state;
    const double pi = acos(-1), w = 0.125;
    float latent[UH_STROKES_LATENTS];
    double straight[PIXELS], ink[PIXELS];
    plain(latent);
    uh_strokes_draw(1, latent, straight);
    /* The line runs along u = 0, within 0.04. */
    for (size_t k = 0; k < 4; k++) {
        plain(latent);
        latent[UH_STROKES_WARP_X0 + k] = (float)w;
        uh_strokes_draw(1, latent, ink);
        for (int row = 6; row < 22; row++) {
            double v = (row - 13.5) / 9, before, after;
            double f[4] = {sin(pi * v), cos(pi * v), 0, 1};
            row_of(straight, v, &before);
            row_of(ink, v, &after);
            assert_near(after - before, 9 * w * f[k], 0.25);
        }
    }
    /* Its ends, v = -1 and 1: only cosines of v and u move them. */
    for (size_t k = 0; k < 4; k++) {
        plain(latent);
        latent[UH_STROKES_WARP_Y0 + k] = (float)w;
        uh_strokes_draw(1, latent, ink);
        double f[4] = {0, -1, 0, 1};
        struct moments a = moments(straight), b = moments(ink);
        double top = 0, bottom = 0;
        for (size_t i = 0; i < PIXELS; i++) {
            top += i / SIDE < 13 ? ink[i] - straight[i] : 0;
            bottom += i / SIDE > 14 ? ink[i] - straight[i] : 0;
        }
        assert_near(top / 2, -9 * w * f[k], 0.3);
        assert_near(bottom / 2, 9 * w * f[k], 0.3);
        assert_near(b.mass, a.mass, 0.1 * a.mass);
    }
    /* The base of the 1 with serif runs along v = 0.98, u from -0.4 to 0.44:
     * X2 stretches it, Y2 turns it. */
    double base[3] = {0, 0, 0}, left[3] = {0, 0, 0}, right[3] = {0, 0, 0};
    for (size_t k = 0; k < 3; k++) {
        plain(latent);
        latent[UH_STROKES_VARIANT] = 2;
        latent[UH_STROKES_WARP_X2] = k == 1 ? (float)w : 0;
        latent[UH_STROKES_WARP_Y2] = k == 2 ? (float)w : 0;
        uh_strokes_draw(1, latent, ink);
        double at[2] = {0, 0}, sum[2] = {0, 0};
        for (size_t row = 19; row < SIDE; row++) {
            for (size_t c = 0; c < SIDE; c++)
                base[k] += ink[row * SIDE + c];
            for (size_t side = 0; side < 2; side++) { /* u = -0.28, 0.28 */
                double here = ink[row * SIDE + (side ? 16 : 11)];
                sum[side] += here;
                at[side] += here * (double)row;
            }
        }
        left[k] = at[0] / sum[0];
        right[k] = at[1] / sum[1];
    }
    double ends = sin(0.44 * pi) + sin(0.4 * pi);
    assert_near(base[1] - base[0], 2 * 9 * w * ends, 0.6);
    assert_near(right[2] - right[0], 9 * w * sin(pi * 2.5 / 9), 0.25);
    assert_near(left[2] - left[0], -9 * w * sin(pi * 2.5 / 9), 0.25);
}

static void latents_lie_where_the_header_says(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum uh_strokes_latent latent;
        double mean, deviation, reach;
    } normal[] = {{UH_STROKES_ROTATION, 0, 0.12, 2.5},
                  {UH_STROKES_SLANT, 0.12, 0.18, 2.5},
                  {UH_STROKES_HEIGHT, 18, 1.2, 2.5},
                  {UH_STROKES_ASPECT, 1, 0.13, 2.5},
                  {UH_STROKES_SHIFT_X, 0, 1, 2.5},
                  {UH_STROKES_SHIFT_Y, 0, 1, 2.5},
                  {UH_STROKES_WARP_X0, 0, 0.06, 2.5},
                  {UH_STROKES_WARP_Y3, 0, 0.06, 2.5},
                  /* Uniform: deviation (b - a) / sqrt(12), reach sqrt(3). */
                  {UH_STROKES_WIDTH, 2.6, 0.57735, 1.73206},
                  {UH_STROKES_PRESSURE, 0.15, 0.0866026, 1.73206},
                  {UH_STROKES_PHASE, 0.5, 0.288676, 1.73206},
                  {UH_STROKES_EDGE, 1.4, 0.230941, 1.73206},
                  {UH_STROKES_INK, 0.9, 0.0577351, 1.73206},
                  {UH_STROKES_NOISE, 0.025, 0.0144338, 1.73206}};
    for (size_t k = 0; k < sizeof normal / sizeof *normal; k++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < COUNT; i++) {
            double v =
                (double)
                    f->set.latent[i * UH_STROKES_LATENTS + normal[k].latent];
            double d = (v - normal[k].mean) / normal[k].deviation;
            assert_true(fabs(d) <= normal[k].reach + 1e-5);
            sum += d;
            square += d * d;
        }
        assert_near(sum / COUNT, 0, 4.5 / sqrt(COUNT));
        /* Held to 2.5 deviations, a normal's variance is 0.98. */
        assert_near(square / COUNT, 1, 0.02 + 4.5 * sqrt(2.0 / COUNT));
    }
}

static void every_way_of_writing_occurs(void **state)
{
    struct fixture *f = *state;
    size_t seen[10][3] = {{0}};
    for (size_t i = 0; i < COUNT; i++) {
        float v = f->set.latent[i * UH_STROKES_LATENTS + UH_STROKES_VARIANT];
        assert_true(v >= 0 && v < (float)uh_strokes_variants(f->set.y[i]));
        assert_true(v == floorf(v));
        seen[f->set.y[i]][(size_t)v]++;
    }
    for (size_t digit = 0; digit < 10; digit++) {
        size_t variants = uh_strokes_variants(digit);
        assert_in_range(variants, 2, 3);
        for (size_t v = 0; v < variants; v++)
            assert_true(seen[digit][v] > COUNT / 10 / variants / 2);
    }
}

static void latents_are_named_in_their_order(void **state)
{
    struct fixture *f = *state;
    const char *const *names = f->set.latent_names;
    assert_int_equal(f->set.latents, UH_STROKES_LATENTS);
    assert_string_equal(names[UH_STROKES_VARIANT], "variant");
    assert_string_equal(names[UH_STROKES_SHIFT_X], "shift_x");
    assert_string_equal(names[UH_STROKES_PHASE], "phase");
    assert_string_equal(names[UH_STROKES_NOISE], "noise");
    assert_string_equal(names[UH_STROKES_WARP_X0], "warp_x0");
    assert_string_equal(names[UH_STROKES_WARP_Y0], "warp_y0");
    assert_string_equal(names[UH_STROKES_WARP_Y3], "warp_y3");
    assert_string_equal(f->set.class_names[7], "7");
    assert_string_equal(f->set.name, "strokes");
}

/* At most one image in forty may touch the border with ink. */
static void digits_stay_on_the_paper(void **state)
{
    struct fixture *f = *state;
    size_t touching = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double ink[PIXELS];
        size_t dark = 0;
        uh_strokes_draw(f->set.y[i], f->set.latent + i * UH_STROKES_LATENTS,
                        ink);
        for (size_t k = 0; k < SIDE; k++)
            dark += ink[k] > 0.5 || ink[PIXELS - 1 - k] > 0.5 ||
                    ink[k * SIDE] > 0.5 || ink[k * SIDE + SIDE - 1] > 0.5;
        touching += dark > 0;
    }
    print_message("%zu of %d digits touch the border\n", touching, COUNT);
    assert_true(touching <= COUNT / 40);
}

static void linear_classifier_errs_on_more_than_5_percent(void **state)
{
    struct fixture *f = *state;
    struct uh_dataset train, test;
    uh_strokes("train", 4000, f->pool, f->arena, &train);
    uh_strokes("test", 2000, f->pool, f->arena, &test);
    double error = ref_linear_error(&train, &test, 10, 0.01);
    print_message("linear classifier, 4000 images: error %.4f of 2000\n",
                  error);
    assert_true(error > 0.05 && error < 0.25);
}

static void first_1000_images_are_those_of_record(void **state)
{
    assert_record(
        *state,
        "2ee36745059e78fd1cdba9ef9a8cc0bab3f2bdb3c413326cf9893d1a420c9267",
        "41caad088ae44cfaa9678ba0e9cfc9b853ce108f6d09f28af8f86e7ce08c2c13");
}

/* -- raster.h -- */

static void cover_is_half_on_the_edge_and_falls(void **state)
{
    (void)state;
    assert_true(uh_raster_cover(0, 1.5) == 0.5);
    assert_true(uh_raster_cover(-0.75, 1.5) == 1);
    assert_true(uh_raster_cover(0.75, 1.5) == 0);
    for (double d = -0.7; d < 0.7; d += 0.1) {
        assert_true(uh_raster_cover(d, 1.5) > uh_raster_cover(d + 0.1, 1.5));
        assert_near(uh_raster_cover(d, 1.5) + uh_raster_cover(-d, 1.5), 1,
                    1e-15);
    }
}

/* The distance by many points on the edges, the side by the angle that the
 * polygon turns around p. */
static void polygon_agrees_with_points_and_winding(void **state)
{
    (void)state;
    static const struct uh_point corner[] = {{0, -3}, {2, 1},  {5, 1}, {2.5, 4},
                                             {0, 2},  {-4, 3}, {-1, 0}};
    enum { N = sizeof corner / sizeof *corner, FINE = 2000 };
    struct uh_stream s = uh_stream_open("test/raster/polygon");
    for (size_t trial = 0; trial < 300; trial++) {
        struct uh_point p = {uh_raster_between(&s, -6, 6),
                             uh_raster_between(&s, -6, 6)};
        if (trial % 3 == 0) /* on a level with a corner */
            p.y = corner[trial % N].y;
        double nearest = HUGE_VAL, turn = 0;
        for (size_t i = 0; i < N; i++) {
            struct uh_point a = corner[i], b = corner[(i + 1) % N];
            for (size_t k = 0; k < FINE; k++) {
                double t = (double)k / FINE;
                nearest = fmin(nearest, hypot(a.x + t * (b.x - a.x) - p.x,
                                              a.y + t * (b.y - a.y) - p.y));
            }
            turn += remainder(atan2(b.y - p.y, b.x - p.x) -
                                  atan2(a.y - p.y, a.x - p.x),
                              2 * acos(-1));
        }
        double want = fabs(turn) > 3 ? -nearest : nearest;
        if (nearest > 0.01)
            assert_near(uh_raster_polygon(N, corner, p), want, 1e-3);
    }
}

static void bytes_round_and_are_held(void **state)
{
    (void)state;
    assert_int_equal(uh_raster_byte(-3), 0);
    assert_int_equal(uh_raster_byte(0.4999 / 255), 0);
    assert_int_equal(uh_raster_byte(0.5001 / 255), 1);
    assert_int_equal(uh_raster_byte(254.4 / 255), 254);
    assert_int_equal(uh_raster_byte(1), 255);
    assert_int_equal(uh_raster_byte(1e9), 255);
}

/* At each pixel of the grid, by the formula, near or far. */
static void stroke_is_the_distance_to_a_tapered_line(void **state)
{
    (void)state;
    enum { N = 20 };
    struct uh_stream s = uh_stream_open("test/raster/stroke");
    for (size_t trial = 0; trial < 200; trial++) {
        struct uh_point a = {uh_raster_between(&s, -3, 23),
                             uh_raster_between(&s, -3, 23)};
        struct uh_point b = {uh_raster_between(&s, -3, 23),
                             uh_raster_between(&s, -3, 23)};
        if (trial == 0)
            b = a; /* a dot */
        double ra = uh_raster_between(&s, 0.5, 3);
        double rb = uh_raster_between(&s, 0.5, 3), field[N * N];
        for (size_t k = 0; k < N * N; k++)
            field[k] = 100;
        uh_raster_stroke(N, field, a, ra, b, rb, 0.75);
        for (size_t k = 0; k < N * N; k++) {
            double x = (double)(k % N), y = (double)(k / N);
            double length = hypot(b.x - a.x, b.y - a.y), t = 0;
            if (length > 0)
                t = ((x - a.x) * (b.x - a.x) + (y - a.y) * (b.y - a.y)) /
                    (length * length);
            t = fmin(1, fmax(0, t));
            double d =
                hypot(x - a.x - t * (b.x - a.x), y - a.y - t * (b.y - a.y)) -
                (1 - t) * ra - t * rb;
            if (d <= 0.75 - 1e-9)
                assert_near(field[k], d, 1e-9);
            else if (d > 0.75 + 1e-9)
                assert_true(field[k] == 100);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DRAWN_TESTS,
        cmocka_unit_test(images_are_their_latents_and_noise),
        cmocka_unit_test(ink_of_a_line_is_the_area_of_a_capsule),
        cmocka_unit_test(ink_grows_with_the_width_of_the_pen),
        cmocka_unit_test(full_ink_scales_the_image),
        cmocka_unit_test(shift_moves_the_image),
        cmocka_unit_test(a_quarter_turn_turns_the_image_clockwise),
        cmocka_unit_test(slant_leans_a_line_to_the_right),
        cmocka_unit_test(height_and_aspect_scale_the_digit),
        cmocka_unit_test(pressure_changes_the_width_along_the_way),
        cmocka_unit_test(pen_bends_as_the_header_says),
        cmocka_unit_test(latents_lie_where_the_header_says),
        cmocka_unit_test(every_way_of_writing_occurs),
        cmocka_unit_test(latents_are_named_in_their_order),
        cmocka_unit_test(digits_stay_on_the_paper),
        cmocka_unit_test(linear_classifier_errs_on_more_than_5_percent),
        cmocka_unit_test(first_1000_images_are_those_of_record),
        cmocka_unit_test(cover_is_half_on_the_edge_and_falls),
        cmocka_unit_test(polygon_agrees_with_points_and_winding),
        cmocka_unit_test(bytes_round_and_are_held),
        cmocka_unit_test(stroke_is_the_distance_to_a_tapered_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, close_drawn) ? 1 : 0;
}
