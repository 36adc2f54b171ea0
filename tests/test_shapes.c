/* test_shapes.c: tests of lib/shapes.[ch]. */
#include "drawn.h"
#include "ref_linear.h"
#include "shapes.h"

#define SIDE UH_SHAPES_SIDE

enum { PIXELS = SIDE * SIDE, NUMBERS = 3 * PIXELS, COUNT = 1000 };

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
    ARROW
};

static int set_up(void **state)
{
    return open_drawn(state, uh_shapes, COUNT);
}

/* A red shape in the middle of a green ground, neither with texture. */
static void plain(float latent[UH_SHAPES_LATENTS])
{
    memset(latent, 0, UH_SHAPES_LATENTS * sizeof *latent);
    latent[UH_SHAPES_RADIUS] = 12;
    latent[UH_SHAPES_EDGE] = 1;
    latent[UH_SHAPES_FORE_RED] = 1;
    latent[UH_SHAPES_BACK_GREEN] = 1;
    latent[UH_SHAPES_FORE_PERIOD] = latent[UH_SHAPES_BACK_PERIOD] = 4;
    latent[UH_SHAPES_BLOB0_SHADE] = 1;
    latent[UH_SHAPES_BLOB1_SHADE] = 1;
    latent[UH_SHAPES_BLOB2_SHADE] = 1;
}

struct moments {
    double area, x, y; /* the center, from the image's */
};

static struct moments moments(const double mask[])
{
    struct moments m = {0, 0, 0};
    for (size_t k = 0; k < PIXELS; k++) {
        m.area += mask[k];
        m.x += mask[k] * (double)(k % SIDE);
        m.y += mask[k] * (double)(k / SIDE);
    }
    m.x = m.x / m.area - 15.5;
    m.y = m.y / m.area - 15.5;
    return m;
}

static void images_are_their_latents_and_noise(void **state)
{
    struct fixture *f = *state;
    double sum = 0, square = 0, inner = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const float *latent = f->set.latent + i * UH_SHAPES_LATENTS;
        double rgb[NUMBERS], noise = (double)latent[UH_SHAPES_NOISE];
        uh_shapes_draw(f->set.y[i], latent, rgb);
        for (size_t k = 0; k < NUMBERS; k++) {
            double held = fmin(1, fmax(0, rgb[k]));
            double d = (double)f->set.x[i * NUMBERS + k] - held;
            assert_true(fabs(d) <= 3.46 * noise + 0.5001 / 255);
            if (noise > 0.02 && rgb[k] > 0.25 && rgb[k] < 0.75) {
                inner++;
                sum += d / noise;
                square += d * d / (noise * noise);
            }
        }
    }
    assert_true(inner > 100000);
    assert_near(sum / inner, 0, 5 / sqrt(inner));
    assert_near(square / inner, 1, 0.004 + 7 / sqrt(inner));
}

/* Areas by hand, for radius 1: circles, triangles, rectangles, and for the
 * crescent the disc without the lens of two circles of radii 1 and 0.78 at the
 * distance 0.5. */
static void masks_have_the_areas_of_their_shapes(void **state)
{
    (void)state;
    const double pi = acos(-1), d = 0.5, r = 0.78;
    double c1 = (d * d + 1 - r * r) / (2 * d);
    double c2 = (d * d + r * r - 1) / (2 * d * r);
    double lens = acos(c1) + r * r * acos(c2) - d * sqrt(1 - c1 * c1);
    const double area[10] = {[DISC] = pi,
                             [RING] = pi * (1 - 0.52 * 0.52),
                             [TRIANGLE] = 3 * sqrt(3) / 4,
                             [SQUARE] = 2,
                             [STAR] = 5 * 0.42 * sin(pi / 5),
                             [CROSS] = 2 * 1.88 * 0.64 - 0.64 * 0.64,
                             [CRESCENT] = pi - lens,
                             [HEART] = (0.5 + pi / 8) / (0.631 * 0.631),
                             [HOURGLASS] = 2 * 0.76 * (0.64 + 0.16),
                             [ARROW] = 0.86 + 0.6 * 0.95};
    for (size_t label = 0; label < 10; label++)
        for (float radius = 9; radius <= 14; radius++) {
            float latent[UH_SHAPES_LATENTS];
            double mask[PIXELS];
            plain(latent);
            latent[UH_SHAPES_RADIUS] = radius;
            latent[UH_SHAPES_ROTATION] = 0.2f;
            uh_shapes_mask(label, latent, mask);
            double square = (double)radius * (double)radius;
            /* Blur takes a little from sharp corners. */
            assert_near(moments(mask).area / square, area[label], 0.02);
        }
}

static void shapes_with_a_center_have_it_at_their_place(void **state)
{
    struct fixture *f = *state;
    static const size_t central[] = {DISC, RING, SQUARE, CROSS, HOURGLASS};
    size_t seen = 0;
    for (size_t i = 0; i < COUNT; i++)
        for (size_t k = 0; k < sizeof central / sizeof *central; k++) {
            const float *latent = f->set.latent + i * UH_SHAPES_LATENTS;
            double mask[PIXELS];
            double reach = 0.7 + (double)latent[UH_SHAPES_RADIUS];
            if (f->set.y[i] != central[k] ||
                fabs((double)latent[UH_SHAPES_X]) + reach > 16 ||
                fabs((double)latent[UH_SHAPES_Y]) + reach > 16)
                continue; /* another class, or cut off by the border */
            uh_shapes_mask(f->set.y[i], latent, mask);
            struct moments m = moments(mask);
            assert_near(m.x, (double)latent[UH_SHAPES_X], 0.2);
            assert_near(m.y, (double)latent[UH_SHAPES_Y], 0.2);
            seen++;
        }
    assert_true(seen > COUNT / 8);
}

static void shapes_stay_in_their_circle_and_reach_it(void **state)
{
    (void)state;
    for (size_t label = 0; label < 10; label++)
        for (float turn = 0; turn < 6; turn += 0.5f) {
            float latent[UH_SHAPES_LATENTS];
            double mask[PIXELS], farthest = 0;
            plain(latent);
            latent[UH_SHAPES_ROTATION] = turn;
            uh_shapes_mask(label, latent, mask);
            for (size_t k = 0; k < PIXELS; k++)
                if (mask[k] > 0.5)
                    farthest = fmax(farthest, hypot((double)(k % SIDE) - 15.5,
                                                    (double)(k / SIDE) - 15.5));
            assert_near(farthest, 11.2, 0.81); /* 12, less half a pixel's tip */
        }
}

static void a_quarter_turn_turns_the_mask_clockwise(void **state)
{
    (void)state;
    for (size_t label = 0; label < 10; label++) {
        float latent[UH_SHAPES_LATENTS];
        double before[PIXELS], after[PIXELS];
        plain(latent);
        latent[UH_SHAPES_ROTATION] = 0.25f;
        uh_shapes_mask(label, latent, before);
        latent[UH_SHAPES_ROTATION] = (float)(0.25 + acos(-1) / 2);
        uh_shapes_mask(label, latent, after);
        for (size_t row = 0; row < SIDE; row++)
            for (size_t column = 0; column < SIDE; column++)
                assert_near(after[column * SIDE + SIDE - 1 - row],
                            before[row * SIDE + column], 1e-5);
    }
}

static void upright_shapes_point_up(void **state)
{
    (void)state;
    static const size_t mirrored[] = {TRIANGLE, STAR, HEART, ARROW};
    for (size_t k = 0; k < sizeof mirrored / sizeof *mirrored; k++) {
        float latent[UH_SHAPES_LATENTS];
        double mask[PIXELS];
        plain(latent);
        uh_shapes_mask(mirrored[k], latent, mask);
        for (size_t row = 0; row < SIDE; row++)
            for (size_t column = 0; column < SIDE; column++)
                assert_near(mask[row * SIDE + column],
                            mask[row * SIDE + SIDE - 1 - column], 1e-12);
    }
    float latent[UH_SHAPES_LATENTS];
    double mask[PIXELS];
    plain(latent);
    uh_shapes_mask(ARROW, latent, mask);
    assert_true(mask[5 * SIDE + 15] > 0.5 && mask[4 * SIDE + 10] == 0);
    uh_shapes_mask(CRESCENT, latent, mask); /* open to the right */
    assert_true(mask[15 * SIDE + 5] == 1 && mask[15 * SIDE + 20] == 0);
    assert_true(moments(mask).x < -2);
}

static void plain_images_are_two_colors_mixed_by_the_mask(void **state)
{
    (void)state;
    for (size_t label = 0; label < 10; label++) {
        float latent[UH_SHAPES_LATENTS];
        double mask[PIXELS], rgb[NUMBERS];
        plain(latent);
        latent[UH_SHAPES_FORE_TEXTURE] = 2; /* without contrast */
        latent[UH_SHAPES_FORE_BLUE] = 0.25f;
        latent[UH_SHAPES_BACK_BLUE] = 0.75f;
        uh_shapes_mask(label, latent, mask);
        uh_shapes_draw(label, latent, rgb);
        for (size_t k = 0; k < PIXELS; k++) {
            assert_near(rgb[k], mask[k], 1e-15);
            assert_near(rgb[k + PIXELS], 1 - mask[k], 1e-15);
            assert_near(rgb[k + 2 * PIXELS], 0.75 - mask[k] / 2, 1e-15);
        }
    }
}

/* Pattern along the first row of the ground, which the shape leaves free. */
static void textures_have_their_period_phase_and_mean(void **state)
{
    (void)state;
    for (int kind = 1; kind <= 3; kind++) {
        float latent[UH_SHAPES_LATENTS];
        double rgb[NUMBERS], moved[NUMBERS], low = 2, high = 0;
        plain(latent);
        latent[UH_SHAPES_RADIUS] = 5;
        latent[UH_SHAPES_BACK_TEXTURE] = (float)kind;
        latent[UH_SHAPES_BACK_CONTRAST] = 0.5f;
        latent[UH_SHAPES_BACK_PERIOD] = 8;
        uh_shapes_draw(DISC, latent, rgb);
        latent[UH_SHAPES_BACK_PHASE_U] = 0.25f;
        uh_shapes_draw(DISC, latent, moved);
        const double *green = rgb + PIXELS, *other = moved + PIXELS;
        for (size_t row = 0; row < 8; row++)
            for (size_t k = 0; k + 8 < SIDE; k++) {
                size_t at = row * SIDE + k;
                assert_near(green[at + 8], green[at], 1e-12);
                assert_near(other[at], green[at + 2], 1e-12);
                low = fmin(low, green[at]);
                high = fmax(high, green[at]);
            }
        assert_true(low == 0.5 && high == 1.5);
        /* Stripes at the angle 0 change from column to column only. */
        for (size_t k = 0; kind == 1 && k < SIDE; k++)
            assert_near(green[5 * SIDE + k], green[k], 1e-12);
    }
}

static void textures_follow_their_angle(void **state)
{
    (void)state;
    float latent[UH_SHAPES_LATENTS];
    double rgb[NUMBERS];
    plain(latent);
    latent[UH_SHAPES_RADIUS] = 5;
    latent[UH_SHAPES_BACK_TEXTURE] = 1;
    latent[UH_SHAPES_BACK_CONTRAST] = 0.5f;
    latent[UH_SHAPES_BACK_PHASE_U] = 0.1f;
    latent[UH_SHAPES_BACK_ANGLE] = (float)(acos(-1) / 2);
    uh_shapes_draw(DISC, latent, rgb);
    for (size_t k = 0; k < SIDE; k++) {
        assert_near(rgb[PIXELS + k], rgb[PIXELS], 1e-4);
        assert_near(rgb[PIXELS + k * SIDE], rgb[PIXELS + k % 4 * SIDE], 1e-4);
    }
}

static double band(double t)
{
    return fmin(1, fmax(-1, 2 - 8 * fabs(remainder(t, 1))));
}

/* The header's formulas, with libm, for ground and shape. */
static void textures_follow_their_formulas(void **state)
{
    (void)state;
    const double root = sqrt(3) / 2;
    for (int kind = 0; kind < 5; kind++)
        for (int fore = 0; fore < 2; fore++) {
            const size_t at =
                fore ? 0 : UH_SHAPES_BACK_RED - UH_SHAPES_FORE_RED;
            const double angle = 0.7, period = 5.5, u0 = 0.3, v0 = 0.85;
            float latent[UH_SHAPES_LATENTS];
            double rgb[NUMBERS];
            plain(latent);
            latent[UH_SHAPES_RADIUS] = fore ? 13 : 5;
            latent[UH_SHAPES_FORE_RED + at] = 0.5f;
            latent[UH_SHAPES_FORE_TEXTURE + at] = (float)kind;
            latent[UH_SHAPES_FORE_CONTRAST + at] = 0.5f;
            latent[UH_SHAPES_FORE_PERIOD + at] = (float)period;
            latent[UH_SHAPES_FORE_ANGLE + at] = (float)angle;
            latent[UH_SHAPES_FORE_PHASE_U + at] = (float)u0;
            latent[UH_SHAPES_FORE_PHASE_V + at] = (float)v0;
            uh_shapes_draw(DISC, latent, rgb);
            for (size_t k = 0; k < PIXELS; k++) {
                double x = (double)(k % SIDE), y = (double)(k / SIDE);
                double r = hypot(x - 15.5, y - 15.5);
                if (fore ? r > 12 : r < 6)
                    continue;
                double u = (cos(angle) * x + sin(angle) * y) / period + u0;
                double v = (cos(angle) * y - sin(angle) * x) / period + v0;
                double du = remainder(u - 0.5, 1), dv = remainder(v - 0.5, 1);
                double pattern[5] = {
                    0, band(u), band(u) * band(v),
                    fmin(1, fmax(-1, 3 - 20 * (du * du + dv * dv))),
                    (band(u) + band(u / 2 + root * v) +
                     band(u / 2 - root * v)) /
                        3};
                assert_near(rgb[k], 0.5 * (1 + 0.5 * pattern[kind]), 1e-5);
            }
        }
}

static void light_grows_in_its_direction(void **state)
{
    (void)state;
    float latent[UH_SHAPES_LATENTS];
    double rgb[NUMBERS];
    plain(latent);
    latent[UH_SHAPES_LIGHT] = 0.25f;
    uh_shapes_draw(DISC, latent, rgb);
    for (size_t row = 0; row < SIDE; row += SIDE - 1)
        for (size_t k = 0; k < SIDE; k++)
            assert_near(rgb[PIXELS + row * SIDE + k],
                        1 + 0.25 * ((double)k - 15.5) / 16, 1e-12);
}

static void blobs_shade_the_ground_not_the_shape(void **state)
{
    (void)state;
    float latent[UH_SHAPES_LATENTS];
    double rgb[NUMBERS], shade = 0;
    plain(latent);
    latent[UH_SHAPES_RADIUS] = 6;
    latent[UH_SHAPES_BLOB1_X] = -9.5f;
    latent[UH_SHAPES_BLOB1_Y] = 9.5f;
    latent[UH_SHAPES_BLOB1_RADIUS] = 4;
    latent[UH_SHAPES_BLOB1_SHADE] = 0.5f;
    latent[UH_SHAPES_BLOB2_RADIUS] = 4; /* in the middle, behind the disc */
    latent[UH_SHAPES_BLOB2_SHADE] = 0.5f;
    uh_shapes_draw(DISC, latent, rgb);
    assert_true(rgb[PIXELS + 25 * SIDE + 6] == 0.5);
    assert_true(rgb[15 * SIDE + 15] == 1);
    for (size_t row = 18; row < SIDE; row++)
        for (size_t column = 0; column < 13; column++)
            if (hypot((double)column - 15.5, (double)row - 15.5) > 7)
                shade += 1 - rgb[PIXELS + row * SIDE + column];
    assert_near(shade, 0.5 * acos(-1) * 16, 0.5);
}

static void the_shape_is_the_lighter_one_and_not_of_the_same_color(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT; i++) {
        const float *latent = f->set.latent + i * UH_SHAPES_LATENTS;
        double lighter = 0, apart = 0;
        for (size_t k = 0; k < 3; k++) {
            double d = (double)latent[UH_SHAPES_FORE_RED + k] -
                       (double)latent[UH_SHAPES_BACK_RED + k];
            lighter += d / 3;
            apart += d * d;
        }
        assert_true(lighter > 0.0999 && apart > 0.2999);
    }
}

static void latents_lie_where_the_header_says(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum uh_shapes_latent latent;
        double low, high; /* uniform */
    } uniform[] = {{UH_SHAPES_RADIUS, 10, 13.5},
                   {UH_SHAPES_EDGE, 0.8, 1.4},
                   {UH_SHAPES_FORE_CONTRAST, 0.05, 0.3},
                   {UH_SHAPES_FORE_PERIOD, 3.5, 8},
                   {UH_SHAPES_FORE_ANGLE, 0, 3.14159266},
                   {UH_SHAPES_BACK_PHASE_U, 0, 1},
                   {UH_SHAPES_BACK_PHASE_V, 0, 1},
                   {UH_SHAPES_BLOB0_X, -16, 16},
                   {UH_SHAPES_BLOB2_RADIUS, 2, 5},
                   {UH_SHAPES_BLOB2_SHADE, 0.65, 1.35},
                   {UH_SHAPES_LIGHT, 0, 0.3},
                   {UH_SHAPES_LIGHT_ANGLE, -3.14159275, 3.14159275},
                   {UH_SHAPES_NOISE, 0.01, 0.04}};
    for (size_t k = 0; k < sizeof uniform / sizeof *uniform; k++) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < COUNT; i++) {
            double v =
                (double)
                    f->set.latent[i * UH_SHAPES_LATENTS + uniform[k].latent];
            double u =
                (v - uniform[k].low) / (uniform[k].high - uniform[k].low);
            assert_true(u >= -1e-6 && u <= 1 + 1e-6);
            sum += u;
            square += (u - 0.5) * (u - 0.5);
        }
        assert_near(sum / COUNT, 0.5, 4.5 / sqrt(12.0 * COUNT));
        assert_near(square / COUNT, 1 / 12.0, 4.5 / sqrt(180.0 * COUNT));
    }
    size_t kinds[2][5] = {{0}};
    for (size_t i = 0; i < COUNT; i++) {
        const float *latent = f->set.latent + i * UH_SHAPES_LATENTS;
        double room = 17 - (double)latent[UH_SHAPES_RADIUS];
        assert_true(fabs((double)latent[UH_SHAPES_X]) <= room + 1e-5);
        assert_true(fabs((double)latent[UH_SHAPES_Y]) <= room + 1e-5);
        assert_true(fabs((double)latent[UH_SHAPES_ROTATION]) <= 0.625 + 1e-5);
        kinds[0][(size_t)latent[UH_SHAPES_FORE_TEXTURE]]++;
        kinds[1][(size_t)latent[UH_SHAPES_BACK_TEXTURE]]++;
    }
    for (size_t k = 0; k < 10; k++) /* 200, deviation 12.6 */
        assert_in_range(kinds[k / 5][k % 5], COUNT / 5 - 57, COUNT / 5 + 57);
}

/* Means over the images of a class differ between classes by chance only. */
static void colors_and_textures_tell_nothing_of_the_class(void **state)
{
    struct fixture *f = *state;
    static const enum uh_shapes_latent latents[] = {
        UH_SHAPES_X,          UH_SHAPES_RADIUS,       UH_SHAPES_FORE_RED,
        UH_SHAPES_BACK_GREEN, UH_SHAPES_FORE_TEXTURE, UH_SHAPES_BACK_TEXTURE,
        UH_SHAPES_ROTATION,   UH_SHAPES_NOISE};
    for (size_t k = 0; k < sizeof latents / sizeof *latents; k++) {
        double sum[10] = {0}, all = 0, square = 0;
        for (size_t i = 0; i < COUNT; i++) {
            double v =
                (double)f->set.latent[i * UH_SHAPES_LATENTS + latents[k]];
            sum[f->set.y[i]] += v;
            all += v;
            square += v * v;
        }
        double mean = all / COUNT;
        double deviation = sqrt(square / COUNT - mean * mean);
        for (size_t c = 0; c < 10; c++)
            assert_near(sum[c] / (COUNT / 10), mean,
                        4.5 * deviation / sqrt(COUNT / 10.0));
    }
}

static void latents_are_named_in_their_order(void **state)
{
    struct fixture *f = *state;
    const char *const *names = f->set.latent_names;
    assert_int_equal(f->set.latents, UH_SHAPES_LATENTS);
    assert_string_equal(names[UH_SHAPES_X], "x");
    assert_string_equal(names[UH_SHAPES_EDGE], "edge");
    assert_string_equal(names[UH_SHAPES_FORE_RED], "fore_red");
    assert_string_equal(names[UH_SHAPES_FORE_TEXTURE], "fore_texture");
    assert_string_equal(names[UH_SHAPES_BACK_RED], "back_red");
    assert_string_equal(names[UH_SHAPES_BACK_PHASE_V], "back_phase_v");
    assert_string_equal(names[UH_SHAPES_BLOB0_X], "blob0_x");
    assert_string_equal(names[UH_SHAPES_BLOB2_SHADE], "blob2_shade");
    assert_string_equal(names[UH_SHAPES_NOISE], "noise");
    assert_string_equal(f->set.class_names[HOURGLASS], "hourglass");
    assert_string_equal(f->set.name, "shapes");
}

static void linear_classifier_errs_on_more_than_30_percent(void **state)
{
    struct fixture *f = *state;
    struct uh_dataset train, test;
    uh_shapes("train", 3000, f->pool, f->arena, &train);
    uh_shapes("test", 1000, f->pool, f->arena, &test);
    double error = ref_linear_error(&train, &test, 5, 0.001);
    print_message("linear classifier, 3000 images: error %.4f of 1000\n",
                  error);
    assert_true(error > 0.3 && error < 0.75);
}

static void first_1000_images_are_those_of_record(void **state)
{
    assert_record(
        *state,
        "14f91dab4b39387f62c7968baf6f3ca8daeb68dda9411b5ef7c1cc653c5f63c5",
        "ceb93c046181596e848c71ef021d4c56d6f997995ea129af7eb051a83d1770ce");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DRAWN_TESTS,
        cmocka_unit_test(images_are_their_latents_and_noise),
        cmocka_unit_test(masks_have_the_areas_of_their_shapes),
        cmocka_unit_test(shapes_with_a_center_have_it_at_their_place),
        cmocka_unit_test(shapes_stay_in_their_circle_and_reach_it),
        cmocka_unit_test(a_quarter_turn_turns_the_mask_clockwise),
        cmocka_unit_test(upright_shapes_point_up),
        cmocka_unit_test(plain_images_are_two_colors_mixed_by_the_mask),
        cmocka_unit_test(textures_have_their_period_phase_and_mean),
        cmocka_unit_test(textures_follow_their_angle),
        cmocka_unit_test(textures_follow_their_formulas),
        cmocka_unit_test(light_grows_in_its_direction),
        cmocka_unit_test(blobs_shade_the_ground_not_the_shape),
        cmocka_unit_test(
            the_shape_is_the_lighter_one_and_not_of_the_same_color),
        cmocka_unit_test(latents_lie_where_the_header_says),
        cmocka_unit_test(colors_and_textures_tell_nothing_of_the_class),
        cmocka_unit_test(latents_are_named_in_their_order),
        cmocka_unit_test(linear_classifier_errs_on_more_than_30_percent),
        cmocka_unit_test(first_1000_images_are_those_of_record),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, close_drawn) ? 1 : 0;
}
