/* train.c: training, to the same bits on any machine. */
#include "train.h"
#include "checkpoint.h"
#include "die.h"
#include "digest.h"
#include "file.h"
#include "layer_norm.h"
#include "loss.h"
#include "progress.h"
#include "stream.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct uh_train uh_train_defaults(void)
{
    return (struct uh_train){.epochs = 1,
                             .batch = 100,
                             .shards = 4,
                             .optim = {.rule = UH_SGD,
                                       .rate = 0.01F,
                                       .momentum = 0.9F,
                                       .beta1 = 0.9F,
                                       .beta2 = 0.999F,
                                       .epsilon = 1e-8F},
                             .stream = "train"};
}

/* What a shard leaves behind. */
struct shard {
    float *gradient; /* (parameter_count); NULL if it is the only shard */
    float *batch;    /* (state_count): mean and variance per batchnorm */
    size_t count;    /* samples */
    double loss;     /* sum over them */
    size_t correct;  /* of them */
};

struct training {
    struct uh_net *net;
    const struct uh_dataset *data;
    const struct uh_train *how;
    struct uh_optim optim;
    struct shard *shard;    /* how->shards of them */
    const float **gradient; /* theirs */
    uint32_t *order;        /* (data->count), of this epoch */
    size_t first, count;    /* this mini-batch: order[first ...] */
};

/* -- one step ---------------------------------------------------------------- */

/* The batch statistics of a trace, for the running ones; back: into notes. */
static void keep_statistics(const struct uh_net *net,
                            const struct uh_trace *trace, float *batch)
{
    for (size_t i = 0; i < net->layers; i++) {
        if (net->layer[i].kind == UH_BATCHNORM) {
            size_t c = net->layer[i].in.channels;
            memcpy(batch, trace->notes[i].mean, c * sizeof *batch);
            memcpy(batch + c, trace->notes[i].variance, c * sizeof *batch);
            batch += 2 * c;
        }
    }
}

static void move_statistics(struct uh_net *net, const struct shard *shard)
{
    float *batch = shard->batch;
    for (size_t i = 0; shard->count && i < net->layers; i++) {
        if (net->layer[i].kind == UH_BATCHNORM) {
            size_t c = net->layer[i].in.channels;
            struct uh_layer_notes notes = {.mean = batch,
                                           .variance = batch + c};
            uh_layer_norm_update(&net->layer[i], shard->count, &notes);
            batch += 2 * c;
        }
    }
}

static void take_part(void *context, size_t at, size_t count,
                      const float *gradient)
{
    const struct training *t = context;
    uh_optim_part(&t->optim, at, count, 1, &gradient, t->net->parameters);
}

/* The gradients of a shard; those of the only one are used up as they come,
 * unless the loss says that the training ends here. */
static void go_back(struct training *t, struct shard *shard,
                    struct uh_pool *pool, const struct uh_trace *trace,
                    const float *dy)
{
    if (shard->gradient) {
        uh_net_backward(t->net, pool, trace, dy, shard->gradient, NULL);
    } else if (isfinite(shard->loss)) {
        uh_optim_begin(&t->optim);
        uh_net_backward_to(t->net, pool, trace, dy,
                           &(struct uh_taker){take_part, t});
    }
}

static void shard_cell(void *context, size_t index, struct uh_pool *pool)
{
    struct training *t = context;
    struct shard *shard = &t->shard[index];
    size_t begin = index * t->count / t->how->shards;
    size_t end = (index + 1) * t->count / t->how->shards;
    size_t in = uh_shape_size(t->net->in), classes = uh_shape_size(t->net->out);
    size_t n = shard->count = end - begin;
    shard->loss = 0;
    shard->correct = 0;
    if (shard->gradient) {
        memset(shard->gradient, 0, t->net->parameter_count * sizeof(float));
    }
    if (n == 0) {
        return;
    }
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    float *x = uh_arena_alloc_raw(scratch, n * in, sizeof *x);
    float *dy = uh_arena_alloc_raw(scratch, n * classes, sizeof *dy);
    uint8_t *labels = uh_arena_alloc_raw(scratch, n, sizeof *labels);
    for (size_t i = 0; i < n; i++) {
        size_t sample = t->order[t->first + begin + i];
        memcpy(x + i * in, t->data->x + sample * in, in * sizeof *x);
        labels[i] = t->data->y[sample];
    }
    struct uh_trace trace = uh_net_trace_lean(t->net, pool, n, x, scratch);
    const float *logits = trace.out[t->net->layers - 1];
    shard->loss =
        uh_loss_softmax(n, classes, logits, labels, 1.0 / (double)t->count, dy);
    shard->correct = uh_loss_correct(n, classes, logits, labels);
    go_back(t, shard, pool, &trace, dy);
    keep_statistics(t->net, &trace, shard->batch);
    uh_arena_release(scratch, mark);
}

/* All shards, then the sums over them in order. */
static void run_shards(struct training *t, struct uh_pool *pool, double *loss,
                       size_t *correct)
{
    if (t->how->shards == 1) {
        shard_cell(t, 0, pool); /* the products have all threads */
    } else {
        uh_cells(pool, t->how->shards, shard_cell, t);
    }
    *loss = 0;
    *correct = 0;
    for (size_t s = 0; s < t->how->shards; s++) {
        *loss += t->shard[s].loss;
        *correct += t->shard[s].correct;
    }
}

/* -- what is being trained ------------------------------------------------------ */

static void add_text(struct uh_digest *digest, const char *text)
{
    uh_digest_add(digest, text, strlen(text) + 1);
}

/* Digest of everything that the result depends on but the number of epochs (a
 * checkpoint may be trained on), unless step sizes go by epoch. */
static void identify(const struct training *t, char hex[65])
{
    const struct uh_train *how = t->how;
    const struct uh_optim *o = &how->optim;
    struct uh_digest digest;
    char text[65];
    char line[512];
    uh_digest_start(&digest);
    add_text(&digest, t->net->arch);
    uh_net_digest(t->net, text);
    add_text(&digest, text);
    add_text(&digest, t->data->digest);
    add_text(&digest, how->stream);
    snprintf(line, sizeof line, "%zu %zu %zu %d %a %a %a %a %a %a",
             t->data->count, how->batch, how->shards, (int)o->rule,
             (double)o->rate, (double)o->momentum, (double)o->decay,
             (double)o->beta1, (double)o->beta2, (double)o->epsilon);
    add_text(&digest, line);
    for (size_t e = 0; how->rates && e < how->epochs; e++) {
        snprintf(line, sizeof line, "%a", (double)how->rates[e]);
        add_text(&digest, line);
    }
    uh_digest_end(&digest, hex);
}

/* -- the loop -------------------------------------------------------------------- */

static struct training begin(struct uh_net *net, const struct uh_dataset *data,
                             const struct uh_train *how, struct uh_arena *arena)
{
    UH_REQUIRE(how->epochs > 0 && how->batch > 0 && how->shards > 0,
               "%zu epochs, batch %zu, %zu shards", how->epochs, how->batch,
               how->shards);
    UH_REQUIRE(data->count > 0 && data->count <= UINT32_MAX, "%zu samples",
               data->count);
    UH_REQUIRE(uh_shape_size(data->shape) == uh_shape_size(net->in),
               "samples of %zu entries, a network for %zu",
               uh_shape_size(data->shape), uh_shape_size(net->in));
    UH_REQUIRE(data->classes <= uh_shape_size(net->out),
               "%zu classes, %zu outputs", data->classes,
               uh_shape_size(net->out));
    struct training t = {.net = net, .data = data, .how = how};
    t.optim = how->optim;
    uh_optim_start(&t.optim, net->parameter_count, arena);
    t.order = uh_arena_alloc(arena, data->count, sizeof *t.order);
    t.shard = uh_arena_alloc(arena, how->shards, sizeof *t.shard);
    t.gradient = uh_arena_alloc(arena, how->shards, sizeof *t.gradient);
    for (size_t s = 0; s < how->shards; s++) {
        if (how->shards > 1) {
            t.shard[s].gradient =
                uh_arena_alloc_raw(arena, net->parameter_count, sizeof(float));
        }
        t.shard[s].batch =
            uh_arena_alloc(arena, net->state_count, sizeof(float));
        t.gradient[s] = t.shard[s].gradient;
    }
    return t;
}

static void draw_order(struct training *t, size_t epoch)
{
    struct uh_stream stream =
        uh_stream_open("%s/epoch=%zu", t->how->stream, epoch);
    uh_stream_permutation(&stream, t->data->count, t->order);
}

/* Steps about->step + 1 up to the end. */
static enum uh_status run_steps(struct training *t, struct uh_pool *pool,
                                struct uh_checkpoint *about,
                                struct uh_progress *progress,
                                struct uh_error *error)
{
    const struct uh_train *how = t->how;
    size_t per_epoch = (t->data->count + how->batch - 1) / how->batch;
    size_t steps = uh_size_mul(per_epoch, how->epochs);
    for (size_t step = (size_t)about->step; step < steps; step++) {
        size_t epoch = step / per_epoch, in_epoch = step % per_epoch;
        if (in_epoch == 0 || step == about->step) {
            draw_order(t, epoch);
        }
        if (in_epoch == 0) {
            about->loss = 0;
            about->correct = 0;
        }
        t->first = in_epoch * how->batch;
        t->count = t->data->count - t->first;
        t->count = t->count < how->batch ? t->count : how->batch;
        double loss;
        size_t correct;
        t->optim.rate = how->rates ? how->rates[epoch] : how->optim.rate;
        run_shards(t, pool, &loss, &correct);
        if (!isfinite(loss)) {
            return uh_fail(error, UH_NOT_FINITE,
                           "training %s: expected a finite loss, found %s at "
                           "step %zu",
                           how->stream, isnan(loss) ? "NaN" : "infinity",
                           step + 1);
        }
        for (size_t s = 0; s < how->shards; s++) {
            move_statistics(t->net, &t->shard[s]);
        }
        if (how->shards > 1) {
            uh_optim_step(&t->optim, pool, how->shards, t->gradient,
                          t->net->parameters);
        }
        about->step = step + 1;
        about->loss += loss;
        about->correct += correct;
        double seen = (double)(t->first + t->count);
        struct uh_train_step report = {.epoch = epoch,
                                       .step = step + 1,
                                       .steps = steps,
                                       .loss = loss / (double)t->count,
                                       .epoch_ends = in_epoch + 1 == per_epoch,
                                       .epoch_loss = about->loss / seen,
                                       .epoch_correct =
                                           (double)about->correct / seen};
        if (how->after_step) {
            how->after_step(how->context, t->net, &report);
        }
        if (progress) {
            uh_progress_step(progress, 1);
        }
        int due = how->checkpoint_every
                      ? (step + 1) % how->checkpoint_every == 0
                      : report.epoch_ends;
        if (how->checkpoint && (due || step + 1 == steps)) {
            uh_checkpoint_write(how->checkpoint, about, t->net, &t->optim);
        }
    }
    return UH_OK;
}

enum uh_status uh_train(struct uh_net *net, struct uh_pool *pool,
                        const struct uh_dataset *data,
                        const struct uh_train *how, struct uh_arena *arena,
                        struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    struct training t = begin(net, data, how, arena);
    struct uh_checkpoint about = {.step = 0};
    enum uh_status status = UH_OK;
    identify(&t, about.training);
    if (how->checkpoint && uh_file_exists(how->checkpoint)) {
        status =
            uh_checkpoint_read(how->checkpoint, &about, net, &t.optim, error);
    }
    if (status == UH_OK) {
        size_t per_epoch = (data->count + how->batch - 1) / how->batch;
        size_t steps = uh_size_mul(per_epoch, how->epochs);
        struct uh_progress *progress = NULL;
        if (how->progress && about.step < steps) {
            progress = uh_progress_start(arena, how->progress,
                                         steps - (size_t)about.step);
        }
        status = run_steps(&t, pool, &about, progress, error);
        if (progress) {
            uh_progress_end(progress);
        }
    }
    uh_arena_release(arena, mark);
    return status;
}

struct uh_score uh_evaluate(const struct uh_net *net, struct uh_pool *pool,
                            const struct uh_dataset *data, float *logits)
{
    size_t classes = uh_shape_size(net->out);
    UH_REQUIRE(uh_shape_size(data->shape) == uh_shape_size(net->in),
               "samples of %zu entries, a network for %zu",
               uh_shape_size(data->shape), uh_shape_size(net->in));
    struct uh_arena *scratch = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(scratch);
    float *z = logits;
    if (!z) {
        z = uh_arena_alloc_raw(scratch, uh_size_mul(data->count, classes),
                               sizeof *z);
    }
    uh_net_forward(net, pool, data->count, data->x, z);
    struct uh_score score = {
        .count = data->count,
        .correct = uh_loss_correct(data->count, classes, z, data->y),
        .loss = uh_loss_softmax(data->count, classes, z, data->y, 1, NULL) /
                (double)data->count};
    uh_arena_release(scratch, mark);
    return score;
}
