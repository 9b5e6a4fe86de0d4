# drills.sh - faults for real processes on hosts of their own, and what must hold during and after each.
#
# Sourced by test_drills.sh (each fault once) and pairs.sh (all pairs).  A drill is: workloads with histories run
# (tests/lib/history.py); faults come; what must go on goes on, what must wait waits; the faults end; everything goes on; the
# mount is killed; a new mount takes over; the histories are compared with what it shows.
#   D1 As long as at most two servers are hit, and the client is not, commits must go on.
#   D2 No program may see an error as long as its mount lives, unless the fault is one of the mount's own, or a full disk.
#   D3 After each drill all that was acknowledged is there, nothing is invented, in a mount that never saw it before.
#   D4 A fault leaves nothing for the next drill: fault_X_off undoes all, also after a drill that failed.
#   D5 A fault that did not come proves nothing: each shows that it bit (packets were lost, a flush was late, ...).
#   D6 When the faults have ended and nobody writes, all six members of each group come to the same end of the log.
#   D7 No process of hexad ends by itself, but a server whose disk is bad.
#   D8 With three servers silenced nothing is acknowledged, the mount says what it waits for, and nobody sees an error; with
#      three full ones programs are told, and begin anew when there is room.
# A fault X is fault_X_on and fault_X_off; hits[X] says how many servers it hits (they are drawn: $hit), "client", or "wait":
# so many that commits must wait.  promise[X] is what a user may expect.
# Times are measured and printed, never judged.
. "${HEXAD_SOURCE:?}/tests/lib/hosts.sh" || exit 99

client=m1          # where the volume is mounted
workload_said=1    # line of workload.log at which the present one begins
workload_pid=      # of history.py run
histories=$work/histories
client_lost=0      # the first mount of this drill is dead, or must die
client_killed=     # the client whose mount a fault has killed
client_old=        # the client that it was on, when another one takes over
may_progress=1     # D1 asks for progress in this drill
all_hit=           # servers that a fault of this drill hits
bulk_pid=          # of history.py bulk
mount_options=takeover,cache=8MiB,window=8MiB
faketime_lib=$(ls /usr/lib/*/faketime/libfaketimeMT.so.1 2>/dev/null | head -n 1)

mnt() { echo "$work/mnt/$client"; }
history() { python3 "$LIB/history.py" "$@"; }
now_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; } # CLOCK_BOOTTIME, which here is the histories' clock
say() { echo "[$(now_ms)] $*"; }

# ---- workloads ----
workload_start() {
    rm -f "$work/stop"
    mkdir -p "$histories"
    workload_said=$(($(count "$work/workload.log") + 1))
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
must_wait() { # D8; must_wait FAULTS: of one alone that cuts servers off for everybody, hexad status says so, too
    local then expected="code == 4"
    [ $1 -gt 1 ] && expected=True
    [ $silenced -lt 6 ] || expected="code == 5"
    wait_for quorum_missing || { say "the mount does not say that the quorum is missing"; cat "$(mnt)/.hexad/status"; return 1; }
    wait_for hosts_status "$expected" || { say "hexad status does not say so"; hosts_status False; return 1; }
    then=$(marks)
    hosts_status "$expected" && hosts_status "$expected" || return 1 # other events, instead of a time
    [ "$then" = "$(marks)" ] && return
    say "acknowledged without a quorum: $(tr '\n' ' ' <<<"$then"), then $(marks | tr '\n' ' ')"
    return 1
}
quorum_missing() { timeout 5 grep -qi quorum "$(mnt)/.hexad/status"; }
told_full() { # D2: who works on full disks is told, and so is who asks
    wait_for grep -qE '^!.*(No space|disk is full)' "$histories"/*.[0-9] ||
        { say "nobody was told that the disks are full"; return 1; }
    wait_for grep -qE 'state: FULL|disk full: ' "$(mnt)/.hexad/status" && return
    say "the mount does not say so"
    cat "$(mnt)/.hexad/status"
    return 1
}
begin_anew() { # whoever was told goes on from what is there
    workload_reap
    wait_for sync "$(mnt)" || return 1
    wait_for eval '! grep -qE "state: FULL|disk full: " "$(mnt)/.hexad/status"' || { say "it stays full"; return 1; }
    history check "$(mnt)" "$histories" || return 1 # SQLite needs a page of its own to open a WAL
    workload_start
}
acks() { cat "$histories"/*.[0-9] | grep -c '^+'; }

# ---- crash and comparison ----
crash_and_compare() { # the mount is killed in full swing; a new one must show what the histories say
    workload_start
    progress "in full swing" 1 || return 1
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

hits[long_cut]=zone
promise[long_cut]="a zone is cut off while more is written than the mount can keep for it: it catches up from its peers"
fault_long_cut_on() {
    net_part "$hit"
    [ $quorum = 0 ] || history bulk "$(mnt)" "$histories" 40 || { say "the files cannot be written"; return 1; }
}
fault_long_cut_off() { net_calm; }

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
fault_kill_server_off() { :; } # drill_settle starts what does not run

hits[kill_zone]=zone
promise[kill_zone]="a zone is killed: commits go on"
fault_kill_zone_on() { server_kill $hit; }
fault_kill_zone_off() { :; }

hits[rolling]=0
promise[rolling]="all servers are restarted, one after the other: commits go on"
fault_rolling_on() {
    local n then
    for n in "${SERVERS[@]}"; do
        [[ " $all_hit " != *" $n "* ]] || continue # another fault has it
        server_end "$n" || { say "$n ended with $?"; return 1; }
        server_start "$n" || return 1
        [ $may_progress = 1 ] || continue
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
fault_stop_mount_on() { mount_signal STOP "$client"; }
fault_stop_mount_off() { mount_signal CONT "$client"; }
mount_signal() { # mount_signal SIGNAL CLIENT
    [ -z "${mount_pid_of[$2]:-}" ] || kill "-$1" "${mount_pid_of[$2]}" 2>/dev/null
    return 0
}

hits[kill_mount]=client
promise[kill_mount]="the mount is killed: a new one has everything that was acknowledged"
fault_kill_mount_on() {
    client_lost=1
    fault_kills_mount
    local since
    since=$(now_ms)
    workload_reap
    [ $quorum = 1 ] || return 0
    mount_start "$client" "$mount_options" || { say "the volume cannot be mounted"; return 1; }
    writable_after "$since"
}
fault_kills_mount() {
    client_killed=$client
    mount_kill "$client"
}
writable_after() { # writable_after MS: says how long it took until something new was durable
    dd if=/dev/zero of="$(mnt)/probe" bs=512 count=1 conv=fsync 2>/dev/null || { say "not writable"; return 1; }
    say "writable again $(($(now_ms) - $1)) ms after the writer was lost"
}
fault_kill_mount_off() { :; } # drill_second_life

hits[kill_opening]=client
promise[kill_opening]="mounts are killed one after the other while they open: nothing is lost, the next one opens"
fault_kill_opening_on() {
    local i lines
    client_lost=1
    fault_kills_mount
    workload_reap
    [ $quorum = 1 ] || return 0
    for ((i = 0; i < 8; i++)); do
        rand 0 250
        lines=$(count "$work/log/$client.log")
        mount_spawn "$client" "$mount_options"
        sleep "0.$(printf %03d $random)" # the moment of the fault, anywhere in the opening or just after it
        mount_kill "$client"
        say "killed after $random ms: $(tail -n "+$((lines + 1))" "$work/log/$client.log" | tail -n 1)"
    done
}
fault_kill_opening_off() { :; }

hits[race]=client
promise[race]="two hosts take over at the same time: one of them has the volume, the other one is fenced"
fault_race_on() {
    local c won=
    client_lost=1
    fault_kills_mount
    workload_reap
    [ $quorum = 1 ] || return 0
    for c in m1 m2; do mount_spawn $c takeover; done
    for c in m1 m2; do wait_for mount_decided "$work/mnt/$c" "${mount_pid_of[$c]}"; done
    for c in m1 m2; do
        if mount_lives $c && timeout 20 dd if=/dev/zero of="$work/mnt/$c/probe" bs=512 count=1 conv=fsync 2>/dev/null; then
            won="$won $c"
        fi
    done
    say "writable:$won"
    case $won in
    " m1") client=m1 c=m2 ;;
    " m2") client=m2 c=m1 ;;
    *) return 1 ;;
    esac
    mount_kill $c
}
fault_race_off() { :; }

hits[takeover]=client
promise[takeover]="the mount is cut off, another host takes over: the old one acknowledges nothing that the new one lacks"
fault_takeover_on() {
    local since
    client_lost=1 client_old=$client
    net_part "$client_old"
    since=$(now_ms)
    [ $client = m1 ] && client=m2 || client=m1
    [ $quorum = 1 ] || return 0 # then it is taken over when the other fault has ended
    mount_start "$client" "$mount_options" || { say "no takeover"; tail -n 5 "$work/log/$client.log"; return 1; }
    writable_after "$since"
}
fault_takeover_off() { net_calm; }

# ---- faults: disks ----
hits[disk_full]=2
promise[disk_full]="two disks are full: commits go on"
fault_disk_full_on() { for_hit disk_fill; }
fault_disk_full_off() { for_hit disk_free; }

hits[disk_slow]=2
promise[disk_slow]="two disks flush slowly: commits go on"
fault_disk_slow_on() { for_hit disk_shim "slow 300"; }
fault_disk_slow_off() { for_hit disk_shim ""; }

hits[disk_hang]=2
promise[disk_hang]="two disks hang in a flush: commits go on"
fault_disk_hang_on() { for_hit disk_shim hang; }
fault_disk_hang_off() { for_hit disk_shim ""; }

hits[flush_fails]=1
promise[flush_fails]="a flush fails: nothing is acknowledged on the strength of it; with a sound disk the server serves again"
fault_flush_fails_on() { for_hit disk_shim fail; }
fault_flush_fails_off() { for_hit disk_shim ""; } # it comes back by itself: D6 waits for it

hits[disk_dies]=1
promise[disk_dies]="a disk dies and comes back with what had been flushed: nothing is lost"
fault_disk_dies_on() { disk_break $hit; }
fault_disk_dies_off() { for_hit disk_replace; }

hits[disk_readonly]=2
promise[disk_readonly]="two disks become read-only: commits go on, the servers say so, and serve again once they are mounted anew"
fault_disk_readonly_on() { for_hit disk_remount_ro; }
fault_disk_readonly_off() { for_hit disk_replace; } # as its log says: such a file system has to be unmounted
says_readonly() { state_not "$1" OK && grep -q 'read-only: mount it for writing' "$work/log/$1.log"; }

hits[io_error]=2
promise[io_error]="every read, write and flush of two disks fails: commits go on; with sound disks the servers serve again"
fault_io_error_on() { for_hit disk_shim error; }
fault_io_error_off() { for_hit disk_shim ""; } # they come back by themselves: D6 waits for it

server_renew() { server_kill "$1"; server_start "$1"; }

hits[empty]=1
promise[empty]="a server comes back with an empty directory: it does not count, and its own is welcome later"
fault_empty_on() {
    server_kill "$hit"
    mv "$ram/$hit/data" "$ram/$hit/kept"
    mkdir -m 700 "$ram/$hit/data"
    sync -f "$ram/$hit" # who moves directories sees to it that it is on the disk
    server_start "$hit"
}
fault_empty_off() {
    server_kill "$hit"
    rm -rf "$ram/$hit/data"
    mv "$ram/$hit/kept" "$ram/$hit/data"
    sync -f "$ram/$hit"
}

hits[rollback]=1
promise[rollback]="a server comes back with an older copy of its directory: nothing is lost"
fault_rollback_on() {
    server_kill "$hit"
    # Not to the server's own disk: a disk with too little room for two of them is another fault.
    cp -a "$ram/$hit/data" "$ram/$hit.old" || return 1
    server_start "$hit" || return 1
    [ $may_progress = 0 ] || progress "before the older copy comes" || return 1
    server_kill "$hit"
    rm -rf "$ram/$hit/data"
    cp -a "$ram/$hit.old" "$ram/$hit/data" || return 1
    rm -rf "$ram/$hit.old"
    sync -f "$ram/$hit"
    server_start "$hit"
}
fault_rollback_off() { :; }

hits[disk_full3]=wait
promise[disk_full3]="three disks are full: nothing is acknowledged, programs are told ENOSPC, with room all goes on by itself"
fault_disk_full3_on() { for_hit disk_fill; }
fault_disk_full3_off() { for_hit disk_free; }

# ---- faults: clocks ----
clock_set() { # clock_set SERVER OFFSET: the time of day on its host jumps; monotonic time does not
    printf '%s\n' "$2" >"$ram/$1.clock.new" && mv "$ram/$1.clock.new" "$ram/$1.clock"
}
clock_env() { # clock_env HOST [LIBRARIES:]
    echo "LD_PRELOAD=${2:-}$faketime_lib FAKETIME_TIMESTAMP_FILE=$ram/$1.clock FAKETIME_CACHE_DURATION=1" \
        "FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1"
}
hits[clock]=2
promise[clock]="clocks of two servers jump a day ahead and an hour back: commits go on"
fault_clock_on() {
    local n
    for n in $hit; do
        clock_set "$n" +0
        server_env[$n]=$(clock_env "$n" "$work/shim.so:")
        server_renew "$n" || common "$n" "$disk_hit" || return 1
        clock_set "$n" +1d
    done
    [ $may_progress = 0 ] || progress "with two clocks a day ahead" || return 1
    for n in $hit; do clock_set "$n" -1h; done
}
fault_clock_off() {
    local n
    for n in $hit; do
        server_env[$n]=
        server_kill "$n"
    done
}

hits[clock_mount]=client
promise[clock_mount]="the client's clock jumps a day ahead and an hour back: nobody has seen an error"
fault_clock_mount_on() {
    client_lost=1
    fault_kills_mount
    workload_reap
    [ $quorum = 1 ] || return 0
    clock_set "$client" +0
    mount_env=$(clock_env "$client")
    mount_start "$client" "$mount_options" || { say "the volume cannot be mounted"; return 1; }
    mount_env=
    history check "$(mnt)" "$histories" || return 1
    workload_start
    for offset in +1d -1h +0; do
        clock_set "$client" $offset
        progress "with the client's clock at $offset" || return 1
    done
    workload_stop
}
fault_clock_mount_off() { :; }

# ---- faults: everything ----
hits[grow]=0
promise[grow]="the volume grows under load: all of it is there"
fault_grow_on() {
    pgs_before=$(hosts_status --print pgs)
    history bulk "$(mnt)" "$histories" 16 >"$work/bulk.log" 2>&1 &
    bulk_pid=$!
}
fault_grow_off() { :; }

hits[power_servers]=all
promise[power_servers]="all six servers lose power, the mount lives: commits wait, nobody sees an error, then they go on"
fault_power_servers_on() {
    server_signal STOP "${SERVERS[@]}"
    disk_break "${SERVERS[@]}"
    server_kill "${SERVERS[@]}"
}
fault_power_servers_off() { for n in "${SERVERS[@]}"; do disk_replace "$n"; done; }

hits[power_cut]=client
promise[power_cut]="all six servers and the client lose power: what was acknowledged was flushed"
fault_power_cut_on() {
    client_lost=1
    fault_power_servers_on
    fault_kills_mount
}
fault_power_cut_off() { fault_power_servers_off; }

# D5: what shows that a fault came; asked before it ends.
declare -A bites=(
    [az_cut]=net_bites [oneway_in]=net_bites [oneway_out]=net_bites [gossip_cut]=net_bites [ring_cut]=net_bites
    [loss]=net_bites [az_plus_one]=net_bites [throttle]="for_hit net_squeezes" [disk_slow]="for_hit disk_shim_did"
    [disk_hang]="for_hit disk_shim_did" [flush_fails]="for_hit disk_shim_did" [io_error]="for_hit failing"
    [disk_readonly]="for_hit says_readonly" [disk_full]="for_hit seen_full"
    [disk_dies]="for_hit state_not OK" [empty]="for_hit state_not OK"
    [stop_mount]=silent_writer [clock]="for_hit clock_jumped" [grow]=has_grown)
has_grown() { hosts_status "pgs > $pgs_before"; }
state_of() { hosts_status "seg('$1')['state'] == '$2'"; }
seen_full() { state_of "$1" FULL && grep -q "^$1 .* FULL " "$(mnt)/.hexad/status"; } # not "silent", nor "down"
failing() { disk_shim_did "$1" && state_not "$1" OK; }
state_not() { hosts_status "seg('$1')['state'] != '$2'"; }
silent_writer() { local m; m=$(marks); hosts_status "not writer['alive']" && [ "$m" = "$(marks)" ]; }
clock_jumped() { # the process believes it, not only its host
    local d
    d=$(env ${server_env[$1]} LD_PRELOAD="$faketime_lib" date +%s) && [ $(($(date +%s) - d)) -gt 3000 ]
}

faults=(az_cut long_cut oneway_in oneway_out gossip_cut ring_cut loss throttle az_plus_one kill_server kill_zone rolling stop_zone
    stop_mount kill_mount takeover disk_full disk_full3 disk_slow disk_hang flush_fails disk_readonly io_error disk_dies empty
    rollback clock
    clock_mount grow kill_opening race power_servers
    power_cut)

# ---- one drill ----
# A server that is hit by one of these acknowledges nothing to the mount; a full one may, while it has room in a file.
silencing=" power_servers long_cut az_cut oneway_in oneway_out az_plus_one kill_server kill_zone stop_zone disk_full3 disk_hang flush_fails disk_readonly io_error disk_dies empty "
converged() { hosts_status "code == 0 and all(len(scls(p)) == 6 and len(set(scls(p))) == 1 for p in range(pgs))"; }
disk_faults=" disk_full disk_full3 disk_readonly disk_dies empty rollback " # two of them on one disk would be one fault of another kind
hit_draw() { # hit_draw FAULT: sets $hit, the servers that it hits
    local a
    hit=
    case ${hits[$1]} in
    client | 0) ;;
    all) hit="${SERVERS[*]}" ;;
    zone)
        rand 0 2
        hit="${SERVERS[2 * random]} ${SERVERS[2 * random + 1]}"
        ;;
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
common() { # common "A B" "B C": they have one in common
    local a
    for a in $1; do [[ " $2 " != *" $a "* ]] || return 0; done
    return 1
}
drill_draw() { # drill_draw FAULT...: fills drawn, order and what follows from them
    local f on_disks= calm= last= very_last= silent=
    all_hit= disk_hit= may_progress=1 client_lost=0 client_old= client_killed= bulk_pid=
    for f in "$@"; do
        hit_draw "$f"
        if [[ $disk_faults = *" $f "* ]]; then
            while common "$hit" "$on_disks"; do hit_draw "$f"; done
            on_disks="$on_disks $hit"
        fi
        drawn[$f]=$hit
        all_hit="$all_hit $hit"
        [[ $silencing != *" $f "* ]] || silent="$silent $hit"
        case $f in
        disk_* | io_error | flush_fails) disk_hit="$disk_hit $hit" ;;
        power_*) disk_hit="${SERVERS[*]}" all_hit="${SERVERS[*]}" ;;
        esac
        # What takes the client away comes last: the others need it to begin.
        case ${hits[$f]},$f in
        client,takeover) very_last=$f may_progress=0 ;; # that leaves programs on a mount that is cut off
        client,*) last="$last $f" may_progress=0 ;;
        *) calm="$calm $f" ;;
        esac
    done
    read -ra order <<<"$calm $last $very_last"
    silenced=$(tr ' ' '\n' <<<"$silent" | grep . | sort -u | wc -l)
    quorum=1
    [ "$(tr ' ' '\n' <<<"$all_hit" | grep . | sort -u | wc -l)" -le 2 ] || quorum=0 may_progress=0
}
drill_crashes() { # D7, while the faults last: who has a bad disk may end with an error, nobody may abort
    local n code bad=0
    for n in "${SERVERS[@]}"; do
        server_crashed "$n" || continue
        server_reap "$n"
        code=$?
        [ $code -lt 128 ] && common "$n" "$disk_hit" && continue
        say "$n has ended by itself with $code (D7)"
        tail -n 3 "$work/log/$n.log"
        bad=1
    done
    if grep -hE 'Sanitizer|runtime error|broken invariant' "$work"/log/*.log; then bad=1; fi
    return $bad
}
drill_settle() { # the faults have ended: every server runs, or can be started
    local n
    for n in "${SERVERS[@]}"; do
        server_start "$n" || { say "$n does not start"; tail -n 3 "$work/log/$n.log"; return 1; }
    done
}
drill_second_life() { # the first mount is lost: its programs end, a new mount is compared, and the workload begins again
    local n
    if [ -n "$client_old" ]; then
        # It was only cut off, or frozen: it must find out by itself that it is fenced, and say so to its programs.
        mount_lives "$client" || mount_start "$client" "$mount_options" || { say "no takeover"; return 1; }
        mount_signal CONT "$client_old"
        if mount_lives "$client_old" && [ -n "$workload_pid" ] && ! wait_for ended "$workload_pid"; then
            say "the programs of the fenced mount wait for ever"
            return 1
        fi
        mount_lives "$client_old" || [ "$client_killed" = "$client_old" ] ||
            { say "the fenced mount has ended by itself (D7)"; tail -n 5 "$work/log/$client_old.log"; return 1; }
        mount_kill "$client_old"
    fi
    workload_reap
    n=$(tail -n "+$workload_said" "$work/workload.log" | grep -c SIGBUS)
    [ "$n" = 0 ] || say "$n programs have got SIGBUS"
    mount_lives "$client" || mount_start "$client" "$mount_options" ||
        { say "the volume cannot be mounted"; tail -n 5 "$work/log/$client.log"; return 1; }
    history check "$(mnt)" "$histories" || return 1
    workload_start
}
bulk_end() {
    [ -n "$bulk_pid" ] || return 0
    wait_for ended "$bulk_pid" || kill -KILL "$bulk_pid"
    wait "$bulk_pid" || [ $client_lost = 1 ] || { say "the files cannot be written"; cat "$work/bulk.log"; return 1; }
}
undo() { # D4, after a failure: whatever state things are in
    local n
    net_calm
    for n in "${SERVERS[@]}" m1 m2; do net_fast "$n" 2>/dev/null; done
    mount_kill m1
    mount_kill m2
    workload_reap
    for n in "${SERVERS[@]}"; do
        disk_shim "$n" ""
        disk_free "$n"
        server_env[$n]=
        server_kill "$n"
        disk_replace "$n"
        if [ -d "$ram/$n/kept" ]; then rm -rf "$ram/$n/data" && mv "$ram/$n/kept" "$ram/$n/data"; fi
        rm -rf "$ram/$n.old"
        server_start "$n"
    done
}
drill_bites() { # D5; of two faults at once one may hide the other
    local f
    [ $# = 1 ] && [ $client_lost = 0 ] || return 0
    hit=${drawn[$1]}
    # shellcheck disable=SC2086
    [ -z "${bites[$1]:-}" ] || wait_for ${bites[$1]} && return
    say "$1 did not come (D5)"
    hosts_status False
    return 1
}
drill() { # drill FAULT...: 0 when all promises held; what it says explains a failure
    local f i quorum silenced hit since order
    declare -A drawn=()
    drill_draw "$@"
    say "drill: $(for f in "${order[@]}"; do printf '%s(%s) ' "$f" "${drawn[$f]}"; done)"
    workload_start
    progress "before any fault" || return 1
    since=$(now_ms)
    for f in "${order[@]}"; do
        hit=${drawn[$f]}
        "fault_${f}_on" || { say "$f did not go well"; return 1; }
    done
    if [ $may_progress = 1 ]; then
        progress "during the fault (D1)" || return 1
        say "longest while it lasted: $(history stall "$histories" "$since" "$(now_ms)")"
    fi
    drill_bites "$@" && drill_crashes || return 1
    if [[ " $* " == *" disk_full3 "* ]] && [ $client_lost = 0 ]; then
        told_full || return 1
    elif [ $silenced -ge 3 ] && [ $client_lost = 0 ]; then
        must_wait $# || return 1
    fi
    for ((i = ${#order[@]} - 1; i >= 0; i--)); do
        f=${order[i]} hit=${drawn[${order[i]}]}
        "fault_${f}_off"
    done
    drill_settle || return 1
    if [[ " $* " == *" disk_full3 "* ]] && [ $client_lost = 0 ]; then begin_anew || return 1; fi
    if [ $client_lost = 1 ]; then drill_second_life || return 1; fi
    progress "after it" || return 1
    bulk_end || return 1
    workload_stop || { say "a program has seen an error (D2)"; return 1; }
    drill_crashes || return 1
    wait_for converged || { say "the six do not meet (D6)"; hosts_status "False" | tail -n 40; return 1; }
    crash_and_compare || return 1
    say "done after $((($(now_ms) - since) / 1000)) s"
}

# The control: servers that acknowledge before anything is flushed, and a power cut.  0 when that was noticed.
lie_is_seen() {
    local n
    client_lost=1 client_old=
    workload_start
    progress "before the disks lie" || return 1
    for n in "${SERVERS[@]}"; do disk_shim "$n" lie; done
    progress "while the disks lie" 20 || return 1
    fault_power_cut_on
    for n in "${SERVERS[@]}"; do disk_shim "$n" ""; done
    fault_power_cut_off
    drill_settle && drill_second_life || return 0
    say "nobody has noticed"
    return 1
}
