/*
 * dir.c - directory entries: names to inode numbers, and the order in which they are listed.
 *
 * It does not touch inodes: who adds an entry counts links and entries (namei.c).
 *
 * Key (dir, DIRENT, k): k is 43 bits of a keyed hash of the name (never 0), then a 20-bit rank among the
 * names with the same hash.  Value: u64 ino, u8 type (mode >> 12), the name.
 * Invariants:
 *   D1 k is fixed for as long as the entry exists, and is readdir's cookie: no insertion or removal of
 *      other entries moves it.  "." and ".." are cookies 1 and 2, below every k.
 *   D2 a name is only ever in the bucket of its hash; all of a bucket is looked at, so names that collide
 *      are as exact as others.  A bucket holds 2^20 names; a directory of a million has one pair in it or so.
 * hash.c has the hash.  Allocates nothing.
 */
#include "fs_private.h"

#include <sys/stat.h>

#define RANK_BITS HX_HASH_RANK_BITS
#define COOKIE_DOT 1u
#define COOKIE_DOTDOT 2u
#define DIR_AHEAD 64u /* leaves; a listing of 64 names each, and one request to a server */
#define DIRENT_HEAD 9u

int hx_dir_check_name(const char *name)
{
    size_t len = strlen(name);
    if (len > HX_FS_NAME_MAX)
        return HX_E_NAMETOOLONG;
    return len == 0 || strchr(name, '/') ? HX_E_INVAL : 0;
}

bool hx_dir_is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int hx_dir_decode(const struct hx_item *it, struct hx_dirent *ret, const char **ret_name, size_t *ret_len)
{
    if (it->len <= DIRENT_HEAD || it->len > DIRENT_HEAD + HX_FS_NAME_MAX)
        return HX_E_CORRUPT;
    *ret = (struct hx_dirent){it->key.k, hx_get_u64(it->val), (uint32_t)it->val[8] << 12};
    *ret_name = (const char *)it->val + DIRENT_HEAD;
    *ret_len = it->len - DIRENT_HEAD;
    /* The kernel refuses the whole directory for one such name, and a caller's string would end early. */
    if (memchr(*ret_name, '\0', *ret_len) || memchr(*ret_name, '/', *ret_len))
        return HX_E_CORRUPT;
    return 0;
}

int hx_dir_find(struct hx_fs *fs, uint64_t dir, const char *name, struct hx_dirent *ret)
{
    size_t len = strlen(name), n;
    uint64_t first = hx_hash_name(fs->seed, dir, name, len), last = first + (1u << RANK_BITS) - 1;
    uint64_t vacant = first; /* lowest rank that no name so far has */
    for (uint64_t k = first; k <= last;) {
        struct hx_item it;
        struct hx_dirent e;
        const char *s;
        int rc = hx_btree_ceil(&fs->tree, HX_KEY(dir, HX_T_DIRENT, k), &it);
        if (rc && rc != HX_E_NOENT)
            return rc;
        if (rc || it.key.ino != dir || it.key.type != HX_T_DIRENT || it.key.k > last)
            break;
        rc = hx_dir_decode(&it, &e, &s, &n);
        if (rc)
            return rc;
        if (n == len && memcmp(s, name, len) == 0) {
            *ret = e;
            return 0;
        }
        if (e.k == vacant)
            vacant++;
        k = e.k + 1;
    }
    *ret = (struct hx_dirent){.k = vacant <= last ? vacant : 0};
    return HX_E_NOENT;
}

int hx_dir_insert(struct hx_fs *fs, uint64_t dir, const char *name, const struct hx_dirent *e)
{
    uint8_t val[DIRENT_HEAD + HX_FS_NAME_MAX];
    size_t len = strlen(name);
    if (e->k == 0)
        return HX_E_NOSPACE; /* 2^20 names with one hash */
    hx_put_u64(val, e->ino);
    val[8] = (uint8_t)(e->type >> 12);
    memcpy(val + DIRENT_HEAD, name, len);
    return hx_btree_insert(&fs->tree, HX_KEY(dir, HX_T_DIRENT, e->k), val, DIRENT_HEAD + len);
}

int hx_dir_repoint(struct hx_fs *fs, uint64_t dir, const struct hx_dirent *e)
{
    uint8_t *val;
    size_t len;
    int rc = hx_btree_edit(&fs->tree, HX_KEY(dir, HX_T_DIRENT, e->k), &val, &len);
    if (rc)
        return rc;
    if (len <= DIRENT_HEAD)
        return HX_E_CORRUPT;
    hx_put_u64(val, e->ino);
    val[8] = (uint8_t)(e->type >> 12);
    return 0;
}

int hx_dir_remove(struct hx_fs *fs, uint64_t dir, uint64_t k)
{
    return hx_btree_delete(&fs->tree, HX_KEY(dir, HX_T_DIRENT, k));
}

static int next_entry(struct hx_fs *fs, uint64_t dir, uint64_t cookie, struct hx_fs_dirent *ret)
{
    struct hx_item it;
    struct hx_dirent e;
    const char *name;
    size_t len;
    if (cookie >= INT64_MAX)
        return 0;
    int rc = hx_btree_ceil(&fs->tree, HX_KEY(dir, HX_T_DIRENT, cookie + 1), &it);
    if (rc == HX_E_NOENT)
        return 0;
    if (rc)
        return rc;
    if (it.key.ino != dir || it.key.type != HX_T_DIRENT)
        return 0;
    rc = hx_dir_decode(&it, &e, &name, &len);
    if (rc)
        return rc;
    *ret = (struct hx_fs_dirent){.ino = e.ino, .type = e.type, .cookie = e.k};
    memcpy(ret->name, name, len);
    return 1;
}

int hx_fs_readdir(struct hx_fs *fs, uint64_t dir, uint64_t cookie, struct hx_fs_dirent *ret)
{
    struct hx_inode in;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_dir(fs, dir, &in);
    if (rc == HX_E_NOENT)
        return 0; /* removed while it was open: empty */
    if (rc)
        return rc;
    if (cookie == 0)
        *ret = (struct hx_fs_dirent){.ino = dir, .type = S_IFDIR, .cookie = COOKIE_DOT, .name = "."};
    else if (cookie == COOKIE_DOT)
        *ret = (struct hx_fs_dirent){.ino = in.aux, .type = S_IFDIR, .cookie = COOKIE_DOTDOT, .name = ".."};
    else
        return next_entry(fs, dir, cookie, ret);
    return 1;
}

void hx_fs_prefetch_dir(struct hx_fs *fs, uint64_t dir, uint64_t cookie)
{
    if (fs->ready && cookie < INT64_MAX)
        (void)hx_btree_want(&fs->tree, HX_KEY(dir, HX_T_DIRENT, cookie + 1), HX_KEY(dir, HX_T_DIRENT, UINT64_MAX),
                            DIR_AHEAD);
}
