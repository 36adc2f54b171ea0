/* cells.h: work that splits into independent cells, run by threads.  Floor 1.
 *
 * A cell is a function of its index and of nothing else: it stores what it
 * found under its index, so the number of threads, and which of them ran
 * which cell, changes no bit.  Threads divide work, never sums.
 *
 * A pool belongs to the thread that opened it, or to the cell it was handed
 * to.  A cell gets a serial pool (one thread, its own scratch arena) and hands
 * it on to whatever takes a pool; the pool outside is not to be used there.
 *
 * A section with idle threads begins in about a microsecond while they still
 * spin (some tens of microseconds behind the section before), and in some tens
 * of them once they sleep.  The calling thread works along and never waits for
 * a thread that has not begun.
 */
#ifndef UH_CELLS_H
#define UH_CELLS_H

#include "arena.h"

#include <stddef.h>

struct uh_pool;

/* A pool of so many threads, the caller's one of them.  0: as many as JOBS in
 * the environment says (1 to 4096; anything else is one line, exit 2), and
 * without JOBS, or when it is empty, as many as there are processors for this
 * process.  The threads leave signals to the caller's.  The program ends if
 * the system refuses. */
struct uh_pool *uh_pool_open(size_t threads);

/* Ends the threads, frees its arenas, clears the caller's pointer. */
void uh_pool_close(struct uh_pool **pool);

size_t uh_pool_threads(const struct uh_pool *pool);

/* The scratch arena of the pool's own thread.  Open a mark on it before and
 * release to it after; in a cell that is done for you. */
struct uh_arena *uh_pool_scratch(struct uh_pool *pool);

/* An empty arena, for what lives longer than scratch and not as long as the
 * pool: its memory is that of arenas that were taken back before, and belongs
 * to the system again when the pool is closed.  take_back empties it and clears
 * the caller's pointer. */
struct uh_arena *uh_pool_lend(struct uh_pool *pool);
void uh_pool_take_back(struct uh_pool *pool, struct uh_arena **arena);

/* Runs cell(context, index, serial) once for each index 0..count-1, and
 * returns when all are done.  What the caller wrote before is seen by every
 * cell, what the cells wrote is seen by the caller afterwards.
 *
 * Order    each thread takes the lowest index not yet taken; a pool of one
 *          thread runs them in ascending order.
 * Memory   what a cell takes from uh_pool_scratch(serial) is released when it
 *          returns.
 * Nesting  uh_cells(serial, ...) in a cell runs in that cell's thread.
 * Errors   uh_die in a cell ends the process.
 */
void uh_cells(struct uh_pool *pool, size_t count,
              void (*cell)(void *context, size_t index, struct uh_pool *serial),
              void *context);

#endif
