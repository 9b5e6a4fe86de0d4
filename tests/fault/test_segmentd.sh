#!/usr/bin/env bash
# hexad-segmentd by itself: how it starts, what it refuses and how it says so, how it ends.  Needs no FUSE.
# Each refusal is paired with a start that succeeds, so that a broken configuration cannot pass for a refusal.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs python3
plan 19
cd "$work" || exit 1
"$HEXAD" cert create-ca >cert.log 2>&1 && "$HEXAD" cert create-server a1 >>cert.log 2>&1 &&
    "$HEXAD" cert create-server a2 >>cert.log 2>&1 && "$HEXAD" cert create-client me >>cert.log 2>&1 ||
    die "certificates are made" "$(cat cert.log)"
printf '[server]\nname = a1\nzone = az-a\nlisten = 127.0.0.1:0\ndata = d\n[tls]\nca = ca.crt\ncert = a1.crt\nkey = a1.key\n' \
    >a1.conf
sed 's/a1/a2/; s/= a1\./= a2./; s/data = d/data = d2/' a1.conf >a2.conf

up() { # up OPTIONS: in the background until it listens; sets $pid and $port
    : >port
    "$SEGMENTD" -c a1.conf --ready-fd 7 "$@" 7>port 2>log &
    pid=$!
    at_end "kill $pid"
    wait_for test -s port || die "the server starts" "$(cat log)"
    port=$(cat port)
}
down() { # down SIGNAL: ends it; its exit code
    kill -"$1" "$pid"
    wait "$pid" 2>/dev/null
}
wrong() { # wrong NAME CODE PATTERN OPTIONS: refuses to start with three lines
    local name=$1 code=$2 pattern=$3 out got
    shift 3
    out=$(timeout 60 "$SEGMENTD" "$@" 2>&1 </dev/null)
    got=$?
    if [ $got = "$code" ] && head -n 1 <<<"$out" | grep -qE -- "^hexad-segmentd: .*$pattern" &&
        [[ $out =~ $'\n'hint:\ +[^$'\n']+$'\n'see:\ +HX[0-9]{4} ]]; then
        pass "$name"
    else
        fail "$name" "exit code $got instead of $code; first line should match: $pattern
$out"
    fi
}

check "--check-config is content with a good configuration" "$SEGMENTD" -c a1.conf --check-config
check "--help fits 25 lines" eval '[ "$("$SEGMENTD" --help | wc -l)" -le 25 ]'
up
check "the port that it took is announced" grep -q "a1 (az-a) listens on 127.0.0.1:$port, 0 segments" log
wrong "a data directory in use is refused: exit code 7" 7 "another process uses" -c a1.conf
wrong "a port in use is refused" 1 "127.0.0.1:$port: Address already in use" -c a2.conf --listen "127.0.0.1:$port"
first=$(grep incarnation d/identity)
down TERM
check "SIGTERM ends it with exit code 0" [ $? = 0 ]
wrong "another server's data directory is refused" 1 "belongs to server a1" -c a2.conf --data d
up --listen "127.0.0.1:$port"
check "it starts again on the same port and directory, as the same server" [ "$(cat port):$(grep incarnation d/identity)" = "$port:$first" ]
down KILL
up --listen "127.0.0.1:$port"
check "also after SIGKILL" [ "$(cat port):$(grep incarnation d/identity)" = "$port:$first" ]
check "and nobody else may read its files" [ -z "$(find d -perm /077)" ]
down INT

wrong "a certificate for another name is refused: exit code 6" 6 "a1.crt is not for hexad://segment/a9" -c a1.conf --name a9
wrong "a client's certificate is refused" 6 "me.crt" -c a1.conf --cert me.crt --key me.key
wrong "a key of another certificate is refused" 6 "a2.key" -c a1.conf --key a2.key
wrong "a key that is not there is named" 1 "none.key" -c a1.conf --key none.key
chmod 644 a2.key
wrong "a key that others can read is refused" 6 "a2.key" -c a2.conf
chmod 777 d
wrong "a directory that everybody may write to is refused" 6 "chmod 700" -c a1.conf
chmod 700 d
printf '[limits]\nidel = 5s\n' >>a2.conf
wrong "a misspelt key is refused with file, line and the nearest" 2 "a2.conf:11: unknown key 'idel'.*'idle'" -c a2.conf --check-config
mkdir -m 700 full
echo x >full/precious
wrong "a directory with other things is refused" 1 "precious" -c a1.conf --data full
up
check "after all that the good configuration starts" kill -0 "$pid"
