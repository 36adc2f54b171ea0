/* step.c: the frame of a step of an experiment. */
#include "step.h"
#include "die.h"
#include "file.h"
#include "lane.h"

#include <cblas.h>
#include <errno.h>
#include <getopt.h>
#include <gsl/gsl_errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEEDS = 64 };

struct need {
    const char *step, *folder;
};

struct uh_step {
    const struct uh_step_about *about;
    enum uh_profile profile;
    const char *out, *data;
    struct need needs[NEEDS], files[NEEDS]; /* a file: name, path */
    size_t need_count, file_count;
    struct uh_arena *arena;
    struct uh_pool *pool;
    struct uh_ledger *ledger;
};

static const char *const profiles[] = {"quick", "lecture", "full"};

static void help(const struct uh_step_about *about)
{
    printf("%s: %s\n\n"
           "usage: %s --profile quick|lecture|full --out DIR [options]\n\n"
           "  --profile NAME           how much work\n"
           "  --out DIR                where the outputs go\n"
           "  --data DIR               the folder of the data sets\n"
           "  --need CHAPTER/STEP=DIR  where another step's outputs lie\n"
           "  --file NAME=PATH         a file that is there or is not\n"
           "  --jobs N                 threads; all cores unless given\n"
           "  --source DIGEST          written into the records\n"
           "  --help                   this\n\n"
           "reads   %s\n"
           "writes  %s and records.jsonl\n",
           about->name, about->what, program_invocation_short_name,
           about->reads, about->writes);
}

static enum uh_profile profile_named(const char *name)
{
    for (int i = UH_QUICK; i <= UH_FULL; i++) {
        if (strcmp(profiles[i], name) == 0) {
            return (enum uh_profile)i;
        }
    }
    uh_die_usage("profile: expected quick, lecture or full, found %s", name);
}

static void add_pair(struct uh_arena *arena, const char *what, const char *text,
                     struct need list[NEEDS], size_t *count)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1]) {
        uh_die_usage("%s, found %s", what, text);
    }
    UH_REQUIRE(*count < NEEDS, "more than %d of %s", NEEDS, what);
    char *name = uh_arena_text(arena, text);
    name[equals - text] = '\0';
    list[(*count)++] = (struct need){name, name + (equals - text) + 1};
}

static size_t jobs_given(const char *text)
{
    char *end;
    errno = 0;
    unsigned long jobs = strtoul(text, &end, 10);
    if (errno || *end || end == text || jobs < 1 || jobs > 1024 ||
        text[0] == '-') {
        uh_die_usage("jobs: expected 1 to 1024, found %s", text);
    }
    return jobs;
}

struct uh_step *uh_step_begin(int argc, char **argv,
                              const struct uh_step_about *about)
{
    static const struct option options[] = {
        {"profile", required_argument, NULL, 'p'},
        {"out", required_argument, NULL, 'o'},
        {"data", required_argument, NULL, 'd'},
        {"need", required_argument, NULL, 'n'},
        {"file", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},
        {"source", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};

    setlocale(LC_ALL, "C");
    uh_file_guard_signals();
    gsl_set_error_handler_off();
    openblas_set_num_threads(1);
    uh_lane_check();

    struct uh_arena *arena = uh_arena_new();
    struct uh_step *step = uh_arena_alloc(arena, 1, sizeof *step);
    step->arena = arena;
    step->about = about;
    const char *source = NULL, *profile = NULL;
    size_t jobs = 0;
    opterr = 0;
    for (int option;
         (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p':
            profile = optarg;
            break;
        case 'o':
            step->out = optarg;
            break;
        case 'd':
            step->data = optarg;
            break;
        case 'n':
            add_pair(arena, "need: expected CHAPTER/STEP=DIR", optarg,
                     step->needs, &step->need_count);
            break;
        case 'f':
            add_pair(arena, "file: expected NAME=PATH", optarg, step->files,
                     &step->file_count);
            break;
        case 'j':
            jobs = jobs_given(optarg);
            break;
        case 's':
            source = optarg;
            break;
        case 'h':
            help(about);
            exit(0);
        default:
            uh_die_usage("option: expected one of those of --help, found %s",
                         argv[optind - 1]);
        }
    }
    if (optind < argc) {
        uh_die_usage("arguments: expected options alone, found %s",
                     argv[optind]);
    }
    if (!profile || !step->out) {
        uh_die_usage("options: expected --profile and --out, found %s",
                     profile ? "no --out" : "no --profile");
    }
    step->profile = profile_named(profile);
    uh_folder_make(step->out);

    const char *slash = strchr(about->name, '/');
    UH_REQUIRE(slash, "the step's name is CHAPTER/STEP, found %s", about->name);
    char *chapter = uh_arena_text(arena, about->name);
    chapter[slash - about->name] = '\0';
    step->ledger = uh_ledger_new(arena, chapter, profile, source);
    step->pool = uh_pool_open(jobs);
    return step;
}

enum uh_profile uh_step_profile(const struct uh_step *step)
{
    return step->profile;
}

struct uh_arena *uh_step_arena(struct uh_step *step)
{
    return step->arena;
}

struct uh_pool *uh_step_pool(struct uh_step *step)
{
    return step->pool;
}

struct uh_ledger *uh_step_ledger(struct uh_step *step)
{
    return step->ledger;
}

const char *uh_step_out(struct uh_step *step, const char *name)
{
    UH_REQUIRE(!strchr(name, '/'), "%s", name);
    return uh_arena_format(step->arena, "%s/%s", step->out, name);
}

const char *uh_step_need(struct uh_step *step, const char *other,
                         const char *name)
{
    for (size_t i = 0; i < step->need_count; i++) {
        if (strcmp(step->needs[i].step, other) == 0) {
            return uh_arena_format(step->arena, "%s/%s", step->needs[i].folder,
                                   name);
        }
    }
    uh_die("%s: expected --need %s=DIR, found none (the manifest's needs)",
           step->about->name, other);
}

const char *uh_step_file(const struct uh_step *step, const char *name)
{
    for (size_t i = 0; i < step->file_count; i++) {
        if (strcmp(step->files[i].step, name) == 0) {
            return step->files[i].folder;
        }
    }
    return NULL;
}

const char *uh_step_data(struct uh_step *step)
{
    if (!step->data) {
        uh_die("%s: expected --data DIR, found none (make data, or DATA=)",
               step->about->name);
    }
    return step->data;
}

int uh_step_end(struct uh_step *step)
{
    uh_ledger_write(step->ledger, uh_step_out(step, "records.jsonl"));
    uh_ledger_free(step->ledger);
    uh_pool_close(&step->pool);
    struct uh_arena *arena = step->arena;
    uh_arena_free(&arena);
    return 0;
}
