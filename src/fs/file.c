/*
 * file.c - reading and writing the bytes of a file.
 *
 * A write is planned before it changes anything: which runs of pages it meets (one tree look-up a run, none a
 * page), which of them are holes, and which pages at its two ends keep bytes of their own.  Then one
 * mini-transaction fills the holes, edits the pages, and sets size and times: a write inside an existing
 * run changes its data pages and one leaf.
 *
 * Invariants: F1 a page that is overwritten as far as the file has bytes in it is never fetched.  F2 bytes of
 * the last page beyond the end of the file are zeros (extent.c, E3), so growing shows zeros.
 * A read points into the cache, and misses on all absent pages at once.  Allocates nothing.
 */
#include "fs_private.h"

#include "hexad/mutant.h"

#define RUNS_MAX (HX_WRITE_MAX / HX_PAGE_SIZE + 2) /* every page a run of its own, unaligned */

static const uint8_t zero_page[HX_PAGE_SIZE];

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- reading ------------------------------------------------------------------------------------ */

struct vector {
    struct iovec *at;
    size_t max, count, len;
    bool missed;
};

/* Adds N bytes; neighbours in memory become one entry. */
static int add(struct vector *v, const uint8_t *p, size_t n)
{
    struct iovec *last = v->count > 0 ? &v->at[v->count - 1] : NULL;
    v->len += n;
    if (last && p != zero_page && (const uint8_t *)last->iov_base + last->iov_len == p) {
        last->iov_len += n;
        return 0;
    }
    if (v->count == v->max)
        return HX_E_INVAL;
    v->at[v->count++] = (struct iovec){(void *)(uintptr_t)p, n};
    return 0;
}

/* Bytes [off, end) of the file, which lie in run *e. */
static int read_run(struct hx_fs *fs, const struct hx_extent *e, uint64_t off, uint64_t end, struct vector *v)
{
    while (off < end) {
        size_t in_page = off % HX_PAGE_SIZE, n = min_size(HX_PAGE_SIZE - in_page, (size_t)(end - off));
        const uint8_t *page = zero_page;
        int rc = 0;
        if (e->pp != 0)
            rc = hx_pager_get(fs->p, HX_PAGE(e->pp + ((off >> HX_PAGE_SHIFT) - e->lp)), &page);
        if (rc == HX_E_INVAL)
            return HX_E_CORRUPT; /* an extent that leads out of the volume */
        if (rc == HX_E_MISS) { /* noted; go on, to note the others */
            v->missed = true;
            rc = 0;
        } else if (rc == 0 && !v->missed) {
            rc = add(v, page + in_page, n);
        }
        if (rc)
            return rc;
        off += n;
    }
    return 0;
}

int hx_fs_read(struct hx_fs *fs, uint64_t ino, uint64_t off, size_t len, struct iovec *ret, size_t max,
               size_t *ret_count, size_t *ret_len)
{
    struct hx_inode in;
    struct vector v = {.at = ret, .max = max};
    bool hole = false;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_file(fs, ino, &in);
    if (rc)
        return rc;
    uint64_t end = off >= in.size ? off : len < in.size - off ? off + len : in.size;
    while (rc == 0 && off < end) {
        struct hx_extent e;
        rc = hx_extent_at(fs, ino, off >> HX_PAGE_SHIFT, &e);
        if (rc == HX_E_MISS)
            break;
        uint64_t run_end = rc ? end : (e.lp + e.count) << HX_PAGE_SHIFT;
        if (run_end > end)
            run_end = end;
        if (rc == 0)
            rc = read_run(fs, &e, off, run_end, &v);
        hole |= rc == 0 && e.pp == 0;
        off = run_end;
    }
    if (rc == 0 && v.missed)
        rc = HX_E_MISS;
    if (rc)
        return rc;
    struct hx_ref *r = hole ? hx_refs_find(&fs->refs, ino) : NULL;
    if (r)
        r->hole_seen = true;
    *ret_count = v.count;
    *ret_len = v.len;
    return 0;
}

void hx_fs_cached(struct hx_fs *fs, uint64_t ino)
{
    struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    if (r)
        r->cached = true;
}

bool hx_fs_uncache(struct hx_fs *fs, uint64_t ino)
{
    struct hx_ref *r = hx_refs_find(&fs->refs, ino);
    bool was = r && r->cached;
    if (was)
        r->cached = false;
    return was;
}

int hx_fs_prefetch(struct hx_fs *fs, uint64_t ino, uint64_t off, uint64_t len, uint64_t *ret_size, bool *ret_all)
{
    struct hx_inode in;
    bool missed = false;
    *ret_all = false;
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_file(fs, ino, &in);
    if (rc)
        return rc;
    *ret_size = in.size;
    uint64_t end = off >= in.size ? off : len < in.size - off ? off + len : in.size;
    uint64_t lp = off >> HX_PAGE_SHIFT, last = (end + HX_PAGE_SIZE - 1) >> HX_PAGE_SHIFT;
    while (lp < last) {
        struct hx_extent e;
        rc = hx_extent_at(fs, ino, lp, &e);
        if (rc)
            return rc;
        uint64_t n = e.count < last - lp ? e.count : last - lp;
        for (uint64_t i = 0; e.pp != 0 && i < n; i++)
            missed |= !hx_pager_want(fs->p, HX_PAGE(e.pp + i));
        lp += n;
    }
    *ret_all = true;
    return missed ? HX_E_MISS : 0;
}

/* --- writing ------------------------------------------------------------------------------------ */

struct plan {
    struct hx_inode in;
    uint64_t off, end;
    const uint8_t *buf;
    unsigned count;
    uint64_t holes; /* pages to be allocated */
    struct hx_extent runs[RUNS_MAX];
};

/* Where in page LP the write begins and ends: [*from, *to). */
static void span(const struct plan *w, uint64_t lp, size_t *from, size_t *to)
{
    uint64_t start = lp << HX_PAGE_SHIFT;
    *from = w->off > start ? (size_t)(w->off - start) : 0;
    *to = w->end - start < HX_PAGE_SIZE ? (size_t)(w->end - start) : HX_PAGE_SIZE;
}

/* F1: does the write leave bytes of page LP, which is allocated, as they are? */
static bool keeps(const struct plan *w, uint64_t lp)
{
    size_t from, to;
    span(w, lp, &from, &to);
    uint64_t size = w->in.size, start = lp << HX_PAGE_SHIFT;
    return from > 0 || (to < HX_PAGE_SIZE && size > start + to);
}

static int plan_runs(struct hx_fs *fs, struct plan *w)
{
    uint64_t lp = w->off >> HX_PAGE_SHIFT, last = (w->end - 1) >> HX_PAGE_SHIFT;
    bool missed = false;
    for (w->count = 0, w->holes = 0; lp <= last; w->count++) {
        struct hx_extent *e = &w->runs[w->count];
        int rc = hx_extent_at(fs, w->in.ino, lp, e);
        if (rc)
            return rc;
        if (e->count > last - lp + 1)
            e->count = last - lp + 1;
        if (e->pp == 0)
            w->holes += e->count;
        else if (keeps(w, e->lp))
            missed |= !hx_pager_want(fs->p, HX_PAGE(e->pp));
        if (e->pp != 0 && e->count > 1 && keeps(w, e->lp + e->count - 1))
            missed |= !hx_pager_want(fs->p, HX_PAGE(e->pp + e->count - 1));
        lp += e->count;
    }
    return missed ? HX_E_MISS : 0;
}

/* Puts the write's bytes into page LP of the file, page PP of the volume; FRESH: just allocated. */
static int write_page(struct hx_fs *fs, const struct plan *w, uint64_t lp, uint64_t pp, bool fresh)
{
    size_t from, to;
    uint8_t *page;
    span(w, lp, &from, &to);
    bool whole = from == 0 && to == HX_PAGE_SIZE, keep = !fresh && keeps(w, lp);
    enum hx_edit how = keep ? HX_EDIT_KEEP : fresh && !whole ? HX_EDIT_ZEROS : HX_EDIT_WHOLE;
    int rc = hx_pager_edit(fs->p, HX_PAGE(pp), how, &page);
    if (rc)
        return rc == HX_E_INVAL ? HX_E_CORRUPT : rc;
    memcpy(page + from, w->buf + ((lp << HX_PAGE_SHIFT) + from - w->off), to - from);
    if (how == HX_EDIT_WHOLE)
        memset(page + to, 0, HX_PAGE_SIZE - to); /* F2 */
    return 0;
}

static int write_run(struct hx_fs *fs, const struct plan *w, const struct hx_extent *e, bool fresh)
{
    int rc = 0;
    for (uint64_t i = 0; rc == 0 && i < e->count; i++)
        rc = write_page(fs, w, e->lp + i, e->pp + i, fresh);
    return rc;
}

/* Fills hole *h with pages and writes them, run by run as they were found. */
static int write_hole(struct hx_fs *fs, struct plan *w, const struct hx_extent *h)
{
    uint64_t done = 0;
    while (done < h->count) {
        unsigned one = 1;
        uint64_t n;
        struct hx_extent e;
        int rc = hx_extent_fill(fs, &w->in, h->lp + done, h->count - done, &one, &n);
        if (rc == 0)
            rc = hx_extent_at(fs, w->in.ino, h->lp + done, &e);
        if (rc)
            return rc;
        e.count = n;
        rc = write_run(fs, w, &e, true);
        if (rc)
            return rc;
        done += n;
    }
    return 0;
}

/* What a mutant does: the size is in the volume before the data. */
static inline int size_first(struct hx_fs *fs, struct plan *w)
{
    w->in.size = w->end;
    int rc = hx_inode_put(fs, &w->in);
    return rc ? rc : hx_op_split(fs);
}

static int carry_out(struct hx_fs *fs, struct plan *w)
{
    int rc = HX_MUTANT(SIZE_BEFORE_DATA) && w->end > w->in.size ? size_first(fs, w) : 0;
    for (unsigned i = 0; rc == 0 && i < w->count; i++) {
        const struct hx_extent *e = &w->runs[i];
        rc = e->pp == 0 ? write_hole(fs, w, e) : write_run(fs, w, e, false);
    }
    if (rc == 0 && HX_MUTANT(SIZE_AFTER_DATA))
        rc = hx_op_split(fs);
    if (rc)
        return rc;
    if (w->end > w->in.size)
        w->in.size = w->end;
    rc = hx_perm_drop_caps(fs, &w->in);
    return rc ? rc : hx_inode_put(fs, &w->in);
}

static int plan_write(struct hx_fs *fs, uint64_t ino, uint64_t off, size_t len, bool append, struct plan *w)
{
    int rc = hx_op_ready(fs);
    if (rc == 0)
        rc = hx_inode_get_file(fs, ino, &w->in);
    if (rc)
        return rc;
    w->off = append ? w->in.size : off;
    if (w->off > HX_FS_FILE_MAX || len > HX_FS_FILE_MAX - w->off)
        return HX_E_FBIG;
    w->end = w->off + len;
    if (len == 0)
        return 0;
    if (w->end > w->in.size)
        rc = hx_reap_finish_tail(fs, &w->in);
    return rc ? rc : plan_runs(fs, w);
}

int hx_fs_write(struct hx_fs *fs, const struct hx_fs_who *who, uint64_t ino, uint64_t off, const void *buf,
                size_t len, bool append, bool kill_priv, uint64_t *ret_off)
{
    struct plan w;
    if (len > HX_WRITE_MAX)
        return HX_E_INVAL;
    w.buf = buf;
    int rc = plan_write(fs, ino, off, len, append, &w);
    if (rc == 0 && len > 0 && w.holes > 0)
        rc = hx_alloc_check(&fs->alloc, w.holes); /* known before anything is edited */
    if (rc == 0 && len > 0) {
        w.in.mtime = w.in.ctime = who->now;
        if (kill_priv)
            hx_perm_kill_ids(&w.in, who);
        rc = hx_op_begin(fs, HX_OP_ORDINARY);
        if (rc == 0)
            rc = hx_op_end(fs, carry_out(fs, &w));
    }
    if (rc == 0)
        *ret_off = w.off;
    return rc;
}
