/* npy.h: arrays of float32 or float64 as numpy saves them.  Floor 2.
 *
 * Format version 1.0: the magic "\x93NUMPY", the version, a 16-bit length, a
 * header that is a Python dictionary {'descr': '<f4' or '<f8',
 * 'fortran_order': False, 'shape': (...)} padded by blanks to a multiple of 64
 * bytes, then the entries, little-endian, in C order, and nothing behind them.
 * Everything else that numpy may save is one line that says what to do.
 *
 * Source: NumPy Enhancement Proposal 1, and numpy.lib.format.
 */
#ifndef UH_NPY_H
#define UH_NPY_H

#include "arena.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { UH_NPY_RANK = 8 }; /* largest rank that is read or written */

struct uh_npy {
    size_t rank;              /* 0 (a single number) to UH_NPY_RANK */
    size_t dims[UH_NPY_RANK]; /* the unused ones are 1; a dimension may be 0 */
    size_t count;             /* their product */
    const float *f32;  /* count entries, or NULL where they are float64 */
    const double *f64; /* count entries, or NULL where they are float32 */
};

/* name is the file's, for messages only.  The entries are copied. */
UH_MUST_USE enum uh_status uh_npy_parse(size_t size, const uint8_t *bytes,
                                        const char *name,
                                        struct uh_arena *arena,
                                        struct uh_npy *out,
                                        struct uh_error *error);

UH_MUST_USE enum uh_status uh_npy_read(const char *path, struct uh_arena *arena,
                                       struct uh_npy *out,
                                       struct uh_error *error);

/* UH_NOT_FINITE, with the index of the first, where an entry is a NaN or an
 * infinity. */
UH_MUST_USE enum uh_status uh_npy_require_finite(const struct uh_npy *npy,
                                                 const char *name,
                                                 struct uh_error *error);

/* The entries as float32, rounded to nearest where they are float64 (beyond
 * FLT_MAX that is an infinity).  The same array where they are float32. */
const float *uh_npy_floats(const struct uh_npy *npy, struct uh_arena *arena);

/* Writes an array of the given dims in C order, byte for byte what
 * numpy.save would; the program ends with one line if it cannot.  rank 0
 * writes one number. */
void uh_npy_write_f32(const char *path, size_t rank, const size_t *dims,
                      const float *x);
void uh_npy_write_f64(const char *path, size_t rank, const size_t *dims,
                      const double *x);

#endif
