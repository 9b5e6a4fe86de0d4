/*
 * journal.h - every change that any mount accepted, by epoch and LSN; what of it is official; what was promised.
 *
 * The official changes under a history are, of each epoch in it, those with CPL <= the VDL of every later
 * entry.  When a mount opens, the model of the filesystem is set to exactly that prefix, and what the mount
 * serves must equal it (I7). A barrier that was answered with success must be inside every later history (I1).
 *
 * A writer that was fenced without knowing it goes on appending to its own epoch: such changes stay in the journal and
 * never become official.  Memory: a record for each change, a model of the last opening's prefix.
 */
#ifndef HX_SIM_JOURNAL_H
#define HX_SIM_JOURNAL_H

#include "hexad/history.h"
#include "sim.h"
#include "tree.h"

struct hx_journal *hx_journal_new(struct hx_sim *s);
void hx_journal_free(struct hx_journal *j);
/* An epoch has opened, with HISTORY's top entry: checks the barriers (I1), and gives the model of what it must
 * find; the caller frees it with hx_tree_free.  *ret_kept, *ret_lost: changes of the parent epoch that were
 * kept and cut off. */
struct hx_tree *hx_journal_opened(struct hx_journal *j, const struct hx_history *h, uint64_t *ret_kept,
                                  uint64_t *ret_lost);
/* EPOCH's mount accepted a change whose last record is CPL (the last LSN so far when it changed no page). */
void hx_journal_append(struct hx_journal *j, struct hx_epoch epoch, struct hx_lsn cpl, const struct hx_act *a);
/* The CPL of EPOCH's last change so far; 0: none. */
struct hx_lsn hx_journal_last(const struct hx_journal *j, struct hx_epoch epoch);
/* A program of EPOCH's mount was told that everything accepted through CPL is durable. */
void hx_journal_durable(struct hx_journal *j, struct hx_epoch epoch, struct hx_lsn cpl);
uint64_t hx_journal_tag(struct hx_journal *j); /* never given before */
uint64_t hx_journal_count(const struct hx_journal *j);

#endif
