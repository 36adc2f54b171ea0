/* net_file.c: a network as a .safetensors file (net.h). */
#include "codebook.h"
#include "die.h"
#include "net.h"
#include "safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 128 };

/* One array of the network and its tensor. */
struct part {
    char name[NAME_SIZE]; /* "3.weight" */
    size_t rank, dims[4];
    float *entries;     /* NULL before uh_net_allocate */
    bool optional;      /* may be missing; then it stays as it was allocated */
    bool skipped;       /* must be missing */
    size_t out;         /* first axis; of a weight that may be a codebook */
    const char *module; /* or NULL: may not */
};

static size_t add_part(struct part part[], size_t parts, const char *module,
                       const char *what, size_t rank, const size_t dims[],
                       float *entries)
{
    struct part *p = &part[parts];
    *p = (struct part){.rank = rank, .out = dims[0]};
    snprintf(p->name, sizeof p->name, "%.80s.%s", module, what);
    for (size_t i = 0; i < 4; i++) {
        p->dims[i] = i < rank ? dims[i] : 1;
    }
    p->entries = entries;
    return parts + 1;
}

/* What a file's tensors are called; names NULL: as net_file writes them. */
struct naming {
    const struct uh_net_names *names;
    char index[24];
};

static const char *module_of(struct naming *naming, size_t layer)
{
    if (naming->names) {
        return naming->names->module[layer];
    }
    snprintf(naming->index, sizeof naming->index, "%zu", layer);
    return naming->index;
}

/* What a layer's file must hold. */
static void allow(const struct uh_net_names *names, size_t index, size_t parts,
                  struct part part[4])
{
    if (parts == 0) {
        return;
    }
    part[1].optional = !names || names->bias[index] == UH_BIAS_MAYBE;
    part[1].skipped = names && names->bias[index] == UH_BIAS_NONE;
    part[0].module = names && part[0].rank > 1 ? names->module[index] : NULL;
    for (size_t j = 2; j < parts; j++) {
        part[j].optional = names && names->resting;
    }
}

/* The parts of layer index, at most 4; how many. */
static size_t parts_of(const struct uh_layer *layer, size_t index,
                       struct naming *naming, struct part part[4])
{
    const char *module = module_of(naming, index);
    size_t out = layer->out.channels;
    size_t dims[4] = {out, layer->in.channels / layer->groups, layer->kernel[0],
                      layer->kernel[1]};
    size_t rank = layer->kind == UH_CONV ? 4 : layer->kind == UH_DENSE ? 2 : 1;
    size_t n = 0;
    if (layer->weight_count == 0) {
        return 0;
    }
    n = add_part(part, n, module, "weight", rank, dims, layer->weight);
    n = add_part(part, n, module, "bias", 1, &out, layer->bias);
    if (layer->kind == UH_BATCHNORM) {
        n = add_part(part, n, module, "running_mean", 1, &out,
                     layer->running_mean);
        n = add_part(part, n, module, "running_var", 1, &out,
                     layer->running_var);
    }
    allow(naming->names, index, n, part);
    return n;
}

static enum uh_status check_part(const struct part *p,
                                 const struct uh_stored_tensor *t,
                                 const char *file, struct uh_error *error)
{
    char want[UH_SHAPE_TEXT], found[UH_SHAPE_TEXT];
    int same = t->rank == p->rank;
    for (size_t i = 0; same && i < p->rank; i++) {
        same = t->dims[i] == p->dims[i];
    }
    if (!same) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %s: expected shape %s, found %s (%.200s)",
                       p->name, uh_stored_shape_text(p->rank, p->dims, want),
                       uh_stored_shape_text(t->rank, t->dims, found), file);
    }
    if (t->dtype != UH_F32 && t->dtype != UH_F64 && t->dtype != UH_F16) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %s: expected F32, F64 or F16, found %s (%s)",
                       p->name, uh_dtype_name(t->dtype), file);
    }
    return UH_OK;
}

/* PyTorch counts batches in a tensor that no computation reads. */
static bool is_counter(const struct uh_net *net, struct naming *naming,
                       const char *name)
{
    char counter[NAME_SIZE];
    for (size_t i = 0; i < net->layers; i++) {
        if (net->layer[i].kind == UH_BATCHNORM) {
            snprintf(counter, sizeof counter, "%.80s.num_batches_tracked",
                     module_of(naming, i));
            if (strcmp(counter, name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Whether the tensor is one of a module that the network was cut off before. */
static bool is_behind(const struct uh_net *net,
                      const struct uh_net_names *names, const char *name)
{
    for (size_t i = net->layers; names && i < names->count; i++) {
        size_t length = strlen(names->module[i]);
        if (strncmp(name, names->module[i], length) == 0 &&
            name[length] == '.') {
            return true;
        }
    }
    return false;
}

/* The weight as rows of a codebook, if that is how the file has it. */
static bool codebook_of(const struct part *p,
                        const struct uh_safetensors *stored,
                        struct uh_codebook *book)
{
    size_t terms = p->dims[1] * p->dims[2] * p->dims[3];
    return p->module && !uh_safetensors_find(stored, p->name) &&
           uh_codebook_find(stored, p->module, p->out, terms, book);
}

/* The part has its tensor, of its shape, which becomes known. */
static enum uh_status match(const struct part *p, enum uh_kind kind,
                            const struct uh_safetensors *stored, bool known[],
                            struct uh_error *error)
{
    struct uh_codebook book;
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, p->name);
    if (p->skipped) {
        return UH_OK;
    }
    if (codebook_of(p, stored, &book)) {
        enum uh_status status = uh_codebook_check(&book, error);
        if (status == UH_OK) {
            known[book.centroids - stored->tensor] = true;
            known[book.assignments - stored->tensor] = true;
        }
        return status;
    }
    if (!t && !p->optional) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensor %s: expected it for %s, found none (%.200s)",
                       p->name, uh_kind_word(kind), stored->file);
    }
    if (t) {
        known[t - stored->tensor] = true;
        return check_part(p, t, stored->file, error);
    }
    return UH_OK;
}

/* Every part has its tensor and every tensor its part. */
static enum uh_status check_parts(const struct uh_net *net,
                                  const struct uh_safetensors *stored,
                                  struct naming *naming,
                                  struct uh_arena *scratch,
                                  struct uh_error *error)
{
    bool *known = uh_arena_alloc(scratch, stored->tensors, sizeof *known);
    for (size_t i = 0; i < net->layers; i++) {
        struct part part[4];
        size_t parts = parts_of(&net->layer[i], i, naming, part);
        for (size_t j = 0; j < parts; j++) {
            enum uh_status status =
                match(&part[j], net->layer[i].kind, stored, known, error);
            if (status != UH_OK) {
                return status;
            }
        }
    }
    for (size_t i = 0; i < stored->tensors; i++) {
        const char *name = stored->tensor[i].name;
        if (!known[i] && !is_counter(net, naming, name) &&
            !is_behind(net, naming->names, name)) {
            return uh_fail(error, UH_BAD_INPUT,
                           "tensor %.80s: expected the tensors of %s, found "
                           "another (%.200s)",
                           name, naming->names ? naming->names->model : "arch",
                           stored->file);
        }
    }
    return UH_OK;
}

static enum uh_status fill_part(const struct part *p,
                                const struct uh_safetensors *stored,
                                struct uh_error *error)
{
    struct uh_codebook book;
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, p->name);
    if (codebook_of(p, stored, &book)) {
        return uh_codebook_floats(&book, p->entries, error);
    }
    if (!t) {
        return UH_OK; /* a missing bias is zero, statistics are 0 and 1 */
    }
    enum uh_status status =
        uh_stored_tensor_floats(t, false, stored->file, p->entries, error);
    for (size_t i = 0; status == UH_OK && i < t->count; i++) {
        if (!isfinite(p->entries[i])) {
            return uh_fail(error, UH_NOT_FINITE,
                           "tensor %s: expected finite float32 numbers, found "
                           "%s at entry %zu (%.200s)",
                           p->name, isnan(p->entries[i]) ? "NaN" : "infinity",
                           i, stored->file);
        }
    }
    return status;
}

/* A negative variance has no root. */
static enum uh_status check_variance(const struct uh_net *net,
                                     struct naming *naming, const char *file,
                                     struct uh_error *error)
{
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *layer = &net->layer[i];
        for (size_t c = 0;
             layer->kind == UH_BATCHNORM && c < layer->in.channels; c++) {
            if (layer->running_var[c] < 0) {
                return uh_fail(error, UH_BAD_INPUT,
                               "tensor %.80s.running_var: expected numbers "
                               "from 0, found %.9g at entry %zu (%.200s)",
                               module_of(naming, i),
                               (double)layer->running_var[c], c, file);
            }
        }
    }
    return UH_OK;
}

static enum uh_status plan(const char *arch,
                           const struct uh_safetensors *stored,
                           struct uh_arena *arena, struct uh_net *net,
                           struct uh_error *error)
{
    struct uh_error line = {{0}};
    enum uh_status status = uh_net_plan(arch, arena, net, &line);
    return status == UH_OK
               ? UH_OK
               : uh_fail(error, status, "%.300s (%s)", line.text, stored->file);
}

static enum uh_status fill(struct uh_net *net,
                           const struct uh_safetensors *stored,
                           struct naming *naming, struct uh_error *error)
{
    for (size_t i = 0; i < net->layers; i++) {
        struct part part[4];
        size_t parts = parts_of(&net->layer[i], i, naming, part);
        for (size_t j = 0; j < parts; j++) {
            enum uh_status status = fill_part(&part[j], stored, error);
            if (status != UH_OK) {
                return status;
            }
        }
    }
    return check_variance(net, naming, stored->file, error);
}

enum uh_status uh_net_of_names(const struct uh_safetensors *stored,
                               const char *arch,
                               const struct uh_net_names *names,
                               struct uh_arena *arena, struct uh_net *out,
                               struct uh_error *error)
{
    struct uh_net net;
    struct naming naming = {.names = names};
    struct uh_mark mark = uh_arena_open(arena);
    enum uh_status status = plan(arch, stored, arena, &net, error);
    if (status == UH_OK) {
        UH_REQUIRE(!names || names->count >= net.layers, "%zu names",
                   names->count);
        struct uh_arena *scratch = uh_arena_new();
        status = check_parts(&net, stored, &naming, scratch, error);
        uh_arena_free(&scratch);
    }
    if (status == UH_OK) {
        uh_net_allocate(&net, arena);
        status = fill(&net, stored, &naming, error);
    }
    if (status == UH_OK) {
        *out = net;
    } else {
        uh_arena_release(arena, mark);
    }
    return status;
}

enum uh_status uh_net_of_tensors(const struct uh_safetensors *stored,
                                 struct uh_arena *arena, struct uh_net *net,
                                 struct uh_error *error)
{
    const char *arch = uh_safetensors_metadata(stored, "arch");
    if (!arch) {
        return uh_fail(error, UH_BAD_INPUT,
                       "arch: expected this key in the metadata, found none "
                       "(%s)",
                       stored->file);
    }
    return uh_net_of_names(stored, arch, NULL, arena, net, error);
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
        struct naming naming = {.names = NULL};
        size_t parts = parts_of(&net->layer[i], i, &naming, part[i]);
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
