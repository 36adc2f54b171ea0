/* arena.c: memory by lifetime.
 *
 * A chain of blocks, newest first: a small one from malloc, then large pages
 * from the system, each block twice as large as the one before, up to a limit.
 * A large block that an arena is done with waits on a shelf for the next one:
 * to have its pages from the system again may cost more than what is done with
 * them.
 */
#include "arena.h"
#include "die.h"

#include <gmp.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    ALIGNMENT = 64,
    PAGE = 1 << 21, /* bytes of a large page, cleared at once */
    FIRST_BLOCK = 1 << 16,
    LARGEST_STEP = 1 << 24,
    SHELF = 1 << 28 /* bytes that may wait on it */
};

struct block {
    struct block *older;
    size_t size; /* bytes behind the header */
    size_t used; /* bytes of them in use */
};

struct uh_arena {
    struct block *newest;
    size_t fail_in; /* requests until one fails; 0 is never */
};

enum {
    HEADER = (sizeof(struct block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT
};

static struct {
    pthread_mutex_t lock;
    struct block *first;
    size_t bytes;
} shelf = {.lock = PTHREAD_MUTEX_INITIALIZER};

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

static int is_large(size_t whole)
{
#ifdef UH_ARENA_MALLOC
    (void)whole;
    return 0;
#else
    return whole >= PAGE;
#endif
}

/* The smallest block on the shelf that is large enough and not mostly wasted,
 * or NULL. */
static struct block *from_shelf(size_t size)
{
    struct block **best = NULL;
    pthread_mutex_lock(&shelf.lock);
    for (struct block **at = &shelf.first; *at; at = &(*at)->older) {
        if ((*at)->size >= size && (*at)->size / 2 <= size &&
            (!best || (*at)->size < (*best)->size)) {
            best = at;
        }
    }
    struct block *block = best ? *best : NULL;
    if (block) {
        *best = block->older;
        shelf.bytes -= HEADER + block->size;
    }
    pthread_mutex_unlock(&shelf.lock);
    return block;
}

/* Whether there was something on it. */
static int empty_shelf(void)
{
    pthread_mutex_lock(&shelf.lock);
    struct block *block = shelf.first;
    shelf.first = NULL;
    shelf.bytes = 0;
    pthread_mutex_unlock(&shelf.lock);
    const int some = block != NULL;
    while (block) {
        struct block *older = block->older;
        munmap(block, HEADER + block->size);
        block = older;
    }
    return some;
}

static void drop_block(struct block *block)
{
    const size_t whole = HEADER + block->size;
    if (!is_large(whole)) {
        free(block);
        return;
    }
    pthread_mutex_lock(&shelf.lock);
    const int keep = shelf.bytes + whole <= SHELF;
    if (keep) {
        block->older = shelf.first;
        shelf.first = block;
        shelf.bytes += whole;
    }
    pthread_mutex_unlock(&shelf.lock);
    if (!keep) {
        munmap(block, whole);
    }
}

/* So many bytes of large pages, or NULL. */
static void *map_pages(size_t whole)
{
    const size_t more = whole + PAGE;
    char *begin = more < whole ? MAP_FAILED
                               : mmap(NULL, more, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (begin == MAP_FAILED) {
        return NULL;
    }
    const size_t before = (PAGE - (uintptr_t)begin % PAGE) % PAGE;
    if (before > 0) {
        munmap(begin, before);
    }
    munmap(begin + before + whole, PAGE - before);
#ifdef MADV_HUGEPAGE
    (void)madvise(begin + before, whole, MADV_HUGEPAGE); /* or small ones */
#endif
    return begin + before;
}

/* At least so many bytes with the header, or NULL. */
static struct block *new_block(size_t bytes)
{
    const int large = is_large(bytes);
    const size_t unit = large ? PAGE : ALIGNMENT;
    const size_t whole = (bytes + unit - 1) / unit * unit;
    struct block *block = large ? from_shelf(whole - HEADER) : NULL;
    if (!block) {
        block = large ? map_pages(whole) : aligned_alloc(unit, whole);
        if (block) {
            block->size = whole - HEADER;
        }
    }
    return block;
}

static void drop_newest(struct uh_arena *arena)
{
    struct block *gone = arena->newest;
    arena->newest = gone->older;
    drop_block(gone);
}

void uh_arena_free(struct uh_arena **arena)
{
    if (!*arena) {
        return;
    }
    while ((*arena)->newest) {
        drop_newest(*arena);
    }
    free(*arena);
    *arena = NULL;
}

static size_t next_block_size(const struct uh_arena *arena, size_t bytes)
{
#ifdef UH_ARENA_MALLOC
    (void)arena;
    return bytes;
#else
    size_t whole = FIRST_BLOCK;
    if (arena->newest) {
        const size_t last = HEADER + arena->newest->size;
        whole = last < PAGE           ? PAGE
                : last < LARGEST_STEP ? 2 * last
                                      : LARGEST_STEP;
    }
    return whole - HEADER > bytes ? whole - HEADER : bytes;
#endif
}

static void add_block(struct uh_arena *arena, size_t bytes)
{
    const size_t size = next_block_size(arena, bytes);
    struct block *block = NULL;
    if (size <= SIZE_MAX - HEADER - PAGE) {
        block = new_block(HEADER + size);
        if (!block && empty_shelf()) {
            block = new_block(HEADER + size);
        }
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
