/* test_cells.c: cells are run once each, whatever the threads.
 *
 * A cell may run in a thread that cmocka does not know, so cells store what
 * they saw and the test looks at it afterwards. */
#include "cells.h"
#include "scratch.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static const size_t thread_counts[] = {1, 2, 3, 8};
enum { THREAD_COUNTS = sizeof thread_counts / sizeof *thread_counts };

struct tally {
    size_t count;
    atomic_uint runs[1000]; /* of each index */
    atomic_uint strays;     /* indices or pools that should not be */
};

static void count_run(void *context, size_t index, struct uh_pool *serial)
{
    struct tally *tally = context;
    if (uh_pool_threads(serial) != 1 || index >= tally->count) {
        atomic_fetch_add(&tally->strays, 1);
    } else {
        atomic_fetch_add(&tally->runs[index], 1);
    }
}

static void every_index_runs_once(void **state)
{
    (void)state;
    static struct tally tally;
    static const size_t counts[] = {0, 1, 2, 3, 7, 100, 1000};
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct uh_pool *pool = uh_pool_open(thread_counts[t]);
        assert_int_equal(uh_pool_threads(pool), thread_counts[t]);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            memset(&tally, 0, sizeof tally);
            tally.count = counts[c];
            uh_cells(pool, counts[c], count_run, &tally);
            assert_int_equal(tally.strays, 0);
            for (size_t i = 0; i < 1000; i++) {
                assert_int_equal(tally.runs[i], i < counts[c] ? 1 : 0);
            }
        }
        uh_pool_close(&pool);
        assert_null(pool);
    }
}

/* Some steps of a generator from the index alone, kept in scratch; some cells
 * take a hundred times as long as others. */
static void mix(void *context, size_t index, struct uh_pool *serial)
{
    uint64_t *out = context;
    size_t steps = index % 17 ? 20 : 2000;
    uint64_t *chain =
        uh_arena_alloc(uh_pool_scratch(serial), steps + 1, sizeof *chain);
    chain[0] = index;
    for (size_t i = 0; i < steps; i++) {
        chain[i + 1] = chain[i] * 6364136223846793005u + 1442695040888963407u;
    }
    out[index] = chain[steps];
}

static void results_do_not_depend_on_the_thread_count(void **state)
{
    (void)state;
    static uint64_t want[3000], got[3000];
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct uh_pool *pool = uh_pool_open(thread_counts[t]);
        memset(got, 0, sizeof got);
        uh_cells(pool, 3000, mix, got);
        if (t == 0) {
            memcpy(want, got, sizeof want);
        }
        assert_memory_equal(got, want, sizeof want);
        uh_pool_close(&pool);
    }
}

struct trace {
    size_t used;
    size_t order[100];
};

static void note(void *context, size_t index, struct uh_pool *serial)
{
    (void)serial;
    struct trace *trace = context;
    trace->order[trace->used++] = index;
}

static void one_thread_runs_cells_in_order(void **state)
{
    (void)state;
    struct uh_pool *pool = uh_pool_open(1);
    struct trace trace = {0, {0}};
    uh_cells(pool, 100, note, &trace);
    assert_int_equal(trace.used, 100);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(trace.order[i], i);
    }
    uh_pool_close(&pool);
}

enum { INNER = 50 };

struct nest {
    uint64_t (*found)[INNER];
    atomic_uint overwritten; /* words of an outer cell's scratch */
};

static void outer(void *context, size_t index, struct uh_pool *serial)
{
    struct nest *nest = context;
    uint32_t *mine = uh_arena_alloc(uh_pool_scratch(serial), 64, sizeof *mine);
    for (size_t i = 0; i < 64; i++) {
        mine[i] = (uint32_t)(index * 64 + i);
    }
    uh_cells(serial, INNER, mix, nest->found[index]);
    for (size_t i = 0; i < 64; i++) {
        if (mine[i] != index * 64 + i) {
            atomic_fetch_add(&nest->overwritten, 1);
        }
    }
    nest->found[index][0] += index;
}

static void cells_nest_in_the_serial_pool_of_a_cell(void **state)
{
    (void)state;
    static uint64_t want[200][INNER], got[200][INNER];
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct uh_pool *pool = uh_pool_open(thread_counts[t]);
        struct nest nest = {got, 0};
        memset(got, 0, sizeof got);
        uh_cells(pool, 200, outer, &nest);
        if (t == 0) {
            memcpy(want, got, sizeof want);
        }
        assert_memory_equal(got, want, sizeof want);
        assert_int_equal(nest.overwritten, 0);
        uh_pool_close(&pool);
    }
}

static void take_a_mebibyte(void *context, size_t index, struct uh_pool *serial)
{
    (void)index;
    unsigned char *bytes =
        uh_arena_alloc_raw(uh_pool_scratch(serial), 1 << 20, 1);
    memset(bytes, 1, 1 << 20);
    atomic_fetch_add((atomic_size_t *)context, bytes[77]);
}

static size_t resident_bytes(void)
{
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void scratch_is_released_after_each_cell(void **state)
{
    (void)state;
    struct uh_pool *pool = uh_pool_open(2);
    atomic_size_t sum = 0;
    size_t before = resident_bytes();
    uh_cells(pool, 500, take_a_mebibyte, &sum);
    assert_int_equal(sum, 500);
    assert_true(resident_bytes() < before + (100 << 20));
    uh_pool_close(&pool);
}

static void scratch_of_the_caller_survives_its_cells(void **state)
{
    (void)state;
    struct uh_pool *pool = uh_pool_open(2);
    struct uh_arena *arena = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(arena);
    unsigned char *mine = uh_arena_alloc_raw(arena, 100000, 1);
    memset(mine, 0x5a, 100000);
    uint64_t out[300];
    uh_cells(pool, 300, mix, out);
    for (size_t i = 0; i < 100000; i++) {
        assert_int_equal(mine[i], 0x5a);
    }
    uh_arena_release(arena, mark);
    uh_pool_close(&pool);
}

static void lent_arenas_are_empty_and_nobody_elses(void **state)
{
    (void)state;
    enum { LENT = 6, BYTES = 3 << 20 };
    for (size_t t = 0; t < 2; t++) {
        struct uh_pool *pool = uh_pool_open(thread_counts[t]);
        for (size_t round = 0; round < 4; round++) {
            struct uh_arena *arena[LENT];
            unsigned char *of[LENT];
            for (size_t i = 0; i < LENT; i++) {
                arena[i] = uh_pool_lend(pool);
                assert_null(uh_arena_open(arena[i]).block);
                of[i] = uh_arena_alloc(arena[i], BYTES, 1);
                for (size_t k = 0; k < BYTES; k += 509) {
                    assert_int_equal(of[i][k], 0);
                }
                memset(of[i], (int)i + 1, BYTES);
            }
            for (size_t i = 0; i < LENT; i++) {
                assert_int_equal(of[i][round * 509], i + 1);
                assert_int_equal(of[i][BYTES - 1], i + 1);
                uh_pool_take_back(pool, &arena[i]);
                assert_null(arena[i]);
            }
        }
        uh_pool_close(&pool);
    }
}

static void add_index(void *context, size_t index, struct uh_pool *serial)
{
    (void)serial;
    ((size_t *)context)[index * 8] += index + 1;
}

/* Sections so short that threads wake in the middle, at the end, or in the
 * section after; now and then a rest long enough for them to fall asleep. */
static void many_tiny_sections_lose_no_cell(void **state)
{
    (void)state;
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        struct uh_pool *pool = uh_pool_open(thread_counts[t]);
        size_t sums[8 * 8] = {0};
        enum { SECTIONS = 20000 };
        for (size_t i = 0; i < SECTIONS; i++) {
            uh_cells(pool, 2 + i % 7, add_index, sums);
            if (i % 1000 == 0) {
                nanosleep(&(struct timespec){0, 2000000}, NULL);
            }
        }
        for (size_t j = 0; j < 8; j++) {
            size_t runs = 0;
            for (size_t i = 0; i < SECTIONS; i++) {
                runs += j < 2 + i % 7;
            }
            assert_int_equal(sums[j * 8], runs * (j + 1));
        }
        uh_pool_close(&pool);
    }
}

static void a_pool_that_never_worked_closes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 200; i++) {
        struct uh_pool *pool = uh_pool_open(1 + i % 4);
        uh_pool_close(&pool);
    }
    struct uh_pool *none = NULL;
    uh_pool_close(&none);
}

static void open_with_jobs(void *context)
{
    const char *jobs = *(const char **)context;
    if (jobs) {
        setenv("JOBS", jobs, 1);
    } else {
        unsetenv("JOBS");
    }
    struct uh_pool *pool = uh_pool_open(0);
    size_t threads = uh_pool_threads(pool);
    uh_pool_close(&pool);
    _exit(100 + (int)(threads % 100));
}

static void JOBS_gives_the_number_of_threads(void **state)
{
    (void)state;
    static const char *const good[] = {"1", "2", "5", "07"};
    static const int threads[] = {1, 2, 5, 7};
    for (size_t i = 0; i < 4; i++) {
        const char *jobs = good[i];
        assert_int_equal(run_child(open_with_jobs, &jobs).status,
                         100 + threads[i]);
    }
}

static void without_JOBS_there_is_a_thread_per_processor(void **state)
{
    (void)state;
    int processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    static const char *const none[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        const char *jobs = none[i];
        assert_in_range(run_child(open_with_jobs, &jobs).status, 101,
                        100 + processors);
    }
}

static void wrong_JOBS_is_one_line_and_status_2(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0", "-1", "two", "2x", " 2", "1.5", "4097", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *jobs = bad[i];
        struct ending e = run_child(open_with_jobs, &jobs);
        assert_int_equal(e.status, 2);
        assert_non_null(strstr(e.said, "JOBS: expected"));
        assert_non_null(strstr(e.said, bad[i]));
        assert_ptr_equal(strchr(e.said, '\n'), e.said + strlen(e.said) - 1);
    }
}

static void use_outside(void *context, size_t index, struct uh_pool *serial)
{
    (void)index;
    (void)serial;
    uint64_t out[10];
    uh_cells(context, 10, mix, out);
}

static void nest_wrongly(void *context)
{
    (void)context;
    struct uh_pool *pool = uh_pool_open(2);
    uh_cells(pool, 10, use_outside, pool);
}

static void a_cell_that_uses_the_pool_outside_aborts(void **state)
{
    (void)state;
    struct ending e = run_child(nest_wrongly, NULL);
    assert_int_equal(e.status, 128 + SIGABRT);
    assert_non_null(strstr(e.said, "uh_cells: broken contract"));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_runs_once),
        cmocka_unit_test(results_do_not_depend_on_the_thread_count),
        cmocka_unit_test(one_thread_runs_cells_in_order),
        cmocka_unit_test(cells_nest_in_the_serial_pool_of_a_cell),
        cmocka_unit_test(scratch_is_released_after_each_cell),
        cmocka_unit_test(scratch_of_the_caller_survives_its_cells),
        cmocka_unit_test(lent_arenas_are_empty_and_nobody_elses),
        cmocka_unit_test(many_tiny_sections_lose_no_cell),
        cmocka_unit_test(a_pool_that_never_worked_closes),
        cmocka_unit_test(JOBS_gives_the_number_of_threads),
        cmocka_unit_test(without_JOBS_there_is_a_thread_per_processor),
        cmocka_unit_test(wrong_JOBS_is_one_line_and_status_2),
        cmocka_unit_test(a_cell_that_uses_the_pool_outside_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
