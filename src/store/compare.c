/*
 * compare.c - finds pages that differ between members although every copy is whole, says which copy is right, mends.
 *
 * The second part of a scrub (pace.c).  A range of pages at a time, as of a read point that is stable here (at or
 * below hint and SCL): the heads of groups of pages are compared with those of two members, the next range with the
 * next ones: so of two copies that have diverged in the same way each meets one of the others, in every range.
 *
 *   IDLE ---> GROUPS ---> IDLE            all heads are alike: on with the next range
 *     ^         |
 *     |         v                         a group differs: what do the others have of its pages?
 *     +------ VOTE <--+                   every other member is asked, one after the other
 *     |         |-----+
 *     |         v
 *     +------- MEND                       pages of our own that are wrong, from one who has the right ones
 *
 *   Y1 A page of ours is wrong when another content has a majority: four members, or three while nobody else agrees
 *      with anybody.  It is never replaced for less, and only by bytes with just that LSN and crc.  Where neither holds
 *      for ours either it is undecided, counted, and left as it is.
 *   Y2 A page found wrong is CORRUPT at once (page.c), so that readers go elsewhere, and until the right image is
 *      durable; for read points below that image it stays so.  A restart forgets this, and finds the image.  One that
 *      nobody would give is judged anew in each cycle: it gets the bytes that are right then, or is right itself.
 *   Y3 Members whose copy is damaged, or who do not answer, have no vote; each member mends itself only.
 *   Y4 Answers count under the history under which they were asked, as in gossip.c; one call at a time (E1 there).
 * Whoever gets no answer goes on elsewhere, and gives the rest of the cycle up after FAILS_MAX of them in a row.
 * Memory: a struct hx_compare while it goes on; an entry for each wrong page until no read point needs to know.
 */
#include "node_private.h"

#include <stdlib.h>

#define GROUP 32u
#define GROUPS 64u
#define FAILS_MAX 12u
#define CHARGE 4096u
_Static_assert(GROUP <= HX_MEND_PAGES && GROUP <= HX_DIGEST_PAGES_MAX && GROUPS <= HX_DIGEST_HEADS_MAX, "one question");

enum state { IDLE = 0, GROUPS_ASKED, VOTE, MEND };
struct hx_compare {
    enum state state;
    uint64_t call;       /* that is under way */
    uint32_t next;       /* page from which to go on */
    bool second;         /* one member was found to have the same heads as OWN: now another one */
    struct hx_digest_ask q;
    struct hx_read_page own[GROUPS];
    struct hx_read_page votes[HX_COPIES][GROUP];
    uint32_t slots_asked, slots_told; /* a bit a member */
    unsigned self;       /* slot of our own; HX_COPIES: none */
    uint32_t wrong[GROUP], wrong_count; /* pages to be mended, and what they should be */
    struct hx_read_page right[GROUP];
    uint32_t mend_asked;
};

void hx_compare_forget(struct hx_seg *s)
{
    free(s->compare);
    s->compare = NULL;
}

/* ---- pages that are known to be wrong ---- */
bool hx_compare_is_wrong(const struct hx_seg *s, uint32_t page, uint64_t point)
{
    for (size_t i = 0; i < s->wrong_count; i++)
        if (s->wrongs[i].page == page && (!s->wrongs[i].mended || point < s->wrongs[i].lsn))
            return true; /* Y2 */
    return false;
}

void hx_compare_mended(struct hx_seg *s, uint32_t page, uint64_t lsn, uint32_t sum)
{
    for (size_t i = 0; i < s->wrong_count; i++) {
        struct hx_wrong *w = &s->wrongs[i];
        if (w->page == page && w->lsn == lsn && w->put && w->sum == sum)
            w->mended = true;
    }
}

size_t hx_compare_wrongs(const struct hx_seg *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->wrong_count; i++)
        n += !s->wrongs[i].mended;
    return n;
}

/* PAGE, which is wrong and not mended, or NULL. */
static struct hx_wrong *wrong_of(const struct hx_seg *s, uint32_t page)
{
    for (size_t i = 0; i < s->wrong_count; i++)
        if (s->wrongs[i].page == page && !s->wrongs[i].mended)
            return &s->wrongs[i];
    return NULL;
}

static int condemn(struct hx_seg *s, uint32_t page, const struct hx_read_page *right)
{
    struct hx_wrong *w = wrong_of(s, page);
    if (w) { /* since a cycle before */
        *w = (struct hx_wrong){.page = page, .lsn = right->lsn.v};
        return 0;
    }
    for (size_t i = s->wrong_count; i-- > 0;) /* those that no read asks for any more */
        if (s->wrongs[i].mended && s->floor >= s->wrongs[i].lsn)
            s->wrongs[i] = s->wrongs[--s->wrong_count];
    int err = hx_buf_grow(&s->wrongs, &s->wrong_cap, s->wrong_count, sizeof *s->wrongs);
    if (err)
        return err;
    s->wrongs[s->wrong_count++] = (struct hx_wrong){.page = page, .lsn = right->lsn.v};
    s->damaged++;
    s->scrub.differed++;
    hx_seg_touch(s);
    return 0;
}

/* Most have of PAGE what we have, at LSN: it was overwritten since. */
static void acquit(struct hx_seg *s, uint32_t page, uint64_t lsn)
{
    struct hx_wrong *w = wrong_of(s, page);
    if (!w)
        return;
    w->lsn = lsn;
    w->mended = true;
    hx_seg_touch(s);
}

/* ---- judging ---- */
static bool same(const struct hx_read_page *a, const struct hx_read_page *b)
{
    return a->state == HX_READ_RAW && b->state == HX_READ_RAW && a->lsn.v == b->lsn.v && a->crc == b->crc;
}

/* How many members have of page K what member I has; *ret_others: the most that agree on something else. */
static unsigned agree(const struct hx_compare *c, unsigned i, unsigned k, unsigned *ret_others)
{
    unsigned n = 0;
    *ret_others = 0;
    for (unsigned a = 0; a < HX_COPIES; a++) {
        unsigned with = 0;
        if (!(c->slots_told >> a & 1))
            continue;
        if (same(&c->votes[i][k], &c->votes[a][k])) {
            n++;
            continue;
        }
        for (unsigned b = 0; b < HX_COPIES; b++)
            with += (c->slots_told >> b & 1) && same(&c->votes[a][k], &c->votes[b][k]);
        *ret_others = with > *ret_others ? with : *ret_others;
    }
    return n;
}

static bool majority(unsigned n, unsigned others)
{
    return n >= HX_WRITE_QUORUM || (n >= HX_READ_QUORUM && others <= 1); /* Y1 */
}

static int judge_page(struct hx_seg *s, struct hx_compare *c, unsigned k)
{
    unsigned others, n = agree(c, c->self, k, &others);
    if (c->votes[c->self][k].state != HX_READ_RAW)
        return 0;
    if (majority(n, others))
        acquit(s, c->q.first + k, c->votes[c->self][k].lsn.v);
    if (majority(n, others) || !others)
        return 0;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (!(c->slots_told >> i & 1) || same(&c->votes[i][k], &c->votes[c->self][k]))
            continue;
        unsigned rest, with = agree(c, i, k, &rest);
        if (!majority(with, rest))
            continue;
        int err = condemn(s, c->q.first + k, &c->votes[i][k]);
        if (err)
            return err;
        c->right[c->wrong_count] = c->votes[i][k];
        c->wrong[c->wrong_count++] = c->q.first + k;
        return 0;
    }
    s->scrub.undecided_now++;
    hx_seg_touch(s);
    return 0;
}

static int judge(struct hx_seg *s, struct hx_compare *c)
{
    int err = 0;
    c->wrong_count = 0;
    c->mend_asked = 0;
    c->next = c->q.first + GROUP;
    for (unsigned k = 0; k < c->q.heads && !err; k++)
        err = judge_page(s, c, k);
    c->state = c->wrong_count ? MEND : IDLE;
    return err;
}

/* ---- asking ---- */
static int ask_heads(struct hx_node *n, struct hx_seg *s, const struct hx_server *m)
{
    struct hx_buf b = {0};
    uint8_t *p = hx_buf_add(&b, HX_DIGEST_ASK);
    if (!p)
        return HX_E_NOMEM;
    struct hx_enc e = hx_enc_init(p, b.len);
    hx_digest_ask_encode(&s->compare->q, &e);
    struct hx_call c = hx_gossip_call(s, HX_MSG_DIGEST);
    c.compare = true;
    int err = hx_gossip_post(n, m, c, s->at.pg, &b);
    s->compare->call = n->next_call;
    return err;
}

/* What we have ourselves, also of a page that was found wrong: it is judged anew. */
static int own_heads(struct hx_seg *s, struct hx_compare *c, struct hx_read_page *ret, uint32_t *ret_count,
                     size_t *ret_read)
{
    size_t wrongs = s->wrong_count;
    s->wrong_count = 0;
    int err = hx_digest_heads(s, &c->q, ret, ret_count, ret_read);
    s->wrong_count = wrongs;
    return err;
}

/* The next member in turn that is not known to be silent. */
static const struct hx_server *next_member(struct hx_node *n, struct hx_seg *s)
{
    for (unsigned k = 0; k < HX_COPIES; k++) {
        const struct hx_server *m = hx_gossip_member(n, s, s->scrub.turn++ % HX_COPIES);
        if (m && hx_gossip_reachable(n, m))
            return m;
    }
    return NULL;
}

static void failed(struct hx_node *n, struct hx_seg *s)
{
    struct hx_compare *c = s->compare;
    c->call = 0;
    s->scrub.wait_ms = n->now_ms + n->gossip_ms;
    if (c->state == GROUPS_ASKED)
        c->state = IDLE;
    c->second = false;
    if (c->state == IDLE && ++s->scrub.fails >= FAILS_MAX)
        hx_scrub_compared(s); /* nobody is there to compare with: the next cycle will see */
}

/* The same range, of another member; when there is none, one has to do. */
static void ask_second(struct hx_node *n, struct hx_seg *s)
{
    struct hx_compare *c = s->compare;
    const struct hx_server *m = next_member(n, s);
    c->second = m && !ask_heads(n, s, m);
    if (c->second)
        c->state = GROUPS_ASKED;
    else
        c->next = c->q.first + c->q.heads * GROUP;
}

static size_t ask_groups(struct hx_node *n, struct hx_seg *s)
{
    struct hx_compare *c = s->compare;
    size_t read = 0;
    uint32_t count = 0;
    if (c->second) {
        ask_second(n, s);
        return 0;
    }
    c->q = (struct hx_digest_ask){HX_LSN(s->chain.hint < s->chain.scl ? s->chain.hint : s->chain.scl), c->next, GROUP,
                                  GROUPS};
    const struct hx_server *m = c->q.point.v < s->oldest ? NULL : next_member(n, s);
    int err = m ? own_heads(s, c, c->own, &count, &read) : HX_E_AGAIN;
    c->q.heads = count;
    if (!err)
        err = ask_heads(n, s, m);
    if (err)
        failed(n, s);
    else
        c->state = GROUPS_ASKED;
    return read * HX_PAGE_SIZE;
}

/* A group differs: what we have of its pages ourselves, then what the others have. */
static int begin_vote(struct hx_node *n, struct hx_seg *s, uint32_t group)
{
    struct hx_compare *c = s->compare;
    size_t read;
    c->q = (struct hx_digest_ask){c->q.point, c->q.first + group * GROUP, 1, GROUP};
    c->next = c->q.first;
    c->self = hx_gossip_own_slot(n, s);
    if (c->self == HX_COPIES) /* by a newer geometry */
        return HX_E_AGAIN;
    int err = own_heads(s, c, c->votes[c->self], &c->q.heads, &read);
    c->slots_asked = c->slots_told = 1u << c->self;
    c->state = err ? IDLE : VOTE;
    return err;
}

static void ask_vote(struct hx_node *n, struct hx_seg *s)
{
    struct hx_compare *c = s->compare;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        if (c->slots_asked >> i & 1)
            continue;
        c->slots_asked |= 1u << i;
        const struct hx_server *m = hx_gossip_member(n, s, i);
        if (m && hx_gossip_reachable(n, m) && !ask_heads(n, s, m))
            return;
    }
    if (judge(s, c))
        c->state = IDLE;
}

/* Asks one who has all that is right for the wrong pages; who has only some of it is asked later, for those. */
static void ask_mend(struct hx_node *n, struct hx_seg *s)
{
    struct hx_compare *c = s->compare;
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_server *m = hx_gossip_member(n, s, i);
        if ((c->mend_asked >> i & 1) || !(c->slots_told >> i & 1) || !m)
            continue;
        c->mend_asked |= 1u << i;
        struct hx_call call = hx_gossip_call(s, HX_MSG_READ);
        call.compare = true;
        call.point = c->q.point.v;
        for (uint32_t k = 0; k < c->wrong_count; k++)
            if (same(&c->votes[i][c->wrong[k] - c->q.first], &c->right[k]))
                call.pages[call.page_count++] = c->wrong[k];
        if (!call.page_count || hx_gossip_ask_pages(n, s, m, &call))
            continue;
        c->call = n->next_call;
        return;
    }
    c->state = IDLE; /* what is left stays CORRUPT here, and is judged anew in the next cycle */
}

bool hx_compare_ready(const struct hx_node *n, const struct hx_seg *s)
{
    return n->now_ms >= s->scrub.wait_ms && hx_gossip_may_call(n, s);
}

size_t hx_compare_step(struct hx_node *n, struct hx_seg *s)
{
    struct hx_seg_scrub *u = &s->scrub;
    if (!s->compare) {
        s->compare = calloc(1, sizeof *s->compare);
        if (!s->compare)
            return CHARGE;
        s->compare->next = u->page;
    }
    struct hx_compare *c = s->compare;
    u->page = c->next;
    if (c->state == IDLE && c->next >= hx_geometry_pg_pages(&s->meta.geometry)) {
        hx_scrub_compared(s);
        return CHARGE;
    }
    if (c->state == IDLE)
        return CHARGE + ask_groups(n, s);
    hx_assert(c->state != GROUPS_ASKED); /* an answer comes, or fails, before anything else is asked (Y4) */
    if (c->state == VOTE)
        ask_vote(n, s);
    else
        ask_mend(n, s);
    return CHARGE;
}

/* ---- answers ---- */
/* Is a page of the group from FIRST on known to be wrong? */
static bool any_wrong(const struct hx_seg *s, uint32_t first)
{
    for (uint32_t page = first; s->wrong_count && page < first + GROUP; page++)
        if (wrong_of(s, page))
            return true;
    return false;
}

static void on_groups(struct hx_node *n, struct hx_seg *s, const struct hx_read_page *theirs, uint32_t count)
{
    struct hx_compare *c = s->compare;
    bool second = c->second;
    c->state = IDLE;
    c->second = false;
    for (uint32_t i = 0; i < count; i++) {
        bool damage = c->own[i].state == HX_READ_CORRUPT || theirs[i].state == HX_READ_CORRUPT; /* Y3 */
        if (damage || (same(&c->own[i], &theirs[i]) && !any_wrong(s, c->q.first + i * GROUP)))
            continue;
        if (begin_vote(n, s, i))
            failed(n, s);
        else
            s->scrub.fails = 0;
        return;
    }
    s->scrub.fails = 0;
    c->q.heads = count;
    c->second = !second;
    if (second)
        c->next = c->q.first + count * GROUP;
}

static void on_heads(struct hx_node *n, const struct hx_call *call, struct hx_dec *d)
{
    struct hx_seg *s = call->seg;
    struct hx_compare *c = s->compare;
    struct hx_read_page heads[GROUPS];
    uint32_t count = 0;
    while (count < c->q.heads && d->off < d->len && !d->err)
        hx_read_page_decode(&heads[count++], d);
    if (hx_dec_end(d) || !count || hx_seg_top(s).v != call->top.v) { /* Y4 */
        failed(n, s);
        return;
    }
    if (c->state == GROUPS_ASKED) {
        on_groups(n, s, heads, count);
        return;
    }
    for (unsigned i = 0; i < HX_COPIES; i++) {
        const struct hx_server *m = hx_gossip_member(n, s, i);
        if (!m || !hx_uuid_eq(&m->incarnation, &call->peer) || count != c->q.heads)
            continue;
        memcpy(c->votes[i], heads, count * sizeof *heads);
        c->slots_told |= 1u << i;
    }
}

/* The right bytes of PAGE: exactly those that the majority has (Y1). */
static bool put_right(struct hx_node *n, struct hx_seg *s, uint32_t page, const struct hx_read_page *r,
                      const uint8_t *data)
{
    static const uint8_t zeros[HX_PAGE_SIZE];
    struct hx_compare *c = s->compare;
    uint32_t k = 0;
    while (c->wrong[k] != page) /* they were asked for */
        k++;
    if (r->state == HX_READ_CORRUPT || r->lsn.v != c->right[k].lsn.v || r->lsn.v == 0 ||
        hx_crc32c(0, data ? data : zeros, HX_PAGE_SIZE) != c->right[k].crc)
        return false;
    struct hx_wrong *w = wrong_of(s, page);
    hx_assert(w && w->lsn == r->lsn.v); /* condemned when it became one of c->wrong */
    w->sum = hx_gossip_put_page(n, s, page, r->lsn.v, data);
    w->put = true;
    c->wrong_count--;
    c->wrong[k] = c->wrong[c->wrong_count];
    c->right[k] = c->right[c->wrong_count];
    return true;
}

static void on_right(struct hx_node *n, const struct hx_call *call, struct hx_dec *d)
{
    struct hx_seg *s = call->seg;
    struct hx_read_page r[GROUP];
    for (uint32_t i = 0; i < call->page_count; i++)
        hx_read_page_decode(&r[i], d);
    if (d->err || hx_seg_top(s).v != call->top.v)
        return;
    for (uint32_t i = 0; i < call->page_count; i++) {
        const uint8_t *data = r[i].state == HX_READ_RAW ? hx_dec_bytes(d, HX_PAGE_SIZE) : NULL;
        if (!d->err)
            put_right(n, s, call->pages[i], &r[i], data);
    }
    if (!s->compare->wrong_count)
        s->compare->state = IDLE;
}

void hx_compare_answer(struct hx_node *n, const struct hx_call *call, int err, struct hx_dec *d)
{
    struct hx_compare *c = call->seg->compare;
    if (!c || c->call != call->id)
        return; /* of a cycle that is over, or a life: another one may have begun, and asked, since */
    c->call = 0;
    if (err)
        failed(n, call->seg);
    else if (call->type == HX_MSG_DIGEST)
        on_heads(n, call, d);
    else
        on_right(n, call, d);
}
