/*
 * status.h - what `hexad status` finds out, and how it judges that; private to src/admin.
 */
#ifndef HEXAD_ADMIN_STATUS_H
#define HEXAD_ADMIN_STATUS_H

#include "admin.h"

#include "hexad/place.h"
#include "hexad/wish.h"

enum seg_state { SEG_OK = 0, SEG_BEHIND, SEG_FULL, SEG_DAMAGED, SEG_POISONED, SEG_MISSING, SEG_STRANGER, SEG_REFUSED,
                 SEG_DOWN };
struct seg_view {
    uint32_t pg, server; /* indices into the geometry */
    enum seg_state state;
    bool out;            /* nobody has this place: the group is degraded (D1).  Nothing else counts then */
    bool known;          /* ST is valid */
    bool gone;           /* the last answer of its server names it no more, or as a tombstone */
    struct hx_segment_status st;
    uint64_t lag;        /* LSNs behind the best of its PG */
};
struct server_view {
    struct hx_server server; /* with the address of the configuration, when it is there */
    int err;                 /* why it is not reached; 0: it answers */
    char why[HX_WHY_MAX];
    uint64_t us;             /* round trip */
    bool stranger;           /* another data directory than the volume knows */
    bool took;               /* answered the last question of status_ask */
    bool has_hello;
    struct hx_hello hello;
    uint32_t segments;       /* that the volume has there */
    enum seg_state worst;
    uint64_t lag;            /* largest */
};
struct zone_view {
    char name[HX_NAME_MAX + 1];
    bool may_go;             /* all of it may be taken down now: writes go on */
    char why[160];           /* it may not: who must come first */
};
struct status {
    const char *volume;
    struct hx_lookup_sum sum;
    struct server_view *servers; /* as in the geometry */
    struct seg_view *segs;       /* PG by PG, slot by slot */
    size_t seg_count;
    struct hx_lsn vdl;           /* highest that anyone has heard of */
    uint64_t used_bytes;
    struct zone_view *zones;     /* in the order of the servers */
    uint32_t zone_count;
    json_t *writer;              /* what the writer says of itself, or NULL */
    /* the judgement */
    int err;                     /* 0, DEGRADED, NO_WRITE_QUORUM, NO_READ_QUORUM */
    const char *word;
    char text[600], action[HX_WHY_MAX];
};

/* status.c: who is there, and what each segment says; to be freed with status_fini in any case. */
int status_collect(const struct hx_client_conf *conf, struct status *s, char why[HX_WHY_MAX]);
/* Asks all that have answered so far once more: STATUS, or SCRUB, which is answered the same. */
int status_ask(const struct hx_client_conf *conf, struct status *s, enum hx_msg_type type, uint32_t limit_ms,
               char why[HX_WHY_MAX]);
void status_fini(struct status *s);

/* status_judge.c: from the answers to states, lags, words.  Pure. */
void status_judge(struct status *s);
const char *status_seg_word(enum seg_state state);
/* What the scrubs of all segments say together. */
struct hx_scrub_status status_scrub_sum(const struct status *s);
/* status_groups.c: after the judgement.  HX_E_NOMEM. */
int status_judge_zones(struct status *s);
/* May that server be taken down now?  No: WHY. */
bool status_server_may_go(const struct status *s, uint32_t server, char why[160]);
struct alike { /* groups with the same members in the same states */
    const uint32_t *groups; /* ascending */
    uint32_t count;
    unsigned good;          /* members that answer and take writes */
};
struct status_map { /* worst first */
    uint32_t *order;
    struct alike *alike;
    uint32_t count;
};
int status_map(const struct status *s, struct status_map *ret); /* HX_E_NOMEM */
void status_map_fini(struct status_map *m);
void status_map_groups(const struct alike *a, char *buf, size_t cap);
void status_map_members(const struct status *s, const struct alike *a, char *buf, size_t cap);

/* roster.c */
struct admin_wish {
    const struct hx_client_conf *conf;
    const char *volume;
    bool json, no_wait;
    const char *zone;         /* degrade, and its undo: one of several servers; the group's places are waited for */
    bool quiet;               /* says nothing when it is done */
    struct hx_wish wish;      /* without the version */
    /* what has come of it */
    uint64_t began, left;     /* segments, at most and now */
    bool stuck;               /* somebody in the zone is missing: */
    struct hx_place_move no_spare;
};
/* Places of groups that still have (UNDO: still lack) a member of a zone that was given up. */
uint64_t admin_places(const struct hx_geometry *g, bool undo);
int admin_wish(struct admin_wish *w); /* says it until it is so; the exit code */
int admin_may_go(const struct hx_client_conf *conf, bool json, const char *volume, const char *name);
int admin_list_volume(const struct hx_client_conf *conf, bool json, const char *volume);

/* status_show.c */
json_t *status_scrub_json(const struct hx_scrub_status *c);
void status_show_text(const struct status *s);
void status_show_json(const struct status *s);

#endif
