#!/usr/bin/env bash
# PostgreSQL with data checksums, its cluster made straight on the mount's root: pgbench, checkpoints, VACUUM FULL, a large
# object, a tablespace; pg_amcheck, pg_checksums; kill -9 of the server, then of the mount.
# TPC-B keeps four sums equal; a transaction that is lost or applied by half shows there.
# That it can fail was tried with a mount that forgets every hundredth write.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
. "$LIB/pg.sh" || exit 99
needs_fuse
pg_find
plan 15
demo_up "$work/d" -o "$pg_mount_options"
chmod 711 "$work/d"
mnt=$work/d/mnt pg_data=$work/d/mnt
at_end pg_kill
check "initdb with checksums on the root of the mount" pg_init
pg_start
check "the server starts there" pg_up
check "pgbench makes its tables" pg pgbench -i -s 2 -q --foreign-keys
sums() { # the four sums are equal, and there are N transactions of pgbench
    local got
    got=$(psql -c "select (select sum(abalance) from pgbench_accounts) = s and (select sum(bbalance) from pgbench_branches) = s
                     and (select sum(tbalance) from pgbench_tellers) = s, n
                     from (select coalesce(sum(delta), 0) s, count(*) n from pgbench_history) h") || return 1
    [ "$got" = "t|$1" ] || { echo "sums equal|transactions: $got, expected t|$1"; return 1; }
}
check "four clients, 250 transactions each" pg pgbench -n -c 4 -j 2 -t 250
check "the sums are equal, no transaction is lost" sums 1000
check "with extended and prepared statements" eval \
    'pg pgbench -n -c 2 -t 50 -M prepared && pg pgbench -n -c 2 -t 50 -M extended && sums 1200'
head -c 3000000 "$HEXAD" >"$work/large"
chmod 644 "$work/large"
check "a table of large values, an index made meanwhile, VACUUM FULL, REINDEX" eval '
    psql -c "create table big(id serial primary key, v bytea)" \
         -c "insert into big(v) select decode(string_agg(md5((i * 1000 + j)::text), '"''"'), '"'hex'"')
             from generate_series(1, 60) i, generate_series(1, 3000) j group by i" &&
    psql -c "create index concurrently on pgbench_history(tid)" -c "delete from big where id % 3 = 0" \
         -c "vacuum full big" -c "reindex table pgbench_accounts" &&
    [ "$(psql -c "select count(*), sum(length(v)) from big")" = "40|1920000" ]'
psql -c "select lo_from_bytea(4711, pg_read_binary_file('$work/large'))" >/dev/null
psql -c "create table before as select md5(string_agg(v::text, '' order by id)) m from big"
check "pg_amcheck finds nothing" pg_check

bench_until_killed() {
    pg pgbench -n -c 4 -j 2 -T 600 --log --log-prefix="$work/pg/bench" >"$work/bench.log" 2>&1 & b=$!
    wait_for lines_of_bench 100 || { note "pgbench: $(tail -n 3 "$work/bench.log")"; failure="pgbench does not run"; }
}
lines_of_bench() { [ "$(cat "$work"/pg/bench.* 2>/dev/null | wc -l)" -ge "$1" ]; }
recovered() { # everything that pgbench was told of is there, but for what it logged last and had not written
    [ -z "$failure" ] || { echo "$failure"; return 1; }
    local logged now
    logged=$(cat "$work"/pg/bench.* | wc -l)
    now=$(psql -c "select count(*) from pgbench_history") || return 1
    [ "$now" -ge $((before + logged)) ] || { echo "$before, then $logged acknowledged, now $now"; return 1; }
    sums "$now" && pg_check || return 1
    rm -f "$work"/pg/bench.*
    [ "$(psql -c "select (select m from before) = (select md5(string_agg(v::text, '' order by id)) from big),
        md5(lo_get(4711))")" = "t|$(md5sum <"$work/large" | cut -c1-32)" ]
}
failure=
before=1200
bench_until_killed
pg_kill
wait $b
pg_start -c wal_level=minimal -c max_wal_senders=0 -c wal_sync_method=open_datasync # opens its log with O_DIRECT | O_DSYNC
check "the server starts after kill -9" pg_up
check "and lost nothing" recovered

before=$(psql -c "select count(*) from pgbench_history")
bench_until_killed
demo kill mount
pg_kill
wait $b
demo heal
check "the mount comes back after kill -9" wait_for demo_answers "$work/d" "$demo_pid"
pg_start
check "the server starts on it" pg_up
check "and lost nothing of what was acknowledged" recovered

pg_stop
stopped=$?
check "it stops in order" [ $stopped = 0 ]
check "pg_checksums finds every page right" pg pg_checksums -D "$mnt" --check
