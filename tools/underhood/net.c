/* net.c: underhood net: the layers of a network, their shapes, its digest. */
#include "common.h"
#include "die.h"

#include <string.h>

static void print_json_shape(size_t rank, const size_t dims[])
{
    for (size_t i = 0; i < rank; i++) {
        printf("%s%zu", i ? ", " : "[", dims[i]);
    }
    putchar(']');
}

/* The words of each layer, cut out of the line. */
static char **layer_words(const struct uh_net *net, struct uh_arena *arena)
{
    char **words = uh_arena_alloc(arena, net->layers, sizeof *words);
    char *rest = uh_arena_text(arena, net->arch);
    for (size_t i = 0; i <= net->layers; i++) {
        char *next = strchr(rest, ';');
        if (next) {
            *next++ = 0;
        }
        if (i > 0) {
            words[i - 1] = rest + strspn(rest, " ");
        }
        rest = next ? next : rest + strlen(rest);
    }
    return words;
}

static size_t parameters_in(const struct network *network)
{
    size_t sum = 0;
    for (size_t i = 0; i < network->net.layers; i++) {
        sum += network->parameters[i];
    }
    return sum;
}

static void print_json(const struct network *network, const char *digest,
                       struct uh_arena *arena)
{
    const struct uh_net *net = &network->net;
    size_t dims[3], rank = input_shape(net, dims);
    char **words = layer_words(net, arena);
    printf("{\"arch\": ");
    print_json_string(net->arch);
    printf(", \"digest\": \"%s\", \"file_digest\": \"%s\", \"input\": ", digest,
           network->digest);
    print_json_shape(rank, dims);
    printf(", \"layers\": [");
    for (size_t i = 0; i < net->layers; i++) {
        rank = own_shape(net, i, dims);
        printf("%s{\"index\": %zu, \"kind\": \"%s\", \"output\": ",
               i ? ", " : "", i, uh_kind_word(net->layer[i].kind));
        print_json_shape(rank, dims);
        printf(", \"parameters\": %zu, \"words\": ", network->parameters[i]);
        print_json_string(words[i]);
        if (network->module) {
            printf(", \"module\": ");
            print_json_string(network->module[i]);
        }
        putchar('}');
    }
    rank = own_shape(net, net->layers - 1, dims);
    printf("], \"output\": ");
    print_json_shape(rank, dims);
    printf(", \"parameters\": %zu}\n", parameters_in(network));
}

static void print_text(const struct network *network, const char *digest,
                       struct uh_arena *arena)
{
    const struct uh_net *net = &network->net;
    const char *const *module = network->module;
    size_t dims[3], rank = input_shape(net, dims);
    char **words = layer_words(net, arena);
    printf("layer  %-28s  %-14s  %10s%s\n", "words", "output", "parameters",
           module ? "  module" : "");
    printf("%5s  %-28s  %-14s\n", "", "input", shape_words(rank, dims, arena));
    for (size_t i = 0; i < net->layers; i++) {
        rank = own_shape(net, i, dims);
        printf("%5zu  %-28s  %-14s  %*zu%s%s\n", i, words[i],
               shape_words(rank, dims, arena), module ? 10 : 0,
               network->parameters[i], module ? "  " : "",
               module ? module[i] : "");
    }
    printf("parameters  %zu\ndigest      %s\nfile        %s\n",
           parameters_in(network), digest, network->digest);
}

static void run(int argc, char **argv, const struct command *self)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            SOURCE_OPTIONS,
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int json = 0, option;
    struct uh_torchvision_options source = {.until = NULL};
    while ((option = next_option(argc, argv, self, options)) != -1) {
        json |= !source_option(option, self, &source);
    }
    require_operands(argc, self, 1, "NET.safetensors");
    struct uh_arena *arena = uh_arena_new();
    char digest[65];
    struct network network = load_network(argv[optind], &source, arena);
    uh_net_digest(&network.net, digest);
    (json ? print_json : print_text)(&network, digest, arena);
    uh_arena_free(&arena);
}

const struct command net_command = {
    "net", "prints the layers of a network, their shapes and its digest",
    "NET.safetensors [--json] [--input CxHxW] [--until MODULE]",
    "Layers are numbered as in the file, from 0 behind the input; shapes are\n"
    "those of one sample: channels x height x width, or one number.  A bias\n"
    "that the file has none of is zero and does not count as parameters.\n"
    "\n"
    "The digest is the SHA-256 of the parameters and running statistics as\n"
    "float32, layer by layer: files of the same network agree in it, whatever\n"
    "their types and the order of their tensors.  `file` is the SHA-256 of\n"
    "the file itself.\n"
    "\n"
    "  --json           one JSON document: arch, digest, file_digest, input,\n"
    "                   layers (each with index, kind, output, parameters,\n"
    "                   words; module, where names are torchvision's), "
    "output,\n"
    "                   parameters\n" SOURCE_MANUAL "  --help           this\n"
    "\n"
    "example: underhood net lenet.safetensors\n",
    run};
