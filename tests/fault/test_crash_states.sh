#!/usr/bin/env bash
# Databases under kill -9 of the mount and of the servers: what is there afterwards is a prefix of what was done.
#
# Five chains of transactions (tests/lib/chains.py: SQLite in every journal mode with every level of synchronous, pairs of
# attached files, LMDB, plain files) and PostgreSQL (transfers by pgbench, and two clients that note what was acknowledged) work
# on one mount.  In most cycles the mount is killed and mounted again; in others all six servers, or a zone and the mount, or
# everything.  After each, every database is checked by its own means and against the notes, and the work goes on from there.
# Cycles: HEXAD_CYCLES (10; `make check-crash` 500); HEXAD_SEED gives other moments.
# The clients are slowed down, so that the chains have their share of the machine.
# That it can fail was tried with a mount that answers fsync at once: it fails within four cycles.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/pg.sh" || exit 99
needs_fuse
needs_module lmdb
pg_find
cycles=${HEXAD_CYCLES:-10}
plan $((cycles + 2))
note "seed $SEED"
dir=$work/d
mnt=$dir/mnt
demo_up "$dir" -o "$pg_mount_options"
chmod 711 "$dir"
pg_data=$mnt/pg
at_end pg_kill
mkdir "$pg_data" "$mnt/chains"
check "a cluster is made" pg_init
pg_start
check "the server starts" pg_up
psql -c "create table ack(c int, n int, pad text, primary key(c, n))" -c "create table history(who int, what int)" \
    -c "create table account(id int primary key, money int, pad text) with (fillfactor = 60)" \
    -c "insert into account select i, 0, repeat('x', 100) from generate_series(1, 3000) i" >"$work/tables.log" 2>&1 ||
    die "tables are made" "$(cat "$work/tables.log")"
cat >"$work/pg/transfer.sql" <<'SQL'
\set a random(1, 3000)
\set b random(1, 3000)
\set d random(-1000, 1000)
begin;
update account set money = money + :d where id = :a;
insert into history values(:a, :d), (:b, 0 - :d);
update account set money = money - :d where id = :b;
commit;
SQL
chmod 644 "$work/pg/transfer.sql"

client() { # client C SYNCHRONOUS_COMMIT: rows (C, 1), (C, 2), ...; "n" in its log once it was told of n
    local n
    n=$(tail -n 1 "$work/ack.$1.all" 2>/dev/null)
    { echo "set synchronous_commit = $2;"
        while :; do n=$((n + 1)); echo "insert into ack values($1, $n, repeat('x', $n % 2000)) returning n; select from pg_sleep(0.004);"; done
    } | psql >"$work/ack.$1" 2>"$work/client.$1.log"
}
start() {
    rm -f "$work/stop"
    "$python" "$LIB/chains.py" run "$mnt/chains" "$work/chains" --stop "$work/stop" >>"$work/chains.log" 2>&1 & chains=$!
    : >"$work/ack.0"
    : >"$work/ack.1"
    client 0 on & c0=$!
    client 1 off & c1=$!
    pg pgbench -n -f "$work/pg/transfer.sql" -c 2 -R 60 -T 3600 >"$work/bench.log" 2>&1 & bench=$!
}
transactions() { cat "$work"/chains/* 2>/dev/null | grep -c '^+'; }
further() { # further N: each kind has done that much more than at the last mark
    [ "$(transactions)" -ge $((mark + $1)) ] && lines "$work/ack.0" $((told + $1 / 8)) && lines "$work/ack.1" $((told + $1 / 8))
}
mark() { mark=$(transactions) told=$(count "$work/ack.0"); }
until_moment() { # a seeded number of transactions further on, and a seeded number of turns after that
    mark=$mark0 told=0
    rand 10 80
    wait_for further "$random" || failure="no progress: $(tail -n 2 "$work"/*.log)"
    local turns
    rand 0 2000
    for ((turns = random; turns > 0; turns--)); do :; done
}
reap() {
    touch "$work/stop"
    pg_kill
    wait_for ended $chains || kill -TERM $chains
    wait $chains $bench $c0 $c1 2>/dev/null
}
recovered() {
    local c n floor
    "$python" "$LIB/chains.py" check "$mnt/chains" "$work/chains" || return 1
    pg_up && pg_check || return 1
    # Every account has what its history says; rows of the clients from 1 on, without a gap.
    psql -F ' ' -c "select 2, count(*) from account full join (select who, sum(what) s from history group by who) h
                        on who = id where money is distinct from coalesce(s, 0)
                    union all select v, (select case when count(*) = coalesce(max(n), 0) then count(*) else -1 end
                        from ack where c = v) from (values (0), (1)) u(v) order by 1 desc" >"$work/rows" || return 1
    while read -r c n; do
        [ $c != 2 ] || [ "$n" = 0 ] || { echo "$n accounts do not have what their history says"; return 1; }
        [ $c != 2 ] || continue
        # Without synchronous_commit the tail may be missing, but nothing from before the last recovery.
        floor=$( { cat "$work/ack.$c.all" 2>/dev/null; [ "$c" = 1 ] || cat "$work/ack.$c"; } | grep -x '[0-9][0-9]*' | tail -n 1)
        [ "$n" -ge "${floor:-0}" ] || { echo "client $c: rows 1..$n, acknowledged ${floor:-0}"; return 1; }
        echo "$n" >"$work/ack.$c.all"
    done <"$work/rows"
    lines "$work/rows" 3
}
failure=
save() { # evidence: journals before anybody touched them
    rm -rf "$work/found"
    [ -n "$failure" ] || cp -rp "$mnt/chains" "$work/found"
}
intact() {
    [ -z "$failure" ] || { echo "$failure"; return 1; }
    wait_for demo_answers "$dir" "$demo_pid" || { tail -n 20 "$work/verbs.log" "$dir.log" "$dir"/log/*.log; return 1; }
    recovered
}
cycle() { # cycle KIND I
    local failed=$kit_failed
    mark0=$(transactions)
    start
    until_moment
    case $1 in
    servers) # the mount waits, and goes on with them
        demo kill servers
        demo heal
        mark
        wait_for further 8 || failure="nothing goes on after the servers came back: $(tail -n 2 "$work"/*.log)"
        demo kill mount
        ;;
    zone)
        demo kill az-b
        mark
        wait_for further 8 || failure="nothing goes on without a zone: $(tail -n 2 "$work"/*.log)"
        demo kill mount
        ;;
    *) demo kill "$1" ;;
    esac
    reap
    demo heal || failure="$(tail -n 3 "$work/verbs.log")"
    save
    pg_start
    check "$1 killed, cycle $2" intact
    [ $kit_failed = $failed ] || exit 1
}
kinds=(mount mount servers mount zone mount mount all)
for ((i = 1; i <= cycles; i++)); do cycle "${kinds[(i - 1) % ${#kinds[@]}]}" $i; done
note "$("$python" "$LIB/chains.py" floors "$work/chains" | awk '{ n += $3 } END { print n }') transactions in chains"
