/* table.h: figure data, tab-separated text.  Floor 5.
 *
 * One comment line per column ("# Column 2: gap [1, f64] worst over seeds"),
 * one line of column names, then the rows.  gnuplot reads a column by name:
 * using 'width':'gap'.  Numbers read back to the same double.
 */
#ifndef UH_TABLE_H
#define UH_TABLE_H

#include "arena.h"

#include <stddef.h>
#include <stdint.h>

struct uh_column {
    const char *name; /* one word */
    const char *unit; /* "1" for a pure number */
    const char *what; /* one line */
};

struct uh_table;

/* The program ends with one line if the file cannot be written. */
struct uh_table *uh_table_create(struct uh_arena *arena, const char *path,
                                 size_t columns,
                                 const struct uh_column column[columns]);

/* The next entry of the row; a row ends by itself after the last column. */
void uh_table_number(struct uh_table *table, double value); /* finite */
void uh_table_integer(struct uh_table *table, int64_t value);
void uh_table_word(struct uh_table *table, const char *word); /* no tab */
void uh_table_missing(struct uh_table *table);                /* NA */

/* An empty line between blocks, as gnuplot wants it. */
void uh_table_gap(struct uh_table *table);

/* Closes it under its final name. */
void uh_table_commit(struct uh_table *table);

#endif
