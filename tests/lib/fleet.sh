# fleet.sh - any number of segment servers on this machine, without a mount: certificates, configuration, start, end.
#
# Source it after kit.sh.  fleet_make NAME:ZONE...  makes $work/fleet; fleet_start NAMES..., fleet_kill NAMES...;
# everything ends with the script.  HEXAD_CONFIG names all of them; fleet_config FILE NAMES... makes another one.
fleet=$work/fleet
declare -A fleet_zone=() fleet_port=() fleet_pid=()

fleet_make() {
    local member n
    mkdir -p "$fleet" && cd "$fleet" || return 1
    "$HEXAD" cert create-ca >cert.log 2>&1 && "$HEXAD" cert create-client me >>cert.log 2>&1 || return 1
    for member in "$@"; do
        n=${member%%:*}
        fleet_zone[$n]=${member#*:}
        "$HEXAD" cert create-server "$n" >>cert.log 2>&1 || return 1
        printf '[server]\nname = %s\nzone = %s\nlisten = 127.0.0.1:0\ndata = %s.d\n[tls]\nca = ca.crt\ncert = %s.crt\nkey = %s.key\n' \
            "$n" "${fleet_zone[$n]}" "$n" "$n" "$n" >"$n.conf"
    done
}

fleet_start() { # on the port that it had
    local n
    for n in "$@"; do
        : >"$fleet/$n.ready"
        "$SEGMENTD" -c "$fleet/$n.conf" --listen "127.0.0.1:${fleet_port[$n]:-0}" --ready-fd 7 7>"$fleet/$n.ready" \
            >>"$fleet/$n.log" 2>&1 </dev/null &
        fleet_pid[$n]=$!
        at_end "fleet_end $!"
    done
    for n in "$@"; do
        wait_for test -s "$fleet/$n.ready" || die "server $n starts" "$(cat "$fleet/$n.log")"
        fleet_port[$n]=$(cat "$fleet/$n.ready")
    done
}

fleet_end() { kill -KILL "$1" && wait "$1"; }

fleet_kill() {
    local n
    for n in "$@"; do
        kill -KILL "${fleet_pid[$n]}"
        wait "${fleet_pid[$n]}" 2>/dev/null
    done
    return 0
}

fleet_config() { # fleet_config FILE NAMES...
    local file=$1 n
    shift
    printf '[tls]\nca = ca.crt\ncert = me.crt\nkey = me.key\n[servers]\n' >"$fleet/$file"
    for n in "$@"; do
        echo "$n = ${fleet_zone[$n]} https://127.0.0.1:${fleet_port[$n]}" >>"$fleet/$file"
    done
}

fleet_stop() { # in order, as systemd does it
    local n
    for n in "$@"; do
        kill -TERM "${fleet_pid[$n]}"
        wait "${fleet_pid[$n]}" || return 1
    done
}

# A mount of vol0 in the foreground: fleet_mount DIR; its log is DIR.log, its process $fleet_mount_pid.
fleet_mount() {
    mkdir -p "$1"
    "$HEXAD" mount -f vol0 "$1" >>"$1.log" 2>&1 </dev/null &
    fleet_mount_pid=$!
    at_end "fleet_unmount '$1' $fleet_mount_pid"
    wait_for grep -q . "$1/.hexad/status" || die "the volume is mounted" "$(cat "$1.log")"
}

fleet_unmount() { # DIR PID
    timeout 20 "$HEXAD" umount "$1" || umount -l "$1" || fusermount3 -uz "$1"
    wait_for ended "$2" || kill -KILL "$2"
    wait "$2"
}
