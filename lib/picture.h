/* picture.h: 8-bit gray and RGB pictures in PNG files.  Floor 2.
 *
 * What is written has no time stamp and no text; its bytes are a function of
 * the pixels and of the versions of libpng and zlib.
 */
#ifndef UH_PICTURE_H
#define UH_PICTURE_H

#include "arena.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>

enum { UH_PICTURE_SIDE = 32768 }; /* largest width and height */

struct uh_picture {
    size_t width, height;  /* 1 to UH_PICTURE_SIDE */
    size_t channels;       /* 1 gray, 3 RGB */
    const uint8_t *pixels; /* (height, width, channels), rows from the top */
};

/* The program ends with one line if the file cannot be written. */
void uh_picture_write(const char *path, const struct uh_picture *picture);

/* 8-bit gray or RGB without interlacing; other kinds of PNG are UH_BAD_INPUT.
 * name is the file's, for messages only. */
UH_MUST_USE enum uh_status uh_picture_parse(size_t size, const uint8_t *bytes,
                                            const char *name,
                                            struct uh_arena *arena,
                                            struct uh_picture *out,
                                            struct uh_error *error);

UH_MUST_USE enum uh_status uh_picture_read(const char *path,
                                           struct uh_arena *arena,
                                           struct uh_picture *out,
                                           struct uh_error *error);

/* 255 x rounded to nearest (halves to even), cut off below 0 and above 255; a
 * NaN is 0. */
uint8_t uh_picture_byte(float x);

#endif
