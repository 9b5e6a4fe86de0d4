#!/usr/bin/env bash
# Damage that nobody reads is found by `hexad scrub`, mended from peers while the mount goes on, and told.
# Method: six servers and a mount; bytes of stored files are changed behind the servers' backs.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 9
dir=$work/d
demo_up "$dir"
export HEXAD_CONFIG=$dir/hexad.conf
dd if=/dev/urandom of="$work/a" bs=1M count=4 status=none
cp "$work/a" "$dir/mnt/a"
sync "$dir/mnt/a"

# field FILE NAME: a number of a document
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }

check "a scrub of a sound volume finds nothing: exit code 0" eval '"$HEXAD" scrub vol0 --json >"$work/1"'
check "nothing was found" [ "$(field "$work/1" found) $(field "$work/1" segments_left)" = "0 0" ]
check "all of it was read" test "$(field "$work/1" bytes_done)" -gt $((6 * 4194304))

# The payload of some frames of the newest log file of two servers, and a meta slot of a third.
rot() { # rot FILE OFFSET...
    local f=$1 off
    shift
    for off; do
        printf '\377\376\375\374' | dd of="$f" bs=1 seek="$off" conv=notrunc status=none
    done
}
log_of() { find "$dir" -path "*$1*" -type f -name '0000000000000010' -size +1M | head -n 1; }
for s in a1 b2; do
    f=$(log_of "/$s/")
    [ -n "$f" ] || f=/nonexistent
    rot "$f" 100000 900000 2000000
done
rot "$(find "$dir" -path '*/c1/*' -type f -name '0000000000000002' | head -n 1)" 200
check "damage is mended: exit code 0" eval '"$HEXAD" scrub vol0 --json >"$work/2"'
check "it was found" test "$(field "$work/2" found)" -ge 3
check "and none of it is left" [ "$(field "$work/2" damaged)" = 0 ]
check "what was written is read" cmp "$work/a" "$dir/mnt/a"
check "the status tells of it" eval '"$HEXAD" status vol0 | grep -q "damaged places found"'
check "a second scrub finds nothing new" eval \
    '"$HEXAD" scrub vol0 --json >"$work/3" && [ "$(field "$work/3" found)" = 0 ]'
