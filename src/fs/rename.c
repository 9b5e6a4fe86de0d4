/*
 * rename.c - moving a name, over another one or in exchange with it: one mini-transaction.
 *
 * Keeps M1 to M3 of namei.c, and: M4 a directory's parent (aux) names the directory that holds its entry, so
 * the way up from any directory ends at the root.  A directory is never moved below itself (M4's reason):
 * checked by walking up from the new place.
 *
 * What is where while a rename is prepared (struct move): a side is a directory and an entry in it; when
 * both entries are in one directory, both sides point to the same inode in memory, so that no count is
 * written twice.
 */
#include "fs_private.h"

#include "hexad/mutant.h"

#include <sys/stat.h>

struct side {
    struct hx_inode *dir;
    const char *name;
    struct hx_dirent e;
    struct hx_inode in; /* behind the entry */
    bool there;
};
struct move {
    const struct hx_fs_who *who;
    struct hx_inode dirs[2];
    struct side from, to;
    struct hx_inode *whiteout; /* made at the old name; NULL: nothing is */
};

static int look(struct hx_fs *fs, struct side *s)
{
    int rc = hx_dir_find(fs, s->dir->ino, s->name, &s->e);
    if (rc)
        return rc;
    s->there = true;
    return hx_inode_get(fs, s->e.ino, &s->in);
}

/* Reads both sides; the target may be absent. */
static int prepare(struct hx_fs *fs, uint64_t dir, const char *name, uint64_t new_dir, const char *new_name,
                   struct move *m)
{
    int rc = hx_dir_check_name(name);
    if (rc == 0)
        rc = hx_dir_check_name(new_name);
    if (rc == 0)
        rc = hx_inode_get_dir(fs, dir, &m->dirs[0]);
    if (rc == 0 && new_dir != dir)
        rc = hx_inode_get_dir(fs, new_dir, &m->dirs[1]);
    if (rc)
        return rc;
    m->from = (struct side){.dir = &m->dirs[0], .name = name};
    m->to = (struct side){.dir = &m->dirs[new_dir != dir], .name = new_name};
    rc = look(fs, &m->from);
    if (rc)
        return rc;
    rc = look(fs, &m->to);
    return rc == HX_E_NOENT && !m->to.there ? 0 : rc;
}

/* HX_E_INVAL when directory INO is, or is above, directory BELOW. */
static int check_not_above(struct hx_fs *fs, uint64_t ino, uint64_t below)
{
    while (below != HX_FS_ROOT) {
        struct hx_inode in;
        if (below == ino)
            return HX_E_INVAL;
        int rc = hx_inode_get(fs, below, &in);
        if (rc)
            return rc;
        if (!S_ISDIR(in.mode) || in.aux == below)
            return HX_E_CORRUPT;
        below = in.aux;
    }
    return 0;
}

/* Everything that refuses; reads only. */
static int check(struct hx_fs *fs, const struct move *m, unsigned flags)
{
    const struct side *f = &m->from, *t = &m->to;
    int rc = 0;
    if (t->there && flags & HX_FS_RENAME_NOREPLACE)
        return HX_E_EXIST;
    if (!t->there && flags & HX_FS_RENAME_EXCHANGE)
        return HX_E_NOENT;
    if (f->dir != t->dir && S_ISDIR(f->in.mode))
        rc = check_not_above(fs, f->in.ino, t->dir->ino);
    if (rc == 0 && flags & HX_FS_RENAME_EXCHANGE && f->dir != t->dir && S_ISDIR(t->in.mode))
        rc = check_not_above(fs, t->in.ino, f->dir->ino);
    if (rc || !t->there || flags & HX_FS_RENAME_EXCHANGE)
        return rc;
    if (S_ISDIR(f->in.mode) && !S_ISDIR(t->in.mode))
        return HX_E_NOTDIR;
    if (!S_ISDIR(f->in.mode) && S_ISDIR(t->in.mode))
        return HX_E_ISDIR;
    return S_ISDIR(t->in.mode) && t->in.size > 0 ? HX_E_NOTEMPTY : 0;
}

/* *in, named in FROM so far, is to be named in TO: what that does to both directories' links. */
static void change_parent(struct hx_inode *in, struct hx_inode *from, struct hx_inode *to)
{
    if (!S_ISDIR(in->mode))
        return;
    from->nlink--;
    to->nlink++;
    in->aux = to->ino;
}

static int put_dirs(struct hx_fs *fs, struct move *m)
{
    m->from.dir->mtime = m->from.dir->ctime = m->who->now;
    m->to.dir->mtime = m->to.dir->ctime = m->who->now;
    int rc = hx_inode_put(fs, m->from.dir);
    if (rc == 0 && m->to.dir != m->from.dir)
        rc = hx_inode_put(fs, m->to.dir);
    return rc;
}

static int exchange(struct hx_fs *fs, struct move *m)
{
    struct side *f = &m->from, *t = &m->to;
    struct hx_dirent a = {f->e.k, t->e.ino, t->e.type}, b = {t->e.k, f->e.ino, f->e.type};
    change_parent(&f->in, f->dir, t->dir);
    change_parent(&t->in, t->dir, f->dir);
    f->in.ctime = t->in.ctime = m->who->now;
    int rc = hx_dir_repoint(fs, f->dir->ino, &a);
    if (rc == 0)
        rc = hx_dir_repoint(fs, t->dir->ino, &b);
    if (rc == 0)
        rc = hx_inode_put(fs, &f->in);
    if (rc == 0)
        rc = hx_inode_put(fs, &t->in);
    return rc ? rc : put_dirs(fs, m);
}

/* The target's inode loses its name. */
static int displace(struct hx_fs *fs, struct move *m)
{
    struct side *t = &m->to;
    t->in.ctime = m->who->now;
    if (S_ISDIR(t->in.mode)) {
        t->in.nlink = 0;
        t->dir->nlink--;
    } else {
        t->in.nlink--;
    }
    int rc = hx_inode_put(fs, &t->in);
    return rc == 0 && t->in.nlink == 0 ? hx_reap_add_orphan(fs, t->in.ino) : rc;
}

/* The old name is from now on that of a character device 0:0: a union of directories shows nothing there. */
static int leave_whiteout(struct hx_fs *fs, struct move *m)
{
    struct hx_inode *w = m->whiteout;
    w->uid = m->who->uid;
    w->gid = m->from.dir->mode & S_ISGID ? m->from.dir->gid : m->who->gid;
    w->atime = w->mtime = w->ctime = m->who->now;
    int rc = hx_inode_add(fs, w);
    const struct hx_dirent e = {m->from.e.k, w->ino, S_IFCHR};
    return rc ? rc : hx_dir_repoint(fs, m->from.dir->ino, &e);
}

static int replace(struct hx_fs *fs, struct move *m)
{
    struct side *f = &m->from, *t = &m->to;
    struct hx_dirent e = {t->e.k, f->e.ino, f->e.type};
    int rc = t->there ? displace(fs, m) : 0;
    /* The old entry goes first: the new one may take its place in the bucket when the names collide. */
    if (rc == 0)
        rc = m->whiteout ? leave_whiteout(fs, m) : hx_dir_remove(fs, f->dir->ino, f->e.k);
    if (rc == 0 && HX_MUTANT(RENAME_IN_TWO))
        rc = hx_op_split(fs);
    if (rc == 0)
        rc = t->there ? hx_dir_repoint(fs, t->dir->ino, &e) : hx_dir_insert(fs, t->dir->ino, t->name, &e);
    if (rc)
        return rc;
    f->dir->size -= !m->whiteout;
    t->dir->size += !t->there;
    change_parent(&f->in, f->dir, t->dir);
    f->in.ctime = m->who->now;
    rc = hx_inode_put(fs, &f->in);
    return rc ? rc : put_dirs(fs, m);
}

int hx_fs_rename(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint64_t new_dir,
                 const char *new_name, unsigned flags)
{
    struct hx_inode whiteout = {.mode = S_IFCHR, .nlink = 1};
    struct move m = {.who = who, .whiteout = flags & HX_FS_RENAME_WHITEOUT ? &whiteout : NULL};
    bool swap = flags & HX_FS_RENAME_EXCHANGE;
    if (flags & ~(HX_FS_RENAME_NOREPLACE | HX_FS_RENAME_EXCHANGE | HX_FS_RENAME_WHITEOUT) ||
        (swap && flags != HX_FS_RENAME_EXCHANGE))
        return HX_E_INVAL;
    if (hx_dir_is_dots(name) || hx_dir_is_dots(new_name))
        return HX_E_INVAL;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = prepare(fs, dir, name, new_dir, new_name, &m);
    if (rc == 0)
        rc = check(fs, &m, flags);
    if (rc)
        return rc;
    if (m.to.there && m.from.in.ino == m.to.in.ino)
        return 0; /* two names of one file: POSIX says that nothing happens */
    if (S_ISDIR(m.from.in.mode) && m.to.dir->nlink >= HX_LINK_MAX)
        return HX_E_MLINK;
    rc = hx_op_begin(fs, m.to.there && !m.whiteout ? HX_OP_FREEING : HX_OP_ORDINARY);
    if (rc)
        return rc;
    rc = hx_op_end(fs, swap ? exchange(fs, &m) : replace(fs, &m));
    if (rc == 0 && m.to.there && !swap && m.to.in.nlink == 0)
        hx_reap_unlinked(fs, m.to.in.ino);
    return rc;
}
