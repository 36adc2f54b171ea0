/* test_step.c: the frame of a step, seen from outside. */
#include "file.h"
#include "step.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/uh-step-XXXXXX";

static const struct uh_step_about about = {"knots/try", "tries the frame",
                                           "nothing", "nothing else"};

enum act { RECORD, NEED, FILES, DATA, INTERRUPT };

/* Runs a step in a child with these arguments; its stderr is in said. */
static int step(enum act act, char *said, size_t room, char *const arguments[])
{
    char log[64];
    snprintf(log, sizeof log, "%s/log", folder);
    int argc = 0;
    char *argv[16] = {"try"};
    while (arguments[argc]) {
        argv[argc + 1] = arguments[argc];
        argc++;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(out, STDERR_FILENO);
        dup2(out, STDOUT_FILENO);
        struct uh_step *s = uh_step_begin(argc + 1, argv, &about);
        uh_ledger_record(uh_step_ledger(s),
                         &(struct uh_record){.id = "knots/one",
                                             .kind = UH_EXACT,
                                             .what = "one",
                                             .integer = 1});
        if (act == NEED) {
            puts(uh_step_need(s, "networks/train", "a.safetensors"));
        } else if (act == FILES) {
            const char *none = uh_step_file(s, "weight");
            printf("%s %s\n", uh_step_file(s, "weights"), none ? none : "-");
        } else if (act == DATA) {
            puts(uh_step_data(s));
        } else if (act == INTERRUPT) {
            struct uh_file *file = uh_file_create(uh_step_out(s, "late.tsv"));
            fputs("half", uh_file_stream(file));
            raise(SIGTERM);
        }
        exit(uh_step_end(s));
    }
    int status;
    waitpid(child, &status, 0);
    FILE *in = fopen(log, "r");
    size_t n = in ? fread(said, 1, room - 1, in) : 0;
    said[n] = '\0';
    fclose(in);
    unlink(log);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static char out[64], records[96];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(records, sizeof records, "%s/records.jsonl", out);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(records);
    rmdir(out);
    return rmdir(folder);
}

static size_t lines(const char *said)
{
    size_t n = 0;
    for (const char *s = said; *s; s++) {
        n += *s == '\n';
    }
    return n;
}

static void a_step_writes_its_records(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(step(RECORD, said, sizeof said,
                          (char *[]){"--profile", "quick", "--out", out,
                                     "--source", "feed", NULL}),
                     0);
    assert_string_equal(said, "");
    assert_true(uh_file_exists(records));
    unlink(records);
}

static void help_says_what_it_reads_and_writes(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(
        step(RECORD, said, sizeof said, (char *[]){"--help", NULL}), 0);
    assert_non_null(strstr(said, "tries the frame"));
    assert_non_null(strstr(said, "reads"));
    assert_non_null(strstr(said, "writes"));
    assert_false(uh_file_exists(records));
}

static void wrong_usage_is_one_line_and_status_two(void **state)
{
    (void)state;
    char *const cases[][8] = {
        {NULL},
        {"--profile", "quick", NULL},
        {"--out", out, NULL},
        {"--profile", "fast", "--out", out, NULL},
        {"--profile", "quick", "--out", out, "--jobs", "0", NULL},
        {"--profile", "quick", "--out", out, "--jobs", "two", NULL},
        {"--profile", "quick", "--out", out, "more", NULL},
        {"--profile", "quick", "--out", out, "--need", "x", NULL},
        {"--profile", "quick", "--out", out, "--file", "=x", NULL},
        {"--profile", "quick", "--out", out, "--odd", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char said[4096];
        assert_int_equal(step(RECORD, said, sizeof said, cases[i]), 2);
        assert_int_equal(lines(said), 1);
        assert_false(uh_file_exists(records));
    }
}

static void what_is_missing_is_one_line_and_status_one(void **state)
{
    (void)state;
    char said[4096];
    char *const plain[] = {"--profile", "full", "--out", out, NULL};
    assert_int_equal(step(NEED, said, sizeof said, plain), 1);
    assert_int_equal(lines(said), 1);
    assert_non_null(strstr(said, "networks/train"));
    assert_int_equal(step(DATA, said, sizeof said, plain), 1);
    assert_int_equal(lines(said), 1);
    assert_false(uh_file_exists(records));
    if (getuid() != 0) {
        assert_int_equal(step(RECORD, said, sizeof said,
                              (char *[]){"--profile", "quick", "--out",
                                         "/proc/no/such", NULL}),
                         1);
    }
}

static void a_need_is_found_where_the_option_says(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(step(NEED, said, sizeof said,
                          (char *[]){"--profile", "quick", "--out", out,
                                     "--need", "networks/train=/x/y", NULL}),
                     0);
    assert_string_equal(said, "/x/y/a.safetensors\n");
    unlink(records);
}

static void a_file_is_there_or_is_not(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(step(FILES, said, sizeof said,
                          (char *[]){"--profile", "quick", "--out", out,
                                     "--file", "weights=/x=y", NULL}),
                     0);
    assert_string_equal(said, "/x=y -\n");
    unlink(records);
}

static void a_signal_leaves_nothing_behind(void **state)
{
    (void)state;
    char said[4096];
    assert_int_equal(step(INTERRUPT, said, sizeof said,
                          (char *[]){"--profile", "quick", "--out", out, NULL}),
                     143);
    assert_false(uh_file_exists(records));
    assert_int_equal(rmdir(out), 0); /* empty */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_writes_its_records),
        cmocka_unit_test(help_says_what_it_reads_and_writes),
        cmocka_unit_test(wrong_usage_is_one_line_and_status_two),
        cmocka_unit_test(what_is_missing_is_one_line_and_status_one),
        cmocka_unit_test(a_need_is_found_where_the_option_says),
        cmocka_unit_test(a_file_is_there_or_is_not),
        cmocka_unit_test(a_signal_leaves_nothing_behind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("step", tests, make_folder,
                                       remove_folder) != 0;
}
