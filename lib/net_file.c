/* net_file.c: a network as a .safetensors file (net.h). */
#include "die.h"
#include "net.h"
#include "safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 48, SHAPE_SIZE = 96 };

/* One array of the network and its tensor. */
struct part {
    char name[NAME_SIZE]; /* "3.weight" */
    size_t rank, dims[4];
    float *entries; /* NULL before uh_net_allocate */
    bool optional;
};

static size_t add_part(struct part part[], size_t parts, size_t index,
                       const char *what, size_t rank, const size_t dims[],
                       float *entries)
{
    struct part *p = &part[parts];
    snprintf(p->name, sizeof p->name, "%zu.%s", index, what);
    p->rank = rank;
    for (size_t i = 0; i < 4; i++) {
        p->dims[i] = i < rank ? dims[i] : 1;
    }
    p->entries = entries;
    p->optional = strcmp(what, "bias") == 0;
    return parts + 1;
}

/* The parts of layer index, at most 4; how many. */
static size_t parts_of(const struct uh_layer *layer, size_t index,
                       struct part part[4])
{
    size_t out = layer->out.channels;
    size_t dims[4] = {out, layer->in.channels / layer->groups, layer->kernel[0],
                      layer->kernel[1]};
    size_t rank = layer->kind == UH_CONV ? 4 : layer->kind == UH_DENSE ? 2 : 1;
    size_t n = 0;
    if (layer->weight_count == 0) {
        return 0;
    }
    n = add_part(part, n, index, "weight", rank, dims, layer->weight);
    n = add_part(part, n, index, "bias", 1, &out, layer->bias);
    if (layer->kind == UH_BATCHNORM) {
        n = add_part(part, n, index, "running_mean", 1, &out,
                     layer->running_mean);
        n = add_part(part, n, index, "running_var", 1, &out,
                     layer->running_var);
    }
    return n;
}

static const char *shape_text(size_t rank, const size_t dims[],
                              char text[SHAPE_SIZE])
{
    size_t used = 0;
    strcpy(text, rank ? "" : "a scalar");
    for (size_t i = 0; i < rank && used < SHAPE_SIZE; i++) {
        int n = snprintf(text + used, SHAPE_SIZE - used, "%s%zu", i ? "x" : "",
                         dims[i]);
        used += n > 0 ? (size_t)n : 0;
    }
    return text;
}

static enum uh_status check_part(const struct part *p,
                                 const struct uh_stored_tensor *t,
                                 const char *file, struct uh_error *error)
{
    char want[SHAPE_SIZE], found[SHAPE_SIZE];
    int same = t->rank == p->rank;
    for (size_t i = 0; same && i < p->rank; i++) {
        same = t->dims[i] == p->dims[i];
    }
    if (!same) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %s: expected shape %s, found %s (%s)", p->name,
                       shape_text(p->rank, p->dims, want),
                       shape_text(t->rank, t->dims, found), file);
    }
    if (t->dtype != UH_F32 && t->dtype != UH_F64 && t->dtype != UH_F16) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %s: expected F32, F64 or F16, found %s (%s)",
                       p->name, uh_dtype_name(t->dtype), file);
    }
    return UH_OK;
}

/* PyTorch counts batches in a tensor that no computation reads. */
static bool is_counter(const struct uh_net *net, const char *name)
{
    char counter[NAME_SIZE];
    for (size_t i = 0; i < net->layers; i++) {
        if (net->layer[i].kind == UH_BATCHNORM) {
            snprintf(counter, sizeof counter, "%zu.num_batches_tracked", i);
            if (strcmp(counter, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Every part has its tensor and every tensor its part. */
static enum uh_status check_parts(const struct uh_net *net,
                                  const struct uh_safetensors *stored,
                                  struct uh_arena *scratch,
                                  struct uh_error *error)
{
    bool *known = uh_arena_alloc(scratch, stored->tensors, sizeof *known);
    for (size_t i = 0; i < net->layers; i++) {
        struct part part[4];
        size_t parts = parts_of(&net->layer[i], i, part);
        for (size_t j = 0; j < parts; j++) {
            const struct uh_stored_tensor *t =
                uh_safetensors_find(stored, part[j].name);
            if (!t && !part[j].optional) {
                return uh_fail(error, UH_BAD_INPUT,
                               "tensor %s: expected it for %s, found none (%s)",
                               part[j].name, uh_kind_word(net->layer[i].kind),
                               stored->file);
            }
            if (!t) {
                continue;
            }
            enum uh_status status =
                check_part(&part[j], t, stored->file, error);
            if (status != UH_OK) {
                return status;
            }
            known[t - stored->tensor] = true;
        }
    }
    for (size_t i = 0; i < stored->tensors; i++) {
        const char *name = stored->tensor[i].name;
        if (!known[i] && !is_counter(net, name)) {
            return uh_fail(error, UH_BAD_INPUT,
                           "tensor %.80s: expected the tensors of arch, found "
                           "another (%s)",
                           name, stored->file);
        }
    }
    return UH_OK;
}

static enum uh_status fill_part(const struct part *p,
                                const struct uh_safetensors *stored,
                                struct uh_error *error)
{
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, p->name);
    if (!t) {
        return UH_OK; /* a missing bias is zero */
    }
    enum uh_status status =
        uh_stored_tensor_floats(t, false, stored->file, p->entries, error);
    for (size_t i = 0; status == UH_OK && i < t->count; i++) {
        if (!isfinite(p->entries[i])) {
            return uh_fail(error, UH_NOT_FINITE,
                           "tensor %s: expected finite float32 numbers, found "
                           "%s at entry %zu (%s)",
                           p->name, isnan(p->entries[i]) ? "NaN" : "infinity",
                           i, stored->file);
        }
    }
    return status;
}

/* A negative variance has no root. */
static enum uh_status check_variance(const struct uh_net *net, const char *file,
                                     struct uh_error *error)
{
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *layer = &net->layer[i];
        for (size_t c = 0;
             layer->kind == UH_BATCHNORM && c < layer->in.channels; c++) {
            if (layer->running_var[c] < 0) {
                return uh_fail(error, UH_BAD_INPUT,
                               "tensor %zu.running_var: expected numbers from "
                               "0, found %.9g at entry %zu (%s)",
                               i, (double)layer->running_var[c], c, file);
            }
        }
    }
    return UH_OK;
}

static enum uh_status plan(const struct uh_safetensors *stored,
                           struct uh_arena *arena, struct uh_net *net,
                           struct uh_error *error)
{
    struct uh_error line = {{0}};
    const char *arch = uh_safetensors_metadata(stored, "arch");
    if (!arch) {
        return uh_fail(error, UH_BAD_INPUT,
                       "arch: expected this key in the metadata, found none "
                       "(%s)",
                       stored->file);
    }
    enum uh_status status = uh_net_plan(arch, arena, net, &line);
    return status == UH_OK
               ? UH_OK
               : uh_fail(error, status, "%.300s (%s)", line.text, stored->file);
}

static enum uh_status fill(struct uh_net *net,
                           const struct uh_safetensors *stored,
                           struct uh_error *error)
{
    for (size_t i = 0; i < net->layers; i++) {
        struct part part[4];
        size_t parts = parts_of(&net->layer[i], i, part);
        for (size_t j = 0; j < parts; j++) {
            enum uh_status status = fill_part(&part[j], stored, error);
            if (status != UH_OK) {
                return status;
            }
        }
    }
    return check_variance(net, stored->file, error);
}

enum uh_status uh_net_of_tensors(const struct uh_safetensors *stored,
                                 struct uh_arena *arena, struct uh_net *out,
                                 struct uh_error *error)
{
    struct uh_net net;
    struct uh_mark mark = uh_arena_open(arena);
    enum uh_status status = plan(stored, arena, &net, error);
    if (status == UH_OK) {
        struct uh_arena *scratch = uh_arena_new();
        status = check_parts(&net, stored, scratch, error);
        uh_arena_free(&scratch);
    }
    if (status == UH_OK) {
        uh_net_allocate(&net, arena);
        status = fill(&net, stored, error);
    }
    if (status == UH_OK) {
        *out = net;
    } else {
        uh_arena_release(arena, mark);
    }
    return status;
}

enum uh_status uh_net_load(const char *path, struct uh_arena *arena,
                           struct uh_net *net, struct uh_error *error)
{
    struct uh_safetensors stored;
    struct uh_arena *bytes = uh_arena_new();
    enum uh_status status = uh_safetensors_read(path, bytes, &stored, error);
    if (status == UH_OK) {
        status = uh_net_of_tensors(&stored, arena, net, error);
    }
    uh_arena_free(&bytes);
    return status;
}

void uh_net_save(const struct uh_net *net, const char *path)
{
    struct uh_arena *scratch = uh_arena_new();
    struct part(*part)[4] = uh_arena_alloc(scratch, net->layers, sizeof *part);
    struct uh_stored_tensor *tensor =
        uh_arena_alloc(scratch, 4 * net->layers, sizeof *tensor);
    size_t tensors = 0;
    for (size_t i = 0; i < net->layers; i++) {
        size_t parts = parts_of(&net->layer[i], i, part[i]);
        for (size_t j = 0; j < parts; j++) {
            struct part *p = &part[i][j];
            struct uh_stored_tensor *t = &tensor[tensors++];
            *t = (struct uh_stored_tensor){.name = p->name,
                                           .dtype = UH_F32,
                                           .rank = p->rank,
                                           .data = p->entries};
            for (size_t d = 0; d < UH_SAFETENSORS_RANK; d++) {
                t->dims[d] = d < p->rank ? p->dims[d] : 1;
            }
        }
    }
    struct uh_metadata arch = {"arch", net->arch};
    uh_safetensors_write(path, tensors, tensor, 1, &arch);
    uh_arena_free(&scratch);
}
