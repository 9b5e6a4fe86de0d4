/*
 * namei.c - names: finding, making, linking and removing them (rename.c moves them).
 *
 * Each operation is one mini-transaction that changes the entry, the inode behind it and the directory
 * together, so link counts and entry counts are true at every consistency point (hx_fs_verify checks it):
 *   M1 nlink of a file is the number of entries that name it; of a directory 2 + its subdirectories.
 *   M2 a directory's size is its number of entries ("." and ".." are not stored).
 *   M3 an inode without a link is on the orphan list, and nowhere else.
 */
#include "fs_private.h"

#include "hexad/mutant.h"

#include <sys/stat.h>

#define SYMLINK_CHUNK 1000u

/* The entry NAME of DIR, whose inode is read; the dots are no entries.  HX_E_NOENT: *ret_e says where. */
static int find(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_inode *ret_dir, struct hx_dirent *ret_e)
{
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_dir_check_name(name);
    if (rc == 0)
        rc = hx_inode_get_dir(fs, dir, ret_dir);
    return rc ? rc : hx_dir_find(fs, dir, name, ret_e);
}

/* As find, for a name that is to be made: 0 when it is free. */
static int find_free(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_inode *ret_dir,
                     struct hx_dirent *ret_e)
{
    int rc = hx_op_ready(fs);
    if (rc)
        return rc;
    if (hx_dir_is_dots(name))
        return HX_E_EXIST;
    rc = find(fs, dir, name, ret_dir, ret_e);
    if (rc == 0)
        return HX_E_EXIST;
    return rc == HX_E_NOENT && ret_dir->nlink > 0 ? hx_refs_reserve(&fs->refs, 1) : rc;
}

static void known(struct hx_fs *fs, const struct hx_inode *in, struct hx_fs_attr *ret)
{
    hx_refs_get(&fs->refs, in->ino)->lookups++;
    hx_inode_attr(in, ret);
}

/* "." may be asked of anything: that is how the kernel comes back to an inode that it has a handle of, and nothing else
 * (name_to_handle_at).  An inode that only waits to be freed is as good as gone. */
static int find_dots(struct hx_fs *fs, uint64_t ino, const char *name, uint64_t *ret_ino)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &in);
    if (rc)
        return rc;
    if (in.nlink == 0 && !hx_refs_find(&fs->refs, ino))
        return HX_E_STALE;
    if (name[1] == '.' && !S_ISDIR(in.mode))
        return HX_E_NOTDIR;
    *ret_ino = name[1] == '.' ? in.aux : ino;
    return 0;
}

int hx_fs_lookup(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_fs_attr *ret)
{
    struct hx_inode d, in;
    struct hx_dirent e;
    int rc;
    if (hx_dir_is_dots(name)) {
        rc = find_dots(fs, dir, name, &e.ino);
    } else {
        rc = find(fs, dir, name, &d, &e);
    }
    if (rc == 0)
        rc = hx_inode_get(fs, e.ino, &in);
    if (rc == 0)
        rc = hx_refs_reserve(&fs->refs, 1);
    if (rc == 0)
        known(fs, &in, ret);
    return rc;
}

/* Inside a mini-transaction: entry NAME for *in, and the directory's count and times. */
static int enter(struct hx_fs *fs, const struct hx_fs_who *who, struct hx_inode *dir, const char *name,
                 struct hx_dirent *e, const struct hx_inode *in)
{
    e->ino = in->ino;
    e->type = in->mode & S_IFMT;
    dir->size++;
    dir->mtime = dir->ctime = who->now;
    int rc = hx_dir_insert(fs, dir->ino, name, e);
    return rc ? rc : hx_inode_put(fs, dir);
}

static int put_symlink(struct hx_fs *fs, uint64_t ino, const char *target)
{
    size_t len = strlen(target);
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i * SYMLINK_CHUNK < len; i++) {
        size_t left = len - i * SYMLINK_CHUNK, n = left < SYMLINK_CHUNK ? left : SYMLINK_CHUNK;
        rc = hx_btree_insert(&fs->tree, HX_KEY(ino, HX_T_SYMLINK, i), target + i * SYMLINK_CHUNK, n);
    }
    return rc;
}

/* What *in has of the caller and of directory *d. */
static void set_owner(const struct hx_fs_who *who, const struct hx_inode *d, struct hx_inode *in)
{
    in->uid = who->uid;
    in->gid = d->mode & S_ISGID ? d->gid : who->gid;
    in->atime = in->mtime = in->ctime = who->now;
    if (S_ISDIR(in->mode))
        in->mode |= d->mode & S_ISGID;
}

/* Inside a mini-transaction: an inode, its ACLs and its text. */
static int add_inode(struct hx_fs *fs, struct hx_inode *in, const struct hx_perm_acls *acls, const char *target)
{
    int rc = hx_inode_add(fs, in);
    if (rc == 0)
        rc = hx_perm_put_acls(fs, in, acls);
    if (rc == 0 && target)
        rc = put_symlink(fs, in->ino, target);
    return rc;
}

/* Makes what *in describes (mode, size, aux), under NAME. */
static int make(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name,
                struct hx_inode *in, const char *target, struct hx_fs_attr *ret)
{
    struct hx_inode d;
    struct hx_dirent e;
    struct hx_perm_acls acls;
    int rc = find_free(fs, dir, name, &d, &e);
    if (rc)
        return rc;
    in->nlink = 1;
    if (S_ISDIR(in->mode)) {
        if (d.nlink >= HX_LINK_MAX)
            return HX_E_MLINK;
        in->nlink = 2;
        in->aux = dir;
        d.nlink++;
    }
    rc = hx_perm_inherit(fs, who, &d, in, &acls);
    if (rc)
        return rc;
    set_owner(who, &d, in);
    rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    rc = add_inode(fs, in, &acls, target);
    if (rc == 0 && HX_MUTANT(CREATE_IN_TWO))
        rc = hx_op_split(fs);
    if (rc == 0)
        rc = enter(fs, who, &d, name, &e, in);
    rc = hx_op_end(fs, rc);
    if (rc == 0)
        known(fs, in, ret);
    return rc;
}

/* Inside a mini-transaction: an orphan from the start (M3), so that a crash leaves nothing of it. */
static int add_nameless(struct hx_fs *fs, struct hx_inode *in, const struct hx_perm_acls *acls)
{
    int rc = hx_super_raise(fs->p);
    if (rc == 0)
        rc = add_inode(fs, in, acls, NULL);
    return rc ? rc : hx_reap_add_orphan(fs, in->ino);
}

int hx_fs_tmpfile(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, uint32_t mode, struct hx_fs_attr *ret)
{
    struct hx_inode d, in = {.mode = S_IFREG | (mode & 07777), .flags = HX_INODE_TMPFILE};
    struct hx_perm_acls acls;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_dir(fs, dir, &d);
    if (rc == 0)
        rc = hx_refs_reserve(&fs->refs, 1);
    if (rc == 0)
        rc = hx_perm_inherit(fs, who, &d, &in, &acls);
    if (rc)
        return rc;
    set_owner(who, &d, &in);
    rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    rc = hx_op_end(fs, add_nameless(fs, &in, &acls));
    if (rc)
        return rc;
    known(fs, &in, ret);
    hx_reap_unlinked(fs, in.ino);
    return 0;
}

int hx_fs_mknod(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint32_t mode,
                uint64_t rdev, struct hx_fs_attr *ret)
{
    struct hx_inode in = {.mode = mode & (S_IFMT | 07777)};
    switch (mode & S_IFMT) {
    case S_IFCHR:
    case S_IFBLK:
        in.aux = rdev;
        break;
    case S_IFREG:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    default:
        return HX_E_INVAL;
    }
    return make(fs, who, dir, name, &in, NULL, ret);
}

int hx_fs_mkdir(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name, uint32_t mode,
                struct hx_fs_attr *ret)
{
    struct hx_inode in = {.mode = S_IFDIR | (mode & 07777)};
    return make(fs, who, dir, name, &in, NULL, ret);
}

int hx_fs_symlink(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name,
                  const char *target, struct hx_fs_attr *ret)
{
    struct hx_inode in = {.mode = S_IFLNK | 0777, .size = strlen(target)};
    if (in.size == 0)
        return HX_E_NOENT;
    if (in.size > HX_FS_SYMLINK_MAX)
        return HX_E_NAMETOOLONG;
    return make(fs, who, dir, name, &in, target, ret);
}

int hx_fs_readlink(struct hx_fs *fs, uint64_t ino, char *buf, size_t cap)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &in);
    if (rc)
        return rc;
    if (!S_ISLNK(in.mode))
        return HX_E_INVAL;
    if (in.size >= cap)
        return HX_E_TOOBIG;
    for (uint64_t at = 0, i = 0; at < in.size; i++) {
        struct hx_item it;
        rc = hx_btree_find(&fs->tree, HX_KEY(ino, HX_T_SYMLINK, i), &it);
        if (rc == HX_E_NOENT || (rc == 0 && (it.len == 0 || it.len > in.size - at)))
            return HX_E_CORRUPT;
        if (rc)
            return rc;
        memcpy(buf + at, it.val, it.len);
        at += it.len;
    }
    buf[in.size] = '\0';
    return 0;
}

int hx_fs_link(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, uint64_t dir, const char *name,
               struct hx_fs_attr *ret)
{
    struct hx_inode d, in;
    struct hx_dirent e;
    int rc = find_free(fs, dir, name, &d, &e);
    if (rc == 0)
        rc = hx_inode_get(fs, ino, &in);
    if (rc)
        return rc;
    if (S_ISDIR(in.mode))
        return HX_E_PERM;
    bool nameless = in.nlink == 0;
    if (nameless && !(in.flags & HX_INODE_TMPFILE))
        return HX_E_NOENT; /* on its way out: a name cannot bring it back */
    if (in.nlink >= HX_LINK_MAX)
        return HX_E_MLINK;
    rc = hx_op_begin(fs, HX_OP_ORDINARY);
    if (rc)
        return rc;
    in.nlink += !HX_MUTANT(LINK_NOT_COUNTED);
    in.flags &= ~HX_INODE_TMPFILE;
    in.ctime = who->now;
    rc = hx_inode_put(fs, &in);
    if (rc == 0 && nameless)
        rc = hx_reap_drop_orphan(fs, in.ino);
    if (rc == 0)
        rc = enter(fs, who, &d, name, &e, &in);
    rc = hx_op_end(fs, rc);
    if (rc)
        return rc;
    known(fs, &in, ret);
    if (nameless)
        hx_refs_get(&fs->refs, in.ino)->unlinked = false;
    return 0;
}

/* Inside a mini-transaction: *in loses the link that entry K of *dir is. */
static int leave(struct hx_fs *fs, const struct hx_fs_who *who, struct hx_inode *dir, uint64_t k,
                 struct hx_inode *in)
{
    dir->size--;
    dir->mtime = dir->ctime = in->ctime = who->now;
    int rc = hx_dir_remove(fs, dir->ino, k);
    if (rc == 0)
        rc = hx_inode_put(fs, dir);
    if (rc == 0)
        rc = hx_inode_put(fs, in);
    if (rc == 0 && in->nlink == 0 && !HX_MUTANT(ORPHAN_NOT_RECORDED))
        rc = hx_reap_add_orphan(fs, in->ino);
    return rc;
}

static int remove_entry(struct hx_fs *fs, const struct hx_fs_who *who, struct hx_inode *dir, uint64_t k,
                        struct hx_inode *in)
{
    int rc = hx_op_begin(fs, HX_OP_FREEING);
    if (rc)
        return rc;
    rc = hx_op_end(fs, leave(fs, who, dir, k, in));
    if (rc == 0 && in->nlink == 0)
        hx_reap_unlinked(fs, in->ino);
    return rc;
}

int hx_fs_unlink(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name)
{
    struct hx_inode d, in;
    struct hx_dirent e;
    if (hx_dir_is_dots(name))
        return HX_E_ISDIR;
    int rc = find(fs, dir, name, &d, &e);
    if (rc == 0)
        rc = hx_inode_get(fs, e.ino, &in);
    if (rc)
        return rc;
    if (S_ISDIR(in.mode))
        return HX_E_ISDIR;
    if (in.nlink == 0)
        return HX_E_CORRUPT;
    in.nlink--;
    return remove_entry(fs, who, &d, e.k, &in);
}

int hx_fs_rmdir(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t dir, const char *name)
{
    struct hx_inode d, in;
    struct hx_dirent e;
    if (hx_dir_is_dots(name))
        return name[1] ? HX_E_NOTEMPTY : HX_E_INVAL;
    int rc = find(fs, dir, name, &d, &e);
    if (rc == 0)
        rc = hx_inode_get(fs, e.ino, &in);
    if (rc)
        return rc;
    if (!S_ISDIR(in.mode))
        return HX_E_NOTDIR;
    if (in.size > 0)
        return HX_E_NOTEMPTY;
    in.nlink = 0;
    d.nlink--;
    return remove_entry(fs, who, &d, e.k, &in);
}
