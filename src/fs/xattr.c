/*
 * xattr.c - extended attributes: named values of an inode, up to 64 KiB each.
 *
 * It does not decide who may read or write them (the kernel does), nor what ACLs and capabilities mean (perm.c).
 *
 * Key (ino, XATTR, k): k is 43 bits of the keyed hash of the name as in a directory (dir.c), a 12-bit rank among names
 * of that hash, and the 8-bit number of a chunk.  Chunk 0: u8 length of the name, u8 0, u32 length of the value, the
 * name, and as much of the value as fits CHUNK bytes; the others CHUNK bytes of the value, the last one the rest.
 * Invariants:
 *   X1 an attribute has all its chunks, 0 to the last, and no others.
 *   X2 an inode with an XATTR item has the flag HAS_XATTR, so one without is asked no more than its flags: the kernel
 *      asks for security.capability before it writes.  HAS_ACCESS, HAS_DEFAULT, HAS_CAPS are exact.
 * A value that is replaced by one of the same length is changed in place.  Allocates nothing.
 */
#include "fs_private.h"

#include <sys/stat.h>

#define CHUNK 1000u
#define HEAD 6u
#define RANK_SHIFT 8
#define BUCKET_MASK (((uint64_t)1 << 20) - 1)

struct place {
    uint64_t k; /* of chunk 0; not found: where it would be, 0 when the bucket is full */
    size_t name_len, value_len;
};

static const struct {
    const char *name;
    uint32_t flag;
} flagged[] = {
    {HX_FS_ACL_ACCESS, HX_INODE_HAS_ACCESS},
    {HX_FS_ACL_DEFAULT, HX_INODE_HAS_DEFAULT},
    {HX_CAPS_NAME, HX_INODE_HAS_CAPS},
};

uint32_t hx_xattr_flags(const char *name, size_t len)
{
    for (size_t i = 0; i < HX_ARRAY_LEN(flagged); i++)
        if (len == strlen(flagged[i].name) && memcmp(name, flagged[i].name, len) == 0)
            return HX_INODE_HAS_XATTR | flagged[i].flag;
    return HX_INODE_HAS_XATTR;
}

/* The flag that is this attribute's alone; 0. */
static uint32_t flag_of(const char *name)
{
    return hx_xattr_flags(name, strlen(name)) & ~HX_INODE_HAS_XATTR;
}

int hx_xattr_decode(const struct hx_item *it, struct hx_xattr_part *ret)
{
    *ret = (struct hx_xattr_part){.bucket = it->key.k & ~BUCKET_MASK, .chunk = (unsigned)(it->key.k & 0xff)};
    if (it->len > CHUNK || it->len == 0)
        return HX_E_CORRUPT;
    ret->bytes = it->len;
    if (ret->chunk > 0)
        return 0;
    if (it->len < HEAD || it->val[0] == 0 || it->len < HEAD + (size_t)it->val[0])
        return HX_E_CORRUPT;
    ret->name_len = it->val[0];
    ret->value_len = hx_get_u32(it->val + 2);
    ret->bytes = it->len - HEAD - ret->name_len;
    ret->name = (const char *)it->val + HEAD;
    bool whole = ret->bytes == ret->value_len;
    if (ret->value_len > HX_FS_XATTR_VALUE_MAX || ret->bytes > ret->value_len || (!whole && it->len != CHUNK) ||
        memchr(ret->name, '\0', ret->name_len))
        return HX_E_CORRUPT;
    return 0;
}

/* The first item of INO's attributes at or after K; HX_E_NOENT. */
static int next_part(struct hx_fs *fs, uint64_t ino, uint64_t k, struct hx_item *it, struct hx_xattr_part *ret)
{
    int rc = hx_btree_ceil(&fs->tree, HX_KEY(ino, HX_T_XATTR, k), it);
    if (rc)
        return rc;
    if (it->key.ino != ino || it->key.type != HX_T_XATTR)
        return HX_E_NOENT;
    return hx_xattr_decode(it, ret);
}

/* Where NAME is; HX_E_NODATA: where it would be. */
static int find(struct hx_fs *fs, uint64_t ino, const char *name, struct place *ret)
{
    size_t len = strlen(name);
    uint64_t first = hx_hash_name(fs->seed, ino, name, len), last = first | BUCKET_MASK, vacant = first;
    for (uint64_t k = first; k <= last;) {
        struct hx_item it;
        struct hx_xattr_part p;
        int rc = next_part(fs, ino, k, &it, &p);
        if (rc == HX_E_NOENT || (rc == 0 && it.key.k > last))
            break;
        if (rc == 0 && p.chunk != 0)
            rc = HX_E_CORRUPT; /* X1 */
        if (rc)
            return rc;
        if (p.name_len == len && memcmp(p.name, name, len) == 0) {
            *ret = (struct place){it.key.k, len, p.value_len};
            return 0;
        }
        k = it.key.k + (1u << RANK_SHIFT);
        if (it.key.k == vacant)
            vacant = k;
    }
    *ret = (struct place){.k = vacant <= last ? vacant : 0, .name_len = len};
    return HX_E_NODATA;
}

/* Bytes of the value that chunk I holds, the value's first at *ret_at. */
static size_t chunk_span(const struct place *p, unsigned i, size_t *ret_at)
{
    size_t first = CHUNK - HEAD - p->name_len, at = i == 0 ? 0 : first + (i - 1) * (size_t)CHUNK;
    size_t room = i == 0 ? first : CHUNK, left = p->value_len - at;
    *ret_at = at;
    return left < room ? left : room;
}

static unsigned chunks_of(const struct place *p)
{
    size_t first = CHUNK - HEAD - p->name_len;
    return p->value_len <= first ? 1 : 1 + (unsigned)((p->value_len - first + CHUNK - 1) / CHUNK);
}

static int read_value(struct hx_fs *fs, uint64_t ino, const struct place *p, uint8_t *buf)
{
    for (unsigned i = 0; i < chunks_of(p); i++) {
        struct hx_item it;
        struct hx_xattr_part part;
        size_t at, n = chunk_span(p, i, &at);
        int rc = hx_btree_find(&fs->tree, HX_KEY(ino, HX_T_XATTR, p->k + i), &it);
        if (rc == 0)
            rc = hx_xattr_decode(&it, &part);
        if (rc == HX_E_NOENT || (rc == 0 && part.bytes != n))
            return HX_E_CORRUPT;
        if (rc)
            return rc;
        memcpy(buf + at, it.val + it.len - n, n);
    }
    return 0;
}

int hx_xattr_get(struct hx_fs *fs, const struct hx_inode *in, const char *name, uint8_t *buf, size_t cap,
                 size_t *ret_len)
{
    struct place p;
    uint32_t flag = flag_of(name);
    if (!(in->flags & HX_INODE_HAS_XATTR) || (flag && !(in->flags & flag)))
        return HX_E_NODATA;
    int rc = find(fs, in->ino, name, &p);
    if (rc)
        return rc;
    *ret_len = p.value_len;
    if (cap == 0)
        return 0;
    return cap < p.value_len ? HX_E_RANGE : read_value(fs, in->ino, &p, buf);
}

static int drop_at(struct hx_fs *fs, uint64_t ino, const struct place *p)
{
    int rc = 0;
    for (unsigned i = 0; rc == 0 && i < chunks_of(p); i++)
        rc = hx_btree_delete(&fs->tree, HX_KEY(ino, HX_T_XATTR, p->k + i));
    return rc == HX_E_NOENT ? HX_E_CORRUPT : rc;
}

/* The value in the place of one of the same length. */
static int overwrite(struct hx_fs *fs, uint64_t ino, const struct place *p, const uint8_t *value)
{
    for (unsigned i = 0; i < chunks_of(p); i++) {
        uint8_t *val;
        size_t at, len, n = chunk_span(p, i, &at);
        int rc = hx_btree_edit(&fs->tree, HX_KEY(ino, HX_T_XATTR, p->k + i), &val, &len);
        if (rc == HX_E_NOENT || (rc == 0 && len < n))
            return HX_E_CORRUPT;
        if (rc)
            return rc;
        memcpy(val + len - n, value + at, n);
    }
    return 0;
}

static int insert(struct hx_fs *fs, uint64_t ino, const struct place *p, const char *name, const uint8_t *value)
{
    uint8_t first[CHUNK] = {(uint8_t)p->name_len};
    size_t at, n = chunk_span(p, 0, &at);
    hx_put_u32(first + 2, (uint32_t)p->value_len);
    memcpy(first + HEAD, name, p->name_len);
    if (n > 0)
        memcpy(first + HEAD + p->name_len, value, n);
    int rc = hx_btree_insert(&fs->tree, HX_KEY(ino, HX_T_XATTR, p->k), first, HEAD + p->name_len + n);
    for (unsigned i = 1; rc == 0 && i < chunks_of(p); i++) {
        n = chunk_span(p, i, &at);
        rc = hx_btree_insert(&fs->tree, HX_KEY(ino, HX_T_XATTR, p->k + i), value + at, n);
    }
    return rc;
}

int hx_xattr_put(struct hx_fs *fs, struct hx_inode *in, const char *name, const uint8_t *value, size_t len)
{
    struct place p;
    int rc = find(fs, in->ino, name, &p);
    if (rc && rc != HX_E_NODATA)
        return rc;
    in->flags |= hx_xattr_flags(name, strlen(name));
    if (rc == 0 && p.value_len == len)
        return overwrite(fs, in->ino, &p, value);
    if (rc == 0)
        rc = drop_at(fs, in->ino, &p);
    else
        rc = p.k == 0 ? HX_E_NOSPACE : hx_super_raise(fs->p);
    p.value_len = len;
    return rc ? rc : insert(fs, in->ino, &p, name, value);
}

int hx_xattr_drop(struct hx_fs *fs, struct hx_inode *in, const char *name)
{
    struct place p;
    if (!(in->flags & HX_INODE_HAS_XATTR))
        return 0;
    in->flags &= ~flag_of(name);
    int rc = find(fs, in->ino, name, &p);
    if (rc)
        return rc == HX_E_NODATA ? 0 : rc;
    return drop_at(fs, in->ino, &p);
}

int hx_xattr_drop_all(struct hx_fs *fs, uint64_t ino)
{
    for (;;) {
        struct hx_item it;
        struct hx_xattr_part p;
        int rc = next_part(fs, ino, 0, &it, &p);
        if (rc == HX_E_NOENT)
            return 0;
        if (rc == 0)
            rc = hx_btree_delete(&fs->tree, it.key);
        if (rc)
            return rc;
    }
}

/* ---- the calls ---- */

/* Is it a name that can be kept?  ACLs are, and nothing else of the system's. */
static int check_name(const char *name)
{
    static const char *const spaces[] = {"user.", "trusted.", "security."};
    size_t len = strlen(name);
    if (len > HX_FS_NAME_MAX)
        return HX_E_RANGE;
    if (strcmp(name, HX_FS_ACL_ACCESS) == 0 || strcmp(name, HX_FS_ACL_DEFAULT) == 0)
        return 0;
    for (size_t i = 0; i < HX_ARRAY_LEN(spaces); i++) {
        size_t n = strlen(spaces[i]);
        if (strncmp(name, spaces[i], n) == 0)
            return len > n ? 0 : HX_E_INVAL;
    }
    return HX_E_NOTSUP;
}

static int get_inode(struct hx_fs *fs, uint64_t ino, struct hx_inode *ret)
{
    int rc = hx_op_ready(fs);
    return rc ? rc : hx_inode_get(fs, ino, ret);
}

int hx_fs_getxattr(struct hx_fs *fs, uint64_t ino, const char *name, void *buf, size_t cap, size_t *ret_len)
{
    struct hx_inode in;
    int rc = check_name(name);
    if (rc == 0)
        rc = get_inode(fs, ino, &in);
    return rc ? rc : hx_xattr_get(fs, &in, name, buf, cap, ret_len);
}

int hx_fs_listxattr(struct hx_fs *fs, uint64_t ino, bool trusted, char *buf, size_t cap, size_t *ret_len)
{
    struct hx_inode in;
    size_t used = 0;
    int rc = get_inode(fs, ino, &in);
    for (uint64_t k = 0; rc == 0 && in.flags & HX_INODE_HAS_XATTR;) {
        struct hx_item it;
        struct hx_xattr_part p;
        rc = next_part(fs, ino, k, &it, &p);
        if (rc)
            break;
        k = (it.key.k | ((1u << RANK_SHIFT) - 1)) + 1;
        if (p.chunk != 0)
            return HX_E_CORRUPT; /* X1 */
        if (!trusted && p.name_len > 8 && memcmp(p.name, "trusted.", 8) == 0)
            continue;
        if (cap > 0 && cap - used <= p.name_len)
            return HX_E_RANGE;
        if (cap > 0) {
            memcpy(buf + used, p.name, p.name_len);
            buf[used + p.name_len] = '\0';
        }
        used += p.name_len + 1;
    }
    if (rc && rc != HX_E_NOENT)
        return rc;
    *ret_len = used;
    return 0;
}

/* What refuses; reads only. */
static int check_set(struct hx_fs *fs, const struct hx_inode *in, const char *name, const void *value, size_t len,
                     unsigned flags)
{
    size_t old, names;
    bool acl = strcmp(name, HX_FS_ACL_ACCESS) == 0, def = strcmp(name, HX_FS_ACL_DEFAULT) == 0;
    if (len > HX_FS_XATTR_VALUE_MAX || flags & ~(HX_FS_XATTR_CREATE | HX_FS_XATTR_REPLACE))
        return HX_E_INVAL;
    if ((acl || def) && S_ISLNK(in->mode))
        return HX_E_NOTSUP;
    if (def && !S_ISDIR(in->mode))
        return HX_E_ACCES;
    if ((acl || def) && !hx_acl_ok(value, len))
        return HX_E_INVAL;
    int rc = hx_xattr_get(fs, in, name, NULL, 0, &old);
    if (rc && rc != HX_E_NODATA)
        return rc;
    if (rc == 0)
        return flags & HX_FS_XATTR_CREATE ? HX_E_EXIST : 0;
    if (flags & HX_FS_XATTR_REPLACE)
        return HX_E_NODATA;
    rc = hx_fs_listxattr(fs, in->ino, true, NULL, 0, &names);
    return rc == 0 && names + strlen(name) + 1 > HX_FS_XATTR_LIST_MAX ? HX_E_NOSPACE : rc;
}

/* Inside a mini-transaction. */
static int set(struct hx_fs *fs, const struct hx_fs_who *who, struct hx_inode *in, const char *name,
               const uint8_t *value, size_t len)
{
    int rc;
    bool acl = strcmp(name, HX_FS_ACL_ACCESS) == 0;
    if (acl && who->stranger)
        in->mode &= ~(uint32_t)S_ISGID;
    if (acl)
        in->mode = hx_acl_mode(value, len, in->mode);
    if (acl && hx_acl_is_mode(value, len))
        rc = hx_xattr_drop(fs, in, name);
    else
        rc = hx_xattr_put(fs, in, name, value, len);
    in->ctime = who->now;
    return rc ? rc : hx_inode_put(fs, in);
}

int hx_fs_setxattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const char *name, const void *value,
                   size_t len, unsigned flags)
{
    struct hx_inode in;
    int rc = check_name(name);
    if (rc == 0)
        rc = get_inode(fs, ino, &in);
    if (rc == 0)
        rc = check_set(fs, &in, name, value, len, flags);
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_ORDINARY);
    return rc ? rc : hx_op_end(fs, set(fs, who, &in, name, value, len));
}

/* Inside a mini-transaction. */
static int take_away(struct hx_fs *fs, const struct hx_fs_who *who, struct hx_inode *in, const char *name)
{
    int rc = hx_xattr_drop(fs, in, name);
    in->ctime = who->now;
    return rc ? rc : hx_inode_put(fs, in);
}

int hx_fs_removexattr(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, const char *name)
{
    struct hx_inode in;
    size_t len;
    int rc = check_name(name);
    if (rc == 0)
        rc = get_inode(fs, ino, &in);
    if (rc == 0)
        rc = hx_xattr_get(fs, &in, name, NULL, 0, &len);
    if (rc == HX_E_NODATA && hx_xattr_flags(name, strlen(name)) & (HX_INODE_HAS_ACCESS | HX_INODE_HAS_DEFAULT))
        return 0; /* no ACL is what was asked for */
    if (rc == 0)
        rc = hx_op_begin(fs, HX_OP_FREEING);
    return rc ? rc : hx_op_end(fs, take_away(fs, who, &in, name));
}
