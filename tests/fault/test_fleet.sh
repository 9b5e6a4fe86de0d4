#!/usr/bin/env bash
# Fifteen servers, A to O, five in each of three zones: a volume grows to five groups over them, evenly, and is found by
# clients that know a few of them; a server is added, listed, killed, and back.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
plan 14
names=(A B C D E F G H I J K L M N O)
members=()
for i in "${!names[@]}"; do members+=("${names[$i]}:az-$((i / 5 + 1))"); done
fleet_make "${members[@]}" P:az-1 || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
cat >"$work/list.py" <<'PY'
"""list.py EXPRESSION: true of `hexad server list --json`?  Names: code, servers (by name), by (a member of all of them)."""
import json, os, subprocess, sys
r = subprocess.run([os.environ["HEXAD"], "server", "list", "--json"], stdout=subprocess.PIPE, text=True)
code, servers = r.returncode, {s["name"]: s for s in json.loads(r.stdout)["servers"]}
by = lambda member: [s.get(member) for s in servers.values()]
if not eval(sys.argv[1]):
    sys.exit("not so: code %d %s" % (code, r.stdout))
PY
export HEXAD
listed() { python3 "$work/list.py" "$1"; }
fill() { "$HEXAD_BUILD/tests/bench/bench_scale" fill "$HEXAD_CONFIG" vol0 "$1" >>"$work/fill.log" 2>&1 || [ $? = 137 ]; }
looks() { "$HEXAD_BUILD/tests/bench/bench_scale" open "$1" vol0 5 >"$work/look.log" 2>&1 || [ $? = 137 ] && grep -q '"groups": 5' "$work/look.log"; }

check "fifteen servers are listed, all of them spares" wait_for listed \
    'code == 0 and len(servers) == 15 and set(by("state")) == {"SPARE"} and by("segments") == [0] * 15'
check "each has told its disk and how fast it answers" wait_for listed 'all(s["disk_total"] > s["disk_free"] > 0 and s["answer_us"] > 0 for s in servers.values())'
check "a volume is made on six of them" "$HEXAD" create vol0 --pg-size 1MiB
check "it grows to five groups" eval 'fill 5; status "pgs == 5"'
check "then each of the fifteen has two segments" wait_for listed 'code == 0 and by("segments") == [2] * 15'
check "two members of each group in each of three zones" status 'all(sorted(s["zone"] for s in segments if s["pg"] == pg) == ["az-1"] * 2 + ["az-2"] * 2 + ["az-3"] * 2 for pg in range(5))'
check "the same in words" eval '[ "$("$HEXAD" server list | grep -c " OK ")" = 15 ]'
first=$(python3 "$LIB/status.py" "$HEXAD" vol0 --print "' '.join(s['name'] for s in segments if s['pg'] == 0)")
# shellcheck disable=SC2086
fleet_config few.conf $(cut -d' ' -f1,3,5 <<<"$first")
check "a client that knows three of the first group's servers finds all of it" looks "$fleet/few.conf"
fleet_start P
check "a server is added" "$HEXAD" server add P az-1 "https://127.0.0.1:${fleet_port[P]}"
check "and listed as a spare" wait_for listed 'code == 0 and len(servers) == 16 and servers["P"]["state"] == "SPARE"'
check "it is not added twice" eval '! "$HEXAD" server add P az-1 "https://127.0.0.1:${fleet_port[P]}"'
check "nor one that does not answer there" eval '! "$HEXAD" server add Q az-1 https://127.0.0.1:1 && ! grep -q Q "$HEXAD_CONFIG"'
fleet_kill C
check "one that is killed is down, the others are well" wait_for listed \
    'code == 3 and servers["C"]["state"] == "DOWN" and by("state").count("OK") == 14'
fleet_start C
check "and back with its segments" wait_for listed 'code == 0 and servers["C"]["segments"] == 2'
