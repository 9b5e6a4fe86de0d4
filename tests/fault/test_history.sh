#!/usr/bin/env bash
# The checkers of the drills (tests/lib/history.py) see what they are for: histories are made in a local directory, then each
# kind of damage is done to a copy, and the check must name it.  Needs no volume.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
history() { python3 "$LIB/history.py" "$@"; }
plan 17
mkdir "$work/good" "$work/logs"
history run "$work/good" "$work/logs" --stop "$work/stop" --seed "$SEED" >"$work/run.log" 2>&1 & w=$!
enough() { [ "$(grep -c '^+' "$work"/logs/* | awk -F: '$2 >= 40' | wc -l)" = 8 ]; }
wait_for enough
touch "$work/stop"
wait $w
check "workers end without an error" [ $? = 0 ]
history bulk "$work/good" "$work/logs" 2
verify() { # verify DIR LOGS, which the check may continue: on copies
    rm -rf "$work/l" && cp -r "$2" "$work/l" && history check "$1" "$work/l"
}
check "what was acknowledged and is there passes" verify "$work/good" "$work/logs"

damaged() { # damaged NAME PATTERN COMMAND: COMMAND, in a copy, with D and L for its directory and histories; the check says so
    local out
    rm -rf "$work/bad" "$work/badlogs"
    cp -r "$work/good" "$work/bad"
    cp -r "$work/logs" "$work/badlogs"
    D=$work/bad L=$work/badlogs
    eval "$3" >"$work/damage.log" 2>&1 || { fail "$1" "$(cat "$work/damage.log")"; return; }
    if out=$(verify "$D" "$L" 2>&1); then
        fail "$1" "it passes: $out"
    elif ! grep -qE "$2" <<<"$out"; then
        fail "$1" "it says something else: $out"
    else
        pass "$1"
    fi
}
sql() { sqlite3 "$D/bank-$1.db" "$2"; }
damaged "an acknowledged transfer that was undone as a whole" "bankw.*acknowledged transfers are lost" '
    sql wal "create table u as select * from transfer where worker = '"'bankw.0'"' and id = 7;
             update account set balance = balance + (select amount from u) where id = (select src from u);
             update account set balance = balance - (select amount from u) where id = (select dst from u);
             delete from transfer where worker = '"'bankw.0'"' and id = 7; drop table u"'
damaged "half a transfer" "bankd.*the sum is" 'sql delete "update account set balance = balance + 1 where id = 3"'
damaged "a transfer whose money went elsewhere" "bankw.*balances are not those" '
    sql wal "update account set balance = balance + 1 where id = 3; update account set balance = balance - 1 where id = 4"'
damaged "a transfer that nobody began" "bankd.*that nobody began" '
    sql delete "insert into transfer values ('"'bankd.1'"', 999999, 1, 1, 0)"'
damaged "a database that is not one" "bankw" '
    dd if=/dev/urandom of="$D/bank-wal.db" bs=4096 seek=1 count=2 conv=notrunc; rm -f "$D"/bank-wal.db-*'
damaged "a value that is lost" "set.*acknowledged values are lost" 'truncate -s -64 "$D/set"'
damaged "a value that is there twice" "set.*is there twice" 'head -c 64 "$D/set" >"$D/one" && cat "$D/one" >>"$D/set"'
damaged "a value that is damaged" "set.*damaged" 'printf x | dd of="$D/set" bs=1 seek=90 conv=notrunc'
damaged "a page that is older than the ones around it" "pages.*slot 20 holds" '
    dd if=/dev/zero of="$D/pages" bs=4096 seek=20 count=1 conv=notrunc'
damaged "a page that is torn" "pages.*damaged" 'printf x | dd of="$D/pages" bs=1 seek=90000 conv=notrunc'
damaged "the last acknowledged pages are lost" "pages.*acknowledged [0-9]+, begun" '
    last=$(grep "^+" "$L/pages.0" | tail -n 1 | cut -d" " -f2)
    dd if=/dev/zero of="$D/pages" bs=4096 seek=$((last % 256)) count=1 conv=notrunc'
damaged "pages that nobody wrote" "pages.*acknowledged [0-9]+, begun" '
    n=$(grep -n "^+" "$L/pages.0" | tail -n 8 | head -n 1 | cut -d: -f1) && sed -i "$n,\$d" "$L/pages.0"'
damaged "a name that is lost" "names.*no k" 'rm "$D/names/$(ls "$D/names" | grep -v temp | head -n 1)"'
damaged "a name with the content of another operation" "names.*(no k|no operation)" '
    mapfile -t n < <(ls "$D/names" | grep -v temp) && cp "$D/names/${n[0]}" "$D/names/${n[1]}"'
damaged "a large file that is cut" "bulk.*not what was fsynced" 'truncate -s 200000 "$D/bulk/b2"'
