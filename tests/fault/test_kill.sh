#!/usr/bin/env bash
# kill -9 of the mount, of all six servers, and of everything at once, at seeded moments during commits.
#
# Two processes work on the mount: one commits with SQLite (loader.py; WAL and DELETE mode in turn), the other
# carries out a seeded sequence of file operations with an fsync now and then (prefix.py).  After each kill the
# volume is opened again: pragma integrity_check is ok, the transactions are 1..k with k not below the last
# acknowledged one, and the tree is the state after some number of operations that is not below the last fsync that
# returned.
# Rounds: HEXAD_KILL_ROUNDS (20) of each kind; HEXAD_SEED gives other moments.
# That it can fail was tried by deleting the last acknowledged row, by removing a file, and with a mount that
# answers fsync at once: then the first or second round ends with acknowledged transactions missing.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
rounds=${HEXAD_KILL_ROUNDS:-20}
plan $((3 * rounds))
note "seed $SEED"
dir=$work/d
mnt=$dir/mnt
kinds=(${HEXAD_KILL_MODES:-wal delete})

up() { wait_for demo_answers "$dir" "$demo_pid"; }
start() { # both processes; sets $l and $p
    rm -f "$work/stop"
    mode=${kinds[$1 % ${#kinds[@]}]}
    loader "$mnt/$mode.db" "$work/$mode.acked" --mode "$mode" --stop "$work/stop" >>"$work/loader.log" 2>&1 & l=$!
    python3 "$LIB/prefix.py" run "$mnt/tree" "$work/tree.acked" "$SEED" --stop "$work/stop" \
        >>"$work/prefix.log" 2>&1 & p=$!
}
until_moment() { # a seeded number of transactions or operations further on, and a seeded number of turns after that
    rand 1 12
    local want=$(($(acked "$work/$mode.acked") + random))
    rand 1 60
    local ops=$(($(count "$work/tree.acked") + random)) end=$((SECONDS + PATIENCE)) turns
    until acked_at_least "$work/$mode.acked" "$want" || lines "$work/tree.acked" "$ops"; do
        [ $SECONDS -lt $end ] || { note "no progress: $(tail -n 2 "$work/loader.log" "$work/prefix.log")"; break; }
    done
    rand 0 400
    for ((turns = random; turns > 0; turns--)); do :; done
}
reap() { # the processes have lost their files; one that still waits is ended
    touch "$work/stop"
    wait_for ended "$l" || kill -KILL "$l"
    wait_for ended "$p" || kill -KILL "$p"
    wait "$l" "$p" 2>/dev/null
}
intact() {
    [ -z "$failure" ] || { echo "$failure"; return 1; }
    up || { echo "the mount does not answer"; tail -n 20 "$work/verbs.log" "$dir.log" "$dir"/log/*.log; return 1; }
    rm -rf "$work/found" # evidence: what a hot journal looked like before SQLite touched it
    mkdir "$work/found"
    cp -p "$mnt"/*.db* "$work/found/" 2>/dev/null
    local m
    for m in wal delete; do loader --verify "$mnt/$m.db" "$work/$m.acked" || return 1; done
    python3 "$LIB/prefix.py" check "$mnt/tree" "$work/tree.acked" "$SEED"
}
failure= # what went wrong before the volume was opened again
round() { # round NAME: what comes after a failure would fail for the same reason
    local failed=$kit_failed
    check "$1" intact
    [ $kit_failed = $failed ] || exit 1
}
demo_up "$dir"
for ((i = 1; i <= rounds; i++)); do
    start $i
    until_moment
    demo kill mount
    reap
    demo heal
    round "mount killed, round $i"
done
for ((i = 1; i <= rounds; i++)); do
    start $i
    until_moment
    demo kill az-a az-b az-c
    demo heal
    # The mount was not touched: what waited must go on by itself, and no program may have noticed.
    before=$(acked "$work/$mode.acked") failure=
    wait_for acked_at_least "$work/$mode.acked" $((before + 2)) || failure="no commit after the servers came back"
    touch "$work/stop"
    wait_for ended $l && wait $l || failure="the loader: $(tail -n 1 "$work/loader.log")"
    wait_for ended $p && wait $p || failure="the file operations: $(tail -n 1 "$work/prefix.log")"
    demo kill mount
    reap
    demo heal
    round "all six servers killed, round $i"
done
for ((i = 1; i <= rounds; i++)); do
    start $i
    until_moment
    demo kill all
    reap
    demo heal
    round "everything killed, round $i"
done
