/*
 * place.c - the mount table, and which processes hold a mount.
 *
 * Never touches a path below the mount: without a quorum that could wait for ever; so holders are found by the
 * names of their descriptors in /proc, not by looking at the files.  Memory: none kept.
 */
#include "fuse_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The table writes blanks and such as \040. */
static void unescape(char *s)
{
    char *out = s;
    while (*s) {
        bool octal = s[0] == '\\' && strspn(s + 1, "01234567") >= 3;
        if (octal) {
            *out++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 4;
        } else {
            *out++ = *s++;
        }
    }
    *out = '\0';
}

/* id parent MAJ:MIN root DIR options [optional...] - TYPE SOURCE super-options */
static bool parse_line(char *line, const char *dir, struct hx_place *ret)
{
    struct hx_place p = {.mounted = true};
    char *save = NULL, *field[6];
    for (int i = 0; i < 6; i++) {
        field[i] = strtok_r(i ? NULL : line, " \n", &save);
        if (!field[i])
            return false;
    }
    unescape(field[4]);
    if (strcmp(field[4], dir) != 0 || sscanf(field[2], "%u:%u", &p.major, &p.minor) != 2)
        return false;
    char *f;
    while ((f = strtok_r(NULL, " \n", &save)) && strcmp(f, "-") != 0)
        ;
    char *type = strtok_r(NULL, " \n", &save), *source = strtok_r(NULL, " \n", &save);
    char *super = strtok_r(NULL, " \n", &save);
    if (!type || !source)
        return false;
    unescape(source);
    snprintf(p.type, sizeof p.type, "%s", type);
    snprintf(p.source, sizeof p.source, "%s", source);
    const char *user = super ? strstr(super, "user_id=") : NULL;
    if (user)
        p.uid = (uid_t)strtoul(user + strlen("user_id="), NULL, 10);
    *ret = p;
    return true;
}

int hx_place_find(const char *dir, struct hx_place *ret)
{
    char *line = NULL;
    size_t cap = 0;
    *ret = (struct hx_place){0};
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return HX_E_IO;
    while (getline(&line, &cap, f) > 0)
        (void)parse_line(line, dir, ret); /* the last line is the top-most mount */
    free(line);
    fclose(f);
    return 0;
}

bool hx_place_has_device(unsigned major, unsigned minor)
{
    char *line = NULL;
    size_t cap = 0;
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return true; /* not known: as if */
    while (!found && getline(&line, &cap, f) > 0) {
        unsigned a, b;
        found = sscanf(line, "%*s %*s %u:%u", &a, &b) == 2 && a == major && b == minor;
    }
    free(line);
    fclose(f);
    return found;
}

int hx_place_canonical(const char *dir, char path[PATH_MAX], char why[HX_WHY_MAX])
{
    char copy[PATH_MAX], parent[PATH_MAX], link[8];
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof copy) {
        snprintf(why, HX_WHY_MAX, "'%.100s'", dir);
        return HX_E_INVAL;
    }
    snprintf(copy, sizeof copy, "%.*s", (int)n, dir);
    char *slash = strrchr(copy, '/');
    const char *base = slash ? slash + 1 : copy;
    bool special = base[0] == '\0' || strcmp(base, ".") == 0 || strcmp(base, "..") == 0;
    if (special || readlink(copy, link, sizeof link) >= 0) { /* readlink asks no mount for anything */
        if (!realpath(copy, path)) {
            snprintf(why, HX_WHY_MAX, "%.180s: %s", dir, strerror(errno));
            return hx_err_from_errno(errno);
        }
        return 0;
    }
    if (slash)
        *slash = '\0';
    if (!realpath(!slash ? "." : copy[0] ? copy : "/", parent)) {
        snprintf(why, HX_WHY_MAX, "%.180s: %s", slash ? copy : ".", strerror(errno));
        return hx_err_from_errno(errno);
    }
    int len = snprintf(path, PATH_MAX, "%s/%s", strcmp(parent, "/") ? parent : "", base);
    return len < PATH_MAX ? 0 : HX_E_NAMETOOLONG;
}

/* ---- holders ---- */
static bool below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool link_below(const char *pid, const char *what, const char *dir, char *target, size_t cap)
{
    char path[600];
    snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
    ssize_t n = readlink(path, target, cap - 1);
    if (n <= 0)
        return false;
    target[n] = '\0';
    return below(target, dir);
}

static bool descriptor_below(const char *pid, const char *dir, char *target, size_t cap)
{
    char path[300], what[300];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = opendir(path);
    const struct dirent *e;
    while (d && !found && (e = readdir(d)) != NULL) {
        snprintf(what, sizeof what, "fd/%.20s", e->d_name);
        found = link_below(pid, what, dir, target, cap);
    }
    if (d)
        closedir(d);
    return found;
}

static bool map_below(const char *pid, const struct hx_place *place, const char *dir, char *target, size_t cap)
{
    char path[64], *line = NULL;
    size_t size = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.20s/maps", pid);
    FILE *f = fopen(path, "re");
    while (f && !found && getline(&line, &size, f) > 0) {
        unsigned major, minor;
        const char *file = strchr(line, '/');
        if (!file || sscanf(line, "%*s %*s %*s %x:%x", &major, &minor) != 2)
            continue;
        found = major == place->major && minor == place->minor && below(file, dir);
        if (found)
            snprintf(target, cap, "%.*s", (int)strcspn(file, "\n"), file);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

static void program_of(const char *pid, char name[32])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
    FILE *f = fopen(path, "re");
    name[0] = '\0';
    if (f && fgets(name, 32, f))
        name[strcspn(name, "\n")] = '\0';
    if (f)
        fclose(f);
}

unsigned hx_place_holders(const char *dir, const struct hx_place *place, unsigned max, char *text, size_t cap)
{
    unsigned count = 0;
    size_t used = 0;
    DIR *d = opendir("/proc");
    const struct dirent *e;
    text[0] = '\0';
    while (d && (e = readdir(d)) != NULL) {
        char target[PATH_MAX], name[32];
        const char *pid = e->d_name;
        if (pid[0] < '0' || pid[0] > '9' || (pid_t)atoi(pid) == getpid())
            continue;
        bool holds = link_below(pid, "cwd", dir, target, sizeof target) ||
                     link_below(pid, "root", dir, target, sizeof target) ||
                     link_below(pid, "exe", dir, target, sizeof target) ||
                     descriptor_below(pid, dir, target, sizeof target) ||
                     map_below(pid, place, dir, target, sizeof target);
        if (!holds)
            continue;
        if (++count > max || used + 1 >= cap)
            continue;
        program_of(pid, name);
        int n = snprintf(text + used, cap - used, "%s%s %s (%s)", used ? ", " : "", pid, name, target);
        used = n < 0 || used + (size_t)n >= cap ? cap - 1 : used + (size_t)n;
    }
    if (d)
        closedir(d);
    return count;
}
