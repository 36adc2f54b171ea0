/* test_ratio.c: rationals against integers of 128 bits, and as a field. */
#include "arena.h"
#include "ratio.h"
#include "stream.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

__extension__ typedef __int128 wide;

static wide divisor(wide a, wide b)
{
    return b == 0 ? (a < 0 ? -a : a) : divisor(b, a % b);
}

/* The ratio is above / below. */
static void expect(struct uh_arena *arena, struct uh_ratio r, wide above,
                   wide below)
{
    char text[64];
    wide d = divisor(above, below);
    d = below < 0 ? -d : d;
    if (below / d == 1) {
        snprintf(text, sizeof text, "%lld", (long long)(above / d));
    } else {
        snprintf(text, sizeof text, "%lld/%lld", (long long)(above / d),
                 (long long)(below / d));
    }
    assert_string_equal(uh_ratio_text(arena, r), text);
    assert_int_equal(uh_ratio_sign(r), (above / d > 0) - (above / d < 0));
}

static long draw(struct uh_stream *s, long most)
{
    return (long)uh_stream_below(s, (uint64_t)(2 * most + 1)) - most;
}

static void arithmetic_is_that_of_fractions(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream s = uh_stream_open("test/ratio/small");
    for (int i = 0; i < 20000; i++) {
        struct uh_mark mark = uh_arena_open(arena);
        long most = i % 2 ? 12 : 20000;
        wide a = draw(&s, most), c = draw(&s, most);
        wide b = 1 + (wide)uh_stream_below(&s, (uint64_t)most);
        wide d = 1 + (wide)uh_stream_below(&s, (uint64_t)most);
        struct uh_ratio x = uh_ratio(arena, (long)a, (unsigned long)b);
        struct uh_ratio y = uh_ratio(arena, (long)c, (unsigned long)d);
        expect(arena, x, a, b);
        expect(arena, uh_ratio_add(arena, x, y), a * d + c * b, b * d);
        expect(arena, uh_ratio_sub(arena, x, y), a * d - c * b, b * d);
        expect(arena, uh_ratio_mul(arena, x, y), a * c, b * d);
        if (c != 0) {
            expect(arena, uh_ratio_div(arena, x, y), a * d, b * c);
        }
        wide order = a * d - c * b;
        assert_int_equal(uh_ratio_cmp(x, y), (order > 0) - (order < 0));
        uh_arena_release(arena, mark);
    }
    uh_arena_free(&arena);
}

static void long_ratios_obey_the_laws_of_a_field(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream s = uh_stream_open("test/ratio/long");
    for (int i = 0; i < 300; i++) {
        struct uh_mark mark = uh_arena_open(arena);
        struct uh_ratio x[3], zero = {0};
        for (int k = 0; k < 3; k++) {
            x[k] = uh_ratio_of(arena, uh_stream_normal(&s));
            for (int n = 0; n < i % 20; n++) { /* up to some 1000 bits */
                struct uh_ratio y = uh_ratio_of(arena, uh_stream_normal(&s));
                x[k] = n % 2 ? uh_ratio_mul(arena, x[k], y)
                             : uh_ratio_div(arena, x[k], y);
            }
        }
        struct uh_ratio left =
            uh_ratio_mul(arena, uh_ratio_add(arena, x[0], x[1]), x[2]);
        struct uh_ratio right =
            uh_ratio_add(arena, uh_ratio_mul(arena, x[0], x[2]),
                         uh_ratio_mul(arena, x[1], x[2]));
        assert_int_equal(uh_ratio_cmp(left, right), 0);
        left = uh_ratio_add(arena, uh_ratio_sub(arena, x[0], x[1]), x[1]);
        assert_int_equal(uh_ratio_cmp(left, x[0]), 0);
        left = uh_ratio_mul(arena, uh_ratio_div(arena, x[0], x[1]), x[1]);
        assert_int_equal(uh_ratio_cmp(left, x[0]), 0);
        left = uh_ratio_sub(arena, x[0], x[0]);
        assert_int_equal(uh_ratio_cmp(left, zero), 0);
        assert_int_equal(uh_ratio_cmp(x[0], zero), uh_ratio_sign(x[0]));
        uh_arena_release(arena, mark);
    }
    uh_arena_free(&arena);
}

static void zeroed_memory_is_zero(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_ratio zero = {0}, half = uh_ratio(arena, 1, 2);
    assert_int_equal(uh_ratio_sign(zero), 0);
    assert_string_equal(uh_ratio_text(arena, zero), "0");
    assert_true(uh_ratio_double(zero) == 0);
    assert_int_equal(uh_ratio_cmp(uh_ratio_add(arena, zero, half), half), 0);
    assert_int_equal(uh_ratio_sign(uh_ratio_mul(arena, zero, half)), 0);
    uh_arena_free(&arena);
}

static void a_double_comes_back(void **state)
{
    (void)state;
    static const double hard[] = {
        0x1p-1074,  DBL_MIN, DBL_MAX, -DBL_MAX, 0x1.fffffffffffffp-1023,
        -0x1p-1074, 1,       -0.1};
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream s = uh_stream_open("test/ratio/double");
    for (size_t i = 0; i < 5000; i++) {
        uint64_t bits = uh_stream_u64(&s);
        double x;
        memcpy(&x, &bits, sizeof x);
        x = i < sizeof hard / sizeof *hard ? hard[i] : x;
        if (isfinite(x)) {
            assert_true(uh_ratio_double(uh_ratio_of(arena, x)) == x);
        }
    }
    uh_arena_free(&arena);
}

/* a + b of doubles is a rational; the processor rounds it, and so do we. */
static void the_nearest_double_is_what_ieee_754_rounds_to(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream s = uh_stream_open("test/ratio/nearest");
    for (int i = 0; i < 20000; i++) {
        struct uh_mark mark = uh_arena_open(arena);
        int tie = i % 2; /* half a unit in the last place more is a tie */
        double a = uh_stream_normal(&s), b = uh_stream_normal(&s);
        b = tie ? ldexp(copysign(0.5, b), ilogb(a) - 52) : b;
        struct uh_ratio x = uh_ratio_of(arena, a), y = uh_ratio_of(arena, b);
        assert_true(uh_ratio_double(uh_ratio_add(arena, x, y)) == a + b);
        assert_true(uh_ratio_double(uh_ratio_sub(arena, x, y)) == a - b);
        assert_true(uh_ratio_double(uh_ratio_mul(arena, x, y)) == a * b);
        assert_true(uh_ratio_double(uh_ratio_div(arena, x, y)) == a / b);
        uh_arena_release(arena, mark);
    }
    struct uh_ratio small = uh_ratio_of(arena, 0x1p-1074);
    struct uh_ratio half = uh_ratio(arena, 1, 2), three = uh_ratio(arena, 3, 2);
    assert_true(uh_ratio_double(uh_ratio_mul(arena, small, half)) == 0);
    assert_true(uh_ratio_double(uh_ratio_mul(arena, small, three)) ==
                0x1p-1073);
    struct uh_ratio large = uh_ratio_of(arena, DBL_MAX);
    struct uh_ratio ulp = uh_ratio_of(arena, 0x1p970);
    struct uh_ratio below = uh_ratio_sub(arena, ulp, half);
    assert_true(uh_ratio_double(uh_ratio_add(arena, large, below)) == DBL_MAX);
    assert_true(isinf(uh_ratio_double(
        uh_ratio_add(arena, large, uh_ratio_add(arena, ulp, half)))));
    uh_arena_free(&arena);
}

static void what_is_kept_outlasts_a_mark(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new(), *other = uh_arena_new();
    struct uh_mark mark = uh_arena_open(arena);
    struct uh_ratio third = uh_ratio(arena, -1, 3);
    struct uh_ratio kept = uh_ratio_keep(other, third);
    uh_arena_release(arena, mark);
    memset(uh_arena_alloc(arena, 4096, 1), 0xA5, 4096);
    assert_string_equal(uh_ratio_text(other, kept), "-1/3");
    uh_arena_free(&arena);
    uh_arena_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_that_of_fractions),
        cmocka_unit_test(long_ratios_obey_the_laws_of_a_field),
        cmocka_unit_test(zeroed_memory_is_zero),
        cmocka_unit_test(a_double_comes_back),
        cmocka_unit_test(the_nearest_double_is_what_ieee_754_rounds_to),
        cmocka_unit_test(what_is_kept_outlasts_a_mark),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ratio", tests, NULL, NULL) != 0;
}
