/* train.h: training, to the same bits on any machine.  Floor 3.
 *
 * Each epoch permutes the samples by the stream "STREAM/epoch=E" (E from 0)
 * and cuts them into mini-batches; the last may be smaller.  A mini-batch of n
 * is cut into `shards` shards, shard s holding samples floor(s n / shards) to
 * floor((s+1) n / shards) - 1.  Each shard's gradient of the mean loss of the
 * mini-batch is computed in order of its samples, then shards are added in
 * order.  The number of shards is a constant of the experiment: threads change
 * no bit, shards do.  With one shard the products are threaded and gradients
 * are used up as they come (wide dense nets: their parameters are bound by
 * memory), with more the shards are threaded (convolutions).  Batchnorm takes
 * its statistics over a shard.
 */
#ifndef UH_TRAIN_H
#define UH_TRAIN_H

#include "arena.h"
#include "cells.h"
#include "dataset.h"
#include "net.h"
#include "optim.h"

#include <stddef.h>
#include <stdint.h>

struct uh_train_step {
    size_t epoch;      /* from 0 */
    size_t step;       /* steps since the beginning, from 1: just done */
    size_t steps;      /* of the whole training */
    double loss;       /* mean over the mini-batch, before the step, in nats */
    int epoch_ends;    /* 1: this was the last step of its epoch */
    double epoch_loss; /* mean over the epoch's samples so far, each before
                             the step it took part in */
    double epoch_correct; /* fraction of them classified correctly */
};

struct uh_train {
    size_t epochs;
    size_t batch;            /* samples of a mini-batch */
    size_t shards;           /* of a mini-batch; at least 1 */
    struct uh_optim optim;   /* rule, rate, momentum, decay, betas, epsilon;
                                the rest is filled */
    const float *rates;      /* (epochs) step sizes, or NULL: optim.rate */
    const char *stream;      /* name of the order of the samples */
    const char *checkpoint;  /* path, or NULL: none.  If it exists at the
                                start, training continues from it */
    size_t checkpoint_every; /* steps; 0: at the end of each epoch */
    const char *progress;    /* what the progress line says, NULL: silent */
    void (*after_step)(void *context, const struct uh_net *net,
                       const struct uh_train_step *step); /* may be NULL; takes
                                nothing from the arena of the training */
    void *context;
};

/* Fields that most experiments leave: SGD, rate 0.01, momentum 0.9, no decay;
 * Adam's betas 0.9 and 0.999, epsilon 1e-8; batch 100, 4 shards, 1 epoch. */
struct uh_train uh_train_defaults(void);

/* Trains net in place.
 *
 * Lane     exact; the result is a function of net, data and the fields up to
 *          stream.  A training that was killed and continued from its
 *          checkpoint ends with the same bits; after_step is then called only
 *          for the steps done now.  A checkpoint of a finished training gives
 *          its result at once, or is trained on where epochs is larger now.
 * Memory   from arena, for the duration: a parameter block per shard if there
 *          are two or more, the optimizer's arrays; activations from the pool's
 *          scratch.
 * Returns  UH_OK
 *          UH_NOT_FINITE  the loss became NaN or infinite; error names the
 *                         step, net is as it was then
 *          UH_BAD_INPUT   the checkpoint is damaged or of another training
 */
UH_MUST_USE enum uh_status uh_train(struct uh_net *net, struct uh_pool *pool,
                                    const struct uh_dataset *data,
                                    const struct uh_train *how,
                                    struct uh_arena *arena,
                                    struct uh_error *error);

struct uh_score {
    size_t count;   /* samples */
    size_t correct; /* argmax of the logits (lowest of equals) is the label */
    double loss;    /* mean softmax cross-entropy, nats */
};

/* Logits of all samples, (count, classes), into logits (NULL: not wanted),
 * and the score.  Batches and threads change no bit. */
struct uh_score uh_evaluate(const struct uh_net *net, struct uh_pool *pool,
                            const struct uh_dataset *data, float *logits);

#endif
