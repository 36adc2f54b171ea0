/* book.c: ledgers read back. */
#include "book.h"
#include "die.h"
#include "file.h"

#include <stdlib.h>
#include <string.h>

struct uh_book *uh_book_new(struct uh_arena *arena)
{
    struct uh_book *book = uh_arena_alloc(arena, 1, sizeof *book);
    book->arena = arena;
    return book;
}

void uh_book_free(struct uh_book *book)
{
    for (size_t i = 0; i < book->count; i++) {
        json_decref(book->record[i]);
    }
    book->count = 0;
}

size_t uh_book_from(const struct uh_book *book, const char *id)
{
    size_t low = 0, high = book->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(book->id[middle], id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

json_t *uh_book_find(const struct uh_book *book, const char *id)
{
    size_t at = uh_book_from(book, id);
    return at < book->count && strcmp(book->id[at], id) == 0 ? book->record[at]
                                                             : NULL;
}

const char *uh_book_text(const json_t *record, const char *key)
{
    const char *text = json_string_value(json_object_get(record, key));
    return text ? text : "";
}

void uh_book_add(struct uh_book *book, json_t *record)
{
    const char *id = uh_book_text(record, "id");
    size_t at = uh_book_from(book, id);
    UH_REQUIRE(at == book->count || strcmp(book->id[at], id) != 0, "%s twice",
               id);
    if (book->count == book->room) {
        size_t room = 2 * book->room + 256;
        json_t **record_more =
            uh_arena_alloc(book->arena, room, sizeof *record_more);
        const char **id_more =
            uh_arena_alloc(book->arena, room, sizeof *id_more);
        if (book->count) {
            memcpy(record_more, book->record,
                   book->count * sizeof *record_more);
            memcpy(id_more, book->id, book->count * sizeof *id_more);
        }
        book->record = record_more;
        book->id = id_more;
        book->room = room;
    }
    memmove(book->record + at + 1, book->record + at,
            (book->count - at) * sizeof *book->record);
    memmove(book->id + at + 1, book->id + at,
            (book->count - at) * sizeof *book->id);
    book->record[at] = record;
    book->id[at] = id;
    book->count++;
}

enum uh_status uh_book_read(struct uh_book *book, const char *path,
                            struct uh_error *error)
{
    uint8_t *bytes;
    size_t size;
    enum uh_status status =
        uh_file_read(path, 0, book->arena, &bytes, &size, error);
    if (status != UH_OK) {
        return status;
    }
    size_t number = 0;
    for (char *line = (char *)bytes; *line;) {
        number++;
        size_t length = strcspn(line, "\n");
        json_error_t trouble;
        json_t *record =
            json_loadb(line, length, JSON_REJECT_DUPLICATES, &trouble);
        const char *id = uh_book_text(record, "id");
        if (!*id || uh_book_find(book, id)) {
            enum uh_status bad = uh_fail(
                error, UH_BAD_INPUT,
                "record %zu: expected an object with a new id, found %s (%s)",
                number, record ? (*id ? id : "no id") : trouble.text, path);
            json_decref(record);
            return bad;
        }
        uh_book_add(book, record);
        line += length + (line[length] == '\n');
    }
    return UH_OK;
}

void uh_book_write(const struct uh_book *book, FILE *out)
{
    for (size_t i = 0; i < book->count; i++) {
        char *line = json_dumps(book->record[i], JSON_SORT_KEYS | JSON_COMPACT);
        UH_REQUIRE(line, "%s", book->id[i]);
        fprintf(out, "%s\n", line);
        free(line);
    }
}
