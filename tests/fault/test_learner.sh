#!/usr/bin/env bash
# A seventh server gets all pages of a group from its members: killed in the middle, it goes on; then a program writes,
# and it follows like a member, and every page is the same.  Nobody writes before that: it is the driver of a change of
# members that holds the read floor while pages are copied, and here there is none.
# That it can fail was seen when R moved up under a load for minutes (the fourth case), and with an answer misread by it.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 7
demo_up "$work/d" --pg-size 32MiB
mnt=$work/d/mnt
head -c 20000000 /dev/urandom >"$mnt/big" && sync "$mnt/big" || die "some content"

# ---- one more server, with a certificate of the same authority ----
(cd "$work/d/tls" && HEXAD_CONFIG=$work/d/hexad.conf "$HEXAD" cert create-server a3) >"$work/cert.log" 2>&1 ||
    die "a certificate for it" "$(cat "$work/cert.log")"
cat >"$work/d/a3.conf" <<EOF
[server]
name = a3
zone = az-a
listen = 127.0.0.1:0
data = data/a3
[tls]
ca = tls/ca.crt
cert = tls/a3.crt
key = tls/a3.key
[limits]
repair-rate = 512KiB
EOF
port=0
up() {
    : >"$work/port"
    (cd "$work/d" && exec "$SEGMENTD" -c a3.conf --listen "127.0.0.1:$port" --ready-fd 7 7>"$work/port" 2>>"$work/a3.log") &
    pid=$!
    at_end "kill $pid"
    wait_for test -s "$work/port" || die "the server starts" "$(cat "$work/a3.log")"
    port=$(cat "$work/port")
}
learner() { python3 "$LIB/learner.py" "$work/d/hexad.conf" vol0 b1 a3 "https://127.0.0.1:$port" "$@"; }
state() { learner state 2>>"$work/learner.log"; }
look() { # sets $word, $got and $all
    read -r word got all <<<"$(state)"
    [ "$word" = filled ] || { [ "$word" = filling ] && [ "$all" -gt 0 ]; }
}
half() { look && [ "$word" = filling ] && [ "$((2 * got))" -gt "$all" ]; }
kept() { wait_for look && { [ "$word" = filled ] || [ "$((4 * got))" -gt "$all" ]; }; }
filled() { [[ $(state) == filled* ]]; }
up
check "a server that has nothing of it becomes a learner" learner make
check "it copies pages" wait_for half
note "$(state)"
kill -KILL $pid
wait $pid 2>/dev/null
sed -i 's/^repair-rate.*/repair-rate = 2MiB/' "$work/d/a3.conf"
up
check "after SIGKILL it has what it had" kept
check "then it has all of them" wait_for filled
check "a program writes" loader "$mnt/t.db" "$work/acked" --count 30
same_scl() { [ "$(state)" = "filled $(status --print "seg('b1')['scl']")" ]; }
check "it follows like a member" wait_for same_scl
note "$(state)"
check "and has every page as the members have it" learner compare
