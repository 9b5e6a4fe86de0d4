#!/usr/bin/env bash
# Disks of the servers fill up, each server on a small ext4 of its own, with the mount's default options.  New data gets
# ENOSPC when it is written, while there is room left to make durable what was taken, to change in place, and to remove;
# when that has made room, writing goes on by itself.  Only where others fill the disks to the last byte does fsync say
# ENOSPC: on every descriptor, each time, and never afterwards that what is not durable is.
# It was seen to fail with the mount as it was before it had a reserve: the first write of too much did not end.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs mkfs.ext4 losetup
[ "$(id -u)" = 0 ] || skip_all "only root can mount disks of its own"
servers="a1 a2 b1 b2 c1 c2"
dir=$work/d mnt=$work/d/mnt
timeout "$PATIENCE" "$HEXAD" demo --dir "$dir" --keep -- true >"$work/first.log" 2>&1 || die "a demo" "$(cat "$work/first.log")"
for s in $servers; do
    truncate -s 240M "$work/$s.img"
    mkfs.ext4 -q -m0 -F "$work/$s.img"
    mkdir "$work/$s"
    mount -o loop "$work/$s.img" "$work/$s" || skip_all "no loop devices"
    at_end "umount -l '$work/$s'"
    cp -a "$dir/data/$s/." "$work/$s/"
    mount --bind "$work/$s" "$dir/data/$s"
    at_end "umount -l '$dir/data/$s'"
done
plan 15
more=0
demo_up "$dir"

cat >"$work/fill.py" <<'PY'
# Pieces of a mebibyte until ENOSPC, then fsync: what was taken must become durable.  Prints how many were taken.
import errno, os, sys
at = 0
try:
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    while at < int(sys.argv[2]):
        os.pwrite(fd, os.urandom(1 << 20), at << 20)
        at += 1
except OSError as e:
    if e.errno != errno.ENOSPC:
        raise
os.fsync(fd)
print(at)
PY
cat >"$work/db.py" <<'PY'
# Rows until SQLite says that the disk is full; nothing is wrong then, and exactly what was committed is there.
import os, sqlite3, sys, time
path, mode, most, go = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
db = sqlite3.connect(path, isolation_level=None)
db.execute("pragma journal_mode=" + mode)
db.execute("create table if not exists t(k integer primary key, v blob)")
rows = db.execute("select count(*) from t").fetchone()[0]
said = None
other = sqlite3.connect(path) # the WAL and its index stay as long as one is open
other.execute("select count(*) from t").fetchone()
open(go + ".open." + mode, "w").close()
while not os.path.exists(go): # so that a WAL has its index already
    time.sleep(0.05)
try:
    for _ in range(most):
        db.execute("insert into t(v) values(randomblob(100000))")
        rows += 1
except sqlite3.OperationalError as e:
    said = str(e)
db.close()
found = other.execute("select count(*) from t").fetchone()[0], other.execute("pragma integrity_check").fetchone()[0]
if found != (rows, "ok") or (most > 100 and said != "database or disk is full"):
    sys.exit(f"said {said}; {found} instead of {rows}")
PY
cat >"$work/changes.py" <<'PY'
import os, sys
f = sys.argv[1]
fd = os.open(f, os.O_RDWR)
for i in range(16):
    os.pwrite(fd, bytes(65536), i * 65536)
os.fsync(fd)
os.chmod(f, 0o640)
os.rename(f, f + ".new")
os.rename(f + ".new", f)
os.ftruncate(fd, os.fstat(fd).st_size - 4096)
os.fsync(fd)
PY
run() { timeout "$PATIENCE" python3 "$work/$1.py" "${@:2}"; }
free_mib() { df -m --output=avail "$mnt" | tail -n 1; }
df_knows() { [ "$(free_mib)" -gt 0 ] && [ "$(free_mib)" -lt 240 ]; }
refused() {
    [ "$(free_mib)" -eq 0 ] && ! fallocate -l 4K "$mnt/probe" && return
    rm -f "$mnt/probe"
    false
}

wait_for df_knows
before=$(free_mib)
touch "$work/now"
declare -A db
for mode in wal delete; do
    run db "$mnt/$mode.db" $mode 3 "$work/now"
    timeout $((6 * PATIENCE)) python3 "$work/db.py" "$mnt/$mode.db" $mode 2000 "$work/full" 2>"$work/$mode.said" & db[$mode]=$!
    wait_for [ -e "$work/full.open.$mode" ]
done
taken=$(run fill "$mnt/big" 400)
check "writing too much ends with ENOSPC, and what was taken is durable" [ -n "$taken" ]
check "most of what df promised could be written, and not more than the disks have" eval \
    'echo "$taken of $before"; [ "$taken" -gt $((before / 2)) ] && [ "$taken" -lt 240 ]'
brim() { run fill "$mnt/more.$((++more))" 400 && refused; } # what was in flight has arrived, what was garbage has gone
check "then df says that nothing is free, and a file gets no space ahead" wait_for brim
check "the disks themselves are not full" eval 'df -m "$work"/??; for s in $servers; do
    [ "$(df -m --output=avail "$work/$s" | tail -n 1)" -ge 8 ] || exit 1; done'
check "bytes in place, modes, names, shorter files go on, and become durable" run changes "$mnt/big"
touch "$work/full"
for mode in wal delete; do
    wait "${db[$mode]}"
    code=$?
    check "SQLite ($mode): the disk is full, and what was committed is there" eval 'cat "$work/$mode.said"; [ $code = 0 ]'
done
sum=$(sha256sum <"$mnt/big")
rm "$mnt"/more.*
demo kill mount
demo heal
wait_for demo_answers "$dir" "$demo_pid"
check "what fsync called durable is there after a crash of the mount" [ "$(sha256sum <"$mnt/big")" = "$sum" ]
check "removing needs no room" timeout 60 rm "$mnt/big"
again() { [ "$(run fill "$mnt/again" 30)" = 30 ]; }
check "and makes room, for which nothing else has to be done" wait_for again
for mode in wal delete; do
    check "SQLite ($mode) goes on, too" run db "$mnt/$mode.db" $mode 20 "$work/now"
done

# ---- to the last byte, by others, while the servers are frozen: so what is written meanwhile is taken ----
for s in $servers; do demo stop "$s"; done
timeout $((2 * PATIENCE)) python3 "$LIB/descriptors.py" "$mnt/again" "$work/ready" "$work/go" ENOSPC 0 >"$work/odd" 2>&1 & p=$!
wait_for [ -e "$work/ready" ]
# A server that finds its disk full tidies up and has room again: that is taken, too.
blow() { while [ ! -e "$work/enough" ]; do for s in $servers; do cat /dev/zero >>"$work/$s/balloon"; done; sleep 0.1; done; }
for s in $servers; do fallocate -l "$(df --output=avail "$work/$s" | tail -n 1 | tr -d ' ')K" "$work/$s/balloon"; done
blow 2>/dev/null & blower=$!
for s in $servers; do wait_for eval '[ "$(df --output=avail "$work/$s" | tail -n 1)" -eq 0 ]'; done
demo heal
touch "$work/go"
wait "$p"
code=$?
check "fsync says ENOSPC, of every descriptor, each time, in three processes" eval 'cat "$work/odd"; [ $code = 0 ]'
touch "$work/enough"
wait "$blower"
rm -f "$work"/??/balloon
synced() { timeout 60 python3 -c "import os; os.fsync(os.open('$mnt/again', os.O_RDWR))"; }
check "with room it succeeds" wait_for synced
sum=$(sha256sum <"$mnt/again")
demo kill mount
demo heal
wait_for demo_answers "$dir" "$demo_pid"
check "and then it was true" [ "$(sha256sum <"$mnt/again")" = "$sum" ]
