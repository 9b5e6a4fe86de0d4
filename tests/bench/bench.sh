#!/usr/bin/env bash
# Figures, never asserted: the workloads of work.py and read.py on a mount and on a local directory of the same disk, in
# turn in one run, so that the ratios hold while the absolute figures drift; memory of the mount and of the servers
# while 1 GiB is copied; time to open after kill -9 with that in the volume; the transport by itself; the store
# by itself; a server that missed writes; trees of files, git and PostgreSQL in pairs (pairs.py).
#   make bench BENCH_ARGS="--json --quick"      --quick: a fifth of the data and of the time
# All seven processes and both directories are on one machine and one disk ($TMPDIR, else /tmp); flushes are on.
json= quick=
for a in "$@"; do
    case $a in
    --json) json=1 ;;
    --quick) quick=1 ;;
    *) echo "usage: bench.sh [--json] [--quick]" >&2; exit 2 ;;
    esac
done
{ . "$HEXAD_SOURCE/tests/lib/kit.sh"; } || exit 1
here=$HEXAD_SOURCE/tests/bench
seconds=3 names=100000 copy_mib=1024 missed_mib=1024 missed_rounds=2 rounds=5
export BULK_MB=256
[ -z "$quick" ] || { seconds=0.6 names=10000 copy_mib=200 missed_mib=256 missed_rounds=1 rounds=3 BULK_MB=48; }
say() { echo "bench: $*" >&2; }
drop() { sync; echo 3 2>/dev/null >/proc/sys/vm/drop_caches || say "caches cannot be dropped: cold reads are warm"; }
again() { # the mount ends in order and comes back: its own cache is empty
    umount "$1/mnt" && wait_for eval '[ -z "$(mount_pid)" ]'
    demo heal && wait_for demo_answers "$1" "$demo_pid"
}
memory() { # peak resident KiB of process $1
    awk '/^VmHWM/ { print $2 }' "/proc/$1/status"
}
reset_peak() { echo 5 >"/proc/$1/clear_refs"; }

cd "$work" || exit 1
mkdir local
demo_up "$work/d" --json -o allow_other >&2
mnt=$work/d/mnt
say "commits, bulk and files: local"
python3 "$here/work.py" local $seconds >local.work
drop
python3 "$here/read.py" local $seconds >local.read
if [ -x "$HEXAD_BUILD/tests/bench/bench_transport" ]; then
    say "the transport by itself: 4 KiB to six servers, flushed"
    "$HEXAD_BUILD/tests/bench/bench_transport" --dir "$work" --json >transport.json 2>transport.err ||
        say "bench_transport failed: $(tail -n 1 transport.err)"
fi
if [ -x "$HEXAD_BUILD/tests/bench/bench_ratios" ]; then
    say "the store by itself against plain system calls"
    "$HEXAD_BUILD/tests/bench/bench_ratios" --dir "$work" ${quick:+--quick} --json >ratios.json 2>ratios.err ||
        say "bench_ratios failed: $(tail -n 1 ratios.err)"
fi
say "trees, clones and PostgreSQL: both in turn"
chmod 755 "$work" "$work/d"
python3 "$here/pairs.py" local "$mnt" "$HEXAD_SOURCE" --rounds $rounds --seconds $seconds >pairs.json ||
    say "pairs.py failed"
say "reading: both in turn"
mkdir floor
floor_on=
if [ -x "$HEXAD_BUILD/tests/bench/bench_floor" ]; then
    "$HEXAD_BUILD/tests/bench/bench_floor" flush "$work" --json >floor.json || say "bench_floor failed"
    "$HEXAD_BUILD/tests/bench/bench_floor" fuse floor $([ -n "$quick" ] && echo 48 || echo 128) >floor.out 2>floor.err &
    wait_for grep -q ready floor.out && floor_on=1
fi
python3 "$here/reads.py" local "$mnt" ${quick:+--quick} ${floor_on:+--floor floor} >reads.json || say "reads.py failed"
[ -z "$floor_on" ] || umount floor
rm -rf local/reads "$mnt/reads"
say "a directory of many names"
python3 "$here/names.py" "$mnt" $names >names.json 2>/dev/null || say "names.py failed"
rm -rf "$mnt/names"
say "commits, bulk and files: mount"
python3 "$here/work.py" "$mnt" $seconds >mount.work
again "$work/d" || say "the mount did not come back"
drop
python3 "$here/read.py" "$mnt" $seconds >mount.read
status "True" >/dev/null
hexad status vol0 --json >status.json 2>/dev/null

say "memory while $copy_mib MiB are copied"
rm -rf "$mnt/bulk_random" "$mnt/bulk_text" "$mnt/small"
m=$(mount_pid)
servers=$(pgrep -P "$demo_pid" hexad-segmentd)
for p in $m $servers; do reset_peak "$p"; done
python3 - "$copy_mib" source <<'PY'
import os, sys
with open(sys.argv[2], "wb") as f:
    for i in range(int(sys.argv[1])):
        f.write(os.urandom(1 << 20))
PY
sync source
start=$EPOCHREALTIME
cp source "$mnt/copy" && sync "$mnt/copy"
end=$EPOCHREALTIME
{
    echo "copy_MB_s $(awk "BEGIN { print $copy_mib * 1.048576 / ($end - $start) }")"
    echo "mount_peak_KiB $(memory "$m")"
    for p in $servers; do memory "$p"; done | sort -n | tail -n 1 | sed 's/^/server_peak_KiB /'
} >memory
say "opening after kill -9"
for i in 1 2 3; do
    demo kill mount
    start=$EPOCHREALTIME
    demo heal
    cat "$mnt/.hexad/status" >/dev/null
    awk "BEGIN { printf \"open_ms %.0f\n\", 1000 * ($EPOCHREALTIME - $start) }" >>memory
done
cmp source "$mnt/copy" >&2 || say "THE COPY DIFFERS"
say "a server that missed $missed_mib MiB catches up"
rm -f "$mnt/copy"
sed -n '/^{/,/^}/p' "$work/d.log" >demo.json
python3 "$here/catchup.py" "$HEXAD" demo.json "$missed_mib" "$missed_rounds" >catchup.json || say "catchup.py failed"
demo_down "$demo_pid" "$work/d"
rm -rf "$work/d" source
python3 "$here/table.py" "$work" ${json:+--json}
