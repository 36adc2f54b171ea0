/* checkpoint.c: what a training needs to go on to the same bits. */
#include "checkpoint.h"
#include "safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 4, NUMBER = 64 };

static const uint64_t STEPS_MOST = (uint64_t)1 << 40;

struct array {
    const char *name;
    size_t count;
    float *entries; /* NULL: this training has none */
};

static void arrays_of(const struct uh_net *net, const struct uh_optim *optim,
                      struct array array[ARRAYS])
{
    array[0] =
        (struct array){"parameters", net->parameter_count, net->parameters};
    array[1] = (struct array){"state", net->state_count, net->state};
    array[2] = (struct array){"first", optim->count, optim->first};
    array[3] = (struct array){"second", optim->count, optim->second};
}

void uh_checkpoint_write(const char *path, const struct uh_checkpoint *about,
                         const struct uh_net *net, const struct uh_optim *optim)
{
    struct array array[ARRAYS];
    struct uh_stored_tensor tensor[ARRAYS];
    size_t tensors = 0;
    char step[NUMBER], loss[NUMBER], correct[NUMBER];
    arrays_of(net, optim, array);
    for (size_t i = 0; i < ARRAYS; i++) {
        if (array[i].entries) {
            tensor[tensors++] = (struct uh_stored_tensor){
                .name = array[i].name,
                .dtype = UH_F32,
                .rank = 1,
                .dims = {array[i].count, 1, 1, 1, 1, 1, 1, 1},
                .data = array[i].entries};
        }
    }
    snprintf(step, sizeof step, "%" PRIu64, about->step);
    snprintf(loss, sizeof loss, "%.17g", about->loss);
    snprintf(correct, sizeof correct, "%" PRIu64, about->correct);
    const struct uh_metadata metadata[] = {{"arch", net->arch},
                                           {"training", about->training},
                                           {"step", step},
                                           {"loss", loss},
                                           {"correct", correct}};
    uh_safetensors_write(path, tensors, tensor,
                         sizeof metadata / sizeof *metadata, metadata);
}

static enum uh_status read_count(const struct uh_safetensors *stored,
                                 const char *key, uint64_t most,
                                 uint64_t *value, struct uh_error *error)
{
    const char *text = uh_safetensors_metadata(stored, key);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits > 0 && digits < 19 && text[digits] == '\0') {
        *value = strtoull(text, NULL, 10);
        if (*value <= most) {
            return UH_OK;
        }
    }
    return uh_fail(error, UH_BAD_INPUT,
                   "checkpoint, %s: expected a whole number, found %.40s (%s)",
                   key, text ? text : "none", stored->file);
}

static enum uh_status read_about(const struct uh_safetensors *stored,
                                 struct uh_checkpoint *about,
                                 struct uh_error *error)
{
    const char *training = uh_safetensors_metadata(stored, "training");
    const char *loss = uh_safetensors_metadata(stored, "loss");
    if (!training || strcmp(training, about->training) != 0) {
        return uh_fail(error, UH_BAD_INPUT,
                       "checkpoint: expected training %.16s, found %.16s (%s)",
                       about->training, training ? training : "none",
                       stored->file);
    }
    char *end = NULL;
    about->loss = loss ? strtod(loss, &end) : 0;
    if (!loss || end == loss || *end || !isfinite(about->loss)) {
        return uh_fail(error, UH_BAD_INPUT,
                       "checkpoint, loss: expected a number, found %.40s (%s)",
                       loss ? loss : "none", stored->file);
    }
    enum uh_status status =
        read_count(stored, "step", STEPS_MOST, &about->step, error);
    if (status == UH_OK) {
        status =
            read_count(stored, "correct", UINT64_MAX, &about->correct, error);
    }
    return status;
}

static enum uh_status check_array(const struct uh_safetensors *stored,
                                  const struct array *array,
                                  struct uh_error *error)
{
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, array->name);
    int fits =
        t && t->dtype == UH_F32 && t->rank == 1 && t->count == array->count;
    if (array->entries ? fits : !t) {
        return UH_OK;
    }
    return uh_fail(error, UH_BAD_INPUT,
                   "checkpoint, %s: expected %zu float32 entries, found %zu "
                   "(%s)",
                   array->name, array->entries ? array->count : 0,
                   t ? t->count : 0, stored->file);
}

static enum uh_status read_all(const struct uh_safetensors *stored,
                               struct uh_checkpoint *about, struct uh_net *net,
                               struct uh_optim *optim, struct uh_error *error)
{
    struct array array[ARRAYS];
    arrays_of(net, optim, array);
    enum uh_status status = read_about(stored, about, error);
    for (size_t i = 0; status == UH_OK && i < ARRAYS; i++) {
        status = check_array(stored, &array[i], error);
    }
    if (status == UH_OK) {
        status = uh_safetensors_require_finite(stored, error);
    }
    for (size_t i = 0; status == UH_OK && i < ARRAYS; i++) {
        if (array[i].entries) {
            memcpy(array[i].entries,
                   uh_safetensors_find(stored, array[i].name)->data,
                   array[i].count * sizeof(float));
        }
    }
    if (status == UH_OK) {
        uh_optim_resume(optim, about->step);
    }
    return status;
}

enum uh_status uh_checkpoint_read(const char *path, struct uh_checkpoint *about,
                                  struct uh_net *net, struct uh_optim *optim,
                                  struct uh_error *error)
{
    struct uh_safetensors stored;
    struct uh_checkpoint found = *about;
    struct uh_arena *bytes = uh_arena_new();
    enum uh_status status = uh_safetensors_read(path, bytes, &stored, error);
    if (status == UH_OK) {
        status = read_all(&stored, &found, net, optim, error);
    }
    if (status == UH_OK) {
        *about = found;
    }
    uh_arena_free(&bytes);
    return status;
}
