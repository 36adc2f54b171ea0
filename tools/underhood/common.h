/* common.h: what the subcommands of underhood share. */
#ifndef UNDERHOOD_COMMON_H
#define UNDERHOOD_COMMON_H

#include "arena.h"
#include "net.h"
#include "npy.h"
#include "torchvision.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

/* A subcommand: underhood NAME ... */
struct command {
    const char *name;
    const char *what;     /* in a line, lower case */
    const char *synopsis; /* behind the name */
    const char *manual;   /* the rest of its --help */
    void (*run)(int argc, char **argv, const struct command *self);
};

extern const struct command knots_command, net_command, eval_command,
    lipschitz_command;

/* The next option of the command line as getopt_long has it, -1 at the end of
 * them; --help is answered, an unknown option ends the program with 2. */
int next_option(int argc, char **argv, const struct command *self,
                const struct option *options);

/* Ends the program with 2 unless exactly that many operands are left; what
 * names them. */
void require_operands(int argc, const struct command *self, int count,
                      const char *what);

void print_help(const struct command *command);

/* The end of every page. */
#define EVERY_MANUAL                                                           \
    "Of an option that is given twice the last counts.\n"                      \
    "\n"                                                                       \
    "Exit status: 0 done, 1 bad input or environment, 2 wrong usage, 130 and " \
    "143\n"                                                                    \
    "after SIGINT and SIGTERM.  What is wrong is one line on stderr.\n"        \
    "JOBS=n in the environment sets the threads; all cores unless given.\n"

/* A network and what else its file says. */
struct network {
    struct uh_net net;
    const char *const *module; /* (layers) torchvision's names (torchvision.h);
                                  NULL: the file has an arch of its own */
    const size_t *parameters;  /* (layers) weights, and biases that the file
                                  has */
    const double *wide;        /* its numbers as doubles (pieces.h) where the
                                  file holds some that float32 does not, else
                                  NULL */
    char digest[65];           /* SHA-256 of the file */
};

/* Options and manual of the commands that read one. */
#define SOURCE_OPTIONS                                                         \
    {"input", required_argument, NULL, 'I'},                                   \
    {                                                                          \
        "until", required_argument, NULL, 'U'                                  \
    }
#define SOURCE_MANUAL                                                          \
    "  --input CxHxW    the shape of one input, where tensors have the "       \
    "names\n"                                                                  \
    "                   of a network of torchvision (3x224x224 unless "        \
    "given)\n"                                                                 \
    "  --until MODULE   the network ends behind that module, layer3 for\n"     \
    "                   example; also only with these names\n"

/* Takes an option of those; 0 if it is another. */
int source_option(int option, const struct command *self,
                  struct uh_torchvision_options *options);

/* The network of the file, by its arch or else by the names of its tensors; the
 * program ends with one line if it is none. */
struct network load_network(const char *path,
                            const struct uh_torchvision_options *options,
                            struct uh_arena *arena);

/* A finite array, or the end of the program with one line. */
struct uh_npy load_array(const char *path, struct uh_arena *arena);

/* "2x3x4" */
const char *shape_words(size_t rank, const size_t dims[],
                        struct uh_arena *arena);

/* Whether the layer's output (layer < layers) has one axis and no image; and
 * its axes: 1 or 3. */
size_t own_shape(const struct uh_net *net, size_t layer, size_t dims[3]);
size_t input_shape(const struct uh_net *net, size_t dims[3]);

/* text in quotes, as JSON has it */
void print_json_string(const char *text);

/* Ends a command that wrote to stdout: one line and 1 if not all arrived. */
void finish_stdout(void);

#endif
