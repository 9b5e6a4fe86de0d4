#!/usr/bin/env bash
# What networks do to requests: truncated, repeated, delayed, reordered, damaged.  A client written from the documents alone
# (wire.py) speaks to one segment server of a volume that nobody has mounted.
# That these can fail was tried by expecting the other outcome of each (e.g. that a repeated patch shows twice).
. "$HEXAD_SOURCE/tests/lib/kit.sh"
needs_fuse
mapfile -t cases < <(python3 "$LIB/wire.py" --list)
plan $((${#cases[@]} + 3))
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
