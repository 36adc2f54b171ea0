/* pieces_graph.h: a network as units that take sums, or choose.  Floor 4.
 *
 * The units of a tensor are numbered in a row, the inputs of the network first.
 * A stage makes the units of one tensor from those of one tensor, or of two.
 * Flatten, mark and from make none.
 */
#ifndef UH_PIECES_GRAPH_H
#define UH_PIECES_GRAPH_H

#include "arena.h"
#include "net.h"

#include <stddef.h>
#include <stdint.h>

#define UH_NO_STAGE ((size_t)-1) /* the input of the network */
#define UH_NO_UNIT ((size_t)-1)  /* zero */

enum uh_stage_kind {
    UH_STAGE_DENSE,
    UH_STAGE_CONV,
    UH_STAGE_MEAN,
    UH_STAGE_SCALE, /* batchnorm */
    UH_STAGE_ADD,
    UH_STAGE_CAT,  /* the units of the other tensor, then of the one */
    UH_STAGE_GATE, /* relu, leakyrelu: on or off */
    UH_STAGE_MAX   /* these two choose, the others are sums */
};

struct uh_stage {
    enum uh_stage_kind kind;
    const struct uh_layer *layer;
    size_t in, other;        /* first units it takes from; other: add, cat */
    size_t from, from_other; /* the stages that make those */
    size_t out, count;       /* first unit, units */
    size_t fan, reach;       /* most edges into a unit; from a unit */
    const double *weight;    /* dense, conv: as in layer.h; scale: (channels) */
    const double *bias;      /* the same; else NULL */
    double slope;            /* of a gate that is off */
};

struct uh_graph {
    size_t inputs, units, stages;
    struct uh_stage *stage;
    size_t output, outputs, output_stage; /* the network's last tensor */
    size_t fan, reach;                    /* the largest */
    size_t edges;                         /* in all, about */
};

/* The parameter block and the running statistics behind it, as doubles. */
const double *uh_graph_widen(const struct uh_net *net, struct uh_arena *arena);

/* wide: those, or better ones (pieces.h).  Every layer is piecewise linear. */
struct uh_graph uh_graph_of(const struct uh_net *net, const double *wide,
                            struct uh_arena *arena);

/* The edges into unit i of the stage (0 <= i < count): where they begin and
 * their weights (1 of a mean, a gate, a maximum); at most fan. */
size_t uh_stage_edges(const struct uh_stage *stage, size_t i, size_t unit[],
                      double weight[]);

/* What a sum begins with: the bias of unit i. */
double uh_stage_bias(const struct uh_stage *stage, size_t i);

/* The units of the stage that take from unit j of the tensor from `in`,
 * numbered within the stage, with the weights; at most reach. */
size_t uh_stage_reach(const struct uh_stage *stage, size_t j, size_t unit[],
                      double weight[]);

/* The unit of an addition or a concatenation that takes from unit j of the
 * tensor from `other`, with weight 1. */
size_t uh_stage_reach_other(const struct uh_stage *stage, size_t j);

/* How many places mean i is divided by. */
size_t uh_stage_places(const struct uh_stage *stage, size_t i);

#endif
