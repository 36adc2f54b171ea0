/* file.c: files that appear whole or not at all. */
#include "file.h"
#include "die.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_FILES = 64 };

struct uh_file {
    FILE *stream;
    char path[PATH_MAX];
    char temporary[PATH_MAX]; /* "" where the path itself is written to */
    atomic_int state;
};

enum { FREE, TAKEN, OPEN }; /* OPEN: there is a temporary */

/* The files being written.  The one piece of state that a program shares: a
 * signal handler has no other way to learn what is unfinished. */
static struct uh_file files[OPEN_FILES];

static _Noreturn void refuse(const struct uh_file *file, const char *what)
{
    uh_die("%s: expected to write it, found: %s (%s)", what, strerror(errno),
           file->path);
}

static void set_names(struct uh_file *file, const char *path)
{
    int length = snprintf(file->temporary, sizeof file->temporary,
                          "%s.unfinished-XXXXXX", path);
    if (length < 0 || (size_t)length >= sizeof file->temporary) {
        uh_die("output: expected a shorter name, found %zu bytes (%.60s...)",
               strlen(path), path);
    }
    strcpy(file->path, path);
}

/* Where a link leads is what gets the bytes.  Returns whether that is a device
 * or a pipe, which is written to and must not be renamed away. */
static int find_target(struct uh_file *file)
{
    struct stat link, about;
    if (lstat(file->path, &link) != 0 || stat(file->path, &about) != 0) {
        return 0; /* a new name, or a link to nowhere */
    }
    if (!S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode)) {
        return 1;
    }
    char target[PATH_MAX];
    if (S_ISLNK(link.st_mode) && realpath(file->path, target)) {
        set_names(file, target);
    }
    return 0;
}

struct uh_file *uh_file_create(const char *path)
{
    struct uh_file *file = NULL;
    for (size_t i = 0; i < OPEN_FILES && !file; i++) {
        int expected = FREE;
        if (atomic_compare_exchange_strong(&files[i].state, &expected, TAKEN)) {
            file = &files[i];
        }
    }
    UH_REQUIRE(file, "more than %d files are being written", OPEN_FILES);
    set_names(file, path);
    if (find_target(file)) {
        file->temporary[0] = '\0';
        int device = open(file->path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
        file->stream = device < 0 ? NULL : fdopen(device, "wb");
        if (!file->stream) {
            refuse(file, "output");
        }
        return file;
    }
    int descriptor = mkstemp(file->temporary);
    if (descriptor < 0) {
        refuse(file, "output");
    }
    atomic_store(&file->state, OPEN);
    mode_t mask = umask(0);
    umask(mask);
    file->stream = fdopen(descriptor, "wb");
    if (fchmod(descriptor, 0666 & ~mask) != 0 || !file->stream) {
        refuse(file, "output");
    }
    return file;
}

FILE *uh_file_stream(struct uh_file *file)
{
    return file->stream;
}

void uh_file_write(struct uh_file *file, const void *bytes, size_t size)
{
    if (fwrite(bytes, 1, size, file->stream) != size) {
        refuse(file, "output");
    }
}

static void sync_folder(const char *path)
{
    char copy[PATH_MAX];
    strcpy(copy, path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
}

void uh_file_commit(struct uh_file *file)
{
    const int renamed = file->temporary[0] != '\0';
    if (ferror(file->stream) || fflush(file->stream) != 0 ||
        (renamed && fsync(fileno(file->stream)) != 0)) {
        refuse(file, "output");
    }
    int closed = fclose(file->stream);
    file->stream = NULL;
    if (closed != 0 || (renamed && rename(file->temporary, file->path) != 0)) {
        refuse(file, "output");
    }
    if (renamed) {
        sync_folder(file->path);
    }
    atomic_store(&file->state, FREE);
}

void uh_file_abandon(struct uh_file *file)
{
    if (file->temporary[0]) {
        unlink(file->temporary);
    }
    if (file->stream) {
        fclose(file->stream);
        file->stream = NULL;
    }
    atomic_store(&file->state, FREE);
}

void uh_file_abandon_all(void)
{
    for (size_t i = 0; i < OPEN_FILES; i++) {
        if (atomic_load(&files[i].state) == OPEN) {
            unlink(files[i].temporary);
        }
    }
}

static void end_by_signal(int number)
{
    uh_file_abandon_all();
    _exit(128 + number);
}

void uh_file_guard_signals(void)
{
    struct sigaction action = {.sa_handler = end_by_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
}

/* The first length bytes, or all; whoever has opened it closes it. */
static enum uh_status read_bytes(int descriptor, const char *path,
                                 size_t length, struct uh_arena *arena,
                                 uint8_t **bytes, struct uh_error *error)
{
    struct uh_mark mark = uh_arena_open(arena);
    uint8_t *start = uh_arena_alloc_raw(arena, uh_size_add(length, 1), 1);
    size_t got = 0;
    while (got < length) {
        ssize_t n = read(descriptor, start + got, length - got);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            int reason = n < 0 ? errno : 0;
            uh_arena_release(arena, mark);
            return uh_fail(error, UH_IO,
                           "file: expected %zu bytes, found %zu%s%s (%s)",
                           length, got, reason ? ", " : "",
                           reason ? strerror(reason) : "", path);
        }
        got += (size_t)n;
    }
    start[length] = 0;
    *bytes = start;
    return UH_OK;
}

/* At most `most` bytes of a file of at most limit bytes (0: no limit). */
static enum uh_status read_file(const char *path, size_t limit, size_t most,
                                struct uh_arena *arena, uint8_t **bytes,
                                size_t *got, size_t *size,
                                struct uh_error *error)
{
    struct stat about;
    /* Not to wait for a writer where the path is a pipe. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return uh_fail(error, UH_IO,
                       "file: expected to read it, found: %s (%s)",
                       strerror(errno), path);
    }
    if (fstat(descriptor, &about) != 0 || !S_ISREG(about.st_mode)) {
        close(descriptor);
        return uh_fail(error, UH_BAD_INPUT,
                       "file: expected a regular file, found another kind (%s)",
                       path);
    }
    size_t length = (size_t)about.st_size;
    if (limit && length > limit) {
        close(descriptor);
        return uh_fail(error, UH_BAD_INPUT,
                       "file: expected at most %zu bytes, found %zu (%s)",
                       limit, length, path);
    }
    size_t wanted = length < most ? length : most;
    enum uh_status status =
        read_bytes(descriptor, path, wanted, arena, bytes, error);
    close(descriptor);
    if (status == UH_OK) {
        *got = wanted;
        *size = length;
    }
    return status;
}

enum uh_status uh_file_read(const char *path, size_t limit,
                            struct uh_arena *arena, uint8_t **bytes,
                            size_t *size, struct uh_error *error)
{
    size_t got;
    return read_file(path, limit, SIZE_MAX, arena, bytes, &got, size, error);
}

enum uh_status uh_file_begin(const char *path, size_t most,
                             struct uh_arena *arena, uint8_t **bytes,
                             size_t *got, size_t *size, struct uh_error *error)
{
    return read_file(path, 0, most, arena, bytes, got, size, error);
}

/* Leaves errno as it was. */
static int is_folder(const char *path)
{
    struct stat about;
    int kept = errno;
    int is = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    errno = kept;
    return is;
}

void uh_folder_make(const char *path)
{
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) {
        uh_die("folder: expected a shorter name, found %zu bytes (%.60s...)",
               strlen(path), path);
    }
    strcpy(copy, path);
    for (char *s = copy + 1;; s++) {
        if (*s != '/' && *s != '\0') {
            continue;
        }
        char end = *s;
        *s = '\0';
        if (mkdir(copy, 0777) != 0 && !(errno == EEXIST && is_folder(copy))) {
            uh_die("folder: expected to make it, found: %s (%s)",
                   strerror(errno), copy);
        }
        *s = end;
        if (end == '\0') {
            return;
        }
    }
}

int uh_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}
