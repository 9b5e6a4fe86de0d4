#!/usr/bin/env bash
# A zone is gone for long: it is given up by a word, and then one more server may go while programs commit; the mount is
# killed and opened again meanwhile, with three of four; the zone is taken back, and its places are filled.  A second
# zone is refused, and so is one that is not there.  Then the same with nothing mounted.  At the end every acknowledged
# transaction is there, and all copies are the same.
# That it can fail was seen with a driver that never degrades a group, and with one that never takes a place back.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 21
names=(a1 a2 b1 b2 c1 c2)
members=()
for n in "${names[@]}"; do members+=("$n:az-${n:0:1}"); done
fleet_make "${members[@]}" || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf
mnt=$work/mnt
check "a volume is made" "$HEXAD" create vol0 --pg-size 32MiB
fleet_mount "$mnt"
head -c 40000000 /dev/urandom >"$mnt/big" && sync "$mnt/big" || die "some content"
sum=$(sha256sum <"$mnt/big")
load() { loader "$mnt/t.db" "$work/acked" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!; }
goes_on() { wait_for acked_at_least "$work/acked" $(($(acked "$work/acked") + 5)) || { cat "$work/loader.log" "$mnt.log"; return 1; }; }
load
check "a program commits" goes_on

deg() { # deg CODE EXPRESSION WORDS...: hexad degrade vol0 WORDS --json, over the document d
    local want=$1 expression=$2 code
    shift 2
    timeout "$PATIENCE" "$HEXAD" degrade vol0 "$@" --json >"$work/doc.json" 2>"$work/doc.log"
    code=$?
    [ $code = "$want" ] && python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
        "$work/doc.json" "$expression" || { echo "code $code of: $*"; cat "$work/doc.json" "$work/doc.log"; tail -n 5 "$mnt.log"; return 1; }
}
status() { # status EXPRESSION over the document s
    "$HEXAD" status vol0 --json >"$work/status.json" 2>"$work/status.log"
    python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$work/status.json" "$1" ||
        { "$HEXAD" status vol0; return 1; }
}
check "a zone that is not there is refused, and those that are are named" deg 2 '"az-a" in d["error"]["why"] and "az-c" in d["error"]["why"]' --zone az-x
fleet_kill b1
fleet_kill b2
check "without a zone the program commits" goes_on
check "the zone is given up" deg 0 'd["done"] == "degrade" and d["groups_degraded"] > 1 and d["places_left"] == 0' --zone az-b
check "a second time changes nothing" deg 0 'd["groups_degraded"] > 1 and d["places_left"] == 0' --zone az-b
check "status says so, and how it ends" status 's["state"] == "DEGRADED" and "az-b" in s["message"] and "--undo" in s["action"] and all(len([m for m in g["servers"] if m is not None]) == 4 == g["good"] for g in s["groups"])'
check "another zone is refused" deg 2 '"another zone" in d["error"]["why"]' --zone az-c
fleet_kill a1
check "with one more server lost the program commits" goes_on
fleet_unmount_hard() { kill -KILL "$fleet_mount_pid"; wait "$fleet_mount_pid" 2>/dev/null; fusermount3 -uz "$mnt" 2>/dev/null; }
touch "$work/stop"
wait_for ended $l
fleet_unmount_hard
rm -f "$work/stop"
fleet_mount "$mnt"
whole() { loader --verify "$mnt/t.db" "$work/acked" && [ "$(sha256sum <"$mnt/big")" = "$sum" ]; }
check "after kill -9, with three of four, it is opened, and everything is there" whole
load
check "the program commits" goes_on
fleet_start a1
check "a zone whose servers are silent cannot be filled yet" eval 'deg 0 "d[\"done\"] == \"undo\"" --zone az-b --undo --no-wait && status "s[\"state\"] != \"OK\""'
fleet_start b1 b2
check "it is taken back" deg 0 'd["groups_degraded"] == 0 and d["places_left"] == 0' --zone az-b --undo
check "the program commits" goes_on
well() { status 's["state"] == "OK" and all(g["good"] == 6 for g in s["groups"])'; }
check "all groups have six members again" wait_for well
fleet_kill a1
fleet_kill c1
check "two servers may be lost again, and the program commits" goes_on
fleet_start a1 c1
touch "$work/stop"
wait_for ended $l
check "every acknowledged transaction is there, and every page" whole
fleet_unmount "$mnt" "$fleet_mount_pid"

fleet_kill c1
fleet_kill c2
check "with nothing mounted a zone is given up" deg 0 'd["groups_degraded"] > 1 and d["places_left"] == 0' --zone az-c
fleet_start c1 c2
check "and taken back" deg 0 'd["groups_degraded"] == 0 and d["places_left"] == 0' --zone az-c --undo
fleet_mount "$mnt"
check "everything is there" whole
fleet_unmount "$mnt" "$fleet_mount_pid"
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
