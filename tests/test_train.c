/* test_train.c: loss, optimizers, training and checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "checkpoint.h"
#include "file.h"
#include "lane.h"
#include "loss.h"
#include "stream.h"
#include "train.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/test_train-XXXXXX";
static char path[64];

/* -- loss ------------------------------------------------------------------- */

static void the_loss_is_log_sum_exp_less_the_label(void **state)
{
    (void)state;
    const float z[] = {1, 2, 3, -1000, 1000, 0};
    const uint8_t y[] = {0, 1};
    float g[6];
    double loss = uh_loss_softmax(2, 3, z, y, 0.5, g);
    double sum = exp(1) + exp(2) + exp(3);
    assert_true(fabs(loss - (log(sum) - 1)) <= 1e-14);
    for (size_t j = 0; j < 3; j++) {
        double p = exp((double)z[j]) / sum - (j == 0 ? 1 : 0);
        assert_true(fabs((double)g[j] - 0.5 * p) <= (double)FLT_EPSILON / 4);
    }
    assert_true(g[3] == 0 && g[4] == 0 && g[5] == 0);
    assert_int_equal(uh_loss_correct(2, 3, z, y), 1);
    const float ties[] = {2, 2};
    const uint8_t low[] = {0}, high[] = {1};
    assert_int_equal(uh_loss_correct(1, 2, ties, low), 1);
    assert_int_equal(uh_loss_correct(1, 2, ties, high), 0);
}

static void a_nan_logit_gives_a_nan_loss(void **state)
{
    (void)state;
    const float z[] = {1, NAN};
    const uint8_t y[] = {0};
    assert_true(isnan(uh_loss_softmax(1, 2, z, y, 1, NULL)));
}

/* -- optimizers ---------------------------------------------------------------- */

enum { COUNT = 100001 }; /* several cells, the last one not full */

struct rule {
    struct uh_optim optim;
    double tolerance; /* relative to 1: weights and gradients are near 1 */
};

static const struct rule rules[] = {
    {{.rule = UH_SGD, .rate = 0.1F}, 16 * 0x1p-24},
    {{.rule = UH_SGD, .rate = 0.1F, .momentum = 0.9F}, 32 * 0x1p-24},
    {{.rule = UH_SGD, .rate = 0.05F, .momentum = 0.5F, .decay = 0.01F},
     32 * 0x1p-24},
    {{.rule = UH_ADAM,
      .rate = 0.01F,
      .beta1 = 0.9F,
      .beta2 = 0.999F,
      .epsilon = 1e-8F},
     32 * 0x1p-24},
    {{.rule = UH_ADAM,
      .rate = 0.01F,
      .beta1 = 0.8F,
      .beta2 = 0.99F,
      .epsilon = 1e-3F,
      .decay = 0.1F},
     64 * 0x1p-24},
};

/* The textbook's rule for one parameter, in double. */
static double textbook(const struct uh_optim *o, int t, double w, double g,
                       double *m, double *v)
{
    g += (double)o->decay * w;
    if (o->rule == UH_SGD) {
        *m = (double)o->momentum * *m + g;
        return w - (double)o->rate * *m;
    }
    double b1 = (double)o->beta1, b2 = (double)o->beta2;
    *m = b1 * *m + (1 - b1) * g;
    *v = b2 * *v + (1 - b2) * g * g;
    double mean = *m / (1 - pow(b1, t)), square = *v / (1 - pow(b2, t));
    return w - (double)o->rate * mean / (sqrt(square) + (double)o->epsilon);
}

static void optimizers_are_those_of_the_textbook(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_stream s = uh_stream_open("test/optim/%zu", r);
        struct uh_optim one = rules[r].optim, two = rules[r].optim;
        struct uh_pool *pools[2] = {uh_pool_open(1), uh_pool_open(3)};
        uh_optim_start(&one, COUNT, arena);
        uh_optim_start(&two, COUNT, arena);
        float *w = uh_arena_alloc(arena, COUNT, sizeof *w);
        float *again = uh_arena_alloc(arena, COUNT, sizeof *w);
        double *want = uh_arena_alloc(arena, COUNT, sizeof *want);
        double *m = uh_arena_alloc(arena, COUNT, sizeof *m);
        double *v = uh_arena_alloc(arena, COUNT, sizeof *v);
        float *g[3];
        for (size_t i = 0; i < COUNT; i++) {
            want[i] = (double)(w[i] = again[i] = uh_stream_uniformf(&s));
        }
        for (int t = 1; t <= 3; t++) {
            for (size_t k = 0; k < 3; k++) {
                g[k] = uh_arena_alloc(arena, COUNT, sizeof *g[k]);
                for (size_t i = 0; i < COUNT; i++) {
                    g[k][i] = uh_stream_uniformf(&s) - 0.3F;
                }
            }
            const float *const shards[3] = {g[0], g[1], g[2]};
            uh_optim_step(&one, pools[0], 3, shards, w);
            uh_optim_step(&two, pools[1], 3, shards, again);
            for (size_t i = 0; i < COUNT; i++) {
                double sum =
                    (double)g[0][i] + (double)g[1][i] + (double)g[2][i];
                /* Adam divides by the gradient: skip where it cancels. */
                if (rules[r].optim.rule == UH_ADAM && fabs(sum) < 0.01) {
                    want[i] = (double)NAN;
                }
                want[i] =
                    textbook(&rules[r].optim, t, want[i], sum, &m[i], &v[i]);
            }
        }
        assert_memory_equal(w, again, COUNT * sizeof *w);
        size_t seen = 0;
        for (size_t i = 0; i < COUNT; i++) {
            if (isnan(want[i])) {
                continue;
            }
            seen++;
            if (!(fabs((double)w[i] - want[i]) <= rules[r].tolerance)) {
                fail_msg("rule %zu, w[%zu]: got %.9g, want %.17g", r, i,
                         (double)w[i], want[i]);
            }
        }
        assert_true(seen > COUNT / 2);
        uh_pool_close(&pools[0]);
        uh_pool_close(&pools[1]);
        uh_arena_free(&arena);
    }
}

static void a_step_in_parts_is_the_step(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_pool *pool = uh_pool_open(1);
        struct uh_stream s = uh_stream_open("test/optim/parts/%zu", r);
        struct uh_optim whole = rules[r].optim, parts = rules[r].optim;
        uh_optim_start(&whole, COUNT, arena);
        uh_optim_start(&parts, COUNT, arena);
        float *w = uh_arena_alloc(arena, COUNT, sizeof *w);
        float *again = uh_arena_alloc(arena, COUNT, sizeof *w);
        float *g[2];
        for (size_t k = 0; k < 2; k++) {
            g[k] = uh_arena_alloc(arena, COUNT, sizeof *g[k]);
            for (size_t i = 0; i < COUNT; i++) {
                g[k][i] = uh_stream_uniformf(&s) - 0.3F;
            }
        }
        for (int t = 0; t < 3; t++) {
            uh_optim_step(&whole, pool, 2, (const float *const *)g, w);
            uh_optim_begin(&parts);
            for (size_t at = 0, n; at < COUNT; at += n) {
                n = uh_stream_below(&s, 999);
                n = n < COUNT - at ? n : COUNT - at;
                const float *part[2] = {g[0] + at, g[1] + at};
                uh_optim_part(&parts, at, n, 2, part, again);
            }
            assert_memory_equal(w, again, COUNT * sizeof *w);
        }
        assert_int_equal(whole.steps, parts.steps);
        uh_pool_close(&pool);
        uh_arena_free(&arena);
    }
}

/* -- training -------------------------------------------------------------------- */

enum { SAMPLES = 230, CLASSES = 3 };

static const char CONV[] = "input 1 8 8; conv 4 3 3 pad=1; maxpool 2; relu; "
                           "mark a; conv 4 3 3 pad=1; batchnorm; relu; add a; "
                           "flatten; dense 12; tanh; dense 3";
static const char DENSE[] = "input 1 8 8; flatten; dense 20; relu; dense 3";

/* Bars: class c has a bright row 2 c + 1, on noise. */
static struct uh_dataset bars(struct uh_arena *arena, const char *split)
{
    struct uh_stream s = uh_stream_open("test/train/bars/%s", split);
    float *x = uh_arena_alloc(arena, SAMPLES * 64, sizeof *x);
    uint8_t *y = uh_arena_alloc(arena, SAMPLES, sizeof *y);
    for (size_t i = 0; i < SAMPLES; i++) {
        y[i] = (uint8_t)uh_stream_below(&s, CLASSES);
        for (size_t j = 0; j < 64; j++) {
            x[i * 64 + j] = 0.8F * uh_stream_uniformf(&s) +
                            (j / 8 == 2U * y[i] + 1 ? 0.4F : 0);
        }
    }
    return (struct uh_dataset){.name = "bars",
                               .split = split,
                               .shape = {1, 8, 8},
                               .count = SAMPLES,
                               .classes = CLASSES,
                               .x = x,
                               .y = y,
                               .digest = "bars"};
}

static struct uh_train settings(size_t shards)
{
    struct uh_train how = uh_train_defaults();
    how.epochs = 3;
    how.batch = 32;
    how.shards = shards;
    how.optim.rate = 0.05F;
    how.stream = "test/train";
    return how;
}

/* Trains from the beginning and gives the digest. */
static void train(const char *arch, const struct uh_train *how, size_t threads,
                  char hex[65])
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(threads);
    struct uh_dataset data = bars(arena, "train");
    struct uh_net net = uh_net_make(arch, arena);
    struct uh_error error;
    uh_net_init(&net, "test/train/init");
    if (uh_train(&net, pool, &data, how, arena, &error) != UH_OK) {
        fail_msg("%s", error.text);
    }
    uh_net_digest(&net, hex);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void threads_change_no_bit_and_shards_do(void **state)
{
    (void)state;
    const char *const archs[] = {CONV, DENSE};
    for (size_t a = 0; a < 2; a++) {
        char hex[5][65];
        for (size_t shards = 1; shards <= 5; shards += 2) {
            struct uh_train how = settings(shards);
            for (size_t threads = 1; threads <= 3; threads++) {
                train(archs[a], &how, threads, hex[threads - 1]);
                assert_string_equal(hex[threads - 1], hex[0]);
            }
            if (shards > 1) {
                assert_string_not_equal(hex[0], hex[3]);
            }
            strcpy(hex[3], hex[0]);
        }
    }
}

struct watch {
    size_t calls, ends;
    double first, last, correct;
};

static void look(void *context, const struct uh_net *net,
                 const struct uh_train_step *step)
{
    struct watch *w = context;
    (void)net;
    w->calls++;
    assert_int_equal(step->step, w->calls);
    assert_int_equal(step->steps, 24);
    assert_int_equal(step->epoch, (step->step - 1) / 8);
    assert_int_equal(step->epoch_ends, step->step % 8 == 0);
    if (step->epoch_ends) {
        w->first = w->ends++ ? w->first : step->epoch_loss;
        w->last = step->epoch_loss;
        w->correct = step->epoch_correct;
    }
}

static void training_learns_and_reports_each_step(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(2);
    struct uh_dataset data = bars(arena, "train"), test = bars(arena, "test");
    struct uh_net net = uh_net_make(CONV, arena);
    struct uh_error error;
    struct watch watch = {0};
    struct uh_train how = settings(2);
    how.after_step = look;
    how.context = &watch;
    uh_net_init(&net, "test/train/init");
    struct uh_score before = uh_evaluate(&net, pool, &test, NULL);
    assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error), UH_OK);
    float *logits = uh_arena_alloc(arena, SAMPLES * CLASSES, sizeof *logits);
    struct uh_score after = uh_evaluate(&net, pool, &test, logits);
    assert_int_equal(watch.calls, 24); /* ceil(230 / 32) = 8 an epoch */
    assert_int_equal(watch.ends, 3);
    assert_true(watch.last < 0.5 * watch.first && watch.correct > 0.9);
    assert_true(before.correct < SAMPLES * 6 / 10);
    assert_true(after.correct > SAMPLES * 9 / 10 && after.loss < before.loss);
    assert_int_equal(uh_loss_correct(SAMPLES, CLASSES, logits, test.y),
                     after.correct);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* One step on the whole set, written out: each shard sample by sample, then
 * the shards in order. */
static void a_step_is_the_gradient_of_the_mean_loss(void **state)
{
    (void)state;
    enum { SHARDS = 3 };
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_dataset data = bars(arena, "train");
    struct uh_net net = uh_net_make(DENSE, arena);
    struct uh_error error;
    struct uh_train how = settings(SHARDS);
    how.epochs = 1;
    how.batch = SAMPLES;
    how.optim.momentum = 0;
    uh_net_init(&net, "test/train/init");
    struct uh_net begin = uh_net_copy(&net, arena);
    assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error), UH_OK);

    uint32_t order[SAMPLES];
    struct uh_stream s = uh_stream_open("test/train/epoch=0");
    uh_stream_permutation(&s, SAMPLES, order);
    float *g[SHARDS];
    for (size_t k = 0; k < SHARDS; k++) {
        g[k] = uh_arena_alloc(arena, net.parameter_count, sizeof *g[k]);
        for (size_t i = k * SAMPLES / SHARDS; i < (k + 1) * SAMPLES / SHARDS;
             i++) {
            float dy[CLASSES];
            struct uh_trace trace =
                uh_net_trace(&begin, pool, 1, data.x + order[i] * 64, 0, arena);
            uh_loss_softmax(1, CLASSES, trace.out[begin.layers - 1],
                            &data.y[order[i]], 1.0 / SAMPLES, dy);
            uh_net_backward(&begin, pool, &trace, dy, g[k], NULL);
        }
    }
    for (size_t i = 0; i < net.parameter_count; i++) {
        float sum = g[0][i] + g[1][i] + g[2][i];
        float w = begin.parameters[i] - how.optim.rate * sum;
        assert_memory_equal(&w, &net.parameters[i], sizeof w);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void running_statistics_see_every_shard_in_order(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(2);
    struct uh_dataset data = bars(arena, "train");
    struct uh_net net =
        uh_net_make("input 1 8 8; batchnorm; flatten; dense 3", arena);
    struct uh_error error;
    struct uh_train how = settings(2);
    how.epochs = 1;
    how.batch = SAMPLES;
    struct uh_net begin = uh_net_copy(&net, arena);
    assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error), UH_OK);

    uint32_t order[SAMPLES];
    struct uh_stream s = uh_stream_open("test/train/epoch=0");
    uh_stream_permutation(&s, SAMPLES, order);
    double mean = 0, var = 1;
    for (size_t k = 0; k < 2; k++) {
        double n = 64 * SAMPLES / 2, sum = 0, squares = 0;
        for (size_t i = k * SAMPLES / 2; i < (k + 1) * SAMPLES / 2; i++) {
            for (size_t j = 0; j < 64; j++) {
                double x = (double)data.x[order[i] * 64 + j];
                sum += x;
                squares += x * x;
            }
        }
        mean = 0.9 * mean + 0.1 * sum / n;
        var = 0.9 * var + 0.1 * (squares - sum * sum / n) / (n - 1);
    }
    assert_true(begin.state[0] == 0 && begin.state[1] == 1);
    assert_true(fabs((double)net.state[0] - mean) <= 1e-6);
    assert_true(fabs((double)net.state[1] - var) <= 1e-6);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

static void keep_digest(void *context, const struct uh_net *net,
                        const struct uh_train_step *step)
{
    (void)step;
    uh_net_digest(net, context);
}

static void a_diverging_training_is_reported(void **state)
{
    (void)state;
    for (size_t shards = 1; shards <= 2; shards++) {
        struct uh_arena *arena = uh_arena_new();
        struct uh_pool *pool = uh_pool_open(1);
        struct uh_dataset data = bars(arena, "train");
        struct uh_net net = uh_net_make(DENSE, arena);
        struct uh_error error;
        struct uh_train how = settings(shards);
        char last[65], now[65];
        how.optim.rate = 1e30F;
        how.after_step = keep_digest;
        how.context = last;
        uh_net_init(&net, "test/train/init");
        assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error),
                         UH_NOT_FINITE);
        assert_non_null(strstr(error.text, "finite loss"));
        uh_net_digest(&net, now);
        assert_string_equal(now, last); /* as it was then */
        uh_pool_close(&pool);
        uh_arena_free(&arena);
    }
}

/* -- checkpoints ---------------------------------------------------------------- */

struct killer {
    size_t at;
};

static void kill_at(void *context, const struct uh_net *net,
                    const struct uh_train_step *step)
{
    const struct killer *k = context;
    (void)net;
    if (step->step == k->at) {
        raise(SIGKILL);
    }
}

static void a_killed_training_resumes_to_the_same_bits(void **state)
{
    (void)state;
    struct uh_stream s = uh_stream_open("test/train/kill");
    for (int adam = 0; adam < 2; adam++) {
        struct uh_train how = settings(adam ? 1 : 3);
        char whole[65], resumed[65];
        how.optim.rule = adam ? UH_ADAM : UH_SGD;
        how.optim.rate = adam ? 0.01F : 0.05F;
        train(CONV, &how, 2, whole);
        how.checkpoint = path;
        how.checkpoint_every = 3;
        unlink(path);
        for (size_t kills = 0, at = 0; kills < 3; kills++) {
            at += 1 + uh_stream_below(&s, 8);
            struct killer killer = {at};
            how.after_step = kill_at;
            how.context = &killer;
            pid_t child = fork();
            if (child == 0) {
                train(CONV, &how, 1, resumed);
                _exit(0);
            }
            int status;
            assert_int_equal(waitpid(child, &status, 0), child);
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        how.after_step = NULL;
        train(CONV, &how, 2, resumed);
        assert_string_equal(resumed, whole);
        train(CONV, &how, 2, resumed); /* finished: at once the result */
        assert_string_equal(resumed, whole);
    }
}

static void a_finished_training_can_be_trained_on(void **state)
{
    (void)state;
    struct uh_train how = settings(2);
    char whole[65], on[65];
    train(CONV, &how, 1, whole);
    unlink(path);
    how.checkpoint = path;
    how.epochs = 1;
    train(CONV, &how, 1, on);
    how.epochs = 3;
    train(CONV, &how, 1, on);
    assert_string_equal(on, whole);
}

static void a_checkpoint_of_another_training_is_refused(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_dataset data = bars(arena, "train");
    struct uh_train how = settings(2);
    struct uh_error error;
    char hex[65], kept[65];
    unlink(path);
    how.checkpoint = path;
    train(DENSE, &how, 1, hex);
    how.optim.rate *= 2;
    struct uh_net net = uh_net_make(DENSE, arena);
    uh_net_init(&net, "test/train/init");
    uh_net_digest(&net, kept);
    assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error),
                     UH_BAD_INPUT);
    assert_non_null(strstr(error.text, path));
    how.optim.rate /= 2;
    uh_net_init(&net, "test/train/another");
    assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error),
                     UH_BAD_INPUT);
    uh_net_init(&net, "test/train/init");

    /* Cut off at any of some places: refused, nothing changed. */
    uint8_t *bytes;
    size_t size;
    assert_int_equal(uh_file_read(path, 0, arena, &bytes, &size, &error),
                     UH_OK);
    for (size_t cut = 0; cut < size; cut += size / 13 + 1) {
        FILE *f = fopen(path, "wb");
        assert_int_equal(fwrite(bytes, 1, cut, f), cut);
        fclose(f);
        assert_int_equal(uh_train(&net, pool, &data, &how, arena, &error),
                         UH_BAD_INPUT);
        uh_net_digest(&net, hex);
        assert_string_equal(hex, kept);
    }
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_log_sum_exp_less_the_label),
        cmocka_unit_test(a_nan_logit_gives_a_nan_loss),
        cmocka_unit_test(optimizers_are_those_of_the_textbook),
        cmocka_unit_test(a_step_in_parts_is_the_step),
        cmocka_unit_test(threads_change_no_bit_and_shards_do),
        cmocka_unit_test(training_learns_and_reports_each_step),
        cmocka_unit_test(a_step_is_the_gradient_of_the_mean_loss),
        cmocka_unit_test(running_statistics_see_every_shard_in_order),
        cmocka_unit_test(a_diverging_training_is_reported),
        cmocka_unit_test(a_killed_training_resumes_to_the_same_bits),
        cmocka_unit_test(a_finished_training_can_be_trained_on),
        cmocka_unit_test(a_checkpoint_of_another_training_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed ? 1 : 0;
}
