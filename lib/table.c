/* table.c: figure data, tab-separated text. */
#include "table.h"
#include "die.h"
#include "file.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct uh_table {
    struct uh_file *file;
    size_t columns, at;
};

struct uh_table *uh_table_create(struct uh_arena *arena, const char *path,
                                 size_t columns,
                                 const struct uh_column column[columns])
{
    struct uh_table *table = uh_arena_alloc(arena, 1, sizeof *table);
    UH_REQUIRE(columns > 0, "%s", path);
    table->file = uh_file_create(path);
    table->columns = columns;
    FILE *out = uh_file_stream(table->file);
    for (size_t i = 0; i < columns; i++) {
        fprintf(out, "# Column %zu: %s [%s] %s\n", i + 1, column[i].name,
                column[i].unit, column[i].what);
    }
    for (size_t i = 0; i < columns; i++) {
        fprintf(out, "%s%c", column[i].name, i + 1 < columns ? '\t' : '\n');
    }
    return table;
}

static FILE *next(struct uh_table *table)
{
    return uh_file_stream(table->file);
}

static void separate(struct uh_table *table)
{
    table->at = (table->at + 1) % table->columns;
    fputc(table->at ? '\t' : '\n', next(table));
}

void uh_table_number(struct uh_table *table, double value)
{
    UH_REQUIRE(isfinite(value), "column %zu", table->at + 1);
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back;
        if (sscanf(text, "%lf", &back) == 1 && !(back < value) &&
            !(back > value)) {
            break;
        }
    }
    fputs(text, next(table));
    separate(table);
}

void uh_table_integer(struct uh_table *table, int64_t value)
{
    fprintf(next(table), "%" PRId64, value);
    separate(table);
}

void uh_table_word(struct uh_table *table, const char *word)
{
    UH_REQUIRE(!strpbrk(word, "\t\n"), "column %zu", table->at + 1);
    fputs(word, next(table));
    separate(table);
}

void uh_table_missing(struct uh_table *table)
{
    uh_table_word(table, "NA");
}

void uh_table_gap(struct uh_table *table)
{
    UH_REQUIRE(table->at == 0, "in the middle of a row");
    fputc('\n', next(table));
}

void uh_table_commit(struct uh_table *table)
{
    UH_REQUIRE(table->at == 0, "in the middle of a row");
    uh_file_commit(table->file);
}
