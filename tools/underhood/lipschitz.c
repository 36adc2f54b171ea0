/* lipschitz.c: underhood lipschitz: operator norms of the layers, and bounds of
 * the Lipschitz constant of the whole. */
#include "cells.h"
#include "common.h"
#include "die.h"
#include "opnorm.h"

#include <math.h>
#include <string.h>

struct request {
    int json, bounds;
    struct uh_torchvision_options source;
};

/* "lower,proved" */
static int bounds_of(const char *words)
{
    static const char *const name[] = {"lower", "upper", "proved"};
    static const int bound[] = {UH_OPNORM_LOWER, UH_OPNORM_UPPER,
                                UH_OPNORM_PROVED};
    int all = 0;
    for (const char *at = words;; at++) {
        const size_t length = strcspn(at, ",");
        int found = 0;
        for (size_t i = 0; i < 3; i++) {
            if (strlen(name[i]) == length &&
                strncmp(at, name[i], length) == 0) {
                found = bound[i];
            }
        }
        if (!found) {
            uh_die_usage("lipschitz: --bounds: expected some of lower, upper, "
                         "proved with commas, found %s",
                         words);
        }
        all |= found;
        at += length;
        if (!*at) {
            return all;
        }
    }
}

static struct request read_options(int argc, char **argv,
                                   const struct command *self)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"bounds", required_argument, NULL, 'b'},
        SOURCE_OPTIONS,
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    struct request r = {.bounds = UH_OPNORM_ALL};
    int option;
    while ((option = next_option(argc, argv, self, options)) != -1) {
        if (option == 'j') {
            r.json = 1;
        } else if (option == 'b') {
            r.bounds = bounds_of(optarg);
        } else {
            source_option(option, self, &r.source);
        }
    }
    require_operands(argc, self, 1, "NET.safetensors");
    return r;
}

/* What was not asked for, and what has no bound, is null. */
static void print_json_bound(const char *key, double value, int given)
{
    printf(", \"%s\": ", key);
    if (given && isfinite(value)) {
        printf("%.17g", value);
    } else {
        printf("null");
    }
}

static void print_json(const struct network *network,
                       const struct uh_opnorm_net *whole, int bounds)
{
    const int lower = bounds & UH_OPNORM_LOWER;
    const int upper = bounds & UH_OPNORM_UPPER;
    const int proved = bounds & UH_OPNORM_PROVED;
    printf("{\"failure\": %.17g, \"layers\": [", whole->failure);
    for (size_t i = 0; i < whole->layers; i++) {
        const struct uh_opnorm *n = &whole->layer[i];
        printf("%s{\"index\": %zu, \"type\": ", i ? ", " : "", i);
        print_json_string(uh_kind_word(network->net.layer[i].kind));
        if (network->module) {
            printf(", \"module\": ");
            print_json_string(network->module[i]);
        }
        if (n->folded) {
            printf(", \"folded\": true");
        }
        print_json_bound("lower", n->lower, lower);
        print_json_bound("upper", n->upper, upper);
        print_json_bound("upper_proved", n->upper_proved, proved);
        putchar('}');
    }
    putchar(']');
    print_json_bound("product_upper", whole->product_upper, upper);
    print_json_bound("network_lower", whole->network_lower, lower);
    print_json_bound("network_upper", whole->network_upper, proved);
    puts("}");
}

static void print_bound(double value, int given)
{
    if (given && isfinite(value)) {
        printf("  %14.10g", value);
    } else {
        printf("  %14s", given ? "none" : "");
    }
}

static void print_text(const struct network *network,
                       const struct uh_opnorm_net *whole, int bounds)
{
    const int lower = bounds & UH_OPNORM_LOWER;
    const int upper = bounds & UH_OPNORM_UPPER;
    const int proved = bounds & UH_OPNORM_PROVED;
    printf("layer  %-10s  %14s  %14s  %14s\n", "type", "lower", "upper",
           "proved");
    for (size_t i = 0; i < whole->layers; i++) {
        const struct uh_opnorm *n = &whole->layer[i];
        printf("%5zu  %-10s", i, uh_kind_word(network->net.layer[i].kind));
        print_bound(n->lower, lower);
        print_bound(n->upper, upper);
        print_bound(n->upper_proved, proved);
        if (n->folded) {
            printf("  in the layer before");
        }
        if (network->module) {
            printf("  %s", network->module[i]);
        }
        putchar('\n');
    }
    printf("%5s  %-10s", "", "whole");
    print_bound(whole->network_lower, lower);
    print_bound(whole->product_upper, upper);
    print_bound(whole->network_upper, proved);
    putchar('\n');
}

static void run(int argc, char **argv, const struct command *self)
{
    const struct request r = read_options(argc, argv, self);
    struct uh_arena *arena = uh_arena_new();
    const struct network network = load_network(argv[optind], &r.source, arena);
    struct uh_pool *pool = uh_pool_open(0);
    const struct uh_opnorm_options options = {.stream = "lipschitz",
                                              .bounds = r.bounds};
    const struct uh_opnorm_net whole =
        uh_opnorm_net(&network.net, &options, pool, arena);
    (r.json ? print_json : print_text)(&network, &whole, r.bounds);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

const struct command lipschitz_command = {
    "lipschitz", "bounds the operator norms of the layers and of the whole",
    "NET.safetensors [--bounds lower,upper,proved] [--json] [--input CxHxW] "
    "[--until MODULE]",
    "The norm of a layer is the least L with |f(x) - f(y)| <= L |x - y| for\n"
    "all x and y, Euclidean lengths; of a convolution with its zero padding,\n"
    "stride, dilation and groups at its true input size.  Three numbers:\n"
    "\n"
    "  lower    the gain of a vector that was found\n"
    "  proved   a theorem's bound; of most convolutions, and of dense layers\n"
    "           up to 4096 wide, within 1e-6 of lower\n"
    "  upper    the same where it is as tight as that; else a bound that\n"
    "           fails with a probability of at most 1e-9 over vectors that\n"
    "           the stream `lipschitz/LAYER` draws.  upper / lower - 1 is at\n"
    "           most 1e-6 for dense, conv and meanpool where the steps allow\n"
    "           it\n"
    "\n"
    "All of them include every rounding; weights count as the numbers that\n"
    "the float32s are (float64 tensors are rounded first).  relu, tanh and\n"
    "softplus have 1, sigmoid 1/4, leakyrelu max(1, |slope|), elu max(1,\n"
    "|alpha|), maxpool the root of the largest number of windows that share\n"
    "a pixel.  A batchnorm (at rest) behind dense or conv is folded into that\n"
    "layer and has 1.  add has the sum, and cat the root of the sum of\n"
    "squares, of the bounds of its two ways from where they part; lower 0.\n"
    "\n"
    "The whole: lower is the largest gradient that an ascent from seeded\n"
    "points found, computed in float32 and lessened by 2^-16 of it; upper\n"
    "and proved are the products of the layers' along the graph.\n"
    "\n"
    "  --bounds WORDS   some of lower, upper, proved, with commas; all unless\n"
    "                   given\n"
    "  --json           one JSON document: failure (of product_upper),\n"
    "                   layers (each with index, type, lower, upper,\n"
    "                   upper_proved; folded; module, where names are\n"
    "                   torchvision's), product_upper, network_lower,\n"
    "                   network_upper; null: not asked for, or "
    "unbounded\n" SOURCE_MANUAL "  --help           this\n"
    "\n"
    "example: underhood lipschitz lenet.safetensors --bounds lower,upper\n",
    run};
