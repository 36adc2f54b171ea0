/* test_torchvision.c: published networks by the names of their tensors, against
 * their published sizes, and against logits that were computed elsewhere. */
#include "scratch.h"

#include "lane.h"
#include "npy.h"
#include "ppm.h"
#include "torchvision.h"

#include <math.h>

/* -- the networks themselves ------------------------------------------------ */

static const char *const photos[] = {"astronaut", "chelsea", "coffee", "dog",
                                     "rocket"};
enum { PHOTOS = sizeof photos / sizeof *photos, SIDE_MOST = 227 };

struct published {
    const char *file, *answers, *model;
    struct uh_torchvision_options options;
    enum uh_torchvision_pixels pixels;
    size_t outputs;
    bool averaged; /* the answers are means over places */
};

static const struct published published[] = {
    {"squeezenet1_1", "squeezenet1_1", "squeezenet1_1", .outputs = 1000},
    {"squeezenet1_0_deepcompression",
     "squeezenet1_0_deepcompression",
     "squeezenet1_0",
     {.in = {3, 227, 227}, .classifier_pad = 1},
     UH_PIXELS_BGR,
     .outputs = 1000},
    {"resnet18_ktb", "resnet18_ktb", "resnet18", .outputs = 1000},
    {"resnet50_ktb_factored", "resnet50_ktb", "resnet50", .outputs = 1000},
    {"resnet18_torchvision_folded_partial",
     "resnet18_torchvision_folded_partial_layer3mean",
     "resnet18",
     {.until = "layer3"},
     .outputs = 256,
     .averaged = true},
    {"alexnet_qcnn_conv", "alexnet_qcnn_conv_pool5", "alexnet-bvlc",
     .pixels = UH_PIXELS_BGR, .outputs = 9216},
};

static void require_ok(enum uh_status status, const struct uh_error *error)
{
    if (status != UH_OK) {
        fail_msg("%s", error->text);
    }
}

/* Means over the places of each channel. */
static void average(struct uh_shape shape, const float *x, double *mean)
{
    size_t places = shape.height * shape.width;
    for (size_t c = 0; c < shape.channels; c++) {
        mean[c] = 0;
        for (size_t p = 0; p < places; p++) {
            mean[c] += (double)x[c * places + p] / (double)places;
        }
    }
}

/* The largest difference from the answers, relative to the largest answer; the
 * first of the largest must be the same one. */
static double compare(const struct published *p, size_t photo,
                      const struct uh_torchvision *t, const float *y,
                      struct uh_arena *arena)
{
    char path[2 * PATH];
    struct uh_error error;
    struct uh_npy want;
    double *mean = uh_arena_alloc(arena, p->outputs, sizeof *mean);
    snprintf(path, sizeof path, "%s/imagenet/logits/%s__%s.npy", data_folder(),
             p->answers, photos[photo]);
    require_ok(uh_npy_read(path, arena, &want, &error), &error);
    assert_int_equal(want.count, p->outputs);
    if (p->averaged) {
        average(t->net.out, y, mean);
    }
    size_t first = 0, first_wanted = 0;
    double off = 0, largest = 0;
    for (size_t i = 0; i < p->outputs; i++) {
        double v = p->averaged ? mean[i] : (double)y[i];
        double w = (double)want.f32[i];
        off = fmax(off, fabs(v - w));
        largest = fmax(largest, fabs(w));
        double best = p->averaged ? mean[first] : (double)y[first];
        first = v > best ? i : first;
        first_wanted = w > (double)want.f32[first_wanted] ? i : first_wanted;
        assert_true(isfinite(v));
    }
    assert_int_equal(first, first_wanted);
    return off / largest;
}

static void check_published(const struct published *p)
{
    if (!data_folder()) {
        skip();
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(0);
    struct uh_torchvision t;
    struct uh_error error;
    char path[2 * PATH], digest[65];
    snprintf(path, sizeof path, "%s/imagenet/%s.safetensors", data_folder(),
             p->file);
    require_ok(
        uh_torchvision_load(path, &p->options, arena, &t, digest, &error),
        &error);
    assert_string_equal(t.model, p->model);
    size_t side = t.net.in.height, size = uh_shape_size(t.net.out);
    float *x = uh_arena_alloc(arena, 3 * side * side, sizeof *x);
    float *y = uh_arena_alloc(arena, size, sizeof *y);
    double worst = 0;
    for (size_t i = 0; i < PHOTOS; i++) {
        struct uh_picture photo;
        snprintf(path, sizeof path, "%s/imagenet/photos/%s.ppm", data_folder(),
                 photos[i]);
        require_ok(uh_ppm_read(path, arena, &photo, &error), &error);
        uh_torchvision_input(&photo, p->pixels, side, side, x);
        uh_net_forward(&t.net, pool, 1, x, y);
        worst = fmax(worst, compare(p, i, &t, y, arena));
    }
    print_message("# %s: off by at most %.2g of the largest output\n", p->file,
                  worst);
    assert_true(worst <= 1e-4);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void squeezenet_1_1_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[0]);
}

static void
deep_compression_s_squeezenet_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[1]);
}

static void resnet_18_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[2]);
}

static void resnet_50_gives_the_reference_logits_from_codebooks(void **state)
{
    (void)state;
    check_published(&published[3]);
}

static void half_a_folded_resnet_18_gives_the_reference_means(void **state)
{
    (void)state;
    check_published(&published[4]);
}

static void bvlc_s_alexnet_gives_the_reference_features(void **state)
{
    (void)state;
    check_published(&published[5]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squeezenet_1_1_gives_the_reference_logits),
        cmocka_unit_test(
            deep_compression_s_squeezenet_gives_the_reference_logits),
        cmocka_unit_test(resnet_18_gives_the_reference_logits),
        cmocka_unit_test(resnet_50_gives_the_reference_logits_from_codebooks),
        cmocka_unit_test(half_a_folded_resnet_18_gives_the_reference_means),
        cmocka_unit_test(bvlc_s_alexnet_gives_the_reference_features),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
