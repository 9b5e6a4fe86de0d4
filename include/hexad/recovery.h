/*
 * recovery.h - opening a volume (fence, inventory, decide, write back, adopt), making one, growing one.
 *
 * The steps and refusals are doc/PROTOCOL.md's, numbered there and cited in the code.  A recovery is
 * one attempt with a fresh owner; when it is refused or meets a higher epoch it starts over by itself
 * with a higher one (hx_recovery_next_owner gives it randomness), backing off at random.
 * Pure; these parts may allocate in a step (they run once per opening): HX_E_NOMEM ends the attempt.
 */
#ifndef HEXAD_RECOVERY_H
#define HEXAD_RECOVERY_H

#include "hexad/quorum.h"
#include "hexad/effect.h"
#include "hexad/geometry.h"
#include "hexad/history.h"
#include "hexad/place.h"
#include "hexad/writer.h"

/* ---- opening ---- */
enum hx_recovery_state {
    HX_RECOVERY_CLAIM = 1, /* step 1: FENCE at PG 0, 4 grants */
    HX_RECOVERY_FENCE,     /* step 2: FENCE everywhere else, 3 hydrated answers each */
    HX_RECOVERY_DECIDE,    /* steps 3-5; waits here for more answers when the walk needs them */
    HX_RECOVERY_REPAIR,    /* step 6: fetch and write back until 4 of each PG are complete through VDL' */
    HX_RECOVERY_GEOMETRY,  /* the geometry found, stored under this epoch on 4 of PG 0 */
    HX_RECOVERY_ADOPT,     /* step 7: H' on 4 of PG 0 */
    HX_RECOVERY_OPEN,      /* done: hx_recovery_result is valid */
    HX_RECOVERY_FAILED     /* hx_recovery_error: DATA_LOSS, NOMEM, ... */
};
struct hx_recovery;
struct hx_recovery_cfg {
    const struct hx_geometry *hint; /* copied: a geometry seen somewhere (LOOKUP); membership of PG 0 */
    struct hx_epoch epoch_seen;     /* highest epoch heard of */
    uint64_t seed;                  /* randomness for owners and pauses: 64 bits from the system, mixed with owner */
    struct hx_uuid owner;           /* 128 random bits */
    uint64_t now_ms;
    const struct hx_uuid *lost; /* copied: incarnations that an operator's word says are gone for good (D2, B1) */
    uint32_t lost_count;
};
struct hx_recovery_result {
    struct hx_uuid owner;
    struct hx_history history;   /* top entry: this epoch */
    struct hx_geometry geometry;
    struct hx_writer_pg *pgs;
};
int hx_recovery_new(const struct hx_recovery_cfg *cfg, struct hx_recovery **ret);
void hx_recovery_free(struct hx_recovery *r);
void hx_recovery_answer(struct hx_recovery *r, uint64_t now_ms, uint64_t call, struct hx_bytes body);
void hx_recovery_failed(struct hx_recovery *r, uint64_t now_ms, uint64_t call, int err);
uint64_t hx_recovery_tick(struct hx_recovery *r, uint64_t now_ms);
int hx_recovery_next(struct hx_recovery *r, struct hx_effect *ret);
enum hx_recovery_state hx_recovery_state(const struct hx_recovery *r);
int hx_recovery_error(const struct hx_recovery *r);
/* What is waited for, in words, for messages: "PG 3: 2 of 6 servers answered, 3 needed (silent: c1 c2)"; in
 * state FAILED: why. */
void hx_recovery_waiting(const struct hx_recovery *r, char *text, size_t cap);
/* Valid in state OPEN; borrowed until free. */
const struct hx_recovery_result *hx_recovery_result(const struct hx_recovery *r);

/* ---- making a volume: HELLO all servers, choose six, FORMAT PG 0 on all six ---- */
struct hx_create;
struct hx_create_cfg {
    const char *name;
    struct hx_uuid volume, owner; /* random */
    uint64_t pg_bytes;            /* 0: default */
    uint64_t lal;                 /* 0: default; HX_E_INVAL outside HX_LAL_MIN .. HX_LAL_MAX */
    uint64_t created_us, now_ms;
    const struct hx_server *servers; /* incarnations not known yet (zero); copied */
    uint32_t server_count;
};
int hx_create_new(const struct hx_create_cfg *cfg, struct hx_create **ret);
void hx_create_free(struct hx_create *c);
void hx_create_answer(struct hx_create *c, uint64_t now_ms, uint64_t call, struct hx_bytes body);
void hx_create_failed(struct hx_create *c, uint64_t now_ms, uint64_t call, int err);
uint64_t hx_create_tick(struct hx_create *c, uint64_t now_ms);
int hx_create_next(struct hx_create *c, struct hx_effect *ret);
/* HX_E_AGAIN while under way; 0 done; HX_E_EXISTS_VOLUME; another error with hx_create_why saying which server. */
int hx_create_state(const struct hx_create *c);
const char *hx_create_why(const struct hx_create *c);
const struct hx_geometry *hx_create_geometry(const struct hx_create *c);
#define HX_LAL_DEFAULT 65536u /* LSNs */

/* ---- growing by one PG: place, FORMAT on six (at least 4 answered), GEOMETRY on 4 of PG 0 ---- */
struct hx_growth;
/* The writer knows who answers: borrowed until free.  KNOWN: of the servers' disks, or NULL. */
int hx_growth_new(const struct hx_writer *w, const struct hx_place_known *known, const struct hx_uuid *owner,
                  uint64_t now_ms, struct hx_growth **ret);
void hx_growth_free(struct hx_growth *g);
void hx_growth_answer(struct hx_growth *g, uint64_t now_ms, uint64_t call, struct hx_bytes body);
void hx_growth_failed(struct hx_growth *g, uint64_t now_ms, uint64_t call, int err);
uint64_t hx_growth_tick(struct hx_growth *g, uint64_t now_ms);
int hx_growth_next(struct hx_growth *g, struct hx_effect *ret);
/* HX_E_AGAIN; 0: published, hx_growth_geometry is the new one; HX_E_FENCED; HX_E_NOSPACE (cannot be placed). */
int hx_growth_state(const struct hx_growth *g);
const struct hx_geometry *hx_growth_geometry(const struct hx_growth *g);
hx_members hx_growth_made(const struct hx_growth *g); /* of the new PG, those that are known to have the segment */

/* ---- looking a volume up: LOOKUP at all configured servers ---- */
/* Folds one LOOKUP answer into what is known: highest geometry, highest epoch, whether a writer lives.
 * Zeroed at the start.  The caller asks all servers in parallel and stops when enough have answered. */
struct hx_lookup_sum {
    bool found;
    struct hx_geometry geometry;
    struct hx_epoch epoch;
    unsigned answers;        /* servers that know the volume */
    unsigned writer_alive;   /* of them, those that see a living writer of the highest epoch */
    char writer_text[2048];
    uint64_t writer_ago_ms;       /* since any of them heard it; UINT64_MAX: never */
    struct hx_epoch top, promised, writer_epoch;
    struct hx_uuid *heard;        /* owned: the servers counted in answers */
};
int hx_lookup_sum_add(struct hx_lookup_sum *s, struct hx_bytes answer); /* a whole answer; 0, or its error */
void hx_lookup_sum_fini(struct hx_lookup_sum *s);
/* Enough answers to go on: a read quorum of PG 0's members, so the newest writer cannot be overlooked. */
bool hx_lookup_sum_enough(const struct hx_lookup_sum *s);
/* Who is still to be asked: PG 0's members, as far as known, who were not heard, one after the other; *slot begins at
 * 0. NULL: nobody else is known. */
const struct hx_server *hx_lookup_sum_way(const struct hx_lookup_sum *s, unsigned *slot);

#endif
