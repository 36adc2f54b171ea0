/* test_arena.c: memory by lifetime. */
#include "scratch.h"

#include "arena.h"

#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
#else
enum { SANITIZED = 0 };
#endif

#ifdef UH_ARENA_MALLOC
enum { SPARES = 0 };
#else
enum { SPARES = 1 };
#endif

static void arena_memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    unsigned char *last = NULL;
    for (size_t n = 1; n < 200000; n = 2 * n + 1) {
        unsigned char *p = uh_arena_alloc(arena, n, 1);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xab, n);
        assert_true(!last || *last == 0xab);
        last = p;
    }
    uh_arena_free(&arena);
    assert_null(arena);
    uh_arena_free(&arena);
}

static void arena_release_gives_back_what_came_after_the_mark(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    int *kept = uh_arena_alloc(arena, 1, sizeof *kept);
    *kept = 7;
    struct uh_mark mark = uh_arena_open(arena);
    for (int round = 0; round < 100; round++) {
        /* Five times what the first block holds, zeroed anew each time. */
        for (size_t i = 0; i < 5; i++) {
            unsigned char *p = uh_arena_alloc(arena, 1 << 16, 1);
            assert_int_equal(p[0] + p[65535], 0);
            memset(p, 1, 1 << 16);
        }
        uh_arena_release(arena, mark);
    }
    assert_int_equal(*kept, 7);
    uh_arena_free(&arena);
}

static void arena_takes_nothing_for_nothing(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    assert_non_null(uh_arena_alloc(arena, 0, 8));
    assert_non_null(uh_arena_alloc(arena, 8, 0));
    uh_arena_free(&arena);
}

static void arena_copies_and_formats_text(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    char text[] = "one";
    char *copy = uh_arena_text(arena, text);
    text[0] = 'x';
    assert_string_equal(copy, "one");
    assert_string_equal(uh_arena_format(arena, "%s/%d", "a", 12), "a/12");
    uh_arena_free(&arena);
}

static void ask_for_too_much(void *how)
{
    struct uh_arena *arena = uh_arena_new();
    switch (*(int *)how) {
    case 0:
        uh_arena_alloc(arena, SIZE_MAX / 2, 3);
        break;
    case 1:
        uh_arena_alloc_raw(arena, SIZE_MAX / 4 + 1, 1);
        break;
    default:
        uh_arena_fail_at(arena, 2);
        uh_arena_alloc(arena, 1, 1);
        uh_arena_alloc(arena, 3, 8);
    }
}

static void memory_that_is_not_to_be_had_is_one_line(void **state)
{
    (void)state;
    static const char *const line[] = {
        ("memory: expected a size that fits, found 9223372036854775807 times "
         "3 bytes\n"),
        "memory: expected 4611686018427387904 more bytes, found none\n",
        "memory: expected 24 more bytes, found none\n",
    };
    for (int how = 0; how < 3; how++) {
        if (how == 1 && SANITIZED) {
            continue; /* the sanitizer itself complains of the size */
        }
        struct ending e = run_child(ask_for_too_much, &how);
        assert_int_equal(e.status, 1);
        assert_non_null(strstr(e.said, "test_arena: "));
        assert_string_equal(e.said + strlen("test_arena: "), line[how]);
    }
}

/* What a release leaves is used again: all zero where that is asked for, and
 * never twice at a time. */
static void large_blocks_are_used_again_by_one_request_at_a_time(void **state)
{
    (void)state;
    enum { DEEP = 4, ROUNDS = 40, MOST = 9 << 20 };
    struct uh_arena *arena = uh_arena_new();
    struct uh_mark mark[DEEP];
    unsigned char *of[DEEP] = {NULL};
    size_t size[DEEP] = {0};
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t depth = round * 7 % DEEP;
        if (round > 0) {
            uh_arena_release(arena, mark[depth]);
        }
        for (; depth < DEEP; depth++) {
            mark[depth] = uh_arena_open(arena);
            size[depth] = (round * 2654435761u + depth * 40503977u) % MOST + 1;
            of[depth] = uh_arena_alloc(arena, size[depth], 1);
            for (size_t k = 0; k < size[depth]; k += 509) {
                assert_int_equal(of[depth][k], 0);
            }
            memset(of[depth], (int)depth + 1, size[depth]);
        }
        for (size_t d = 0; d < DEEP; d++) {
            for (size_t k = 0; k < size[d]; k += 509) {
                assert_int_equal(of[d][k], d + 1);
            }
            assert_int_equal(of[d][size[d] - 1], d + 1);
        }
    }
    uh_arena_free(&arena);
}

/* 160 MB released, then 200 MB, where 100 more may be had. */
static void ask_for_what_is_spare(void *unused)
{
    (void)unused;
    struct uh_arena *arena = uh_arena_new();
    const struct uh_mark mark = uh_arena_open(arena);
    for (size_t i = 0; i < 10; i++) {
        uh_arena_alloc(arena, 15 << 20, 1);
    }
    uh_arena_release(arena, mark);
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%zu", &pages) != 1) {
        exit(2);
    }
    fclose(file);
    const size_t most = pages * (size_t)getpagesize() + (100 << 20);
    const struct rlimit limit = {most, most};
    if (setrlimit(RLIMIT_AS, &limit) != 0) {
        exit(2);
    }
    uh_arena_alloc(arena, 200 << 20, 1);
    uh_arena_free(&arena);
}

static void spares_are_given_back_before_there_is_no_memory(void **state)
{
    (void)state;
    if (SANITIZED || !SPARES) {
        skip();
    }
    struct ending e = run_child(ask_for_what_is_spare, NULL);
    assert_string_equal(e.said, "");
    assert_int_equal(e.status, 0);
}

static void release_elsewhere(void *unused)
{
    (void)unused;
    struct uh_arena *one = uh_arena_new(), *two = uh_arena_new();
    uh_arena_alloc(one, 1, 1);
    uh_arena_alloc(two, 1, 1);
    uh_arena_release(two, uh_arena_open(one));
}

static void mark_of_another_arena_breaks_the_contract(void **state)
{
    (void)state;
    struct ending e = run_child(release_elsewhere, NULL);
    assert_int_equal(e.status, 134);
    assert_non_null(strstr(e.said, "uh_arena_release: broken contract"));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(arena_release_gives_back_what_came_after_the_mark),
        cmocka_unit_test(arena_takes_nothing_for_nothing),
        cmocka_unit_test(arena_copies_and_formats_text),
        cmocka_unit_test(large_blocks_are_used_again_by_one_request_at_a_time),
        cmocka_unit_test(memory_that_is_not_to_be_had_is_one_line),
        cmocka_unit_test(spares_are_given_back_before_there_is_no_memory),
        cmocka_unit_test(mark_of_another_arena_breaks_the_contract),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL) != 0;
}
