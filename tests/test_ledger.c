/* test_ledger.c: records keep their form, figure data read back. */
#include "book.h"
#include "die.h"
#include "estimate.h"
#include "file.h"
#include "ledger.h"
#include "stats.h"
#include "table.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/uh-ledger-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/records.jsonl", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static struct uh_ledger *ledger_of(struct uh_arena *arena)
{
    return uh_ledger_new(arena, "knots", "quick", "abc");
}

static struct uh_book *write_and_read(struct uh_arena *arena,
                                      struct uh_ledger *ledger)
{
    uh_ledger_write(ledger, path);
    uh_ledger_free(ledger);
    struct uh_book *book = uh_book_new(arena);
    struct uh_error error;
    if (uh_book_read(book, path, &error) != UH_OK) {
        fail_msg("%s", error.text);
    }
    return book;
}

static void records_come_back_sorted_and_whole(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_ledger *ledger = ledger_of(arena);
    uh_ledger_record(ledger, &(struct uh_record){.id = "knots/z",
                                                 .kind = UH_EXACT,
                                                 .what = "last",
                                                 .integer = -3});
    uh_ledger_stage(ledger, "nets", "d00d");
    uh_ledger_record(ledger, &(struct uh_record){.id = "knots/a/1",
                                                 .kind = UH_EXACT,
                                                 .what = "first",
                                                 .text = "-77/50"});
    uh_ledger_record(ledger, &(struct uh_record){.id = "knots/m",
                                                 .kind = UH_SAMPLED,
                                                 .what = "a rate",
                                                 .value = 0.1,
                                                 .lower = 0.05,
                                                 .upper = 1. / 3,
                                                 .level = 0.95,
                                                 .n = 10,
                                                 .method = "clopper-pearson"});
    struct uh_book *book = write_and_read(arena, ledger);
    assert_int_equal(book->count, 3);
    assert_string_equal(book->id[0], "knots/a/1");
    assert_string_equal(book->id[2], "knots/z");
    assert_string_equal(uh_book_text(book->record[0], "value"), "-77/50");
    assert_string_equal(uh_book_text(book->record[2], "value"), "-3");
    assert_string_equal(uh_book_text(book->record[2], "source"), "abc");
    /* only what came after the stage rests on it */
    assert_null(json_object_get(book->record[2], "stages"));
    assert_string_equal(json_string_value(json_array_get(
                            json_object_get(book->record[0], "stages"), 0)),
                        "nets=d00d");
    const json_t *ends = json_object_get(book->record[1], "interval");
    assert_string_equal(json_string_value(json_array_get(ends, 1)),
                        "0.333333333");
    uh_book_free(book);
    uh_arena_free(&arena);
}

static void bits_read_back_to_the_same_float(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_ledger *ledger = ledger_of(arena);
    uint64_t x = 0x9e3779b97f4a7c15u;
    double values[200];
    for (int i = 0; i < 200; i++) {
        double value;
        do {
            x = x * 6364136223846793005u + 1442695040888963407u;
            memcpy(&value, &x, sizeof value);
        } while (!isfinite(value));
        values[i] = value;
        char id[32];
        snprintf(id, sizeof id, "knots/%03d", i);
        uh_ledger_record(ledger, &(struct uh_record){.id = id,
                                                     .kind = UH_BITS,
                                                     .what = "any double",
                                                     .value = value});
    }
    struct uh_book *book = write_and_read(arena, ledger);
    for (size_t i = 0; i < 200; i++) {
        double a = strtod(uh_book_text(book->record[i], "value"), NULL);
        double b = strtod(uh_book_text(book->record[i], "hex"), NULL);
        assert_memory_equal(&a, &values[i], sizeof a);
        assert_memory_equal(&b, &values[i], sizeof b);
    }
    uh_book_free(book);
    uh_arena_free(&arena);
}

/* What record does to a child: the signal or the exit status. */
static int fate(const struct uh_record *record, int times)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(99);
        }
        struct uh_ledger *ledger = ledger_of(uh_arena_new());
        for (int i = 0; i < times; i++) {
            uh_ledger_record(ledger, record);
        }
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void a_record_out_of_form_is_a_broken_contract(void **state)
{
    (void)state;
    struct uh_record good = {
        .id = "knots/x", .kind = UH_EXACT, .what = "x", .integer = 1};
    assert_int_equal(fate(&good, 1), 0);
    assert_int_equal(fate(&good, 2), SIGABRT);
    static const char *const ids[] = {"lipschitz/x", "knots/",   "knots",
                                      "knots/X",     "knots//x", "knots/x y"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        struct uh_record bad = good;
        bad.id = ids[i];
        assert_int_equal(fate(&bad, 1), SIGABRT);
    }
    static const char *const texts[] = {"2/4", "1.5",  "3/1", "+3",
                                        "",    "1/-2", "nan", "ABCD"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct uh_record bad = good;
        bad.text = texts[i];
        assert_int_equal(fate(&bad, 1), SIGABRT);
    }
    struct uh_record nan_value = {
        .id = "knots/x", .kind = UH_BITS, .what = "x", .value = (double)NAN};
    assert_int_equal(fate(&nan_value, 1), SIGABRT);
    nan_value.value = (double)INFINITY;
    assert_int_equal(fate(&nan_value, 1), SIGABRT);
    struct uh_record no_digits = {
        .id = "knots/x", .kind = UH_ROUNDED, .what = "x", .value = 1};
    assert_int_equal(fate(&no_digits, 1), SIGABRT);
    struct uh_record no_interval = {
        .id = "knots/x", .kind = UH_SAMPLED, .what = "x", .value = 1};
    assert_int_equal(fate(&no_interval, 1), SIGABRT);
    struct uh_record no_words = {.id = "knots/x", .kind = UH_EXACT};
    assert_int_equal(fate(&no_words, 1), SIGABRT);
}

/* The record of that id has that text under a key. */
static void expect(const struct uh_book *book, const char *id, const char *key,
                   const char *text)
{
    const json_t *record = uh_book_find(book, id);
    assert_non_null(record);
    assert_string_equal(uh_book_text(record, key), text);
}

static void a_record_of_one_line_is_the_long_one(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_ledger *ledger = ledger_of(arena);
    uh_ledger_count(ledger, 7, "before any group", "bare");
    char path_text[] = "tuple/3-2";
    uh_ledger_group(ledger, &(struct uh_group){.path = path_text,
                                               .unit = "knots",
                                               .claims = "B-29 B-30",
                                               .data = "mnist-test=d00d",
                                               .oracle = "bisection",
                                               .residual = 0.5});
    path_text[0] = 'X'; /* the group has its own copy */
    uh_ledger_integer(ledger, -3, "an integer", "built-%d", 1);
    uh_ledger_text(ledger, "-77/50", "a rational", "built-%s", "2");
    uh_ledger_bits(ledger, 0.1, "a double", "bits");
    uh_ledger_record(ledger, &(struct uh_record){.id = "knots/single",
                                                 .kind = UH_BITS,
                                                 .what = "a float",
                                                 .value = (double)0.1F,
                                                 .single = true});
    uh_ledger_rounded(ledger, 1. / 3, 4, "rounded", "rounded");
    uh_ledger_group(ledger, NULL);
    uh_ledger_count(ledger, 8, "after the group", "after");
    struct uh_book *book = write_and_read(arena, ledger);
    assert_int_equal(book->count, 7);
    expect(book, "knots/bare", "value", "7");
    assert_null(json_object_get(uh_book_find(book, "knots/bare"), "claims"));
    expect(book, "knots/tuple/3-2/built-1", "value", "-3");
    expect(book, "knots/tuple/3-2/built-1", "what", "an integer");
    expect(book, "knots/tuple/3-2/built-1", "unit", "knots");
    expect(book, "knots/tuple/3-2/built-1", "claims", "B-29 B-30");
    expect(book, "knots/tuple/3-2/built-1", "data", "mnist-test=d00d");
    expect(book, "knots/tuple/3-2/built-1", "oracle", "bisection");
    expect(book, "knots/tuple/3-2/built-1", "residual", "0.5");
    expect(book, "knots/tuple/3-2/built-1", "kind", "exact");
    expect(book, "knots/tuple/3-2/built-2", "value", "-77/50");
    expect(book, "knots/tuple/3-2/bits", "hex", "0x1.999999999999ap-4");
    expect(book, "knots/single", "value", "0.100000001");
    expect(book, "knots/tuple/3-2/rounded", "value", "0.3333");
    expect(book, "knots/tuple/3-2/rounded", "kind", "rounded");
    assert_null(json_object_get(uh_book_find(book, "knots/after"), "oracle"));
    uh_book_free(book);
    uh_arena_free(&arena);
}

/* The ends of an interval, as text of 9 digits. */
static void expect_ends(const struct uh_book *book, const char *id,
                        struct uh_interval want)
{
    const json_t *ends = json_object_get(uh_book_find(book, id), "interval");
    const double end[2] = {want.lower, want.upper};
    for (size_t k = 0; k < 2; k++) {
        char text[32];
        snprintf(text, sizeof text, "%.9g", end[k]);
        assert_string_equal(json_string_value(json_array_get(ends, k)), text);
    }
}

static void an_estimate_names_its_method_and_its_stream(void **state)
{
    (void)state;
    static const double x[6] = {1, 4, 2, 8, 5, 7};
    struct uh_arena *arena = uh_arena_new();
    struct uh_ledger *ledger = ledger_of(arena);
    uh_ledger_group(ledger, &(struct uh_group){.path = "e", .claims = "B-28"});
    uh_ledger_rate(ledger, 3, 12, 0.95, "a rate", "rate/%d", 16);
    uh_ledger_student(ledger, 6, x, 0.9, "a mean", "mean");
    uh_ledger_bootstrap(ledger, 6, x, 0.9, arena, "a mean", "boot-%d", 2);
    uh_ledger_estimate(ledger,
                       &(struct uh_estimate){2, 1, 3, 0.5, 9, "by hand"},
                       "an estimate", "hand");
    uh_ledger_group(ledger, &(struct uh_group){.path = "r", .digits = 3});
    uh_ledger_estimate(ledger,
                       &(struct uh_estimate){1. / 3, 0, 1, 0.5, 9, "by hand"},
                       "an estimate that was rounded", "third");
    uh_ledger_bits(ledger, 1. / 3, "a number that was not", "bits");
    struct uh_book *book = write_and_read(arena, ledger);
    expect(book, "knots/r/third", "value", "0.333");
    expect(book, "knots/r/bits", "value", "0.33333333333333331");
    expect(book, "knots/e/rate/16", "value", "0.25");
    expect(book, "knots/e/rate/16", "method", "clopper-pearson");
    expect(book, "knots/e/rate/16", "claims", "B-28");
    expect_ends(book, "knots/e/rate/16", uh_clopper_pearson(3, 12, 0.95));
    expect(book, "knots/e/mean", "value", "4.5");
    expect(book, "knots/e/mean", "kind", "sampled");
    expect_ends(book, "knots/e/mean", uh_student(6, x, 0.9));
    struct uh_stream stream = uh_stream_open("knots/e/boot-2/bootstrap");
    expect(book, "knots/e/boot-2", "method",
           "bootstrap knots/e/boot-2/bootstrap");
    expect_ends(book, "knots/e/boot-2",
                uh_bootstrap_mean(6, x, 10000, 0.9, &stream, arena));
    expect(book, "knots/e/hand", "level", "0.5");
    expect_ends(book, "knots/e/hand", (struct uh_interval){1, 3});
    const json_t *n =
        json_object_get(uh_book_find(book, "knots/e/rate/16"), "n");
    assert_int_equal(json_integer_value(n), 12);
    uh_book_free(book);
    uh_arena_free(&arena);
}

static void a_torn_ledger_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{\"id\":\"a\"}\n{\"id\":\"a\"}\n",
                                        "{\"id\":\"a\"", "[]\n", "{}\n",
                                        "{\"id\":3}\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_file *file = uh_file_create(path);
        uh_file_write(file, wrong[i], strlen(wrong[i]));
        uh_file_commit(file);
        struct uh_book *book = uh_book_new(arena);
        struct uh_error error;
        assert_int_equal(uh_book_read(book, path, &error), UH_BAD_INPUT);
        assert_non_null(strstr(error.text, path));
        uh_book_free(book);
        uh_arena_free(&arena);
    }
}

static void figure_data_read_back_to_the_same_doubles(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_table *table = uh_table_create(
        arena, path, 3,
        (struct uh_column[]){
            {"x", "1", "any"}, {"n", "1", "count"}, {"w", "1", "word"}});
    static const double values[] = {0.1, 1. / 3, 5e-324, 1.7e308, -0.25, 100};
    for (size_t i = 0; i < 6; i++) {
        uh_table_number(table, values[i]);
        uh_table_integer(table, (int64_t)i - 3);
        if (i == 2) {
            uh_table_missing(table);
        } else {
            uh_table_word(table, "yes");
        }
    }
    uh_table_commit(table);
    FILE *in = fopen(path, "r");
    char line[256];
    for (int i = 0; i < 3; i++) {
        assert_non_null(fgets(line, sizeof line, in));
        assert_int_equal(line[0], '#');
    }
    assert_non_null(fgets(line, sizeof line, in));
    assert_string_equal(line, "x\tn\tw\n");
    for (size_t i = 0; i < 6; i++) {
        double x;
        int n;
        char word[8];
        assert_non_null(fgets(line, sizeof line, in));
        assert_int_equal(sscanf(line, "%lf\t%d\t%7s", &x, &n, word), 3);
        assert_memory_equal(&x, &values[i], sizeof x);
        assert_int_equal(n, (int)i - 3);
        assert_string_equal(word, i == 2 ? "NA" : "yes");
    }
    fclose(in);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back_sorted_and_whole),
        cmocka_unit_test(bits_read_back_to_the_same_float),
        cmocka_unit_test(a_record_out_of_form_is_a_broken_contract),
        cmocka_unit_test(a_record_of_one_line_is_the_long_one),
        cmocka_unit_test(an_estimate_names_its_method_and_its_stream),
        cmocka_unit_test(a_torn_ledger_is_refused),
        cmocka_unit_test(figure_data_read_back_to_the_same_doubles),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ledger", tests, make_folder,
                                       remove_folder) != 0;
}
