/* test_idx.c: the readers of IDX and of gzip'd bytes. */
#include "scratch.h"

#include "digest.h"
#include "gzip.h"
#include "idx.h"

static const uint8_t SMALL[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,  0,  0,
                                0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void assert_refused(struct uh_arena *arena, size_t size,
                           const uint8_t *bytes, const char *line)
{
    struct uh_error error = {""};
    struct uh_idx idx = {.rank = 77};
    assert_int_equal(uh_idx_parse(size, bytes, "f", arena, &idx, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, line);
    assert_int_equal(idx.rank, 77);
}

static void idx_reads_what_its_header_says(void **state)
{
    struct uh_idx idx;
    assert_int_equal(uh_idx_parse(sizeof SMALL, SMALL, "f", *state, &idx, NULL),
                     UH_OK);
    assert_int_equal(idx.rank, 3);
    assert_int_equal(idx.dims[0], 2);
    assert_int_equal(idx.dims[1], 2);
    assert_int_equal(idx.dims[2], 3);
    assert_int_equal(idx.dims[3], 1);
    assert_int_equal(idx.count, 12);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(idx.data[i], i + 1);
    }
    assert_int_equal(idx.content_size, sizeof SMALL);
}

static void idx_packed_equals_plain(void **state)
{
    size_t size;
    uint8_t *gz = packed(SMALL, sizeof SMALL, &size);
    struct uh_idx plain, idx;
    assert_int_equal(
        uh_idx_parse(sizeof SMALL, SMALL, "f", *state, &plain, NULL), UH_OK);
    assert_int_equal(uh_idx_parse(size, gz, "f", *state, &idx, NULL), UH_OK);
    assert_int_equal(idx.count, plain.count);
    assert_memory_equal(idx.data, plain.data, plain.count);
    assert_string_equal(idx.digest, plain.digest);
    char digest[65];
    uh_digest_of(SMALL, sizeof SMALL, digest);
    assert_string_equal(idx.digest, digest);
    free(gz);
}

static void idx_refuses_a_truncated_file(void **state)
{
    assert_refused(*state, sizeof SMALL - 1, SMALL,
                   "IDX file: expected 28 bytes as its header says, found 27 "
                   "(f)");
    assert_refused(*state, 3, SMALL,
                   "IDX header: expected at least 4 bytes, found 3 (f)");
    assert_refused(*state, 15, SMALL,
                   "IDX header: expected 16 bytes, found 15 (f)");
    assert_refused(*state, 0, SMALL,
                   "IDX header: expected at least 4 bytes, found 0 (f)");
}

static void idx_refuses_bytes_behind_the_data(void **state)
{
    uint8_t longer[sizeof SMALL + 1] = {0};
    memcpy(longer, SMALL, sizeof SMALL);
    assert_refused(*state, sizeof longer, longer,
                   "IDX file: expected 28 bytes as its header says, found 29 "
                   "(f)");
}

static void idx_refuses_a_wrong_magic(void **state)
{
    uint8_t bytes[sizeof SMALL];
    memcpy(bytes, SMALL, sizeof SMALL);
    bytes[2] = 13;
    assert_refused(*state, sizeof bytes, bytes,
                   "IDX magic: expected 0 0 8 (unsigned bytes), found 0 0 13 "
                   "(f)");
    bytes[2] = 8;
    bytes[3] = 0;
    assert_refused(*state, sizeof bytes, bytes,
                   "IDX rank: expected 1 to 4, found 0 (f)");
    bytes[3] = 5;
    assert_refused(*state, sizeof bytes, bytes,
                   "IDX rank: expected 1 to 4, found 5 (f)");
}

static void idx_refuses_dimensions_that_overflow(void **state)
{
    uint8_t huge[20 + 1] = {0, 0, 8, 4};
    memset(huge + 4, 0xff, 16);
    assert_refused(*state, sizeof huge, huge,
                   "IDX axes: expected a product of at most "
                   "9223372036854775807, found 4294967295 times 4294967295 "
                   "(f)");
    uint8_t large[12 + 1] = {0, 0, 8, 2, 0x40, 0, 0, 0, 0x40};
    assert_refused(*state, sizeof large, large,
                   "IDX file: expected 1152921504606846988 bytes as its header "
                   "says, found 13 (f)");
    uint8_t none[12] = {0, 0, 8, 2, 0, 0, 0, 0, 0, 0, 0, 1};
    assert_refused(*state, sizeof none, none,
                   "IDX axis 0: expected at least 1, found 0 (f)");
}

/* The memory that a packed file asks for is bounded by its own size: a
 * gigantic claim is refused before anything is unpacked. */
static void idx_refuses_a_packed_claim_that_cannot_be(void **state)
{
    uint8_t large[12 + 1] = {0, 0, 8, 2, 0x40, 0, 0, 0, 0x40};
    size_t size;
    uint8_t *gz = packed(large, sizeof large, &size);
    char line[256];
    snprintf(line, sizeof line,
             "IDX file: expected 1152921504606846988 bytes as its header says, "
             "found %zu packed, which hold at most 1032 times as many (f)",
             size);
    assert_refused(*state, size, gz, line);
    free(gz);
}

static void gzip_that_ends_early_is_refused(void **state)
{
    size_t size;
    uint8_t *gz = packed(SMALL, sizeof SMALL, &size);
    char line[128];
    snprintf(line, sizeof line,
             "gzip: expected the end of the packed data, found the end of the "
             "file after %zu bytes (f)",
             size - 1);
    assert_refused(*state, size - 1, gz, line);
    snprintf(line, sizeof line,
             "gzip: expected the end of the packed data, found the end of the "
             "file after %d bytes (f)",
             15);
    assert_refused(*state, 15, gz, line);
    free(gz);
}

static void gzip_with_bytes_behind_it_is_refused(void **state)
{
    size_t size;
    uint8_t *gz = packed(SMALL, sizeof SMALL, &size);
    gz = realloc(gz, size + 2);
    gz[size] = gz[size + 1] = 0;
    assert_refused(*state, size + 2, gz,
                   "gzip: expected nothing behind the packed data, found 2 "
                   "bytes (f)");
    free(gz);
}

static void gzip_with_a_wrong_checksum_is_refused(void **state)
{
    size_t size;
    uint8_t *gz = packed(SMALL, sizeof SMALL, &size);
    gz[size - 8] ^= 1;
    assert_refused(*state, size, gz,
                   "gzip: expected valid packed data, found: incorrect data "
                   "check (f)");
    gz[size - 8] ^= 1;
    gz[size - 1] ^= 1;
    assert_refused(*state, size, gz,
                   "gzip: expected valid packed data, found: incorrect length "
                   "check (f)");
    free(gz);
}

static void gzip_stops_at_the_size_of_the_header(void **state)
{
    uint8_t longer[4096] = {0};
    memcpy(longer, SMALL, sizeof SMALL);
    size_t size;
    uint8_t *gz = packed(longer, sizeof longer, &size);
    assert_refused(*state, size, gz,
                   "gzip: expected at most 28 unpacked bytes, found more (f)");
    free(gz);
    gz = packed(longer, 27, &size);
    assert_refused(*state, size, gz,
                   "gzip: expected 28 unpacked bytes, found 27 (f)");
    free(gz);
}

/* 16 MB of zeros pack into 16 kB: a limit of one byte must not unpack them. */
static void gzip_size_stops_above_its_limit(void **state)
{
    (void)state;
    const size_t big = 1 << 24;
    uint8_t *zeros = calloc(big, 1);
    size_t size, unpacked = 7;
    uint8_t *gz = packed(zeros, big, &size);
    assert_true(size < big / 900 && size >= big / UH_GZIP_RATIO);
    assert_int_equal(uh_gzip_size(size, gz, "f", 1, &unpacked, NULL),
                     UH_BAD_INPUT);
    assert_int_equal(unpacked, 7);
    assert_int_equal(uh_gzip_size(size, gz, "f", big, &unpacked, NULL), UH_OK);
    assert_int_equal(unpacked, big);
    assert_int_equal(uh_gzip_size(size, gz, "f", big - 1, &unpacked, NULL),
                     UH_BAD_INPUT);
    free(gz);
    free(zeros);
}

/* No prefix of a file is a file, packed or plain, and no mutation crashes. */
static void idx_survives_every_prefix_and_many_mutations(void **state)
{
    size_t size;
    uint8_t *gz = packed(SMALL, sizeof SMALL, &size);
    struct uh_idx idx;
    struct uh_error error;
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(uh_idx_parse(n, gz, "f", *state, &idx, &error),
                         UH_BAD_INPUT);
    }
    for (size_t n = 0; n < sizeof SMALL; n++) {
        assert_int_equal(uh_idx_parse(n, SMALL, "f", *state, &idx, &error),
                         UH_BAD_INPUT);
    }
    uint64_t seed = 1;
    size_t refused = 0;
    for (size_t k = 0; k < 20000; k++) {
        size_t at = next_number(&seed) % size;
        uint8_t old = gz[at];
        gz[at] = (uint8_t)next_number(&seed);
        struct uh_mark mark = uh_arena_open(*state);
        refused += uh_idx_parse(size, gz, "f", *state, &idx, &error) != UH_OK;
        uh_arena_release(*state, mark);
        gz[at] = old;
    }
    assert_true(refused > 10000);
    free(gz);
}

static void idx_read_says_which_file_is_missing(void **state)
{
    struct uh_idx idx;
    struct uh_error error;
    assert_int_equal(uh_idx_read("/nowhere/x", *state, &idx, &error), UH_IO);
    assert_string_equal(error.text, "file: expected to read it, found: No such "
                                    "file or directory (/nowhere/x)");
}

static void mnist_files_have_their_published_digests(void **state)
{
    static const char *const file[][2] = {
        {"train-images-idx3-ubyte.gz",
         "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"},
        {"train-labels-idx1-ubyte.gz",
         "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"},
        {"t10k-images-idx3-ubyte.gz",
         "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"},
        {"t10k-labels-idx1-ubyte.gz",
         "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
    };
    if (!data_folder()) {
        skip();
    }
    for (size_t i = 0; i < 4; i++) {
        char path[2 * PATH];
        snprintf(path, sizeof path, "%s/mnist/%s", data_folder(), file[i][0]);
        struct uh_idx idx;
        struct uh_error error = {""};
        if (uh_idx_read(path, *state, &idx, &error) != UH_OK) {
            fail_msg("%s", error.text);
        }
        assert_string_equal(idx.digest, file[i][1]);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, arena_made, arena_gone)
    const struct CMUnitTest tests[] = {
        T(idx_reads_what_its_header_says),
        T(idx_packed_equals_plain),
        T(idx_refuses_a_truncated_file),
        T(idx_refuses_bytes_behind_the_data),
        T(idx_refuses_a_wrong_magic),
        T(idx_refuses_dimensions_that_overflow),
        T(idx_refuses_a_packed_claim_that_cannot_be),
        T(gzip_that_ends_early_is_refused),
        T(gzip_with_bytes_behind_it_is_refused),
        T(gzip_with_a_wrong_checksum_is_refused),
        T(gzip_stops_at_the_size_of_the_header),
        T(gzip_size_stops_above_its_limit),
        T(idx_survives_every_prefix_and_many_mutations),
        T(idx_read_says_which_file_is_missing),
        T(mnist_files_have_their_published_digests),
    };
    return cmocka_run_group_tests_name("idx", tests, NULL, NULL) != 0;
}
