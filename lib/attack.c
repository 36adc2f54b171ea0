/* attack.c: inputs that are close and get another label. */
#include "attack.h"
#include "die.h"
#include "loss.h"

#include <math.h>
#include <string.h>

enum { HALVINGS = 12 };

double uh_distance(size_t n, const float *x, const float *y)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)y[i];
        sum += d * d;
    }
    return sqrt(sum);
}

void uh_attack_fgsm(const struct uh_net *net, struct uh_pool *pool, size_t n,
                    const float *x, const uint8_t *labels, float epsilon,
                    float *y)
{
    struct uh_arena *arena = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(arena);
    size_t d = uh_shape_size(net->in), classes = uh_shape_size(net->out);
    float *dy = uh_arena_alloc(arena, n * classes, sizeof *dy);
    float *dx = uh_arena_alloc(arena, n * d, sizeof *dx);
    struct uh_trace trace = uh_net_trace(net, pool, n, x, 0, arena);
    uh_loss_softmax(n, classes, trace.out[net->layers - 1], labels, 1, dy);
    uh_net_backward(net, pool, &trace, dy, NULL, dx);
    for (size_t i = 0; i < n * d; i++) {
        y[i] = x[i] + epsilon * (float)((dx[i] > 0) - (dx[i] < 0));
    }
    uh_arena_release(arena, mark);
}

/* y moves just across the nearest plane where a class draws level; jacobian is
 * (classes, d). */
static void step_to_plane(size_t classes, size_t d, const float *logits,
                          const float *jacobian, size_t label, float *y)
{
    double best = (double)INFINITY, gap = 0, square = 0;
    const float *own = jacobian + label * d, *to = own;
    for (size_t k = 0; k < classes; k++) {
        double length = uh_distance(d, jacobian + k * d, own);
        double high = (double)logits[label] - (double)logits[k];
        if (k == label || length == 0 || high / length >= best) {
            continue;
        }
        best = high / length;
        gap = high;
        square = length * length;
        to = jacobian + k * d;
    }
    if (square == 0) {
        return;
    }
    double step = 1.02 * gap / square + 1e-4 / sqrt(square);
    for (size_t i = 0; i < d; i++) {
        y[i] += (float)(step * ((double)to[i] - (double)own[i]));
    }
}

/* Where on the way from x to y, which has another label, it changes. */
static double bisect(const struct uh_net *net, struct uh_pool *pool,
                     const float *x, const float *y, size_t label)
{
    struct uh_arena *arena = uh_pool_scratch(pool);
    size_t d = uh_shape_size(net->in), classes = uh_shape_size(net->out);
    float *at = uh_arena_alloc(arena, d, sizeof *at);
    float *logits = uh_arena_alloc(arena, classes, sizeof *logits);
    double low = 0, high = 1;
    for (int t = 0; t < HALVINGS; t++) {
        double middle = (low + high) / 2;
        for (size_t i = 0; i < d; i++) {
            at[i] = x[i] + (float)middle * (y[i] - x[i]);
        }
        uh_net_forward(net, pool, 1, at, logits);
        *(uh_argmax(classes, logits) == label ? &low : &high) = middle;
    }
    return high * uh_distance(d, x, y);
}

double uh_attack_nearest(const struct uh_net *net, struct uh_pool *pool,
                         const float *x, size_t label, size_t steps)
{
    struct uh_arena *arena = uh_pool_scratch(pool);
    struct uh_mark mark = uh_arena_open(arena);
    size_t d = uh_shape_size(net->in), n = uh_shape_size(net->out);
    UH_REQUIRE(n > 1 && label < n, "label %zu of %zu classes", label, n);
    float *copies = uh_arena_alloc(arena, n * d, sizeof *copies);
    float *jacobian = uh_arena_alloc(arena, n * d, sizeof *jacobian);
    float *rows = uh_arena_alloc(arena, n * n, sizeof *rows);
    float *y = uh_arena_alloc(arena, d, sizeof *y);
    double found = (double)INFINITY;
    memcpy(y, x, d * sizeof *y);
    for (size_t k = 0; k < n; k++) {
        rows[k * (n + 1)] = 1;
    }
    for (size_t t = 0; t <= steps && isinf(found); t++) {
        struct uh_mark inner = uh_arena_open(arena);
        for (size_t k = 0; k < n; k++) {
            memcpy(copies + k * d, y, d * sizeof *y);
        }
        struct uh_trace trace = uh_net_trace(net, pool, n, copies, 0, arena);
        const float *logits = trace.out[net->layers - 1];
        if (uh_argmax(n, logits) != label) {
            found = t == 0 ? 0 : bisect(net, pool, x, y, label);
        } else {
            uh_net_backward(net, pool, &trace, rows, NULL, jacobian);
            step_to_plane(n, d, logits, jacobian, label, y);
        }
        uh_arena_release(arena, inner);
    }
    uh_arena_release(arena, mark);
    return found;
}
