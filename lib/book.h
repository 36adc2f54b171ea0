/* book.h: ledgers read back.  Floor 5.
 *
 * A book holds the records of one or more JSON Lines files, by id.
 */
#ifndef UH_BOOK_H
#define UH_BOOK_H

#include "arena.h"
#include "status.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>

struct uh_book {
    size_t count;
    json_t **record; /* count objects, in the order of their ids */
    const char **id; /* count ids */
    struct uh_arena *arena;
    size_t room;
};

struct uh_book *uh_book_new(struct uh_arena *arena);
void uh_book_free(struct uh_book *book);

/* Adds the records of a file.  UH_IO if it cannot be read; UH_BAD_INPUT if a
 * line is no object with a text id, or an id is there already. */
UH_MUST_USE enum uh_status uh_book_read(struct uh_book *book, const char *path,
                                        struct uh_error *error);

/* Adds one record; the book takes over the reference.  The id must be new. */
void uh_book_add(struct uh_book *book, json_t *record);

/* The record of that id, or NULL. */
json_t *uh_book_find(const struct uh_book *book, const char *id);

/* The first index whose id is at least that text. */
size_t uh_book_from(const struct uh_book *book, const char *id);

/* The text under a key of a record, or "". */
const char *uh_book_text(const json_t *record, const char *key);

/* Writes all records, one a line, keys sorted, to an open file. */
void uh_book_write(const struct uh_book *book, FILE *out);

#endif
