/*
 * vol_private.h - what the files of src/vol share.
 */
#ifndef HX_VOL_PRIVATE_H
#define HX_VOL_PRIVATE_H

#include "hexad/effect.h"
#include "hexad/msg.h"
#include "hexad/reader.h"
#include "hexad/recovery.h"
#include "hexad/vol.h"
#include "hexad/writer.h"

#define HX_VOL_CALL_BUCKETS 256u
#define HX_VOL_RUN_BATCH 256u      /* parked operations run before the loop gets its turn again */
#define HX_VOL_ASK_MS 3000u        /* time limit of LOOKUP and HELLO */
#define HX_VOL_ASK_AGAIN_MS 500u
#define HX_VOL_ROOM_AGE_MS 10000u  /* what servers said of their disks is asked again after this */
#define HX_VOL_GROW_PAUSE_MS 1000u /* after growth failed, before it is tried again */
#define HX_VOL_STALL_MS 2000u      /* without progress for this long, say what is missing */
#define HX_VOL_OPEN_TELL_MS 1000u  /* the same while opening */
#define HX_VOL_GOODBYE_MS 3000u
#define HX_VOL_INFO_MS 1000u

/* The pager that operations see: the cache's, and a list of the pages that the operation lacks. */
struct hx_notepager {
    struct hx_pager base;
    struct hx_pager *inner;
    struct hx_pageno *pages; /* owned */
    size_t count, cap;
    bool nomem;
};
void hx_notepager_init(struct hx_notepager *n, struct hx_pager *inner);
void hx_notepager_fini(struct hx_notepager *n);
void hx_notepager_reset(struct hx_notepager *n);

/* A request that a pure part asked for. */
struct hx_vol_call {
    struct hx_vol *v;
    struct hx_vol_call *next; /* in its bucket */
    uint64_t id;
    struct hx_call *net;
};

/* A question of our own to one server (LOOKUP, HELLO). */
struct hx_vol_ask {
    struct hx_vol *v;
    const struct hx_server *server;
    struct hx_call *net; /* under way, or NULL */
    uint8_t msg[HX_MSG_HEAD + 2 + HX_NAME_MAX + 1];
    struct iovec iov;
    uint64_t again_ms;   /* when to ask (again) */
    bool answered;
    uint64_t free_bytes; /* HELLO */
    int err;             /* of the last try */
    char why[160];
};
struct hx_vol_round {
    struct hx_vol_ask *asks; /* owned */
    uint32_t count;
    uint16_t type;
    void (*answer)(struct hx_vol *v, struct hx_vol_ask *a, int err, struct hx_bytes whole);
};

struct hx_vol {
    struct hx_vol_cfg cfg;
    char name[HX_NAME_MAX + 1], *where;
    enum hx_vol_state state;
    int error;
    char why[512], waiting[512];
    char host[65];
    struct hx_client *client;
    struct hx_timer *timer;
    struct hx_defer *defer;
    bool pumping;

    struct hx_vol_round lookup, hello;
    struct hx_server *hello_servers; /* owned: the geometry may be replaced while they are asked */
    struct hx_lookup_sum sum;
    uint64_t opened_ms; /* when opening began */

    struct hx_recovery *recovery;
    struct hx_writer *writer;
    struct hx_cache *cache;
    struct hx_reader *reader;
    struct hx_growth *growth;
    struct hx_notepager pager;
    struct hx_parking parking;
    struct hx_uuid owner;

    struct hx_lsn vdl;
    uint64_t progress_ms; /* when the VDL moved, or when it had reached the last LSN */
    uint64_t grow_again_ms;
    int grow_err;
    uint64_t info_ms, room_ms, room_bytes, goodbye_ms, close_ms;
    uint64_t zone_free[3];
    bool room_known, said_goodbye, fence_told;
    uint64_t room_serial;

    struct hx_vol_call *calls[HX_VOL_CALL_BUCKETS];
    size_t call_count;
};

static inline uint64_t hx_vol_now(struct hx_vol *v)
{
    return hx_loop_now_ms(v->cfg.loop);
}

/* vol.c */
void hx_vol_fail(struct hx_vol *v, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void hx_vol_set_state(struct hx_vol *v, enum hx_vol_state to);
void hx_vol_set_waiting(struct hx_vol *v, const char *text);

/* calls.c: effects in, answers routed back */
bool hx_vol_carry_out(struct hx_vol *v);
/* Before a part is freed: the bodies of its requests are its memory.  PART 0: all. */
void hx_vol_cancel_part(struct hx_vol *v, enum hx_part part);

/* ask.c: rounds of LOOKUP and HELLO */
int hx_vol_round_start(struct hx_vol *v, struct hx_vol_round *r, uint16_t type, const struct hx_server *servers,
                       uint32_t count);
void hx_vol_round_stop(struct hx_vol_round *r);
uint64_t hx_vol_round_tick(struct hx_vol *v, struct hx_vol_round *r);

/* open.c: LOOKUP and RECOVERY */
int hx_vol_open_start(struct hx_vol *v);
bool hx_vol_open_step(struct hx_vol *v); /* true: something changed */
void hx_vol_who_fenced(struct hx_vol *v);

/* status.c */
void hx_vol_describe_quorum(struct hx_vol *v, bool writing, char *text, size_t cap);
void hx_vol_refresh_info(struct hx_vol *v);
void hx_vol_room_answer(struct hx_vol *v, struct hx_vol_ask *a, int err, struct hx_bytes whole);

#endif
