/* pieces_walk.c: the event walk over one part of a line.
 *
 * Errors   A ball is a pair of doubles hi + lo and a bound err: the true number
 *          is within err of the pair.  With u = 2^-53, each step that rounds
 *          adds at most u times its result; 2^-52 times is counted, so that
 *          roundings of the bound itself are paid for, and SLACK pays for those
 *          of the sums of bounds (fewer than 2^40 of them).  What might
 *          underflow adds 2^-1000.  err is 0 only where nothing was rounded.
 *          NaN and infinity decide nothing: each comparison is written so that
 *          it fails with them.
 */
#include "pieces_walk.h"
#include "die.h"
#include "pieces_exact.h"

#include <stdlib.h>
#include <string.h>

static const double SLACK = 1 + 0x1p-10;
static const double SMALL = 0x1p-900, TINY = 0x1p-1000;
static const double LARGE = 0x1p1000;

enum {
    FRESH = 512, /* events after which sums are computed anew */
    SHORT = 32,  /* sums of up to so many terms always are */
    UNSURE = 2   /* beside the signs -1, 0, 1 */
};

/* -- balls ------------------------------------------------------------------ */

struct ball {
    double hi, lo, err;
};

struct form {
    struct ball p, s; /* p + s t */
};

static inline void two_sum(double a, double b, double *sum, double *rest)
{
    double s = a + b, t = s - a;
    *rest = (a - (s - t)) + (b - t);
    *sum = s;
}

/* a += (hi, lo), whose own error is err; ph is the product it comes from. */
static inline void take_up(struct ball *a, double hi, double lo, double err,
                           double lost)
{
    double t, te;
    two_sum(a->hi, hi, &t, &te);
    double r = te + lo, low = a->lo + r;
    lost += fabs(r) + fabs(low);
    two_sum(t, low, &a->hi, &a->lo);
    a->err += err;
    if (lost != 0) {
        a->err += lost * 0x1p-52 + TINY;
    }
}

static inline void subtract(struct ball *a, const struct ball *x)
{
    if (x->hi != 0 || x->err != 0) {
        take_up(a, -x->hi, -x->lo, x->err, fabs(x->lo));
    }
}

/* a += w x */
static inline void add_product(struct ball *a, double w, const struct ball *x)
{
    if (w == 0 || (x->hi == 0 && x->err == 0)) {
        return;
    }
    double h = w * x->hi, rest = fma(w, x->hi, -h);
    double m = w * x->lo, q = rest + m;
    double lost = fabs(m) + fabs(q) + fabs(x->lo);
    if (!(fabs(h) >= SMALL)) {
        lost += TINY;
    }
    take_up(a, h, q, fabs(w) * x->err, lost);
}

static inline void add_form(struct form *a, double w, const struct form *x)
{
    add_product(&a->p, w, &x->p);
    add_product(&a->s, w, &x->s);
}

static inline int sign_of(const struct ball *a)
{
    if (fabs(a->hi) > a->err * SLACK) {
        return a->hi > 0 ? 1 : -1;
    }
    return a->hi == 0 && a->err == 0 ? 0 : UNSURE;
}

/* a /= n */
static void divide(struct ball *a, double n)
{
    double q = a->hi / n, r = fma(-q, n, a->hi);
    double low = (r + a->lo) / n;
    double lost = fabs(low) + fabs(a->lo);
    a->err /= n;
    if (lost != 0 || (a->hi != 0 && !(fabs(q) >= SMALL))) {
        a->err += 0x1p-52 * (lost + fabs(r) / n) + TINY;
    }
    two_sum(q, low, &a->hi, &a->lo);
}

static inline int is_exact(const struct ball *a)
{
    return a->err == 0 && a->lo == 0;
}

static inline int is_null(const struct form *f)
{
    return f->p.hi == 0 && f->p.err == 0 && f->s.hi == 0 && f->s.err == 0;
}

static inline int has_error(const struct form *f)
{
    return f->p.err != 0 || f->s.err != 0;
}

static int same_form(const struct form *a, const struct form *b)
{
    return a->p.hi == b->p.hi && a->p.lo == b->p.lo && a->s.hi == b->s.hi &&
           a->s.lo == b->s.lo && a->p.err == 0 && b->p.err == 0 &&
           a->s.err == 0 && b->s.err == 0;
}

/* hi + lo = a b, up to 2^-100 of it and TINY */
static inline void multiply(const struct ball *a, const struct ball *b,
                            double *hi, double *lo)
{
    double h = a->hi * b->hi;
    *lo = fma(a->hi, b->hi, -h) + (a->hi * b->lo + a->lo * b->hi);
    *hi = h;
}

/* Sign of a b - c d where no rounding is behind the factors. */
static int exact_sign(double a, double b, double c, double d)
{
    double h = a * b, g = c * d;
    if ((!(fabs(h) >= SMALL) && a != 0 && b != 0) ||
        (!(fabs(g) >= SMALL) && c != 0 && d != 0) || !(fabs(h) < LARGE) ||
        !(fabs(g) < LARGE)) {
        return UNSURE;
    }
    if (h != g) { /* rounding keeps the order */
        return h > g ? 1 : -1;
    }
    double x = fma(a, b, -h), y = fma(c, d, -g);
    return (x > y) - (x < y);
}

/* Sign of f(t) at the t where e, which falls, is zero: p + s (-P / S) with
 * S < 0 has the sign of s P - p S. */
static int cross_sign(const struct form *f, const struct form *e)
{
    double ah, al, bh, bl, d, rest;
    multiply(&f->s, &e->p, &ah, &al);
    multiply(&f->p, &e->s, &bh, &bl);
    two_sum(ah, -bh, &d, &rest);
    d += rest + (al - bl);
    double error = fabs(f->s.hi) * e->p.err + fabs(e->p.hi) * f->s.err +
                   f->s.err * e->p.err + fabs(f->p.hi) * e->s.err +
                   fabs(e->s.hi) * f->p.err + f->p.err * e->s.err +
                   0x1p-96 * (fabs(ah) + fabs(bh)) + 0x1p-950;
    if (fabs(d) > error * SLACK) {
        return d > 0 ? 1 : -1;
    }
    if (is_exact(&f->p) && is_exact(&f->s) && is_exact(&e->p) &&
        is_exact(&e->s)) {
        return exact_sign(f->s.hi, e->p.hi, f->p.hi, e->s.hi);
    }
    return UNSURE;
}

/* -- the state of a walk ------------------------------------------------------ */

/* An event: plus - minus falls to zero. */
struct event {
    struct form gap;
    size_t plus, minus; /* units, as in pieces_exact.h */
    size_t stage, unit; /* who changes; UH_NO_STAGE: the end of the part */
    double low, high;   /* when */
};

/* What a stage remembers. */
struct memory {
    double low, high;  /* the least of its units' */
    int stale;         /* they are not up to date */
    int chooses;       /* gate or maximum */
    int piecemeal;     /* sums are updated, not computed anew */
    uint32_t *changed; /* units whose function the event changed */
    size_t changes;
};

struct walk {
    const struct uh_graph *graph;
    const struct uh_line *line;
    struct uh_part part;
    enum uh_keep keep;
    struct uh_arena *arena;
    struct memory *memory; /* of each stage */
    struct form *form;     /* of each unit */
    struct form *before;   /* of a unit that is touched */
    struct form *delta;    /* room: by what units of a tensor changed */
    uint32_t *choice;
    double *low, *high; /* when a unit changes next; infinite: never */
    uint32_t *touched;  /* == stamp: touched by this event */
    uint32_t *fires;    /* == stamp: its gap closes at this event */
    uint32_t stamp;
    uint32_t *flipped, *was; /* units whose choice changed, and from what */
    size_t flips;
    size_t *edge; /* room: fan or reach of them */
    double *weight;
    uint32_t *list;      /* room for a stage's units */
    struct event *queue; /* candidates for the next event */
    size_t queue_room;
    struct event now; /* the event */
    int past;         /* 1: now is before everything */
    struct uh_exact *exact;
    struct uh_found *found;
    size_t since;
    int piecemeal;
};

static struct uh_exact *exact_of(struct walk *w)
{
    if (!w->exact) {
        w->exact = uh_exact_new(w->graph, w->line, w->choice);
    }
    return w->exact;
}

static struct uh_exact *ask(struct walk *w)
{
    w->found->asked++;
    return exact_of(w);
}

static struct form form_of(const struct walk *w, size_t plus, size_t minus)
{
    struct form f = {{0, 0, 0}, {0, 0, 0}};
    if (plus != UH_NO_UNIT) {
        f = w->form[plus];
    }
    if (minus != UH_NO_UNIT) {
        subtract(&f.p, &w->form[minus].p);
        subtract(&f.s, &w->form[minus].s);
    }
    return f;
}

/* -- sums ---------------------------------------------------------------------- */

static struct form dense_sum(const struct walk *w, const struct uh_stage *s,
                             size_t i)
{
    w->found->work += s->fan;
    struct form f = {{s->bias[i], 0, 0}, {0, 0, 0}};
    const double *row = s->weight + i * s->fan;
    const struct form *in = w->form + s->in;
    for (size_t j = 0; j < s->fan; j++) {
        add_form(&f, row[j], &in[j]);
    }
    return f;
}

/* The form of unit i of a stage of sums, from those of its inputs. */
static struct form sum_of(const struct walk *w, const struct uh_stage *s,
                          size_t i)
{
    if (s->kind == UH_STAGE_DENSE) {
        return dense_sum(w, s, i);
    }
    struct form f = {{uh_stage_bias(s, i), 0, 0}, {0, 0, 0}};
    size_t n = uh_stage_edges(s, i, w->edge, w->weight);
    w->found->work += n;
    for (size_t k = 0; k < n; k++) {
        add_form(&f, w->weight[k], &w->form[w->edge[k]]);
    }
    if (s->kind == UH_STAGE_MEAN) {
        double places = (double)uh_stage_places(s, i);
        divide(&f.p, places);
        divide(&f.s, places);
    }
    return f;
}

/* The form that a gate or a maximum passes on. */
static struct form passed_on(const struct walk *w, const struct uh_stage *s,
                             size_t i)
{
    size_t unit = s->out + i;
    if (s->kind == UH_STAGE_MAX) {
        uh_stage_edges(s, i, w->edge, w->weight);
        return w->form[w->edge[w->choice[unit]]];
    }
    if (w->choice[unit]) {
        return w->form[s->in + i];
    }
    struct form f = {{0, 0, 0}, {0, 0, 0}};
    add_form(&f, s->slope, &w->form[s->in + i]);
    return f;
}

/* A sum that was updated many times may be known better if computed anew. */
static void sharpen(struct walk *w, size_t unit)
{
    for (size_t k = 0; w->piecemeal && k < w->graph->stages; k++) {
        const struct uh_stage *s = &w->graph->stage[k];
        if (unit >= s->out && unit < s->out + s->count) {
            if (w->memory[k].piecemeal) {
                size_t *edge = w->edge;
                double *weight = w->weight;
                w->edge += w->graph->fan; /* the caller's may be in use */
                w->weight += w->graph->fan;
                struct form f = sum_of(w, s, unit - s->out);
                w->edge = edge;
                w->weight = weight;
                if (f.s.err <= w->form[unit].s.err) {
                    w->form[unit] = f;
                }
            }
            return;
        }
    }
}

/* -- decisions ------------------------------------------------------------------ */

static int slope_sign(struct walk *w, size_t plus, size_t minus)
{
    struct form f = form_of(w, plus, minus);
    int sign = w->line->only_exact ? UNSURE : sign_of(&f.s);
    if (sign == UNSURE && w->piecemeal && !w->line->only_exact) {
        if (plus != UH_NO_UNIT) {
            sharpen(w, plus);
        }
        if (minus != UH_NO_UNIT) {
            sharpen(w, minus);
        }
        f = form_of(w, plus, minus);
        sign = sign_of(&f.s);
    }
    return sign == UNSURE ? uh_exact_slope(ask(w), plus, minus) : sign;
}

static int same_pair(const struct event *e, size_t plus, size_t minus)
{
    return (e->plus == plus && e->minus == minus) ||
           (e->plus == minus && e->minus == plus);
}

static struct uh_meeting meeting_of(const struct event *e)
{
    return (struct uh_meeting){e->plus, e->minus, e->low};
}

/* Sign of plus - minus at the event. */
static int sign_now(struct walk *w, size_t plus, size_t minus)
{
    if (w->now.stage != UH_NO_STAGE && same_pair(&w->now, plus, minus)) {
        return 0;
    }
    struct form f = form_of(w, plus, minus);
    int sign = w->line->only_exact ? UNSURE
               : is_null(&f)       ? 0
                                   : cross_sign(&f, &w->now.gap);
    if (sign == UNSURE) {
        struct uh_meeting t = meeting_of(&w->now);
        sign = uh_exact_value(ask(w), plus, minus, &t);
    }
    return sign;
}

/* Sign of plus - minus just after the event. */
static int sign_after(struct walk *w, size_t plus, size_t minus)
{
    if (!w->past) {
        int sign = sign_now(w, plus, minus);
        return sign ? sign : slope_sign(w, plus, minus);
    }
    int sign = -slope_sign(w, plus, minus);
    if (sign == 0) {
        struct form f = form_of(w, plus, minus);
        sign = w->line->only_exact ? UNSURE : sign_of(&f.p);
        sign = sign == UNSURE ? uh_exact_offset(ask(w), plus, minus) : sign;
    }
    return sign;
}

/* Whether plus - minus is surely greater than 0 at the event. */
static int surely_above(const struct walk *w, size_t plus, size_t minus)
{
    if (w->past || w->line->only_exact) {
        return 0;
    }
    struct form f = form_of(w, plus, minus);
    double t = 0.5 * (w->now.low + w->now.high);
    double radius = w->now.high - w->now.low, part = f.s.hi * t;
    double bound = f.p.err + f.s.err * (fabs(t) + radius) +
                   fabs(f.s.hi) * radius +
                   0x1p-48 * (fabs(f.p.hi) + fabs(part)) + TINY;
    return f.p.hi + part > bound * SLACK;
}

/* -- when a gap closes ------------------------------------------------------------ */

/* Where p + s t = 0 for s surely < 0: low and high around it. */
static void quotient(const struct form *f, double *low, double *high)
{
    double steep = -f->s.hi, t = f->p.hi / steep;
    double rest =
        f->p.err + fabs(f->p.lo) + fabs(t) * (f->s.err + fabs(f->s.lo));
    double least = steep - f->s.err - fabs(f->s.lo);
    double radius = rest / least * SLACK + 0x1p-50 * fabs(t) + TINY;
    *low = t - radius;
    *high = t + radius;
    if (!(least > 0.5 * steep) || !(radius < LARGE)) { /* nothing is known */
        *low = -HUGE_VAL;
        *high = HUGE_VAL;
    }
}

/* Whether plus - minus, not negative now, ever falls to 0, and when. */
static int closes(struct walk *w, size_t plus, size_t minus, double *low,
                  double *high)
{
    w->found->work++;
    if (slope_sign(w, plus, minus) >= 0) {
        return 0;
    }
    struct form f = form_of(w, plus, minus);
    *low = -HUGE_VAL;
    *high = HUGE_VAL;
    if (!w->line->only_exact && sign_of(&f.s) == -1) {
        quotient(&f, low, high);
    }
    if (!(*high < HUGE_VAL)) {
        struct uh_meeting t = {plus, minus, 0};
        double at = uh_exact_round(ask(w), &t);
        *low = nextafter(at, -HUGE_VAL);
        *high = nextafter(at, HUGE_VAL);
    }
    if (*low > LARGE && w->part.to < LARGE) {
        return 0; /* never in this part */
    }
    if (!(*high < LARGE) || !(*low > -LARGE)) {
        w->found->beyond = 1;
    }
    return 1;
}

static void gate_gap(const struct walk *w, const struct uh_stage *s, size_t i,
                     size_t *plus, size_t *minus)
{
    int on = w->choice[s->out + i] == 1;
    *plus = on ? s->in + i : UH_NO_UNIT;
    *minus = on ? UH_NO_UNIT : s->in + i;
}

static void predict(struct walk *w, size_t stage, size_t i)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    size_t unit = s->out + i;
    double low = HUGE_VAL, high = HUGE_VAL;
    w->memory[stage].stale = 1;
    if (s->kind == UH_STAGE_GATE) {
        size_t plus, minus;
        gate_gap(w, s, i, &plus, &minus);
        if (!closes(w, plus, minus, &low, &high)) {
            low = high = HUGE_VAL;
        }
    } else {
        size_t n = uh_stage_edges(s, i, w->edge, w->weight);
        size_t winner = w->edge[w->choice[unit]];
        for (size_t k = 0; k < n; k++) {
            double from, to;
            if (w->edge[k] != winner &&
                closes(w, winner, w->edge[k], &from, &to)) {
                low = from < low ? from : low;
                high = to < high ? to : high;
            }
        }
    }
    w->low[unit] = low;
    w->high[unit] = high;
}

/* -- the next event ------------------------------------------------------------------ */

static void look_over(struct walk *w, size_t stage)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    struct memory *m = &w->memory[stage];
    const double *low = w->low + s->out, *high = w->high + s->out;
    double first = HUGE_VAL, end = HUGE_VAL;
    w->found->work += s->count;
    for (size_t i = 0; i < s->count; i++) {
        first = low[i] < first ? low[i] : first;
        end = high[i] < end ? high[i] : end;
    }
    m->low = first;
    m->high = end;
    m->stale = 0;
}

static void enqueue(struct walk *w, size_t *n, struct event e)
{
    if (*n == w->queue_room) {
        size_t room = 2 * w->queue_room;
        struct event *more = uh_arena_alloc_raw(w->arena, room, sizeof *more);
        memcpy(more, w->queue, *n * sizeof *more);
        w->queue = more;
        w->queue_room = room;
    }
    w->queue[(*n)++] = e;
}

/* Puts the gaps of the unit that may close by `end` into the queue. */
static void enqueue_unit(struct walk *w, size_t stage, size_t i, double end,
                         size_t *n)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    struct event e = {.stage = stage, .unit = i};
    if (s->kind == UH_STAGE_GATE) {
        gate_gap(w, s, i, &e.plus, &e.minus);
        e.gap = form_of(w, e.plus, e.minus);
        e.low = w->low[s->out + i];
        e.high = w->high[s->out + i];
        enqueue(w, n, e);
        return;
    }
    size_t edges = uh_stage_edges(s, i, w->edge, w->weight);
    e.plus = w->edge[w->choice[s->out + i]];
    for (size_t k = 0; k < edges; k++) {
        e.minus = w->edge[k];
        if (e.minus != e.plus && closes(w, e.plus, e.minus, &e.low, &e.high) &&
            e.low <= end) {
            e.gap = form_of(w, e.plus, e.minus);
            enqueue(w, n, e);
        }
    }
}

/* Sign of the time of a minus the time of b. */
static int order_of(struct walk *w, const struct event *a,
                    const struct event *b)
{
    w->found->work++;
    if (a->high < b->low || b->high < a->low) {
        return a->high < b->low ? -1 : 1;
    }
    if (a->stage != UH_NO_STAGE && b->stage != UH_NO_STAGE &&
        same_pair(a, b->plus, b->minus)) {
        return 0;
    }
    /* While b is still open at the time of a, a comes first. */
    int sign = w->line->only_exact ? UNSURE : cross_sign(&b->gap, &a->gap);
    if (sign == UNSURE) {
        struct uh_meeting t = meeting_of(a), end = meeting_of(b);
        if (b->stage == UH_NO_STAGE) {
            sign = -uh_exact_value(ask(w), a->plus, a->minus, &end);
        } else {
            sign = uh_exact_value(ask(w), b->plus, b->minus, &t);
        }
    }
    return -sign;
}

static struct event event_at(double t)
{
    return (struct event){.gap = {{t, 0, 0}, {-1, 0, 0}},
                          .plus = UH_NO_UNIT,
                          .minus = UH_NO_UNIT,
                          .stage = UH_NO_STAGE,
                          .low = t,
                          .high = t};
}

/* The first of the queue, all that come at the same time in front; how many. */
static size_t choose_first(struct walk *w, size_t n)
{
    struct event *q = w->queue;
    size_t ties = 1;
    for (size_t k = 1; k < n; k++) {
        int order = order_of(w, &q[k], &q[0]);
        struct event e = q[k];
        if (order < 0) {
            q[k] = q[0];
            q[0] = e;
            ties = 1;
        } else if (order == 0) {
            q[k] = q[ties];
            q[ties++] = e;
        }
    }
    return ties;
}

/* Finds the next event: w->queue[0 ... n - 1], w->now; 0 at the end. */
static size_t find_next(struct walk *w)
{
    double end = w->part.to;
    size_t n = 0;
    for (size_t k = 0; k < w->graph->stages; k++) {
        if (w->memory[k].chooses) {
            if (w->memory[k].stale) {
                look_over(w, k);
            }
            end = w->memory[k].high < end ? w->memory[k].high : end;
        }
    }
    if (!(end < HUGE_VAL)) {
        return 0;
    }
    if (w->part.to <= end) {
        enqueue(w, &n, event_at(w->part.to));
    }
    for (size_t k = 0; k < w->graph->stages; k++) {
        const struct uh_stage *s = &w->graph->stage[k];
        if (!w->memory[k].chooses || !(w->memory[k].low <= end)) {
            continue;
        }
        w->found->work += s->count;
        for (size_t i = 0; i < s->count; i++) {
            if (w->low[s->out + i] <= end) {
                enqueue_unit(w, k, i, end, &n);
            }
        }
    }
    if (n == 0) {
        return 0;
    }
    return choose_first(w, n);
}

/* -- what an event does ----------------------------------------------------------------- */

static void touch(struct walk *w, size_t stage, size_t i)
{
    struct memory *m = &w->memory[stage];
    size_t unit = w->graph->stage[stage].out + i;
    if (w->touched[unit] != w->stamp) {
        w->touched[unit] = w->stamp;
        w->before[unit] = w->form[unit];
        m->changed[m->changes++] = (uint32_t)i;
    }
}

/* Takes units off the list whose form surely is what it was. */
static void sift(struct walk *w, size_t stage)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    struct memory *m = &w->memory[stage];
    size_t n = 0;
    for (size_t k = 0; k < m->changes; k++) {
        size_t unit = s->out + m->changed[k];
        if (same_form(&w->form[unit], &w->before[unit])) {
            w->touched[unit] = w->stamp - 1;
            continue;
        }
        w->found->rounded |= has_error(&w->form[unit]);
        if (w->exact) {
            uh_exact_forget(w->exact, unit);
        }
        m->changed[n++] = m->changed[k];
    }
    m->changes = n;
}

/* The units that changed of a tensor that the stage takes from. */
static const struct memory *source(const struct walk *w, size_t stage)
{
    static const struct memory nothing = {.changes = 0};
    return stage == UH_NO_STAGE ? &nothing : &w->memory[stage];
}

/* What the functions of the units on the list changed by. */
static void find_deltas(struct walk *w, const struct memory *from, size_t first)
{
    for (size_t k = 0; k < from->changes; k++) {
        size_t unit = first + from->changed[k];
        w->delta[k] = w->form[unit];
        subtract(&w->delta[k].p, &w->before[unit].p);
        subtract(&w->delta[k].s, &w->before[unit].s);
    }
}

/* Row by row: a row of weights is read in order. */
static void update_dense(struct walk *w, size_t stage,
                         const struct memory *from)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    for (size_t i = 0; i < s->count; i++) {
        const double *row = s->weight + i * s->fan;
        touch(w, stage, i);
        struct form f = w->form[s->out + i];
        w->found->work += from->changes;
        for (size_t k = 0; k < from->changes; k++) {
            add_form(&f, row[from->changed[k]], &w->delta[k]);
        }
        w->form[s->out + i] = f;
    }
}

static void update_piecemeal(struct walk *w, size_t stage,
                             const struct memory *from, size_t first)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    find_deltas(w, from, first);
    if (s->kind == UH_STAGE_DENSE) {
        update_dense(w, stage, from);
        return;
    }
    for (size_t k = 0; k < from->changes; k++) {
        size_t n = uh_stage_reach(s, from->changed[k], w->edge, w->weight);
        w->found->work += n;
        for (size_t e = 0; e < n; e++) {
            if (w->weight[e] != 0) {
                touch(w, stage, w->edge[e]);
                add_form(&w->form[s->out + w->edge[e]], w->weight[e],
                         &w->delta[k]);
            }
        }
    }
}

static void touch_reached(struct walk *w, size_t stage,
                          const struct memory *from)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    for (size_t k = 0; k < from->changes; k++) {
        if (s->kind == UH_STAGE_DENSE) {
            for (size_t i = 0; i < s->count; i++) {
                touch(w, stage, i);
            }
            return;
        }
        size_t n = uh_stage_reach(s, from->changed[k], w->edge, w->weight);
        for (size_t e = 0; e < n; e++) {
            touch(w, stage, w->edge[e]);
        }
    }
}

static void touch_reached_other(struct walk *w, size_t stage,
                                const struct memory *from)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    for (size_t k = 0; k < from->changes; k++) {
        touch(w, stage, uh_stage_reach_other(s, from->changed[k]));
    }
}

static void update_sums(struct walk *w, size_t stage)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    struct memory *m = &w->memory[stage];
    const struct memory *one = source(w, s->from);
    int joins = s->kind == UH_STAGE_ADD || s->kind == UH_STAGE_CAT;
    const struct memory *two = source(w, joins ? s->from_other : UH_NO_STAGE);
    if (one->changes + two->changes == 0) {
        return;
    }
    if (m->piecemeal &&
        (s->kind != UH_STAGE_DENSE || 2 * one->changes < s->fan)) {
        update_piecemeal(w, stage, one, s->in);
    } else {
        touch_reached(w, stage, one);
        touch_reached_other(w, stage, two);
        for (size_t k = 0; k < m->changes; k++) {
            w->form[s->out + m->changed[k]] = sum_of(w, s, m->changed[k]);
        }
    }
    sift(w, stage);
}

/* -- choices ----------------------------------------------------------------------------- */

static uint32_t choose_gate(struct walk *w, const struct uh_stage *s, size_t i)
{
    return sign_after(w, s->in + i, UH_NO_UNIT) > 0;
}

static uint32_t choose_winner(struct walk *w, const struct uh_stage *s,
                              size_t i)
{
    size_t best = 0, n = uh_stage_edges(s, i, w->edge, w->weight);
    for (size_t k = 1; k < n; k++) {
        if (sign_after(w, w->edge[k], w->edge[best]) > 0) {
            best = k;
        }
    }
    return (uint32_t)best;
}

/* Whether the choice of a unit that does not fire surely stays. */
static int stays(const struct walk *w, const struct uh_stage *s, size_t i)
{
    if (s->kind == UH_STAGE_GATE) {
        size_t plus, minus;
        gate_gap(w, s, i, &plus, &minus);
        return surely_above(w, plus, minus);
    }
    size_t n = uh_stage_edges(s, i, w->edge, w->weight);
    size_t winner = w->edge[w->choice[s->out + i]];
    for (size_t k = 0; k < n; k++) {
        if (w->edge[k] != winner && !surely_above(w, winner, w->edge[k])) {
            return 0;
        }
    }
    return 1;
}

static void flip(struct walk *w, size_t unit, uint32_t choice)
{
    if (choice != w->choice[unit]) {
        w->flipped[w->flips] = (uint32_t)unit;
        w->was[w->flips++] = w->choice[unit];
        w->choice[unit] = choice;
        if (w->exact) {
            uh_exact_forget(w->exact, unit);
        }
    }
}

/* One unit that fires, or whose inputs changed. */
static void settle(struct walk *w, size_t stage, size_t i, int inputs_changed)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    size_t unit = s->out + i, flips = w->flips;
    int fires = w->fires[unit] == w->stamp;
    if (fires && !inputs_changed && s->kind == UH_STAGE_GATE) {
        flip(w, unit, !w->choice[unit]);
    } else if (fires || !stays(w, s, i)) {
        flip(w, unit,
             s->kind == UH_STAGE_GATE ? choose_gate(w, s, i)
                                      : choose_winner(w, s, i));
    }
    /* What a loser of a maximum does is nobody's business. */
    struct form f = passed_on(w, s, i);
    size_t winner = s->kind == UH_STAGE_MAX ? w->edge[w->choice[unit]] : 0;
    int changed = w->flips > flips || s->kind == UH_STAGE_GATE ||
                  w->touched[winner] == w->stamp;
    if (changed && !(is_null(&f) && is_null(&w->form[unit]))) {
        touch(w, stage, i);
        w->form[unit] = f;
    }
    predict(w, stage, i);
}

/* The units of a stage that look at their inputs: w->list; how many.  Those
 * whose inputs changed come first, changed of them. */
static size_t list_units(struct walk *w, size_t stage, size_t ties,
                         size_t *changed)
{
    const struct uh_stage *s = &w->graph->stage[stage];
    const struct memory *from = source(w, s->from);
    size_t n = 0;
    for (size_t k = 0; k < from->changes; k++) {
        size_t reached = 1;
        if (s->kind == UH_STAGE_GATE) {
            w->edge[0] = from->changed[k];
        } else {
            reached = uh_stage_reach(s, from->changed[k], w->edge, w->weight);
        }
        for (size_t e = 0; e < reached; e++) {
            size_t unit = s->out + w->edge[e];
            if (w->touched[unit] != w->stamp) {
                w->touched[unit] = w->stamp;
                w->list[n++] = (uint32_t)w->edge[e];
            }
        }
    }
    *changed = n;
    for (size_t k = 0; k < ties; k++) {
        size_t unit = s->out + w->queue[k].unit;
        if (w->queue[k].stage == stage && w->touched[unit] != w->stamp) {
            w->touched[unit] = w->stamp;
            w->list[n++] = (uint32_t)w->queue[k].unit;
        }
    }
    for (size_t k = 0; k < n; k++) { /* touch() marks them again */
        w->touched[s->out + w->list[k]] = w->stamp - 1;
    }
    return n;
}

static void carry(struct walk *w, size_t ties)
{
    const struct uh_graph *g = w->graph;
    size_t first = g->stages;
    w->stamp += 2;
    w->flips = 0;
    for (size_t k = 0; k < ties; k++) {
        const struct event *e = &w->queue[k];
        if (e->stage != UH_NO_STAGE) {
            w->fires[g->stage[e->stage].out + e->unit] = w->stamp;
            if (e->stage < first) { /* its inputs stay as they are */
                first = e->stage;
                w->now = *e;
            }
        }
    }
    for (size_t k = first; k < g->stages; k++) {
        w->memory[k].changes = 0;
        if (!w->memory[k].chooses) {
            update_sums(w, k);
            continue;
        }
        size_t changed, n = list_units(w, k, ties, &changed);
        for (size_t i = 0; i < n; i++) {
            settle(w, k, w->list[i], i < changed);
        }
        if (n > 0) {
            sift(w, k);
        }
    }
    for (size_t k = 0; k < first; k++) {
        w->memory[k].changes = 0;
    }
}

/* -- what is found --------------------------------------------------------------------------- */

static void swap_choices(struct walk *w)
{
    for (size_t k = 0; k < w->flips; k++) {
        uint32_t now = w->choice[w->flipped[k]];
        w->choice[w->flipped[k]] = w->was[k];
        w->was[k] = now;
        uh_exact_forget(exact_of(w), w->flipped[k]);
    }
    for (size_t s = 0; s < w->graph->stages; s++) {
        for (size_t k = 0; k < w->memory[s].changes; k++) {
            uh_exact_forget(exact_of(w),
                            w->graph->stage[s].out + w->memory[s].changed[k]);
        }
    }
}

/* Whether the slope of an output changed. */
static int is_knot(struct walk *w)
{
    const struct uh_graph *g = w->graph;
    const struct memory *m = source(w, g->output_stage);
    size_t doubts = 0;
    for (size_t k = 0; k < m->changes; k++) {
        size_t unit = g->output + m->changed[k];
        struct ball d = w->form[unit].s;
        subtract(&d, &w->before[unit].s);
        int sign = w->line->only_exact ? UNSURE : sign_of(&d);
        if (sign == UNSURE) {
            w->list[doubts++] = (uint32_t)unit;
        } else if (sign != 0) {
            return 1;
        }
    }
    if (doubts == 0) {
        return 0;
    }
    uh_exact_keep(ask(w), doubts, w->list);
    swap_choices(w);
    int differ = uh_exact_differ(w->exact, doubts, w->list);
    swap_choices(w);
    return differ;
}

/* The double nearest to the event's time; NaN if that is not sure. */
static double nearest(const struct form *f)
{
    const struct ball *p = &f->p, *s = &f->s;
    double q = -p->hi / s->hi;
    if (p->hi == 0 && p->err == 0) {
        return 0;
    }
    if (!(s->err < 0x1p-20 * fabs(s->hi)) || !(fabs(q) > SMALL) ||
        !(fabs(q) < LARGE) || !(fabs(p->hi) > SMALL) ||
        !(fabs(s->hi) > SMALL)) {
        return (double)NAN;
    }
    double r = fma(q, s->hi, p->hi), low = p->lo + q * s->lo;
    double more = -(r + low) / s->hi;
    double error = (p->err + fabs(q) * s->err +
                    0x1p-50 * (fabs(r) + fabs(p->lo) + fabs(q * s->lo))) /
                       fabs(s->hi) * SLACK * SLACK +
                   0x1p-50 * fabs(more) + TINY;
    double t, rest;
    two_sum(q, more, &t, &rest);
    return t + (rest + error) == t && t + (rest - error) == t ? t : (double)NAN;
}

static double position_of(struct walk *w)
{
    double t = w->line->only_exact ? (double)NAN : nearest(&w->now.gap);
    if (isnan(t)) {
        struct uh_meeting meeting = meeting_of(&w->now);
        t = uh_exact_round(ask(w), &meeting);
    }
    return t == 0 ? 0 : t;
}

static void *longer(void *old, size_t count, size_t size)
{
    void *more = realloc(old, count * size);
    if (!more) {
        uh_die("memory: expected room for %zu positions, found none", count);
    }
    return more;
}

static void note_map(struct walk *w, size_t piece)
{
    size_t outputs = w->graph->outputs;
    double *map = w->found->map + piece * outputs * 2;
    const struct form *form = w->form + w->graph->output;
    for (size_t i = 0; i < outputs; i++) {
        map[2 * i] = form[i].p.hi;
        map[2 * i + 1] = form[i].s.hi;
    }
}

static void make_room(struct walk *w)
{
    struct uh_found *found = w->found;
    size_t n = found->room = found->room ? 2 * found->room : 256;
    found->position = longer(found->position, n, sizeof *found->position);
    if (w->keep == UH_KEEP_TRACE) {
        size_t width = 2 * w->graph->outputs;
        found->is_knot = longer(found->is_knot, n, 1);
        found->map = longer(found->map, (n + 1) * width, sizeof *found->map);
    }
}

static void note_event(struct walk *w, int knot)
{
    struct uh_found *found = w->found;
    found->knots += (size_t)knot;
    found->changes += !knot;
    if (!knot && w->keep == UH_KEEP_KNOTS) {
        return;
    }
    if (found->count == found->room) {
        make_room(w);
    }
    found->position[found->count] = w->keep == UH_KEEP_ABOUT
                                        ? 0.5 * (w->now.low + w->now.high)
                                        : position_of(w);
    found->count++;
    if (w->keep == UH_KEEP_TRACE) {
        found->is_knot[found->count - 1] = (unsigned char)knot;
        note_map(w, found->count);
    }
}

/* -- begin, go on, end ------------------------------------------------------------------------- */

static void set_input(struct walk *w, size_t i)
{
    const struct uh_line *line = w->line;
    struct form *f = &w->form[i];
    memset(f, 0, sizeof *f);
    f->p.hi = line->a ? line->a[i] : 0;
    f->s.hi = line->a ? line->b[i] : 1;
    if (line->a) {
        subtract(&f->s, &f->p);
    }
}

/* All forms anew; choices too, if they are not yet made. */
static void compute_all(struct walk *w, int choose)
{
    const struct uh_graph *g = w->graph;
    w->since = 0;
    for (size_t i = 0; i < g->inputs; i++) {
        set_input(w, i);
    }
    for (size_t k = 0; k < g->stages; k++) {
        const struct uh_stage *s = &g->stage[k];
        for (size_t i = 0; i < s->count; i++) {
            if (!w->memory[k].chooses) {
                w->form[s->out + i] = sum_of(w, s, i);
                continue;
            }
            if (choose) {
                w->choice[s->out + i] = s->kind == UH_STAGE_GATE
                                            ? choose_gate(w, s, i)
                                            : choose_winner(w, s, i);
            }
            w->form[s->out + i] = passed_on(w, s, i);
            predict(w, k, i);
        }
        for (size_t i = 0; i < s->count; i++) {
            w->found->rounded |= has_error(&w->form[s->out + i]);
        }
    }
}

static void begin(struct walk *w)
{
    const struct uh_graph *g = w->graph;
    struct uh_arena *arena = w->arena;
    size_t n = g->units, most = 0;
    size_t room = 2 * g->fan > g->reach ? 2 * g->fan : g->reach;
    w->memory = uh_arena_alloc(arena, g->stages, sizeof *w->memory);
    for (size_t k = 0; k < g->stages; k++) {
        const struct uh_stage *s = &g->stage[k];
        struct memory *m = &w->memory[k];
        m->chooses = s->kind >= UH_STAGE_GATE;
        m->piecemeal =
            (s->kind == UH_STAGE_DENSE || s->kind == UH_STAGE_CONV) &&
            s->fan > SHORT;
        m->changed = uh_arena_alloc_raw(arena, s->count, sizeof *m->changed);
        w->piecemeal |= m->piecemeal;
        most = s->count > most ? s->count : most;
    }
    w->form = uh_arena_alloc(arena, n, sizeof *w->form);
    w->before = uh_arena_alloc_raw(arena, n, sizeof *w->before);
    w->delta =
        uh_arena_alloc_raw(arena, w->piecemeal ? most : 0, sizeof *w->delta);
    w->choice = uh_arena_alloc(arena, n, sizeof *w->choice);
    w->low = uh_arena_alloc_raw(arena, n, sizeof *w->low);
    w->high = uh_arena_alloc_raw(arena, n, sizeof *w->high);
    w->touched = uh_arena_alloc(arena, n, sizeof *w->touched);
    w->fires = uh_arena_alloc(arena, n, sizeof *w->fires);
    w->flipped = uh_arena_alloc_raw(arena, n, sizeof *w->flipped);
    w->was = uh_arena_alloc_raw(arena, n, sizeof *w->was);
    w->edge = uh_arena_alloc_raw(arena, room, sizeof *w->edge);
    w->weight = uh_arena_alloc_raw(arena, room, sizeof *w->weight);
    w->list = uh_arena_alloc_raw(arena, most, sizeof *w->list);
    w->queue_room = 64;
    w->queue = uh_arena_alloc_raw(arena, w->queue_room, sizeof *w->queue);
    w->stamp = 2;
    w->past = w->part.from == -HUGE_VAL;
    w->now = event_at(w->past ? 0 : w->part.from);
    compute_all(w, 1);
    w->past = 0;
}

static void walk_on(struct walk *w)
{
    struct uh_found *found = w->found;
    size_t ties;
    while (!found->beyond && (ties = find_next(w)) > 0) {
        int ends = 0;
        for (size_t k = 0; k < ties; k++) {
            ends |= w->queue[k].stage == UH_NO_STAGE;
        }
        if (ends && (w->part.last || ties == 1)) {
            return;
        }
        carry(w, ties);
        if (w->flips > 0) {
            note_event(w, is_knot(w));
        }
        if (ends) {
            return;
        }
        if (++w->since == FRESH && w->piecemeal) {
            compute_all(w, 0);
        }
    }
}

void uh_pieces_part(const struct uh_graph *graph, const struct uh_line *line,
                    struct uh_part part, enum uh_keep keep,
                    struct uh_arena *scratch, struct uh_found *found)
{
    struct walk w = {.graph = graph,
                     .line = line,
                     .part = part,
                     .keep = keep,
                     .arena = scratch,
                     .found = found};
    struct uh_mark mark = uh_arena_open(scratch);
    *found = (struct uh_found){.knots = 0};
    begin(&w);
    if (keep == UH_KEEP_TRACE) {
        make_room(&w);
        note_map(&w, 0);
    }
    walk_on(&w);
    uh_exact_free(&w.exact);
    uh_arena_release(scratch, mark);
}

void uh_found_free(struct uh_found *found)
{
    free(found->position);
    free(found->is_knot);
    free(found->map);
    *found = (struct uh_found){.knots = 0};
}
