/* bits.c: digests of what the exact lane computes, one line a subject.
 *
 *     bits [--quick | --kernels]
 *
 * --kernels prints the kernels that run on this machine instead.
 * tools/check-bits runs it as it comes from several compilers, with several
 * kernels (UH_KERNEL) and thread counts (JOBS); every line must always be the
 * same.  A NaN is digested as one number: its payload is not promised. */
#include "cells.h"
#include "die.h"
#include "digest.h"
#include "fmath.h"
#include "lane.h"
#include "loss.h"
#include "mat.h"
#include "net.h"
#include "shapes.h"
#include "stream.h"
#include "strokes.h"
#include "train.h"
#include "zoo.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct scene {
    struct uh_arena *arena;
    struct uh_pool *pool;
    int quick;
};

/* --- digests --------------------------------------------------------------- */

static void add_floats(struct uh_digest *d, size_t n, const float x[])
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = 0x7fc00000;
        if (!isnan(x[i])) {
            memcpy(&bits, &x[i], sizeof bits);
        }
        uint8_t bytes[4];
        for (int j = 0; j < 4; j++) {
            bytes[j] = (uint8_t)(bits >> 8 * j & 255);
        }
        uh_digest_add(d, bytes, sizeof bytes);
    }
}

static void add_doubles(struct uh_digest *d, size_t n, const double x[])
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = (uint64_t)0x7ff8 << 48;
        if (!isnan(x[i])) {
            memcpy(&bits, &x[i], sizeof bits);
        }
        uint8_t bytes[8];
        for (int j = 0; j < 8; j++) {
            bytes[j] = (uint8_t)(bits >> 8 * j & 255);
        }
        uh_digest_add(d, bytes, sizeof bytes);
    }
}

static void print(struct uh_digest *d, const char *subject)
{
    char hex[65];
    uh_digest_end(d, hex);
    printf("%s %s\n", hex, subject);
    fflush(stdout);
}

/* --- elementary functions -------------------------------------------------- */

static void float_functions(const struct scene *scene)
{
    enum { BLOCK = 1021 };
    static const struct {
        const char *name;
        void (*array)(size_t n, const float x[], float y[]);
        float (*scalar)(float x);
    } subject[] = {
        {"fmath/expf", uh_expf_n, uh_expf},
        {"fmath/expm1f", uh_expm1f_n, uh_expm1f},
        {"fmath/logf", uh_logf_n, uh_logf},
        {"fmath/log1pf", uh_log1pf_n, uh_log1pf},
        {"fmath/tanhf", uh_tanhf_n, uh_tanhf},
        {"fmath/sigmoidf", uh_sigmoidf_n, uh_sigmoidf},
        {"fmath/softplusf", uh_softplusf_n, uh_softplusf},
    };
    const uint64_t stride = scene->quick ? 65537 : 8191;
    for (size_t f = 0; f < sizeof subject / sizeof *subject; f++) {
        struct uh_digest d;
        float x[BLOCK], y[BLOCK];
        uh_digest_start(&d);
        for (uint64_t at = 0; at < (uint64_t)1 << 32;) {
            size_t n = 0;
            for (; n < BLOCK && at < (uint64_t)1 << 32; n++, at += stride) {
                uint32_t bits = (uint32_t)at;
                memcpy(&x[n], &bits, sizeof bits);
            }
            subject[f].array(n, x, y);
            add_floats(&d, n, y);
            y[0] = subject[f].scalar(x[0]);
            add_floats(&d, 1, y);
        }
        print(&d, subject[f].name);
    }
}

static void double_functions(const struct scene *scene)
{
    static const struct {
        const char *name;
        double (*function)(double x);
        double largest; /* of the arguments */
    } subject[] = {
        {"fmath/exp", uh_exp, 1e4},       {"fmath/expm1", uh_expm1, 1e4},
        {"fmath/log", uh_log, 1e300},     {"fmath/log1p", uh_log1p, 1e300},
        {"fmath/tanh", uh_tanh, 1e3},     {"fmath/sigmoid", uh_sigmoid, 1e3},
        {"fmath/sin", uh_sin, 0x1.9p+21}, {"fmath/cos", uh_cos, 0x1.9p+21},
    };
    const size_t count = scene->quick ? 20000 : 200000;
    for (size_t f = 0; f < sizeof subject / sizeof *subject; f++) {
        struct uh_digest d;
        struct uh_stream s = uh_stream_open("bits/%s", subject[f].name);
        uh_digest_start(&d);
        for (size_t i = 0; i < count; i++) {
            double x = 2 * uh_stream_uniform(&s) - 1;
            x = ldexp(x, (int)uh_stream_below(&s, i % 4 ? 12 : 900) -
                             (i % 4 ? 4 : 450));
            x = fabs(x) <= subject[f].largest ? x : subject[f].largest;
            double y = subject[f].function(x);
            add_doubles(&d, 1, &y);
        }
        print(&d, subject[f].name);
    }
}

/* --- randomness ------------------------------------------------------------- */

static void randomness(const struct scene *scene)
{
    enum { PERMUTED = 5000 };
    struct uh_digest d;
    struct uh_stream s = uh_stream_open("bits/stream");
    uh_digest_start(&d);
    for (size_t i = 0; i < 20000; i++) {
        double x[2] = {uh_stream_uniform(&s), (double)uh_stream_uniformf(&s)};
        add_doubles(&d, 2, x);
    }
    print(&d, "stream/uniform");
    uh_digest_start(&d);
    for (size_t i = 0; i < (scene->quick ? 20000 : 200000); i++) {
        double x = uh_stream_normal(&s);
        add_doubles(&d, 1, &x);
    }
    print(&d, "stream/normal");
    uint32_t p[PERMUTED];
    uh_stream_permutation(&s, PERMUTED, p);
    uh_digest_start(&d);
    for (size_t i = 0; i < PERMUTED; i++) {
        double x = p[i];
        add_doubles(&d, 1, &x);
    }
    print(&d, "stream/permutation");
}

/* --- products --------------------------------------------------------------- */

/* Mostly ordinary numbers; some zeros of both signs, subnormal numbers, and,
 * in every eighth matrix, infinities. */
static void fill(struct uh_stream *s, size_t n, float x[], int infinities)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t kind = uh_stream_below(s, 64);
        x[i] = 2 * uh_stream_uniformf(s) - 1;
        x[i] = kind == 0   ? copysignf(0, x[i])
               : kind == 1 ? x[i] * 0x1p-130F
               : kind == 2 ? x[i] * 0x1p60F
               : kind == 3 ? x[i] * 0x1p-75F
               : kind == 4 && infinities && i % 16 == 0
                   ? copysignf(INFINITY, x[i])
                   : x[i];
    }
}

static size_t side(struct uh_stream *s, size_t most)
{
    return uh_stream_below(s, 8) ? uh_stream_below(s, most)
                                 : uh_stream_below(s, 8 * most);
}

static void products(const struct scene *scene)
{
    static const char *const name[] = {"mat/nn", "mat/nt", "mat/tn"};
    for (int op = UH_NN; op <= UH_TN; op++) {
        struct uh_digest d;
        struct uh_stream s = uh_stream_open("bits/%s", name[op]);
        uh_digest_start(&d);
        for (size_t t = 0; t < (scene->quick ? 100 : 400); t++) {
            struct uh_mark mark = uh_arena_open(scene->arena);
            size_t m = side(&s, 60), n = side(&s, 60), k = side(&s, 60);
            size_t extra = uh_stream_below(&s, 5);
            size_t lda = (op == UH_TN ? m : k) + extra;
            size_t ldb = (op == UH_NT ? k : n) + extra, ldc = n + extra;
            size_t a_size = lda * (op == UH_TN ? k : m);
            size_t b_size = ldb * (op == UH_NT ? n : k), c_size = ldc * m;
            float *a = uh_arena_alloc(scene->arena, a_size, sizeof *a);
            float *b = uh_arena_alloc(scene->arena, b_size, sizeof *b);
            float *c = uh_arena_alloc(scene->arena, c_size, sizeof *c);
            fill(&s, a_size, a, t % 8 == 0);
            fill(&s, b_size, b, t % 8 == 0);
            fill(&s, c_size, c, 0);
            uh_sgemm(scene->pool, (enum uh_gemm)op, m, n, k, a, lda, b, ldb,
                     t % 2 ? UH_FROM_C : UH_FROM_ZERO, c, ldc);
            add_floats(&d, c_size, c);
            uh_arena_release(scene->arena, mark);
        }
        print(&d, name[op]);
    }
}

static void sums(const struct scene *scene)
{
    enum { COUNT = 10007 };
    (void)scene;
    struct uh_stream s = uh_stream_open("bits/sums");
    static float x[COUNT], y[COUNT];
    static double u[COUNT], v[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        u[i] = uh_stream_normal(&s);
        v[i] = uh_stream_normal(&s);
        x[i] = (float)u[i];
        y[i] = (float)v[i];
    }
    double sum[4] = {uh_sum(COUNT, u), uh_dot(COUNT, u, v), uh_sumf(COUNT, x),
                     uh_dotf(COUNT, x, y)};
    struct uh_digest d;
    uh_digest_start(&d);
    add_doubles(&d, 4, sum);
    print(&d, "mat/sums");
}

/* --- data ------------------------------------------------------------------- */

static void data_sets(const struct scene *scene)
{
    struct uh_dataset set;
    for (int i = 0; i < 2; i++) {
        struct uh_mark mark = uh_arena_open(scene->arena);
        struct uh_digest d;
        size_t count = scene->quick ? 50 : 200;
        (i ? uh_shapes : uh_strokes)("bits", count, scene->pool, scene->arena,
                                     &set);
        uh_digest_start(&d);
        add_floats(&d, count * uh_shape_size(set.shape), set.x);
        add_floats(&d, count * set.latents, set.latent);
        uh_digest_add(&d, set.y, count);
        print(&d, i ? "shapes" : "strokes");
        uh_arena_release(scene->arena, mark);
    }
}

/* --- networks --------------------------------------------------------------- */

static const struct {
    const char *name, *arch;
    int shapes; /* trained on shapes, else on strokes */
    int adam;
    size_t shards;
} networks[] = {
    {"net/lenet",
     "input 1 28 28; conv 32 5 5; maxpool 3; relu; conv 64 5 5; maxpool 2; "
     "relu; flatten; dense 200; relu; dense 10",
     0, 0, 4},
    {"net/dense", "input 1 28 28; flatten; dense 150; relu; dense 10", 0, 1, 1},
    {"net/residual",
     "input 3 32 32; conv 6 3 3 stride=2 pad=1; batchnorm; relu; mark a; "
     "conv 6 3 3 pad=2 dilation=2 groups=2; batchnorm; add a; leakyrelu 0.1; "
     "meanpool 2; maxpool 3 stride=2 pad=1 ceil=1; elu 1; flatten; dense 20; "
     "tanh; dense 20; sigmoid; dense 20; softplus; dense 10",
     1, 0, 3},
    {"net/branches",
     "input 3 32 32; conv 5 3 3 stride=2 pad=1; relu; lrn 3; mark s; "
     "conv 4 1 1; relu; mark a; from s; conv 4 3 3 pad=1; relu; cat a; "
     "maxpool 3 stride=2 ceil=1; conv 4 3 3 groups=2; meanpool 2; flatten; "
     "dense 10",
     1, 1, 2},
};

static void pass(const struct scene *scene, const char *name,
                 const struct uh_net *net, const struct uh_dataset *set)
{
    size_t n = set->count < 70 ? set->count : 70, in = uh_shape_size(net->in);
    size_t out = uh_shape_size(net->out);
    struct uh_digest d;
    char subject[64];
    float *y = uh_arena_alloc(scene->arena, n * out, sizeof *y);
    float *dy = uh_arena_alloc(scene->arena, n * out, sizeof *dy);
    float *dx = uh_arena_alloc(scene->arena, n * in, sizeof *dx);
    float *dp = uh_arena_alloc(scene->arena, net->parameter_count, sizeof *dp);
    uh_net_forward(net, scene->pool, n, set->x, y);
    double loss = uh_loss_softmax(n, out, y, set->y, 1.0 / (double)n, dy);
    uh_digest_start(&d);
    add_floats(&d, n * out, y);
    add_doubles(&d, 1, &loss);
    snprintf(subject, sizeof subject, "%s/forward", name);
    print(&d, subject);
    uh_digest_start(&d);
    for (int training = 0; training < 2; training++) {
        struct uh_trace trace =
            uh_net_trace(net, scene->pool, n, set->x, training, scene->arena);
        uh_net_backward(net, scene->pool, &trace, dy, dp, dx);
        add_floats(&d, n * in, dx);
        add_floats(&d, net->parameter_count, dp);
    }
    snprintf(subject, sizeof subject, "%s/backward", name);
    print(&d, subject);
}

static void train(const struct scene *scene, size_t i, struct uh_net *net,
                  const struct uh_dataset *set)
{
    struct uh_error error;
    struct uh_train how = uh_train_defaults();
    struct uh_digest d;
    char subject[64];
    how.epochs = scene->quick ? 1 : 2;
    how.batch = 24;
    how.shards = networks[i].shards;
    how.optim.rule = networks[i].adam ? UH_ADAM : UH_SGD;
    how.optim.decay = 1e-4F;
    how.stream = networks[i].name;
    if (uh_train(net, scene->pool, set, &how, scene->arena, &error) != UH_OK) {
        uh_die_error(&error);
    }
    struct uh_score score = uh_evaluate(net, scene->pool, set, NULL);
    double number[2] = {score.loss, (double)score.correct};
    uh_digest_start(&d);
    add_floats(&d, net->parameter_count, net->parameters);
    add_floats(&d, net->state_count, net->state);
    add_doubles(&d, 2, number);
    snprintf(subject, sizeof subject, "%s/train", networks[i].name);
    print(&d, subject);
}

static void all_networks(const struct scene *scene)
{
    size_t count = scene->quick ? 60 : 200;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        struct uh_mark mark = uh_arena_open(scene->arena);
        struct uh_dataset set;
        (networks[i].shapes ? uh_shapes : uh_strokes)(
            "bits", count, scene->pool, scene->arena, &set);
        struct uh_net net = uh_net_make(networks[i].arch, scene->arena);
        uh_net_init(&net, networks[i].name);
        pass(scene, networks[i].name, &net, &set);
        train(scene, i, &net, &set);
        uh_arena_release(scene->arena, mark);
    }
}

static void zoo(const struct scene *scene)
{
    struct uh_digest d;
    uh_digest_start(&d);
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        struct uh_mark mark = uh_arena_open(scene->arena);
        char hex[65];
        struct uh_zoo entry = uh_zoo_entry(i, scene->arena);
        uh_net_digest(&entry.net, hex);
        uh_digest_add(&d, hex, sizeof hex);
        uh_arena_release(scene->arena, mark);
    }
    print(&d, "zoo");
}

static int print_kernels(void)
{
    for (int i = UH_KERNEL_PORTABLE; i <= UH_KERNEL_AVX512; i++) {
        if (uh_kernel_runs((enum uh_kernel)i)) {
            puts(uh_kernel_name((enum uh_kernel)i));
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct scene scene = {.quick =
                              argc == 2 && strcmp(argv[1], "--quick") == 0};
    if (argc == 2 && strcmp(argv[1], "--kernels") == 0) {
        return print_kernels();
    }
    if (argc > 1 + scene.quick) {
        uh_die_usage("expected --quick, --kernels or nothing, found %s",
                     argv[1]);
    }
    uh_lane_check();
    scene.arena = uh_arena_new();
    scene.pool = uh_pool_open(0);
    float_functions(&scene);
    double_functions(&scene);
    randomness(&scene);
    products(&scene);
    sums(&scene);
    data_sets(&scene);
    zoo(&scene);
    all_networks(&scene);
    uh_pool_close(&scene.pool);
    uh_arena_free(&scene.arena);
    return 0;
}
