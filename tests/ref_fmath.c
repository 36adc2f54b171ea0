/* ref_fmath.c: elementary functions by MPFR. */
#include "ref_fmath.h"

#include <math.h>
#include <mpfr.h>

/* v = f(x) to 160 bits, also where f(x) is near 1, 0 or x. */
static void compute(mpfr_t v, enum ref_function f, mpfr_t x)
{
    switch (f) {
    case REF_EXP:
        mpfr_exp(v, x, MPFR_RNDN);
        break;
    case REF_EXPM1:
        mpfr_expm1(v, x, MPFR_RNDN);
        break;
    case REF_LOG:
        mpfr_log(v, x, MPFR_RNDN);
        break;
    case REF_LOG1P:
        mpfr_log1p(v, x, MPFR_RNDN);
        break;
    case REF_TANH:
        mpfr_tanh(v, x, MPFR_RNDN);
        break;
    case REF_SIGMOID: /* 1 / (1 + exp(-x)) */
        mpfr_neg(v, x, MPFR_RNDN);
        mpfr_exp(v, v, MPFR_RNDN);
        mpfr_add_ui(v, v, 1, MPFR_RNDN);
        mpfr_ui_div(v, 1, v, MPFR_RNDN);
        break;
    case REF_SOFTPLUS:
        /* max(x, 0) + log(1 + exp(-|x|)) */
        mpfr_abs(v, x, MPFR_RNDN);
        mpfr_neg(v, v, MPFR_RNDN);
        mpfr_exp(v, v, MPFR_RNDN);
        mpfr_log1p(v, v, MPFR_RNDN);
        if (mpfr_sgn(x) > 0)
            mpfr_add(v, v, x, MPFR_RNDN);
        break;
    case REF_SIN:
        mpfr_sin(v, x, MPFR_RNDN);
        break;
    case REF_COS:
        mpfr_cos(v, x, MPFR_RNDN);
        break;
    }
}

double ref_error(enum ref_function f, enum ref_format format, double x,
                 double y)
{
    long digits = format == REF_FLT ? 24 : 53;
    long least = format == REF_FLT ? -149 : -1074;
    long largest = format == REF_FLT ? 128 : 1024;
    double error;
    mpfr_t v, w;
    mpfr_init2(v, 160);
    mpfr_init2(w, 160);
    mpfr_set_d(w, x, MPFR_RNDN);
    compute(v, f, w);
    if (mpfr_nan_p(v) || isnan(y)) {
        error = mpfr_nan_p(v) && isnan(y) ? 0 : HUGE_VAL;
    } else if (mpfr_inf_p(v) || mpfr_zero_p(v)) {
        error = mpfr_get_d(v, MPFR_RNDN) == y ? 0 : HUGE_VAL;
    } else {
        long unit = (long)mpfr_get_exp(v) - digits;
        unit = unit < least ? least : unit;
        unit = unit > largest - digits ? largest - digits : unit;
        /* Overflow: infinity stands for 2^largest. */
        if (isinf(y))
            mpfr_set_si_2exp(w, y > 0 ? 1 : -1, largest, MPFR_RNDN);
        else
            mpfr_set_d(w, y, MPFR_RNDN);
        mpfr_sub(w, w, v, MPFR_RNDN);
        mpfr_div_2si(w, w, unit, MPFR_RNDN);
        error = fabs(mpfr_get_d(w, MPFR_RNDN));
        /* Beyond the format's end every infinity is right. */
        if (isinf(y) && (long)mpfr_get_exp(v) > largest)
            error = (mpfr_sgn(v) > 0) == (y > 0) ? 0 : HUGE_VAL;
    }
    mpfr_clear(v);
    mpfr_clear(w);
    return error;
}
