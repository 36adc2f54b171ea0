/* test_file.c: files appear whole or not at all, whatever happens meanwhile. */
#include "scratch.h"

#include "die.h"
#include "file.h"
#include "npy.h"
#include "picture.h"
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char folder[PATH], path[2 * PATH];

static int setup(void **state)
{
    scratch_make(folder);
    path_in(path, folder, "out");
    return arena_made(state);
}

static int teardown(void **state)
{
    chmod(folder, 0700);
    scratch_remove(folder);
    return arena_gone(state);
}

static void assert_holds(struct uh_arena *arena, const char *text)
{
    uint8_t *bytes;
    size_t size;
    assert_int_equal(uh_file_read(path, 0, arena, &bytes, &size, NULL), UH_OK);
    assert_int_equal(size, strlen(text));
    assert_string_equal((const char *)bytes, text);
}

/* program: LINE, and nothing else. */
static void assert_said(const struct ending *e, const char *line)
{
    char expected[4 * PATH];
    snprintf(expected, sizeof expected, "%s: %s\n",
             program_invocation_short_name, line);
    assert_string_equal(e->said, expected);
}

static void file_appears_under_its_name_when_committed(void **state)
{
    struct uh_file *f = uh_file_create(path);
    fprintf(uh_file_stream(f), "whole %d", 1);
    assert_false(uh_file_exists(path));
    assert_int_equal(files_in(folder), 1);
    uh_file_commit(f);
    assert_int_equal(files_in(folder), 1);
    assert_holds(*state, "whole 1");
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(about.st_mode & 0777, 0666 & ~mask);
}

static void file_keeps_what_it_had_until_then(void **state)
{
    put_file(folder, "out", "old", 3);
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, "new", 3);
    assert_holds(*state, "old");
    uh_file_abandon(f);
    assert_holds(*state, "old");
    assert_int_equal(files_in(folder), 1);
    f = uh_file_create(path);
    uh_file_write(f, "new", 3);
    uh_file_commit(f);
    assert_holds(*state, "new");
}

/* A disk without room: no file of this process grows beyond 4 kB. */
static void fill_up(void)
{
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_FSIZE, &limit);
}

enum { MUCH = 1 << 18 };
static uint8_t much[MUCH];

static void write_much(void *unused)
{
    (void)unused;
    fill_up();
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, much, sizeof much);
    uh_file_commit(f);
}

/* 6000 bytes fit the buffer of the stream: only the commit can notice. */
static void write_some_more_than_fits(void *unused)
{
    (void)unused;
    fill_up();
    struct uh_file *f = uh_file_create(path);
    setvbuf(uh_file_stream(f), NULL, _IOFBF, 8192);
    uh_file_write(f, much, 6000);
    uh_file_commit(f);
}

static void write_npy(void *unused)
{
    (void)unused;
    fill_up();
    uh_npy_write_f32(path, 1, (const size_t[]){MUCH / 4}, (float *)much);
}

static void write_safetensors(void *unused)
{
    (void)unused;
    fill_up();
    const struct uh_stored_tensor t = {
        .name = "w", .dtype = UH_U8, .rank = 1, .dims = {MUCH}, .data = much};
    uh_safetensors_write(path, 1, &t, 0, NULL);
}

static void write_picture(void *unused)
{
    (void)unused;
    fill_up();
    uint64_t seed = 5;
    for (size_t i = 0; i < MUCH; i++) {
        much[i] = (uint8_t)next_number(&seed);
    }
    const struct uh_picture p = {512, 512, 1, much};
    uh_picture_write(path, &p);
}

static void full_disk_is_one_line_and_no_file(void **state)
{
    (void)state;
    void (*const work[])(void *) = {write_much, write_some_more_than_fits,
                                    write_npy, write_safetensors};
    char line[3 * PATH];
    snprintf(line, sizeof line,
             "output: expected to write it, found: File too large (%s)", path);
    for (size_t i = 0; i < sizeof work / sizeof *work; i++) {
        struct ending e = run_child(work[i], NULL);
        assert_int_equal(e.status, 1);
        assert_said(&e, line);
        assert_int_equal(files_in(folder), 0);
    }
    struct ending e = run_child(write_picture, NULL);
    assert_int_equal(e.status, 1);
    snprintf(line, sizeof line,
             "picture: expected to write it, found: Write Error (%s)", path);
    assert_said(&e, line);
    assert_int_equal(files_in(folder), 0);
}

static void full_disk_leaves_what_was_there(void **state)
{
    put_file(folder, "out", "old", 3);
    assert_int_equal(run_child(write_much, NULL).status, 1);
    assert_holds(*state, "old");
    assert_int_equal(files_in(folder), 1);
}

static void write_to_small_disk(void *unused)
{
    (void)unused;
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, much, sizeof much);
    uh_file_commit(f);
}

/* The same on a real file system without room, where one may be mounted. */
static void small_disk_is_one_line_and_no_file(void **state)
{
    (void)state;
    if (mount("none", folder, "tmpfs", 0, "size=64k") != 0) {
        skip();
    }
    struct ending e = run_child(write_to_small_disk, NULL);
    size_t left = files_in(folder);
    umount(folder);
    assert_int_equal(e.status, 1);
    assert_non_null(strstr(e.said, "found: No space left on device ("));
    assert_int_equal(left, 0);
}

/* Root may write anywhere, so the child becomes nobody. */
static void create_as_nobody(void *unused)
{
    (void)unused;
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        _exit(77);
    }
    uh_file_abandon(uh_file_create(path));
}

static void create_only(void *unused)
{
    (void)unused;
    uh_file_abandon(uh_file_create(path));
}

static void unwritable_folder_is_one_line(void **state)
{
    (void)state;
    char line[3 * PATH];
    path_in(path, folder, "none/out");
    struct ending e = run_child(create_only, NULL);
    assert_int_equal(e.status, 1);
    snprintf(line, sizeof line,
             "output: expected to write it, found: No such file or directory "
             "(%s)",
             path);
    assert_said(&e, line);
    path_in(path, folder, "out");
    assert_int_equal(chmod(folder, 0555), 0);
    e = run_child(create_as_nobody, NULL);
    assert_int_equal(chmod(folder, 0755), 0);
    if (e.status == 77) {
        skip();
    }
    assert_int_equal(e.status, 1);
    snprintf(line, sizeof line,
             "output: expected to write it, found: Permission denied (%s)",
             path);
    assert_said(&e, line);
}

static void commit_onto_folder(void *unused)
{
    (void)unused;
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, "x", 1);
    uh_file_commit(f);
}

static void name_that_is_a_folder_is_one_line(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0755), 0);
    struct ending e = run_child(commit_onto_folder, NULL);
    assert_int_equal(e.status, 1);
    assert_non_null(strstr(e.said, "found: Is a directory ("));
    assert_int_equal(files_in(folder), 1);
}

static void write_new(void *unused)
{
    (void)unused;
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, "new", 3);
    uh_file_commit(f);
}

static int is_link(const char *name)
{
    struct stat about;
    return lstat(name, &about) == 0 && S_ISLNK(about.st_mode);
}

static void device_is_written_to_and_stays(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/null", path), 0);
    write_new(NULL);
    assert_true(is_link(path));
    uh_file_abandon(uh_file_create(path));
    assert_true(is_link(path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/full", path), 0);
    struct ending e = run_child(write_new, NULL);
    assert_int_equal(e.status, 1);
    char line[3 * PATH];
    snprintf(line, sizeof line,
             "output: expected to write it, found: No space left on device "
             "(%s)",
             path);
    assert_said(&e, line);
    assert_true(is_link(path));
    assert_int_equal(files_in(folder), 1);
}

static void pipe_gets_the_bytes(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDWR | O_NONBLOCK);
    assert_true(reader >= 0);
    write_new(NULL);
    char got[8] = "";
    assert_int_equal(read(reader, got, sizeof got - 1), 3);
    close(reader);
    assert_string_equal(got, "new");
    assert_int_equal(files_in(folder), 1);
}

static void link_stays_and_its_target_is_replaced(void **state)
{
    char target[2 * PATH];
    path_in(target, folder, "target");
    put_file(folder, "target", "old", 3);
    assert_int_equal(symlink("target", path), 0);
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, "new", 3);
    assert_holds(*state, "old");
    uh_file_commit(f);
    assert_holds(*state, "new");
    assert_true(is_link(path));
    assert_false(is_link(target));
    assert_int_equal(files_in(folder), 2);
}

static void interrupt(void *number)
{
    uh_file_guard_signals();
    char other[2 * PATH];
    path_in(other, folder, "other");
    struct uh_file *f = uh_file_create(path), *g = uh_file_create(other);
    uh_file_write(f, much, sizeof much);
    uh_file_write(g, "x", 1);
    raise(*(int *)number);
    uh_file_commit(f);
}

static void signal_in_the_middle_leaves_nothing(void **state)
{
    static const int number[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < 4; i++) {
        int n = number[i];
        put_file(folder, "out", "old", 3);
        struct ending e = run_child(interrupt, &n);
        assert_int_equal(e.status, 128 + n);
        assert_string_equal(e.said, "");
        assert_int_equal(files_in(folder), 1);
        assert_holds(*state, "old");
    }
}

static void die_in_the_middle(void *how)
{
    struct uh_file *f = uh_file_create(path);
    uh_file_write(f, much, sizeof much);
    UH_REQUIRE(!how, "on purpose");
    uh_die("weights: expected 2, found 1 (f)");
}

static void dying_in_the_middle_leaves_nothing(void **state)
{
    struct ending e = run_child(die_in_the_middle, NULL);
    assert_int_equal(e.status, 1);
    assert_said(&e, "weights: expected 2, found 1 (f)");
    assert_int_equal(files_in(folder), 0);
    e = run_child(die_in_the_middle, state);
    assert_int_equal(e.status, 128 + SIGABRT);
    assert_int_equal(files_in(folder), 0);
}

static void open_too_many(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < 65; i++) {
        uh_file_create(path);
    }
}

static void more_than_64_open_files_break_the_contract(void **state)
{
    (void)state;
    struct ending e = run_child(open_too_many, NULL);
    assert_int_equal(e.status, 128 + SIGABRT);
    assert_int_equal(files_in(folder), 0);
}

static void assert_unreadable(struct uh_arena *arena, const char *name,
                              size_t limit, enum uh_status status,
                              const char *line)
{
    uint8_t *bytes = NULL;
    size_t size;
    struct uh_error error;
    assert_int_equal(uh_file_read(name, limit, arena, &bytes, &size, &error),
                     status);
    assert_string_equal(error.text, line);
    assert_null(bytes);
}

static void read_refuses_what_is_no_plain_file(void **state)
{
    char line[3 * PATH];
    assert_unreadable(*state, "/nowhere", 0, UH_IO,
                      "file: expected to read it, found: No such file or "
                      "directory (/nowhere)");
    assert_unreadable(*state, "/dev/zero", 0, UH_BAD_INPUT,
                      "file: expected a regular file, found another kind "
                      "(/dev/zero)");
    assert_unreadable(*state, "/", 0, UH_BAD_INPUT,
                      "file: expected a regular file, found another kind (/)");
    put_file(folder, "out", "12345", 5);
    snprintf(line, sizeof line, "file: expected at most 4 bytes, found 5 (%s)",
             path);
    assert_unreadable(*state, path, 4, UH_BAD_INPUT, line);
}

/* Nobody writes into the pipe: a reader that waits for that waits forever. */
static void read_does_not_wait_for_a_pipe(void **state)
{
    char line[3 * PATH];
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(line, sizeof line,
             "file: expected a regular file, found another kind (%s)", path);
    alarm(5);
    assert_unreadable(*state, path, 0, UH_BAD_INPUT, line);
    alarm(0);
}

static void begin_reads_no_more_than_the_beginning(void **state)
{
    static const size_t most[] = {0, 3, 5, 6, SIZE_MAX};
    put_file(folder, "out", "12345", 5);
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        uint8_t *bytes;
        size_t got, size, want = most[i] < 5 ? most[i] : 5;
        assert_int_equal(
            uh_file_begin(path, most[i], *state, &bytes, &got, &size, NULL),
            UH_OK);
        assert_int_equal(got, want);
        assert_int_equal(size, 5);
        assert_memory_equal(bytes, "12345", want);
        assert_int_equal(bytes[want], 0);
    }
}

static void read_puts_a_zero_behind_the_bytes(void **state)
{
    uint8_t *bytes;
    size_t size;
    put_file(folder, "out", "", 0);
    assert_int_equal(uh_file_read(path, 1, *state, &bytes, &size, NULL), UH_OK);
    assert_int_equal(size, 0);
    assert_int_equal(bytes[0], 0);
    put_file(folder, "out", "12345", 5);
    assert_int_equal(uh_file_read(path, 5, *state, &bytes, &size, NULL), UH_OK);
    assert_int_equal(size, 5);
    assert_int_equal(bytes[5], 0);
}

static void make_folder(void *name)
{
    uh_folder_make(name);
}

static void folder_make_makes_parents_and_refuses_a_file(void **state)
{
    (void)state;
    char name[2 * PATH], line[3 * PATH];
    path_in(name, folder, "a/b/c/");
    uh_folder_make(name);
    uh_folder_make(name);
    assert_true(uh_file_exists(name));
    put_file(folder, "out", "x", 1);
    struct ending e = run_child(make_folder, path);
    assert_int_equal(e.status, 1);
    snprintf(line, sizeof line,
             "folder: expected to make it, found: File exists (%s)", path);
    assert_said(&e, line);
    path_in(name, folder, "out/sub");
    e = run_child(make_folder, name);
    assert_int_equal(e.status, 1);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(file_appears_under_its_name_when_committed),
        T(file_keeps_what_it_had_until_then),
        T(full_disk_is_one_line_and_no_file),
        T(full_disk_leaves_what_was_there),
        T(small_disk_is_one_line_and_no_file),
        T(unwritable_folder_is_one_line),
        T(name_that_is_a_folder_is_one_line),
        T(device_is_written_to_and_stays),
        T(pipe_gets_the_bytes),
        T(link_stays_and_its_target_is_replaced),
        T(signal_in_the_middle_leaves_nothing),
        T(dying_in_the_middle_leaves_nothing),
        T(more_than_64_open_files_break_the_contract),
        T(read_refuses_what_is_no_plain_file),
        T(read_does_not_wait_for_a_pipe),
        T(begin_reads_no_more_than_the_beginning),
        T(read_puts_a_zero_behind_the_bytes),
        T(folder_make_makes_parents_and_refuses_a_file),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL) != 0;
}
