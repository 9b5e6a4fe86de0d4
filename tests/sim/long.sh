#!/usr/bin/env bash
# Runs fresh seeds for BUDGET seconds and enters the range that ran clean in tests/sim/ledger:
#   long.sh HEXAD-SIM BUDGET [--dry]
# A line of the ledger: version of the core, version of all that ran (version.sh), first and last seed, events.
# Seeds that a version of the core has seen are not run again.
set -euo pipefail
sim=$1 budget=$2 dry=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
ledger=$here/ledger
version=$(bash "$here/version.sh")
first=$(awk -v v="${version% *}" '$1 == v && $4 > last { last = $4 } END { print last < 100000 ? 100001 : last + 1 }' "$ledger")
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
"$sim" --seeds "$first..18446744073709551615" --jobs "$(nproc)" --time-budget "$budget" --json | tee "$out" | grep -v '"seeds":' ||
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
last=$(sed -n 's/.*"last": \([0-9]*\).*/\1/p' "$out" | tail -n 1)
events=$(sed -n 's/^{"seeds":.*"events": \([0-9]*\).*/\1/p' "$out" | tail -n 1)
echo "version $version: seeds $first..$last, $events events"
if [ $status != 0 ]; then
    echo "a seed has failed: replay it with the line above (hexad-sim --seed N --shrink), fix it, add it to tests/sim/seeds" >&2
    exit 1
fi
[ "$dry" = --dry ] || echo "$version $first $last $events" >>"$ledger"
