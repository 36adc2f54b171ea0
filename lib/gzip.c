/* gzip.c: unpacking gzip'd bytes without trusting them. */
#include "gzip.h"
#include "die.h"

#include <limits.h>
#include <string.h>
#define ZLIB_CONST
#include <zlib.h>

enum { WINDOW = 1 << 15, GZIP_ONLY = 15 + 16 };

bool uh_gzip_is(size_t size, const uint8_t *bytes)
{
    return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/* The input that zlib has not yet been given; it counts in unsigned int. */
struct source {
    z_stream z;
    const uint8_t *next;
    size_t left;
};

static void begin(struct source *s, size_t size, const uint8_t *bytes)
{
    *s = (struct source){.next = bytes, .left = size};
    int code = inflateInit2(&s->z, GZIP_ONLY);
    if (code == Z_MEM_ERROR) {
        uh_die("memory: expected room to unpack, found none");
    }
    UH_REQUIRE(code == Z_OK, "inflateInit2 returned %d", code);
}

/* Unpacks up to room bytes; *got says how many.  Z_OK: there may be more;
 * Z_BUF_ERROR: the input ended in the middle. */
static int more(struct source *s, size_t room, uint8_t *out, size_t *got)
{
    unsigned some = room < UINT_MAX ? (unsigned)room : UINT_MAX;
    s->z.next_out = out;
    s->z.avail_out = some;
    int code = Z_OK;
    while (code == Z_OK && s->z.avail_out > 0) {
        if (s->z.avail_in == 0) {
            unsigned piece = s->left < INT_MAX ? (unsigned)s->left : INT_MAX;
            s->z.next_in = s->next;
            s->z.avail_in = piece;
            s->next += piece;
            s->left -= piece;
        }
        code = inflate(&s->z, Z_NO_FLUSH);
    }
    *got = some - s->z.avail_out;
    return code;
}

static enum uh_status bad(struct source *s, int code, size_t size,
                          const char *name, struct uh_error *error)
{
    if (code == Z_MEM_ERROR) {
        uh_die("memory: expected room to unpack, found none (%s)", name);
    }
    if (code == Z_BUF_ERROR) {
        return uh_fail(error, UH_BAD_INPUT,
                       "gzip: expected the end of the packed data, found the "
                       "end of the file after %zu bytes (%s)",
                       size, name);
    }
    return uh_fail(error, UH_BAD_INPUT,
                   "gzip: expected valid packed data, found: %s (%s)",
                   s->z.msg ? s->z.msg : "an error without a name", name);
}

enum uh_status uh_gzip_peek(size_t size, const uint8_t *bytes, const char *name,
                            size_t want, uint8_t *out, size_t *got,
                            struct uh_error *error)
{
    struct source s;
    begin(&s, size, bytes);
    size_t n = 0;
    int code = Z_OK;
    while (code == Z_OK && n < want) {
        size_t piece;
        code = more(&s, want - n, out + n, &piece);
        n += piece;
    }
    enum uh_status status = UH_OK;
    if (code != Z_OK && code != Z_STREAM_END) {
        status = bad(&s, code, size, name, error);
    }
    inflateEnd(&s.z);
    if (status == UH_OK) {
        *got = n;
    }
    return status;
}

/* Unpacks all of it, into out where that is not NULL, and stops as soon as
 * there are more than limit bytes. */
static enum uh_status whole(size_t size, const uint8_t *bytes, const char *name,
                            size_t limit, uint8_t *out, size_t *unpacked,
                            struct uh_error *error)
{
    uint8_t window[WINDOW];
    struct source s;
    begin(&s, size, bytes);
    size_t n = 0;
    int code = Z_OK;
    while (code == Z_OK && n <= limit) {
        bool direct = out && n < limit;
        size_t piece;
        code = more(&s, direct ? limit - n : sizeof window,
                    direct ? out + n : window, &piece);
        n += piece;
    }
    enum uh_status status = UH_OK;
    size_t behind = s.left + s.z.avail_in;
    if (n > limit) {
        status = uh_fail(error, UH_BAD_INPUT,
                         "gzip: expected at most %zu unpacked bytes, found "
                         "more (%s)",
                         limit, name);
    } else if (code != Z_STREAM_END) {
        status = bad(&s, code, size, name, error);
    } else if (behind > 0) {
        status = uh_fail(error, UH_BAD_INPUT,
                         "gzip: expected nothing behind the packed data, found "
                         "%zu bytes (%s)",
                         behind, name);
    }
    inflateEnd(&s.z);
    if (status == UH_OK) {
        *unpacked = n;
    }
    return status;
}

enum uh_status uh_gzip_size(size_t size, const uint8_t *bytes, const char *name,
                            size_t limit, size_t *unpacked,
                            struct uh_error *error)
{
    return whole(size, bytes, name, limit, NULL, unpacked, error);
}

enum uh_status uh_gzip_unpack(size_t size, const uint8_t *bytes,
                              const char *name, size_t want, uint8_t *out,
                              struct uh_error *error)
{
    size_t unpacked;
    enum uh_status status =
        whole(size, bytes, name, want, out, &unpacked, error);
    if (status == UH_OK && unpacked != want) {
        return uh_fail(error, UH_BAD_INPUT,
                       "gzip: expected %zu unpacked bytes, found %zu (%s)",
                       want, unpacked, name);
    }
    return status;
}
