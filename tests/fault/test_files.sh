#!/usr/bin/env bash
# Everyday programs on the mount: POSIX cases, cp, tar, git; and once more after the mount was killed and opened again.
# That the comparison can fail was tried by changing one byte, one mtime and one mode of the unpacked tree.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
needs git tar
mapfile -t cases < <(python3 "$LIB/everyday.py" --list)
plan $((${#cases[@]} + 12))
demo_up "$work/d"
mnt=$work/d/mnt
mkdir "$mnt/everyday"
for c in "${cases[@]}"; do check "${c//_/ }" python3 "$LIB/everyday.py" "$c" "$mnt/everyday"; done

# What the kernel asks, by kind: nothing that has no use comes back unnoticed.
requests() { awk -v k="hexad_fuse_requests{kind=\"$1\"}" '$1 == k { print $2 }' "$mnt/.hexad/metrics"; }
every_kind() { # the file is made when it is opened, so both figures are of one moment
    awk '/^hexad_fuse_requests_total / { t = $2 } /^hexad_fuse_requests[{]/ { s += $2 } END { exit !(t > 0 && s == t) }' \
        "$mnt/.hexad/metrics"
}
check "requests are counted by kind, and none is left out" every_kind
closes() { # closes PYTHON-MODE: prints how many FLUSH ten times open and close have caused
    local before
    before=$(requests flush)
    python3 -c 'import sys
for i in range(10): open(sys.argv[1], sys.argv[2]).close()' "$mnt/everyday/closed" "$1"
    echo $(($(requests flush) - before))
}
few() { # what was open for writing tells at close whether it was lost; awk itself reads without a FLUSH
    local w r
    w=$(closes w) r=$(closes r)
    [ "$w" -ge 10 ] && [ "$r" = 0 ] || { echo "$w and $r"; false; }
}
check "to close what was open for reading costs no request, for writing one" few

# A real tree of at most about 48 MiB, with links of our own, for few real trees have them.
tree=$work/tree
mkdir "$tree"
kib=0
for p in /usr/share/doc/* "$HEXAD_SOURCE"/*; do
    [ -e "$p" ] && [ "$(basename "$p")" != build ] || continue
    kib=$((kib + $(du -sk "$p" | cut -f1)))
    [ $kib -lt 48000 ] || break
    cp -a "$p" "$tree/"
done
cp -al "$(find "$tree" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)" "$tree/hard-links"
ln -s nowhere "$tree/dangling"
manifest() { python3 "$LIB/manifest.py" "$@"; }
same() { # same WANTED DIR
    manifest "$2" >"$work/is" && diff "$1" "$work/is"
}
manifest "$tree" >"$work/wanted"
check "tar unpacks a tree" eval \
    'mkdir "$mnt/tar" && tar -C "$tree" --format=posix -cf - . | tar -C "$mnt/tar" -xpf -'
check "the tree is the same: bytes, modes, owners, mtimes in nanoseconds, symbolic and hard links" \
    same "$work/wanted" "$mnt/tar"
check "cp -a copies it" cp -a "$tree" "$mnt/cp"
check "the copy is the same" same "$work/wanted" "$mnt/cp"

source=$HEXAD_SOURCE
if ! git -C "$source" rev-parse HEAD >/dev/null 2>&1; then
    source=$work/repository
    git init -q "$source" && cp -a "$tree/." "$source/" && git -C "$source" add -A >/dev/null 2>&1
    git -C "$source" -c user.name=t -c user.email=t@example.org commit -qm all
fi
check "git clones this repository onto the mount" git clone -q --no-local "file://$(readlink -f "$source")" "$mnt/git"
check "git fsck finds nothing" git -C "$mnt/git" fsck --full --strict --no-dangling

snapshot() { manifest "$mnt" >"$1.all" && grep -v '^\.hexad' "$1.all" >"$1"; }
check "the whole mount can be read" snapshot "$work/before"
sync "$mnt/everyday"
demo kill mount
demo heal
check "the mount comes back after kill -9" wait_for demo_answers "$work/d" "$demo_pid"
check "everything is the same as before" eval \
    'snapshot "$work/is" && diff "$work/before" "$work/is"'
check "git is still content" eval \
    'git -C "$mnt/git" fsck --full --strict --no-dangling && [ -z "$(git -C "$mnt/git" status --porcelain)" ]'
