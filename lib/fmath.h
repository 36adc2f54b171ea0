/* fmath.h: elementary functions of the exact lane.  Floor 1.
 *
 * The same bits from every compiler, optimization level and vector width,
 * with or without FMA instructions.
 */
#ifndef UH_FMATH_H
#define UH_FMATH_H

#include <stddef.h>

float uh_expf(float x);
float uh_expm1f(float x);
float uh_logf(float x);
float uh_log1pf(float x);
float uh_tanhf(float x);
float uh_sigmoidf(float x);  /* 1 / (1 + exp(-x)) */
float uh_softplusf(float x); /* log(1 + exp(x)); its derivative is sigmoid */

/* y[i] = f(x[i]) for i < n, with the bits of the scalar functions, faster.
 * y may be x; otherwise they must not overlap. */
void uh_expf_n(size_t n, const float x[], float y[]);
void uh_expm1f_n(size_t n, const float x[], float y[]);
void uh_logf_n(size_t n, const float x[], float y[]);
void uh_log1pf_n(size_t n, const float x[], float y[]);
void uh_tanhf_n(size_t n, const float x[], float y[]);
void uh_sigmoidf_n(size_t n, const float x[], float y[]);
void uh_softplusf_n(size_t n, const float x[], float y[]);

double uh_exp(double x);
double uh_expm1(double x);
double uh_log(double x);
double uh_log1p(double x);
double uh_sin(double x); /* |x| <= 2^20 * pi, else a broken contract */
double uh_cos(double x);
double uh_tanh(double x);
double uh_sigmoid(double x);

#endif
