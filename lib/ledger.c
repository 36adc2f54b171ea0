/* ledger.c: the numbers of a step, one record each. */
#include "ledger.h"
#include "die.h"
#include "file.h"

#include <gmp.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    const char *id;
    json_t *json;
};

struct uh_ledger {
    struct uh_arena *arena;
    const char *chapter, *profile, *source;
    struct entry *entries;
    size_t count, room;
    json_t *stages;
    struct uh_group group;
};

struct uh_ledger *uh_ledger_new(struct uh_arena *arena, const char *chapter,
                                const char *profile, const char *source)
{
    struct uh_ledger *ledger = uh_arena_alloc(arena, 1, sizeof *ledger);
    ledger->arena = arena;
    ledger->chapter = uh_arena_text(arena, chapter);
    ledger->profile = uh_arena_text(arena, profile);
    ledger->source = source ? uh_arena_text(arena, source) : NULL;
    ledger->stages = json_array();
    return ledger;
}

void uh_ledger_stage(struct uh_ledger *ledger, const char *stage,
                     const char *digest)
{
    /* Records already made keep the stages that they rested on. */
    json_t *longer = json_array();
    json_array_extend(longer, ledger->stages);
    json_array_append_new(longer, json_sprintf("%s=%s", stage, digest));
    json_decref(ledger->stages);
    ledger->stages = longer;
}

static bool good_id(const char *id, const char *chapter)
{
    size_t length = strlen(chapter);
    if (strncmp(id, chapter, length) != 0 || id[length] != '/') {
        return false;
    }
    for (const char *s = id; *s; s++) {
        bool word = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') ||
                    *s == '-' || *s == '.';
        bool slash = *s == '/' && s[1] && s[1] != '/';
        if (!word && !slash) {
            return false;
        }
    }
    return true;
}

/* An integer, a rational in lowest terms with a denominator above 1, or 64
 * hexadecimal digits. */
static bool canonical(const char *text)
{
    if (strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64) {
        return true;
    }
    mpq_t q;
    mpq_init(q);
    bool good = mpq_set_str(q, text, 10) == 0 && mpz_sgn(mpq_denref(q)) > 0;
    if (good) {
        mpq_canonicalize(q);
        char *again = mpq_get_str(NULL, 10, q);
        good = strcmp(again, text) == 0;
        free(again);
    }
    mpq_clear(q);
    return good;
}

static json_t *number(double value, int digits)
{
    char text[64];
    snprintf(text, sizeof text, "%.*g", digits, value);
    return json_string(text);
}

static void put_text(json_t *json, const char *key, const char *text)
{
    if (text && *text) {
        json_object_set_new(json, key, json_string(text));
    }
}

static void put_value(json_t *json, const struct uh_record *r)
{
    if (r->kind == UH_EXACT) {
        if (r->text) {
            UH_REQUIRE(canonical(r->text), "%s is %s", r->id, r->text);
            json_object_set_new(json, "value", json_string(r->text));
        } else {
            json_object_set_new(json, "value",
                                json_sprintf("%lld", (long long)r->integer));
        }
        return;
    }
    UH_REQUIRE(isfinite(r->value), "%s", r->id);
    int digits = r->single ? 9 : 17;
    if (r->digits) {
        UH_REQUIRE(r->digits >= 1 && r->digits <= 17, "%s", r->id);
        digits = r->digits;
        json_object_set_new(json, "digits", json_integer(r->digits));
    }
    /* -0 and 0 are one number to every reader of the page. */
    double value = r->value == 0 ? 0 : r->value;
    json_object_set_new(json, "value", number(value, digits));
    if (r->kind == UH_BITS) {
        json_object_set_new(json, "hex", json_sprintf("%a", value));
    }
}

static void put_interval(json_t *json, const struct uh_record *r)
{
    UH_REQUIRE(isfinite(r->lower) && isfinite(r->upper) &&
                   r->lower <= r->upper && r->n > 0 && r->method &&
                   r->level > 0 && r->level < 1,
               "the interval of %s", r->id);
    json_t *ends = json_array();
    json_array_append_new(ends, number(r->lower, 9));
    json_array_append_new(ends, number(r->upper, 9));
    json_object_set_new(json, "interval", ends);
    json_object_set_new(json, "level", number(r->level, 9));
    json_object_set_new(json, "n", json_integer(r->n));
    put_text(json, "method", r->method);
}

static const char *const kinds[] = {"exact", "bits", "rounded", "sampled"};

void uh_ledger_record(struct uh_ledger *ledger, const struct uh_record *r)
{
    UH_REQUIRE(r->id && good_id(r->id, ledger->chapter), "id %s of %s", r->id,
               ledger->chapter);
    UH_REQUIRE(r->what && *r->what, "%s needs words", r->id);
    UH_REQUIRE(r->kind != UH_ROUNDED || r->digits, "%s needs digits", r->id);
    for (size_t i = 0; i < ledger->count; i++) {
        UH_REQUIRE(strcmp(ledger->entries[i].id, r->id) != 0, "%s twice",
                   r->id);
    }
    json_t *json = json_object();
    json_object_set_new(json, "id", json_string(r->id));
    json_object_set_new(json, "kind", json_string(kinds[r->kind]));
    json_object_set_new(json, "profile", json_string(ledger->profile));
    put_value(json, r);
    if (r->kind == UH_SAMPLED) {
        put_interval(json, r);
    }
    put_text(json, "what", r->what);
    put_text(json, "unit", r->unit);
    put_text(json, "claims", r->claims);
    put_text(json, "data", r->data);
    put_text(json, "source", ledger->source);
    if (r->oracle) {
        UH_REQUIRE(isfinite(r->residual), "the residual of %s", r->id);
        put_text(json, "oracle", r->oracle);
        json_object_set_new(json, "residual", number(r->residual, 2));
    }
    if (json_array_size(ledger->stages) > 0) {
        json_object_set(json, "stages", ledger->stages);
    }
    if (ledger->count == ledger->room) {
        ledger->room = 2 * ledger->room + 256;
        struct entry *more =
            uh_arena_alloc(ledger->arena, ledger->room, sizeof *more);
        if (ledger->count) {
            memcpy(more, ledger->entries, ledger->count * sizeof *more);
        }
        ledger->entries = more;
    }
    ledger->entries[ledger->count++] =
        (struct entry){uh_arena_text(ledger->arena, r->id), json};
}

/* -- records of one line ---------------------------------------------------- */

static const char *copy(struct uh_arena *arena, const char *text)
{
    return text ? uh_arena_text(arena, text) : NULL;
}

void uh_ledger_group(struct uh_ledger *ledger, const struct uh_group *group)
{
    struct uh_arena *arena = ledger->arena;
    struct uh_group all = group ? *group : (struct uh_group){.path = NULL};
    all.path = copy(arena, all.path);
    all.unit = copy(arena, all.unit);
    all.claims = copy(arena, all.claims);
    all.data = copy(arena, all.data);
    all.oracle = copy(arena, all.oracle);
    ledger->group = all;
}

const char *uh_ledger_id(struct uh_ledger *ledger, const char *id, va_list list)
{
    const char *path = ledger->group.path;
    char part[192];
    int length = vsnprintf(part, sizeof part, id, list);
    UH_REQUIRE(length > 0 && (size_t)length < sizeof part, "id %s", id);
    return uh_arena_format(ledger->arena, "%s/%s%s%s", ledger->chapter,
                           path ? path : "", path ? "/" : "", part);
}

void uh_ledger_put(struct uh_ledger *ledger, struct uh_record record,
                   const char *what, const char *id, va_list list)
{
    const struct uh_group *group = &ledger->group;
    record.id = uh_ledger_id(ledger, id, list);
    record.what = what;
    record.unit = group->unit;
    record.claims = group->claims;
    record.data = group->data;
    record.oracle = group->oracle;
    record.residual = group->residual;
    if (record.kind == UH_SAMPLED) {
        record.digits = group->digits;
    }
    uh_ledger_record(ledger, &record);
}

void uh_ledger_count(struct uh_ledger *ledger, size_t value, const char *what,
                     const char *id, ...)
{
    UH_REQUIRE(value <= INT64_MAX, "%zu", value);
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, (struct uh_record){.integer = (int64_t)value}, what,
                  id, list);
    va_end(list);
}

void uh_ledger_integer(struct uh_ledger *ledger, int64_t value,
                       const char *what, const char *id, ...)
{
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, (struct uh_record){.integer = value}, what, id, list);
    va_end(list);
}

void uh_ledger_text(struct uh_ledger *ledger, const char *value,
                    const char *what, const char *id, ...)
{
    UH_REQUIRE(value, "%s", id);
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, (struct uh_record){.text = value}, what, id, list);
    va_end(list);
}

void uh_ledger_bits(struct uh_ledger *ledger, double value, const char *what,
                    const char *id, ...)
{
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, (struct uh_record){.kind = UH_BITS, .value = value},
                  what, id, list);
    va_end(list);
}

void uh_ledger_rounded(struct uh_ledger *ledger, double value, int digits,
                       const char *what, const char *id, ...)
{
    struct uh_record r = {.kind = UH_ROUNDED, .value = value, .digits = digits};
    va_list list;
    va_start(list, id);
    uh_ledger_put(ledger, r, what, id, list);
    va_end(list);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->id, ((const struct entry *)b)->id);
}

void uh_ledger_write(const struct uh_ledger *ledger, const char *path)
{
    struct uh_file *file = uh_file_create(path);
    qsort(ledger->entries, ledger->count, sizeof *ledger->entries, by_id);
    for (size_t i = 0; i < ledger->count; i++) {
        char *line =
            json_dumps(ledger->entries[i].json, JSON_SORT_KEYS | JSON_COMPACT);
        UH_REQUIRE(line, "%s is not UTF-8", ledger->entries[i].id);
        fprintf(uh_file_stream(file), "%s\n", line);
        free(line);
    }
    uh_file_commit(file);
}

void uh_ledger_free(struct uh_ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++) {
        json_decref(ledger->entries[i].json);
    }
    json_decref(ledger->stages);
    ledger->count = 0;
}
