/* codebook.h: weights as rows of a codebook (product quantization).  Floor 2.
 *
 * A weight of `out` outputs with `terms` entries each, in C order, may be
 * stored as NAME.centroids and NAME.assignments instead of NAME.weight:
 *
 *   one codebook        centroids (K, d), assignments (blocks * out): block j
 *                       of output o is row assignments[j * out + o]
 *   one for each block  centroids (blocks, K, d), assignments (out, blocks):
 *                       block j of output o is row assignments[o][j] of
 *                       centroids[j]
 *
 * where blocks * d = terms and block j is entries j d ... j d + d - 1.
 *
 * Source: P. Stock et al., And the bit goes down: revisiting the quantization
 * of neural networks, ICLR 2020; J. Wu et al., Quantized convolutional neural
 * networks for mobile devices, CVPR 2016.
 */
#ifndef UH_CODEBOOK_H
#define UH_CODEBOOK_H

#include "safetensors.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>

struct uh_codebook {
    const char *name, *file;                    /* for messages */
    const struct uh_stored_tensor *centroids;   /* F16, F32, F64, BF16 */
    const struct uh_stored_tensor *assignments; /* any integer type */
    size_t out, terms;
};

/* Whether the file has either of the two tensors; they may not fit. */
bool uh_codebook_find(const struct uh_safetensors *stored, const char *name,
                      size_t out, size_t terms, struct uh_codebook *book);

/* UH_BAD_INPUT with one line that names the tensor that is missing or whose
 * shape or type is another. */
UH_MUST_USE enum uh_status uh_codebook_check(const struct uh_codebook *book,
                                             struct uh_error *error);

/* The weight, (out, terms), of a codebook that passed the check.  UH_BAD_INPUT
 * if an assignment names no row, UH_NOT_FINITE if a centroid is not finite. */
UH_MUST_USE enum uh_status uh_codebook_floats(const struct uh_codebook *book,
                                              float *weight,
                                              struct uh_error *error);

#endif
