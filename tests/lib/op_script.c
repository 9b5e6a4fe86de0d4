/*
 * op_script.c - the tree, the operations, and the program that carries them out (op_script.h).
 *
 * The log that these volumes have takes 128 pages in a mini-transaction, so a step frees 64 pages or 16 extents
 * (src/fs/op.c): BIG and ISLANDS have more, and go every way that a cut can go.
 */
#include "op_script.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define KB 1024u
#define PAGE HX_PAGE_SIZE

/* ---- the tree that each life begins with ---- */
/* In a directory of 255 byte names (numbers 0, 13, 26, ...), of 40 bytes (5, 10, ...) and short ones. */
#define MAKE(kind_, dir, number, into, ...) \
    {.a = {.kind = HX_ACT_##kind_, .ino = (dir), .name = (number), __VA_ARGS__}, .made = (into)}
#define DO(kind_, slot_, ...) \
    {.a = {.kind = HX_ACT_##kind_, .ino = (slot_), __VA_ARGS__}, .made = NONE}
#define ISLAND(at) DO(WRITE, ISLANDS, .off = (at) * PAGE, .len = 10)
#define TEN_ISLANDS(at) \
    ISLAND(at), ISLAND((at) + 2), ISLAND((at) + 4), ISLAND((at) + 6), ISLAND((at) + 8), ISLAND((at) + 10), \
        ISLAND((at) + 12), ISLAND((at) + 14), ISLAND((at) + 16), ISLAND((at) + 18)
#define REG (S_IFREG | 0644)
#define ACL_FULL UINT64_C(0x1cbad5) /* all five entries */
#define ACL_PLAIN UINT64_C(0x1a4)

static const struct op_step prep[] = {
    MAKE(MKDIR, ROOT, 1, A, .mode = 0755),
    MAKE(MKDIR, ROOT, 2, B_SGID, .mode = 02775),
    MAKE(MKDIR, ROOT, 3, C_ACL, .mode = 0755),
    DO(XSET, C_ACL, .name = HX_XATTR_DEFAULT, .tag = ACL_FULL),
    MAKE(MKDIR, A, 1, EMPTY, .mode = 0755),
    MAKE(MKDIR, A, 2, FULL, .mode = 0755),
    MAKE(MKDIR, FULL, 1, INNER, .mode = 0755),
    MAKE(CREATE, A, 3, FILE_, .mode = REG),
    DO(WRITE, FILE_, .len = 10000),
    DO(XSET, FILE_, .name = 0, .len = 50),
    DO(XSET, FILE_, .name = 1, .len = 3000),
    DO(XSET, FILE_, .name = HX_XATTR_CAPS, .len = 20),
    DO(SETATTR, FILE_, .mask = HX_FS_SET_MODE, .mode = 06755),
    MAKE(CREATE, A, 4, ISLANDS, .mode = REG),
    TEN_ISLANDS(0),
    TEN_ISLANDS(20),
    MAKE(CREATE, A, 6, BIG, .mode = REG),
    DO(FALLOC, BIG, .len = 100 * PAGE),
    DO(WRITE, BIG, .off = 99 * PAGE + 5, .len = 100),
    MAKE(SYMLINK, A, 7, LINK_, .len = 30),
    MAKE(CREATE, A, 8, PIPE, .mode = S_IFIFO | 0600),
    MAKE(CREATE, A, 9, TWO, .mode = REG),
    DO(LINK, TWO, .ino2 = B_SGID, .name = 1),
    DO(XSET, TWO, .name = HX_XATTR_ACCESS, .tag = ACL_FULL),
    MAKE(TMPFILE, A, 0, NAMELESS, .mode = 0600),
    DO(WRITE, NAMELESS, .len = 5000),
    MAKE(CREATE, A, 11, OPEN_, .mode = REG),
    DO(WRITE, OPEN_, .len = 9000),
    DO(UNLINK, A, .name = 11),
    MAKE(CREATE, B_SGID, 2, SPARE, .mode = REG),
};

/* ---- what is tried ---- */
#define TRY(name_, kind_, slot_, ...) \
    {.a = {.kind = HX_ACT_##kind_, .ino = (slot_), __VA_ARGS__}, .made = NONE, .name = name_}
#define KEEP HX_FS_FALLOC_KEEP_SIZE
#define PUNCH (HX_FS_FALLOC_PUNCH | KEEP)
#define ZERO HX_FS_FALLOC_ZERO
const struct op_step op_tried[] = {
    TRY("create", CREATE, A, .name = 21, .mode = REG),
    TRY("create, long name", CREATE, A, .name = 26, .mode = REG),
    TRY("create in the root", CREATE, ROOT, .name = 21, .mode = S_IFREG | 0600),
    TRY("create, set-gid directory", CREATE, B_SGID, .name = 21, .mode = REG),
    TRY("create, default ACL", CREATE, C_ACL, .name = 21, .mode = S_IFREG | 0666),
    TRY("create what is there", CREATE, A, .name = 3, .mode = REG),
    TRY("create, name too long", CREATE, A, .name = HX_NAME_TOO_LONG, .mode = REG),
    TRY("mknod fifo", CREATE, A, .name = 22, .mode = S_IFIFO | 0666),
    TRY("mknod socket", CREATE, A, .name = 22, .mode = S_IFSOCK | 0666),
    TRY("mknod device", CREATE, A, .name = 22, .mode = S_IFCHR | 0600, .rdev = 0x103),
    TRY("mkdir", MKDIR, A, .name = 22, .mode = 0755),
    TRY("mkdir, set-gid directory", MKDIR, B_SGID, .name = 22, .mode = 0755),
    TRY("mkdir, default ACL", MKDIR, C_ACL, .name = 22, .mode = 0777),
    TRY("mkdir what is there", MKDIR, A, .name = 1, .mode = 0755),
    TRY("symlink", SYMLINK, A, .name = 23, .len = 10),
    TRY("symlink of two items", SYMLINK, A, .name = 23, .len = 1500),
    TRY("symlink, full length", SYMLINK, A, .name = 23, .len = HX_FS_SYMLINK_MAX),
    TRY("tmpfile", TMPFILE, A, .mode = 0600),
    TRY("tmpfile, default ACL", TMPFILE, C_ACL, .mode = 0666),
    TRY("link", LINK, FILE_, .ino2 = A, .name = 24),
    TRY("link, other directory", LINK, FILE_, .ino2 = B_SGID, .name = 24),
    TRY("link to a symlink", LINK, LINK_, .ino2 = A, .name = 24),
    TRY("link a nameless file", LINK, NAMELESS, .ino2 = A, .name = 24),
    TRY("link what was unlinked", LINK, OPEN_, .ino2 = A, .name = 24),
    TRY("link a directory", LINK, EMPTY, .ino2 = A, .name = 24),
    TRY("unlink", UNLINK, A, .name = 3),
    TRY("unlink one of two", UNLINK, A, .name = 9),
    TRY("unlink many extents", UNLINK, A, .name = 4),
    TRY("unlink many pages", UNLINK, A, .name = 6),
    TRY("unlink a symlink", UNLINK, A, .name = 7),
    TRY("unlink a fifo", UNLINK, A, .name = 8),
    TRY("unlink a directory", UNLINK, A, .name = 1),
    TRY("unlink what is not there", UNLINK, A, .name = 99),
    TRY("rmdir", RMDIR, A, .name = 1),
    TRY("rmdir, not empty", RMDIR, A, .name = 2),
    TRY("rmdir with an ACL", RMDIR, ROOT, .name = 3),
    TRY("rename", RENAME, A, .name = 3, .ino2 = A, .name2 = 25),
    TRY("rename, other directory", RENAME, A, .name = 3, .ino2 = B_SGID, .name2 = 25),
    TRY("rename a directory", RENAME, A, .name = 2, .ino2 = B_SGID, .name2 = 25),
    TRY("rename over a file", RENAME, A, .name = 3, .ino2 = B_SGID, .name2 = 2),
    TRY("rename over one of two", RENAME, A, .name = 3, .ino2 = A, .name2 = 9),
    TRY("rename over many pages", RENAME, A, .name = 3, .ino2 = A, .name2 = 6),
    TRY("rename over many extents", RENAME, B_SGID, .name = 2, .ino2 = A, .name2 = 4),
    TRY("rename over an empty directory", RENAME, A, .name = 2, .ino2 = A, .name2 = 1),
    TRY("rename over a directory that is not", RENAME, A, .name = 1, .ino2 = A, .name2 = 2),
    TRY("rename over its other name", RENAME, A, .name = 9, .ino2 = B_SGID, .name2 = 1),
    TRY("rename below itself", RENAME, A, .name = 2, .ino2 = INNER, .name2 = 1),
    TRY("rename, noreplace", RENAME, A, .name = 3, .ino2 = A, .name2 = 25, .mask = HX_FS_RENAME_NOREPLACE),
    TRY("rename, noreplace, there", RENAME, A, .name = 3, .ino2 = A, .name2 = 4, .mask = HX_FS_RENAME_NOREPLACE),
    TRY("exchange files", RENAME, A, .name = 3, .ino2 = A, .name2 = 4, .mask = HX_FS_RENAME_EXCHANGE),
    TRY("exchange a directory", RENAME, A, .name = 2, .ino2 = B_SGID, .name2 = 1, .mask = HX_FS_RENAME_EXCHANGE),
    TRY("exchange directories", RENAME, FULL, .name = 1, .ino2 = A, .name2 = 1, .mask = HX_FS_RENAME_EXCHANGE),
    TRY("whiteout", RENAME, A, .name = 3, .ino2 = A, .name2 = 25, .mask = HX_FS_RENAME_WHITEOUT),
    TRY("whiteout of a directory", RENAME, A, .name = 2, .ino2 = B_SGID, .name2 = 25, .mask = HX_FS_RENAME_WHITEOUT),
    TRY("whiteout over a file", RENAME, A, .name = 3, .ino2 = B_SGID, .name2 = 2, .mask = HX_FS_RENAME_WHITEOUT),
    TRY("write within a page", WRITE, FILE_, .off = 100, .len = 200),
    TRY("write a page", WRITE, FILE_, .off = PAGE, .len = PAGE),
    TRY("write across pages", WRITE, FILE_, .off = 4000, .len = 5000),
    TRY("write that grows", WRITE, FILE_, .off = 9000, .len = 9000),
    TRY("append", WRITE, FILE_, .len = 3000, .append = true),
    TRY("write into a hole", WRITE, ISLANDS, .off = PAGE + 7, .len = 30),
    TRY("write over holes and data", WRITE, ISLANDS, .off = 3000, .len = 30000),
    TRY("write far behind the end", WRITE, SPARE, .off = UINT64_C(1) << 40, .len = 5000),
    TRY("write at the last byte there is", WRITE, SPARE, .off = HX_FS_FILE_MAX - 10, .len = 10),
    TRY("write beyond it", WRITE, SPARE, .off = HX_FS_FILE_MAX - 10, .len = 11),
    TRY("write of many frames", WRITE, SPARE, .len = 360 * KB),
    TRY("write, set-id bits go", WRITE, FILE_, .off = 5, .len = 5, .kill_priv = true),
    TRY("write what is unlinked", WRITE, OPEN_, .off = 8000, .len = 8000),
    TRY("write what is nameless", WRITE, NAMELESS, .off = 100, .len = 8000),
    TRY("write, at once durable", WRITE, FILE_, .off = 50, .len = 6000, .sync = true),
    TRY("truncate to nothing", SETATTR, FILE_, .mask = HX_FS_SET_SIZE),
    TRY("truncate within a page", SETATTR, FILE_, .mask = HX_FS_SET_SIZE, .set_size = 5000),
    TRY("truncate, larger", SETATTR, FILE_, .mask = HX_FS_SET_SIZE, .set_size = 100000),
    TRY("truncate many pages", SETATTR, BIG, .mask = HX_FS_SET_SIZE, .set_size = PAGE + 1),
    TRY("truncate many extents", SETATTR, ISLANDS, .mask = HX_FS_SET_SIZE, .set_size = 5),
    TRY("truncate a few of them", SETATTR, ISLANDS, .mask = HX_FS_SET_SIZE, .set_size = 35 * PAGE),
    TRY("truncate all but two of them", SETATTR, ISLANDS, .mask = HX_FS_SET_SIZE, .set_size = 3 * PAGE),
    TRY("truncate islands to nothing", SETATTR, ISLANDS, .mask = HX_FS_SET_SIZE),
    TRY("grow what was cut", SETATTR, ISLANDS, .mask = HX_FS_SET_SIZE, .set_size = 60 * PAGE),
    TRY("append to what was cut", WRITE, ISLANDS, .len = 9000, .append = true),
    TRY("truncate a directory", SETATTR, A, .mask = HX_FS_SET_SIZE),
    TRY("chmod", SETATTR, FILE_, .mask = HX_FS_SET_MODE, .mode = 0600),
    TRY("chmod with an ACL", SETATTR, TWO, .mask = HX_FS_SET_MODE, .mode = 0710),
    TRY("chown", SETATTR, FILE_, .mask = HX_FS_SET_UID | HX_FS_SET_GID | HX_FS_SET_KILL, .set_uid = 5, .set_gid = 6),
    TRY("chown a directory", SETATTR, B_SGID, .mask = HX_FS_SET_UID, .set_uid = 5),
    TRY("utimes", SETATTR, FILE_, .mask = HX_FS_SET_ATIME | HX_FS_SET_MTIME, .set_atime = {5, 6}, .set_mtime = {-7, 8}),
    TRY("access time", ATIME, FILE_),
    TRY("allocate", FALLOC, FILE_, .off = 5000, .len = 30000),
    TRY("allocate, keep size", FALLOC, FILE_, .off = 5000, .len = 30000, .mask = KEEP),
    TRY("allocate over islands", FALLOC, ISLANDS, .len = 60 * PAGE),
    TRY("punch within a page", FALLOC, FILE_, .off = 5000, .len = 100, .mask = PUNCH),
    TRY("punch pages", FALLOC, FILE_, .off = 3000, .len = 6000, .mask = PUNCH),
    TRY("punch many pages", FALLOC, BIG, .off = 100, .len = 90 * PAGE, .mask = PUNCH),
    TRY("punch islands", FALLOC, ISLANDS, .len = 40 * PAGE, .mask = PUNCH),
    TRY("punch, set-id bits go", FALLOC, FILE_, .len = PAGE, .mask = PUNCH | HX_FS_FALLOC_KILL),
    TRY("zero within a page", FALLOC, FILE_, .off = 5000, .len = 100, .mask = ZERO | KEEP),
    TRY("zero pages, larger", FALLOC, FILE_, .off = 3000, .len = 20000, .mask = ZERO),
    TRY("zero many pages", FALLOC, BIG, .off = 100, .len = 90 * PAGE, .mask = ZERO),
    TRY("zero islands and holes", FALLOC, ISLANDS, .off = 100, .len = 9 * PAGE, .mask = ZERO | KEEP),
    TRY("set an attribute", XSET, FILE_, .name = 2, .len = 30),
    TRY("set one of many items", XSET, FILE_, .name = 2, .len = 20000),
    TRY("set it anew, same length", XSET, FILE_, .name = 1, .len = 3000),
    TRY("set it anew, other length", XSET, FILE_, .name = 1, .len = 30),
    TRY("set it, but it is there", XSET, FILE_, .name = 1, .len = 30, .mask = HX_FS_XATTR_CREATE),
    TRY("set it, but it is not there", XSET, PIPE, .name = 1, .len = 30, .mask = HX_FS_XATTR_REPLACE),
    TRY("set a capability", XSET, SPARE, .name = HX_XATTR_CAPS, .len = 20),
    TRY("set an access ACL", XSET, FILE_, .name = HX_XATTR_ACCESS, .tag = ACL_FULL),
    TRY("set an ACL that is a mode", XSET, TWO, .name = HX_XATTR_ACCESS, .tag = ACL_PLAIN),
    TRY("set a default ACL", XSET, A, .name = HX_XATTR_DEFAULT, .tag = ACL_FULL),
    TRY("remove an attribute", XDROP, FILE_, .name = 0),
    TRY("remove one of many items", XDROP, FILE_, .name = 1),
    TRY("remove one that is not there", XDROP, FILE_, .name = 2),
    TRY("remove an access ACL", XDROP, TWO, .name = HX_XATTR_ACCESS),
    TRY("remove a default ACL", XDROP, C_ACL, .name = HX_XATTR_DEFAULT),
    TRY("get an attribute", XGET, FILE_, .name = 1),
    TRY("list attributes", XLIST, FILE_),
    TRY("look up", LOOKUP, A, .name = 3),
    TRY("stat", GETATTR, FILE_),
    TRY("read", READ, FILE_, .off = 100, .len = 9000),
    TRY("read a symlink", READLINK, LINK_),
    TRY("list", READDIR, A, .len = 32),
    TRY("seek a hole", SEEK, ISLANDS),
    TRY("statfs", STATFS, ROOT),
    TRY("fsync", FSYNC, ROOT),
};
const unsigned op_tried_count = HX_ARRAY_LEN(op_tried);

/* ---- the program ---- */
/* The next name to be removed, deepest first.  False: nothing is left but the root. */
static bool plan_clean(struct hx_prog *p)
{
    const struct hx_tree *t = p->w->tree;
    const struct hx_tree_inode *dir = hx_tree_node(t, HX_FS_ROOT), *n;
    const struct hx_entry *e = hx_tree_first(t, dir);
    if (!e)
        return false;
    for (n = hx_tree_node(t, e->ino); S_ISDIR(n->a.mode) && n->a.size > 0; n = hx_tree_node(t, e->ino)) {
        dir = n;
        e = hx_tree_first(t, dir);
    }
    hx_plan_name(p, S_ISDIR(n->a.mode) ? HX_ACT_RMDIR : HX_ACT_UNLINK, dir->a.ino, e->name);
    return true;
}

static void plan_step(struct op_script *o, struct hx_prog *p, const struct op_step *step)
{
    struct hx_act *a = &p->act;
    *a = step->a;
    a->ino = o->ino[a->ino];
    a->ino2 = o->ino[a->ino2];
    o->made = step->made;
    if (a->kind == HX_ACT_XSET && hx_tree_xattr_is_acl(a->name))
        a->len = hx_tree_acl_len(a->tag);
    else if (a->kind == HX_ACT_WRITE || a->kind == HX_ACT_SYMLINK || a->kind == HX_ACT_XSET)
        a->tag = hx_journal_tag(o->s->journal) * HX_TAG_DENSE;
}

static void take(struct op_script *o, struct hx_prog *p)
{
    if (p->got && o->made != NONE)
        o->ino[o->made] = p->got; /* held for good */
    else if (p->got)
        hx_work_let_go(p, p->got);
    p->got = 0;
    o->made = NONE;
}

static bool plan(void *ctx, struct hx_prog *p)
{
    struct op_script *o = ctx;
    take(o, p);
    if (o->stage == OP_CLEAN && !plan_clean(p))
        o->stage = OP_PREP;
    if (o->stage == OP_PREP && o->at < HX_ARRAY_LEN(prep)) {
        if (o->at > 0 && p->rc)
            hx_sim_harness(o->s, "step %u of the preparation gave %d", o->at - 1, p->rc);
        plan_step(o, p, &prep[o->at++]);
    } else if (o->stage == OP_PREP) {
        o->stage = OP_BARRIER;
        hx_plan_fsync(p);
    } else if (o->stage == OP_BARRIER || (o->stage == OP_SEQUENCE && o->at < o->seq_len)) {
        if (o->stage == OP_BARRIER) {
            o->begins(o->arg);
            o->at = 0;
            o->stage = OP_SEQUENCE;
        } else if (o->between && p->act.kind != HX_ACT_FSYNC) {
            hx_plan_fsync(p);
            return true;
        }
        plan_step(o, p, o->seq[o->at++]);
    } else if (o->stage == OP_SEQUENCE) {
        o->stage = OP_LAST_BARRIER;
        hx_plan_fsync(p);
    } else if (o->stage != OP_CLEAN) {
        o->stage = OP_DONE;
        return false;
    }
    return true;
}

void op_script_init(struct op_script *o, struct hx_sim *s, const struct op_step *a, const struct op_step *b)
{
    *o = (struct op_script){.s = s, .seq = {a, b}, .seq_len = b ? 2 : 1, .script = {.ctx = o, .plan = plan}};
    op_script_begin(o);
}

void op_script_begin(struct op_script *o)
{
    o->stage = OP_CLEAN;
    o->at = 0;
    o->made = NONE;
    memset(o->ino, 0, sizeof o->ino);
    o->ino[ROOT] = HX_FS_ROOT;
}

void op_script_name(const struct op_script *o, char *text, size_t cap)
{
    snprintf(text, cap, "%s%s%s", o->seq[0]->name, o->seq_len == 1 ? "" : o->between ? " | " : ", ",
             o->seq_len == 1 ? "" : o->seq[1]->name);
}

void op_script_pair(uint64_t i, const struct op_step **ret_a, const struct op_step **ret_b)
{
    uint64_t n = (uint64_t)op_tried_count * op_tried_count, x = i % n * 7919 % n; /* a prime: each pair once */
    *ret_a = &op_tried[x % op_tried_count];
    *ret_b = &op_tried[x / op_tried_count];
}
