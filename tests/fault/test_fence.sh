#!/usr/bin/env bash
# Two mounts of one volume: the second is refused while the first lives; with takeover it fences the first, which can
# acknowledge nothing from then on, also when it was only frozen (SIGSTOP) and wakes up later.
# That these can fail was tried with the first mount left unfrozen and no takeover at all (its writes succeed), and
# by verifying against an empty directory.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 15
dir=$work/d
demo_up "$dir"
one=$dir/mnt two=$work/second
mkdir "$two"
at_end "umount -l '$two'"
at_end 'for p in $(pids_with "$two"); do kill -CONT $p; kill -KILL $p; done'
log=$work/acked

loader "$one/t.db" "$log" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!
wait_for acked_at_least "$log" 20
hexad mount vol0 "$two" >"$work/refused" 2>&1
check "a second mount of a volume in use is refused with exit code 7" [ $? = 7 ]
check "it says who holds the volume: host, process, directory" eval \
    'cat "$work/refused"; grep -q "$(hostname)" "$work/refused" && grep -q "$(mount_pid)" "$work/refused" &&
    grep -qF "$one" "$work/refused"'
check "and the first one goes on" wait_for acked_at_least "$log" $(($(acked "$log") + 20))

mkdir "$one/known" && echo known >"$one/known/f" && ln -s f "$one/known/l"
sync "$one/known/f"
remembered() { stat "$one/known/f" || cat "$one/known/f" || readlink "$one/known/l" || ls "$one/known"; }
remembered >/dev/null
# Of three processes with two descriptors each, which wrote before the fence, see below.
timeout $((4 * PATIENCE)) python3 "$LIB/descriptors.py" "$one/fds" "$work/ready" "$work/go" EROFS EROFS >"$work/odd" 2>&1 & d=$!
wait_for [ -e "$work/ready" ]
first=$(mount_pid)
kill -STOP "$first"
at_end "kill -CONT $first"
check "takeover of a frozen mount succeeds" hexad mount -o takeover vol0 "$two"
check "the new mount answers" wait_for grep -q . "$two/.hexad/status"
check "it has everything that the first acknowledged" loader --verify "$two/t.db" "$log"
check "and it can write" loader "$two/u.db" "$work/second.acked" --mode wal --count 20
sync "$two/u.db"
kill -CONT "$first"
wait_for ended "$l" || kill -KILL "$l"
wait "$l"
code=$?
# An error of a call, or SIGBUS: SQLite maps the WAL index, and a page of it cannot be read any more.
check "the first mount's program gets an error" [ $code = 1 -o $code = 135 ]
check "it acknowledged nothing that the second mount has not got" loader --verify "$two/t.db" "$log"
refuses() { # every kind of change on the fenced mount fails with EROFS or EIO
    python3 - "$one" <<'PY'
import errno, os, sys
d = sys.argv[1]
def create(): os.close(os.open(d + "/new", os.O_CREAT | os.O_WRONLY))
def write():
    f = os.open(d + "/t.db", os.O_WRONLY)
    os.pwrite(f, b"x", 1 << 22)
    os.fsync(f)
def sync():
    f = os.open(d, os.O_RDONLY)
    os.fsync(f)
for f in (create, write, sync, lambda: os.mkdir(d + "/dir"), lambda: os.rename(d + "/t.db", d + "/s.db")):
    try:
        f()
    except OSError as e:
        if e.errno not in (errno.EROFS, errno.EIO):
            sys.exit("errno " + errno.errorcode[e.errno])
        continue
    sys.exit("a change was acknowledged")
PY
}
check "the first mount refuses every change" wait_for refuses
touch "$work/go"
wait "$d"
code=$?
check "fsync and close fail, of every descriptor, each time, in three processes" eval 'cat "$work/odd"; [ $code = 0 ]'
check "what the kernel remembered is not shown any more: stat, read, readlink, ls" wait_for eval '! remembered'
check "it says why: .hexad/status and its log" eval \
    'grep -i fenced "$one/.hexad/status" && grep -i fenced "$dir/log/mount.log"'
check "the second mount goes on" loader "$two/u.db" "$work/second.acked" --mode wal --count 20
check "and keeps what it was given" loader --verify "$two/u.db" "$work/second.acked"
hexad umount "$two" >"$work/umount.log" 2>&1
