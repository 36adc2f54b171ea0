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
    printf("underhood %s: %s\n\nusage: underhood %s %s\n\n%s", command->name,
           command->what, command->name, command->synopsis, command->manual);
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

/* The entries of a tensor of the file, exactly, where there is one. */
static void widen(const struct uh_safetensors *stored, size_t layer,
                  const char *what, double *x)
{
    char name[64];
    struct uh_error error;
    snprintf(name, sizeof name, "%zu.%s", layer, what);
    const struct uh_stored_tensor *t = uh_safetensors_find(stored, name);
    if (t && uh_stored_tensor_doubles(t, true, stored->file, x, &error)) {
        uh_die_error(&error);
    }
}

static const double *wide_numbers(const struct uh_safetensors *stored,
                                  const struct uh_net *net,
                                  struct uh_arena *arena)
{
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
    for (size_t i = 0; i < net->layers; i++) {
        const struct uh_layer *a = &net->layer[i];
        if (a->weight_count == 0) {
            continue;
        }
        widen(stored, i, "weight", wide + a->weight_at);
        widen(stored, i, "bias", wide + a->bias_at);
        if (a->kind == UH_BATCHNORM) {
            double *state = wide + net->parameter_count;
            widen(stored, i, "running_mean",
                  state + (a->running_mean - net->state));
            widen(stored, i, "running_var",
                  state + (a->running_var - net->state));
        }
    }
    return wide;
}

struct uh_net load_network(const char *path, struct uh_arena *arena,
                           const double **wide, char digest[65])
{
    struct uh_net net;
    struct uh_error error;
    struct uh_safetensors stored;
    struct uh_arena *bytes = uh_arena_new();
    if (uh_safetensors_read(path, bytes, &stored, &error) != UH_OK ||
        uh_net_of_tensors(&stored, arena, &net, &error) != UH_OK) {
        uh_die_error(&error);
    }
    if (wide) {
        *wide = wide_numbers(&stored, &net, arena);
    }
    if (digest) {
        memcpy(digest, stored.digest, sizeof stored.digest);
    }
    uh_arena_free(&bytes);
    return net;
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
