#!/usr/bin/env bash
# Three of six servers are gone for good, with their disks.  Nothing opens the volume then but an operator's word; it is
# refused while one of the three answers, without the volume's name, and where four are named.  Then every acknowledged
# transaction is there on the three that are left; new servers are added, and every group has six members again.  A
# server that was declared lost and comes back is no member of anything.
# That it can fail was seen with a word that leaves the row as it was, and with one that burns nobody.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 17
names=(a1 a2 b1 b2 c1 c2)
members=()
for n in "${names[@]}" a3 b3 c3; do members+=("$n:az-${n:0:1}"); done
fleet_make "${members[@]}" || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}" a3 b3 c3
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
touch "$work/stop"
wait_for ended $l
rm -f "$work/stop"
kill -KILL "$fleet_mount_pid"; wait "$fleet_mount_pid" 2>/dev/null; fusermount3 -uz "$mnt" 2>/dev/null

rep() { # rep CODE EXPRESSION WORDS...: hexad repair vol0 WORDS --json, over the document d
    local want=$1 expression=$2 code
    shift 2
    timeout "$PATIENCE" "$HEXAD" repair vol0 "$@" --after 1s --json >"$work/doc.json" 2>"$work/doc.log" </dev/null
    code=$?
    [ $code = "$want" ] && python3 -c 'import json,sys; d=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' \
        "$work/doc.json" "$expression" || { echo "code $code of: $*"; cat "$work/doc.json" "$work/doc.log"; return 1; }
}
status() { # status EXPRESSION over the document s
    "$HEXAD" status vol0 --json >"$work/status.json" 2>"$work/status.log"
    python3 -c 'import json,sys; s=json.load(open(sys.argv[1])); sys.exit(not eval(sys.argv[2]))' "$work/status.json" "$1" ||
        { "$HEXAD" status vol0; return 1; }
}
for n in a1 b1 c1; do fleet_kill $n; done
check "whom the volume does not have cannot be lost" rep 2 '"no server d9" in d["error"]["why"]' --lost d9 --confirm vol0
check "nor who answers" eval '! rep 0 True --lost a1,b1,c2 --confirm vol0 && grep -q "c2 answers" "$work/doc.log"'
check "without the volume's name nothing is done" rep 2 '"typed" in d["error"]["why"]' --lost a1,b1,c1
fleet_kill c2
check "with four gone nothing is guessed, and the groups are named" eval '! rep 0 True --lost a1,b1,c1,c2 --confirm vol0 && grep -q "PG 0, 1" "$work/doc.log"'
fleet_start c2
wait_for status 's["state"] == "NO WRITE QUORUM"'
check "by the word it goes on with three" rep 3 'd["repair"] == "DEGRADED" and d["no_spare"] > 0' --lost a1,b1,c1 --confirm vol0
check "status says so" status 's["state"] == "DEGRADED" and "fewer than six" in s["message"] and all(g["good"] == 3 for g in s["groups"])'
check "those who were lost are burnt" eval '"$HEXAD" server list --volume vol0 --json >"$work/list.json"; python3 -c "import json,sys; s={x[\"name\"]: x[\"roster\"] for x in json.load(open(sys.argv[1]))[\"servers\"]}; sys.exit(not (s[\"a1\"] == s[\"b1\"] == s[\"c1\"] == \"BURNT\" and s[\"a2\"] == \"IN\"))" "$work/list.json"'
fleet_config left.conf a2 b2 c2
export HEXAD_CONFIG=$fleet/left.conf
fleet_mount "$mnt"
whole() { loader --verify "$mnt/t.db" "$work/acked" && [ "$(sha256sum <"$mnt/big")" = "$sum" ]; }
check "every acknowledged transaction is there, and every page" whole
load
check "the program commits" goes_on
for n in a3 b3 c3; do
    "$HEXAD" server add $n az-${n:0:1} "https://127.0.0.1:${fleet_port[$n]}" --volume vol0 >"$work/add.log" 2>&1 || die "$n is added" "$(cat "$work/add.log")"
done
well() { status 's["state"] == "OK" and all(g["good"] == 6 for g in s["groups"])'; }
check "new servers fill the places, while programs commit" wait_for well
check "the program commits" goes_on
fleet_start a1 b1 c1
check "with those back who were lost the program commits" goes_on
check "they are members of nothing" status 'not [x for x in s["segments"] if x["name"] in ("a1", "b1", "c1")]'
touch "$work/stop"
wait_for ended $l
check "every acknowledged transaction is there, and every page, as before" whole
fleet_unmount "$mnt" "$fleet_mount_pid"
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
