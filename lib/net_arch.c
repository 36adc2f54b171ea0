/* net_arch.c: from the line of a network (net.h) to its layers. */
#include "die.h"
#include "net.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAYERS_MOST = 4096,
    WORDS_MOST = 12,
    NAME_MOST = 31,
    NUMBER_MOST = 1 << 24,
    PIECE_MOST = 160, /* bytes of one layer in the shortest form */
    SHOWN = 40        /* bytes of a foreign word in a message */
};

static const size_t TENSOR_MOST = ((size_t)1 << 31) - 1;
static const float LRN_ALPHA = 1e-4F, LRN_BETA = 0.75F, LRN_K = 1; /* PyTorch */
static const char BLANK[] = " \t\r\n";

/* One statement of the line. */
struct statement {
    size_t index; /* of the layer; SIZE_MAX for input */
    size_t words, used;
    char *word[WORDS_MOST];
    struct uh_error *error;
};

static enum uh_status wrong(const struct statement *s, const char *expected,
                            const char *found)
{
    char where[32] = "input";
    if (s->index != SIZE_MAX) {
        snprintf(where, sizeof where, "layer %zu", s->index);
    }
    return uh_fail(s->error, UH_BAD_INPUT,
                   "arch: expected %s, found %.*s (%s, %.*s)", expected, SHOWN,
                   found, where, SHOWN, s->words ? s->word[0] : "nothing");
}

static enum uh_status wrong_shape(const struct statement *s,
                                  const char *expected, struct uh_shape in)
{
    char found[80];
    snprintf(found, sizeof found, "%zu x %zu x %zu", in.channels, in.height,
             in.width);
    return wrong(s, expected, found);
}

/* Digits that make a number from least to NUMBER_MOST. */
static int read_size(const char *text, size_t least, size_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 8 || text[digits] != '\0') {
        return 0;
    }
    *value = strtoul(text, NULL, 10);
    return *value >= least && *value <= NUMBER_MOST;
}

static int read_float(const char *text, float *value)
{
    char *end;
    if (strspn(text, "+-.0123456789eE") != strlen(text)) {
        return 0;
    }
    *value = strtof(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

/* The next word as a number, at least 1. */
static enum uh_status take_size(struct statement *s, size_t *value)
{
    if (s->used == s->words) {
        return wrong(s, "a number", "nothing");
    }
    const char *word = s->word[s->used++];
    return read_size(word, 1, value)
               ? UH_OK
               : wrong(s, "a number from 1 to 16777216", word);
}

static enum uh_status take_float(struct statement *s, const char *what,
                                 float *value)
{
    if (s->used == s->words) {
        return wrong(s, what, "nothing");
    }
    const char *word = s->word[s->used++];
    return read_float(word, value) ? UH_OK : wrong(s, what, word);
}

static int is_number(const char *word)
{
    return word[0] >= '0' && word[0] <= '9';
}

/* key=VALUE words that a kind may have. */
struct option {
    const char *key;
    size_t least;
    size_t *value; /* or */
    float *real;
    int seen;
};

static enum uh_status take_option(struct statement *s, size_t options,
                                  struct option option[])
{
    const char *word = s->word[s->used++];
    size_t key = strcspn(word, "=");
    for (size_t i = 0; i < options; i++) {
        struct option *o = &option[i];
        if (word[key] != '=' || strlen(o->key) != key ||
            strncmp(word, o->key, key) != 0) {
            continue;
        }
        int good = o->real ? read_float(word + key + 1, o->real)
                           : read_size(word + key + 1, o->least, o->value);
        if (o->seen || !good) {
            return wrong(s, o->seen ? "each option once" : "a number in range",
                         word);
        }
        o->seen = 1;
        return UH_OK;
    }
    return wrong(s, options ? "an option of this layer" : "no more words",
                 word);
}

static enum uh_status take_options(struct statement *s, size_t options,
                                   struct option option[])
{
    enum uh_status status = UH_OK;
    while (status == UH_OK && s->used < s->words) {
        status = take_option(s, options, option);
    }
    return status;
}

/* a * b where that is at most TENSOR_MOST; otherwise more than it. */
static size_t capped(size_t a, size_t b)
{
    return a > TENSOR_MOST || b > TENSOR_MOST || a * b > TENSOR_MOST
               ? TENSOR_MOST + 1
               : a * b;
}

static size_t capped_size(struct uh_shape shape)
{
    return capped(capped(shape.channels, shape.height), shape.width);
}

/* Output places along an axis, 0 if no window fits. */
static size_t places(const struct uh_layer *layer, int axis, size_t in)
{
    size_t window = layer->dilation[axis] * (layer->kernel[axis] - 1) + 1;
    size_t padded = in + 2 * layer->pad[axis], step = layer->stride[axis];
    if (padded < window) {
        return 0;
    }
    size_t out = (padded - window + (layer->ceil ? step - 1 : 0)) / step + 1;
    /* A window must begin in the image or in the padding before it. */
    return layer->ceil && (out - 1) * step >= in + layer->pad[axis] ? out - 1
                                                                    : out;
}

static enum uh_status fit_window(struct statement *s, struct uh_layer *layer)
{
    layer->out.height = places(layer, 0, layer->in.height);
    layer->out.width = places(layer, 1, layer->in.width);
    return layer->out.height && layer->out.width
               ? UH_OK
               : wrong_shape(s, "an input that the window fits into",
                             layer->in);
}

static enum uh_status read_dense(struct statement *s, struct uh_layer *layer)
{
    enum uh_status status = take_size(s, &layer->out.channels);
    if (status == UH_OK) {
        status = take_options(s, 0, NULL);
    }
    if (status == UH_OK && (layer->in.height > 1 || layer->in.width > 1)) {
        status = wrong_shape(s, "a flat input (flatten before)", layer->in);
    }
    layer->weight_count = capped(layer->out.channels, layer->in.channels);
    layer->bias_count = layer->out.channels;
    return status;
}

static void both(size_t axis[2])
{
    axis[1] = axis[0];
}

static enum uh_status read_conv(struct statement *s, struct uh_layer *layer)
{
    struct option option[] = {{"stride", 1, &layer->stride[0], NULL, 0},
                              {"pad", 0, &layer->pad[0], NULL, 0},
                              {"dilation", 1, &layer->dilation[0], NULL, 0},
                              {"groups", 1, &layer->groups, NULL, 0}};
    enum uh_status status = take_size(s, &layer->out.channels);
    for (int axis = 0; status == UH_OK && axis < 2; axis++) {
        status = take_size(s, &layer->kernel[axis]);
    }
    if (status == UH_OK) {
        status = take_options(s, sizeof option / sizeof *option, option);
    }
    if (status != UH_OK) {
        return status;
    }
    both(layer->stride);
    both(layer->pad);
    both(layer->dilation);
    if (layer->in.channels % layer->groups ||
        layer->out.channels % layer->groups) {
        return wrong_shape(s, "channels in and out that groups divides",
                           layer->in);
    }
    layer->weight_count =
        capped(capped(layer->out.channels, layer->in.channels / layer->groups),
               capped(layer->kernel[0], layer->kernel[1]));
    layer->bias_count = layer->out.channels;
    return fit_window(s, layer);
}

static enum uh_status read_pool(struct statement *s, struct uh_layer *layer)
{
    size_t stride = 0, ceiling = 0;
    struct option option[] = {{"stride", 1, &stride, NULL, 0},
                              {"pad", 0, &layer->pad[0], NULL, 0},
                              {"ceil", 0, &ceiling, NULL, 0}};
    enum uh_status status = take_size(s, &layer->kernel[0]);
    both(layer->kernel);
    if (status == UH_OK && s->used < s->words && is_number(s->word[s->used])) {
        status = take_size(s, &layer->kernel[1]);
    }
    if (status == UH_OK) {
        status = take_options(s, sizeof option / sizeof *option, option);
    }
    if (status != UH_OK) {
        return status;
    }
    both(layer->pad);
    for (int axis = 0; axis < 2; axis++) {
        layer->stride[axis] = stride ? stride : layer->kernel[axis];
        if (layer->pad[axis] > layer->kernel[axis] / 2) {
            return wrong(s, "pad= at most half the window", "more");
        }
    }
    if (ceiling > 1) {
        return wrong(s, "ceil=0 or ceil=1", "another number");
    }
    layer->ceil = (int)ceiling;
    return fit_window(s, layer);
}

static enum uh_status read_norm(struct statement *s, struct uh_layer *layer)
{
    struct option option[] = {{"eps", 0, NULL, &layer->value, 0}};
    layer->value = 1e-5F;
    enum uh_status status = take_options(s, 1, option);
    if (status == UH_OK && !(layer->value > 0)) {
        status = wrong(s, "eps above 0", "another number");
    }
    layer->weight_count = layer->bias_count = layer->in.channels;
    return status;
}

static int is_name(const char *word)
{
    size_t length = strlen(word);
    return length >= 1 && length <= NAME_MOST &&
           strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789-_") == length;
}

/* mark, from, add and cat; layer is net->layer[s->index]. */
static enum uh_status read_graph(struct statement *s, const struct uh_net *net,
                                 struct uh_layer *layer)
{
    if (s->used == s->words || !is_name(s->word[s->used])) {
        return wrong(s, "a name of letters, digits, - and _",
                     s->used == s->words ? "nothing" : s->word[s->used]);
    }
    layer->name = s->word[s->used++];
    if (s->used < s->words) {
        return wrong(s, "no more words", s->word[s->used]);
    }
    if (layer->kind == UH_MARK) {
        return UH_OK;
    }
    for (size_t i = s->index; i-- > 0;) {
        if (net->layer[i].kind == UH_MARK &&
            strcmp(net->layer[i].name, layer->name) == 0) {
            layer->source = i;
            break;
        }
    }
    if (layer->source == SIZE_MAX) {
        return wrong(s, "a name marked before", layer->name);
    }
    struct uh_shape marked = net->layer[layer->source].out;
    if (layer->kind == UH_FROM) {
        layer->in = layer->out = marked;
        return UH_OK;
    }
    if (marked.height != layer->in.height || marked.width != layer->in.width) {
        return wrong_shape(s, "the rows and columns of the marked tensor",
                           layer->in);
    }
    if (layer->kind == UH_CAT) {
        layer->out.channels += marked.channels;
    } else if (marked.channels != layer->in.channels) {
        return wrong_shape(s, "the shape of the marked tensor", layer->in);
    }
    return UH_OK;
}

static enum uh_status read_lrn(struct statement *s, struct uh_layer *layer)
{
    struct option option[] = {{"alpha", 0, NULL, &layer->alpha, 0},
                              {"beta", 0, NULL, &layer->beta, 0},
                              {"k", 0, NULL, &layer->value, 0}};
    layer->alpha = LRN_ALPHA;
    layer->beta = LRN_BETA;
    layer->value = LRN_K;
    enum uh_status status = take_size(s, &layer->kernel[0]);
    if (status == UH_OK) {
        status = take_options(s, sizeof option / sizeof *option, option);
    }
    if (status == UH_OK &&
        !(layer->value > 0 && layer->alpha >= 0 && layer->beta >= 0)) {
        status = wrong(s, "k above 0, alpha and beta from 0", "another number");
    }
    return status;
}

static enum uh_status read_layer(struct statement *s, const struct uh_net *net,
                                 struct uh_layer *layer)
{
    size_t kind = 0;
    while (kind < UH_KINDS &&
           strcmp(uh_kind_word((enum uh_kind)kind), s->word[0]) != 0) {
        kind++;
    }
    if (kind == UH_KINDS) {
        return wrong(s, "a kind of layer", s->word[0]);
    }
    layer->kind = (enum uh_kind)kind;
    s->used = 1;
    switch (layer->kind) {
    case UH_DENSE:
        return read_dense(s, layer);
    case UH_CONV:
        return read_conv(s, layer);
    case UH_MAXPOOL:
    case UH_MEANPOOL:
        return read_pool(s, layer);
    case UH_BATCHNORM:
        return read_norm(s, layer);
    case UH_LRN:
        return read_lrn(s, layer);
    case UH_MARK:
    case UH_FROM:
    case UH_ADD:
    case UH_CAT:
        return read_graph(s, net, layer);
    case UH_LEAKYRELU:
    case UH_ELU: {
        enum uh_status status = take_float(s, "a number", &layer->value);
        return status == UH_OK ? take_options(s, 0, NULL) : status;
    }
    case UH_FLATTEN:
        if (capped_size(layer->in) <= TENSOR_MOST) {
            layer->out = (struct uh_shape){uh_shape_size(layer->in), 1, 1};
        }
        return take_options(s, 0, NULL);
    default:
        return take_options(s, 0, NULL);
    }
}

static enum uh_status read_input(struct statement *s, struct uh_shape *in)
{
    if (strcmp(s->word[0], "input") != 0) {
        return wrong(s, "input C H W", s->word[0]);
    }
    s->used = 1;
    *in = (struct uh_shape){1, 1, 1};
    enum uh_status status = take_size(s, &in->channels);
    if (status == UH_OK && s->used < s->words) {
        status = take_size(s, &in->height);
        if (status == UH_OK) {
            status = take_size(s, &in->width);
        }
    }
    if (status == UH_OK) {
        status = take_options(s, 0, NULL);
    }
    if (status == UH_OK && capped_size(*in) > TENSOR_MOST) {
        status = wrong_shape(s, "at most 2147483647 entries", *in);
    }
    return status;
}

/* Cuts the text up to the next ';' into words; *rest is what follows, NULL at
 * the end. */
static enum uh_status next_statement(struct statement *s, char **rest)
{
    char *text = *rest, *end = strchr(text, ';'), *kept = NULL;
    *rest = end ? end + 1 : NULL;
    if (end) {
        *end = '\0';
    }
    s->words = s->used = 0;
    for (char *w = strtok_r(text, BLANK, &kept); w;
         w = strtok_r(NULL, BLANK, &kept)) {
        if (s->words == WORDS_MOST) {
            return wrong(s, "fewer words", w);
        }
        s->word[s->words++] = w;
    }
    return s->words ? UH_OK : wrong(s, "a word", "nothing");
}

static struct uh_layer blank_layer(struct uh_shape in)
{
    return (struct uh_layer){.in = in,
                             .out = in,
                             .kernel = {1, 1},
                             .stride = {1, 1},
                             .dilation = {1, 1},
                             .groups = 1,
                             .source = SIZE_MAX};
}

/* The shortest decimal that reads back to the same float. */
static void print_float(float value, size_t size, char text[])
{
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, size, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) {
            return;
        }
    }
}

static void print_options(const struct uh_layer *layer, char *text, size_t size)
{
    int window = layer->kind == UH_CONV;
    size_t usual[2] = {window ? 1 : layer->kernel[0],
                       window ? 1 : layer->kernel[1]};
    size_t used = 0;
    const struct {
        const char *key;
        size_t value;
        int printed;
    } option[] = {
        {"stride", layer->stride[0],
         layer->stride[0] != usual[0] || layer->stride[1] != usual[1]},
        {"pad", layer->pad[0], layer->pad[0] != 0},
        {"dilation", layer->dilation[0], layer->dilation[0] != 1},
        {"groups", layer->groups, layer->groups != 1},
        {"ceil", (size_t)layer->ceil, layer->ceil}};
    text[0] = '\0';
    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        if (option[i].printed) {
            used += (size_t)snprintf(text + used, size - used, " %s=%zu",
                                     option[i].key, option[i].value);
        }
    }
}

static void print_lrn(const struct uh_layer *layer, char piece[PIECE_MOST])
{
    const struct {
        const char *key;
        float value, usual;
    } option[] = {{"alpha", layer->alpha, LRN_ALPHA},
                  {"beta", layer->beta, LRN_BETA},
                  {"k", layer->value, LRN_K}};
    int used = snprintf(piece, PIECE_MOST, "%s %zu", uh_kind_word(layer->kind),
                        layer->kernel[0]);
    for (size_t i = 0; i < sizeof option / sizeof *option; i++) {
        char number[32];
        if (option[i].value != option[i].usual) {
            print_float(option[i].value, sizeof number, number);
            used += snprintf(piece + used, PIECE_MOST - (size_t)used, " %s=%s",
                             option[i].key, number);
        }
    }
}

static void print_layer(const struct uh_layer *layer, char piece[PIECE_MOST])
{
    const char *word = uh_kind_word(layer->kind);
    char rest[PIECE_MOST / 2];
    switch (layer->kind) {
    case UH_DENSE:
        snprintf(piece, PIECE_MOST, "%s %zu", word, layer->out.channels);
        break;
    case UH_CONV:
        print_options(layer, rest, sizeof rest);
        snprintf(piece, PIECE_MOST, "%s %zu %zu %zu%s", word,
                 layer->out.channels, layer->kernel[0], layer->kernel[1], rest);
        break;
    case UH_MAXPOOL:
    case UH_MEANPOOL:
        print_options(layer, rest, sizeof rest);
        if (layer->kernel[0] == layer->kernel[1]) {
            snprintf(piece, PIECE_MOST, "%s %zu%s", word, layer->kernel[0],
                     rest);
        } else {
            snprintf(piece, PIECE_MOST, "%s %zu %zu%s", word, layer->kernel[0],
                     layer->kernel[1], rest);
        }
        break;
    case UH_LEAKYRELU:
    case UH_ELU:
        print_float(layer->value, sizeof rest, rest);
        snprintf(piece, PIECE_MOST, "%s %s", word, rest);
        break;
    case UH_BATCHNORM:
        print_float(layer->value, sizeof rest, rest);
        snprintf(piece, PIECE_MOST, layer->value == 1e-5F ? "%s" : "%s eps=%s",
                 word, rest);
        break;
    case UH_LRN:
        print_lrn(layer, piece);
        break;
    case UH_MARK:
    case UH_FROM:
    case UH_ADD:
    case UH_CAT:
        snprintf(piece, PIECE_MOST, "%s %s", word, layer->name);
        break;
    default:
        snprintf(piece, PIECE_MOST, "%s", word);
    }
}

const char *uh_net_arch(const struct uh_net *net, struct uh_arena *arena)
{
    char *text = uh_arena_alloc(arena, net->layers + 1, PIECE_MOST + 2);
    char piece[PIECE_MOST];
    char *end = text;
    if (net->in.height == 1 && net->in.width == 1) {
        end += sprintf(end, "input %zu", net->in.channels);
    } else {
        end += sprintf(end, "input %zu %zu %zu", net->in.channels,
                       net->in.height, net->in.width);
    }
    for (size_t i = 0; i < net->layers; i++) {
        print_layer(&net->layer[i], piece);
        end += sprintf(end, "; %s", piece);
    }
    return text;
}

/* Parameters of each layer follow those of the one before. */
static void place_parameters(struct uh_net *net)
{
    for (size_t i = 0; i < net->layers; i++) {
        struct uh_layer *layer = &net->layer[i];
        layer->weight_at = net->parameter_count;
        layer->bias_at = layer->weight_at + layer->weight_count;
        net->parameter_count = layer->bias_at + layer->bias_count;
        if (layer->kind == UH_BATCHNORM) {
            net->state_count += 2 * layer->in.channels;
        }
    }
}

static enum uh_status read_layers(struct statement *s, char *rest,
                                  struct uh_net *net)
{
    struct uh_shape shape = net->in;
    for (; rest; net->layers++) {
        s->index = net->layers;
        struct uh_layer *layer = &net->layer[net->layers];
        *layer = blank_layer(shape);
        enum uh_status status = next_statement(s, &rest);
        if (status == UH_OK) {
            status = read_layer(s, net, layer);
        }
        if (status != UH_OK) {
            return status;
        }
        if (layer->weight_count > TENSOR_MOST ||
            capped_size(layer->out) > TENSOR_MOST) {
            return wrong_shape(s, "at most 2147483647 entries", layer->out);
        }
        shape = layer->out;
    }
    net->out = shape;
    return UH_OK;
}

enum uh_status uh_net_plan(const char *arch, struct uh_arena *arena,
                           struct uh_net *out, struct uh_error *error)
{
    struct uh_net net = {0};
    struct statement s = {.index = SIZE_MAX, .error = error};
    char *rest = uh_arena_text(arena, arch);
    size_t semicolons = 0;
    for (const char *c = arch; *c; c++) {
        semicolons += *c == ';';
    }
    if (semicolons == 0 || semicolons > LAYERS_MOST) {
        return uh_fail(error, UH_BAD_INPUT,
                       "arch: expected input and 1 to %d layers, found %zu "
                       "semicolons",
                       LAYERS_MOST, semicolons);
    }
    enum uh_status status = next_statement(&s, &rest);
    if (status == UH_OK) {
        status = read_input(&s, &net.in);
    }
    if (status != UH_OK) {
        return status;
    }
    net.layer = uh_arena_alloc(arena, semicolons, sizeof *net.layer);
    status = read_layers(&s, rest, &net);
    if (status == UH_OK) {
        place_parameters(&net);
        net.arch = uh_net_arch(&net, arena);
        *out = net;
    }
    return status;
}

enum uh_status uh_net_parse(const char *arch, struct uh_arena *arena,
                            struct uh_net *net, struct uh_error *error)
{
    enum uh_status status = uh_net_plan(arch, arena, net, error);
    if (status == UH_OK) {
        uh_net_allocate(net, arena);
    }
    return status;
}

struct uh_net uh_net_make(const char *arch, struct uh_arena *arena)
{
    struct uh_net net;
    struct uh_error error;
    if (uh_net_parse(arch, arena, &net, &error) != UH_OK) {
        uh_die_error(&error);
    }
    return net;
}
