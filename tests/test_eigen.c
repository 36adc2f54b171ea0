/* test_eigen.c: eigenvalues of small symmetric matrices. */
#include "eigen.h"
#include "stream.h"

#include <lapacke.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 40 };

static void fill(struct uh_stream *s, size_t n, double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            a[i * n + j] = a[j * n + i] = uh_stream_normal(s);
        }
    }
}

static int ascending(const void *p, const void *q)
{
    double a = *(const double *)p, b = *(const double *)q;
    return (a > b) - (a < b);
}

static void eigenvalues_are_those_of_lapack(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/eigen");
    for (size_t n = 1; n <= MOST; n++) {
        double a[MOST * MOST], b[MOST * MOST], mine[MOST], theirs[MOST];
        fill(&s, n, a);
        memcpy(b, a, sizeof a);
        uh_eigen_symmetric(n, a, NULL);
        for (size_t i = 0; i < n; i++) {
            mine[i] = a[i * n + i];
        }
        qsort(mine, n, sizeof *mine, ascending);
        lapack_int info =
            LAPACKE_dsyev(LAPACK_ROW_MAJOR, 'N', 'U', (lapack_int)n, b,
                          (lapack_int)n, theirs);
        assert_int_equal(info, 0);
        for (size_t i = 0; i < n; i++) {
            assert_true(fabs(mine[i] - theirs[i]) <=
                        1e-14 * (double)n * fabs(theirs[n - 1]) + 1e-14);
        }
    }
}

static void vectors_take_the_matrix_apart(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/eigen/vectors");
    for (size_t n = 1; n <= 12; n++) {
        double a[MOST * MOST], d[MOST * MOST], q[MOST * MOST];
        fill(&s, n, a);
        memcpy(d, a, sizeof a);
        uh_eigen_symmetric(n, d, q);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0, dot = 0;
                for (size_t k = 0; k < n; k++) {
                    sum += q[i * n + k] * d[k * n + k] * q[j * n + k];
                    dot += q[k * n + i] * q[k * n + j];
                }
                assert_true(fabs(sum - a[i * n + j]) <= 1e-13);
                assert_true(fabs(dot - (i == j)) <= 1e-14);
            }
        }
    }
}

/* (1, 2, 2)(2, 3, 6)' has the norm 3 times 7; ((3, 0), (4, 5)) the singular
 * values 3 sqrt 5 and sqrt 5. */
static void known_norms_are_found(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    const float one[] = {2, 3, 6, 4, 6, 12, 4, 6, 12};
    const float two[] = {3, 0, 4, 5}, tall[] = {3, 4, 0, 12};
    double value[4];
    assert_true(fabs(uh_matrix_norm(3, 3, one, arena) - 21) <= 1e-13);
    uh_singular_values(2, 2, two, value, arena);
    assert_true(fabs(value[0] - 3 * sqrt(5)) <= 1e-14);
    assert_true(fabs(value[1] - sqrt(5)) <= 1e-14);
    assert_true(uh_matrix_norm(4, 1, tall, arena) == 13);
    const float high[] = {3, 0, 0, 0, 4, 5}; /* ((3, 0), (4, 5)), apart */
    assert_true(fabs(uh_matrix_norm(3, 2, high, arena) - 3 * sqrt(5)) <= 1e-14);
    assert_true(uh_matrix_norm(1, 4, tall, arena) == 13);
    uh_singular_values(4, 1, tall, value, arena);
    assert_true(fabs(value[0] - 13) <= 1e-14 && value[1] <= 1e-6);
    uh_arena_free(&arena);
}

static void zero_and_diagonal_matrices_stay_as_they_are(void **state)
{
    (void)state;
    double zero[9] = {0}, diagonal[9] = {2, 0, 0, 0, -3, 0, 0, 0, 1};
    assert_true(uh_eigen_largest(3, zero) == 0);
    assert_true(uh_eigen_largest(3, diagonal) == 2);
    double negative[4] = {-1, 0, 0, -2};
    assert_true(uh_eigen_largest(2, negative) == -1);
}

/* ((4, 2), (2, 5)) = ((2, 0), (1, 2)) ((2, 1), (0, 2)). */
static void cholesky_solves_and_refuses(void **state)
{
    (void)state;
    double a[4] = {1, 2, 2, 1}, b[4] = {4, 2, 2, 5}, x[2] = {6, 7};
    double thin[4] = {1, 1, 1, 1.0001}, nan[1] = {(double)NAN};
    assert_false(uh_cholesky(2, a, 0));
    assert_true(uh_cholesky(2, b, 1e-8));
    assert_true(b[0] == 2 && b[2] == 1 && b[3] == 2);
    uh_solve_lower(2, b, x);
    assert_true(x[0] == 3 && x[1] == 2);
    uh_solve_lower_transposed(2, b, x);
    assert_true(x[0] == 1 && x[1] == 1);
    assert_false(uh_cholesky(2, thin, 0.001));
    assert_false(uh_cholesky(1, nan, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvalues_are_those_of_lapack),
        cmocka_unit_test(vectors_take_the_matrix_apart),
        cmocka_unit_test(known_norms_are_found),
        cmocka_unit_test(cholesky_solves_and_refuses),
        cmocka_unit_test(zero_and_diagonal_matrices_stay_as_they_are),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("eigen", tests, NULL, NULL) != 0;
}
