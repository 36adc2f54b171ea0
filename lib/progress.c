/* progress.c: how far a long piece of work has come, on stderr. */
#include "progress.h"
#include "arena.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct uh_progress {
    const char *what;
    size_t total;
    atomic_size_t done;
    double start, said; /* seconds */
    bool terminal, spoke;
    pthread_mutex_t lock;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct uh_progress *uh_progress_start(struct uh_arena *arena, const char *what,
                                      size_t total)
{
    struct uh_progress *p = uh_arena_alloc(arena, 1, sizeof *p);
    p->what = uh_arena_text(arena, what);
    p->total = total ? total : 1;
    p->start = p->said = seconds();
    p->terminal = isatty(STDERR_FILENO);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void speak(struct uh_progress *p, size_t done, double now)
{
    double share = (double)done / (double)p->total;
    double left = share > 0 ? (now - p->start) * (1 - share) / share : 0;
    if (!p->terminal) {
        fprintf(stderr, "  %s: %zu of %zu, about %.0f s left\n", p->what, done,
                p->total, left);
        return;
    }
    char bar[25];
    size_t full = (size_t)(share * 24);
    memset(bar, '.', sizeof bar);
    memset(bar, '#', full < 24 ? full : 24);
    bar[24] = '\0';
    fprintf(stderr, "\r  %s [%s] %3.0f %%, %.0f s left \033[K", p->what, bar,
            100 * share, left);
}

void uh_progress_step(struct uh_progress *p, size_t done)
{
    size_t now_done = atomic_fetch_add(&p->done, done) + done;
    double now = seconds();
    if (now - p->start < 2 || pthread_mutex_trylock(&p->lock) != 0) {
        return;
    }
    if (now - p->said >= (p->terminal ? 0.2 : 10)) {
        speak(p, now_done, now);
        p->said = now;
        p->spoke = true;
    }
    pthread_mutex_unlock(&p->lock);
}

void uh_progress_end(struct uh_progress *p)
{
    if (p->spoke && p->terminal) {
        fprintf(stderr, "\r\033[K");
    }
    pthread_mutex_destroy(&p->lock);
}
