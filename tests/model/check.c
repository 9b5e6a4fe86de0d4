/*
 * check.c - the invariants, in every state.  Names are those of the list that doc/MODEL.md repeats.
 *
 *   I1  What an open epoch acknowledged, or exposed by opening, is in the log of every decision of a higher
 * epoch, made already or later; and any read quorum of survivors in every PG recovers it, and has its bytes.
 *   I3  One decision per epoch: no number opens twice; no LSN is allocated by two open epochs; no history is
 * replaced by one with a lower top. I4  What was annulled stays so: no such log has a record at or below a
 * VDL that was exposed without it. I5  A VDL is the end of an MTR. I6  What a member serves at a read point
 * it accepts is exactly the official records up to there. I8  A step of membership loses nothing: this is I1
 * and I4 in the configurations where members change; and whoever the version in use names was not deleted.
 *   I11 What is damaged never passes for what never was.
 *   WEDGE  No recovery binds a history whose records nobody has.
 *   LOSS   No recovery claims a loss where nothing is lost.
 * Reads nothing but the state; says the first thing it finds.
 */
#include "model.h"

#include <stdio.h>

/* Records of LOG with an LSN at or below that of PLACE. */
static unsigned up_to(const struct md_facts *f, unsigned log, unsigned place)
{
    unsigned set = 0;
    for (unsigned rest = log; rest; rest &= rest - 1)
        if (f->lsn[__builtin_ctz(rest) + 1] <= f->lsn[place])
            set |= rest & -rest;
    return set;
}

/* LOG was decided, or would be, after A exposed what it has. */
static const char *compare(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s,
                           unsigned a, unsigned log)
{
    unsigned shown = md_exposed(c, f, s, a);
    if (shown & ~log)
        return "I1";
    return up_to(f, log, md_vdl_place(c, s, a)) & ~shown ? "I4" : NULL;
}

static const char *check_decisions(const struct md_ctx *c, const struct md_state *s, char *why, size_t size)
{
    const struct md_facts *f = &c->f;
    unsigned n = c->cfg->attempts;
    for (unsigned a = 0; a < n; a++) {
        bool open = md_status(s->a[a]) == MD_OPEN;
        unsigned vdl = open ? md_vdl_place(c, s, a) : md_vdl(s->a[a]);
        if (md_status(s->a[a]) != MD_CLAIM && vdl && !(c->cpl_mask >> (vdl - 1) & 1)) {
            snprintf(why, size, "the VDL of epoch %u, LSN %u, is not the end of an MTR", c->num[a],
                     f->lsn[vdl]);
            return "I5";
        }
        for (unsigned b = 0; open && b < n; b++) {
            bool decided = md_status(s->a[b]) != MD_CLAIM;
            if (b == a || !decided)
                continue;
            if (md_status(s->a[b]) == MD_OPEN && b > a && c->num[a] == c->num[b]) {
                snprintf(why, size, "epoch %u is open twice", c->num[a]);
                return "I3";
            }
            unsigned from = f->lsn[vdl] > f->end[a] ? f->lsn[vdl] : f->end[a];
            if (md_status(s->a[b]) == MD_OPEN && c->num[b] > c->num[a] && c->cfg->lal &&
                f->end[b] < from + c->cfg->lal) {
                snprintf(why, size, "epoch %u may allocate LSN %u, epoch %u begins with LSN %u", c->num[a],
                         from + c->cfg->lal, c->num[b], f->end[b] + 1);
                return "I3";
            }
            if (c->num[b] <= c->num[a])
                continue;
            const char *bad = compare(c, f, s, a, f->log[b]);
            if (!bad)
                continue;
            snprintf(why, size, "epoch %u has acknowledged or shown LSN %u; the log that epoch %u decided %s",
                     c->num[a], f->lsn[vdl], c->num[b],
                     *bad == 'I' && bad[1] == '1' ? "lacks some of it" : "has more below it");
            return bad;
        }
    }
    return NULL;
}

static const char *check_reads(const struct md_ctx *c, const struct md_state *s, char *why, size_t size)
{
    const struct md_facts *f = &c->f;
    for (unsigned p = 0; p < c->cfg->pgs; p++)
        for (unsigned i = c->first[p]; i < c->first[p] + c->slots[p]; i++) {
            uint64_t m = s->m[i];
            unsigned a = md_hist(m), held = md_held(m) & c->pg_mask[p];
            if (!md_active(m) || md_status(s->a[a]) != MD_OPEN || c->num[md_promise(m)] != c->num[a])
                continue;
            unsigned scl = md_scl_of(c, f, a, m, p), vdl = md_vdl_place(c, s, a);
            unsigned point = f->lsn[scl] < f->lsn[vdl] ? scl : vdl;
            /* What is in copied pages stays there, whatever a history says. */
            unsigned baked = f->valid[a] | md_below(md_base(m));
            unsigned serves = up_to(f, MD_MUT(c, SCL_RAW) ? held : held & baked, point);
            unsigned official = up_to(f, md_exposed(c, f, s, a) & c->pg_mask[p], point);
            if (serves == official)
                continue;
            snprintf(why, size,
                     "a read of PG %u at LSN %u from a member that is complete through LSN %u would %s", p,
                     f->lsn[point], f->lsn[scl],
                     serves & ~official ? "contain a void record" : "lack a record");
            return "I6";
        }
    return NULL;
}

/* I8: without faults, whoever the version in use names has kept what it was given.  (Deleted members do not answer, so
 * no recovery goes wrong by them; but each is a loss that nobody suffered.) */
static const char *check_kept(const struct md_ctx *c, const struct md_state *s, char *why, size_t size)
{
    unsigned pg = c->cfg->moving, used = 0;
    if (c->cfg->wipes || !(c->cfg->flags & MD_DIRECT))
        return NULL;
    for (unsigned a = 0; a < c->cfg->attempts; a++)
        if (md_status(s->a[a]) == MD_OPEN)
            used = md_ver(s->a[a]);
    for (unsigned i = 0; i < c->slots[pg]; i++)
        if (md_listed(c, pg, used) >> i & 1 && md_lost(s->m[c->first[pg] + i])) {
            snprintf(why, size, "%c was deleted, and version %u, which is in use, names it",
                     c->names[c->first[pg] + i], used + 1);
            return "I8";
        }
    return NULL;
}

/* ---- survivors ---- */

static void add_survivor(const struct md_ctx *c, uint64_t m, unsigned pg, unsigned i, struct md_answers *v,
                         unsigned *best_by, unsigned *bytes)
{
    const struct md_facts *f = &c->f;
    v->set[pg] |= 1u << i;
    v->found |= md_held(m) & ~md_below(md_hint(m));
    *bytes |= md_held(m);
    v->damaged[pg][i] = md_unknown(m);
    if (f->lsn[md_hint(m)] > f->lsn[v->start])
        v->start = md_hint(m);
    if (pg > 0)
        return;
    if (c->num[md_hist(m)] > c->num[v->parent])
        v->parent = md_hist(m);
    unsigned by = md_geo_by(m);
    if (c->num[by] > c->num[*best_by] || (c->num[by] == c->num[*best_by] && md_geo(m) > v->ver)) {
        *best_by = by;
        v->ver = md_geo(m);
    }
}

static const char *judge(const struct md_ctx *c, const struct md_state *s, struct md_answers *v,
                         unsigned bytes, char *why, size_t size)
{
    const struct md_facts *f = &c->f;
    unsigned start = 0;
    v->found &= MD_MUT(c, UNION_RAW) ? ~0u : f->valid[v->parent];
    int vdl = md_walk(c, f, s, v, &start);
    if (vdl == MD_WAIT)
        return NULL; /* it waits for somebody, it does not guess */
    /* It takes three undamaged answers to know where an idle PG ends: with fewer it waits, too. */
    for (unsigned p = 0; start && p < c->cfg->pgs; p++)
        for (unsigned i = 0; i < c->slots[p]; i++)
            if (v->set[p] >> i & 1 && v->damaged[p][i] && f->lsn[v->damaged[p][i]] <= f->lsn[start])
                return NULL;
    if (vdl < 0) {
        char who[MD_SLOTS + 1];
        snprintf(why, size, "a recovery with %s of PG 0 cannot bind the history of epoch %u",
                 md_words_set(c, 0, v->set[0], who), c->num[v->parent]);
        return vdl == -MD_WEDGED ? "WEDGE" : "LOSS";
    }
    unsigned log = up_to(f, f->valid[v->parent], (unsigned)vdl);
    for (unsigned a = 0; a < c->cfg->attempts; a++) {
        if (md_status(s->a[a]) != MD_OPEN)
            continue;
        const char *bad = compare(c, f, s, a, log);
        if (!bad && md_exposed(c, f, s, a) & ~bytes)
            bad = "I1";
        if (!bad)
            continue;
        char who[MD_SLOTS + 1], more[MD_SLOTS + 1];
        snprintf(
            why, size,
            "epoch %u has acknowledged or shown LSN %u; a recovery that finds %s%s%s ends at LSN %u and %s",
            c->num[a], f->lsn[md_vdl_place(c, s, a)], md_words_set(c, 0, v->set[0], who),
            v->set[1] ? " and of PG 1 " : "", md_words_set(c, 1, v->set[1], more), f->lsn[vdl],
            *bad == 'I' && bad[1] == '1' ? "lacks some of it" : "has an annulled record");
        return bad;
    }
    return NULL;
}

static bool readable(const struct md_ctx *c, unsigned ver, unsigned set)
{
    const struct md_view *v = &c->view[ver];
    for (unsigned l = 0; l < v->lists[0] && !MD_MUT(c, SWAP_LITERAL); l++)
        if ((unsigned)__builtin_popcount(set & v->list[0][l]) < (v->r[0] ? v->r[0] : c->cfg->r))
            return false;
    return md_read_quorum(c, 0, ver, set);
}

/* May SET be all that answers of PG?  PG 0 holds the memberships themselves: a claim by what the set itself
 * knows is anybody's; with fewer it is the operator's business, and then as many must be left of every list
 * that it knows, and of every list in use. */
static bool enough(const struct md_ctx *c, const struct md_state *s, unsigned pg, unsigned ver, unsigned set)
{
    unsigned used = 0;
    if (pg > 0)
        return md_read_quorum(c, pg, ver, set);
    for (unsigned a = 0; a < c->cfg->attempts; a++)
        if (md_status(s->a[a]) == MD_OPEN)
            used = md_ver(s->a[a]);
    return md_claim_quorum(c, ver, set, 0) || (readable(c, ver, set) && readable(c, used, set));
}

/* Every set that may answer for PG and the PGs after it; of interchangeable members, the first ones. */
static const char *choose(const struct md_ctx *c, const struct md_state *s, unsigned pg,
                          const struct md_answers *sofar, unsigned bytes, char *why, size_t size)
{
    const uint64_t *m = &s->m[c->first[pg]];
    const unsigned *class = &c->class_of[c->first[pg]];
    unsigned all = 0, rolled = 0, most = c->versions > 1 ? c->cfg->w + 1 : c->cfg->r, twins = 0, least = c->cfg->r;
    for (unsigned v = 0; v < c->versions; v++)
        least = c->view[v].r[pg] && c->view[v].r[pg] < least ? c->view[v].r[pg] : least;
    for (unsigned i = 0; i < c->slots[pg]; i++) {
        all |= (unsigned)md_active(m[i]) << i;
        rolled |= (unsigned)md_rolled(m[i]) << i; /* lost, if it came to that: but it answers */
        twins |= (unsigned)(i > 0 && m[i] == m[i - 1] && class[i] == class[i - 1]) << i;
    }
    for (unsigned set = 1; set <= all; set++) {
        struct md_answers v = *sofar;
        unsigned by = 0, got = bytes, size_of = (unsigned)__builtin_popcount(set & ~rolled);
        if (set & ~all || size_of < least || size_of > most || twins & set & ~(set << 1))
            continue;
        for (unsigned i = 0; i < c->slots[pg]; i++)
            if (set >> i & 1)
                add_survivor(c, m[i], pg, i, &v, &by, &got);
        if (!enough(c, s, pg, v.ver, set & ~rolled))
            continue;
        const char *bad = pg + 1 < c->view[v.ver].pgs ? choose(c, s, pg + 1, &v, got, why, size)
                                                      : judge(c, s, &v, got, why, size);
        if (bad)
            return bad;
    }
    return NULL;
}

const char *md_check(struct md_ctx *c, const struct md_state *s, char *why, size_t size)
{
    md_facts(c, s);
    switch (md_broken(s->world)) {
    case MD_WEDGED:
        snprintf(why, size, "a recovery binds a history, and nobody who answered has its records");
        return "WEDGE";
    case MD_LOSS_CLAIMED:
        snprintf(why, size, "a recovery is told of a durable LSN that no history of PG 0 contains");
        return "LOSS";
    case MD_BEYOND:
        snprintf(why, size, "a member is complete beyond the last record of the log that was decided");
        return "I4";
    case MD_SHORT:
        snprintf(why, size,
                 "an opening takes a PG to end before a record that is durable: damage passed for absence");
        return "I11";
    default:
        break;
    }
    const char *bad = check_decisions(c, s, why, size);
    if (!bad)
        bad = check_reads(c, s, why, size);
    if (!bad)
        bad = check_kept(c, s, why, size);
    struct md_answers none = {0};
    return bad ? bad : choose(c, s, 0, &none, 0, why, size);
}
