/* stream.c: named random streams, Philox4x32-10.  Contract: stream.h. */
#include "stream.h"

#include "die.h"
#include "digest.h"
#include "fmath.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void uh_philox(const uint32_t counter[4], const uint32_t key[2],
               uint32_t out[4])
{
    /* Multipliers and Weyl increments of the paper, table 2 and section 4. */
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xd2511f53 * c0;
        uint64_t b = (uint64_t)0xcd9e8d57 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9e3779b9;
        k1 += 0xbb67ae85;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct uh_stream uh_stream_open(const char *format, ...)
{
    char name[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    UH_REQUIRE(length > 0 && (size_t)length < sizeof name,
               "a stream's name of %d bytes", length);

    struct uh_digest digest;
    uint8_t raw[32];
    uh_digest_start(&digest);
    uh_digest_add(&digest, name, (size_t)length);
    uh_digest_end_raw(&digest, raw);

    struct uh_stream s = {.used = 4};
    for (size_t i = 0; i < 8; i++)
        s.key[i / 4] |= (uint32_t)raw[i] << (8 * (i % 4));
    return s;
}

uint32_t uh_stream_u32(struct uh_stream *s)
{
    if (s->used == 4) {
        uh_philox(s->counter, s->key, s->block);
        for (size_t i = 0; i < 4 && ++s->counter[i] == 0; i++)
            continue; /* the carry goes on */
        s->used = 0;
    }
    return s->block[s->used++];
}

uint64_t uh_stream_u64(struct uh_stream *s)
{
    uint64_t low = uh_stream_u32(s);
    return low | (uint64_t)uh_stream_u32(s) << 32;
}

double uh_stream_uniform(struct uh_stream *s)
{
    return (double)(uh_stream_u64(s) >> 11) * 0x1p-53;
}

float uh_stream_uniformf(struct uh_stream *s)
{
    return (float)(uh_stream_u32(s) >> 8) * 0x1p-24f;
}

double uh_stream_normal(struct uh_stream *s)
{
    double u = uh_stream_uniform(s);
    double v = uh_stream_uniform(s);
    return sqrt(-2 * uh_log(1 - u)) * uh_cos(0x1.921fb54442d18p+2 * v);
}

uint64_t uh_stream_below(struct uh_stream *s, uint64_t n)
{
    UH_REQUIRE(n > 0, "a number below %d", 0);
    uint64_t refused = (0 - n) % n; /* 2^64 mod n */
    uint64_t r;
    do
        r = uh_stream_u64(s);
    while (r < refused);
    return r % n;
}

void uh_stream_permutation(struct uh_stream *s, size_t n, uint32_t p[])
{
    UH_REQUIRE(n == 0 || n - 1 <= UINT32_MAX, "a permutation of %zu", n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        size_t j = (size_t)uh_stream_below(s, i + 1);
        uint32_t kept = p[i];
        p[i] = p[j];
        p[j] = kept;
    }
}

static void gsl_set(void *state, unsigned long seed)
{
    *(struct uh_stream *)state = uh_stream_open("gsl/seed=%lu", seed);
}

static unsigned long gsl_get(void *state)
{
    return uh_stream_u32(state);
}

static double gsl_get_double(void *state)
{
    return uh_stream_uniform(state);
}

static const gsl_rng_type philox_type = {.name = "uh_philox4x32_10",
                                         .max = 0xffffffff,
                                         .min = 0,
                                         .size = sizeof(struct uh_stream),
                                         .set = gsl_set,
                                         .get = gsl_get,
                                         .get_double = gsl_get_double};

const gsl_rng_type *const uh_gsl_philox = &philox_type;

gsl_rng uh_stream_gsl(struct uh_stream *s)
{
    gsl_rng r = {.type = uh_gsl_philox, .state = s};
    return r;
}
