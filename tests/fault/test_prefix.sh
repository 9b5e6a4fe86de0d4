#!/usr/bin/env bash
# Crash states are prefixes, on a real mount: every file operation once, eight in a life, and pairs of them, with kill -9
# of the mount in the last one or right after it; what is found must be a prefix of them (tests/lib/states.py).
# It failed with a mount that answers fsync at once.
# Pairs: HEXAD_STATE_PAIRS lives (4); other moments and pairs: HEXAD_SEED.  `make check-crash` tries more.
. "${HEXAD_SOURCE:?}/tests/lib/kit.sh" || exit 99
needs_fuse
[ "$(id -u)" = 0 ] || skip_all "devices, owners and trusted attributes are root's"
case $(stat -f -c %T "$work") in ext*) ;; *) skip_all "$work is not on ext4: nothing to compare with" ;; esac
demo_up "$work/d" -o suid,dev
mkdir "$work/local"
note "seed $SEED"
python3 "$LIB/states.py" "$work/d/mnt" "$work/local" "$work/d" "$HEXAD" --seed "$SEED" \
    --pairs "${HEXAD_STATE_PAIRS:-4}" 2>&1 || kit_failed=1
