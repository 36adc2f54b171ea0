/* ref_fmath.h: elementary functions by MPFR, and a second copy of fmath.c. */
#ifndef REF_FMATH_H
#define REF_FMATH_H

#include <stddef.h>

enum ref_function {
    REF_EXP,
    REF_EXPM1,
    REF_LOG,
    REF_LOG1P,
    REF_TANH,
    REF_SIGMOID,
    REF_SOFTPLUS,
    REF_SIN,
    REF_COS
};

/* How far y is from f(x), in units of the last place of f(x) in a binary
 * format, FLT for float, DBL for double; beyond its largest number, in units
 * of the last place of that.  0 when both are NaN or the same infinity;
 * HUGE_VAL when only one is NaN, or for a wrong exact infinity or zero. */
enum ref_format { REF_FLT, REF_DBL };
double ref_error(enum ref_function f, enum ref_format format, double x,
                 double y);

/* fmath.c compiled with UH_PORTABLE, without instructions for FMA. */
float portable_expf(float x);
float portable_expm1f(float x);
float portable_logf(float x);
float portable_log1pf(float x);
float portable_tanhf(float x);
float portable_sigmoidf(float x);
float portable_softplusf(float x);
double portable_exp(double x);
double portable_expm1(double x);
double portable_log(double x);
double portable_log1p(double x);
double portable_tanh(double x);
double portable_sigmoid(double x);
double portable_sin(double x);
double portable_cos(double x);

#endif
