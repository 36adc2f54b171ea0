/* arena.c: memory by lifetime.
 *
 * A chain of blocks, newest first: a small one, then large pages, each at least
 * twice as large as the one before, up to a limit.
 */
#include "arena.h"
#include "die.h"

#include <gmp.h>
#include <jansson.h>
#include <malloc.h>
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
    LARGEST_SPARE = 1 << 27
};

/* Bytes of a large page.  The system clears one for much less than the 512
 * small ones that it holds. */
enum { PAGE = 1 << 21 };

/* What is freed stays the program's, up to so much, for the next arena: a page
 * from the system costs more than what is mostly done with it. */
enum { RETAINED = 1 << 28, LARGEST_RETAINED = 1 << 25 };

struct block {
    struct block *older;
    size_t size; /* bytes behind the header */
    size_t used; /* bytes of them in use */
};

struct uh_arena {
    struct block *newest;
    struct block *spare; /* the largest that a release has left, or NULL */
    size_t fail_in;      /* requests until one fails; 0 is never */
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
    (void)mallopt(M_MMAP_THRESHOLD, LARGEST_RETAINED);
    (void)mallopt(M_TRIM_THRESHOLD, RETAINED);
}

struct uh_arena *uh_arena_new(void)
{
    struct uh_arena *arena = calloc(1, sizeof *arena);
    if (!arena) {
        out_of_memory(sizeof *arena);
    }
    return arena;
}

/* Work that takes and releases the same again and again would have the system
 * clear the same pages each time: the largest block is kept. */
static void drop_newest(struct uh_arena *arena)
{
    struct block *gone = arena->newest;
    arena->newest = gone->older;
#ifndef UH_ARENA_MALLOC
    const size_t kept = arena->spare ? arena->spare->size : 0;
    if (gone->size > kept && gone->size <= LARGEST_SPARE) {
        struct block *larger = gone;
        gone = arena->spare;
        arena->spare = larger;
    }
#endif
    free(gone);
}

void uh_arena_free(struct uh_arena **arena)
{
    if (!*arena) {
        return;
    }
    while ((*arena)->newest) {
        drop_newest(*arena);
    }
    free((*arena)->spare);
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

static void add_block(struct uh_arena *arena, size_t bytes)
{
    struct block *spare = arena->spare;
    if (spare && spare->size >= bytes) {
        *spare = (struct block){arena->newest, spare->size, 0};
        arena->newest = spare;
        arena->spare = NULL;
        return;
    }
    size_t size = next_block_size(arena, bytes);
    struct block *block = NULL;
#ifdef UH_ARENA_MALLOC
    const size_t unit = ALIGNMENT;
#else
    const size_t unit = HEADER + size < PAGE ? ALIGNMENT : PAGE;
#endif
    size_t whole = 0;
    if (size <= SIZE_MAX - HEADER - unit) {
        whole = (HEADER + size + unit - 1) / unit * unit;
        block = aligned_alloc(unit, whole);
    }
    if (!block) {
        out_of_memory(bytes);
    }
#ifdef MADV_HUGEPAGE
    if (unit == PAGE) {
        (void)madvise(block, whole, MADV_HUGEPAGE); /* or small ones */
    }
#endif
    *block = (struct block){arena->newest, whole - HEADER, 0};
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
