/* test_opnorm.c: norms of layers, from below and from above. */
#include "opnorm.h"
#include "opnorm_parts.h"
#include "ref_opnorm.h"
#include "scratch.h"
#include "stream.h"
#include "zoo.h"

#include <lapacke.h>
#include <math.h>

/* A network whose weights are uniform in +-1. */
static struct uh_net made(struct state *s, const char *arch, const char *name)
{
    struct uh_net net = uh_net_make(arch, s->arena);
    struct uh_stream stream = uh_stream_open("test/opnorm/%s", name);
    for (size_t i = 0; i < net.layers; i++) {
        for (size_t j = 0; j < net.layer[i].weight_count; j++) {
            net.layer[i].weight[j] = 2 * uh_stream_uniformf(&stream) - 1;
        }
    }
    return net;
}

static struct uh_opnorm norm_of(struct state *s, const struct uh_layer *layer)
{
    const struct uh_opnorm_options options = {.stream = "test"};
    return uh_opnorm_layer(layer, NULL, &options, s->pool, s->arena);
}

static struct uh_layer dense_of(struct state *s, size_t m, size_t n,
                                const double *w)
{
    char arch[64];
    snprintf(arch, sizeof arch, "input %zu; dense %zu", n, m);
    struct uh_net net = uh_net_make(arch, s->arena);
    for (size_t i = 0; i < m * n; i++) {
        net.layer[0].weight[i] = (float)w[i];
    }
    return net.layer[0];
}

static const char *const shapes[] = {
    "input 1; dense 1",
    "input 7; dense 3",
    "input 3; dense 7",
    "input 50; dense 30",
    "input 70; dense 200",
    "input 1 1 1; conv 1 1 1",
    "input 1 5 4; conv 1 3 3 pad=1",
    "input 2 6 7; conv 3 3 3",
    "input 3 9 8; conv 5 3 3 stride=2 pad=1",
    "input 3 15 14; conv 6 5 3 stride=4 pad=2",
    "input 2 9 9; conv 4 1 1 stride=2",
    "input 2 8 9; conv 3 3 2 dilation=2 pad=1",
    "input 1 11 10; conv 3 3 3 dilation=3 stride=2 pad=4",
    "input 4 6 6; conv 6 3 3 groups=2 pad=1",
    "input 6 7 7; conv 6 3 3 groups=6 pad=1",
    "input 5 4 4; conv 7 4 4",
    "input 2 3 3; conv 3 5 5 pad=2",
    "input 3 16 16; conv 24 5 5 pad=2",
    "input 2 8 8; meanpool 2",
    "input 2 9 9; meanpool 3 stride=2",
    "input 1 7 8; meanpool 3 2 stride=2 pad=1 ceil=1",
    "input 3 6 6; meanpool 6",
};

static void the_bounds_enclose_what_lapack_finds(void **state)
{
    struct state *s = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct uh_net net = made(s, shapes[i], shapes[i]);
        const struct uh_layer *layer = &net.layer[0];
        const size_t n = uh_shape_size(net.in), m = uh_shape_size(net.out);
        double *a = ref_opnorm_matrix(layer, NULL);
        double *sigma = ref_opnorm_singular(m, n, a);
        struct uh_opnorm norm = norm_of(s, layer);
        const double slack = 1e-12 * sigma[0];
        if (!(norm.lower <= sigma[0] + slack &&
              norm.upper >= sigma[0] - slack &&
              norm.upper_proved >= sigma[0] - slack &&
              norm.upper <= norm.lower * (1 + 1e-6))) {
            fail_msg("%s: %.17g: lower %.17g, upper %.17g, proved %.17g",
                     shapes[i], sigma[0], norm.lower, norm.upper,
                     norm.upper_proved);
        }
        assert_true(norm.linear && norm.dim == n);
        const double gain = ref_opnorm_gain(m, n, a, norm.vector);
        assert_true(gain >= norm.lower && gain <= norm.lower * (1 + 1e-9));
        const double again = uh_opnorm_gain(layer, NULL, s->pool, norm.vector);
        assert_true(again <= gain && again >= gain * (1 - 1e-9));
        free(sigma);
        free(a);
    }
}

static void a_scale_of_the_outputs_counts(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 9; dense 5", "input 3 6 6; conv 5 3 3 pad=1 stride=2"};
    const float scale[5] = {0.5f, -3, 0, 1e-3f, 1.7f};
    const struct uh_opnorm_options options = {.stream = "scaled"};
    for (size_t i = 0; i < 2; i++) {
        struct uh_net net = made(s, arch[i], "scale");
        const size_t n = uh_shape_size(net.in), m = uh_shape_size(net.out);
        double *a = ref_opnorm_matrix(&net.layer[0], scale);
        double *sigma = ref_opnorm_singular(m, n, a);
        struct uh_opnorm norm =
            uh_opnorm_layer(&net.layer[0], scale, &options, s->pool, s->arena);
        assert_true(norm.lower <= sigma[0] * (1 + 1e-12));
        assert_true(norm.upper >= sigma[0] * (1 - 1e-12));
        assert_true(norm.upper_proved >= sigma[0] * (1 - 1e-12));
        assert_true(norm.upper <= norm.lower * (1 + 1e-6));
        free(sigma);
        free(a);
    }
}

static void matrices_done_by_hand_have_their_norms(void **state)
{
    struct state *s = *state;
    static const struct {
        size_t m, n;
        double w[9], norm;
    } known[] = {
        {2, 2, {3, 4, 0, 5}, 6.7082039324993691}, /* 3 sqrt 5 */
        {2, 2, {1, 1, 1, 1}, 2},                  /* rank one */
        {2, 2, {0, -1, 1, 0}, 1},                 /* a rotation */
        {2, 1, {1, -1}, 1.4142135623730951},
        {1, 3, {2, 3, 6}, 7},
        {3, 3, {1, 0, 0, 0, -4, 0, 0, 0, 2}, 4},
        {3, 3, {2, -2, 1, 1, 2, 2, -2, -1, 2}, 3}, /* 3 times orthogonal */
        {2, 3, {4, 11, 14, 8, 7, -2}, 18.973665961010276} /* 6 sqrt 10 */
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct uh_layer layer =
            dense_of(s, known[i].m, known[i].n, known[i].w);
        const struct uh_opnorm norm = norm_of(s, &layer);
        assert_true(norm.lower <= known[i].norm * (1 + 1e-15));
        assert_true(norm.lower >= known[i].norm * (1 - 1e-9));
        assert_true(norm.upper >= known[i].norm * (1 - 1e-15));
        assert_true(norm.upper <= known[i].norm * (1 + 1e-8));
    }
}

/* Sums over rows are made of parts; a row alone may be in any of them. */
static void one_row_of_many_counts_wherever_it_is(void **state)
{
    struct state *s = *state;
    enum { M = 300, N = 3 };
    for (size_t at = 0; at < M; at += 13) {
        double w[M * N] = {0};
        for (size_t i = 0; i < N; i++) {
            w[at * N + i] = 1;
        }
        const struct uh_layer layer = dense_of(s, M, N, w);
        const struct uh_opnorm norm = norm_of(s, &layer);
        assert_true(norm.lower <= sqrt(3) && norm.upper >= sqrt(3));
        assert_true(norm.upper <= norm.lower * (1 + 1e-8));
    }
}

/* Orthogonal up to a factor, of many inputs: all singular values are equal. */
static void equal_singular_values_are_no_trouble(void **state)
{
    struct state *s = *state;
    enum { N = 64 };
    static double w[N * N];
    for (size_t i = 0; i < N * N; i++) {
        w[i] = __builtin_parityll(i / N & i % N) ? -1 : 1; /* Hadamard */
    }
    struct uh_layer layer = dense_of(s, N, N, w);
    struct uh_opnorm norm = norm_of(s, &layer);
    assert_true(norm.lower <= 8 && norm.upper >= 8);
    assert_true(norm.upper <= norm.lower * (1 + 1e-9));
    struct uh_net net = made(s, "input 8 40 40; conv 8 1 1", "unit");
    for (size_t i = 0; i < 64; i++) {
        net.layer[0].weight[i] = i % 9 == 0 ? 3 : 0;
    }
    norm = norm_of(s, &net.layer[0]);
    assert_true(norm.lower <= 3 && norm.upper >= 3);
    assert_true(norm.upper <= norm.lower * (1 + 1e-9));
    /* parts that do not meet, most of them alike: more copies than rounds
     * take out */
    net = uh_net_make("input 6 10 11; conv 4 2 3 stride=2 pad=2 dilation=3 "
                      "groups=2",
                      s->arena);
    uh_net_init(&net, "lipschitz/layers/779");
    const struct uh_opnorm_options options = {.stream = "lipschitz/layers",
                                              .bounds = UH_OPNORM_LOWER |
                                                        UH_OPNORM_UPPER};
    norm = uh_opnorm_layer(&net.layer[0], NULL, &options, s->pool, s->arena);
    assert_true(norm.upper <= norm.lower * (1 + 1e-6));
}

/* Nothing is left beside what is taken out. */
static void few_singular_values_are_no_trouble(void **state)
{
    struct state *s = *state;
    for (size_t i = 0; i < 300; i++) {
        char arch[64];
        snprintf(arch, sizeof arch, "input %zu; dense %zu", 3 + i % 30,
                 1 + i % 3);
        struct uh_net net = made(s, arch, uh_arena_format(s->arena, "%zu", i));
        const struct uh_opnorm_options options = {
            .stream = "few", .bounds = UH_OPNORM_LOWER | UH_OPNORM_UPPER};
        const struct uh_opnorm norm =
            uh_opnorm_layer(&net.layer[0], NULL, &options, s->pool, s->arena);
        assert_true(norm.upper <= norm.lower * (1 + 1e-6));
    }
}

static void a_layer_of_zeros_has_norm_zero(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {"input 5; dense 4",
                                       "input 2 5 5; conv 3 3 3"};
    for (size_t i = 0; i < 2; i++) {
        struct uh_net net = uh_net_make(arch[i], s->arena);
        struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        assert_true(norm.lower == 0 && norm.upper == 0 &&
                    norm.upper_proved == 0);
        assert_non_null(norm.vector);
    }
}

static void a_power_of_two_goes_through_every_bit(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 40; dense 60", "input 3 9 8; conv 5 3 3 stride=2 pad=1"};
    for (size_t i = 0; i < 2; i++) {
        struct uh_net net = made(s, arch[i], "power");
        const struct uh_opnorm before = norm_of(s, &net.layer[0]);
        for (size_t j = 0; j < net.layer[0].weight_count; j++) {
            net.layer[0].weight[j] *= 0x1p-60f;
        }
        const struct uh_opnorm after = norm_of(s, &net.layer[0]);
        assert_true(after.lower == before.lower * 0x1p-60);
        assert_true(after.upper == before.upper * 0x1p-60);
        assert_true(after.upper_proved == before.upper_proved * 0x1p-60);
    }
}

/* -- convolutions ------------------------------------------------------------- */

/* The largest singular value of the symbol at a point of the torus, from the
 * definition: inputs in s x s phases. */
static double symbol_norm(const struct uh_layer *a, double u, double v)
{
    const size_t s0 = a->stride[0], s1 = a->stride[1];
    const size_t ins = a->in.channels, n = ins * s0 * s1;
    const size_t m = a->out.channels;
    double *w = calloc(2 * m * n, sizeof *w); /* real, imaginary */
    for (size_t o = 0; o < m; o++) {
        for (size_t c = 0; c < ins; c++) {
            for (size_t i = 0; i < a->kernel[0]; i++) {
                for (size_t j = 0; j < a->kernel[1]; j++) {
                    const size_t y = i * a->dilation[0], x = j * a->dilation[1];
                    const size_t in = (c * s0 + y % s0) * s1 + x % s1;
                    const double turn =
                        u * (double)(y / s0) + v * (double)(x / s1);
                    const double weight =
                        (double)a->weight[((o * ins + c) * a->kernel[0] + i) *
                                              a->kernel[1] +
                                          j];
                    w[2 * (o * n + in)] += weight * cos(turn);
                    w[2 * (o * n + in) + 1] += weight * sin(turn);
                }
            }
        }
    }
    const size_t k = m < n ? m : n;
    double *sigma = malloc(k * sizeof *sigma);
    assert_int_equal(LAPACKE_zgesdd(LAPACK_COL_MAJOR, 'N', (int)n, (int)m,
                                    (lapack_complex_double *)w, (int)n, sigma,
                                    NULL, 1, NULL, 1),
                     0);
    const double norm = sigma[0];
    free(sigma);
    free(w);
    return norm;
}

static double symbol_bound(const struct state *s, const struct uh_layer *layer)
{
    /* the guess is far below */
    return uh_prove_conv(uh_map_of(layer, NULL, 0, s->pool, s->arena), 0.1);
}

static void the_proved_bound_is_the_symbols_supremum(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 2 40 40; conv 3 3 3 pad=1",
        "input 3 40 40; conv 2 5 5 stride=2 pad=2",
        "input 2 40 40; conv 2 3 3 dilation=2 pad=2",
        "input 1 60 60; conv 4 7 7 stride=3"};
    enum { GRID = 48 };
    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        struct uh_net net = made(s, arch[i], arch[i]);
        double most = 0;
        for (size_t p = 0; p < GRID * GRID; p++) {
            const double unit = 6.283185307179586 / GRID;
            const double at =
                symbol_norm(&net.layer[0], unit * (double)(p / GRID),
                            unit * (double)(p % GRID));
            most = fmax(most, at);
        }
        const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        const double proved = symbol_bound(s, &net.layer[0]);
        assert_true(proved >= most * (1 - 1e-12) && proved <= most * 1.03);
        assert_true(norm.upper_proved <= norm.lower * (1 + 1e-6));
        assert_true(norm.lower <= most * 1.01);
        assert_true(norm.lower >= most * 0.9);
        assert_true(norm.upper <= norm.lower * (1 + 1e-6));
    }
}

/* |a + b z + c z^2|^2 = a^2 + b^2 + c^2 + 2 b (a + c) cos + 2 a c cos of twice
 * the angle: with a c < 0 largest where cos is -b (a + c) / 4 a c, here halfway
 * between two of 32 points. */
static void a_supremum_between_the_points_is_not_missed(void **state)
{
    struct state *s = *state;
    static const float tap[2][3] = {{1, 1.568f, -0.8f}, {1, 1, -1}};
    for (size_t i = 0; i < 2; i++) {
        struct uh_net net = uh_net_make("input 1 40 40; conv 1 3 3", s->arena);
        for (size_t j = 0; j < 9; j++) { /* rows times columns */
            net.layer[0].weight[j] = tap[0][j / 3] * tap[i][j % 3];
        }
        double most = 1;
        for (size_t d = 0; d < 2; d++) {
            const float *t = tap[d ? i : 0];
            const double a = (double)t[0], b = (double)t[1], c = (double)t[2];
            const double x = -b * (a + c) / (4 * a * c);
            most *= sqrt(a * a + b * b + c * c + 2 * b * (a + c) * x +
                         2 * a * c * (2 * x * x - 1));
        }
        const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        const double proved = symbol_bound(s, &net.layer[0]);
        assert_true(proved >= most * (1 - 1e-6) && proved <= most * 1.03);
        assert_true(norm.upper <= norm.lower * (1 + 1e-6));
        assert_true(norm.lower <= most && norm.lower >= most * 0.97);
    }
}

/* |1 + z - z^2|^2 = 3 - 2 cos 2t is 5 at z = i; its real part stays below
 * 2.125. */
static void a_symbol_has_an_imaginary_part(void **state)
{
    struct state *s = *state;
    struct uh_net net = uh_net_make("input 1 1 30; conv 1 1 3", s->arena);
    net.layer[0].weight[0] = net.layer[0].weight[1] = 1;
    net.layer[0].weight[2] = -1;
    const double proved = symbol_bound(s, &net.layer[0]);
    assert_true(proved >= sqrt(5) * (1 - 1e-6) && proved <= sqrt(5) * 1.03);
}

/* Windows that do not overlap are all alike: one stands for them. */
static void windows_apart_count_once(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 8 6 5; conv 5 1 1", "input 3 8 8; conv 10 4 4 stride=4",
        "input 2 5 20; conv 3 1 3 pad=1",
        ("input 6 9 9; conv 4 2 3 stride=3 pad=1 groups=2")};
    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        struct uh_net net = made(s, arch[i], "apart");
        const size_t n = uh_shape_size(net.in), m = uh_shape_size(net.out);
        double *a = ref_opnorm_matrix(&net.layer[0], NULL);
        double *sigma = ref_opnorm_singular(m, n, a);
        const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        assert_true(norm.lower <= sigma[0] * (1 + 1e-12));
        assert_true(norm.upper >= sigma[0] * (1 - 1e-12));
        assert_true(norm.upper_proved >= sigma[0] * (1 - 1e-12));
        assert_true(norm.upper_proved <= sigma[0] * (1 + 1e-6));
        assert_true(norm.run[0].dim < n);
        const double gain = ref_opnorm_gain(m, n, a, norm.vector);
        assert_true(gain >= norm.lower && gain <= norm.lower * (1 + 1e-9));
        free(sigma);
        free(a);
    }
}

/* Against sums in long double. */
static void products_err_by_less_than_they_say(void **state)
{
    struct state *s = *state;
    for (size_t i = 1; i < sizeof shapes / sizeof *shapes; i++) {
        struct uh_net net = made(s, shapes[i], shapes[i]);
        const struct uh_layer *layer = &net.layer[0];
        struct uh_map *map = uh_map_of(layer, NULL, 0, s->pool, s->arena);
        const size_t n = uh_map_in(map), m = uh_map_out(map);
        double *a = calloc(m * n, sizeof *a), *x = calloc(n, sizeof *x);
        double *y = calloc(m, sizeof *y), *z = calloc(n, sizeof *z);
        double *own = calloc(uh_shape_size(layer->in), sizeof *own);
        for (size_t j = 0; j < n; j++) { /* single products, exact */
            x[j] = 1;
            uh_map_export(map, x, own); /* hides what is no pixel */
            uh_map_import(map, own, x);
            uh_map_apply(map, x, y);
            for (size_t k = 0; k < m; k++) {
                a[k * n + j] = y[k];
            }
            x[j] = 0;
        }
        double *sigma = ref_opnorm_singular(m, n, a), *b = calloc(m * n, 8);
        for (size_t j = 0; j < m * n; j++) {
            b[j] = fabs(a[j]);
        }
        double *plain = ref_opnorm_singular(m, n, b);
        assert_true(uh_map_absolute(map) >= plain[0] * (1 - 1e-12));
        assert_true(uh_map_simple(map) >= sigma[0] * (1 - 1e-12));
        double length = 0;
        for (size_t j = 0; j < n; j++) {
            x[j] = sin((double)(j + 1)) + 0x1p-30;
            length += x[j] * x[j];
        }
        uh_map_export(map, x, own);
        uh_map_import(map, own, x);
        uh_map_gram(map, x, y, z);
        long double *exact = calloc(m, sizeof *exact), off = 0, off2 = 0;
        for (size_t k = 0; k < m; k++) {
            for (size_t j = 0; j < n; j++) {
                exact[k] += (long double)a[k * n + j] * (long double)x[j];
            }
            off +=
                ((long double)y[k] - exact[k]) * ((long double)y[k] - exact[k]);
        }
        for (size_t j = 0; j < n; j++) {
            long double sum = 0;
            for (size_t k = 0; k < m; k++) {
                sum += (long double)a[k * n + j] * exact[k];
            }
            off2 += ((long double)z[j] - sum) * ((long double)z[j] - sum);
        }
        const double scale = uh_map_absolute(map) * sqrt(length);
        assert_true(sqrt((double)off) <= uh_map_error(map) * scale);
        assert_true(sqrt((double)off2) <=
                    uh_map_gram_error(map) * scale * sigma[0]);
        assert_true(uh_map_error(map) < 1e-12 && uh_map_error(map) > 0);
        free(a);
        free(b);
        free(x);
        free(y);
        free(z);
        free(own);
        free(exact);
        free(sigma);
        free(plain);
    }
}

static void vectors_together_get_the_bits_of_each_alone(void **state)
{
    struct state *s = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct uh_net net = made(s, shapes[i], shapes[i]);
        struct uh_map *map =
            uh_map_of(&net.layer[0], NULL, 1, s->pool, s->arena);
        const size_t n = uh_map_in(map), m = uh_map_out(map);
        double *x[2], *y[2], *z[2], *z0 = uh_arena_alloc(s->arena, n, 8);
        for (size_t v = 0; v < 2; v++) {
            x[v] = uh_arena_alloc(s->arena, n, sizeof(double));
            y[v] = uh_arena_alloc(s->arena, m, sizeof(double));
            z[v] = uh_arena_alloc(s->arena, n, sizeof(double));
            for (size_t j = 0; j < n; j++) {
                x[v][j] = sin((double)(j + 1) * (1 + (double)v / 3));
            }
        }
        uh_map_grams(map, 2, (const double *const *)x, y, z);
        for (size_t v = 0; v < 2; v++) {
            uh_map_gram(map, x[v], y[v], z0);
            assert_memory_equal(z0, z[v], n * sizeof *z0);
        }
    }
}

/* -- certificates --------------------------------------------------------------- */

static struct uh_layer diagonal(struct state *s, size_t n)
{
    double *w = calloc(n * n, sizeof *w);
    for (size_t i = 0; i < n; i++) {
        w[i * n + i] = i == 0 ? 3 : 2 - 1.5 * (double)i / (double)n;
    }
    const struct uh_layer layer = dense_of(s, n, n, w);
    free(w);
    return layer;
}

static void a_start_orthogonal_to_the_top_gives_no_certificate(void **state)
{
    struct state *s = *state;
    enum { N = 100 };
    const struct uh_layer layer = diagonal(s, N);
    double start[N] = {0};
    for (size_t i = 1; i < N; i++) {
        start[i] = 1;
    }
    struct uh_opnorm norm =
        uh_opnorm_from(&layer, NULL, start, 60, s->pool, s->arena);
    assert_true(norm.lower > 1.9 && norm.lower < 2);
    assert_true(isinf(norm.upper) && isinf(norm.upper_proved));
    /* its last residual is small all the same */
    assert_true(norm.run[0].beta[norm.run[0].steps - 1] < 1);
    struct uh_error error;
    assert_int_equal(
        uh_opnorm_check(&layer, NULL, 1, norm.run, 1e9, 1e-9, s->pool, &error),
        UH_BAD_INPUT);
    norm.run[0].stream = "test/0"; /* a lie */
    assert_int_equal(
        uh_opnorm_check(&layer, NULL, 1, norm.run, 1e9, 1e-9, s->pool, &error),
        UH_BAD_INPUT);
    assert_non_null(strstr(error.text, "stream"));
}

/* A run's own argument, with the delta of a vector that was drawn, would be
 * wrong for the vector of above: so delta must come from the draw alone. */
static void without_delta_nothing_is_refuted(void **state)
{
    struct state *s = *state;
    enum { N = 100 };
    const struct uh_layer layer = diagonal(s, N);
    struct uh_map *map = uh_map_of(&layer, NULL, 0, s->pool, s->arena);
    struct uh_krylov run = uh_krylov_open(map, 60, 0, NULL, s->arena);
    double start[N] = {0};
    for (size_t i = 1; i < N; i++) {
        start[i] = 1;
    }
    assert_true(uh_krylov_start(&run, start));
    while (uh_krylov_step(&run, 1)) {
    }
    assert_true(uh_krylov_refutes(&run, 1e-10, 4.5)); /* wrongly: 9 is there */
    assert_false(uh_krylov_refutes(&run, 0, 4.5));
    assert_false(uh_krylov_refutes(&run, 0, 1e300));
    assert_false(uh_krylov_refutes(&run, -1, 1e300));
    assert_false(uh_krylov_refutes(&run, (double)NAN, 1e300));
    assert_false(uh_krylov_refutes(&run, 1e-10, (double)NAN));
}

/* a_j = b_j = 1: g_2 = (tau - 1) g_1, g_3 = ((tau - 1)^2 - 1) g_1 without
 * residuals; at tau = 3 these are 2 and 3 times g_1. */
static void the_recurrence_is_the_one_on_paper(void **state)
{
    struct state *s = *state;
    const double tiny = 1e-20;
    const struct uh_layer layer = dense_of(s, 1, 1, &tiny);
    struct uh_map *map = uh_map_of(&layer, NULL, 0, s->pool, s->arena);
    struct uh_krylov run = uh_krylov_open(map, 2, 0, NULL, s->arena);
    double top = 4, rho = 2;
    run.alpha[0] = run.alpha[1] = run.beta[0] = run.beta[1] = 1;
    run.steps = 1;
    assert_true(uh_krylov_refutes(&run, 0.501, 3));
    assert_false(uh_krylov_refutes(&run, 0.499, 3));
    run.steps = 2;
    assert_true(uh_krylov_refutes(&run, 0.334, 3));
    assert_false(uh_krylov_refutes(&run, 0.333, 3));
    assert_true(uh_krylov_refutes(&run, 0.334, 3.01));
    assert_false(uh_krylov_refutes(&run, 0.334, 2.99));
    /* 2 g_1 - f_1, then 2 g_2 - g_1 - f_2 */
    run.residual[0] = 0.05;
    run.steps = 1;
    assert_true(uh_krylov_refutes(&run, 0.526, 3));
    assert_false(uh_krylov_refutes(&run, 0.524, 3));
    run.steps = 2;
    run.residual[1] = 0.1;
    assert_true(uh_krylov_refutes(&run, 0.401, 3));
    assert_false(uh_krylov_refutes(&run, 0.399, 3));
    /* what leaks through Y counts rho times as much, and rho moves the whole */
    run.across = 0.5;
    run.leak[1] = 0.2;
    assert_false(uh_krylov_refutes(&run, 0.433, 3));
    assert_true(uh_krylov_refutes(&run, 0.435, 3));
    /* [4, 2; 2, 1] */
    run.known = 1;
    run.inside = 4;
    run.across = 2;
    run.top = &top;
    run.rho = &rho;
    assert_true(fabs(uh_krylov_whole(&run, 1) - 5) < 1e-14);
    assert_true(uh_krylov_whole(&run, 1) >= 5);
    assert_true(fabs(uh_krylov_beside(&run, 5) - 1) < 1e-14);
    assert_true(uh_krylov_beside(&run, 5) <= 1);
    assert_true(uh_krylov_beside(&run, 4) == 0);
}

/* Of diag(9, b^2, ...), y = (0.8, 0.6, 0, ...): y'Sy, and S y less that y. */
static void what_is_taken_out_is_measured(void **state)
{
    struct state *s = *state;
    enum { N = 100 };
    const struct uh_layer layer = diagonal(s, N);
    struct uh_map *map = uh_map_of(&layer, NULL, 0, s->pool, s->arena);
    const double b = (double)layer.weight[N + 1] * (double)layer.weight[N + 1];
    double y[N] = {0.8, 0.6}, *out[1] = {y};
    const struct uh_krylov run = uh_krylov_open(map, 4, 1, out, s->arena);
    const double top = 0.64 * 9 + 0.36 * b, rho = 0.48 * (9 - b);
    assert_true(run.top[0] >= top && run.top[0] < top * (1 + 1e-9));
    assert_true(run.rho[0] >= rho && run.rho[0] < rho * (1 + 2e-9));
    /* what is left is (0.6, -0.8)'s, and the whole is 9 again */
    const double left = 0.36 * 9 + 0.64 * b;
    assert_true(fabs(uh_krylov_whole(&run, left) - 9) < 1e-7);
    y[1] = 0.7; /* no unit vector: what it is short of counts */
    const struct uh_krylov other = uh_krylov_open(map, 4, 1, out, s->arena);
    const double length = 0.64 + 0.49, more = 0.64 * 9 + 0.49 * b;
    assert_true(other.top[0] >= more / (2 - length));
}

static void a_drawn_start_finds_what_the_first_one_missed(void **state)
{
    struct state *s = *state;
    const struct uh_layer layer = diagonal(s, 100);
    const struct uh_opnorm norm = norm_of(s, &layer);
    assert_true(norm.lower > 3 * (1 - 1e-9) && norm.lower <= 3);
    assert_true(norm.upper >= 3 && norm.upper < 3 * (1 + 1e-6));
}

static double *doubles(struct state *s, size_t n, const double *from)
{
    double *x = uh_arena_alloc(s->arena, n, sizeof *x);
    memcpy(x, from, n * sizeof *x);
    return x;
}

static void false_certificates_are_refused(void **state)
{
    struct state *s = *state;
    struct uh_net net = made(s, "input 8 12 12; conv 10 3 3 pad=1", "forged");
    const struct uh_layer *layer = &net.layer[0];
    const struct uh_opnorm_options options = {.stream = "forged",
                                              .bounds = UH_OPNORM_LOWER |
                                                        UH_OPNORM_UPPER,
                                              .drawn = 1};
    const struct uh_opnorm norm =
        uh_opnorm_layer(layer, NULL, &options, s->pool, s->arena);
    struct uh_error error;
#define CHECK(runs, upper, failure)                                            \
    uh_opnorm_check(layer, NULL, 2, runs, upper, failure, s->pool, &error)
    assert_int_equal(norm.runs, 2);
    assert_true(norm.share > 0 && norm.share <= norm.failure / 4);
    assert_true(norm.run[0].known > 0 && norm.run[1].known > 0);
    assert_int_equal(CHECK(norm.run, norm.upper, norm.share), UH_OK);
    assert_int_equal(CHECK(norm.run, norm.upper * 1.5, norm.share), UH_OK);
    /* below the norm; of a surer kind than it is */
    assert_int_equal(CHECK(norm.run, norm.lower * (1 - 1e-6), norm.share),
                     UH_BAD_INPUT);
    assert_int_equal(CHECK(norm.run, norm.upper, 1e-14), UH_BAD_INPUT);
    assert_int_equal(CHECK(norm.run, (double)NAN, norm.share), UH_BAD_INPUT);
    assert_int_equal(CHECK(norm.run, norm.upper, 0.5), UH_BAD_INPUT);
    struct uh_lanczos bad[2];
    memcpy(bad, norm.run, sizeof bad);
    /* one run alone proves less, and the same one twice is one */
    assert_int_equal(uh_opnorm_check(layer, NULL, 1, norm.run, norm.upper,
                                     norm.share, s->pool, &error),
                     UH_BAD_INPUT);
    bad[1] = bad[0];
    assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
    bad[1] = norm.run[1];
    for (size_t i = 0; i < 2; i++) {
        const struct uh_lanczos *good = &norm.run[i];
        double *alpha = doubles(s, good->steps, good->alpha);
        double *beta = doubles(s, good->steps, good->beta);
        bad[i].alpha = alpha;
        bad[i].beta = beta;
        alpha[3] *= 1 - 1e-6;
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        alpha[3] = (double)NAN;
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        alpha[3] = good->alpha[3];
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_OK);
        beta[7] *= 0.5;
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        beta[7] = -good->beta[7];
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        beta[7] = good->beta[7];
        bad[i].stream = "another";
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        bad[i].stream = good->stream;
        bad[i].known--; /* then the top is not below tau */
        assert_int_equal(CHECK(bad, norm.upper, norm.share), UH_BAD_INPUT);
        bad[i].known = good->known;
    }
    /* the same runs for other weights */
    net.layer[0].weight[5] += 0.25f;
    assert_int_equal(CHECK(norm.run, norm.upper, norm.share), UH_BAD_INPUT);
#undef CHECK
}

/* Windows that lie in the padding alone; weights that meet no pixel. */
static void a_layer_that_sees_nothing_has_norm_zero(void **state)
{
    struct state *s = *state;
    struct uh_net net =
        uh_net_make("input 1 1 1; conv 1 1 1 stride=2 pad=1", s->arena);
    net.layer[0].weight[0] = 1;
    struct uh_opnorm norm = norm_of(s, &net.layer[0]);
    assert_true(norm.lower == 0 && norm.upper == 0 && norm.upper_proved == 0);
    net = uh_net_make("input 1 1 1; conv 1 1 3 pad=2", s->arena);
    net.layer[0].weight[0] = net.layer[0].weight[1] = 1;
    norm = norm_of(s, &net.layer[0]);
    assert_true(norm.lower > 0); /* the first windows do */
    net = uh_net_make("input 1 1 1; conv 1 1 3 pad=2 stride=4", s->arena);
    net.layer[0].weight[0] = net.layer[0].weight[1] = 1;
    norm = norm_of(s, &net.layer[0]);
    assert_true(norm.lower == 0 && norm.upper == 0 && norm.upper_proved == 0);
}

/* What LAPACK finds lies between the bounds, which are close. */
static void assert_tight(const struct uh_layer *layer, struct uh_opnorm norm)
{
    double *a = ref_opnorm_matrix(layer, NULL);
    double *sigma = ref_opnorm_singular(uh_shape_size(layer->out),
                                        uh_shape_size(layer->in), a);
    assert_true(norm.lower <= sigma[0] * (1 + 1e-12));
    assert_true(norm.upper >= sigma[0] * (1 - 1e-12));
    assert_true(norm.upper <= norm.lower * (1 + 1e-6));
    free(sigma);
    free(a);
}

static void weights_all_alike_are_no_trouble(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 2 4 4; conv 3 3 4 pad=1",
        "input 2 6 7; conv 2 3 3 stride=2 pad=2 dilation=2",
        "input 4 3 3; conv 4 5 1 stride=2 pad=3 dilation=2 groups=4",
        "input 8 3 3; conv 8 5 1 stride=2 pad=3 dilation=2 groups=8"};
    for (size_t i = 0; i < sizeof arch / sizeof *arch; i++) {
        struct uh_net net = uh_net_make(arch[i], s->arena);
        for (size_t j = 0; j < net.layer[0].weight_count; j++) {
            net.layer[0].weight[j] = -0.5f;
        }
        assert_tight(&net.layer[0], norm_of(s, &net.layer[0]));
    }
}

/* Then the first Ritz values have converged after three or four steps, and the
 * vectors would soon be orthogonal no longer. */
static void sizes_far_apart_are_no_trouble(void **state)
{
    struct state *s = *state;
    for (size_t i = 900; i < 1200; i++) {
        struct uh_net net = made(s, "input 12; dense 9", "apart");
        struct uh_stream stream = uh_stream_open("test/opnorm/apart/%zu", i);
        for (size_t j = 0; j < net.layer[0].weight_count; j++) {
            net.layer[0].weight[j] =
                ldexpf(2 * uh_stream_uniformf(&stream) - 1,
                       (int)uh_stream_below(&stream, 51) - 25);
        }
        const struct uh_opnorm_options options = {
            .stream = uh_arena_format(s->arena, "apart/%zu", i),
            .bounds = UH_OPNORM_LOWER | UH_OPNORM_UPPER};
        assert_tight(
            &net.layer[0],
            uh_opnorm_layer(&net.layer[0], NULL, &options, s->pool, s->arena));
    }
}

/* Products of bounds do not end at 0, and a gradient that floats cannot hold
 * does not count. */
static void small_networks_keep_their_order(void **state)
{
    struct state *s = *state;
    const struct uh_opnorm_options options = {.stream = "small"};
    char arch[512] = "input 1";
    for (size_t i = 0; i < 40; i++) {
        strcat(arch, "; dense 1");
    }
    struct uh_net net = uh_net_make(arch, s->arena);
    for (size_t i = 0; i < 40; i++) {
        net.layer[i].weight[0] = 1e-30f;
    }
    struct uh_opnorm_net whole =
        uh_opnorm_net(&net, &options, s->pool, s->arena);
    assert_true(whole.product_upper > 0 && whole.network_upper > 0);
    /* the way back goes through 1e-42, the matrix is about 1e-7 */
    static const float size[3] = {1e35f, 1e-22f, 1e-20f};
    for (size_t trial = 0; trial < 20; trial++) {
        net = made(s, "input 2; dense 2; dense 2; dense 2",
                   uh_arena_format(s->arena, "small/%zu", trial));
        double product[4] = {1, 0, 0, 1};
        for (size_t i = 0; i < 3; i++) {
            float *w = net.layer[i].weight;
            double next[4];
            for (size_t j = 0; j < 4; j++) {
                w[j] *= size[i];
            }
            for (size_t j = 0; j < 4; j++) {
                next[j] = (double)w[j / 2 * 2] * product[j % 2] +
                          (double)w[j / 2 * 2 + 1] * product[2 + j % 2];
            }
            memcpy(product, next, sizeof next);
        }
        double *sigma = ref_opnorm_singular(2, 2, product);
        whole = uh_opnorm_net(&net, &options, s->pool, s->arena);
        assert_true(whole.network_lower <= sigma[0]);
        assert_true(whole.product_upper >= sigma[0] * (1 - 1e-12));
        free(sigma);
    }
}

/* H D K, H = I - 2 u u', K the same with v: singular values |D| in exact
 * arithmetic, floats away from them by less than 2^-24 sqrt(m n) of the top. */
static struct uh_layer known_values(struct state *s, size_t m, size_t n,
                                    const double *d)
{
    double *u = uh_arena_alloc(s->arena, m, sizeof *u);
    double *v = uh_arena_alloc(s->arena, n, sizeof *v);
    double *w = uh_arena_alloc(s->arena, m * n, sizeof *w);
    double uu = 0, vv = 0, middle = 0;
    for (size_t i = 0; i < m; i++) {
        u[i] = 1 + (double)(i * 5 % 17);
        uu += u[i] * u[i];
    }
    for (size_t j = 0; j < n; j++) {
        v[j] = 1 + (double)(j * 3 % 13);
        vv += v[j] * v[j];
    }
    for (size_t i = 0; i < (m < n ? m : n); i++) {
        middle += u[i] * d[i] * v[i];
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            w[i * n + j] = (i == j ? d[i] : 0) -
                           (j < m ? 2 / uu * u[i] * u[j] * d[j] : 0) -
                           (i < n ? 2 / vv * d[i] * v[i] * v[j] : 0) +
                           4 / uu / vv * middle * u[i] * v[j];
        }
    }
    return dense_of(s, m, n, w);
}

/* Of two million weights and more, two vectors are drawn at once. */
static void a_heavy_layer_is_proved_by_two_vectors_at_once(void **state)
{
    struct state *s = *state;
    enum { M = 1100, N = 2000 };
    double *d = uh_arena_alloc(s->arena, M, sizeof *d);
    /* falling slowly; a cluster on top; all alike; rank two */
    for (int kind = 0; kind < 4; kind++) {
        for (size_t i = 0; i < M; i++) {
            const double x = (double)i / M;
            d[i] = kind == 0   ? 2 - x
                   : kind == 1 ? (i < 20 ? 2 - 1e-5 * (double)i : 1.9 - x)
                   : kind == 2 ? 2
                               : (i < 2 ? 2 - (double)i : 0);
        }
        const struct uh_layer layer = known_values(s, M, N, d);
        const struct uh_opnorm_options options = {
            .stream = "heavy", .bounds = UH_OPNORM_LOWER | UH_OPNORM_UPPER};
        const struct uh_opnorm norm =
            uh_opnorm_layer(&layer, NULL, &options, s->pool, s->arena);
        const double slack = 2 * ldexp(sqrt(M * N), -24);
        assert_true(norm.lower <= 2 + slack && norm.upper >= 2 - slack);
        assert_true(norm.lower >= 2 - slack && norm.upper <= 2 + slack);
        assert_true(norm.upper <= norm.lower * (1 + 1e-6));
        struct uh_error error;
        assert_int_equal(uh_opnorm_check(&layer, NULL, norm.runs, norm.run,
                                         norm.upper, norm.share, s->pool,
                                         &error),
                         UH_OK);
        assert_int_equal(norm.runs, 2);
        if (kind == 0) {
            assert_true(norm.run[0].known == 0 && norm.share >= 4e-10);
            assert_int_equal(uh_opnorm_check(&layer, NULL, 1, norm.run,
                                             norm.upper, norm.share, s->pool,
                                             &error),
                             UH_BAD_INPUT);
        }
    }
}

/* P(|y'v| < delta) = 2 c_n times the integral of (1 - t^2)^((n-3)/2). */
static void delta_is_as_rare_as_is_said(void **state)
{
    (void)state;
    for (size_t n = 3; n < 3000; n = n * 3 / 2) {
        const double d = uh_krylov_delta(n, 1e-3);
        const double c =
            exp(lgamma((double)n / 2) - lgamma((double)(n - 1) / 2)) /
            sqrt(3.1415926535897931);
        double sum = 0;
        for (int i = 0; i < 1000; i++) {
            const double t = d * (i + 0.5) / 1000;
            sum += pow(1 - t * t, ((double)n - 3) / 2) * d / 1000;
        }
        assert_true(2 * c * sum <= 1e-3 && 2 * c * sum >= 0.7e-3);
    }
}

/* Q diag Q' with Q = I - 2 u u': eigenvalues known by construction. */
static void a_factorization_finds_the_top_from_above(void **state)
{
    struct state *s = *state;
    enum { MOST = 230 };
    const struct uh_opnorm_kernel *kernel =
        uh_opnorm_kernel_of(uh_kernel_choice());
    double *g = calloc(MOST * MOST, sizeof *g);
    for (size_t n = 1; n <= MOST; n = n * 2 + 1) {
        double u[MOST], length = 0;
        for (size_t i = 0; i < n; i++) {
            u[i] = 1 + (double)(i * 5 % 7);
            length += u[i] * u[i];
        }
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0;
                for (size_t k = 0; k < n; k++) {
                    const double q = (i == k) - 2 * u[i] * u[k] / length;
                    const double p = (j == k) - 2 * u[j] * u[k] / length;
                    sum += q * p * (k == n / 2 ? 5 : 1 + (double)k / (double)n);
                }
                g[j * n + i] = sum;
            }
        }
        double *room = calloc(uh_below_room(n), sizeof *room), slack = 0;
        assert_true(
            uh_below(kernel, s->pool, n, g, 5 * (1 + 1e-9), room, &slack));
        double trace = 0;
        for (size_t i = 0; i < n; i++) {
            trace += 5 * (1 + 1e-9) - g[i * n + i];
        }
        assert_true(slack >= (double)(n + 1) * 0x1p-53 * trace);
        assert_true(slack < 1e-9);
        assert_false(
            uh_below(kernel, s->pool, n, g, 5 * (1 - 1e-9), room, &slack));
        g[n / 2 * n + n / 2] = (double)NAN;
        assert_false(uh_below(kernel, s->pool, n, g, 50, room, &slack));
        free(room);
    }
    free(g);
}

/* -- the lane ---------------------------------------------------------------------- */

static void threads_and_kernels_change_no_bit(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 300; dense 210", "input 5 17 15; conv 20 3 3 stride=2 pad=1",
        "input 6 14 14; conv 8 3 3 pad=1 groups=2"};
    static const char *const kernels[] = {"portable", "avx2", "avx512"};
    for (size_t i = 0; i < 3; i++) {
        struct uh_net net = made(s, arch[i], "bits");
        const struct uh_opnorm first = norm_of(s, &net.layer[0]);
        for (size_t k = 0; k < 3; k++) {
            if (!uh_kernel_runs((enum uh_kernel)k)) {
                continue;
            }
            setenv("UH_KERNEL", kernels[k], 1);
            for (size_t threads = 1; threads <= 3; threads++) {
                struct state other = {s->arena, uh_pool_open(threads)};
                const struct uh_opnorm norm = norm_of(&other, &net.layer[0]);
                assert_true(norm.lower == first.lower);
                assert_true(norm.upper == first.upper);
                assert_true(norm.upper_proved == first.upper_proved);
                assert_int_equal(norm.run[0].steps, first.run[0].steps);
                assert_memory_equal(norm.vector, first.vector,
                                    norm.dim * sizeof *norm.vector);
                uh_pool_close(&other.pool);
            }
            unsetenv("UH_KERNEL");
        }
    }
}

/* -- other layers --------------------------------------------------------------------- */

static void pooled_windows_share_a_pixel(void **state)
{
    struct state *s = *state;
    static const struct {
        const char *arch;
        double norm;
    } known[] = {{"input 1 5 5; maxpool 3 stride=2", 2},
                 {"input 1 6 6; maxpool 2", 1},
                 {"input 1 5 5; maxpool 3 stride=1", 3},
                 {"input 1 3 3; maxpool 3 stride=1", 1},
                 {"input 1 9 3; maxpool 3 stride=2", 1.4142135623730951},
                 {"input 1 5 5; maxpool 2 stride=3", 1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct uh_net net = uh_net_make(known[i].arch, s->arena);
        const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        assert_true(norm.lower == known[i].norm && norm.upper == norm.lower);
        /* some unit picture attains it, and none does better */
        const size_t n = uh_shape_size(net.in), m = uh_shape_size(net.out);
        double most = 0;
        for (size_t j = 0; j < n; j++) {
            float x[100] = {0}, y[100];
            x[j] = 1;
            uh_net_forward(&net, s->pool, 1, x, y);
            double sum = 0;
            for (size_t k = 0; k < m; k++) {
                sum += (double)(y[k] * y[k]);
            }
            most = fmax(most, sqrt(sum));
        }
        assert_true(most == known[i].norm);
    }
}

static void activations_are_as_steep_as_is_said(void **state)
{
    struct state *s = *state;
    static const struct {
        const char *word;
        double norm;
    } known[] = {{"relu", 1},       {"leakyrelu 0.25", 1}, {"leakyrelu -2", 2},
                 {"elu 1", 1},      {"elu 1.5", 1.5},      {"tanh", 1},
                 {"sigmoid", 0.25}, {"softplus", 1}};
    enum { N = 4000 };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char arch[64];
        snprintf(arch, sizeof arch, "input 1; %s", known[i].word);
        struct uh_net net = uh_net_make(arch, s->arena);
        const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
        assert_true(norm.upper == known[i].norm && norm.lower == norm.upper);
        assert_true(norm.upper_proved == norm.upper && !norm.linear);
        float x[N], y[N];
        double most = 0;
        for (size_t j = 0; j < N; j++) {
            x[j] = (float)((double)j * 0x1p-7 - 15.5);
        }
        uh_net_forward(&net, s->pool, N, x, y);
        for (size_t j = 1; j < N; j++) {
            most = fmax(most, fabs((double)(y[j] - y[j - 1])) * 0x1p7);
        }
        assert_true(most <= norm.upper * 1.0001);
        assert_true(most >= norm.upper * 0.99);
    }
}

static void response_normalization_stays_below_its_bound(void **state)
{
    struct state *s = *state;
    struct uh_net net =
        uh_net_make("input 6 1 1; lrn 5 alpha=2 beta=0.75 k=1.5", s->arena);
    const struct uh_opnorm norm = norm_of(s, &net.layer[0]);
    struct uh_stream stream = uh_stream_open("test/opnorm/lrn");
    double most = 0;
    for (int trial = 0; trial < 2000; trial++) {
        float x[2][6], y[2][6];
        double from = 0, to = 0;
        const double size = uh_stream_uniform(&stream) * 4;
        for (size_t i = 0; i < 6; i++) {
            x[0][i] = (float)(size * uh_stream_normal(&stream));
            x[1][i] = x[0][i] + (float)(0.01 * uh_stream_normal(&stream));
        }
        uh_net_forward(&net, s->pool, 2, &x[0][0], &y[0][0]);
        for (size_t i = 0; i < 6; i++) {
            const double d = (double)x[1][i] - (double)x[0][i];
            const double e = (double)y[1][i] - (double)y[0][i];
            from += d * d;
            to += e * e;
        }
        most = fmax(most, sqrt(to / from));
    }
    assert_true(most <= norm.upper);
    assert_true(norm.lower <= norm.upper && norm.lower > 0.7);
    assert_true(most > 0.5 * norm.lower);
}

/* -- networks -------------------------------------------------------------------------- */

static struct uh_opnorm_net whole_of(struct state *s, const struct uh_net *net)
{
    const struct uh_opnorm_options options = {.stream = "whole"};
    return uh_opnorm_net(net, &options, s->pool, s->arena);
}

static void the_zoo_lies_between_its_bounds(void **state)
{
    struct state *s = *state;
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        const struct uh_zoo z = uh_zoo_entry(i, s->arena);
        const struct uh_opnorm_net whole = whole_of(s, &z.net);
        assert_true(whole.network_lower <= whole.product_upper);
        for (size_t j = 0; j < z.net.layers; j++) {
            assert_true(whole.layer[j].lower <= whole.layer[j].upper);
        }
        assert_true(whole.product_upper <= whole.network_upper * (1 + 1e-12));
        if (z.lipschitz >= 0) {
            assert_true(whole.network_lower <= z.lipschitz);
            assert_true(whole.product_upper >= z.lipschitz * (1 - 1e-12));
        }
        if (z.product >= 0) {
            assert_true(whole.product_upper >= z.product * (1 - 1e-12));
            assert_true(whole.product_upper <= z.product * (1 + 1e-5));
        }
        if (z.singulars > 0 && z.net.layers == 1) {
            assert_true(whole.layer[0].lower <= z.singular[0] * (1 + 1e-15));
            assert_true(whole.layer[0].lower >= z.singular[0] * (1 - 1e-6));
            assert_true(whole.network_lower >= z.singular[0] * (1 - 1e-3));
        }
    }
}

static void a_batchnorm_is_folded_into_its_neighbor(void **state)
{
    struct state *s = *state;
    struct uh_net net = made(
        s, "input 2 6 6; conv 3 3 3 pad=1; batchnorm; relu; batchnorm", "fold");
    for (size_t i = 1; i < 4; i += 2) {
        for (size_t c = 0; c < 3; c++) {
            net.layer[i].weight[c] = (float)(2.5 - 2 * (double)c);
            net.layer[i].running_var[c] = (float)(0.25 + (double)c);
        }
    }
    const struct uh_opnorm_net whole = whole_of(s, &net);
    float scale[3];
    for (size_t c = 0; c < 3; c++) {
        scale[c] = (float)((2.5 - 2 * (double)c) /
                           sqrt(0.25 + (double)c + (double)1e-5f));
    }
    double *a = ref_opnorm_matrix(&net.layer[0], scale);
    double *sigma = ref_opnorm_singular(108, 72, a);
    assert_true(fabs(whole.layer[0].lower - sigma[0]) <= 1e-6 * sigma[0]);
    assert_true(whole.layer[1].folded && whole.layer[1].upper == 1);
    assert_true(!whole.layer[3].folded);
    assert_true(fabs(whole.layer[3].upper - (double)scale[0]) <= 1e-6);
    const double product = sigma[0] * (double)scale[0];
    assert_true(fabs(whole.product_upper - product) <= 3e-6 * product);
    assert_true(whole.network_lower <= whole.product_upper);
    free(sigma);
    free(a);
}

static void blocks_add_their_ways(void **state)
{
    struct state *s = *state;
    static const struct {
        const char *arch;
        size_t at; /* the layer that joins */
        double block, all;
    } known[] = {
        {"input 2; dense 2; mark a; dense 2; relu; add a", 5 - 1, 4, 12},
        {"input 2; mark a; dense 2; relu; mark b; from a; dense 2; add b", 6, 6,
         6},
        {"input 2 1 1; mark a; conv 2 1 1; relu; mark b; from a; conv 2 1 1; "
         "cat b",
         6, 4.2426406871192848, 4.2426406871192848},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct uh_net net = uh_net_make(known[i].arch, s->arena);
        for (size_t j = 0; j < net.layers; j++) {
            for (size_t k = 0; k < net.layer[j].weight_count; k++) {
                net.layer[j].weight[k] = k == 0 || k == 3 ? 3 : 0;
            }
        }
        const struct uh_opnorm_net whole = whole_of(s, &net);
        const struct uh_opnorm *block = &whole.layer[known[i].at];
        assert_true(fabs(block->upper - known[i].block) < 1e-6);
        assert_true(fabs(block->upper_proved - known[i].block) < 1e-6);
        assert_true(fabs(whole.product_upper - known[i].all) < 1e-5);
        assert_true(whole.network_lower <= whole.product_upper);
        assert_true(whole.network_lower >= 0.5 * known[i].all);
    }
}

static void gradients_found_stay_below_the_bounds(void **state)
{
    struct state *s = *state;
    static const char *const arch[] = {
        "input 5; dense 8; relu; dense 8; tanh; dense 3",
        ("input 2 8 8; conv 4 3 3 pad=1; relu; maxpool 3 stride=2; conv 3 3 3; "
         "flatten; dense 4"),
        "input 3; dense 6; sigmoid; dense 2"};
    for (size_t i = 0; i < 3; i++) {
        struct uh_net net = made(s, arch[i], "gradient");
        const struct uh_opnorm_net whole = whole_of(s, &net);
        assert_true(whole.network_lower > 0);
        assert_true(whole.network_lower <= whole.product_upper);
        assert_true(whole.product_upper <= whole.network_upper);
        const float x[3 * 128] = {1, 2, 3};
        const double from_x = uh_opnorm_ascent(&net, "x", 0, 1, x, s->pool);
        assert_true(from_x > 0 && from_x <= whole.product_upper);
    }
}

static void only_what_is_asked_for_is_given(void **state)
{
    struct state *s = *state;
    struct uh_net net = made(s, "input 3 9 9; conv 4 3 3 pad=1", "asked");
    const struct uh_layer *layer = &net.layer[0];
    const struct uh_opnorm all = norm_of(s, layer);
    struct uh_opnorm_options options = {.stream = "test",
                                        .bounds = UH_OPNORM_LOWER};
    struct uh_opnorm some =
        uh_opnorm_layer(layer, NULL, &options, s->pool, s->arena);
    assert_true(isinf(some.upper) && isinf(some.upper_proved));
    assert_true(some.lower <= all.upper &&
                some.lower >= all.lower * (1 - 1e-4));
    options.bounds = UH_OPNORM_PROVED;
    some = uh_opnorm_layer(layer, NULL, &options, s->pool, s->arena);
    assert_true(some.lower == 0 && isinf(some.upper));
    assert_true(some.upper_proved >= all.lower);
    options.bounds = UH_OPNORM_LOWER | UH_OPNORM_UPPER;
    options.tolerance = 0.1;
    some = uh_opnorm_layer(layer, NULL, &options, s->pool, s->arena);
    assert_true(some.upper <= some.lower * 1.1 && some.upper >= all.lower);
    assert_true(some.failure == 1e-9 && some.run[0].steps > 0);
}

static void add_alone(void *context)
{
    struct state *s = context;
    struct uh_net net = uh_net_make("input 2; mark a; relu; add a", s->arena);
    norm_of(s, &net.layer[2]);
}

static void nobody_draws(void *context)
{
    struct state *s = context;
    struct uh_net net = uh_net_make("input 2; dense 2", s->arena);
    const struct uh_opnorm_options options = {.stream = NULL};
    uh_opnorm_named(&net.layer[0], NULL, &options, NULL, s->pool, s->arena);
}

static void from_zero(void *context)
{
    struct state *s = context;
    const double zero[2] = {0, 0};
    struct uh_net net = uh_net_make("input 2; dense 2", s->arena);
    uh_opnorm_from(&net.layer[0], NULL, zero, 3, s->pool, s->arena);
}

static void broken_contracts_are_named(void **state)
{
    struct state *s = *state;
    struct state child = {s->arena, uh_pool_open(1)};
    static const struct {
        void (*work)(void *);
        const char *said;
    } broken[] = {{add_alone, "norm by itself"},
                  {nobody_draws, "nobody draws"},
                  {from_zero, "start vector of zeros"}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const struct ending e = run_child(broken[i].work, &child);
        assert_int_equal(e.status, 128 + 6);
        assert_non_null(strstr(e.said, broken[i].said));
    }
    uh_pool_close(&child.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bounds_enclose_what_lapack_finds),
        cmocka_unit_test(a_scale_of_the_outputs_counts),
        cmocka_unit_test(matrices_done_by_hand_have_their_norms),
        cmocka_unit_test(one_row_of_many_counts_wherever_it_is),
        cmocka_unit_test(equal_singular_values_are_no_trouble),
        cmocka_unit_test(few_singular_values_are_no_trouble),
        cmocka_unit_test(a_layer_of_zeros_has_norm_zero),
        cmocka_unit_test(a_layer_that_sees_nothing_has_norm_zero),
        cmocka_unit_test(weights_all_alike_are_no_trouble),
        cmocka_unit_test(sizes_far_apart_are_no_trouble),
        cmocka_unit_test(small_networks_keep_their_order),
        cmocka_unit_test(a_power_of_two_goes_through_every_bit),
        cmocka_unit_test(the_proved_bound_is_the_symbols_supremum),
        cmocka_unit_test(a_supremum_between_the_points_is_not_missed),
        cmocka_unit_test(a_symbol_has_an_imaginary_part),
        cmocka_unit_test(windows_apart_count_once),
        cmocka_unit_test(products_err_by_less_than_they_say),
        cmocka_unit_test(vectors_together_get_the_bits_of_each_alone),
        cmocka_unit_test(a_start_orthogonal_to_the_top_gives_no_certificate),
        cmocka_unit_test(without_delta_nothing_is_refuted),
        cmocka_unit_test(the_recurrence_is_the_one_on_paper),
        cmocka_unit_test(what_is_taken_out_is_measured),
        cmocka_unit_test(a_drawn_start_finds_what_the_first_one_missed),
        cmocka_unit_test(false_certificates_are_refused),
        cmocka_unit_test(a_heavy_layer_is_proved_by_two_vectors_at_once),
        cmocka_unit_test(delta_is_as_rare_as_is_said),
        cmocka_unit_test(a_factorization_finds_the_top_from_above),
        cmocka_unit_test(threads_and_kernels_change_no_bit),
        cmocka_unit_test(pooled_windows_share_a_pixel),
        cmocka_unit_test(activations_are_as_steep_as_is_said),
        cmocka_unit_test(response_normalization_stays_below_its_bound),
        cmocka_unit_test(the_zoo_lies_between_its_bounds),
        cmocka_unit_test(a_batchnorm_is_folded_into_its_neighbor),
        cmocka_unit_test(blocks_add_their_ways),
        cmocka_unit_test(gradients_found_stay_below_the_bounds),
        cmocka_unit_test(only_what_is_asked_for_is_given),
        cmocka_unit_test(broken_contracts_are_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, state_made, state_gone) ? 1 : 0;
}
