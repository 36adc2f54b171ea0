/* test_memory.c: memory that is not to be had.
 *
 * Each subject runs in children in which the k-th request for memory fails,
 * for every k until it runs through (behind the first EVERY, where loops ask
 * for the same again, for one in so many); once only that request, once every
 * one from it on.  malloc and its relatives are this program's own, so that the
 * requests of jansson, GMP, zlib, libpng and stdio are counted too; so is the
 * arena, of which every request is one of malloc here. */
#ifndef UH_ARENA_MALLOC
#define UH_ARENA_MALLOC
#endif
#include "../lib/arena.c"

#include "scratch.h"

#include "attack.h"
#include "book.h"
#include "cells.h"
#include "cifar.h"
#include "claim.h"
#include "dataset.h"
#include "die.h"
#include "digest.h"
#include "eigen.h"
#include "estimate.h"
#include "file.h"
#include "idx.h"
#include "ledger.h"
#include "net.h"
#include "npy.h"
#include "opnorm.h"
#include "picture.h"
#include "pieces.h"
#include "plain.h"
#include "ppm.h"
#include "ratio.h"
#include "safetensors.h"
#include "shapes.h"
#include "stats.h"
#include "step.h"
#include "strokes.h"
#include "table.h"
#include "torchvision.h"
#include "train.h"
#include "zoo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* The subcommand in one piece with what it shares with the others. */
#include "../tools/underhood/common.c"
#include "../tools/underhood/lipschitz.c"

/* The checkers of addresses and threads bring a malloc of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#if !defined(OWN_MALLOC) && defined(__GLIBC__)
#define OWN_MALLOC 1
#elif !defined(OWN_MALLOC)
#define OWN_MALLOC 0
#endif

enum { EVERY = 200 };

/* Seen by the parent, too. */
struct shared {
    atomic_size_t left;   /* requests until one fails; 0: none does */
    atomic_int from_then; /* all behind it fail, too */
    atomic_int failed;    /* one did */
    char result[65];      /* digest of what was read or computed */
};

static struct shared *shared;

#if OWN_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static int refused(void)
{
    if (!shared || atomic_load(&shared->left) == 0) {
        return 0;
    }
    if (atomic_load(&shared->left) > 1) {
        atomic_fetch_sub(&shared->left, 1);
        return 0;
    }
    if (!atomic_load(&shared->from_then)) {
        atomic_store(&shared->left, 0);
    }
    atomic_store(&shared->failed, 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refused() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return refused() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return refused() ? NULL : __libc_memalign(alignment, size);
}
#endif

struct place {
    char in[PATH], out[PATH]; /* folders */
};

static const char *in(const struct place *p, const char *name)
{
    static char path[2 * PATH];
    path_in(path, p->in, name);
    return path;
}

static const char *out(const struct place *p, const char *name)
{
    static char path[2 * PATH];
    path_in(path, p->out, name);
    return path;
}

static void must(enum uh_status status, const struct uh_error *error)
{
    if (status != UH_OK) {
        uh_die_error(error);
    }
}

static void result_is(const void *bytes, size_t size)
{
    uh_digest_of(bytes, size, shared->result);
}

/* --- subjects ------------------------------------------------------------ */

static void read_idx(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_idx x;
    must(uh_idx_read(in(p, "images.gz"), arena, &x, &error), &error);
    result_is(x.data, x.count);
}

static void read_cifar(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_cifar x;
    must(uh_cifar_read(in(p, "record.gz"), arena, &x, &error), &error);
    result_is(x.records, x.count * UH_CIFAR_RECORD);
}

static void load_data_sets(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_dataset set;
    must(uh_dataset_load("mnist", "test", p->in, arena, &set, &error), &error);
    must(uh_dataset_load("cifar10", "test", p->in, arena, &set, &error),
         &error);
    result_is(set.x, set.count * uh_shape_size(set.shape) * sizeof *set.x);
}

static void read_npy(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_npy x;
    must(uh_npy_read(in(p, "a.npy"), arena, &x, &error), &error);
    result_is(uh_npy_floats(&x, arena), x.count * sizeof(float));
    uh_npy_write_f64(out(p, "b.npy"), x.rank, x.dims, x.f64);
}

static void load_net(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_net net;
    must(uh_net_load(in(p, "net"), arena, &net, &error), &error);
    uh_net_digest(&net, shared->result);
    uh_net_save(&net, out(p, "net"));
}

static void load_codebook(const struct place *p, struct uh_arena *arena)
{
    static const char *const module[] = {"a"};
    static const enum uh_bias bias[] = {UH_BIAS_MAYBE};
    static const struct uh_net_names names = {"small", 1, module, bias, true};
    struct uh_error error;
    struct uh_net net;
    struct uh_safetensors stored;
    must(uh_safetensors_read(in(p, "codebook"), arena, &stored, &error),
         &error);
    must(uh_net_of_names(&stored, "input 4; dense 3", &names, arena, &net,
                         &error),
         &error);
    uh_net_digest(&net, shared->result);
}

static void load_published(const struct place *p, struct uh_arena *arena)
{
    static const struct uh_torchvision_options options = {{3, 9, 9}, "relu", 0};
    struct uh_error error;
    struct uh_torchvision found;
    struct uh_safetensors stored;
    must(uh_safetensors_read(in(p, "published"), arena, &stored, &error),
         &error);
    must(uh_torchvision_of_tensors(&stored, &options, arena, &found, &error),
         &error);
    uh_net_digest(&found.net, shared->result);
}

static void read_photograph(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_picture picture;
    must(uh_ppm_read(in(p, "a.ppm"), arena, &picture, &error), &error);
    result_is(picture.pixels, 3 * picture.width * picture.height);
}

static void draw_picture(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_picture picture;
    must(uh_picture_read(in(p, "a.png"), arena, &picture, &error), &error);
    result_is(picture.pixels, picture.width * picture.height);
    uh_picture_write(out(p, "b.png"), &picture);
}

static void keep_ledger(const struct place *p, struct uh_arena *arena)
{
    struct uh_ledger *ledger = uh_ledger_new(arena, "c", "quick", "abc");
    uh_ledger_stage(ledger, "stage", "0123");
    for (int i = 0; i < 3; i++) {
        uh_ledger_record(
            ledger,
            &(struct uh_record){.id = uh_arena_format(arena, "c/exact/%d", i),
                                .kind = UH_EXACT,
                                .what = "a rational",
                                .text = "-123456789012345678901234567891/7"});
    }
    uh_ledger_record(ledger, &(struct uh_record){.id = "c/sampled",
                                                 .kind = UH_SAMPLED,
                                                 .what = "a rate",
                                                 .unit = "1",
                                                 .claims = "B-1",
                                                 .data = "none=1",
                                                 .oracle = "another",
                                                 .residual = 0.25,
                                                 .value = 0.5,
                                                 .lower = 0.25,
                                                 .upper = 0.75,
                                                 .level = 0.95,
                                                 .n = 12,
                                                 .method = "clopper-pearson"});
    uh_ledger_record(ledger, &(struct uh_record){.id = "c/bits",
                                                 .kind = UH_BITS,
                                                 .what = "a float",
                                                 .value = 0.1});
    uh_ledger_write(ledger, out(p, "records.jsonl"));
    uh_ledger_free(ledger);
}

static void record_estimates(const struct place *p, struct uh_arena *arena)
{
    enum { COUNT = 3 };
    static const double x[COUNT] = {1, 2, 4};
    struct uh_ledger *ledger = uh_ledger_new(arena, "c", "quick", "abc");
    uh_ledger_rate(ledger, 3, 20, 0.95, "a rate", "rate/%d", 1);
    uh_ledger_student(ledger, COUNT, x, 0.95, "a mean", "student");
    uh_ledger_bootstrap(ledger, COUNT, x, 0.95, arena, "a mean", "bootstrap");
    uh_ledger_estimate(
        ledger, &(struct uh_estimate){0.5, 0.25, 0.75, 0.95, COUNT, "another"},
        "a number", "estimate");
    uh_ledger_write(ledger, out(p, "records.jsonl"));
    uh_ledger_free(ledger);
}

static void decide_claims(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_verdict *verdicts;
    size_t count;
    struct uh_book *book = uh_book_new(arena);
    must(uh_book_read(book, in(p, "records.jsonl"), &error), &error);
    must(uh_claims_decide("B-1 holds: c/bits < 0.2 and lower(c/sampled) > "
                          "1e-3\nB-2 refuted: all(c/exact/*) == -3/7\n",
                          book, arena, &verdicts, &count, &error),
         &error);
    struct uh_file *file = uh_file_create(out(p, "book.jsonl"));
    uh_book_write(book, uh_file_stream(file));
    for (size_t i = 0; i < count; i++) {
        fprintf(uh_file_stream(file), "%s %s\n", verdicts[i].claim,
                verdicts[i].word);
    }
    uh_file_commit(file);
    uh_book_free(book);
}

static void train_and_keep(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_dataset set;
    struct uh_pool *pool = uh_pool_open(2);
    uh_strokes("memory", 20, pool, arena, &set);
    struct uh_net net = uh_net_make("input 1 28 28; conv 2 5 5 stride=4; relu; "
                                    "maxpool 2; flatten; dense 10",
                                    arena);
    uh_net_init(&net, "memory/init");
    struct uh_train how = uh_train_defaults();
    how.batch = 10;
    how.shards = 2;
    how.stream = "memory/order";
    how.checkpoint = out(p, "checkpoint");
    must(uh_train(&net, pool, &set, &how, arena, &error), &error);
    uh_net_digest(&net, shared->result);
    uh_pool_close(&pool);
}

static void resume_training(const struct place *p, struct uh_arena *arena)
{
    struct uh_error error;
    struct uh_dataset set;
    struct uh_pool *pool = uh_pool_open(1);
    uh_shapes("memory", 10, pool, arena, &set);
    struct uh_net net = uh_net_make("input 3 32 32; flatten; dense 10", arena);
    struct uh_train how = uh_train_defaults();
    how.optim.rule = UH_ADAM;
    how.stream = "memory/order";
    how.checkpoint = in(p, "checkpoint");
    must(uh_train(&net, pool, &set, &how, arena, &error), &error);
    uh_net_digest(&net, shared->result);
    uh_pool_close(&pool);
}

static void walk_pieces(const struct place *p, struct uh_arena *arena)
{
    static const double from[3] = {-1, 0.5, 0.1}, to[3] = {1, -0.25, 3};
    struct uh_error error;
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_digest d;
    (void)p;
    uh_digest_start(&d);
    struct uh_net net = uh_net_make("input 3; dense 3; relu; mark a; dense 3; "
                                    "batchnorm; leakyrelu 0.1; add a; dense 1",
                                    arena);
    uh_net_init(&net, "memory/walk");
    for (int exact = 0; exact < 2; exact++) {
        struct uh_pieces pieces;
        struct uh_line line = {.a = from, .b = to, .only_exact = exact};
        must(uh_pieces_walk(&net, &line, pool, arena, &pieces, &error), &error);
        uh_digest_add(&d, pieces.position,
                      pieces.knots * sizeof *pieces.position);
    }
    const struct uh_zoo zoo = uh_zoo_sawtooth(4, arena);
    struct uh_pieces teeth;
    must(uh_pieces_walk(&zoo.net, &(struct uh_line){0}, pool, arena, &teeth,
                        &error),
         &error);
    uh_digest_add(&d, teeth.position, teeth.knots * sizeof *teeth.position);
    uh_digest_end(&d, shared->result);
    uh_pool_close(&pool);
}

static void walk_by_plain_loops(const struct place *p, struct uh_arena *arena)
{
    static const double from[32] = {-1, 0.5, 0.1}, to[32] = {1, -0.25, 3};
    struct uh_dual y[2];
    struct uh_digest d;
    (void)p;
    struct uh_net net = uh_net_make("input 2 4 4; conv 3 3 3 pad=1; batchnorm; "
                                    "mark a; relu; cat a; maxpool 2; flatten; "
                                    "dense 2",
                                    arena);
    uh_net_init(&net, "memory/plain");
    uint32_t *pattern = uh_arena_alloc(arena, uh_plain_pattern(&net), 4);
    size_t entries = uh_plain(&net, from, to, 0.375, y, pattern, arena);
    uh_digest_start(&d);
    uh_digest_add(&d, y, sizeof y);
    uh_digest_add(&d, pattern, entries * sizeof *pattern);
    uh_digest_end(&d, shared->result);
}

static void build_zoo(const struct place *p, struct uh_arena *arena)
{
    struct uh_digest d;
    (void)p;
    uh_digest_start(&d);
    for (size_t i = 0; i < uh_zoo_count(); i++) {
        char hex[65];
        struct uh_zoo entry = uh_zoo_entry(i, arena);
        uh_net_digest(&entry.net, hex);
        uh_digest_add(&d, hex, sizeof hex);
    }
    uh_digest_end(&d, shared->result);
}

static void look_into(const struct place *p, struct uh_arena *arena)
{
    enum { IMAGES = 6, INPUTS = 784, CLASSES = 10 };
    struct uh_dataset set;
    struct uh_digest d;
    static float logits[IMAGES * CLASSES], dx[IMAGES * INPUTS];
    struct uh_pool *pool = uh_pool_open(2);
    (void)p;
    uh_strokes("memory", IMAGES, pool, arena, &set);
    const struct uh_net made =
        uh_net_make("input 1 28 28; conv 3 5 5 stride=4; batchnorm; relu; "
                    "lrn 3; meanpool 2; mark a; tanh; add a; cat a; conv 2 2 2 "
                    "groups=2; maxpool 2; softplus; flatten; dense 10",
                    arena);
    struct uh_net copy = uh_net_copy(&made, arena);
    uh_net_init(&copy, "memory/look");
    const struct uh_net net = uh_net_fold(&copy, arena);
    const struct uh_score score = uh_evaluate(&net, pool, &set, logits);
    const struct uh_trace trace =
        uh_net_trace(&net, pool, IMAGES, set.x, 0, arena);
    uh_net_backward(&net, pool, &trace, logits, NULL, dx);
    const char *arch = uh_net_arch(&net, arena);
    uh_digest_start(&d);
    uh_digest_add(&d, &score.loss, sizeof score.loss);
    uh_digest_add(&d, dx, sizeof dx);
    uh_digest_add(&d, arch, strlen(arch));
    uh_digest_end(&d, shared->result);
    uh_pool_close(&pool);
}

static void bound_norms(const struct place *p, struct uh_arena *arena)
{
    static const struct uh_opnorm_options options = {.stream = "memory/norm"};
    struct uh_error error;
    struct uh_digest d;
    struct uh_pool *pool = uh_pool_open(2);
    (void)p;
    struct uh_net net = uh_net_make("input 1 4 4; conv 3 2 2 stride=2; relu; "
                                    "flatten; dense 3",
                                    arena);
    uh_net_init(&net, "memory/norm");
    uh_digest_start(&d);
    for (size_t i = 0; i < net.layers; i += 3) {
        const struct uh_layer *layer = &net.layer[i];
        const struct uh_opnorm norm =
            uh_opnorm_layer(layer, NULL, &options, pool, arena);
        const double number[] = {
            norm.lower, norm.upper, norm.upper_proved,
            uh_opnorm_gain(layer, NULL, pool, norm.vector)};
        must(uh_opnorm_check(layer, NULL, norm.runs, norm.run, 2 * norm.upper,
                             norm.share, pool, &error),
             &error);
        uh_digest_add(&d, number, sizeof number);
    }
    uh_digest_end(&d, shared->result);
    uh_pool_close(&pool);
}

/* What it prints stays behind among what it reads: a pipe would, too. */
static void run_lipschitz_command(const struct place *p, struct uh_arena *arena)
{
    char *words[] = {"lipschitz", NULL, NULL};
    uint8_t *printed;
    size_t size;
    words[1] = uh_arena_text(arena, in(p, "small"));
    fflush(stdout);
    int file = open(in(p, "printed"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(file, STDOUT_FILENO);
    close(file);
    setenv("JOBS", "2", 1);
    lipschitz_command.run(2, words, &lipschitz_command);
    finish_stdout();
    must(uh_file_read(in(p, "printed"), 0, arena, &printed, &size, NULL), NULL);
    result_is(printed, size);
}

static void decompose(const struct place *p, struct uh_arena *arena)
{
    enum { ROWS = 3, COLS = 5 };
    static const float w[ROWS * COLS] = {1, 2, 3, 4, 5, -1, 0.5F, 0, 2, 1};
    double found[ROWS + 1];
    (void)p;
    uh_singular_values(ROWS, COLS, w, found, arena);
    found[ROWS] = uh_matrix_norm(COLS, ROWS, w, arena);
    result_is(found, sizeof found);
}

static void attack(const struct place *p, struct uh_arena *arena)
{
    enum { INPUTS = 6, POINTS = 2 };
    static const float x[POINTS * INPUTS] = {1, -2, 0.5F, 3, 0, -1, 2};
    static const uint8_t label[POINTS] = {1, 2};
    float y[POINTS * INPUTS], z[POINTS * 3];
    struct uh_digest d;
    struct uh_pool *pool = uh_pool_open(2);
    (void)p;
    struct uh_net net = uh_net_make("input 6; dense 5; relu; dense 3", arena);
    uh_net_init(&net, "memory/attack");
    uh_attack_fgsm(&net, pool, POINTS, x, label, 0.25F, y);
    uh_net_forward(&net, pool, POINTS, x, z);
    double far = uh_attack_nearest(&net, pool, x, uh_argmax(3, z), 20);
    uh_digest_start(&d);
    uh_digest_add(&d, y, sizeof y);
    uh_digest_add(&d, &far, sizeof far);
    uh_digest_end(&d, shared->result);
    uh_pool_close(&pool);
}

static void write_table(const struct place *p, struct uh_arena *arena)
{
    static const struct uh_column column[] = {{"n", "1", "a number"},
                                              {"x", "m", "a length"}};
    struct uh_table *table =
        uh_table_create(arena, out(p, "figure.tsv"), 2, column);
    for (int i = 0; i < 300; i++) {
        uh_table_integer(table, i);
        uh_table_number(table, i / 7.0);
    }
    uh_table_commit(table);
}

static void estimate(const struct place *p, struct uh_arena *arena)
{
    enum { COUNT = 7, RESAMPLES = 300 };
    static const double x[COUNT] = {1, 2, 4, 3, 9, 0.5, 2.5};
    struct uh_stream stream = uh_stream_open("memory/bootstrap");
    (void)p;
    const struct uh_interval found[] = {
        uh_bootstrap_mean(COUNT, x, RESAMPLES, 0.95, &stream, arena),
        uh_clopper_pearson(3, 20, 0.95), uh_student(COUNT, x, 0.95)};
    result_is(found, sizeof found);
}

static void divide_ratios(const struct place *p, struct uh_arena *arena)
{
    struct uh_ratio x = uh_ratio(arena, 1, 1);
    (void)p;
    for (unsigned long i = 2; i < 12; i++) {
        x = uh_ratio_div(arena, uh_ratio_add(arena, x, uh_ratio(arena, 1, i)),
                         uh_ratio_of(arena, 0.1));
    }
    const char *text = uh_ratio_text(arena, x);
    result_is(text, strlen(text));
}

/* The frame with its arena, pool and ledger; arena is not used. */
static void take_a_step(const struct place *p, struct uh_arena *arena)
{
    static const struct uh_step_about about = {"c/step", "does something",
                                               "nothing", "a record"};
    char folder[PATH];
    char *words[] = {"test_memory", "--profile", "quick", "--out",
                     folder,        "--jobs",    "2",     NULL};
    (void)arena;
    memcpy(folder, p->out, sizeof folder);
    struct uh_step *step = uh_step_begin(7, words, &about);
    uh_ledger_stage(uh_step_ledger(step), "stage", "0123");
    uh_ledger_count(uh_step_ledger(step), 1, "one", "one");
    if (uh_step_end(step) != 0) {
        uh_die("step: expected 0, found another");
    }
}

/* --- what they read -------------------------------------------------------- */

static void prepare(const struct place *p)
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_error error;
    size_t size;
    uint8_t image[16 + 2 * 28 * 28] = {0, 0, 8, 3,  0, 0, 0, 2,
                                       0, 0, 0, 28, 0, 0, 0, 28};
    const uint8_t label[] = {0, 0, 8, 1, 0, 0, 0, 2, 3, 9};
    for (size_t i = 16; i < sizeof image; i++) {
        image[i] = (uint8_t)(i * i % 251);
    }
    uint8_t *bytes = packed(image, sizeof image, &size);
    put_file(p->in, "images.gz", bytes, size);
    char folder[PATH];
    snprintf(folder, sizeof folder, "%.400s/mnist", p->in);
    uh_folder_make(folder);
    put_file(folder, "t10k-images-idx3-ubyte.gz", bytes, size);
    put_file(folder, "t10k-labels-idx1-ubyte", label, sizeof label);
    free(bytes);
    static uint8_t record[UH_CIFAR_RECORD] = {7, 1, 2, 3};
    bytes = packed(record, sizeof record, &size);
    put_file(p->in, "record.gz", bytes, size);
    snprintf(folder, sizeof folder, "%.400s/cifar10", p->in);
    uh_folder_make(folder);
    put_file(folder, "test_batch_first1.bin.gz", bytes, size);
    free(bytes);
    const double x[6] = {1, 2, 3, 4, 5, 0.1};
    uh_npy_write_f64(in(p, "a.npy"), 2, (size_t[]){2, 3}, x);
    struct uh_net net = uh_net_make("input 2 6 6; conv 3 3 3 groups=1; "
                                    "batchnorm; mark a; relu; add a; flatten; "
                                    "dense 4",
                                    arena);
    uh_net_init(&net, "memory/file");
    uh_net_save(&net, in(p, "net"));
    net = uh_net_make("input 3; dense 2; batchnorm; mark a; leakyrelu 0.5; add "
                      "a; dense 1",
                      arena);
    uh_net_init(&net, "memory/small");
    uh_net_save(&net, in(p, "small"));
    const uint8_t pixel[6] = {0, 50, 100, 150, 200, 255};
    uh_picture_write(in(p, "a.png"), &(struct uh_picture){3, 2, 1, pixel});
    put_file(p->in, "a.ppm", "P6 1 2 255\nabcdef", 17);
    const float centroids[4] = {1, 2, 3, 4};
    const uint8_t assignments[6] = {0, 1, 1, 0, 0, 1};
    const struct uh_stored_tensor book[2] = {{.name = "a.centroids",
                                              .dtype = UH_F32,
                                              .rank = 2,
                                              .dims = {2, 2},
                                              .data = centroids},
                                             {.name = "a.assignments",
                                              .dtype = UH_U8,
                                              .rank = 1,
                                              .dims = {6},
                                              .data = assignments}};
    uh_safetensors_write(in(p, "codebook"), 2, book, 0, NULL);
    const float *weight = uh_arena_alloc(arena, 64 * 3 * 7 * 7, sizeof *weight);
    const struct uh_stored_tensor resnet[3] = {
        {"conv1.weight", UH_F32, 4, {64, 3, 7, 7}, 0, weight},
        {"conv1.bias", UH_F32, 1, {64}, 0, weight},
        {"layer1.0.conv1.bias", UH_F32, 1, {64}, 0, weight}};
    uh_safetensors_write(in(p, "published"), 3, resnet, 0, NULL);
    struct place here = *p;
    memcpy(here.out, p->in, sizeof here.out);
    keep_ledger(&here, arena);
    struct uh_pool *pool = uh_pool_open(1);
    struct uh_dataset set;
    uh_shapes("memory", 10, pool, arena, &set);
    net = uh_net_make("input 3 32 32; flatten; dense 10", arena);
    struct uh_train how = uh_train_defaults();
    how.optim.rule = UH_ADAM;
    how.stream = "memory/order";
    how.checkpoint = in(p, "checkpoint");
    must(uh_train(&net, pool, &set, &how, arena, &error), &error);
    uh_pool_close(&pool);
    uh_arena_free(&arena);
}

/* --- the children ------------------------------------------------------------ */

typedef void subject(const struct place *p, struct uh_arena *arena);

struct trial {
    subject *work;
    const struct place *place;
    size_t k;
    int from_then;
};

static void attempt(void *context)
{
    const struct trial *t = context;
    atomic_store(&shared->from_then, t->from_then);
    atomic_store(&shared->left, t->k);
    struct uh_arena *arena = uh_arena_new();
    t->work(t->place, arena);
    uh_arena_free(&arena);
    atomic_store(&shared->left, 0);
}

/* Digest of the files in the folder, in the order of their names; their
 * number. */
static size_t contents(const char *folder, char digest[65])
{
    struct uh_arena *arena = uh_arena_new();
    struct uh_digest d;
    struct dirent **entry;
    int entries = scandir(folder, &entry, NULL, alphasort);
    size_t files = 0;
    assert_true(entries >= 2);
    uh_digest_start(&d);
    for (int i = 0; i < entries; i++) {
        char path[2 * PATH];
        uint8_t *bytes;
        size_t size;
        if (entry[i]->d_name[0] != '.') {
            path_in(path, folder, entry[i]->d_name);
            assert_int_equal(uh_file_read(path, 0, arena, &bytes, &size, NULL),
                             UH_OK);
            uh_digest_add(&d, entry[i]->d_name, strlen(entry[i]->d_name) + 1);
            uh_digest_add(&d, bytes, size);
            assert_int_equal(unlink(path), 0);
            files++;
        }
        free(entry[i]);
    }
    free(entry);
    uh_digest_end(&d, digest);
    uh_arena_free(&arena);
    return files;
}

static struct ending end_of(const struct trial *trial)
{
    struct trial copy = *trial;
    atomic_store(&shared->failed, 0);
    memset(shared->result, 0, sizeof shared->result);
    struct ending e = run_child(attempt, &copy);
    atomic_store(&shared->left, 0); /* for the parent */
    return e;
}

static void one_line(const struct ending *e, const struct trial *t)
{
    size_t length = strlen(e->said);
    int good = e->status == 1 && length > 0 &&
               strcspn(e->said, "\n") == length - 1 &&
               strncmp(e->said, "test_memory: ", 13) == 0 &&
               strstr(e->said, "expected ") && strstr(e->said, "found");
    if (!good) {
        fail_msg("request %zu%s: expected one line and status 1, found status "
                 "%d and \"%s\"",
                 t->k, t->from_then ? " and all behind" : "", e->status,
                 e->said);
    }
}

/* Every end is either as if nothing had happened (stdio can do without its
 * buffer) or one line, and then nothing has a final name. */
static void survives(subject *work)
{
    if (!OWN_MALLOC) {
        skip();
    }
    struct place place;
    char want[65], got[65], result[65];
    scratch_make(place.in);
    scratch_make(place.out);
    prepare(&place);
    struct trial whole = {work, &place, 0, 0};
    assert_int_equal(end_of(&whole).status, 0);
    memcpy(result, shared->result, sizeof result);
    size_t files = contents(place.out, want), ended = 0;
    for (int from_then = 0; from_then < 2; from_then++) {
        struct trial t = {work, &place, 1, from_then};
        for (;; t.k += t.k < EVERY ? 1 : t.k / 32) {
            struct ending e = end_of(&t);
            size_t found = contents(place.out, got);
            if (e.status == 0) {
                assert_string_equal(e.said, "");
                assert_int_equal(found, files);
                assert_string_equal(got, want);
                assert_string_equal(shared->result, result);
            } else {
                one_line(&e, &t);
                assert_int_equal(found, 0);
                ended++;
            }
            if (!atomic_load(&shared->failed)) {
                break;
            }
        }
    }
    assert_true(ended > 0);
    scratch_remove(place.in);
    scratch_remove(place.out);
}

#define SURVIVES(name, work)                                                   \
    static void name(void **state)                                             \
    {                                                                          \
        (void)state;                                                           \
        survives(work);                                                        \
    }
SURVIVES(idx_ends_in_one_line_without_memory, read_idx)
SURVIVES(cifar_ends_in_one_line_without_memory, read_cifar)
SURVIVES(data_sets_end_in_one_line_without_memory, load_data_sets)
SURVIVES(npy_ends_in_one_line_without_memory, read_npy)
SURVIVES(networks_end_in_one_line_without_memory, load_net)
SURVIVES(codebooks_end_in_one_line_without_memory, load_codebook)
SURVIVES(published_networks_end_in_one_line_without_memory, load_published)
SURVIVES(photographs_end_in_one_line_without_memory, read_photograph)
SURVIVES(pictures_end_in_one_line_without_memory, draw_picture)
SURVIVES(ledgers_end_in_one_line_without_memory, keep_ledger)
SURVIVES(recorded_estimates_end_in_one_line_without_memory, record_estimates)
SURVIVES(claims_end_in_one_line_without_memory, decide_claims)
SURVIVES(training_ends_in_one_line_without_memory, train_and_keep)
SURVIVES(resuming_ends_in_one_line_without_memory, resume_training)
SURVIVES(walks_end_in_one_line_without_memory, walk_pieces)
SURVIVES(plain_loops_end_in_one_line_without_memory, walk_by_plain_loops)
SURVIVES(the_zoo_ends_in_one_line_without_memory, build_zoo)
SURVIVES(looks_inside_end_in_one_line_without_memory, look_into)
SURVIVES(norms_end_in_one_line_without_memory, bound_norms)
SURVIVES(underhood_lipschitz_ends_in_one_line_without_memory,
         run_lipschitz_command)
SURVIVES(decompositions_end_in_one_line_without_memory, decompose)
SURVIVES(attacks_end_in_one_line_without_memory, attack)
SURVIVES(tables_end_in_one_line_without_memory, write_table)
SURVIVES(estimates_end_in_one_line_without_memory, estimate)
SURVIVES(ratios_end_in_one_line_without_memory, divide_ratios)
SURVIVES(steps_end_in_one_line_without_memory, take_a_step)

/* What an arena refuses on request is what it refuses without memory. */
static void a_failing_arena_is_one_line(void **state)
{
    (void)state;
    struct uh_arena *arena = uh_arena_new();
    uh_arena_fail_at(arena, 3);
    (void)uh_arena_alloc(arena, 1, 8);
    (void)uh_arena_alloc(arena, 1, 8);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        (void)uh_arena_alloc(arena, 1, 8);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    uh_arena_fail_at(arena, 0);
    (void)uh_arena_alloc(arena, 1, 8);
    uh_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failing_arena_is_one_line),
        cmocka_unit_test(idx_ends_in_one_line_without_memory),
        cmocka_unit_test(cifar_ends_in_one_line_without_memory),
        cmocka_unit_test(data_sets_end_in_one_line_without_memory),
        cmocka_unit_test(npy_ends_in_one_line_without_memory),
        cmocka_unit_test(networks_end_in_one_line_without_memory),
        cmocka_unit_test(codebooks_end_in_one_line_without_memory),
        cmocka_unit_test(published_networks_end_in_one_line_without_memory),
        cmocka_unit_test(photographs_end_in_one_line_without_memory),
        cmocka_unit_test(pictures_end_in_one_line_without_memory),
        cmocka_unit_test(ledgers_end_in_one_line_without_memory),
        cmocka_unit_test(recorded_estimates_end_in_one_line_without_memory),
        cmocka_unit_test(claims_end_in_one_line_without_memory),
        cmocka_unit_test(training_ends_in_one_line_without_memory),
        cmocka_unit_test(resuming_ends_in_one_line_without_memory),
        cmocka_unit_test(walks_end_in_one_line_without_memory),
        cmocka_unit_test(plain_loops_end_in_one_line_without_memory),
        cmocka_unit_test(the_zoo_ends_in_one_line_without_memory),
        cmocka_unit_test(looks_inside_end_in_one_line_without_memory),
        cmocka_unit_test(norms_end_in_one_line_without_memory),
        cmocka_unit_test(underhood_lipschitz_ends_in_one_line_without_memory),
        cmocka_unit_test(decompositions_end_in_one_line_without_memory),
        cmocka_unit_test(attacks_end_in_one_line_without_memory),
        cmocka_unit_test(tables_end_in_one_line_without_memory),
        cmocka_unit_test(estimates_end_in_one_line_without_memory),
        cmocka_unit_test(ratios_end_in_one_line_without_memory),
        cmocka_unit_test(steps_end_in_one_line_without_memory),
    };
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 1;
    }
    memset(shared, 0, sizeof *shared);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
