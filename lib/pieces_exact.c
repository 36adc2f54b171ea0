/* pieces_exact.c: units along a line in integers of any length. */
#include "pieces_exact.h"
#include "die.h"

#include <gmp.h>
#include <math.h>
#include <stdlib.h>

/* m 2^e */
struct dyadic {
    mpz_t m;
    long e;
};

struct function {
    struct dyadic p, s;
    unsigned char made, known;
};

struct uh_exact {
    const struct uh_graph *graph;
    const struct uh_line *line;
    const uint32_t *choice;
    struct uh_arena *arena;
    struct function *unit;
    uint32_t *stage_of;   /* of a unit that is no input */
    mpz_t *below;         /* d of each stage */
    mpz_t one, term, big; /* 1, and room */
    struct dyadic a[4];   /* room */
    struct dyadic *kept;
    size_t kept_room;
};

/* -- m 2^e ---------------------------------------------------------------- */

static void set(struct dyadic *a, const struct dyadic *b)
{
    mpz_set(a->m, b->m);
    a->e = b->e;
}

/* Every finite double is one. */
static void set_double(struct dyadic *a, double x)
{
    int e;
    double f = frexp(x, &e);
    mpz_set_d(a->m, ldexp(f, 53));
    a->e = x == 0 ? 0 : (long)e - 53;
}

/* a += b, where b is used up. */
static void add_used(struct dyadic *a, mpz_t m, long e)
{
    if (mpz_sgn(m) == 0) {
        return;
    }
    if (mpz_sgn(a->m) == 0) {
        mpz_swap(a->m, m);
        a->e = e;
        return;
    }
    if (a->e > e) {
        mpz_mul_2exp(a->m, a->m, (mp_bitcnt_t)(a->e - e));
        a->e = e;
    } else if (e > a->e) {
        mpz_mul_2exp(m, m, (mp_bitcnt_t)(e - a->e));
    }
    mpz_add(a->m, a->m, m);
}

/* a += w x */
static void add_product(struct uh_exact *x, struct dyadic *a, double w,
                        const struct dyadic *b)
{
    int e;
    double f = frexp(w, &e);
    mpz_mul_si(x->term, b->m, (long)ldexp(f, 53));
    add_used(a, x->term, b->e + e - 53);
}

/* Fewer bits, the same number. */
static void tidy(struct dyadic *a)
{
    if (mpz_sgn(a->m) == 0) {
        a->e = 0;
        return;
    }
    mp_bitcnt_t zeros = mpz_scan1(a->m, 0);
    mpz_tdiv_q_2exp(a->m, a->m, zeros);
    a->e += (long)zeros;
}

/* -- the units -------------------------------------------------------------- */

static mpz_t *below_of(struct uh_exact *x, size_t stage)
{
    return stage == UH_NO_STAGE ? &x->one : &x->below[stage];
}

/* The least number that all places of a mean divide. */
static void places_multiple(const struct uh_stage *s, mpz_t multiple)
{
    mpz_set_ui(multiple, 1);
    for (size_t i = 0; i < s->count; i++) {
        mpz_lcm_ui(multiple, multiple, uh_stage_places(s, i));
    }
}

static void find_denominators(struct uh_exact *x)
{
    for (size_t k = 0; k < x->graph->stages; k++) {
        const struct uh_stage *s = &x->graph->stage[k];
        mpz_init_set(x->below[k], *below_of(x, s->from));
        if (s->kind == UH_STAGE_ADD || s->kind == UH_STAGE_CAT) {
            mpz_lcm(x->below[k], x->below[k], *below_of(x, s->from_other));
        } else if (s->kind == UH_STAGE_MEAN) {
            places_multiple(s, x->term);
            mpz_mul(x->below[k], x->below[k], x->term);
        }
    }
}

struct uh_exact *uh_exact_new(const struct uh_graph *graph,
                              const struct uh_line *line,
                              const uint32_t *choice)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_exact *x = uh_arena_alloc(arena, 1, sizeof *x);
    *x = (struct uh_exact){
        .graph = graph, .line = line, .choice = choice, .arena = arena};
    x->unit = uh_arena_alloc(arena, graph->units, sizeof *x->unit);
    x->stage_of = uh_arena_alloc(arena, graph->units, sizeof *x->stage_of);
    x->below = uh_arena_alloc(arena, graph->stages, sizeof *x->below);
    mpz_init_set_ui(x->one, 1);
    mpz_inits(x->term, x->big, NULL);
    for (size_t i = 0; i < 4; i++) {
        mpz_init(x->a[i].m);
    }
    for (size_t k = 0; k < graph->stages; k++) {
        for (size_t i = 0; i < graph->stage[k].count; i++) {
            x->stage_of[graph->stage[k].out + i] = (uint32_t)k;
        }
    }
    find_denominators(x);
    return x;
}

void uh_exact_free(struct uh_exact **exact)
{
    struct uh_exact *x = *exact;
    if (!x) {
        return;
    }
    for (size_t i = 0; i < x->graph->units; i++) {
        if (x->unit[i].made) {
            mpz_clears(x->unit[i].p.m, x->unit[i].s.m, NULL);
        }
    }
    for (size_t k = 0; k < x->graph->stages; k++) {
        mpz_clear(x->below[k]);
    }
    for (size_t i = 0; i < x->kept_room; i++) {
        mpz_clear(x->kept[i].m);
    }
    for (size_t i = 0; i < 4; i++) {
        mpz_clear(x->a[i].m);
    }
    mpz_clears(x->one, x->term, x->big, NULL);
    struct uh_arena *arena = x->arena;
    uh_arena_free(&arena);
    *exact = NULL;
}

void uh_exact_forget(struct uh_exact *exact, size_t unit)
{
    exact->unit[unit].known = 0;
}

static const struct function *function_of(struct uh_exact *x, size_t unit);

/* Input unit i of a + t (b - a), or t itself. */
static void set_input(struct uh_exact *x, struct function *f, size_t i)
{
    const struct uh_line *line = x->line;
    set_double(&f->p, line->a ? line->a[i] : 0);
    set_double(&f->s, line->a ? line->b[i] : 1);
    if (line->a) {
        mpz_neg(x->term, f->p.m);
        add_used(&f->s, x->term, f->p.e);
    }
}

/* f *= d(stage) / d(from), d(stage) / d(from) / places of a mean. */
static void bring_below(struct uh_exact *x, struct function *f, size_t stage,
                        size_t from, size_t places)
{
    mpz_divexact(x->big, x->below[stage], *below_of(x, from));
    mpz_divexact_ui(x->big, x->big, places);
    if (mpz_cmp_ui(x->big, 1) != 0) {
        mpz_mul(f->p.m, f->p.m, x->big);
        mpz_mul(f->s.m, f->s.m, x->big);
    }
}

static void add_function(struct uh_exact *x, struct function *f, double w,
                         const struct function *g)
{
    if (w != 0) {
        add_product(x, &f->p, w, &g->p);
        add_product(x, &f->s, w, &g->s);
    }
}

static void sum_up(struct uh_exact *x, struct function *f, size_t stage,
                   size_t i)
{
    const struct uh_stage *s = &x->graph->stage[stage];
    struct uh_mark mark = uh_arena_open(x->arena);
    size_t *from = uh_arena_alloc_raw(x->arena, s->fan, sizeof *from);
    double *weight = uh_arena_alloc_raw(x->arena, s->fan, sizeof *weight);
    size_t n = uh_stage_edges(s, i, from, weight);
    if (s->bias) {
        size_t plane = s->layer->out.height * s->layer->out.width;
        struct dyadic d = {.e = 0};
        mpz_init_set(d.m, *below_of(x, s->from));
        add_product(x, &f->p, s->bias[i / plane], &d);
        mpz_clear(d.m);
    }
    if (s->kind == UH_STAGE_ADD) {
        add_function(x, f, 1, function_of(x, from[0]));
        bring_below(x, f, stage, s->from, 1);
        struct function g = {.made = 0};
        mpz_inits(g.p.m, g.s.m, NULL);
        add_function(x, &g, 1, function_of(x, from[1]));
        bring_below(x, &g, stage, s->from_other, 1);
        add_function(x, f, 1, &g);
        mpz_clears(g.p.m, g.s.m, NULL);
    } else if (s->kind == UH_STAGE_CAT) {
        int kept = i < s->count - uh_shape_size(s->layer->in);
        add_function(x, f, 1, function_of(x, from[0]));
        bring_below(x, f, stage, kept ? s->from_other : s->from, 1);
    } else {
        for (size_t k = 0; k < n; k++) {
            if (weight[k] != 0) {
                add_function(x, f, weight[k], function_of(x, from[k]));
            }
        }
    }
    if (s->kind == UH_STAGE_MEAN) {
        bring_below(x, f, stage, s->from, uh_stage_places(s, i));
    }
    uh_arena_release(x->arena, mark);
}

static size_t winner_of(struct uh_exact *x, const struct uh_stage *s, size_t i)
{
    struct uh_mark mark = uh_arena_open(x->arena);
    size_t *from = uh_arena_alloc_raw(x->arena, s->fan, sizeof *from);
    double *weight = uh_arena_alloc_raw(x->arena, s->fan, sizeof *weight);
    uh_stage_edges(s, i, from, weight);
    size_t winner = from[x->choice[s->out + i]];
    uh_arena_release(x->arena, mark);
    return winner;
}

static const struct function *function_of(struct uh_exact *x, size_t unit)
{
    struct function *f = &x->unit[unit];
    if (f->known) {
        return f;
    }
    if (!f->made) {
        mpz_inits(f->p.m, f->s.m, NULL);
        f->made = 1;
    }
    mpz_set_ui(f->p.m, 0);
    mpz_set_ui(f->s.m, 0);
    f->p.e = f->s.e = 0;
    if (unit < x->graph->inputs) {
        set_input(x, f, unit);
    } else {
        size_t stage = x->stage_of[unit];
        const struct uh_stage *s = &x->graph->stage[stage];
        size_t i = unit - s->out;
        if (s->kind == UH_STAGE_GATE) {
            double w = x->choice[unit] ? 1 : s->slope;
            if (w != 0) {
                add_function(x, f, w, function_of(x, s->in + i));
            }
        } else if (s->kind == UH_STAGE_MAX) {
            add_function(x, f, 1, function_of(x, winner_of(x, s, i)));
        } else {
            sum_up(x, f, stage, i);
        }
    }
    tidy(&f->p);
    tidy(&f->s);
    f->known = 1;
    return f;
}

/* -- questions --------------------------------------------------------------- */

/* p and s of plus - minus; both are of one tensor. */
static void difference(struct uh_exact *x, size_t plus, size_t minus,
                       struct dyadic *p, struct dyadic *s)
{
    mpz_set_ui(p->m, 0);
    mpz_set_ui(s->m, 0);
    p->e = s->e = 0;
    if (plus != UH_NO_UNIT) {
        const struct function *f = function_of(x, plus);
        set(p, &f->p);
        set(s, &f->s);
    }
    if (minus != UH_NO_UNIT) {
        const struct function *g = function_of(x, minus);
        mpz_neg(x->term, g->p.m);
        add_used(p, x->term, g->p.e);
        mpz_neg(x->term, g->s.m);
        add_used(s, x->term, g->s.e);
    }
}

int uh_exact_slope(struct uh_exact *x, size_t plus, size_t minus)
{
    difference(x, plus, minus, &x->a[0], &x->a[1]);
    return mpz_sgn(x->a[1].m);
}

int uh_exact_offset(struct uh_exact *x, size_t plus, size_t minus)
{
    difference(x, plus, minus, &x->a[0], &x->a[1]);
    return mpz_sgn(x->a[0].m);
}

/* t = -p / s into a[2], a[3]. */
static void moment(struct uh_exact *x, const struct uh_meeting *t)
{
    if (t->plus == UH_NO_UNIT && t->minus == UH_NO_UNIT) {
        set_double(&x->a[2], t->t);
        set_double(&x->a[3], -1);
    } else {
        difference(x, t->plus, t->minus, &x->a[2], &x->a[3]);
    }
}

/* p + s (-P / S) has the sign of (p S - s P) S. */
int uh_exact_value(struct uh_exact *x, size_t plus, size_t minus,
                   const struct uh_meeting *t)
{
    moment(x, t);
    difference(x, plus, minus, &x->a[0], &x->a[1]);
    struct dyadic *p = &x->a[0], *s = &x->a[1];
    int sign = mpz_sgn(x->a[3].m);
    UH_REQUIRE(sign != 0, "two units that never meet");
    mpz_mul(p->m, p->m, x->a[3].m);
    p->e += x->a[3].e;
    mpz_mul(s->m, s->m, x->a[2].m);
    mpz_neg(s->m, s->m);
    add_used(p, s->m, s->e + x->a[2].e);
    return sign * mpz_sgn(p->m);
}

enum { DIGITS = 53, LOWEST = -1074 };

/* |n / d| 2^e rounded to a multiple of 2^low, ties to even: which, up to
 * 2^53. */
static double multiple_of(struct uh_exact *x, mpz_t n, mpz_t d, long e,
                          long low)
{
    mpz_t q, r;
    mpz_inits(q, r, NULL);
    if (e >= low) {
        mpz_mul_2exp(x->term, n, (mp_bitcnt_t)(e - low));
        mpz_set(x->big, d);
    } else {
        mpz_set(x->term, n);
        mpz_mul_2exp(x->big, d, (mp_bitcnt_t)(low - e));
    }
    mpz_tdiv_qr(q, r, x->term, x->big);
    mpz_mul_2exp(r, r, 1);
    int half = mpz_cmp(r, x->big);
    if (half > 0 || (half == 0 && mpz_odd_p(q))) {
        mpz_add_ui(q, q, 1);
    }
    double m = mpz_get_d(q);
    if (mpz_sizeinbase(q, 2) > DIGITS && mpz_scan1(q, 0) < DIGITS) {
        m = HUGE_VAL; /* more than 2^53 */
    }
    mpz_clears(q, r, NULL);
    return m;
}

double uh_exact_round(struct uh_exact *x, const struct uh_meeting *t)
{
    moment(x, t);
    mpz_t *n = &x->a[2].m, *d = &x->a[3].m;
    int sign = -mpz_sgn(*n) * mpz_sgn(*d);
    long e = x->a[2].e - x->a[3].e;
    UH_REQUIRE(mpz_sgn(*d) != 0, "two units that never meet");
    if (sign == 0) {
        return 0;
    }
    mpz_abs(*n, *n);
    mpz_abs(*d, *d);
    long size = (long)mpz_sizeinbase(*n, 2) - (long)mpz_sizeinbase(*d, 2) + e;
    if (size > 1100) {
        return sign * HUGE_VAL;
    }
    /* 2^(size - 1) < t < 2^(size + 1) */
    long low = size - DIGITS > LOWEST ? size - DIGITS : LOWEST;
    double m = multiple_of(x, *n, *d, e, low);
    if (m > 0x1p53) { /* a bit too many: t >= 2^size */
        low++;
        m = multiple_of(x, *n, *d, e, low);
    }
    return sign * ldexp(m, (int)low);
}

void uh_exact_keep(struct uh_exact *x, size_t n, const uint32_t unit[])
{
    if (n > x->kept_room) {
        struct dyadic *more = uh_arena_alloc(x->arena, 2 * n, sizeof *x->kept);
        for (size_t i = 0; i < 2 * n; i++) {
            if (i < x->kept_room) {
                more[i] = x->kept[i];
            } else {
                mpz_init(more[i].m);
            }
        }
        x->kept = more;
        x->kept_room = 2 * n;
    }
    for (size_t i = 0; i < n; i++) {
        set(&x->kept[i], &function_of(x, unit[i])->s);
    }
}

int uh_exact_differ(struct uh_exact *x, size_t n, const uint32_t unit[])
{
    for (size_t i = 0; i < n; i++) { /* both are tidy */
        const struct dyadic *s = &function_of(x, unit[i])->s;
        if (s->e != x->kept[i].e || mpz_cmp(s->m, x->kept[i].m) != 0) {
            return 1;
        }
    }
    return 0;
}
