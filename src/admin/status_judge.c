/*
 * status_judge.c - from what the servers said to states, lags and one judgement.  Pure but for allocation by jansson.
 *
 *   J1 A member counts for writing when it answers, is the one that the volume knows, and takes appends.
 *   J2 A member counts for reading when it answers and has its data, even when its disk is full.
 *   J3 The weakest PG decides for the volume.
 * Lag is measured against the best member of the same PG, not against the VDL itself: a PG that nobody writes to stays
 * where it is while the VDL rises.  What is above the VDL is not owed by anybody yet.
 */
#include "status.h"

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
        if (!segs[i].known || s->servers[segs[i].server].stranger)
            continue;
        uint64_t scl = hx_lsn_min(segs[i].st.scl, s->vdl).v;
        best = scl > best ? scl : best;
        pages = segs[i].st.pages > pages ? segs[i].st.pages : pages;
    }
    s->used_bytes += pages << HX_PAGE_SHIFT;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        struct server_view *v = &s->servers[segs[i].server];
        segs[i].lag = segs[i].known && segs[i].st.scl.v < best ? best - segs[i].st.scl.v : 0;
        segs[i].state = state_of(v, &segs[i]);
        v->segments++;
        v->lag = segs[i].lag > v->lag ? segs[i].lag : v->lag;
        v->worst = segs[i].state > v->worst ? segs[i].state : v->worst;
    }
}

static void count_weakest(const struct status *s, unsigned *ret_write, unsigned *ret_read)
{
    *ret_write = *ret_read = HX_COPIES;
    for (size_t pg = 0; pg < s->sum.geometry.pg_count; pg++) {
        unsigned w = 0, r = 0;
        for (unsigned i = 0; i < HX_COPIES; i++) {
            w += takes_writes(s->segs[pg * HX_COPIES + i].state);
            r += serves_reads(s->segs[pg * HX_COPIES + i].state);
        }
        *ret_write = w < *ret_write ? w : *ret_write;
        *ret_read = r < *ret_read ? r : *ret_read;
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
    unsigned w, r;
    for (size_t i = 0; i < s->seg_count; i++) {
        if (!s->segs[i].known)
            continue;
        s->vdl = hx_lsn_max(s->vdl, s->segs[i].st.vdl);
        s->vdl = hx_lsn_max(s->vdl, s->segs[i].st.writer.vdl);
    }
    for (uint32_t pg = 0; pg < s->sum.geometry.pg_count; pg++)
        judge_pg(s, pg);
    count_weakest(s, &w, &r);
    uint32_t bad = name_bad(s, names, sizeof names), count = s->sum.geometry.server_count;
    s->err = r < HX_READ_QUORUM ? HX_E_NO_READ_QUORUM : w < HX_WRITE_QUORUM ? HX_E_NO_WRITE_QUORUM
                                                       : bad                ? HX_E_DEGRADED
                                                                            : 0;
    s->word = s->err == 0               ? "OK"
              : s->err == HX_E_DEGRADED ? "DEGRADED"
              : r < HX_READ_QUORUM      ? "NO READ QUORUM"
                                        : "NO WRITE QUORUM";
    if (s->err == 0)
        snprintf(s->text, sizeof s->text, "all segment servers answer");
    else
        snprintf(s->text, sizeof s->text, "%u of %u segment servers: %s; writes %u/6 (need %d), reads %u/6 (need %d)",
                 bad, count, names, w, HX_WRITE_QUORUM, r, HX_READ_QUORUM);
    if (s->err)
        advise(s);
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
