#!/usr/bin/env bash
# The same calls on a local ext4 directory and on the mount, by root and by an ordinary user: the same answers, the same
# errors, the same changes (tests/lib/posix.py).  What is different on purpose is in doc/FS.md, and checked at the end.
# It failed while chown to nobody new kept set-id bits, while removing an ACL twice was an error, and while each file
# that is open for writing was all data to SEEK_HOLE.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
[ "$(id -u)" = 0 ] || skip_all "only root can be two users"
case $(stat -f -c %T "$work") in ext*) ;; *) skip_all "$work is not on ext4: nothing to compare with" ;; esac
mapfile -t cases < <(python3 "$LIB/posix.py" --list)
plan $((2 * ${#cases[@]} + 4))
demo_up "$work/d" -o allow_other,suid,dev
chmod 755 "$work" "$work/d"
local=$work/local mnt=$work/d/mnt/posix
mkdir "$local" "$mnt"
for c in "${cases[@]}"; do
    for who in root user; do
        check "${c//_/ }, as $who" python3 "$LIB/posix.py" "$c" "$local" "$mnt" "$who"
    done
done

python() { python3 -c "import os, ctypes, errno
os.chdir('$mnt')
$1"; }
check "ranges are not collapsed or inserted: EOPNOTSUPP" python "
f = os.open('range', os.O_RDWR | os.O_CREAT); os.write(f, b'x' * 16384)
libc = ctypes.CDLL(None, use_errno=True)
for mode in 8, 32:
    assert libc.fallocate(f, mode, ctypes.c_long(4096), ctypes.c_long(4096)) == -1
    assert ctypes.get_errno() == errno.EOPNOTSUPP, ctypes.get_errno()"
check "an attribute may have 64 KiB, an inode many" python "
open('big', 'w').close()
for i in range(20): os.setxattr('big', 'user.%d' % i, bytes([i]) * 65536)
assert all(os.getxattr('big', 'user.%d' % i) == bytes([i]) * 65536 for i in range(20))"
tree() { (cd "$mnt" && find . -printf '%p %y %m %n %U:%G %s %T@ %C@ %l\n' | sort) && python "
for top, dirs, files in os.walk('.'):
    for p in sorted(dirs + files):
        p = os.path.join(top, p)
        for n in sorted(os.listxattr(p, follow_symlinks=False)):
            print(p, n, os.getxattr(p, n, follow_symlinks=False).hex())" | sort; }
tree >"$work/before"
sync "$mnt"
demo kill mount
demo heal
check "the mount comes back after kill -9" wait_for demo_answers "$work/d" "$demo_pid"
check "everything is the same as before, attributes and lists too" eval 'tree >"$work/after"; diff "$work/before" "$work/after"'
