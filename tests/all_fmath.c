/* all_fmath.c: the errors that lib/fmath.h states, measured.
 *
 *     gcc -O2 -D_GNU_SOURCE -Ilib -Itests tests/all_fmath.c tests/ref_fmath.c \
 *         build/lib/libuh.a -lgsl -lopenblas -lmpfr -lgmp -lm -o build/all_fmath
 *     build/all_fmath float [NAME [N]] every argument, a minute a function, or
 *                                      every N-th block of 2^16
 *     build/all_fmath double [NAME]    10^7 arguments, a minute a function
 *
 * Not a part of make check, whose tests take a sample of both.  For float,
 * libm's double functions, off by a few units of 2^-53, decide where they are
 * further than CLEAR from a midpoint of two floats, and MPFR elsewhere. */
#include "fmath.h"
#include "ref_fmath.h"
#include "stream.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double CLEAR = 0.4999998; /* ulp of float; 2e-7 are 2^-46 |y| */
enum { DOUBLES = 10000000 };

static double sigmoid(double x)
{
    return x < -40 ? exp(x) : 1 / (1 + exp(-x));
}

static double softplus(double x)
{
    return x < 0 ? log1p(exp(x)) : x + log1p(exp(-x));
}

static const struct {
    const char *name;
    enum ref_function ref;
    void (*array)(size_t n, const float x[], float y[]); /* or NULL */
    double (*libm)(double);
    double (*function)(double); /* or NULL */
} subjects[] = {
    {"exp", REF_EXP, uh_expf_n, exp, uh_exp},
    {"expm1", REF_EXPM1, uh_expm1f_n, expm1, uh_expm1},
    {"log", REF_LOG, uh_logf_n, log, uh_log},
    {"log1p", REF_LOG1P, uh_log1pf_n, log1p, uh_log1p},
    {"tanh", REF_TANH, uh_tanhf_n, tanh, uh_tanh},
    {"sigmoid", REF_SIGMOID, uh_sigmoidf_n, sigmoid, uh_sigmoid},
    {"softplus", REF_SOFTPLUS, uh_softplusf_n, softplus, NULL},
    {"sin", REF_SIN, NULL, sin, uh_sin},
    {"cos", REF_COS, NULL, cos, uh_cos},
};

/* The worst so far; a NaN is worse than everything. */
struct worst {
    double error, at;
};

static void note(struct worst *worst, double error, double x)
{
    if (!(error <= worst->error))
        *worst = (struct worst){error, x};
}

/* The unit in the last place of the floats at y, by its exponent field. */
static double float_unit(double y)
{
    const uint64_t mask = (uint64_t)0x7ff << 52;
    double unit;
    uint64_t bits;
    y = fabs(y) < 0x1p-126 ? 0x1p-126 : y;
    memcpy(&bits, &y, sizeof bits);
    bits &= mask;
    memcpy(&unit, &bits, sizeof unit);
    return unit * 0x1p-23;
}

static void measure_float(size_t f, uint32_t every)
{
    enum { BLOCK = 65536 };
    static float x[BLOCK], y[BLOCK];
    struct worst worst = {0, 0};
    size_t misrounded = 0;
    for (uint32_t high = 0; high < 65536; high += every) {
        for (uint32_t low = 0; low < BLOCK; low++) {
            uint32_t bits = high << 16 | low;
            memcpy(&x[low], &bits, sizeof bits);
        }
        subjects[f].array(BLOCK, x, y);
        for (size_t i = 0; i < BLOCK; i++) {
            double arg = (double)x[i], got = (double)y[i];
            double want = subjects[f].libm(arg);
            int easy = fabs(want) < 0x1.fffffep+127 && fabs(want) > 0x1p-140;
            if (easy && isfinite(got)) {
                double error = fabs((got - want) / float_unit(want));
                if (error <= CLEAR) {
                    note(&worst, error, arg);
                    continue;
                }
            } else if (isnan(want) ? isnan(got) : got == want) {
                continue;
            }
            double error = ref_error(subjects[f].ref, REF_FLT, arg, got);
            misrounded += !(error <= 0.5);
            note(&worst, error, arg);
        }
    }
    printf("%sf: %.7f ulp at %a, %zu of 2^32 not correctly rounded\n",
           subjects[f].name, worst.error, worst.at, misrounded);
}

static double between(struct uh_stream *s, double low, double high)
{
    return low + (high - low) * uh_stream_uniform(s);
}

/* Either sign, all binades from 2^low to 2^high alike. */
static double magnitude(struct uh_stream *s, int low, int high)
{
    int exponent = low + (int)uh_stream_below(s, (uint64_t)(high - low));
    double x = ldexp(1 + uh_stream_uniform(s), exponent);
    return uh_stream_u32(s) & 1 ? -x : x;
}

/* n pi/2 rounded to double, or a near neighbour, or an odd multiple of pi/4. */
static double angle(struct uh_stream *s, int exact)
{
    const double quarter = 0x1.921fb54442d18p+0;
    double n = floor(between(s, -0x1p21, 0x1p21));
    double x = n * quarter;
    for (uint64_t k = exact ? 0 : uh_stream_below(s, 5); k > 0; k--)
        x = nextafter(x, 0);
    return uh_stream_u32(s) & 3 ? x : (n / 2 + 0.25) * quarter;
}

static double argument(enum ref_function f, size_t i, struct uh_stream *s)
{
    size_t kind = i % 8;
    switch (f) {
    case REF_EXP:
        return kind < 3    ? between(s, -1, 1)
               : kind < 5  ? between(s, -710, 710)
               : kind == 5 ? between(s, -746, -707)
               : kind == 6 ? magnitude(s, -60, 10)
                           : between(s, -40, 40);
    case REF_EXPM1:
        return kind < 3    ? between(s, -0.75, 0.75)
               : kind < 5  ? between(s, -3, 3)
               : kind == 5 ? between(s, -40, 60)
               : kind == 6 ? magnitude(s, -70, 10)
                           : between(s, -10, 710);
    case REF_LOG:
        return kind < 2    ? between(s, 0.5, 2)
               : kind == 2 ? between(s, 0.69, 0.72)
               : kind == 3 ? between(s, 1.38, 1.45)
               : kind == 4 ? 1 + magnitude(s, -53, -1)
               : kind == 5 ? fabs(magnitude(s, -1022, 1024))
               : kind == 6 ? between(s, 0, 100)
                           : fabs(magnitude(s, -1074, -1000));
    case REF_LOG1P:
        return kind < 2    ? between(s, -0.5, 0.5)
               : kind == 2 ? between(s, -0.3, -0.28)
               : kind == 3 ? between(s, 0.4, 0.45)
               : kind == 4 ? magnitude(s, -60, 0)
               : kind == 5 ? between(s, -1, -0.9)
               : kind == 6 ? between(s, -1, 100)
                           : fabs(magnitude(s, -60, 1024));
    case REF_TANH:
        return kind < 3    ? between(s, -1, 1)
               : kind == 3 ? between(s, 0.15, 0.2)
               : kind == 4 ? between(s, -20, 20)
               : kind == 5 ? magnitude(s, -40, 5)
               : kind == 6 ? between(s, 0.5, 0.56)
                           : between(s, -3, 3);
    case REF_SIGMOID:
    case REF_SOFTPLUS:
        return kind < 4    ? between(s, -5, 5)
               : kind < 6  ? between(s, -40, 40)
               : kind == 6 ? between(s, -745, -30)
                           : magnitude(s, -60, 6);
    case REF_SIN:
    case REF_COS:
        break;
    }
    const double last = 0x1.921fb54442d18p+21;
    return kind < 2    ? between(s, -1.6, 1.6)
           : kind == 2 ? between(s, -20, 20)
           : kind == 3 ? between(s, -last, last)
           : kind == 4 ? magnitude(s, -40, 21)
           : kind == 5 ? angle(s, 1)
           : kind == 6 ? angle(s, 0)
                       : between(s, -1000, 1000);
}

static void measure_double(size_t f)
{
    struct uh_stream s = uh_stream_open("all/%s", subjects[f].name);
    struct worst normal = {0, 0}, subnormal = {0, 0};
    for (size_t i = 0; i < DOUBLES; i++) {
        double x = argument(subjects[f].ref, i, &s);
        double y = subjects[f].function(x);
        double error = ref_error(subjects[f].ref, REF_DBL, x, y);
        note(fabs(y) < 0x1p-1022 ? &subnormal : &normal, error, x);
    }
    printf("%s: %.5f ulp at %a; where subnormal %.5f ulp at %a\n",
           subjects[f].name, normal.error, normal.at, subnormal.error,
           subnormal.at);
}

int main(int argc, char **argv)
{
    int is_float = argc > 1 && strcmp(argv[1], "float") == 0;
    int is_double = argc > 1 && strcmp(argv[1], "double") == 0;
    int every = argc == 4 && is_float ? atoi(argv[3]) : 1;
    if (argc > 4 || every < 1 || !(is_float || is_double)) {
        fprintf(stderr, "usage: all_fmath float|double [NAME [N]]\n");
        return 2;
    }
    for (size_t f = 0; f < sizeof subjects / sizeof subjects[0]; f++) {
        if (argc >= 3 && strcmp(argv[2], subjects[f].name) != 0)
            continue;
        if (is_float && subjects[f].array != NULL)
            measure_float(f, (uint32_t)every);
        if (is_double && subjects[f].function != NULL)
            measure_double(f);
        fflush(stdout);
    }
    return 0;
}
