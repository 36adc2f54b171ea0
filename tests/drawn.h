/* drawn.h: what holds for every data set that the program draws: the sizes,
 * the streams, the bytes and the digest that the headers promise. */
#ifndef DRAWN_H
#define DRAWN_H

#include "cells.h"
#include "dataset.h"
#include "digest.h"
#include "stream.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* uh_strokes, uh_shapes */
typedef void draw_set(const char *split, size_t count, struct uh_pool *pool,
                      struct uh_arena *arena, struct uh_dataset *out);

struct fixture {
    struct uh_arena *arena;
    struct uh_pool *pool;
    draw_set *draw;
    struct uh_dataset set; /* some of "train" */
    size_t numbers;        /* of an image */
};

static inline int open_drawn(void **state, draw_set *draw, size_t count)
{
    static struct fixture f;
    f.arena = uh_arena_new();
    f.pool = uh_pool_open(2);
    f.draw = draw;
    draw("train", count, f.pool, f.arena, &f.set);
    f.numbers = uh_shape_size(f.set.shape);
    *state = &f;
    return 0;
}

static inline int close_drawn(void **state)
{
    struct fixture *f = *state;
    uh_pool_close(&f->pool);
    uh_arena_free(&f->arena);
    return 0;
}

/* Fails with both values, also for NaN. */
#define assert_near(got, want, tolerance)                                      \
    do {                                                                       \
        double got_ = (got), want_ = (want), tolerance_ = (tolerance);         \
        if (!(fabs(got_ - want_) <= tolerance_))                               \
            fail_msg("%s: got %.9g, want %.9g, tolerance %g", #got, got_,      \
                     want_, tolerance_);                                       \
    } while (0)

/* The set is the beginning of the fixture's. */
static inline void assert_begins(const struct fixture *f,
                                 const struct uh_dataset *set)
{
    assert_memory_equal(set->x, f->set.x,
                        set->count * f->numbers * sizeof *set->x);
    assert_memory_equal(set->y, f->set.y, set->count);
    assert_memory_equal(set->latent, f->set.latent,
                        set->count * set->latents * sizeof *set->latent);
}

static void fewer_images_begin_the_larger_set(void **state)
{
    struct fixture *f = *state;
    static const size_t counts[] = {1, 7, 9, 50, 51, 333};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        struct uh_dataset set;
        f->draw("train", counts[k], f->pool, f->arena, &set);
        assert_int_equal(set.count, counts[k]);
        assert_begins(f, &set);
    }
}

static void threads_change_no_bit(void **state)
{
    struct fixture *f = *state;
    for (size_t threads = 1; threads <= 3; threads += 2) {
        struct uh_pool *pool = uh_pool_open(threads);
        struct uh_dataset set;
        f->draw("train", f->set.count, pool, f->arena, &set);
        assert_string_equal(set.digest, f->set.digest);
        assert_begins(f, &set);
        uh_pool_close(&pool);
    }
}

static void splits_share_no_image(void **state)
{
    struct fixture *f = *state;
    struct uh_dataset test;
    const size_t n = f->numbers;
    f->draw("test", 100, f->pool, f->arena, &test);
    assert_string_equal(test.split, "test");
    for (size_t i = 0; i < test.count; i++) {
        for (size_t j = 0; j < f->set.count; j++) {
            assert_true(
                memcmp(test.x + i * n, f->set.x + j * n, n * sizeof *test.x));
        }
    }
}

static void each_block_of_ten_shows_every_class_once(void **state)
{
    struct fixture *f = *state;
    const double blocks = (double)f->set.count / 10;
    double first[10] = {0};
    for (size_t i = 0; i < f->set.count; i += 10) {
        unsigned seen = 0;
        for (size_t k = 0; k < 10; k++) {
            seen |= 1u << f->set.y[i + k];
        }
        assert_int_equal(seen, 1023);
        first[f->set.y[i]]++;
    }
    /* A class comes first in a tenth of the blocks; four deviations. */
    for (size_t c = 0; c < 10; c++) {
        assert_near(first[c], blocks / 10, 4 * sqrt(blocks * 0.09));
    }
}

static void classes_come_from_the_streams_of_the_header(void **state)
{
    struct fixture *f = *state;
    for (size_t block = 0; block < f->set.count / 10; block++) {
        struct uh_stream s =
            uh_stream_open("%s/train/order/%zu", f->set.name, block);
        uint32_t order[10];
        uh_stream_permutation(&s, 10, order);
        for (size_t k = 0; k < 10; k++) {
            assert_int_equal(f->set.y[10 * block + k], order[k]);
        }
    }
}

static void pixels_are_bytes_divided_by_255(void **state)
{
    struct fixture *f = *state;
    for (size_t k = 0; k < f->set.count * f->numbers; k++) {
        float byte = rintf(f->set.x[k] * 255);
        assert_true(byte >= 0 && byte <= 255);
        assert_true(f->set.x[k] == byte / 255);
    }
}

static void digest_is_that_of_bytes_then_labels(void **state)
{
    struct fixture *f = *state;
    const size_t n = f->set.count * f->numbers;
    uint8_t *bytes = uh_arena_alloc_raw(f->arena, n + f->set.count, 1);
    for (size_t k = 0; k < n; k++) {
        bytes[k] = (uint8_t)rintf(f->set.x[k] * 255);
    }
    memcpy(bytes + n, f->set.y, f->set.count);
    char hex[65];
    uh_digest_of(bytes, n + f->set.count, hex);
    assert_string_equal(hex, f->set.digest);
}

/* Digests of 1000 images that this code made: they notice a change, they prove
 * nothing.  Who changes the set on purpose replaces them, and says so. */
static inline void assert_record(struct fixture *f, const char *train,
                                 const char *test)
{
    struct uh_dataset set;
    f->draw("train", 1000, f->pool, f->arena, &set);
    assert_string_equal(set.digest, train);
    f->draw("test", 1000, f->pool, f->arena, &set);
    assert_string_equal(set.digest, test);
}

#define DRAWN_TESTS                                                            \
    cmocka_unit_test(fewer_images_begin_the_larger_set),                       \
        cmocka_unit_test(threads_change_no_bit),                               \
        cmocka_unit_test(splits_share_no_image),                               \
        cmocka_unit_test(each_block_of_ten_shows_every_class_once),            \
        cmocka_unit_test(classes_come_from_the_streams_of_the_header),         \
        cmocka_unit_test(pixels_are_bytes_divided_by_255),                     \
        cmocka_unit_test(digest_is_that_of_bytes_then_labels)

#endif
