# pg.sh - a PostgreSQL server with its data on the mount, for the tests with real processes (sourced behind kit.sh).
# The test says `pg_find`, starts its demo with -o $pg_mount_options, and sets pg_data to a directory in the mount.
#
# The server runs as user postgres when the test is root's (initdb refuses root), else as whoever runs the test; its
# socket and log are in $work/pg, outside the volume; it listens on no port.  Nothing of an installed cluster is touched.
pg_find() { # skips the test when there is no server to test with
    local b
    for b in /usr/lib/postgresql/*/bin; do
        [ -x "$b/postgres" ] && [ -x "$b/initdb" ] && pg_bin=$b
    done
    [ -n "${pg_bin:-}" ] || skip_all "no PostgreSQL server"
    export PGHOST=$work/pg PGDATABASE=postgres PGUSER=postgres
    mkdir -p "$work/pg"
    pg_mount_options=noatime
    if [ "$(id -u)" = 0 ]; then
        id postgres >/dev/null 2>&1 || skip_all "no user postgres"
        chmod 711 "$work"
        chown postgres "$work/pg"
        pg_mount_options=noatime,allow_other
    fi
}
as_pg() { # as_pg COMMAND...: as the server's user, from a directory that it may enter
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@")
    else
        "$@"
    fi
}
pg() { as_pg "$pg_bin/$1" "${@:2}"; } # pg PROGRAM ARGUMENTS...
pg_init() { # a cluster with data checksums in $pg_data, which exists and is empty
    [ "$(id -u)" != 0 ] || chown postgres "$pg_data"
    pg initdb -D "$pg_data" -U postgres -k -A trust --no-locale -E UTF8 >"$work/pg/initdb.log" 2>&1 || {
        cat "$work/pg/initdb.log"
        return 1
    }
    # Small, so that checkpoints, recycled WAL and background writing come within seconds.
    as_pg tee -a "$pg_data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
cluster_name = '$work'
unix_socket_directories = '$work/pg'
shared_buffers = 16MB
max_connections = 20
min_wal_size = 32MB
max_wal_size = 48MB
checkpoint_timeout = 30s
autovacuum_naptime = 2s
log_checkpoints = on
CONF
}
# The postmaster is a child of the test, which reaps it at once: so not from within `check`, which is a shell of its own.
pg_start() { # pg_start [OPTIONS OF postgres]
    as_pg env --default-signal=INT,QUIT "$pg_bin/postgres" -D "$pg_data" "$@" >>"$work/pg/log" 2>&1 & pg_pid=$!
}
pg_up() { wait_for pg_answers && ! ended "$pg_pid" || { tail -n 20 "$work/pg/log"; return 1; }; }
pg_answers() { ended "$pg_pid" || "$pg_bin/pg_isready" -q; }
pg_stop() {
    pg pg_ctl -D "$pg_data" -w -t "$PATIENCE" -m fast stop >"$work/pg/stop.log" 2>&1 && wait "$pg_pid"
}
pg_processes() { # the postmaster, and those that have the cluster's name, a path of ours, in their titles
    [ -n "$work" ] && pgrep -f "^([^ ]*/)?postgres(: ${work//./[.]}: | -D ${pg_data//./[.]}( |\$))"
}
pg_kill() { # kill -9 of all its processes; done when they are gone
    wait_for pg_gone
    wait "$pg_pid" 2>/dev/null
}
pg_gone() { # one that was forked while the others were listed may wait for ever for a lock that a killed one held
    local p
    for p in $(pg_processes); do kill -KILL "$p" 2>/dev/null; done
    [ -z "$(pg_processes)" ]
}
pg_check() { # every heap and index of the database, by the server's own checker
    local out
    out=$(pg pg_amcheck --install-missing --heapallindexed --parent-check -d postgres 2>&1) || { echo "$out"; return 1; }
}
psql() { as_pg psql -qAtX -v ON_ERROR_STOP=1 "$@"; }
