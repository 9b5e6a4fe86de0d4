#!/usr/bin/env bash
# Fifteen servers, A to O, and a volume of several groups over them, under a SQLite load.  Servers are killed for good, one
# after the other, now and then two at once; each is replaced by those that are there, leaves the volume, and a new one is
# added in its zone.  The whole run (HEXAD_FLEET=15; `make check-fleet`) goes on until none of the fifteen is left, so each
# segment of the beginning has moved at least once.  At the end another client, that knows only servers of later, finds
# every acknowledged transaction and every page, and all copies are the same.
# That it can fail was seen with a learner that counts when half of its pages are there.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
kills=${HEXAD_FLEET:-3}
names=(A B C D E F G H I J K L M N O)
members=() later=()
for i in "${!names[@]}"; do
    members+=("${names[$i]}:az-$((i / 5 + 1))")
    [ "$i" -ge "$kills" ] || later+=("N$i")
done
# The order of the kills is drawn; who takes a killed one's place in the fleet is of the same zone.
order=("${names[@]}")
for ((i = 14; i > 0; i--)); do
    rand 0 "$i"
    n=${order[i]} order[i]=${order[random]} order[random]=$n
done
zone_of() { for m in "${members[@]}"; do [ "${m%%:*}" != "$1" ] || echo "${m#*:}"; done; }
for i in "${!later[@]}"; do members+=("${later[$i]}:$(zone_of "${order[$i]}")"); done
plan $((6 + kills + (kills == 15)))
note "seed $SEED, in this order: ${order[*]:0:$kills}"
fleet_make "${members[@]}" || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
mnt=$work/mnt
mkdir "$mnt"
check "a volume is made" "$HEXAD" create vol0 --pg-size 4MiB

down() { # the mount, in order or by force
    fusermount3 -u "$mnt" || umount -l "$mnt"
    wait_for ended "$mount_pid" || kill -KILL "$mount_pid"
}
up() {
    "$HEXAD" mount vol0 "$mnt" -f -o "$1" >>"$work/mount.log" 2>&1 </dev/null & mount_pid=$!
    wait_for grep -q . "$mnt/.hexad/status" || { cat "$work/mount.log"; return 1; }
}
at_end down
up repair-after=2s || die "it is mounted" "$(cat "$work/mount.log")"
cat >"$work/repair.py" <<'PY'
"""repair.py EXPRESSION over the mount's status.json: s (all), r (repair), held(NAME) (segments of a server), under_way
(changes; but for those whose last word is for a server that is gone, and need not hear it)."""
import json, sys
s = json.load(open(sys.argv[1]))
r = s["repair"]
held = lambda n: sum(x["segments"] for x in s["segments"] if x["name"] == n)
under_way = [c for c in r["changes"] if c["state"] != "telling"]
v = eval(sys.argv[2])
print(v)
sys.exit(not v)
PY
repair() { python3 "$work/repair.py" "$mnt/.hexad/status.json" "$1"; }
wrong() {
    tail -n 5 "$work/mount.log"
    head -n 30 "$mnt/.hexad/status"
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["repair"])' "$mnt/.hexad/status.json"
}
url() { echo "https://127.0.0.1:${fleet_port[$1]}"; }

head -c 14000000 /dev/urandom >"$mnt/big" && sync "$mnt/big" || die "some content"
sum=$(sha256sum <"$mnt/big")
loader "$mnt/t.db" "$work/acked" --mode wal --pause 0.02 --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!
goes_on() { wait_for acked_at_least "$work/acked" $(($(acked "$work/acked") + 5)) || { cat "$work/loader.log"; wrong; return 1; }; }
check "it has several groups, and a program commits" eval 'repair "s[\"protection_groups\"] >= 4" && goes_on'

renew() { # renew KILLED AS: who is gone leaves the volume, and another one comes
    "$HEXAD" server remove "$1" --volume vol0 || return 1
    fleet_start "$2"
    "$HEXAD" server add "$2" "${fleet_zone[$2]}" "$(url "$2")" --volume vol0
}
turn() { # turn "KILLED AS" ...: killed at once, and each is a loss for good
    local pair
    for pair in "$@"; do fleet_kill "${pair% *}"; rm -rf "${fleet:?}/${pair% *}.d"; done
    goes_on || return 1
    for pair in "$@"; do
        wait_for repair "held('${pair% *}') == 0" || { wrong; echo "${pair% *} is not replaced"; return 1; }
    done
    wait_for repair "not under_way and s['state'] == 'OK'" || { wrong; echo "the repair does not end"; return 1; }
    for pair in "$@"; do
        # shellcheck disable=SC2086
        renew $pair || { wrong; return 1; }
    done
    goes_on
}
i=0
while [ "$i" -lt "$kills" ]; do
    a=${order[$i]} at_once=("${order[$i]} ${later[$i]}")
    rand 0 3
    if [ "$random" = 0 ] && [ $((i + 1)) -lt "$kills" ]; then
        i=$((i + 1))
        at_once+=("${order[$i]} ${later[$i]}")
    fi
    for pair in "${at_once[@]}"; do
        [ "$pair" != "${at_once[0]}" ] || { turn "${at_once[@]}" >"$work/turn.log" 2>&1 && ok=1 || ok=0; }
        [ $ok = 1 ] || die "${pair% *} is lost, replaced, and gone" "$(cat "$work/turn.log")"
        pass "${pair% *} is lost, replaced, and gone$([ ${#at_once[@]} = 1 ] || echo ", two at once")"
    done
    i=$((i + 1))
done
[ "$kills" -lt 15 ] || check "no segment is where one was at the beginning" \
    repair "all(x['name'][0] == 'N' for x in s['segments'] if x['segments'])"
touch "$work/stop"
wait_for ended $l
check "the program has seen no error" eval '! grep "^!" "$work/acked"'
note "$(acked "$work/acked") transactions, $(repair 's["protection_groups"]') groups, $(repair "r['versions']") versions, $SECONDS s"

# Another client, which knows only those that are left.
down
fleet_config left.conf "${order[@]:$kills}" "${later[@]}"
export HEXAD_CONFIG=$fleet/left.conf
up repair-after=never || die "it is mounted again" "$(tail "$work/mount.log")"
whole() { loader --verify "$mnt/t.db" "$work/acked" && [ "$(sha256sum <"$mnt/big")" = "$sum" ]; }
check "another client finds every acknowledged transaction, and every page" whole
down
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
listed() { "$HEXAD" server list --volume vol0 --json >"$work/list.json" && python3 -c '
import json, sys
by = {s["name"]: s for s in json.load(open(sys.argv[1]))["servers"]}
gone = sys.argv[2:]
sys.exit(not (all(by[n]["roster"] == "GONE" for n in gone) and sum(s["roster"] == "IN" for s in by.values()) == 15))' "$work/list.json" "$@" || { cat "$work/list.json"; return 1; }; }
check "the volume has fifteen servers, and the lost ones are none of them" listed "${order[@]:0:$kills}"
