#!/usr/bin/env bash
# Branch coverage of the pure layers (gcov): `make coverage`.  Fails when a branch of src/core or src/store that is not
# reached is missing from tests/unreached.txt, when one that stands there is reached or gone, or below the aims.
#   --list          every branch that is not reached, with its line, as unreached.txt has it
#   --seeds A..B    of the simulator (default 1..40)
#   --no-build      only count what an earlier run left
#   --only unit     without the simulator and the fuzz corpora; compares nothing
# In its own build directory, BUILD/coverage: no optimisation, --coverage.
# A program that fails is told at the end, and fails the target: what it reached before counts.
set -euo pipefail
: "${HEXAD_BUILD:?run it as: make coverage}" "${HEXAD_SOURCE:?}"
list=() failed=() seeds=1..40 build=1 only=
while [ $# -gt 0 ]; do
    case $1 in
    --list) list+=(--list) ;;
    --seeds) seeds=$2 && shift ;;
    --only) only=$2 && list+=(--partial) && shift ;;
    --no-build) build= ;;
    *) echo "coverage: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
dir=$HEXAD_BUILD/coverage
if [ -n "$build" ]; then
    # Configured anew: flags may be others, which make does not see.
    if [ "$HEXAD_SOURCE/configure.ac" -nt "$dir/config.status" ] || [ "$dir/config.status" -nt "$dir/src/core/ask.o" ]; then rm -rf "$dir"; fi
    bash "$HEXAD_SOURCE/contrib/setup" --build "$dir" --enable-coverage
    programs=()
    for f in "$HEXAD_SOURCE"/tests/unit/test_*.c "$HEXAD_SOURCE"/tests/fuzz/fuzz_*.c; do
        f=${f#"$HEXAD_SOURCE"/}
        [ "$only" = unit ] && case $f in tests/fuzz/*) continue ;; esac
        programs+=("${f%.c}")
    done
    make -s -C "$dir" "${programs[@]}"
    find "$dir" -name '*.gcda' -delete
    cd "$dir"
    export HEXAD_SOURCE HEXAD_BUILD=$dir
    for p in "${programs[@]}"; do
        "./$p" >"$p.log" 2>&1 || failed+=("$p")
    done
    if [ -x hexad-sim ] && [ "$only" != unit ]; then
        ./hexad-sim --seeds "$seeds" >hexad-sim.log 2>&1 || failed+=(hexad-sim)
    fi
fi
cd "$dir"
rm -rf gcov && mkdir gcov
for layer in core store fs; do
    find "src/$layer" -name '*.gcda' ! -name '*mutants*' | sort >gcov/list
    (cd gcov && sed "s|^|$dir/|" list | xargs gcov --branch-probabilities --branch-counts --json-format --stdout \
        2>/dev/null) >"gcov/$layer.json"
done
python3 "$HEXAD_SOURCE/tests/coverage.py" "${list[@]}" "$HEXAD_SOURCE" gcov/core.json gcov/store.json gcov/fs.json || wrong=1
for p in "${failed[@]}"; do
    echo "coverage: $p fails: $dir/$p.log" >&2
    wrong=1
done
exit "${wrong:-0}"
