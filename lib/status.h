/* status.h: what a function that can fail returns.  Floor 0.
 *
 * Numerical outcomes and foreign bytes are reported to the caller, who can act
 * on them; broken contracts and a world that refuses stop the process (die.h).
 * A function that returns a status writes its outputs only on UH_OK.
 */
#ifndef UH_STATUS_H
#define UH_STATUS_H

#define UH_MUST_USE __attribute__((warn_unused_result))
#define UH_PRINTF(text, first) __attribute__((format(printf, text, first)))

enum uh_status {
    UH_OK,
    UH_BAD_INPUT,      /* foreign bytes are not what their format promises */
    UH_IO,             /* the system refused to open, read or write */
    UH_NOT_FINITE,     /* a NaN or an infinity where a number was expected */
    UH_NO_CONVERGENCE, /* the tolerance was not met in the steps allowed */
    UH_SINGULAR        /* a matrix or a system without a unique solution */
};

/* One line for the user: "what: expected ..., found ... (file)". */
struct uh_error {
    char text[512];
};

/* Writes the line and returns status, so that a reader can end with
 * return uh_fail(error, UH_BAD_INPUT, ...).  error may be NULL.  Control
 * characters of the text become '?', so that a file cannot forge lines. */
enum uh_status uh_fail(struct uh_error *error, enum uh_status status,
                       const char *format, ...) UH_PRINTF(3, 4);

#endif
