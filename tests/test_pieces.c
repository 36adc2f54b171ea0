/* test_pieces.c: knots and changes whose number is known, by proof or because
 * integers say so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"
#include "pieces.h"
#include "pieces_exact.h"
#include "plain.h"
#include "stream.h"
#include "zoo.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct uh_arena *arena;
static struct uh_pool *pool;

static int begin(void **state)
{
    (void)state;
    arena = uh_arena_new();
    pool = uh_pool_open(2);
    return 0;
}

static int end(void **state)
{
    (void)state;
    uh_pool_close(&pool);
    uh_arena_free(&arena);
    return 0;
}

static struct uh_pieces walk(const struct uh_net *net,
                             const struct uh_line *line)
{
    struct uh_pieces p;
    struct uh_error error = {"no error"};
    if (uh_pieces_walk(net, line, pool, arena, &p, &error) != UH_OK) {
        print_error("%s\n", error.text);
        fail();
    }
    return p;
}

static struct uh_pieces on_axis(const struct uh_net *net)
{
    struct uh_line line = {.only_exact = 0};
    return walk(net, &line);
}

static struct uh_pieces on_segment(const struct uh_net *net, const double *a,
                                   const double *b)
{
    struct uh_line line = {.a = a, .b = b};
    return walk(net, &line);
}

/* A network with these numbers as its parameter block. */
static struct uh_net net_with(const char *arch, size_t n, const float *numbers)
{
    struct uh_net net = uh_net_make(arch, arena);
    assert_int_equal(net.parameter_count, n);
    memcpy(net.parameters, numbers, n * sizeof *numbers);
    return net;
}

#define NET(arch, ...)                                                         \
    net_with(arch, sizeof((float[]){__VA_ARGS__}) / sizeof(float),             \
             (float[]){__VA_ARGS__})

/* -- what is what ----------------------------------------------------------- */

static void cancelling_units_are_a_change_and_no_knot(void **state)
{
    (void)state;
    /* relu(x) - relu(x) and relu(x) - relu(-x) = x */
    struct uh_net zero =
        NET("input 1; dense 2; relu; dense 1", 1, 1, 0, 0, 1, -1, 0);
    struct uh_net straight =
        NET("input 1; dense 2; relu; dense 1", 1, -1, 0, 0, 1, -1, 0);
    struct uh_pieces p = on_axis(&zero), q = on_axis(&straight);
    assert_int_equal(p.knots, 0);
    assert_int_equal(p.changes, 1);
    assert_int_equal(q.knots, 0);
    assert_int_equal(q.changes, 1);
}

static void cancelling_units_that_are_rounded_are_no_knot_either(void **state)
{
    (void)state;
    /* 0.1 relu(0.3 x - 0.7) - 0.1 relu(0.3 x - 0.7) behind a rounded layer */
    struct uh_net net = NET("input 1; dense 1; dense 2; relu; dense 1", 0.3f,
                            -0.7f, 0.9f, 0.9f, 0.1f, 0.1f, 0.1f, -0.1f, 0.7f);
    struct uh_pieces p = on_axis(&net);
    assert_int_equal(p.knots, 0);
    assert_int_equal(p.changes, 1);
}

static void a_unit_that_only_touches_zero_is_neither(void **state)
{
    (void)state;
    /* The max of x, -x is 0 at 0 and nowhere less: its relu does nothing, and
     * the only event is the winner's. */
    struct uh_net touch =
        NET("input 1; dense 2; relu; dense 1; relu", 1, -1, 0, 0, 1, 1, 0);
    struct uh_pieces p = on_axis(&touch);
    assert_int_equal(p.knots, 1);
    assert_int_equal(p.changes, 0);
    /* -|x| is 0 at 0 and its relu 0 everywhere; the units below change. */
    struct uh_net below =
        NET("input 1; dense 2; relu; dense 1; relu", 1, -1, 0, 0, -1, -1, 0);
    p = on_axis(&below);
    assert_int_equal(p.knots, 0);
    assert_int_equal(p.changes, 1);
    /* A unit that is 0 at an end of the segment, or all along, does nothing. */
    struct uh_net edge = NET("input 2; dense 2; relu", 1, 0, 0, 1, 0, 0);
    double a[2] = {0, 0}, b[2] = {1, 0}, c[2] = {-1, 0};
    p = on_segment(&edge, a, b);
    assert_int_equal(p.knots + p.changes, 0);
    p = on_segment(&edge, c, a);
    assert_int_equal(p.knots + p.changes, 0);
    p = on_segment(&edge, c, b);
    assert_int_equal(p.knots, 1);
    assert_true(p.position[0] == 0.5);
}

static void knots_closer_than_an_ulp_are_both_counted(void **state)
{
    (void)state;
    /* w (2^20 x - 2^20) + b with w = 2^20: at 1 and, b = -2^-30, 1 + 2^-70 */
    struct uh_net net = NET("input 1; dense 1; dense 2; relu; dense 1", 0x1p20f,
                            -0x1p20f, 0x1p20f, 0x1p20f, 0, -0x1p-30f, 1, 1, 0);
    struct uh_pieces p = on_axis(&net);
    assert_int_equal(p.knots, 2);
    assert_true(p.position[0] == 1 && p.position[1] == 1);
    /* The same where all is rounded: two units of one sum, a hair apart. */
    struct uh_net rounded =
        NET("input 1; dense 1; dense 2; relu; dense 1", 0.1f, -0.3f, 0.7f, 0.7f,
            0.9f, nextafterf(0.9f, 1), 0.3f, 0.9f, 0);
    p = on_axis(&rounded);
    assert_int_equal(p.knots, 2);
}

static void the_first_of_equal_winners_wins(void **state)
{
    (void)state;
    /* Two equal candidates are one; then the third comes. */
    struct uh_net net = NET("input 1 1 3; maxpool 1 3; flatten; dense 1", 1, 0);
    double a[3] = {1, 1, 0}, b[3] = {1, 1, 2};
    struct uh_pieces p = on_segment(&net, a, b);
    assert_int_equal(p.knots, 1);
    assert_int_equal(p.changes, 0);
    assert_true(p.position[0] == 0.5);
    /* Three meet at a point: t, 1 - t and the constant 1/2 below them. */
    double c[3] = {0, 1, 0.5}, d[3] = {1, 0, 0.5};
    p = on_segment(&net, c, d);
    assert_int_equal(p.knots, 1);
    assert_int_equal(p.changes, 0);
    /* 0 and 0, then the second leads, then the first bends unseen: it was the
     * winner while both were 0. */
    struct uh_net part =
        NET("input 1 1 2; relu; maxpool 1 2; flatten; dense 1", 1, 0);
    double e[2] = {-1, -1}, f[2] = {1, 3};
    p = on_segment(&part, e, f);
    assert_int_equal(p.knots, 1);
    assert_int_equal(p.changes, 1);
    assert_true(p.position[0] == 0.25);
}

static void a_slope_of_a_bend_may_be_one(void **state)
{
    (void)state;
    /* leakyrelu 1 is the identity: a change, no knot */
    struct uh_net net = NET("input 1; dense 1; leakyrelu 1", 2, -1);
    struct uh_pieces p = on_axis(&net);
    assert_int_equal(p.knots, 0);
    assert_int_equal(p.changes, 1);
}

static void zero_biases_make_one_event(void **state)
{
    (void)state;
    struct uh_net net =
        uh_net_make("input 1; dense 40; relu; dense 40; relu; dense 3", arena);
    uh_net_init(&net, "test/pieces/zero");
    struct uh_pieces p = on_axis(&net);
    assert_int_equal(p.knots, 1);
    assert_int_equal(p.changes, 0);
    assert_true(p.position[0] == 0);
}

/* relu(f_1 ... f_6 x + 1) - relu(the same in another order), with numbers whose
 * product takes 150 bits; the second bias is off by that much. */
static struct uh_net two_orders(float off)
{
    static const float factor[6] = {0.1f, 0.3f, 0.7f, 0.9f, 1.1f, 1.3f};
    static const size_t order[6] = {4, 2, 5, 0, 3, 1};
    struct uh_net net = uh_net_make("input 1; dense 2; dense 2; dense 2; "
                                    "dense 2; dense 2; dense 2; relu; dense 1",
                                    arena);
    for (size_t k = 0; k < 6; k++) {
        float *w = net.layer[k].weight;
        w[0] = factor[k];
        w[k == 0 ? 1 : 3] = factor[order[k]];
    }
    net.layer[5].bias[0] = 1;
    net.layer[5].bias[1] = 1 + off;
    net.layer[7].weight[0] = 1;
    net.layer[7].weight[1] = -1;
    return net;
}

static void equality_beyond_all_digits_is_equality(void **state)
{
    (void)state;
    struct uh_net same = two_orders(0), other = two_orders(0x1p-20f);
    struct uh_pieces p = on_axis(&same), q = on_axis(&other);
    assert_int_equal(p.knots, 0);
    assert_int_equal(p.changes, 1);
    assert_false(p.exact);
    assert_true(p.asked > 0);
    assert_int_equal(q.knots, 2);
    assert_int_equal(q.changes, 0);
}

static void a_difference_of_equals_has_no_slope(void **state)
{
    (void)state;
    struct uh_net net = uh_net_make("input 1; dense 2; dense 2; dense 2; "
                                    "dense 2; dense 2; dense 2; dense 1; relu",
                                    arena);
    struct uh_net pair = two_orders(0);
    memcpy(net.parameters, pair.parameters,
           net.layer[6].weight_at * sizeof *net.parameters);
    net.layer[6].weight[0] = 1;
    net.layer[6].weight[1] = -1;
    net.layer[6].bias[0] = -1;
    struct uh_pieces p = on_axis(&net);
    assert_int_equal(p.knots + p.changes, 0);
}

/* A unit that bends at 1 + a + b, by three steps of a line. */
static double bend_at(float a, float b, int only_exact)
{
    struct uh_net net =
        NET("input 1; dense 1; dense 1; dense 1; relu", 1, -1, 1, -a, 1, -b);
    struct uh_line line = {.only_exact = only_exact};
    struct uh_pieces p = walk(&net, &line);
    assert_int_equal(p.knots, 1);
    return p.position[0];
}

static void positions_beside_a_midpoint_round_to_their_side(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        assert_true(bend_at(0x1p-53f, 0x1p-110f, exact) == 1 + 0x1p-52);
        assert_true(bend_at(0x1p-53f, -0x1p-110f, exact) == 1);
        assert_true(bend_at(0x1p-53f, 0, exact) == 1);
        assert_true(bend_at(0x1.8p-52f, 0, exact) == 1 + 0x1p-51);
        assert_true(bend_at(0x1.8p-52f, -0x1p-120f, exact) == 1 + 0x1p-52);
        assert_true(bend_at(-0x1p-54f, 0, exact) == 1);
        assert_true(bend_at(-0x1p-54f, -0x1p-130f, exact) == 1 - 0x1p-53);
    }
}

/* -- known by proof ---------------------------------------------------------- */

static void the_zoo_has_the_knots_of_its_theorems(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        struct uh_zoo z = uh_zoo_entry(i, arena);
        if (z.knots == SIZE_MAX) {
            continue;
        }
        struct uh_pieces p = on_axis(&z.net);
        if (p.knots != z.knots) {
            print_error("%s: %zu knots, found %zu\n", z.name, z.knots, p.knots);
        }
        assert_int_equal(p.knots, z.knots);
        for (size_t k = 0; k < p.knots; k++) {
            assert_true(p.position[k] >= z.from && p.position[k] <= z.to);
        }
        seen++;
    }
    assert_true(seen >= 5);
}

static void knots_of_a_sawtooth_are_at_the_multiples_of_its_period(void **state)
{
    (void)state;
    struct uh_zoo z = uh_zoo_sawtooth(16, arena);
    struct uh_pieces p = on_axis(&z.net);
    assert_int_equal(p.knots, 65537);
    assert_true(p.exact);
    for (size_t k = 0; k < p.knots; k++) {
        assert_true(p.position[k] == ldexp((double)k, -16));
    }
}

static void deep_extremal_networks_have_all_knots(void **state)
{
    (void)state;
    size_t width[7] = {3, 3, 3, 3, 3, 3, 3};
    struct uh_zoo z = uh_zoo_extremal(7, width, arena);
    assert_int_equal(on_axis(&z.net).knots, (1 << 14) - 1);
}

/* -- random networks ------------------------------------------------------------ */

static void fill(struct uh_net *net, struct uh_stream *s, int coarse)
{
    for (size_t i = 0; i < net->parameter_count; i++) {
        net->parameters[i] = coarse ? (float)uh_stream_below(s, 9) / 2 - 2
                                    : (float)uh_stream_normal(s);
    }
    for (size_t i = 0; i < net->state_count; i++) {
        net->state[i] = uh_stream_uniformf(s);
    }
}

static const char *const some[] = {
    "input 1 6 6; conv 3 3 3 pad=1; relu; maxpool 2; conv 4 2 2; leakyrelu "
    "0.1; flatten; dense 5; relu; dense 2",
    "input 2 5 5; mark a; conv 2 3 3 pad=1; batchnorm; relu; conv 2 3 3 pad=1; "
    "add a; relu; meanpool 3 stride=2; flatten; dense 3",
    "input 1 9 9; maxpool 3 stride=2 pad=1; conv 4 2 2 dilation=2; relu; "
    "maxpool 2 stride=1; meanpool 2 ceil=1; flatten; dense 2; relu",
    "input 4 5 5; conv 6 3 3 pad=1; relu; conv 5 3 3 stride=2 pad=1 "
    "dilation=2; "
    "relu; flatten; dense 40; relu; dense 3",
    "input 40; dense 60; relu; dense 50; relu; dense 3",
    "input 1 4 4; relu; meanpool 3 stride=2 ceil=1; maxpool 2; flatten; dense "
    "2",
    "input 1 4 4; mark a; meanpool 3 stride=1 pad=1; add a; relu; meanpool 2 "
    "stride=1; maxpool 3; flatten; dense 1",
    "input 4 4 4; conv 8 3 3 groups=4 pad=1; relu; mark b; conv 4 1 1; from b; "
    "conv 8 3 3 pad=1; relu; add b; maxpool 2; flatten; dense 2",
    "input 2 4 4; conv 3 3 3 pad=1; relu; mark s; meanpool 3 stride=1 pad=1; "
    "mark b; from s; conv 2 3 3 pad=1; relu; cat b; conv 4 1 1; relu; maxpool "
    "2; mark d; leakyrelu 0.25; mark e; from d; meanpool 3 stride=1 pad=1; cat "
    "e; cat e; flatten; dense 4; relu; dense 2"};
enum { SOME = sizeof some / sizeof *some };

static double *random_point(const struct uh_net *net, struct uh_stream *s,
                            int coarse)
{
    size_t n = uh_shape_size(net->in);
    double *x = uh_arena_alloc(arena, n, sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = coarse ? (double)uh_stream_below(s, 5) - 2 : uh_stream_normal(s);
    }
    return x;
}

static void assert_same(const struct uh_pieces *p, const struct uh_pieces *q)
{
    assert_int_equal(p->knots, q->knots);
    assert_int_equal(p->changes, q->changes);
    assert_int_equal(
        memcmp(p->position, q->position, p->knots * sizeof *p->position), 0);
}

static void integers_alone_find_the_same(void **state)
{
    (void)state;
    size_t knots = 0;
    for (size_t i = 0; i < 3 * SOME; i++) {
        struct uh_stream s = uh_stream_open("test/pieces/random/%zu", i);
        int coarse = i < SOME;
        struct uh_net net = uh_net_make(some[i % SOME], arena);
        fill(&net, &s, coarse);
        struct uh_line line = {.a = random_point(&net, &s, coarse),
                               .b = random_point(&net, &s, coarse)};
        struct uh_pieces p = walk(&net, &line);
        line.only_exact = 1;
        struct uh_pieces q = walk(&net, &line);
        assert_same(&p, &q);
        assert_true(q.exact);
        knots += p.knots;
    }
    assert_true(knots > 300);
}

static void threads_and_parts_change_nothing(void **state)
{
    (void)state;
    struct uh_pool *one = uh_pool_open(1), *three = uh_pool_open(3);
    struct uh_line axis = {.only_exact = 0};
    struct uh_net net = uh_net_make(
        "input 1; dense 30; relu; dense 30; relu; dense 30; relu; dense 2",
        arena);
    struct uh_stream s = uh_stream_open("test/pieces/threads");
    fill(&net, &s, 0);
    struct uh_pieces p, q;
    struct uh_error error;
    assert_int_equal(uh_pieces_walk(&net, &axis, one, arena, &p, &error),
                     UH_OK);
    assert_int_equal(uh_pieces_walk(&net, &axis, three, arena, &q, &error),
                     UH_OK);
    assert_true(p.knots > 60);
    assert_same(&p, &q);
    assert_int_equal(p.work, q.work);
    assert_int_equal(p.asked, q.asked);
    assert_true(p.work > p.knots);
    /* Two halves of a segment have together what the whole has, its middle
     * being no knot. */
    double a = -3, b = 5, middle = 1;
    struct uh_pieces whole = on_segment(&net, &a, &b);
    struct uh_pieces left = on_segment(&net, &a, &middle);
    struct uh_pieces right = on_segment(&net, &middle, &b);
    assert_int_equal(whole.knots, left.knots + right.knots);
    assert_int_equal(whole.changes, left.changes + right.changes);
    for (size_t k = 0; k < left.knots; k++) {
        assert_true(fabs(left.position[k] / 2 - whole.position[k]) < 1e-15);
    }
    struct uh_pieces back = on_segment(&net, &b, &a);
    assert_int_equal(back.knots, whole.knots);
    for (size_t k = 0; k < back.knots; k++) {
        double t = 1 - whole.position[whole.knots - 1 - k];
        assert_true(fabs(back.position[k] - t) < 1e-15);
    }
    uh_pool_close(&one);
    uh_pool_close(&three);
}

/* What the trace says of piece k, in its middle, against plain loops. */
static void check_map(const struct uh_net *net, const struct uh_line *line,
                      const struct uh_pieces *p, size_t k)
{
    size_t n = uh_shape_size(net->out), events = p->knots + p->changes;
    struct uh_dual *y = uh_arena_alloc(arena, n, sizeof *y);
    double from = k > 0 ? p->event[k - 1] : 0;
    double to = k < events ? p->event[k] : 1, t = from + (to - from) / 2;
    int bends = 0;
    uh_plain(net, line->a, line->b, t, y, NULL, arena);
    for (size_t i = 0; i < n; i++) {
        const double *map = p->map + 2 * (k * n + i);
        double size = 1 + fabs(map[0]) + fabs(map[1]);
        assert_true(fabs(map[0] + map[1] * t - y[i].p) <= 1e-10 * size);
        assert_true(to - from < 1e-9 || fabs(map[1] - y[i].s) <= 1e-10 * size);
        bends |= k > 0 && map[1] != (map - 2 * n)[1];
    }
    assert_int_equal(bends, k > 0 && p->is_knot[k - 1]);
}

static void a_trace_lists_both_kinds_and_the_maps_between(void **state)
{
    (void)state;
    size_t changes = 0;
    for (size_t i = 0; i < 3 * SOME; i++) {
        struct uh_stream s = uh_stream_open("test/pieces/trace/%zu", i);
        struct uh_net net = uh_net_make(some[i % SOME], arena);
        fill(&net, &s, i < SOME);
        struct uh_line line = {.a = random_point(&net, &s, i < SOME),
                               .b = random_point(&net, &s, i < SOME)};
        struct uh_pieces p = walk(&net, &line);
        assert_null(p.event);
        assert_null(p.map);
        line.trace = 1;
        struct uh_pieces q = walk(&net, &line);
        assert_same(&p, &q);
        size_t knots = 0, events = q.knots + q.changes;
        for (size_t k = 0; k < events; k++) {
            assert_true(k == 0 || q.event[k] >= q.event[k - 1]);
            if (q.is_knot[k]) {
                assert_true(q.event[k] == q.position[knots++]);
            }
        }
        assert_int_equal(knots, q.knots);
        for (size_t k = 0; i >= SOME && k <= events; k++) {
            check_map(&net, &line, &q, k);
        }
        changes += q.changes;
    }
    assert_true(changes > 30);
}

/* Between two knots second differences vanish; at a knot they do not. */
static void the_network_is_straight_between_knots(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/pieces/straight");
    struct uh_net net =
        uh_net_make("input 1; dense 8; relu; dense 8; relu; dense 1", arena);
    fill(&net, &s, 0);
    struct uh_pieces p = on_axis(&net);
    assert_true(p.knots > 8);
    for (size_t k = 0; k + 1 < p.knots; k++) {
        double a = p.position[k], b = p.position[k + 1], h = (b - a) / 8;
        float x[3] = {(float)(a + h), (float)(a + 4 * h), (float)(b - h)}, y[3];
        if (h < 1e-2) {
            continue;
        }
        uh_net_forward(&net, pool, 3, x, y);
        double part =
            ((double)x[1] - (double)x[0]) / ((double)x[2] - (double)x[0]);
        double want = (double)y[0] + part * ((double)y[2] - (double)y[0]);
        double size = fabs((double)y[0]) + fabs((double)y[2]) + 100;
        assert_true(fabs((double)y[1] - want) < 1e-5 * size);
    }
}

/* -- what is refused, how a number is rounded -------------------------------------- */

static void what_is_not_piecewise_linear_is_refused(void **state)
{
    (void)state;
    static const char *const words[] = {"tanh", "sigmoid", "softplus", "elu 1",
                                        "lrn 3"};
    for (size_t i = 0; i < 5; i++) {
        struct uh_net net = uh_net_make(
            uh_arena_format(arena, "input 1; dense 2; %s; dense 1", words[i]),
            arena);
        struct uh_line axis = {.only_exact = 0};
        struct uh_pieces p;
        struct uh_error error;
        assert_int_equal(uh_pieces_walk(&net, &axis, pool, arena, &p, &error),
                         UH_BAD_INPUT);
        assert_non_null(strstr(error.text, "layer 1: expected a piecewise"));
    }
}

static void an_axis_needs_one_input_and_ends_are_finite(void **state)
{
    (void)state;
    struct uh_net net = uh_net_make("input 2; dense 2; relu", arena);
    struct uh_line line = {.only_exact = 0};
    struct uh_pieces p;
    struct uh_error error;
    assert_int_equal(uh_pieces_walk(&net, &line, pool, arena, &p, &error),
                     UH_BAD_INPUT);
    double a[2] = {0, (double)NAN}, b[2] = {1, 1};
    line.a = a;
    line.b = b;
    assert_int_equal(uh_pieces_walk(&net, &line, pool, arena, &p, &error),
                     UH_NOT_FINITE);
}

static void positions_are_the_nearest_doubles(void **state)
{
    (void)state;
    /* relu(w x + b) bends at -b / w: one division, correctly rounded. */
    struct uh_stream s = uh_stream_open("test/pieces/nearest");
    for (int i = 0; i < 2000; i++) {
        float w = (float)uh_stream_normal(&s), b = (float)uh_stream_normal(&s);
        if (i % 4 == 0) { /* near the ends of what float32 holds */
            w = ldexpf(w, -130);
            b = ldexpf(b, i % 8 ? 100 : -135);
        }
        struct uh_mark mark = uh_arena_open(arena);
        struct uh_net net = NET("input 1; dense 1; relu", w, b);
        struct uh_line line = {.only_exact = i % 2};
        struct uh_pieces p = walk(&net, &line);
        assert_int_equal(p.knots, 1);
        assert_true(p.position[0] == -(double)b / (double)w);
        uh_arena_release(arena, mark);
    }
}

/* (x + y) / z in long division against the processor, down to the least. */
static void integers_round_as_the_processor_divides(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/pieces/divide");
    for (int i = 0; i < 4000; i++) {
        double wide[2] = {uh_stream_normal(&s), uh_stream_normal(&s)};
        int e = (int)uh_stream_below(&s, 2100) - 1050;
        wide[0] = ldexp(wide[0], -e / 2);
        wide[1] = ldexp(wide[1], e - e / 2);
        if (i % 16 == 0) {
            wide[0] = 3;
            wide[1] = ldexp(1 + floor(9 * fabs(uh_stream_normal(&s))), -1074);
        }
        double want = -wide[1] / wide[0];
        struct uh_mark mark = uh_arena_open(arena);
        struct uh_net net = uh_net_make("input 1; dense 1; relu", arena);
        struct uh_line line = {.wide = wide, .only_exact = 1};
        if (fabs(want) < 0x1p999) {
            struct uh_pieces p = walk(&net, &line);
            assert_int_equal(p.knots, 1);
            assert_true(p.position[0] == want);
            line.only_exact = 0;
            p = walk(&net, &line);
            assert_int_equal(p.knots, 1);
            assert_true(p.position[0] == want);
        }
        uh_arena_release(arena, mark);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancelling_units_are_a_change_and_no_knot),
        cmocka_unit_test(cancelling_units_that_are_rounded_are_no_knot_either),
        cmocka_unit_test(a_unit_that_only_touches_zero_is_neither),
        cmocka_unit_test(knots_closer_than_an_ulp_are_both_counted),
        cmocka_unit_test(the_first_of_equal_winners_wins),
        cmocka_unit_test(a_slope_of_a_bend_may_be_one),
        cmocka_unit_test(zero_biases_make_one_event),
        cmocka_unit_test(equality_beyond_all_digits_is_equality),
        cmocka_unit_test(a_difference_of_equals_has_no_slope),
        cmocka_unit_test(positions_beside_a_midpoint_round_to_their_side),
        cmocka_unit_test(the_zoo_has_the_knots_of_its_theorems),
        cmocka_unit_test(
            knots_of_a_sawtooth_are_at_the_multiples_of_its_period),
        cmocka_unit_test(deep_extremal_networks_have_all_knots),
        cmocka_unit_test(integers_alone_find_the_same),
        cmocka_unit_test(threads_and_parts_change_nothing),
        cmocka_unit_test(a_trace_lists_both_kinds_and_the_maps_between),
        cmocka_unit_test(the_network_is_straight_between_knots),
        cmocka_unit_test(what_is_not_piecewise_linear_is_refused),
        cmocka_unit_test(an_axis_needs_one_input_and_ends_are_finite),
        cmocka_unit_test(positions_are_the_nearest_doubles),
        cmocka_unit_test(integers_round_as_the_processor_divides),
    };
    uh_lane_check();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, begin, end) != 0;
}
