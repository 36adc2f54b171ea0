/* safetensors.h: named tensors in the published .safetensors format.  Floor 2.
 *
 * A file is a 64-bit little-endian length, a JSON object of that many bytes,
 * and the data.  The object maps each tensor's name to {"dtype", "shape",
 * "data_offsets": [begin, end]} with offsets into the data, and "__metadata__"
 * to an object of strings.  The tensors must tile the data: no overlap, no
 * hole, nothing behind the last.  A length beyond the file or 100 MB, a name
 * that occurs twice, a shape that does not fit its offsets: UH_BAD_INPUT.
 *
 * Source: https://github.com/huggingface/safetensors, README, "Format".
 */
#ifndef UH_SAFETENSORS_H
#define UH_SAFETENSORS_H

#include "arena.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UH_SAFETENSORS_RANK = 8, UH_SAFETENSORS_HEADER = 100 * 1000 * 1000 };

/* The types of the format.  F64, F32, F16, BF16 and the integers can be had as
 * numbers; the others can be skipped. */
enum uh_dtype {
    UH_F64,
    UH_I64,
    UH_U64,
    UH_F32,
    UH_I32,
    UH_U32,
    UH_F16,
    UH_BF16,
    UH_I16,
    UH_U16,
    UH_F8_E4M3,
    UH_F8_E5M2,
    UH_I8,
    UH_U8,
    UH_BOOL,
    UH_DTYPES
};

/* "F32" and the like; bytes of one entry. */
const char *uh_dtype_name(enum uh_dtype dtype);
size_t uh_dtype_size(enum uh_dtype dtype);

/* One tensor as it is stored. */
struct uh_stored_tensor {
    const char *name;
    enum uh_dtype dtype;
    size_t rank;                      /* 0 to UH_SAFETENSORS_RANK */
    size_t dims[UH_SAFETENSORS_RANK]; /* the unused ones are 1; may be 0 */
    size_t count;                     /* their product */
    const void *data; /* count entries in C order, little-endian; of a file
                         that was read: not aligned */
};

struct uh_metadata {
    const char *key, *value;
};

struct uh_safetensors {
    const char *file; /* name for messages */
    size_t tensors;
    const struct uh_stored_tensor *tensor; /* sorted by name, by strcmp */
    size_t entries;
    const struct uh_metadata *metadata; /* sorted by key, by strcmp */
    char digest[65];                    /* SHA-256 of the file */
};

/* name is the file's, for messages (it is copied).  The data is not: out
 * points into bytes, which must outlive it. */
UH_MUST_USE enum uh_status
uh_safetensors_parse(size_t size, const uint8_t *bytes, const char *name,
                     struct uh_arena *arena, struct uh_safetensors *out,
                     struct uh_error *error);

UH_MUST_USE enum uh_status uh_safetensors_read(const char *path,
                                               struct uh_arena *arena,
                                               struct uh_safetensors *out,
                                               struct uh_error *error);

/* The tensor of that name, or NULL. */
const struct uh_stored_tensor *
uh_safetensors_find(const struct uh_safetensors *file, const char *name);

/* The value of that key of the metadata, or NULL. */
const char *uh_safetensors_metadata(const struct uh_safetensors *file,
                                    const char *key);

/* UH_NOT_FINITE, with name and index of the first, where an entry of an F16,
 * BF16, F32 or F64 tensor is a NaN or an infinity. */
UH_MUST_USE enum uh_status
uh_safetensors_require_finite(const struct uh_safetensors *file,
                              struct uh_error *error);

/* The shape in words: "64x3x7x7", "a scalar". */
enum { UH_SHAPE_TEXT = 96 };
const char *uh_stored_shape_text(size_t rank, const size_t dims[],
                                 char text[UH_SHAPE_TEXT]);

/* The entries of an F16, BF16, F32, F64 or integer tensor as float32 or
 * float64, into x[count].  exact: an entry that the type cannot hold is
 * UH_BAD_INPUT; otherwise it is rounded to nearest (a 64-bit integer by way of
 * double).  The other types are UH_BAD_INPUT.  file is for messages.  x is not
 * to be used after an error. */
UH_MUST_USE enum uh_status
uh_stored_tensor_floats(const struct uh_stored_tensor *tensor, bool exact,
                        const char *file, float *x, struct uh_error *error);
UH_MUST_USE enum uh_status
uh_stored_tensor_doubles(const struct uh_stored_tensor *tensor, bool exact,
                         const char *file, double *x, struct uh_error *error);

/* The value of a binary16 number; every one is a float. */
float uh_half_to_float(uint16_t half);

/* Writes tensors and metadata, whole or not at all; the program ends with one
 * line if it cannot.  The bytes are a function of what is given, not of its
 * order: the data (and the header) are sorted by size of the type, largest
 * first, then by name; the metadata by key; the header is padded by blanks so
 * that every tensor is aligned to its type.  count is computed from dims and
 * not looked at.  A name or key that is not UTF-8, is empty, occurs twice, or
 * is "__metadata__": a broken contract. */
void uh_safetensors_write(const char *path, size_t tensors,
                          const struct uh_stored_tensor *tensor, size_t entries,
                          const struct uh_metadata *metadata);

#endif
