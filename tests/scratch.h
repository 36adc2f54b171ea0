/* scratch.h: what several tests need: a folder of their own, files, packed
 * bytes, a child process whose end is looked at, the folder of real data. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "arena.h"
#include "cells.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

enum { PATH = 512 };

/* Before and after a test whose state is an arena. */
static inline int arena_made(void **state)
{
    *state = uh_arena_new();
    return 0;
}

static inline int arena_gone(void **state)
{
    struct uh_arena *arena = *state;
    uh_arena_free(&arena);
    return 0;
}

/* The same of all tests of a program whose state is an arena and two threads. */
struct state {
    struct uh_arena *arena;
    struct uh_pool *pool;
};

static inline int state_made(void **state)
{
    struct state *s = malloc(sizeof *s);
    s->arena = uh_arena_new();
    s->pool = uh_pool_open(2);
    *state = s;
    return 0;
}

static inline int state_gone(void **state)
{
    struct state *s = *state;
    uh_pool_close(&s->pool);
    uh_arena_free(&s->arena);
    free(s);
    return 0;
}

/* A new folder; scratch_remove takes it away. */
static inline void scratch_make(char folder[PATH])
{
    const char *top = getenv("TMPDIR");
    snprintf(folder, PATH, "%s/uh-test-XXXXXX", top && *top ? top : "/tmp");
    assert_non_null(mkdtemp(folder));
}

static inline void scratch_remove(const char *folder)
{
    char command[PATH + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static inline void path_in(char path[2 * PATH], const char *folder,
                           const char *name)
{
    snprintf(path, 2 * PATH, "%s/%s", folder, name);
}

static inline void put_file(const char *folder, const char *name,
                            const void *bytes, size_t size)
{
    char path[2 * PATH];
    path_in(path, folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* Files (and folders) in the folder. */
static inline size_t files_in(const char *folder)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n - 2; /* "." and ".." */
}

/* bytes as one gzip member; free it. */
static inline uint8_t *packed(const void *bytes, size_t size, size_t *out_size)
{
    size_t room = size + size / 100 + 1000;
    uint8_t *out = malloc(room);
    z_stream z = {0};
    assert_int_equal(
        deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (unsigned)size;
    z.next_out = out;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    *out_size = room - z.avail_out;
    deflateEnd(&z);
    return out;
}

/* How a child ended: status as a shell says it, what it said on stderr. */
struct ending {
    int status;
    char said[2048];
};

static inline struct ending run_child(void (*work)(void *), void *context)
{
    struct ending e = {0};
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        work(context);
        _exit(0);
    }
    close(ends[1]);
    size_t got = 0;
    ssize_t n;
    while (got < sizeof e.said - 1 &&
           (n = read(ends[0], e.said + got, sizeof e.said - 1 - got)) > 0) {
        got += (size_t)n;
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    e.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return e;
}

/* The folder of the real data sets, or NULL. */
static inline const char *data_folder(void)
{
    const char *data = getenv("DATA");
    if (data && *data) {
        return data;
    }
    return access("../shared/data/README.md", R_OK) == 0 ? "../shared/data"
                                                         : NULL;
}

/* Python with numpy, the second opinion; the system's own comes first. */
static inline const char *python(void)
{
    static const char *const candidate[] = {"/usr/bin/python3", "python3"};
    for (size_t i = 0; i < 2; i++) {
        char command[PATH];
        snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null",
                 candidate[i]);
        if (system(command) == 0) {
            return candidate[i];
        }
    }
    return NULL;
}

/* A number that looks random: the mutations of a test are always the same. */
static inline uint32_t next_number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

#endif
