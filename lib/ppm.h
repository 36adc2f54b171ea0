/* ppm.h: 8-bit RGB pictures as binary PPM files ("P6").  Floor 2.
 *
 * The letters P6, width, height and the largest value, 255, in decimal, each
 * behind blanks or comments (# to the end of the line), one blank, then width *
 * height * 3 bytes, rows from the top.  One picture a file; anything behind it
 * is UH_BAD_INPUT, as is another largest value.
 *
 * Source: netpbm's ppm(5).
 */
#ifndef UH_PPM_H
#define UH_PPM_H

#include "picture.h"

/* name is the file's, for messages only.  out->pixels is from arena. */
UH_MUST_USE enum uh_status uh_ppm_parse(size_t size, const uint8_t *bytes,
                                        const char *name,
                                        struct uh_arena *arena,
                                        struct uh_picture *out,
                                        struct uh_error *error);

UH_MUST_USE enum uh_status uh_ppm_read(const char *path, struct uh_arena *arena,
                                       struct uh_picture *out,
                                       struct uh_error *error);

#endif
