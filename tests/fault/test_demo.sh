#!/usr/bin/env bash
# hexad demo: one command, and nothing is left of it, however it ends.
# That these can fail was tried by leaving out the removal of the directory, and by killing the demo's guard as well.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs sqlite3
plan 12
mkdir "$work/here"
cd "$work/here" || exit 1
export TMPDIR=$work/here # where a demo with a command puts its directory

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

out=$("$HEXAD" demo -- sqlite3 app.db 'create table t(x); insert into t values(1); select * from t;' 2>"$work/demo.err")
code=$?
check "a command runs in the mount and its output comes through" [ "$code:$out" = "0:1" ]
check "nothing is left after the command has ended" wait_for nothing_left

"$HEXAD" demo -- sh -c 'mountpoint -q . && exit 7' >"$work/demo.log" 2>&1
check "the command runs in the mount's root, and its exit code is passed on" [ $? = 7 ]

start
check "without a command the demo stays, with a mount" wait_for mountpoint -q "$work/here/hexad-demo/mnt"
echo x >"$work/here/hexad-demo/mnt/f"
kill -INT -- "-$pid"
check "Ctrl-C ends it" wait_for ended "$pid"
check "nothing is left after Ctrl-C" wait_for nothing_left

start
wait_for mountpoint -q "$work/here/hexad-demo/mnt"
echo x >"$work/here/hexad-demo/mnt/f"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "nothing is left after the demo was killed with SIGKILL" wait_for nothing_left

start --dir "$work/here/given"
wait_for mountpoint -q "$work/here/given/mnt"
kill -TERM "$pid"
wait "$pid" 2>/dev/null
check "nothing is left of a directory that was named, either" wait_for nothing_left

dir=$work/here/kept
idle() { [ -z "$(pids_with "$dir")" ] && [ -z "$(mounts_under "$dir")" ]; }
"$HEXAD" demo --dir "$dir" --keep -- sh -c 'echo kept >f && sync f' >"$work/demo.log" 2>&1
check "--keep leaves the data, and no process or mount" eval '[ -d "$dir/data" ] && wait_for idle'
check "--dir opens it again" [ "$("$HEXAD" demo --dir "$dir" --keep -- cat f 2>"$work/demo.err")" = kept ]
start --dir "$dir" --keep
wait_for test -e "$dir/mnt/f"
echo more >>"$dir/mnt/f" && sync "$dir/mnt/f"
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "a demo that keeps and was killed leaves no process or mount" wait_for idle
check "and its data is there" [ "$("$HEXAD" demo --dir "$dir" -- cat f 2>"$work/demo.err")" = "kept
more" ]
