#!/usr/bin/env bash
# A volume of 1 MiB protection groups grows while a program writes, through a kill of the mount in the middle.
# That it can fail was tried by overwriting one byte of a file that had been fsynced.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 6
demo_up "$work/d" --pg-size 1MiB
mnt=$work/d/mnt
cat >"$work/grow.py" <<'PY'
"""write DIR LOG FROM TO: files of 300,000 incompressible bytes, noted in LOG after their fsync; verify DIR LOG."""
import os, random, sys
what, d, log = sys.argv[1:4]
content = lambda i: random.Random(i).randbytes(300000)
if what == "write":
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for i in range(int(sys.argv[4]), int(sys.argv[5])):
        f = os.open("%s/g%d" % (d, i), os.O_CREAT | os.O_WRONLY)
        os.write(f, content(i))
        os.fsync(f)
        os.close(f)
        os.write(out, b"%d\n" % i)
else:
    for i in map(int, open(log)):
        if open("%s/g%d" % (d, i), "rb").read() != content(i):
            sys.exit("file %d is not what was fsynced" % i)
PY
grow() { python3 "$work/grow.py" "$@"; }
check "the volume begins with few groups" status "pgs <= 3"
grow write "$mnt" "$work/log" 0 60 >"$work/first.log" 2>&1 & w=$!
wait_for lines "$work/log" 14
demo kill mount
wait_for ended $w || kill -KILL $w
wait $w
note "killed after $(count "$work/log") files"
demo heal
check "the mount comes back" wait_for demo_answers "$work/d" "$demo_pid"
check "what was fsynced before the kill is there" grow verify "$mnt" "$work/log"
check "writing goes on" grow write "$mnt" "$work/log" 60 90
check "the volume has grown through more than ten groups" status "pgs > 10"
demo kill mount
demo heal
wait_for demo_answers "$work/d" "$demo_pid"
check "all of it is there after another kill" grow verify "$mnt" "$work/log"
