/* progress.h: how far a long piece of work has come, on stderr.  Floor 0.
 *
 * Silent for the first two seconds; then a bar on a terminal, a line every ten
 * seconds elsewhere, both with an estimate of the time left.  Nothing of it
 * ever enters a record.
 */
#ifndef UH_PROGRESS_H
#define UH_PROGRESS_H

#include <stddef.h>

struct uh_arena;
struct uh_progress;

/* total is in the unit that steps are counted in; at least 1. */
struct uh_progress *uh_progress_start(struct uh_arena *arena, const char *what,
                                      size_t total);
/* done more units; may be called from any thread. */
void uh_progress_step(struct uh_progress *progress, size_t done);
void uh_progress_end(struct uh_progress *progress);

#endif
