/* pieces.c: the pieces of a network along a line: its parts, side by side. */
#include "pieces.h"
#include "die.h"
#include "pieces_graph.h"
#include "pieces_walk.h"
#include "progress.h"

#include <math.h>
#include <string.h>

enum {
    PARTS = 64,          /* at most */
    LARGE_PARTS = 8,     /* where a part is costly to begin */
    LARGE_NET = 1 << 16, /* edges: from here on it is */
    PILOT = 48           /* events that are enough to cut by */
};

struct job {
    const struct uh_graph *graph;
    const struct uh_line *line;
    const struct uh_part *part;
    struct uh_found *found;
    struct uh_progress *progress; /* or NULL */
};

static void walk_part(void *context, size_t index, struct uh_pool *serial)
{
    struct job *job = context;
    uh_pieces_part(job->graph, job->line, job->part[index],
                   job->line->trace ? UH_KEEP_TRACE : UH_KEEP_KNOTS,
                   uh_pool_scratch(serial), &job->found[index]);
    if (job->progress) {
        uh_progress_step(job->progress, 1);
    }
}

/* The events of the network's first layers: enough of them to say where its
 * knots are, or all. */
static struct uh_found pilot(const struct uh_net *net,
                             const struct uh_line *line, const double *wide,
                             struct uh_part whole, struct uh_arena *arena)
{
    struct uh_found found = {.knots = 0};
    struct uh_net front = *net;
    for (size_t k = 0; k < net->layers; k++) {
        enum uh_kind kind = net->layer[k].kind;
        if (kind != UH_RELU && kind != UH_LEAKYRELU && kind != UH_MAXPOOL) {
            continue;
        }
        struct uh_mark mark = uh_arena_open(arena);
        front.layers = k + 1;
        front.out = net->layer[k].out;
        struct uh_graph graph = uh_graph_of(&front, wide, arena);
        uh_found_free(&found);
        uh_pieces_part(&graph, line, whole, UH_KEEP_ABOUT, arena, &found);
        uh_arena_release(arena, mark);
        if (found.count >= PILOT || found.beyond) {
            break;
        }
    }
    return found;
}

/* Cuts the line where the pilot's events are; how many parts. */
static size_t cut(const struct uh_found *pilot, size_t most,
                  struct uh_part whole, struct uh_part part[])
{
    size_t n = pilot->count, parts = 0;
    double from = whole.from;
    most = n / 4 < most ? n / 4 : most;
    for (size_t k = 1; k < most; k++) {
        size_t i = k * n / most;
        double a = pilot->position[i - 1], b = pilot->position[i];
        double at = a + (b - a) / 2;
        if (at > a && at < b && at > from && at < whole.to) {
            part[parts++] = (struct uh_part){from, at, 0};
            from = at;
        }
    }
    part[parts++] = (struct uh_part){from, whole.to, 1};
    return parts;
}

/* The parts' lists behind one another.  A part begins on the piece with which
 * the one before ends. */
static void gather_lists(size_t parts, const struct uh_found found[],
                         size_t outputs, int trace, struct uh_arena *arena,
                         struct uh_pieces *all)
{
    size_t count = all->knots + (trace ? all->changes : 0), width = 2 * outputs;
    size_t kept = trace ? count : 0, pieces = trace ? count + 1 : 0;
    double *position = uh_arena_alloc_raw(arena, count, sizeof *position);
    unsigned char *is_knot = uh_arena_alloc_raw(arena, kept, 1);
    double *map =
        uh_arena_alloc_raw(arena, uh_size_mul(pieces, width), sizeof *map);
    if (trace) {
        memcpy(map, found[0].map, width * sizeof *map);
    }
    for (size_t k = 0, at = 0; k < parts; at += found[k++].count) {
        size_t n = found[k].count;
        if (n > 0) {
            memcpy(position + at, found[k].position, n * sizeof *position);
        }
        if (n > 0 && trace) {
            memcpy(is_knot + at, found[k].is_knot, n);
            memcpy(map + (at + 1) * width, found[k].map + width,
                   n * width * sizeof *map);
        }
    }
    all->position = position;
    if (!trace) {
        return;
    }
    all->event = position;
    all->is_knot = is_knot;
    all->map = map;
    double *knot = uh_arena_alloc_raw(arena, all->knots, sizeof *knot);
    for (size_t i = 0, n = 0; i < count; i++) {
        if (is_knot[i]) {
            knot[n++] = position[i];
        }
    }
    all->position = knot;
}

static enum uh_status gather(size_t parts, struct uh_found found[],
                             size_t outputs, int trace, struct uh_arena *arena,
                             struct uh_pieces *pieces, struct uh_error *error)
{
    struct uh_pieces all = {.exact = 1};
    int beyond = 0;
    for (size_t k = 0; k < parts; k++) {
        all.knots += found[k].knots;
        all.changes += found[k].changes;
        all.asked += found[k].asked;
        all.work += found[k].work;
        all.exact &= !found[k].rounded;
        beyond |= found[k].beyond;
    }
    gather_lists(parts, found, outputs, trace, arena, &all);
    for (size_t k = 0; k < parts; k++) {
        uh_found_free(&found[k]);
    }
    if (beyond) {
        return uh_fail(error, UH_NOT_FINITE,
                       "knots: expected positions below 2^1000 in size, found "
                       "one beyond");
    }
    *pieces = all;
    return UH_OK;
}

static enum uh_status check(const struct uh_net *net,
                            const struct uh_line *line, struct uh_error *error)
{
    size_t inputs = uh_shape_size(net->in);
    for (size_t k = 0; k < net->layers; k++) {
        if (!uh_kind_piecewise_linear(net->layer[k].kind)) {
            return uh_fail(error, UH_BAD_INPUT,
                           "layer %zu: expected a piecewise linear layer, "
                           "found %s",
                           k, uh_kind_word(net->layer[k].kind));
        }
    }
    if (!line->a && inputs != 1) {
        return uh_fail(error, UH_BAD_INPUT,
                       "input: expected one number, or the two ends of a "
                       "segment, found %zu numbers",
                       inputs);
    }
    for (size_t i = 0; line->a && i < inputs; i++) {
        if (!isfinite(line->a[i]) || !isfinite(line->b[i])) {
            return uh_fail(error, UH_NOT_FINITE,
                           "end of the segment: expected finite numbers, found "
                           "another at entry %zu",
                           i);
        }
    }
    return UH_OK;
}

/* A scale of batchnorm can be too large for float32. */
static enum uh_status check_graph(const struct uh_graph *graph,
                                  struct uh_error *error)
{
    for (size_t k = 0; k < graph->stages; k++) {
        const struct uh_stage *s = &graph->stage[k];
        size_t n = s->kind == UH_STAGE_SCALE ? s->layer->in.channels : 0;
        for (size_t c = 0; c < n; c++) {
            if (!isfinite(s->weight[c]) || !isfinite(s->bias[c])) {
                return uh_fail(error, UH_NOT_FINITE,
                               "batchnorm: expected a finite scale and shift, "
                               "found another in channel %zu",
                               c);
            }
        }
    }
    return UH_OK;
}

enum uh_status uh_pieces_walk(const struct uh_net *net,
                              const struct uh_line *line, struct uh_pool *pool,
                              struct uh_arena *arena, struct uh_pieces *pieces,
                              struct uh_error *error)
{
    enum uh_status status = check(net, line, error);
    struct uh_arena *room = uh_arena_new();
    struct uh_part part[PARTS];
    struct uh_found found[PARTS];
    struct uh_part whole = {line->a ? 0 : -HUGE_VAL, line->a ? 1 : HUGE_VAL, 1};
    if (status == UH_OK) {
        const double *wide =
            line->wide ? line->wide : uh_graph_widen(net, room);
        struct uh_graph graph = uh_graph_of(net, wide, room);
        status = check_graph(&graph, error);
        if (status == UH_OK) {
            struct uh_found first = pilot(net, line, wide, whole, room);
            size_t parts =
                cut(&first, graph.edges > LARGE_NET ? LARGE_PARTS : PARTS,
                    whole, part);
            struct job job = {&graph, line, part, found, NULL};
            if (line->progress) {
                job.progress = uh_progress_start(room, line->progress, parts);
            }
            uh_found_free(&first);
            uh_cells(pool, parts, walk_part, &job);
            if (job.progress) {
                uh_progress_end(job.progress);
            }
            status = gather(parts, found, graph.outputs, line->trace, arena,
                            pieces, error);
        }
    }
    uh_arena_free(&room);
    if (status == UH_OK && line->only_exact) {
        pieces->exact = 1;
    }
    return status;
}

struct uh_pieces uh_pieces_along(const struct uh_net *net,
                                 const struct uh_line *line,
                                 struct uh_pool *pool, struct uh_arena *arena)
{
    struct uh_pieces pieces;
    struct uh_error error;
    if (uh_pieces_walk(net, line, pool, arena, &pieces, &error) != UH_OK) {
        uh_die_error(&error);
    }
    return pieces;
}
