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
plan $((2 * ${#cases[@]} + 11))
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
check "a file may have 16 TiB; a write over that end puts what fits, then EFBIG" python "
f = os.open('largest', os.O_RDWR | os.O_CREAT)
end = 1 << 44
os.ftruncate(f, end)
assert os.pwrite(f, b'x' * 8192, end - 4096) == 4096 and os.pread(f, 8192, end - 4096) == b'x' * 4096
for act in (lambda: os.ftruncate(f, end + 1), lambda: os.pwrite(f, b'x', end)):
    try: act()
    except OSError as e: assert e.errno == errno.EFBIG, e
    else: raise SystemExit('no error')
os.ftruncate(f, 0)"

check "statfs counts inodes as they are made, and those that are gone when they are freed" python "
import time
used = lambda: (lambda v: v.f_files - v.f_ffree)(os.statvfs('.'))
os.mkdir('counted')
before = used()
for i in range(100): open('counted/%d' % i, 'w').close()
assert used() == before + 100, (before, used())
os.link('counted/1', 'counted/l')
assert used() == before + 100
f = open('counted/2')
for i in range(100): os.unlink('counted/%d' % i)
end = time.time() + $PATIENCE
while used() != before + 2:
    assert time.time() < end, (before, used())
f.close()
v = os.statvfs('.')
assert v.f_ffree == v.f_favail == v.f_bfree and v.f_ffree > 0, v"

handle() { python "
import struct
libc = ctypes.CDLL(None, use_errno=True)
h = ctypes.create_string_buffer(struct.pack('<Ii', 128, 0), 136)
m = ctypes.c_int()
assert libc.name_to_handle_at(-100, b'kept', h, ctypes.byref(m), 0) == 0
print(h.raw.hex())"; }
by_handle() { python "
h = ctypes.create_string_buffer(bytes.fromhex('$(cat "$work/handle")'), 136)
libc = ctypes.CDLL(None, use_errno=True)
f = libc.open_by_handle_at(os.open('.', os.O_RDONLY), h, os.O_RDONLY)
assert f >= 0, ctypes.get_errno()
assert os.read(f, 10) == b'kept' and os.fstat(f).st_ino == os.stat('kept').st_ino"; }
echo -n kept >"$mnt/kept"
handle >"$work/handle"

# A second volume: mounted, unmounted, mounted again at once, as with any filesystem; with the rules for atime.
hexad create again >"$work/again.log" 2>&1
mkdir "$work/again"
at_end "umount -l '$work/again'"
again() { for _ in 1 2 3 4 5; do
    hexad mount -o "$1" again "$work/again" && head -c 3000000 /dev/urandom >"$work/again/f" &&
        umount "$work/again" || return
done; }
check "umount and mount at once, five times: the second waits for the first" again rw
atimes() { # atimes OPTION: how often three reads of one file moved its atime
    hexad mount -o "$1" again "$work/again" && (cd "$work/again" && python3 -c "
import os, time
open('f', 'w').write('x' * 100)
f = os.open('f', os.O_RDONLY)
def read():
    os.fsync(f); os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)
    a = os.fstat(f).st_atime_ns; os.pread(f, 5, 0)
    return os.fstat(f).st_atime_ns != a
os.utime('f', (100, 200))
print(sum(read() for _ in range(3)))") && umount "$work/again"; }
check "relatime moves it once, strictatime always, noatime never" \
    [ "$(atimes relatime) $(atimes strictatime,lazytime,nodiratime) $(atimes noatime)" = "1 3 0" ]
strict() { # strict OPTION: how often three listings, readlinks and reads after an open moved the atime
    hexad mount -o "$1" again "$work/again" && (cd "$work/again" && python3 -c "
import os
os.makedirs('d/e')
os.symlink('d', 'l')
open('f', 'w').write('x' * 100)
def moved(path, act):
    a = os.lstat(path).st_atime_ns; act()
    return os.lstat(path).st_atime_ns != a
for path, act in ('d', lambda: os.listdir('d')), ('l', lambda: os.readlink('l')), ('f', lambda: open('f').read()):
    os.utime(path, (100, 200), follow_symlinks=False)
    print(sum(moved(path, act) for _ in range(3)), end=' ')
os.remove('l'); os.removedirs('d/e')") && umount "$work/again"; }
check "with strictatime each listing, each readlink and each read of a file just opened moves it; once with relatime" \
    [ "$(strict relatime)$(strict strictatime)" = "1 1 1 3 3 3 " ]
check "a mount of root's has set-id programs and devices unless it says otherwise" eval '
    hexad mount again "$work/again" && ! grep "$work/again .*no\(suid\|dev\)" /proc/mounts && umount "$work/again" &&
    hexad mount -o nosuid,nodev again "$work/again" && grep "$work/again .*nosuid,nodev" /proc/mounts &&
    umount "$work/again"'

tree() { (cd "$mnt" && find . -printf '%p %y %m %n %U:%G %s %T@ %C@ %l\n' | sort) && python "
for top, dirs, files in os.walk('.'):
    if len(top) > 3000: dirs.clear(); continue
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
check "a handle that was given out before names the same file" by_handle
