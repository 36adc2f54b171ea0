/* tensor.h: shapes of what flows through a network.  Floor 1.
 *
 * A batch of n tensors is one array, (n, channels, height, width) in C order;
 * a vector of d entries has the shape (d, 1, 1).
 */
#ifndef UH_TENSOR_H
#define UH_TENSOR_H

#include <stddef.h>

struct uh_shape {
    size_t channels, height, width; /* each at least 1 */
};

/* channels * height * width, checked. */
size_t uh_shape_size(struct uh_shape shape);

#endif
