#!/usr/bin/env bash
# Each fault once, with real processes on hosts of their own (network namespaces; skipped with the reason where they cannot
# be made): see drills.sh for the faults and for what must hold (D1..D5), and tests/lib/history.py for the checkers.
# The last case is there so that all the others can fail: disks that lie about their flushes, and a power cut; the checkers must
# see that acknowledged work is gone.  DRILLS="az_cut loss" runs only those.
. "${HEXAD_SOURCE:?}/tests/fault/drills.sh" || exit 99
read -ra list <<<"${DRILLS:-${faults[*]}}"
plan $((${#list[@]} + 1))
note "seed $SEED"
hosts_up --pg-size 1MiB
mount_start m1 || die "the volume is mounted" "$(cat "$work/log/m1.log")"
for f in "${list[@]}"; do
    if drill "$f" >"$work/drill.$f" 2>&1; then
        pass "${promise[$f]}"
        grep -E 'longest|writable|taken over|SIGBUS' "$work/drill.$f" | sed 's/^[^]]*]/#  /'
    else
        fail "${promise[$f]}" "$(cat "$work/drill.$f")"
        undo >>"$work/undo.log" 2>&1
        mount_start "$client" || exit 1
    fi
done

# ---- the checkers have teeth ----
if lie_is_seen >"$work/drill.lie" 2>&1; then
    pass "servers that acknowledge without a flush, then a power cut: the checkers see it"
    grep -E 'Wrong|cannot be mounted|does not start' "$work/drill.lie" | cut -c1-150 | head -n 3 | sed 's/^/#  /'
else
    fail "servers that acknowledge without a flush, then a power cut: the checkers see it" "$(cat "$work/drill.lie")"
fi
