#!/usr/bin/env bash
# Zones die while programs commit: with one gone nobody notices; with one more gone writes wait and reads go on.
# Waiting is never measured: the commit must still be unacknowledged after other events (a status, a read of 24 MiB).
# That these can fail was tried by killing c1 as well in the first part (the loader stops), and by healing before the
# check that the commit waits (it does not wait), and with servers that do not gossip (the SCLs do not meet).
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 17
demo_up "$work/d" -o cache=8MiB,window=8MiB # so that the writer cannot keep what the dead zone misses
mnt=$work/d/mnt
log=$work/acked
python3 -c "import random,sys; sys.stdout.buffer.write(random.Random(1).randbytes(24 << 20))" >"$work/cold"

all_equal() { status "len(scls(0)) == 6 and len(set(scls(0))) == 1"; }
lost_zone() { # lost_zone ZONE MODE: the zone dies under a loader in that journal mode
    rm -f "$log" "$work/stop"
    loader "$mnt/$2.db" "$log" --mode "$2" --stop "$work/stop" >"$work/$2.log" 2>&1 & l=$!
    wait_for acked_at_least "$log" 30
    demo kill "$1"
    local before
    before=$(acked "$log")
    check "commits go on without $1 (journal_mode=$2)" wait_for acked_at_least "$log" $((before + 100))
    cp "$work/cold" "$mnt/cold"
    check "hexad status says DEGRADED, exit code 3" wait_for status "code == 3 and state == 'DEGRADED'"
    demo heal
    wait_for acked_at_least "$log" $(($(acked "$log") + 20))
    touch "$work/stop"
    wait $l
    check "the loader saw no error, and every transaction is there" eval \
        "[ $? = 0 ] || { cat '$work/$2.log'; false; } && loader --verify '$mnt/$2.db' '$log'"
    check "healed: all six SCLs are equal again, by gossip" wait_for all_equal
}
lost_zone az-b wal
lost_zone az-c delete

# A zone and one more: no write quorum.
sync "$mnt/cold"
demo kill mount && demo heal
wait_for demo_answers "$work/d" "$demo_pid"
demo kill az-b
demo kill c1
rm -f "$work/stop" "$log.wait"
loader "$mnt/wal.db" "$log.wait" --mode wal --count 1 >"$work/wait.log" 2>&1 & l=$!
check "hexad status says that the write quorum is missing, exit code 4" wait_for status "code == 4"
wait_for lines "$log.wait" 1
check "the mount says what it waits for" wait_for grep -qi "quorum" "$mnt/.hexad/status"
echo 3 2>/dev/null >/proc/sys/vm/drop_caches
check "24 MiB that are in no cache can be read" cmp "$work/cold" "$mnt/cold"
check "meanwhile the commit has neither returned nor failed" eval \
    "[ '$(acked "$log.wait")' = 0 ] && ! grep '^!' '$log.wait' && ! ended $l"
demo heal
wait $l
code=$?
check "healed: the waiting commit returns success" eval "[ $code = 0 ] || { cat '$work/wait.log'; false; }"
demo kill mount && demo heal
wait_for demo_answers "$work/d" "$demo_pid"
cat "$log.wait" >>"$log"
rm -f "$work/one"
check "and it is there after the mount was killed" loader --verify "$mnt/wal.db" "$log.wait"

# soft=: an error instead of waiting.
demo_down "$demo_pid" "$work/d"
demo_up "$work/e" -o soft=1s
mnt=$work/e/mnt
echo before >"$mnt/f" && sync "$mnt/f"
demo kill az-a
demo kill b1
tries() { # tries CODE: write and fsync end with that errno (0: success)
    python3 - "$mnt/f" "$1" <<'PY'
import errno, os, sys
try:
    f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
    os.write(f, b"after\n")
    os.fsync(f)
    got = 0
except OSError as e:
    got = e.errno
sys.exit(0 if got == int(sys.argv[2]) else "errno %s" % errno.errorcode.get(got, got))
PY
}
check "with -o soft= an fsync that finds no quorum ends with EIO" tries 5
check "what is there can still be read" grep -q before "$mnt/f"
demo heal
check "healed: fsync succeeds again" wait_for tries 0
