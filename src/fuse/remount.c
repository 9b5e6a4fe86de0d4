/*
 * remount.c - `mount -o remount,ro DIR` and its like: what the kernel keeps of a mount is changed, its process goes on.
 *
 * mount(8) calls the helper with the words of the mount table, of fstab and of the command line, so words that are
 * about the process (cache=, soft=, ...) come along whether somebody wants them changed or not: they stay as they are.
 * What can be seen not to have come true is refused: a volume that was opened read-only does not become writable, and
 * atime is kept by the process.
 */
#include "fuse_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

static const struct {
    const char *word;
    unsigned long flag;
} flags[] = {{"nosuid", MS_NOSUID}, {"nodev", MS_NODEV},       {"noexec", MS_NOEXEC},
             {"sync", MS_SYNCHRONOUS}, {"dirsync", MS_DIRSYNC}, {"noatime", MS_NOATIME}};
static const struct {
    const char *word;
    unsigned long flag;
} undone[] = {{"suid", MS_NOSUID}, {"dev", MS_NODEV}, {"exec", MS_NOEXEC}, {"async", MS_SYNCHRONOUS}};

/* The words in their order: the last one counts. */
static unsigned long wanted(const struct hx_mount_opts *o)
{
    char copy[sizeof o->fuse_opts], *save = NULL;
    unsigned long set = MS_REMOUNT | (o->read_only ? MS_RDONLY : 0);
    snprintf(copy, sizeof copy, "%s", o->fuse_opts);
    for (const char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        for (size_t i = 0; i < HX_ARRAY_LEN(flags); i++)
            set |= strcmp(w, flags[i].word) == 0 ? flags[i].flag : 0;
        for (size_t i = 0; i < HX_ARRAY_LEN(undone); i++)
            set &= strcmp(w, undone[i].word) == 0 ? ~undone[i].flag : ~0ul;
    }
    return set | (set & MS_NOATIME ? 0 : MS_RELATIME);
}

static int refuse(const struct hx_mount_opts *o, int err, const char *why, const char *hint)
{
    char what[PATH_MAX + 64];
    snprintf(what, sizeof what, "cannot remount %s", o->dir);
    hx_complain(err, what, why, hint);
    return err == HX_E_NOENT || err == HX_E_IN_USE ? 32 : hx_mount_exit(o, err);
}

/* Is noatime on, as the mount table says?  Asks the kernel only. */
static int noatime_now(const struct hx_mount_opts *o, bool *ret)
{
    struct statvfs fs;
    if (statvfs(o->dir, &fs) < 0)
        return hx_err_from_errno(errno);
    *ret = (fs.f_flag & ST_NOATIME) != 0;
    return 0;
}

int hx_remount(const struct hx_mount_opts *o)
{
    struct hx_place place;
    char source[128], why[HX_WHY_MAX], again[2 * PATH_MAX];
    bool noatime = false;
    int err = hx_place_find(o->dir, &place);
    snprintf(source, sizeof source, "hexad:%s", o->volume);
    snprintf(again, sizeof again, "hexad umount %s, then mount with the new options", o->dir);
    if (err == 0 && (!place.mounted || strcmp(place.type, "fuse.hexad") != 0 || strcmp(place.source, source) != 0)) {
        snprintf(why, sizeof why, "volume %s is not mounted there", o->volume);
        return refuse(o, HX_E_NOENT, why, "mount it without remount");
    }
    if (err == 0)
        err = noatime_now(o, &noatime);
    if (err)
        return refuse(o, err, NULL, NULL);
    if (!o->read_only && hx_runfile_read_only(&place))
        return refuse(o, HX_E_READ_ONLY, "the volume was opened read-only", again);
    if (o->noatime != noatime)
        return refuse(o, HX_E_INVAL, "noatime is kept by the mount's process, which began without this change", again);
    if (!o->fake && mount(source, o->dir, NULL, wanted(o), NULL) < 0) {
        bool busy = errno == EBUSY;
        err = busy ? HX_E_IN_USE : hx_err_from_errno(errno);
        snprintf(why, sizeof why, "%s%s", strerror(errno), busy ? ": files are open for writing" : "");
        return refuse(o, err, why, busy ? "close them, or end their programs" : NULL);
    }
    return 0;
}
