/*
 * work_run.c - one operation on the filesystem, and the judgement of its answer.
 *
 * The filesystem is asked first; only when it has given a final answer is the model asked what it must be: so an
 * operation that waited is judged at the moment at which it happened.  A refusal (an ordinary error of a
 * filesystem) must be the predicted one; a failure (no space, fenced, ...) may come at any time, and must leave
 * everything as it was, which the following operations and the walk show.
 */
#include "work_private.h"

#include <string.h>
#include <sys/stat.h>

bool hx_work_must_wait(int rc)
{
    return rc == HX_E_MISS || rc == HX_E_ROOM || rc == HX_E_GROW;
}

/* Errors that the model does not predict, and that are no lies. */
bool hx_work_is_failure(int rc)
{
    return rc == HX_E_NOSPACE || rc == HX_E_FENCED || rc == HX_E_TIMEOUT || rc == HX_E_CANCELED || rc == HX_E_IO;
}

/* ---- accepting ---- */
/* The change has happened: the model follows, and the journal keeps it if it is in the log. */
static void accept(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    struct hx_lsn last = w->host.last(w->host.ctx);
    hx_tree_apply(w->tree, &p->act);
    if (last.v > w->noted_lsn)
        hx_journal_append(w->s->journal, w->epoch, last, &p->act);
    w->noted_lsn = last.v;
    w->stats.accepted++;
    w->stats.kinds[p->act.kind]++;
    w->changed = true;
    if (!w->host.open(w->host.ctx))
        hx_sim_broken(w->s, "I13", "client %u: %s was done although the mount is not open", w->client,
                      hx_act_name[p->act.kind]);
}

static void check_attr(struct hx_prog *p, uint64_t ino, const struct hx_fs_attr *a)
{
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, ino);
    const char *what = n ? hx_tree_differs(n, a, !n->loose_blocks) : "no such inode";
    if (what)
        hx_work_wrong(p, "wrong %s (inode %llu, size %llu, links %u, blocks %llu)", what, (unsigned long long)ino,
                      (unsigned long long)a->size, a->nlink, (unsigned long long)a->blocks);
}

bool hx_work_judge(struct hx_prog *p, int rc)
{
    int want = hx_tree_predict(p->w->tree, &p->act);
    p->judged = true;
    if (rc == want) {
        p->w->stats.refused += rc != 0;
        return rc == 0;
    }
    if (hx_work_is_failure(rc))
        return false;
    /* A directory that was removed may be gone altogether. */
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, p->act.ino);
    bool removed = want == HX_E_NOENT || (p->act.kind == HX_ACT_READDIR && n && n->a.nlink == 0);
    bool gone = (want == HX_E_STALE && rc == HX_E_NOENT) || (removed && rc == HX_E_STALE);
    /* Or may not have been freed yet, though nobody holds it: it is empty, and no kernel asks for it. */
    gone |= p->act.kind == HX_ACT_READDIR && want == HX_E_STALE && rc == 0;
    if (!gone)
        hx_work_wrong(p, "gave %s instead of %s", rc ? hx_err_info(rc)->name : "success",
                      want ? hx_err_info(want)->name : "success");
    return false;
}

/* ---- changes ---- */
static int call_xset(struct hx_prog *p)
{
    const struct hx_act *a = &p->act;
    hx_tree_xattr_fill(a->name, a->tag, p->w->buf, (size_t)a->len);
    return hx_fs_setxattr(p->w->fs, &a->who, a->ino, hx_tree_xattr_name(a->name), p->w->buf, (size_t)a->len, a->mask);
}

static int call_setattr(struct hx_prog *p, struct hx_fs_attr *ret)
{
    const struct hx_act *a = &p->act;
    struct hx_fs_attr set = {.mode = a->mode, .uid = a->set_uid, .gid = a->set_gid, .size = a->set_size,
                             .atime = a->set_atime, .mtime = a->set_mtime, .ctime = a->set_ctime};
    return hx_fs_setattr(p->w->fs, &a->who, a->ino, &set, a->mask, ret);
}

static int call_change(struct hx_prog *p, struct hx_fs_attr *ret, uint64_t *ret_at)
{
    const struct hx_act *a = &p->act;
    struct hx_fs *fs = p->w->fs;
    char name[HX_FS_NAME_MAX + 2], name2[HX_FS_NAME_MAX + 2], text[HX_FS_SYMLINK_MAX + 2];
    hx_name_text(a->name, name);
    hx_name_text(a->name2, name2);
    switch (a->kind) {
    case HX_ACT_CREATE:
        return hx_fs_mknod(fs, &a->who, a->ino, name, a->mode, a->rdev, ret);
    case HX_ACT_MKDIR:
        return hx_fs_mkdir(fs, &a->who, a->ino, name, a->mode, ret);
    case HX_ACT_SYMLINK:
        hx_symlink_text(a->tag, a->len, text);
        return hx_fs_symlink(fs, &a->who, a->ino, name, text, ret);
    case HX_ACT_LINK:
        return hx_fs_link(fs, &a->who, a->ino, a->ino2, name, ret);
    case HX_ACT_UNLINK:
        return hx_fs_unlink(fs, &a->who, a->ino, name);
    case HX_ACT_RMDIR:
        return hx_fs_rmdir(fs, &a->who, a->ino, name);
    case HX_ACT_RENAME:
        return hx_fs_rename(fs, &a->who, a->ino, name, a->ino2, name2, a->mask);
    case HX_ACT_SETATTR:
        return call_setattr(p, ret);
    case HX_ACT_TMPFILE:
        return hx_fs_tmpfile(fs, &a->who, a->ino, a->mode, ret);
    case HX_ACT_XSET:
        return call_xset(p);
    case HX_ACT_XDROP:
        return hx_fs_removexattr(fs, &a->who, a->ino, hx_tree_xattr_name(a->name));
    case HX_ACT_WRITE:
        hx_pattern_fill(a->tag, a->off, p->w->buf, a->len);
        return hx_fs_write(fs, &a->who, a->ino, a->off, p->w->buf, a->len, a->append, a->kill_priv, ret_at);
    case HX_ACT_ATIME:
        return hx_fs_touch_atime(fs, a->ino, a->who.now);
    default:
        return HX_E_INVAL;
    }
}

/* What a successful change gave, against the model after it. */
static void check_change(struct hx_prog *p, const struct hx_fs_attr *a, uint64_t at)
{
    switch (p->act.kind) {
    case HX_ACT_CREATE:
    case HX_ACT_MKDIR:
    case HX_ACT_SYMLINK:
    case HX_ACT_TMPFILE:
        check_attr(p, p->act.made, a);
        break;
    case HX_ACT_LINK:
    case HX_ACT_SETATTR:
        check_attr(p, p->act.ino, a);
        break;
    case HX_ACT_WRITE:
        if (at != p->act.off)
            hx_work_wrong(p, "wrote at %llu", (unsigned long long)at);
        break;
    default:
        break;
    }
}

static bool makes(enum hx_act_kind kind)
{
    return kind == HX_ACT_CREATE || kind == HX_ACT_MKDIR || kind == HX_ACT_SYMLINK || kind == HX_ACT_TMPFILE;
}

/* The inode that the rename which has just been done left at the old name: all that leads to it is in the cache. */
static uint64_t find_whiteout(struct hx_prog *p)
{
    char name[HX_FS_NAME_MAX + 2];
    struct hx_fs_attr a;
    hx_name_text(p->act.name, name);
    int rc = hx_fs_lookup(p->w->fs, p->act.ino, name, &a);
    if (rc) {
        hx_work_wrong(p, "no whiteout: %s", hx_err_info(rc)->name);
        return 0;
    }
    hx_fs_forget(p->w->fs, a.ino, 1);
    return a.ino;
}

static int run_change(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    struct hx_fs_attr a = {.ino = 0};
    uint64_t at = 0;
    const struct hx_tree_inode *n = hx_tree_node(w->tree, p->act.ino);
    if (p->act.append) /* the bytes are those of where it will be */
        p->act.off = n ? n->a.size : 0;
    int rc = call_change(p, &a, &at);
    if (hx_work_must_wait(rc))
        return rc;
    if (!hx_work_judge(p, rc))
        return rc;
    bool made = makes(p->act.kind);
    p->act.made = a.ino;
    if (p->act.kind == HX_ACT_RENAME && hx_tree_leaves_whiteout(w->tree, &p->act)) {
        made = true;
        p->act.made = find_whiteout(p);
    }
    if (made && p->act.made <= w->tree->top_ino) {
        hx_work_wrong(p, "inode number %llu was used before", (unsigned long long)p->act.made);
        return rc;
    }
    accept(p);
    check_change(p, &a, at);
    if (makes(p->act.kind) || p->act.kind == HX_ACT_LINK)
        hx_tree_hold(w->tree, a.ino);
    p->attr = a;
    return 0;
}

/* Each part is a change of its own. */
static int run_falloc(struct hx_prog *p)
{
    struct hx_act *a = &p->act;
    int rc;
    do {
        uint64_t done = a->done;
        rc = hx_fs_fallocate(p->w->fs, &a->who, a->ino, a->mask, a->off, a->len, &done);
        if (hx_work_must_wait(rc))
            return rc;
        if (!hx_work_judge(p, rc == HX_E_AGAIN ? 0 : rc))
            return rc;
        a->done_to = done;
        accept(p);
        a->done = done;
    } while (rc == HX_E_AGAIN);
    return rc;
}

/* ---- looking ---- */
static void check_bytes(struct hx_prog *p, const struct hx_tree_inode *n, uint64_t off, const uint8_t *bytes,
                        size_t len)
{
    while (len > 0) {
        uint64_t end, tag = hx_spans_at(&n->data, off, &end);
        size_t part = end - off < len ? (size_t)(end - off) : len;
        size_t good = hx_pattern_check(tag, off, bytes, part);
        if (good < part) {
            hx_work_wrong(p, "wrong byte %02x at %llu of inode %llu", bytes[good], (unsigned long long)(off + good),
                          (unsigned long long)n->a.ino);
            return;
        }
        off += part;
        bytes += part;
        len -= part;
    }
}

int hx_work_read(struct hx_prog *p)
{
    uint64_t ino = p->act.ino, off = p->act.off;
    size_t len = (size_t)p->act.len;
    struct iovec iov[HX_WORK_BUF / HX_PAGE_SIZE + 2];
    size_t count, got;
    int rc = hx_fs_read(p->w->fs, ino, off, len, iov, len / HX_PAGE_SIZE + 2, &count, &got);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, ino);
    uint64_t want = off >= n->a.size ? 0 : n->a.size - off < len ? n->a.size - off : len, sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (sum + iov[i].iov_len <= want)
            check_bytes(p, n, off + sum, iov[i].iov_base, iov[i].iov_len);
        sum += iov[i].iov_len;
    }
    if (got != want || sum != want)
        hx_work_wrong(p, "%llu bytes instead of %llu", (unsigned long long)got, (unsigned long long)want);
    return 0;
}

static bool not_after(struct hx_fs_time a, struct hx_fs_time b)
{
    return a.s < b.s || (a.s == b.s && a.ns <= b.ns);
}

/* As a mount with relatime does after a read: it never waits, and never fails it. */
static void touch_atime(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    const struct hx_tree_inode *n = hx_tree_node(w->tree, p->act.ino);
    struct hx_act read = p->act;
    if (!n || w->host.gated(w->host.ctx) || !w->host.open(w->host.ctx))
        return;
    if (!not_after(n->a.atime, n->a.mtime) && !not_after(n->a.atime, n->a.ctime))
        return;
    w->host.begin(w->host.ctx);
    if (hx_fs_touch_atime(w->fs, p->act.ino, p->act.who.now))
        return;
    p->act.kind = HX_ACT_ATIME;
    accept(p);
    p->act = read;
}

int hx_work_seek(struct hx_prog *p)
{
    uint64_t at = 0, want = 0;
    int rc = hx_fs_seek(p->w->fs, p->act.ino, p->act.off, p->act.data, &at);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    (void)hx_tree_seek(hx_tree_node(p->w->tree, p->act.ino), p->act.off, p->act.data, &want);
    if (at != want)
        hx_work_wrong(p, "found %llu instead of %llu", (unsigned long long)at, (unsigned long long)want);
    return 0;
}

int hx_work_readlink(struct hx_prog *p)
{
    uint64_t ino = p->act.ino;
    char got[HX_FS_SYMLINK_MAX + 1], want[HX_FS_SYMLINK_MAX + 1];
    int rc = hx_fs_readlink(p->w->fs, ino, got, sizeof got);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, ino);
    hx_symlink_text(n->text, (size_t)n->a.size, want);
    if (strcmp(got, want) != 0)
        hx_work_wrong(p, "wrong text of symbolic link %llu", (unsigned long long)ino);
    return 0;
}

int hx_work_lookup(struct hx_prog *p)
{
    char name[HX_FS_NAME_MAX + 2];
    struct hx_fs_attr a;
    hx_name_text(p->act.name, name);
    int rc = hx_fs_lookup(p->w->fs, p->act.ino, name, &a);
    if (hx_work_must_wait(rc))
        return rc;
    if (!hx_work_judge(p, rc)) {
        if (rc == 0)
            hx_fs_forget(p->w->fs, a.ino, 1);
        return rc;
    }
    check_attr(p, hx_tree_entry(p->w->tree, p->act.ino, p->act.name)->ino, &a);
    hx_tree_hold(p->w->tree, a.ino);
    p->attr = a;
    return 0;
}

int hx_work_getattr(struct hx_prog *p)
{
    struct hx_fs_attr a;
    int rc = hx_fs_getattr(p->w->fs, p->act.ino, &a);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    check_attr(p, p->act.ino, &a);
    p->attr = a;
    return 0;
}

/* ---- listing ---- */
/* One entry that was listed, against the model: it is there now, and was not listed before. */
static void check_entry(struct hx_prog *p, const struct hx_fs_dirent *d)
{
    const struct hx_tree *t = p->w->tree;
    const struct hx_tree_inode *dir = hx_tree_node(t, p->act.ino), *n;
    if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0) {
        if (d->ino != (d->name[1] ? dir->parent : dir->a.ino))
            hx_work_wrong(p, "%s is %llu", d->name, (unsigned long long)d->ino);
        return;
    }
    struct hx_entry *e = hx_tree_entry(t, p->act.ino, hx_name_number(d->name));
    n = e ? hx_tree_node(t, e->ino) : NULL;
    if (!n || e->ino != d->ino || d->type != (n->a.mode & S_IFMT)) {
        hx_work_wrong(p, "listed %.20s, inode %llu, type %o", d->name, (unsigned long long)d->ino, d->type);
        return;
    }
    if (e->seen == (uint32_t)p->serial && e->born <= p->born)
        hx_work_wrong(p, "listed %.20s twice", d->name);
    e->seen = (uint32_t)p->serial;
    p->w->stats.entries++;
}

/* At the end of a listing: whatever was there from its begin to its end was listed. */
static void check_listed(struct hx_prog *p)
{
    const struct hx_tree *t = p->w->tree;
    const struct hx_tree_inode *dir = hx_tree_node(t, p->act.ino);
    if (!dir || dir->a.nlink == 0)
        return;
    for (const struct hx_entry *e = hx_tree_first(t, dir); e; e = hx_tree_next(t, e))
        if (e->born <= p->born && e->seen != (uint32_t)p->serial) {
            hx_work_wrong(p, "name n%x was not listed", e->name);
            return;
        }
}

/* A listing of a directory that the model has forgotten (hx_work_judge): it was removed, so nothing is in it. */
static void check_removed(struct hx_prog *p, int more, const struct hx_fs_dirent *d, unsigned n)
{
    for (unsigned i = 0; more >= 0 && i < n; i++)
        if (strcmp(d[i].name, ".") != 0 && strcmp(d[i].name, "..") != 0)
            hx_work_wrong(p, "listed %.20s in a directory that was removed", d[i].name);
}

/* Up to len entries after cookie off: p->cookie is where to go on, 0 at the end. */
int hx_work_list(struct hx_prog *p)
{
    struct hx_fs_dirent *d = (void *)p->w->buf;
    uint64_t cookie = p->act.off;
    unsigned n = 0, max = (unsigned)p->act.len;
    hx_assert(max <= HX_WORK_BUF / sizeof *d);
    int more = 1;
    while (n < max && more == 1) {
        more = hx_fs_readdir(p->w->fs, p->act.ino, cookie, &d[n]);
        if (more == 1)
            cookie = d[n++].cookie;
    }
    if (more < 0 && hx_work_must_wait(more))
        return more;
    if (!hx_work_judge(p, more < 0 ? more : 0)) {
        check_removed(p, more, d, n);
        return more < 0 ? more : 0;
    }
    cookie = p->act.off;
    for (unsigned i = 0; i < n; i++) {
        check_entry(p, &d[i]);
        if (d[i].cookie <= cookie)
            hx_work_wrong(p, "cookie %llu after %llu", (unsigned long long)d[i].cookie, (unsigned long long)cookie);
        cookie = d[i].cookie;
    }
    p->cookie = more == 0 ? 0 : cookie;
    if (more == 0)
        check_listed(p);
    return 0;
}

/* ---- the mount's own ---- */
/* As the mount does before it serves: an empty volume gets a filesystem. */
static int run_format(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    int rc = hx_fs_probe(w->fs);
    if (hx_work_must_wait(rc))
        return rc;
    p->judged = true;
    if (rc != (w->tree->formatted ? 0 : HX_E_NOENT)) {
        if (!hx_work_is_failure(rc))
            hx_sim_broken(w->s, "I7", "client %u: epoch %llu: the filesystem is %s: %s", w->client,
                          (unsigned long long)w->epoch.v, w->tree->formatted ? "lost" : "one that was cut off",
                          rc ? hx_err_info(rc)->name : "present");
        return rc;
    }
    if (rc == 0)
        return 0;
    rc = hx_fs_format(w->pager, &p->act.who);
    if (rc)
        return rc;
    accept(p);
    hx_fs_free(w->fs);
    w->fs = NULL;
    rc = hx_fs_new(w->pager, &w->fs);
    hx_assert(rc == 0);
    return 0;
}

static int run_reap(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    struct hx_fs_statfs st;
    int rc = hx_fs_statfs(w->fs, &st);
    if (rc)
        return rc;
    w->host.note_free(w->host.ctx, st.pages_free);
    rc = hx_fs_reap(w->fs);
    if (rc < 0)
        return rc;
    p->judged = true;
    if (rc == 0)
        w->reap_all = false;
    w->noted_lsn = w->host.last(w->host.ctx).v;
    return 0;
}

static int run_statfs(struct hx_prog *p)
{
    struct hx_fs_statfs st;
    int rc = hx_fs_statfs(p->w->fs, &st);
    if (hx_work_must_wait(rc) || !hx_work_judge(p, rc))
        return rc;
    if (st.pages_free > st.pages || st.pages - st.pages_free < p->w->tree->data_pages || st.inodes == 0)
        hx_work_wrong(p, "%llu of %llu pages free although files have %llu", (unsigned long long)st.pages_free,
                      (unsigned long long)st.pages, (unsigned long long)p->w->tree->data_pages);
    return 0;
}

int hx_work_run(struct hx_prog *p)
{
    int rc;
    p->judged = false;
    switch (p->act.kind) {
    case HX_ACT_FORMAT:
        return run_format(p);
    case HX_ACT_REAP:
        return run_reap(p);
    case HX_ACT_COMPARE:
        return hx_walk_run(p);
    case HX_ACT_LOOKUP:
        return hx_work_lookup(p);
    case HX_ACT_GETATTR:
        return hx_work_getattr(p);
    case HX_ACT_READ:
        rc = hx_work_read(p);
        if (rc == 0)
            touch_atime(p);
        return rc;
    case HX_ACT_READLINK:
        return hx_work_readlink(p);
    case HX_ACT_SEEK:
        return hx_work_seek(p);
    case HX_ACT_READDIR:
        return hx_work_list(p);
    case HX_ACT_STATFS:
        return run_statfs(p);
    case HX_ACT_XGET:
        return hx_work_xget(p);
    case HX_ACT_XLIST:
        return hx_work_xlist(p);
    case HX_ACT_FSYNC:
        p->judged = true;
        return 0;
    case HX_ACT_FALLOC:
        return run_falloc(p);
    default:
        return run_change(p);
    }
}
