# kit.sh - what the shell tests with real processes share: TAP, private directories, clean-up, waiting, a demo.
#
# A test sources this file, says `plan N`, and gives one `check` (or pass/fail) per promise.  Rules:
#   K1 Nothing outside $work is touched; ports are those that `hexad demo` picks.
#   K2 Clean-up runs last-in first-out, also after a failure or a signal; processes are ended by their id.
#   K3 Conditions are waited for with a deadline (wait_for); nothing sleeps for effect, nothing asserts elapsed time.
#   K4 After a failure $work stays, and its path is printed.
# It does not know what a volume is: that is in the helpers beside it (status.py, loader.py, prefix.py, ...).
# Variables for the caller: HEXAD_KEEP=1 keeps $work also after success; HEXAD_SEED changes the random choices.
set -u
: "${HEXAD_BUILD:?run me with make check, or set HEXAD_BUILD and HEXAD_SOURCE}" "${HEXAD_SOURCE:?}"
HEXAD=$HEXAD_BUILD/hexad
SEGMENTD=$HEXAD_BUILD/hexad-segmentd
LIB=$HEXAD_SOURCE/tests/lib
PATIENCE=${HEXAD_PATIENCE:-90} # seconds until a condition that must come is given up
export PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LC_ALL=C.UTF-8

kit_case=0 kit_failed=0 kit_planned=0
kit_stack=()

plan() {
    kit_planned=$1
    echo "1..$1"
}
note() { printf '# %s\n' "$*"; }
pass() {
    kit_case=$((kit_case + 1))
    echo "ok $kit_case - $1"
}
fail() { # fail NAME [EXPLANATION]
    kit_case=$((kit_case + 1)) kit_failed=$((kit_failed + 1))
    [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 30 | sed 's/^/# /'
    echo "not ok $kit_case - $1"
}
check() { # check NAME COMMAND...: the promise NAME holds when COMMAND succeeds; its output explains a failure
    local name=$1 out
    shift
    if out=$("$@" 2>&1 </dev/null); then pass "$name"; else fail "$name" "exit code $? of: $*
$out"; fi
}
die() { # the rest of this script makes no sense without what has just failed
    fail "$1" "${2:-}"
    exit 1
}
skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}
needs_fuse() {
    [ -c /dev/fuse ] && [ -r /dev/fuse ] && [ -w /dev/fuse ] || skip_all "no /dev/fuse"
    command -v fusermount3 >/dev/null || skip_all "no fusermount3"
}
needs() {
    local c
    for c in "$@"; do command -v "$c" >/dev/null || skip_all "no $c"; done
}

needs_module() { # needs_module NAME: sets $python to a Python that has it, which may not be the first of the PATH
    for python in python3 /usr/bin/python3; do "$python" -c "import $1" 2>/dev/null && return; done
    skip_all "no Python module $1"
}

# ---- private directory and clean-up ----
at_end() { kit_stack+=("$*"); } # at_end COMMAND: evaluated at the end, last in first out
kit_end() {
    local code=$? i
    trap '' INT TERM HUP
    for ((i = ${#kit_stack[@]} - 1; i >= 0; i--)); do eval "${kit_stack[i]}" >>"$work/cleanup.log" 2>&1; done
    if [ "$kit_case" != "$kit_planned" ] && [ "$kit_planned" != 0 ]; then
        note "the script ended after $kit_case of $kit_planned cases"
        kit_failed=$((kit_failed + 1))
    fi
    if [ "$kit_failed" -gt 0 ] || [ -n "${HEXAD_KEEP:-}" ]; then
        note "logs and files are kept in $work"
    else
        rm -rf --one-file-system "$work"
    fi
    [ "$kit_failed" = 0 ] || exit 1
    exit "$code"
}
work=$(mktemp -d "${TMPDIR:-/tmp}/hexad-test.XXXXXX")
trap kit_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- waiting ----
wait_for() { # wait_for COMMAND...: until it succeeds; fails after PATIENCE seconds
    local end=$((SECONDS + PATIENCE))
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
ended() { # ended PID: a child that has ended (also one that nobody has waited for yet)
    local state
    state=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1) || return 0
    [ -z "$state" ] || [ "$state" = Z ]
}
lines() { # lines FILE N: FILE has at least N lines
    [ "$(wc -l 2>/dev/null <"$1" || echo 0)" -ge "$2" ]
}
count() { wc -l 2>/dev/null <"$1" || echo 0; }
pids_with() { # pids_with TEXT: processes that have TEXT, a path below $work, in their command line, but for ourselves
    local p words
    [[ -n $1 && $1 == *"$work"* ]] || return 1 # K1: nobody else's processes
    for p in /proc/[0-9]*; do
        [ "${p#/proc/}" != "$$" ] && [ "${p#/proc/}" != "$BASHPID" ] || continue
        words=$(tr '\0' ' ' 2>/dev/null <"$p/cmdline") || continue
        [[ $words == *"$1"* ]] && echo "${p#/proc/}"
    done
    return 0
}
mounts_under() { awk -v d="$1" 'index($2, d) == 1 { print $2 }' /proc/self/mounts; }

# A seeded number from LOW to HIGH: rand LOW HIGH; the sequence is the same for the same seed.
SEED=${HEXAD_SEED:-1}
kit_random=$SEED
rand() { # sets $random
    kit_random=$(((kit_random * 1103515245 + 12345) % 2147483648))
    random=$(($1 + (kit_random / 65536) % ($2 - $1 + 1)))
}

# ---- a demo: six segment servers and a mount, everything under one directory ----
demo_pid=
demo_up() { # demo_up DIR [OPTIONS OF hexad demo]: in the background, until the mount answers
    local dir=$1
    shift
    # In a group of its own and with default signals, as a shell at a terminal would start it.
    setsid env --default-signal=INT,QUIT "$HEXAD" demo --dir "$dir" --keep "$@" >>"$dir.log" 2>&1 </dev/null &
    demo_pid=$!
    kit_demo_dir=$dir
    at_end "demo_down $demo_pid '$dir'"
    wait_for demo_answers "$dir" "$demo_pid" && ! ended "$demo_pid" && return
    die "hexad demo starts" "$(cat "$dir.log")"
}
demo_answers() { # DIR PID
    ended "$2" || { mountpoint -q "$1/mnt" && grep -q . "$1/mnt/.hexad/status"; }
}
demo_down() { # demo_down PID DIR: in order, then by force; leaves nothing, whatever state it is in
    local pid=$1 dir=$2 p m
    kill -INT "$pid" 2>/dev/null
    wait_for ended "$pid" || kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    for p in $(pids_with "$dir/"); do kill -KILL "$p" 2>/dev/null; done
    for m in $(mounts_under "$dir" | tac); do umount -l "$m" 2>/dev/null || fusermount3 -uz "$m"; done
    return 0
}
demo() { # demo VERB WHAT: kill, stop, heal, status of the running demo
    "$HEXAD" demo "$@" --dir "$kit_demo_dir" >>"$work/verbs.log" 2>&1
}
hexad() { # any other verb of the command, with the demo's configuration
    HEXAD_CONFIG=$kit_demo_dir/hexad.conf "$HEXAD" "$@"
}
status() { # status EXPRESSION: a Python expression over the fields that status.py knows
    HEXAD_CONFIG=$kit_demo_dir/hexad.conf python3 "$LIB/status.py" "$HEXAD" vol0 "$@"
}
mount_pid() { # process id of the mount on DIR (default: the demo's)
    local p
    for p in $(pids_with "${1:-$kit_demo_dir/mnt}"); do
        [ "$(readlink "/proc/$p/exe")" = "$(readlink -f "$HEXAD")" ] || continue
        tr '\0' '\n' <"/proc/$p/cmdline" | grep -qx -e mount -e hexadfs -e '.*mount\.hexad' && echo "$p"
    done | head -n 1
}
loader() { python3 "$LIB/loader.py" "$@"; }
acked() { # transactions that a loader's log says were acknowledged
    if [ -e "$1" ]; then grep -c '^[0-9]' "$1"; else echo 0; fi
}
acked_at_least() { [ "$(acked "$1")" -ge "$2" ]; }
