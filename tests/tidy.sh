#!/usr/bin/env bash
# Tidiness as a test: layers, purity, sizes, words.  Each check is a case; what it found is printed.
set -u
cd "$HEXAD_SOURCE" || exit 99
n=0
# report NAME TEXT: a case that passes when TEXT is empty.
report() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        printf '%s\n' "$2" | head -n 20 | sed 's/^/# /'
        echo "not ok $n - $1"
    fi
}
tracked() { git ls-files -co --exclude-standard -- "$@" 2>/dev/null | while read -r f; do [ -f "$f" ] && echo "$f"; done; }
if [ -z "$(tracked 'src/*.c')" ]; then tracked() { find . -path ./build -prune -o -type f -print | sed 's|^\./||'; }; fi

# Which layer owns a public header, and which layers each layer may see.
layer_of() {
    case $1 in
    types.h | assert.h | err.h | codec.h | crc.h) echo base ;;
    disk.h | node.h | store.h) echo store ;;
    fs.h) echo fs ;;
    sys.h | conf.h | args.h | log.h) echo sys ;;
    net.h) echo net ;;
    vol.h) echo vol ;;
    mount.h) echo fuse ;;
    *) echo core ;;
    esac
}
declare -A sees=(
    [base]="base" [core]="base core" [store]="base core store" [fs]="base core fs" [sim]="base core store fs"
    [sys]="base core store sys"
    [net]="base sys net" [vol]="base core fs sys net vol" [fuse]="base core fs sys net vol fuse"
    [segd]="base core store sys net segd" [admin]="base core sys net vol fuse admin"
)
found=$(for layer in "${!sees[@]}"; do
    for f in src/"$layer"/*.[ch]; do
        [ -f "$f" ] || continue
        sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f" | while read -r inc; do
            case $inc in
            hexad/*)
                owner=$(layer_of "${inc#hexad/}")
                case " ${sees[$layer]} " in *" $owner "*) ;; *) echo "$f: $inc belongs to $owner" ;; esac
                ;;
            */*) echo "$f: $inc is neither public nor in its own directory" ;;
            esac
        done
    done
done)
report "a layer includes only public headers of layers below it" "$found"

# The pure layers call memory, strings, checksums and compression; no I/O, no clock, no randomness, no threads.
allowed='^(hx_.*|mem(cpy|move|set|cmp|chr|rchr)|str(len|nlen|cmp|ncmp|chr|rchr|cpy|ncpy|cat|spn|cspn|str)|malloc|calloc|realloc|free|abort|qsort|bsearch|v?snprintf|__v?snprintf_chk|__(mem|str)[a-z]*_chk|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|ZSTD_.*|crc32_iscsi|stp?cpy|aligned_alloc|__popcountdi2)$'
if nm "$HEXAD_BUILD/src/base/libhexad-base.a" 2>/dev/null | grep -q __asan; then
    n=$((n + 1))
    echo "ok $n - pure layers do nothing but compute # SKIP sanitizers add their own calls"
else
    archives=
    for layer in base core store fs sim; do archives="$archives $HEXAD_BUILD/src/$layer/libhexad-$layer.a"; done
    # What the pure archives define for one another is theirs; the rest must be on the list.
    # shellcheck disable=SC2086
    own=$(nm --defined-only $archives 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u)
    # shellcheck disable=SC2086
    found=$(nm -A -u $archives 2>&1 | awk -v ok="$allowed" -v own="$own" 'BEGIN { n = split(own, a, "\n"); for (i = 1; i <= n; i++) mine[a[i]] = 1 }
        !NF || /\.a:$/ { next }
        NF < 3 { print; next }
        $NF in mine || $NF ~ ok { next }
        # A broken invariant says so before it stops the process: the one exception.
        /libhexad-base.a:types.o:/ && $NF ~ /^(stderr|__?fprintf(_chk)?)$/ { next }
        { sub(/^.*src\//, ""); print }')
    report "pure layers do nothing but compute" "$found"
fi

found=$(for f in $(tracked 'src/*.[ch]' 'include/*.h' 'tests/*.c'); do
    case $f in tests/*) most=1200 ;; *) most=800 ;; esac
    [ "$(wc -l <"$f")" -le $most ] || echo "$f: more than $most lines"
done)
report "no file is longer than 800 lines, no test than 1,200" "$found"

found=$(for f in $(tracked 'src/*.c'); do
    awk -v f="$f" '/^[a-zA-Z].*[^;]$/ || /^{/ { if (!body) start = NR } /^{/ { body = 1; from = NR }
        /^}/ { if (body && NR - from > 70) print f ":" from ": a function of " NR - from " lines"; body = 0 }' "$f"
done)
report "no function is longer than 70 lines" "$found"

found=$(tracked 'src/*.[ch]' 'include/*.h' 'tests/*.[ch]' |
    xargs awk 'length($0) > 120 { print FILENAME ":" FNR ": " length($0) " columns" }' 2>/dev/null |
    grep -v '^include/hexad/err.h')
report "no line of C is longer than 120 columns" "$found"

found=$(for f in $(tracked 'src/*.[ch]' 'include/*.h' 'tests/*.[ch]'); do
    head -n 1 "$f" | grep -q '^/\*' || echo "$f does not open with what it is for"
done)
report "every file says what it is for" "$found"

found=$(tracked 'src/*' 'include/*' 'contrib/*' 'etc/*' | xargs grep -nE '\b(TODO|FIXME|XXX|HACK)\b' 2>/dev/null)
report "nothing is left marked as unfinished" "$found"

found=$(tracked '*' | grep -v '^tests/fuzz/corpus/' | xargs grep -nIE '[[:space:]]+$' -- 2>/dev/null | grep -E '^(src|include|tests|contrib)/' | head)
report "no blank ends a line" "$found"

if git rev-parse --git-dir >/dev/null 2>&1; then
    report "file lists are up to date" "$(contrib/sources --check 2>&1)"
    report "hexad-errors(7) is what the table says" "$(contrib/errors --check 2>&1)"
fi

found=$(for e in $(grep -ohE '\bHX_E_[A-Z_]+' -r src include | sort -u); do
    grep -qE "X\(${e#HX_E_}, " include/hexad/err.h || [ "$e" = HX_E_ ] || echo "$e is not in the table"
done)
report "every error is in the one table" "$found"

echo "1..$n"
