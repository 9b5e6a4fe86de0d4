#!/usr/bin/env bash
# Nobody waits for what somebody else waits for: reads for the round trip of other reads, stats and reads for writes that
# wait for a quorum, also when more bytes of writes wait than the mount keeps in memory.
# Nothing is timed: servers are frozen, so that a wait is a wait, and what may not wait must be done before they go on.
# Each was seen to fail: with the device not read while anything is parked (HX_FUSE_PARKED_MAX 0 and no spill), and the
# second part with the device not read beyond 64 MiB of parked writes (src/fuse/spill.c taken out); the third when a look for
# holes could not be interrupted.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 13
demo_up "$work/d" -o cache=16MiB,window=8MiB
mnt=$work/d/mnt
mkdir "$mnt/here" "$mnt/there"
python3 -c "import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes(24 << 20))" >"$work/cold"
cp "$work/cold" "$mnt/here/cold"
for i in 1 2 3; do echo "$i" >"$mnt/here/small$i"; done
sync "$mnt/here/cold"

fresh() { # the mount's own cache is empty, and the kernel's
    demo kill mount && demo heal && wait_for demo_answers "$work/d" "$demo_pid"
}
within() { timeout -s KILL "$PATIENCE" "$@"; } # what hangs is a failure, not the end of this script
metric() { within awk -v m="hexad_$1" '$1 == m { print $2 }' "$mnt/.hexad/metrics"; }
first_asked() { echo $(($(metric read_requests_total) - $(metric read_hedges_total) - $(metric read_retries_total))); }
asked_since() { [ $(($(first_asked) - $1)) -ge "$2" ]; }
forget() { echo 2 2>/dev/null >/proc/sys/vm/drop_caches; } # names and attributes that the kernel keeps; root only
freeze() { for s in "$@"; do demo stop "$s" || return; done; }
waits() { [ "$(metric parked_operations)" -ge "$1" ]; }

# ---- reads beside reads ----
fresh
cat >"$work/readers.py" <<'PY'
import os, sys, threading
path, good, want, n = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3], 8
f = os.open(path, os.O_RDONLY)
os.posix_fadvise(f, 0, 0, os.POSIX_FADV_RANDOM)
assert os.pread(f, 4096, 0) == good[:4096]  # the way to the file is known now
open(want + ".ready", "w").close()
sys.stdin.readline()
right = []
def read(i):
    at = (i + 1) * (2 << 20) + 4096 * i
    right.append(os.pread(f, 4096, at) == good[at:at + 4096])
ts = [threading.Thread(target=read, args=(i,)) for i in range(n)]
for t in ts: t.start()
for t in ts: t.join()
assert right == [True] * n
open(want, "w").close()
PY
mkfifo "$work/go"
python3 "$work/readers.py" "$mnt/here/cold" "$work/cold" "$work/read" <"$work/go" >"$work/readers.log" 2>&1 & r=$!
exec 7>"$work/go"
wait_for test -e "$work/read.ready" || die "the reader starts" "$(cat "$work/readers.log")"
stat "$mnt/here/small1" "$mnt/here/small2" >/dev/null
cat "$mnt/here/small1" >/dev/null
freeze a1 a2 b1 b2 c1 c2
before=$(first_asked)
echo go >&7
check "eight reads that miss are all asked for while none is answered" wait_for asked_since "$before" 8
check "and eight operations wait" wait_for waits 8
forget
check "meanwhile names and attributes that the mount knows are answered" within stat "$mnt/here/small1" "$mnt/here/small2"
check "no read has returned yet" eval "[ ! -e '$work/read' ] && ! ended $r"
demo heal
check "the servers go on: all eight return what was written" eval "wait_for test -e '$work/read' || { cat '$work/readers.log'; false; }"
wait $r
exec 7>&-

# ---- reads beside writes that wait for a quorum ----
fresh
ls "$mnt/there" >/dev/null
cat >"$work/writers.py" <<'PY'
import os, sys, threading
base, n, ready = sys.argv[1], int(sys.argv[2]), sys.argv[3]
data = os.urandom(1 << 20)
files = [os.open(os.path.join(base, str(i)), os.O_CREAT | os.O_WRONLY, 0o644) for i in range(n)]
open(ready, "w").close()
sys.stdin.readline()
def write(i):
    for k in range(2):
        assert os.write(files[i], data) == len(data)
    os.close(files[i])
ts = [threading.Thread(target=write, args=(i,)) for i in range(n)]
for t in ts: t.start()
for t in ts: t.join()
for i in range(n):
    assert open(os.path.join(base, str(i)), "rb").read() == data * 2, i
PY
python3 "$work/writers.py" "$mnt/there" 96 "$work/open" <"$work/go" >"$work/writers.log" 2>&1 & w=$!
exec 7>"$work/go"
wait_for test -e "$work/open" || die "the writers start" "$(cat "$work/writers.log")"
freeze a1 a2 b1
echo go >&7
exec 7>&-
check "96 writers of 1 MiB wait for a quorum" wait_for waits 88
forget
echo 1 2>/dev/null >/proc/sys/vm/drop_caches
check "a directory is listed and a file of 24 MiB that is in no cache is read meanwhile" eval \
    "within ls -l '$mnt/here' >/dev/null && within cmp '$work/cold' '$mnt/here/cold'"
check "and the writers still wait" eval "waits 88 && ! ended $w"
demo heal
wait $w
code=$?
check "a quorum again: every writer goes on, and what was written is there" eval "[ $code = 0 ] || { cat '$work/writers.log'; false; }"

# ---- a look for holes, which waits until what a mapping has changed is written back ----
cat >"$work/mapping.py" <<'PY'
import mmap, os, sys
path, size, ready, dirty = sys.argv[1], 32 << 20, sys.argv[2], sys.argv[3]
f = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(f, size)
assert os.pread(f, size, 0) == bytes(size)
m = mmap.mmap(f, size)
open(ready, "w").close()
sys.stdin.readline()
data = os.urandom(size)
m[:] = data
open(dirty, "w").close()
sys.stdin.readline()
assert os.lseek(f, 0, os.SEEK_HOLE) == size and m[:] == data
PY
python3 "$work/mapping.py" "$mnt/there/mapped" "$work/mapped" "$work/dirty" <"$work/go" >"$work/mapping.log" 2>&1 & w=$!
exec 7>"$work/go"
wait_for test -e "$work/mapped" || die "the mapping is there" "$(cat "$work/mapping.log")"
freeze a1 a2 b1
echo go >&7
wait_for test -e "$work/dirty" || die "the mapping is changed" "$(cat "$work/mapping.log")"
python3 -c "import os, sys; print(os.lseek(os.open(sys.argv[1], os.O_RDONLY), 0, os.SEEK_HOLE))" "$mnt/there/mapped" >"$work/holes" 2>&1 & r=$!
check "what a mapping has changed is written back for a program that looks for holes, and waits for a quorum" wait_for waits 1
check "meanwhile other files are read" within cmp "$work/cold" "$mnt/here/cold"
check "the program that looks can be killed" eval "! ended $r && kill -KILL $r && wait_for ended $r"
wait $r
demo heal
echo go >&7
exec 7>&-
wait $w
code=$?
check "a quorum again: all of it is data, and what was written is there" eval "[ $code = 0 ] || { cat '$work/mapping.log'; false; }"
