/* dataset.c: labeled images, loaded from files. */
#include "dataset.h"
#include "cifar.h"
#include "die.h"
#include "digest.h"
#include "file.h"
#include "idx.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 5, BATCH_RECORDS = 10000 };

const char *const uh_class_names_digits[10] = {"0", "1", "2", "3", "4",
                                               "5", "6", "7", "8", "9"};
const char *const uh_class_names_letters[10] = {"A", "B", "C", "D", "E",
                                                "F", "G", "H", "I", "J"};
const char *const uh_class_names_cifar10[10] = {
    "airplane", "automobile", "bird",  "cat",  "deer",
    "dog",      "frog",       "horse", "ship", "truck"};

/* SHA-256 of the unpacked files as they were published.  MNIST: their md5 is
 * the published one.  CIFAR-10: as recorded by torchvision-ruby (A. Kane); not
 * seen here, for want of the files. */
static const char *const PUBLISHED[] = {
    /* mnist/train-images, train-labels, t10k-images, t10k-labels */
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    /* cifar10/data_batch_1 to 5, test_batch */
    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
};

static bool is_published(const char *digest)
{
    for (size_t i = 0; i < sizeof PUBLISHED / sizeof *PUBLISHED; i++) {
        if (strcmp(digest, PUBLISHED[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What a load in progress hands around.  files holds the bytes of the files
 * and is gone at the end; arena holds the data set. */
struct loading {
    const char *name, *split, *folder;
    struct uh_arena *files, *arena;
    struct uh_error *error;
};

static float *pixels_to_unit(size_t n, const uint8_t *pixels, float *x)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)pixels[i] / 255.0f;
    }
    return x;
}

enum uh_status uh_dataset_of_idx(const struct uh_idx *images,
                                 const struct uh_idx *labels, size_t classes,
                                 const char *image_file, const char *label_file,
                                 struct uh_arena *arena, struct uh_dataset *out,
                                 struct uh_error *error)
{
    if (images->rank != 3) {
        return uh_fail(error, UH_BAD_INPUT,
                       "images: expected 3 axes (image, row, column), found "
                       "%zu (%s)",
                       images->rank, image_file);
    }
    if (labels->rank != 1) {
        return uh_fail(error, UH_BAD_INPUT,
                       "labels: expected 1 axis, found %zu (%s)", labels->rank,
                       label_file);
    }
    if (images->dims[0] != labels->dims[0]) {
        return uh_fail(error, UH_BAD_INPUT,
                       "labels: expected %zu, one per image, found %zu (%s)",
                       images->dims[0], labels->dims[0], label_file);
    }
    for (size_t i = 0; i < labels->count; i++) {
        if (labels->data[i] >= classes) {
            return uh_fail(error, UH_BAD_INPUT,
                           "label %zu: expected 0 to %zu, found %d (%s)", i,
                           classes - 1, labels->data[i], label_file);
        }
    }
    float *x = uh_arena_alloc_raw(arena, images->count, sizeof *x);
    uint8_t *y = uh_arena_alloc_raw(arena, labels->count, 1);
    memcpy(y, labels->data, labels->count);
    *out = (struct uh_dataset){
        .shape = {1, images->dims[1], images->dims[2]},
        .count = images->dims[0],
        .classes = classes,
        .x = pixels_to_unit(images->count, images->data, x),
        .y = y,
        .canonical =
            is_published(images->digest) && is_published(labels->digest),
    };
    struct uh_digest digest;
    uh_digest_start(&digest);
    uh_digest_add(&digest, images->content, images->content_size);
    uh_digest_add(&digest, labels->content, labels->content_size);
    uh_digest_end(&digest, out->digest);
    return UH_OK;
}

/* The path of the file in the set's folder, as it is or gzip'd; NULL where
 * there is neither. */
static const char *locate(const struct loading *l, const char *file)
{
    const char *plain =
        uh_arena_format(l->files, "%s/%s/%s", l->folder, l->name, file);
    const char *packed = uh_arena_format(l->files, "%s.gz", plain);
    return uh_file_exists(plain)    ? plain
           : uh_file_exists(packed) ? packed
                                    : NULL;
}

static enum uh_status missing(const struct loading *l, const char *file)
{
    return uh_fail(l->error, UH_IO,
                   "data set %s, %s: expected %s or %s.gz, found neither; make "
                   "data fetches it (%s/%s)",
                   l->name, l->split, file, file, l->folder, l->name);
}

static enum uh_status load_idx(const struct loading *l,
                               const char *const class_names[10],
                               struct uh_dataset *out)
{
    enum { SIDE = 28, CLASSES = 10, PARTS = 2 };
    static const char *const part[PARTS] = {"images-idx3-ubyte",
                                            "labels-idx1-ubyte"};
    const char *path[PARTS];
    struct uh_idx idx[PARTS];
    for (size_t i = 0; i < PARTS; i++) {
        const char *file = uh_arena_format(
            l->files, "%s-%s",
            strcmp(l->split, "train") == 0 ? "train" : "t10k", part[i]);
        path[i] = locate(l, file);
        if (!path[i]) {
            return missing(l, file);
        }
        enum uh_status status =
            uh_idx_read(path[i], l->files, &idx[i], l->error);
        if (status != UH_OK) {
            return status;
        }
    }
    if (idx[0].rank == 3 &&
        (idx[0].dims[1] != SIDE || idx[0].dims[2] != SIDE)) {
        return uh_fail(l->error, UH_BAD_INPUT,
                       "images: expected %d x %d, found %zu x %zu (%s)", SIDE,
                       SIDE, idx[0].dims[1], idx[0].dims[2], path[0]);
    }
    enum uh_status status = uh_dataset_of_idx(
        &idx[0], &idx[1], CLASSES, path[0], path[1], l->arena, out, l->error);
    if (status == UH_OK) {
        out->class_names = class_names;
    }
    return status;
}

/* One file of CIFAR-10: all of a batch, or its first records. */
struct batch {
    const char *path;
    size_t number;  /* of the training batch; 0 is the test batch */
    size_t records; /* that it must hold */
    struct uh_cifar content;
};

static enum uh_status whole_batches(const struct loading *l, bool train,
                                    struct batch batch[BATCHES], size_t *found)
{
    char missed[32] = "";
    *found = 0;
    for (size_t i = 1; i <= (train ? BATCHES : 1); i++) {
        char file[32] = "test_batch.bin";
        if (train) {
            snprintf(file, sizeof file, "data_batch_%zu.bin", i);
        }
        const char *path = locate(l, file);
        if (path) {
            batch[(*found)++] = (struct batch){path, i, BATCH_RECORDS, {0}};
        } else if (!*missed) {
            snprintf(missed, sizeof missed, "%s", file);
        }
    }
    return *found > 0 && *missed ? missing(l, missed) : UH_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Whether file is the name of a subset of a batch, and of which. */
static bool is_subset(const char *file, bool train, struct batch *batch)
{
    size_t number = 0, records = 0;
    if (train) {
        sscanf(file, "data_batch_%1zu_first%5zu", &number, &records);
    } else {
        sscanf(file, "test_batch_first%5zu", &records);
    }
    char name[64];
    if (train) {
        snprintf(name, sizeof name, "data_batch_%zu_first%zu.bin", number,
                 records);
    } else {
        snprintf(name, sizeof name, "test_batch_first%zu.bin", records);
    }
    *batch = (struct batch){NULL, number, records, {0}};
    size_t n = strlen(name);
    return records > 0 && (!train || (number >= 1 && number <= BATCHES)) &&
           strncmp(file, name, n) == 0 &&
           (file[n] == '\0' || strcmp(file + n, ".gz") == 0);
}

/* By batch, then by records, then the plain file before the gzip'd one. */
static int by_batch(const void *a, const void *b)
{
    const struct batch *s = a, *t = b;
    if (s->number != t->number) {
        return s->number < t->number ? -1 : 1;
    }
    if (s->records != t->records) {
        return s->records < t->records ? -1 : 1;
    }
    return strcmp(s->path, t->path);
}

static enum uh_status subsets(const struct loading *l, bool train,
                              struct batch batch[BATCHES], size_t *found)
{
    enum { MOST = 64 };
    struct batch all[MOST];
    size_t n = 0;
    const char *where = uh_arena_format(l->files, "%s/%s", l->folder, l->name);
    DIR *folder = opendir(where);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        struct batch one;
        if (is_subset(e->d_name, train, &one) && n++ < MOST) {
            one.path = uh_arena_format(l->files, "%s/%s", where, e->d_name);
            all[n - 1] = one;
        }
    }
    if (folder) {
        closedir(folder);
    }
    if (n > MOST) {
        return uh_fail(l->error, UH_BAD_INPUT,
                       "data set %s: expected one subset of each batch, found "
                       "%zu files (%s)",
                       l->name, n, where);
    }
    qsort(all, n, sizeof *all, by_batch);
    *found = 0;
    for (size_t i = 0; i < n; i++) {
        if (*found > 0 && batch[*found - 1].number == all[i].number) {
            if (batch[*found - 1].records == all[i].records &&
                ends_with(all[i].path, ".gz")) {
                continue;
            }
            return uh_fail(l->error, UH_BAD_INPUT,
                           "data set %s: expected one subset of each batch, "
                           "found a second (%s)",
                           l->name, all[i].path);
        }
        batch[(*found)++] = all[i];
    }
    return *found ? UH_OK
                  : missing(l, train ? "data_batch_1.bin" : "test_batch.bin");
}

/* classes.txt, where it is there, must name the classes as we do. */
static enum uh_status check_class_names(const struct loading *l)
{
    const char *path =
        uh_arena_format(l->files, "%s/%s/classes.txt", l->folder, l->name);
    if (!uh_file_exists(path)) {
        return UH_OK;
    }
    char expected[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < UH_CIFAR_CLASSES; i++) {
        used += (size_t)snprintf(expected + used, sizeof expected - used,
                                 "%s\n", uh_class_names_cifar10[i]);
    }
    uint8_t *text;
    size_t size;
    enum uh_status status =
        uh_file_read(path, 1 << 16, l->files, &text, &size, l->error);
    if (status == UH_OK &&
        (size < used || memcmp(text, expected, used) != 0 ||
         strspn((const char *)text + used, "\r\n") != size - used)) {
        return uh_fail(l->error, UH_BAD_INPUT,
                       "class names: expected airplane to truck in ten lines, "
                       "found something else (%s)",
                       path);
    }
    return status;
}

static enum uh_status read_batches(const struct loading *l, size_t batches,
                                   struct batch *batch, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < batches; i++) {
        struct uh_cifar *content = &batch[i].content;
        enum uh_status status =
            uh_cifar_read(batch[i].path, l->files, content, l->error);
        if (status != UH_OK) {
            return status;
        }
        if (content->count != batch[i].records) {
            return uh_fail(l->error, UH_BAD_INPUT,
                           "records: expected %zu from the name, found %zu; a "
                           "subset is named ..._firstCOUNT.bin (%s)",
                           batch[i].records, content->count, batch[i].path);
        }
        *count += content->count;
    }
    return UH_OK;
}

static void join_batches(const struct loading *l, size_t batches,
                         const struct batch *batch, size_t count,
                         struct uh_dataset *out)
{
    float *x = uh_arena_alloc_raw(l->arena, uh_size_mul(count, UH_CIFAR_PIXELS),
                                  sizeof *x);
    uint8_t *y = uh_arena_alloc_raw(l->arena, count, 1);
    *out = (struct uh_dataset){
        .shape = {3, UH_CIFAR_SIDE, UH_CIFAR_SIDE},
        .count = count,
        .classes = UH_CIFAR_CLASSES,
        .x = x,
        .y = y,
        .class_names = uh_class_names_cifar10,
        .canonical = true,
    };
    struct uh_digest digest;
    uh_digest_start(&digest);
    for (size_t i = 0; i < batches; i++) {
        const struct uh_cifar *c = &batch[i].content;
        uh_digest_add(&digest, c->records, c->count * UH_CIFAR_RECORD);
        out->canonical = out->canonical && is_published(c->digest);
        for (size_t k = 0; k < c->count; k++) {
            const uint8_t *record = c->records + k * UH_CIFAR_RECORD;
            *y++ = record[0];
            pixels_to_unit(UH_CIFAR_PIXELS, record + 1, x);
            x += UH_CIFAR_PIXELS;
        }
    }
    uh_digest_end(&digest, out->digest);
}

static enum uh_status load_cifar(const struct loading *l,
                                 struct uh_dataset *out)
{
    bool train = strcmp(l->split, "train") == 0;
    struct batch batch[BATCHES];
    size_t batches, count;
    enum uh_status status = whole_batches(l, train, batch, &batches);
    if (status == UH_OK && batches == 0) {
        status = subsets(l, train, batch, &batches);
    }
    if (status == UH_OK) {
        status = check_class_names(l);
    }
    if (status == UH_OK) {
        status = read_batches(l, batches, batch, &count);
    }
    if (status == UH_OK) {
        join_batches(l, batches, batch, count, out);
    }
    return status;
}

static enum uh_status load(const struct loading *l, struct uh_dataset *out)
{
    bool letters = strcmp(l->name, "notmnist") == 0;
    bool digits = strcmp(l->name, "mnist") == 0;
    if (!letters && !digits && strcmp(l->name, "cifar10") != 0) {
        return uh_fail(l->error, UH_BAD_INPUT,
                       "data set: expected mnist, cifar10 or notmnist, found "
                       "%.80s",
                       l->name);
    }
    bool test = strcmp(l->split, "test") == 0;
    if (!test && (letters || strcmp(l->split, "train") != 0)) {
        return uh_fail(l->error, UH_BAD_INPUT,
                       "split of %s: expected %s, found %.80s", l->name,
                       letters ? "test" : "train or test", l->split);
    }
    return letters  ? load_idx(l, uh_class_names_letters, out)
           : digits ? load_idx(l, uh_class_names_digits, out)
                    : load_cifar(l, out);
}

enum uh_status uh_dataset_load(const char *name, const char *split,
                               const char *folder, struct uh_arena *arena,
                               struct uh_dataset *out, struct uh_error *error)
{
    struct loading l = {name, split, folder, uh_arena_new(), arena, error};
    struct uh_mark mark = uh_arena_open(arena);
    struct uh_dataset set = {0};
    enum uh_status status = load(&l, &set);
    uh_arena_free(&l.files);
    if (status != UH_OK) {
        uh_arena_release(arena, mark);
        return status;
    }
    set.name = uh_arena_text(arena, name);
    set.split = uh_arena_text(arena, split);
    *out = set;
    return UH_OK;
}
