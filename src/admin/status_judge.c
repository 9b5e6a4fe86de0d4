/*
 * status_judge.c - from what the servers said to states, lags and one judgement.  Pure but for allocation by jansson.
 *
 *   J1 A member counts for writing when it answers, is the one that the volume knows, and takes appends.
 *   J2 A member counts for reading when it answers and has its data, even when its disk is full.
 *   J3 The PG that can spare the fewest more decides for the volume: of six members two, of four one (D1).
 * Lag is measured against the best member of the same PG, not against the VDL itself: a PG that nobody writes to stays
 * where it is while the VDL rises.  What is above the VDL is not owed by anybody yet.
 */
#include "status.h"

#include "hexad/quorum.h"

#include <stdio.h>
#include <string.h>

const char *status_seg_word(enum seg_state state)
{
    static const char *const words[] = {"OK", "BEHIND", "FULL", "DAMAGED", "POISONED", "MISSING", "STRANGER", "REFUSED",
                                        "DOWN"};
    return words[state];
}

static bool takes_writes(enum seg_state s)
{
    return s == SEG_OK || s == SEG_BEHIND;
}

static bool serves_reads(enum seg_state s)
{
    return takes_writes(s) || s == SEG_FULL || s == SEG_DAMAGED;
}

static enum seg_state state_of(const struct server_view *v, const struct seg_view *seg)
{
    if (v->err)
        return v->err == HX_E_TLS || v->err == HX_E_ROLE ? SEG_REFUSED : SEG_DOWN;
    if (v->stranger)
        return SEG_STRANGER;
    if (!seg->known)
        return SEG_MISSING;
    if (seg->st.state == HX_E_POISONED || seg->st.state == HX_E_IO)
        return SEG_POISONED;
    if (seg->st.state == HX_E_NOSPACE)
        return SEG_FULL;
    if (seg->st.state != 0 || seg->st.damaged > 0)
        return SEG_DAMAGED;
    return seg->lag > 0 ? SEG_BEHIND : SEG_OK;
}

static void judge_pg(struct status *s, uint32_t pg)
{
    struct seg_view *segs = &s->segs[(size_t)pg * HX_COPIES];
    uint64_t best = 0, pages = 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (segs[i].out || !segs[i].known || s->servers[segs[i].server].stranger)
            continue;
        uint64_t scl = hx_lsn_min(segs[i].st.scl, s->vdl).v;
        best = scl > best ? scl : best;
        pages = segs[i].st.pages > pages ? segs[i].st.pages : pages;
    }
    s->used_bytes += pages << HX_PAGE_SHIFT;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct server_view *v = &s->servers[segs[i].server];
        if (segs[i].out)
            continue;
        segs[i].lag = segs[i].known && segs[i].st.scl.v < best ? best - segs[i].st.scl.v : 0;
        segs[i].state = state_of(v, &segs[i]);
        v->segments++;
        v->lag = segs[i].lag > v->lag ? segs[i].lag : v->lag;
        v->worst = segs[i].state > v->worst ? segs[i].state : v->worst;
    }
}

struct weakest {
    int spare_w, spare_r; /* how many more may go */
    unsigned w, r, of, need_w, need_r;
};

/* The weakest for writes, and of those for reads. */
static struct weakest find_weakest(const struct status *s)
{
    struct weakest worst = {.spare_w = HX_COPIES, .spare_r = HX_COPIES};
    for (size_t pg = 0; pg < s->sum.geometry.pg_count; pg++) {
        const struct hx_pg_members *row = &s->sum.geometry.pgs[pg];
        struct weakest now = {.need_w = hx_row_write_quorum(row), .need_r = hx_row_read_quorum(row),
                              .of = hx_members_count(hx_row_slots(row))};
        for (unsigned i = 0; i < HX_COPIES; i++) {
            const struct seg_view *v = &s->segs[pg * HX_COPIES + i];
            now.w += !v->out && takes_writes(v->state);
            now.r += !v->out && serves_reads(v->state);
        }
        now.spare_w = (int)now.w - (int)now.need_w;
        now.spare_r = (int)now.r - (int)now.need_r;
        int least_r = now.spare_r < worst.spare_r ? now.spare_r : worst.spare_r;
        if (now.spare_w < worst.spare_w || (now.spare_w == worst.spare_w && now.spare_r < worst.spare_r))
            worst = now;
        if (least_r < worst.spare_r) {
            worst.r = (unsigned)(least_r + (int)worst.need_r);
            worst.spare_r = least_r;
        }
    }
    return worst;
}

/* Groups of which a zone was given up, and that zone; its places may be about to be filled again (ZONE empty). */
static uint32_t count_degraded(const struct status *s, char zone[HX_NAME_MAX + 1])
{
    const struct hx_geometry *g = &s->sum.geometry;
    uint32_t n = 0;
    zone[0] = '\0';
    for (uint32_t pg = 0; pg < g->pg_count; pg++)
        n += hx_row_slots(&g->pgs[pg]) != HX_MEMBERS_ALL;
    for (uint32_t i = 0; i < g->server_count; i++)
        if (g->servers[i].state == HX_SERVER_AWAY)
            memcpy(zone, g->servers[i].zone, sizeof g->servers[i].zone);
    return n;
}

/* D1 is no fault, but nothing that one should forget. */
static void judge_degraded(struct status *s)
{
    char zone[HX_NAME_MAX + 1];
    uint32_t n = count_degraded(s, zone);
    if (s->err || (!n && !zone[0]))
        return;
    s->err = HX_E_DEGRADED;
    s->word = "DEGRADED";
    if (zone[0]) {
        snprintf(s->text, sizeof s->text, "zone %s is given up: %u groups have four members, of which 3 make a write "
                 "durable", zone, n);
        snprintf(s->action, sizeof s->action, "when its servers are there again: hexad degrade %.60s --zone %s --undo",
                 s->volume, zone);
    } else {
        snprintf(s->text, sizeof s->text, "%u groups have fewer than six members until the places that were given up "
                 "are filled again", n);
        snprintf(s->action, sizeof s->action,
                 "a mount fills them, or hexad repair %.60s; where a zone has too few servers: hexad server add",
                 s->volume);
    }
}

/* Names of the servers that are worse than BEHIND, "b1 (DOWN), c2 (FULL)"; gives how many. */
static uint32_t name_bad(const struct status *s, char *buf, size_t cap)
{
    uint32_t count = 0;
    size_t n = 0;
    buf[0] = '\0';
    for (uint32_t i = 0; i < s->sum.geometry.server_count; i++) {
        const struct server_view *v = &s->servers[i];
        if (v->segments == 0 || takes_writes(v->worst))
            continue;
        count++;
        if (n < cap)
            n += (size_t)snprintf(buf + n, cap - n, "%s%s (%s)", n ? ", " : "", v->server.name,
                                  status_seg_word(v->worst));
    }
    return count;
}

static void advise(struct status *s)
{
    const char *action = "start the servers that are down: systemctl start hexad-segmentd on their machines";
    for (uint32_t i = 0; i < s->sum.geometry.server_count; i++) {
        if (s->servers[i].worst == SEG_STRANGER)
            action = "give the stranger back its own data directory";
        else if (s->servers[i].worst == SEG_REFUSED)
            action = "compare the certificates of both ends: hexad cert show FILE";
        else if (s->servers[i].worst == SEG_POISONED)
            action = "look at the disk of the poisoned server; it serves again by itself when the disk does";
        else if (s->servers[i].worst == SEG_FULL)
            action = "free space on the disk of the full server";
        else if (s->servers[i].worst == SEG_DAMAGED)
            action = "look at the disk of the damaged server; its peers repair what they can";
        else
            continue;
        break;
    }
    snprintf(s->action, sizeof s->action, "%s", action);
}

struct hx_scrub_status status_scrub_sum(const struct status *s)
{
    struct hx_scrub_status sum = {.cycles = UINT64_MAX};
    for (size_t i = 0; i < s->seg_count; i++) {
        const struct hx_scrub_status *c = &s->segs[i].st.scrub;
        if (!s->segs[i].known)
            continue;
        sum.cycles = c->cycles < sum.cycles ? c->cycles : sum.cycles;
        sum.asked += c->asked > c->cycles;
        sum.done += c->done;
        sum.total += c->total;
        sum.found += c->found;
        sum.mended += c->mended;
        sum.differed += c->differed;
        sum.undecided += c->undecided;
    }
    sum.cycles = sum.cycles == UINT64_MAX ? 0 : sum.cycles;
    return sum;
}

void status_judge(struct status *s)
{
    char names[400];
    for (size_t i = 0; i < s->seg_count; i++) {
        if (!s->segs[i].known)
            continue;
        s->vdl = hx_lsn_max(s->vdl, s->segs[i].st.vdl);
        s->vdl = hx_lsn_max(s->vdl, s->segs[i].st.writer.vdl);
    }
    for (uint32_t pg = 0; pg < s->sum.geometry.pg_count; pg++)
        judge_pg(s, pg);
    struct weakest m = find_weakest(s);
    uint32_t bad = name_bad(s, names, sizeof names), count = s->sum.geometry.server_count;
    s->err = m.spare_r < 0 ? HX_E_NO_READ_QUORUM : m.spare_w < 0 ? HX_E_NO_WRITE_QUORUM : bad ? HX_E_DEGRADED : 0;
    s->word = s->err == 0               ? "OK"
              : s->err == HX_E_DEGRADED ? "DEGRADED"
              : m.spare_r < 0           ? "NO READ QUORUM"
                                        : "NO WRITE QUORUM";
    if (s->err == 0)
        snprintf(s->text, sizeof s->text, "all segment servers answer");
    else
        snprintf(s->text, sizeof s->text, "%u of %u segment servers: %s; writes %u/%u (need %u), reads %u/%u (need %u)",
                 bad, count, names, m.w, m.of, m.need_w, m.r, m.of, m.need_r);
    if (s->err)
        advise(s);
    judge_degraded(s);
    uint64_t undecided = status_scrub_sum(s).undecided;
    if (s->err == 0 && undecided) {
        s->err = HX_E_DEGRADED;
        s->word = "DEGRADED";
        snprintf(s->text, sizeof s->text, "%llu pages differ between servers, and no majority tells which is right",
                 (unsigned long long)undecided);
        snprintf(s->action, sizeof s->action, "start the members that are down, then: hexad scrub %.60s", s->volume);
    }
    s->writer = json_loads(s->sum.writer_text, 0, NULL);
}
