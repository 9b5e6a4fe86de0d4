/*
 * geometry.h - a volume's servers, protection groups and their members: the metadata that PG 0 keeps.
 *
 * Version = (epoch, g, m), compared in this order; g counts protection groups published, m membership
 * changes.  The epoch is the one under which it was written.  A server is known by its name *and* its
 * incarnation, drawn when its data directory was made: an empty directory is another server.
 * Pure.  A zeroed geometry is a valid empty one.
 */
#ifndef HEXAD_GEOMETRY_H
#define HEXAD_GEOMETRY_H

#include "hexad/codec.h"
#include "hexad/types.h"

#define HX_URL_MAX 255
#define HX_SERVERS_MAX 65535u

struct hx_server {
    char name[HX_NAME_MAX + 1], zone[HX_NAME_MAX + 1], url[HX_URL_MAX + 1];
    struct hx_uuid incarnation;
};
struct hx_pg_members {
    uint16_t server[HX_COPIES]; /* index into servers; slots 0,1 one zone, 2,3 the next, 4,5 the third */
};
struct hx_geometry {
    struct hx_uuid volume;
    char name[HX_NAME_MAX + 1];
    uint64_t pg_bytes; /* a multiple of 1 MiB, HX_PG_SIZE_MIN..MAX */
    uint64_t lal;      /* LSNs */
    uint64_t created_us;
    struct hx_epoch epoch;
    uint32_t g, m; /* g == pg_count */
    uint32_t server_count, pg_count;
    struct hx_server *servers; /* owned */
    struct hx_pg_members *pgs; /* owned */
};

void hx_geometry_fini(struct hx_geometry *g);
int hx_geometry_copy(struct hx_geometry *dst, const struct hx_geometry *src);
/* <0, 0, >0 by (epoch, g, m) */
int hx_geometry_compare(const struct hx_geometry *a, const struct hx_geometry *b);
/* True when version and content are the same: one (epoch, g, m) has one content (I9). */
bool hx_geometry_equal(const struct hx_geometry *a, const struct hx_geometry *b);
int hx_geometry_check(const struct hx_geometry *g); /* 0 or HX_E_INVAL: every rule above */
int hx_geometry_add_server(struct hx_geometry *g, const struct hx_server *s);
int hx_geometry_add_pg(struct hx_geometry *g, const struct hx_pg_members *p); /* also g->g++ */
/* Chooses members for the next PG: two servers of each of three zones, those with the fewest segments
 * first, then lowest index.  HX_E_INVAL: fewer than three zones of two servers. */
int hx_geometry_place(const struct hx_geometry *g, struct hx_pg_members *ret);
size_t hx_geometry_encoded_len(const struct hx_geometry *g);
void hx_geometry_encode(const struct hx_geometry *g, struct hx_enc *e);
int hx_geometry_decode(struct hx_geometry *g, struct hx_dec *d); /* replaces *g on success only */

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
