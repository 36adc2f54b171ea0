/* tensor.c: shapes of what flows through a network. */
#include "tensor.h"
#include "die.h"

size_t uh_shape_size(struct uh_shape shape)
{
    return uh_size_mul(uh_size_mul(shape.channels, shape.height), shape.width);
}
