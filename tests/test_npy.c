/* test_npy.c: arrays as numpy saves them. */
#include "scratch.h"

#include "npy.h"

#include <float.h>
#include <math.h>

static char folder[PATH];

static int setup(void **state)
{
    scratch_make(folder);
    return arena_made(state);
}

static int teardown(void **state)
{
    scratch_remove(folder);
    return arena_gone(state);
}

/* A file of that version, header text and data, padded to 64 bytes. */
static size_t make_npy(uint8_t out[1024], int version, const char *header,
                       const void *data, size_t size)
{
    size_t length = strlen(header);
    size_t whole = (10 + length + 1 + 63) / 64 * 64;
    memset(out, ' ', whole);
    memcpy(out, "\x93NUMPY", 6);
    out[6] = (uint8_t)version;
    out[7] = 0;
    out[8] = (uint8_t)((whole - 10) & 255);
    out[9] = (uint8_t)((whole - 10) >> 8);
    memcpy(out + 10, header, length);
    out[whole - 1] = '\n';
    memcpy(out + whole, data, size);
    return whole + size;
}

static void assert_refused_bytes(struct uh_arena *arena, size_t size,
                                 const uint8_t *bytes, const char *line)
{
    struct uh_error error = {""};
    struct uh_npy npy = {.rank = 77};
    assert_int_equal(uh_npy_parse(size, bytes, "f", arena, &npy, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, line);
    assert_int_equal(npy.rank, 77);
}

static void assert_refused(struct uh_arena *arena, const char *header,
                           size_t data, const char *line)
{
    uint8_t bytes[1024];
    static const uint8_t zeros[256];
    size_t size = make_npy(bytes, 1, header, zeros, data);
    assert_refused_bytes(arena, size, bytes, line);
}

#define HEADER(type, order, shape)                                             \
    "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }"

static void npy_round_trip_keeps_every_bit(void **state)
{
    const float f32[6] = {1.5f, -0.0f, FLT_TRUE_MIN, FLT_MAX, NAN, -INFINITY};
    const double f64[6] = {1.1,     -0.0,        DBL_TRUE_MIN,
                           DBL_MAX, (double)NAN, (double)-INFINITY};
    const size_t dims[3] = {2, 1, 3};
    char a[2 * PATH], b[2 * PATH];
    path_in(a, folder, "a.npy");
    path_in(b, folder, "b.npy");
    uh_npy_write_f32(a, 3, dims, f32);
    uh_npy_write_f64(b, 3, dims, f64);
    struct uh_npy npy;
    assert_int_equal(uh_npy_read(a, *state, &npy, NULL), UH_OK);
    assert_int_equal(npy.rank, 3);
    assert_int_equal(npy.dims[0], 2);
    assert_int_equal(npy.dims[2], 3);
    assert_int_equal(npy.dims[3], 1);
    assert_int_equal(npy.count, 6);
    assert_null(npy.f64);
    assert_memory_equal(npy.f32, f32, sizeof f32);
    assert_ptr_equal(uh_npy_floats(&npy, *state), npy.f32);
    assert_int_equal(uh_npy_read(b, *state, &npy, NULL), UH_OK);
    assert_null(npy.f32);
    assert_memory_equal(npy.f64, f64, sizeof f64);
    const float *rounded = uh_npy_floats(&npy, *state);
    assert_true(rounded[0] == 1.1f && rounded[2] == 0 && isinf(rounded[3]));
    assert_int_equal(files_in(folder), 2);
}

static void npy_reads_a_single_number_and_an_empty_array(void **state)
{
    uint8_t bytes[1024];
    const double x = 2.5;
    struct uh_npy npy;
    size_t size = make_npy(bytes, 1, HEADER("<f8", "False", "()"), &x, 8);
    assert_int_equal(uh_npy_parse(size, bytes, "f", *state, &npy, NULL), UH_OK);
    assert_int_equal(npy.rank, 0);
    assert_int_equal(npy.count, 1);
    assert_true(npy.f64[0] == 2.5);
    size = make_npy(bytes, 1, HEADER("<f4", "False", "(0, 3)"), &x, 0);
    assert_int_equal(uh_npy_parse(size, bytes, "f", *state, &npy, NULL), UH_OK);
    assert_int_equal(npy.count, 0);
    assert_non_null(npy.f32);
}

static void npy_takes_the_keys_in_any_order(void **state)
{
    uint8_t bytes[1024];
    const float x[2] = {1, 2};
    struct uh_npy npy;
    size_t size = make_npy(
        bytes, 1, "{ \"shape\":(2 ,),'fortran_order':False ,\"descr\" : '<f4'}",
        x, 8);
    assert_int_equal(uh_npy_parse(size, bytes, "f", *state, &npy, NULL), UH_OK);
    assert_int_equal(npy.rank, 1);
    assert_true(npy.f32[1] == 2);
}

static void npy_of_another_type_is_refused_with_advice(void **state)
{
    assert_refused(*state, HEADER("|u1", "False", "(2, 2)"), 4,
                   ".npy type: expected <f4 or <f8, found |u1; save "
                   "x.astype('<f4') / 255 for pixels (f)");
    assert_refused(*state, HEADER(">f4", "False", "(2, 2)"), 16,
                   ".npy type: expected <f4 or <f8, found >f4; save "
                   "x.astype('<f4') (f)");
    assert_refused(*state, HEADER("<i8", "False", "(2,)"), 16,
                   ".npy type: expected <f4 or <f8, found <i8; save "
                   "x.astype('<f4') (f)");
    assert_refused(*state,
                   "{'descr': [('a', '<f4')], 'fortran_order': False, "
                   "'shape': (2,), }",
                   8,
                   ".npy type: expected <f4 or <f8, found a type with fields; "
                   "save one field as numbers (f)");
}

static void npy_in_fortran_order_is_refused_with_advice(void **state)
{
    assert_refused(*state, HEADER("<f4", "True", "(2, 2)"), 16,
                   ".npy order: expected C order, found Fortran order; save "
                   "numpy.ascontiguousarray(x) (f)");
}

static void npy_of_another_version_is_refused(void **state)
{
    uint8_t bytes[1024];
    size_t size = make_npy(bytes, 2, HEADER("<f4", "False", "(0,)"), "", 0);
    assert_refused_bytes(*state, size, bytes,
                         ".npy version: expected 1.0, found 2.0; save a plain "
                         "array with numpy.save (f)");
}

static void npy_of_another_size_is_refused(void **state)
{
    assert_refused(*state, HEADER("<f4", "False", "(2, 3)"), 23,
                   ".npy data: expected 6 entries of 4 bytes, found 23 bytes "
                   "(f)");
    assert_refused(*state, HEADER("<f8", "False", "(2, 3)"), 49,
                   ".npy data: expected 6 entries of 8 bytes, found 49 bytes "
                   "(f)");
    assert_refused(*state,
                   HEADER("<f4", "False", "(4294967296, 4294967296, 2)"), 0,
                   ".npy shape: expected a product that fits, found 4294967296 "
                   "times 4294967296 (f)");
    assert_refused(*state, HEADER("<f8", "False", "(4611686018427387904,)"), 0,
                   ".npy data: expected 4611686018427387904 entries of 8 "
                   "bytes, found 0 bytes (f)");
}

static void npy_with_a_malformed_header_is_refused(void **state)
{
    assert_refused(*state, "{'descr': '<f4', 'shape': (2,), }", 8,
                   ".npy header: expected descr, fortran_order and shape, "
                   "found no fortran_order (f)");
    assert_refused(
        *state, HEADER("<f4", "False", "(2)"), 8,
        ".npy header: expected a comma in the shape, found \"), }\" (f)");
    assert_refused(*state,
                   "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, "
                   "'shape': (2,), }",
                   8,
                   ".npy header: expected descr, fortran_order and shape once "
                   "each, found descr (f)");
    assert_refused(*state, HEADER("<f4", "False", "(1,1,1,1,1,1,1,1,1)"), 4,
                   ".npy shape: expected at most 8 axes, found more (f)");
    assert_refused_bytes(*state, 10, (const uint8_t *)"\x93NUMPX\1\0\0\0",
                         ".npy magic: expected \\x93NUMPY, found something "
                         "else (f)");
    assert_refused_bytes(*state, 10, (const uint8_t *)"\x93NUMPY\1\0\1\0",
                         ".npy header: expected 1 bytes, found 0 (f)");
}

static void npy_require_finite_finds_a_nan_and_an_infinity(void **state)
{
    (void)state;
    const float f32[3] = {1, 2, NAN};
    const double f64[3] = {1, (double)-INFINITY, 3};
    struct uh_error error;
    struct uh_npy npy = {.count = 3, .f32 = f32};
    assert_int_equal(uh_npy_require_finite(&npy, "f", &error), UH_NOT_FINITE);
    assert_string_equal(
        error.text, ".npy entry 2: expected a finite number, found NaN (f)");
    npy = (struct uh_npy){.count = 3, .f64 = f64};
    assert_int_equal(uh_npy_require_finite(&npy, "f", &error), UH_NOT_FINITE);
    assert_string_equal(
        error.text,
        ".npy entry 1: expected a finite number, found infinity (f)");
    npy.count = 1;
    assert_int_equal(uh_npy_require_finite(&npy, "f", &error), UH_OK);
}

static void npy_survives_every_prefix_and_many_mutations(void **state)
{
    uint8_t bytes[1024];
    const float x[6] = {0};
    size_t size = make_npy(bytes, 1, HEADER("<f4", "False", "(2, 3)"), x, 24);
    struct uh_npy npy;
    struct uh_error error;
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(uh_npy_parse(n, bytes, "f", *state, &npy, &error),
                         UH_BAD_INPUT);
    }
    uint64_t seed = 2;
    size_t refused = 0;
    for (size_t k = 0; k < 100000; k++) {
        size_t at = next_number(&seed) % 80;
        uint8_t old = bytes[at];
        bytes[at] = (uint8_t)next_number(&seed);
        struct uh_mark mark = uh_arena_open(*state);
        refused +=
            uh_npy_parse(size, bytes, "f", *state, &npy, &error) != UH_OK;
        uh_arena_release(*state, mark);
        bytes[at] = old;
    }
    assert_true(refused > 50000);
}

/* numpy knows nothing of our code: it reads what we wrote, bit for bit, writes
 * it again to the same bytes, and writes what we then read or refuse. */
static void npy_and_numpy_read_each_other(void **state)
{
    static const char script[] =
        "import sys, numpy as np\n"
        "d = sys.argv[1] + '/'\n"
        "a, b = np.load(d + 'a.npy'), np.load(d + 'b.npy')\n"
        "i = np.arange(2 * 3 * 5)\n"
        "assert a.dtype == np.float32 and b.dtype == np.float64\n"
        "assert (a == (i / np.float32(8)).reshape(2, 3, 5)).all()\n"
        "assert (b == 1.0 / (i[:7] + 1)).all() and b.shape == (7,)\n"
        "if hasattr(np.lib.format, 'GROWTH_AXIS_MAX_DIGITS'):\n"
        "    for n, x in (('a', a), ('b', b)):\n"
        "        np.save(d + 'again.npy', x)\n"
        "        x, y = open(d + n + '.npy', 'rb'), open(d + 'again.npy', "
        "'rb')\n"
        "        assert x.read() == y.read()\n"
        "c = np.linspace(-1, 1, 12).reshape(3, 4)\n"
        "np.save(d + 'c.npy', c)\n"
        "np.save(d + 'fortran.npy', np.asfortranarray(c))\n"
        "np.save(d + 'big.npy', c.astype('>f4'))\n"
        "np.save(d + 'byte.npy', c.astype('u1'))\n";
    if (!python()) {
        skip();
    }
    char path[2 * PATH], command[4 * PATH];
    float a[30];
    double b[7];
    for (size_t i = 0; i < 30; i++) {
        a[i] = (float)i / 8;
    }
    for (size_t i = 0; i < 7; i++) {
        b[i] = 1.0 / (double)(i + 1);
    }
    path_in(path, folder, "a.npy");
    uh_npy_write_f32(path, 3, (const size_t[]){2, 3, 5}, a);
    path_in(path, folder, "b.npy");
    uh_npy_write_f64(path, 1, (const size_t[]){7}, b);
    put_file(folder, "t.py", script, sizeof script - 1);
    snprintf(command, sizeof command, "%s %s/t.py %s", python(), folder,
             folder);
    assert_int_equal(system(command), 0);
    struct uh_npy npy;
    path_in(path, folder, "c.npy");
    assert_int_equal(uh_npy_read(path, *state, &npy, NULL), UH_OK);
    assert_int_equal(npy.rank, 2);
    assert_int_equal(npy.dims[0], 3);
    assert_int_equal(npy.dims[1], 4);
    assert_true(npy.f64[0] == -1 && npy.f64[11] == 1);
    static const char *const refused[] = {"fortran.npy", "big.npy", "byte.npy"};
    for (size_t i = 0; i < 3; i++) {
        path_in(path, folder, refused[i]);
        assert_int_equal(uh_npy_read(path, *state, &npy, NULL), UH_BAD_INPUT);
    }
}

static void npy_reference_outputs_are_finite_logits(void **state)
{
    if (!data_folder()) {
        skip();
    }
    static const char *const photo[] = {"astronaut", "chelsea", "coffee", "dog",
                                        "rocket"};
    size_t best = 0;
    for (size_t i = 0; i < 5; i++) {
        char path[2 * PATH];
        snprintf(path, sizeof path, "%s/imagenet/logits/squeezenet1_1__%s.npy",
                 data_folder(), photo[i]);
        struct uh_npy npy;
        struct uh_error error = {""};
        if (uh_npy_read(path, *state, &npy, &error) != UH_OK ||
            uh_npy_require_finite(&npy, path, &error) != UH_OK) {
            fail_msg("%s", error.text);
        }
        assert_int_equal(npy.count, 1000);
        size_t top = 0;
        for (size_t k = 1; k < 1000; k++) {
            top = npy.f32[k] > npy.f32[top] ? k : top;
        }
        best = i == 3 ? top : best;
    }
    assert_int_equal(best, 258); /* Samoyed */
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(npy_round_trip_keeps_every_bit),
        T(npy_reads_a_single_number_and_an_empty_array),
        T(npy_takes_the_keys_in_any_order),
        T(npy_of_another_type_is_refused_with_advice),
        T(npy_in_fortran_order_is_refused_with_advice),
        T(npy_of_another_version_is_refused),
        T(npy_of_another_size_is_refused),
        T(npy_with_a_malformed_header_is_refused),
        T(npy_require_finite_finds_a_nan_and_an_infinity),
        T(npy_survives_every_prefix_and_many_mutations),
        T(npy_and_numpy_read_each_other),
        T(npy_reference_outputs_are_finite_logits),
    };
    return cmocka_run_group_tests_name("npy", tests, NULL, NULL) != 0;
}
