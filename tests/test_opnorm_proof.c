/* test_opnorm_proof.c: what rounding may add is in what opnorm proves. */
#include "opnorm_parts.h"
#include "scratch.h"
#include "stream.h"

#include <math.h>

enum { N = 16, TRIALS = 2000 };

/* g = (d - b) I + b 11' has the largest eigenvalue d + (N - 1) b, a sum of two
 * doubles; tau is a little less.  tau - g has no factor, yet now and then
 * rounding lets one be found. */
static void a_factor_that_rounding_lets_pass_is_paid_for(void **state)
{
    (void)state;
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_arena *arena = uh_arena_new();
    double *packed = uh_arena_alloc(arena, uh_below_room(N), sizeof *packed);
    for (enum uh_kernel kernel = 0; kernel <= UH_KERNEL_AVX512; kernel++) {
        struct uh_stream s = uh_stream_open("test/opnorm/proof/below");
        size_t passed = 0;
        for (size_t t = 0; t < TRIALS && uh_kernel_runs(kernel); t++) {
            double g[N * N], slack = (double)NAN;
            const double d = 1 + uh_stream_uniform(&s);
            const double b = (double)uh_stream_uniformf(&s);
            for (size_t i = 0; i < N * N; i++) {
                g[i] = i % (N + 1) ? b : d;
            }
            const double rest = (N - 1) * b; /* exact */
            const double sum = d + rest, part = sum - d;
            const double left = (d - (sum - part)) + (rest - part);
            const double tau = sum * (1 - (double)(t % 4) * 0x1p-53);
            const double above = sum - tau + left; /* the eigenvalue less tau */
            if (above > 0 && uh_below(uh_opnorm_kernel_of(kernel), pool, N, g,
                                      tau, packed, &slack)) {
                passed++;
                assert_true(slack >= above);
            }
        }
        assert_true(passed > TRIALS / 100 || !uh_kernel_runs(kernel));
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* One step of the matrix 1, of which a residual of 0 was measured.  The product
 * itself may be off by a unit of rounding: a start that has less of the top
 * vector than that tells nothing of it, one that has much more does. */
static void
less_of_a_vector_than_the_product_rounds_refutes_nothing(void **state)
{
    (void)state;
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net = uh_net_make("input 1; dense 1", arena);
    net.layer[0].weight[0] = 1;
    double one = 1, none = 0;
    const struct uh_krylov run = {
        .map = uh_map_of(&net.layer[0], NULL, 1, pool, arena),
        .dim = 1,
        .steps = 1,
        .alpha = &one,
        .beta = &none,
        .residual = &none,
        .leak = &none};
    assert_false(uh_krylov_refutes(&run, UH_UNIT / 2, 1.5));
    assert_true(uh_krylov_refutes(&run, 0x1p10 * UH_UNIT, 1.5));
    assert_false(uh_krylov_refutes(&run, 1, 1));
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_factor_that_rounding_lets_pass_is_paid_for),
        cmocka_unit_test(
            less_of_a_vector_than_the_product_rounds_refutes_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
