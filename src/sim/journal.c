/*
 * journal.c - the changes of all epochs, and the model of the official prefix (journal.h).
 *
 * The model at the last opening is kept, so an opening costs what the epochs since then did, and a copy.  An opening
 * that is told late (its client was stopped, and another took over meanwhile) is older than that: its model is made
 * from the start.
 */
#include "journal.h"

#include "oracle.h"

#include "hexad/assert.h"

#include <stdlib.h>
#include <string.h>

struct change {
    uint64_t cpl;
    struct hx_act act;
};
struct epoch_log {
    uint64_t epoch, barrier; /* barrier: CPL through which a program was told that it is durable; 0: none */
    struct change *at;       /* owned; ascending by CPL */
    size_t count, cap;
};
struct hx_journal {
    struct hx_sim *s;         /* borrowed */
    struct epoch_log *epochs; /* owned; ascending */
    size_t count, cap;
    struct hx_history known;  /* of the newest opening */
    struct hx_tree *base;     /* owned: the prefix of `known` */
    uint64_t tags, total;
};

struct hx_journal *hx_journal_new(struct hx_sim *s)
{
    struct hx_journal *j = calloc(1, sizeof *j);
    hx_assert(j);
    j->s = s;
    j->base = hx_tree_new();
    j->base->keep = true;
    return j;
}

void hx_journal_free(struct hx_journal *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->count; i++)
        free(j->epochs[i].at);
    free(j->epochs);
    hx_history_fini(&j->known);
    hx_tree_free(j->base);
    free(j);
}

uint64_t hx_journal_tag(struct hx_journal *j)
{
    return ++j->tags;
}

uint64_t hx_journal_count(const struct hx_journal *j)
{
    return j->total;
}

/* Where EPOCH is, or would be. */
static size_t place(const struct hx_journal *j, uint64_t epoch)
{
    size_t i = j->count;
    while (i > 0 && j->epochs[i - 1].epoch >= epoch)
        i--;
    return i;
}

static struct epoch_log *find(const struct hx_journal *j, uint64_t epoch)
{
    size_t i = place(j, epoch);
    return i < j->count && j->epochs[i].epoch == epoch ? &j->epochs[i] : NULL;
}

static struct epoch_log *get(struct hx_journal *j, uint64_t epoch)
{
    size_t i = place(j, epoch);
    if (i < j->count && j->epochs[i].epoch == epoch)
        return &j->epochs[i];
    if (j->count == j->cap) {
        j->cap = j->cap ? 2 * j->cap : 16;
        j->epochs = realloc(j->epochs, j->cap * sizeof *j->epochs);
        hx_assert(j->epochs);
    }
    memmove(j->epochs + i + 1, j->epochs + i, (j->count - i) * sizeof *j->epochs);
    j->count++;
    j->epochs[i] = (struct epoch_log){.epoch = epoch};
    return &j->epochs[i];
}

void hx_journal_append(struct hx_journal *j, struct hx_epoch epoch, struct hx_lsn cpl, const struct hx_act *a)
{
    struct epoch_log *l = get(j, epoch.v);
    if (l->count > 0 && l->at[l->count - 1].cpl > cpl.v)
        hx_sim_broken(j->s, "I5", "epoch %llu: a change got LSN %llu after one with %llu", (unsigned long long)epoch.v,
                      (unsigned long long)cpl.v, (unsigned long long)l->at[l->count - 1].cpl);
    if (l->count == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->at = realloc(l->at, l->cap * sizeof *l->at);
        hx_assert(l->at);
    }
    l->at[l->count++] = (struct change){cpl.v, *a};
    j->total++;
}

struct hx_lsn hx_journal_last(const struct hx_journal *j, struct hx_epoch epoch)
{
    const struct epoch_log *l = find(j, epoch.v);
    return HX_LSN(l && l->count ? l->at[l->count - 1].cpl : 0);
}

/* ---- promises ---- */
static void check_barrier(struct hx_journal *j, const struct hx_history *h, const struct epoch_log *l)
{
    if (l->barrier == 0 || l->epoch >= hx_history_top(h).v)
        return;
    if (hx_history_valid(h, HX_LSN(l->barrier), HX_EPOCH(l->epoch)))
        return;
    if (j->s->oracle && hx_oracle_excused(j->s->oracle) > 0)
        return; /* more disks lied than any quorum survives */
    hx_sim_broken(j->s, "I1", "epoch %llu was told that %llu is durable; the history of epoch %llu leaves it out",
                  (unsigned long long)l->epoch, (unsigned long long)l->barrier,
                  (unsigned long long)hx_history_top(h).v);
}

void hx_journal_durable(struct hx_journal *j, struct hx_epoch epoch, struct hx_lsn cpl)
{
    struct epoch_log *l = get(j, epoch.v);
    if (cpl.v > l->barrier)
        l->barrier = cpl.v;
    check_barrier(j, &j->known, l);
}

/* ---- the official prefix ---- */
/* The changes of EPOCH that entry E keeps, into T. */
static void replay(const struct hx_journal *j, struct hx_tree *t, uint64_t epoch, const struct hx_history_entry *e,
                   uint64_t *ret_kept, uint64_t *ret_lost)
{
    const struct epoch_log *l = find(j, epoch);
    size_t n = 0;
    while (l && n < l->count && l->at[n].cpl <= e->vdl.v)
        hx_tree_apply(t, &l->at[n++].act);
    hx_tree_forget_all(t);
    *ret_kept = n;
    *ret_lost = l ? l->count - n : 0;
}

static bool begins_with(const struct hx_history *h, const struct hx_history *start)
{
    if (h->count < start->count)
        return false;
    for (size_t i = 0; i < start->count; i++)
        if (h->e[i].epoch.v != start->e[i].epoch.v || h->e[i].vdl.v != start->e[i].vdl.v ||
            h->e[i].end.v != start->e[i].end.v || h->e[i].lal != start->e[i].lal)
            return false;
    return true;
}

static struct hx_tree *for_mount(const struct hx_tree *t)
{
    struct hx_tree *c = hx_tree_clone(t);
    c->keep = false;
    return c;
}

struct hx_tree *hx_journal_opened(struct hx_journal *j, const struct hx_history *h, uint64_t *ret_kept,
                                  uint64_t *ret_lost)
{
    *ret_kept = *ret_lost = 0;
    for (size_t i = 0; i < j->count; i++)
        check_barrier(j, h, &j->epochs[i]);
    if (begins_with(h, &j->known)) {
        for (size_t i = j->known.count ? j->known.count : 1; i < h->count; i++)
            replay(j, j->base, h->e[i - 1].epoch.v, &h->e[i], ret_kept, ret_lost);
        int rc = hx_history_copy(&j->known, h);
        hx_assert(rc == 0);
        return for_mount(j->base);
    }
    if (!begins_with(&j->known, h))
        hx_sim_broken(j->s, "I3", "epoch %llu opened with a history that epoch %llu did not have",
                      (unsigned long long)hx_history_top(h).v, (unsigned long long)hx_history_top(&j->known).v);
    struct hx_tree *t = hx_tree_new();
    t->keep = true;
    for (size_t i = 1; i < h->count; i++)
        replay(j, t, h->e[i - 1].epoch.v, &h->e[i], ret_kept, ret_lost);
    t->keep = false;
    return t;
}
