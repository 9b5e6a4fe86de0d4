/*
 * status.h - what `hexad status` finds out, and how it judges that; private to src/admin.
 */
#ifndef HEXAD_ADMIN_STATUS_H
#define HEXAD_ADMIN_STATUS_H

#include "admin.h"

enum seg_state { SEG_OK = 0, SEG_BEHIND, SEG_FULL, SEG_DAMAGED, SEG_POISONED, SEG_MISSING, SEG_STRANGER, SEG_REFUSED,
                 SEG_DOWN };
struct seg_view {
    uint32_t pg, server; /* indices into the geometry */
    enum seg_state state;
    bool known;          /* ST is valid */
    struct hx_segment_status st;
    uint64_t lag;        /* LSNs behind the best of its PG */
};
struct server_view {
    struct hx_server server; /* with the address of the configuration, when it is there */
    int err;                 /* why it is not reached; 0: it answers */
    char why[HX_WHY_MAX];
    uint64_t us;             /* round trip */
    bool stranger;           /* another data directory than the volume knows */
    bool has_hello;
    struct hx_hello hello;
    uint32_t segments;       /* that the volume has there */
    enum seg_state worst;
    uint64_t lag;            /* largest */
};
struct status {
    const char *volume;
    struct hx_lookup_sum sum;
    struct server_view *servers; /* as in the geometry */
    struct seg_view *segs;       /* PG by PG, slot by slot */
    size_t seg_count;
    struct hx_lsn vdl;           /* highest that anyone has heard of */
    uint64_t used_bytes;
    json_t *writer;              /* what the writer says of itself, or NULL */
    /* the judgement */
    int err;                     /* 0, DEGRADED, NO_WRITE_QUORUM, NO_READ_QUORUM */
    const char *word;
    char text[600], action[HX_WHY_MAX];
};

/* status_judge.c: from the answers to states, lags, words.  Pure. */
void status_judge(struct status *s);
const char *status_seg_word(enum seg_state state);
/* status_show.c */
void status_show_text(const struct status *s);
void status_show_json(const struct status *s);

#endif
