# hosts.sh - six segment servers and two clients on hosts of their own: network namespaces, a bridge, a disk for each.
#
# Source it first; it sources kit.sh.  The script then runs once more inside private namespaces:
#   H1 mounts, processes and networks live in a mount, a pid and a network namespace made for this script.  When its first
#      process ends, in whatever way, the kernel ends every process and undoes every mount, link and rule: nothing can be
#      left behind, and no server can be reached from outside.
#   H2 a host is a network namespace with one veth to the bridge; what is between hosts is decided on the bridge (nft), so
#      a packet that is dropped is never refused: peers see silence, as with a real cut.
#   H3 a server's disk is an ext4 image of its own, so that it can run full, break, or lose what was not flushed.
#   H4 the images are in memory (tmpfs): a flush is cheap, its meaning is not; what a power cut leaves is decided by ext4.
# It knows nothing of drills or histories.  Where namespaces cannot be made, the script is skipped with the reason.
if [ -z "${HEXAD_HOSTS_INSIDE:-}" ]; then
    hosts_skip() {
        echo "1..0 # SKIP $1"
        exit 0
    }
    [ "$(id -u)" = 0 ] || hosts_skip "network namespaces need root"
    for hosts_tool in ip nft tc unshare nsenter setpriv mkfs.ext4 losetup; do
        command -v $hosts_tool >/dev/null || hosts_skip "no $hosts_tool"
    done
    hosts_flags=(--mount --net --pid --fork --kill-child=KILL --mount-proc --propagation private)
    hosts_why=$(unshare "${hosts_flags[@]}" bash -c 'ip link add b0 type bridge &&
        ip link add v0 type veth peer name v1 && nft add table bridge t && losetup -f' 2>&1) ||
        hosts_skip "no namespaces here: $(tail -n 1 <<<"$hosts_why")"
    # The first process inside dies with unshare, which dies with us.
    HEXAD_HOSTS_INSIDE=1 setpriv --pdeathsig KILL unshare "${hosts_flags[@]}" bash "$0" "$@" </dev/null &
    hosts_child=$!
    hosts_stop() { # in order first; the first process ends, so all end
        local inner end=$((SECONDS + 30))
        inner=$(cat "/proc/$hosts_child/task/$hosts_child/children" 2>/dev/null)
        [ -z "$inner" ] || kill -TERM $inner
        while kill -0 "$hosts_child" 2>/dev/null && [ $SECONDS -lt $end ]; do sleep 0.1; done
        [ -z "$inner" ] || kill -KILL $inner 2>/dev/null
    }
    trap 'hosts_stop; exit 130' INT
    trap 'hosts_stop; exit 143' TERM HUP
    wait $hosts_child
    exit $?
fi

. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
# Ended from outside: there is no failure to look into, so nothing is kept.
trap 'kit_planned=0 kit_failed=0; exit 143' TERM INT HUP
needs_fuse

# The shim is loaded before the sanitizers' own library; it replaces nothing that they need.
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"

SERVERS=(a1 a2 b1 b2 c1 c2)
CLIENTS=(m1 m2)
declare -A ip_of=([a1]=10.77.0.1 [a2]=10.77.0.2 [b1]=10.77.0.3 [b2]=10.77.0.4 [c1]=10.77.0.5 [c2]=10.77.0.6
    [m1]=10.77.0.11 [m2]=10.77.0.12)
declare -A server_pid=() mount_pid_of=() server_env=()
ram=$work/ram
disk_mib=${HEXAD_DISK_MIB:-192}

on_host() { # on_host NAME COMMAND...: with that host's network
    local host=$1
    shift
    nsenter --net="/run/netns/$host" "$@"
}

exec_on() { # the same, in a child of the shell (&) whose id is then the command's
    local host=$1
    shift
    exec nsenter --net="/run/netns/$host" "$@"
}

# ---- network ----
hosts_network() {
    local h
    mount -t tmpfs -o mode=755 run /run
    mount -t tmpfs -o mode=1777 shm /dev/shm
    ip link set lo up
    ip link add br0 type bridge
    ip link set br0 up
    for h in "${SERVERS[@]}" "${CLIENTS[@]}"; do
        ip netns add "$h"
        ip link add "v$h" type veth peer name eth0 netns "$h"
        ip link set "v$h" master br0 up
        ip -n "$h" link set lo up
        ip -n "$h" link set eth0 up
        ip -n "$h" addr add "${ip_of[$h]}/24" dev eth0
    done
    net_calm
}
net_calm() { # no rule between hosts
    nft 'flush ruleset; table bridge net { chain between { type filter hook forward priority 0; }; }'
}
braces() { # braces a1 b1: { "va1", "vb1" }
    printf '{ '
    printf '"v%s", ' "$@"
    printf '}'
}
# Only IP is dropped: addresses stay known, so that each direction is cut for itself and nobody is told.
net_cut() { # net_cut "FROM..." "TO..." [PERCENT]: packets from those hosts to these are lost
    local from to
    read -ra from <<<"$1"
    read -ra to <<<"$2"
    nft add rule bridge net between iifname "$(braces "${from[@]}")" oifname "$(braces "${to[@]}")" ether type ip \
        ${3:+numgen random mod 100 < "$3"} counter drop
}
net_bites() { nft list ruleset | grep -q 'counter packets [1-9]'; } # something was really lost
net_squeezes() { tc -s qdisc show dev "v$1" | grep -q 'overlimits [1-9]'; }
others() { # others "HOSTS": all the hosts but these
    local h
    for h in "${SERVERS[@]}" "${CLIENTS[@]}"; do [[ " $1 " == *" $h "* ]] || printf '%s ' "$h"; done
}
net_part() { # net_part "HOSTS": these and all others lose each other, in both directions
    net_cut "$1" "$(others "$1")"
    net_cut "$(others "$1")" "$1"
}
net_slow() { # net_slow HOST RATE: what goes to and from it passes a token bucket
    tc qdisc replace dev "v$1" root tbf rate "$2" burst 16kb latency 400ms
    ip netns exec "$1" tc qdisc replace dev eth0 root tbf rate "$2" burst 16kb latency 400ms
}
net_fast() {
    tc qdisc del dev "v$1" root
    ip netns exec "$1" tc qdisc del dev eth0 root
}

# ---- disks ----
disk_mount() { mount -o loop,noatime "$ram/$1.img" "$ram/$1"; }
disk_make() {
    truncate -s "${disk_mib}M" "$ram/$1.img"
    mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0 "$ram/$1.img"
    mkdir -p "$ram/$1"
    disk_mount "$1"
    mkdir -m 700 "$ram/$1/data"
}
disk_unmount() { # a killed server's last file may be closed a moment later
    wait_for umount "$ram/$1"
}
disk_break() { # disk_break NAMES...: these disks take and give nothing more; what was not flushed is lost for ever
    local n paths=()
    for n in "$@"; do paths+=("$ram/$n"); done
    # EXT4_IOC_SHUTDOWN, without flushing the journal: what xfstests calls godown.
    python3 - "${paths[@]}" <<'PY'
import fcntl, os, struct, sys
for f in [os.open(p, os.O_RDONLY) for p in sys.argv[1:]]:
    try:
        fcntl.ioctl(f, 0x8004587D, struct.pack("I", 2))
    except OSError:
        pass  # broken before
PY
}
disk_replace() { # the disk comes back with what it had flushed; its server has ended
    server_kill "$1"
    disk_unmount "$1" && disk_mount "$1"
}
# What ext4 does after an error that it cannot get over: no writing any more, until the disk is mounted anew.
disk_remount_ro() { mount -o remount,abort,errors=remount-ro "$ram/$1"; }
# Every block is taken; and again, while the filler is there: a server whose disk is full tidies up, and would have room.
disk_fill() {
    local f=$ram/$1/filler
    dd if=/dev/zero of="$f" bs=64k 2>/dev/null
    dd if=/dev/zero of="$f.2" bs=512 2>/dev/null
    while dd if=/dev/zero of="$f" bs=4k oflag=append conv=notrunc,nocreat || [ -e "$f" ]; do
        sleep 0.1
    done </dev/null >/dev/null 2>&1 &
}
disk_free() { rm -f "$ram/$1/filler" "$ram/$1/filler.2"; }
# What the shim (tests/fault/disk_shim.c) does to a server's disk: "slow MS", "fail", "lie", "error"; "" is nothing.
disk_shim() {
    rm -f "$ram/$1.shim.did"
    printf '%s' "$2" >"$ram/$1.shim.new" && mv "$ram/$1.shim.new" "$ram/$1.shim"
}
disk_shim_did() { [ -e "$ram/$1.shim.did" ]; }

# ---- processes ----
server_runs() { [ -n "${server_pid[$1]:-}" ] && ! ended "${server_pid[$1]}"; }
server_start() { # server_start NAME: returns when it listens, or did already; 1 when it ended instead
    local n=$1 p
    server_runs "$n" && return
    rm -f "$ram/$n.ready"
    # shellcheck disable=SC2086
    exec_on "$n" env LD_PRELOAD="$work/shim.so" HEXAD_DISK_SHIM="$ram/$n.shim" ${server_env[$n]:-} \
        "$SEGMENTD" -c "$work/conf/$n.conf" --ready-fd 3 3>"$ram/$n.ready" >>"$work/log/$n.log" 2>&1 </dev/null &
    p=$!
    server_pid[$n]=$p
    wait_for server_decided "$n" "$p"
    ended "$p" || return 0
    server_reap "$n"
    return 1
}
server_decided() { [ -s "$ram/$1.ready" ] || ended "$2"; }
server_kill() { # server_kill NAMES...: those that run
    local n
    for n in "$@"; do server_signal KILL "$n"; done
    for n in "$@"; do server_reap "$n" || true; done
}
server_reap() { # waits for its end, of which the code is returned, and forgets it
    local p=${server_pid[$1]:-}
    [ -n "$p" ] || return 0
    server_pid[$1]=
    wait "$p" 2>/dev/null
}
server_end() { # in order; returns its exit code
    server_signal TERM "$1"
    wait_for ended "${server_pid[$1]}" || server_signal KILL "$1"
    server_reap "$1"
}
server_crashed() { # it has ended, and nobody here ended it
    [ -n "${server_pid[$1]:-}" ] && ended "${server_pid[$1]}"
}
server_signal() { # server_signal SIGNAL NAMES...
    local n s=$1
    shift
    for n in "$@"; do [ -z "${server_pid[$n]:-}" ] || kill "-$s" "${server_pid[$n]}" 2>/dev/null; done
    return 0
}
mount_spawn() { # mount_spawn CLIENT OPTIONS: begins to open the volume
    # shellcheck disable=SC2086
    exec_on "$1" env HEXAD_CONFIG="$work/conf/hexad.conf" ${mount_env:-} "$HEXAD" mount -f -o "$2" vol0 "$work/mnt/$1" \
        >>"$work/log/$1.log" 2>&1 </dev/null &
    mount_pid_of[$1]=$!
}
mount_start() { # mount_start CLIENT [OPTIONS]: returns when its status can be read; 1 when it ended instead
    mount_spawn "$1" "${2:-takeover}"
    wait_for mount_decided "$work/mnt/$1" "${mount_pid_of[$1]}" && mount_lives "$1"
}
mount_answers() { timeout 5 grep -q . "$1/.hexad/status"; }
mount_decided() { ended "$2" || mount_answers "$1"; }
mount_lives() { [ -n "${mount_pid_of[$1]:-}" ] && ! ended "${mount_pid_of[$1]}"; }
mount_kill() { # mount_kill CLIENT: with whatever it had not sent
    local p=${mount_pid_of[$1]:-}
    [ -n "$p" ] || return 0
    mount_pid_of[$1]=
    kill -KILL "$p" 2>/dev/null
    wait "$p" 2>/dev/null
    [ "$(stat -f -c %T "$work/mnt/$1" 2>/dev/null)" = tmpfs ] || umount -l "$work/mnt/$1"
    return 0
}
hosts_status() { # as status of kit.sh, asked from the second client
    on_host m2 env HEXAD_CONFIG="$work/conf/hexad.conf" python3 "$LIB/status.py" "$HEXAD" vol0 "$@"
}

# ---- the whole ----
hosts_files() {
    local n c=("$HEXAD" cert)
    mkdir -p "$work/tls" "$work/conf" "$work/log" "$work/mnt/m1" "$work/mnt/m2" "$ram"
    mount -t tmpfs -o mode=755 ram "$ram"
    # Where nothing is mounted nothing can be written: what a program does there would seem to be acknowledged.
    for n in "${CLIENTS[@]}"; do mount -t tmpfs -o ro none "$work/mnt/$n"; done
    "${c[@]}" create-ca --out "$work/tls/ca" || return 1
    "${c[@]}" create-client client --ca "$work/tls/ca" --out "$work/tls/client" || return 1
    printf '[tls]\nca = %s\ncert = %s\nkey = %s\n[servers]\n' "$work/tls/ca.crt" "$work/tls/client.crt" \
        "$work/tls/client.key" >"$work/conf/hexad.conf"
    for n in "${SERVERS[@]}"; do
        "${c[@]}" create-server "$n" --hosts "${ip_of[$n]}" --ca "$work/tls/ca" --out "$work/tls/$n" || return 1
        echo "$n = az-${n:0:1} https://${ip_of[$n]}:9621" >>"$work/conf/hexad.conf"
        printf '[server]\nname = %s\nzone = %s\nlisten = %s:9621\ndata = %s\n[tls]\nca = %s\ncert = %s\nkey = %s\n' \
            "$n" "az-${n:0:1}" "${ip_of[$n]}" "$ram/$n/data" "$work/tls/ca.crt" "$work/tls/$n.crt" "$work/tls/$n.key" \
            >"$work/conf/$n.conf"
        disk_make "$n" || return 1
        disk_shim "$n" ""
    done
    "${CC:-cc}" -D_GNU_SOURCE -O2 -shared -fPIC -o "$work/shim.so" "$HEXAD_SOURCE/tests/fault/disk_shim.c" -ldl
}
hosts_up() { # hosts_up [OPTIONS OF hexad create]: hosts, servers, the volume vol0; nothing is mounted yet
    local n
    hosts_network >"$work/network.log" 2>&1 || die "hosts in network namespaces" "$(cat "$work/network.log")"
    at_end hosts_down
    hosts_files >"$work/files.log" 2>&1 || die "certificates, disks, configuration" "$(cat "$work/files.log")"
    for n in "${SERVERS[@]}"; do
        server_start "$n" || die "server $n starts" "$(cat "$work/log/$n.log")"
    done
    on_host m1 env HEXAD_CONFIG="$work/conf/hexad.conf" "$HEXAD" create vol0 "$@" >"$work/create.log" 2>&1 ||
        die "the volume is made" "$(cat "$work/create.log")"
}
hosts_down() { # in order, so that the kernel has little to undo
    local n c
    for c in "${!mount_pid_of[@]}"; do mount_kill "$c"; done
    server_kill "${SERVERS[@]}"
    for n in "${SERVERS[@]}"; do umount "$ram/$n" || umount -l "$ram/$n"; done
    umount "$ram" || umount -l "$ram"
    for c in "${CLIENTS[@]}"; do umount -l "$work/mnt/$c"; done
}
