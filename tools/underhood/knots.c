/* knots.c: underhood knots: where the pieces of a network along a line meet. */
#include "cells.h"
#include "common.h"
#include "die.h"
#include "pieces.h"

#include <string.h>

/* One input of the network, as doubles. */
static const double *end_of(const char *path, const struct uh_net *net,
                            struct uh_arena *arena)
{
    struct uh_npy npy = load_array(path, arena);
    size_t want[3], rank = input_shape(net, want);
    size_t flat = uh_shape_size(net->in);
    size_t lead = npy.rank > 0 && npy.dims[0] == 1 && npy.rank != rank;
    const size_t *dims = npy.dims + lead;
    size_t left = npy.rank - lead;
    int fits = left == rank;
    for (size_t i = 0; fits && i < rank; i++) {
        fits = dims[i] == want[i];
    }
    fits |= left == 1 && dims[0] == flat;
    fits |= flat == 1 && npy.count == 1 && npy.rank <= 2;
    if (!fits) {
        uh_die("array: expected one input of shape %s%s, found %s (%s)",
               shape_words(rank, want, arena),
               rank > 1 ? uh_arena_format(arena, " or %zu", flat) : "",
               shape_words(npy.rank, npy.dims, arena), path);
    }
    if (npy.f64) {
        return npy.f64;
    }
    double *x = uh_arena_alloc(arena, flat, sizeof *x);
    for (size_t i = 0; i < flat; i++) {
        x[i] = (double)npy.f32[i];
    }
    return x;
}

/* -- many numbers as text ---------------------------------------------------- */

/* Numbers of a cell; bytes of one: ", -1.2345678901234567e-308" and a zero. */
enum { SHARE = 4096, DIGITS = 27 };

struct print {
    const double *x;
    size_t count;
    const char *between;
    char *text;
    size_t *used; /* of each cell */
};

static void print_share(void *context, size_t index, struct uh_pool *serial)
{
    struct print *print = context;
    size_t first = index * SHARE, used = 0;
    size_t end = first + SHARE < print->count ? first + SHARE : print->count;
    char *text = print->text + first * DIGITS;
    (void)serial;
    for (size_t i = first; i < end; i++) {
        int n = snprintf(text + used, DIGITS, "%s%.17g",
                         i ? print->between : "", print->x[i]);
        used += (size_t)n;
    }
    print->used[index] = used;
}

/* Prints the numbers so that they read back to the same doubles. */
static void print_numbers(size_t count, const double *x, const char *between,
                          struct uh_pool *pool, struct uh_arena *arena)
{
    size_t shares = (count + SHARE - 1) / SHARE;
    struct print print = {x, count, between,
                          uh_arena_alloc_raw(arena, shares, SHARE * DIGITS),
                          uh_arena_alloc(arena, shares, sizeof *print.used)};
    uh_cells(pool, shares, print_share, &print);
    for (size_t i = 0; i < shares; i++) {
        fwrite(print.text + i * SHARE * DIGITS, 1, print.used[i], stdout);
    }
}

/* -- the command --------------------------------------------------------------- */

struct request {
    const char *from, *to, *list;
    int json, exact;
    struct uh_torchvision_options source;
};

static struct request read_options(int argc, char **argv,
                                   const struct command *self)
{
    static const struct option options[] = {
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"list", required_argument, NULL, 'l'},
        {"json", no_argument, NULL, 'j'},
        {"exact", no_argument, NULL, 'e'},
        SOURCE_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct request r = {.json = 0};
    int option;
    while ((option = next_option(argc, argv, self, options)) != -1) {
        if (source_option(option, self, &r.source)) {
            continue;
        }
        switch (option) {
        case 'f':
            r.from = optarg;
            break;
        case 't':
            r.to = optarg;
            break;
        case 'l':
            r.list = optarg;
            break;
        case 'j':
            r.json = 1;
            break;
        default:
            r.exact = 1;
        }
    }
    if (!r.from != !r.to) {
        uh_die_usage("knots: expected both --from and --to, found only --%s",
                     r.from ? "from" : "to");
    }
    require_operands(argc, self, 1, "NET.safetensors");
    return r;
}

static void print_pieces(const struct uh_pieces *p, const struct request *r,
                         struct uh_pool *pool, struct uh_arena *arena)
{
    const char *certificate = p->exact ? "exact" : "certified";
    if (r->json) {
        printf("{\"certificate\": \"%s\", \"knots\": %zu, "
               "\"pattern_changes\": %zu, \"positions\": [",
               certificate, p->knots, p->changes);
        print_numbers(p->knots, p->position, ", ", pool, arena);
        puts("]}");
        return;
    }
    printf("knots            %zu\npattern changes  %zu\ncertificate      %s\n",
           p->knots, p->changes, certificate);
    if (!r->list && p->knots > 0) {
        puts("positions");
        print_numbers(p->knots, p->position, "\n", pool, arena);
        putchar('\n');
    }
}

static void run(int argc, char **argv, const struct command *self)
{
    struct request r = read_options(argc, argv, self);
    struct uh_arena *arena = uh_arena_new();
    struct uh_line line = {.only_exact = r.exact, .progress = "knots"};
    struct uh_pieces pieces;
    struct uh_error error;
    struct network network = load_network(argv[optind], &r.source, arena);
    struct uh_net net = network.net;
    line.wide = network.wide;
    if (r.from) {
        line.a = end_of(r.from, &net, arena);
        line.b = end_of(r.to, &net, arena);
    }
    struct uh_pool *pool = uh_pool_open(0);
    if (uh_pieces_walk(&net, &line, pool, arena, &pieces, &error) != UH_OK) {
        uh_die("%s (%s)", error.text, argv[optind]);
    }
    if (r.list) {
        uh_npy_write_f64(r.list, 1, &pieces.knots, pieces.position);
    }
    print_pieces(&pieces, &r, pool, arena);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

const struct command knots_command = {
    "knots", "counts and lists the breakpoints of a network along a line",
    "NET.safetensors [--from A.npy --to B.npy] [--json] [--list OUT.npy] "
    "[--exact] [--input CxHxW] [--until MODULE]",
    "The network is made of dense, conv, maxpool, meanpool, relu,\n"
    "leakyrelu, batchnorm (at rest), flatten, mark, from, add and cat; any "
    "other\n"
    "layer is an error.  Along a line it consists of straight pieces.\n"
    "\n"
    "A knot is a point where the affine map of some output changes.  A\n"
    "pattern change is a point at which a relu's input turns from positive to\n"
    "not positive or back, or another place wins in a maxpool's window, as\n"
    "judged on the open intervals beside it, and yet no output's map changes.\n"
    "Of places that are equal all along an interval the first in scan order\n"
    "wins there.  A point with the same pattern on both sides is neither.\n"
    "\n"
    "The line is the segment A + t(B - A), 0 < t < 1, between two inputs, and\n"
    "positions are t; or, for a network of one input, the whole real line,\n"
    "and positions are x.  A.npy and B.npy are float32 or float64, C order,\n"
    "each one input: of the network's input shape or flat, with or without a\n"
    "first axis of 1.  Positions are ascending, each the double nearest to\n"
    "the exact one, so that two knots may have equal positions.\n"
    "\n"
    "Weights, inputs and slopes count as the exact rationals that they are in\n"
    "the files, those of float64 tensors too.  Batch normalization is\n"
    "y = scale x + shift, where scale = weight / sqrt(running_var + eps) and\n"
    "shift = bias - running_mean scale are computed in double and rounded to\n"
    "float32, as by underhood eval.  Nothing is left to rounding: what\n"
    "numbers with error bounds cannot decide is decided in integers of any\n"
    "length.  The certificate is `exact` if no number was rounded on the way,\n"
    "else `certified`: each decision and each position rests on proved "
    "bounds.\n"
    "\n"
    "  --from A.npy     where the segment begins\n"
    "  --to B.npy       where it ends\n"
    "  --json           one JSON document: certificate, knots,\n"
    "                   pattern_changes, positions\n"
    "  --list OUT.npy   the positions as float64; the file appears whole or\n"
    "                   not at all and replaces one of that "
    "name\n" SOURCE_MANUAL
    "  --exact          decide everything in integers; slow, for checking\n"
    "  --help           this\n"
    "\n"
    "example: underhood knots lenet.safetensors --from 3.npy --to 8.npy "
    "--json\n",
    run};
