#!/usr/bin/env bash
# The disk that all servers share is filled by somebody else, and the mount has soft=: writes say ENOSPC, and so does fsync
# where something was taken that is not durable yet, until there is room again; then fsync succeeds, and that is true.
# It failed while they said EIO, which no program takes for a full disk.  More of full disks: test_enospc.sh.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
[ "$(id -u)" = 0 ] || skip_all "only root can mount a disk of its own"
plan 5
mkdir "$work/disk"
mount -t tmpfs -o size=700m none "$work/disk" || skip_all "no tmpfs"
at_end "umount -l '$work/disk'"
demo_up "$work/disk/d" -o soft=2
mnt=$work/disk/d/mnt
echo before >"$mnt/before"
: >"$mnt/big" # made while there is room: once the mount has heard that there is none, it makes no new file
sync "$mnt/before" "$mnt/big"
dd if=/dev/zero of="$work/disk/balloon" bs=1M >/dev/null 2>&1 # until it is full

cat >"$work/fill.py" <<'PY'
import errno, os, sys
def says(f, *a):
    try:
        f(*a)
    except OSError as e:
        return errno.errorcode[e.errno]
one, two = (os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) for _ in "ab")
at = 0
while (said := says(os.pwrite, one, os.urandom(1 << 20), at << 20)) is None and at < 600:
    at += 1
print(at)
said = [said] + [says(os.fsync, fd) for fd in (one, two, one, two)]
sys.exit((said[0] != "ENOSPC" or not set(said) <= {"ENOSPC", None}) and str(said)) # what fits is durable
PY
fill() { python3 "$work/fill.py" "$mnt/big" >"$work/accepted"; }
check "a write ends with ENOSPC, and fsync says nothing else" fill
check "reads go on" grep -q before "$mnt/before"
rm "$work/disk/balloon"
synced() { python3 -c "import os; os.fsync(os.open('$mnt/big', os.O_RDWR))"; }
check "with room again fsync succeeds" wait_for synced
sum=$(sha256sum <"$mnt/big")
check "all that was accepted is there" [ "$(stat -c %s "$mnt/big")" = $(($(cat "$work/accepted") << 20)) ]
demo kill mount
demo heal
wait_for demo_answers "$work/disk/d" "$demo_pid"
check "and it was durable when fsync said so" [ "$(sha256sum <"$mnt/big")" = "$sum" ]
