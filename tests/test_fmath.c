/* test_fmath.c: tests of lib/fmath.[ch]. */
#include "fmath.h"
#include "ref_fmath.h"
#include "stream.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name;
    float (*scalar)(float);
    float (*portable)(float);
    void (*array)(size_t n, const float x[], float y[]);
    enum ref_function ref;
    double bound; /* ulp, as fmath.h states it */
} floats[] = {
    {"expf", uh_expf, portable_expf, uh_expf_n, REF_EXP, 0.50001},
    {"expm1f", uh_expm1f, portable_expm1f, uh_expm1f_n, REF_EXPM1, 0.50001},
    {"logf", uh_logf, portable_logf, uh_logf_n, REF_LOG, 0.50001},
    {"log1pf", uh_log1pf, portable_log1pf, uh_log1pf_n, REF_LOG1P, 0.50001},
    {"tanhf", uh_tanhf, portable_tanhf, uh_tanhf_n, REF_TANH, 0.50001},
    {"sigmoidf", uh_sigmoidf, portable_sigmoidf, uh_sigmoidf_n, REF_SIGMOID,
     0.50001},
    {"softplusf", uh_softplusf, portable_softplusf, uh_softplusf_n,
     REF_SOFTPLUS, 0.50001},
};

static const struct {
    const char *name;
    double (*scalar)(double);
    double (*portable)(double);
    enum ref_function ref;
    double bound;      /* ulp, as fmath.h states it */
    double low, high;  /* beyond these the function says nothing new */
    double hard, wide; /* a hard range is hard +- wide */
} doubles[] = {
    {"exp", uh_exp, portable_exp, REF_EXP, 0.54, -746, 710, 0.3466, 0.1},
    {"expm1", uh_expm1, portable_expm1, REF_EXPM1, 0.65, -40, 710, 0.3466, 0.1},
    {"log", uh_log, portable_log, REF_LOG, 0.54, 0, 1e300, 1, 0.5},
    {"log1p", uh_log1p, portable_log1p, REF_LOG1P, 0.54, -1, 1e300, 0, 0.5},
    {"tanh", uh_tanh, portable_tanh, REF_TANH, 0.6, -20, 20, 0.1733, 0.1},
    {"sigmoid", uh_sigmoid, portable_sigmoid, REF_SIGMOID, 0.54, -745, 40, 0,
     2},
    {"sin", uh_sin, portable_sin, REF_SIN, 0.6, -0x1.921fb54442d18p+21,
     0x1.921fb54442d18p+21, 0, 1.6},
    {"cos", uh_cos, portable_cos, REF_COS, 0.6, -0x1.921fb54442d18p+21,
     0x1.921fb54442d18p+21, 0, 1.6},
};

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t bits_of_double(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Argument number i of a float function: a stride over all bit patterns, then
 * dense where the functions bend. */
enum { STRIDE = 200003, STRIDES = 21475, DENSE = 10000 };

static float float_argument(size_t i)
{
    if (i < STRIDES)
        return float_of((uint32_t)i * STRIDE);
    return ((float)(i - STRIDES) - DENSE / 2) * (0x1.8p+4f / DENSE);
}

static void float_functions_keep_their_bound(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(floats); f++) {
        double worst = 0;
        float at = 0;
        for (size_t i = 0; i < STRIDES + DENSE; i++) {
            float x = float_argument(i);
            double error = ref_error(floats[f].ref, REF_FLT, (double)x,
                                     (double)floats[f].scalar(x));
            if (!(error <= worst)) {
                worst = error;
                at = x;
            }
        }
        if (!(worst <= floats[f].bound))
            fail_msg("%s: %.7f ulp at %a", floats[f].name, worst, (double)at);
    }
}

static double double_argument(size_t f, size_t i, struct uh_stream *s)
{
    double u = uh_stream_uniform(s);
    double x;
    switch (i % 4) {
    case 0: /* the whole domain */
        return doubles[f].low + u * (doubles[f].high - doubles[f].low);
    case 1:
        return doubles[f].hard + (2 * u - 1) * doubles[f].wide;
    case 2: /* all magnitudes below 1, and above 1/2 in (0, 1) for log */
        x = ldexp(u, -(int)(i / 4 % 70));
        return doubles[f].ref == REF_LOG ? 1 - x / 2 : i & 4 ? x : -x;
    default: /* near multiples of pi/2, where sine and cosine vanish */
        x = floor(4e6 * u - 2e6) * 0x1.921fb54442d18p+0;
        if (doubles[f].ref == REF_SIN || doubles[f].ref == REF_COS)
            return x;
        if (doubles[f].ref != REF_LOG)
            return 10 * u - 0.99;
        return i & 4 ? 100 * u : ldexp(1 - u, -1022 - (int)(i / 8 % 52));
    }
}

static void double_functions_keep_their_bound(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(doubles); f++) {
        struct uh_stream s = uh_stream_open("test/%s", doubles[f].name);
        for (size_t i = 0; i < 20000; i++) {
            double x = double_argument(f, i, &s), y = doubles[f].scalar(x);
            double error = ref_error(doubles[f].ref, REF_DBL, x, y);
            /* Subnormal results of exp and sigmoid are rounded twice. */
            double bound = fabs(y) < 0x1p-1022 ? 0.8 : doubles[f].bound;
            if (!(error <= bound))
                fail_msg("%s: %.7f ulp at %a", doubles[f].name, error, x);
        }
    }
}

/* The oracle's own test: wrong answers must be seen. */
static void error_sees_wrong_answers(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(floats); f++) {
        enum ref_function ref = floats[f].ref;
        float y = floats[f].scalar(0.7f), next = nextafterf(y, 100);
        double wrong = ref_error(ref, REF_FLT, (double)0.7f, (double)next);
        assert_true(wrong > 0.5 && wrong < 2);
        assert_true(ref_error(ref, REF_FLT, (double)0.7f, (double)NAN) ==
                    HUGE_VAL);
        assert_true(ref_error(ref, REF_FLT, (double)0.7f, HUGE_VAL) > 1e9);
        assert_true(ref_error(ref, REF_FLT, (double)NAN, 0) == HUGE_VAL);
    }
    assert_true(ref_error(REF_EXP, REF_FLT, 1000, HUGE_VAL) == 0);
    assert_true(ref_error(REF_EXP, REF_FLT, 1000, 0x1.fffffep+127) > 1e9);
    assert_true(ref_error(REF_EXP, REF_FLT, 1000, -HUGE_VAL) == HUGE_VAL);
    assert_true(ref_error(REF_LOG, REF_DBL, 0, -HUGE_VAL) == 0);
    assert_true(ref_error(REF_LOG, REF_DBL, 0, HUGE_VAL) == HUGE_VAL);
}

static void float_special_cases_are_exact(void **state)
{
    (void)state;
    const float inf = HUGE_VALF, least = 0x1p-149f, most = 0x1.fffffep+127f;
    const struct {
        float (*f)(float);
        float x, y;
    } cases[] = {
        {uh_expf, 0, 1},
        {uh_expf, -0.0f, 1},
        {uh_expf, inf, inf},
        {uh_expf, -inf, 0},
        {uh_expf, most, inf},
        {uh_expf, -most, 0},
        {uh_expf, least, 1},
        {uh_expf, 0x1.62e42ep+6f, 0x1.ffff08p+127f}, /* the last finite */
        {uh_expf, 0x1.62e43p+6f, inf},
        {uh_expf, -0x1.9fe368p+6f, least}, /* the last positive */
        {uh_expf, -0x1.9fe36ap+6f, 0},
        {uh_expm1f, 0, 0},
        {uh_expm1f, -0.0f, -0.0f},
        {uh_expm1f, least, least},
        {uh_expm1f, -least, -least},
        {uh_expm1f, inf, inf},
        {uh_expm1f, -inf, -1},
        {uh_logf, 1, 0},
        {uh_logf, 0, -inf},
        {uh_logf, -0.0f, -inf},
        {uh_logf, inf, inf},
        {uh_log1pf, 0, 0},
        {uh_log1pf, -0.0f, -0.0f},
        {uh_log1pf, -1, -inf},
        {uh_log1pf, inf, inf},
        {uh_log1pf, least, least},
        {uh_log1pf, -least, -least},
        {uh_tanhf, 0, 0},
        {uh_tanhf, -0.0f, -0.0f},
        {uh_tanhf, inf, 1},
        {uh_tanhf, -inf, -1},
        {uh_tanhf, least, least},
        {uh_tanhf, -least, -least},
        {uh_sigmoidf, 0, 0.5f},
        {uh_sigmoidf, inf, 1},
        {uh_sigmoidf, -inf, 0},
        {uh_softplusf, inf, inf},
        {uh_softplusf, -inf, 0},
        {uh_softplusf, most, most},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (bits_of(cases[i].f(cases[i].x)) != bits_of(cases[i].y))
            fail_msg("case %zu: at %a got %a, want %a", i, (double)cases[i].x,
                     (double)cases[i].f(cases[i].x), (double)cases[i].y);
}

static void double_special_cases_are_exact(void **state)
{
    (void)state;
    const double inf = HUGE_VAL, least = 0x1p-1074;
    const struct {
        double (*f)(double);
        double x, y;
    } cases[] = {
        {uh_exp, 0, 1},
        {uh_exp, inf, inf},
        {uh_exp, -inf, 0},
        {uh_exp, 0x1.62e42fefa39efp+9, 0x1.fffffffffff2ap+1023},
        {uh_exp, 0x1.62e42fefa39f0p+9, inf},
        {uh_exp, -0x1.74910d52d3051p+9, least},
        {uh_exp, -0x1.74910d52d3053p+9, 0},
        {uh_expm1, -0.0, -0.0},
        {uh_expm1, least, least},
        {uh_expm1, inf, inf},
        {uh_expm1, -inf, -1},
        {uh_log, 1, 0},
        {uh_log, 0x1p-1074, -0x1.74385446d71c3p+9}, /* -1074 log(2) */
        {uh_log, 0, -inf},
        {uh_log, -0.0, -inf},
        {uh_log, inf, inf},
        {uh_log1p, -0.0, -0.0},
        {uh_log1p, -least, -least},
        {uh_log1p, -1, -inf},
        {uh_log1p, inf, inf},
        {uh_tanh, -0.0, -0.0},
        {uh_tanh, least, least},
        {uh_tanh, inf, 1},
        {uh_tanh, -inf, -1},
        {uh_sigmoid, 0, 0.5},
        {uh_sigmoid, inf, 1},
        {uh_sigmoid, -inf, 0},
        {uh_sin, -0.0, -0.0},
        {uh_sin, least, least},
        {uh_cos, 0, 1},
        {uh_cos, least, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (bits_of_double(cases[i].f(cases[i].x)) !=
            bits_of_double(cases[i].y))
            fail_msg("case %zu: at %a got %a, want %a", i, cases[i].x,
                     cases[i].f(cases[i].x), cases[i].y);
}

/* Whatever the payload and the sign of the argument. */
static void every_nan_is_the_same_nan(void **state)
{
    (void)state;
    const float nans[] = {float_of(0x7fc00000), float_of(0xffc00000),
                          float_of(0x7f800001), float_of(0xffffffff)};
    for (size_t f = 0; f < COUNT(floats); f++)
        for (size_t i = 0; i < COUNT(nans); i++)
            assert_int_equal(bits_of(floats[f].scalar(nans[i])), 0x7fc00000);
    for (size_t f = 0; f < COUNT(doubles); f++)
        for (size_t i = 0; i < COUNT(nans); i++)
            assert_true(bits_of_double(doubles[f].scalar((double)nans[i])) ==
                        0x7ff8000000000000);
    assert_int_equal(bits_of(uh_logf(-1)), 0x7fc00000);
    assert_int_equal(bits_of(uh_logf(-HUGE_VALF)), 0x7fc00000);
    assert_int_equal(bits_of(uh_log1pf(-1.5f)), 0x7fc00000);
    assert_true(bits_of_double(uh_log(-0x1p-1074)) == 0x7ff8000000000000);
    assert_true(bits_of_double(uh_log1p(-HUGE_VAL)) == 0x7ff8000000000000);
}

static void array_functions_have_the_bits_of_the_scalar_ones(void **state)
{
    (void)state;
    static float x[STRIDES + DENSE], y[STRIDES + DENSE];
    for (size_t f = 0; f < COUNT(floats); f++) {
        for (size_t i = 0; i < COUNT(x); i++)
            x[i] = float_argument(i);
        floats[f].array(COUNT(x), x, y);
        for (size_t i = 0; i < COUNT(x); i++)
            assert_int_equal(bits_of(y[i]), bits_of(floats[f].scalar(x[i])));
        floats[f].array(COUNT(x), x, x); /* in place */
        assert_memory_equal(x, y, sizeof x);
    }
}

static void array_functions_keep_to_their_n_elements(void **state)
{
    (void)state;
    float x[80], y[80];
    for (size_t f = 0; f < COUNT(floats); f++)
        for (size_t from = 0; from < 8; from++)
            for (size_t n = 0; n < 64; n++) {
                for (size_t i = 0; i < COUNT(x); i++) {
                    x[i] = (float)i * 0.37f;
                    y[i] = -7;
                }
                floats[f].array(n, x + from, y + from);
                for (size_t i = 0; i < COUNT(y); i++) {
                    int inside = from <= i && i < from + n;
                    float want = inside ? floats[f].scalar(x[i]) : -7;
                    assert_int_equal(bits_of(y[i]), bits_of(want));
                }
            }
}

static void code_without_fma_has_the_same_bits(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(floats); f++)
        for (size_t i = 0; i < STRIDES + DENSE; i++) {
            float x = float_argument(i);
            assert_int_equal(bits_of(floats[f].scalar(x)),
                             bits_of(floats[f].portable(x)));
        }
    for (size_t f = 0; f < COUNT(doubles); f++) {
        struct uh_stream s = uh_stream_open("test/%s", doubles[f].name);
        for (size_t i = 0; i < 20000; i++) {
            double x = double_argument(f, i, &s);
            assert_true(bits_of_double(doubles[f].scalar(x)) ==
                        bits_of_double(doubles[f].portable(x)));
        }
    }
}

static void float_functions_are_monotone(void **state)
{
    (void)state;
    for (size_t f = 0; f < COUNT(floats); f++) {
        int log = floats[f].ref == REF_LOG || floats[f].ref == REF_LOG1P;
        for (float start = -20; start < 20; start += 0.617f) {
            float x = log ? expf(start / 2) : start, y = floats[f].scalar(x);
            for (size_t i = 0; i < 500; i++) {
                x = nextafterf(x, HUGE_VALF);
                float next = floats[f].scalar(x);
                assert_true(y <= next);
                y = next;
            }
        }
    }
}

static void tanh_and_sin_are_odd_and_cos_is_even(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/odd");
    for (size_t i = 0; i < 20000; i++) {
        double x = 30 * uh_stream_uniform(&s);
        assert_true(uh_tanh(-x) == -uh_tanh(x));
        assert_true(uh_tanhf(-(float)x) == -uh_tanhf((float)x));
        assert_true(uh_sin(-x) == -uh_sin(x));
        assert_true(uh_cos(-x) == uh_cos(x));
    }
}

static int ends_by_abort(double (*f)(double), double x)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(99);
        volatile double y = f(x);
        (void)y;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void angles_beyond_the_domain_abort(void **state)
{
    (void)state;
    const double last = 0x1.921fb54442d18p+21;
    double (*const functions[])(double) = {uh_sin, uh_cos};
    for (size_t f = 0; f < 2; f++) {
        assert_false(ends_by_abort(functions[f], last));
        assert_false(ends_by_abort(functions[f], -last));
        assert_true(ends_by_abort(functions[f], nextafter(last, HUGE_VAL)));
        assert_true(ends_by_abort(functions[f], -HUGE_VAL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_sees_wrong_answers),
        cmocka_unit_test(float_functions_keep_their_bound),
        cmocka_unit_test(double_functions_keep_their_bound),
        cmocka_unit_test(float_special_cases_are_exact),
        cmocka_unit_test(double_special_cases_are_exact),
        cmocka_unit_test(every_nan_is_the_same_nan),
        cmocka_unit_test(array_functions_have_the_bits_of_the_scalar_ones),
        cmocka_unit_test(array_functions_keep_to_their_n_elements),
        cmocka_unit_test(code_without_fma_has_the_same_bits),
        cmocka_unit_test(float_functions_are_monotone),
        cmocka_unit_test(tanh_and_sin_are_odd_and_cos_is_even),
        cmocka_unit_test(angles_beyond_the_domain_abort),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
