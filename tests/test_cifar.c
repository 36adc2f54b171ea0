/* test_cifar.c: the reader of CIFAR-10 records. */
#include "scratch.h"

#include "cifar.h"
#include "digest.h"

enum { RECORDS = 3 };
static uint8_t file[RECORDS * UH_CIFAR_RECORD];

static int setup(void **state)
{
    for (size_t i = 0; i < sizeof file; i++) {
        file[i] = (uint8_t)(i * 7 + i / 251);
    }
    for (size_t k = 0; k < RECORDS; k++) {
        file[k * UH_CIFAR_RECORD] = (uint8_t)(9 - k);
    }
    return arena_made(state);
}

static void assert_refused(struct uh_arena *arena, size_t size,
                           const uint8_t *bytes, const char *line)
{
    struct uh_error error = {""};
    struct uh_cifar cifar = {.count = 77};
    assert_int_equal(uh_cifar_parse(size, bytes, "f", arena, &cifar, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, line);
    assert_int_equal(cifar.count, 77);
}

static void cifar_packed_equals_plain(void **state)
{
    size_t size;
    uint8_t *gz = packed(file, sizeof file, &size);
    struct uh_cifar plain, cifar;
    assert_int_equal(
        uh_cifar_parse(sizeof file, file, "f", *state, &plain, NULL), UH_OK);
    assert_int_equal(uh_cifar_parse(size, gz, "f", *state, &cifar, NULL),
                     UH_OK);
    assert_int_equal(plain.count, RECORDS);
    assert_int_equal(cifar.count, RECORDS);
    assert_memory_equal(plain.records, file, sizeof file);
    assert_memory_equal(cifar.records, file, sizeof file);
    assert_string_equal(cifar.digest, plain.digest);
    free(gz);
}

static void cifar_refuses_a_size_that_is_no_multiple_of_3073(void **state)
{
    assert_refused(*state, sizeof file - 1, file,
                   "CIFAR file: expected 1 to 60000 records of 3073 bytes, "
                   "found 9218 bytes (f)");
    assert_refused(*state, 3074, file,
                   "CIFAR file: expected 1 to 60000 records of 3073 bytes, "
                   "found 3074 bytes (f)");
    assert_refused(*state, 0, file,
                   "CIFAR file: expected 1 to 60000 records of 3073 bytes, "
                   "found 0 bytes (f)");
    size_t size;
    uint8_t *gz = packed(file, 3072, &size);
    assert_refused(*state, size, gz,
                   "CIFAR file: expected 1 to 60000 records of 3073 bytes, "
                   "found 3072 bytes (f)");
    free(gz);
}

static void cifar_refuses_a_label_beyond_9(void **state)
{
    file[2 * UH_CIFAR_RECORD] = 10;
    assert_refused(*state, sizeof file, file,
                   "CIFAR label of record 2: expected 0 to 9, found 10 (f)");
}

static void cifar_refuses_a_gzip_that_ends_early(void **state)
{
    size_t size;
    uint8_t *gz = packed(file, sizeof file, &size);
    char line[128];
    snprintf(line, sizeof line,
             "gzip: expected the end of the packed data, found the end of the "
             "file after %zu bytes (f)",
             size / 2);
    assert_refused(*state, size / 2, gz, line);
    free(gz);
}

static void cifar_bounds_what_it_unpacks(void **state)
{
    const size_t big = 60001 * (size_t)UH_CIFAR_RECORD;
    uint8_t *zeros = calloc(big, 1);
    size_t size;
    uint8_t *gz = packed(zeros, big, &size);
    assert_refused(*state, size, gz,
                   "gzip: expected at most 184380000 unpacked bytes, found "
                   "more (f)");
    free(gz);
    free(zeros);
}

static void cifar_records_at_hand_are_the_published_ones(void **state)
{
    static const uint8_t red[] = {59,  43,  50,  68,  98,  119, 139,
                                  145, 149, 149, 131, 125, 142, 144,
                                  137, 129, 137, 134, 124};
    static const uint8_t label[] = {6, 9, 9, 4, 1, 1, 2, 7, 8,
                                    3, 4, 7, 7, 2, 9, 9, 9, 3};
    if (!data_folder()) {
        skip();
    }
    char path[2 * PATH];
    snprintf(path, sizeof path, "%s/cifar10/data_batch_1_first4000.bin.gz",
             data_folder());
    if (access(path, R_OK) != 0) {
        snprintf(path, sizeof path, "%s/cifar10/data_batch_1.bin",
                 data_folder());
    }
    struct uh_cifar cifar;
    struct uh_error error = {""};
    if (uh_cifar_read(path, *state, &cifar, &error) != UH_OK) {
        fail_msg("%s", error.text);
    }
    assert_memory_equal(cifar.records + 1, red, sizeof red);
    for (size_t i = 0; i < sizeof label; i++) {
        assert_int_equal(cifar.records[i * UH_CIFAR_RECORD], label[i]);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, arena_gone)
    const struct CMUnitTest tests[] = {
        T(cifar_packed_equals_plain),
        T(cifar_refuses_a_size_that_is_no_multiple_of_3073),
        T(cifar_refuses_a_label_beyond_9),
        T(cifar_refuses_a_gzip_that_ends_early),
        T(cifar_bounds_what_it_unpacks),
        T(cifar_records_at_hand_are_the_published_ones),
    };
    return cmocka_run_group_tests_name("cifar", tests, NULL, NULL) != 0;
}
