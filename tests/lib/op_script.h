/*
 * op_script.h - every operation of the filesystem, over one prepared tree: what tests of crashes carry out.
 *
 * A script is the one program of the simulator's mounts (sim.h): each life removes what is there, makes the tree anew,
 * waits until that is durable, carries out one or two operations, and ends with a barrier.  The tests say when it dies.
 */
#ifndef HEXAD_TESTS_OP_SCRIPT_H
#define HEXAD_TESTS_OP_SCRIPT_H

#include "../../src/sim/work_private.h"

/* What the tree has. */
enum op_slot {
    ROOT, A, B_SGID, C_ACL, EMPTY, FULL, INNER, FILE_, ISLANDS, BIG, LINK_, PIPE, TWO, NAMELESS, OPEN_, SPARE,
    SLOTS, NONE
};
struct op_step {
    struct hx_act a;     /* ino and ino2 are slots */
    enum op_slot made;   /* where the inode that it gives is kept; NONE */
    const char *name;    /* of an operation that is tried */
};
extern const struct op_step op_tried[];
extern const unsigned op_tried_count;

enum op_stage { OP_CLEAN, OP_PREP, OP_BARRIER, OP_SEQUENCE, OP_LAST_BARRIER, OP_DONE };
struct op_script {
    struct hx_sim *s;                /* borrowed */
    const struct op_step *seq[2];
    unsigned seq_len;
    bool between;                    /* a barrier between the two */
    void (*begins)(void *arg);       /* the sequence does, now */
    void *arg;
    struct hx_sim_script script;     /* for hx_sim.script */
    enum op_stage stage;
    unsigned at;                     /* in the tree's making, or in the sequence */
    enum op_slot made;               /* of the step under way */
    uint64_t ino[SLOTS];
};
/* A sequence of one (B NULL) or two.  Then s->script = &script->script. */
void op_script_init(struct op_script *o, struct hx_sim *s, const struct op_step *a, const struct op_step *b);
void op_script_begin(struct op_script *o); /* before each mount that carries it out */
void op_script_name(const struct op_script *o, char *text, size_t cap);
/* Sequence number I of all pairs, mixed, so that any few of them are of all kinds. */
void op_script_pair(uint64_t i, const struct op_step **ret_a, const struct op_step **ret_b);

#endif
