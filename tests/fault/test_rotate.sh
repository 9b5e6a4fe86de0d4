#!/usr/bin/env bash
# Certificates, keys and at last the authority of six servers and a mount are replaced while SQLite commits: nothing is
# restarted, nothing fails, and what connects afterwards meets the new ones.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/fleet.sh" || exit 99
needs_fuse
needs openssl
plan 16
names=(a1 a2 b1 b2 c1 c2)
fleet_make a1:az-a a2:az-a b1:az-b b2:az-b c1:az-c c2:az-c || die "certificates are made" "$(cat "$fleet/cert.log")"
fleet_start "${names[@]}"
fleet_config hexad.conf "${names[@]}"
export HEXAD_CONFIG=$fleet/hexad.conf kit_demo_dir=$fleet
cp me.crt first.crt && cp me.key first.key # a certificate of the first authority, kept
"$HEXAD" create vol0 >"$work/create.log" 2>&1 || die "a volume is made" "$(cat "$work/create.log")"
mnt=$work/mnt
fleet_mount "$mnt"
loader "$mnt/t.db" "$work/acked" --mode wal --stop "$work/stop" >"$work/loader.log" 2>&1 &
loader_pid=$!
at_end "touch '$work/stop'; wait_for ended $loader_pid; kill -KILL $loader_pid"
goes_on() { # some more transactions than there are now
    wait_for acked_at_least "$work/acked" $(($(acked "$work/acked") + 20))
}
served() { # served NAME FIELD: of the certificate that server NAME presents to who comes now
    openssl s_client -connect "127.0.0.1:${fleet_port[$1]}" -cert "${3:-me}.crt" -key "${3:-me}.key" </dev/null 2>/dev/null |
        openssl x509 -noout "-$2"
}
serves() { [ "$(served "$1" serial)" = "$(openssl x509 -noout -serial -in "$1.crt")" ]; }
all_serve() {
    local n
    for n in "${names[@]}"; do wait_for serves "$n" || { echo "$n presents $(served "$n" serial)"; return 1; }; done
}
taken() { grep -c 'new connections use' "$1"; }
# all_take COMMAND: it changes files of everybody; then every server and the mount say that they use them.
all_take() {
    local n before=()
    for n in "${names[@]}"; do before+=("$(taken "$n.log")"); done
    before+=("$(taken "$mnt.log")")
    eval "$1" || return 1
    for n in "${!names[@]}"; do wait_for more_taken "${names[$n]}.log" "${before[$n]}" || return 1; done
    wait_for more_taken "$mnt.log" "${before[6]}"
}
more_taken() { [ "$(taken "$1")" -gt "$2" ]; }
renew_all() { # renew_all AUTHORITY
    local n
    for n in "${names[@]}" me; do "$HEXAD" cert renew "$n.crt" --ca "$1" || return 1; done
}
exchange() { # certificate and key of NAME, one after the other
    "$HEXAD" cert "$1" "$2" --out "$2.new" --ca ca >/dev/null && mv "$2.new.key" "$2.key" && mv "$2.new.crt" "$2.crt"
}
new_keys() {
    local n
    for n in "${names[@]}"; do exchange create-server "$n" || return 1; done
    exchange create-client me
}
trust() { cat "$@" >trust.new && mv trust.new ca.crt; } # the authorities that count, in one step
all_there() { status 'code == 0 and len(segments) == 6 and len(set(scls(0))) == 1'; }

check "a load is running" wait_for acked_at_least "$work/acked" 20
cp ca.crt old.crt && cp ca.key old.key
old=$(served a1 serial)
check "every certificate is renewed, and taken by servers and mount" all_take "renew_all old"
check "who comes now meets the new ones" all_serve
check "and they are others than before" eval '[ "$(served a1 serial)" != "$old" ]'
check "new keys are taken, too" all_take new_keys
check "and met" all_serve
check "the load goes on" goes_on

serial=$(served a2 serial)
cp a2.crt a2.good
head -c 300 a2.good >a2.crt && kill -HUP "${fleet_pid[a2]}"
check "half a certificate is refused, in words that end with the remedy" \
    wait_for grep -q 'cannot be used: .*a2.crt.*stay in use: mend the files (hexad cert show FILE' a2.log
check "and the server goes on with the one that it had" eval '[ "$(served a2 serial)" = "$serial" ]'
mv a2.good a2.crt

"$HEXAD" cert create-ca --out new >>cert.log || die "another authority is made"
check "a second authority is trusted beside the first" all_take 'trust old.crt new.crt'
check "all certificates are renewed by it" all_take 'renew_all new'
check "and met" eval 'all_serve && openssl verify -CAfile new.crt "${names[0]}.crt" me.crt'
check "then the first one is taken away" all_take 'trust new.crt'
cat old.crt new.crt >both.crt
sed 's/me\./first./; s/ca\.crt/both.crt/' hexad.conf >first.conf
"$HEXAD" server list --config "$fleet/first.conf" >"$work/refused.log" 2>&1
check "a certificate of the first authority is refused by all servers" eval \
    '[ "$(grep -c "refuses our certificate" "$work/refused.log")" = 6 ] || { cat "$work/refused.log"; false; }'
fleet_kill c1
fleet_start c1
check "a server that comes back fills up by connections with the new ones" eval 'goes_on && wait_for all_there'
touch "$work/stop"
wait "$loader_pid"
code=$?
alive() {
    local n
    for n in a1 a2 b1 b2 c2; do kill -0 "${fleet_pid[$n]}" || return 1; done
    kill -0 "$fleet_mount_pid"
}
note "$(acked "$work/acked") transactions"
check "no transaction failed, none is lost, and nobody else was restarted" eval \
    '[ $code = 0 ] && ! grep -q "^!" "$work/acked" && loader --verify "$mnt/t.db" "$work/acked" && alive'
