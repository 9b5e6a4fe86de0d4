#!/usr/bin/env bash
# Databases that several processes use at once (tests/lib/contend.py): SQLite in every journal mode, with mmap_size, over
# attached files, and with locking_mode=exclusive; LMDB with and without a writable map.
# That it can fail was tried with a mount that forgets every hundredth write.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs_module lmdb
mapfile -t kinds < <("$python" "$LIB/contend.py" --list)
plan ${#kinds[@]}
demo_up "$work/d"
# All at once: most of the time goes by in waiting for locks.
pids=()
for k in "${kinds[@]}"; do
    timeout $((3 * PATIENCE)) "$python" "$LIB/contend.py" "$k" "$work/d/mnt" >"$work/$k.log" 2>&1 &
    pids+=($!)
done
for i in "${!kinds[@]}"; do
    k=${kinds[i]}
    wait "${pids[i]}"
    code=$?
    check "$k" eval "cat '$work/$k.log'; [ $code = 0 ]"
done
