/* test_safetensors.c: named tensors in files. */
#include "scratch.h"

#include "digest.h"
#include "safetensors.h"

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

enum { ROOM = 4096 };

/* A file of that header and so many bytes of zeros. */
static size_t make_file(uint8_t out[ROOM], const char *header, size_t data)
{
    size_t length = strlen(header);
    memset(out, 0, ROOM);
    out[0] = (uint8_t)(length & 255);
    out[1] = (uint8_t)(length >> 8);
    memcpy(out + 8, header, length);
    return 8 + length + data;
}

static void assert_refused_bytes(struct uh_arena *arena, size_t size,
                                 const uint8_t *bytes, const char *line)
{
    struct uh_error error = {""};
    struct uh_safetensors file = {.tensors = 77};
    assert_int_equal(
        uh_safetensors_parse(size, bytes, "f", arena, &file, &error),
        UH_BAD_INPUT);
    assert_string_equal(error.text, line);
    assert_int_equal(file.tensors, 77);
}

static void assert_refused(struct uh_arena *arena, const char *header,
                           size_t data, const char *line)
{
    uint8_t bytes[ROOM];
    size_t size = make_file(bytes, header, data);
    assert_refused_bytes(arena, size, bytes, line);
}

#define TENSOR(name, dtype, shape, begin, end)                                 \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape                   \
    ",\"data_offsets\":[" begin "," end "]}"

static const float F32[6] = {1.5f, -0.0f, FLT_TRUE_MIN, FLT_MAX, 7, 8};
static const double F64[2] = {1.1, DBL_MAX};
static const uint16_t F16[3] = {0x3c00, 0xc000, 0x0001};

/* Three tensors and two lines of metadata, given in that order or reversed. */
static void write_three(const char *path, bool reversed)
{
    const struct uh_stored_tensor a = {.name = "b.weight",
                                       .dtype = UH_F32,
                                       .rank = 2,
                                       .dims = {2, 3},
                                       .data = F32};
    const struct uh_stored_tensor b = {.name = "z.weight",
                                       .dtype = UH_F64,
                                       .rank = 1,
                                       .dims = {2},
                                       .data = F64};
    const struct uh_stored_tensor c = {
        .name = "a", .dtype = UH_F16, .rank = 1, .dims = {3}, .data = F16};
    const struct uh_metadata arch = {"arch", "input 3 1 1; \"dense\" 2\n"};
    const struct uh_metadata who = {"about", "\xc3\xa4rger"};
    if (reversed) {
        uh_safetensors_write(path, 3,
                             (const struct uh_stored_tensor[]){c, b, a}, 2,
                             (const struct uh_metadata[]){who, arch});
    } else {
        uh_safetensors_write(path, 3,
                             (const struct uh_stored_tensor[]){a, b, c}, 2,
                             (const struct uh_metadata[]){arch, who});
    }
}

static void safetensors_round_trip_keeps_every_bit(void **state)
{
    char path[2 * PATH];
    path_in(path, folder, "t.safetensors");
    write_three(path, false);
    struct uh_safetensors file;
    struct uh_error error = {""};
    assert_int_equal(uh_safetensors_read(path, *state, &file, &error), UH_OK);
    assert_int_equal(file.tensors, 3);
    assert_string_equal(file.tensor[0].name, "a");
    assert_string_equal(file.tensor[1].name, "b.weight");
    assert_string_equal(file.tensor[2].name, "z.weight");
    const struct uh_stored_tensor *t = uh_safetensors_find(&file, "b.weight");
    assert_int_equal(t->dtype, UH_F32);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dims[0], 2);
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->count, 6);
    assert_memory_equal(t->data, F32, sizeof F32);
    t = uh_safetensors_find(&file, "z.weight");
    assert_memory_equal(t->data, F64, sizeof F64);
    assert_memory_equal(uh_safetensors_find(&file, "a")->data, F16, sizeof F16);
    assert_null(uh_safetensors_find(&file, "b"));
    assert_string_equal(uh_safetensors_metadata(&file, "arch"),
                        "input 3 1 1; \"dense\" 2\n");
    assert_string_equal(uh_safetensors_metadata(&file, "about"),
                        "\xc3\xa4rger");
    assert_null(uh_safetensors_metadata(&file, "none"));
    assert_int_equal(uh_safetensors_require_finite(&file, &error), UH_OK);
    assert_int_equal(files_in(folder), 1);
}

static void safetensors_bytes_do_not_depend_on_the_order_given(void **state)
{
    char path[2 * PATH];
    struct uh_safetensors one, two;
    path_in(path, folder, "one");
    write_three(path, false);
    assert_int_equal(uh_safetensors_read(path, *state, &one, NULL), UH_OK);
    path_in(path, folder, "two");
    write_three(path, true);
    assert_int_equal(uh_safetensors_read(path, *state, &two, NULL), UH_OK);
    assert_string_equal(one.digest, two.digest);
    /* The file lies aligned in memory, so its tensors must be aligned. */
    for (size_t i = 0; i < one.tensors; i++) {
        const struct uh_stored_tensor *t = &one.tensor[i];
        assert_int_equal((uintptr_t)t->data % uh_dtype_size(t->dtype), 0);
    }
}

static void safetensors_without_tensors_is_a_file(void **state)
{
    char path[2 * PATH];
    path_in(path, folder, "empty");
    uh_safetensors_write(path, 0, NULL, 0, NULL);
    struct uh_safetensors file;
    assert_int_equal(uh_safetensors_read(path, *state, &file, NULL), UH_OK);
    assert_int_equal(file.tensors, 0);
    assert_int_equal(file.entries, 0);
    assert_null(uh_safetensors_find(&file, "a"));
    assert_null(uh_safetensors_metadata(&file, "a"));
}

/* A reader looks at the beginning first, and there may be more of a header. */
static void safetensors_headers_may_be_long(void **state)
{
    enum { LETTERS = 3 << 20 };
    static char text[LETTERS + 1];
    char path[2 * PATH];
    memset(text, 'a', LETTERS);
    const struct uh_metadata entry = {"text", text};
    path_in(path, folder, "long");
    uh_safetensors_write(path, 0, NULL, 1, &entry);
    struct uh_safetensors file;
    assert_int_equal(uh_safetensors_read(path, *state, &file, NULL), UH_OK);
    assert_string_equal(uh_safetensors_metadata(&file, "text"), text);
}

static void safetensors_refuses_a_header_beyond_the_file(void **state)
{
    uint8_t bytes[ROOM];
    size_t size = make_file(bytes, "{}", 0);
    assert_refused_bytes(*state, 7, bytes,
                         "safetensors file: expected at least 8 bytes, found 7 "
                         "(f)");
    bytes[0] = 3;
    assert_refused_bytes(*state, size, bytes,
                         "safetensors header: expected at most 2 bytes, found "
                         "a length of 3 (f)");
    memset(bytes, 0xff, 8);
    assert_refused_bytes(*state, size, bytes,
                         "safetensors header: expected at most 2 bytes, found "
                         "a length of 18446744073709551615 (f)");
    assert_refused(*state, "", 0,
                   "safetensors header: expected a JSON object, found "
                   "something else (f)");
    assert_refused(*state, " {}", 0,
                   "safetensors header: expected a JSON object, found "
                   "something else (f)");
}

static void safetensors_refuses_offsets_outside_the_file(void **state)
{
    assert_refused(*state, "{" TENSOR("w", "F32", "[2]", "0", "8") "}", 7,
                   "tensor w: expected offsets inside 0 to 7, found 0 to 8 "
                   "(f)");
    assert_refused(*state, "{" TENSOR("w", "F32", "[2]", "8", "0") "}", 8,
                   "tensor w: expected offsets inside 0 to 8, found 8 to 0 "
                   "(f)");
    assert_refused(
        *state, "{" TENSOR("w", "F32", "[2]", "0", "9223372036854775807") "}",
        8,
        "tensor w: expected offsets inside 0 to 8, found 0 to "
        "9223372036854775807 (f)");
    assert_refused(*state, "{" TENSOR("w", "F32", "[2]", "-8", "0") "}", 8,
                   "tensor w: expected whole numbers from 0 as data_offsets, "
                   "found something else (f)");
}

static void safetensors_refuses_tensors_that_overlap(void **state)
{
    assert_refused(*state,
                   "{" TENSOR("v", "F32", "[2]", "0",
                              "8") "," TENSOR("w", "F32", "[2]", "4", "12") "}",
                   12,
                   "tensor w: expected it to begin at 8, found 4, an overlap "
                   "with v (f)");
    assert_refused(*state,
                   "{" TENSOR("v", "F32", "[2]", "0",
                              "8") "," TENSOR("w", "F32", "[2]", "0", "8") "}",
                   8,
                   "tensor w: expected it to begin at 8, found 0, an overlap "
                   "with v (f)");
}

static void safetensors_refuses_holes_and_bytes_behind(void **state)
{
    assert_refused(*state,
                   "{" TENSOR("v", "F32", "[1]", "0",
                              "4") "," TENSOR("w", "F32", "[1]", "8", "12") "}",
                   12,
                   "tensor w: expected it to begin at 4, found 8, a hole (f)");
    assert_refused(*state, "{" TENSOR("v", "F32", "[1]", "4", "8") "}", 8,
                   "tensor v: expected it to begin at 0, found 4, a hole (f)");
    assert_refused(*state, "{" TENSOR("v", "F32", "[1]", "0", "4") "}", 5,
                   "safetensors data: expected 4 bytes, found 5 (f)");
    assert_refused(*state, "{}", 1,
                   "safetensors data: expected 0 bytes, found 1 (f)");
}

static void safetensors_refuses_a_shape_that_does_not_fit(void **state)
{
    assert_refused(*state, "{" TENSOR("w", "F32", "[3]", "0", "8") "}", 8,
                   "tensor w: expected 3 entries of 4 bytes (F32), found 8 "
                   "bytes (f)");
    assert_refused(*state, "{" TENSOR("w", "F64", "[2]", "0", "8") "}", 8,
                   "tensor w: expected 2 entries of 8 bytes (F64), found 8 "
                   "bytes (f)");
    assert_refused(
        *state, "{" TENSOR("w", "F32", "[4294967296,4294967296]", "0", "8") "}",
        8,
        "tensor w: expected a shape whose product fits, found "
        "4294967296 times 4294967296 (f)");
    assert_refused(
        *state, "{" TENSOR("w", "F32", "[4611686018427387904]", "0", "0") "}",
        0,
        "tensor w: expected 4611686018427387904 entries of 4 bytes "
        "(F32), found 0 bytes (f)");
    assert_refused(*state, "{" TENSOR("w", "F32", "[2.0]", "0", "8") "}", 8,
                   "tensor w: expected whole numbers from 0 as shape, found "
                   "something else (f)");
    assert_refused(
        *state, "{" TENSOR("w", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4,
        "tensor w: expected a shape of at most 8 axes, found more "
        "(f)");
}

static void safetensors_refuses_a_name_that_occurs_twice(void **state)
{
    assert_refused(*state,
                   "{" TENSOR("w", "F32", "[1]", "0",
                              "4") "," TENSOR("w", "F32", "[1]", "4", "8") "}",
                   8,
                   "safetensors header: expected valid JSON, found: duplicate "
                   "object key near '\"w\"' at byte 57 (f)");
}

static void safetensors_refuses_what_is_not_described(void **state)
{
    assert_refused(*state, "{" TENSOR("w", "F33", "[1]", "0", "4") "}", 4,
                   "tensor w: expected a dtype such as F32, found F33 (f)");
    assert_refused(*state, "{\"w\":{}}", 0,
                   "tensor w: expected a dtype such as F32, found none (f)");
    assert_refused(*state, "{\"w\":3}", 0,
                   "tensor w: expected an object, found something else (f)");
    assert_refused(*state, "{\"w\":{\"dtype\":\"F32\"}}", 0,
                   "tensor w: expected a shape of at most 8 axes, found none "
                   "(f)");
    assert_refused(*state, "{\"w\":{\"dtype\":\"F32\",\"shape\":[]}}", 0,
                   "tensor w: expected data_offsets of two numbers, found "
                   "something else (f)");
    assert_refused(*state, "{\"__metadata__\":[]}", 0,
                   "__metadata__: expected an object, found something else "
                   "(f)");
    assert_refused(*state, "{\"__metadata__\":{\"a\":1}}", 0,
                   "__metadata__ a: expected a string, found something else "
                   "(f)");
}

/* 2000 brackets are a header like any other; 100 kB of them are a bomb. */
static void safetensors_refuses_a_header_nested_too_deep(void **state)
{
    enum { DEPTH = 100000 };
    uint8_t *bytes = calloc(DEPTH + 64, 1);
    bytes[0] = (DEPTH + 5) & 255;
    bytes[1] = (DEPTH + 5) >> 8 & 255;
    bytes[2] = (DEPTH + 5) >> 16;
    memcpy(bytes + 8, "{\"w\":", 5);
    memset(bytes + 13, '[', DEPTH);
    struct uh_safetensors file;
    struct uh_error error;
    assert_int_equal(
        uh_safetensors_parse(DEPTH + 13, bytes, "f", *state, &file, &error),
        UH_BAD_INPUT);
    assert_non_null(strstr(error.text, "maximum parsing depth reached"));
    free(bytes);
}

static void safetensors_messages_stay_on_one_line(void **state)
{
    assert_refused(*state,
                   "{\"a\\n\\u001b[31mknots: all is well\":"
                   "{\"dtype\":\"F\\n2\"}}",
                   0,
                   "tensor a??[31mknots: all is well: expected a dtype such "
                   "as F32, found F?2 (f)");
}

static void safetensors_require_finite_finds_a_nan_of_each_type(void **state)
{
    const float f32[3] = {1, 2, NAN};
    const double f64[2] = {(double)-INFINITY, 0};
    const uint16_t f16[2] = {0x7bff, 0x7c00}, bf16[1] = {0x7fc0};
    const struct uh_stored_tensor bad[] = {
        {.name = "w", .dtype = UH_F32, .rank = 1, .dims = {3}, .data = f32},
        {.name = "w", .dtype = UH_F64, .rank = 1, .dims = {2}, .data = f64},
        {.name = "w", .dtype = UH_F16, .rank = 1, .dims = {2}, .data = f16},
        {.name = "w", .dtype = UH_BF16, .rank = 1, .dims = {1}, .data = bf16},
    };
    static const char *const line[] = {"NaN at 2", "infinity at 0",
                                       "infinity at 1", "NaN at 0"};
    for (size_t i = 0; i < 4; i++) {
        char path[2 * PATH], expected[4 * PATH];
        path_in(path, folder, "bad");
        uh_safetensors_write(path, 1, &bad[i], 0, NULL);
        struct uh_safetensors file;
        struct uh_error error;
        assert_int_equal(uh_safetensors_read(path, *state, &file, &error),
                         UH_OK);
        assert_int_equal(uh_safetensors_require_finite(&file, &error),
                         UH_NOT_FINITE);
        snprintf(expected, sizeof expected,
                 "tensor w: expected finite numbers, found %s (%s)", line[i],
                 path);
        assert_string_equal(error.text, expected);
    }
}

/* Every binary16 against its definition, sign * fraction * 2^exponent. */
static void half_to_float_is_the_definition(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double sign = h >> 15 ? -1 : 1, fraction = (h & 1023) / 1024.0;
        int exponent = (int)(h >> 10 & 31);
        double x = exponent > 0 ? sign * (1 + fraction) * pow(2, exponent - 15)
                                : sign * fraction * pow(2, -14);
        float y = uh_half_to_float((uint16_t)h);
        if (exponent == 31) {
            assert_true(fraction > 0 ? isnan(y)
                                     : isinf(y) && (y < 0) == (sign < 0));
        } else {
            assert_true((double)y == x && !signbit(y) == !signbit(x));
        }
    }
}

static void floats_are_exact_on_request(void **state)
{
    (void)state;
    const double f64[3] = {0.5, 1.1, 1e300};
    const int64_t i64[2] = {1 << 24, 9007199254740993};
    const int16_t i16[2] = {-32768, 258};
    const uint8_t u8[2] = {0, 255};
    struct uh_stored_tensor t = {
        .name = "t", .dtype = UH_F64, .count = 1, .data = f64};
    float x[3];
    double d[3];
    struct uh_error error;
    assert_int_equal(uh_stored_tensor_floats(&t, true, "f", x, &error), UH_OK);
    assert_true(x[0] == 0.5f);
    t.count = 3;
    assert_int_equal(uh_stored_tensor_floats(&t, true, "f", x, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, "tensor t: expected values that float32 "
                                    "holds, found another F64 at 1 (f)");
    assert_int_equal(uh_stored_tensor_floats(&t, false, "f", x, &error), UH_OK);
    assert_true(x[1] == 1.1f && isinf(x[2]));
    assert_int_equal(uh_stored_tensor_doubles(&t, true, "f", d, &error), UH_OK);
    assert_memory_equal(d, f64, sizeof f64);
    t = (struct uh_stored_tensor){
        .name = "t", .dtype = UH_I64, .count = 2, .data = i64};
    assert_int_equal(uh_stored_tensor_doubles(&t, true, "f", d, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, "tensor t: expected values that float64 "
                                    "holds, found another I64 at 1 (f)");
    t = (struct uh_stored_tensor){
        .name = "t", .dtype = UH_I16, .count = 2, .data = i16};
    assert_int_equal(uh_stored_tensor_floats(&t, true, "f", x, &error), UH_OK);
    assert_true(x[0] == -32768 && x[1] == 258);
    t = (struct uh_stored_tensor){
        .name = "t", .dtype = UH_U8, .count = 2, .data = u8};
    assert_int_equal(uh_stored_tensor_floats(&t, true, "f", x, &error), UH_OK);
    assert_true(x[0] == 0 && x[1] == 255);
    t.dtype = UH_BOOL;
    assert_int_equal(uh_stored_tensor_floats(&t, true, "f", x, &error),
                     UH_BAD_INPUT);
    assert_string_equal(error.text, "tensor t: expected F32, F64, F16 or "
                                    "integers, found BOOL (f)");
}

static void safetensors_survives_every_prefix_and_many_mutations(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"arch\":\"input 3\"}," TENSOR(
            "v", "F32", "[2,1]", "0", "8") "," TENSOR("w", "F16", "[3]", "8",
                                                      "14") "}";
    uint8_t bytes[ROOM];
    size_t size = make_file(bytes, header, 14);
    struct uh_safetensors file;
    struct uh_error error;
    assert_int_equal(
        uh_safetensors_parse(size, bytes, "f", *state, &file, &error), UH_OK);
    for (size_t n = 0; n < size; n++) {
        assert_int_equal(
            uh_safetensors_parse(n, bytes, "f", *state, &file, &error),
            UH_BAD_INPUT);
    }
    uint64_t seed = 4;
    size_t refused = 0;
    for (size_t k = 0; k < 50000; k++) {
        size_t at = next_number(&seed) % (size - 14);
        uint8_t old = bytes[at];
        bytes[at] = (uint8_t)next_number(&seed);
        struct uh_mark mark = uh_arena_open(*state);
        refused += uh_safetensors_parse(size, bytes, "f", *state, &file,
                                        &error) != UH_OK;
        uh_arena_release(*state, mark);
        bytes[at] = old;
    }
    assert_true(refused > 25000);
}

static void broken_write(void *context)
{
    const struct uh_stored_tensor *pair = context;
    char path[2 * PATH];
    path_in(path, folder, "broken");
    uh_safetensors_write(path, 2, pair, 0, NULL);
}

static void safetensors_write_refuses_two_tensors_of_one_name(void **state)
{
    (void)state;
    struct uh_stored_tensor pair[2] = {
        {.name = "w", .dtype = UH_F32, .rank = 1, .dims = {1}, .data = F32},
        {.name = "w", .dtype = UH_F32, .rank = 1, .dims = {2}, .data = F32}};
    struct ending e = run_child(broken_write, pair);
    assert_int_equal(e.status, 134); /* SIGABRT */
    assert_non_null(strstr(e.said, "broken contract"));
    pair[1].name = "\xff";
    assert_int_equal(run_child(broken_write, pair).status, 134);
    pair[1].name = "__metadata__";
    assert_int_equal(run_child(broken_write, pair).status, 134);
    assert_int_equal(files_in(folder), 0);
}

/* A dozen lines that know nothing of our code read what we wrote and write
 * what we then read. */
static void safetensors_and_python_read_each_other(void **state)
{
    static const char script[] =
        "import sys, json, struct, numpy as np\n"
        "d = sys.argv[1] + '/'\n"
        "T = {'F32': '<f4', 'F64': '<f8', 'F16': '<f2'}\n"
        "b = open(d + 't', 'rb').read()\n"
        "n = struct.unpack('<Q', b[:8])[0]\n"
        "h = json.loads(b[8:8 + n])\n"
        "m = h.pop('__metadata__')\n"
        "t = {k: np.frombuffer(b[8 + n:][slice(*v['data_offsets'])],\n"
        "        T[v['dtype']]).reshape(v['shape']) for k, v in h.items()}\n"
        "assert n % 8 == 0 and list(h) == ['z.weight', 'b.weight', 'a']\n"
        "assert m == {'about': '\\u00e4rger', 'arch': 'input 3 1 1; \"dense\" "
        "2\\n'}\n"
        "assert t['b.weight'].shape == (2, 3) and t['b.weight'][0, 0] == 1.5\n"
        "assert t['b.weight'][1, 0] == np.finfo('f4').max\n"
        "assert t['z.weight'][0] == 1.1\n"
        "assert list(t['a']) == [1, -2, 2.0 ** -24]\n"
        "w = np.arange(6, dtype='<f4').reshape(3, 2)\n"
        "g = np.array([-1, 0.5], '<f2')\n"
        "h = json.dumps({'1.weight': {'dtype': 'F32', 'shape': [3, 2],\n"
        "    'data_offsets': [0, 24]}, '__metadata__': {'arch': 'x'},\n"
        "    '0.bias': {'dtype': 'F16', 'shape': [2],\n"
        "    'data_offsets': [24, 28]}}).encode()\n"
        "open(d + 'u', 'wb').write(struct.pack('<Q', len(h)) + h +\n"
        "    w.tobytes() + g.tobytes())\n";
    if (!python()) {
        skip();
    }
    char path[2 * PATH], command[4 * PATH];
    path_in(path, folder, "t");
    write_three(path, false);
    put_file(folder, "t.py", script, sizeof script - 1);
    snprintf(command, sizeof command, "%s %s/t.py %s", python(), folder,
             folder);
    assert_int_equal(system(command), 0);
    struct uh_safetensors file;
    struct uh_error error = {""};
    path_in(path, folder, "u");
    if (uh_safetensors_read(path, *state, &file, &error) != UH_OK) {
        fail_msg("%s", error.text);
    }
    float x[6];
    assert_int_equal(
        uh_stored_tensor_floats(uh_safetensors_find(&file, "1.weight"), true,
                                "u", x, &error),
        UH_OK);
    for (size_t i = 0; i < 6; i++) {
        assert_true(x[i] == (float)i);
    }
    assert_int_equal(
        uh_stored_tensor_floats(uh_safetensors_find(&file, "0.bias"), true, "u",
                                x, &error),
        UH_OK);
    assert_true(x[0] == -1 && x[1] == 0.5f);
}

static void safetensors_at_hand_are_finite(void **state)
{
    static const struct {
        const char *name;
        size_t tensors, numbers;
    } known[] = {
        {"squeezenet1_1", 52, 1235496},
        {"squeezenet1_0_deepcompression", 52, 1248424},
        {"resnet18_ktb", 102, 11699112},
        {"resnet50_ktb_factored", 214, 2870312},
        {"resnet18_torchvision_folded_partial", 38, 3427176},
        {"alexnet_qcnn_conv", 10, 2334080},
        {"alexnet_qcnn_fc_factored", 7, 8496104},
    };
    if (!data_folder()) {
        skip();
    }
    for (size_t i = 0; i < 7; i++) {
        char path[2 * PATH];
        snprintf(path, sizeof path, "%s/imagenet/%s.safetensors", data_folder(),
                 known[i].name);
        struct uh_mark mark = uh_arena_open(*state);
        struct uh_safetensors file;
        struct uh_error error = {""};
        if (uh_safetensors_read(path, *state, &file, &error) != UH_OK ||
            uh_safetensors_require_finite(&file, &error) != UH_OK) {
            fail_msg("%s", error.text);
        }
        size_t numbers = 0;
        for (size_t k = 0; k < file.tensors; k++) {
            numbers += file.tensor[k].count;
        }
        assert_int_equal(file.tensors, known[i].tensors);
        assert_int_equal(numbers, known[i].numbers);
        assert_non_null(uh_safetensors_metadata(&file, "source"));
        uh_arena_release(*state, mark);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(safetensors_round_trip_keeps_every_bit),
        T(safetensors_bytes_do_not_depend_on_the_order_given),
        T(safetensors_without_tensors_is_a_file),
        T(safetensors_headers_may_be_long),
        T(safetensors_refuses_a_header_beyond_the_file),
        T(safetensors_refuses_offsets_outside_the_file),
        T(safetensors_refuses_tensors_that_overlap),
        T(safetensors_refuses_holes_and_bytes_behind),
        T(safetensors_refuses_a_shape_that_does_not_fit),
        T(safetensors_refuses_a_name_that_occurs_twice),
        T(safetensors_refuses_what_is_not_described),
        T(safetensors_refuses_a_header_nested_too_deep),
        T(safetensors_messages_stay_on_one_line),
        T(safetensors_require_finite_finds_a_nan_of_each_type),
        T(half_to_float_is_the_definition),
        T(floats_are_exact_on_request),
        T(safetensors_survives_every_prefix_and_many_mutations),
        T(safetensors_write_refuses_two_tensors_of_one_name),
        T(safetensors_and_python_read_each_other),
        T(safetensors_at_hand_are_finite),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL) != 0;
}
