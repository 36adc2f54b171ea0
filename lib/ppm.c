/* ppm.c: 8-bit RGB pictures as binary PPM files. */
#include "ppm.h"
#include "file.h"

#include <string.h>

enum { LARGEST = 255, CHANNELS = 3, DIGITS = 9 };

/* What is left of the header. */
struct header {
    const uint8_t *next, *end;
};

static int is_blank(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Passes over blanks and comments; 0 if there are none. */
static int skip_blanks(struct header *h)
{
    const uint8_t *begin = h->next;
    while (h->next < h->end && (is_blank(*h->next) || *h->next == '#')) {
        if (*h->next == '#') {
            while (h->next < h->end && *h->next != '\n' && *h->next != '\r') {
                h->next++;
            }
        } else {
            h->next++;
        }
    }
    return h->next > begin;
}

/* Blanks, then a number of 1 to DIGITS digits; 0 if there is none. */
static int take_number(struct header *h, size_t *number)
{
    size_t digits = 0;
    *number = 0;
    if (!skip_blanks(h)) {
        return 0;
    }
    for (; h->next < h->end && *h->next >= '0' && *h->next <= '9'; h->next++) {
        if (++digits > DIGITS) {
            return 0;
        }
        *number = 10 * *number + (size_t)(*h->next - '0');
    }
    return digits > 0;
}

enum uh_status uh_ppm_parse(size_t size, const uint8_t *bytes, const char *name,
                            struct uh_arena *arena, struct uh_picture *out,
                            struct uh_error *error)
{
    size_t width, height, largest;
    if (size < 2 || memcmp(bytes, "P6", 2) != 0) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PPM: expected P6, found something else (%s)", name);
    }
    struct header h = {bytes + 2, bytes + size};
    if (!take_number(&h, &width) || !take_number(&h, &height) ||
        !take_number(&h, &largest) || h.next == h.end || !is_blank(*h.next++)) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PPM header: expected width, height and largest value, "
                       "found something else (%s)",
                       name);
    }
    if (width < 1 || width > UH_PICTURE_SIDE || height < 1 ||
        height > UH_PICTURE_SIDE) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PPM size: expected 1 to %d, found %zu x %zu (%s)",
                       UH_PICTURE_SIDE, width, height, name);
    }
    if (largest != LARGEST) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PPM largest value: expected %d, found %zu (%s)",
                       LARGEST, largest, name);
    }
    size_t want = width * height * CHANNELS, left = (size_t)(h.end - h.next);
    if (left != want) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PPM pixels: expected %zu bytes, found %zu (%s)", want,
                       left, name);
    }
    uint8_t *pixels = uh_arena_alloc_raw(arena, want, 1);
    memcpy(pixels, h.next, want);
    *out = (struct uh_picture){width, height, CHANNELS, pixels};
    return UH_OK;
}

enum uh_status uh_ppm_read(const char *path, struct uh_arena *arena,
                           struct uh_picture *out, struct uh_error *error)
{
    struct uh_arena *file = uh_arena_new();
    uint8_t *bytes;
    size_t size;
    enum uh_status status = uh_file_read(path, 0, file, &bytes, &size, error);
    if (status == UH_OK) {
        status = uh_ppm_parse(size, bytes, path, arena, out, error);
    }
    uh_arena_free(&file);
    return status;
}
