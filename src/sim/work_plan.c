/*
 * work_plan.c - what programs do, one operation at a time: files, names, lists (databases and the like: work_db.c).
 *
 * A program decides from how its last operation went (p->rc, p->attr) and from the model, which it may look at:
 * so most of its operations make sense, and some do not, as with real programs that race.  What it decides is
 * drawn from its own stream.  An inode that an answer gave is held until it is dropped.
 *
 * Names: a program's directory is 100 + its number, in the root; its files are numbers of its own; churn uses 0 to 9
 * in whatever directory.
 */
#include "work_private.h"

#include <sys/stat.h>

#define HOME 100u
#define CHURN_NAMES 10u
#define SMALL 400u

static uint64_t draw(struct hx_prog *p, uint64_t below)
{
    return hx_rng_below(&p->rng, below);
}

static bool pct(struct hx_prog *p, uint64_t percent)
{
    return draw(p, 100) < percent;
}

/* ---- words for one operation ---- */
void hx_plan_act(struct hx_prog *p, enum hx_act_kind kind, uint64_t ino)
{
    p->act = (struct hx_act){.kind = kind, .ino = ino};
}

void hx_plan_name(struct hx_prog *p, enum hx_act_kind kind, uint64_t dir, uint32_t name)
{
    p->act = (struct hx_act){.kind = kind, .ino = dir, .name = name};
    p->act.mode = kind == HX_ACT_MKDIR ? 0755 : S_IFREG | 0644;
}

void hx_plan_fsync(struct hx_prog *p)
{
    hx_plan_act(p, HX_ACT_FSYNC, 0);
}

/* At most what the file, the volume and the log have room for; a full file is cut instead. */
void hx_plan_write(struct hx_prog *p, uint64_t ino, uint64_t off, uint64_t len)
{
    struct hx_work *w = p->w;
    const struct hx_tree_inode *n = hx_tree_node(w->tree, ino);
    uint64_t pages = len / HX_PAGE_SIZE + 2;
    if (n && (n->pages.total + pages > w->file_pages_max || w->tree->data_pages + pages > w->pages_max)) {
        hx_plan_act(p, HX_ACT_SETATTR, ino);
        p->act.mask = HX_FS_SET_SIZE;
        p->act.set_size = pct(p, 60) ? 0 : draw(p, n->a.size + 1);
        return;
    }
    hx_plan_act(p, HX_ACT_WRITE, ino);
    p->act.off = off;
    p->act.len = len < w->write_max ? len : w->write_max;
    p->act.tag = hx_journal_tag(w->s->journal) * (HX_OPT(w->s, dense) ? HX_TAG_DENSE : 1);
    if (draw(p, 16) == 0)
        p->act.tag = HX_TAG_FLAT | (pct(p, 50) ? 0 : p->act.tag & 0xff);
    p->act.sync = draw(p, 300) < HX_OPT(w->s, fsync_pct);
    p->act.kill_priv = pct(p, 10);
}

static void take(struct hx_prog *p, unsigned handle)
{
    hx_work_drop(p, handle);
    p->h[handle] = p->got;
    p->got = 0;
}

bool hx_plan_open(struct hx_prog *p, unsigned h, uint32_t name)
{
    if (p->opening && p->rc == 0 && p->got) {
        p->opening = 0;
        take(p, h);
        return true;
    }
    if (p->opening == 1 && p->rc == HX_E_EXIST) {
        p->opening = 2;
        hx_plan_name(p, HX_ACT_LOOKUP, p->dir, name);
        return false;
    }
    p->opening = 1;
    hx_plan_name(p, HX_ACT_CREATE, p->dir, name);
    return false;
}

/* The program's directory.  True: it is known, nothing planned. */
static bool at_home(struct hx_prog *p)
{
    if (p->dir)
        return true;
    if (p->opening && p->rc == 0 && p->got) {
        p->opening = 0;
        p->dir = p->got; /* held for good */
        p->got = 0;
        return true;
    }
    enum hx_act_kind kind = p->opening == 1 && p->rc == HX_E_NOENT ? HX_ACT_MKDIR : HX_ACT_LOOKUP;
    p->opening = kind == HX_ACT_MKDIR ? 2 : 1;
    hx_plan_name(p, kind, HX_FS_ROOT, HOME + p->number);
    return false;
}

static const struct hx_tree_inode *any_node(struct hx_prog *p)
{
    const struct hx_tree *t = p->w->tree;
    return t->all[draw(p, t->count)];
}

static uint64_t any_dir(struct hx_prog *p)
{
    for (unsigned i = 0; i < 8; i++) {
        const struct hx_tree_inode *n = any_node(p);
        if (S_ISDIR(n->a.mode) && n->a.nlink > 0 && n->a.ino != HX_FS_ROOT)
            return n->a.ino;
    }
    return p->dir;
}

/* ---- contents ---- */
static void some_write(struct hx_prog *p, uint64_t ino, uint64_t size)
{
    struct hx_work *w = p->w;
    uint64_t room = w->file_pages_max * HX_PAGE_SIZE, len = 1 + draw(p, 3 * HX_PAGE_SIZE);
    if (pct(p, HX_OPT(w->s, big_pct)))
        len = 1 + draw(p, w->write_max);
    else if (pct(p, HX_OPT(w->s, small_pct)))
        len = 1 + draw(p, SMALL);
    else if (pct(p, 30))
        len = HX_PAGE_SIZE * (1 + draw(p, 3));
    uint64_t off = draw(p, (size < room ? size : room) + 1);
    if (pct(p, 40))
        off -= off % HX_PAGE_SIZE;
    if (pct(p, 8))
        off = draw(p, 4 * room); /* leaves a hole */
    if (draw(p, 200) == 0)
        off = HX_FS_FILE_MAX - draw(p, 2 * HX_PAGE_SIZE);
    hx_plan_write(p, ino, off, len);
    p->act.append = p->act.kind == HX_ACT_WRITE && pct(p, 35);
}

static void some_space(struct hx_prog *p, uint64_t ino, uint64_t size)
{
    struct hx_work *w = p->w;
    /* Large ones fill a protection group without writing it, so that what follows lies in the next. */
    uint64_t most = pct(p, 25) ? w->file_pages_max / 2 * HX_PAGE_SIZE : 5 * HX_PAGE_SIZE;
    uint64_t len = 1 + draw(p, most), off = draw(p, size + HX_PAGE_SIZE);
    bool punch = pct(p, 60) || w->tree->data_pages + len / HX_PAGE_SIZE + 2 > w->pages_max;
    const struct hx_tree_inode *n = hx_tree_node(w->tree, ino);
    if (n && n->pages.total + len / HX_PAGE_SIZE + 2 > w->file_pages_max)
        punch = true;
    if (pct(p, 50))
        off -= off % HX_PAGE_SIZE;
    hx_plan_act(p, HX_ACT_FALLOC, ino);
    p->act.off = off;
    p->act.len = len;
    p->act.mask = punch ? HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE : pct(p, 50) ? HX_FS_FALLOC_KEEP_SIZE : 0;
    if (!punch && pct(p, 40))
        p->act.mask |= HX_FS_FALLOC_ZERO;
    if (pct(p, 20))
        p->act.mask |= HX_FS_FALLOC_KILL;
    if (draw(p, 50) == 0)
        p->act.mask = (uint32_t)draw(p, 64);
}

/* As many bytes of attributes as leave room for the rest. */
static uint64_t some_value_len(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    uint64_t most = w->write_max < HX_FS_XATTR_VALUE_MAX ? w->write_max / 2 : HX_FS_XATTR_VALUE_MAX;
    if (w->tree->attr_bytes + most > w->pages_max / 16 * HX_PAGE_SIZE)
        most = 100;
    return draw(p, pct(p, 70) ? 200 : most + 1);
}

/* Extended attributes of one inode: set, taken away, read. */
static void some_xattr(struct hx_prog *p, uint64_t ino)
{
    static const enum hx_act_kind kinds[] = {HX_ACT_XSET, HX_ACT_XSET, HX_ACT_XSET, HX_ACT_XDROP, HX_ACT_XGET,
                                             HX_ACT_XLIST};
    struct hx_act *a = &p->act;
    hx_plan_act(p, kinds[draw(p, HX_ARRAY_LEN(kinds))], ino);
    a->name = (uint32_t)draw(p, pct(p, 95) ? HX_XATTR_NAMES : HX_XATTR_ALL);
    if (a->kind != HX_ACT_XSET)
        return;
    a->mask = pct(p, 80) ? 0 : (uint32_t)draw(p, 5);
    if (hx_tree_xattr_is_acl(a->name)) {
        a->tag = hx_tree_acl_draw(draw(p, UINT64_C(1) << 48));
        a->len = hx_tree_acl_len(a->tag) - (draw(p, 30) == 0);
        return;
    }
    a->tag = hx_journal_tag(p->w->s->journal);
    a->len = some_value_len(p);
    if (draw(p, 60) == 0)
        a->len = HX_FS_XATTR_VALUE_MAX + 1;
}

static void some_attr(struct hx_prog *p, uint64_t ino, uint64_t size)
{
    struct hx_act *a = &p->act;
    hx_plan_act(p, HX_ACT_SETATTR, ino);
    a->mask = pct(p, 50) ? HX_FS_SET_SIZE : 1u << draw(p, 3);
    a->mask |= pct(p, 20) ? HX_FS_SET_MTIME : 0;
    a->mask |= pct(p, 20) ? HX_FS_SET_ATIME : 0;
    a->mask |= pct(p, 20) ? HX_FS_SET_KILL : 0;
    a->mask |= pct(p, 5) ? HX_FS_SET_CTIME : 0;
    a->mode = (uint32_t)draw(p, 010000);
    a->set_uid = (uint32_t)draw(p, 5);
    a->set_gid = (uint32_t)draw(p, 5);
    a->set_size = pct(p, 30) ? 0 : draw(p, 2 * size + 100);
    a->set_mtime = (struct hx_fs_time){-3 + (int64_t)draw(p, 9), (uint32_t)draw(p, 1000)};
    a->set_atime = (struct hx_fs_time){(int64_t)draw(p, UINT64_C(1) << 34), 999999999};
    a->set_ctime = (struct hx_fs_time){(int64_t)draw(p, UINT64_C(1) << 33), 7};
}

static void some_read(struct hx_prog *p, uint64_t ino, uint64_t size)
{
    hx_plan_act(p, HX_ACT_READ, ino);
    p->act.len = 1 + draw(p, pct(p, 10) ? HX_WORK_BUF : 4 * HX_PAGE_SIZE);
    p->act.off = draw(p, size + 100);
}

static void some_look(struct hx_prog *p, uint64_t ino, uint64_t size)
{
    static const enum hx_act_kind kinds[] = {HX_ACT_GETATTR, HX_ACT_SEEK, HX_ACT_SEEK, HX_ACT_READLINK, HX_ACT_STATFS};
    hx_plan_act(p, kinds[draw(p, HX_ARRAY_LEN(kinds))], ino);
    if (p->act.kind != HX_ACT_SEEK)
        return;
    p->act.off = draw(p, size + 100);
    p->act.data = pct(p, 50);
}

/* Anything about one inode. */
static void some_data(struct hx_prog *p, uint64_t ino)
{
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, ino);
    uint64_t size = n && n->a.size < UINT64_C(1) << 43 ? n->a.size : 0, x = draw(p, 100);
    if (pct(p, HX_OPT(p->w->s, fsync_pct)))
        hx_plan_fsync(p);
    else if (x < 46)
        some_write(p, ino, size);
    else if (x < 70)
        some_read(p, ino, size);
    else if (x < 76)
        some_xattr(p, ino);
    else if (x < 83)
        some_space(p, ino, size);
    else if (x < 90)
        some_attr(p, ino, size);
    else
        some_look(p, ino, size);
}

/* A file of its own, written for a while; some go on being written when they have no name any more. */
static void plan_writer(struct hx_prog *p)
{
    if (!p->h[0]) {
        if (!p->opening) {
            p->name = (uint32_t)draw(p, 4);
            p->n = 5 + (unsigned)draw(p, 30);
        }
        if (!hx_plan_open(p, 0, p->name))
            return;
    }
    if (p->n == 5 && pct(p, 40))
        hx_plan_name(p, HX_ACT_UNLINK, p->dir, p->name);
    else
        some_data(p, p->h[0]);
    if (--p->n == 0)
        hx_work_drop(p, 0);
}

/* Reads what others write. */
static void plan_reader(struct hx_prog *p)
{
    const struct hx_tree *t = p->w->tree;
    if (p->got) {
        take(p, 0);
        p->n = 1 + (unsigned)draw(p, 6);
    }
    if (p->h[0] && p->n > 0) {
        const struct hx_tree_inode *n = hx_tree_node(t, p->h[0]);
        p->n--;
        if (pct(p, 70))
            some_read(p, p->h[0], n ? n->a.size % (UINT64_C(1) << 43) : 0);
        else
            some_look(p, p->h[0], n ? n->a.size : 0);
        return;
    }
    hx_work_drop(p, 0);
    const struct hx_tree_inode *dir = hx_tree_node(t, pct(p, 20) ? HX_FS_ROOT : any_dir(p));
    const struct hx_entry *e = hx_tree_first(t, dir);
    for (uint64_t skip = draw(p, dir->a.size); e && skip > 0; skip--)
        e = hx_tree_next(t, e);
    hx_plan_name(p, HX_ACT_LOOKUP, dir->a.ino, e && pct(p, 90) ? e->name : (uint32_t)draw(p, 30));
}

/* ---- names ---- */
static void some_special(struct hx_prog *p)
{
    static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};
    p->act.mode = types[draw(p, HX_ARRAY_LEN(types))] | (uint32_t)draw(p, 01000);
    p->act.rdev = 1 + draw(p, 1000);
}

static void some_rename(struct hx_prog *p, uint32_t name)
{
    static const uint32_t flags[] = {0,
                                     0,
                                     0,
                                     0,
                                     HX_FS_RENAME_NOREPLACE,
                                     HX_FS_RENAME_EXCHANGE,
                                     HX_FS_RENAME_EXCHANGE,
                                     HX_FS_RENAME_WHITEOUT,
                                     HX_FS_RENAME_WHITEOUT | HX_FS_RENAME_NOREPLACE};
    hx_plan_name(p, HX_ACT_RENAME, any_dir(p), name);
    p->act.ino2 = pct(p, 50) ? p->act.ino : any_dir(p);
    p->act.name2 = (uint32_t)draw(p, CHURN_NAMES);
    p->act.mask = draw(p, 60) ? flags[draw(p, HX_ARRAY_LEN(flags))] : (uint32_t)draw(p, 32);
}

static void plan_churn(struct hx_prog *p)
{
    uint64_t x = draw(p, 100);
    uint32_t name = draw(p, 80) ? (uint32_t)draw(p, CHURN_NAMES) : HX_NAME_TOO_LONG;
    if (p->got)
        take(p, p->i++ % HX_WORK_HANDLES);
    uint64_t held = p->h[draw(p, HX_WORK_HANDLES)];
    if (draw(p, 100) < HX_OPT(p->w->s, fsync_pct) / 2) {
        hx_plan_fsync(p);
    } else if (x < 22 && p->w->tree->count < 300) {
        hx_plan_name(p, HX_ACT_CREATE, any_dir(p), name);
        if (pct(p, 10))
            some_special(p);
    } else if (x < 32 && p->w->tree->count < 300) {
        hx_plan_name(p, HX_ACT_MKDIR, any_dir(p), name);
        p->act.mode = (uint32_t)draw(p, 010000);
    } else if (x < 38) {
        hx_plan_name(p, HX_ACT_SYMLINK, any_dir(p), name);
        p->act.tag = hx_journal_tag(p->w->s->journal);
        p->act.len = pct(p, 70) ? 1 + draw(p, 60) : draw(p, HX_FS_SYMLINK_MAX + 2);
    } else if (x < 46 && held) {
        hx_plan_name(p, HX_ACT_LINK, held, name);
        p->act.ino2 = any_dir(p);
    } else if (x < 62) {
        hx_plan_name(p, HX_ACT_UNLINK, any_dir(p), name);
    } else if (x < 70) {
        hx_plan_name(p, HX_ACT_RMDIR, any_dir(p), name);
    } else if (x < 86) {
        some_rename(p, name);
    } else if (x < 90) {
        some_xattr(p, held && pct(p, 60) ? held : p->dir);
    } else if (x < 93 && p->w->tree->count < 300) {
        hx_plan_act(p, HX_ACT_TMPFILE, any_dir(p));
        p->act.mode = (uint32_t)draw(p, 010000);
    } else {
        hx_plan_name(p, HX_ACT_LOOKUP, any_dir(p), name);
    }
}

/* One batch of a listing; true: planned. */
static bool list_on(struct hx_prog *p, uint64_t dir)
{
    struct hx_work *w = p->w;
    if (w->lister && w->lister != p)
        return false;
    if (w->lister == p && (p->rc || p->cookie == 0)) {
        w->lister = NULL;
        return false;
    }
    if (!w->lister) {
        w->lister = p;
        p->cookie = 0;
        p->off = dir;
        p->serial = ++w->listings;
        p->born = w->tree->changes;
    }
    hx_plan_act(p, HX_ACT_READDIR, p->off);
    p->act.off = p->cookie;
    p->act.len = 1 + draw(p, 32);
    return true;
}

/* A directory of many names: filled, listed while it changes, emptied. */
static void plan_lister(struct hx_prog *p)
{
    if (p->phase == 0) {
        p->phase = 1;
        p->i = 0;
        p->n = 20 + (unsigned)draw(p, pct(p, 20) ? 300 : 60);
    }
    if (p->w->lister == p || pct(p, 20))
        if (list_on(p, pct(p, 70) ? p->dir : any_dir(p)))
            return;
    if (p->phase == 1 && p->i < p->n) {
        hx_plan_name(p, pct(p, 95) ? HX_ACT_CREATE : HX_ACT_MKDIR, p->dir, 1000 + p->i++);
    } else if (p->phase == 1) {
        p->phase = 2;
        p->i = 0;
        hx_plan_act(p, HX_ACT_GETATTR, p->dir);
    } else if (p->i < p->n) {
        const struct hx_entry *e = hx_tree_entry(p->w->tree, p->dir, 1000 + p->i);
        const struct hx_tree_inode *n = e ? hx_tree_node(p->w->tree, e->ino) : NULL;
        bool dir = n && S_ISDIR(n->a.mode);
        hx_plan_name(p, dir ? HX_ACT_RMDIR : HX_ACT_UNLINK, p->dir, 1000 + p->i++);
    } else {
        p->phase = 0;
        hx_plan_fsync(p);
    }
}

/* Anything to any inode that somebody holds. */
static void plan_stirrer(struct hx_prog *p)
{
    const struct hx_tree_inode *n = NULL;
    for (unsigned i = 0; i < 8 && !(n && n->held > 0 && n->a.ino != HX_FS_ROOT); i++)
        n = any_node(p);
    if (p->got)
        take(p, p->i++ % HX_WORK_HANDLES);
    if (n->held == 0 || !(S_ISREG(n->a.mode) || pct(p, 5))) {
        const struct hx_entry *e = hx_tree_first(p->w->tree, hx_tree_node(p->w->tree, any_dir(p)));
        hx_plan_name(p, HX_ACT_LOOKUP, e ? e->dir : p->dir, e ? e->name : 1);
        return;
    }
    some_data(p, n->a.ino);
}

void hx_plan_next(struct hx_prog *p)
{
    static void (*const plans[HX_PROG_KINDS])(struct hx_prog *) = {
        [HX_PROG_WRITER] = plan_writer, [HX_PROG_READER] = plan_reader, [HX_PROG_CHURN] = plan_churn,
        [HX_PROG_LISTER] = plan_lister, [HX_PROG_STIRRER] = plan_stirrer, [HX_PROG_JOURNAL] = hx_plan_journal,
        [HX_PROG_WAL] = hx_plan_wal,    [HX_PROG_SAVER] = hx_plan_saver,  [HX_PROG_FILLER] = hx_plan_filler,
    };
    if (at_home(p))
        plans[p->kind](p);
    if (p->got) /* nobody took it */
        hx_work_let_go(p, p->got);
    p->got = 0;
}
