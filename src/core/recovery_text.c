/*
 * recovery_text.c - what an opening waits for, in one line of words.
 *
 * Names the first PG that is not where it should be, how many of its servers are, how many are needed, and
 * what is known about the others.  Decides nothing; pure, no memory.
 */
#include "recovery_int.h"

#include "hexad/assert.h"

#include <stdarg.h>
#include <stdio.h>

struct text {
    char *p;
    size_t cap, len;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...)
{
    va_list args;
    if (t->len + 1 >= t->cap)
        return;
    va_start(args, format);
    int n = vsnprintf(t->p + t->len, t->cap - t->len, format, args);
    va_end(args);
    t->len += n > 0 ? (size_t)n : 0;
    if (t->len >= t->cap)
        t->len = t->cap - 1;
}

static const char *name_of(const struct hx_recovery *r, uint32_t pg, unsigned slot)
{
    return hx_ask_server(&r->ask, rec_server_of(r, pg, slot))->name;
}

/* Silence is shown by names only, any other trouble with its reason. */
static bool silent(int err)
{
    return err == 0 || err == HX_E_TIMEOUT || err == HX_E_CONNECT || err == HX_E_CLOSED;
}

static const struct hx_ask_task *task_of(const struct hx_recovery *r, uint32_t pg, unsigned slot)
{
    bool meta = r->state == HX_RECOVERY_GEOMETRY || r->state == HX_RECOVERY_ADOPT;
    return meta ? &r->meta[slot] : &r->pgs[pg]->m[slot].task;
}

static bool wanting(const struct hx_recovery *r, const struct rec_pg *p, unsigned slot)
{
    const struct rec_member *m = &p->m[slot];
    if (!rec_is_member(r, p->index, slot))
        return false;
    switch (r->state) {
    case HX_RECOVERY_CLAIM:
        return !m->answered;
    case HX_RECOVERY_FENCE:
        return !m->answered || !m->inv.hydrated;
    case HX_RECOVERY_DECIDE:
        return !m->answered || !m->inv.hydrated || rec_may_hold(&m->inv, r->stop);
    case HX_RECOVERY_REPAIR:
        return !rec_complete(p, m) || (m->unsure && p->entry_count == 0);
    default:
        return !hx_members_has(r->meta_done, slot);
    }
}

static const char *reason(const struct hx_recovery *r, const struct rec_pg *p, unsigned slot)
{
    const struct rec_member *m = &p->m[slot];
    int err = task_of(r, p->index, slot)->last_err;
    if (m->refused)
        return "has granted this epoch to another client";
    if (!silent(err))
        return hx_err_text(err);
    if (!m->answered || r->state >= HX_RECOVERY_GEOMETRY)
        return NULL; /* silent */
    if (!m->inv.hydrated)
        return "is still being filled";
    if (r->state == HX_RECOVERY_DECIDE)
        return "has a damaged record there";
    if (r->state == HX_RECOVERY_REPAIR && m->unsure)
        return "is damaged above it";
    return err == 0 ? "is behind" : NULL;
}

static void put_wanting(const struct hx_recovery *r, const struct rec_pg *p, struct text *t)
{
    const char *before = " (";
    bool any = false;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!wanting(r, p, i) || reason(r, p, i) != NULL)
            continue;
        put(t, "%s%s", any ? " " : " (silent: ", name_of(r, p->index, i));
        any = true;
    }
    if (any)
        before = "; ";
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const char *why = wanting(r, p, i) ? reason(r, p, i) : NULL;
        if (why == NULL)
            continue;
        put(t, "%s%s: %s", before, name_of(r, p->index, i), why);
        before = "; ";
        any = true;
        if (r->state == HX_RECOVERY_REPAIR && p->m[i].scl_known)
            put(t, ", complete through LSN %llu", (unsigned long long)p->m[i].scl.v);
    }
    if (any)
        put(t, ")");
}

static void put_pg(const struct hx_recovery *r, const struct rec_pg *p, struct text *t)
{
    hx_members set = 0;
    for (unsigned i = 0; i < HX_COPIES; i++)
        if (!wanting(r, p, i) && rec_is_member(r, p->index, i))
            set = hx_members_add(set, i);
    bool evidence = r->state == HX_RECOVERY_FENCE || r->state == HX_RECOVERY_DECIDE;
    unsigned have = hx_members_count(evidence ? rec_evidence(p, set) : set);
    unsigned long long epoch = (unsigned long long)r->epoch.v, last = (unsigned long long)p->last.v;
    const struct hx_pg_members *row = rec_row(r, p->index);
    unsigned need = hx_row_write_quorum(row);
    put(t, "PG %u: %u of %u servers ", p->index, have, hx_members_count(hx_row_slots(row)));
    switch (r->state) {
    case HX_RECOVERY_CLAIM:
        put(t, "granted epoch %llu, %u needed", epoch, need);
        break;
    case HX_RECOVERY_FENCE:
        put(t, "answered, %u needed", need);
        break;
    case HX_RECOVERY_DECIDE:
        put(t, "surely never had LSN %llu, %u needed", (unsigned long long)r->stop.v,
            hx_row_read_quorum(row));
        break;
    case HX_RECOVERY_REPAIR:
        put(t, "are complete through LSN %llu, %u needed", last, need);
        break;
    default:
        put(t, "stored the %s of epoch %llu, %u needed",
            r->state == HX_RECOVERY_GEOMETRY ? "geometry" : "history", epoch, need);
    }
    put_wanting(r, p, t);
}

static bool waits(const struct hx_recovery *r, const struct rec_pg *p)
{
    switch (r->state) {
    case HX_RECOVERY_FENCE:
        return !p->ready;
    case HX_RECOVERY_DECIDE:
        return !rec_denied(r, p, r->stop);
    case HX_RECOVERY_REPAIR:
        return !p->complete;
    default:
        return p->index == 0;
    }
}

void hx_recovery_waiting(const struct hx_recovery *r, char *text, size_t cap)
{
    struct text t = {text, cap, 0};
    if (cap == 0)
        return;
    text[0] = '\0';
    if (r->state == HX_RECOVERY_FAILED) {
        put(&t, "%s", r->why);
    } else if (r->state == HX_RECOVERY_OPEN) {
        put(&t, "open, epoch %llu", (unsigned long long)hx_history_top(&r->result.history).v);
    } else if (r->pgs == NULL) {
        put(&t, "another client claimed epoch %llu; trying again shortly", (unsigned long long)r->epoch_seen.v);
    } else {
        for (uint32_t p = 0; p < r->pg_count; p++) {
            if (waits(r, r->pgs[p])) {
                put_pg(r, r->pgs[p], &t);
                return;
            }
        }
    }
}
