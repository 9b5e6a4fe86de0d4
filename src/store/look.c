/*
 * look.c - what a segment holds just now, told to whoever checks it (hx_node_look).
 *
 * Looks only: nothing here changes anything, reads the disk, or allocates.  The serial of a segment is the node's count
 * of changes when the segment was last touched, so one number tells whether any segment has to be looked at.
 */
#include "node_private.h"

void hx_seg_touch(struct hx_seg *s)
{
    s->serial = ++s->env->changes;
}

static void look(const struct hx_seg *s, struct hx_segment_look *ret)
{
    const struct hx_meta *m = &s->meta;
    *ret = (struct hx_segment_look){
        .at = s->at, .serial = s->serial, .promised = m->promised, .owner = m->owner, .history = &m->history,
        .geometry = &m->geometry, .scl = HX_LSN(s->chain.scl), .highest = HX_LSN(hx_chain_highest(&s->chain)),
        .hint = HX_LSN(s->chain.hint), .base = m->base, .floor = HX_LSN(s->floor), .gc = HX_LSN(s->gc),
        .oldest = HX_LSN(s->oldest), .held = s->chain.held_count, .unknowns = hx_seg_damages(s),
        .damaged = s->damaged, .error = s->error, .nospace = s->nospace,
        .scrubs = s->scrub.cycles, .scrub_found = s->scrub.found, .scrub_rewritten = s->scrub.rewritten,
        .doubt = HX_LSN_MAX, .life = m->life, .filling = s->filling, .retired = s->retired};
    for (size_t i = 0; i < s->unknown_count; i++)
        if (!hx_seg_is_mended(s, &s->unknowns[i]))
            ret->doubt = hx_lsn_min(ret->doubt, HX_LSN(s->unknowns[i].from));
}

uint64_t hx_node_changes(const struct hx_node *n)
{
    return n->env.changes;
}

size_t hx_node_places(const struct hx_node *n)
{
    return n->seg_count;
}

void hx_node_look_at(const struct hx_node *n, size_t i, struct hx_segment_look *ret)
{
    hx_assert(i < n->seg_count);
    look(n->segs[i], ret);
}

int hx_node_look(const struct hx_node *n, struct hx_disk_place at, struct hx_segment_look *ret)
{
    const struct hx_seg *s = hx_node_find(n, &at.volume, at.pg);
    if (!s)
        return HX_E_NO_SEGMENT;
    look(s, ret);
    return 0;
}
