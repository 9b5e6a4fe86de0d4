/*
 * vol_private.h - what the files of src/vol share.
 */
#ifndef HX_VOL_PRIVATE_H
#define HX_VOL_PRIVATE_H

#include "hexad/msg.h"
#include "hexad/session.h"
#include "hexad/vol.h"

#define HX_VOL_CALL_BUCKETS 256u
#define HX_VOL_RUN_MAX 2048u /* operations run before the loop gets its turn again */
#define HX_VOL_INFO_MS 1000u
#define HX_VOL_FULL_LOOK_MS 100u

/* A request that the session asked for. */
struct hx_vol_call {
    struct hx_vol *v;
    struct hx_vol_call *next; /* in its bucket */
    uint64_t id;
    struct hx_call *net;
    char server[HX_NAME_MAX + 1];
};

struct hx_vol {
    struct hx_vol_cfg cfg;
    char name[HX_NAME_MAX + 1], *where;
    char host[65];
    char why[512];           /* words about the error that name the other writer, or "" */
    struct hx_session *session;
    struct hx_client *client;
    struct hx_renewal *renewal;
    struct hx_timer *timer;
    struct hx_defer *defer;
    bool pumping;
    uint64_t opened_ms;      /* when opening began */
    struct hx_room room;
    struct hx_vol_ask **asks; /* room.c: one per server */
    uint32_t ask_count;
    enum hx_room_level level;
    uint64_t full_look_ms;
    uint64_t version_told;   /* when a server of another version was last named; 0: never */
    uint64_t info_ms;        /* when heartbeats were last told about this writer */
    struct hx_vol_call *calls[HX_VOL_CALL_BUCKETS];
};

static inline uint64_t hx_vol_now(struct hx_vol *v)
{
    return hx_loop_now_ms(v->cfg.loop);
}

/* calls.c */
void hx_vol_send(struct hx_vol *v, const struct hx_effect *e);
void hx_vol_cancel_call(struct hx_vol *v, uint64_t id);
void hx_vol_cancel_part(struct hx_vol *v, enum hx_part part); /* 0: all */

/* room.c */
/* When something has been written, and from time to time: ms until then. */
uint64_t hx_vol_room_work(struct hx_vol *v);
void hx_vol_room_fini(struct hx_vol *v); /* before the client goes */

/* status.c */
void hx_vol_refresh_info(struct hx_vol *v);
/* "host lap-3, pid 812, mounted on /srv/db" out of what the writer said about itself. */
void hx_vol_holder_text(const struct hx_lookup_sum *s, char *text, size_t cap);

#endif
