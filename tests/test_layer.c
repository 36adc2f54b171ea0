/* test_layer.c: every kind of layer against its naive twins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"
#include "layer_norm.h"
#include "mat.h"
#include "ref_net.h"
#include "stream.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One-layer networks, odd shapes on purpose. */
static const char *const kinds[] = {
    "input 7; dense 5",
    "input 1; dense 1",
    "input 37; dense 130",
    "input 1 9 8; conv 3 5 5",
    "input 3 9 8; conv 5 3 2 stride=2",
    "input 3 7 8; conv 4 3 3 pad=1",
    "input 4 9 11; conv 6 3 2 stride=2 pad=2 dilation=2 groups=2",
    "input 6 5 5; conv 6 3 3 pad=1 groups=6",
    "input 5 4 3; conv 7 1 1",
    "input 5 5 5; conv 2 1 1 stride=2",
    "input 2 3 3; conv 3 3 3 pad=4",
    "input 2 4 4; conv 3 2 2 stride=3 dilation=3 pad=1",
    "input 1 28 28; conv 32 5 5",
    "input 2 9 9; maxpool 3",
    "input 2 8 9; maxpool 2 3 stride=2",
    "input 3 7 7; maxpool 3 stride=2 pad=1",
    "input 2 7 6; maxpool 3 stride=2 ceil=1",
    "input 2 5 5; maxpool 2 stride=2 pad=1 ceil=1",
    "input 2 9 9; meanpool 3",
    "input 3 7 7; meanpool 3 stride=2 pad=1",
    "input 2 7 6; meanpool 3 stride=2 ceil=1",
    "input 2 6 6; meanpool 3 2 stride=2 pad=1 ceil=1",
    "input 2 3 4; relu",
    "input 2 3 4; leakyrelu 0.01",
    "input 2 3 4; elu 1.5",
    "input 2 3 4; tanh",
    "input 2 3 4; sigmoid",
    "input 2 3 4; softplus",
    "input 3 4 5; batchnorm",
    "input 6; batchnorm eps=0.001",
    "input 2 3 4; flatten",
    "input 5; mark a; add a",
};

enum { KINDS = sizeof kinds / sizeof *kinds, SAMPLES = 5 };

static void fill(struct uh_stream *s, size_t n, float v[])
{
    for (size_t i = 0; i < n; i++) {
        v[i] = (float)uh_stream_normal(s);
    }
}

static double *doubles(struct uh_arena *arena, size_t n, const float v[])
{
    double *d = uh_arena_alloc(arena, n, sizeof *d);
    for (size_t i = 0; i < n; i++) {
        d[i] = (double)v[i];
    }
    return d;
}

/* A network with random parameters (variances positive) and inputs. */
struct scene {
    struct uh_arena *arena;
    struct uh_net net;
    size_t in, out; /* entries of a batch */
    float *x, *dy;
};

static struct scene scene_of(const char *arch)
{
    struct scene s = {.arena = uh_arena_new()};
    struct uh_stream stream = uh_stream_open("test/layer/%s", arch);
    s.net = uh_net_make(arch, s.arena);
    fill(&stream, s.net.parameter_count, s.net.parameters);
    fill(&stream, s.net.state_count, s.net.state);
    for (size_t i = 0; i < s.net.layers; i++) {
        for (size_t c = 0;
             s.net.layer[i].running_var && c < s.net.layer[i].in.channels;
             c++) {
            s.net.layer[i].running_var[c] = 0.5F + uh_stream_uniformf(&stream);
        }
    }
    s.in = SAMPLES * uh_shape_size(s.net.in);
    s.out = SAMPLES * uh_shape_size(s.net.out);
    s.x = uh_arena_alloc(s.arena, s.in, sizeof(float));
    s.dy = uh_arena_alloc(s.arena, s.out, sizeof(float));
    fill(&stream, s.in, s.x);
    fill(&stream, s.out, s.dy);
    return s;
}

static void check_near(const char *arch, const char *what, size_t n,
                       const float got[], const double want[],
                       const double bound[])
{
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= bound[i])) {
            fail_msg("%s, %s[%zu]: got %.9g, want %.17g, bound %.3g", arch,
                     what, i, (double)got[i], want[i], bound[i]);
        }
    }
}

/* Bounds: a sum of n terms computed in float is off by at most
 * (n + 2) u / (1 - (n + 2) u) times the sum of absolute terms (Higham, 2nd
 * ed., (3.5)), which the twin computes from absolute values; the elementary
 * functions are good to 2 ulp, their derivatives to a handful. */
static double *absolute(struct uh_arena *arena, size_t n, const double v[])
{
    double *a = uh_arena_alloc(arena, n, sizeof *a);
    for (size_t i = 0; i < n; i++) {
        a[i] = fabs(v[i]);
    }
    return a;
}

static void scale(size_t n, double v[], double factor, double floor_)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = fabs(v[i]) * factor + floor_;
    }
}

static int is_linear(enum uh_kind kind)
{
    return kind == UH_DENSE || kind == UH_CONV || kind == UH_MEANPOOL;
}

static void check_kind(const char *arch, int training)
{
    struct scene s = scene_of(arch);
    struct uh_pool *pool = uh_pool_open(2);
    const struct uh_layer *layer = &s.net.layer[0];
    size_t p = s.net.parameter_count;
    struct ref_net ref = ref_net_of(&s.net, training, s.arena);
    double *x = doubles(s.arena, s.in, s.x),
           *dy = doubles(s.arena, s.out, s.dy);
    double **out = ref_net_forward(&ref, SAMPLES, x, s.arena);
    double *dp = uh_arena_alloc(s.arena, p, sizeof(double));
    double *dx = uh_arena_alloc(s.arena, s.in, sizeof(double));
    ref_net_backward(&ref, SAMPLES, x, out, dy, dp, dx, s.arena);

    /* The same with absolute values: sums of absolute terms. */
    struct ref_net big = ref;
    big.parameters = absolute(s.arena, p, ref.parameters);
    double *by = absolute(s.arena, s.out, out[s.net.layers - 1]);
    double *bp = absolute(s.arena, p, dp), *bx = absolute(s.arena, s.in, dx);
    size_t terms = SAMPLES * uh_shape_size(layer->out) + layer->weight_count +
                   layer->kernel[0] * layer->kernel[1];
    double u = (double)FLT_EPSILON / 2;
    if (is_linear(layer->kind)) {
        double *ax = absolute(s.arena, s.in, x);
        double **a = ref_net_forward(&big, SAMPLES, ax, s.arena);
        ref_net_backward(&big, SAMPLES, ax, a, absolute(s.arena, s.out, dy), bp,
                         bx, s.arena);
        by = a[0];
    }
    double factor = is_linear(layer->kind) ? (double)(terms + 2) * u : 16 * u;
    if (layer->kind == UH_BATCHNORM) {
        factor = 64 * u; /* conditioned by 1/sqrt(variance), about 2 here */
    }
    /* Entries of order 1 cancel in batchnorm and beside the kinks. */
    scale(s.out, by, factor, 16 * u);
    scale(p, bp, factor, 64 * u);
    scale(s.in, bx, factor, 64 * u);

    struct uh_trace trace =
        uh_net_trace(&s.net, pool, SAMPLES, s.x, training, s.arena);
    float *gp = uh_arena_alloc(s.arena, p, sizeof(float));
    float *gx = uh_arena_alloc(s.arena, s.in, sizeof(float));
    uh_net_backward(&s.net, pool, &trace, s.dy, gp, gx);
    check_near(arch, "y", s.out, trace.out[s.net.layers - 1],
               out[s.net.layers - 1], by);
    check_near(arch, "dparameters", p, gp, dp, bp);
    check_near(arch, "dx", s.in, gx, dx, bx);
    uh_pool_close(&pool);
    uh_arena_free(&s.arena);
}

static void every_kind_agrees_with_its_double_twin(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        check_kind(kinds[k], 0);
    }
    check_kind("input 3 4 5; batchnorm", 1);
    check_kind("input 6; batchnorm eps=0.001", 1);
}

static void dense_and_conv_are_the_promised_chains_bit_for_bit(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct scene s = scene_of(kinds[k]);
        const struct uh_layer *l = &s.net.layer[0];
        for (size_t threads = 1;
             threads <= 3 && (l->kind == UH_DENSE || l->kind == UH_CONV);
             threads++) {
            struct uh_pool *pool = uh_pool_open(threads);
            float *y = uh_arena_alloc(s.arena, s.out, sizeof *y);
            float *ry = uh_arena_alloc(s.arena, s.out, sizeof *y);
            float *dx = uh_arena_alloc(s.arena, s.in, sizeof *y);
            float *rx = uh_arena_alloc(s.arena, s.in, sizeof *y);
            float *dw = uh_arena_alloc(s.arena, l->weight_count, sizeof *y);
            float *rw = uh_arena_alloc(s.arena, l->weight_count, sizeof *y);
            dw[0] = rw[0] = 0.75F; /* gradients are added to what is there */
            uh_layer_forward(l, pool, SAMPLES, s.x, y, NULL);
            ref_chain_forward(l, SAMPLES, s.x, ry);
            uh_layer_backward(l, pool, SAMPLES, s.x, y, NULL, s.dy, dw, NULL,
                              dx);
            ref_chain_backward(l, SAMPLES, s.x, s.dy, rw, rx);
            assert_memory_equal(y, ry, s.out * sizeof *y);
            assert_memory_equal(dw, rw, l->weight_count * sizeof *y);
            assert_memory_equal(dx, rx, s.in * sizeof *y);
            uh_pool_close(&pool);
        }
        uh_arena_free(&s.arena);
    }
}

/* -- a convolution and its pool in one ------------------------------------- */

static const char *const pairs[] = {
    "input 1 28 28; conv 32 5 5; maxpool 3",
    "input 32 8 8; conv 64 5 5; maxpool 2",
    "input 1 9 9; conv 3 2 2 pad=1; maxpool 2",
    "input 3 9 8; conv 5 3 2 stride=2; maxpool 2",
    "input 3 7 8; conv 4 3 3 pad=1; maxpool 3 2",
    "input 2 11 10; conv 37 3 3 pad=2; maxpool 1 4",
    "input 17 6 6; conv 33 1 1; maxpool 3",
    "input 1 5 5; conv 2 5 5; maxpool 1",
    "input 5 9 7; conv 7 3 4 pad=1 stride=2; maxpool 2 1",
    "input 40 6 9; conv 3 2 5; maxpool 2",
    "input 11 6 9; conv 3 2 5; maxpool 2",
    "input 23 6 9; conv 18 2 3; maxpool 2",
    "input 6 8 12; conv 9 4 4; maxpool 1 9",
    "input 9 7 7; conv 50 3 3 stride=3 pad=2; maxpool 3",
};

enum { PAIRS = sizeof pairs / sizeof *pairs, MANY = 12 };

struct pair_scene {
    struct scene s;
    const struct uh_layer *conv, *pool;
    size_t in, mid, out; /* entries of the batch */
    float *x, *dy, *want_y, *want_dw, *want_db, *want_dx;
    uint32_t *want_choice;
};

/* What the two naive layers say, one after the other.  Some gradients are 0
 * and some entries equal, as behind a relu. */
static struct pair_scene pair_scene_of(const char *arch, int gray)
{
    struct pair_scene q = {.s = scene_of(arch)};
    struct uh_arena *arena = q.s.arena;
    struct uh_stream stream = uh_stream_open("test/layer/pair/%s", arch);
    q.conv = &q.s.net.layer[0];
    q.pool = &q.s.net.layer[1];
    q.in = MANY * uh_shape_size(q.conv->in);
    q.mid = MANY * uh_shape_size(q.conv->out);
    q.out = MANY * uh_shape_size(q.pool->out);
    q.x = uh_arena_alloc(arena, q.in, sizeof(float));
    q.dy = uh_arena_alloc(arena, q.out, sizeof(float));
    fill(&stream, q.in, q.x);
    fill(&stream, q.out, q.dy);
    for (size_t i = 0; i < q.in; i++) {
        q.x[i] = gray ? 0.5F : i % 7 ? q.x[i] : 0;
    }
    for (size_t i = 0; i < q.out; i++) {
        q.dy[i] = i % 3 == 1 ? (i % 2 ? 0.0F : -0.0F) : q.dy[i];
    }
    float *mid = uh_arena_alloc(arena, q.mid, sizeof *mid);
    float *dmid = uh_arena_alloc(arena, q.mid, sizeof *dmid);
    q.want_y = uh_arena_alloc(arena, q.out, sizeof(float));
    q.want_choice = uh_arena_alloc(arena, q.out, sizeof(uint32_t));
    q.want_dw = uh_arena_alloc(arena, q.conv->weight_count, sizeof(float));
    q.want_db = uh_arena_alloc(arena, q.conv->bias_count, sizeof(float));
    q.want_dx = uh_arena_alloc(arena, q.in, sizeof(float));
    ref_chain_forward(q.conv, MANY, q.x, mid);
    ref_max_forward(q.pool, MANY, mid, q.want_y, q.want_choice);
    size_t windows = q.pool->out.height * q.pool->out.width;
    for (size_t i = 0; i < q.out; i++) {
        size_t plane = q.conv->out.height * q.conv->out.width;
        dmid[i / windows * plane + q.want_choice[i]] += q.dy[i];
    }
    q.want_dw[0] = 0.75F; /* gradients are added to what is there */
    q.want_db[0] = -0.5F;
    ref_chain_backward(q.conv, MANY, q.x, dmid, q.want_dw, q.want_dx);
    ref_chain_bias(q.conv, MANY, dmid, q.want_db);
    return q;
}

static void check_pair(const struct pair_scene *q, struct uh_pool *pool)
{
    struct uh_arena *arena = q->s.arena;
    struct uh_mark mark = uh_arena_open(arena);
    float *y = uh_arena_alloc(arena, q->out, sizeof *y);
    uint32_t *choice = uh_arena_alloc(arena, q->out, sizeof *choice);
    float *dw = uh_arena_alloc(arena, q->conv->weight_count, sizeof *dw);
    float *db = uh_arena_alloc(arena, q->conv->bias_count, sizeof *db);
    float *dx = uh_arena_alloc(arena, q->in, sizeof *dx);
    dw[0] = 0.75F;
    db[0] = -0.5F;
    dx[0] = 7; /* written, not added to */
    uh_layer_joined_forward(q->conv, q->pool, pool, MANY, q->x, y, NULL);
    assert_memory_equal(y, q->want_y, q->out * sizeof *y);
    uh_layer_joined_forward(q->conv, q->pool, pool, MANY, q->x, y, choice);
    uh_layer_joined_backward(q->conv, q->pool, pool, MANY, q->x, choice, q->dy,
                             dw, db, NULL);
    uh_layer_joined_backward(q->conv, q->pool, pool, MANY, q->x, choice, q->dy,
                             NULL, NULL, dx);
    assert_memory_equal(y, q->want_y, q->out * sizeof *y);
    assert_memory_equal(choice, q->want_choice, q->out * sizeof *choice);
    assert_memory_equal(dw, q->want_dw, q->conv->weight_count * sizeof *dw);
    assert_memory_equal(db, q->want_db, q->conv->bias_count * sizeof *db);
    assert_memory_equal(dx, q->want_dx, q->in * sizeof *dx);
    uh_arena_release(arena, mark);
}

static void a_pair_in_one_has_the_bits_of_both_layers(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * PAIRS; k++) {
        struct pair_scene q = pair_scene_of(pairs[k / 2], k % 2);
        assert_true(uh_layer_joins(q.conv, q.pool));
        for (int kernel = UH_KERNEL_PORTABLE; kernel <= UH_KERNEL_AVX512;
             kernel++) {
            if (!uh_kernel_runs((enum uh_kernel)kernel)) {
                continue;
            }
            setenv("UH_KERNEL", uh_kernel_name((enum uh_kernel)kernel), 1);
            for (size_t threads = 1; threads <= 3; threads += 2) {
                struct uh_pool *pool = uh_pool_open(threads);
                check_pair(&q, pool);
                uh_pool_close(&pool);
            }
        }
        unsetenv("UH_KERNEL");
        uh_arena_free(&q.s.arena);
    }
}

static void a_pair_that_does_not_fit_is_not_joined(void **state)
{
    (void)state;
    const char *const others[] = {
        "input 1 9 9; conv 2 2 2; relu; maxpool 2",
        "input 1 9 9; conv 2 2 2; meanpool 2",
        "input 1 9 9; conv 2 2 2; maxpool 2 stride=1",
        "input 1 9 9; conv 2 2 2; maxpool 2 pad=1",
        "input 1 9 9; conv 2 3 3; maxpool 2 ceil=1",
        "input 2 9 9; conv 2 2 2 groups=2; maxpool 2",
        "input 2 9 9; conv 2 2 2 dilation=2; maxpool 2",
        "input 1 9 9; conv 2 2 2; maxpool 2 5",
        "input 1 9 9; maxpool 2; maxpool 2",
    };
    struct uh_arena *arena = uh_arena_new();
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        struct uh_net net = uh_net_make(others[k], arena);
        if (uh_layer_joins(&net.layer[0], &net.layer[1])) {
            fail_msg("%s is joined", others[k]);
        }
    }
    uh_arena_free(&arena);
}

static void a_sample_alone_gives_the_same_bits_as_in_a_batch(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        struct scene s = scene_of(kinds[k]);
        struct uh_pool *one = uh_pool_open(1), *three = uh_pool_open(3);
        float *all = uh_arena_alloc(s.arena, s.out, sizeof *all);
        float *alone = uh_arena_alloc(s.arena, s.out, sizeof *all);
        uh_net_forward(&s.net, three, SAMPLES, s.x, all);
        for (size_t i = 0; i < SAMPLES; i++) {
            uh_net_forward(&s.net, one, 1, s.x + i * (s.in / SAMPLES),
                           alone + i * (s.out / SAMPLES));
        }
        assert_memory_equal(all, alone, s.out * sizeof *all);
        uh_pool_close(&one);
        uh_pool_close(&three);
        uh_arena_free(&s.arena);
    }
}

static void a_maximum_goes_to_the_first_of_equals(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make("input 1 2 2; maxpool 2", arena);
    const float x[4] = {1, 3, 3, 3}, dy[1] = {1}, want[4] = {0, 1, 0, 0};
    float dx[4];
    struct uh_trace trace = uh_net_trace(&net, pool, 1, x, 0, arena);
    uh_net_backward(&net, pool, &trace, dy, NULL, dx);
    assert_true(trace.out[0][0] == 3);
    assert_memory_equal(dx, want, sizeof want);
    /* On a gray image every window's winner is its first entry. */
    net = uh_net_make("input 1 6 11; maxpool 3 2", arena);
    float *gray = uh_arena_alloc(arena, 66, sizeof *gray);
    trace = uh_net_trace(&net, pool, 1, gray, 0, arena);
    for (uint32_t o = 0; o < 10; o++) {
        assert_int_equal(trace.notes[0].choice[o], o / 5 * 33 + o % 5 * 2);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void
relu_is_zero_at_and_below_zero_and_has_slope_zero_there(void **state)
{
    (void)state;
    const float x[] = {0, -0.0F, -1, 2, NAN, -INFINITY, INFINITY, 1e-45F, 3};
    const float want[] = {0, 0, 0, 2, NAN, 0, INFINITY, 1e-45F, 3};
    enum { COUNT = sizeof x / sizeof *x };
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    for (size_t n = 1; n <= COUNT; n++) {
        struct uh_net net =
            uh_net_make(uh_arena_format(arena, "input %zu; relu", n), arena);
        float y[COUNT + 1], dx[COUNT + 1], dy[COUNT];
        y[n] = dx[n] = 7; /* not to be touched */
        for (size_t i = 0; i < n; i++) {
            dy[i] = (float)i + 1;
        }
        uh_layer_forward(&net.layer[0], pool, 1, x, y, NULL);
        uh_layer_backward(&net.layer[0], pool, 1, x, y, NULL, dy, NULL, NULL,
                          dx);
        assert_memory_equal(y, want, n * sizeof *y);
        for (size_t i = 0; i < n; i++) {
            assert_true(dx[i] == (want[i] > 0 ? dy[i] : 0));
        }
        assert_true(y[n] == 7 && dx[n] == 7);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* Where the NaN of one place of a 9 x 9 image goes; shift is the padding. */
static void assert_found(const struct uh_net *net, size_t shift)
{
    enum { WIDE = 9, COUNT = WIDE * WIDE, MOST = 16 };
    struct uh_pool *pool = uh_pool_open(1);
    size_t across = net->out.width;
    for (size_t i = 0; i < COUNT; i++) {
        float x[COUNT] = {[COUNT / 2] = 1}, y[MOST];
        x[i] = NAN;
        uh_net_forward(net, pool, 1, x, y);
        size_t window =
            (i / WIDE + shift) / 3 * across + (i % WIDE + shift) / 3;
        for (size_t o = 0; o < across * across; o++) {
            assert_true((isnan(y[o]) != 0) == (o == window));
        }
    }
    uh_pool_close(&pool);
}

/* Windows inside the image, windows beyond it, and behind a convolution. */
static void maximum_of_a_nan_is_one(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net joined =
        uh_net_make("input 1 9 9; conv 1 1 1; maxpool 3", arena);
    joined.parameters[0] = 1;
    for (int kernel = UH_KERNEL_PORTABLE; kernel <= UH_KERNEL_AVX512;
         kernel++) {
        if (uh_kernel_runs((enum uh_kernel)kernel)) {
            setenv("UH_KERNEL", uh_kernel_name((enum uh_kernel)kernel), 1);
            assert_found(&joined, 0);
        }
    }
    unsetenv("UH_KERNEL");
    struct uh_net inside = uh_net_make("input 1 9 9; maxpool 3", arena);
    struct uh_net beyond =
        uh_net_make("input 1 9 9; maxpool 3 pad=1 ceil=1", arena);
    assert_found(&inside, 0);
    assert_found(&beyond, 1);
    uh_arena_free(&arena);
}

static void padding_never_wins_and_counts_as_zeros_in_a_mean(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    const float x[4] = {-1, -2, -3, -4};
    float y[4];
    struct uh_net most = uh_net_make("input 1 2 2; maxpool 2 pad=1", arena);
    struct uh_net mean = uh_net_make("input 1 2 2; meanpool 2 pad=1", arena);
    uh_net_forward(&most, pool, 1, x, y);
    for (size_t i = 0; i < 4; i++) {
        assert_true(y[i] == x[i]);
    }
    uh_net_forward(&mean, pool, 1, x, y);
    for (size_t i = 0; i < 4; i++) {
        assert_true(y[i] == x[i] / 4);
    }
    /* Ceiling mode: the last window of 3 columns is one column wide, and the
     * mean divides by what exists. */
    struct uh_net ceiling =
        uh_net_make("input 1 1 3; meanpool 1 2 ceil=1", arena);
    const float row[3] = {2, 4, 8};
    uh_net_forward(&ceiling, pool, 1, row, y);
    assert_true(y[0] == 3 && y[1] == 8);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void running_statistics_follow_the_batches(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make("input 1; batchnorm", arena);
    const float x[4] = {1, 3, 5, 7}; /* mean 4, unbiased variance 20/3 */
    struct uh_trace trace = uh_net_trace(&net, pool, 4, x, 1, arena);
    uh_layer_norm_update(&net.layer[0], 4, &trace.notes[0]);
    assert_true(fabs((double)net.layer[0].running_mean[0] - 0.4) < 1e-7);
    assert_true(fabs((double)net.layer[0].running_var[0] - (0.9 + 2.0 / 3)) <
                1e-6);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_agrees_with_its_double_twin),
        cmocka_unit_test(dense_and_conv_are_the_promised_chains_bit_for_bit),
        cmocka_unit_test(a_pair_in_one_has_the_bits_of_both_layers),
        cmocka_unit_test(a_pair_that_does_not_fit_is_not_joined),
        cmocka_unit_test(a_sample_alone_gives_the_same_bits_as_in_a_batch),
        cmocka_unit_test(a_maximum_goes_to_the_first_of_equals),
        cmocka_unit_test(
            relu_is_zero_at_and_below_zero_and_has_slope_zero_there),
        cmocka_unit_test(maximum_of_a_nan_is_one),
        cmocka_unit_test(padding_never_wins_and_counts_as_zeros_in_a_mean),
        cmocka_unit_test(running_statistics_follow_the_batches),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
