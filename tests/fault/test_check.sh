#!/usr/bin/env bash
# hexad-segmentd --check and --dump over real data directories: exit codes, what is said, that nothing is changed; and that
# no server starts on the store of a newer version.  Needs no FUSE.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs python3
plan 24
cd "$work" || exit 1
golden=${HEXAD_BUILD:?}/tests/unit/test_golden
fresh() { # fresh: a data directory d, as a server left it; $seg is its segment
    rm -rf d
    mkdir -m 700 d && "$golden" --unpack "$HEXAD_SOURCE/tests/golden/store-1.pack" d || die "a store is unpacked"
    seg=$(cd d/segments && echo *)
}
flip() { # flip FILE OFFSET
    python3 -c 'import sys
with open(sys.argv[1], "r+b") as f:
    f.seek(int(sys.argv[2])); b = f.read(1)[0]; f.seek(int(sys.argv[2])); f.write(bytes([b ^ 1]))' "d/segments/$seg/$1" "$2"
}
state() { find d -printf '%p %s %m %T@ %C@\n' -type f -exec sha256sum {} + | sort; }
looks() { # looks NAME CODE PATTERN OPTIONS: exit code, a line of the output, and nothing is changed
    local name=$1 code=$2 pattern=$3 before out got
    shift 3
    before=$(state)
    out=$(timeout 60 "$SEGMENTD" "$@" 2>&1 </dev/null)
    got=$?
    if [ $got = "$code" ] && grep -qE -- "$pattern" <<<"$out" && [ "$before" = "$(state)" ]; then
        pass "$name"
    else
        fail "$name" "exit code $got instead of $code; some line should match: $pattern; nothing in d should change
$out"
    fi
}

fresh
looks "a sound store: exit code 0" 0 "complete to LSN 1427" --check d
document() { # document EXPRESSION: of the last JSON document, as d; s is its first segment
    timeout 60 "$SEGMENTD" --check d --json 2>err </dev/null | python3 -c 'import json, sys
d = json.load(sys.stdin); s = d["segments"][0]; r = s.get("log_files", {})
assert eval("(" + sys.argv[1] + ")"), d' "$1"
}
check "the same as a document, with what takes the room" document \
    'd["format"] == 1 and s["state"] == "TOUCHED" and s["scl"] == 1427 and d["files"] == s["files"] > 5 and not s["why"] and
    0 < r["used"] <= r["bytes"] < d["bytes"] and r["used"] + r["dead"] + r["history"] + r["ahead"] <= r["bytes"] < r["limit"]'
looks "--json without --check is refused" 2 "goes with --check" --json
looks "segments are listed" 0 "^$seg\$" --dump d
looks "files are listed with their heads" 0 "^  history 1: epoch 2, VDL 421" --dump d "$seg"
looks "a log file is dumped" 0 "1423: page 25 IMAGE, 3 bytes" --dump d "$seg" 19
looks "a checkpoint is dumped" 0 "page [0-9]+: LSN [0-9]+ [A-Z]+ in 0{14}1" --dump d "$seg" 4
looks "a file that is not there is named" 2 "cannot look into it.*77" --dump d "$seg" 77
looks "a segment that is none is refused" 2 "invalid.*nonsense" --dump d nonsense
flip 0000000000000018 400
looks "a flipped bit in a closed file: exit code 1, and where" 1 "damaged at [0-9]+: held, or may have held, LSN" --check d
check "the document says so, too" document \
    'd["damaged"] == 1 and s["state"] == "DAMAGED" and s["damaged_places"] == 1 and "limit" in r'
looks "the dump goes on behind it" 0 "believed, durable" --dump d "$seg" 18
fresh
flip 0000000000000001 20
looks "a damaged slot beside a good one is made anew: exit code 0" 0 "write both meta slots anew" --check d
flip 0000000000000002 20
looks "both: exit code 2" 2 "both meta slots are lost" --check d
check "and the document has nothing of what is not known" document \
    'd["refused"] == 1 and s["state"] == "REFUSED" and s["why"] and "scl" not in s and not r'
fresh
rm "d/segments/$seg/0000000000000017"
looks "a log file that vanished: exit code 1" 1 "its log file 0000000000000017 is lost" --check d
looks "what is no data directory: exit code 2" 2 "no data directory" --check d/segments
looks "nor is nothing" 2 "cannot look into the data directory" --check d/none

"$HEXAD" cert create-ca >cert.log 2>&1 && "$HEXAD" cert create-server a1 >>cert.log 2>&1 ||
    die "certificates are made" "$(cat cert.log)"
printf '[server]\nname = a1\nzone = az-a\nlisten = 127.0.0.1:0\ndata = d\n[tls]\nca = ca.crt\ncert = a1.crt\nkey = a1.key\n' \
    >a1.conf
fresh
: >port
"$SEGMENTD" -c a1.conf --ready-fd 7 7>port 2>log &
pid=$!
at_end "kill $pid"
wait_for test -s port || die "the server starts" "$(cat log)"
said=$("$SEGMENTD" --check d 2>&1)
check "while a server runs there it is refused: exit code 2" [ $? = 2 ]
check "and says so" eval 'grep -q "another process uses" <<<"$said"'
kill -KILL "$pid"
wait "$pid" 2>/dev/null
looks "after kill -9 it is clean" 0 "nothing is lost|clean" --check d

fresh
python3 - "d/segments/$seg/0000000100000016" <<'P'
import struct, sys
def crc32c(b):
    c = 0xffffffff
    for x in b:
        c ^= x
        for _ in range(8):
            c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff
with open(sys.argv[1], "r+b") as f:
    head = bytearray(f.read(112))
    head[4] = 2
    head[108:] = struct.pack("<I", crc32c(head[:108]))
    f.seek(0)
    f.write(head)
P
looks "a file of a newer version is no damage: exit code 2, and the remedy" 2 "start that version again, or a newer one" --check d
before=$(sha256sum "d/segments/$seg"/*)
said=$(timeout 60 "$SEGMENTD" -c a1.conf 2>&1)
code=$?
check "no server starts there, and says how to go on" eval '[ $code != 0 ] && grep -q "newer version of hexad" <<<"$said" &&
    grep -q "hint: .*install that version again, or a newer one" <<<"$said"'
check "and nothing in the segment is changed" [ "$before" = "$(sha256sum "d/segments/$seg"/*)" ]
