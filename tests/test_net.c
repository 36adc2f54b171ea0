/* test_net.c: the line of a network, beginnings, whole networks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"
#include "layer_lrn.h"
#include "ref_net.h"
#include "stream.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char LENET[] =
    "input 1 28 28; conv 32 5 5; maxpool 3; relu; conv 64 5 5; maxpool 2; "
    "relu; flatten; dense 200; relu; dense 10";

/* -- the line ---------------------------------------------------------------- */

static void lenet_has_the_sizes_of_the_slides(void **state)
{
    (void)state;
    /* Deck F, page 26, by arithmetic: units per layer of LeNet. */
    const size_t units[] = {18432, 2048, 2048, 1024, 256,
                            256,   256,  200,  200,  10};
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make(LENET, arena);
    assert_int_equal(net.layers, 10);
    for (size_t i = 0; i < net.layers; i++) {
        assert_int_equal(uh_shape_size(net.layer[i].out), units[i]);
    }
    assert_int_equal(net.parameter_count, 105506);
    assert_string_equal(net.arch, LENET);
    uh_arena_free(&arena);
}

static void the_small_cnn_has_the_parameters_of_both_readings(void **state)
{
    (void)state;
    /* Deck R, slide 17, with and without "same" padding: counted by hand. */
    char arch[512];
    struct uh_arena *arena = uh_arena_new();
    for (int same = 0; same < 2; same++) {
        const char *pad = same ? " pad=1" : "";
        snprintf(arch, sizeof arch,
                 "input 3 32 32; conv 32 3 3%s; relu; conv 64 3 3 stride=2%s; "
                 "relu; conv 64 3 3%s; relu; conv 32 3 3%s; relu; conv 32 3 "
                 "3%s; relu; conv 64 3 3 stride=2%s; relu; flatten; dense 512; "
                 "relu; dense 10",
                 pad, pad, pad, pad, pad, pad);
        struct uh_net net = uh_net_make(arch, arena);
        assert_int_equal(net.parameter_count, same ? 2205322 : 403082);
        assert_int_equal(uh_shape_size(net.layer[10].out), same ? 4096 : 576);
    }
    uh_arena_free(&arena);
}

static void the_shortest_form_reads_back_to_itself(void **state)
{
    (void)state;
    const char *const lines[][2] = {
        {" input  3 8 8 ;conv 4 3 3 pad=0 stride=1 groups=1 dilation=1;relu",
         "input 3 8 8; conv 4 3 3; relu"},
        {"input 4 8 8; conv 4 3 3 groups=2 dilation=2 pad=2 stride=2; flatten",
         "input 4 8 8; conv 4 3 3 stride=2 pad=2 dilation=2 groups=2; "
         "flatten"},
        {"input 1 9 9; maxpool 3 3 stride=3 ceil=0; maxpool 3 2 ceil=1",
         "input 1 9 9; maxpool 3; maxpool 3 2 ceil=1"},
        {"input 1 9 9; meanpool 3 2 stride=2 pad=1",
         "input 1 9 9; meanpool 3 2 stride=2 pad=1"},
        {"input 7 1 1; leakyrelu 0.010; elu 1.0; tanh; sigmoid; softplus",
         "input 7; leakyrelu 0.01; elu 1; tanh; sigmoid; softplus"},
        {"input 7; batchnorm eps=0.00001; batchnorm eps=0.001",
         "input 7; batchnorm; batchnorm eps=0.001"},
        {"input 7 5 5; lrn 5 k=1 beta=0.75 alpha=1e-4; lrn 4 k=2 alpha=0.5",
         "input 7 5 5; lrn 5; lrn 4 alpha=0.5 k=2"},
        {"input 2 5 5; mark a; conv 3 5 5  pad=2; cat a",
         "input 2 5 5; mark a; conv 3 5 5 pad=2; cat a"},
        {"input 2 5 5; mark a-1; conv 2 3 3 pad=1; mark B_; from a-1; add B_",
         "input 2 5 5; mark a-1; conv 2 3 3 pad=1; mark B_; from a-1; add "
         "B_"},
    };
    struct uh_arena *arena = uh_arena_new();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct uh_net net = uh_net_make(lines[i][0], arena);
        assert_string_equal(net.arch, lines[i][1]);
        assert_string_equal(uh_net_make(net.arch, arena).arch, lines[i][1]);
    }
    uh_arena_free(&arena);
}

static void a_line_that_does_not_fit_is_one_line_of_refusal(void **state)
{
    (void)state;
    const char *const lines[][2] = {
        {"", "semicolons"},
        {"input 3", "semicolons"},
        {"dense 3; relu", "input"},
        {"input; relu", "a number"},
        {"input 0; relu", "16777216"},
        {"input -1; relu", "16777216"},
        {"input 3 4; relu", "a number"},
        {"input 3 4 5 6; relu", "no more words"},
        {"input 16777217; relu", "16777216"},
        {"input 99999999999999999999; relu", "16777216"},
        {"input 16777216 16777216 16777216; relu", "2147483647"},
        {"input 3; relu;", "nothing"},
        {"input 3;; relu", "nothing"},
        {"input 3; gelu", "a kind of layer"},
        {"input 3; relu 2", "no more words"},
        {"input 3; dense", "a number"},
        {"input 3; dense 2x", "16777216"},
        {"input 3; dense 2 bias=0", "no more words"},
        {"input 1 2 2; dense 3", "flat"},
        {"input 16777216; dense 16777216", "2147483647"},
        {"input 1 5 5; conv 3 5", "a number"},
        {"input 1 5 5; conv 3 6 5", "fits"},
        {"input 1 5 5; conv 3 3 3 dilation=3", "fits"},
        {"input 1 5 5; conv 3 3 3 stride=0", "range"},
        {"input 1 5 5; conv 3 3 3 pad=1 pad=1", "once"},
        {"input 1 5 5; conv 3 3 3 padding=1", "option"},
        {"input 1 5 5; conv 3 3 3 1", "option"},
        {"input 3 5 5; conv 4 3 3 groups=2", "groups"},
        {"input 4 5 5; conv 3 3 3 groups=2", "groups"},
        {"input 1 5 5; conv 16777216 5 5; flatten; dense 200", "2147483647"},
        {"input 1 5 5; maxpool", "a number"},
        {"input 1 5 5; maxpool 6", "fits"},
        {"input 1 5 5; maxpool 3 pad=2", "half"},
        {"input 1 5 5; maxpool 2 ceil=2", "ceil"},
        {"input 1 5 5; maxpool 2 dilation=2", "option"},
        {"input 3; leakyrelu", "a number"},
        {"input 3; leakyrelu nan", "a number"},
        {"input 3; elu 1e99", "a number"},
        {"input 3; batchnorm eps=0", "above 0"},
        {"input 3; batchnorm eps=x", "range"},
        {"input 3; mark", "a name"},
        {"input 3; mark a b", "no more words"},
        {"input 3; mark a.b", "a name"},
        {"input 3; add a; mark a", "marked before"},
        {"input 3; mark a; dense 4; add a", "shape"},
        {"input 3; cat a; mark a", "marked before"},
        {"input 1 5 5; mark a; conv 2 3 3; cat a", "rows and columns"},
        {"input 16777216; mark a; cat a; mark a; cat a; mark a; cat a; mark a; "
         "cat a; mark a; cat a; mark a; cat a; mark a; cat a",
         "2147483647"},
        {"input 3; lrn", "a number"},
        {"input 3; lrn 5 k=0", "above 0"},
        {"input 3; lrn 5 alpha=-1", "from 0"},
        {"input 3; lrn 5 beta=nan", "range"},
        {"input 3; lrn 5 size=3", "option"},
        {"input 3; mark abcdefghijklmnopqrstuvwxyz0123456", "a name"},
        {"input 3; dense 1 2 3 4 5 6 7 8 9 10 11 12", "fewer words"},
    };
    struct uh_arena *arena = uh_arena_new();
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct uh_net net = {0};
        struct uh_error error = {{0}};
        enum uh_status status = uh_net_parse(lines[i][0], arena, &net, &error);
        if (status != UH_BAD_INPUT || !strstr(error.text, lines[i][1]) ||
            !strstr(error.text, "expected") || net.layer) {
            fail_msg("\"%s\": status %d, \"%s\", expected \"%s\"", lines[i][0],
                     (int)status, error.text, lines[i][1]);
        }
    }
    uh_arena_free(&arena);
}

static void a_name_means_the_latest_mark_before(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make(
        "input 3; mark a; dense 4; mark a; relu; add a; mark a; dense 2",
        arena);
    assert_int_equal(net.layer[4].source, 2);
    uh_arena_free(&arena);
}

/* Lines with characters exchanged, doubled or lost, with memory for none of
 * the sizes they ask for. */
static void mangled_lines_are_read_or_refused(void **state)
{
    (void)state;
    static const char alphabet[] = "0123456789=;.- abconvmaxpooledtrdgxy\t\n";
    static const char *const lines[] = {
        LENET, "input 4 9 11; conv 6 3 2 stride=2 pad=2 dilation=2 groups=2; "
               "batchnorm eps=0.001; mark a; elu 1; add a; maxpool 3 2 ceil=1"};
    struct uh_stream s = uh_stream_open("test/net/mangled");
    struct uh_arena *arena = uh_arena_new();
    size_t read = 0, refused = 0;
    for (int k = 0; k < 20000; k++) {
        struct uh_mark mark = uh_arena_open(arena);
        char line[512];
        strcpy(line, lines[k % 2]);
        for (uint64_t edits = 1 + uh_stream_below(&s, 3); edits-- > 0;) {
            size_t length = strlen(line), at = uh_stream_below(&s, length);
            switch (uh_stream_below(&s, 3)) {
            case 0:
                line[at] = alphabet[uh_stream_below(&s, strlen(alphabet))];
                break;
            case 1:
                memmove(line + at, line + at + 1, length - at);
                break;
            default:
                memmove(line + at + 1, line + at, length + 1 - at);
            }
        }
        struct uh_net net = {0};
        struct uh_error error = {{0}};
        if (uh_net_plan(line, arena, &net, &error) == UH_OK) {
            read++;
            struct uh_net again;
            assert_int_equal(uh_net_plan(net.arch, arena, &again, &error),
                             UH_OK);
            assert_string_equal(net.arch, again.arch);
            assert_true(net.parameter_count == again.parameter_count);
        } else {
            refused++;
            assert_true(strlen(error.text) > 0 && !strchr(error.text, '\n'));
        }
        uh_arena_release(arena, mark);
    }
    assert_true(read > 1000 && refused > 1000);
    uh_arena_free(&arena);
}

static void four_thousand_layers_are_read_and_more_refused(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net;
    struct uh_error error;
    char *text = uh_arena_alloc(arena, 5000, 8);
    strcpy(text, "input 2");
    char *end = text + strlen(text);
    for (int i = 0; i < 4096; i++) {
        end = stpcpy(end, "; relu");
    }
    assert_int_equal(uh_net_parse(text, arena, &net, &error), UH_OK);
    assert_int_equal(net.layers, 4096);
    stpcpy(end, "; relu");
    assert_int_equal(uh_net_parse(text, arena, &net, &error), UH_BAD_INPUT);
    uh_arena_free(&arena);
}

/* -- beginnings --------------------------------------------------------------- */

static void check_variance(const struct uh_layer *layer, double variance)
{
    double n = (double)layer->weight_count, sum = 0, squares = 0;
    for (size_t i = 0; i < layer->weight_count; i++) {
        double w = (double)layer->weight[i];
        sum += w;
        squares += w * w;
    }
    /* Six standard errors of a mean and of a variance (normal: 2/n). */
    assert_true(fabs(sum / n) <= 6 * sqrt(variance / n));
    assert_true(fabs(squares / n / variance - 1) <= 6 * sqrt(2 / n));
    for (size_t i = 0; i < layer->bias_count; i++) {
        assert_true(layer->bias[i] == 0);
    }
}

static void initial_weights_have_the_variance_of_he_and_glorot(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make(
        "input 8 6 6; conv 40 3 3 groups=2; batchnorm; maxpool 2; relu; "
        "flatten; dense 50; tanh; dense 60",
        arena);
    uh_net_init(&net, "test/init");
    check_variance(&net.layer[0], 2.0 / (4 * 9));
    check_variance(&net.layer[5], 2.0 / (160 + 50));
    check_variance(&net.layer[7], 2.0 / (50 + 60));
    assert_true(net.layer[1].weight[0] == 1 && net.layer[1].bias[0] == 0);
    assert_true(net.layer[1].running_var[39] == 1);
    for (size_t i = 0; i < net.layer[5].weight_count; i++) {
        assert_true(fabs((double)net.layer[5].weight[i]) <=
                    sqrt(6.0 / (160 + 50)));
    }
    uh_arena_free(&arena);
}

static void a_stream_names_the_beginning(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make(LENET, arena);
    char a[65], b[65], c[65];
    uh_net_init(&net, "seed=1");
    uh_net_digest(&net, a);
    uh_net_init(&net, "seed=2");
    uh_net_digest(&net, b);
    uh_net_init(&net, "seed=1");
    uh_net_digest(&net, c);
    assert_string_equal(a, c);
    assert_string_not_equal(a, b);
    struct uh_net copy = uh_net_copy(&net, arena);
    uh_net_digest(&copy, b);
    assert_string_equal(a, b);
    copy.layer[0].weight[0] += 1;
    uh_net_digest(&net, b);
    assert_string_equal(a, b);
    uh_arena_free(&arena);
}

/* -- whole networks ------------------------------------------------------------- */

static const char *const nets[] = {
    "input 2 9 9; conv 4 3 3; maxpool 2 ceil=1; relu; conv 5 3 3 pad=1; "
    "batchnorm; leakyrelu 0.1; meanpool 2; flatten; dense 6; tanh; dense 3",
    "input 3 6 6; conv 4 3 3 pad=1; relu; mark a; conv 4 3 3 pad=1; relu; "
    "conv 4 3 3 pad=1; add a; relu; mark b; conv 6 3 3 stride=2 pad=1; elu 1; "
    "mark c; from b; conv 6 1 1 stride=2; add c; softplus; flatten; dense 4",
    "input 5; dense 7; sigmoid; mark a; add a; dense 6; softplus; dense 2",
    "input 6; mark x; dense 6; tanh; add x; add x; mark y; from x; dense 6; "
    "add y; dense 3",
    "input 4; mark x; dense 4; add x; add x; mark x; dense 4; add x; dense 3",
    "input 3 5 5; conv 4 1 1; relu; mark s; conv 3 1 1; relu; mark a; from s; "
    "conv 5 3 3 pad=1; elu 1; cat a; lrn 5 alpha=0.5 beta=0.6; cat s; conv 4 3 "
    "3; flatten; mark f; cat f; dense 3",
    "input 6 2 3; lrn 4 alpha=2 k=0.5; batchnorm; lrn 1 beta=0; mark a; cat a; "
    "lrn 20 alpha=3; conv 3 2 2; tanh; flatten; dense 2",
};

enum { NETS = sizeof nets / sizeof *nets, SAMPLES = 4 };

struct scene {
    struct uh_arena *arena;
    struct uh_net net;
    size_t in, out; /* entries of a batch */
    float *x, *dy;
};

static struct scene scene_of(const char *arch)
{
    struct scene s = {.arena = uh_arena_new()};
    struct uh_stream stream = uh_stream_open("test/net/%s", arch);
    s.net = uh_net_make(arch, s.arena);
    uh_net_init(&s.net, "test/net");
    s.in = SAMPLES * uh_shape_size(s.net.in);
    s.out = SAMPLES * uh_shape_size(s.net.out);
    s.x = uh_arena_alloc(s.arena, s.in, sizeof(float));
    s.dy = uh_arena_alloc(s.arena, s.out, sizeof(float));
    for (size_t i = 0; i < s.net.layers; i++) {
        struct uh_layer *layer = &s.net.layer[i];
        for (size_t j = 0; j < layer->bias_count; j++) {
            layer->bias[j] = (float)(0.3 * uh_stream_normal(&stream));
        }
    }
    for (size_t i = 0; i < s.in; i++) {
        s.x[i] = (float)uh_stream_normal(&stream);
    }
    for (size_t i = 0; i < s.out; i++) {
        s.dy[i] = (float)uh_stream_normal(&stream);
    }
    return s;
}

static double *doubles(struct uh_arena *arena, size_t n, const float v[])
{
    double *d = uh_arena_alloc(arena, n, sizeof *d);
    for (size_t i = 0; i < n; i++) {
        d[i] = (double)v[i];
    }
    return d;
}

/* What the gradient is of: sum of dy * y. */
static double value(size_t out, const double *y, const double *dy)
{
    double sum = 0;
    for (size_t i = 0; i < out; i++) {
        sum += dy[i] * y[i];
    }
    return sum;
}

/* Whether any unit changes side, or any maximum its winner, between the two
 * ends: compared through the signs and the winners' gradients. */
static int same_pieces(const struct ref_net *ref, double **a, double **b)
{
    for (size_t i = 0; i < ref->net->layers; i++) {
        const struct uh_layer *layer = &ref->net->layer[i];
        const double *p = i ? a[i - 1] : NULL, *q = i ? b[i - 1] : NULL;
        size_t n = SAMPLES * uh_shape_size(layer->in);
        if (layer->kind == UH_MAXPOOL) {
            for (size_t j = 0; j < SAMPLES * uh_shape_size(layer->out); j++) {
                size_t wins = 0;
                while (p[wins] != a[i][j]) {
                    wins++;
                }
                if (q[wins] != b[i][j]) {
                    return 0;
                }
            }
        }
        for (size_t j = 0; i && ref_pointwise(layer->kind) && j < n; j++) {
            if ((p[j] > 0) != (q[j] > 0)) {
                return 0;
            }
        }
    }
    return 1;
}

/* Central difference along entry i of v; NaN if a unit changes side. */
static double difference(const struct ref_net *ref, double *v, size_t i,
                         const double *x, const double *dy, size_t out,
                         struct uh_arena *arena)
{
    const double h = 1e-5;
    struct uh_mark mark = uh_arena_open(arena);
    size_t last = ref->net->layers - 1;
    double kept = v[i];
    v[i] = kept + h;
    double **a = ref_net_forward(ref, SAMPLES, x, arena);
    v[i] = kept - h;
    double **b = ref_net_forward(ref, SAMPLES, x, arena);
    v[i] = kept;
    double slope = (double)NAN;
    if (same_pieces(ref, a, b)) {
        slope = (value(out, a[last], dy) - value(out, b[last], dy)) / (2 * h);
    }
    uh_arena_release(arena, mark);
    return slope;
}

static size_t compare(const struct ref_net *ref, double *v, size_t n,
                      const double *gradient, const double *x, const double *dy,
                      size_t out, const char *what, struct uh_arena *arena)
{
    double norm = 0;
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        norm = fmax(norm, fabs(gradient[i]));
    }
    for (size_t i = 0; i < n; i++) {
        double d = difference(ref, v, i, x, dy, out, arena);
        if (isnan(d)) {
            continue;
        }
        used++;
        /* Relative to the entry, or to the largest where it is tiny: the
         * difference itself is rounded at 1e-16 / h. */
        if (!(fabs(d - gradient[i]) <=
              1e-6 * fmax(fabs(gradient[i]), 1e-3 * norm))) {
            fail_msg("%s, %s[%zu]: difference %.17g, gradient %.17g",
                     ref->net->arch, what, i, d, gradient[i]);
        }
    }
    return used;
}

static void the_twin_is_the_derivative_by_central_differences(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * NETS; k++) {
        struct scene s = scene_of(nets[k / 2]);
        struct ref_net ref = ref_net_of(&s.net, (int)(k % 2), s.arena);
        size_t p = s.net.parameter_count;
        double *x = doubles(s.arena, s.in, s.x);
        double *dy = doubles(s.arena, s.out, s.dy);
        double *dp = uh_arena_alloc(s.arena, p, sizeof *dp);
        double *dx = uh_arena_alloc(s.arena, s.in, sizeof *dx);
        double **out = ref_net_forward(&ref, SAMPLES, x, s.arena);
        ref_net_backward(&ref, SAMPLES, x, out, dy, dp, dx, s.arena);
        size_t used = compare(&ref, ref.parameters, p, dp, x, dy, s.out,
                              "parameter", s.arena);
        used += compare(&ref, x, s.in, dx, x, dy, s.out, "x", s.arena);
        /* Hardly any point lies beside a kink. */
        assert_true(used * 10 >= (p + s.in) * 9);
        uh_arena_free(&s.arena);
    }
}

/* In float the backward pass of L layers, each a sum of at most n terms in
 * sequence, is off by a multiple of L n u in norm; random signs leave the
 * square root of n.  The nets here have L <= 17 and n <= 400. */
static void check_norm(const char *arch, const char *what, size_t n,
                       const float got[], const double want[])
{
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        norm += want[i] * want[i];
    }
    double bound = 17 * 20 * (double)FLT_EPSILON / 2 * sqrt(norm);
    if (!(sqrt(error) <= bound)) {
        fail_msg("%s, %s: off by %.3g of %.3g, bound %.3g", arch, what,
                 sqrt(error), sqrt(norm), bound);
    }
}

static void the_gradient_agrees_with_its_double_twin(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * NETS; k++) {
        int training = (int)(k % 2);
        struct scene s = scene_of(nets[k / 2]);
        struct uh_pool *pool = uh_pool_open(1 + k % 3);
        struct ref_net ref = ref_net_of(&s.net, training, s.arena);
        size_t p = s.net.parameter_count;
        double *x = doubles(s.arena, s.in, s.x);
        double *dy = doubles(s.arena, s.out, s.dy);
        double *dp = uh_arena_alloc(s.arena, p, sizeof *dp);
        double *dx = uh_arena_alloc(s.arena, s.in, sizeof *dx);
        double **out = ref_net_forward(&ref, SAMPLES, x, s.arena);
        ref_net_backward(&ref, SAMPLES, x, out, dy, dp, dx, s.arena);
        struct uh_trace trace =
            uh_net_trace(&s.net, pool, SAMPLES, s.x, training, s.arena);
        float *gp = uh_arena_alloc(s.arena, p, sizeof *gp);
        float *gx = uh_arena_alloc(s.arena, s.in, sizeof *gx);
        uh_net_backward(&s.net, pool, &trace, s.dy, gp, gx);
        for (size_t i = 0; i < s.net.layers; i++) {
            check_norm(s.net.arch, "out",
                       SAMPLES * uh_shape_size(s.net.layer[i].out),
                       trace.out[i], out[i]);
        }
        check_norm(s.net.arch, "dparameters", p, gp, dp);
        check_norm(s.net.arch, "dx", s.in, gx, dx);

        /* Either gradient alone has the same bits; parameters are added. */
        float *again = uh_arena_alloc(s.arena, p + s.in, sizeof *again);
        uh_net_backward(&s.net, pool, &trace, s.dy, again, NULL);
        assert_memory_equal(again, gp, p * sizeof *gp);
        uh_net_backward(&s.net, pool, &trace, s.dy, NULL, again);
        assert_memory_equal(again, gx, s.in * sizeof *gx);
        uh_pool_close(&pool);
        uh_arena_free(&s.arena);
    }
}

static void threads_and_batches_change_no_bit(void **state)
{
    (void)state;
    for (size_t k = 0; k < NETS; k++) {
        struct scene s = scene_of(nets[k]);
        size_t p = s.net.parameter_count, in = s.in / SAMPLES;
        float *gp[3], *y = uh_arena_alloc(s.arena, s.out, sizeof *y);
        float *one = uh_arena_alloc(s.arena, s.out, sizeof *y);
        for (size_t threads = 1; threads <= 3; threads++) {
            struct uh_pool *pool = uh_pool_open(threads);
            struct uh_trace trace =
                uh_net_trace(&s.net, pool, SAMPLES, s.x, 0, s.arena);
            gp[threads - 1] = uh_arena_alloc(s.arena, p, sizeof(float));
            uh_net_backward(&s.net, pool, &trace, s.dy, gp[threads - 1], NULL);
            assert_memory_equal(gp[threads - 1], gp[0], p * sizeof(float));
            uh_net_forward(&s.net, pool, SAMPLES, s.x, y);
            assert_memory_equal(y, trace.out[s.net.layers - 1],
                                s.out * sizeof *y);
            for (size_t i = 0; i < SAMPLES; i++) {
                uh_net_forward(&s.net, pool, 1, s.x + i * in,
                               one + i * (s.out / SAMPLES));
            }
            assert_memory_equal(y, one, s.out * sizeof *y);
            uh_pool_close(&pool);
        }
        uh_arena_free(&s.arena);
    }
}

/* Gradients that are taken: where they went, and how often.  The parameters
 * are spoiled at once: nothing may need them any more. */
struct taken {
    float *gradient, *parameters;
    unsigned *times;
    size_t count;
};

static void take(void *context, size_t at, size_t count, const float *gradient)
{
    struct taken *t = context; /* parts of several threads are disjoint */
    for (size_t i = 0; i < count && at + i < t->count; i++) {
        t->gradient[at + i] = gradient[i];
        t->times[at + i]++;
        t->parameters[at + i] = NAN;
    }
}

static void check_taken(const char *arch, size_t threads)
{
    struct scene s = scene_of(arch);
    struct uh_pool *pool = uh_pool_open(threads);
    size_t p = s.net.parameter_count;
    float *want = uh_arena_alloc(s.arena, p, sizeof *want);
    float *too = uh_arena_alloc(s.arena, p, sizeof *too);
    struct taken t = {uh_arena_alloc(s.arena, p, sizeof(float)),
                      s.net.parameters,
                      uh_arena_alloc(s.arena, p, sizeof(unsigned)), p};
    struct uh_trace whole =
        uh_net_trace(&s.net, pool, SAMPLES, s.x, 1, s.arena);
    struct uh_trace lean =
        uh_net_trace_lean(&s.net, pool, SAMPLES, s.x, s.arena);
    assert_memory_equal(whole.out[s.net.layers - 1], lean.out[s.net.layers - 1],
                        s.out * sizeof(float));
    uh_net_backward(&s.net, pool, &whole, s.dy, want, NULL);
    uh_net_backward(&s.net, pool, &lean, s.dy, too, NULL);
    assert_memory_equal(too, want, p * sizeof(float));
    uh_net_backward_to(&s.net, pool, &lean, s.dy, &(struct uh_taker){take, &t});
    for (size_t i = 0; i < p; i++) {
        if (t.times[i] != 1) {
            fail_msg("%s: parameter %zu was taken %u times", arch, i,
                     t.times[i]);
        }
    }
    assert_memory_equal(t.gradient, want, p * sizeof(float));
    uh_pool_close(&pool);
    uh_arena_free(&s.arena);
}

static void a_taker_gets_the_gradient_bit_for_bit_and_once(void **state)
{
    (void)state;
    const char *const more[] = {
        "input 1500; dense 60; relu; dense 3", /* several blocks */
        "input 2100; dense 29; dense 2",       /* odd ones */
        "input 5; dense 4; mark a; dense 3; from a; dense 2", /* a dead end */
        ("input 2 9 9; conv 3 3 3; maxpool 2; relu; mark a; conv 3 3 3 pad=1; "
         "maxpool 1; add a; conv 4 2 2; maxpool 2; flatten; dense 3"),
        "input 1 6 6; mark a; conv 2 3 3; maxpool 2; from a; flatten; dense 3",
    };
    for (size_t threads = 1; threads <= 3; threads += 2) {
        for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
            check_taken(nets[k], threads);
        }
        for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
            check_taken(more[k], threads);
        }
    }
}

static void the_output_of_any_layer_can_be_had(void **state)
{
    (void)state;
    struct scene s = scene_of(nets[1]);
    struct uh_pool *pool = uh_pool_open(2);
    struct uh_trace trace =
        uh_net_trace(&s.net, pool, SAMPLES, s.x, 0, s.arena);
    for (size_t i = 0; i < s.net.layers; i++) {
        size_t n = SAMPLES * uh_shape_size(s.net.layer[i].out);
        float *y = uh_arena_alloc(s.arena, n, sizeof *y);
        uh_net_forward_to(&s.net, pool, i, SAMPLES, s.x, y);
        assert_memory_equal(y, trace.out[i], n * sizeof *y);
    }
    uh_pool_close(&pool);
    uh_arena_free(&s.arena);
}

static void folding_removes_batchnorm_and_keeps_the_function(void **state)
{
    (void)state;
    struct scene s = scene_of(
        "input 2 6 6; batchnorm; conv 4 3 3; batchnorm; relu; mark a; conv 4 3 "
        "3 pad=1; batchnorm; add a; flatten; dense 5; batchnorm; tanh");
    struct uh_stream stream = uh_stream_open("test/fold");
    for (size_t i = 0; i < s.net.layers; i++) {
        struct uh_layer *layer = &s.net.layer[i];
        for (size_t c = 0; layer->running_var && c < layer->in.channels; c++) {
            layer->weight[c] = 0.5F + uh_stream_uniformf(&stream);
            layer->running_mean[c] = (float)uh_stream_normal(&stream);
            layer->running_var[c] = 0.5F + uh_stream_uniformf(&stream);
        }
    }
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net folded = uh_net_fold(&s.net, s.arena);
    assert_string_equal(folded.arch,
                        "input 2 6 6; batchnorm; conv 4 3 3; relu; mark a; "
                        "conv 4 3 3 pad=1; add a; flatten; dense 5; tanh");
    float *y = uh_arena_alloc(s.arena, s.out, sizeof *y);
    float *z = uh_arena_alloc(s.arena, s.out, sizeof *z);
    uh_net_forward(&s.net, pool, SAMPLES, s.x, y);
    uh_net_forward(&folded, pool, SAMPLES, s.x, z);
    for (size_t i = 0; i < s.out; i++) {
        assert_true(fabs((double)y[i] - (double)z[i]) <= 1e-5);
    }
    uh_pool_close(&pool);
    uh_arena_free(&s.arena);
}

/* By hand, two samples: what was kept comes first; cat b; cat a is a, b, x. */
static void a_concatenation_begins_with_the_kept_channels(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make(
        "input 2; mark a; leakyrelu -1; mark b; leakyrelu -10; cat b; cat a",
        arena);
    const float x[] = {-1, -2, -3, -4};
    const float want[] = {-1, -2, 1, 2, 1, 2, -3, -4, 3, 4, 3, 4};
    float y[12];
    assert_int_equal(net.out.channels, 6);
    uh_net_forward(&net, pool, 2, x, y);
    assert_memory_equal(y, want, sizeof want);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* PyTorch's LocalResponseNorm(2, alpha=2, beta=0.5, k=3) by hand: d = 3 + x^2 +
 * (the channel before)^2 over 1 x 2 places. */
static void lrn_divides_by_the_channels_around(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net =
        uh_net_make("input 3 1 2; lrn 2 alpha=2 beta=0.5 k=3", arena);
    const float x[] = {1, 0, -6, 1, 2, -1};
    const float want[] = {1 / 2.0F,          0,
                          -6 / 6.324555320F, 1 / 2.0F,
                          2 / 6.557438524F,  -1 / 2.236067977F};
    float y[6];
    uh_net_forward(&net, pool, 1, x, y);
    for (size_t i = 0; i < 6; i++) {
        assert_true(fabs((double)y[i] - (double)want[i]) <= 1e-7);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* The transposed Jacobian at random points never stretches a vector by more,
 * power iteration of it neither; at 0 it is k^-beta. */
static void the_constant_of_lrn_bounds_its_gradients(void **state)
{
    (void)state;
    static const char *const words[] = {
        "lrn 5", "lrn 5 alpha=10", "lrn 4 alpha=3 beta=2 k=0.5",
        "lrn 1 alpha=1 beta=0.5", "lrn 3 beta=0 k=2"};
    enum { CHANNELS = 9, STEPS = 40 };
    struct uh_stream stream = uh_stream_open("test/lrn/constant");
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    double closest = 0;
    for (size_t k = 0; k < 500; k++) {
        struct uh_net net = uh_net_make(
            uh_arena_format(arena, "input %d; %s", CHANNELS, words[k % 5]),
            arena);
        double bound = uh_layer_lrn_constant(&net.layer[0]);
        double size = pow(10, (double)(k % 7) / 2 - 1.5);
        float x[CHANNELS], v[CHANNELS], w[CHANNELS];
        for (size_t c = 0; c < CHANNELS; c++) {
            x[c] = (float)(size * uh_stream_normal(&stream));
            v[c] = (float)uh_stream_normal(&stream);
        }
        struct uh_trace trace = uh_net_trace(&net, pool, 1, x, 0, arena);
        for (int step = 0; step < STEPS; step++) {
            double before = 0, after = 0;
            uh_net_backward(&net, pool, &trace, v, NULL, w);
            for (size_t c = 0; c < CHANNELS; c++) {
                before += (double)v[c] * (double)v[c];
                after += (double)w[c] * (double)w[c];
            }
            assert_true(sqrt(after / before) <= bound * (1 + 1e-6));
            closest = fmax(closest, sqrt(after / before) / bound);
            for (size_t c = 0; c < CHANNELS; c++) {
                v[c] = w[c] / (float)sqrt(after);
            }
        }
    }
    assert_true(closest > 0.99); /* lrn 3 beta=0 is linear */
    struct uh_net one = uh_net_make("input 2; lrn 5 beta=0.5 k=4", arena);
    double share = pow(1 / 3.0, 1.5);
    assert_true(fabs(uh_layer_lrn_constant(&one.layer[0]) -
                     0.5 * (1 + 2 * sqrt(5) * share)) <= 1e-10);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void equal_largest_values_give_the_lowest_index(void **state)
{
    (void)state;
    const float v[] = {1, 5, 2, 5}, same[] = {0, -0.0F, 0};
    assert_int_equal(uh_argmax(4, v), 1);
    assert_int_equal(uh_argmax(3, same), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lenet_has_the_sizes_of_the_slides),
        cmocka_unit_test(the_small_cnn_has_the_parameters_of_both_readings),
        cmocka_unit_test(the_shortest_form_reads_back_to_itself),
        cmocka_unit_test(a_line_that_does_not_fit_is_one_line_of_refusal),
        cmocka_unit_test(a_name_means_the_latest_mark_before),
        cmocka_unit_test(mangled_lines_are_read_or_refused),
        cmocka_unit_test(four_thousand_layers_are_read_and_more_refused),
        cmocka_unit_test(initial_weights_have_the_variance_of_he_and_glorot),
        cmocka_unit_test(a_stream_names_the_beginning),
        cmocka_unit_test(the_twin_is_the_derivative_by_central_differences),
        cmocka_unit_test(the_gradient_agrees_with_its_double_twin),
        cmocka_unit_test(threads_and_batches_change_no_bit),
        cmocka_unit_test(a_taker_gets_the_gradient_bit_for_bit_and_once),
        cmocka_unit_test(the_output_of_any_layer_can_be_had),
        cmocka_unit_test(folding_removes_batchnorm_and_keeps_the_function),
        cmocka_unit_test(a_concatenation_begins_with_the_kept_channels),
        cmocka_unit_test(lrn_divides_by_the_channels_around),
        cmocka_unit_test(the_constant_of_lrn_bounds_its_gradients),
        cmocka_unit_test(equal_largest_values_give_the_lowest_index),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
