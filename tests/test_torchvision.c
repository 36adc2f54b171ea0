/* test_torchvision.c: published networks by the names of their tensors, against
 * their published sizes, and against logits that were computed elsewhere. */
#include "scratch.h"

#include "lane.h"
#include "npy.h"
#include "ppm.h"
#include "torchvision.h"

#include <math.h>

static void require_ok(enum uh_status status, const struct uh_error *error)
{
    if (status != UH_OK) {
        fail_msg("%s", error->text);
    }
}

/* -- files that are made here ------------------------------------------------- */

enum { TENSORS_MOST = 1024 };

/* A file as it is after reading: tensors by name. */
struct made {
    struct uh_arena *arena;
    size_t count;
    struct uh_stored_tensor tensor[TENSORS_MOST];
    const float *numbers; /* what all tensors show the beginning of */
    size_t most;          /* how many */
    struct uh_safetensors stored;
};

static struct made *make(size_t most)
{
    struct uh_arena *arena = uh_arena_new();
    struct made *m = uh_arena_alloc(arena, 1, sizeof *m);
    m->arena = arena;
    m->most = most;
    m->numbers = uh_arena_alloc(arena, most, sizeof *m->numbers);
    return m;
}

static struct uh_stored_tensor *add_tensor(struct made *m, const char *name,
                                           enum uh_dtype dtype, size_t rank,
                                           const size_t dims[],
                                           const void *data)
{
    assert_true(m->count < TENSORS_MOST);
    struct uh_stored_tensor *t = &m->tensor[m->count++];
    *t = (struct uh_stored_tensor){.name = uh_arena_text(m->arena, name),
                                   .dtype = dtype,
                                   .rank = rank,
                                   .count = 1,
                                   .data = data ? data : m->numbers};
    for (size_t i = 0; i < UH_SAFETENSORS_RANK; i++) {
        t->dims[i] = i < rank ? dims[i] : 1;
        t->count *= t->dims[i];
    }
    assert_true(data || t->count <= m->most);
    return t;
}

static void add_vector(struct made *m, const char *module, const char *what,
                       size_t n)
{
    char name[80];
    snprintf(name, sizeof name, "%.60s.%.15s", module, what);
    add_tensor(m, name, UH_F32, 1, &n, NULL);
}

static void add_conv(struct made *m, const char *module, size_t out, size_t in,
                     size_t kernel, bool bias)
{
    char name[80];
    size_t dims[4] = {out, in, kernel, kernel};
    snprintf(name, sizeof name, "%.60s.weight", module);
    add_tensor(m, name, UH_F32, 4, dims, NULL);
    if (bias) {
        add_vector(m, module, "bias", out);
    }
}

static void add_dense(struct made *m, const char *module, size_t out, size_t in)
{
    char name[80];
    size_t dims[2] = {out, in};
    snprintf(name, sizeof name, "%.60s.weight", module);
    add_tensor(m, name, UH_F32, 2, dims, NULL);
    add_vector(m, module, "bias", out);
}

static void add_norm(struct made *m, const char *module, size_t channels)
{
    char name[80];
    add_vector(m, module, "weight", channels);
    add_vector(m, module, "bias", channels);
    add_vector(m, module, "running_mean", channels);
    add_vector(m, module, "running_var", channels);
    snprintf(name, sizeof name, "%.59s.num_batches_tracked", module);
    add_tensor(m, name, UH_I64, 0, NULL, m->numbers);
}

static int by_name(const void *a, const void *b)
{
    const struct uh_stored_tensor *s = a, *t = b;
    return strcmp(s->name, t->name);
}

static const struct uh_safetensors *finish(struct made *m)
{
    qsort(m->tensor, m->count, sizeof *m->tensor, by_name);
    m->stored = (struct uh_safetensors){
        .file = "made", .tensors = m->count, .tensor = m->tensor};
    return &m->stored;
}

static struct uh_stored_tensor *tensor_of(struct made *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->tensor[i].name, name) == 0) {
            return &m->tensor[i];
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void drop(struct made *m, const char *name)
{
    struct uh_stored_tensor *t = tensor_of(m, name);
    *t = m->tensor[--m->count];
}

static void unmake(struct made **m)
{
    struct uh_arena *arena = (*m)->arena;
    uh_arena_free(&arena);
    *m = NULL;
}

/* SqueezeNet 1.1 as squeezenet.py defines it: Fire(in, squeeze, e, e)
 * at features.INDEX. */
static void add_squeezenet(struct made *m)
{
    static const size_t fire[][4] = {{3, 64, 16, 64},    {4, 128, 16, 64},
                                     {6, 128, 32, 128},  {7, 256, 32, 128},
                                     {9, 256, 48, 192},  {10, 384, 48, 192},
                                     {11, 384, 64, 256}, {12, 512, 64, 256}};
    char name[80];
    add_conv(m, "features.0", 64, 3, 3, true);
    for (size_t i = 0; i < 8; i++) {
        size_t squeeze = fire[i][2], expand = fire[i][3];
        snprintf(name, sizeof name, "features.%zu.squeeze", fire[i][0]);
        add_conv(m, name, squeeze, fire[i][1], 1, true);
        snprintf(name, sizeof name, "features.%zu.expand1x1", fire[i][0]);
        add_conv(m, name, expand, squeeze, 1, true);
        snprintf(name, sizeof name, "features.%zu.expand3x3", fire[i][0]);
        add_conv(m, name, expand, squeeze, 3, true);
    }
    add_conv(m, "classifier.1", 1000, 512, 1, true);
}

/* ResNets: channels run through `in`. */
static void add_resnet(struct made *m, const size_t blocks[4], bool bottleneck,
                       size_t classes)
{
    size_t in = 64, spread = bottleneck ? 4 : 1;
    char name[80], block[32];
    add_conv(m, "conv1", 64, 3, 7, false);
    add_norm(m, "bn1", 64);
    for (size_t s = 0; s < 4; s++) {
        size_t width = (size_t)64 << s;
        for (size_t b = 0; b < blocks[s]; b++) {
            snprintf(block, sizeof block, "layer%zu.%zu", s + 1, b);
            for (size_t k = 1; k <= (bottleneck ? 3 : 2); k++) {
                size_t kernel = bottleneck && k != 2 ? 1 : 3;
                size_t out = k == 3 ? 4 * width : width;
                snprintf(name, sizeof name, "%s.conv%zu", block, k);
                add_conv(m, name, out, k == 1 ? in : width, kernel, false);
                snprintf(name, sizeof name, "%s.bn%zu", block, k);
                add_norm(m, name, out);
            }
            if (in != spread * width) {
                snprintf(name, sizeof name, "%s.downsample.0", block);
                add_conv(m, name, spread * width, in, 1, false);
                snprintf(name, sizeof name, "%s.downsample.1", block);
                add_norm(m, name, spread * width);
            }
            in = spread * width;
        }
    }
    add_dense(m, "fc", classes, in);
}

static void add_alexnet(struct made *m, bool classifier)
{
    static const size_t conv[5][4] = {{0, 64, 3, 11},
                                      {3, 192, 64, 5},
                                      {6, 384, 192, 3},
                                      {8, 256, 384, 3},
                                      {10, 256, 256, 3}};
    char name[80];
    for (size_t i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "features.%zu", conv[i][0]);
        add_conv(m, name, conv[i][1], conv[i][2], conv[i][3], true);
    }
    if (classifier) {
        add_dense(m, "classifier.1", 4096, 9216);
        add_dense(m, "classifier.4", 4096, 4096);
        add_dense(m, "classifier.6", 1000, 4096);
    }
}

/* The features of a VGG; layout as make_layers reads it, 0 is a pooling. */
static void add_vgg(struct made *m, const size_t layout[], size_t length,
                    bool norm)
{
    size_t in = 3, at = 0;
    char name[80];
    for (size_t i = 0; i < length; i++) {
        if (layout[i] == 0) {
            at++;
            continue;
        }
        snprintf(name, sizeof name, "features.%zu", at);
        add_conv(m, name, layout[i], in, 3, true);
        if (norm) {
            snprintf(name, sizeof name, "features.%zu", at + 1);
            add_norm(m, name, layout[i]);
        }
        at += norm ? 3 : 2;
        in = layout[i];
    }
}

static struct uh_torchvision load(struct made *m,
                                  const struct uh_torchvision_options *options)
{
    struct uh_torchvision t;
    struct uh_error error = {""};
    if (uh_torchvision_of_tensors(finish(m), options, m->arena, &t, &error) !=
        UH_OK) {
        fail_msg("%s", error.text);
    }
    return t;
}

/* Parameters as PyTorch counts them, without biases that no tensor holds. */
static size_t parameters(const struct made *m, const struct uh_torchvision *t)
{
    size_t n = t->net.parameter_count;
    for (size_t i = 0; i < t->net.layers; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s.bias", t->name[i]);
        if (!uh_safetensors_find(&m->stored, name)) {
            n -= t->net.layer[i].bias_count;
        }
    }
    return n;
}

/* torchvision's documentation: num_params of AlexNet_Weights,
 * SqueezeNet1_1_Weights, ResNet18_Weights ... ResNet152_Weights. */
static void networks_have_their_published_numbers_of_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        bool bottleneck;
        size_t blocks[4], parameters;
    } resnet[] = {{"resnet18", false, {2, 2, 2, 2}, 11689512},
                  {"resnet34", false, {3, 4, 6, 3}, 21797672},
                  {"resnet50", true, {3, 4, 6, 3}, 25557032},
                  {"resnet101", true, {3, 4, 23, 3}, 44549160},
                  {"resnet152", true, {3, 8, 36, 3}, 60192808}};
    for (size_t i = 0; i < 5; i++) {
        struct made *m = make(512 * 512 * 9);
        add_resnet(m, resnet[i].blocks, resnet[i].bottleneck, 1000);
        struct uh_torchvision t = load(m, NULL);
        assert_string_equal(t.model, resnet[i].model);
        assert_int_equal(parameters(m, &t), resnet[i].parameters);
        assert_int_equal(uh_shape_size(t.net.out), 1000);
        unmake(&m);
    }
    struct made *m = make(9216 * 4096);
    add_alexnet(m, true);
    struct uh_torchvision t = load(m, NULL);
    assert_string_equal(t.model, "alexnet");
    assert_int_equal(parameters(m, &t), 61100840);
    assert_int_equal(uh_shape_size(t.net.out), 1000);
    unmake(&m);
    m = make(1000 * 512);
    add_squeezenet(m);
    t = load(m, NULL);
    assert_string_equal(t.model, "squeezenet1_1");
    assert_int_equal(parameters(m, &t), 1235496);
    assert_int_equal(uh_shape_size(t.net.out), 1000);
    unmake(&m);
}

/* torchvision: 132863336 (11), 133047848 (13), 138357544 (16), 143667240 (19),
 * and with batchnorm 132868840, 133053736, 138365992, 143678248 parameters, of
 * which 123642856 are the three dense layers'. */
static void the_features_of_vgg_have_theirs(void **state)
{
    (void)state;
    static const size_t layout[4][21] = {
        {64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0},
        {64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0},
        {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512,
         512, 0},
        {64,  64,  0,   128, 128, 0,   256, 256, 256, 256, 0,
         512, 512, 512, 512, 0,   512, 512, 512, 512, 0}};
    static const size_t length[4] = {13, 15, 18, 21};
    static const char *const model[4] = {"vgg11", "vgg13", "vgg16", "vgg19"};
    static const size_t want[2][4] = {
        {132863336, 133047848, 138357544, 143667240},
        {132868840, 133053736, 138365992, 143678248}};
    for (size_t i = 0; i < 8; i++) {
        struct made *m = make(512 * 512 * 9);
        add_vgg(m, layout[i % 4], length[i % 4], i > 3);
        struct uh_torchvision t = load(m, NULL);
        assert_string_equal(t.model, model[i % 4]);
        assert_int_equal(parameters(m, &t), want[i / 4][i % 4] - 123642856);
        assert_int_equal(uh_shape_size(t.net.out), 512 * 7 * 7);
        unmake(&m);
    }
}

static void the_lines_are_those_that_one_writes_by_hand(void **state)
{
    (void)state;
    struct made *m = make(512 * 512 * 9);
    add_alexnet(m, false);
    struct uh_torchvision t = load(m, NULL);
    assert_string_equal(
        t.net.arch,
        "input 3 224 224; conv 64 11 11 stride=4 pad=2; relu; maxpool 3 "
        "stride=2; conv 192 5 5 pad=2; relu; maxpool 3 stride=2; conv 384 3 3 "
        "pad=1; relu; conv 256 3 3 pad=1; relu; conv 256 3 3 pad=1; relu; "
        "maxpool 3 stride=2; meanpool 1");
    unmake(&m);

    m = make(512 * 512 * 9);
    add_resnet(m, (const size_t[]){2, 2, 2, 2}, false, 10);
    t = load(m, &(struct uh_torchvision_options){.in = {3, 96, 64},
                                                 .until = "layer2.0"});
    assert_string_equal(
        t.net.arch,
        "input 3 96 64; conv 64 7 7 stride=2 pad=3; batchnorm; relu; maxpool 3 "
        "stride=2 pad=1; "
        "mark in; conv 64 3 3 pad=1; batchnorm; relu; conv 64 3 3 pad=1; "
        "batchnorm; add in; relu; "
        "mark in; conv 64 3 3 pad=1; batchnorm; relu; conv 64 3 3 pad=1; "
        "batchnorm; add in; relu; "
        "mark in; conv 128 3 3 stride=2 pad=1; batchnorm; relu; conv 128 3 3 "
        "pad=1; batchnorm; mark out; from in; conv 128 1 1 stride=2; "
        "batchnorm; add out; relu");
    assert_string_equal(t.name[28], "layer2.0.downsample.0");
    t = load(m, &(struct uh_torchvision_options){.in = {3, 96, 64}});
    assert_non_null(strstr(t.net.arch, "meanpool 3 2; flatten; dense 10"));
    unmake(&m);

    m = make(512 * 512 * 9);
    add_resnet(m, (const size_t[]){3, 4, 6, 3}, true, 1000);
    t = load(m, &(struct uh_torchvision_options){.until = "layer1.0"});
    assert_non_null(
        strstr(t.net.arch,
               "mark in; conv 64 1 1; batchnorm; relu; conv 64 3 3 pad=1; "
               "batchnorm; relu; conv 256 1 1; batchnorm; mark out; from in; "
               "conv 256 1 1; batchnorm; add out; relu"));
    t = load(m, &(struct uh_torchvision_options){.until = "layer3.0"});
    assert_non_null(strstr(t.net.arch,
                           "mark in; conv 256 1 1; batchnorm; relu; conv 256 3 "
                           "3 stride=2 pad=1; batchnorm; relu; conv 1024 1 1; "
                           "batchnorm; mark out; from in; conv 1024 1 1 "
                           "stride=2; batchnorm; add out; relu"));
    unmake(&m);

    m = make(512 * 1000);
    add_squeezenet(m);
    t = load(m, &(struct uh_torchvision_options){.until = "features.6"});
    assert_string_equal(
        t.net.arch,
        "input 3 224 224; conv 64 3 3 stride=2; relu; maxpool 3 stride=2 "
        "ceil=1; conv 16 1 1; relu; mark squeezed; conv 64 1 1; relu; mark "
        "left; from squeezed; conv 64 3 3 pad=1; relu; cat left; conv 16 1 1; "
        "relu; mark squeezed; conv 64 1 1; relu; mark left; from squeezed; "
        "conv 64 3 3 pad=1; relu; cat left; maxpool 3 stride=2 ceil=1; conv 32 "
        "1 1; relu; mark squeezed; conv 128 1 1; relu; mark left; from "
        "squeezed; conv 128 3 3 pad=1; relu; cat left");
    t = load(m, &(struct uh_torchvision_options){.classifier_pad = 1});
    assert_non_null(strstr(t.net.arch, "conv 1000 1 1 pad=1; relu; meanpool 15;"
                                       " flatten"));
    unmake(&m);
}

/* Each layer's numbers are those of the tensor of its module. */
static void every_tensor_arrives_at_its_layer(void **state)
{
    (void)state;
    struct made *m = make(512 * 512 * 9);
    float *own = uh_arena_alloc(m->arena, m->most + TENSORS_MOST, sizeof *own);
    for (size_t i = 0; i < m->most + TENSORS_MOST; i++) {
        own[i] = (float)(i % 9973);
    }
    add_resnet(m, (const size_t[]){2, 2, 2, 2}, false, 1000);
    for (size_t i = 0; i < m->count; i++) {
        m->tensor[i].data = own + i; /* no two tensors are alike */
    }
    struct uh_torchvision t = load(m, NULL);
    size_t seen = 0;
    for (size_t i = 0; i < t.net.layers; i++) {
        const struct uh_layer *a = &t.net.layer[i];
        const struct {
            const char *what;
            const float *entries;
        } part[4] = {{"weight", a->weight},
                     {"bias", a->bias},
                     {"running_mean", a->running_mean},
                     {"running_var", a->running_var}};
        for (size_t j = 0; a->weight_count && j < 4; j++) {
            char name[80];
            snprintf(name, sizeof name, "%s.%s", t.name[i], part[j].what);
            const struct uh_stored_tensor *s =
                uh_safetensors_find(&m->stored, name);
            if (s) {
                assert_memory_equal(part[j].entries, s->data,
                                    s->count * sizeof(float));
                seen++;
            }
        }
    }
    assert_int_equal(seen, m->count - 20); /* one counter per batchnorm */
    unmake(&m);
}

/* -- what is refused ------------------------------------------------------------ */

static struct made *small_resnet(void)
{
    struct made *m = make(512 * 512 * 9);
    add_resnet(m, (const size_t[]){2, 2, 2, 2}, false, 1000);
    return m;
}

static void refused(struct made *m,
                    const struct uh_torchvision_options *options,
                    enum uh_status status, const char *line)
{
    struct uh_torchvision t = {.model = "untouched"};
    struct uh_error error = {""};
    assert_int_equal(
        uh_torchvision_of_tensors(finish(m), options, m->arena, &t, &error),
        status);
    assert_string_equal(error.text, line);
    assert_string_equal(t.model, "untouched");
    unmake(&m);
}

static void a_missing_tensor_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"conv1.weight",
                                        "layer1.1.bn2.running_var",
                                        "layer4.1.conv1.weight",
                                        "layer2.0.downsample.0.weight",
                                        "fc.weight",
                                        "fc.bias",
                                        "bn1.bias"};
    static const char *const kinds[] = {
        "conv", "batchnorm", "conv", "conv", "dense", "dense", "batchnorm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[200];
        struct made *m = small_resnet();
        drop(m, names[i]);
        snprintf(line, sizeof line,
                 "tensor %s: expected it for %s, found none (made)", names[i],
                 kinds[i]);
        refused(m, NULL, UH_BAD_INPUT, line);
    }
    struct made *m = make(512 * 1000);
    add_squeezenet(m);
    drop(m, "features.4.expand1x1.bias");
    refused(m, NULL, UH_BAD_INPUT,
            "tensor features.4.expand1x1.bias: expected it for conv, found "
            "none (made)");
}

static void a_wrong_shape_or_type_or_entry_is_named(void **state)
{
    (void)state;
    static const float nan[64] = {[17] = NAN}, negative[64] = {[3] = -1};
    struct made *m = small_resnet();
    tensor_of(m, "layer3.0.conv1.weight")->dims[1] = 64;
    refused(m, NULL, UH_BAD_INPUT,
            "tensor layer3.0.conv1.weight: expected shape 256x128x3x3, found "
            "256x64x3x3 (made)");
    m = small_resnet();
    tensor_of(m, "bn1.weight")->dtype = UH_I32;
    refused(m, NULL, UH_BAD_INPUT,
            "tensor bn1.weight: expected F32, F64 or F16, found I32 (made)");
    m = small_resnet();
    tensor_of(m, "bn1.weight")->data = nan;
    refused(m, NULL, UH_NOT_FINITE,
            "tensor bn1.weight: expected finite float32 numbers, found NaN at "
            "entry 17 (made)");
    m = small_resnet();
    tensor_of(m, "bn1.running_var")->data = negative;
    refused(m, NULL, UH_BAD_INPUT,
            "tensor bn1.running_var: expected numbers from 0, found -1 at "
            "entry 3 (made)");
}

static void what_is_not_of_the_network_is_named(void **state)
{
    (void)state;
    struct made *m = small_resnet();
    add_vector(m, "conv1", "bias", 64);
    refused(m, NULL, UH_BAD_INPUT,
            "tensor conv1.bias: expected the tensors of resnet18, found "
            "another (made)");
    m = small_resnet();
    add_vector(m, "layer4", "scale", 1);
    refused(m, NULL, UH_BAD_INPUT,
            "tensor layer4.scale: expected the tensors of resnet18, found "
            "another (made)");
    m = make(512 * 512 * 9);
    add_resnet(m, (const size_t[]){3, 8, 37, 3}, true, 10);
    refused(m, NULL, UH_BAD_INPUT,
            "tensors: expected the blocks of ResNet-18, 34, 50, 101 or 152, "
            "found more in some of layer1 to layer4 (made)");
    m = make(100);
    add_conv(m, "0", 2, 3, 3, true);
    refused(m, NULL, UH_BAD_INPUT,
            "network: expected the metadata key arch, or tensors with the "
            "names of torchvision's AlexNet, ResNet, SqueezeNet or VGG, found "
            "neither (made)");
}

static void an_input_that_does_not_fit_is_one_line(void **state)
{
    (void)state;
    const struct uh_torchvision_options one = {.in = {1, 64, 64}},
                                        tiny = {.in = {3, 63, 63}},
                                        odd = {.in = {3, 256, 256}},
                                        layer5 = {.until = "layer5"},
                                        part = {.until = "layer"};
    refused(small_resnet(), &one, UH_BAD_INPUT,
            "tensor conv1.weight: expected shape 64x1x7x7, found 64x3x7x7 "
            "(made)");
    struct made *m = make(512 * 512 * 9);
    add_alexnet(m, false);
    refused(m, &tiny, UH_BAD_INPUT,
            "input: expected one that leaves multiples of 6 x 6 before the "
            "mean of alexnet, found 1 x 1 behind it (made)");
    m = make(512 * 512 * 9);
    add_alexnet(m, false);
    refused(m, &odd, UH_BAD_INPUT,
            "input: expected one that leaves multiples of 6 x 6 before the "
            "mean of alexnet, found 7 x 7 behind it (made)");
    refused(small_resnet(), &layer5, UH_BAD_INPUT,
            "module: expected one of resnet18, found layer5 (made)");
    refused(small_resnet(), &part, UH_BAD_INPUT,
            "module: expected one of resnet18, found layer (made)");
}

static void what_lies_behind_until_may_be_missing_or_wrong(void **state)
{
    (void)state;
    struct made *m = small_resnet();
    drop(m, "layer4.0.conv1.weight");
    tensor_of(m, "fc.weight")->dims[1] = 7;
    struct uh_torchvision t =
        load(m, &(struct uh_torchvision_options){.until = "layer3"});
    assert_int_equal(t.net.out.channels, 256);
    assert_int_equal(t.net.out.height, 14);
    refused(m, &(struct uh_torchvision_options){.until = "layer4"},
            UH_BAD_INPUT,
            "tensor layer4.0.conv1.weight: expected it for conv, found none "
            "(made)");
}

/* Folded: no batchnorm, a bias everywhere.  At rest: statistics 0 and 1. */
static void batchnorm_may_be_folded_or_without_statistics(void **state)
{
    (void)state;
    struct made *m = small_resnet();
    for (size_t i = 0; i < m->count;) {
        if (strstr(m->tensor[i].name, ".running_")) {
            drop(m, m->tensor[i].name);
        } else {
            i++;
        }
    }
    struct uh_torchvision t = load(m, NULL);
    assert_int_equal(t.net.layer[1].kind, UH_BATCHNORM);
    assert_true(t.net.layer[1].running_var[63] == 1 &&
                t.net.layer[1].running_mean[63] == 0);
    for (size_t i = 0; i < m->count;) {
        const char *name = m->tensor[i].name;
        if (strstr(name, "bn") || strstr(name, "downsample.1")) {
            drop(m, name);
        } else {
            i++;
        }
    }
    size_t count = m->count;
    for (size_t i = 0; i < count; i++) {
        char module[64];
        size_t length = strlen(m->tensor[i].name) - strlen(".weight");
        if (m->tensor[i].rank == 4) {
            snprintf(module, sizeof module, "%.*s", (int)length,
                     m->tensor[i].name);
            add_vector(m, module, "bias", m->tensor[i].dims[0]);
        }
    }
    t = load(m, NULL);
    assert_null(strstr(t.net.arch, "batchnorm"));
    assert_int_equal(t.net.parameter_count, 11689512 - 4800); /* sum of c */
    drop(m, "layer1.0.conv1.bias");
    refused(m, NULL, UH_BAD_INPUT,
            "tensor layer1.0.conv1.bias: expected it for conv, found none "
            "(made)");
}

/* -- codebooks ------------------------------------------------------------------- */

static const char ARCH[] = "input 4; dense 3; relu";
static const char *const modules[] = {"a", "b"};
static const enum uh_bias biases[] = {UH_BIAS_MAYBE, UH_BIAS_MAYBE};
static const struct uh_net_names names = {"small", 2, modules, biases, false};

static enum uh_status small(struct made *m, struct uh_net *net,
                            struct uh_error *error)
{
    return uh_net_of_names(finish(m), ARCH, &names, m->arena, net, error);
}

static const float two[3][2] = {{1, 2}, {3, 4}, {5, 6}};
static const size_t two_dims[] = {3, 2};
/* Block j of output o is at j * 3 + o. */
static const uint8_t one_for_all[6] = {0, 1, 2, 2, 2, 0};
static const size_t six[] = {6};

static void one_codebook_serves_all_blocks(void **state)
{
    (void)state;
    static const float want[12] = {1, 2, 5, 6, 3, 4, 5, 6, 5, 6, 1, 2};
    struct made *m = make(1);
    struct uh_net net;
    struct uh_error error = {""};
    add_tensor(m, "a.centroids", UH_F32, 2, two_dims, two);
    add_tensor(m, "a.assignments", UH_U8, 1, six, one_for_all);
    require_ok(small(m, &net, &error), &error);
    assert_memory_equal(net.layer[0].weight, want, sizeof want);
    unmake(&m);
}

static void each_block_may_have_a_codebook_of_its_own(void **state)
{
    (void)state;
    static const float own[2][2][2] = {{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}};
    static const int16_t choice[3][2] = {{0, 1}, {1, 1}, {1, 0}};
    static const float want[12] = {1, 2, 7, 8, 3, 4, 7, 8, 3, 4, 5, 6};
    static const size_t dims[] = {2, 2, 2}, choices[] = {3, 2};
    struct made *m = make(1);
    struct uh_net net;
    struct uh_error error = {""};
    add_tensor(m, "a.centroids", UH_F32, 3, dims, own);
    add_tensor(m, "a.assignments", UH_I16, 2, choices, choice);
    require_ok(small(m, &net, &error), &error);
    assert_memory_equal(net.layer[0].weight, want, sizeof want);
    unmake(&m);
}

static void a_codebook_that_does_not_fit_is_one_line(void **state)
{
    (void)state;
    static const int8_t beyond[6] = {0, 1, 2, 3, 0, 0},
                        negative[6] = {0, 0, 0, 0, 0, -1};
    static const float nan[3][2] = {{0, 1}, {2, NAN}, {0, 0}};
    static const size_t five[] = {5}, three[] = {2, 3}, none[] = {0, 2};
    static const struct {
        enum uh_dtype type;
        const size_t *dims;
        const void *centroids;
        enum uh_dtype choice_type;
        const size_t *choice_dims;
        const void *choice;
        const char *line;
    } bad[] = {
        {UH_F32, two_dims, two, UH_I8, six, beyond,
         "tensor a.assignments: expected numbers below 3, found 3 at entry 3 "
         "(made)"},
        {UH_F32, two_dims, two, UH_I8, six, negative,
         "tensor a.assignments: expected numbers below 3, found -1 at entry 5 "
         "(made)"},
        {UH_F32, two_dims, two, UH_F32, six, two,
         "tensor a.assignments: expected integers, found F32 (made)"},
        {UH_I32, two_dims, two, UH_U8, six, one_for_all,
         "tensor a.centroids: expected F16, BF16, F32 or F64, found I32 "
         "(made)"},
        {UH_F32, two_dims, two, UH_U8, five, one_for_all,
         "tensor a.assignments: expected shape 6, found 5 (made)"},
        {UH_F32, three, two, UH_U8, six, one_for_all,
         "tensor a.centroids: expected rows that make up 4 entries, found 2x3 "
         "(made)"},
        {UH_F32, none, two, UH_U8, six, one_for_all,
         "tensor a.centroids: expected rows that make up 4 entries, found 0x2 "
         "(made)"},
        {UH_F32, two_dims, two, UH_U8, NULL, NULL,
         "tensor a.assignments: expected it beside the centroids, found none "
         "(made)"},
        {UH_F32, NULL, NULL, UH_U8, six, one_for_all,
         "tensor a.centroids: expected it beside the assignments, found none "
         "(made)"},
        {UH_F32, two_dims, nan, UH_U8, six, one_for_all,
         "tensor a.centroids: expected finite float32 numbers, found NaN at "
         "entry 3 (made)"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct made *m = make(1);
        struct uh_net net = {.layers = 77};
        struct uh_error error = {""};
        if (bad[i].dims) {
            add_tensor(m, "a.centroids", bad[i].type, 2, bad[i].dims,
                       bad[i].centroids);
        }
        if (bad[i].choice_dims) {
            add_tensor(m, "a.assignments", bad[i].choice_type, 1,
                       bad[i].choice_dims, bad[i].choice);
        }
        assert_int_not_equal(small(m, &net, &error), UH_OK);
        assert_string_equal(error.text, bad[i].line);
        assert_int_equal(net.layers, 77);
        unmake(&m);
    }
}

/* -- photographs ------------------------------------------------------------------- */

static void an_input_is_the_middle_of_a_picture(void **state)
{
    (void)state;
    uint8_t pixels[4 * 5 * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(4 * i);
    }
    const struct uh_picture picture = {5, 4, 3, pixels};
    float x[3 * 1 * 2];
    /* One row of two pixels: three rows and columns remain, row 1 and column
     * 1 are first; pixel 6 has the bytes 72, 76, 80, pixel 7 84, 88, 92. */
    uh_torchvision_input(&picture, UH_PIXELS_BGR, 1, 2, x);
    const float bgr[6] = {80 - 104, 92 - 104, 76 - 117,
                          88 - 117, 72 - 123, 84 - 123};
    assert_memory_equal(x, bgr, sizeof bgr);
    uh_torchvision_input(&picture, UH_PIXELS_RGB, 1, 2, x);
    const double rgb[6] = {-0.884921654, -0.679424608, -0.705182073,
                           -0.495098039, -0.410108932, -0.200958606};
    for (size_t i = 0; i < 6; i++) {
        assert_true(fabs((double)x[i] - rgb[i]) <= 1e-7);
    }
}

/* -- the networks themselves ------------------------------------------------ */

static const char *const photos[] = {"astronaut", "chelsea", "coffee", "dog",
                                     "rocket"};
enum { PHOTOS = sizeof photos / sizeof *photos, SIDE_MOST = 227 };

struct published {
    const char *file, *answers, *model;
    struct uh_torchvision_options options;
    enum uh_torchvision_pixels pixels;
    size_t outputs;
    bool averaged; /* the answers are means over places */
};

static const struct published published[] = {
    {"squeezenet1_1", "squeezenet1_1", "squeezenet1_1", .outputs = 1000},
    {"squeezenet1_0_deepcompression",
     "squeezenet1_0_deepcompression",
     "squeezenet1_0",
     {.in = {3, 227, 227}, .classifier_pad = 1},
     UH_PIXELS_BGR,
     .outputs = 1000},
    {"resnet18_ktb", "resnet18_ktb", "resnet18", .outputs = 1000},
    {"resnet50_ktb_factored", "resnet50_ktb", "resnet50", .outputs = 1000},
    {"resnet18_torchvision_folded_partial",
     "resnet18_torchvision_folded_partial_layer3mean",
     "resnet18",
     {.until = "layer3"},
     .outputs = 256,
     .averaged = true},
    {"alexnet_qcnn_conv", "alexnet_qcnn_conv_pool5", "alexnet-bvlc",
     .pixels = UH_PIXELS_BGR, .outputs = 9216},
};

/* Means over the places of each channel. */
static void average(struct uh_shape shape, const float *x, double *mean)
{
    size_t places = shape.height * shape.width;
    for (size_t c = 0; c < shape.channels; c++) {
        mean[c] = 0;
        for (size_t p = 0; p < places; p++) {
            mean[c] += (double)x[c * places + p] / (double)places;
        }
    }
}

/* The largest difference from the answers, relative to the largest answer; the
 * first of the largest must be the same one. */
static double compare(const struct published *p, size_t photo,
                      const struct uh_torchvision *t, const float *y,
                      struct uh_arena *arena)
{
    char path[2 * PATH];
    struct uh_error error;
    struct uh_npy want;
    double *mean = uh_arena_alloc(arena, p->outputs, sizeof *mean);
    snprintf(path, sizeof path, "%s/imagenet/logits/%s__%s.npy", data_folder(),
             p->answers, photos[photo]);
    require_ok(uh_npy_read(path, arena, &want, &error), &error);
    assert_int_equal(want.count, p->outputs);
    if (p->averaged) {
        average(t->net.out, y, mean);
    }
    size_t first = 0, first_wanted = 0;
    double off = 0, largest = 0;
    for (size_t i = 0; i < p->outputs; i++) {
        double v = p->averaged ? mean[i] : (double)y[i];
        double w = (double)want.f32[i];
        off = fmax(off, fabs(v - w));
        largest = fmax(largest, fabs(w));
        double best = p->averaged ? mean[first] : (double)y[first];
        first = v > best ? i : first;
        first_wanted = w > (double)want.f32[first_wanted] ? i : first_wanted;
        assert_true(isfinite(v));
    }
    assert_int_equal(first, first_wanted);
    return off / largest;
}

static void check_published(const struct published *p)
{
    if (!data_folder()) {
        skip();
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(0);
    struct uh_torchvision t;
    struct uh_error error;
    struct uh_safetensors stored;
    char path[2 * PATH];
    snprintf(path, sizeof path, "%s/imagenet/%s.safetensors", data_folder(),
             p->file);
    require_ok(uh_safetensors_read(path, arena, &stored, &error), &error);
    require_ok(
        uh_torchvision_of_tensors(&stored, &p->options, arena, &t, &error),
        &error);
    assert_string_equal(t.model, p->model);
    size_t side = t.net.in.height, size = uh_shape_size(t.net.out);
    float *x = uh_arena_alloc(arena, 3 * side * side, sizeof *x);
    float *y = uh_arena_alloc(arena, size, sizeof *y);
    double worst = 0;
    for (size_t i = 0; i < PHOTOS; i++) {
        struct uh_picture photo;
        snprintf(path, sizeof path, "%s/imagenet/photos/%s.ppm", data_folder(),
                 photos[i]);
        require_ok(uh_ppm_read(path, arena, &photo, &error), &error);
        uh_torchvision_input(&photo, p->pixels, side, side, x);
        uh_net_forward(&t.net, pool, 1, x, y);
        worst = fmax(worst, compare(p, i, &t, y, arena));
    }
    print_message("# %s: off by at most %.2g of the largest output\n", p->file,
                  worst);
    assert_true(worst <= 1e-4);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void squeezenet_1_1_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[0]);
}

static void
deep_compression_s_squeezenet_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[1]);
}

static void resnet_18_gives_the_reference_logits(void **state)
{
    (void)state;
    check_published(&published[2]);
}

static void resnet_50_gives_the_reference_logits_from_codebooks(void **state)
{
    (void)state;
    check_published(&published[3]);
}

static void half_a_folded_resnet_18_gives_the_reference_means(void **state)
{
    (void)state;
    check_published(&published[4]);
}

static void bvlc_s_alexnet_gives_the_reference_features(void **state)
{
    (void)state;
    check_published(&published[5]);
}

/* The two dense layers of the factored file, though fc6 has only a bias: each
 * entry is the one that the header's rule names, read here byte by byte. */
static void layers_of_a_file_can_be_had_alone(void **state)
{
    (void)state;
    static const char *const module[] = {"classifier.4", "classifier.5",
                                         "classifier.6", "classifier.1"};
    static const enum uh_bias bias[] = {UH_BIAS_NEEDED, UH_BIAS_NEEDED,
                                        UH_BIAS_NEEDED, UH_BIAS_NEEDED};
    static const struct uh_net_names alone = {"alexnet", 4, module, bias,
                                              false};
    if (!data_folder()) {
        skip();
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_safetensors stored;
    struct uh_net net;
    struct uh_error error;
    char path[2 * PATH];
    snprintf(path, sizeof path,
             "%s/imagenet/alexnet_qcnn_fc_factored.safetensors", data_folder());
    require_ok(uh_safetensors_read(path, arena, &stored, &error), &error);
    require_ok(uh_net_of_names(&stored,
                               "input 4096; dense 4096; relu; dense 1000",
                               &alone, arena, &net, &error),
               &error);
    const struct uh_stored_tensor *c =
        uh_safetensors_find(&stored, "classifier.4.centroids");
    const uint8_t *choice =
        uh_safetensors_find(&stored, "classifier.4.assignments")->data;
    for (size_t o = 0; o < 4096; o += 37) {
        for (size_t i = 0; i < 4096; i++) {
            float want;
            size_t block = i / 4, row = choice[o * 1024 + block];
            memcpy(&want,
                   (const uint8_t *)c->data +
                       sizeof want * ((block * 32 + row) * 4 + i % 4),
                   sizeof want);
            assert_true(net.layer[0].weight[o * 4096 + i] == want);
        }
    }
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_have_their_published_numbers_of_parameters),
        cmocka_unit_test(the_features_of_vgg_have_theirs),
        cmocka_unit_test(the_lines_are_those_that_one_writes_by_hand),
        cmocka_unit_test(every_tensor_arrives_at_its_layer),
        cmocka_unit_test(a_missing_tensor_is_named),
        cmocka_unit_test(a_wrong_shape_or_type_or_entry_is_named),
        cmocka_unit_test(what_is_not_of_the_network_is_named),
        cmocka_unit_test(an_input_that_does_not_fit_is_one_line),
        cmocka_unit_test(what_lies_behind_until_may_be_missing_or_wrong),
        cmocka_unit_test(batchnorm_may_be_folded_or_without_statistics),
        cmocka_unit_test(one_codebook_serves_all_blocks),
        cmocka_unit_test(each_block_may_have_a_codebook_of_its_own),
        cmocka_unit_test(a_codebook_that_does_not_fit_is_one_line),
        cmocka_unit_test(an_input_is_the_middle_of_a_picture),
        cmocka_unit_test(squeezenet_1_1_gives_the_reference_logits),
        cmocka_unit_test(
            deep_compression_s_squeezenet_gives_the_reference_logits),
        cmocka_unit_test(resnet_18_gives_the_reference_logits),
        cmocka_unit_test(resnet_50_gives_the_reference_logits_from_codebooks),
        cmocka_unit_test(half_a_folded_resnet_18_gives_the_reference_means),
        cmocka_unit_test(bvlc_s_alexnet_gives_the_reference_features),
        cmocka_unit_test(layers_of_a_file_can_be_had_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
