/* ref_linear.h: a linear classifier, to see how hard a data set is. */
#ifndef REF_LINEAR_H
#define REF_LINEAR_H

#include "dataset.h"

/* The share of test that multinomial logistic regression gets wrong, after so
 * many passes over train by stochastic gradient descent with the given rate,
 * in the order of the set, from zero; the mean of the weights over the last
 * pass is what is tested. */
double ref_linear_error(const struct uh_dataset *train,
                        const struct uh_dataset *test, size_t passes,
                        double rate);

#endif
