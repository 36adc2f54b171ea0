/* fuzz_main.c: runs files through a fuzz target without a fuzzing engine.
 *
 *     build/tests/fuzz_idx FILE...
 *
 * Each file goes through LLVMFuzzerTestOneInput of the fuzz_WORD.c that this is
 * linked with, which ends the program where something is wrong; the file is
 * named before, so that the one at fault is the last line. */
#include "arena.h"
#include "die.h"
#include "file.h"
#include "fuzz.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return argc < 2 ? 2 : 0;
    }
    for (int i = 1; i < argc; i++) {
        struct uh_error error;
        struct uh_arena *arena = uh_arena_new();
        uint8_t *bytes;
        size_t size;
        printf("%s\n", argv[i]);
        fflush(stdout);
        if (uh_file_read(argv[i], 0, arena, &bytes, &size, &error) != UH_OK) {
            uh_die_error(&error);
        }
        LLVMFuzzerTestOneInput(bytes, size);
        uh_arena_free(&arena);
    }
    return 0;
}
