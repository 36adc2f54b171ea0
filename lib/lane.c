/* lane.c: the guard at start-up of the exact lane.  Contract: lane.h.
 *
 * The operands are volatile, so that the processor computes the examples and
 * not the compiler.  The order matters: each example takes for granted what
 * those before it have shown. */
#include "lane.h"

#include "die.h"

#include <fenv.h>
#include <math.h>

/* "what: expected ..., found ..." unless found is exactly expected. */
static void expect(double found, double expected, const char *what)
{
    volatile double stored = found; /* sheds excess precision */
    if (!(stored == expected))
        uh_die("floating point: %s: expected %a, found %a", what, expected,
               stored);
}

static void expectf(float found, float expected, const char *what)
{
    volatile float stored = found;
    expect((double)stored, (double)expected, what);
}

static void check_rounding(void)
{
    if (fegetround() != FE_TONEAREST)
        uh_die("floating point: rounding mode: expected to nearest (%d), "
               "found %d",
               FE_TONEAREST, fegetround());
    volatile double one = 1, under = 0x0.ffp-53, over = 0x1.01p-53;
    expect(one + under, 1, "1 + 0.99 * 2^-53 to nearest");
    expect(one + over, 1 + 0x1p-52, "1 + 1.01 * 2^-53 to nearest");
    expect(-one - over, -1 - 0x1p-52, "-1 - 1.01 * 2^-53 to nearest");
    volatile float onef = 1, underf = 0x0.ffp-24f, overf = 0x1.01p-24f;
    expectf(onef + underf, 1, "1 + 0.99 * 2^-24 to nearest");
    expectf(onef + overf, 1 + 0x1p-23f, "1 + 1.01 * 2^-24 to nearest");
}

static void check_denormals(void)
{
    /* The products are normal where the operand is not, and the reverse. */
    volatile double least = 0x1p-1074, large = 0x1p+1000;
    expect(least * large, 0x1p-74, "a denormal double as operand");
    volatile double normal = 0x1p-1022, half = 0.5;
    volatile double result = normal * half;
    expect(result * large, 0x1p-23, "a denormal double as result");
    volatile float leastf = 0x1p-149f, largef = 0x1p+120f;
    expectf(leastf * largef, 0x1p-29f, "a denormal float as operand");
    volatile float normalf = 0x1p-126f, halff = 0.5f;
    volatile float resultf = normalf * halff;
    expectf(resultf * largef, 0x1p-7f, "a denormal float as result");
}

static void check_precision(void)
{
    /* In a wider format the small term would survive until the difference. */
    volatile double one = 1, small = 0x1p-54;
    expect(one + small - one, 0, "1 + 2^-54 - 1 in double");
    volatile float onef = 1, smallf = 0x1p-25f;
    expectf(onef + smallf - onef, 0, "1 + 2^-25 - 1 in float");
}

static void check_products(void)
{
    /* a^2 = 1 + 2^-26 + 2^-54, and the last term is lost in rounding. */
    volatile double a = 1 + 0x1p-27, c = -1 - 0x1p-26;
    expect(a * a + c, 0, "a * a + c rounded twice in double");
    expect(fma(a, a, c), 0x1p-54, "fma rounded once");
    volatile float af = 1 + 0x1p-13f, cf = -1 - 0x1p-12f;
    expectf(af * af + cf, 0, "a * a + c rounded twice in float");
    expectf(fmaf(af, af, cf), 0x1p-26f, "fmaf rounded once");
}

void uh_lane_check(void)
{
    check_rounding();
    check_denormals();
    check_precision();
    check_products();
}
