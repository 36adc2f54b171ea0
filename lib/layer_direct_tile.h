/* layer_direct_tile.h: the kernels of layer_direct.h, written once for vectors
 * of any length; internal to layer.  Floor 3.
 *
 * The file that includes it defines TARGET (an attribute), vector, mask, flags,
 * LANES, VECTORS (of a panel) and the functions load, load_some, store,
 * store_some, store_words, first_lanes, spread, spread_word, above, chosen and
 * fused (x y + s, rounded once).
 */
#ifndef UH_LAYER_DIRECT_TILE_H
#define UH_LAYER_DIRECT_TILE_H

#include "layer_direct.h"

#if defined(TARGET)

#define UNROLL _Pragma("GCC unroll 16")

/* rows is a constant where this is inlined. */
INLINE void sum_places(size_t rows, const float *const at[], size_t terms,
                       const uint32_t offset[], const float *panel,
                       const float *bias, float *out)
{
    vector s[UH_DIRECT_ROWS][VECTORS];
    const float *a[UH_DIRECT_ROWS];
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        a[i] = at[i];
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            s[i][v] = load(bias + v * LANES);
        }
    }
    for (size_t t = 0; t < terms; t++) {
        const size_t o = offset[t];
        vector b[VECTORS];
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            b[v] = load(panel + v * LANES);
        }
        panel += VECTORS * LANES;
        UNROLL
        for (size_t i = 0; i < rows; i++) {
            const vector x = spread(a[i] + o);
            UNROLL
            for (size_t v = 0; v < VECTORS; v++) {
                s[i][v] = fused(x, b[v], s[i][v]);
            }
        }
    }
    UNROLL
    for (size_t i = 0; i < rows; i++) {
        UNROLL
        for (size_t v = 0; v < VECTORS; v++) {
            store(out + (i * VECTORS + v) * LANES, s[i][v]);
        }
    }
}

TARGET static void sum_tile(const struct uh_direct_tile *t, float *sums)
{
    switch (t->windows * t->area) {
#define CASE(n)                                                                \
    case n:                                                                    \
        sum_places(n, t->at, t->terms, t->offset, t->panel, t->bias, sums);    \
        break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
#undef CASE
    }
}

TARGET static void run_tile(const struct uh_direct_tile *t)
{
    enum { WIDTH = VECTORS * LANES };
    float sums[UH_DIRECT_ROWS * WIDTH];
    sum_tile(t, sums);
    const float *from = sums;
    const uint32_t *number = t->number;
    for (size_t w = 0; w < t->windows; w++, number += t->area) {
        for (size_t v = 0; v < WIDTH; v += LANES) {
            vector best = load(from + v), place = spread_word(number[0]);
            for (size_t i = 1; i < t->area; i++) {
                const vector x = load(from + i * WIDTH + v);
                const flags wins = above(x, best);
                best = chosen(wins, x, best);
                place = chosen(wins, spread_word(number[i]), place);
            }
            store(t->best + w * WIDTH + v, best);
            store_words(t->choice + w * WIDTH + v, place);
        }
        from += t->area * WIDTH;
    }
}

/* rows rows of so many vectors, the last of a row with few lanes in it; rows
 * and vectors are constants where this is inlined. */
INLINE void add_rows(const struct uh_direct_chain *c, size_t rows,
                     size_t vectors, mask last, size_t row, size_t column)
{
    vector s[UH_DIRECT_STRIPS];
    const float *from = c->from + row * c->from_step + column;
    float *to = c->to + row * c->to_step + column;
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++) {
        const size_t at = i / vectors * c->to_step + i % vectors * LANES;
        s[i] = i % vectors + 1 == vectors ? load_some(last, to + at)
                                          : load(to + at);
    }
    for (size_t k = 0; k < c->count; k++) {
        const vector x = spread(c->value + k);
        const float *f = from + c->at[k];
        UNROLL
        for (size_t i = 0; i < rows * vectors; i++) {
            const size_t at = i / vectors * c->from_step + i % vectors * LANES;
            const vector y = i % vectors + 1 == vectors
                                 ? load_some(last, f + at)
                                 : load(f + at);
            s[i] = fused(x, y, s[i]);
        }
    }
    UNROLL
    for (size_t i = 0; i < rows * vectors; i++) {
        const size_t at = i / vectors * c->to_step + i % vectors * LANES;
        if (i % vectors + 1 == vectors) {
            store_some(last, to + at, s[i]);
        } else {
            store(to + at, s[i]);
        }
    }
}

TARGET static void run_chain(const struct uh_direct_chain *c)
{
    size_t row = 0;
    if (c->length <= LANES) { /* short rows side by side */
        const mask last = first_lanes(c->length);
        for (; row + 5 <= c->rows; row += 5) {
            add_rows(c, 5, 1, last, row, 0);
        }
        for (; row + 3 <= c->rows; row += 3) {
            add_rows(c, 3, 1, last, row, 0);
        }
        for (; row < c->rows; row++) {
            add_rows(c, 1, 1, last, row, 0);
        }
        return;
    }
    for (; row < c->rows; row++) {
        size_t column = 0, left = c->length;
        for (; left >= 10 * LANES; left -= 10 * LANES, column += 10 * LANES) {
            add_rows(c, 1, 10, first_lanes(LANES), row, column);
        }
        for (; left >= 4 * LANES; left -= 4 * LANES, column += 4 * LANES) {
            add_rows(c, 1, 4, first_lanes(LANES), row, column);
        }
        for (; left > LANES; left -= LANES, column += LANES) {
            add_rows(c, 1, 1, first_lanes(LANES), row, column);
        }
        if (left > 0) {
            add_rows(c, 1, 1, first_lanes(left), row, column);
        }
    }
}

#endif
#endif
