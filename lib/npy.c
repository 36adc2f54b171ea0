/* npy.c: arrays of float32 or float64 as numpy saves them. */
#include "npy.h"
#include "die.h"
#include "file.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays are read and written as they lie in memory");
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754");

/* Bytes before the header; of a header's multiple; digits that numpy leaves
 * room for, so that the first axis can grow in place. */
enum { PREFIX = 10, ALIGNMENT = 64, GROWTH = 21, WORD = 64 };

static const char MAGIC[6] = "\x93NUMPY";

/* The header text that is left, and the file's name for messages. */
struct text {
    const char *next, *end;
    const char *name;
    struct uh_error *error;
};

/* What a header says. */
struct header {
    char descr[WORD]; /* "" where it is not a string */
    bool has_descr, has_order, has_shape;
    bool fortran;
    size_t rank, dims[UH_NPY_RANK];
};

static enum uh_status malformed(const struct text *t, const char *expected)
{
    int left = (int)(t->end - t->next < 24 ? t->end - t->next : 24);
    while (left > 0 &&
           (t->next[left - 1] == ' ' || t->next[left - 1] == '\n')) {
        left--;
    }
    return uh_fail(t->error, UH_BAD_INPUT,
                   ".npy header: expected %s, found \"%.*s\" (%s)", expected,
                   left, t->next, t->name);
}

static void skip_blanks(struct text *t)
{
    while (t->next < t->end &&
           (*t->next == ' ' || *t->next == '\n' || *t->next == '\t')) {
        t->next++;
    }
}

static bool take(struct text *t, const char *word)
{
    size_t n = strlen(word);
    skip_blanks(t);
    if ((size_t)(t->end - t->next) < n || memcmp(t->next, word, n) != 0) {
        return false;
    }
    t->next += n;
    return true;
}

/* A string in single or double quotes, without escapes. */
static enum uh_status take_string(struct text *t, char word[WORD])
{
    skip_blanks(t);
    if (t->next >= t->end || (*t->next != '\'' && *t->next != '"')) {
        return malformed(t, "a string");
    }
    const char *start = t->next + 1;
    const char *stop = memchr(start, *t->next, (size_t)(t->end - start));
    if (!stop || stop - start >= WORD) {
        return malformed(t, "a short string");
    }
    memcpy(word, start, (size_t)(stop - start));
    word[stop - start] = '\0';
    t->next = stop + 1;
    return UH_OK;
}

static enum uh_status take_size(struct text *t, size_t *size)
{
    skip_blanks(t);
    const char *start = t->next;
    *size = 0;
    while (t->next < t->end && *t->next >= '0' && *t->next <= '9') {
        size_t digit = (size_t)(*t->next - '0');
        if (*size > (SIZE_MAX / 2 - digit) / 10) {
            t->next = start;
            return malformed(t, "a smaller size");
        }
        *size = 10 * *size + digit;
        t->next++;
    }
    return t->next > start ? UH_OK : malformed(t, "a size");
}

static enum uh_status take_shape(struct text *t, struct header *h)
{
    if (!take(t, "(")) {
        return malformed(t, "a shape in parentheses");
    }
    while (!take(t, ")")) {
        if (h->rank == UH_NPY_RANK) {
            return uh_fail(t->error, UH_BAD_INPUT,
                           ".npy shape: expected at most %d axes, found more "
                           "(%s)",
                           UH_NPY_RANK, t->name);
        }
        enum uh_status status = take_size(t, &h->dims[h->rank]);
        if (status != UH_OK) {
            return status;
        }
        h->rank++;
        /* (3) is a number in Python; a shape of rank 1 is (3,). */
        bool comma = take(t, ",");
        if (!comma && (h->rank < 2 || t->next >= t->end || *t->next != ')')) {
            return malformed(t, "a comma in the shape");
        }
    }
    return UH_OK;
}

static enum uh_status take_entry(struct text *t, struct header *h)
{
    char key[WORD];
    enum uh_status status = take_string(t, key);
    if (status != UH_OK) {
        return status;
    }
    if (!take(t, ":")) {
        return malformed(t, "a colon");
    }
    if (strcmp(key, "descr") == 0 && !h->has_descr) {
        h->has_descr = true;
        skip_blanks(t);
        if (t->next < t->end && *t->next == '[') {
            return uh_fail(t->error, UH_BAD_INPUT,
                           ".npy type: expected <f4 or <f8, found a type with "
                           "fields; save one field as numbers (%s)",
                           t->name);
        }
        return take_string(t, h->descr);
    }
    if (strcmp(key, "fortran_order") == 0 && !h->has_order) {
        h->has_order = true;
        h->fortran = take(t, "True");
        return h->fortran || take(t, "False") ? UH_OK
                                              : malformed(t, "True or False");
    }
    if (strcmp(key, "shape") == 0 && !h->has_shape) {
        h->has_shape = true;
        return take_shape(t, h);
    }
    return uh_fail(t->error, UH_BAD_INPUT,
                   ".npy header: expected descr, fortran_order and shape once "
                   "each, found %s (%s)",
                   key, t->name);
}

static enum uh_status take_header(struct text *t, struct header *h)
{
    if (!take(t, "{")) {
        return malformed(t, "a dictionary");
    }
    while (!take(t, "}")) {
        enum uh_status status = take_entry(t, h);
        if (status != UH_OK) {
            return status;
        }
        skip_blanks(t);
        if (!take(t, ",") && (t->next >= t->end || *t->next != '}')) {
            return malformed(t, "a comma or the end of the dictionary");
        }
    }
    skip_blanks(t);
    if (t->next < t->end) {
        return malformed(t, "blanks behind the dictionary");
    }
    if (!h->has_descr || !h->has_order || !h->has_shape) {
        return uh_fail(t->error, UH_BAD_INPUT,
                       ".npy header: expected descr, fortran_order and shape, "
                       "found no %s (%s)",
                       !h->has_descr   ? "descr"
                       : !h->has_order ? "fortran_order"
                                       : "shape",
                       t->name);
    }
    return UH_OK;
}

static bool is_single(const struct header *h)
{
    return strcmp(h->descr, "<f4") == 0;
}

/* Type and order; the advice is in numpy's words. */
static enum uh_status check_kind(const struct header *h, const char *name,
                                 struct uh_error *error)
{
    if (!is_single(h) && strcmp(h->descr, "<f8") != 0) {
        const char *advice = strcmp(h->descr, "|u1") == 0
                                 ? "save x.astype('<f4') / 255 for pixels"
                                 : "save x.astype('<f4')";
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy type: expected <f4 or <f8, found %s; %s (%s)",
                       h->descr, advice, name);
    }
    if (h->fortran) {
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy order: expected C order, found Fortran order; "
                       "save numpy.ascontiguousarray(x) (%s)",
                       name);
    }
    return UH_OK;
}

/* Finds the header text in front of the data. */
static enum uh_status split(size_t size, const uint8_t *bytes, const char *name,
                            struct text *t, struct uh_error *error)
{
    if (size < PREFIX || memcmp(bytes, MAGIC, sizeof MAGIC) != 0) {
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy magic: expected \\x93NUMPY, found something else "
                       "(%s)",
                       name);
    }
    if (bytes[6] != 1 || bytes[7] != 0) {
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy version: expected 1.0, found %d.%d; save a plain "
                       "array with numpy.save (%s)",
                       bytes[6], bytes[7], name);
    }
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (length > size - PREFIX) {
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy header: expected %zu bytes, found %zu (%s)",
                       length, size - PREFIX, name);
    }
    const char *start = (const char *)bytes + PREFIX;
    *t = (struct text){start, start + length, name, error};
    return UH_OK;
}

enum uh_status uh_npy_parse(size_t size, const uint8_t *bytes, const char *name,
                            struct uh_arena *arena, struct uh_npy *out,
                            struct uh_error *error)
{
    struct text t;
    struct header h = {0};
    enum uh_status status = split(size, bytes, name, &t, error);
    if (status == UH_OK) {
        status = take_header(&t, &h);
    }
    if (status == UH_OK) {
        status = check_kind(&h, name, error);
    }
    if (status != UH_OK) {
        return status;
    }
    size_t entry = is_single(&h) ? sizeof(float) : sizeof(double);
    size_t found = size - (size_t)((const uint8_t *)t.end - bytes);
    struct uh_npy npy = {.rank = h.rank, .count = 1};
    for (size_t i = 0; i < UH_NPY_RANK; i++) {
        npy.dims[i] = i < h.rank ? h.dims[i] : 1;
        if (!uh_size_fits_mul(npy.count, npy.dims[i])) {
            return uh_fail(error, UH_BAD_INPUT,
                           ".npy shape: expected a product that fits, found "
                           "%zu times %zu (%s)",
                           npy.count, npy.dims[i], name);
        }
        npy.count *= npy.dims[i];
    }
    if (!uh_size_fits_mul(npy.count, entry) || npy.count * entry != found) {
        return uh_fail(error, UH_BAD_INPUT,
                       ".npy data: expected %zu entries of %zu bytes, found "
                       "%zu bytes (%s)",
                       npy.count, entry, found, name);
    }
    void *data = uh_arena_alloc_raw(arena, npy.count, entry);
    memcpy(data, t.end, found);
    if (is_single(&h)) {
        npy.f32 = data;
    } else {
        npy.f64 = data;
    }
    *out = npy;
    return UH_OK;
}

enum uh_status uh_npy_read(const char *path, struct uh_arena *arena,
                           struct uh_npy *out, struct uh_error *error)
{
    struct uh_arena *file = uh_arena_new();
    uint8_t *bytes;
    size_t size;
    enum uh_status status = uh_file_read(path, 0, file, &bytes, &size, error);
    if (status == UH_OK) {
        status = uh_npy_parse(size, bytes, path, arena, out, error);
    }
    uh_arena_free(&file);
    return status;
}

enum uh_status uh_npy_require_finite(const struct uh_npy *npy, const char *name,
                                     struct uh_error *error)
{
    for (size_t i = 0; i < npy->count; i++) {
        double x = npy->f32 ? (double)npy->f32[i] : npy->f64[i];
        if (!isfinite(x)) {
            return uh_fail(error, UH_NOT_FINITE,
                           ".npy entry %zu: expected a finite number, found "
                           "%s (%s)",
                           i, isnan(x) ? "NaN" : "infinity", name);
        }
    }
    return UH_OK;
}

const float *uh_npy_floats(const struct uh_npy *npy, struct uh_arena *arena)
{
    if (npy->f32) {
        return npy->f32;
    }
    float *x = uh_arena_alloc_raw(arena, npy->count, sizeof *x);
    for (size_t i = 0; i < npy->count; i++) {
        x[i] = (float)npy->f64[i];
    }
    return x;
}

static void write_array(const char *path, const char *descr, size_t rank,
                        const size_t *dims, size_t entry, const void *x)
{
    UH_REQUIRE(rank <= UH_NPY_RANK, "rank %zu", rank);
    char shape[24 * UH_NPY_RANK] = "";
    size_t count = 1, used = 0;
    for (size_t i = 0; i < rank; i++) {
        count = uh_size_mul(count, dims[i]);
        used += (size_t)snprintf(shape + used, sizeof shape - used, "%s%zu",
                                 i > 0 ? ", " : "", dims[i]);
    }
    int room = 0;
    if (rank > 0) {
        room = GROWTH - snprintf(NULL, 0, "%zu", dims[0]);
    }
    char text[sizeof shape + 256];
    int length = snprintf(text, sizeof text,
                          "{'descr': '%s', 'fortran_order': False, 'shape': "
                          "(%s%s), }%*s",
                          descr, shape, rank == 1 ? "," : "", room, "");
    size_t whole =
        (PREFIX + (size_t)length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t header = whole - PREFIX;
    uint8_t prefix[PREFIX];
    memcpy(prefix, MAGIC, sizeof MAGIC);
    prefix[6] = 1;
    prefix[7] = 0;
    prefix[8] = (uint8_t)(header & 255);
    prefix[9] = (uint8_t)(header >> 8);
    struct uh_file *file = uh_file_create(path);
    uh_file_write(file, prefix, sizeof prefix);
    uh_file_write(file, text, (size_t)length);
    for (size_t i = (size_t)length; i + 1 < header; i++) {
        uh_file_write(file, " ", 1);
    }
    uh_file_write(file, "\n", 1);
    uh_file_write(file, x, uh_size_mul(count, entry));
    uh_file_commit(file);
}

void uh_npy_write_f32(const char *path, size_t rank, const size_t *dims,
                      const float *x)
{
    write_array(path, "<f4", rank, dims, sizeof *x, x);
}

void uh_npy_write_f64(const char *path, size_t rank, const size_t *dims,
                      const double *x)
{
    write_array(path, "<f8", rank, dims, sizeof *x, x);
}
