/*
 * fuzz_text.c - words that people and certificates bring: numbers, sizes, times, names, identifiers, roles.
 *
 * The first byte chooses the decoder; the rest, up to a NUL, is the text.  Checked: what was accepted, written out
 * again and read again is the same; bounds hold; a name that is accepted has only the bytes it may have; the nearest
 * name is one of those that were given.
 */
#include "fuzz.h"

#include "../../src/net/tls.h"
#include "hexad/sys.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER, SIZE, TIME, NAME, UUID, ROLE, NEAREST, KINDS };
#define TEXT_MAX 120u

/* P and a NUL; ends where its memory ends. */
static const char *text_of(const uint8_t *p, size_t len)
{
    static char text[TEXT_MAX + 1];
    size_t n = len < TEXT_MAX ? len : TEXT_MAX;
    char *s = text + TEXT_MAX - n;
    if (n)
        memcpy(s, p, n);
    s[n] = '\0';
    return s;
}

static void number(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    uint64_t v = 77;
    char again[32];
    if (hx_parse_u64(s, 1000000, &v)) {
        fuzz_check(v == 77);
        return;
    }
    snprintf(again, sizeof again, "%" PRIu64, v);
    s += strspn(s, "0");
    fuzz_check(v <= 1000000 && strcmp(v ? again : "", s) == 0);
}

static void size(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    uint64_t v, w;
    char text[40];
    if (hx_parse_size(s, &v))
        return;
    snprintf(text, sizeof text, "%" PRIu64 " B", v);
    fuzz_check(hx_parse_size(text, &w) == 0 && w == v);
    fuzz_check(strlen(hx_format_size(v, text, 24)) < 24 && strlen(text) > 2);
}

static void time_span(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    uint64_t v, w;
    char text[40];
    if (hx_parse_time(s, &v))
        return;
    snprintf(text, sizeof text, "%" PRIu64 "ms", v);
    fuzz_check(hx_parse_time(text, &w) == 0 && w == v);
    fuzz_check(strlen(hx_format_time(v, text, 24)) < 24 && text[0]);
}

static void name(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    len = len < TEXT_MAX ? len : TEXT_MAX;
    if (hx_tls_name_ok(s, len))
        fuzz_check(len >= 1 && len <= HX_NAME_MAX && hx_name_ok(s) == (strlen(s) == len && s[0] != '_'));
    if (!hx_name_ok(s))
        return;
    fuzz_check(strlen(s) <= HX_NAME_MAX && s[0] != '-' && s[0] != '.' && !strpbrk(s, "/\\ \n\t\"'%$"));
}

static void uuid(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    struct hx_uuid id;
    char text[33];
    if (hx_uuid_parse(s, &id))
        return;
    hx_uuid_format(&id, text);
    fuzz_check(strlen(s) == 32);
    for (unsigned i = 0; i < 32; i++)
        fuzz_check((s[i] | 0x20) == text[i] || s[i] == text[i]);
}

static void role(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    enum hx_role r;
    if (hx_role_parse(s, &r) == 0)
        fuzz_check(strcmp(hx_role_name(r), s) == 0);
}

static void nearest(const uint8_t *p, size_t len)
{
    const char *s = text_of(p, len);
    static const char *const known[] = {"takeover", "soft", "cache", "", "noatime", "ro", "a-name-that-is-rather-long"};
    const char *got = hx_nearest(s, known, HX_ARRAY_LEN(known));
    bool there = got == NULL;
    for (size_t i = 0; i < HX_ARRAY_LEN(known); i++)
        there = there || got == known[i];
    fuzz_check(there);
}

static void seeds(void)
{
    static const struct {
        uint8_t kind;
        const char *name, *text;
    } all[] = {{NUMBER, "number", "65535"}, {NUMBER, "number-large", "18446744073709551615"},
               {SIZE, "size", "64MiB"},
               {SIZE, "size-space", "512 B"}, {SIZE, "size-huge", "99999999 PiB"},
               {TIME, "time", "250ms"},
               {TIME, "minutes", "5min"}, {NAME, "name", "vol-0.a_b"},
               {UUID, "uuid", "00112233445566778899aAbBcCdDeEfF"}, {ROLE, "role", "segment"},
               {NEAREST, "nearest", "takover"}};
    char b[TEXT_MAX + 2];
    for (size_t i = 0; i < HX_ARRAY_LEN(all); i++) {
        size_t n = strlen(all[i].text);
        b[0] = (char)all[i].kind;
        memcpy(b + 1, all[i].text, n);
        fuzz_seed(all[i].name, b, n + 1);
    }
}

#define SOURCES "src/sys/text.c"
#define TLS_SOURCES "src/net/tls.c src/net/tls.h"
static const struct fuzz_decoder decoders[] = {
    [NUMBER] = {"number", number, 40, SOURCES},
    [SIZE] = {"size", size, 40, SOURCES},
    [TIME] = {"time", time_span, 40, SOURCES},
    [NAME] = {"name", name, TEXT_MAX, SOURCES " " TLS_SOURCES},
    [UUID] = {"uuid", uuid, 48, ""},
    [ROLE] = {"role", role, 40, TLS_SOURCES},
    [NEAREST] = {"nearest-name", nearest, 20, SOURCES},
    {0}};

const struct fuzz_target fuzz_target = {.name = "text", .len_max = 160, .decoders = decoders, .seeds = seeds};
