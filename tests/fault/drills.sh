# drills.sh - faults for real processes on hosts of their own, and what must hold during and after each.
#
# Sourced by test_drills.sh (each fault once) and pairs.sh (all pairs).  A drill is: workloads with histories run
# (tests/lib/history.py); faults come; what must go on goes on, what must wait waits; the faults end; everything goes on; the
# mount is killed; a new mount takes over; the histories are compared with what it shows.
#   D1 As long as at most two servers are hit, and the client is not, commits must go on.
#   D2 No program may see an error as long as its mount lives, unless the fault is one of the mount's own.
#   D3 After each drill all that was acknowledged is there, nothing is invented, in a mount that never saw it before.
#   D4 A fault leaves nothing for the next drill: fault_X_off undoes all, also after a drill that failed.
#   D5 A fault that did not come proves nothing: each shows that it bit (packets were lost, a flush was late, ...).
# A fault X is fault_X_on and fault_X_off; hits[X] says how many servers it hits (they are drawn: $hit), "client", or "wait":
# so many that commits must wait.  promise[X] is what a user may expect.
# Times are measured and printed, never judged.
. "${HEXAD_SOURCE:?}/tests/lib/hosts.sh" || exit 99

client=m1          # where the volume is mounted
workload_pid=      # of history.py run
histories=$work/histories
client_lost=0      # the mount of this drill is dead, or must die
lost_at=           # when, in ms
mount_options=takeover
faketime_lib=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)

mnt() { echo "$work/mnt/$client"; }
history() { python3 "$LIB/history.py" "$@"; }
now_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; } # CLOCK_BOOTTIME, which here is the histories' clock
say() { echo "[$(now_ms)] $*"; }

# ---- workloads ----
workload_start() {
    rm -f "$work/stop"
    mkdir -p "$histories"
    history run "$(mnt)" "$histories" --stop "$work/stop" --seed "$SEED" >>"$work/workload.log" 2>&1 </dev/null &
    workload_pid=$!
}
workload_stop() { # 0: no worker has seen an error
    local p=$workload_pid code
    [ -n "$p" ] || return 0
    workload_pid=
    touch "$work/stop"
    wait_for ended "$p" || { say "the workload does not end"; kill -TERM "$p"; }
    wait "$p"
    code=$?
    [ $code = 0 ] || tail -n 12 "$work/workload.log"
    return $code
}
workload_reap() { # its mount is gone: errors are expected
    local p=$workload_pid
    [ -n "$p" ] || return 0
    workload_pid=
    touch "$work/stop"
    wait_for ended "$p" || kill -TERM "$p"
    wait "$p" 2>/dev/null
    return 0
}
marks() { # how much each worker has had acknowledged
    local f
    for f in "$histories"/*.[0-9]; do
        case $f in */bulk.*) continue ;; esac
        echo "${f##*/} $(grep -c '^+' "$f")"
    done
}
beyond() { # beyond MARKS N: every worker has N more acknowledgements than then
    local name had
    [ -n "$1" ] || return 1
    while read -r name had; do
        [ "$(grep -c '^+' "$histories/$name")" -ge $((had + $2)) ] || return 1
    done <<<"$1"
}
workers_all() { [ "$(marks | awk '$2 > 0' | wc -l)" -ge 8 ]; }
progress() { # progress WHAT [N]: every worker gets N (3) more acknowledgements
    local then
    wait_for workers_all || { say "no progress: $1: $(marks | tr '\n' ' ')"; return 1; }
    then=$(marks)
    wait_for beyond "$then" "${2:-3}" && return
    say "no progress: $1: from $(tr '\n' ' ' <<<"$then") to $(marks | tr '\n' ' ')"
    timeout 5 cat "$(mnt)/.hexad/status" || echo "the mount's status cannot be read"
    tail -n 4 "$work/workload.log"
    return 1
}
must_wait() { # without a write quorum: nothing is acknowledged, the mount says what is missing, and nobody sees an error
    local then
    wait_for quorum_missing || { say "the mount does not say that the quorum is missing"; cat "$(mnt)/.hexad/status"; return 1; }
    wait_for hosts_status "code == 4" || { say "hexad status does not say so"; hosts_status "code == 4"; return 1; }
    then=$(marks)
    hosts_status "code == 4" && hosts_status "code == 4" || return 1 # other events, instead of a time
    [ "$then" = "$(marks)" ] && return
    say "acknowledged without a quorum: $(tr '\n' ' ' <<<"$then"), then $(marks | tr '\n' ' ')"
    return 1
}
quorum_missing() { timeout 5 grep -qi quorum "$(mnt)/.hexad/status"; }
acks() { cat "$histories"/*.[0-9] | grep -c '^+'; }

# ---- crash and comparison ----
crash_and_compare() { # the mount is killed with whatever it had; a new one must show what the histories say
    mount_kill "$client"
    workload_reap
    mount_start "$client" "$mount_options" || { say "the volume cannot be mounted"; tail -n 5 "$work/log/$client.log"; return 1; }
    history check "$(mnt)" "$histories"
}

# ---- faults: the network ----
declare -A hits=() promise=()
hits[az_cut]=zone
promise[az_cut]="a zone is cut off in silence: commits go on"
fault_az_cut_on() { net_part "$hit"; }
fault_az_cut_off() { net_calm; }

hits[oneway_in]=2
promise[oneway_in]="requests to two servers are lost: commits go on"
fault_oneway_in_on() { net_cut "$client" "$hit"; }
fault_oneway_in_off() { net_calm; }

hits[oneway_out]=2
promise[oneway_out]="answers of two servers are lost and everything is sent again: nothing happens twice"
fault_oneway_out_on() { net_cut "$hit" "$client"; }
fault_oneway_out_off() { net_calm; }

hits[gossip_cut]=0
promise[gossip_cut]="servers cannot hear each other: commits go on"
fault_gossip_cut_on() { net_cut "${SERVERS[*]}" "${SERVERS[*]}"; }
fault_gossip_cut_off() { net_calm; }

hits[ring_cut]=0
promise[ring_cut]="each server hears its two neighbours only: commits go on"
fault_ring_cut_on() {
    local i j
    for i in 0 1 2 3 4 5; do
        for j in 2 3 4; do net_cut "${SERVERS[i]}" "${SERVERS[(i + j) % 6]}"; done
    done
}
fault_ring_cut_off() { net_calm; }

hits[loss]=0
promise[loss]="a packet in thirty is lost everywhere: commits go on, nothing happens twice"
fault_loss_on() { net_cut "$(others "")" "$(others "")" 3; }
fault_loss_off() { net_calm; }

hits[throttle]=2
promise[throttle]="two servers behind 256 kbit/s: commits go on"
fault_throttle_on() { for_hit net_slow 256kbit; }
fault_throttle_off() { for_hit net_fast; }

hits[az_plus_one]=wait
promise[az_plus_one]="a zone and one server more are cut off: commits wait, nobody sees an error, then they go on"
fault_az_plus_one_on() { net_part "$hit"; }
fault_az_plus_one_off() { net_calm; }

# ---- faults: processes ----
for_hit() { # for_hit COMMAND [ARGUMENTS]: COMMAND SERVER ARGUMENTS for each; 0 when all were
    local c=$1 h bad=0
    shift
    for h in $hit; do "$c" "$h" "$@" || bad=1; done
    return $bad
}
hits[kill_server]=1
promise[kill_server]="a server is killed: commits go on"
fault_kill_server_on() { server_kill $hit; }
fault_kill_server_off() { for_hit server_start; }

hits[kill_zone]=zone
promise[kill_zone]="a zone is killed: commits go on"
fault_kill_zone_on() { server_kill $hit; }
fault_kill_zone_off() { for_hit server_start; }

hits[rolling]=0
promise[rolling]="all servers are restarted, one after the other: commits go on"
fault_rolling_on() {
    local n then
    for n in "${SERVERS[@]}"; do
        server_signal TERM "$n"
        wait_for ended "${server_pid[$n]}" || return 1
        server_start "$n" || return 1
        then=$(marks)
        wait_for beyond "$then" 1 || { say "no progress after the restart of $n"; return 1; }
    done
}
fault_rolling_off() { :; }

hits[stop_zone]=zone
promise[stop_zone]="a zone is frozen with its connections open: commits go on"
fault_stop_zone_on() { server_signal STOP $hit; }
fault_stop_zone_off() { server_signal CONT $hit; }

hits[stop_mount]=client
promise[stop_mount]="the mount is frozen and wakes up: nobody has seen an error"
fault_stop_mount_on() { kill -STOP "${mount_pid_of[$client]}"; }
fault_stop_mount_off() { kill -CONT "${mount_pid_of[$client]}"; }

hits[kill_mount]=client
promise[kill_mount]="the mount is killed: a new one has everything that was acknowledged"
fault_kill_mount_on() {
    client_lost=1
    lost_at=$(now_ms)
    mount_kill "$client"
}
fault_kill_mount_off() { remount; }

hits[takeover]=client
promise[takeover]="the mount is cut off, another host takes over: the old one acknowledges nothing that the new one lacks"
fault_takeover_on() {
    local old=$client
    client_lost=1
    net_part "$old"
    [ $old = m1 ] && client=m2 || client=m1
    lost_at=$(now_ms)
    mount_start "$client" takeover || { say "no takeover"; tail -n 5 "$work/log/$client.log"; return 1; }
    say "taken over after $(($(now_ms) - lost_at)) ms"
    net_calm
    # The old mount must find out by itself; its programs get errors.
    wait_for ended "$workload_pid" || { say "the programs of the fenced mount wait for ever"; mount_kill "$old"; }
    workload_reap
    say "$(grep -c SIGBUS "$work/workload.log") programs have got SIGBUS until now"
    mount_kill "$old"
}
fault_takeover_off() { remounted; }

remount() {
    workload_reap
    mount_start "$client" "$mount_options" || { say "the volume cannot be mounted"; tail -n 5 "$work/log/$client.log"; return 1; }
    remounted
}
remounted() { # in a new mount: first compare, then go on
    history check "$(mnt)" "$histories" || return 1
    workload_start
}

# ---- faults: disks ----
hits[disk_full]=2
promise[disk_full]="two disks are full: commits go on"
fault_disk_full_on() { for_hit disk_fill; }
fault_disk_full_off() { for_hit disk_free; for_hit server_again; }

hits[disk_slow]=2
promise[disk_slow]="two disks flush slowly: commits go on"
fault_disk_slow_on() { for_hit disk_shim "slow 300"; }
fault_disk_slow_off() { for_hit disk_shim ""; }

hits[disk_hang]=2
promise[disk_hang]="two disks hang in a flush: commits go on"
fault_disk_hang_on() { for_hit disk_shim hang; }
fault_disk_hang_off() { for_hit disk_shim ""; }

hits[flush_fails]=1
promise[flush_fails]="a flush fails: nothing is acknowledged on the strength of it"
fault_flush_fails_on() { for_hit disk_shim fail; }
fault_flush_fails_off() { for_hit disk_shim ""; for_hit server_renew; }

hits[disk_dies]=1
promise[disk_dies]="a disk dies and comes back with what had been flushed: nothing is lost"
fault_disk_dies_on() { disk_break $hit; }
fault_disk_dies_off() { server_kill $hit; for_hit disk_replace; for_hit server_start; }

server_again() { # it may have ended because of its disk
    ! ended "${server_pid[$1]}" || { say "$1 had ended"; server_start "$1"; }
}
server_renew() { server_kill "$1"; server_start "$1"; }

hits[empty]=1
promise[empty]="a server comes back with an empty directory: it does not count, and its own is welcome later"
fault_empty_on() {
    server_kill "$hit"
    mv "$ram/$hit/data" "$ram/$hit/kept"
    mkdir -m 700 "$ram/$hit/data"
    server_start "$hit"
}
fault_empty_off() {
    server_kill "$hit"
    rm -rf "$ram/$hit/data"
    mv "$ram/$hit/kept" "$ram/$hit/data"
    server_start "$hit"
}

hits[rollback]=1
promise[rollback]="a server comes back with an older copy of its directory: nothing is lost"
fault_rollback_on() {
    server_kill "$hit"
    cp -a "$ram/$hit/data" "$ram/$hit/old"
    server_start "$hit" || return 1
    progress "before the older copy comes" || return 1
    server_kill "$hit"
    rm -rf "$ram/$hit/data"
    mv "$ram/$hit/old" "$ram/$hit/data"
    sync -f "$ram/$hit" # who puts a copy back sees to it that it is on the disk
    server_start "$hit"
}
fault_rollback_off() { :; }

hits[disk_full3]=wait
promise[disk_full3]="three disks are full: commits wait, nobody sees an error, with room they go on by themselves"
fault_disk_full3_on() { for_hit disk_fill; }
fault_disk_full3_off() { for_hit disk_free; for_hit server_again; }

# ---- faults: clocks ----
clock_set() { # clock_set SERVER OFFSET: the time of day on its host jumps; monotonic time does not
    printf '%s\n' "$2" >"$ram/$1.clock.new" && mv "$ram/$1.clock.new" "$ram/$1.clock"
}
hits[clock]=2
promise[clock]="clocks of two servers jump a day ahead and an hour back: commits go on"
fault_clock_on() {
    local n
    for n in $hit; do
        clock_set "$n" +0
        server_env[$n]="LD_PRELOAD=$work/shim.so:$faketime_lib FAKETIME_TIMESTAMP_FILE=$ram/$n.clock \
            FAKETIME_CACHE_DURATION=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1"
        server_renew "$n" || return 1
        clock_set "$n" +1d
    done
    progress "with two clocks a day ahead" || return 1
    for n in $hit; do clock_set "$n" -1h; done
}
fault_clock_off() {
    local n
    for n in $hit; do
        server_env[$n]=
        server_renew "$n"
    done
}

# ---- faults: everything ----
hits[grow]=0
promise[grow]="the volume grows under load: all of it is there"
fault_grow_on() { history bulk "$(mnt)" "$histories" 6 >"$work/bulk.log" 2>&1 & bulk_pid=$!; }
fault_grow_off() {
    wait_for ended $bulk_pid || kill -KILL $bulk_pid
    wait $bulk_pid || [ $client_lost = 1 ] || { say "the files cannot be written"; cat "$work/bulk.log"; return 1; }
}

hits[power_cut]=client
promise[power_cut]="all six servers and the client lose power: what was acknowledged was flushed"
fault_power_cut_on() {
    local n
    client_lost=1
    server_signal STOP "${SERVERS[@]}"
    disk_break "${SERVERS[@]}"
    server_kill "${SERVERS[@]}"
    mount_kill "$client"
}
fault_power_cut_off() {
    local n
    workload_reap
    for n in "${SERVERS[@]}"; do disk_replace "$n"; done
    for n in "${SERVERS[@]}"; do server_start "$n" || { say "$n does not start"; tail -n 3 "$work/log/$n.log"; return 1; }; done
    remount
}

# D5: what shows that a fault came; asked before it ends.
declare -A bites=(
    [az_cut]=net_bites [oneway_in]=net_bites [oneway_out]=net_bites [gossip_cut]=net_bites [ring_cut]=net_bites
    [loss]=net_bites [az_plus_one]=net_bites [throttle]="for_hit net_squeezes" [disk_slow]="for_hit disk_shim_did"
    [disk_hang]="for_hit disk_shim_did" [flush_fails]="for_hit disk_shim_did" [disk_full]="for_hit state_of FULL"
    [disk_dies]="for_hit state_not OK" [empty]="for_hit state_not OK"
    [stop_mount]=silent_writer [clock]="for_hit clock_jumped")
state_of() { hosts_status "seg('$1')['state'] == '$2'"; }
state_not() { hosts_status "seg('$1')['state'] != '$2'"; }
silent_writer() { local m; m=$(marks); hosts_status "not writer['alive']" && [ "$m" = "$(marks)" ]; }
clock_jumped() { # the process believes it, not only its host
    local d
    d=$(env ${server_env[$1]} LD_PRELOAD="$faketime_lib" date +%s) && [ $(($(date +%s) - d)) -gt 3000 ]
}

faults=(az_cut oneway_in oneway_out gossip_cut ring_cut loss throttle az_plus_one kill_server kill_zone rolling stop_zone
    stop_mount kill_mount takeover disk_full disk_full3 disk_slow disk_hang flush_fails disk_dies empty rollback clock
    grow power_cut)

# ---- one drill ----
hit_draw() { # hit_draw FAULT: sets $hit, the servers that it hits
    local a
    hit=
    case ${hits[$1]} in
    client | 0) ;;
    zone) rand 0 2; hit="${SERVERS[2 * random]} ${SERVERS[2 * random + 1]}" ;;
    wait)
        rand 0 2
        a=$((2 * random))
        rand 2 5
        hit="${SERVERS[a]} ${SERVERS[a + 1]} ${SERVERS[(a + random) % 6]}"
        ;;
    *)
        rand 0 5
        a=$random
        hit=${SERVERS[a]}
        [ "${hits[$1]}" = 1 ] || { rand 1 5; hit="$hit ${SERVERS[(a + random) % 6]}"; }
        ;;
    esac
}
undo() { # D4, after a failure: whatever state things are in
    local n
    net_calm
    for n in "${SERVERS[@]}" "$client"; do net_fast "$n" 2>/dev/null; done
    for n in "${SERVERS[@]}"; do
        disk_shim "$n" ""
        disk_free "$n"
        server_env[$n]=
        kill -CONT "${server_pid[$n]}" 2>/dev/null
        ended "${server_pid[$n]}" && server_start "$n"
    done
    mount_kill m1
    mount_kill m2
    workload_reap
}
drill() { # drill FAULT...: 0 when all promises held; what it says explains a failure
    local f n before=$SECONDS client_hit=0 hit all= since
    declare -A drawn=()
    client_lost=0 lost_at=
    for f in "$@"; do
        hit_draw "$f"
        drawn[$f]=$hit
        all="$all $hit"
        [ "${hits[$f]}" != client ] || client_hit=1
    done
    n=$(tr ' ' '\n' <<<"$all" | grep . | sort -u | wc -l)
    say "drill: $(for f in "$@"; do printf '%s(%s) ' "$f" "${drawn[$f]}"; done)"
    workload_start
    progress "before any fault" || return 1
    since=$(now_ms)
    for f in "$@"; do
        hit=${drawn[$f]}
        "fault_${f}_on" || { say "$f did not go well"; return 1; }
    done
    if [ $client_hit = 0 ] && [ "$n" -le 2 ]; then
        progress "during the fault (D1)" || return 1
        say "longest while it lasted: $(history stall "$histories" "$since" "$(now_ms)")"
    fi
    for f in "$@"; do
        hit=${drawn[$f]}
        # shellcheck disable=SC2086
        [ -z "${bites[$f]:-}" ] || [ $client_lost = 1 ] || wait_for ${bites[$f]} || { say "$f did not come (D5)"; hosts_status False; return 1; }
    done
    if [ "${hits[$1]}" = wait ] && [ $# = 1 ]; then must_wait || return 1; fi
    for f in "$@"; do
        hit=${drawn[$f]}
        "fault_${f}_off" || { say "$f did not end well"; return 1; }
    done
    progress "after it" || return 1
    [ -z "$lost_at" ] || say "writable again $(history first "$histories" "$lost_at") ms after the writer was lost"
    workload_stop || { say "a program has seen an error (D2)"; return 1; }
    crash_and_compare || return 1
    say "done after $((SECONDS - before)) s"
}

# The control: servers that acknowledge before anything is flushed, and a power cut.  0 when that was noticed.
lie_is_seen() {
    local n
    workload_start
    progress "before the disks lie" || return 1
    for n in "${SERVERS[@]}"; do disk_shim "$n" lie; done
    progress "while the disks lie" 20 || return 1
    fault_power_cut_on
    for n in "${SERVERS[@]}"; do disk_shim "$n" ""; done
    if fault_power_cut_off; then
        say "nobody has noticed"
        return 1
    fi
    return 0
}
