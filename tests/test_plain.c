/* test_plain.c: plain loops against others, and against differences. */
#include "plain.h"
#include "ref_net.h"
#include "stream.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const some[] = {
    "input 1 6 6; conv 3 3 3 pad=1; relu; maxpool 2; conv 4 2 2; leakyrelu "
    "0.1; flatten; dense 5; relu; dense 2",
    "input 2 5 5; mark a; conv 2 3 3 pad=1; batchnorm; relu; conv 2 3 3 pad=1; "
    "add a; relu; meanpool 3 stride=2; flatten; dense 3; tanh; dense 2",
    "input 1 9 9; maxpool 3 stride=2 pad=1; conv 4 2 2 dilation=2; relu; "
    "maxpool 2 stride=1; meanpool 2 ceil=1; flatten; dense 2; sigmoid",
    "input 4 5 5; conv 6 3 3 pad=1; relu; conv 5 3 3 stride=2 pad=1 "
    "dilation=2; relu; flatten; dense 40; relu; dense 3",
    "input 4 4 4; conv 8 3 3 groups=4 pad=1; relu; mark b; conv 4 1 1; from b; "
    "conv 8 3 3 pad=1; relu; add b; mark c; meanpool 3 stride=1 pad=1; cat c; "
    "maxpool 2; flatten; dense 2"};
enum { SOME = sizeof some / sizeof *some };

static struct uh_net random_net(const char *arch, struct uh_stream *s,
                                struct uh_arena *arena)
{
    struct uh_net net = uh_net_make(arch, arena);
    for (size_t i = 0; i < net.parameter_count; i++) {
        net.parameters[i] = 0.5F * (float)uh_stream_normal(s);
    }
    for (size_t i = 0; i < net.state_count; i++) {
        net.state[i] = 0.5F + uh_stream_uniformf(s);
    }
    return net;
}

static double *random_point(const struct uh_net *net, struct uh_stream *s,
                            struct uh_arena *arena)
{
    size_t n = uh_shape_size(net->in);
    double *x = uh_arena_alloc(arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = uh_stream_normal(s);
    }
    return x;
}

static void values_are_those_of_other_plain_loops(void **state)
{
    (void)state;
    for (size_t i = 0; i < 10 * SOME; i++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_stream s = uh_stream_open("test/plain/values/%zu", i);
        struct uh_net net = random_net(some[i % SOME], &s, arena);
        double *a = random_point(&net, &s, arena);
        double *b = random_point(&net, &s, arena);
        size_t n = uh_shape_size(net.in), m = uh_shape_size(net.out);
        double *x = uh_arena_alloc(arena, n, sizeof *x);
        for (size_t j = 0; j < n; j++) {
            x[j] = 0.75 * a[j] + 0.25 * b[j];
        }
        struct ref_net ref = ref_net_of(&net, 0, arena);
        double **out = ref_net_forward(&ref, 1, x, arena);
        struct uh_dual *y = uh_arena_alloc(arena, m, sizeof *y);
        uh_plain(&net, a, b, 0.25, y, NULL, arena);
        for (size_t j = 0; j < m; j++) {
            double want = out[net.layers - 1][j];
            /* a scale of batchnorm is rounded to float by the forward pass */
            assert_true(fabs(y[j].p - want) <=
                        (net.state_count ? 1e-5 : 1e-12) * (1 + fabs(want)));
        }
        uh_arena_free(&arena);
    }
}

static void slopes_are_those_of_differences(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < 10 * SOME; i++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_stream s = uh_stream_open("test/plain/slopes/%zu", i);
        struct uh_net net = random_net(some[i % SOME], &s, arena);
        double *a = random_point(&net, &s, arena);
        double *b = random_point(&net, &s, arena);
        size_t m = uh_shape_size(net.out), n = uh_plain_pattern(&net);
        struct uh_dual *y[3];
        uint32_t *pattern[3];
        for (int k = 0; k < 3; k++) {
            y[k] = uh_arena_alloc(arena, m, sizeof *y[k]);
            pattern[k] = uh_arena_alloc(arena, n, sizeof *pattern[k]);
            assert_int_equal(uh_plain(&net, a, b, 0.5 + (k - 1) * 0x1p-17, y[k],
                                      pattern[k], arena),
                             n);
        }
        size_t bytes = n * sizeof *pattern[0];
        if (memcmp(pattern[0], pattern[2], bytes) == 0) {
            seen++;
            for (size_t j = 0; j < m; j++) {
                double want = (y[2][j].p - y[0][j].p) * 0x1p16;
                assert_true(fabs(y[1][j].s - want) <= 1e-6 * (1 + fabs(want)));
            }
        }
        uh_arena_free(&arena);
    }
    assert_true(seen > 5 * SOME);
}

static void a_pattern_has_signs_and_places(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make("input 1 2 3; maxpool 2 3; relu", arena);
    const double a[6] = {-1, -7, -1, -2, -1, -9}, b[6] = {3, 0, 0, 0, 9, 0};
    uint32_t pattern[2];
    struct uh_dual y;
    assert_int_equal(uh_plain_pattern(&net), 2);
    uh_plain(&net, a, b, 0, &y, pattern, arena);
    assert_int_equal(pattern[0], 0); /* the first of three equal ones */
    assert_int_equal(pattern[1], 0);
    assert_true(y.p == 0 && y.s == 0);
    uh_plain(&net, a, b, 0.5, &y, pattern, arena);
    assert_int_equal(pattern[0], 4);
    assert_int_equal(pattern[1], 1);
    assert_true(y.p == 4 && y.s == 10);
    uh_arena_free(&arena);
}

/* relu(x) - relu(x) + 1 and a dead unit: what counts is the slope, then the
 * offset. */
static void at_infinity_the_slope_comes_first(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net =
        uh_net_make("input 1; dense 3; relu; dense 2; relu; dense 1", arena);
    const float parameters[] = {2, 2, -1, 0, 0, -5, /* 2x, 2x, -x - 5 */
                                1, -1, 0, 0, 0, -1, 1, 3,
                                /* 1, -relu(-x - 5) + 3 */
                                1, 1, 7};
    uint32_t right[5], left[5];
    struct uh_dual y;
    assert_int_equal(net.parameter_count,
                     sizeof parameters / sizeof *parameters);
    memcpy(net.parameters, parameters, sizeof parameters);
    uh_plain(&net, NULL, NULL, HUGE_VAL, &y, right, arena);
    assert_true(y.p == 11 && y.s == 0);
    uh_plain(&net, NULL, NULL, -HUGE_VAL, &y, left, arena);
    assert_true(y.p == 8 && y.s == 0);
    const uint32_t want[2][5] = {{1, 1, 0, 1, 1}, {0, 0, 1, 1, 0}};
    assert_memory_equal(right, want[0], sizeof right);
    assert_memory_equal(left, want[1], sizeof left);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_other_plain_loops),
        cmocka_unit_test(slopes_are_those_of_differences),
        cmocka_unit_test(a_pattern_has_signs_and_places),
        cmocka_unit_test(at_infinity_the_slope_comes_first),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("plain", tests, NULL, NULL) != 0;
}
