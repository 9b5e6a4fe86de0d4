/*
 * ops_dir.c - listing directories: readdir, and readdirplus, which takes a lookup reference of each entry.
 *
 * A cookie names a place in the directory that stays valid while entries come and go (hexad/fs.h), so nothing
 * is kept between two requests, and opening a directory needs no request at all (opendir: ENOSYS once, and the
 * kernel may keep listings in its cache: it knows of all changes; not with strictatime, where each is to be heard
 * of). Pages that are missing are collected over the whole answer, and more of the directory is asked for with
 * them, so that a wait serves many answers.
 * Memory: one buffer per request, bounded by what the kernel asks for.
 */
#include "fuse_private.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ENTRY_MIN 152u /* bytes of the smallest entry of readdirplus */

struct listing {
    struct hx_req *r;
    char *buf;
    size_t used, cap;
    uint64_t *taken; /* inodes whose reference we took */
    size_t taken_count;
    bool missing;
};

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* 1: added; 0: no room left; negative. */
static int add(struct listing *l, const struct hx_fs_dirent *d)
{
    struct fuse_entry_param e = {.attr = {.st_ino = d->ino, .st_mode = d->type}};
    size_t room = l->cap - l->used, need;
    if (!l->r->plus) {
        if (l->missing)
            return 1; /* only looking for more missing pages */
        need = fuse_add_direntry(l->r->fr, l->buf + l->used, room, d->name, &e.attr, (off_t)d->cookie);
    } else {
        if (!is_dot(d->name)) {
            if (fuse_add_direntry_plus(l->r->fr, NULL, 0, d->name, NULL, 0) > room)
                return 0;
            struct hx_fs_attr a;
            int err = hx_fs_lookup(l->r->m->fs, l->r->ino, d->name, &a);
            if (err == HX_E_MISS)
                l->missing = true;
            if (err)
                return err == HX_E_MISS ? 1 : err;
            l->taken[l->taken_count++] = a.ino;
            e.ino = a.ino;
            e.generation = a.generation;
            e.attr_timeout = l->r->m->opts->attr_s;
            e.entry_timeout = l->r->m->opts->entry_s;
            hx_stat_fill(&a, &e.attr);
        }
        need = fuse_add_direntry_plus(l->r->fr, l->buf + l->used, room, d->name, &e, (off_t)d->cookie);
    }
    if (need > room)
        return 0;
    l->used += need;
    return 1;
}

static int fill(struct listing *l)
{
    struct hx_fs_dirent d;
    uint64_t cookie = l->r->off;
    size_t seen = 0;
    for (;;) {
        int more = hx_fs_readdir(l->r->m->fs, l->r->ino, cookie, &d);
        if (more == HX_E_MISS)
            hx_fs_prefetch_dir(l->r->m->fs, l->r->ino, cookie);
        if (more <= 0)
            return more;
        more = add(l, &d);
        if (more <= 0)
            return more;
        cookie = d.cookie;
        if (l->missing && ++seen > l->cap / ENTRY_MIN)
            return 0;
    }
}

static void give_back(struct listing *l)
{
    for (size_t i = 0; i < l->taken_count; i++)
        (void)hx_fs_forget(l->r->m->fs, l->taken[i], 1);
}

static int run_readdir(struct hx_req *r)
{
    struct listing l = {.r = r, .cap = (size_t)r->len};
    l.buf = malloc(l.cap);
    l.taken = r->plus ? malloc((l.cap / ENTRY_MIN + 1) * sizeof(*l.taken)) : NULL;
    int err = l.buf && (l.taken || !r->plus) ? fill(&l) : HX_E_NOMEM;
    if (l.missing)
        err = HX_E_MISS;
    if (err && err != HX_E_MISS && l.used > 0)
        err = 0; /* what is good so far; the error comes with the next request */
    if (err || fuse_reply_buf(r->fr, l.buf, l.used))
        give_back(&l);
    else if (r->off == 0)
        hx_touch_atime(r);
    free(l.taken);
    free(l.buf);
    return err;
}

static void start(fuse_req_t fr, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
    if (hx_virt_is(ino)) {
        hx_virt_readdir(fr, ino, size, off, plus);
        return;
    }
    struct hx_req r = hx_req_of(fr, ino, run_readdir);
    r.off = (uint64_t)off;
    r.len = size < HX_FUSE_IO_MAX ? size : HX_FUSE_IO_MAX;
    r.plus = plus;
    hx_req_start(&r);
}

static void op_readdir(fuse_req_t fr, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    start(fr, ino, size, off, false);
}

static void op_readdirplus(fuse_req_t fr, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    (void)fi;
    start(fr, ino, size, off, true);
}

static void op_opendir(fuse_req_t fr, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hx_mount *m = fuse_req_userdata(fr);
    (void)ino;
    if (m->opts->strictatime)
        fuse_reply_open(fr, fi);
    else
        fuse_reply_err(fr, ENOSYS);
}

void hx_ops_dir(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = op_opendir;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
}
