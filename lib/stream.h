/* stream.h: named random streams, Philox4x32-10.  Floor 1.
 *
 * Method   Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
 *          numbers: as easy as 1, 2, 3", SC11, 2011): block number i of a
 *          stream is a bijection of the 128-bit counter i = 0, 1, 2, ...
 *          under the stream's 64-bit key.  Its four words are handed out in
 *          the order x0, x1, x2, x3.  The period is 2^130 words.
 * Key      The first 8 bytes b0 ... b7 of the SHA-256 of the name (without a
 *          terminating zero), as two little-endian words:
 *          k0 = b0 + 2^8 b1 + 2^16 b2 + 2^24 b3, and k1 from b4 ... b7.
 * Lane     exact: the same bits everywhere.
 * Streams of different names are independent for every purpose here: their
 *          keys differ (two of a million names share a key with probability
 *          3e-8), and under different keys the generator passes BigCrush,
 *          also interleaved (same paper, section 5).  Adding an experiment
 *          never shifts another one's numbers.
 * Use      One stream per purpose and cell, named by a path in words,
 *          "knots/count/seed=%d/init"; never shared between cells.  A name
 *          used twice gives the same numbers twice.  Numbers in names are
 *          integers: %g depends on the locale.
 */
#ifndef UH_STREAM_H
#define UH_STREAM_H

#include "status.h"

#include <gsl/gsl_rng.h>
#include <stddef.h>
#include <stdint.h>

/* Plain and copyable: a copy continues on its own with the same numbers. */
struct uh_stream {
    uint32_t key[2];     /* k0, k1 */
    uint32_t counter[4]; /* number of the next block, least word first */
    uint32_t block[4];   /* the current block */
    uint32_t used;       /* words of it already handed out, 0 to 4 */
};

/* The stream of a name, at its beginning.  The name, after formatting, has 1
 * to 1023 bytes. */
struct uh_stream uh_stream_open(const char *format, ...) UH_PRINTF(1, 2);

/* The next word. */
uint32_t uh_stream_u32(struct uh_stream *s);

/* The next two words, the first one less significant. */
uint64_t uh_stream_u64(struct uh_stream *s);

/* floor(u64 / 2^11) / 2^53: a multiple of 2^-53 in [0,1). */
double uh_stream_uniform(struct uh_stream *s);

/* floor(u32 / 2^8) / 2^24: a multiple of 2^-24 in [0,1). */
float uh_stream_uniformf(struct uh_stream *s);

/* A standard normal variate by Box and Muller, from two uniforms u, v (in
 * this order, four words): sqrt(-2 log(1 - u)) cos(2 pi v), where 1 - u is
 * exact, log and cos are those of fmath.h, 2 pi is 0x1.921fb54442d18p+2, and
 * each of the products, taken from the left, is rounded once:
 * sqrt(-2 * log(1 - u)) * cos(0x1.921fb54442d18p+2 * v).
 * At most 8.58 in absolute value. */
double uh_stream_normal(struct uh_stream *s);

/* Unbiased on 0 ... n-1, n >= 1: the first u64 r with r >= 2^64 mod n, then
 * r mod n. */
uint64_t uh_stream_below(struct uh_stream *s, uint64_t n);

/* A uniform permutation of 0 ... n-1, n <= 2^32: p is the identity, then for
 * i = n-1 down to 1 it exchanges p[i] and p[below(i + 1)] (Fisher and Yates;
 * Knuth, TAOCP vol. 2, 3rd ed., section 3.4.2, algorithm P). */
void uh_stream_permutation(struct uh_stream *s, size_t n, uint32_t p[]);

/* One block: out = Philox4x32-10 of counter and key.  For tests, and for
 * those who want random access. */
void uh_philox(const uint32_t counter[4], const uint32_t key[2],
               uint32_t out[4]);

/* The generator in GSL's terms; its state is a struct uh_stream, get is
 * uh_stream_u32(), get_double uh_stream_uniform().  gsl_rng_set(r, seed)
 * opens the stream "gsl/seed=SEED" (decimal).  What GSL's distributions make
 * of it belongs to the LAPACK lane: exp and log of libm. */
extern const gsl_rng_type *const uh_gsl_philox;

/* A gsl_rng that draws from s and advances it; s must outlive it.  It needs
 * no gsl_rng_free(): gsl_rng r = uh_stream_gsl(&s); gsl_ran_gamma(&r, ...) */
gsl_rng uh_stream_gsl(struct uh_stream *s);

#endif
