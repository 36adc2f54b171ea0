/* ref_linear.c: a linear classifier, to see how hard a data set is. */
#include "ref_linear.h"

#include <math.h>
#include <stdlib.h>

enum { CLASSES = 10 };

/* w holds, for each class, the bias and then one weight per number. */
static void scores(size_t size, const float w[], const float x[], double s[])
{
    for (size_t c = 0; c < CLASSES; c++) {
        const float *row = w + c * (size + 1) + 1;
        float sum[4] = {0, 0, 0, 0};
        for (size_t k = 0; k < size; k += 4)
            for (size_t j = 0; j < 4; j++)
                sum[j] += row[k + j] * x[k + j];
        s[c] = (double)(row[-1] + sum[0] + sum[1] + sum[2] + sum[3]);
    }
}

double ref_linear_error(const struct uh_dataset *train,
                        const struct uh_dataset *test, size_t passes,
                        double rate)
{
    size_t size = uh_shape_size(train->shape), all = CLASSES * (size + 1);
    float *w = calloc(all, sizeof *w), *mean = calloc(all, sizeof *mean);
    for (size_t pass = 0; pass < passes; pass++) {
        for (size_t i = 0; i < train->count; i++) {
            const float *x = train->x + i * size;
            double s[CLASSES], most = -HUGE_VAL, sum = 0;
            scores(size, w, x, s);
            for (size_t c = 0; c < CLASSES; c++)
                most = fmax(most, s[c]);
            for (size_t c = 0; c < CLASSES; c++)
                sum += s[c] = exp(s[c] - most);
            for (size_t c = 0; c < CLASSES; c++) {
                double p = s[c] / sum - (c == train->y[i]);
                float step = (float)(rate * p), *row = w + c * (size + 1);
                row[0] -= step;
                for (size_t k = 0; k < size; k++)
                    row[k + 1] -= step * x[k];
            }
            if (pass + 1 == passes && i % 20 == 19)
                for (size_t k = 0; k < all; k++)
                    mean[k] += w[k];
        }
    }
    size_t wrong = 0;
    for (size_t i = 0; i < test->count; i++) {
        double s[CLASSES];
        scores(size, mean, test->x + i * size, s);
        size_t best = 0;
        for (size_t c = 1; c < CLASSES; c++)
            best = s[c] > s[best] ? c : best;
        wrong += best != test->y[i];
    }
    free(mean);
    free(w);
    return (double)wrong / (double)test->count;
}
