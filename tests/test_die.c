/* test_die.c: how programs end, and the lines that they leave. */
#include "scratch.h"

#include "cells.h"
#include "die.h"

static void die(void *text)
{
    uh_die("weights: expected %d bytes, found %d (%s)", 4, 3,
           (const char *)text);
}

static void die_is_one_line_and_status_1(void **state)
{
    (void)state;
    char name[] = "model";
    struct ending e = run_child(die, name);
    assert_int_equal(e.status, 1);
    assert_string_equal(
        e.said, "test_die: weights: expected 4 bytes, found 3 (model)\n");
}

/* A file may be named so as to look like another program's line. */
static void die_stays_on_one_line_whatever_a_file_is_called(void **state)
{
    (void)state;
    char name[] = "a\nknots: all is well\x1b[31m\x7f";
    struct ending e = run_child(die, name);
    assert_string_equal(e.said, "test_die: weights: expected 4 bytes, found 3 "
                                "(a?knots: all is well?[31m?)\n");
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    e = run_child(die, longer);
    assert_int_equal(e.status, 1);
    assert_int_equal(strcspn(e.said, "\n"), strlen(e.said) - 1);
}

static void die_in_a_cell(void *context, size_t index, struct uh_pool *serial)
{
    (void)context;
    (void)serial;
    uh_die("cell: expected to go on, found the end of %zu", index);
}

static void die_in_every_cell(void *unused)
{
    (void)unused;
    struct uh_pool *pool = uh_pool_open(8);
    uh_cells(pool, 8, die_in_a_cell, NULL);
}

static void threads_that_die_together_say_one_line(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct ending e = run_child(die_in_every_cell, NULL);
        assert_int_equal(e.status, 1);
        assert_int_equal(strcspn(e.said, "\n"), strlen(e.said) - 1);
    }
}

static void usage(void *unused)
{
    (void)unused;
    uh_die_usage("expected a profile, found %s", "fast");
}

static void usage_is_status_2_and_names_the_help(void **state)
{
    (void)state;
    struct ending e = run_child(usage, NULL);
    assert_int_equal(e.status, 2);
    assert_string_equal(e.said, "test_die: expected a profile, found fast; try "
                                "test_die --help\n");
}

static void die_error(void *unused)
{
    (void)unused;
    struct uh_error error;
    if (uh_fail(&error, UH_IO, "100 %% of it: %s", "%s%n") == UH_IO) {
        uh_die_error(&error);
    }
}

static void die_error_prints_the_line_of_the_reader(void **state)
{
    (void)state;
    struct ending e = run_child(die_error, NULL);
    assert_int_equal(e.status, 1);
    assert_string_equal(e.said, "test_die: 100 % of it: %s%n\n");
}

static void broken(void *k)
{
    UH_REQUIRE(*(int *)k > 0, "k is %d", *(int *)k);
}

static void broken_contract_names_function_and_condition(void **state)
{
    (void)state;
    int k = 0;
    struct ending e = run_child(broken, &k);
    assert_int_equal(e.status, 134);
    assert_string_equal(e.said,
                        "broken: broken contract: *(int *)k > 0 (k is 0)\n");
    k = 1;
    assert_int_equal(run_child(broken, &k).status, 0);
}

static void multiply(void *sizes)
{
    const size_t *s = sizes;
    uh_size_mul(s[0], s[1]);
}

static void add(void *sizes)
{
    const size_t *s = sizes;
    uh_size_add(s[0], s[1]);
}

static void sizes_that_overflow_break_the_contract(void **state)
{
    (void)state;
    size_t s[2] = {(size_t)1 << 32, (size_t)1 << 32};
    assert_int_equal(run_child(multiply, s).status, 134);
    assert_false(uh_size_fits_mul(s[0], s[1]));
    s[1]--;
    assert_true(uh_size_fits_mul(s[0], s[1]));
    assert_int_equal(uh_size_mul(s[0], s[1]), SIZE_MAX - s[0] + 1);
    assert_true(uh_size_fits_mul(SIZE_MAX, 0));
    assert_true(uh_size_fits_mul(SIZE_MAX, 1));
    s[0] = SIZE_MAX;
    s[1] = 1;
    assert_int_equal(run_child(add, s).status, 134);
    s[1] = 0;
    assert_int_equal(uh_size_add(s[0], s[1]), SIZE_MAX);
}

static void fail_cleans_control_characters_and_takes_no_error(void **state)
{
    (void)state;
    struct uh_error error;
    assert_int_equal(uh_fail(&error, UH_BAD_INPUT, "a%cb\x7f", '\n'),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, "a?b?");
    assert_int_equal(uh_fail(NULL, UH_SINGULAR, "x"), UH_SINGULAR);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(die_is_one_line_and_status_1),
        cmocka_unit_test(die_stays_on_one_line_whatever_a_file_is_called),
        cmocka_unit_test(threads_that_die_together_say_one_line),
        cmocka_unit_test(usage_is_status_2_and_names_the_help),
        cmocka_unit_test(die_error_prints_the_line_of_the_reader),
        cmocka_unit_test(broken_contract_names_function_and_condition),
        cmocka_unit_test(sizes_that_overflow_break_the_contract),
        cmocka_unit_test(fail_cleans_control_characters_and_takes_no_error),
    };
    return cmocka_run_group_tests_name("die", tests, NULL, NULL) != 0;
}
