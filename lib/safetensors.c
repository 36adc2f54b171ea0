/* safetensors.c: named tensors in the published .safetensors format. */
#include "safetensors.h"
#include "die.h"
#include "digest.h"
#include "file.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are read and written as they lie in memory");

enum { PREFIX = 8, ALIGNMENT = 8, LOOK = 1 << 20 };

static const char METADATA[] = "__metadata__";

static const struct {
    const char *name;
    size_t size;
} DTYPE[UH_DTYPES] = {
    [UH_F64] = {"F64", 8},         [UH_I64] = {"I64", 8},
    [UH_U64] = {"U64", 8},         [UH_F32] = {"F32", 4},
    [UH_I32] = {"I32", 4},         [UH_U32] = {"U32", 4},
    [UH_F16] = {"F16", 2},         [UH_BF16] = {"BF16", 2},
    [UH_I16] = {"I16", 2},         [UH_U16] = {"U16", 2},
    [UH_F8_E4M3] = {"F8_E4M3", 1}, [UH_F8_E5M2] = {"F8_E5M2", 1},
    [UH_I8] = {"I8", 1},           [UH_U8] = {"U8", 1},
    [UH_BOOL] = {"BOOL", 1},
};

const char *uh_dtype_name(enum uh_dtype dtype)
{
    return DTYPE[dtype].name;
}

size_t uh_dtype_size(enum uh_dtype dtype)
{
    return DTYPE[dtype].size;
}

/* A tensor while the file is read: where its data lies. */
struct placed {
    struct uh_stored_tensor tensor;
    size_t begin, end; /* bytes of the data */
};

struct reading {
    const char *name;    /* the file's */
    const uint8_t *data; /* or NULL: not read yet */
    size_t data_size;
    struct uh_arena *arena;
    struct uh_error *error;
};

static enum uh_status read_dtype(const struct reading *r, const json_t *about,
                                 struct placed *p)
{
    const char *word = json_string_value(json_object_get(about, "dtype"));
    for (int i = 0; word && i < UH_DTYPES; i++) {
        if (strcmp(word, DTYPE[i].name) == 0) {
            p->tensor.dtype = (enum uh_dtype)i;
            return UH_OK;
        }
    }
    return uh_fail(r->error, UH_BAD_INPUT,
                   "tensor %.80s: expected a dtype such as F32, found %.40s "
                   "(%s)",
                   p->tensor.name, word ? word : "none", r->name);
}

static enum uh_status read_size(const struct reading *r, const char *tensor,
                                const char *what, const json_t *value,
                                size_t *size)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected whole numbers from 0 as %s, "
                       "found something else (%s)",
                       tensor, what, r->name);
    }
    *size = (size_t)json_integer_value(value);
    return UH_OK;
}

static enum uh_status read_shape(const struct reading *r, const json_t *about,
                                 struct placed *p)
{
    struct uh_stored_tensor *t = &p->tensor;
    const json_t *shape = json_object_get(about, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > UH_SAFETENSORS_RANK) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected a shape of at most %d axes, "
                       "found %s (%s)",
                       t->name, UH_SAFETENSORS_RANK,
                       json_is_array(shape) ? "more" : "none", r->name);
    }
    t->rank = json_array_size(shape);
    t->count = 1;
    for (size_t i = 0; i < UH_SAFETENSORS_RANK; i++) {
        t->dims[i] = 1;
    }
    for (size_t i = 0; i < t->rank; i++) {
        enum uh_status status = read_size(
            r, t->name, "shape", json_array_get(shape, i), &t->dims[i]);
        if (status != UH_OK) {
            return status;
        }
        if (!uh_size_fits_mul(t->count, t->dims[i])) {
            return uh_fail(r->error, UH_BAD_INPUT,
                           "tensor %.80s: expected a shape whose product fits, "
                           "found %zu times %zu (%s)",
                           t->name, t->count, t->dims[i], r->name);
        }
        t->count *= t->dims[i];
    }
    return UH_OK;
}

static enum uh_status read_offsets(const struct reading *r, const json_t *about,
                                   struct placed *p)
{
    const struct uh_stored_tensor *t = &p->tensor;
    const json_t *offsets = json_object_get(about, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected data_offsets of two numbers, "
                       "found something else (%s)",
                       t->name, r->name);
    }
    enum uh_status status = read_size(r, t->name, "data_offsets",
                                      json_array_get(offsets, 0), &p->begin);
    if (status == UH_OK) {
        status = read_size(r, t->name, "data_offsets",
                           json_array_get(offsets, 1), &p->end);
    }
    if (status != UH_OK) {
        return status;
    }
    if (p->begin > p->end || p->end > r->data_size) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected offsets inside 0 to %zu, found "
                       "%zu to %zu (%s)",
                       t->name, r->data_size, p->begin, p->end, r->name);
    }
    size_t entry = uh_dtype_size(t->dtype);
    if (!uh_size_fits_mul(t->count, entry) ||
        t->count * entry != p->end - p->begin) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected %zu entries of %zu bytes (%s), "
                       "found %zu bytes (%s)",
                       t->name, t->count, entry, uh_dtype_name(t->dtype),
                       p->end - p->begin, r->name);
    }
    return UH_OK;
}

static enum uh_status read_tensor(const struct reading *r, const char *key,
                                  const json_t *about, struct placed *p)
{
    p->tensor.name = uh_arena_text(r->arena, key);
    if (!json_is_object(about)) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "tensor %.80s: expected an object, found something else "
                       "(%s)",
                       key, r->name);
    }
    enum uh_status status = read_dtype(r, about, p);
    if (status == UH_OK) {
        status = read_shape(r, about, p);
    }
    if (status == UH_OK) {
        status = read_offsets(r, about, p);
    }
    return status;
}

static int by_place(const void *a, const void *b)
{
    const struct placed *p = a, *q = b;
    if (p->begin != q->begin) {
        return p->begin < q->begin ? -1 : 1;
    }
    return (p->end > q->end) - (p->end < q->end);
}

static enum uh_status check_tiling(const struct reading *r, size_t tensors,
                                   struct placed *p)
{
    qsort(p, tensors, sizeof *p, by_place);
    size_t reached = 0;
    for (size_t i = 0; i < tensors; i++) {
        if (p[i].begin < reached) {
            return uh_fail(r->error, UH_BAD_INPUT,
                           "tensor %.80s: expected it to begin at %zu, found "
                           "%zu, an overlap with %.80s (%s)",
                           p[i].tensor.name, reached, p[i].begin,
                           p[i - 1].tensor.name, r->name);
        }
        if (p[i].begin > reached) {
            return uh_fail(r->error, UH_BAD_INPUT,
                           "tensor %.80s: expected it to begin at %zu, found "
                           "%zu, a hole (%s)",
                           p[i].tensor.name, reached, p[i].begin, r->name);
        }
        reached = p[i].end;
    }
    if (reached != r->data_size) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "safetensors data: expected %zu bytes, found %zu (%s)",
                       reached, r->data_size, r->name);
    }
    return UH_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct uh_stored_tensor *s = a, *t = b;
    return strcmp(s->name, t->name);
}

static int by_key(const void *a, const void *b)
{
    const struct uh_metadata *s = a, *t = b;
    return strcmp(s->key, t->key);
}

static enum uh_status read_metadata(const struct reading *r, json_t *object,
                                    struct uh_safetensors *file)
{
    if (!json_is_object(object)) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "%s: expected an object, found something else (%s)",
                       METADATA, r->name);
    }
    struct uh_metadata *m =
        uh_arena_alloc(r->arena, json_object_size(object), sizeof *m);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value)) {
            return uh_fail(r->error, UH_BAD_INPUT,
                           "%s %.80s: expected a string, found something else "
                           "(%s)",
                           METADATA, key, r->name);
        }
        m[n].key = uh_arena_text(r->arena, key);
        m[n++].value = uh_arena_text(r->arena, json_string_value(value));
    }
    qsort(m, n, sizeof *m, by_key);
    file->entries = n;
    file->metadata = m;
    return UH_OK;
}

static enum uh_status read_object(const struct reading *r, json_t *header,
                                  struct uh_safetensors *file)
{
    size_t most = json_object_size(header), n = 0;
    struct placed *p = uh_arena_alloc(r->arena, most, sizeof *p);
    const char *key;
    json_t *about;
    json_object_foreach(header, key, about)
    {
        enum uh_status status = strcmp(key, METADATA) == 0
                                    ? read_metadata(r, about, file)
                                    : read_tensor(r, key, about, &p[n++]);
        if (status != UH_OK) {
            return status;
        }
    }
    enum uh_status status = check_tiling(r, n, p);
    if (status != UH_OK) {
        return status;
    }
    struct uh_stored_tensor *t = uh_arena_alloc(r->arena, n, sizeof *t);
    for (size_t i = 0; i < n; i++) {
        t[i] = p[i].tensor;
        t[i].data = r->data ? r->data + p[i].begin : NULL;
    }
    qsort(t, n, sizeof *t, by_name);
    file->tensors = n;
    file->tensor = t;
    return UH_OK;
}

static size_t little_endian(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (size_t i = PREFIX; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static enum uh_status check_prefix(size_t size, const uint8_t *bytes,
                                   const char *name, struct uh_error *error)
{
    if (size < PREFIX) {
        return uh_fail(error, UH_BAD_INPUT,
                       "safetensors file: expected at least %d bytes, found "
                       "%zu (%s)",
                       PREFIX, size, name);
    }
    size_t length = little_endian(bytes);
    size_t most = size - PREFIX < UH_SAFETENSORS_HEADER ? size - PREFIX
                                                        : UH_SAFETENSORS_HEADER;
    if (length > most) {
        return uh_fail(error, UH_BAD_INPUT,
                       "safetensors header: expected at most %zu bytes, found "
                       "a length of %zu (%s)",
                       most, length, name);
    }
    if (length == 0 || bytes[PREFIX] != '{') {
        return uh_fail(error, UH_BAD_INPUT,
                       "safetensors header: expected a JSON object, found "
                       "something else (%s)",
                       name);
    }
    return UH_OK;
}

/* All but the digest.  Of a file of size bytes the header must be at hand;
 * whole: the rest is, too. */
static enum uh_status parse_header(size_t size, const uint8_t *bytes, int whole,
                                   const char *name, struct uh_arena *arena,
                                   struct uh_safetensors *file,
                                   struct uh_error *error)
{
    size_t length = little_endian(bytes);
    json_error_t why;
    json_t *header = json_loadb((const char *)bytes + PREFIX, length,
                                JSON_REJECT_DUPLICATES, &why);
    if (!header) {
        return uh_fail(error, UH_BAD_INPUT,
                       "safetensors header: expected valid JSON, found: %s at "
                       "byte %d (%s)",
                       why.text, why.position, name);
    }
    struct reading r = {name, whole ? bytes + PREFIX + length : NULL,
                        size - PREFIX - length, arena, error};
    file->file = uh_arena_text(arena, name);
    enum uh_status status = read_object(&r, header, file);
    json_decref(header);
    return status;
}

enum uh_status uh_safetensors_parse(size_t size, const uint8_t *bytes,
                                    const char *name, struct uh_arena *arena,
                                    struct uh_safetensors *out,
                                    struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    struct uh_safetensors file = {0};
    enum uh_status status = check_prefix(size, bytes, name, error);
    if (status == UH_OK) {
        status = parse_header(size, bytes, 1, name, arena, &file, error);
    }
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
        return status;
    }
    uh_digest_of(bytes, size, file.digest);
    *out = file;
    return UH_OK;
}

/* A file whose beginning says that it cannot be right is refused before memory
 * is asked for the rest. */
static enum uh_status look_at_header(const char *path, struct uh_error *error)
{
    struct uh_arena *own = uh_arena_new();
    struct uh_safetensors file = {0};
    uint8_t *bytes;
    size_t got, size;
    enum uh_status status =
        uh_file_begin(path, LOOK, own, &bytes, &got, &size, error);
    if (status == UH_OK) {
        status = check_prefix(size, bytes, path, error);
    }
    const int rest = status == UH_OK && got < size;
    if (rest && little_endian(bytes) <= got - PREFIX) {
        status = parse_header(size, bytes, 0, path, own, &file, error);
    }
    uh_arena_free(&own);
    return status;
}

enum uh_status uh_safetensors_read(const char *path, struct uh_arena *arena,
                                   struct uh_safetensors *out,
                                   struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    uint8_t *bytes;
    size_t size;
    enum uh_status status = look_at_header(path, error);
    if (status == UH_OK) {
        status = uh_file_read(path, 0, arena, &bytes, &size, error);
    }
    if (status == UH_OK) {
        status = uh_safetensors_parse(size, bytes, path, arena, out, error);
    }
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
    }
    return status;
}

const struct uh_stored_tensor *
uh_safetensors_find(const struct uh_safetensors *file, const char *name)
{
    struct uh_stored_tensor wanted = {.name = name};
    return file->tensors ? bsearch(&wanted, file->tensor, file->tensors,
                                   sizeof wanted, by_name)
                         : NULL;
}

const char *uh_safetensors_metadata(const struct uh_safetensors *file,
                                    const char *key)
{
    struct uh_metadata wanted = {key, NULL};
    const struct uh_metadata *found =
        file->entries ? bsearch(&wanted, file->metadata, file->entries,
                                sizeof wanted, by_key)
                      : NULL;
    return found ? found->value : NULL;
}

float uh_half_to_float(uint16_t half)
{
    int exponent = half >> 10 & 31;
    int fraction = half & 1023;
    float x;
    if (exponent == 31) {
        x = fraction ? NAN : INFINITY;
    } else if (exponent == 0) {
        x = ldexpf((float)fraction, -24);
    } else {
        x = ldexpf((float)(1024 + fraction), exponent - 25);
    }
    return half >> 15 ? -x : x;
}

static float bfloat_to_float(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The fixed-size entry at data[i], whatever its alignment. */
#define ENTRY(type, name)                                                      \
    static type name(const struct uh_stored_tensor *t, size_t i)               \
    {                                                                          \
        type x;                                                                \
        memcpy(&x, (const uint8_t *)t->data + i * sizeof x, sizeof x);         \
        return x;                                                              \
    }
ENTRY(double, f64_at)
ENTRY(float, f32_at)
ENTRY(int64_t, i64_at)
ENTRY(uint64_t, u64_at)
ENTRY(int32_t, i32_at)
ENTRY(uint32_t, u32_at)
ENTRY(int16_t, i16_at)
ENTRY(uint16_t, u16_at)
ENTRY(int8_t, i8_at)
ENTRY(uint8_t, u8_at)
#undef ENTRY

static const double TWO_63 = 9223372036854775808.0;

/* The entry as a double, and whether that is all of it: a double may fail to
 * hold a 64-bit integer. */
static double entry_as_double(const struct uh_stored_tensor *t, size_t i,
                              bool *exact)
{
    *exact = true;
    switch (t->dtype) {
    case UH_F64:
        return f64_at(t, i);
    case UH_F32:
        return (double)f32_at(t, i);
    case UH_F16:
        return (double)uh_half_to_float(u16_at(t, i));
    case UH_BF16:
        return (double)bfloat_to_float(u16_at(t, i));
    case UH_I64: {
        double x = (double)i64_at(t, i);
        *exact = x < TWO_63 && (int64_t)x == i64_at(t, i);
        return x;
    }
    case UH_U64: {
        double x = (double)u64_at(t, i);
        *exact = x < 2 * TWO_63 && (uint64_t)x == u64_at(t, i);
        return x;
    }
    case UH_I32:
        return i32_at(t, i);
    case UH_U32:
        return u32_at(t, i);
    case UH_I16:
        return i16_at(t, i);
    case UH_U16:
        return u16_at(t, i);
    case UH_I8:
        return i8_at(t, i);
    case UH_U8:
        return u8_at(t, i);
    default:
        UH_REQUIRE(false, "dtype %d", (int)t->dtype);
        return 0;
    }
}

static bool is_float(enum uh_dtype dtype)
{
    return dtype == UH_F64 || dtype == UH_F32 || dtype == UH_F16 ||
           dtype == UH_BF16;
}

static enum uh_status check_numeric(const struct uh_stored_tensor *t,
                                    const char *file, struct uh_error *error)
{
    if (t->dtype == UH_BOOL || t->dtype == UH_F8_E4M3 ||
        t->dtype == UH_F8_E5M2) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %.80s: expected F32, F64, F16 or integers, "
                       "found %s (%s)",
                       t->name, uh_dtype_name(t->dtype), file);
    }
    return UH_OK;
}

static enum uh_status not_exact(const struct uh_stored_tensor *t, size_t i,
                                const char *type, const char *file,
                                struct uh_error *error)
{
    return uh_fail(error, UH_BAD_INPUT,
                   "tensor %.80s: expected values that %s holds, found another "
                   "%s at %zu (%s)",
                   t->name, type, uh_dtype_name(t->dtype), i, file);
}

enum uh_status uh_stored_tensor_floats(const struct uh_stored_tensor *tensor,
                                       bool exact, const char *file, float *x,
                                       struct uh_error *error)
{
    enum uh_status status = check_numeric(tensor, file, error);
    for (size_t i = 0; status == UH_OK && i < tensor->count; i++) {
        bool whole;
        double value = entry_as_double(tensor, i, &whole);
        x[i] = (float)value;
        bool same = whole && ((double)x[i] == value || isnan(value));
        if (exact && !same) {
            return not_exact(tensor, i, "float32", file, error);
        }
    }
    return status;
}

enum uh_status uh_stored_tensor_doubles(const struct uh_stored_tensor *tensor,
                                        bool exact, const char *file, double *x,
                                        struct uh_error *error)
{
    enum uh_status status = check_numeric(tensor, file, error);
    for (size_t i = 0; status == UH_OK && i < tensor->count; i++) {
        bool whole;
        x[i] = entry_as_double(tensor, i, &whole);
        if (exact && !whole) {
            return not_exact(tensor, i, "float64", file, error);
        }
    }
    return status;
}

enum uh_status uh_safetensors_require_finite(const struct uh_safetensors *file,
                                             struct uh_error *error)
{
    for (size_t k = 0; k < file->tensors; k++) {
        const struct uh_stored_tensor *t = &file->tensor[k];
        for (size_t i = 0; is_float(t->dtype) && i < t->count; i++) {
            bool whole;
            double x = entry_as_double(t, i, &whole);
            if (!isfinite(x)) {
                return uh_fail(error, UH_NOT_FINITE,
                               "tensor %.80s: expected finite numbers, found "
                               "%s at %zu (%s)",
                               t->name, isnan(x) ? "NaN" : "infinity", i,
                               file->file);
            }
        }
    }
    return UH_OK;
}

const char *uh_stored_shape_text(size_t rank, const size_t dims[],
                                 char text[UH_SHAPE_TEXT])
{
    size_t used = 0;
    strcpy(text, rank ? "" : "a scalar");
    for (size_t i = 0; i < rank && used < UH_SHAPE_TEXT; i++) {
        int n = snprintf(text + used, UH_SHAPE_TEXT - used, "%s%zu",
                         i ? "x" : "", dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}

static int by_size_and_name(const void *a, const void *b)
{
    const struct uh_stored_tensor *s = a, *t = b;
    size_t m = uh_dtype_size(s->dtype), n = uh_dtype_size(t->dtype);
    return m != n ? (m < n) - (m > n) : strcmp(s->name, t->name);
}

static size_t bytes_of(const struct uh_stored_tensor *t)
{
    size_t bytes = uh_dtype_size(t->dtype);
    for (size_t i = 0; i < t->rank; i++) {
        bytes = uh_size_mul(bytes, t->dims[i]);
    }
    return bytes;
}

/* Adds value under key; both come out of our own hands. */
static void put(json_t *object, const char *key, json_t *value)
{
    UH_REQUIRE(*key && value && !json_object_get(object, key),
               "\"%s\" is empty, used twice, or not UTF-8", key);
    int failed = json_object_set_new(object, key, value);
    UH_REQUIRE(!failed, "\"%s\" is not UTF-8", key);
}

static json_t *describe(const struct uh_stored_tensor *t, size_t begin)
{
    UH_REQUIRE(t->rank <= UH_SAFETENSORS_RANK, "%s has rank %zu", t->name,
               t->rank);
    UH_REQUIRE(strcmp(t->name, METADATA) != 0, "a tensor named %s", t->name);
    json_t *shape = json_array();
    for (size_t i = 0; i < t->rank; i++) {
        json_array_append_new(shape, json_integer((json_int_t)t->dims[i]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", uh_dtype_name(t->dtype),
                     "shape", shape, "data_offsets", (json_int_t)begin,
                     (json_int_t)(begin + bytes_of(t)));
}

/* The header as text, without padding; free it. */
static char *header_text(size_t tensors, const struct uh_stored_tensor *sorted,
                         size_t entries, const struct uh_metadata *pairs)
{
    json_t *header = json_object();
    if (entries > 0) {
        json_t *metadata = json_object();
        for (size_t i = 0; i < entries; i++) {
            put(metadata, pairs[i].key, json_string(pairs[i].value));
        }
        put(header, METADATA, metadata);
    }
    size_t begin = 0;
    for (size_t i = 0; i < tensors; i++) {
        put(header, sorted[i].name, describe(&sorted[i], begin));
        begin = uh_size_add(begin, bytes_of(&sorted[i]));
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text) {
        uh_die("memory: expected room for a header, found none");
    }
    return text;
}

void uh_safetensors_write(const char *path, size_t tensors,
                          const struct uh_stored_tensor *tensor, size_t entries,
                          const struct uh_metadata *metadata)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_stored_tensor *sorted =
        uh_arena_alloc(arena, tensors, sizeof *sorted);
    struct uh_metadata *pairs = uh_arena_alloc(arena, entries, sizeof *pairs);
    for (size_t i = 0; i < tensors; i++) {
        sorted[i] = tensor[i];
    }
    for (size_t i = 0; i < entries; i++) {
        pairs[i] = metadata[i];
    }
    qsort(sorted, tensors, sizeof *sorted, by_size_and_name);
    qsort(pairs, entries, sizeof *pairs, by_key);
    char *text = header_text(tensors, sorted, entries, pairs);
    size_t length = strlen(text);
    size_t padded = (length + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    UH_REQUIRE(padded <= UH_SAFETENSORS_HEADER, "a header of %zu bytes",
               padded);
    uint8_t prefix[PREFIX];
    for (size_t i = 0; i < PREFIX; i++) {
        prefix[i] = (uint8_t)(padded >> 8 * i & 255);
    }
    struct uh_file *file = uh_file_create(path);
    uh_file_write(file, prefix, sizeof prefix);
    uh_file_write(file, text, length);
    for (size_t i = length; i < padded; i++) {
        uh_file_write(file, " ", 1);
    }
    for (size_t i = 0; i < tensors; i++) {
        uh_file_write(file, sorted[i].data, bytes_of(&sorted[i]));
    }
    uh_file_commit(file);
    free(text);
    uh_arena_free(&arena);
}
