/* dataset.h: labeled images.  Floor 2.
 *
 * The built-in sets strokes and shapes have headers of their own; what is read
 * from files is loaded here:
 *
 *   mnist     FOLDER/mnist/{train,t10k}-images-idx3-ubyte and
 *             {train,t10k}-labels-idx1-ubyte, 28 x 28, digits
 *   notmnist  FOLDER/notmnist/t10k-*, the same form, letters A to J; test only
 *   cifar10   FOLDER/cifar10/data_batch_1.bin to data_batch_5.bin (train) and
 *             test_batch.bin, or subsets of them named
 *             data_batch_N_firstCOUNT.bin and test_batch_firstCOUNT.bin
 *
 * each as it is or gzip'd with ".gz" behind the name; where both are there,
 * the one without.  The whole batches win over subsets.
 */
#ifndef UH_DATASET_H
#define UH_DATASET_H

#include "arena.h"
#include "status.h"
#include "tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uh_dataset {
    const char *name, *split; /* "mnist", "train" */
    struct uh_shape shape;    /* of one image */
    size_t count;             /* images */
    size_t classes;
    const float *x;                 /* (count, shape), in [0, 1], C order */
    const uint8_t *y;               /* count labels, each below classes */
    const char *const *class_names; /* classes of them */
    char digest[65];                /* SHA-256 of the content, see below */
    bool canonical;      /* the digest is that of the set as it was published;
                            false: it is not, or nobody wrote down which it is */
    const float *latent; /* (count, latents), NULL for real data */
    size_t latents;
    const char *const *latent_names; /* latents of them */
};

/* Loads a set from files; x is the pixel divided by 255 (one correctly rounded
 * division).  The digest is that of the unpacked files, one behind the other:
 * images, then labels (IDX); the batches in their order (CIFAR).
 *
 * name "mnist", "cifar10" or "notmnist", split "train" or "test", folder the
 * one that holds all sets (DATA).  Name and split are copied.  Anything else,
 * a missing file, files that do not fit each other or the set: one line. */
UH_MUST_USE enum uh_status uh_dataset_load(const char *name, const char *split,
                                           const char *folder,
                                           struct uh_arena *arena,
                                           struct uh_dataset *out,
                                           struct uh_error *error);

/* The same from an image and a label file that are already in memory, for
 * sets of one's own (and for fuzzing): 28 x 28 or any other size, labels below
 * classes.  files are the two names, for messages. */
struct uh_idx;
UH_MUST_USE enum uh_status
uh_dataset_of_idx(const struct uh_idx *images, const struct uh_idx *labels,
                  size_t classes, const char *image_file,
                  const char *label_file, struct uh_arena *arena,
                  struct uh_dataset *out, struct uh_error *error);

/* Ten names each. */
extern const char *const uh_class_names_digits[10];
extern const char *const uh_class_names_letters[10]; /* A to J */
extern const char *const uh_class_names_cifar10[10];

#endif
