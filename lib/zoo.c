/* zoo.c: networks whose answers are known by proof. */
#include "zoo.h"
#include "die.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static struct uh_zoo entry(const char *name, const char *arch,
                           const char *theorem, struct uh_arena *arena)
{
    double unknown = (double)NAN;
    return (struct uh_zoo){.name = name,
                           .theorem = theorem,
                           .net = uh_net_make(arch, arena),
                           .lipschitz = unknown,
                           .product = unknown,
                           .knots = SIZE_MAX,
                           .from = unknown,
                           .to = unknown,
                           .singulars = SIZE_MAX,
                           .rank = SIZE_MAX,
                           .dead = SIZE_MAX,
                           .distance = unknown};
}

static void set(float *to, size_t n, const float from[])
{
    memcpy(to, from, n * sizeof *to);
}

/* -- linear layers ------------------------------------------------------------- */

/* Hadamard's matrix of order n, a power of two, divided by sqrt(n): entry (i,
 * j) is -1 to the number of ones in i & j. */
static void hadamard(size_t n, float scale, float *w)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            int odd = 0;
            for (size_t bits = i & j; bits; bits &= bits - 1) {
                odd = !odd;
            }
            w[i * n + j] = odd ? -scale : scale;
        }
    }
}

static struct uh_zoo orthogonal(struct uh_arena *arena)
{
    struct uh_zoo z =
        entry("orthogonal", "input 16; dense 16",
              "Hadamard's matrix of order 16 divided by 4 is orthogonal: every "
              "singular value is 1 and lengths are kept.",
              arena);
    hadamard(16, 0.25F, z.net.layer[0].weight);
    z.lipschitz = z.product = 1;
    z.rank = z.singulars = 16;
    for (size_t i = 0; i < 16; i++) {
        z.singular[i] = 1;
    }
    return z;
}

static struct uh_zoo diagonal(struct uh_arena *arena)
{
    struct uh_zoo z = entry("diagonal", "input 5; dense 5",
                            "The singular values of a diagonal matrix are the "
                            "absolute values of its entries.",
                            arena);
    const float d[5] = {1, -3, 0, 0.5F, 2};
    const double sorted[5] = {3, 2, 1, 0.5, 0};
    for (size_t i = 0; i < 5; i++) {
        z.net.layer[0].weight[6 * i] = d[i];
    }
    memcpy(z.singular, sorted, sizeof sorted);
    z.singulars = 5;
    z.rank = 4;
    z.lipschitz = z.product = 3;
    return z;
}

static struct uh_zoo rank_one(struct uh_arena *arena)
{
    struct uh_zoo z = entry("rank-one", "input 3; dense 3",
                            "u v' has one singular value that is not 0, the "
                            "product of the lengths of u = (1, 2, 2) and v = "
                            "(2, 3, 6), 3 times 7.",
                            arena);
    const float u[3] = {1, 2, 2}, v[3] = {2, 3, 6};
    for (size_t i = 0; i < 9; i++) {
        z.net.layer[0].weight[i] = u[i / 3] * v[i % 3];
    }
    z.singulars = 3;
    z.singular[0] = z.lipschitz = z.product = 21;
    z.rank = 1;
    return z;
}

static struct uh_zoo shift(struct uh_arena *arena)
{
    struct uh_zoo z = entry("shift", "input 1 4 4; conv 1 3 3 pad=1",
                            "A kernel with a single 1 beside its middle moves "
                            "the image by a row; one row is lost, the others "
                            "keep their lengths: 12 singular values 1, four 0.",
                            arena);
    z.net.layer[0].weight[1] = 1; /* row 0, column 1: the entry above */
    z.singulars = 16;
    for (size_t i = 0; i < 12; i++) {
        z.singular[i] = 1;
    }
    z.rank = 12;
    z.lipschitz = z.product = 1;
    return z;
}

static struct uh_zoo annihilating(struct uh_arena *arena)
{
    struct uh_zoo z = entry("annihilating", "input 2; dense 2; dense 2",
                            "diag(0, 1) after diag(1, 0) is 0, though the "
                            "product of the norms is 1.",
                            arena);
    z.net.layer[0].weight[0] = 1;
    z.net.layer[1].weight[3] = 1;
    z.lipschitz = 0;
    z.product = 1;
    z.singulars = 2;
    z.rank = 0;
    return z;
}

static struct uh_zoo doubling(struct uh_arena *arena)
{
    struct uh_zoo z =
        entry("doubling", "input 3; mark a; dense 3; add a",
              "x + I x = 2 x: a residual block adds its input.", arena);
    for (size_t i = 0; i < 3; i++) {
        z.net.layer[1].weight[4 * i] = 1;
        z.singular[i] = 2;
    }
    z.lipschitz = 2;
    z.singulars = z.rank = 3;
    return z;
}

/* -- with units ------------------------------------------------------------------ */

static struct uh_zoo two_sides(struct uh_arena *arena)
{
    struct uh_zoo z = entry("two-sides", "input 1; dense 2; relu",
                            "x -> (relu(x), relu(-x)) keeps distances on each "
                            "side of 0; across it, the root of x^2 + y^2 is at "
                            "most |x| + |y|.  So its Lipschitz constant is 1, "
                            "while the norm of (1, -1)' is the root of 2.",
                            arena);
    set(z.net.layer[0].weight, 2, (const float[]){1, -1});
    z.lipschitz = 1;
    z.product = sqrt(2.0);
    z.knots = 1;
    z.from = z.to = 0;
    z.dead = 0;
    return z;
}

static struct uh_zoo absolute(struct uh_arena *arena)
{
    struct uh_zoo z = entry("absolute", "input 1; dense 2; relu; dense 1",
                            "relu(x) + relu(-x) = |x|: Lipschitz constant 1, "
                            "product of the norms 2.",
                            arena);
    set(z.net.layer[0].weight, 2, (const float[]){1, -1});
    set(z.net.layer[2].weight, 2, (const float[]){1, 1});
    z.lipschitz = 1;
    z.product = 2;
    z.knots = 1;
    z.from = z.to = 0;
    z.dead = 0;
    return z;
}

static struct uh_zoo aligned(struct uh_arena *arena)
{
    struct uh_zoo z =
        entry("aligned", "input 4; dense 4; relu; dense 4; relu; dense 4",
              "Orthogonal layers; where all units are active the Jacobian is "
              "their product, an orthogonal matrix, so that the product of the "
              "norms, 1, is attained.  The second bias makes room for such "
              "inputs.",
              arena);
    for (size_t i = 0; i < 3; i++) {
        hadamard(4, 0.5F, z.net.layer[2 * i].weight);
    }
    /* x = (2, 0, 0, 0) gives (1, 1, 1, 1), then (2, 0, 0, 0) + bias. */
    set(z.net.layer[2].bias, 4, (const float[]){1, 1, 1, 1});
    z.lipschitz = z.product = 1;
    z.dead = 0;
    return z;
}

static struct uh_zoo identity_dead(struct uh_arena *arena)
{
    struct uh_zoo z =
        entry("identity-dead", "input 2; dense 7; relu; dense 2",
              "relu(x) - relu(-x) = x for both entries; the other three units "
              "get -1, -2 and -4 whatever the input, are never active and "
              "count for nothing, however large their outgoing weights.",
              arena);
    const float first[14] = {1, 0, -1, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0};
    const float bias[7] = {0, 0, 0, 0, -1, -2, -4};
    const float second[14] = {1, -1, 0, 0, 64, 0, 8, 0, 0, 1, -1, 0, 32, 8};
    set(z.net.layer[0].weight, 14, first);
    set(z.net.layer[0].bias, 7, bias);
    set(z.net.layer[2].weight, 14, second);
    z.lipschitz = 1;
    z.singulars = z.rank = 2;
    z.singular[0] = z.singular[1] = 1;
    z.dead = 3;
    return z;
}

static struct uh_zoo affine_classifier(struct uh_arena *arena)
{
    static const float point[2] = {0.5F, 0};
    struct uh_zoo z =
        entry("affine-classifier", "input 2; dense 3",
              "The distance to the region of class j is (z_i - z_j) / |w_i - "
              "w_j|; here (1.5 - 0) / |(3, 4)| = 0.3, and the farther class is "
              "at 3 / 10 too: the three boundaries are one line.",
              arena);
    set(z.net.layer[0].weight, 6, (const float[]){3, 4, 0, 0, -3, -4});
    z.lipschitz = z.product = z.singular[0] = 5 * sqrt(2.0);
    z.singulars = 2;
    z.rank = 1;
    z.point = point;
    z.distance = 0.3;
    return z;
}

/* -- on the line ------------------------------------------------------------------ */

/* "input 1; dense W1; relu; ...; dense 1". */
static const char *line_arch(size_t layers, const size_t width[],
                             struct uh_arena *arena)
{
    const char *arch = "input 1";
    for (size_t i = 0; i < layers; i++) {
        arch = uh_arena_format(arena, "%s; dense %zu; relu", arch, width[i]);
    }
    return uh_arena_format(arena, "%s; dense 1", arch);
}

struct uh_zoo uh_zoo_sawtooth(size_t t, struct uh_arena *arena)
{
    UH_REQUIRE(t >= 1 && t <= 20, "%zu tents", t);
    size_t width[20];
    for (size_t i = 0; i < t; i++) {
        width[i] = 2;
    }
    struct uh_zoo z = entry(uh_arena_format(arena, "sawtooth-%zu", t),
                            line_arch(t, width, arena),
                            "The tent map composed t times has 2^t pieces on "
                            "[0, 1] (Telgarsky 2016).",
                            arena);
    for (size_t i = 0; i < t; i++) {
        struct uh_layer *layer = &z.net.layer[2 * i];
        if (i == 0) {
            set(layer->weight, 2, (const float[]){1, 1});
        } else {
            set(layer->weight, 4, (const float[]){2, -4, 2, -4});
        }
        layer->bias[1] = -0.5F;
    }
    set(z.net.layer[2 * t].weight, 2, (const float[]){2, -4});
    z.lipschitz = ldexp(1, (int)t);
    z.knots = t == 1 ? 2 : ((size_t)1 << t) + 1;
    z.from = 0;
    z.to = 1;
    z.dead = 0;
    return z;
}

/* Coefficient of unit k (from 1) of m in the sum of a layer, and the side it
 * faces: see the proof in zoo.h. */
static float coefficient(size_t m, size_t k)
{
    if (m < 3) {
        return k == 1 ? 2 : -1;
    }
    return k == 1 ? -2 : k == 2 ? 1.5F : k % 2 ? -1 : 1;
}

static float side(size_t m, size_t k)
{
    return k == (m < 3 ? 2 : 3) ? -1 : 1;
}

struct uh_zoo uh_zoo_extremal(size_t layers, const size_t width[],
                              struct uh_arena *arena)
{
    const char *name = "extremal";
    size_t pieces = 1;
    UH_REQUIRE(layers >= 1, "no layers");
    for (size_t i = 0; i < layers; i++) {
        size_t least = i + 1 < layers ? 3 : layers == 1 ? 1 : 2;
        UH_REQUIRE(width[i] >= least && width[i] <= 1024,
                   "width %zu of layer %zu", width[i], i);
        name = uh_arena_format(arena, "%s-%zu", name, width[i]);
        pieces = uh_size_mul(pieces, width[i] + 1);
    }
    struct uh_zoo z = entry(name, line_arch(layers, width, arena),
                            "prod(m_i + 1) - 1 knots, the most that these "
                            "widths allow; proof in zoo.h.",
                            arena);
    for (size_t i = 0; i < layers; i++) {
        struct uh_layer *layer = &z.net.layer[2 * i];
        size_t m = width[i], before = i ? width[i - 1] : 1;
        float zoom = i ? (float)(2 * (m + 1)) : 1;
        for (size_t k = 1; k <= m; k++) {
            for (size_t j = 1; j <= before; j++) {
                layer->weight[(k - 1) * before + j - 1] =
                    side(m, k) * zoom * (i ? coefficient(before, j) : 1);
            }
            layer->bias[k - 1] = side(m, k) * ((i ? 3 * zoom : 0) - (float)k);
        }
    }
    size_t last = width[layers - 1];
    for (size_t k = 1; k <= last; k++) {
        z.net.layer[2 * layers].weight[k - 1] = coefficient(last, k);
    }
    z.knots = pieces - 1;
    z.from = 0;
    z.to = (double)width[0] + 1;
    z.dead = 0;
    return z;
}

/* -- the list ----------------------------------------------------------------------- */

static struct uh_zoo (*const fixed[])(struct uh_arena *arena) = {
    orthogonal, diagonal, rank_one, shift,         annihilating,     doubling,
    two_sides,  absolute, aligned,  identity_dead, affine_classifier};

static const struct {
    size_t layers, width[4];
} extremal[] = {{2, {3, 2}},
                {2, {3, 3}},
                {3, {3, 3, 2}},
                {4, {3, 3, 3, 3}},
                {4, {5, 4, 3, 2}}};

enum {
    FIXED = sizeof fixed / sizeof *fixed,
    EXTREMAL = sizeof extremal / sizeof *extremal,
    SAWTOOTHS = 6
};

size_t uh_zoo_count(void)
{
    return FIXED + EXTREMAL + SAWTOOTHS;
}

struct uh_zoo uh_zoo_entry(size_t i, struct uh_arena *arena)
{
    UH_REQUIRE(i < uh_zoo_count(), "entry %zu of %zu", i, uh_zoo_count());
    if (i < FIXED) {
        return fixed[i](arena);
    }
    i -= FIXED;
    if (i < EXTREMAL) {
        return uh_zoo_extremal(extremal[i].layers, extremal[i].width, arena);
    }
    return uh_zoo_sawtooth(i - EXTREMAL + 1, arena);
}

struct uh_zoo uh_zoo_named(const char *name, struct uh_arena *arena)
{
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        struct uh_mark mark = uh_arena_open(arena);
        struct uh_zoo z = uh_zoo_entry(i, arena);
        if (strcmp(z.name, name) == 0) {
            return z;
        }
        uh_arena_release(arena, mark);
    }
    uh_broken_contract(__func__, "name is in the zoo", "%s", name);
}
