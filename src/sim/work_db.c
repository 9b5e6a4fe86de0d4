/*
 * work_db.c - programs with a plan: a database with a rollback journal, one with a write-ahead log, an editor
 * that saves by renaming, and one that fills the volume and empties it again.
 *
 * Each is a short cycle of phases; an operation that fails starts the cycle again, as an application would after an
 * error.  They use names of their own (20 to 29) in their own directory, so what they do is not undone by
 * others, but for those who take any inode.
 */
#include "work_private.h"

enum { NAME_DB = 20, NAME_JOURNAL, NAME_WAL_DB, NAME_WAL, NAME_DOC, NAME_DOC_NEW, NAME_FILL };
#define DB_PAGES 24u
#define FRAME_HEAD 24u
#define FILL_WRITES 16u /* of the largest size fill a file */

static uint64_t draw(struct hx_prog *p, uint64_t below)
{
    return hx_rng_below(&p->rng, below);
}

static void restart(struct hx_prog *p)
{
    hx_work_drop(p, 0);
    hx_work_drop(p, 1);
    p->phase = p->opening = 0;
}

static uint64_t size_of(const struct hx_prog *p, uint64_t ino)
{
    const struct hx_tree_inode *n = hx_tree_node(p->w->tree, ino);
    return n ? n->a.size : 0;
}

/* A write at exactly this place: a database does not append. */
static void write_at(struct hx_prog *p, uint64_t ino, uint64_t off, uint64_t len)
{
    hx_plan_write(p, ino, off, len);
    p->act.sync = false;
}

static void read_at(struct hx_prog *p, uint64_t ino, uint64_t off, uint64_t len)
{
    hx_plan_act(p, HX_ACT_READ, ino);
    p->act.off = off;
    p->act.len = len;
}

/* journal: header, old pages, fsync; pages in place, fsync; the journal goes: that commits. */
void hx_plan_journal(struct hx_prog *p)
{
    if (p->rc && !p->opening && p->phase > 1)
        restart(p);
    if (p->phase == 0) {
        if (!p->h[0] && !hx_plan_open(p, 0, NAME_DB))
            return;
        p->phase = 1;
        p->opening = 0;
    }
    if (p->phase == 1) {
        if (!hx_plan_open(p, 1, NAME_JOURNAL))
            return;
        p->phase = 2;
        p->n = 1 + (unsigned)draw(p, 4);
        p->i = 0;
        p->off = draw(p, DB_PAGES);
        write_at(p, p->h[1], 0, 512);
        return;
    }
    unsigned step = p->phase++ - 2, n = p->n;
    if (step < n)
        write_at(p, p->h[1], 512 + step * (HX_PAGE_SIZE + 8), HX_PAGE_SIZE + 8);
    else if (step == n)
        hx_plan_fsync(p);
    else if (step <= 2 * n)
        write_at(p, p->h[0], (p->off + 7 * (step - n)) % DB_PAGES * HX_PAGE_SIZE, HX_PAGE_SIZE);
    else if (step == 2 * n + 1)
        hx_plan_fsync(p);
    else if (step == 2 * n + 2)
        hx_plan_name(p, HX_ACT_UNLINK, p->dir, NAME_JOURNAL);
    else {
        hx_work_drop(p, 1);
        p->phase = 1;
        p->opening = 0;
        read_at(p, p->h[0], draw(p, DB_PAGES) * HX_PAGE_SIZE, 3 * HX_PAGE_SIZE);
    }
}

/* wal: frames, fsync; now and then all pages go to the database, fsync, and the log starts again. */
void hx_plan_wal(struct hx_prog *p)
{
    if (p->rc && !p->opening && p->phase > 1)
        restart(p);
    if (p->phase == 0) {
        if (!p->h[0] && !hx_plan_open(p, 0, NAME_WAL_DB))
            return;
        p->phase = 1;
        p->opening = 0;
    }
    if (p->phase == 1) {
        if (!hx_plan_open(p, 1, NAME_WAL))
            return;
        p->phase = 2;
        p->i = p->n = 0;
        p->off = size_of(p, p->h[1]);
    }
    if (p->phase == 2) { /* frames of one transaction; i frames are in the log */
        uint64_t x = draw(p, 6);
        if (p->i >= 12) {
            p->phase = 3;
            p->n = 0;
            hx_plan_fsync(p);
        } else if (x == 0) {
            hx_plan_fsync(p);
        } else if (x == 1) {
            read_at(p, p->h[1], draw(p, 12) * (FRAME_HEAD + HX_PAGE_SIZE), FRAME_HEAD + HX_PAGE_SIZE);
        } else {
            write_at(p, p->h[1], p->off, FRAME_HEAD + HX_PAGE_SIZE);
            p->off += FRAME_HEAD + HX_PAGE_SIZE;
            p->i++;
        }
        return;
    }
    if (p->n < 6) { /* checkpoint */
        write_at(p, p->h[0], draw(p, DB_PAGES) * HX_PAGE_SIZE, HX_PAGE_SIZE);
        p->n++;
        return;
    }
    p->phase = 2;
    p->i = 0;
    p->off = 0;
    if (draw(p, 2)) {
        hx_plan_fsync(p);
        return;
    }
    hx_plan_act(p, HX_ACT_SETATTR, p->h[1]);
    p->act.mask = HX_FS_SET_SIZE;
}

/* An editor: a new file, written, synced, renamed over the old one; looked at again. */
void hx_plan_saver(struct hx_prog *p)
{
    if (p->rc && !p->opening && p->phase > 0)
        restart(p);
    switch (p->phase) {
    case 0:
        if (!hx_plan_open(p, 0, NAME_DOC_NEW))
            return;
        p->phase = 1;
        p->n = 1 + (unsigned)draw(p, 5);
        p->off = 0;
        /* fall through */
    case 1:
        if (p->n-- > 0) {
            uint64_t len = 1 + draw(p, 3 * HX_PAGE_SIZE);
            write_at(p, p->h[0], p->off, len);
            p->off += len;
            return;
        }
        p->phase = 2;
        hx_plan_fsync(p);
        return;
    case 2:
        p->phase = 3;
        hx_plan_name(p, HX_ACT_RENAME, p->dir, NAME_DOC_NEW);
        p->act.ino2 = p->dir;
        p->act.name2 = NAME_DOC;
        return;
    case 3:
        p->phase = 4;
        hx_work_drop(p, 0);
        hx_plan_name(p, HX_ACT_LOOKUP, p->dir, NAME_DOC);
        return;
    default:
        p->phase = 0;
        p->opening = 0;
        if (p->got)
            read_at(p, p->got, 0, 4 * HX_PAGE_SIZE);
        else
            hx_plan_fsync(p);
    }
}

static void empty_somehow(struct hx_prog *p, uint64_t size)
{
    switch (draw(p, 3)) {
    case 0:
        hx_plan_act(p, HX_ACT_SETATTR, p->h[0]);
        p->act.mask = HX_FS_SET_SIZE;
        p->act.set_size = draw(p, size + 1);
        break;
    case 1:
        hx_plan_act(p, HX_ACT_FALLOC, p->h[0]);
        p->act.mask = HX_FS_FALLOC_PUNCH | HX_FS_FALLOC_KEEP_SIZE;
        p->act.off = draw(p, size + 1);
        p->act.len = 1 + draw(p, size + 1);
        break;
    default:
        hx_plan_name(p, HX_ACT_UNLINK, p->dir, NAME_FILL + p->i++ % 4);
        restart(p);
    }
}

/* Fills files one after the other, reads each from its begin when it is full (by then its first pages have left a
 * small cache), and empties them, each in a way of its own. */
void hx_plan_filler(struct hx_prog *p)
{
    struct hx_work *w = p->w;
    if (p->phase == 0) {
        if (!hx_plan_open(p, 0, NAME_FILL + p->i % 4))
            return;
        p->phase = 1;
        p->rc = 0;
        p->n = 1 + (unsigned)draw(p, 4);
    }
    uint64_t size = size_of(p, p->h[0]), len = w->write_max / p->n;
    bool full = w->tree->data_pages + len / HX_PAGE_SIZE + 4 > w->pages_max ||
                size + len + 4 * HX_PAGE_SIZE > w->file_pages_max * HX_PAGE_SIZE || size >= FILL_WRITES * w->write_max;
    if (p->phase == 1 && !full && p->rc == 0) {
        if (draw(p, 6)) {
            write_at(p, p->h[0], size, len);
            return;
        }
        hx_plan_act(p, HX_ACT_FALLOC, p->h[0]);
        p->act.off = size;
        p->act.len = len;
        return;
    }
    if (p->phase == 1) {
        p->phase = 2;
        p->off = 0;
    }
    if (p->phase == 2 && p->off < size) {
        read_at(p, p->h[0], p->off, w->write_max);
        p->off += w->write_max;
        return;
    }
    p->phase = 1 + (unsigned)draw(p, 2) * 2;
    empty_somehow(p, size);
}
