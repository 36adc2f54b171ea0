/* fuzz_main.c: runs files through a fuzz target without a fuzzing engine.
 *
 *     build/tests/fuzz_idx FILE...
 *     build/tests/fuzz_idx --mutate SECONDS INPUT FILE...
 *
 * Each file goes through LLVMFuzzerTestOneInput of the fuzz_WORD.c that this is
 * linked with, which ends the program where something is wrong; the file is
 * named before, so that the one at fault is the last line.
 *
 * --mutate makes changed copies of the files for so many seconds, the same ones
 * in the same order each time, for machines without clang's engine; it looks at
 * no coverage.  INPUT holds the bytes that are being tried, and is gone when
 * nothing was wrong.  Ten seconds without an end
 * are wrong, too.  The last line is the number of inputs. */
#include "arena.h"
#include "die.h"
#include "file.h"
#include "fuzz.h"
#include "stream.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_BYTES = 4096, MOST_CHANGES = 6, SECONDS_PER_INPUT = 10 };

struct bytes {
    uint8_t *at;
    size_t size;
};

/* --- changes --------------------------------------------------------------- */

static size_t below(struct uh_stream *s, size_t n)
{
    return (size_t)uh_stream_below(s, n);
}

/* Numbers where something ends, as 1, 2, 4 or 8 bytes of either order. */
static void put_number(struct uh_stream *s, struct bytes *x)
{
    static const uint64_t numbers[] = {
        0,          1,          2,          4,        10,        127,
        128,        255,        256,        0x7fff,   0x8000,    0xffff,
        0x10000,    100000,     1 << 28,    1u << 30, 1u << 31,  0x7fffffff,
        0xffffffff, 1ull << 32, 1ull << 62, ~0ull,    ~0ull - 7, ~0ull >> 1};
    const size_t width = (size_t)1 << below(s, 4), swapped = below(s, 2);
    uint64_t number = numbers[below(s, sizeof numbers / sizeof *numbers)];
    if (x->size < width) {
        return;
    }
    uint8_t *at = x->at + below(s, x->size - width + 1);
    if (below(s, 3) == 0) { /* what stands there, and a little */
        number = 0;
        for (size_t i = 0; i < width; i++) {
            number = number << 8 | at[swapped ? i : width - 1 - i];
        }
        number += below(s, 17) - 8;
    }
    for (size_t i = 0; i < width; i++) {
        at[swapped ? width - 1 - i : i] = (uint8_t)(number >> 8 * i);
    }
}

/* A word of digits becomes another. */
static void put_digits(struct uh_stream *s, struct bytes *x)
{
    static const char *const words[] = {
        "0", "1", "-1", "00", "9", "65536", "4294967296", "1e9", ".5", "nan"};
    size_t at = x->size ? below(s, x->size) : 0, end;
    while (at < x->size && (x->at[at] < '0' || x->at[at] > '9')) {
        at++;
    }
    for (end = at; end < x->size && x->at[end] >= '0' && x->at[end] <= '9';) {
        end++;
    }
    const char *word = words[below(s, sizeof words / sizeof *words)];
    const size_t length = strlen(word);
    if (end == at || x->size - (end - at) + length > MOST_BYTES) {
        return;
    }
    memmove(x->at + at + length, x->at + end, x->size - end);
    memcpy(x->at + at, word, length);
    x->size = x->size - (end - at) + length;
}

/* A part of y, or of x itself, comes in. */
static void put_part(struct uh_stream *s, struct bytes *x,
                     const struct bytes *y)
{
    const size_t from = y->size ? below(s, y->size) : 0;
    size_t length = y->size ? below(s, y->size - from) + 1 : 0;
    const size_t to = below(s, x->size + 1);
    uint8_t part[MOST_BYTES];
    length = length < MOST_BYTES - x->size ? length : MOST_BYTES - x->size;
    memcpy(part, y->at + from, length);
    memmove(x->at + to + length, x->at + to, x->size - to);
    memcpy(x->at + to, part, length);
    x->size += length;
}

static void take_part(struct uh_stream *s, struct bytes *x)
{
    const size_t from = below(s, x->size);
    const size_t length = below(s, x->size - from) + 1;
    memmove(x->at + from, x->at + from + length, x->size - from - length);
    x->size -= length;
}

static void change(struct uh_stream *s, struct bytes *x, const struct bytes *y)
{
    const size_t kind = x->size ? below(s, 9) : 7;
    switch (kind) {
    case 0:
    case 1:
        x->at[below(s, x->size)] ^= (uint8_t)(1u << below(s, 8));
        break;
    case 2:
        x->at[below(s, x->size)] = (uint8_t)below(s, 256);
        break;
    case 3:
    case 4:
        put_number(s, x);
        break;
    case 5:
        put_digits(s, x);
        break;
    case 6:
        take_part(s, x);
        break;
    case 7:
        put_part(s, x, y);
        break;
    default:
        x->size = below(s, x->size + 1);
    }
}

/* --- the two ways ----------------------------------------------------------- */

static struct bytes read_bytes(const char *path, struct uh_arena *arena)
{
    struct uh_error error;
    struct bytes x;
    if (uh_file_read(path, 0, arena, &x.at, &x.size, &error) != UH_OK) {
        uh_die_error(&error);
    }
    return x;
}

static void replay(int files, char **path)
{
    for (int i = 0; i < files; i++) {
        struct uh_arena *arena = uh_arena_new();
        printf("%s\n", path[i]);
        fflush(stdout);
        const struct bytes x = read_bytes(path[i], arena);
        LLVMFuzzerTestOneInput(x.at, x.size);
        uh_arena_free(&arena);
    }
}

/* What is tried next is in the file before. */
static void keep(int file, const struct bytes *x)
{
    if (ftruncate(file, 0) != 0 ||
        pwrite(file, x->at, x->size, 0) != (ssize_t)x->size) {
        uh_die("input: expected it to be written, found no room");
    }
}

static void mutate(int seconds, const char *path, int files, char **seed)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_stream s = uh_stream_open("fuzz/mutate");
    struct bytes *corpus = uh_arena_alloc(arena, (size_t)files, sizeof *corpus);
    struct bytes x = {uh_arena_alloc(arena, MOST_BYTES, 1), 0};
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    const time_t end = time(NULL) + seconds;
    size_t tried = 0;
    for (int i = 0; i < files; i++) {
        corpus[i] = read_bytes(seed[i], arena);
    }
    for (; time(NULL) < end; tried++) {
        const struct bytes *base = &corpus[below(&s, (size_t)files)];
        x.size = base->size < MOST_BYTES ? base->size : MOST_BYTES;
        memcpy(x.at, base->at, x.size);
        for (size_t n = 1 + below(&s, MOST_CHANGES); n > 0; n--) {
            change(&s, &x, &corpus[below(&s, (size_t)files)]);
        }
        keep(file, &x);
        alarm(SECONDS_PER_INPUT);
        LLVMFuzzerTestOneInput(x.at, x.size);
    }
    alarm(0);
    close(file);
    unlink(path);
    uh_arena_free(&arena);
    printf("%zu\n", tried);
}

int main(int argc, char **argv)
{
    const int changed = argc > 4 && strcmp(argv[1], "--mutate") == 0;
    if (argc < 2 || (argv[1][0] == '-' && !changed)) {
        fprintf(stderr,
                "usage: %s FILE...\n       %s --mutate SECONDS INPUT FILE...\n",
                argv[0], argv[0]);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    if (changed) {
        mutate(atoi(argv[2]), argv[3], argc - 4, argv + 4);
    } else {
        replay(argc - 1, argv + 1);
    }
    return 0;
}
