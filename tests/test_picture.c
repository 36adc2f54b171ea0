/* test_picture.c: PNG files. */
#include "scratch.h"

#include "file.h"
#include "picture.h"

#include <math.h>
#include <png.h>

enum { WIDTH = 5, HEIGHT = 3 };

static char folder[PATH];
static uint8_t pixels[WIDTH * HEIGHT * 3];

static int setup(void **state)
{
    scratch_make(folder);
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 37);
    }
    return arena_made(state);
}

static int teardown(void **state)
{
    scratch_remove(folder);
    return arena_gone(state);
}

/* Our picture of that many channels, written and read back as bytes. */
static uint8_t *written(struct uh_arena *arena, size_t channels, size_t *size)
{
    const struct uh_picture picture = {WIDTH, HEIGHT, channels, pixels};
    char path[2 * PATH];
    path_in(path, folder, "p.png");
    uh_picture_write(path, &picture);
    uint8_t *bytes;
    assert_int_equal(uh_file_read(path, 0, arena, &bytes, size, NULL), UH_OK);
    return bytes;
}

static void picture_round_trip_keeps_every_pixel(void **state)
{
    char path[2 * PATH];
    path_in(path, folder, "p.png");
    for (size_t channels = 1; channels <= 3; channels += 2) {
        size_t size;
        struct uh_picture p;
        written(*state, channels, &size);
        assert_int_equal(uh_picture_read(path, *state, &p, NULL), UH_OK);
        assert_int_equal(p.width, WIDTH);
        assert_int_equal(p.height, HEIGHT);
        assert_int_equal(p.channels, channels);
        assert_memory_equal(p.pixels, pixels, WIDTH * HEIGHT * channels);
    }
}

static void picture_written_twice_has_the_same_bytes(void **state)
{
    size_t m, n;
    uint8_t *a = written(*state, 3, &m), *b = written(*state, 3, &n);
    assert_int_equal(m, n);
    assert_memory_equal(a, b, n);
    for (size_t i = 0; i + 4 <= n; i++) {
        assert_memory_not_equal(a + i, "tIME", 4);
        assert_memory_not_equal(a + i, "tEXt", 4);
    }
}

static void assert_refused(struct uh_arena *arena, size_t size,
                           const uint8_t *bytes, const char *line)
{
    struct uh_error error = {""};
    struct uh_picture p = {.width = 77};
    assert_int_equal(uh_picture_parse(size, bytes, "f", arena, &p, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, line);
    assert_int_equal(p.width, 77);
}

static void picture_that_is_damaged_is_refused(void **state)
{
    size_t size;
    uint8_t *bytes = written(*state, 3, &size);
    assert_refused(*state, 4, bytes,
                   "PNG signature: expected \\x89PNG, found something else "
                   "(f)");
    assert_refused(*state, size - 20, bytes,
                   "PNG: expected a valid file, found: the end of the file "
                   "(f)");
    assert_refused(*state, size + 1, bytes,
                   "PNG: expected nothing behind the picture, found 1 bytes "
                   "(f)");
    bytes[19] ^= 1;
    assert_refused(*state, size, bytes,
                   "PNG: expected a valid file, found: IHDR: CRC error (f)");
}

/* A picture that libpng writes for us in another kind. */
static void picture_of_another_kind_is_refused(void **state)
{
    static const struct {
        png_uint_32 format;
        const char *line;
    } kind[] = {
        {PNG_FORMAT_RGBA, "PNG kind: expected 8-bit gray or RGB without "
                          "interlacing, found transparency (f)"},
        {PNG_FORMAT_LINEAR_Y, "PNG kind: expected 8-bit gray or RGB without "
                              "interlacing, found another depth (f)"},
        {PNG_FORMAT_RGB_COLORMAP, "PNG kind: expected 8-bit gray or RGB "
                                  "without interlacing, found a palette (f)"},
    };
    static const uint8_t source[64 * 64];
    static const uint8_t colors[256 * 3];
    for (size_t i = 0; i < 3; i++) {
        png_image image = {.version = PNG_IMAGE_VERSION,
                           .width = 4,
                           .height = 4,
                           .format = kind[i].format,
                           .colormap_entries = 256};
        uint8_t bytes[4096];
        png_alloc_size_t size = sizeof bytes;
        assert_true(png_image_write_to_memory(&image, bytes, &size, 0, source,
                                              0, colors));
        assert_refused(*state, size, bytes, kind[i].line);
    }
}

static void put_length(uint8_t *bytes, size_t value)
{
    for (size_t i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(value >> 8 * (3 - i) & 255);
    }
}

/* A header of 32768 x 32768 on a file of some hundred bytes asks for nothing. */
static void picture_with_an_impossible_size_is_refused(void **state)
{
    size_t size;
    uint8_t *bytes = written(*state, 3, &size);
    put_length(bytes + 16, 32768);
    put_length(bytes + 20, 32768);
    put_length(bytes + 29, crc32(0, bytes + 12, 17));
    char line[256];
    snprintf(line, sizeof line,
             "PNG size: expected 3221225472 bytes of pixels, found %zu packed, "
             "which hold at most 1032 times as many (f)",
             size);
    assert_refused(*state, size, bytes, line);
    put_length(bytes + 16, 32769);
    put_length(bytes + 29, crc32(0, bytes + 12, 17));
    assert_refused(*state, size, bytes,
                   "PNG: expected a valid file, found: Invalid IHDR data (f)");
}

static void picture_survives_every_prefix_and_many_mutations(void **state)
{
    size_t size;
    uint8_t *bytes = written(*state, 3, &size);
    struct uh_picture p;
    struct uh_error error;
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(uh_picture_parse(n, bytes, "f", *state, &p, &error),
                         UH_BAD_INPUT);
    }
    uint64_t seed = 3;
    size_t refused = 0;
    for (size_t k = 0; k < 20000; k++) {
        size_t at = next_number(&seed) % size;
        uint8_t change = (uint8_t)(1 + next_number(&seed) % 255);
        bytes[at] ^= change;
        struct uh_mark mark = uh_arena_open(*state);
        refused +=
            uh_picture_parse(size, bytes, "f", *state, &p, &error) != UH_OK;
        uh_arena_release(*state, mark);
        bytes[at] ^= change;
    }
    assert_int_equal(refused, 20000); /* every byte is under a checksum */
}

static void picture_byte_rounds_to_nearest_and_cuts_off(void **state)
{
    (void)state;
    assert_int_equal(uh_picture_byte(0), 0);
    assert_int_equal(uh_picture_byte(1), 255);
    assert_int_equal(uh_picture_byte(-3), 0);
    assert_int_equal(uh_picture_byte(INFINITY), 255);
    assert_int_equal(uh_picture_byte(NAN), 0);
    assert_int_equal(uh_picture_byte(0.5f), 128); /* 127.5, to even */
    for (int i = 0; i < 256; i++) {
        assert_int_equal(uh_picture_byte((float)i / 255.0f), i);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(picture_round_trip_keeps_every_pixel),
        T(picture_written_twice_has_the_same_bytes),
        T(picture_that_is_damaged_is_refused),
        T(picture_of_another_kind_is_refused),
        T(picture_with_an_impossible_size_is_refused),
        T(picture_survives_every_prefix_and_many_mutations),
        T(picture_byte_rounds_to_nearest_and_cuts_off),
    };
    return cmocka_run_group_tests_name("picture", tests, NULL, NULL) != 0;
}
