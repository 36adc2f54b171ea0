/* cells.c: work that splits into independent cells, run by threads.
 *
 * A section is opened by a gate: a word that holds whether it is open and how
 * many threads are inside.  A thread that passes the open gate takes indices
 * until none is left; the caller does the same, then closes the gate and waits
 * for those inside.  A thread that wakes late finds the gate closed and goes
 * back to sleep, so nobody waits for it.
 */
#include "cells.h"
#include "die.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_THREADS = 4096,
    PAUSES = 1000,         /* looks at a word with a pause between */
    YIELDS = 50,           /* looks with a sched_yield between, then sleep */
    FIRST_BLOCK = 1 << 24, /* bytes of scratch kept per thread */
    IDLE = 4,
    LINE = 64 /* bytes; words written by different threads stay apart */
};

enum { OPEN = 1, INSIDE = 2 }; /* the gate: open or not, threads inside */

struct team;

struct uh_pool {
    size_t threads;
    struct uh_arena *scratch; /* of the pool's own thread */
    struct team *team;        /* NULL in a pool of one thread */
    struct uh_arena *idle[IDLE];
    size_t idles; /* arenas that may be lent */
};

struct section {
    void (*cell)(void *context, size_t index, struct uh_pool *serial);
    void *context;
    size_t count;
};

struct team {
    struct section section; /* written while the gate is closed and empty */
    size_t spins;           /* looks with a pause before the others; 0: none */
    struct uh_pool **seats; /* one serial pool per thread; 0 is the caller's */
    pthread_t *threads;     /* 1..count-1; 0 is unused */
    size_t count;
    int busy; /* between begin and end of a section */
    pthread_mutex_t mutex;
    pthread_cond_t begun, left;
    _Alignas(LINE) atomic_uint generation; /* sections begun so far */
    atomic_uint sleepers;                  /* threads that need a wake-up */
    atomic_int ends;
    atomic_int waits; /* the caller sleeps until the last has left */
    _Alignas(LINE) atomic_uint gate;
    _Alignas(LINE) atomic_size_t next; /* lowest index not yet taken */
};

struct place {
    struct team *team;
    size_t seat;
};

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Rests a little before look number i at a word; 0 when it is time to sleep. */
static int rest(const struct team *team, size_t i)
{
    if (i < team->spins) {
        pause_briefly();
        return 1;
    }
    if (i < team->spins + YIELDS) {
        sched_yield();
        return 1;
    }
    return 0;
}

static void run_one(const struct section *section, size_t index,
                    struct uh_pool *serial)
{
    struct uh_mark mark = uh_arena_open(serial->scratch);
    section->cell(section->context, index, serial);
    uh_arena_release(serial->scratch, mark);
}

static void take_cells(struct team *team, struct uh_pool *serial)
{
    const struct section section = team->section;
    for (;;) {
        size_t index = atomic_fetch_add(&team->next, 1);
        if (index >= section.count) {
            return;
        }
        run_one(&section, index, serial);
    }
}

static int pass_gate(struct team *team)
{
    unsigned gate = atomic_load(&team->gate);
    while (gate & OPEN) {
        if (atomic_compare_exchange_weak(&team->gate, &gate, gate + INSIDE)) {
            return 1;
        }
    }
    return 0;
}

static void leave(struct team *team)
{
    if (atomic_fetch_sub(&team->gate, INSIDE) == INSIDE &&
        atomic_load(&team->waits)) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_signal(&team->left);
        pthread_mutex_unlock(&team->mutex);
    }
}

static void await_generation(struct team *team, unsigned seen)
{
    for (size_t i = 0; rest(team, i); i++) {
        if (atomic_load(&team->generation) != seen) {
            return;
        }
    }
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->generation) == seen) {
        pthread_cond_wait(&team->begun, &team->mutex);
    }
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void *work(void *argument)
{
    struct place *place = argument;
    struct team *team = place->team;
    struct uh_pool *serial = team->seats[place->seat];
    free(place);
    unsigned seen = 0;
    while (!atomic_load(&team->ends)) {
        await_generation(team, seen);
        seen = atomic_load(&team->generation);
        if (pass_gate(team)) {
            take_cells(team, serial);
            leave(team);
        }
    }
    return NULL;
}

static void begin_generation(struct team *team)
{
    atomic_fetch_add(&team->generation, 1);
    if (atomic_load(&team->sleepers)) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->begun);
        pthread_mutex_unlock(&team->mutex);
    }
}

static void await_empty(struct team *team)
{
    for (size_t i = 0; atomic_load(&team->gate) != 0; i++) {
        if (!rest(team, i)) {
            pthread_mutex_lock(&team->mutex);
            atomic_store(&team->waits, 1);
            while (atomic_load(&team->gate) != 0) {
                pthread_cond_wait(&team->left, &team->mutex);
            }
            atomic_store(&team->waits, 0);
            pthread_mutex_unlock(&team->mutex);
            return;
        }
    }
}

void uh_cells(struct uh_pool *pool, size_t count,
              void (*cell)(void *context, size_t index, struct uh_pool *serial),
              void *context)
{
    struct section section = {cell, context, count};
    struct team *team = pool->team;
    if (!team) {
        for (size_t i = 0; i < count; i++) {
            run_one(&section, i, pool);
        }
        return;
    }
    UH_REQUIRE(!team->busy, "a cell uses the pool outside, not its serial one");
    if (count == 0) {
        return;
    }
    if (count == 1) {
        run_one(&section, 0, team->seats[0]);
        return;
    }
    team->busy = 1;
    team->section = section;
    atomic_store(&team->next, 0);
    atomic_store(&team->gate, OPEN);
    begin_generation(team);
    take_cells(team, team->seats[0]);
    atomic_fetch_sub(&team->gate, OPEN);
    await_empty(team);
    team->busy = 0;
}

static size_t processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count > 0 ? (size_t)count : 1;
}

static size_t jobs_or_processors(void)
{
    const char *text = getenv("JOBS");
    if (!text || !*text) {
        return processors();
    }
    size_t value = 0, length = strspn(text, "0123456789");
    for (size_t i = 0; i < length && value <= MOST_THREADS; i++) {
        value = 10 * value + (size_t)(text[i] - '0');
    }
    if (text[length] || value < 1 || value > MOST_THREADS) {
        uh_die_usage("JOBS: expected an integer from 1 to %d, found \"%s\"",
                     MOST_THREADS, text);
    }
    return value;
}

static void *get_memory(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        uh_die("threads: expected memory for %zu, found none", count);
    }
    return memory;
}

/* An arena that keeps its first block, so that a cell that takes no more asks
 * the system for nothing.  What is never written costs no memory. */
static struct uh_arena *open_scratch(void)
{
    struct uh_arena *arena = uh_arena_new();
    uh_arena_alloc_raw(arena, FIRST_BLOCK, 1);
    struct uh_mark mark = uh_arena_open(arena);
    mark.used = 0;
    uh_arena_release(arena, mark);
    return arena;
}

static struct uh_pool *open_serial(void)
{
    struct uh_pool *pool = get_memory(1, sizeof *pool);
    pool->threads = 1;
    pool->scratch = open_scratch();
    return pool;
}

static void start_threads(struct team *team)
{
    sigset_t all, before;
    sigfillset(&all);
    int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGPIPE};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        sigdelset(&all, own[i]);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 1; i < team->count; i++) {
        struct place *place = get_memory(1, sizeof *place);
        *place = (struct place){team, i};
        int error = pthread_create(&team->threads[i], NULL, work, place);
        if (error) {
            uh_die("threads: expected %zu, found room for %zu (%s)",
                   team->count, i, strerror(error));
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct uh_pool *uh_pool_open(size_t threads)
{
    if (threads == 0) {
        threads = jobs_or_processors();
    }
    UH_REQUIRE(threads <= MOST_THREADS, "threads is %zu", threads);
    struct uh_pool *first = open_serial();
    if (threads == 1) {
        return first;
    }
    struct team *team = aligned_alloc(LINE, sizeof *team);
    if (!team) {
        uh_die("threads: expected memory for %zu, found none", threads);
    }
    memset(team, 0, sizeof *team);
    team->count = threads;
    team->spins = threads <= processors() ? PAUSES : 0;
    team->seats = get_memory(threads, sizeof(struct uh_pool *));
    team->threads = get_memory(threads, sizeof *team->threads);
    team->seats[0] = first;
    for (size_t i = 1; i < threads; i++) {
        team->seats[i] = open_serial();
    }
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->begun, NULL);
    pthread_cond_init(&team->left, NULL);
    struct uh_pool *pool = get_memory(1, sizeof *pool);
    *pool = (struct uh_pool){
        .threads = threads, .scratch = first->scratch, .team = team};
    start_threads(team);
    return pool;
}

static void free_idle(struct uh_pool *pool)
{
    while (pool->idles > 0) {
        uh_arena_free(&pool->idle[--pool->idles]);
    }
}

static void close_serial(struct uh_pool *pool)
{
    free_idle(pool);
    uh_arena_free(&pool->scratch);
    free(pool);
}

void uh_pool_close(struct uh_pool **pool)
{
    if (!*pool) {
        return;
    }
    struct team *team = (*pool)->team;
    if (!team) {
        close_serial(*pool);
        *pool = NULL;
        return;
    }
    UH_REQUIRE(!team->busy, "a cell closes the pool outside");
    atomic_store(&team->ends, 1);
    begin_generation(team);
    for (size_t i = 1; i < team->count; i++) {
        pthread_join(team->threads[i], NULL);
    }
    for (size_t i = 0; i < team->count; i++) {
        close_serial(team->seats[i]);
    }
    pthread_cond_destroy(&team->left);
    pthread_cond_destroy(&team->begun);
    pthread_mutex_destroy(&team->mutex);
    free(team->seats);
    free(team->threads);
    free(team);
    free_idle(*pool);
    free(*pool);
    *pool = NULL;
}

size_t uh_pool_threads(const struct uh_pool *pool)
{
    return pool->threads;
}

struct uh_arena *uh_pool_scratch(struct uh_pool *pool)
{
    return pool->scratch;
}

struct uh_arena *uh_pool_lend(struct uh_pool *pool)
{
    return pool->idles > 0 ? pool->idle[--pool->idles] : uh_arena_new();
}

void uh_pool_take_back(struct uh_pool *pool, struct uh_arena **arena)
{
    if (pool->idles == IDLE) {
        uh_arena_free(arena);
        return;
    }
    uh_arena_release(*arena, (struct uh_mark){NULL, 0});
    pool->idle[pool->idles++] = *arena;
    *arena = NULL;
}
