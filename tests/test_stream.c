/* test_stream.c: tests of lib/stream.[ch].
 *
 * Every stream has a name, so each test has one outcome for ever; LEVEL is
 * the chance that a correct generator would have failed a statistical test
 * when its name was chosen. */
#include "stream.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_randist.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const double LEVEL = 1e-6;

/* kat_vectors of Random123 (Salmon et al.), philox4x32 with 10 rounds. */
static const struct {
    uint32_t counter[4], key[2], out[4];
} published[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        uint32_t out[4];
        uh_philox(published[i].counter, published[i].key, out);
        assert_memory_equal(out, published[i].out, sizeof out);
    }
}

static void key_is_the_first_eight_bytes_of_the_digest(void **state)
{
    (void)state;
    /* SHA-256 of "abc" begins ba7816bf 8f01cfea (FIPS 180-4). */
    struct uh_stream s = uh_stream_open("%s", "abc");
    assert_int_equal(s.key[0], 0xbf1678ba);
    assert_int_equal(s.key[1], 0xeacf018f);
}

/* By a dozen lines of Python: hashlib, and Philox from the paper. */
static void named_stream_gives_the_words_of_the_python_twin(void **state)
{
    (void)state;
    static const uint32_t want[8] = {0xd728cce6, 0x34d5e33e, 0x41c726bc,
                                     0xdf82a609, 0xc25ff3cf, 0x95084bb1,
                                     0xcbab98ad, 0x881de059};
    struct uh_stream s = uh_stream_open("knots/count/seed=%d", 3);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(uh_stream_u32(&s), want[i]);
}

static void counter_carries_through_all_words(void **state)
{
    (void)state;
    struct uh_stream s = {.used = 4};
    memset(s.counter, 0xff, sizeof s.counter);
    uint32_t last[4];
    uh_philox(s.counter, s.key, last);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(uh_stream_u32(&s), last[i]);
    /* The counter has returned to 0, and so has the key. */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(uh_stream_u32(&s), published[0].out[i]);

    struct uh_stream t = {.used = 4, .counter = {0xffffffff, 7, 0, 0}};
    uint32_t next[4];
    uh_philox((const uint32_t[4]){0, 8, 0, 0}, t.key, next);
    for (size_t i = 0; i < 4; i++)
        uh_stream_u32(&t);
    assert_int_equal(uh_stream_u32(&t), next[0]);
}

static void draws_are_made_of_words_as_the_header_says(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/words"), w = s;
    for (int i = 0; i < 1000; i++) {
        uint64_t low = uh_stream_u32(&w), high = uh_stream_u32(&w);
        assert_true(uh_stream_u64(&s) == (high << 32 | low));
        low = uh_stream_u32(&w);
        high = uh_stream_u32(&w);
        uint64_t top = (high << 32 | low) >> 11;
        assert_true(uh_stream_uniform(&s) == ldexp((double)top, -53));
        float f = ldexpf((float)(uh_stream_u32(&w) >> 8), -24);
        assert_true(uh_stream_uniformf(&s) == f);
    }
}

/* Box and Muller with the long double functions of libm.  The angle is off by
 * at most 2^-50, the rest by less, and the radius is below 8.6. */
static void normal_is_the_formula_of_the_header(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/normal"), w = s;
    for (int i = 0; i < 10000; i++) {
        long double u = (long double)uh_stream_uniform(&w);
        long double v = (long double)uh_stream_uniform(&w);
        long double want = sqrtl(-2 * logl(1 - u)) * cosl(8 * atanl(1) * v);
        long double got = (long double)uh_stream_normal(&s);
        assert_true(fabsl(got - want) <= 8.6L * 0x1p-50L);
    }
    assert_memory_equal(&s, &w, sizeof s);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The distance of Kolmogorov and Smirnov times sqrt(n); a true sample of this
 * size exceeds x with probability 2 exp(-2 x^2) (their limit law's first
 * term), which is LEVEL at ks_limit(). */
static double ks_distance(size_t n, double sample[], double (*cdf)(double))
{
    qsort(sample, n, sizeof sample[0], by_value);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double p = cdf(sample[i]);
        worst = fmax(worst, fabs(p - (double)i / (double)n));
        worst = fmax(worst, fabs(p - (double)(i + 1) / (double)n));
    }
    return worst * sqrt((double)n);
}

static double ks_limit(void)
{
    return sqrt(log(2 / LEVEL) / 2);
}

static double uniform_cdf(double x)
{
    return x;
}

enum { SAMPLE = 1000000 };

static void normal_has_the_normal_distribution(void **state)
{
    (void)state;
    double *x = malloc(SAMPLE * sizeof x[0]);
    assert_non_null(x);
    struct uh_stream s = uh_stream_open("test/normal/ks");
    double sum = 0, largest = 0;
    for (size_t i = 0; i < SAMPLE; i++) {
        x[i] = uh_stream_normal(&s);
        sum += x[i] * x[i];
        largest = fmax(largest, fabs(x[i]));
    }
    assert_true(ks_distance(SAMPLE, x, gsl_cdf_ugaussian_P) <= ks_limit());
    double p = gsl_cdf_chisq_P(sum, SAMPLE);
    assert_true(p >= LEVEL && 1 - p >= LEVEL);
    /* The largest of a million is beyond 4 except with probability 1e-27. */
    assert_true(largest > 4 && largest <= 8.58);

    /* The control: two percent too wide must be seen. */
    for (size_t i = 0; i < SAMPLE; i++)
        x[i] *= 1.02;
    assert_true(ks_distance(SAMPLE, x, gsl_cdf_ugaussian_P) > ks_limit());
    free(x);
}

static void uniform_has_the_uniform_distribution(void **state)
{
    (void)state;
    double *x = malloc(SAMPLE * sizeof x[0]);
    assert_non_null(x);
    struct uh_stream s = uh_stream_open("test/uniform/ks");
    for (size_t i = 0; i < SAMPLE; i++) {
        x[i] = uh_stream_uniform(&s);
        assert_true(x[i] >= 0 && x[i] < 1);
    }
    assert_true(ks_distance(SAMPLE, x, uniform_cdf) <= ks_limit());
    for (size_t i = 0; i < SAMPLE; i++) {
        x[i] = (double)uh_stream_uniformf(&s);
        assert_true(x[i] >= 0 && x[i] < 1);
    }
    assert_true(ks_distance(SAMPLE, x, uniform_cdf) <= ks_limit());
    for (size_t i = 0; i < SAMPLE; i++) /* the control */
        x[i] = pow(x[i], 1.02);
    assert_true(ks_distance(SAMPLE, x, uniform_cdf) > ks_limit());
    free(x);
}

/* n words of two streams: the sum of the products of centred uniforms has
 * variance n / 144. */
static double correlation(struct uh_stream a, struct uh_stream b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (uh_stream_uniform(&a) - 0.5) * (uh_stream_uniform(&b) - 0.5);
    return sum * 12 / sqrt((double)n);
}

static void streams_of_different_names_are_uncorrelated(void **state)
{
    (void)state;
    double limit = gsl_cdf_ugaussian_Qinv(LEVEL / 2);
    struct uh_stream s[20];
    for (int i = 0; i < 20; i++)
        s[i] = uh_stream_open("test/seed=%d", i);
    for (size_t i = 0; i < 20; i++)
        for (size_t j = 0; j < i; j++) {
            assert_true(fabs(correlation(s[i], s[j], 10000)) <= limit);
            assert_memory_not_equal(s[i].key, s[j].key, sizeof s[i].key);
        }
    /* The control: a stream is not independent of itself. */
    assert_true(fabs(correlation(s[0], s[0], 10000)) > limit);
}

static void copy_continues_with_the_same_numbers(void **state)
{
    (void)state;
    for (size_t skip = 0; skip < 9; skip++) {
        struct uh_stream s = uh_stream_open("test/copy");
        for (size_t i = 0; i < skip; i++)
            uh_stream_u32(&s);
        struct uh_stream t = s;
        for (size_t i = 0; i < 20; i++)
            assert_int_equal(uh_stream_u32(&s), uh_stream_u32(&t));
    }
}

/* Chi-square of counts that should be equal, against its upper LEVEL point. */
static int even(size_t bins, const size_t count[], double total)
{
    double want = total / (double)bins, sum = 0;
    for (size_t i = 0; i < bins; i++)
        sum += ((double)count[i] - want) * ((double)count[i] - want) / want;
    return gsl_cdf_chisq_Q(sum, (double)bins - 1) >= LEVEL;
}

static void below_is_even_and_below(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/below");
    for (uint64_t n = 1; n < 40; n++) {
        size_t count[40] = {0};
        for (size_t i = 0; i < 20000; i++) {
            uint64_t r = uh_stream_below(&s, n);
            assert_true(r < n);
            count[r]++;
        }
        assert_true(even((size_t)n, count, 20000) || n == 1);
    }
}

static void below_has_no_modulo_bias(void **state)
{
    (void)state;
    /* Of 0 ... 3 2^62 - 1, a bare remainder would fall into the first third
     * half of the time. */
    const uint64_t third = (uint64_t)1 << 62;
    struct uh_stream s = uh_stream_open("test/bias"), t = s;
    size_t count[3] = {0}, bare[3] = {0};
    for (size_t i = 0; i < 30000; i++) {
        count[uh_stream_below(&s, 3 * third) / third]++;
        bare[uh_stream_u64(&t) % (3 * third) / third]++;
    }
    assert_true(even(3, count, 30000));
    assert_false(even(3, bare, 30000));
}

static void permutations_are_permutations_and_even(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/permutation");
    uint32_t p[1000];
    for (size_t n = 0; n <= 1000; n += 37) {
        unsigned char seen[1000] = {0};
        uh_stream_permutation(&s, n, p);
        for (size_t i = 0; i < n; i++) {
            assert_true(p[i] < n && !seen[p[i]]);
            seen[p[i]] = 1;
        }
    }
    size_t count[256] = {0}, even_count[24], used = 0;
    for (size_t i = 0; i < 48000; i++) {
        uh_stream_permutation(&s, 4, p);
        count[p[0] + 4 * p[1] + 16 * p[2] + 64 * p[3]]++;
    }
    for (size_t i = 0; i < 256; i++)
        if (count[i] > 0) {
            assert_true(used < 24);
            even_count[used++] = count[i];
        }
    assert_int_equal(used, 24);
    assert_true(even(24, even_count, 48000));
}

static void gsl_draws_the_words_of_the_stream(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/gsl"), t = s;
    gsl_rng r = uh_stream_gsl(&s);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(gsl_rng_get(&r), uh_stream_u32(&t));
        assert_true(gsl_rng_uniform(&r) == uh_stream_uniform(&t));
    }
    assert_memory_equal(&s, &t, sizeof s);
    assert_true(isfinite(gsl_ran_gamma(&r, 2.385, 1)));
    assert_memory_not_equal(&s, &t, sizeof s);

    gsl_rng *own = gsl_rng_alloc(uh_gsl_philox);
    gsl_rng_set(own, 12345);
    t = uh_stream_open("gsl/seed=12345");
    for (int i = 0; i < 10; i++)
        assert_int_equal(gsl_rng_get(own), uh_stream_u32(&t));
    gsl_rng *clone = gsl_rng_clone(own);
    assert_int_equal(gsl_rng_get(own), gsl_rng_get(clone));
    gsl_rng_free(clone);
    gsl_rng_free(own);
}

static void aborts(void (*call)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        call();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void draw_below_zero(void)
{
    struct uh_stream s = uh_stream_open("test/abort");
    uh_stream_below(&s, 0);
}

static void open_without_name(void)
{
    uh_stream_open("%s", "");
}

static void open_with_long_name(void)
{
    uh_stream_open("%1024d", 1);
}

static void broken_contracts_abort(void **state)
{
    (void)state;
    aborts(draw_below_zero);
    aborts(open_without_name);
    aborts(open_with_long_name);
    struct uh_stream longest = uh_stream_open("%1023d", 1);
    assert_int_equal(longest.used, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(key_is_the_first_eight_bytes_of_the_digest),
        cmocka_unit_test(named_stream_gives_the_words_of_the_python_twin),
        cmocka_unit_test(counter_carries_through_all_words),
        cmocka_unit_test(draws_are_made_of_words_as_the_header_says),
        cmocka_unit_test(normal_is_the_formula_of_the_header),
        cmocka_unit_test(normal_has_the_normal_distribution),
        cmocka_unit_test(uniform_has_the_uniform_distribution),
        cmocka_unit_test(streams_of_different_names_are_uncorrelated),
        cmocka_unit_test(copy_continues_with_the_same_numbers),
        cmocka_unit_test(below_is_even_and_below),
        cmocka_unit_test(below_has_no_modulo_bias),
        cmocka_unit_test(permutations_are_permutations_and_even),
        cmocka_unit_test(gsl_draws_the_words_of_the_stream),
        cmocka_unit_test(broken_contracts_abort),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
