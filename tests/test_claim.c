/* test_claim.c: verdicts follow from rules and from nothing else. */
#include "claim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const records[] = {
    "{\"id\":\"k/a\",\"kind\":\"exact\",\"value\":\"7\"}",
    "{\"id\":\"k/half\",\"kind\":\"exact\",\"value\":\"1/2\"}",
    "{\"id\":\"k/tenth\",\"kind\":\"bits\",\"value\":\"0.10000000000000001\"}",
    "{\"id\":\"k/round\",\"kind\":\"rounded\",\"value\":\"1.25\",\"digits\":3}",
    "{\"id\":\"k/rate\",\"kind\":\"sampled\",\"value\":\"0.5\","
    "\"interval\":[\"0.4\",\"0.6\"]}",
    "{\"id\":\"k/hash\",\"kind\":\"exact\",\"value\":\"00112233445566778899"
    "aabbccddeeff00112233445566778899aabbccddeeff\"}",
    "{\"id\":\"k/hash2\",\"kind\":\"exact\",\"value\":\"10112233445566778899"
    "aabbccddeeff00112233445566778899aabbccddeeff\"}",
    "{\"id\":\"k/set/1\",\"kind\":\"exact\",\"value\":\"1\"}",
    "{\"id\":\"k/set/2\",\"kind\":\"exact\",\"value\":\"2\"}",
    "{\"id\":\"k/set/3\",\"kind\":\"sampled\",\"value\":\"3\","
    "\"interval\":[\"2.5\",\"3.5\"]}",
};

struct scene {
    struct uh_arena *arena;
    struct uh_book *book;
};

static int open_scene(void **state)
{
    static struct scene scene;
    scene.arena = uh_arena_new();
    scene.book = uh_book_new(scene.arena);
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        json_error_t error;
        uh_book_add(scene.book, json_loads(records[i], 0, &error));
    }
    *state = &scene;
    return 0;
}

static int close_scene(void **state)
{
    struct scene *scene = *state;
    uh_book_free(scene->book);
    uh_arena_free(&scene->arena);
    return 0;
}

static struct uh_verdict first_verdict(struct scene *scene, const char *rules)
{
    struct uh_verdict *verdicts;
    size_t count;
    struct uh_error error;
    enum uh_status status = uh_claims_decide(rules, scene->book, scene->arena,
                                             &verdicts, &count, &error);
    if (status != UH_OK) {
        fail_msg("%s: %s", rules, error.text);
    }
    assert_true(count > 0);
    return verdicts[0];
}

static void decides(void **state, const char *expression, const char *word)
{
    char rules[512];
    snprintf(rules, sizeof rules, "X-1 holds: %s\n", expression);
    struct uh_verdict v = first_verdict(*state, rules);
    if (strcmp(v.word, word) != 0) {
        fail_msg("%s: expected %s, found %s", expression, word, v.word);
    }
}

static void arithmetic_is_rational(void **state)
{
    decides(state, "1/3 + 1/3 + 1/3 == 1", "holds");
    decides(state, "0.1 + 0.2 == 0.3", "holds");
    decides(state, "k/half == 0.5", "holds");
    decides(state, "k/half * 2 == k/a / 7", "holds");
    decides(state, "1e-12 == 0.000000000001", "holds");
    decides(state, "-k/a + 3 * (2 + 1) == 2", "holds");
    decides(state, "k/a - 7 == 0", "holds");
    decides(state, "2 - 1 - 1 == 0", "holds");
    decides(state, "8 / 4 / 2 == 1", "holds");
    decides(state, "2 + 3 * 4 == 14", "holds");
    /* the double nearest to 0.1 is not 0.1 */
    decides(state, "k/tenth == 0.1", "undecided");
    decides(state, "k/tenth > 0.1", "holds");
}

static void comparisons_and_words_mean_what_they_say(void **state)
{
    decides(state, "k/a == 7", "holds");
    decides(state, "k/a != 7", "undecided");
    decides(state, "k/a < 7", "undecided");
    decides(state, "k/a <= 7", "holds");
    decides(state, "k/a > 6.999", "holds");
    decides(state, "k/a >= 7.0001", "undecided");
    decides(state, "not k/a < 7", "holds");
    decides(state, "k/a < 7 or k/a > 6", "holds");
    decides(state, "k/a < 7 and k/a > 6", "undecided");
    decides(state, "k/a > 6 or k/a < 7 and k/a < 7", "holds");
    decides(state, "not (k/a > 6 and k/a < 7)", "holds");
}

static void intervals_are_read_at_their_ends(void **state)
{
    decides(state, "lower(k/rate) == 0.4 and upper(k/rate) == 0.6", "holds");
    decides(state, "lower(k/round) == 1.24 and upper(k/round) == 1.26",
            "holds");
    decides(state, "lower(k/a) == upper(k/a)", "holds");
}

static void a_set_holds_if_each_member_does(void **state)
{
    decides(state, "all(k/set/*) >= 1", "holds");
    decides(state, "all(k/set/*) >= 2", "undecided");
    decides(state, "lower(k/set/*) > 0.5", "holds");
    decides(state, "upper(k/set/*) < 3.4", "undecided");
    decides(state, "all(k/set/*)", "holds");
    decides(state, "all(k/set/*) - all(k/set/*) == 0", "holds");
    decides(state, "all(k/none/*) == 0", "untested");
}

static void values_in_brackets_meet_their_own(void **state)
{
    decides(state, "all(k/set/*) == (1, 2, 3)", "holds");
    decides(state, "all(k/set/*) == (1, 2, 2 + 1/1)", "holds");
    decides(state, "all(k/set/*) == (1, 3, 2)", "undecided");
    decides(state, "all(k/set/*) == (3, 2, 1)", "undecided");
    decides(state, "(k/a, k/half) == (7, 1/2)", "holds");
    decides(state, "all(k/se*) - (1, 2, 3) == 0", "holds");
    decides(state, "(1, 2, 3) > (0, 1, 3)", "undecided");
    decides(state, "(1, 2, 3) > 0 and (1, 1) < 2", "holds");
    decides(state, "all(k/gone/*) == (1, 2)", "untested");
}

static void a_chapter_is_said_once(void **state)
{
    struct uh_verdict v = first_verdict(*state, "in k:\n"
                                                "X-1 holds: a == 7\n"
                                                "  and all(set/*) > 0\n");
    assert_string_equal(v.word, "holds");
    assert_int_equal(v.from_count, 4);
    assert_string_equal(v.from[0], "k/a");
    assert_string_equal(v.from[1], "k/set/1");
    v = first_verdict(*state, "in k:\nX-1 holds: k/a == 7\n");
    assert_string_equal(v.word, "untested");
    v = first_verdict(*state, "in other:\nX-1 refuted: a == 1\n"
                              "in k:\nX-1 holds: a == 7\n");
    assert_string_equal(v.word, "untested");
    assert_string_equal(v.from[0], "other/a");
}

static void digests_are_equal_or_not(void **state)
{
    decides(state, "k/hash == k/hash", "holds");
    decides(state, "k/hash == k/hash2", "undecided");
    decides(state, "k/hash != k/hash2", "holds");
}

static void the_first_true_rule_decides(void **state)
{
    struct uh_verdict v =
        first_verdict(*state, "# a comment\n"
                              "X-1 refuted: k/a == 8\n"
                              "X-1 holds if \"seven is meant\":\n"
                              "    k/a == 7\n"
                              "    and k/half < 1\n"
                              "X-1 holds: k/a > 0\n");
    assert_string_equal(v.word, "holds if");
    assert_string_equal(v.condition, "seven is meant");
    assert_int_equal(v.from_count, 2);
    assert_string_equal(v.from[0], "k/a");
    assert_string_equal(v.from[1], "k/half");
}

static void an_absent_record_leaves_a_claim_untested(void **state)
{
    decides(state, "k/gone == 0", "untested");
    /* even where the rest alone would decide it */
    decides(state, "k/a == 7 or k/gone == 0", "untested");
    struct uh_verdict v = first_verdict(
        *state, "X-1 refuted: k/gone == 1\nX-1 holds: k/a == 7\n");
    assert_string_equal(v.word, "untested");
}

static void several_claims_keep_their_order(void **state)
{
    struct scene *scene = *state;
    struct uh_verdict *v;
    size_t count;
    struct uh_error error;
    assert_int_equal(uh_claims_decide("B-2 holds: 1 == 1\n"
                                      "B-1 holds: 1 == 2\n"
                                      "B-2 refuted: 1 == 1\n",
                                      scene->book, scene->arena, &v, &count,
                                      &error),
                     UH_OK);
    assert_int_equal(count, 2);
    assert_string_equal(v[0].claim, "B-2");
    assert_string_equal(v[0].word, "holds");
    assert_string_equal(v[1].claim, "B-1");
    assert_string_equal(v[1].word, "undecided");
}

static void what_cannot_be_read_is_one_line(void **state)
{
    struct scene *scene = *state;
    static const char *const wrong[] = {
        "X-1 holds k/a == 7\n",
        "X-1 perhaps: k/a == 7\n",
        "X-1 holds if: k/a == 7\n",
        "X-1 holds if \"\": k/a == 7\n",
        "X-1 holds: k/a ==\n",
        "X-1 holds: (k/a == 7\n",
        "X-1 holds: k/a == 7 7\n",
        "X-1 holds: k/a / 0 == 1\n",
        "X-1 holds: k/hash < 3\n",
        "X-1 holds: k/hash + 1 == 3\n",
        "X-1 holds: lower(k/rate\n",
        "X-1 holds: 1e999 == 1\n",
        "X-1 holds:\n",
        "X-1 holds: k/hash\n",
        "X-1 holds: k/round == 1.25\n", /* closer than its digits */
        "X-1 holds: all(k/set/*) == (1, 2)\n",
        "X-1 holds: (1, 2 == 2\n",
        "X-1 holds: (1, k/hash) == 2\n",
        "in k: X-1 holds: a == 7\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct uh_verdict *v;
        size_t count;
        struct uh_error error = {""};
        enum uh_status status = uh_claims_decide(
            wrong[i], scene->book, scene->arena, &v, &count, &error);
        if (status != UH_BAD_INPUT) {
            fail_msg("%s was accepted", wrong[i]);
        }
        assert_true(strlen(error.text) > 0);
        assert_null(strchr(error.text, '\n'));
        assert_non_null(strstr(error.text, "X-1"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_rational),
        cmocka_unit_test(comparisons_and_words_mean_what_they_say),
        cmocka_unit_test(intervals_are_read_at_their_ends),
        cmocka_unit_test(a_set_holds_if_each_member_does),
        cmocka_unit_test(values_in_brackets_meet_their_own),
        cmocka_unit_test(a_chapter_is_said_once),
        cmocka_unit_test(digests_are_equal_or_not),
        cmocka_unit_test(the_first_true_rule_decides),
        cmocka_unit_test(an_absent_record_leaves_a_claim_untested),
        cmocka_unit_test(several_claims_keep_their_order),
        cmocka_unit_test(what_cannot_be_read_is_one_line),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("claim", tests, open_scene,
                                       close_scene) != 0;
}
