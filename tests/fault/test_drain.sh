#!/usr/bin/env bash
# A volume's servers come and go under a SQLite load: one is added, one is emptied while a program commits, leaves, and
# is ended; what cannot be is refused in words; a drain is undone; --check says what is so.  Then the same with nothing
# mounted.  At the end every acknowledged transaction is there, and all copies are the same.
# That it can fail was seen with a heal that passes drained servers over.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 20
names=(a1 a2 b1 b2 c1 c2)
members=()
for n in "${names[@]}"; do members+=("$n:az-${n:0:1}"); done
fleet_make "${members[@]}" a3:az-a b3:az-b || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}" a3 b3
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
mnt=$work/mnt
check "a volume is made" "$HEXAD" create vol0 --pg-size 32MiB
fleet_mount "$mnt"
head -c 40000000 /dev/urandom >"$mnt/big" && sync "$mnt/big" || die "some content"
sum=$(sha256sum <"$mnt/big")
loader "$mnt/t.db" "$work/acked" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!
goes_on() { wait_for acked_at_least "$work/acked" $(($(acked "$work/acked") + 5)) || { cat "$work/loader.log" "$mnt.log"; return 1; }; }
check "a program commits" goes_on

srv() { # srv CODE EXPRESSION WORDS...: hexad server WORDS --json, over the document d
    local want=$1 expression=$2 code
    shift 2
    timeout "$PATIENCE" "$HEXAD" server "$@" --volume vol0 --json >"$work/doc.json" 2>"$work/doc.log"
    code=$?
    [ $code = "$want" ] && python3 -c '
import json, sys
d = json.load(open(sys.argv[1]))
by = {s["name"]: s for s in d.get("servers", [])}
sys.exit(not eval(sys.argv[2]))' "$work/doc.json" "$expression" || {
        echo "code $code of: $*"
        cat "$work/doc.json" "$work/doc.log"
        tail -n 5 "$mnt.log"
        return 1
    }
}
url() { echo "https://127.0.0.1:${fleet_port[$1]}"; }
check "the volume's servers are listed" srv 0 'set(by) == {"a1","a2","b1","b2","c1","c2"} and all(s["roster"] == "IN" and s["segments"] == 2 and s["disk_free"] > 0 and s["load_percent"] == 100 for s in by.values())' list
check "one of six may be taken down" srv 0 'd["may_go"] and d["segments"] == 2' drain a1 --check
check "a zone without a spare cannot be emptied, and that is said" srv 3 'd["no_spare"] and d["segments_left"] == 2' drain a1
check "that is undone" srv 0 'd["done"] == "undo"' drain a1 --undo
check "a server is added" srv 0 'd["done"] == "add"' add a3 az-a "$(url a3)"
check "once: the second time changes nothing" srv 0 'd["done"] == "add"' add a3 az-a "$(url a3)"
check "it is one of the volume's servers, and of the configuration's" eval 'srv 0 "by[\"a3\"][\"roster\"] == \"IN\" and by[\"a3\"][\"segments\"] == 0" list && grep -q "^a3 = az-a" "$HEXAD_CONFIG"'
check "who holds segments cannot leave" srv 2 '"segments" in d["error"]["why"]' remove a1
check "a server is emptied while the program commits" srv 0 'd["segments_left"] == 0' drain a1
check "the program commits" goes_on
check "it holds nothing, and its spare does" srv 0 'by["a1"]["segments"] == 0 and by["a1"]["roster"] == "DRAINED" and by["a3"]["segments"] == 2' list
check "it leaves" srv 0 'd["done"] == "remove"' remove a1
fleet_kill a1
check "and nobody misses it" srv 0 'by["a1"]["roster"] == "GONE"' list
check "the program commits without it" goes_on
touch "$work/stop"
wait_for ended $l
fleet_unmount "$mnt" "$fleet_mount_pid"

check "with nothing mounted a server is added" srv 0 'd["done"] == "add"' add b3 az-b "$(url b3)"
check "and one emptied" srv 0 'd["segments_left"] == 0' drain b1
"$HEXAD" server remove b1 --volume vol0 >"$work/doc.log" 2>&1 || die "it leaves" "$(cat "$work/doc.log")"
fleet_kill b1
fleet_config left.conf a2 a3 b2 b3 c1 c2
export HEXAD_CONFIG=$fleet/left.conf
fleet_mount "$mnt"
whole() { loader --verify "$mnt/t.db" "$work/acked" && [ "$(sha256sum <"$mnt/big")" = "$sum" ]; }
check "every acknowledged transaction is there, and every page" whole
fleet_unmount "$mnt" "$fleet_mount_pid"
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
