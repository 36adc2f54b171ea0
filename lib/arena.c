/* arena.c: memory by lifetime.
 *
 * A chain of blocks, newest first: a small one, then large pages, each at least
 * twice as large as the one before, up to a limit.  Large blocks that a release
 * leaves are spares for what comes: to have their pages from the system again
 * may cost more than what is done with them.
 */
#include "arena.h"
#include "die.h"

#include <gmp.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    FIRST_BLOCK = 1 << 16,
    LARGEST_STEP = 1 << 24,
    MOST_SPARE = 1 << 28, /* bytes */
    PAGE = 1 << 21        /* bytes of a large page, cleared at once */
};

struct block {
    struct block *older;
    size_t size; /* bytes behind the header */
    size_t used; /* bytes of them in use */
};

struct uh_arena {
    struct block *newest;
    struct block *spare;
    size_t spared;  /* bytes of all spares */
    size_t fail_in; /* requests until one fails; 0 is never */
};

enum {
    HEADER = (sizeof(struct block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
};

static _Noreturn void out_of_memory(size_t bytes)
{
    uh_die("memory: expected %zu more bytes, found none", bytes);
}

static void *take(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory && bytes > 0) {
        out_of_memory(bytes);
    }
    return memory;
}

static void *retake(void *old, size_t old_bytes, size_t bytes)
{
    (void)old_bytes;
    void *memory = realloc(old, bytes);
    if (!memory && bytes > 0) {
        out_of_memory(bytes);
    }
    return memory;
}

static void give_back(void *memory, size_t bytes)
{
    (void)bytes;
    free(memory);
}

/* Without memory GMP would abort, and jansson leave out a key of a record.
 * Before main, for no program is without an arena and no thread runs yet. */
__attribute__((constructor)) static void guard_libraries(void)
{
    mp_set_memory_functions(take, retake, give_back);
    json_set_alloc_funcs(take, free);
}

struct uh_arena *uh_arena_new(void)
{
    struct uh_arena *arena = calloc(1, sizeof *arena);
    if (!arena) {
        out_of_memory(sizeof *arena);
    }
    return arena;
}

static void drop_newest(struct uh_arena *arena)
{
    struct block *gone = arena->newest;
    arena->newest = gone->older;
#ifndef UH_ARENA_MALLOC
    if (gone->size >= PAGE - HEADER &&
        arena->spared + gone->size <= MOST_SPARE) {
        gone->older = arena->spare;
        arena->spare = gone;
        arena->spared += gone->size;
        return;
    }
#endif
    free(gone);
}

static void free_all(struct block *newest)
{
    while (newest) {
        struct block *older = newest->older;
        free(newest);
        newest = older;
    }
}

/* The smallest spare that is large enough and not mostly wasted, or NULL. */
static struct block *take_spare(struct uh_arena *arena, size_t size)
{
    struct block **best = NULL;
    for (struct block **at = &arena->spare; *at; at = &(*at)->older) {
        if ((*at)->size >= size && (*at)->size / 2 <= size &&
            (!best || (*at)->size < (*best)->size)) {
            best = at;
        }
    }
    struct block *block = best ? *best : NULL;
    if (block) {
        *best = block->older;
        arena->spared -= block->size;
    }
    return block;
}

void uh_arena_free(struct uh_arena **arena)
{
    if (!*arena) {
        return;
    }
    free_all((*arena)->newest);
    free_all((*arena)->spare);
    free(*arena);
    *arena = NULL;
}

static size_t next_block_size(const struct uh_arena *arena, size_t bytes)
{
#ifdef UH_ARENA_MALLOC
    (void)arena;
    return bytes;
#else
    size_t size = FIRST_BLOCK;
    if (arena->newest && arena->newest->size < PAGE / 2) {
        size = PAGE - HEADER;
    } else if (arena->newest) {
        size = 2 * (arena->newest->size + HEADER);
        size = (size < LARGEST_STEP ? size : LARGEST_STEP) - HEADER;
    }
    return size > bytes ? size : bytes;
#endif
}

/* At least so many bytes behind its header, or NULL. */
static struct block *new_block(size_t size)
{
#ifdef UH_ARENA_MALLOC
    const size_t unit = ALIGNMENT;
#else
    const size_t unit = HEADER + size < PAGE ? ALIGNMENT : PAGE;
#endif
    if (size > SIZE_MAX - HEADER - unit) {
        return NULL;
    }
    const size_t whole = (HEADER + size + unit - 1) / unit * unit;
    struct block *block = aligned_alloc(unit, whole);
    if (!block) {
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (unit == PAGE) {
        (void)madvise(block, whole, MADV_HUGEPAGE); /* or small ones */
    }
#endif
    block->size = whole - HEADER;
    return block;
}

static void add_block(struct uh_arena *arena, size_t bytes)
{
    const size_t size = next_block_size(arena, bytes);
    struct block *block = take_spare(arena, size);
    block = block ? block : new_block(size);
    if (!block && arena->spare) {
        free_all(arena->spare);
        arena->spare = NULL;
        arena->spared = 0;
        block = new_block(size);
    }
    if (!block) {
        out_of_memory(bytes);
    }
    block->older = arena->newest;
    block->used = 0;
    arena->newest = block;
}

void *uh_arena_alloc_raw(struct uh_arena *arena, size_t count, size_t size)
{
    if (!uh_size_fits_mul(count, size) || count * size > SIZE_MAX / 2) {
        uh_die("memory: expected a size that fits, found %zu times %zu bytes",
               count, size);
    }
    if (arena->fail_in && --arena->fail_in == 0) {
        out_of_memory(count * size);
    }
    size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
#ifdef UH_ARENA_MALLOC
    add_block(arena, count * size);
#else
    if (!arena->newest || arena->newest->size - arena->newest->used < bytes) {
        add_block(arena, bytes);
    }
#endif
    char *start = (char *)arena->newest + HEADER + arena->newest->used;
    arena->newest->used += bytes;
    return start;
}

void *uh_arena_alloc(struct uh_arena *arena, size_t count, size_t size)
{
    void *start = uh_arena_alloc_raw(arena, count, size);
    memset(start, 0, count * size);
    return start;
}

char *uh_arena_text(struct uh_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = uh_arena_alloc_raw(arena, bytes, 1);
    memcpy(copy, text, bytes);
    return copy;
}

char *uh_arena_format(struct uh_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    UH_REQUIRE(length >= 0, "format %s", format);
    char *text = uh_arena_alloc_raw(arena, (size_t)length + 1, 1);
    va_start(arguments, format);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    va_end(arguments);
    return text;
}

struct uh_mark uh_arena_open(const struct uh_arena *arena)
{
    return (struct uh_mark){arena->newest,
                            arena->newest ? arena->newest->used : 0};
}

void uh_arena_release(struct uh_arena *arena, struct uh_mark mark)
{
    while (arena->newest && arena->newest != mark.block) {
        drop_newest(arena);
    }
    UH_REQUIRE(arena->newest == mark.block, "the mark is of another arena");
    if (arena->newest) {
        arena->newest->used = mark.used;
    }
}

void uh_arena_fail_at(struct uh_arena *arena, size_t n)
{
    arena->fail_in = n;
}
