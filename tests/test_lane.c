/* test_lane.c: tests of lib/lane.[ch].  Each promise is broken in a child
 * process, which must end with status 1 and one line. */
#include "lane.h"

#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef __x86_64__
#include <xmmintrin.h>
enum { FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x0040 };
static void flush_results(void)
{
    _mm_setcsr(_mm_getcsr() | FLUSH_RESULTS);
}
static void flush_operands(void)
{
    _mm_setcsr(_mm_getcsr() | FLUSH_OPERANDS);
}
/* The mode of SSE alone, which fegetround() on x86 does not see: it reads the
 * control word of the x87 unit. */
static void round_down_in_sse(void)
{
    _mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x2000u);
}
static void round_up_in_sse(void)
{
    _mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x4000u);
}
#endif

static void change_nothing(void)
{
}
static void round_up(void)
{
    fesetround(FE_UPWARD);
}
static void round_down(void)
{
    fesetround(FE_DOWNWARD);
}
static void round_to_zero(void)
{
    fesetround(FE_TOWARDZERO);
}

/* Runs the guard after a change in a child; returns its exit status, or -1
 * when it did not exit, and what it wrote to stderr. */
static int guarded(void (*change)(void), char text[1024])
{
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        dup2(ends[1], 2);
        change();
        uh_lane_check();
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    ssize_t got;
    while ((got = read(ends[0], text + size, 1023 - size)) > 0)
        size += (size_t)got;
    text[size] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refused_about(void (*change)(void), const char *word)
{
    char text[1024];
    assert_int_equal(guarded(change, text), 1);
    char *end = strchr(text, '\n');
    assert_non_null(end);
    assert_int_equal(end[1], '\0');
    assert_non_null(strstr(text, word));
    assert_non_null(strstr(text, "expected"));
    assert_non_null(strstr(text, "found"));
}

static void guard_passes_in_silence_on_a_good_machine(void **state)
{
    (void)state;
    char text[1024];
    assert_int_equal(guarded(change_nothing, text), 0);
    assert_string_equal(text, "");
}

static void guard_refuses_other_rounding_modes(void **state)
{
    (void)state;
    refused_about(round_up, "rounding mode");
    refused_about(round_down, "rounding mode");
    refused_about(round_to_zero, "rounding mode");
}

static void guard_refuses_rounding_that_fegetround_misses(void **state)
{
    (void)state;
#ifdef __x86_64__
    refused_about(round_down_in_sse, "nearest");
    refused_about(round_up_in_sse, "nearest");
#else
    skip();
#endif
}

static void guard_refuses_flushed_denormals(void **state)
{
    (void)state;
#ifdef __x86_64__
    refused_about(flush_results, "as result");
    refused_about(flush_operands, "as operand");
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard_passes_in_silence_on_a_good_machine),
        cmocka_unit_test(guard_refuses_other_rounding_modes),
        cmocka_unit_test(guard_refuses_rounding_that_fegetround_misses),
        cmocka_unit_test(guard_refuses_flushed_denormals),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
