#!/usr/bin/env bash
# Runs every fuzz target under libFuzzer with address and undefined sanitizers: `make fuzz BUDGET=SECONDS`.
#   --budget S      seconds in all, spread over the targets (default 600)
#   --only "A B"    these targets only
#   --keep          leave the working corpora large; by default each is reduced to what reaches new code
#   --publish       pack the reduced corpora (at most 96 KiB each, small inputs first) into tests/fuzz/corpus of the tree
# Built with clang in BUILD/fuzzing.  Working corpora: BUILD/fuzzing/corpus/NAME, they grow from run to run.  What stops
# a target is kept in BUILD/fuzzing/findings/NAME and fails the command; it prints the line that replays it.
# Executions of each decoder are added up over runs in BUILD/fuzzing/counts and printed at the end.
set -euo pipefail
: "${HEXAD_BUILD:?run it as: make fuzz}" "${HEXAD_SOURCE:?}"
budget=600 only= keep= publish=
while [ $# -gt 0 ]; do
    case $1 in
    --budget) budget=$2 && shift ;;
    --only) only=$2 && shift ;;
    --keep) keep=1 ;;
    --publish) publish=1 ;;
    *) echo "fuzz: unknown option $1" >&2 && exit 2 ;;
    esac
    shift
done
if ! command -v clang >/dev/null; then
    echo "fuzz: clang is needed: apt-get install clang libclang-rt-dev" >&2
    exit 77
fi
if ! echo 'int LLVMFuzzerTestOneInput(void){return 0;}' | clang -x c -fsanitize=fuzzer,address -o /dev/null - 2>/dev/null; then
    echo "fuzz: clang cannot link libFuzzer: apt-get install libclang-rt-14-dev" >&2
    exit 77
fi
dir=$HEXAD_BUILD/fuzzing
CC=clang bash "$HEXAD_SOURCE/contrib/setup" --build "$dir" --with-fuzzing CC=clang
names=$only
if [ -z "$names" ]; then
    for f in "$HEXAD_SOURCE"/tests/fuzz/fuzz_*.c; do
        f=${f##*/fuzz_}
        names="$names ${f%.c}"
    done
fi
programs=
count=0
for name in $names; do
    programs="$programs tests/fuzz/fuzz_$name"
    count=$((count + 1))
done
# shellcheck disable=SC2086
make -s -C "$dir" $programs
seconds=$((budget / count))
[ $seconds -ge 1 ] || seconds=1
export HEXAD_FUZZ_COUNTS=$dir/counts HEXAD_SOURCE
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1:malloc_limit_mb=1024}
failed=
for name in $names; do
    corpus=$dir/corpus/$name findings=$dir/findings/$name
    mkdir -p "$corpus" "$findings"
    HEXAD_FUZZ_SEEDS=$corpus "$dir/tests/fuzz/fuzz_$name"
    echo "fuzz: $name, $seconds s"
    rc=0
    "$dir/tests/fuzz/fuzz_$name" "$corpus" -max_total_time="$seconds" -timeout=25 \
        -rss_limit_mb=2048 -artifact_prefix="$findings/" -print_final_stats=1 \
        >"$dir/$name.log" 2>&1 || rc=$?
    grep -E '^stat::(number_of_executed_units|average_exec)|cov: ' "$dir/$name.log" | tail -n 3 | sed 's/^/    /'
    if [ $rc -ne 0 ]; then
        failed="$failed $name"
        grep -E 'ERROR|does not hold|runtime error|SUMMARY|Test unit written' "$dir/$name.log" | head -n 5 | sed 's/^/    /'
        echo "    replay: $dir/tests/fuzz/fuzz_$name FILE    (all of it: $dir/$name.log)"
    fi
    if [ -z "$keep" ] && [ $rc -eq 0 ]; then
        rm -rf "$corpus.new" && mkdir "$corpus.new"
        if HEXAD_FUZZ_COUNTS='' "$dir/tests/fuzz/fuzz_$name" -merge=1 "$corpus.new" "$corpus" >"$dir/$name.merge.log" 2>&1; then
            rm -rf "$corpus" && mv "$corpus.new" "$corpus"
        fi
    fi
    if [ -n "$publish" ] && [ $rc -eq 0 ]; then
        mkdir -p "$HEXAD_SOURCE/tests/fuzz/corpus"
        python3 - "$corpus" "$HEXAD_SOURCE/tests/fuzz/corpus/$name.pack" <<'END'
import os, struct, sys
left, out = 96 << 10, b''
for path in sorted((os.path.join(sys.argv[1], f) for f in os.listdir(sys.argv[1])), key=lambda p: (os.path.getsize(p), p)):
    data = open(path, 'rb').read()
    if len(data) + 4 > left:
        break
    left -= len(data) + 4
    out += struct.pack('<I', len(data)) + data
open(sys.argv[2], 'wb').write(out)
END
    fi
done
echo "executions in all runs of this build directory:"
awk '{ n[$1 " " $2] += $3 } END { for (k in n) printf "%15d  %s\n", n[k], k }' "$dir/counts" 2>/dev/null | sort -k2
left=$(find "$dir/findings" -type f | head -n 20)
if [ -n "$left" ]; then
    echo "findings:"
    echo "$left"
    exit 1
fi
[ -z "$failed" ] || { echo "failed:$failed" >&2 && exit 1; }
