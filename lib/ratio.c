/* ratio.c: rational numbers as values. */
#include "ratio.h"
#include "die.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The ratio as GMP reads it; nothing to clear. */
static void view(mpq_t q, const struct uh_ratio *a)
{
    static const mp_limb_t one = 1;
    mpz_roinit_n(mpq_numref(q), a->digits, a->above);
    if (a->below) {
        mpz_roinit_n(mpq_denref(q), a->digits + abs(a->above), a->below);
    } else {
        mpz_roinit_n(mpq_denref(q), &one, 1);
    }
}

static struct uh_ratio keep(struct uh_arena *arena, const mpq_t q)
{
    size_t above = mpz_size(mpq_numref(q)), below = mpz_size(mpq_denref(q));
    UH_REQUIRE(above + below < INT_MAX, "%zu limbs", above);
    if (above == 0) {
        return (struct uh_ratio){NULL, 0, 0};
    }
    mp_limb_t *digits =
        uh_arena_alloc_raw(arena, above + below, sizeof *digits);
    memcpy(digits, mpz_limbs_read(mpq_numref(q)), above * sizeof *digits);
    memcpy(digits + above, mpz_limbs_read(mpq_denref(q)),
           below * sizeof *digits);
    return (struct uh_ratio){digits, mpq_sgn(q) * (int)above, (int)below};
}

static struct uh_ratio operation(struct uh_arena *arena,
                                 void (*of)(mpq_ptr, mpq_srcptr, mpq_srcptr),
                                 const struct uh_ratio *a,
                                 const struct uh_ratio *b)
{
    mpq_t x, y, z;
    view(x, a);
    view(y, b);
    mpq_init(z);
    of(z, x, y);
    struct uh_ratio result = keep(arena, z);
    mpq_clear(z);
    return result;
}

struct uh_ratio uh_ratio(struct uh_arena *arena, long above,
                         unsigned long below)
{
    UH_REQUIRE(below >= 1, "%ld / 0", above);
    mpq_t q;
    mpq_init(q);
    mpq_set_si(q, above, below);
    mpq_canonicalize(q);
    struct uh_ratio result = keep(arena, q);
    mpq_clear(q);
    return result;
}

struct uh_ratio uh_ratio_of(struct uh_arena *arena, double x)
{
    UH_REQUIRE(isfinite(x), "%g", x);
    mpq_t q;
    mpq_init(q);
    mpq_set_d(q, x);
    struct uh_ratio result = keep(arena, q);
    mpq_clear(q);
    return result;
}

struct uh_ratio uh_ratio_add(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b)
{
    return operation(arena, mpq_add, &a, &b);
}

struct uh_ratio uh_ratio_sub(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b)
{
    return operation(arena, mpq_sub, &a, &b);
}

struct uh_ratio uh_ratio_mul(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b)
{
    return operation(arena, mpq_mul, &a, &b);
}

struct uh_ratio uh_ratio_div(struct uh_arena *arena, struct uh_ratio a,
                             struct uh_ratio b)
{
    UH_REQUIRE(b.above != 0, "a ratio divided by %d", 0);
    return operation(arena, mpq_div, &a, &b);
}

int uh_ratio_sign(struct uh_ratio a)
{
    return (a.above > 0) - (a.above < 0);
}

int uh_ratio_cmp(struct uh_ratio a, struct uh_ratio b)
{
    mpq_t x, y;
    view(x, &a);
    view(y, &b);
    int order = mpq_cmp(x, y);
    return (order > 0) - (order < 0);
}

static int is_even(double x)
{
    unsigned long long bits;
    memcpy(&bits, &x, sizeof bits);
    return bits % 2 == 0;
}

double uh_ratio_double(struct uh_ratio a)
{
    mpq_t q, twice, middle;
    view(q, &a);
    double near = mpq_get_d(q); /* cut off, towards zero */
    if (!isfinite(near)) {
        return near;
    }
    double far = nextafter(near, a.above < 0 ? -HUGE_VAL : HUGE_VAL);
    mpq_inits(twice, middle, NULL);
    /* Past DBL_MAX the neighbour would be 2^1024. */
    mpq_set_d(middle, isfinite(far) ? far : copysign(0x1p1023, far));
    if (!isfinite(far)) {
        mpq_mul_2exp(middle, middle, 1);
    }
    mpq_set_d(twice, near);
    mpq_add(middle, middle, twice);
    mpq_mul_2exp(twice, q, 1);
    int order = mpq_cmp(twice, middle) * (a.above < 0 ? -1 : 1);
    mpq_clears(twice, middle, NULL);
    return order > 0 || (order == 0 && !is_even(near)) ? far : near;
}

const char *uh_ratio_text(struct uh_arena *arena, struct uh_ratio a)
{
    mpq_t q;
    view(q, &a);
    size_t room = mpz_sizeinbase(mpq_numref(q), 10) +
                  mpz_sizeinbase(mpq_denref(q), 10) + 3;
    return mpq_get_str(uh_arena_alloc(arena, room, 1), 10, q);
}

struct uh_ratio uh_ratio_keep(struct uh_arena *arena, struct uh_ratio a)
{
    mpq_t q;
    view(q, &a);
    return keep(arena, q);
}
