/* main.c: underhood, tools that look into a network.  One subcommand, one
 * file. */
#include "common.h"
#include "die.h"
#include "file.h"
#include "lane.h"

#include <locale.h>
#include <string.h>

static const struct command *const commands[] = {
    &knots_command, &net_command, &eval_command, &lipschitz_command};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void overview(FILE *out)
{
    fputs("underhood: what a neural network does under the hood\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "%s underhood %s %s\n",
                i ? "      " : "usage:", commands[i]->name,
                commands[i]->synopsis);
    }
    fputc('\n', out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->what);
    }
    fputs("\n"
          "A network is a .safetensors file whose metadata key arch holds the\n"
          "architecture in one line (README.md, \"A network as a file\"), or "
          "whose\n"
          "tensors have the names of torchvision's AlexNet, ResNet, SqueezeNet "
          "or\n"
          "VGG.  Arrays are .npy files, float32 or float64, C order.\n"
          "\n"
          "underhood COMMAND --help tells more.\n\n" EVERY_MANUAL,
          out);
}

static const struct command *command_named(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    uh_die_usage("command: expected knots, net, eval or lipschitz, found %s",
                 name);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C");
    uh_file_guard_signals();
    uh_lane_check();
    if (argc < 2) {
        uh_die_usage(
            "command: expected knots, net, eval or lipschitz, found none");
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        overview(stdout);
    } else if (strcmp(argv[1], "help") == 0) {
        if (argc > 2) {
            print_help(command_named(argv[2]));
        } else {
            overview(stdout);
        }
    } else {
        const struct command *command = command_named(argv[1]);
        command->run(argc - 1, argv + 1, command);
    }
    finish_stdout();
    return 0;
}
