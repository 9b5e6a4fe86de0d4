/*
 * ini.c - reads INI files through libinih, and refuses what libinih lets pass.
 *
 * Does not know what a key means: that is its callers' part.  The traps of the library, each closed here:
 *   T1 lines longer than its buffer are cut silently: refused, with file:line.
 *   T2 an indented line continues the value before it: indentation is taken away before the library sees it.
 *   T3 unknown, duplicate and empty keys pass: refused, with the nearest known name.
 *   T4 a NUL byte ends a line silently: refused.
 * Threads: one.  Memory: pairs are owned by struct hx_ini; on error it may hold some of the file's pairs.
 */
#include "ini.h"

#include "sys_private.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct reading {
    struct hx_ini *ini;
    const char *path;
    FILE *in;
    char *line; /* of getline */
    size_t line_cap;
    unsigned lineno;
    int err; /* the first */
    char *why;
};

void hx_ini_init(struct hx_ini *ini, const struct hx_ini_key *keys, size_t key_count)
{
    memset(ini, 0, sizeof *ini);
    ini->keys = keys;
    ini->key_count = key_count;
}

static void pair_fini(struct hx_ini_pair *p)
{
    free(p->section);
    free(p->key);
    free(p->value);
    free(p->where);
}

void hx_ini_fini(struct hx_ini *ini)
{
    for (size_t i = 0; i < ini->count; i++)
        pair_fini(&ini->pairs[i]);
    free(ini->pairs);
    ini->pairs = NULL;
    ini->count = ini->cap = 0;
}

static struct hx_ini_pair *find(const struct hx_ini *ini, const char *section, const char *key)
{
    for (size_t i = 0; i < ini->count; i++)
        if (strcmp(ini->pairs[i].section, section) == 0 && strcmp(ini->pairs[i].key, key) == 0)
            return &ini->pairs[i];
    return NULL;
}

const struct hx_ini_pair *hx_ini_find(const struct hx_ini *ini, const char *section, const char *key)
{
    return find(ini, section, key);
}

char *hx_ini_take(struct hx_ini *ini, const char *section, const char *key)
{
    struct hx_ini_pair *p = find(ini, section, key);
    char *v = p ? p->value : NULL;
    if (p)
        p->value = NULL;
    return v;
}

static int grow(struct hx_ini *ini)
{
    if (ini->count < ini->cap)
        return 0;
    size_t cap = ini->cap ? 2 * ini->cap : 16;
    struct hx_ini_pair *p = reallocarray(ini->pairs, cap, sizeof *p);
    if (!p)
        return HX_E_NOMEM;
    ini->pairs = p;
    ini->cap = cap;
    return 0;
}

int hx_ini_set(struct hx_ini *ini, const char *section, const char *key, const char *value, const char *where)
{
    struct hx_ini_pair *old = find(ini, section, key);
    struct hx_ini_pair p = {strdup(section), strdup(key), strdup(value), strdup(where), ini->file};
    if (!p.section || !p.key || !p.value || !p.where || (!old && grow(ini) < 0)) {
        pair_fini(&p);
        return HX_E_NOMEM;
    }
    if (old) {
        pair_fini(old);
        *old = p;
    } else {
        ini->pairs[ini->count++] = p;
    }
    return 0;
}

__attribute__((format(printf, 2, 3))) static int refuse(struct reading *r, const char *fmt, ...)
{
    char text[HX_WHY_MAX];
    if (r->err)
        return r->err; /* the first error is the one to mend first */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(r->why, HX_WHY_MAX, "%.150s:%u: %.90s", r->path, r->lineno, text);
    return r->err = HX_E_CONFIG;
}

/* libinih's reader: one line a call (T1, T2, T4).  NULL ends the reading. */
static char *next_line(char *str, int num, void *stream)
{
    struct reading *r = stream;
    if (r->err)
        return NULL;
    ssize_t n = getline(&r->line, &r->line_cap, r->in);
    if (n < 0) {
        if (ferror(r->in))
            r->err = hx_sys_why(r->why, errno, "%s", r->path);
        return NULL;
    }
    r->lineno++;
    if (strlen(r->line) != (size_t)n) {
        refuse(r, "a NUL byte in a text file");
        return NULL;
    }
    while (n > 0 && (r->line[n - 1] == '\n' || r->line[n - 1] == '\r'))
        r->line[--n] = '\0';
    if (n > num - 3) {
        refuse(r, "line longer than %d bytes", num - 3);
        return NULL;
    }
    snprintf(str, (size_t)num, "%s\n", r->line + strspn(r->line, " \t"));
    return str;
}

/* Names of one kind, for suggestions: of sections (SECTION NULL), or of the keys of one. */
static const char *suggest(const struct hx_ini *ini, const char *section, const char *word)
{
    const char *best[64];
    size_t n = 0;
    for (size_t i = 0; i < ini->key_count && n < HX_ARRAY_LEN(best); i++) {
        const char *name = section ? ini->keys[i].key : ini->keys[i].section;
        if (!section || strcmp(ini->keys[i].section, section) == 0)
            best[n++] = name;
    }
    return hx_nearest(word, best, n);
}

static int unknown(struct reading *r, const char *section, const char *key)
{
    bool known_section = false;
    for (size_t i = 0; i < r->ini->key_count; i++)
        known_section |= strcmp(r->ini->keys[i].section, section) == 0;
    const char *near = suggest(r->ini, known_section ? section : NULL, known_section ? key : section);
    const char *pre = near ? "; is it '" : "", *post = near ? "'?" : "";
    if (!*section)
        return refuse(r, "'%.40s' stands before the first [section]", key);
    if (!known_section)
        return refuse(r, "unknown section [%.30s]%s%s%s", section, pre, near ? near : "", post);
    return refuse(r, "unknown key '%.30s' in [%s]%s%s%s", key, section, pre, near ? near : "", post);
}

static const struct hx_ini_key *lookup(const struct hx_ini *ini, const char *section, const char *key)
{
    for (size_t i = 0; i < ini->key_count; i++) {
        const struct hx_ini_key *k = &ini->keys[i];
        if (strcmp(k->section, section) == 0 && (strcmp(k->key, "*") == 0 || strcmp(k->key, key) == 0))
            return k;
    }
    return NULL;
}

/* A relative path belongs to the directory of its file. */
static int resolve(const char *file, const char *value, char out[PATH_MAX])
{
    const char *slash = strrchr(file, '/');
    int n = value[0] == '/' || !slash ? snprintf(out, PATH_MAX, "%s", value)
                                      : snprintf(out, PATH_MAX, "%.*s/%s", (int)(slash - file), file, value);
    return n < 0 || n >= PATH_MAX ? HX_E_TOOBIG : 0;
}

/* libinih's handler: nonzero is success there. */
static int take_pair(void *user, const char *section, const char *name, const char *value)
{
    struct reading *r = user;
    const struct hx_ini_key *k = lookup(r->ini, section, name);
    const struct hx_ini_pair *old = find(r->ini, section, name);
    char where[PATH_MAX + 16], path[PATH_MAX];
    if (r->err)
        return 0;
    if (!k)
        return unknown(r, section, name), 0;
    if (strcmp(k->key, "*") == 0 && !hx_name_ok(name))
        return refuse(r, "'%.40s' is not a name: letters, digits, '.', '_', '-'", name), 0;
    if (old && old->file == r->ini->file)
        return refuse(r, "'%.30s' once more in [%s]; first at %.80s", name, section, old->where), 0;
    if (!*value)
        return refuse(r, "'%.40s' has no value", name), 0;
    if (k->is_path) {
        if (resolve(r->path, value, path) < 0)
            return refuse(r, "path too long"), 0;
        value = path;
    }
    snprintf(where, sizeof where, "%s:%u", r->path, r->lineno);
    r->err = hx_ini_set(r->ini, section, name, value, where);
    return r->err == 0;
}

static int load_one(struct hx_ini *ini, const char *path, char why[HX_WHY_MAX])
{
    struct reading r = {.ini = ini, .path = path, .why = why};
    r.in = fopen(path, "re");
    if (!r.in)
        return hx_sys_why(why, errno, "%s", path);
    ini->file++;
    int line = ini_parse_stream(next_line, &r, take_pair, &r);
    if (line > 0 && (!r.err || (unsigned)line < r.lineno)) { /* the library goes on after an error of its own */
        r.lineno = (unsigned)line;
        r.err = 0;
        refuse(&r, "neither '[section]' nor 'key = value'");
    } else if (line < 0 && !r.err) {
        r.err = HX_E_NOMEM;
    }
    free(r.line);
    fclose(r.in);
    return r.err;
}

static int is_conf(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int load_directory(struct hx_ini *ini, const char *dir, char why[HX_WHY_MAX])
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_conf, alphasort), err = 0;
    if (n < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : hx_sys_why(why, errno, "%s", dir);
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        int len = snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        if (!err)
            err = len < 0 || (size_t)len >= sizeof path ? HX_E_TOOBIG : load_one(ini, path, why);
        free(list[i]);
    }
    free(list);
    return err;
}

int hx_ini_load(struct hx_ini *ini, const char *path, char why[HX_WHY_MAX])
{
    char dir[PATH_MAX];
    int n = snprintf(dir, sizeof dir, "%s.d", path);
    if (n < 0 || (size_t)n >= sizeof dir)
        return HX_E_TOOBIG;
    int err = load_one(ini, path, why);
    return err ? err : load_directory(ini, dir, why);
}

int hx_ini_environment(struct hx_ini *ini, char why[HX_WHY_MAX])
{
    ini->file++;
    for (size_t i = 0; i < ini->key_count; i++) {
        char name[96];
        if (strcmp(ini->keys[i].key, "*") == 0)
            continue;
        snprintf(name, sizeof name, "HEXAD_%s_%s", ini->keys[i].section, ini->keys[i].key);
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        const char *value = getenv(name);
        if (!value || !*value)
            continue;
        if (hx_ini_set(ini, ini->keys[i].section, ini->keys[i].key, value, name) < 0) {
            snprintf(why, HX_WHY_MAX, "%s", name);
            return HX_E_NOMEM;
        }
    }
    return 0;
}
