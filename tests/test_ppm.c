/* test_ppm.c: the reader of PPM files. */
#include "scratch.h"

#include "ppm.h"

static enum uh_status parse(const char *text, size_t size,
                            struct uh_arena *arena, struct uh_picture *p,
                            struct uh_error *error)
{
    return uh_ppm_parse(size, (const uint8_t *)text, "f", arena, p, error);
}

static void a_picture_is_its_bytes_row_by_row(void **state)
{
    static const char text[] = "P6\n3 2\n255\n\0\1\00245678\xff"
                               "abcdefghi";
    struct uh_picture p;
    assert_int_equal(parse(text, sizeof text - 1, *state, &p, NULL), UH_OK);
    assert_int_equal(p.width, 3);
    assert_int_equal(p.height, 2);
    assert_int_equal(p.channels, 3);
    assert_memory_equal(p.pixels, text + sizeof text - 1 - 18, 18);
}

/* The byte behind the largest value is one blank, and pixels may look like
 * blanks or comments. */
static void comments_and_blanks_are_passed_over_and_pixels_are_not(void **state)
{
    static const char text[] = "P6#x\n #y 7\r\t1 \v# 9 9\n 1\f255\n\n# ";
    struct uh_picture p;
    assert_int_equal(parse(text, sizeof text - 1, *state, &p, NULL), UH_OK);
    assert_int_equal(p.width, 1);
    assert_int_equal(p.height, 1);
    assert_memory_equal(p.pixels, "\n# ", 3);
}

static void what_is_no_picture_is_one_line(void **state)
{
    static const char *const files[][2] = {
        {"", "PPM: expected P6, found something else (f)"},
        {"P", "PPM: expected P6, found something else (f)"},
        {"P5\n1 1\n255\nabc", "PPM: expected P6, found something else (f)"},
        {"P61 1\n255\nabc", "PPM header: expected width, height and largest "
                            "value, found something else (f)"},
        {"P6\n1 1\n255", "PPM header: expected width, height and largest "
                         "value, found something else (f)"},
        {"P6\n1 -1\n255\nabc", "PPM header: expected width, height and largest "
                               "value, found something else (f)"},
        {"P6\n1 1 255abc", "PPM header: expected width, height and largest "
                           "value, found something else (f)"},
        {"P6\n1 1 # 255\nabc", "PPM header: expected width, height and largest "
                               "value, found something else (f)"},
        {"P6\n1000000000 1\n255\nabc",
         "PPM header: expected width, height and largest value, found "
         "something else (f)"},
        {"P6\n0 1\n255\n", "PPM size: expected 1 to 32768, found 0 x 1 (f)"},
        {"P6\n1 32769\n255\nabc",
         "PPM size: expected 1 to 32768, found 1 x 32769 (f)"},
        {"P6\n1 1\n65535\nabcdef",
         "PPM largest value: expected 255, found 65535 (f)"},
        {"P6\n1 1\n15\nabc", "PPM largest value: expected 255, found 15 (f)"},
        {"P6\n1 2\n255\nabcde", "PPM pixels: expected 6 bytes, found 5 (f)"},
        {"P6\n1 2\n255\nabcdefg", "PPM pixels: expected 6 bytes, found 7 (f)"},
        {"P6\n32768 32768\n255\nabc",
         "PPM pixels: expected 3221225472 bytes, found 3 (f)"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct uh_picture p = {.width = 77};
        struct uh_error error = {""};
        const char *text = files[i][0];
        assert_int_equal(parse(text, strlen(text), *state, &p, &error),
                         UH_BAD_INPUT);
        assert_string_equal(error.text, files[i][1]);
        assert_int_equal(p.width, 77);
    }
}

static void a_file_is_read_or_named(void **state)
{
    char folder[PATH], path[2 * PATH];
    struct uh_picture p;
    struct uh_error error = {""};
    scratch_make(folder);
    put_file(folder, "a.ppm", "P6 1 1 255\nxyz", 14);
    path_in(path, folder, "a.ppm");
    assert_int_equal(uh_ppm_read(path, *state, &p, &error), UH_OK);
    assert_memory_equal(p.pixels, "xyz", 3);
    path_in(path, folder, "b.ppm");
    assert_int_equal(uh_ppm_read(path, *state, &p, &error), UH_IO);
    assert_non_null(strstr(error.text, "b.ppm"));
    scratch_remove(folder);
}

static void the_photographs_are_256_by_256(void **state)
{
    if (!data_folder()) {
        skip();
    }
    static const char *const photo[] = {"astronaut", "chelsea", "coffee", "dog",
                                        "rocket"};
    for (size_t i = 0; i < 5; i++) {
        char path[2 * PATH];
        struct uh_picture p;
        struct uh_error error = {""};
        snprintf(path, sizeof path, "%s/imagenet/photos/%s.ppm", data_folder(),
                 photo[i]);
        if (uh_ppm_read(path, *state, &p, &error) != UH_OK) {
            fail_msg("%s", error.text);
        }
        assert_int_equal(p.width, 256);
        assert_int_equal(p.height, 256);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_its_bytes_row_by_row),
        cmocka_unit_test(
            comments_and_blanks_are_passed_over_and_pixels_are_not),
        cmocka_unit_test(what_is_no_picture_is_one_line),
        cmocka_unit_test(a_file_is_read_or_named),
        cmocka_unit_test(the_photographs_are_256_by_256),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, arena_made, arena_gone) ? 1 : 0;
}
