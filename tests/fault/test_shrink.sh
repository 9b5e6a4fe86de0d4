#!/usr/bin/env bash
# A volume of 1 MiB protection groups on six servers grows, its files go but for some, and it ends earlier: the last
# groups are emptied and released, their segments go from the servers' disks; the mount is killed in the middle of it, a
# server is away for a time, and what is written then takes the released groups again.
# That it can fail was seen with shrink-after=never.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
plan 13
names=(a1 a2 b1 b2 c1 c2)
members=()
for n in "${names[@]}"; do members+=("$n:az-${n:0:1}"); done
fleet_make "${members[@]}" || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
mnt=$work/mnt
mkdir "$mnt"
check "a volume is made" "$HEXAD" create vol0 --pg-size 1MiB
down() { # the mount, in order or by force
    fusermount3 -u "$mnt" || umount -l "$mnt"
    wait_for ended "$mount_pid" || kill -KILL "$mount_pid"
}
up() {
    "$HEXAD" mount vol0 "$mnt" -f -o shrink-after=1s >>"$work/mount.log" 2>&1 </dev/null & mount_pid=$!
    wait_for grep -q . "$mnt/.hexad/status" || { tail -n 5 "$work/mount.log"; return 1; }
}
killed() { # the mount, without a word
    kill -KILL "$mount_pid"
    wait "$mount_pid"
    umount -l "$mnt"
    up
}
cat >"$work/files.py" <<'PY'
"""write DIR LOG FROM TO: files of 300,000 incompressible bytes, noted in LOG after their fsync; keep DIR LOG N: all
but each N-th one go, from the log as well; verify DIR LOG."""
import os, random, sys
what, d, log = sys.argv[1:4]
content = lambda i: random.Random(i).randbytes(300000)
name = lambda i: "%s/g%d" % (d, i)
if what == "write":
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for i in range(int(sys.argv[4]), int(sys.argv[5])):
        f = os.open(name(i), os.O_CREAT | os.O_WRONLY)
        os.write(f, content(i))
        os.fsync(f)
        os.close(f)
        os.write(out, b"%d\n" % i)
    sys.exit()
there = [int(x) for x in open(log)]
if what == "keep":
    stay = there[int(sys.argv[4]) - 1::int(sys.argv[4])]
    for i in there:
        if i not in stay:
            os.unlink(name(i))
    os.fsync(os.open(d, os.O_RDONLY))
    open(log, "w").write("".join("%d\n" % i for i in stay))
else:
    for i in there:
        if open(name(i), "rb").read() != content(i):
            sys.exit("file %d is not what was fsynced" % i)
PY
files() { python3 "$work/files.py" "$1" "$mnt" "$work/log" "${@:2}"; }
size() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["protection_groups"])' "$mnt/.hexad/status.json"; }
at_most() { [ "$(size)" -le "$1" ]; }
on_disks() { du -sm "$fleet"/*/ 2>/dev/null | awk '{ n += $1 } END { print n }'; }
disks_at_most() { [ "$(on_disks)" -le "$1" ]; }
wrong() { df -B1M "$mnt"; on_disks; tail -n 5 "$work/mount.log"; cat "$mnt/.hexad/status"; }
shrunk() { wait_for at_most "$1" || { wrong; return 1; }; }

at_end down
up || die "it is mounted" "$(cat "$work/mount.log")"
files write 0 60 || die "files are written" "$(wrong)"
full=$(size) disks=$(on_disks)
check "the volume has grown through many groups" test "$full" -ge 18
files keep 10
check "when most files have gone it ends earlier" shrunk 6
check "and the servers' disks have the room back" wait_for disks_at_most $((disks / 2))
check "what was left is there" files verify
killed
check "also for another opening, after a kill" files verify
check "which takes the released groups again" files write 60 120
check "so that it is as large as before" test "$(size)" -ge 18
check "and everything is there" files verify

# Killed in the middle, again and again: each time it has become smaller by something.
files keep 6
ok=true
for k in 1 2 3 4; do
    now=$(size)
    shrunk $((now > 8 ? now - 1 : now)) || ok=false
    killed || ok=false
    files verify || ok=false
done
check "killed while it shrinks, four times: nothing is lost" $ok
fleet_kill c2
files keep 3
fleet_start c2
check "with a server that was away it ends earlier once it is back" shrunk 8
check "what was left is there" files verify
killed
scrubbed() { "$HEXAD" scrub vol0 --json >"$work/scrub.json" && python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
sys.exit(not (s["scrub"] == "DONE" and s["damaged"] == 0 and s["undecided"] == 0 and s["differed"] == 0))' "$work/scrub.json" || { cat "$work/scrub.json"; return 1; }; }
check "all copies are the same" scrubbed
