#!/usr/bin/env bash
# The simulator on fixed seeds: no invariant breaks; a seed gives the same trace each time; past failures stay fixed; its
# exit codes and its shrinking work.  HEXAD_SIM_SEEDS: how many seeds (default 300).
set -u
sim=$HEXAD_BUILD/hexad-sim
here=$HEXAD_SOURCE/tests/sim
n=0
ok() { # ok STATUS NAME
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}

out=$("$sim" --seeds "1..${HEXAD_SIM_SEEDS:-300}" --jobs 2 --keep-going)
status=$?
printf '%s\n' "$out" | tail -n 20 | sed 's/^/# /'
ok $status "no invariant breaks in seeds 1 to ${HEXAD_SIM_SEEDS:-300}"

out=$("$sim" --seeds 1..60 --jobs 2 --keep-going --set scrub_s=2)
status=$?
printf '%s\n' "$out" | tail -n 20 | sed 's/^/# /'
ok $status "nor while all servers read again what they store and compare it"

out=$("$sim" --seeds 1..60 --jobs 2 --keep-going --set servers=9 --set victims=2 --set wipe_ppm=20000 --set repair_ms=1000)
status=$?
printf '%s\n' "$out" | tail -n 20 | sed 's/^/# /'
ok $status "nor in fleets whose lost members are replaced while all this happens"

while read -r line; do
    args=${line%%#*} what=${line#*#}
    [ -n "${args// /}" ] || continue
    # shellcheck disable=SC2086
    out=$("$sim" $args 2>&1)
    status=$?
    [ $status = 0 ] || printf '%s\n' "$out" | tail -n 5 | sed 's/^/# /'
    ok $status "fixed:${what}"
done <"$here/seeds"

same=0
for seed in 3 17 42 99 123 256; do
    a=$("$sim" --seed $seed | grep ^hash) b=$("$sim" --seed $seed | grep ^hash)
    [ -n "$a" ] && [ "$a" = "$b" ] || { same=1; echo "# seed $seed: $a, then $b"; }
done
ok $same "the same seed gives the same trace hash"
[ "$("$sim" --seed 3 | grep ^hash)" != "$("$sim" --seed 4 | grep ^hash)" ]
ok $? "another seed gives another trace hash"

for golden in "$here"/golden/*.txt; do
    [ -f "$golden" ] || continue
    args=$(sed -n 's/^# args: //p' "$golden")
    # shellcheck disable=SC2086
    diff <(grep -v '^#' "$golden") <("$sim" $args --story | grep -v -e '^options' -e '^hash' -e '^events') >/tmp/golden.$$ 2>&1
    status=$?
    head -n 10 /tmp/golden.$$ | sed 's/^/# /'
    rm -f /tmp/golden.$$
    ok $status "golden trace: $(basename "$golden" .txt)"
done

"$sim" --seed x >/dev/null 2>&1
[ $? = 3 ]
ok $? "a wrong argument is a fault of the harness: exit 3"
echo "1..$n"
