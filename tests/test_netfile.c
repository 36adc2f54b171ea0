/* test_netfile.c: networks as files, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane.h"
#include "net.h"
#include "safetensors.h"
#include "stream.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_netfile-XXXXXX";
static char path[64];

static const char ARCH[] = "input 2 6 6; conv 4 3 3 pad=1 groups=2; batchnorm; "
                           "relu; mark a; conv 4 1 1; add a; meanpool 2; "
                           "flatten; dense 3";

enum { TENSORS = 10, MOST = 16 };

/* A file in the making: tensors that can be spoiled before it is written. */
struct draft {
    struct uh_arena *arena;
    const char *arch;
    size_t tensors;
    struct uh_stored_tensor tensor[MOST];
    float *data[MOST];
};

static void add(struct draft *d, const char *name, size_t rank, size_t a,
                size_t b, size_t c, size_t e)
{
    size_t n = a * b * c * e;
    struct uh_stream s = uh_stream_open("test/netfile/%s", name);
    float *v = uh_arena_alloc(d->arena, n, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i] = 0.5F + uh_stream_uniformf(&s);
    }
    d->data[d->tensors] = v;
    d->tensor[d->tensors++] =
        (struct uh_stored_tensor){.name = name,
                                  .dtype = UH_F32,
                                  .rank = rank,
                                  .dims = {a, b, c, e, 1, 1, 1, 1},
                                  .count = n,
                                  .data = v};
}

static struct draft draft_of(void)
{
    struct draft d = {.arena = uh_arena_new(), .arch = ARCH};
    add(&d, "0.weight", 4, 4, 1, 3, 3);
    add(&d, "0.bias", 1, 4, 1, 1, 1);
    add(&d, "1.weight", 1, 4, 1, 1, 1);
    add(&d, "1.bias", 1, 4, 1, 1, 1);
    add(&d, "1.running_mean", 1, 4, 1, 1, 1);
    add(&d, "1.running_var", 1, 4, 1, 1, 1);
    add(&d, "4.weight", 4, 4, 4, 1, 1);
    add(&d, "4.bias", 1, 4, 1, 1, 1);
    add(&d, "8.weight", 2, 3, 36, 1, 1);
    add(&d, "8.bias", 1, 3, 1, 1, 1);
    return d;
}

static enum uh_status load(struct draft *d, struct uh_net *net,
                           struct uh_error *error)
{
    struct uh_metadata arch = {"arch", d->arch};
    uh_safetensors_write(path, d->tensors, d->tensor, d->arch ? 1 : 0, &arch);
    return uh_net_load(path, d->arena, net, error);
}

static void a_saved_network_loads_with_the_same_bits(void **state)
{
    (void)state;
    struct draft d = draft_of();
    struct uh_net net, again;
    struct uh_error error;
    char one[65], two[65];
    assert_int_equal(load(&d, &net, &error), UH_OK);
    assert_int_equal(net.layers, 9);
    assert_memory_equal(net.layer[0].weight, d.data[0], 36 * sizeof(float));
    assert_memory_equal(net.layer[8].bias, d.data[9], 3 * sizeof(float));
    uh_net_save(&net, path);
    assert_int_equal(uh_net_load(path, d.arena, &again, &error), UH_OK);
    assert_string_equal(net.arch, again.arch);
    uh_net_digest(&net, one);
    uh_net_digest(&again, two);
    assert_string_equal(one, two);
    /* The digest sees every entry. */
    float *const entries[2] = {again.parameters, again.state};
    const size_t count[2] = {again.parameter_count, again.state_count};
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < count[i]; j++) {
            float kept = entries[i][j];
            entries[i][j] = nextafterf(kept, 2);
            uh_net_digest(&again, two);
            assert_string_not_equal(one, two);
            entries[i][j] = kept;
        }
    }
    uh_arena_free(&d.arena);
}

static void a_missing_bias_is_zero(void **state)
{
    (void)state;
    struct draft d = draft_of();
    struct uh_net net;
    struct uh_error error;
    d.tensors--;
    assert_int_equal(load(&d, &net, &error), UH_OK);
    for (size_t i = 0; i < 3; i++) {
        assert_true(net.layer[8].bias[i] == 0);
    }
    uh_arena_free(&d.arena);
}

static void float16_and_float64_weights_are_taken(void **state)
{
    (void)state;
    struct draft d = draft_of();
    struct uh_net net;
    struct uh_error error;
    const double wide[4] = {0.1, -2, 0x1p-160, 1e10};
    const uint16_t half[4] = {0x3C00, 0xC000, 0x3555, 0x0001};
    d.tensor[2].dtype = UH_F64;
    d.tensor[2].data = wide;
    d.tensor[7].dtype = UH_F16;
    d.tensor[7].data = half;
    assert_int_equal(load(&d, &net, &error), UH_OK);
    assert_true(net.layer[1].weight[0] == 0.1F);
    assert_true(net.layer[1].weight[2] == 0);
    assert_true(net.layer[4].bias[0] == 1 && net.layer[4].bias[1] == -2);
    assert_true(net.layer[4].bias[3] == 0x1p-24F);
    uh_arena_free(&d.arena);
}

static void a_batch_counter_of_pytorch_is_passed_over(void **state)
{
    (void)state;
    struct draft d = draft_of();
    struct uh_net net;
    struct uh_error error;
    const int64_t count = 938;
    d.tensor[d.tensors++] =
        (struct uh_stored_tensor){.name = "1.num_batches_tracked",
                                  .dtype = UH_I64,
                                  .dims = {1, 1, 1, 1, 1, 1, 1, 1},
                                  .data = &count};
    assert_int_equal(load(&d, &net, &error), UH_OK);
    uh_arena_free(&d.arena);
}

/* What a spoiled file is refused with: the words must be in the line. */
static void refused(struct draft *d, enum uh_status status, const char *a,
                    const char *b)
{
    struct uh_net net = {0};
    struct uh_error error = {{0}};
    enum uh_status found = load(d, &net, &error);
    if (found != status || !strstr(error.text, a) || !strstr(error.text, b) ||
        !strstr(error.text, path) || strchr(error.text, '\n') || net.layer) {
        fail_msg("status %d, \"%s\", expected %d, \"%s\", \"%s\"", (int)found,
                 error.text, (int)status, a, b);
    }
    uh_arena_free(&d->arena);
}

static void a_nan_or_an_infinity_is_refused_by_name(void **state)
{
    (void)state;
    const double huge[4] = {1, 1e300, 1, 1};
    struct draft d = draft_of();
    d.data[6][3] = NAN;
    refused(&d, UH_NOT_FINITE, "4.weight", "NaN at entry 3");
    d = draft_of();
    d.data[9][2] = -INFINITY;
    refused(&d, UH_NOT_FINITE, "8.bias", "infinity");
    d = draft_of(); /* finite in the file, but no float32 */
    d.tensor[2].dtype = UH_F64;
    d.tensor[2].data = huge;
    refused(&d, UH_NOT_FINITE, "1.weight", "entry 1");
    d = draft_of();
    d.data[5][1] = -1;
    refused(&d, UH_BAD_INPUT, "1.running_var", "entry 1");
}

static void tensors_that_do_not_fit_are_refused_by_name(void **state)
{
    (void)state;
    struct draft d = draft_of();
    d.tensor[8].dims[0] = 36;
    d.tensor[8].dims[1] = 3;
    refused(&d, UH_BAD_INPUT, "8.weight", "expected shape 3x36, found 36x3");
    d = draft_of(); /* the same entries, but of another rank */
    d.tensor[0].rank = 3;
    d.tensor[0].dims[1] = d.tensor[0].dims[2] = 3;
    d.tensor[0].dims[3] = 1;
    refused(&d, UH_BAD_INPUT, "0.weight", "found 4x3x3");
    d = draft_of();
    d.tensor[3].rank = 2;
    refused(&d, UH_BAD_INPUT, "1.bias", "expected shape 4, found 4x1");
    d = draft_of();
    d.tensor[5].name = "1.running_variance";
    refused(&d, UH_BAD_INPUT, "1.running_var", "none");
    d = draft_of();
    add(&d, "3.weight", 1, 4, 1, 1, 1);
    refused(&d, UH_BAD_INPUT, "3.weight", "another");
    d = draft_of();
    add(&d, "00.bias", 1, 4, 1, 1, 1);
    refused(&d, UH_BAD_INPUT, "00.bias", "another");
    d = draft_of();
    d.tensor[9].dtype = UH_I32;
    refused(&d, UH_BAD_INPUT, "8.bias", "I32");
}

static void an_arch_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct draft d = draft_of();
    d.arch = NULL;
    refused(&d, UH_BAD_INPUT, "arch", "none");
    d = draft_of();
    d.arch = "input 2 6 6; conv 4 9 9";
    refused(&d, UH_BAD_INPUT, "arch", "layer 0");
    d = draft_of();
    d.arch = "input 2 6 6; relu";
    refused(&d, UH_BAD_INPUT, "0.bias", "another");
    d = draft_of(); /* sizes that memory could not hold are never asked for */
    d.arch = "input 16777216; dense 127";
    refused(&d, UH_BAD_INPUT, "0.weight", "expected shape 127x16777216");
}

static void a_file_that_is_no_network_is_refused(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    struct uh_net net;
    struct uh_error error;
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs("hello", f);
    fclose(f);
    assert_int_equal(uh_net_load(path, arena, &net, &error), UH_BAD_INPUT);
    unlink(path);
    assert_int_equal(uh_net_load(path, arena, &net, &error), UH_IO);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_saved_network_loads_with_the_same_bits),
        cmocka_unit_test(a_missing_bias_is_zero),
        cmocka_unit_test(float16_and_float64_weights_are_taken),
        cmocka_unit_test(a_batch_counter_of_pytorch_is_passed_over),
        cmocka_unit_test(a_nan_or_an_infinity_is_refused_by_name),
        cmocka_unit_test(tensors_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(an_arch_that_does_not_fit_is_refused),
        cmocka_unit_test(a_file_that_is_no_network_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    uh_lane_check();
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/net.safetensors", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed ? 1 : 0;
}
