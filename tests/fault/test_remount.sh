#!/usr/bin/env bash
# The helper of mount(8): each -o counts, and `remount` changes what the kernel keeps of a mount, or says why it cannot.
# /proc/self/mounts and what programs may do are looked at.  It failed while only the last -o was read (nosuid, ro were
# lost without a word), and while a remount was answered like a second mount: exit code 0, and nothing had changed.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
[ "$(id -u)" = 0 ] || skip_all "only root can remount"
plan 15
demo_up "$work/d"
mnt=$work/m
mkdir "$mnt"
ln -s "$HEXAD" "$work/mount.hexad"
ln -s "$HEXAD" "$work/mount.fuse.hexad"
"$HEXAD" umount "$work/d/mnt" 2>/dev/null || die "the demo's mount goes"
at_end "mountpoint -q '$mnt' && '$HEXAD' umount '$mnt'"
helper() { # helper NAME OPTIONS...: as mount(8) calls it
    local name=$1
    shift
    "$work/$name" hexad:vol0 "$mnt" -o "config=$work/d/hexad.conf" "$@"
}
has() { # has WORD...: in the mount table
    local w options
    options=,$(awk -v d="$mnt" '$2 == d { o = $4 } END { print o }' /proc/self/mounts),
    for w in "$@"; do
        case $w in
        !*) [[ $options != *",${w#!},"* ]] ;;
        *) [[ $options == *",$w,"* ]] ;;
        esac || { echo "$w: $options"; return 1; }
    done
}
refused() { # refused CODE TEXT COMMAND...
    local code=$1 text=$2 out rc
    shift 2
    out=$("$@" 2>&1)
    rc=$?
    [ $rc = "$code" ] && [[ $out == *"$text"* ]] && [[ $out == *hint:* ]] || { echo "exit code $rc: $out"; return 1; }
}

check "a remount of what is not mounted is refused" refused 32 "not mounted there" helper mount.hexad -o remount,ro
check "each -o of the helper counts" eval 'helper mount.hexad -o nosuid,noexec -o nodev && has rw nosuid noexec nodev relatime'
echo old >"$mnt/file"
table=$(awk -v d="$mnt" '$2 == d { print $4 }' /proc/self/mounts)
check "remount,ro with the words of the mount table" eval 'helper mount.fuse.hexad -o "$table,remount,ro" && has ro nosuid nodev'
check "then nothing can be written" eval '! (echo new >"$mnt/file") 2>/dev/null && ! mkdir "$mnt/dir" 2>/dev/null'
check "and everything read" eval '[ "$(cat "$mnt/file")" = old ]'
check "remount,rw: as before" eval 'helper mount.fuse.hexad -o "$table,remount,rw" && has rw nosuid && echo new >"$mnt/file"'
check "suid, dev and exec come back; words of the process are taken" eval \
    'helper mount.fuse.hexad -o "$table,remount,suid,dev,exec,cache=32MiB,soft=1s" && has rw "!nosuid" "!nodev" "!noexec"'
exec 7>>"$mnt/file"
check "a file that is open for writing: refused, nothing changes" eval \
    'refused 32 "open for writing" helper mount.fuse.hexad -o remount,ro && has rw'
exec 7>&-
check "noatime is not pretended" refused 1 "noatime" helper mount.fuse.hexad -o remount,noatime
check "the last word about atime counts" eval '"$HEXAD" umount "$mnt" && helper mount.hexad -o noatime,relatime && has "!noatime"'
check "another volume is not remounted" refused 32 "not mounted there" \
    "$work/mount.fuse.hexad" vol9 "$mnt" -o "config=$work/d/hexad.conf,remount,ro"
check "without remount it stays a second mount, which is no error" eval 'helper mount.fuse.hexad -o ro && has rw'
check "words of the kernel's are for remounts only" refused 1 "user_id" helper mount.fuse.hexad -o user_id=0
"$HEXAD" umount "$mnt"
check "mounted read-only" eval 'helper mount.hexad -o ro && has ro && [ "$(cat "$mnt/file")" = new ]'
check "a volume that was opened read-only does not become writable" eval \
    'refused 32 "opened read-only" helper mount.fuse.hexad -o remount,rw && has ro'
