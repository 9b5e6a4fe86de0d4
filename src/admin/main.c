/*
 * main.c - the hexad command: finds the verb.  It is mount.hexad, mount.fuse.hexad (the type in the mount table, for
 * mount(8)) and hexadfs, too, by its name.
 */
#include "admin.h"
#include "hexad/mount.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static int version_main(int argc, char **argv);
static int help_main(int argc, char **argv);

static const struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *args, *help;
} verbs[] = {
    {"demo", admin_demo_main, "[-- COMMAND]", "six servers, a volume and a mount, thrown away at the end"},
    {"mount", hx_mount_main, "VOLUME DIR", "mount a volume"},
    {"umount", hx_umount_main, "DIR", "unmount when everything is durable"},
    {"status", admin_status_main, "VOLUME", "how the volume and its servers are"},
    {"scrub", admin_scrub_main, "VOLUME", "read everything stored again, and mend it"},
    {"repair", admin_repair_main, "VOLUME", "replace servers that are gone while nothing is mounted"},
    {"degrade", admin_degrade_main, "VOLUME --zone Z", "give a zone up for a time, 3 of 4 write; --undo: take it back"},
    {"server", admin_server_main, "list | add | drain | remove", "the servers that there are; one more, or less"},
    {"create", admin_create_main, "VOLUME", "make a volume"},
    {"cert", admin_cert_main, "create-... | show", "make and show certificates"},
    {"version", version_main, "", "print the version"},
    {"help", help_main, "[VERB]", "this text, or the verb's"},
};

static const struct verb *find(const char *name)
{
    for (size_t i = 0; i < HX_ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static void usage(FILE *out)
{
    fputs("example: hexad demo\n"
          "         hexad demo -- sqlite3 app.db 'create table t(x);'\n"
          "         hexad mount vol0 /srv/db\n"
          "usage:   hexad VERB [OBJECT] [--options]       hexad VERB --help says more\n",
          out);
    for (size_t i = 0; i < HX_ARRAY_LEN(verbs); i++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", verbs[i].name, verbs[i].args);
        fprintf(out, "  %-26s %s\n", left, verbs[i].help);
    }
    fputs("manual:  hexad(1), mount.hexad(8), hexad-segmentd(8), hexad-errors(7)\n", out);
}

static int unknown(const char *name)
{
    const char *names[HX_ARRAY_LEN(verbs)];
    char why[HX_WHY_MAX];
    for (size_t i = 0; i < HX_ARRAY_LEN(verbs); i++)
        names[i] = verbs[i].name;
    const char *near = hx_nearest(name, names, HX_ARRAY_LEN(names));
    snprintf(why, sizeof why, "unknown verb '%.60s'%s%s%s", name, near ? "; is it '" : "", near ? near : "",
             near ? "'?" : "");
    hx_complain(HX_E_INVAL, "usage", why, "hexad help");
    return HX_EXIT_USAGE;
}

static int version_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--json") == 0)
        admin_print(json_pack("{s:s}", "version", HX_VERSION));
    else
        printf("hexad %s\n", HX_VERSION);
    return HX_EXIT_OK;
}

static int help_main(int argc, char **argv)
{
    if (argc < 2) {
        usage(stdout);
        return HX_EXIT_OK;
    }
    const struct verb *v = find(argv[1]);
    if (!v)
        return unknown(argv[1]);
    if (v->run == help_main || v->run == version_main) {
        usage(stdout);
        return HX_EXIT_OK;
    }
    char help[] = "--help", *line[] = {argv[1], help, NULL};
    return v->run(2, line);
}

int main(int argc, char **argv)
{
    const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
    base = base ? base + 1 : argc > 0 ? argv[0] : "hexad";
    hx_log_init("hexad", HX_LOG_STDERR, HX_LOG_INFO);
    signal(SIGPIPE, SIG_IGN);
    static const char *const helpers[] = {"mount.hexad", "mount.fuse.hexad", "hexadfs", "mount.fuse.hexadfs"};
    for (size_t i = 0; i < HX_ARRAY_LEN(helpers); i++)
        if (strcmp(base, helpers[i]) == 0)
            return hx_mount_main(argc, argv);
    if (argc < 2) {
        usage(stderr);
        return HX_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_main(1, argv);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return version_main(argc - 1, argv + 1);
    const struct verb *v = find(argv[1]);
    return v ? v->run(argc - 1, argv + 1) : unknown(argv[1]);
}
