/* claim.c: verdicts by rule.
 *
 * A recursive-descent parser that evaluates as it reads.  A value is a list of
 * rationals (one, or one for each record of P/star) or a text.
 */
#include "claim.h"
#include "die.h"

#include <ctype.h>
#include <gmp.h>
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value {
    size_t count;
    mpq_t *number;    /* count of them, or */
    const char *text; /* a digest */
};

struct parser {
    const char *start, *at;
    const char *claim;
    const char *chapter; /* of the ids, with its slash; "" */
    const struct uh_book *book;
    struct uh_arena *arena;
    struct uh_error *error;
    const char **from;
    size_t from_count, from_room;
    bool absent;
    jmp_buf out;
    mpq_t *all; /* every rational made, to be cleared at the end */
    size_t all_count, all_room;
};

enum { RATIONALS = 1 << 16, SOURCES = 1 << 14 };

static _Noreturn void bad(struct parser *p, const char *what)
{
    uh_fail(p->error, UH_BAD_INPUT, "rule of %s: %s, found \"%.40s\" (%.120s)",
            p->claim, what, p->at, p->start);
    longjmp(p->out, 1);
}

static mpq_t *fresh(struct parser *p, size_t count)
{
    if (p->all_count + count > p->all_room) {
        bad(p, "expected fewer numbers");
    }
    mpq_t *first = p->all + p->all_count;
    for (size_t i = 0; i < count; i++) {
        mpq_init(first[i]);
    }
    p->all_count += count;
    return first;
}

static void skip(struct parser *p)
{
    while (isspace((unsigned char)*p->at)) {
        p->at++;
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '/' ||
           c == '*' || c == '_';
}

/* Eats the given sign or word; a word must not go on. */
static bool eat(struct parser *p, const char *token)
{
    skip(p);
    size_t length = strlen(token);
    if (strncmp(p->at, token, length) != 0 ||
        (isalpha((unsigned char)token[length - 1]) && is_word(p->at[length]))) {
        return false;
    }
    p->at += length;
    return true;
}

/* A decimal, exactly: 1.5e-3 is 3/2000. */
static bool decimal(const char *text, size_t length, mpq_t out)
{
    char digits[512];
    size_t n = 0;
    long exponent = 0;
    bool point = false, any = false;
    size_t i = 0;
    if (i < length && text[i] == '-') {
        digits[n++] = '-';
        i++;
    }
    for (; i < length &&
           (isdigit((unsigned char)text[i]) || (text[i] == '.' && !point));
         i++) {
        if (text[i] == '.') {
            point = true;
        } else if (n < sizeof digits - 1) {
            digits[n++] = text[i];
            exponent -= point;
            any = true;
        }
    }
    digits[n] = '\0';
    if (i < length && (text[i] == 'e' || text[i] == 'E')) {
        char *end;
        long more = strtol(text + i + 1, &end, 10);
        if (end == text + i + 1 || more < -400 || more > 400) {
            return false;
        }
        exponent += more;
        i = (size_t)(end - text);
    }
    if (!any || i != length || mpz_set_str(mpq_numref(out), digits, 10) != 0) {
        return false;
    }
    mpz_set_ui(mpq_denref(out), 1);
    mpz_t power;
    mpz_init(power);
    mpz_ui_pow_ui(power, 10, (unsigned long)labs(exponent));
    if (exponent >= 0) {
        mpz_mul(mpq_numref(out), mpq_numref(out), power);
    } else {
        mpz_set(mpq_denref(out), power);
    }
    mpz_clear(power);
    mpq_canonicalize(out);
    return true;
}

/* One unit in the last of so many significant digits of a decimal. */
static void last_place(const char *text, int digits, mpq_t unit)
{
    double value = strtod(text, NULL);
    char rounded[64];
    snprintf(rounded, sizeof rounded, "%.*e", digits - 1, value);
    long exponent = strtol(strchr(rounded, 'e') + 1, NULL, 10) - digits + 1;
    char decimal_text[32];
    int length = snprintf(decimal_text, sizeof decimal_text, "1e%ld", exponent);
    decimal(decimal_text, (size_t)length, unit);
}

enum end { VALUE, LOWER, UPPER };

static void read_number(struct parser *p, const json_t *record, enum end end,
                        mpq_t out)
{
    const char *kind = uh_book_text(record, "kind");
    const char *text = uh_book_text(record, "value");
    const json_t *interval = json_object_get(record, "interval");
    if (interval && end != VALUE) {
        text = json_string_value(json_array_get(interval, end == UPPER));
        if (!text || !decimal(text, strlen(text), out)) {
            bad(p, "expected an interval of two decimals");
        }
        return;
    }
    if (strcmp(kind, "rounded") == 0) {
        if (end == VALUE) {
            bad(p, "expected lower() or upper() around a rounded record");
        }
        mpq_t unit;
        mpq_init(unit);
        int digits = (int)json_integer_value(json_object_get(record, "digits"));
        last_place(text, digits, unit);
        bool good = decimal(text, strlen(text), out);
        if (end == LOWER) {
            mpq_sub(out, out, unit);
        } else {
            mpq_add(out, out, unit);
        }
        mpq_clear(unit);
        if (!good) {
            bad(p, "expected a decimal");
        }
        return;
    }
    if (strcmp(kind, "exact") == 0) {
        if (mpq_set_str(out, text, 10) != 0) {
            bad(p, "expected a number in the record");
        }
        return;
    }
    /* bits and sampled: the float that the digits name, exactly */
    double value = strtod(text, NULL);
    if (!isfinite(value)) {
        bad(p, "expected a finite number");
    }
    mpq_set_d(out, value);
}

static bool is_digest(const json_t *record)
{
    return strcmp(uh_book_text(record, "kind"), "exact") == 0 &&
           strlen(uh_book_text(record, "value")) == 64;
}

static void remember(struct parser *p, const char *id)
{
    for (size_t i = 0; i < p->from_count; i++) {
        if (strcmp(p->from[i], id) == 0) {
            return;
        }
    }
    if (p->from_count == p->from_room) {
        bad(p, "expected fewer ids");
    }
    p->from[p->from_count++] = uh_arena_text(p->arena, id);
}

/* An absent record: remembered, and 0 so that reading can go on. */
static struct value nothing(struct parser *p)
{
    p->absent = true;
    return (struct value){1, fresh(p, 1), NULL};
}

static struct value read_id(struct parser *p, const char *word, size_t length,
                            enum end end)
{
    const char *id =
        uh_arena_format(p->arena, "%s%.*s", p->chapter, (int)length, word);
    if (word[length - 1] == '*') {
        size_t before = strlen(id) - 1, first, last;
        id = uh_arena_format(p->arena, "%.*s", (int)before, id);
        first = last = uh_book_from(p->book, id);
        while (last < p->book->count &&
               strncmp(p->book->id[last], id, before) == 0) {
            remember(p, p->book->id[last]);
            last++;
        }
        if (first == last) {
            remember(p, uh_arena_format(p->arena, "%s*", id));
            return nothing(p);
        }
        struct value v = {last - first, fresh(p, last - first), NULL};
        for (size_t i = 0; i < v.count; i++) {
            read_number(p, p->book->record[first + i], end, v.number[i]);
        }
        return v;
    }
    remember(p, id);
    json_t *record = uh_book_find(p->book, id);
    if (!record) {
        return nothing(p);
    }
    struct value v = {1, fresh(p, 1), NULL};
    if (is_digest(record)) {
        v.text = uh_book_text(record, "value");
    } else {
        read_number(p, record, end, v.number[0]);
    }
    return v;
}

static struct value either(struct parser *p);

/* What follows an opening bracket. */
static struct value several(struct parser *p)
{
    struct value v = either(p);
    while (eat(p, ",")) {
        struct value w = either(p), joined = {v.count + w.count, NULL, NULL};
        if (v.text || w.text) {
            bad(p, "expected numbers");
        }
        joined.number = fresh(p, joined.count);
        for (size_t i = 0; i < joined.count; i++) {
            mpq_set(joined.number[i],
                    i < v.count ? v.number[i] : w.number[i - v.count]);
        }
        v = joined;
    }
    if (!eat(p, ")")) {
        bad(p, "expected )");
    }
    return v;
}

static struct value primary(struct parser *p)
{
    skip(p);
    if (eat(p, "(")) {
        return several(p);
    }
    enum end end = VALUE;
    bool closed = false;
    if (eat(p, "lower(")) {
        end = LOWER;
    } else if (eat(p, "upper(")) {
        end = UPPER;
    } else {
        closed = !eat(p, "all(");
    }
    skip(p);
    const char *word = p->at;
    if (isdigit((unsigned char)*p->at) && closed) {
        while (isalnum((unsigned char)*p->at) || *p->at == '.' ||
               ((*p->at == '-' || *p->at == '+') && p->at[-1] == 'e')) {
            p->at++;
        }
        struct value v = {1, fresh(p, 1), NULL};
        if (!decimal(word, (size_t)(p->at - word), v.number[0])) {
            p->at = word;
            bad(p, "expected a number");
        }
        return v;
    }
    if (!isalpha((unsigned char)*p->at)) {
        bad(p, "expected an id or a number");
    }
    while (is_word(*p->at)) {
        p->at++;
    }
    struct value v = read_id(p, word, (size_t)(p->at - word), end);
    if (!closed && !eat(p, ")")) {
        bad(p, "expected )");
    }
    return v;
}

static struct value negative(struct parser *p)
{
    if (!eat(p, "-")) {
        return primary(p);
    }
    struct value v = negative(p);
    for (size_t i = 0; i < v.count; i++) {
        mpq_neg(v.number[i], v.number[i]);
    }
    return v;
}

/* The index of the i-th number of a value that may be one for all. */
static size_t nth(struct value v, size_t i)
{
    return v.count == 1 ? 0 : i;
}

static size_t joint(struct parser *p, struct value a, struct value b)
{
    if (a.count != b.count && a.count != 1 && b.count != 1) {
        bad(p, "expected as many records on both sides");
    }
    return a.count > b.count ? a.count : b.count;
}

static struct value combine(struct parser *p, struct value a, char sign,
                            struct value b)
{
    if (a.text || b.text) {
        bad(p, "expected numbers");
    }
    struct value v = {joint(p, a, b), NULL, NULL};
    v.number = fresh(p, v.count);
    for (size_t i = 0; i < v.count; i++) {
        mpq_t *x = &a.number[nth(a, i)], *y = &b.number[nth(b, i)];
        switch (sign) {
        case '+':
            mpq_add(v.number[i], *x, *y);
            break;
        case '-':
            mpq_sub(v.number[i], *x, *y);
            break;
        case '*':
            mpq_mul(v.number[i], *x, *y);
            break;
        default:
            if (mpq_sgn(*y) == 0) {
                if (!p->absent) {
                    bad(p, "expected no division by zero");
                }
                break;
            }
            mpq_div(v.number[i], *x, *y);
        }
    }
    return v;
}

static struct value product(struct parser *p)
{
    struct value v = negative(p);
    for (;;) {
        if (eat(p, "*")) {
            v = combine(p, v, '*', negative(p));
        } else if (eat(p, "/")) {
            v = combine(p, v, '/', negative(p));
        } else {
            return v;
        }
    }
}

static struct value sum(struct parser *p)
{
    struct value v = product(p);
    for (;;) {
        if (eat(p, "+")) {
            v = combine(p, v, '+', product(p));
        } else if (eat(p, "-")) {
            v = combine(p, v, '-', product(p));
        } else {
            return v;
        }
    }
}

static struct value truth(struct parser *p, bool yes)
{
    struct value v = {1, fresh(p, 1), NULL};
    mpq_set_si(v.number[0], yes, 1);
    return v;
}

static bool holds(int order, int sign)
{
    static const bool table[6][3] = {
        {false, true, false}, {true, false, true}, {true, true, false},
        {true, false, false}, {false, true, true}, {false, false, true}};
    return table[sign][order + 1];
}

static struct value comparison(struct parser *p)
{
    static const char *const signs[] = {"==", "!=", "<=", "<", ">=", ">"};
    struct value a = sum(p);
    for (int s = 0; s < 6; s++) {
        if (!eat(p, signs[s])) {
            continue;
        }
        struct value b = sum(p);
        if (a.text || b.text) {
            if (s > 1 || ((!a.text || !b.text) && !p->absent)) {
                bad(p, "expected == or != of two digests");
            }
            bool same = a.text && b.text && strcmp(a.text, b.text) == 0;
            return truth(p, same == (s == 0));
        }
        bool every = true;
        for (size_t i = 0; i < joint(p, a, b); i++) {
            int c = mpq_cmp(a.number[nth(a, i)], b.number[nth(b, i)]);
            every = every && holds((c > 0) - (c < 0), s);
        }
        return truth(p, every);
    }
    return a;
}

static bool is_true(struct parser *p, struct value v)
{
    if (v.text) {
        bad(p, "expected a number or a comparison");
    }
    for (size_t i = 0; i < v.count; i++) {
        if (mpq_sgn(v.number[i]) == 0) {
            return false;
        }
    }
    return true;
}

static struct value negation(struct parser *p)
{
    if (eat(p, "not")) {
        struct value v = negation(p);
        return truth(p, !is_true(p, v));
    }
    return comparison(p);
}

static struct value both(struct parser *p)
{
    struct value v = negation(p);
    while (eat(p, "and")) {
        struct value w = negation(p);
        bool yes = is_true(p, v);
        v = truth(p, is_true(p, w) && yes);
    }
    return v;
}

static struct value either(struct parser *p)
{
    struct value v = both(p);
    while (eat(p, "or")) {
        struct value w = both(p);
        bool yes = is_true(p, v);
        v = truth(p, is_true(p, w) || yes);
    }
    return v;
}

static enum uh_status evaluate(struct parser *p, const char *chapter,
                               const char *expression, bool *yes)
{
    p->start = p->at = expression;
    p->chapter = chapter;
    p->absent = false;
    if (setjmp(p->out)) {
        return UH_BAD_INPUT;
    }
    bool result = is_true(p, either(p));
    skip(p);
    if (*p->at) {
        bad(p, "expected the end of the rule");
    }
    *yes = result;
    return UH_OK;
}

/* ---- the lines of a chapter ------------------------------------------- */

struct rule {
    const char *claim, *word, *condition, *expression;
    const char *chapter; /* as in the parser */
};

/* Whether it is a line `in CHAPTER:`, which goes to *chapter with its slash. */
static bool read_in(const char *line, struct uh_arena *arena,
                    const char **chapter)
{
    size_t length = strlen(line);
    if (strncmp(line, "in ", 3) != 0 || length < 5 ||
        strcspn(line + 3, " :") != length - 4 || line[length - 1] != ':') {
        return false;
    }
    *chapter = uh_arena_format(arena, "%.*s/", (int)length - 4, line + 3);
    return true;
}

static enum uh_status read_rule(char *line, struct rule *rule,
                                struct uh_error *error)
{
    *rule = (struct rule){line, NULL, "", NULL, ""};
    char *s = line + strcspn(line, " \t");
    if (*s) {
        *s++ = '\0';
    }
    s += strspn(s, " \t");
    static const char *const words[] = {"holds if", "holds", "refuted",
                                        "undecided", "untested"};
    for (size_t i = 0; i < sizeof words / sizeof *words && !rule->word; i++) {
        if (strncmp(s, words[i], strlen(words[i])) == 0) {
            rule->word = words[i];
            s += strlen(words[i]);
        }
    }
    s += strspn(s, " \t");
    if (rule->word && strcmp(rule->word, "holds if") == 0) {
        char *end = *s == '"' ? strchr(s + 1, '"') : NULL;
        if (!end || end == s + 1) {
            return uh_fail(error, UH_BAD_INPUT,
                           "rule of %s: expected holds if \"condition\": ..., "
                           "found %.60s",
                           line, s);
        }
        *end = '\0';
        rule->condition = s + 1;
        s = end + 1;
        s += strspn(s, " \t");
    }
    if (!rule->word || *s != ':') {
        return uh_fail(error, UH_BAD_INPUT,
                       "rule of %s: expected CLAIM holds|holds if "
                       "\"...\"|refuted: expression, found %.60s",
                       line, s);
    }
    s++;
    rule->expression = s + strspn(s, " \t");
    return UH_OK;
}

/* Joins continued lines, drops comments; returns how many lines there are. */
static size_t split(char *text, char **lines)
{
    size_t count = 0;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        while (end && (end[1] == ' ' || end[1] == '\t')) {
            *end = ' ';
            end = strchr(end, '\n');
        }
        if (end) {
            *end = '\0';
        }
        if (*line && *line != '#' && strspn(line, " \t") != strlen(line)) {
            lines[count++] = line;
        }
        line = end ? end + 1 : NULL;
    }
    return count;
}

static void decide(struct parser *p, const struct rule *rules, size_t count,
                   size_t first, struct uh_verdict *verdict,
                   enum uh_status *status)
{
    const char *tried = "";
    bool absent = false;
    for (size_t i = first; i < count; i++) {
        const struct rule *rule = &rules[i];
        if (strcmp(rule->claim, rules[first].claim) != 0) {
            continue;
        }
        bool yes = false;
        *status = evaluate(p, rule->chapter, rule->expression, &yes);
        if (*status != UH_OK) {
            return;
        }
        absent = absent || p->absent;
        tried =
            uh_arena_format(p->arena, "%s%s%s: %s", tried, *tried ? "; " : "",
                            rule->word, rule->expression);
        if (yes && !absent) {
            verdict->word = rule->word;
            verdict->condition = rule->condition;
            verdict->rule = rule->expression;
            return;
        }
    }
    verdict->word = absent ? "untested" : "undecided";
    verdict->rule = tried;
}

enum uh_status uh_claims_decide(const char *rules_text,
                                const struct uh_book *book,
                                struct uh_arena *arena,
                                struct uh_verdict **verdicts, size_t *count,
                                struct uh_error *error)
{
    char *text = uh_arena_text(arena, rules_text);
    char **lines = uh_arena_alloc(arena, strlen(text) + 1, sizeof *lines);
    size_t line_count = split(text, lines), rule_count = 0;
    struct rule *rules = uh_arena_alloc(arena, line_count, sizeof *rules);
    const char *chapter = "";
    for (size_t i = 0; i < line_count; i++) {
        if (read_in(lines[i], arena, &chapter)) {
            continue;
        }
        enum uh_status status = read_rule(lines[i], &rules[rule_count], error);
        if (status != UH_OK) {
            return status;
        }
        rules[rule_count++].chapter = chapter;
    }
    struct parser *p = uh_arena_alloc(arena, 1, sizeof *p);
    p->book = book;
    p->arena = arena;
    p->error = error;
    p->all = uh_arena_alloc(arena, RATIONALS, sizeof *p->all);
    p->all_room = RATIONALS;
    struct uh_verdict *list = uh_arena_alloc(arena, rule_count, sizeof *list);
    size_t found = 0;
    enum uh_status status = UH_OK;
    for (size_t i = 0; i < rule_count && status == UH_OK; i++) {
        bool seen = false;
        for (size_t k = 0; k < found; k++) {
            seen = seen || strcmp(list[k].claim, rules[i].claim) == 0;
        }
        if (seen) {
            continue;
        }
        p->claim = rules[i].claim;
        p->from = uh_arena_alloc(arena, SOURCES, sizeof *p->from);
        p->from_room = SOURCES;
        p->from_count = 0;
        list[found] = (struct uh_verdict){rules[i].claim, "", "", "", NULL, 0};
        decide(p, rules, rule_count, i, &list[found], &status);
        list[found].from = p->from;
        list[found].from_count = p->from_count;
        found++;
        for (size_t k = 0; k < p->all_count; k++) {
            mpq_clear(p->all[k]);
        }
        p->all_count = 0;
    }
    if (status != UH_OK) {
        return status;
    }
    *verdicts = list;
    *count = found;
    return UH_OK;
}
