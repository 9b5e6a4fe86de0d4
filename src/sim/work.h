/*
 * work.h - programs on a mount, and the model of the filesystem that says what each call must give.
 *
 * A mount is a session with a filesystem on it (client.c owns both).  Its programs each have one operation
 * under way: begun,
 * maybe parked (for pages, room, growth), accepted (its MTR is in the log, or it changed nothing), answered.
 * Operations are
 * accepted one after the other; the model applies each at that moment and compares everything: error,
 * attributes, bytes,
 * names.  So any wrong byte or error is seen when it is served (I6, I7, I13), not only at the end.
 *
 * The journal keeps every accepted operation with its epoch and CPL, over all mounts.  When an epoch opens
 * with VDL', the
 * official operations are those of the parent history with CPL <= VDL': the model is set to that prefix, and
 * the tree that
 * the new mount sees must equal it (I7).  Barriers (fsync, fdatasync, O_SYNC writes) answered with success
 * must be inside
 * every later prefix (I1).
 */
#ifndef HX_SIM_WORK_H
#define HX_SIM_WORK_H

#include "hexad/fs.h"
#include "hexad/history.h"
#include "sim.h"

struct hx_session;

struct hx_journal *hx_journal_new(struct hx_sim *s);
void hx_journal_free(struct hx_journal *j);
/* An epoch has opened: cuts the official operations to the prefix that HISTORY says, checks the barriers (I1, I7). */
void hx_journal_opened(struct hx_journal *j, const struct hx_history *h);

/* The programs of a mount that has just opened.  The filesystem exists or is all zeros (then the first program
 * formats it,
 * as mount does).  CLIENT: for notes. */
struct hx_work *hx_work_new(struct hx_sim *s, uint32_t client, struct hx_session *session, struct hx_fs *fs,
                            struct hx_epoch epoch);
/* The process died: nothing is answered any more; parked operations are forgotten (the session is freed next). */
void hx_work_free(struct hx_work *w);
/* Programs whose pause is over begin operations; returns when the next one wants to (virtual us; UINT64_MAX:
 * none). */
uint64_t hx_work_step(struct hx_work *w);
/* The session gives a parked operation back (hexad/session.h). */
struct hx_parked;
void hx_work_ready(struct hx_work *w, struct hx_parked *op);
/* The session is fenced or closed: from now on every operation fails, none succeeds (I13, F8). */
void hx_work_fenced(struct hx_work *w);
/* No more random operations; with SYNC every program ends with an fsync. True when all are answered. */
void hx_work_drain(struct hx_work *w, bool sync);
bool hx_work_idle(const struct hx_work *w);
/* Compares the whole tree with the model, through the filesystem's own calls, and hx_fs_verify; runs as an
 * operation of its
 * own program: hx_work_idle tells when it is done.  Also run at random after an opening. */
void hx_work_compare(struct hx_work *w);

#endif
