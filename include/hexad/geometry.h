/*
 * geometry.h - a volume's servers, protection groups and their members: the metadata that PG 0 keeps.
 *
 * Version = (epoch, g, m), compared in this order; g counts protection groups published, m membership
 * changes.  The epoch is the one under which it was written.  A server is known by its name *and* its
 * incarnation, drawn when its data directory was made: an empty directory is another server.
 *
 * Rows name servers by their place in the table.  So the table only grows: a place means the same server in all
 * versions, and who left for good keeps his with state GONE.
 *
 * A slice is what a segment of another group than 0 keeps: the head, the version, the rows of group 0 and of its own
 * group, and the servers that these two name, in a table of their own (places in a slice are not those of the whole).
 * It says how many groups there are, but has two rows: ask hx_geometry_row, which answers for both kinds.
 *
 * Bytes: version 3 (doc/PROTOCOL.md); what an older one can say is still written as that one, so that programs that
 * know only that one read it as long as nothing of the new is used.
 * Pure.  A zeroed geometry is a valid empty one; a row with nothing but servers is plain, with six members made.
 */
#ifndef HEXAD_GEOMETRY_H
#define HEXAD_GEOMETRY_H

#include "hexad/codec.h"
#include "hexad/types.h"

#define HX_URL_MAX 255
#define HX_HOST_MAX 255
#define HX_SERVERS_MAX 65535u

enum hx_server_state {
    HX_SERVER_IN,      /* takes new segments */
    HX_SERVER_DRAINED, /* is to be emptied, or is empty: takes none */
    HX_SERVER_BURNT,   /* its operator's word said that it is gone: never in a list again (MEMBERSHIP.md 3, B1) */
    HX_SERVER_GONE,    /* left the volume; only its place in the table is there still.  No row names it */
    HX_SERVER_AWAY,    /* of a zone that an operator has given up for a time: its groups are degraded (D1) */
    HX_SERVER_STATES
};
struct hx_server {
    char name[HX_NAME_MAX + 1], zone[HX_NAME_MAX + 1], url[HX_URL_MAX + 1];
    char host[HX_HOST_MAX + 1]; /* the machine: two members of a group should not share it */
    struct hx_uuid incarnation;
    uint8_t state;
};
enum hx_row_kind {
    HX_ROW_PLAIN,
    HX_ROW_DEGRADED, /* its members are the four slots of .survivors; W = 3, R = 2 (hexad/quorum.h: hx_row_*) */
    HX_ROW_DECLARED, /* by an operator's word: .survivors are all that were left, W = all of them, R = 1 (D2) */
    HX_ROW_RELEASED, /* it holds nothing: its pages read as zeros, and .server means nothing */
    HX_ROW_KINDS
};
struct hx_pg_members {
    uint16_t server[HX_COPIES]; /* index into servers; slots 0,1 one zone, 2,3 the next, 4,5 the third */
    uint8_t unmade;             /* bits of slots: which were not made yet when this row was published */
    uint8_t kind;               /* enum hx_row_kind */
    uint8_t survivors;          /* bits of slots; 0 in other kinds than DEGRADED and DECLARED */
};
struct hx_geometry {
    struct hx_uuid volume;
    char name[HX_NAME_MAX + 1];
    uint64_t pg_bytes; /* a multiple of 1 MiB, HX_PG_SIZE_MIN..MAX */
    uint64_t lal;      /* LSNs */
    uint64_t created_us;
    struct hx_epoch epoch;
    struct hx_lsn walk_from; /* where the walk of an opening begins at least (MEMBERSHIP.md, S2) */
    uint32_t g, m;           /* g == pg_count */
    uint32_t server_count, pg_count;
    uint32_t slice;            /* 0: whole; else the group whose slice it is: rows of group 0 and of this one */
    struct hx_server *servers; /* owned */
    struct hx_pg_members *pgs; /* owned; hx_geometry_rows of them */
};

void hx_geometry_fini(struct hx_geometry *g);
int hx_geometry_copy(struct hx_geometry *dst, const struct hx_geometry *src);
/* <0, 0, >0 by (epoch, g, m) */
int hx_geometry_compare(const struct hx_geometry *a, const struct hx_geometry *b);
/* True when version and content are the same: one (epoch, g, m) has one content (I9). */
bool hx_geometry_equal(const struct hx_geometry *a, const struct hx_geometry *b);
int hx_geometry_check(const struct hx_geometry *g); /* 0 or HX_E_INVAL: every rule above */
/* An empty host becomes that of the URL. */
int hx_geometry_add_server(struct hx_geometry *g, const struct hx_server *s);
int hx_geometry_add_pg(struct hx_geometry *g, const struct hx_pg_members *p); /* also g->g++; HX_E_INVAL of a slice */
/* Another row for group PG, or another state of a server, of a whole geometry; also g->m++.  HX_E_INVAL: a row that the
 * checks refuse, group 0 released, a burnt server in another state, a server GONE that a row names. */
int hx_geometry_set_members(struct hx_geometry *g, uint32_t pg, const struct hx_pg_members *row);
int hx_geometry_set_state(struct hx_geometry *g, uint32_t server, enum hx_server_state state);
/* How many groups there are without the released ones at the end: those have no members, pages or records.  Groups are
 * released from the last one down, and used again from the first one up, so all released ones are there. */
uint32_t hx_geometry_live(const struct hx_geometry *g);
/* What a segment of PG keeps: of group 0 the whole, of others the slice; of a slice only its own.  HX_E_INVAL: no such
 * group here.  *ret is replaced on success only, and may be G. */
int hx_geometry_slice(const struct hx_geometry *g, uint32_t pg, struct hx_geometry *ret);
/* The row of PG; NULL: there is none, or it is not in this slice. */
const struct hx_pg_members *hx_geometry_row(const struct hx_geometry *g, uint32_t pg);
/* The machine in a URL: what is between scheme and port. */
void hx_geometry_host_of(const char *url, char ret[HX_HOST_MAX + 1]);
static inline uint32_t hx_geometry_rows(const struct hx_geometry *g)
{
    return g->slice ? 2 : g->pg_count;
}
size_t hx_geometry_encoded_len(const struct hx_geometry *g);
void hx_geometry_encode(const struct hx_geometry *g, struct hx_enc *e);
/* Both replace *g on success only.  The first one takes a whole geometry, the second one also a slice. */
int hx_geometry_decode(struct hx_geometry *g, struct hx_dec *d);
int hx_geometry_decode_any(struct hx_geometry *g, struct hx_dec *d);

static inline uint64_t hx_geometry_pg_pages(const struct hx_geometry *g)
{
    return g->pg_bytes >> HX_PAGE_SHIFT;
}
static inline uint32_t hx_geometry_pg_of(const struct hx_geometry *g, struct hx_pageno p)
{
    return (uint32_t)(p.v / hx_geometry_pg_pages(g));
}
static inline uint32_t hx_geometry_page_in_pg(const struct hx_geometry *g, struct hx_pageno p)
{
    return (uint32_t)(p.v % hx_geometry_pg_pages(g));
}

#endif
