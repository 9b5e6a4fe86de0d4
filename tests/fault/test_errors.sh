#!/usr/bin/env bash
# What people read when something is wrong: three lines (what and why, a hint, a code) and the exit codes of the manual.
# That these can fail was tried by expecting neighbouring exit codes.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
plan 32
dir=$work/d
demo_up "$dir"
mkdir "$work/m" "$work/n"
at_end "umount -l '$work/m'; umount -l '$work/n'; true"
export HEXAD_CONFIG=$dir/hexad.conf

# wrong NAME CODE PATTERN COMMAND...: fails with that exit code; the first line matches; a hint and a code follow.
wrong() {
    local name=$1 code=$2 pattern=$3 out got
    shift 3
    out=$(timeout 60 "$@" 2>&1 >/dev/null </dev/null)
    got=$?
    if [ $got = "$code" ] && head -n 1 <<<"$out" | grep -qE -- "$pattern" &&
        [[ $out =~ $'\n'hint:\ +[^$'\n']+$'\n'see:\ +HX[0-9]{4} ]]; then
        pass "$name"
    else
        fail "$name" "exit code $got instead of $code; first line should match: $pattern
$out"
    fi
}
# ---- words ----
wrong "an unknown verb names the nearest" 2 "mount" "$HEXAD" muont
wrong "an unknown option of a verb names the nearest" 2 "json" "$HEXAD" status --jsno vol0
wrong "an unknown mount option names the nearest" 2 "takeover" "$HEXAD" mount -o takeovr vol0 "$work/m"
wrong "a size without a unit is refused" 2 "pg-size" "$HEXAD" create vol9 --pg-size 1000
wrong "a mount option's value is checked" 2 "soft" "$HEXAD" mount -o soft=quick vol0 "$work/m"
wrong "a missing operand is named" 2 "." "$HEXAD" mount vol0
check "help needs no configuration" env -u HEXAD_CONFIG "$HEXAD" --help
for verb in demo mount umount status scrub create cert; do
    check "hexad $verb --help fits 25 lines" eval \
        '"$HEXAD" '$verb' --help && [ "$("$HEXAD" '$verb' --help | wc -l)" -le 25 ]'
done

# ---- volumes and mounts ----
wrong "an unknown volume" 1 "nosuch.*no such volume" "$HEXAD" mount nosuch "$work/m"
wrong "its status as well" 1 "no such volume" "$HEXAD" status nosuch
wrong "a volume that exists" 1 "exists already" "$HEXAD" create vol0
wrong "a directory that does not exist" 1 "$work/absent" "$HEXAD" mount vol0 "$work/absent"
wrong "a volume that is mounted elsewhere: exit code 7" 7 "mounted elsewhere" "$HEXAD" mount vol0 "$work/m"
wrong "a second mount on the same directory: exit code 7" 7 "mounted" "$HEXAD" mount vol0 "$dir/mnt"
ln -s "$HEXAD" "$work/mount.hexad"
check "for the mount helper that is no error: exit code 0" "$work/mount.hexad" vol0 "$dir/mnt"
wrong "nothing is mounted there" 2 "$work/m" "$HEXAD" umount "$work/m"

# ---- configuration ----
broken() { # broken FILE SED-SCRIPT: a copy of the demo's configuration with something wrong
    cp -r "$dir/tls" "$work/" 2>/dev/null
    sed "$2" "$dir/hexad.conf" >"$work/$1"
}
broken typo.conf 's/^cert = /crt = /'
line=$(grep -n '^crt' "$work/typo.conf" | cut -d: -f1)
wrong "a misspelt key: file, line and the nearest" 2 "typo.conf:$line.*cert" \
    env HEXAD_CONFIG="$work/typo.conf" "$HEXAD" status vol0
broken twice.conf 's/^key = .*/&\n&/'
wrong "a key given twice: file and line" 2 "twice.conf:[0-9]+" env HEXAD_CONFIG="$work/twice.conf" "$HEXAD" status vol0
broken section.conf 's/^\[servers\]/[severs]/'
wrong "a misspelt section: file, line and the nearest" 2 "section.conf:[0-9]+.*servers" \
    env HEXAD_CONFIG="$work/section.conf" "$HEXAD" status vol0
broken url.conf 's|https://127.0.0.1|http://127.0.0.1|'
wrong "an address that is not https" 2 "url.conf:[0-9]+.*https" env HEXAD_CONFIG="$work/url.conf" "$HEXAD" status vol0
wrong "no configuration at all" 1 "absent.conf" env HEXAD_CONFIG="$work/absent.conf" "$HEXAD" status vol0
broken open.conf ''
chmod 644 "$work/tls/client.key"
wrong "a private key that others can read: exit code 6" 6 "client.key" \
    env HEXAD_CONFIG="$work/open.conf" "$HEXAD" status vol0
chmod 600 "$work/tls/client.key"
"$HEXAD" cert create-ca --out "$work/other" >/dev/null 2>&1
broken ca.conf "s|^ca = .*|ca = $work/other.crt|"
wrong "servers whose certificate is another authority's: exit code 6" 6 "certificate" \
    env HEXAD_CONFIG="$work/ca.conf" "$HEXAD" mount vol0 "$work/m"

# ---- a lost quorum ----
demo kill mount
check "a dead mount is in the way" eval '! ls "$dir/mnt"'
wrong "mounting over it is refused with a hint" 1 "dead mount" "$HEXAD" mount vol0 "$dir/mnt"
demo kill az-a b1
wrong "mounting without a write quorum, bounded: exit code 4" 4 "quorum" "$HEXAD" mount -o soft=1s vol0 "$work/m"
