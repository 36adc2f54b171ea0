/* picture.c: 8-bit gray and RGB pictures in PNG files. */
#include "picture.h"
#include "die.h"
#include "file.h"

#include <math.h>
#include <png.h>
#include <string.h>

enum { CHUNK_LARGEST = 1 << 24, RATIO = 1032, SIGNATURE = 8 };

static _Noreturn void refuse(png_structp png, png_const_charp what)
{
    const char *path = png_get_error_ptr(png);
    uh_die("picture: expected to write it, found: %s (%s)", what, path);
}

static void keep_quiet(png_structp png, png_const_charp what)
{
    (void)png;
    (void)what;
}

void uh_picture_write(const char *path, const struct uh_picture *picture)
{
    UH_REQUIRE(picture->channels == 1 || picture->channels == 3, "%zu channels",
               picture->channels);
    UH_REQUIRE(picture->width >= 1 && picture->width <= UH_PICTURE_SIDE &&
                   picture->height >= 1 && picture->height <= UH_PICTURE_SIDE,
               "%zu x %zu", picture->width, picture->height);
    struct uh_file *file = uh_file_create(path);
    char *name = (char *)(uintptr_t)path;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, name,
                                              refuse, keep_quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        uh_die("memory: expected room for a picture, found none (%s)", path);
    }
    png_init_io(png, uh_file_stream(file));
    png_set_compression_level(png, 9);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
    png_set_IHDR(
        png, info, (png_uint_32)picture->width, (png_uint_32)picture->height, 8,
        picture->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
        PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
        PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    size_t row = picture->width * picture->channels;
    for (size_t i = 0; i < picture->height; i++) {
        png_write_row(png, picture->pixels + i * row);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    uh_file_commit(file);
}

/* What a read in progress must know when libpng jumps out of it. */
struct reading {
    const uint8_t *next;
    size_t left;
    const char *name;
    struct uh_error *error;
};

static void complain(png_structp png, png_const_charp what)
{
    struct reading *r = png_get_error_ptr(png);
    uh_fail(r->error, UH_BAD_INPUT,
            "PNG: expected a valid file, found: %s (%s)", what, r->name);
    png_longjmp(png, 1);
}

static void feed(png_structp png, png_bytep out, size_t size)
{
    struct reading *r = png_get_io_ptr(png);
    if (size > r->left) {
        png_error(png, "the end of the file");
    }
    memcpy(out, r->next, size);
    r->next += size;
    r->left -= size;
}

static enum uh_status check_kind(png_structp png, png_infop info, size_t size,
                                 const struct reading *r)
{
    int color = png_get_color_type(png, info);
    int depth = png_get_bit_depth(png, info);
    if (depth != 8 ||
        (color != PNG_COLOR_TYPE_GRAY && color != PNG_COLOR_TYPE_RGB) ||
        png_get_interlace_type(png, info) != PNG_INTERLACE_NONE) {
        const char *found = color == PNG_COLOR_TYPE_PALETTE  ? "a palette"
                            : (color & PNG_COLOR_MASK_ALPHA) ? "transparency"
                            : depth != 8                     ? "another depth"
                                                             : "interlacing";
        return uh_fail(r->error, UH_BAD_INPUT,
                       "PNG kind: expected 8-bit gray or RGB without "
                       "interlacing, found %s (%s)",
                       found, r->name);
    }
    size_t pixels =
        png_get_rowbytes(png, info) * png_get_image_height(png, info);
    if (pixels / RATIO > size) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "PNG size: expected %zu bytes of pixels, found %zu "
                       "packed, which hold at most %d times as many (%s)",
                       pixels, size, RATIO, r->name);
    }
    return UH_OK;
}

/* Everything that libpng may jump out of.  Nothing that lives on in the caller
 * changes here but what r and out point to. */
static enum uh_status read_all(png_structp png, png_infop info, size_t size,
                               struct reading *r, struct uh_arena *arena,
                               struct uh_picture *out)
{
    if (setjmp(png_jmpbuf(png))) {
        return UH_BAD_INPUT;
    }
    png_set_read_fn(png, r, feed);
    png_set_user_limits(png, UH_PICTURE_SIDE, UH_PICTURE_SIDE);
    png_set_chunk_malloc_max(png, CHUNK_LARGEST);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png, info);
    enum uh_status status = check_kind(png, info, size, r);
    if (status != UH_OK) {
        return status;
    }
    out->width = png_get_image_width(png, info);
    out->height = png_get_image_height(png, info);
    out->channels = png_get_channels(png, info);
    size_t row = png_get_rowbytes(png, info);
    uint8_t *pixels = uh_arena_alloc_raw(arena, out->height, row);
    out->pixels = pixels;
    for (size_t i = 0; i < out->height; i++) {
        png_read_row(png, pixels + i * row, NULL);
    }
    png_read_end(png, NULL);
    if (r->left > 0) {
        return uh_fail(r->error, UH_BAD_INPUT,
                       "PNG: expected nothing behind the picture, found %zu "
                       "bytes (%s)",
                       r->left, r->name);
    }
    return UH_OK;
}

enum uh_status uh_picture_parse(size_t size, const uint8_t *bytes,
                                const char *name, struct uh_arena *arena,
                                struct uh_picture *out, struct uh_error *error)
{
    if (size < SIGNATURE || png_sig_cmp(bytes, 0, SIGNATURE) != 0) {
        return uh_fail(error, UH_BAD_INPUT,
                       "PNG signature: expected \\x89PNG, found something else "
                       "(%s)",
                       name);
    }
    struct reading r = {bytes, size, name, error};
    png_structp png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, complain, keep_quiet);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) {
        uh_die("memory: expected room for a picture, found none (%s)", name);
    }
    struct uh_mark mark = uh_arena_open(arena);
    struct uh_picture picture = {0};
    enum uh_status status = read_all(png, info, size, &r, arena, &picture);
    png_destroy_read_struct(&png, &info, NULL);
    if (status == UH_OK) {
        *out = picture;
    } else {
        uh_arena_release(arena, mark);
    }
    return status;
}

enum uh_status uh_picture_read(const char *path, struct uh_arena *arena,
                               struct uh_picture *out, struct uh_error *error)
{
    struct uh_arena *file = uh_arena_new();
    uint8_t *bytes;
    size_t size;
    enum uh_status status = uh_file_read(path, 0, file, &bytes, &size, error);
    if (status == UH_OK) {
        status = uh_picture_parse(size, bytes, path, arena, out, error);
    }
    uh_arena_free(&file);
    return status;
}

uint8_t uh_picture_byte(float x)
{
    if (!(x > 0.0f)) {
        return 0;
    }
    return x >= 1.0f ? 255 : (uint8_t)rintf(255.0f * x);
}
