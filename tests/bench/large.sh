#!/usr/bin/env bash
# Cost against size (doc/PERFORMANCE.md): each case of large.py at a hundredth, a tenth and all of its size, each on a demo of its own.
#   make bench-large BENCH_ARGS="--quick --json --only tree"      --quick: without the full size
# Figures, never asserted.  The largest, a database of 1 GiB, takes about 7.5 GiB of $TMPDIR; what is made is removed.
json= quick= only="sparse tree database"
while [ $# -gt 0 ]; do
    case $1 in
    --json) json=1 ;;
    --quick) quick=1 ;;
    --only) only=${2:?} && shift ;;
    *) echo "usage: large.sh [--json] [--quick] [--only 'sparse tree database']" >&2 && exit 64 ;;
    esac
    shift
done
{ . "$HEXAD_SOURCE/tests/lib/kit.sh"; } || exit 1
here=$HEXAD_SOURCE/tests/bench
declare -A sizes=([sparse]="1 10 100" [tree]="1000 10000 100000" [database]="10 100 1000")
for c in $only; do
    for size in ${sizes[$c]}; do
        [ -z "$quick" ] || [ "$size" != "${sizes[$c]##* }" ] || continue
        d=$work/$c$size
        demo_up "$d" --json >&2
        sed -n '/^{/,/^}/p' "$d.log" >"$work/demo.json"
        python3 "$here/large.py" "$c" "$size" "$work/demo.json" "$HEXAD" >>"$work/results" ||
            echo "large: $c $size did not come to its end" >&2
        demo_down "$demo_pid" "$d"
        rm -rf --one-file-system "$d"
    done
done
if [ -n "$json" ]; then
    cat "$work/results"
else
    python3 - "$work/results" <<'PY'
import json, sys
print("| case | size | step | units | s | a unit: us | of it mount | servers | mount MiB | a server MiB | its disk MiB |")
print("|---|---|---|---|---|---|---|---|---|---|---|")
for r in map(json.loads, open(sys.argv[1])):
    if r["step"] == "open":
        print("| %s | %d | open | 1 | %.2f | | | | | | |" % (r["case"], r["size"], r["ms"] / 1000))
        continue
    print("| %s | %d | %s | %d | %.2f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f |" % (
        r["case"], r["size"], r["step"], r["units"], r["s"], r["s"] * 1e6 / r["units"], r["mount_us"], r["servers_us"],
        r["mount_KiB"] / 1024, r["server_KiB"] / 1024, r["disk_KiB"] / 1024))
PY
fi
