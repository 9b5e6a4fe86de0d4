#!/usr/bin/env bash
# Each fault once, with real processes on hosts of their own (network namespaces; skipped with the reason where they cannot
# be made): see drills.sh for the faults and for what must hold (D1..D8), and tests/lib/history.py for the checkers.
# The last case is there so that all the others can fail: disks that lie about their flushes, and a power cut; the checkers must
# see that acknowledged work is gone.  DRILLS="az_cut loss+kill_zone" runs only those (+: at once); DRILLS_CONTROL=0 no last case.
. "${HEXAD_SOURCE:?}/tests/fault/drills.sh" || exit 99
read -ra list <<<"${DRILLS:-${faults[*]}}"
note "seed $SEED"
control=${DRILLS_CONTROL:-1}
plan $((${#list[@]} + control))
hosts_up --pg-size 1MiB
mount_start m1 "$mount_options" || die "the volume is mounted" "$(cat "$work/log/m1.log")"
# Room for what follows, so that the stalls that are printed are not those of growth, which is a drill of its own.
dd if=/dev/zero of="$(mnt)/room" bs=1M count=4 conv=fsync 2>/dev/null && rm "$(mnt)/room"
for f in "${list[@]}"; do
    # Each drill has its own draws, so that it can be repeated alone.
    kit_random=$(($(cksum <<<"$SEED $f" | cut -d' ' -f1) % 2147483648))
    name=${promise[$f]:-$f}
    if drill ${f//+/ } >"$work/drill.$f" 2>&1; then
        pass "$name"
        grep -E 'longest|writable|SIGBUS' "$work/drill.$f" | sed 's/^[^]]*]/#  /'
    else
        fail "$name" "$(cat "$work/drill.$f")"
        note "again: HEXAD_SEED=$SEED DRILLS=$f make check TESTS=tests/fault/test_drills.sh"
        undo >>"$work/undo.log" 2>&1
        mount_start "$client" "$mount_options" || exit 1
    fi
done
[ "$control" = 1 ] || exit 0

# ---- the checkers have teeth ----
if lie_is_seen >"$work/drill.lie" 2>&1; then
    pass "servers that acknowledge without a flush, then a power cut: the checkers see it"
    grep -E 'Wrong|cannot be mounted|does not start' "$work/drill.lie" | cut -c1-150 | head -n 3 | sed 's/^/#  /'
else
    fail "servers that acknowledge without a flush, then a power cut: the checkers see it" "$(cat "$work/drill.lie")"
fi
