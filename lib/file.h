/* file.h: files that appear whole or not at all.  Floor 0.
 *
 * A file is written under a temporary name in its own folder, flushed, fsynced
 * and renamed.  What is unfinished when the program ends (uh_die, SIGINT,
 * SIGTERM, a broken contract) is removed.  A link stays one, and what it leads
 * to is replaced.  A device or a pipe is written to as it is, without promises.
 */
#ifndef UH_FILE_H
#define UH_FILE_H

#include "arena.h"
#include "status.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct uh_file; /* a file being written */

/* Opens a temporary beside path; the program ends with one line if it can't. */
struct uh_file *uh_file_create(const char *path);

/* The stream to print to; it belongs to the file. */
FILE *uh_file_stream(struct uh_file *file);

/* size bytes more; the program ends with one line if they do not fit. */
void uh_file_write(struct uh_file *file, const void *bytes, size_t size);

/* Flushes, fsyncs and renames; the program ends with one line, and the name
 * keeps what it had, if any of it fails. */
void uh_file_commit(struct uh_file *file);

/* Removes the temporary. */
void uh_file_abandon(struct uh_file *file);

/* Removes every temporary that is still open; safe in a signal handler. */
void uh_file_abandon_all(void);

/* From now on SIGINT and SIGTERM remove what is unfinished and end the program
 * with 130 or 143; SIGPIPE ends it quietly. */
void uh_file_guard_signals(void);

/* The whole file, with a zero byte behind it.  A directory, a device, or a
 * file of more than limit bytes is UH_BAD_INPUT (limit 0: no limit). */
UH_MUST_USE enum uh_status uh_file_read(const char *path, size_t limit,
                                        struct uh_arena *arena, uint8_t **bytes,
                                        size_t *size, struct uh_error *error);

/* The first bytes of such a file, at most `most` of them, with a zero byte
 * behind them: got; size becomes that of the whole. */
UH_MUST_USE enum uh_status uh_file_begin(const char *path, size_t most,
                                         struct uh_arena *arena,
                                         uint8_t **bytes, size_t *got,
                                         size_t *size, struct uh_error *error);

/* Makes the folder and its parents; ends the program if it can't. */
void uh_folder_make(const char *path);

/* Whether there is something under that name. */
int uh_file_exists(const char *path);

#endif
