/* nwpress.c: filters for noweb's pipeline (see noweb's -filter option).
 *
 *     nwpress holes   bodies of chunks named "exercise: X" become one call,
 *                     exercise_open("X");   (notangle and noweave)
 *     nwpress hide P  drops the chunks whose name matches the shell pattern P
 *                     (alternatives as @(P|Q)), and those that only dropped
 *                     roots use; where one was used stands a comment with its
 *                     name, from behind ": " on; of a root that would be
 *                     nothing but comments only a line says what it makes
 *                     (noweave, before -index)
 *     nwpress dress   escapes chunk names for TeX, sets C keywords and
 *                     comments apart, and says what each root chunk makes
 *                     (noweave, after -index)
 *
 * The pipeline is a sequence of lines "@keyword rest".
 */
#include <ctype.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char **lines;
static size_t line_count;

static void read_all(void)
{
    char *buffer = NULL;
    size_t size = 0, room = 0;
    for (ssize_t n; (n = getline(&buffer, &size, stdin)) >= 0;) {
        if (n > 0 && buffer[n - 1] == '\n')
            buffer[n - 1] = '\0';
        if (line_count == room)
            lines = realloc(lines, (room = 2 * room + 1024) * sizeof *lines);
        lines[line_count++] = strdup(buffer);
    }
    free(buffer);
}

/* The rest of line i after the given prefix, or NULL. */
static const char *after(size_t i, const char *prefix)
{
    size_t n = strlen(prefix);
    return i < line_count && strncmp(lines[i], prefix, n) == 0 ? lines[i] + n
                                                               : NULL;
}

/* The name of the chunk that begins at line i, a "@begin code" line. */
static const char *name_at(size_t i)
{
    for (const char *name; i < line_count && !after(i, "@end "); i++)
        if ((name = after(i, "@defn ")))
            return name;
    return "";
}

/* ---- holes and hide --------------------------------------------------- */

static void holes(void)
{
    const char *prefix = "exercise: ";
    for (size_t i = 0; i < line_count; i++) {
        puts(lines[i]);
        const char *name = after(i, "@defn ");
        if (!name || strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        puts("@nl");
        printf("@text exercise_open(\"%s\");\n@nl\n", name + strlen(prefix));
        while (!after(i + 1, "@end code"))
            i++;
    }
}

/* ---- dress ------------------------------------------------------------ */

typedef struct {
    const char *name, *root;
} chunk;
static chunk chunks[4096];
static size_t chunk_count;

static chunk *find(const char *name)
{
    for (size_t k = 0; k < chunk_count; k++)
        if (strcmp(chunks[k].name, name) == 0)
            return &chunks[k];
    chunks[chunk_count] = (chunk){name, NULL};
    return &chunks[chunk_count++];
}

static const char *hidden; /* a pattern, or NULL */

static bool is_hidden(const char *name)
{
    return hidden && fnmatch(hidden, name, FNM_EXTMATCH) == 0;
}

/* Marks what the root with that name uses, directly or not. */
static void mark_used(const char *root)
{
    find(root)->root = root;
    for (bool again = true; again;) {
        again = false;
        const char *current = "", *name;
        for (size_t i = 0; i < line_count; i++) {
            if ((name = after(i, "@defn "))) {
                current = name;
            }
            if ((name = after(i, "@use ")) && find(current)->root &&
                !find(name)->root) {
                find(name)->root = root;
                again = true;
            }
        }
    }
}

static bool is_used(const char *chunk_name)
{
    const char *name;
    for (size_t i = 0; i < line_count; i++) {
        if ((name = after(i, "@use ")) && strcmp(name, chunk_name) == 0) {
            return true;
        }
    }
    return false;
}

/* "layers" if the chunk that begins at line i is the root layers.c, of which
 * nothing but comments would be left. */
static const char *bare_root(size_t i)
{
    static char step[256];
    const char *name = name_at(i), *rest;
    size_t n = strlen(name);
    if (n < 3 || n > sizeof step || strcmp(name + n - 2, ".c") != 0 ||
        is_used(name))
        return NULL;
    for (; !after(i, "@end code "); i++) {
        if ((rest = after(i, "@use ")) && !is_hidden(rest))
            return NULL;
        if ((rest = after(i, "@text ")) && strspn(rest, " ") < strlen(rest) &&
            (strncmp(rest, "/*", 2) != 0 ||
             strcmp(rest + strlen(rest) - 2, "*/") != 0))
            return NULL;
    }
    snprintf(step, sizeof step, "%.*s", (int)n - 2, name);
    return step;
}

/* Drops what matches, and what no other root uses. */
static void hide(const char *pattern)
{
    const char *name;
    hidden = pattern;
    for (size_t i = 0; i < line_count; i++) {
        if ((name = after(i, "@defn ")) && !is_used(name) && !is_hidden(name)) {
            mark_used(name);
        }
    }
    bool skip = false;
    for (size_t i = 0; i < line_count; i++) {
        if (after(i, "@begin code ")) {
            name = name_at(i);
            skip = !find(name)->root || is_hidden(name);
            if (!skip && (name = bare_root(i))) {
                skip = true;
                printf("@begin docs %s\n@text \\rootalone{experiment}{%s}\n"
                       "@nl\n@end docs %s\n",
                       after(i, "@begin code "), name,
                       after(i, "@begin code "));
            }
        }
        if (!skip && (name = after(i, "@use ")) && is_hidden(name)) {
            const char *colon = strstr(name, ": ");
            printf("@text /* %s */\n", colon ? colon + 2 : name);
        } else if (!skip) {
            puts(lines[i]);
        }
        if (after(i, "@end code ")) {
            skip = false;
        }
    }
}

/* Every chunk learns one root that uses it, directly or not. */
static void find_roots(void)
{
    const char *current = "", *name;
    for (size_t i = 0; i < line_count; i++)
        if ((name = after(i, "@xref notused ")))
            find(name)->root = name;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < line_count; i++) {
            if ((name = after(i, "@defn ")))
                current = name;
            if (!(name = after(i, "@use ")))
                continue;
            chunk *user = find(current), *used = find(name);
            if (user->root && !used->root)
                used->root = user->root, again = true;
        }
    }
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static void print_name(const char *name)
{
    bool math = false;
    for (; *name; name++) {
        if (*name == '$')
            math = !math;
        if (!math && strchr("_#%&", *name))
            putchar('\\');
        putchar(*name);
    }
}

static bool keyword(const char *s, size_t n)
{
    static const char *words[] = {
        "auto",     "bool",    "break",    "case",   "char",     "const",
        "continue", "default", "do",       "double", "else",     "enum",
        "extern",   "float",   "for",      "goto",   "if",       "inline",
        "int",      "long",    "register", "return", "short",    "signed",
        "sizeof",   "static",  "struct",   "switch", "typedef",  "union",
        "unsigned", "void",    "volatile", "while",  "#include", "#define",
        "#if",      "#ifdef",  "#ifndef",  "#else",  "#endif"};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++)
        if (strlen(words[k]) == n && memcmp(words[k], s, n) == 0)
            return true;
    return false;
}

/* A chunk that nothing uses is C whose user was left out, unless it is one of
 * the roots that make knows. */
static bool is_c(const char *root)
{
    return !root || ends_with(root, ".c") || ends_with(root, ".h") ||
           (!ends_with(root, ".gp") && strcmp(root, "manifest") != 0 &&
            strcmp(root, "claims") != 0);
}

static bool in_comment;

/* One @text line of C: keywords and comments become TeX, the rest stays. */
static void dress_c(const char *s)
{
    const char *plain = s;
    char quote = 0;
#define FLUSH()                                                                \
    do {                                                                       \
        if (s > plain)                                                         \
            printf("@text %.*s\n", (int)(s - plain), plain);                   \
    } while (0)
    while (*s) {
        if (in_comment) {
            if (s[0] == '*' && s[1] == '/') {
                s += 2;
                FLUSH();
                plain = s;
                puts("@literal \\closecomment{}");
                in_comment = false;
            } else
                s++;
        } else if (quote) {
            if (*s == '\\' && s[1])
                s++;
            else if (*s == quote)
                quote = 0;
            s++;
        } else if (*s == '"' || *s == '\'') {
            quote = *s++;
        } else if (s[0] == '/' && s[1] == '*') {
            FLUSH();
            plain = s;
            puts("@literal \\opencomment{}");
            in_comment = true;
            s += 2;
        } else if (isalpha((unsigned char)*s) || *s == '_' || *s == '#') {
            const char *word = s++;
            while (isalnum((unsigned char)*s) || *s == '_')
                s++;
            if (keyword(word, (size_t)(s - word))) {
                const char *end = s;
                s = word;
                FLUSH();
                printf("@literal \\keyword{%s%.*s}\n", *word == '#' ? "\\" : "",
                       (int)(end - word), word);
                plain = s = end;
            }
        } else
            s++;
    }
    FLUSH();
#undef FLUSH
}

/* What a root chunk makes, said under its code. */
static void tell_root(const char *name)
{
    static const char *kinds[][2] = {{".test.c", "test"},
                                     {".c", "experiment"},
                                     {".gp", "figure"},
                                     {"manifest", "manifest"},
                                     {"claims", "claims"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (ends_with(name, kinds[k][0])) {
            printf("@literal \\rootmakes{%s}{%.*s}\n", kinds[k][1],
                   (int)(strlen(name) - strlen(kinds[k][0])), name);
            return;
        }
}

/* Lines of code of the chunk that begins at line i. */
static size_t length_at(size_t i)
{
    size_t n = 0;
    for (; i < line_count && !after(i, "@end code"); i++) {
        n += strcmp(lines[i], "@nl") == 0;
    }
    return n;
}

/* A chunk may be broken over two pages, but not within KEEP lines of its ends:
 * house.sty's penalty is loose in between. */
enum { KEEP = 4 };

static void loosen(size_t line, size_t length)
{
    if (length < 2 * KEEP + 2) {
        return;
    }
    if (line == KEEP) {
        puts("@literal \\nwloose{}");
    } else if (line == length - KEEP) {
        puts("@literal \\nwkeep{}");
    }
}

static void dress(void)
{
    find_roots();
    bool code = false, c = false;
    size_t line = 0, length = 0;
    const char *rest, *root_to_tell = NULL;
    for (size_t i = 0; i < line_count; i++) {
        if (after(i, "@begin code ")) {
            const char *root = find(name_at(i))->root;
            code = true;
            line = 0;
            length = length_at(i);
            in_comment = false;
            c = is_c(root);
        }
        if (after(i, "@end code ")) {
            code = false;
            if (root_to_tell)
                tell_root(root_to_tell);
            root_to_tell = NULL;
        }

        if ((rest = after(i, "@defn "))) {
            fputs("@defn ", stdout), print_name(rest), putchar('\n');
        } else if ((rest = after(i, "@use "))) {
            fputs("@use ", stdout), print_name(rest), putchar('\n');
        } else if ((rest = after(i, "@xref chunkbegin "))) {
            const char *name = strchr(rest, ' ') + 1;
            printf("@xref chunkbegin %.*s", (int)(name - rest), rest);
            print_name(name), putchar('\n');
        } else if ((rest = after(i, "@xref notused "))) {
            root_to_tell = rest;
        } else if (code && c && (rest = after(i, "@text "))) {
            dress_c(rest);
        } else {
            puts(lines[i]);
            if (code && strcmp(lines[i], "@nl") == 0) {
                loosen(++line, length);
            }
        }
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    read_all();
    if (strcmp(mode, "holes") == 0)
        holes();
    else if (strcmp(mode, "hide") == 0 && argc > 2)
        hide(argv[2]);
    else if (strcmp(mode, "dress") == 0)
        dress();
    else {
        fputs("usage: nwpress holes | hide PATTERN | dress\n", stderr);
        return EXIT_FAILURE;
    }
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
