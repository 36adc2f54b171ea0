/* status.c: what a function that can fail returns. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

enum uh_status uh_fail(struct uh_error *error, enum uh_status status,
                       const char *format, ...)
{
    if (!error) {
        return status;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    for (char *s = error->text; *s; s++) {
        if ((unsigned char)*s < ' ' || *s == 127) {
            *s = '?';
        }
    }
    return status;
}
