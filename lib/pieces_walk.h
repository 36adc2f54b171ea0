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

/* What is kept of the events. */
enum uh_keep {
    UH_KEEP_KNOTS, /* the positions of knots */
    UH_KEEP_ABOUT, /* of all events, not rounded to nearest */
    UH_KEEP_TRACE  /* of all events, which are knots, and the maps */
};

struct uh_found {
    size_t knots, changes, asked, work;
    double *position;       /* count of them, ascending, malloc'ed */
    unsigned char *is_knot; /* trace: of each position */
    double *map; /* trace: (count + 1, outputs, 2), the first from the begin of
                    the part */
    size_t count, room;
    int rounded; /* 1: a number was rounded on the way */
    int beyond;  /* 1: an event lies beyond 2^1000; nothing else counts */
};

/* graph and line are shared, the rest belongs to the caller's thread. */
void uh_pieces_part(const struct uh_graph *graph, const struct uh_line *line,
                    struct uh_part part, enum uh_keep keep,
                    struct uh_arena *scratch, struct uh_found *found);

/* Frees what was kept. */
void uh_found_free(struct uh_found *found);

#endif
