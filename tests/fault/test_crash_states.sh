#!/usr/bin/env bash
# Databases under kill -9 of the mount and of the servers: what is there afterwards is a prefix of what was done.
#
# Five chains of transactions (tests/lib/chains.py: SQLite in every journal mode with every level of synchronous, pairs of
# attached files, LMDB, plain files) and PostgreSQL (pgbench and two clients that note what was acknowledged) work
# on one mount.  In most cycles the mount is killed and mounted again; in others all six servers, or a zone and the mount, or
# everything.  After each, every database is checked by its own means and against the notes, and the work goes on from there.
# Cycles: HEXAD_CYCLES (10; `make check-crash` 500); HEXAD_SEED gives other moments.
# The clients are slowed down, so that the chains have their share of the machine.
# That it can fail was tried with a mount that answers fsync at once, and by removing the last acknowledged row.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/pg.sh" || exit 99
needs_fuse
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
pg pgbench -i -s 1 -q >"$work/bench.log" 2>&1 && psql -c "create table ack(c int, n int, pad text, primary key(c, n))" ||
    die "tables are made" "$(cat "$work/bench.log")"

client() { # client C SYNCHRONOUS_COMMIT: rows (C, 1), (C, 2), ...; "n" in its log once it was told of n
    local n
    n=$(tail -n 1 "$work/ack.$1.all" 2>/dev/null)
    { echo "set synchronous_commit = $2;"
        while :; do n=$((n + 1)); echo "insert into ack values($1, $n, repeat('x', $n % 2000)) returning n; select from pg_sleep(0.004);"; done
    } | psql >"$work/ack.$1" 2>"$work/client.$1.log"
}
start() {
    rm -f "$work/stop"
    python3 "$LIB/chains.py" run "$mnt/chains" "$work/chains" --stop "$work/stop" >>"$work/chains.log" 2>&1 & chains=$!
    : >"$work/ack.0"
    : >"$work/ack.1"
    client 0 on & c0=$!
    client 1 off & c1=$!
    pg pgbench -n -c 2 -R 80 -T 3600 >"$work/bench.log" 2>&1 & bench=$!
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
    local got c floor n
    python3 "$LIB/chains.py" check "$mnt/chains" "$work/chains" || return 1
    pg_up && pg_check || return 1
    got=$(psql -c "select (select sum(abalance) from pgbench_accounts) = s and (select sum(bbalance) from pgbench_branches) = s
                     and (select sum(tbalance) from pgbench_tellers) = s
                     from (select coalesce(sum(delta), 0) s from pgbench_history) h")
    [ "$got" = t ] || { echo "pgbench: the sums are not equal: $got"; return 1; }
    for c in 0 1; do # without synchronous_commit the tail may be missing, but nothing from the middle
        n=$(psql -c "select case when count(*) = coalesce(max(n), 0) then count(*) else -1 end from ack where c = $c") || return 1
        floor=$( { cat "$work/ack.$c.all" 2>/dev/null; [ $c = 1 ] || cat "$work/ack.$c"; } | grep -x '[0-9][0-9]*' | tail -n 1)
        [ "$n" -ge "${floor:-0}" ] || { echo "client $c: rows 1..$n, acknowledged ${floor:-0}"; return 1; }
        echo "$n" >"$work/ack.$c.all"
    done
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
note "$(python3 "$LIB/chains.py" floors "$work/chains" | awk '{ n += $3 } END { print n }') transactions in chains"
