/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson & Bernstein 2012) for names and client hashes, and Philox4x32-10 (Salmon et
 * al. 2011) for all random numbers: counter based, so that results do not depend on threads.
 */
#include <math.h>
#include <string.h>

#include "base_priv.h"

static inline uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline uint64_t load_le64(const unsigned char *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--)
        x = (x << 8) | p[i];
    return x;
}

uint64_t stg__siphash(const uint64_t key[2], const void *data, size_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    const unsigned char *p = (const unsigned char *)data;
    const size_t whole = len / 8;
    for (size_t i = 0; i < whole; i++, p += 8) {
        const uint64_t m = load_le64(p);
        v[3] ^= m;
        sip_round(v);
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 0; i < len % 8; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void stg__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)c[0] * 0xD2511F53u;
        const uint64_t b = (uint64_t)c[2] * 0xCD9E8D57u;
        const uint32_t n[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b,
                               (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
        memcpy(c, n, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

static void block_at(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    stg__philox(counter, key, out);
}

void stg__rng_init(stg__rng *rng, uint64_t seed, uint64_t stream)
{
    memset(rng, 0, sizeof *rng);
    rng->seed = seed;
    rng->stream = stream;
}

uint32_t stg__rng_u32(stg__rng *rng)
{
    if (rng->left == 0) {
        block_at(rng->seed, rng->stream, rng->index++, rng->block);
        rng->left = 4;
    }
    return rng->block[4 - rng->left--];
}

uint32_t stg__rng_below(stg__rng *rng, uint32_t bound)
{
    /* Lemire 2019: multiply, and reject the few values that would bias the result. */
    uint64_t m = (uint64_t)stg__rng_u32(rng) * bound;
    if ((uint32_t)m < bound) {
        const uint32_t floor = (uint32_t)(-bound) % bound;
        while ((uint32_t)m < floor)
            m = (uint64_t)stg__rng_u32(rng) * bound;
    }
    return (uint32_t)(m >> 32);
}

static double unit(uint32_t high, uint32_t low)
{
    const uint64_t bits = (((uint64_t)high << 32) | low) >> 11;
    return ((double)bits + 0.5) * 0x1p-53;
}

double stg__rng_unit(stg__rng *rng)
{
    const uint32_t high = stg__rng_u32(rng);
    return unit(high, stg__rng_u32(rng));
}

double stg__rng_normal(stg__rng *rng)
{
    /* Box and Muller; the second number is not kept, so that the state stays a counter. */
    const double u = stg__rng_unit(rng);
    const double v = stg__rng_unit(rng);
    return sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
}

double stg__uniform_at(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t block[4];
    block_at(seed, stream, index, block);
    return unit(block[0], block[1]);
}
