/*
 * config.c - the configurations that are searched.
 *
 * Small numbers of members stand for six: what the proof uses is that two write quorums meet, and that a write quorum
 * meets a read quorum; n = 3, 2, 2 and n = 4, 3, 2 have that like n = 6, 4, 3.  The sixes themselves are walked.
 * A plan has a digit (the PG) for each record and a dot after the last record of each MTR.
 */
#include "model.h"

#include <string.h>

#define ONE_PG .pgs = 1
#define THREE .n = 3, .w = 2, .r = 2
#define FOUR .n = 4, .w = 3, .r = 2
#define SIX .n = 6, .w = 4, .r = 3
#define LISTS(...) {.pgs = 1, .lists = {1}, .list = {{__VA_ARGS__}}}
#define BOTH(...) {.pgs = 1, .lists = {2}, .list = {{__VA_ARGS__}}}
#define DECLARED(left, ...) {.pgs = 1, .lists = {1}, .list = {{__VA_ARGS__}}, .must = left}
#define LISTS1(...) {.pgs = 2, .lists = {0, 1}, .list = {{0}, {__VA_ARGS__}}}
#define BOTH1(...) {.pgs = 2, .lists = {0, 2}, .list = {{0}, {__VA_ARGS__}}}

const struct md_cfg md_configs[] = {
    {.name = "three", .about = "1 PG, n=3 W=2 R=2, 2 recoveries, 2+2 LSNs", THREE, ONE_PG, .attempts = 3,
     .plan = {"0.0.", "0.0."}, .lal = 2, .weight = 1},
    {.name = "three-small",
     .about = "the same, 1+1 LSNs, with removal of void records",
     THREE, ONE_PG, .attempts = 3,
     .plan = {"0.", "0."}, .lal = 2, .flags = MD_PURGE, .weight = 1},
    {.name = "three-deep", .about = "3 recoveries, 1+1+1 LSNs", THREE, ONE_PG, .attempts = 4,
     .plan = {"0.", "0.", "0."}, .lal = 2, .weight = 2},
    {.name = "three-rivals",
     .about = "3 recoveries, two of them with the same number (1, 2, 2, 3), 1+1+1 LSNs",
     THREE,
     ONE_PG, .attempts = 4, .num = {1, 2, 2, 3}, .plan = {"0.", "0.", "0."}, .lal = 2, .weight = 1},
    {.name = "three-no-gap", .about = "LSNs are used again (no gap between epochs), 2+2+2 LSNs", THREE, ONE_PG,
     .attempts = 3, .plan = {"0.0.", "0.0.", "0.0."}, .lal = 0, .weight = 2},
    {.name = "three-no-gap-small",
     .about = "the same, 1+1 LSNs", THREE, ONE_PG, .attempts = 3, .plan = {"0.",
     "0."},
     .lal = 0, .weight = 1},
    {.name = "three-mtr",
     .about = "an MTR of two records, and one of one; 2 recoveries",
     THREE, ONE_PG, .attempts = 3,
     .plan = {"00.", "0."}, .lal = 2, .weight = 1},
    {.name = "three-parent", .about = "laggards get the parent history (step 6), 2+1+1 LSNs", THREE, ONE_PG,
     .attempts = 3, .plan = {"0.0.", "0.", "0."}, .lal = 2, .flags = MD_PARENT_ADOPT, .weight = 2},
    {.name = "three-hints",
     .about = "inventories begin at the announced VDL, void records are removed; 2+1 LSNs",
     THREE,
     ONE_PG, .attempts = 3, .plan = {"0.0.", "0."}, .lal = 2, .flags = MD_HINTS | MD_PARENT_ADOPT | MD_PURGE,
     .weight = 2},
    {.name = "three-hints-damage",
     .about = "the same with one damaged record, 1+1 LSNs",
     THREE, ONE_PG, .attempts = 3,
     .plan = {"0.", "0."}, .lal = 2, .flags = MD_HINTS | MD_PARENT_ADOPT | MD_PURGE, .damage = 1, .weight = 1},
    {.name = "three-hints-deep", .about = "the same, 3 recoveries, 1+1+1 LSNs", THREE, ONE_PG, .attempts = 4,
     .plan = {"0.", "0.", "0."}, .lal = 2, .flags = MD_HINTS | MD_PARENT_ADOPT | MD_PURGE, .weight = 3},
    {.name = "three-wiped", .about = "one disk is lost at any time, 2 recoveries, 2+1 LSNs", THREE, ONE_PG,
     .attempts = 3, .plan = {"0.0.", "0."}, .lal = 2, .wipes = 1, .weight = 1},
    {.name = "four", .about = "1 PG, n=4 W=3 R=2, 2 recoveries, 2+1 LSNs", FOUR, ONE_PG, .attempts = 3,
     .plan = {"0.0.", "0."}, .lal = 2, .weight = 2},
    {.name = "four-small",
     .about = "the same, 1+1 LSNs", FOUR, ONE_PG, .attempts = 3, .plan = {"0.",
     "0."}, .lal = 2,
     .weight = 1},
    {.name = "four-rivals", .about = "n=4 W=3 R=2, two recoveries with the same number, 1+1 LSNs", FOUR, ONE_PG,
     .attempts = 3, .num = {1, 2, 2}, .plan = {"0.", "0.", "0."}, .lal = 2, .weight = 1},
    {.name = "four-claim-2", .about = "n=4 W=3 R=2, PG 0 claimed by R only, distinct numbers", FOUR, ONE_PG,
     .claim = 2, .attempts = 3, .plan = {"0.", "0."}, .lal = 2, .weight = 2},
    {.name = "four-damage", .about = "n=4 W=3 R=2, claimed by R, one damaged record, 2 recoveries, 1+1 LSNs", FOUR,
     ONE_PG, .claim = 2, .attempts = 3, .plan = {"0.", "0."}, .lal = 2, .damage = 1, .weight = 2},
    {.name = "three-damage",
     .about = "n=3, one damaged record, 2 recoveries, 2+1 LSNs",
     THREE, ONE_PG, .attempts = 3,
     .plan = {"0.0.", "0."}, .lal = 2, .damage = 1, .weight = 2},
    {.name = "two-pgs",
     .about = "2 PGs, n=3, 1 recovery, 2+2 LSNs, one MTR over both",
     THREE, .pgs = 2, .attempts = 2,
     .plan = {"01.", "01."}, .lal = 2, .weight = 1},
    {.name = "two-pgs-deep", .about = "2 PGs, n=3, 2 recoveries, an MTR over both and 1 LSN", THREE, .pgs = 2,
     .attempts = 3, .plan = {"01.", "1."}, .lal = 2, .weight = 2},
    {.name = "two-pgs-hints",
     .about = "2 PGs, n=3, 1 recovery, inventories begin at the announced VDL, 2+1 LSNs",
     THREE,
     .pgs = 2, .attempts = 2, .plan = {"0.1.", "1."}, .lal = 2, .flags = MD_HINTS | MD_PARENT_ADOPT, .weight = 2},
    {.name = "four-pgs",
     .about = "2 PGs, n=4 W=3 R=2, 1 recovery, 1+1 LSNs in PG 1",
     FOUR, .pgs = 2, .attempts = 2,
     .plan = {"1.", "1."}, .lal = 2, .weight = 1},
    {.name = "grow", .about = "growth from 1 PG to 2, n=3, 1 recovery, an LSN in each PG", THREE, .pgs = 2,
     .attempts = 2, .plan = {"0.1.", "1."}, .lal = 2, .versions = 2, .moving = 1,
     .view = {{.pgs = 1}, {.pgs = 2}}, .weight = 1},
    {.name = "grow-deep", .about = "the same, 2 recoveries", THREE, .pgs = 2, .attempts = 3, .plan = {"1.", "1."},
     .lal = 2, .versions = 2, .moving = 1, .view = {{.pgs = 1}, {.pgs = 2}}, .weight = 3},
    {.name = "swap", .about = "PG 0 of n=3 moves C to D in two steps, 1 recovery, 1+1 LSNs", THREE, ONE_PG,
     .attempts = 2, .slots = {4}, .plan = {"0.", "0."}, .lal = 2, .versions = 3, .newcomers = 8,
     .view = {LISTS(7), BOTH(7, 11), LISTS(11)}, .weight = 2},
    {.name = "swap-deep", .about = "the same, 2 recoveries", THREE, ONE_PG, .attempts = 3, .slots = {4},
     .plan = {"0.", "0."}, .lal = 2, .versions = 3, .newcomers = 8, .view = {LISTS(7), BOTH(7, 11), LISTS(11)},
     .weight = 3},
    {.name = "swap-four",
     .about = "PG 0 of n=4 W=3 R=2 moves D to E in two steps, 1 recovery, 1+1 LSNs",
     FOUR, ONE_PG,
     .attempts = 2, .slots = {5}, .plan = {"0.", "0."}, .lal = 2, .versions = 3, .newcomers = 16,
     .view = {LISTS(15), BOTH(15, 23), LISTS(23)}, .weight = 2},
    {.name = "swap-back", .about = "PG 0 of n=3: D joins and leaves again, 1 recovery, 1+1 LSNs", THREE, ONE_PG,
     .attempts = 2, .slots = {4}, .plan = {"0.", "0."}, .lal = 2, .versions = 3, .newcomers = 8,
     .view = {LISTS(7), BOTH(7, 11), LISTS(7)}, .weight = 2},
    {.name = "swap-pg1",
     .about = "PG 1 of n=3 moves a member in two steps, PG 0 stays, 1 recovery, 1+1 LSNs",
     THREE,
     .pgs = 2, .attempts = 2, .slots = {3, 4}, .plan = {"1.", "1."}, .lal = 2, .versions = 3, .moving = 1,
     .newcomers = 8, .view = {LISTS1(7), BOTH1(7, 11), LISTS1(11)}, .weight = 2},
    {.name = "declare", .about = "n=4 W=3 R=2: C and D are declared lost, perhaps wrongly; 2 recoveries, 1+1 LSNs",
     FOUR, ONE_PG, .attempts = 3, .slots = {6}, .plan = {"0.", "0."}, .lal = 2, .versions = 3, .newcomers = 48,
     .flags = MD_DECLARE, .view = {LISTS(15), DECLARED(3, 51), LISTS(51)}, .weight = 3},
    {.name = "declare-small",
     .about = "the same, without LSNs in the second epoch, no gossip of histories",
     FOUR, ONE_PG,
     .attempts = 3, .slots = {6}, .plan = {"0."}, .lal = 2, .versions = 3, .newcomers = 48,
     .flags = MD_DECLARE | MD_NO_HISTORY_GOSSIP, .view = {LISTS(15), DECLARED(3, 51), LISTS(51)}, .weight = 2},
    {.name = "declare-twice",
     .about = "two operators declare different halves lost (their word is wrong)",
     FOUR, ONE_PG,
     .attempts = 3, .slots = {8}, .plan = {"0."}, .lal = 2, .versions = 4, .newcomers = 240,
     .flags = MD_DECLARE | MD_RIVAL_DECLARE | MD_NO_HISTORY_GOSSIP,
     .view = {LISTS(15), DECLARED(3, 51), LISTS(51), DECLARED(12, 204)},
     .weight = 4},
    {.name = "six", .about = "n=6 W=4 R=3, 1 PG, 2 recoveries, 1 LSN, no gossip of histories", SIX, ONE_PG,
     .attempts = 3, .plan = {"0."}, .lal = 2, .flags = MD_NO_HISTORY_GOSSIP | MD_PARENT_ADOPT, .weight = 2},
    {.name = "six-log", .about = "n=6 W=4 R=3, 1 PG, 1 recovery, 2+2 LSNs", SIX, ONE_PG, .attempts = 2,
     .plan = {"0.0.", "0.0."}, .lal = 2, .weight = 3},
    {.name = "six-walk",
     .about = "n=6 W=4 R=3, 2 PGs, 3 recoveries, 3+2+2+2 LSNs, MTRs over both (for walks)",
     SIX,
     .pgs = 2, .attempts = 4, .plan = {"0.01.", "01.", "1.0.", "01."}, .lal = 3, .flags = MD_PARENT_ADOPT,
     .weight = 4},
    {.name = "six-walk-rivals", .about = "the same, numbers 1, 2, 2, 3", SIX, .pgs = 2, .attempts = 4,
     .num = {1, 2, 2, 3}, .plan = {"0.01.", "01.", "1.0.", "01."}, .lal = 3, .flags = MD_PARENT_ADOPT, .weight = 4},
    {.name = "six-walk-hints", .about = "the same with hints, removal and one damaged record", SIX, .pgs = 2,
     .attempts = 4, .plan = {"0.01.", "01.", "1.0.", "01."}, .lal = 3,
     .flags = MD_PARENT_ADOPT | MD_HINTS | MD_PURGE, .damage = 1, .weight = 4},
    {.name = "six-walk-swap",
     .about = "n=6: PG 0 moves F to G in two steps, 3 recoveries, 2+2+1 LSNs (for walks)",
     SIX,
     ONE_PG, .attempts = 4, .slots = {7}, .plan = {"0.0.", "0.0.", "0."}, .lal = 3, .versions = 3, .newcomers = 64,
     .view = {LISTS(63), BOTH(63, 95), LISTS(95)}, .flags = MD_PARENT_ADOPT, .weight = 4},
    {.name = NULL},
};

const struct md_cfg *md_config_find(const char *name)
{
    for (const struct md_cfg *c = md_configs; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}
