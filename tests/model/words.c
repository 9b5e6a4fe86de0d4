/*
 * words.c - steps and states in words, for counterexamples.
 *
 * Members have letters, A to F for PG 0 and on from there for PG 1; they keep them through a counterexample,
 * though the search sorts them.  Records are named by LSN and epoch.  Nothing here is used by the search
 * itself.
 */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *p;
    size_t size, len;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->p + t->len, t->size - t->len, format, args);
    va_end(args);
    t->len += n > 0 && (size_t)n < t->size - t->len ? (size_t)n : 0;
}

const char *md_words_set(const struct md_ctx *c, unsigned pg, unsigned set, char *out)
{
    char *p = out;
    for (unsigned i = 0; pg < c->cfg->pgs && i < c->slots[pg]; i++)
        if (set >> i & 1)
            *p++ = c->names[c->first[pg] + i];
    *p = '\0';
    return out;
}

static void records(const struct md_ctx *c, const struct md_facts *f, struct text *t, unsigned set)
{
    if (!set)
        add(t, "nothing");
    for (unsigned rest = set; rest; rest &= rest - 1) {
        unsigned r = (unsigned)__builtin_ctz(rest);
        add(t, "%sLSN %u (epoch %u)", rest == set ? "" : ", ", f->lsn[r + 1], c->num[c->rec_by[r]]);
    }
}

/* What the step moved on for the attempt. */
static void moved(const struct md_ctx *c, const struct md_facts *f, const struct md_state *before,
                  const struct md_state *after, struct text *t)
{
    for (unsigned a = 0; a < c->cfg->attempts; a++) {
        uint32_t was = before->a[a], is = after->a[a];
        if (md_status(was) != md_status(is) && md_status(is) == MD_OPEN)
            add(t, ": epoch %u is OPEN", c->num[a]);
        else if (md_status(was) == MD_REPAIR && md_status(is) > MD_REPAIR)
            add(t, ": enough members of every PG are complete");
        if (md_status(is) == MD_OPEN && md_acked(is) > md_acked(was))
            add(t, ": the VDL of epoch %u is now LSN %u, acknowledged", c->num[a],
                f->lsn[md_vdl_place(c, after, a)]);
        if (md_status(is) == MD_OPEN && md_status(was) == MD_OPEN && md_ver(is) != md_ver(was))
            add(t, ": version %u of the geometry is in use", md_ver(is) + 1);
    }
}

static void member_step(const struct md_ctx *c, const struct md_facts *f, const struct md_state *s,
                        const struct md_step *step, struct text *t)
{
    char who = c->names[step->slot];
    unsigned e = c->num[step->a];
    switch (step->kind) {
    case MD_S_FENCE:
        add(t, "FENCE(%u) reaches %c: it promises and answers with the history of epoch %u and ", e, who,
            c->num[md_hist(s->m[step->slot])]);
        records(c, f, t, md_held(s->m[step->slot]) & ~md_below(md_hint(s->m[step->slot])));
        break;
    case MD_S_FENCE_LATE:
        add(t, "FENCE(%u) reaches %c, which promises; nobody waits for its answer", e, who);
        break;
    case MD_S_INVENTORY:
        add(t, "opening %u takes the inventory of %c, which promises nothing: ", e, who);
        records(c, f, t, md_held(s->m[step->slot]));
        break;
    case MD_S_REPAIR:
        add(t, "REPAIR(%u) reaches %c with ", e, who);
        records(c, f, t, md_union(s->a[step->a]) & c->pg_mask[step->pg]);
        break;
    case MD_S_PARENT:
        add(t, "ADOPT(%u) of the parent history reaches %c", e, who);
        break;
    case MD_S_GEOMETRY:
        add(t, "GEOMETRY(%u) with version %u reaches %c", e, step->rec + 1u, who);
        break;
    case MD_S_ADOPT:
        add(t, "ADOPT(%u) reaches %c, which takes the history of epoch %u", e, who, e);
        break;
    case MD_S_APPEND:
        add(t, "APPEND(%u) of LSN %u reaches %c", e, f->lsn[step->rec + 1], who);
        break;
    case MD_S_RECORD:
        add(t, "gossip: %c gets LSN %u (epoch %u) from a peer", who, f->lsn[step->rec + 1],
            c->num[c->rec_by[step->rec]]);
        break;
    case MD_S_HISTORY:
        add(t, "gossip: %c takes the history of epoch %u from a peer", who, e);
        break;
    default:
        add(t, "step %u at %c", step->kind, who);
    }
}

void md_words_step(struct md_ctx *c, const struct md_state *before, const struct md_state *after,
                   const struct md_step *step, char *out, size_t size)
{
    struct text t = {out, size, 0};
    struct md_facts f = *md_facts(c, after);
    char who = c->names[step->slot];
    unsigned e = c->num[step->a];
    *out = '\0';
    switch (step->kind) {
    case MD_S_DECIDE: {
        uint32_t w = after->a[step->a];
        add(&t, "opening %u decides: parent history of epoch %u, VDL' = LSN %u, end' = LSN %u; log: ", e,
            c->num[md_parent(w)], f.lsn[md_vdl(w)], f.end[step->a]);
        records(c, &f, &t, f.log[step->a]);
        break;
    }
    case MD_S_ANNOUNCE:
        add(&t, "the writer of epoch %u announces LSN %u as durable to %c", e, f.lsn[step->rec], who);
        break;
    case MD_S_PURGE:
        add(&t, "%c removes the records that epoch %u voids", who, e);
        break;
    case MD_S_DAMAGE:
        add(&t, "LSN %u (epoch %u) is damaged on %c", f.lsn[step->rec + 1], c->num[c->rec_by[step->rec]],
            who);
        break;
    case MD_S_CRASH:
        if (step->pg == MD_PGS)
            add(&t, "the power fails everywhere: LSN %u was not flushed", f.lsn[step->rec + 1]);
        else
            add(&t, "%c is killed and started again: it has forgotten its promise", who);
        break;
    case MD_S_WIPE:
        add(&t, "the disk of %c is gone", who);
        break;
    case MD_S_ROLLBACK:
        add(&t, "%c comes back with an older image of its disk", who);
        break;
    case MD_S_PUBLISH:
        add(&t, "the writer of epoch %u begins to publish version %u of the geometry", e, step->rec + 1u);
        break;
    case MD_S_RETIRE:
        add(&t, "the segment of %c, which version %u does not name, is deleted under epoch %u", who,
            md_ver(before->a[step->a]) + 1, e);
        break;
    case MD_S_HALF:
    case MD_S_HYDRATED:
        add(&t, "%c copies %s of the pages as of LSN %u from a peer", who,
            step->kind == MD_S_HALF ? "the first half" : "the other half", f.lsn[step->rec]);
        break;
    case MD_S_FORMAT:
        add(&t, "FORMAT(%u) makes the new member %c", e, who);
        break;
    default:
        member_step(c, &f, before, step, &t);
    }
    moved(c, &f, before, after, &t);
}

void md_words_state(struct md_ctx *c, const struct md_state *s)
{
    struct md_facts f = *md_facts(c, s);
    for (unsigned a = 1; a < c->cfg->attempts; a++) {
        static const char *const names[] = {"claims", "decided, writes back", "stores the geometry", "adopts",
                                            "OPEN"};
        uint32_t w = s->a[a];
        printf("   epoch %u: %s", c->num[a], names[md_status(w)]);
        if (md_status(w) != MD_CLAIM)
            printf(", parent epoch %u, VDL' LSN %u, end' LSN %u", c->num[md_parent(w)], f.lsn[md_vdl(w)],
                   f.end[a]);
        printf("\n");
    }
    for (unsigned p = 0; p < c->cfg->pgs; p++)
        for (unsigned i = c->first[p]; i < c->first[p] + c->slots[p]; i++) {
            char line[400] = "";
            struct text t = {line, sizeof line, 0};
            uint64_t m = s->m[i];
            records(c, &f, &t, md_held(m));
            if (md_unknown(m))
                add(&t, "; LSN %u is damaged", f.lsn[md_unknown(m)]);
            if (md_hint(m))
                add(&t, "; knows LSN %u as durable", f.lsn[md_hint(m)]);
            if (md_base(m))
                add(&t, "; pages copied as of LSN %u", f.lsn[md_base(m)]);
            if (c->versions > 1 && p == 0)
                add(&t, "; geometry version %u of epoch %u", md_geo(m) + 1, c->num[md_geo_by(m)]);
            if (md_absent(m) || md_lost(m))
                printf("   %c (PG %u): %s\n", c->names[i], p, md_lost(m) ? "wiped" : "not made");
            else
                printf("   %c (PG %u): promised %u, history of epoch %u, holds %s\n", c->names[i], p,
                       c->num[md_promise(m)], c->num[md_hist(m)], line);
        }
}
