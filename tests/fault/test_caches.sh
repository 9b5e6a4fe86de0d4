#!/usr/bin/env bash
# What is cached where, by counting the requests that the mount gets from the kernel, and those that it makes itself:
# bytes, names, attributes and absent names are asked for once; each change of them is seen at once; options size it all.
# Nothing is timed.  Each was seen to fail: keep_cache 0, timeouts 0, and hx_ahead_read that always says no.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 14
demo_up "$work/d"
mnt=$work/d/mnt
python3 -c "import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes(12 << 20))" >"$work/data"
mkdir "$mnt/dir"
for i in $(seq 50); do head -c 9000 "$work/data" >"$mnt/dir/$i"; done
cp "$work/data" "$mnt/data"
sync "$mnt/data"

cat >"$work/count.py" <<'PY'
"""count.py MNT WHAT: what WHAT makes the kernel ask, by kind"""
import os, re, sys
mnt, what = sys.argv[1:3]
d = os.path.join(mnt, "dir")
names = [os.path.join(d, str(i + 1)) for i in range(50)]
def counts():
    text = open(os.path.join(mnt, ".hexad", "metrics")).read()
    return {k: float(v) for k, v in re.findall(r"(?m)^hexad_(fuse_requests_total|read_requests_total|pages_read_total) (\S+)$", text)}
def read(path):
    with open(path, "rb", buffering=0) as f:
        return f.read(1 << 20)
def absent():
    for n in names:
        assert not os.path.exists(n + ".none")
todo = {"read": lambda: [read(n) for n in names], "stat": lambda: [os.stat(n) for n in names], "absent": absent,
        "list": lambda: os.listdir(d)}[what]
todo()
todo()  # now the kernel knows; attributes, too, which a first READ makes it forget (atime)
counts(); before = counts(); todo(); after = counts(); again = counts()
own = again["fuse_requests_total"] - after["fuse_requests_total"]  # of looking at the counts
print(int(after["fuse_requests_total"] - before["fuse_requests_total"] - own))
PY
asks() { python3 "$work/count.py" "$mnt" "$@"; }
at_most() { # at_most N WHAT...
    local n
    n=$(asks "${@:2}") && echo "$n requests" && [ "$n" -le "$1" ]
}
at_least() {
    local n
    n=$(asks "${@:2}") && echo "$n requests" && [ "$n" -ge "$1" ]
}
metric() { awk -v m="hexad_$1" '$1 == m { print $2 }' "$mnt/.hexad/metrics"; }
fresh() { demo kill mount && demo heal && wait_for demo_answers "$work/d" "$demo_pid"; }

# 50 files: open and release are asked for, reads are not
check "files that were read are opened and read again without a READ" at_most 104 read
check "attributes are asked for once" at_most 2 stat
check "that a name does not exist is asked for once" at_most 2 absent
check "a directory that has not changed is listed without asking" at_most 4 list

# exact: what changes is seen at once, whoever had it cached
: >"$mnt/dir/7.none"
check "a name that did not exist exists once it was made" test -e "$mnt/dir/7.none"
check "and is listed" eval "ls '$mnt/dir' | grep -qx 7.none"
rm "$mnt/dir/7.none"
check "and has gone once it was removed" eval "[ ! -e '$mnt/dir/7.none' ] && ! ls '$mnt/dir' | grep -qx 7.none"
cat >"$work/exact.py" <<'PY'
import os, sys
path = sys.argv[1]
keep = os.open(path, os.O_RDONLY)
assert os.pread(keep, 10, 4090) and os.fstat(keep).st_size == 9000
w = os.open(path, os.O_RDWR)
os.pwrite(w, b"changed", 4093)
assert os.pread(keep, 7, 4093) == b"changed"
os.ftruncate(w, 5000)
assert os.fstat(keep).st_size == 5000 and os.pread(keep, 10000, 0)[4093:4100] == b"changed"
os.truncate(path, 9000)
assert os.pread(keep, 10000, 5000) == bytes(4000)
libc = __import__("ctypes").CDLL(None, use_errno=True)
assert libc.fallocate(w, 3, __import__("ctypes").c_long(4096), __import__("ctypes").c_long(4096)) == 0
assert os.pread(keep, 7, 4093) == b"cha" + bytes(4)
t = os.open(path, os.O_WRONLY | os.O_TRUNC)
assert os.pread(keep, 10, 0) == b"" and os.stat(path).st_size == 0
os.rename(path, path + ".moved")
assert not os.path.exists(path) and os.path.exists(path + ".moved")
PY
check "bytes, size and name of a file that is open elsewhere change at once" python3 "$work/exact.py" "$mnt/dir/9"
mv "$mnt/dir/9.moved" "$mnt/dir/9"
sync "$mnt/dir" # the mount is killed below: what no barrier covers may go with it

# read-ahead: the pages come in large requests, before they are asked for
fresh
before=$(metric read_requests_total)
check "a file that is read through is what was written" cmp "$work/data" "$mnt/data"
n=$(($(metric read_requests_total) - before))
check "12 MiB come in few requests of 64 pages" eval "echo $n requests; [ $n -le 80 ]"
fresh
python3 - "$mnt/data" >"$work/ahead.log" 2>&1 <<'PY'
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
for i in range(8):
    os.pread(f, 262144, i * 262144)
PY
check "who has read 2 MiB in order has 3 MiB or more fetched for him" wait_for eval '[ "$(metric pages_read_total)" -ge 768 ]'

# sized by options
demo_down "$demo_pid" "$work/d"
demo_up "$work/d" -o readahead=0,attr_timeout=0,entry_timeout=0,negative_timeout=0,cache=8MiB
check "attr_timeout=0, entry_timeout=0: asked each time" at_least 50 stat
check "negative_timeout=0: asked each time" at_least 50 absent
cmp "$work/data" "$mnt/data"
check "cache=8MiB holds no more" wait_for eval '[ "$(metric cache_bytes)" -le $((8 << 20)) ] && [ "$(metric cache_bytes)" -gt $((4 << 20)) ]'
