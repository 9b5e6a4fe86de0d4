/*
 * fail.c - how verbs end badly, and what each of them needs first: the configuration.
 */
#include "admin.h"

#include <stdio.h>

void admin_print(json_t *doc)
{
    if (json_dumpf(doc, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0)
        putchar('\n');
    json_decref(doc);
}

int admin_fail(bool json, int err, const char *what, const char *why, const char *hint)
{
    const struct hx_err_info *e = hx_err_info(err);
    hx_complain(err, what, why, hint);
    if (json) {
        char code[16];
        snprintf(code, sizeof code, "HX%04d", e->code);
        admin_print(json_pack("{s:{s:s, s:s, s:s, s:s, s:s}}", "error", "code", code, "name", e->name, "what", what,
                              "text", e->text, "why", why ? why : ""));
    }
    return hx_exit_code(err);
}

int admin_load(bool json, const char *path, struct hx_client_conf *conf)
{
    char why[HX_WHY_MAX];
    int err = hx_client_conf_load(path, conf, why);
    if (err)
        return admin_fail(json, err, "configuration", why,
                          err == HX_E_NOENT ? "name the file: --config FILE or HEXAD_CONFIG=FILE; see hexad(1), FILES"
                                            : NULL);
    const struct hx_tls_cfg tls = {conf->ca, conf->cert, conf->key};
    why[0] = '\0';
    err = hx_tls_check(&tls, why);
    if (!err)
        return 0;
    hx_client_conf_free(conf);
    return admin_fail(json, err, "certificates", why, NULL);
}
