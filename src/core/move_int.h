/*
 * move_int.h - inside of the driver of changes (hexad/move.h): move.c (changes and versions), move_ask.c (requests and
 * answers), move_status.c (how far learners are, and those that nobody named).
 */
#ifndef HX_CORE_MOVE_INT_H
#define HX_CORE_MOVE_INT_H

#include "ask.h"
#include "hexad/move.h"
#include "hexad/msg.h"
#include "hexad/quorum.h"
#include "hexad/wish.h"

#define MOVE_STATUS_MS 1000u /* between questions to a server that is filling somebody */
#define MOVE_LOOK_MS 50u
#define MOVE_LEFT_MS 10000u /* a segment that was there already, and is no learner, has caught up by then, or never */
#define MOVE_ORPHANS_MS 60000u /* between looks for learners that nobody names */

enum move_task { MOVE_TASK_CHANGE = 1, MOVE_TASK_TELL, MOVE_TASK_RETIRE, MOVE_TASK_STATUS, MOVE_TASK_PUBLISH,
                 MOVE_TASK_GREET, MOVE_TASK_WISH };

/* A task with who it belongs to: .task.owner_kind says what .of is. */
struct move_change;
struct move_tell {
    struct hx_ask_task task;
    struct move_change *of;
};
struct move_change {
    struct move_change *next;
    uint32_t pg, from, to;
    unsigned slot;
    enum hx_change_state state;
    uint64_t since_ms, bytes, total;
    uint64_t asked;     /* STATUS asked later than this speaks of the learner as it was made */
    uint64_t life, old_life; /* of the learner, and of the member that it replaces; 0: not known yet */
    bool seen;          /* as a learner */
    bool made, filled, added; /* FORMAT answered; all pages there; the writer knows it */
    bool empty;         /* nobody has the place now: .from is who had it once */
    bool gives_up;      /* nobody comes: the place is to be empty, and .to is .from */
    uint32_t rate, rate_asked; /* bytes a second that the learner was told; that it is being told (V7) */
    bool plain;         /* its server knows no rate: it keeps to its own */
    bool orphan;        /* nobody's change: a learner that somebody left, to be deleted */
    int last_error;
    struct hx_ask_task task;          /* FORMAT, DELETE of the learner */
    struct move_tell tell[HX_COPIES]; /* MEMBERS to those of the new row */
    struct move_tell retire;          /* MEMBERS, then DELETE, to the one replaced */
};
/* Of each server: what it is asked as a whole. */
struct move_server {
    struct hx_ask_task task;
    uint64_t due_ms;  /* STATUS is not asked before */
    uint64_t asked;   /* serial of the STATUS under way */
    bool looked;      /* orphans there are known */
};
struct hx_move {
    struct hx_writer *writer; /* borrowed */
    struct hx_ask ask;
    struct hx_uuid owner;
    int state;
    bool hold;
    uint32_t rate; /* of all learners; 0: what their servers allow */
    uint64_t serial, versions;
    struct move_change *changes; /* oldest first */
    size_t change_count;
    struct move_server **server; /* by index in the geometry */
    uint32_t server_count;
    struct hx_geometry next;     /* the version in the air: pg_count 0: none */
    bool turning;
    uint32_t release; /* the group that is to be released; 0: none */
    bool releasing;   /* the version in the air does it */
    hx_members released; /* whose places it takes */
    struct hx_ask_task publish[2 * HX_COPIES]; /* PG 0's members, and who is to be one (M4) */
    uint32_t publish_server[2 * HX_COPIES];
    hx_members stored_old, stored_new;
    struct move_wishes {
        struct hx_ask_task task;
        struct hx_wish *list;     /* that wait for the next version, one for each name */
        size_t count;
        struct hx_geometry floor; /* R1: .epoch, .g and .m only */
    } wish;
    struct hx_ask_task greet[HX_COPIES]; /* MEMBERS to PG 0's, once: whose driver died may never have heard it */
    uint64_t orphans_ms, status_ms;
};

static inline const struct hx_geometry *move_geometry(const struct hx_move *m)
{
    return hx_writer_geometry(m->writer);
}

/* move.c */
void move_end(struct hx_move *m, int err);
void move_to(struct hx_move *m, struct move_change *c, enum hx_change_state to);
void move_undo(struct hx_move *m, struct move_change *c);
void move_drop(struct hx_move *m, struct move_change *c);
/* Some server may have one more segment than the geometry says: room for the tasks of N changes. */
int move_reserve(struct hx_move *m, size_t changes);
void move_stored(struct hx_move *m, size_t which);
/* The learner that the server has of PG belongs to nobody: it is deleted. */
void move_orphan(struct hx_move *m, uint32_t pg, uint32_t server, uint64_t life);

/* move_status.c */
void move_status_answer(struct hx_move *m, uint32_t server, struct hx_bytes body);
void move_status_due(struct hx_move *m);
uint64_t move_status_wait(const struct hx_move *m);

/* move_wish.c */
void move_wish_init(struct hx_move *m);
void move_wish_due(struct hx_move *m);
void move_wish_answer(struct hx_move *m, struct hx_bytes body);
/* NEXT as it is wished for; true: that changes it. */
bool move_wish_apply(const struct hx_move *m, struct hx_geometry *next, int *ret_err);
/* They are in the version that is in the air now (GRANTED), or came to nothing. */
void move_wish_turned(struct hx_move *m, bool granted);

/* move_ask.c */
uint32_t move_share(const struct hx_move *m, const struct move_change *c); /* V7 */
void move_judge(struct hx_move *m, const struct hx_ask_reply *reply);

#endif
