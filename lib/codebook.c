/* codebook.c: weights as rows of a codebook. */
#include "codebook.h"
#include "arena.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 128 };

static const struct uh_stored_tensor *find(const struct uh_safetensors *stored,
                                           const char *name, const char *what)
{
    char full[NAME_SIZE];
    snprintf(full, sizeof full, "%s.%s", name, what);
    return uh_safetensors_find(stored, full);
}

bool uh_codebook_find(const struct uh_safetensors *stored, const char *name,
                      size_t out, size_t terms, struct uh_codebook *book)
{
    *book =
        (struct uh_codebook){.name = name,
                             .file = stored->file,
                             .centroids = find(stored, name, "centroids"),
                             .assignments = find(stored, name, "assignments"),
                             .out = out,
                             .terms = terms};
    return book->centroids || book->assignments;
}

static enum uh_status wrong(const struct uh_codebook *book, const char *what,
                            struct uh_error *error, const char *expected,
                            const char *found)
{
    return uh_fail(error, UH_BAD_INPUT,
                   "tensor %.80s.%s: expected %s, found %s (%.200s)",
                   book->name, what, expected, found, book->file);
}

static int is_integer(enum uh_dtype dtype)
{
    return dtype == UH_U8 || dtype == UH_I8 || dtype == UH_U16 ||
           dtype == UH_I16 || dtype == UH_U32 || dtype == UH_I32 ||
           dtype == UH_U64 || dtype == UH_I64;
}

static int is_real(enum uh_dtype dtype)
{
    return dtype == UH_F16 || dtype == UH_BF16 || dtype == UH_F32 ||
           dtype == UH_F64;
}

static enum uh_status wrong_type(const struct uh_codebook *book,
                                 const char *what, struct uh_error *error,
                                 const char *expected, enum uh_dtype found)
{
    return wrong(book, what, error, expected, uh_dtype_name(found));
}

/* Entries of a row. */
static size_t length(const struct uh_codebook *book)
{
    return book->centroids->dims[book->centroids->rank - 1];
}

/* A codebook for each block? */
static int many(const struct uh_codebook *book)
{
    return book->centroids->rank == 3;
}

enum uh_status uh_codebook_check(const struct uh_codebook *book,
                                 struct uh_error *error)
{
    const struct uh_stored_tensor *c = book->centroids, *a = book->assignments;
    char expected[UH_SHAPE_TEXT], found[UH_SHAPE_TEXT];
    if (!c || !a) {
        return wrong(book, c ? "assignments" : "centroids", error,
                     c ? "it beside the centroids"
                       : "it beside the assignments",
                     "none");
    }
    if (!is_real(c->dtype) || !is_integer(a->dtype)) {
        return is_real(c->dtype)
                   ? wrong_type(book, "assignments", error, "integers",
                                a->dtype)
                   : wrong_type(book, "centroids", error,
                                "F16, BF16, F32 or F64", c->dtype);
    }
    if ((c->rank != 2 && c->rank != 3) || c->count == 0 ||
        book->terms % length(book) ||
        (many(book) && c->dims[0] != book->terms / length(book))) {
        snprintf(expected, sizeof expected, "rows that make up %zu entries",
                 book->terms);
        return wrong(book, "centroids", error, expected,
                     uh_stored_shape_text(c->rank, c->dims, found));
    }
    size_t blocks = book->terms / length(book);
    size_t one = book->out * blocks, each[2] = {book->out, blocks};
    size_t rank = many(book) ? 2 : 1, *dims = many(book) ? each : &one;
    if (a->rank != rank || memcmp(a->dims, dims, rank * sizeof *dims) != 0) {
        char shape[UH_SHAPE_TEXT + 8];
        snprintf(shape, sizeof shape, "shape %s",
                 uh_stored_shape_text(rank, dims, expected));
        return wrong(book, "assignments", error, shape,
                     uh_stored_shape_text(a->rank, a->dims, found));
    }
    return UH_OK;
}

/* Copies the rows; choice and row are what the tensors hold. */
static enum uh_status assemble(const struct uh_codebook *book,
                               const double *choice, const float *row,
                               float *weight, struct uh_error *error)
{
    size_t d = length(book), blocks = book->terms / d;
    size_t rows = book->centroids->dims[many(book) ? 1 : 0];
    for (size_t o = 0; o < book->out; o++) {
        for (size_t j = 0; j < blocks; j++) {
            size_t at = many(book) ? o * blocks + j : j * book->out + o;
            if (!(choice[at] >= 0 && choice[at] < (double)rows)) {
                char expected[64], found[64];
                snprintf(expected, sizeof expected, "numbers below %zu", rows);
                snprintf(found, sizeof found, "%.17g at entry %zu", choice[at],
                         at);
                return wrong(book, "assignments", error, expected, found);
            }
            size_t r = (size_t)choice[at] + (many(book) ? j * rows : 0);
            memcpy(weight + o * book->terms + j * d, row + r * d,
                   d * sizeof *weight);
        }
    }
    return UH_OK;
}

enum uh_status uh_codebook_floats(const struct uh_codebook *book, float *weight,
                                  struct uh_error *error)
{
    const struct uh_stored_tensor *c = book->centroids, *a = book->assignments;
    struct uh_arena *scratch = uh_arena_new();
    double *choice = uh_arena_alloc_raw(scratch, a->count, sizeof *choice);
    float *row = uh_arena_alloc_raw(scratch, c->count, sizeof *row);
    enum uh_status status =
        uh_stored_tensor_doubles(a, true, book->file, choice, error);
    if (status == UH_OK) {
        status = uh_stored_tensor_floats(c, false, book->file, row, error);
    }
    for (size_t i = 0; status == UH_OK && i < c->count; i++) {
        if (!isfinite(row[i])) {
            status = uh_fail(error, UH_NOT_FINITE,
                             "tensor %.80s.centroids: expected finite float32 "
                             "numbers, found %s at entry %zu (%.200s)",
                             book->name, isnan(row[i]) ? "NaN" : "infinity", i,
                             book->file);
        }
    }
    if (status == UH_OK) {
        status = assemble(book, choice, row, weight, error);
    }
    uh_arena_free(&scratch);
    return status;
}
