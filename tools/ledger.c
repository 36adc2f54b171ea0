/* ledger.c: the records of a chapter, gathered, judged and compared.
 *
 *     ledger merge --chapter C --profile P --rules FILE --out FILE RECORDS...
 *         gathers the records of a chapter's steps and adds a verdict for every
 *         claim that the rules name
 *     ledger compare BUILT.jsonl TRACKED.jsonl
 *         whether the numbers of record stand; status 1 if one does not
 */
#include "claim.h"
#include "die.h"
#include "file.h"

#include <ctype.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void read_into(struct uh_book *book, const char *path)
{
    struct uh_error error;
    if (uh_book_read(book, path, &error) != UH_OK) {
        uh_die_error(&error);
    }
}

/* ---- merge -------------------------------------------------------------- */

static char *lower_case(struct uh_arena *arena, const char *text)
{
    char *copy = uh_arena_text(arena, text);
    for (char *s = copy; *s; s++) {
        *s = (char)tolower((unsigned char)*s);
    }
    return copy;
}

static json_t *verdict_record(struct uh_arena *arena,
                              const struct uh_verdict *v, const char *chapter,
                              const char *profile)
{
    json_t *from = json_array();
    for (size_t i = 0; i < v->from_count; i++) {
        json_array_append_new(from, json_string(v->from[i]));
    }
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s}", "id",
                  uh_arena_format(arena, "%s/claim/%s", chapter,
                                  lower_case(arena, v->claim)),
                  "kind", "verdict", "value", v->word, "profile", profile,
                  "claims", v->claim, "rule", v->rule, "from", from, "what",
                  uh_arena_format(arena, "verdict on %s", v->claim));
    if (*v->condition) {
        json_object_set_new(record, "condition", json_string(v->condition));
    }
    return record;
}

static int merge(int argc, char **argv)
{
    static const struct option options[] = {
        {"chapter", required_argument, NULL, 'c'},
        {"profile", required_argument, NULL, 'p'},
        {"rules", required_argument, NULL, 'r'},
        {"out", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0}};
    const char *chapter = NULL, *profile = NULL, *rules = NULL, *out = NULL;
    for (int option;
         (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        *(option == 'c'   ? &chapter
          : option == 'p' ? &profile
          : option == 'r' ? &rules
                          : &out) = optarg;
    }
    if (!chapter || !profile || !rules || !out) {
        uh_die_usage("merge: expected --chapter, --profile, --rules and --out");
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_book *book = uh_book_new(arena);
    for (int i = optind; i < argc; i++) {
        read_into(book, argv[i]);
    }
    for (size_t i = 0; i < book->count; i++) {
        const char *found = uh_book_text(book->record[i], "profile");
        if (strcmp(found, profile) != 0) {
            uh_die("%s: expected a record of profile %s, found %s", book->id[i],
                   profile, found);
        }
    }
    struct uh_error error;
    uint8_t *text;
    size_t size, count;
    struct uh_verdict *verdicts;
    if (uh_file_read(rules, 0, arena, &text, &size, &error) != UH_OK ||
        uh_claims_decide((const char *)text, book, arena, &verdicts, &count,
                         &error) != UH_OK) {
        uh_die_error(&error);
    }
    for (size_t i = 0; i < count; i++) {
        uh_book_add(book,
                    verdict_record(arena, &verdicts[i], chapter, profile));
    }
    struct uh_file *file = uh_file_create(out);
    uh_book_write(book, uh_file_stream(file));
    uh_file_commit(file);
    uh_book_free(book);
    uh_arena_free(&arena);
    return 0;
}

/* ---- compare ------------------------------------------------------------ */

/* Equal to so many significant digits: at most one unit in the last of them. */
static bool agree(const char *a, const char *b, int digits)
{
    double x = strtod(a, NULL), y = strtod(b, NULL);
    double larger = fmax(fabs(x), fabs(y));
    if (!(larger > 0)) {
        return true;
    }
    char text[64];
    snprintf(text, sizeof text, "%.*e", digits - 1, larger);
    double unit = pow(10, strtod(strchr(text, 'e') + 1, NULL) - digits + 1);
    return fabs(x - y) <= unit * (1 + 1e-6);
}

static bool intervals_agree(const json_t *a, const json_t *b)
{
    const json_t *x = json_object_get(a, "interval");
    const json_t *y = json_object_get(b, "interval");
    int digits = 8; /* nine are promised, the ninth may be off by one */
    for (size_t i = 0; i < 2; i++) {
        const char *s = json_string_value(json_array_get(x, i));
        const char *t = json_string_value(json_array_get(y, i));
        if (!s != !t || (s && !agree(s, t, digits))) {
            return false;
        }
    }
    return true;
}

static bool same_number(const json_t *a, const json_t *b)
{
    const char *x = uh_book_text(a, "value"), *y = uh_book_text(b, "value");
    if (strcmp(uh_book_text(a, "kind"), uh_book_text(b, "kind")) != 0) {
        return false;
    }
    long long digits = json_integer_value(json_object_get(b, "digits"));
    bool value = digits ? agree(x, y, (int)digits) : strcmp(x, y) == 0;
    return value && intervals_agree(a, b) &&
           strcmp(uh_book_text(a, "condition"), uh_book_text(b, "condition")) ==
               0;
}

/* json_equal() takes two absent values for different. */
static bool same_under(const json_t *a, const json_t *b, const char *key)
{
    const json_t *x = json_object_get(a, key), *y = json_object_get(b, key);
    return (!x && !y) || json_equal(x, y);
}

static void print_value(FILE *out, const json_t *record)
{
    fputs(uh_book_text(record, "value"), out);
    const json_t *interval = json_object_get(record, "interval");
    if (interval) {
        fprintf(out, " [%s, %s]",
                json_string_value(json_array_get(interval, 0)),
                json_string_value(json_array_get(interval, 1)));
    }
}

static int compare(int argc, char **argv)
{
    if (argc != 3) {
        uh_die_usage("compare: expected BUILT.jsonl TRACKED.jsonl");
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_book *built = uh_book_new(arena), *kept = uh_book_new(arena);
    read_into(built, argv[1]);
    read_into(kept, argv[2]);
    size_t differ = 0, stale = 0, fresh = 0, gone = 0;
    for (size_t i = 0; i < built->count; i++) {
        const json_t *now = built->record[i];
        const json_t *then = uh_book_find(kept, built->id[i]);
        if (!then) {
            printf("new     %s\n", built->id[i]);
            fresh++;
        } else if (!same_number(now, then)) {
            printf("differs %s: expected ", built->id[i]);
            print_value(stdout, then);
            printf(", found ");
            print_value(stdout, now);
            putchar('\n');
            differ++;
        } else if (!same_under(now, then, "source") ||
                   !same_under(now, then, "stages")) {
            stale++;
        }
    }
    for (size_t i = 0; i < kept->count; i++) {
        if (!uh_book_find(built, kept->id[i])) {
            printf("gone    %s\n", kept->id[i]);
            gone++;
        }
    }
    size_t shared = built->count - fresh - differ;
    printf("%s: %zu records agree", argv[2], shared);
    if (differ + fresh + gone) {
        printf(", %zu differ, %zu are new, %zu are gone", differ, fresh, gone);
    }
    if (stale) {
        printf(" (%zu with digests that make record refreshes)", stale);
    }
    putchar('\n');
    uh_book_free(built);
    uh_book_free(kept);
    uh_arena_free(&arena);
    return differ + fresh + gone ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "merge") == 0) {
        return merge(argc - 1, argv + 1);
    }
    if (strcmp(mode, "compare") == 0) {
        return compare(argc - 1, argv + 1);
    }
    puts("usage: ledger merge --chapter C --profile P --rules FILE --out FILE "
         "RECORDS...\n       ledger compare BUILT.jsonl TRACKED.jsonl");
    return strcmp(mode, "--help") == 0 ? 0 : 2;
}
