/* ref_fmath_portable.c: lib/fmath.c once more, as it is compiled for machines
 * without FMA instructions, under other names. */
#define UH_PORTABLE
#define uh_expf portable_expf
#define uh_expm1f portable_expm1f
#define uh_logf portable_logf
#define uh_log1pf portable_log1pf
#define uh_tanhf portable_tanhf
#define uh_sigmoidf portable_sigmoidf
#define uh_softplusf portable_softplusf
#define uh_expf_n portable_expf_n
#define uh_expm1f_n portable_expm1f_n
#define uh_logf_n portable_logf_n
#define uh_log1pf_n portable_log1pf_n
#define uh_tanhf_n portable_tanhf_n
#define uh_sigmoidf_n portable_sigmoidf_n
#define uh_softplusf_n portable_softplusf_n
#define uh_exp portable_exp
#define uh_expm1 portable_expm1
#define uh_log portable_log
#define uh_log1p portable_log1p
#define uh_tanh portable_tanh
#define uh_sigmoid portable_sigmoid
#define uh_sin portable_sin
#define uh_cos portable_cos
#include "fmath.c"
