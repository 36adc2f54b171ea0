/* layer_direct_avx512.c: the kernels of layer_direct.h for AVX-512F. */
#include "layer_direct.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 16, VECTORS = 2 };

typedef __m512 vector;
typedef __mmask16 mask, flags;

INLINE mask first_lanes(size_t n)
{
    return (mask)(n < LANES ? (1u << n) - 1 : 0xffffu);
}

INLINE vector load(const float *from)
{
    return _mm512_loadu_ps(from);
}

INLINE vector load_some(mask lanes, const float *from)
{
    return _mm512_maskz_loadu_ps(lanes, from);
}

INLINE void store(float *to, vector x)
{
    _mm512_storeu_ps(to, x);
}

INLINE void store_some(mask lanes, float *to, vector x)
{
    _mm512_mask_storeu_ps(to, lanes, x);
}

INLINE vector spread(const float *from)
{
    return _mm512_set1_ps(*from);
}

INLINE vector spread_word(uint32_t word)
{
    return _mm512_castsi512_ps(_mm512_set1_epi32((int)word));
}

INLINE void store_words(uint32_t *to, vector x)
{
    _mm512_storeu_si512(to, _mm512_castps_si512(x));
}

/* x beats y; a NaN beats all and is beaten by none that is not. */
INLINE flags above(vector x, vector y)
{
    return (flags)(_mm512_cmp_ps_mask(x, y, _CMP_GT_OQ) |
                   _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q));
}

INLINE vector chosen(flags f, vector yes, vector no)
{
    return _mm512_mask_blend_ps(f, no, yes);
}

INLINE vector fused(vector x, vector y, vector s)
{
    return _mm512_fmadd_ps(x, y, s);
}

#include "layer_direct_tile.h"

const struct uh_direct_kernel uh_direct_avx512 = {LANES * VECTORS, run_tile,
                                                  run_chain};

#endif
