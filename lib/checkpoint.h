/* checkpoint.h: what a training needs to go on to the same bits.  Floor 3.
 *
 * A .safetensors file with float32 vectors "parameters", "state" (running
 * statistics), "first" and "second" (of the optimizer, where it has them), and
 * metadata: "training" (digest of what is being trained: network, beginning,
 * data, constants), "step" (steps done), "loss" and "correct" (sums over the
 * epoch so far).  The order of the samples needs no state: each epoch has a
 * stream of its own.  Written whole or not at all.
 */
#ifndef UH_CHECKPOINT_H
#define UH_CHECKPOINT_H

#include "net.h"
#include "optim.h"

struct uh_checkpoint {
    char training[65]; /* digest; a checkpoint of another one is refused */
    uint64_t step;     /* steps done */
    double loss;       /* sum over the samples of the epoch so far */
    uint64_t correct;  /* of them */
};

/* Ends the program with one line if the file cannot be written. */
void uh_checkpoint_write(const char *path, const struct uh_checkpoint *about,
                         const struct uh_net *net,
                         const struct uh_optim *optim);

/* about->training is given, the rest and the arrays of net and optim (with its
 * steps) are filled.  UH_BAD_INPUT, UH_NOT_FINITE or UH_IO with one line and
 * nothing changed if the file is not a checkpoint of this training. */
UH_MUST_USE enum uh_status uh_checkpoint_read(const char *path,
                                              struct uh_checkpoint *about,
                                              struct uh_net *net,
                                              struct uh_optim *optim,
                                              struct uh_error *error);

#endif
