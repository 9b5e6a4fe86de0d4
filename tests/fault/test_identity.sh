#!/usr/bin/env bash
# Who is who: an empty directory is not the server whose name it carries; certificates decide who may speak.
# Each refusal is paired with the same request by the right party, so that a broken request cannot pass for a refusal.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs openssl curl
plan 17
dir=$work/d
demo_up "$dir"
mnt=$dir/mnt
log=$work/acked
loader "$mnt/t.db" "$log" --count 10 >"$work/loader.log" 2>&1

# ---- an empty directory ----
demo kill c1
data=$(sed -n 's/^data *= *//p' "$dir"/c1.conf "$dir"/conf/c1.conf 2>/dev/null | head -n 1)
case $data in /*) ;; *) data=$dir/$data ;; esac
[ -d "$data" ] || die "the data directory of c1 is known" "$(find "$dir" -maxdepth 2)"
mv "$data" "$work/c1.data"
mkdir -m 700 "$data"
demo heal
check "hexad status calls a server with an empty directory by another word than OK" \
    wait_for status "seg('c1')['state'] not in ('OK', 'DOWN') and code == 3"
demo kill az-b
loader "$mnt/t.db" "$log" --count 1 >"$work/loader.log" 2>&1 & l=$!
check "it does not count: with a zone lost the write quorum is missing" wait_for status "code == 4"
check "a commit waits" eval "! ended $l && [ '$(acked "$log")' = 10 ]"
demo kill c1
rm -rf "$data"
mv "$work/c1.data" "$data"
demo heal
wait $l
check "with its own directory back the commit returns" [ $? = 0 ]
check "and everything is there" eval 'wait_for status "code == 0" && loader --verify "$mnt/t.db" "$log"'

# ---- certificates ----
cd "$work" || exit 1
ca=$(sed -n 's/^ca *= *//p' "$dir/hexad.conf")
case $ca in /*) ;; *) ca=$dir/$ca ;; esac
prefix=${ca%.crt}
made() { "$HEXAD" cert "$@" >>"$work/cert.log" 2>&1 || die "hexad cert $*" "$(cat "$work/cert.log")"; }
made create-ca --out "$work/strange-ca"
made create-client me --ca "$prefix" --out "$work/writer"
made create-client me --ca "$work/strange-ca" --out "$work/stranger"
made create-client me --role reader --ca "$prefix" --out "$work/reader"
made create-server c1 --ca "$work/strange-ca" --out "$work/strange-c1"
made create-server x9 --ca "$prefix" --out "$work/x9"
url=$(sed -n 's/^a1 *= *[^ ]* *//p' "$dir/hexad.conf")
post() { # post CERT: an empty request; prints the HTTP status, 000 when TLS refused
    curl -s -o /dev/null -w '%{http_code}' --cacert "$ca" ${1:+--cert "$1.crt" --key "$1.key"} \
        -X POST --data-binary x "$url/v1/msg"
}
answered() { local s; s=$(post "$1"); [ "$s" != 000 ] || { echo "HTTP status $s"; false; }; }
refused() { local s; s=$(post "$1"); [ "$s" = 000 ] || { echo "HTTP status $s"; false; }; }
check "a server answers a client of its own authority" answered "$work/writer"
check "it refuses a client of another authority" refused "$work/stranger"
check "it refuses a client without a certificate" refused ""
check "it refuses TLS 1.2" eval \
    '! openssl s_client -connect "${url#https://}" -tls1_2 -CAfile "$ca" -cert writer.crt -key writer.key </dev/null'
check "it takes TLS 1.3" eval \
    'openssl s_client -connect "${url#https://}" -tls1_3 -CAfile "$ca" -cert writer.crt -key writer.key </dev/null'

conf() { # conf NAME CA CERT [SED SCRIPT FOR THE SERVERS]: a client configuration of its own
    { printf '[tls]\nca = %s\ncert = %s.crt\nkey = %s.key\n[servers]\n' "$2" "$3" "$3"
      sed -n '/^\[servers\]/,$p' "$dir/hexad.conf" | tail -n +2 | sed "${4:-}"; } >"$work/$1.conf"
}
as() { # as NAME ARGUMENTS: hexad with that configuration
    HEXAD_CONFIG=$work/$1.conf "$HEXAD" "${@:2}"
}
conf right "$ca" "$work/writer"
conf stranger "$ca" "$work/stranger"
conf doubter "$work/strange-ca.crt" "$work/stranger"
conf reader "$ca" "$work/reader"
check "a client with the right certificate sees the volume" as right status vol0
exits() { # exits CODES COMMAND...
    local codes=$1 got
    shift
    "$@"
    got=$?
    [[ " $codes " == *" $got "* ]] || { echo "exit code $got"; false; }
}
check "a client of another authority gets exit code 6 or 5" exits "5 6" as stranger status vol0
check "a client that trusts another authority refuses the servers" exits "5 6" as doubter status vol0
mkdir "$work/m"
check "a reader cannot mount for writing: exit code 6" exits 6 as reader mount -o takeover vol0 "$work/m"
umount -l "$work/m" 2>/dev/null

# A server under another's address: c2's process answers where c1 is expected; and one with a client's certificate.
c2=$(sed -n 's/^c2 *= *[^ ]* *//p' "$dir/hexad.conf")
conf swapped "$ca" "$work/writer" "/^c2/d; s|^c1 *=.*|c1 = az-c $c2|"
says() { # says NAME EXPRESSION: status with that configuration
    HEXAD_CONFIG=$work/$1.conf python3 "$LIB/status.py" "$HEXAD" vol0 "$2"
}
check "a client refuses a server that has another's name" says swapped "code in (3, 4) and seg('c1')['state'] != 'OK'"
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
openssl s_server -accept "127.0.0.1:$port" -cert writer.crt -key writer.key -CAfile "$ca" -Verify 1 -tls1_3 \
    </dev/zero >"$work/s_server.log" 2>&1 &
s=$!
at_end "kill $s"
wait_for eval "openssl s_client -connect 127.0.0.1:$port -CAfile '$ca' -cert writer.crt -key writer.key </dev/null"
conf role "$ca" "$work/writer" "s|^c1 *=.*|c1 = az-c https://127.0.0.1:$port|"
: >"$work/s_server.log"
check "a client refuses a server that has a client's certificate" says role "code == 3 and seg('c1')['state'] != 'OK'"
check "and sends it nothing" eval '! grep -a "v1/msg" "$work/s_server.log"'
