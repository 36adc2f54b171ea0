/* test_zoo.c: the zoo's answers by elementary means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"
#include "ref_net.h"
#include "stream.h"
#include "zoo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Runs a check on every entry. */
static void each(void (*check)(const struct uh_zoo *z, struct uh_pool *pool,
                               struct uh_arena *arena))
{
    struct uh_pool *pool = uh_pool_open(1);
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_zoo z = uh_zoo_entry(i, arena);
        check(&z, pool, arena);
        uh_arena_free(&arena);
    }
    uh_pool_close(&pool);
}

/* Jacobian at x, (out, in), row by row from the backward pass. */
static double *jacobian(const struct uh_net *net, const float *x,
                        struct uh_pool *pool, struct uh_arena *arena)
{
    size_t in = uh_shape_size(net->in), out = uh_shape_size(net->out);
    double *j = uh_arena_alloc(arena, in * out, sizeof *j);
    float *dy = uh_arena_alloc(arena, out, sizeof *dy);
    float *dx = uh_arena_alloc(arena, in, sizeof *dx);
    struct uh_trace trace = uh_net_trace(net, pool, 1, x, 0, arena);
    for (size_t o = 0; o < out; o++) {
        dy[o] = 1;
        uh_net_backward(net, pool, &trace, dy, NULL, dx);
        dy[o] = 0;
        for (size_t i = 0; i < in; i++) {
            j[o * in + i] = (double)dx[i];
        }
    }
    return j;
}

/* Largest singular value of an m x n matrix: 300 steps of power iteration,
 * plenty for gaps of a third, from a vector with all directions. */
static double largest(size_t m, size_t n, const double *a)
{
    double v[64], w[64], norm = 0;
    for (size_t i = 0; i < n; i++) {
        v[i] = 1 + 0.37 * (double)i;
    }
    for (int step = 0; step < 300; step++) {
        double square = 0;
        for (size_t i = 0; i < m; i++) {
            w[i] = 0;
            for (size_t j = 0; j < n; j++) {
                w[i] += a[i * n + j] * v[j];
            }
        }
        for (size_t j = 0; j < n; j++) {
            v[j] = 0;
            for (size_t i = 0; i < m; i++) {
                v[j] += a[i * n + j] * w[i];
            }
            square += v[j] * v[j];
        }
        norm = sqrt(sqrt(square)); /* |a'a v| with |v| = 1, rooted */
        for (size_t j = 0; j < n && square > 0; j++) {
            v[j] /= sqrt(square);
        }
        if (square == 0) {
            return 0;
        }
    }
    return norm;
}

static void draw(struct uh_stream *s, size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(1.5 * uh_stream_normal(s));
    }
}

static void check_lipschitz(const struct uh_zoo *z, struct uh_pool *pool,
                            struct uh_arena *arena)
{
    size_t in = uh_shape_size(z->net.in), out = uh_shape_size(z->net.out);
    struct uh_stream s = uh_stream_open("test/zoo/%s", z->name);
    double most = 0;
    if (isnan(z->lipschitz)) {
        return;
    }
    for (int k = 0; k < 300; k++) {
        struct uh_mark mark = uh_arena_open(arena);
        float *x = uh_arena_alloc(arena, in, sizeof *x);
        draw(&s, in, x);
        most = fmax(most, largest(out, in, jacobian(&z->net, x, pool, arena)));
        uh_arena_release(arena, mark);
    }
    if (!(fabs(most - z->lipschitz) <= 1e-6 * z->lipschitz)) {
        fail_msg("%s: largest Jacobian %.9g, Lipschitz constant %.9g", z->name,
                 most, z->lipschitz);
    }
}

static void the_largest_jacobian_is_the_lipschitz_constant(void **state)
{
    (void)state;
    each(check_lipschitz);
}

static void check_pairs(const struct uh_zoo *z, struct uh_pool *pool,
                        struct uh_arena *arena)
{
    size_t in = uh_shape_size(z->net.in), out = uh_shape_size(z->net.out);
    struct uh_stream s = uh_stream_open("test/zoo/pairs/%s", z->name);
    float *x = uh_arena_alloc(arena, 2 * in, sizeof *x);
    float *y = uh_arena_alloc(arena, 2 * out, sizeof *y);
    for (int k = 0; !isnan(z->lipschitz) && k < 1000; k++) {
        double dx = 0, dy = 0;
        draw(&s, 2 * in, x);
        uh_net_forward(&z->net, pool, 2, x, y);
        for (size_t i = 0; i < in; i++) {
            dx += pow((double)x[i] - (double)x[in + i], 2);
        }
        for (size_t i = 0; i < out; i++) {
            dy += pow((double)y[i] - (double)y[out + i], 2);
        }
        assert_true(sqrt(dy) <= (z->lipschitz + 1e-5) * sqrt(dx) + 1e-5);
    }
}

static void no_pair_is_stretched_by_more(void **state)
{
    (void)state;
    each(check_pairs);
}

static void check_product(const struct uh_zoo *z, struct uh_pool *pool,
                          struct uh_arena *arena)
{
    double product = 1;
    for (size_t i = 0; i < z->net.layers; i++) {
        struct uh_layer layer = z->net.layer[i];
        if (layer.kind != UH_DENSE && layer.kind != UH_CONV) {
            continue;
        }
        size_t in = uh_shape_size(layer.in), out = uh_shape_size(layer.out);
        double *a = uh_arena_alloc(arena, in * out, sizeof *a);
        float *x = uh_arena_alloc(arena, in, sizeof *x);
        float *y = uh_arena_alloc(arena, out, sizeof *y);
        layer.bias = uh_arena_alloc(arena, layer.bias_count, sizeof *y);
        for (size_t j = 0; j < in; j++) {
            x[j] = 1;
            uh_layer_forward(&layer, pool, 1, x, y, NULL);
            x[j] = 0;
            for (size_t o = 0; o < out; o++) {
                a[o * in + j] = (double)y[o];
            }
        }
        product *= largest(out, in, a);
    }
    if (!isnan(z->product) &&
        !(fabs(product - z->product) <= 1e-9 * z->product)) {
        fail_msg("%s: product of the norms %.12g, stated %.12g", z->name,
                 product, z->product);
    }
    assert_true(isnan(z->product) || isnan(z->lipschitz) ||
                z->lipschitz <= z->product);
}

static void the_product_of_the_norms_is_as_stated(void **state)
{
    (void)state;
    each(check_product);
}

/* The sums of even powers of the singular values are the traces of the powers
 * of J'J; six of them, and the count, fix what is stated here. */
static void check_singular(const struct uh_zoo *z, struct uh_pool *pool,
                           struct uh_arena *arena)
{
    size_t n = uh_shape_size(z->net.in), m = uh_shape_size(z->net.out);
    if (z->singulars == SIZE_MAX) {
        return;
    }
    struct uh_stream s = uh_stream_open("test/zoo/singular/%s", z->name);
    float *x = uh_arena_alloc(arena, n, sizeof *x);
    draw(&s, n, x);
    double *j = jacobian(&z->net, x, pool, arena);
    double *square = uh_arena_alloc(arena, n * n, sizeof *square);
    double *power = uh_arena_alloc(arena, n * n, sizeof *power);
    double *next = uh_arena_alloc(arena, n * n, sizeof *next);
    assert_int_equal(z->singulars, n < m ? n : m);
    for (size_t a = 0; a < n * n; a++) {
        for (size_t o = 0; o < m; o++) {
            square[a] += j[o * n + a / n] * j[o * n + a % n];
        }
        power[a] = square[a];
    }
    for (int k = 1; k <= 6; k++) {
        double trace = 0, want = 0;
        size_t rank = 0;
        for (size_t i = 0; i < n; i++) {
            trace += power[i * n + i];
        }
        for (size_t i = 0; i < z->singulars; i++) {
            want += pow(z->singular[i], 2 * k);
            rank += z->singular[i] > 0;
            assert_true(i == 0 || z->singular[i] <= z->singular[i - 1]);
        }
        assert_int_equal(rank, z->rank);
        if (!(fabs(trace - want) <= 1e-12 * want)) {
            fail_msg("%s: trace %.17g, sum of powers %.17g", z->name, trace,
                     want);
        }
        for (size_t a = 0; a < n * n; a++) {
            next[a] = 0;
            for (size_t b = 0; b < n; b++) {
                next[a] += power[a / n * n + b] * square[b * n + a % n];
            }
        }
        memcpy(power, next, n * n * sizeof *power);
    }
}

static void the_singular_values_have_the_right_power_sums(void **state)
{
    (void)state;
    each(check_singular);
}

/* Pieces of the line, as runs of equal slope on a fine grid, by the double
 * twin.  Between from - 1 and to + 1 a cell is at most 2^-12 long, and knots
 * of the zoo are farther apart than two of those; dyadic grid points and
 * weights keep slopes apart. */
static size_t count_knots(const struct uh_zoo *z, struct uh_arena *arena)
{
    enum { CELLS = 1 << 16 };
    double from = z->from - 1, step = ldexp(1, -12);
    size_t runs = 0, length = 0, cells = (size_t)((z->to - z->from + 2) / step);
    assert_true(cells <= CELLS);
    struct ref_net ref = ref_net_of(&z->net, 0, arena);
    double *x = uh_arena_alloc(arena, cells + 1, sizeof *x);
    for (size_t i = 0; i <= cells; i++) {
        x[i] = from + (double)i * step;
    }
    double **out = ref_net_forward(&ref, cells + 1, x, arena);
    size_t outs = uh_shape_size(z->net.out);
    const double *y = out[z->net.layers - 1];
    for (size_t i = 0; i < cells; i++) {
        int same = i > 0;
        for (size_t o = 0; same && o < outs; o++) {
            double now = y[(i + 1) * outs + o] - y[i * outs + o];
            double before = y[i * outs + o] - y[(i - 1) * outs + o];
            same = fabs(now - before) <= 1e-9 * (1 + fabs(now));
        }
        length = same ? length + 1 : 1;
        runs += length == 2;
    }
    return runs - 1;
}

static void check_knots(const struct uh_zoo *z, struct uh_pool *pool,
                        struct uh_arena *arena)
{
    (void)pool;
    if (z->knots != SIZE_MAX && count_knots(z, arena) != z->knots) {
        fail_msg("%s: %zu knots found, %zu stated", z->name,
                 count_knots(z, arena), z->knots);
    }
}

static void a_fine_grid_sees_the_stated_number_of_knots(void **state)
{
    (void)state;
    each(check_knots);
}

static void the_extremal_networks_attain_the_bound(void **state)
{
    (void)state;
    const struct {
        const char *name;
        size_t knots;
    } known[] = {{"extremal-3-2", 11},
                 {"extremal-3-3", 15},
                 {"extremal-3-3-2", 47},
                 {"extremal-3-3-3-3", 255},
                 {"extremal-5-4-3-2", 359}};
    struct uh_arena *arena = uh_arena_new();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct uh_zoo z = uh_zoo_named(known[i].name, arena);
        assert_int_equal(z.knots, known[i].knots);
        assert_int_equal(count_knots(&z, arena), known[i].knots);
    }
    const size_t one[] = {1}, two[] = {2}, six[] = {6, 4};
    struct uh_zoo a = uh_zoo_extremal(1, one, arena);
    struct uh_zoo b = uh_zoo_extremal(1, two, arena);
    struct uh_zoo c = uh_zoo_extremal(2, six, arena);
    assert_int_equal(count_knots(&a, arena), 1);
    assert_int_equal(count_knots(&b, arena), 2);
    assert_int_equal(count_knots(&c, arena), 34);
    uh_arena_free(&arena);
}

static void a_sawtooth_is_zero_and_one_in_turn(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    for (size_t t = 1; t <= 12; t++) {
        struct uh_zoo z = uh_zoo_sawtooth(t, arena);
        for (size_t k = 0; k <= (size_t)1 << t; k++) {
            float x = (float)ldexp((double)k, -(int)t), y;
            uh_net_forward(&z.net, pool, 1, &x, &y);
            assert_true(y == (float)(k % 2));
        }
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void check_dead(const struct uh_zoo *z, struct uh_pool *pool,
                       struct uh_arena *arena)
{
    enum { DRAWS = 4000 };
    size_t in = uh_shape_size(z->net.in), dead = 0;
    struct uh_stream s = uh_stream_open("test/zoo/dead/%s", z->name);
    if (z->dead == SIZE_MAX) {
        return;
    }
    float *x = uh_arena_alloc(arena, DRAWS * in, sizeof *x);
    for (size_t i = 0; i < DRAWS * in; i++) {
        x[i] = isnan(z->from)
                   ? (float)(2 * uh_stream_normal(&s))
                   : (float)(z->from - 1 +
                             (z->to - z->from + 2) * uh_stream_uniform(&s));
    }
    struct uh_trace trace = uh_net_trace(&z->net, pool, DRAWS, x, 0, arena);
    for (size_t i = 0; i < z->net.layers; i++) {
        size_t units = uh_shape_size(z->net.layer[i].out);
        for (size_t u = 0; z->net.layer[i].kind == UH_RELU && u < units; u++) {
            int active = 0;
            for (size_t k = 0; k < DRAWS && !active; k++) {
                active = trace.out[i][k * units + u] > 0;
            }
            dead += !active;
        }
    }
    if (dead != z->dead) {
        fail_msg("%s: %zu dead units, %zu stated", z->name, dead, z->dead);
    }
}

static void dead_units_are_those_that_no_input_wakes(void **state)
{
    (void)state;
    each(check_dead);
}

static void the_dead_identity_is_the_identity(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_zoo z = uh_zoo_named("identity-dead", arena);
    struct uh_stream s = uh_stream_open("test/zoo/identity");
    for (int k = 0; k < 1000; k++) {
        float x[2], y[2];
        draw(&s, 2, x);
        uh_net_forward(&z.net, pool, 1, x, y);
        assert_memory_equal(x, y, sizeof x);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void check_distance(const struct uh_zoo *z, struct uh_pool *pool,
                           struct uh_arena *arena)
{
    size_t in = uh_shape_size(z->net.in), out = uh_shape_size(z->net.out);
    if (!z->point) {
        return;
    }
    assert_int_equal(in, 2);
    float *y = uh_arena_alloc(arena, out, sizeof *y);
    uh_net_forward(&z->net, pool, 1, z->point, y);
    size_t class = uh_argmax(out, y), left = 0;
    for (int k = 0; k < 720; k++) { /* directions half a degree apart */
        for (int far = 0; far < 2; far++) {
            double r = z->distance * (far ? 1 + 1e-3 : 1 - 1e-5);
            double angle = k * 3.14159265358979 / 360;
            float x[2] = {(float)((double)z->point[0] + r * cos(angle)),
                          (float)((double)z->point[1] + r * sin(angle))};
            uh_net_forward(&z->net, pool, 1, x, y);
            assert_true(far || uh_argmax(out, y) == class);
            left += uh_argmax(out, y) != class;
        }
    }
    assert_true(left > 0);
}

static void no_other_class_is_nearer_than_stated(void **state)
{
    (void)state;
    each(check_distance);
}

static void every_entry_has_a_name_and_a_theorem(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        struct uh_zoo z = uh_zoo_entry(i, arena);
        assert_true(strlen(z.name) > 0 && strlen(z.theorem) > 20);
        assert_string_equal(uh_zoo_named(z.name, arena).net.arch, z.net.arch);
    }
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_jacobian_is_the_lipschitz_constant),
        cmocka_unit_test(no_pair_is_stretched_by_more),
        cmocka_unit_test(the_product_of_the_norms_is_as_stated),
        cmocka_unit_test(the_singular_values_have_the_right_power_sums),
        cmocka_unit_test(a_fine_grid_sees_the_stated_number_of_knots),
        cmocka_unit_test(the_extremal_networks_attain_the_bound),
        cmocka_unit_test(a_sawtooth_is_zero_and_one_in_turn),
        cmocka_unit_test(dead_units_are_those_that_no_input_wakes),
        cmocka_unit_test(the_dead_identity_is_the_identity),
        cmocka_unit_test(no_other_class_is_nearer_than_stated),
        cmocka_unit_test(every_entry_has_a_name_and_a_theorem),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
