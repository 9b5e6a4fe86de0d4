/*
 * ini.h - INI files checked against a table of known keys; behind conf_client.c and conf_segmentd.c.
 */
#ifndef HEXAD_SYS_INI_H
#define HEXAD_SYS_INI_H

#include "hexad/sys.h"

struct hx_ini_key {
    const char *section, *key; /* key "*": any name that hx_name_ok accepts */
    bool is_path;              /* a relative one is relative to the file's directory */
};
struct hx_ini_pair {
    char *section, *key, *value; /* owned */
    char *where;                 /* owned: "FILE:LINE", or the variable's name */
    unsigned file;               /* number of the file that it came from */
};
struct hx_ini {
    const struct hx_ini_key *keys;
    size_t key_count;
    struct hx_ini_pair *pairs; /* owned; one for each (section, key) */
    size_t count, cap;
    unsigned file;
};

void hx_ini_init(struct hx_ini *ini, const struct hx_ini_key *keys, size_t key_count);
void hx_ini_fini(struct hx_ini *ini);
/* PATH, then PATH.d/<name>.conf in order.  HX_E_NOENT only for PATH itself. */
int hx_ini_load(struct hx_ini *ini, const char *path, char why[HX_WHY_MAX]);
/* HEXAD_<SECTION>_<KEY> of the environment, for keys that are not "*". */
int hx_ini_environment(struct hx_ini *ini, char why[HX_WHY_MAX]);
/* Sets or replaces; WHERE as in hx_ini_pair, copied.  HX_E_NOMEM. */
int hx_ini_set(struct hx_ini *ini, const char *section, const char *key, const char *value, const char *where);
const struct hx_ini_pair *hx_ini_find(const struct hx_ini *ini, const char *section, const char *key);
/* The value moved out (caller frees with free()), or NULL. */
char *hx_ini_take(struct hx_ini *ini, const char *section, const char *key);

#endif
