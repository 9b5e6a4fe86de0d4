#!/usr/bin/env bash
# Files that several processes share (tests/lib/shared.py): mappings are coherent with each other and with read and write,
# also after truncation and punching; locks of all three sorts are exact and go with their owners.  Each case runs in a
# local directory first: a case that fails there says nothing about the mount.
# That it can fail was tried with a mount that forgets every hundredth write, and with processes that take no locks.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
mapfile -t cases < <(python3 "$LIB/shared.py" --list)
plan $((2 * ${#cases[@]} + 1))
demo_up "$work/d"
mkdir "$work/local"
for c in "${cases[@]}"; do
    check "${c//_/ }, locally" timeout "$PATIENCE" python3 "$LIB/shared.py" "$c" "$work/local"
    check "${c//_/ }" timeout "$PATIENCE" python3 "$LIB/shared.py" "$c" "$work/d/mnt"
done
# What msync has returned for is durable.
python3 -c "
import mmap, os
f = os.open('$work/d/mnt/mapped', os.O_RDWR | os.O_CREAT, 0o644)
os.ftruncate(f, 1 << 20)
m = mmap.mmap(f, 0)
for i in range(256): m[i * 4096 + i] = i
m.flush()
m[5] = 77"
md5sum <"$work/d/mnt/mapped" >"$work/before"
python3 -c "
import mmap, os
f = os.open('$work/d/mnt/mapped', os.O_RDWR)
m = mmap.mmap(f, 0)
m[9] = 78
m.flush()
os.system('''HEXAD_CONFIG= '$HEXAD' demo kill mount --dir '$work/d' >/dev/null''')"
demo heal
check "what was mapped and msynced is there after kill -9" python3 -c "
data = open('$work/d/mnt/mapped', 'rb').read()
assert len(data) == 1 << 20 and data[9] == 78
assert all(data[i * 4096 + i] == i for i in range(256))"
