#!/usr/bin/env bash
# What networks do to requests: truncated, repeated, delayed, reordered, damaged.  A client written from the
# documents alone (wire.py) speaks to one segment server of a volume that nobody has mounted; then a real mount and
# the gossip of the servers go through a proxy that cuts connections in the middle of requests and answers, and
# delays (proxy.py). That these can fail was tried by expecting the other outcome of each (e.g. that a repeated
# patch shows twice), and by deleting a row before the last verification.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
mapfile -t cases < <(python3 "$LIB/wire.py" --list)
plan $((${#cases[@]} + 9))
demo_up "$work/d"
mnt=$work/d/mnt
uuid=$(hexad create wire --pg-size 1MiB --json | sed -n 's/.*"uuid": *"\([0-9a-f]*\)".*/\1/p')
[ -n "$uuid" ] || die "a second volume is made"
n=0
while read -r line; do
    case $line in
    "ok "*) pass "${line#ok }" ;;
    "not ok "*) fail "${line#not ok }" ;;
    *) note "$line" ; continue ;;
    esac
    n=$((n + 1))
done < <(python3 "$LIB/wire.py" "$work/d/hexad.conf" "$uuid" b1 2>&1)
[ $n = ${#cases[@]} ] || die "all cases of wire.py ran" "$n of ${#cases[@]}"
check "the server that all this was done to is well" wait_for status "code == 0 and seg('b1')['state'] == 'OK'"
check "a mounted volume on the same servers is not touched" loader "$mnt/t.db" "$work/acked" --count 20
check "and keeps what it was given" loader --verify "$mnt/t.db" "$work/acked"

# ---- a real mount over a bad network: the volume knows its servers by the proxy's addresses ----
: >"$work/calm"
python3 "$LIB/proxy.py" "$work/d/hexad.conf" "$work/bad.conf" "$SEED" "$work/calm" "$work/cuts" \
    2>"$work/proxy.log" & proxy=$!
at_end "kill $proxy"
wait_for test -s "$work/bad.conf" || die "the proxy starts" "$(cat "$work/proxy.log")"
export HEXAD_CONFIG=$work/bad.conf
bad=$work/bad
mkdir "$bad"
at_end "umount -l '$bad'"
at_end 'for p in $(pids_with "$bad"); do kill -KILL $p; done'
"$HEXAD" create bad --pg-size 4MiB >"$work/create.log" 2>&1 ||
    die "a volume behind the proxy" "$(cat "$work/create.log")"
check "a volume behind the proxy can be mounted" "$HEXAD" mount bad "$bad"
rm "$work/calm"
loader "$bad/t.db" "$work/bad.acked" --stop "$work/stop" >"$work/loader.log" 2>&1 & l=$!
python3 "$LIB/prefix.py" run "$bad/tree" "$work/tree.acked" "$SEED" --stop "$work/stop" >"$work/prefix.log" 2>&1 & x=$!
check "while connections are cut and data is late, commits go on" eval \
    'wait_for acked_at_least "$work/bad.acked" 60 && wait_for lines "$work/cuts" 40'
touch "$work/calm" "$work/stop"
wait $l
lc=$?
wait $x
xc=$?
note "$(count "$work/cuts") connections were cut, $(acked "$work/bad.acked") transactions acknowledged"
check "no program has seen an error" eval "[ $lc$xc = 00 ] || { cat '$work/loader.log' '$work/prefix.log'; false; }"
check "after the calm the mount ends in order" "$HEXAD" umount "$bad"
check "all of it is there in a new mount" eval \
    '"$HEXAD" mount bad "$bad" && loader --verify "$bad/t.db" "$work/bad.acked" &&
    python3 "$LIB/prefix.py" check "$bad/tree" "$work/tree.acked" "$SEED"'
check "and that ends in order, too" "$HEXAD" umount "$bad"
