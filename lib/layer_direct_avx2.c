/* layer_direct_avx2.c: the kernels of layer_direct.h for AVX2 and FMA. */
#include "layer_direct.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { LANES = 8, VECTORS = 1 };

typedef __m256 vector, flags;
typedef __m256i mask;

INLINE mask first_lanes(size_t n)
{
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int limit = n < LANES ? (int)n : LANES;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), index);
}

INLINE vector load(const float *from)
{
    return _mm256_loadu_ps(from);
}

INLINE vector load_some(mask lanes, const float *from)
{
    return _mm256_maskload_ps(from, lanes);
}

INLINE void store(float *to, vector x)
{
    _mm256_storeu_ps(to, x);
}

INLINE void store_some(mask lanes, float *to, vector x)
{
    _mm256_maskstore_ps(to, lanes, x);
}

INLINE vector spread(const float *from)
{
    return _mm256_broadcast_ss(from);
}

INLINE vector spread_word(uint32_t word)
{
    return _mm256_castsi256_ps(_mm256_set1_epi32((int)word));
}

INLINE void store_words(uint32_t *to, vector x)
{
    _mm256_storeu_si256((__m256i *)to, _mm256_castps_si256(x));
}

/* x beats y; a NaN beats all and is beaten by none that is not. */
INLINE flags above(vector x, vector y)
{
    return _mm256_or_ps(_mm256_cmp_ps(x, y, _CMP_GT_OQ),
                        _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

INLINE vector chosen(flags f, vector yes, vector no)
{
    return _mm256_blendv_ps(no, yes, f);
}

INLINE vector fused(vector x, vector y, vector s)
{
    return _mm256_fmadd_ps(x, y, s);
}

#include "layer_direct_tile.h"

const struct uh_direct_kernel uh_direct_avx2 = {LANES * VECTORS, run_tile,
                                                run_chain};

#endif
