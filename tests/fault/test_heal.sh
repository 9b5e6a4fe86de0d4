#!/usr/bin/env bash
# Nine servers, three in each zone, one volume on six of them and a mount under load.  One member is away for a moment and
# stays what it is; one is killed for good and replaced by the spare of its zone; then another one, of the first group
# like all; then two zones have no spare left, and that is said.  At the end the file system is whole, every acknowledged
# transaction is there, and all copies are what the others have.
# That it can fail was seen with repair-after=never.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 13
names=(a1 a2 a3 b1 b2 b3 c1 c2 c3)
members=()
for n in "${names[@]}"; do members+=("$n:az-${n:0:1}"); done
fleet_make "${members[@]}" || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
mnt=$work/mnt
mkdir "$mnt"
check "a volume is made" "$HEXAD" create vol0 --pg-size 32MiB

down() { # the mount, in order or by force
    fusermount3 -u "$mnt" || umount -l "$mnt"
    wait_for ended "$mount_pid" || kill -KILL "$mount_pid"
}
up() {
    "$HEXAD" mount vol0 "$mnt" -f -o "$1" >>"$work/mount.log" 2>&1 </dev/null & mount_pid=$!
    wait_for grep -q . "$mnt/.hexad/status" || { cat "$work/mount.log"; return 1; }
}
at_end down
up repair-after=5s || die "it is mounted" "$(cat "$work/mount.log")"
repair() { # repair EXPRESSION over the mount's status.json: r (repair), s (all), seg(NAME)
    python3 - "$mnt/.hexad/status.json" "$1" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
r, seg = s["repair"], lambda n: [x for x in s["segments"] if x["name"] == n][0]
v = eval(sys.argv[2])
print(v)
sys.exit(not v)
PY
}
wrong() { tail -n 5 "$work/mount.log"; cat "$mnt/.hexad/status"; python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["repair"])' "$mnt/.hexad/status.json"; }
until_so() { wait_for repair "$1" || { wrong; return 1; }; }
member_of() { # a member in zone $1
    for n in "${names[@]}"; do
        [ "${n:0:1}" = "$1" ] && repair "seg('$n')['state'] == 'OK' and seg('$n')['segments'] > 0" >/dev/null && echo "$n" && return
    done
}
head -c 4000000 /dev/urandom >"$mnt/big" && sync "$mnt/big"
sum=$(sha256sum <"$mnt/big")
loader "$mnt/t.db" "$work/acked" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!
goes_on() { wait_for acked_at_least "$work/acked" $(($(acked "$work/acked") + 5)) || { cat "$work/loader.log"; wrong; return 1; }; }
check "a program commits" goes_on

c=$(member_of c)
fleet_kill "$c"
check "without it commits go on" goes_on
fleet_start "$c"
check "one that is back in time catches up" until_so "seg('$c')['state'] == 'OK'"
check "and stays: nobody was moved" repair "r['versions'] == 0 and not r['changes']"

a=$(member_of a)
fleet_kill "$a"
check "one that is killed for good is replaced" until_so "r['versions'] > 0 and seg('$a')['segments'] == 0"
check "commits go on" goes_on
b=$(member_of b)
fleet_kill "$b"
check "and so is the next one" until_so "r['versions'] > 1 and seg('$b')['segments'] == 0 and s['state'] == 'OK'"
check "commits go on with the newcomers" goes_on
a2=$(member_of a)
fleet_kill "$a2"
check "without a spare in the zone it stays degraded, and that is said" until_so "r['no_spare'] > 0 and s['state'] == 'DEGRADED'"
fleet_start "$a2"
check "until it is back" until_so "r['no_spare'] == 0 and s['state'] == 'OK'"

touch "$work/stop"
wait_for ended $l
whole() {
    loader --verify "$mnt/t.db" "$work/acked" && [ "$(sha256sum <"$mnt/big")" = "$sum" ]
}
# Another opening, by those that live and nobody else.
down
# shellcheck disable=SC2046
fleet_config left.conf $(for n in "${names[@]}"; do [ "$n" = "$a" ] || [ "$n" = "$b" ] || echo "$n"; done)
export HEXAD_CONFIG=$fleet/left.conf
up repair-after=never || die "it is mounted again" "$(tail "$work/mount.log")"
check "after another opening every acknowledged transaction is there, and every page" whole
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
