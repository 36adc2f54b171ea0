/* common.c: what the subcommands of underhood share. */
#include "common.h"
#include "die.h"
#include "safetensors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- the command line ----------------------------------------------------- */

void print_help(const struct command *command)
{
    printf("underhood %s: %s\n\nusage: underhood %s %s\n\n%s\n" EVERY_MANUAL,
           command->name, command->what, command->name, command->synopsis,
           command->manual);
}

/* Whether getopt_long stopped at a long option that was given an argument and
 * takes none, and not at a letter. */
static int takes_none(const char *word, const struct option *options)
{
    for (; options->name; options++) {
        if (options->val == optopt && options->has_arg == no_argument &&
            strncmp(word, "--", 2) == 0 && strchr(word, '=')) {
            return 1;
        }
    }
    return 0;
}

int next_option(int argc, char **argv, const struct command *self,
                const struct option *options)
{
    opterr = 0; /* the words are ours */
    int option = getopt_long(argc, argv, ":h", options, NULL);
    if (option == 'h') {
        print_help(self);
        finish_stdout();
        exit(0);
    }
    if (option == ':') {
        uh_die_usage("%s: expected an argument of %s, found none", self->name,
                     argv[optind - 1]);
    }
    if (option == '?' && optopt && !takes_none(argv[optind - 1], options)) {
        /* In the middle of -jx the word is not behind us yet. */
        uh_die_usage("%s: expected one of its options, found -%c", self->name,
                     optopt);
    }
    if (option == '?') {
        uh_die_usage("%s: expected one of its options, found %s", self->name,
                     argv[optind - 1]);
    }
    return option;
}

void require_operands(int argc, const struct command *self, int count,
                      const char *what)
{
    if (argc - optind != count) {
        uh_die_usage("%s: expected %s, found %d operands", self->name, what,
                     argc - optind);
    }
}

void finish_stdout(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        uh_die("standard output: expected room for all of it, found: %s",
               strerror(errno));
    }
}

void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            putchar('\\');
        }
        if (c < ' ') {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

/* -- networks ---------------------------------------------------------------- */

int source_option(int option, const struct command *self,
                  struct uh_torchvision_options *options)
{
    struct uh_shape *in = &options->in;
    char behind;
    if (option == 'I' && (strspn(optarg, "0123456789x") != strlen(optarg) ||
                          sscanf(optarg, "%8zux%8zux%8zu%c", &in->channels,
                                 &in->height, &in->width, &behind) != 3 ||
                          !in->channels || !in->height || !in->width)) {
        uh_die_usage("%s: --input: expected CxHxW, found %s", self->name,
                     optarg);
    }
    if (option == 'U') {
        options->until = optarg;
    }
    return option == 'I' || option == 'U';
}

/* A layer's tensor of the file; NULL: there is none. */
static const struct uh_stored_tensor *
tensor_of(const struct uh_safetensors *stored, const struct network *network,
          size_t layer, const char *what)
{
    char name[128];
    if (network->module) {
        snprintf(name, sizeof name, "%s.%s", network->module[layer], what);
    } else {
        snprintf(name, sizeof name, "%zu.%s", layer, what);
    }
    return uh_safetensors_find(stored, name);
}

/* The entries of a tensor of the file, exactly, where there is one. */
static void widen(const struct uh_safetensors *stored,
                  const struct network *network, size_t layer, const char *what,
                  double *x)
{
    struct uh_error error;
    const struct uh_stored_tensor *t = tensor_of(stored, network, layer, what);
    if (t && uh_stored_tensor_doubles(t, true, stored->file, x, &error)) {
        uh_die_error(&error);
    }
}

static const double *wide_numbers(const struct uh_safetensors *stored,
                                  const struct network *network,
                                  struct uh_arena *arena)
{
    const struct uh_net *net = &network->net;
    int any = 0;
    for (size_t i = 0; i < stored->tensors; i++) {
        any |= stored->tensor[i].dtype == UH_F64;
    }
    if (!any) {
        return NULL;
    }
    double *wide = uh_arena_alloc(
        arena, uh_size_add(net->parameter_count, net->state_count),
        sizeof *wide);
    double *state = wide + net->parameter_count;
    for (size_t i = 0; i < net->parameter_count; i++) {
        wide[i] = (double)net->parameters[i]; /* what no tensor is for */
    }
    for (size_t i = 0; i < net->state_count; i++) {
        state[i] = (double)net->state[i];
    }
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *a = &net->layer[i];
        if (a->weight_count == 0) {
            continue;
        }
        widen(stored, network, i, "weight", wide + a->weight_at);
        widen(stored, network, i, "bias", wide + a->bias_at);
        if (a->kind == UH_BATCHNORM) {
            widen(stored, network, i, "running_mean",
                  state + (a->running_mean - net->state));
            widen(stored, network, i, "running_var",
                  state + (a->running_var - net->state));
        }
    }
    return wide;
}

/* Of each layer: a bias that the file has none of is zero, and none. */
static const size_t *count_parameters(const struct uh_safetensors *stored,
                                      const struct network *network,
                                      struct uh_arena *arena)
{
    const struct uh_net *net = &network->net;
    size_t *count = uh_arena_alloc(arena, net->layers, sizeof *count);
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *a = &net->layer[i];
        count[i] = a->weight_count;
        if (a->bias_count && tensor_of(stored, network, i, "bias")) {
            count[i] += a->bias_count;
        }
    }
    return count;
}

struct network load_network(const char *path,
                            const struct uh_torchvision_options *options,
                            struct uh_arena *arena)
{
    struct network network = {.module = NULL};
    struct uh_error error;
    struct uh_safetensors stored;
    struct uh_torchvision found;
    struct uh_arena *bytes = uh_arena_new();
    if (uh_safetensors_read(path, bytes, &stored, &error) != UH_OK) {
        uh_die_error(&error);
    }
    if (uh_safetensors_metadata(&stored, "arch")) {
        if (options->in.channels || options->until) {
            uh_die("--%s: expected it with the tensor names of torchvision, "
                   "found the metadata key arch (%s)",
                   options->until ? "until" : "input", path);
        }
        if (uh_net_of_tensors(&stored, arena, &network.net, &error) != UH_OK) {
            uh_die_error(&error);
        }
    } else {
        if (uh_torchvision_of_tensors(&stored, options, arena, &found,
                                      &error) != UH_OK) {
            uh_die_error(&error);
        }
        network.net = found.net;
        network.module = found.name;
    }
    network.parameters = count_parameters(&stored, &network, arena);
    network.wide = wide_numbers(&stored, &network, arena);
    memcpy(network.digest, stored.digest, sizeof stored.digest);
    uh_arena_free(&bytes);
    return network;
}

static size_t axes(struct uh_shape shape, int image, size_t dims[3])
{
    dims[0] = shape.channels;
    dims[1] = shape.height;
    dims[2] = shape.width;
    return image ? 3 : 1;
}

size_t input_shape(const struct uh_net *net, size_t dims[3])
{
    return axes(net->in, net->in.height * net->in.width > 1, dims);
}

size_t own_shape(const struct uh_net *net, size_t layer, size_t dims[3])
{
    enum { MOST = 4096 };
    unsigned char image[MOST] = {0}; /* of each layer's output */
    int now = net->in.height * net->in.width > 1;
    for (size_t i = 0; i <= layer && i < MOST; i++) {
        const struct uh_layer *a = &net->layer[i];
        switch (a->kind) {
        case UH_DENSE:
        case UH_FLATTEN:
            now = 0;
            break;
        case UH_CONV:
        case UH_MAXPOOL:
        case UH_MEANPOOL:
            now = 1;
            break;
        case UH_FROM:
            now = image[a->source];
            break;
        default:
            break;
        }
        image[i] = (unsigned char)now;
    }
    return axes(net->layer[layer].out, now, dims);
}

/* -- arrays -------------------------------------------------------------------- */

struct uh_npy load_array(const char *path, struct uh_arena *arena)
{
    struct uh_npy npy;
    struct uh_error error;
    if (uh_npy_read(path, arena, &npy, &error) != UH_OK ||
        uh_npy_require_finite(&npy, path, &error) != UH_OK) {
        uh_die_error(&error);
    }
    return npy;
}

const char *shape_words(size_t rank, const size_t dims[],
                        struct uh_arena *arena)
{
    const char *text = rank ? "" : "one number";
    for (size_t i = 0; i < rank; i++) {
        text = uh_arena_format(arena, "%s%s%zu", text, i ? "x" : "", dims[i]);
    }
    return text;
}
