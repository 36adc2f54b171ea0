/* source.c: the source of a program as a number that no compiler changes.
 *
 *     source text FILE...    the C text without comments, blank space and line
 *                            numbers, to stdout
 *     source modules FILE    the modules of lib/ that FILE rests on, by name:
 *                            those of its #include "x.h", of theirs, and so on;
 *                            module x is lib/x.h, lib/x.c and lib/x_*.c
 *     source objects FILE    the objects of these modules, as build/lib/x.o
 *     source digest FILE     SHA-256 over the text of FILE and of its modules
 *
 * Objects and a compiler's preprocessor differ between compilers and versions;
 * this text does not.
 */
#include "arena.h"
#include "die.h"
#include "digest.h"
#include "file.h"

#include <ctype.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODULES = 512 };

static bool word(int c)
{
    return isalnum(c) || c == '_';
}

static const char *skip_comment(const char *s)
{
    if (s[1] == '/') {
        while (*s && *s != '\n') {
            s += s[0] == '\\' && s[1] == '\n' ? 2 : 1;
        }
        return s;
    }
    const char *end = strstr(s + 2, "*/");
    return end ? end + 2 : s + strlen(s);
}

static bool opens_comment(const char *s)
{
    return s[0] == '/' && (s[1] == '/' || s[1] == '*');
}

static const char *copy_quoted(const char *s, FILE *out)
{
    char quote = *s;
    do {
        if (*s == '\\' && s[1]) {
            fputc(*s++, out);
        }
        fputc(*s++, out);
    } while (*s && *s != quote && *s != '\n');
    if (*s == quote) {
        fputc(*s++, out);
    }
    return s;
}

static bool is_line_number(const char *s)
{
    const char *name = s + 1 + strspn(s + 1, " \t");
    return strncmp(name, "line", 4) == 0 && !word((unsigned char)name[4]);
}

/* A directive keeps its line and one blank for each run of them. */
static const char *copy_directive(const char *s, FILE *out)
{
    bool blank = false;
    while (*s && *s != '\n') {
        if (opens_comment(s)) {
            s = skip_comment(s);
            blank = true;
        } else if (s[0] == '\\' && s[1] == '\n') {
            s += 2;
            blank = true;
        } else if (isspace((unsigned char)*s)) {
            s++;
            blank = true;
        } else {
            if (blank) {
                fputc(' ', out);
                blank = false;
            }
            if (*s == '"' || *s == '\'') {
                s = copy_quoted(s, out);
            } else {
                fputc(*s++, out);
            }
        }
    }
    fputc('\n', out);
    return s;
}

static void copy_text(const char *s, FILE *out)
{
    bool line_start = true, blank = false;
    int last = '\n';
    while (*s) {
        if (opens_comment(s)) {
            s = skip_comment(s);
            blank = true;
        } else if (*s == '#' && line_start && is_line_number(s)) {
            s += strcspn(s, "\n");
            blank = true;
        } else if (*s == '#' && line_start) {
            if (last != '\n') {
                fputc('\n', out);
            }
            s = copy_directive(s, out);
            last = '\n';
            blank = false;
        } else if (isspace((unsigned char)*s)) {
            line_start = line_start || *s == '\n';
            blank = true;
            s++;
        } else {
            if (blank && word(last) && word((unsigned char)*s)) {
                fputc(' ', out);
            }
            line_start = blank = false;
            last = (unsigned char)*s;
            if (*s == '"' || *s == '\'') {
                s = copy_quoted(s, out);
            } else {
                fputc(*s++, out);
            }
        }
    }
    if (last != '\n') {
        fputc('\n', out);
    }
}

static const char *read_text(struct uh_arena *arena, const char *path)
{
    struct uh_error error;
    uint8_t *bytes;
    size_t size;
    if (uh_file_read(path, 0, arena, &bytes, &size, &error) != UH_OK) {
        uh_die_error(&error);
    }
    return (const char *)bytes;
}

/* ---- modules ----------------------------------------------------------- */

struct modules {
    const char *name[MODULES];
    size_t count;
    struct uh_arena *arena;
};

static void add_file(struct modules *m, const char *path);

static void add_module(struct modules *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->name[i], name) == 0) {
            return;
        }
    }
    UH_REQUIRE(m->count < MODULES, "more than %d modules", MODULES);
    m->name[m->count++] = name;
    static const char *const endings[] = {".h", ".c", "_*.c"};
    for (size_t e = 0; e < 3; e++) {
        glob_t found;
        char *pattern = uh_arena_format(m->arena, "lib/%s%s", name, endings[e]);
        int status = glob(pattern, 0, NULL, &found);
        for (size_t i = 0; status == 0 && i < found.gl_pathc; i++) {
            add_file(m, found.gl_pathv[i]);
        }
        globfree(&found);
    }
}

static void add_file(struct modules *m, const char *path)
{
    const char *text = read_text(m->arena, path);
    for (const char *s = text; (s = strstr(s, "#include \"")) != NULL;) {
        s += strlen("#include \"");
        size_t length = strcspn(s, "\"\n");
        char *name = uh_arena_alloc(m->arena, length + 1, 1);
        memcpy(name, s, length);
        char *dot = strrchr(name, '.');
        char *header = uh_arena_format(m->arena, "lib/%s", name);
        if (dot && strcmp(dot, ".h") == 0 && uh_file_exists(header)) {
            *dot = '\0';
            add_module(m, name);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void find_modules(struct modules *m, const char *path)
{
    add_file(m, path);
    qsort(m->name, m->count, sizeof *m->name, by_name);
}

/* The files of the modules, each once, in the order of their names. */
struct files {
    const char *path[4 * MODULES];
    size_t count;
};

static void list_files(const struct modules *m, struct files *files,
                       const char *const endings[], size_t kinds)
{
    for (size_t i = 0; i < m->count * kinds; i++) {
        glob_t found;
        char *pattern = uh_arena_format(m->arena, "lib/%s%s",
                                        m->name[i / kinds], endings[i % kinds]);
        int status = glob(pattern, 0, NULL, &found);
        for (size_t k = 0; status == 0 && k < found.gl_pathc; k++) {
            UH_REQUIRE(files->count < 4 * MODULES, "too many files");
            files->path[files->count++] =
                uh_arena_text(m->arena, found.gl_pathv[k]);
        }
        globfree(&found);
    }
    qsort(files->path, files->count, sizeof *files->path, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (kept == 0 || strcmp(files->path[kept - 1], files->path[i]) != 0) {
            files->path[kept++] = files->path[i];
        }
    }
    files->count = kept;
}

static void print_objects(struct modules *m)
{
    static const char *const endings[] = {".c", "_*.c"};
    struct files *files = uh_arena_alloc(m->arena, 1, sizeof *files);
    list_files(m, files, endings, 2);
    for (size_t i = 0; i < files->count; i++) {
        const char *path = files->path[i];
        printf("build/%.*s.o\n", (int)(strlen(path) - 2), path);
    }
}

static void print_digest(struct modules *m, const char *path)
{
    static const char *const endings[] = {".h", ".c", "_*.c"};
    struct files *files = uh_arena_alloc(m->arena, 1, sizeof *files);
    list_files(m, files, endings, 3);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    copy_text(read_text(m->arena, path), out);
    for (size_t i = 0; i < files->count; i++) {
        fprintf(out, "%s\n", files->path[i]);
        copy_text(read_text(m->arena, files->path[i]), out);
    }
    fclose(out);
    char hex[65];
    uh_digest_of(text, size, hex);
    printf("%s\n", hex);
    free(text);
}

int main(int argc, char **argv)
{
    struct uh_arena *arena = uh_arena_new();
    const char *mode = argc > 1 ? argv[1] : "--help";
    if (strcmp(mode, "--help") == 0) {
        puts("usage: source text FILE... | modules FILE | objects FILE | "
             "digest FILE");
        return argc > 1 ? 0 : 2;
    }
    if (argc < 3) {
        uh_die_usage("files: expected at least one, found none");
    }
    if (strcmp(mode, "text") == 0) {
        for (int i = 2; i < argc; i++) {
            copy_text(read_text(arena, argv[i]), stdout);
        }
    } else {
        struct modules m = {.arena = arena};
        find_modules(&m, argv[2]);
        if (strcmp(mode, "modules") == 0) {
            for (size_t i = 0; i < m.count; i++) {
                puts(m.name[i]);
            }
        } else if (strcmp(mode, "objects") == 0) {
            print_objects(&m);
        } else if (strcmp(mode, "digest") == 0) {
            print_digest(&m, argv[2]);
        } else {
            uh_die_usage("mode: expected text, modules, objects or digest, "
                         "found %s",
                         mode);
        }
    }
    uh_arena_free(&arena);
    if (fflush(stdout) != 0) {
        uh_die("output: expected to write it, found an error (stdout)");
    }
    return 0;
}
