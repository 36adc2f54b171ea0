/* test_stats.c: intervals and least squares. */
#include "die.h"
#include "stats.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void near_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) {
        fail_msg("got %.17g, want %.17g, tol %g", got, want, tolerance);
    }
}

/* With no hit the upper end solves (1 - p)^n = tail, by hand. */
static void clopper_pearson_without_a_hit_is_known(void **state)
{
    (void)state;
    struct uh_interval none = uh_clopper_pearson(0, 10, 0.95);
    assert_true(none.lower == 0);
    near_to(none.upper, 1 - pow(0.025, 0.1), 1e-12);
    struct uh_interval all = uh_clopper_pearson(10, 10, 0.95);
    assert_true(all.upper == 1);
    near_to(all.lower, pow(0.025, 0.1), 1e-12);
}

/* The definition: at each end the binomial tail beyond the hits is 2.5 %. */
static void clopper_pearson_answers_for_every_count(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 4000; n = n < 500 ? 2 * n + 1 : n + 1063) {
        double before = -1;
        for (size_t k = 0; k <= n; k++) {
            struct uh_interval i = uh_clopper_pearson(k, n, 0.95);
            double rate = (double)k / (double)n;
            assert_true(i.lower >= 0 && i.lower <= rate);
            assert_true(i.upper >= rate && i.upper <= 1);
            assert_true(i.lower > before); /* grows with the hits */
            before = k ? i.lower : -1e-300;
        }
    }
}

static void clopper_pearson_ends_have_the_binomial_tails(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 200; n += 7) {
        for (unsigned k = 1; k < n; k += 3) {
            struct uh_interval i = uh_clopper_pearson(k, n, 0.95);
            near_to(gsl_cdf_binomial_P(k, i.upper, n), 0.025, 1e-9);
            near_to(gsl_cdf_binomial_Q(k - 1, i.lower, n), 0.025, 1e-9);
        }
    }
}

/* Two values x < y: the t distribution with one degree is Cauchy's, whose
 * quantile at 3/4 is 1; the half width at level 1/2 is |y - x| / 2. */
static void student_of_two_values_is_known(void **state)
{
    (void)state;
    double x[2] = {3, 7};
    struct uh_interval i = uh_student(2, x, 0.5);
    near_to(i.lower, 3, 1e-9);
    near_to(i.upper, 7, 1e-9);
}

static void deviation_of_an_arithmetic_sequence_is_known(void **state)
{
    (void)state;
    double x[5] = {1, 2, 3, 4, 5};
    assert_true(uh_mean(5, x) == 3);
    near_to(uh_deviation(5, x), sqrt(2.5), 1e-15);
    assert_true(uh_deviation(1, x) == 0);
}

static void sorting_keeps_the_numbers_and_puts_them_in_order(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/stats/sort");
    for (size_t n = 0; n <= 40; n++) {
        double x[41], y[41];
        for (size_t i = 0; i < n; i++) {
            x[i] = y[i] = (double)uh_stream_below(&s, 20) - 10; /* some twice */
        }
        uh_sort(n, y);
        for (size_t i = 0; i < n; i++) {
            int before = 0, after = 0;
            for (size_t k = 0; k < n; k++) {
                before += x[k] == x[i];
                after += y[k] == x[i];
            }
            assert_true(i == 0 || y[i - 1] <= y[i]);
            assert_int_equal(before, after);
        }
    }
}

static void a_constant_sample_has_no_spread(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream stream = uh_stream_open("test/stats/constant");
    double x[4] = {2.5, 2.5, 2.5, 2.5};
    struct uh_interval i = uh_bootstrap_mean(4, x, 100, 0.95, &stream, arena);
    assert_true(i.lower == 2.5 && i.upper == 2.5);
    uh_arena_free(&arena);
}

/* For a large normal sample bootstrap and Student agree to a few per cent of
 * the width. */
static void bootstrap_of_a_normal_sample_is_students(void **state)
{
    (void)state;
    enum { N = 400 };
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream draw = uh_stream_open("test/stats/normal");
    struct uh_stream stream = uh_stream_open("test/stats/resample");
    double x[N];
    for (size_t i = 0; i < N; i++) {
        x[i] = uh_stream_normal(&draw);
    }
    struct uh_interval b = uh_bootstrap_mean(N, x, 10000, 0.95, &stream, arena);
    struct uh_interval t = uh_student(N, x, 0.95);
    near_to(b.lower, t.lower, 0.05 * (t.upper - t.lower));
    near_to(b.upper, t.upper, 0.05 * (t.upper - t.lower));
    uh_arena_free(&arena);
}

/* An interval at 95 % misses the truth in about 5 % of many samples; a
 * bootstrap that forgot to resample, or took the wrong tail, would not. */
static void bootstrap_covers_about_as_often_as_it_says(void **state)
{
    (void)state;
    enum { N = 30, SAMPLES = 400 };
    struct uh_arena *arena = uh_arena_new();
    size_t missed = 0;
    for (int s = 0; s < SAMPLES; s++) {
        struct uh_stream draw = uh_stream_open("test/stats/cover/%d", s);
        struct uh_stream again = uh_stream_open("test/stats/again/%d", s);
        double x[N];
        for (size_t i = 0; i < N; i++) {
            x[i] = uh_stream_normal(&draw);
        }
        struct uh_interval b =
            uh_bootstrap_mean(N, x, 400, 0.95, &again, arena);
        missed += b.lower > 0 || b.upper < 0;
    }
    assert_in_range(missed, 8, 50);
    uh_arena_free(&arena);
}

static double sum_of_picks(const void *context, size_t n,
                           const uint32_t pick[n])
{
    (void)context;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_true(pick[i] < n);
        sum += pick[i];
    }
    return sum;
}

static void bootstrap_repeats_with_its_stream(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_statistic sum = {sum_of_picks, NULL};
    struct uh_stream one = uh_stream_open("test/stats/repeat");
    struct uh_stream two = one, other = uh_stream_open("test/stats/other");
    struct uh_interval a = uh_bootstrap(50, sum, 101, 0.9, &one, arena);
    struct uh_interval b = uh_bootstrap(50, sum, 101, 0.9, &two, arena);
    struct uh_interval c = uh_bootstrap(50, sum, 101, 0.9, &other, arena);
    assert_true(a.lower == b.lower && a.upper == b.upper);
    assert_false(a.lower == c.lower && a.upper == c.upper);
    assert_true(a.lower < a.upper);
    uh_arena_free(&arena);
}

static void a_line_is_found_and_misfits_are_orthogonal(void **state)
{
    (void)state;
    double x[4] = {1, 2, 4, 8}, y[4] = {5, 7, 11, 19};
    struct uh_fit line = uh_fit_line(4, x, y);
    near_to(line.slope, 2, 1e-14);
    near_to(line.intercept, 3, 1e-14);
    near_to(line.residual, 0, 1e-24);

    double z[4] = {5, 6, 12, 18}, sum = 0, moment = 0, squares = 0;
    line = uh_fit_line(4, x, z);
    for (size_t i = 0; i < 4; i++) {
        double miss = z[i] - line.intercept - line.slope * x[i];
        sum += miss;
        moment += miss * x[i];
        squares += miss * miss;
    }
    near_to(sum, 0, 1e-13);
    near_to(moment, 0, 1e-12);
    near_to(line.residual, squares, 1e-13);
}

/* Runs the breach in a child and expects it to abort. */
static void aborts(void (*breach)(void))
{
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(3);
        }
        breach();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void more_hits_than_trials(void)
{
    uh_clopper_pearson(3, 2, 0.95);
}

static void equal_abscissas(void)
{
    double x[2] = {1, 1}, y[2] = {0, 1};
    uh_fit_line(2, x, y);
}

static void a_nan(void)
{
    double x[2] = {1, (double)NAN};
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream stream = uh_stream_open("test/stats/nan");
    uh_bootstrap_mean(2, x, 100, 0.95, &stream, arena);
}

static void broken_contracts_stop_the_program(void **state)
{
    (void)state;
    aborts(more_hits_than_trials);
    aborts(equal_abscissas);
    aborts(a_nan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clopper_pearson_without_a_hit_is_known),
        cmocka_unit_test(clopper_pearson_answers_for_every_count),
        cmocka_unit_test(clopper_pearson_ends_have_the_binomial_tails),
        cmocka_unit_test(student_of_two_values_is_known),
        cmocka_unit_test(deviation_of_an_arithmetic_sequence_is_known),
        cmocka_unit_test(sorting_keeps_the_numbers_and_puts_them_in_order),
        cmocka_unit_test(a_constant_sample_has_no_spread),
        cmocka_unit_test(bootstrap_of_a_normal_sample_is_students),
        cmocka_unit_test(bootstrap_covers_about_as_often_as_it_says),
        cmocka_unit_test(bootstrap_repeats_with_its_stream),
        cmocka_unit_test(a_line_is_found_and_misfits_are_orthogonal),
        cmocka_unit_test(broken_contracts_stop_the_program),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
