/* test_dataset.c: data sets made of files. */
#include "scratch.h"

#include "cifar.h"
#include "dataset.h"
#include "digest.h"
#include "idx.h"

static char folder[PATH];

static int setup(void **state)
{
    scratch_make(folder);
    static const char *const set[] = {"mnist", "notmnist", "cifar10"};
    for (size_t i = 0; i < 3; i++) {
        char command[2 * PATH];
        snprintf(command, sizeof command, "mkdir %s/%s", folder, set[i]);
        assert_int_equal(system(command), 0);
    }
    return arena_made(state);
}

static int teardown(void **state)
{
    scratch_remove(folder);
    return arena_gone(state);
}

/* Writes a file of the set, gzip'd where the name says so. */
static void put(const char *name, const void *bytes, size_t size)
{
    if (strstr(name, ".gz")) {
        size_t small;
        uint8_t *gz = packed(bytes, size, &small);
        put_file(folder, name, gz, small);
        free(gz);
    } else {
        put_file(folder, name, bytes, size);
    }
}

enum { COUNT = 4, SIDE = 28, PIXELS = SIDE * SIDE };

static size_t make_images(uint8_t out[16 + COUNT * PIXELS], size_t count,
                          size_t side)
{
    memset(out, 0, 16);
    out[2] = 8;
    out[3] = 3;
    out[7] = (uint8_t)count;
    out[11] = (uint8_t)side;
    out[15] = (uint8_t)side;
    for (size_t i = 0; i < count * side * side; i++) {
        out[16 + i] = (uint8_t)(i * 11);
    }
    return 16 + count * side * side;
}

static size_t make_labels(uint8_t out[8 + COUNT], size_t count, uint8_t first)
{
    memset(out, 0, 8);
    out[2] = 8;
    out[3] = 1;
    out[7] = (uint8_t)count;
    for (size_t i = 0; i < count; i++) {
        out[8 + i] = (uint8_t)(first + i);
    }
    return 8 + count;
}

/* Puts a small set under the names that begin as prefix. */
static void put_idx(const char *prefix, const char *end, size_t labels,
                    uint8_t first, size_t side)
{
    uint8_t images[16 + COUNT * PIXELS], label[8 + COUNT];
    char name[PATH];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", prefix, end);
    put(name, images, make_images(images, COUNT, side));
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", prefix, end);
    put(name, label, make_labels(label, labels, first));
}

static void assert_refused(struct uh_arena *arena, const char *name,
                           const char *split, enum uh_status status,
                           const char *format)
{
    char line[8 * PATH];
    struct uh_error error = {""};
    struct uh_dataset set = {.count = 77};
    assert_int_equal(uh_dataset_load(name, split, folder, arena, &set, &error),
                     status);
    const char *place = strchr(format, '@');
    snprintf(line, sizeof line, "%.*s%s%s",
             place ? (int)(place - format) : (int)strlen(format), format,
             place ? folder : "", place ? place + 1 : "");
    assert_string_equal(error.text, line);
    assert_int_equal(set.count, 77);
}

static void idx_set_is_what_its_files_say(void **state)
{
    put_idx("mnist/train", "", COUNT, 3, SIDE);
    put_idx("mnist/t10k", ".gz", COUNT, 6, SIDE);
    struct uh_dataset d;
    struct uh_error error = {""};
    if (uh_dataset_load("mnist", "train", folder, *state, &d, &error) !=
        UH_OK) {
        fail_msg("%s", error.text);
    }
    assert_string_equal(d.name, "mnist");
    assert_string_equal(d.split, "train");
    assert_int_equal(d.shape.channels, 1);
    assert_int_equal(d.shape.height, SIDE);
    assert_int_equal(d.shape.width, SIDE);
    assert_int_equal(d.count, COUNT);
    assert_int_equal(d.classes, 10);
    assert_string_equal(d.class_names[7], "7");
    assert_false(d.canonical);
    assert_null(d.latent);
    for (size_t i = 0; i < COUNT * PIXELS; i++) {
        assert_true(d.x[i] == (float)(uint8_t)(i * 11) / 255.0f);
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(d.y[i], 3 + i);
    }
    assert_int_equal(
        uh_dataset_load("mnist", "test", folder, *state, &d, &error), UH_OK);
    assert_int_equal(d.y[0], 6);
}

static void digest_is_of_images_then_labels(void **state)
{
    uint8_t both[16 + COUNT * PIXELS + 8 + COUNT];
    size_t n = make_images(both, COUNT, SIDE);
    n += make_labels(both + n, COUNT, 0);
    char digest[65];
    uh_digest_of(both, n, digest);
    static const char *const end[] = {"", ".gz"};
    for (size_t i = 0; i < 2; i++) {
        struct uh_dataset d;
        teardown(state);
        setup(state);
        put_idx("notmnist/t10k", end[i], COUNT, 0, SIDE);
        assert_int_equal(
            uh_dataset_load("notmnist", "test", folder, *state, &d, NULL),
            UH_OK);
        assert_string_equal(d.digest, digest);
        assert_string_equal(d.class_names[9], "J");
    }
}

static void unknown_names_and_missing_files_are_one_line(void **state)
{
    assert_refused(*state, "imagenet", "train", UH_BAD_INPUT,
                   "data set: expected mnist, cifar10 or notmnist, found "
                   "imagenet");
    assert_refused(*state, "mnist", "dev", UH_BAD_INPUT,
                   "split of mnist: expected train or test, found dev");
    assert_refused(*state, "notmnist", "train", UH_BAD_INPUT,
                   "split of notmnist: expected test, found train");
    assert_refused(*state, "mnist", "train", UH_IO,
                   "data set mnist, train: expected train-images-idx3-ubyte or "
                   "train-images-idx3-ubyte.gz, found neither; make data "
                   "fetches it (@/mnist)");
    assert_refused(*state, "cifar10", "test", UH_IO,
                   "data set cifar10, test: expected test_batch.bin or "
                   "test_batch.bin.gz, found neither; make data fetches it "
                   "(@/cifar10)");
}

static void labels_that_do_not_fit_are_refused(void **state)
{
    put_idx("mnist/train", "", COUNT - 1, 0, SIDE);
    assert_refused(*state, "mnist", "train", UH_BAD_INPUT,
                   "labels: expected 4, one per image, found 3 "
                   "(@/mnist/train-labels-idx1-ubyte)");
    put_idx("mnist/train", "", COUNT, 7, SIDE);
    assert_refused(*state, "mnist", "train", UH_BAD_INPUT,
                   "label 3: expected 0 to 9, found 10 "
                   "(@/mnist/train-labels-idx1-ubyte)");
}

static void images_that_do_not_fit_are_refused(void **state)
{
    put_idx("mnist/train", "", COUNT, 0, SIDE - 1);
    assert_refused(*state, "mnist", "train", UH_BAD_INPUT,
                   "images: expected 28 x 28, found 27 x 27 "
                   "(@/mnist/train-images-idx3-ubyte)");
    uint8_t label[8 + COUNT];
    put("mnist/train-images-idx3-ubyte", label, make_labels(label, COUNT, 0));
    assert_refused(*state, "mnist", "train", UH_BAD_INPUT,
                   "images: expected 3 axes (image, row, column), found 1 "
                   "(@/mnist/train-images-idx3-ubyte)");
    uint8_t images[16 + COUNT * PIXELS];
    size_t n = make_images(images, COUNT, SIDE);
    put("mnist/train-images-idx3-ubyte", images, n);
    put("mnist/train-labels-idx1-ubyte", images, n);
    assert_refused(*state, "mnist", "train", UH_BAD_INPUT,
                   "labels: expected 1 axis, found 3 "
                   "(@/mnist/train-labels-idx1-ubyte)");
}

/* records records whose bytes tell the file and the place. */
static uint8_t *make_records(size_t records, uint8_t tint)
{
    uint8_t *r = malloc(records * UH_CIFAR_RECORD);
    for (size_t i = 0; i < records * UH_CIFAR_RECORD; i++) {
        r[i] = (uint8_t)(i * 3 + tint);
    }
    for (size_t k = 0; k < records; k++) {
        r[k * UH_CIFAR_RECORD] = (uint8_t)((k + tint) % 10);
    }
    return r;
}

static void put_records(const char *name, size_t records, uint8_t tint)
{
    uint8_t *r = make_records(records, tint);
    put(name, r, records * UH_CIFAR_RECORD);
    free(r);
}

static void cifar_subsets_are_joined_in_the_order_of_batches(void **state)
{
    put_records("cifar10/data_batch_4_first2.bin", 2, 4);
    put_records("cifar10/data_batch_1_first3.bin.gz", 3, 1);
    put_records("cifar10/data_batch_1_first3.bin", 3, 1);
    struct uh_dataset d;
    struct uh_error error = {""};
    if (uh_dataset_load("cifar10", "train", folder, *state, &d, &error) !=
        UH_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(d.count, 5);
    assert_int_equal(d.shape.channels, 3);
    assert_int_equal(d.shape.height, 32);
    static const uint8_t label[5] = {1, 2, 3, 4, 5};
    assert_memory_equal(d.y, label, 5);
    assert_true(d.x[0] == (1 * 3 + 1) / 255.0f);
    assert_true(d.x[3 * UH_CIFAR_PIXELS] == (1 * 3 + 4) / 255.0f);
    assert_string_equal(d.class_names[9], "truck");
    assert_false(d.canonical);
    uint8_t *a = make_records(3, 1), *b = make_records(2, 4);
    struct uh_digest digest;
    char hex[65];
    uh_digest_start(&digest);
    uh_digest_add(&digest, a, 3 * UH_CIFAR_RECORD);
    uh_digest_add(&digest, b, 2 * UH_CIFAR_RECORD);
    uh_digest_end(&digest, hex);
    assert_string_equal(d.digest, hex);
    free(a);
    free(b);
}

static void cifar_subset_must_hold_what_its_name_says(void **state)
{
    put_records("cifar10/test_batch_first3.bin", 2, 0);
    assert_refused(*state, "cifar10", "test", UH_BAD_INPUT,
                   "records: expected 3 from the name, found 2; a subset is "
                   "named ..._firstCOUNT.bin "
                   "(@/cifar10/test_batch_first3.bin)");
    put_records("cifar10/test_batch_first4.bin", 4, 0);
    assert_refused(*state, "cifar10", "test", UH_BAD_INPUT,
                   "data set cifar10: expected one subset of each batch, found "
                   "a second (@/cifar10/test_batch_first4.bin)");
    put_records("cifar10/test_batch.bin", 4, 0);
    assert_refused(*state, "cifar10", "test", UH_BAD_INPUT,
                   "records: expected 10000 from the name, found 4; a subset "
                   "is named ..._firstCOUNT.bin (@/cifar10/test_batch.bin)");
}

static void cifar_batches_are_whole_or_nothing(void **state)
{
    put_records("cifar10/data_batch_1_first3.bin", 3, 1);
    put_records("cifar10/data_batch_1.bin", 10000, 1);
    put_records("cifar10/data_batch_2.bin.gz", 10000, 2);
    assert_refused(*state, "cifar10", "train", UH_IO,
                   "data set cifar10, train: expected data_batch_3.bin or "
                   "data_batch_3.bin.gz, found neither; make data fetches it "
                   "(@/cifar10)");
    for (uint8_t i = 3; i <= 5; i++) {
        char name[PATH];
        snprintf(name, sizeof name, "cifar10/data_batch_%d.bin", i);
        put_records(name, 10000, i);
    }
    struct uh_dataset d;
    struct uh_error error = {""};
    if (uh_dataset_load("cifar10", "train", folder, *state, &d, &error) !=
        UH_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(d.count, 50000);
    assert_int_equal(d.y[0], 1);
    assert_int_equal(d.y[49999], (9999 + 5) % 10);
}

static void cifar_classes_must_be_named_as_ours(void **state)
{
    put_records("cifar10/test_batch_first2.bin", 2, 0);
    static const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\nfrog\n"
                                "dog\nhorse\nship\ntruck\n";
    put("cifar10/classes.txt", names, sizeof names - 1);
    assert_refused(*state, "cifar10", "test", UH_BAD_INPUT,
                   "class names: expected airplane to truck in ten lines, "
                   "found something else (@/cifar10/classes.txt)");
}

static const char *real_digest(struct uh_arena *arena, const char *name,
                               const char *split, struct uh_dataset *d)
{
    struct uh_error error = {""};
    if (uh_dataset_load(name, split, data_folder(), arena, d, &error) !=
        UH_OK) {
        fail_msg("%s", error.text);
    }
    return d->digest;
}

static void real_mnist_is_the_published_one(void **state)
{
    if (!data_folder()) {
        skip();
    }
    struct uh_dataset d;
    static const uint8_t first[] = {5, 0, 4, 1, 9};
    /* (zcat images; zcat labels) | sha256sum */
    assert_string_equal(
        real_digest(*state, "mnist", "train", &d),
        "c5097fdd51cfdbe7695fd9df3612695696864b5c424f58d843ffdc5d335e9914");
    assert_int_equal(d.count, 60000);
    assert_memory_equal(d.y, first, sizeof first);
    assert_true(d.canonical);
    assert_string_equal(
        real_digest(*state, "mnist", "test", &d),
        "18489308deedfe2f7bd3a11e599a597126f161d991b1ffcffb71642aa76f7f62");
    assert_int_equal(d.count, 10000);
    assert_true(d.canonical);
}

static void real_cifar_is_the_one_described(void **state)
{
    if (!data_folder()) {
        skip();
    }
    struct uh_dataset d;
    static const float red[] = {59, 43, 50, 68};
    const char *digest = real_digest(*state, "cifar10", "train", &d);
    for (size_t i = 0; i < 4; i++) {
        assert_true(d.x[i] == red[i] / 255.0f);
    }
    if (d.count != 4000) { /* not the subset: then all of it */
        assert_true(d.canonical);
        return;
    }
    assert_string_equal(
        digest,
        "0993cf8b8e43bc207603aef9787006995746513f5e3fa5a52e06d1b069926330");
    static const size_t expected[10] = {396, 366, 420, 384, 422,
                                        393, 414, 385, 407, 413};
    size_t found[10] = {0};
    for (size_t i = 0; i < d.count; i++) {
        found[d.y[i]]++;
    }
    assert_memory_equal(found, expected, sizeof found);
    /* Means as printed with the data, to four digits. */
    static const double mean[3] = {0.4916, 0.4818, 0.4447};
    for (size_t c = 0; c < 3; c++) {
        double sum = 0;
        for (size_t i = 0; i < d.count; i++) {
            for (size_t p = 0; p < 1024; p++) {
                sum += (double)d.x[(i * 3 + c) * 1024 + p];
            }
        }
        assert_true(sum / 4000 / 1024 > mean[c] - 6e-5 &&
                    sum / 4000 / 1024 < mean[c] + 6e-5);
    }
    assert_false(d.canonical);
    assert_string_equal(
        real_digest(*state, "cifar10", "test", &d),
        "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5");
    assert_int_equal(d.count, 1000);
}

static void real_notmnist_has_1000_of_each_letter(void **state)
{
    if (!data_folder()) {
        skip();
    }
    struct uh_dataset d;
    assert_string_equal(
        real_digest(*state, "notmnist", "test", &d),
        "c7c0ccfcaf98fceca8fcfe698ee356355a6598aa12f8a8c64c73d533380ada02");
    size_t found[10] = {0};
    for (size_t i = 0; i < d.count; i++) {
        found[d.y[i]]++;
    }
    for (size_t k = 0; k < 10; k++) {
        assert_int_equal(found[k], 1000);
    }
    assert_false(d.canonical);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(idx_set_is_what_its_files_say),
        T(digest_is_of_images_then_labels),
        T(unknown_names_and_missing_files_are_one_line),
        T(labels_that_do_not_fit_are_refused),
        T(images_that_do_not_fit_are_refused),
        T(cifar_subsets_are_joined_in_the_order_of_batches),
        T(cifar_subset_must_hold_what_its_name_says),
        T(cifar_batches_are_whole_or_nothing),
        T(cifar_classes_must_be_named_as_ours),
        T(real_mnist_is_the_published_one),
        T(real_cifar_is_the_one_described),
        T(real_notmnist_has_1000_of_each_letter),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL) != 0;
}
