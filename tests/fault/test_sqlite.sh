#!/usr/bin/env bash
# SQLite as it comes: real data in every journal mode, two processes in WAL mode on one database.
# That these can fail was tried by deleting one row of the copy, and by giving both writers the same ids.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs sqlite3
modes="delete truncate persist wal"
plan 13
input=/var/lib/dpkg/status
if [ ! -s $input ]; then
    input=$work/status
    for i in $(seq 2000); do printf 'Package: p%d\nVersion: %d\n\n' $i $i; done >"$input"
fi
python3 "$LIB/dpkg.py" $input 4 >"$work/load.sql"
sqlite3 "$work/local.db" <"$work/load.sql" || die "the input loads locally"
sqlite3 "$work/local.db" .dump >"$work/wanted"
note "$(wc -l <"$work/wanted") lines, $(grep -c '^commit' "$work/load.sql") transactions"

demo_up "$work/d"
mnt=$work/d/mnt
load() {
    { echo "pragma journal_mode=$1; pragma synchronous=full;"; cat "$work/load.sql"; } | sqlite3 -bail "$mnt/$1.db"
}
intact() { # intact DB
    [ "$(sqlite3 "$1" 'pragma integrity_check')" = ok ] && sqlite3 "$1" .dump | cmp - "$work/wanted"
}
for m in $modes; do
    check "the package database loads with journal_mode=$m" load "$m"
    check "and is what a local disk gives" intact "$mnt/$m.db"
done

# Two writers and a reader, each its own process; one-row transactions.
db=$mnt/two.db
sqlite3 "$db" 'pragma journal_mode=wal' \
    'create table t(who text, n integer, primary key(who, n)) without rowid' >/dev/null
statements() { for i in $(seq 250); do echo "insert into t values('$1', $i);"; done; }
writer() {
    { echo ".timeout 60000"; echo "pragma synchronous=full;"; statements "$1"; } |
        sqlite3 -bail "$db" >"$work/$1.log" 2>&1
}
reader() { # counts never fall, and each writer's rows are 1..k
    local last=0 n
    while [ ! -e "$work/done" ]; do
        read -r n bad < <(sqlite3 -separator ' ' -cmd '.timeout 60000' "$db" \
            'select count(*), (select count(*) from (select who from t group by who having max(n) != count(*))) from t')
        [ "$n" -ge "$last" ] && [ "$bad" = 0 ] || { echo "saw $n rows after $last, $bad writers with gaps"; return 1; }
        last=$n
    done
}
writer x & x=$!
writer y & y=$!
reader >"$work/reader.log" 2>&1 & r=$!
wait $x; xc=$?
wait $y; yc=$?
touch "$work/done"
wait $r; rc=$?
check "two processes commit to one WAL database" eval "[ $xc$yc = 00 ] || { cat '$work/x.log' '$work/y.log'; false; }"
check "a third sees every state once, in order" eval "[ $rc = 0 ] || { cat '$work/reader.log'; false; }"
check "no commit of either is lost" eval \
    '[ "$(sqlite3 "$db" "select who, count(*), max(n) from t group by who; pragma integrity_check")" = "x|250|250
y|250|250
ok" ]'

demo kill mount
demo heal
check "the mount comes back after kill -9" wait_for demo_answers "$work/d" "$demo_pid"
check "all databases are what they were" eval \
    'for m in $modes; do intact "$mnt/$m.db" || exit 1; done; [ "$(sqlite3 "$db" "select count(*) from t")" = 500 ]'
