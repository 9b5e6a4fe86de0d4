/*
 * test_base.c - error table, codec, checksums, identities.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hexad/codec.h"
#include "hexad/crc.h"
#include "hexad/err.h"

#include <errno.h>
#include <stdlib.h>

/* Promise: no number and no name of the error table is used twice; a code is for ever.  All pairs. */
static void every_error_has_its_own_code(void **state)
{
    (void)state;
    static const int code[] = {
#define CODE(name, c, cls, http, eno, text, hint) c,
        HX_ERR_TABLE(CODE)
#undef CODE
    };
    for (size_t i = 0; i < HX_ARRAY_LEN(code); i++) {
        assert_int_equal(hx_err_info(-code[i])->code, code[i]);
        assert_int_equal(hx_err_from_wire(hx_err_to_wire(-code[i])), -code[i]);
        assert_true(hx_err_errno(-code[i]) > 0);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(code[i], code[j]);
    }
}

/* Promise: what a newer peer says and we do not know is an error, never success. */
static void unknown_wire_status_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(hx_err_from_wire(0), 0);
    assert_int_equal(hx_err_from_wire(99999), HX_E_VERSION);
    assert_int_equal(hx_err_from_wire(UINT32_MAX), HX_E_VERSION);
    assert_int_equal(hx_err_from_errno(ENOSPC), HX_E_NOSPACE);
    assert_int_equal(hx_err_from_errno(12345), HX_E_IO);
}

/* Promise: CRC32C is the standard one, equal to its table twin for every length and alignment, and may
 * be computed in pieces. */
static void crc_equals_its_twin(void **state)
{
    (void)state;
    uint8_t buf[600];
    assert_int_equal(hx_crc32c(0, "123456789", 9), 0xE3069283u);
    for (size_t i = 0; i < sizeof buf; i++)
        buf[i] = (uint8_t)(i * 131 + (i >> 3));
    for (size_t off = 0; off < 9; off++)
        for (size_t len = 0; len + off <= sizeof buf; len += 1 + len / 7) {
            uint32_t crc = hx_crc32c(0, buf + off, len);
            assert_int_equal(crc, hx_crc32c_table(0, buf + off, len));
            assert_int_equal(crc, hx_crc32c(hx_crc32c(0, buf + off, len / 3), buf + off + len / 3, len - len / 3));
        }
}

/* Promise: values survive a round trip; the bytes are little-endian. */
static void codec_round_trip(void **state)
{
    (void)state;
    uint8_t buf[64];
    char text[8];
    struct hx_enc e = hx_enc_init(buf, sizeof buf);
    hx_enc_u8(&e, 0x12);
    hx_enc_u16(&e, 0x3456);
    hx_enc_u32(&e, 0x789abcde);
    hx_enc_u64(&e, UINT64_C(0x0102030405060708));
    hx_enc_str(&e, "hexad");
    assert_int_equal(e.err, 0);
    assert_int_equal(buf[1], 0x56);
    assert_int_equal(buf[7], 0x08);
    struct hx_dec d = hx_dec_init(buf, e.len);
    assert_int_equal(hx_dec_u8(&d), 0x12);
    assert_int_equal(hx_dec_u16(&d), 0x3456);
    assert_int_equal(hx_dec_u32(&d), 0x789abcde);
    assert_true(hx_dec_u64(&d) == UINT64_C(0x0102030405060708));
    hx_dec_str(&d, text, sizeof text);
    assert_string_equal(text, "hexad");
    assert_int_equal(hx_dec_end(&d), 0);
}

/* Promise: an overrun is remembered, whatever is called afterwards, and nothing is written or read
 * outside.  Every length below the needed one. */
static void overruns_stick(void **state)
{
    (void)state;
    for (size_t cap = 0; cap < 12; cap++) {
        uint8_t buf[16];
        memset(buf, 0xee, sizeof buf);
        struct hx_enc e = hx_enc_init(buf, cap);
        hx_enc_u64(&e, 1);
        hx_enc_u32(&e, 2);
        assert_int_equal(e.err, HX_E_TOOBIG);
        for (size_t i = cap; i < sizeof buf; i++)
            assert_int_equal(buf[i], 0xee);
        struct hx_dec d = hx_dec_init(buf, cap);
        hx_dec_u64(&d);
        hx_dec_u32(&d);
        assert_int_equal(hx_dec_end(&d), HX_E_EOF);
        hx_dec_bytes(&d, 0);
        assert_int_equal(d.err, HX_E_EOF);
    }
}

/* Promise: a string that is too long for its place, or hides a NUL, is refused. */
static void bad_strings_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[] = {3, 0, 'a', 0, 'b', 4, 0, 'w', 'x', 'y', 'z'};
    char text[4];
    struct hx_dec d = hx_dec_init(bytes, 5);
    hx_dec_str(&d, text, sizeof text);
    assert_int_equal(d.err, HX_E_BADMSG);
    d = hx_dec_init(bytes + 5, 6);
    hx_dec_str(&d, text, sizeof text);
    assert_int_equal(d.err, HX_E_BADMSG);
    assert_string_equal(text, "");
}

/* Promise: an identity's text reads back; anything else is refused. */
static void uuid_text_round_trip(void **state)
{
    (void)state;
    struct hx_uuid a, b;
    char text[33];
    for (unsigned i = 0; i < 16; i++)
        a.b[i] = (uint8_t)(i * 17);
    hx_uuid_format(&a, text);
    assert_int_equal(hx_uuid_parse(text, &b), 0);
    assert_true(hx_uuid_eq(&a, &b));
    text[5] = 'G';
    assert_int_equal(hx_uuid_parse(text, &b), HX_E_INVAL);
    assert_int_equal(hx_uuid_parse("00", &b), HX_E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_own_code), cmocka_unit_test(unknown_wire_status_is_an_error),
        cmocka_unit_test(crc_equals_its_twin),          cmocka_unit_test(codec_round_trip),
        cmocka_unit_test(overruns_stick),               cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(uuid_text_round_trip),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
