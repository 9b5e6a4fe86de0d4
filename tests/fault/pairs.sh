#!/usr/bin/env bash
# All pairs of faults, by `make check-drills`: in an order that the seed draws, as many as the budget allows, a new volume
# for every eight.  Prints what ran and what did not; a failure prints the line that repeats its pair.
#   DRILLS_BUDGET=SECONDS   no new pair is begun after that (default: all of them, more than an hour)
#   HEXAD_SEED=N            the order and the servers that are hit (default: drawn, and printed)
# Not a test of `make check`; each pair runs in test_drills.sh, which says how a pair alone is repeated.
set -u
: "${HEXAD_BUILD:?run me with make check-drills}" "${HEXAD_SOURCE:?}"
SEED=${HEXAD_SEED:-$((RANDOM * 32768 + RANDOM))}
budget=${DRILLS_BUDGET:-0}
child=
trap '[ -z "$child" ] || { kill -TERM $child; wait $child; }; exit 130' INT TERM HUP
read -ra faults <<<"$(sed -n '/^faults=(/,/)/p' "$HEXAD_SOURCE/tests/fault/drills.sh" | tr -d '\n' | sed 's/^faults=(//; s/).*//')"
mapfile -t pairs < <(
    for ((i = 0; i < ${#faults[@]}; i++)); do
        for ((j = i + 1; j < ${#faults[@]}; j++)); do
            echo "$(cksum <<<"$SEED ${faults[i]} ${faults[j]}" | cut -d' ' -f1) ${faults[i]}+${faults[j]}"
        done
    done | sort -n | cut -d' ' -f2
)
echo "# seed $SEED, ${#pairs[@]} pairs, budget ${DRILLS_BUDGET:-none}"
at=0 bad=0 n=0
while [ $at -lt ${#pairs[@]} ] && { [ "$budget" = 0 ] || [ $SECONDS -lt "$budget" ]; }; do
    # The first batches are small, so that a small budget is kept.
    size=$((budget > 0 && budget - SECONDS < 120 ? 2 : 8))
    batch="${pairs[*]:at:size}"
    at=$((at + size))
    exec 5< <(HEXAD_SEED=$SEED DRILLS=$batch DRILLS_CONTROL=0 exec bash "$HEXAD_SOURCE/tests/fault/test_drills.sh" 2>&1)
    child=$!
    while read -r -u 5 line; do
        case $line in
        "ok "*) n=$((n + 1)); echo "ok $n - ${line#ok * - }" ;;
        "not ok "*) n=$((n + 1)) bad=$((bad + 1)); echo "not ok $n - ${line#not ok * - }" ;;
        1..0*) echo "$line"; exit 0 ;;
        1..* | "# seed"*) ;;
        *) echo "$line" ;;
        esac
    done
    wait $child
    child=
done
[ $at -lt ${#pairs[@]} ] || at=${#pairs[@]}
echo "1..$n"
echo "# $n of ${#pairs[@]} pairs ran, $bad failed, seed $SEED"
[ $at = ${#pairs[@]} ] || fold -s -w 110 <<<"not run: ${pairs[*]:at}" | sed 's/^/# /'
[ $bad = 0 ]
