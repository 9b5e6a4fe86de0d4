#!/usr/bin/env bash
# A mount has ended, and one server, then a second one, is gone for good: hexad repair gives its segments to the spare of
# its zone while nothing is mounted.  It is refused while a writer lives; without a spare it says so, and ends with 3.
# Killed in the middle, the next one goes on.  Afterwards, with two others gone, everything that was written is there.
# That it can fail was seen with repair-after=never in the command's session.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 12
names=(a1 a2 a3 b1 b2 b3 c1 c2)
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
refused() {
    "$HEXAD" repair vol0 --json >"$work/busy.json" 2>"$work/busy.log" && return 1
    grep -q -e "--takeover" "$work/busy.log" || { cat "$work/busy.log"; return 1; }
}
check "while it is mounted repair is refused, and says why" refused
fleet_unmount "$mnt" "$fleet_mount_pid" || die "it is unmounted" "$(cat "$mnt.log")"

repair() { # repair CODE EXPRESSION over the document d
    timeout "$PATIENCE" "$HEXAD" repair vol0 --after 1s --json >"$work/repair.json" 2>"$work/repair.log"
    local code=$?
    [ $code = "$1" ] && python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
        "$work/repair.json" "$2" || { echo "code $code"; cat "$work/repair.json" "$work/repair.log"; return 1; }
}
holds() { # segments that the volume has on server $1, by its geometry
    "$HEXAD" status vol0 --json >"$work/status.json"
    python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); print(sum(x["name"]==sys.argv[2] for x in s["segments"]))' \
        "$work/status.json" "$1"
}
check "where nobody is gone it has nothing to do" repair 0 "d['repair'] == 'DONE' and d['segments_moved'] == 0"
a=a1; [ "$(holds a1)" -gt 0 ] || a=a2
had=$(holds $a)
fleet_kill $a
# Killed at some moment: nothing is lost by that, and the next one goes on.
"$HEXAD" repair vol0 --after 1s >"$work/killed.log" 2>&1 & k=$!
begun() { ended $k || "$HEXAD" status vol0 --json | grep -q '"alive": true'; }
wait_for begun
kill -KILL $k
wait $k 2>/dev/null
check "all segments of a server that is gone are moved" repair 0 "d['repair'] == 'DONE' and d['no_spare'] == 0"
gone() { [ "$had" -gt 0 ] && [ "$(holds $a)" = 0 ]; }
check "it is a member of no group" gone
b=b1; [ "$(holds b1)" -gt 0 ] || b=b2
hb=$(holds $b)
fleet_kill $b
check "and those of another one" repair 0 "d['repair'] == 'DONE' and d['segments_moved'] == $hb"
fleet_kill c1
check "a zone without a spare is said" repair 3 "d['repair'] == 'DEGRADED' and d['no_spare'] > 0 and 'az-c' in d['message']"
check "the others stay as they are" repair 3 "d['segments_moved'] == 0"
fleet_start c1
check "until the server is back" repair 0 "d['repair'] == 'DONE' and d['no_spare'] == 0"

# Everything that was written is on those who took over: two of the old members are away, too.
fleet_kill c1 c2
# shellcheck disable=SC2046
fleet_config left.conf $(for n in "${names[@]}"; do case $n in "$a" | "$b" | c1 | c2) ;; *) echo "$n" ;; esac; done)
export HEXAD_CONFIG=$fleet/left.conf
fleet_mount "$mnt"
same() { [ "$(sha256sum <"$mnt/big")" = "$sum" ]; }
check "it is mounted by those that are left, and everything is there" same
fleet_start c1 c2
check "and programs can write" dd if=/dev/zero of="$mnt/more" bs=64k count=50 conv=fsync status=none
fleet_unmount "$mnt" "$fleet_mount_pid"
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
