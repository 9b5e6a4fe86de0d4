/*
 * end.c - a volume whose files have gone ends earlier: when, and one step after the other (src/fs/shrink.c moves what
 * lives there, hexad/session.h releases the group).
 *
 * It begins when it would have paid for shrink-after without a break, so that what is deleted to be written again costs
 * nothing; it goes on, group by group, as long as it pays.  Steps are ordinary requests, one at a time, in idle
 * moments.  Whoever finds no free page ends it (hx_end_reopen), before the volume grows; but for the moment in which
 * the version that takes the pages away is on its way: then growth follows it.
 * Where there is a repair-rate a step is begun only when the ones before it have paid for themselves.
 * Only when it is asked for: a released group is used again only while all six servers that are to have it answer
 * (growth.c, N4), so a volume that has become smaller waits with its growth for one that is silent.
 * Memory: none.
 */
#include "fuse_private.h"
#include "hexad/heal.h"

#define AGAIN_MS 60000u /* after it could not be done */

static uint64_t after_ms(const struct hx_mount *m)
{
    return m->opts->shrink_after_ms ? m->opts->shrink_after_ms : HX_HEAL_NEVER;
}

static void stop(struct hx_mount *m, uint64_t again_ms)
{
    hx_fs_shrink_stop(m->fs);
    m->end = (struct hx_end){.running = m->end.running};
    if (again_ms)
        m->end.pays_since_ms = hx_loop_now_ms(m->loop) + again_ms;
}

void hx_end_look(struct hx_mount *m, const struct hx_fs_statfs *s)
{
    struct hx_end *e = &m->end;
    if (e->keep || after_ms(m) == HX_HEAL_NEVER)
        return; /* it is at it: its own pages are not among those that are free */
    if (!hx_fs_shrink_pays(s->pages, s->pages_free, hx_vol_unit(m->vol)))
        e->pays_since_ms = 0;
    else if (e->pays_since_ms == 0)
        e->pays_since_ms = hx_loop_now_ms(m->loop);
}

static void failed(struct hx_mount *m, int err)
{
    m->end.running = false;
    stop(m, AGAIN_MS);
    if (err != HX_E_CANCELED && err != HX_E_FENCED && err != HX_E_GROW && err != HX_E_NOSPACE)
        hx_log_every(60000, HX_LOG_WARN, "the volume is not made smaller now: HX%04d %s", hx_err_info(err)->code,
                     hx_err_text(err));
}

static void durable(struct hx_req *r)
{
    r->m->end.running = false;
    r->m->end.empty = r->m->end.keep != 0;
    hx_vol_kick(r->m->vol);
}

static int run(struct hx_req *r)
{
    struct hx_mount *m = r->m;
    if (m->end.keep == 0) { /* somebody wanted the pages meanwhile */
        m->end.running = false;
        return 0;
    }
    int more = hx_fs_shrink(m->fs, m->end.keep);
    if (more == HX_E_GROW || more == HX_E_INVAL) {
        failed(m, HX_E_GROW); /* not GROW to who runs this: the volume would grow for it */
        return 0;
    }
    if (more < 0)
        return more;
    if (more == 0)
        return hx_req_when_durable(r, durable);
    m->end.running = false;
    if (m->opts->repair_rate)
        m->end.next_ms = hx_loop_now_ms(m->loop) + (uint64_t)HX_FS_SHRINK_STEP * 1000 / m->opts->repair_rate + 1;
    hx_vol_kick(m->vol); /* one step, then whatever else there is to do */
    return 0;
}

static void begin(struct hx_mount *m)
{
    struct hx_fs_statfs s;
    uint64_t unit = hx_vol_unit(m->vol);
    hx_vol_begin(m->vol);
    if (hx_fs_statfs(m->fs, &s) != 0)
        return;
    if (hx_fs_shrink_pays(s.pages, s.pages_free, unit) && s.pages % unit == 0)
        m->end.keep = s.pages - unit;
    else
        m->end.pays_since_ms = 0;
}

/* The group is empty: asked to go until it has gone, or has been given up. */
static void release(struct hx_mount *m)
{
    struct hx_fs_statfs s;
    hx_vol_begin(m->vol);
    if (hx_fs_statfs(m->fs, &s) != 0)
        return;
    if (s.pages != m->end.keep + hx_vol_unit(m->vol)) { /* it has gone, or the volume has grown */
        bool gone = s.pages == m->end.keep;
        uint64_t since = hx_loop_now_ms(m->loop) - after_ms(m);
        stop(m, 0);
        if (gone && hx_fs_shrink_pays(s.pages, s.pages_free, hx_vol_unit(m->vol)))
            m->end.pays_since_ms = since ? since : 1; /* the next one at once */
        return;
    }
    if (!hx_vol_releasing(m->vol))
        (void)hx_vol_release(m->vol, m->end.keep); /* BUSY: in the next idle moment */
}

void hx_end_idle(struct hx_mount *m)
{
    struct hx_end *e = &m->end;
    uint64_t now = hx_loop_now_ms(m->loop);
    if (e->running || after_ms(m) == HX_HEAL_NEVER)
        return;
    if (e->keep == 0 && e->pays_since_ms != 0 && now >= e->pays_since_ms && now - e->pays_since_ms >= after_ms(m) &&
        hx_vol_level(m->vol) == HX_ROOM_PLENTY && !m->reaping && !hx_fs_has_work(m->fs))
        begin(m);
    if (e->keep == 0)
        return;
    if (e->empty) {
        release(m);
        return;
    }
    if (now < e->next_ms)
        return;
    struct hx_req r = {.op = {.calls = &hx_req_calls, .changes = true}, .m = m, .run = run, .failed = failed};
    e->running = true;
    hx_req_start(&r);
}

bool hx_end_reopen(struct hx_mount *m)
{
    if (m->end.keep == 0 || (m->end.empty && hx_vol_unrelease(m->vol) != 0))
        return false;
    stop(m, AGAIN_MS);
    return true;
}
