/* fmath.h: elementary functions of the exact lane.  Floor 1.
 *
 * Lane     exact: the same bits from every compiler, optimization level and
 *          vector width, with or without FMA instructions.
 * Method   one argument reduction and one polynomial per function, on
 *          + - * / and explicit fma in double; no tables.  The exponential
 *          functions split off k ln 2 (Cody and Waite, Software Manual for
 *          the Elementary Functions, 1980), the logarithms use
 *          log(1 + f) = 2 artanh(f / (2 + f)), sine and cosine split off
 *          n pi/2 in three parts.  The double functions keep reduced arguments
 *          and quotients as pairs of doubles (Muller et al., Handbook of
 *          Floating-Point Arithmetic, 2nd ed., chapters 4 and 10).
 * Special  as the mathematical limits and C17 annex F have it: poles give
 *          infinities, overflow gives infinity, a zero argument of an odd
 *          function keeps its sign.  Every NaN that a function returns is
 *          the quiet NaN without payload or sign, 0x7fc00000 or
 *          0x7ff8000000000000.  No errno; the flags of fenv.h mean nothing.
 * Speed    processors with FMA or AVX-512 are found at run time.  With
 *          UH_PORTABLE defined when fmath.c is compiled they are not looked
 *          for, and fma is the library's function; with UH_NO_AVX512 only
 *          FMA is.
 */
#ifndef UH_FMATH_H
#define UH_FMATH_H

#include <stddef.h>

/* --- float ----------------------------------------------------------------
 *
 * Computed in double and rounded once, also where the result is subnormal.
 * Largest error over all 2^32 arguments, and the number of arguments where the
 * result is not the correctly rounded one:
 *
 *     expf       0.5000007 ulp   22      tanhf       0.5000016 ulp   52
 *     expm1f     0.5000024 ulp   47      sigmoidf    0.5000004 ulp   75
 *     logf       0.5000001 ulp    5      softplusf   0.5000003 ulp   12
 *     log1pf     0.5000001 ulp    9
 *
 * (glibc's double functions decide where they are further than 2e-7 ulp from
 * a midpoint, MPFR elsewhere.)
 */
float uh_expf(float x);
float uh_expm1f(float x); /* exp(x) - 1 */
float uh_logf(float x);
float uh_log1pf(float x); /* log(1 + x) */
float uh_tanhf(float x);
float uh_sigmoidf(float x);  /* 1 / (1 + exp(-x)) */
float uh_softplusf(float x); /* log(1 + exp(x)); its derivative is sigmoid */

/* y[i] = f(x[i]) for i < n, n >= 0, with the bits of the scalar functions and
 * several times as fast.  y may be x itself; otherwise they must not overlap.
 * No alignment is asked for. */
void uh_expf_n(size_t n, const float x[], float y[]);
void uh_expm1f_n(size_t n, const float x[], float y[]);
void uh_logf_n(size_t n, const float x[], float y[]);
void uh_log1pf_n(size_t n, const float x[], float y[]);
void uh_tanhf_n(size_t n, const float x[], float y[]);
void uh_sigmoidf_n(size_t n, const float x[], float y[]);
void uh_softplusf_n(size_t n, const float x[], float y[]);

/* --- double ---------------------------------------------------------------
 *
 * Largest error against MPFR on 10^7 arguments each, a quarter of them or more
 * in the hard ranges (ends of the reduced intervals, zeros of the function,
 * doubles nearest to multiples of pi/2, subnormal numbers):
 *
 *     uh_exp      0.530 ulp      uh_tanh      0.586 ulp
 *     uh_expm1    0.623 ulp      uh_sigmoid   0.535 ulp
 *     uh_log      0.520 ulp      uh_sin       0.576 ulp
 *     uh_log1p    0.520 ulp      uh_cos       0.576 ulp
 *
 * Subnormal results of uh_exp and uh_sigmoid are rounded twice: 0.754 ulp.
 * tests/all_fmath.c measures these numbers, and those of the float functions.
 */
double uh_exp(double x);
double uh_expm1(double x);
double uh_log(double x);
double uh_log1p(double x);
double uh_tanh(double x);
double uh_sigmoid(double x);

/* |x| <= 2^20 pi (the double 0x1.921fb54442d18p+21), else a broken contract;
 * a NaN gives a NaN. */
double uh_sin(double x);
double uh_cos(double x);

#endif
