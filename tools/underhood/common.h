/* common.h: what the subcommands of underhood share. */
#ifndef UNDERHOOD_COMMON_H
#define UNDERHOOD_COMMON_H

#include "arena.h"
#include "net.h"
#include "npy.h"

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

extern const struct command knots_command, net_command, eval_command;

/* The next option of the command line as getopt_long has it, -1 at the end of
 * them; --help is answered, an unknown option ends the program with 2. */
int next_option(int argc, char **argv, const struct command *self,
                const struct option *options);

/* Ends the program with 2 unless exactly that many operands are left; what
 * names them. */
void require_operands(int argc, const struct command *self, int count,
                      const char *what);

void print_help(const struct command *command);

/* The network of the file; the program ends with one line if it is none.
 * wide, unless NULL, becomes its numbers as doubles (pieces.h) where the file
 * holds some that float32 does not, else NULL.  digest, unless NULL, is the
 * file's SHA-256. */
struct uh_net load_network(const char *path, struct uh_arena *arena,
                           const double **wide, char digest[65]);

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
