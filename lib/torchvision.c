/* torchvision.c: published networks, known by the names of their tensors. */
#include "torchvision.h"
#include "die.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAYERS_MOST = 1024, /* ResNet-152 has 671 */
    WORD_MOST = 48,
    MODULE_MOST = 48,
    SIDE = 224,      /* of torchvision's images */
    SIDE_BVLC = 227, /* of Caffe's */
    CLASSES = 1000
};

/* A network as it is put together, word by word. */
struct draft {
    const struct uh_safetensors *stored;
    const char *model;
    struct uh_shape in;
    bool norm; /* batchnorm is kept */
    size_t classes;
    size_t layers;
    char word[LAYERS_MOST][WORD_MOST]; /* empty: a mean to average[] places */
    size_t average[LAYERS_MOST];
    char module[LAYERS_MOST][MODULE_MOST];
    enum uh_bias bias[LAYERS_MOST];
};

static void put(struct draft *d, const char *module, const char *format, ...)
    UH_PRINTF(3, 4);

static void put(struct draft *d, const char *module, const char *format, ...)
{
    va_list list;
    UH_REQUIRE(d->layers < LAYERS_MOST, "%zu layers", d->layers);
    size_t i = d->layers++;
    va_start(list, format);
    vsnprintf(d->word[i], WORD_MOST, format, list);
    va_end(list);
    snprintf(d->module[i], MODULE_MOST, "%s", module);
    d->bias[i] = UH_BIAS_NEEDED;
}

/* "features" and 3 are "features.3". */
static const char *child(char name[MODULE_MOST], const char *parent,
                         const char *last)
{
    snprintf(name, MODULE_MOST, "%.30s.%.16s", parent, last);
    return name;
}

static const char *item(char name[MODULE_MOST], const char *parent, size_t last)
{
    snprintf(name, MODULE_MOST, "%.24s.%zu", parent, last);
    return name;
}

/* Adaptive pooling to side x side places. */
static void put_average(struct draft *d, const char *module, size_t side)
{
    put(d, module, "%s", "");
    d->average[d->layers - 1] = side;
}

/* -- names ------------------------------------------------------------------- */

static bool has(const struct uh_safetensors *stored, const char *prefix)
{
    for (size_t i = 0; i < stored->tensors; i++) {
        if (strncmp(stored->tensor[i].name, prefix, strlen(prefix)) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_part(const struct uh_safetensors *stored, const char *part)
{
    for (size_t i = 0; i < stored->tensors; i++) {
        if (strstr(stored->tensor[i].name, part)) {
            return true;
        }
    }
    return false;
}

/* One more than the largest N of names that begin PREFIX.N. ; 0: none. */
static size_t count(const struct uh_safetensors *stored, const char *prefix)
{
    size_t most = 0, length = strlen(prefix);
    for (size_t i = 0; i < stored->tensors; i++) {
        const char *name = stored->tensor[i].name;
        if (strncmp(name, prefix, length) == 0 && name[length] == '.' &&
            isdigit((unsigned char)name[length + 1])) {
            char *end;
            unsigned long n = strtoul(name + length + 1, &end, 10);
            if (*end == '.' && n < 1000 && n + 1 > most) {
                most = n + 1;
            }
        }
    }
    return most;
}

/* Entries of NAME's first axis, 0 if there is no such tensor. */
static size_t first_axis(const struct uh_safetensors *stored, const char *name)
{
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, name);
    return t && t->rank > 0 ? t->dims[0] : 0;
}

/* -- ResNet -------------------------------------------------------------------- */

struct resnet {
    const char *model;
    bool bottleneck;
    size_t blocks[4];
};

static const struct resnet resnets[] = {{"resnet18", false, {2, 2, 2, 2}},
                                        {"resnet34", false, {3, 4, 6, 3}},
                                        {"resnet50", true, {3, 4, 6, 3}},
                                        {"resnet101", true, {3, 4, 23, 3}},
                                        {"resnet152", true, {3, 8, 36, 3}}};

/* A convolution and, where it is kept, its normalization. */
static void put_conv(struct draft *d, const char *conv, const char *norm,
                     size_t out, size_t kernel, size_t stride)
{
    put(d, conv, "conv %zu %zu %zu stride=%zu pad=%zu", out, kernel, kernel,
        stride, kernel / 2);
    if (d->norm) {
        put(d, norm, "batchnorm");
    }
}

/* ResNet's have a bias only where the normalization has been folded. */
static void put_bare_conv(struct draft *d, const char *conv, const char *norm,
                          size_t out, size_t kernel, size_t stride)
{
    size_t i = d->layers;
    put_conv(d, conv, norm, out, kernel, stride);
    d->bias[i] = d->norm ? UH_BIAS_NONE : UH_BIAS_NEEDED;
}

/* Convolution number n of a block. */
static void put_step(struct draft *d, const char *block, size_t n, size_t out,
                     size_t kernel, size_t stride)
{
    char conv[MODULE_MOST], norm[MODULE_MOST];
    snprintf(conv, sizeof conv, "%.16s.conv%zu", block, n);
    snprintf(norm, sizeof norm, "%.16s.bn%zu", block, n);
    put_bare_conv(d, conv, norm, out, kernel, stride);
}

/* y = relu(branch(x) + shortcut(x)) */
static void put_block(struct draft *d, const struct resnet *r,
                      const char *block, size_t width, size_t stride,
                      bool project)
{
    char relu[MODULE_MOST], conv[MODULE_MOST], norm[MODULE_MOST];
    child(relu, block, "relu");
    put(d, block, "mark in");
    put_step(d, block, 1, width, r->bottleneck ? 1 : 3,
             r->bottleneck ? 1 : stride);
    put(d, relu, "relu");
    put_step(d, block, 2, width, 3, r->bottleneck ? stride : 1);
    if (r->bottleneck) {
        put(d, relu, "relu");
        put_step(d, block, 3, 4 * width, 1, 1);
    }
    if (project) {
        put(d, block, "mark out");
        put(d, block, "from in");
        put_bare_conv(d, child(conv, block, "downsample.0"),
                      child(norm, block, "downsample.1"),
                      r->bottleneck ? 4 * width : width, 1, stride);
    }
    put(d, block, project ? "add out" : "add in");
    put(d, relu, "relu");
}

static enum uh_status draft_resnet(struct draft *d, struct uh_error *error)
{
    const struct resnet *r = NULL;
    bool bottleneck = has_part(d->stored, ".conv3.");
    char stage[MODULE_MOST], block[MODULE_MOST];
    for (size_t i = sizeof resnets / sizeof *resnets; i-- > 0;) {
        bool fits = resnets[i].bottleneck == bottleneck;
        for (size_t s = 0; s < 4; s++) {
            snprintf(stage, sizeof stage, "layer%zu", s + 1);
            fits &= count(d->stored, stage) <= resnets[i].blocks[s];
        }
        r = fits ? &resnets[i] : r;
    }
    if (!r) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensors: expected the blocks of ResNet-18, 34, 50, 101 "
                       "or 152, found more in some of layer1 to layer4 "
                       "(%.200s)",
                       d->stored->file);
    }
    d->model = r->model;
    d->norm = has_part(d->stored, "bn1.");
    d->classes = first_axis(d->stored, "fc.bias");
    put_bare_conv(d, "conv1", "bn1", 64, 7, 2);
    put(d, "relu", "relu");
    put(d, "maxpool", "maxpool 3 stride=2 pad=1");
    for (size_t s = 0; s < 4; s++) {
        snprintf(stage, sizeof stage, "layer%zu", s + 1);
        for (size_t b = 0; b < r->blocks[s]; b++) {
            put_block(d, r, item(block, stage, b), (size_t)64 << s,
                      s > 0 && b == 0 ? 2 : 1,
                      b == 0 && (s > 0 || r->bottleneck));
        }
    }
    put_average(d, "avgpool", 1);
    put(d, "flatten", "flatten");
    put(d, "fc", "dense %zu", d->classes ? d->classes : CLASSES);
    return UH_OK;
}

/* -- SqueezeNet ------------------------------------------------------------------ */

/* features.INDEX is a fire module, or (expand 0) pooling. */
struct fire {
    size_t index, squeeze, expand;
};

static const struct fire fires_1_0[] = {
    {2, 0, 0},     {3, 16, 64},  {4, 16, 64},  {5, 32, 128},
    {6, 0, 0},     {7, 32, 128}, {8, 48, 192}, {9, 48, 192},
    {10, 64, 256}, {11, 0, 0},   {12, 64, 256}};
static const struct fire fires_1_1[] = {
    {2, 0, 0},     {3, 16, 64},   {4, 16, 64},  {5, 0, 0},
    {6, 32, 128},  {7, 32, 128},  {8, 0, 0},    {9, 48, 192},
    {10, 48, 192}, {11, 64, 256}, {12, 64, 256}};
enum { FIRES = sizeof fires_1_0 / sizeof *fires_1_0 };
_Static_assert(sizeof fires_1_1 == sizeof fires_1_0, "equal lengths");

static void put_fire(struct draft *d, const struct fire *f)
{
    char fire[MODULE_MOST], name[MODULE_MOST];
    item(fire, "features", f->index);
    if (f->expand == 0) {
        put(d, fire, "maxpool 3 stride=2 ceil=1");
        return;
    }
    put(d, child(name, fire, "squeeze"), "conv %zu 1 1", f->squeeze);
    put(d, fire, "relu");
    put(d, fire, "mark squeezed");
    put(d, child(name, fire, "expand1x1"), "conv %zu 1 1", f->expand);
    put(d, fire, "relu");
    put(d, fire, "mark left");
    put(d, fire, "from squeezed");
    put(d, child(name, fire, "expand3x3"), "conv %zu 3 3 pad=1", f->expand);
    put(d, fire, "relu");
    put(d, fire, "cat left");
}

static void draft_squeezenet(struct draft *d, size_t pad)
{
    bool old = has(d->stored, "features.5.") || has(d->stored, "features.8.");
    const struct fire *fire = old ? fires_1_0 : fires_1_1;
    d->model = old ? "squeezenet1_0" : "squeezenet1_1";
    d->classes = first_axis(d->stored, "classifier.1.bias");
    put(d, "features.0", old ? "conv 96 7 7 stride=2" : "conv 64 3 3 stride=2");
    put(d, "features.1", "relu");
    for (size_t i = 0; i < FIRES; i++) {
        put_fire(d, &fire[i]);
    }
    put(d, "classifier.1", "conv %zu 1 1 pad=%zu",
        d->classes ? d->classes : CLASSES, pad);
    put(d, "classifier.2", "relu");
    put_average(d, "classifier.3", 1);
    put(d, "flatten", "flatten");
}

/* -- AlexNet and VGG ---------------------------------------------------------- */

/* The three dense layers, classifier.FIRST, FIRST + 3 and 6. */
static void put_classifier(struct draft *d, size_t first)
{
    if (!has(d->stored, "classifier.")) {
        return;
    }
    char name[MODULE_MOST];
    d->classes = first_axis(d->stored, "classifier.6.bias");
    put(d, "flatten", "flatten");
    for (size_t i = first; i < 6; i += 3) {
        put(d, item(name, "classifier", i), "dense 4096");
        put(d, item(name, "classifier", i + 1), "relu");
    }
    put(d, "classifier.6", "dense %zu", d->classes ? d->classes : CLASSES);
}

struct alexnet {
    size_t index;
    const char *conv;
    bool pool; /* behind it */
};

static const struct alexnet alexnet[] = {
    {0, "conv 64 11 11 stride=4 pad=2", true},
    {3, "conv 192 5 5 pad=2", true},
    {6, "conv 384 3 3 pad=1", false},
    {8, "conv 256 3 3 pad=1", false},
    {10, "conv 256 3 3 pad=1", true}};
static const struct alexnet alexnet_bvlc[] = {
    {0, "conv 96 11 11 stride=4", true},
    {3, "conv 256 5 5 pad=2 groups=2", true},
    {6, "conv 384 3 3 pad=1", false},
    {8, "conv 384 3 3 pad=1 groups=2", false},
    {10, "conv 256 3 3 pad=1 groups=2", true}};

static void draft_alexnet(struct draft *d, bool bvlc)
{
    char name[MODULE_MOST], norm[MODULE_MOST];
    d->model = bvlc ? "alexnet-bvlc" : "alexnet";
    for (size_t i = 0; i < 5; i++) {
        const struct alexnet *a = bvlc ? &alexnet_bvlc[i] : &alexnet[i];
        put(d, item(name, "features", a->index), "%s", a->conv);
        put(d, item(name, "features", a->index + 1), "relu");
        if (bvlc && i < 2) {
            put(d, child(norm, name, "norm"), "lrn 5");
        }
        if (a->pool) {
            put(d, item(name, "features", a->index + 2), "maxpool 3 stride=2%s",
                bvlc ? " ceil=1" : "");
        }
    }
    put_average(d, "avgpool", 6);
    put_classifier(d, 1);
}

/* Convolutions before each of the five poolings. */
struct vgg {
    const char *model;
    size_t convs[5];
};

static const struct vgg vggs[] = {{"vgg11", {1, 1, 2, 2, 2}},
                                  {"vgg13", {2, 2, 2, 2, 2}},
                                  {"vgg16", {2, 2, 3, 3, 3}},
                                  {"vgg19", {2, 2, 4, 4, 4}}};

/* Modules of `features` that hold tensors, and all before them. */
static size_t vgg_extent(const struct vgg *v, size_t each)
{
    size_t modules = 0;
    for (size_t s = 0; s < 5; s++) {
        modules += v->convs[s] * each + 1;
    }
    return modules - 2; /* not the last relu and pooling */
}

static enum uh_status draft_vgg(struct draft *d, struct uh_error *error)
{
    static const size_t width[5] = {64, 128, 256, 512, 512};
    const struct vgg *v = NULL;
    char conv[MODULE_MOST], norm[MODULE_MOST];
    d->norm = has(d->stored, "features.1.");
    size_t each = d->norm ? 3 : 2, found = count(d->stored, "features");
    for (size_t i = sizeof vggs / sizeof *vggs; i-- > 0;) {
        v = found <= vgg_extent(&vggs[i], each) ? &vggs[i] : v;
    }
    if (!v) {
        return uh_fail(error, UH_BAD_INPUT,
                       "tensors: expected those of VGG-11, 13, 16 or 19, found "
                       "features.%zu (%.200s)",
                       found - 1, d->stored->file);
    }
    d->model = v->model;
    for (size_t s = 0, at = 0; s < 5; s++) {
        for (size_t i = 0; i < v->convs[s]; i++, at += each) {
            put_conv(d, item(conv, "features", at),
                     item(norm, "features", at + 1), width[s], 3, 1);
            put(d, item(conv, "features", at + each - 1), "relu");
        }
        put(d, item(conv, "features", at++), "maxpool 2");
    }
    put_average(d, "avgpool", 7);
    put_classifier(d, 0);
    return UH_OK;
}

/* -- which ---------------------------------------------------------------------- */

enum family { NONE, RESNET, SQUEEZENET, ALEXNET, ALEXNET_BVLC, VGG };

static enum family family_of(const struct uh_safetensors *stored)
{
    enum { ALEXNET_FEATURES = 11, BVLC_FILTERS = 96 };
    if (has(stored, "layer1.")) {
        return RESNET;
    }
    if (!has(stored, "features.")) {
        return NONE;
    }
    if (has_part(stored, ".squeeze.")) {
        return SQUEEZENET;
    }
    if (count(stored, "features") > ALEXNET_FEATURES) {
        return VGG;
    }
    return first_axis(stored, "features.0.bias") == BVLC_FILTERS ? ALEXNET_BVLC
                                                                 : ALEXNET;
}

static enum uh_status write_draft(struct draft *d, size_t classifier_pad,
                                  struct uh_error *error)
{
    enum family family = family_of(d->stored);
    size_t side = family == ALEXNET_BVLC ? SIDE_BVLC : SIDE;
    if (d->in.channels == 0) {
        d->in = (struct uh_shape){3, side, side};
    }
    switch (family) {
    case RESNET:
        return draft_resnet(d, error);
    case SQUEEZENET:
        draft_squeezenet(d, classifier_pad);
        return UH_OK;
    case ALEXNET:
    case ALEXNET_BVLC:
        draft_alexnet(d, family == ALEXNET_BVLC);
        return UH_OK;
    case VGG:
        return draft_vgg(d, error);
    default:
        return uh_fail(error, UH_BAD_INPUT,
                       "network: expected the metadata key arch, or tensors "
                       "with the names of torchvision's AlexNet, ResNet, "
                       "SqueezeNet or VGG, found neither (%.200s)",
                       d->stored->file);
    }
}

/* How many layers there are up to the end of the module `until`. */
static enum uh_status layers_until(const struct draft *d, const char *until,
                                   size_t *layers, struct uh_error *error)
{
    size_t length = until ? strlen(until) : 0;
    *layers = until ? 0 : d->layers;
    for (size_t i = 0; until && i < d->layers; i++) {
        const char *module = d->module[i];
        if (strncmp(module, until, length) == 0 &&
            (module[length] == '\0' || module[length] == '.')) {
            *layers = i + 1;
        }
    }
    return *layers ? UH_OK
                   : uh_fail(error, UH_BAD_INPUT,
                             "module: expected one of %s, found %.80s (%.200s)",
                             d->model, until, d->stored->file);
}

/* The mean that adaptive pooling is, of what the line so far puts out. */
static enum uh_status write_average(const struct draft *d, const char *text,
                                    size_t side, struct uh_arena *scratch,
                                    char word[WORD_MOST],
                                    struct uh_error *error)
{
    struct uh_net net;
    struct uh_error line = {{0}};
    if (uh_net_plan(text, scratch, &net, &line) != UH_OK) {
        return uh_fail(error, UH_BAD_INPUT, "%.250s (%.200s)", line.text,
                       d->stored->file);
    }
    if (net.out.height % side || net.out.width % side) {
        return uh_fail(error, UH_BAD_INPUT,
                       "input: expected one that leaves multiples of %zu x %zu "
                       "before the mean of %s, found %zu x %zu behind it "
                       "(%.200s)",
                       side, side, d->model, net.out.height, net.out.width,
                       d->stored->file);
    }
    snprintf(word, WORD_MOST, "meanpool %zu %zu", net.out.height / side,
             net.out.width / side);
    return UH_OK;
}

/* The line of the first layers. */
static enum uh_status write_line(struct draft *d, size_t layers,
                                 struct uh_arena *scratch, const char **line,
                                 struct uh_error *error)
{
    char *text = uh_arena_alloc(scratch, layers + 2, WORD_MOST + 2),
         *end = text;
    end += sprintf(end, "input %zu %zu %zu", d->in.channels, d->in.height,
                   d->in.width);
    for (size_t i = 0; i < layers; i++) {
        if (d->word[i][0] == '\0') {
            enum uh_status status = write_average(d, text, d->average[i],
                                                  scratch, d->word[i], error);
            if (status != UH_OK) {
                return status;
            }
        }
        end += sprintf(end, "; %s", d->word[i]);
    }
    *line = text;
    return UH_OK;
}

static const char *const *module_names(const struct draft *d,
                                       struct uh_arena *arena)
{
    const char **name = uh_arena_alloc(arena, d->layers, sizeof *name);
    for (size_t i = 0; i < d->layers; i++) {
        name[i] = uh_arena_text(arena, d->module[i]);
    }
    return name;
}

static enum uh_status load(struct draft *d, const char *until, size_t pad,
                           struct uh_arena *scratch, struct uh_arena *arena,
                           struct uh_torchvision *out, struct uh_error *error)
{
    size_t layers;
    const char *line = NULL;
    enum uh_status status = write_draft(d, pad, error);
    if (status == UH_OK) {
        status = layers_until(d, until, &layers, error);
    }
    if (status == UH_OK) {
        status = write_line(d, layers, scratch, &line, error);
    }
    if (status != UH_OK) {
        return status;
    }
    struct uh_net_names names = {.model = d->model,
                                 .count = d->layers,
                                 .module = module_names(d, scratch),
                                 .bias = d->bias,
                                 .resting = !has_part(d->stored, ".running_")};
    struct uh_torchvision found = {.model = uh_arena_text(arena, d->model),
                                   .name = module_names(d, arena)};
    status = uh_net_of_names(d->stored, line, &names, arena, &found.net, error);
    if (status == UH_OK) {
        *out = found;
    }
    return status;
}

enum uh_status
uh_torchvision_of_tensors(const struct uh_safetensors *stored,
                          const struct uh_torchvision_options *options,
                          struct uh_arena *arena, struct uh_torchvision *out,
                          struct uh_error *error)
{
    static const struct uh_torchvision_options usual = {.until = NULL};
    const struct uh_torchvision_options *o = options ? options : &usual;
    struct uh_mark mark = uh_arena_open(arena);
    struct uh_arena *scratch = uh_arena_new();
    struct draft *d = uh_arena_alloc(scratch, 1, sizeof *d);
    d->stored = stored;
    d->in = o->in;
    enum uh_status status =
        load(d, o->until, o->classifier_pad, scratch, arena, out, error);
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
    }
    uh_arena_free(&scratch);
    return status;
}

/* -- photographs ------------------------------------------------------------------ */

void uh_torchvision_input(const struct uh_picture *picture,
                          enum uh_torchvision_pixels pixels, size_t height,
                          size_t width, float *x)
{
    static const double mean[3] = {0.485, 0.456, 0.406};
    static const double deviation[3] = {0.229, 0.224, 0.225};
    static const double caffe_mean[3] = {104, 117, 123};
    UH_REQUIRE(picture->channels == 3 && picture->height >= height &&
                   picture->width >= width,
               "%zu x %zu x %zu", picture->channels, picture->height,
               picture->width);
    size_t top = (picture->height - height) / 2;
    size_t left = (picture->width - width) / 2;
    bool rgb = pixels == UH_PIXELS_RGB;
    for (size_t c = 0; c < 3; c++) {
        size_t channel = rgb ? c : 2 - c;
        for (size_t i = 0; i < height; i++) {
            const uint8_t *from = picture->pixels +
                                  ((top + i) * picture->width + left) * 3 +
                                  channel;
            for (size_t j = 0; j < width; j++) {
                double byte = (double)from[3 * j];
                *x++ = (float)(rgb ? (byte / 255 - mean[c]) / deviation[c]
                                   : byte - caffe_mean[c]);
            }
        }
    }
}
