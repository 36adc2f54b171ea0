/* numbers.c: ledgers as LaTeX.
 *
 *     numbers --profile P --claims claims.tsv --out FILE LEDGER.jsonl...
 *
 * Writes, for house.sty,
 *     \DefineNumber{id}{printed}{value}{lower}{upper}{unit}{kind}{what}{level}
 *     \DefineVerdict{id}{claim}{word}{condition}{rule}
 *     \DefineClaim{claim}{chapter}{where}{statement}
 * A record of another profile is refused.
 */
#include "book.h"
#include "die.h"
#include "file.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS_IN_PROSE = 4, COLUMNS = 6 };

/* Decimal places that show a half-width with two digits. */
static int places_for(double half_width)
{
    char text[32];
    snprintf(text, sizeof text, "%.1e", half_width);
    int places = 1 - atoi(strchr(text, 'e') + 1);
    return places > 0 ? places : 0;
}

static const char *end_of(const json_t *record, size_t which)
{
    const char *text = json_string_value(
        json_array_get(json_object_get(record, "interval"), which));
    return text ? text : "";
}

static void print_short(FILE *out, const json_t *record)
{
    const char *kind = uh_book_text(record, "kind");
    const char *value = uh_book_text(record, "value");
    double number = strtod(value, NULL);
    if (strcmp(kind, "exact") == 0) {
        if (strlen(value) == 64) {
            fprintf(out, "%.12s", value);
        } else {
            fputs(value, out);
        }
    } else if (strcmp(kind, "sampled") == 0) {
        double half = (strtod(end_of(record, 1), NULL) -
                       strtod(end_of(record, 0), NULL)) /
                      2;
        if (half > 0 && half >= 1e-6 && half < 1e6) {
            fprintf(out, "%.*f", places_for(half), number);
        } else {
            fprintf(out, "%.*g", DIGITS_IN_PROSE, number);
        }
    } else {
        int digits = DIGITS_IN_PROSE;
        long long stand = json_integer_value(json_object_get(record, "digits"));
        if (stand && stand < digits) {
            digits = (int)stand;
        }
        fprintf(out, "%.*g", digits, number);
    }
}

static void print_escaped(FILE *out, const char *text)
{
    for (const char *s = text; *s; s++) {
        switch (*s) {
        case '_':
        case '#':
        case '%':
        case '&':
        case '$':
            fprintf(out, "\\%c", *s);
            break;
        case '^':
            fputs("\\textasciicircum{}", out);
            break;
        case '~':
            fputs("\\textasciitilde{}", out);
            break;
        case '\\':
            fputs("\\textbackslash{}", out);
            break;
        case '<':
            fputs("\\textless{}", out);
            break;
        case '>':
            fputs("\\textgreater{}", out);
            break;
        case '{':
        case '}':
            break;
        default:
            fputc(*s, out);
        }
    }
}

static void write_record(FILE *out, const char *id, const json_t *record)
{
    const char *kind = uh_book_text(record, "kind");
    if (strcmp(kind, "verdict") == 0) {
        fprintf(out, "\\DefineVerdict{%s}{%s}{%s}{", id,
                uh_book_text(record, "claims"), uh_book_text(record, "value"));
        print_escaped(out, uh_book_text(record, "condition"));
        fputs("}{", out);
        print_escaped(out, uh_book_text(record, "rule"));
        fputs("}\n", out);
        return;
    }
    fprintf(out, "\\DefineNumber{%s}{", id);
    print_short(out, record);
    fprintf(out, "}{%s}{%s}{%s}{%s}{%s}{", uh_book_text(record, "value"),
            end_of(record, 0), end_of(record, 1), uh_book_text(record, "unit"),
            kind);
    print_escaped(out, uh_book_text(record, "what"));
    const char *level = json_string_value(json_object_get(record, "level"));
    fprintf(out, "}{%s}\n", level ? level : "");
}

/* Lines of chapters/claims.tsv: id, chapter, where, kind, statement in TeX. */
static void write_claims(FILE *out, char *text, const char *path)
{
    size_t number = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        number++;
        if (*line == '#' || number == 1) {
            continue;
        }
        char *field[COLUMNS];
        size_t count = 0;
        for (char *s = line; s && count < COLUMNS; count++) {
            field[count] = s;
            s = strchr(s, '\t');
            if (s) {
                *s++ = '\0';
            }
        }
        if (count != 5) {
            uh_die("claims: line %zu: expected 5 fields between tabs, found "
                   "%zu (%s)",
                   number, count, path);
        }
        fprintf(out, "\\DefineClaim{%s}{%s}{%s}{%s}\n", field[0], field[1],
                field[2], field[4]);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, 'p'},
        {"claims", required_argument, NULL, 'c'},
        {"out", required_argument, NULL, 'o'},
        {NULL, 0, NULL, 0}};
    const char *profile = NULL, *claims = NULL, *path = NULL;
    for (int option;
         (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        *(option == 'p' ? &profile : option == 'c' ? &claims : &path) = optarg;
    }
    if (!profile || !claims || !path) {
        uh_die_usage("options: expected --profile, --claims and --out");
    }
    struct uh_arena *arena = uh_arena_new();
    struct uh_book *book = uh_book_new(arena);
    struct uh_error error;
    for (int i = optind; i < argc; i++) {
        if (uh_book_read(book, argv[i], &error) != UH_OK) {
            uh_die_error(&error);
        }
    }
    uint8_t *text;
    size_t size;
    if (uh_file_read(claims, 0, arena, &text, &size, &error) != UH_OK) {
        uh_die_error(&error);
    }
    struct uh_file *file = uh_file_create(path);
    FILE *out = uh_file_stream(file);
    fprintf(out, "\\DefineProfile{%s}\n", profile);
    write_claims(out, (char *)text, claims);
    for (size_t i = 0; i < book->count; i++) {
        const char *found = uh_book_text(book->record[i], "profile");
        if (strcmp(found, profile) != 0) {
            uh_die("%s: expected a record of profile %s, found %s", book->id[i],
                   profile, found);
        }
        write_record(out, book->id[i], book->record[i]);
    }
    uh_file_commit(file);
    uh_book_free(book);
    uh_arena_free(&arena);
    return 0;
}
