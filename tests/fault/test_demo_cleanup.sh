#!/usr/bin/env bash
# hexad demo, in the corners: signals at any moment, programs left behind, busy mounts, directories that are not ours.
# Each case can fail: nothing_left looks at processes, mounts and files themselves, not at what the demo says.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs sqlite3
plan 29
mkdir "$work/here"
cd "$work/here" || exit 1

nothing_left() { # processes, mounts, files
    local p m
    p=$(pids_with "$work/here")
    [ -z "$p" ] || { echo "processes: $(ps -o pid,args -p $(echo $p | tr ' ' ,))"; return 1; }
    m=$(mounts_under "$work/here")
    [ -z "$m" ] || { echo "mounts: $m"; return 1; }
    [ -z "$(ls -A "$work/here")" ] || { echo "files:"; ls -lA "$work/here"; return 1; }
}
force() { # clean-up for the case that one of the promises is broken
    local p m
    for p in $(pids_with "$work/here"); do kill -KILL "$p"; done
    for m in $(mounts_under "$work/here" | tac); do umount -l "$m"; done
}
at_end force
start() { setsid env --default-signal=INT,QUIT "$HEXAD" demo "$@" >"$work/demo.log" 2>&1 </dev/null & pid=$!; }
up() { start "$@"; wait_for mountpoint -q "$work/here/hexad-demo/mnt"; }
quiet() { "$HEXAD" demo "$@" >>"$work/verbs.log" 2>&1; }
code_of() { # code_of COMMAND...: prints its exit code
    "$@" >"$work/out" 2>&1 </dev/null
    echo $?
}
export TMPDIR=$work/here # where a demo with a command goes

# ---- exit codes ----
check "a command that is not there gives 127" [ "$(code_of "$HEXAD" demo -- /no/such/program)" = 127 ]
check "a command that dies of a signal gives 128 + its number" [ "$(code_of "$HEXAD" demo -- sh -c 'kill -USR1 $$')" = 138 ]
check "the command knows its demo and its configuration" [ "$(code_of "$HEXAD" demo -- \
    sh -c 'test -d "$HEXAD_DEMO_DIR/mnt" && hexad status vol0')" = 0 ]
check "nothing is left of these" wait_for nothing_left

# ---- programs that stay behind ----
check "a program that the command left in the background does not hold the demo up" [ "$(code_of "$HEXAD" demo -- \
    sh -c "exec 3>f; setsid sh -c 'trap \"\" TERM; echo \$\$ >$work/stray; exec sleep 1000' & while [ ! -s $work/stray ]; do :; done; exit 5")" = 5 ]
check "and is ended with it" wait_for gone "$(cat "$work/stray")"
check "nothing is left of it" wait_for nothing_left
up
(cd "$work/here/hexad-demo/mnt" && exec sleep 1000) & s=$!
wait_for eval '[ "$(readlink /proc/$s/cwd)" = "$work/here/hexad-demo/mnt" ]'
kill -INT -- "-$pid"
check "a foreign program that stands in the mount does not keep the demo from ending" wait_for ended "$pid"
kill "$s"
wait "$s" 2>/dev/null
check "nothing is left then" wait_for nothing_left

# ---- signals ----
for sig in TERM HUP; do
    up
    kill -$sig "$pid"
    check "SIG$sig ends it, and nothing is left" eval 'wait_for ended "$pid" && wait_for nothing_left'
done
start -- sh -c "echo up >$work/up; exec sleep 1000"
wait_for test -s "$work/up"
kill -TERM "$pid"
wait "$pid"
code=$?
check "SIGTERM reaches the command: 128 + 15" [ $code = 143 ]
check "nothing is left of command and demo" wait_for nothing_left
bad=
for i in $(seq 12); do # from before the first server to after the mount
    start
    rand 0 250
    perl -e "select undef, undef, undef, $random / 1000"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null
    wait_for nothing_left || bad="$bad $i (after $random ms)"
done
check "SIGKILL at a random moment of the start leaves nothing" [ -z "$bad" ]
bad=
for i in $(seq 6); do
    start
    rand 0 250
    perl -e "select undef, undef, undef, $random / 1000"
    kill -TERM "$pid"
    wait "$pid"
    wait_for nothing_left || bad="$bad $i (after $random ms)"
done
check "SIGTERM at a random moment of the start leaves nothing" [ -z "$bad" ]
up
quiet stop a1 mount
quiet kill az-b
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "SIGKILL with servers and mount stopped or dead leaves nothing" wait_for nothing_left
up
quiet kill az-a b1
echo x >"$work/here/hexad-demo/mnt/f" & w=$!
# A write that comes late would land in the bare directory, and be somebody else's file there.
wait_for test -s "$work/here/hexad-demo/mnt/f"
kill -INT -- "-$pid"
check "without a quorum it ends all the same" wait_for ended "$pid"
wait $w 2>/dev/null
check "and nothing is left" wait_for nothing_left
up # every demo's volume is vol0: one that cannot end is no other's business, not even where they share a device number
first=$pid
quiet kill az-a b1
echo x >"$work/here/hexad-demo/mnt/f" & w=$!
wait_for test -s "$work/here/hexad-demo/mnt/f"
writer=$(pids_with "$work/here/hexad-demo/mnt" | head -1)
umount -l "$work/here/hexad-demo/mnt"
start --dir "$work/here/other"
check "another fleet's volume of the same name is mounted while one cannot end" eval \
    'wait_for mountpoint -q "$work/here/other/mnt" && ! gone "$writer"'
check "and unmounted without waiting for that one" eval \
    'hexad_out=$("$HEXAD" umount "$work/here/other/mnt" 2>&1); echo "$hexad_out"; ! gone "$writer" && [ -z "$hexad_out" ]'
kill -INT -- "-$pid" "-$first"
wait_for ended "$pid"
wait_for ended "$first"
wait $w 2>/dev/null
check "and nothing is left of both" wait_for nothing_left

# ---- control ----
up
pids() { pids_with "$work/here/hexad-demo/" | tr '\n' ' '; }
b1=$(pids_with "$work/here/hexad-demo/b1.conf")
quiet kill b1
check "kill returns when the process has gone" gone "$b1"
quiet heal
check "heal returns when the server runs again" [ -n "$(pids_with "$work/here/hexad-demo/b1.conf")" ]
servers() { for n in a1 a2 b1 b2 c1 c2; do pids_with "$work/here/hexad-demo/$n.conf"; done; }
dies_and_heals() { # somebody else's kill -9, and heal before they have gone
    local before after
    mapfile -t before < <(servers)
    kill -9 "${before[@]}" && "$HEXAD" demo heal && mapfile -t after < <(servers)
    echo "${before[*]} -> ${after[*]}"
    [ ${#after[@]} = 6 ] && [ -z "$(printf '%s\n' "${before[@]}" "${after[@]}" | sort | uniq -d)" ]
}
check "servers that somebody kills just before are healed, too" dies_and_heals
check "an unknown name is refused with the nearest" eval \
    '! "$HEXAD" demo kill az-d 2>"$work/err" && grep -q "az-[abc]" "$work/err"'
check "a second demo in the same place is refused: exit code 7" [ "$(code_of "$HEXAD" demo)" = 7 ]
kill -INT -- "-$pid"
wait_for nothing_left

# ---- directories ----
mkdir mine
echo precious >mine/file
"$HEXAD" demo --dir mine >"$work/out" 2>&1
check "a directory with other files is refused and not touched" [ $? = 1 -a "$(cat mine/file)" = precious -a "$(ls -A mine)" = file ]
mkdir -m 755 empty
"$HEXAD" demo --dir empty -- true >"$work/out" 2>&1
check "an empty directory that was there stays, empty" [ $? = 0 -a -d empty -a -z "$(ls -A empty)" ]
long=$work/here/$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 100))
mkdir -p "$long"
check "a long path is no obstacle" [ "$(code_of "$HEXAD" demo --dir "$long/x" -- sh -c 'hexad demo status')" = 0 ]
