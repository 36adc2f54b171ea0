/* digest.c: SHA-256 (FIPS 180-4).  Contract: digest.h. */
#include "digest.h"

#include <string.h>

/* First 32 bits of the fractional parts of the cube roots of the first 64
 * primes (FIPS 180-4, section 4.2.2). */
static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, unsigned by)
{
    return (x >> by) | (x << (32 - by));
}

/* One step of section 6.2.2, item 3.  The working variables a, ..., h are
 * v[first], v[first + 1], ... modulo 8: instead of moving all of them down by
 * one place, the next step begins one place lower. */
static inline __attribute__((always_inline)) void
one_round(uint32_t v[8], size_t first, uint32_t wk)
{
    uint32_t a = v[first], b = v[(first + 1) % 8], c = v[(first + 2) % 8];
    uint32_t e = v[(first + 4) % 8], f = v[(first + 5) % 8];
    uint32_t g = v[(first + 6) % 8];
    uint32_t s1 =
        rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    uint32_t t1 = v[(first + 7) % 8] + s1 + ((e & f) ^ (~e & g)) + wk;
    uint32_t s0 =
        rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    v[(first + 3) % 8] += t1;
    v[(first + 7) % 8] = t1 + s0 + ((a & b) ^ (a & c) ^ (b & c));
}

static void hash_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64];
    for (size_t t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | (uint32_t)block[4 * t + 3];
    for (size_t t = 16; t < 64; t++) {
        uint32_t a = w[t - 15], b = w[t - 2];
        uint32_t s0 = rotate_right(a, 7) ^ rotate_right(a, 18) ^ (a >> 3);
        uint32_t s1 = rotate_right(b, 17) ^ rotate_right(b, 19) ^ (b >> 10);
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (size_t t = 0; t < 64; t += 8) {
        one_round(v, 0, w[t] + round_constant[t]);
        one_round(v, 7, w[t + 1] + round_constant[t + 1]);
        one_round(v, 6, w[t + 2] + round_constant[t + 2]);
        one_round(v, 5, w[t + 3] + round_constant[t + 3]);
        one_round(v, 4, w[t + 4] + round_constant[t + 4]);
        one_round(v, 3, w[t + 5] + round_constant[t + 5]);
        one_round(v, 2, w[t + 6] + round_constant[t + 6]);
        one_round(v, 1, w[t + 7] + round_constant[t + 7]);
    }
    for (size_t i = 0; i < 8; i++)
        h[i] += v[i];
}

void uh_digest_start(struct uh_digest *d)
{
    /* Fractional parts of the square roots of the first 8 primes. */
    static const uint32_t h0[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                   0xa54ff53a, 0x510e527f, 0x9b05688c,
                                   0x1f83d9ab, 0x5be0cd19};
    memset(d, 0, sizeof *d);
    memcpy(d->h, h0, sizeof h0);
}

void uh_digest_add(struct uh_digest *d, const void *bytes, size_t size)
{
    const uint8_t *next = bytes;
    size_t held = (size_t)(d->size % 64);
    d->size += size;
    if (held > 0 && size >= 64 - held) {
        memcpy(d->block + held, next, 64 - held);
        hash_block(d->h, d->block);
        next += 64 - held;
        size -= 64 - held;
        held = 0;
    }
    if (held == 0)
        for (; size >= 64; next += 64, size -= 64)
            hash_block(d->h, next);
    if (size > 0)
        memcpy(d->block + held, next, size);
}

void uh_digest_end_raw(struct uh_digest *d, uint8_t raw[32])
{
    /* One bit 1, zeros up to 56 modulo 64 bytes, the length in bits. */
    uint8_t tail[72] = {0x80};
    uint64_t bits = d->size * 8;
    size_t zeros = (size_t)((119 - d->size % 64) % 64);
    for (size_t i = 0; i < 8; i++)
        tail[1 + zeros + i] = (uint8_t)(bits >> (56 - 8 * i));
    uh_digest_add(d, tail, 1 + zeros + 8);
    for (size_t i = 0; i < 32; i++)
        raw[i] = (uint8_t)(d->h[i / 4] >> (24 - 8 * (i % 4)));
}

void uh_digest_end(struct uh_digest *d, char hex[65])
{
    uint8_t raw[32];
    uh_digest_end_raw(d, raw);
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[raw[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[raw[i] & 15];
    }
    hex[64] = '\0';
}

void uh_digest_of(const void *bytes, size_t size, char hex[65])
{
    struct uh_digest d;
    uh_digest_start(&d);
    uh_digest_add(&d, bytes, size);
    uh_digest_end(&d, hex);
}
