/* fmath.c: elementary functions of the exact lane.  Contract: fmath.h.
 *
 * Each function is written once, as an inline core, and compiled up to three
 * times: for the base instruction set, where fma is the library's correctly
 * rounded function, and for processors with FMA instructions.  Every fused
 * operation is written as fma, so that the copies give the same bits.
 *
 * Coefficients interpolate at Chebyshev nodes of the reduced interval, in 400
 * bits, rounded to double.
 */
#include "fmath.h"

#include "die.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CORE static inline __attribute__((always_inline))

#if defined(__x86_64__) && !defined(UH_PORTABLE)
#define HAS_FMA                                                                \
    (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#ifdef UH_NO_AVX512
#define HAS_AVX512 0
#else
#define HAS_AVX512                                                             \
    (__builtin_cpu_supports("avx512f") &&                                      \
     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#endif
#define FOR_FMA __attribute__((target("avx2,fma")))
#define FOR_AVX512 __attribute__((target("avx2,fma,avx512f,avx512dq,avx512vl")))
#endif

/* gcc vectorizes loops of unknown length from -O3 on; clang says so when it
 * does not (-O0, sanitizers), which is no defect. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#define VECTORIZED
#define NO_DEPENDENCE _Pragma("clang loop vectorize(assume_safety)")
#else
#define VECTORIZED __attribute__((optimize("O3", "no-trapping-math")))
#define NO_DEPENDENCE _Pragma("GCC ivdep")
#endif

static const double log2_e = 0x1.71547652b82fep+0;
static const double ln2 = 0x1.62e42fefa39efp-1;
static const double ln2_hi = 0x1.62e42fefa38p-1; /* 42 bits */
static const double ln2_lo = 0x1.ef35793c76730p-45;
static const double sqrt_half = 0x1.6a09e667f3bcdp-1;

/* x + to_integer has the integer nearest to x in its low bits, for |x| < 2^51,
 * and the integer itself is that minus to_integer. */
static const double to_integer = 0x1.8p52;

CORE uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CORE double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^k, for -1022 <= k <= 1023, from t = to_integer + k. */
CORE double power_of_2(double t)
{
    return of_bits((bits_of(t) + 1023) << 52);
}

/* x = 2^k m with sqrt(1/2) <= m < sqrt(2), up to the last bit, for positive
 * normal x; returns m, and k as a double. */
CORE double split(double x, double *k)
{
    /* The exponent field of biased is k + 1023 when m runs from sqrt(1/2). */
    uint64_t half = bits_of(sqrt_half), one = (uint64_t)1023 << 52;
    uint64_t biased = bits_of(x) - half + one;
    uint64_t field = biased >> 52;
    *k = of_bits(field + bits_of(to_integer)) - (to_integer + 1023);
    return of_bits((biased & (((uint64_t)1 << 52) - 1)) + half);
}

/* --- double ---------------------------------------------------------- */

struct pair {
    double hi, lo; /* the value is their sum, |lo| at most a few ulp of hi */
};

/* a + b exactly (Knuth, TAOCP vol. 2, section 4.2.2, theorem B). */
CORE struct pair two_sum(double a, double b)
{
    double sum = a + b;
    double b_part = sum - a;
    return (struct pair){sum, (a - (sum - b_part)) + (b - b_part)};
}

/* a + b exactly when a = 0 or |a| >= |b| (Dekker 1971). */
CORE struct pair fast_sum(double a, double b)
{
    double sum = a + b;
    return (struct pair){sum, b - (sum - a)};
}

/* n / d to nearly twice the precision. */
CORE struct pair quotient(struct pair n, struct pair d)
{
    double q = n.hi / d.hi;
    double rest = fma(-q, d.hi, n.hi) + (n.lo - q * d.lo);
    return (struct pair){q, rest / d.hi};
}

/* x = k ln 2 + r with |r| <= 0.3466; returns exp(r) - 1, with |lo| up to
 * |hi| / 50, and *t = to_integer + k.  |x| < 1100. */
CORE struct pair expm1_reduced(double x, double *t)
{
    *t = fma(x, log2_e, to_integer);
    double k = *t - to_integer;
    /* k ln2_hi has 53 bits and the difference needs no more: exact. */
    struct pair r = two_sum(fma(-k, ln2_hi, x), -k * ln2_lo);

    /* exp(r) - 1 = r + r^2/2 + r^3 q(r), |r^2/2| < |r|. */
    double z = r.hi * r.hi, z_lo = fma(r.hi, r.hi, -z);
    double q = 0x1.61bfb3b882b19p-33;
    q = fma(q, r.hi, 0x1.1f7f3073e7477p-29);
    q = fma(q, r.hi, 0x1.ae642c7db4719p-26);
    q = fma(q, r.hi, 0x1.27e4d4148ace2p-22);
    q = fma(q, r.hi, 0x1.71de3a5aa8b36p-19);
    q = fma(q, r.hi, 0x1.a01a01a9eb62cp-16);
    q = fma(q, r.hi, 0x1.a01a01a0196aap-13);
    q = fma(q, r.hi, 0x1.6c16c16c15a64p-10);
    q = fma(q, r.hi, 0x1.1111111111111p-7);
    q = fma(q, r.hi, 0x1.5555555555557p-5);
    q = fma(q, r.hi, 0x1.5555555555555p-3);
    struct pair e = fast_sum(r.hi, 0.5 * z);
    e.lo += fma(0.5, z_lo, fma(z * r.hi, q, fma(r.hi, r.lo, r.lo)));
    return e;
}

/* exp(x) / 2^k as a pair in [0.7, 1.42]; *t = to_integer + k. */
CORE struct pair exp_reduced(double x, double *t)
{
    struct pair e = expm1_reduced(x, t);
    struct pair y = fast_sum(1, e.hi);
    return fast_sum(y.hi, y.lo + e.lo);
}

/* y 2^k for y in [1/2, 2]; rounded twice where the result is subnormal. */
CORE double scaled(double y, double t)
{
    double k = t - to_integer;
    if (k > 1000)
        return y * 0x1p1000 * power_of_2(t - 1000);
    if (k < -1000)
        return y * power_of_2(t + 1000) * 0x1p-1000;
    return y * power_of_2(t);
}

CORE double exp_core(double x)
{
    if (!(x == x))
        return __builtin_nan("");
    if (x > 710)
        return HUGE_VAL;
    if (x < -746)
        return 0;
    double t;
    struct pair y = exp_reduced(x, &t);
    return scaled(y.hi, t);
}

/* exp(x) - 1 for -40 <= x <= 710, divided by 2^k. */
CORE struct pair expm1_pair(double x, double *t)
{
    struct pair e = expm1_reduced(x, t);
    double k = *t - to_integer;
    if (k == 0)
        return fast_sum(e.hi, e.lo);
    /* (2^k (1 + e) - 1) / 2^k = (1 - w) + e with w = 2^-k. */
    double w = k > 200 ? 0 : power_of_2(to_integer - k);
    struct pair d = two_sum(1, -w);
    struct pair y = two_sum(d.hi, e.hi);
    return fast_sum(y.hi, y.lo + (d.lo + e.lo));
}

CORE double expm1_core(double x)
{
    if (!(x == x))
        return __builtin_nan("");
    if (x > 710)
        return HUGE_VAL;
    if (x < -40)
        return -1;
    if (fabs(x) < 0x1p-60)
        return x;
    double t;
    struct pair y = expm1_pair(x, &t);
    return scaled(y.hi + y.lo, t);
}

CORE double tanh_core(double x)
{
    if (!(x == x))
        return __builtin_nan("");
    double a = fabs(x);
    if (a < 0x1p-30)
        return x;
    if (a > 20)
        return copysign(1, x);
    /* tanh(a) = n / (n + 2) with n = exp(2a) - 1. */
    double t;
    struct pair n = expm1_pair(2 * a, &t);
    double power = power_of_2(t);
    n.hi *= power;
    n.lo *= power;
    struct pair d = two_sum(2, n.hi);
    d.lo += n.lo;
    struct pair q = quotient(n, d);
    return copysign(q.hi + q.lo, x);
}

CORE double sigmoid_core(double x)
{
    if (!(x == x))
        return __builtin_nan("");
    if (x > 40)
        return 1;
    if (x < -40) /* exp(x) / (1 + exp(x)), where exp(x) < 2^-57 */
        return exp_core(x);
    double t;
    struct pair e = exp_reduced(-fabs(x), &t);
    double power = power_of_2(t);
    e.hi *= power;
    e.lo *= power;
    struct pair d = fast_sum(1, e.hi);
    d.lo += e.lo;
    struct pair q = quotient(x < 0 ? e : (struct pair){1, 0}, d);
    return q.hi + q.lo;
}

/* k ln 2 + log(1 + f), f.hi in [sqrt(1/2) - 1, sqrt(2) - 1], |f.lo| at most a
 * few 2^-53.
 * log(1 + f) = 2 artanh(s) with s = f / (2 + f). */
CORE double log_sum(double k, struct pair f)
{
    struct pair d = fast_sum(2, f.hi);
    d.lo += f.lo;
    struct pair s = quotient(f, d);
    double z = s.hi * s.hi;
    double p = 0x1.bee1ce4d32590p-4;
    p = fma(p, z, 0x1.ab830690b99d3p-4);
    p = fma(p, z, 0x1.e202a165801b1p-4);
    p = fma(p, z, 0x1.1110b8a8ab33cp-3);
    p = fma(p, z, 0x1.3b13b261b755dp-3);
    p = fma(p, z, 0x1.745d17437c9cap-3);
    p = fma(p, z, 0x1.c71c71c71f277p-3);
    p = fma(p, z, 0x1.2492492492486p-2);
    p = fma(p, z, 0x1.999999999999ap-2);
    p = fma(p, z, 0x1.5555555555555p-1);
    double tail = fma(s.hi * z, p, 2 * fma(s.lo, z, s.lo));
    struct pair y = fast_sum(k * ln2_hi, 2 * s.hi);
    return y.hi + (y.lo + fma(k, ln2_lo, tail));
}

CORE double log_core(double x)
{
    if (!(x >= 0))
        return __builtin_nan("");
    if (x == 0)
        return -HUGE_VAL;
    if (x > 0x1.fffffffffffffp+1023)
        return HUGE_VAL;
    double k, shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = 54;
    }
    double m = split(x, &k);
    return log_sum(k - shift, (struct pair){m - 1, 0});
}

CORE double log1p_core(double x)
{
    if (!(x >= -1))
        return __builtin_nan("");
    if (x == -1)
        return -HUGE_VAL;
    if (x > 0x1.fffffffffffffp+1023)
        return HUGE_VAL;
    if (fabs(x) < 0x1p-54)
        return x;
    if (-0.29 < x && x < 0.41)
        return log_sum(0, (struct pair){x, 0});
    struct pair u = two_sum(1, x);
    double k, m = split(u.hi, &k);
    double power = k > 200 ? 0 : power_of_2(to_integer - k);
    return log_sum(k, (struct pair){m - 1, u.lo * power});
}

/* x = n pi/2 + r with |r| <= 0.7855; returns r, and n modulo 4 as *quadrant.
 * |x| <= 2^20 pi, so |n| <= 2^21.  The first 50 bits of pi/2 make x - n p1
 * exact (Boldo, Daumas, Li, "Formally verified argument reduction with a
 * fused multiply-add", IEEE Trans. Computers 58, 2009), and three parts reach
 * 2^-162, while no double but 0 is nearer to a multiple of pi/2 than 2^-62
 * (Muller, Elementary Functions, the chapter on range reduction): r keeps
 * more than 70 bits. */
CORE struct pair reduced_angle(double x, unsigned *quadrant)
{
    const double p1 = 0x1.921fb54442d18p+0;
    const double p2 = 0x1.1a62633145c07p-54;
    const double p3 = -0x1.f1976b7ed8fbcp-110;
    double t = fma(x, 0x1.45f306dc9c883p-1, to_integer);
    double n = t - to_integer;
    *quadrant = (unsigned)(bits_of(t) & 3);
    double first = fma(-n, p1, x);
    double second = n * p2, second_lo = fma(n, p2, -second);
    struct pair r = two_sum(first, -second);
    return two_sum(r.hi, fma(-n, p3, r.lo - second_lo));
}

CORE double sin_reduced(struct pair r)
{
    /* sin(r) = r - r^3/6 + r^5 p(r^2), the second term as a pair, too. */
    const double sixth = 0x1.5555555555555p-3, sixth_lo = sixth * 0x1p-54;
    double z = r.hi * r.hi, z_lo = fma(r.hi, r.hi, -z);
    double cube = r.hi * z;
    double cube_lo = fma(r.hi, z_lo, fma(r.hi, z, -cube));
    double p = -0x1.ab17cf930dca4p-41;
    p = fma(p, z, 0x1.61217f03f5d5cp-33);
    p = fma(p, z, -0x1.ae645412bbdd3p-26);
    p = fma(p, z, 0x1.71de3a5460903p-19);
    p = fma(p, z, -0x1.a01a01a019938p-13);
    p = fma(p, z, 0x1.1111111111110p-7);
    double second = cube * sixth;
    double second_lo = fma(cube, sixth, -second);
    second_lo += fma(cube_lo, sixth, cube * sixth_lo);
    struct pair y = fast_sum(r.hi, -second);
    /* r.lo cos(r), where cos(r) = 1 - z/2 is near enough. */
    double tail = fma(-0.5 * z, r.lo, r.lo) - second_lo;
    return y.hi + (y.lo + fma(cube * z, p, tail));
}

CORE double cos_reduced(struct pair r)
{
    double z = r.hi * r.hi, z_lo = fma(r.hi, r.hi, -z);
    double p = 0x1.ab78570c89ab7p-45;
    p = fma(p, z, -0x1.9394ba0621de8p-37);
    p = fma(p, z, 0x1.1eed8deb936e3p-29);
    p = fma(p, z, -0x1.27e4fb7712d3ep-22);
    p = fma(p, z, 0x1.a01a01a019d0ap-16);
    p = fma(p, z, -0x1.6c16c16c16c16p-10);
    p = fma(p, z, 0x1.5555555555555p-5);
    struct pair y = fast_sum(1, -0.5 * z);
    double tail = fma(-0.5, z_lo, -r.hi * r.lo);
    return y.hi + (y.lo + fma(z * z, p, tail));
}

/* sin(x + quarters pi/2). */
CORE double sine(double x, unsigned quarters)
{
    if (!(x == x))
        return __builtin_nan("");
    unsigned quadrant;
    struct pair r = reduced_angle(x, &quadrant);
    quadrant += quarters;
    double y = quadrant & 1 ? cos_reduced(r) : sin_reduced(r);
    return quadrant & 2 ? -y : y;
}

CORE double sin_core(double x)
{
    return fabs(x) < 0x1p-30 ? x : sine(x, 0);
}

CORE double cos_core(double x)
{
    return sine(x, 1);
}

/* --- float ----------------------------------------------------------- */

/* Below, a float function is a double function of fewer terms, rounded once.
 * No branches, so that loops become vectors: all cases are computed and the
 * right one is selected.  Comparisons are written so that NaN passes. */

CORE float to_float(double y, int is_nan)
{
    return is_nan ? __builtin_nanf("") : (float)y;
}

CORE double bounded(double x, double low, double high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* exp(r) - 1 for x = k ln 2 + r, |x| < 300; *power = 2^k.  Relative error
 * below 2^-42. */
CORE double short_expm1(double x, double *power)
{
    double t = fma(x, log2_e, to_integer);
    double r = fma(-(t - to_integer), ln2, x);
    double q = 0x1.72ad5248cf278p-19;
    q = fma(q, r, 0x1.a136d0998dd3ap-16);
    q = fma(q, r, 0x1.a019c3641253fp-13);
    q = fma(q, r, 0x1.6c166bd40642fp-10);
    q = fma(q, r, 0x1.111111170cdbfp-7);
    q = fma(q, r, 0x1.55555565caecap-5);
    q = fma(q, r, 0x1.5555555554f95p-3);
    q = fma(q, r, 0x1.fffffffffe05ap-2);
    *power = power_of_2(t);
    return fma(r * r, q, r);
}

CORE double short_exp(double x)
{
    double power, e = short_expm1(x, &power);
    return fma(e, power, power);
}

/* k ln 2 + log(1 + f), f as in log_sum().  Relative error below 2^-49. */
CORE double short_log(double k, double f)
{
    double s = f / (2 + f), z = s * s;
    double p = 0x1.546d242764d09p-3;
    p = fma(p, z, 0x1.7382aa021d868p-3);
    p = fma(p, z, 0x1.c71fcdfe00b53p-3);
    p = fma(p, z, 0x1.249246299fff9p-2);
    p = fma(p, z, 0x1.9999999b878d4p-2);
    p = fma(p, z, 0x1.55555555553b7p-1);
    return fma(k, ln2, fma(s * z, p, 2 * s));
}

CORE float expf_core(float x)
{
    double y = short_exp(bounded((double)x, -150, 130));
    return to_float(y, !(x == x));
}

CORE float expm1f_core(float x)
{
    double power;
    double e = short_expm1(bounded((double)x, -40, 130), &power);
    float y = to_float(fma(e, power, power - 1), !(x == x));
    return x == 0 ? x : y; /* the sign of zero */
}

CORE float logf_core(float x)
{
    double k, m = split((double)x, &k);
    double y = short_log(k, m - 1);
    y = x == HUGE_VALF ? HUGE_VAL : y;
    y = x == 0 ? -HUGE_VAL : y;
    return to_float(y, !(x >= 0));
}

CORE float log1pf_core(float x)
{
    double k, m = split(1 + (double)x, &k);
    int near = -0.29f < x && x < 0.41f;
    double y = short_log(near ? 0 : k, near ? (double)x : m - 1);
    y = x == HUGE_VALF ? HUGE_VAL : y;
    y = x == -1 ? -HUGE_VAL : y;
    float rounded = to_float(y, !(x >= -1));
    return x == 0 ? x : rounded;
}

CORE float tanhf_core(float x)
{
    double a = bounded(2 * fabs((double)x), 0, 40);
    double power, e = short_expm1(a, &power);
    double n = fma(e, power, power - 1);
    return to_float(copysign(n / (n + 2), (double)x), !(x == x));
}

CORE float sigmoidf_core(float x)
{
    double e = short_exp(bounded(-(double)x, -150, 150));
    return to_float(1 / (1 + e), !(x == x));
}

CORE float softplusf_core(float x)
{
    /* max(x, 0) + log(1 + u), u = exp(-|x|). */
    double u = short_exp(bounded(-fabs((double)x), -150, 0));
    int far = u > 0.41;
    double y = short_log(far ? 1 : 0, far ? fma(0.5, u, -0.5) : u);
    return to_float((x > 0 ? (double)x : 0) + y, !(x == x));
}

/* --- the functions that are called ------------------------------------- */

#ifdef FOR_FMA
#define VARIANTS(type, name)                                                   \
    FOR_FMA static type fma_##name(type x)                                     \
    {                                                                          \
        return name##_core(x);                                                 \
    }                                                                          \
    static type any_##name(type x)                                             \
    {                                                                          \
        return HAS_FMA ? fma_##name(x) : name##_core(x);                       \
    }
#else
#define VARIANTS(type, name)                                                   \
    static type any_##name(type x)                                             \
    {                                                                          \
        return name##_core(x);                                                 \
    }
#endif

#define FUNCTION(type, name)                                                   \
    VARIANTS(type, name)                                                       \
    type uh_##name(type x)                                                     \
    {                                                                          \
        return any_##name(x);                                                  \
    }

#define LOOP(name)                                                             \
    for (size_t i = 0; i < n; i++)                                             \
        y[i] = name##_core(x[i]);

#ifdef FOR_FMA
#define ARRAY(name)                                                            \
    VECTORIZED FOR_FMA static void fma_##name##_n(size_t n, const float x[],   \
                                                  float y[]){                  \
        NO_DEPENDENCE LOOP(name)} VECTORIZED FOR_AVX512 static void            \
        avx512_##name##_n(size_t n, const float x[], float y[])                \
    {                                                                          \
        NO_DEPENDENCE LOOP(name)                                               \
    }                                                                          \
    void uh_##name##_n(size_t n, const float x[], float y[])                   \
    {                                                                          \
        if (HAS_AVX512)                                                        \
            avx512_##name##_n(n, x, y);                                        \
        else if (HAS_FMA)                                                      \
            fma_##name##_n(n, x, y);                                           \
        else                                                                   \
            LOOP(name)                                                         \
    }
#else
#define ARRAY(name)                                                            \
    VECTORIZED void uh_##name##_n(size_t n, const float x[], float y[])        \
    {                                                                          \
        LOOP(name)                                                             \
    }
#endif

FUNCTION(double, exp)
FUNCTION(double, expm1)
FUNCTION(double, log)
FUNCTION(double, log1p)
FUNCTION(double, tanh)
FUNCTION(double, sigmoid)

VARIANTS(double, sin)
VARIANTS(double, cos)

static const double largest_angle = 0x1.921fb54442d18p+21; /* 2^20 pi */

double uh_sin(double x)
{
    UH_REQUIRE(!(fabs(x) > largest_angle), "x is %.17g", x);
    return any_sin(x);
}

double uh_cos(double x)
{
    UH_REQUIRE(!(fabs(x) > largest_angle), "x is %.17g", x);
    return any_cos(x);
}

FUNCTION(float, expf)
FUNCTION(float, expm1f)
FUNCTION(float, logf)
FUNCTION(float, log1pf)
FUNCTION(float, tanhf)
FUNCTION(float, sigmoidf)
FUNCTION(float, softplusf)

ARRAY(expf)
ARRAY(expm1f)
ARRAY(logf)
ARRAY(log1pf)
ARRAY(tanhf)
ARRAY(sigmoidf)
ARRAY(softplusf)
