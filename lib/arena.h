/* arena.h: memory by lifetime.  Floor 0.
 *
 * A step owns one arena; each cell opens a mark on one and releases to the
 * mark; nothing else in the suite frees.  An arena belongs to one thread.
 * With UH_ARENA_MALLOC every request is its own malloc, so that memory
 * checkers can see it.
 *
 * A program that has an arena also ends with one line where GMP or jansson
 * find no memory.
 */
#ifndef UH_ARENA_H
#define UH_ARENA_H

#include "status.h"

#include <stddef.h>

struct uh_arena;

struct uh_mark {
    void *block; /* the block in use when the mark was opened */
    size_t used; /* bytes used of it */
};

/* An empty arena; the program ends if there is no memory. */
struct uh_arena *uh_arena_new(void);

/* Frees all of it and clears the caller's pointer. */
void uh_arena_free(struct uh_arena **arena);

/* count objects of size bytes, zeroed, aligned to 64 bytes; never NULL (count
 * or size 0 gives a pointer to nothing).  The program ends with one line if
 * the memory is not to be had. */
void *uh_arena_alloc(struct uh_arena *arena, size_t count, size_t size)
    __attribute__((malloc));

/* The same without zeroing, for what is filled at once. */
void *uh_arena_alloc_raw(struct uh_arena *arena, size_t count, size_t size)
    __attribute__((malloc));

/* A copy of text. */
char *uh_arena_text(struct uh_arena *arena, const char *text);

/* "format" printed into the arena. */
char *uh_arena_format(struct uh_arena *arena, const char *format, ...)
    UH_PRINTF(2, 3);

struct uh_mark uh_arena_open(const struct uh_arena *arena);
void uh_arena_release(struct uh_arena *arena, struct uh_mark mark);

/* Makes the n-th request from now on fail (1 is the next), for tests of what
 * happens then; 0 turns it off. */
void uh_arena_fail_at(struct uh_arena *arena, size_t n);

#endif
