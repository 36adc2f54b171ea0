/* loss.c: softmax cross-entropy and counting. */
#include "loss.h"
#include "die.h"
#include "fmath.h"
#include "net.h"

static double sample_loss(size_t classes, const float *z, size_t label,
                          double scale, float *gradient)
{
    double shift = (double)z[uh_argmax(classes, z)], sum = 0;
    for (size_t j = 0; j < classes; j++) {
        sum += uh_exp((double)z[j] - shift);
    }
    for (size_t j = 0; gradient && j < classes; j++) {
        double p = uh_exp((double)z[j] - shift) / sum;
        gradient[j] = (float)((p - (j == label ? 1.0 : 0.0)) * scale);
    }
    return uh_log(sum) - ((double)z[label] - shift);
}

double uh_loss_softmax(size_t n, size_t classes, const float *logits,
                       const uint8_t *labels, double scale, float *gradient)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        UH_REQUIRE(labels[i] < classes, "label %u of %zu classes", labels[i],
                   classes);
        sum += sample_loss(classes, logits + i * classes, labels[i], scale,
                           gradient ? gradient + i * classes : NULL);
    }
    return sum;
}

size_t uh_loss_correct(size_t n, size_t classes, const float *logits,
                       const uint8_t *labels)
{
    size_t correct = 0;
    for (size_t i = 0; i < n; i++) {
        correct += uh_argmax(classes, logits + i * classes) == labels[i];
    }
    return correct;
}
