/*
 * test_prefix.c - crash states are prefixes: the mount dies at any moment of any sequence of one or two operations.
 *
 * Method: the simulator's world (src/sim/world.c): six segment servers, the production code of store, core and fs, no
 * faults but those made here.  A mount makes the tree of `prep`, waits until it is durable, and carries out the
 * sequence; after a given number of events (a message that arrives, a flush that ends, a timer) it dies, in most cases
 * after half of the messages or more were lost, in some all servers lose power at the same moment.  Then the next mount
 * opens, and the simulator judges: what it finds must be, byte by byte, the accepted operations up to the point that
 * the opening chose (I7), nothing that a program was told to be durable may be missing (I1), and hx_fs_verify agrees.
 *
 * In `make check`: every operation alone, dying at POINTS moments of it and after its barrier; PAIRS pairs.
 * `make check-crash` (HEXAD_CRASH=1): at every event, and all pairs.  A failure prints the line that replays it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../src/sim/client.h"
#include "../../src/sim/net.h"
#include "../../src/sim/server.h"
#include "../../src/sim/work_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define POINTS 4u
#define PAIRS 60u
#define EVENTS_MAX 200000u /* of one life */
#define KB 1024u
#define PAGE HX_PAGE_SIZE

/* ---- the tree that each life begins with ---- */
enum slot {
    ROOT, A, B_SGID, C_ACL, EMPTY, FULL, INNER, FILE_, ISLANDS, BIG, LINK_, PIPE, TWO, NAMELESS, OPEN_, SPARE,
    SLOTS, NONE
};
struct step {
    struct hx_act a;  /* ino and ino2 are slots */
    enum slot made;   /* where the inode that it gives is kept; NONE */
    const char *name; /* of an operation that is tried */
};
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

static const struct step prep[] = {
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
static const struct step tried[] = {
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
#define TRIED HX_ARRAY_LEN(tried)

/* ---- a world, and what its one program does ---- */
enum stage { CLEAN, PREP, BARRIER, OPS, LAST_BARRIER, DONE };
struct rig {
    struct hx_sim s;
    struct hx_sim_script script;
    enum stage stage;
    unsigned at;                /* in prep, or in the sequence */
    enum slot made;             /* of the step under way */
    uint64_t ino[SLOTS];
    const struct step *seq[2];
    unsigned seq_len;
    bool between;               /* a barrier between the two */
    uint64_t first_event;       /* when the sequence began */
    uint64_t loss;              /* percent of the messages, from then on */
    uint64_t kept, lost;        /* changes of the last life, as the opening after it chose */
    bool told;                  /* kept and lost are new */
};
struct tally {
    unsigned lives, whole, part, none;
};

/* The opening says how many changes of the life before it are official (work.c). */
static void listen(void *ctx, const char *line)
{
    struct rig *r = ctx;
    unsigned long long epoch, kept, lost;
    const char *check = strstr(line, "CHECK");
    if (check && !r->told && sscanf(check, "CHECK c0 %llu %llu %llu", &epoch, &kept, &lost) == 3) {
        r->kept = kept;
        r->lost = lost;
        r->told = true;
    }
}

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

static void plan_step(struct rig *r, struct hx_prog *p, const struct step *step)
{
    struct hx_act *a = &p->act;
    *a = step->a;
    a->ino = r->ino[a->ino];
    a->ino2 = r->ino[a->ino2];
    r->made = step->made;
    if (a->kind == HX_ACT_XSET && hx_tree_xattr_is_acl(a->name))
        a->len = hx_tree_acl_len(a->tag);
    else if (a->kind == HX_ACT_WRITE || a->kind == HX_ACT_SYMLINK || a->kind == HX_ACT_XSET)
        a->tag = hx_journal_tag(r->s.journal) * HX_TAG_DENSE;
}

static void take(struct rig *r, struct hx_prog *p)
{
    if (p->got && r->made != NONE)
        r->ino[r->made] = p->got; /* held for good */
    else if (p->got)
        hx_work_let_go(p, p->got);
    p->got = 0;
    r->made = NONE;
}

static bool plan(void *ctx, struct hx_prog *p)
{
    struct rig *r = ctx;
    take(r, p);
    if (r->stage == CLEAN && !plan_clean(p))
        r->stage = PREP;
    if (r->stage == PREP && r->at < HX_ARRAY_LEN(prep)) {
        if (r->at > 0 && p->rc)
            hx_sim_harness(&r->s, "step %u of the preparation gave %d", r->at - 1, p->rc);
        plan_step(r, p, &prep[r->at++]);
    } else if (r->stage == PREP) {
        r->stage = BARRIER;
        hx_plan_fsync(p);
    } else if (r->stage == BARRIER || (r->stage == OPS && r->at < r->seq_len)) {
        if (r->stage == BARRIER) {
            r->first_event = r->s.events;
            r->s.opts.v[HX_OPT_net_loss_ppm] = r->loss * 10000;
            r->at = 0;
            r->stage = OPS;
        } else if (r->between && p->act.kind != HX_ACT_FSYNC) {
            hx_plan_fsync(p);
            return true;
        }
        plan_step(r, p, r->seq[r->at++]);
    } else if (r->stage == OPS) {
        r->stage = LAST_BARRIER;
        hx_plan_fsync(p);
    } else if (r->stage != CLEAN) {
        r->stage = DONE;
        return false;
    }
    return true;
}

static void rig_open(struct rig *r, uint64_t seed)
{
    static const char *const settings[] = {"servers=6", "clients=1", "pg_pages=512", "pgs_max=2", "lal=128",
                                           "window_kb=1536", "cache_kb=8192", "log_kb=256", "gossip_ms=200",
                                           "think_us=0", "net_delay_us=100", "net_jitter_us=200", "victims=0",
                                           "big_kb=1024"};
    *r = (struct rig){.made = NONE};
    hx_sim_opts_draw(&r->s.opts, seed);
    for (enum hx_sim_opt i = HX_OPT_net_late_ppm; i < HX_SIM_OPT_COUNT; i++)
        r->s.opts.v[i] = 0; /* no faults but ours */
    for (unsigned i = 0; i < HX_ARRAY_LEN(settings); i++)
        assert_int_equal(hx_sim_opts_set(&r->s.opts, settings[i]), 0);
    r->s.opts.v[HX_OPT_torn_pct] = 50;
    r->script = (struct hx_sim_script){.ctx = r, .plan = plan};
    r->s.script = &r->script;
    r->s.trace = listen;
    r->s.trace_ctx = r;
    r->s.story = true;
    assert_int_equal(hx_sim_begin(&r->s), 0);
    hx_sim_net_faults(r->s.net);
}

/* One mount, until POINT events after the sequence began, or its end when that comes first; LOSS percent of its
 * messages are lost from then on.  Gives back how many events the sequence has had. */
static uint64_t life(struct rig *r, uint64_t point, unsigned loss)
{
    r->stage = CLEAN;
    r->at = 0;
    r->loss = loss;
    memset(r->ino, 0, sizeof r->ino);
    r->ino[ROOT] = HX_FS_ROOT;
    hx_sim_client_start(&r->s, 0, true);
    for (unsigned n = 0; r->stage != DONE; n++) {
        if (r->stage >= OPS && r->s.events - r->first_event >= point)
            break;
        if (n == EVENTS_MAX)
            hx_sim_stuck(&r->s, "%u events and no end", n);
        if (!hx_sim_step(&r->s))
            break;
    }
    r->s.opts.v[HX_OPT_net_loss_ppm] = 0;
    return r->s.events - r->first_event;
}

static void die(struct rig *r, bool power)
{
    hx_sim_client_crash(&r->s, 0);
    for (uint32_t i = 0; power && i < r->s.server_count; i++)
        hx_sim_server_crash(&r->s, i, r->s.now_us);
    r->told = false;
}

static void describe(const struct rig *r, char *text, size_t cap)
{
    snprintf(text, cap, "%s%s%s%s", r->seq[0]->name, r->seq_len > 1 ? (r->between ? " | " : ", ") : "",
             r->seq_len > 1 ? r->seq[1]->name : "", "");
}

static void judge(const struct rig *r, uint64_t point, unsigned loss, bool power)
{
    char what[120];
    if (!hx_sim_over(&r->s))
        return;
    describe(r, what, sizeof what);
    print_error("%s: died after %llu events, %u %% of messages lost%s: %s: %s\n", what, (unsigned long long)point, loss,
                power ? ", power lost" : "", r->s.verdict.invariant, r->s.verdict.text);
    print_error("replay: HEXAD_STATES='%u %u' build/tests/unit/test_prefix\n", (unsigned)(r->seq[0] - tried),
                r->seq_len > 1 ? (unsigned)(r->seq[1] - tried) : (unsigned)TRIED);
    fail();
}

/* The life before was of CHANGES operations that change something. */
static void count(const struct rig *r, struct tally *t)
{
    t->lives++;
    t->whole += r->lost == 0;
    t->none += r->lost > 0 && r->lost >= r->seq_len;
    t->part += r->lost > 0 && r->lost < r->seq_len;
}

/* The sequence once to its end, and then dying at every STEP-th event of it, or at POINTS_MAX moments of it. */
static void sequence(struct rig *r, uint64_t points_max, uint64_t random, struct tally *t)
{
    static const unsigned losses[] = {0, 50, 80, 97};
    uint64_t events = life(r, UINT64_MAX, 0), first = random % 7;
    judge(r, events, 0, false);
    uint64_t points = events < points_max ? events : points_max;
    die(r, random & 1);
    for (uint64_t i = 0; i < points; i++) {
        uint64_t x = (random + i) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
        unsigned loss = losses[x & 3];
        bool power = x >> 2 & 1;
        uint64_t point = points == events ? i : i == 0 ? 0 : first + (events - 1) * i / points / (loss ? 4 : 1);
        life(r, point, loss);
        judge(r, point, loss, power);
        count(r, t);
        die(r, power);
    }
    life(r, 0, 0); /* what the last one left */
    judge(r, 0, 0, false);
    count(r, t);
    die(r, false);
}

static void one(const struct step *a, const struct step *b, bool between, uint64_t points, uint64_t seed,
                struct tally *t)
{
    struct rig r;
    rig_open(&r, seed);
    r.seq[0] = a;
    r.seq[1] = b;
    r.seq_len = b ? 2 : 1;
    r.between = between;
    sequence(&r, points, seed, t);
    hx_sim_fini(&r.s);
}

static bool thorough(void)
{
    return getenv("HEXAD_CRASH") != NULL;
}

static void report(const char *what, size_t sequences, const struct tally *t)
{
    print_message("# %s: %zu sequences, %u deaths: all of it there %u, a part %u, nothing %u\n", what, sequences,
                  t->lives, t->whole, t->part, t->none);
}

/* Promise: whatever the operation, a crash leaves all of it or nothing, all of it after a barrier. */
static void after_one_operation_the_tree_is_a_prefix(void **state)
{
    struct tally t = {0};
    (void)state;
    for (unsigned i = 0; i < TRIED; i++)
        one(&tried[i], NULL, false, thorough() ? UINT64_MAX : POINTS, 1000 + i, &t);
    report("one operation", TRIED, &t);
    assert_true(t.whole > TRIED && t.none > TRIED / 4); /* both outcomes were seen, often */
}

/* Promise: the same of two, and never the second without the first. */
static void after_two_operations_the_tree_is_a_prefix(void **state)
{
    struct tally t = {0};
    unsigned pairs = thorough() ? TRIED * TRIED : PAIRS;
    (void)state;
    for (unsigned i = 0; i < pairs; i++) {
        uint64_t x = thorough() ? i : (i + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 24;
        one(&tried[x % TRIED], &tried[x / TRIED % TRIED], i % 4 == 0, POINTS, 5000 + i, &t);
    }
    report("two operations", pairs, &t);
    assert_true(t.whole > pairs / 2 && t.none > pairs / 8 && t.part > pairs / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_one_operation_the_tree_is_a_prefix),
        cmocka_unit_test(after_two_operations_the_tree_is_a_prefix),
    };
    const char *only = getenv("HEXAD_STATES");
    unsigned a, b;
    if (only && sscanf(only, "%u %u", &a, &b) == 2 && a < TRIED) {
        struct tally t = {0};
        one(&tried[a], b < TRIED ? &tried[b] : NULL, false, UINT64_MAX, 1000 + a, &t);
        report(tried[a].name, 1, &t);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
