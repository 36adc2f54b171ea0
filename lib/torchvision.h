/* torchvision.h: published networks, known by the names of their tensors.
 * Floor 3.
 *
 * A .safetensors file without the metadata `arch` (net.h) is a network here if
 * its tensors have the names of torchvision's state dictionaries:
 *
 *   AlexNet                  features.0.weight ... classifier.6.bias
 *   SqueezeNet 1.0, 1.1      features.3.squeeze.weight ...
 *   ResNet-18, 34, 50, 101, 152   conv1.weight, layer1.0.conv1.weight ... fc.bias
 *   VGG-11, 13, 16, 19, with and without batch normalization
 *
 * or those of BVLC's AlexNet (features.0 has 96 filters: two groups, local
 * response normalization, images of 227 x 227).  The model and its depth
 * follow from names alone; then every shape must be the model's.  Dropout is
 * left out, adaptive pooling becomes mean pooling.  The number of classes is
 * that of the last bias.
 *
 * ResNet and VGG  with batch normalization, or without it where it has been
 *                 folded and each convolution has a bias.  Running statistics
 *                 that the file has none of at all are mean 0 and variance 1.
 * Types           float32, float64 (rounded), float16.
 * Factors         instead of NAME.weight there may be NAME.centroids and
 *                 NAME.assignments (product quantization).  Centroids (K, d)
 *                 and assignments (blocks * out): block j of output o is row
 *                 assignments[j * out + o] of the centroids.  Centroids (S, K,
 *                 d) and assignments (out, S): block s of output o is row
 *                 assignments[o][s] of centroids[s].  The blocks follow each
 *                 other in the C order of (in / groups, rows, columns).
 * Features only   AlexNet and VGG without any tensor of `classifier.` end
 *                 behind the last pooling.
 *
 * Source: github.com/pytorch/vision, torchvision/models/{alexnet, squeezenet,
 * resnet, vgg}.py; P. Stock et al., And the bit goes down, ICLR 2020; J. Wu et
 * al., Quantized convolutional neural networks for mobile devices, CVPR 2016.
 */
#ifndef UH_TORCHVISION_H
#define UH_TORCHVISION_H

#include "arena.h"
#include "net.h"
#include "picture.h"
#include "safetensors.h"
#include "status.h"
#include "tensor.h"

#include <stdbool.h>
#include <stddef.h>

struct uh_torchvision {
    const char *model;       /* "resnet18", "alexnet-bvlc" */
    struct uh_net net;       /* batchnorm as in the file */
    const char *const *name; /* net.layers of them: the module that a layer is
                                or belongs to, "layer1.0.conv1", "avgpool" */
};

/* What differs from the model's own; zeros and NULL: nothing. */
struct uh_torchvision_options {
    struct uh_shape in; /* of an image; channels 0: 3 x 224 x 224 (227 for
                           BVLC's AlexNet) */
    const char *until;  /* a module, "layer3": the network ends behind it, and
                           tensors behind it may be missing */
    size_t classifier_pad; /* SqueezeNet's last convolution: 1 in its authors'
                              own 1.0, 0 in torchvision's */
};

/* The network.  UH_BAD_INPUT, UH_NOT_FINITE with one line that names the tensor
 * if one is missing, has another shape or type, is not of the model or not
 * finite; if the input is too small; if no model is recognized.  out shares
 * nothing with stored and is written only on UH_OK.  options may be NULL. */
UH_MUST_USE enum uh_status
uh_torchvision_of_tensors(const struct uh_safetensors *stored,
                          const struct uh_torchvision_options *options,
                          struct uh_arena *arena, struct uh_torchvision *out,
                          struct uh_error *error);

/* Which numbers a photograph becomes. */
enum uh_torchvision_pixels {
    UH_PIXELS_RGB, /* (byte / 255 - mean) / deviation; R, G, B; torchvision */
    UH_PIXELS_BGR  /* byte - mean; B, G, R; Caffe's networks */
};

/* The middle height x width pixels of an RGB picture (of an odd margin the
 * smaller half above and left) as one input x, (3, height, width), computed in
 * double and rounded once.  A picture that is smaller or gray is a broken
 * contract. */
void uh_torchvision_input(const struct uh_picture *picture,
                          enum uh_torchvision_pixels pixels, size_t height,
                          size_t width, float *x);

#endif
