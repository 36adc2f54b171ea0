/* pieces_walk.h: the event walk over one part of a line.  Floor 4. */
#ifndef UH_PIECES_WALK_H
#define UH_PIECES_WALK_H

#include "pieces.h"
#include "pieces_graph.h"

#include <math.h>

/* The events after `from` and up to `to`, which belongs to this part unless it
 * is the last; infinite: the line's own end. */
struct uh_part {
    double from, to;
    int last;
};

struct uh_found {
    size_t knots, changes, asked;
    double *position; /* knots of them, malloc'ed; with every_event also the
                         changes, ascending */
    size_t room;
    int rounded; /* 1: a number was rounded on the way */
    int beyond;  /* 1: an event lies beyond 2^1000; nothing else counts */
};

/* graph and line are shared, the rest belongs to the caller's thread. */
void uh_pieces_part(const struct uh_graph *graph, const struct uh_line *line,
                    struct uh_part part, int every_event,
                    struct uh_arena *scratch, struct uh_found *found);

#endif
