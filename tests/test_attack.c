/* test_attack.c: inputs that are close and get another label. */
#include "attack.h"
#include "stream.h"
#include "zoo.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { IN = 6, CLASSES = 10 };

/* The least of (z_l - z_k) / |w_l - w_k|. */
static double to_the_nearest_plane(const float *w, const float *z, size_t l)
{
    double least = (double)INFINITY;
    for (size_t k = 0; k < CLASSES; k++) {
        double square = 0;
        for (size_t i = 0; i < IN; i++) {
            double d = (double)w[IN * l + i] - (double)w[IN * k + i];
            square += d * d;
        }
        if (k != l) {
            least = fmin(least, ((double)z[l] - (double)z[k]) / sqrt(square));
        }
    }
    return least;
}

static void the_nearest_plane_of_a_linear_classifier_is_found(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make("input 6; dense 10", arena);
    uh_net_init(&net, "test/attack/linear");
    struct uh_stream s = uh_stream_open("test/attack/points");
    for (int t = 0; t < 50; t++) {
        float x[IN], z[CLASSES];
        for (size_t i = 0; i < IN; i++) {
            x[i] = (float)uh_stream_normal(&s);
        }
        uh_net_forward(&net, pool, 1, x, z);
        size_t l = uh_argmax(CLASSES, z);
        double want = to_the_nearest_plane(net.layer[0].weight, z, l);
        double found = uh_attack_nearest(&net, pool, x, l, 20);
        assert_true(found >= want * (1 - 1e-3) - 1e-6);
        assert_true(found <= want * (1 + 1e-3) + 1e-4);
        assert_true(uh_attack_nearest(&net, pool, x, (l + 1) % CLASSES, 20) ==
                    0);
        assert_true(isinf(uh_attack_nearest(&net, pool, x, l, 0)));
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void the_distance_of_the_zoo_is_found(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_zoo zoo = uh_zoo_named("affine-classifier", arena);
    double found = uh_attack_nearest(&zoo.net, pool, zoo.point, 0, 20);
    assert_true(fabs(found - zoo.distance) <= 1e-3 * zoo.distance);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* A constant network has one label: nothing is found, nothing hangs. */
static void a_constant_network_has_no_nearest(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make("input 3; dense 2", arena);
    const float x[3] = {1, 2, 3};
    net.layer[0].bias[1] = 1;
    assert_true(isinf(uh_attack_nearest(&net, pool, x, 1, 20)));
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* For two classes the loss grows along w_other - w_label. */
static void fgsm_moves_each_entry_against_the_label(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_net net = uh_net_make("input 3; dense 2", arena);
    const float w[6] = {1, -2, 0.5F, 3, -5, 0.5F};
    const float x[6] = {0, 0, 0, 1, 1, 1};
    const uint8_t labels[2] = {0, 1};
    float y[6];
    for (size_t i = 0; i < 6; i++) {
        net.layer[0].weight[i] = w[i];
    }
    uh_attack_fgsm(&net, pool, 2, x, labels, 0.25F, y);
    const float want[6] = {0.25F, -0.25F, 0, 0.75F, 1.25F, 1};
    for (size_t i = 0; i < 6; i++) {
        assert_true(y[i] == want[i]);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_plane_of_a_linear_classifier_is_found),
        cmocka_unit_test(the_distance_of_the_zoo_is_found),
        cmocka_unit_test(a_constant_network_has_no_nearest),
        cmocka_unit_test(fgsm_moves_each_entry_against_the_label),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("attack", tests, NULL, NULL) != 0;
}
