/* step.h: the frame of a step of an experiment.  Floor 6.
 *
 *     NAME --profile quick|lecture|full --out DIR [--data DIR]
 *          [--need CHAPTER/STEP=DIR]... [--file NAME=PATH]... [--jobs N]
 *          [--source DIGEST]
 *
 * The frame reads the arguments, checks the floating-point environment, guards
 * signals, opens the pool and the ledger, and writes DIR/records.jsonl at the
 * end.  It turns off GSL's error handler and keeps OpenBLAS to one thread.
 */
#ifndef UH_STEP_H
#define UH_STEP_H

#include "arena.h"
#include "cells.h"
#include "ledger.h"

enum uh_profile { UH_QUICK, UH_LECTURE, UH_FULL };

struct uh_step_about {
    const char *name;   /* "knots/count" */
    const char *what;   /* what it does, one sentence */
    const char *reads;  /* in words */
    const char *writes; /* in words */
};

struct uh_step;

/* Everything up to the work.  --help prints and ends the program. */
struct uh_step *uh_step_begin(int argc, char **argv,
                              const struct uh_step_about *about);

enum uh_profile uh_step_profile(const struct uh_step *step);

/* Lives until the end of the step. */
struct uh_arena *uh_step_arena(struct uh_step *step);
struct uh_pool *uh_step_pool(struct uh_step *step);
struct uh_ledger *uh_step_ledger(struct uh_step *step);

/* The path of an output; name has no slash. */
const char *uh_step_out(struct uh_step *step, const char *name);

/* The path of an output of another step, which the manifest names; a step that
 * is not among the --need options ends the program with one line. */
const char *uh_step_need(struct uh_step *step, const char *other,
                         const char *name);

/* The path of a file that the manifest's key `files` names, or NULL: a file
 * that not everybody has. */
const char *uh_step_file(const struct uh_step *step, const char *name);

/* The folder of the data sets; ends the program if none was given. */
const char *uh_step_data(struct uh_step *step);

/* Writes the records and frees everything; the value is main's. */
int uh_step_end(struct uh_step *step);

#endif
