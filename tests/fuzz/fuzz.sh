#!/usr/bin/env bash
# Runs fuzz targets under libFuzzer with address and undefined sanitizers: `make fuzz BUDGET=SECONDS [FUZZ_ARGS=...]`.
#   --budget S      seconds in all, spread over the targets (default 600)
#   --only "A B"    these targets only
#   --goal N        instead: each decoder of these targets alone, until the ledger has N executions of its present version,
#                   or the budget is spent.  A decoder then gets 255 neighbours of each input instead of 31, comparisons
#                   are not traced (build in BUILD/fuzzing-fast), and leaks are looked for at the end of a run.
#   --nice N        priority of what runs (default 10)
#   --keep          leave the working corpora large; by default each is reduced to what reaches new code
#   --publish       pack the reduced corpora (at most 96 KiB each, small inputs first) into tests/fuzz/corpus of the tree
#   --sources       instead: which files each decoder runs, over its corpus, that are not in its version; fails if any
# Built with clang in BUILD/fuzzing.  Working corpora: BUILD/fuzzing/corpus/NAME, they grow from run to run.  What stops
# a target is kept in BUILD/fuzzing/findings/NAME and fails the command; it prints the line that replays it.
# Executions and findings are added to tests/fuzz/ledger (ledger.py), which is printed at the end.
set -euo pipefail
: "${HEXAD_BUILD:?run it as: make fuzz}" "${HEXAD_SOURCE:?}"
budget=600 only= goal= keep= publish= sources= nice=10
while [ $# -gt 0 ]; do
    case $1 in
    --budget) budget=$2 && shift ;;
    --only) only=$2 && shift ;;
    --goal) goal=$2 && shift ;;
    --nice) nice=$2 && shift ;;
    --keep) keep=1 ;;
    --publish) publish=1 ;;
    --sources) sources=1 ;;
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
dir=$HEXAD_BUILD/fuzzing built=$dir
if [ -n "$goal" ]; then
    built=$HEXAD_BUILD/fuzzing-fast
    CC=clang bash "$HEXAD_SOURCE/contrib/setup" --build "$built" --configure --with-fuzzing=fast CC=clang
else
    CC=clang bash "$HEXAD_SOURCE/contrib/setup" --build "$built" --configure --with-fuzzing CC=clang
fi
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
make -s -j"$(nproc)" -C "$built" $programs
export HEXAD_SOURCE HEXAD_FUZZ_PROGRAMS=$built/tests/fuzz
ledger() { python3 "$HEXAD_SOURCE/tests/fuzz/ledger.py" "$@"; }
checks=allocator_may_return_null=1:malloc_limit_mb=1024
# Small numbers where a run frees all that it allocated; stacks of allocations are for replays.
[ -z "$goal" ] || checks=$checks:quarantine_size_mb=1:thread_local_quarantine_size_kb=64:malloc_context_size=0
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:$checks}
failed=

# NAME DECODER SECONDS [more of libFuzzer's options]: one run, entered in the ledger; DECODER -: all of the target.
run() {
    local name=$1 decoder=$2 seconds=$3 corpus=$dir/corpus/$1 findings=$dir/findings/$1 counts=$dir/$1.counts log=$dir/$1.log rc=0
    shift 3
    rm -f "$counts"
    if [ "$decoder" = - ]; then unset HEXAD_FUZZ_DECODER; else export HEXAD_FUZZ_DECODER=$decoder; fi
    HEXAD_FUZZ_COUNTS=$counts nice -n "$nice" "$built/tests/fuzz/fuzz_$name" "$corpus" -max_total_time="$seconds" -timeout=25 \
        -rss_limit_mb=2048 -artifact_prefix="$findings/" -print_final_stats=1 "$@" >"$log" 2>&1 || rc=$?
    unset HEXAD_FUZZ_DECODER
    grep -E '^stat::(number_of_executed_units|average_exec)|cov: ' "$log" | tail -n 3 | sed 's/^/    /'
    if [ $rc -ne 0 ]; then
        failed="$failed $name"
        grep -E 'ERROR|does not hold|runtime error|SUMMARY|Test unit written' "$log" | head -n 5 | sed 's/^/    /'
        echo "    replay: $built/tests/fuzz/fuzz_$name FILE    (all of it: $log)"
        echo "$name $decoder" >"$counts.found"
        ledger add /dev/null "$counts.found"
    fi
    [ ! -f "$counts" ] || ledger add "$counts"
    return $rc
}

begin() {
    mkdir -p "$dir/corpus/$1" "$dir/findings/$1"
    HEXAD_FUZZ_SEEDS=$dir/corpus/$1 "$built/tests/fuzz/fuzz_$1"
}

# Without new code: the corpus becomes what is needed of it.
reduce() {
    local corpus=$dir/corpus/$1
    rm -rf "$corpus.new" && mkdir "$corpus.new"
    if "$built/tests/fuzz/fuzz_$1" -merge=1 "$corpus.new" "$corpus" >"$dir/$1.merge.log" 2>&1; then
        rm -rf "$corpus" && mv "$corpus.new" "$corpus"
    fi
}

pack() {
    mkdir -p "$HEXAD_SOURCE/tests/fuzz/corpus"
    python3 - "$dir/corpus/$1" "$HEXAD_SOURCE/tests/fuzz/corpus/$1.pack" <<'EOF'
import os, struct, sys
left, out = 96 << 10, b''
for path in sorted((os.path.join(sys.argv[1], f) for f in os.listdir(sys.argv[1])), key=lambda p: (os.path.getsize(p), p)):
    data = open(path, 'rb').read()
    if len(data) + 4 > left:
        break
    left -= len(data) + 4
    out += struct.pack('<I', len(data)) + data
open(sys.argv[2], 'wb').write(out)
EOF
}

# Slices of at most five minutes, so that little is lost when it is stopped.
reach_goal() {
    local end=$(($(date +%s) + budget)) more=1 name decoder left slice
    for name in $names; do begin "$name"; done
    while [ -n "$more" ] && [ "$(date +%s)" -lt $end ]; do
        more=
        # shellcheck disable=SC2086
        ledger left "$goal" $names >"$dir/left"
        while read -r name decoder left <&3; do
            [ "$decoder" != - ] || continue
            slice=$((end - $(date +%s)))
            [ $slice -gt 0 ] || break
            [ $slice -le 300 ] || slice=300
            echo "fuzz: $name $decoder, $left to go"
            run "$name" "$decoder" $slice -runs=$((left / 250 + 2000)) -entropic=0 -reduce_inputs=0 -detect_leaks=0 || return 0
            more=1
        done 3<"$dir/left"
    done
}

search() {
    local seconds=$((budget / count))
    [ $seconds -ge 1 ] || seconds=1
    for name in $names; do
        begin "$name"
        echo "fuzz: $name, $seconds s"
        run "$name" - $seconds || continue
        [ -n "$keep" ] || reduce "$name"
        [ -z "$publish" ] || pack "$name"
    done
}

compare_sources() {
    local name decoder rest
    for name in $names; do
        begin "$name"
        HEXAD_FUZZ_LIST=1 "$built/tests/fuzz/fuzz_$name" >"$dir/decoders"
        # shellcheck disable=SC2034
        while read -r name decoder rest; do
            [ "$decoder" != - ] || continue
            HEXAD_FUZZ_DECODER=$decoder "$built/tests/fuzz/fuzz_$name" -runs=0 -print_coverage=1 "$dir/corpus/$name" \
                >"$dir/$name.log" 2>&1
            ledger check "$dir/$name.log" "$name" "$decoder" || failed="$failed $name"
        done <"$dir/decoders"
    done
}

if [ -n "$sources" ]; then
    compare_sources
    [ -z "$failed" ] || exit 1
    exit 0
elif [ -n "$goal" ]; then
    reach_goal
else
    search
fi
# shellcheck disable=SC2086
ledger show $goal
left=$(find "$dir/findings" -type f 2>/dev/null | head -n 20)
if [ -n "$left" ]; then
    echo "findings:"
    echo "$left"
    exit 1
fi
[ -z "$failed" ] || { echo "failed:$failed" >&2 && exit 1; }
