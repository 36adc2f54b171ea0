/* test_digest.c: tests of lib/digest.[ch]. */
#include "digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The examples published with FIPS 180-4 and the empty message of NIST's
 * SHA test vectors. */
static const struct {
    const char *text, *hex;
} published[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
     "ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void digest_gives_the_published_examples(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++) {
        char hex[65];
        uh_digest_of(published[i].text, strlen(published[i].text), hex);
        assert_string_equal(hex, published[i].hex);
    }
}

static void digest_of_a_million_a_is_the_published_one(void **state)
{
    (void)state;
    struct uh_digest d;
    char hex[65], piece[1000];
    memset(piece, 'a', sizeof piece);
    uh_digest_start(&d);
    for (size_t i = 0; i < 1000; i++)
        uh_digest_add(&d, piece, sizeof piece);
    uh_digest_end(&d, hex);
    assert_string_equal(
        hex,
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Lengths around the block size, where padding changes its shape. */
static void digest_ignores_how_bytes_are_split(void **state)
{
    (void)state;
    unsigned char bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i + 7 * i);
    for (size_t size = 0; size <= sizeof bytes; size++) {
        char whole[65], split[65];
        uh_digest_of(bytes, size, whole);
        for (size_t cut = 0; cut <= size; cut++) {
            struct uh_digest d;
            uh_digest_start(&d);
            uh_digest_add(&d, bytes, cut);
            uh_digest_add(&d, NULL, 0);
            uh_digest_add(&d, bytes + cut, size - cut);
            uh_digest_end(&d, split);
            assert_string_equal(whole, split);
        }
    }
}

static void digest_changes_with_every_bit(void **state)
{
    (void)state;
    unsigned char bytes[70] = {0};
    char before[65], after[65];
    uh_digest_of(bytes, sizeof bytes, before);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        uh_digest_of(bytes, sizeof bytes, after);
        assert_string_not_equal(before, after);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
}

static void raw_bytes_and_hexadecimal_digits_agree(void **state)
{
    (void)state;
    struct uh_digest d;
    uint8_t raw[32];
    char hex[65], want[65];
    uh_digest_start(&d);
    uh_digest_add(&d, "abc", 3);
    uh_digest_end_raw(&d, raw);
    for (size_t i = 0; i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    uh_digest_of("abc", 3, want);
    assert_string_equal(hex, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_gives_the_published_examples),
        cmocka_unit_test(digest_of_a_million_a_is_the_published_one),
        cmocka_unit_test(digest_ignores_how_bytes_are_split),
        cmocka_unit_test(digest_changes_with_every_bit),
        cmocka_unit_test(raw_bytes_and_hexadecimal_digits_agree),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
