/*
 * place.h - which servers hold a group: new groups, spares for lost or drained members, relief of the fullest.
 *
 * The rules, each one only among those whom the rules before it leave:
 *   L1 A group has two servers of each of three zones, all six different and all IN.  A spare is of the zone of the
 *      member whose slot it takes.  A zone that was given up (HX_SERVER_AWAY) is the last choice; the group is then a
 *      degraded one, and its places there are empty.  No server that does not fulfil this is ever named; nothing else
 *      is refused.
 *   L2 Those whom the caller says to avoid come last: silent ones behind full and busy ones.  A server whose free
 *      space is known, and less than a group's size, is a full one.
 *   L3 No two members on one host (an empty host is like no other).
 *   L4 Fewest segments for its size: so no two servers of a zone that are equally large differ by more than one, as
 *      long as only groups are added.  Sizes count in eighths of the mean; unknown ones are as large as the mean.  Of
 *      more than three zones those three are taken whose two best have the fewest together.
 *   L5 Fewest groups in common with the members that are chosen already: so the segments of one server are rebuilt
 *      from, and on, as many others as there can be.  Then one by chance, drawn from the group's number (of group 0:
 *      the first).
 * L2 and L3 are wishes, since six servers, or three machines of two, must do where there are no others.
 *
 * Pure; a function of geometry and what is known.  Time: proportional to servers and rows; memory as much, for the
 * call.  Nothing is changed: who acts on an answer changes the geometry, and asks again.
 */
#ifndef HEXAD_PLACE_H
#define HEXAD_PLACE_H

#include "hexad/geometry.h"

enum hx_place_avoid { HX_PLACE_FINE, HX_PLACE_BUSY, HX_PLACE_FULL, HX_PLACE_SILENT };
struct hx_place_known {
    uint64_t total, free; /* bytes of its disk; total 0: not known, and nor is free */
    uint8_t avoid;        /* enum hx_place_avoid */
};

/* KNOWN: one per server of the geometry, or NULL.  All: HX_E_NOMEM; HX_E_INVAL of a slice. */

/* The next group.  HX_E_INVAL: there are no three zones of two servers that are IN. */
int hx_place_group(const struct hx_geometry *g, const struct hx_place_known *known, struct hx_pg_members *ret);
/* Who takes SLOT of PG.  HX_E_NOSPACE: the zone has nobody else. */
int hx_place_spare(const struct hx_geometry *g, const struct hx_place_known *known, uint32_t pg, unsigned slot,
                   uint16_t *ret);

struct hx_place_move {
    uint32_t pg;
    unsigned slot;
    uint16_t to;
};
/* The next segment to be taken from servers that are not IN, or from SERVER where that is not -1; groups of a number
 * below FROM are passed over.  HX_E_NOENT: no more; HX_E_NOSPACE: there is one (*ret but .to), and no spare for it. */
int hx_place_drain(const struct hx_geometry *g, const struct hx_place_known *known, long server, uint32_t from,
                   struct hx_place_move *ret);
/* One move that makes the load more even, or takes a segment from a full or busy server to one that is neither: after
 * each the worst one is less bad, so they end.  Not of group 0, which moves only for need.  HX_E_NOENT: it is even. */
int hx_place_relief(const struct hx_geometry *g, const struct hx_place_known *known, struct hx_place_move *ret);

#endif
