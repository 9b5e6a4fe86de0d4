#!/usr/bin/env bash
# Every server is restarted, one zone after the other, under SQLite and a tree of files: first in order (SIGTERM), then by
# kill -9.  The next zone is taken when `hexad status` says that it may be.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 16
names=(a1 a2 b1 b2 c1 c2)
fleet_make a1:az-a a2:az-a b1:az-b b2:az-b c1:az-c c2:az-c || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
"$HEXAD" create vol0 --pg-size 16MiB >"$work/create.log" 2>&1 || die "a volume is made" "$(cat "$work/create.log")"
mnt=$work/mnt
fleet_mount "$mnt"
loader "$mnt/t.db" "$work/acked" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 &
loader_pid=$!
cat >"$work/tree.py" <<'PY'
"""tree.py write|check DIR LOG [STOP]: small files in many directories; LOG gets n when file n is durable."""
import hashlib, os, sys
verb, top, log = sys.argv[1:4]
content = lambda n: hashlib.sha256(b"%d" % n).digest() * (n * 7 % 300)
path = lambda n: os.path.join(top, "d%d" % (n // 50), "f%d" % n)
if verb == "check":
    numbers = [int(line) for line in open(log)]
    bad = [n for n in numbers if open(path(n), "rb").read() != content(n)]
    sys.exit("wrong: %s" % bad[:10] if bad or not numbers else 0)
with open(log, "w", buffering=1) as out:
    n = 0
    while not os.path.exists(sys.argv[4]):
        os.makedirs(os.path.dirname(path(n)), exist_ok=True)
        with open(path(n), "wb") as f:
            f.write(content(n))
            f.flush()
            os.fsync(f.fileno())
        print(n, file=out)
        n += 1
PY
python3 "$work/tree.py" write "$mnt/tree" "$work/tree.acked" "$work/stop" >"$work/tree.log" 2>&1 &
tree_pid=$!
at_end "touch '$work/stop'; wait_for ended $loader_pid; kill -KILL $loader_pid; wait_for ended $tree_pid; kill -KILL $tree_pid"
wait_for acked_at_least "$work/acked" 20 || die "a load is running" "$(cat "$work/loader.log")"

may_go() { status "code == 0 and any(z['name'] == '$1' and z['may_go'] for z in doc['zones'])"; }
# While it is away no other zone may be taken, and that is said with a name.
none_may_go_but() {
    status "all(z['may_go'] == (z['name'] == '$1') and (z['may_go'] or z['why'][:1] == '${1#az-}') for z in doc['zones'])"
}
roll() { # roll HOW ZONE: both servers of the zone end, the load goes on, they come back; not in a subshell
    local z=${2#az-} before
    wait_for may_go "$2" || { "$HEXAD" status vol0; return 1; }
    "$1" "${z}1" "${z}2" || { echo "they do not end in order"; return 1; }
    before=$(acked "$work/acked")
    wait_for acked_at_least "$work/acked" $((before + 30)) || { echo "no commits without $2"; return 1; }
    wait_for none_may_go_but "$2" || { "$HEXAD" status vol0; return 1; }
    fleet_start "${z}1" "${z}2"
}
for how in fleet_stop fleet_kill; do
    for zone in az-a az-b az-c; do
        roll $how $zone >"$work/roll.log" 2>&1
        check "$zone is restarted ($how), commits go on, and no other zone may be taken meanwhile" eval \
            '[ '$?' = 0 ] || { cat "$work/roll.log"; false; }'
        # shellcheck disable=SC2016
        check "then it is complete again: any zone may be taken" wait_for eval 'may_go az-a && may_go az-b && may_go az-c'
    done
done
touch "$work/stop"
wait "$loader_pid"
loaded=$?
wait "$tree_pid"
written=$?
note "$(acked "$work/acked") transactions, $(count "$work/tree.acked") durable files in the tree"
check "no program saw an error" eval \
    '[ $loaded = 0 ] && [ $written = 0 ] && ! grep "^!" "$work/acked" || { cat "$work/loader.log" "$work/tree.log"; false; }'
check "the database is whole, with every acknowledged transaction" loader --verify "$mnt/t.db" "$work/acked"
check "so is the tree" python3 "$work/tree.py" check "$mnt/tree" "$work/tree.acked"
check "and it is unmounted in order" eval '"$HEXAD" umount "$mnt" && wait_for ended $fleet_mount_pid'
